# SPDX-License-Identifier: Apache-2.0
"""Malformed and hostile HTTP, to real servers: clew never dies, never grows, accounts for all."""
import os
import random
import socket
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from harness import apps, case, otlp  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import SCALE, Env  # noqa: E402

HOST = b"Host: x\r\n"
CASES = [
    b"\x00" * 400 + b"\r\n\r\n",
    b"GET /\x00\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: \x00\xff\xfe\r\nX\x00Y: \x01\r\n\r\n",
    b"GET  /  HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /l/one/1 HTTP/9.9\r\n\r\n",
    b"GET /l/one/1\r\n\r\n",
    b"G" * 70000,
    b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X-Long: " + b"v" * 300000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"h%d: v\r\n" % i for i in range(5000)) + b"\r\n",
    b"GET / HTTP/1.1\r\n folded: first\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\tc\r\n\r\n",
    b"GET / HTTP/1.1\n" + b"Host: x\n\n",
    # request smuggling: two lengths, both framings, obfuscated names
    b"POST /l/one/1 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"POST /l/one/1 HTTP/1.1\r\n" + HOST + b"Content-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET /l/smuggled/9 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\nContent-Length: 1\r\n\r\nx",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 100000 + b"\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999999\r\n\r\nx",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -5\r\n\r\nx",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x10\r\n\r\n0123456789abcdef",
    b"GET http://u:secret@h/ HTTP/1.1\r\n" + HOST + b"\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n\x16\x03\x01\x02\x00" + b"\x01" * 600,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 60,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x77" * 500,
    b"GET / HTTP/1.1\r\n" + HOST + b"traceparent: 00-" + b"f" * 9000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"tracestate: " + b"a=b," * 3000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
]


def fire(port, data, piece=None):
    """Send, read what comes, close. A server may hang up at any time."""
    with socket.create_connection(("127.0.0.1", port), timeout=5 * SCALE) as s:
        s.settimeout(0.15)
        try:
            if piece:
                for i in range(0, len(data), piece):
                    s.sendall(data[i:i + piece])
            else:
                s.sendall(data)
            while s.recv(65536):
                pass
        except OSError:
            pass


def test_hostile():
    """every case, whole and in pieces, to nginx and to a lenient server"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, delay_ms=0)
        front = apps.nginx(env, f"127.0.0.1:{leaf.port}")
        run = Clew(env, *(a for p in [leaf.pid, *front.pids()] for a in ("--pid", p)))
        random.seed(1)
        for data in CASES:
            for port in (leaf.port, front.port):
                fire(port, data)
                fire(port, data[:8000], piece=random.choice([1, 7, 100]) if len(data) < 2000
                     else 3000)
        noise = random.Random(2)
        for _ in range(40):
            fire(front.port, bytes(noise.randrange(256) for _ in range(noise.randrange(1, 600))))
        good = apps.load(env, front.port, conc=4, count=100, prefix="/n")
        grown = run.peak_kb() - run.rss_ready
        spans, ledger = run.stop()
        mine = [s for s in spans if s.path.startswith("/n/one/") and s.kind == otlp.SERVER]
        secrets = sum("secret" in str(s.attrs) for s in spans)
        case.proofs([
            ("cases sent", len(CASES) * 4 + 40, "all", True),
            ("good requests among them", f"{len(mine)} of {good.summary['done']}", "all",
             len(mine) == 100 and good.summary["errors"] == 0),
            ("smuggled request taken for one", sum("smuggled" in s.path for s in spans), "0 or what"
             " the server answered", True),
            ("credentials in spans", secrets, "0", secrets == 0),
            ("RSS grown", f"{grown / 1024:.1f} MB", "<= 24 MB", grown <= 24 * 1024),
            ("ledger", ledger["balanced"], "True", ledger["balanced"])])


def test_100mb_header():
    """a header of 100 MB, read to its end by the server"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, delay_ms=0)
        run = Clew(env, "--pid", leaf.pid)
        apps.load(env, leaf.port, conc=4, count=100, prefix="/l")
        base = run.peak_kb()
        for head in (b"GET /l/one/77777 HTTP/1.1\r\nX: ", b"GET /"):
            with socket.create_connection(("127.0.0.1", leaf.port), timeout=60 * SCALE) as s:
                s.sendall(head)
                block = b"a" * (1 << 20)
                for _ in range(100):
                    s.sendall(block)
                s.sendall(b"\r\n\r\n")
                answer = s.recv(4096)
            case.proof("answer", answer[:12], "400", b" 400 " in answer)
        apps.load(env, leaf.port, conc=4, count=100, prefix="/l")
        grown = run.peak_kb() - base
        spans, ledger = run.stop()
        good = sum(s.path.startswith("/l/one/") and s.http_status == 200 for s in spans)
        case.proofs([("RSS grown", f"{grown / 1024:.1f} MB", "<= 16 MB", grown <= 16 * 1024),
                     ("other requests", good, "200", good == 200),
                     ("ledger", ledger["balanced"], "True", ledger["balanced"])])


case.main(__name__)
