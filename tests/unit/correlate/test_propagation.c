/* SPDX-License-Identifier: Apache-2.0 */
/* W3C Trace Context: the cases of the specification and of its own test suite, on the parser. */
#include "sim.h"

#define T "0af7651916cd43dd8448eb211c80319c"
#define P "b7ad6b7169203331"

struct tp_case {
	const char *text;
	int good;
};

static void traceparent_cases(void **state)
{
	static const struct tp_case cases[] = {
		{"00-" T "-" P "-01", 1},
		{"00-" T "-" P "-00", 1},
		{"00-" T "-" P "-ff", 1},
		{" 00-" T "-" P "-01\t", 1},
		{"cc-" T "-" P "-01", 1},
		{"cc-" T "-" P "-01-what-the-future-will-be-like", 1},
		{"cc-" T "-" P "-01.what-the-future-will-be-like", 0},
		{"cc-" T "-" P "-01what", 0},
		{"ff-" T "-" P "-01", 0},
		{"00-" T "-" P "-01-what", 0},
		{"00-" T "-" P "-01-", 0},
		{"00-" T "-" P "-0", 0},
		{"00-" T "-" P "-001", 0},
		{"00-" T "-" P "-.1", 0},
		{"00-" T "-" P "-0G", 0},
		{"00-" T "-" P, 0},
		{"00-00000000000000000000000000000000-" P "-01", 0},
		{"00-" T "-0000000000000000-01", 0},
		{"00-0AF7651916cd43dd8448eb211c80319c-" P "-01", 0},
		{"00-" T "-B7ad6b7169203331-01", 0},
		{"0-" T "-" P "-01", 0},
		{"000-" T "-" P "-01", 0},
		{".0-" T "-" P "-01", 0},
		{"0A-" T "-" P "-01", 0},
		{"00_" T "-" P "-01", 0},
		{"00-" T "_" P "-01", 0},
		{"00-" T "-" P "_01", 0},
		{"00-.af7651916cd43dd8448eb211c80319c-" P "-01", 0},
		{"00-" T "-.7ad6b7169203331-01", 0},
		{"00-0" T "-" P "-01", 0},
		{"", 0},
		{"-", 0},
	};
	struct co_header h;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int good;
		/* exact allocation, so that reading past the end is seen */
		size_t n = strlen(cases[i].text);
		char *text = malloc(n ? n : 1);

		memcpy(text, cases[i].text, n);
		memset(&h, 0, sizeof(h));
		good = co_traceparent__parse(text, n, &h) == 0;
		if (good != cases[i].good)
			fail_msg("'%s': %d", cases[i].text, good);
		assert_int_equal(h.valid, good);
		free(text);
	}
	assert_int_equal(co_traceparent__parse("00-" T "-" P "-03", 55, &h), 0);
	assert_int_equal(h.flags, 3);
	assert_int_equal(h.trace_id[0], 0x0a);
	assert_int_equal(h.trace_id[15], 0x9c);
	assert_int_equal(h.span_id[7], 0x31);
}

static void check_state(const char *in, const char *want)
{
	char out[512];
	size_t len = strlen(in), n;
	char *text = malloc(len ? len : 1);

	memcpy(text, in, len);
	n = co_tracestate__parse(text, len, out, sizeof(out));
	free(text);
	if (n != strlen(want) || memcmp(out, want, n))
		fail_msg("'%s' gave '%.*s', not '%s'", in, (int)n, out, want);
}

static char *member(char *at, char key, size_t total)
{
	*at++ = key;
	*at++ = '=';
	memset(at, 'v', total - 2);
	return at + total - 2;
}

static void tracestate_cases(void **state)
{
	(void)state;
	check_state("", "");
	check_state("foo=1", "foo=1");
	check_state("foo=1,bar=2", "foo=1,bar=2");
	check_state("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3");
	check_state("foo=1,", "foo=1");
	check_state(",foo=1,,bar=2", "foo=1,bar=2");
	check_state("foo@=1,bar=2", "");
	check_state("@foo=1,bar=2", "");
	check_state("foo@@bar=1,bar=2", "");
	check_state("foo@bar@baz=1,bar=2", "");
	check_state("foo@bar=1", "foo@bar=1");
	check_state("0foo@bar=1", "0foo@bar=1");
	check_state("0foo=1", "");
	check_state("FOO=1", "");
	check_state("foo.bar=1", "");
	check_state("foo =1", "");
	check_state("foo=1=2", "");
	check_state("foo", "");
	check_state("foo=", "");
	check_state("=1", "");
	check_state("foo=1,foo=2", "");
	check_state("foo=bar baz", "foo=bar baz");
	check_state("foo=bar\x01", "");
	check_state("foo=1;bar=2", "");
	check_state("foo=1;bar", "foo=1;bar");
}

static void tracestate_lengths(void **state)
{
	char in[2048], want[2048], *p;
	int i;

	(void)state;
	/* 32 members are the most */
	for (p = in, i = 0; i < 32; i++)
		p += sprintf(p, "%sk%d=1", i ? "," : "", i);
	check_state(in, in);
	sprintf(p, ",k32=1");
	check_state(in, "");
	/* key and value lengths */
	memset(in, 'a', 256);
	strcpy(in + 256, "=1");
	check_state(in, in);
	memset(in, 'a', 257);
	strcpy(in + 257, "=1");
	check_state(in, "");
	/* 241 @ 14, not 242 and not 15 */
	memset(in, 't', 241);
	strcpy(in + 241, "@vvvvvvvvvvvvvv=1");
	check_state(in, in);
	strcpy(in + 241, "@vvvvvvvvvvvvvvv=1");
	check_state(in, "");
	memset(in, 't', 242);
	strcpy(in + 242, "@v=1");
	check_state(in, "");
	/* too long: entries over 128 characters go first, from the right, then the rightmost */
	p = member(in, 'a', 200);
	*p++ = ',';
	p = member(p, 'b', 100);
	*p++ = ',';
	p = member(p, 'c', 200);
	*p++ = ',';
	p = member(p, 'd', 100);
	*p = 0;
	p = member(want, 'a', 200);
	*p++ = ',';
	p = member(p, 'b', 100);
	*p++ = ',';
	p = member(p, 'd', 100);
	*p = 0;
	check_state(in, want);
	for (p = in, i = 0; i < 6; i++) {
		if (i)
			*p++ = ',';
		p = member(p, (char)('a' + i), 100);
	}
	*p = 0;
	memcpy(want, in, 504);
	want[504] = 0;
	check_state(in, want);
	/* a single member that is too long leaves nothing */
	memset(in, 'a', 256);
	in[256] = '=';
	memset(in + 257, 'v', 256);
	in[513] = 0;
	check_state(in, "");
}

static const struct who web = {.pid = 10, .tid = 10, .kind = CLEW_CTX_THREAD};

static void adoption(void **state)
{
	const struct sim_head head = {.traceparent = "00-" T "-" P "-01",
				      .tracestate = "a=1 , b=2"};
	const struct sim_head zero = {.traceparent = "00-" T "-" P "-00"};
	const struct sim_head bad = {.traceparent = "00-" T "-" P "-0x", .tracestate = "a=1"};
	const struct sim_head twice = {.traceparent = "00-" T "-" P "-01", .twice = true};
	const struct sim_head junk = {.traceparent = "00-" T "-" P "-01", .tracestate = "A=1"};
	const struct sim_head *heads[] = {&head, &zero, &bad, &twice, &junk};
	struct sim sim = {0};
	struct sim_conn in, out;
	struct sim_ex *x[5], *c;
	struct co_header h;
	int i;

	(void)state;
	sim_init(&sim);
	co_traceparent__parse("00-" T "-" P "-01", 55, &h);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &out, 10, 0, 81);
	for (i = 0; i < 5; i++) {
		x[i] = sim_request_at(&sim, &in, true, &web, 1000 + 100 * (uint64_t)i, "/",
				      heads[i]);
		c = i ? NULL : sim_send(&sim, &out, &web, "/down");
		if (c)
			sim_answer(&sim, c, &web);
		sim_answer(&sim, x[i], &web);
		sim_settle(&sim);
		if (!c)
			continue;
		assert_parent(c, x[0], CLEW_LINK_EXACT, "thread");
		assert_int_equal(c->place.parent_remote, 0);
		assert_int_equal(c->place.adopted, 1);
		assert_int_equal(c->state_len, 7);
		assert_memory_equal(c->state, "a=1,b=2", 7);
	}
	assert_memory_equal(x[0]->place.trace_id, h.trace_id, 16);
	assert_memory_equal(x[0]->place.parent_span_id, h.span_id, 8);
	assert_int_equal(x[0]->place.parent_remote, 1);
	assert_int_equal(x[0]->place.link, CLEW_LINK_EXACT);
	assert_string_equal(x[0]->place.evidence, "traceparent");
	assert_int_equal(x[0]->place.sampled, 1);
	assert_int_equal(x[1]->place.sampled, 0);
	assert_int_equal(x[1]->place.adopted, 1);
	assert_root(x[2]);
	assert_int_equal(x[2]->state_len, 0);
	assert_int_equal(x[2]->place.sampled, 1);
	assert_root(x[3]);
	assert_memory_equal(x[4]->place.trace_id, h.trace_id, 16);
	assert_int_equal(x[4]->state_len, 0);
	sim_free(&sim);
}

/* An application with its own SDK: SDK span -> C -> S. */
static void own_sdk(void **state)
{
	const struct sim_head sdk = {.traceparent = "00-" T "-" P "-01"};
	const struct who down = {.pid = 20, .tid = 20, .kind = CLEW_CTX_THREAD};
	struct sim sim = {0};
	struct sim_conn in, out;
	struct sim_ex *x, *c, *s;
	struct co_header h;

	(void)state;
	sim_init(&sim);
	co_traceparent__parse(sdk.traceparent, 55, &h);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &out, 10, 20, 81);
	x = sim_recv(&sim, &in, &web, "/");
	c = sim_request_at(&sim, &out, false, &web, 500, "/d", &sdk);
	s = sim_request_at(&sim, &out, true, &down, 500, "/d", &sdk);
	sim_answer(&sim, s, &down);
	sim_answer(&sim, c, &web);
	sim_answer(&sim, x, &web);
	sim_settle(&sim);
	assert_memory_equal(c->place.trace_id, h.trace_id, 16);
	assert_memory_equal(c->place.parent_span_id, h.span_id, 8);
	assert_int_equal(c->place.parent_remote, 1);
	assert_string_equal(c->place.evidence, "traceparent");
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	/* the rules named x, whose trace is another: counted */
	assert_int_equal(clew_correlate__stats(sim.co)->conflicts, 1);
	sim_free(&sim);
}

/* A proxy that passes the header on: P -> X -> C -> S, not P -> C. */
static void passed_on(void **state)
{
	const struct sim_head sdk = {.traceparent = "00-" T "-" P "-01"};
	const struct who down = {.pid = 20, .tid = 20, .kind = CLEW_CTX_THREAD};
	struct who none = web;
	struct sim sim = {0};
	struct sim_conn in, out;
	struct sim_ex *x, *c, *s, *c2;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &out, 10, 20, 81);
	x = sim_request_at(&sim, &in, true, &web, 500, "/", &sdk);
	c = sim_request_at(&sim, &out, false, &web, 500, "/d", &sdk);
	s = sim_request_at(&sim, &out, true, &down, 500, "/d", &sdk);
	none.kind = CLEW_CTX_NONE;
	c2 = sim_request_at(&sim, &out, false, &none, 700, "/e", &sdk);
	sim_answer(&sim, s, &down);
	sim_answer(&sim, c, &web);
	sim_answer(&sim, c2, &none);
	sim_answer(&sim, x, &web);
	sim_settle(&sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	/* nobody knows whose this is: right trace, an ancestor as parent, and it says so */
	assert_int_equal(c2->place.link, CLEW_LINK_INFERRED);
	assert_string_equal(c2->place.evidence, "traceparent-forwarded");
	assert_int_equal(clew_correlate__stats(sim.co)->forwarded, 1);
	assert_int_equal(clew_correlate__stats(sim.co)->conflicts, 0);
	sim_free(&sim);
}

/* The server's header names another span than the client request that came over the socket. */
static void header_beats_join(void **state)
{
	const struct sim_head sdk = {.traceparent = "00-" T "-" P "-01"};
	const struct who down = {.pid = 20, .tid = 20, .kind = CLEW_CTX_THREAD};
	struct sim sim = {0};
	struct sim_conn out;
	struct sim_ex *c, *s;
	struct co_header h;

	(void)state;
	sim_init(&sim);
	co_traceparent__parse(sdk.traceparent, 55, &h);
	sim_connect(&sim, &out, 10, 20, 81);
	c = sim_request_at(&sim, &out, false, &web, 500, "/d", NULL);
	s = sim_request_at(&sim, &out, true, &down, 500, "/d", &sdk);
	sim_answer(&sim, s, &down);
	sim_answer(&sim, c, &web);
	sim_settle(&sim);
	assert_root(c);
	assert_memory_equal(s->place.parent_span_id, h.span_id, 8);
	assert_int_equal(clew_correlate__stats(sim.co)->conflicts, 1);
	sim_free(&sim);
}

static void assert_worn(const struct sim_ex *se)
{
	assert_root(se);
	assert_string_equal(se->place.evidence, "traceparent-worn");
	assert_int_equal(se->place.adopted, 0);
	assert_int_equal(se->place.sampled, 1);
	assert_int_equal(se->state_len, 0);
}

static struct sim_ex *one(struct sim *sim, struct sim_conn *k, const struct who *w,
			  const struct sim_head *head)
{
	struct sim_ex *se;

	k->c2s += 100;
	se = sim_request_at(sim, k, w->pid != 0, w, k->c2s, "/", head);
	sim_answer(sim, se, w);
	sim_tick(sim, 300);
	return se;
}

/* One parent again and again: by count, by age, per process; and what the rules say then. */
static void worn(void **state)
{
	const struct sim_head stale = {.traceparent = "00-" T "-" P "-00", .tracestate = "a=1"};
	const struct sim_head other = {.traceparent = "00-" T "-00f067aa0ba902b8-01",
				       .tracestate = "b=22"};
	const struct who next = {.pid = 20, .tid = 20, .kind = CLEW_CTX_THREAD};
	const struct clew_correlate_stats *stats;
	struct sim sim = {0};
	struct sim_conn in, in2, out;
	struct sim_ex *se, *x, *c, *s;
	int i;

	(void)state;
	sim_init(&sim);
	stats = clew_correlate__stats(sim.co);
	sim_connect(&sim, &in, 0, 10, 80);
	sim_connect(&sim, &in2, 0, 20, 80);
	for (i = 0; i < 1000; i++) {
		se = one(&sim, &in, &web, &stale);
		assert_int_equal(se->place.link, CLEW_LINK_EXACT);
	}
	assert_int_equal(stats->worn, 0);
	assert_worn(one(&sim, &in, &web, &stale));
	assert_int_equal(stats->worn, 1);
	/* another process, and another parent in the same trace */
	assert_int_equal(one(&sim, &in2, &next, &stale)->place.link, CLEW_LINK_EXACT);
	assert_int_equal(one(&sim, &in, &web, &other)->place.link, CLEW_LINK_EXACT);
	assert_int_equal(stats->conflicts, 0);
	/* what passes the stale header on is found by the rules, and by the socket */
	sim_connect(&sim, &out, 10, 20, 81);
	in.c2s += 100;
	x = sim_request_at(&sim, &in, true, &web, in.c2s, "/", &stale);
	c = sim_request_at(&sim, &out, false, &web, 500, "/d", &stale);
	s = sim_request_at(&sim, &out, true, &next, 500, "/d", &stale);
	sim_answer(&sim, s, &next);
	sim_answer(&sim, c, &web);
	sim_answer(&sim, x, &web);
	sim_settle(&sim);
	assert_worn(x);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
	assert_int_equal(c->state_len, 0);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	assert_int_equal(stats->worn, 3);
	/* a cause of another trace: its state, not that of the stale header */
	in.c2s += 100;
	x = sim_request_at(&sim, &in, true, &web, in.c2s, "/", &other);
	c = sim_request_at(&sim, &out, false, &web, 700, "/d", &stale);
	sim_answer(&sim, c, &web);
	sim_answer(&sim, x, &web);
	sim_settle(&sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
	assert_int_equal(c->state_len, 4);
	assert_memory_equal(c->state, "b=22", 4);
	sim_free(&sim);
}

static void worn_by_age(void **state)
{
	const struct sim_head stale = {.traceparent = "00-" T "-" P "-00"};
	struct sim sim = {0};
	struct sim_conn in;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &in, 0, 10, 80);
	assert_int_equal(one(&sim, &in, &web, &stale)->place.link, CLEW_LINK_EXACT);
	sim_tick(&sim, 3600 * 1000 - 1000);
	assert_int_equal(one(&sim, &in, &web, &stale)->place.link, CLEW_LINK_EXACT);
	sim_tick(&sim, 1000);
	assert_worn(one(&sim, &in, &web, &stale));
	sim_free(&sim);
}

/* A client request with a stale header that no rule knows. */
static void worn_client(void **state)
{
	const struct sim_head stale = {.traceparent = "00-" T "-" P "-00"};
	struct who w = {.pid = 10, .tid = 10, .kind = CLEW_CTX_NONE};
	struct sim sim = {0};
	struct sim_conn out;
	struct sim_ex *c = NULL;
	int i;

	(void)state;
	sim_init(&sim);
	sim_connect(&sim, &out, 10, 0, 81);
	for (i = 0; i <= 1000; i++) {
		c = sim_request_at(&sim, &out, false, &w, 100 * (uint64_t)i, "/", &stale);
		sim_answer(&sim, c, &w);
		if (i < 1000)
			assert_string_equal(c->place.evidence, "traceparent");
	}
	assert_worn(c);
	assert_int_equal(clew_correlate__stats(sim.co)->forwarded, 0);
	sim_free(&sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traceparent_cases),
		cmocka_unit_test(tracestate_cases),
		cmocka_unit_test(tracestate_lengths),
		cmocka_unit_test(adoption),
		cmocka_unit_test(own_sdk),
		cmocka_unit_test(passed_on),
		cmocka_unit_test(header_beats_join),
		cmocka_unit_test(worn),
		cmocka_unit_test(worn_by_age),
		cmocka_unit_test(worn_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
