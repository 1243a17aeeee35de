/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.c - from what the rules claim to links that are final.
 *
 * A claim of a client exchange C on a server exchange X goes one of three ways:
 *   - X is not answered yet: C waits in X.held. When the answer begins, the rules that made the
 *     claim look once more (did the right thread answer? were events lost inside X?).
 *   - X is answered already (work after the response) or the evidence came late: C waits until
 *     its window ends; a contradiction, or a loss of events anywhere meanwhile, makes it none.
 *   - nobody is claimed: C is decided at once.
 * Decided is not enough to leave: the trace id is that of the topmost ancestor, so C is resolved
 * when its parent is. Links are made only towards nodes, so resolving runs down `kids` lists
 * with a work list, never by recursion.
 *
 * A header beats everything below it (causality.md, "Across processes"), with two exceptions
 * that are not contradictions: it names the very span that was found, or the process passed on
 * unchanged the header that it had itself received.
 */
#include "correlate/internal.h"

#include <string.h>

#define HOPS_MAX 64 /* longest chain of undecided ancestors that is followed */

const char co_ev_traceparent[] = "traceparent";
const char co_ev_forwarded[] = "traceparent-forwarded";
const char co_ev_worn[] = "traceparent-worn";
const char co_ev_socket_pair[] = "socket-pair";
const char co_ev_pair_order[] = "socket-pair-order";
const char co_ev_thread[] = "thread";
const char co_ev_context[] = "context";
const char co_ev_goroutine[] = "goroutine";
const char co_ev_task[] = "task";
const char co_ev_copy[] = "context-copy";
const char co_ev_owner[] = "connection-owner";
const char co_ev_responder[] = "responder";
const char co_ev_join[] = "join";
const char co_ev_item[] = "work-item";
const char co_ev_queue[] = "queue-item";
const char co_ev_nginx[] = "nginx-request";
const char co_ev_java[] = "java-thread";
const char co_ev_turn[] = "java-turn";
const char co_ev_future[] = "future";
const char co_ev_virtual[] = "virtual-thread";
const char co_ev_haproxy[] = "haproxy-session";
const char co_ev_scope[] = "callback-scope";
const char co_ev_function[] = "async-function";
const char co_ev_resumed[] = "resumed";
const char co_ev_callback[] = "callback";
const char co_ev_tokio[] = "tokio-task";
const char co_ev_message[] = "tokio-message";

static void adopt(struct co_node *node, const struct co_header *h)
{
	memcpy(node->trace_id, h->trace_id, 16);
	memcpy(node->parent_id, h->span_id, 8);
	node->has_parent = 1;
	node->parent_remote = 1;
	node->tree_adopted = 1;
	node->tree_sampled = h->flags & 1;
}

static void make_root(struct co_node *node)
{
	node->tree_sampled = 1;
	co_ids__trace(node->span_id, node->req_ts, node->conn->id, node->pid, node->trace_id);
}

static void resolve_under(struct co_node *node, struct co_node *parent)
{
	if (parent->excluded && !parent->has_parent) {
		/* a span that nobody will see, and above it nothing */
		node->link = CLEW_LINK_NONE;
		node->evidence = NULL;
		make_root(node);
		return;
	}
	memcpy(node->trace_id, parent->trace_id, 16);
	node->tree_adopted = parent->tree_adopted;
	node->tree_sampled = parent->tree_sampled;
	node->has_parent = 1;
	if (parent->excluded) {
		memcpy(node->parent_id, parent->parent_id, 8);
		node->parent_remote = parent->parent_remote;
	} else if (parent->dropped) {
		node->has_parent = 0;
		node->link = CLEW_LINK_NONE;
		node->evidence = NULL;
	} else {
		memcpy(node->parent_id, parent->span_id, 8);
	}
	if (!node->state)
		node->state = co_state__get(parent->state);
}

static void resolve(struct co_node *node)
{
	node->resolved = 1;
	if (node->adopted) {
		adopt(node, &node->header);
	} else if (node->parent) {
		resolve_under(node, node->parent);
	} else {
		make_root(node);
	}
}

/* Resolve this decided node if its parent is, then all that waited for it. */
static void settle(struct clew_correlate *co, struct co_node *first)
{
	struct co_node *todo = first, *node;
	struct co_list *l;

	first->work_next = NULL;
	while ((node = todo)) {
		todo = node->work_next;
		node->work_next = NULL;
		if (node->resolved || (node->parent && !node->parent->resolved))
			continue;
		resolve(node);
		for (l = node->kids.next; l != &node->kids; l = l->next) {
			struct co_node *kid = co_entry(l, struct co_node, wait_link);

			if (!kid->resolved) {
				kid->work_next = todo;
				todo = kid;
			}
		}
		if (node->done)
			co_release(co, node);
	}
}

void co_link__unwait(struct clew_correlate *co, struct co_node *node)
{
	co_list__del(&node->wait_link);
	node->wait = CO_WAIT_NONE;
	if (node->cand) {
		co_node__put(co, node->cand);
		node->cand = NULL;
	}
	co_rule__put(co, node);
}

/* Would `parent` hang under `node`? Resolved nodes have no undecided ancestor. */
static bool makes_cycle(const struct co_node *node, const struct co_node *parent)
{
	int hops;

	for (hops = 0; parent && !parent->resolved && hops < HOPS_MAX; hops++) {
		if (parent == node)
			return true;
		parent = parent->parent;
	}
	return false;
}

/* The one place that makes a link final. `parent` NULL: adopted from the header, or a root. */
static void decide(struct clew_correlate *co, struct co_node *node, struct co_node *parent,
		   enum clew_link link, const char *evidence)
{
	co_node__get(parent);
	co_link__unwait(co, node);
	node->decided = 1;
	if (parent && (parent->dropped || makes_cycle(node, parent))) {
		if (!parent->dropped)
			co->stats.conflicts++;
		co_node__put(co, parent);
		parent = NULL;
		link = CLEW_LINK_NONE;
		evidence = NULL;
	}
	node->link = (uint8_t)link;
	node->evidence = evidence;
	node->parent = parent; /* takes the reference over */
	if (parent) {
		node->wait = CO_WAIT_PARENT;
		co_list__add_tail(&parent->kids, &node->wait_link);
	}
	settle(co, node);
}

static bool same_header(const struct co_header *a, const struct co_header *b)
{
	return a->valid && b->valid && !memcmp(a->trace_id, b->trace_id, 16) &&
	       !memcmp(a->span_id, b->span_id, 8);
}

static bool names(const struct co_header *h, const struct co_node *node)
{
	return h->valid && !memcmp(h->span_id, node->span_id, 8);
}

/* Adopt the header that a client request carries, though rules may have named `x`. */
static void adopt_client(struct clew_correlate *co, struct co_node *node, struct co_node *x)
{
	if (x && !(x->resolved && !memcmp(x->trace_id, node->header.trace_id, 16)))
		co->stats.conflicts++;
	if (co_header__received(co, node)) {
		/*
		 * This process received the same header, so it did not make it: the trace is
		 * right, but the parent is an ancestor of the true one.
		 */
		co->stats.forwarded++;
		if (co->cfg->correlate.exact_only) {
			decide(co, node, NULL, CLEW_LINK_NONE, NULL);
			return;
		}
		node->adopted = 1;
		decide(co, node, NULL, CLEW_LINK_INFERRED, co_ev_forwarded);
		return;
	}
	node->adopted = 1;
	decide(co, node, NULL, CLEW_LINK_EXACT, co_ev_traceparent);
}

void co_link__client(struct clew_correlate *co, struct co_node *node, struct co_node *x,
		     enum clew_link link, const char *evidence)
{
	const char *worn = NULL;

	if (x && link == CLEW_LINK_INFERRED && co->cfg->correlate.exact_only)
		x = NULL;
	if (x && x->dropped)
		x = NULL;
	if (node->header.valid &&
	    !(x && (names(&node->header, x) || same_header(&node->header, &x->header)))) {
		if (!co_header__worn(co, node)) {
			adopt_client(co, node, x);
			return;
		}
		worn = co_ev_worn;
	}
	if (x)
		decide(co, node, x, link, evidence);
	else
		decide(co, node, NULL, CLEW_LINK_NONE, worn);
}

void co_link__server(struct clew_correlate *co, struct co_node *node, struct co_node *client,
		     enum clew_link link, const char *evidence)
{
	const char *worn = NULL;

	if (link == CLEW_LINK_INFERRED && co->cfg->correlate.exact_only)
		client = NULL;
	if (node->header.valid && !(client && (names(&node->header, client) ||
					       same_header(&node->header, &client->header)))) {
		if (!co_header__worn(co, node)) {
			if (client)
				co->stats.conflicts++;
			node->adopted = 1;
			decide(co, node, NULL, CLEW_LINK_EXACT, co_ev_traceparent);
			return;
		}
		worn = co_ev_worn;
	}
	if (client)
		decide(co, node, client, link, evidence);
	else
		decide(co, node, NULL, CLEW_LINK_NONE, worn);
}

static void set_candidate(struct clew_correlate *co, struct co_node *node, struct co_node *x,
			  enum clew_link link, const char *evidence)
{
	co_node__get(x);
	if (node->cand)
		co_node__put(co, node->cand);
	node->cand = x;
	node->cand_link = (uint8_t)link;
	node->cand_evidence = evidence;
}

void co_link__late(struct clew_correlate *co, struct co_node *node, struct co_node *x,
		   enum clew_link link, const char *evidence)
{
	co_list__del(&node->wait_link);
	node->wait = CO_WAIT_WINDOW;
	set_candidate(co, node, x, link, evidence);
}

void co_link__until_answered(struct clew_correlate *co, struct co_node *node, struct co_node *x,
			     enum clew_link link, const char *evidence)
{
	co_list__del(&node->wait_link);
	set_candidate(co, node, x, link, evidence);
	node->wait = CO_WAIT_ANSWER;
	co_list__add_tail(&x->held, &node->wait_link);
}

void co_link__claim(struct clew_correlate *co, struct co_node *node, const struct co_claim *claim)
{
	struct co_node *x = claim->x;

	if (claim->conflict)
		co->stats.conflicts++;
	if (claim->kind == CO_CLAIM_HOLD && !claim->conflict) {
		node->rule->hold(co, node, claim->by);
		return;
	}
	/* what is read after the request was written cannot have caused it */
	if (claim->kind != CO_CLAIM_NODE || claim->conflict || x == node || x->dropped || x->gap ||
	    x->pid != node->pid || x->req_ts > node->req_ts) {
		co_link__client(co, node, NULL, CLEW_LINK_NONE, NULL);
		return;
	}
	if (claim->by)
		node->by = node->rule->get(claim->by);
	if (x->answered) {
		co_link__late(co, node, x, claim->link, claim->evidence);
		return;
	}
	co_link__until_answered(co, node, x, claim->link, claim->evidence);
}

void co_link__finish(struct clew_correlate *co, struct co_node *node, bool timeout)
{
	struct co_node *x = co_node__get(node->cand);
	bool stands = !x->dropped && !x->gap;
	/* ended without an answer: it may have been lost, and a later request taken for this one */
	bool unanswered = x->ex && !x->ex->resp.ts;

	if (x->ex && (x->ex->incomplete & CLEW_INC_GAP))
		stands = false;
	if (node->cand_evidence == co_ev_thread && !co_thread_rule__stands(co, x))
		stands = false;
	if (node->rule && node->rule->stands && !node->rule->stands(co, node, x))
		stands = false;
	/* nothing confirmed it: the absence of a contradiction counts only if all was heard */
	if (timeout && co->loss != x->loss)
		stands = false;
	if (stands && !timeout &&
	    (unanswered || (node->rule && node->rule->unsure && node->rule->unsure(node, x)))) {
		co_link__late(co, node, x, node->cand_link, node->cand_evidence);
	} else if (stands) {
		co_link__client(co, node, x, node->cand_link, node->cand_evidence);
	} else {
		co->stats.withdrawn++;
		co_link__client(co, node, NULL, CLEW_LINK_NONE, NULL);
	}
	co_node__put(co, x);
}

/* Nodes leave `held` when they are decided, and deciding one may release others. */
void co_link__answered(struct clew_correlate *co, struct co_node *x)
{
	while (!co_list__empty(&x->held)) {
		struct co_node *node = co_entry(x->held.next, struct co_node, wait_link);

		co_link__finish(co, node, false);
	}
}

static void cut(struct clew_correlate *co, struct co_node *kid)
{
	co_list__del(&kid->wait_link);
	kid->wait = CO_WAIT_NONE;
	kid->link = CLEW_LINK_NONE;
	kid->evidence = NULL;
	kid->has_parent = 0;
	kid->parent_remote = 0;
	co_node__put(co, kid->parent);
	kid->parent = NULL;
	co->stats.withdrawn++;
}

/* Spans that hang under `from` by way of spans that nobody will see: those are cut, too. */
static void cut_below(struct co_node *from)
{
	struct co_node *todo = from, *node;
	struct co_list *l;

	from->work_next = NULL;
	while ((node = todo)) {
		todo = node->work_next;
		node->work_next = NULL;
		if (!node->excluded)
			continue;
		for (l = node->kids.next; l != &node->kids; l = l->next) {
			struct co_node *below = co_entry(l, struct co_node, wait_link);

			below->has_parent = 0;
			below->parent_remote = 0;
			below->link = CLEW_LINK_NONE;
			below->evidence = NULL;
			below->work_next = todo;
			todo = below;
		}
	}
}

void co_link__orphan(struct clew_correlate *co, struct co_node *x)
{
	x->dropped = 1;
	co_link__answered(co, x);
	while (!co_list__empty(&x->kids)) {
		struct co_node *kid = co_entry(x->kids.next, struct co_node, wait_link);

		/* spans below may have left already: a trace id that is known stays */
		cut(co, kid);
		if (kid->resolved)
			cut_below(kid);
		else
			settle(co, kid);
	}
}

static void decide_now(struct clew_correlate *co, struct co_node *node, bool timeout)
{
	switch (node->wait) {
	case CO_WAIT_JOIN:
		co_join__vain(co, node);
		break;
	case CO_WAIT_ANSWER:
	case CO_WAIT_WINDOW:
		if (timeout) {
			co_link__finish(co, node, true);
			break;
		}
		co->stats.withdrawn++;
		co_link__client(co, node, NULL, CLEW_LINK_NONE, NULL);
		break;
	default:
		if (timeout)
			co->stats.expired++;
		co_link__client(co, node, NULL, CLEW_LINK_NONE, NULL);
	}
}

void co_link__force(struct clew_correlate *co, struct co_node *node, bool timeout)
{
	struct co_node *top;
	int tries, hops;

	co_node__get(node);
	if (!node->decided)
		decide_now(co, node, timeout);
	for (tries = 0; !node->resolved && tries < HOPS_MAX; tries++) {
		top = node;
		for (hops = 0; hops < HOPS_MAX && top->decided && top->parent; hops++)
			top = top->parent;
		if (top->decided)
			break; /* too long a chain */
		decide_now(co, top, timeout);
	}
	if (!node->resolved) {
		cut(co, node);
		settle(co, node);
	}
	if (!node->released)
		co_release(co, node);
	co_node__put(co, node);
}
