/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and Python. Each rule that links, and beside it each rule that lost: what must not be
 * linked. */
#include "app.h"

/* ---- threads ---- */

static void thread_links(void **state)
{
	struct app *a = *state;
	struct sim_ex *x[2], *c[2], *after;
	int i;

	for (i = 0; i < 2; i++)
		x[i] = rx(a, i, thread(11 + (uint32_t)i));
	for (i = 0; i < 2; i++)
		c[i] = tx(a, i, thread(11 + (uint32_t)i));
	for (i = 0; i < 2; i++)
		end(a, c[i], thread(11 + (uint32_t)i));
	for (i = 0; i < 2; i++)
		end(a, x[i], thread(11 + (uint32_t)i));
	after = tx(a, 0, thread(11));
	end(a, after, thread(11));
	sim_settle(&a->sim);
	assert_parent(c[0], x[0], CLEW_LINK_EXACT, "thread");
	assert_parent(c[1], x[1], CLEW_LINK_EXACT, "thread");
	assert_root(after);
}

/* A handler that takes longer than the window: nothing contradicts, the link holds. */
static void thread_slow_handler(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, thread(11)), *c = tx(a, 0, thread(11));

	end(a, c, thread(11));
	sim_tick(&a->sim, 1900);
	assert_int_equal(c->released, 0);
	sim_tick(&a->sim, 200);
	assert_int_equal(c->released, 1);
	end(a, x, thread(11));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
}

static void thread_of_a_loop(void **state)
{
	struct app *a = *state;
	struct who w = thread(11), later = thread(11);
	struct sim_ex *x, *c;

	w.flags = CLEW_SEG_LOOP;
	x = rx(a, 0, w);
	/* the flag sticks, though this segment does not carry it */
	c = tx(a, 0, later);
	end(a, c, later);
	end(a, x, later);
	x = rx(a, 0, later);
	end(a, tx(a, 0, later), later);
	end(a, x, later);
	sim_settle(&a->sim);
	assert_root(c);
	assert_int_equal(clew_correlate__stats(a->sim.co)->links[CLEW_LINK_EXACT], 0);
}

static void thread_multiplexes(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, thread(11)), *c0 = tx(a, 0, thread(11));
	struct sim_ex *x1 = rx(a, 1, thread(11)), *c1 = tx(a, 1, thread(11)), *x2, *c2;

	end(a, c0, thread(11));
	end(a, c1, thread(11));
	end(a, x1, thread(11));
	end(a, x0, thread(11));
	/* for good */
	x2 = rx(a, 0, thread(11));
	c2 = tx(a, 0, thread(11));
	end(a, c2, thread(11));
	end(a, x2, thread(11));
	sim_settle(&a->sim);
	assert_root(c0);
	assert_root(c1);
	assert_root(c2);
}

/* The reader hands the request on; what it then sends for itself is nobody's. */
static void thread_staged_pool(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, thread(11)), *own = tx(a, 0, thread(11)),
		      *worker = tx(a, 1, thread(12)), *c;

	end(a, own, thread(11));
	end(a, worker, thread(12));
	end(a, x, thread(12));
	x = rx(a, 0, thread(11));
	c = tx(a, 2, thread(11));
	end(a, c, thread(11));
	sim_settle(&a->sim);
	end(a, x, thread(12));
	sim_settle(&a->sim);
	assert_root(own);
	assert_root(worker);
	assert_root(c);
}

static void thread_other_runtimes(void **state)
{
	static const uint16_t no[] = {CLEW_RT_OTHER, CLEW_RT_GO, CLEW_RT_NGINX};
	struct app *a = *state;
	struct sim_ex *x, *c;
	size_t i;

	for (i = 0; i < 3; i++) {
		sim_runtime(&a->sim, APP, no[i]);
		x = rx(a, 0, thread(11));
		c = tx(a, 0, thread(11));
		end(a, c, thread(11));
		end(a, x, thread(11));
		sim_settle(&a->sim);
		assert_root(c);
	}
	sim_runtime(&a->sim, APP, CLEW_RT_PYTHON);
	x = rx(a, 0, go(5));
	c = tx(a, 0, go(5));
	end(a, c, go(5));
	end(a, x, go(5));
	sim_settle(&a->sim);
	assert_root(c);
	x = rx(a, 0, thread(11));
	c = tx(a, 0, thread(11));
	end(a, c, thread(11));
	end(a, x, thread(11));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
}

static void no_context_no_link(void **state)
{
	struct app *a = *state;
	struct who w = thread(11);
	struct sim_ex *x, *c;

	w.kind = CLEW_CTX_NONE;
	x = rx(a, 0, thread(11));
	c = tx(a, 0, w);
	end(a, c, w);
	end(a, x, thread(11));
	sim_settle(&a->sim);
	assert_root(c);
}

/* Flask, gunicorn sync: a context of its own, but the thread read the request itself. */
static void python_sync_thread(void **state)
{
	struct app *a = *state;
	struct who w = {.pid = APP, .tid = 31, .kind = CLEW_CTX_PYTHON, .ctx = 0x900};
	struct sim_ex *x, *c, *c2;
	int i;

	sim_runtime(&a->sim, APP, CLEW_RT_PYTHON);
	for (i = 0; i < 3; i++) {
		x = rx(a, i, w);
		c = tx(a, 0, w);
		end(a, c, w);
		c2 = tx(a, 0, w); /* the same kept-alive connection, in sequence */
		end(a, c2, w);
		end(a, x, w);
		sim_settle(&a->sim);
		assert_parent(c, x, CLEW_LINK_EXACT, "thread");
		assert_parent(c2, x, CLEW_LINK_EXACT, "thread");
	}
	assert_int_equal(clew_correlate__stats(a->sim.co)->conflicts, 0);
}

/* ---- Python, asyncio ---- */

#define READER 0x10
static void task(struct app *a, struct who parent, uint64_t child, uint64_t ref)
{
	sim_edge(&a->sim, CLEW_EDGE_PY_TASK, &parent, child, ref);
}

static void copy(struct app *a, struct who parent, uint64_t child)
{
	sim_edge(&a->sim, CLEW_EDGE_PY_COPY, &parent, child, 0);
}

/* uvicorn + httpx: the task made while reading; two requests at once, answers out of order. */
static void py_task(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0, *x1, *c0, *c1, *late;

	x0 = rx(a, 0, py(1, READER, 0));
	copy(a, py(1, READER, 0), 0xa0);
	task(a, py(1, READER, 0), 0xa0, 0x1000);
	x1 = rx(a, 1, py(1, READER, 0));
	copy(a, py(1, READER, 0), 0xb0);
	task(a, py(1, READER, 0), 0xb0, 0x2000);
	c1 = tx(a, 0, py(2, 0xb0, 0x2000));
	c0 = tx(a, 1, py(2, 0xa0, 0x1000));
	end(a, c1, py(3, READER, 0));
	end(a, c0, py(3, READER, 0));
	end(a, x1, py(4, 0xb0, 0x2000));
	end(a, x0, py(4, 0xa0, 0x1000));
	late = tx(a, 2, py(5, 0xa0, 0x1000)); /* background work */
	end(a, late, py(6, READER, 0));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_EXACT, "task");
	assert_parent(c1, x1, CLEW_LINK_EXACT, "task");
	assert_parent(late, x0, CLEW_LINK_EXACT, "task");
}

/* The read of a second request was lost, in the same turn of the loop: its task is not ours. */
static void py_second_child(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *c, *d;

	copy(a, py(1, READER, 0), 0xa0);
	task(a, py(1, READER, 0), 0xa0, 0x1000);
	copy(a, py(1, READER, 0), 0xb0);
	task(a, py(1, READER, 0), 0xb0, 0x2000);
	c = tx(a, 0, py(2, 0xa0, 0x1000));
	d = tx(a, 1, py(2, 0xb0, 0x2000));
	end(a, c, py(3, READER, 0));
	end(a, d, py(3, READER, 0));
	end(a, x, py(4, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "task");
	assert_root(d);
}

/* It answers elsewhere, though the exchange there is not known: not at its request any more. */
static void py_answers_elsewhere(void **state)
{
	struct app *a = *state;
	struct who k = py(3, 0xa0, 0x1000);
	struct sim_ex *x, *c;

	end(a, rx(a, 1, py(1, READER, 0)), py(1, 0xee, 0));
	x = rx(a, 0, py(1, READER, 0));
	task(a, py(1, READER, 0), 0xa0, 0x1000);
	c = tx(a, 0, py(2, 0xa0, 0x1000));
	end(a, c, py(3, READER, 0));
	sim_segment(&a->sim, &a->in[1].s, &k, CLEW_SEND, 77, 50);
	end(a, x, py(4, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c);
}

/*
 * Another context answers the request: the binding is not confirmed, and when the bound one then
 * answers somebody else, it was wrong (the records of a neighbour in the same turn were lost).
 */
static void py_answered_by_another(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c;
	int wrong;

	for (wrong = 0; wrong < 2; wrong++) {
		y = rx(a, 1, py(1, READER, 0));
		x = rx(a, 0, py(1, READER, 0));
		task(a, py(1, READER, 0), 0xa0, 0x1000);
		c = tx(a, 0, py(2, 0xa0, 0x1000));
		end(a, c, py(3, READER, 0));
		task(a, py(3, 0x77, 0), 0xb0, 0x2000);
		end(a, x, py(4, 0xb0, 0x2000));
		assert_int_equal(c->released, 0);
		if (!wrong)
			task(a, py(5, 0x77, 0), 0xa0, 0x1000);
		end(a, y, py(5, 0xa0, 0x1000));
		sim_settle(&a->sim);
		if (wrong)
			assert_root(c);
		else
			assert_parent(c, x, CLEW_LINK_EXACT, "task");
	}
}

/* Thread id, or the newest request: the rules that lost. */
static void py_unbound_is_nobodys(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *c, *d;

	task(a, py(1, READER, 0), 0xa0, 0x1000);
	c = tx(a, 0, py(2, 0xc0, 0x3000)); /* a periodic task, older than the tracer */
	d = tx(a, 1, py(2, READER, 0));
	end(a, c, py(3, READER, 0));
	end(a, d, py(3, READER, 0));
	end(a, x, py(4, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* A task made later in the same context, in another turn or after another read. */
static void py_window_closes(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *y, *c[4], *foreign;
	struct who r = py(2, READER, 0), r1 = py(1, READER, 0);
	int i;

	task(a, py(1, 0x11, 0), 0xa0, 0x1000);	 /* another context's child */
	task(a, py(2, READER, 0), 0xb0, 0x2000); /* the next turn */
	y = rx(a, 1, r);
	sim_segment(&a->sim, &a->out[3].c, &r, CLEW_RECV, 9, 10); /* a read of anything */
	task(a, r, 0xc0, 0x3000);
	sim_segment(&a->sim, &a->out[3].c, &r1, CLEW_RECV, 9, 0);
	task(a, py(2, READER, 0), 0xd0, 0x4000);
	for (i = 0; i < 4; i++)
		c[i] = tx(a, i, py(3, 0xa0 + 0x10 * (uint64_t)i, 0x1000 * (1 + (uint64_t)i)));
	for (i = 0; i < 4; i++)
		end(a, c[i], py(4, READER, 0));
	foreign = tx(a, 0, py(5, 0xe0, 0));
	end(a, foreign, py(5, READER, 0));
	end(a, x, py(6, READER, 0));
	end(a, y, py(6, READER, 0));
	sim_settle(&a->sim);
	for (i = 0; i < 4; i++)
		assert_root(c[i]);
}

/* The address of the context is that of a task that is gone; the live task says so. */
static void py_recycled(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *c, *d, *e;

	task(a, py(1, READER, 0), 0xa0, 0x1000);
	c = tx(a, 0, py(2, 0xa0, 0x5000));
	d = tx(a, 1, py(2, 0xa0, 0));
	end(a, c, py(3, READER, 0));
	end(a, d, py(3, READER, 0));
	end(a, x, py(4, 0xa0, 0x1000));
	/* the same address again, made outside any request */
	task(a, py(9, 0x77, 0), 0xa0, 0x1000);
	e = tx(a, 2, py(10, 0xa0, 0x1000));
	end(a, e, py(11, READER, 0));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
	assert_root(e);
}

/* gather(), or a worker that the first request starts lazily: no witness, no link. */
static void py_child_tasks(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *c, *d;

	task(a, py(1, READER, 0), 0xa0, 0x1000);
	task(a, py(2, 0xa0, 0x1000), 0xb0, 0x2000);
	copy(a, py(2, 0xa0, 0x1000), 0xc0);
	c = tx(a, 0, py(3, 0xb0, 0x2000));
	d = tx(a, 1, py(3, 0xc0, 0));
	end(a, c, py(4, READER, 0));
	end(a, d, py(4, READER, 0));
	end(a, x, py(5, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
	assert_int_equal(clew_correlate__stats(a->sim.co)->py_deep, 2);
}

/* A `def` endpoint: a copy of the handler's context in a worker thread; inferred. */
static void py_blocking_handler(void **state)
{
	struct app *a = *state;
	struct who w = {.pid = APP, .tid = 150, .kind = CLEW_CTX_PYTHON, .ctx = 0xb0};
	struct sim_ex *x, *c, *open, *late;

	x = rx(a, 0, py(1, READER, 0));
	task(a, py(1, READER, 0), 0xa0, 0x1000);
	copy(a, py(2, 0xa0, 0x1000), 0xb0);
	c = tx(a, 0, w);
	end(a, c, w);
	open = tx(a, 1, w); /* not finished when the answer goes out: nobody waited for it */
	end(a, x, py(3, 0xa0, 0x1000));
	end(a, open, w);
	late = tx(a, 0, w);
	end(a, late, w);
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_INFERRED, "context-copy");
	assert_root(open);
	assert_root(late);
	a->sim.cfg.correlate.exact_only = true;
	x = rx(a, 0, py(5, READER, 0));
	task(a, py(5, READER, 0), 0xa0, 0x1000);
	copy(a, py(6, 0xa0, 0x1000), 0xb0);
	c = tx(a, 0, w);
	end(a, c, w);
	end(a, x, py(7, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c);
}

/* A callback that was scheduled while the request was read. */
static void py_copy_in_window(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *c;

	copy(a, py(1, READER, 0), 0xa0);
	c = tx(a, 0, py(2, 0xa0, 0));
	end(a, c, py(3, READER, 0));
	end(a, x, py(4, 0xa0, 0));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "context-copy");
}

/* The edge was missed; the context that answers was born after the request. */
static void py_responder(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *c, *after;

	task(a, py(2, 0x55, 0), 0xa0, 0x1000);
	c = tx(a, 0, py(3, 0xa0, 0x1000));
	end(a, c, py(4, READER, 0));
	end(a, x, py(5, 0xa0, 0x1000));
	assert_int_equal(c->released, 0);
	after = tx(a, 1, py(6, 0xa0, 0x1000));
	end(a, after, py(7, READER, 0));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "responder");
	assert_root(after);
}

/* A worker that answers for two: what it did before its first answer proves nothing either. */
static void py_responder_shared(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, py(1, READER, 0)), *x1 = rx(a, 1, py(1, READER, 0)), *c0, *c1;

	task(a, py(2, 0x55, 0), 0xa0, 0x1000);
	c1 = tx(a, 1, py(3, 0xa0, 0x1000));
	c0 = tx(a, 0, py(3, 0xa0, 0x1000));
	end(a, c0, py(4, READER, 0));
	end(a, c1, py(4, READER, 0));
	end(a, x0, py(5, 0xa0, 0x1000));
	end(a, x1, py(6, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c0);
	assert_root(c1);
}

/* aiohttp: a task per connection, older than its requests. */
static void py_owner(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c, *early = tx(a, 2, py(1, 0xa0, 0x1000));
	int i;

	end(a, early, py(2, READER, 0));
	for (i = 0; i < 3; i++) {
		x = rx(a, 0, py(3, READER, 0));
		c = tx(a, 0, py(4, 0xa0, 0x1000));
		end(a, c, py(5, READER, 0));
		end(a, x, py(6, 0xa0, 0x1000));
		/* the first waits for a contradiction, later ones for their answer only */
		assert_int_equal(c->released, i > 0 && x->released);
		sim_settle(&a->sim);
		assert_parent(c, x, CLEW_LINK_EXACT, "connection-owner");
	}
	assert_root(early);
	/* the next connection: reset */
	sim_closed(&a->sim, &a->in[0].s, CLEW_CLOSE_GONE);
	x = rx(a, 1, py(7, READER, 0));
	c = tx(a, 0, py(8, 0xa0, 0x1000));
	end(a, c, py(9, READER, 0));
	end(a, x, py(10, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "connection-owner");
}

/*
 * Copies are not reported, so the context that wrote and the one that answers may be two that
 * had the same address: only a live Task, the same both times, says that they are not.
 */
static void py_owner_recycled(void **state)
{
	struct app *a = *state;
	struct who w = {.pid = APP, .tid = 150, .kind = CLEW_CTX_PYTHON, .ctx = 0xa0};
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *c, *d;

	c = tx(a, 0, w); /* a worker thread's copy, gone when this is answered */
	end(a, c, w);
	d = tx(a, 1, py(2, 0xa0, 0x1000));
	end(a, d, py(3, READER, 0));
	end(a, x, py(4, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c);
	assert_parent(d, x, CLEW_LINK_EXACT, "connection-owner");
	x = rx(a, 0, py(5, READER, 0));
	c = tx(a, 0, w);
	end(a, c, w);
	end(a, x, py(6, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c);
}

/* A queue's consumer answers on two connections: it owns neither, from the start. */
static void py_owner_shared(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, py(1, READER, 0)), *x1 = rx(a, 1, py(1, READER, 0)), *c[3];
	int i;

	c[0] = tx(a, 0, py(2, 0xa0, 0x1000));
	c[1] = tx(a, 1, py(2, 0xa0, 0x1000));
	end(a, x0, py(3, 0xa0, 0x1000));
	c[2] = tx(a, 2, py(3, 0xa0, 0x1000));
	end(a, x1, py(4, 0xa0, 0x1000));
	for (i = 0; i < 3; i++)
		end(a, c[i], py(5, READER, 0));
	sim_settle(&a->sim);
	for (i = 0; i < 3; i++)
		assert_root(c[i]);
}

/* An owner's connection has its next request while another context answers it. */
static void py_owner_not_responder(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	x = rx(a, 0, py(1, READER, 0));
	end(a, x, py(2, 0xa0, 0x1000));
	x = rx(a, 0, py(3, READER, 0));
	c = tx(a, 0, py(4, 0xa0, 0x1000)); /* busy with another connection's request */
	end(a, c, py(5, READER, 0));
	end(a, x, py(6, 0xb0, 0x2000));
	sim_settle(&a->sim);
	assert_root(c);
}

/* A handler that works on after its answer, while the next request is read already. */
static void py_owner_works_on(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;
	int i;

	x = rx(a, 0, py(1, READER, 0));
	end(a, x, py(2, 0xa0, 0x1000));
	x = rx(a, 0, py(3, READER, 0));
	end(a, x, py(4, 0xa0, 0x1000));
	c = tx(a, 0, py(5, 0xa0, 0x1000));
	end(a, c, py(6, READER, 0));
	for (i = 0; i < 2; i++) {
		x = rx(a, 0, py(7, READER, 0));
		c = tx(a, 0, py(8, 0xa0, 0x1000));
		end(a, c, py(9, READER, 0));
		end(a, x, py(10, 0xa0, 0x1000));
		sim_settle(&a->sim);
		assert_root(c);
	}
}

/* Pipelining: what is made while two requests wait on one connection could be either's. */
static void py_pipelined(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, py(1, READER, 0)), *x1 = rx(a, 0, py(1, READER, 0)), *c0, *c1;

	task(a, py(1, READER, 0), 0xa0, 0x1000);
	c0 = tx(a, 0, py(2, 0xa0, 0x1000));
	end(a, c0, py(3, READER, 0));
	end(a, x0, py(4, 0xa0, 0x1000));
	/* the handler of the first starts that of the second */
	task(a, py(4, 0xa0, 0x1000), 0xb0, 0x2000);
	c1 = tx(a, 1, py(5, 0xb0, 0x2000));
	end(a, c1, py(6, READER, 0));
	end(a, x1, py(7, 0xb0, 0x2000));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_EXACT, "responder");
	assert_parent(c1, x1, CLEW_LINK_EXACT, "responder");
}

/* A library that queues inside writes the next request from the callback that freed it. */
static void py_queued_write(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *c, *d, *e, *f, *g;

	task(a, py(1, READER, 0), 0xa0, 0x1000);
	c = tx(a, 0, py(2, 0xa0, 0x1000));
	end(a, c, py(3, READER, 0));
	d = tx(a, 0, py(3, 0xa0, 0x1000)); /* same run, same connection */
	end(a, d, py(5, READER, 0));
	f = tx(a, 0, py(6, 0xa0, 0x1000)); /* in a context that the reader entered */
	end(a, f, py(8, READER, 0));
	e = tx(a, 0, py(10, 0xa0, 0x1000)); /* woken: the reader's was left, another entered */
	end(a, e, py(0, READER, 0));
	g = tx(a, 0, py(14, 0xa0, 0x1000)); /* which run read is not known */
	end(a, g, py(16, READER, 0));
	end(a, x, py(18, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "task");
	assert_root(d);
	assert_root(f);
	assert_parent(e, x, CLEW_LINK_EXACT, "task");
	assert_root(g);
}

/* A run that is not known is nobody's: its first Task may be anybody's. */
static void py_unknown_run(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(0, READER, 0)), *c;

	task(a, py(0, READER, 0), 0xa0, 0x1000);
	c = tx(a, 0, py(4, 0xa0, 0x1000));
	end(a, c, py(6, READER, 0));
	end(a, x, py(8, 0xc0, 0x3000));
	sim_settle(&a->sim);
	assert_root(c);
}

/* Nobody watches who waits in event loops: a thread that looks like one per request may be one. */
static void thread_unwatched(void **state)
{
	struct app *a = *state;
	struct who w = thread(11), dark = thread(11), again = thread(11);
	struct sim_ex *x, *c[4];
	int i;

	dark.watch = CLEW_UNWATCHED;
	again.watch = 1; /* after a gap */
	for (i = 0; i < 4; i++) {
		x = rx(a, 0, i == 1 ? dark : w);
		c[i] = tx(a, 0, i == 2 ? dark : i == 3 ? again : w);
		end(a, c[i], w);
		end(a, x, w);
	}
	sim_settle(&a->sim);
	assert_int_equal(c[0]->place.link, CLEW_LINK_EXACT);
	assert_root(c[1]); /* nobody watched when x was read */
	assert_root(c[2]);
	assert_root(c[3]); /* what was in between is not known */
}

/* Work after the answer is believed only if no record was lost meanwhile. */
static void py_late_and_loss(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *late;
	int loss;

	for (loss = 0; loss < 2; loss++) {
		x = rx(a, 0, py(1, READER, 0));
		task(a, py(1, READER, 0), 0xa0, 0x1000);
		end(a, x, py(2, 0xa0, 0x1000));
		late = tx(a, 0, py(3, 0xa0, 0x1000));
		end(a, late, py(4, READER, 0));
		assert_int_equal(late->released, 0);
		if (loss)
			sim_lost(&a->sim, 3);
		sim_settle(&a->sim);
		if (loss)
			assert_root(late);
		else
			assert_parent(late, x, CLEW_LINK_EXACT, "task");
	}
}

static void py_exec_forgets(void **state)
{
	struct app *a = *state;
	struct who w = {.pid = APP, .tid = APP};
	struct clew_proc_event ev = {.other = 0};
	struct sim_ex *x = rx(a, 0, py(1, READER, 0)), *c;

	task(a, py(1, READER, 0), 0xa0, 0x1000);
	ev.h = sim_head(&a->sim, CLEW_EV_EXEC, sizeof(ev), &w);
	clew_correlate__event(a->sim.co, &ev.h);
	c = tx(a, 0, py(2, 0xa0, 0x1000));
	end(a, c, py(3, READER, 0));
	end(a, x, py(4, 0xf0, 0));
	sim_settle(&a->sim);
	assert_root(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(thread_links),	  T(thread_slow_handler),  T(thread_of_a_loop),
		T(thread_multiplexes),	  T(thread_staged_pool),   T(thread_other_runtimes),
		T(no_context_no_link),	  T(python_sync_thread),   T(py_task),
		T(py_second_child),	  T(py_answers_elsewhere), T(py_answered_by_another),
		T(py_unbound_is_nobodys), T(py_window_closes),	   T(py_recycled),
		T(py_child_tasks),	  T(py_blocking_handler),  T(py_copy_in_window),
		T(py_responder),	  T(py_responder_shared),  T(py_owner),
		T(py_owner_recycled),	  T(py_owner_shared),	   T(py_owner_not_responder),
		T(py_owner_works_on),	  T(py_pipelined),	   T(py_queued_write),
		T(py_late_and_loss),	  T(py_exec_forgets),	   T(py_unknown_run),
		T(thread_unwatched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
