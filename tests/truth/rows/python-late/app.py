# SPDX-License-Identifier: Apache-2.0
"""Servers that the rules of Python were not made with: Starlette on Hypercorn with httpx, Sanic with
aiohttp; and one that changes its loop while it is traced. Obeys tests/truth/README.md."""
import asyncio
import os
import random
import sys
import threading

NEXT = os.environ["NEXT"]
NOISE = float(os.environ.get("NOISE", "0")) / 1000
ASKS = {"err": "err", "timeout": "hang", "abort": "abort", "post": "post", "noise": "noise"}
HOST, PORT = os.environ["LISTEN"].rsplit(":", 1)
client, keep = {}, set()


async def with_httpx(url, timeout, body):
    import httpx
    if "httpx" not in client:
        client["httpx"] = httpx.AsyncClient(limits=httpx.Limits(max_connections=512,
                                                                max_keepalive_connections=256))
    try:
        r = await client["httpx"].request(
            "GET" if body is None else "POST", url, content=body, timeout=timeout)
        return r.status_code == 200
    except httpx.HTTPError:
        return False


async def with_aiohttp(url, timeout, body):
    import aiohttp
    loop = asyncio.get_running_loop()
    if loop not in client:
        client[loop] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=512))
        client[loop]._retry_connection = False  # one call each, as the truth says
    try:
        async with client[loop].request(
                "GET" if body is None else "POST", url, data=body,
                timeout=aiohttp.ClientTimeout(timeout)) as r:
            await r.read()
            return r.status == 200
    except (OSError, asyncio.TimeoutError, aiohttp.ClientError):
        return False


async def ask(shape, i, n, k="", body=None):
    await asyncio.sleep(random.random() * 0.005)
    url = f"{NEXT}/{ASKS.get(shape, 'one')}/{i}/{k + '-' if k else ''}{n}"
    return await call(url, 0.1 if shape == "timeout" else 60, body)


async def work(shape, i, k, body):
    if shape == "none":
        return True
    if shape == "seq":
        return all([await ask(shape, i, n, k) for n in range(3)])
    if shape == "fan":
        return all(await asyncio.gather(*[ask(shape, i, n, k) for n in range(4)]))
    return await ask(shape, i, 0, k, body)


async def serve(path, body):
    """The answer's status."""
    parts = path.strip("/").split("/")
    if len(parts) < 3:
        start_noise()
        return 200
    ok = await work(parts[1], int(parts[2]), parts[3] if len(parts) > 3 else "", body)
    await asyncio.sleep(random.random() * 0.005)
    return 200 if ok else 500


def start_noise():
    async def noise():
        while True:
            await asyncio.sleep(NOISE)
            await call(f"{NEXT}/noise/0/0", 60, None)
    if NOISE and not keep:
        keep.add(asyncio.get_running_loop().create_task(noise()))


def hypercorn():
    from hypercorn.config import Config
    from hypercorn.run import run
    config = Config()
    config.bind, config.workers, config.keep_alive_timeout = [f"{HOST}:{PORT}"], 0, 60
    config.worker_class, config.application_path = os.environ["LOOP"], "app:starlette"
    run(config)


def starlette():
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def handler(request):
        body = await request.body() if request.method == "POST" else None
        return PlainTextResponse("x", status_code=await serve(request.url.path, body))
    return Starlette(routes=[Route("/{path:path}", handler, methods=["GET", "POST"])])


def sanic():
    from sanic import Sanic
    from sanic.response import text
    app = Sanic("late", configure_logging=False)
    app.config.KEEP_ALIVE_TIMEOUT = 60
    app.config.USE_UVLOOP = os.environ["LOOP"] == "uvloop"

    @app.route("/<path:path>", methods=["GET", "POST"])
    async def handler(request, path):
        body = request.body if request.method == "POST" else None
        return text("x", status=await serve(path, body))
    app.run(host=HOST, port=int(PORT), single_process=True, motd=False, access_log=False)


served = 0


async def site(on_request):
    """aiohttp's server, beside another one on the same port."""
    from aiohttp import web

    async def handler(request):
        body = await request.read() if request.method == "POST" else None
        on_request()
        return web.Response(text="x", status=await serve(request.path, body))
    app = web.Application()
    app.add_routes([web.route("*", "/{path:.*}", handler)])
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=60)
    await runner.setup()
    one = web.TCPSite(runner, HOST, int(PORT), reuse_port=True)
    await one.start()
    return one


def changes():
    """After so many requests it imports uvloop, and who connects from then on is served there."""
    async def on_uvloop():
        await site(lambda: None)
        started.set()
        await asyncio.Event().wait()

    async def on_asyncio():
        def count():
            global served
            served += 1
            if served == int(os.environ["CHANGE_AT"]):
                keep.add(asyncio.get_running_loop().create_task(change()))
        first = await site(count)

        async def change():
            import uvloop
            threading.Thread(target=uvloop.run, args=(on_uvloop(),), daemon=True).start()
            await asyncio.to_thread(started.wait)
            await first.stop()
        await asyncio.Event().wait()
    started = threading.Event()
    asyncio.run(on_asyncio())


call = with_httpx if os.environ["SERVER"] == "hypercorn" else with_aiohttp
if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    {"sanic": sanic, "hypercorn": hypercorn, "changes": changes}[os.environ["SERVER"]]()
elif os.environ["SERVER"] == "hypercorn":
    starlette = starlette()
