#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds for fuzz_pipeline.c: short stories of what happens between processes.

Usage: corpus_pipeline.py [OUTPUT_FOLDER]      (default tests/fuzz/corpus/pipeline)
"""
import pathlib
import sys

(OPEN, TEXT, BOTH, BYTES, CUT, HOLE, BACK, EOF, CLOSE, PROC, EDGE, INFO, CLOCK, STATS, TIME,
 RAW) = range(16)
GET, POST, OK, CHUNKED, NONE, GO_ON, TWO, TRACED, CONNECT, UPGRADE, UNTIL, PART, LAST = range(13)
THREAD, GO, PYTHON, NGINX, NODE, JAVA, TOKIO, HAPROXY = range(1, 9)
PARSER, ID, BORN, RESUME, IDS = (n << 4 | NODE for n in range(1, 6))
JOIN, PUT, GET_ITEM = (n << 4 | PYTHON for n in range(3, 6))
AGAIN, NO_CONN = 0x80, 0x10
WAIT, HELD, CALL = (n << 4 | JAVA for n in range(1, 4))
MESSAGE = 0x10 | TOKIO
SERVE, ROUNDTRIP, TASK, COPY = 0x10 | GO, 0x20 | GO, 0x10 | PYTHON, 0x20 | PYTHON
C1, C2, C3 = 0x20, 0x40, 0x60  # with a kind: which context of it


def s(what, end, arg, *more, turn=0):
    return bytes([turn << 4 | what, end, arg, *more])


def both(end, text, ctx=THREAD):
    return s(BOTH, end, text, ctx)


def opened(*ends, arg=0):
    return b"".join(s(OPEN, e, arg) for e in ends)


def data(end, direction, text):
    return s(BYTES, end, len(text), direction) + text + b"\1"


def edge(end, kind, ctx, child, ref=0, arg=0, chain=0, turn=0):
    return s(EDGE, end, ref << 6 | arg, kind, ctx, child, chain, turn=turn)


def node(made, end=2, ctx=C2, again=1, after=b"", probes=True, answer=C2):
    """A request comes in; `made` says in whose name what is written on another connection."""
    calls = b"".join(made + both(end, GET, NODE | ctx) + s(TEXT, 3, OK, 0) + s(BYTES, end, 40, 0) + WAITED + after
                     for _ in range(again))
    return (opened(0, 1, 2, 3) + s(INFO, 1, NODE) + (s(PROC, 1, 0x78, 0xff, 0xff) if probes else b"")
            + both(0, GET, NODE) + edge(1, PARSER, 0, 2) + calls + both(1, OK, NODE | answer) + s(TIME, 0, 127) * 3)


WAITED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + bytes([NODE])
FN = edge(1, BORN, 2, 3, arg=NO_CONN)
GOES_ON = edge(1, RESUME, 0, 3, 1, NO_CONN)
TWO_IN = both(0, GET, NODE) + opened(4, 5) + both(4, GET, NODE)
NODES = {
    "agent": node(edge(2, ID, 2, 0)), "agent-again": node(edge(2, ID, 2, 0), again=3, answer=0x30),
    "native": node(edge(1, ID, 2, 3, arg=NO_CONN), ctx=0x80), "parser": node(edge(1, ID | AGAIN, 2, 3, arg=NO_CONN), ctx=0x40),
    "function": node(FN + edge(1, IDS, 1, 3, 3, NO_CONN) + edge(2, ID, 3, 0), after=GOES_ON, answer=0x30),
    "unknown": node(FN, ctx=0xe0, after=GOES_ON), "runs": node(FN, ctx=0x30, after=GOES_ON * 2, again=2, answer=0x30),
    "made": node(edge(1, ID, 2, 3, arg=NO_CONN) + edge(1, BORN, 5, 2, 3, NO_CONN), ctx=0xa0, after=edge(1, RESUME, 0, 2, 1)),
    "lost": node(edge(2, ID, 2, 0) + s(HOLE, 2, 9)), "no-probes": node(FN, probes=False, after=GOES_ON),
    "closed": node(edge(2, ID, 2, 0), after=GOES_ON + s(CLOSE, 2, 1) + opened(2)),
    "mixed": node(FN + both(0, GET, NODE) + edge(1, PARSER, 0, 4) + edge(1, BORN, 4, 2, arg=NO_CONN), after=GOES_ON
                  + edge(1, RESUME, 0, 2, 1, NO_CONN), again=2),
}


def python_work(put_by, task=0):
    """A job put into a queue by one thread, taken and answered by another."""
    return (opened(0, 1, 2, 3) + s(INFO, 1, 2) + both(0, GET, put_by) + s(EDGE, 1, 0x40, 0x10 | PYTHON, 1, 1, 0) * task
            + edge(1, PUT, 1, 1, 1) + edge(1, GET_ITEM, 0, 0, 1, turn=1)
            + s(BOTH, 2, GET, PYTHON | C2, turn=1) + s(BOTH, 3, OK, 0) + s(BOTH, 1, OK, put_by) + s(TIME, 0, 127) * 2)


def python_join(length, arg, turns=1):
    """The answer of a Task's call comes while others wait for that Task."""
    return (opened(0, 1, 2, 3) + s(INFO, 1, 2) + both(0, GET, PYTHON | C1) + edge(1, 0x10 | PYTHON, 1, 2, 1)
            + (both(2, GET, PYTHON | 0xc0) + s(TEXT, 3, OK, 0) + edge(2, JOIN, 6, 0, 1, arg, length)
               + s(BYTES, 2, 40, 0) + WAITED[:-1] + bytes([PYTHON | 0xc0])) * turns
            + both(1, OK, PYTHON | C1) + edge(1, 0x10 | PYTHON, 2, 6) + s(TIME, 0, 127) * 2)


# Who runs in a JVM: a kind with the number of its thread, and the turn that says what sort of thread it is.
MAIN, POOL, OTHER, NET, GREEN = (JAVA | 0x80, 0), (JAVA | 0xa0, 5), (JAVA | 0x80, 6), (JAVA | 0x60, 8), (JAVA | 0xc0, 0)
REF = {MAIN: 0, POOL: 1, GREEN: 2, NET: 3}
NAME = 3 << 2  # of what is waited for


def by(who, end, text):
    return s(BOTH, end, text, who[0], turn=who[1])


def reads(who, end):
    return s(BYTES, end, 40, 0, turn=who[1]) + WAITED[:-1] + bytes([who[0]])


def tell(kind, who, child, name=NAME, chain=2):
    """`who` calls, and waits; `child` waits for it."""
    return edge(2, kind, who[0] >> 5, child[0] >> 5 if child else 0, REF[who], chain=chain) + bytes([name | (REF[child] if child else 0)])


def java(*made, reader=MAIN, answers=MAIN, waits=WAIT, caller=POOL, again=1, after=b""):
    """`made` is what the kernel tells while the answer of the call comes in."""
    calls = (by(caller, 2, GET) + s(TEXT, 3, OK, 0) + b"".join(made) + reads(caller, 2)) * again
    return (opened(0, 1, 2, 3) + s(INFO, 1, JAVA) + by(reader, 0, GET) + calls + after + by(answers, 1, OK) + s(TIME, 0, 127) * 3)


JAVAS = {
    "join": java(tell(WAIT, POOL, MAIN)), "join-again": java(tell(WAIT, POOL, MAIN), again=3),
    "join-late": java(tell(WAIT, POOL, None), after=tell(HELD, MAIN, MAIN)[:5] + bytes([3, 0, NAME])),
    "join-left": java(tell(WAIT, POOL, MAIN), answers=POOL), "join-other": java(tell(WAIT, POOL, MAIN), answers=OTHER),
    "join-green": java(tell(WAIT, GREEN, MAIN), caller=GREEN), "join-of-green": java(tell(WAIT, POOL, GREEN), reader=GREEN, answers=GREEN),
    "join-two": java(tell(WAIT, POOL, MAIN), again=2, after=by(GREEN, 0, GET) + tell(HELD, GREEN, MAIN)[:5] + bytes([3, 0, NAME])),
    "responder": java(answers=POOL), "responder-again": java(answers=POOL) + by(MAIN, 0, GET) + by(POOL, 1, OK) + s(TIME, 0, 127) * 2,
    "responder-old": java(again=2, after=by(POOL, 1, OK) + by(MAIN, 0, GET), answers=POOL),
    "future": java(tell(CALL, NET, MAIN), caller=NET), "future-late": java(
        tell(CALL, NET, None), caller=NET, after=tell(HELD, MAIN, MAIN)[:5] + bytes([3, 0, NAME])),
    "future-two": java(tell(CALL, NET, MAIN), caller=NET, again=2, after=by(GREEN, 0, GET) + tell(CALL, NET, GREEN)),
    "future-answer": java(tell(CALL, NET, MAIN), caller=NET, answers=GREEN),
    "loop": java(reader=(JAVA | 0x90, 1), answers=(JAVA | 0x90, 1), caller=(JAVA | 0x90, 1), again=2),
    "loop-join": java(tell(WAIT, POOL, MAIN), reader=(JAVA | 0x90, 0), answers=(JAVA | 0x90, 0)),
    "loop-future": java(tell(CALL, NET, MAIN), caller=NET, reader=(JAVA | 0x90, 1), answers=(JAVA | 0x90, 1)),
    "loop-two": java(reader=(JAVA | 0x90, 1), answers=(JAVA | 0x90, 1), caller=(JAVA | 0x90, 1), after=by((JAVA | 0x90, 1), 0, GET)),
    "next-job": java(tell(WAIT, POOL, MAIN)) + by((JAVA | 0xa0, 6), 2, GET) + by((JAVA | 0xa0, 6), 3, OK) + s(CLOSE, 2, 1),
    "bad": java(tell(WAIT, POOL, MAIN, chain=1), tell(CALL, POOL, MAIN, chain=1)),
}
ASKS, CLIENT = TOKIO | 0x40, TOKIO | 0x60  # the task that serves, and the one that has the connection to others


def tokio(slots=(1,), sent=None, caller=CLIENT, ref=3, more=b"", reader=ASKS):
    """Messages put in by the task that serves, and taken by the other; slot n stands for message n - 1."""
    out = opened(0, 1, 2, 3) + s(INFO, 1, TOKIO << 3) + both(0, GET, reader)
    for i, slot in enumerate(slots):
        out += edge(2, MESSAGE, 2, max(slot if sent is None else sent[i], 1) - 1, ref)
        out += s(BOTH, 2, GET, caller, turn=slot) + more + both(3, OK, 0)
    return out + both(1, OK, ASKS) + s(TIME, 0, 127) * 2


RUSTS = {
    "message": tokio(), "messages": tokio((1, 2, 3)), "gap": tokio((1, 3)), "late": tokio((4, 5), caller=CLIENT | 0x10, ref=0),
    "not-first": tokio((4, 5)), "unknown": tokio((1, 2), sent=(5, 6)), "other-taker": tokio((1, 2), ref=1), "again": tokio((1, 1)),
    "own": tokio((), reader=ASKS) + both(0, GET, ASKS) + both(2, GET, ASKS) + both(3, OK) + both(1, OK, ASKS) + s(TIME, 0, 127),
    "conflict": tokio((1, 2), caller=ASKS), "hole": tokio((1, 2, 3), more=s(HOLE, 2, 9 << 1 | 1)),
    "handed-on": tokio((1, 2)) + both(0, GET, ASKS) + both(1, OK, CLIENT) + tokio((3,)),
    "two": tokio((1,), more=both(0, GET, ASKS)), "none": tokio((0, 0)), "closed": tokio() + s(PROC, 1, 2) + tokio((2,)),
    "task-of-two": tokio() + opened(4, 5) + s(INFO, 5, TOKIO << 3) + both(4, GET, ASKS) + both(0, GET, ASKS),
}
STORIES = {
    **{"java-" + name: story for name, story in JAVAS.items()}, **{"tokio-" + name: story for name, story in RUSTS.items()},
    **{"node-" + name: story for name, story in NODES.items()},
    "java": opened(0, 1, 2, 3) + s(INFO, 1, JAVA) + both(0, GET, JAVA | C1) + both(2, GET, JAVA | C1) + both(3, OK)
    + both(1, OK, JAVA | C1) + s(TIME, 0, 127),
    "java-virtual": opened(0, 1, 2, 3) + s(INFO, 1, JAVA) + both(0, GET, JAVA | 0xd0) + both(2, GET, JAVA | 0xd0)
    + both(3, OK) + both(2, GET, JAVA | C2 | 0x10) + both(3, OK) + both(1, OK, JAVA | 0xd0) + s(TIME, 0, 127),
    "haproxy": opened(0, 1, 2, 3) + both(0, GET, HAPROXY | C1) + both(2, GET, HAPROXY | C1) + both(3, OK) + both(1, OK, HAPROXY)
    + both(0, TWO, HAPROXY) + both(2, GET, HAPROXY | C1) + both(3, OK) + s(TIME, 0, 127),
    "python-job": python_work(THREAD), "python-job-task": python_work(PYTHON | C1, 1), "python-job-loop": python_work(PYTHON | C1 | 0x10, 1),
    **{"python-join-%d-%x" % (n, a): python_join(n, a) for n, a in ((0, 0), (1, 0x10), (2, 0x20), (3, 0x10))},
    "python-join-more": python_join(2, 0x10, 2),
    "wanted": b"".join(opened(0, 1, 2, 3) + s(INFO, 1, rt) + both(0, GET, ctx | loop) + s(BOTH, 2, GET, ctx, turn=1) + both(3, OK)
                       + both(1, OK, ctx) + s(PROC, 1, 2) for rt, ctx in ((2, PYTHON), (1, GO), (5, NODE), (6, JAVA))
                       for loop in (0, 0x10)),
    "one": opened(0, 1) + both(0, GET) + both(1, OK),
    "nested": s(CLOCK, 0, 1) + opened(0, 1, 2, 3) + both(0, POST) + both(2, TRACED) + both(3, CHUNKED)
    + both(1, OK) + s(TIME, 0, 101) + s(CLOSE, 0, 1) + s(CLOSE, 1, 1),
    "nested-go": opened(0, 1, 2, 3) + s(INFO, 1, 1) + both(0, GET, GO | C1) + s(EDGE, 1, 0x50, SERVE, 1, 0, 1)
    + s(EDGE, 2, 0x50, ROUNDTRIP, 1, 0, 2) + both(2, POST, GO | C1) + both(3, NONE, GO | C1) + both(1, OK, GO | C1),
    "go-context": opened(0, 1, 2, 3) + s(INFO, 1, 1) + both(0, GET, GO | C1) + s(EDGE, 1, 0x50, SERVE, 1, 0, 1)
    + s(EDGE, 2, 0x40, ROUNDTRIP, 2, 0, 3) + both(2, POST, GO | C3) + both(3, NONE, GO | C3) + both(1, OK, GO | C1)
    + s(EDGE, 2, 0x40, ROUNDTRIP, 2, 0, 3) + both(2, GET, GO | C3) + both(3, OK, GO | C3) + s(TIME, 0, 127),
    "nested-python": opened(0, 1, 2, 3) + s(INFO, 1, 2) + both(0, GET, PYTHON | C1) + s(EDGE, 1, 0x40, TASK, 1, 2, 0)
    + s(EDGE, 1, 0, COPY, 2, 3, 0) + both(2, GET, PYTHON | C2) + both(3, OK, PYTHON | C2) + both(1, OK, PYTHON | C2)
    + both(2, GET, PYTHON | C3) + both(3, OK, PYTHON | C3) + s(TIME, 0, 127),
    "python-owner": opened(0, 1, 2, 3) + s(INFO, 1, 2)
    + (both(0, GET, PYTHON | C1) + both(2, GET, PYTHON | C1) + both(3, OK, 0) + both(1, OK, PYTHON | C1)) * 3 + s(TIME, 0, 127),
    "nested-nginx": opened(0, 1, 2, 3) + s(INFO, 1, 3) + both(0, GET, NGINX | C1) + both(2, GET, NGINX | C1)
    + both(3, UNTIL, NGINX) + s(EOF, 2, 0) + both(1, OK, NGINX),
    "unix": opened(0, 1, arg=4) + both(0, GET) + both(1, OK) + s(PROC, 0, 2) + s(TIME, 0, 101)
    + opened(4, 5, arg=6) + both(4, GET) + both(5, OK),
    "loss": opened(0, 1) + both(0, GET) + s(HOLE, 1, 20) + both(1, OK) + both(0, POST) + s(BACK, 0, 41)
    + both(0, GET) + both(1, OK) + s(HOLE, 0, 255) + both(0, GET),
    "cut": opened(0, 1) + s(CUT, 1, 40, 2, 0) + b"POST / HTTP/1.1\r\nContent-Length: 90\r\n\r\nxx" + b"\1"
    + both(1, CHUNKED) + s(CUT, 0, 0, 9, 1, 9),
    "pipelined": opened(0, 1) + both(0, TWO) + both(1, NONE) + both(1, OK) + both(0, TWO) + both(0, TWO)
    + both(1, GO_ON) + both(1, OK) + s(EOF, 1, 0) + s(CLOSE, 1, 1),
    "upgrade": opened(0, 1) + both(0, GET) + both(1, UPGRADE) + both(0, 15) + opened(2, 3)
    + both(2, CONNECT) + both(3, OK) + both(2, 15),
    "chunks": opened(2, 3, arg=1) + both(2, PART) + both(2, LAST) + both(3, CHUNKED) + both(2, 13)
    + both(3, NONE) + both(2, 14) + both(3, OK),
    "bytes": opened(0, 1, arg=8) + data(1, 0, b"GET /") + data(1, 0, b"x HTTP/1.1\r\n\r\n")
    + data(1, 1, b"HTTP/1.1 404 N\r\nContent-Length: 1\r\n\r\nx"),
    "processes": b"".join(s(PROC, i, i) for i in range(8)) + s(INFO, 0, 0x81, 6) + b"a\0b\0c\0"
    + s(INFO, 1, 0x41) + s(TIME, 0, 127) * 2 + s(PROC, 0, 2),
    "closes": b"".join(opened(0, 1) + both(0, GET) + s(CLOSE, 0, r) + s(CLOSE, 1, r) + s(TIME, 0, 99)
                       for r in range(4)),
    "raw": b"".join(s(RAW, i & 7, 40, i >> 3) + bytes(range(i, i + 80)) for i in range(12)) + s(STATS, 0, 0x15),
}


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "corpus" / "pipeline"
    out.mkdir(parents=True, exist_ok=True)
    for name, story in STORIES.items():
        (out / name).write_bytes(b"\0" + story)
        if name in ("nested", "loss", "pipelined"):
            (out / f"{name}-tight").write_bytes(b"\xff" + story)


if __name__ == "__main__":
    main()
