/* SPDX-License-Identifier: Apache-2.0 */
/* The connection stage with the real HTTP/1 parser behind it: what becomes of each segment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <clew/conn.h>

#include "../events.h"

#define GET  "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define PID  7
#define SEC  1000000000ULL
#define MANY 16

struct fixture {
	struct clew_config cfg;
	struct clew_ledger ledger;
	struct clew_conns *conns;
	uint64_t ts;
	uint32_t seq[2]; /* of connection 1 */
	unsigned int requests, responses, nr_done, nr_dropped, ignored;
	uint64_t ignored_id;
	int reason; /* of the last dropped one */
	struct {
		char target[32];
		unsigned int status, incomplete, is_server;
		uint64_t pos, conn_id, resp_end_ts, req_body, resp_body;
	} done[MANY];
	struct clew_exchange *held[MANY];
	unsigned int nr_held;
	bool hold; /* do not give done exchanges back */
};

static void on_request(void *arg, struct clew_exchange *ex)
{
	struct fixture *f = arg;

	f->requests++;
	assert_int_equal(ex->state, CLEW_EX_REQUEST);
}

static void on_response(void *arg, struct clew_exchange *ex)
{
	struct fixture *f = arg;

	f->responses++;
	assert_int_not_equal(ex->status, 0);
}

static void on_done(void *arg, struct clew_exchange *ex)
{
	struct fixture *f = arg;

	assert_true(f->nr_done < MANY);
	snprintf(f->done[f->nr_done].target, sizeof(f->done[0].target), "%.*s", (int)ex->target.len,
		 ex->text + ex->target.off);
	f->done[f->nr_done].status = ex->status;
	f->done[f->nr_done].incomplete = ex->incomplete;
	f->done[f->nr_done].is_server = ex->is_server;
	f->done[f->nr_done].pos = ex->req.pos;
	f->done[f->nr_done].conn_id = ex->conn->id;
	f->done[f->nr_done].resp_end_ts = ex->resp_end_ts;
	f->done[f->nr_done].req_body = ex->req_body;
	f->done[f->nr_done].resp_body = ex->resp_body;
	f->nr_done++;
	if (f->hold)
		f->held[f->nr_held++] = ex;
	else
		clew_exchange__free(ex);
}

static void on_dropped(void *arg, struct clew_exchange *ex, int reason)
{
	struct fixture *f = arg;

	(void)ex;
	f->nr_dropped++;
	f->reason = reason;
}

static void on_ignore(void *arg, const struct clew_conn *conn)
{
	struct fixture *f = arg;

	f->ignored++;
	f->ignored_id = conn->id;
}

static void renew(struct fixture *f)
{
	struct clew_exchange_sink sink = {f,	   on_request, on_response,
					  on_done, on_dropped, on_ignore};

	clew_conns__free(f->conns);
	f->conns = clew_conns__new(&f->cfg, &f->ledger, &sink);
	assert_non_null(f->conns);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->cfg.capture.max_connections = 100;
	f->cfg.correlate.max_open_exchanges = 100;
	f->ts = EVENTS_TS;
	f->seq[CLEW_RECV] = 1000;
	f->seq[CLEW_SEND] = 5000;
	renew(f);
	*state = f;
	return 0;
}

/* Whatever a test did: each exchange that was counted came out, or its drop was counted. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	uint64_t dropped = 0;
	uint32_t conns;
	uint64_t bytes;

	clew_conns__drain(f->conns, f->ts);
	for (unsigned int i = 0; i < f->nr_held; i++)
		clew_exchange__free(f->held[i]);
	for (int i = 0; i < CLEW_XDROP_MAX; i++)
		dropped += f->ledger.exchanges_dropped[i];
	assert_int_equal(f->ledger.exchanges_seen, f->nr_done + dropped);
	clew_conns__usage(f->conns, &conns, &bytes);
	assert_int_equal(conns, 0);
	assert_int_equal(bytes, 0);
	clew_conns__free(f->conns);
	free(f);
	return 0;
}

static int open_conn(struct fixture *f, uint64_t id, uint8_t role)
{
	struct clew_conn_open ev = event__open(id, PID, role, f->ts++);

	return clew_conns__feed(f->conns, &ev.h);
}

static int close_conn(struct fixture *f, uint64_t id, uint32_t reason)
{
	struct clew_conn_close ev = event__close(id, PID, reason, f->ts++);

	return clew_conns__feed(f->conns, &ev.h);
}

static int feed_seg(struct fixture *f, struct clew_segment *seg)
{
	int rc = clew_conns__feed(f->conns, &seg->h);

	free(seg);
	return rc;
}

static int at(struct fixture *f, uint64_t id, uint8_t dir, uint32_t seq, const char *text)
{
	size_t n = strlen(text);

	return feed_seg(f, event__segment(id, PID, dir, seq, text, n, n, f->ts++));
}

/* The next bytes of connection 1. */
static int say(struct fixture *f, uint8_t dir, const char *text)
{
	int rc = at(f, 1, dir, f->seq[dir], text);

	f->seq[dir] += (uint32_t)strlen(text);
	return rc;
}

static int eof(struct fixture *f, uint8_t dir)
{
	struct clew_segment *seg = event__segment(1, PID, dir, f->seq[dir], NULL, 0, 0, f->ts++);

	seg->flags = CLEW_SEG_EOF;
	return feed_seg(f, seg);
}

static void test_in_order(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_conn(f, 1, CLEW_ROLE_SERVER), CLEW_EVENT_USED);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(say(f, CLEW_RECV, "POST /a HTTP/1.1\r\n"), CLEW_EVENT_USED);
		assert_int_equal(say(f, CLEW_RECV, "Content-Length: 3\r\n\r\nab"), CLEW_EVENT_USED);
		assert_int_equal(say(f, CLEW_RECV, "c"), CLEW_EVENT_USED);
		assert_int_equal(say(f, CLEW_SEND, OK), CLEW_EVENT_USED);
		assert_int_equal(f->nr_done, i + 1);
		assert_int_equal(f->done[i].status, 200);
		assert_int_equal(f->done[i].incomplete, 0);
		assert_int_equal(f->done[i].req_body, 3);
		assert_int_equal(f->done[i].resp_body, 2);
		assert_int_equal(f->done[i].is_server, 1);
		/* the position is that of the stream, in its low half */
		assert_int_equal((uint32_t)f->done[i].pos, 1000 + i * 42);
	}
	assert_int_equal(f->requests, 3);
	assert_int_equal(f->responses, 3);
}

/* Lost bytes may have held a request or an answer: who answers whom is then not known. */
static void test_hole(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, GET);
	f->seq[CLEW_SEND] += 0;
	say(f, CLEW_SEND, OK);
	say(f, CLEW_RECV, GET);
	f->seq[CLEW_SEND] += 41; /* its answer was lost */
	say(f, CLEW_RECV, GET);
	assert_int_equal(say(f, CLEW_SEND, OK), CLEW_EVENT_USED);
	assert_int_equal(f->nr_done, 1);
	assert_true(f->nr_dropped >= 1);
	assert_int_equal(f->reason, CLEW_XDROP_GAP);
	assert_true(f->ledger.exchanges_dropped[CLEW_XDROP_GAP] >= 1);
}

/* The very first answer is lost: only where the connection began tells. */
static void test_hole_at_the_start(void **state)
{
	struct fixture *f = *state;
	struct clew_conn_open ev = event__open(1, PID, CLEW_ROLE_SERVER, f->ts++);

	ev.has_seq = 1;
	ev.seq[CLEW_RECV] = f->seq[CLEW_RECV];
	ev.seq[CLEW_SEND] = f->seq[CLEW_SEND];
	clew_conns__feed(f->conns, &ev.h);
	say(f, CLEW_RECV, GET);
	f->seq[CLEW_SEND] += 41;
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, OK);
	assert_int_equal(f->nr_done, 0);
	assert_int_equal(f->ledger.exchanges_dropped[CLEW_XDROP_GAP], 2);
	for (int i = 0; i < 4; i++) { /* until order is proved again */
		say(f, CLEW_RECV, GET);
		say(f, CLEW_SEND, OK);
	}
	assert_in_range(f->nr_done, 2, 4);
}

/* Another thread moved the stream on before its record came: not a repeat. */
static void test_begins_before_announced(void **state)
{
	struct fixture *f = *state;
	struct clew_conn_open ev = event__open(1, PID, CLEW_ROLE_CLIENT, f->ts++);

	ev.has_seq = 1;
	ev.seq[CLEW_SEND] = f->seq[CLEW_SEND];
	ev.seq[CLEW_RECV] = f->seq[CLEW_RECV] + 100;
	clew_conns__feed(f->conns, &ev.h);
	say(f, CLEW_SEND, GET);
	assert_int_equal(say(f, CLEW_RECV, OK), CLEW_EVENT_USED);
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].incomplete, 0);
}

/* A hole inside a body of known length hides nothing: the exchange only says so. */
static void test_hole_in_body(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
	f->seq[CLEW_SEND] += 80;
	say(f, CLEW_SEND, "0123456789");
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].resp_body, 100);
	assert_int_equal(f->nr_dropped, 0);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, OK);
	assert_int_equal(f->nr_done, 2);
}

/* What was not captured is not lost: tail and length carry the parser over it. */
static void test_cut(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
	struct fixture *f = *state;
	size_t n = sizeof(head) - 1;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, GET);
	assert_int_equal(feed_seg(f, event__segment(1, PID, CLEW_SEND, f->seq[CLEW_SEND], head, n,
						    n + 5000, f->ts)),
			 CLEW_EVENT_USED);
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].resp_body, 5000);
	assert_int_equal(f->done[0].incomplete, 0);
	f->seq[CLEW_SEND] += (uint32_t)n + 5000;
	say(f, CLEW_RECV, GET);
	assert_int_equal(say(f, CLEW_SEND, OK), CLEW_EVENT_USED);
	assert_int_equal(f->nr_done, 2);
}

static void test_repeat_and_overlap(void **state)
{
	static const char whole[] = "POST /o HTTP/1.1\r\nContent-Length: 6\r\n\r\nabcdef";
	struct fixture *f = *state;
	char first[64], rest[64];

	snprintf(first, sizeof(first), "%.30s", whole);
	snprintf(rest, sizeof(rest), "%s", whole + 20);
	open_conn(f, 1, CLEW_ROLE_SERVER);
	assert_int_equal(at(f, 1, CLEW_RECV, 1000, first), CLEW_EVENT_USED);
	assert_int_equal(at(f, 1, CLEW_RECV, 1000, first), CLEW_EDROP_DUPLICATE);
	assert_int_equal(at(f, 1, CLEW_RECV, 1005, "xyz"), CLEW_EDROP_DUPLICATE);
	assert_int_equal(f->requests, 0);
	/* the first ten bytes of this one are known, the rest is new */
	assert_int_equal(at(f, 1, CLEW_RECV, 1020, rest), CLEW_EVENT_USED);
	assert_int_equal(f->requests, 1);
	say(f, CLEW_SEND, OK);
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].req_body, 6);
	assert_string_equal(f->done[0].target, "/o");
	/* a repeat does not move what is expected next */
	f->seq[CLEW_RECV] = 1000 + sizeof(whole) - 1;
	assert_int_equal(at(f, 1, CLEW_RECV, 1010, "0123456789"), CLEW_EDROP_DUPLICATE);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, OK);
	assert_int_equal(f->nr_done, 2);
	assert_int_equal(f->done[1].incomplete, 0);
}

/* Overlap where the copy ends before the new bytes begin. */
static void test_overlap_of_cut(void **state)
{
	struct fixture *f = *state;
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789";
	size_t n = sizeof(head) - 1;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, head);
	/* 5 bytes before what is next, 3 captured, 95 in all: 90 new ones, none of them there */
	assert_int_equal(feed_seg(f, event__segment(1, PID, CLEW_SEND, f->seq[CLEW_SEND] - 5, "567",
						    3, 95, f->ts)),
			 CLEW_EVENT_USED);
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].resp_body, 100);
	assert_true(n > 10);
}

static void test_empty_repeat(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, GET);
	/* no bytes, no end, and behind what was seen: nothing may move */
	assert_int_equal(at(f, 1, CLEW_RECV, 900, ""), CLEW_EDROP_DUPLICATE);
	assert_int_equal(at(f, 1, CLEW_RECV, 990, "0123456789"), CLEW_EDROP_DUPLICATE);
	say(f, CLEW_SEND, OK);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, OK);
	assert_int_equal(f->nr_done, 2);
	assert_int_equal(f->nr_dropped, 0);
}

static void test_wrap_around(void **state)
{
	struct fixture *f = *state;

	f->seq[CLEW_RECV] = UINT32_MAX - 40;
	f->seq[CLEW_SEND] = UINT32_MAX - 3;
	open_conn(f, 1, CLEW_ROLE_SERVER);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(say(f, CLEW_RECV, GET), CLEW_EVENT_USED);
		assert_int_equal(say(f, CLEW_SEND, OK), CLEW_EVENT_USED);
		assert_int_equal(f->nr_done, i + 1);
		assert_int_equal(f->done[i].incomplete, 0);
		assert_int_equal((uint32_t)f->done[i].pos,
				 UINT32_MAX - 40 + (uint32_t)(i * (int)(sizeof(GET) - 1)));
		if (i)
			assert_true(f->done[i].pos == f->done[i - 1].pos + sizeof(GET) - 1);
	}
	/* a repeat from before the wrap is one, too */
	assert_int_equal(at(f, 1, CLEW_RECV, UINT32_MAX - 40, GET), CLEW_EDROP_DUPLICATE);
}

static void test_eof_ends_body(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_CLIENT);
	say(f, CLEW_SEND, GET);
	say(f, CLEW_RECV, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
	assert_int_equal(f->nr_done, 0);
	assert_int_equal(eof(f, CLEW_RECV), CLEW_EVENT_USED);
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].incomplete, 0);
	assert_int_equal(f->done[0].resp_body, 13);
	assert_int_equal(f->done[0].is_server, 0);
	assert_int_equal(eof(f, CLEW_RECV), CLEW_EVENT_USED); /* again: nothing more to end */
	assert_int_equal(f->nr_done, 1);
}

static void test_close_local(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, "HTTP/1.0 200 OK\r\n\r\nall");
	assert_int_equal(close_conn(f, 1, CLEW_CLOSE_LOCAL), CLEW_EVENT_USED);
	assert_int_equal(f->nr_done, 1); /* this side has said all */
	assert_int_equal(f->done[0].resp_body, 3);
	/* the connection is still known: what the peer says is read */
	assert_int_not_equal(say(f, CLEW_RECV, GET), CLEW_EDROP_UNKNOWN_CONN);
	assert_int_equal(close_conn(f, 1, CLEW_CLOSE_GONE), CLEW_EVENT_USED);
	assert_int_equal(say(f, CLEW_RECV, GET), CLEW_EDROP_UNKNOWN_CONN);
}

static void test_close_gone_and_reused(void **state)
{
	static const uint32_t reasons[] = {CLEW_CLOSE_GONE, CLEW_CLOSE_REUSED};
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 2; i++) {
		open_conn(f, 1, CLEW_ROLE_CLIENT);
		say(f, CLEW_SEND, GET);
		say(f, CLEW_RECV, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha");
		assert_int_equal(close_conn(f, 1, reasons[i]), CLEW_EVENT_USED);
		assert_int_equal(f->nr_done, i + 1);
		assert_true(f->done[i].incomplete & CLEW_INC_RESPONSE_BODY);
		assert_int_equal(say(f, CLEW_RECV, "x"), CLEW_EDROP_UNKNOWN_CONN);
		assert_int_equal(close_conn(f, 1, reasons[i]), CLEW_EVENT_USED); /* again */
	}
}

/* The socket is dead, or shut by its process, which may still read what had come. */
static void close_held(struct fixture *f, uint32_t reason)
{
	open_conn(f, 1, CLEW_ROLE_CLIENT);
	say(f, CLEW_SEND, GET);
	assert_int_equal(close_conn(f, 1, reason), CLEW_EVENT_USED);
	clew_conns__tick(f->conns, f->ts + SEC);
	f->ts += SEC;
	assert_int_equal(say(f, CLEW_RECV, OK), CLEW_EVENT_USED);
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].status, 200);
	clew_conns__tick(f->conns, f->ts + SEC); /* read a second ago: not yet */
	assert_int_not_equal(say(f, CLEW_SEND, GET), CLEW_EDROP_UNKNOWN_CONN);
	clew_conns__tick(f->conns, f->ts + 3 * SEC);
	assert_int_equal(say(f, CLEW_RECV, OK), CLEW_EDROP_UNKNOWN_CONN);
}

static void test_close_held(void **state)
{
	close_held(*state, CLEW_CLOSE_HELD);
}

static void test_close_both(void **state)
{
	close_held(*state, CLEW_CLOSE_BOTH);
}

/* However it is found that a dead socket has no more to say, the exchange ended when it died. */
static void test_held_ends_when_it_died(void **state)
{
	static const uint32_t reasons[] = {CLEW_CLOSE_GONE, CLEW_CLOSE_REUSED, 0};
	struct fixture *f = *state;

	for (unsigned int i = 0; i < 6; i++) {
		uint64_t died;

		open_conn(f, 1, CLEW_ROLE_CLIENT);
		say(f, CLEW_SEND, GET);
		died = f->ts;
		close_conn(f, 1, i < 3 ? CLEW_CLOSE_HELD : CLEW_CLOSE_BOTH);
		f->ts += SEC;
		if (reasons[i % 3])
			close_conn(f, 1, reasons[i % 3]);
		else
			clew_conns__drain(f->conns, f->ts);
		assert_int_equal(f->nr_done, i + 1);
		assert_in_range(f->done[i].resp_end_ts, died, died + SEC / 2);
		assert_true(f->done[i].incomplete & CLEW_INC_ABORTED);
	}
}

static void test_exit_settles(void **state)
{
	struct clew_conn_open un = event__open(2, PID + 1, CLEW_ROLE_SERVER, 1);
	struct clew_proc_event gone;
	struct fixture *f = *state;

	un.family = 1;
	open_conn(f, 1, CLEW_ROLE_SERVER);
	clew_conns__feed(f->conns, &un.h);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha");
	gone = event__proc(CLEW_EV_EXIT, PID, 0, f->ts);
	assert_int_equal(clew_conns__feed(f->conns, &gone.h), CLEW_EVENT_USED);
	clew_conns__tick(f->conns, f->ts);
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(say(f, CLEW_SEND, "x"), CLEW_EDROP_UNKNOWN_CONN);
	/* another process's connections stay */
	assert_int_not_equal(at(f, 2, CLEW_RECV, 0, GET), CLEW_EDROP_UNKNOWN_CONN);
	assert_int_equal(f->requests, 2);
}

/* More processes end between two ticks than the list holds: none may be forgotten. */
static void test_many_exits(void **state)
{
	struct fixture *f = *state;
	uint32_t conns;
	uint64_t bytes;

	f->cfg.capture.max_connections = 5000;
	renew(f);
	for (uint32_t i = 0; i < 5000; i++) {
		struct clew_conn_open ev = event__open(i + 1, i + 1, CLEW_ROLE_SERVER, f->ts);

		ev.family = 1;
		clew_conns__feed(f->conns, &ev.h);
	}
	for (uint32_t i = 0; i < 5000; i++) {
		struct clew_proc_event gone = event__proc(CLEW_EV_EXIT, i + 1, 0, f->ts);

		clew_conns__feed(f->conns, &gone.h);
	}
	clew_conns__tick(f->conns, f->ts + 1);
	clew_conns__usage(f->conns, &conns, &bytes);
	assert_int_equal(conns, 0);
}

/* A worker goes on with what it inherited; and the pid of who ended may be given anew. */
static void test_exit_of_a_parent(void **state)
{
	struct clew_proc_event gone;
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, GET);
	gone = event__proc(CLEW_EV_EXIT, PID, 0, f->ts++);
	clew_conns__feed(f->conns, &gone.h);
	say(f, CLEW_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
	clew_conns__tick(f->conns, f->ts);
	say(f, CLEW_SEND, "ok");
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].status, 200);
	assert_int_equal(f->done[0].incomplete, 0);
}

/* Beginnings of heads on many connections: memory is bounded, what is over it is given up. */
static void test_many_heads(void **state)
{
	static char head[4000];
	struct fixture *f = *state;
	uint32_t conns;
	uint64_t bytes;

	memset(head, 'a', sizeof(head));
	memcpy(head, "GET /", 5); /* not even the first line */
	f->cfg.capture.max_connections = 30000;
	renew(f);
	for (uint32_t i = 0; i < 20000; i++) {
		struct clew_conn_open ev = event__open(i + 1, 1, CLEW_ROLE_SERVER, f->ts);
		struct clew_segment *seg = event__segment(i + 1, 1, CLEW_RECV, 0, head,
							  sizeof(head), sizeof(head), f->ts);

		clew_conns__feed(f->conns, &ev.h);
		clew_conns__feed(f->conns, &seg->h);
		free(seg);
	}
	clew_conns__usage(f->conns, &conns, &bytes);
	assert_int_equal(conns, 20000);
	assert_true(bytes > 64 << 20 && bytes < 85 << 20);
	clew_conns__drain(f->conns, f->ts);
	clew_conns__usage(f->conns, &conns, &bytes);
	assert_int_equal(bytes, 0);
}

static void test_full_table(void **state)
{
	struct fixture *f = *state;
	uint32_t conns;
	uint64_t bytes;

	f->cfg.capture.max_connections = 4; /* the agent keeps twice as many as the kernel */
	renew(f);
	for (uint64_t id = 1; id <= 8; id++)
		assert_int_equal(open_conn(f, id, CLEW_ROLE_CLIENT), CLEW_EVENT_USED);
	assert_int_equal(at(f, 2, CLEW_SEND, 0, GET), CLEW_EVENT_USED);
	assert_int_equal(at(f, 1, CLEW_SEND, 0, GET), CLEW_EVENT_USED);
	assert_int_equal(open_conn(f, 9, CLEW_ROLE_CLIENT), CLEW_EVENT_USED);
	/* 3 was quiet longest; 1 and 2, older, were not */
	assert_int_equal(at(f, 3, CLEW_SEND, 0, GET), CLEW_EDROP_UNKNOWN_CONN);
	assert_int_equal(at(f, 1, CLEW_RECV, 0, OK), CLEW_EVENT_USED);
	assert_int_equal(f->nr_done, 1);
	/* one that makes room while a request is open: it is settled, not forgotten */
	for (uint64_t id = 10; id < 17; id++)
		assert_int_equal(open_conn(f, id, CLEW_ROLE_CLIENT), CLEW_EVENT_USED);
	assert_int_equal(at(f, 2, CLEW_RECV, 0, OK), CLEW_EDROP_UNKNOWN_CONN);
	assert_int_equal(f->nr_done + f->ledger.exchanges_dropped[CLEW_XDROP_UNANSWERED], 2);
	clew_conns__usage(f->conns, &conns, &bytes);
	assert_int_equal(conns, 8);
}

static uint64_t scattered(uint64_t x)
{
	x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9;
	return x ^ x >> 29;
}

/* Every id is found again, whatever was removed before (the table has no tombstones). */
static void test_table(void **state)
{
	struct fixture *f = *state;

	f->cfg.capture.max_connections = 2000;
	renew(f);
	for (uint64_t id = 1; id <= 4000; id++) /* many share a place */
		assert_int_equal(open_conn(f, scattered(id), CLEW_ROLE_SERVER), CLEW_EVENT_USED);
	for (uint64_t id = 1; id <= 4000; id += 3)
		close_conn(f, scattered(id), CLEW_CLOSE_GONE);
	for (uint64_t id = 1; id <= 4000; id++)
		assert_int_equal(open_conn(f, scattered(id), CLEW_ROLE_SERVER),
				 id % 3 == 1 ? CLEW_EVENT_USED : CLEW_EDROP_DUPLICATE);
}

static void test_malformed(void **state)
{
	struct fixture *f = *state;
	struct clew_segment *seg;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	seg = event__segment(1, PID, 0, 1000, GET, 5, 4, f->ts); /* more than crossed */
	assert_int_equal(feed_seg(f, seg), CLEW_EDROP_MALFORMED);
	seg = event__segment(1, PID, 0, 1000, GET, 5, 5, f->ts);
	seg->cap = 6; /* more than there is */
	seg->len = 6;
	assert_int_equal(feed_seg(f, seg), CLEW_EDROP_MALFORMED);
	seg = event__segment(1, PID, 2, 1000, GET, 5, 5, f->ts);
	assert_int_equal(feed_seg(f, seg), CLEW_EDROP_MALFORMED);
	seg = event__segment(1, PID, 0, 1000, GET, 5, 50, f->ts);
	seg->tail_len = CLEW_TAIL_MAX + 1;
	assert_int_equal(feed_seg(f, seg), CLEW_EDROP_MALFORMED);
	/* none of them moved anything */
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, OK);
	assert_int_equal(f->nr_done, 1);
}

static void test_unknown_and_double(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(at(f, 99, CLEW_RECV, 0, GET), CLEW_EDROP_UNKNOWN_CONN);
	assert_int_equal(close_conn(f, 99, CLEW_CLOSE_GONE), CLEW_EVENT_USED);
	assert_int_equal(open_conn(f, 1, CLEW_ROLE_SERVER), CLEW_EVENT_USED);
	assert_int_equal(open_conn(f, 1, CLEW_ROLE_SERVER), CLEW_EDROP_DUPLICATE);
	assert_int_equal(f->ledger.exchanges_seen, 0);
}

/* The kernel may not know who connected; the first message says it, and outdoes what was said. */
static void test_role(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_UNKNOWN);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, OK);
	open_conn(f, 2, CLEW_ROLE_UNKNOWN);
	at(f, 2, CLEW_SEND, 0, GET);
	at(f, 2, CLEW_RECV, 0, OK);
	open_conn(f, 3, CLEW_ROLE_SERVER);
	at(f, 3, CLEW_SEND, 0, GET);
	at(f, 3, CLEW_RECV, 0, OK);
	/* met in the middle: a response comes first */
	open_conn(f, 4, CLEW_ROLE_UNKNOWN);
	at(f, 4, CLEW_RECV, 0, OK);
	at(f, 4, CLEW_SEND, 0, GET);
	at(f, 4, CLEW_RECV, sizeof(OK) - 1, OK);
	assert_int_equal(f->nr_done, 4);
	assert_int_equal(f->done[0].is_server, 1);
	for (int i = 1; i < 4; i++)
		assert_int_equal(f->done[i].is_server, 0);
}

static void test_ignore(void **state)
{
	struct clew_conn_open late = event__open(2, PID, CLEW_ROLE_SERVER, EVENTS_TS);
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	assert_int_equal(say(f, CLEW_RECV, "\x16\x03\x01\x02\x01"), CLEW_EDROP_NOT_HTTP);
	assert_int_equal(f->ignored, 1);
	assert_int_equal(f->ignored_id, 1);
	assert_int_equal(say(f, CLEW_RECV, GET), CLEW_EDROP_NOT_HTTP);
	assert_int_equal(f->ignored, 1); /* said once */
	/* met in the middle of something: the next message may be HTTP */
	late.from_start = 0;
	clew_conns__feed(f->conns, &late.h);
	assert_int_equal(at(f, 2, CLEW_RECV, 0, "rest of a body"), CLEW_EVENT_USED);
	at(f, 2, CLEW_RECV, 14, GET);
	at(f, 2, CLEW_SEND, 0, OK);
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->ignored, 1);
}

static void test_upgrade(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
	say(f, CLEW_SEND, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].status, 101);
	assert_int_equal(f->ignored, 1);
	assert_int_equal(say(f, CLEW_RECV, "\x81\x01x"), CLEW_EDROP_NOT_HTTP);
}

static void test_exchange_cap(void **state)
{
	struct fixture *f = *state;

	f->cfg.correlate.max_open_exchanges = 2;
	for (uint64_t id = 1; id <= 3; id++) {
		open_conn(f, id, CLEW_ROLE_SERVER);
		at(f, id, CLEW_RECV, 0, GET);
	}
	assert_int_equal(f->requests, 2);
	assert_int_equal(f->ledger.exchanges_dropped[CLEW_XDROP_TABLE_FULL], 1);
	for (uint64_t id = 1; id <= 3; id++)
		at(f, id, CLEW_SEND, 0, OK);
	assert_int_equal(f->nr_done, 2);
}

/* An exchange outlives its connection: it still says whose it was. */
static void test_exchange_outlives(void **state)
{
	struct fixture *f = *state;

	f->hold = true;
	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, OK);
	close_conn(f, 1, CLEW_CLOSE_GONE);
	assert_int_equal(f->nr_held, 1);
	assert_int_equal(f->held[0]->conn->id, 1);
	assert_int_equal(f->held[0]->conn->local_port, 8080);
	open_conn(f, 1, CLEW_ROLE_SERVER); /* the id again, another connection */
	assert_ptr_equal(f->held[0]->conn->owner, f->conns);
}

static void test_drain(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, CLEW_ROLE_SERVER);
	say(f, CLEW_RECV, GET);
	say(f, CLEW_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha");
	open_conn(f, 2, CLEW_ROLE_SERVER);
	at(f, 2, CLEW_RECV, 0, GET);
	clew_conns__drain(f->conns, f->ts + SEC);
	assert_int_equal(f->nr_done + f->nr_dropped, 2);
	assert_true(f->done[0].incomplete);
	assert_int_equal(say(f, CLEW_RECV, GET), CLEW_EDROP_UNKNOWN_CONN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	/* clang-format off */
	const struct CMUnitTest tests[] = {
		TEST(test_in_order), TEST(test_hole), TEST(test_hole_at_the_start),
		TEST(test_begins_before_announced), TEST(test_hole_in_body), TEST(test_cut),
		TEST(test_repeat_and_overlap), TEST(test_overlap_of_cut), TEST(test_empty_repeat),
		TEST(test_wrap_around), TEST(test_eof_ends_body), TEST(test_close_local),
		TEST(test_close_gone_and_reused), TEST(test_close_held),
		TEST(test_close_gone_and_reused), TEST(test_close_both),
		TEST(test_held_ends_when_it_died), TEST(test_exit_settles), TEST(test_many_exits),
		TEST(test_exit_of_a_parent), TEST(test_many_heads), TEST(test_full_table),
		TEST(test_table), TEST(test_malformed), TEST(test_unknown_and_double),
		TEST(test_role), TEST(test_ignore), TEST(test_upgrade), TEST(test_exchange_cap),
		TEST(test_exchange_outlives), TEST(test_drain),
	};
	/* clang-format on */

	return cmocka_run_group_tests(tests, NULL, NULL);
}
