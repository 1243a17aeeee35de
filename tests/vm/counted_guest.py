#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The part of counted.py that runs inside the guest; it is called by nothing else.

One nginx serves all runs. A run is: warm up, wait until the worker rests, read its account, send
the requests, wait until it rests, read again. Runs without and with the tracer take turns.
"""
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

WARM_UP = 1000
# Guest seconds. An idle guest's clock jumps ahead to the next timer, so be generous.
PATIENCE_S = 300
REST_S = 1

NGINX_CONF = """
daemon off;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600;
    client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
    uwsgi_temp_path {dir}; scgi_temp_path {dir};
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "hello world\\n"; }}
    }}
}}
"""


class Failed(Exception):
    pass


def read(path):
    with open(path, encoding="ascii", errors="replace") as f:
        return f.read()


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"waited in vain for {what}")
        time.sleep(0.02)


def cpu_ns(pid):
    """Nanoseconds that all threads of a process were on the processor."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        total += int(read(f"/proc/{pid}/task/{task}/schedstat").split()[0])
    return total


def resting(pid):
    """Does every thread of it sleep?"""
    return all(read(f"/proc/{pid}/task/{t}/stat").rpartition(")")[2].split()[0] == "S"
               for t in os.listdir(f"/proc/{pid}/task"))


def start_nginx(folder):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    conf = os.path.join(folder, "nginx.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(NGINX_CONF.format(dir=folder, port=port))
    master = subprocess.Popen(["nginx", "-c", conf, "-e", os.path.join(folder, "error.log")],
                              stdin=subprocess.DEVNULL)
    children = f"/proc/{master.pid}/task/{master.pid}/children"
    wait_for("nginx's worker", lambda: master.poll() is not None or read(children).strip())
    if master.poll() is not None:
        raise Failed("nginx does not start")
    return master, int(read(children)), port


class Tracer:
    """The tracer while it is attached; `with` stops it."""

    def __init__(self, command, ready, folder):
        self.path = os.path.join(folder, "tracer.log")
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        self.pid = self.process.pid
        self.rested_at, self.used = time.monotonic(), -1
        wait_for("the tracer to be attached", lambda: self.attached(ready))

    def attached(self, ready):
        if self.process.poll() is not None:
            raise Failed(f"the tracer ended with {self.process.returncode}: {self.tail()}")
        if ready:
            return ready in read(self.path)
        now, used = time.monotonic(), cpu_ns(self.pid)
        if used != self.used or not resting(self.pid):
            self.rested_at, self.used = now, used
        return now - self.rested_at >= REST_S

    def tail(self):
        return " / ".join(read(self.path).splitlines()[-5:])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failed("the tracer does not stop") from None


def send(load, port, requests, connections):
    done = subprocess.run([load, str(port), str(requests), str(connections)], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode or not done.stdout.startswith(f"{requests} answers,"):
        raise Failed(f"load: {done.stdout.strip()}")


def measure(setup, tracer):
    """(target, tracer) nanoseconds per request."""
    send(setup["load"], setup["port"], WARM_UP, setup["connections"])
    wait_for("nginx to rest", lambda: resting(setup["worker"]))
    before = cpu_ns(setup["worker"]), cpu_ns(tracer.pid) if tracer else 0
    send(setup["load"], setup["port"], setup["requests"], setup["connections"])
    wait_for("nginx to rest", lambda: resting(setup["worker"]))
    if tracer and tracer.process.poll() is not None:
        raise Failed(f"the tracer ended with {tracer.process.returncode}: {tracer.tail()}")
    after = cpu_ns(setup["worker"]), cpu_ns(tracer.pid) if tracer else 0
    return tuple((a - b) / setup["requests"] for a, b in zip(after, before))


def spread(values):
    """How far the values are apart, in percent of their median."""
    return 100 * (max(values) - min(values)) / statistics.median(values)


def rounds(setup, count, command, ready, folder):
    """Runs without the tracer, runs with it, what it used itself: each a list."""
    off, on, own = [], [], []
    filled = [w.replace("{pid}", str(setup["worker"])).replace("{port}", str(setup["port"]))
              for w in command]
    for _ in range(count):
        off.append(measure(setup, None)[0])
        if filled:
            with Tracer(filled, ready, folder) as tracer:
                target, mine = measure(setup, tracer)
        else:
            target, mine = measure(setup, None)
        on.append(target)
        own.append(mine)
        print(f"       off {off[-1]:.0f}   on {on[-1]:.0f}   tracer {own[-1]:.0f}", flush=True)
    return off, on, own


def verdict(off, on, own, limits):
    steady, max_ratio = limits
    ratio = statistics.median(on) / statistics.median(off)
    result = {"kernel": os.uname().release, "off": off, "on": on, "tracer": own, "ratio": ratio,
              "spread_off_percent": spread(off), "spread_on_percent": spread(on)}
    with open("/out/counted.json", "w", encoding="ascii") as f:
        json.dump(result, f, indent=1)
    bad = []
    if max(result["spread_off_percent"], result["spread_on_percent"]) > steady:
        bad.append(f"runs of a kind are more than {steady} % apart")
    if max_ratio and ratio > max_ratio:
        bad.append(f"the ratio is above {max_ratio}")
    print(f"{'FAIL' if bad else 'ok':6} counted {result['kernel']}: instructions of the target per "
          f"request {statistics.median(off):.0f} -> {statistics.median(on):.0f}, ratio "
          f"{ratio:.4f}; spread {result['spread_off_percent']:.2f} % and "
          f"{result['spread_on_percent']:.2f} %; tracer {statistics.median(own):.0f} per request"
          + "".join("; " + b for b in bad))
    return 1 if bad else 0


def main():
    load, requests, connections, count, ready, steady, max_ratio, *tracer = sys.argv[1:]
    folder = tempfile.mkdtemp(prefix="counted-")
    os.chmod(folder, 0o755)
    master = None
    try:
        master, worker, port = start_nginx(folder)
        setup = {"load": load, "port": port, "worker": worker, "requests": int(requests),
                 "connections": int(connections)}
        runs = rounds(setup, int(count), tracer, ready, folder)
        return verdict(*runs, (float(steady), float(max_ratio)))
    except (Failed, OSError) as e:
        print(f"FAIL   counted: {e}")
        return 1
    finally:
        if master and master.poll() is None:
            master.terminate()
            master.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
