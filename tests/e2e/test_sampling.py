# SPDX-License-Identifier: Apache-2.0
"""sample_rate keeps whole traces by consistent probability; excluded_paths leaves paths out."""
import os
import sys
from collections import defaultdict

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "truth")]
import shapes  # noqa: E402
from harness import apps, case  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import Env  # noqa: E402

RATE = 0.1
COUNT = 1500


def start(env, text, more_env=None):
    leaf = apps.leaf(env, delay_ms=0)
    front = apps.nginx(env, f"127.0.0.1:{leaf.port}")
    args = [a for p in [leaf.pid, *front.pids()] for a in ("--pid", p)]
    if text:
        path = env.path("clew.yaml")
        with open(path, "w") as f:
            f.write(text)
        args += ["--config", path]
    return front, Clew(env, *args, more_env=more_env)


def judge(spans, ledger, count):
    traces = defaultdict(list)
    for s in spans:
        traces[s.trace_id].append(s)
    share = len(traces) / count
    broken = sum(len(t) != 3 for t in traces.values())
    low = (1 << 56) - int(RATE * (1 << 56))
    early = sum(int(t[-14:], 16) < low for t in traces)
    part = ledger["spans"]
    case.proofs([
        ("share of traces kept", f"{share:.3f} of {count}", f"{RATE} +- 0.03",
         abs(share - RATE) < 0.03),
        ("traces kept in part", broken, "0 (nginx server, nginx client, leaf server)", broken == 0),
        ("kept though R < T", early, "0 (low 56 bits of the trace id)", early == 0),
        ("ledger sampled_out", part["sampled_out"], 3 * count - len(spans),
         part["sampled_out"] == 3 * count - len(spans)),
        ("span flags", {s.flags & 1 for s in spans}, "{1}", {s.flags & 1 for s in spans} == {1})])


def test_file():
    """sample_rate in the file"""
    case.need_root()
    with Env() as env:
        front, run = start(env, f"sample_rate: {RATE}\n")
        apps.load(env, front.port, conc=8, count=COUNT)
        judge(*run.stop(), COUNT)


def test_environment():
    """CLEW_SAMPLE_RATE beats the file"""
    case.need_root()
    with Env() as env:
        front, run = start(env, "sample_rate: 1.0\n", {"CLEW_SAMPLE_RATE": str(RATE)})
        apps.load(env, front.port, conc=8, count=COUNT)
        judge(*run.stop(), COUNT)


def test_zero():
    """sample_rate 0: no span, everything accounted for"""
    case.need_root()
    with Env() as env:
        front, run = start(env, "sample_rate: 0\n")
        apps.load(env, front.port, conc=8, count=200)
        spans, ledger = run.stop()
        case.proof("rate 0", f"{len(spans)} spans, {ledger['spans']['sampled_out']} sampled out",
                   "0, 600", not spans and ledger["spans"]["sampled_out"] == 600)


def test_excluded_paths():
    """globs on the path; what is left keeps its links"""
    case.need_root()
    with Env() as env:
        front, run = start(env, "excluded_paths:\n  - /n/secret/*\n  - /f/secret/*\n")
        apps.load(env, front.port, conc=8, count=400, shapes=["one", "secret"])
        spans, ledger = run.stop()
        paths = {shapes.of_path(s.path)[1] for s in spans}
        dropped = ledger["exchanges"]["dropped"].get("excluded_path", 0)
        case.proofs([("paths left", paths, "{'one'}", paths == {"one"}),
                     ("spans", len(spans), 600, len(spans) == 600),
                     ("ledger excluded_path", dropped, 600, dropped == 600)])


case.main(__name__)
