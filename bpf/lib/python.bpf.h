/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * python.bpf.h - who waits for an asyncio Task, read when the answer of a call that it made comes
 * in. asyncio keeps this in the Task's done callbacks: the wake-up of the Task that awaits it, or
 * a function of gather(), wait(), wait_for() or TaskGroup, through which that Task is found.
 * Everything is checked at each step by what a Task and its wake-up have in common: the context.
 *
 * Layouts (Modules/_asynciomodule.c FutureObj_HEAD; Include/cpython/{funcobject,listobject,
 * tupleobject,cellobject}.h; Modules/_functoolsmodule.c partialobject), CPython 3.8 to 3.14.
 */
#ifndef CLEW_PYTHON_BPF_H
#define CLEW_PYTHON_BPF_H

#include "context.bpf.h"

#define PY_TYPE		 8  /* PyObject.ob_type */
#define PY_SIZE		 16 /* PyVarObject.ob_size */
#define PY_LIST_ITEMS	 24
#define PY_CELL_CONTENTS 16
#define PY_TYPE_SIZE	 32 /* PyTypeObject.tp_basicsize */
#define PY_FUTURE_CB	 24 /* callback, its context, a list of further pairs */
#define PY_FUTURE_EXC	 48 /* an exception, its traceback, the result */
#define PY_METHOD_SELF	 24 /* PyMethodObject.im_self, and PyCFunctionObject.m_self */
#define PY_PARTIAL_ARGS	 24

#define PY_CALLBACKS_SEEN 4
#define PY_CELLS_MAX	  10
#define PY_VALUES_MAX	  12

/* What the walk needs, in one word: global functions take numbers. */
static __always_inline __u64 py_walk_of(const struct clew_proc *p)
{
	return p->py_task_ctx | (__u64)p->py_closure << 16 | (__u64)p->py_values << 24 |
	       (__u64)p->py_tuple << 32;
}
#define PY_WALK_CTX(w)	   ((__u32)(w) & 0xffff)
#define PY_WALK_CLOSURE(w) ((__u32)((w) >> 16) & 0xff)
#define PY_WALK_VALUES(w)  ((__u32)((w) >> 24) & 0xff)
#define PY_WALK_TUPLE(w)   ((__u32)((w) >> 32) & 0xff)

/* The Task that this callback wakes up: the wake-up's self, if the callback has its context. */
static __always_inline __u64 py_wakes(__u64 cb, __u64 ctx, __u64 walk)
{
	__u64 task = cb && ctx ? user_u64(cb + PY_METHOD_SELF) : 0;

	return task && user_u64(task + PY_WALK_CTX(walk)) == ctx ? task : 0;
}

/* One name per object, as for rdonly_cast; verified once each, not at every call. */
#define py_waiter CAT(py_waiter_, CLEW_OBJECT)
#define py_via	  CAT(py_via_, CLEW_OBJECT)
#define py_joiner CAT(py_joiner_, CLEW_OBJECT)

/* The Task that awaits this future or Task, or 0. */
__noinline __u64 py_waiter(__u64 future, __u64 walk)
{
	__u64 cb[3] = {}, list[2] = {}, pair[2], task;

	if (bpf_probe_read_user(cb, sizeof(cb), (void *)(future + PY_FUTURE_CB)))
		return 0;
	task = py_wakes(cb[0], cb[1], walk);
	if (task || !cb[2] || bpf_probe_read_user(list, sizeof(list), (void *)(cb[2] + PY_SIZE)))
		return task;
	for (int i = 0; i < PY_CALLBACKS_SEEN; i++) {
		__u64 at;

		if ((__u64)i >= list[0])
			return 0;
		at = user_u64(list[1] + 8 * i);
		if (!at ||
		    bpf_probe_read_user(pair, sizeof(pair), (void *)(at + PY_WALK_TUPLE(walk))))
			return 0;
		task = py_wakes(pair[0], pair[1], walk);
		if (task)
			return task;
	}
	return 0;
}

/* Where the attributes of an instance of a Python class are kept, if in an array. */
static __always_inline __u64 py_values_of(__u64 self, __u64 walk)
{
	__u64 at;

	switch (PY_WALK_VALUES(walk)) {
	case CLEW_PY_VALUES_BEFORE: /* 3.11 */
		return user_u64(self - 32);
	case CLEW_PY_VALUES_TAGGED: /* 3.12 */
		at = user_u64(self - 24);
		return at & 1 ? at + 1 : 0;
	case CLEW_PY_VALUES_INLINE: /* 3.13: behind the object, after four bytes of state */
		return self + user_u64(user_u64(self + PY_TYPE) + PY_TYPE_SIZE) + 8;
	}
	return 0;
}

/*
 * The Task that a done callback of `task` leads to: a closure over a future that is awaited
 * (gather, wait), a partial whose argument is one (wait_for, up to 3.11), a method of an object
 * that knows such a future or its own Task (TaskGroup).
 */
__noinline __u64 py_via(__u64 cb, __u64 type, __u64 walk)
{
	__u64 at, n = 0, found;

	if (!cb)
		return 0;
	at = user_u64(cb + PY_WALK_CLOSURE(walk));
	if (at)
		n = user_u64(at + PY_SIZE);
	if (n && n <= PY_CELLS_MAX) {
		for (int i = 0; i < PY_CELLS_MAX; i++) {
			__u64 cell, what;

			if ((__u64)i >= n)
				break;
			cell = user_u64(at + PY_WALK_TUPLE(walk) + 8 * i);
			what = cell ? user_u64(cell + PY_CELL_CONTENTS) : 0;
			found = what ? py_waiter(what, walk) : 0;
			if (found)
				return found;
		}
	}
	at = user_u64(cb + PY_PARTIAL_ARGS); /* likewise a method's self */
	if (!at)
		return 0;
	if (user_u64(at + PY_SIZE) == 1) {
		found = py_waiter(user_u64(at + PY_WALK_TUPLE(walk)), walk);
		if (found)
			return found;
	}
	at = py_values_of(at, walk);
	if (!at)
		return 0;
	for (int i = 0; i < PY_VALUES_MAX; i++) {
		__u64 what = user_u64(at + 8 * i);

		if (!what || what & 7)
			continue;
		if (user_u64(what + PY_TYPE) == type && user_u64(what + PY_WALK_CTX(walk)))
			return what;
		found = py_waiter(what, walk);
		if (found)
			return found;
	}
	return 0;
}

/* The Task that waits for `task`, directly or through one of its done callbacks; or 0. */
__noinline __u64 py_joiner(__u64 task, __u64 walk)
{
	__u64 cb[3] = {}, list[2] = {}, type, found = py_waiter(task, walk);

	if (found || bpf_probe_read_user(cb, sizeof(cb), (void *)(task + PY_FUTURE_CB)))
		return found;
	type = user_u64(task + PY_TYPE);
	found = py_via(cb[0], type, walk);
	if (found || !cb[2] || bpf_probe_read_user(list, sizeof(list), (void *)(cb[2] + PY_SIZE)))
		return found;
	for (int i = 0; i < PY_CALLBACKS_SEEN; i++) {
		__u64 at;

		if ((__u64)i >= list[0])
			return 0;
		at = user_u64(list[1] + 8 * i);
		found = at ? py_via(user_u64(at + PY_WALK_TUPLE(walk)), type, walk) : 0;
		if (found)
			return found;
	}
	return 0;
}

/*
 * Has it ended? Then it has a result, or an exception (from 3.10 on with its traceback), which is
 * three words in all. Up to 3.9 the third is where it was made, kept in debug mode: py_call.ends.
 */
static __always_inline bool py_ended(__u64 task)
{
	__u64 at[3] = {};

	return !bpf_probe_read_user(at, sizeof(at), (void *)(task + PY_FUTURE_EXC)) &&
	       (at[0] || at[1] || at[2]);
}

/* The answer of a call comes in: does its Task run on, and who waits for it? */
static __always_inline void py_answered(const struct clew_proc *p, __u64 conn_id, __u32 turn)
{
	struct clew_py_call *call = bpf_map_lookup_elem(&py_calls, &conn_id);
	__u64 walk = py_walk_of(p), task, chain[CLEW_PY_JOINS] = {};
	struct clew_edge *e;
	__u16 n = 0;

	if (!call || !call->task)
		return;
	task = call->task;
	call->task = 0;
	if (user_u64(task + p->py_task_ctx) != call->ctx || (call->ends && py_ended(task)))
		task = 0;
	for (__u64 at = task; n < CLEW_PY_JOINS; n++) {
		at = at ? py_joiner(at, walk) : 0;
		chain[n] = at ? user_u64(at + p->py_task_ctx) : 0;
		if (!chain[n])
			break;
	}
	if (task && !n)
		return; /* nobody waits: nothing that would prove anything */
	e = RESERVE(struct clew_edge);
	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), turn);
	e->kind = CLEW_EDGE_PY_JOIN;
	e->conn_id = conn_id;
	e->ctx = call->ctx;
	e->ref = task;
	e->chain_len = n;
	for (int i = 0; i < CLEW_PY_JOINS; i++)
		e->chain[i] = chain[i];
	SUBMIT(e);
}

/* What uvloop sends was written before, by whom the connection says. */
static __always_inline void py_written(struct context *who, struct clew_kconn *c, __u32 tid)
{
	struct clew_thread *th;

	if (c->py_note) {
		bool known = c->py_note != CLEW_PY_NOTE_SEVERAL;

		c->py_note = CLEW_PY_NOTE_NONE;
		who->ctx = known ? c->py_ctx : 0;
		who->ref = known ? c->py_task : 0;
		who->turn = c->py_turn;
		return;
	}
	th = thread_of(tid, false);
	if (th && th->uv) /* from before the probe, or not by a stream's methods: nobody knows */
		who->ctx = who->ref = 0;
}

/* It begins to read a request, or to answer one. */
static __always_inline void py_serves(__u32 tid, bool request)
{
	struct clew_thread *th = thread_of(tid, false);

	if (th)
		th->serving = request;
}

/* A message begins on a connection to a service behind: a Task's call, or its answer. */
static __always_inline void py_call(const struct clew_proc *p, __u64 conn_id, __u8 dir, __u64 ctx,
				    __u64 task, __u32 turn)
{
	struct clew_py_call call = {.ctx = ctx, .task = task};

	if (!p->py_task_ctx)
		return;
	if (dir == CLEW_RECV) {
		py_answered(p, conn_id, turn);
	} else if (task) {
		call.ends = !py_ended(task);
		bpf_map_update_elem(&py_calls, &conn_id, &call, BPF_ANY);
	}
}

#endif
