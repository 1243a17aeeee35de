# SPDX-License-Identifier: Apache-2.0
"""Rust on tokio: axum and hyper as servers, reqwest and hyper-util as clients, as cargo builds them,
with link-time optimisation, and stripped."""
from kit import Case, Row, cargo, chain, service


def start(env, case):
    option = case.options.get
    argv = [cargo("rust", __file__, option("profile", "release")),
            *option("kind", "axum reqwest").split(), option("threads", "4")]
    return chain(env, lambda next_url: service(env, "app", argv, next_url))


ROW = Row("Rust tokio", start, [
    Case(["one", "seq", "none"], "axum, reqwest"),
    Case(["fan"], "join_all"),
    Case(["post"], "POST"),
    Case(["err"], "errors"),
    Case(["timeout"], "time-outs"),
    Case(["abort"], "aborts"),
    Case(["limit", "select", "yield"], "semaphore, select, yield"),
    Case(["one", "seq", "fan"], "hyper, hyper-util", kind="hyper hyper"),
    Case(["one", "seq", "fan"], "one thread", threads="0"),
    Case(["one", "seq", "fan", "post"], "LTO", profile="lto"),
    Case(["one", "seq", "fan", "post"], "LTO, one thread", profile="lto", threads="0",
         kind="hyper hyper"),
    Case(["one", "seq", "fan", "post"], "stripped", profile="stripped"),
    Case(["one", "seq", "fan", "post"], "stripped, one thread", profile="stripped",
         threads="0"),
    Case(["one", "seq", "fan", "post"], "LTO, stripped", profile="small"),
    # other tasks, which a request has started
    Case(["joined", "fanjoin", "seqjoin"], "tasks that the request waits for"),
    Case(["fanset", "fanmany", "inner", "later"], "a JoinSet, many, a task in a task"),
    Case(["block", "fanblock"], "spawn_blocking"),
    # written when the rule was done, and not used to find it
    Case(["fanstream", "fanselect", "fanblockset", "intime"], "other ways to wait for tasks"),
    Case(["joined", "fanset", "block"], "tasks, one thread", threads="0"),
    Case(["joined", "fanset", "fanmany", "inner", "block"], "tasks, LTO", profile="lto"),
    Case(["joined", "fanset", "fanmany", "inner"], "tasks, stripped", profile="stripped"),
    Case(["joined", "fanset", "fanmany", "inner"], "tasks, LTO, stripped", profile="small"),
    # Where functions have no names, nothing tells what spawn_blocking is given
    Case(["block"], "spawn_blocking, stripped", profile="stripped", recall=0.0),
    # Nobody waits for the flusher; its leader does for a while; who did not start it does
    Case(["flush", "part", "hand"], "a flusher on demand", recall=0.0),
    # tasks that nobody waits for, or only at first, or that the request has only asked
    Case(["after", "leave"], "a task that nobody waits for", recall=0.0),
    Case(["pool", "lazy"], "workers", recall=0.0),
    Case(["mixed"], "a worker with many items at once", recall=0.0),
    Case(["one", "fan", "after", "joined", "pool", "lazy", "mixed", "flush", "block", "fanset"],
         "all mixed", recall=0.0),
], tags=["rust"], needs=["cargo"])
