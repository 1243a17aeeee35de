# SPDX-License-Identifier: Apache-2.0
"""actix-web and awc, whose client writes in the caller's own task: written after the rules, and not
used to find them."""
import os

from kit import Case, Row, beside, built, chain, need, service


def start(env, case):
    need("cargo")
    here = [beside(__file__, name) for name in ("Cargo.toml", "Cargo.lock", "src")]
    folder = built("rust-actix", here, ["cargo", "build", "--quiet", "--locked", "--release"],
                   fetch=True)
    exe = os.path.join(folder, "target", "release", "app")
    return chain(env, lambda next_url: service(env, "app", [exe], next_url))


ROW = Row("Rust actix-web, awc", start, [
    Case(["one", "seq", "fan", "none"], "own task"),
    Case(["after"], "a task that nobody waits for", recall=0.0),
], tags=["rust"], needs=["cargo"])
