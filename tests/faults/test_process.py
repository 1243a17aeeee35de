# SPDX-License-Identifier: Apache-2.0
"""Processes that stop, die, multiply or become another: the traced ones, and clew."""
import os
import shutil
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "truth")]
import check  # noqa: E402
from fault import (LONG, Clew, Env, apps, balanced, bounded, by_pid, case, proc, said,  # noqa: E402
                   unharmed, wait_for)


def test_clew_stopped():
    """SIGSTOP of clew under full load: the ring fills, the target serves on; then SIGCONT"""
    case.need_root()
    with Env("clew-faults") as env:
        leaf = apps.leaf(env, delay_ms=0)
        run = Clew(env, *by_pid(leaf.pid), more_env={"CLEW_CAPTURE__RING_BYTES": "262144"})
        load = apps.Load(env, leaf.port, conc=32, prefix="/l", seconds=60)
        wait_for("1000 answers", lambda: load.so_far() > 1000, 20)
        os.kill(run.pid, signal.SIGSTOP)
        at = load.so_far()
        wait_for("answers while clew stands", lambda: load.so_far() > at + 5000, 20)
        load.stop()
        known = len(run.spans())
        os.kill(run.pid, signal.SIGCONT)
        wait_for("clew goes on", lambda: len(run.spans()) > known, 20)
        after = apps.load(env, leaf.port, conc=4, count=200, prefix="/l", per_conn=10)
        wait_for("spans of the time after", lambda: sum(
            s.path.startswith("/l/") and int(s.path.split("/")[3]) >= after.first
            for s in run.spans()) >= 200, 20)
        _, ledger = run.stop()
        lost = ledger["events"]["dropped"]["ring_full"]
        case.proofs([unharmed([load, after]), bounded(run), *balanced(ledger),
                     ("events that found the ring full", lost, "> 0, counted", lost > 0),
                     said(run, "what was lost", r"[1-9]\d* events were lost: ring buffer full [1-9]")])


def test_clew_killed():
    """kill -9 of clew; the next one starts at once beside what is left, and sees all"""
    case.need_root()
    with Env("clew-faults") as env:
        leaf = apps.leaf(env, delay_ms=1)
        load = apps.Load(env, leaf.port, conc=8, prefix="/l", rate=1000, seconds=60)
        for _ in range(5 if LONG else 2):
            run = Clew(env, *by_pid(leaf.pid))
            run.wait_spans(100)
            os.kill(run.pid, signal.SIGKILL)
            run.proc.wait()
        run = Clew(env, *by_pid(leaf.pid))
        mine = apps.load(env, leaf.port, conc=8, count=500, prefix="/l")
        load.stop()
        spans, ledger = run.stop()
        got = {s.path for s in spans}
        missing = sum(r["path"] not in got for r in mine.records())
        case.proofs([unharmed([load, mine]), bounded(run), *balanced(ledger),
                     ("spans missing afterwards", missing, "0", missing == 0)])


def test_target_stopped():
    """SIGSTOP of the target in the middle of requests, then SIGCONT: long spans, all of them"""
    case.need_root()
    with Env("clew-faults") as env:
        leaf = apps.leaf(env, delay_ms=20)
        run = Clew(env, *by_pid(leaf.pid))
        load = apps.Load(env, leaf.port, conc=16, count=400, prefix="/l", rate=400)
        run.wait_spans(50)
        os.kill(leaf.pid, signal.SIGSTOP)
        asked = load.so_far()
        still = apps.Load(env, leaf.port, conc=4, count=4, prefix="/l")
        wait_for("the target stands", lambda: open(f"/proc/{leaf.pid}/stat").read()
                 .rsplit(")", 1)[1].split()[0] == "T", 10)
        os.kill(leaf.pid, signal.SIGCONT)
        load.wait()
        still.wait()
        run.wait_spans(404, 20)
        spans, ledger = run.stop()
        case.proofs([unharmed([load, still]), bounded(run), *balanced(ledger),
                     ("spans", f"{len(spans)}, stopped after {asked}", "404", len(spans) == 404)])


def test_target_killed():
    """kill -9 of the target in the middle of requests: those end without an answer, and say so"""
    case.need_root()
    with Env("clew-faults") as env:
        leaf = apps.leaf(env, delay_ms=1)
        run = Clew(env, *by_pid(leaf.pid))
        hang = apps.Load(env, leaf.port, conc=16, count=16, prefix="/l", shapes=["hang"])
        load = apps.Load(env, leaf.port, conc=8, prefix="/l", rate=1000, seconds=60)
        run.wait_spans(200)
        leaf.send(signal.SIGKILL)
        leaf.wait()
        load.stop()
        hang.wait()
        spans, ledger = run.stop()
        hung = [s for s in spans if "/hang/" in s.path]
        told = sum(s.attrs.get("error.type") == "no_response" for s in hung)
        done = load.summary["done"]
        answered = sum(s.http_status == 200 for s in spans)
        case.proofs([bounded(run), *balanced(ledger),
                     ("requests that hung", f"{len(hung)} spans, {told} say so", "16, all",
                      len(hung) == told == 16),
                     ("answered before the end", f"{answered} spans, {done} at the client",
                      "not less", answered >= done > 0)])


def test_exec():
    """a server that becomes another program again and again under load, keeping its socket"""
    case.need_root()
    with Env("clew-faults") as env:
        port = proc.free_port()
        server = env.start("again", [sys.executable, os.path.join(HERE, "again.py"), port])
        env.started(server, lambda: proc.accepts("127.0.0.1", port))
        run = Clew(env, *by_pid(server.pid))
        count = 600 if LONG else 150
        load = apps.load(env, port, conc=2, count=count, prefix="/x", per_conn=1, timeout=20)
        spans, ledger = run.stop()
        got = {s.path for s in spans}
        missing = sum(r["path"] not in got for r in load.records())
        case.proofs([unharmed([load]), bounded(run), *balanced(ledger),
                     ("spans missing", f"{missing} of {count}", "0", missing == 0),
                     ("one process", {s.pid for s in spans}, server.pid,
                      {s.pid for s in spans} == {server.pid})])


def test_becomes_node():
    """a server in Python that becomes one in Node under load: what was known of the one is not believed"""
    case.need_root()
    if not shutil.which("node"):
        raise case.Skip("node is not installed")
    with Env("clew-faults") as env:
        leaf, port = apps.leaf(env), proc.free_port()
        count = 1200 if LONG else 300
        server = env.start("become", [proc.PYTHON, os.path.join(HERE, "become.py"), port, count // 3],
                           env={"NEXT": leaf.url})
        env.started(server, lambda: proc.accepts("127.0.0.1", port))
        pids = {"a": {server.pid}, "l": {leaf.pid}}
        run = Clew(env, *by_pid(server.pid, leaf.pid))
        load = apps.load(env, port, conc=4, count=count, prefix="/a", per_conn=1, timeout=20)
        spans, ledger = run.stop()
        report = check.check(spans, load.records(), pids, traced="al", min_durations=0.0,
                             min_inproc={"a": 0.6})
        case.proofs([unharmed([load]), bounded(run), *balanced(ledger), *report.bars])


def test_fork_storm():
    """the parent of a server makes children as fast as it can"""
    case.need_root()
    with Env("clew-faults") as env:
        port, forks = proc.free_port(), 5000 if LONG else 1000
        done = env.path("done")
        os.mkfifo(env.path("go"))
        shell = env.start("shell", ["bash", "-c", f"{proc.BIN}/leaf -d 1 -p {port} & "
                                    f"read < {env.path('go')}; for ((i = 0; i < {forks}; i++)); "
                                    f"do (:) ; done; touch {done}; wait"])
        env.started(shell, lambda: proc.accepts("127.0.0.1", port))
        leaf_pid = shell.children()[0]
        try:
            run = Clew(env, *by_pid(shell.pid))
            with open(env.path("go"), "w") as f:
                f.write("go\n")
            load = apps.Load(env, port, conc=8, prefix="/l", rate=500, seconds=60)
            wait_for("the storm is over", lambda: os.path.exists(done), 60)
            load.stop()
            spans, ledger = run.stop()
        finally:
            os.kill(leaf_pid, signal.SIGTERM)
        n = load.summary["done"]
        case.proofs([unharmed([load]), bounded(run), *balanced(ledger),
                     ("spans", f"{len(spans)} beside {forks} forks", f"{n}", len(spans) == n),
                     ("events lost", sum(ledger["events"]["dropped"].values()), "0",
                      not sum(ledger["events"]["dropped"].values()))])


def test_binary_replaced():
    """the program on disk is another one than the one that runs: probes go into what runs"""
    case.need_root()
    with Env("clew-faults") as env:
        exe = env.path("gosvc-mine")
        shutil.copy(os.path.join(proc.BIN, "gosvc"), exe)
        leaf = apps.leaf(env)
        go = apps.gosvc(env, leaf.url, exe=exe)
        apps.load(env, go.port, conc=4, count=16, prefix="/g", shapes=["seq"])
        shutil.copy(os.path.join(proc.BIN, "leaf"), exe + ".new")
        os.rename(exe + ".new", exe)
        run = Clew(env, *by_pid(go.pid, leaf.pid))
        load = apps.load(env, go.port, conc=8, count=200, prefix="/g", shapes=["seq", "fan"])
        spans, ledger = run.stop()
        report = check.check(spans, load.records(), {"g": {go.pid}, "l": {leaf.pid}},
                             traced="gl", min_durations=0.0)
        if not report.ok:
            report.table()
        case.proofs([unharmed([load]), bounded(run), *balanced(ledger),
                     ("parents", dict(report.total(report.inproc)), "all right", report.ok)])


case.main(__name__)
