#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Are the applications what shapes.py says? Without clew: a recording server takes the place of
everything behind one service, and the calls that arrive are compared with the table."""
import http.server
import os
import sys
import threading
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import shapes  # noqa: E402
from harness import apps, case  # noqa: E402
from harness.proc import Env, wait_for  # noqa: E402


class Recorder(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        n = int(self.headers.get("Content-Length", 0))
        self.server.seen.append((self.command, self.path, len(self.rfile.read(n))))
        self.send_response(404 if "/e404/" in self.path else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *args):
        pass


def compare(env, front, service, what, recorder):
    run = apps.load(env, front.port, conc=4, count=6 * len(what), prefix="/" + service,
                    shapes=what)
    roots = [shapes.tree(*shapes.of_path(r["path"])[:3], ends=("f", "w", "g", "l")
             if service == "n" else tuple(set("fwgl") - {service})) for r in run.records()]
    want = Counter((x.method, x.path, x.req_body) for root in roots for x in root.children)
    wait_for("all calls", lambda: sum("noise" not in p for _, p, _ in recorder.seen) >=
             sum(want.values()), 10)
    got = Counter(e for e in recorder.seen if "noise" not in e[1])
    wrong = [r["path"] for r, root in zip(run.records(), roots) if r["status"] != root.status]
    case.proof(f"{service}: calls as in the table", f"{sum((got & want).values())} of "
               f"{sum(want.values())}, {sum((got - want).values())} others, answers {wrong}",
               "all, 0, []", got == want and not wrong and sum(want.values()) > 0)


def test_fastapi():
    with Env() as env:
        rec = Recorder()
        compare(env, apps.fastapi(env, rec.url, rec.url, noise_ms=20), "f",
                ["one", "seq", "gather", "post", "err", "slow", "bg", "def", "call"], rec)
        noise = sum("noise" in p for _, p, _ in rec.seen)
        case.proof("background calls", noise, "> 0", noise > 0)


def test_flask():
    with Env() as env:
        rec = Recorder()
        compare(env, apps.flask(env, rec.url), "w", ["one", "seq", "post"], rec)


def test_go():
    with Env() as env:
        rec = Recorder()
        compare(env, apps.gosvc(env, rec.url), "g", ["one", "seq", "fan", "post", "slow"], rec)


def test_nginx():
    with Env() as env:
        rec = Recorder()
        compare(env, apps.nginx(env, f"127.0.0.1:{rec.server_port}"), "n", ["one", "post"], rec)


case.main(__name__)
