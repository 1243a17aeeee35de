// SPDX-License-Identifier: Apache-2.0
// Clients: (path, body, ms) -> status, or an error when there was no answer.
import http from "node:http";

const agent = new http.Agent({ keepAlive: true });

function plain(next) {
	return (path, body, ms) => new Promise((resolve, reject) => {
		const req = http.request(new URL(path, next), {
			agent, method: body ? "POST" : "GET", signal: ms ? AbortSignal.timeout(ms) : undefined,
		});
		req.on("error", reject).on("response", async (res) => {
			try {
				for await (const _ of res)
					;
				resolve(res.statusCode);
			} catch (e) {
				reject(e);
			}
		}).end(body);
	});
}

async function got(next) {
	const { default: got } = await import("got");
	const client = got.extend({
		agent: { http: agent }, retry: { limit: 0 }, throwHttpErrors: false,
		hooks: { beforeRequest: [async (options) => { options.headers["x-late"] = "yes"; }] },
	});
	return async (path, body, ms) => (await client(new URL(path, next), {
		method: body ? "POST" : "GET", body, timeout: { request: ms || undefined },
	})).statusCode;
}

async function superagent(next) {
	const { default: client } = await import("superagent");
	return async (path, body, ms) => {
		const req = client(body ? "POST" : "GET", new URL(path, next).href).agent(agent)
			.ok(() => true).buffer(true).parse(client.parse.text);
		if (ms)
			req.timeout(ms);
		return (await (body ? req.type("application/octet-stream").send(body) : req)).status;
	};
}

async function needle(next) {
	const { default: client } = await import("needle");
	return async (path, body, ms) => (await client(body ? "post" : "get",
		new URL(path, next).href, ...(body ? [body] : []),
		{ agent, parse: false, response_timeout: ms || 0, open_timeout: 0 })).statusCode;
}

async function nodeFetch(next) {
	const { default: fetch } = await import("node-fetch");
	return async (path, body, ms) => {
		const res = await fetch(new URL(path, next), {
			agent, method: body ? "POST" : "GET", body,
			signal: ms ? AbortSignal.timeout(ms) : undefined,
		});
		await res.text();
		return res.status;
	};
}

async function ky(next) {
	const { default: ky } = await import("ky");
	const client = ky.create({
		retry: 0, throwHttpErrors: false, timeout: false,
		hooks: { beforeRequest: [(request) => { request.headers.set("x-late", "yes"); }] },
	});
	return async (path, body, ms) => {
		const res = await client(new URL(path, next), {
			method: body ? "POST" : "GET", body, timeout: ms || false,
		});
		await res.arrayBuffer();
		return res.status;
	};
}

// Nest's HttpService: axios behind an observable.
async function nest(next) {
	await import("reflect-metadata");
	const { HttpService } = await import("@nestjs/axios");
	const { default: axios } = await import("axios");
	const { catchError, lastValueFrom, map, throwError } = await import("rxjs");
	const service = new HttpService(axios.create({
		baseURL: next.origin, httpAgent: agent, validateStatus: () => true,
		responseType: "arraybuffer",
	}));
	return (path, body, ms) => lastValueFrom(service.request({
		url: path, method: body ? "post" : "get", data: body, timeout: ms || 0,
	}).pipe(map((res) => res.status), catchError((e) => throwError(() => e))));
}

export const clients = { http: plain, got, superagent, needle, "node-fetch": nodeFetch, ky, nest };
