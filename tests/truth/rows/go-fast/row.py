# SPDX-License-Identifier: Apache-2.0
"""Go with fasthttp: no ServeHTTP, no roundTrip; the goroutine that writes is the one that asks."""
from kit import Case, Row, beside, chain, go_module, service


def start(env, case):
    exe = go_module("go-fast", beside(__file__, ""))
    return chain(env, lambda url: service(env, "go-fast", [exe], url))


ROW = Row("Go fasthttp", start, [
    Case(["one", "seq", "post", "err"], "own goroutine"),
    Case(["pool"], "workers", recall=0.0),  # nothing leads from the item to its request
], tags=["go"], needs=["go"])
