/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.c - both ends of one connection on this host: whose client request is this?
 *
 * TCP numbers every byte alike at both ends (RFC 9293 3.4), so the client's address, its port and
 * the sequence number of the request's first byte name one message on this host; no clock is
 * compared. A Unix stream socket names its ends by their kernel addresses, which are reused:
 * there both ends must also be the latest known owners of those addresses, and both must have
 * been seen from their first byte. Method and target must agree at both ends, as a veto.
 *
 * Either end may be reported first. A server exchange whose peer could be on this host waits for
 * the other end a moment; longer when the other end of the connection is known to be traced.
 */
#include "correlate/internal.h"

#include <string.h>
#include <sys/socket.h>

struct tuple {
	uint8_t local[16], remote[16];
	uint16_t local_port, remote_port;
	uint32_t pad;
};

struct join_key {
	uint8_t addr[16];
	uint64_t sk;
	uint64_t pos;
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

static void key_of(const struct clew_exchange *ex, uint64_t ret[2])
{
	const struct clew_conn *conn = ex->conn;
	struct join_key key;

	memset(&key, 0, sizeof(key));
	if (conn->family == AF_UNIX) {
		key.family = AF_UNIX;
		key.sk = ex->is_server ? conn->peer_sk : conn->sk;
		key.pos = ex->req.pos;
	} else {
		co_ids__addr(conn->family, ex->is_server ? conn->remote_addr : conn->local_addr,
			     key.addr);
		key.port = ex->is_server ? conn->remote_port : conn->local_port;
		key.pos = (uint32_t)ex->req.pos;
	}
	co_ids__hash128(&key, sizeof(key), ret);
}

static void tuple_key(const struct tuple *t, uint64_t ret[2])
{
	co_ids__hash128(t, sizeof(*t), ret);
}

void co_join__opened(struct clew_correlate *co, const struct clew_conn_open *ev)
{
	struct co_conn *conn = co_conn(co, ev->conn_id, ev->h.pid);
	struct tuple t;
	uint64_t key[2];

	if (!conn)
		return;
	conn->sk = ev->sk;
	if (ev->family == AF_UNIX) {
		co_map__put(&co->unix_ends, ev->sk, 0, (void *)(uintptr_t)ev->conn_id);
		return;
	}
	memset(&t, 0, sizeof(t));
	co_ids__addr(ev->family, ev->local_addr, t.local);
	co_ids__addr(ev->family, ev->remote_addr, t.remote);
	t.local_port = ev->local_port;
	t.remote_port = ev->remote_port;
	addr_key(t.local, key);
	if (!co_map__get(&co->locals, key[0], key[1]))
		co_map__put(&co->locals, key[0], key[1], (void *)1);
	if (ev->role == CLEW_ROLE_SERVER)
		return;
	tuple_key(&t, conn->tuple);
	conn->has_tuple = 1;
	co_map__put(&co->tuples, conn->tuple[0], conn->tuple[1], (void *)(uintptr_t)ev->conn_id);
}

void co_join__closed(struct clew_correlate *co, struct co_conn *conn)
{
	void *id = (void *)(uintptr_t)conn->id;

	if (conn->has_tuple)
		co_map__del_if(&co->tuples, conn->tuple[0], conn->tuple[1], id);
	if (conn->sk)
		co_map__del_if(&co->unix_ends, conn->sk, 0, id);
}

/* Is a connection of a traced process known whose two ends are these, the other way round? */
static bool peer_is_traced(struct clew_correlate *co, const struct clew_conn *conn)
{
	struct tuple t;
	uint64_t key[2];

	if (conn->family == AF_UNIX)
		return co_map__get(&co->unix_ends, conn->peer_sk, 0) != NULL;
	memset(&t, 0, sizeof(t));
	co_ids__addr(conn->family, conn->remote_addr, t.local);
	co_ids__addr(conn->family, conn->local_addr, t.remote);
	t.local_port = conn->remote_port;
	t.remote_port = conn->local_port;
	tuple_key(&t, key);
	return co_map__get(&co->tuples, key[0], key[1]) != NULL;
}

static bool is_current(struct clew_correlate *co, const struct co_node *node)
{
	return co_map__get(&co->unix_ends, node->sk, 0) == (void *)(uintptr_t)node->conn_id;
}

static bool agree(struct clew_correlate *co, const struct co_node *c, const struct co_node *s)
{
	if (c->what != s->what)
		return false;
	if (s->sk || c->sk)
		return c->sk == s->peer_sk && s->sk == c->peer_sk && is_current(co, c) &&
		       is_current(co, s);
	/* one loopback address per network namespace */
	return !c->netns || !s->netns || c->netns == s->netns;
}

/* What agree() needs of a connection that may be gone by then. */
static bool prepare(struct co_node *node)
{
	const struct clew_conn *conn = node->ex->conn;
	uint8_t client[16];

	if (conn->family == AF_UNIX) {
		node->sk = conn->sk;
		node->peer_sk = conn->peer_sk;
		return conn->from_start && conn->sk && conn->peer_sk;
	}
	co_ids__addr(conn->family, node->is_server ? conn->remote_addr : conn->local_addr, client);
	if (is_loopback(client))
		node->netns = conn->netns;
	return true;
}

void co_join__forget(struct clew_correlate *co, struct co_node *node)
{
	struct co_map *map = node->is_server ? &co->servers : &co->clients;

	if (!node->joinable)
		return;
	node->joinable = 0;
	co_map__del_if(map, node->join_key[0], node->join_key[1], node);
}

static void enter(struct clew_correlate *co, struct co_map *map, struct co_node *node)
{
	co_node__get(node);
	if (co_map__put(map, node->join_key[0], node->join_key[1], node))
		co_node__put(co, node);
	else
		node->joinable = 1;
}

void co_join__client(struct clew_correlate *co, struct co_node *node)
{
	struct co_node *s, *old;

	if (!remote_is_local(co, node->ex->conn) || !prepare(node))
		return;
	key_of(node->ex, node->join_key);
	s = co_map__get(&co->servers, node->join_key[0], node->join_key[1]);
	if (s && agree(co, node, s)) {
		node->joined = 1;
		co_node__get(s);
		co_join__forget(co, s);
		co_link__server(co, s, node);
		co_node__put(co, s);
		return;
	}
	if (s)
		co->stats.conflicts++;
	old = co_map__get(&co->clients, node->join_key[0], node->join_key[1]);
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
	struct co_conn *conn = co_conn__find(co, node->conn_id);
	struct co_node *c, *old;

	if (!remote_is_local(co, node->ex->conn) || !prepare(node)) {
		co_link__server(co, node, NULL);
		return;
	}
	key_of(node->ex, node->join_key);
	c = co_map__get(&co->clients, node->join_key[0], node->join_key[1]);
	if (c && agree(co, c, node)) {
		c->joined = 1;
		co_node__get(c);
		co_join__forget(co, c);
		co_link__server(co, node, c);
		co_node__put(co, c);
		return;
	}
	old = co_map__get(&co->servers, node->join_key[0], node->join_key[1]);
	if (c)
		co->stats.conflicts++;
	if (old)
		co_join__forget(co, old);
	enter(co, &co->servers, node);
	node->wait = CO_WAIT_JOIN;
	co_list__add_tail(&co->grace[conn && conn->lonely ? CO_GRACE_SHORT : CO_GRACE_LONG],
			  &node->wait_link);
}

static void in_vain(struct clew_correlate *co, struct co_node *node, bool lonely)
{
	struct co_conn *conn = co_conn__find(co, node->conn_id);

	if (conn)
		conn->lonely = lonely;
	co_join__forget(co, node);
	co_link__server(co, node, NULL);
}

void co_join__vain(struct clew_correlate *co, struct co_node *node)
{
	in_vain(co, node, !peer_is_traced(co, node->ex->conn));
}

void co_join__expired(struct clew_correlate *co, struct co_node *node, int queue)
{
	bool traced = peer_is_traced(co, node->ex->conn);

	if (traced && queue != CO_GRACE_WINDOW) {
		co_list__del(&node->wait_link);
		co_list__add_tail(&co->grace[CO_GRACE_WINDOW], &node->wait_link);
		return;
	}
	in_vain(co, node, !traced);
}
