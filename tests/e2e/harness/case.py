# SPDX-License-Identifier: Apache-2.0
"""The smallest frame for a test file: functions test_*, one line per proof, counts at the end.

A file ends with `case.main(__name__)`; T_CASE=text,text in the environment selects by name.
"""
import faulthandler
import os
import signal
import sys
import time
import traceback


class Skip(Exception):
    """Not proven here, and why."""


class Failed(AssertionError):
    pass


def proof(name, figure, bar, ok):
    """Print one line `name: figure (bar)`; a figure that misses its bar fails the test."""
    print(f"  {'' if ok else 'FAIL '}{name}: {figure} ({bar})", flush=True)
    if not ok:
        raise Failed(f"{name}: {figure} ({bar})")


def proofs(rows):
    """Several at once: print all, then fail with all that missed."""
    missed = []
    for name, figure, bar, ok in rows:
        print(f"  {'' if ok else 'FAIL '}{name}: {figure} ({bar})", flush=True)
        if not ok:
            missed.append(f"{name}: {figure} ({bar})")
    if missed:
        raise Failed("; ".join(missed))


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root: BPF programs are loaded")


def main(name):
    if name != "__main__":
        return
    faulthandler.register(signal.SIGTERM, chain=True)  # the runner's limit: say where it hung
    module = sys.modules["__main__"]
    select = [t for t in os.environ.get("T_CASE", "").split(",") if t]
    idle = [t for t in select if not any(t in key for key in vars(module))]
    passed = failed = skipped = 0
    for key, fn in list(vars(module).items()):
        if not key.startswith("test_") or not callable(fn):
            continue
        if select and not any(t in key for t in select):
            continue
        print(f"{key}: {(fn.__doc__ or '').strip().splitlines()[0] if fn.__doc__ else ''}",
              flush=True)
        start = time.monotonic()
        try:
            fn()
            passed += 1
            verdict = "passed"
        except Skip as e:
            skipped += 1
            verdict = f"skipped: {e}"
        except Exception as e:
            failed += 1
            if not isinstance(e, Failed):
                traceback.print_exc()
            verdict = f"FAILED: {e}"
        print(f"  {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
    for text in idle:
        failed += 1
        print(f"  no such case: {text}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed else 0)
