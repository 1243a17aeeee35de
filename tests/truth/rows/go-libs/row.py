# SPDX-License-Identifier: Apache-2.0
"""Go: concurrency by libraries, and batches that one goroutine works off for many."""
from kit import Case, Row, beside, chain, go_module, service


def start(env, case):
    exe = go_module("go-libs", beside(__file__, ""))
    return chain(env, lambda url: service(env, "go-libs", [exe], url))


ROW = Row("Go libraries", start, [
    Case(["errgroup", "conc", "concpool"], "errgroup and conc"),
    Case(["flight", "flightchan", "slots"], "singleflight and semaphore"),
    Case(["batch"], "batches", recall=0.0),  # an item does not say whose it is
], tags=["go"], needs=["go"])
