# SPDX-License-Identifier: Apache-2.0
"""One thread, one select(): reads what it accepts at once, calls out, and answers when the answer is there.
Obeys tests/truth/README.md."""
import heapq
import os
import random
import select
import socket
import time
from urllib.parse import urlsplit

NEXT = urlsplit(os.environ["NEXT"])
NOISE = float(os.environ.get("NOISE", "0")) / 1000
idle, later = [], []  # connections to the service behind; (when, number, what)
busy = {}  # of those: what is to be done with the answer
inputs, number = {}, 0


def after(seconds, what):
    global number
    number += 1
    heapq.heappush(later, (time.monotonic() + seconds, number, what))


def nap():
    return random.random() * 0.005


def ask(path, done):
    conn = idle.pop() if idle else socket.create_connection((NEXT.hostname, NEXT.port))
    busy[conn] = done
    conn.sendall(f"GET {NEXT.path}/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def answered(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        data += conn.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    size = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:"))
    while len(body) < size:
        body += conn.recv(65536)
    idle.append(conn)
    busy.pop(conn)(b" 200 " in head)


def answer(conn, ok):
    conn.sendall(b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nok" % (b"200 OK" if ok else b"500 Failed"))
    inputs[conn] = b""


def read(conn):
    data = inputs[conn] + conn.recv(65536)
    if not data:
        del inputs[conn]
        conn.close()
        return
    inputs[conn] = data
    if b"\r\n\r\n" not in data:
        return
    parts = data.split()[1].decode().strip("/").split("/")
    if len(parts) < 3:
        answer(conn, True)
        return
    if parts[1] == "none":
        after(nap(), lambda: answer(conn, True))
        return

    def calls(n, ok=True):
        if n < (3 if parts[1] == "seq" else 1):
            after(nap(), lambda: ask(f"one/{parts[2]}/{n}", lambda r: calls(n + 1, ok and r)))
        else:
            after(nap(), lambda: answer(conn, ok))
    calls(0)


def noise():
    after(NOISE, noise)
    ask("noise/0/0", lambda ok: None)


def main():
    host, port = os.environ["LISTEN"].rsplit(":", 1)
    listener = socket.create_server((host, int(port)), backlog=128)
    if NOISE:
        after(NOISE, noise)
    while True:
        wait = max(0, later[0][0] - time.monotonic()) if later else None
        ready, _, _ = select.select([listener, *inputs, *busy], [], [], wait)
        for s in ready:
            if s is listener:
                conn, _ = listener.accept()
                inputs[conn] = b""
                read(conn)
            elif s in busy:
                answered(s)
            else:
                read(s)
        while later and later[0][0] <= time.monotonic():
            heapq.heappop(later)[2]()


main()
