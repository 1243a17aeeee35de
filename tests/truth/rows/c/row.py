# SPDX-License-Identifier: Apache-2.0
"""C servers: by thread and by event loop. What a row may not know, it must say: none."""
from kit import Case, Row, beside, cc, chain, service

THREADS = ["one", "seq", "none"]
FAILURES = ["err", "timeout", "abort"]


def start(env, case):
    name, *args = case.options["run"]
    exe = cc("c-" + name, beside(__file__, name + ".c"), "http.h")
    return chain(env, lambda url: service(env, name, [exe, *args], url),
                 case.options.get("letters", "a"))


ROW = Row("C", start, [
    Case(THREADS, "thread per connection", tags=["ci"], run=["threads", "connection"]),
    Case(THREADS, "chain of 3, thread per connection", run=["threads", "connection"],
         letters="abc"),
    Case(["post"], "thread per connection, POST", run=["threads", "connection"]),
    Case(FAILURES, "errors", run=["threads", "connection"]),
    Case(THREADS, "thread per request", run=["threads", "request"]),
    Case(THREADS, "thread pool with a queue", tags=["ci"], run=["threads", "pool"]),
    # From here on no thread sees both ends of a request, or one sees those of many, or the answer,
    # which proves whose thread it is, came before the call: none, not wrong
    Case(["after"], "after the response", recall=0.0, run=["threads", "connection"]),
    Case(["one", "seq"], "staged pool", recall=0.0, run=["threads", "staged"]),
    Case(["fan"], "4 new threads", recall=0.0, run=["threads", "connection"]),
    Case(["pool"], "4 callers fed by a queue", recall=0.0, run=["threads", "connection"]),
    Case(["flush"], "flusher on demand", recall=0.0, tags=["ci"], run=["threads", "connection"]),
    Case(["one", "seq", "fan"], "one epoll loop", recall=0.0, tags=["ci"], run=["loop"]),
    Case(["post"], "one epoll loop, POST", recall=0.0, run=["loop"]),
    Case(["after"], "one epoll loop, after the response", recall=0.0, run=["loop"]),
    Case(FAILURES, "one epoll loop, errors", recall=0.0, run=["loop"]),
    Case(["one", "seq", "fan"], "one select loop", recall=0.0, tags=["ci"], run=["loop", "select"]),
    Case(["after"], "one select loop, after the response", recall=0.0, run=["loop", "select"]),
    Case(FAILURES, "one select loop, errors", recall=0.0, run=["loop", "select"]),
], tags=["c"], needs=["gcc"])
