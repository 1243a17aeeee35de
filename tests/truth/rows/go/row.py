# SPDX-License-Identifier: Apache-2.0
"""Go net/http."""
from harness import apps
from kit import NOISE_MS, Case, Row, Started


def start(env, case):
    leaf = apps.leaf(env)
    front = apps.gosvc(env, leaf.url, noise_ms=NOISE_MS)
    return Started(front, {"g": {front.pid}, "l": {leaf.pid}})


ROW = Row("Go net/http", start, [
    Case(["one", "seq"], tags=["ci"]),
    Case(["fan"], "goroutines with context"),
    Case(["post"], "POST"),
], tags=["go"], needs=["go"], service="g")
