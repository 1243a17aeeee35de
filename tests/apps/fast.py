# SPDX-License-Identifier: Apache-2.0
"""The FastAPI service of the test chains: uvicorn, asyncio, httpx.AsyncClient.

A request /f/SHAPE/ID causes the calls that tests/truth/shapes.py lists for its shape, each
after a random sleep, so that answers come out of order.

Environment: LISTEN (HOST:PORT or unix:PATH), GO and WSGI (base URLs of the services behind),
NOISE (period in ms of calls that no request causes, 0: none), STORM (tasks a second that do nothing).
"""
import asyncio
import os
import random

import httpx
import requests
import uvicorn
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse

GO = os.environ.get("GO", "")
WSGI = os.environ.get("WSGI", "")
NOISE = float(os.environ.get("NOISE", "0")) / 1000
STORM = int(os.environ.get("STORM", "0"))

app = FastAPI()
client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=512,
                                                           max_keepalive_connections=256))
session = requests.Session()
session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
tasks = set()


async def nap(ms=5):
    await asyncio.sleep(random.random() * ms / 1000)


async def go(shape, i, k):
    await nap()
    return await client.get(f"{GO}/g/{shape}/{i}/{k}")


async def wsgi(shape, i, k):
    await nap()
    return await client.get(f"{WSGI}/w/{shape}/{i}/{k}")


def answer(i, *results):
    return {"from": "fastapi", "id": i, "behind": [r.status_code for r in results]}


@app.get("/f/one/{i}")
async def one(i: int):
    r = await go("one", i, 0)
    await nap()
    return answer(i, r)


@app.get("/f/seq/{i}")
async def seq(i: int):
    return answer(i, await wsgi("one", i, 0), await go("one", i, 1), await wsgi("one", i, 2))


@app.get("/f/gather/{i}")
async def gather(i: int):
    return answer(i, *await asyncio.gather(wsgi("one", i, 0), go("one", i, 1), go("one", i, 2)))


@app.post("/f/post/{i}")
async def post(i: int, request: Request):
    body = await request.body()
    await nap()
    r = await client.post(f"{WSGI}/w/post/{i}/0", content=body)
    return answer(i, r)


@app.get("/f/err/{i}")
async def err(i: int):
    r = await go("e404", i, 0)
    return JSONResponse(answer(i, r), status_code=500)


@app.get("/f/slow/{i}")
async def slow(i: int):
    await asyncio.sleep(0.15)
    return answer(i, await go("slow", i, 0))


@app.get("/f/bg/{i}")
async def background(i: int, later: BackgroundTasks):
    async def call():
        await nap()
        await go("one", i, 0)
    later.add_task(call)
    return answer(i)


@app.get("/f/def/{i}")
def sync(i: int):
    return answer(i, session.get(f"{GO}/g/one/{i}/0"), session.get(f"{GO}/g/one/{i}/1"))


# For the bench: nothing but the framework, and one call without a sleep.
@app.get("/f/empty/{i}")
async def empty(i: int):
    return PlainTextResponse("hello")


@app.get("/f/call/{i}")
async def call_once(i: int):
    r = await client.get(f"{GO}/g/none/{i}/0")
    return PlainTextResponse(r.text[:5])


@app.get("/ready")
async def ready():
    return PlainTextResponse("ready")


async def noise():
    while True:
        await asyncio.sleep(NOISE)
        t = asyncio.create_task(client.get(f"{GO}/g/noise/0/0"))
        tasks.add(t)
        t.add_done_callback(lambda t: (tasks.discard(t), t.exception()))


async def nothing():
    pass


async def storm(a_second):
    """Tasks that do nothing, as many as the loop can stand."""
    while True:
        await asyncio.gather(*(nothing() for _ in range(a_second // 100)))
        await asyncio.sleep(0.01)


@app.on_event("startup")
async def start():
    if STORM:
        tasks.add(asyncio.create_task(storm(STORM)))
    if NOISE:
        tasks.add(asyncio.create_task(noise()))


if __name__ == "__main__":
    where = os.environ["LISTEN"]
    if where.startswith("unix:"):
        uvicorn.run(app, uds=where[5:], loop="asyncio", log_level="warning", access_log=False)
    else:
        host, port = where.rsplit(":", 1)
        uvicorn.run(app, host=host.strip("[]"), port=int(port), loop="asyncio",
                    log_level="warning", access_log=False, timeout_keep_alive=60)
