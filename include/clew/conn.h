/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.h - the connection stage: segment events in, exchanges out.
 *
 * Puts each direction into stream order, notices holes and repeats by byte position, picks the
 * protocol by its first bytes, and feeds the parser. One struct clew_conn per socket as seen
 * from one process.
 */
#ifndef CLEW_CONN_H
#define CLEW_CONN_H

#include <clew/config.h>
#include <clew/event.h>
#include <clew/ledger.h>
#include <clew/proto.h>

struct clew_conn_dir {
	uint64_t next;	/* position expected next */
	uint32_t first; /* where it begins: announced, or the first byte that was seen */
	uint8_t announced;
	uint8_t known; /* next is valid */
	uint8_t eof;
};

struct clew_conn {
	uint64_t id;
	uint32_t pid;
	uint16_t family;
	uint8_t role;	    /* enum clew_role; settled by the first message at the latest */
	uint8_t from_start; /* every byte since the connection was made was seen */
	uint8_t state;
	uint8_t closed;
	uint16_t local_port, remote_port;
	uint8_t local_addr[16], remote_addr[16];
	uint32_t netns;
	uint64_t sk, peer_sk;
	uint64_t opened_ts, last_ts;
	struct clew_conn_dir dir[2];
	const struct clew_proto_ops *proto;
	void *parser;
	/* read before what was sent before it has been told of (CLEW_SEG_AHEAD); oldest first */
	struct clew_early *early;
	uint32_t nr_early;
	uint32_t open_exchanges; /* exchanges of this connection that some stage still holds */
	struct clew_conns *owner;
	struct clew_conn *lru_prev, *lru_next; /* least recently fed first */
	uint64_t dying_ts; /* the socket is dead but still held; settled a while after */
};

struct clew_conns;

/* Where exchanges go: the correlate stage. Same meaning as in struct clew_proto_sink. */
struct clew_exchange_sink {
	void *arg;
	void (*request)(void *arg, struct clew_exchange *ex);
	void (*response)(void *arg, struct clew_exchange *ex);
	void (*done)(void *arg, struct clew_exchange *ex);
	void (*dropped)(void *arg, struct clew_exchange *ex, int reason);
	/* No protocol claims the connection: its bytes are wanted no more. May be NULL. */
	void (*ignore)(void *arg, const struct clew_conn *conn);
};

#define CLEW_EVENT_USED (-1)

struct clew_conns *clew_conns__new(const struct clew_config *cfg, struct clew_ledger *ledger,
				   const struct clew_exchange_sink *sink);
/*
 * One event of type SEGMENT, CONN_OPEN, CONN_CLOSE or EXIT, its size checked by the caller.
 * Returns CLEW_EVENT_USED, or why it was of no use (enum clew_event_drop).
 */
int clew_conns__feed(struct clew_conns *conns, const struct clew_event *ev);
/* Forget idle connections; `now` is monotonic ns. */
void clew_conns__tick(struct clew_conns *conns, uint64_t now);
/* Give back an exchange that was handed out; the last stage that holds it calls this. */
void clew_exchange__free(struct clew_exchange *ex);
/* Settle everything that is open (the agent stops). */
void clew_conns__drain(struct clew_conns *conns, uint64_t now);
void clew_conns__free(struct clew_conns *conns);
/* How many connections are known, and how many bytes they take. */
void clew_conns__usage(const struct clew_conns *conns, uint32_t *ret_conns, uint64_t *ret_bytes);

#endif
