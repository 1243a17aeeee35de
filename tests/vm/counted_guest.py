#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The part of counted.py that runs inside the guest; it is called by nothing else.

Its argument is a job as JSON: {"load": PROGRAM, "gosvc": PROGRAM, "requests": n, "connections": n,
"rounds": n, "steady": percent, "runs": [{"row": ROW, "name": NAME, "tracer": [...], "ready": TEXT}]}.
One server of a row serves all its runs. A run is: warm up, wait until the server rests, read its
account, send the requests, wait until it rests, read again. Runs without and with the tracer take
turns. A row is nginx, go (net/http), redis, or bystander: an nginx beside the tracer, which is
given the pid of a process that sleeps.
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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def accepts(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def start_plain(command, port, **env):
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              env=dict(os.environ, **env))
    wait_for(command[0], lambda: server.poll() is not None or accepts(port))
    if server.poll() is not None:
        raise Failed(f"{command[0]} does not start")
    return server, server.pid, port


def start_server(row, job, folder):
    """(process to stop, pid that does the work, port)"""
    if row in ("nginx", "bystander"):
        return start_nginx(folder)
    port = free_port()
    if row == "go":  # a run is too short for its collector: a cycle more or less were 5 %
        return start_plain([job["gosvc"], "-quick", "-listen", f"127.0.0.1:{port}"], port,
                           GOGC="off")
    # what it does by the clock is nobody's request
    return start_plain(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                        "--appendonly", "no", "--hz", "1", "--dynamic-hz", "no", "--dir", folder],
                       port)


def start_nginx(folder):
    port = free_port()
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


def send(setup, requests):
    if setup["row"] == "redis":
        command = ["redis-benchmark", "-p", str(setup["port"]), "-c", str(setup["connections"]),
                   "-n", str(requests), "-t", "get", "--csv"]
        want = '"test"'
    else:
        command = [setup["load"], str(setup["port"]), str(requests), str(setup["connections"])]
        want = f"{requests} answers,"
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode or not done.stdout.startswith(want):
        raise Failed(f"load: {done.stdout.strip()}")


def measure(setup, tracer):
    """(target, tracer) nanoseconds per request."""
    send(setup, WARM_UP)
    wait_for("the server to rest", lambda: resting(setup["worker"]))
    before = cpu_ns(setup["worker"]), cpu_ns(tracer.pid) if tracer else 0
    send(setup, setup["requests"])
    wait_for("the server to rest", lambda: resting(setup["worker"]))
    if tracer and tracer.process.poll() is not None:
        raise Failed(f"the tracer ended with {tracer.process.returncode}: {tracer.tail()}")
    after = cpu_ns(setup["worker"]), cpu_ns(tracer.pid) if tracer else 0
    return tuple((a - b) / setup["requests"] for a, b in zip(after, before))


def spread(values):
    """How far the values are apart, in percent of their median."""
    return 100 * (max(values) - min(values)) / statistics.median(values)


def rounds(setup, count, run, folder):
    """Runs without the tracer, runs with it, what it used itself: each a list."""
    off, on, own = [], [], []
    filled = [w.replace("{pid}", str(setup["pid"])).replace("{port}", str(setup["port"]))
              for w in run["tracer"]]
    for _ in range(count):
        off.append(measure(setup, None)[0])
        if filled:
            with Tracer(filled, run["ready"], folder) as tracer:
                target, mine = measure(setup, tracer)
        else:
            target, mine = measure(setup, None)
        on.append(target)
        own.append(mine)
        print(f"       {setup['row']} {run['name']}: off {off[-1]:.0f}   on {on[-1]:.0f}   "
              f"tracer {own[-1]:.0f}", flush=True)
    return off, on, own


def verdict(run, off, on, own, steady):
    result = {"kernel": os.uname().release, "row": run["row"], "name": run["name"], "off": off,
              "on": on, "tracer": own, "ratio": statistics.median(on) / statistics.median(off),
              "spread_percent": max(spread(off), spread(on))}
    result["steady"] = result["spread_percent"] <= steady
    print(f"{'ok' if result['steady'] else 'FAIL':6} counted {result['kernel']}, {run['row']} "
          f"{run['name']}: instructions of the target per request {statistics.median(off):.0f} -> "
          f"{statistics.median(on):.0f}, ratio {result['ratio']:.4f}; spread "
          f"{result['spread_percent']:.2f} % (<= {steady:g}); tracer "
          f"{statistics.median(own):.0f} per request", flush=True)
    return result


def run_row(row, job, folder):
    stop, worker, port = start_server(row, job, folder)
    idle = subprocess.Popen(["sleep", "1000000"]) if row == "bystander" else None
    results = []
    try:
        setup = {**job, "row": row, "port": port, "worker": worker,
                 "pid": idle.pid if idle else worker}
        for run in job["runs"]:
            if run["row"] == row:
                results.append(verdict(run, *rounds(setup, job["rounds"], run, folder),
                                       job["steady"]))
    finally:
        for process in (stop, idle):
            if process and process.poll() is None:
                process.terminate()
                process.wait()
    return results


def main():
    job = json.loads(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="counted-")
    os.chmod(folder, 0o755)
    results = []
    try:
        for row in dict.fromkeys(r["row"] for r in job["runs"]):
            results += run_row(row, job, folder)
            with open("/out/counted.json", "w", encoding="ascii") as f:
                json.dump(results, f, indent=1)
        return 0 if all(r["steady"] for r in results) else 1
    except (Failed, OSError) as e:
        print(f"FAIL   counted: {e}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
