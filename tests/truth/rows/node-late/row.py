# SPDX-License-Identifier: Apache-2.0
"""Node programs that were written after the rules, by somebody who had not read them: frameworks,
clients and idioms that no other row has."""
from kit import Case, Row, beside, chain, npm, service

FILES = ["app.mjs", "clients.mjs", "servers.mjs", "ways.mjs", "package.json"]


def start(env, case):
    folder = npm("node-late", [beside(__file__, f) for f in FILES])
    server, client = case.options.get("kind", "http http").split()
    return chain(env, lambda url: service(env, "app", ["node", "app.mjs", server, client], url,
                                          cwd=folder))


ROW = Row("Node, late", start, [
    Case(["one", "seq", "fan", "post"], "koa, got", kind="koa got"),
    Case(["err", "one"], "koa, got, errors", kind="koa got"),
    Case(["one", "seq", "fan", "post"], "hapi, superagent", kind="hapi superagent"),
    Case(["one", "seq", "fan", "post"], "nest, its HttpService", kind="nest nest"),
    Case(["one", "seq", "fan", "post"], "polka, needle", kind="polka needle"),
    Case(["one", "seq", "fan", "post"], "hono, ky", kind="hono ky"),
    # not all of node-fetch's calls are seen to be waited for
    Case(["one", "seq", "fan"], "node-fetch", recall=0.9, kind="http node-fetch"),
    Case(["one", "seq"], "cluster", kind="cluster http"),
    Case(["promisify", "ticks", "asynciter"], "awaits of other kinds"),
    Case(["once"], "events.once, a pipeline"),
    Case(["any", "race"], "any and race"),
    # who makes the call gives back its promise: it does not go on, and only the last answer
    # lets the one who waits for all go on
    Case(["fan", "settled"], "all and allSettled, of promises passed on", recall=0.0),
    # it is never answered, so nobody goes on with an answer
    Case(["timeout"], "koa, got, time-outs", recall=0.0, kind="koa got"),
    # made and answered in callbacks alone, that a timer and streams start
    Case(["proxy"], "http-proxy", recall=0.0, kind="http-proxy http"),
    Case(["proxy"], "http-proxy-middleware", recall=0.0, kind="proxy-middleware http"),
    Case(["emitter"], "EventEmitter"),
    # generators, sync ones of co and async ones of a pipeline, do not go on as async functions do
    Case(["co", "pipeline"], "generators", recall=0.0),
    # a timer starts each try behind the first
    Case(["retry"], "p-retry", recall=0.3),
    # callbacks and promises' reactions of a library start the next one
    Case(["asyncpl", "eachseries"], "async.js", recall=0.0),
    Case(["plimit", "pmap"], "p-limit and p-map of its own", recall=0.0),
    Case(["rxjs", "rxconcat"], "rxjs", recall=0.0),
    Case(["loaderown"], "dataloader of its own", recall=0.0),
    # up to Node 22 each promise of the process has an id then
    Case(["als"], "AsyncLocalStorage"),
    # one callback runs what all requests have left there
    Case(["bluemap", "blueco"], "bluebird", recall=0.0),
    Case(["bluemap"], "bluebird, nest's HttpService", recall=0.0, kind="http nest"),
    Case(["bluemap", "blueco"], "bluebird, needle", recall=0.0, kind="http needle"),
    # what nothing proves: never wrong
    Case(["asyncq", "plimitall", "pqueue", "bottleneck", "one"], "queues of all", recall=0.0),
    Case(["als", "asyncq", "plimitall", "pqueue", "loader", "bluemap", "emitter"],
         "AsyncLocalStorage and queues", recall=0.0),
    Case(["cbqueue", "timedqueue", "one"], "a queue of callbacks", recall=0.0),
    Case(["genericpool"], "generic-pool", recall=0.0),
    Case(["loader", "tickloader", "bound", "one"], "batches", recall=0.0),
    Case(["immediate", "immfile"], "batches by setImmediate", recall=0.0),
    Case(["thread"], "worker threads", recall=0.0),
    Case(["after"], "after the answer", recall=0.0),
], tags=["node"], needs=["node", "npm"])
