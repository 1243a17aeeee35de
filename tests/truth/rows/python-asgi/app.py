# SPDX-License-Identifier: Apache-2.0
"""FastAPI on uvicorn: LOOP (asyncio, uvloop) and CLIENT (httpx, aiohttp) in the environment say
with what. Obeys tests/truth/README.md."""
import asyncio
import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import requests
import uvicorn
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import PlainTextResponse

NEXT, CLIENT = os.environ["NEXT"], os.environ["CLIENT"]
NOISE = float(os.environ.get("NOISE", "0")) / 1000
ASKS = {"err": "err", "timeout": "hang", "abort": "abort", "post": "post"}

session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
executor = ThreadPoolExecutor(16)
keep, batch = set(), []


def nap():
    return random.random() * 0.005


async def ask(shape, i, n, k="", body=None):
    """One call; True when it was answered with 200."""
    await asyncio.sleep(nap())
    url = f"{NEXT}/{ASKS.get(shape, 'one')}/{i}/{k + '-' if k else ''}{n}"
    timeout = 0.1 if shape == "timeout" else 60
    try:
        return await CALL(url, timeout, body) == 200
    except (OSError, asyncio.TimeoutError, ERROR):
        return False


def ask_blocking(i, n):
    return session.get(f"{NEXT}/one/{i}/{n}").status_code == 200


def task(coro):
    t = asyncio.get_running_loop().create_task(coro)
    keep.add(t)
    t.add_done_callback(lambda t: (keep.discard(t), t.cancelled() or t.exception()))
    return t


async def worker(queue):
    while True:
        i, done = await queue.get()
        done.set_result(await ask("one", i, 0))


async def flusher(all_at_once):
    while batch:
        items = list(batch)
        batch.clear()
        if all_at_once:
            oks = await asyncio.gather(*[ask("one", i, 0) for i, _ in items])
        else:
            oks = [await ask("one", i, 0) for i, _ in items]
        for (_, done), ok in zip(items, oks):
            done.set_result(ok)
    app.state.flusher = None


async def flush(i, all_at_once):
    done = asyncio.get_running_loop().create_future()
    batch.append((i, done))
    if not getattr(app.state, "flusher", None):
        app.state.flusher = task(flusher(all_at_once))
    return await done


async def work(shape, i, k, body):
    if shape == "none":
        return True
    if shape == "seq":
        return all([await ask(shape, i, n, k) for n in range(3)])
    if shape == "fan":
        return all(await asyncio.gather(*[ask(shape, i, n, k) for n in range(4)]))
    if shape == "nest":
        async def two(a, b):
            return all(await asyncio.gather(ask(shape, i, a), ask(shape, i, b)))
        return all(await asyncio.gather(two(0, 1), two(2, 3)))
    if shape == "wait":
        done, _ = await asyncio.wait([task(ask(shape, i, n)) for n in range(3)])
        return all(t.result() for t in done)
    if shape == "group":
        async with asyncio.TaskGroup() as g:
            tasks = [g.create_task(ask(shape, i, n)) for n in range(3)]
        return all(t.result() for t in tasks)
    if shape == "spawn":
        return await asyncio.wait_for(task(ask(shape, i, 0)), 30)
    if shape in ("pool", "poolctx"):
        done = asyncio.get_running_loop().create_future()
        app.state.queue.put_nowait((i, done))
        return await done
    if shape in ("flush", "flushg"):
        return await flush(i, shape == "flushg")
    if shape == "exec":
        return await asyncio.get_running_loop().run_in_executor(executor, ask_blocking, i, 0)
    if shape == "thread":
        return await asyncio.to_thread(ask_blocking, i, 0)
    return await ask(shape, i, 0, k, body)


@asynccontextmanager
async def life(app):
    global CALL, ERROR
    if CLIENT == "httpx":
        import httpx
        c = httpx.AsyncClient(limits=httpx.Limits(max_connections=512,
                                                  max_keepalive_connections=256))

        async def call(url, timeout, body):
            return (await c.request("POST" if body is not None else "GET", url, content=body,
                                    timeout=timeout)).status_code
        CALL, ERROR = call, httpx.HTTPError
    else:
        import aiohttp
        c = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=512))
        c._retry_connection = False  # a call that is cut off is made once, as the truth says

        async def call(url, timeout, body):
            async with c.request("POST" if body is not None else "GET", url, data=body,
                                 timeout=aiohttp.ClientTimeout(timeout)) as r:
                await r.read()
                return r.status
        CALL, ERROR = call, aiohttp.ClientError
    app.state.queue = asyncio.Queue()
    for _ in range(4):
        task(worker(app.state.queue))
    if NOISE:
        task(noise())
    yield


async def noise():
    while True:
        await asyncio.sleep(NOISE)
        task(CALL(f"{NEXT}/noise/0/0", 60, None))


app = FastAPI(lifespan=life)


def answer(ok):
    return PlainTextResponse("ok" if ok else "failed", status_code=200 if ok else 500)


@app.get("/{service}/def/{i}")
def blocking(i: int):
    return answer(ask_blocking(i, 0) and ask_blocking(i, 1))


@app.get("/{service}/after/{i}")
async def after(i: int, later: BackgroundTasks):
    later.add_task(ask, "after", i, 0)
    return PlainTextResponse("ok")


@app.api_route("/{service}/{shape}/{i}", methods=["GET", "POST"])
@app.api_route("/{service}/{shape}/{i}/{k}", methods=["GET", "POST"])
async def handler(shape: str, i: int, request: Request, k: str = ""):
    body = await request.body() if shape == "post" else None
    ok = await work(shape, i, k, body)
    await asyncio.sleep(nap())
    return answer(ok)


@app.get("/ready")
async def ready():
    return PlainTextResponse("ready")


if __name__ == "__main__":
    host, port = os.environ["LISTEN"].rsplit(":", 1)
    uvicorn.run(app, host=host, port=int(port), loop=os.environ["LOOP"],
                http=os.environ.get("HTTP", "auto"), log_level="warning", access_log=False,
                timeout_keep_alive=60)
