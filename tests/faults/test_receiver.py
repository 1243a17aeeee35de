# SPDX-License-Identifier: Apache-2.0
"""Receivers that are down, slow, in error, that cut the answer or the request, or break TLS."""
import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from fault import Clew, Env, apps, balanced, bounded, by_pid, case, proc, said, unharmed  # noqa: E402


class Bad(http.server.ThreadingHTTPServer):
    """`how`: slow, 503, 400, cut-request, cut-answer, hang."""
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, how, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.how, self.asked = how, 0
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True,
                                              do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a failed handshake is what is wanted


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.server.asked += 1
        how, n = self.server.how, int(self.headers.get("Content-Length", 0))
        if how == "cut-request":
            self.rfile.read(n // 2)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.rfile.read(n)
        if how == "slow":
            time.sleep(1)
        if how == "hang":
            time.sleep(60)
        self.send_response(int(how) if how.isdigit() else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "100" if how == "cut-answer" else "2")
        self.end_headers()
        self.wfile.write(b"{}")
        if how == "cut-answer":
            self.close_connection = True

    def log_message(self, *args):
        pass


def certificate(env):
    """A server certificate that nobody vouches for."""
    key, crt = env.path("key.pem"), env.path("crt.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj",
                    "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
                    "-out", crt], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    return context


def ordeal(env, *receivers):
    """A run that exports to all of these and to a file; returns (clew, ledger, rows)."""
    leaf = apps.leaf(env, delay_ms=1)
    args = [a for r in receivers for a in ("--export", r)]
    run = Clew(env, *by_pid(leaf.pid), *args)
    load = apps.load(env, leaf.port, conc=8, count=2000, rate=800, prefix="/l")
    run.wait_spans(2000)
    spans, ledger = run.stop()
    rows = [unharmed([load]), bounded(run), *balanced(ledger),
            ("spans in the file beside them", len(spans), "2000", len(spans) == 2000),
            ("stopped in", f"{run.stop_s:.1f} s", "<= 5 s", run.stop_s <= 5 * proc.SCALE)]
    return run, ledger, rows


def test_http():
    """down, slow, 503, 400, the connection cut in the request and in the answer, hanging"""
    case.need_root()
    with Env("clew-faults") as env:
        hows = ["slow", "503", "400", "cut-request", "cut-answer", "hang"]
        servers = {how: Bad(how) for how in hows}
        down = proc.free_port()
        run, ledger, rows = ordeal(env, f"otlp-http=http://127.0.0.1:{down}",
                                   *(f"otlp-http=http://127.0.0.1:{servers[h].server_port}"
                                     for h in hows))
        names = ["otlp-http"] + [f"otlp-http#{n}" for n in range(2, 8)]
        dropped = {how: {k: v for k, v in ledger["spans"]["dropped"][name].items() if v}
                   for how, name in zip(["down"] + hows, names)}
        case.proofs(rows + [
            ("the receivers were asked", {h: s.asked for h, s in servers.items()}, "> 0 each",
             all(s.asked for s in servers.values())),
            ("each drop has a reason", dropped, "down, 503, 400, cut, hang",
             all(sum(dropped[h].values()) for h in ("down", "503", "400", "cut-request", "hang"))),
            ("400 is for good", dropped["400"], "rejected", set(dropped["400"]) == {"rejected"}),
            said(run, "who is down", rf"exporter otlp-http: .*{down}"),
            said(run, "what is wrong", r"exporter otlp-http#3: .*503", r"exporter otlp-http#4: .*400",
                 r"exporter otlp-http#5: ")])


def test_tls():
    """a certificate that nobody vouches for, plain text where TLS is spoken; HTTP and gRPC"""
    case.need_root()
    with Env("clew-faults") as env:
        foreign, plain = Bad("200", certificate(env)), Bad("200")
        run, ledger, rows = ordeal(
            env, *(f"{kind}=https://127.0.0.1:{s.server_port}" for kind in
                   ("otlp-http", "otlp-grpc") for s in (foreign, plain)))
        got = {k: v for k, v in ledger["spans"]["exported"].items() if k != "file"}
        case.proofs(rows + [
            ("delivered without trust", got, "0", not sum(got.values()) and len(got) == 4),
            said(run, "that the certificate is not trusted",
                 r"exporter otlp-http: .*(certificate|self.signed)",
                 r"exporter otlp-grpc: "),
            said(run, "that it is no TLS", r"exporter otlp-http#2: .*(SSL|TLS)")])


case.main(__name__)
