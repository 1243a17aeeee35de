/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_go.c - goroutines and request contexts.
 *
 * net/http serves a connection in one goroutine, one request after the other, and writes a
 * client request in another that belongs to the client connection: who writes says nothing. What
 * counts is who called roundTrip, and with which context.
 *
 *   cur[goid]   the request that this server goroutine works on. From the read of the request
 *               for servers without ServeHTTP (fasthttp); where ServeHTTP was seen, from there:
 *               until it is entered, the handler before may still be running. Kept after the
 *               answer, until the goroutine reads on.
 *   ctxs[ctx]   the request that a request context was made for. Addresses are recycled by the
 *               collector, so the connection's context must still be its parent, an entry goes
 *               two seconds after its request, and a hit after the request is inferred only.
 *   pend[conn]  what roundTrip said of the next request on a connection.
 *   call[conn]  whose request started the goroutine that called roundTrip, and whether the
 *               request's own goroutine was seen waiting, during this very call, for a channel or
 *               WaitGroup that the caller was given. Or it waited for a place (errgroup's
 *               SetLimit): that counts once it waits for the WaitGroup of the same object.
 *
 * Never by ancestry alone (a worker that the first request starts serves all later ones: 1798 of
 * 1800 wrong), never by the goroutine of the write (2009 of 2402 wrong). Even with the wait it is
 * inferred, and withdrawn if within the window the goroutine makes a call that nobody waits for:
 * counter-example, a request that waits until the worker that it started has served others, too.
 */
#include "correlate/internal.h"

#include <stdlib.h>
#include <string.h>

#define GO_WAITED 4

struct go_cur {
	struct co_node *x; /* reference, or NULL */
	uint64_t conn_id;
	uint64_t ctx, serve_ts;
	uint64_t waited[GO_WAITED]; /* the last objects whose WaitGroup it waited for, at x */
	uint8_t n_waited;
	uint8_t http;	/* net/http: ServeHTTP was entered on it */
	uint8_t writer; /* writes for roundTrip: a connection's write loop */
	uint8_t lone;	/* a request started it, and it calls out without being waited for */
};

struct co_go_call {
	uint32_t refs;
	struct co_node *x; /* reference: the request that started its goroutine */
	uint64_t goid;	   /* who calls */
	uint64_t starter;  /* who serves x */
	uint64_t limiter; /* address of an object in which x's goroutine waited for a place, or 0 */
	uint8_t claimed, joined;
};

struct go_ctx {
	struct co_node *x;   /* reference, or NULL: a request that was not seen */
	uint64_t connection; /* its parent: the context of the connection */
};

const size_t co_go_cur_bytes = sizeof(struct go_cur);
const size_t co_go_ctx_bytes = sizeof(struct go_ctx);

void co_go_rule__free(void *arg, void *val)
{
	struct go_cur *cur = val;

	co_node__put(arg, cur->x);
	free(cur);
}

void co_go_rule__free_ctx(void *arg, void *val)
{
	struct go_ctx *ctx = val;

	co_node__put(arg, ctx->x);
	free(ctx);
}

static uint64_t key_of(struct clew_correlate *co, uint32_t pid)
{
	struct co_proc *proc = co_proc(co, pid);

	return (uint64_t)(proc ? proc->gen : 0) << 32 | pid;
}

static struct go_cur *cur_find(struct clew_correlate *co, uint32_t pid, uint64_t goid)
{
	return goid ? co_map__get(&co->go_cur, key_of(co, pid), goid) : NULL;
}

static struct go_cur *cur_get(struct clew_correlate *co, uint32_t pid, uint64_t goid)
{
	struct go_cur *cur = cur_find(co, pid, goid);

	if (cur || !goid)
		return cur;
	cur = calloc(1, sizeof(*cur));
	if (cur && co_map__put(&co->go_cur, key_of(co, pid), goid, cur)) {
		free(cur);
		return NULL;
	}
	return cur;
}

static void set_x(struct clew_correlate *co, struct go_cur *cur, struct co_node *x)
{
	co_node__get(x);
	co_node__put(co, cur->x);
	cur->x = x;
	memset(cur->waited, 0, sizeof(cur->waited));
}

static bool waited_for(const struct go_cur *cur, uint64_t object)
{
	for (int i = 0; i < GO_WAITED; i++) {
		if (cur->waited[i] == object)
			return true;
	}
	return false;
}

static void clear_pend(struct clew_correlate *co, struct co_conn *conn)
{
	co_node__put(co, conn->pend);
	conn->pend = NULL;
	conn->has_pend = 0;
	conn->has_pend_pos = 0;
}

static void *call_get(void *by)
{
	((struct co_go_call *)by)->refs++;
	return by;
}

static void call_put(struct clew_correlate *co, void *by)
{
	struct co_go_call *call = by;

	if (!call || --call->refs)
		return;
	co_node__put(co, call->x);
	free(call);
}

static void set_call(struct clew_correlate *co, struct co_conn *conn, struct co_go_call *call)
{
	call_put(co, conn->call);
	conn->call = call;
}

static void go_closed(struct clew_correlate *co, struct co_conn *conn)
{
	set_call(co, conn, NULL);
}

static void go_segment(struct clew_correlate *co, const struct clew_segment *seg)
{
	struct co_conn *conn = co_conn__find(co, seg->conn_id);
	struct go_cur *cur;

	if (!conn || conn->pid != seg->h.pid)
		return;
	if (seg->dir == CLEW_SEND) {
		conn->sent_to = seg->seq + seg->len;
		conn->has_sent = 1;
		return;
	}
	/* an answer before the request: its record was lost */
	if (conn->has_pend && seg->len)
		clear_pend(co, conn);
	cur = cur_find(co, seg->h.pid, seg->ctx);
	/* the goroutine that served here reads on: it is done with what it has answered */
	if (cur && cur->conn_id == seg->conn_id && cur->x && cur->x->answered)
		set_x(co, cur, NULL);
}

static void go_request(struct clew_correlate *co, struct co_node *x)
{
	struct go_cur *cur = cur_get(co, x->pid, x->ex->req.ctx);
	struct co_conn *conn = co_conn__of(x);

	if (!cur || !conn)
		return;
	cur->conn_id = conn->id;
	/* pipelined: the goroutine is still at an older one */
	if (co_conn__several(conn))
		return;
	set_x(co, cur, cur->http ? NULL : x);
}

/* The one request on this goroutine's connection that ServeHTTP can be entered for. */
static struct co_node *to_be_served(struct clew_correlate *co, const struct go_cur *cur,
				    uint32_t pid, uint64_t goid)
{
	struct co_conn *conn = co_conn__find(co, cur->conn_id);
	struct co_node *found = NULL;
	struct co_list *l;

	if (!cur->conn_id || !conn || conn->pid != pid)
		return NULL;
	for (l = conn->open.next; l != &conn->open; l = l->next) {
		struct co_node *x = co_entry(l, struct co_node, conn_link);

		if (x->served || !x->ex || x->ex->req.ctx != goid)
			continue;
		if (found)
			return NULL; /* pipelined, or records were lost: cannot be told */
		found = x;
	}
	return found;
}

static void serve(struct clew_correlate *co, const struct clew_edge *edge)
{
	uint32_t pid = edge->h.pid;
	struct go_cur *cur = cur_get(co, pid, edge->ctx);
	uint64_t key = key_of(co, pid), ctx = edge->chain_len ? edge->chain[0] : 0;
	struct co_node *x;
	struct go_ctx *entry;

	if (!cur || (cur->serve_ts == edge->h.ts && cur->ctx == ctx))
		return; /* the same record twice */
	x = to_be_served(co, cur, pid, edge->ctx);
	if (x)
		x->served = 1;
	cur->http = 1;
	cur->ctx = ctx;
	cur->serve_ts = edge->h.ts;
	set_x(co, cur, x);
	if (!ctx)
		return;
	entry = malloc(sizeof(*entry));
	if (!entry) {
		co_map__del(&co->go_ctx, key, ctx); /* better nothing than a recycled address */
		return;
	}
	entry->x = co_node__get(x);
	entry->connection = edge->chain_len > 1 ? edge->chain[1] : 0;
	if (co_map__put(&co->go_ctx, key, ctx, entry))
		co_go_rule__free_ctx(co, entry);
}

/* The request context nearest in the chain, if it is the only one: sets *conflict if not. */
static struct go_ctx *nearest(struct clew_correlate *co, const struct clew_edge *edge,
			      bool *conflict)
{
	uint64_t key = key_of(co, edge->h.pid);
	struct go_ctx *found = NULL, *entry;
	int i;

	/* one whose parent would not be seen proves nothing: the last of a chain that was cut off
	 */
	for (i = 0; i < edge->chain_len && i + 1 < CLEW_CHAIN_MAX; i++) {
		if (!edge->chain[i])
			continue;
		entry = co_map__get(&co->go_ctx, key, edge->chain[i]);
		if (!entry || edge->chain[i + 1] != entry->connection)
			continue; /* recycled: the context of something else */
		if (entry->x && entry->x->done && entry->x->settled + co->window < co->now) {
			co_map__del(&co->go_ctx, key, edge->chain[i]);
			continue;
		}
		if (found && found->x != entry->x) {
			*conflict = true;
			return NULL;
		}
		if (!found)
			found = entry;
	}
	return found;
}

static void roundtrip(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_conn *conn = co_conn(co, edge->conn_id, edge->h.pid);
	struct go_cur *cur = cur_find(co, edge->h.pid, edge->ctx);
	struct co_node *own = cur ? cur->x : NULL, *x = NULL;
	bool conflict = false;
	struct go_ctx *hit;

	if (!conn || conn->pid != edge->h.pid)
		return;
	hit = nearest(co, edge, &conflict);
	conn->pend_evidence = NULL;
	conn->pend_link = CLEW_LINK_EXACT;
	if (hit && hit->x && own && hit->x != own) {
		conflict = true;
	} else if (hit) {
		x = hit->x;
		conn->pend_evidence = co_ev_context;
		/* the address may be a new context's by now; the goroutine cannot */
		if (x && x->done && x != own)
			conn->pend_link = CLEW_LINK_INFERRED;
	} else if (own && !conflict) {
		x = own;
		conn->pend_evidence = co_ev_goroutine;
	}
	clear_pend(co, conn);
	set_call(co, conn, NULL);
	conn->pend = conflict ? NULL : co_node__get(x);
	conn->pend_conflict = conflict;
	conn->pend_known = hit || own || conflict;
	conn->has_pend = 1;
	conn->pend_ts = edge->h.ts;
	conn->has_pend_pos = conn->has_sent;
	conn->pend_pos = conn->sent_to;
}

/* What the goroutine of a request was seen to wait for when one that it started called out. */
struct go_wait {
	struct go_cur *cur; /* its goroutine, or NULL, and the id of that */
	uint64_t goid;
	struct co_node *x; /* the request, or NULL when that is not known */
	uint64_t object;   /* in which the channel or WaitGroup is, or 0 */
	bool joins;	   /* it waits for who calls */
	bool sends;	   /* else: it waits to put something into a channel in the object */
};

/* The nearest ancestor that serves, and what it serves. */
static struct go_wait started_by(struct clew_correlate *co, const struct clew_edge *edge)
{
	for (int i = 0; i < edge->chain_len && i < CLEW_GO_LEVELS; i++) {
		struct go_cur *cur = cur_find(co, edge->h.pid, edge->chain[i]);
		bool objects = edge->chain_len > CLEW_GO_LEVELS + i;

		if (!cur || (!cur->x && !cur->http))
			continue;
		return (struct go_wait){
			.cur = cur,
			.goid = edge->chain[i],
			.x = cur->x,
			.object = objects ? edge->chain[CLEW_GO_LEVELS + i] : 0,
			.joins = edge->ref >> i & 1,
			.sends = edge->ref / CLEW_GO_SENDS >> i & 1,
		};
	}
	return (struct go_wait){0};
}

static void mark_lone(struct clew_correlate *co, uint32_t pid, uint64_t goid)
{
	struct go_cur *cur = cur_get(co, pid, goid);

	if (cur)
		cur->lone = 1;
}

static void born_calls(struct clew_correlate *co, struct co_conn *conn,
		       const struct clew_edge *edge, const struct go_wait *wait)
{
	struct co_node *x = wait->x;
	struct co_go_call *call;

	set_call(co, conn, NULL);
	if (!conn->has_pend || conn->pend_conflict || !x)
		return;
	/* it works for others, or for itself */
	if (x->answered || (conn->pend_known && conn->pend != x)) {
		mark_lone(co, edge->h.pid, edge->ctx);
		return;
	}
	if (conn->pend_known)
		return;
	call = calloc(1, sizeof(*call));
	if (!call)
		return;
	call->refs = 1;
	call->x = co_node__get(x);
	call->goid = edge->ctx;
	call->starter = wait->goid;
	conn->call = call;
}

static void born(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_conn *conn = co_conn__find(co, edge->conn_id);
	struct go_wait wait = started_by(co, edge);
	struct co_go_call *call;
	bool open = wait.x && !wait.x->answered;

	if (!conn || conn->pid != edge->h.pid)
		return;
	if (open && wait.joins && wait.object && !waited_for(wait.cur, wait.object))
		wait.cur->waited[wait.cur->n_waited++ % GO_WAITED] = wait.object;
	if (!edge->child)
		born_calls(co, conn, edge, &wait);
	call = conn->call;
	if (!open || !call || call->x != wait.x || call->goid != edge->ctx ||
	    call->claimed != (edge->child != 0))
		return;
	call->joined |= wait.joins;
	if (wait.sends)
		call->limiter = wait.object;
}

static void go_edge(struct clew_correlate *co, const struct clew_edge *edge)
{
	if (edge->kind == CLEW_EDGE_GO_SERVE)
		serve(co, edge);
	else if (edge->kind == CLEW_EDGE_GO_ROUNDTRIP)
		roundtrip(co, edge);
	else if (edge->kind == CLEW_EDGE_GO_BORN)
		born(co, edge);
}

/* roundTrip has spoken of this connection's next request. */
static void claim_pend(struct clew_correlate *co, struct co_conn *conn, struct co_node *c,
		       struct co_claim *ret)
{
	struct go_cur *cur = cur_get(co, c->pid, c->ex->req.ctx);
	struct co_go_call *call = conn->call;

	if (cur)
		cur->writer = 1;
	ret->conflict = conn->pend_conflict;
	conn->has_pend = 0; /* taken; the reference stays until the next one */
	if (!conn->pend_known && co->sink.want)
		co->sink.want(co->sink.arg, c->pid, CLEW_SET_GO_SPAWN);
	/* not the very next byte after roundTrip spoke: records were lost between */
	if (c->req_ts < conn->pend_ts ||
	    (conn->has_pend_pos && conn->pend_pos != (uint32_t)c->ex->req.pos))
		return;
	if (conn->pend) {
		ret->kind = CO_CLAIM_NODE;
		ret->x = conn->pend;
		ret->evidence = conn->pend_evidence;
		ret->link = conn->pend_link;
	} else if (call && !call->claimed && !call->x->answered) {
		call->claimed = 1;
		ret->kind = CO_CLAIM_NODE;
		ret->x = call->x;
		ret->by = call;
		ret->evidence = co_ev_join;
		ret->link = CLEW_LINK_INFERRED;
	}
}

static void go_claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	struct co_conn *conn = co_conn__of(c);
	struct go_cur *cur;

	ret->link = CLEW_LINK_EXACT;
	if (conn && conn->has_pend) {
		claim_pend(co, conn, c, ret);
		return;
	}
	cur = cur_find(co, c->pid, c->ex->req.ctx);
	if (!cur || cur->writer || !cur->x || cur->conn_id == c->conn->id)
		return;
	ret->kind = CO_CLAIM_NODE;
	ret->x = cur->x;
	ret->evidence = co_ev_goroutine;
}

/* Its starter waited for a place while it called, and at the same request for all that were given
 * the object with the places: for this call, too. */
static bool limited(struct clew_correlate *co, const struct co_go_call *call)
{
	uint32_t pid = call->x->pid;
	const struct go_cur *cur = call->limiter ? cur_find(co, pid, call->starter) : NULL;

	return cur && cur->x == call->x && waited_for(cur, call->limiter);
}

static bool go_stands(struct clew_correlate *co, const struct co_node *c, const struct co_node *x)
{
	struct co_go_call *call = c->by;
	struct go_cur *cur;

	(void)x;
	if (!call)
		return true;
	if (!call->joined)
		call->joined = limited(co, call);
	if (!call->joined)
		mark_lone(co, c->pid, call->goid);
	cur = cur_find(co, c->pid, call->goid);
	return call->joined && !(cur && cur->lone);
}

/* Whether its goroutine serves others, too, the window will tell. */
static bool go_unsure(const struct co_node *c, const struct co_node *x)
{
	(void)x;
	return c->by;
}

const struct co_rule co_rule_go = {
	.runtimes = 1U << CLEW_RT_UNKNOWN | 1U << CLEW_RT_GO,
	.segment = go_segment,
	.edge = go_edge,
	.request = go_request,
	.closed = go_closed,
	.claim = go_claim,
	.stands = go_stands,
	.unsure = go_unsure,
	.get = call_get,
	.put = call_put,
};
