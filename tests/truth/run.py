#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Precision and recall of parent links, per runtime and concurrency: the published table.

Usage: run.py [ROW[:CASE]...] [--conc 1,2,3,8,64] [--count N] [--json FILE] [--md FILE] [--list]

A ROW is a folder of rows/ or a tag; CASE a part of a case's name. Each row is one real server
with a plain C server behind it, traced alone, so that a row says what one runtime's rules know.
Prints right / none / wrong client calls; exit code 1 when a bar is missed: no wrong parent
anywhere, recall as the case says, no span lost. A cell that failed leaves its folder, with a
recording: see README.md.
"""
import argparse
import json
import os
import re
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import check  # noqa: E402
import kit  # noqa: E402
import shapes  # noqa: E402
import table  # noqa: E402
from harness import apps, case, proc  # noqa: E402
from harness.clew import Clew  # noqa: E402

COUNT = {1: 60, 2: 120}  # requests per cell by concurrency, else:
COUNT_ELSE = 300
PROBES_S = 0.2
COUNTED = ("missing spans", "duplicate spans", "mixed traces", "background roots",
           "durations off")


def wait_late(clew, records, row, got):
    """Calls go on behind the answers: until each is in the file. What does not come is missing."""
    want = {x.path for r in records if "error" not in r
            for x in shapes.tree(*shapes.of_path(r["path"])[:3], got.ends, got.behind).children}
    try:
        proc.wait_for("the calls behind the answers",
                      lambda: want <= {s.path for s in clew.spans()}, 15)
    except proc.Timeout:
        pass


def measure(env, row, one, conc, count):
    got = row.start(env, one)
    prefix = "/" + row.service
    # each shape at least twice: what it loads is loaded
    apps.load(env, got.front.port, conc=conc, count=max(conc, len(one.shapes)) * 2, prefix=prefix,
              shapes=one.shapes)
    got.pids = {letter: kit.family(*who) for letter, who in got.pids.items()}
    clew = Clew(env, *(a for who in got.pids.values() for p in sorted(who) for a in ("--pid", p)),
                "--record", env.path("recording.clew"))
    # Some probes wait until they are asked for by what is seen, and then take their time
    apps.load(env, got.front.port, conc=conc, count=conc * 4, prefix=prefix, shapes=one.shapes)
    time.sleep(PROBES_S)
    run = apps.load(env, got.front.port, conc=conc, count=count, prefix=prefix, shapes=one.shapes)
    records = run.records()
    if set(one.shapes) & set(shapes.LATE):
        wait_late(clew, records, row, got)
    spans, ledger = clew.stop()
    # workers may have been started since
    facts = {"pids": {k: sorted(v | kit.family(*v)) for k, v in got.pids.items()}, "ends": got.ends,
             "behind": got.behind, "recall": one.recall, "records": records,
             "title": row.line(one), "conc": conc}
    with open(env.path("cell.json"), "w") as f:
        json.dump(facts, f)
    return judge(facts, spans, ledger)


def judge(facts, all_spans, ledger):
    """Compare the spans of a cell, live or replayed, with its truth."""
    # Calls behind the answers of the warm-up may still be under way at the attach: not of this run
    first = min(r["id"] for r in facts["records"])
    spans = [s for s in all_spans if not 0 < (shapes.of_path(s.path) or (0, 0, 0))[2] < first]
    pids = {k: set(v) for k, v in facts["pids"].items()}
    report = check.check(spans, facts["records"], pids, tuple(facts["ends"]), "".join(pids),
                         min_inproc=dict.fromkeys(pids, facts["recall"]), min_durations=0.0,
                         behind=facts["behind"])
    if ledger:
        check.check_ledger(report, ledger, all_spans)
    return report


def cell_of(row, one, conc, report):
    total = report.total(report.inproc)
    return {"row": row.line(one), "conc": conc, "ok": report.ok,
            **{r: total[r] for r in check.RESULTS},
            "across": dict(report.total(report.across)),
            "links": {k: dict(v) for k, v in report.links.items()},
            "evidence": {k: dict(v) for k, v in report.evidence.items()},
            **{k.replace(" ", "_"): report.n[k] for k in COUNTED}, "durations": report.n["durations"],
            "why": "; ".join(f"{n}: {f}" for n, f, _, ok in report.bars if not ok)}


def run_cell(row, one, conc, count):
    """One cell of the table; None with a line printed where it cannot run here."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{row.name} {one.name}".lower()).strip("-")
    keep = os.path.join(proc.BUILD, "truth", "cells", f"{name}-c{conc}")
    shutil.rmtree(keep, ignore_errors=True)
    try:
        with proc.Env(keep=keep) as env:
            cell = cell_of(row, one, conc, measure(env, row, one, conc, count))
    except (proc.Timeout, RuntimeError, AssertionError, OSError) as e:
        cell = {"row": row.line(one), "conc": conc, "ok": False, "right": 0, "none": 0,
                "wrong": 0, "missing": 0, "across": {}, "links": {}, "why": str(e)[-300:]}
    print(f"{row.line(one)} c={conc}: {cell['right']}/{cell['none']}/{cell['wrong']}"
          f" right/none/wrong (wrong 0, recall >= {one.recall})"
          f"{'' if cell['ok'] else ' FAIL ' + cell['why']}", flush=True)
    if not cell["ok"]:
        print(f"    kept: {os.path.relpath(keep)}", flush=True)
    return cell


def selected(rows, wants, concs):
    """(row, case, concurrency) of everything that was asked for."""
    for row in rows:
        for one in row.cases:
            tags = row.tags | one.tags | {row.name}
            if wants and not any(w.split(":")[0] in tags and w.partition(":")[2] in one.name
                                 for w in wants):
                continue
            for conc in one.conc or concs:
                yield row, one, conc


def write(a, cells):
    for path, text in ((a.json, json.dumps(cells, indent=1)), (a.md, table.markdown(cells))):
        if path:
            with open(path, "w") as f:
                f.write(text)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("rows", nargs="*", help="folder or tag, with :CASE a part of a case's name")
    ap.add_argument("--conc", default="1,2,3,8,64")
    ap.add_argument("--count", type=int, default=0, help="requests per cell (0: by concurrency)")
    ap.add_argument("--json")
    ap.add_argument("--md")
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    concs = [int(c) for c in a.conc.split(",")]
    wants = [w for arg in a.rows for w in arg.split()]
    todo = list(selected(kit.find(), wants, concs))
    if a.list:
        for row, one, _ in todo:
            print(f"{row.name}{':' + one.name if one.name else ''}  {' '.join(sorted(row.tags))}")
        return 0
    cells, skipped, unable = [], 0, {}
    for row, one, conc in todo:
        try:
            if row.line(one) in unable:
                raise unable[row.line(one)]
            kit.need(*row.needs)
            cells.append(run_cell(row, one, conc, a.count or COUNT.get(conc, COUNT_ELSE)))
            write(a, cells)  # the whole takes hours: what is measured is kept
        except case.Skip as e:
            if row.line(one) not in unable:
                print(f"{row.line(one)}: skipped: {e}", flush=True)
            unable[row.line(one)] = e
            skipped += 1
    write(a, cells)
    passed = sum(c["ok"] for c in cells)
    if not todo:
        print("no row selected")
    print(f"{passed} passed, {len(cells) - passed} failed, {skipped} skipped")
    return 1 if passed < len(cells) or not todo else 0


if __name__ == "__main__":
    case.need_root()
    sys.exit(main())
