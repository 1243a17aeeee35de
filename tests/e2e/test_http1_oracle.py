#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clew's HTTP/1 parser against llhttp (in Node) on well-formed conversations.

Each case is a made-up conversation: random methods, targets, header spelling and order, bodies
by length, by chunks (with extensions and trailers) and by the connection's end, interim
responses, HEAD, pipelining, cut into random pieces. Both parsers must read the same exchanges:
method, target, versions, status, header values and body lengths; the bytes that clew counted
must be those that were sent.

Usage: test_http1_oracle.py [CASES] [SEED]      last line: N passed, N failed, N skipped
"""
import glob
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "REPORT", "M-SEARCH",
           "PURGE", "MKCALENDAR"]


def name_case(rnd, name):
    return rnd.choice([name, name.lower(), name.upper(), name.title()])


def value(rnd, limit):
    chars = "abcXYZ0189 \t!#$%&'()*+-./:;<=>?@[]^_`{|}~\",\\"
    return "".join(rnd.choice(chars) for _ in range(rnd.randrange(limit))).strip()


def chunked(rnd, n):
    out = b""
    while n:
        take = min(n, rnd.randrange(1, 5000))
        size = rnd.choice(["%x", "%X", "0%x", "000%x"]) % take
        ext = rnd.choice(["", "", "", ";a", ";a=b", ";a=\"b c\";d=1"])
        out += (size + ext).encode() + b"\r\n" + rnd.randbytes(take) + b"\r\n"
        n -= take
    out += b"0" + rnd.choice([b"", b"", b";last=1"]) + b"\r\n"
    for _ in range(rnd.choice([0, 0, 1, 3])):
        out += b"X-Trailer-%d: " % rnd.randrange(99) + value(rnd, 20).encode() + b"\r\n"
    return out + b"\r\n"


def body_of(rnd, may_close):
    """Header lines and bytes of a body, and whether the connection's end ends it."""
    n = rnd.choice([0, 1, 5, 100, 4096, rnd.randrange(20000)])
    kind = rnd.choice(["length", "length", "chunked", "close" if may_close else "chunked"])
    if kind == "length":
        return ["Content-Length:" + rnd.choice(["", " ", "\t", "  "]) + str(n)], rnd.randbytes(n), False
    if kind == "chunked":
        return ["Transfer-Encoding: " + rnd.choice(["chunked", "Chunked", "CHUNKED"])], chunked(rnd, n), False
    return [], rnd.randbytes(n), True


def headers(rnd, lines):
    for _ in range(rnd.randrange(6)):
        lines.append("X-%s: %s" % (rnd.choice("abcdefg") * rnd.randrange(1, 20), value(rnd, 40)))
    rnd.shuffle(lines)
    out = ""
    for line in lines:
        name, _, rest = line.partition(":")
        pad = rnd.choice(["", "", " ", "\t "])
        if name in ("Content-Length", "Transfer-Encoding", "Connection"):
            pad = pad.strip("\t")  # llhttp takes spaces only
        out += name_case(rnd, name) + ":" + rest + pad + "\r\n"
    return out + "\r\n"


def request(rnd, method):
    lines = ["Host: " + rnd.choice(["a", "localhost:8080", "[::1]:80"])]
    for name in ("User-Agent", "Traceparent", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto",
                 "Content-Type", "Tracestate", "Tracestate"):
        if rnd.random() < 0.3:
            text = value(rnd, 16 if name == "X-Forwarded-Proto" else 60)
            if text:
                lines.append(name + ": " + text)
    target = rnd.choice(["/", "/a/b?c=d&e=%20", "http://h:1/x", "/" + "y" * rnd.randrange(250)])
    if method == "OPTIONS" and rnd.random() < 0.5:
        target = "*"
    body = b""
    if method not in ("GET", "HEAD", "DELETE") or rnd.random() < 0.1:
        more, body, _ = body_of(rnd, False)
        lines += more
    minor = rnd.choice([1, 1, 1, 0]) if not any("ransfer" in l for l in lines) else 1
    if not minor:
        lines.append("Connection: keep-alive")
    head = "%s %s HTTP/1.%d\r\n" % (method, target, minor)
    return (head + headers(rnd, lines)).encode() + body


def response(rnd, method, last):
    out = b""
    for _ in range(rnd.choice([0, 0, 0, 1, 2])):
        out += b"HTTP/1.1 %d Interim\r\nX: y\r\n\r\n" % rnd.choice([100, 102, 103])
    status = rnd.choice([200, 200, 201, 204, 206, 301, 304, 404, 500, 503])
    more, body, close = body_of(rnd, last)
    minor = 1 if any("ransfer" in l for l in more) else rnd.choice([1, 1, 0])
    if status == 204 or (status == 304 and close):
        more, body, close = [], b"", False
    if method == "HEAD" or status == 304:
        body, close = b"", False
    if not minor and not close:
        more.append("Connection: keep-alive")
    reason = rnd.choice(["OK", "", "Not So Good", "x"])
    head = "HTTP/1.%d %d %s\r\n" % (minor, status, reason)
    return out, (head + headers(rnd, more)).encode(), body, close


def cut(rnd, server, data, pieces):
    mode = rnd.choice(["whole", "whole", "small", "large"])
    at = 0
    while at < len(data):
        n = {"whole": len(data), "small": rnd.randrange(1, 9), "large": rnd.randrange(1, 3000)}[mode]
        if mode == "small" and len(data) > 4000:
            n *= 20
        pieces.append((server, data[at:at + n]))
        at += n


def conversation(rnd):
    """Pieces, and per exchange the bytes of request and final response."""
    pieces, wires, closed = [], [], False
    turns = rnd.randrange(1, 6)
    for t in range(turns):
        batch = [rnd.choice(METHODS + ["GET", "HEAD"]) for _ in range(rnd.choice([1, 1, 1, 2, 5]))]
        requests = [request(rnd, m) for m in batch]
        cut(rnd, 0, b"".join(requests), pieces)
        answers = b""
        for i, method in enumerate(batch):
            last = t == turns - 1 and i == len(batch) - 1
            interim, head, body, closed = response(rnd, method, last)
            answers += interim + head + body
            wires.append((len(requests[i]), len(head + body)))
        cut(rnd, 1, answers, pieces)
    if closed:
        pieces.append((1, b""))
    return pieces, wires


def build(folder):
    program = os.path.join(folder, "http1_dump")
    sources = sorted(glob.glob(str(ROOT / "src/proto/*.c")))
    subprocess.run([*os.environ.get("CC", "gcc").split(), "-std=gnu11", "-O1", "-g", "-D_GNU_SOURCE",
                    "-I", str(ROOT / "include"), "-I", str(ROOT / "src"), "-o", program,
                    str(ROOT / "tests/unit/proto/http1_dump.c"), *sources], check=True)
    return program


def blocks(command, files):
    run = subprocess.run(command + files, stdout=subprocess.PIPE, timeout=300)
    if run.returncode:
        sys.exit("%s failed" % " ".join(command))
    out = run.stdout
    parsed = []
    for block in out.decode().split("\n\n")[:len(files)]:
        parsed.append([json.loads(line) for line in block.splitlines() if line])
    return parsed


def differences(ours, theirs, wires):
    if len(ours) != len(theirs) or len(ours) != len(wires):
        return "%d exchanges, llhttp %d, sent %d" % (len(ours), len(theirs), len(wires))
    for i, (a, b, wire) in enumerate(zip(ours, theirs, wires)):
        for key in b:
            if a[key] != b[key]:
                return "exchange %d, %s: %r, llhttp %r" % (i, key, a[key], b[key])
        if a["incomplete"] or (a["req_wire"], a["resp_wire"]) != wire:
            return "exchange %d: incomplete %x, wire %r, sent %r" % (
                i, a["incomplete"], (a["req_wire"], a["resp_wire"]), wire)
    return None


def main():
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    if not shutil.which("node"):
        print("node is not installed: llhttp cannot be asked")
        print("0 passed, 0 failed, %d skipped" % cases)
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        program = build(folder)
        files, wires = [], []
        for i in range(cases):
            rnd = random.Random(seed * 1000003 + i)
            pieces, wire = conversation(rnd)
            path = os.path.join(folder, "%d.bin" % i)
            with open(path, "wb") as out:
                for server, data in pieces:
                    out.write(struct.pack("<BI", server, len(data)) + data)
            files.append(path)
            wires.append(wire)
        ours = blocks([program], files)
        theirs = blocks(["node", "--no-warnings", str(ROOT / "tools/http1_oracle.js")], files)
        for i in range(cases):
            problem = differences(ours[i], theirs[i], wires[i])
            if problem:
                failed += 1
                print("seed %d case %d: %s" % (seed, i, problem))
        print("%d exchanges compared" % sum(len(w) for w in wires))
    print("%d passed, %d failed, 0 skipped" % (cases - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
