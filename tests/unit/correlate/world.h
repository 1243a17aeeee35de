/* SPDX-License-Identifier: Apache-2.0 */
/* world.h - the random applications of test_random.c: what they are made of, and who runs. */
#ifndef CLEW_TEST_WORLD_H
#define CLEW_TEST_WORLD_H

#include "sim.h"

enum { NGINX, PYTHON, GO, THREADS, OWNER, JAVA, RUST, KINDS, UNTRACED = KINDS };
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
	uint64_t slot;	/* Rust: messages so far to the task that writes here */
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
	bool http;	 /* Java: calls by java.net.http */
	uint32_t worker; /* Python's threads: the one that took its item, or 0 */
	bool wakes;	 /* and that has still to wake it */
};

struct world {
	struct sim sim;
	uint64_t rnd, ts;
	struct op *ops;
	int nr, links, requests, rust_started;
	bool haproxy; /* is the proxy, not nginx */
	bool uvloop;  /* runs the servers of Python */
	bool pool;    /* the threads are Python's, with others of their own */
	bool pool_busy[6];
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

INLINE uint32_t rnd(struct world *w, uint32_t n)
{
	w->rnd ^= w->rnd << 13;
	w->rnd ^= w->rnd >> 7;
	w->rnd ^= w->rnd << 17;
	return (uint32_t)(w->rnd >> 33) % n;
}

INLINE uint32_t pid_of(int kind)
{
	return kind == UNTRACED ? 0 : 10 + (uint32_t)kind * 10;
}

INLINE struct op *add(struct world *w, enum op_kind kind, struct who who)
{
	struct op *op;

	assert_true(w->nr < OPS);
	op = &w->ops[w->nr++];
	memset(op, 0, sizeof(*op));
	w->ts += 1000 + rnd(w, 200000);
	op->kind = kind;
	op->ts = w->ts;
	op->w = who;
	op->truth = -1;
	return op;
}

/* As an allocator does it: what was freed last comes first. A task goes with its context. */
INLINE uint64_t ctx_new(struct world *w)
{
	assert_true(w->nr_free > 0);
	return w->free_ctx[--w->nr_free];
}

INLINE void ctx_free(struct world *w, uint64_t ctx)
{
	w->free_ctx[w->nr_free++] = ctx;
}

/* Contexts in which all connections are read, or on uvloop all callbacks of a server run. */
enum { READER = 0x10, ACCEPTED = 0x20 };

/* uvloop reads when no callback runs, and a callback is entered (+1) and left (+1) again. */
INLINE void runs_uvloop(struct world *w, int kind, struct who *who)
{
	uint32_t *idle = &w->turn[kind];

	who->uvloop = true;
	if (who->ctx == READER || rnd(w, 3))
		*idle += 2;
	who->turn = *idle + (who->ctx != READER);
	if (who->ctx == READER)
		who->ctx = 0;
}

INLINE struct who runs(struct world *w, int kind, uint64_t ctx, uint64_t ref, uint32_t tid)
{
	struct who who = {.pid = pid_of(kind), .tid = tid, .ctx = ctx, .ref = ref};

	switch (kind) {
	case PYTHON:
	case OWNER:
		who.kind = CLEW_CTX_PYTHON;
		break;
	case GO:
		who.kind = CLEW_CTX_GO;
		break;
	case NGINX:
		who.kind = w->haproxy ? CLEW_CTX_HAPROXY : CLEW_CTX_NGINX;
		break;
	case THREADS:
		who.kind = w->pool ? CLEW_CTX_PYTHON : CLEW_CTX_THREAD;
		return who;
	case JAVA:
		who.kind = CLEW_CTX_JAVA;
		if (tid)
			return who;
		break; /* a virtual thread: whichever carrier, which may be a poller too */
	case RUST:
		who.kind = CLEW_CTX_TOKIO;
		break;
	default:
		break;
	}
	if (!tid) {
		who.tid = who.pid + (kind == GO || kind == JAVA || kind == RUST ? rnd(w, 4) : 0);
		who.flags = CLEW_SEG_LOOP;
		if (w->uvloop && who.kind == CLEW_CTX_PYTHON) {
			runs_uvloop(w, kind, &who);
			return who;
		}
		if (rnd(w, 3))
			w->turn[kind % KINDS]++;
		who.turn = w->turn[kind % KINDS];
	}
	return who;
}

/*
 * Who writes a request of tokio's: the task itself on some connections; on the others the
 * connection's own, which takes it out of a channel. A worker that some request has started puts in
 * what others asked it for, what follows an answer is put in by a task of its own, and a task that
 * the request waits for (CHILD) by that, or by one that it starts and waits for in turn.
 */
INLINE void rust_edge(struct world *w, uint16_t kind, uint64_t task, uint64_t child)
{
	struct op *op = add(w, OP_EDGE, runs(w, RUST, task, 0, 0));

	op->edge = kind;
	op->child = child;
}

INLINE uint64_t rust_child(struct world *w, struct handler *h, uint64_t me)
{
	if (!h->child) {
		h->child = 100000 + (uint64_t)w->nr;
		rust_edge(w, CLEW_EDGE_RUST_SPAWN, me, h->child);
	}
	if (!h->child_task && !rnd(w, 4)) {
		h->child_task = 100000 + (uint64_t)w->nr;
		rust_edge(w, CLEW_EDGE_RUST_SPAWN, h->child, h->child_task);
	}
	return h->child_task ? h->child_task : h->child;
}

/* The request waits for it, or nobody does, or somebody else. */
INLINE void rust_joins(struct world *w, struct handler *h, uint64_t me)
{
	if (h->child_task && rnd(w, 8))
		rust_edge(w, CLEW_EDGE_RUST_JOIN, h->child, h->child_task);
	if (h->child && rnd(w, 8))
		rust_edge(w, CLEW_EDGE_RUST_JOIN, rnd(w, 8) ? me : me + 1, h->child);
	h->child = h->child_task = 0;
}

INLINE struct who rust_caller(struct world *w, struct handler *h, struct link *out)
{
	uint64_t me = w->link[h->in].goid, task = me;
	struct who who;
	struct op *op;

	if (h->mode == WORKER) {
		task = 8000;
		if (!w->rust_started++)
			rust_edge(w, CLEW_EDGE_RUST_SPAWN, me, task);
	} else if (h->mode == BLOCKING || h->answered) {
		task = 100000 + (uint64_t)w->nr;
		rust_edge(w, CLEW_EDGE_RUST_SPAWN, me, task);
	} else if (h->mode == CHILD) {
		task = rust_child(w, h, me);
	}
	who = runs(w, RUST, task, 0, 0);
	if (out->k.c.id % 4 < 2)
		return who;
	op = add(w, OP_EDGE, who);
	op->edge = CLEW_EDGE_RUST_SEND;
	op->child = CLEW_RUST_MESSAGE(out->ctx, out->slot++);
	op->ref = rnd(w, 4) ? out->wgoid : 0; /* where nobody has taken one yet */
	return runs(w, RUST, out->wgoid, op->child, 0);
}

/* Threads that are fed by a queue; the last ones take the next item while they work on one. */
enum { POOL = 6, POOL_AHEAD = 2, POOL_TID = 600 };

INLINE void pool_edge(struct world *w, uint16_t kind, uint32_t tid, uint64_t ref)
{
	struct op *op = add(w, OP_EDGE, runs(w, THREADS, 0, 0, tid));

	op->edge = kind;
	op->ref = ref;
}

INLINE uint64_t pool_lock(const struct world *w, const struct handler *h)
{
	return 0x40000 + 64 * (uint64_t)w->link[h->in].tid;
}

/* The handler gives its item away, and waits. May who took it call by now? */
INLINE bool pool_ready(struct world *w, struct handler *h)
{
	uint32_t i = h->worker ? h->worker - POOL_TID : rnd(w, POOL), tid = w->link[h->in].tid;
	uint64_t item;

	if (h->mode == PLAIN)
		return true;
	if (!h->worker) {
		if (i < POOL - POOL_AHEAD && w->pool_busy[i])
			return false;
		h->worker = POOL_TID + i;
		item = ctx_new(w);
		pool_edge(w, CLEW_EDGE_PY_GIVE, tid, item);
		pool_edge(w, CLEW_EDGE_PY_WAIT, tid, pool_lock(w, h));
		pool_edge(w, CLEW_EDGE_PY_TAKE, h->worker, item);
		ctx_free(w, item);
	}
	if (w->pool_busy[i])
		return false;
	w->pool_busy[i] = true;
	return true;
}

INLINE void pool_wakes(struct world *w, struct handler *h)
{
	pool_edge(w, CLEW_EDGE_PY_WAKE, h->worker, pool_lock(w, h));
	h->worker = 0;
	h->wakes = false;
}

/* Its call is over; the handler is woken at once, or later. */
INLINE void pool_done(struct world *w, struct handler *h)
{
	if (!h->worker)
		return;
	w->pool_busy[h->worker - POOL_TID] = false;
	h->wakes = true;
	if (rnd(w, 4))
		pool_wakes(w, h);
}

/* A thread that serves many at once: what it reads is there, or it has waited for it. */
INLINE struct who java_loop(struct world *w)
{
	struct who who = runs(w, JAVA, 19, 0, 919);

	who.flags = CLEW_SEG_LOOP;
	who.turn = 1 + w->turn[JAVA];
	return who;
}

/* Every second connection of the JVM is served by virtual threads. */
INLINE struct who java(struct world *w, const struct handler *h)
{
	const struct link *l = &w->link[h->in];

	if (h->ctx)
		return runs(w, JAVA, h->ctx, CLEW_JAVA_VIRTUAL, 0);
	if (l->tid % 8 == 4)
		return java_loop(w);
	return runs(w, JAVA, 20 + (uint64_t)h->in, h->serial, l->tid);
}

/* It gives its calls to a job of a pool that it waits for (BLOCKING) or that answers, too (CHILD),
 * or to a job without end that serves others, too, and maybe answers all of them (WORKER). */
INLINE void java_job(struct world *w, struct handler *h)
{
	int i = (int)rnd(w, 4);

	if (h->mode == WORKER) {
		w->loops += !rnd(w, 20);
		h->job = 200 + w->loops;
		h->job_ref = CLEW_JAVA_JOB;
	} else if (h->mode != PLAIN && !w->job_busy[i]) {
		w->job_busy[i] = true;
		h->job = 100 + (uint64_t)i;
		h->job_ref = CLEW_JAVA_JOB | w->jobs[i];
	} else {
		h->mode = PLAIN;
	}
}

/* java.net.http's own thread. */
INLINE struct who java_client(struct world *w)
{
	struct who who = runs(w, JAVA, 500, CLEW_JAVA_CLIENT, 950);

	who.flags = CLEW_SEG_LOOP;
	return who;
}

INLINE struct who java_caller(struct world *w, const struct handler *h)
{
	if (h->http)
		return java_client(w);
	return h->mode == PLAIN ? java(w, h)
				: runs(w, JAVA, h->job, h->job_ref, 900 + (uint32_t)h->job);
}

INLINE struct who java_responder(struct world *w, const struct handler *h)
{
	return h->mode == CHILD || (h->mode == WORKER && h->job & 1) ? java_caller(w, h)
								     : java(w, h);
}

#endif
