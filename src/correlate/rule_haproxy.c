/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_haproxy.c - the session that an upstream stream belongs to.
 *
 * The kernel side reads, at the write, the connection at which the session of the upstream stream
 * began. HAProxy works on one request of an HTTP/1 connection at a time, so it is the one that is
 * not answered. Of several the oldest would be right if the client pipelines, the newest if an
 * answer's record was lost: none. There is nothing to fall back on: what is written after the
 * answer, by health checks or by applets has no such request, and gets none.
 */
#include "correlate/internal.h"

static void haproxy_claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	struct co_conn *conn = co_conn__downstream(co, c);

	ret->x = conn && !co_conn__several(conn) ? co_conn__oldest(conn) : NULL;
	if (!ret->x)
		return;
	ret->kind = CO_CLAIM_NODE;
	ret->link = CLEW_LINK_EXACT;
	ret->evidence = co_ev_haproxy;
}

const struct co_rule co_rule_haproxy = {
	.runtimes = 1U << CLEW_RT_UNKNOWN | 1U << CLEW_RT_HAPROXY,
	.claim = haproxy_claim,
};
