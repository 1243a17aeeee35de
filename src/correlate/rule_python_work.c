/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_python_work.c - work that a request gives to others and waits for.
 *
 * Tasks that a bound Task starts (gather, wait, TaskGroup): that it started them proves nothing,
 * for the first request may start a flusher that serves the others. A second witness is needed:
 * when the answer of the call comes in, the request's own Task waits for the Task that made it,
 * while the request is unanswered (`join`). A task that goes on to call after the answer was no
 * part of the request after all, and takes back what was concluded from it.
 * A task that had ended before the answer of its only call came only wrote it: then its parent
 * called (aiohttp's client sends bodies so).
 *
 * Thread pools: a work item is put into the queue by whoever submits it, and is run to its end by
 * the thread that takes it out. The item is the job's identity: its memory cannot be another's
 * while the queue refers to it.
 */
#include "correlate/rule_python.h"

#include <stdlib.h>

struct py_await {
	struct co_list link;
	struct co_node *c; /* reference */
	bool own;	   /* the context made the call itself */
};

/* Value of co->py_items. Neither: nobody's. */
struct co_py_item {
	struct co_node *x;    /* reference: the thread that put it had this request */
	struct co_py_ctx *by; /* reference: the context that put it */
};

const size_t co_py_item_bytes = sizeof(struct co_py_item);

/* ---- joins ---- */

static void await_free(struct clew_correlate *co, struct py_await *a)
{
	co_list__del(&a->link);
	co_node__put(co, a->c);
	free(a);
}

void co_py_join__forget(struct clew_correlate *co, struct co_py_ctx *py)
{
	while (!co_list__empty(&py->awaits))
		await_free(co, co_entry(py->awaits.next, struct py_await, link));
}

static void await(struct co_py_ctx *py, struct co_node *c, bool own)
{
	struct py_await *a = calloc(1, sizeof(*a));

	if (!a)
		return;
	a->c = co_node__get(c);
	a->own = own;
	co_list__add_tail(&py->awaits, &a->link);
}

void co_py_join__proved(struct clew_correlate *co, struct co_py_ctx *py, struct co_node *x,
			const char *evidence)
{
	while (!co_list__empty(&py->awaits)) {
		struct py_await *a = co_entry(py->awaits.next, struct py_await, link);

		if (a->c->wait != CO_WAIT_CONTEXT || a->c->req_ts < x->req_ts)
			;
		else if (!a->own)
			co_link__late(co, a->c, x, CLEW_LINK_INFERRED, co_ev_join);
		else if (co_py__same(co, a->c, x->ex->resp.ref, x))
			co_link__late(co, a->c, x, CLEW_LINK_EXACT, evidence);
		await_free(co, a);
	}
}

/* It is at this request itself, which nobody has answered. */
static bool at_open_request(const struct co_py_ctx *py)
{
	return py->x && !py->shared && py->depth == 1 && !py->x->answered && py->via != PY_COPY;
}

static void joined_to(struct clew_correlate *co, struct co_node *c, struct co_py_ctx *who)
{
	struct co_py_ctx *py = c->by;

	if ((!py->x || py->x == who->x) && who->x->req_ts <= c->req_ts)
		co_link__late(co, c, who->x, CLEW_LINK_INFERRED, co_ev_join);
}

static void helper_ended(struct clew_correlate *co, struct co_node *c)
{
	struct co_py_ctx *py = c->by, *parent = py->parent;

	if (!parent || parent->shared || py->calls != 1)
		return;
	if (at_open_request(parent)) {
		joined_to(co, c, parent);
	} else if (!parent->x) {
		c->cand_evidence = co_ev_join;
		co_list__del(&c->wait_link);
		co_list__add_tail(&parent->held, &c->wait_link);
	}
}

/* Another context is born at its address. */
void co_py_join__died(struct clew_correlate *co, struct co_py_ctx *py)
{
	struct co_list *l, *next;

	for (l = py->held.next; l != &py->held; l = next) {
		struct co_node *c = co_entry(l, struct co_node, wait_link);

		next = l->next;
		if (c->by == py && !c->answered && !c->cand_evidence)
			helper_ended(co, c);
	}
}

static void waited_for(struct clew_correlate *co, struct co_node *c, const struct clew_edge *edge)
{
	struct co_py_ctx *top = NULL, *q;

	for (uint16_t i = 0; i < edge->chain_len && i < CLEW_CHAIN_MAX; i++) {
		q = co_py__find(co, c->pid, edge->chain[i]);
		if (!q || q->shared)
			continue;
		if (at_open_request(q)) {
			joined_to(co, c, q);
			return;
		}
		if (q->x)
			continue;
		/* one of these may prove itself by its answer */
		await(q, c, false);
		top = q;
	}
	if (!top)
		return;
	/* the call's own context may be gone by then; the topmost lives longest */
	await(c->by, c, true);
	co_list__del(&c->wait_link);
	co_list__add_tail(&top->held, &c->wait_link);
	c->cand_evidence = co_ev_join;
}

void co_py_join__edge(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_conn *conn = co_conn__find(co, edge->conn_id);
	struct co_node *c = conn ? conn->py_call : NULL;

	if (!c)
		return;
	conn->py_call = NULL;
	if (c->wait == CO_WAIT_CONTEXT && c->ex && c->ex->req.ctx == edge->ctx) {
		if (edge->chain_len)
			waited_for(co, c, edge);
		else if (!edge->ref)
			helper_ended(co, c);
	}
	co_node__put(co, c);
}

/* ---- work items ---- */

void co_py_item__drop(void *arg, void *val)
{
	struct co_py_item *item = val;

	co_node__put(arg, item->x);
	co_py__put(arg, item->by);
	free(item);
}

/* The Task that put it must be the one that the context was made for: addresses are recycled. */
static struct co_py_ctx *live(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_py_ctx *py = co_py__find(co, edge->h.pid, edge->ctx);

	return py && !py->shared && py->task && py->task == edge->child ? py : NULL;
}

void co_py_item__put(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_thread *t = co_thread__find(co, edge->h.tid, edge->h.pid);
	struct co_py_item *item = calloc(1, sizeof(*item));
	uint64_t key = co_py__key(co, edge->h.pid);

	if (!item) {
		co_map__del(&co->py_items, key, edge->ref); /* what the address meant before */
		return;
	}
	if (t && !t->loop && !t->multi && t->nr_open == 1) {
		item->x = co_node__get(t->open);
	} else if (t && t->job_set) { /* a job that gives away a part of it */
		item->x = co_node__get(t->job_x);
		item->by = co_py__get(t->job_by);
	} else {
		item->by = co_py__get(live(co, edge));
	}
	if (co_map__put(&co->py_items, key, edge->ref, item))
		co_py_item__drop(co, item);
}

void co_py_item__get(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_thread *t = co_thread(co, edge->h.tid, edge->h.pid);
	uint64_t key = co_py__key(co, edge->h.pid);
	struct co_py_item *item = co_map__get(&co->py_items, key, edge->ref);

	if (!t)
		return;
	co_thread__job_over(co, t);
	if (!item)
		return;
	t->job_set = 1;
	t->job_x = co_node__get(item->x);
	t->job_by = co_py__get(item->by);
	co_map__del(&co->py_items, key, edge->ref);
}

void co_py_item__claim(struct clew_correlate *co, struct co_node *c, const struct co_thread *t,
		       struct co_claim *ret)
{
	struct co_py_ctx *by = t->job_by;

	(void)co;
	if (t->job_x) {
		co_py__claim(ret, NULL, t->job_x, CLEW_LINK_EXACT, co_ev_item);
	} else if (by && !by->shared) {
		if (by->x && by->depth == 1) {
			co_py__claim(ret, by, by->x, CLEW_LINK_EXACT, co_ev_item);
		} else if (!by->x) {
			ret->kind = CO_CLAIM_HOLD;
			ret->by = by;
			c->cand_evidence = co_ev_item;
		}
	}
}
