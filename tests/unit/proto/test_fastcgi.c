/* SPDX-License-Identifier: Apache-2.0 */
/* The FastCGI parser: what the conversations in tests/fixtures/fastcgi do not show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "harness.h"
#include "proto/fastcgi_int.h"

enum { BEGIN = 1, ABORT, END, PARAMS, STDIN, STDOUT, STDERR };
enum { CLIENT = 0, SERVER = 1 }; /* whose bytes */

static const uint8_t zero[8];

struct bytes {
	uint8_t p[200000];
	size_t n;
};

static struct bytes b; /* what the test says next */

static void add(const void *p, size_t n)
{
	memcpy(b.p + b.n, p, n);
	b.n += n;
}

static void header(int type, int id, size_t n, int padding)
{
	const uint8_t h[8] = {
		1,	    (uint8_t)type,   (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(n >> 8),
		(uint8_t)n, (uint8_t)padding};

	add(h, sizeof(h));
}

static void record(int type, int id, const void *p, size_t n)
{
	header(type, id, n, 0);
	add(p, n);
}

static void begin(int id)
{
	record(BEGIN, id, "\0\1\1\0\0\0\0", 8);
}

static void end(int id)
{
	record(END, id, zero, 8);
}

static void text(int type, int id, const char *s)
{
	record(type, id, s, strlen(s));
}

/* "name=value" each; the record's padding is what is left to eight. */
static void params(int id, const char *const *list)
{
	size_t at = b.n;

	header(PARAMS, id, 0, 0);
	for (; *list; list++) {
		const char *eq = strchr(*list, '=');
		size_t n = strlen(eq + 1);
		uint8_t len[5] = {(uint8_t)(eq - *list), (uint8_t)n};

		if (n > 127) {
			len[1] = 0x80;
			len[2] = 0;
			len[3] = (uint8_t)(n >> 8);
			len[4] = (uint8_t)n;
		}
		add(len, n > 127 ? 5 : 2);
		add(*list, (size_t)(eq - *list));
		add(eq + 1, n);
	}
	b.p[at + 4] = (uint8_t)((b.n - at - 8) >> 8);
	b.p[at + 5] = (uint8_t)(b.n - at - 8);
}

static void request(int id, const char *uri)
{
	char target[256];
	const char *const list[] = {"REQUEST_METHOD=GET", target, NULL};

	snprintf(target, sizeof(target), "REQUEST_URI=%s", uri);
	begin(id);
	params(id, list);
	header(PARAMS, id, 0, 0);
	header(STDIN, id, 0, 0);
}

static void answer(int id, int status, const char *body)
{
	char s[512];

	snprintf(s, sizeof(s), "Status: %d X\r\nContent-type: text/html\r\n\r\n%s", status, body);
	text(STDOUT, id, s);
	end(id);
}

/* One piece, of which `seen` bytes are captured, and the last eight. */
static void say_some(struct player *pl, int server, size_t seen)
{
	if (seen > b.n)
		seen = b.n;
	player__data(pl, server, b.p, seen);
	player__skip(pl, server, b.p + seen, b.n - seen, CLEW_TAIL_MAX);
	b.n = 0;
}

static void say(struct player *pl, int server)
{
	say_some(pl, server, b.n);
}

static void lose(struct player *pl, int server)
{
	player__lose(pl, server, b.n);
	b.n = 0;
}

static const struct clew_exchange *over(struct player *pl, size_t i)
{
	assert_true(i < pl->sink.n);
	assert_int_equal(pl->sink.rec[i].end, REC_DONE);
	return &pl->sink.rec[i].copy;
}

static int detect(const void *p, size_t n)
{
	return clew_fastcgi.detect(p, n);
}

static void test_detect(void **state)
{
	const struct clew_proto_ops *ops;

	(void)state;
	assert_int_equal(detect("\1\1\0\1\0\10\0\0", 8), 1);
	assert_int_equal(detect("\1\1\1\2\0\10\7\0more", 12), 1);
	assert_int_equal(detect("\1\1\0\0\0\10\0\0", 8), 0); /* id 0 */
	assert_int_equal(detect("\1\1\0\1\0\11\0\0", 8), 0);
	assert_int_equal(detect("\1\1\0\1\0\10\0\1", 8), 0);
	assert_int_equal(detect("\2\1\0\1\0\10\0\0", 8), 0);
	assert_int_equal(detect("\1\4\0\1\0\10\0\0", 8), 0); /* in the middle of a request */
	assert_int_equal(detect("\1\6\0\1\1\10\0\0", 8), 2);
	assert_int_equal(detect("\1\7\0\1\1\10\0\0", 8), 2);
	assert_int_equal(detect("\1\3\0\1\0\10\0\0", 8), 2);
	assert_int_equal(detect("\1\3\0\1\0\7\0\0", 8), 0);
	assert_int_equal(detect("\1\1\0\1", 4), -1);
	assert_int_equal(detect("\1", 1), -1);
	assert_int_equal(detect("\1\2", 2), 0);
	assert_int_equal(detect("GET / HTTP/1.1\r\n", 16), 0);

	assert_int_equal(clew_proto__detect((const uint8_t *)"\1\1\0\1\0\10\0\0", 8, &ops), 1);
	assert_ptr_equal(ops, &clew_fastcgi);
	assert_int_equal(clew_proto__detect((const uint8_t *)"GET / HTTP/1.1\r\n", 16, &ops), 1);
	assert_ptr_equal(ops, &clew_http1);
	assert_int_equal(clew_proto__detect((const uint8_t *)"\1", 1, &ops), -1);
	assert_int_equal(clew_proto__detect((const uint8_t *)"*1\r\n$4", 6, &ops), 0);
}

static void test_texts(void **state)
{
	const char *const list[] = {"REQUEST_METHOD=POST",
				    "REQUEST_URI=/before",
				    "QUERY_STRING=no=1",
				    "CONTENT_LENGTH=5",
				    "CONTENT_TYPE=text/plain",
				    "HTTPS=on",
				    "REQUEST_SCHEME=http",
				    "SERVER_NAME=other.example",
				    "SERVER_PORT=8443",
				    "REMOTE_ADDR=192.0.2.1",
				    "HTTP_HOST=app.example",
				    "HTTP_USER_AGENT=tester",
				    "HTTP_TRACEPARENT=00-1-2-01",
				    "HTTP_TRACESTATE=a=1,b=2",
				    "HTTP_COOKIE=secret",
				    "REQUEST_URI=/after?x=y",
				    NULL};
	struct player pl;
	const struct clew_exchange *ex;

	(void)state;
	player__init(&pl, &clew_fastcgi, 0);
	begin(1);
	params(1, list);
	header(PARAMS, 1, 0, 0);
	text(STDIN, 1, "12345");
	header(STDIN, 1, 0, 0);
	say(&pl, CLIENT);
	answer(1, 418, "tea");
	say(&pl, SERVER);
	ex = over(&pl, 0);
	assert_true(text_is(ex, ex->method, "POST"));
	assert_true(text_is(ex, ex->target, "/after?x=y")); /* the last one, as for PHP */
	assert_true(text_is(ex, ex->host, "app.example:8443"));
	assert_true(text_is(ex, ex->user_agent, "tester"));
	assert_true(text_is(ex, ex->traceparent, "00-1-2-01"));
	assert_true(text_is(ex, ex->tracestate, "a=1,b=2"));
	assert_true(text_is(ex, ex->x_forwarded_for, "192.0.2.1"));
	assert_true(text_is(ex, ex->x_forwarded_proto, "https"));
	assert_true(text_is(ex, ex->content_type, "text/plain"));
	assert_false(ex->duplicate_traceparent);
	assert_int_equal(ex->protocol, CLEW_FASTCGI);
	assert_true(ex->is_server);
	assert_int_equal(ex->status, 418);
	assert_int_equal(ex->req_body, 5);
	assert_int_equal(ex->resp_body, 3);
	assert_int_equal(ex->incomplete, 0);
	player__fini(&pl);
}

static void test_more_texts(void **state)
{
	const char *const list[] = {"REQUEST_METHOD=GET",
				    "REQUEST_URI=/",
				    "SERVER_NAME=::1",
				    "SERVER_PORT=80",
				    "HTTP_HOST=[::1]",
				    "REMOTE_ADDR=unix:",
				    "HTTP_X_FORWARDED_FOR=a",
				    "HTTP_X_FORWARDED_PROTO=https",
				    "HTTP_TRACEPARENT=00-1-2-01",
				    "HTTP_TRACEPARENT=00-3-4-01",
				    "HTTP_FORWARDED=for=b",
				    NULL};
	struct player pl;
	const struct clew_exchange *ex;

	(void)state;
	player__init(&pl, &clew_fastcgi, 1);
	begin(1);
	params(1, list);
	header(PARAMS, 1, 0, 0);
	header(STDIN, 1, 0, 0);
	say(&pl, CLIENT);
	answer(1, 200, "");
	say(&pl, SERVER);
	ex = over(&pl, 0);
	assert_true(text_is(ex, ex->host, "[::1]:80"));
	assert_true(text_is(ex, ex->x_forwarded_for, "a"));
	assert_true(text_is(ex, ex->x_forwarded_proto, "https"));
	assert_true(text_is(ex, ex->forwarded, "for=b"));
	assert_true(ex->duplicate_traceparent);
	assert_false(ex->is_server);
	player__fini(&pl);
}

/* A port that there is no room for is left away, not cut. */
static void test_long_target(void **state)
{
	char script[sizeof("SCRIPT_NAME=") + FCGI_MADE - 14];
	const char *const list[] = {"REQUEST_METHOD=GET", script, "HTTP_HOST=app.example",
				    "SERVER_PORT=8443", NULL};
	struct player pl;

	(void)state;
	memset(script, 'x', sizeof(script));
	memcpy(script, "SCRIPT_NAME=/", strlen("SCRIPT_NAME=/"));
	script[sizeof(script) - 1] = 0;
	player__init(&pl, &clew_fastcgi, 0);
	begin(1);
	params(1, list);
	header(PARAMS, 1, 0, 0);
	header(STDIN, 1, 0, 0);
	say(&pl, CLIENT);
	answer(1, 200, "");
	say(&pl, SERVER);
	assert_true(text_is(over(&pl, 0), over(&pl, 0)->host, "app.example"));
	player__fini(&pl);
}

/* nginx writes all of a request at once; more of it than the budget is parameters. */
static void test_cut_params(void **state)
{
	char cookie[4096] = "HTTP_COOKIE=";
	const char *const list[] = {"REQUEST_METHOD=POST", "REQUEST_URI=/x", "CONTENT_LENGTH=9",
				    cookie, NULL};
	struct player pl;
	const struct clew_exchange *ex;

	(void)state;
	memset(cookie + strlen(cookie), 'c', 3000);
	for (int body = 0; body < 2; body++) {
		player__init(&pl, &clew_fastcgi, 1);
		begin(1);
		params(1, list);
		header(PARAMS, 1, 0, 0);
		if (body)
			text(STDIN, 1, "ninebytes");
		header(STDIN, 1, 0, 0);
		say_some(&pl, CLIENT, 1024);
		assert_true(pl.sink.rec[0].requested);
		answer(1, 200, "");
		say(&pl, SERVER);
		ex = over(&pl, 0);
		assert_true(text_is(ex, ex->target, "/x"));
		/* the end of the body was seen, and its length is told beforehand */
		assert_int_equal(ex->incomplete, CLEW_INC_REQUEST_HEAD);
		assert_int_equal(ex->req_body, body ? 9 : 0);
		player__fini(&pl);
	}
}

/* Nothing is made up where the method or the target is in the part that is missing. */
static void test_no_name(void **state)
{
	char query[2048] = "QUERY_STRING=";
	const char *const list[] = {query, "REQUEST_METHOD=GET", "SCRIPT_NAME=/index.php",
				    "REQUEST_URI=/x", NULL};
	struct player pl;

	(void)state;
	memset(query + strlen(query), 'q', 2000);
	player__init(&pl, &clew_fastcgi, 1);
	begin(1);
	params(1, list);
	header(PARAMS, 1, 0, 0);
	header(STDIN, 1, 0, 0);
	say_some(&pl, CLIENT, 1024);
	answer(1, 200, "");
	say(&pl, SERVER);
	assert_int_equal(pl.sink.n, 1);
	assert_int_equal(pl.sink.rec[0].end, REC_DROPPED);
	assert_int_equal(pl.sink.rec[0].reason, CLEW_XDROP_GAP);
	/* the next one is fine */
	request(1, "/next");
	say(&pl, CLIENT);
	answer(1, 200, "");
	say(&pl, SERVER);
	assert_true(text_is(over(&pl, 1), over(&pl, 1)->target, "/next"));
	player__fini(&pl);

	player__init(&pl, &clew_fastcgi, 1);
	begin(1);
	params(1, list + 4);
	header(PARAMS, 1, 0, 0);
	say(&pl, CLIENT);
	assert_int_equal(pl.sink.rec[0].reason, CLEW_XDROP_INVALID);
	player__fini(&pl);
}

/* PHP writes 8 KiB at a time, a record's header first; of each write 32 bytes are seen. */
static void test_large_answer(void **state)
{
	static char body[8184];
	const struct clew_exchange *ex;
	struct player pl;

	(void)state;
	memset(body, 'x', sizeof(body));
	for (int last = 0; last < 3; last++) {
		player__init(&pl, &clew_fastcgi, 0);
		request(1, "/big");
		say(&pl, CLIENT);
		text(STDOUT, 1, "Content-type: text/html\r\n\r\n12345");
		say_some(&pl, SERVER, 1024);
		for (int i = 0; i < 5; i++) {
			record(STDOUT, 1, body, sizeof(body));
			say_some(&pl, SERVER, 32);
		}
		if (last) {
			header(STDOUT, 1, 1000, 7);
			add(body, 1000);
			add("\0\0\0\0\0\0", 7);
		}
		if (last == 2)
			say_some(&pl, SERVER, 32);
		end(1);
		say_some(&pl, SERVER, 32);
		ex = over(&pl, 0);
		assert_int_equal(ex->incomplete, 0);
		assert_int_equal(ex->resp_body, 5 + 5 * sizeof(body) + (last ? 1000 : 0));
		assert_int_equal(ex->status, 200);
		player__fini(&pl);
	}
}

/* nginx reads into buffers of its own: what is in them begins anywhere. */
static void test_large_answer_read(void **state)
{
	static char body[8184];
	const struct clew_exchange *ex;
	struct player pl;
	size_t n, cut = 4096;

	(void)state;
	memset(body, 'x', sizeof(body));
	for (int eof = 0; eof < 2; eof++) {
		player__init(&pl, &clew_fastcgi, 1);
		request(1, "/big");
		say(&pl, CLIENT);
		text(STDOUT, 1, "Content-type: text/html\r\n\r\n12345");
		for (int i = 0; i < 5; i++)
			record(STDOUT, 1, body, sizeof(body));
		record(END, 1, "\0\0\0\0\0ere", 8);
		n = b.n;
		player__data(&pl, SERVER, b.p, 1024);
		player__skip(&pl, SERVER, b.p + 1024, cut - 1024, CLEW_TAIL_MAX);
		for (size_t at = cut; at < n; at += cut) {
			size_t part = n - at < cut ? n - at : cut;

			if (eof && at + part == n)
				part -= 3; /* its end is not to be recognised */
			player__data(&pl, SERVER, b.p + at, part < 32 ? part : 32);
			player__skip(&pl, SERVER, b.p + at + 32, part - 32, CLEW_TAIL_MAX);
		}
		b.n = 0;
		assert_int_equal(pl.sink.rec[0].end, eof ? REC_OPEN : REC_DONE);
		if (eof)
			clew_fastcgi.eof(pl.state, player__dir(&pl, SERVER), ++pl.ts);
		ex = over(&pl, 0);
		assert_int_equal(ex->incomplete, CLEW_INC_RESPONSE_BODY);
		assert_int_equal(ex->status, 200);
		player__fini(&pl);
	}
}

/* The header block goes on behind the budget: the status may be in it. */
static void test_cut_block(void **state)
{
	char block[3000] = "X-First: y\r\n";
	const struct clew_exchange *ex;
	struct player pl;

	(void)state;
	for (int known = 0; known < 2; known++) {
		player__init(&pl, &clew_fastcgi, 0);
		request(1, "/x");
		say(&pl, CLIENT);
		snprintf(block, sizeof(block), "%sX-Long: %01200d\r\nX: y\r\n\r\nbody",
			 known ? "Status: 404 No\r\n" : "", 0);
		text(STDOUT, 1, block);
		end(1);
		say_some(&pl, SERVER, 1024);
		ex = over(&pl, 0);
		assert_int_equal(ex->status, known ? 404 : 0);
		assert_int_equal(ex->incomplete, CLEW_INC_RESPONSE_HEAD | CLEW_INC_RESPONSE_BODY);
		player__fini(&pl);
	}
}

/* Rule 3: of a kept connection, one answer and the next request were lost. */
static void test_lost_between(void **state)
{
	struct player pl;

	(void)state;
	player__init(&pl, &clew_fastcgi, 0);
	request(1, "/a");
	say(&pl, CLIENT);
	answer(1, 201, "a");
	lose(&pl, SERVER);
	request(1, "/b");
	lose(&pl, CLIENT);
	answer(1, 202, "b");
	say(&pl, SERVER);
	request(1, "/c");
	say(&pl, CLIENT);
	answer(1, 203, "c");
	say(&pl, SERVER);
	assert_int_equal(pl.sink.n, 2);
	assert_int_equal(pl.sink.rec[0].end, REC_DROPPED);
	assert_int_equal(pl.sink.rec[0].reason, CLEW_XDROP_GAP);
	assert_true(text_is(over(&pl, 1), over(&pl, 1)->target, "/c"));
	assert_int_equal(over(&pl, 1)->status, 203);
	assert_int_equal(over(&pl, 1)->incomplete, 0);
	player__fini(&pl);
}

/* An answer whose BEGIN was lost is nobody's; one request that is not answered is no other's. */
static void test_lost_begin(void **state)
{
	struct player pl;

	(void)state;
	player__init(&pl, &clew_fastcgi, 1);
	request(1, "/a");
	lose(&pl, CLIENT);
	answer(1, 201, "a");
	say(&pl, SERVER);
	request(1, "/b");
	say(&pl, CLIENT);
	request(1, "/c"); /* the answer's event comes with the next one's hole */
	say(&pl, CLIENT);
	answer(1, 203, "c");
	say(&pl, SERVER);
	assert_int_equal(pl.sink.n, 2);
	assert_int_equal(pl.sink.rec[0].end, REC_DROPPED);
	assert_true(text_is(over(&pl, 1), over(&pl, 1)->target, "/c"));
	player__fini(&pl);
}

static void test_multiplexed(void **state)
{
	struct player pl;

	(void)state;
	player__init(&pl, &clew_fastcgi, 0);
	request(1, "/a");
	say(&pl, CLIENT);
	begin(2);
	say(&pl, CLIENT);
	assert_int_equal(pl.verdict, CLEW_PROTO_INVALID);
	assert_int_equal(pl.sink.rec[0].reason, CLEW_XDROP_INVALID);
	player__fini(&pl);

	/* behind a loss another id says nothing of the kind */
	player__init(&pl, &clew_fastcgi, 0);
	request(1, "/a");
	say(&pl, CLIENT);
	text(STDOUT, 1, "Status: 200 OK\r\n\r\n");
	say(&pl, SERVER);
	end(1);
	lose(&pl, SERVER);
	player__flush(&pl, SERVER);
	request(2, "/b");
	say(&pl, CLIENT);
	answer(2, 202, "b");
	say(&pl, SERVER);
	assert_int_equal(pl.verdict, CLEW_PROTO_MORE);
	assert_int_equal(over(&pl, 1)->status, 202);
	assert_int_equal(over(&pl, 1)->incomplete, 0);
	player__fini(&pl);
}

/* A request that is never answered ends with its connection. */
static void test_unanswered(void **state)
{
	const struct clew_exchange *ex;
	struct player pl;

	(void)state;
	player__init(&pl, &clew_fastcgi, 1);
	request(1, "/a");
	say(&pl, CLIENT);
	player__close(&pl);
	ex = over(&pl, 0);
	assert_int_equal(ex->incomplete, CLEW_INC_NO_RESPONSE | CLEW_INC_ABORTED);
	assert_int_equal(ex->status, 0);
	player__fini(&pl);
}

/* PHP does not ask for the end of a body that does not exist. */
static void test_no_stdin(void **state)
{
	const char *const list[] = {"REQUEST_METHOD=GET", "REQUEST_URI=/x",
				    "CONTENT_LENGTH=", NULL};
	struct player pl;

	(void)state;
	player__init(&pl, &clew_fastcgi, 0);
	begin(1);
	params(1, list);
	header(PARAMS, 1, 0, 0);
	say(&pl, CLIENT);
	answer(1, 200, "x");
	say(&pl, SERVER);
	header(STDIN, 1, 0, 0); /* read before the connection is closed, or with the next request */
	request(1, "/y");
	say(&pl, CLIENT);
	answer(1, 200, "y");
	say(&pl, SERVER);
	assert_int_equal(over(&pl, 0)->incomplete, 0);
	assert_int_equal(over(&pl, 1)->incomplete, 0);
	player__fini(&pl);
}

/* Parameters are kept only as far as the sink, and FCGI_PARAMS_MAX, allow. */
static void test_bounded(void **state)
{
	static char junk[60000];
	struct player pl;

	(void)state;
	for (int sink = 0; sink < 2; sink++) {
		player__init(&pl, &clew_fastcgi, 0);
		pl.sink.keep_max = sink ? 1024 : 0;
		begin(1);
		memset(junk, 1, sizeof(junk));
		for (int i = 0; i < 3; i++)
			record(PARAMS, 1, junk, sizeof(junk));
		header(PARAMS, 1, 0, 0);
		say(&pl, CLIENT);
		assert_true(pl.sink.kept <= 65536);
		player__close(&pl);
		assert_int_equal(pl.sink.rec[0].end, REC_DROPPED);
		player__fini(&pl);
	}
}

/* Refused by the table: the connection goes on. */
static void test_refused(void **state)
{
	struct player pl;

	(void)state;
	player__init(&pl, &clew_fastcgi, 0);
	pl.sink.refuse_at = 1;
	request(1, "/a");
	say(&pl, CLIENT);
	answer(1, 200, "x");
	say(&pl, SERVER);
	pl.sink.refuse_at = 0;
	request(1, "/b");
	say(&pl, CLIENT);
	answer(1, 200, "x");
	say(&pl, SERVER);
	assert_int_equal(pl.sink.n, 1);
	assert_true(text_is(over(&pl, 0), over(&pl, 0)->target, "/b"));
	player__fini(&pl);
}

/* Lost inside an answer's record: the sizes are known, and that something is missing. */
static void test_lost_inside(void **state)
{
	struct player pl;

	(void)state;
	player__init(&pl, &clew_fastcgi, 0);
	request(1, "/a");
	say(&pl, CLIENT);
	text(STDOUT, 1, "Status: 200 OK\r\n\r\n0123456789");
	player__data(&pl, SERVER, b.p, b.n - 6);
	player__lose(&pl, SERVER, 4);
	b.n = 0;
	add("89", 2);
	end(1);
	say(&pl, SERVER);
	assert_int_equal(over(&pl, 0)->resp_body, 10);
	assert_int_equal(over(&pl, 0)->incomplete, CLEW_INC_GAP);
	player__fini(&pl);
}

/* Out of step, only a record of this request begins anew what can be followed. */
static void test_resume(void **state)
{
	struct player pl;

	(void)state;
	player__init(&pl, &clew_fastcgi, 0);
	request(5, "/a");
	say(&pl, CLIENT);
	text(STDOUT, 5, "Status: 200 OK\r\n\r\n");
	say(&pl, SERVER);
	player__lose(&pl, SERVER, 100);
	end(6);
	say(&pl, SERVER);
	assert_int_equal(pl.sink.rec[0].end, REC_OPEN);
	header(END, 5, 8, 0);
	b.p[7] = 1; /* reserved: no program sets it */
	add("\1\1\1\1\1\1\1\1", 8);
	say(&pl, SERVER);
	assert_int_equal(pl.sink.rec[0].end, REC_OPEN);
	record(END, 5, "\1\1\1\1\0\0\0\0", 8);
	say(&pl, SERVER);
	assert_int_equal(over(&pl, 0)->incomplete, CLEW_INC_GAP | CLEW_INC_RESPONSE_BODY);
	player__fini(&pl);
}

/* An answer stops in the middle of a record; the next request finds it at a beginning. */
static void test_stops(void **state)
{
	struct player pl;

	(void)state;
	player__init(&pl, &clew_fastcgi, 1);
	request(1, "/a");
	say(&pl, CLIENT);
	text(STDOUT, 1, "Status: 200 OK\r\n\r\n0123456789");
	b.n -= 6;
	say(&pl, SERVER);
	request(1, "/b");
	say(&pl, CLIENT);
	answer(1, 202, "b");
	say(&pl, SERVER);
	assert_int_equal(over(&pl, 0)->incomplete, CLEW_INC_RESPONSE_BODY);
	assert_int_equal(over(&pl, 1)->status, 202);
	assert_int_equal(over(&pl, 1)->incomplete, 0);
	player__fini(&pl);
}

/* Bytes that are no records at all: given up, and within bounds. */
static void test_junk(void **state)
{
	static uint8_t junk[4096];
	struct player pl;

	(void)state;
	memset(junk, 'j', sizeof(junk));
	player__init(&pl, &clew_fastcgi, 0);
	for (int i = 0; i < 40 && !pl.verdict; i++)
		player__data(&pl, CLIENT, junk, sizeof(junk));
	assert_int_equal(pl.verdict, CLEW_PROTO_INVALID);
	player__fini(&pl);
}

/* A status is three digits from 100 on; else the answer says none, which in CGI is 200. */
static void test_status(void **state)
{
	static const struct {
		const char *head;
		uint16_t status;
	} of[] = {{"Status: 404 Not Found\r\n\r\n", 404},
		  {"Status: 20\r\n\r\n", 200},
		  {"Status: 4040\r\n\r\n", 200},
		  {"Status: 099\r\n\r\n", 200},
		  {"Status: x\r\n\r\n", 200},
		  {"Location: /\r\n\r\n", 302}};

	(void)state;
	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
		struct fcgi_reply r = {0};

		fcgi_reply__feed(&r, (const uint8_t *)of[i].head, strlen(of[i].head));
		assert_int_equal(fcgi_reply__status(&r), of[i].status);
	}
}

/* Parameters that are cut: what the server's own path says is not taken for what was asked for. */
static void test_cut_parameters(void **state)
{
	static const uint8_t p[] = "\x0b\x02SCRIPT_NAME/x\x0b\x09REQUEST_URI/y";
	struct fcgi_request r;

	(void)state;
	fcgi_params__parse(p, 15, &r); /* the first pair, whole */
	assert_int_equal(r.cut, 0);
	assert_int_equal(r.head.target.n, 2);
	fcgi_params__parse(p, sizeof(p) - 1, &r);
	assert_int_equal(r.cut, 1);
	assert_int_equal(r.head.target.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_detect),	     cmocka_unit_test(test_texts),
		cmocka_unit_test(test_more_texts),   cmocka_unit_test(test_long_target),
		cmocka_unit_test(test_cut_params),   cmocka_unit_test(test_no_name),
		cmocka_unit_test(test_large_answer), cmocka_unit_test(test_large_answer_read),
		cmocka_unit_test(test_cut_block),    cmocka_unit_test(test_lost_between),
		cmocka_unit_test(test_lost_begin),   cmocka_unit_test(test_multiplexed),
		cmocka_unit_test(test_unanswered),   cmocka_unit_test(test_no_stdin),
		cmocka_unit_test(test_bounded),	     cmocka_unit_test(test_lost_inside),
		cmocka_unit_test(test_resume),	     cmocka_unit_test(test_stops),
		cmocka_unit_test(test_refused),	     cmocka_unit_test(test_junk),
		cmocka_unit_test(test_status),	     cmocka_unit_test(test_cut_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
