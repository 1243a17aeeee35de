#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A minute with clew: a real application is running and busy; clew attaches, traces, leaves.

nginx -> FastAPI (uvicorn, httpx) -> { Flask (threads) -> Go, Go } -> a C service, all on free
loopback ports. None of them knows of tracing, none is restarted. Prints the waterfall of one whole
trace, the table of services and routes, and the ledger. Figures come from the exported OTLP spans.
"""
import argparse
import os
import sys
import time
from collections import defaultdict

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "..", "tests", "e2e"),
                os.path.join(HERE, "..", "..", "tests", "truth")]
import shapes  # noqa: E402
from harness import apps, clew, otlp, proc  # noqa: E402

TTY = sys.stdout.isatty() and "NO_COLOR" not in os.environ
COLORS = {"n": 32, "f": 36, "w": 35, "g": 34, "l": 33}
NAMES = {"n": "nginx", "f": "fastapi", "w": "flask", "g": "go", "l": "leaf (C)"}
BAR = 44


def paint(text, code):
    return f"\033[{code}m{text}\033[0m" if TTY else text


def title(text):
    print("\n" + paint(text, 1) + "\n" + "-" * len(text))


def who(span, chain):
    for letter, pids in chain.items():
        if span.pid in pids:
            return letter
    return "?"


def pick(spans, want):
    """The trace to show: whole, of the richest shape, of middling length."""
    traces = defaultdict(list)
    for s in spans:
        traces[s.trace_id].append(s)
    whole = []
    for trace in traces.values():
        ids = {s.span_id for s in trace}
        roots = [s for s in trace if not s.parent]
        if len(roots) == 1 and all(s.parent in ids for s in trace if s.parent):
            whole.append((len(trace) == want, len(trace), roots[0], trace))
    best = [w for w in whole if w[0]] or sorted(whole, key=lambda w: w[1])[-1:]
    best.sort(key=lambda w: w[2].ms)
    return best[len(best) // 2] if best else None


def waterfall(trace, root, chain):
    children = defaultdict(list)
    for s in trace:
        children[s.parent].append(s)
    t0, span_ns = root.start, max(1, root.end - root.start)
    todo = [(root, 0)]
    while todo:
        s, depth = todo.pop()
        letter = who(s, chain)
        left = int((s.start - t0) / span_ns * BAR)
        left = max(0, min(BAR - 1, left))
        width = max(1, min(BAR - left, round((s.end - s.start) / span_ns * BAR)))
        kind = "server" if s.kind == otlp.SERVER else "client"
        mark = "" if s.status != otlp.ERROR else paint(" error", 31)
        label = f"{'  ' * depth}{NAMES.get(letter, '?')} {kind} {s.method} {s.path}"
        glyph = "█" if s.kind == otlp.SERVER else "▒"
        bar = " " * left + paint(glyph * width, COLORS.get(letter, 37))
        print(f"{label[:58]:58} {s.ms:8.2f} ms |{bar}{' ' * (BAR - left - width)}| "
              f"{s.http_status or '-'} {s.link or 'none'}{mark}")
        for kid in sorted(children[s.span_id], key=lambda k: k.start, reverse=True):
            todo.append((kid, depth + 1))


def percentile(values, p):
    return values[min(len(values) - 1, int(len(values) * p))]


def table(spans, chain, seconds):
    rows = defaultdict(list)
    errors = defaultdict(int)
    for s in spans:
        what = shapes.of_path(s.path)
        if s.kind != otlp.SERVER or not what:
            continue
        key = (who(s, chain), s.method, f"/{what[0]}/{what[1]}/*")
        rows[key].append(s.ms)
        errors[key] += (s.http_status or 0) >= 500
    print(f"{'service':10} {'route':24} {'requests/s':>10} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}"
          f" {'errors':>7}")
    for key in sorted(rows, key=lambda k: ("nfwgl".find(k[0]), k[2])):
        ms = sorted(rows[key])
        print(f"{paint(f'{NAMES.get(key[0], key[0]):10}', COLORS.get(key[0], 37))} "
              f"{key[1] + ' ' + key[2]:24} {len(ms) / seconds:10.1f} {percentile(ms, .5):8.2f}"
              f" {percentile(ms, .95):8.2f} {percentile(ms, .99):8.2f} {errors[key]:7}")


def ledger_of(text):
    """The table that clew printed when it ended."""
    lines = text.splitlines()
    end = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].rstrip().endswith("balanced")
                or "NOT BALANCED" in lines[i]), None)
    if end is None:
        return text
    start = end
    while start and lines[start - 1].strip() and not lines[start - 1].startswith("clew:"):
        start -= 1
    return "\n".join(lines[start:end + 1])


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--seconds", type=float, default=6)
    ap.add_argument("--out", default=os.path.join(proc.BUILD, "demo"))
    a = ap.parse_args()
    if os.geteuid() != 0:
        sys.exit("demo: loading BPF programs needs root: sudo make demo")
    for name in os.listdir(a.out) if os.path.isdir(a.out) else []:
        if name.endswith((".jsonl", ".json", ".log", ".conf")):
            os.unlink(os.path.join(a.out, name))
    with proc.Env("demo", keep=a.out) as env:
        print("starting nginx, FastAPI, Flask, Go and a C service on free ports ...")
        chain = apps.Chain(env)
        pids = chain.pids()
        print("  " + ", ".join(f"{NAMES[k]} pid {'+'.join(map(str, sorted(v)))}"
                               for k, v in pids.items()))
        load = apps.Load(env, chain.front.port, conc=8, rate=60, shapes=chain.SHAPES)
        proc.wait_for("load is under way", lambda: load.proc.alive(), 5)
        run = clew.Clew(env, *chain.selectors())
        print(f"load runs (60 requests/s); clew attached while it ran, in {run.attach_s:.2f} s:")
        print("  " + " ".join(run.proc.argv))
        begin = time.monotonic()
        end = begin + a.seconds
        proc.wait_for("the demo's time is over", lambda: time.monotonic() > end, a.seconds + 5)
        seconds = time.monotonic() - begin
        peak = run.peak_kb()
        spans, ledger = run.stop()
        load.stop()
        want = 1 + sum(2 for _ in list(shapes.tree("n", "seq", 1, ("l",)).walk())[1:])
        best = pick(spans, want)
        if not best:
            sys.exit(f"demo: no whole trace among {len(spans)} spans; see {a.out}")
        title(f"One request across {len({s.pid for s in best[3]})} processes, "
              f"{len(best[3])} spans, trace {best[2].trace_id}")
        waterfall(best[3], best[2], pids)
        title(f"Services and routes ({seconds:.1f} s, {len(spans)} spans)")
        table(spans, pids, seconds)
        title("Ledger")
        print(ledger_of(run.stderr()))
        done = load.summary
        print(f"\napplication: {done['done']} requests, {done['errors']} errors; clew: "
              f"{peak / 1024:.1f} MB, {run.cpu_s / max(1, len(spans)) * 1e6:.0f} us of CPU per span "
              "at this small load, start included")
        print(f"spans (OTLP/JSON lines): {run.spans_path}\nledger:                  "
              f"{run.ledger_path}\nclew's own output:       {run.proc.log}")
        if done["errors"] or not ledger["balanced"]:
            sys.exit(1)


if __name__ == "__main__":
    main()
