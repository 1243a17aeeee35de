/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_nginx.c - the request object that an upstream connection points to.
 *
 * The probe reads, at the write, the downstream connection of the request object that the
 * upstream connection belongs to. nginx works on one request of a downstream connection at a
 * time, so it is the oldest one that is not answered, or, for a mirror subrequest that outlives
 * the answer, the last. "The last head that this worker read" was wrong in up to 718 of 1200.
 */
#include "correlate/internal.h"

#define UNASKED_MAX 1024 /* who asks nobody needs to remember no cause */

static void nginx_request(struct clew_correlate *co, struct co_node *x)
{
	struct co_proc *proc = co_proc(co, x->pid);
	struct co_conn *conn = x->conn;

	co_node__put(co, conn->last);
	conn->last = NULL;
	if (proc && proc->unasked < UNASKED_MAX) {
		proc->unasked++;
		conn->last = co_node__get(x);
	}
}

static void nginx_claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	struct co_conn *conn = co_conn__downstream(co, c);
	struct co_node *x = conn ? co_conn__oldest(conn) : NULL;

	if (!x && conn)
		x = conn->last;
	if (!x)
		return;
	ret->kind = CO_CLAIM_NODE;
	ret->x = x;
	ret->link = CLEW_LINK_EXACT;
	ret->evidence = co_ev_nginx;
}

const struct co_rule co_rule_nginx = {
	.runtimes = 1U << CLEW_RT_UNKNOWN | 1U << CLEW_RT_NGINX,
	.request = nginx_request,
	.claim = nginx_claim,
};
