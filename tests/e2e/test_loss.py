# SPDX-License-Identifier: Apache-2.0
"""Marker loss: every request of a run at nginx's full rate is a span, or the test fails."""
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from harness import apps, case  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import Env  # noqa: E402

COUNT = int(os.environ.get("LOSS_COUNT", "1000000"))
STOLEN_MS = 100  # of the processors in one run: the host's other guests were served, not clew
TRIES = 3


def stolen_ms():
    """What the host did not give this machine's processors so far (proc_stat(5), steal)."""
    with open("/proc/stat") as f:
        return int(f.readline().split()[8]) * 1000 // os.sysconf("SC_CLK_TCK")


def full_rate(count, workers, threads, conns, final):
    """One run; False: it lost events while the host took processors away, and says nothing about
    clew. The final one is judged whatever the host did."""
    before = stolen_ms()
    with Env() as env:
        front = apps.nginx(env, workers=workers,
                           locations='location /l/ { return 200 "hello world\\n"; }')
        # Spans go to a file that is not kept: what is counted is the ledger's own figure
        run = Clew(env, "--export", "file=/dev/null",
                   *(a for p in front.pids() for a in ("--pid", p)), export=False)
        warm = apps.wrk(front.port, "/l/mark/1", seconds=1, threads=threads, conns=conns)
        done = warm["requests"]
        rate, lost_at_client = [], warm["errors"]
        while done < count:
            r = apps.wrk(front.port, "/l/mark/1", seconds=3, threads=threads, conns=conns)
            done += r["requests"]
            rate.append(r["rps"])
            lost_at_client += r["errors"]
        peak = run.peak_kb()
        cpu = run.cpu()
        _, ledger = run.stop()
        dropped = {k: v for k, v in ledger["events"]["dropped"].items() if v}
        stolen = stolen_ms() - before
        if dropped.keys() == {"ring_full"} and stolen >= STOLEN_MS and not final:
            print(f"    again: {dropped} while the host took {stolen} ms of the processors",
                  flush=True)
            return False
        seen = ledger["exchanges"]["seen"]
        spans = ledger["exchanges"]["spans"]
        exported = sum(ledger["spans"]["exported"].values())
        # wrk ends with requests under way: up to one per connection and run is not in its count
        room = conns * (len(rate) + 1)
        unanswered = sum(v for k, v in ledger["exchanges"]["dropped"].items())
        case.proofs([
            ("requests counted by the client", done, f">= {count}", done >= count),
            ("errors of the client", lost_at_client, 0, lost_at_client == 0),
            ("rate", f"{max(rate):.0f}/s with clew attached", "-", True),
            ("spans built", spans, f">= {done}", spans >= done),
            ("exchanges beyond the client's count", seen - done, f"<= {room}",
             0 <= seen - done <= room),
            ("exchanges without a span", unanswered, f"<= {room} (under way when wrk ended)",
             unanswered <= room),
            ("spans delivered", exported, f"all of {ledger['spans']['built']}",
             exported == ledger["spans"]["built"]),
            ("events dropped", dropped, "{}", not dropped),
            ("RSS", f"{peak / 1024:.1f} MB", "<= 128 MB at the full rate", peak <= 128 * 1024),
            ("CPU per span", f"{cpu / max(1, spans) * 1e6:.2f} us", "reported", True)])
    return True


def prove(*args):
    for left in reversed(range(TRIES)):
        if full_rate(*args, final=not left):
            return


def test_nginx_full_rate():
    """counted at the client, counted in the ledger, with default buffers"""
    case.need_root()
    prove(COUNT, 1, 1, 32)


def test_more_workers_than_processors():
    """the same with 16 workers and 4 threads of the client: clew has to wait its turn"""
    case.need_root()
    prove(COUNT // 2, 16, 4, 256)


case.main(__name__)
