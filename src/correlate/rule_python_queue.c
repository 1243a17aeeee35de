/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_python_queue.c - threads of a program's own, fed by queue.Queue, for which the handler
 * waits.
 *
 * queue.Queue is Python code around a collections.deque, and so is what threading.Condition keeps
 * of those who wait: Event.wait(), Future.result(), Queue.get() put a lock of the thread's own
 * into one, and who wakes the thread takes it out again. Objects cannot change their address
 * while a deque holds them. So four facts are known: this thread gave this object away; that
 * thread took it; this thread is about to wait; that thread woke it.
 *
 * None of them alone tells whose call a thread makes: one that takes two items and then works on
 * both may be at either. A call is X's (`queue-item`, inferred) if
 *   - the thread of X, which holds X alone, gave away an item, and the caller took it,
 *   - the caller holds no item of another open request: each was taken, and not yet woken for,
 *     nor may it hold one that no request gave, or nobody waits for any more; it has not taken one
 *     while it held another, but two rounds ago (such a thread may do them in any order, and may
 *     wake whom it likes meanwhile, for there are other reasons to),
 *   - after the call, before it takes anything else, the caller wakes the thread of X, and wakes
 *     no other thread with a request of its own first, and
 *   - X is answered by its own thread, as the thread rule demands.
 * Counter-example: a thread that keeps an item that no request gave, or that it took before it was
 * watched, does two others meanwhile, and makes the call of the first before it wakes for the next.
 */
#include "correlate/rule_python.h"

#include <stdlib.h>

#define WORKS_MAX   4
#define OTHER_OVER  2
#define DEQUE(addr) ((addr) | 1)

/*
 * Value of co->py_hands: an object that was given away; the lock of a thread that waits; under
 * DEQUE(address), what went through a deque, in its order, so that a lost record shows.
 */
struct co_py_hand {
	struct co_node *x; /* reference, or NULL: nobody's */
	uint64_t ts;	   /* of the record */
	uint64_t nr;	   /* in the order of its deque; of a deque, of the latest */
	uint64_t taken;	   /* of a deque: the latest that was taken out */
	uint32_t tid;	   /* who gave it, or waits */
	bool waits;
};

/* The requests whose items a thread has taken, and whose threads it did not wake since. */
struct co_py_work {
	struct co_node *x[WORKS_MAX]; /* references */
	uint8_t n;
	/* it took something else, too: so often must all else be done until that is over, too */
	uint8_t unclear;
	bool called;	       /* since it took last */
	uint8_t acts;	       /* of `early`, when that was woken */
	uint32_t gaps;	       /* co_proc.py_gaps when it took last */
	struct co_node *early; /* reference: woken for without a call, or NULL: is that over? */
};

const size_t co_py_hand_bytes = sizeof(struct co_py_hand);

void co_py_hand__drop(void *arg, void *val)
{
	struct co_py_hand *hand = val;

	co_node__put(arg, hand->x);
	free(hand);
}

static void work_remove(struct clew_correlate *co, struct co_py_work *work, uint8_t i)
{
	co_node__put(co, work->x[i]);
	work->x[i] = work->x[--work->n];
	if (!work->n && work->unclear)
		work->unclear--;
}

void co_py_work__free(struct clew_correlate *co, struct co_py_work *work)
{
	while (work && work->n)
		work_remove(co, work, 0);
	if (work)
		co_node__put(co, work->early);
	free(work);
}

/* Nobody waits for what has been answered; but the thread may do it all the same, or later. */
static void work_prune(struct clew_correlate *co, struct co_py_work *work)
{
	for (uint8_t i = work->n; i-- > 0;) {
		if (!work->x[i]->answered && !work->x[i]->dropped)
			continue;
		work_remove(co, work, i);
		work->unclear = OTHER_OVER;
	}
}

/*
 * Who was woken before anything was asked for it, and then gives or waits for more, was told that
 * there is a place for its next item, or that its work begins.
 */
static void work_early(struct clew_correlate *co, struct co_py_work *work)
{
	struct co_node *x = work->early;

	if (!x)
		return;
	if (x->py_acts != work->acts)
		work->unclear = OTHER_OVER;
	else if (!x->answered && !x->dropped)
		return;
	co_node__put(co, x);
	work->early = NULL;
}

static int work_find(const struct co_py_work *work, const struct co_node *x)
{
	for (uint8_t i = 0; i < work->n; i++)
		if (work->x[i] == x)
			return i;
	return -1;
}

static void give_up(struct clew_correlate *co, struct co_thread *t)
{
	while (!co_list__empty(&t->held)) {
		struct co_node *c = co_entry(t->held.next, struct co_node, wait_link);

		co_link__client(co, c, NULL, CLEW_LINK_NONE, NULL);
	}
}

/* The one request that a thread is at. */
static struct co_node *request_of(const struct co_thread *t)
{
	return t && !t->loop && !t->multi && t->nr_open == 1 ? t->open : NULL;
}

/* It gives or waits, at its request: if it has one. */
static struct co_node *acts(const struct co_thread *t)
{
	struct co_node *x = request_of(t);

	if (x)
		x->py_acts++;
	return x;
}

static struct co_py_hand *hand_of(struct clew_correlate *co, const struct clew_edge *edge,
				  uint64_t addr)
{
	return co_map__get(&co->py_hands, co_py__key(co, edge->h.pid), addr);
}

static void forget(struct clew_correlate *co, const struct clew_edge *edge)
{
	co_map__del(&co->py_hands, co_py__key(co, edge->h.pid), edge->ref);
}

static struct co_py_hand *note(struct clew_correlate *co, const struct clew_edge *edge,
			       uint64_t addr)
{
	struct co_py_hand *hand = calloc(1, sizeof(*hand));

	if (!hand)
		return NULL;
	hand->ts = edge->h.ts;
	hand->tid = edge->h.tid;
	if (co_map__put(&co->py_hands, co_py__key(co, edge->h.pid), addr, hand)) {
		free(hand);
		return NULL;
	}
	return hand;
}

void co_py_queue__give(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_thread *t = co_thread__find(co, edge->h.tid, edge->h.pid);
	struct co_py_hand *hand = hand_of(co, edge, edge->ref), *deque;
	struct co_node *x;
	bool twice = hand;

	if (hand && hand->ts == edge->h.ts)
		return; /* the same record twice */
	x = acts(t);
	if (!hand_of(co, edge, DEQUE(edge->child)))
		note(co, edge, DEQUE(edge->child));
	forget(co, edge); /* what the address meant before */
	hand = note(co, edge, edge->ref);
	if (!hand)
		return;
	deque = hand_of(co, edge, DEQUE(edge->child));
	hand->nr = deque ? ++deque->nr : 0;
	/* in two deques at once, or in one twice: it cannot be told which is taken */
	hand->x = twice ? NULL : co_node__get(x);
}

void co_py_queue__wait(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_py_hand *hand;

	acts(co_thread__find(co, edge->h.tid, edge->h.pid));
	forget(co, edge);
	hand = note(co, edge, edge->ref);
	if (hand)
		hand->waits = true;
}

/* First in, first out: was nothing taken that was not seen? Else nobody knows who has it. */
static void in_turn(struct clew_correlate *co, const struct clew_edge *edge,
		    const struct co_py_hand *hand)
{
	struct co_py_hand *deque = hand_of(co, edge, DEQUE(edge->child));
	struct co_proc *proc = co_proc(co, edge->h.pid);

	if (!hand || !deque)
		return;
	if (proc && hand->tid != edge->h.tid && deque->taken + 1 != hand->nr)
		proc->py_gaps++;
	deque->taken = hand->nr;
}

void co_py_queue__take(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_thread *t = co_thread(co, edge->h.tid, edge->h.pid);
	struct co_py_hand *hand = hand_of(co, edge, edge->ref);
	struct co_proc *proc = co_proc(co, edge->h.pid);
	struct co_py_work *work;
	struct co_node *x;

	if (!t || !proc)
		return;
	in_turn(co, edge, hand);
	if ((hand && hand->tid == edge->h.tid) || t->nr_open) {
		forget(co, edge);
		return; /* its own, or it is at a request itself */
	}
	if (!t->py_work) /* what was taken unseen until now may be in its hands, too */
		t->py_work = calloc(1, sizeof(*t->py_work));
	work = t->py_work;
	if (!work) {
		forget(co, edge);
		return;
	}
	give_up(co, t);
	work_early(co, work);
	work_prune(co, work);
	x = hand ? hand->x : NULL;
	/* who takes the next before the first is over may wake for one of them when it likes */
	if (work->gaps != proc->py_gaps || !x || work->n)
		work->unclear = OTHER_OVER;
	work->gaps = proc->py_gaps;
	work->called = false;
	if (x && work->n < WORKS_MAX && work_find(work, x) < 0)
		work->x[work->n++] = co_node__get(x);
	forget(co, edge);
}

bool co_py_queue__claim(struct clew_correlate *co, struct co_node *c, struct co_thread *t)
{
	struct co_py_work *work = t->py_work;

	if (!work || t->loop || c->ex->req.watch == CLEW_UNWATCHED)
		return false;
	work->called = true;
	work_early(co, work);
	work_prune(co, work);
	return work->n == 1 && !work->unclear && work->x[0]->req_ts <= c->req_ts;
}

void co_py_queue__hold(struct clew_correlate *co, struct co_node *c)
{
	struct co_thread *t = co_thread__find(co, c->tid, c->pid);

	c->wait = CO_WAIT_CONTEXT;
	co_list__add_tail(&t->held, &c->wait_link);
}

/* All that it called for this request is done: it waits for the answer now. */
static void prove(struct clew_correlate *co, struct co_thread *t, struct co_node *x)
{
	while (!co_list__empty(&t->held)) {
		struct co_node *c = co_entry(t->held.next, struct co_node, wait_link);

		if (c->done)
			co_link__until_answered(co, c, x, CLEW_LINK_INFERRED, co_ev_queue);
		else
			co_link__client(co, c, NULL, CLEW_LINK_NONE, NULL);
	}
}

/* It is over for this one, unless nothing was asked for it and it goes on. */
static void woken_for(struct clew_correlate *co, struct co_py_work *work, uint8_t i)
{
	struct co_node *x = work->x[i];

	if (!work->called) {
		if (work->early)
			work->unclear = OTHER_OVER;
		co_node__put(co, work->early);
		work->early = co_node__get(x);
		work->acts = x->py_acts;
	}
	work_remove(co, work, i);
}

void co_py_queue__wake(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_py_hand *hand = hand_of(co, edge, edge->ref);
	struct co_thread *t = co_thread__find(co, edge->h.tid, edge->h.pid);
	struct co_py_work *work = t ? t->py_work : NULL;
	struct co_node *x = NULL;
	bool known = hand && hand->waits;
	int i;

	if (known)
		x = request_of(co_thread__find(co, hand->tid, edge->h.pid));
	forget(co, edge);
	if (!work || (known && !x))
		return; /* a thread without a request; or its own time was over */
	work_early(co, work);
	work_prune(co, work);
	i = x ? work_find(work, x) : -1; /* NULL: somebody's who waited unseen */
	if (i >= 0 && !work->unclear)
		prove(co, t, x); /* it took nothing since: they are of this one alone */
	else if (!co_list__empty(&t->held))
		work->unclear = OTHER_OVER; /* so these calls were for somebody else */
	if (i >= 0)
		woken_for(co, work, (uint8_t)i);
	give_up(co, t);
}
