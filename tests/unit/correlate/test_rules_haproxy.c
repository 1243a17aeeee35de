/* SPDX-License-Identifier: Apache-2.0 */
/* HAProxy: the downstream connection of the session that an upstream stream belongs to. */
#include "app.h"

static struct who ha(uint64_t downstream)
{
	return (struct who){.pid = APP,
			    .tid = APP + (uint32_t)downstream % 2, /* any of its threads */
			    .kind = CLEW_CTX_HAPROXY,
			    .flags = CLEW_SEG_LOOP,
			    .ref = downstream};
}

static struct who via(const struct app *a, int in)
{
	return ha(a->in[in].s.id);
}

/* Answers overtake one another; what names no connection, or one that is not known, gets none. */
static void links(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, ha(0)), *x1 = rx(a, 1, ha(0)), *c0, *c1, *none, *other, *own;

	c0 = tx(a, 0, via(a, 0));
	c1 = tx(a, 1, via(a, 1));
	none = tx(a, 2, ha(0)); /* a health check */
	other = tx(a, 3, ha(4711));
	end(a, c1, ha(0));
	end(a, c0, ha(0));
	end(a, none, ha(0));
	end(a, other, ha(0));
	own = tx(a, 2, ha(a->out[2].c.id));
	end(a, own, ha(0));
	end(a, x1, ha(0));
	end(a, x0, ha(0));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_EXACT, "haproxy-session");
	assert_parent(c1, x1, CLEW_LINK_EXACT, "haproxy-session");
	assert_root(none);
	assert_root(other);
	assert_root(own);
}

/* A kept-alive pair of connections, one request after the other; and a second try of one. */
static void next_request(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c, *again;

	for (int i = 0; i < 3; i++) {
		x = rx(a, 0, ha(0));
		c = tx(a, 0, via(a, 0));
		end(a, c, ha(0));
		again = tx(a, 1, via(a, 0));
		end(a, again, ha(0));
		end(a, x, ha(0));
		sim_settle(&a->sim);
		assert_parent(c, x, CLEW_LINK_EXACT, "haproxy-session");
		assert_parent(again, x, CLEW_LINK_EXACT, "haproxy-session");
	}
	/* nothing is asked for a request that was answered */
	c = tx(a, 0, via(a, 0));
	end(a, c, ha(0));
	sim_settle(&a->sim);
	assert_root(c);
}

/* Two unanswered requests on one connection: pipelined, or an answer was lost. */
static void several(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, ha(0)), *x1 = rx(a, 0, ha(0)), *c;

	c = tx(a, 0, via(a, 0));
	end(a, c, ha(0));
	end(a, x0, ha(0));
	end(a, x1, ha(0));
	sim_settle(&a->sim);
	assert_root(c);
}

/* The connection is another worker's: descriptors are not shared. */
static void another_process(void **state)
{
	struct app *a = *state;
	struct who other = ha(0);
	struct sim_ex *x, *c;

	other.pid = APP + 1;
	x = rx(a, 0, other);
	c = tx(a, 0, via(a, 0));
	end(a, c, ha(0));
	end(a, x, other);
	sim_settle(&a->sim);
	assert_root(c);
}

/*
 * The answer to X and the next request are lost, the call of that one names the connection: X is
 * all that is known there. It falls with X, or when the loss is told.
 */
static void lossy(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	x = rx(a, 0, ha(0));
	c = tx(a, 0, via(a, 0));
	end(a, c, ha(0));
	sim_drop(&a->sim, x); /* as the connection stage does when it finds the hole */
	sim_settle(&a->sim);
	assert_root(c);

	x = rx(a, 1, ha(0));
	c = tx(a, 1, via(a, 1));
	end(a, c, ha(0));
	x->ex.incomplete |= CLEW_INC_NO_RESPONSE | CLEW_INC_ABORTED;
	sim_done(&a->sim, x); /* the connection ended before anything else came */
	sim_lost(&a->sim, 3);
	sim_settle(&a->sim);
	assert_root(c);

	/* the same without a loss: the client went away while HAProxy asked */
	x = rx(a, 2, ha(0));
	c = tx(a, 2, via(a, 2));
	end(a, c, ha(0));
	x->ex.incomplete |= CLEW_INC_NO_RESPONSE | CLEW_INC_ABORTED;
	sim_done(&a->sim, x);
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "haproxy-session");
}

/* Another runtime's process is not believed. */
static void another_runtime(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	sim_runtime(&a->sim, APP, CLEW_RT_NGINX);
	x = rx(a, 0, ha(0));
	c = tx(a, 0, via(a, 0));
	end(a, c, ha(0));
	end(a, x, ha(0));
	sim_settle(&a->sim);
	assert_root(c);
	sim_runtime(&a->sim, APP, CLEW_RT_HAPROXY);
	x = rx(a, 0, ha(0));
	c = tx(a, 0, via(a, 0));
	end(a, c, ha(0));
	end(a, x, ha(0));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "haproxy-session");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(links),	    T(next_request), T(several),
		T(another_process), T(lossy),	     T(another_runtime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
