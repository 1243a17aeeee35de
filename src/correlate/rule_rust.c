/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_rust.c - tokio's tasks, and the messages between them (runtimes.md, Rust tokio).
 *
 * A server has a task per connection, which reads X, runs the handler and answers X, on whichever
 * thread. Ids of tasks are never used again, so what that task asks of others until it answers, it
 * asks for X. That is given up for good when the task
 *   - read requests of two connections, or held two at once, or
 *   - read a request that another task answered: it hands connections on.
 *
 * A client such as hyper's has a task per connection too, which writes what other tasks send it
 * through a channel. So who writes says nothing; which message it took does: (channel, slot) is
 * put in by the caller's task, once, and taken out once. It is the request that is written next
 * only if the client's task takes one, writes one, in turns: on one connection the slots of
 * successive requests follow one another without a gap, from 0 on where it was seen from its
 * start, and all are taken by one task. Where not, the connection proves nothing from then on.
 * An address is another channel's when that is freed: the kernel side numbers channels anew where
 * one begins at slot 0 or another task takes.
 *
 * Never by who was spawned by whom, never by wake-ups: a worker or flusher that one request starts
 * serves the others (425 of 600 wrong). A second witness is needed: the request's own task takes
 * what the task that it started has given (JoinHandle, JoinSet), at the same request, before it
 * answers. So all of that task's life was within the request, and the request waited for it
 * (`join`, inferred: a task that starts a flusher and waits for it has waited for the others'
 * calls, too).
 */
#include "correlate/internal.h"

#include <stdlib.h>

#define SLOT_ONE (1ULL << CLEW_RUST_SLOT)

struct rust_message {
	struct co_node *x;    /* reference: the request that its sender was at; NULL: a child */
	struct co_thread *by; /* reference: the sender */
	uint64_t ts;
	uint64_t taker; /* the task that took the channel's messages so far, 0: nobody yet */
	uint8_t used;
};

const size_t co_rust_message_bytes = sizeof(struct rust_message);

void co_rust_message__drop(void *arg, void *val)
{
	struct rust_message *m = val;

	co_node__put(arg, m->x);
	co_thread__put(arg, m->by);
	free(m);
}

static uint64_t key_of(struct clew_correlate *co, uint32_t pid)
{
	struct co_proc *proc = co_proc(co, pid);

	return (uint64_t)(proc ? proc->gen : 0) << 32 | pid;
}

/* Tasks that serve, by their id. */
static struct co_thread *task_of(struct clew_correlate *co, uint32_t pid, uint64_t id, bool make)
{
	uint64_t key = key_of(co, pid);
	struct co_thread *t = id ? co_map__get(&co->threads, key, id) : NULL;

	if (t || !make || !id)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->refs = 1;
	t->pid = pid;
	co_list__init(&t->held);
	if (co_map__put(&co->threads, key, id, t)) {
		free(t);
		return NULL;
	}
	return t;
}

static void rust_request(struct clew_correlate *co, struct co_node *x)
{
	struct co_thread *t = task_of(co, x->pid, x->ex->req.ctx, true);

	if (!t)
		return;
	if (t->serves && t->serves != x->conn->id)
		co_thread__multi(co, t);
	t->serves = x->conn->id;
	co_thread__serves(co, t, x, true);
}

static struct co_node *open_request(const struct co_thread *t)
{
	return t && !t->multi && t->nr_open == 1 ? t->open : NULL;
}

/* ---- tasks that are waited for ---- */

/* A request's task has started it, or one that such a task has started, and it reads no requests */
static bool is_child(const struct co_thread *t)
{
	return t && t->waits_ctx && !t->serves;
}

static void spawned(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_thread *parent = task_of(co, edge->h.pid, edge->ctx, false), *t;
	struct co_node *x = open_request(parent);

	if (!x && !is_child(parent))
		return;
	t = task_of(co, edge->h.pid, edge->child, true);
	if (!t || t->waits_ctx || t->serves)
		return; /* the same record twice */
	t->waits_ctx = edge->ctx;
	t->job_x = co_node__get(x);
}

static void rust_hold(struct clew_correlate *co, struct co_node *c, void *by)
{
	struct co_thread *t = by;

	(void)co;
	t->refs++;
	c->by = t;
	c->wait = CO_WAIT_CONTEXT;
	co_list__add_tail(&t->held, &c->wait_link);
}

/* Its calls are those of the task that waited for it: of its request, or of who waits for that. */
static void inherit(struct clew_correlate *co, struct co_thread *from, struct co_thread *to,
		    struct co_node *x)
{
	struct co_list *l, *next;

	for (l = from->held.next; l != &from->held; l = next) {
		struct co_node *c = co_entry(l, struct co_node, wait_link);

		next = l->next;
		if (x && x->req_ts > c->req_ts)
			continue;
		to->refs++;
		c->by = to;
		co_thread__put(co, from);
		if (x) {
			co_link__until_answered(co, c, x, CLEW_LINK_INFERRED, co_ev_join);
		} else {
			co_list__del(&c->wait_link);
			co_list__add_tail(&to->held, &c->wait_link);
		}
	}
}

/* It is over, and the task that has started it takes what it gave, at the same request still. */
static void joined(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_thread *t = task_of(co, edge->h.pid, edge->child, false);
	struct co_thread *parent = task_of(co, edge->h.pid, edge->ctx, false);

	if (!is_child(t))
		return;
	if (!parent || t->waits_ctx != edge->ctx)
		; /* it was given to somebody else */
	else if (t->job_x ? open_request(parent) == t->job_x : is_child(parent))
		inherit(co, t, parent, t->job_x);
	co_map__del(&co->threads, key_of(co, edge->h.pid), edge->child);
}

/* ---- messages ---- */

/* One was put into a channel. */
static void sent(struct clew_correlate *co, const struct clew_edge *edge)
{
	uint64_t key = key_of(co, edge->h.pid);
	struct co_thread *t = task_of(co, edge->h.pid, edge->ctx, false);
	struct co_node *x = open_request(t);
	struct rust_message *m;

	m = co_map__get(&co->rust_messages, key, edge->child);
	if (m && m->ts == edge->h.ts)
		return; /* the same record twice */
	m = x || is_child(t) ? calloc(1, sizeof(*m)) : NULL;
	if (!m) { /* better nothing than what was there, of a channel that is no more */
		co_map__del(&co->rust_messages, key, edge->child);
		return;
	}
	m->x = co_node__get(x);
	m->by = t;
	t->refs++;
	m->ts = edge->h.ts;
	m->taker = edge->ref;
	if (co_map__put(&co->rust_messages, key, edge->child, m))
		co_rust_message__drop(co, m);
}

static void rust_edge(struct clew_correlate *co, const struct clew_edge *edge)
{
	switch (edge->kind) {
	case CLEW_EDGE_RUST_SEND:
		sent(co, edge);
		break;
	case CLEW_EDGE_RUST_SPAWN:
		spawned(co, edge);
		break;
	case CLEW_EDGE_RUST_JOIN:
		joined(co, edge);
		break;
	default:
		break;
	}
}

/* Bytes are missing: a request may be among them, and its message. What follows begins anew. */
static void rust_segment(struct clew_correlate *co, const struct clew_segment *seg)
{
	struct co_conn *conn = seg->dir == CLEW_SEND ? co_conn__find(co, seg->conn_id) : NULL;

	if (!conn || conn->pid != seg->h.pid)
		return;
	if (conn->has_sent && seg->seq != conn->sent_to)
		conn->rust_message = 0;
	conn->sent_to = seg->seq + seg->len;
	conn->has_sent = 1;
}

static uint64_t next_message(uint64_t message)
{
	return message + SLOT_ONE; /* the slot is in the highest bits: it wraps */
}

/* Does this request's message come next on its connection, as far as that is known? */
static bool in_turn(const struct co_conn *conn, const struct clew_feed *req, bool first)
{
	if (conn->rust_message)
		return req->ref == next_message(conn->rust_message) && req->ctx == conn->rust_task;
	return !first || req->seg_flags & CLEW_SEG_LATE || req->ref < SLOT_ONE;
}

/* The message that a request was taken from, or NULL. */
static struct rust_message *message_of(struct clew_correlate *co, struct co_conn *conn,
				       const struct co_node *c)
{
	const struct clew_feed *req = &c->ex->req;
	uint64_t key = key_of(co, c->pid), before = conn->rust_ts;
	bool first = !conn->rust_ts;
	struct rust_message *m;

	if (conn->rust_key != key) { /* nobody watched for a while */
		conn->rust_key = key;
		conn->rust_message = 0;
		conn->rust_off = 0;
		conn->rust_queued = 0;
	}
	conn->rust_ts = c->req_ts;
	if (!conn->rust_message && !req->ref)
		return NULL; /* not watched yet */
	conn->rust_queued = 1;
	if (!in_turn(conn, req, first))
		conn->rust_off = 1;
	conn->rust_message = req->ref;
	conn->rust_task = req->ctx;
	if (conn->rust_off)
		return NULL;
	m = co_map__get(&co->rust_messages, key, req->ref);
	if (!m || m->used || m->ts > c->req_ts)
		return NULL;
	/* The number is this channel's alone, so it agrees with all that is known of it. */
	if (m->ts < before || (m->taker && m->taker != req->ctx))
		return NULL;
	m->used = 1;
	return m;
}

static void rust_claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	struct co_thread *t = task_of(co, c->pid, c->ex->req.ctx, false);
	struct co_conn *conn = co_conn__of(c);
	struct rust_message *m = conn ? message_of(co, conn, c) : NULL;
	struct co_node *x = open_request(t);

	ret->link = CLEW_LINK_EXACT;
	if (t && t->serves && m && m->x != x) {
		ret->conflict = true;
	} else if (x) {
		ret->kind = CO_CLAIM_NODE;
		ret->x = x;
		ret->by = t;
		ret->evidence = co_ev_tokio;
	} else if (m && m->x) {
		ret->kind = CO_CLAIM_NODE;
		ret->x = m->x;
		ret->by = m->by;
		ret->evidence = co_ev_message;
	} else if (m || (is_child(t) && !(conn && conn->rust_queued))) {
		ret->kind = CO_CLAIM_HOLD;
		ret->by = m ? m->by : t;
	}
}

static bool rust_stands(struct clew_correlate *co, const struct co_node *c, const struct co_node *x)
{
	const struct co_thread *t = c->by;

	(void)co;
	if (!t || t->multi || (c->cand_evidence == co_ev_message && c->conn->rust_off))
		return false;
	return !x->ex || !x->ex->resp.ts || co_thread__answers(x) == CO_WHO_SAME;
}

const struct co_rule co_rule_rust = {
	.runtimes = 1U << CLEW_RT_UNKNOWN | 1U << CLEW_RT_TOKIO,
	.segment = rust_segment,
	.edge = rust_edge,
	.request = rust_request,
	.claim = rust_claim,
	.hold = rust_hold,
	.stands = rust_stands,
	.get = co_thread__get_by,
	.put = co_thread__put_by,
};
