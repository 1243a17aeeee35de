/* SPDX-License-Identifier: Apache-2.0 */
/* Node: each rule with its positive case, the traps, and random applications with known truth. */
#include "app.h"

/* Ids are the bits of doubles. */
static uint64_t id(double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

static struct who in_turn(uint32_t turn, uint64_t ctx, uint64_t ref)
{
	return (struct who){.pid = APP,
			    .tid = 100,
			    .turn = turn,
			    .kind = CLEW_CTX_NODE,
			    .flags = CLEW_SEG_LOOP,
			    .ctx = ctx,
			    .ref = ref};
}

static struct who js(uint64_t ctx, uint64_t ref)
{
	return in_turn(1, ctx, ref);
}

struct fact {
	uint16_t kind;
	uint64_t ctx, ref, child, conn;
	uint8_t flags;
	uint32_t turn;
};

static void tell(struct sim *sim, struct fact f)
{
	struct who w = in_turn(f.turn ? f.turn : 1, 0, 0);
	struct clew_edge e = {.kind = f.kind,
			      .ctx = f.ctx,
			      .ref = f.ref,
			      .child = f.child,
			      .conn_id = f.conn,
			      .flags = f.flags};

	sim->now += 1000;
	e.h = sim_head(sim, CLEW_EV_EDGE, CLEW_EDGE_BARE, &w);
	clew_correlate__event(sim->co, &e.h);
}

static void probes(struct sim *sim, uint64_t sets)
{
	struct who w = {.pid = APP, .tid = APP};
	struct clew_probes_event ev = {.sets = sets};

	ev.h = sim_head(sim, CLEW_EV_PROBES, sizeof(ev), &w);
	clew_correlate__event(sim->co, &ev.h);
}

enum { BOTH = 1 << CLEW_SET_NODE_IDS | 1 << CLEW_SET_NODE_ASYNC };

static void node(struct app *a)
{
	sim_runtime(&a->sim, APP, CLEW_RT_NODE);
	probes(&a->sim, BOTH);
}

#define PARSER(k) (50 + (k)) /* id of the parser of in[k] */

/* A request is read, and its parser entered; `last` id, `drains` so far. */
static struct sim_ex *enter(struct app *a, int k, double last, uint64_t drains)
{
	struct sim_ex *x = rx(a, k, js(drains, id(last)));

	tell(&a->sim, (struct fact){.kind = CLEW_EDGE_NODE_PARSER,
				    .child = id(PARSER(k)),
				    .conn = a->in[k].s.id});
	return x;
}

static void hand_on(struct app *a, int k, uint64_t ctx, uint64_t ref, uint64_t drains)
{
	tell(&a->sim, (struct fact){.kind = CLEW_EDGE_NODE_ID,
				    .ctx = ctx,
				    .ref = ref,
				    .child = drains,
				    .conn = a->out[k].c.id,
				    .flags = CLEW_EDGE_AGAIN});
}

static void birth(struct app *a, uint64_t ctx, uint64_t ref, uint64_t fn)
{
	tell(&a->sim,
	     (struct fact){.kind = CLEW_EDGE_NODE_BORN, .ctx = ctx, .ref = ref, .child = fn});
}

static void goes_on(struct app *a, uint64_t fn, uint64_t drain)
{
	tell(&a->sim, (struct fact){.kind = CLEW_EDGE_NODE_RESUME, .child = fn, .ref = drain});
}

#define FN(n) (2000 * SIM_MS + (n)) /* born after the probes came */

/* The handler itself asks, by an open connection of http.Agent's and by a new one. */
static void scope(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c, *d;

	node(a);
	x = enter(a, 0, 100, 0);
	hand_on(a, 0, id(PARSER(0)), 0, 0);
	c = tx(a, 0, js(id(102), id(PARSER(0))));
	/* http's parser for the answer, in the tick; then the connect, and its callback */
	tell(&a->sim, (struct fact){.kind = CLEW_EDGE_NODE_ID,
				    .ctx = id(103),
				    .ref = id(PARSER(0)),
				    .child = id(104),
				    .flags = CLEW_EDGE_AGAIN});
	tell(&a->sim,
	     (struct fact){.kind = CLEW_EDGE_NODE_ID, .ctx = id(PARSER(0)), .child = id(105)});
	d = tx(a, 1, js(id(106), 0));
	end(a, c, js(0, id(107)));
	end(a, d, js(0, id(107)));
	end(a, x, js(id(PARSER(0)), 0));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "callback-scope");
	assert_parent(d, x, CLEW_LINK_EXACT, "callback-scope");
}

/* A pool writes what it likes in the handler's name; nobody's word counts there. */
static void pool_writes(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	node(a);
	end(a, tx(a, 0, js(id(9), 0)), js(0, id(90))); /* the connection is in use */
	x = enter(a, 0, 100, 0);
	c = tx(a, 0, js(id(PARSER(0)), 0));
	end(a, c, js(0, id(101)));
	end(a, x, js(id(PARSER(0)), 0));
	sim_settle(&a->sim);
	assert_root(c);
}

/* Something else was read since: a timer's callback may be a batch of many. */
static void not_own(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	y = enter(a, 1, 101, 0);
	hand_on(a, 0, id(101), id(PARSER(0)), 0);
	c = tx(a, 0, js(id(103), id(101)));
	end(a, c, js(0, id(104)));
	end(a, x, js(id(120), 0));
	end(a, y, js(id(120), 0));
	sim_settle(&a->sim);
	assert_root(c);
}

/* What the handler left for the end of the turn: others may have put theirs there, and made no
 * read. */
static void immediate(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	node(a);
	end(a, tx(a, 0, js(id(9), 0)), js(0, id(90))); /* the connection is in use */
	x = enter(a, 0, 100, 0);
	hand_on(a, 0, id(103), id(PARSER(0)), 1);
	c = tx(a, 0, js(id(103), id(PARSER(0))));
	end(a, c, js(1, id(104)));
	end(a, x, js(id(120), 0));
	sim_settle(&a->sim);
	assert_root(c);
}

/* The first request of a connection, by such a callback that has no id of a connect. */
static void immediate_connected(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	tell(&a->sim, (struct fact){.kind = CLEW_EDGE_NODE_ID,
				    .ctx = id(PARSER(0)),
				    .child = id(104),
				    .flags = CLEW_EDGE_AGAIN});
	c = tx(a, 0, js(id(106), id(PARSER(0))));
	end(a, c, js(1, id(107)));
	end(a, x, js(id(120), 0));
	sim_settle(&a->sim);
	assert_root(c);
}

/* A tick is the handler's own. */
static void tick(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	hand_on(a, 0, id(103), id(PARSER(0)), 0);
	c = tx(a, 0, js(id(103), id(PARSER(0))));
	end(a, c, js(1, id(104)));
	end(a, x, js(id(120), 0));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "callback-scope");
}

/* A callback that is older than the connection's newest request is not that one's. */
static void older_callback(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	end(a, x, js(id(PARSER(0)), 0));
	y = enter(a, 0, 110, 0);
	hand_on(a, 0, id(105), id(PARSER(0)), 0);
	c = tx(a, 0, js(id(112), id(105)));
	end(a, c, js(0, id(113)));
	end(a, y, js(id(PARSER(0)), 0));
	sim_settle(&a->sim);
	assert_root(c);
}

/* An async function asks and goes on with the answer; exact if it answers itself. */
static void await_one(struct app *a, uint64_t answer_by, enum clew_link how)
{
	struct sim_ex *x, *y, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	birth(a, id(PARSER(0)), 0, FN(1));
	y = enter(a, 1, 101, 1);
	birth(a, id(PARSER(1)), 0, FN(2));
	goes_on(a, FN(1), 3); /* after a timer */
	hand_on(a, 0, 0, FN(1), 3);
	c = tx(a, 0, js(id(103), 0));
	end(a, c, js(3, id(104)));
	goes_on(a, FN(1), 4);
	end(a, x, js(0, answer_by));
	end(a, y, js(0, FN(2)));
	sim_settle(&a->sim);
	assert_parent(c, x, how, "async-function");
}

static void awaits(void **state)
{
	await_one(*state, FN(1), CLEW_LINK_EXACT);
}

static void awaits_helper(void **state)
{
	await_one(*state, 0, CLEW_LINK_INFERRED);
}

/* Promise.all by a function that returns it: none of the answers but the last lets one go on. */
static void fan(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c[3];
	int i;

	node(a);
	x = enter(a, 0, 100, 0);
	birth(a, id(PARSER(0)), 0, FN(1)); /* the handler awaits */
	birth(a, id(PARSER(0)), 0, FN(2)); /* the function that it calls */
	goes_on(a, FN(2), 1);
	for (i = 0; i < 3; i++) {
		hand_on(a, i, 0, FN(2), 1);
		c[i] = tx(a, i, js(id(103 + i), 0));
	}
	for (i = 0; i < 3; i++)
		end(a, c[i], js(1 + (uint64_t)i, id(110)));
	goes_on(a, FN(1), 4);
	end(a, x, js(0, FN(1)));
	sim_settle(&a->sim);
	for (i = 0; i < 3; i++)
		assert_parent(c[i], x, CLEW_LINK_INFERRED, "async-function");
}

/*
 * A scheduler that all share (Bluebird's): x made its callback, and there y's function is born, and
 * asks. It goes on with its answer, as one of x's would.
 */
static void shared_scheduler(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	birth(a, id(PARSER(0)), 0, FN(1));
	y = enter(a, 1, 101, 1);
	birth(a, id(PARSER(1)), 0, FN(2));
	birth(a, id(110), id(PARSER(0)), FN(3)); /* y's */
	goes_on(a, FN(3), 3);
	hand_on(a, 0, 0, FN(3), 3);
	c = tx(a, 0, js(id(112), 0));
	end(a, c, js(3, id(113)));
	goes_on(a, FN(3), 4);
	end(a, x, js(0, FN(1)));
	end(a, y, js(0, FN(2)));
	sim_settle(&a->sim);
	assert_root(c);
}

/* All of x is born in a callback (a body's end, a router's setImmediate): it answers x. */
static void born_in_callback(struct app *a, bool of_both)
{
	struct sim_ex *x, *y, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	y = enter(a, 1, 101, 1);
	birth(a, id(110), id(PARSER(0)), FN(1));
	if (of_both)
		birth(a, id(110), id(PARSER(0)), FN(2));
	goes_on(a, FN(1), 3);
	birth(a, 0, FN(1), FN(3));
	goes_on(a, FN(3), 4);
	hand_on(a, 0, 0, FN(3), 4);
	c = tx(a, 0, js(id(112), 0));
	end(a, c, js(4, id(113)));
	goes_on(a, FN(3), 5);
	end(a, x, js(0, FN(1)));
	end(a, y, js(0, of_both ? FN(2) : 0));
	sim_settle(&a->sim);
	if (of_both)
		assert_root(c);
	else
		assert_parent(c, x, CLEW_LINK_INFERRED, "async-function");
}

static void callback_answers(void **state)
{
	born_in_callback(*state, false);
}

static void callback_answers_two(void **state)
{
	born_in_callback(*state, true);
}

/* A function reads the answer's body; that it ended is told in a tick, behind the first run. */
static void body_ends_later(struct app *a, bool other_first)
{
	struct sim_ex *x, *y, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	birth(a, id(PARSER(0)), 0, FN(1));
	y = enter(a, 1, 101, 1);
	birth(a, id(PARSER(1)), 0, FN(2));
	birth(a, id(PARSER(0)), 0, FN(3)); /* it asks, and gives back a promise for the answer */
	goes_on(a, FN(3), 3);
	hand_on(a, 0, 0, FN(3), 3);
	c = tx(a, 0, js(id(103), 0));
	end(a, c, js(3, id(104)));
	goes_on(a, FN(9), 4);
	if (other_first)
		goes_on(a, FN(2), 5);
	goes_on(a, FN(9), 6);
	goes_on(a, FN(1), 7);
	end(a, x, js(0, 0));
	end(a, y, js(0, FN(2)));
	sim_settle(&a->sim);
	if (other_first)
		assert_root(c);
	else
		assert_parent(c, x, CLEW_LINK_INFERRED, "async-function");
}

static void body_by_function(void **state)
{
	body_ends_later(*state, false);
}

static void body_by_function_of_another(void **state)
{
	body_ends_later(*state, true);
}

/* undici: the callback of one request's answer writes another's, which waited in the pool. */
static void pool_queue(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c, *d;

	node(a);
	end(a, tx(a, 0, js(id(9), 0)), js(0, id(90)));
	x = enter(a, 0, 100, 0);
	birth(a, id(PARSER(0)), 0, FN(1));
	c = tx(a, 0, js(0, 0));
	y = enter(a, 1, 101, 1);
	birth(a, id(PARSER(1)), 0, FN(2));
	end(a, c, js(5, id(102)));
	d = tx(a, 0, js(id(7), 0)); /* y's, in the callback of x's answer */
	goes_on(a, FN(1), 6);
	end(a, d, js(6, id(110)));
	goes_on(a, FN(2), 7);
	end(a, x, js(0, FN(1)));
	end(a, y, js(0, FN(2)));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_INFERRED, "resumed");
	assert_parent(d, y, CLEW_LINK_INFERRED, "resumed");
}

/* http.Agent with a limit: y's request waited; its resource was made while y's function ran. */
static void agent_queue(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *d, *c;

	node(a);
	y = enter(a, 1, 100, 0);
	birth(a, id(PARSER(1)), 0, FN(2));
	x = enter(a, 0, 101, 0);
	birth(a, id(PARSER(0)), 0, FN(1));
	goes_on(a, FN(2), 1);
	tell(&a->sim,
	     (struct fact){
		     .kind = CLEW_EDGE_NODE_IDS, .child = FN(2), .ctx = id(110), .ref = id(112)});
	goes_on(a, FN(1), 2);
	hand_on(a, 0, 0, FN(1), 2);
	c = tx(a, 0, js(id(113), 0));
	sim_response(&a->sim, c, &(struct who){0});
	sim_segment(&a->sim, &a->out[0].c,
		    &(struct who){.pid = APP,
				  .tid = 100,
				  .turn = 1,
				  .kind = CLEW_CTX_NODE,
				  .ctx = 2,
				  .ref = id(114)},
		    CLEW_RECV, 5050, 50);
	hand_on(a, 0, id(111), 0, 2);
	d = tx(a, 0, js(id(115), id(111)));
	sim_done(&a->sim, c);
	goes_on(a, FN(1), 3);
	end(a, d, js(3, id(116)));
	goes_on(a, FN(2), 4);
	end(a, x, js(0, FN(1)));
	end(a, y, js(0, FN(2)));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "async-function");
	assert_parent(d, y, CLEW_LINK_EXACT, "async-function");
}

/* A flusher that x started makes y's call: y goes on with the answer. */
static void flusher(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c, *d;

	node(a);
	x = enter(a, 0, 100, 0);
	birth(a, id(PARSER(0)), 0, FN(1));
	birth(a, id(PARSER(0)), 0, FN(3)); /* the flusher */
	y = enter(a, 1, 101, 1);
	birth(a, id(PARSER(1)), 0, FN(2));
	goes_on(a, FN(3), 3);
	hand_on(a, 0, 0, FN(3), 3);
	c = tx(a, 0, js(id(103), 0)); /* x's item */
	end(a, c, js(3, id(104)));
	goes_on(a, FN(3), 4);
	hand_on(a, 1, 0, FN(3), 4);
	d = tx(a, 1, js(id(105), 0)); /* y's item */
	goes_on(a, FN(1), 4);
	end(a, d, js(4, id(106)));
	goes_on(a, FN(3), 5);
	goes_on(a, FN(2), 5);
	end(a, x, js(0, FN(1)));
	end(a, y, js(0, FN(2)));
	sim_settle(&a->sim);
	assert_root(d);
	assert_root(c); /* it might have been the other way round */
	assert_true(clew_correlate__stats(a->sim.co)->conflicts > 0);
}

static void after_answer(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	birth(a, id(PARSER(0)), 0, FN(1));
	goes_on(a, FN(1), 1);
	end(a, x, js(0, FN(1)));
	hand_on(a, 0, 0, FN(1), 1);
	c = tx(a, 0, js(id(103), 0));
	end(a, c, js(1, id(104)));
	goes_on(a, FN(1), 2);
	sim_settle(&a->sim);
	assert_root(c);
}

/* The request that it is for was given up meanwhile: who goes on decides there and then. */
static void given_up(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	birth(a, id(PARSER(0)), 0, FN(1));
	goes_on(a, FN(1), 1);
	hand_on(a, 0, 0, FN(1), 1);
	c = tx(a, 0, js(id(103), 0));
	sim_drop(&a->sim, x);
	end(a, c, js(1, id(104)));
	goes_on(a, FN(1), 2);
	sim_settle(&a->sim);
	assert_root(c);
}

/* The probes were away: what is known of a generator's address is not believed any more. */
static void probes_gone(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	node(a);
	x = enter(a, 0, 100, 0);
	birth(a, id(PARSER(0)), 0, FN(1));
	sim_tick(&a->sim, 1100);
	probes(&a->sim, 1 << CLEW_SET_NODE_IDS);
	probes(&a->sim, BOTH);
	goes_on(a, FN(1), 1);
	hand_on(a, 0, 0, FN(1), 1);
	c = tx(a, 0, js(id(103), 0));
	end(a, c, js(1, id(104)));
	goes_on(a, FN(1), 2);
	end(a, x, js(0, FN(1)));
	sim_settle(&a->sim);
	assert_root(c);
}

/* ---- random applications ---- */

enum { SLOTS = 4, ROUNDS = 1500 };
enum at { IDLE, SLEEPS, QUEUED, ASKS };

struct slot {
	enum at at;
	uint64_t fn;
	int calls, out;
	struct sim_ex *x;
};

struct loop {
	struct app *a;
	uint64_t rnd, drain, fn, lost;
	double last;
	uint32_t lose; /* per mille, of edges */
	bool pool, semaphore;
	struct slot slot[SLOTS];
	int owner[2]; /* whose request is on out[k], or -1 */
	struct sim_ex *c[2];
	int queue[SLOTS], queued;
	struct {
		struct sim_ex *c, *x;
	} all[ROUNDS];
	int n;
};

static uint32_t rnd(struct loop *l, uint32_t n)
{
	l->rnd ^= l->rnd << 13;
	l->rnd ^= l->rnd >> 7;
	l->rnd ^= l->rnd << 17;
	return (uint32_t)(l->rnd >> 33) % n;
}

static void maybe(struct loop *l, struct fact f)
{
	if (rnd(l, 1000) < l->lose)
		l->lost++;
	else
		tell(&l->a->sim, f);
}

static void run_fn(struct loop *l, int k)
{
	maybe(l, (struct fact){
			 .kind = CLEW_EDGE_NODE_RESUME, .child = l->slot[k].fn, .ref = l->drain});
}

/* Slot k's request is written on out[o], by whoever `by` says. */
static void ask(struct loop *l, int k, int o, struct who by)
{
	l->c[o] = tx(l->a, o, by);
	l->owner[o] = k;
	l->slot[k].at = ASKS;
	l->slot[k].out = o;
	if (l->n < ROUNDS) {
		l->all[l->n].c = l->c[o];
		l->all[l->n++].x = l->slot[k].x;
	}
}

static void go_on(struct loop *l, int k)
{
	struct slot *s = &l->slot[k];
	int o;

	if (!s->calls--) {
		end(l->a, s->x, js(0, s->fn));
		s->at = IDLE;
		return;
	}
	for (o = 0; o < 2 && l->owner[o] >= 0; o++)
		;
	if (o == 2) {
		s->at = QUEUED;
		l->queue[l->queued++] = k;
		return;
	}
	if (!l->pool)
		maybe(l, (struct fact){.kind = CLEW_EDGE_NODE_ID,
				       .ref = s->fn,
				       .child = l->drain,
				       .conn = l->a->out[o].c.id,
				       .flags = CLEW_EDGE_AGAIN});
	l->last += 2;
	ask(l, k, o, l->pool ? js(0, s->fn) : js(id(l->last), 0));
}

/* The answer comes; who waits is next, written by the callback or by the function that goes on. */
static void answered(struct loop *l, int o)
{
	int k = l->owner[o], next = l->queued ? l->queue[0] : -1;

	end(l->a, l->c[o], js(l->drain, id(l->last)));
	l->owner[o] = -1;
	if (next >= 0) {
		memmove(l->queue, l->queue + 1, sizeof(l->queue) - sizeof(l->queue[0]));
		l->queued--;
	}
	l->drain++;
	if (next >= 0 && !l->semaphore)
		ask(l, next, o, js(id(7), 0));
	run_fn(l, k);
	if (next >= 0 && l->semaphore) {
		maybe(l, (struct fact){.kind = CLEW_EDGE_NODE_ID,
				       .ref = l->slot[k].fn,
				       .child = l->drain,
				       .conn = l->a->out[o].c.id,
				       .flags = CLEW_EDGE_AGAIN});
		l->last += 2;
		ask(l, next, o, js(id(l->last), 0));
	}
	if (rnd(l, 2))
		l->slot[k].at = SLEEPS;
	else
		go_on(l, k);
}

static void step(struct loop *l)
{
	int k = (int)rnd(l, SLOTS), o = (int)rnd(l, 2);
	struct slot *s = &l->slot[k];

	if (l->owner[o] >= 0 && rnd(l, 2)) {
		answered(l, o);
	} else if (s->at == IDLE) {
		s->x = rx(l->a, k, js(l->drain, id(l->last)));
		maybe(l, (struct fact){.kind = CLEW_EDGE_NODE_PARSER,
				       .child = id(PARSER(k)),
				       .conn = l->a->in[k].s.id});
		s->fn = FN(++l->fn);
		s->calls = (int)rnd(l, 4);
		s->at = SLEEPS;
		maybe(l, (struct fact){.kind = CLEW_EDGE_NODE_BORN,
				       .ctx = id(PARSER(k)),
				       .child = s->fn});
		l->last += 4;
		l->drain++;
	} else if (s->at == SLEEPS) {
		l->drain++;
		run_fn(l, k);
		go_on(l, k);
	}
}

static void random_app(void **state, uint64_t seed, uint32_t lose, bool pool, bool semaphore,
		       int least)
{
	struct loop *l = calloc(1, sizeof(*l));
	int i, right = 0, none = 0;

	*l = (struct loop){.a = *state,
			   .rnd = seed * 0x9e3779b97f4a7c15ULL + 1,
			   .last = 1000,
			   .lose = lose,
			   .pool = pool,
			   .semaphore = semaphore,
			   .owner = {-1, -1}};
	node(l->a);
	end(l->a, tx(l->a, 0, js(id(7), 0)), js(0, id(90)));
	end(l->a, tx(l->a, 1, js(id(7), 0)), js(0, id(90)));
	for (i = 0; i < ROUNDS; i++) {
		step(l);
		if (i % 64 == 0)
			sim_lost(&l->a->sim, l->lost);
	}
	for (i = 0; i < SLOTS; i++)
		if (l->slot[i].at != IDLE)
			end(l->a, l->slot[i].x, js(0, 0));
	for (i = 0; i < 2; i++)
		if (l->owner[i] >= 0)
			end(l->a, l->c[i], js(l->drain, id(l->last)));
	sim_lost(&l->a->sim, l->lost);
	sim_settle(&l->a->sim);
	for (i = 0; i < l->n; i++) {
		const struct clew_placement *p = &l->all[i].c->place;

		assert_int_equal(l->all[i].c->released, 1);
		none += !p->has_parent;
		if (!p->has_parent)
			continue;
		assert_memory_equal(p->parent_span_id, l->all[i].x->place.span_id, 8);
		right++;
	}
	print_message("right %d, none %d\n", right, none);
	assert_true(right * 100 >= l->n * least);
	free(l);
}

#define RANDOM(name, lose, pool, semaphore, least)                                                 \
	static void name(void **state)                                                             \
	{                                                                                          \
		for (uint64_t seed = 1; seed < 16; seed++) {                                       \
			void *own;                                                                 \
			setup(&own);                                                               \
			random_app(&own, seed, lose, pool, semaphore, least);                      \
			teardown(&own);                                                            \
		}                                                                                  \
		(void)state;                                                                       \
	}

RANDOM(random_agent, 0, false, false, 90)
RANDOM(random_pool, 0, true, false, 50)
RANDOM(random_semaphore, 0, false, true, 0)
RANDOM(lossy_agent, 50, false, false, 0)
RANDOM(lossy_pool, 50, true, false, 0)
RANDOM(lossy_semaphore, 50, false, true, 0)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(scope),
		T(pool_writes),
		T(not_own),
		T(immediate),
		T(immediate_connected),
		T(tick),
		T(older_callback),
		T(awaits),
		T(awaits_helper),
		T(fan),
		T(pool_queue),
		T(agent_queue),
		T(shared_scheduler),
		T(callback_answers),
		T(callback_answers_two),
		T(body_by_function),
		T(body_by_function_of_another),
		T(flusher),
		T(after_answer),
		T(given_up),
		T(probes_gone),
		cmocka_unit_test(random_agent),
		cmocka_unit_test(random_pool),
		cmocka_unit_test(random_semaphore),
		cmocka_unit_test(lossy_agent),
		cmocka_unit_test(lossy_pool),
		cmocka_unit_test(lossy_semaphore),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
