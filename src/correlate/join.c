/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.c - both ends of one connection on this host: whose client request is this?
 *
 * TCP numbers every byte alike at both ends (RFC 9293 3.4), so the client's address, its port and
 * the sequence number of the request's first byte name one message on this host; no clock is
 * compared. The server's address is left out: translation on the way may have changed it. For
 * Unix sockets see join_unix.c. Method and target must agree at both ends, as a veto.
 *
 * Either end may be reported first. A server exchange whose peer could be on this host waits for
 * the other end a moment; longer when the other end of the connection is known to be traced. On a
 * connection where that was in vain nothing waits any more until some end is met that may be its
 * other one: then only a request whose client's record comes after its server's is missed.
 */
#include "correlate/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

struct tuple {
	uint8_t local[16], remote[16];
	uint16_t local_port, remote_port;
	uint32_t pad;
};

struct end {
	uint8_t addr[16];
	uint64_t sk;
	uint32_t port;
	uint32_t family;
};

static bool is_loopback(const uint8_t a[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const uint8_t one[16] = {[15] = 1};

	return (!memcmp(a, mapped, 12) && a[12] == 127) || !memcmp(a, one, 16);
}

static void addr_key(const uint8_t addr[16], uint64_t key[2])
{
	memcpy(key, addr, 16);
}

static bool remote_is_local(struct clew_correlate *co, const struct clew_conn *conn)
{
	uint8_t local[16], remote[16];
	uint64_t key[2];

	if (conn->family == AF_UNIX)
		return true;
	co_ids__addr(conn->family, conn->remote_addr, remote);
	if (is_loopback(remote))
		return true;
	co_ids__addr(conn->family, conn->local_addr, local);
	if (!memcmp(local, remote, 16))
		return true;
	addr_key(remote, key);
	return co_map__get(&co->locals, key[0], key[1]) != NULL;
}

/* What all joins of the connection need; the same for each of its exchanges. */
static void describe(struct co_conn *conn, const struct clew_exchange *ex)
{
	const struct clew_conn *k = ex->conn;
	struct tuple peer;
	struct end end;

	memset(&end, 0, sizeof(end));
	if (conn->un) {
		end.family = AF_UNIX;
		end.sk = ex->is_server ? conn->un->peer_sk : conn->un->sk;
		conn->end = co_ids__hash(&end, sizeof(end));
		return;
	}
	memset(&peer, 0, sizeof(peer));
	co_ids__addr(k->family, k->remote_addr, peer.local);
	co_ids__addr(k->family, k->local_addr, peer.remote);
	peer.local_port = k->remote_port;
	peer.remote_port = k->local_port;
	conn->peer = co_ids__hash(&peer, sizeof(peer));
	memcpy(end.addr, ex->is_server ? peer.local : peer.remote, 16);
	end.port = ex->is_server ? k->remote_port : k->local_port;
	conn->end = co_ids__hash(&end, sizeof(end));
	/* one loopback address per network namespace */
	if (is_loopback(end.addr))
		conn->netns = k->netns;
}

void co_join__opened(struct clew_correlate *co, const struct clew_conn_open *ev)
{
	struct co_conn *conn = co_conn(co, ev->conn_id, ev->h.pid);
	struct tuple t;
	uint64_t key[2];

	if (!conn)
		return;
	if (ev->family == AF_UNIX) {
		if (!conn->un)
			conn->un = co_unix__new(ev);
		if (conn->un)
			co_map__put(&co->unix_ends, ev->sk, 0, (void *)(uintptr_t)ev->conn_id);
		co->met++;
		return;
	}
	memset(&t, 0, sizeof(t));
	co_ids__addr(ev->family, ev->local_addr, t.local);
	co_ids__addr(ev->family, ev->remote_addr, t.remote);
	t.local_port = ev->local_port;
	t.remote_port = ev->remote_port;
	addr_key(t.local, key);
	if (!co_map__get(&co->locals, key[0], key[1])) {
		co_map__put(&co->locals, key[0], key[1], (void *)1);
		co->met++;
	}
	if (ev->role == CLEW_ROLE_SERVER)
		return;
	conn->tuple = co_ids__hash(&t, sizeof(t));
	conn->has_tuple = 1;
	co_map__put(&co->tuples, conn->tuple, 0, (void *)(uintptr_t)ev->conn_id);
	co->met++;
}

void co_join__closed(struct clew_correlate *co, struct co_conn *conn)
{
	if (conn->has_tuple)
		co_map__del_if(&co->tuples, conn->tuple, 0, (void *)(uintptr_t)conn->id);
	if (conn->un)
		co_unix__closed(co, conn);
}

/* Is a connection of a traced process known whose two ends are these, the other way round? */
static bool peer_is_traced(struct clew_correlate *co, const struct co_conn *conn)
{
	if (conn->un)
		return co_unix__peer_is_traced(co, conn);
	return co_map__get(&co->tuples, conn->peer, 0) != NULL;
}

/* Can nobody be found at the other end, as far as is known? */
static bool nobody(struct clew_correlate *co, struct co_conn *conn, const struct clew_conn *k)
{
	if (conn->other != CO_OTHER_UNKNOWN && conn->checked == co->met)
		return true;
	conn->checked = co->met;
	if (conn->other == CO_OTHER_ALONE && !peer_is_traced(co, conn))
		return true;
	if (conn->other != CO_OTHER_ALONE && !remote_is_local(co, k)) {
		conn->other = CO_OTHER_FAR;
		return true;
	}
	conn->other = CO_OTHER_UNKNOWN;
	return false;
}

/* False: there is nothing to be joined with. */
static bool prepare(struct clew_correlate *co, struct co_node *node)
{
	struct co_conn *conn = node->conn;

	if (conn->gone || nobody(co, conn, node->ex->conn))
		return false;
	if (node->ex->conn->family == AF_UNIX && !conn->un)
		return false;
	if (!conn->end)
		describe(conn, node->ex);
	node->pos = (uint32_t)node->ex->req.pos;
	node->what = co_ids__what(node->ex);
	return true;
}

static bool agree(struct clew_correlate *co, const struct co_node *c, const struct co_node *s,
		  enum clew_link *ret_link)
{
	const struct co_conn *a = c->conn, *b = s->conn;

	if (c->what != s->what)
		return false;
	if (a->un || b->un)
		return a->un && b->un && co_unix__agree(co, c, s, ret_link);
	*ret_link = CLEW_LINK_EXACT;
	return !a->netns || !b->netns || a->netns == b->netns;
}

void co_join__forget(struct clew_correlate *co, struct co_node *node)
{
	struct co_map *map = node->is_server ? &co->servers : &co->clients;

	if (node->is_server && node->conn->un)
		co_unix__settled(co, node);
	if (!node->joinable)
		return;
	node->joinable = 0;
	co_map__del_if(map, node->conn->end, node->pos, node);
}

static void enter(struct clew_correlate *co, struct co_map *map, struct co_node *node)
{
	co_node__get(node);
	if (co_map__put(map, node->conn->end, node->pos, node))
		co_node__put(co, node);
	else
		node->joinable = 1;
}

void co_join__pair(struct clew_correlate *co, struct co_node *c, struct co_node *s,
		   enum clew_link link, const char *evidence)
{
	co_node__get(c);
	co_node__get(s);
	c->joined = 1;
	co_join__forget(co, c);
	co_join__forget(co, s);
	co_link__server(co, s, c, link, evidence);
	co_node__put(co, s);
	co_node__put(co, c);
}

/* Two nodes have one key. */
static bool join(struct clew_correlate *co, struct co_node *c, struct co_node *s)
{
	enum clew_link link;

	if (!agree(co, c, s, &link)) {
		co->stats.conflicts++;
		if (s->conn->un)
			co_unix__contradicted(co, s->conn);
		return false;
	}
	co_join__pair(co, c, s, link,
		      link == CLEW_LINK_EXACT ? co_ev_socket_pair : co_ev_pair_order);
	return true;
}

void co_join__client(struct clew_correlate *co, struct co_node *node)
{
	struct co_node *s, *old;

	if (!prepare(co, node))
		return;
	if (node->conn->un && co_unix__client(co, node))
		return;
	s = co_map__get(&co->servers, node->conn->end, node->pos);
	if (s && join(co, node, s))
		return;
	old = co_map__get(&co->clients, node->conn->end, node->pos);
	if (old && !old->done && old->what == node->what) {
		/* two requests with one name: neither may be taken for the other */
		co->stats.conflicts++;
		old->joined = node->joined = 1;
		co_join__forget(co, old);
		return;
	}
	if (old)
		co_join__forget(co, old);
	enter(co, &co->clients, node);
}

void co_join__server(struct clew_correlate *co, struct co_node *node)
{
	struct co_node *c, *old;
	int err = 0;

	if (!prepare(co, node)) {
		co_link__server(co, node, NULL, CLEW_LINK_NONE, NULL);
		return;
	}
	if (node->conn->un)
		err = co_unix__server(co, node);
	if (err > 0)
		return;
	if (!err) {
		c = co_map__get(&co->clients, node->conn->end, node->pos);
		if (c && join(co, c, node))
			return;
		old = co_map__get(&co->servers, node->conn->end, node->pos);
		if (old)
			co_join__forget(co, old);
		enter(co, &co->servers, node);
	}
	node->wait = CO_WAIT_JOIN;
	co_list__add_tail(&co->grace[CO_GRACE_FIRST], &node->wait_link);
	if (node->conn->un)
		co_unix__waits(co, node);
}

static void in_vain(struct clew_correlate *co, struct co_node *node, bool traced)
{
	node->conn->other = traced ? CO_OTHER_UNKNOWN : CO_OTHER_ALONE;
	node->conn->checked = co->met;
	co_join__forget(co, node);
	co_link__server(co, node, NULL, CLEW_LINK_NONE, NULL);
}

void co_join__vain(struct clew_correlate *co, struct co_node *node)
{
	in_vain(co, node, peer_is_traced(co, node->conn));
}

void co_join__expired(struct clew_correlate *co, struct co_node *node, int queue)
{
	bool traced = peer_is_traced(co, node->conn);

	if (traced && queue != CO_GRACE_WINDOW) {
		co_list__del(&node->wait_link);
		co_list__add_tail(&co->grace[CO_GRACE_WINDOW], &node->wait_link);
		return;
	}
	in_vain(co, node, traced);
}
