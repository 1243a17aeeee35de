# SPDX-License-Identifier: Apache-2.0
"""Flask with requests, on the servers that people run it with."""
import os
import urllib.request

from harness import proc
from kit import Case, Row, beside, chain, python, service

PACKAGES = ["flask", "gunicorn", "requests"]
SHAPES = ["one", "seq", "post", "none"]
FAILING = ["err", "timeout", "abort", "one"]


def start(env, case):
    exe = python("python-wsgi", PACKAGES, case.options.get("python", "system"))
    app = beside(__file__, "app.py")

    def one(url):
        port = proc.free_port()
        argv = [exe, app]
        if "gunicorn" in case.options:
            argv = [exe, "-m", "gunicorn", "--chdir", os.path.dirname(app), "-b",
                    f"127.0.0.1:{port}", "--keep-alive", "60", "--no-control-socket",
                    *case.options["gunicorn"], "app:app"]

        def ready():
            try:  # the answer starts the threads
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as r:
                    return r.status == 200
            except OSError:
                return False
        return service(env, "app", argv, url, port=port, ready=ready)
    return chain(env, one)


SYNC = ["-k", "sync", "-w", "2"]
GTHREAD = ["-k", "gthread", "-w", "1", "--threads", "80"]
PRELOAD = ["-k", "gthread", "-w", "2", "--threads", "40", "--preload"]

ROW = Row("Flask", start, [
    Case(SHAPES, "werkzeug + requests"),
    Case(FAILING, "werkzeug + requests, failing"),
    Case(SHAPES, "gunicorn sync + requests", gunicorn=SYNC),
    Case(FAILING, "gunicorn sync + requests, failing", gunicorn=SYNC),
    Case(SHAPES, "gunicorn gthread + requests", gunicorn=GTHREAD),
    Case(FAILING, "gunicorn gthread + requests, failing", gunicorn=GTHREAD),
    Case(SHAPES, "gunicorn preload + requests", gunicorn=PRELOAD),
    Case(SHAPES, "werkzeug + requests, another Python", python="other"),
    Case(["exec", "fan"], "werkzeug, ThreadPoolExecutor"),
    Case(["exec", "fan"], "gunicorn gthread, ThreadPoolExecutor", gunicorn=GTHREAD),
    Case(["exec", "fan"], "werkzeug, ThreadPoolExecutor, another Python", python="other"),
    Case(["pool"], "werkzeug, queue.Queue"),
    # Whoever starts a flusher did not cause what it does for the others
    Case(["flush"], "werkzeug, flusher thread", recall=0.0),
    # The thread is nobody's between two requests
    Case(["after"], "werkzeug, after the response", recall=0.0),
], tags=["python", "threads"])
