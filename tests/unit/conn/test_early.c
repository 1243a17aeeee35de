/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that are told of before their requests, by another thread (CLEW_SEG_AHEAD). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <clew/conn.h>

#include "../events.h"

#define OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define PID  7
#define MS   1000000ULL
#define MANY 64

struct fixture {
	struct clew_config cfg;
	struct clew_ledger ledger;
	struct clew_conns *conns;
	uint64_t ts;
	uint32_t seq[2];
	unsigned int nr_done;
	struct {
		char target[16];
		unsigned int status, incomplete;
		uint64_t req_ts, resp_ts;
	} done[MANY];
};

static void on_any(void *arg, struct clew_exchange *ex)
{
	(void)arg;
	(void)ex;
}

static void on_done(void *arg, struct clew_exchange *ex)
{
	struct fixture *f = arg;

	assert_true(f->nr_done < MANY);
	snprintf(f->done[f->nr_done].target, sizeof(f->done[0].target), "%.*s", (int)ex->target.len,
		 ex->text + ex->target.off);
	f->done[f->nr_done].status = ex->status;
	f->done[f->nr_done].incomplete = ex->incomplete;
	f->done[f->nr_done].req_ts = ex->req.ts;
	f->done[f->nr_done].resp_ts = ex->resp.ts;
	f->nr_done++;
	clew_exchange__free(ex);
}

static void on_dropped(void *arg, struct clew_exchange *ex, int reason)
{
	(void)arg;
	(void)ex;
	(void)reason;
}

static int setup(void **state)
{
	static struct fixture fixture;
	struct fixture *f = &fixture;
	struct clew_exchange_sink sink = {f, on_any, on_any, on_done, on_dropped, NULL};
	struct clew_conn_open ev;

	memset(f, 0, sizeof(*f));
	f->cfg.capture.max_connections = 100;
	f->cfg.correlate.max_open_exchanges = 100;
	f->ts = EVENTS_TS;
	f->conns = clew_conns__new(&f->cfg, &f->ledger, &sink);
	assert_non_null(f->conns);
	ev = event__open(1, PID, CLEW_ROLE_CLIENT, f->ts);
	assert_int_equal(clew_conns__feed(f->conns, &ev.h), CLEW_EVENT_USED);
	*state = f;
	return 0;
}

/* Nothing that waited is forgotten, whatever a test did. */
static int teardown(void **state)
{
	struct fixture *f = *state;
	uint64_t dropped = 0, bytes;
	uint32_t conns;

	clew_conns__drain(f->conns, f->ts);
	for (int i = 0; i < CLEW_XDROP_MAX; i++)
		dropped += f->ledger.exchanges_dropped[i];
	assert_int_equal(f->ledger.exchanges_seen, f->nr_done + dropped);
	clew_conns__usage(f->conns, &conns, &bytes);
	assert_int_equal(bytes, 0);
	clew_conns__free(f->conns);
	return 0;
}

static void say(struct fixture *f, uint8_t dir, uint16_t flags, const char *text)
{
	size_t n = strlen(text);
	struct clew_segment *seg;

	f->ts += MS;
	seg = event__segment(1, PID, dir, f->seq[dir], text, n, n, f->ts);
	seg->flags = flags;
	f->seq[dir] += (uint32_t)n;
	assert_int_equal(clew_conns__feed(f->conns, &seg->h), CLEW_EVENT_USED);
	free(seg);
}

static void get(struct fixture *f, int i)
{
	char text[64];

	snprintf(text, sizeof(text), "GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i);
	say(f, CLEW_SEND, 0, text);
}

static void test_answer_first(void **state)
{
	struct fixture *f = *state;
	char target[16];

	get(f, 0);
	say(f, CLEW_RECV, 0, OK);
	for (int i = 1; i < 5; i++) {
		/* in two pieces; the second waits with the first */
		say(f, CLEW_RECV, CLEW_SEG_AHEAD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
		say(f, CLEW_RECV, 0, "\r\nok");
		assert_int_equal(f->nr_done, i);
		get(f, i);
		assert_int_equal(f->nr_done, i + 1);
		snprintf(target, sizeof(target), "/%d", i);
		assert_string_equal(f->done[i].target, target);
		assert_int_equal(f->done[i].status, 200);
		assert_int_equal(f->done[i].incomplete, 0);
		assert_true(f->done[i].req_ts <= f->done[i].resp_ts);
	}
	assert_int_equal(f->ledger.exchanges_seen, 5);
}

/* What it waits for never comes: the answer is nobody's, as without the wait. */
static void test_too_long(void **state)
{
	struct fixture *f = *state;

	get(f, 0);
	say(f, CLEW_RECV, 0, OK);
	say(f, CLEW_RECV, CLEW_SEG_AHEAD, OK);
	f->ts += 200 * MS;
	get(f, 1);
	assert_int_equal(f->nr_done, 1);
	say(f, CLEW_RECV, 0, OK);
	assert_int_equal(f->nr_done, 2);
	assert_string_equal(f->done[1].target, "/1");
	say(f, CLEW_RECV, CLEW_SEG_AHEAD, OK);
	clew_conns__tick(f->conns, f->ts + 200 * MS);
	get(f, 2);
	say(f, CLEW_RECV, 0, OK);
	assert_int_equal(f->nr_done, 3);
	assert_string_equal(f->done[2].target, "/2");
	assert_true(f->done[2].req_ts > f->done[1].resp_ts);
}

/* More than may wait, and the end of the connection with some that do. */
static void test_bounds(void **state)
{
	struct fixture *f = *state;
	struct clew_conn_close ev;
	uint32_t conns;
	uint64_t before, bytes;

	get(f, 0);
	say(f, CLEW_RECV, 0, "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n");
	clew_conns__usage(f->conns, &conns, &before);
	for (int i = 0; i < 100; i++) {
		say(f, CLEW_RECV, CLEW_SEG_AHEAD, "okay");
		f->ts -= MS;
		clew_conns__usage(f->conns, &conns, &bytes);
		assert_true(bytes - before <= 16 * (sizeof(struct clew_segment) + 4));
	}
	f->ts += MS;
	ev = event__close(1, PID, CLEW_CLOSE_GONE, f->ts);
	clew_conns__feed(f->conns, &ev.h);
	assert_int_equal(f->nr_done, 1);
	assert_int_equal(f->done[0].incomplete, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answer_first),
		TEST(test_too_long),
		TEST(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
