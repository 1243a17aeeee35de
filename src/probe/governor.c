/* SPDX-License-Identifier: Apache-2.0 */
/*
 * governor.c - decides which probes of a process cost too much.
 *
 *   a window is closed when the process has used enough CPU to tell (or long enough went by)
 *   cost of the window = sum over sets of hits * cost of a hit
 *   two windows in a row above the limit: the dearest set that is attached goes
 *   it comes back after 30 s, then after twice as long each time, ten minutes at most
 *
 * Sets of one runtime are numbered from cheap to dear, so the dearest is the highest number; one
 * that was not hit costs nothing and stays. CPU time comes in ticks of 10 ms: a window of 200 ms
 * knows it to one part in twenty.
 */
#include "probe/governor.h"

#include <string.h>

#define SECOND	      1000000000ULL
#define WINDOW_CPU_NS (SECOND / 5)
#define WINDOW_MAX_NS (30 * SECOND)
#define OVER_MAX      2
#define WAIT_FIRST_S  30
#define WAIT_MAX_S    600

static int dearest(const struct clew_governor *g, const struct clew_governor_look *look)
{
	for (int set = CLEW_SET_MAX - 1; set >= 0; set--)
		if (look->attached & 1ULL << set && look->hits[set] != g->hits[set])
			return set;
	return -1;
}

static void send_away(struct clew_governor *g, int set, uint64_t now)
{
	uint32_t wait = g->wait_s[set] * 2;

	if (!wait || now > g->settled_at[set])
		wait = WAIT_FIRST_S;
	if (wait > WAIT_MAX_S)
		wait = WAIT_MAX_S;
	g->wait_s[set] = wait;
	g->back_at[set] = now + wait * SECOND;
	/* a set that then stays for as long as it was away has earned a short wait again */
	g->settled_at[set] = now + 2 * wait * SECOND;
	g->over = 0;
}

int clew_governor__look(struct clew_governor *g, const struct clew_governor_look *look,
			double *ret_share)
{
	double cost = 0, own;
	uint64_t used = look->cpu - g->cpu;
	int set = -1;

	*ret_share = -1;
	if (g->since && look->cpu >= g->cpu && used < WINDOW_CPU_NS &&
	    look->now - g->since < WINDOW_MAX_NS)
		return -1;
	if (g->since && look->cpu >= g->cpu && used) {
		for (int i = 0; i < CLEW_SET_MAX; i++)
			cost += look->hit_ns[i] * (uint32_t)(look->hits[i] - g->hits[i]);
		own = (double)used > cost ? (double)used - cost : 1;
		*ret_share = cost / own;
		g->over = *ret_share > look->limit ? g->over + 1 : 0;
		if (g->over >= OVER_MAX)
			set = dearest(g, look);
	}
	g->since = look->now;
	g->cpu = look->cpu;
	memcpy(g->hits, look->hits, sizeof(g->hits));
	if (set >= 0)
		send_away(g, set, look->now);
	return set;
}

uint64_t clew_governor__back(struct clew_governor *g, uint64_t now)
{
	uint64_t sets = 0;

	for (int set = 0; set < CLEW_SET_MAX; set++) {
		if (!g->back_at[set] || now < g->back_at[set])
			continue;
		g->back_at[set] = 0;
		sets |= 1ULL << set;
	}
	return sets;
}
