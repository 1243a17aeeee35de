# SPDX-License-Identifier: Apache-2.0
"""FastAPI on uvicorn and asyncio, calling out with httpx (or requests from a `def` endpoint)."""
from harness import apps
from kit import NOISE_MS, Case, Row, Started


def start(env, case):
    leaf, wsgi = apps.leaf(env), apps.leaf(env)
    front = apps.fastapi(env, leaf.url, wsgi.url, noise_ms=NOISE_MS)
    return Started(front, {"f": {front.pid}, "g": {leaf.pid}, "w": {wsgi.pid}}, ("g", "w"))


ROW = Row("uvicorn + httpx", start, [
    Case(["seq"], tags=["ci"]),
    # Tasks that a bound task makes need a second witness: published, honestly unknown, no bar yet
    Case(["gather"], "gather", recall=0.0),
    Case(["post"], "POST"),
    Case(["bg"], "after the response"),
    Case(["def"], "def endpoint + requests"),
], tags=["python", "asyncio"], service="f")
