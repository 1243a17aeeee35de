#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run libFuzzer programs one after the other for some seconds each.

Usage: run.py --seconds N --build DIR fuzz_a.c ...   Corpus: tests/fuzz/corpus/NAME (read only: what
is found goes to DIR/corpus/NAME). A crash's input is kept in DIR and named.
       run.py --coverage --build DIR fuzz_a.c ...    Programs built with clang's source coverage: run the
corpora once and print the lines of each parser that they reach; less than --bar of all of them fails.
"""
import argparse
import glob
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# What reads bytes that somebody else wrote.
PARSERS = """
    bpf/lib/capture.bpf.h bpf/lib/conn.bpf.h bpf/lib/msghdr.bpf.h
    src/base/json.c src/base/utf8.c src/base/glob.c
    src/capture/record.c
    src/config/env.c src/config/exporter.c src/config/file.c src/config/flags.c src/config/otel.c
    src/config/url.c src/config/value.c src/config/yaml.c
    src/conn/conn.c src/pipeline.c
    src/correlate/correlate.c src/correlate/join.c src/correlate/join_unix.c src/correlate/link.c
    src/correlate/map.c src/correlate/propagation.c src/correlate/rule_go.c src/correlate/rule_nginx.c
    src/correlate/rule_python.c src/correlate/rule_thread.c
    src/export/otlp_answer.c
    src/probe/elf.c src/probe/facts.c src/probe/go_runtime.c src/probe/insn.c src/probe/python_runtime.c
    src/proto/http1.c src/proto/http1_body.c src/proto/http1_head.c src/proto/http1_pair.c
    src/span/build.c src/span/redact.c
    src/probe/service_name.c
""".split()


def short(source):
    return os.path.splitext(os.path.basename(source))[0].replace("fuzz_", "", 1)


def fuzz(source, build, seconds):
    """True when nothing was found."""
    name = short(source)
    seeds = os.path.join(HERE, "corpus", name)
    words = os.path.join(HERE, name + ".dict")
    found = os.path.join(build, "corpus", name)
    os.makedirs(found, exist_ok=True)
    argv = [os.path.join(build, "fuzz_" + name), f"-max_total_time={seconds}", "-print_final_stats=1",
            "-rss_limit_mb=1024", "-timeout=10", "-verbosity=1", f"-artifact_prefix={build}/{name}-"]
    argv += [f"-dict={words}"] if os.path.exists(words) else []
    argv += [found] + ([seeds] if os.path.isdir(seeds) else [])
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 300)
    out = p.stdout.decode(errors="replace")
    runs = re.search(r"number_of_executed_units:\s*(\d+)", out)
    cov = re.findall(r"cov: (\d+)", out)
    good = not p.returncode and runs
    print(f"fuzz_{name}: {runs.group(1) if runs else 0} runs, coverage {cov[-1] if cov else 0} edges"
          f" (no crash in {seconds} s){'' if good else ' FAIL'}", flush=True)
    if not good:
        print(out[-4000:])
    return bool(good)


def reached(sources, build, llvm):
    """Run every corpus; {file: (lines reached, lines)}."""
    raw = []
    for source in sources:
        name = short(source)
        raw.append(os.path.join(build, name + ".profraw"))
        folders = [os.path.join(HERE, "corpus", name)] + glob.glob(os.path.join(build, "corpus", name))
        subprocess.run([os.path.join(build, "fuzz_" + name), "-runs=0", "-rss_limit_mb=1024"] + folders, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "LLVM_PROFILE_FILE": raw[-1]})
    data = os.path.join(build, "all.profdata")
    subprocess.run([f"llvm-profdata{llvm}", "merge", "-o", data] + raw, check=True)
    programs = [os.path.join(build, "fuzz_" + short(s)) for s in sources]
    objects = [x for p in programs[1:] for x in ("-object", p)]
    out = subprocess.run([f"llvm-cov{llvm}", "export", "-summary-only", f"-instr-profile={data}", programs[0]] + objects,
                         check=True, stdout=subprocess.PIPE).stdout
    root = os.path.dirname(os.path.dirname(HERE)) + "/"
    lines = {}
    for f in json.loads(out)["data"][0]["files"]:
        path = os.path.realpath(f["filename"])
        lines[path.replace(root, "")] = (f["summary"]["lines"]["covered"], f["summary"]["lines"]["count"])
    return lines


def coverage(sources, build, llvm, bar):
    lines = reached(sources, build, llvm)
    below, covered, total = 0, 0, 0
    for parser in PARSERS:
        got, count = lines.get(parser, (0, 1))
        covered, total = covered + got, total + count
        below += got < bar * count
        print(f"{parser:34} {got:5} of {count:5} lines {100 * got / count:6.1f} %{'' if got >= bar * count else '  below'}")
    print(f"parsers: {100 * covered / total:.1f} % of {total} lines (bar {100 * bar:.0f} %), {below} files below it")
    return covered >= bar * total


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seconds", type=int, default=10)
    ap.add_argument("--build", required=True)
    ap.add_argument("--coverage", action="store_true")
    ap.add_argument("--bar", type=float, default=0.9)
    ap.add_argument("--llvm", default="-19", help="how the tools' names end")
    ap.add_argument("sources", nargs="*")
    a = ap.parse_args()
    if a.coverage:
        return 0 if coverage(a.sources, a.build, a.llvm, a.bar) else 1
    good = [fuzz(s, a.build, a.seconds) for s in a.sources]
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed, 0 skipped")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
