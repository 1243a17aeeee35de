#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tracing costs the traced program: interleaved pairs with and without clew.

Usage: bench.py [ROW...] [--quick] [--gate] [--pairs N] [--seconds S] [--json FILE] [--md FILE]

A pair is two runs of the same load, one with clew attached and one without, in turns of order;
every figure is the median over the pairs of the ratio with / without. CPU per request is user and
system time of all the target's threads over the requests that the load generator counted: the
steadier figure. Absolute figures are there for orientation only: machines differ, ratios less.
--gate: exit code 1 when a bar is missed.
"""
import argparse
import csv
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e")]
from harness import apps, case, clew, proc  # noqa: E402


class Row:
    """One server under one load. bars: {figure: (limit, "min" or "max")}."""

    def __init__(self, name, title, start, load, bars, traced=True):
        self.name, self.title, self.start, self.load = name, title, start, load
        self.bars, self.traced = bars, traced


def start_nginx(env):
    p = apps.nginx(env)
    return p, p.pids()


def start_fastapi(env):
    behind = apps.gosvc(env, args=["-quick"])
    p = apps.fastapi(env, behind.url, behind.url)
    return p, [p.pid]


def start_go(env):
    p = apps.gosvc(env, args=["-quick"])
    return p, [p.pid]


def start_redis(env):
    port = proc.free_port()
    p = env.start("redis", ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                            "--appendonly", "no", "--dir", env.dir])
    p.host, p.port = "127.0.0.1", port
    env.started(p, lambda: proc.accepts("127.0.0.1", port))
    return p, [p.pid]


def wrk(path, conns=32):
    return lambda target, seconds: apps.wrk(target.port, path, seconds, conns)


def redis_benchmark(target, seconds):
    """As many GETs as fit about `seconds`: the rate of the run before tells how many."""
    count = max(20000, int(getattr(target, "rps", 60000) * seconds))
    out = subprocess.run(["redis-benchmark", "-p", str(target.port), "-c", "32", "-n", str(count),
                          "-t", "get", "--csv"], capture_output=True, text=True, check=True).stdout
    row = list(csv.DictReader(io.StringIO(out)))[0]
    target.rps = float(row["rps"])
    return {"requests": count, "rps": target.rps, "p50_ms": float(row["p50_latency_ms"]),
            "p99_ms": float(row["p99_latency_ms"]), "errors": 0}


ROWS = [
    Row("nginx", "nginx, 12-byte answer", start_nginx, wrk("/tiny"),
        {"rps": (0.85, "min"), "cpu": (1.18, "max"), "p99": (1.15, "max")}),
    Row("fastapi", "FastAPI, empty handler", start_fastapi, wrk("/f/empty/1"),
        {"rps": (0.95, "min"), "p99": (1.15, "max")}),
    Row("httpx", "FastAPI + httpx call", start_fastapi, wrk("/f/call/1"),
        {"rps": (0.97, "min"), "p99": (1.15, "max")}),
    Row("go", "Go net/http, 5-byte answer", start_go, wrk("/x"), {}),
    Row("redis", "Redis GET (a protocol left early)", start_redis, redis_benchmark,
        {"rps": (0.86, "min"), "cpu": (1.12, "max"), "p99": (1.15, "max")}),
    Row("bystander", "nginx that is not traced, beside clew", start_nginx, wrk("/tiny"), {},
        traced=False),
]


def one(row, target, pids, seconds, run):
    cpu, own = proc.cpu_seconds(pids), run.cpu() if run else 0
    got = row.load(target, seconds)
    got["cpu_us"] = (proc.cpu_seconds(pids) - cpu) / got["requests"] * 1e6
    got["clew_cpu_s"] = run.cpu() - own if run else 0
    return got


def attach(env, pids):
    return clew.Clew(env, "--export", "file=/dev/null", *(a for p in pids for a in ("--pid", p)),
                     export=False)


def pair(env, row, target, pids, idle, seconds, first):
    got = {}
    for mode in (("with", "without") if first else ("without", "with")):
        run = attach(env, pids if row.traced else idle) if mode == "with" else None
        got[mode] = one(row, target, pids, seconds, run)
        if run:
            own = got["clew"] = {"rss_mb": run.peak_kb() / 1024, "attach_s": run.attach_s}
            _, ledger = run.stop()
            own["spans"] = ledger["spans"]["built"]
            own["dropped"] = sum(ledger["events"]["dropped"].values())
            own["lost"] = {k: v for k, v in ledger["events"]["dropped"].items() if v}
            own["cpu_s"] = got[mode]["clew_cpu_s"]
    return got


def bench(row, pairs, seconds):
    with proc.Env("clew-bench") as env:
        target, pids = row.start(env)
        idle = [apps.leaf(env).pid]
        row.load(target, min(1, seconds))  # warm
        got = [pair(env, row, target, pids, idle, seconds, n % 2) for n in range(pairs)]

    def ratio(key):
        return [g["with"][key] / g["without"][key] for g in got if g["without"][key]]
    out = {"name": row.name, "title": row.title, "pairs": pairs, "seconds": seconds,
           "without": {k: statistics.median(g["without"][k] for g in got)
                       for k in ("rps", "cpu_us", "p50_ms", "p99_ms")},
           "errors": sum(g[m]["errors"] for g in got for m in ("with", "without")),
           "rss_mb": max(g["clew"]["rss_mb"] for g in got),
           "attach_s": statistics.median(g["clew"]["attach_s"] for g in got),
           "spans": sum(g["clew"]["spans"] for g in got),
           "dropped": sum(g["clew"]["dropped"] for g in got),
           "lost": [g["clew"]["lost"] for g in got if g["clew"]["lost"]]}
    for name, key in (("rps", "rps"), ("cpu", "cpu_us"), ("p50", "p50_ms"), ("p99", "p99_ms")):
        rs = ratio(key)
        out[name] = {"median": statistics.median(rs), "min": min(rs), "max": max(rs)}
    cpu = sum(g["clew"]["cpu_s"] for g in got)
    out["clew_us_per_span"] = cpu / out["spans"] * 1e6 if out["spans"] else None
    return out


def steady(seconds):
    """10,000 requests/s at nginx: memory and CPU per span of clew at a rate that is common."""
    with proc.Env("clew-bench") as env:
        front = apps.nginx(env, locations='location /l/ { return 200 "x"; }')
        run = attach(env, front.pids())
        cpu, start = run.cpu(), time.monotonic()
        load = apps.load(env, front.port, conc=32, rate=10000, seconds=seconds, prefix="/l")
        cpu, took = run.cpu() - cpu, time.monotonic() - start
        rss, rss_ready = run.peak_kb() / 1024, run.rss_ready / 1024
        _, ledger = run.stop()
        n = ledger["spans"]["built"]
        return {"rate": n / took, "rss_mb": rss, "rss_ready_mb": rss_ready,
                "us_per_span": cpu / max(1, n) * 1e6, "attach_s": run.attach_s,
                "stop_s": run.stop_s, "lost": load.summary["done"] - n}


def verdicts(results, at_rate):
    rows = []
    for r in results:
        for figure, (limit, kind) in next(x for x in ROWS if x.name == r["name"]).bars.items():
            v = r[figure]["median"]
            ok = v >= limit if kind == "min" else v <= limit
            rows.append((f"{r['title']}, {figure} with / without", f"{v:.3f}",
                         f"{'>=' if kind == 'min' else '<='} {limit}", ok))
        if r["spans"]:
            rows.append((f"{r['title']}, events lost", f"{r['dropped']} {r['lost'] or ''}".strip(),
                         "0", not any("ring_full" in x for x in r["lost"])))
    if at_rate:
        rows += [("RSS at 10,000 spans/s", f"{at_rate['rss_mb']:.1f} MB", "<= 40 MB",
                  at_rate["rss_mb"] <= 40),
                 ("CPU per span at 10,000 spans/s", f"{at_rate['us_per_span']:.2f} us", "<= 3 us",
                  at_rate["us_per_span"] <= 3),
                 ("attach to a running process", f"{at_rate['attach_s']:.2f} s", "< 1 s",
                  at_rate["attach_s"] < 1)]
    return rows


def markdown(results, at_rate, rows):
    out = ["# Cost of being traced", "",
           f"`make bench` on {os.cpu_count()} CPUs, Linux {platform.release().split('-')[0]}, "
           f"{results[0]['pairs']} interleaved pairs of {results[0]['seconds']} s a row; medians, "
           "lowest and highest in brackets. The load generator, the target and clew share the CPUs.",
           "",
           "| Target | requests/s without | throughput with / without | CPU per request | p50 | p99 |"
           " clew, us per span | RSS, MB | lost |", "|---|---|---|---|---|---|---|---|---|"]
    for r in results:
        def cell(k):
            return f"{r[k]['median']:.2f} ({r[k]['min']:.2f}-{r[k]['max']:.2f})"
        us = f"{r['clew_us_per_span']:.2f}" if r["clew_us_per_span"] else "-"
        out.append(f"| {r['title']} | {r['without']['rps']:.0f} | {cell('rps')} | x{cell('cpu')} | "
                   f"x{cell('p50')} | x{cell('p99')} | {us} | {r['rss_mb']:.1f} | {r['dropped']} |")
    if at_rate:
        out += ["", f"At {at_rate['rate']:.0f} requests/s: {at_rate['us_per_span']:.2f} us of CPU per"
                f" span, {at_rate['rss_mb']:.1f} MB ({at_rate['rss_ready_mb']:.1f} MB when ready); "
                f"attached in {at_rate['attach_s']:.2f} s, stopped in {at_rate['stop_s']:.2f} s."]
    out += ["", "| Bar | figure | bar | |", "|---|---|---|---|"]
    out += [f"| {n} | {f} | {b} | {'met' if ok else '**missed**'} |" for n, f, b, ok in rows]
    return "\n".join(out) + "\n"


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("rows", nargs="*")
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--gate", action="store_true")
    ap.add_argument("--pairs", type=int)
    ap.add_argument("--seconds", type=float)
    ap.add_argument("--json")
    ap.add_argument("--md")
    a = ap.parse_args()
    case.need_root()
    pairs = a.pairs or (2 if a.quick else 7)
    seconds = int(a.seconds or (2 if a.quick else 4))
    results = []
    for row in ROWS:
        if a.rows and row.name not in a.rows:
            continue
        r = bench(row, pairs, seconds)
        results.append(r)
        us = f"{r['clew_us_per_span']:.2f} us/span" if r["clew_us_per_span"] else "-"
        print(f"{r['title']}: throughput {r['rps']['median']:.3f}, CPU per request "
              f"x{r['cpu']['median']:.3f}, p50 x{r['p50']['median']:.2f}, p99 "
              f"x{r['p99']['median']:.2f}, clew {us}, RSS {r['rss_mb']:.1f} MB, attach "
              f"{r['attach_s']:.2f} s, lost {r['dropped']}, {r['without']['rps']:.0f} requests/s",
              flush=True)
    at_rate = steady(3 if a.quick else 10) if not a.rows or "rate" in a.rows else None
    if at_rate:
        print(f"at {at_rate['rate']:.0f} requests/s: {at_rate['us_per_span']:.2f} us/span, RSS "
              f"{at_rate['rss_mb']:.1f} MB", flush=True)
    rows = verdicts(results, at_rate)
    for n, f, b, ok in rows:
        print(f"{'ok  ' if ok else 'MISS'} {n}: {f} ({b})")
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"rows": results, "rate": at_rate, "bars": rows}, f, indent=1)
    if a.md and not a.quick and not a.rows:
        with open(a.md, "w") as f:
            f.write(markdown(results, at_rate, rows))
    return 1 if a.gate and not all(r[3] for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
