/* SPDX-License-Identifier: Apache-2.0 */
/* Python: tasks that a request waits for, and the work items of thread pools. */
#include "app.h"

enum { READER = 0x10 };

static void task(struct app *a, struct who parent, uint64_t child, uint64_t ref)
{
	sim_edge(&a->sim, CLEW_EDGE_PY_TASK, &parent, child, ref);
}

/* The answer of out[conn] begins: `ctx` made the call, `task` lives (or 0), `chain` waits for it.
 */
static void join(struct app *a, int conn, uint64_t ctx, uint64_t ref, uint64_t c0, uint64_t c1)
{
	struct who w = py(90, READER, 0);
	struct clew_edge e = {.conn_id = a->out[conn].c.id,
			      .kind = CLEW_EDGE_PY_JOIN,
			      .ctx = ctx,
			      .ref = ref,
			      .chain = {c0, c1}};

	e.chain_len = (uint16_t)(!!c0 + !!c1);
	e.h = sim_head(&a->sim, CLEW_EV_EDGE, sizeof(e), &w);
	clew_correlate__event(a->sim.co, &e.h);
}

/* X in its own task 0xa0, which has started 0xb0. */
static struct sim_ex *two_tasks(struct app *a)
{
	struct sim_ex *x;

	sim_runtime(&a->sim, APP, CLEW_RT_PYTHON);
	x = rx(a, 0, py(1, READER, 0));
	task(a, py(1, READER, 0), 0xa0, 0x1000);
	task(a, py(3, 0xa0, 0x1000), 0xb0, 0x2000);
	return x;
}

/* gather: X's own task waits for the one that calls. */
static void joined(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = two_tasks(a), *c = tx(a, 0, py(5, 0xb0, 0x2000));

	join(a, 0, 0xb0, 0x2000, 0xa0, 0);
	end(a, c, py(7, READER, 0));
	end(a, x, py(9, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_INFERRED, "join");
}

/* A flusher: X started it, but does not wait for it. Nor is its death, or its answer, a proof. */
static void not_joined(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = two_tasks(a), *c = tx(a, 0, py(5, 0xb0, 0x2000)), *d;

	end(a, c, py(7, READER, 0));
	d = tx(a, 0, py(9, 0xb0, 0x2000));
	join(a, 0, 0xb0, 0x2000, 0xee, 0); /* waited for by a stranger */
	end(a, d, py(11, READER, 0));
	end(a, x, py(13, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* A pump that X waited for, too, and that goes on after X: it serves others. */
static void joined_then_goes_on(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = two_tasks(a), *c = tx(a, 0, py(5, 0xb0, 0x2000)), *d;

	join(a, 0, 0xb0, 0x2000, 0xa0, 0);
	end(a, c, py(7, READER, 0));
	end(a, x, py(9, 0xa0, 0x1000));
	d = tx(a, 0, py(11, 0xb0, 0x2000));
	end(a, d, py(13, READER, 0));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* X is answered when the call completes: its waiting says nothing. */
static void joined_late(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = two_tasks(a), *c = tx(a, 0, py(5, 0xb0, 0x2000));

	end(a, x, py(7, 0xa0, 0x1000));
	join(a, 0, 0xb0, 0x2000, 0xa0, 0);
	end(a, c, py(9, READER, 0));
	sim_settle(&a->sim);
	assert_root(c);
}

/* aiohttp: a task per request, made by the connection's; its child's call is proved by its answer.
 */
static void joined_to_responder(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c, *own;

	sim_runtime(&a->sim, APP, CLEW_RT_PYTHON);
	x = rx(a, 0, py(1, READER, 0));
	task(a, py(3, 0x77, 0), 0xa0, 0x1000);
	task(a, py(5, 0xa0, 0x1000), 0xb0, 0x2000);
	c = tx(a, 0, py(7, 0xb0, 0x2000));
	join(a, 0, 0xb0, 0x2000, 0xa0, 0x77);
	end(a, c, py(9, READER, 0));
	task(a, py(11, 0x66, 0), 0xb0, 0x3000); /* its address is another's now */
	own = tx(a, 1, py(13, 0xa0, 0x1000));
	join(a, 1, 0xa0, 0x1000, 0x77, 0);
	end(a, own, py(15, READER, 0));
	end(a, x, py(17, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_INFERRED, "join");
	assert_parent(own, x, CLEW_LINK_EXACT, "responder");
}

/* A task that ended before its only call was answered just wrote it; one that did not, called. */
static void helper(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = two_tasks(a), *c = tx(a, 0, py(5, 0xb0, 0x2000)), *d;

	join(a, 0, 0xb0, 0, 0, 0);
	end(a, c, py(7, READER, 0));
	task(a, py(9, 0xa0, 0x1000), 0xc0, 0x3000);
	d = tx(a, 1, py(11, 0xc0, 0x3000));
	end(a, d, py(13, READER, 0));
	task(a, py(15, 0x66, 0), 0xc0, 0x4000); /* ended only now */
	end(a, x, py(17, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_INFERRED, "join");
	assert_root(d);
}

static struct who worker(uint32_t tid)
{
	return (struct who){.pid = APP, .tid = tid, .kind = CLEW_CTX_PYTHON};
}

static void put(struct app *a, struct who w, uint64_t item, uint64_t live)
{
	sim_edge(&a->sim, CLEW_EDGE_PY_PUT, &w, live, item);
}

static void get(struct app *a, struct who w, uint64_t item)
{
	sim_edge(&a->sim, CLEW_EDGE_PY_GET, &w, 0, item);
}

/* Two requests in two threads hand work to two others, crosswise. */
static void items(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c, *d, *stray;

	sim_runtime(&a->sim, APP, CLEW_RT_PYTHON);
	x = rx(a, 0, worker(31));
	y = rx(a, 1, worker(32));
	put(a, worker(31), 0x5000, 0);
	put(a, worker(32), 0x6000, 0);
	get(a, worker(41), 0x6000);
	get(a, worker(42), 0x5000);
	c = tx(a, 0, worker(42));
	d = tx(a, 1, worker(41));
	end(a, c, worker(42));
	end(a, d, worker(41));
	get(a, worker(41), 0x7000); /* what nobody was seen to put */
	stray = tx(a, 1, worker(41));
	end(a, stray, worker(41));
	end(a, x, worker(31));
	end(a, y, worker(32));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "work-item");
	assert_parent(d, y, CLEW_LINK_EXACT, "work-item");
	assert_root(stray);
}

/* That the thread took the next item was lost: the window tells, before X's answer does. */
static void items_lost(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c;

	sim_runtime(&a->sim, APP, CLEW_RT_PYTHON);
	x = rx(a, 0, worker(31));
	y = rx(a, 1, worker(32));
	put(a, worker(31), 0x5000, 0);
	put(a, worker(32), 0x6000, 0);
	get(a, worker(41), 0x5000);
	c = tx(a, 0, worker(41)); /* for y */
	end(a, c, worker(41));
	end(a, x, worker(31));
	end(a, y, worker(32));
	sim_lost(&a->sim, 1);
	sim_settle(&a->sim);
	assert_root(c);
}

/* A staged pool: the thread that read and put does not answer, so it may have put for anybody. */
static void items_staged(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	sim_runtime(&a->sim, APP, CLEW_RT_PYTHON);
	x = rx(a, 0, worker(31));
	put(a, worker(31), 0x5000, 0);
	get(a, worker(41), 0x5000);
	c = tx(a, 0, worker(41));
	end(a, c, worker(41));
	end(a, x, worker(41));
	sim_settle(&a->sim);
	assert_root(c);
}

/* run_in_executor: put by X's own live task; by a context at a recycled address: nobody's. */
static void items_of_tasks(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = two_tasks(a), *c, *d;

	put(a, py(3, 0xa0, 0x1000), 0x5000, 0x1000);
	put(a, py(5, 0xa0, 0), 0x6000, 0);
	get(a, worker(41), 0x5000);
	get(a, worker(42), 0x6000);
	c = tx(a, 0, worker(41));
	d = tx(a, 1, worker(42));
	end(a, c, worker(41));
	end(a, d, worker(42));
	end(a, x, py(7, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "work-item");
	assert_root(d);
}

/*
 * The Task of an earlier request is gone, and a copy of some context has its context's address:
 * what is made there is not its child, and the request that it answers is its own.
 */
static void parent_is_a_copy(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *y, *c;

	task(a, py(1, READER, 0), 0xa0, 0x1000);
	end(a, x, py(5, 0xa0, 0x1000));
	y = rx(a, 1, py(7, READER, 0));
	task(a, py(9, 0xa0, 0), 0xb0, 0x2000);
	c = tx(a, 0, py(11, 0xb0, 0x2000));
	end(a, c, py(13, READER, 0));
	end(a, y, py(15, 0xb0, 0x2000));
	sim_settle(&a->sim);
	assert_parent(c, y, CLEW_LINK_EXACT, "responder");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(parent_is_a_copy), T(joined),
		T(not_joined),	     T(joined_then_goes_on),
		T(joined_late),	     T(joined_to_responder),
		T(helper),	     T(items),
		T(items_lost),	     T(items_staged),
		T(items_of_tasks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
