/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * python.bpf.c - CPython: who makes an asyncio Task, who copies a context, which thread takes
 * which work item. All report edges; see docs/correlate.md for what they prove.
 */
#include "lib/conn.bpf.h"
#include "lib/context.bpf.h"
#include "lib/sockfd.bpf.h"

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
	th->task_maker = th->task_parent ? py_live_task(p, th->task_parent, tgid) : 0;
	return 0;
}

/* PyContext_CopyCurrent() returned a copy of the current context. */
SEC("?uprobe")
int clew_py_copy(struct pt_regs *ctx)
{
	struct clew_edge_short *e;
	__u64 child, parent;
	struct clew_thread *th;
	struct clew_proc *p;
	__u32 tgid, run;

	p = py_proc(&tgid, CLEW_SET_PY_COPY);
	if (!p || !PT_REGS_RC(ctx))
		return 0;
	th = thread_of((__u32)bpf_get_current_pid_tgid(), false);
	child = PT_REGS_RC(ctx);
	py_forget_task(py_task_key(child, tgid));
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
	e->flags = th && th->uv ? CLEW_EDGE_UVLOOP : 0;
	e->pad[0] = e->pad[1] = e->pad[2] = 0;
	SUBMIT(e);
	return 0;
}

/*
 * uvloop (handles/handle.pxd, stream.pyx): a UVStream is an object with a table of C methods,
 * then its libuv handle. libuv (include/uv.h): uv_handle_t.data leads back; the descriptor is
 * in uv_stream_t.io_watcher, alike from 1.0 to 1.51 on x86-64.
 */
#define UVLOOP_HANDLE 24
#define UV_TYPE_PIPE  7
#define UV_TYPE_TCP   12
#define UV_STREAM_FD  184
#define PY_TYPE_FLAGS 168 /* PyTypeObject.tp_flags */
#define PY_IS_LONG    (1UL << 24)
#define PY_IS_BYTES   (1UL << 27)
#define PY_IS_STR     (1UL << 28)
#define PY_BYTES_SIZE 16 /* PyVarObject.ob_size */

/*
 * Is something written? Bytes tell: none of them, and the stream does nothing (Hypercorn ends its
 * answers so). Whether another object holds any is not looked at.
 */
static __always_inline enum clew_py_note py_note_of(__u64 obj)
{
	__u64 type = obj ? user_u64(obj + CLEW_PY_OB_TYPE) : 0;

	if (!type || !(user_u64(type + PY_TYPE_FLAGS) & PY_IS_BYTES))
		return CLEW_PY_NOTE_UNSURE;
	return user_u64(obj + PY_BYTES_SIZE) ? CLEW_PY_NOTE_SURE : CLEW_PY_NOTE_NONE;
}

/*
 * UVStream.write(self, buf), .writelines(self, bufs). Before uvloop 0.23 this only adds to a
 * buffer, which is written at the end of the loop's turn in no request's context; so who asked is
 * noted with the connection, and the socket hook takes it from there (py_written).
 */
SEC("?uprobe")
int clew_py_write(struct pt_regs *ctx)
{
	struct {
		__u64 data, loop;
		__u32 type;
	} handle = {};
	__u64 self = PT_REGS_PARM1(ctx), buf = PT_REGS_PARM2(ctx), at, who, ino = 0;
	enum clew_py_note note;
	struct clew_thread *th;
	struct clew_kconn *c;
	struct clew_proc *p;
	struct sock *sk;
	__u32 tgid, run;

	p = py_proc(&tgid, CLEW_SET_PY_TASK);
	if (!p || !p->py_uv)
		return 0;
	th = thread_of((__u32)bpf_get_current_pid_tgid(), true);
	if (!th)
		return 0;
	th->uv = 1;
	py_settle_task(p, th, tgid);
	at = user_u64(self + UVLOOP_HANDLE);
	if (!at || bpf_probe_read_user(&handle, sizeof(handle), (void *)at) ||
	    handle.data != self || (handle.type != UV_TYPE_TCP && handle.type != UV_TYPE_PIPE)) {
		count(CLEW_STAT_EDGE_UNRESOLVED);
		return 0;
	}
	sk = sock_of_file(file_of_fd(user_u32(at + UV_STREAM_FD)), &ino);
	c = sk ? conn_get(sk, ino) : NULL;
	if (!c || c->class == CLEW_CLASS_IGNORED || c->py_note == CLEW_PY_NOTE_SURE ||
	    c->py_note == CLEW_PY_NOTE_SEVERAL)
		return 0;
	if (p->py_uv == CLEW_PY_UV_ARRAY)
		buf = user_u64(buf);
	note = py_note_of(buf);
	if (!note)
		return 0;
	who = py_context(p, th, &run);
	if (c->py_note && c->py_ctx != who) {
		c->py_note = CLEW_PY_NOTE_SEVERAL;
		return 0;
	}
	c->py_ctx = who;
	c->py_turn = run;
	c->py_task = who ? py_live_task(p, who, tgid) : 0;
	c->py_note = note;
	return 0;
}

#define PY_TYPE_NAME 24 /* PyTypeObject.tp_name */

static __always_inline bool py_named(__u64 type, const char *name, int n, char *buf)
{
	__u64 at = user_u64(type + PY_TYPE_NAME);

	if (!at || bpf_probe_read_user(buf, n, (void *)at))
		return false;
	for (int i = 0; i < n; i++)
		if (buf[i] != name[i])
			return false;
	return true;
}

static const char work_item[] = "_WorkItem"; /* concurrent.futures.thread */

static __always_inline int queue_edge(struct clew_proc *p, __u16 kind, __u64 item)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct clew_thread *th = thread_of((__u32)id, false);
	struct context who = {};
	struct clew_edge *e;

	if (kind == CLEW_EDGE_PY_PUT)
		context_python(p, &who, th, id >> 32, true);
	e = RESERVE(struct clew_edge);
	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), who.turn);
	e->kind = kind;
	e->ctx = who.ctx;
	e->child = who.ref;
	e->ref = item;
	SUBMIT(e);
	return 0;
}

/*
 * SimpleQueue.put(self, item, ...), called with (self, args, nargs, names). Only work items of
 * thread pools are reported: what takes them runs each to its end before it takes the next.
 */
SEC("?uprobe")
int clew_py_put(struct pt_regs *ctx)
{
	char name[sizeof(work_item)] = {};
	struct clew_proc *p;
	__u64 item, type;
	__u32 tgid;

	p = py_proc(&tgid, CLEW_SET_PY_QUEUE);
	if (!p)
		return 0;
	item = user_u64(PT_REGS_PARM2(ctx));
	type = item ? user_u64(item + 8) : 0;
	if (!type || !py_named(type, work_item, sizeof(name), name))
		return 0;
	return queue_edge(p, CLEW_EDGE_PY_PUT, item);
}

/* SimpleQueue.get(), get_nowait(): what this thread did before is over. */
SEC("?uprobe")
int clew_py_get(struct pt_regs *ctx)
{
	struct clew_proc *p;
	__u32 tgid;

	p = py_proc(&tgid, CLEW_SET_PY_QUEUE);
	return p && PT_REGS_RC(ctx) ? queue_edge(p, CLEW_EDGE_PY_GET, PT_REGS_RC(ctx)) : 0;
}

static const char lock_type[] = "_thread.lock";

static __always_inline bool py_is_lock(__u64 type)
{
	char name[sizeof(lock_type)] = {};

	return py_named(type, lock_type, sizeof(name), name);
}

/*
 * The type of what is put into a deque, or taken out. 0: it cannot tell one from another, because
 * equal ones may be the same object; or the thread is in an event loop, where all are callbacks.
 */
static __always_inline __u64 py_moved(__u64 obj)
{
	struct clew_thread *th;
	struct clew_proc *p;
	__u64 type;
	__u32 tgid;

	p = py_proc(&tgid, CLEW_SET_PY_DEQUE);
	if (!p || !obj)
		return 0;
	th = thread_of((__u32)bpf_get_current_pid_tgid(), false);
	if (th && th->loop)
		return 0;
	type = user_u64(obj + CLEW_PY_OB_TYPE);
	return type && user_u64(type + PY_TYPE_FLAGS) & (PY_IS_LONG | PY_IS_BYTES | PY_IS_STR)
		       ? 0
		       : type;
}

static __always_inline int deque_edge(__u16 kind, __u64 deque, __u64 obj)
{
	struct clew_edge_short *e = RESERVE(struct clew_edge_short);

	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), 0);
	e->kind = kind;
	e->child = deque;
	e->ref = obj;
	SUBMIT(e);
	return 0;
}

/* deque.append(self, object): an item of queue.Queue, or who begins to wait (threading.Condition)
 */
SEC("?uprobe")
int clew_py_append(struct pt_regs *ctx)
{
	__u64 obj = PT_REGS_PARM2(ctx), type = py_moved(obj);

	if (!type)
		return 0;
	return deque_edge(py_is_lock(type) ? CLEW_EDGE_PY_WAIT : CLEW_EDGE_PY_GIVE,
			  PT_REGS_PARM1(ctx), obj);
}

/* Modules/_collectionsmodule.c: struct dequeobject, BLOCK. */
#define DEQUE_SIZE	 16
#define DEQUE_LEFT	 24
#define DEQUE_LEFT_INDEX 40
#define BLOCK_DATA	 8

/* deque.popleft(self): the object that it will return; or who is woken (3.11 on). */
SEC("?uprobe")
int clew_py_popleft(struct pt_regs *ctx)
{
	__u64 self = PT_REGS_PARM1(ctx), obj, type;

	if (!user_u64(self + DEQUE_SIZE))
		return 0;
	obj = user_u64(user_u64(self + DEQUE_LEFT) + BLOCK_DATA +
		       8 * user_u64(self + DEQUE_LEFT_INDEX));
	type = py_moved(obj);
	if (!type)
		return 0;
	return deque_edge(py_is_lock(type) ? CLEW_EDGE_PY_WAKE : CLEW_EDGE_PY_TAKE, self, obj);
}

/* deque.remove(self, object): whoever waits with this lock is woken, or has waited too long. */
SEC("?uprobe")
int clew_py_remove(struct pt_regs *ctx)
{
	__u64 obj = PT_REGS_PARM2(ctx), type = py_moved(obj);

	return type && py_is_lock(type) ? deque_edge(CLEW_EDGE_PY_WAKE, PT_REGS_PARM1(ctx), obj)
					: 0;
}
