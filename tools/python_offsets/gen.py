#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write src/probe/python_offsets.h: where CPython keeps what clew reads, per minor version.

Usage: gen.py PYTHON... > src/probe/python_offsets.h
Each PYTHON is an interpreter with its headers installed; CC names the compiler.
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def out(*args):
    return subprocess.run(args, stdout=subprocess.PIPE, check=True,
                          universal_newlines=True).stdout.strip()


def row(python):
    include = out(python, "-c", "import sysconfig; print(sysconfig.get_paths()['include'])")
    version = out(python, "-c", "import platform; print(platform.python_version())")
    with tempfile.TemporaryDirectory() as tmp:
        exe = os.path.join(tmp, "layout")
        out(os.environ.get("CC", "cc"), "-w", "-I", include, os.path.join(HERE, "layout.c"),
            "-o", exe)
        columns = out(exe).split()
    task = out(python, os.path.join(HERE, "probe.py"), columns[1])
    return (int(columns[0]), version,
            "\t{%s}, /* %s */" % (", ".join(columns + [task]), version))


def main():
    rows = sorted(row(p) for p in sys.argv[1:])
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print("/* Written by tools/python_offsets from the headers and checked in live processes. */")
    print("/* minor, tstate.context, runtime.autoTSSkey._is_initialized, ._key,\n"
          " * runtime.interpreters.head, interpreter's first thread, tstate.thread_id,\n"
          " * function.func_closure, enum clew_py_values, tuple.ob_item, Task.task_context */")
    for _, _, text in rows:
        print(text)


if __name__ == "__main__":
    main()
