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
    "file": words(1, "--config=capture:\n  layer: rawtp\nselect:\n  all: true\nexporters:\n- type: console\n", "CLEW_CAPTURE__LAYER=auto"),
    "file-wrong": words(0, "--config=nothing: 1\n", "--all"), "file-twice": words(1, "--config=", "--config=", "--conf"),
    "none-selected": words(0, "-v"), "no-output": words(3, "--all"), "no-command": words(0, "--"), "after": words(2, "x", "--", "y"),
    "two-files": words(2, "a", "b"), "word": words(0, "--all", "word"), "value": words(0, "--all=1"), "listen": words(0, "--all", "--listen=:1"),
    "output": words(0, "--all", "-o", "x"), "container": words(1, "--container=" + "0" * 64, "--cgroup=/a/b", "--capture-layer=x"),
    "container-short": words(1, "--container=abc"), "env-exporters": words(1, "CLEW_EXPORTERS=console"),
    "env-twice": words(1, "CLEW_LOG_LEVEL=debug", "CLEW_DISTRIBUTED_TRACING__LOG_LEVEL=info", "CLEW_SAMPLE_RATE="),
    "bsp": words(1, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=9000", "OTEL_BSP_MAX_QUEUE_SIZE=100", "OTEL_BSP_EXPORT_TIMEOUT=7",
                 OTLP + "ENDPOINT=http://h:4318"),
    "exports": words(1, "--export=jaeger-udp=h:1", "--export=otlp"), "export-none": words(1, "--export=file"),
    "export-target": words(1, "--export=console=x"), "export-unknown": words(1, "--export=nothing=x"),
    "headers": words(1, OTLP + "ENDPOINT=http://h:4318", OTLP + "HEADERS=" + ",".join("k%d=v" % i for i in range(70))),
    "metrics-grpc": words(1, OTLP + "PROTOCOL=grpc", OTLP + "METRICS_ENDPOINT=http://h", OTLP + "METRICS_TIMEOUT=7", OTLP + "ENDPOINT=http://g"),
    "shorthand": words(1, "CLEW_OTLP_ENDPOINT=h:4317", "--export", "otlp-json=http://[::1]:4318", "--export", "otlp-http=https://h/base"),
}


EXPORT = "exporters:\n- type: %s\n"
CONFIGS = {
    "contradiction": EXPORT % "otlp-http\n  protocol: grpc\n  endpoint: http://h",
    "grpc-metrics": EXPORT % "otlp-grpc\n  endpoint: http://h\n  metrics_endpoint: http://m",
    "no-scheme": EXPORT % "otlp\n  protocol: http/json\n  endpoint: http://h\n  metrics_endpoint: m",
    "metrics": EXPORT % "otlp-http\n  endpoint: http://h/base\n  metrics_endpoint: https://m/v1/metrics\n  headers: {a: b, c: ~}",
    "twice": EXPORT % "console" * 2, "no-type": "exporters:\n- target: x\n- 1\n", "sections": "capture: ~\nselect: [1]\n",
    "lists": "select:\n  ports: [80, \"81\"]\n  exes: [a, ~]\n  pids: 1,2\n", "seed": "distributed_tracing:\n  sample_rate: 0.5\n",
    "quoted": "sample_rate: \"1\"\nlog_level: 'debug'\n", "unknown": "capture:\n  nothing: 1\n", "twice-key": "log_level: info\nlog_level: warn\n",
    "empty": "# nothing\n", "list": "- a\n", "alias": "a: &x 1\nb: *x\n", "tag": "a: !!int 1\n", "deep": "a: " + "[" * 40,
    "documents": "log_level: info\n---\na: 1\n", "bytes": "capture:\n  ring_bytes: 16 MiB\n", "text": "service_name: \"a\\u00e9\\n\"\n",
    "many": "".join("a%d: 1\n" % i for i in range(50)), "long": "service_name: " + "x" * 3000 + "\n",
    "choice": "capture:\n  layer: nothing\n", "resource": "resource_attributes: a=b,service.name=c\nexclude_paths: ['/a*', /b]\n",
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
    "select": b"\3/sys/fs/cgroup/unified/a/\n0::/a/b\n3:cpu,memory:/a\n1:name=systemd:/x\n", "select-v1": b"\3/sys/fs/cgroup/memory/a\n3:cpu,memory:/a/b\n",
    "select-group": b"\3/a\n0::/a/b\n", "select-named": b"\3/sys/fs/cgroup/systemd/x\n1:name=systemd:/x/y\n",
    "select-container": b"\3" + b"ab12" * 16, **{"self-%x" % c: bytes([5, c]) + b"a\0--password=x\0/b" + b"OTEL_RESOURCE_ATTRIBUTES=service.name=a,"
    b"service.namespace=n,service.version=1,service.instance.id=i,b=c\0" + b"X" * (c & 7) for c in (0x7f, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x01)},
    **{"self-args-%d" % n: b"\5" + b"python3\0app.py\0" + b"x" * n + b"OTEL_SERVICE_NAME=s\0" for n in range(0, 64, 5)},
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


def at(i):
    return 0x80 | i


def process(kind, numbers, words, *calls):
    """A process with a runtime: numbers as in fuzz_bpf.c, words of its memory by their place."""
    mem = bytearray(max(words, default=0) + 1)
    for i, v in words.items():
        mem[i] = v
    return bytes([0xab if calls[0][0] == 0 else 0xb3, kind, *numbers, *[0] * (20 - len(numbers)), len(mem)]) + bytes(mem) + b"".join(calls)


GO, PYTHON, NGINX, NODE, JAVA, HAPROXY = 1, 2, 3, 5, 6, 8
TALK = (call(0, 0, 8, 30), call(1, 0, 9, 60), call(0, 0, 8, 30))
CALL = (call(1, 0, 8, 30), call(0, 0, 9, 60), call(1, 0, 8, 30), call(0, 0, 9, 60))
JAVA_WORDS = {2: at(4), 5: at(8), 6: at(9), 8: at(10), 9: at(10), 11: at(4), 12: 5, 13: 16, 17: 20, 21: 7, 22: 10, 23: 3, 30: 1}
JAVA_OFFS = (at(1), 0, 1, 8, 8, 16, 8, 16, 8, 24, 8, 16, 24, 0, 8, 7, at(30))
PY_WORDS = {2: at(4), 5: at(8), 9: at(12), 10: 1, 17: at(60), 19: at(26), 20: 5, 21: at(50), 23: at(12), 29: at(32), 33: at(60), 39: 5,
            52: 2, 53: at(56)}
PY_OFFS = (at(1), 0, 1, 8, 56, 8, 0, 24, 1, 0, at(12), at(16), at(60))
BPFS = {
    "go": process(GO, (at(1), 0, 1, 8), {0: at(4), 5: 9}, *TALK, *CALL),
    "java": process(JAVA, JAVA_OFFS, JAVA_WORDS, *TALK, *CALL),
    "java-virtual": process(JAVA, JAVA_OFFS, {**JAVA_WORDS, 9: at(24), 25: 10, 26: 9}, *TALK),
    "java-plain": process(JAVA, JAVA_OFFS[:6], JAVA_WORDS, *TALK), "java-none": process(JAVA, (at(40), 0, 1, 8), {}, *TALK),
    "python": process(PYTHON, PY_OFFS, PY_WORDS, *CALL),
    "java-client": process(JAVA, JAVA_OFFS, JAVA_WORDS, *CALL), "node-client": process(NODE, (0, 0, 1, 8, at(1)), {1: 0, 2: 2, 3: 3}, *CALL),
    "python-server": process(PYTHON, PY_OFFS, PY_WORDS, *TALK), "python-task": process(PYTHON, PY_OFFS[:9] + (1,) + PY_OFFS[10:], PY_WORDS, *CALL),
    **{"python-via-%d" % v: process(PYTHON, PY_OFFS[:8] + (v,) + PY_OFFS[9:], {**PY_WORDS, 20: 6, 29: at(70), 72: 1, 73: at(76)}, *CALL)
       for v in range(4)},
    "haproxy": process(HAPROXY, (0, 0, 0, 8, at(1)), {1: at(2), 7: at(11), 15: at(44), 16: at(30), 30: at(11), 31: at(33), 33: at(30),
                                                       37: at(40), 42: at(44), 57: 1}, *CALL),
    "haproxy-none": process(HAPROXY, (0, 9, 0, 8, at(1)), {1: at(2)}, *CALL),
    "nginx": process(NGINX, (0, at(1)), {1: at(4), 4: 0x7f, 5: at(8), 11: 0}, *CALL),
    "node": process(NODE, (0, 0, 1, 8, at(1), at(8), 4, 5, 6), {1: 0, 2: 2, 3: 3, 11: 4}, *TALK, *CALL),
    "node-other": process(NODE, (0, 0, 1, 8, at(1)), {1: 9}, call(0, 0, 15, 60), call(0, 0, 0, 9), *CALL),
    "waits": process(0, (0, 0, 0x11), {}, *TALK), "unwatched": process(0, (0, 0, 3), {}, *TALK),
    "accepted": bytes([0x0b]) + call(0, 0, 8, 200) + call(1, 1, 9, 30, 90) + call(1, 0x22, 31, 200, 200, 9) + call(0, 0, 8, 30),
    "510": bytes([0]) + call(0, 0x4f, 10, *([9] * 16)) + call(1, 3, 9, 10, 40, 0, 9),
    "unix": bytes([0x17]) + call(1, 0, 8, 60) + call(2, 0, 9, 60) + call(8, 0, 0, 99) + call(4, 0, 0, 99) + call(0, 0, 0, 0),
    "other": bytes([0x0b]) + call(0, 0, 15, 60) + call(1, 0, 0, 9), "h2": bytes([3]) + call(0, 0, 13, 60) + b"".join(call(i & 1, 0, 0, 9) for i in range(9)),
    "small": bytes([0x23]) + call(0, 0, 14, 99) + call(12, 0, 8, 99) + call(1, 0x20, 11, 200) + call(0, 0x48, 8, *([30] * 9)),
}


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "corpus"
    sets = {"span": SPANS, "env": ENVS, "answer": ANSWERS, "proc": PROCS, "record": RECORDS, "bpf": BPFS,
            "config": {name: text.encode() for name, text in CONFIGS.items()}}
    for target, seeds in sets.items():
        (out / target).mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (out / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
