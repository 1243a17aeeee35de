# SPDX-License-Identifier: Apache-2.0
"""Threads of a program's own, fed by queues, in all the ways that come to mind: Python's own HTTP server
and client, nothing else. Obeys tests/truth/README.md."""
import http.client
import os
import queue
import random
import threading
import time
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

NEXT = urlsplit(os.environ["NEXT"])
NOISE = float(os.environ.get("NOISE", "0")) / 1000
local = threading.local()


def nap():
    time.sleep(random.random() * 0.005)


def ask(i, n=0):
    nap()
    conn = getattr(local, "conn", None)
    if conn is None:
        conn = local.conn = http.client.HTTPConnection(NEXT.hostname, NEXT.port)
    conn.request("GET", f"{NEXT.path}/one/{i}/{n}")
    r = conn.getresponse()
    r.read()
    return r.status == 200


# A thread for each item at a time, and the handler waits for an event, a future, a queue of its own
work = queue.Queue()


def worker():
    while True:
        i, give = work.get()
        give(ask(i))


def pool(i):
    done, ok = threading.Event(), []
    work.put((i, lambda r: (ok.append(r), done.set())))
    return done.wait(60) and ok[0]


def future(i):
    f = Future()
    work.put((i, f.set_result))
    return f.result(60)


def reply(i):
    answers = queue.Queue()
    work.put((i, answers.put))
    return answers.get(timeout=60)


# All handlers wait on one condition, and all are woken each time
board, cond = {}, threading.Condition()


def shared(i):
    def give(ok):
        with cond:
            board[i] = ok
            cond.notify_all()
    work.put((i, give))
    with cond:
        cond.wait_for(lambda: i in board, 60)
        return board.pop(i)


# A queue with two places: handlers wait for those, too
narrow = queue.Queue(2)


def bounded(i):
    f = Future()
    narrow.put((i, f))
    return f.result(60)


def narrow_worker():
    while True:
        i, f = narrow.get()
        f.set_result(ask(i))


# Takes all there is before it begins; answers in the order, or the last one first
heap = queue.Queue()


def batch(i):
    f = Future()
    heap.put((i, f))
    return f.result(60)


def batcher():
    while True:
        items = [heap.get()]
        time.sleep(0.002)
        try:
            while True:
                items.append(heap.get_nowait())
        except queue.Empty:
            pass
        done = [(f, ask(i)) for i, f in items]
        for f, ok in reversed(done) if random.random() < 0.5 else done:
            f.set_result(ok)


# Holds the next item while it works on this one
ahead_queue = queue.Queue()


def ahead(i):
    f = Future()
    ahead_queue.put((i, f))
    return f.result(60)


def ahead_worker():
    i, f = ahead_queue.get()
    while True:
        try:
            following = ahead_queue.get(timeout=0.01)
        except queue.Empty:
            following = None
        f.set_result(ask(i))
        i, f = following or ahead_queue.get()


# The last one first: no deque
stack = queue.LifoQueue()


def lifo(i):
    f = Future()
    stack.put((i, f))
    return f.result(60)


def lifo_worker():
    while True:
        i, f = stack.get()
        f.set_result(ask(i))


# Everybody's items, and those of nobody, are made in one thread
mixed = queue.Queue()


def mix(i):
    f = Future()
    mixed.put((i, f))
    return f.result(60)


def mixer():
    while True:
        i, f = mixed.get()
        if not i:
            try:  # first what waits already
                j, g = mixed.get_nowait()
            except queue.Empty:
                j = 0
            noise_call()
            if j:
                g.set_result(ask(j))
            elif f:
                f.set_result(True)
            continue
        f.set_result(ask(i))


def noise_call():
    conn = getattr(local, "conn", None)
    if conn is None:
        conn = local.conn = http.client.HTTPConnection(NEXT.hostname, NEXT.port)
    conn.request("GET", f"{NEXT.path}/noise/0/0")
    conn.getresponse().read()


def noise():
    while True:
        time.sleep(NOISE)
        noise_call()
        if os.environ.get("MIXED"):
            mixed.put((0, None))


SHAPES = {"pool": pool, "future": future, "reply": reply, "shared": shared, "bounded": bounded,
          "batch": batch, "ahead": ahead, "lifo": lifo, "mix": mix}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = self.path.strip("/").split("/")
        ok = SHAPES.get(parts[1], ask)(int(parts[2])) if len(parts) > 2 else True
        nap()
        self.send_response(200 if ok else 500)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    for target, n in ((worker, 4), (narrow_worker, 2), (batcher, 2), (ahead_worker, 2),
                      (lifo_worker, 2), (mixer, 2)):
        for _ in range(n):
            threading.Thread(target=target, daemon=True).start()
    if NOISE:
        threading.Thread(target=noise, daemon=True).start()
    host, port = os.environ["LISTEN"].rsplit(":", 1)
    Server((host, int(port)), Handler).serve_forever()
