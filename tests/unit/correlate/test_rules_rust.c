/* SPDX-License-Identifier: Apache-2.0 */
/* tokio: tasks that serve connections, and the messages that they send to a client's tasks. */
#include "app.h"

enum { CHANNEL = 0x7f0000001000, WRITER = 900 };

static struct who task(uint64_t id)
{
	return (struct who){.pid = APP,
			    .tid = 100 + (uint32_t)rand() % 4, /* whichever thread polls it */
			    .kind = CLEW_CTX_TOKIO,
			    .flags = CLEW_SEG_LOOP,
			    .ctx = id};
}

/* Each connection out has a channel to the task that writes there. */
static uint64_t message(int out, uint64_t slot)
{
	return CLEW_RUST_MESSAGE(CHANNEL + 0x100 * out, slot);
}

static void put_in(struct app *a, uint64_t id, int out, uint64_t slot)
{
	struct who w = task(id);

	sim_edge(&a->sim, CLEW_EDGE_RUST_SEND, &w, message(out, slot), WRITER + (uint64_t)out);
}

static struct who writer(int out, uint64_t slot)
{
	struct who w = task(WRITER + (uint64_t)out);

	w.ref = message(out, slot);
	return w;
}

static struct sim_ex *call(struct app *a, uint64_t id, int out, uint64_t slot)
{
	put_in(a, id, out, slot);
	return tx(a, out, writer(out, slot));
}

static void over(struct app *a, struct sim_ex *c, int out)
{
	end(a, c, task(WRITER + (uint64_t)out));
}

static int start(void **state)
{
	setup(state);
	sim_runtime(&((struct app *)*state)->sim, APP, CLEW_RT_TOKIO);
	return 0;
}

/* What the task itself writes, until it answers; any other task is nobody's. */
static void own_task(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, task(1)), *x1 = rx(a, 1, task(2)), *c0, *c1, *other, *late;

	c0 = tx(a, 0, task(1));
	c1 = tx(a, 1, task(2));
	other = tx(a, 2, task(3));
	end(a, c1, task(2));
	end(a, c0, task(1));
	end(a, other, task(3));
	end(a, x1, task(2));
	end(a, x0, task(1));
	late = tx(a, 0, task(1));
	end(a, late, task(1));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_EXACT, "tokio-task");
	assert_parent(c1, x1, CLEW_LINK_EXACT, "tokio-task");
	assert_root(other);
	assert_root(late);
}

/* The client's task takes the messages of two requests; the answers overtake one another. */
static void messages(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0, *x1, *c[6];

	x0 = rx(a, 0, task(1));
	x1 = rx(a, 1, task(2));
	put_in(a, 1, 0, 0);
	put_in(a, 2, 1, 0);
	c[1] = tx(a, 1, writer(1, 0));
	c[0] = tx(a, 0, writer(0, 0));
	over(a, c[0], 0);
	over(a, c[1], 1);
	c[2] = call(a, 2, 0, 1);
	c[3] = call(a, 1, 1, 1);
	over(a, c[3], 1);
	over(a, c[2], 0);
	c[4] = call(a, 3, 0, 2); /* a task that serves nobody: a worker, or a spawned one */
	over(a, c[4], 0);
	c[5] = call(a, 1, 0, 3);
	over(a, c[5], 0);
	end(a, x1, task(2));
	end(a, x0, task(1));
	sim_settle(&a->sim);
	assert_parent(c[0], x0, CLEW_LINK_EXACT, "tokio-message");
	assert_parent(c[1], x1, CLEW_LINK_EXACT, "tokio-message");
	assert_parent(c[2], x1, CLEW_LINK_EXACT, "tokio-message");
	assert_parent(c[3], x0, CLEW_LINK_EXACT, "tokio-message");
	assert_root(c[4]);
	assert_parent(c[5], x0, CLEW_LINK_EXACT, "tokio-message");
}

/* The request has its answer when its message is written: it is still its own. */
static void answered_first(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, task(1)), *next, *c;

	put_in(a, 1, 0, 0);
	end(a, x, task(1));
	next = rx(a, 0, task(1));
	c = tx(a, 0, writer(0, 0));
	over(a, c, 0);
	end(a, next, task(1));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "tokio-message");
}

/* One task that serves two connections, or is pipelined, or leaves the answer to another one. */
static void not_its_own(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0, *x1, *c0, *c1;

	x0 = rx(a, 0, task(1));
	c0 = call(a, 1, 0, 0); /* right so far, but who knows */
	x1 = rx(a, 1, task(1));
	c1 = call(a, 1, 1, 0);
	end(a, x1, task(1));
	end(a, x0, task(1));
	over(a, c0, 0);
	over(a, c1, 1);
	sim_settle(&a->sim);
	assert_root(c0);
	assert_root(c1);

	x0 = rx(a, 2, task(2));
	x1 = rx(a, 2, task(2));
	c0 = call(a, 2, 0, 1);
	over(a, c0, 0);
	end(a, x0, task(2));
	end(a, x1, task(2));
	sim_settle(&a->sim);
	assert_root(c0);

	x0 = rx(a, 3, task(3));
	c0 = call(a, 3, 0, 2);
	over(a, c0, 0);
	end(a, x0, task(4));
	sim_settle(&a->sim);
	assert_root(c0);
}

/* Connections whose task does not take one message for each request. */
static void out_of_turn(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, task(1)), *kept, *c[6];
	struct who late = writer(3, 7);

	kept = call(a, 1, 0, 0); /* withdrawn: the task was at several */
	over(a, kept, 0);
	put_in(a, 1, 0, 1);
	put_in(a, 2, 0, 2);
	c[0] = tx(a, 0, writer(0, 2)); /* the one that it took before is not written */
	over(a, c[0], 0);
	c[1] = call(a, 1, 0, 3);
	over(a, c[1], 0);
	c[2] = call(a, 1, 1, 5); /* seen from its start: where are 0 to 4? */
	over(a, c[2], 1);
	put_in(a, 1, 2, 0);
	c[3] = tx(a, 2, task(WRITER)); /* nothing was taken */
	over(a, c[3], 2);
	put_in(a, 1, 3, 7); /* older than the agent */
	late.flags |= CLEW_SEG_LATE;
	c[4] = tx(a, 3, late);
	over(a, c[4], 3);
	late.ref = message(3, 8);
	late.ctx = WRITER + 4; /* another task writes there now */
	put_in(a, 1, 3, 8);
	c[5] = tx(a, 3, late);
	over(a, c[5], 3);
	end(a, x, task(1));
	sim_settle(&a->sim);
	assert_root(kept);
	for (int i = 0; i < 6; i++)
		assert_root(c[i]);
}

static void met_late(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, task(1)), *c[3];
	struct who late = writer(0, 7), w;

	w = task(1);
	sim_edge(&a->sim, CLEW_EDGE_RUST_SEND, &w, message(0, 7), 0);
	late.flags |= CLEW_SEG_LATE;
	c[0] = tx(a, 0, late);
	over(a, c[0], 0);
	c[1] = tx(a, 1, task(WRITER + 1)); /* written before the probes were there */
	over(a, c[1], 1);
	c[2] = call(a, 1, 1, 4);
	over(a, c[2], 1);
	end(a, x, task(1));
	sim_settle(&a->sim);
	assert_parent(c[0], x, CLEW_LINK_EXACT, "tokio-message");
	assert_root(c[1]);
	assert_parent(c[2], x, CLEW_LINK_EXACT, "tokio-message");
}

/* Records that are missing, come twice, or are of a channel that had the address before. */
static void records(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, task(1)), *c[3];

	c[0] = tx(a, 0, writer(0, 0)); /* who put it in was lost */
	over(a, c[0], 0);
	put_in(a, 1, 0, 1);
	a->sim.now -= 1000;
	put_in(a, 1, 0, 1); /* the same record again */
	c[1] = tx(a, 0, writer(0, 1));
	over(a, c[1], 0);
	put_in(a, 1, 1, 1);
	put_in(a, 2, 1, 0);
	c[2] = tx(a, 1, writer(1, 0));
	over(a, c[2], 1);
	c[2] = tx(a, 1, writer(1, 1)); /* put in before the request before was written */
	over(a, c[2], 1);
	end(a, x, task(1));
	sim_settle(&a->sim);
	assert_root(c[0]);
	assert_parent(c[1], x, CLEW_LINK_EXACT, "tokio-message");
	assert_root(c[2]);
}

/* A request is lost, which the positions of the bytes tell: the next ones begin anew. */
static void lost_request(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, task(1)), *c[2];

	c[0] = call(a, 1, 0, 0);
	over(a, c[0], 0);
	a->out[0].c2s += 100; /* message 1 */
	c[1] = call(a, 1, 0, 2);
	over(a, c[1], 0);
	end(a, x, task(1));
	sim_settle(&a->sim);
	assert_parent(c[0], x, CLEW_LINK_EXACT, "tokio-message");
	assert_parent(c[1], x, CLEW_LINK_EXACT, "tokio-message");
}

/*
 * What does not agree: the messages of the channel were taken by another task, and one that was put
 * in before the channel had its number was not seen. The first one of all has no taker yet.
 */
static void other_channel(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, task(1)), *c[3];
	struct who w = task(1), fresh = task(WRITER + 50);

	put_in(a, 1, 0, 0);
	fresh.ref = message(0, 0);
	c[0] = tx(a, 1, fresh);
	end(a, c[0], fresh);
	sim_edge(&a->sim, CLEW_EDGE_RUST_SEND, &w, message(2, 0), 0); /* nobody asked for it yet */
	fresh.ref = message(2, 0);
	c[1] = tx(a, 2, fresh);
	end(a, c[1], fresh);
	put_in(a, 1, 3, 0);
	fresh.ref = message(4, 0); /* at the same address, but the kernel side saw that it is new */
	c[2] = tx(a, 3, fresh);
	end(a, c[2], fresh);
	end(a, x, task(1));
	sim_settle(&a->sim);
	assert_root(c[0]);
	assert_parent(c[1], x, CLEW_LINK_EXACT, "tokio-message");
	assert_root(c[2]);
}

/* A task that serves has taken another request's message: it is at one of the two. */
static void both(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, task(1)), *x1 = rx(a, 1, task(2)), *c;
	struct who w = task(1);

	w.ref = message(0, 0);
	sim_edge(&a->sim, CLEW_EDGE_RUST_SEND, &(struct who){.pid = APP, .ctx = 2}, message(0, 0),
		 1);
	c = tx(a, 0, w);
	end(a, c, task(1));
	end(a, x0, task(1));
	end(a, x1, task(2));
	sim_settle(&a->sim);
	assert_root(c);
	assert_int_equal(clew_correlate__stats(a->sim.co)->conflicts, 1);
}

static void starts(struct app *a, uint64_t id, uint64_t child)
{
	struct who w = task(id);

	sim_edge(&a->sim, CLEW_EDGE_RUST_SPAWN, &w, child, 0);
}

static void takes(struct app *a, uint64_t id, uint64_t child)
{
	struct who w = task(id);

	sim_edge(&a->sim, CLEW_EDGE_RUST_JOIN, &w, child, 0);
}

/* Tasks that the request starts and waits for: through a client's task, and by themselves. */
static void joins(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, task(1)), *x1 = rx(a, 1, task(2)), *c[4];

	starts(a, 1, 51);
	starts(a, 2, 52);
	starts(a, 1, 53);
	starts(a, 51, 54);
	starts(a, 51, 54); /* the same record again */
	c[0] = call(a, 51, 0, 0);
	c[1] = call(a, 52, 1, 0);
	c[2] = tx(a, 2, task(53));
	c[3] = call(a, 54, 3, 0); /* started by a task that is waited for, and waited for there */
	end(a, c[2], task(53));
	over(a, c[1], 1);
	over(a, c[3], 3);
	takes(a, 51, 54);
	over(a, c[0], 0);
	takes(a, 1, 53);
	takes(a, 2, 52);
	takes(a, 1, 51);
	end(a, x1, task(2));
	end(a, x0, task(1));
	sim_settle(&a->sim);
	assert_parent(c[0], x0, CLEW_LINK_INFERRED, "join");
	assert_parent(c[1], x1, CLEW_LINK_INFERRED, "join");
	assert_parent(c[2], x0, CLEW_LINK_INFERRED, "join");
	assert_parent(c[3], x0, CLEW_LINK_INFERRED, "join");
}

/* Nobody waits, or too late, at another request, or who did not start it; or it is not known. */
static void not_joined(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, task(1)), *x1 = rx(a, 1, task(2)), *c[7];

	starts(a, 1, 51); /* a flusher, a worker: they serve others, too */
	c[0] = call(a, 51, 0, 0);
	over(a, c[0], 0);
	starts(a, 1, 52);
	c[1] = call(a, 52, 0, 1);
	over(a, c[1], 0);
	takes(a, 2, 52); /* its handle was given away */
	takes(a, 1, 52);
	c[2] = call(a, 53, 0, 2); /* who started it was lost */
	over(a, c[2], 0);
	takes(a, 1, 53);
	starts(a, 1, 54);
	starts(a, 54, 55); /* 54 waits for nobody */
	c[3] = call(a, 55, 0, 3);
	over(a, c[3], 0);
	takes(a, 1, 54);
	starts(a, 2, 56);
	c[4] = tx(a, 1, task(56));
	end(a, c[4], task(56));
	end(a, x1, task(2));
	takes(a, 2, 56); /* behind its answer */
	starts(a, 1, 57);
	c[5] = tx(a, 1, task(57));
	end(a, c[5], task(57));
	end(a, x0, task(1));
	x0 = rx(a, 0, task(1));
	takes(a, 1, 57); /* at the next request */
	starts(a, 1, 58);
	c[6] = tx(a, 1, task(58));
	end(a, c[6], task(58));
	takes(a, 1, 58);
	end(a, x0, task(3)); /* another task answers */
	sim_settle(&a->sim);
	for (int i = 0; i < 7; i++)
		assert_root(c[i]);
}

/* The known counter-example: it has started a flusher, and waits until that has served all. */
static void leader(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, task(1)), *x1 = rx(a, 1, task(2)), *c;

	starts(a, 1, 51);
	c = call(a, 51, 0, 0); /* for x1 */
	over(a, c, 0);
	takes(a, 1, 51);
	end(a, x1, task(2));
	end(a, x0, task(1));
	sim_settle(&a->sim);
	assert_parent(c, x0, CLEW_LINK_INFERRED, "join");
}

/* A task that the request starts, and that reads requests itself. */
static void child_serves(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, task(1)), *own, *c[2];

	starts(a, 1, 51);
	own = rx(a, 1, task(51));
	c[0] = tx(a, 0, task(51));
	end(a, c[0], task(51));
	end(a, own, task(51));
	c[1] = tx(a, 0, task(51));
	end(a, c[1], task(51));
	takes(a, 1, 51);
	end(a, x, task(1));
	sim_settle(&a->sim);
	assert_parent(c[0], own, CLEW_LINK_EXACT, "tokio-task");
	assert_root(c[1]);
}

/* A client's task that a request started, and which others' messages go through. */
static void child_writes(void **state)
{
	struct app *a = *state;
	struct sim_ex *x0 = rx(a, 0, task(1)), *x1 = rx(a, 1, task(2)), *c[2];

	starts(a, 1, WRITER);
	c[0] = call(a, 2, 0, 0);
	over(a, c[0], 0);
	c[1] = tx(a, 0, task(WRITER)); /* nothing was taken */
	over(a, c[1], 0);
	takes(a, 1, WRITER);
	end(a, x1, task(2));
	end(a, x0, task(1));
	sim_settle(&a->sim);
	assert_root(c[0]);
	assert_root(c[1]);
}

static void probes(struct sim *sim, uint64_t sets)
{
	struct who w = {.pid = APP, .tid = APP};
	struct clew_probes_event ev = {.sets = sets};

	ev.h = sim_head(sim, CLEW_EV_PROBES, sizeof(ev), &w);
	clew_correlate__event(sim->co, &ev.h);
}

/* While the probes are away, messages come and go unseen. */
static void given_up(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c[3];

	probes(&a->sim, 1 << CLEW_SET_RUST_MESSAGE);
	x = rx(a, 0, task(1));
	c[0] = call(a, 1, 0, 0);
	over(a, c[0], 0);
	end(a, x, task(1));
	probes(&a->sim, 0);
	x = rx(a, 0, task(1));
	c[1] = tx(a, 0, task(WRITER));
	over(a, c[1], 0);
	end(a, x, task(1));
	probes(&a->sim, 1 << CLEW_SET_RUST_MESSAGE);
	x = rx(a, 0, task(1));
	c[2] = call(a, 1, 0, 9);
	over(a, c[2], 0);
	end(a, x, task(1));
	sim_settle(&a->sim);
	assert_root(c[1]);
	assert_parent(c[2], x, CLEW_LINK_EXACT, "tokio-message");
}

#define R(f) cmocka_unit_test_setup_teardown(f, start, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		R(own_task),	 R(messages),	   R(answered_first), R(not_its_own),
		R(out_of_turn),	 R(met_late),	   R(records),	      R(both),
		R(lost_request), R(other_channel), R(given_up),	      R(joins),
		R(not_joined),	 R(leader),	   R(child_serves),   R(child_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
