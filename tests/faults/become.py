# SPDX-License-Identifier: Apache-2.0
"""A server that calls NEXT for each request, and becomes one in Node by exec after as many answers
as its second argument says, keeping its listening socket. Arguments: PORT ANSWERS."""
import http.client
import http.server
import os
import shutil
import socket
import sys

HOST, _, PORT = os.environ["NEXT"].rpartition("/")[2].partition(":")
NODE = """
const http = require("http"), [host, port, fd] = process.argv.slice(1);
const agent = new http.Agent({keepAlive: true});
http.createServer((q, s) => {
  const path = "/l/" + q.url.split("/").slice(2).join("/") + "/0";
  http.get({host, port, path, agent}, r => { r.resume(); r.on("end", () => s.end("node\\n")); });
}).listen({fd: +fd});
"""
back = http.client.HTTPConnection(HOST, int(PORT))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        back.request("GET", "/l/" + self.path.split("/", 2)[2] + "/0")
        back.getresponse().read()
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"python\n")

    def log_message(self, *args):
        pass


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = listener
for _ in range(int(sys.argv[2])):
    server.handle_request()
os.set_inheritable(listener.fileno(), True)
os.execv(shutil.which("node"), ["node", "-e", NODE, HOST, PORT, str(listener.fileno())])
