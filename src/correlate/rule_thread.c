/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_thread.c - one thread, one request at a time (rule U2).
 *
 * A thread that was never seen in an event loop, read the request X and has not answered it is
 * working for X: what it asks of others meanwhile, it asks for X. That is identity only if the
 * thread really serves one request at a time, so it is given up for good when the thread
 *   - was seen waiting in an event loop,
 *   - held two unanswered requests at once, or
 *   - read a request that another thread answered: it hands its work on (a staged pool; the
 *     responder's thread id alone was wrong in more than half of the cases there).
 * The last can only be known when the answer begins, so the claim waits for that. The first can
 * only be known while waits are watched: from the read to the call, without a gap.
 *
 * PHP-FPM needs no watching: its workers accept a connection when the last request is answered and
 * not before (fcgi_accept_request() in main/fastcgi.c), so what curl polls meanwhile is no event
 * loop that serves others. Its segments never carry CLEW_SEG_LOOP. Nor is its request over when the
 * answer begins: a page larger than PHP's buffer goes out while the script runs on. END_REQUEST
 * says when it is; what a script calls behind fastcgi_finish_request(), which sends that early, is
 * nobody's, since the worker's next request may be one that is not followed.
 */
#include "correlate/internal.h"

void co_thread__multi(struct clew_correlate *co, struct co_thread *t)
{
	t->multi = 1;
	if (t->open) {
		co_node__put(co, t->open);
		t->open = NULL;
	}
}

void co_thread__serves(struct clew_correlate *co, struct co_thread *t, struct co_node *x,
		       bool watched)
{
	x->thread = t;
	t->refs++;
	co_node__put(co, t->last);
	t->last = NULL;
	if (t->nr_open++)
		co_thread__multi(co, t);
	else if (!t->multi && !t->loop && watched)
		t->open = co_node__get(x);
}

void co_thread_rule__request(struct clew_correlate *co, struct co_node *x)
{
	struct co_thread *t = co_thread(co, x->tid, x->pid);

	if (!t)
		return;
	if (x->ex->req.seg_flags & CLEW_SEG_LOOP)
		t->loop = 1;
	co_thread__serves(co, t, x, x->ex->req.watch != CLEW_UNWATCHED);
}

enum co_who co_thread__answers(const struct co_node *x)
{
	const struct clew_feed *req = &x->ex->req, *resp = &x->ex->resp;

	if (req->ctx_kind == CLEW_CTX_JAVA && resp->ctx_kind == CLEW_CTX_JAVA)
		return req->ctx == resp->ctx && req->ref == resp->ref ? CO_WHO_SAME : CO_WHO_OTHER;
	if (req->ctx_kind == CLEW_CTX_TOKIO) /* whichever thread polls it */
		return resp->ctx_kind == CLEW_CTX_TOKIO && req->ctx == resp->ctx ? CO_WHO_SAME
										 : CO_WHO_OTHER;
	if (req->ctx_kind == CLEW_CTX_JAVA && req->ref & CLEW_JAVA_VIRTUAL)
		return CO_WHO_UNKNOWN; /* it may have changed its thread */
	return req->tid == resp->tid ? CO_WHO_SAME : CO_WHO_OTHER;
}

void co_thread_rule__answered(struct clew_correlate *co, struct co_node *x)
{
	struct co_thread *t = x->thread;

	if (!t)
		return;
	x->thread = NULL;
	t->nr_open--;
	if (t->open == x) {
		struct co_proc *proc = co_proc__find(co, x->pid);

		if (proc && proc->runtime == CLEW_RT_PHP)
			t->last = co_node__get(x);
		co_node__put(co, x);
		t->open = NULL;
	}
	if (x->ex && x->ex->resp.ts && co_thread__answers(x) == CO_WHO_OTHER)
		co_thread__multi(co, t);
	co_thread__put(co, t);
}

/* PHP: the request whose answer has begun and is not over. */
static struct co_node *still_at(const struct co_thread *t)
{
	struct co_node *x = t->last;

	if (!x || x->done || !x->ex || x->ex->incomplete & CLEW_INC_RESPONSE_BODY)
		return NULL;
	return x;
}

void co_thread_rule__claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret)
{
	struct co_thread *t = co_thread__find(co, c->tid, c->pid);
	struct co_node *x;

	if (!t)
		return;
	if (c->ex->req.seg_flags & CLEW_SEG_LOOP)
		t->loop = 1;
	if (t->took && co_ruby_rule__claim(co, t, c, ret))
		return;
	if (t->loop || t->multi)
		return;
	x = t->nr_open == 1 ? t->open : t->nr_open ? NULL : still_at(t);
	if (!x || !x->ex || x->ex->req.watch != c->ex->req.watch)
		return;
	ret->kind = CO_CLAIM_NODE;
	ret->x = x;
	ret->link = CLEW_LINK_EXACT;
	ret->evidence = co_ev_thread;
}

bool co_thread_rule__stands(struct clew_correlate *co, const struct co_node *x)
{
	struct co_thread *t = co_thread__find(co, x->tid, x->pid);

	if (!t || t->loop || t->multi)
		return false;
	return !x->ex || !x->ex->resp.ts || x->ex->resp.tid == x->tid;
}

const struct co_rule co_rule_thread = {
	.runtimes = 1U << CLEW_RT_UNKNOWN | 1U << CLEW_RT_PYTHON | 1U << CLEW_RT_JAVA |
		    1U << CLEW_RT_PHP | 1U << CLEW_RT_RUBY,
	.segment = co_py_rule__segment,
	.edge = co_ruby_rule__edge,
	.stands = co_ruby_rule__stands,
	.request = co_thread_rule__request,
	.claim = co_thread_rule__claim,
};
