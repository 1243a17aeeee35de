/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_python.c - asyncio by contextvars contexts (runtimes.md, Python, rules 1 to 8).
 *
 * Every Task and every callback runs in a PyContext; the probes report which one wrote, and which
 * one was made by whom. A context is bound to a request when
 *   - it was the first to be made while its request was being read: by the reading thread, in
 *     the context that read, in the same run of it (no context was entered or left in between),
 *     before that thread read anything else (depth 1), or
 *   - by a bound context (depth 2 and more), or
 *   - it answered the request and was born after the request was read ("responder"), or
 *   - it answered and is older: then it serves the connection, one request after the other
 *     ("connection-owner", aiohttp), as long as it never answers on a second connection.
 *
 * What a binding proves. Depth 1, running as the very Task that was bound: exact. Depth 2 and
 * more: nothing, for a worker that the first request starts lazily serves all later ones; the
 * one exception, inferred, is a copy used by a thread outside any event loop, which is how
 * handlers that block are run. Responders and owners: exact once the window has passed without
 * the context answering somebody else. A child of an owner is depth 2: the owner runs handlers.
 *
 * Addresses of contexts are recycled at once: every birth replaces what the address meant.
 * Answering a request that is not one's own taints a context for good.
 */
#include "correlate/rule_python.h"

#include <stdlib.h>

const size_t co_py_ctx_bytes = sizeof(struct co_py_ctx);

#define ANCESTRY_MAX 8 /* ancestors kept alive by one context */
#define WINDOW_OVER  1 /* co_thread.window_child: no context has this address */

struct co_py_ctx *co_py__get(struct co_py_ctx *py)
{
	if (py)
		py->refs++;
	return py;
}

void co_py__put(struct clew_correlate *co, struct co_py_ctx *py)
{
	struct co_py_ctx *parent;

	while (py && !--py->refs) {
		parent = py->parent;
		co_py_join__forget(co, py);
		co_node__put(co, py->x);
		free(py);
		py = parent;
	}
}

/* Nothing can be proved about what waits here any more. */
static void give_up(struct clew_correlate *co, struct co_py_ctx *py)
{
	while (!co_list__empty(&py->held)) {
		struct co_node *c = co_entry(py->held.next, struct co_node, wait_link);

		co_link__client(co, c, NULL, CLEW_LINK_NONE, NULL);
	}
	co_py_join__forget(co, py);
}

void co_py_ctx__drop(void *arg, void *val)
{
	give_up(arg, val);
	co_py__put(arg, val);
}

uint64_t co_py__key(struct clew_correlate *co, uint32_t pid)
{
	struct co_proc *proc = co_proc(co, pid);

	return (uint64_t)(proc ? proc->gen : 0) << 32 | pid;
}

static void bind(struct clew_correlate *co, struct co_py_ctx *py, struct co_node *x,
		 enum py_via via, uint8_t depth)
{
	co_node__get(x);
	co_node__put(co, py->x);
	py->x = x;
	py->via = (uint8_t)via;
	py->depth = depth;
}

static void taint(struct clew_correlate *co, struct co_py_ctx *py)
{
	if (py->shared)
		return;
	py->shared = 1;
	co->stats.conflicts++;
	bind(co, py, NULL, PY_UNBOUND, 0);
	give_up(co, py);
}

static struct co_py_ctx *make(struct clew_correlate *co, uint32_t pid, uint64_t addr,
			      uint64_t birth)
{
	struct co_py_ctx *py = calloc(1, sizeof(*py));

	if (!py)
		return NULL;
	py->refs = 1;
	py->addr = addr;
	py->birth = birth;
	co_list__init(&py->held);
	co_list__init(&py->awaits);
	if (co_map__put(&co->py_ctx, co_py__key(co, pid), addr, py)) {
		free(py);
		return NULL;
	}
	return py;
}

struct co_py_ctx *co_py__find(struct clew_correlate *co, uint32_t pid, uint64_t addr)
{
	return addr ? co_map__get(&co->py_ctx, co_py__key(co, pid), addr) : NULL;
}

static void close_window(struct clew_correlate *co, struct co_thread *t)
{
	co_node__put(co, t->window);
	t->window = NULL;
	t->window_set = 0;
}

/* Who writes on a connection that serves others is not at the request that it is bound to. */
static void check_answer(struct clew_correlate *co, const struct clew_segment *seg)
{
	struct co_py_ctx *py = co_py__find(co, seg->h.pid, seg->ctx);
	struct co_conn *conn;

	if (!py || !py->x || py->shared || py->x->conn->id == seg->conn_id)
		return;
	conn = co_conn__find(co, seg->conn_id);
	if (conn && conn->serves)
		taint(co, py);
}

/* Any read ends what the thread's previous read was about (rule 2). */
void co_py_rule__segment(struct clew_correlate *co, const struct clew_segment *seg)
{
	struct co_thread *t;

	if (seg->dir != CLEW_RECV) {
		if (seg->ctx_kind == CLEW_CTX_PYTHON &&
		    (seg->flags & CLEW_SEG_LOOP || seg->watch == CLEW_UNWATCHED))
			check_answer(co, seg);
		return;
	}
	t = co_thread__find(co, seg->h.tid, seg->h.pid);
	if (!t)
		return;
	t->freed_set = 0;
	if (t->window_set)
		close_window(co, t);
}

/* Rule 1; and the owner of the connection turns to its next request. */
static void py_request(struct clew_correlate *co, struct co_node *x)
{
	struct co_thread *t = co_thread(co, x->tid, x->pid);
	struct co_conn *conn = co_conn__of(x);
	bool several = !conn || co_conn__several(conn);

	if (t) {
		close_window(co, t);
		t->window_set = 1;
		t->window_child = 0;
		/* with older ones waiting, what is started now may be for any of them */
		t->window = several ? NULL : co_node__get(x);
		t->window_ctx = x->ex->req.ctx;
		t->window_turn = x->ex->req.turn;
	}
	if (conn && conn->owner && !conn->owner->shared)
		bind(co, conn->owner, several ? NULL : x, PY_OWNER, 1);
}

/* Copies are watched only where needed, so it matters since when, and whether still. */
static void note_copy(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_proc *proc = co_proc(co, edge->h.pid);

	if (!proc)
		return;
	if (!proc->copy_first)
		proc->copy_first = edge->h.ts;
	proc->copy_last = edge->h.ts;
}

/*
 * Is the context that wrote `c` the one that was at this address when it answered `x`? Where
 * copies are reported, every birth is; else only births with a Task are, and then the same live
 * Task must have been seen both times (230 wrong without this).
 */
bool co_py__same(struct clew_correlate *co, const struct co_node *c, uint64_t task,
		 const struct co_node *x)
{
	const struct co_proc *proc = co_proc(co, c->pid);
	uint64_t mine = c->ex ? c->ex->req.ref : 0;

	if (mine && mine == task)
		return true;
	return proc && proc->copy_first && proc->copy_first <= x->req_ts;
}

/*
 * Was the context made in the callback that the read of the window is for? Where asyncio reads,
 * the callback runs already; uvloop reads in between, and then enters the connection's context.
 */
static bool in_window(const struct co_thread *t, const struct clew_edge *edge)
{
	if (!t || !t->window_set || !t->window_turn)
		return false;
	if (edge->flags & CLEW_EDGE_UVLOOP)
		return edge->h.turn == t->window_turn + 1 && edge->ctx != t->window_ctx;
	return edge->h.turn == t->window_turn && edge->ctx == t->window_ctx;
}

/* Rules 3, 4 and 7: whom does a new context belong to? */
static void py_birth(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_thread *t = co_thread__find(co, edge->h.tid, edge->h.pid);
	struct co_py_ctx *parent = co_py__find(co, edge->h.pid, edge->ctx), *child;
	struct co_node *x = NULL;
	struct co_conn *conn;
	uint8_t depth = 0;

	if (edge->kind == CLEW_EDGE_PY_COPY)
		note_copy(co, edge);
	child = co_py__find(co, edge->h.pid, edge->child);
	if (!edge->child || (child && child->via == PY_TASK && child->birth == edge->h.ts))
		return; /* the same record twice */
	/* the address of a Task's context is that of a copy by now, whose birth nobody reported */
	if (edge->kind == CLEW_EDGE_PY_TASK && parent && parent->task &&
	    parent->task != edge->conn_id)
		parent = NULL;
	if (child)
		co_py_join__died(co, child);
	if (in_window(t, edge)) {
		/* the next one may be for a request whose read was lost, in the same run */
		if (!t->window_child)
			t->window_child = edge->child;
		x = t->window_child == edge->child ? t->window : NULL;
		depth = 1;
		/* what follows is another's, also where that Task is over and its address used
		 * again */
		if (edge->kind == CLEW_EDGE_PY_TASK)
			t->window_child = WINDOW_OVER;
	} else if (parent && parent->x && !parent->shared) {
		x = parent->x;
		depth = parent->depth < UINT8_MAX ? parent->depth + 1 : parent->depth;
		/* the handler that ends starts the next waiting one on its connection */
		conn = x->answered ? co_conn__of(x) : NULL;
		if (conn && co_conn__oldest(conn))
			x = NULL;
	}
	/* making the child may replace the context that holds it */
	co_node__get(x);
	co_py__get(parent);
	child = make(co, edge->h.pid, edge->child, edge->h.ts);
	if (!child) /* never leave what the address meant before */
		co_map__del(&co->py_ctx, co_py__key(co, edge->h.pid), edge->child);
	else if (x)
		bind(co, child, x, edge->kind == CLEW_EDGE_PY_TASK ? PY_TASK : PY_COPY, depth);
	if (child && edge->kind == CLEW_EDGE_PY_TASK)
		child->task = edge->ref;
	if (child && parent && parent->ancestry < ANCESTRY_MAX) {
		child->parent = co_py__get(parent);
		child->ancestry = parent->ancestry + 1;
	}
	co_py__put(co, parent);
	co_node__put(co, x);
}

static void py_edge(struct clew_correlate *co, const struct clew_edge *edge)
{
	switch (edge->kind) {
	case CLEW_EDGE_PY_TASK:
	case CLEW_EDGE_PY_COPY:
		py_birth(co, edge);
		break;
	case CLEW_EDGE_PY_JOIN:
		co_py_join__edge(co, edge);
		break;
	case CLEW_EDGE_PY_PUT:
		co_py_item__put(co, edge);
		break;
	case CLEW_EDGE_PY_GET:
		co_py_item__get(co, edge);
		break;
	case CLEW_EDGE_PY_GIVE:
		co_py_queue__give(co, edge);
		break;
	case CLEW_EDGE_PY_TAKE:
		co_py_queue__take(co, edge);
		break;
	case CLEW_EDGE_PY_WAIT:
		co_py_queue__wait(co, edge);
		break;
	case CLEW_EDGE_PY_WAKE:
		co_py_queue__wake(co, edge);
		break;
	default:
		break;
	}
}

static void forget_call(struct clew_correlate *co, struct co_conn *conn)
{
	co_node__put(co, conn->py_call);
	conn->py_call = NULL;
}

/* A client exchange is over: was it the read in progress that completed it? */
static void py_completed(struct clew_correlate *co, struct co_node *c)
{
	struct co_py_ctx *py = c->wait == CO_WAIT_CONTEXT ? c->by : NULL;
	struct co_thread *t;

	forget_call(co, c->conn);
	if (py && py->x && py->depth > 1 && !c->cand_evidence) {
		/* started by a request, but nobody was seen to wait for it */
		co->stats.py_deep++;
		co_link__client(co, c, NULL, CLEW_LINK_NONE, NULL);
	}
	if (!co->reading.set || co->reading.conn_id != c->conn->id)
		return;
	t = co_thread__find(co, co->reading.tid, co->reading.pid);
	if (!t)
		return;
	t->freed_set = 1;
	t->freed_conn = c->conn->id;
	t->freed_turn = co->reading.turn;
	t->freed_ctx = co->reading.ctx;
	c->conn->py_freed_tid = t->tid;
	c->conn->py_freed_turn = co->reading.turn;
}

void co_py__claim(struct co_claim *ret, struct co_py_ctx *py, struct co_node *x,
		  enum clew_link link, const char *evidence)
{
	ret->kind = CO_CLAIM_NODE;
	ret->x = x;
	ret->by = py;
	ret->link = link;
	ret->evidence = evidence;
}

static void claim_hold(struct co_claim *ret, struct co_py_ctx *py)
{
	ret->kind = CO_CLAIM_HOLD;
	ret->by = py;
}

static void claim_bound(struct clew_correlate *co, struct co_node *c, struct co_py_ctx *py,
			const struct co_thread *t, struct co_claim *ret)
{
	struct co_proc *proc = co_proc(co, c->pid);
	uint64_t task = c->ex->req.ref;

	switch (py->via) {
	case PY_TASK:
		if (py->depth == 1 && task && task == py->task)
			co_py__claim(ret, py, py->x, CLEW_LINK_EXACT, co_ev_task);
		else if (py->depth > 1 && py->x->answered)
			taint(co, py); /* it works for others, too */
		else if (py->depth > 1)
			claim_hold(ret, py);
		break;
	case PY_COPY:
		/* nobody watches any more: the address may be another's by now */
		if (py->x->answered && (!proc || proc->copy_last + co->window < c->req_ts))
			break;
		if (py->depth == 1)
			co_py__claim(ret, py, py->x, CLEW_LINK_EXACT, co_ev_copy);
		else if (py->depth == 2 && !py->x->answered && t && !t->loop &&
			 c->ex->req.watch != CLEW_UNWATCHED)
			co_py__claim(ret, py, py->x, CLEW_LINK_INFERRED, co_ev_copy);
		break;
	case PY_OWNER:
		/* work after the answer: then a request that has come may have to wait for it */
		if (py->x->done && proc)
			proc->owner_off = 1;
		if (proc && !proc->owner_off && co_py__same(co, c, py->task, py->x))
			co_py__claim(ret, py, py->x, CLEW_LINK_EXACT, co_ev_owner);
		break;
	default: /* a responder that goes on after its answer may be at the next item */
		break;
	}
	if (ret->kind == CO_CLAIM_NONE && py->depth > 1)
		co->stats.py_deep++;
}

/*
 * The callback that completed the connection's previous exchange writes the next one: a library
 * that queues inside does so in another request's context. The same callback is the same run of
 * the context that read, or a context entered right there, or that context after one was left.
 * uvloop sends it later, when the thread may have read other connections.
 */
static bool written_by_reader(const struct co_thread *t, const struct co_node *c)
{
	const struct clew_feed *req = &c->ex->req;
	uint32_t turn = c->conn->py_freed_tid == c->tid ? c->conn->py_freed_turn : 0;

	if (turn && (req->turn == turn || req->turn == turn + 1))
		return true;

	if (!t->freed_set || t->freed_conn != c->conn->id)
		return false;
	return !t->freed_turn || !req->turn || req->turn == t->freed_turn ||
	       req->turn == t->freed_turn + 1 || req->ctx == t->freed_ctx;
}

/*
 * A context that calls again after the request of its parent, which was made for that one alone,
 * was answered: a flusher, a pump.
 */
static bool outlives(const struct co_py_ctx *py)
{
	const struct co_py_ctx *parent = py->parent;

	return py->calls > 1 && parent && parent->x && parent->x->answered &&
	       parent->birth > parent->x->req_ts;
}

static void claim_context(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	const struct clew_feed *req = &c->ex->req;
	struct co_thread *t = co_thread(co, c->tid, c->pid);
	struct co_proc *proc = co_proc__find(co, c->pid);
	struct co_py_ctx *py;

	if (!req->ctx)
		return;
	/* addresses of contexts are used again at once: without these edges none is known */
	if (proc && proc->given_up & 1ULL << CLEW_SET_PY_TASK)
		return;
	if (t && (req->seg_flags & CLEW_SEG_LOOP))
		t->loop = 1;
	if (t && (t->loop || req->watch == CLEW_UNWATCHED) && written_by_reader(t, c))
		return;
	py = co_py__find(co, c->pid, req->ctx);
	if (!py)
		py = make(co, c->pid, req->ctx, 0);
	if (!py)
		return;
	py->calls++;
	if (py->shared)
		return;
	if (py->x)
		claim_bound(co, c, py, t, ret);
	else if (outlives(py))
		taint(co, py);
	else if (py->via != PY_OWNER) /* else pipelined: cannot be told */
		claim_hold(ret, py);
}

/* The thread rule wins where it speaks, unless the context names somebody else. */
static void py_claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	struct co_claim py = {.kind = CO_CLAIM_NONE};

	struct co_thread *t = co_thread__find(co, c->tid, c->pid);

	co_thread_rule__claim(co, c, ret);
	claim_context(co, c, &py);
	if (t && t->job_set && !t->loop && ret->kind == CO_CLAIM_NONE)
		co_py_item__claim(co, c, t, ret);
	if (ret->kind == CO_CLAIM_NONE && py.kind != CO_CLAIM_NODE && t &&
	    co_py_queue__claim(co, c, t))
		ret->kind = CO_CLAIM_HOLD;
	if (ret->kind == CO_CLAIM_NONE)
		*ret = py;
	else if (py.kind == CO_CLAIM_NODE && py.x != ret->x)
		ret->conflict = true;
}

static void py_hold(struct clew_correlate *co, struct co_node *c, void *by)
{
	struct co_py_ctx *py = by;

	if (!py) {
		co_py_queue__hold(co, c);
		return;
	}
	c->by = co_py__get(py);
	c->wait = CO_WAIT_CONTEXT;
	co_list__add_tail(&py->held, &c->wait_link);
	if (c->ex->req.ref) {
		forget_call(co, c->conn);
		c->conn->py_call = co_node__get(c);
	}
}

static bool py_stands(struct clew_correlate *co, const struct co_node *c, const struct co_node *x)
{
	const struct co_py_ctx *py = c->by;
	const struct clew_feed *resp = x->ex ? &x->ex->resp : NULL;

	if (!py) /* the thread that put the item must answer itself */
		return (c->cand_evidence != co_ev_item && c->cand_evidence != co_ev_queue) ||
		       co_thread_rule__stands(co, x);
	if (py->shared)
		return false;
	if (!resp || !resp->ts)
		return true;
	/* an owner answers itself */
	if (c->cand_evidence == co_ev_owner &&
	    (resp->ctx_kind != CLEW_CTX_PYTHON || resp->ctx != py->addr))
		return false;
	/* a handler that blocks is waited for, and so is a task that was joined */
	if (c->cand_link == CLEW_LINK_INFERRED && !c->done)
		return false;
	return true;
}

/*
 * A bound context that answers its request itself is what it seems. If another one does, the
 * binding may be that of a neighbour whose records were lost: the window will tell.
 */
static bool py_unsure(const struct co_node *c, const struct co_node *x)
{
	const struct co_py_ctx *py = c->by;
	const struct clew_feed *resp = x->ex ? &x->ex->resp : NULL;

	/* that its thread took the next item may be lost */
	if (c->cand_evidence == co_ev_item)
		return true;
	if (!py || c->cand_link != CLEW_LINK_EXACT || c->cand_evidence == co_ev_thread)
		return false;
	return !resp || resp->ctx_kind != CLEW_CTX_PYTHON || resp->ctx != py->addr;
}

/* `py` is proved to be at `x`: so were the requests that it wrote since x was read. */
static void prove(struct clew_correlate *co, struct co_py_ctx *py, struct co_node *x,
		  const char *evidence)
{
	co_py_join__proved(co, py, x, evidence);
	while (!co_list__empty(&py->held)) {
		struct co_node *c = co_entry(py->held.next, struct co_node, wait_link);

		const char *seen = c->cand_evidence;

		if (c->req_ts >= x->req_ts && seen)
			co_link__late(co, c, x,
				      seen == co_ev_join ? CLEW_LINK_INFERRED : CLEW_LINK_EXACT,
				      seen);
		else if (c->req_ts >= x->req_ts && co_py__same(co, c, x->ex->resp.ref, x))
			co_link__late(co, c, x, CLEW_LINK_EXACT, evidence);
		else
			co_link__client(co, c, NULL, CLEW_LINK_NONE, NULL);
	}
}

static void become_owner(struct clew_correlate *co, struct co_py_ctx *py, struct co_conn *conn,
			 struct co_node *x)
{
	if (conn->owner && conn->owner != py) {
		/* two contexts answer on one connection: neither owns it */
		taint(co, conn->owner);
		taint(co, py);
		return;
	}
	if (!conn->owner)
		conn->owner = co_py__get(py);
	py->owner_conn = conn->id;
	py->task = x->ex->resp.ref;
	bind(co, py, x, PY_OWNER, 1);
	prove(co, py, x, co_ev_owner);
}

/* Rule 6: who answers? */
static void py_response(struct clew_correlate *co, struct co_node *x)
{
	const struct clew_feed *resp = &x->ex->resp;
	struct co_conn *conn = co_conn__of(x);
	struct co_proc *proc = co_proc(co, x->pid);
	struct co_thread *t;
	struct co_py_ctx *py;

	if (resp->ctx_kind != CLEW_CTX_PYTHON || !resp->ctx || !conn || !proc)
		return;
	t = co_thread__find(co, resp->tid, x->pid);
	if (t && !t->loop && resp->tid == x->tid)
		return; /* a thread per request: the thread rule has spoken */
	py = co_py__find(co, x->pid, resp->ctx);
	if (!py)
		py = make(co, x->pid, resp->ctx, 0);
	if (!py || py->shared)
		return;
	if (py->via == PY_OWNER) {
		if (py->owner_conn != conn->id)
			taint(co, py);
		/* what else waits on this connection is not begun before this is finished */
		else if (co_conn__several(conn))
			bind(co, py, NULL, PY_OWNER, 1);
	} else if (py->x) {
		if (py->x != x)
			taint(co, py);
	} else if (py->birth > x->req_ts) {
		bind(co, py, x, PY_RESPONDER, 1);
		prove(co, py, x, co_ev_responder);
	} else if (!proc->owner_off) {
		become_owner(co, py, conn, x);
	}
}

static void py_closed(struct clew_correlate *co, struct co_conn *conn)
{
	struct co_py_ctx *py = conn->owner;

	forget_call(co, conn);
	if (!py)
		return;
	conn->owner = NULL;
	if (!py->shared) {
		bind(co, py, NULL, PY_UNBOUND, 0);
		py->owner_conn = 0;
	}
	co_py__put(co, py);
}

static void both_request(struct clew_correlate *co, struct co_node *x)
{
	py_request(co, x);
	co_thread_rule__request(co, x);
}

static void *get(void *by)
{
	return co_py__get(by);
}

static void put(struct clew_correlate *co, void *by)
{
	co_py__put(co, by);
}

const struct co_rule co_rule_python = {
	.runtimes = 1U << CLEW_RT_UNKNOWN | 1U << CLEW_RT_PYTHON,
	.segment = co_py_rule__segment,
	.edge = py_edge,
	.closed = py_closed,
	.request = both_request,
	.response = py_response,
	.claim = py_claim,
	.completed = py_completed,
	.hold = py_hold,
	.stands = py_stands,
	.unsure = py_unsure,
	.get = get,
	.put = put,
};
