/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ids.c - span and trace ids as functions of what was seen.
 *
 * A span id is a hash of the connection's two ends and the stream position of the request's
 * first byte, which for TCP both hosts know alike: an agent at the far end can compute the id of
 * the client span without a byte on the wire (RFC 9293 3.4: sequence numbers are common to both
 * ends). Nothing in it depends on time. A root's trace id adds time, process and connection;
 * its last 56 bits are uniformly distributed, as consistent probability sampling requires (W3C
 * Trace Context Level 2, random-trace-id flag).
 */
#define XXH_INLINE_ALL
#include "correlate/internal.h"

#include <string.h>
#include <sys/socket.h>
#include <xxhash.h>

#define SEED_SPAN  0x636c65772d737061ULL
#define SEED_TRACE 0x636c65772d747261ULL
#define SEED_JOIN  0x636c65772d6a6f69ULL
#define WHAT_BYTES 128 /* of the target; the two ends may have cut a longer one differently */

/* IPv4, as it is or mapped into IPv6, becomes ::ffff:a.b.c.d; two ends may differ in that. */
void co_ids__addr(uint16_t family, const uint8_t addr[16], uint8_t ret[16])
{
	if (family == AF_INET6) {
		memcpy(ret, addr, 16);
		return;
	}
	memset(ret, 0, 10);
	ret[10] = ret[11] = 0xff;
	memcpy(ret + 12, addr, 4);
}

struct span_key {
	uint8_t client[16], server[16];
	uint16_t client_port, server_port;
	uint32_t pos;
	uint64_t conn_id;
	uint64_t wide_pos;
	uint8_t role;
	uint8_t pad[7];
};

void co_ids__span(const struct clew_exchange *ex, uint8_t id[8])
{
	const struct clew_conn *conn = ex->conn;
	struct span_key key;
	uint64_t h;

	memset(&key, 0, sizeof(key));
	key.role = ex->is_server ? CLEW_ROLE_SERVER : CLEW_ROLE_CLIENT;
	if (conn->family == AF_UNIX) {
		key.conn_id = conn->id;
		key.wide_pos = ex->req.pos;
	} else {
		uint8_t *local = ex->is_server ? key.server : key.client;
		uint8_t *remote = ex->is_server ? key.client : key.server;

		co_ids__addr(conn->family, conn->local_addr, local);
		co_ids__addr(conn->family, conn->remote_addr, remote);
		key.client_port = ex->is_server ? conn->remote_port : conn->local_port;
		key.server_port = ex->is_server ? conn->local_port : conn->remote_port;
		key.pos = (uint32_t)ex->req.pos;
	}
	h = XXH3_64bits_withSeed(&key, sizeof(key), SEED_SPAN);
	if (!h)
		h = 1;
	memcpy(id, &h, 8);
}

void co_ids__trace(const uint8_t span_id[8], uint64_t ts, uint64_t conn_id, uint32_t pid,
		   uint8_t id[16])
{
	struct {
		uint8_t span_id[8];
		uint64_t ts, conn_id, pid;
	} key;
	XXH128_hash_t h;

	memcpy(key.span_id, span_id, 8);
	key.ts = ts;
	key.conn_id = conn_id;
	key.pid = pid;
	h = XXH3_128bits_withSeed(&key, sizeof(key), SEED_TRACE);
	if (!h.low64 && !h.high64)
		h.low64 = 1;
	memcpy(id, &h.high64, 8);
	memcpy(id + 8, &h.low64, 8);
}

uint64_t co_ids__what(const struct clew_exchange *ex)
{
	uint32_t n = ex->target.len < WHAT_BYTES ? ex->target.len : WHAT_BYTES;
	uint64_t h;

	h = XXH3_64bits_withSeed(ex->text + ex->method.off, ex->method.len, SEED_JOIN);
	return XXH3_64bits_withSeed(ex->text + ex->target.off, n, h);
}

uint64_t co_ids__hash(const void *p, size_t n)
{
	uint64_t h = XXH3_64bits_withSeed(p, n, SEED_JOIN);

	return h ? h : 1;
}

void co_ids__hash128(const void *p, size_t n, uint64_t ret[2])
{
	XXH128_hash_t h = XXH3_128bits_withSeed(p, n, SEED_JOIN);

	ret[0] = h.low64;
	ret[1] = h.high64;
}
