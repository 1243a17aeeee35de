# SPDX-License-Identifier: Apache-2.0
"""Run clew as a user would: by its command line, its standard error and its files alone."""
import json
import os
import re
import signal
import subprocess
import time

from . import otlp, proc
from .proc import BUILD, wait_for

CLEW = os.environ.get("CLEW", os.path.join(BUILD, "clew"))
LAYER = os.environ.get("CLEW_E2E_LAYER", "")  # fentry, kprobe, rawtp: force one
READY = re.compile(r"^clew: ready", re.M)
HOOKS = os.environ.get("CLEW_E2E_HOOKS", "")  # a line of {program: runs} for each run goes there
STOP_S = 5  # the contract: a stop drains within 5 s


def clean_env(extra=None):
    """The environment without what would configure clew behind the test's back."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "CLEW"))}
    env["OTEL_BSP_SCHEDULE_DELAY"] = "300"
    env.update(extra or {})
    return env


class Clew:
    """One `clew run`. Standard error goes to a file; spans to a file of OTLP/JSON lines."""

    def __init__(self, env, *args, export=True, more_env=None, command=None, wait=True):
        n = sum(p.name == "clew" for p in env.procs)
        self.spans_path = env.path(f"spans-{n}.jsonl")
        self.tail = otlp.Tail(self.spans_path)
        self.ledger_path = env.path(f"ledger-{n}.json")
        if not os.access(CLEW, os.X_OK):
            raise RuntimeError(f"{CLEW} is not there: run make first")
        argv = [CLEW, "run", *map(str, args)]
        if export:
            argv += ["--export", f"file={self.spans_path}"]
            if "--record" not in argv:  # kept when the test fails: see proc.Env
                argv += ["--record", env.path(f"recording-{n}.clew")]
        argv += ["--ledger", self.ledger_path]
        if LAYER and "--capture-layer" not in argv:
            argv += ["--capture-layer", LAYER]
        if command:
            argv += ["--", *map(str, command)]
        self.began = time.monotonic()
        self.proc = env.start("clew", argv, whole_env=clean_env(more_env))
        self.pid = self.proc.pid
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=30):
        wait_for("clew is ready", lambda: READY.search(self.stderr()) or not self.proc.alive(),
                 seconds)
        self.attach_s = time.monotonic() - self.began
        if not READY.search(self.stderr()):
            raise RuntimeError(f"clew ended with {self.proc.popen.poll()}: {self.stderr()}")
        self.rss_ready = proc.rss_kb(self.pid)
        return self

    def stderr(self):
        return self.proc.output()

    def rss_kb(self):
        return proc.rss_kb(self.pid)

    def peak_kb(self):
        return proc.rss_kb(self.pid, "VmHWM")

    def cpu(self):
        return proc.cpu_seconds([self.pid])

    def spans(self):
        """All spans in the file until now."""
        return list(self.tail.spans())

    def wait_spans(self, n, seconds=10):
        """Until at least n spans are in the file."""
        wait_for(f"{n} spans in the file", lambda: len(self.tail.spans()) >= n, seconds)

    def stop(self, sig=signal.SIGTERM, expect=0):
        """End it; returns (spans, ledger). Fails unless it ends as expected, in time, balanced."""
        self.peak = self.peak_kb()
        self.cpu_s = self.cpu()
        if HOOKS:
            self.note_hooks()
        t = time.monotonic()
        self.proc.send(sig)
        code = self.proc.wait(STOP_S + 5)
        self.stop_s = time.monotonic() - t
        text = self.stderr()
        if code != expect:
            raise AssertionError(f"clew ended with {code}: {text[-2000:]}")
        if self.stop_s > STOP_S * proc.SCALE:
            raise AssertionError(f"clew took {self.stop_s:.1f} s to stop")
        if "NOT BALANCED" in text or "balanced" not in text:
            raise AssertionError(f"the ledger does not close with `balanced`: {text[-2000:]}")
        with open(self.ledger_path) as f:
            self.ledger = json.load(f)
        return self.spans(), self.ledger

    def note_hooks(self):
        """How often each BPF program ran; needs the sysctl kernel.bpf_stats_enabled."""
        mine, _ = self.prog_ids()
        runs = {p["name"]: p.get("run_cnt", 0) for p in bpf_show("prog") if p["id"] in mine}
        with open(HOOKS, "a", encoding="ascii") as f:
            f.write(json.dumps(runs) + "\n")

    def prog_ids(self):
        """Ids of the BPF programs and maps that this process holds, from its descriptors."""
        progs, maps = set(), set()
        base = f"/proc/{self.pid}/fdinfo"
        for fd in os.listdir(base):
            try:
                with open(os.path.join(base, fd)) as f:
                    text = f.read()
            except OSError:
                continue
            progs |= {int(i) for i in re.findall(r"^prog_id:\s*(\d+)", text, re.M)}
            maps |= {int(i) for i in re.findall(r"^map_id:\s*(\d+)", text, re.M)}
        return progs, maps


def bpf_show(kind):
    """All BPF programs ("prog") or maps ("map") that the kernel has now, as bpftool says it."""
    env = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
    out = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True, text=True,
                         env=env, check=True).stdout
    return json.loads(out)


def bpf_ids(kind):
    return {e["id"] for e in bpf_show(kind)}


def command(*args, env=None, timeout=60, binary=None):
    """Run a clew command to its end: (exit code, stdout, stderr)."""
    p = subprocess.run([binary or CLEW, *map(str, args)], capture_output=True, text=True,
                       env=clean_env(env), timeout=timeout * proc.SCALE)
    return p.returncode, p.stdout, p.stderr
