# SPDX-License-Identifier: Apache-2.0
"""What every fault test asks for at its end: the traced process was not harmed, the ledger
balances, memory stayed bounded, and a line says what happened."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [p for p in (HERE, os.path.join(HERE, "..", "e2e")) if p not in sys.path]
from harness import apps, case, proc  # noqa: E402,F401
from harness.clew import Clew  # noqa: E402,F401
from harness.proc import Env, wait_for  # noqa: E402,F401

LONG = os.environ.get("FAULTS", "short") == "long"
RSS_MB = 96


def unharmed(loads):
    done = sum(x.summary["done"] for x in loads)
    errors = sum(x.summary["errors"] for x in loads)
    return ("errors at the client", f"{errors} of {done}", "0", errors == 0 and done > 0)


def said(run, what, *patterns):
    """The log has a line for each pattern."""
    text = run.stderr()
    missing = [p for p in patterns if not re.search(p, text)]
    lines = [x for x in text.splitlines() if any(re.search(p, x) for p in patterns)]
    if missing:
        print("    " + "\n    ".join(text.splitlines()[-30:]))
    return (f"says {what}", (lines or ["nothing"])[0][:110], "a line", not missing)


def bounded(run, mb=RSS_MB):
    return ("peak RSS", f"{run.peak / 1024:.1f} MB", f"<= {mb} MB", run.peak <= mb * 1024)


def balanced(ledger):
    """Every border of the account, added up here once more."""
    rows = []
    for name, out in (("events", "used"), ("exchanges", "spans")):
        part = ledger[name]
        total = part[out] + sum(part["dropped"].values())
        rows.append((f"ledger {name}", f"{part['seen']} seen, {total} accounted for", "equal",
                     part["seen"] == total))
    s = ledger["spans"]
    for exporter, n in s["exported"].items():
        total = n + sum(s["dropped"].get(exporter, {}).values()) + s["sampled_out"]
        why = {k: v for k, v in s["dropped"].get(exporter, {}).items() if v}
        rows.append((f"ledger {exporter}", f"{s['built']} built, {n} delivered, dropped {why}",
                     "equal", s["built"] == total))
    return rows


def by_pid(*pids):
    return [a for p in pids for a in ("--pid", p)]
