#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prove clew on other kernels: one guest each, see matrix_guest.py for what runs in it.

Usage: matrix.py BUILD [--short] [--update] [--kernels "NAME..."] [--layers fentry,kprobe,rawtp]

What the verifier needed for each program is compared with verifier.json beside this file, which
holds the last accepted figures: a program that grew by more than half has come nearer to what a
kernel refuses. --update writes the new figures there. A program whose deepest chain of calls comes
near the end of the stack fails in any case. A kernel that cannot be had (no network, no
archive) is skipped with its reason; the others are proven. Last line 'N passed, N failed, N skipped'.
"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time

import run

HERE = os.path.dirname(os.path.abspath(__file__))
FIGURES = os.path.join(HERE, "verifier.json")
GROWTH, SLACK = 1.5, 2000  # instructions
STACK_MAX = 512  # MAX_BPF_STACK, include/linux/filter.h: of a chain of calls
STACK_NEAR = 448  # two of the units of 32 bytes in which verify.c counts are left


def load(path):
    """{program: {kernel: [insns, stack]}}"""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="ascii") as f:
        return json.load(f)


def save(path, figures):
    """One line for each program, so that a change can be read."""
    rows = [f" {json.dumps(name)}: {json.dumps(figures[name], sort_keys=True)}"
            for name in sorted(figures)]
    with open(path, "w", encoding="ascii") as f:
        f.write("{\n" + ",\n".join(rows) + "\n}\n")


def compare(old, kernel, loaded):
    """(programs that grew, that are near the end of the stack, that were not known)"""
    grown, near, new = [], [], []
    for name, now in sorted(loaded.items()):
        before = old.get(name, {}).get(kernel)
        if before is None:
            new.append(name)
        elif now["insns"] > before[0] * GROWTH + SLACK:
            grown.append(f"{name}: {before[0]} -> {now['insns']} instructions")
        if now["stack"] > STACK_NEAR:
            near.append(f"{name}: {now['stack']} of {STACK_MAX} bytes of stack")
    return grown, near, new


class Row:
    """One kernel: its guest, what was proven, and the text about it."""

    def __init__(self, args, figures, kernel):
        self.kernel, _, self.part = kernel.partition(":")
        self.args, self.figures = args, figures
        self.counts = [0, 0, 0]
        self.lines = []
        self.loaded = {}

    def say(self, text):
        self.lines.append(text)

    def row(self, text, ok):
        self.say(f"{self.kernel} {'' if ok else 'FAIL '}{text}")
        self.counts[0 if ok else 1] += 1

    def there(self):
        why = run.missing(self.kernel)
        if why:
            self.say(f"{self.kernel}: skipped: {why}")
            self.counts[2] += 1
        return not why

    def guest(self, out):
        args = self.args
        command = [sys.executable, os.path.join(HERE, "run.py"), self.kernel,
                   "--timeout", str(args.timeout), "--out", out,
                   "--env", f"CLEW_E2E_SCALE={args.scale}", "--",
                   "/usr/bin/python3", os.path.join(HERE, "matrix_guest.py"), args.build,
                   "" if self.part == "load" else args.layers] + ["--short"] * args.short
        last = None
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace") as p:
            for line in p.stdout:
                found = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped\n", line)
                last = [int(n) for n in found.groups()] if found else last
                if not found:
                    self.say(line.rstrip("\n"))
        if last is None or (p.returncode and not last[1]):
            self.row(f"guest: status {p.returncode} (0)", False)
        self.counts = [a + b for a, b in zip(self.counts, last or [0, 0, 0])]

    def verifier(self, out):
        path = os.path.join(out, "verifier.json")
        if not os.path.exists(path):
            return
        self.loaded = load(path)
        grown, near, new = compare(self.figures, self.kernel, self.loaded)
        may = bool(self.args.update)
        note = f", {len(new)} not known yet" if new and not may else ""
        for name, found, bar, ok in (
                ("programs that grew", grown, "accepted" if may else "0", may or not grown),
                ("programs near the end of the stack", near, "0", not near)):
            self.row(f"verifier: {name}: {len(found)} of {len(self.loaded)}{note} ({bar})", ok)
            note = ""
            for text in found:
                self.say(f"       {text}")

    def run(self):
        began = time.monotonic()
        out = os.path.join(self.args.build, "tests", "vm", f"out-{self.kernel}")
        if not self.there():
            return self
        if os.path.exists(os.path.join(out, "verifier.json")):
            os.unlink(os.path.join(out, "verifier.json"))
        self.guest(out)
        self.verifier(out)
        self.say(f"{self.kernel}: {time.monotonic() - began:.0f} s\n")
        return self


def accept(figures, rows):
    for row in rows:
        if row.loaded:
            for known in figures.values():
                known.pop(row.kernel, None)
        for name, now in row.loaded.items():
            figures.setdefault(name, {})[row.kernel] = [now["insns"], now["stack"]]
    save(FIGURES, {name: known for name, known in figures.items() if known})


def prove(args):
    began = time.monotonic()
    figures, counts, rows = load(FIGURES), [0, 0, 0], []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        todo = [pool.submit(Row(args, figures, k).run) for k in args.kernels.split()]
        for done in concurrent.futures.as_completed(todo):
            row = done.result()
            rows.append(row)
            counts = [a + b for a, b in zip(counts, row.counts)]
            print("\n".join(row.lines), flush=True)
    if args.update:
        accept(figures, rows)
    print(f"all kernels, {args.jobs} at a time: {time.monotonic() - began:.0f} s")
    print("{} passed, {} failed, {} skipped".format(*counts))
    return 1 if counts[1] or not sum(counts) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("--kernels", default="5.10 6.1 6.12 sid",
                        help="NAME:load: do the programs load, and no more")
    parser.add_argument("--layers", default="fentry,kprobe,rawtp")
    parser.add_argument("--short", action="store_true", help="without the end-to-end suite")
    parser.add_argument("--update", action="store_true", help="accept the verifier's figures")
    parser.add_argument("--scale", default="8", help="of deadlines in the guest, which is slow")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one guest")
    parser.add_argument("--jobs", type=int, default=2 if (os.cpu_count() or 1) > 1 else 1,
                        help="guests at a time: one keeps less than one processor busy")
    return prove(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
