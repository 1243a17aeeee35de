# SPDX-License-Identifier: Apache-2.0
"""Servers that were written down after the rules: Starlette on Hypercorn, Sanic."""
import urllib.request

from harness import proc
from kit import Case, Row, beside, chain, python, service

PACKAGES = ["starlette", "hypercorn", "sanic", "uvloop", "httpx", "aiohttp"]


def start(env, case):
    exe = python("python-late", PACKAGES)
    more = {"LOOP": case.options["loop"], "SERVER": case.options["server"]}

    def one(url):
        port = proc.free_port()

        def ready():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as r:
                    return r.status == 200
            except OSError:
                return False
        return service(env, "app", [exe, beside(__file__, "app.py")], url, port=port, ready=ready,
                       more_env=more)
    return chain(env, one)


def cases():
    for server, client in (("hypercorn", "httpx"), ("sanic", "aiohttp")):
        for loop in ("asyncio", "uvloop"):
            for shapes, name in ((["one", "seq", "post", "none"], ""),
                                 (["err", "timeout", "abort", "one"], ", failing"),
                                 (["fan"], ", tasks")):
                yield Case(shapes, f"{server} on {loop}, {client}{name}", server=server, loop=loop)


ROW = Row("Python, late", start, list(cases()), tags=["python", "asyncio"])
