# SPDX-License-Identifier: Apache-2.0
"""Every shape of message that HTTP/1.1 has, through real servers: spans right, sizes right."""
import os
import socket
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from harness import apps, case, otlp  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import PYTHON, SCALE, Env, wait_for  # noqa: E402

FILE = 10 * 1000 * 1000

# Half of its calls it gives up before the answer can come, for half it says that it will send no more.
CALLER = """
import os, socket, sys, time
port, patience, begin = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
while not os.path.exists(begin):
    time.sleep(0.01)
for i in range(5):
    for end in "close", "shutdown":
        s = socket.create_connection(("127.0.0.1", port))
        start = time.monotonic()
        s.sendall(f"GET /{end}/{i} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode())
        time.sleep(patience)
        if end == "shutdown":
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        s.close()
        print(f"/{end}/{i}", time.monotonic() - start, flush=True)
print("done", flush=True)
time.sleep(600)
"""
SLOW = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(sys.argv[1]))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Raw:
    """A client that writes exactly what it is told."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=10 * SCALE)
        self.f = self.s.makefile("rb")

    def send(self, *pieces):
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for p in pieces:
            self.s.sendall(p)

    def answer(self, head=False):
        """(status, body) of one answer with a length, chunks, or the connection's end."""
        status = int(self.f.readline().split()[1])
        fields = {}
        while (line := self.f.readline().strip()):
            k, v = line.split(b":", 1)
            fields[k.lower()] = v.strip()
        if 100 <= status < 200 or head or status in (204, 304):
            return status, b""
        if fields.get(b"transfer-encoding") == b"chunked":
            body = b""
            while (n := int(self.f.readline().split(b";")[0], 16)):
                body += self.f.read(n)
                self.f.readline()
            while self.f.readline().strip():
                pass
            return status, body
        if b"content-length" in fields:
            return status, self.f.read(int(fields[b"content-length"]))
        return status, self.f.read()

    def close(self):
        self.f.close()
        self.s.close()


def get(path, *fields, method="GET", body=b""):
    head = f"{method} {path} HTTP/1.1\r\nHost: shapes.test\r\n"
    return (head + "".join(f + "\r\n" for f in fields) + "\r\n").encode() + body


class Target:
    """A server under clew; collects what each request must look like as a span."""

    def __init__(self, env, server, *pids):
        self.run = Clew(env, *(a for p in (pids or [server.pid]) for a in ("--pid", p)))
        self.port, self.want = server.port, []

    def ask(self, path, status=200, method="GET", req=0, resp=0):
        self.want.append((path, method, status, req, resp))

    def check(self):
        spans, ledger = self.run.stop()
        server = [s for s in spans if s.kind == otlp.SERVER]
        rows = []
        for path, method, status, req, resp in self.want:
            mine = [s for s in server if s.path == path]
            got = [(s.method, s.http_status, s.attrs.get("http.request.body.size", 0),
                    s.attrs.get("http.response.body.size", 0), s.attrs.get("clew.complete", True))
                   for s in mine]
            want = [(method, status, req, resp, True)]
            rows.append((path, got, f"{want}", got == want))
        rows.append(("spans", len(server), len(self.want), len(server) == len(self.want)))
        case.proofs(rows)
        return server


def test_framing():
    """content-length, chunked both ways, until close, HEAD, 204, 100-continue, HTTP/1.0"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, delay_ms=2)
        t = Target(env, leaf)
        c = Raw(leaf.port)
        c.send(get("/l/one/1"))
        t.ask("/l/one/1", resp=len(c.answer()[1]))
        c.send(get("/l/chunked/2"))
        t.ask("/l/chunked/2", resp=len(c.answer()[1]))
        c.send(get("/l/head/3", method="HEAD"))
        c.answer(head=True)
        t.ask("/l/head/3", method="HEAD")
        c.send(get("/l/empty/4"))
        t.ask("/l/empty/4", status=c.answer()[0])
        c.send(get("/l/big/5"))
        t.ask("/l/big/5", resp=len(c.answer()[1]))
        c.send(get("/l/up/6", "Transfer-Encoding: chunked", method="POST"),
               b"5\r\nhello\r\n", b"6;x=y\r\n world\r\n", b"0\r\nX-Trailer: 1\r\n\r\n")
        t.ask("/l/up/6", method="POST", req=11, resp=len(c.answer()[1]))
        c.send(get("/l/wait/7", "Expect: 100-continue", "Content-Length: 9", method="PUT"))
        case.proof("interim answer", c.answer()[0], "100", True)
        c.send(b"123456789")
        t.ask("/l/wait/7", method="PUT", req=9, resp=len(c.answer()[1]))
        c.send(get("/l/e404/8?a=b&c=d"))
        t.ask("/l/e404/8", status=404, resp=len(c.answer()[1]))
        c.send(get("/l/close/9"))
        t.ask("/l/close/9", resp=len(c.answer()[1]))
        c.close()
        c = Raw(leaf.port)
        c.send(b"GET /l/old/10 HTTP/1.0\r\n\r\n")
        t.ask("/l/old/10", resp=len(c.answer()[1]))
        c.close()
        t.check()


def test_pieces():
    """a request byte by byte, and several in one write (pipelining)"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, delay_ms=2)
        t = Target(env, leaf)
        c = Raw(leaf.port)
        c.send(*(bytes([b]) for b in get("/l/bytes/1", "Content-Length: 3", method="POST") + b"abc"))
        t.ask("/l/bytes/1", method="POST", req=3, resp=len(c.answer()[1]))
        c.send(b"".join(get(f"/l/pipe/{i}") for i in range(2, 12)))
        for i in range(2, 12):
            t.ask(f"/l/pipe/{i}", resp=len(c.answer()[1]))
        mixed = b"".join(get(f"/l/mixed/{i}", "Content-Length: 5", method="POST", body=b"01234")
                         for i in range(12, 17))
        c.send(mixed[:37], mixed[37:200], mixed[200:])
        for i in range(12, 17):
            t.ask(f"/l/mixed/{i}", method="POST", req=5, resp=len(c.answer()[1]))
        c.close()
        t.check()


def test_upgrade():
    """101: one span for the upgrade, nothing invented from what follows"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, delay_ms=0)
        t = Target(env, leaf)
        c = Raw(leaf.port)
        c.send(get("/l/upgrade/1", "Connection: Upgrade", "Upgrade: echo"))
        t.ask("/l/upgrade/1", status=c.answer()[0])
        for i in range(20):
            line = b"GET /l/fake/%d HTTP/1.1\r\nHost: x\r\n\r\n" % i
            c.send(line)
            case.proof("echo", "", "same", c.f.read(len(line)) == line) if i == 19 else c.f.read(
                len(line))
        c.close()
        t.check()


def test_sendfile():
    """a static file of 10 MB by sendfile, whole, by range, and unchanged (304)"""
    case.need_root()
    with Env() as env:
        os.mkdir(env.path("files"))
        with open(env.path("files/ten"), "wb") as f:
            f.write(os.urandom(FILE))
        front = apps.nginx(env)
        t = Target(env, front, *front.pids())
        c = Raw(front.port)
        c.send(get("/files/ten"))
        t.ask("/files/ten", resp=len(c.answer()[1]))
        c.send(get("/files/ten?part", "Range: bytes=5-1000004"))
        status, body = c.answer()
        case.proof("range", f"{status}, {len(body)}", "206, 1000000", status == 206)
        c.send(get("/files/none"))
        t.ask("/files/none", status=404, resp=len(c.answer()[1]))
        c.close()
        spans, ledger = t.run.stop()
        got = [(s.path, s.http_status, s.attrs.get("http.response.body.size")) for s in
               sorted(spans, key=lambda s: s.start)]
        want = [("/files/ten", 200, FILE), ("/files/ten", 206, 1000000), ("/files/none", 404,
                                                                          t.want[1][4])]
        case.proof("sizes", got, want, got == want)


def test_upload():
    """a body of 20 MB through nginx, in and out"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, delay_ms=0)
        front = apps.nginx(env, f"127.0.0.1:{leaf.port}")
        run = Clew(env, *(a for p in [leaf.pid, *front.pids()] for a in ("--pid", p)))
        c = Raw(front.port)
        size = 20 << 20
        c.send(get("/n/upload/1", f"Content-Length: {size}", method="POST"),
               *([b"u" * (1 << 20)] * 20))
        status, body = c.answer()
        c.close()
        spans, ledger = run.stop()
        got = sorted((s.kind, s.attrs.get("http.request.body.size"), s.http_status) for s in spans)
        want = [(2, size, 200), (2, size, 200), (3, size, 200)]
        case.proof("20 MB body", got, want, got == want and status == 200)


def test_traceparent():
    """a caller's traceparent and tracestate are adopted; a broken one is not"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, delay_ms=0)
        run = Clew(env, "--pid", leaf.pid)
        trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        c = Raw(leaf.port)
        for i, fields in enumerate([
                [f"traceparent: 00-{trace}-{parent}-01", "tracestate: a=1,b=2"],
                [f"TraceParent: 00-{trace}-{parent}-00"],
                [f"traceparent: ff-{trace}-{parent}-01"],
                [f"traceparent: 00-{'0' * 32}-{parent}-01"],
                [f"traceparent: 00-{trace}-{parent}-01", f"traceparent: 00-{trace}-{parent}-01"],
                [f"traceparent: 01-{trace}-{parent}-01-more"]]):
            c.send(get(f"/l/tp/{i}", *fields))
            c.answer()
        c.close()
        spans, _ = run.stop()
        by = {s.path: s for s in spans}
        got = [(by[f"/l/tp/{i}"].trace_id == trace, by[f"/l/tp/{i}"].parent == parent)
               for i in range(6) if f"/l/tp/{i}" in by]
        # The second says "not sampled": parent based sampling leaves it out or keeps it whole
        if len(got) == 5:
            got.insert(1, (True, True))
        want = [(True, True), (True, True), (False, False), (False, False), (False, False),
                (True, True)]
        case.proof("adopted", got, want, got == want)
        case.proof("tracestate", by["/l/tp/0"].trace_state, "a=1,b=2",
                   by["/l/tp/0"].trace_state == "a=1,b=2")


def test_aborted():
    """a client that goes away: said to be incomplete, or accounted for, never invented"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, delay_ms=50)
        run = Clew(env, "--pid", leaf.pid)
        for i in range(10):
            c = Raw(leaf.port)
            c.send(get(f"/l/gone/{i}"))
            c.close()
            c = Raw(leaf.port)
            c.send(b"GET /l/half/1 HTTP/1.1\r\nHost: x")
            c.close()
        apps.load(env, leaf.port, conc=4, count=20, prefix="/l")
        spans, ledger = run.stop()
        half = sum("half" in s.path and s.attrs.get("clew.complete") is not False for s in spans)
        lied = sum("gone" in s.path and s.http_status is None and
                   s.attrs.get("clew.complete") is not False for s in spans)
        case.proofs([("requests that never ended and called complete", half, "0", half == 0),
                     ("unanswered and called complete", lied, "0", lied == 0)])


def test_given_up():
    """a caller that closes before the answer ends its call there; one that shuts down still waits"""
    case.need_root()
    patience, delay = 0.1 * SCALE, 0.5 * SCALE
    with Env() as env:
        slow = env.start("slow", [PYTHON, "-c", SLOW, str(delay)])
        wait_for("its port", lambda: slow.output().endswith("\n"))
        caller = env.start("caller", [PYTHON, "-c", CALLER, slow.output().strip(), str(patience),
                                      env.path("begin")])
        run = Clew(env, "--pid", caller.pid)
        with open(env.path("begin"), "w"):
            pass
        wait_for("the calls", lambda: "done" in caller.output(), 20)
        spans, _ = run.stop()
        took = {s.path: (s.end - s.start) / 1e9 for s in spans if s.kind == otlp.CLIENT}
        own = dict(line.split() for line in caller.output().splitlines()[:-1])
        closed = {path: (t, float(own[path])) for path, t in took.items() if "close" in path}
        shut = [(s.http_status, (s.end - s.start) / 1e9) for s in spans if "shutdown" in s.path]
        case.proofs([
            ("calls", f"{len(closed)} given up, {len(shut)} answered", "5 and 5",
             len(closed) == len(shut) == 5),
            # what is seen next is a delayed ACK, 40 ms later
            ("given up: the span's seconds, the caller's own", sorted(closed.values()),
             f"{patience} .. the caller's own",
             all(patience <= t <= mine for t, mine in closed.values())),
            ("answered behind the end of what is sent", shut, f"200, >= {delay} s",
             all(status == 200 and t >= delay for status, t in shut))])


case.main(__name__)
