# SPDX-License-Identifier: Apache-2.0
"""Flask on werkzeug, one thread per connection, calling out with requests."""
from harness import apps
from kit import Case, Row, Started


def start(env, case):
    leaf = apps.leaf(env)
    front = apps.flask(env, leaf.url)
    return Started(front, {"w": {front.pid}, "g": {leaf.pid}}, ("g",))


ROW = Row("Flask threads + requests", start, [Case(["seq", "one", "post"], tags=["ci"])],
          tags=["python", "threads"], service="w")
