# SPDX-License-Identifier: Apache-2.0
"""kill -9 of clew at full load: the targets serve on, and nothing of clew is left in the kernel."""
import os
import signal
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from harness import apps, case  # noqa: E402
from harness.clew import Clew, bpf_ids  # noqa: E402
from harness.proc import SCALE, Env, wait_for  # noqa: E402


def test_kill9():
    case.need_root()
    with Env() as env:
        chain = apps.Chain(env)
        fast = apps.Load(env, chain.front.port, conc=16, shapes=["one", "seq"], seconds=60 * SCALE)
        tiny = apps.nginx(env, locations='location /l/ { return 200 "x"; }')
        # on an emulated processor the full rate would leave nothing to the chain
        full = apps.Load(env, tiny.port, conc=32, prefix="/l", seconds=60 * SCALE,
                         rate=None if SCALE == 1 else 50)
        for round_ in range(2):
            before = fast.so_far()
            run = Clew(env, "--export", "file=/dev/null", *chain.selectors(),
                       *(a for p in tiny.pids() for a in ("--pid", p)), export=False)
            progs, maps = run.prog_ids()
            case.proof("programs and maps while it runs", f"{len(progs)}, {len(maps)}", "> 0",
                       progs and maps)
            traced = fast.so_far()
            wait_for("100 requests while traced", lambda: fast.so_far() > traced + 100, 20)
            os.kill(run.pid, signal.SIGKILL)
            run.proc.wait(20)  # the kernel takes its probes out first
            wait_for("programs gone", lambda: not progs & bpf_ids("prog"), 20)
            wait_for("maps gone", lambda: not maps & bpf_ids("map"), 20)
            case.proof("programs and maps left", f"{len(progs & bpf_ids('prog'))}, "
                       f"{len(maps & bpf_ids('map'))}", "0, 0", True)
            wait_for("answers after the kill", lambda: fast.so_far() > before + 100, 20)
        full.stop()
        fast.stop()
        for name, load in (("nginx", full), ("the chain", fast)):
            case.proof(f"errors of {name}", f"{load.summary['errors']} of "
                       f"{load.summary['done']}", "0", load.summary["errors"] == 0 and
                       load.summary["done"] > 100)
        after = apps.load(env, chain.front.port, conc=8, count=50, shapes=chain.SHAPES)
        case.proof("errors afterwards", after.summary["errors"], "0",
                   after.summary["errors"] == 0)


case.main(__name__)
