# SPDX-License-Identifier: Apache-2.0
"""Node: servers and clients of several kinds, in one application."""
import os

from kit import Case, Row, beside, built, chain, npm, service


def binary(version):
    """The installed node, or a release of another one from npm."""
    if not version:
        return "node"
    name = f"node{version}"
    folder = built(name, [], ["npm", "init", "-y"],
                   ["npm", "install", "--no-audit", "--no-fund", f"node@{version}"], fetch=True)
    return os.path.join(folder, "node_modules", "node", "bin", "node")


def start(env, case):
    folder = npm("node", [beside(__file__, "app.js"), beside(__file__, "package.json")])
    server, client = case.options.get("kind", "http http").split()
    return chain(env, lambda next_url: service(
        env, "app", [binary(case.options.get("version")), "app.js", server, client], next_url,
        cwd=folder))


ROW = Row("Node", start, [
    Case(["one", "seq", "none"], "http.request", tags=["ci"]),
    Case(["fan"], "Promise.all"),
    Case(["post"], "POST"),
    Case(["sync"], "before the first await"),
    Case(["file"], "files and look-ups between"),
    Case(["err"], "errors"),
    Case(["timeout"], "time-outs"),
    Case(["abort"], "aborts"),
    Case(["one", "seq", "fan"], "Agent, 4 sockets", kind="http agent4"),
    # nothing is probed before the first call, and without a pool that is the measured run's own
    Case(["one", "seq", "fan"], "no keep-alive", recall=0.8, kind="http close"),
    Case(["one", "seq", "fan"], "axios", kind="http axios"),
    Case(["one", "seq", "fan"], "fetch", kind="http fetch", tags=["ci"]),
    Case(["one", "seq", "fan"], "undici Pool of 4", kind="http undici"),
    Case(["one", "seq", "fan", "post"], "express", kind="express http", tags=["ci"]),
    Case(["one", "seq", "fan", "post"], "express, axios", kind="express axios"),
    Case(["one", "seq", "fan", "post"], "fastify", kind="fastify http"),
    Case(["als", "one", "seq", "fan"], "AsyncLocalStorage", tags=["ci"]),
    Case(["als", "one", "seq", "fan"], "AsyncLocalStorage, Node 22, fetch", version=22,
         kind="http fetch"),
    Case(["als", "limit", "flush", "lazy", "one"], "AsyncLocalStorage, all mixed", recall=0.0),
    # its microtask queue cannot be followed: only what comes before the first await
    Case(["sync"], "Node 18", version=18),
    Case(["one", "seq", "fan", "file"], "Node 18, awaits", recall=0.0, version=18),
    Case(["one", "seq", "fan", "file"], "Node 22", version=22),
    Case(["one", "seq", "fan", "file"], "Node 24", version=24),
    Case(["one", "seq", "fan"], "Node 24, fetch", version=24, kind="http fetch"),
    # what is called behind the answer, or in another request's function, is nobody's
    Case(["after"], "after the answer", recall=0.0),
    Case(["then"], "a promise's then", recall=0.0),
    Case(["pool"], "workers", recall=0.0),
    Case(["flush"], "a flusher on demand", recall=0.0),
    Case(["batch"], "a batch by a timer", recall=0.0, tags=["ci"]),
    Case(["lazy"], "a batch by a timer on demand", recall=0.0),
    Case(["limit"], "a semaphore", recall=0.0),
    Case(["starts"], "a limit that starts the next", recall=0.0),
    Case(["limit", "starts", "flush", "lazy", "one"], "all mixed", recall=0.0),
    Case(["limit"], "a semaphore, undici", recall=0.0, kind="http undici"),
    Case(["starts", "flush"], "a limit, a flusher, fetch", recall=0.0, kind="http fetch"),
    # sequences by callbacks alone: only what the request itself did, and its last call
    Case(["one", "sync"], "callbacks", recall=0.0, kind="callbacks http"),
    Case(["seq", "file"], "callbacks, sequences", recall=0.0, kind="callbacks http"),
], tags=["node"], needs=["node", "npm"])
