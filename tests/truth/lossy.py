#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damage the recordings of truth runs and replay them: less may be known, nothing may be wrong.

Usage: lossy.py [--seeds N] [FOLDER...]     default: all of build/truth/cells

  drop        5 % of the kernel side's events are lost, and its counters say so
  reorder     events change places within a millisecond, but for those of one thread or context
  duplicate   5 % come twice
  silent      drop, and nothing says so: only by --kind, since that is a defect of the kernel side
              and no rule can stand it; the ledger must say NOT BALANCED

Each damaged run must give no wrong exact parent, no mixed trace but by an inferred one, no span
twice, and a ledger that balances. Of the inferred parents one in a hundred may be wrong here: real
streams, where none may, are never disordered like this. Prints one line per kind of damage; exit code 1 when a bar is missed.
"""
import argparse
import os
import random
import struct
import sys
import tempfile
import zlib
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import events  # noqa: E402
import replay  # noqa: E402
from harness import proc  # noqa: E402

SHARE = 0.05
AGENTS = (events.CLOCK, events.PROC_INFO, events.STATS)  # never in the ring buffer
NEVER = ("wrong parents in a process", "wrong parents across", "mixed traces",
         "roots with a parent", "background calls with a parent", "duplicate spans",
         "span ids given twice", "foreign spans")
BY_INFERENCE = ("wrong parents in a process", "mixed traces")
MIN_PRECISION = 0.99  # of inferred links in damaged streams
CTX_GO = 2  # CLEW_CTX_GO, include/clew/event.h
HANDED_ON = range(0x304, 0x30A)  # CLEW_EDGE_PY_PUT to PY_WAKE: ref is the object, or the lock
STAT_EMITTED, STAT_RING_FULL, STAT_SEGMENTS = 0, 1, 9  # enum clew_stat


def kernel(e):
    # From what is written as type 16 to 31 nothing is known here: leave it
    return e.type not in AGENTS and e.type < 16


def counted(e, more):
    """A statistics record whose counters say what was done until then."""
    count = list(struct.unpack_from("<16Q", e.raw, events.HEADER.size))
    for which, n in more.items():
        count[which] += n
    return e._replace(raw=e.raw[:events.HEADER.size] + struct.pack("<16Q", *count))


def drop(rng, stream, told=True):
    more = Counter()
    for e in stream:
        if kernel(e) and rng.random() < SHARE:
            more[STAT_EMITTED] -= 1
            more[STAT_RING_FULL] += 1
            more[STAT_SEGMENTS] += e.type == events.SEGMENT
        else:
            yield counted(e, more) if e.type == events.STATS and told else e


def silent(rng, stream):
    return drop(rng, stream, told=False)


def reorder(rng, stream):
    """Each event may come up to a millisecond late, but behind what its own thread or context said
    before: a program has ended before its context goes on, wherever that is. A goroutine does not
    name itself where it answers: there its connection stands for it. What threads hand on is first
    put, then taken, and only then may its memory be another's."""
    at, last = [], {}
    for n, e in enumerate(stream):
        t = e.ts + (rng.randrange(1_000_000) if kernel(e) and rng.random() < 0.5 else 0)
        who = [e.tid]
        if e.type == events.SEGMENT and events.segment(e).ctx:
            who.append((e.pid, events.segment(e).ctx_kind, events.segment(e).ctx))
        if e.type == events.SEGMENT and events.segment(e).ctx_kind == CTX_GO:
            who.append(events.conn(e))
        elif e.type == events.EDGE:
            _, ctx, child, ref, kind = struct.unpack_from("<QQQQH", e.raw, events.HEADER.size)
            who += [(e.pid, kind >> 8, c) for c in (ctx, child) if c]
            if kind in HANDED_ON:
                who.append((e.pid, "object", ref))
        t = max(t, *(last.get(w, 0) for w in who))
        last.update(dict.fromkeys(who, t))
        at.append((t, n, e))
    return [e for _, _, e in sorted(at, key=lambda x: x[:2])]


def duplicate(rng, stream):
    more = Counter()
    for e in stream:
        yield counted(e, more) if e.type == events.STATS else e
        if kernel(e) and rng.random() < SHARE:
            more[STAT_EMITTED] += 1
            yield e


DAMAGE = {"drop": drop, "silent": silent, "reorder": reorder, "duplicate": duplicate}


def inferred_of(report):
    """(right, wrong) inferred links, and whether every wrong link is one of them."""
    right = sum(c["right"] for k, c in report.links.items() if k.endswith(" inferred"))
    wrong = sum(c["wrong"] for k, c in report.links.items() if k.endswith(" inferred"))
    return right, wrong, wrong == sum(c["wrong"] for c in report.links.values())


def suffer(folder, kind, seed, keep):
    """(bars missed, report) of one damaged run."""
    rng = random.Random(zlib.crc32(f"{os.path.basename(folder)} {kind} {seed}".encode()))
    stream = events.read(os.path.join(folder, "recording.clew"))
    events.write(keep, DAMAGE[kind](rng, stream))
    report = replay.judge(folder, keep)
    missed = [(n, f) for n, f, _, ok in report.bars
              if not ok and (n in NEVER or n == "ledger")]
    return missed, report


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("folders", nargs="*")
    ap.add_argument("--seeds", type=int, default=3)
    ap.add_argument("--kind", choices=DAMAGE)
    a = ap.parse_args()
    cells = os.path.join(proc.BUILD, "truth", "cells")
    folders = a.folders or [os.path.join(cells, d) for d in sorted(os.listdir(cells))]
    folders = [f for f in folders if os.path.exists(os.path.join(f, "cell.json"))]
    failed = 0
    kinds = [a.kind] if a.kind else [k for k in DAMAGE if k != "silent"]
    for kind in kinds:
        total, bad, inferred = Counter(), [], Counter()
        for folder in folders:
            for seed in range(a.seeds):
                with tempfile.TemporaryDirectory() as d:
                    tmp = os.path.join(d, "damaged.clew")
                    missed, report = suffer(folder, kind, seed, tmp)
                    total += report.total(report.inproc) + report.total(report.across)
                    right, wrong, alone = inferred_of(report)
                    inferred.update(right=right, wrong=wrong)
                    if wrong and alone:
                        missed = [m for m in missed if m[0] not in BY_INFERENCE]
                    if missed:
                        keep = os.path.join(folder, f"{kind}-{seed}.clew")
                        os.replace(tmp, keep) if os.stat(d).st_dev == os.stat(folder).st_dev \
                            else open(keep, "wb").write(open(tmp, "rb").read())
                        bad.append((folder, seed, missed, report))
        precision = inferred["right"] / max(1, inferred["right"] + inferred["wrong"])
        ok = not bad and total["right"] > 0 and (not inferred["wrong"] or precision >= MIN_PRECISION)
        failed += not ok
        print(f"{'' if ok else 'FAIL '}{kind}: {total['right']}/{total['none']}/{total['wrong']} "
              f"right/none/wrong, {total['missing']} missing in {len(folders) * a.seeds} replays, "
              f"{len(bad)} with something wrong (0), of {sum(inferred.values())} inferred links "
              f"{inferred['wrong']} wrong (one in a hundred)", flush=True)
        for folder, seed, missed, report in bad[:6]:
            print(f"    {os.path.relpath(folder)}/{kind}-{seed}.clew: "
                  f"{'; '.join(f'{n} {f}' for n, f in missed)}")
            for name, _ in missed:
                for text in report.examples.get(name, [])[:2]:
                    print(f"        {text}")
    print(f"{len(kinds) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not folders else 0


if __name__ == "__main__":
    sys.exit(main())
