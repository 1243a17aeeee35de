# SPDX-License-Identifier: Apache-2.0
"""The real servers under test, each on its own free port, and the chain made of them."""
import json
import os
import subprocess

from . import proc
from .proc import APPS, BIN, PYTHON, accepts, accepts_unix, free_port

NGINX = """\
{user}
daemon off;
pid {dir}/nginx-{port}.pid;
error_log {dir}/nginx-{port}.err warn;
worker_processes {workers};
worker_rlimit_nofile {files};
events {{ worker_connections {conns}; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 60s;
    client_max_body_size 64m;
    client_body_temp_path {dir}/nginx-{port}-body;
    proxy_temp_path {dir}/nginx-{port}-proxy;
    fastcgi_temp_path {dir}/nginx-{port}-fcgi;
    uwsgi_temp_path {dir}/nginx-{port}-uwsgi;
    scgi_temp_path {dir}/nginx-{port}-scgi;
    sendfile on;
    tcp_nodelay on;
{upstream}
    server {{
        listen {listen};
        location = /ready {{ return 200 "ready"; }}
        location = /tiny {{ return 200 "hello world\\n"; }}
        location /files/ {{ alias {dir}/files/; }}
{locations}
    }}
}}
"""
UPSTREAM = """
    upstream behind {{ server {server}; keepalive 128; keepalive_requests 100000000; }}
"""
PROXY = """
        location /n/ {{
            proxy_pass http://behind/f/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout {timeout}s;
        }}
"""


def nginx(env, upstream=None, host="127.0.0.1", workers=1, locations="", top="", reuse="",
          conns=2048):
    """An nginx with its own configuration. `upstream`: HOST:PORT or unix:PATH behind /n/."""
    port = free_port(host)
    listen = (f"[{host}]" if ":" in host else host) + f":{port}"
    conf = env.path(f"nginx-{port}.conf")
    with open(conf, "w") as f:
        f.write(NGINX.format(
            user="user root;" if os.geteuid() == 0 else "", dir=env.dir, port=port,
            workers=workers, conns=conns, files=2 * conns, listen=listen + reuse,
            upstream=(UPSTREAM.format(server=upstream) if upstream else "") + top,
            locations=(PROXY.format(timeout=int(60 * proc.SCALE)) if upstream else "") +
            locations))
    p = env.start("nginx", ["nginx", "-e", env.path(f"nginx-{port}.err"), "-p", env.dir, "-c", conf],
                  env={"PATH": os.environ["PATH"] + ":/usr/sbin"})
    p.host, p.port = host, port
    env.started(p, lambda: accepts(host, port) and len(p.children()) >= workers)
    return p


def leaf(env, host="127.0.0.1", delay_ms=5, unix=None, port=None):
    argv = [os.path.join(BIN, "leaf"), "-d", delay_ms]
    if unix:
        p = env.start("leaf", argv + ["-u", unix])
        p.url = None
        return env.started(p, lambda: accepts_unix(unix))
    p_port = port or free_port(host)
    p = env.start("leaf", argv + ["-a", host, "-p", p_port])
    return _tcp(env, p, host, p_port)


def _tcp(env, p, host, port):
    p.host, p.port = host, port
    p.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return env.started(p, lambda: accepts(host, port))


def gosvc(env, leaf_url="", host="127.0.0.1", noise_ms=0, args=(), exe=None):
    port = free_port(host)
    listen = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    p = env.start("gosvc", [exe or os.path.join(BIN, "gosvc"), "-listen", listen, "-leaf", leaf_url,
                            "-noise", f"{noise_ms}ms", *args])
    return _tcp(env, p, host, port)


def flask(env, go_url, host="127.0.0.1"):
    port = free_port(host)
    p = env.start("flask", [PYTHON, os.path.join(APPS, "wsgi.py")],
                  env={"LISTEN": f"{host}:{port}", "GO": go_url, "PYTHONUNBUFFERED": "1"})
    return _tcp(env, p, host, port)


def fastapi(env, go_url="", wsgi_url="", noise_ms=0, host="127.0.0.1", uds=None, storm=0):
    port = free_port(host)
    p = env.start("fastapi", [PYTHON, os.path.join(APPS, "fast.py")], env={
        "LISTEN": f"unix:{uds}" if uds else f"{host}:{port}", "GO": go_url, "WSGI": wsgi_url,
        "NOISE": str(noise_ms), "STORM": str(storm), "PYTHONUNBUFFERED": "1"})
    if uds:
        return env.started(p, lambda: accepts_unix(uds))
    return _tcp(env, p, host, port)


class Chain:
    """nginx -> FastAPI -> {Flask -> Go, Go} -> leaf, with background calls in FastAPI and Go."""

    SHAPES = ("one", "seq", "post", "err", "slow")
    ends = ("l",)

    def __init__(self, env, noise_ms=25):
        noise_ms = round(noise_ms * proc.SCALE)  # it is to be there, not to fill the machine
        self.env = env
        self.leaf = leaf(env)
        self.go = gosvc(env, self.leaf.url, noise_ms=noise_ms)
        self.flask = flask(env, self.go.url)
        self.fast = fastapi(env, self.go.url, self.flask.url, noise_ms=noise_ms)
        self.nginx = nginx(env, f"127.0.0.1:{self.fast.port}")
        self.front = self.nginx

    def pids(self):
        """Who is who: {service letter: pids}."""
        return {"n": set(self.nginx.pids()), "f": {self.fast.pid}, "w": {self.flask.pid},
                "g": {self.go.pid}, "l": {self.leaf.pid}}

    def selectors(self):
        return [a for pids in self.pids().values() for p in sorted(pids) for a in ("--pid", p)]


class Load:
    """A run of the load generator; the ids of all runs of one environment differ."""

    def __init__(self, env, port, conc=1, count=None, prefix="/n", shapes=("one",), host=None,
                 rate=None, seconds=None, per_conn=None, header=None, unix=None, timeout=30, via=()):
        self.first = getattr(env, "next_id", 1)
        env.next_id = self.first + (count or 10_000_000)
        self.records_path = env.path(f"records-{self.first}.jsonl")
        if count and seconds:
            seconds *= proc.SCALE  # a deadline, not a duration
        argv = [*via, os.path.join(BIN, "load"), "-p", port, "-c", conc, "-i", self.first,
                "-t", prefix, "-o", self.records_path, "-w", timeout * proc.SCALE]
        for s in shapes:
            argv += ["-s", s]
        for flag, v in (("-n", count), ("-r", rate), ("-d", seconds), ("-k", per_conn),
                        ("-H", header), ("-u", unix), ("-a", host)):
            if v is not None:
                argv += [flag, v]
        self.proc = env.start("load", argv)

    def wait(self, seconds=60):
        if self.proc.wait(seconds) != 0:
            raise RuntimeError(f"load: {self.proc.output()}")
        self.summary = json.loads(self.proc.output().splitlines()[-1])
        return self

    def stop(self):
        self.proc.send(15)
        return self.wait()

    def records(self):
        with open(self.records_path) as f:
            return [json.loads(line) for line in f]

    def so_far(self):
        """Lines written until now (the generator buffers: a lower bound)."""
        if not os.path.exists(self.records_path):
            return 0
        with open(self.records_path, "rb") as f:
            return f.read().count(b"\n")


def load(env, port, **kw):
    return Load(env, port, **kw).wait()


def wrk(port, path, seconds=3, conns=32, threads=1, host="127.0.0.1"):
    """{requests, rps, p50_ms, p99_ms, errors} of wrk."""
    script = os.path.join(APPS, "report.lua")
    out = subprocess.run(["wrk", "-t", str(threads), "-c", str(conns), "-d", f"{seconds}s",
                          "--latency", "-s", script, f"http://{host}:{port}{path}"],
                         capture_output=True, text=True, timeout=seconds + 60).stdout
    return json.loads(out.splitlines()[-1])
