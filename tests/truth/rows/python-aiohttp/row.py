# SPDX-License-Identifier: Apache-2.0
"""aiohttp's server with aiohttp's client: one task per connection."""
from kit import Case, Row, beside, chain, python, service


def start(env, case):
    exe = python("python-aiohttp", ["aiohttp", "uvloop"], case.options.get("python", "system"))
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
    # uvloop writes in its own context, whoever asked for it: honestly unknown
    *cases("uvloop", recall=0.0, loop="uvloop"),
    *cases("asyncio, another Python", python="other"),
], tags=["python", "asyncio"])
