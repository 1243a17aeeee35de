/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h - makes the streams that the correlate stage sees, without the stages before it: both
 * ends of connections, requests and responses with who ran, edges; collects what is released.
 */
#ifndef CLEW_TEST_SIM_H
#define CLEW_TEST_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "correlate/internal.h"

#define SIM_MS 1000000ULL
#define INLINE static inline __attribute__((unused))

/* Who runs. */
struct who {
	uint32_t pid, tid, turn;
	uint8_t kind, watch;
	bool uvloop;
	uint16_t flags;
	uint64_t ctx, ref;
};

struct sim_ex {
	struct clew_exchange ex; /* first */
	struct sim *sim;
	struct sim_ex *next;
	int released;
	bool dropped;
	struct clew_placement place;
	char state[600];
	size_t state_len;
	int tag;
};

struct sim {
	struct clew_correlate *co;
	struct clew_config cfg;
	uint64_t now, next_id;
	uint16_t next_port;
	struct sim_ex *all;
	int nr_released;
};

/* A TCP connection: one struct clew_conn for each end whose process is traced. */
struct sim_conn {
	struct clew_conn c, s; /* pid 0: that end is not seen */
	uint64_t c2s, s2c;
	bool mute; /* make no events, only exchanges */
};

INLINE void sim_release(void *arg, struct clew_exchange *ex, const struct clew_placement *place)
{
	struct sim_ex *se = (struct sim_ex *)ex;

	(void)arg;
	assert_false(se->dropped);
	se->released++;
	assert_int_equal(se->released, 1);
	se->place = *place;
	if (place->tracestate_of) {
		se->state_len = place->tracestate.len;
		assert_true(se->state_len < sizeof(se->state));
		memcpy(se->state, place->tracestate_of->text + place->tracestate.off,
		       se->state_len);
	}
	se->sim->nr_released++;
}

INLINE void sim_init(struct sim *sim)
{
	const struct clew_correlate_sink sink = {.arg = sim, .release = sim_release};

	if (!sim->cfg.correlate.window_ms)
		sim->cfg.correlate.window_ms = 2000;
	if (!sim->cfg.correlate.window_bytes)
		sim->cfg.correlate.window_bytes = 64 << 20;
	if (!sim->cfg.correlate.max_open_exchanges)
		sim->cfg.correlate.max_open_exchanges = 100000;
	sim->cfg.capture.max_connections = 65536;
	sim->now = 1000 * SIM_MS;
	sim->next_id = 1;
	sim->next_port = 20000;
	sim->co = clew_correlate__new(&sim->cfg, &sink);
	assert_non_null(sim->co);
}

INLINE void sim_free(struct sim *sim)
{
	struct sim_ex *se;

	clew_correlate__free(sim->co);
	while ((se = sim->all)) {
		sim->all = se->next;
		free(se);
	}
	memset(sim, 0, sizeof(*sim));
}

INLINE void sim_tick(struct sim *sim, uint64_t ms)
{
	sim->now += ms * SIM_MS;
	clew_correlate__tick(sim->co, sim->now);
}

INLINE struct clew_event sim_head(struct sim *sim, uint8_t type, size_t size, const struct who *w)
{
	struct clew_event h = {.version = CLEW_EVENT_VERSION,
			       .type = type,
			       .size = (uint16_t)size,
			       .ts = sim->now};

	if (w) {
		h.pid = w->pid;
		h.tid = w->tid;
		h.turn = w->turn;
	}
	return h;
}

INLINE void sim_runtime(struct sim *sim, uint32_t pid, uint16_t runtime)
{
	struct who w = {.pid = pid, .tid = pid};
	struct clew_proc_info info = {.start_time = 7, .runtime = runtime};

	info.h = sim_head(sim, CLEW_EV_PROC_INFO, sizeof(info), &w);
	clew_correlate__event(sim->co, &info.h);
}

INLINE void sim_opened(struct sim *sim, const struct clew_conn *conn)
{
	struct who w = {.pid = conn->pid, .tid = conn->pid};
	struct clew_conn_open ev = {.conn_id = conn->id,
				    .sk = conn->sk,
				    .peer_sk = conn->peer_sk,
				    .family = conn->family,
				    .role = conn->role,
				    .from_start = conn->from_start,
				    .netns = conn->netns,
				    .local_port = conn->local_port,
				    .remote_port = conn->remote_port};

	memcpy(ev.local_addr, conn->local_addr, 16);
	memcpy(ev.remote_addr, conn->remote_addr, 16);
	ev.h = sim_head(sim, CLEW_EV_CONN_OPEN, sizeof(ev), &w);
	clew_correlate__event(sim->co, &ev.h);
}

INLINE void sim_closed(struct sim *sim, const struct clew_conn *conn, uint32_t reason)
{
	struct who w = {.pid = conn->pid, .tid = conn->pid};
	struct clew_conn_close ev = {.conn_id = conn->id, .reason = reason};

	ev.h = sim_head(sim, CLEW_EV_CONN_CLOSE, sizeof(ev), &w);
	clew_correlate__event(sim->co, &ev.h);
}

/* Over loopback; an end with pid 0 belongs to a process that is not traced. */
INLINE void sim_connect(struct sim *sim, struct sim_conn *conn, uint32_t client, uint32_t server,
			uint16_t port)
{
	static const uint8_t lo[4] = {127, 0, 0, 1};

	memset(conn, 0, sizeof(*conn));
	conn->c2s = sim->next_id * 100003;
	conn->s2c = sim->next_id * 900007;
	conn->c = (struct clew_conn){.id = sim->next_id++,
				     .pid = client,
				     .family = 2,
				     .role = CLEW_ROLE_CLIENT,
				     .from_start = 1,
				     .local_port = sim->next_port++,
				     .remote_port = port};
	memcpy(conn->c.local_addr, lo, 4);
	memcpy(conn->c.remote_addr, lo, 4);
	conn->s = conn->c;
	conn->s.id = sim->next_id++;
	conn->s.pid = server;
	conn->s.role = CLEW_ROLE_SERVER;
	conn->s.local_port = conn->c.remote_port;
	conn->s.remote_port = conn->c.local_port;
	if (client)
		sim_opened(sim, &conn->c);
	if (server)
		sim_opened(sim, &conn->s);
}

INLINE void sim_segment(struct sim *sim, const struct clew_conn *conn, const struct who *w,
			uint8_t dir, uint64_t pos, uint32_t len)
{
	struct clew_segment seg = {.conn_id = conn->id,
				   .ctx = w->ctx,
				   .ref = w->ref,
				   .seq = (uint32_t)pos,
				   .len = len,
				   .flags = w->flags,
				   .dir = dir,
				   .ctx_kind = w->kind,
				   .watch = w->watch};

	seg.h = sim_head(sim, CLEW_EV_SEGMENT, sizeof(seg), w);
	clew_correlate__event(sim->co, &seg.h);
}

INLINE struct clew_feed sim_feed(const struct sim *sim, const struct who *w, uint64_t pos)
{
	return (struct clew_feed){.ts = sim->now,
				  .pos = pos,
				  .pid = w->pid,
				  .tid = w->tid,
				  .turn = w->turn,
				  .ctx = w->ctx,
				  .ref = w->ref,
				  .ctx_kind = w->kind,
				  .seg_flags = w->flags,
				  .watch = w->watch};
}

INLINE struct clew_text sim_text(struct clew_exchange *ex, const char *s)
{
	struct clew_text t = {.off = ex->text_used, .len = (uint32_t)strlen(s)};

	assert_true(ex->text_used + t.len <= CLEW_EXCHANGE_TEXT);
	memcpy(ex->text + ex->text_used, s, t.len);
	ex->text_used += t.len;
	return t;
}

/* Headers of the next request; NULL: none. */
struct sim_head {
	const char *traceparent, *tracestate;
	bool twice;
};

INLINE struct sim_ex *sim_ex(struct sim *sim, struct clew_conn *conn, bool server,
			     const struct who *w, uint64_t pos, const char *target,
			     const struct sim_head *head)
{
	struct sim_ex *se = calloc(1, sizeof(*se));

	assert_non_null(se);
	se->sim = sim;
	se->next = sim->all;
	sim->all = se;
	se->ex.conn = conn;
	se->ex.is_server = server;
	se->ex.text_used = 1; /* offset 0 with length 0 means absent */
	se->ex.method = sim_text(&se->ex, "GET");
	se->ex.target = sim_text(&se->ex, target);
	if (head && head->traceparent)
		se->ex.traceparent = sim_text(&se->ex, head->traceparent);
	if (head && head->tracestate)
		se->ex.tracestate = sim_text(&se->ex, head->tracestate);
	if (head)
		se->ex.duplicate_traceparent = head->twice;
	se->ex.req = sim_feed(sim, w, pos);
	se->ex.state = CLEW_EX_REQUEST;
	return se;
}

/* One end of a request: the segment, then the exchange. */
INLINE struct sim_ex *sim_request_at(struct sim *sim, struct sim_conn *conn, bool server,
				     const struct who *w, uint64_t pos, const char *target,
				     const struct sim_head *head)
{
	struct clew_conn *end = server ? &conn->s : &conn->c;
	struct sim_ex *se;

	sim->now += 1000;
	sim_segment(sim, end, w, server ? CLEW_RECV : CLEW_SEND, pos, 100);
	se = sim_ex(sim, end, server, w, pos, target, head);
	clew_correlate__request(sim->co, &se->ex);
	return se;
}

/* The client writes the next request of the connection. */
INLINE struct sim_ex *sim_send(struct sim *sim, struct sim_conn *conn, const struct who *w,
			       const char *target)
{
	uint64_t pos = conn->c2s;

	conn->c2s += 100;
	return sim_request_at(sim, conn, false, w, pos, target, NULL);
}

/* The server reads a request; from a client that is not traced, so it moves the position. */
INLINE struct sim_ex *sim_recv(struct sim *sim, struct sim_conn *conn, const struct who *w,
			       const char *target)
{
	uint64_t pos = conn->c2s;

	conn->c2s += 100;
	return sim_request_at(sim, conn, true, w, pos, target, NULL);
}

/* The server reads what the client wrote last. */
INLINE struct sim_ex *sim_recv_same(struct sim *sim, struct sim_conn *conn, const struct who *w,
				    const char *target)
{
	return sim_request_at(sim, conn, true, w, conn->c2s - 100, target, NULL);
}

INLINE void sim_response(struct sim *sim, struct sim_ex *se, const struct who *w)
{
	sim->now += 1000;
	sim_segment(sim, se->ex.conn, w, se->ex.is_server ? CLEW_SEND : CLEW_RECV, 5000, 50);
	se->ex.resp = sim_feed(sim, w, 0);
	se->ex.status = 200;
	se->ex.state = CLEW_EX_RESPONSE;
	clew_correlate__response(sim->co, &se->ex);
}

INLINE void sim_done(struct sim *sim, struct sim_ex *se)
{
	se->ex.resp_end_ts = sim->now;
	se->ex.state = CLEW_EX_DONE;
	clew_correlate__done(sim->co, &se->ex);
}

INLINE void sim_answer(struct sim *sim, struct sim_ex *se, const struct who *w)
{
	sim_response(sim, se, w);
	sim_done(sim, se);
}

INLINE void sim_drop(struct sim *sim, struct sim_ex *se)
{
	se->dropped = true;
	clew_correlate__dropped(sim->co, &se->ex, CLEW_XDROP_GAP);
}

INLINE void sim_edge(struct sim *sim, uint16_t kind, const struct who *w, uint64_t child,
		     uint64_t ref)
{
	struct clew_edge e = {.kind = kind,
			      .ctx = w->ctx,
			      .child = child,
			      .ref = ref,
			      .conn_id = kind == CLEW_EDGE_PY_TASK ? w->ref : 0,
			      .flags = w->uvloop ? CLEW_EDGE_UVLOOP : 0};

	sim->now += 1000;
	e.h = sim_head(sim, CLEW_EV_EDGE, sizeof(e), w);
	clew_correlate__event(sim->co, &e.h);
}

INLINE void sim_go(struct sim *sim, uint16_t kind, const struct who *w, uint64_t conn_id,
		   uint64_t ctx0, uint64_t ctx1)
{
	struct clew_edge e = {.kind = kind, .ctx = w->ctx, .conn_id = conn_id};

	sim->now += 1000;
	e.chain[0] = ctx0;
	e.chain[1] = ctx1;
	e.chain_len = ctx1 ? 2 : ctx0 ? 1 : 0;
	e.h = sim_head(sim, CLEW_EV_EDGE, sizeof(e), w);
	clew_correlate__event(sim->co, &e.h);
}

/* `w`, a goroutine that `parent` started (which `grand` did), calls on a connection, or is about
 * to get the answer there; bit i of `waits`: the ith of them waits for it, or with CLEW_GO_SENDS
 * for a place; `object`: what holds the WaitGroup that `parent` waits for, or the places, or 0. */
INLINE void sim_born_in(struct sim *sim, const struct who *w, uint64_t conn_id, uint64_t parent,
			uint64_t grand, uint64_t waits, uint64_t object, bool answer)
{
	struct clew_edge e = {.kind = CLEW_EDGE_GO_BORN,
			      .ctx = w->ctx,
			      .conn_id = conn_id,
			      .ref = waits,
			      .child = answer,
			      .chain = {parent, grand, 0, 0, object},
			      .chain_len = CLEW_GO_LEVELS + (grand ? 2 : 1)};

	sim->now += 1000;
	e.h = sim_head(sim, CLEW_EV_EDGE, sizeof(e), w);
	clew_correlate__event(sim->co, &e.h);
}

INLINE void sim_born(struct sim *sim, const struct who *w, uint64_t conn_id, uint64_t parent,
		     uint64_t grand, uint64_t waits, bool answer)
{
	sim_born_in(sim, w, conn_id, parent, grand, waits, 0, answer);
}

/* The name of what a job gives. */
INLINE uint64_t sim_java_task(const struct who *job)
{
	return 0x700000000000 + (job->ctx << 32) + ((uint32_t)job->ref << 3);
}

INLINE void sim_java_edge(struct sim *sim, const struct who *w, struct clew_edge *e)
{
	e->ctx = w->ctx;
	e->ref = w->ref;
	sim->now += 1000;
	e->h = sim_head(sim, CLEW_EV_EDGE, sizeof(*e), w);
	clew_correlate__event(sim->co, &e->h);
}

/* The answer of the call on `conn_id` comes in to `w`; `waiter` waits for its job, or nobody. */
INLINE void sim_java_wait(struct sim *sim, const struct who *w, uint64_t conn_id,
			  const struct who *waiter)
{
	struct clew_edge e = {.kind = CLEW_EDGE_JAVA_WAIT,
			      .conn_id = conn_id,
			      .child = waiter ? waiter->ctx : 0,
			      .chain = {waiter ? waiter->ref : 0, sim_java_task(w)},
			      .chain_len = 2};

	sim_java_edge(sim, w, &e);
}

/* The name of what the call whose answer comes in next will give. */
INLINE uint64_t sim_java_future(const struct sim *sim)
{
	return 0x600000000000 + sim->now;
}

/* java.net.http's thread, `w`, reads the answer on `conn_id`, for which `waiter` waits, or nobody.
 */
INLINE void sim_java_call(struct sim *sim, const struct who *w, uint64_t conn_id,
			  const struct who *waiter)
{
	struct clew_edge e = {.kind = CLEW_EDGE_JAVA_CALL,
			      .conn_id = conn_id,
			      .child = waiter ? waiter->ctx : 0,
			      .chain = {waiter ? waiter->ref : 0, sim_java_future(sim)},
			      .chain_len = 2};

	sim_java_edge(sim, w, &e);
}

/* `waiter` waits for a job, and holds what another one will give. */
INLINE void sim_java_held(struct sim *sim, const struct who *waiter, uint64_t task)
{
	struct clew_edge e = {.kind = CLEW_EDGE_JAVA_HELD, .child = task};

	sim_java_edge(sim, waiter, &e);
}

INLINE void sim_lost(struct sim *sim, uint64_t count)
{
	struct clew_stats st = {.count = {0}};

	st.count[CLEW_STAT_DROP_RING_FULL] = count;
	st.h = sim_head(sim, CLEW_EV_STATS, sizeof(st), NULL);
	clew_correlate__event(sim->co, &st.h);
}

/* Wait until everything must have left. */
INLINE void sim_settle(struct sim *sim)
{
	sim_tick(sim, 300);
	sim_tick(sim, 2100);
	sim_tick(sim, 2100);
}

#define assert_parent(child, par, how, ev)                                                         \
	do {                                                                                       \
		assert_int_equal((child)->released, 1);                                            \
		assert_int_equal((child)->place.has_parent, 1);                                    \
		assert_memory_equal((child)->place.parent_span_id, (par)->place.span_id, 8);       \
		assert_memory_equal((child)->place.trace_id, (par)->place.trace_id, 16);           \
		assert_int_equal((child)->place.link, (how));                                      \
		assert_string_equal((child)->place.evidence, (ev));                                \
	} while (0)

#define assert_root(child)                                                                         \
	do {                                                                                       \
		assert_int_equal((child)->released, 1);                                            \
		assert_int_equal((child)->place.has_parent, 0);                                    \
		assert_int_equal((child)->place.link, CLEW_LINK_NONE);                             \
	} while (0)

#endif
