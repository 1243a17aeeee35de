# SPDX-License-Identifier: Apache-2.0
"""Go programs that were written after the rules, by somebody who had not read them: frameworks,
clients and idioms that no other row has."""
import os

from kit import Case, Row, Started, apps, beside, built, chain, need, service

FILES = ["app.go", "clients.go", "servers.go", "ways.go", "cgo.go", "nocgo.go", "go.mod", "go.sum"]
# optimised with the profile of its own load, so that more is inlined; stripped; static
PGO = [["go", "build", "-o", "plain", "."], ["./plain", "default.pgo"],
       ["go", "build", "-pgo=default.pgo", "-ldflags=-s -w", "-o", "app", "."]]
BUILDS = {"": ([["go", "build", "-o", "app", "."]], {}),
          "race": ([["go", "build", "-race", "-o", "app", "."]], {"CGO_ENABLED": "1"}),
          "pgo": (PGO, {"CGO_ENABLED": "0"})}


def build(kind):
    need("go", *(["gcc"] if kind != "pgo" else []))
    commands, more = BUILDS[kind]
    return os.path.join(built("go-late" + (kind and "-" + kind),
                              [beside(__file__, f) for f in FILES], *commands, fetch=True,
                              env=more), "app")


def start(env, case):
    exe = build(case.options.get("build", ""))
    server, client = case.options.get("kind", "std std").split()
    more = {"SERVER": server, "CLIENT": client, **case.options.get("env", {})}
    if case.options.get("socket"):
        return by_socket(env, exe, more)
    return chain(env, lambda url: service(env, "go-late", [exe], url, more_env=more))


def by_socket(env, exe, more):
    """a calls b through a Unix socket."""
    leaf = apps.leaf(env)
    b = service(env, "b", [exe], leaf.url + "/l", cwd=env.dir,
                more_env={**more, "SOCKET": "b.sock"})
    a = service(env, "a", [exe], "http://b/b", cwd=env.dir,
                more_env={**more, "NEXT_SOCKET": "b.sock"})
    return Started(a, {"a": {a.pid}, "b": {b.pid}, "l": {leaf.pid}}, behind={"a": "b", "b": "l"})


ROW = Row("Go, late", start, [
    Case(["one", "seq", "post", "err"], "gin, resty", kind="gin resty"),
    Case(["one", "seq", "timeout", "breaker"], "echo, wrapped transport", kind="echo std"),
    Case(["mw", "one"], "chi, errgroup in a middleware", kind="chi std"),
    Case(["rproxy"], "gorilla/mux, ReverseProxy", kind="mux std"),
    Case(["one", "seq", "post"], "fiber, fasthttp", kind="fiber fasthttp"),
    Case(["one", "seq", "wggo"], "fiber, net/http", kind="fiber std"),
    # netpoll: one goroutine reads for all connections, and nothing leads from it to the handler's
    Case(["one", "seq", "post", "bare"], "hertz, net/http", recall=0.0, kind="hertz std"),
    Case(["one", "seq", "post"], "hertz, hertz", recall=0.0, kind="hertz hertz"),
    Case(["one", "seq", "bare"], "TimeoutHandler", kind="deadline std"),
    Case(["retry", "retryable"], "retries"),
    Case(["once", "iter"], "sync.Once, range over a function"),
    # a coroutine, which no go statement starts
    Case(["pull"], "iter.Pull", recall=0.0),
    Case(["wggo", "semin", "lomap"], "joined by WaitGroup"),
    Case(["cond"], "joined by sync.Cond", recall=0.0),  # its list of waiters is not looked at
    Case(["gather", "giveup"], "joined by select"),
    # the last stage may not have been seen waiting yet
    Case(["pipeline"], "pipeline", recall=0.9),
    # what the request waits for is further away than the caller's closure and two objects behind
    Case(["hystrix"], "hystrix", recall=0.0),
    Case(["after", "antsctx", "timerctx"], "context passed on"),
    # the request's own context is further up in the chain than is looked at
    Case(["deepctx"], "context with 14 others on it", recall=0.0),
    Case(["timer"], "timer that is waited for", recall=0.0),
    Case(["bg", "ants", "pond", "broker"], "workers", recall=0.0),
    Case(["loader", "debounce", "one"], "batches", recall=0.0),
    Case(["one", "wggo"], "Unix socket", socket=True),
    Case(["one", "seq", "wggo", "gather", "antsctx"], "race detector", build="race"),
    Case(["one", "seq", "antsctx"], "profile-guided, stripped", build="pgo"),
    # the wait for a WaitGroup is recognised where the profile of the day does not have it inlined
    Case(["wggo", "gather"], "profile-guided, stripped, WaitGroup", recall=0.0, build="pgo"),
    Case(["cgo", "wggo"], "cgo, one processor", env={"GOMAXPROCS": "1"}),
], tags=["go"], needs=["go"])
