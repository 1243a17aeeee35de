# SPDX-License-Identifier: Apache-2.0
"""actix-web and awc, whose client writes in the caller's own task: written after the rules, and not
used to find them."""
from kit import Case, Row, cargo, chain, service


def start(env, case):
    exe = cargo("rust-actix", __file__)
    return chain(env, lambda next_url: service(env, "app", [exe], next_url))


ROW = Row("Rust actix-web, awc", start, [
    Case(["one", "seq", "fan", "none"], "own task"),
    Case(["after"], "a task that nobody waits for", recall=0.0),
], tags=["rust"], needs=["cargo"])
