#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exporters against a real OpenTelemetry Collector and against a receiver that misbehaves.

usage: test_export.py [--build DIR] [-k WORD]

send_spans (tests/e2e/otlp/send_spans.c) hands spans to one exporter; what arrives is read from the
Collector's own output, and what the exporter says about it from its ledger. Python's json and the
Collector decode, nothing of clew does. Last line: 'N passed, N failed, N skipped'.
"""
import argparse
import email.utils
import gzip
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DEADLINE = 20
ENV = None  # of send_spans: no proxy, no OTEL_ variable of the user


class Skip(Exception):
    pass


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def wait_for(what, check, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        got = check()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError(f"not within {deadline} s: {what}")


# ---- the Collector ---------------------------------------------------------------------------

class Collector:
    def __init__(self, binary, tmp, *extra, **env):
        self.ports = dict(zip(("GRPC", "HTTP", "HEALTH", "SELF"), free_ports(4)))
        self.file = os.path.join(tmp, f"collector-{self.ports['GRPC']}.jsonl")
        self.log = open(self.file + ".log", "wb")
        conf = os.path.join(ROOT, "tools", "otelcol")
        args = [binary]
        for name in ("config.yaml",) + extra:
            args += ["--config", os.path.join(conf, name)]
        vals = {f"CLEW_COL_{k}": str(v) for k, v in self.ports.items()}
        vals["CLEW_COL_FILE"] = self.file
        vals.update(env)
        self.proc = subprocess.Popen(args, env={**os.environ, **vals}, stdout=self.log,
                                     stderr=self.log)
        try:
            wait_for("Collector is ready", self.ready)
        except Exception:
            self.stop()
            raise

    def ready(self):
        if self.proc.poll() is not None:
            raise AssertionError("Collector ended: " + open(self.file + ".log").read()[-2000:])
        try:
            url = f"http://127.0.0.1:{self.ports['HEALTH']}/"
            return urllib.request.urlopen(url, timeout=1).status == 200
        except OSError:
            return False

    def stop(self):
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.log.close()

    def records(self):
        """The whole lines that were written so far."""
        if not os.path.exists(self.file):
            return []
        with open(self.file, encoding="utf-8") as f:
            return [json.loads(x) for x in f.read().split("\n")[:-1] if x]

    def forget(self):
        """What comes next is another test's: remember how much there is."""
        return len(self.records())

    def wait_spans(self, since, n):
        def check():
            got = spans_of(self.records()[since:])
            return got if len(got) >= n else None
        got = wait_for(f"{n} spans at the Collector", check)
        assert len(got) == n, f"{len(got)} spans arrived, {n} were sent"
        return got


def spans_of(records):
    return [(r["resource"], ss["scope"], span) for rec in records
            for r in rec.get("resourceSpans", []) for ss in r["scopeSpans"]
            for span in ss["spans"]]


def attrs_of(thing):
    return {a.get("key", ""): a["value"] for a in thing.get("attributes", [])}


# ---- send_spans ------------------------------------------------------------------------------

def send(**opts):
    """Run send_spans; returns (exit code, ledger, standard error)."""
    fd, ledger = tempfile.mkstemp(prefix="clew-ledger-")
    os.close(fd)
    headers = opts.pop("headers", {})
    env = dict(ENV, **opts.pop("env", {}))
    args = [SEND] + [f"{k}={v}" for k, v in opts.items()] + [f"ledger={ledger}"]
    args += [f"header={k}:{v}" for k, v in headers.items()]
    try:
        run = subprocess.run(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=90)
        text = open(ledger).read()
    finally:
        os.unlink(ledger)
    err = run.stderr.decode(errors="replace")
    assert "Sanitizer" not in err, err
    book = json.loads(text) if text else None
    if book:
        assert book["balanced"] is True, err
        (out,) = book["spans"]["exported"].values()
        (lost,) = book["spans"]["dropped"].values()
        assert book["spans"]["built"] == out + sum(lost.values()), book
        book = {"exported": out, **{k: v for k, v in lost.items() if v}}
    return run.returncode, book, err


def check_plain(got, n, resources=3):
    """The spans of make_span.h, as send_spans numbered them."""
    assert len({s["spanId"] for _, _, s in got}) == n
    services = {}
    for res, scope, s in got:
        assert scope["name"] == "clew" and scope["version"], scope
        ra, a = attrs_of(res), attrs_of(s)
        assert ra["process.pid"] == {"intValue": "4242"}, ra
        name = ra["service.name"]["stringValue"]
        args = ra["process.command_args"]["arrayValue"]["values"]
        assert [x["stringValue"] for x in args] == [name, "-x", ""], args
        i = int(a["url.path"]["stringValue"].split("/")[2])
        assert name == f"service-{i % resources}", (name, i)
        services[name] = services.get(name, 0) + 1
        assert s["kind"] == (3 if i % 2 else 2) and s["name"] == "GET"
        assert s["flags"] == 0x101
        assert int(s["startTimeUnixNano"]) == 1700000000000000000 + i * 1000
        assert int(s["endTimeUnixNano"]) - int(s["startTimeUnixNano"]) == 1234567
        assert len(s["traceId"]) == 32 and bool(s.get("parentSpanId")) == bool(i % 4)
        assert len(s["attributes"]) == 15
        assert a["http.response.status_code"] == {"intValue": "200"}, a
    assert len(services) == min(resources, n)


# ---- against the Collector -------------------------------------------------------------------

def url(col, kind, tls=False):
    scheme = "https" if tls else "http"
    if kind == "grpc":
        return {"target": f"{scheme}://127.0.0.1:{col.ports['GRPC']}"}
    base = f"{scheme}://127.0.0.1:{col.ports['HTTP']}"
    return {"target": base + "/v1/traces", "metrics": base + "/v1/metrics"}


def collector_case(kind, gz):
    def test(ctx):
        col = ctx.collector()
        since = col.forget()
        code, book, err = send(kind=kind, n=1500, gzip=gz, **url(col, kind))
        assert code == 0 and book == {"exported": 1500}, (book, err)
        check_plain(col.wait_spans(since, 1500), 1500)

        def metric():
            for rec in col.records()[since:]:
                for rm in rec.get("resourceMetrics", []):
                    return rm
            return None
        rm = wait_for("the metric", metric)
        assert attrs_of(rm["resource"])["service.name"] == {"stringValue": "clew"}
        assert attrs_of(rm["resource"])["telemetry.sdk.name"] == {"stringValue": "clew"}
        (m,) = rm["scopeMetrics"][0]["metrics"]
        (p,) = m["sum"]["dataPoints"]
        assert m["name"] == "clew.test.spans" and m["unit"] == "{span}"
        assert m["sum"]["isMonotonic"] is True and m["sum"]["aggregationTemporality"] == 2
        assert p["asInt"] == "7" and attrs_of(p) == {"state": {"stringValue": "made"}}
        assert 0 < int(p["startTimeUnixNano"]) <= int(p["timeUnixNano"])
    test.__name__ = f"collector_{kind}{'_gzip' if gz else ''}"
    return test


def full_case(kind):
    """Every field, and text that is not UTF-8."""
    def test(ctx):
        col = ctx.collector()
        since = col.forget()
        code, book, err = send(kind=kind, n=1, full=1, **url(col, kind))
        assert code == 0 and book == {"exported": 1}, (book, err)
        (_, _, s), = col.wait_spans(since, 1)
        a = attrs_of(s)
        assert s["name"] == "G\u00e9T \u20ac \U0001f600 \ufffd(", s["name"]
        assert s["traceState"] == "ot=th:8" and s["kind"] == 5 and s["flags"] == 0x301
        assert s["status"] == {"code": 2, "message": 'line\nfeed "quoted" \\ \x01'}, s["status"]
        assert s["droppedAttributesCount"] == 3, s
        assert (s["droppedEventsCount"], s["droppedLinksCount"]) == (200, 70000)
        assert a["yes"] == {"boolValue": True} and a["no"] == {"boolValue": False}
        assert a["minus"] == {"intValue": str(-2**63)} and a["empty"] == {"stringValue": ""}
        first, second = s["events"]
        assert first["name"] == "first byte" and len(second["attributes"]) == 3
        ea = attrs_of(second)
        words = [x.get("stringValue", "") for x in ea["list"]["arrayValue"]["values"]]
        assert words == ["one", "", "t\ufffdwo"] and ea["half"] == {"doubleValue": 0.5}
        link = s["links"][0]
        assert link["traceId"] == "010203" + "0" * 26 and link["spanId"] == "09" + "0" * 14
        assert link["traceState"] == "k=v" and link["flags"] == 0x301
    test.__name__ = f"collector_{kind}_every_field"
    return test


def tls_case(kind):
    def test(ctx):
        col, pki = ctx.tls_collector()
        opts = url(col, kind, tls=True)
        since = col.forget()
        code, book, err = send(kind=kind, n=100, ca=pki["ca.pem"], cert=pki["client.pem"],
                               key=pki["client.key"], gzip=1, **opts)
        assert code == 0 and book == {"exported": 100}, (book, err)
        check_plain(col.wait_spans(since, 100), 100)
        # without a client certificate, and with an authority that did not sign the server's:
        # nothing may be delivered
        for bad in ({"ca": pki["ca.pem"]},
                    {"ca": pki["other.pem"], "cert": pki["client.pem"],
                     "key": pki["client.key"]}):
            code, book, err = send(kind=kind, n=10, retry=100, give_up=300, stop=3000, wait=500,
                                   **bad, **opts)
            assert book.get("exported") == 0, (bad, book, err)
            assert "exporter otlp-" in err, err
    test.__name__ = f"collector_{kind}_mtls"
    return test


def collector_down_then_up(ctx):
    """gRPC: the receiver is away, then there: nothing is lost, said once."""
    grpc_port, = free_ports(1)
    proc = None
    fd, ledger = tempfile.mkstemp()
    os.close(fd)
    sender = subprocess.Popen(
        [SEND, "kind=grpc", f"target=http://127.0.0.1:{grpc_port}", "n=2000", "retry=200",
         "retry_max=1000", "wait=60000", f"ledger={ledger}"], env=ENV, stderr=subprocess.PIPE)
    try:
        time.sleep(3)  # the outage; gRPC's and our backoff grow meanwhile
        col = Collector.__new__(Collector)
        ports = free_ports(3)
        col.ports = {"GRPC": grpc_port, "HTTP": ports[0], "HEALTH": ports[1], "SELF": ports[2]}
        col.file = os.path.join(ctx.tmp, "late.jsonl")
        col.log = open(col.file + ".log", "wb")
        vals = {f"CLEW_COL_{k}": str(v) for k, v in col.ports.items()}
        col.proc = proc = subprocess.Popen(
            [ctx.binary(), "--config", os.path.join(ROOT, "tools", "otelcol", "config.yaml")],
            env={**os.environ, **vals, "CLEW_COL_FILE": col.file}, stdout=col.log,
            stderr=col.log)
        wait_for("Collector is ready", col.ready)
        ready = time.monotonic()
        check_plain(col.wait_spans(0, 2000), 2000)
        took = time.monotonic() - ready
        assert took < 5, f"noticed only {took:.1f} s after the receiver was back"
        sender.send_signal(signal.SIGTERM)  # it has done its work: do not wait the minute
        err = sender.communicate(timeout=30)[1].decode()
        assert err.count("trying again") == 1 and err.count("delivering again") == 1, err
    finally:
        os.unlink(ledger)
        if sender.poll() is None:
            sender.kill()
            sender.wait()
        if proc:
            col.stop()


# ---- against a receiver that misbehaves ------------------------------------------------------

class Rogue:
    """An HTTP receiver; `script` answers the n-th request, the last entry all later ones.

    An entry is a function of the handler that answers, or does not.
    """

    def __init__(self, *script):
        rogue = self
        self.requests = []  # (path, headers, body, time)
        self.lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with rogue.lock:
                    rogue.requests.append((self.path, dict(self.headers), body,
                                           time.monotonic()))
                    n = len(rogue.requests)
                script[min(n, len(script)) - 1](self)

            def answer(self, code, body=b"", type_="application/x-protobuf", **headers):
                self.send_response(code)
                for k, v in headers.items():
                    self.send_header(k.replace("_", "-"), v)
                self.send_header("Content-Type", type_)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/traces"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def ok(h):
    h.answer(200)


def status(code, **headers):
    return lambda h: h.answer(code, **headers)


def varint(v):
    out = b""
    while True:
        out += bytes([v & 0x7f | (0x80 if v > 0x7f else 0)])
        v >>= 7
        if not v:
            return out


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def partial(rejected, message):
    body = field(1, b"\x08" + varint(rejected) + field(2, message.encode()))
    return lambda h: h.answer(200, body)


def hang_up(h):
    h.close_connection = True
    h.connection.shutdown(socket.SHUT_RDWR)


def cut_answer(h):
    h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
                  b"Content-Length: 100\r\n\r\n\x0a")
    hang_up(h)


def slow(h):
    time.sleep(3)
    hang_up(h)


def endless(h):
    h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\r\n")
    for _ in range(100):
        h.wfile.write(b"\xff" * 65536)
    hang_up(h)


def rogue_retry_after_seconds(ctx):
    with Rogue(status(503, Retry_After="2"), ok) as r:
        code, book, err = send(kind="http", target=r.url, n=10, retry=50, wait=4000)
        gap = r.requests[1][3] - r.requests[0][3]
        assert book == {"exported": 10} and len(r.requests) == 2, (book, err)
        assert 1.9 <= gap < 4, gap
        assert r.requests[0][2] == r.requests[1][2]  # the same batch
        assert err.count("trying again") == 1 and err.count("delivering again") == 1, err


def rogue_retry_after_date(ctx):
    when = email.utils.formatdate(time.time() + 3, usegmt=True)
    with Rogue(status(429, Retry_After=when), ok) as r:
        code, book, err = send(kind="http", target=r.url, n=10, retry=50, wait=5000)
        gap = r.requests[1][3] - r.requests[0][3]
        assert book == {"exported": 10} and len(r.requests) == 2, (book, err)
        assert 1 <= gap < 5, gap


def rogue_backoff(ctx):
    codes = [429, 502, 503, 504]
    with Rogue(*[status(c) for c in codes], hang_up, ok) as r:
        code, book, err = send(kind="json", target=r.url, n=10, retry=50, wait=3000)
        assert book == {"exported": 10} and len(r.requests) >= 6, (book, err)
        assert err.count("trying again") == 1, err


def rogue_never_again(ctx):
    for c in (400, 401, 404, 500, 301):
        with Rogue(status(c)) as r:
            code, book, err = send(kind="http", target=r.url, n=10, retry=20, wait=300)
            assert book == {"exported": 0, "rejected": 10}, (c, book, err)
            assert len(r.requests) == 1 and f"HTTP {c}" in err, (c, err)


def rogue_error_text(ctx):
    msg = field(2, b"bad span \x1b[31m")
    with Rogue(lambda h: h.answer(400, msg)) as r:
        _, book, err = send(kind="http", target=r.url, n=1)
        assert "bad span ?[31m" in err and "\x1b" not in err, err
    body = json.dumps({"code": 3, "message": "no such tenant"}).encode()
    with Rogue(lambda h: h.answer(400, body, "application/json")) as r:
        _, book, err = send(kind="json", target=r.url, n=1)
        assert "no such tenant" in err, err


def rogue_partial_success(ctx):
    with Rogue(partial(3, "three are bad")) as r:
        code, book, err = send(kind="http", target=r.url, n=20, batch=10, retry=20)
        assert book == {"exported": 14, "rejected": 6} and len(r.requests) == 2, (book, err)
        assert err.count("three are bad") == 1, err
    body = b'{"partialSuccess":{"rejectedSpans":"4","errorMessage":"four"}}'
    with Rogue(lambda h: h.answer(200, body, "application/json; charset=utf-8")) as r:
        code, book, err = send(kind="json", target=r.url, n=10)
        assert book == {"exported": 6, "rejected": 4} and len(r.requests) == 1, (book, err)
    with Rogue(partial(2**40, "more than there were")) as r:
        code, book, err = send(kind="http", target=r.url, n=10)
        assert book == {"exported": 0, "rejected": 10}, (book, err)


def rogue_cut_answer(ctx):
    """The status said yes: sending again would double the spans."""
    with Rogue(cut_answer) as r:
        code, book, err = send(kind="http", target=r.url, n=10, retry=50, wait=500)
        assert book == {"exported": 10} and len(r.requests) == 1, (book, err)


def rogue_endless_answer(ctx):
    with Rogue(endless) as r:
        code, book, err = send(kind="http", target=r.url, n=10)
        assert book == {"exported": 10}, (book, err)


def rogue_slow(ctx):
    with Rogue(slow, ok) as r:
        code, book, err = send(kind="http", target=r.url, n=10, timeout=300, retry=50, wait=1500)
        assert book == {"exported": 10} and len(r.requests) == 2, (book, err)


def rogue_slow_at_stop(ctx):
    """A hanging receiver does not hold up the end longer than the deadline."""
    with Rogue(slow) as r:
        start = time.monotonic()
        code, book, err = send(kind="http", target=r.url, n=10, timeout=10000, stop=500)
        took = time.monotonic() - start
        assert book == {"exported": 0, "shutdown": 10} and took < 2.5, (took, book, err)


def rogue_too_large(ctx):
    """413: the batch is halved until it passes."""
    with Rogue(lambda h: h.answer(413 if len(r.requests[-1][2]) > 3000 else 200)) as r:
        code, book, err = send(kind="http", target=r.url, n=40)
        assert book == {"exported": 40}, (book, err)
        assert max(len(x[2]) for x in r.requests) > 3000  # the refused ones are there
    with Rogue(status(413)) as r:
        code, book, err = send(kind="http", target=r.url, n=5)
        assert book == {"exported": 0, "rejected": 5}, (book, err)


def rogue_headers_and_bytes(ctx):
    with Rogue(ok) as r:
        env = {"http_proxy": "http://127.0.0.1:9", "all_proxy": "http://127.0.0.1:9"}
        send(kind="http", target=r.url, n=5, gzip=1, env=env,
             headers={"Authorization": "Basic abc=", "X-Empty": ""})
        send(kind="json", target=r.url, n=5)
        (path, h1, b1, _), (_, h2, b2, _) = r.requests
        assert path == "/v1/traces"
        assert h1["Content-Type"] == "application/x-protobuf"
        assert h1["Content-Encoding"] == "gzip" and gzip.decompress(b1)[0] == 0x0a
        assert h1["Authorization"] == "Basic abc=" and h1["X-Empty"] == ""
        assert h1["User-Agent"].startswith("clew-otlp-exporter/") and "Expect" not in h1
        assert h2["Content-Type"] == "application/json" and "Content-Encoding" not in h2
        spans = spans_of([json.loads(b2)])
        check_plain(spans, 5)


def bad_settings(ctx):
    """One clear line, at once."""
    empty = os.path.join(ctx.tmp, "empty.pem")
    open(empty, "w").close()
    cases = [
        (dict(kind="http", target="ftp://x/"), "is no http:// or https:// URL"),
        (dict(kind="grpc", target="ftp://x/"), "is no endpoint"),
        (dict(kind="grpc", target="http://"), "is no endpoint"),
        (dict(kind="grpc", target="https://x:1", ca="/nonexistent.pem"), "/nonexistent.pem"),
        (dict(kind="http", target="https://x:1", ca=empty), "no PEM block"),
        (dict(kind="http", target="https://x:1", cert=__file__), "without its key"),
        (dict(kind="http", target="http://x:1", headers={"a b": "c"}), "not an HTTP token"),
        (dict(kind="grpc", target="http://x:1", headers={"a": "b\nc"}), "not printable"),
        (dict(kind="file", target="/nonexistent/x"), "cannot open /nonexistent/x"),
    ]
    for opts, want in cases:
        code, _, err = send(n=1, **opts)
        lines = [x for x in err.splitlines() if x.startswith("clew: ")]
        assert code == 1 and len(lines) == 1 and want in lines[0], (opts, err)


# ---- file and console ------------------------------------------------------------------------

def file_lines(ctx):
    path = os.path.join(ctx.tmp, "spans.jsonl")
    for _ in range(2):  # the second run appends
        code, book, err = send(kind="file", target=path, n=1200, batch=512)
        assert book == {"exported": 1200}, (book, err)
    with open(path, encoding="utf-8") as f:
        records = [json.loads(x) for x in f]
    assert len(records) == 6 and all(list(r) == ["resourceSpans"] for r in records)
    check_plain(spans_of(records[:3]), 1200)
    for rec in records:
        assert len(rec["resourceSpans"]) == 3  # one per resource and batch


def console_lines(ctx):
    run = subprocess.run([SEND, "kind=console", "n=3", "full=1"], env=ENV, timeout=60,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = run.stdout.decode().splitlines()
    assert run.returncode == 0 and len(lines) == 3, run
    assert " service-1 CLIENT GET unset 1.235ms trace=" in lines[1], lines[1]
    assert lines[1].endswith(" link=exact") and "parent=" in lines[1]
    assert "CONSUMER G\u00e9T \u20ac \U0001f600 ?( error" in lines[0], lines[0]


# ---- running ---------------------------------------------------------------------------------

def openssl(tmp):
    """A small PKI: an authority, a server and a client certificate, and a foreign authority."""
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    d = os.path.join(tmp, "pki")
    os.mkdir(d)

    def run(*args):
        subprocess.run(("openssl",) + args, cwd=d, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for ca in ("ca", "other"):
        run("req", "-x509", *ec, "-keyout", ca + ".key", "-out", ca + ".pem", "-days", "2",
            "-subj", f"/CN=clew test {ca}")
    for who in ("server", "client"):
        run("req", *ec, "-keyout", who + ".key", "-out", who + ".csr", "-subj", f"/CN={who}",
            "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        run("x509", "-req", "-in", who + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days",
            "2", "-copy_extensions", "copy", "-out", who + ".pem")
    return {f: os.path.join(d, f) for f in os.listdir(d)}


class Context:
    def __init__(self, tmp):
        self.tmp = tmp
        self.made = {}

    def once(self, key, make):
        if key not in self.made:
            try:
                self.made[key] = make()
            except Exception as e:  # every later user gets the same answer
                self.made[key] = e
        if isinstance(self.made[key], Exception):
            raise self.made[key]
        return self.made[key]

    def binary(self):
        def make():
            if not shutil.which("go"):
                raise Skip("go is not installed: no Collector")
            script = os.path.join(ROOT, "tools", "otelcol", "build.sh")
            run = subprocess.run([script], stdout=subprocess.PIPE, timeout=1200)
            if run.returncode == 3:
                raise Skip("there is no Go that can build the Collector")
            assert run.returncode == 0, "the Collector cannot be built"
            return run.stdout.decode().strip()
        return self.once("binary", make)

    def collector(self):
        return self.once("plain", lambda: Collector(self.binary(), self.tmp))

    def tls_collector(self):
        def make():
            pki = openssl(self.tmp)
            col = Collector(self.binary(), self.tmp, "tls.yaml", CLEW_COL_CERT=pki["server.pem"],
                            CLEW_COL_KEY=pki["server.key"], CLEW_COL_CLIENT_CA=pki["ca.pem"])
            return col, pki
        return self.once("tls", make)

    def close(self):
        for thing in self.made.values():
            if isinstance(thing, tuple):
                thing = thing[0]
            if isinstance(thing, Collector):
                thing.stop()


TESTS = [collector_case(k, z) for k in ("grpc", "http", "json") for z in (0, 1)]
TESTS += [full_case(k) for k in ("grpc", "http", "json")]
TESTS += [tls_case(k) for k in ("grpc", "http", "json")]
TESTS += [collector_down_then_up, rogue_retry_after_seconds, rogue_retry_after_date,
          rogue_backoff, rogue_never_again, rogue_error_text, rogue_partial_success,
          rogue_cut_answer, rogue_endless_answer, rogue_slow, rogue_slow_at_stop,
          rogue_too_large, rogue_headers_and_bytes, bad_settings, file_lines, console_lines]


def main():
    global SEND, ENV
    p = argparse.ArgumentParser()
    p.add_argument("--build", default=os.path.join(ROOT, "build"),
                   help="the build folder; send_spans is in its tests/e2e/otlp")
    p.add_argument("-k", default="", help="only tests whose name has this in it")
    args = p.parse_args()
    SEND = os.path.join(os.path.abspath(args.build), "tests", "e2e", "otlp", "send_spans")
    ENV = {k: v for k, v in os.environ.items()
           if not k.startswith("OTEL_") and not k.lower().endswith("_proxy")}
    if not os.access(SEND, os.X_OK):
        print(f"{SEND} is missing: build it first")
        print("0 passed, 1 failed, 0 skipped")
        return 1
    tmp = tempfile.mkdtemp(prefix="clew-export-")
    ctx = Context(tmp)
    passed = failed = skipped = 0
    try:
        for test in TESTS:
            if args.k not in test.__name__:
                continue
            start = time.monotonic()
            try:
                test(ctx)
                word, passed = "ok", passed + 1
            except Skip as e:
                word, skipped = f"skipped: {e}", skipped + 1
            except Exception as e:
                word, failed = f"FAILED: {type(e).__name__}: {e}", failed + 1
            print(f"{test.__name__}: {word} ({time.monotonic() - start:.1f} s)", flush=True)
    finally:
        ctx.close()
        shutil.rmtree(tmp, ignore_errors=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
