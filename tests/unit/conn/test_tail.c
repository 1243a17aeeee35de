/* SPDX-License-Identifier: Apache-2.0 */
/* The connection stage: what is known of a call's last bytes, beyond those that were captured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <clew/conn.h>

#include "../events.h"

struct fixture {
	struct clew_config cfg;
	struct clew_ledger ledger;
	struct clew_conns *conns;
	size_t done;
	uint64_t resp_body;
	uint16_t incomplete;
};

static void ignore(void *arg, struct clew_exchange *ex)
{
	(void)arg;
	(void)ex;
}

static void on_done(void *arg, struct clew_exchange *ex)
{
	struct fixture *f = arg;

	f->done++;
	f->resp_body = ex->resp_body;
	f->incomplete = ex->incomplete;
	clew_exchange__free(ex);
}

static void on_dropped(void *arg, struct clew_exchange *ex, int reason)
{
	(void)arg;
	(void)ex;
	fail_msg("dropped: %d", reason);
}

static void feed(struct fixture *f, uint8_t dir, const char *p, size_t cap, size_t len, size_t tail)
{
	struct clew_segment *seg = event__segment(1, 7, dir, 1000, p, cap, len, 5);

	seg->tail_len = (uint8_t)tail;
	memcpy(seg->tail, p + len - tail, tail);
	assert_int_equal(clew_conns__feed(f->conns, &seg->h), CLEW_EVENT_USED);
	free(seg);
}

/* Of a tail that begins before what was not captured only the rest counts. */
static void test_overlap(void **state)
{
	static const char get[] = "GET / HTTP/1.1\r\n\r\n";
	static const char ok[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				 "2\r\nab\r\n0\r\n\r\n";
	struct clew_conn_open open = event__open(1, 7, CLEW_ROLE_SERVER, 1);

	(void)state;
	for (size_t cut = 1; cut <= 8; cut++) {
		struct fixture f = {.cfg.capture.max_connections = 16,
				    .cfg.correlate.max_open_exchanges = 16};
		struct clew_exchange_sink sink = {&f, ignore, ignore, on_done, on_dropped, NULL};

		f.conns = clew_conns__new(&f.cfg, &f.ledger, &sink);
		assert_non_null(f.conns);
		assert_int_equal(clew_conns__feed(f.conns, &open.h), CLEW_EVENT_USED);
		feed(&f, CLEW_RECV, get, sizeof(get) - 1, sizeof(get) - 1, 0);
		feed(&f, CLEW_SEND, ok, sizeof(ok) - 1 - cut, sizeof(ok) - 1, 8);
		if (f.done != 1)
			fail_msg("%zu bytes behind the budget: %zu", cut, f.done);
		assert_int_equal(f.incomplete, 0);
		assert_int_equal(f.resp_body, 2);
		clew_conns__free(f.conns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_overlap)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
