/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * context.bpf.h - who runs now: the execution context of the current thread, as its runtime
 * schedules it. Reads the traced process's memory, changes nothing. What it proves is decided
 * in src/correlate/.
 */
#ifndef CLEW_CONTEXT_BPF_H
#define CLEW_CONTEXT_BPF_H

#include "base.bpf.h"

#define CLEW_PF_IO_WORKER 0x10 /* include/linux/sched.h: the thread works for io_uring */

struct context {
	__u64 ctx, ref;
	__u32 turn;
	__u16 loop; /* CLEW_SEG_LOOP or 0 */
	__u8 kind;
};

static __always_inline __u64 thread_pointer(struct task_struct *t)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(t, thread.fsbase);
#else
	return BPF_CORE_READ(t, thread.uw.tp_value);
#endif
}

/* Go on amd64 keeps the running g in the word below the thread pointer (runtime/asm_amd64.s). */
static __always_inline __u64 go_goid(const struct clew_proc *p)
{
#if defined(__TARGET_ARCH_x86)
	struct task_struct *t = (void *)bpf_get_current_task();
	__u64 g = user_u64(thread_pointer(t) - 8);

	return g ? user_u64(g + p->go_goid) : 0;
#else
	return 0;
#endif
}

/*
 * CPython: the thread's PyThreadState is stored under a pthread key; its `context` is the
 * PyContext in force. glibc: struct pthread.specific[key / 32][key % 32].data, 16 bytes each.
 */
static __always_inline __u64 py_tstate(const struct clew_proc *p)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	__u64 block;

	if (!p->py_ctx || !p->py_specific)
		return 0;
	block = user_u64(thread_pointer(t) + p->py_specific + 8 * (__u64)(p->py_key >> 5));
	return block ? user_u64(block + (__u64)(p->py_key & 31) * 16 + 8) : 0;
}

static __always_inline __u64 py_context(const struct clew_proc *p, struct clew_thread *th)
{
	__u64 tstate = th ? th->tstate : 0;

	if (!tstate) {
		tstate = py_tstate(p);
		if (th)
			th->tstate = tstate;
	}
	return tstate ? user_u64(tstate + p->py_ctx) : 0;
}

static __always_inline __u64 py_task_key(__u64 ctx, __u32 tgid)
{
	return ctx ^ ((__u64)tgid << 48);
}

static __always_inline struct clew_thread *thread_of(__u32 tid, bool make)
{
	struct clew_thread *th = bpf_map_lookup_elem(&threads, &tid);
	struct clew_thread zero = {};

	if (th || !make)
		return th;
	bpf_map_update_elem(&threads, &tid, &zero, BPF_NOEXIST);
	th = bpf_map_lookup_elem(&threads, &tid);
	if (!th)
		count(CLEW_STAT_THREADS_FULL);
	return th;
}

/*
 * A Task's constructor was entered earlier on this thread; by now it has stored its context.
 * Report "the parent's context made a Task with this context", and remember the pair, so that a
 * later write can tell whether the Task is still alive (a dead one has cleared the field).
 */
static __always_inline void py_settle_task(const struct clew_proc *p, struct clew_thread *th,
					   __u32 tgid)
{
	struct clew_edge *e;
	__u64 task, parent, child, key;

	if (!th || !th->task)
		return;
	task = th->task;
	parent = th->task_parent;
	th->task = 0;
	child = user_u64(task + p->py_task_ctx);
	if (!child) {
		count(CLEW_STAT_EDGE_UNRESOLVED);
		return;
	}
	key = py_task_key(child, tgid);
	bpf_map_update_elem(&py_tasks, &key, &task, BPF_ANY);
	e = RESERVE(struct clew_edge);
	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), th->turn);
	e->kind = CLEW_EDGE_PY_TASK;
	e->ctx = parent;
	e->child = child;
	e->ref = task;
	SUBMIT(e);
}

static __always_inline void context_python(const struct clew_proc *p, struct context *c,
					   struct clew_thread *th, __u32 tgid, bool calls)
{
	__u64 *task, key;

	py_settle_task(p, th, tgid);
	c->ctx = py_context(p, th);
	if (!c->ctx)
		return;
	c->kind = CLEW_CTX_PYTHON;
	if (!calls)
		return; /* only who writes is asked whether its Task lives */
	key = py_task_key(c->ctx, tgid);
	task = bpf_map_lookup_elem(&py_tasks, &key);
	if (task && user_u64(*task + p->py_task_ctx) == c->ctx)
		c->ref = *task;
}

/* `calls`: these bytes begin a message that goes out; `cheap`: only who runs, not in which context.
 */
static __always_inline void context_read(const struct clew_proc *p, struct context *c, __u64 id,
					 bool calls, bool cheap)
{
	struct clew_thread *th = NULL;

	c->ctx = c->ref = 0;
	c->turn = 0;
	c->loop = 0;
	c->kind = CLEW_CTX_THREAD;
	if (p->flags & CLEW_PROC_THREADS) {
		th = thread_of((__u32)id, false);
		if (th) {
			c->turn = th->turn;
			c->loop = th->loop;
		}
	}
	if (cheap && p->runtime != CLEW_RT_UNKNOWN) {
		c->kind = CLEW_CTX_NONE;
	} else if (p->runtime == CLEW_RT_GO) {
		c->ctx = p->go_goid ? go_goid(p) : 0;
		c->kind = c->ctx ? CLEW_CTX_GO : CLEW_CTX_NONE;
	} else if (p->runtime == CLEW_RT_PYTHON) {
		context_python(p, c, th, id >> 32, calls);
	} else if (p->runtime == CLEW_RT_NGINX) {
		c->kind = CLEW_CTX_NGINX;
	} else if (p->runtime == CLEW_RT_OTHER) {
		c->kind = CLEW_CTX_NONE;
	}
}

/*
 * io_uring may carry out a call on a worker thread, and completes calls out of any order on the
 * submitter: such a thread is an event loop, and a worker tells nothing about who asked.
 */
static __always_inline void context_uring(struct context *c)
{
	struct task_struct *t = (void *)bpf_get_current_task();

	if (KREAD(task_struct, t, flags) & CLEW_PF_IO_WORKER)
		c->kind = CLEW_CTX_NONE;
	else if (bpf_core_field_exists(t->io_uring) && KPTR(task_struct, t, io_uring))
		c->loop = CLEW_SEG_LOOP;
}

/*
 * A wait for one descriptor is no event loop: gunicorn's threads wait so for their own connection.
 * Python asks epoll for at most as many events as it has registered; whether there is but one is
 * seen in the kernel's tree of them.
 */
static __always_inline bool waits_for_one(const struct clew_proc *p, __u32 epfd, int max)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	struct eventpoll *ep;
	struct rb_node *node;
	struct file **fds, *file = NULL;

	if (max != 1 || p->runtime != CLEW_RT_PYTHON ||
	    epfd >= BPF_CORE_READ(t, files, fdt, max_fds))
		return false;
	fds = BPF_CORE_READ(t, files, fdt, fd);
	bpf_probe_read_kernel(&file, sizeof(file), fds + epfd);
	ep = BPF_CORE_READ(file, private_data);
	node = BPF_CORE_READ(ep, rbr.rb_root.rb_node);
	return node && !BPF_CORE_READ(node, rb_left) && !BPF_CORE_READ(node, rb_right);
}

/* The current thread came back from waiting in an event loop. */
static __always_inline void context_loop_turn(const struct clew_proc *p)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct clew_thread *th;

	if (!(p->flags & CLEW_PROC_THREADS))
		return;
	th = thread_of((__u32)id, true);
	if (!th)
		return;
	if (p->runtime == CLEW_RT_PYTHON)
		py_settle_task(p, th, id >> 32);
	th->turn++;
	th->loop = CLEW_SEG_LOOP;
}

#endif
