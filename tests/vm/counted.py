#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a tracer costs its target, counted in instructions instead of timed.

Usage: counted.py KERNEL --load PROGRAM [options] [-- TRACER...]

In a guest whose only processor has a clock of one nanosecond per instruction (run.py --icount),
nginx answers a fixed number of requests (load.c) without the tracer and with it, in turn. The
kernel's own account of each process (schedstat: nanoseconds on the processor) is then a count of
the instructions that it needed, user and kernel, with the interrupts that fell on it. It does not
depend on the machine outside, and it does not see caches, nor what a trap or a wake-up costs
beyond the instructions: a regression gate, to be read beside `make bench`.

{pid} and {port} in TRACER stand for nginx's worker and port. With no TRACER the same thing is
measured twice, which shows how steady the figures are. Exit 1 if a run is not steady or the ratio
exceeds --max-ratio.
"""
import argparse
import os
import subprocess
import sys

import run

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    parser = argparse.ArgumentParser(usage="counted.py KERNEL --load PROGRAM [options] "
                                     "[-- TRACER...]",
                                     description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kernel")
    parser.add_argument("--load", required=True, help="the compiled load.c")
    parser.add_argument("--requests", type=int, default=10000, help="per run (10000)")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs (3)")
    parser.add_argument("--ready", default="", metavar="TEXT",
                        help="the tracer is attached when its output has this; else: when it rests")
    parser.add_argument("--steady", type=float, default=1.0, metavar="PERCENT",
                        help="how far runs of a kind may be apart (1)")
    parser.add_argument("--max-ratio", type=float, default=0, help="fail above this ratio")
    parser.add_argument("--out", metavar="DIR", help="counted.json and console.log go there")
    parser.add_argument("--timeout", type=float, default=900)
    parser.add_argument("--mem", type=int, default=2048)
    mine, _, tracer = run.split(sys.argv[1:])
    args = parser.parse_args(mine)
    inside = ["/usr/bin/python3", os.path.join(HERE, "counted_guest.py"),
              os.path.abspath(args.load), str(args.requests), str(args.connections),
              str(args.rounds), args.ready, str(args.steady), str(args.max_ratio), *tracer]
    command = [sys.executable, os.path.join(HERE, "run.py"), args.kernel, "--icount",
               "--mem", str(args.mem), "--timeout", str(args.timeout)]
    if args.out:
        command += ["--out", args.out]
    return subprocess.run([*command, "--", *inside], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
