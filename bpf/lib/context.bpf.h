/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * context.bpf.h - who runs now: the execution context of the current thread, as its runtime
 * schedules it. Reads the traced process's memory, changes nothing. What it proves is decided
 * in src/correlate/.
 */
#ifndef CLEW_CONTEXT_BPF_H
#define CLEW_CONTEXT_BPF_H

#include "conn.bpf.h"
#include "sockfd.bpf.h"

#define CLEW_PF_IO_WORKER 0x10 /* include/linux/sched.h: the thread works for io_uring */

struct context {
	__u64 ctx, ref;
	__u32 turn;
	__u16 loop; /* CLEW_SEG_LOOP or 0 */
	__u8 kind;
	__u8 watch;
};

static __always_inline __u64 thread_pointer(void)
{
#if defined(__TARGET_ARCH_x86)
	return TASK_READ(thread.fsbase);
#else
	return TASK_READ(thread.uw.tp_value);
#endif
}

#if defined(__TARGET_ARCH_x86)
/*
 * Go keeps the running g in the word below the thread pointer (runtime/asm_amd64.s), and in R14
 * while Go code runs (abi-internal.md): also where its own code enters the kernel, which is one
 * instruction of the program. That is plain loads; a read of user memory costs as much as the rest.
 */
static __always_inline __u64 go_g(const struct clew_proc *p)
{
	if (CALL_REGS_TYPED && p->go_entered) {
		struct pt_regs *regs = CALL_REGS;

		if (regs->ip == p->go_entered)
			return regs->r14;
	}
	return user_u64(thread_pointer() - 8);
}
#endif

static __always_inline __u64 go_goid(const struct clew_proc *p)
{
#if defined(__TARGET_ARCH_x86)
	__u64 g = go_g(p);

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
	__u64 block;

	if (!p->py_ctx || !p->py_specific)
		return 0;
	block = user_u64(thread_pointer() + p->py_specific + 8 * (__u64)(p->py_key >> 5));
	return block ? user_u64(block + (__u64)(p->py_key & 31) * 16 + 8) : 0;
}

/*
 * The context in force, and which run of it: `context_ver`, the next field in all versions, is
 * counted up whenever a context is entered or left, so it is the same only within one callback.
 */
static __always_inline __u64 py_context(const struct clew_proc *p, struct clew_thread *th,
					__u32 *ret_run)
{
	__u64 tstate = th ? th->tstate : 0, at[2] = {};

	/* C code that calls into Python may have another each time, and exec leaves none: its
	 * memory may be another thread's by now
	 */
	if (!tstate || user_u64(tstate + p->py_thread) != thread_pointer()) {
		tstate = py_tstate(p);
		if (th)
			th->tstate = tstate;
	}
	if (tstate)
		bpf_probe_read_user(at, sizeof(at), (void *)(tstate + p->py_ctx));
	*ret_run = (__u32)at[1];
	return at[0];
}

static __always_inline __u64 py_task_key(__u64 ctx, __u32 tgid)
{
	return ctx ^ ((__u64)tgid << 48);
}

/* A context has two places: in one of them that of a connection, which lives for long. */
#define CLEW_PY_WAYS 2

static __always_inline struct clew_py_task *py_task_of(__u64 key, __u32 way)
{
	__u32 at = ((__u32)((key * 0x9e3779b97f4a7c15ULL) >> 32) ^ way) % CLEW_PY_TASKS;

	return bpf_map_lookup_elem(&py_tasks, &at);
}

/* struct clew_edge without a chain. */
struct clew_edge_short {
	struct clew_event h;
	__u64 conn_id, ctx, child, ref;
	__u16 kind, chain_len;
	__u8 flags, pad[3];
};
_Static_assert(sizeof(struct clew_edge_short) == __builtin_offsetof(struct clew_edge, chain),
	       "as in event.h");

#define CLEW_PY_OB_TYPE 8 /* PyObject: the reference count, the type */

static const struct clew_thread no_thread; /* not on the stack, which is short */

static __always_inline struct clew_thread *thread_of(__u32 tid, bool make)
{
	struct clew_thread *th = bpf_map_lookup_elem(&threads, &tid);

	if (th || !make)
		return th;
	bpf_map_update_elem(&threads, &tid, &no_thread, BPF_NOEXIST);
	th = bpf_map_lookup_elem(&threads, &tid);
	if (!th)
		count(CLEW_STAT_THREADS_FULL);
	return th;
}

/* The context is another one's by now, or none. */
static __always_inline void py_forget_task(__u64 key)
{
	for (__u32 way = 0; way < CLEW_PY_WAYS; way++) {
		struct clew_py_task *slot = py_task_of(key, way);

		if (slot && slot->key == key)
			slot->task = 0;
	}
}

static __always_inline void py_note_task(const struct clew_proc *p, __u64 child, __u64 task,
					 __u32 tgid)
{
	__u64 key = py_task_key(child, tgid);
	struct clew_py_task *slot = py_task_of(key, 0);

	py_forget_task(key);
	if (slot && slot->task &&
	    py_task_key(user_u64(slot->task + p->py_task_ctx), tgid) == slot->key)
		slot = py_task_of(key, 1);
	if (slot) {
		slot->key = key;
		slot->task = task;
	}
}

/*
 * A Task's constructor was entered earlier on this thread; by now it has stored its context.
 * Report "the parent's context made a Task with this context", and remember the pair, so that a
 * later write can tell whether the Task is still alive (a dead one has cleared the field).
 */
static __always_inline void py_settle_task(const struct clew_proc *p, struct clew_thread *th,
					   __u32 tgid)
{
	struct clew_edge_short *e;
	__u64 task, child;

	if (!th || !th->task)
		return;
	task = th->task;
	th->task = 0;
	child = user_u64(task + p->py_task_ctx);
	/* gone already: nobody can be asked for by it any more */
	if (!child || user_u64(task + CLEW_PY_OB_TYPE) != th->task_type) {
		count(CLEW_STAT_EDGE_UNRESOLVED);
		return;
	}
	py_note_task(p, child, task, tgid);
	e = RESERVE(struct clew_edge_short);
	if (!e)
		return;
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), th->task_turn);
	e->conn_id = th->task_maker;
	e->ctx = th->task_parent;
	e->child = child;
	e->ref = task;
	e->kind = CLEW_EDGE_PY_TASK;
	e->chain_len = 0;
	e->flags = th->uv ? CLEW_EDGE_UVLOOP : 0;
	e->pad[0] = e->pad[1] = e->pad[2] = 0;
	SUBMIT(e);
}

/* The Task that this context was made for, while it lives; else 0. */
static __always_inline __u64 py_live_task(const struct clew_proc *p, __u64 ctx, __u32 tgid)
{
	__u64 key = py_task_key(ctx, tgid), task = 0;

	for (__u32 way = 0; way < CLEW_PY_WAYS; way++) {
		struct clew_py_task *slot = py_task_of(key, way);

		if (slot && slot->key == key && slot->task)
			task = slot->task;
	}
	return task && user_u64(task + p->py_task_ctx) == ctx ? task : 0;
}

static __always_inline void context_python(const struct clew_proc *p, struct context *c,
					   struct clew_thread *th, __u32 tgid, bool calls)
{
	py_settle_task(p, th, tgid);
	if (!p->py_ctx)
		return; /* a thread, that is all */
	c->ctx = py_context(p, th, &c->turn);
	c->kind = CLEW_CTX_PYTHON;
	if (c->ctx && calls) /* only who writes is asked whether its Task lives */
		c->ref = py_live_task(p, c->ctx, tgid);
}

#include "java.bpf.h"
#include "rust.bpf.h"

/* Is a file registered with an event loop (epoll)? */
static __always_inline bool in_epoll(struct file *f)
{
	if (!f)
		return false;
	if (bpf_core_field_exists(f->f_ep)) {
		void *head = KPTR(file, f, f_ep);

		return head && KPTR(hlist_head, head, first);
	}
	struct file___510 *old = (void *)f;
	void *first = BPF_CORE_READ(old, f_ep_links.next);

	return first && first != (void *)old + bpf_core_field_offset(struct file___510, f_ep_links);
}

/*
 * Does this thread run an event loop? Its waits tell, where they are watched. Else a socket that
 * is registered with epoll does; one that is not proves nothing.
 */
static __always_inline void context_loop(struct context *c, const struct clew_thread *th,
					 struct file *file)
{
	c->watch = watch;
	if (c->watch != CLEW_UNWATCHED)
		c->loop = th ? th->loop : 0;
	else if (in_epoll(file))
		c->loop = CLEW_SEG_LOOP;
}

/* `calls`: these bytes begin a message that goes out; `answer`: they are of an answer; `cheap`:
 * only who runs, not in which context. */
static __always_inline void context_read(const struct clew_proc *p, struct context *c, __u64 id,
					 struct file *file, bool calls, bool answer, bool cheap)
{
	struct clew_thread *th = NULL;

	c->ctx = c->ref = 0;
	c->turn = 0;
	c->loop = 0;
	c->watch = 0;
	c->kind = CLEW_CTX_THREAD;
	if (p->flags & CLEW_PROC_THREADS) {
		th = thread_of((__u32)id, p->runtime == CLEW_RT_PYTHON);
		if (th)
			c->turn = th->turn;
		context_loop(c, th, file);
	}
	if (cheap && p->runtime != CLEW_RT_UNKNOWN && p->runtime != CLEW_RT_RUBY) {
		c->kind = CLEW_CTX_NONE;
		return;
	}
	switch (p->runtime) {
	case CLEW_RT_GO:
		/* no rule asks which goroutine answers, or reads an answer */
		c->ctx = p->go_goid && !answer ? go_goid(p) : 0;
		c->kind = c->ctx || (p->go_goid && answer) ? CLEW_CTX_GO : CLEW_CTX_NONE;
		break;
	case CLEW_RT_PYTHON:
		context_python(p, c, th, id >> 32, calls);
		break;
	case CLEW_RT_JAVA:
		context_java(p, c);
		break;
	case CLEW_RT_NGINX:
		c->kind = CLEW_CTX_NGINX;
		break;
	case CLEW_RT_HAPROXY:
		c->kind = CLEW_CTX_HAPROXY;
		break;
	case CLEW_RT_NODE:
		c->kind = p->node_ids ? CLEW_CTX_NODE : CLEW_CTX_NONE;
		break;
	case CLEW_RT_TOKIO:
		c->ctx = rust_task(p);
		c->kind = c->ctx ? CLEW_CTX_TOKIO : CLEW_CTX_NONE;
		break;
	case CLEW_RT_OTHER:
		c->kind = CLEW_CTX_NONE;
		break;
	}
}

/*
 * io_uring may carry out a call on a worker thread, and completes calls out of any order on the
 * submitter: such a thread is an event loop, and a worker tells nothing about who asked.
 */
static __always_inline void context_uring(struct context *c)
{
	if (TASK_READ(flags) & CLEW_PF_IO_WORKER) {
		c->kind = CLEW_CTX_NONE;
	} else if (bpf_core_field_exists(struct task_struct, io_uring) && TASK_READ(io_uring)) {
		c->loop = CLEW_SEG_LOOP;
		if (c->kind == CLEW_CTX_JAVA)
			c->turn = 0; /* its waits there are not seen */
	}
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

#define SELECT_WORDS 4 /* of a set of descriptors: 256 of them */
#define SELECT_SEEN  2 /* descriptors in one word */

static __always_inline bool is_connection(__u32 fd)
{
	struct sock *sk = sock_of_file(file_of_fd(fd), NULL);

	return sk && KREAD(sock, sk, __sk_common.skc_state) != CLEW_TCP_LISTEN;
}

/*
 * gunicorn's default worker selects from its listeners and a pipe when it has answered what it
 * accepted last: no event loop either. One waits for connections, and while it is at a request.
 * `in` is what select() was asked for, or what was ready by the time that it returned.
 */
static __always_inline bool waits_for_listeners(const struct clew_proc *p, int n, __u64 in,
						__u64 out)
{
	struct clew_thread *th = thread_of((__u32)bpf_get_current_pid_tgid(), false);

	if (p->runtime != CLEW_RT_PYTHON || !in || out || n > 64 * SELECT_WORDS ||
	    (th && th->serving))
		return false;
	for (int i = 0; i < SELECT_WORDS; i++) {
		__u64 word = 64 * i < n ? user_u64(in + 8 * i) : 0;

		for (int seen = 0; word && seen < SELECT_SEEN; seen++, word &= word - 1)
			if (is_connection(64 * i + __builtin_ctzll(word)))
				return false;
		if (word)
			return false;
	}
	return true;
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
	th->turn++;
	th->loop = CLEW_SEG_LOOP;
}

#endif
