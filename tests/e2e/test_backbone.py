# SPDX-License-Identifier: Apache-2.0
"""The main job: nginx -> FastAPI -> {Flask -> Go, Go} -> leaf, running, under load, exactly."""
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "truth")]
import check  # noqa: E402
import shapes  # noqa: E402
from harness import case  # noqa: E402
from harness.apps import Chain, Load, load  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import SCALE, Env, wait_for  # noqa: E402

# concurrency -> (requests, share of durations that must be within the bar)
RUNS = {1: (60, 0.95), 2: (120, 0.95), 3: (150, 0.95), 8: (240, 0.95), 64: (320, 0.80)}


def shared_chain():
    """One chain for all cases of this file; its pools are filled at 64 before any attach."""
    if not hasattr(shared_chain, "env"):
        env = Env("clew-backbone").__enter__()
        shared_chain.env = env
        shared_chain.chain = Chain(env)
        load(env, shared_chain.chain.front.port, conc=64, count=256, shapes=Chain.SHAPES)
    return shared_chain.env, shared_chain.chain


def judge(chain, spans, ledger, records, **kw):
    # an emulated client's own instructions between its clock and its calls take milliseconds
    report = check.check(spans, records, chain.pids(), slack_ms=SCALE, **kw)
    check.check_ledger(report, ledger, spans)
    report.bar("events dropped", sum(ledger["events"]["dropped"].values()), "0",
               not ledger["events"]["dropped"].get("ring_full", 0))
    return report


def conc(c):
    case.need_root()
    env, chain = shared_chain()
    count, durations = RUNS[c]
    clew = Clew(env, *chain.selectors())
    run = load(env, chain.front.port, conc=c, count=count, shapes=chain.SHAPES, seconds=120)
    spans, ledger = clew.stop()
    # an emulator's two processors take turns on one thread: one call in twenty is between two turns
    report = judge(chain, spans, ledger, run.records(),
                   min_durations=durations - (0.05 if SCALE > 1 else 0))
    if report.off_ms:
        off = sorted(report.off_ms)
        print(f"  client minus span, ms: p1 {off[len(off) // 100]:.3f}, p50 {off[len(off) // 2]:.3f}"
              f", p99 {off[len(off) * 99 // 100]:.3f}")
    whole = report.n["whole traces"] / max(1, report.n["requests"])
    print(f"  attach: {clew.attach_s:.2f} s; RSS {clew.peak / 1024:.1f} MB; whole traces "
          f"{whole:.4f} of {report.n['requests']}; links " +
          ", ".join(f"{k} {dict(v)}" for k, v in report.links.items()))
    if not report.ok:
        report.table()
    case.proofs([r for r in report.bars if not r[3] or r[0].startswith(
        ("recall", "wrong", "missing", "ledger", "durations", "duplicate"))])


def test_concurrency_1():
    """one request at a time"""
    conc(1)


def test_concurrency_2():
    conc(2)


def test_concurrency_3():
    conc(3)


def test_concurrency_8():
    conc(8)


def test_concurrency_64():
    conc(64)


def test_attach_under_load():
    """attach and detach while 16 connections are busy: nothing wrong, all after ready is there"""
    case.need_root()
    env, chain = shared_chain()
    run = Load(env, chain.front.port, conc=16, shapes=chain.SHAPES, seconds=40 * SCALE)
    wait_for("load is under way", lambda: run.so_far() > 20, 20)
    clew = Clew(env, *chain.selectors())
    clew.wait_spans(1, 15)
    clew.wait_spans(len(clew.spans()) + 600, 20)
    records = run.stop().records()
    spans, ledger = clew.stop()
    # CLOCK_MONOTONIC is the clock of the records and of time.monotonic() alike
    ready = (clew.began + clew.attach_s) * 1e9
    late = [r for r in records if r["start"] > ready]
    ids = {r["id"] for r in late}
    mine = [s for s in spans if (shapes.of_path(s.path) or (0, 0, 0))[2] in ids | {0}]
    all_of_it = check.check(spans, records, chain.pids())
    report = judge(chain, mine, dict(ledger, spans=dict(ledger["spans"], exported={})), late,
                   min_durations=0.8)
    case.proof("requests after ready", len(late), ">= 50", len(late) >= 50)
    for what in ("wrong parents in a process", "wrong parents across", "mixed traces",
                 "background calls with a parent", "span ids given twice", "duplicate spans"):
        case.proof(f"{what}, all spans", all_of_it.n[what], "0", all_of_it.n[what] == 0)
    if not report.ok:
        report.table()
    case.proofs([r for r in report.bars if r[0] not in ("events dropped",
                                                        "parents that are not there")])
    case.proof("load errors", run.summary["errors"], "0", run.summary["errors"] == 0)


def test_zz_stop():
    """the applications served on, without an error, through all attaches and detaches"""
    env, chain = shared_chain()
    run = load(env, chain.front.port, conc=8, count=64, shapes=chain.SHAPES)
    alive = all(p.alive() for p in (chain.leaf, chain.go, chain.flask, chain.fast, chain.nginx))
    env.__exit__(None, None, None)
    case.proof("errors after the last detach", run.summary["errors"], "0",
               alive and run.summary["errors"] == 0)


case.main(__name__)
