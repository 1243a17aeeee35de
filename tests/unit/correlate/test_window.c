/* SPDX-License-Identifier: Apache-2.0 */
/* When an exchange leaves, in what state, and that the window stays within its bounds. */
#include "sim.h"

static const struct who a = {.pid = 10, .tid = 10, .kind = CLEW_CTX_THREAD};
static const struct who b = {.pid = 20, .tid = 20, .kind = CLEW_CTX_THREAD};
static const struct who d = {.pid = 30, .tid = 30, .kind = CLEW_CTX_THREAD};

/* a -> b -> d: everything hangs in one trace, whatever order things end in. */
static void chain(void **state)
{
	struct sim sim = {0};
	struct sim_conn in, ab, bd;
	struct sim_ex *x, *c, *s, *c2, *s2;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &ab, 10, 20, 81);
	sim_connect(&sim, &bd, 20, 30, 82);
	x = sim_recv(&sim, &in, &a, "/");
	c = sim_send(&sim, &ab, &a, "/1");
	s = sim_recv_same(&sim, &ab, &b, "/1");
	c2 = sim_send(&sim, &bd, &b, "/2");
	s2 = sim_recv_same(&sim, &bd, &d, "/2");
	sim_answer(&sim, s2, &d);
	sim_answer(&sim, c2, &b);
	sim_answer(&sim, s, &b);
	sim_answer(&sim, c, &a);
	/* x may still turn out to have a parent: nobody's trace is known */
	assert_int_equal(sim.nr_released, 0);
	sim_tick(&sim, 251);
	/* x is a root now, and c waits for x to be answered by its thread */
	assert_int_equal(sim.nr_released, 0);
	sim_answer(&sim, x, &a);
	assert_int_equal(sim.nr_released, 5);
	assert_root(x);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	assert_parent(c2, s, CLEW_LINK_EXACT, "thread");
	assert_parent(s2, c2, CLEW_LINK_EXACT, "socket-pair");
	assert_int_equal(clew_correlate__stats(sim.co)->nodes, 0);
	assert_int_equal(clew_correlate__stats(sim.co)->links[CLEW_LINK_EXACT], 4);
	sim_free(&sim);
}

/* The root is open for long: the others leave after the window, and its trace id stays. */
static void open_root(void **state)
{
	struct sim sim = {0};
	struct sim_conn in, ab;
	struct sim_ex *x, *c, *s;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &ab, 10, 20, 81);
	x = sim_recv(&sim, &in, &a, "/");
	c = sim_send(&sim, &ab, &a, "/1");
	s = sim_recv_same(&sim, &ab, &b, "/1");
	sim_answer(&sim, s, &b);
	sim_answer(&sim, c, &a);
	sim_tick(&sim, 2001);
	assert_int_equal(sim.nr_released, 2);
	sim_tick(&sim, 10000);
	sim_answer(&sim, x, &a);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	sim_free(&sim);
}

static void dropped_parent(void **state)
{
	struct sim sim = {0};
	struct sim_conn in, ab;
	struct sim_ex *x, *c, *s;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &ab, 10, 20, 81);
	/* a server exchange that will never be a span */
	x = sim_recv(&sim, &in, &a, "/");
	c = sim_send(&sim, &ab, &a, "/1");
	s = sim_recv_same(&sim, &ab, &b, "/1");
	sim_answer(&sim, s, &b);
	sim_answer(&sim, c, &a);
	sim_drop(&sim, x);
	assert_root(c);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	/* a client exchange: its server end is a root */
	c = sim_send(&sim, &ab, &a, "/1");
	s = sim_recv_same(&sim, &ab, &b, "/1");
	sim_drop(&sim, c);
	sim_answer(&sim, s, &b);
	assert_root(s);
	/* a done one that waits */
	x = sim_recv(&sim, &in, &a, "/");
	c = sim_send(&sim, &ab, &a, "/1");
	sim_drop(&sim, c);
	sim_answer(&sim, x, &a);
	sim_settle(&sim);
	assert_root(x);
	assert_int_equal(clew_correlate__stats(sim.co)->nodes, 0);
	sim_free(&sim);
}

/* A parent inside of which events were lost is not believed in. */
static void gap_in_parent(void **state)
{
	struct sim sim = {0};
	struct sim_conn in, ab;
	struct sim_ex *x, *c;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &ab, 10, 0, 81);
	x = sim_recv(&sim, &in, &a, "/");
	c = sim_send(&sim, &ab, &a, "/1");
	sim_answer(&sim, c, &a);
	x->ex.incomplete = CLEW_INC_GAP;
	sim_answer(&sim, x, &a);
	sim_settle(&sim);
	assert_root(c);
	sim_free(&sim);
}

/* Excluded exchanges are transparent; at the top they leave roots behind. */
static void excluded(void **state)
{
	char *globs[] = {"/health*"};
	struct sim sim = {0};
	struct sim_conn in, ab, bd;
	struct sim_ex *x, *c, *s, *c2;

	(void)state;
	sim.cfg.excluded_paths = (struct clew_strv){globs, 1};
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &ab, 10, 20, 81);
	sim_connect(&sim, &bd, 20, 0, 82);
	x = sim_recv(&sim, &in, &a, "/");
	c = sim_send(&sim, &ab, &a, "/healthz?deep=1");
	s = sim_recv_same(&sim, &ab, &b, "/healthz?deep=1");
	c2 = sim_send(&sim, &bd, &b, "/2");
	sim_answer(&sim, c2, &b);
	sim_answer(&sim, s, &b);
	sim_answer(&sim, c, &a);
	sim_answer(&sim, x, &a);
	sim_settle(&sim);
	/* both ends of the excluded call are left out */
	assert_parent(c2, x, CLEW_LINK_EXACT, "thread");
	/* their parent is dropped while they wait */
	x = sim_recv(&sim, &in, &a, "/");
	c = sim_send(&sim, &ab, &a, "/healthz?deep=1");
	s = sim_recv_same(&sim, &ab, &b, "/healthz?deep=1");
	c2 = sim_send(&sim, &bd, &b, "/2");
	sim_tick(&sim, 300);
	sim_response(&sim, x, &a);
	sim_response(&sim, s, &b);
	sim_drop(&sim, x);
	sim_answer(&sim, c2, &b);
	sim_done(&sim, s);
	sim_answer(&sim, c, &a);
	sim_settle(&sim);
	assert_root(c2);
	/* at the top */
	x = sim_recv(&sim, &in, &a, "/health");
	c = sim_send(&sim, &ab, &a, "/1");
	sim_answer(&sim, c, &a);
	sim_answer(&sim, x, &a);
	sim_settle(&sim);
	assert_root(c);
	assert_memory_not_equal(c->place.trace_id, x->place.trace_id, 16);
	sim_free(&sim);
}

/* Each is released once, in whatever order: at the answer, by age, by force, at the end. */
static void full(void **state)
{
	enum { N = 3000 };
	struct sim sim = {0};
	struct sim_conn in, unseen;
	struct sim_ex *x[N], *se;
	uint64_t max;
	int i, n = 0;

	(void)state;
	sim.cfg.correlate.max_open_exchanges = 100;
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	for (i = 0; i < N; i++) {
		x[i] = sim_recv(&sim, &in, &a, "/");
		if (i % 7)
			sim_answer(&sim, x[i], &a);
		max = clew_correlate__stats(sim.co)->nodes;
		assert_true(max <= 110);
		assert_true(clew_correlate__stats(sim.co)->bytes < 110 * 4096);
	}
	assert_true(clew_correlate__stats(sim.co)->evicted > 0);
	/* no room for a node: it leaves as a root at once, with the id it would have had */
	sim_connect(&sim, &unseen, 0, 10, 80);
	se = sim_recv(&sim, &unseen, &a, "/");
	assert_null(se->ex.node);
	sim_answer(&sim, se, &a);
	assert_root(se);
	for (i = 0; i < N; i += 7)
		sim_answer(&sim, x[i], &a);
	clew_correlate__drain(sim.co);
	for (se = sim.all; se; se = se->next) {
		assert_root(se);
		n++;
	}
	assert_int_equal(n, N + 1);
	assert_int_equal(sim.nr_released, N + 1);
	assert_int_equal(clew_correlate__stats(sim.co)->nodes, 0);
	sim_free(&sim);
}

/* What is held is counted: exchanges, and what stays behind of connections and threads. */
static void bytes(void **state)
{
	enum { N = 500 };
	struct sim sim = {0};
	struct sim_conn in[N];
	struct sim_ex *x;
	uint64_t empty, conns, one;
	int i;

	(void)state;
	sim_init(&sim);
	empty = clew_correlate__stats(sim.co)->bytes;
	for (i = 0; i < N; i++)
		sim_connect(&sim, &in[i], 0, 10, 80);
	conns = clew_correlate__stats(sim.co)->bytes;
	assert_true(conns >= empty + N * sizeof(struct co_conn));
	x = sim_recv(&sim, &in[0], &a, "/");
	one = clew_correlate__stats(sim.co)->bytes;
	assert_true(one >= conns + sizeof(struct clew_exchange) + sizeof(struct co_node));
	sim_answer(&sim, x, &a);
	sim_settle(&sim);
	assert_int_equal(clew_correlate__stats(sim.co)->bytes, one - sizeof(struct clew_exchange));
	for (i = 0; i < N; i++)
		sim_closed(&sim, &in[i].s, CLEW_CLOSE_GONE);
	assert_true(clew_correlate__stats(sim.co)->bytes <= conns);
	sim_free(&sim);
}

/* Evicted: a claim that nobody has confirmed is not made. */
static void evicted_claim(void **state)
{
	struct sim sim = {0};
	struct sim_conn in, out, filler;
	struct sim_ex *x, *c;
	int i;

	(void)state;
	sim.cfg.correlate.max_open_exchanges = 70;
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &out, 10, 0, 81);
	sim_connect(&sim, &filler, 0, 20, 82);
	x = sim_recv(&sim, &in, &a, "/");
	c = sim_send(&sim, &out, &a, "/1");
	sim_answer(&sim, c, &a);
	for (i = 0; i < 100; i++)
		sim_recv(&sim, &filler, &b, "/");
	assert_root(c);
	sim_answer(&sim, x, &a);
	sim_settle(&sim);
	assert_root(x);
	sim_free(&sim);
}

/* A process that asks itself: no exchange may end up above itself. */
static void self_call(void **state)
{
	struct who w = a;
	struct sim sim = {0};
	struct sim_conn in, self;
	struct sim_ex *x, *c, *s;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &self, 10, 10, 80);
	x = sim_recv(&sim, &in, &a, "/");
	c = sim_send(&sim, &self, &a, "/self");
	w.tid = 11;
	s = sim_recv_same(&sim, &self, &w, "/self");
	sim_answer(&sim, s, &w);
	sim_answer(&sim, c, &a);
	sim_answer(&sim, x, &a);
	sim_settle(&sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	/* disorder: the server end is reported first, and then its own client request */
	s = sim_recv(&sim, &self, &a, "/self");
	c = sim_request_at(&sim, &self, false, &a, self.c2s - 100, "/self", NULL);
	sim_answer(&sim, s, &a);
	sim_answer(&sim, c, &a);
	sim_settle(&sim);
	assert_int_equal(s->released, 1);
	assert_int_equal(c->released, 1);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	assert_root(c);
	assert_int_equal(clew_correlate__stats(sim.co)->conflicts, 1);
	sim_free(&sim);
}

/* Every event with every wrong size, and edges that make no sense. */
static void hostile_events(void **state)
{
	struct {
		struct clew_event h;
		uint8_t rest[400];
	} buf;
	struct sim sim = {0};
	uint32_t seed = 9;
	int i;
	size_t k;

	(void)state;
	sim_init(&sim);
	for (i = 0; i < 200000; i++) {
		for (k = 0; k < sizeof(buf); k++) {
			seed = seed * 1664525 + 1013904223;
			/* few values, so that things meet */
			((uint8_t *)&buf)[k] = (seed >> 24) & (k % 4 ? 0 : 7);
		}
		buf.h.version = CLEW_EVENT_VERSION;
		buf.h.type = (seed >> 8) & 63;
		buf.h.size = (uint16_t)((seed >> 16) % sizeof(buf));
		buf.h.ts = sim.now + (uint64_t)i * 1000;
		clew_correlate__event(sim.co, &buf.h);
	}
	sim_free(&sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chain),	  cmocka_unit_test(open_root),
		cmocka_unit_test(dropped_parent), cmocka_unit_test(gap_in_parent),
		cmocka_unit_test(excluded),	  cmocka_unit_test(full),
		cmocka_unit_test(evicted_claim),  cmocka_unit_test(self_call),
		cmocka_unit_test(hostile_events), cmocka_unit_test(bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
