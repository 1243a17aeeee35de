# SPDX-License-Identifier: Apache-2.0
"""Go: calls made by workers that a channel feeds, and by a flusher started on demand."""
from kit import Case, Row, beside, chain, go, service


def start(env, case):
    exe = go("go-pool", beside(__file__, "app.go"))
    return chain(env, lambda url: service(env, "go-pool", [exe], url))


ROW = Row("Go channel pool", start, [
    Case(["poolctx"], "with the request's context", tags=["ci"]),
    # Nothing leads from the item to its request
    Case(["pool"], "without context", recall=0.0),
    Case(["flush"], "flusher on demand", recall=0.0, tags=["ci"]),
], tags=["go"], needs=["go"])
