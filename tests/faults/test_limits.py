# SPDX-License-Identifier: Apache-2.0
"""More than there is room for, a clock that jumps, and two agents at once."""
import os
import resource
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "truth")]
import check  # noqa: E402
from fault import (LONG, Clew, Env, apps, balanced, bounded, by_pid, case, proc, said,  # noqa: E402
                   unharmed, wait_for)


def test_ring_full():
    """the smallest ring buffer under full load: what is lost is counted and said, nothing is wrong"""
    case.need_root()
    with Env("clew-faults") as env:
        front = apps.nginx(env, locations='location /l/ { return 200 "x"; }')
        run = Clew(env, *by_pid(*front.pids()), "--export", "file=/dev/null", export=False,
                   more_env={"CLEW_CAPTURE__RING_BYTES": "65536"})
        seconds = 10 if LONG else 2
        got = apps.wrk(front.port, "/l/one/1", seconds=seconds, conns=64)
        _, ledger = run.stop()
        lost = ledger["events"]["dropped"]["ring_full"]
        rows = [("errors at the client", f"{got['errors']} of {got['requests']}", "0",
                 got["errors"] == 0 and got["requests"] > 1000), bounded(run), *balanced(ledger),
                ("events that found the ring full", lost, "counted", True)]
        if lost:
            rows.append(said(run, "what was lost", r"\d+ events were lost: ring buffer full [1-9]"))
        case.proofs(rows)


def test_connections():
    """10,000 connections at once (1,000 in the short form), each with requests"""
    case.need_root()
    conns, each = 10000 if LONG else 1000, 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = conns + 1000
    if hard != resource.RLIM_INFINITY and hard < need:
        raise case.Skip(f"{hard} descriptors may be open, {need} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
    with Env("clew-faults") as env:
        leaf = apps.leaf(env, delay_ms=1)
        run = Clew(env, *by_pid(leaf.pid), "--export", "file=/dev/null", export=False)
        loads = [apps.Load(env, leaf.port, conc=each, count=each * 3, prefix="/l", timeout=60)
                 for _ in range(conns // each)]
        for load in loads:
            load.wait(120)
        _, ledger = run.stop()
        done = sum(x.summary["done"] for x in loads)
        lost = sum(ledger["events"]["dropped"].values())
        case.proofs([unharmed(loads), bounded(run, 160), *balanced(ledger),
                     ("spans", f"{ledger['spans']['built']}, {lost} events lost", f"{done}",
                      ledger["spans"]["built"] == done or lost > 0)])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_storm():
    """100,000 goroutines and tasks a second: the governor takes what is too dear, nothing is wrong"""
    case.need_root()
    with Env("clew-faults") as env:
        leaf = apps.leaf(env)
        # the calls of the noise are what makes clew ask who starts whom
        back = apps.gosvc(env, leaf.url, noise_ms=10, args=["-storm", 100000])
        front = apps.fastapi(env, back.url, storm=100000)
        pids = {"f": {front.pid}, "g": {back.pid}, "l": {leaf.pid}}
        apps.load(env, front.port, conc=8, count=64, prefix="/f")
        run = Clew(env, *by_pid(front.pid, back.pid, leaf.pid))
        load = apps.load(env, front.port, conc=8, seconds=30 if LONG else 6, prefix="/f")
        spans, ledger = run.stop()
        report = check.check(spans, load.records(), pids, traced="".join(pids), min_recall=0.0,
                             min_durations=0.0, min_inproc=dict.fromkeys(pids, 0.0))
        dropped = sum(ledger["events"]["dropped"].values())
        rows = [unharmed([load]), bounded(run, 160), *balanced(ledger),
                said(run, "what was given up", "is given up for 30 s"),
                ("events lost", dropped, "0", dropped == 0)]
        for what in ("wrong parents in a process", "wrong parents across", "mixed traces",
                     "background calls with a parent", "duplicate spans", "missing spans"):
            rows.append((what, report.n[what], "0", report.n[what] == 0))
        case.proofs(rows)


def test_table_full():
    """more connections than capture.max_connections: the oldest are forgotten, and that is counted"""
    case.need_root()
    with Env("clew-faults") as env:
        leaf = apps.leaf(env, delay_ms=1)
        run = Clew(env, *by_pid(leaf.pid), more_env={"CLEW_CAPTURE__MAX_CONNECTIONS": "64"})
        load = apps.load(env, leaf.port, conc=500, count=2000, prefix="/l")
        _, ledger = run.stop()
        case.proofs([unharmed([load]), bounded(run), *balanced(ledger),
                     ("spans", ledger["spans"]["built"], "<= 2000",
                      0 < ledger["spans"]["built"] <= 2000)])


def test_two():
    """two agents trace the same process: each sees all of it"""
    case.need_root()
    with Env("clew-faults") as env:
        leaf = apps.leaf(env)
        go = apps.gosvc(env, leaf.url)
        runs = [Clew(env, *by_pid(go.pid, leaf.pid)) for _ in range(2)]
        # Probes are put in when the process first calls out: its first calls are nobody's
        wait_for("both agents give a Go call its parent",
                 lambda: apps.load(env, go.port, conc=1, count=1, prefix="/g") and
                 all(any(x.parent and x.pid == go.pid for x in run.spans()) for run in runs))
        warm = time.time_ns()
        load = apps.load(env, go.port, conc=8, count=200, prefix="/g", shapes=["one", "fan"])
        first, ledger = runs[0].stop()
        more = apps.load(env, go.port, conc=8, count=100, prefix="/g")
        second, ledger2 = runs[1].stop()
        first, second = ([x for x in spans if x.start > warm] for spans in (first, second))
        parents = [sum(bool(x.parent) for x in spans) for spans in (first, second)]
        case.proofs([unharmed([load, more]), bounded(runs[0]), bounded(runs[1]),
                     *balanced(ledger), *balanced(ledger2),
                     ("spans of the first, of the second", [len(first), len(second)], "[1000, 1300]",
                      [len(first), len(second)] == [200 + 2 * (100 + 300), 200 + 2 * 400 + 300]),
                     ("with a parent", parents, "[800, 1000]", parents == [800, 1000])])


def test_clock_step():
    """the wall clock jumps an hour on and back: durations stay true, times follow the clock"""
    case.need_root()
    with Env("clew-faults") as env:
        so, step = env.path("step.so"), env.path("step")
        cc = os.environ.get("CC", "gcc").split()
        env.started(env.start("cc", [*cc, "-shared", "-fPIC", "-O2", "-D_GNU_SOURCE", "-o", so,
                                     os.path.join(os.path.dirname(__file__), "step.c"), "-ldl"]),
                    lambda: os.path.exists(so))
        env.procs[-1].wait()
        leaf = apps.leaf(env)
        run = Clew(env, *by_pid(leaf.pid), more_env={"LD_PRELOAD": so, "STEP_FILE": step})
        loads = []
        for seconds in (0, 3600, -3600):
            with open(step + ".new", "w") as f:
                f.write(str(seconds))
            os.rename(step + ".new", step)
            want = time.time() + seconds

            def follows():
                one = apps.load(env, leaf.port, conc=1, count=1, prefix="/l")
                run.wait_spans(len(run.spans()) + 1)
                loads.append(one)
                return any(abs(s.start / 1e9 - want) < 60 for s in run.spans())
            wait_for(f"times follow a step of {seconds} s", follows, 20)
            loads.append(apps.load(env, leaf.port, conc=8, count=200, prefix="/l"))
        spans, ledger = run.stop()
        client = {r["path"]: (r["end"] - r["start"]) / 1e6 for x in loads for r in x.records()}
        off = [s for s in spans if abs(s.ms - client[s.path]) > 1000]
        n = sum(x.summary["done"] for x in loads)
        case.proofs([unharmed(loads), bounded(run), *balanced(ledger),
                     ("spans", len(spans), n, len(spans) == n),
                     ("durations that are no durations", len(off), "0 off by a second, of a step of an hour",
                      not off)])


case.main(__name__)
