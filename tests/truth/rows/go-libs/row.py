# SPDX-License-Identifier: Apache-2.0
"""Go: concurrency by libraries, and batches that one goroutine works off for many."""
from kit import Case, Row, beside, chain, go_module, service


def start(env, case):
    exe = go_module("go-libs", beside(__file__, ""))
    return chain(env, lambda url: service(env, "go-libs", [exe], url))


ROW = Row("Go libraries", start, [
    Case(["conc"], "conc"),
    Case(["flight", "slots"], "singleflight and semaphore"),
    Case(["errgroup", "concpool"], "errgroup and conc, limited"),
    # The channel that the request waits for is three pointers away from what its goroutine holds
    Case(["flightchan"], "singleflight by channel", recall=0.0),
    Case(["batch"], "batches", recall=0.0),  # an item does not say whose it is
], tags=["go"], needs=["go"])
