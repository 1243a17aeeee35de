# SPDX-License-Identifier: Apache-2.0
"""HTTP over Unix sockets and over IPv6: same spans, same links."""
import os
import signal
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "truth")]
import check  # noqa: E402
from harness import apps, case, otlp  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import APPS, BIN, PYTHON, Env, wait_for  # noqa: E402


def judge(env, front, pids, prefix, shapes, ends, conc=16, count=200):
    """Warm up, attach, load, compare with the truth. Returns the spans."""
    apps.load(env, front.port, conc=conc, count=2 * conc, prefix=prefix, shapes=shapes,
              host=front.host)
    run = Clew(env, *(a for who in pids.values() for p in sorted(who) for a in ("--pid", p)))
    load = apps.load(env, front.port, conc=conc, count=count, prefix=prefix, shapes=shapes,
                     host=front.host)
    spans, ledger = run.stop()
    report = check.check(spans, load.records(), pids, ends, "".join(pids), min_durations=0.0)
    check.check_ledger(report, ledger, spans)
    if not report.ok:
        report.table()
    case.proofs([r for r in report.bars if not r[3] or
                 r[0].startswith(("requests", "recall", "wrong parents", "missing", "ledger"))])
    return spans


def test_unix():
    """nginx -> uvicorn --uds -> leaf"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env)
        uds = env.path("app.sock")
        fast = apps.fastapi(env, leaf.url, leaf.url, uds=uds)
        front = apps.nginx(env, f"unix:{uds}")
        pids = {"n": set(front.pids()), "f": {fast.pid}, "g": {leaf.pid}}
        judge(env, front, pids, "/n", ["one", "err"], ("g", "l"))


def test_unix_leaf():
    """nginx -> a C server on a Unix socket, new connections included"""
    case.need_root()
    with Env() as env:
        uds = env.path("leaf.sock")
        leaf = apps.leaf(env, unix=uds)
        front = apps.nginx(env, f"unix:{uds}")
        pids = {"n": set(front.pids()), "f": {leaf.pid}}
        judge(env, front, pids, "/n", ["one", "post"], ("f",), conc=64)


def test_ipv6():
    """nginx on [::1] -> C server on [::1]; Go on [::1] -> leaf on [::1]"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, host="::1")
        front = apps.nginx(env, f"[::1]:{leaf.port}", host="::1")
        spans = judge(env, front, {"n": set(front.pids()), "f": {leaf.pid}}, "/n", ["one"], ("f",))
        peers = {s.attrs.get("network.peer.address") for s in spans}
        case.proof("peer addresses", peers, "{'::1'}", peers == {"::1"})
    with Env() as env:
        leaf = apps.leaf(env, host="::1")
        go = apps.gosvc(env, leaf.url, host="::1")
        judge(env, go, {"g": {go.pid}, "l": {leaf.pid}}, "/g", ["one", "fan"], ("l",))


def test_mapped():
    """an IPv4 client of a server that listens on [::] (mapped addresses): still one join"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env, host="::")
        front = apps.nginx(env, f"127.0.0.1:{leaf.port}")
        spans = judge(env, front, {"n": set(front.pids()), "f": {leaf.pid}}, "/n", ["one"], ("f",))
        peers = {s.attrs.get("network.peer.address") for s in spans if s.kind == otlp.SERVER}
        case.proof("peer addresses", peers, "{'127.0.0.1'}", peers == {"127.0.0.1"})


class Namespace:
    """Go -> leaf in pid, mount and network namespaces of their own, on ports of our choice."""

    def __init__(self, env, go_port, leaf_port):
        leaf, go = os.path.join(BIN, "leaf"), os.path.join(BIN, "gosvc")
        self.proc = env.start("unshare", [
            "unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", PYTHON,
            os.path.join(APPS, "netns.py"), "/bin/sh", "-c",
            f"{leaf} -p {leaf_port} -d 4 & exec {go} -listen 127.0.0.1:{go_port} "
            f"-leaf http://127.0.0.1:{leaf_port}"])
        self.proc.stop_signal = signal.SIGKILL  # unshare waits out a SIGTERM; --kill-child ends all
        wait_for("the namespace's services", lambda: self.listening() >= {go_port, leaf_port}, 20)
        self.go = self.proc.children()[0]
        with open(f"/proc/{self.go}/task/{self.go}/children") as f:
            self.leaf = int(f.read().split()[0])

    def listening(self):
        pids = self.proc.children()
        if not pids:
            return set()
        with open(f"/proc/{pids[0]}/net/tcp") as f:
            rows = [line.split() for line in f.readlines()[1:]]
        return {int(r[1].split(":")[1], 16) for r in rows if r[3] == "0A"}

    def enter(self):
        return ["nsenter", "-t", str(self.go), "--net"]


def test_namespaces():
    """two containers with the same addresses and ports: traced from outside, never mixed"""
    case.need_root()
    with Env() as env:
        both = [Namespace(env, 7001, 7002) for _ in range(2)]
        for ns in both:
            apps.load(env, 7001, conc=8, count=20, prefix="/g", shapes=["seq"], via=ns.enter())
        run = Clew(env, *(a for ns in both for p in (ns.go, ns.leaf) for a in ("--pid", p)))
        loads = [apps.Load(env, 7001, conc=8, count=200, prefix="/g", shapes=["seq", "fan"],
                           via=ns.enter()) for ns in both]
        records = [load.wait().records() for load in loads]
        spans, ledger = run.stop()
        for ns, mine in zip(both, records):
            pids = {"g": {ns.go}, "l": {ns.leaf}}
            own = [s for s in spans if s.pid in (ns.go, ns.leaf)]
            report = check.check(own, mine, pids, ("l",), "gl", min_durations=0.0)
            if not report.ok:
                report.table()
            case.proofs([r for r in report.bars if not r[3] or r[0].startswith(
                ("requests", "recall", "wrong parents", "missing"))])


case.main(__name__)
