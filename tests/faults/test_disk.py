# SPDX-License-Identifier: Apache-2.0
"""The disk is full: for the span file, and for a recording."""
import os
import subprocess
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from fault import Clew, Env, apps, balanced, bounded, by_pid, case, said, unharmed  # noqa: E402


class Small:
    """A tmpfs of its own, unmounted at the end."""

    def __init__(self, env, size):
        self.dir = env.path("small")
        os.mkdir(self.dir)
        p = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", self.dir],
                           capture_output=True, text=True)
        if p.returncode:
            raise case.Skip(f"no tmpfs can be mounted here: {p.stderr.strip()}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        subprocess.run(["umount", "-l", self.dir], check=True)

    def path(self, name):
        return os.path.join(self.dir, name)


def test_span_file():
    """spans that did not fit are counted; what is in the file is whole lines; another exporter goes on"""
    case.need_root()
    with Env("clew-faults") as env, Small(env, "2m") as small:
        leaf = apps.leaf(env, delay_ms=1)
        run = Clew(env, *by_pid(leaf.pid), "--export", f"file={small.path('spans.jsonl')}")
        load = apps.load(env, leaf.port, conc=8, count=3000, prefix="/l")
        run.wait_spans(3000)
        _, ledger = run.stop()
        with open(small.path("spans.jsonl"), "rb") as f:
            whole = sum(line.endswith(b"}\n") for line in f)
        dropped = {k: v["write"] for k, v in ledger["spans"]["dropped"].items()}
        exported = ledger["spans"]["exported"]
        case.proofs([unharmed([load]), bounded(run), *balanced(ledger),
                     ("spans lost to the full disk", dropped, "> 0 there, 0 beside",
                      sorted(bool(v) for v in dropped.values()) == [False, True]),
                     ("spans written", exported, "3000 beside", 3000 in exported.values()),
                     ("whole lines in the full file", whole, "> 0", whole > 0),
                     said(run, "that the disk is full", r"(?i)spans\.jsonl.*no space left")])


def test_recording():
    """the run goes on without its recording; its exit code says that something failed"""
    case.need_root()
    with Env("clew-faults") as env, Small(env, "128k") as small:
        leaf = apps.leaf(env, delay_ms=1)
        run = Clew(env, *by_pid(leaf.pid), "--record", small.path("r.clew"))
        load = apps.load(env, leaf.port, conc=8, count=2000, prefix="/l")
        run.wait_spans(2000)
        spans, ledger = run.stop(expect=1)
        case.proofs([unharmed([load]), bounded(run), *balanced(ledger),
                     ("spans", len(spans), "2000", len(spans) == 2000),
                     said(run, "that the recording is not whole", r"(?i)r\.clew.*no space left")])


case.main(__name__)
