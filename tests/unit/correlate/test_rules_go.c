/* SPDX-License-Identifier: Apache-2.0 */
/* Go and nginx: each rule that links, and beside it each rule that lost. */
#include "app.h"

/* ---- Go ---- */

static void serve(struct app *a, uint64_t goid, uint64_t ctx)
{
	struct who w = go(goid);

	sim_go(&a->sim, CLEW_EDGE_GO_SERVE, &w, 0, ctx, 0);
}

static void roundtrip(struct app *a, int conn, uint64_t goid, uint64_t c0, uint64_t c1)
{
	struct who w = go(goid);

	sim_go(&a->sim, CLEW_EDGE_GO_ROUNDTRIP, &w, a->out[conn].c.id, c0, c1);
}

/* Own goroutine, and a child goroutine that passes the context on. */
static void go_links(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, go(5)), *x1 = rx(a, 1, go(6)), *c[4];
	int i;

	serve(a, 5, 0xc5);
	serve(a, 6, 0xc6);
	roundtrip(a, 0, 5, 0xbb, 0);
	roundtrip(a, 1, 6, 0xd6, 0xc6);
	roundtrip(a, 2, 77, 0xd5, 0xc5);
	roundtrip(a, 3, 78, 0xbb, 0);
	for (i = 0; i < 4; i++)
		c[i] = tx(a, i, go(900 + (uint64_t)i));
	for (i = 0; i < 4; i++)
		end(a, c[i], go(910));
	end(a, x1, go(6));
	end(a, x0, go(5));
	sim_settle(&a->sim);
	assert_parent(c[0], x0, CLEW_LINK_EXACT, "goroutine");
	assert_parent(c[1], x1, CLEW_LINK_EXACT, "context");
	assert_parent(c[2], x0, CLEW_LINK_EXACT, "context");
	assert_root(c[3]); /* a pool without context: honestly unknown */
}

/* The goroutine and the context name two requests; a request's context has no other above it. */
static void go_conflict(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, go(5)), *x1 = rx(a, 1, go(6)), *c, *d;

	serve(a, 5, 0xc5);
	serve(a, 6, 0xc6);
	roundtrip(a, 0, 5, 0xc6, 0);
	c = tx(a, 0, go(900));
	roundtrip(a, 1, 9, 0xc5, 0xc6);
	d = tx(a, 1, go(901));
	end(a, c, go(910));
	end(a, d, go(911));
	end(a, x1, go(6));
	end(a, x0, go(5));
	sim_settle(&a->sim);
	assert_root(c);
	assert_parent(d, x1, CLEW_LINK_EXACT, "context"); /* derived, at 0xc5 by now */
	assert_int_equal(clew_correlate__stats(a->sim.co)->conflicts, 1);
}

/*
 * A chain that is longer than its record: of its last address it is not seen whether that is the
 * request's context still, or one that has got the place of it since.
 */
static void go_chain_cut(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *c[2];
	struct clew_edge e = {.kind = CLEW_EDGE_GO_ROUNDTRIP};
	struct who w = go(77);

	serve(a, 5, 0xc5);
	for (int i = 0; i < 2; i++) {
		e.conn_id = a->out[i].c.id;
		e.ctx = 77;
		e.chain_len = (uint8_t)(CLEW_CHAIN_MAX - 1 + i);
		for (int k = 0; k < CLEW_CHAIN_MAX; k++)
			e.chain[k] = k == e.chain_len - 1 ? 0xc5 : k < e.chain_len ? 0xd0 : 0;
		a->sim.now += 1000;
		e.h = sim_head(&a->sim, CLEW_EV_EDGE, sizeof(e), &w);
		clew_correlate__event(a->sim.co, &e.h);
		c[i] = tx(a, i, go(900));
		end(a, c[i], go(910));
	}
	end(a, x, go(5));
	sim_settle(&a->sim);
	assert_parent(c[0], x, CLEW_LINK_EXACT, "context");
	assert_root(c[1]);
}

/* fasthttp: no roundTrip, no ServeHTTP; its own goroutine writes. */
static void go_without_probes(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *c = tx(a, 0, go(5)), *d;

	end(a, c, go(5));
	/* net/http's writer never counts, whatever request it may once have read */
	roundtrip(a, 1, 5, 0, 0);
	d = tx(a, 1, go(800));
	end(a, d, go(801));
	end(a, x, go(5));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "goroutine");
	assert_parent(d, x, CLEW_LINK_EXACT, "goroutine");
	x = rx(a, 1, go(800));
	d = tx(a, 1, go(800));
	end(a, d, go(801));
	end(a, x, go(800));
	sim_settle(&a->sim);
	assert_root(d);
}

/* The request context's address after its request: recycled or not, never exact. */
static void go_context_addresses(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *c, *d, *e, *y;

	serve(a, 5, 0xc5);
	end(a, x, go(5));
	roundtrip(a, 0, 50, 0xc5, 0);
	c = tx(a, 0, go(900));
	end(a, c, go(901));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_INFERRED, "context");
	/* the same address below another parent is another context */
	x = rx(a, 2, go(7));
	serve(a, 7, 0xc9);
	end(a, x, go(7));
	roundtrip(a, 2, 51, 0xc9, 0x77);
	c = tx(a, 2, go(903));
	end(a, c, go(901));
	sim_settle(&a->sim);
	assert_root(c);
	/* two seconds later it means nothing */
	roundtrip(a, 0, 50, 0xc5, 0);
	d = tx(a, 0, go(900));
	end(a, d, go(901));
	/* the next ServeHTTP of the goroutine drops the last one's, and rebinds an address */
	y = rx(a, 0, go(5));
	serve(a, 5, 0xc7);
	roundtrip(a, 1, 50, 0xc5, 0);
	e = tx(a, 1, go(902));
	end(a, e, go(901));
	end(a, y, go(5));
	sim_settle(&a->sim);
	assert_root(d);
	assert_root(e);
	x = rx(a, 1, go(6));
	serve(a, 6, 0xc7);
	roundtrip(a, 1, 50, 0xc7, 0);
	e = tx(a, 1, go(902));
	end(a, e, go(901));
	end(a, x, go(6));
	sim_settle(&a->sim);
	assert_parent(e, x, CLEW_LINK_EXACT, "context");
}

/* After the answer the goroutine is still at it, until it reads on. */
static void go_after_response(void **state)
{
	struct app *a = *state;
	struct who w = go(5);
	struct sim_ex *x = rx(a, 0, go(5)), *c, *d;

	serve(a, 5, 0xc5);
	end(a, x, go(5));
	roundtrip(a, 0, 5, 0xbb, 0);
	c = tx(a, 0, go(900));
	end(a, c, go(901));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "goroutine");
	sim_segment(&a->sim, &a->in[0].s, &w, CLEW_RECV, 1, 1);
	roundtrip(a, 0, 5, 0xbb, 0);
	d = tx(a, 0, go(900));
	end(a, d, go(901));
	sim_settle(&a->sim);
	assert_root(d);
}

/* Between the read of the next request and ServeHTTP the old handler may still run. */
static void go_next_request(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *y, *c, *d;

	serve(a, 5, 0xc5);
	sim_response(&a->sim, x,
		     &(struct who){.pid = APP, .tid = 1, .kind = CLEW_CTX_GO, .ctx = 5});
	y = rx(a, 0, go(5));
	roundtrip(a, 0, 5, 0xbb, 0);
	c = tx(a, 0, go(900));
	end(a, c, go(901));
	sim_done(&a->sim, x);
	serve(a, 5, 0xd5);
	roundtrip(a, 1, 5, 0xbb, 0);
	d = tx(a, 1, go(902));
	end(a, d, go(901));
	end(a, y, go(5));
	sim_settle(&a->sim);
	assert_root(c);
	assert_parent(d, y, CLEW_LINK_EXACT, "goroutine");
}

/* ServeHTTP for a request that was not seen: its context must not find an older request. */
static void go_unseen_request(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *c, *d;

	serve(a, 5, 0xc5);
	end(a, x, go(5));
	serve(a, 5, 0xc5);
	roundtrip(a, 0, 5, 0xc5, 0);
	c = tx(a, 0, go(900));
	roundtrip(a, 1, 50, 0xc5, 0);
	d = tx(a, 1, go(900));
	end(a, c, go(901));
	end(a, d, go(901));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* What roundTrip said is for the very next byte of the connection, or for nothing. */
static void go_stale_pend(void **state)
{
	struct app *a = *state;
	struct who w = go(901);
	struct sim_ex *x = rx(a, 0, go(5)), *c0, *c1, *c2;

	serve(a, 5, 0xc5);
	roundtrip(a, 0, 5, 0, 0);
	c0 = tx(a, 0, go(900));
	end(a, c0, go(901));
	roundtrip(a, 0, 5, 0, 0);
	a->out[0].c2s += 100; /* this request's record was lost */
	c1 = tx(a, 0, go(900));
	end(a, c1, go(901));
	roundtrip(a, 0, 5, 0, 0);
	sim_segment(&a->sim, &a->out[0].c, &w, CLEW_RECV, 1, 10);
	c2 = tx(a, 0, go(900));
	end(a, c2, go(901));
	end(a, x, go(5));
	sim_settle(&a->sim);
	assert_parent(c0, x, CLEW_LINK_EXACT, "goroutine");
	assert_root(c1);
	assert_root(c2);
}

static void go_pipelined(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, go(5)), *x1 = rx(a, 0, go(5)), *c;

	serve(a, 5, 0xc5);
	end(a, x0, go(5));
	serve(a, 5, 0xc6);
	roundtrip(a, 0, 5, 0xc6, 0);
	c = tx(a, 0, go(900));
	end(a, c, go(901));
	end(a, x1, go(5));
	sim_settle(&a->sim);
	assert_parent(c, x1, CLEW_LINK_EXACT, "context");
}

/* ---- nginx ---- */

static struct who ngx(uint64_t downstream)
{
	return (struct who){.pid = APP,
			    .tid = APP,
			    .kind = CLEW_CTX_NGINX,
			    .flags = CLEW_SEG_LOOP,
			    .ref = downstream};
}

static void nginx_links(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, ngx(0)), *x1 = rx(a, 1, ngx(0)), *c0, *c1, *none, *mirror,
		      *other;

	c0 = tx(a, 0, ngx(a->in[0].s.id));
	c1 = tx(a, 1, ngx(a->in[1].s.id));
	none = tx(a, 2, ngx(0)); /* the last head that this worker read proves nothing */
	end(a, c1, ngx(0));
	end(a, c0, ngx(0));
	end(a, none, ngx(0));
	end(a, x1, ngx(0));
	end(a, x0, ngx(0));
	mirror = tx(a, 0, ngx(a->in[1].s.id));
	end(a, mirror, ngx(0));
	other = tx(a, 0, ngx(4711));
	end(a, other, ngx(0));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_EXACT, "nginx-request");
	assert_parent(c1, x1, CLEW_LINK_EXACT, "nginx-request");
	assert_parent(mirror, x1, CLEW_LINK_EXACT, "nginx-request");
	assert_root(none);
	assert_root(other);
}

/* A cause is of the same process, and was read before: what else a rule may name is withheld. */
static void not_a_cause(void **state)
{
	struct app *a = *state;
	struct who other = ngx(0), back = ngx(a->in[0].s.id);
	struct sim_ex *x, *c;

	/* the connection was met in one worker; another, which inherited it, reads there */
	other.pid = APP + 1;
	x = rx(a, 0, other);
	c = tx(a, 0, back);
	end(a, c, ngx(0));
	end(a, x, other);
	sim_settle(&a->sim);
	assert_root(c);
	/* written before it was read; the records came in the other order */
	x = rx(a, 0, ngx(0));
	a->sim.now -= 5000;
	c = tx(a, 0, back);
	a->sim.now += 5000;
	end(a, c, ngx(0));
	end(a, x, ngx(0));
	sim_settle(&a->sim);
	assert_root(c);
	/* neither of the two: the same calls link */
	x = rx(a, 0, ngx(0));
	c = tx(a, 0, back);
	end(a, c, ngx(0));
	end(a, x, ngx(0));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "nginx-request");
}

/* After the answer: remembered by who asks others, not by who has long been asked only. */
static void nginx_outlived(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;
	int i;

	for (i = 0; i < 1100; i++) {
		x = rx(a, 0, ngx(0));
		end(a, x, ngx(0));
	}
	c = tx(a, 0, ngx(a->in[0].s.id));
	end(a, c, ngx(0));
	sim_settle(&a->sim);
	assert_root(c); /* not the last that was remembered */
	x = rx(a, 0, ngx(0));
	end(a, x, ngx(0));
	c = tx(a, 0, ngx(a->in[0].s.id));
	end(a, c, ngx(0));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "nginx-request");
}

static void nginx_pipelined(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, ngx(0)), *x1 = rx(a, 0, ngx(0)), *c0, *c1;

	c0 = tx(a, 0, ngx(a->in[0].s.id));
	end(a, c0, ngx(0));
	end(a, x0, ngx(0));
	c1 = tx(a, 0, ngx(a->in[0].s.id));
	end(a, c1, ngx(0));
	end(a, x1, ngx(0));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_EXACT, "nginx-request");
	assert_parent(c1, x1, CLEW_LINK_EXACT, "nginx-request");
}

/* A goroutine without context that the request waits for, seen at the call or at its answer. */
static void go_joined(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *c[3];
	struct who child = go(50), grandchild = go(51);

	serve(a, 5, 0xc5);
	roundtrip(a, 0, 50, 0xbb, 0);
	sim_born(&a->sim, &child, a->out[0].c.id, 5, 1, 1, false);
	c[0] = tx(a, 0, go(900));
	end(a, c[0], go(910));
	roundtrip(a, 1, 50, 0xbb, 0);
	sim_born(&a->sim, &child, a->out[1].c.id, 5, 1, 0, false);
	c[1] = tx(a, 1, go(901));
	end(a, c[1], go(911)); /* whole with its first bytes, which are then worked off */
	sim_born(&a->sim, &child, a->out[1].c.id, 5, 1, 1, true);
	roundtrip(a, 2, 51, 0xbb, 0);
	sim_born(&a->sim, &grandchild, a->out[2].c.id, 50, 5, 2, false);
	c[2] = tx(a, 2, go(902));
	end(a, c[2], go(912));
	end(a, x, go(5));
	sim_settle(&a->sim);
	for (int i = 0; i < 3; i++)
		assert_parent(c[i], x, CLEW_LINK_INFERRED, "join");
}

/* Started by a request and never waited for: a worker for everybody. */
static void go_not_joined(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *c, *d, *e;
	struct who child = go(50);

	serve(a, 5, 0xc5);
	roundtrip(a, 0, 50, 0xbb, 0);
	sim_born(&a->sim, &child, a->out[0].c.id, 5, 0, 0, false);
	c = tx(a, 0, go(900));
	end(a, c, go(910));
	/* the witness of another call, or for another ancestor, is none */
	roundtrip(a, 1, 51, 0xbb, 0);
	child = go(51);
	sim_born(&a->sim, &child, a->out[1].c.id, 7, 5, 1, false);
	d = tx(a, 1, go(901));
	sim_born(&a->sim, &child, a->out[0].c.id, 7, 5, 2, true);
	end(a, d, go(911));
	end(a, x, go(5));
	/* after the answer nobody waits */
	roundtrip(a, 2, 52, 0xbb, 0);
	child = go(52);
	sim_born(&a->sim, &child, a->out[2].c.id, 5, 0, 1, false);
	e = tx(a, 2, go(902));
	end(a, e, go(912));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
	assert_root(e);
}

/* One of a group of goroutines calls on `conn`, and has its answer; see sim_born_in(). */
static struct sim_ex *one_of(struct app *a, int conn, uint64_t at_call, uint64_t at_answer,
			     uint64_t object)
{
	struct who child = go(50 + (uint64_t)conn);
	struct sim_ex *c;

	roundtrip(a, conn, child.ctx, 0xbb, 0);
	sim_born_in(&a->sim, &child, a->out[conn].c.id, 5, 0, at_call, object, false);
	c = tx(a, conn, go(900));
	end(a, c, go(910));
	if (at_answer)
		sim_born_in(&a->sim, &child, a->out[conn].c.id, 5, 0, at_answer, object, true);
	return c;
}

/* errgroup with a limit: the request waits for a place, and then for all. */
static void go_limited(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *y, *c[3], *d;

	serve(a, 5, 0xc5);
	c[0] = one_of(a, 0, CLEW_GO_SENDS, 0, 0xf00);
	c[1] = one_of(a, 1, 0, CLEW_GO_SENDS, 0xf00);
	c[2] = one_of(a, 2, 0, 1, 0xf00);
	end(a, x, go(5));
	/* what was true at one request is not at the next one */
	y = rx(a, 0, go(5));
	serve(a, 5, 0xc5);
	d = one_of(a, 3, CLEW_GO_SENDS, 0, 0xf00);
	end(a, y, go(5));
	sim_settle(&a->sim);
	for (int i = 0; i < 3; i++)
		assert_parent(c[i], x, CLEW_LINK_INFERRED, "join");
	assert_root(d);
}

/* The answer was lost: what the goroutine waits for at its next request is none of the first's. */
static void go_limited_unanswered(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *y, *c;

	serve(a, 5, 0xc5);
	c = one_of(a, 0, CLEW_GO_SENDS, 0, 0xf00);
	y = rx(a, 0, go(5));
	serve(a, 5, 0xc6);
	one_of(a, 1, 1, 0, 0xf00);
	end(a, x, go(5));
	end(a, y, go(5));
	sim_settle(&a->sim);
	assert_root(c);
}

/* A place in a worker's queue is waited for, and then others, or some other object's. */
static void go_fed(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *c[3], *d, *e;

	serve(a, 5, 0xc5);
	c[0] = one_of(a, 0, CLEW_GO_SENDS, CLEW_GO_SENDS, 0xf00);
	c[1] = one_of(a, 1, CLEW_GO_SENDS, 0, 0);
	d = one_of(a, 2, 1, 0, 0xe00);
	/* who was not waited for once is nobody's, whatever is seen of it later */
	e = one_of(a, 0, 1, 0, 0xe00);
	c[2] = e;
	end(a, x, go(5));
	sim_settle(&a->sim);
	for (int i = 0; i < 3; i++)
		assert_root(c[i]);
	assert_parent(d, x, CLEW_LINK_INFERRED, "join");
}

/* The request waits until the worker that it started has served others, too. */
static void go_leader(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, go(5)), *c, *d;
	struct who child = go(50);

	serve(a, 5, 0xc5);
	roundtrip(a, 0, 50, 0xbb, 0);
	sim_born(&a->sim, &child, a->out[0].c.id, 5, 0, 1, false);
	c = tx(a, 0, go(900));
	end(a, c, go(910));
	end(a, x, go(5));
	roundtrip(a, 1, 50, 0xbb, 0);
	sim_born(&a->sim, &child, a->out[1].c.id, 5, 0, 0, false);
	d = tx(a, 1, go(901));
	end(a, d, go(911));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(go_links),
		T(go_conflict),
		T(go_chain_cut),
		T(go_without_probes),
		T(go_context_addresses),
		T(go_after_response),
		T(go_next_request),
		T(go_unseen_request),
		T(go_stale_pend),
		T(go_pipelined),
		T(go_joined),
		T(go_not_joined),
		T(go_limited),
		T(go_limited_unanswered),
		T(go_fed),
		T(go_leader),
		T(nginx_links),
		T(nginx_pipelined),
		T(not_a_cause),
		T(nginx_outlived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
