/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_node.c - Node: callback scopes, async ids and async functions (runtimes.md, Node).
 *
 * Who runs, from the first that is known:
 *   - the HTTP parser of a server connection is entered (the executing id is its): the request
 *     that the connection is at. `own` while the thread has read nothing since and is still in
 *     the same turn of its loop: then the handler itself runs, or a tick that it queued. (What it
 *     left for the end of the turn runs behind what others may have put there.)
 *   - an id that was given to a native resource (a lookup, a file, a connect, a client's parser):
 *     who ran when it was given. A callback's id (timer, tick, queued request) is met only when
 *     it runs; its trigger is the id that ran when it was made.
 *   - no id runs: the async function that runs, labelled by who ran when it first awaited.
 *
 * Whose a client request is. What runs at the write proves little: a pool that queues inside
 * writes in the name of the request that freed the connection (1192 of 1200 wrong for undici's).
 *   - http.Agent renews the id of the socket that it hands on, in the name of its next user: that
 *     names the connection's next request. A new connection's first one is its connector's, if
 *     http was given a request of his. In the request's `own` scope this is exact.
 *   - Anything else waits for a witness. The function that made the request goes on, in a run of
 *     microtasks with no other request's functions: inferred; exact if that function answers the
 *     request itself. Or nobody is known, and the answer's read lets the functions of one request
 *     alone go on, which have waited since before the write: inferred. Or its callbacks answer.
 *   - The answer lets another request's functions go on: none, and for both requests whatever is
 *     not exact is none: limits, semaphores, flushers started on demand mix them.
 * A function that was born in a callback may be another request's than the one whose code made the
 * callback (a scheduler that all share): what it proves stands only if such a one answers it.
 * A request that was answered owns nothing more.
 */
#include "correlate/internal.h"

#include <stdlib.h>
#include <string.h>

#define SPANS_MAX 1024

/*
 * Functions that were born in a callback, and their children. Who made the callback may have been
 * the first who left something in a queue that all share (Bluebird's, a batch): that they are its
 * request's is known when one of them answers it.
 */
struct co_js_root {
	uint32_t refs;
	bool answers; /* the request whose they are said to be */
	bool wrong;   /* another one */
};

/* An async function that has awaited. */
struct co_js_fn {
	uint32_t refs;
	uint32_t run; /* how often it went on */
	uint64_t no;
	uint32_t serial;	 /* the thread's reads, when it ran last */
	struct co_node *x;	 /* reference, or NULL */
	struct co_js_root *root; /* reference; NULL: born in the handler, or of one that was */
	struct co_list held;	 /* client nodes that it made and that wait */
};

/* What is known of an async id. */
struct js_id {
	uint64_t conn_id;     /* the HTTP parser of this server connection; or: */
	struct co_js_who who; /* references: who ran when it was given */
};

/* The newest runs of functions in which ids were given, as a ring. */
struct co_js_spans {
	struct span {
		uint64_t from, to;   /* ids > from, <= to */
		struct co_js_fn *fn; /* reference */
	} ring[SPANS_MAX];
	uint32_t n;
};

/* What a claim rests on. */
struct js_call {
	uint32_t refs;
	uint32_t run, serial;
	struct co_js_who who;	 /* references */
	struct co_node *seen;	 /* reference: whose functions its answer let go on */
	struct co_js_root *root; /* reference, or NULL: it stands if this one does */
	bool given;		 /* http wrote it, in the name of `who` */
	bool guessed;		 /* `who` was not known */
	bool conflict;
};

const size_t co_js_id_bytes = sizeof(struct js_id);
const size_t co_js_fn_bytes = sizeof(struct co_js_fn);

void co_js_root__put(struct co_js_root *root)
{
	if (root && !--root->refs)
		free(root);
}

static struct co_js_root *root_get(struct co_js_root *root)
{
	if (root)
		root->refs++;
	return root;
}

static void fn_put(struct clew_correlate *co, struct co_js_fn *fn)
{
	if (!fn || --fn->refs)
		return;
	co_node__put(co, fn->x);
	co_js_root__put(fn->root);
	free(fn);
}

static void who_keep(struct co_js_who *who)
{
	co_node__get(who->x);
	co_node__get(who->via);
	if (who->fn)
		who->fn->refs++;
}

static void who_put(struct clew_correlate *co, struct co_js_who *who)
{
	co_node__put(co, who->x);
	co_node__put(co, who->via);
	fn_put(co, who->fn);
	*who = (struct co_js_who){.own = false};
}

static void call_put(struct clew_correlate *co, void *by)
{
	struct js_call *call = by;

	if (--call->refs)
		return;
	who_put(co, &call->who);
	co_node__put(co, call->seen);
	co_js_root__put(call->root);
	free(call);
}

void co_js_fn__drop(void *co, void *val)
{
	fn_put(co, val);
}

void co_js_id__drop(void *co, void *val)
{
	struct js_id *id = val;

	who_put(co, &id->who);
	free(id);
}

/* Ids and functions are a thread's: each has an Environment of its own. */
static uint64_t key_of(struct clew_correlate *co, uint32_t pid, uint32_t tid)
{
	struct co_proc *proc = co_proc(co, pid);

	return (uint64_t)(proc ? proc->gen : 0) << 32 | tid;
}

/* One from before the probes were away may have moved unseen: its place is another's. */
static struct co_js_fn *fn_find(struct clew_correlate *co, uint32_t pid, uint32_t tid, uint64_t no)
{
	const struct co_proc *proc = co_proc(co, pid);

	if (!no || !proc || no < proc->probes_ts[CLEW_SET_NODE_ASYNC])
		return NULL;
	return co_map__get(&co->js_fns, key_of(co, pid, tid), no);
}

/* The request that a server connection is at, if that can be told. */
static struct co_node *at(struct clew_correlate *co, uint64_t conn_id, uint32_t pid)
{
	struct co_conn *conn = co_conn__find(co, conn_id);

	return conn && conn->pid == pid && !co_conn__several(conn) ? co_conn__oldest(conn) : NULL;
}

static bool is_own(const struct co_thread *t, uint64_t conn_id, uint32_t turn)
{
	return t->js_read == conn_id && t->js_turn == turn;
}

/* Borrowed. `exec` and `ref` as in an edge. */
static struct co_js_who who_runs(struct clew_correlate *co, const struct co_thread *t,
				 uint64_t exec, uint64_t ref, uint32_t turn)
{
	struct co_js_who who = {.own = false};
	uint64_t key = key_of(co, t->pid, t->tid);
	struct co_conn *conn;
	struct js_id *id;

	if (!exec) {
		who.fn = fn_find(co, t->pid, t->tid, ref);
		who.x = who.fn ? who.fn->x : NULL;
		return who;
	}
	id = co_map__get(&co->js_ids, key, exec);
	if (!id && ref && ref < exec) {
		id = co_map__get(&co->js_ids, key, ref);
		who.made = true;
	}
	if (!id)
		return who;
	if (!id->conn_id) {
		who = id->who;
		who.own = false;
		who.made = true;
		return who;
	}
	conn = co_conn__find(co, id->conn_id);
	/* a callback from before the newest read is an older request's */
	if (!conn || (who.made && (!conn->js_counter || exec <= conn->js_counter)))
		return who;
	who.x = at(co, id->conn_id, t->pid);
	who.own = is_own(t, id->conn_id, turn);
	return who;
}

static void js_segment(struct clew_correlate *co, const struct clew_segment *seg)
{
	struct co_thread *t = co_thread(co, seg->h.tid, seg->h.pid);
	struct co_conn *conn = co_conn__find(co, seg->conn_id);

	if (seg->dir == CLEW_SEND) {
		if (conn) {
			conn->sent_to = seg->seq + seg->len;
			conn->has_sent = 1;
		}
		return;
	}
	if (t) {
		t->js_read = seg->conn_id;
		t->js_turn = seg->h.turn;
		t->js_serial++;
		t->js_drain = seg->ctx + 1; /* of the callback that this read leads to */
		co_node__put(co, t->js_call);
		t->js_call = conn ? co_node__get(conn->js_call) : NULL;
	}
	if (conn) {
		conn->js_fresh = 0;
		conn->js_counter = seg->ref;
		if (conn->js_has_pend &&
		    seg->len) { /* an answer before the request: one was lost */
			who_put(co, &conn->js_pend);
			conn->js_has_pend = 0;
		}
	}
}

/* A head is complete: the parser that is entered next is this connection's. */
static void js_request(struct clew_correlate *co, struct co_node *x)
{
	struct co_conn *conn = co_conn__of(x);

	(void)co;
	if (conn)
		conn->js_fresh = 1;
}

static struct js_id *id_make(struct clew_correlate *co, uint64_t key, uint64_t no)
{
	struct js_id *id = calloc(1, sizeof(*id));

	if (id && co_map__put(&co->js_ids, key, no, id)) {
		free(id);
		id = NULL;
	}
	return id;
}

static void parser(struct clew_correlate *co, const struct co_thread *t,
		   const struct clew_edge *edge)
{
	struct co_conn *conn = co_conn__find(co, edge->conn_id);
	uint64_t key = key_of(co, t->pid, t->tid);
	struct js_id *id;

	if (!conn || conn->pid != t->pid || !conn->js_fresh || t->js_read != conn->id)
		return;
	conn->js_fresh = 0;
	if (conn->js_parser == edge->child && co_map__get(&co->js_ids, key, edge->child))
		return;
	id = id_make(co, key, edge->child);
	if (id)
		id->conn_id = conn->id;
	conn->js_parser = edge->child;
}

/* Ids are doubles: the one behind this. */
static uint64_t next_id(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	d += 1;
	memcpy(&bits, &d, sizeof(d));
	return bits;
}

void co_js_spans__free(struct clew_correlate *co, struct co_js_spans *spans)
{
	for (uint32_t i = 0; spans && i < SPANS_MAX; i++)
		fn_put(co, spans->ring[i].fn);
	free(spans);
}

static void ids_given(struct clew_correlate *co, struct co_thread *t, const struct clew_edge *edge)
{
	struct co_js_fn *fn = fn_find(co, t->pid, t->tid, edge->child);
	struct span *s;

	if (!fn)
		return;
	if (!t->js_spans)
		t->js_spans = calloc(1, sizeof(*t->js_spans));
	if (!t->js_spans)
		return;
	s = &t->js_spans->ring[t->js_spans->n++ % SPANS_MAX];
	fn->refs++;
	fn_put(co, s->fn);
	*s = (struct span){edge->ctx, edge->ref, fn};
}

/* Which function ran when this id was given? Ids grow, so the ring is in order. */
static struct co_js_fn *giver(const struct co_thread *t, uint64_t id)
{
	const struct co_js_spans *spans = t->js_spans;
	uint32_t low, high = spans ? spans->n : 0;
	const struct span *s;

	if (!high)
		return NULL;
	low = high > SPANS_MAX ? high - SPANS_MAX : 0;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (spans->ring[mid % SPANS_MAX].to < id)
			low = mid + 1;
		else
			high = mid;
	}
	s = &spans->ring[low % SPANS_MAX];
	return low < spans->n && id > s->from && id <= s->to ? s->fn : NULL;
}

/*
 * The connection is handed on by the callback of its own answer: by the Agent, to a request that
 * waited, in the name of the resource (the executing id) that was made for it when it began to.
 */
static void waited(struct co_thread *t, const struct clew_edge *edge, struct co_js_who *who)
{
	if (who->x || !edge->ctx || edge->ref || t->js_read != edge->conn_id ||
	    t->js_turn != edge->h.turn || t->js_drain != edge->child + 1)
		return;
	who->fn = giver(t, edge->ctx);
	who->x = who->fn ? who->fn->x : NULL;
}

/* A native resource gets an id; a socket's next user is told so. */
static void given(struct clew_correlate *co, struct co_thread *t, const struct clew_edge *edge)
{
	struct co_js_who who = who_runs(co, t, edge->ctx, edge->ref, edge->h.turn);
	struct co_conn *conn = edge->conn_id ? co_conn(co, edge->conn_id, t->pid) : NULL;
	struct js_id *id;

	/* a tick runs before the microtasks; an immediate, behind what others have left for it */
	if (who.made && (!conn || edge->child + 1 != t->js_drain))
		who.own = false;
	if (conn && conn->pid == t->pid) {
		waited(t, edge, &who);
		who_put(co, &conn->js_pend);
		conn->js_pend = who;
		who_keep(&conn->js_pend);
		conn->js_has_pend = 1;
		conn->has_pend_pos = conn->has_sent;
		conn->pend_pos = conn->sent_to;
	}
	if (!who.x || edge->conn_id)
		return;
	if (edge->flags & CLEW_EDGE_AGAIN) { /* http's parser for an answer */
		who.x->js_given += who.x->js_given < UINT8_MAX;
		t->js_id = next_id(edge->child);
		t->js_exec = edge->ctx;
	}
	id = id_make(co, key_of(co, t->pid, t->tid), next_id(edge->child));
	if (!id)
		return;
	id->who = who;
	who_keep(&id->who);
}

/* Reference, or NULL without memory. Those that are born in one callback have one. */
static struct co_js_root *root_of(struct co_thread *t, uint64_t exec)
{
	if (t->js_root && t->js_root_exec == exec)
		return root_get(t->js_root);
	co_js_root__put(t->js_root);
	t->js_root = calloc(1, sizeof(*t->js_root));
	t->js_root_exec = exec;
	if (t->js_root)
		t->js_root->refs = 1;
	return root_get(t->js_root);
}

static void born(struct clew_correlate *co, struct co_thread *t, const struct clew_edge *edge)
{
	struct co_js_who who = who_runs(co, t, edge->ctx, edge->ref, edge->h.turn);
	struct co_js_root *root = NULL;
	struct co_js_fn *fn;

	if (!who.x || who.x->answered)
		return;
	if (!edge->ctx)
		root = root_get(who.fn->root);
	else if (who.made && !(root = root_of(t, edge->ctx)))
		return;
	fn = calloc(1, sizeof(*fn));
	if (!fn) {
		co_js_root__put(root);
		return;
	}
	fn->refs = 1;
	fn->root = root;
	fn->no = edge->child;
	fn->serial = t->js_serial;
	co_list__init(&fn->held);
	if (co_map__put(&co->js_fns, key_of(co, t->pid, t->tid), fn->no, fn)) {
		co_js_root__put(root);
		free(fn);
		return;
	}
	fn->x = co_node__get(who.x);
}

/* ---- witnesses ---- */

static void mixed(struct clew_correlate *co, struct co_node *x, struct co_node *y)
{
	struct co_proc *proc = co_proc(co, x->pid);

	if (!x->js_mixed || !y->js_mixed)
		co->stats.conflicts++;
	x->js_mixed = y->js_mixed = 1;
	if (proc)
		proc->js_mixed_ts = co->now;
}

/* The claim of a held node has found its witness: it stands unless something contradicts. */
static void confirm(struct clew_correlate *co, struct co_node *c, struct co_node *x,
		    const char *evidence)
{
	struct co_claim claim = {
		.kind = CO_CLAIM_NODE, .x = x, .evidence = evidence, .link = CLEW_LINK_INFERRED};
	struct js_call *call = c->by;

	if (c->decided || c->wait != CO_WAIT_CONTEXT || !call || call->conflict || x->js_mixed)
		return;
	co_list__del(&c->wait_link);
	co_link__claim(co, c, &claim);
}

/*
 * All that a function made before it waited, or ended: with `all_done`, only if each of them is
 * answered (then who goes on may have waited for all of them).
 */
static void confirm_made(struct clew_correlate *co, struct co_js_fn *fn, uint32_t run,
			 bool all_done)
{
	struct co_list *l, *next;

	for (l = fn->held.next; all_done && l != &fn->held; l = l->next) {
		const struct co_node *c = co_entry(l, struct co_node, wait_link);

		if (((const struct js_call *)c->by)->run == run && !c->answered)
			return;
	}
	for (l = fn->held.next; l != &fn->held; l = next) {
		struct co_node *c = co_entry(l, struct co_node, wait_link);

		next = l->next;
		if (((const struct js_call *)c->by)->run == run)
			confirm(co, c, fn->x, co_ev_function);
	}
}

/* The answer has let a function of its call's own request go on. */
static void witnessed(struct clew_correlate *co, struct co_node *c, struct js_call *call,
		      const struct co_js_fn *fn)
{
	call->refs++; /* it may be decided there and then */
	call->seen = co_node__get(fn->x);
	if (!call->who.fn)
		call->root = root_get(fn->root);
	confirm(co, c, fn->x, co_ev_function);
	if (call->who.fn)
		confirm_made(co, call->who.fn, call->run, true);
	call_put(co, call);
}

/* The answer that the thread read last has let this function go on. */
static void answer_seen(struct clew_correlate *co, const struct co_thread *t,
			const struct co_js_fn *fn)
{
	struct co_node *c = t->js_call;
	struct js_call *call = c && c->rule == &co_rule_node ? c->by : NULL;

	if (!call || c->decided || !c->answered)
		return;
	if (!fn || !fn->x) {
		/* somebody who is not known: it may be the one */
		if (!call->who.x)
			call->conflict = true;
		return;
	}
	if ((call->seen && call->seen != fn->x) || (call->who.x && call->who.x != fn->x)) {
		call->conflict = true;
		mixed(co, fn->x, call->who.x ? call->who.x : call->seen);
		return;
	}
	if (call->seen)
		return;
	if (call->who.x) {
		witnessed(co, c, call, fn);
		return;
	}
	call->seen = co_node__get(fn->x);
	/* it must have waited all the time */
	if (fn->serial > call->serial)
		return;
	call->guessed = true;
	call->root = root_get(fn->root);
	confirm(co, c, fn->x, co_ev_resumed);
}

/*
 * A later run of the same turn: the answer's body ends in a tick, behind functions that only came
 * with the answer. The first function that has waited since before the write says whose it is.
 */
static void answer_ended(struct clew_correlate *co, struct co_thread *t, const struct co_js_fn *fn)
{
	struct co_node *c = t->js_call;
	struct js_call *call = c && c->rule == &co_rule_node ? c->by : NULL;

	if (!call || c->decided || !c->answered || !call->who.x || call->seen || !fn || !fn->x ||
	    fn->serial > call->serial)
		return;
	if (fn->x != call->who.x)
		t->js_drain = 0; /* what goes on behind another's need not be for this answer */
	else
		witnessed(co, c, call, fn);
}

static void resumed(struct clew_correlate *co, struct co_thread *t, const struct clew_edge *edge)
{
	struct co_js_fn *fn = fn_find(co, t->pid, t->tid, edge->child);
	struct co_node *x = fn ? fn->x : NULL;

	if (t->js_now != edge->ref) {
		t->js_now = edge->ref;
		co_node__put(co, t->js_x);
		t->js_x = NULL;
	}
	if (x && t->js_x && t->js_x != x)
		mixed(co, x, t->js_x);
	if (x && !t->js_x)
		t->js_x = co_node__get(x);
	if (t->js_drain == edge->ref)
		answer_seen(co, t, fn);
	else if (t->js_drain && t->js_drain < edge->ref && t->js_turn == edge->h.turn)
		answer_ended(co, t, fn);
	if (!fn)
		return;
	confirm_made(co, fn, fn->run, false);
	fn->run++;
	fn->serial = t->js_serial;
}

static void js_edge(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_thread *t = co_thread(co, edge->h.tid, edge->h.pid);

	if (!t)
		return;
	switch (edge->kind) {
	case CLEW_EDGE_NODE_PARSER:
		parser(co, t, edge);
		break;
	case CLEW_EDGE_NODE_ID:
		given(co, t, edge);
		break;
	case CLEW_EDGE_NODE_BORN:
		born(co, t, edge);
		break;
	case CLEW_EDGE_NODE_IDS:
		ids_given(co, t, edge);
		break;
	case CLEW_EDGE_NODE_RESUME:
		resumed(co, t, edge);
		break;
	default:
		break;
	}
}

/* ---- claims ---- */

/* In whose name was this request written? References are the caller's afterwards. */
static struct co_js_who writer(struct clew_correlate *co, struct co_node *c, struct co_conn *conn,
			       const struct co_thread *t, bool *ret_given)
{
	const struct clew_feed *req = &c->ex->req;
	struct co_js_who who = {.own = false};

	if (conn->js_has_pend) {
		who = conn->js_pend;
		conn->js_pend = (struct co_js_who){.own = false};
		conn->js_has_pend = 0;
		/* not the next byte after it was handed on: records were lost between */
		if (conn->has_pend_pos && conn->pend_pos != (uint32_t)req->pos)
			who_put(co, &who);
		*ret_given = who.x;
		return who;
	}
	if (!conn->js_used && !(req->seg_flags & CLEW_SEG_LATE)) {
		struct js_id *id = co_map__get(&co->js_ids, key_of(co, c->pid, c->tid), req->ctx);

		who = who_runs(co, t, req->ctx, req->ref, req->turn);
		*ret_given = who.x && who.x->js_given;
		/* who made the connect() was the handler itself */
		if (id && !id->conn_id)
			who.own = id->who.own;
		else if (who.made)
			who.own = false;
		who.own &= *ret_given;
	} else if (!req->ctx) {
		who = who_runs(co, t, 0, req->ref, req->turn);
	}
	who_keep(&who);
	return who;
}

/* What runs in the name of the parser that was made ready just before is after c's answer. */
static void answers(struct clew_correlate *co, struct co_node *c, const struct co_thread *t)
{
	struct js_id *id;

	if (!c->ex->req.ctx || t->js_exec != c->ex->req.ctx)
		return;
	id = co_map__get(&co->js_ids, key_of(co, c->pid, c->tid), t->js_id);
	if (!id || id->conn_id)
		return;
	co_node__put(co, id->who.via);
	id->who.via = co_node__get(c);
}

static void js_claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	struct co_thread *t = co_thread(co, c->tid, c->pid);
	struct co_proc *proc = co_proc(co, c->pid);
	struct co_conn *conn = co_conn__of(c);
	struct js_call *call;

	if (!t || !proc || !conn)
		return;
	call = calloc(1, sizeof(*call));
	if (!call)
		return;
	call->refs = 1;
	call->serial = t->js_serial;
	call->who = writer(co, c, conn, t, &call->given);
	if (call->who.fn) {
		call->run = call->who.fn->run;
		call->root = root_get(call->who.fn->root);
	}
	conn->js_used = 1;
	if (call->given && call->who.x->js_given)
		call->who.x->js_given--;
	co_node__put(co, conn->js_call);
	conn->js_call = co_node__get(c);
	c->by = call;
	answers(co, c, t);
	if (call->who.x && call->who.x->answered)
		return;
	if (call->who.x && call->who.own && call->given) {
		ret->kind = CO_CLAIM_NODE;
		ret->x = call->who.x;
		ret->link = CLEW_LINK_EXACT;
		ret->evidence = co_ev_scope;
	} else if (call->who.x || proc->probes & 1ULL << CLEW_SET_NODE_ASYNC) {
		ret->kind = CO_CLAIM_HOLD;
		ret->by = call;
	}
}

static void js_hold(struct clew_correlate *co, struct co_node *c, void *by)
{
	struct js_call *call = by;

	(void)co;
	c->wait = CO_WAIT_CONTEXT;
	if (call->who.fn)
		co_list__add_tail(&call->who.fn->held, &c->wait_link);
}

/* Does the claim stand, now that x was answered, or the window has ended? */
static bool js_stands(struct clew_correlate *co, const struct co_node *c, const struct co_node *x)
{
	const struct js_call *call = c->by;
	const struct co_proc *proc = co_proc(co, c->pid);

	if (!call || call->conflict)
		return false;
	if (c->cand_evidence == co_ev_scope)
		return true;
	if (call->root && (!call->root->answers || call->root->wrong))
		return false;
	if (x->js_mixed)
		return false;
	return !call->guessed || !proc || !proc->js_mixed_ts ||
	       proc->js_mixed_ts + co->window < c->req_ts;
}

/* Only what the handler itself did needs no time to be contradicted. */
static bool js_unsure(const struct co_node *c, const struct co_node *x)
{
	(void)x;
	return c->cand_evidence != co_ev_scope;
}

/* x is being answered: by the function that made them, or by the callbacks of one of them? */
static void js_response(struct clew_correlate *co, struct co_node *x)
{
	const struct clew_feed *resp = &x->ex->resp;
	struct co_thread *t = co_thread(co, resp->tid, x->pid);
	struct co_js_who who;
	struct co_list *l;

	if (!t)
		return;
	who = who_runs(co, t, resp->ctx, resp->ref, resp->turn);
	if (who.via && !who.via->decided && who.x == x)
		confirm(co, who.via, x, co_ev_callback);
	if (who.fn && who.fn->root) {
		who.fn->root->answers |= who.x == x;
		who.fn->root->wrong |= who.x != x;
	}
	if (!who.fn || who.x != x)
		return;
	for (l = x->held.next; l != &x->held; l = l->next) {
		struct co_node *c = co_entry(l, struct co_node, wait_link);
		const struct js_call *call = c->by;

		if (c->rule == &co_rule_node && call && call->who.fn == who.fn)
			c->cand_link = CLEW_LINK_EXACT;
	}
}

static void js_closed(struct clew_correlate *co, struct co_conn *conn)
{
	if (!conn->gone)
		return; /* the other direction may go on */
	who_put(co, &conn->js_pend);
	conn->js_has_pend = 0;
	co_node__put(co, conn->js_call);
	conn->js_call = NULL;
}

static void *get(void *by)
{
	((struct js_call *)by)->refs++;
	return by;
}

const struct co_rule co_rule_node = {
	.runtimes = 1U << CLEW_RT_NODE,
	.segment = js_segment,
	.edge = js_edge,
	.closed = js_closed,
	.request = js_request,
	.response = js_response,
	.claim = js_claim,
	.hold = js_hold,
	.stands = js_stands,
	.unsure = js_unsure,
	.get = get,
	.put = call_put,
};
