#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a tracer costs its target, counted in instructions instead of timed.

Usage: counted.py KERNEL --load PROGRAM [options] [-- TRACER...]
       counted.py KERNEL --load PROGRAM --clew PROGRAM --gosvc PROGRAM --baseline FILE [--update]

In a guest whose only processor has a clock of one nanosecond per instruction (run.py --icount), a
server answers a fixed number of requests without the tracer and with it, in turn. The kernel's own
account of each process (schedstat: nanoseconds on the processor) is then a count of the
instructions that it needed, user and kernel, with the interrupts that fell on it. It does not
depend on the machine outside, and it does not see caches, nor what a trap or a wake-up costs
beyond the instructions: a regression gate, to be read beside `make bench`.

With --clew: every row (nginx, go, redis, bystander) under every capture layer that --layers names.
A ratio that is 3 % above that of the baseline, or above its bar, fails; --update makes this run the
baseline. The last line is 'N passed, N failed, N skipped'. Else TRACER is measured beside nginx; {pid} and {port} in it stand for nginx's worker and
port. With no TRACER the same thing is measured twice, which shows how steady the figures are.
"""
import argparse
import json
import os
import subprocess
import sys

import run

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = ("nginx", "go", "redis", "bystander")
BARS = {("nginx", "fentry"): 1.18, ("go", "fentry"): 1.06}
WORSE = 1.03


def jobs_of_clew(args):
    clew = [os.path.abspath(args.clew), "run", "--pid", "{pid}", "--export", "file=/dev/null",
            "--capture-layer"]
    return [{"row": row, "name": layer, "tracer": [*clew, layer], "ready": "clew: ready"}
            for row in args.rows.split(",") for layer in args.layers.split(",")]


def run_guest(args, runs):
    """The results of the guest, and its exit code."""
    job = {"load": os.path.abspath(args.load), "gosvc": os.path.abspath(args.gosvc or ""),
           "requests": args.requests, "connections": args.connections, "rounds": args.rounds,
           "steady": args.steady, "runs": runs}
    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, "counted.json")
    if os.path.exists(path):
        os.unlink(path)
    command = [sys.executable, os.path.join(HERE, "run.py"), args.kernel, "--icount", "--mem",
               str(args.mem), "--timeout", str(args.timeout), "--out", args.out, "--",
               "/usr/bin/python3", os.path.join(HERE, "counted_guest.py"), json.dumps(job)]
    code = subprocess.run(command, check=False).returncode
    if not os.path.exists(path):
        return [], code or 1
    with open(path, encoding="ascii") as f:
        return json.load(f), code


def judge(results, baseline, max_ratio):
    """Print one line a figure; the number of bars that were missed."""
    missed = 0
    for r in results:
        name = f"{r['row']} {r['name']}".strip()
        limits = [BARS.get((r["row"], r["name"])), max_ratio or None]
        if name in baseline:
            limits.append(baseline[name] * WORSE)
        limit = min((x for x in limits if x), default=None)
        ok = not limit or r["ratio"] <= limit
        missed += not ok
        print(f"{'ok' if ok else 'MISS':6} counted {name}: x{r['ratio']:.4f} "
              + (f"(<= {limit:.4f})" if limit else "(no bar yet)"))
    return missed


def parse(argv):
    parser = argparse.ArgumentParser(usage="counted.py KERNEL --load PROGRAM [options] "
                                     "[-- TRACER...]",
                                     description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kernel")
    parser.add_argument("--load", required=True, help="the compiled load.c")
    parser.add_argument("--clew", help="measure this clew, every row and layer")
    parser.add_argument("--gosvc", help="the Go server")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--layers", default="fentry,kprobe,rawtp")
    parser.add_argument("--baseline", metavar="FILE", help="ratios that were accepted")
    parser.add_argument("--update", action="store_true", help="write the baseline")
    parser.add_argument("--requests", type=int, default=10000, help="per run (10000)")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs (3)")
    parser.add_argument("--ready", default="", metavar="TEXT",
                        help="the tracer is attached when its output has this; else: when it rests")
    parser.add_argument("--steady", type=float, default=1.0, metavar="PERCENT",
                        help="how far runs of a kind may be apart (1)")
    parser.add_argument("--max-ratio", type=float, default=0, help="fail above this ratio")
    parser.add_argument("--out", metavar="DIR", default="counted-out",
                        help="counted.json and console.log go there")
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--mem", type=int, default=2048)
    mine, _, tracer = run.split(argv)
    return parser.parse_args(mine), tracer


def main():
    args, tracer = parse(sys.argv[1:])
    why = run.missing(args.kernel)
    if why:
        print(f"counted: skipped: {why}\n0 passed, 0 failed, 1 skipped")
        return 0
    runs = [{"row": "nginx", "name": "", "tracer": tracer, "ready": args.ready}]
    baseline = {}
    if args.clew:
        runs = jobs_of_clew(args)
    if args.baseline and os.path.exists(args.baseline):
        with open(args.baseline, encoding="ascii") as f:
            baseline = json.load(f)
    results, code = run_guest(args, runs)
    missed = judge(results, {} if args.update else baseline, args.max_ratio)
    if args.update and args.baseline:
        baseline.update({f"{r['row']} {r['name']}": round(r["ratio"], 4) for r in results})
        with open(args.baseline, "w", encoding="ascii") as f:
            json.dump(baseline, f, indent=1, sort_keys=True)
            f.write("\n")
    lacks = len(runs) - len(results)
    if lacks:
        print(f"FAIL   counted: {len(results)} of {len(runs)} rows were measured")
    failed = missed + lacks or int(code != 0)
    print(f"{len(runs) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
