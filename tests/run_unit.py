#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run cmocka programs one after the other; last line 'N passed, N failed, N skipped'.

Usage: run_unit.py PROGRAM...    Exit code 1 when a test failed or a program crashed.
"""
import re
import subprocess
import sys


def main():
    passed = failed = skipped = 0
    for prog in sys.argv[1:]:
        try:
            run = subprocess.run([prog], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 timeout=300)
            out, code = run.stdout.decode(errors="replace"), run.returncode
        except subprocess.TimeoutExpired as e:
            out, code = (e.stdout or b"").decode(errors="replace") + "\ntimed out", 1
        ok = len(re.findall(r"^\[       OK \]", out, re.M))
        bad = len(re.findall(r"^\[  FAILED  \] \S+$", out, re.M)) // 2
        skip = len(re.findall(r"^\[  SKIPPED \] \S+$", out, re.M)) // 2
        if code and not bad:
            bad = 1  # a crash or a sanitizer report
        if not code and not ok and not skip:
            bad, out = 1, out + "\nno test ran"
        name = prog.split("/tests/unit/")[-1]
        print(f"{name}: {ok} passed, {bad} failed, {skip} skipped")
        if bad:
            print(out)
        passed, failed, skipped = passed + ok, failed + bad, skipped + skip
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
