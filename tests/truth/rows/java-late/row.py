# SPDX-License-Identifier: Apache-2.0
"""Java programs that were written after the rules: what they give is reported, not aimed at."""
import os

import jdk
from kit import Case, Row, beside, built, chain, service


def start(env, case):
    o = case.options
    path = os.path.join(built("java-late-jars", [beside(__file__, "pom.xml")],
                              ["mvn", "-q", "-B", "dependency:copy-dependencies",
                               "-DoutputDirectory=lib"], fetch=True), "lib", "*")
    classes = jdk.javac("java-late", __file__, "Late.java", classpath=path)
    argv = [jdk.java(o.get("java", 17)), "-Xmx512m", "-cp", f"{classes}:{path}", "Late"]
    return chain(env, lambda next_url: service(env, "app", argv, next_url,
                                               more_env={"SERVER": o["server"]}))


SHAPES = ["one", "latch", "completion", "limited", "scheduled", "combine", "later2", "common",
          "parallel"]

ROW = Row("Java, late", start,
          [Case([s], f"sockets, {s}", recall=0.0, server="sockets", java=25) for s in SHAPES] +
          [Case([s], f"Undertow, {s}", recall=0.0, server="undertow") for s in SHAPES],
          tags=["java-late"], needs=["javac", "mvn"])
