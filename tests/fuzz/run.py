#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run libFuzzer programs one after the other for some seconds each.

Usage: run.py --seconds N --build DIR fuzz_a.c ...   Corpus: tests/fuzz/corpus/NAME (read only: what
is found goes to DIR/corpus/NAME). A crash's input is kept in DIR and named.
"""
import argparse
import os
import re
import subprocess
import sys


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seconds", type=int, default=10)
    ap.add_argument("--build", required=True)
    ap.add_argument("sources", nargs="*")
    a = ap.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    passed = failed = 0
    for source in a.sources:
        name = os.path.splitext(os.path.basename(source))[0]
        short = name.replace("fuzz_", "", 1)
        seeds = os.path.join(here, "corpus", short)
        found = os.path.join(a.build, "corpus", short)
        os.makedirs(found, exist_ok=True)
        argv = [os.path.join(a.build, name), f"-max_total_time={a.seconds}", "-print_final_stats=1",
                "-rss_limit_mb=1024", "-timeout=10", "-verbosity=1",
                f"-artifact_prefix={a.build}/{short}-", found]
        if os.path.isdir(seeds):
            argv.append(seeds)
        p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=a.seconds + 120)
        out = p.stdout.decode(errors="replace")
        runs = re.search(r"number_of_executed_units:\s*(\d+)", out)
        cov = re.findall(r"cov: (\d+)", out)
        print(f"{name}: {runs.group(1) if runs else 0} runs, coverage {cov[-1] if cov else 0} edges"
              f" (no crash in {a.seconds} s){' FAIL' if p.returncode else ''}", flush=True)
        if p.returncode or not runs:
            failed += 1
            print(out[-4000:])
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
