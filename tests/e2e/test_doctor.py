# SPDX-License-Identifier: Apache-2.0
"""`clew doctor`: the answers are true, agree with `clew run`, and asking changes nothing."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from harness import apps, case, clew  # noqa: E402
from harness.proc import SCALE, Env, free_port, wait_for  # noqa: E402

CONNECTIONS = 3


def doctor(*args, prefix=(), timeout=60):
    """(exit code, parsed JSON or None, standard error); one object a call."""
    p = subprocess.run([*prefix, clew.CLEW, "doctor", "--json", *map(str, args)],
                       capture_output=True, text=True, env=clew.clean_env(),
                       timeout=timeout * SCALE)
    return p.returncode, json.loads(p.stdout) if p.stdout else None, p.stderr


def feature(report, name):
    return next(f for f in report["features"] if f["name"] == name)


def of_pid(report, pid):
    found = [p for p in report["processes"] if p["pid"] == pid]
    if len(found) != 1:
        raise case.Failed(f"pid {pid} is judged {len(found)} times")
    return found[0]


@contextlib.contextmanager
def connected(host, port, n):
    with contextlib.ExitStack() as stack:
        for _ in range(n):
            stack.enter_context(socket.create_connection((host, port), timeout=5))
        yield


def maps(pid):
    with open(f"/proc/{pid}/maps") as f:
        return f.read()


def test_agrees_with_run():
    """the layer that the doctor names is the one that clew run takes"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env)
        force = ("--capture-layer", clew.LAYER) if clew.LAYER else ()
        code, report, err = doctor(*force)
        case.proof("exit code", code, "0", code == 0 and report["can_run"])
        run = clew.Clew(env, "--pid", leaf.pid)
        took = re.search(r"capture layer (\w+)", run.stderr()).group(1)
        run.stop()
        case.proof("layer", f"doctor {report['layer']}, run {took}", "the same",
                   report["layer"] == took)
        works = [n for n in ("fentry", "kprobe", "rawtp")
                 if feature(report, f"layer {n}")["answer"] == "yes"]
        case.proof("layers that work", works, f"{took} among them", took in works)
        for name in ("fentry", "kprobe", "rawtp"):
            want = 0 if name in works else 1
            got, one, _ = doctor("--capture-layer", name)
            # A pid that does not exist ends clew run, but only after the layer was loaded
            _, _, text = clew.command("run", "--pid", 4194304, "--capture-layer", name,
                                             "--export", "console")
            refused = "4194304" not in text
            case.proof(f"forced {name}", f"doctor {got}, run {'refuses' if refused else 'loads'} it",
                       "both work, or neither", got == want and refused == bool(want))
        silent = [f["name"] for f in report["features"] if not f["text"] or not f["purpose"]]
        case.proof("answers without a word", silent, "none", not silent)


def test_truth_of_features():
    """answers that can be had in another way"""
    case.need_root()
    _, report, _ = doctor()
    with open("/proc/self/status") as f:
        caps = int(re.search(r"CapEff:\s*(\w+)", f.read()).group(1), 16)
    rows = []
    for name, bit in (("CAP_BPF", 39), ("CAP_PERFMON", 38), ("CAP_SYS_PTRACE", 19),
                      ("CAP_DAC_READ_SEARCH", 2), ("CAP_SYS_NICE", 23)):
        want = "yes" if caps >> bit & 1 else "no"
        got = feature(report, name)["answer"]
        rows.append((name, got, want, got == want))
    for name, path in (("kernel BTF", "/sys/kernel/btf/vmlinux"),
                       ("kprobes", "/sys/bus/event_source/devices/kprobe"),
                       ("uprobes", "/sys/bus/event_source/devices/uprobe")):
        want = "yes" if os.path.exists(path) else "no"
        got = feature(report, name)["answer"]
        rows.append((name, got, want, got == want))
    with open("/proc/mounts") as f:
        mounts = f.read()
    for name, kind in (("cgroup v2", " cgroup2 "), ("tracefs", " tracefs ")):
        got = feature(report, name)["answer"]
        rows.append((name, got, f"yes needs{kind}in /proc/mounts", got == "no" or kind in mounts))
    case.proofs(rows)


def test_processes():
    """runtime, version, ports and connections of real services"""
    case.need_root()
    with Env() as env:
        leaf, go = apps.leaf(env), apps.gosvc(env)
        py = apps.fastapi(env)
        with connected(leaf.host, leaf.port, CONNECTIONS):
            wait_for("accepted", lambda: len(os.listdir(f"/proc/{leaf.pid}/fd")) > CONNECTIONS)
            code, report, err = doctor("--pid", leaf.pid, "--pid", go.pid, "--pid", py.pid)
        case.proof("judged", len(report["processes"]), "3", len(report["processes"]) == 3)
        rows = []
        for app, runtime in ((go, "go"), (py, "cpython")):
            v = of_pid(report, app.pid)
            rows += [(f"{app.name} traced", v["traced"], "True", v["traced"]),
                     (f"{app.name} runtime", v["runtime"], runtime, v["runtime"] == runtime),
                     (f"{app.name} port", v["listening_ports"], app.port,
                      v["listening_ports"] == [app.port]),
                     (f"{app.name} uprobes", len(v["uprobes"]), "> 0, each with what it costs",
                      v["uprobes"] and all(u["cost"] and u["path"] and u["offset"]
                                           for u in v["uprobes"]))]
        version = subprocess.run([apps.PYTHON, "--version"], capture_output=True,
                                 text=True).stdout.split()[1]
        got = of_pid(report, py.pid)["version"]
        rows.append(("Python version", got, version, got == version))
        v = of_pid(report, leaf.pid)
        rows += [("open connections", v["open_tcp_connections"], CONNECTIONS,
                  v["open_tcp_connections"] == CONNECTIONS),
                 ("leaf port", v["listening_ports"], leaf.port, v["listening_ports"] == [leaf.port])]
        case.proofs(rows)
        # the same process by its port, and by its program
        _, report, _ = doctor("--port", leaf.port)
        v = of_pid(report, leaf.pid)
        case.proof("by port", v["reason"], "names the port", str(leaf.port) in v["reason"])
        _, report, _ = doctor("--pid", leaf.pid, "--exclude-exe", "*/leaf")
        v = of_pid(report, leaf.pid)
        case.proof("excluded", f"{v['traced']}: {v['reason']}", "False, --exclude-exe",
                   not v["traced"] and "--exclude-exe" in v["reason"])


def test_not_traced():
    """gone, ended, a kernel thread; a port nobody listens on"""
    case.need_root()
    gone = subprocess.Popen(["true"])
    gone.wait()
    zombie = subprocess.Popen(["true"])
    try:
        wait_for("a zombie", lambda: open(f"/proc/{zombie.pid}/stat").read()
                 .rsplit(")", 1)[1].split()[0] == "Z")
        port = free_port()
        code, report, err = doctor("--pid", gone.pid, "--pid", zombie.pid, "--pid", 2,
                                   "--port", port)
    finally:
        zombie.wait()
    rows = [("exit code", code, "0: clew can run", code == 0)]
    wanted = [(gone.pid, "does not exist"), (zombie.pid, "has ended")]
    if not os.path.exists("/proc/2/exe") and open("/proc/2/comm").read() == "kthreadd\n":
        wanted.append((2, "kernel thread"))
    for pid, text in wanted:
        v = of_pid(report, pid)
        rows.append((text, f"{v['traced']}: {v['reason']}", "not traced",
                     not v["traced"] and text in v["reason"]))
    note = [n for n in report["notes"] if str(port) in n]
    rows.append(("nobody listens", note, "a note naming the port", len(note) == 1))
    case.proofs(rows)


def test_changes_nothing():
    """no program is left, and the process is never touched"""
    case.need_root()
    with Env() as env:
        go = apps.gosvc(env)
        run = env.start("doctor", [clew.CLEW, "doctor", "--pid", go.pid],
                        whole_env=clew.clean_env())
        touched, traced, looks = False, False, 0
        while run.alive():
            touched |= "[uprobes]" in maps(go.pid)
            with open(f"/proc/{go.pid}/status") as f:
                traced |= "TracerPid:\t0" not in f.read()
            looks += 1
            time.sleep(0.002)
        case.proof("uprobe page in the process", f"{touched}, {looks} looks", "never, > 20 looks",
                   not touched and looks > 20)
        case.proof("ptrace", traced, "never", not traced)
        ended = run.output().strip().splitlines()[-1]
        case.proof("doctor", ended, "can run", "can run" in ended)
        # programs are freed a moment after their last reference; those of others come and go
        mine = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}).stdout
        left = [p for p in json.loads(mine) if p.get("name") == "clew_probe"
                and not wait_freed(p["id"])]
        case.proof("programs left", left, "none", not left)


def wait_freed(prog_id):
    try:
        return wait_for("freed", lambda: prog_id not in clew.bpf_ids("prog"), 5)
    except Exception:
        return False


def test_without_rights():
    """no root, no capabilities: works, says what is missing, exit code 1"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env)
        drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        code, report, err = doctor("--pid", leaf.pid, prefix=drop)
        case.proof("no capability", f"exit {code}, {report['why'][:90]!r}", "1, names CAP_BPF",
                   code == 1 and "CAP_BPF" in report["why"] and not report["layer"])
        # In a place that every user may enter
        binary = env.path("clew")
        shutil.copy(clew.CLEW, binary)
        os.chmod(binary, 0o755)
        p = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary,
                            "doctor", "--json", "--pid", str(leaf.pid)], capture_output=True,
                           text=True, cwd="/", env=clew.clean_env(), timeout=60 * SCALE)
        report = json.loads(p.stdout)
        v = of_pid(report, leaf.pid)
        case.proof("another user's process", f"exit {p.returncode}, {v['reason'][:70]!r}",
                   "1, not traced, says what to do",
                   p.returncode == 1 and not v["traced"] and "CAP_SYS_PTRACE" in v["reason"])
        lost = [f["name"] for f in report["features"] if f["answer"] == "yes" and
                f["name"].startswith(("CAP_", "layer", "BPF"))]
        case.proof("claimed without rights", lost, "nothing", not lost)


def test_namespaces():
    """in a user or a pid namespace: exit code 1, and which one it is"""
    case.need_root()
    for name, argv, text in (
            ("user namespace", ["unshare", "--user", "--map-root-user"], "user namespace"),
            ("pid namespace", ["unshare", "--pid", "--fork", "--mount-proc"], "pid namespace")):
        if subprocess.run([*argv, "true"], capture_output=True).returncode:
            print(f"  {name}: skipped, {argv[0]} is refused here")
            continue
        code, report, err = doctor(prefix=argv)
        case.proof(name, f"exit {code}, {report['why'][:80]!r}", f"1, /{text}/",
                   code == 1 and text in report["why"])
    with Env() as env:
        argv = ["unshare", "--pid", "--fork", "--kill-child", "sleep", "60"]
        outer = env.start("inner", argv)
        wait_for("the inner process", lambda: outer.children() or not outer.alive())
        if not outer.alive():
            raise case.Skip("unshare --pid is refused here")
        inner = outer.children()[0]
        wait_for("its program", lambda: os.readlink(f"/proc/{inner}/exe").endswith("sleep"))
        _, report, _ = doctor("--pid", inner)
        os.kill(inner, signal.SIGKILL)  # unshare itself waits for it whatever it is told
        v = of_pid(report, inner)
        case.proof("a process in another", f"{v['other_pid_namespace']}, pid "
                   f"{v.get('pid_in_namespace')} there", "True, 1",
                   v["other_pid_namespace"] and v["pid_in_namespace"] == 1 and v["traced"])


def test_hostile_name():
    """a program named to harm the terminal"""
    case.need_root()
    with Env() as env:
        path = env.path("sl\x1b[31m\nep")
        shutil.copy(shutil.which("sleep"), path)
        p = env.start("hostile", [path, "600"])
        wait_for("its program", lambda: "\x1b" in os.readlink(f"/proc/{p.pid}/exe"))
        code, out, err = clew.command("doctor", "--pid", p.pid)
        bad = sorted({c for c in out if ord(c) < 32 and c != "\n"})
        case.proof("control characters in the text", bad, "none", not bad and str(p.pid) in out)
        _, report, _ = doctor("--pid", p.pid)
        case.proof("program in JSON", repr(of_pid(report, p.pid)["program"]), "whole",
                   of_pid(report, p.pid)["program"] == path)


def test_wrong_use():
    """exit code 2 with one line; --help is 0"""
    rows = []
    for args, pattern in ((["--fly"], "--fly"), (["--pid", "one"], "one"), (["12"], "12"),
                          (["--capture-layer", "magic"], "magic"), (["--", "true"], "--"),
                          (["--pid"], "--pid")):
        code, out, err = clew.command("doctor", *args)
        rows.append((" ".join(args), f"exit {code}, {err.strip()[:90]!r}", f"2, one line, {pattern}",
                     code == 2 and pattern in err and len(err.strip().splitlines()) == 1))
    code, out, err = clew.command("doctor", "--help")
    rows.append(("--help", f"exit {code}, {len(out)} bytes", "0, flags", code == 0 and
                 "--json" in out and not err))
    case.proofs(rows)


case.main(__name__)
