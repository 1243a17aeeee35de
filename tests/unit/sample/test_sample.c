/* SPDX-License-Identifier: Apache-2.0 */
/* Consistent probability sampling: thresholds, their text, and that all parts decide alike. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <clew/sample.h>

#define IDS 100000

/* The trace id whose randomness (low 56 bits) is r; all that is above must not matter. */
static struct clew_placement placed(uint64_t r, uint8_t above)
{
	struct clew_placement p;

	memset(&p, 0, sizeof(p));
	memset(p.trace_id, above, 9);
	for (int i = 15; i >= 9; i--, r >>= 8)
		p.trace_id[i] = (uint8_t)r;
	p.sampled = 1;
	return p;
}

static void test_thresholds(void **state)
{
	/* T = (1 - p) * 2^56, as 14 hex digits without the zeros at the end */
	static const struct {
		double rate;
		uint64_t threshold;
		const char *tracestate;
	} cases[] = {
		{1, 0, ""},
		{2, 0, ""},
		{0, 1ULL << 56, ""},
		{-1, 1ULL << 56, ""},
		{NAN, 1ULL << 56, ""},
		{0.5, 0x80000000000000, "ot=th:8"},
		{0.25, 0xc0000000000000, "ot=th:c"},
		{0.0625, 0xf0000000000000, "ot=th:f"},
		{0.9375, 0x10000000000000, "ot=th:1"},
		{0.99609375, 0x01000000000000, "ot=th:01"},
		{1 - 0x1p-52, 0x10, "ot=th:0000000000001"},
		{0x1p-56, (1ULL << 56) - 1, "ot=th:ffffffffffffff"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clew_sampler s;

		clew_sampler__init(&s, cases[i].rate, false);
		assert_true(s.threshold == cases[i].threshold);
		assert_string_equal(s.tracestate, cases[i].tracestate);
	}
}

static void test_edges(void **state)
{
	static const double rates[] = {0.5, 0.1, 0.0001, 0.999};
	const uint64_t last = (1ULL << 56) - 1;

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct clew_placement below, at, high;
		struct clew_sampler s;

		clew_sampler__init(&s, rates[i], true);
		below = placed(s.threshold - 1, 0xff);
		at = placed(s.threshold, 0);
		high = placed(last, 0);
		assert_false(clew_sampler__keep(&s, &below));
		assert_true(clew_sampler__keep(&s, &at));
		assert_true(clew_sampler__keep(&s, &high));
	}
}

static void test_all_and_none(void **state)
{
	const uint64_t last = (1ULL << 56) - 1;
	struct clew_placement low = placed(0, 0), high = placed(last, 0xff);
	struct clew_sampler s;

	(void)state;
	clew_sampler__init(&s, 1, true);
	assert_true(clew_sampler__keep(&s, &low) && clew_sampler__keep(&s, &high));
	clew_sampler__init(&s, 0, true);
	assert_false(clew_sampler__keep(&s, &low) || clew_sampler__keep(&s, &high));
}

static void test_parent(void **state)
{
	struct clew_placement kept = placed((1ULL << 56) - 1, 0), not_kept = placed(0, 0);
	struct clew_sampler s;

	(void)state;
	kept.adopted = not_kept.adopted = 1;
	kept.sampled = 0; /* the parent's flags say the opposite of the ids */
	not_kept.sampled = 1;
	clew_sampler__init(&s, 0.5, true);
	assert_false(clew_sampler__keep(&s, &kept));
	assert_true(clew_sampler__keep(&s, &not_kept));
	clew_sampler__init(&s, 0.5, false);
	assert_true(clew_sampler__keep(&s, &kept));
	assert_false(clew_sampler__keep(&s, &not_kept));
	/* nothing was adopted: flags that are there by default decide nothing */
	kept.adopted = not_kept.adopted = 0;
	clew_sampler__init(&s, 0.5, true);
	assert_true(clew_sampler__keep(&s, &kept));
	assert_false(clew_sampler__keep(&s, &not_kept));
}

static uint64_t next_random(uint64_t *x) /* splitmix64: the test is the same each time */
{
	uint64_t z = *x += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* What is kept at a rate is kept at every higher one, and the share is the rate. */
static void test_consistent_shares(void **state)
{
	static const double rates[] = {0.001, 0.01, 0.1, 0.5, 0.9};
	enum { RATES = sizeof(rates) / sizeof(rates[0]) };
	struct clew_sampler s[RATES];
	unsigned int kept[RATES] = {0};
	uint64_t seed = 1;

	(void)state;
	for (int i = 0; i < RATES; i++)
		clew_sampler__init(&s[i], rates[i], true);
	for (int id = 0; id < IDS; id++) {
		struct clew_placement p = placed(next_random(&seed), (uint8_t)id);
		bool before = false;

		for (int i = 0; i < RATES; i++) {
			bool keep = clew_sampler__keep(&s[i], &p);

			assert_true(keep || !before);
			kept[i] += keep;
			before = keep;
		}
	}
	for (int i = 0; i < RATES; i++) {
		double deviation = sqrt(IDS * rates[i] * (1 - rates[i]));

		assert_true(fabs(kept[i] - IDS * rates[i]) < 4 * deviation);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thresholds),	  cmocka_unit_test(test_edges),
		cmocka_unit_test(test_all_and_none),	  cmocka_unit_test(test_parent),
		cmocka_unit_test(test_consistent_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
