# SPDX-License-Identifier: Apache-2.0
"""The JDK's own HTTP server and clients, with threads, thread pools and virtual threads."""
import jdk
from kit import Case, Row, chain, service


def start(env, case):
    o = case.options
    classes = jdk.javac("java", __file__, "App.java")
    argv = [jdk.java(o.get("java", 17)), "-Xmx512m", "-Dhttp.maxConnections=200",
            "-Dsun.net.httpserver.nodelay=true", *o.get("jvm", ()), "-cp", classes, "App"]
    more = {"CLIENT": o.get("client", "url"), "SERVE": o.get("serve", "pool")}
    return chain(env, lambda next_url: service(env, "app", argv, next_url, more_env=more))


ROW = Row("Java HttpServer", start, [
    Case(["one", "seq", "post", "none"], "17, thread pool", tags=["ci"]),
    Case(["one", "seq", "post", "none"], "25, thread pool", java=25),
    Case(["one", "seq", "post"], "21, virtual threads", java=21, serve="virtual"),
    Case(["one", "seq", "post"], "25, virtual threads", java=25, serve="virtual"),
    Case(["err", "timeout", "abort"], "17, failing calls"),
    # the client's own thread reads the answers, and writes most of the requests
    Case(["one", "seq", "post"], "17, HttpClient.send", client="sync", tags=["ci"]),
    Case(["one", "seq", "post"], "25, HttpClient.send", client="sync", java=25),
    Case(["one", "seq"], "25, HttpClient.send, virtual threads", client="sync", java=25,
         serve="virtual"),
    Case(["err", "abort"], "17, HttpClient.send, failing calls", client="sync"),
    Case(["one", "seq"], "25, HttpClient.sendAsync and get", client="async", java=25),
    # most of the answers come while it makes the next call
    Case(["fanasync"], "17, HttpClient.sendAsync four times", client="async", recall=0.3),
    # who waits for the call is a job, for which another one waits
    Case(["submit"], "17, HttpClient.send in a pool", client="sync", recall=0.0),
    Case(["one", "seq"], "17, serial collector", jvm=["-XX:+UseSerialGC", "-Xmn4m"]),
    Case(["one", "seq"], "17, HttpClient.sendAsync and get", client="async"),
    # after the answer the thread is nobody's
    Case(["after"], "17, after the response", recall=0.0),
    # what is read while a collector works is not believed
    Case(["submit", "supply", "apply"], "17, pool, waited for", recall=0.95, tags=["ci"]),
    Case(["scheduled"], "17, pool, scheduled", recall=0.95),
    Case(["submit", "supply", "apply"], "25, pool, waited for", recall=0.95, java=25),
    # a future that a collection moved, or that a full buffer of its thread separates from the
    # others, is not known for its maker's any more
    Case(["fan", "invokeall"], "17, fan-out through a pool of 4", recall=0.85),
    Case(["fan", "invokeall"], "25, fan-out through a pool of 4", recall=0.85, java=25),
    Case(["fanvars", "fanjoin"], "17, fan-out, other ways", recall=0.85),
    Case(["fanvars", "fanjoin"], "25, fan-out, other ways", recall=0.85, java=25),
    # most of its answers come before it waits
    Case(["board", "fan"], "17, who waits holds the futures of others", recall=0.85),
    Case(["allof"], "17, fan-out, allOf"),
    Case(["allof"], "25, fan-out, allOf", java=25),
    Case(["reply", "replyseq"], "17, the worker replies", tags=["ci"]),
    Case(["reply", "replyseq"], "25, the worker replies", java=25),
    Case(["one", "submit", "reply"], "17, the same threads in all ways", recall=0.95),
    Case(["vsubmit"], "21, a virtual thread per call", recall=0.95, java=21),
    Case(["vsubmit"], "25, a virtual thread per call", recall=0.95, java=25, serve="virtual"),
    Case(["forkjoin"], "17, ForkJoin", recall=0.0),
    Case(["pool"], "17, workers at a queue", recall=0.0),
    Case(["flush"], "17, flusher on demand", recall=0.0),
    # a collector that moves objects while threads run
    Case(["one", "seq"], "25, ZGC, thread pool", recall=0.0, java=25, jvm=["-XX:+UseZGC"]),
    Case(["one", "seq"], "25, ZGC, virtual threads", recall=0.0, java=25, serve="virtual",
         jvm=["-XX:+UseZGC"]),
], tags=["java"], needs=["javac"])
