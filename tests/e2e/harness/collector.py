# SPDX-License-Identifier: Apache-2.0
"""The real OpenTelemetry Collector: decodes what clew sends, and writes it down as it saw it."""
import os
import subprocess
import urllib.request

from . import case, otlp
from .proc import ROOT, free_port, wait_for

HERE = os.path.join(ROOT, "tools", "otelcol")


def binary():
    """Its path; built at the first use. OTELCOL names one that is there already."""
    if os.environ.get("OTELCOL"):
        return os.environ["OTELCOL"]
    p = subprocess.run([os.path.join(HERE, "build.sh")], capture_output=True, text=True,
                       timeout=900)
    if p.returncode == 3:
        raise case.Skip(p.stderr.strip().splitlines()[-1])
    if p.returncode:
        raise RuntimeError("the Collector cannot be built: " + p.stderr[-400:])
    return p.stdout.strip().splitlines()[-1]


class Collector:
    def __init__(self, env):
        self.file = env.path(f"collector-{len(env.procs)}.jsonl")
        self.tail = otlp.Tail(self.file)
        self.grpc, self.http, health, own = (free_port() for _ in range(4))
        self.argv = [binary(), "--config", os.path.join(HERE, "config.yaml")]
        self.environ = {"CLEW_COL_GRPC": str(self.grpc), "CLEW_COL_HTTP": str(self.http),
                        "CLEW_COL_HEALTH": str(health), "CLEW_COL_SELF": str(own),
                        "CLEW_COL_FILE": self.file}
        self.env, self.health = env, health
        self.start()

    def start(self):
        """Start it; after a stop, again, on the same ports and file."""
        self.proc = self.env.start("otelcol", self.argv, env=self.environ)

        def healthy():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/", timeout=1) as r:
                    return r.status == 200
            except OSError:
                return False
        self.env.started(self.proc, healthy)

    def spans(self):
        return list(self.tail.spans())

    def wait_spans(self, n, seconds=15):
        wait_for(f"{n} spans at the Collector", lambda: len(self.spans()) >= n, seconds)
        return self.spans()

    def metrics(self):
        return otlp.metrics(self.file)
