#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judge a kept cell again from its recording, without root.

Usage: replay.py FOLDER...   (build/truth/cells/NAME)    CLEW=PATH replays with another binary

Replays recording.clew and compares the spans with cell.json, as the live run was. Prints the table
and examples of what is wrong; exit code 1 when a bar is missed.
"""
import argparse
import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import run  # noqa: E402
from harness import clew, otlp  # noqa: E402


def facts_of(folder):
    with open(os.path.join(folder, "cell.json")) as f:
        return json.load(f)


def replay(recording, env=None, binary=None):
    """(spans, ledger) of a recording; RuntimeError when clew fails."""
    with tempfile.TemporaryDirectory() as d:
        out, ledger = os.path.join(d, "spans"), os.path.join(d, "ledger")
        code, _, err = clew.command("replay", recording, "--export", f"file={out}", "--ledger",
                                    ledger, env=env, binary=binary)
        if code != 0:
            raise RuntimeError(f"clew replay ended with {code}: {err[-400:]}")
        with open(ledger) as f:
            return otlp.read(out), json.load(f)


def judge(folder, recording=None, binary=None):
    facts = facts_of(folder)
    spans, ledger = replay(recording or os.path.join(folder, "recording.clew"), binary=binary)
    return run.judge(facts, spans, ledger)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("folders", nargs="+")
    bad = 0
    for folder in ap.parse_args().folders:
        facts = facts_of(folder)
        print(f"{facts['title']} c={facts['conc']}")
        report = judge(folder)
        report.table()
        bad += not report.ok
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
