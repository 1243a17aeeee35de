/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets: ends that were seen from the start, and older ones whose shift must be learned. */
#include "sim.h"

static const struct who cl = {.pid = 10, .tid = 10};
static const struct who sv = {.pid = 20, .tid = 20};

/* What both ends count while nothing is lost: the client's position, plus the shift. */
struct pair {
	struct sim sim;
	struct sim_conn k;
	uint64_t shift;
};

static void make_ends(struct sim *sim, struct sim_conn *k, uint64_t sk, uint64_t peer,
		      bool from_start)
{
	sim_connect(sim, k, 0, 0, 0);
	k->c.pid = 10;
	k->s.pid = 20;
	k->c.family = k->s.family = 1;
	k->c.sk = k->s.peer_sk = sk;
	k->s.sk = k->c.peer_sk = peer;
	k->c.from_start = k->s.from_start = from_start;
	k->c2s = 0;
}

static void old_pair(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	sim_init(&p->sim);
	sim_runtime(&p->sim, 10, CLEW_RT_NGINX);
	make_ends(&p->sim, &p->k, 0x1000, 0x2000, false);
	sim_opened(&p->sim, &p->k.c);
	sim_opened(&p->sim, &p->k.s);
	p->shift = 12345;
}

static struct sim_ex *ask(struct pair *p, const char *target)
{
	return sim_send(&p->sim, &p->k, &cl, target);
}

/* The server reads the client's newest request. */
static struct sim_ex *take(struct pair *p, const char *target)
{
	return sim_request_at(&p->sim, &p->k, true, &sv, p->k.c2s - 100 + p->shift, target, NULL);
}

static void both_answer(struct pair *p, struct sim_ex *s, struct sim_ex *c)
{
	sim_answer(&p->sim, s, &sv);
	sim_answer(&p->sim, c, &cl);
}

/* One whole exchange in its usual order. */
static struct sim_ex *turn(struct pair *p, const char *target, struct sim_ex **ret_c)
{
	struct sim_ex *c = ask(p, target), *s = take(p, target);

	both_answer(p, s, c);
	if (ret_c)
		*ret_c = c;
	return s;
}

static uint64_t conflicts(const struct pair *p)
{
	return clew_correlate__stats(p->sim.co)->conflicts;
}

static void from_start(void **state)
{
	struct sim sim = {0};
	struct sim_conn k, k2;
	struct sim_ex *s, *c, *old;

	(void)state;
	sim_init(&sim);
	make_ends(&sim, &k, 0x1000, 0x2000, true);
	sim_opened(&sim, &k.c);
	sim_opened(&sim, &k.s);
	c = sim_send(&sim, &k, &cl, "/a");
	s = sim_recv_same(&sim, &k, &sv, "/a");
	sim_answer(&sim, s, &sv);
	sim_answer(&sim, c, &cl);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	/* the server's record first, before its client's end is known at all */
	make_ends(&sim, &k, 0x1100, 0x2100, true);
	sim_opened(&sim, &k.s);
	s = sim_recv(&sim, &k, &sv, "/a");
	sim_opened(&sim, &k.c);
	c = sim_request_at(&sim, &k, false, &cl, 0, "/a", NULL);
	sim_answer(&sim, s, &sv);
	sim_answer(&sim, c, &cl);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	/* the addresses are reused by the next pair, whose server end is reported first */
	make_ends(&sim, &k, 0x1200, 0x2200, true);
	sim_opened(&sim, &k.c);
	old = sim_send(&sim, &k, &cl, "/a");
	sim_closed(&sim, &k.c, CLEW_CLOSE_GONE);
	make_ends(&sim, &k2, 0x1200, 0x2200, true);
	sim_opened(&sim, &k2.s);
	s = sim_recv(&sim, &k2, &sv, "/a");
	sim_opened(&sim, &k2.c);
	c = sim_request_at(&sim, &k2, false, &cl, 0, "/a", NULL);
	sim_answer(&sim, s, &sv);
	sim_answer(&sim, c, &cl);
	sim_answer(&sim, old, &cl);
	sim_settle(&sim);
	assert_root(old);
	if (s->place.has_parent)
		assert_memory_equal(s->place.parent_span_id, c->place.span_id, 8);
	sim_free(&sim);
}

/* The first pair teaches, the second proves, and then the position alone is enough. */
static void learn(void **state)
{
	struct pair p;
	struct sim_ex *s, *c;
	int i;

	(void)state;
	old_pair(&p);
	s = turn(&p, "/a", &c);
	assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
	for (i = 0; i < 3; i++) {
		s = turn(&p, "/b", &c);
		assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	}
	/* the server's record first, and the client has gone on since its answer: position alone */
	s = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/c", NULL);
	sim_answer(&p.sim, s, &sv);
	p.sim.now += SIM_MS;
	c = ask(&p, "/c");
	sim_answer(&p.sim, c, &cl);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	assert_int_equal(conflicts(&p), 0);
	sim_free(&p.sim);
}

/* Only what is proved is claimed when inferred links are not wanted. */
static void learn_exact_only(void **state)
{
	struct pair p;
	struct sim_ex *s, *c;

	(void)state;
	old_pair(&p);
	p.sim.cfg.correlate.exact_only = true;
	s = turn(&p, "/a", &c);
	assert_root(s);
	s = turn(&p, "/a", &c);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	sim_free(&p.sim);
}

/* B: the client's first request since the server read one, and nothing came in on its end. */
static void server_first(void **state)
{
	struct pair p;
	struct sim_ex *s, *c, *s2, *c2;

	(void)state;
	old_pair(&p);
	s = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/a", NULL);
	c = ask(&p, "/a");
	both_answer(&p, s, c);
	assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
	s2 = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/a", NULL);
	c2 = ask(&p, "/a");
	both_answer(&p, s2, c2);
	assert_parent(s2, c2, CLEW_LINK_EXACT, "socket-pair");
	sim_free(&p.sim);
}

/* A, with the client's record between two reads of its request (FastCGI: a record at a time). */
static void between_reads(void **state)
{
	struct sim_ex *s, *c;
	struct pair p;

	(void)state;
	old_pair(&p);
	s = sim_ex(&p.sim, &p.k.s, true, &sv, p.k.c2s + p.shift, "/a", NULL);
	p.sim.now += 1000;
	c = ask(&p, "/a");
	p.sim.now += 1000;
	sim_segment(&p.sim, &p.k.s, &sv, CLEW_RECV, p.k.c2s + p.shift - 92, 92);
	clew_correlate__request(p.sim.co, &s->ex);
	both_answer(&p, s, c);
	assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
	sim_free(&p.sim);
}

/* The same, but nobody knows since when the client is watched: the next pair tells. */
static void server_first_unwatched(void **state)
{
	struct pair p;
	struct sim_ex *s, *c, *s2, *c2;

	(void)state;
	memset(&p, 0, sizeof(p));
	sim_init(&p.sim);
	make_ends(&p.sim, &p.k, 0x1000, 0x2000, false);
	p.shift = 77;
	sim_opened(&p.sim, &p.k.s);
	s = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/a", NULL);
	sim_runtime(&p.sim, 10, CLEW_RT_NGINX); /* too late: its calls may not have been seen */
	sim_opened(&p.sim, &p.k.c);
	c = ask(&p, "/a");
	both_answer(&p, s, c);
	assert_int_equal(s->released, 0);
	s2 = turn(&p, "/b", &c2);
	assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
	assert_parent(s2, c2, CLEW_LINK_INFERRED, "socket-pair-order");
	s2 = turn(&p, "/b", &c2);
	assert_parent(s2, c2, CLEW_LINK_EXACT, "socket-pair");
	sim_free(&p.sim);
}

/* A request in flight when the client was met: its server end is nobody's, the next is not its. */
static void in_flight(void **state)
{
	struct pair p;
	struct sim_ex *s, *s2, *c2;

	(void)state;
	old_pair(&p);
	/* read after, written before */
	s = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/a", NULL);
	p.shift += 100;
	sim_response(&p.sim, s, &sv);
	p.sim.now += 1000;
	sim_segment(&p.sim, &p.k.c, &cl, CLEW_RECV, 0, 50); /* the answer, to the client */
	sim_done(&p.sim, s);
	c2 = ask(&p, "/a");
	s2 = take(&p, "/a");
	both_answer(&p, s2, c2);
	sim_settle(&p.sim);
	assert_root(s);
	assert_parent(s2, c2, CLEW_LINK_INFERRED, "socket-pair-order");
	sim_free(&p.sim);
}

/* The same; the server was held up in its write, so that its record of it comes last. */
static void in_flight_slow_write(void **state)
{
	struct pair p;
	struct sim_ex *s, *s2, *c2;

	(void)state;
	old_pair(&p);
	s = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/a", NULL);
	p.shift += 100;
	p.sim.now += 1000;
	sim_segment(&p.sim, &p.k.c, &cl, CLEW_RECV, 0, 50);
	c2 = ask(&p, "/a");
	sim_response(&p.sim, s, &sv);
	sim_done(&p.sim, s);
	s2 = take(&p, "/a");
	both_answer(&p, s2, c2);
	sim_settle(&p.sim);
	assert_root(s);
	assert_parent(s2, c2, CLEW_LINK_INFERRED, "socket-pair-order");
	sim_free(&p.sim);
}

/*
 * The known counter-example: R1 in flight, unseen, and R2 pipelined behind it. The first link is
 * wrong, and inferred; nothing exact ever comes of it.
 */
static void in_flight_pipelined(void **state)
{
	struct pair p;
	struct sim_ex *s1, *s2, *c2, *c3, *s3;

	(void)state;
	old_pair(&p);
	c2 = ask(&p, "/a");
	s1 = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s - 100 + p.shift, "/a", NULL);
	p.shift += 100;
	sim_answer(&p.sim, s1, &sv);
	c3 = ask(&p, "/a"); /* R2 is not answered yet */
	s2 = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s - 200 + p.shift, "/a", NULL);
	both_answer(&p, s2, c2);
	s3 = take(&p, "/a");
	both_answer(&p, s3, c3);
	sim_settle(&p.sim);
	assert_parent(s1, c2, CLEW_LINK_INFERRED, "socket-pair-order");
	assert_true(s2->place.link != CLEW_LINK_EXACT);
	assert_true(s3->place.link != CLEW_LINK_EXACT);
	sim_free(&p.sim);
}

/* A client that is seen to pipeline teaches nothing. */
static void pipelining(void **state)
{
	struct pair p;
	struct sim_ex *s1, *s2, *c1, *c2;

	(void)state;
	old_pair(&p);
	c1 = ask(&p, "/a");
	c2 = ask(&p, "/a");
	s1 = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s - 200 + p.shift, "/a", NULL);
	s2 = take(&p, "/a");
	sim_answer(&p.sim, s1, &sv);
	both_answer(&p, s2, c1);
	sim_answer(&p.sim, c2, &cl);
	assert_int_equal(conflicts(&p), 0);
	s1 = turn(&p, "/a", &c1);
	s2 = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/a", NULL);
	c2 = ask(&p, "/a");
	both_answer(&p, s2, c2);
	sim_settle(&p.sim);
	assert_root(s1);
	assert_root(s2);
	sim_free(&p.sim);
	/* a shift that is proved already is as good as before */
	old_pair(&p);
	turn(&p, "/a", NULL);
	turn(&p, "/a", NULL);
	c1 = ask(&p, "/a");
	c2 = ask(&p, "/a");
	s1 = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s - 200 + p.shift, "/a", NULL);
	s2 = take(&p, "/a");
	sim_answer(&p.sim, s1, &sv);
	both_answer(&p, s2, c1);
	sim_answer(&p.sim, c2, &cl);
	assert_parent(s1, c1, CLEW_LINK_EXACT, "socket-pair");
	assert_parent(s2, c2, CLEW_LINK_EXACT, "socket-pair");
	sim_free(&p.sim);
}

static void targets_differ(void **state)
{
	struct pair p;
	struct sim_ex *s, *c;

	(void)state;
	old_pair(&p);
	c = ask(&p, "/a");
	s = take(&p, "/b");
	both_answer(&p, s, c);
	sim_settle(&p.sim);
	assert_root(s);
	assert_int_equal(conflicts(&p), 1);
	s = turn(&p, "/a", &c);
	assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
	/* at the place that was learned, too */
	c = ask(&p, "/a");
	s = take(&p, "/b");
	both_answer(&p, s, c);
	sim_settle(&p.sim);
	assert_root(s);
	assert_int_equal(conflicts(&p), 2);
	sim_free(&p.sim);
	/* and where the order says nothing: the shift is given up */
	old_pair(&p);
	turn(&p, "/a", NULL);
	turn(&p, "/a", NULL);
	s = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/b", NULL);
	p.sim.now += 1000;
	sim_segment(&p.sim, &p.k.c, &cl, CLEW_RECV, 0, 50);
	c = ask(&p, "/a");
	both_answer(&p, s, c);
	assert_int_equal(conflicts(&p), 1);
	s = turn(&p, "/a", &c);
	assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
	sim_free(&p.sim);
}

/* A request whose client's record was lost: it is nobody's, and contradicts nothing. */
static void client_record_lost(void **state)
{
	struct pair p;
	struct sim_ex *s, *s2, *c;

	(void)state;
	old_pair(&p);
	c = ask(&p, "/a");
	s = take(&p, "/a");
	sim_answer(&p.sim, s, &sv);
	p.k.c2s += 100;
	s2 = take(&p, "/a");
	both_answer(&p, s2, c);
	assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
	s = turn(&p, "/a", &c);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	sim_settle(&p.sim);
	assert_root(s2);
	assert_int_equal(conflicts(&p), 0);
	sim_free(&p.sim);
}

/* Records that came in another order than that of their times teach nothing. */
static void disorder(void **state)
{
	struct pair p;
	struct sim_ex *s, *c;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		old_pair(&p);
		p.sim.now += SIM_MS;
		if (i) { /* S, then an older C */
			s = sim_request_at(&p.sim, &p.k, true, &sv, p.shift, "/a", NULL);
			p.sim.now -= 5000;
			c = ask(&p, "/a");
		} else { /* C, then an older S */
			c = ask(&p, "/a");
			p.sim.now -= 5000;
			s = take(&p, "/a");
		}
		p.sim.now += 10000;
		both_answer(&p, s, c);
		sim_settle(&p.sim);
		assert_root(s);
		s = turn(&p, "/a", &c);
		assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
		sim_free(&p.sim);
	}
}

/* The client had been answered before the server read: another request's end, its own was lost. */
static void answered_before(void **state)
{
	struct pair p;
	struct sim_ex *s, *c;

	(void)state;
	old_pair(&p);
	c = ask(&p, "/a");
	sim_answer(&p.sim, c, &cl);
	s = take(&p, "/a");
	sim_answer(&p.sim, s, &sv);
	sim_settle(&p.sim);
	assert_root(s);
	sim_free(&p.sim);
}

/* Bytes that one end missed: the shift has changed. Once it is learned anew, twice it is not. */
static void contradiction(void **state)
{
	struct pair p;
	struct sim_ex *s, *c;

	(void)state;
	old_pair(&p);
	turn(&p, "/a", NULL);
	turn(&p, "/a", NULL);
	p.shift += 31;
	s = turn(&p, "/a", &c);
	sim_settle(&p.sim);
	assert_root(s);
	assert_int_equal(conflicts(&p), 1);
	s = turn(&p, "/a", &c);
	assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
	s = turn(&p, "/a", &c);
	assert_parent(s, c, CLEW_LINK_EXACT, "socket-pair");
	p.shift += 31;
	s = turn(&p, "/a", &c);
	assert_root(s);
	assert_int_equal(conflicts(&p), 2);
	s = turn(&p, "/a", &c);
	assert_root(s);
	s = turn(&p, "/a", &c);
	assert_root(s);
	assert_int_equal(conflicts(&p), 2);
	sim_free(&p.sim);
}

/* What waits under a shift that is refuted meanwhile is not joined by it. */
static void contradiction_while_waiting(void **state)
{
	struct pair p;
	struct sim_ex *s, *s2, *c, *c2;

	(void)state;
	old_pair(&p);
	turn(&p, "/a", NULL);
	/* its client's record will be late */
	s = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/a", NULL);
	sim_response(&p.sim, s, &sv);
	sim_done(&p.sim, s);
	p.k.c2s += 100;
	p.shift += 7;
	p.sim.now += 1000;
	c2 = ask(&p, "/a");
	s2 = take(&p, "/a");
	both_answer(&p, s2, c2);
	assert_root(s2);
	assert_int_equal(conflicts(&p), 1);
	s2 = turn(&p, "/a", &c2); /* learned anew */
	assert_parent(s2, c2, CLEW_LINK_INFERRED, "socket-pair-order");
	c = sim_request_at(&p.sim, &p.k, false, &cl, p.k.c2s - 300, "/a", NULL);
	sim_answer(&p.sim, c, &cl);
	sim_settle(&p.sim);
	assert_root(s);
	/* what the connection itself remembers: its newest request */
	assert_int_equal(clew_correlate__stats(p.sim.co)->nodes, 1);
	sim_free(&p.sim);
}

/* The client's end is met anew, or belongs to another pair: what was learned is void. */
static void another_end(void **state)
{
	struct pair p;
	struct sim_conn other;
	struct sim_ex *s, *c;

	(void)state;
	old_pair(&p);
	turn(&p, "/a", NULL);
	turn(&p, "/a", NULL);
	p.k.c.id = p.sim.next_id++;
	sim_opened(&p.sim, &p.k.c);
	p.k.c2s += 55;
	s = turn(&p, "/a", &c);
	assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
	assert_int_equal(conflicts(&p), 0);
	/* an end with the same address, whose peer is another */
	make_ends(&p.sim, &other, 0x1000, 0x3000, false);
	other.c2s = p.k.c2s;
	sim_opened(&p.sim, &other.c);
	c = sim_send(&p.sim, &other, &cl, "/a");
	s = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/a", NULL);
	both_answer(&p, s, c);
	sim_settle(&p.sim);
	assert_root(s);
	sim_free(&p.sim);
}

/* One end was seen from the start, the other was not: their positions cannot be compared. */
static void half_old(void **state)
{
	struct pair p;
	struct sim_ex *s, *c;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		memset(&p, 0, sizeof(p));
		sim_init(&p.sim);
		make_ends(&p.sim, &p.k, 0x1000, 0x2000, true);
		*(i ? &p.k.c.from_start : &p.k.s.from_start) = 0;
		sim_opened(&p.sim, &p.k.c);
		sim_opened(&p.sim, &p.k.s);
		/* equal by chance: the server's end is at its second request */
		c = ask(&p, "/a");
		sim_answer(&p.sim, c, &cl);
		s = take(&p, "/a");
		sim_answer(&p.sim, s, &sv);
		sim_settle(&p.sim);
		assert_root(s);
		s = turn(&p, "/a", &c);
		assert_parent(s, c, CLEW_LINK_INFERRED, "socket-pair-order");
		sim_free(&p.sim);
	}
	/* the server's end cannot know yet */
	memset(&p, 0, sizeof(p));
	sim_init(&p.sim);
	make_ends(&p.sim, &p.k, 0x1000, 0x2000, true);
	sim_opened(&p.sim, &p.k.s);
	s = sim_request_at(&p.sim, &p.k, true, &sv, 0, "/a", NULL);
	p.k.c.from_start = 0;
	sim_opened(&p.sim, &p.k.c);
	c = ask(&p, "/a");
	both_answer(&p, s, c);
	sim_settle(&p.sim);
	assert_root(s);
	sim_free(&p.sim);
}

/* Connections end at any moment; nothing is kept, nothing is used after. */
static void closing(void **state)
{
	struct pair p;
	struct sim_ex *s, *c, *x;
	int i;

	(void)state;
	for (i = 0; i < 64; i++) {
		old_pair(&p);
		x = sim_request_at(&p.sim, &p.k, true, &sv, p.k.c2s + p.shift, "/0", NULL);
		if (i & 1)
			sim_closed(&p.sim, &p.k.c, CLEW_CLOSE_GONE);
		c = ask(&p, "/a");
		if (i & 2)
			sim_closed(&p.sim, &p.k.s, CLEW_CLOSE_GONE);
		s = take(&p, "/a");
		if (i & 4)
			sim_closed(&p.sim, &p.k.c, CLEW_CLOSE_GONE);
		if (i & 8)
			sim_drop(&p.sim, c);
		else
			sim_answer(&p.sim, c, &cl);
		if (i & 16)
			sim_closed(&p.sim, &p.k.s, CLEW_CLOSE_GONE);
		sim_answer(&p.sim, s, &sv);
		if (i & 32)
			sim_drop(&p.sim, x);
		else
			sim_answer(&p.sim, x, &sv);
		if (i & 1)
			sim_settle(&p.sim);
		else
			clew_correlate__drain(p.sim.co);
		assert_int_equal(s->released, 1);
		sim_closed(&p.sim, &p.k.c, CLEW_CLOSE_GONE);
		sim_closed(&p.sim, &p.k.s, CLEW_CLOSE_GONE);
		assert_int_equal(clew_correlate__stats(p.sim.co)->nodes, 0);
		assert_int_equal(p.sim.co->nr_late, 0);
		sim_free(&p.sim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_start),
		cmocka_unit_test(learn),
		cmocka_unit_test(learn_exact_only),
		cmocka_unit_test(server_first),
		cmocka_unit_test(between_reads),
		cmocka_unit_test(server_first_unwatched),
		cmocka_unit_test(in_flight),
		cmocka_unit_test(in_flight_slow_write),
		cmocka_unit_test(in_flight_pipelined),
		cmocka_unit_test(pipelining),
		cmocka_unit_test(targets_differ),
		cmocka_unit_test(client_record_lost),
		cmocka_unit_test(disorder),
		cmocka_unit_test(answered_before),
		cmocka_unit_test(contradiction),
		cmocka_unit_test(contradiction_while_waiting),
		cmocka_unit_test(another_end),
		cmocka_unit_test(half_old),
		cmocka_unit_test(closing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
