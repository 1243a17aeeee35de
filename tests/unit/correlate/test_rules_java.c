/* SPDX-License-Identifier: Apache-2.0 */
/* HotSpot: platform threads, virtual threads, jobs of pools, and what none of them proves. */
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

/* Thread `id` of a pool, at its nth job. */
static struct who job(uint64_t id, uint32_t n)
{
	struct who w = platform(id);

	w.ref = CLEW_JAVA_JOB | n;
	return w;
}

static void waited_for(struct app *a, const struct sim_ex *c, struct who by, struct who waiter)
{
	sim_java_wait(&a->sim, &by, c->ex.conn->id, &waiter);
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

/* A thread of an event loop, in one of its turns. */
static struct who in_turn(uint64_t id, uint32_t turn)
{
	struct who w = platform(id);

	w.flags = CLEW_SEG_LOOP;
	w.turn = turn;
	return w;
}

/* It serves one request between two waits, as Jetty's threads do, and others after that. */
static void one_turn_of_a_loop(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c[2], *job_x, *job_c;

	for (uint32_t turn = 5; turn < 7; turn++) {
		x = rx(a, 0, in_turn(1, turn));
		for (int i = 0; i < 2; i++) {
			c[i] = tx(a, i, in_turn(1, turn));
			end(a, c[i], in_turn(1, turn));
		}
		end(a, x, in_turn(1, turn));
		job_x = rx(a, 0, in_turn(1, turn)); /* the next one, without a wait between */
		job_c = tx(a, 1, job(10, turn));
		waited_for(a, job_c, job(10, turn), in_turn(1, turn));
		end(a, job_c, job(10, turn));
		end(a, job_x, in_turn(1, turn));
		sim_settle(&a->sim);
		for (int i = 0; i < 2; i++)
			assert_parent(c[i], x, CLEW_LINK_INFERRED, "java-turn");
		assert_parent(job_c, job_x, CLEW_LINK_INFERRED, "join");
	}
}

/* A loop that waits before any of these is at several requests; so it is if it read two. */
static void turns_of_a_loop(void **state)
{
	struct app *a = *state;
	struct sim_ex *x, *c, *two[3];

	for (uint32_t i = 1; i < 5; i++) { /* the call, its answer, that to the request */
		x = rx(a, 0, in_turn(i, 5));
		c = tx(a, 0, in_turn(i, 5 + (i == 1)));
		end(a, c, in_turn(i, 5 + (i <= 2)));
		end(a, x, i == 4 ? platform(9) : in_turn(i, 5 + (i <= 3)));
		sim_settle(&a->sim);
		assert_root(c);
	}
	for (int i = 0; i < 3; i++)
		two[i] = rx(a, i, in_turn(6, 5));
	c = tx(a, 0, in_turn(6, 5));
	end(a, c, in_turn(6, 5));
	for (int i = 0; i < 3; i++)
		end(a, two[i], in_turn(6, 5));
	sim_settle(&a->sim);
	assert_root(c);
	x = rx(a, 0, in_turn(7, 5)); /* who waits for a job answers in a later turn */
	c = tx(a, 0, job(10, 0));
	waited_for(a, c, job(10, 0), in_turn(7, 6));
	end(a, c, job(10, 0));
	end(a, x, in_turn(7, 6));
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

/* submit() and get(): two calls of one job, and its thread is at the next one before the answer. */
static void job_that_is_waited_for(void **state)
{
	struct app *a = *state;
	struct who p = job(1, 7), q = platform(2), v = virtual(50, 9);
	struct sim_ex *x0 = rx(a, 0, p), *x1 = rx(a, 1, q), *x2 = rx(a, 2, v), *c[5];

	c[0] = tx(a, 0, job(10, 0));
	c[2] = tx(a, 2, job(11, 4));
	waited_for(a, c[0], job(10, 0), p);
	end(a, c[0], job(10, 0));
	c[1] = tx(a, 0, job(10, 0));
	waited_for(a, c[1], job(10, 0), p);
	end(a, c[1], job(10, 0));
	c[3] = tx(a, 1, job(10, 1));
	waited_for(a, c[2], job(11, 4), q);
	end(a, c[2], job(11, 4));
	waited_for(a, c[3], job(10, 1), v);
	end(a, c[3], job(10, 1));
	c[4] = tx(a, 3, virtual(51, 9)); /* a virtual thread's executor */
	waited_for(a, c[4], virtual(51, 9), v);
	end(a, c[4], virtual(51, 9));
	end(a, x0, p);
	end(a, x1, q);
	end(a, x2, v);
	sim_settle(&a->sim);
	assert_parent(c[0], x0, CLEW_LINK_INFERRED, "join");
	assert_parent(c[1], x0, CLEW_LINK_INFERRED, "join");
	assert_parent(c[2], x1, CLEW_LINK_INFERRED, "join");
	assert_parent(c[3], x2, CLEW_LINK_INFERRED, "join");
	assert_parent(c[4], x2, CLEW_LINK_INFERRED, "join");
}

/* A witness that is not one. */
static void not_waited_for(void **state)
{
	struct app *a = *state;
	struct who p = job(1, 7), j = job(10, 0);
	struct sim_ex *x, *c[4];

	c[0] = tx(a, 0, j); /* before the request came */
	x = rx(a, 0, p);
	waited_for(a, c[0], j, p);
	end(a, c[0], j);
	c[1] = tx(a, 1, j); /* its thread reads at its next job */
	waited_for(a, c[1], job(10, 1), p);
	end(a, c[1], j);
	c[2] = tx(a, 2, job(11, 0)); /* who waits is at another job than the one that read */
	waited_for(a, c[2], job(11, 0), job(1, 8));
	end(a, c[2], job(11, 0));
	c[3] = tx(a, 3, job(12, 0)); /* nobody waits */
	end(a, c[3], job(12, 0));
	end(a, x, p);
	sim_settle(&a->sim);
	for (int i = 0; i < 4; i++)
		assert_root(c[i]);
}

/* The job serves two requests, both of which wait for it in turn; or one that has ended. */
static void shared_job(void **state)
{
	struct app *a = *state;
	struct who j = job(10, 0);
	struct sim_ex *x0 = rx(a, 0, job(1, 7)), *x1 = rx(a, 1, job(2, 7)), *c[4];

	c[0] = tx(a, 0, j);
	waited_for(a, c[0], j, job(1, 7));
	end(a, c[0], j);
	c[1] = tx(a, 1, j);
	waited_for(a, c[1], j, job(2, 7));
	end(a, c[1], j);
	c[2] = tx(a, 2, j); /* from now on it is nobody's */
	waited_for(a, c[2], j, job(2, 7));
	end(a, c[2], j);
	end(a, x0, job(1, 7));
	c[3] = tx(a, 3, job(11, 0));
	waited_for(a, c[3], job(11, 0), job(1, 7));
	end(a, c[3], job(11, 0));
	end(a, x1, job(2, 7));
	sim_settle(&a->sim);
	for (int i = 0; i < 4; i++)
		assert_root(c[i]);
}

/* Who waits leaves the answer to the job; or to somebody else. */
static void waiter_does_not_answer(void **state)
{
	struct app *a = *state;
	struct who p = job(1, 7), q = job(2, 7), j = job(10, 0), k = job(11, 0);
	struct sim_ex *x0 = rx(a, 0, p), *x1 = rx(a, 1, q), *c0 = tx(a, 0, j), *c1 = tx(a, 1, k);

	waited_for(a, c0, j, p);
	waited_for(a, c1, k, q);
	end(a, c0, j);
	end(a, c1, k);
	end(a, x0, j);
	end(a, x1, job(3, 7));
	sim_settle(&a->sim);
	assert_parent(c0, x0, CLEW_LINK_INFERRED, "join");
	assert_root(c1);
}

/* Two requests on one thread, and threads of event loops, are not told apart. */
static void waiter_is_nobody(void **state)
{
	struct app *a = *state;
	struct who p = platform(1), q = platform(2);
	struct sim_ex *x[3], *c0, *c1;

	x[0] = rx(a, 0, p);
	x[1] = rx(a, 1, p);
	q.flags = CLEW_SEG_LOOP;
	x[2] = rx(a, 2, q);
	c0 = tx(a, 0, job(10, 0));
	waited_for(a, c0, job(10, 0), p);
	end(a, c0, job(10, 0));
	c1 = tx(a, 1, job(11, 0));
	waited_for(a, c1, job(11, 0), q);
	end(a, c1, job(11, 0));
	end(a, x[0], p);
	end(a, x[1], p);
	end(a, x[2], q);
	sim_settle(&a->sim);
	assert_root(c0);
	assert_root(c1);
}

/* execute(): a job, or a new virtual thread, calls and answers. */
static void job_answers(void **state)
{
	struct app *a = *state;
	struct who p = job(1, 7), j = job(10, 3), v = virtual(51, 9);
	struct sim_ex *x0, *x1, *x2, *before, *c[5];

	before = tx(a, 0, job(10, 2)); /* the job before it */
	end(a, before, job(10, 2));
	x0 = rx(a, 0, p);
	x1 = rx(a, 1, job(1, 8));
	c[0] = tx(a, 0, j);
	end(a, c[0], j);
	c[1] = tx(a, 1, v);
	end(a, c[1], v);
	c[2] = tx(a, 0, j);
	end(a, c[2], j);
	end(a, x0, j);
	end(a, x1, v);
	c[3] = tx(a, 0, j); /* after the answer it may be at something else */
	end(a, c[3], j);
	x2 = rx(a, 0, p = job(1, 9)); /* that threads hand on their work does not spoil the next */
	c[4] = tx(a, 2, p);
	end(a, c[4], p);
	end(a, x2, p);
	sim_settle(&a->sim);
	assert_root(before);
	assert_parent(c[0], x0, CLEW_LINK_INFERRED, "responder");
	assert_parent(c[1], x1, CLEW_LINK_INFERRED, "responder");
	assert_parent(c[2], x0, CLEW_LINK_INFERRED, "responder");
	assert_root(c[3]);
	assert_parent(c[4], x2, CLEW_LINK_EXACT, "java-thread");
}

/* A job without end serves one request after another; a flusher answers several. */
static void job_answers_many(void **state)
{
	struct app *a = *state;
	struct who loop = job(10, 0), flusher = job(11, 0);
	struct sim_ex *x[4], *c[4], *noise = tx(a, 0, loop);

	end(a, noise, loop);
	for (int i = 0; i < 2; i++) {
		x[i] = rx(a, 0, platform(1));
		c[i] = tx(a, 0, loop);
		end(a, c[i], loop);
		end(a, x[i], loop);
	}
	x[2] = rx(a, 0, platform(2));
	x[3] = rx(a, 1, platform(3));
	for (int i = 2; i < 4; i++) {
		c[i] = tx(a, 1, flusher);
		end(a, c[i], flusher);
		end(a, x[i], flusher);
	}
	sim_settle(&a->sim);
	assert_root(noise);
	for (int i = 0; i < 4; i++)
		assert_root(c[i]);
}

/* A job that was there before the request was read: not the request's own. */
static void job_is_older(void **state)
{
	struct app *a = *state;
	struct who j = job(10, 0);
	struct sim_ex *noise = tx(a, 0, j), *x = rx(a, 0, platform(1)), *c;

	end(a, noise, j);
	c = tx(a, 0, j);
	end(a, c, j);
	end(a, x, j);
	sim_settle(&a->sim);
	assert_root(noise);
	assert_root(c);
}

/* It answers one, and another waits for it. */
static void witnesses_disagree(void **state)
{
	struct app *a = *state;
	struct who j = job(10, 0);
	struct sim_ex *x0 = rx(a, 0, job(1, 7)), *x1 = rx(a, 1, job(2, 7)), *c0, *c1;

	c0 = tx(a, 0, j);
	waited_for(a, c0, j, job(1, 7));
	end(a, c0, j);
	c1 = tx(a, 1, j);
	end(a, c1, j);
	end(a, x1, j);
	end(a, x0, job(1, 7));
	sim_settle(&a->sim);
	assert_root(c0);
	assert_root(c1);
}

/* A loss while nothing confirms what the job has answered. */
static void job_answers_and_loss(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, platform(1)), *c = tx(a, 0, job(10, 0));

	end(a, c, job(10, 0));
	end(a, x, job(10, 0));
	sim_lost(&a->sim, 1);
	sim_settle(&a->sim);
	assert_root(c);
}

/* A thread's id says nothing of which job: read in one, called and answered in the next. */
static void another_job_of_the_thread(void **state)
{
	struct app *a = *state;
	struct sim_ex *x = rx(a, 0, job(1, 7)), *c = tx(a, 0, job(1, 8));

	end(a, c, job(1, 8));
	end(a, x, job(1, 9));
	sim_settle(&a->sim);
	assert_root(c);
}

static void nobody_waits(struct app *a, struct sim_ex *c, struct who j)
{
	sim_java_wait(&a->sim, &j, c->ex.conn->id, NULL);
}

static void holds(struct app *a, struct who waiter, struct who j)
{
	sim_java_held(&a->sim, &waiter, sim_java_task(&j));
}

/* submit() four times, then get() each: while the first is waited for, the others are held. */
static void fan_out(void **state)
{
	struct app *a = *state;
	struct who p = job(1, 7);
	struct sim_ex *x = rx(a, 0, p), *c[4], *next;

	for (int i = 0; i < 4; i++)
		c[i] = tx(a, i, job(10 + (uint64_t)i, 0));
	nobody_waits(a, c[1], job(11, 0));
	end(a, c[1], job(11, 0));
	next = tx(a, 1, job(11, 1)); /* its thread goes on */
	waited_for(a, c[0], job(10, 0), p);
	for (uint64_t i = 1; i < 4; i++)
		holds(a, p, job(10 + i, 0));
	end(a, c[0], job(10, 0));
	nobody_waits(a, c[2], job(12, 0)); /* before the waiter is awake */
	end(a, c[2], job(12, 0));
	waited_for(a, c[3], job(13, 0), p);
	end(a, c[3], job(13, 0));
	end(a, next, job(11, 1));
	end(a, x, p);
	sim_settle(&a->sim);
	for (int i = 0; i < 4; i++)
		assert_parent(c[i], x, CLEW_LINK_INFERRED, "join");
	assert_root(next);
}

/* Two hold it; it was called before who holds it read its request; who holds it does not answer;
 * it serves a third, too. */
static void held_in_vain(void **state)
{
	struct app *a = *state;
	struct who p[4] = {job(1, 7), job(2, 7), job(3, 7), job(4, 7)};
	struct sim_ex *early = tx(a, 0, job(10, 0)), *x[4], *c[4];

	for (int i = 0; i < 4; i++)
		x[i] = rx(a, i, p[i]);
	nobody_waits(a, early, job(10, 0));
	end(a, early, job(10, 0));
	holds(a, p[3], job(10, 0));
	for (int i = 0; i < 3; i++) {
		struct who j = job(11 + (uint64_t)i, 0);

		c[i] = tx(a, 1 + i, j);
		nobody_waits(a, c[i], j);
		end(a, c[i], j);
		holds(a, p[i], j);
	}
	holds(a, p[1], job(11, 0));
	c[3] = tx(a, 0, job(13, 0));
	waited_for(a, c[3], job(13, 0), p[3]);
	end(a, c[3], job(13, 0));
	end(a, x[0], p[0]);
	end(a, x[1], p[0]);
	end(a, x[2], p[2]);
	end(a, x[3], p[3]);
	sim_settle(&a->sim);
	assert_root(early);
	for (int i = 0; i < 4; i++)
		assert_root(c[i]);
}

/* java.net.http's own thread, which is an event loop. */
static struct who client(void)
{
	struct who w = in_turn(500, 9);

	w.ref = CLEW_JAVA_CLIENT;
	return w;
}

static void called(struct app *a, struct sim_ex *c, struct who waiter)
{
	struct who w = client();

	sim_java_call(&a->sim, &w, c->ex.conn->id, &waiter);
	end(a, c, w);
}

/* Who writes the call is the client's thread, one of its pool, or the handler; who reads is it. */
static void http_client(void **state)
{
	struct app *a = *state;
	struct who p = job(1, 7), q = virtual(50, 9), r = in_turn(3, 4);
	struct sim_ex *x[3] = {rx(a, 0, p), rx(a, 1, q), rx(a, 2, r)}, *c[4], *next;

	c[0] = tx(a, 0, client());
	c[1] = tx(a, 1, job(20, 0));
	next = tx(a, 3, job(20, 1)); /* the pool's thread goes on */
	c[2] = tx(a, 2, r);
	called(a, c[1], q);
	called(a, c[0], p);
	called(a, c[2], r);
	c[3] = tx(a, 2, client());
	called(a, c[3], r);
	end(a, next, job(20, 1));
	end(a, x[0], p);
	end(a, x[1], q);
	end(a, x[2], r);
	sim_settle(&a->sim);
	assert_parent(c[0], x[0], CLEW_LINK_INFERRED, "future");
	assert_parent(c[1], x[1], CLEW_LINK_INFERRED, "future");
	assert_root(c[2]); /* a loop's own call must be answered to it */
	assert_parent(c[3], x[2], CLEW_LINK_INFERRED, "future");
	assert_root(next);
}

/* Who waits is at no request, at a later one, or does not answer it; nobody waits. */
static void http_client_in_vain(void **state)
{
	struct app *a = *state;
	struct who p = job(1, 7), q = job(2, 7);
	struct sim_ex *c[4] = {tx(a, 0, client()), tx(a, 1, client())}, *x, *y;

	x = rx(a, 0, p);
	y = rx(a, 1, q);
	c[2] = tx(a, 2, client());
	c[3] = tx(a, 3, client());
	called(a, c[0], job(9, 0));
	called(a, c[1], p);
	called(a, c[2], q);
	end(a, c[3], client());
	end(a, x, p);
	end(a, y, p);
	sim_settle(&a->sim);
	for (int i = 0; i < 4; i++)
		assert_root(c[i]);
}

/* sendAsync() twice, then get() each; a third future is held by two. */
static void http_client_fan_out(void **state)
{
	struct app *a = *state;
	struct who p = job(1, 7), q = job(2, 7), w = client();
	struct sim_ex *x = rx(a, 0, p), *y = rx(a, 1, q), *c[3];
	uint64_t name[3];

	for (int i = 0; i < 3; i++) {
		c[i] = tx(a, i, w);
		name[i] = sim_java_future(&a->sim);
		sim_java_call(&a->sim, &w, c[i]->ex.conn->id, i ? NULL : &p);
		end(a, c[i], w);
	}
	sim_java_held(&a->sim, &p, name[1]);
	sim_java_held(&a->sim, &p, name[2]);
	sim_java_held(&a->sim, &q, name[2]);
	end(a, x, p);
	end(a, y, q);
	sim_settle(&a->sim);
	assert_parent(c[0], x, CLEW_LINK_INFERRED, "future");
	assert_parent(c[1], x, CLEW_LINK_INFERRED, "future");
	assert_root(c[2]);
}

/* What nobody will claim leaves when its job is over, not when the window ends. */
static void job_is_over(void **state)
{
	struct app *a = *state;
	struct sim_ex *c = tx(a, 0, job(10, 0)), *next;

	end(a, c, job(10, 0));
	assert_int_equal(c->released, 0);
	next = tx(a, 0, job(10, 1));
	assert_int_equal(c->released, 1);
	end(a, next, job(10, 1));
	sim_settle(&a->sim);
	assert_root(c);
	assert_root(next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		J(platform_threads),
		J(virtual_threads),
		J(carrier_polls),
		J(event_loop),
		J(one_turn_of_a_loop),
		J(turns_of_a_loop),
		J(another_answers),
		J(answer_unknown),
		J(not_a_jvm),
		J(another_program),
		J(many_threads),
		J(job_that_is_waited_for),
		J(not_waited_for),
		J(shared_job),
		J(waiter_does_not_answer),
		J(waiter_is_nobody),
		J(job_answers),
		J(job_answers_many),
		J(job_is_older),
		J(witnesses_disagree),
		J(job_answers_and_loss),
		J(another_job_of_the_thread),
		J(http_client),
		J(http_client_in_vain),
		J(http_client_fan_out),
		J(fan_out),
		J(held_in_vain),
		J(job_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
