# SPDX-License-Identifier: Apache-2.0
"""Marker loss: every request of a run at nginx's full rate is a span, or the test fails."""
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from harness import apps, case  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import Env  # noqa: E402

COUNT = int(os.environ.get("LOSS_COUNT", "1000000"))


def test_nginx_full_rate():
    """counted at the client, counted in the ledger, with default buffers"""
    case.need_root()
    with Env() as env:
        front = apps.nginx(env, locations='location /l/ { return 200 "hello world\\n"; }')
        # Spans go to a file that is not kept: what is counted is the ledger's own figure
        run = Clew(env, "--export", "file=/dev/null",
                   *(a for p in front.pids() for a in ("--pid", p)), export=False)
        conns = 32
        warm = apps.wrk(front.port, "/l/mark/1", seconds=1, conns=conns)
        done = warm["requests"]
        rate, lost_at_client = [], warm["errors"]
        while done < COUNT:
            r = apps.wrk(front.port, "/l/mark/1", seconds=3, conns=conns)
            done += r["requests"]
            rate.append(r["rps"])
            lost_at_client += r["errors"]
        peak = run.peak_kb()
        cpu = run.cpu()
        _, ledger = run.stop()
        seen = ledger["exchanges"]["seen"]
        spans = ledger["exchanges"]["spans"]
        exported = sum(ledger["spans"]["exported"].values())
        # wrk ends with requests under way: up to one per connection and run is not in its count
        room = conns * (len(rate) + 1)
        dropped = {k: v for k, v in ledger["events"]["dropped"].items() if v}
        unanswered = sum(v for k, v in ledger["exchanges"]["dropped"].items())
        case.proofs([
            ("requests counted by the client", done, f">= {COUNT}", done >= COUNT),
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


case.main(__name__)
