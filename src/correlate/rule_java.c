/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_java.c - HotSpot's threads, and the jobs of its thread pools (runtimes.md, Java).
 *
 * What runs is a platform thread, one job of a pool's thread, or a virtual thread. Each has an id
 * of its own that the process never uses again, whichever OS thread it runs on; a pool's thread
 * counts its jobs. What the thread rule says of OS threads holds for it: who read X, holds only X
 * and answers X itself is working for X. A virtual one cannot be in an event loop, whatever its
 * carrier does between two of them. A thread that was seen in one (Jetty's serve what they have
 * waited for) is at X only until it waits there again: X, its call, the call's answer and that to
 * X are of one turn of the loop. It has done nothing else meanwhile, unless somebody blocks loops.
 *
 * A job or virtual thread that reads no request works for others. Two things tell for whom, and
 * neither is identity, for a job may serve several requests that were waiting (a flusher):
 *   join       when the answer of the call comes in, exactly one thread waits for the job, and
 *              that one is at X, which it answers itself or leaves to the job; or it waits for
 *              another job, and holds what it will get of this one, which it made itself;
 *   responder  the job, which was not there before X was read, answers X and nothing else.
 * A job that both tie to two requests, or that answers two, proves nothing at all.
 */
#include "correlate/internal.h"

#include <stdlib.h>

#define ONE_SHOT (CLEW_JAVA_VIRTUAL | CLEW_JAVA_JOB) /* begins and ends */

/* Value of co->java_tasks, by its name: what a job or a call gives to who waits for it. */
struct co_java_task {
	struct co_node *call;	       /* reference: java.net.http's, or NULL */
	struct co_thread *job;	       /* reference: who works on it, or NULL */
	struct co_node *x;	       /* reference: who waits for it is at this, or NULL */
	uint64_t waits_ctx, waits_ref; /* that one */
	bool several;		       /* and others do */
};

const size_t co_java_task_bytes = sizeof(struct co_java_task);

static bool is_virtual(const struct clew_feed *feed)
{
	return feed->ref & CLEW_JAVA_VIRTUAL;
}

/* No call of it will find its request any more. */
static void job_ends(struct clew_correlate *co, struct co_thread *t)
{
	struct co_node *c;

	while (!co_list__empty(&t->held)) {
		c = co_entry(t->held.next, struct co_node, wait_link);
		co_link__client(co, c, NULL, CLEW_LINK_NONE, NULL);
	}
}

void co_java__dropped(struct clew_correlate *co, struct co_thread *t)
{
	if (t->keep)
		return; /* who waits for what it gives may still be found */
	t->refs++;	/* as its calls have the others */
	job_ends(co, t);
	t->refs--;
}

/* The table has who runs now: another job of the thread takes the place of its last one. */
static struct co_thread *thread_of(struct clew_correlate *co, uint32_t pid,
				   const struct clew_feed *feed, bool make)
{
	struct co_proc *proc = co_proc(co, pid);
	uint64_t key = (uint64_t)(proc ? proc->gen : 0) << 32 | pid;
	struct co_thread *t = feed->ctx ? co_map__get(&co->threads, key, feed->ctx) : NULL;

	if (t && t->ref != feed->ref)
		t = NULL;
	if (!t && make && feed->ctx) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return NULL;
		t->refs = 1;
		t->pid = pid;
		t->ref = feed->ref;
		t->since = feed->ts;
		co_list__init(&t->held);
		if (co_map__put(&co->threads, key, feed->ctx, t)) {
			free(t);
			return NULL;
		}
	}
	if (t && feed->seg_flags & CLEW_SEG_LOOP && !is_virtual(feed))
		t->loop = 1;
	return t;
}

/* The answers to its calls come to another thread than the calls' own. */
static void has_client(struct clew_correlate *co, uint32_t pid)
{
	struct co_proc *proc = co_proc(co, pid);

	if (proc)
		proc->java_client = 1;
}

static void java_segment(struct clew_correlate *co, const struct clew_segment *seg)
{
	const struct clew_feed feed = {.ctx = seg->ctx, .ref = seg->ref, .seg_flags = seg->flags};

	if (seg->ref == CLEW_JAVA_CLIENT)
		has_client(co, seg->h.pid);
	if (seg->flags & CLEW_SEG_LOOP)
		thread_of(co, seg->h.pid, &feed, false);
}

/* Of two that were read in one turn, and not answered one after the other, it may be at either. */
static void loop_reads(struct clew_correlate *co, struct co_thread *t, struct co_node *x)
{
	const struct clew_feed *req = &x->ex->req;
	bool same = t->window_turn == req->turn;

	t->window_set = same && (t->window_set || (t->window && !t->window->answered));
	co_node__put(co, t->window);
	t->window = NULL;
	if (!t->window_set && req->turn && req->watch != CLEW_UNWATCHED)
		t->window = co_node__get(x);
	t->window_turn = req->turn;
}

static void java_request(struct clew_correlate *co, struct co_node *x)
{
	struct co_thread *t = thread_of(co, x->pid, &x->ex->req, true);

	if (!t)
		return;
	if (t->loop)
		loop_reads(co, t, x);
	co_thread__serves(co, t, x, is_virtual(&x->ex->req) || x->ex->req.watch != CLEW_UNWATCHED);
}

/* It is at this request, and at no other. */
static struct co_node *open_request(const struct co_thread *t)
{
	if (t && t->loop)
		return t->window && !t->window->answered ? t->window : NULL;
	return t && !t->multi && t->nr_open == 1 ? t->open : NULL;
}

/* Was it read and answered by one thread in one turn of its loop? */
static bool one_turn(const struct clew_feed *req, const struct clew_feed *resp)
{
	return resp->ts && resp->ctx_kind == CLEW_CTX_JAVA && resp->ctx == req->ctx &&
	       resp->turn == req->turn && resp->watch == req->watch;
}

static void java_claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	const struct clew_feed *req = &c->ex->req;
	struct co_thread *t = thread_of(co, c->pid, req, req->ref);
	struct co_node *x = open_request(t);

	if (x) {
		if (!is_virtual(req) && (!x->ex || x->ex->req.watch != req->watch))
			return;
		if (t->loop && t->window_turn != req->turn)
			return;
		ret->kind = CO_CLAIM_NODE;
		ret->x = x;
		ret->by = t;
		ret->link = t->loop ? CLEW_LINK_INFERRED : CLEW_LINK_EXACT;
		ret->evidence = t->loop ? co_ev_turn : is_virtual(req) ? co_ev_virtual : co_ev_java;
	} else if (t && req->ref == CLEW_JAVA_CLIENT) {
		has_client(co, c->pid);
		ret->kind = CO_CLAIM_HOLD;
		ret->by = t;
	} else if (t && req->ref & ONE_SHOT && !t->multi && !t->loop && !t->nr_open &&
		   !t->job_answered) {
		ret->kind = CO_CLAIM_HOLD;
		ret->by = t;
	}
}

static void java_hold(struct clew_correlate *co, struct co_node *c, void *by)
{
	struct co_thread *t = by;
	struct co_proc *proc = co_proc__find(co, c->pid);

	t->refs++;
	t->keep |= proc && proc->java_client;
	c->by = t;
	c->wait = CO_WAIT_CONTEXT;
	co_list__add_tail(&t->held, &c->wait_link);
	co_node__put(co, c->conn->job_call);
	c->conn->job_call = co_node__get(c);
}

/* What ties a job to one request ties it to no other. */
static bool works_for(struct clew_correlate *co, struct co_thread *job, struct co_node *x)
{
	if (job->job_x && job->job_x != x)
		job->multi = 1;
	if (job->multi) {
		job_ends(co, job);
		return false;
	}
	if (!job->job_x)
		job->job_x = co_node__get(x);
	return true;
}

void co_java_task__drop(void *arg, void *val)
{
	struct clew_correlate *co = arg;
	struct co_java_task *task = val;

	if (task->job)
		co_thread__put(co, task->job);
	co_node__put(co, task->call);
	co_node__put(co, task->x);
	free(task);
}

static struct co_java_task *task_of(struct clew_correlate *co, uint32_t pid, uint64_t name)
{
	struct co_proc *proc = co_proc(co, pid);
	uint64_t key = (uint64_t)(proc ? proc->gen : 0) << 32 | pid;
	struct co_java_task *task = co_map__get(&co->java_tasks, key, name);

	if (task)
		return task;
	task = calloc(1, sizeof(*task));
	if (task && co_map__put(&co->java_tasks, key, name, task)) {
		free(task);
		return NULL;
	}
	return task;
}

/*
 * What is known of the task by now ties its job to a request, and the call whose answer comes in;
 * NULL: those of the job whose answers came before.
 */
static void task_ties(struct clew_correlate *co, struct co_java_task *task, struct co_node *only)
{
	struct co_thread *job = task->job;
	struct co_list *l, *next;

	if (!job || !task->x)
		return;
	if (task->several)
		job->multi = 1;
	if (!works_for(co, job, task->x))
		return;
	job->waits_ctx = task->waits_ctx;
	job->waits_ref = task->waits_ref;
	if (task->x->answered)
		return;
	for (l = job->held.next; l != &job->held; l = next) {
		struct co_node *c = co_entry(l, struct co_node, wait_link);

		next = l->next;
		if ((!only || only == c) && task->x->req_ts <= c->req_ts)
			co_link__until_answered(co, c, task->x, CLEW_LINK_INFERRED, co_ev_join);
	}
}

/* This thread waits for the task, now or next. */
static bool task_waiter(struct clew_correlate *co, struct co_java_task *task, uint32_t pid,
			const struct clew_feed *who)
{
	struct co_thread *waiter = thread_of(co, pid, who, false);
	struct co_node *x = open_request(waiter);

	if (!x || x->answered || waiter == task->job)
		return false;
	task->several |= task->x && task->x != x;
	if (task->several && task->call &&
	    (task->call->wait == CO_WAIT_CONTEXT || task->call->wait == CO_WAIT_ANSWER))
		co_link__client(co, task->call, NULL, CLEW_LINK_NONE, NULL);
	if (!task->x)
		task->x = co_node__get(x);
	task->waits_ctx = who->ctx;
	task->waits_ref = who->ref;
	return true;
}

static void call_ties(struct clew_correlate *co, const struct co_java_task *task)
{
	struct co_node *c = task->call;

	if (c && task->x && !task->several && !task->x->answered && c->wait == CO_WAIT_CONTEXT &&
	    c->rule == &co_rule_java && c->ex && task->x->req_ts <= c->req_ts)
		co_link__until_answered(co, c, task->x, CLEW_LINK_INFERRED, co_ev_future);
}

/* Who waits for one thing holds what another job or call will give. */
static void java_holds(struct clew_correlate *co, const struct clew_edge *edge)
{
	const struct clew_feed who = {.ctx = edge->ctx, .ref = edge->ref};
	struct co_java_task *task = task_of(co, edge->h.pid, edge->child);

	if (!task || !task_waiter(co, task, edge->h.pid, &who))
		return;
	task_ties(co, task, NULL);
	call_ties(co, task);
}

/* java.net.http is about to read the answer of a call, for which somebody waits, or not yet. */
static void java_called(struct clew_correlate *co, const struct clew_edge *edge, struct co_node *c)
{
	const struct clew_feed who = {.ctx = edge->child, .ref = edge->chain[0]};
	struct co_java_task *task;

	if (edge->chain_len != 2 || c->wait != CO_WAIT_CONTEXT || c->answered)
		return;
	task = task_of(co, c->pid, edge->chain[1]);
	if (!task)
		return;
	co_node__put(co, task->call);
	task->call = co_node__get(c);
	if (!who.ctx || task_waiter(co, task, c->pid, &who))
		call_ties(co, task);
}

/*
 * The answer of a call is about to be read by the job that made it, for which somebody waits, or
 * nobody does yet.
 */
static void java_edge(struct clew_correlate *co, const struct clew_edge *edge)
{
	struct co_conn *conn = co_conn__find(co, edge->conn_id);
	struct co_node *c = conn ? conn->job_call : NULL;
	struct clew_feed who = {.ctx = edge->child};
	struct co_java_task *task;

	if (edge->kind == CLEW_EDGE_JAVA_HELD)
		java_holds(co, edge);
	if (!c || conn->pid != edge->h.pid)
		return;
	if (edge->kind == CLEW_EDGE_JAVA_CALL) {
		java_called(co, edge, c);
	} else if (edge->kind != CLEW_EDGE_JAVA_WAIT) {
		return;
	}
	conn->job_call = NULL;
	task = edge->kind == CLEW_EDGE_JAVA_WAIT && edge->chain_len == 2
		       ? task_of(co, c->pid, edge->chain[1])
		       : NULL;
	if (task && c->wait == CO_WAIT_CONTEXT && c->rule == &co_rule_java && c->ex &&
	    !c->answered && c->ex->req.ctx == edge->ctx && c->ex->req.ref == edge->ref) {
		if (task->job && task->job != c->by) {
			co_thread__put(co, task->job);
			task->job = NULL;
		}
		if (!task->job) {
			task->job = c->by;
			task->job->refs++;
			task->job->keep = 1;
		}
		who.ref = edge->chain[0];
		if (!who.ctx || task_waiter(co, task, c->pid, &who))
			task_ties(co, task, c);
	}
	co_node__put(co, c);
}

/* `x` is answered by somebody else than who read it: a job that was given it? */
static void java_response(struct clew_correlate *co, struct co_node *x)
{
	const struct clew_feed *resp = &x->ex->resp;
	struct co_thread *job;
	struct co_list *l, *next;

	if (!(resp->ref & ONE_SHOT) || co_thread__answers(x) == CO_WHO_SAME)
		return;
	job = thread_of(co, x->pid, resp, true);
	if (!job)
		return;
	if (job->since < x->req_ts || job->loop || job->nr_open)
		job->multi = 1; /* it was there already: it serves one after another */
	job->job_answered = 1;
	if (!works_for(co, job, x))
		return;
	for (l = job->held.next; l != &job->held; l = next) {
		struct co_node *c = co_entry(l, struct co_node, wait_link);

		next = l->next;
		co_link__late(co, c, x, CLEW_LINK_INFERRED, co_ev_responder);
	}
}

/* The calls of a job: nothing has tied it to another request, or given it up. */
static bool job_stands(struct clew_correlate *co, const struct co_node *c, const struct co_node *x)
{
	const struct co_thread *job = c->by;
	const struct clew_feed who = {.ctx = job->waits_ctx, .ref = job->waits_ref};
	const struct co_thread *waiter;

	if (job->multi || job->loop || job->job_x != x)
		return false;
	if (c->cand_evidence == co_ev_responder || !x->ex)
		return c->cand_evidence == co_ev_responder;
	waiter = thread_of(co, x->pid, &who, false);
	if (waiter && waiter->loop)
		return one_turn(&x->ex->req, &x->ex->resp);
	if (x->ex->resp.ts && x->ex->resp.ctx_kind == CLEW_CTX_JAVA &&
	    x->ex->resp.ctx == c->ex->req.ctx && x->ex->resp.ref == c->ex->req.ref)
		return true; /* it was left to the job */
	if (!waiter || waiter->multi)
		return false;
	return !x->ex->resp.ts || co_thread__answers(x) == CO_WHO_SAME;
}

/* Who waited for the answer of this very call is who read `x`, and answers it. */
static bool call_stands(struct clew_correlate *co, const struct co_node *x)
{
	const struct co_thread *t = x->ex ? thread_of(co, x->pid, &x->ex->req, false) : NULL;

	if (!t || !x->ex->resp.ts)
		return false;
	if (t->loop)
		return one_turn(&x->ex->req, &x->ex->resp);
	return !t->multi && co_thread__answers(x) == CO_WHO_SAME;
}

static bool java_stands(struct clew_correlate *co, const struct co_node *c, const struct co_node *x)
{
	const struct co_thread *t = c->by;

	if (!t)
		return false;
	if (c->cand_evidence == co_ev_future)
		return call_stands(co, x);
	if (c->cand_evidence == co_ev_join || c->cand_evidence == co_ev_responder)
		return job_stands(co, c, x);
	if (c->cand_evidence == co_ev_turn)
		return x->ex && one_turn(&x->ex->req, &x->ex->resp) &&
		       one_turn(&c->ex->req, &c->ex->resp);
	if (t->loop || t->multi)
		return false;
	return !x->ex || !x->ex->resp.ts || co_thread__answers(x) == CO_WHO_SAME;
}

static void java_closed(struct clew_correlate *co, struct co_conn *conn)
{
	co_node__put(co, conn->job_call);
	conn->job_call = NULL;
}

const struct co_rule co_rule_java = {
	.runtimes = 1U << CLEW_RT_JAVA,
	.segment = java_segment,
	.edge = java_edge,
	.closed = java_closed,
	.request = java_request,
	.response = java_response,
	.claim = java_claim,
	.hold = java_hold,
	.stands = java_stands,
	.get = co_thread__get_by,
	.put = co_thread__put_by,
};
