# SPDX-License-Identifier: Apache-2.0
"""The cost governor: probes that cost a process too much are given up, said and counted."""
import os
import re
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from harness import case  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import Env, cpu_seconds, wait_for  # noqa: E402

# Makes a hundred tasks a turn and does nothing else: each is a hit of a probe.
SPINNER = """
import asyncio, sys
async def nothing():
    pass
async def main():
    print("ready", flush=True)
    while True:
        await asyncio.gather(*[asyncio.create_task(nothing()) for _ in range(100)])
asyncio.run(main())
"""
GIVEN_UP = re.compile(r"pid (\d+): its probes cost ([\d.]+) % of its CPU .*: python-task is given up")


def spinner(env):
    p = env.start("spinner", ["python3", "-c", SPINNER])
    wait_for("the spinner runs", lambda: "ready" in p.output(), 10)
    return p


def test_given_up():
    """a process that makes tasks all the time loses the probe on them within seconds"""
    case.need_root()
    with Env() as env:
        p = spinner(env)
        # below the limit of its own accord: an emulated machine takes longer for the process's work
        # than for a trap, and a task is worth 4 % there
        run = Clew(env, "--pid", p.pid, more_env={"CLEW_CAPTURE__OVERHEAD_LIMIT": "1"})
        wait_for("the governor acts", lambda: GIVEN_UP.search(run.stderr()), 20)
        m = GIVEN_UP.search(run.stderr())
        case.proof("given up, by name", m.group(1), f"pid {p.pid}", int(m.group(1)) == p.pid)
        case.proof("what it cost", f"{m.group(2)} %", ">= 1 %", float(m.group(2)) >= 1)
        _, ledger = run.stop()
        case.proof("ledger", ledger["balanced"], "balanced", ledger["balanced"])
        case.proof("the process goes on", p.alive(), "alive", p.alive())


def test_no_limit():
    """overhead_limit: none buys everything"""
    case.need_root()
    with Env() as env:
        p = spinner(env)
        run = Clew(env, "--pid", p.pid, "-v", more_env={"CLEW_CAPTURE__OVERHEAD_LIMIT": "none"})
        cpu = cpu_seconds([p.pid])
        wait_for("the spinner has run for three seconds", lambda: cpu_seconds([p.pid]) - cpu > 3, 60)
        case.proof("nothing is given up", "given up" in run.stderr(), "False",
                   "given up" not in run.stderr())
        run.stop()


case.main(__name__)
