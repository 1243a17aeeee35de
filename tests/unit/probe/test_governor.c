/* SPDX-License-Identifier: Apache-2.0 */
/* The cost governor's decisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/governor.h"

#define SECOND 1000000000ULL
#define CHEAP  CLEW_SET_PY_TASK
#define DEAR   CLEW_SET_PY_COPY

struct sim {
	struct clew_governor g;
	struct clew_governor_look look;
	double share;
};

static void init(struct sim *s)
{
	memset(s, 0, sizeof(*s));
	s->look.now = 100 * SECOND;
	s->look.attached = 1ULL << CHEAP | 1ULL << DEAR;
	s->look.limit = 0.05;
	s->look.hit_ns[CHEAP] = 1000;
	s->look.hit_ns[DEAR] = 2000;
}

/* One second goes by in which the process ran for cpu_ms. */
static int second(struct sim *s, uint32_t cpu_ms, uint32_t cheap, uint32_t dear)
{
	s->look.now += SECOND;
	s->look.cpu += cpu_ms * 1000000ULL;
	s->look.hits[CHEAP] += cheap;
	s->look.hits[DEAR] += dear;
	return clew_governor__look(&s->g, &s->look, &s->share);
}

static void below_the_limit(void **state)
{
	struct sim s;

	(void)state;
	init(&s);
	for (int i = 0; i < 100; i++)
		assert_int_equal(second(&s, 1000, 10000, 10000), -1); /* 30 ms of 1000 */
	assert_true(s.share > 0.0305 && s.share < 0.0312); /* of what it uses by itself */
}

static void the_dearest_goes(void **state)
{
	struct sim s;

	(void)state;
	init(&s);
	assert_int_equal(second(&s, 1000, 0, 0), -1);
	assert_int_equal(second(&s, 1000, 1000, 30000), -1); /* 61 ms, once */
	assert_int_equal(second(&s, 1000, 1000, 0), -1);     /* a burst that is over */
	assert_int_equal(second(&s, 1000, 1000, 30000), -1);
	assert_int_equal(second(&s, 1000, 1000, 30000), DEAR);
	/* without it the other is cheap enough */
	s.look.attached = 1ULL << CHEAP;
	for (int i = 0; i < 100; i++)
		assert_int_equal(second(&s, 1000, 1000, 0), -1);
}

static void what_costs_nothing_stays(void **state)
{
	struct sim s;

	(void)state;
	init(&s);
	second(&s, 1000, 0, 0);
	assert_int_equal(second(&s, 1000, 80000, 0), -1);
	assert_int_equal(second(&s, 1000, 80000, 0), CHEAP); /* the dear set was never hit */
}

static void comes_back_later_each_time(void **state)
{
	static const uint32_t waits[] = {30, 60, 120, 240, 480, 600, 600};
	struct sim s;

	(void)state;
	init(&s);
	second(&s, 1000, 0, 0);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		second(&s, 1000, 0, 50000);
		assert_int_equal(second(&s, 1000, 0, 50000), DEAR);
		assert_int_equal(s.g.wait_s[DEAR], waits[i]);
		assert_int_equal(clew_governor__back(&s.g, s.look.now + (waits[i] - 1) * SECOND),
				 0);
		s.look.now += waits[i] * SECOND;
		assert_int_equal(clew_governor__back(&s.g, s.look.now), 1ULL << DEAR);
		assert_int_equal(clew_governor__back(&s.g, s.look.now), 0); /* said once */
		second(&s, 1000, 0, 0);
	}
	for (int i = 0; i < 1300; i++) /* it behaves: forgiven */
		assert_int_equal(second(&s, 1000, 0, 100), -1);
	second(&s, 1000, 0, 50000);
	assert_int_equal(second(&s, 1000, 0, 50000), DEAR);
	assert_int_equal(s.g.wait_s[DEAR], 30);
}

/* Ticks of CPU time are coarse: little use is not judged until enough has come together. */
static void idle_process(void **state)
{
	struct sim s;
	int judged = 0;

	(void)state;
	init(&s);
	second(&s, 10, 0, 0);
	for (int i = 0; i < 60; i++) {
		assert_int_equal(second(&s, i % 2 ? 10 : 0, 0, 5), -1);
		judged += s.share >= 0;
	}
	assert_in_range(judged, 1, 2);
}

static void clocks_and_counters_turn_over(void **state)
{
	struct sim s;

	(void)state;
	init(&s);
	s.look.hits[DEAR] = UINT32_MAX - 10;
	second(&s, 1000, 0, 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(second(&s, 1000, 0, 10), -1);
	s.look.cpu = 5; /* another process under this pid: begin anew */
	assert_int_equal(second(&s, 1, 0, 50000), -1);
	assert_true(s.share < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(below_the_limit),
		cmocka_unit_test(the_dearest_goes),
		cmocka_unit_test(what_costs_nothing_stays),
		cmocka_unit_test(comes_back_later_each_time),
		cmocka_unit_test(idle_process),
		cmocka_unit_test(clocks_and_counters_turn_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
