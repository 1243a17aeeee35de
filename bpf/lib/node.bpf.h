/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * node.bpf.h - the async ids of the current thread of Node, and what it has just read.
 *
 * An Environment (one per thread) keeps {executing id, its trigger, last id given, ...} as
 * doubles (node: AsyncHooks::UidFields, src/env.h), numbers that only grow. They are handed on as
 * they are: the bits of positive doubles order as the numbers do.
 */
#ifndef CLEW_NODE_BPF_H
#define CLEW_NODE_BPF_H

#include "context.bpf.h"

#define NODE_MISFITS_MAX 16

struct node_ids {
	__u64 exec, trigger, last;
};

static __always_inline bool node_is_id(__u64 bits)
{
	return bits < 0x4340000000000000ULL; /* not negative, below 2^53 */
}

static __always_inline bool node_read_ids(const struct clew_thread *th, struct node_ids *ids)
{
	if (!th || !th->node_at || bpf_probe_read_user(ids, sizeof(*ids), (void *)th->node_at))
		return false;
	return node_is_id(ids->last) && ids->exec <= ids->last && ids->trigger <= ids->last;
}

/*
 * The function that went on last runs while the queue is at the same microtask: optimised code
 * ends a function without a sign of its own. MicrotaskQueue (V8: src/execution/microtask-queue.h):
 * vtable, size, capacity, start; RunMicrotasks moves `start` before it runs a task.
 */
#define V8_QUEUE_START 24

static __always_inline bool node_runs(const struct clew_thread *th)
{
	return th->node_inst && th->node_queue &&
	       user_u64(th->node_queue + V8_QUEUE_START) == th->node_task;
}

/*
 * ctx and ref of an edge or a segment. Promises have ids where somebody asked for them
 * (AsyncLocalStorage): then a function goes on with one, which nobody has heard of, and runs as
 * long as that is the executing one.
 */
static __always_inline void node_who(const struct clew_thread *th, const struct node_ids *ids,
				     __u64 *ctx, __u64 *ref)
{
	bool function = ids->exec == th->node_base && node_runs(th);

	*ctx = function ? 0 : ids->exec;
	*ref = function ? th->node_inst : ids->exec ? ids->trigger : 0;
}

/* Bytes came in that are no HTTP: a parser that is entered now is not the last connection's. */
static __always_inline void node_read_other(void)
{
	struct clew_thread *th = thread_of((__u32)bpf_get_current_pid_tgid(), false);

	if (th)
		th->node_read = 0;
}

static __always_inline void node_context(struct context *who, const struct clew_kconn *c, __u64 id,
					 __u8 dir)
{
	struct clew_thread *th = thread_of((__u32)id, true);
	struct node_ids ids;
	bool known = node_read_ids(th, &ids);

	if (dir == CLEW_RECV) {
		if (th)
			th->node_read = c->role == CLEW_ROLE_SERVER ? c->id : 0;
		who->ctx = th ? th->node_drain : 0;
		who->ref = known ? ids.last : 0;
	} else if (known) {
		node_who(th, &ids, &who->ctx, &who->ref);
	} else {
		who->kind = CLEW_CTX_NONE;
	}
}

#endif
