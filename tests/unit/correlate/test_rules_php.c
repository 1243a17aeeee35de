/* SPDX-License-Identifier: Apache-2.0 */
/* PHP-FPM: a worker is at its request until END_REQUEST, and at nothing that is known behind it. */
#include "app.h"

static int php(void **state)
{
	int err = setup(state);

	sim_runtime(&((struct app *)*state)->sim, APP, CLEW_RT_PHP);
	return err;
}

/* The answer begins, the script calls, the answer ends. */
static void streams(void **state)
{
	struct app *a = *state;
	struct who w = thread(11);
	struct sim_ex *x = rx(a, 0, w), *c[2];

	c[0] = tx(a, 0, w);
	end(a, c[0], w);
	sim_response(&a->sim, x, &w);
	c[1] = tx(a, 1, w);
	end(a, c[1], w);
	sim_done(&a->sim, x);
	sim_settle(&a->sim);
	assert_parent(c[0], x, CLEW_LINK_EXACT, "thread");
	assert_parent(c[1], x, CLEW_LINK_EXACT, "thread");
}

/* fastcgi_finish_request() */
static void after(void **state)
{
	struct app *a = *state;
	struct who w = thread(11);
	struct sim_ex *c;

	end(a, rx(a, 0, w), w);
	c = tx(a, 0, w);
	end(a, c, w);
	sim_settle(&a->sim);
	assert_root(c);
}

/* The end was not seen: the next request ends it. */
static void next(void **state)
{
	struct app *a = *state;
	struct who w = thread(11);
	struct sim_ex *x = rx(a, 0, w), *y, *c[2];

	sim_response(&a->sim, x, &w);
	y = rx(a, 1, w);
	c[0] = tx(a, 0, w);
	end(a, c[0], w);
	end(a, y, w);
	c[1] = tx(a, 1, w);
	end(a, c[1], w);
	sim_done(&a->sim, x);
	sim_settle(&a->sim);
	assert_parent(c[0], y, CLEW_LINK_EXACT, "thread");
	assert_root(c[1]);
}

/* Where the end can have passed unseen, nothing is concluded. */
static void unseen(void **state)
{
	struct app *a = *state;
	struct who w = thread(11);
	struct sim_ex *x = rx(a, 0, w), *c[2];

	sim_response(&a->sim, x, &w);
	c[0] = tx(a, 0, w);
	end(a, c[0], w);
	sim_lost(&a->sim, 1);
	sim_done(&a->sim, x);
	sim_settle(&a->sim);
	assert_root(c[0]);

	x = rx(a, 1, w);
	sim_response(&a->sim, x, &w);
	x->ex.incomplete |= CLEW_INC_RESPONSE_BODY;
	c[1] = tx(a, 1, w);
	end(a, c[1], w);
	sim_done(&a->sim, x);
	sim_settle(&a->sim);
	assert_root(c[1]);
}

/* Another thread of the process, an extension's, is nobody's. */
static void other_thread(void **state)
{
	struct app *a = *state;
	struct who w = thread(11), o = thread(12);
	struct sim_ex *x = rx(a, 0, w), *c[2];

	c[0] = tx(a, 0, o);
	end(a, c[0], o);
	sim_response(&a->sim, x, &w);
	c[1] = tx(a, 1, o);
	end(a, c[1], o);
	sim_done(&a->sim, x);
	sim_settle(&a->sim);
	assert_root(c[0]);
	assert_root(c[1]);
}

/* A thread of any other program may be at the next request when its answer has begun. */
static void any_program(void **state)
{
	struct app *a = *state;
	struct who w = thread(11);
	struct sim_ex *x, *c;

	sim_runtime(&a->sim, APP, CLEW_RT_UNKNOWN);
	x = rx(a, 0, w);
	sim_response(&a->sim, x, &w);
	c = tx(a, 0, w);
	end(a, c, w);
	sim_done(&a->sim, x);
	sim_settle(&a->sim);
	assert_root(c);
}

#define P(f) cmocka_unit_test_setup_teardown(f, php, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		P(streams), P(after), P(next), P(unseen), P(other_thread), P(any_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
