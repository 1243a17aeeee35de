# SPDX-License-Identifier: Apache-2.0
"""aiohttp's server with aiohttp's client: one task per connection."""
from kit import Case, Row, beside, chain, python, service


def start(env, case):
    uvloop = case.options.get("uvloop")
    exe = python("python-aiohttp" + ("-uvloop" if uvloop else ""),
                 ["aiohttp", "uvloop" + (f"=={uvloop}" if uvloop else "")],
                 case.options.get("python", "system"))
    more = {"LOOP": case.options.get("loop", "asyncio")}
    return chain(env, lambda url: service(env, "app", [exe, beside(__file__, "app.py")], url,
                                          more_env=more))


def cases(name, recall=0.99, **options):
    return [Case(["one", "seq", "post", "none"], name, recall, **options),
            Case(["err", "timeout", "abort", "one"], f"{name}, failing", recall, **options),
            Case(["fan", "wait"], f"{name}, tasks", recall, **options),
            # A task that the owner of a connection started: nobody waits for it
            Case(["after"], f"{name}, after the response", recall=0.0, **options)]


ROW = Row("aiohttp", start, [
    *cases("asyncio"),
    *cases("uvloop", loop="uvloop"),
    # Before 0.23 it writes at the end of the loop's turn, in a context of its own
    *cases("uvloop 0.22", loop="uvloop", uvloop="0.22.1"),
    *cases("asyncio, another Python", python="other"),
], tags=["python", "asyncio"])
