#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Would the harness notice? Replay kept cells with agents whose correlation is broken on purpose.

Usage: mutations.py NAME=BINARY...      (make check-truth-mutations builds them)

mutations/NAME.patch is a change of src/correlate; its lines before the first `---` say what it breaks
and in which cells that must be seen. Each cell must pass with the true agent and fail with the
broken one. Exit code 1 when a mutation goes unnoticed.
"""
import fnmatch
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import replay  # noqa: E402
from harness import proc  # noqa: E402


def cells_of(name):
    """Folders of the cells that must fail: those of its `Cells:` line that have links to break."""
    with open(os.path.join(HERE, "mutations", name + ".patch")) as f:
        line = next(x for x in f if x.startswith("Cells:"))
    cells = os.path.join(proc.BUILD, "truth", "cells")
    for folder in sorted(os.listdir(cells)) if os.path.isdir(cells) else ():
        path = os.path.join(cells, folder)
        if not any(fnmatch.fnmatch(folder, g) for g in line.split()[1:]) or \
                not os.path.exists(os.path.join(path, "cell.json")):
            continue
        facts = replay.facts_of(path)
        if facts["recall"] > 0 and len(facts["pids"]) > 1 and len(facts["records"]) >= 100:
            yield path


def main():
    passed = failed = 0
    good = {}
    for arg in sys.argv[1:]:
        name, binary = arg.split("=")
        seen, unseen, first = 0, [], ""
        for path in cells_of(name):
            if path not in good:
                good[path] = replay.judge(path).ok
            report = replay.judge(path, binary=binary)
            missed = [f"{n} {f}" for n, f, _, ok in report.bars if not ok]
            if good[path] and missed:
                seen += 1
                first = first or f"{os.path.basename(path)}: {missed[0]}"
            else:
                unseen.append(os.path.basename(path) + ("" if good[path] else " (fails anyway)"))
        ok = seen and not unseen
        passed, failed = passed + bool(ok), failed + (not ok)
        print(f"{'' if ok else 'FAIL '}mutation {name}: seen in {seen} of {seen + len(unseen)} cells "
              f"(all) {'; '.join(unseen) or first}", flush=True)
        if not seen and not unseen:
            print("    there is no cell to replay: make check-truth T=ci first")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
