/* SPDX-License-Identifier: Apache-2.0 */
/*
 * correlate.c - the window: what comes in, who is asked, when an exchange may leave.
 *
 * Pure function of the stream: time is the newest timestamp that was seen (an event's, or the
 * caller's tick), so a recording replays to the same links. An exchange leaves as soon as it is
 * complete and its link and those of all its ancestors are final; at the latest `window_ms` after
 * it was complete. When the window is full, the oldest complete ones leave with what is known.
 *
 * The rules themselves are in rule_*.c, one file per runtime; which of them is asked depends on
 * what discovery said of the process and on what the kernel could say of the context.
 */
#include "correlate/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/glob.h"

#define SWEEP_NS    (5 * CO_NSEC_PER_MSEC)
#define PROCS_MAX   16384
#define THREADS_MAX 32768
#define LOCALS_MAX  4096
#define GO_MAX	    16384
#define PY_MAX	    32768
#define JAVA_MAX    8192
#define RUST_MAX    16384
#define JS_IDS_MAX  16384
#define JS_FNS_MAX  16384
#define HEADERS_MAX 16384
#define NODES_MIN   64
#define CONNS_MIN   1024

/* Records come in runs of one process, and one thread. */
struct co_proc *co_proc__find(struct clew_correlate *co, uint32_t pid)
{
	if (!co->last_proc || co->last_proc->pid != pid)
		co->last_proc = co_map__get(&co->procs, pid, 0);
	return co->last_proc;
}

struct co_proc *co_proc(struct clew_correlate *co, uint32_t pid)
{
	struct co_proc *proc = co_proc__find(co, pid);

	if (proc)
		return proc;
	proc = calloc(1, sizeof(*proc));
	if (!proc)
		return NULL;
	proc->pid = pid;
	proc->gen = ++co->next_gen;
	if (co_map__put(&co->procs, pid, 0, proc)) {
		free(proc);
		return NULL;
	}
	return proc;
}

struct co_thread *co_thread__find(struct clew_correlate *co, uint32_t tid, uint32_t pid)
{
	if (!co->last_thread || co->last_thread->tid != tid)
		co->last_thread = co_map__get(&co->threads, tid, 0);
	return co->last_thread && co->last_thread->pid == pid ? co->last_thread : NULL;
}

struct co_thread *co_thread(struct clew_correlate *co, uint32_t tid, uint32_t pid)
{
	struct co_thread *t = co_thread__find(co, tid, pid);

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->refs = 1;
	t->tid = tid;
	t->pid = pid;
	co_list__init(&t->held);
	/* replaces a thread of another process that had the same id */
	if (co_map__put(&co->threads, tid, 0, t)) {
		free(t);
		return NULL;
	}
	return t;
}

void co_thread__job_over(struct clew_correlate *co, struct co_thread *t)
{
	co_node__put(co, t->job_x);
	co_py__put(co, t->job_by);
	t->job_x = NULL;
	t->job_by = NULL;
	t->job_set = 0;
}

void co_thread__put(struct clew_correlate *co, struct co_thread *t)
{
	if (--t->refs)
		return;
	co_node__put(co, t->open);
	co_node__put(co, t->last);
	co_node__put(co, t->window);
	co_thread__job_over(co, t);
	co_node__put(co, t->js_x);
	co_node__put(co, t->js_call);
	co_js_spans__free(co, t->js_spans);
	co_js_root__put(t->js_root);
	co_py_work__free(co, t->py_work);
	free(t);
}

void *co_thread__get_by(void *thread)
{
	((struct co_thread *)thread)->refs++;
	return thread;
}

void co_thread__put_by(struct clew_correlate *co, void *thread)
{
	co_thread__put(co, thread);
}

static void drop_thread(void *arg, void *val)
{
	struct clew_correlate *co = arg;

	if (co->last_thread == val)
		co->last_thread = NULL;
	co_java__dropped(co, val);
	co_thread__put(co, val);
}

static void drop_proc(void *arg, void *val)
{
	((struct clew_correlate *)arg)->last_proc = NULL;
	free(val);
}

struct co_conn *co_conn__find(struct clew_correlate *co, uint64_t id)
{
	if (!co->last_conn || co->last_conn->id != id)
		co->last_conn = co_map__get(&co->conns, id, 0);
	return co->last_conn;
}

struct co_conn *co_conn(struct clew_correlate *co, uint64_t id, uint32_t pid)
{
	struct co_conn *conn = co_conn__find(co, id);

	if (conn)
		return conn;
	conn = aligned_alloc(64, sizeof(*conn)); /* its first line is what most requests need */
	if (!conn)
		return NULL;
	memset(conn, 0, sizeof(*conn));
	conn->refs = 1;
	conn->id = id;
	conn->pid = pid;
	co_list__init(&conn->open);
	if (co_map__put(&co->conns, id, 0, conn)) {
		free(conn);
		return NULL;
	}
	return conn;
}

void co_conn__put(struct co_conn *conn)
{
	if (!conn || --conn->refs)
		return;
	co_unix__free(conn->un);
	free(conn);
}

/* Nodes may refer to it for a while. */
static void drop_conn(void *arg, void *val)
{
	struct clew_correlate *co = arg;
	struct co_conn *conn = val;

	if (co->last_conn == conn)
		co->last_conn = NULL;
	conn->gone = 1;
	co_rule__closed(co, conn);
	co_join__closed(co, conn);
	while (!co_list__empty(&conn->open))
		co_list__del(conn->open.next);
	co_node__put(co, conn->last);
	co_node__put(co, conn->pend);
	conn->last = conn->pend = NULL;
	co_conn__put(conn);
}

struct co_node *co_conn__oldest(const struct co_conn *conn)
{
	if (co_list__empty(&conn->open))
		return NULL;
	return co_entry(conn->open.next, struct co_node, conn_link);
}

bool co_conn__several(const struct co_conn *conn)
{
	return conn->open.next != conn->open.prev;
}

struct co_conn *co_conn__downstream(struct clew_correlate *co, const struct co_node *c)
{
	uint64_t ref = c->ex->req.ref;
	struct co_conn *conn = ref && ref != c->conn->id ? co_conn__find(co, ref) : NULL;

	return conn && conn->pid == c->pid ? conn : NULL;
}

/* ---- leaving ---- */

static void fill(const struct co_node *node, struct clew_placement *p)
{
	memset(p, 0, sizeof(*p));
	memcpy(p->trace_id, node->trace_id, 16);
	memcpy(p->span_id, node->span_id, 8);
	p->has_parent = node->has_parent;
	if (node->has_parent) {
		memcpy(p->parent_span_id, node->parent_id, 8);
		p->parent_remote = node->parent_remote;
	}
	p->sampled = node->tree_sampled;
	p->adopted = node->tree_adopted;
	p->link = node->has_parent ? node->link : CLEW_LINK_NONE;
	p->evidence =
		p->link != CLEW_LINK_NONE || node->evidence == co_ev_worn ? node->evidence : NULL;
	if (node->state && node->tree_adopted) {
		p->tracestate = node->state->text.tracestate;
		p->tracestate_of = &node->state->text;
	}
}

/* A node without its exchange: what only an open exchange needs is given up. */
static void let_go(struct clew_correlate *co, struct co_node *node)
{
	co_link__unwait(co, node);
	co_thread_rule__answered(co, node);
	co_list__del(&node->conn_link);
	co_list__del(&node->done_link);
	node->ex = NULL;
	co->held--;
	co_node__put(co, node->parent);
	node->parent = NULL;
}

void co_release(struct clew_correlate *co, struct co_node *node)
{
	struct clew_exchange *ex = node->ex;
	struct clew_placement place;

	fill(node, &place);
	co->stats.links[place.link]++;
	node->released = 1;
	let_go(co, node);
	ex->node = NULL;
	co->sink.release(co->sink.arg, ex, &place);
	if (!node->is_server && node->joinable) {
		/* its server end may be reported late */
		node->settled = co->now;
		co_list__add_tail(&co->retired, &node->done_link);
		return; /* the list has the reference now */
	}
	co_node__put(co, node);
}

static void retire(struct clew_correlate *co, struct co_node *node)
{
	co_list__del(&node->done_link);
	co_join__forget(co, node);
	co_node__put(co, node);
}

static void sweep_joins(struct clew_correlate *co)
{
	const uint64_t wait[CO_GRACES] = {
		[CO_GRACE_FIRST] = CO_GRACE_MS * CO_NSEC_PER_MSEC,
		[CO_GRACE_WINDOW] = co->window,
	};
	struct co_node *node;
	int q;

	for (q = 0; q < CO_GRACES; q++) {
		while (!co_list__empty(&co->grace[q])) {
			node = co_entry(co->grace[q].next, struct co_node, wait_link);
			if (node->started + wait[q] > co->now)
				break;
			co_join__expired(co, node, q);
		}
	}
}

static void sweep(struct clew_correlate *co)
{
	struct co_node *node;

	co->next_sweep = co->now + SWEEP_NS;
	sweep_joins(co);
	while (!co_list__empty(&co->done)) {
		node = co_entry(co->done.next, struct co_node, done_link);
		if (node->settled + co->window > co->now)
			break;
		co_link__force(co, node, true);
	}
	while (!co_list__empty(&co->retired)) {
		node = co_entry(co->retired.next, struct co_node, done_link);
		if (node->settled + CO_GRACE_MS * CO_NSEC_PER_MSEC > co->now)
			break;
		retire(co, node);
	}
}

static void advance(struct clew_correlate *co, uint64_t now)
{
	if (now > co->now)
		co->now = now;
	if (co->now >= co->next_sweep)
		sweep(co);
}

static void make_room(struct clew_correlate *co)
{
	while (co->held >= co->max_nodes && !co_list__empty(&co->done)) {
		co->stats.evicted++;
		co_link__force(co, co_entry(co->done.next, struct co_node, done_link), false);
	}
}

/* ---- events ---- */

static void on_segment(struct clew_correlate *co, const struct clew_segment *seg)
{
	struct co_thread *t;

	if (seg->flags & CLEW_SEG_LOOP) {
		t = co_thread(co, seg->h.tid, seg->h.pid);
		if (t)
			t->loop = 1;
	}
	co->reading.set = seg->dir == CLEW_RECV;
	co->reading.conn_id = seg->conn_id;
	co->reading.ts = seg->h.ts;
	co->reading.pid = seg->h.pid;
	co->reading.tid = seg->h.tid;
	co->reading.turn = seg->h.turn;
	co->reading.ctx = seg->ctx;
	if (co->nr_late && seg->dir == CLEW_RECV)
		co_unix__heard(co, seg);
	if (co_rule(seg->ctx_kind)->segment)
		co_rule(seg->ctx_kind)->segment(co, seg);
}

static void on_edge(struct clew_correlate *co, const struct clew_edge *edge)
{
	const struct co_rule *rule = co_rule((uint8_t)(edge->kind >> 8));
	size_t chain = edge->chain_len * sizeof(edge->chain[0]);

	if (rule->edge && edge->h.size >= offsetof(struct clew_edge, chain) + chain)
		rule->edge(co, edge);
}

static void on_close(struct clew_correlate *co, const struct clew_conn_close *ev)
{
	struct co_conn *conn = co_conn__find(co, ev->conn_id);

	if (!conn)
		return;
	co_rule__closed(co, conn);
	if (ev->reason == CLEW_CLOSE_LOCAL || ev->reason == CLEW_CLOSE_BOTH)
		return; /* the other direction may go on */
	co_map__del(&co->conns, ev->conn_id, 0);
}

/* Every table is keyed by the generation: what the old program left ages out. */
static void renew(struct clew_correlate *co, uint32_t pid)
{
	struct co_proc *proc = co_proc__find(co, pid);

	if (co_thread__find(co, pid, pid))
		co_map__del(&co->threads, pid, 0);
	if (!proc) /* nothing is known of the old program */
		return;
	proc->gen = ++co->next_gen;
	proc->runtime = CLEW_RT_UNKNOWN;
	proc->owner_off = 0;
	proc->copy_first = proc->copy_last = 0;
	proc->start_time = proc->watched_ts = 0;
	proc->probes = proc->given_up = 0;
	proc->js_mixed_ts = 0;
}

static void on_proc_info(struct clew_correlate *co, const struct clew_proc_info *info)
{
	struct co_proc *proc = co_proc(co, info->h.pid);

	if (!proc)
		return;
	if (proc->start_time && proc->start_time != info->start_time)
		renew(co, info->h.pid);
	proc->start_time = info->start_time;
	if (!proc->watched_ts)
		proc->watched_ts = info->h.ts;
	proc->runtime = info->runtime < CLEW_RT_KINDS ? (uint8_t)info->runtime : CLEW_RT_OTHER;
}

/* A set that was away has missed edges: what it proves counts from its return. */
static void on_probes(struct clew_correlate *co, const struct clew_probes_event *ev)
{
	struct co_proc *proc = co_proc(co, ev->h.pid);

	if (!proc)
		return;
	for (int i = 0; i < CLEW_SET_MAX; i++)
		if (ev->sets & ~proc->probes & 1ULL << i)
			proc->probes_ts[i] = ev->h.ts;
	/* what was learnt may end unheard from now on */
	if (proc->probes & ~ev->sets)
		proc->gen = ++co->next_gen;
	proc->probes = ev->sets;
	co->stats.given_up += (uint64_t)__builtin_popcountll(ev->given_up & ~proc->given_up);
	proc->given_up = ev->given_up;
}

static void on_stats(struct clew_correlate *co, const struct clew_stats *ev)
{
	uint64_t loss = ev->count[CLEW_STAT_DROP_RING_FULL] + ev->count[CLEW_STAT_DROP_CONN_FULL] +
			ev->count[CLEW_STAT_THREADS_FULL];

	if (loss != co->seen_loss) {
		co->seen_loss = loss;
		co->loss++;
	}
}

void clew_correlate__event(struct clew_correlate *co, const struct clew_event *ev)
{
	static const uint16_t least[] = {
		[CLEW_EV_SEGMENT] = sizeof(struct clew_segment),
		[CLEW_EV_CONN_OPEN] = sizeof(struct clew_conn_open),
		[CLEW_EV_CONN_CLOSE] = sizeof(struct clew_conn_close),
		[CLEW_EV_EDGE] = offsetof(struct clew_edge, chain),
		[CLEW_EV_PROC_INFO] = sizeof(struct clew_proc_info),
		[CLEW_EV_STATS] = sizeof(struct clew_stats),
		[CLEW_EV_PROBES] = sizeof(struct clew_probes_event),
	};

	if (ev->version != CLEW_EVENT_VERSION || ev->size < sizeof(*ev) ||
	    (ev->type < sizeof(least) / sizeof(least[0]) && ev->size < least[ev->type]))
		return;
	advance(co, ev->ts);
	switch (ev->type) {
	case CLEW_EV_SEGMENT:
		on_segment(co, (const struct clew_segment *)ev);
		break;
	case CLEW_EV_CONN_OPEN:
		co_join__opened(co, (const struct clew_conn_open *)ev);
		break;
	case CLEW_EV_CONN_CLOSE:
		on_close(co, (const struct clew_conn_close *)ev);
		break;
	case CLEW_EV_EXEC:
	case CLEW_EV_EXIT:
		renew(co, ev->pid);
		break;
	case CLEW_EV_EDGE:
		on_edge(co, (const struct clew_edge *)ev);
		break;
	case CLEW_EV_PROC_INFO:
		on_proc_info(co, (const struct clew_proc_info *)ev);
		break;
	case CLEW_EV_STATS:
		on_stats(co, (const struct clew_stats *)ev);
		break;
	case CLEW_EV_PROBES:
		on_probes(co, (const struct clew_probes_event *)ev);
		break;
	default:
		break;
	}
}

/* ---- exchanges ---- */

static void server_request(struct clew_correlate *co, struct co_node *x)
{
	struct co_conn *conn = x->conn;
	const struct co_rule *rule;

	conn->serves = 1;
	co_list__add_tail(&conn->open, &x->conn_link);
	rule = co_rule__of(co, x, &x->ex->req);
	if (rule->request)
		rule->request(co, x);
	co_join__server(co, x);
}

static void client_request(struct clew_correlate *co, struct co_node *c)
{
	struct co_claim claim = {.kind = CO_CLAIM_NONE, .link = CLEW_LINK_NONE};
	struct co_proc *proc = co_proc(co, c->pid);

	if (proc)
		proc->unasked = 0;
	c->rule = co_rule__of(co, c, &c->ex->req);
	if (c->rule->claim)
		c->rule->claim(co, c, &claim);
	co_link__claim(co, c, &claim);
	co_join__client(co, c);
}

void clew_correlate__request(struct clew_correlate *co, struct clew_exchange *ex)
{
	struct co_node *node;
	struct co_conn *conn;

	advance(co, ex->req.ts);
	ex->node = NULL;
	make_room(co);
	if (co->held >= co->max_nodes)
		return; /* all are open: this one will be a root */
	conn = co_conn(co, ex->conn->id, ex->req.pid);
	node = conn ? co_node__new(co) : NULL;
	if (!node)
		return;
	node->conn = conn;
	conn->refs++;
	co->held++;
	ex->node = node;
	node->ex = ex;
	node->is_server = ex->is_server;
	node->pid = ex->req.pid;
	node->tid = ex->req.tid;
	node->req_ts = ex->req.ts;
	node->started = co->now;
	node->loss = co->loss;
	node->excluded = clew_excluded_path(&co->cfg->excluded_paths, ex->text + ex->target.off,
					    ex->target.len);
	co_ids__span(ex, node->span_id);
	co_header__read(co, node);
	if (ex->is_server)
		server_request(co, node);
	else
		client_request(co, node);
}

/* The answer has begun, or will not come. */
static void answered(struct clew_correlate *co, struct co_node *node)
{
	const struct co_rule *rule;

	if (node->answered)
		return;
	node->answered = 1;
	if (node->ex->incomplete & CLEW_INC_GAP)
		node->gap = 1;
	if (!node->is_server)
		return;
	rule = co_rule__of(co, node, &node->ex->resp);
	if (node->ex->resp.ts && rule->response)
		rule->response(co, node);
	co_thread_rule__answered(co, node);
	co_list__del(&node->conn_link);
	co_link__answered(co, node);
}

void clew_correlate__response(struct clew_correlate *co, struct clew_exchange *ex)
{
	advance(co, ex->resp.ts);
	if (ex->node)
		answered(co, ex->node);
}

/* Never known to this stage, for want of room: a root with the ids it would have had. */
static void release_unknown(struct clew_correlate *co, struct clew_exchange *ex)
{
	struct clew_placement place = {.sampled = 1, .link = CLEW_LINK_NONE};

	co_ids__span(ex, place.span_id);
	co_ids__trace(place.span_id, ex->req.ts, ex->conn->id, ex->req.pid, place.trace_id);
	co->stats.links[CLEW_LINK_NONE]++;
	co->stats.evicted++;
	co->sink.release(co->sink.arg, ex, &place);
}

void clew_correlate__done(struct clew_correlate *co, struct clew_exchange *ex)
{
	struct co_node *node = ex->node;

	advance(co, ex->resp_end_ts > ex->req_end_ts ? ex->resp_end_ts : ex->req_end_ts);
	if (!node) {
		release_unknown(co, ex);
		return;
	}
	if (node->done)
		return;
	if (ex->incomplete & CLEW_INC_GAP)
		node->gap = 1;
	node->done = 1;
	node->settled = co->now;
	co_list__add_tail(&co->done, &node->done_link);
	co_node__get(node);
	answered(co, node);
	/* this may decide, and so release it */
	if (!node->is_server && co_rule(ex->req.ctx_kind)->completed)
		co_rule(ex->req.ctx_kind)->completed(co, node);
	if (node->resolved && !node->released)
		co_release(co, node);
	co_node__put(co, node);
}

void clew_correlate__dropped(struct clew_correlate *co, struct clew_exchange *ex, int reason)
{
	struct co_node *node = ex->node;

	(void)reason;
	if (!node)
		return;
	ex->node = NULL;
	node->answered = 1;
	co_join__forget(co, node);
	co_link__orphan(co, node);
	let_go(co, node);
	co_node__put(co, node);
}

void clew_correlate__tick(struct clew_correlate *co, uint64_t now)
{
	co->reading.set = false;
	if (now > co->now)
		co->now = now;
	sweep(co);
}

void clew_correlate__drain(struct clew_correlate *co)
{
	co->reading.set = false;
	while (!co_list__empty(&co->done))
		co_link__force(co, co_entry(co->done.next, struct co_node, done_link), true);
	while (!co_list__empty(&co->retired))
		retire(co, co_entry(co->retired.next, struct co_node, done_link));
}

/* ---- life ---- */

struct table {
	struct co_map *map;
	uint32_t max;
	void (*drop)(void *, void *);
	size_t bytes; /* of a value */
};

enum { TABLES = 18 };

/* In the order in which they can be torn down: who refers to others comes first. */
static void tables(struct clew_correlate *co, struct table t[TABLES])
{
	uint32_t conns = co->cfg->capture.max_connections;
	uint32_t nodes = (uint32_t)co->max_nodes;

	if (conns < CONNS_MIN)
		conns = CONNS_MIN;
	t[0] = (struct table){&co->conns, conns, drop_conn,
			      sizeof(struct co_conn) + sizeof(struct co_unix)};
	t[1] = (struct table){&co->threads, THREADS_MAX, drop_thread, sizeof(struct co_thread)};
	t[2] = (struct table){&co->go_cur, GO_MAX, co_go_rule__free, co_go_cur_bytes};
	t[3] = (struct table){&co->go_ctx, GO_MAX, co_go_rule__free_ctx, co_go_ctx_bytes};
	t[4] = (struct table){&co->py_ctx, PY_MAX, co_py_ctx__drop, co_py_ctx_bytes};
	t[5] = (struct table){&co->clients, nodes, co_node__drop, 0};
	t[6] = (struct table){&co->servers, nodes, co_node__drop, 0};
	t[7] = (struct table){&co->procs, PROCS_MAX, drop_proc, sizeof(struct co_proc)};
	t[8] = (struct table){&co->tuples, conns, NULL, 0};
	t[9] = (struct table){&co->unix_ends, conns, NULL, 0};
	t[10] = (struct table){&co->locals, LOCALS_MAX, NULL, 0};
	t[12] = (struct table){&co->py_items, PY_MAX, co_py_item__drop, co_py_item_bytes};
	t[11] = (struct table){&co->headers, HEADERS_MAX, NULL, 0};
	t[17] = (struct table){&co->py_hands, PY_MAX, co_py_hand__drop, co_py_hand_bytes};
	t[13] = (struct table){&co->js_ids, JS_IDS_MAX, co_js_id__drop, co_js_id_bytes};
	t[15] = (struct table){&co->java_tasks, JAVA_MAX, co_java_task__drop, co_java_task_bytes};
	t[14] = (struct table){&co->js_fns, JS_FNS_MAX, co_js_fn__drop, co_js_fn_bytes};
	t[16] = (struct table){&co->rust_messages, RUST_MAX, co_rust_message__drop,
			       co_rust_message_bytes};
}

struct clew_correlate *clew_correlate__new(const struct clew_config *cfg,
					   const struct clew_correlate_sink *sink)
{
	struct clew_correlate *co = calloc(1, sizeof(*co));
	struct table t[TABLES];
	int i;

	if (!co)
		return NULL;
	co->cfg = cfg;
	co->sink = *sink;
	co->window = cfg->correlate.window_ms * CO_NSEC_PER_MSEC;
	co->max_nodes = cfg->correlate.window_bytes /
			(sizeof(struct co_node) + sizeof(struct clew_exchange));
	if (co->max_nodes > cfg->correlate.max_open_exchanges)
		co->max_nodes = cfg->correlate.max_open_exchanges;
	if (co->max_nodes < NODES_MIN)
		co->max_nodes = NODES_MIN;
	co_list__init(&co->done);
	co_list__init(&co->retired);
	for (i = 0; i < CO_GRACES; i++)
		co_list__init(&co->grace[i]);
	tables(co, t);
	for (i = 0; i < TABLES; i++)
		if (co_map__init(t[i].map, t[i].max, t[i].drop, co))
			goto err_out;
	return co;
err_out:
	clew_correlate__free(co);
	return NULL;
}

void clew_correlate__free(struct clew_correlate *co)
{
	struct table t[TABLES];
	int i;

	if (!co)
		return;
	co_node__strip_all(co);
	tables(co, t);
	for (i = 0; i < TABLES; i++)
		co_map__free(t[i].map);
	co_node__free_all(co);
	free(co);
}

const struct clew_correlate_stats *clew_correlate__stats(const struct clew_correlate *co)
{
	struct clew_correlate_stats *stats = (struct clew_correlate_stats *)&co->stats;
	struct table t[TABLES];
	int i;

	stats->bytes = co->slab_bytes + co->held * sizeof(struct clew_exchange);
	tables((struct clew_correlate *)co, t);
	for (i = 0; i < TABLES; i++)
		stats->bytes += co_map__bytes(t[i].map) + t[i].map->count * t[i].bytes;
	return stats;
}
