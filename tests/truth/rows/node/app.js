// SPDX-License-Identifier: Apache-2.0
// The truth's application for Node: app.js SERVER CLIENT. See ../../README.md.
"use strict";
const { AsyncLocalStorage } = require("async_hooks");
const fs = require("fs");
const http = require("http");

const [server, client] = process.argv.slice(2);
const [host, port] = process.env.LISTEN.split(":");
const next = new URL(process.env.NEXT);
const noise = Number(process.env.NOISE);
const ASK = { err: "err", timeout: "hang", abort: "abort", post: "post" };
const CALLS = { none: 0, seq: 3, fan: 4 };
const TIMEOUT = 100;
const storage = new AsyncLocalStorage();

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const pause = () => sleep(Math.random() * 5);

// ---- clients: (path, body, ms) -> status, or an error -------------------------------------------

function httpCall(agent) {
	return (path, body, ms) => new Promise((resolve, reject) => {
		const req = http.request({
			host: next.hostname, port: next.port, path, agent, timeout: ms,
			method: body ? "POST" : "GET",
		}, (res) => {
			res.resume();
			res.on("end", () => resolve(res.statusCode));
			res.on("error", reject);
		});
		req.on("error", reject);
		req.on("timeout", () => req.destroy(new Error("timeout")));
		req.end(body);
	});
}

const clients = {
	http: () => httpCall(new http.Agent({ keepAlive: true })),
	agent4: () => httpCall(new http.Agent({ keepAlive: true, maxSockets: 4 })),
	close: () => httpCall(new http.Agent({ keepAlive: false })),
	axios: () => {
		const axios = require("axios").create({
			baseURL: next.origin, httpAgent: new http.Agent({ keepAlive: true }),
			validateStatus: () => true, responseType: "arraybuffer",
		});
		return async (path, body, ms) => (await axios.request({
			url: path, method: body ? "post" : "get", data: body, timeout: ms,
		})).status;
	},
	fetch: () => async (path, body, ms) => {
		const res = await fetch(next.origin + path, {
			method: body ? "POST" : "GET", body,
			signal: ms ? AbortSignal.timeout(ms) : undefined,
		});
		await res.arrayBuffer();
		return res.status;
	},
	undici: () => {
		const pool = new (require("undici").Pool)(next.origin, { connections: 4 });
		return async (path, body, ms) => {
			const res = await pool.request({
				path, method: body ? "POST" : "GET", body,
				signal: ms ? AbortSignal.timeout(ms) : undefined,
			});
			await res.body.arrayBuffer();
			return res.statusCode;
		};
	},
};
const call = clients[client]();

// ---- ways from a request to its calls -----------------------------------------------------------

// Workers that know nothing of the request.
const jobs = [];
const idle = [];
async function worker() {
	for (;;) {
		while (!jobs.length)
			await new Promise((resolve) => idle.push(resolve));
		const job = jobs.shift();
		await call(job.path).then(job.resolve, job.reject);
	}
}
for (let i = 0; i < 4; i++)
	worker();

const queued = (list, path, wake) => new Promise((resolve, reject) => {
	list.push({ path, resolve, reject });
	wake();
});

// One at a time takes all there is.
const items = [];
let flushing = false;
async function flush() {
	flushing = true;
	while (items.length) {
		const item = items.shift();
		await call(item.path).then(item.resolve, item.reject);
	}
	flushing = false;
}

// A batch every 10 ms; another one by a timer that the first request of a batch starts.
const batch = [];
setInterval(() => {
	for (const item of batch.splice(0))
		call(item.path).then(item.resolve, item.reject);
}, 10);
const lazy = [];
function lazily() {
	if (lazy.length > 1)
		return;
	setTimeout(() => {
		for (const item of lazy.splice(0))
			call(item.path).then(item.resolve, item.reject);
	}, 10);
}

// At most four calls at a time.
let free = 4;
const waiting = [];
async function limited(path) {
	if (!free)
		await new Promise((resolve) => waiting.push(resolve));
	else
		free--;
	try {
		return await call(path);
	} finally {
		if (waiting.length)
			waiting.shift()();
		else
			free++;
	}
}
// The same by callbacks: who is done starts the next one's.
let slots = 4;
const starts = [];
function started(path) {
	return new Promise((resolve, reject) => {
		const start = () => call(path).then(resolve, reject).finally(() => {
			const other = starts.shift();
			if (other)
				other();
			else
				slots++;
		});
		if (slots) {
			slots--;
			start();
		} else {
			starts.push(start);
		}
	});
}

async function calls(shape, path, body) {
	const ms = shape === "timeout" ? TIMEOUT : 0;
	const n = CALLS[shape] ?? 1;
	const all = [];

	if (shape === "fan") {
		await pause();
		for (let i = 0; i < n; i++)
			all.push(call(path(i)));
		return Promise.all(all);
	}
	for (let i = 0; i < n; i++) {
		if (shape === "file") {
			await fs.promises.readFile("/etc/hostname");
			await new Promise((resolve) => fs.readFile("/etc/hostname", resolve));
			await require("dns").promises.lookup("localhost");
		}
		if (shape === "als") /* from here on the promises of the process have ids */
			await storage.run(path, () => pause().then(() => storage.getStore()));
		else if (shape !== "sync")
			await pause();
		switch (shape) {
		case "pool":
			all.push(await queued(jobs, path(i), () => idle.length && idle.shift()()));
			break;
		case "flush":
			all.push(await queued(items, path(i), () => flushing || flush()));
			break;
		case "batch":
			all.push(await queued(batch, path(i), () => {}));
			break;
		case "lazy":
			all.push(await queued(lazy, path(i), lazily));
			break;
		case "limit":
			all.push(await limited(path(i)));
			break;
		case "starts":
			all.push(await started(path(i)));
			break;
		case "then":
			all.push(await sleep(1).then(() => call(path(i))));
			break;
		default:
			all.push(await call(path(i), body, ms));
		}
	}
	return all;
}

function parse(url) {
	const [, , shape, id, k] = url.split("?")[0].split("/");
	const ask = ASK[shape] ?? "one";

	if (!id)
		return null;
	return { shape, path: (n) => `${next.pathname}/${ask}/${id}/${k === undefined ? n : `${k}-${n}`}` };
}

// Answers with what handle() returns; `answer(status)`.
async function handle(url, body, answer) {
	const what = parse(url);
	let status = 200;

	if (!what)
		return answer(200);
	if (what.shape === "after") {
		await pause();
		answer(200);
		await calls("one", what.path);
		return undefined;
	}
	try {
		if ((await calls(what.shape, what.path, body)).some((s) => s !== 200))
			status = 500;
	} catch {
		status = 500;
	}
	await pause();
	return answer(status);
}

// The same without a promise: one call after the other.
function handleByCallbacks(url, body, answer) {
	const what = parse(url);
	const n = what ? CALLS[what.shape] ?? 1 : 0;
	const agent = handleByCallbacks.agent ??= new http.Agent({ keepAlive: true });
	const step = (i, status) => {
		if (i === n) {
			setTimeout(() => answer(status), Math.random() * 5);
			return;
		}
		const send = () => http.get({
			host: next.hostname, port: next.port, path: what.path(i), agent,
		}, (res) => {
			res.resume();
			res.on("end", () => step(i + 1, res.statusCode === 200 ? status : 500));
		}).on("error", () => step(i + 1, 500));

		if (what.shape === "sync")
			send();
		else if (what.shape === "file")
			fs.readFile("/etc/hostname", send);
		else
			setTimeout(send, Math.random() * 5);
	};
	step(0, 200);
}

// ---- servers ------------------------------------------------------------------------------------

const servers = {
	http: (how) => http.createServer((req, res) => {
		const parts = [];
		const answer = (status) => {
			res.statusCode = status;
			res.end("done");
		};

		if (req.method === "GET") {
			how(req.url, undefined, answer);
			return;
		}
		req.on("data", (d) => parts.push(d));
		req.on("end", () => how(req.url, Buffer.concat(parts), answer));
	}).listen(port, host, 1024),
	callbacks: () => servers.http(handleByCallbacks),
	express: () => {
		const express = require("express");
		const app = express();

		app.use(express.raw({ type: () => true, limit: "1mb" }));
		app.use(async (req, res, cont) => {
			await null;
			cont();
		});
		app.use(async (req, res) => {
			await handle(req.url, req.method === "POST" ? req.body : undefined,
				(status) => res.status(status).send("done"));
		});
		app.listen(port, host);
	},
	fastify: () => {
		const app = require("fastify")();

		app.addContentTypeParser("*", { parseAs: "buffer" }, (req, body, done) => done(null, body));
		app.all("/*", async (req, reply) => {
			await handle(req.url, req.body, (status) => reply.code(status).send("done"));
			return reply;
		});
		app.listen({ port: Number(port), host });
	},
};
servers[server](handle);
if (noise)
	setInterval(() => call(`${next.pathname}/noise/0/0`).catch(() => {}), noise);
