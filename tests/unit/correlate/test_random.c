/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random applications whose truth is known: nginx, asyncio, Go, threads, a connection-owning
 * asyncio server, tokio and a JVM with virtual threads and pools call each other concurrently;
 * addresses of contexts and tasks are reused at once; lazily started workers serve other requests'
 * items. What they do is written down as a list of records, which is then played back whole, out of
 * order between processes, with records twice, and with one in twenty lost. Whatever is missing: no
 * exact link is ever wrong, every complete exchange leaves once, and the window stays bounded.
 */
#include "world.h"

struct result {
	unsigned right, none, wrong, inferred_right, inferred_wrong, claimable;
};

static void edge(struct world *w, uint16_t kind, struct who who, uint64_t child, uint64_t ref)
{
	struct op *op = add(w, OP_EDGE, who);

	op->edge = kind;
	op->child = child;
	op->ref = ref;
}

static void go_edge(struct world *w, uint16_t kind, struct who who, uint64_t conn, uint64_t c0,
		    uint64_t c1)
{
	struct op *op = add(w, OP_EDGE, who);

	op->edge = kind;
	op->conn_id = conn;
	op->chain[0] = c0;
	op->chain[1] = c1;
}

/* New tasks always report the copy of the context first. */
static void new_task(struct world *w, struct who parent, uint64_t *ctx, uint64_t *task)
{
	*ctx = ctx_new(w);
	*task = *ctx + 8;
	if (parent.uvloop && !parent.ctx) { /* the callback that the read is for */
		parent.ctx = ACCEPTED;
		parent.turn++;
	}
	edge(w, CLEW_EDGE_PY_COPY, parent, *ctx, 0);
	edge(w, CLEW_EDGE_PY_TASK, parent, *ctx, *task);
}

static void make_unix(struct world *w, struct link *l, uint32_t client, uint32_t server)
{
	struct clew_conn *c = &l->k.c, *s = &l->k.s;

	sim_connect(&w->sim, &l->k, 0, 0, 0);
	c->pid = client;
	s->pid = server;
	c->family = s->family = 1;
	c->sk = s->peer_sk = 0x1000 * (uint64_t)w->links;
	s->sk = c->peer_sk = 0x1000 * (uint64_t)w->links + 8;
	if (w->links % 4 == 1) {
		l->shift = 100 * rnd(w, 50);
		c->from_start = s->from_start = 0;
	}
	sim_opened(&w->sim, c);
	sim_opened(&w->sim, s);
}

static void add_link(struct world *w, int src, int dst)
{
	struct link *l = &w->link[w->links++];

	assert_true(w->links <= LINKS);
	memset(l, 0, sizeof(*l));
	if (src != UNTRACED && dst != UNTRACED && w->links % 2)
		make_unix(w, l, pid_of(src), pid_of(dst));
	else
		sim_connect(&w->sim, &l->k, pid_of(src), pid_of(dst), (uint16_t)(80 + dst));
	l->src = src;
	l->dst = dst;
	l->client_op = -1;
	l->goid = 1000 + (uint64_t)w->links;
	l->wgoid = 5000 + (uint64_t)w->links;
	l->tid = 40 + (uint32_t)w->links + pid_of(THREADS) * 10;
	l->ctx = 0x70000 + 64 * (uint64_t)w->links;
	l->task = l->ctx + 8;
}

static void java_wait(struct world *w, const struct handler *h, uint64_t conn, bool waits)
{
	struct op *op = add(w, OP_EDGE, java_caller(w, h));
	struct who waiter = java(w, h);

	op->edge = CLEW_EDGE_JAVA_WAIT;
	op->conn_id = conn;
	op->child = waits ? waiter.ctx : 0;
	op->ref = waits ? waiter.ref : 0;
}

/* It waits for another job by now, but holds what this one will give. */
static void java_holds(struct world *w, const struct handler *h)
{
	struct op *op = add(w, OP_EDGE, java(w, h));
	struct who job = java_caller(w, h);

	op->edge = CLEW_EDGE_JAVA_HELD;
	op->child = sim_java_task(&job);
}

static void java_waits(struct world *w, const struct handler *h, uint64_t conn)
{
	struct op *op;

	if (h->http && rnd(w, 4)) {
		struct who waiter = java(w, h);

		op = add(w, OP_EDGE, java_client(w));
		op->edge = CLEW_EDGE_JAVA_CALL;
		op->conn_id = conn;
		op->child = waiter.ctx;
		op->ref = waiter.ref;
	}
	if (h->mode != BLOCKING || !rnd(w, 4))
		return;
	if (rnd(w, 3)) {
		java_wait(w, h, conn, true);
	} else if (rnd(w, 2)) {
		java_holds(w, h);
		java_wait(w, h, conn, false);
	} else {
		java_wait(w, h, conn, false);
		java_holds(w, h);
	}
}

/* The server's process reads the request that lies on the connection. */
static void start(struct world *w, int in)
{
	struct link *l = &w->link[in];
	struct handler *h = NULL;
	struct who who;
	struct op *op;
	int i;

	for (i = 0; i < HANDLERS; i++) {
		if (!w->h[i].used)
			h = &w->h[i];
		else if (w->h[i].in == in && l->dst != PYTHON)
			return; /* one after the other */
	}
	if (!h)
		return;
	memset(h, 0, sizeof(*h));
	h->used = true;
	h->kind = l->dst;
	h->in = in;
	h->calls = (int)rnd(w, 4);
	h->after = rnd(w, 6) == 0;
	l->arrived = false;
	if (l->src == UNTRACED)
		l->k.c2s += 100;
	if (h->kind == JAVA) {
		if (l->tid % 2)
			h->ctx = 0x90000 + (uint64_t)w->nr; /* never used again */
		h->serial = l->tid % 4 ? CLEW_JAVA_JOB | (uint32_t)w->nr : 0;
		h->mode = rnd(w, 3) ? (enum mode)rnd(w, 4) : PLAIN;
		java_job(w, h);
		h->http = h->mode == PLAIN && !rnd(w, 3);
		w->turn[JAVA] += rnd(w, 2);
	}
	who = h->kind == JAVA ? java(w, h)
			      : runs(w, h->kind,
				     h->kind == GO || h->kind == RUST	     ? l->goid
				     : h->kind == PYTHON || h->kind == OWNER ? READER
									     : 0,
				     0, h->kind == THREADS ? l->tid : 0);
	op = add(w, OP_REQ, who);
	h->x = w->nr - 1;
	op->link = in;
	op->server = true;
	op->pos = l->k.c2s - 100 + l->shift;
	op->truth = l->client_op;
	w->requests++;
	if (h->kind == PYTHON) {
		h->mode = (enum mode)rnd(w, 4);
		new_task(w, who, &h->ctx, &h->task);
	} else if (h->kind == GO) {
		h->ctx = ctx_new(w);
		go_edge(w, CLEW_EDGE_GO_SERVE, who, 0, h->ctx, 0);
		h->mode = (enum mode)rnd(w, 4);
	} else if (h->kind == OWNER) {
		h->ctx = l->ctx;
		h->task = l->task;
		h->after = 0;
	} else if (h->kind == RUST) {
		h->mode = rnd(w, 3) ? PLAIN : (enum mode)rnd(w, 4);
	} else if (h->kind == THREADS || h->kind == JAVA) {
		h->after = 0;
		if (h->kind == THREADS)
			h->mode = w->pool && rnd(w, 2) ? BLOCKING : PLAIN;
	}
}

static void born_edge(struct world *w, struct who who, uint64_t conn, uint64_t parent,
		      uint64_t waits, uint64_t object, bool answer)
{
	struct op *op = add(w, OP_EDGE, who);

	op->edge = CLEW_EDGE_GO_BORN;
	op->conn_id = conn;
	op->chain[0] = parent;
	op->chain[1] = object;
	op->ref = waits;
	op->child = answer;
}

/* Go, without a context: a goroutine that the handler waits for, or a worker that some other
 * handler once started. */
static struct who started(struct world *w, struct handler *h, struct link *out)
{
	uint64_t me = w->link[h->in].goid, parent = me, waits = 0, object = me << 4;
	struct who who;

	if (h->mode == WORKER) {
		if (!w->go_starter)
			w->go_starter = me;
		parent = w->go_starter;
		who = runs(w, GO, 8000, 0, 0);
		/* who started it waits to put something into its queue, now and then */
		waits = rnd(w, 2) ? CLEW_GO_SENDS : 0;
		object = 0xeee0;
	} else {
		h->born = 100000 + w->next_goid++;
		who = runs(w, GO, h->born, 0, 0);
		if (h->mode == BLOCKING && !h->answered) /* for it, or for a place in its group */
			waits = (uint64_t[]){0, 1, CLEW_GO_SENDS}[rnd(w, 3)];
	}
	go_edge(w, CLEW_EDGE_GO_ROUNDTRIP, who, out->k.c.id, 0x1, 0);
	born_edge(w, who, out->k.c.id, parent, waits, object, false);
	return runs(w, GO, out->wgoid, 0, 0);
}

/* In whose name a handler writes its next client request. */
static struct who caller(struct world *w, struct handler *h, struct link *out)
{
	struct who who;

	switch (h->kind) {
	case PYTHON:
		if (h->mode == CHILD || (h->mode == BLOCKING && !h->answered)) {
			who = runs(w, PYTHON, h->ctx, h->task, 0);
			if (!h->child && h->mode == CHILD) {
				new_task(w, who, &h->child, &h->child_task);
			} else if (!h->child) {
				h->child = ctx_new(w);
				edge(w, CLEW_EDGE_PY_COPY, who, h->child, 0);
			}
			if (h->mode == BLOCKING)
				return runs(w, PYTHON, h->child, 0, 77 + (uint32_t)h->in);
			return runs(w, PYTHON, h->child, h->child_task, 0);
		}
		if (h->mode == WORKER) {
			if (!w->worker)
				new_task(w, runs(w, PYTHON, h->ctx, h->task, 0), &w->worker,
					 &w->worker_task);
			return runs(w, PYTHON, w->worker, w->worker_task, 0);
		}
		return runs(w, PYTHON, h->ctx, h->task, 0);
	case OWNER:
		return runs(w, OWNER, h->ctx, h->task, 0);
	case GO:
		if (h->mode == WORKER || h->mode == BLOCKING)
			return started(w, h, out);
		if (h->mode == CHILD && rnd(w, 2))
			who = runs(w, GO, 9000 + rnd(w, 20), 0, 0);
		else
			who = runs(w, GO, w->link[h->in].goid, 0, 0);
		go_edge(w, CLEW_EDGE_GO_ROUNDTRIP, who, out->k.c.id, rnd(w, 2) ? 0x1 : h->ctx,
			h->mode == CHILD ? h->ctx : 0);
		return runs(w, GO, out->wgoid, 0, 0);
	case NGINX:
		return runs(w, NGINX, 0, w->link[h->in].k.s.id, 0);
	case JAVA:
		return java_caller(w, h);
	case RUST:
		return rust_caller(w, h, out);
	default:
		return runs(w, THREADS, 0, 0, h->worker ? h->worker : w->link[h->in].tid);
	}
}

static int free_out(struct world *w, int kind)
{
	int i, at = (int)rnd(w, (uint32_t)w->links);

	for (i = 0; i < w->links; i++) {
		struct link *l = &w->link[(at + i) % w->links];

		if (l->src == kind && !l->busy)
			return (at + i) % w->links;
	}
	return -1;
}

static void send(struct world *w, int out, struct who who, int truth)
{
	struct link *l = &w->link[out];
	struct op *op = add(w, OP_REQ, who);

	op->link = out;
	op->pos = l->k.c2s;
	op->truth = truth;
	l->k.c2s += 100;
	l->client_op = w->nr - 1;
	l->busy = true;
	l->arrived = l->dst != UNTRACED;
	l->answered = l->dst == UNTRACED;
}

static void respond(struct world *w, int link, bool server, int req, struct who who)
{
	struct op *op = add(w, OP_RESP, who);

	op->link = link;
	op->server = server;
	op->req = req;
}

/* The client's process reads the answer; a loop's reader, or the thread itself. */
static void got(struct world *w, int out, const struct handler *h)
{
	struct link *l = &w->link[out];
	struct who who = runs(w, l->src, l->src == GO ? l->wgoid + 1000 : READER, 0, 0);

	if (l->src == JAVA && h) {
		w->turn[JAVA]++; /* the answer was waited for */
		java_waits(w, h, l->k.c.id);
		who = java_caller(w, h);
	} else if (l->src == THREADS)
		who = runs(w, THREADS, 0, 0, h->worker ? h->worker : w->link[h->in].tid);
	else if (h && h->kind == PYTHON && h->mode == BLOCKING && !h->answered)
		who = runs(w, PYTHON, h->child, 0, 77 + (uint32_t)h->in);
	respond(w, out, false, l->client_op, who);
	/* read by then, and who called does not know it yet */
	if (h && h->kind == GO && h->mode == BLOCKING && !h->answered)
		born_edge(w, runs(w, GO, h->born, 0, 0), l->k.c.id, w->link[h->in].goid,
			  rnd(w, 2) ? 1 : CLEW_GO_SENDS, w->link[h->in].goid << 4, true);
	l->busy = l->answered = false;
	l->client_op = -1;
}

static void finish(struct world *w, struct handler *h)
{
	if (h->kind == PYTHON || h->kind == GO)
		ctx_free(w, h->ctx);
	if (h->child)
		ctx_free(w, h->child);
	if (h->kind == JAVA && (h->mode == BLOCKING || h->mode == CHILD)) {
		w->jobs[h->job - 100]++;
		w->job_busy[h->job - 100] = false;
	}
	if (w->link[h->in].src == UNTRACED)
		w->link[h->in].busy = false;
	h->used = false;
}

static void answer(struct world *w, struct handler *h)
{
	struct link *l = &w->link[h->in];
	struct who who = h->kind == JAVA ? java_responder(w, h)
					 : runs(w, h->kind,
						h->kind == GO || h->kind == RUST ? l->goid
						: h->kind == NGINX		 ? 0
										 : h->ctx,
						h->task, h->kind == THREADS ? l->tid : 0);

	if (h->kind == RUST)
		rust_joins(w, h, l->goid);
	respond(w, h->in, true, h->x, who);
	h->answered = true;
	l->answered = true;
	if (l->src == UNTRACED)
		l->client_op = -1;
}

static void step(struct world *w, struct handler *h)
{
	struct link *out;
	int o;

	if (h->waiting) {
		out = &w->link[h->out];
		if (!out->answered)
			return;
		got(w, h->out, h);
		h->waiting = false;
		pool_done(w, h);
		return;
	}
	if (h->wakes)
		pool_wakes(w, h);
	if (h->answered ? h->after > 0 : h->calls > 0) {
		o = free_out(w, h->kind);
		if (o < 0 || (h->kind == THREADS && !pool_ready(w, h)))
			return;
		send(w, o, caller(w, h, &w->link[o]), h->x);
		h->out = o;
		h->waiting = true;
		if (h->answered)
			h->after--;
		else
			h->calls--;
		return;
	}
	if (!h->answered)
		answer(w, h);
	else
		finish(w, h);
}

/* Work that no request caused: a periodic task, a goroutine of its own. */
static void background(struct world *w)
{
	static const int kinds[] = {PYTHON, GO, JAVA, RUST};
	int kind = kinds[rnd(w, 4)], o = free_out(w, kind);
	struct who who;

	if (o < 0 || w->link[o].dst != UNTRACED)
		return;
	if (kind == PYTHON) {
		who = runs(w, PYTHON, 0x60000, 0x60008, 0);
	} else if (kind == JAVA) {
		who = runs(w, JAVA, 3 + rnd(w, 2), rnd(w, 2) ? CLEW_JAVA_VIRTUAL : CLEW_JAVA_JOB,
			   0);
	} else if (kind == RUST) {
		who = rust_caller(w, &(struct handler){.mode = WORKER}, &w->link[o]);
	} else {
		who = runs(w, GO, 9500, 0, 0);
		go_edge(w, CLEW_EDGE_GO_ROUNDTRIP, who, w->link[o].k.c.id, 0x1, 0);
		who = runs(w, GO, w->link[o].wgoid, 0, 0);
	}
	send(w, o, who, -1);
	got(w, o, NULL);
}

static void make_world(struct world *w, uint64_t seed, int requests)
{
	static const int edges[][2] = {
		{NGINX, PYTHON},   {NGINX, GO},	      {NGINX, THREADS},	  {NGINX, OWNER},
		{PYTHON, GO},	   {PYTHON, THREADS}, {PYTHON, UNTRACED}, {GO, THREADS},
		{GO, UNTRACED},	   {GO, OWNER},	      {THREADS, OWNER},	  {THREADS, UNTRACED},
		{OWNER, UNTRACED}, {NGINX, JAVA},     {JAVA, GO},	  {JAVA, UNTRACED},
		{NGINX, RUST},	   {RUST, GO},	      {RUST, UNTRACED}};
	size_t i;
	int k, n, busy = 1;

	memset(w, 0, sizeof(*w));
	w->haproxy = seed & 1;
	w->uvloop = seed & 2;
	w->pool = seed & 4;
	sim_init(&w->sim);
	w->ops = calloc(OPS, sizeof(*w->ops));
	w->rnd = seed * 0x9e3779b97f4a7c15ULL + 1;
	w->ts = w->sim.now;
	for (k = CTXS - 1; k >= 0; k--)
		w->free_ctx[w->nr_free++] = 0x100000 + 64 * (uint64_t)k;
	for (k = 0; k < KINDS; k++) {
		sim_runtime(&w->sim, pid_of(k),
			    k == NGINX	   ? (w->haproxy ? CLEW_RT_HAPROXY : CLEW_RT_NGINX)
			    : k == GO	   ? CLEW_RT_GO
			    : k == THREADS ? (w->pool ? CLEW_RT_PYTHON : CLEW_RT_UNKNOWN)
			    : k == JAVA	   ? CLEW_RT_JAVA
			    : k == RUST	   ? CLEW_RT_TOKIO
					   : CLEW_RT_PYTHON);
		for (n = 0; n < 3; n++)
			add_link(w, UNTRACED, k);
	}
	for (i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		for (n = 0; n < 3; n++)
			add_link(w, edges[i][0], edges[i][1]);
	while (busy) {
		k = (int)rnd(w, (uint32_t)w->links);
		if (w->requests < requests && w->link[k].src == UNTRACED && !w->link[k].busy) {
			w->link[k].busy = true;
			w->link[k].answered = false;
			w->link[k].arrived = true;
		}
		if (w->link[k].arrived)
			start(w, k);
		for (n = 0, busy = w->requests < requests; n < HANDLERS; n++) {
			if (!w->h[n].used)
				continue;
			busy = 1;
			if (!rnd(w, 3))
				step(w, &w->h[n]);
		}
		if (!rnd(w, 40))
			background(w);
	}
}

/* ---- playback ---- */

struct mood {
	uint32_t lose, twice, swap; /* per mille */
	bool no_copies;		    /* the probe is not attached */
};

/* The connection stage's part: a lost answer is noticed at the connection's next record. */
static void settle_gap(struct world *w, const struct op *now)
{
	int i;

	for (i = (int)(now - w->ops) - 1; i >= 0; i--) {
		struct op *op = &w->ops[i];

		if (op->link != now->link || op->server != now->server || op->kind != OP_REQ)
			continue;
		if (op->ex && !op->over) {
			op->over = true;
			sim_drop(&w->sim, op->ex);
		}
		if (op->over)
			return;
	}
}

static void play(struct world *w, struct op *op, bool again)
{
	struct sim *sim = &w->sim;
	struct link *l = &w->link[op->link];
	struct clew_conn *end = op->server ? &l->k.s : &l->k.c;
	struct op *req;

	sim->now = op->ts;
	switch (op->kind) {
	case OP_EDGE:
		if (op->edge == CLEW_EDGE_GO_SERVE || op->edge == CLEW_EDGE_GO_ROUNDTRIP)
			sim_go(sim, op->edge, &op->w, op->conn_id, op->chain[0], op->chain[1]);
		else if (op->edge == CLEW_EDGE_GO_BORN)
			sim_born_in(sim, &op->w, op->conn_id, op->chain[0], 0, op->ref,
				    op->chain[1], op->child);
		else if (op->edge == CLEW_EDGE_JAVA_WAIT)
			sim_java_wait(sim, &op->w, op->conn_id,
				      &(struct who){.ctx = op->child, .ref = op->ref});
		else if (op->edge == CLEW_EDGE_JAVA_CALL)
			sim_java_call(sim, &op->w, op->conn_id,
				      &(struct who){.ctx = op->child, .ref = op->ref});
		else if (op->edge == CLEW_EDGE_JAVA_HELD)
			sim_java_held(sim, &op->w, op->child);
		else
			sim_edge(sim, op->edge, &op->w, op->child, op->ref);
		break;
	case OP_REQ:
		sim_segment(sim, end, &op->w, op->server ? CLEW_RECV : CLEW_SEND, op->pos, 100);
		if (again)
			break;
		settle_gap(w, op);
		op->ex = sim_ex(sim, end, op->server, &op->w, op->pos, "/x", NULL);
		clew_correlate__request(sim->co, &op->ex->ex);
		break;
	case OP_RESP:
		sim_segment(sim, end, &op->w, op->server ? CLEW_SEND : CLEW_RECV, 7, 50);
		req = &w->ops[op->req];
		if (again || !req->ex || req->over)
			break;
		req->over = true;
		req->ex->ex.resp = sim_feed(sim, &op->w, 0);
		clew_correlate__response(sim->co, &req->ex->ex);
		sim_done(sim, req->ex);
		break;
	default:
		break;
	}
}

static void span_of(struct world *w, int i, uint8_t id[8])
{
	struct op *op = &w->ops[i];
	struct clew_exchange ex = {.is_server = op->server};

	ex.conn = op->server ? &w->link[op->link].k.s : &w->link[op->link].k.c;
	ex.req.pos = op->pos;
	co_ids__span(&ex, id);
}

/* `got` is what was said of op i; is it so? */
static void judge(struct world *w, int i, const struct clew_placement *got, struct result *r)
{
	struct op *op = &w->ops[i];
	bool right = false;
	uint8_t id[8];

	if (op->truth >= 0) {
		r->claimable++;
		span_of(w, op->truth, id);
		right = got->has_parent && !memcmp(id, got->parent_span_id, 8);
	}
	if (!got->has_parent)
		r->none += op->truth >= 0;
	else if (got->link == CLEW_LINK_EXACT)
		*(right ? &r->right : &r->wrong) += 1;
	else
		*(right ? &r->inferred_right : &r->inferred_wrong) += 1;
}

static struct result run(struct world *w, struct mood m)
{
	struct result r = {0};
	uint64_t lost = 0, most = 0;
	int i;

	for (i = 0; i < w->nr; i++) {
		struct op *op = &w->ops[i], *next = op + 1;

		if (m.no_copies && op->edge == CLEW_EDGE_PY_COPY)
			continue;
		if (i + 1 < w->nr && op->w.pid != next->w.pid && rnd(w, 1000) < m.swap) {
			if (!m.no_copies || next->edge != CLEW_EDGE_PY_COPY)
				play(w, next, false);
			play(w, op, false);
			i++;
			continue;
		}
		if (rnd(w, 1000) < m.lose)
			lost++;
		else
			play(w, op, false);
		if (rnd(w, 1000) < m.twice && (op->kind != OP_EDGE || !m.lose))
			play(w, op, true);
		if (i % 512 == 0)
			sim_lost(&w->sim, lost);
		if (clew_correlate__stats(w->sim.co)->nodes > most)
			most = clew_correlate__stats(w->sim.co)->nodes;
	}
	sim_lost(&w->sim, lost);
	for (i = 0; i < w->nr; i++)
		if (w->ops[i].kind == OP_REQ && w->ops[i].ex && !w->ops[i].over)
			sim_drop(&w->sim, w->ops[i].ex);
	sim_settle(&w->sim);
	sim_settle(&w->sim);
	for (i = 0; i < w->nr; i++) {
		struct sim_ex *se = w->ops[i].ex;

		if (w->ops[i].kind != OP_REQ || !se)
			continue;
		assert_int_equal(se->released, !se->dropped);
		if (se->released)
			judge(w, i, &se->place, &r);
	}
	assert_true(most < 8192);
	return r;
}

static void end_world(struct world *w)
{
	sim_free(&w->sim);
	free(w->ops);
}

static struct result many(struct mood m, int seeds, int requests, uint64_t first)
{
	struct result sum = {0}, r;
	struct world *w = malloc(sizeof(*w));
	int i;

	for (i = 0; i < seeds; i++) {
		make_world(w, first + (uint64_t)i, requests);
		r = run(w, m);
		if (r.wrong)
			fail_msg("seed %d: %u exact links are wrong", (int)first + i, r.wrong);
		sum.right += r.right;
		sum.none += r.none;
		sum.inferred_right += r.inferred_right;
		sum.inferred_wrong += r.inferred_wrong;
		sum.claimable += r.claimable;
		end_world(w);
	}
	free(w);
	print_message("right %u, none %u, inferred right %u, inferred wrong %u, of %u\n", sum.right,
		      sum.none, sum.inferred_right, sum.inferred_wrong, sum.claimable);
	return sum;
}

static void whole(void **state)
{
	struct result r;

	(void)state;
	r = many((struct mood){0}, 30, 700, 1);
	/* workers and writes in the freeing callback are `none` by rule, joins are inferred */
	assert_true(r.right + r.inferred_right > r.claimable * 80 / 100);
	assert_int_equal(r.inferred_wrong, 0);
}

static void disorder(void **state)
{
	struct result r;

	(void)state;
	r = many((struct mood){.twice = 50, .swap = 100}, 30, 700, 1000);
	assert_true(r.right + r.inferred_right > r.claimable * 75 / 100);
}

static void loss(void **state)
{
	struct result r;

	(void)state;
	r = many((struct mood){.lose = 50, .twice = 20, .swap = 100}, 60, 700, 2000);
	assert_true(r.right > r.claimable * 40 / 100);
	assert_int_equal(r.inferred_wrong, 0);
	/* both records of a client's on a Unix socket are lost: the next one is not the server's */
	r = many((struct mood){.lose = 50, .twice = 20, .swap = 100}, 1, 700, 20477);
	assert_int_equal(r.inferred_wrong, 0);
}

/* Contexts come and go unseen; only Tasks are reported. */
static void no_copies(void **state)
{
	struct result r;

	(void)state;
	r = many((struct mood){.no_copies = true, .swap = 50}, 30, 700, 3030);
	assert_true(r.right + r.inferred_right > r.claimable * 75 / 100);
	r = many((struct mood){.no_copies = true, .lose = 50}, 30, 700, 3500);
	assert_true(r.right > r.claimable * 40 / 100);
}

/* The judge itself: a wrong parent must be seen as one. */
static void judge_sees(void **state)
{
	struct world *w = malloc(sizeof(*w));
	struct clew_placement p = {.has_parent = 1, .link = CLEW_LINK_EXACT};
	struct result r = {0};
	int i, c = -1, other = -1, root = -1;

	(void)state;
	make_world(w, 1, 50);
	for (i = 0; i < w->nr; i++) {
		if (w->ops[i].kind != OP_REQ)
			continue;
		if (w->ops[i].truth >= 0)
			c = i;
		else
			root = i;
	}
	for (i = 0; i < w->nr; i++)
		if (w->ops[i].kind == OP_REQ && i != c && i != w->ops[c].truth)
			other = i;
	assert_true(c >= 0 && other >= 0 && root >= 0);
	span_of(w, w->ops[c].truth, p.parent_span_id);
	judge(w, c, &p, &r);
	assert_int_equal(r.right, 1);
	judge(w, root, &p, &r); /* a root that got a parent */
	assert_int_equal(r.wrong, 1);
	span_of(w, other, p.parent_span_id); /* two parents swapped */
	judge(w, c, &p, &r);
	assert_int_equal(r.wrong, 2);
	p.link = CLEW_LINK_INFERRED;
	judge(w, c, &p, &r);
	assert_int_equal(r.inferred_wrong, 1);
	p.has_parent = 0;
	judge(w, c, &p, &r);
	assert_int_equal(r.none, 1);
	end_world(w);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judge_sees), cmocka_unit_test(whole),
		cmocka_unit_test(disorder),   cmocka_unit_test(loss),
		cmocka_unit_test(no_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
