# SPDX-License-Identifier: Apache-2.0
"""A server that replaces itself by exec after every 25 answers, keeping its listening socket: the
way in which servers upgrade without a pause. Arguments: PORT, then the socket's descriptor."""
import http.server
import os
import socket
import sys

ANSWERS = 25


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.getpid()} {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if len(sys.argv) > 2:
    listener = socket.socket(fileno=int(sys.argv[2]))
else:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = listener
for _ in range(ANSWERS):
    server.handle_request()
os.set_inheritable(listener.fileno(), True)
os.execv(sys.executable, [sys.executable, *sys.argv[:2], str(listener.fileno())])
