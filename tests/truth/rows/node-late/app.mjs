// SPDX-License-Identifier: Apache-2.0
// A Node service as its users write it: app.mjs SERVER CLIENT. Obeys ../../README.md.
import cluster from "node:cluster";

import { clients } from "./clients.mjs";
import { servers } from "./servers.mjs";
import { ways } from "./ways.mjs";

const [server, client] = process.argv.slice(2);
const [host, port] = process.env.LISTEN.split(":");
const next = new URL(process.env.NEXT);
const noise = Number(process.env.NOISE);
const ASKS = { err: "err", retry: "err", timeout: "hang", post: "post" };

if (server === "cluster" && cluster.isPrimary) {
	cluster.fork();
	cluster.fork();
} else {
	await start();
}

async function start() {
	const call = await clients[client](next);
	const pause = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
	const known = await ways(call, next);

	// What a server asks with each request; it answers with the status that comes back. Shapes that
	// go on behind the answer say so to `answered`, which is called then.
	const handle = async (url, body, answered = () => {}) => {
		const [, , shape, id, k] = url.split("?")[0].split("/");

		if (!id)
			return 200;
		const path = (n) =>
			`${next.pathname}/${ASKS[shape] ?? "one"}/${id}/${k === undefined ? n : `${k}-${n}`}`;
		const slowly = async (n) => {
			await pause();
			return call(path(n));
		};
		if (shape === "after") {
			answered(() => slowly(0).catch(() => {}));
			return 200;
		}
		let status = 200;
		try {
			const way = known[shape] ?? (async (r) => [await r.slowly(0)]);
			const all = await way({ slowly, path, body, pause });
			if (all.some((s) => s !== 200))
				status = 500;
		} catch {
			// a connection that is given up is closed a little later
			await new Promise((resolve) => setTimeout(resolve, 30));
			status = 500;
		}
		await pause();
		return status;
	};

	await servers[server]({ handle, host, port: Number(port), next });
	if (noise)
		setInterval(() => call(`${next.pathname}/noise/0/0`).catch(() => {}), noise);
}
