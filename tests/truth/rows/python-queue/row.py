# SPDX-License-Identifier: Apache-2.0
"""A program's own threads, fed by queue.Queue; written after the rule."""
from kit import Case, Row, beside, chain, python, service


def start(env, case):
    exe = python("python-queue", [], case.options.get("python", "system"))
    more = {"MIXED": "1"} if case.options.get("mixed") else None
    return chain(env, lambda url: service(env, "app", [exe, beside(__file__, "app.py")], url,
                                          more_env=more))


WAITED = ["pool", "future", "reply"]

ROW = Row("Python, queue.Queue", start, [
    Case(WAITED, "one item at a time", tags=["ci"]),
    Case(WAITED, "one item at a time, another Python", python="other"),
    Case(["bounded"], "bounded"),
    # Each is woken by the work of others, too
    Case(["shared"], "one condition for all", recall=0.0),
    # Two items in the hands of a thread: it cannot be told at which it is
    Case(["batch"], "batches", recall=0.0, tags=["ci"], conc=[8]),
    Case(["ahead"], "one ahead", recall=0.0),
    Case(["batch", "pool", "ahead"], "batches and single ones", recall=0.0),
    # Items of nobody come between
    Case(["mix"], "items of nobody", recall=0.0, mixed=True),
    # A list, not a deque
    Case(["lifo"], "LifoQueue", recall=0.0),
], tags=["python", "threads"])
