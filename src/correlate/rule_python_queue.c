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
 *     nor may it hold one that no request gave,
 *   - after the call, before it takes anything else, the caller wakes the thread of X, and wakes
 *     no other thread with a request of its own first, and
 *   - X is answered by its own thread, as the thread rule demands.
 * Counter-example: a thread that keeps an item that no request gave, does two others meanwhile, and
 * makes the call of the first before it wakes for the next.
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
	uint32_t gaps; /* co_proc.py_gaps when it took last */
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
	free(work);
}

/* Nobody waits for what has been answered. */
static void work_prune(struct clew_correlate *co, struct co_py_work *work)
{
	for (uint8_t i = work->n; i-- > 0;)
		if (work->x[i]->answered || work->x[i]->dropped)
			work_remove(co, work, i);
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
	bool twice = hand;

	if (hand && hand->ts == edge->h.ts)
		return; /* the same record twice */
	if (!hand_of(co, edge, DEQUE(edge->child)))
		note(co, edge, DEQUE(edge->child));
	forget(co, edge); /* what the address meant before */
	hand = note(co, edge, edge->ref);
	if (!hand)
		return;
	deque = hand_of(co, edge, DEQUE(edge->child));
	hand->nr = deque ? ++deque->nr : 0;
	/* in two deques at once, or in one twice: it cannot be told which is taken */
	hand->x = twice ? NULL : co_node__get(request_of(t));
}

void co_py_queue__wait(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_py_hand *hand;

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
	if (!t->py_work && (t->py_work = calloc(1, sizeof(*t->py_work))))
		t->py_work->gaps = proc->py_gaps;
	in_turn(co, edge, hand);
	work = t->py_work;
	if (!work || (hand && hand->tid == edge->h.tid) || t->nr_open) {
		forget(co, edge);
		return; /* its own, or it is at a request itself */
	}
	give_up(co, t);
	work_prune(co, work);
	x = hand ? hand->x : NULL;
	if (work->gaps != proc->py_gaps)
		work->unclear = OTHER_OVER;
	work->gaps = proc->py_gaps;
	if (!x)
		work->unclear = OTHER_OVER;
	else if (work_find(work, x) < 0 && work->n < WORKS_MAX)
		work->x[work->n++] = co_node__get(x);
	else if (work_find(work, x) < 0)
		work->unclear = OTHER_OVER;
	forget(co, edge);
}

bool co_py_queue__claim(struct clew_correlate *co, struct co_node *c, struct co_thread *t)
{
	struct co_py_work *work = t->py_work;

	if (!work || t->loop || c->ex->req.watch == CLEW_UNWATCHED)
		return false;
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

void co_py_queue__wake(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_py_hand *hand = hand_of(co, edge, edge->ref);
	struct co_thread *t = co_thread__find(co, edge->h.tid, edge->h.pid);
	struct co_node *x = NULL;
	int i;

	if (hand && hand->waits)
		x = request_of(co_thread__find(co, hand->tid, edge->h.pid));
	forget(co, edge);
	if (!x || !t || !t->py_work)
		return; /* a thread without a request; or its own time was over */
	work_prune(co, t->py_work);
	i = work_find(t->py_work, x);
	if (i >= 0) /* it took nothing since its calls that are held: they are of this one alone */
		prove(co, t, x);
	else if (!co_list__empty(&t->held))
		t->py_work->unclear = OTHER_OVER; /* so these calls were for somebody else */
	if (i >= 0)
		work_remove(co, t->py_work, (uint8_t)i);
	give_up(co, t);
}
