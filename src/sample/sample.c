/* SPDX-License-Identifier: Apache-2.0 */
/* sample.c - see sample.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <clew/sample.h>

#define RANDOM_BITS 56

void clew_sampler__init(struct clew_sampler *s, double rate, bool parent_based)
{
	char hex[16];
	int n;

	memset(s, 0, sizeof(*s));
	s->parent_based = parent_based;
	if (!(rate > 0))
		rate = 0;
	if (rate > 1)
		rate = 1;
	/* not of 1 - rate: a small rate would be rounded there */
	s->threshold =
		(1ULL << RANDOM_BITS) - (uint64_t)llround(rate * (double)(1ULL << RANDOM_BITS));
	if (!s->threshold || s->threshold >> RANDOM_BITS)
		return; /* all, or none: nothing to say */
	n = snprintf(hex, sizeof(hex), "%014llx", (unsigned long long)s->threshold);
	while (n > 1 && hex[n - 1] == '0')
		hex[--n] = 0;
	snprintf(s->tracestate, sizeof(s->tracestate), "ot=th:%s", hex);
}

bool clew_sampler__keep(const struct clew_sampler *s, const struct clew_placement *place)
{
	uint64_t r = 0;

	if (place->adopted && s->parent_based)
		return place->sampled;
	for (int i = 9; i < 16; i++)
		r = r << 8 | place->trace_id[i];
	return r >= s->threshold;
}
