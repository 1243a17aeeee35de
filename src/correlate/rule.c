/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule.c - which rule speaks for which kind of context. A new runtime is a file rule_X.c and a
 * line here.
 */
#include "correlate/internal.h"

static const struct co_rule nothing;

static const struct co_rule *const rules[CLEW_CTX_KINDS] = {
	[CLEW_CTX_THREAD] = &co_rule_thread, [CLEW_CTX_GO] = &co_rule_go,
	[CLEW_CTX_PYTHON] = &co_rule_python, [CLEW_CTX_NGINX] = &co_rule_nginx,
	[CLEW_CTX_JAVA] = &co_rule_java,     [CLEW_CTX_HAPROXY] = &co_rule_haproxy,
	[CLEW_CTX_NODE] = &co_rule_node,     [CLEW_CTX_TOKIO] = &co_rule_rust,
};

const struct co_rule *co_rule(uint8_t ctx_kind)
{
	return ctx_kind < CLEW_CTX_KINDS && rules[ctx_kind] ? rules[ctx_kind] : &nothing;
}

const struct co_rule *co_rule__of(struct clew_correlate *co, const struct co_node *node,
				  const struct clew_feed *feed)
{
	const struct co_rule *rule = co_rule(feed->ctx_kind);
	struct co_proc *proc = co_proc__find(co, node->pid);

	return rule->runtimes & 1U << (proc ? proc->runtime : CLEW_RT_UNKNOWN) ? rule : &nothing;
}

void co_rule__closed(struct clew_correlate *co, struct co_conn *conn)
{
	for (int i = 0; i < CLEW_CTX_KINDS; i++)
		if (rules[i] && rules[i]->closed)
			rules[i]->closed(co, conn);
}

void co_rule__put(struct clew_correlate *co, struct co_node *node)
{
	if (node->by && node->rule && node->rule->put)
		node->rule->put(co, node->by);
	node->by = NULL;
	node->rule = NULL;
}
