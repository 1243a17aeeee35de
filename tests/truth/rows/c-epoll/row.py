# SPDX-License-Identifier: Apache-2.0
"""The leaf itself: a C server on one epoll loop that calls nobody."""
from harness import apps
from kit import Case, Row, Started


def start(env, case):
    front = apps.leaf(env)
    return Started(front, {"l": {front.pid}})


ROW = Row("C epoll (no calls)", start, [Case(["one"], tags=["ci"])], tags=["c"], service="l")
