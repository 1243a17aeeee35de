# SPDX-License-Identifier: Apache-2.0
"""Ruby on Puma: one process with 16 threads. A request that is not there at once is read by the
reactor thread and answered by another."""
from harness import proc
from kit import Case, Row, beside, chain, service

ERRORS = ["err", "timeout", "abort"]


def start(env, case):
    def one(next_url):
        port = proc.free_port()
        argv = ["puma", "-e", "production", "-b", f"tcp://127.0.0.1:{port}"]
        if case.options.get("reactor", True):
            argv += ["-t", "16:16"]
        else:
            conf = env.path("puma.rb")
            with open(conf, "w") as f:
                f.write("queue_requests false\nthreads 96, 96\n")
            argv += ["-C", conf]
        return service(env, "puma", [*argv, beside(__file__, "config.ru")], next_url, port)
    return chain(env, one)


ROW = Row("Ruby, Puma", start, [
    Case(["one", "seq", "none"], tags=["ci"]),
    Case(["post"], "POST"),
    Case(ERRORS, "errors"),
    # The thread is nobody's by then
    Case(["after"], "after the response", recall=0.0),
    Case(["one", "seq", "post"], "no reactor", reactor=False),
    Case(ERRORS, "errors, no reactor", reactor=False),
    # Other threads than the one that serves
    Case(["fan"], "4 new threads", recall=0.0),
    Case(["pool"], "4 threads fed by a queue", recall=0.0),
], tags=["ruby", "threads"], needs=["ruby", "puma"])
