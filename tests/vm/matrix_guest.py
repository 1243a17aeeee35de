#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The part of matrix.py that runs inside a guest; called by nothing else.

Usage: matrix_guest.py BUILD LAYERS [--short]

Is the guest sound; does every program load, and what did the verifier need (/out/verifier.json).
That is all when LAYERS is empty; then, under each capture layer: what deeds.c does must be what clew says, with the whole machine
selected, and every program that was loaded must have run. Not --short: parts of the end-to-end
suite too. One line `KERNEL LAYER name: figure (bar)` per proof.
"""
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e")]
from harness import otlp  # noqa: E402
import harness.clew  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.proc import Env  # noqa: E402

KERNEL = os.environ.get("GUEST_KERNEL", os.uname().release)
# What a layer does not see, by docs/capture.md: cases of deeds.c
BLIND = {"rawtp": {"uring": "io_uring without its bytes, or not at all",
                   "mmsg": "several messages in one call without their bytes"}}
BLIND_LENGTHS = {"splice-in": "splice from a socket, from 6.3 on"}
E2E = ["test_sockets:test_namespaces"]
E2E_ONCE = ["test_sockets:test_unix"]  # slow to start: under one layer only
DEEDS_S = 60


class Proofs:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.began = time.monotonic()

    def row(self, name, figure, bar, ok):
        print(f"{KERNEL} {'' if ok else 'FAIL '}{name}: {figure} ({bar})", flush=True)
        self.passed += bool(ok)
        self.failed += not ok
        return ok

    def lap(self, what):
        """Where the time went: seconds since the last lap."""
        now = time.monotonic()
        print(f"{KERNEL} {what}: {now - self.began:.0f} s", flush=True)
        self.began = now

    def skip(self, name, why):
        print(f"{KERNEL} {name}: skipped: {why}", flush=True)
        self.skipped += 1


def run(command, env=None, **kw):
    return subprocess.run(command, env=dict(os.environ, **(env or {})), text=True, check=False,
                          stdout=subprocess.PIPE, **kw)


def sound(proofs, tools):
    done = run([os.path.join(HERE, "smoke.sh"), tools], stderr=subprocess.STDOUT)
    lines = done.stdout.splitlines()
    bad = [line for line in lines if line.startswith(("FAIL", "       |"))]
    print("\n".join(bad), end="\n" if bad else "")
    good = sum(line.startswith("ok ") for line in lines)
    return proofs.row("guest: kinds of hooks that fire, mounts, loopback", good,
                      f"{good + sum(line.startswith('FAIL') for line in bad)}",
                      done.returncode == 0)


def verify(proofs, tools):
    """{program: {hook, insns, stack}}; the verifier's words of one that fails go to stderr."""
    known = run([os.path.join(tools, "verify"), os.path.join(tools, "stack.bpf.o")]).stdout
    measured = [json.loads(line).get("stack") for line in known.splitlines()]
    proofs.row("the measure of stack: bytes of a known program", *(measured or [None])[:1], "512",
               measured == [512])
    done = run([os.path.join(tools, "verify")])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [r["program"] for r in rows if "failed" in r]
    loaded = {r.pop("program"): r for r in rows if "insns" in r}
    proofs.row("programs that load", f"{len(loaded)}, not {failed}" if failed else len(loaded),
               "all whose hook is here", loaded and not failed and done.returncode == 0)
    if loaded:
        worst = max(loaded, key=lambda p: loaded[p]["insns"])
        deep = max(r["stack"] for r in loaded.values())
        print(f"{KERNEL} verifier: most instructions {loaded[worst]['insns']} ({worst}), "
              f"deepest stack {deep}", flush=True)
    with open("/out/verifier.json", "w", encoding="ascii") as f:
        json.dump(loaded, f)
    return loaded


# ---- deeds ---------------------------------------------------------------------------------------

def problems_of(span, want, pid):
    """What a span says that is not so."""
    said = {"method": span.method, "status": span.http_status, "pid": span.pid,
            "request": span.attrs.get("http.request.body.size"),
            "response": span.attrs.get("http.response.body.size"),
            "complete": span.attrs.get("clew.complete") is not False}
    right = {"method": "POST", "status": 200, "pid": pid, "request": want["request"],
             "response": want["response"], "complete": True}
    return [f"{k} {said[k]!r}, not {right[k]!r}" for k in right if said[k] != right[k]]


def kernel_preempts():
    """As the agent finds out: then all layers but kprobe lose runs, more so the slower they are."""
    try:
        with open("/sys/kernel/debug/sched/preempt", encoding="ascii") as f:
            return re.search(r"\((full|lazy)\)", f.read()) is not None
    except OSError:
        return False


def loses_calls(layer):
    """A kprobe's handler is not preempted; the tracepoints beside it are (docs/capture.md)."""
    return layer != "kprobe" and kernel_preempts()


def judge(proofs, layer, wanted, spans, ledger, inferred):
    """Where the kernel preempts, runs may be skipped. Then what is missing must be counted, and nothing be wrong;
    under kprobe that is true of the tracepoints alone, so spans are whole, and joins may miss.
    A run that was skipped is one call at one end of one connection: it harms the exchanges of that
    connection and no others, so their number is bounded by the count.
    inferred: path -> may its two ends be matched by what they say, or not at all?"""
    preempts, lossy = kernel_preempts(), loses_calls(layer)
    ids = {s.span_id for s in spans}
    by = {}
    for s in spans:
        by.setdefault((s.kind, s.path), []).append(s)
    missing, wrong, unjoined, doubled, misled = [], [], [], [], []
    for path, want in wanted.items():
        client, server = by.pop((otlp.CLIENT, path), []), by.pop((otlp.SERVER, path), [])
        for what, got, pid in (("client", client, want["client"]),
                               ("server", server, want["server"])):
            missing += [f"{what} {path}"] * (not got)
            doubled += [f"{what} {path}"] * (len(got) > 1)
            wrong += [f"{what} {path}: {p}" for s in got for p in problems_of(s, want, pid)]
        caller = client[0].span_id if client else None
        misled += [path for s in server if s.parent != caller and s.parent in ids]
        if client and server and not inferred(path) and \
                (server[0].parent, server[0].link) != (caller, "exact"):
            unjoined.append(f"{path}: {server[0].link}")
    strange = [path for _, path in by]
    events = sum(ledger["events"]["dropped"].values())
    harmed = {re.search(r"/[^ :]*", text)[0]
              for found in (missing, wrong, unjoined) for text in found}
    most = events * max(Counter(os.path.dirname(path) for path in wanted).values(), default=0)
    rows = [("spans given twice", doubled, False), ("servers with a wrong caller", misled, False),
            ("spans of nothing that was done", strange, False), ("missing spans", missing, lossy),
            ("wrong or incomplete spans", wrong, lossy),
            ("servers without their caller", unjoined, preempts)]
    for name, found, may in rows:
        proofs.row(f"{layer} {name}", len(found), f"0, or counted: {events} events" if may else "0",
                   not found or (may and events))
        for text in found[:0 if may else 6]:
            print(f"       {text}")
    if preempts:
        proofs.row(f"{layer} exchanges that are not whole", len(harmed),
                   f"<= {most}: those of {events} connections", len(harmed) <= most)
        only = {k for k, v in ledger["events"]["dropped"].items() if v} <= {"probe_missed"}
        proofs.row(f"{layer} events dropped", events, "the kernel preempts: probe_missed alone",
                   only)
    else:
        proofs.row(f"{layer} events dropped", events, "0", not events)
    if events:
        print(f"       {ledger['events']['dropped']}")


def deeds(proofs, layer, tools, hooks, programs):
    lengths = layer == "rawtp" and "clew_rt_send" in programs
    blind = dict(BLIND.get(layer, {}), **(BLIND_LENGTHS if lengths else {}))
    for word, why in blind.items():
        proofs.skip(f"{layer} cases {word}*", why)
    with Env() as env:
        harness.clew.HOOKS = hooks
        clew = Clew(env, "--all", "--capture-layer", layer)
        does = env.start("deeds", [os.path.join(tools, "deeds"),
                                   *(a for word in blind for a in ("--skip", word))])
        code = does.wait(DEEDS_S)
        said = does.output().splitlines()
        spans, ledger = clew.stop()
    rows = [json.loads(line) for line in said if line.startswith("{")]
    wanted = {r["path"]: r for r in rows if "path" in r}
    for r in rows:
        if "skipped" in r and r["skipped"] != "not asked for":
            proofs.skip(f"{layer} case {r['case']}", r["skipped"])
    print("".join(f"       {line}\n" for line in said if not line.startswith("{")), end="")
    proofs.row(f"{layer} exchanges", len(wanted), "all done", wanted and code == 0)
    judge(proofs, layer, wanted, spans, ledger, lambda path: lengths and "-unix/" in path)


def first_choice(proofs):
    """The layer that the agent takes by itself."""
    harness.clew.HOOKS = ""
    with Env() as env:
        clew = Clew(env, "--pid", str(os.getpid()))
        said = clew.stderr()
        clew.stop()
    found = re.search(r"capture layer (\w+)", said)
    want = "kprobe" if kernel_preempts() else "fentry"
    proofs.row("layer of its own choice", found and found[1],
               f"{want}: the kernel {'preempts' if want == 'kprobe' else 'does not preempt'}",
               found and found[1] == want)
    # a probe that the verifier refuses is done without: 5.10 has no bpf_for_each_map_elem
    refused = re.findall(r"the kernel refuses (\w+)", said)
    known = ["clew_node_moved"] if os.uname().release.startswith("5.10.") else []
    proofs.row("programs that it does without, and says so", refused, known, refused == known)


# ---- hooks and the end-to-end suite --------------------------------------------------------------

def never_ran(hooks, programs, short):
    """Names of programs that were loaded and not run once, over all runs under one layer."""
    most = {}
    if os.path.exists(hooks):
        with open(hooks, encoding="ascii") as f:
            for line in f:
                for name, count in json.loads(line).items():
                    most[name] = max(most.get(name, 0), count)
    # a uprobe waits for a process of its runtime; waits are only hooked for one that needs that
    kernel = {n for n in most if n in programs and programs[n]["hook"] != "uprobe" and
              not (short and "_wait" in n)}
    return sorted(kernel), sorted(n for n in kernel if not most[n])


def end_to_end(proofs, layer, names, hooks):
    done = run([sys.executable, os.path.join(HERE, "..", "e2e", "run.py"), *names],
               {"CLEW_E2E_LAYER": layer, "CLEW_E2E_HOOKS": hooks}, stderr=subprocess.STDOUT)
    last = re.findall(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", done.stdout, re.M)
    counts = [int(n) for n in last[-1]] if last else [0, 1, 0]
    ok = done.returncode == 0 and not counts[1]
    if not ok:
        print(done.stdout)
    proofs.row(f"{layer} end to end: {' '.join(names)}", f"{counts[0]} passed",
               f">= {len(names)}, none failed or skipped",
               ok and counts[0] >= len(names) and not counts[2])


def layers(proofs, tools, programs, which, short):
    once = E2E_ONCE
    for layer in which:
        hooks = f"/tmp/hooks-{layer}"
        try:
            deeds(proofs, layer, tools, hooks, programs)
        except (AssertionError, RuntimeError, OSError, otlp.Malformed) as e:
            proofs.row(f"{layer} deeds", e, "no error", False)
        proofs.lap(f"{layer} deeds")
        whole = not short and not loses_calls(layer)
        if whole:
            end_to_end(proofs, layer, E2E + once, hooks)
            proofs.lap(f"{layer} end to end")
            once = []
        elif not short:
            proofs.skip(f"{layer} end to end", "the kernel preempts: this layer misses calls, "
                        "counted; the suite wants every span")
        loaded, idle = never_ran(hooks, programs, not whole)
        proofs.row(f"{layer} kernel hooks that fired", len(loaded) - len(idle),
                   f"all {len(loaded)}" + (f"; not {' '.join(idle)}" if idle else ""),
                   loaded and not idle)


def main():
    words = [a for a in sys.argv[1:] if a != "--short"]
    short = "--short" in sys.argv
    tools = os.path.join(words[0], "tests", "vm")
    proofs = Proofs()
    with open("/proc/sys/kernel/bpf_stats_enabled", "w", encoding="ascii") as f:
        f.write("1")
    if sound(proofs, tools):
        proofs.lap("guest")
        programs = verify(proofs, tools)
        proofs.lap("verifier")
        if words[1]:
            layers(proofs, tools, programs, words[1].split(","), short)
            first_choice(proofs)
            proofs.lap("own choice")
    print(f"{proofs.passed} passed, {proofs.failed} failed, {proofs.skipped} skipped")
    return 1 if proofs.failed else 0


if __name__ == "__main__":
    sys.exit(main())
