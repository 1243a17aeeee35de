#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recordings as lists of records, and a reader of them for people.

Usage: events.py FILE [TEXT]   one line per event; TEXT: only the connections whose bytes hold it

The format is include/clew/event.h: a line of 24 bytes, then records padded to 8 bytes.
"""
import struct
import sys
from collections import namedtuple

MAGIC = b"clew recording 1       \n"
HEADER = struct.Struct("<BBHIIIQ")
SEGMENT, OPEN, CLOSE, FORK, EXEC, EXIT, LISTEN, EDGE = range(1, 9)
CLOCK, PROC_INFO, STATS = 32, 33, 34
NAMES = {SEGMENT: "segment", OPEN: "open", CLOSE: "close", FORK: "fork", EXEC: "exec", EXIT: "exit",
         LISTEN: "listen", EDGE: "edge", CLOCK: "clock", PROC_INFO: "info", STATS: "stats"}
REASONS = {1: "local", 2: "gone", 3: "reused", 4: "held", 5: "both"}

Event = namedtuple("Event", "type pid tid turn ts raw")
Segment = namedtuple("Segment", "conn ctx ref seq len cap flags dir ctx_kind tail_len")


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    if not data.startswith(MAGIC):
        raise ValueError(f"{path} is not a recording of version 1")
    at, out = len(MAGIC), []
    while at + HEADER.size <= len(data):
        _, kind, size, pid, tid, turn, ts = HEADER.unpack_from(data, at)
        padded = (size + 7) & ~7
        if size < HEADER.size or at + padded > len(data):
            raise ValueError(f"{path}: the record at byte {at} is cut or damaged")
        out.append(Event(kind, pid, tid, turn, ts, data[at:at + padded]))
        at += padded
    return out


def write(path, events):
    with open(path, "wb") as f:
        f.write(MAGIC)
        f.writelines(e.raw for e in events)


def segment(e):
    return Segment(*struct.unpack_from("<QQQIIHHBBB", e.raw, HEADER.size))


def conn(e):
    """The connection of a segment, open, close or edge, or None."""
    if e.type in (SEGMENT, OPEN, CLOSE, EDGE):
        return struct.unpack_from("<Q", e.raw, HEADER.size)[0]
    return None


def text(e, start):
    what = ""
    if e.type == SEGMENT:
        s = segment(e)
        data = e.raw[72:72 + s.cap].split(b"\r\n")[0][:60].decode("latin-1")
        what = (f"conn {s.conn} {'send' if s.dir else 'recv'} seq {s.seq} len {s.len} cap {s.cap} "
                f"flags {s.flags} ctx {s.ctx_kind}:{s.ctx:x}:{s.ref:x} {data!r}")
    elif e.type == OPEN:
        role, first, local, remote = struct.unpack_from("<BBHH", e.raw, 62)
        what = f"conn {conn(e)} role {role} from_start {first} ports {local} {remote}"
    elif e.type == CLOSE:
        what = f"conn {conn(e)} {REASONS.get(e.raw[32], e.raw[32])}"
    elif e.type == EDGE:
        _, ctx, child, ref, kind, n = struct.unpack_from("<QQQQHH", e.raw, HEADER.size)
        what = f"conn {conn(e)} kind {kind:x} ctx {ctx:x} child {child:x} ref {ref:x} chain {n}"
    return (f"{(e.ts - start) / 1e6:12.3f} {NAMES.get(e.type, e.type):8} pid {e.pid} tid {e.tid} "
            f"turn {e.turn} {what}")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    events = read(sys.argv[1])
    want = None
    if len(sys.argv) > 2:
        key = sys.argv[2].encode()
        want = {conn(e) for e in events if e.type == SEGMENT and key in e.raw}
    for e in events:
        if want is None or conn(e) in want:
            print(text(e, events[0].ts))


if __name__ == "__main__":
    main()
