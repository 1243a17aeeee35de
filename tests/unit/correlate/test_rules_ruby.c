/* SPDX-License-Identifier: Apache-2.0 */
/* Puma: the reactor's thread reads, the pool's threads take connections out of an Array. */
#include "app.h"

enum { REACTOR = 50 };

static int ruby(void **state)
{
	int err = setup(state);

	sim_runtime(&((struct app *)*state)->sim, APP, CLEW_RT_RUBY);
	return err;
}

static void take(struct app *a, struct who w, int conn)
{
	struct clew_edge e = {.kind = CLEW_EDGE_RUBY_TAKE, .conn_id = a->in[conn].s.id};

	a->sim.now += 1000;
	e.h = sim_head(&a->sim, CLEW_EV_EDGE, sizeof(e), &w);
	clew_correlate__event(a->sim.co, &e.h);
}

/* Two requests are read by one thread, and served by two others at the same time. */
static void reactor_reads(void **state)
{
	struct app *a = *state;
	struct sim_ex *x[2], *c[2];

	x[0] = rx(a, 0, thread(REACTOR));
	x[1] = rx(a, 1, thread(REACTOR));
	take(a, thread(11), 1);
	take(a, thread(12), 0);
	c[0] = tx(a, 0, thread(12));
	c[1] = tx(a, 1, thread(11));
	end(a, c[1], thread(11));
	end(a, c[0], thread(12));
	end(a, x[1], thread(11));
	end(a, x[0], thread(12));
	sim_settle(&a->sim);
	assert_parent(c[0], x[0], CLEW_LINK_EXACT, "work-item");
	assert_parent(c[1], x[1], CLEW_LINK_EXACT, "work-item");
}

/* A new connection: it is taken before anything was read there. */
static void reads_itself(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	for (int i = 0; i < 2; i++) { /* and asked again when it has answered */
		if (!i)
			take(a, thread(11), 0);
		x = rx(a, 0, thread(11));
		c = tx(a, 0, thread(11));
		end(a, c, thread(11));
		end(a, x, thread(11));
		sim_settle(&a->sim);
		assert_parent(c, x, CLEW_LINK_EXACT, "work-item");
	}
}

/* rack.after_reply, with the connection's next request read, and another one's */
static void after(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *z, *c;

	x = rx(a, 0, thread(REACTOR));
	take(a, thread(11), 0);
	end(a, x, thread(11));
	y = rx(a, 0, thread(REACTOR));
	z = rx(a, 1, thread(REACTOR));
	c = tx(a, 0, thread(11));
	end(a, c, thread(11));
	take(a, thread(11), 0);
	end(a, y, thread(11));
	take(a, thread(11), 1);
	end(a, z, thread(11));
	sim_settle(&a->sim);
	assert_root(c);
}

/* The record of the taking of connection 1 is lost. */
static void taking_lost(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *z, *c;

	x = rx(a, 0, thread(REACTOR));
	take(a, thread(11), 0);
	end(a, x, thread(11));
	y = rx(a, 1, thread(REACTOR));
	z = rx(a, 0, thread(REACTOR));
	c = tx(a, 0, thread(11)); /* for y */
	end(a, c, thread(11));
	end(a, y, thread(11));
	take(a, thread(11), 0);
	end(a, z, thread(11));
	sim_settle(&a->sim);
	assert_root(c);
}

/* An Array of anything: who takes it is not who answers. */
static void another_answers(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	x = rx(a, 0, thread(REACTOR));
	take(a, thread(11), 0);
	c = tx(a, 0, thread(11));
	end(a, c, thread(11));
	end(a, x, thread(12));
	sim_settle(&a->sim);
	assert_root(c);
}

/* Of two that are open on the connection it cannot be told which. */
static void pipelined(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c;

	x = rx(a, 0, thread(REACTOR));
	y = rx(a, 0, thread(REACTOR));
	take(a, thread(11), 0);
	c = tx(a, 0, thread(11));
	end(a, c, thread(11));
	end(a, x, thread(11));
	end(a, y, thread(11));
	sim_settle(&a->sim);
	assert_root(c);
}

/* A thread that took nothing so far is judged as any other. */
static void plain(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, thread(11)), *c = tx(a, 0, thread(11));

	end(a, c, thread(11));
	end(a, x, thread(11));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
}

#define R(f) cmocka_unit_test_setup_teardown(f, ruby, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		R(reactor_reads),   R(reads_itself), R(after), R(taking_lost),
		R(another_answers), R(pipelined),    R(plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
