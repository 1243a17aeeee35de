/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_ruby.c - whose request a thread of Puma's pool is at, which another one has read.
 *
 * A request that is not there at once is read by the reactor's thread, and its client, an object
 * with the socket, is put into the pool's Array; a thread of the pool takes it out, serves what the
 * connection asks, and takes the next one. So from one taking to the next the thread is at that
 * connection, of which it answers one request at a time: identity, if it is the thread that
 * answers.
 *
 * A taking whose record is lost leaves the thread at the connection before. Whatever is read there
 * meanwhile was read after that taking, by another thread: not believed. What the thread calls when
 * it has answered (rack.after_reply) has no request that is open: none.
 *
 * Any other Array whose first object holds an IO of a connection says the same when it is shifted,
 * rightly or not: it counts only if the thread answers there.
 */
#include "correlate/internal.h"

void co_ruby_rule__edge(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_thread *t;

	if (edge->kind != CLEW_EDGE_RUBY_TAKE)
		return;
	t = co_thread(co, edge->h.tid, edge->h.pid);
	if (!t)
		return;
	t->took = edge->conn_id;
	t->took_ts = edge->h.ts;
}

bool co_ruby_rule__claim(struct clew_correlate *co, const struct co_thread *t,
			 const struct co_node *c, struct co_claim *ret)
{
	struct co_conn *conn = t->took ? co_conn__find(co, t->took) : NULL;
	struct co_node *x;

	if (!conn || conn->pid != c->pid || co_conn__several(conn) || t->took_ts > c->req_ts)
		return false;
	x = co_conn__oldest(conn);
	if (!x || (x->tid != c->tid && x->req_ts > t->took_ts))
		return false;
	ret->kind = CO_CLAIM_NODE;
	ret->x = x;
	ret->link = CLEW_LINK_EXACT;
	ret->evidence = co_ev_item;
	return true;
}

bool co_ruby_rule__stands(struct clew_correlate *co, const struct co_node *c,
			  const struct co_node *x)
{
	(void)co;
	return c->cand_evidence != co_ev_item || !x->ex || !x->ex->resp.ts ||
	       x->ex->resp.tid == c->tid;
}
