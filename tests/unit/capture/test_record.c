/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings: what is written comes back byte for byte, but for the secrets; and what is damaged
 * is said, with its place. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <clew/capture.h>

#include "../events.h"

#define MAGIC_LEN 24

struct fixture {
	char path[64];
	struct clew_recorder *rec;
	uint32_t seq[2];
	uint8_t got[65536]; /* all events, one behind the other */
	size_t n;
	unsigned int events;
	char text[65536]; /* what the segments hold */
	size_t text_n;
	char errbuf[256];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->path, "/tmp/clew-record-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(clew_recorder__new(f->path, &f->rec, f->errbuf, sizeof(f->errbuf)), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clew_recorder__free(f->rec);
	unlink(f->path);
	free(f);
	return 0;
}

static void on_event(void *arg, const struct clew_event *ev)
{
	struct fixture *f = arg;

	assert_true(f->n + ev->size <= sizeof(f->got));
	memcpy(f->got + f->n, ev, ev->size);
	f->n += ev->size;
	f->events++;
	if (ev->type == CLEW_EV_SEGMENT) {
		const struct clew_segment *seg = (const void *)ev;

		memcpy(f->text + f->text_n, seg->data, seg->cap);
		f->text_n += seg->cap;
	}
}

static int replay(struct fixture *f)
{
	int err = clew_recorder__free(f->rec);

	f->rec = NULL;
	assert_int_equal(err, 0);
	f->n = f->text_n = f->events = 0;
	return clew_replay(f->path, on_event, f, f->errbuf, sizeof(f->errbuf));
}

static void open_conn(struct fixture *f, uint64_t id, bool from_start)
{
	struct clew_conn_open ev = event__open(id, 7, CLEW_ROLE_SERVER, 1);

	ev.from_start = from_start;
	clew_recorder__write(f->rec, &ev.h);
	f->seq[0] = f->seq[1] = 77;
}

static void say(struct fixture *f, uint8_t dir, const char *text, size_t cap, size_t len,
		const char *tail)
{
	struct clew_segment *seg = event__segment(1, 7, dir, f->seq[dir], text, cap, len, 2);

	if (tail) {
		seg->tail_len = (uint8_t)strlen(tail);
		memcpy(seg->tail, tail, seg->tail_len);
	}
	f->seq[dir] += (uint32_t)len;
	clew_recorder__write(f->rec, &seg->h);
	free(seg);
}

static void text(struct fixture *f, uint8_t dir, const char *s)
{
	say(f, dir, s, strlen(s), strlen(s), NULL);
}

static void assert_text(struct fixture *f, const char *want)
{
	assert_int_equal(replay(f), 0);
	f->text[f->text_n] = 0;
	assert_string_equal(f->text, want);
}

/* Events of every type and of odd sizes, one after the other. */
static void test_identical(void **state)
{
	struct fixture *f = *state;
	uint8_t want[8192];
	size_t n = 0;

	for (unsigned int type = 0; type < 40; type++) {
		struct {
			struct clew_event h;
			uint8_t rest[200];
		} ev;

		if (type == CLEW_EV_SEGMENT)
			continue;
		memset(&ev, (int)type, sizeof(ev));
		ev.h = event__head((uint8_t)type, sizeof(ev.h) + 113 + type, type, type);
		ev.h.turn = 5;
		clew_recorder__write(f->rec, &ev.h);
		memcpy(want + n, &ev, ev.h.size);
		n += ev.h.size;
	}
	assert_int_equal(replay(f), 0);
	assert_int_equal(f->n, n);
	assert_memory_equal(f->got, want, n);
	assert_int_equal(f->events, 39);
}

static void test_largest(void **state)
{
	struct clew_event *ev = calloc(1, 65536), small = event__head(CLEW_EV_EXEC, 24, 1, 1);
	struct fixture *f = *state;

	for (unsigned int size = 65529; size <= 65535; size++) {
		*ev = event__head(CLEW_EV_EXEC, size, 1, 1);
		f->n = 0;
		clew_recorder__write(f->rec, ev);
	}
	small.size = 23; /* not even a header */
	clew_recorder__write(f->rec, &small);
	free(ev);
	assert_int_equal(clew_recorder__free(f->rec), 0);
	f->rec = NULL;
	struct stat st;

	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_size, MAGIC_LEN + 7 * 65536);
}

static void test_heads(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, true);
	text(f, 0,
	     "GET /a?b=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer abc\r\nCOOKIE:k=v; w\r\n"
	     "X-Api-Key : 12\r\nX-Cookie: plain\r\ntraceparent: 00-1\r\n\r\n");
	text(f, 1, "HTTP/1.1 204 No\r\nSet-Cookie: a=b\r\n  folded\r\nServer: s\r\n\r\n");
	text(f, 1, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 304 N\r\n\r\n");
	assert_text(
		f, "GET /a?b=1 HTTP/1.1\r\nHost: h\r\nAuthorization:xxxxxxxxxxx\r\n"
		   "COOKIE:xxxxxx\r\nX-Api-Key :xxx\r\nX-Cookie: plain\r\ntraceparent: 00-1\r\n\r\n"
		   "HTTP/1.1 204 No\r\nSet-Cookie:xxxx\r\n xxxxxxx\r\nServer: s\r\n\r\n"
		   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 304 N\r\n\r\n");
}

/* What a span would not show either, in a request line that is cut anywhere. */
static void test_targets(void **state)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
		{"GET /a?token=abc&b=2&%73ig=1 HTTP/1.1", "GET /a?token=xxx&b=2&%73ig=x HTTP/1.1"},
		{"GET /a@b/?X-Amz-Security-Token=q?&=&c HTTP/1.1",
		 "GET /a@b/?X-Amz-Security-Token=xx&=&c HTTP/1.1"},
		{"GET http://u:p@h/a?b=1 HTTP/1.1", "GET http://xxx@h/a?b=1 HTTP/1.1"},
		{"GET http://h:80/me@x?code=1 HTTP/1.1", "GET http://h:80/me@x?code=x HTTP/1.1"},
		{"OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!f->rec)
			clew_recorder__new(f->path, &f->rec, f->errbuf, sizeof(f->errbuf));
		open_conn(f, 1, true);
		text(f, 0, cases[i].line);
		assert_text(f, cases[i].want);
	}
	/* the '@' comes with the next segment */
	clew_recorder__new(f->path, &f->rec, f->errbuf, sizeof(f->errbuf));
	open_conn(f, 1, true);
	text(f, 0, "GET http://us");
	text(f, 0, "er:pw");
	text(f, 0, "d@h/?si");
	text(f, 0, "g=ab");
	text(f, 0, "cd HTTP/1.1\r\n\r\n");
	assert_text(f, "GET http://xxxxxxxx@h/?sig=xxxx HTTP/1.1\r\n\r\n");
}

/* A connection that left HTTP: what looks like a request may be anything. */
static void test_other_protocol(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, true);
	text(f, 0, "GET /c HTTP/1.1\r\nUpgrade: x\r\n\r\n");
	text(f, 1, "HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\nHELLO me");
	text(f, 0, "LOGIN me secret");
	text(f, 1, "WELCOME me");
	assert_text(f, "GET /c HTTP/1.1\r\nUpgrade: x\r\n\r\n"
		       "HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\nxxxxxxxx"
		       "xxxxxxxxxxxxxxx"
		       "xxxxxxxxxx");
	clew_recorder__new(f->path, &f->rec, f->errbuf, sizeof(f->errbuf));
	open_conn(f, 1, true);
	text(f, 0, "CONNECT h:25 HTTP/1.1\r\n\r\n");
	text(f, 1, "HTTP/1.1 200 OK\r\n\r\n");
	text(f, 0, "AUTH PLAIN c2VjcmV0");
	assert_text(f, "CONNECT h:25 HTTP/1.1\r\n\r\nHTTP/1.1 200 OK\r\n\r\nxxxxxxxxxxxxxxxxxxx");
}

/* FastCGI: name, value with lengths of one byte; the texts hold no NUL. */
static size_t pair(char *to, const char *name, const char *value)
{
	return (size_t)sprintf(to, "%c%c%s%s", (char)strlen(name), (char)strlen(value), name,
			       value);
}

static size_t fcgi(char *to, int type, const char *content, size_t n, int padding)
{
	const char h[8] = {1, (char)type, 0, 1, (char)(n >> 8), (char)n, (char)padding};

	memcpy(to, h, sizeof(h));
	memcpy(to + 8, content, n);
	memset(to + 8 + n, 'p', (size_t)padding);
	return 8 + n + (size_t)padding;
}

static size_t fcgi_request(char *to, bool masked)
{
	char list[1024];
	size_t n = 0, at;

	n += pair(list + n, "QUERY_STRING", masked ? "sig=xxxxxx&b=c" : "sig=secret&b=c");
	n += pair(list + n, "REQUEST_METHOD", "POST");
	n += pair(list + n, "HTTP_COOKIE", masked ? "xxxxxxxx" : "id=49152");
	n += pair(list + n, "HTTP_AUTHORIZATION", masked ? "xxxxxxxx" : "Basic eD");
	n += pair(list + n, "REQUEST_URI", masked ? "/a?sig=xxxxxx" : "/a?sig=secret");
	n += pair(list + n, "DOCUMENT_ROOT", masked ? "xxxx" : "/srv");
	n += pair(list + n, "EMPTY", "");
	n += pair(list + n, "HTTP_HOST", "h");
	at = fcgi(to, 1, "\0\1\0\0\0\0\0\0", 8, 0);
	at += fcgi(to + at, 4, list, 100, 0);
	at += fcgi(to + at, 4, list + 100, n - 100, 3);
	if (masked)
		memset(to + at - 3, 0, 3);
	at += fcgi(to + at, 4, "", 0, 0);
	at += fcgi(to + at, 5, masked ? "xxxxxxxxx" : "password=", 9, 0);
	return at + fcgi(to + at, 5, "", 0, 0);
}

static size_t fcgi_answer(char *to, bool masked)
{
	const char *out = masked ? "Status: 404 Not\r\nSet-Cookie:xxxxxx\r\n\r\nxxxx"
				 : "Status: 404 Not\r\nSet-Cookie: id=49\r\n\r\nbody";
	size_t at = fcgi(to, 7, masked ? "xxxxxxx" : "private", 7, 0);

	at += fcgi(to + at, 6, out, strlen(out), 0);
	return at + fcgi(to + at, 3, masked ? "\0\0\0\0\0\0\0\0" : "\0\0\0\0\0mem", 8, 0);
}

static void test_fastcgi(void **state)
{
	struct fixture *f = *state;
	char said[2][2048], want[4096];
	size_t n[2], len;

	n[0] = fcgi_request(said[0], false);
	n[1] = fcgi_answer(said[1], false);
	len = fcgi_request(want, true);
	len += fcgi_answer(want + len, true);
	for (size_t most = 8; most < 300; most += 13) {
		if (!f->rec)
			clew_recorder__new(f->path, &f->rec, f->errbuf, sizeof(f->errbuf));
		open_conn(f, 1, true);
		for (uint8_t dir = 0; dir < 2; dir++) {
			for (size_t at = 0, part; at < n[dir]; at += part) {
				part = n[dir] - at < most ? n[dir] - at : most;
				say(f, dir, said[dir] + at, part, part, NULL);
			}
		}
		assert_int_equal(replay(f), 0);
		assert_int_equal(f->text_n, len);
		assert_memory_equal(f->text, want, len);
	}
}

/* What was not captured hides where values are: all is masked until a record begins anew. */
static void test_fastcgi_unseen(void **state)
{
	struct fixture *f = *state;
	struct clew_segment *seg;
	char said[2048], want[2048];
	size_t n = fcgi_request(said, false);

	open_conn(f, 1, true);
	say(f, 0, said, 60, n, "\1\5\1\1\1\1\1\1");
	say(f, 0, "\1\4\1\1\1\1\1\1", 8, 8, NULL);
	say(f, 0, "HTTP_HOSTh", 10, 10, NULL);
	fcgi_request(want, true);
	assert_int_equal(replay(f), 0);
	assert_memory_equal(f->text, want, 60);
	seg = (void *)(f->got + sizeof(struct clew_conn_open));
	assert_memory_equal(seg->tail, "xxxxxxxx", 8);
	assert_memory_equal(f->text + 60, "xxxxxxxxxxxxxxxxxx", 18);
}

static const char message[] =
	"POST /p HTTP/1.1\r\nContent-Length: 16\r\nAuthorization: Basic c2VjcmV0\r\n\r\n"
	"4111111111111111"
	"POST /q HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nCookie: c\r\n\r\n"
	"5;ext=secret\r\nhello\r\nA\r\nPUT / xx\r\n\r\n0\r\nTrailer: t\r\n\r\n"
	"GET /r HTTP/1.1\r\nAccept: a\r\n\r\n";
static const char masked[] =
	"POST /p HTTP/1.1\r\nContent-Length: 16\r\nAuthorization:xxxxxxxxxxxxxxx\r\n\r\n"
	"xxxxxxxxxxxxxxxx"
	"POST /q HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\nCookie:xx\r\n\r\n"
	"5;xxxxxxxxxx\r\nxxxxx\r\nA\r\nxxxxxxxx\r\n\r\n0\r\nTrailer: t\r\n\r\n"
	"GET /r HTTP/1.1\r\nAccept: a\r\n\r\n";

/* Bodies and secrets are found however the stream is cut into segments. */
static void test_split_anywhere(void **state)
{
	struct fixture *f = *state;
	size_t n = sizeof(message) - 1;

	for (size_t piece = 1; piece <= n; piece++) {
		if (!f->rec)
			clew_recorder__new(f->path, &f->rec, f->errbuf, sizeof(f->errbuf));
		open_conn(f, 1, true);
		for (size_t i = 0; i < n; i += piece) {
			size_t k = n - i < piece ? n - i : piece;

			say(f, 0, message + i, k, k, NULL);
		}
		assert_text(f, masked);
	}
}

static void test_until_close(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, true);
	text(f, 1, "HTTP/1.0 200 OK\r\n\r\nsecret\nABC");
	text(f, 1, "H");
	text(f, 1, "ELP me\r\n\r\nSet: x");
	assert_text(f, "HTTP/1.0 200 OK\r\n\r\nxxxxxx\nxxxxxxxxxx\r\n\r\nxxxxxx");
}

/* What was not captured or not reported: masked until a message surely begins. */
static void test_unknown(void **state)
{
	struct fixture *f = *state;

	open_conn(f, 1, false);
	text(f, 0, "TOP secret\r\n");
	text(f, 0, "GET /a HTTP/1.1\r\nCookie: 1\r\nContent-Length: 5000\r\n\r\n");
	say(f, 0, "ab", 2, 4000, "secret!!"); /* inside the body: known how far */
	say(f, 0, "cd", 2, 1000, "last byt");
	text(f, 0, "PUT /b HTTP/1.1\r\nX: y\r\n\r\n");
	f->seq[0] += 10; /* an event was lost */
	text(f, 0, "Authorization: in the middle of a head\r\n\r\n");
	say(f, 0, "GET /c HTTP/1.1\r\nA: b", 21, 3000, "k: v\r\n\r\n"); /* a head that is cut */
	text(f, 0, "{\"pin\": 1234}\r\n1234\r\n");
	text(f, 0, "GET /d HTTP/1.1\r\n\r\n");
	assert_text(f, "xxxxxxxxxx\r\n"
		       "GET /a HTTP/1.1\r\nCookie:xx\r\nContent-Length: 5000\r\n\r\nxxxx"
		       "PUT /b HTTP/1.1\r\nX: y\r\n\r\n"
		       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n\r\n"
		       "GET /c HTTP/1.1\r\nA: b"
		       "xxxxxxxxxxxxx\r\nxxxx\r\n"
		       "GET /d HTTP/1.1\r\n\r\n");
	for (size_t i = 0; i + 8 <= f->n; i++) { /* nor in a tail */
		assert_memory_not_equal(f->got + i, "secret!!", 8);
		assert_memory_not_equal(f->got + i, "last byt", 8);
	}
}

/* The end of a chunked body stays readable where it is all that is left of it. */
static void test_last_chunk(void **state)
{
	struct fixture *f = *state;
	const struct clew_segment *seg;

	open_conn(f, 1, true);
	text(f, 1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n");
	f->seq[1] += 300;
	text(f, 1, "secret\r\n0\r\n\r\n");
	say(f, 1, "ab", 2, 100, "e\r\n0\r\n\r\n");
	assert_text(f, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"
		       "xxxxxx\r\n0\r\n\r\nxx");
	seg = (const void *)(f->got + f->n - sizeof(*seg) - 2);
	assert_memory_equal(seg->tail, "x\r\n0\r\n\r\n", 8);
}

/* A connection that displaces another one in the table is not taken for it. */
static void test_collision(void **state)
{
	struct fixture *f = *state;
	struct clew_segment *seg;

	open_conn(f, 1, true);
	text(f, 0, "GET /a HTTP/1.1\r\n");
	for (uint64_t id = 2; id < 40000; id++) {
		seg = event__segment(id, 7, 0, 0, NULL, 0, 0, 2);
		/* four slots, of 16384, are a connection's place */
		if (((id * 0x9e3779b97f4a7c15ULL) >> 52) == (0x9e3779b97f4a7c15ULL >> 52))
			clew_recorder__write(f->rec, &seg->h);
		free(seg);
	}
	text(f, 0, "X-Any: secret\r\n\r\n");
	assert_text(f, "GET /a HTTP/1.1\r\nxxxxxxxxxxxxx\r\n\r\n");
	assert_true(f->events > 7);
}

/* A segment that lies about its size is written as it is, and nothing behind it is read. */
static void test_lying_segment(void **state)
{
	struct fixture *f = *state;
	struct clew_segment *seg = event__segment(1, 7, 0, 0, "abcd", 4, 4, 1);

	seg->cap = 400;
	clew_recorder__write(f->rec, &seg->h);
	seg->cap = 4;
	seg->tail_len = 200;
	clew_recorder__write(f->rec, &seg->h);
	free(seg);
	assert_int_equal(clew_recorder__free(f->rec), 0);
	f->rec = NULL;
}

static void ignore_event(void *arg, const struct clew_event *ev)
{
	(void)ev;
	++*(unsigned int *)arg;
}

/* Cut at every byte: whole records are replayed, the place of the rest is told. */
static void test_truncated(void **state)
{
	struct clew_proc_event ev = event__proc(CLEW_EV_EXIT, 1, 0, 1); /* 176 bytes */
	struct fixture *f = *state;
	char want[64];

	for (int i = 0; i < 3; i++)
		clew_recorder__write(f->rec, &ev.h);
	assert_int_equal(replay(f), 0);
	assert_int_equal(f->events, 3);
	for (long size = MAGIC_LEN + 3 * 176; size >= 0; size--) {
		long whole = size < MAGIC_LEN ? 0 : (size - MAGIC_LEN) / 176;
		unsigned int events = 0;
		int err;

		assert_int_equal(truncate(f->path, size), 0);
		f->errbuf[0] = 0;
		err = clew_replay(f->path, ignore_event, &events, f->errbuf, sizeof(f->errbuf));
		assert_int_equal(events, whole);
		if (size == MAGIC_LEN + whole * 176) {
			assert_int_equal(err, 0);
			continue;
		}
		assert_int_equal(err, -EINVAL);
		if (size < MAGIC_LEN)
			snprintf(want, sizeof(want), "is not a clew recording");
		else
			snprintf(want, sizeof(want), "record at byte %ld is cut",
				 MAGIC_LEN + whole * 176);
		assert_non_null(strstr(f->errbuf, want));
		assert_non_null(strstr(f->errbuf, f->path));
	}
}

static void test_corrupt(void **state)
{
	struct clew_proc_event ev = event__proc(CLEW_EV_EXIT, 1, 0, 1);
	struct fixture *f = *state;
	unsigned int events = 0;
	FILE *file;

	clew_recorder__write(f->rec, &ev.h);
	clew_recorder__write(f->rec, &ev.h);
	assert_int_equal(replay(f), 0);
	file = fopen(f->path, "r+b");
	fseek(file, MAGIC_LEN + 176 + 2, SEEK_SET);
	fwrite("\3\0", 1, 2, file); /* its size: 3 */
	fclose(file);
	assert_int_equal(clew_replay(f->path, ignore_event, &events, f->errbuf, 256), -EINVAL);
	assert_int_equal(events, 1);
	assert_non_null(strstr(f->errbuf, "byte 200 "));
	file = fopen(f->path, "r+b");
	fwrite("X", 1, 1, file);
	fclose(file);
	assert_int_equal(clew_replay(f->path, ignore_event, &events, f->errbuf, 256), -EINVAL);
	assert_non_null(strstr(f->errbuf, "not a clew recording"));
	assert_int_equal(clew_replay("/nonexistent/x", ignore_event, &events, f->errbuf, 256),
			 -ENOENT);
	assert_non_null(strstr(f->errbuf, "/nonexistent/x"));
}

static void test_cannot_write(void **state)
{
	struct clew_proc_event ev = event__proc(CLEW_EV_EXIT, 1, 0, 1);
	struct fixture *f = *state;
	struct clew_recorder *rec;

	assert_int_equal(clew_recorder__new("/nonexistent/x", &rec, f->errbuf, 256), -ENOENT);
	assert_non_null(strstr(f->errbuf, "/nonexistent/x"));
	if (access("/dev/full", W_OK))
		skip();
	assert_int_equal(clew_recorder__new("/dev/full", &rec, f->errbuf, 256), 0);
	for (int i = 0; i < 100; i++)
		clew_recorder__write(rec, &ev.h);
	assert_int_equal(clew_recorder__free(rec), -ENOSPC);
	assert_int_equal(clew_recorder__free(NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_identical),	   TEST(test_largest),	      TEST(test_heads),
		TEST(test_targets),	   TEST(test_other_protocol), TEST(test_fastcgi),
		TEST(test_fastcgi_unseen), TEST(test_split_anywhere), TEST(test_until_close),
		TEST(test_unknown),	   TEST(test_last_chunk),     TEST(test_collision),
		TEST(test_lying_segment),  TEST(test_truncated),      TEST(test_corrupt),
		TEST(test_cannot_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
