/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * python.bpf.c - CPython's asyncio: who makes a Task, who copies a context. Both report edges
 * between PyContext addresses; see docs/correlate.md for what they prove.
 */
#include "lib/conn.bpf.h"
#include "lib/context.bpf.h"

static __always_inline struct clew_proc *py_proc(__u32 *ret_tgid, enum clew_probe_set set)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);

	count_hit(tgid, set);
	*ret_tgid = tgid;
	return p && p->runtime == CLEW_RT_PYTHON && p->py_ctx ? p : NULL;
}

/*
 * _asyncio.Task.__init__(self, ...): the Task takes a copy of the current context inside; the
 * copy is read at this thread's next hook, so no return probe is needed.
 */
SEC("?uprobe")
int clew_py_task(struct pt_regs *ctx)
{
	struct clew_thread *th;
	struct clew_proc *p;
	__u32 tgid;

	p = py_proc(&tgid, CLEW_SET_PY_TASK);
	if (!p || !p->py_task_ctx)
		return 0;
	th = thread_of((__u32)bpf_get_current_pid_tgid(), true);
	if (!th)
		return 0;
	py_settle_task(p, th, tgid);
	th->task = PT_REGS_PARM1(ctx);
	th->task_type = user_u64(th->task + CLEW_PY_OB_TYPE);
	th->task_parent = py_context(p, th, &th->task_turn);
	return 0;
}

/* PyContext_CopyCurrent() returned a copy of the current context. */
SEC("?uprobe")
int clew_py_copy(struct pt_regs *ctx)
{
	__u64 key, child, parent;
	struct clew_edge_short *e;
	struct clew_py_task *slot;
	struct clew_thread *th;
	struct clew_proc *p;
	__u32 tgid, run;

	p = py_proc(&tgid, CLEW_SET_PY_COPY);
	if (!p || !PT_REGS_RC(ctx))
		return 0;
	th = thread_of((__u32)bpf_get_current_pid_tgid(), false);
	child = PT_REGS_RC(ctx);
	key = py_task_key(child, tgid);
	slot = py_task_of(key);
	if (slot && slot->key == key)
		slot->task = 0; /* the address is another context's now */
	parent = py_context(p, th, &run);
	e = RESERVE(struct clew_edge_short);
	if (!e)
		return 0;
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), run);
	e->conn_id = 0;
	e->ctx = parent;
	e->child = child;
	e->ref = 0;
	e->kind = CLEW_EDGE_PY_COPY;
	e->chain_len = 0;
	e->pad = 0;
	SUBMIT(e);
	return 0;
}
