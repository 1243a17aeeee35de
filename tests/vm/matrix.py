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
import json
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FIGURES = os.path.join(HERE, "verifier.json")
GROWTH, SLACK = 1.5, 2000  # instructions
STACK_MAX = 512  # MAX_BPF_STACK, include/linux/filter.h: of a chain of calls
STACK_NEAR = 480  # one of the units of 32 bytes in which verify.c counts is left


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


class Matrix:
    def __init__(self, args):
        self.args = args
        self.figures = load(FIGURES)
        self.counts = [0, 0, 0]

    def row(self, text, ok):
        print(text, flush=True)
        self.counts[0 if ok else 1] += 1

    def there(self, kernel):
        """Fetch it if need be."""
        done = subprocess.run([os.path.join(HERE, "kernels.sh"), kernel], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{kernel}: skipped: {why}", flush=True)
            self.counts[2] += 1
        return not done.returncode

    def guest(self, kernel, out):
        command = [sys.executable, os.path.join(HERE, "run.py"), kernel, "--timeout", str(self.args.timeout), "--out", out, "--env",
                   f"CLEW_E2E_SCALE={self.args.scale}", "--",
                   "/usr/bin/python3", os.path.join(HERE, "matrix_guest.py"), self.args.build,
                   self.args.layers] + (["--short"] if self.args.short else [])
        last = None
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as p:
            for line in p.stdout:
                found = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped\n", line)
                last = [int(n) for n in found.groups()] if found else last
                if not found:
                    print(line, end="", flush=True)
        if last is None or (p.returncode and not last[1]):
            self.row(f"{kernel} FAIL guest: status {p.returncode} (0)", False)
        self.counts = [a + b for a, b in zip(self.counts, last or [0, 0, 0])]

    def verifier(self, kernel, out):
        path = os.path.join(out, "verifier.json")
        if not os.path.exists(path):
            return
        loaded = load(path)
        grown, near, new = compare(self.figures, kernel, loaded)
        note = f", {len(new)} not known yet" if new and not self.args.update else ""
        may = bool(self.args.update)
        for name, found, bar, ok in (
                ("programs that grew", grown, "accepted" if may else "0", may or not grown),
                ("programs near the end of the stack", near, "0", not near)):
            self.row(f"{kernel} {'' if ok else 'FAIL '}verifier: {name}: {len(found)} of "
                     f"{len(loaded)}{note} ({bar})", ok)
            note = ""
            for text in found:
                print(f"       {text}")
        if self.args.update:
            for row in self.figures.values():
                row.pop(kernel, None)
            for name, now in loaded.items():
                self.figures.setdefault(name, {})[kernel] = [now["insns"], now["stack"]]

    def run(self):
        if not shutil.which("qemu-system-x86_64"):
            print("kernels: skipped: no qemu-system-x86_64: make deps installs it")
            print("0 passed, 0 failed, 1 skipped")
            return 0
        for kernel in self.args.kernels.split():
            began = time.monotonic()
            out = os.path.join(self.args.build, "tests", "vm", f"out-{kernel}")
            if not self.there(kernel):
                continue
            if os.path.exists(os.path.join(out, "verifier.json")):
                os.unlink(os.path.join(out, "verifier.json"))
            self.guest(kernel, out)
            self.verifier(kernel, out)
            print(f"{kernel}: {time.monotonic() - began:.0f} s\n", flush=True)
        if self.args.update:
            save(FIGURES, {name: row for name, row in self.figures.items() if row})
        print("{} passed, {} failed, {} skipped".format(*self.counts))
        return 1 if self.counts[1] or not sum(self.counts) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("--kernels", default="5.10 6.1 6.12 sid")
    parser.add_argument("--layers", default="fentry,kprobe,rawtp")
    parser.add_argument("--short", action="store_true", help="without the end-to-end suite")
    parser.add_argument("--update", action="store_true", help="accept the verifier's figures")
    parser.add_argument("--scale", default="8", help="of deadlines in the guest, which is slow")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one guest")
    return Matrix(parser.parse_args()).run()


if __name__ == "__main__":
    sys.exit(main())
