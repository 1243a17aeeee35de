# SPDX-License-Identifier: Apache-2.0
"""Tomcat and Jetty, with threads and virtual threads, calling by the clients that users have."""
import os

import jdk
from kit import Case, Row, beside, built, chain, service


def jars():
    return os.path.join(built("java-servers-jars", [beside(__file__, "pom.xml")],
                              ["mvn", "-q", "-B", "dependency:copy-dependencies",
                               "-DoutputDirectory=lib"], fetch=True), "lib")


def start(env, case):
    o = case.options
    path = os.path.join(jars(), "*")
    classes = jdk.javac("java-servers", __file__, "Servers.java", classpath=path)
    argv = [jdk.java(o.get("java", 17)), "-Xmx512m", "-Dhttp.maxConnections=200",
            "-cp", f"{classes}:{path}", "Servers"]
    more = {k.upper(): o[k] for k in ("server", "client", "threads") if k in o}
    return chain(env, lambda next_url: service(env, "app", argv, next_url, more_env=more))


ROW = Row("Java servers", start, [
    Case(["one", "seq", "post"], "Tomcat, HttpURLConnection"),
    Case(["one", "seq", "post"], "Tomcat, OkHttp", client="okhttp"),
    Case(["one", "seq", "post"], "Tomcat, Apache", client="apache"),
    Case(["one", "seq", "post"], "Tomcat, Java 25", java=25, client="apache"),
    Case(["one", "seq", "post"], "Tomcat, virtual threads", java=25, threads="virtual"),
    Case(["submit", "fan"], "Tomcat, pool", recall=0.85, client="apache"),
    Case(["submit", "fan"], "Tomcat, pool, Java 25", recall=0.85, client="okhttp", java=25),
    Case(["one", "seq", "post"], "Jetty, Apache", server="jetty", client="apache"),
    Case(["one", "seq", "post"], "Jetty, OkHttp, Java 25", server="jetty", client="okhttp",
         java=25),
    Case(["one", "seq", "post"], "Jetty, virtual threads", server="jetty", client="apache",
         java=25, threads="virtual"),
    Case(["submit", "fan"], "Jetty, pool", recall=0.85, server="jetty", client="apache"),
], tags=["java"], needs=["javac", "mvn"])
