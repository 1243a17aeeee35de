# SPDX-License-Identifier: Apache-2.0
"""Servers that were written down after the rules: Starlette on Hypercorn, Sanic; a late uvloop."""
import urllib.request

from harness import proc
from kit import Case, Row, beside, chain, python, service

PACKAGES = ["starlette", "hypercorn", "sanic", "uvloop", "httpx", "aiohttp"]


def start(env, case):
    pinned = case.options.get("uvloop", "")
    exe = python("python-late" + (pinned and "-uvloop"),
                 [p + pinned if p == "uvloop" else p for p in PACKAGES])
    more = {"LOOP": case.options["loop"], "SERVER": case.options["server"],
            "CHANGE_AT": str(case.options.get("at", 0))}

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
    # In the second round of warm-up, which clew sees; it is a moment later that clew looks again
    for pinned in ("", "==0.22.1"):
        yield Case(["one", "seq", "post", "none"], f"uvloop{pinned} imported while traced, aiohttp",
                   recall=0.0, conc=[8], server="changes", loop="asyncio", at=8 * 2 + 8,
                   uvloop=pinned)
    for server, client in (("hypercorn", "httpx"), ("sanic", "aiohttp")):
        for loop in ("asyncio", "uvloop"):
            for shapes, name in ((["one", "seq", "post", "none"], ""),
                                 (["err", "timeout", "abort", "one"], ", failing"),
                                 (["fan"], ", tasks")):
                yield Case(shapes, f"{server} on {loop}, {client}{name}", server=server, loop=loop)


ROW = Row("Python, late", start, list(cases()), tags=["python", "asyncio"])
