# SPDX-License-Identifier: Apache-2.0
"""A Flask application for threaded servers, calling out with requests. Obeys
tests/truth/README.md. Run as a program: werkzeug's own server, one thread per connection."""
import os
import queue
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests
from flask import Flask, request

NEXT = os.environ["NEXT"]
NOISE = float(os.environ.get("NOISE", "0")) / 1000
ASKS = {"err": "err", "timeout": "hang", "abort": "abort", "post": "post"}

app = Flask(__name__)
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=128))
items, batch, lock = queue.Queue(), [], threading.Lock()
started = {}


def ask(shape, i, n, k="", body=None):
    time.sleep(random.random() * 0.005)
    url = f"{NEXT}/{ASKS.get(shape, 'one')}/{i}/{k + '-' if k else ''}{n}"
    timeout = 0.1 if shape == "timeout" else 60
    try:
        r = session.post(url, data=body) if body is not None else session.get(url, timeout=timeout)
        return r.status_code == 200
    except requests.RequestException:
        return False


class Item:
    def __init__(self, i):
        self.i, self.ok, self.done = i, False, threading.Event()

    def work(self):
        self.ok = ask("one", self.i, 0)
        self.done.set()

    def wait(self):
        self.done.wait(60)
        return self.ok


def worker():
    while True:
        items.get().work()


def flusher():
    while True:
        with lock:
            mine = list(batch)
            batch.clear()
            if not mine:
                started.pop("flusher", None)
                return
        for item in mine:
            item.work()


def noise():
    with requests.Session() as own:
        while True:
            time.sleep(NOISE)
            own.get(f"{NEXT}/noise/0/0")


def start_threads():
    """In the process that serves: threads do not outlive a fork."""
    with lock:
        if started.get("pid") == os.getpid():
            return
        started.update(pid=os.getpid(), executor=ThreadPoolExecutor(16))
        threads = [threading.Thread(target=worker, daemon=True) for _ in range(4)]
        if NOISE:
            threads.append(threading.Thread(target=noise, daemon=True))
        for t in threads:
            t.start()


def work(shape, i, k):
    if shape == "none":
        return True
    if shape == "seq":
        return all([ask(shape, i, n, k) for n in range(3)])
    if shape == "fan":
        return all(list(started["executor"].map(lambda n: ask(shape, i, n, k), range(4))))
    if shape == "exec":
        return started["executor"].submit(ask, shape, i, 0, k).result()
    if shape == "pool":
        item = Item(i)
        items.put(item)
        return item.wait()
    if shape == "flush":
        item = Item(i)
        with lock:
            batch.append(item)
            if "flusher" not in started:
                started["flusher"] = threading.Thread(target=flusher)
                started["flusher"].start()
        return item.wait()
    return ask(shape, i, 0, k, request.get_data() if shape == "post" else None)


@app.route("/<service>/<shape>/<int:i>", methods=["GET", "POST"], defaults={"k": ""})
@app.route("/<service>/<shape>/<int:i>/<k>", methods=["GET", "POST"])
def handler(service, shape, i, k):
    start_threads()
    if shape == "after":
        from flask import Response
        later = Response("ok")
        later.call_on_close(lambda: ask(shape, i, 0, k))
        return later
    ok = work(shape, i, k)
    time.sleep(random.random() * 0.005)
    return ("ok", 200) if ok else ("failed", 500)


@app.route("/ready")
def ready():
    start_threads()
    return "ready"


if __name__ == "__main__":
    from werkzeug.serving import WSGIRequestHandler, run_simple
    WSGIRequestHandler.protocol_version = "HTTP/1.1"  # keep-alive; the default is 1.0
    WSGIRequestHandler.log_request = lambda *args, **kwargs: None
    host, port = os.environ["LISTEN"].rsplit(":", 1)
    run_simple(host, int(port), app, threaded=True)
