# SPDX-License-Identifier: Apache-2.0
"""HAProxy in front of the C leaf, which answers as service f. One process, threads as given."""
from harness import apps, proc
from kit import Case, Row, Started

CONF = """\
global
    nbthread {threads}
    maxconn 2000
    log stderr format raw local0 warning
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 60s
    option http-keep-alive
    http-reuse {reuse}
frontend front
    bind 127.0.0.1:{port}
    http-request set-path %[path,regsub(^/p/,/l/)]
    default_backend behind
backend behind
    server leaf 127.0.0.1:{leaf} maxconn {maxconn} pool-max-conn 100
"""


def start(env, case):
    o = case.options
    leaf, port = apps.leaf(env), proc.free_port()
    conf = env.path("haproxy.cfg")
    with open(conf, "w") as f:
        f.write(CONF.format(port=port, leaf=leaf.port, threads=o.get("threads", 1),
                            reuse=o.get("reuse", "always"), maxconn=o.get("maxconn", 1000)))
    front = env.start("haproxy", ["haproxy", "-db", "-f", conf])
    front.port = port
    env.started(front, lambda: proc.accepts("127.0.0.1", port))
    return Started(front, {"p": {front.pid}, "l": {leaf.pid}})


ROW = Row("HAProxy", start, [
    Case(["one", "post"], tags=["ci"], threads=1),
    Case(["one", "post"], "2 threads", threads=2),
    Case(["one"], "queue: 4 connections behind", threads=2, maxconn=4),
    Case(["one"], "no connection is used again", threads=2, reuse="never"),
], tags=["haproxy"], needs=["haproxy"], service="p")
