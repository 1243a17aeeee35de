/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_java.c - HotSpot's threads, platform and virtual ones (runtimes.md, Java, U1, U2).
 *
 * A Java thread has an id of its own that the process never uses again, whichever OS thread it
 * runs on. What the thread rule says of OS threads holds for it: who read X, holds only X and
 * answers X itself is working for X. A platform thread that was seen in an event loop is given
 * up; a virtual thread cannot be one, whatever its carrier does between two of them.
 */
#include "correlate/internal.h"

#include <stdlib.h>

static struct co_thread *thread_of(struct clew_correlate *co, uint32_t pid,
				   const struct clew_feed *feed, bool make)
{
	struct co_proc *proc = co_proc(co, pid);
	uint64_t key = (uint64_t)(proc ? proc->gen : 0) << 32 | pid;
	struct co_thread *t = feed->ctx ? co_map__get(&co->threads, key, feed->ctx) : NULL;

	if (!t && make && feed->ctx) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return NULL;
		t->refs = 1;
		t->pid = pid;
		if (co_map__put(&co->threads, key, feed->ctx, t)) {
			free(t);
			return NULL;
		}
	}
	if (t && feed->seg_flags & CLEW_SEG_LOOP && !(feed->ref & CLEW_JAVA_VIRTUAL))
		t->loop = 1;
	return t;
}

static bool is_virtual(const struct clew_feed *feed)
{
	return feed->ref & CLEW_JAVA_VIRTUAL;
}

static void java_segment(struct clew_correlate *co, const struct clew_segment *seg)
{
	const struct clew_feed feed = {.ctx = seg->ctx, .ref = seg->ref, .seg_flags = seg->flags};

	if (seg->flags & CLEW_SEG_LOOP)
		thread_of(co, seg->h.pid, &feed, false);
}

static void java_request(struct clew_correlate *co, struct co_node *x)
{
	struct co_thread *t = thread_of(co, x->pid, &x->ex->req, true);

	if (t)
		co_thread__serves(co, t, x,
				  is_virtual(&x->ex->req) || x->ex->req.watch != CLEW_UNWATCHED);
}

static void java_claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	struct co_thread *t = thread_of(co, c->pid, &c->ex->req, false);

	if (!t || t->loop || t->multi || t->nr_open != 1 || !t->open)
		return;
	if (!is_virtual(&c->ex->req) &&
	    (!t->open->ex || t->open->ex->req.watch != c->ex->req.watch))
		return;
	ret->kind = CO_CLAIM_NODE;
	ret->x = t->open;
	ret->by = t;
	ret->link = CLEW_LINK_EXACT;
	ret->evidence = is_virtual(&c->ex->req) ? co_ev_virtual : co_ev_java;
}

static bool java_stands(struct clew_correlate *co, const struct co_node *c, const struct co_node *x)
{
	const struct co_thread *t = c->by;

	(void)co;
	if (!t || t->loop || t->multi)
		return false;
	return !x->ex || !x->ex->resp.ts || co_thread__answers(x) == CO_WHO_SAME;
}

static void *get(void *by)
{
	((struct co_thread *)by)->refs++;
	return by;
}

static void put(struct clew_correlate *co, void *by)
{
	co_thread__put(co, by);
}

const struct co_rule co_rule_java = {
	.runtimes = 1U << CLEW_RT_JAVA,
	.segment = java_segment,
	.request = java_request,
	.claim = java_claim,
	.stands = java_stands,
	.get = get,
	.put = put,
};
