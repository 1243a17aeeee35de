# SPDX-License-Identifier: Apache-2.0
"""Start servers on free ports, wait for conditions with deadlines, stop by pid what was started."""
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
APPS = os.path.join(ROOT, "tests", "apps")
BIN = os.path.join(BUILD, "apps")
PYTHON = os.environ.get("APP_PYTHON", "/usr/bin/python3")
SCALE = float(os.environ.get("CLEW_E2E_SCALE", "1"))  # deadlines on slow machines

_libc = ctypes.CDLL(None)
_given = set()


class Timeout(Exception):
    pass


def wait_for(what, condition, seconds=10):
    """Poll until `condition()` is true and return it; Timeout names what was waited for."""
    end = time.monotonic() + seconds * SCALE
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise Timeout(f"{what}: not within {seconds * SCALE:.0f} s")
        time.sleep(0.01)


def free_port(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family) as s:
            s.bind((host, 0))
            port = s.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def accepts(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.settimeout(1)
        return s.connect_ex((host, port)) == 0


def accepts_unix(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


def _with_parent():
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: nothing outlives the test


class Proc:
    """One started process. Its output goes to a file in the environment's folder."""

    def __init__(self, name, argv, log, env=None, whole_env=None, cwd=None):
        self.name, self.log, self.argv = name, log, [str(a) for a in argv]
        with open(log, "wb") as f:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=f,
                                          stderr=subprocess.STDOUT, preexec_fn=_with_parent,
                                          cwd=cwd, env=whole_env or dict(os.environ, **(env or {})))
        self.pid = self.popen.pid
        self.stop_signal = signal.SIGTERM

    def alive(self):
        return self.popen.poll() is None

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def send(self, sig):
        if self.alive():
            self.popen.send_signal(sig)

    def wait(self, seconds=10):
        try:
            return self.popen.wait(seconds * SCALE)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{self.name} (pid {self.pid}): did not end") from None

    def stop(self, sig=None, seconds=10):
        self.send(sig or self.stop_signal)
        try:
            return self.wait(seconds)
        except Timeout:
            self.send(signal.SIGKILL)
            self.popen.wait()
            return None

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
            return [int(p) for p in f.read().split()]

    def pids(self):
        return [self.pid] + self.children()


def rss_kb(pid, key="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0


def cpu_seconds(pids):
    """User and system time of all threads of these processes, the dead ones included."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            field = f.read().rsplit(")", 1)[1].split()
        ticks += int(field[11]) + int(field[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def cpu_ns(pids):
    """The same from the scheduler's own account, in ns (living threads only)."""
    total = 0
    for pid in pids:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
                    total += int(f.read().split()[0])
    return total


class Env:
    """A folder and the processes of one test; leaving it stops them, last started first."""

    def __init__(self, name="clew-e2e", keep=None):
        self.name, self.keep, self.procs = name, keep, []

    def __enter__(self):
        self.dir = self.keep or tempfile.mkdtemp(prefix=self.name + "-")
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        return self

    def __exit__(self, kind, exc, tb):
        for p in reversed(self.procs):
            p.stop()
        if exc is not None and kind.__name__ != "Skip":
            for p in self.procs:
                tail = p.output().strip().splitlines()[-12:]
                if tail:
                    print(f"--- output of {p.name} (pid {p.pid})\n" + "\n".join(tail))
            if not self.keep:
                self.keep_folder(tb)
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def keep_folder(self, tb):
        """A test failed: its recordings, the client's records, logs and spans stay."""
        names = [f.f_code.co_name for f, _ in traceback.walk_tb(tb)]
        test = next((n for n in names if n.startswith("test_")), names[0])
        script = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        to = os.path.join(BUILD, "failed", f"{script}-{test}")
        try:
            shutil.rmtree(to, ignore_errors=True)
            shutil.copytree(self.dir, to, symlinks=True, ignore=lambda d, names: [
                n for n in names if not stat.S_ISREG(os.lstat(os.path.join(d, n)).st_mode)
                and not os.path.isdir(os.path.join(d, n))])
            print(f"--- kept: {os.path.relpath(to)} (docs/testing.md says how to read it)")
        except OSError as e:
            print(f"--- {self.dir} cannot be kept in {to}: {e}")

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self, name, argv, **kw):
        p = Proc(name, argv, self.path(f"{name}-{len(self.procs)}.log"), **kw)
        self.procs.append(p)
        return p

    def started(self, proc, ready, seconds=20):
        """Wait until a started server answers; fail at once when it ends instead."""
        wait_for(f"{proc.name} is ready", lambda: ready() or not proc.alive(), seconds)
        if not proc.alive():
            raise RuntimeError(f"{proc.name} ended: {proc.output()[-500:]}")
        return proc
