# SPDX-License-Identifier: Apache-2.0
"""nginx as a proxy in front of the C leaf, which answers as service f."""
from harness import apps
from kit import Case, Row, Started


def start(env, case):
    leaf = apps.leaf(env)
    front = apps.nginx(env, f"127.0.0.1:{leaf.port}", workers=case.options.get("workers", 1))
    return Started(front, {"n": {front.pid}, "f": {leaf.pid}}, ("f",))


ROW = Row("nginx, proxy", start, [Case(["one"], tags=["ci"]),
                                  Case(["one"], "2 workers", workers=2)],
          tags=["nginx"], needs=["nginx"], service="n")
