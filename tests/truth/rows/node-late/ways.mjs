// SPDX-License-Identifier: Apache-2.0
// Ways from a request to its calls: each takes { slowly, path, body, pause } and gives the statuses.
// slowly(n) makes the nth call, a little later.
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { EventEmitter, once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { callbackify, promisify } from "node:util";
import { Worker } from "node:worker_threads";
import zlib from "node:zlib";

import async from "async";
import Bluebird from "bluebird";
import Bottleneck from "bottleneck";
import co from "co";
import DataLoader from "dataloader";
import genericPool from "generic-pool";
import pLimit from "p-limit";
import pMap from "p-map";
import PQueue from "p-queue";
import pRetry from "p-retry";
import { concatMap, defer, from, lastValueFrom, mergeMap, toArray } from "rxjs";

const three = [0, 1, 2];
const four = [0, 1, 2, 3];
const range = (n) => Array.from({ length: n }, (_, i) => i);

// ---- one after the other, or at the same time, by the request itself ------------------------------

function own(call, next) {
	const agent = new http.Agent({ keepAlive: true });

	async function* calls(r) {
		for (const n of three)
			yield await r.slowly(n);
	}

	return {
		none: async () => [],
		async seq(r) {
			const all = [];
			for (const n of three)
				all.push(await r.slowly(n));
			return all;
		},
		fan: (r) => Promise.all(four.map(r.slowly)),
		async post(r) {
			await r.pause();
			return [await call(r.path(0), r.body)];
		},
		timeout: async (r) => [await call(r.path(0), undefined, 100)],
		async asynciter(r) {
			const all = [];
			for await (const status of calls(r))
				all.push(status);
			return all;
		},
		co: (r) => co(function* () {
			const all = [];
			for (const n of three)
				all.push(yield r.slowly(n));
			return all;
		}),
		async promisify(r) {
			const again = promisify(callbackify(r.slowly));
			return [await again(0), await again(1), await again(2)];
		},
		async ticks(r) {
			await new Promise(setImmediate);
			const a = await call(r.path(0));
			await new Promise((resolve) => process.nextTick(resolve));
			const b = await call(r.path(1));
			await new Promise((resolve) => queueMicrotask(resolve));
			return [a, b, await call(r.path(2))];
		},
		// the answer goes through a compressor and back before the request has it
		async once(r) {
			await r.pause();
			const [res] = await once(http.get(new URL(r.path(0), next), { agent }), "response");
			await pipeline(res, zlib.createGzip(), zlib.createGunzip(), new PassThrough().resume());
			return [res.statusCode];
		},
		async pipeline(r) {
			const all = [];
			await pipeline(Readable.from(three), async function* (numbers) {
				for await (const n of numbers)
					yield r.slowly(n);
			}, async (statuses) => {
				for await (const status of statuses)
					all.push(status);
			});
			return all;
		},
		settled: async (r) => (await Promise.allSettled(four.map(r.slowly))).map((s) => s.value),
		async any(r) {
			const fails = async () => {
				await r.pause();
				throw new Error("not this one");
			};
			return [await Promise.any([fails(), r.slowly(0), fails()])];
		},
		async race(r) {
			let timer;
			const late = new Promise((_, reject) => {
				timer = setTimeout(reject, 10000, new Error("too slow"));
			});
			try {
				return [await Promise.race([r.slowly(0), late])];
			} finally {
				clearTimeout(timer);
			}
		},
		async retry(r) {
			return [await pRetry(async (attempt) => {
				if (await r.slowly(attempt - 1) !== 200)
					throw new Error("not yet");
				return 200;
			}, { retries: 2, minTimeout: 1, maxTimeout: 4 })];
		},
	};
}

// ---- libraries that make a request's calls for it ------------------------------------------------

const storage = new AsyncLocalStorage();
const bus = new EventEmitter();

function libraries() {
	bus.on("job", async ({ r, done }) => done(await r.slowly(0)));
	return {
		asyncpl: (r) => async.parallelLimit(four.map((n) => callbackify(() => r.slowly(n))), 2),
		eachseries: async (r) => {
			const all = [];
			await async.eachSeries(three, callbackify(async (n) => {
				all.push(await r.slowly(n));
			}));
			return all;
		},
		plimit: (r) => {
			const limit = pLimit(2);
			return Promise.all(four.map((n) => limit(() => r.slowly(n))));
		},
		pmap: (r) => pMap(four, r.slowly, { concurrency: 2 }),
		rxjs: (r) => lastValueFrom(from(four).pipe(mergeMap((n) => defer(() => r.slowly(n)), 2),
			toArray())),
		rxconcat: (r) => lastValueFrom(from(three).pipe(concatMap(r.slowly), toArray())),
		loaderown: (r) => {
			const loader = new DataLoader((keys) => Promise.all(keys.map(r.slowly)));
			return Promise.all(three.map((n) => loader.load(n)));
		},
		bluemap: (r) => Bluebird.map(four, r.slowly, { concurrency: 2 }),
		blueco: (r) => Bluebird.coroutine(function* () {
			const all = [];
			for (const n of three)
				all.push(yield Bluebird.delay(1).then(() => r.slowly(n)));
			return all;
		})(),
		als: (r) => storage.run({ r }, async () => {
			await r.pause();
			return [await storage.getStore().r.slowly(0)];
		}),
		emitter: (r) => new Promise((resolve) => {
			bus.emit("job", { r, done: (status) => resolve([status]) });
		}),
	};
}

// ---- what all requests share ---------------------------------------------------------------------

const THREAD = `
	const http = require("http");
	const { parentPort } = require("worker_threads");
	const agent = new http.Agent({ keepAlive: true });
	parentPort.on("message", ({ id, url }) => http.get(url, { agent }, (res) => {
		res.resume().on("end", () => parentPort.postMessage({ id, status: res.statusCode }));
	}));`;

function threads(next) {
	const wanted = new Map();
	const all = range(2).map(() => new Worker(THREAD, { eval: true }));
	let id = 0;

	for (const worker of all) {
		worker.on("message", (m) => {
			wanted.get(m.id)([m.status]);
			wanted.delete(m.id);
		});
	}
	return (r) => new Promise((resolve) => {
		wanted.set(++id, resolve);
		all[id % all.length].postMessage({ id, url: new URL(r.path(0), next).href });
	});
}

function shared(call, next) {
	const queue = async.queue(async (r) => [await r.slowly(0)], 4);
	const limit = pLimit(4);
	const pqueue = new PQueue({ concurrency: 4 });
	const bottleneck = new Bottleneck({ maxConcurrent: 4 });
	const slots = genericPool.createPool({
		create: async () => ({}), destroy: async () => {},
	}, { min: 1, max: 4 });
	const loader = new DataLoader((all) => Promise.all(all.map((r) => r.slowly(0))), {
		cache: false, batchScheduleFn: (run) => setTimeout(run, 3),
	});
	const ticks = new DataLoader(async (all) => {
		const statuses = [];
		for (const r of all)
			statuses.push(await call(r.path(0)));
		return statuses;
	}, { cache: false });
	// callbacks from end to end, but that the body is read by an async function
	const agent = new http.Agent({ keepAlive: true });
	const fetched = async.queue((path, done) => {
		http.get(new URL(path, next), { agent }, async (res) => {
			for await (const _ of res)
				;
			done(null, res.statusCode);
		}).on("error", done);
	}, 4);
	// the next one is started by the end of an answer, and that is measured by an async function
	let took = 0;
	const timed = async (res, at) => {
		await once(res, "readable");
		await once(res, "end");
		took += Date.now() - at;
	};
	const measured = async.queue((path, done) => {
		http.get(new URL(path, next), { agent }, (res) => {
			timed(res, Date.now());
			res.on("end", () => done(null, res.statusCode + 0 * took)).on("data", () => {});
		}).on("error", done);
	}, 4);
	// what came within a turn of the loop: from the handler itself, and from a file's callback
	let soon = [];
	const ask = (path) => new Promise((resolve, reject) => {
		if (soon.length === 0) {
			setImmediate(() => {
				const all = soon;
				soon = [];
				for (const run of all)
					run();
			});
		}
		soon.push(() => http.get(new URL(path, next), { agent }, (res) => {
			res.resume().on("end", () => resolve([res.statusCode]));
		}).on("error", reject));
	});
	const bound = [];
	setInterval(() => {
		for (const run of bound.splice(0))
			run();
	}, 4);

	return {
		asyncq: (r) => queue.push(r),
		plimitall: (r) => limit(async () => [await r.slowly(0)]),
		pqueue: (r) => pqueue.add(async () => [await r.slowly(0)]),
		bottleneck: (r) => bottleneck.schedule(async () => [await r.slowly(0)]),
		cbqueue: (r) => new Promise((resolve, reject) => {
			fetched.push(r.path(0), (e, status) => (e ? reject(e) : resolve([status])));
		}),
		timedqueue: async (r) => {
			const all = [];
			for (const n of three) {
				all.push(await new Promise((resolve, reject) => {
					measured.push(r.path(n), (e, s) => (e ? reject(e) : resolve(s)));
				}));
				await r.pause();
			}
			return all;
		},
		immediate: (r) => ask(r.path(0)),
		immfile: (r) => new Promise((resolve, reject) => {
			fs.readFile("/etc/hostname", () => ask(r.path(0)).then(resolve, reject));
		}),
		genericpool: (r) => slots.use(async () => [await r.slowly(0)]),
		loader: async (r) => [await loader.load(r)],
		tickloader: async (r) => [await ticks.load(r)],
		// a batch's items that each remember the context they came from
		bound: (r) => new Promise((resolve, reject) => {
			bound.push(AsyncResource.bind(() => {
				r.slowly(0).then((status) => resolve([status]), reject);
			}));
		}),
		thread: threads(next),
	};
}

export async function ways(call, next) {
	return { ...own(call, next), ...libraries(), ...shared(call, next) };
}
