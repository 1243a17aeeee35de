#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds for fuzz_span, fuzz_env, fuzz_answer, fuzz_proc, fuzz_record and fuzz_bpf.

Usage: corpus_texts.py [OUTPUT_FOLDER]      (default tests/fuzz/corpus)
"""
import pathlib
import struct
import sys

SPAN = ("method", "target", "host", "agent", "forwarded", "for", "proto", "tracestate", "type")


def span(flags, *headers, **fields):
    lines = [fields.get(f, "") for f in SPAN] + list(headers)
    return bytes([flags]) + "\n".join(lines).encode()


TP = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SPANS = {
    "server": span(16 + 2, TP, "ot=th:8,vendor@sys=a", "a=1&token=x&sig=&b", method="GET", target="/a/b?x=1&token=secret#f",
                   host="shop.example:8080", agent="curl/8", forwarded='for="[2001:db8::1]:80";proto=https;host=a:81',
                   tracestate="a=1"),
    "client": span(64 + 16, "cc-" + TP[3:] + "-more", "=,a=1", "password=1", method="PURGE", target="http://u:p@h.example/p?sig=1",
                   host="u:p@h"),
    "connect": span(4, "ff-" + TP[3:], ",".join(f"k{i}=v" for i in range(33)), method="CONNECT", target="u:p@h:443"),
    "v6": span(32 + 2, TP.upper(), "a=" + "v" * 256, "%74oken=1;a", method="OPTIONS", target="*", host="[::1]:99999",
               **{"for": "192.0.2.1, 192.0.2.2", "proto": "https"}),
    "strange": span(8 + 16 + 2, TP[:-1] + "x", ",".join("long%d=" % i + "x" * 150 for i in range(6)), "a&&=&token",
                    method="GET", target="httpx?password=a://b", host="[bad", forwarded="by=a;for=;host"),
    "empty": span(0, "00-" + "0" * 32 + TP[35:], TP[:36] + "0" * 16 + "-00", target=""),
}


def words(command, *w):
    return bytes([command]) + b"\0".join(x.encode() for x in w) + b"\0"


OTLP = "OTEL_EXPORTER_OTLP_"
ENVS = {
    "run": words(0, "--pid", "1", "--port", "80,8080", "--exe", "*/x", "--export", "file=/tmp/x", "-v", "--all", "--exclude-path",
                 "/health*", "--log-level", "warn"),
    "command": words(0, "--export", "otlp-grpc=http://u:p@h:4317", "--", "sleep", "1"),
    "flags": words(1, "--capture-layer=rawtp", "--cgroup", "/a", "--container", "a" * 64, "--ledger", "l", "--no-listen"),
    "wrong": words(1, "--pi", "x", "--nothing", "-z", "word"), "missing": words(0, "--pid"),
    "replay": words(2, "file", "--export", "console", "--pid", "3"), "record": words(3, "-o", "x", "--pid", "3"),
    "env": words(1, "CLEW_SAMPLE_RATE=0.5", "CLEW_CAPTURE__RING_BYTES=1MiB", "CLEW_SELECT__PORTS=1,2", "CLEW_LOG_LEVEL=debug",
                 "CLEW_DISTRIBUTED_TRACING__SERVICE_NAME=a", "CLEW_PORT_4317_TCP=tcp://1", "CLEW_SERVICE_HOST=x", "CLEW_ENABLED=no"),
    "env-wrong": words(1, "CLEW_NO_SUCH=1"), "env-bad": words(1, "CLEW_SAMPLE_RATE=2"), "env-all": words(1, "CLEW_SELECT__ALL=true"),
    "otel": words(1, OTLP + "ENDPOINT=http://h:4318/x", OTLP + "HEADERS=a=b%20c,d=e", OTLP + "COMPRESSION=gzip", OTLP + "TIMEOUT=100",
                  OTLP + "PROTOCOL=grpc", "OTEL_SERVICE_NAME=s", "OTEL_RESOURCE_ATTRIBUTES=a=b,service.name=%41",
                  "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.1", "OTEL_BSP_SCHEDULE_DELAY=10"),
    "otel-metrics": words(1, OTLP + "TRACES_ENDPOINT=http://h:4318/v1/traces", OTLP + "METRICS_ENDPOINT=http://m:4318",
                          OTLP + "METRICS_PROTOCOL=http/json", OTLP + "CERTIFICATE=/c", OTLP + "INSECURE=true", OTLP + "METRICS_HEADERS=a=b"),
    "otel-same": words(1, OTLP + "ENDPOINT=http://h:4317", OTLP + "METRICS_TIMEOUT=10000", "OTEL_METRICS_EXPORTER=none"),
    "otel-list": words(1, "OTEL_TRACES_EXPORTER=otlp, console ,none,zipkin", "OTEL_SDK_DISABLED=true", "OTEL_TRACES_SAMPLER=always_off",
                       "OTEL_BSP_MAX_QUEUE_SIZE=-1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=9", "OTEL_LOG_LEVEL=x"),
    "otel-bad": words(1, OTLP + "ENDPOINT=ftp://h", OTLP + "HEADERS==", OTLP + "PROTOCOL=x", "OTEL_TRACES_SAMPLER=x", "OTEL_TRACES_SAMPLER_ARG=9"),
    "shorthand": words(1, "CLEW_OTLP_ENDPOINT=h:4317", "--export", "otlp-json=http://[::1]:4318", "--export", "otlp-http=https://h/base"),
}


def field(number, data):
    return bytes([number << 3 | 2, len(data)]) + data


RETRY = field(1, b"type.googleapis.com/google.rpc.RetryInfo") + field(2, field(1, b"\x08\x05\x10\x01"))
ANSWERS = {
    "partial": field(1, b"\x08\x05" + field(2, b"too large")), "negative": field(1, b"\x08" + b"\xff" * 9 + b"\x01"), "empty": b"",
    "status": b"\x08\x0e" + field(2, b"slow down\n\x1b[1m") + field(3, RETRY), "other": field(3, field(1, b"x")),
    "json": b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no\\nroom"}}', "number": b'{"partialSuccess":{"rejectedDataPoints":2}}',
    "minus": b'{"partialSuccess":{"rejectedSpans":"-3"}}', "status-json": b'{"code":14,"message":"busy"}', "list": b"[1]",
}
STAT = b"12 (a b) c) S 1 12 12 0 -1 4194304 99 0 0 0 1 1 0 0 20 0 1 0 123456 0 0 184467"
PROCS = {
    "stat": b"\0" + STAT, "stat-bad": b"\0" + b"1 (x",
    "maps": b"\1" + b"55d0-55e0 r-xp 00001000 fe:01 123   /usr/bin/a\\012b (deleted)\n7f00-7f10 rw-p 0 00:00 0 [heap]\n",
    "tcp": b"\1" + b"  sl  local_address rem\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 4242 1\n",
    "python": b"\2python3\0-Bum\0uvicorn\0shop.main:app\0--password\0x\0", "python-file": b"\2python3\0-W\0x\0/srv/shop/manage.py\0",
    "gunicorn": b"\2gunicorn: worker [shop]\0", "flask": b"\2python3\0/usr/bin/flask\0--app\0shop\0", "node": b"\2node\0-r\0x\0/app/index.js\0",
    "python-m": b"\2python3\0-m\0a.b.__main__\0", "python-c": b"\2python3\0-c\0x\0", "uwsgi": b"\2uwsgi\0--module=shop:app\0",
    "java": b"\2java\0-cp\0x\0-Xmx1g\0com.example.Main\0", "jar": b"\2java\0-jar\0/a/b.jar\0", "java-m": b"\2java\0-m\0mod/com.x\0",
    "secrets": b"\2a\0--token=x\0postgres://u:p@h/d?sslkey=1&password=2\0--api-key\0y\0k=v;Password=3 a\0",
    "docker": b"\3" + b"0::/system.slice/docker-" + b"ab12" * 16 + b".scope\n", "fargate": b"\3" + b"1:cpu:/ecs/" + b"0a" * 16 + b"-1234567890\n",
    "unit": b"\3" + b"0::/system.slice/shop\\x2dweb.service\n", "attributes": b"\3" + b"a=b, service.name = %41%zz ,c",
    "environ": b"\4" + b"A=1\0OTEL_SERVICE_NAME=shop\0B", "environ-none": b"\4OTEL_SERVICE_NAMES=x\0",
}


def seg(direction, data, more=0, lost=0):
    return bytes([direction | more << 1 | lost << 7, len(data)]) + data


GET = b"GET /a?token=x HTTP/1.1\r\nHost: h\r\nAuthorization: Basic abc\r\n def\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=b\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"
EVENT = struct.pack("<BBHIIIQ", 1, 32, 32, 0, 0, 0, 5) + struct.pack("<Q", 7)
RECORDS = {
    "file": b"clew recording 1       \n" + EVENT * 2, "file-cut": b"clew recording 1       \n" + EVENT[:20], "file-other": b"clew something else",
    "get": b"w" + seg(0, GET) + seg(1, CHUNKED) + seg(0, GET),
    "post": b"w" + seg(0, b"POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\n1234", 4) + seg(1, b"HTTP/1.1 204 No\r\n\r\n") + seg(0, GET),
    "close": b"w" + seg(0, GET) + seg(1, b"HTTP/1.1 200 OK\r\n\r\nuntil the end 0\r\n\r\n"),
    "lost": b"w" + seg(0, GET[:20]) + seg(0, GET[20:], lost=1) + seg(1, b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n") + seg(1, CHUNKED),
    "upgrade": b"w" + seg(0, GET) + seg(1, b"HTTP/1.1 101 S\r\n\r\n") + seg(0, b"LOGIN user password") + seg(1, b"HELLO there"),
    "connect": b"w" + seg(0, b"CONNECT h:1 HTTP/1.1\r\n\r\n") + seg(1, b"HTTP/1.1 200 OK\r\n\r\n") + seg(0, b"LOGIN user password"),
    "absolute": b"w" + seg(0, b"GET http://u:p@h/?sig=1&a HTTP/1.1\r\n\r\n") + seg(1, b"HTTP/1.1 100 C\r\n\r\n" + CHUNKED[:70]) + seg(1, CHUNKED[70:]),
}


def call(what, layout, content, *sizes):
    return bytes([what, layout, content, *sizes])


BPFS = {
    "accepted": bytes([0x0b]) + call(0, 0, 8, 200) + call(1, 1, 9, 30, 90) + call(1, 0x22, 31, 200, 200, 9) + call(0, 0, 8, 30),
    "510": bytes([0]) + call(0, 0x4f, 10, *([9] * 16)) + call(1, 3, 9, 10, 40, 0, 9),
    "unix": bytes([0x17]) + call(1, 0, 8, 60) + call(2, 0, 9, 60) + call(8, 0, 0, 99) + call(4, 0, 0, 99) + call(0, 0, 0, 0),
    "other": bytes([0x0b]) + call(0, 0, 15, 60) + call(1, 0, 0, 9), "h2": bytes([3]) + call(0, 0, 13, 60) + b"".join(call(i & 1, 0, 0, 9) for i in range(9)),
    "small": bytes([0x23]) + call(0, 0, 14, 99) + call(12, 0, 8, 99) + call(1, 0x20, 11, 200) + call(0, 0x48, 8, *([30] * 9)),
}


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "corpus"
    sets = {"span": SPANS, "env": ENVS, "answer": ANSWERS, "proc": PROCS, "record": RECORDS, "bpf": BPFS}
    for target, seeds in sets.items():
        (out / target).mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (out / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
