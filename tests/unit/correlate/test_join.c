/* SPDX-License-Identifier: Apache-2.0 */
/* The two ends of one connection; and the map behind the tables; and excluded paths. */
#include "sim.h"

#include <xxhash.h>

#include "base/glob.h"

static const struct who cl = {.pid = 10, .tid = 10};
static const struct who sv = {.pid = 20, .tid = 20};

/* Client first, server first; both join at once. */
static void either_first(void **state)
{
	struct sim sim = {0};
	struct sim_conn k;
	struct sim_ex *c, *s;
	int round;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &k, 10, 20, 80);
	for (round = 0; round < 2; round++) {
		if (round) {
			s = sim_recv(&sim, &k, &sv, "/a?q=1");
			c = sim_request_at(&sim, &k, false, &cl, k.c2s - 100, "/a?q=1", NULL);
		} else {
			c = sim_send(&sim, &k, &cl, "/a?q=1");
			s = sim_recv_same(&sim, &k, &sv, "/a?q=1");
		}
		sim_answer(&sim, s, &sv);
		assert_int_equal(s->released, 1);
		sim_answer(&sim, c, &cl);
		assert_int_equal(c->released, 1);
		assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
		assert_root(c);
	}
	sim_free(&sim);
}

static void no_join(struct sim *sim, struct sim_conn *k, uint64_t cpos, uint64_t spos,
		    const char *ctarget, const char *starget)
{
	struct sim_ex *c = sim_request_at(sim, k, false, &cl, cpos, ctarget, NULL);
	struct sim_ex *s = sim_request_at(sim, k, true, &sv, spos, starget, NULL);

	sim_answer(sim, s, &sv);
	sim_answer(sim, c, &cl);
	sim_settle(sim);
	assert_root(s);
	assert_root(c);
}

static void must_agree(void **state)
{
	struct sim sim = {0};
	struct sim_conn k, k2;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &k, 10, 20, 80);
	no_join(&sim, &k, 1000, 1001, "/a", "/a");
	no_join(&sim, &k, 2000, 2000, "/a", "/b");
	assert_int_equal(clew_correlate__stats(sim.co)->conflicts, 1);
	/* the same position on another connection */
	sim_connect(&sim, &k2, 10, 20, 80);
	k2.c = k.c;
	no_join(&sim, &k2, 3000, 3000, "/a", "/a");
	/* loopback of two network namespaces */
	sim_connect(&sim, &k, 10, 20, 80);
	k.c.netns = 1;
	k.s.netns = 2;
	no_join(&sim, &k, 4000, 4000, "/a", "/a");
	sim_free(&sim);
}

static void mapped_address(void **state)
{
	static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
	struct sim sim = {0};
	struct sim_conn k;
	struct sim_ex *c, *s;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &k, 10, 20, 80);
	k.s.family = 10;
	memcpy(k.s.local_addr, mapped, 16);
	memcpy(k.s.remote_addr, mapped, 16);
	c = sim_send(&sim, &k, &cl, "/a");
	s = sim_recv_same(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	sim_answer(&sim, c, &cl);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	sim_free(&sim);
}

static void two_claims(void **state)
{
	struct sim sim = {0};
	struct sim_conn k;
	struct sim_ex *c, *s, *s2;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &k, 10, 20, 80);
	c = sim_send(&sim, &k, &cl, "/a");
	s = sim_recv_same(&sim, &k, &sv, "/a");
	s2 = sim_recv_same(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	sim_answer(&sim, s2, &sv);
	sim_answer(&sim, c, &cl);
	sim_settle(&sim);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	assert_root(s2);
	/* two client requests of one name: neither */
	c = sim_request_at(&sim, &k, false, &cl, 7000, "/a", NULL);
	s = sim_request_at(&sim, &k, false, &cl, 7000, "/a", NULL);
	s2 = sim_request_at(&sim, &k, true, &sv, 7000, "/a", NULL);
	sim_answer(&sim, s2, &sv);
	sim_answer(&sim, c, &cl);
	sim_answer(&sim, s, &cl);
	sim_settle(&sim);
	assert_root(s2);
	sim_free(&sim);
}

/* How long a server exchange waits: its peer unknown, known, on another host. */
static void grace(void **state)
{
	static const uint8_t far[4] = {10, 9, 8, 7};
	struct sim sim = {0};
	struct sim_conn k, other;
	struct sim_ex *s, *c;
	int i;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &k, 0, 20, 80);
	s = sim_recv(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	sim_tick(&sim, 240);
	assert_int_equal(s->released, 0);
	sim_tick(&sim, 20);
	assert_int_equal(s->released, 1);
	/* this connection has nobody at its other end */
	s = sim_recv(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	assert_int_equal(s->released, 1);
	/* until another end is met; even if it is not this one's */
	sim_connect(&sim, &other, 10, 0, 81);
	s = sim_recv(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	assert_int_equal(s->released, 1);
	k.c.pid = 10;
	sim_opened(&sim, &k.c);
	for (i = 0; i < 2; i++) {
		c = sim_send(&sim, &k, &cl, "/a");
		s = sim_recv_same(&sim, &k, &sv, "/a");
		sim_answer(&sim, s, &sv);
		sim_answer(&sim, c, &cl);
		assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	}
	/* another end that is traced is waited for, and found late */
	sim_connect(&sim, &k, 10, 20, 80);
	s = sim_recv(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	sim_tick(&sim, 1500);
	assert_int_equal(s->released, 0);
	c = sim_request_at(&sim, &k, false, &cl, k.c2s - 100, "/a", NULL);
	assert_int_equal(s->released, 1);
	sim_answer(&sim, c, &cl);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	/* or in vain */
	s = sim_recv(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	sim_tick(&sim, 1900);
	assert_int_equal(s->released, 0);
	sim_tick(&sim, 150);
	assert_root(s);
	/* an address of another host is not waited for */
	sim_connect(&sim, &k, 0, 0, 80);
	k.s.pid = 20;
	memcpy(k.s.remote_addr, far, 4);
	sim_opened(&sim, &k.s);
	s = sim_recv(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	assert_int_equal(s->released, 1);
	/* until a process is met that has this address */
	sim_connect(&sim, &other, 0, 0, 81);
	other.s.pid = 10;
	memcpy(other.s.local_addr, far, 4);
	sim_opened(&sim, &other.s);
	for (i = 0; i < 2; i++) {
		s = sim_recv(&sim, &k, &sv, "/a");
		sim_answer(&sim, s, &sv);
		assert_int_equal(s->released, 0);
	}
	sim_free(&sim);
}

/* The client's exchange has left already when its server end is reported. */
static void late_server(void **state)
{
	struct sim sim = {0};
	struct sim_conn k;
	struct sim_ex *s, *c;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &k, 10, 20, 80);
	c = sim_send(&sim, &k, &cl, "/a");
	sim_answer(&sim, c, &cl);
	assert_int_equal(c->released, 1);
	s = sim_recv_same(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	c = sim_send(&sim, &k, &cl, "/b");
	sim_answer(&sim, c, &cl);
	sim_tick(&sim, 300);
	assert_int_equal(clew_correlate__stats(sim.co)->nodes, 0);
	sim_free(&sim);
}

/* A span id depends on the connection and the position, and on nothing else. */
static void span_ids(void **state)
{
	struct sim sim = {0};
	struct sim_conn k;
	struct sim_ex *a, *b;
	uint8_t ids[4][8];
	int i, j;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &k, 10, 20, 80);
	a = sim_ex(&sim, &k.c, false, &cl, 77, "/a", NULL);
	co_ids__span(&a->ex, ids[0]);
	sim.now += 12345;
	b = sim_ex(&sim, &k.c, false, &sv, 77 + (1ULL << 32), "/b", NULL);
	co_ids__span(&b->ex, ids[1]);
	assert_memory_equal(ids[0], ids[1], 8);
	b->ex.req.pos++;
	co_ids__span(&b->ex, ids[1]);
	a->ex.is_server = 1;
	co_ids__span(&a->ex, ids[2]);
	k.c.local_port++;
	a->ex.is_server = 0;
	co_ids__span(&a->ex, ids[3]);
	for (i = 0; i < 4; i++)
		for (j = 0; j < i; j++)
			assert_memory_not_equal(ids[i], ids[j], 8);
	sim_free(&sim);
}

static int dropped;

static void count_drop(void *arg, void *val)
{
	(void)arg;
	(void)val;
	dropped++;
}

/* Against a plain array, with a full table and constant deletion. */
static void map(void **state)
{
	enum { KEYS = 4096, MAX = 1000 };
	static uint8_t has[KEYS];
	struct co_map m;
	uint32_t seed = 1, n = 0, i;
	int puts = 0;

	(void)state;
	assert_int_equal(co_map__init(&m, 2 * KEYS, count_drop, NULL), 0);
	dropped = 0;
	for (i = 0; i < 200000; i++) {
		uint32_t k;

		seed = seed * 1664525 + 1013904223;
		k = seed >> 20;
		if (seed & 4096) {
			co_map__put(&m, k, 5, (void *)(uintptr_t)(k + 1));
			puts++;
			has[k] = 1;
		} else {
			co_map__del(&m, k, 5);
			has[k] = 0;
		}
	}
	for (i = 0; i < KEYS; i++) {
		n += has[i];
		assert_ptr_equal(co_map__get(&m, i, 5), (void *)(uintptr_t)(has[i] ? i + 1 : 0));
	}
	assert_int_equal(m.count, n);
	assert_int_equal(dropped, puts - (int)n);
	co_map__free(&m);
	assert_int_equal(dropped, puts);
	/* bounded; what is in use stays */
	assert_int_equal(co_map__init(&m, MAX, NULL, NULL), 0);
	for (i = 0; i < 100000; i++) {
		assert_int_equal(co_map__put(&m, i, i, (void *)1), 0);
		assert_true(m.count <= MAX);
		assert_non_null(co_map__get(&m, i > 30 ? i - 30 : 0, i > 30 ? i - 30 : 0));
	}
	assert_int_equal(m.evicted, 100000 - MAX);
	co_map__free(&m);
}

static void globs(void **state)
{
	char *v[] = {"/health*", "/a/*/z", "/exact"};
	const struct clew_strv g = {v, 3}, none = {NULL, 0};
	static const struct {
		const char *target;
		bool hit;
	} cases[] = {
		{"/health", true},	   {"/healthz", true}, {"/health/live?x=1", true},
		{"/heal", false},	   {"/a/b/c/z", true}, {"/exact?y", true},
		{"/exact/", false},	   {"/exact#f", true}, {"http://h/exact", true},
		{"http://h", false},	   {"*", false},       {"", false},
		{"/x?r=/health", false},   {"h:443", false},   {"/x?u=http://h/exact", false},
		{"http://exact/x", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (clew_excluded_path(&g, cases[i].target, strlen(cases[i].target)) !=
		    cases[i].hit)
			fail_msg("%s", cases[i].target);
		assert_false(clew_excluded_path(&none, cases[i].target, strlen(cases[i].target)));
	}
	assert_false(clew_excluded_path(&g, "/exact\0", 7));
}

/* Keys that a program chose so that all begin at one place: no table is walked from end to end. */
static void map_crowded(void **state)
{
	enum { KEYS = 600, RUN = 256, PLACES = 4096 };
	struct co_map m;
	uint64_t k = 0;

	(void)state;
	assert_int_equal(co_map__init(&m, PLACES, NULL, NULL), 0);
	for (int n = 0; n < KEYS; k++) {
		uint64_t key[2] = {k, 0};

		/* as in map.c */
		if (XXH3_64bits_withSeed(key, sizeof(key), 0x636c65772d636f72ULL) % PLACES)
			continue;
		assert_int_equal(co_map__put(&m, k, 0, (void *)1), 0);
		assert_non_null(co_map__get(&m, k, 0));
		n++;
	}
	assert_int_equal(m.count, RUN);
	assert_int_equal(m.evicted, KEYS - RUN);
	co_map__free(&m);
}

/*
 * The same, but each begins one place behind the last one, so that all stand as far from there as
 * the first ones, and move one place when one of those goes. It is made large before that.
 */
static void map_stairs(void **state)
{
	enum { FIRST = 200, KEYS = 4000, PLACES = 16384 };
	struct co_map m;
	uint64_t k = 0, *keys = calloc(PLACES, sizeof(*keys));
	uint32_t n = 0, missing = 0;

	(void)state;
	assert_int_equal(co_map__init(&m, PLACES, NULL, NULL), 0);
	while (co_map__bytes(&m) < PLACES * 32) /* bytes of a slot */
		assert_int_equal(co_map__put(&m, ++k, 1, (void *)1), 0);
	for (uint64_t i = 1; i <= k; i++)
		co_map__del(&m, i, 1);
	assert_int_equal(m.count, 0);
	for (k = 1; n < KEYS;) {
		uint64_t key[2] = {k, 0};
		uint32_t at =
			(uint32_t)XXH3_64bits_withSeed(key, sizeof(key), 0x636c65772d636f72ULL) %
			PLACES;

		/* where the table ends and begins again */
		if (at == (PLACES - FIRST + (n > FIRST ? n - FIRST : 0)) % PLACES) {
			keys[n++] = k;
			assert_int_equal(co_map__put(&m, k, 0, (void *)k), 0);
			assert_ptr_equal(co_map__get(&m, k, 0), (void *)k);
		}
		k++;
	}
	/* when the first of them would have been moved by all others */
	assert_in_range(m.evicted, FIRST / 2, KEYS);
	for (uint32_t i = 0; i < n; i++)
		missing += !co_map__get(&m, keys[i], 0);
	assert_int_equal(n - missing, m.count);
	for (uint32_t i = 0; i < n; i++)
		co_map__del(&m, keys[i], 0);
	assert_int_equal(m.count, 0);
	free(keys);
	co_map__free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(either_first),	  cmocka_unit_test(must_agree),
		cmocka_unit_test(mapped_address), cmocka_unit_test(two_claims),
		cmocka_unit_test(grace),	  cmocka_unit_test(late_server),
		cmocka_unit_test(span_ids),	  cmocka_unit_test(map),
		cmocka_unit_test(map_crowded),	  cmocka_unit_test(map_stairs),
		cmocka_unit_test(globs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
