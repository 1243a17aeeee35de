/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No wrong pairing, whatever is lost: made-up conversations, each response's status naming its
 * request, played with events missing (each alone, every run of neighbours, at random), with the
 * capture budget ending anywhere, and joined in the middle. And the other half: what must
 * come out although something was lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "harness.h"

struct maker {
	struct talk talk;
	unsigned seed;
	int n;	 /* exchanges so far; exchange i has the target /i and the status 200 + i % 700 */
	int big; /* messages of several events */
};

static int rnd(struct maker *m, int n)
{
	return (int)((unsigned)rand_r(&m->seed) % (unsigned)n);
}

struct text {
	char p[4096];
	size_t n;
};

static void put(struct text *t, const char *s)
{
	size_t n = strlen(s);

	MUST(t->n + n < sizeof(t->p));
	memcpy(t->p + t->n, s, n + 1);
	t->n += n;
}

static void put_body(struct maker *m, struct text *t, int chunked)
{
	char line[64];
	int parts = 1 + rnd(m, 3);

	if (!chunked) {
		int n = rnd(m, m->big ? 600 : 30);

		snprintf(line, sizeof(line), "Content-Length: %d\r\n\r\n", n);
		put(t, line);
		for (int i = 0; i < n; i++)
			put(t, i % 50 == 49 ? "\n" : "b");
		return;
	}
	put(t, "Transfer-Encoding: chunked\r\n\r\n");
	while (parts--) {
		int n = 1 + rnd(m, m->big ? 300 : 30);

		snprintf(line, sizeof(line), "%x\r\n", n);
		put(t, line);
		for (int i = 0; i < n; i++)
			put(t, "c");
		put(t, "\r\n");
	}
	put(t, rnd(m, 4) ? "0\r\n\r\n" : "0\r\nX-Trailer: 1\r\n\r\n");
}

/* Methods are chosen by the number, so that the response can be made apart. */
static int kind_of(int i)
{
	return (i * 7 + i / 5) % 10;
}

static void put_request(struct maker *m, struct text *t, int i)
{
	int kind = kind_of(i);
	char line[128];

	snprintf(line, sizeof(line), "%s /%d HTTP/1.1\r\nHost: h\r\n",
		 kind == 3   ? "HEAD"
		 : kind >= 7 ? "POST"
			     : "GET",
		 i);
	put(t, line);
	if (kind >= 7)
		put_body(m, t, kind == 9);
	else
		put(t, "\r\n");
}

static void put_response(struct maker *m, struct text *t, int i)
{
	char line[128];
	int status = 200 + i % 700;

	if (kind_of(i) == 8)
		put(t, "HTTP/1.1 100 Continue\r\n\r\n");
	snprintf(line, sizeof(line), "HTTP/1.1 %d X\r\nServer: s\r\n", status);
	put(t, line);
	if (kind_of(i) == 3)
		put(t, "Content-Length: 55\r\n\r\n");
	else if (status == 204 || status == 304)
		put(t, "\r\n");
	else
		put_body(m, t, rnd(m, 3) == 0);
}

static void flush(struct maker *m, struct text *t, int server)
{
	size_t at = 0;

	while (at < t->n) {
		size_t n = t->n - at;

		if (m->big && n > 1 && rnd(m, 2))
			n = 1 + (size_t)rnd(m, (int)n);
		talk__add(&m->talk, server, EV_DATA, t->p + at, n);
		at += n;
	}
	t->n = 0;
}

static void turn(struct maker *m, int batch)
{
	struct text t = {.n = 0};

	for (int i = 0; i < batch; i++) {
		put_request(m, &t, m->n + i);
		if (m->big || rnd(m, 2))
			flush(m, &t, 0);
	}
	flush(m, &t, 0);
	for (int i = 0; i < batch; i++) {
		put_response(m, &t, m->n + i);
		if (m->big || rnd(m, 2))
			flush(m, &t, 1);
	}
	flush(m, &t, 1);
	m->n += batch;
}

static void make(struct maker *m, unsigned seed, int turns, int batch, int big)
{
	memset(m, 0, sizeof(*m));
	m->seed = seed;
	m->big = big;
	while (turns--)
		turn(m, batch == 1 ? 1 : big ? 1 + rnd(m, 3) : 2 + rnd(m, batch - 1));
}

/* Returns how many exchanges came out; none may be wrong. */
static size_t verify(struct player *pl, const struct maker *m, const char *what, size_t a, size_t b)
{
	size_t done = 0;

	player__close(pl);
	for (size_t i = 0; i < pl->sink.n; i++) {
		const struct clew_exchange *ex = &pl->sink.rec[i].copy;
		int id, kind;

		if (pl->sink.rec[i].end != REC_DONE)
			continue;
		id = atoi(ex->text + ex->target.off + 1);
		kind = kind_of(id);
		MUST(id >= 0 && id < m->n);
		if (ex->status && ex->status != 200 + id % 700)
			fail_msg("%s %zu %zu: /%d got %u", what, a, b, id, ex->status);
		if (!text_is(ex, ex->method, kind == 3 ? "HEAD" : kind >= 7 ? "POST" : "GET"))
			fail_msg("%s %zu %zu: /%d method", what, a, b, id);
		done += ex->status != 0;
	}
	player__fini(pl);
	return done;
}

static void play(struct player *pl, const struct maker *m, size_t from)
{
	for (size_t i = from; i < m->talk.n; i++)
		player__event(pl, &m->talk.ev[i]);
}

static void test_nothing_lost(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 200; seed++) {
		struct player pl;
		struct maker m;

		make(&m, seed, 20, seed % 3 + 1, (int)(seed & 1));
		player__init(&pl, &clew_http1, (int)(seed & 1));
		play(&pl, &m, 0);
		assert_int_equal(verify(&pl, &m, "whole", seed, 0), m.n);
		talk__free(&m.talk);
	}
}

/* Each run of up to `most` neighbouring events is lost, once. */
static void lose_runs(unsigned seed, int batch, int big, size_t most, size_t spare)
{
	struct maker m;

	make(&m, seed, 12, batch, big);
	for (size_t from = 0; from < m.talk.n; from++) {
		for (size_t len = 1; len <= most && from + len <= m.talk.n; len++) {
			struct player pl;
			size_t done;

			for (size_t i = 0; i < m.talk.n; i++)
				m.talk.ev[i].lost = i >= from && i < from + len;
			player__init(&pl, &clew_http1, (int)(from & 1));
			play(&pl, &m, 0);
			done = verify(&pl, &m, "run", seed * 1000 + from, len);
			/* A client that waits for each answer is followed again soon. */
			if (spare && done + spare + len < (size_t)m.n)
				fail_msg("seed %u from %zu len %zu: only %zu of %d", seed, from,
					 len, done, m.n);
		}
	}
	talk__free(&m.talk);
}

static void test_runs_lost(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 40; seed++) {
		lose_runs(seed, 1, 0, 6, 3);
		lose_runs(seed, 1, 1, 6, 4);
		lose_runs(seed, 4, 0, 4, 0);
		lose_runs(seed, 3, 1, 4, 0);
	}
}

struct tally {
	size_t done, all;
};

static void random_loss(unsigned seed, struct tally *t)
{
	int batch = seed % 3 ? 1 : 4;
	struct player pl;
	struct maker m;
	size_t done;

	make(&m, seed, 30, batch, (int)(seed & 1));
	for (size_t i = 0; i < m.talk.n; i++)
		m.talk.ev[i].lost = rnd(&m, 100) < (int)(seed % 23);
	player__init(&pl, &clew_http1, (int)(seed & 1));
	play(&pl, &m, 0);
	done = verify(&pl, &m, "random", seed, 0);
	if (batch == 1) {
		t->all += (size_t)m.n;
		t->done += done;
	}
	talk__free(&m.talk);
}

/* Some pieces are behind the budget in part, and with some seeds a few are lost as well. */
static void budget_anywhere(unsigned seed, struct tally *t)
{
	int batch = seed % 3 ? 1 : 3;
	struct player pl;
	struct maker m;
	size_t done;

	make(&m, seed, 30, batch, (int)(seed & 1));
	for (size_t i = 0; i < m.talk.n; i++) {
		struct event *ev = &m.talk.ev[i];

		if (rnd(&m, 3) == 0)
			ev->seen = (size_t)rnd(&m, (int)ev->n + 1);
		ev->lost = seed % 4 == 3 && rnd(&m, 20) == 0;
	}
	player__init(&pl, &clew_http1, (int)(seed & 1));
	play(&pl, &m, 0);
	done = verify(&pl, &m, "budget", seed, 0);
	if (batch == 1 && seed % 4 != 3) {
		t->all += (size_t)m.n;
		t->done += done;
	}
	talk__free(&m.talk);
}

/* A connection met at any event: no loss, only a past that nobody saw. */
static void joined_anywhere(unsigned seed)
{
	struct maker m;

	make(&m, seed, 10, 1, (int)(seed & 1));
	for (size_t from = 0; from < m.talk.n; from++) {
		struct player pl;
		size_t done, heads = 0;

		player__init(&pl, &clew_http1, (int)(seed & 1));
		pl.flags = CLEW_SEG_LATE;
		player__event(&pl, &m.talk.ev[from]);
		pl.flags = 0;
		play(&pl, &m, from + 1);
		done = verify(&pl, &m, "joined", seed, from);
		for (size_t i = from; i < m.talk.n; i++)
			heads += !m.talk.ev[i].server &&
				 strstr((char *)m.talk.ev[i].p, " HTTP/1.1\r\n");
		if (!m.big && done < heads)
			fail_msg("seed %u from %zu: %zu of %zu", seed, from, done, heads);
	}
	talk__free(&m.talk);
}

static void test_random_loss(void **state)
{
	struct tally t = {0, 0};

	(void)state;
	for (unsigned seed = 0; seed < 3000; seed++)
		random_loss(seed, &t);
	if (t.done * 3 < t.all)
		fail_msg("only %zu of %zu", t.done, t.all);
}

static void test_budget_anywhere(void **state)
{
	struct tally t = {0, 0};

	(void)state;
	for (unsigned seed = 0; seed < 2000; seed++)
		budget_anywhere(seed, &t);
	if (t.done * 2 < t.all)
		fail_msg("only %zu of %zu", t.done, t.all);
}

static void test_joined_anywhere(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 60; seed++)
		joined_anywhere(seed);
}

/* Two requests are outstanding at any time: after a loss nothing shows how many. */
static void test_sliding_window(void **state)
{
	struct maker m = {.seed = 1};
	struct text t = {.n = 0};

	(void)state;
	for (m.n = 0; m.n < 20; m.n++) {
		put_request(&m, &t, m.n);
		flush(&m, &t, 0);
		if (!m.n)
			continue;
		put_response(&m, &t, m.n - 1);
		flush(&m, &t, 1);
	}
	for (size_t from = 4; from < m.talk.n; from++) {
		for (size_t len = 1; len <= 4; len++) {
			struct player pl;

			for (size_t i = 0; i < m.talk.n; i++)
				m.talk.ev[i].lost = i >= from && i < from + len;
			player__init(&pl, &clew_http1, 0);
			play(&pl, &m, 0);
			verify(&pl, &m, "sliding", from, len);
		}
	}
	talk__free(&m.talk);
}

/* An answer that cannot be seen passes while only a part of its request's head was seen. */
static void test_crossed(void **state)
{
	static const char *const r[] = {"GET /0 HTTP/1.1\r\n\r\n",
					"GET /1 HTTP/1.1\r\nHost:", "GET /2 HTTP/1.1\r\n\r\n"};
	struct maker m = {.n = 3};

	(void)state;
	for (int lost = 0; lost < 2; lost++) {
		struct text t[3] = {0};
		struct player pl;

		for (int i = 0; i < 3; i++)
			put_response(&m, &t[i], i);
		player__init(&pl, &clew_http1, 0);
		player__data(&pl, 0, (const uint8_t *)r[0], strlen(r[0]));
		player__data(&pl, 1, (uint8_t *)t[0].p, t[0].n);
		player__data(&pl, 0, (const uint8_t *)r[1], strlen(r[1]));
		player__lose(&pl, 0, 6);
		if (lost)
			player__lose(&pl, 1, t[1].n);
		else
			player__skip(&pl, 1, (uint8_t *)t[1].p, t[1].n, 0);
		player__data(&pl, 0, (const uint8_t *)r[2], strlen(r[2]));
		player__data(&pl, 1, (uint8_t *)t[2].p, t[2].n);
		verify(&pl, &m, "crossed", 0, 0);
	}
}

/* Conversations that once led to a wrong pairing. */
static void test_once_wrong(void **state)
{
	static const unsigned budget[] = {12, 659, 801, 30411, 55571, 214947};
	static const unsigned joined[] = {7, 731, 2203};
	struct tally t = {0, 0};

	(void)state;
	for (size_t i = 0; i < sizeof(budget) / sizeof(budget[0]); i++)
		budget_anywhere(budget[i], &t);
	for (size_t i = 0; i < sizeof(joined) / sizeof(joined[0]); i++)
		joined_anywhere(joined[i]);
	random_loss(35109, &t);
}

/* Bodies far behind the budget: sizes, ends and pairing stay right, nothing is incomplete. */
static void test_large_bodies(void **state)
{
	static uint8_t fill[100000];
	struct player pl;

	(void)state;
	memset(fill, 'z', sizeof(fill));
	player__init(&pl, &clew_http1, 1);
	for (int i = 0; i < 50; i++) {
		static const char end[] = "zz\r\n0\r\n\r\n";
		char buf[256];

		snprintf(buf, sizeof(buf), "PUT /%d HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", i);
		player__data(&pl, 0, (uint8_t *)buf, strlen(buf));
		player__skip(&pl, 0, fill, sizeof(fill), (size_t)i % 9);
		snprintf(buf, sizeof(buf), "HTTP/1.1 %d A\r\nTransfer-Encoding: chunked\r\n\r\n%s",
			 200 + i, i & 1 ? "1f4\r\nxxx" : "");
		player__data(&pl, 1, (uint8_t *)buf, strlen(buf));
		/* Many chunks behind the budget, the last bytes in sight; in one piece or not. */
		memcpy(fill + sizeof(fill) - 9, end, 9);
		if (i % 3) {
			player__skip(&pl, 1, fill, sizeof(fill), 8);
		} else {
			player__skip(&pl, 1, fill, sizeof(fill) - 5, 8);
			player__skip(&pl, 1, (const uint8_t *)"0\r\n\r\n", 5, 5);
		}
	}
	assert_int_equal(sink__count(&pl.sink, REC_DONE), 50);
	for (int i = 0; i < 50; i++) {
		const struct clew_exchange *ex = &pl.sink.rec[i].copy;

		assert_int_equal(ex->status, 200 + i);
		assert_int_equal(ex->incomplete, 0);
		assert_int_equal(ex->req_body, 100000);
	}
	player__fini(&pl);
}

/* The end of a chunked body is not in sight: the next request tells. */
static void test_flip(void **state)
{
	static uint8_t fill[5000];
	struct player pl;

	(void)state;
	memset(fill, 'z', sizeof(fill));
	player__init(&pl, &clew_http1, 0);
	for (int i = 0; i < 10; i++) {
		char buf[256];

		snprintf(buf, sizeof(buf), "GET /%d HTTP/1.1\r\n\r\n", i);
		player__data(&pl, 0, (uint8_t *)buf, strlen(buf));
		snprintf(buf, sizeof(buf),
			 "HTTP/1.1 %d A\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n", 200 + i);
		player__data(&pl, 1, (uint8_t *)buf, strlen(buf));
		player__skip(&pl, 1, fill, sizeof(fill), 0);
		if (i & 1)
			player__skip(&pl, 1, fill, 20, 0);
		else
			player__data(&pl, 1, (const uint8_t *)"\r\n0\r\nT: 1\r\n\r\n", 13);
	}
	player__close(&pl);
	assert_int_equal(sink__count(&pl.sink, REC_DONE), 10);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(pl.sink.rec[i].copy.status, 200 + i);
		assert_int_equal(pl.sink.rec[i].copy.incomplete,
				 i & 1 ? CLEW_INC_RESPONSE_BODY : 0);
	}
	player__fini(&pl);
}

/* A head larger than the budget, on every request: each is still an exchange, and says so. */
static void test_large_heads(void **state)
{
	static uint8_t cookie[9000];
	struct player pl;

	(void)state;
	memset(cookie, 'c', sizeof(cookie));
	memcpy(cookie + sizeof(cookie) - 4, "\r\n\r\n", 4);
	player__init(&pl, &clew_http1, 0);
	for (int i = 0; i < 10; i++) {
		char buf[256];

		snprintf(buf, sizeof(buf), "GET /%d HTTP/1.1\r\nHost: h\r\nCookie: ", i);
		player__data(&pl, 0, (uint8_t *)buf, strlen(buf));
		player__skip(&pl, 0, cookie, sizeof(cookie), 8);
		snprintf(buf, sizeof(buf), "HTTP/1.1 %d A\r\nContent-Length: 0\r\n\r\n", 200 + i);
		player__data(&pl, 1, (uint8_t *)buf, strlen(buf));
	}
	player__close(&pl);
	assert_int_equal(sink__count(&pl.sink, REC_DONE), 10);
	for (int i = 0; i < 10; i++) {
		const struct clew_exchange *ex = &pl.sink.rec[i].copy;

		assert_int_equal(ex->status, 200 + i);
		assert_true(text_is(ex, ex->host, "h"));
		assert_true(ex->incomplete & CLEW_INC_REQUEST_HEAD);
	}
	player__fini(&pl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_lost),
		cmocka_unit_test(test_runs_lost),
		cmocka_unit_test(test_random_loss),
		cmocka_unit_test(test_budget_anywhere),
		cmocka_unit_test(test_joined_anywhere),
		cmocka_unit_test(test_large_bodies),
		cmocka_unit_test(test_flip),
		cmocka_unit_test(test_once_wrong),
		cmocka_unit_test(test_sliding_window),
		cmocka_unit_test(test_crossed),
		cmocka_unit_test(test_large_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
