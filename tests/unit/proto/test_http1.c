/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 parser: what single messages say, and hostile ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "harness.h"

static int detect(const char *s)
{
	return clew_http1.detect((const uint8_t *)s, strlen(s));
}

static void test_detect(void **state)
{
	(void)state;
	assert_int_equal(detect("GET / HTTP/1.1\r\n"), 1);
	assert_int_equal(detect("\r\nGET / HTTP/1.0\r\n"), 1);
	assert_int_equal(detect("GET /very/long"), 1);
	assert_int_equal(detect("FROBNICATE /x HTTP/1.1\r\n"), 1);
	assert_int_equal(detect("FROBNICATE /x"), -1);
	assert_int_equal(detect("OPTIONS * HTTP/1.1\r\n"), 1);
	assert_int_equal(detect("GET http://a/ HTTP/1.1\r\n"), 1);
	assert_int_equal(detect("CONNECT a:443 HTTP/1.1\r\n"), 1);
	assert_int_equal(detect("HTTP/1.1 200 OK\r\n"), 2);
	assert_int_equal(detect("HTTP/1.0 404"), 2);
	assert_int_equal(detect("HTTP/1."), -1);
	assert_int_equal(detect("H"), -1);
	assert_int_equal(detect("HEA"), -1);
	assert_int_equal(detect(""), -1);
	assert_int_equal(detect("GE"), -1);
	assert_int_equal(detect("GET "), -1);
	assert_int_equal(detect("GET /x\r\n"), 0); /* HTTP/0.9, and Redis */
	assert_int_equal(detect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0);
	assert_int_equal(detect("get key\r\n"), 0);
	assert_int_equal(detect("*1\r\n$4\r\nPING\r\n"), 0);
	assert_int_equal(detect("HTTP/2 200"), 0);
	assert_int_equal(detect("ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n"), 0);
	assert_int_equal(detect("\x16\x03\x01\x02"), 0);
	assert_int_equal(detect("GET / HTTP/3.1\r\n"), 0);
	assert_int_equal(detect("GET x HTTP/1.1\r\n"), 0);
}

static void say(struct player *pl, int server, const char *s)
{
	player__data(pl, server, (const uint8_t *)s, strlen(s));
}

/* One exchange of these two texts; returns its copy. */
static struct clew_exchange one(const char *request, const char *response)
{
	struct clew_exchange ex;
	struct player pl;

	player__init(&pl, &clew_http1, 0);
	say(&pl, 0, request);
	say(&pl, 1, response);
	player__close(&pl);
	assert_int_equal(pl.sink.n, 1);
	ex = pl.sink.rec[0].copy;
	player__fini(&pl);
	return ex;
}

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void test_headers(void **state)
{
	struct clew_exchange ex;

	(void)state;
	ex = one("GET /a?b=c HTTP/1.1\r\nhOsT:example:80 \r\nTRACEPARENT: 00-a-b-01\r\n"
		 "tracestate: a=1\r\nTraceState:\tb=2 \r\nUser-Agent: x y\r\nForwarded: for=1\r\n"
		 "X-Forwarded-For: 1.2.3.4\r\nx-forwarded-proto: https\r\nContent-Type: a/b\r\n"
		 "Cookie: secret\r\nAccept: */*\r\n\r\n",
		 OK_EMPTY);
	assert_true(text_is(&ex, ex.method, "GET"));
	assert_true(text_is(&ex, ex.target, "/a?b=c"));
	assert_true(text_is(&ex, ex.host, "example:80"));
	assert_true(text_is(&ex, ex.traceparent, "00-a-b-01"));
	assert_true(text_is(&ex, ex.tracestate, "a=1,b=2"));
	assert_true(text_is(&ex, ex.user_agent, "x y"));
	assert_true(text_is(&ex, ex.forwarded, "for=1"));
	assert_true(text_is(&ex, ex.x_forwarded_for, "1.2.3.4"));
	assert_true(text_is(&ex, ex.x_forwarded_proto, "https"));
	assert_true(text_is(&ex, ex.content_type, "a/b"));
	assert_null(memmem(ex.text, ex.text_used, "secret", 6));
	assert_int_equal(ex.incomplete, 0);
	assert_int_equal(ex.duplicate_traceparent, 0);
	assert_int_equal(ex.is_server, 1);
	ex = one("GET / HTTP/1.0\r\ntraceparent: a\r\ntraceparent: a\r\n\r\n", OK_EMPTY);
	assert_int_equal(ex.duplicate_traceparent, 1);
	assert_int_equal(ex.http_minor, 0);
	assert_int_equal(ex.host.len, 0);
	assert_int_equal(ex.host.off, 0);
}

static void test_text_room(void **state)
{
	char req[8192], fill[2001];
	struct clew_exchange ex;

	(void)state;
	memset(fill, 'x', 2000);
	fill[2000] = 0;
	/* Alone, a target takes all the room there is. */
	snprintf(req, sizeof(req), "GET /%.900s HTTP/1.1\r\n\r\n", fill);
	ex = one(req, OK_EMPTY);
	assert_int_equal(ex.target.len, 901);
	assert_int_equal(ex.incomplete, 0);
	/* Beside others it keeps 512, and traceparent and tracestate keep theirs. */
	snprintf(req, sizeof(req),
		 "GET /%.1500s HTTP/1.1\r\nUser-Agent: %.500s\r\nHost: h\r\n"
		 "Tracestate: a=%.200s,b=%.200s,c=%.200s\r\nTraceparent: %.55s\r\n\r\n",
		 fill, fill, fill, fill, fill, fill);
	ex = one(req, OK_EMPTY);
	assert_int_equal(ex.target.len, 512);
	assert_int_equal(ex.traceparent.len, 55);
	assert_int_equal(ex.host.len, 1);
	assert_int_equal(ex.tracestate.len, 2 + 200 + 1 + 2 + 200); /* whole members */
	assert_int_equal(ex.incomplete, CLEW_INC_REQUEST_HEAD);
}

static void test_facts(void **state)
{
	struct clew_exchange ex;
	struct player pl;

	(void)state;
	player__init(&pl, &clew_http1, 1);
	pl.pos[0] = 5000;
	pl.pos[1] = 9000;
	say(&pl, 0, "\r\nPOST /x HTTP/1.1\r\nContent-");	  /* ts 1 */
	say(&pl, 0, "Length: 3\r\n\r\nab");			  /* ts 2 */
	say(&pl, 1, "HTTP/1.1 100 Continue\r\n\r\nHTTP");	  /* ts 3 */
	say(&pl, 0, "c");					  /* ts 4 */
	say(&pl, 1, "/1.0 201 Made\r\nTransfer-Encoding: x\r\n"); /* ts 5 */
	say(&pl, 1, "Content-Type: q\r\n\r\n");			  /* ts 6 */
	say(&pl, 1, "body");					  /* ts 7 */
	player__close(&pl);
	ex = pl.sink.rec[0].copy;
	assert_int_equal(ex.is_server, 0);
	assert_int_equal(ex.req.ts, 1);
	assert_int_equal(ex.req.pos, 5002);
	assert_int_equal(ex.req.turn, 2);
	assert_int_equal(ex.req.ctx, 1002);
	assert_int_equal(ex.req_end_ts, 4);
	assert_int_equal(ex.resp.ts, 3);
	assert_int_equal(ex.resp.turn, 3);
	assert_int_equal(ex.resp.pos, 9025);
	assert_int_equal(ex.resp_end_ts, 7);
	assert_int_equal(ex.req_body, 3);
	assert_int_equal(ex.req_wire, strlen("POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"));
	assert_int_equal(ex.resp_minor, 0);
	assert_int_equal(ex.status, 201);
	player__fini(&pl);
}

/* Heads after which the length of the request's body is not to be trusted. */
static void test_smuggling(void **state)
{
	static const char *const heads[] = {
		"Content-Length: 5\r\nContent-Length: 6\r\n",
		"Content-Length: 5, 6\r\n",
		"Content-Length: +5\r\n",
		"Content-Length: 0x5\r\n",
		"Content-Length: 5 5\r\n",
		"Content-Length: \r\n",
		"Content-Length: -1\r\n",
		"Content-Length: 99999999999999999999\r\n",
		"Content-Length : 5\r\n",
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
		"Transfer-Encoding: xchunked\r\n",
		"Transfer-Encoding: chunked, gzip\r\n",
		"Transfer-Encoding: chunked, chunked\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding : chunked\r\n",
		"Transfer-Encoding:\r\n",
		"Transfer-Encoding: gzip\r\n chunked\r\n",
		"Transfer-Encoding:\r\n chunked\r\n",
		" Content-Length: 5\r\n",
		"X: a\rContent-Length: 5\r\n",
		"X: a\x01"
		"b\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct player pl;
		char req[512];

		player__init(&pl, &clew_http1, 0);
		snprintf(req, sizeof(req), "POST /a HTTP/1.1\r\n%s\r\n", heads[i]);
		say(&pl, 0, req);
		/* What follows in the same piece, or the next one, may be body or not. */
		say(&pl, 0, "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
		say(&pl, 0, "GET /b HTTP/1.1\r\n\r\n");
		say(&pl, 1, "HTTP/1.1 201 A\r\nContent-Length: 0\r\n\r\n");
		say(&pl, 1, "HTTP/1.1 202 S\r\nContent-Length: 0\r\n\r\n");
		say(&pl, 1, "HTTP/1.1 203 B\r\nContent-Length: 0\r\n\r\n");
		player__close(&pl);
		for (size_t k = 0; k < pl.sink.n; k++) {
			const struct rec *r = &pl.sink.rec[k];

			if (r->end != REC_DONE)
				continue;
			if (!text_is(&r->copy, r->copy.target, "/a") || r->copy.status != 201 ||
			    !(r->copy.incomplete & CLEW_INC_REQUEST_BODY))
				fail_msg("%s: exchange %zu status %u inc %x", heads[i], k,
					 r->copy.status, r->copy.incomplete);
		}
		assert_int_equal(sink__count(&pl.sink, REC_DONE), 1);
		player__fini(&pl);
	}
}

static void test_chunks_bad(void **state)
{
	static const char *const bodies[] = {
		"G\r\n",
		"\r\n",
		"-1\r\n",
		"5\nhello",
		"1\r\nab\r\n",
		"5;ext\nhello",
		" 5\r\n",
		"0x5\r\n",
		"1000000000000000\r\n",
		"10000000000000001\r\nx\r\n0\r\n\r\n",
		"5\rhello",
		"1\r\na\n0\r\n\r\n",
		"0\r\n\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct clew_exchange ex;
		char resp[256];

		snprintf(resp, sizeof(resp),
			 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s", bodies[i]);
		ex = one("GET / HTTP/1.1\r\n\r\n", resp);
		assert_int_equal(ex.status, 200);
		if (!(ex.incomplete & CLEW_INC_RESPONSE_BODY))
			fail_msg("chunk %zu", i);
	}
}

static void test_nul(void **state)
{
	static const char head[] = "GET /a HTTP/1.1\r\nX: a\0b\r\nHost: h\r\n\r\n";
	static const char line[] = "GET /a\0b HTTP/1.1\r\n\r\n";
	struct player pl;

	(void)state;
	player__init(&pl, &clew_http1, 0);
	player__data(&pl, 0, (const uint8_t *)head, sizeof(head) - 1);
	say(&pl, 1, OK_EMPTY);
	player__close(&pl);
	assert_int_equal(pl.sink.rec[0].end, REC_DONE);
	assert_int_equal(pl.sink.rec[0].copy.incomplete, CLEW_INC_REQUEST_BODY);
	player__fini(&pl);
	player__init(&pl, &clew_http1, 0);
	player__data(&pl, 0, (const uint8_t *)line, sizeof(line) - 1);
	player__close(&pl);
	assert_int_equal(pl.sink.rec[0].copy.target.len, 4);
	assert_true(pl.sink.rec[0].copy.incomplete & CLEW_INC_REQUEST_BODY);
	player__fini(&pl);
}

/* From the sanitizer's runtime, when the test is built with one. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

static size_t allocated(void)
{
	if (!__sanitizer_get_current_allocated_bytes)
		return 0;
	return __sanitizer_get_current_allocated_bytes();
}

static void test_huge_head(void **state)
{
	struct player pl;
	char piece[4096];
	size_t before, most = 0;

	(void)state;
	player__init(&pl, &clew_http1, 0);
	say(&pl, 0, "GET /first HTTP/1.1\r\n\r\n");
	say(&pl, 1, OK_EMPTY);
	before = allocated();
	say(&pl, 0, "GET /huge HTTP/1.1\r\nHost: a\r\n");
	memset(piece, 'h', sizeof(piece));
	memcpy(piece, "X: ", 3);
	memcpy(piece + sizeof(piece) - 2, "\r\n", 2);
	for (int i = 0; i < 100 * 256 && !pl.verdict; i++) {
		player__data(&pl, 0, (const uint8_t *)piece, sizeof(piece));
		if (allocated() > most)
			most = allocated();
	}
	if (__sanitizer_get_current_allocated_bytes)
		assert_true(most > before && most < before + 200000);
	assert_int_equal(pl.sink.n, 2);
	say(&pl, 1, "HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(pl.sink.rec[1].end, REC_DONE);
	assert_int_equal(pl.sink.rec[1].copy.status, 431);
	assert_true(text_is(&pl.sink.rec[1].copy, pl.sink.rec[1].copy.host, "a"));
	assert_true(pl.sink.rec[1].copy.incomplete & CLEW_INC_REQUEST_HEAD);
	player__fini(&pl);
	/* A first line without an end is no request, and 64 KiB of it are enough. */
	player__init(&pl, &clew_http1, 0);
	say(&pl, 0, "GET /");
	memset(piece, 'u', sizeof(piece));
	for (int i = 0; i < 1000; i++)
		player__data(&pl, 0, (const uint8_t *)piece, sizeof(piece));
	assert_int_equal(pl.sink.n, 0);
	player__fini(&pl);
}

static void test_pipeline_cap(void **state)
{
	struct player pl;
	char buf[128];

	(void)state;
	player__init(&pl, &clew_http1, 0);
	for (int i = 0; i < 300; i++) {
		snprintf(buf, sizeof(buf), "GET /%d HTTP/1.1\r\n\r\n", i);
		say(&pl, 0, buf);
	}
	assert_int_equal(pl.sink.n, 300);
	assert_int_equal(sink__count(&pl.sink, REC_DROPPED), 44);
	for (int i = 256; i < 300; i++)
		assert_int_equal(pl.sink.rec[i].reason, CLEW_XDROP_TABLE_FULL);
	for (int i = 0; i < 300; i++) {
		snprintf(buf, sizeof(buf), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%.*s",
			 i % 7, i % 7, "abcdefg");
		say(&pl, 1, buf);
	}
	assert_int_equal(sink__count(&pl.sink, REC_DONE), 256);
	for (int i = 0; i < 256; i++)
		assert_int_equal(pl.sink.rec[i].copy.resp_body, i % 7);
	player__fini(&pl);
}

static void test_refused(void **state)
{
	struct player pl;

	(void)state;
	player__init(&pl, &clew_http1, 0);
	pl.sink.refuse_at = 2;
	say(&pl, 0, "GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\n");
	pl.sink.refuse_at = 0;
	say(&pl, 0, "GET /3 HTTP/1.1\r\n\r\n");
	say(&pl, 1,
	    "HTTP/1.1 201 A\r\nContent-Length: 1\r\n\r\nx"
	    "HTTP/1.1 202 A\r\nContent-Length: 9\r\n\r\n"
	    "HTTP/1.1 203 A\r\nContent-Length: 1\r\n\r\nx");
	assert_int_equal(pl.sink.n, 2);
	assert_int_equal(pl.sink.rec[1].end, REC_DONE);
	assert_int_equal(pl.sink.rec[1].copy.status, 203);
	player__fini(&pl);
}

/* An answer reported before its request (two threads): never taken for the next one's. */
static void test_reordered(void **state)
{
	struct player pl;

	(void)state;
	player__init(&pl, &clew_http1, 1);
	say(&pl, 1, "HTTP/1.1 201 A\r\nContent-Length: 0\r\n\r\n");
	say(&pl, 0, "GET /201 HTTP/1.1\r\n\r\n");
	for (int i = 202; i < 210; i++) {
		char buf[128];

		snprintf(buf, sizeof(buf), "GET /%d HTTP/1.1\r\n\r\n", i);
		say(&pl, 0, buf);
		snprintf(buf, sizeof(buf), "HTTP/1.1 %d A\r\nContent-Length: 0\r\n\r\n", i);
		say(&pl, 1, buf);
	}
	for (size_t i = 0; i < pl.sink.n; i++) {
		const struct clew_exchange *ex = &pl.sink.rec[i].copy;

		if (pl.sink.rec[i].end == REC_DONE)
			assert_int_equal(ex->status, atoi(ex->text + ex->target.off + 1));
	}
	assert_true(sink__count(&pl.sink, REC_DONE) >= 6);
	player__fini(&pl);
	/* The request's own time tells: it is older than the response. */
	player__init(&pl, &clew_http1, 1);
	pl.ts = 100;
	say(&pl, 1, OK_EMPTY);
	pl.ts = 50;
	say(&pl, 0, "GET /old HTTP/1.1\r\n\r\n");
	assert_int_equal(sink__count(&pl.sink, REC_DROPPED), 1);
	pl.ts = 200;
	say(&pl, 0, "GET /new HTTP/1.1\r\n\r\n");
	say(&pl, 1, OK_EMPTY);
	assert_int_equal(sink__count(&pl.sink, REC_DONE), 1);
	player__fini(&pl);
}

static void test_garbage_gives_up(void **state)
{
	struct player pl;
	uint8_t junk[4096];

	(void)state;
	for (int server = 0; server < 2; server++) {
		player__init(&pl, &clew_http1, 0);
		say(&pl, 0, "GET /a HTTP/1.1\r\n\r\n");
		say(&pl, 1, OK_EMPTY);
		say(&pl, 0, "GET /b HTTP/1.1\r\n\r\n");
		memset(junk, 0x80, sizeof(junk));
		for (int i = 0; i < 20; i++)
			player__data(&pl, server, junk, sizeof(junk));
		assert_int_equal(pl.verdict, CLEW_PROTO_INVALID);
		assert_int_equal(pl.sink.rec[1].end, REC_DROPPED);
		assert_int_equal(pl.sink.rec[1].reason, CLEW_XDROP_INVALID);
		player__fini(&pl);
	}
}

static void test_junk_of_the_right_shape(void **state)
{
	/* These begin like a message for the hunt, and are none for the parser. */
	struct player pl;

	(void)state;
	player__init(&pl, &clew_http1, 0);
	say(&pl, 1, "HTTP/1.1 099 A\r\n\r\n");
	say(&pl, 1, "HTTP/1.1 2000 A\r\n\r\n");
	say(&pl, 1, "HTTP/1.9 200 A\r\n\r\n");
	say(&pl, 0, "GET / HTTP/1.7\r\n\r\n");
	say(&pl, 0, "GET / \r\n\r\n");
	assert_int_equal(pl.sink.n, 0);
	player__fini(&pl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_detect),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_text_room),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_smuggling),
		cmocka_unit_test(test_chunks_bad),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_huge_head),
		cmocka_unit_test(test_pipeline_cap),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_reordered),
		cmocka_unit_test(test_garbage_gives_up),
		cmocka_unit_test(test_junk_of_the_right_shape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
