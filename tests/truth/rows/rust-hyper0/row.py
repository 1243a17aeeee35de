# SPDX-License-Identifier: Apache-2.0
"""hyper 0.14 on tokio 1.32: written after the rules, and not used to find them."""
from kit import Case, Row, cargo, chain, service


def start(env, case):
    exe = cargo("rust-hyper0", __file__)
    return chain(env, lambda next_url: service(env, "app", [exe], next_url))


ROW = Row("Rust hyper 0.14", start, [
    Case(["one", "seq", "fan", "none"], "tokio 1.32"),
    Case(["news", "lock"], "broadcasts, a lock"),
    Case(["pool"], "a worker", recall=0.0),
], tags=["rust"], needs=["cargo"])
