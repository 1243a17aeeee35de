/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python on uvloop: a read happens in no callback, all callbacks of a server run in one context,
 * and what is sent was written before, by whom the kernel side says.
 */
#include "app.h"

enum { SERVER = 0x20 };

/* The loop itself, between callbacks. */
static struct who idle(uint32_t turn)
{
	struct who w = py(turn, 0, 0);

	w.uvloop = true;
	return w;
}

static void task(struct app *a, uint32_t turn, uint64_t parent, uint64_t child, uint64_t ref)
{
	struct who w = py(turn, parent, 0);

	w.uvloop = true;
	sim_edge(&a->sim, CLEW_EDGE_PY_TASK, &w, child, ref);
}

/* Two requests, read one after the other in one turn of the loop; writes go out together. */
static void uv_tasks(void **state)
{
	struct app *a = *state;
	struct sim_ex *x[2], *c[2];

	x[0] = rx(a, 0, idle(10));
	task(a, 11, SERVER, 0xa0, 0x1000);
	x[1] = rx(a, 1, idle(12));
	task(a, 13, SERVER, 0xb0, 0x2000);
	c[0] = tx(a, 0, py(15, 0xa0, 0x1000));
	c[1] = tx(a, 1, py(17, 0xb0, 0x2000));
	end(a, c[1], idle(20));
	end(a, c[0], idle(22));
	end(a, x[0], py(25, 0xa0, 0x1000));
	end(a, x[1], py(27, 0xb0, 0x2000));
	sim_settle(&a->sim);
	assert_parent(c[0], x[0], CLEW_LINK_EXACT, "task");
	assert_parent(c[1], x[1], CLEW_LINK_EXACT, "task");
}

/* The record of a read is lost: the next callback's Task is not that of the one before. */
static void uv_lost_read(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, idle(10)), *c;

	task(a, 13, SERVER, 0xb0, 0x2000);
	c = tx(a, 1, py(15, 0xb0, 0x2000));
	end(a, c, idle(20));
	end(a, x, py(25, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c);
}

/* The request's Task is over, another's has its address: it is not the one that the read began. */
static void uv_address_again(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, idle(10)), *c;

	task(a, 11, SERVER, 0xa0, 0x1000);
	end(a, x, py(11, 0xa0, 0x1000));
	task(a, 11, 0xb0, 0xa0, 0x1000);
	c = tx(a, 1, py(13, 0xa0, 0x1000));
	end(a, c, idle(20));
	sim_settle(&a->sim);
	assert_root(c);
}

/* A thread of asyncio reads inside its callback: what is made after that is another's. */
static void asyncio_after(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, py(10, 0x30, 0)), *c;
	struct who next = py(11, SERVER, 0);

	sim_edge(&a->sim, CLEW_EDGE_PY_TASK, &next, 0xb0, 0x2000);
	c = tx(a, 1, py(15, 0xb0, 0x2000));
	end(a, c, py(20, 0x30, 0));
	end(a, x, py(25, 0xa0, 0x1000));
	sim_settle(&a->sim);
	assert_root(c);
}

/* Nobody knows who wrote: the loop's own context proves nothing, on one connection as on many. */
static void uv_unknown_writer(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c;

	for (int i = 0; i < 3; i++) {
		x = rx(a, 0, idle(10 + 20 * (uint32_t)i));
		c = tx(a, 0, idle(14 + 20 * (uint32_t)i));
		end(a, c, idle(16 + 20 * (uint32_t)i));
		end(a, x, idle(18 + 20 * (uint32_t)i));
		sim_settle(&a->sim);
		assert_root(c);
	}
}

/*
 * A library that queues inside writes the next request in the callback that freed the connection;
 * it goes out after another connection was read.
 */
static void uv_queued_write(void **state)
{
	struct app *a = *state;
	struct sim_ex *x[2], *c, *d, *e;

	x[0] = rx(a, 0, idle(10));
	task(a, 11, SERVER, 0xa0, 0x1000);
	x[1] = rx(a, 1, idle(12));
	task(a, 13, SERVER, 0xb0, 0x2000);
	c = tx(a, 0, py(15, 0xa0, 0x1000));
	e = tx(a, 1, py(17, 0xb0, 0x2000));
	end(a, c, idle(20));
	end(a, e, idle(22));
	d = tx(a, 0, py(21, 0xa0, 0x1000));
	end(a, d, idle(30));
	end(a, x[0], py(33, 0xa0, 0x1000));
	end(a, x[1], py(35, 0xb0, 0x2000));
	sim_settle(&a->sim);
	assert_parent(c, x[0], CLEW_LINK_EXACT, "task");
	assert_root(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(uv_tasks),	  T(uv_lost_read),	T(uv_address_again),
		T(asyncio_after), T(uv_unknown_writer), T(uv_queued_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
