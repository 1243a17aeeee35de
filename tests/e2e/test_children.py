# SPDX-License-Identifier: Apache-2.0
"""Who is traced: children, programs started later, exec, and `clew run -- command`."""
import os
import re
import shutil
import signal
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from harness import apps, case, otlp  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import BIN, SCALE, Env, accepts, free_port, wait_for  # noqa: E402


def server_spans(spans):
    return [s for s in spans if s.kind == otlp.SERVER and s.path != "/ready"]


def served(env, run, port, count=40, prefix="/l", per_conn=4):
    """Load once, wait until it is in the file; how many server spans are new."""
    before = len(server_spans(run.spans()))
    apps.load(env, port, count=count, conc=4, prefix=prefix, per_conn=per_conn)
    wait_for(f"{count} more spans", lambda: len(server_spans(run.spans())) >= before + count, 10)
    return len(server_spans(run.spans())) - before


def looked_at(run, p):
    """A process that started after clew (run with -v) is traced from when clew has looked at it."""
    wait_for(f"clew has looked at pid {p.pid}", lambda: f"pid {p.pid}: " in run.stderr(), 10)


def gone(pid):
    """True when the process has ended (a zombie has)."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_workers():
    """only nginx's master is named; its workers are traced, new ones after a reload too"""
    case.need_root()
    with Env() as env:
        front = apps.nginx(env, locations='location /l/ { return 200 "x"; }')
        run = Clew(env, "--pid", front.pid)
        got = served(env, run, front.port)
        case.proof("a worker that was there", got, "40", got == 40)
        old = set(front.children())
        front.send(signal.SIGHUP)
        wait_for("new workers", lambda: set(front.children()) and
                 not set(front.children()) & old, 20)
        got = served(env, run, front.port)
        case.proof("a worker started after the attach", got, "40", got == 40)
        spans, _ = run.stop()
        pids = {s.pid for s in server_spans(spans)}
        case.proof("spans name the workers", pids, "two pids, not the master's",
                   len(pids) == 2 and front.pid not in pids)


def test_command():
    """`clew run -- command`: traced from its first byte, and its end is clew's end"""
    case.need_root()
    with Env() as env:
        port = free_port()
        run = Clew(env, command=[os.path.join(BIN, "leaf"), "-p", port, "-d", 2])
        wait_for("the command serves", lambda: accepts("127.0.0.1", port), 10)
        got = served(env, run, port)
        case.proof("spans of the command", got, "40", got == 40)
        pid = server_spans(run.spans())[0].pid
        run.stop()
        try:
            wait_for("the command is gone", lambda: gone(pid), 5)
        finally:
            if not gone(pid):
                os.kill(pid, signal.SIGTERM)


def test_shell_and_exec():
    """a child of a traced shell, and a shell that becomes the server by exec"""
    case.need_root()
    with Env() as env:
        leaf = os.path.join(BIN, "leaf")
        fifo = env.path("go")
        os.mkfifo(fifo)
        a, b = free_port(), free_port()
        sh = env.start("sh", ["/bin/sh", "-c", f"read x < {fifo}; {leaf} -p {a} -d 2 & "
                              f"echo child $!; exec {leaf} -p {b} -d 2"])
        run = Clew(env, "--pid", sh.pid)
        with open(fifo, "w") as f:
            f.write("go\n")
        wait_for("both serve", lambda: accepts("127.0.0.1", a) and accepts("127.0.0.1", b), 10)
        try:
            got = served(env, run, a)
            case.proof("child process", got, "40", got == 40)
            got = served(env, run, b)
            case.proof("after exec", got, "40", got == 40)
        finally:
            os.kill(int(re.search(r"child (\d+)", sh.output()).group(1)), signal.SIGTERM)
        spans, _ = run.stop()
        names = {s.resource.get("process.executable.name") for s in server_spans(spans)}
        case.proof("resource after exec", names, "{'leaf'}", names == {"leaf"})


def test_exe_later():
    """--exe GLOB: a matching process that starts after clew does"""
    case.need_root()
    with Env() as env:
        exe = env.path("leaf-by-glob")
        shutil.copy(os.path.join(BIN, "leaf"), exe)
        run = Clew(env, "--exe", env.path("leaf-by-*"), "-v")
        port = free_port()
        leaf = env.start("leaf-by-glob", [exe, "-p", port, "-d", 2])
        other = apps.leaf(env)
        env.started(leaf, lambda: accepts("127.0.0.1", port))
        looked_at(run, leaf)
        apps.load(env, other.port, count=40, conc=4, prefix="/l")
        got = served(env, run, port)
        spans, _ = run.stop()
        case.proof("matching process started later", got, "40", got == 40)
        foreign = sum(s.pid == other.pid for s in spans)
        case.proof("process that does not match", foreign, "0 spans", foreign == 0)


def test_port():
    """--port: the listener on it, and nobody else"""
    case.need_root()
    with Env() as env:
        a, b = apps.leaf(env), apps.leaf(env)
        run = Clew(env, "--port", a.port)
        apps.load(env, b.port, count=40, conc=4, prefix="/l")
        got = served(env, run, a.port)
        spans, _ = run.stop()
        foreign = sum(s.pid == b.pid for s in spans)
        case.proof("listener on the port", f"{got}, others {foreign}", "40, others 0",
                   got == 40 and foreign == 0)


def test_target_ends():
    """a target that is killed under load, and one that starts again with a new pid"""
    case.need_root()
    with Env() as env:
        exe = env.path("leaf-again")
        shutil.copy(os.path.join(BIN, "leaf"), exe)
        port = free_port()
        first = env.started(env.start("leaf", [exe, "-p", port]),
                            lambda: accepts("127.0.0.1", port))
        run = Clew(env, "--exe", exe, "-v")
        load = apps.Load(env, port, conc=8, prefix="/l", seconds=30 * SCALE, rate=500)
        run.wait_spans(200)
        first.stop(signal.SIGKILL)
        load.stop()
        second = env.started(env.start("leaf", [exe, "-p", port]),
                             lambda: accepts("127.0.0.1", port))
        looked_at(run, second)
        apps.load(env, port, count=40, conc=4, prefix="/l", per_conn=4)
        spans, ledger = run.stop()
        pids = {s.pid for s in spans}
        got = sum(s.pid == second.pid for s in spans)
        case.proof("old and new process", pids, "both pids", pids == {first.pid, second.pid})
        case.proof("spans of the new one", got, "40", got == 40)


case.main(__name__)
