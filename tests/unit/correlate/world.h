/* SPDX-License-Identifier: Apache-2.0 */
/* world.h - the random applications of test_random.c: what they are made of. */
#ifndef CLEW_TEST_WORLD_H
#define CLEW_TEST_WORLD_H

#include "sim.h"

enum { NGINX, PYTHON, GO, THREADS, OWNER, JAVA, KINDS, UNTRACED = KINDS };
enum { LINKS = 80, HANDLERS = 64, OPS = 60000, CTXS = 4000 };
enum op_kind { OP_REQ, OP_RESP, OP_EDGE, OP_MARK };
enum mode { PLAIN, CHILD, WORKER, BLOCKING };

struct op {
	enum op_kind kind;
	uint64_t ts;
	struct who w;
	int link;
	bool server;
	uint64_t pos;
	int truth; /* OP_REQ: the op that caused it, or -1 */
	int req;   /* OP_RESP: its request */
	uint16_t edge;
	uint64_t child, ref, chain[2], conn_id;
	/* playback */
	struct sim_ex *ex;
	bool over;
};

struct link {
	struct sim_conn k;
	int src, dst;
	int client_op; /* the request on it, or -1 */
	bool busy, arrived, answered;
	uint64_t goid, ctx, task, wgoid;
	uint32_t tid;
	uint64_t shift; /* Unix: of the server's positions; the ends were met when it was old */
};

struct handler {
	bool used;
	int kind, in, out, x, calls, after, call_op;
	bool waiting, answered;
	uint64_t ctx, task, child, child_task;
	uint64_t born;		       /* Go: the goroutine that it waits for */
	uint64_t serial, job, job_ref; /* Java: its own thread's job; who calls in its place */
	enum mode mode;
};

struct world {
	struct sim sim;
	uint64_t rnd, ts;
	struct op *ops;
	int nr, links, requests;
	bool haproxy; /* is the proxy, not nginx */
	bool uvloop;  /* runs the servers of Python */
	struct link link[LINKS];
	struct handler h[HANDLERS];
	uint64_t free_ctx[CTXS];
	int nr_free;
	uint32_t turn[KINDS];
	uint64_t worker, worker_task;
	uint32_t jobs[4], loops; /* Java: jobs so far, by thread of a pool; jobs without end */
	bool job_busy[4];
	uint64_t go_starter, next_goid; /* Go's worker 8000 was started by it */
};

#endif
