/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch sorted by resource: OTLP says a resource once, then its spans. Resources are shared
 * and immutable, so their addresses are their identity; a small open-addressing table maps
 * addresses to group numbers, and a counting sort keeps the order inside a group.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export/otlp.h"

static int groups_room(struct clew_otlp_groups *g, size_t n)
{
	size_t cap = 512, nr_slots;
	uint32_t *block;

	if (n <= g->cap)
		return 0;
	while (cap < n)
		cap *= 2;
	nr_slots = cap * 2; /* half empty at worst */
	/* order, gid: cap; first: cap + 1, and one more for the sort; slots */
	block = malloc((3 * cap + 2 + nr_slots) * sizeof(*block));
	if (!block)
		return -ENOMEM;
	free(g->order);
	g->order = block;
	g->gid = block + cap;
	g->first = block + 2 * cap;
	g->slots = block + 3 * cap + 2;
	g->cap = cap;
	g->nr_slots = nr_slots;
	return 0;
}

void clew_otlp_groups__free(struct clew_otlp_groups *g)
{
	free(g->order);
	memset(g, 0, sizeof(*g));
}

/* The group of a resource. A slot holds the number (plus one) of a span of that group. */
static uint32_t group_of(struct clew_otlp_groups *g, struct clew_span *const *spans, uint32_t i)
{
	const struct clew_resource *res = spans[i]->resource;
	size_t mask = g->nr_slots - 1;
	size_t at = ((uintptr_t)res >> 4) * 0x9e3779b97f4a7c15ULL >> 20 & mask;

	for (;; at = (at + 1) & mask) {
		uint32_t other = g->slots[at];

		if (!other) {
			g->slots[at] = i + 1;
			return g->nr++;
		}
		if (spans[other - 1]->resource == res)
			return g->gid[other - 1];
	}
}

int clew_otlp_groups__make(struct clew_otlp_groups *g, struct clew_span *const *spans, size_t n)
{
	int err = n > UINT32_MAX / 8 ? -ENOMEM : groups_room(g, n);

	if (err)
		return err;
	g->nr = 0;
	memset(g->slots, 0, g->nr_slots * sizeof(*g->slots));
	for (uint32_t i = 0; i < n; i++) {
		if (i && spans[i]->resource == spans[i - 1]->resource)
			g->gid[i] = g->gid[i - 1];
		else
			g->gid[i] = group_of(g, spans, i);
	}
	/* first[k + 2] counts group k, then sums up to where group k + 1 starts; filling the
	 * order moves first[k + 1] from the start of group k to its end */
	memset(g->first, 0, (g->nr + 2) * sizeof(*g->first));
	for (uint32_t i = 0; i < n; i++)
		g->first[g->gid[i] + 2]++;
	for (uint32_t k = 2; k < g->nr + 2; k++)
		g->first[k] += g->first[k - 1];
	for (uint32_t i = 0; i < n; i++)
		g->order[g->first[g->gid[i] + 1]++] = i;
	return 0;
}
