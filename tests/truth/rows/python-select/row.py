# SPDX-License-Identifier: Apache-2.0
"""A loop around select() in Python: it waits for its listener like gunicorn's default worker, but
serves all at once."""
from kit import Case, Row, beside, chain, python, service


def start(env, case):
    exe = python("python-queue", [])
    return chain(env, lambda url: service(env, "app", [exe, beside(__file__, "app.py")], url))


# Nothing says at which request it is
ROW = Row("Python, select", start, [Case(["one", "seq", "none"], recall=0.0)],
          tags=["python", "threads"])
