# SPDX-License-Identifier: Apache-2.0
"""Go net/http: all the ways from a handler to a call, and what old releases and stripping change."""
import os

from kit import Case, Row, beside, built, chain, go, service

MIXED = ["one", "bare", "fan", "errgroup", "channel", "choose", "nested", "wrapped", "errgroupctx"]


def build(release, strip):
    source = beside(__file__, "app.go")
    if not release:
        return go("go-net", source)
    name = f"go-net-{release}"
    flags = ["-ldflags=-s -w"] if strip else []
    return os.path.join(built(name, [source], ["go", "build", *flags, "-o", name, "app.go"],
                              env={"GO111MODULE": "off", "GOTOOLCHAIN": "go" + release},
                              fetch=True), name)


def start(env, case):
    exe = build(case.options.get("release"), case.options.get("strip"))
    more = {"MAX_CONNS": str(case.options.get("max_conns", 0))}
    return chain(env, lambda next_url: service(env, "app", [exe], next_url, more_env=more))


ROW = Row("Go net/http", start, [
    Case(["one", "bare", "seq", "post"], "own goroutine"),
    Case(["fan", "errgroup"], "goroutines joined by WaitGroup", tags=["ci"]),
    Case(["channel", "choose", "nested", "wrapped"], "goroutines joined by channel"),
    Case(["errgroupctx", "poolctx", "lazyctx"], "context passed on", tags=["ci"]),
    Case(["one", "fan"], "MaxConnsPerHost", max_conns=4),
    Case(["after"], "after the answer, with context"),
    Case(["err", "timeout", "abort"], "calls that fail"),
    Case(MIXED, "1.20, stripped", release="1.20.14", strip=True),
    Case(MIXED, "1.22, stripped", release="1.22.12", strip=True),
    # before 1.20 a wait for a WaitGroup looks like one for a lock
    Case(["one", "bare", "channel", "choose", "nested", "errgroupctx"], "1.18", release="1.18.10"),
    # what nothing proves: never wrong
    Case(["pool", "lazy"], "workers without context", recall=0.0),
    Case(["flush"], "flusher on demand", recall=0.0, tags=["ci"]),
    Case(["bg"], "after the answer, without context", recall=0.0),
    Case(["one", "fan", "channel", "pool", "lazy", "flush", "errgroupctx"], "all at once",
         recall=0.0),
], tags=["go"], needs=["go"])
