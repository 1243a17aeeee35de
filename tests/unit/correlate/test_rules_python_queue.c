/* SPDX-License-Identifier: Apache-2.0 */
/* Python: a program's own threads, fed by queue.Queue, for which the handler waits. */
#include "app.h"

enum { A = 31, B = 32, W = 41, V = 42 }; /* two handlers, two workers */

static struct who on(uint32_t tid)
{
	return (struct who){.pid = APP, .tid = tid, .kind = CLEW_CTX_PYTHON};
}

static void give(struct app *a, uint32_t tid, uint64_t item)
{
	struct who w = on(tid);

	sim_edge(&a->sim, CLEW_EDGE_PY_GIVE, &w, 0, item);
}

static void take(struct app *a, uint32_t tid, uint64_t item)
{
	struct who w = on(tid);

	sim_edge(&a->sim, CLEW_EDGE_PY_TAKE, &w, 0, item);
}

/* A handler waits with a lock of its own, by which it is known here. */
static void wait(struct app *a, uint32_t tid)
{
	struct who w = on(tid);

	sim_edge(&a->sim, CLEW_EDGE_PY_WAIT, &w, 0, 0x9000 + tid);
}

static void wake(struct app *a, uint32_t by, uint32_t tid)
{
	struct who w = on(by);

	sim_edge(&a->sim, CLEW_EDGE_PY_WAKE, &w, 0, 0x9000 + tid);
}

static struct sim_ex *call(struct app *a, int conn, uint32_t tid)
{
	struct sim_ex *c = tx(a, conn, on(tid));

	end(a, c, on(tid));
	return c;
}

static struct sim_ex *handler(struct app *a, int conn, uint32_t tid, uint64_t item)
{
	struct sim_ex *x;

	sim_runtime(&a->sim, APP, CLEW_RT_PYTHON);
	x = rx(a, conn, on(tid));
	give(a, tid, item);
	wait(a, tid);
	return x;
}

/* Two requests, two workers, crosswise; each worker goes on before the request is answered. */
static void waited_for(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *y = handler(a, 1, B, 0x6000), *c, *d, *e;

	take(a, V, 0x5000);
	take(a, W, 0x6000);
	c = call(a, 0, V);
	d = call(a, 1, W);
	e = call(a, 1, W); /* two calls of one item */
	wake(a, V, A);
	wake(a, W, B);
	take(a, V, 0x7000); /* nobody's */
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_INFERRED, "queue-item");
	assert_parent(d, y, CLEW_LINK_INFERRED, "queue-item");
	assert_parent(e, y, CLEW_LINK_INFERRED, "queue-item");
}

/* One after the other, faster than the requests are answered. */
static void one_after_the_other(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *y = handler(a, 1, B, 0x6000), *c, *d, *late;

	take(a, W, 0x5000);
	c = call(a, 0, W);
	wake(a, W, A);
	late = call(a, 0, W); /* it is nobody's by then */
	take(a, W, 0x6000);
	d = call(a, 0, W);
	wake(a, W, B);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_INFERRED, "queue-item");
	assert_parent(d, y, CLEW_LINK_INFERRED, "queue-item");
	assert_root(late);
}

/* Two items first, then the work of both: whatever is woken when, it cannot be told. */
static void batch(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *y = handler(a, 1, B, 0x6000), *c, *d;

	take(a, W, 0x5000);
	take(a, W, 0x6000);
	c = call(a, 0, W);
	d = call(a, 1, W);
	wake(a, W, B);
	wake(a, W, A);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* It always holds one ahead; of the first one nothing was seen. */
static void one_ahead(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c, *d;

	sim_runtime(&a->sim, APP, CLEW_RT_PYTHON);
	x = rx(a, 0, on(A));
	wait(a, A);
	y = handler(a, 1, B, 0x6000);
	take(a, W, 0x6000);
	c = call(a, 0, W); /* for A */
	wake(a, W, A);
	d = call(a, 0, W);
	wake(a, W, B);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* Without a wait, or woken by another, or when its own time is over: nothing. */
static void not_woken(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *y = handler(a, 1, B, 0x6000), *c, *d;

	take(a, W, 0x5000);
	take(a, V, 0x6000);
	c = call(a, 0, W);
	d = call(a, 1, V);
	wake(a, V, A); /* so it may have been at A's */
	wake(a, B, B);
	take(a, W, 0x7000);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* An item that no request gave is in its hands, too. */
static void with_another(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *c;

	take(a, W, 0x5000);
	take(a, W, 0x7000);
	c = call(a, 0, W);
	wake(a, W, A);
	end(a, x, on(A));
	sim_settle(&a->sim);
	assert_root(c);
}

/*
 * It takes what nobody gave, and only then X's, or holds it one ahead: after two that were
 * certainly done, that is over, too.
 */
static void nobodys_first(void **state)
{
	struct app *a = *state;
	struct sim_ex *x[4], *c[4];

	for (int i = 0; i < 4; i++) {
		x[i] = handler(a, i, A + (uint32_t)i, 0x5000 + 8 * (uint64_t)i);
		if (i == 1)
			take(a, W, 0x7000);
		take(a, W, 0x5000 + 8 * (uint64_t)i);
		c[i] = call(a, i, W);
		wake(a, W, A + (uint32_t)i);
	}
	for (int i = 0; i < 4; i++)
		end(a, x[i], on(A + (uint32_t)i));
	sim_settle(&a->sim);
	assert_parent(c[0], x[0], CLEW_LINK_INFERRED, "queue-item");
	assert_root(c[1]);
	assert_root(c[2]);
	assert_parent(c[3], x[3], CLEW_LINK_INFERRED, "queue-item");
}

/*
 * That the worker took an item was lost: the next one out of that deque is not the next in turn. It
 * works on that first, and wakes nobody for it.
 */
static void lost_take(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c, *d;

	give(a, V, 0x7000);
	x = handler(a, 0, A, 0x5000);
	take(a, W, 0x5000);
	c = call(a, 0, W); /* for what V gave */
	wake(a, W, A);
	y = handler(a, 1, B, 0x6000);
	take(a, V, 0x6000); /* in turn again, but the lost one may be in its hands */
	d = call(a, 1, V);
	wake(a, V, B);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* It has two in its hands; who gave the first is woken because there is a place for its next one */
static void woken_too_early(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *y = handler(a, 1, B, 0x6000), *c, *d;

	take(a, W, 0x5000);
	wake(a, W, A);
	give(a, A, 0x5100);
	wait(a, A);
	take(a, W, 0x6000);
	c = call(a, 0, W); /* for A */
	d = call(a, 0, W);
	wake(a, W, B);
	wake(a, W, A);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* The same, and it is woken between the two that it takes, and goes on when the second is taken. */
static void woken_between(void **state)
{
	struct app *a = *state;
	struct sim_ex *y = handler(a, 1, B, 0x6000), *x = handler(a, 0, A, 0x5000), *c;

	take(a, W, 0x6000);
	take(a, W, 0x5000);
	wake(a, W, A);
	c = call(a, 0, W); /* for A */
	wake(a, W, B);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
}

/* Nobody waits for the first item any more, but it is worked on with the second one. */
static void gave_up(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *y, *c;

	take(a, W, 0x5000);
	end(a, x, on(A));
	y = handler(a, 1, B, 0x6000);
	take(a, W, 0x6000);
	c = call(a, 0, W); /* for A */
	wake(a, W, B);
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
}

/* What it had when the probes came, and for whom: all that is seen is that it wakes somebody. */
static void unseen_waiter(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *c;

	take(a, W, 0x5000);
	c = call(a, 0, W); /* for B */
	wake(a, W, B);
	wake(a, W, A);
	end(a, x, on(A));
	sim_settle(&a->sim);
	assert_root(c);
}

/* That it took its very first item was lost. */
static void lost_first(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *y, *c;

	x = handler(a, 0, A, 0x5000);
	give(a, V, 0x7000);
	take(a, W, 0x7000); /* it has 0x5000 already */
	y = handler(a, 1, B, 0x6000);
	take(a, V, 0x6000); /* so might this one */
	c = call(a, 0, V);
	wake(a, V, B);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
}

/* The same object twice; one that its thread takes itself; one that two gave away. */
static void same_object(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *y = handler(a, 1, B, 0x5000), *c;

	take(a, W, 0x5000);
	c = call(a, 0, W);
	wake(a, W, B);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
}

/* Its own deque, in the middle of the work (urllib3 keeps a body so). */
static void own_deque(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *c;

	take(a, W, 0x5000);
	c = call(a, 0, W);
	give(a, W, 0x8000);
	take(a, W, 0x8000);
	wake(a, W, A);
	end(a, x, on(A));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_INFERRED, "queue-item");
}

/* The worker answers itself: a staged pool. And one that is woken before the call is over. */
static void staged(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *y = handler(a, 1, B, 0x6000), *c, *d;

	take(a, W, 0x5000);
	c = call(a, 0, W);
	wake(a, W, A);
	end(a, x, on(W));
	take(a, V, 0x6000);
	d = tx(a, 1, on(V));
	wake(a, V, B);
	end(a, d, on(V));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(d);
}

/* What the thread of a request calls, whatever it takes out of queues, is that request's. */
static void at_a_request(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = handler(a, 0, A, 0x5000), *y = handler(a, 1, B, 0x6000), *c;

	take(a, A, 0x6000);
	c = call(a, 0, A);
	end(a, x, on(A));
	end(a, y, on(B));
	sim_settle(&a->sim);
	assert_parent(c, x, CLEW_LINK_EXACT, "thread");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(waited_for),	    T(one_after_the_other), T(batch),	    T(one_ahead),
		T(not_woken),	    T(with_another),	    T(same_object), T(lost_take),
		T(nobodys_first),   T(own_deque),	    T(staged),	    T(at_a_request),
		T(woken_too_early), T(woken_between),	    T(gave_up),	    T(unseen_waiter),
		T(lost_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
