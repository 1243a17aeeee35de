# SPDX-License-Identifier: Apache-2.0
"""FastAPI on uvicorn: both loops, both clients, every way to start a task."""
from kit import Case, Row, beside, chain, python, service

PACKAGES = ["fastapi", "uvicorn", "uvloop", "httptools", "httpx", "aiohttp", "requests"]
SHAPES = ["one", "seq", "post", "none"]
FAILING = ["err", "timeout", "abort", "one"]
JOINED = ["fan", "wait", "nest", "spawn", "group"]


def start(env, case):
    packages, name = PACKAGES, "python-asgi"
    if "uvloop" in case.options:
        packages, name = [*PACKAGES, "uvloop==" + case.options["uvloop"]], name + "-uvloop"
        packages.remove("uvloop")
    exe = python(name, packages, case.options.get("python", "system"))
    more = {"LOOP": case.options.get("loop", "asyncio"), "CLIENT": case.options["client"],
            "HTTP": case.options.get("http", "httptools")}
    return chain(env, lambda url: service(env, "app", [exe, beside(__file__, "app.py")], url,
                                          more_env=more))


def cases(name, recall=0.99, **options):
    for client in ("httpx", "aiohttp"):
        yield Case(SHAPES, f"{name} + {client}", client=client, recall=recall,
                   **options)
        yield Case(FAILING, f"{name} + {client}, failing", client=client, recall=recall,
                   **options)
        yield Case(["after"], f"{name} + {client}, after the response", client=client, recall=recall,
                   **options)
        yield Case(JOINED, f"{name} + {client}, tasks", client=client, recall=recall,
                   **options)


ROW = Row("FastAPI", start, [
    *cases("asyncio"),
    *cases("uvloop", loop="uvloop"),
    # Before 0.23 it writes at the end of the loop's turn, in a context of its own
    *cases("uvloop 0.22", loop="uvloop", uvloop="0.22.1"),
    *cases("asyncio, another Python", python="other"),
    Case(SHAPES, "asyncio, h11 + httpx", client="httpx", http="h11"),
    Case(["def"], "asyncio, def endpoint + requests", client="httpx"),
    Case(["def"], "uvloop, def endpoint + requests", client="httpx", loop="uvloop"),
    Case(["exec", "thread"], "asyncio, threads + requests", client="httpx"),
    Case(["exec", "thread"], "uvloop, threads + requests", client="httpx", loop="uvloop"),
    # Whoever starts a flusher did not cause what it does for the others: wrong must be 0
    Case(["flush"], "asyncio + httpx, flusher", client="httpx", recall=0.0),
    Case(["flushg"], "asyncio + httpx, flusher with gather", client="httpx", recall=0.0),
    Case(["flush", "fan", "one"], "asyncio + aiohttp, flusher and tasks", client="aiohttp",
         recall=0.0),
    # Nothing says whose item a worker has taken
    Case(["flush"], "uvloop 0.22 + httpx, flusher", client="httpx", loop="uvloop", uvloop="0.22.1",
         recall=0.0),
    Case(["pool"], "asyncio + httpx, queue", client="httpx", recall=0.0),
    Case(["pool"], "uvloop + httpx, queue", client="httpx", loop="uvloop", recall=0.0),
], tags=["python", "asyncio"])
