# SPDX-License-Identifier: Apache-2.0
"""aiohttp at both ends. Obeys tests/truth/README.md."""
import asyncio
import os
import random

import aiohttp
from aiohttp import web

NEXT = os.environ["NEXT"]
NOISE = float(os.environ.get("NOISE", "0")) / 1000
ASKS = {"err": "err", "timeout": "hang", "abort": "abort", "post": "post", "noise": "noise"}
client, keep = None, set()


async def ask(shape, i, n, k="", body=None):
    await asyncio.sleep(random.random() * 0.005)
    url = f"{NEXT}/{ASKS.get(shape, 'one')}/{i}/{k + '-' if k else ''}{n}"
    timeout = aiohttp.ClientTimeout(0.1 if shape == "timeout" else 60)
    try:
        async with client.request("GET" if body is None else "POST", url, data=body,
                                  timeout=timeout) as r:
            await r.read()
            return r.status == 200
    except (OSError, asyncio.TimeoutError, aiohttp.ClientError):
        return False


def task(coro):
    t = asyncio.get_running_loop().create_task(coro)
    keep.add(t)
    t.add_done_callback(keep.discard)
    return t


async def work(shape, i, k, body):
    if shape == "none":
        return True
    if shape == "seq":
        return all([await ask(shape, i, n, k) for n in range(3)])
    if shape == "fan":
        return all(await asyncio.gather(*[ask(shape, i, n, k) for n in range(4)]))
    if shape == "wait":
        done, _ = await asyncio.wait([task(ask(shape, i, n)) for n in range(3)])
        return all(t.result() for t in done)
    if shape == "after":
        task(ask(shape, i, 0))
        return True
    return await ask(shape, i, 0, k, body)


async def handler(request):
    shape, i = request.match_info["shape"], request.match_info["i"]
    body = await request.read() if shape == "post" else None
    ok = await work(shape, i, request.match_info.get("k", ""), body)
    await asyncio.sleep(random.random() * 0.005 if shape != "after" else 0)
    return web.Response(text="ok" if ok else "failed", status=200 if ok else 500)


async def noise():
    while True:
        await asyncio.sleep(NOISE)
        task(ask("noise", 0, 0))


async def make():
    global client
    client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=512))
    client._retry_connection = False  # a call that is cut off is made once, as the truth says
    if NOISE:
        task(noise())
    app = web.Application()
    app.add_routes([web.route("*", "/{service}/{shape}/{i:\\d+}", handler),
                    web.route("*", "/{service}/{shape}/{i:\\d+}/{k}", handler),
                    web.get("/ready", lambda request: web.Response(text="ready"))])
    return app


if __name__ == "__main__":
    host, port = os.environ["LISTEN"].rsplit(":", 1)
    if os.environ["LOOP"] == "uvloop":
        import uvloop
        uvloop.install()
    web.run_app(make(), host=host, port=int(port), print=None, access_log=None,
                keepalive_timeout=60, loop=asyncio.new_event_loop())
