# SPDX-License-Identifier: Apache-2.0
"""A recording of what the kernel said replays to the same spans, without root."""
import os
import shutil
import subprocess
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "truth")]
import check  # noqa: E402
from harness import apps, case, clew, otlp  # noqa: E402
from harness.proc import SCALE, Env  # noqa: E402


def facts(spans):
    return {(s.trace_id, s.span_id, s.parent, s.kind, s.name, s.start, s.end, s.status,
             str(sorted(s.attrs.items())), str(sorted(s.resource.items()))) for s in spans}


def test_replay():
    case.need_root()
    with Env() as env:
        chain = apps.Chain(env)
        apps.load(env, chain.front.port, conc=16, count=64, shapes=chain.SHAPES)
        rec, out = env.path("run.clew"), env.path("replayed.jsonl")
        run = clew.Clew(env, *chain.selectors(), "--record", rec)
        load = apps.load(env, chain.front.port, conc=16, count=150, shapes=chain.SHAPES)
        spans, _ = run.stop()
        os.chmod(rec, 0o644)
        code, _, err = clew.command("replay", rec, "--export", f"file={out}", "--ledger",
                                    env.path("replay.json"))
        case.proof("replay", f"exit {code} {err.strip()[-80:]!r}", "exit 0", code == 0)
        again = otlp.read(out)
        a, b = facts(spans), facts(again)
        for side, rest in (("live", a - b), ("replayed", b - a)):
            for fact in sorted(rest)[:3]:
                print(f"    only {side}: {fact[:9]}")
        case.proofs([
            ("spans live and replayed", f"{len(spans)}, {len(again)}", "equal, > 1000",
             len(spans) == len(again) and len(again) > 1000),
            ("the same in every field", f"{len(a & b)} of {len(a)}", "all", a == b)])
        report = check.check(again, load.records(), chain.pids(), min_recall=0.9,
                             min_durations=0.0)
        case.proof("the replay is true", report.ok, "True", report.ok)
        if shutil.which("setpriv"):
            out2 = os.path.join(env.dir, "unprivileged")
            os.mkdir(out2, 0o777)
            os.chmod(out2, 0o777)
            p = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                clew.CLEW, "replay", rec, "--export", f"file={out2}/x"],
                               env=clew.clean_env(), capture_output=True, text=True, timeout=60 * SCALE)
            n = len(otlp.read(f"{out2}/x")) if p.returncode == 0 else p.stderr[-200:]
            case.proof("replay without root", n, len(spans), n == len(spans))


def test_broken_recordings():
    """cut, flipped and foreign files: an error or fewer spans, never a crash"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env)
        rec = env.path("small.clew")
        run = clew.Clew(env, "--pid", leaf.pid, "--record", rec)
        apps.load(env, leaf.port, conc=4, count=100, prefix="/l")
        run.stop()
        with open(rec, "rb") as f:
            data = f.read()
        variants = {"cut": data[:len(data) // 2 + 3], "empty": b"", "foreign": b"not a recording\n" * 9,
                    "flipped": bytes(b ^ (0xff if i % 997 == 500 else 0)
                                     for i, b in enumerate(data)),
                    "twice": data + data}
        for name, content in variants.items():
            path = env.path(name)
            with open(path, "wb") as f:
                f.write(content)
            code, _, err = clew.command("replay", path, "--export",
                                        f"file={env.path(name + '.out')}")
            case.proof(name, f"exit {code} {err.strip().splitlines()[-1][:80] if err.strip() else ''}",
                       "exit 0, 1 or 2", code in (0, 1, 2))
            if name == "cut":
                case.proof("ledger of what was read", "balanced" if "ledger balanced" in err
                           else err[-300:], "balanced", "ledger balanced" in err)


case.main(__name__)
