#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tracing costs the traced program: interleaved pairs with and without clew.

Usage: bench.py [ROW...] [--quick] [--gate] [--pairs N] [--seconds S] [--json FILE] [--md FILE]
       bench.py --list

A ROW is a name of ROWS or of what is measured once: rate (10,000 requests/s), connections,
processes, payload (how the cost grows), and python-otel, node-otel (the same application under
the OpenTelemetry SDK's zero-code instrumentation instead of clew; `make bench-otel` installs it).

A pair is two runs of the same load, one with clew attached and one without, in turns of order;
every figure is the median over the pairs of the ratio with / without. CPU per request is user and
system time of all the target's threads over the requests that the load generator counted: the
steadier figure; how far the medians of the odd and the even pairs are apart is its spread. Absolute figures are there for orientation only: machines differ, ratios less.
--gate: exit code 1 when a bar is missed.
"""
import argparse
import csv
import io
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "e2e"), os.path.join(HERE, "..", "truth")]
import jdk  # noqa: E402
import kit  # noqa: E402
from harness import apps, case, clew, proc  # noqa: E402


class Row:
    """One server under one load. bars: {figure: (limit, "min" or "max")}. scatters: its handlers
    sleep, or it compiles itself while it runs: a longer warm-up, and twice the pairs. governed:
    its runtime has probes, and clew is measured when it has decided which of them it can afford.

    `start(env)` gives a server and its pids. With `other`, a second server of the same kind that
    is instrumented by other means, it is that which is compared with, and clew does not run.
    """

    def __init__(self, name, title, start, load, bars=None, traced=True, other=None,
                 scatters=False, governed=False):
        self.name, self.title, self.start, self.load = name, title, start, load
        self.bars, self.traced, self.other = bars or {}, traced, other
        self.scatters, self.governed = scatters, governed


def start_nginx(env):
    p = apps.nginx(env)
    return p, p.pids()


def start_fastapi(env):
    behind = apps.gosvc(env, args=["-quick"])
    p = apps.fastapi(env, behind.url, behind.url)
    return p, [p.pid]


def start_flask(env):
    p = apps.flask(env, apps.leaf(env, delay_ms=0).url)
    return p, [p.pid]


def start_pyqueue(env):
    """Calls are made by threads that queue.Queue feeds (and that sleep at random: see the CPU)."""
    port, behind = proc.free_port(), apps.leaf(env, delay_ms=0)
    p = env.start("pyqueue", [proc.PYTHON, os.path.join(proc.ROOT, "tests/truth/rows/python-queue/app.py")],
                  env={"LISTEN": f"127.0.0.1:{port}", "NEXT": behind.url + "/l"})
    return apps._tcp(env, p, "127.0.0.1", port), [p.pid]


def start_go(env):
    p = apps.gosvc(env, args=["-quick"])
    return p, [p.pid]


def start_go_calls(env):
    """A handler that calls out once (and sleeps at random, so that it is the CPU that counts)."""
    p = apps.gosvc(env, apps.leaf(env, delay_ms=0).url)
    return p, [p.pid]


def start_files(env):
    """nginx with files of 100 bytes to 10 MB."""
    p = apps.nginx(env)
    os.makedirs(env.path("files"), exist_ok=True)
    for size in PAYLOADS:
        with open(env.path(f"files/{size}"), "wb") as f:
            f.write(b"x" * size)
    return p, p.pids()


OTEL = os.path.join(proc.BUILD, "otel")


def otel_env(env):
    """Spans go to a server that takes everything, so that the exporter does its work."""
    sink = apps.leaf(env, delay_ms=0)
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none", "OTEL_SERVICE_NAME": "bench"}


def start_fastapi_otel(env):
    python = os.path.join(OTEL, "venv", "bin", "python")
    if not os.access(python, os.X_OK):
        raise case.Skip("the OpenTelemetry SDK is not installed: make bench-otel")
    port, behind = proc.free_port(), apps.gosvc(env, args=["-quick"])
    p = env.start("fastapi", [os.path.join(OTEL, "venv", "bin", "opentelemetry-instrument"), python,
                              os.path.join(proc.APPS, "fast.py")],
                  env={**otel_env(env), "LISTEN": f"127.0.0.1:{port}", "GO": behind.url,
                       "PYTHONUNBUFFERED": "1"})
    return apps._tcp(env, p, "127.0.0.1", port), [p.pid]


NODE_APP = """
const http = require("http");
http.createServer((q, s) => s.end("hello")).listen(+process.env.PORT, "127.0.0.1");
"""


def start_node(env, *args, more=None):
    port = proc.free_port()
    if not shutil.which("node"):
        raise case.Skip("node is not installed")
    with open(env.path("app.js"), "w") as f:
        f.write(NODE_APP)
    p = env.start("node", ["node", *args, env.path("app.js")],
                  env={**(more or {}), "PORT": str(port)})
    return apps._tcp(env, p, "127.0.0.1", port), [p.pid]


def start_node_otel(env):
    hook = os.path.join(OTEL, "node_modules", "@opentelemetry", "auto-instrumentations-node",
                        "build", "src", "register.js")
    if not os.path.exists(hook):
        raise case.Skip("the OpenTelemetry SDK is not installed: make bench-otel")
    return start_node(env, "--require", hook, more=otel_env(env))


def start_go_quick(env):
    behind = apps.leaf(env, delay_ms=0)
    p = apps.gosvc(env, behind.url, args=["-quick"])
    return p, [p.pid]


def start_java(client):
    """The application of the truth row, calling a leaf by `client`."""
    def start(env):
        row = os.path.join(HERE, "..", "truth", "rows", "java", "row.py")
        classes, port = jdk.javac("java", row, "App.java"), proc.free_port()
        p = env.start("java", [jdk.java(17), "-Xmx512m", "-Dhttp.maxConnections=200",
                               "-Dsun.net.httpserver.nodelay=true", "-cp", classes, "App"],
                      env={"LISTEN": f"127.0.0.1:{port}", "CLIENT": client,
                           "NEXT": apps.leaf(env, delay_ms=0).url + "/l"})
        return apps._tcp(env, p, "127.0.0.1", port), [p.pid]
    return start


def start_tokio(env):
    """The application of the truth row, calling a leaf by reqwest."""
    row = os.path.join(HERE, "..", "truth", "rows", "rust", "row.py")
    port = proc.free_port()
    p = env.start("tokio", [kit.cargo("rust", row), "axum", "reqwest", "2"],
                  env={"LISTEN": f"127.0.0.1:{port}", "NAP": "0",
                       "NEXT": apps.leaf(env, delay_ms=0).url + "/l"})
    return apps._tcp(env, p, "127.0.0.1", port), [p.pid]


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


PAYLOADS = [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000]
ROWS = [
    Row("nginx", "nginx, 12-byte answer", start_nginx, wrk("/tiny"),
        {"rps": (0.85, "min"), "cpu": (1.18, "max"), "p99": (1.15, "max")}),
    Row("nginx10k", "nginx, file of 10 KB", start_files, wrk("/files/10000")),
    Row("fastapi", "FastAPI, empty handler", start_fastapi, wrk("/f/empty/1"),
        {"rps": (0.95, "min"), "p99": (1.15, "max")}),
    Row("httpx", "FastAPI + httpx call", start_fastapi, wrk("/f/call/1"),
        {"rps": (0.97, "min"), "p99": (1.15, "max")}, scatters=True, governed=True),
    Row("flask", "Flask threads + a call by requests", start_flask, wrk("/w/one/1"),
        scatters=True, governed=True),
    Row("pyqueue", "Python threads, a call out by one that queue.Queue feeds", start_pyqueue,
        wrk("/a/pool/1"), scatters=True, governed=True),
    Row("go", "Go net/http, 5-byte answer", start_go, wrk("/x")),
    Row("gocall", "Go net/http + a call out", start_go_calls, wrk("/g/one/1/0", 64),
        scatters=True, governed=True),
    Row("node", "Node http, 5-byte answer", start_node, wrk("/")),
    Row("gofan", "Go net/http + four calls in goroutines", start_go_quick, wrk("/fan"),
        governed=True),
    Row("java", "Java, a call out", start_java("url"), wrk("/a/one/1", 64), scatters=True,
        governed=True),
    Row("javapool", "Java, a call out in a pool's job", start_java("url"), wrk("/a/submit/1", 64),
        scatters=True, governed=True),
    Row("javahttp", "Java, a call out by java.net.http", start_java("sync"), wrk("/a/one/1", 64),
        scatters=True, governed=True),
    Row("tokio", "tokio, a call out", start_tokio, wrk("/a/one/1", 64), governed=True),
    Row("tokiojoin", "tokio, a call out in a task of its own", start_tokio,
        wrk("/a/joined/1", 64), governed=True),
    Row("redis", "Redis GET (a protocol left early)", start_redis, redis_benchmark,
        {"rps": (0.86, "min"), "cpu": (1.12, "max"), "p99": (1.15, "max")}),
    Row("bystander", "nginx that is not traced, beside clew", start_nginx, wrk("/tiny"),
        traced=False),
    Row("python-otel", "FastAPI, empty handler, under the OpenTelemetry SDK (no clew)",
        start_fastapi, wrk("/f/empty/1"), other=start_fastapi_otel, scatters=True),
    Row("httpx-otel", "FastAPI + httpx call, under the OpenTelemetry SDK (no clew)",
        start_fastapi, wrk("/f/call/1"), other=start_fastapi_otel),
    Row("node-otel", "Node http, under the OpenTelemetry SDK (no clew)", start_node, wrk("/"),
        other=start_node_otel, scatters=True),
]


SETTLE_S = 4  # the governor wants two windows of 200 ms of the target's CPU above the limit
GIVEN_UP = re.compile(r"overhead_limit is [^)]*\): (\S+) is given up")


def one(row, target, pids, seconds):
    cpu = proc.cpu_ns(pids)
    got = row.load(target, seconds)
    got["cpu_us"] = (proc.cpu_ns(pids) - cpu) / got["requests"] / 1e3
    return got


def attach(env, pids):
    return clew.Clew(env, "--export", "file=/dev/null", *(a for p in pids for a in ("--pid", p)),
                     export=False)


def pair(env, row, target, pids, idle, seconds, first):
    got = {}
    for mode in (("with", "without") if first else ("without", "with")):
        run = attach(env, pids if row.traced else idle) if mode == "with" else None
        cpu = run.cpu() if run else 0
        if run and row.governed:
            row.load(target, SETTLE_S)
        got[mode] = one(row, target, pids, seconds)
        if run:
            own = got["clew"] = {"rss_mb": run.peak_kb() / 1024, "attach_s": run.attach_s,
                                 "cpu_s": run.cpu() - cpu}
            _, ledger = run.stop()
            own["given_up"] = sorted(set(GIVEN_UP.findall(run.proc.output())))
            own["spans"] = ledger["spans"]["built"]
            own["dropped"] = sum(ledger["events"]["dropped"].values())
            own["lost"] = {k: v for k, v in ledger["events"]["dropped"].items() if v}
    return got


def pair_of_two(row, one_target, other_target, seconds, first):
    """Without clew: the plain server, and the one that is instrumented by other means."""
    got = {}
    for mode in (("with", "without") if first else ("without", "with")):
        target, pids = other_target if mode == "with" else one_target
        got[mode] = one(row, target, pids, seconds)
    got["clew"] = {"rss_mb": 0, "attach_s": 0, "spans": 0, "dropped": 0, "lost": {}, "cpu_s": 0,
                   "given_up": []}
    return got


def bench(row, pairs, seconds):
    with proc.Env("clew-bench") as env:
        target, pids = row.start(env)
        warm = 8 if row.scatters else 1
        pairs *= 2 if row.scatters else 1
        row.load(target, warm)
        if row.other:
            other = row.other(env)
            row.load(other[0], warm)
            got = [pair_of_two(row, (target, pids), other, seconds, n % 2) for n in range(pairs)]
        else:
            idle = [apps.leaf(env).pid]
            got = [pair(env, row, target, pids, idle, seconds, n % 2) for n in range(pairs)]

    def ratio(key, some=got):
        return [g["with"][key] / g["without"][key] for g in some if g["without"][key]]
    out = {"name": row.name, "title": row.title, "pairs": pairs, "seconds": seconds,
           "without": {k: statistics.median(g["without"][k] for g in got)
                       for k in ("rps", "cpu_us", "p50_ms", "p99_ms")},
           "errors": sum(g[m]["errors"] for g in got for m in ("with", "without")),
           "rss_mb": max(g["clew"]["rss_mb"] for g in got),
           "attach_s": statistics.median(g["clew"]["attach_s"] for g in got),
           "spans": sum(g["clew"]["spans"] for g in got),
           "dropped": sum(g["clew"]["dropped"] for g in got),
           "lost": [g["clew"]["lost"] for g in got if g["clew"]["lost"]],
           "given_up": sorted({s for g in got for s in g["clew"]["given_up"]})}
    for name, key in (("rps", "rps"), ("cpu", "cpu_us"), ("p50", "p50_ms"), ("p99", "p99_ms")):
        rs = ratio(key)
        out[name] = {"median": statistics.median(rs), "min": min(rs), "max": max(rs)}
    halves = [statistics.median(ratio("cpu_us", got[n::2])) for n in (0, 1) if got[n::2]]
    out["cpu_spread"] = max(halves) / min(halves) - 1
    cpu = sum(g["clew"]["cpu_s"] for g in got)
    out["clew_us_per_span"] = cpu / out["spans"] * 1e6 if out["spans"] else None
    return out


def grow(title, env, target, pids, load, seconds):
    """One pair; what it costs the target, and what clew needs, at one size of something."""
    row = Row("", title, None, load)
    g = pair(env, row, target, pids, [], seconds, False)
    own = g["clew"]
    return {"size": title, "rps": g["with"]["rps"] / g["without"]["rps"],
            "cpu": g["with"]["cpu_us"] / g["without"]["cpu_us"], "rate": g["without"]["rps"],
            "us_per_span": own["cpu_s"] / own["spans"] * 1e6 if own["spans"] else None,
            "rss_mb": own["rss_mb"], "attach_s": own["attach_s"], "dropped": own["dropped"],
            "missing": g["with"]["requests"] - own["spans"]}


def connections(seconds):
    """1 to 10,000 keep-alive connections to one nginx."""
    out = []
    for n in (1, 10, 100, 1000, 10000):
        with proc.Env("clew-bench") as env:
            front = apps.nginx(env, conns=12000)
            out.append(grow(str(n), env, front, front.pids(), wrk("/tiny", n), seconds))
    return out


def payload(seconds):
    with proc.Env("clew-bench") as env:
        target, pids = start_files(env)
        return [grow(str(size), env, target, pids, wrk(f"/files/{size}", 8), seconds)
                for size in PAYLOADS]


def processes(seconds):
    """1 to 1,000 traced processes, one of which is busy."""
    out, quiet = [], None
    with proc.Env("clew-bench") as env:
        front = apps.nginx(env)
        others = []
        for n in (1, 10, 100, 1000):
            others += [apps.leaf(env) for _ in range(n - 1 - len(others))]
            quiet = [p.pid for p in others]
            out.append(grow(str(n), env, front, front.pids() + quiet, wrk("/tiny"), seconds))
    return out


GROWTH = {"connections": connections, "processes": processes, "payload": payload}


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
        rows.append((f"{r['title']}, CPU per request, odd and even pairs apart",
                     f"{100 * r['cpu_spread']:.1f} %", "< 5 %", r["cpu_spread"] < 0.05))
    if at_rate:
        rows += [("RSS at 10,000 spans/s", f"{at_rate['rss_mb']:.1f} MB", "<= 40 MB",
                  at_rate["rss_mb"] <= 40),
                 ("CPU per span at 10,000 spans/s", f"{at_rate['us_per_span']:.2f} us", "<= 3 us",
                  at_rate["us_per_span"] <= 3),
                 ("attach to a running process", f"{at_rate['attach_s']:.2f} s", "< 1 s",
                  at_rate["attach_s"] < 1)]
    return rows


def growth_table(name, table):
    out = ["", f"## Growth with {name}", "", f"| {name} | requests/s without | throughput | CPU per "
           "request | clew, us per span | RSS, MB | attach, s | lost |", "|---|---|---|---|---|---|"
           "---|---|"]
    for g in table:
        us = f"{g['us_per_span']:.2f}" if g["us_per_span"] else "-"
        out.append(f"| {g['size']} | {g['rate']:.0f} | {g['rps']:.2f} | x{g['cpu']:.2f} | {us} | "
                   f"{g['rss_mb']:.1f} | {g['attach_s']:.2f} | {g['dropped']} |")
    return out


def markdown(results, at_rate, rows, growth):
    out = ["# Cost of being traced", "",
           f"`make bench` on {os.cpu_count()} CPUs, Linux {platform.release().split('-')[0]}, "
           f"{results[0]['pairs']} interleaved pairs of {results[0]['seconds']} s a row, twice as "
           "many where handlers sleep or the target compiles itself; medians, lowest and highest in "
           "brackets. The load generator, the target and clew share the CPUs. Where a runtime has "
           f"probes, clew has been attached for {SETTLE_S} s of this load: what its governor gave up "
           "by then is in the last column.",
           "",
           "| Target | requests/s without | throughput with / without | CPU per request | p50 | p99 |"
           " clew, us per span | RSS, MB | lost | given up |",
           "|---|---|---|---|---|---|---|---|---|---|"]
    for r in results:
        def cell(k):
            return f"{r[k]['median']:.2f} ({r[k]['min']:.2f}-{r[k]['max']:.2f})"
        us = f"{r['clew_us_per_span']:.2f}" if r["clew_us_per_span"] else "-"
        out.append(f"| {r['title']} | {r['without']['rps']:.0f} | {cell('rps')} | x{cell('cpu')} | "
                   f"x{cell('p50')} | x{cell('p99')} | {us} | {r['rss_mb']:.1f} | {r['dropped']} | "
                   f"{' '.join(r.get('given_up') or ['-'])} |")
    if at_rate:
        out += ["", f"At {at_rate['rate']:.0f} requests/s: {at_rate['us_per_span']:.2f} us of CPU per"
                f" span, {at_rate['rss_mb']:.1f} MB ({at_rate['rss_ready_mb']:.1f} MB when ready); "
                f"attached in {at_rate['attach_s']:.2f} s, stopped in {at_rate['stop_s']:.2f} s."]
    for name, table in growth.items():
        out += growth_table(name, table)
    out += ["", "| Bar | figure | bar | |", "|---|---|---|---|"]
    out += [f"| {n} | {f} | {b} | {'met' if ok else '**missed**'} |" for n, f, b, ok in rows]
    return "\n".join(out) + "\n"


def say_row(r):
    us = f"{r['clew_us_per_span']:.2f} us/span" if r["clew_us_per_span"] else "-"
    print(f"{r['title']}: throughput {r['rps']['median']:.3f}, CPU per request "
          f"x{r['cpu']['median']:.3f} (+-{100 * r['cpu_spread']:.1f} %), p50 "
          f"x{r['p50']['median']:.2f}, p99 x{r['p99']['median']:.2f}, clew {us}, RSS "
          f"{r['rss_mb']:.1f} MB, attach {r['attach_s']:.2f} s, lost {r['dropped']}, "
          f"given up: {' '.join(r['given_up']) or 'nothing'}, "
          f"{r['without']['rps']:.0f} requests/s", flush=True)


def run_rows(wanted, pairs, seconds):
    results = []
    for row in ROWS:
        if row.name not in wanted:
            continue
        try:
            results.append(bench(row, pairs, seconds))
            say_row(results[-1])
        except case.Skip as e:
            print(f"skip {row.title}: {e}")
    return results


def run_growth(wanted, seconds):
    growth = {}
    for name, fn in GROWTH.items():
        if name not in wanted:
            continue
        growth[name] = fn(seconds)
        for g in growth[name]:
            us = f"{g['us_per_span']:.2f} us/span" if g["us_per_span"] else "-"
            print(f"{name} {g['size']}: throughput {g['rps']:.3f}, CPU per request x{g['cpu']:.3f}, "
                  f"clew {us}, RSS {g['rss_mb']:.1f} MB, attach {g['attach_s']:.2f} s, "
                  f"lost {g['dropped']}", flush=True)
    return growth


def merged(path, results, at_rate, growth):
    """Rows that were not run this time stay as they were."""
    old = {"rows": [], "rate": None, "growth": {}}
    if os.path.exists(path):
        with open(path) as f:
            old.update(json.load(f))
    got = {r["name"]: r for r in old["rows"] + results}
    results = [got[row.name] for row in ROWS if row.name in got]
    return results, at_rate or old["rate"], {**old["growth"], **growth}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("rows", nargs="*")
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--gate", action="store_true")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--pairs", type=int)
    ap.add_argument("--seconds", type=float)
    ap.add_argument("--json")
    ap.add_argument("--md")
    a = ap.parse_args()
    known = [r.name for r in ROWS] + ["rate", *GROWTH]
    if a.list:
        print("\n".join(known))
        return 0
    if set(a.rows) - set(known):
        ap.error(f"no such row: {' '.join(sorted(set(a.rows) - set(known)))}")
    case.need_root()
    wanted = a.rows or (["nginx", "fastapi", "httpx", "go", "redis", "bystander", "rate"]
                        if a.quick else known)
    seconds = int(a.seconds or (2 if a.quick else 4))
    results = run_rows(wanted, a.pairs or (2 if a.quick else 7), seconds)
    growth = run_growth(wanted, seconds)
    at_rate = steady(3 if a.quick else 10) if "rate" in wanted else None
    if at_rate:
        print(f"at {at_rate['rate']:.0f} requests/s: {at_rate['us_per_span']:.2f} us/span, RSS "
              f"{at_rate['rss_mb']:.1f} MB", flush=True)
    rows = verdicts(results, at_rate)
    for n, f, b, ok in rows:
        print(f"{'ok  ' if ok else 'MISS'} {n}: {f} ({b})")
    if a.json:
        results, at_rate, growth = merged(a.json, results, at_rate, growth)
        bars = verdicts(results, at_rate)
        with open(a.json, "w") as f:
            json.dump({"rows": results, "rate": at_rate, "growth": growth, "bars": bars}, f,
                      indent=1)
        if a.md and not a.quick:
            with open(a.md, "w") as f:
                f.write(markdown(results, at_rate, bars, growth))
    return 1 if a.gate and not all(r[3] for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
