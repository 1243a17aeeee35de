#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run tests/e2e/test_*.py, each in its own process; last line 'N passed, N failed, N skipped'.

Usage: run.py [--in FOLDER] [NAME...]   --in: another folder of tests, tests/faults. A NAME selects files by a part of their name; NAME:CASE also the cases
in it. CLEW_E2E_LAYER=fentry|kprobe|rawtp forces a capture layer; CLEW_E2E_SCALE=N stretches
deadlines on a slow machine.
"""
import os
import re
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_S = 300  # for one file
LAST = 60  # lines of a failed file that are said again at the end


def run_file(path, cases):
    """[passed, failed, skipped] of one file, and its last lines. A crash or a missing summary is
    one failure."""
    env = dict(os.environ, PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1", T_CASE=cases)
    limit = LIMIT_S * float(os.environ.get("CLEW_E2E_SCALE", "1"))
    lines = []
    p = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, errors="replace", env=env)
    watchdog = threading.Timer(limit, p.terminate)  # its servers end with it
    watchdog.start()
    for line in p.stdout:
        lines.append(line)
        print("  " + line, end="", flush=True)
    code = p.wait()
    watchdog.cancel()
    if code < 0:
        print(f"  ended by signal {-code} (limit {limit:.0f} s)")
    for line in reversed(lines):
        m = re.search(r"(\d+) passed, (\d+) failed, (\d+) skipped", line)
        if m:
            got = [int(x) for x in m.groups()]
            if code and not got[1]:
                got[1] = 1
            return got, lines[-LAST:]
    return [0, 1, 0] if code or not lines else [1, 0, 0], lines[-LAST:]


def main():
    args, here = sys.argv[1:], HERE
    if args[:1] == ["--in"]:
        here, args = args[1], args[2:]
    want = [a.split(":", 1) for a in args]
    total = [0, 0, 0]
    bad, ran = [], []
    for name in sorted(os.listdir(here)):
        if not re.fullmatch(r"test_\w+\.py", name):
            continue
        hits = [w for w in want if w[0] in name]
        if want and not hits:
            continue
        cases = [w[1] for w in hits if len(w) > 1]
        cases = ",".join(cases) if len(cases) == len(hits) else ""  # one wants the whole file
        ran.append(name)
        print(f"{name}", flush=True)
        start = time.monotonic()
        got, last = run_file(os.path.join(here, name), cases)
        print(f"{name}: {got[0]} passed, {got[1]} failed, {got[2]} skipped "
              f"({time.monotonic() - start:.0f} s)\n", flush=True)
        total = [a + b for a, b in zip(total, got)]
        if got[1]:
            bad.append((name, last))
    idle = [":".join(w) for w in want if not any(w[0] in name for name in ran)]
    if idle:
        print("no such test: " + " ".join(idle))
        total[1] += len(idle)
    for name, last in bad:
        print(f"the last lines of {name}:\n" + "".join("  | " + line for line in last))
    if bad:
        print("failed: " + " ".join(name for name, _ in bad))
    if sum(total) == 0:
        print("no test selected")
        total[1] = 1
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
