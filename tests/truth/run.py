#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Precision and recall of parent links, per runtime and concurrency: the published table.

Usage: run.py [ROW...] [--conc 1,2,3,8,64] [--count N] [--json FILE] [--md FILE]

Each row is one real server with a plain C server behind it, traced alone, so that a row says what
one runtime's rules know. Prints right / none / wrong client calls; exit code 1 when a bar is
missed: no wrong parent anywhere, recall >= 0.99, no span lost.
"""
import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import check  # noqa: E402
import shapes  # noqa: E402
from harness import apps, case, proc  # noqa: E402
from harness.clew import Clew  # noqa: E402


class Row:
    """title; service letter; shapes; services that end the tree; least recall."""

    def __init__(self, title, service, shapes, start, ends=("l",), recall=0.99):
        self.title, self.service, self.shapes = title, service, shapes
        self.start, self.ends, self.recall = start, ends, recall


def start_nginx(env):
    leaf = apps.leaf(env)
    front = apps.nginx(env, f"127.0.0.1:{leaf.port}")
    return front, {"n": set(front.pids()), "f": {leaf.pid}}


def start_nginx_workers(env):
    leaf = apps.leaf(env)
    front = apps.nginx(env, f"127.0.0.1:{leaf.port}", workers=2)
    return front, {"n": set(front.pids()), "f": {leaf.pid}}


def start_fastapi(env):
    leaf, wsgi = apps.leaf(env), apps.leaf(env)
    front = apps.fastapi(env, leaf.url, wsgi.url, noise_ms=10)
    return front, {"f": {front.pid}, "g": {leaf.pid}, "w": {wsgi.pid}}


def start_flask(env):
    leaf = apps.leaf(env)
    front = apps.flask(env, leaf.url)
    return front, {"w": {front.pid}, "g": {leaf.pid}}


def start_go(env):
    leaf = apps.leaf(env)
    front = apps.gosvc(env, leaf.url, noise_ms=10)
    return front, {"g": {front.pid}, "l": {leaf.pid}}


def start_leaf(env):
    front = apps.leaf(env)
    return front, {"l": {front.pid}}


PY_ENDS = ("g", "w")
ROWS = [
    Row("nginx, proxy", "n", ["one"], start_nginx, ("f",)),
    Row("nginx, proxy, 2 workers", "n", ["one"], start_nginx_workers, ("f",)),
    Row("uvicorn + httpx", "f", ["seq"], start_fastapi, PY_ENDS),
    # Tasks that a bound task makes need a second witness: published, honestly unknown, no bar yet
    Row("uvicorn + httpx, gather", "f", ["gather"], start_fastapi, PY_ENDS, recall=0.0),
    Row("uvicorn + httpx, POST", "f", ["post"], start_fastapi, PY_ENDS),
    Row("uvicorn + httpx, after the response", "f", ["bg"], start_fastapi, PY_ENDS),
    Row("uvicorn, def endpoint + requests", "f", ["def"], start_fastapi, PY_ENDS),
    Row("Flask threads + requests", "w", ["seq", "one", "post"], start_flask, ("g",)),
    Row("Go net/http", "g", ["one", "seq"], start_go),
    Row("Go net/http, goroutines with context", "g", ["fan"], start_go),
    Row("Go net/http, POST", "g", ["post"], start_go),
    Row("C epoll (no calls)", "l", ["one"], start_leaf),
]


def measure(env, row, conc, count):
    front, pids = row.start(env)
    prefix = "/" + row.service
    apps.load(env, front.port, conc=conc, count=conc * 2, prefix=prefix, shapes=row.shapes)
    clew = Clew(env, *(a for who in pids.values() for p in sorted(who) for a in ("--pid", p)))
    run = apps.load(env, front.port, conc=conc, count=count, prefix=prefix, shapes=row.shapes)
    records = run.records()
    if "bg" in row.shapes:  # calls go on behind the answers: until the last one is in the file
        last = max(r["id"] for r in records)
        proc.wait_for("the last background call",
                      lambda: any(s.path == f"/g/one/{last}/0" for s in clew.spans()), 15)
    all_spans, ledger = clew.stop()
    # Calls behind the answers of the warm-up may still be under way at the attach: not of this run
    first = min(r["id"] for r in records)
    spans = [s for s in all_spans if not 0 < (shapes.of_path(s.path) or (0, 0, 0))[2] < first]
    report = check.check(spans, records, pids, row.ends, "".join(pids), min_recall=row.recall,
                         min_durations=0.0)
    check.check_ledger(report, ledger, all_spans)
    return report


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("rows", nargs="*", help="a part of a row's title")
    ap.add_argument("--conc", default="1,2,3,8,64")
    ap.add_argument("--count", type=int, default=0, help="requests per cell (0: by concurrency)")
    ap.add_argument("--json")
    ap.add_argument("--md")
    a = ap.parse_args()
    concs = [int(c) for c in a.conc.split(",")]
    table, passed, failed = [], 0, 0
    for row in ROWS:
        if a.rows and not any(r in row.title for r in a.rows):
            continue
        for conc in concs:
            try:
                with proc.Env("clew-truth") as env:
                    report = measure(env, row, conc, a.count or {1: 60, 2: 120}.get(conc, 300))
                total = report.total(report.inproc)
                cell = {"row": row.title, "conc": conc, "ok": report.ok,
                        **{r: total[r] for r in check.RESULTS},
                        "links": {str(k): dict(v) for k, v in report.links.items()}}
                why = "; ".join(f"{n}: {f}" for n, f, _, ok in report.bars if not ok)
            except (proc.Timeout, RuntimeError, AssertionError, OSError) as e:
                cell = {"row": row.title, "conc": conc, "ok": False, "right": 0, "none": 0,
                        "wrong": 0, "missing": 0, "links": {}}
                why = str(e)[-300:]
            table.append(cell)
            passed, failed = passed + cell["ok"], failed + (not cell["ok"])
            print(f"{row.title} c={conc}: {cell['right']}/{cell['none']}/{cell['wrong']}"
                  f" right/none/wrong (wrong 0, recall >= {row.recall})"
                  f"{'' if cell['ok'] else ' FAIL ' + why}", flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(table, f, indent=1)
    if a.md:
        with open(a.md, "w") as f:
            f.write(markdown(table, concs))
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


def markdown(table, concs):
    lines = ["# Measured truth", "", "Client calls right / none / wrong, by `make check-truth`.", "",
             "| Application | " + " | ".join(f"c={c}" for c in concs) + " |",
             "|---|" + "---|" * len(concs)]
    for title in dict.fromkeys(c["row"] for c in table):
        cells = {c["conc"]: c for c in table if c["row"] == title}
        lines.append(f"| {title} | " + " | ".join(
            f"{cells[c]['right']}/{cells[c]['none']}/{cells[c]['wrong']}" for c in concs) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    case.need_root()
    sys.exit(main())
