/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_unix.c - which byte of a Unix stream socket is which at its other end?
 *
 * A socket names its two ends by their kernel addresses. Those are reused, so both ends must be
 * the latest known owners of their addresses. Positions count from when each end was met. Ends
 * that were both seen from their first byte count alike. For an older pair the two counts differ
 * by a constant, the shift, which is learned from requests whose order alone shows that they
 * belong together; HTTP/1 clients wait for the answer before they ask again (RFC 9112 9.3.2 lets
 * them pipeline, which hardly any does), so:
 *
 *   A. S was read, or the last part of its head, while C was the client's only open request: S is
 *      C. An older one than C was answered before C was written; a later one is not written
 *      before C is answered.
 *   B. S was read while the client, already watched, had none open, and C was the first thing
 *      that happened on the client's end since: S is C, whose record was late. Were S an older
 *      request, which nobody saw, its answer would have come in before C was written.
 *
 * One such pair teaches the shift: its link is inferred. From the second that agrees on, the
 * positions of the pair are as good as TCP's: exact. One that disagrees makes both void: it is
 * counted, the shift is forgotten, and after two contradictions nothing is joined here any more.
 *
 * Known counter-example: a pipelining client that had R1 in flight, unseen, when it was met, and
 * wrote R2 before R1 was read. R1's server end is then taken for R2's, if method and target are
 * equal; and again, until the pipe runs dry once (a contradiction) or two requests are seen open
 * at a time (the client is never believed again). Lost records of both ends can do the same
 * once; the next pair contradicts.
 */
#include "correlate/internal.h"

#include <errno.h>
#include <stdlib.h>

#define CONTRADICTIONS_MAX 2

struct co_unix *co_unix__new(const struct clew_conn_open *ev)
{
	struct co_unix *un;

	if (!ev->sk || !ev->peer_sk)
		return NULL;
	un = calloc(1, sizeof(*un));
	if (!un)
		return NULL;
	un->sk = ev->sk;
	un->peer_sk = ev->peer_sk;
	un->from_start = ev->from_start;
	return un;
}

void co_unix__free(struct co_unix *un)
{
	free(un);
}

static void set_late(struct clew_correlate *co, struct co_unix *un, struct co_node *s)
{
	co->nr_late += (s != NULL) - (un->late != NULL);
	co_node__get(s);
	co_node__put(co, un->late);
	un->late = s;
}

void co_unix__closed(struct clew_correlate *co, struct co_conn *conn)
{
	struct co_unix *un = conn->un;

	co_map__del_if(&co->unix_ends, un->sk, 0, (void *)(uintptr_t)conn->id);
	set_late(co, un, NULL);
	co_node__put(co, un->asked);
	un->asked = NULL;
}

static bool is_current(struct clew_correlate *co, const struct co_conn *conn)
{
	return !conn->gone &&
	       co_map__get(&co->unix_ends, conn->un->sk, 0) == (void *)(uintptr_t)conn->id;
}

/* The other end's connection, if both are what their addresses mean now. */
static struct co_conn *peer_of(struct clew_correlate *co, const struct co_conn *conn)
{
	void *id = co_map__get(&co->unix_ends, conn->un->peer_sk, 0);
	struct co_conn *peer = id ? co_conn__find(co, (uintptr_t)id) : NULL;

	if (!peer || !peer->un || peer->un->peer_sk != conn->un->sk || !is_current(co, conn))
		return NULL;
	return peer;
}

bool co_unix__peer_is_traced(struct clew_correlate *co, const struct co_conn *conn)
{
	return co_map__get(&co->unix_ends, conn->un->peer_sk, 0) != NULL;
}

void co_unix__heard(struct clew_correlate *co, const struct clew_segment *seg)
{
	struct co_conn *conn = co_conn__find(co, seg->conn_id);

	if (conn && conn->un && seg->len && seg->h.ts > conn->un->heard_ts)
		conn->un->heard_ts = seg->h.ts;
}

/* What was learned holds for one client's end. */
static void meet(struct clew_correlate *co, struct co_conn *server, const struct co_conn *client)
{
	struct co_unix *un = server->un;

	if (un->peer_id == client->id)
		return;
	if (un->peer_id) {
		un->state = CO_SHIFT_UNKNOWN;
		un->contradictions = 0;
		set_late(co, un, NULL);
	}
	un->peer_id = client->id;
}

static void contradict(struct co_unix *un)
{
	un->state = ++un->contradictions < CONTRADICTIONS_MAX ? CO_SHIFT_UNKNOWN : CO_SHIFT_NEVER;
}

void co_unix__contradicted(struct clew_correlate *co, struct co_conn *server)
{
	(void)co;
	if (server->un->state == CO_SHIFT_LEARNED || server->un->state == CO_SHIFT_PROVED)
		contradict(server->un);
}

static void refuse(struct clew_correlate *co, struct co_node *s)
{
	co_node__get(s);
	co_join__forget(co, s);
	co_link__server(co, s, NULL, CLEW_LINK_NONE, NULL);
	co_node__put(co, s);
}

/* The request before the one that taught the shift may still be waiting. */
static void try_late(struct clew_correlate *co, struct co_conn *server)
{
	struct co_node *s = server->un->late, *c;
	enum clew_link link;

	if (!s || s->wait != CO_WAIT_JOIN || s->joinable)
		return;
	s->pos = (uint32_t)s->ex->req.pos - server->un->shift;
	c = co_map__get(&co->clients, server->end, s->pos);
	if (c && c->what == s->what && co_unix__agree(co, c, s, &link))
		co_join__pair(co, c, s, link, co_ev_pair_order);
}

/* The order says that these two are one: what do the positions say? */
static void match(struct clew_correlate *co, struct co_conn *server, struct co_node *c,
		  struct co_node *s)
{
	uint32_t shift = (uint32_t)s->ex->req.pos - c->pos;
	struct co_unix *un = server->un;

	if (c->what != s->what || (un->state != CO_SHIFT_UNKNOWN && un->shift != shift)) {
		co->stats.conflicts++;
		co_unix__contradicted(co, server);
		refuse(co, s);
		return;
	}
	if (un->state != CO_SHIFT_UNKNOWN) {
		un->state = CO_SHIFT_PROVED;
		co_join__pair(co, c, s, CLEW_LINK_EXACT, co_ev_socket_pair);
		return;
	}
	un->state = CO_SHIFT_LEARNED;
	un->shift = shift;
	co_join__pair(co, c, s, CLEW_LINK_INFERRED, co_ev_pair_order);
	try_late(co, server);
}

int co_unix__server(struct clew_correlate *co, struct co_node *s)
{
	struct co_conn *client = peer_of(co, s->conn);
	struct co_unix *un = s->conn->un;
	uint64_t read_ts = co->reading.conn_id == s->conn->id ? co->reading.ts : s->req_ts;
	struct co_node *c;

	if (un->from_start && (!client || client->un->from_start))
		return 0;
	if (client)
		meet(co, s->conn, client);
	if (un->state == CO_SHIFT_NEVER) {
		refuse(co, s);
		return 1;
	}
	c = client && !client->un->pipelines ? client->un->asked : NULL;
	/* A */
	if (c && !c->answered && !c->joined && c->req_ts < read_ts) {
		match(co, s->conn, c, s);
		return 1;
	}
	if (un->state == CO_SHIFT_UNKNOWN)
		return -EAGAIN;
	s->pos -= un->shift;
	return 0;
}

void co_unix__waits(struct clew_correlate *co, struct co_node *s)
{
	set_late(co, s->conn->un, s);
}

void co_unix__settled(struct clew_correlate *co, const struct co_node *s)
{
	if (s->conn->un->late == s)
		set_late(co, s->conn->un, NULL);
}

/* B */
static bool first_since(struct clew_correlate *co, const struct co_node *c, const struct co_node *s)
{
	const struct co_unix *un = c->conn->un;
	const struct co_proc *proc = co_proc(co, c->pid);

	if (un->pipelines || !proc || !proc->watched_ts || proc->watched_ts >= s->req_ts ||
	    un->heard_ts >= s->req_ts || c->req_ts < s->req_ts)
		return false;
	return !s->answered || !s->ex->resp.ts || c->req_ts <= s->ex->resp.ts;
}

int co_unix__client(struct clew_correlate *co, struct co_node *c)
{
	struct co_unix *un = c->conn->un;
	struct co_conn *server = peer_of(co, c->conn);
	struct co_node *s;

	if (un->asked && !un->asked->answered)
		un->pipelines = 1;
	co_node__put(co, un->asked);
	un->asked = co_node__get(c);
	if (!server || (un->from_start && server->un->from_start))
		return 0;
	meet(co, server, c->conn);
	s = server->un->late;
	if (!s || server->un->state == CO_SHIFT_NEVER || !first_since(co, c, s))
		return 0;
	match(co, server, c, s);
	return c->joined;
}

bool co_unix__agree(struct clew_correlate *co, const struct co_node *c, const struct co_node *s,
		    enum clew_link *ret_link)
{
	const struct co_unix *a = c->conn->un, *b = s->conn->un;

	if (a->sk != b->peer_sk || b->sk != a->peer_sk || !is_current(co, c->conn) ||
	    !is_current(co, s->conn))
		return false;
	*ret_link = CLEW_LINK_EXACT;
	if (a->from_start && b->from_start)
		return true;
	if (b->state != CO_SHIFT_PROVED) {
		*ret_link = CLEW_LINK_INFERRED;
		/* written when that was answered: learned of a request whose client's was lost */
		if (s->answered && s->ex->resp.ts && c->req_ts > s->ex->resp.ts)
			return false;
	}
	/* not contradicted, nor learned anew, since S was read */
	return (b->state == CO_SHIFT_LEARNED || b->state == CO_SHIFT_PROVED) &&
	       (uint32_t)s->ex->req.pos - b->shift == c->pos;
}
