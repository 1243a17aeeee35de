#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run libFuzzer programs one after the other for some seconds each.

Usage: run.py --seconds N --build DIR fuzz_a.c ...   Corpus: tests/fuzz/corpus/NAME (read only: what
is found goes to DIR/corpus/NAME). A crash's input is kept in DIR and named.
       run.py --coverage --build DIR fuzz_a.c ...    Programs built with clang's source coverage: run the
corpora in the tree once and print the lines of each parser that they reach; less than --bar of all fails.
       run.py --keep FOLDER --build DIR fuzz_a.c     Of what was found into FOLDER/NAME, copy into the corpus
in the tree what reaches a line that nothing there reaches.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# What reads bytes that a peer, a traced process or the user's files chose. Not: what hands these bytes to
# libcurl and gRPC (src/export), which parse their protocols themselves and give answers to otlp_answer.c.
PARSERS = """
    bpf/lib/capture.bpf.h bpf/lib/conn.bpf.h bpf/lib/context.bpf.h bpf/lib/haproxy.bpf.h bpf/lib/java.bpf.h
    bpf/lib/msghdr.bpf.h bpf/lib/nginx.bpf.h bpf/lib/node.bpf.h bpf/lib/python.bpf.h bpf/lib/rust.bpf.h
    bpf/lib/sockfd.bpf.h
    src/base/glob.c src/base/utf8.c
    src/capture/record.c src/capture/record_fastcgi.c
    src/config/config.c src/config/env.c src/config/exporter.c src/config/file.c src/config/flags.c src/config/otel.c
    src/config/table.c src/config/url.c src/config/value.c src/config/yaml.c
    src/conn/conn.c
    src/correlate/propagation.c
    src/enrich/enrich.c
    src/export/otlp_answer.c
    src/probe/elf.c src/probe/facts.c src/probe/go_runtime.c src/probe/haproxy.c src/probe/insn.c
    src/probe/java_runtime.c src/probe/java_vm.c src/probe/node_runtime.c src/probe/procfs.c
    src/probe/python_runtime.c src/probe/resource.c src/probe/runtime.c src/probe/rust_runtime.c src/probe/ruby_runtime.c
    src/probe/rust_stripped.c src/probe/select.c src/probe/service_name.c src/probe/x86.c
    src/proto/fastcgi.c src/proto/fastcgi_head.c src/proto/head.c src/proto/registry.c
    src/proto/http1.c src/proto/http1_body.c src/proto/http1_head.c src/proto/http1_pair.c
    src/span/build.c src/span/redact.c
""".split()
# What the events of a stream lead to, behind the parsers: shown, without a bar of its own.
BEHIND = """
    src/pipeline.c src/correlate/correlate.c src/correlate/ids.c src/correlate/join.c src/correlate/join_unix.c
    src/correlate/link.c src/correlate/map.c src/correlate/node.c src/correlate/rule.c src/correlate/rule_go.c
    src/correlate/rule_haproxy.c src/correlate/rule_java.c src/correlate/rule_nginx.c src/correlate/rule_node.c
    src/correlate/rule_python.c src/correlate/rule_python_queue.c src/correlate/rule_python_work.c
    src/correlate/rule_rust.c src/correlate/rule_ruby.c src/correlate/rule_thread.c
    src/sample/sample.c
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
        subprocess.run([os.path.join(build, "fuzz_" + name), "-runs=0", "-rss_limit_mb=1024",
                        os.path.join(HERE, "corpus", name)], check=True,
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


def table(files, lines):
    """Print one line a file; (lines reached, lines)."""
    covered, total = 0, 0
    for name in files:
        got, count = lines.get(name, (0, 0))
        if not count:
            sys.exit(f"{name}: no fuzz target is linked with it")
        covered, total = covered + got, total + count
        print(f"{name:38} {got:5} of {count:5} lines {100 * got / count:6.1f} %")
    return covered, total


def coverage(sources, build, llvm, bar):
    lines = reached(sources, build, llvm)
    got, count = table(BEHIND, lines)
    print(f"fuzz coverage behind the parsers: {100 * got / count:.1f} %\n")
    got, count = table(PARSERS, lines)
    print(f"fuzz coverage of parsers: {100 * got / count:.1f} % (>= {100 * bar:.0f} %)")
    return got >= bar * count


def lines_of(program, build, llvm, path):
    """The lines of the project that one input reaches."""
    raw, data = os.path.join(build, "one.profraw"), os.path.join(build, "one.profdata")
    p = subprocess.run([program, path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env={**os.environ, "LLVM_PROFILE_FILE": raw})
    if p.returncode:
        sys.exit(f"{path}: {program} failed")
    subprocess.run([f"llvm-profdata{llvm}", "merge", "-o", data, raw], check=True)
    out = subprocess.run([f"llvm-cov{llvm}", "export", "-format=lcov", f"-instr-profile={data}", program],
                         check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    found, name = set(), ""
    for line in out.splitlines():
        if line.startswith("SF:"):
            name = line[3:]
        elif line.startswith("DA:") and not line.endswith(",0"):
            found.add((name, line[3:line.index(",")]))
    return found


def keep(source, build, llvm, folder):
    """Copy into the corpus what reaches a line that nothing there does, the smallest first."""
    name = short(source)
    if not os.path.isdir(folder):
        return
    program, corpus = os.path.join(build, "fuzz_" + name), os.path.join(HERE, "corpus", name)
    some = os.path.join(build, "some-" + name)
    os.makedirs(some, exist_ok=True)
    subprocess.run([program, "-set_cover_merge=1", "-rss_limit_mb=1024", some, corpus, folder], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "LLVM_PROFILE_FILE": os.devnull})
    seen = set()
    for f in os.listdir(corpus):
        seen |= lines_of(program, build, llvm, os.path.join(corpus, f))
    old, before = len(seen), len(os.listdir(corpus))
    for f in sorted(os.listdir(some), key=lambda f: os.path.getsize(os.path.join(some, f))):
        new = lines_of(program, build, llvm, os.path.join(some, f)) - seen
        if new:
            seen |= new
            shutil.copy(os.path.join(some, f), corpus)
    print(f"{name}: {len(os.listdir(corpus)) - before} inputs kept, {len(seen) - old} lines more")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seconds", type=int, default=10)
    ap.add_argument("--build", required=True)
    ap.add_argument("--coverage", action="store_true")
    ap.add_argument("--keep", metavar="FOLDER")
    ap.add_argument("--bar", type=float, default=0.9)
    ap.add_argument("--llvm", default="-19", help="how the tools' names end")
    ap.add_argument("sources", nargs="*")
    a = ap.parse_args()
    if a.keep:
        for s in a.sources:
            keep(s, a.build, a.llvm, os.path.join(a.keep, short(s)))
        return 0
    if a.coverage:
        return 0 if coverage(a.sources, a.build, a.llvm, a.bar) else 1
    good = [fuzz(s, a.build, a.seconds) for s in a.sources]
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed, 0 skipped")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
