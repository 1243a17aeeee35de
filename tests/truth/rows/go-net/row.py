# SPDX-License-Identifier: Apache-2.0
"""Go net/http: all the ways from a handler to a call."""
from kit import Case, Row, beside, chain, go, service


def cases():
    return [
        Case(["one", "bare", "seq", "post"], "own goroutine"),
        Case(["fan", "group"], "goroutines joined by WaitGroup", tags=["ci"]),
        Case(["channel", "choose", "nested", "wrapped"], "goroutines joined by channel"),
        Case(["groupctx", "poolctx", "lazyctx"], "context passed on", tags=["ci"]),
        Case(["one", "fan"], "MaxConnsPerHost", max_conns=4),
        Case(["after"], "after the answer, with context"),
        Case(["err", "timeout", "abort"], "calls that fail"),
        # what nothing proves: never wrong
        Case(["pool", "lazy"], "workers without context", recall=0.0),
        Case(["flush"], "flusher on demand", recall=0.0, tags=["ci"]),
        Case(["bg"], "after the answer, without context", recall=0.0),
        Case(["one", "fan", "channel", "pool", "lazy", "flush", "groupctx"], "all at once",
             recall=0.0),
    ]


def start_with(name, toolchain=None, flags=""):
    env = {"GOTOOLCHAIN": toolchain} if toolchain else {}

    def start(env_, case):
        exe = go(name, beside(__file__, "app.go"), {**env, "GOFLAGS": flags})
        more = {"MAX_CONNS": str(case.options.get("max_conns", 0))}
        return chain(env_, lambda next_url: service(env_, "app", [exe], next_url, more_env=more))
    return start


ROW = Row("Go net/http", start_with("go-net"), cases(), tags=["go"], needs=["go"])
