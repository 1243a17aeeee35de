# SPDX-License-Identifier: Apache-2.0
"""hyper 0.14 on tokio 1.32: written after the rules, and not used to find them."""
import os

from kit import Case, Row, beside, built, chain, need, service


def start(env, case):
    need("cargo")
    here = [beside(__file__, name) for name in ("Cargo.toml", "Cargo.lock", "src")]
    folder = built("rust-hyper0", here, ["cargo", "build", "--quiet", "--locked", "--release"],
                   fetch=True)
    exe = os.path.join(folder, "target", "release", "app")
    return chain(env, lambda next_url: service(env, "app", [exe], next_url))


ROW = Row("Rust hyper 0.14", start, [
    Case(["one", "seq", "fan", "none"], "tokio 1.32"),
    Case(["news", "lock"], "broadcasts, a lock"),
    Case(["pool"], "a worker", recall=0.0),
], tags=["rust"], needs=["cargo"])
