/* SPDX-License-Identifier: Apache-2.0 */
/* HotSpot: platform threads, virtual threads, and what neither proves. */
#include "app.h"

static int java_setup(void **state)
{
	setup(state);
	sim_runtime(&((struct app *)*state)->sim, APP, CLEW_RT_JAVA);
	return 0;
}

#define J(f) cmocka_unit_test_setup_teardown(f, java_setup, teardown)

/* Thread `id`, which the OS knows as 100 + id. */
static struct who platform(uint64_t id)
{
	return (struct who){
		.pid = APP, .tid = 100 + (uint32_t)id, .kind = CLEW_CTX_JAVA, .ctx = id};
}

static struct who virtual(uint64_t id, uint32_t carrier)
{
	return (struct who){.pid = APP,
			    .tid = carrier,
			    .kind = CLEW_CTX_JAVA,
			    .ctx = id,
			    .ref = CLEW_JAVA_VIRTUAL};
}

static void platform_threads(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, platform(1)), *x1 = rx(a, 1, platform(2));
	struct sim_ex *c0 = tx(a, 0, platform(1)), *c1 = tx(a, 1, platform(2));
	struct sim_ex *noise = tx(a, 2, platform(3)), *after;

	end(a, c0, platform(1));
	end(a, c1, platform(2));
	end(a, noise, platform(3));
	end(a, x0, platform(1));
	end(a, x1, platform(2));
	after = tx(a, 0, platform(1));
	end(a, after, platform(1));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_EXACT, "java-thread");
	assert_parent(c1, x1, CLEW_LINK_EXACT, "java-thread");
	assert_root(noise);
	assert_root(after);
}

/* One carrier, two virtual threads; one of them moves to another carrier in between. */
static void virtual_threads(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, virtual(50, 7)), *x1 = rx(a, 1, virtual(51, 7));
	struct sim_ex *c1 = tx(a, 1, virtual(51, 7)), *c0 = tx(a, 0, virtual(50, 8));

	end(a, c0, virtual(50, 7));
	end(a, c1, virtual(51, 8));
	end(a, x1, virtual(51, 8));
	end(a, x0, virtual(50, 7));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_EXACT, "virtual-thread");
	assert_parent(c1, x1, CLEW_LINK_EXACT, "virtual-thread");
}

/* A carrier may wait for descriptors itself between two virtual threads. */
static void carrier_polls(void **state)
{
	struct app *a = *state;
	struct who w = virtual(50, 7);
	struct sim_ex *x, *c;

	w.flags = CLEW_SEG_LOOP;
	x = rx(a, 0, w);
	c = tx(a, 0, w);
	end(a, c, w);
	end(a, x, w);
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "virtual-thread");
}

static void event_loop(void **state)
{
	struct app *a = *state;
	struct who w = platform(1);
	struct sim_ex *x, *c;

	w.flags = CLEW_SEG_LOOP;
	x = rx(a, 0, w);
	c = tx(a, 0, platform(1));
	end(a, c, platform(1));
	end(a, x, platform(1));
	sim_settle(&a->sim);
	assert_root(c);
}

/* A staged pool: who read the request does not answer it. */
static void another_answers(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, platform(1)), *c0 = tx(a, 0, platform(1));
	struct sim_ex *x1 = rx(a, 1, virtual(50, 7)), *c1 = tx(a, 1, virtual(50, 7)), *x2, *c2;

	end(a, c0, platform(1));
	end(a, x0, platform(2));
	end(a, c1, virtual(50, 7));
	end(a, x1, virtual(51, 7)); /* on the same carrier */
	x2 = rx(a, 0, platform(1));
	c2 = tx(a, 0, platform(1));
	end(a, c2, platform(1));
	end(a, x2, platform(1));
	sim_settle(&a->sim);
	assert_root(c0);
	assert_root(c1);
	assert_root(c2);
}

/* The context of an answer was not read: a collector was at work. */
static void answer_unknown(void **state)
{
	struct app *a = *state;
	struct who lost = platform(1), lost_virtual = virtual(50, 7);
	struct sim_ex *x0 = rx(a, 0, platform(1)), *c0 = tx(a, 0, platform(1));
	struct sim_ex *x1 = rx(a, 1, virtual(50, 7)), *c1 = tx(a, 1, virtual(50, 7)), *x2, *c2;

	lost.kind = lost_virtual.kind = CLEW_CTX_NONE;
	lost.ctx = lost_virtual.ctx = 0;
	end(a, c0, platform(1));
	end(a, c1, virtual(50, 7));
	end(a, x0, lost);
	end(a, x1, lost_virtual);
	x2 = rx(a, 0, platform(1));
	c2 = tx(a, 0, platform(1));
	end(a, c2, platform(1));
	end(a, x2, platform(1));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_EXACT, "java-thread"); /* the same OS thread */
	assert_root(c1);
	assert_parent(c2, x2, CLEW_LINK_EXACT, "java-thread");
}

/* A process that is not known to be a JVM's says nothing with such a context. */
static void not_a_jvm(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	sim_runtime(&a->sim, APP, CLEW_RT_OTHER);
	x = rx(a, 0, virtual(50, 7));
	c = tx(a, 0, virtual(50, 7));
	end(a, c, virtual(50, 7));
	end(a, x, virtual(50, 7));
	sim_settle(&a->sim);
	assert_root(c);
}

/* Ids begin anew with another program under the same pid. */
static void another_program(void **state)
{
	struct app *a = *state;
	struct who w = platform(1);
	struct clew_proc_event ev = {.other = 0};
	struct sim_ex *c;

	rx(a, 0, w);
	ev.h = sim_head(&a->sim, CLEW_EV_EXEC, sizeof(ev), &w);
	clew_correlate__event(a->sim.co, &ev.h);
	sim_runtime(&a->sim, APP, CLEW_RT_JAVA);
	c = tx(a, 0, w);
	end(a, c, w);
	sim_settle(&a->sim);
	assert_root(c);
}

/* A thread per request, without end: bounded, and nothing wrong. */
static void many_threads(void **state)
{
	struct app *a = *state;
	uint64_t most;

	for (uint64_t i = 1; i <= 100000; i++)
		end(a, rx(a, (int)i % 4, virtual(i, 7)), virtual(i, 7));
	most = clew_correlate__stats(a->sim.co)->bytes;
	sim_settle(&a->sim);
	for (uint64_t i = 100001; i <= 200000; i++)
		end(a, rx(a, (int)i % 4, virtual(i, 7)), virtual(i, 7));
	assert_true(clew_correlate__stats(a->sim.co)->bytes <= most + (1 << 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		J(platform_threads), J(virtual_threads), J(carrier_polls),
		J(event_loop),	     J(another_answers), J(answer_unknown),
		J(not_a_jvm),	     J(another_program), J(many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
