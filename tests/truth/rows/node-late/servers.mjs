// SPDX-License-Identifier: Apache-2.0
// Frameworks: each asks handle(url, body, answered) for the status of its answer.
import http from "node:http";

async function read(stream) {
	const parts = [];
	for await (const part of stream)
		parts.push(part);
	return Buffer.concat(parts);
}

async function answer(req, res, handle) {
	const body = req.method === "POST" ? await read(req) : undefined;
	res.statusCode = await handle(req.url, body, (late) => res.once("finish", late));
	res.end("done");
}

function plain({ handle, host, port }) {
	http.createServer((req, res) => answer(req, res, handle)).listen(port, host, 1024);
}

async function koa({ handle, host, port }) {
	const { default: Koa } = await import("koa");
	const app = new Koa();

	app.use(async (ctx, next) => {
		const at = Date.now();
		await next();
		ctx.set("X-Took", String(Date.now() - at));
	});
	app.use(async (ctx, next) => {
		ctx.state.body = ctx.method === "POST" ? await read(ctx.req) : undefined;
		await next();
	});
	app.use(async (ctx) => {
		ctx.status = await handle(ctx.url, ctx.state.body, (late) => ctx.res.once("finish", late));
		ctx.body = { is: "done" };
	});
	http.createServer(app.callback()).listen(port, host, 1024);
}

async function hapi({ handle, host, port }) {
	const { default: Hapi } = await import("@hapi/hapi");
	const server = Hapi.server({ host, port });

	server.ext("onPreHandler", async (request, h) => h.continue);
	server.route([{
		method: "GET", path: "/{path*}",
		handler: async (request, h) => h.response("done").code(await handle(request.path)),
	}, {
		method: "POST", path: "/{path*}", options: { payload: { parse: false, output: "data" } },
		handler: async (request, h) =>
			h.response("done").code(await handle(request.path, request.payload)),
	}]);
	await server.start();
}

// Nest without its compiler: the decorators are called by hand.
async function nest({ handle, host, port }) {
	await import("reflect-metadata");
	const { All, Controller, Injectable, Module, Req, Res, UseGuards } = await import("@nestjs/common");
	const { NestFactory } = await import("@nestjs/core");

	class Guard {
		async canActivate() {
			return true;
		}
	}
	class Any {
		async any(req, res) {
			const body = req.method === "POST" ? await read(req) : undefined;
			res.status(await handle(req.url, body)).send("done");
		}
	}
	const any = Object.getOwnPropertyDescriptor(Any.prototype, "any");
	Injectable()(Guard);
	UseGuards(Guard)(Any.prototype, "any", any);
	All("*path")(Any.prototype, "any", any);
	Req()(Any.prototype, "any", 0);
	Res()(Any.prototype, "any", 1);
	Controller()(Any);
	class App {}
	Module({ controllers: [Any] })(App);
	const app = await NestFactory.create(App, { logger: false, bodyParser: false });
	await app.listen(port, host);
}

async function polka({ handle, host, port }) {
	const { default: polka } = await import("polka");

	polka().use((req, res, next) => setImmediate(next)).all("*", (req, res) => answer(req, res, handle))
		.listen(port, host);
}

async function hono({ handle, host, port }) {
	const { Hono } = await import("hono");
	const { serve } = await import("@hono/node-server");
	const app = new Hono();

	app.use(async (c, next) => { await next(); c.header("x-late", "yes"); });
	app.all("*", async (c) => {
		const body = c.req.method === "POST" ? Buffer.from(await c.req.arrayBuffer()) : undefined;
		return c.text("done", await handle(c.req.path, body));
	});
	serve({ fetch: app.fetch, hostname: host, port });
}

// ---- proxies: /SERVICE/proxy/ID/K is passed on, what else is asked is served -----------------------

const passed = (url) => url.split("/")[2] === "proxy";
const behind = (url, next) => {
	const [, , , id, k] = url.split("/");
	return `${next.pathname}/one/${id}/${k === undefined ? 0 : `${k}-0`}`;
};

async function httpProxy({ handle, host, port, next }) {
	const { default: httpProxy } = await import("http-proxy");
	const proxy = httpProxy.createProxyServer({
		target: next.origin, agent: new http.Agent({ keepAlive: true }),
	});

	http.createServer((req, res) => {
		if (!passed(req.url))
			return answer(req, res, handle);
		return setTimeout(() => {
			req.url = behind(req.url, next);
			proxy.web(req, res, {}, () => res.writeHead(500).end());
		}, Math.random() * 5);
	}).listen(port, host, 1024);
}

async function proxyMiddleware({ handle, host, port, next }) {
	const { default: express } = await import("express");
	const { createProxyMiddleware, responseInterceptor } = await import("http-proxy-middleware");
	const app = express();

	app.use((req, res, next) => setTimeout(next, Math.random() * 5));
	app.use(createProxyMiddleware({
		target: next.origin, agent: new http.Agent({ keepAlive: true }),
		pathFilter: passed, pathRewrite: (path) => behind(path, next), selfHandleResponse: true,
		on: { proxyRes: responseInterceptor(async (body) => {
			await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
			return body;
		}) },
	}));
	app.use((req, res) => answer(req, res, handle));
	app.listen(port, host, 1024);
}

export const servers = {
	http: plain, cluster: plain, koa, hapi, nest, polka, hono,
	"http-proxy": httpProxy, "proxy-middleware": proxyMiddleware,
};
