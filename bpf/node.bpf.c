/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * node.bpf.c - Node: which async id and which async function runs. What it proves is in
 * docs/correlate.md, where the offsets come from in src/probe/node_runtime.c.
 *
 * An async function that waits is known by the address of its generator object, which is there
 * when it is suspended and when it goes on. The collector moves it; while it still knows from
 * where to where, the addresses are walked.
 */
#include "lib/conn.bpf.h"
#include "lib/node.bpf.h"
#include "lib/sockfd.bpf.h"

#define NODE_NO_ID	  0xbff0000000000000ULL /* -1.0: AsyncWrap::kInvalidAsyncId */
#define NODE_HANDLE_FROM  0x18			/* behind the own id: where uv_handle_t * may be */
#define NODE_HANDLE_SLOTS 8
#define NODE_HANDLE_NEAR  0x400 /* it is embedded in the object */
#define UV_HANDLE_TYPE	  16	/* libuv: uv_handle_t.type; the same in all of 1.x */
#define UV_NAMED_PIPE	  7
#define UV_TCP		  12
#define UV_STREAM_FD	  184 /* uv_stream_t.io_watcher.fd */
#define V8_TAG		  1
#define V8_CONTEXT_SLOT	  0x1f /* first slot of a closure's context, less the tag */

#if defined(__TARGET_ARCH_x86)
#define BUILTIN_ACC(regs)     ((regs)->ax)
#define BUILTIN_CONTEXT(regs) ((regs)->si)
#else
#define BUILTIN_ACC(regs)     0 /* no offsets are known there, so nothing is attached */
#define BUILTIN_CONTEXT(regs) 0
#endif

static __always_inline struct clew_proc *node_proc(__u64 id)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &(__u32){id >> 32});

	return p && p->runtime == CLEW_RT_NODE && p->node_ids ? p : NULL;
}

/* Numbers that cannot be: the offsets are wrong for this program. Seldom enough to be a race. */
static __always_inline void node_misfit(struct clew_proc *p)
{
	count(CLEW_STAT_EDGE_UNRESOLVED);
	if (++p->node_misfits >= NODE_MISFITS_MAX)
		p->node_ids = 0;
}

/* The thread, and its current ids as seen from one of its AsyncWraps. */
static __always_inline struct clew_thread *node_thread(struct clew_proc *p, __u64 id, __u64 wrap,
						       struct node_ids *ids)
{
	struct clew_thread *th = thread_of((__u32)id, true);

	if (!th)
		return NULL;
	if (!th->node_at)
		th->node_at = user_u64(user_u64(user_u64(wrap + p->node_realm) + p->node_env) +
				       p->node_ids);
	if (node_read_ids(th, ids))
		return th;
	th->node_at = 0;
	node_misfit(p);
	return NULL;
}

static __always_inline struct clew_edge *node_edge(__u16 kind, const struct clew_thread *th)
{
	struct clew_edge *e = bpf_ringbuf_reserve(&events, CLEW_EDGE_BARE, 0);

	if (!e) {
		count_exact(CLEW_STAT_DROP_RING_FULL);
		return NULL;
	}
	header(&e->h, CLEW_EV_EDGE, CLEW_EDGE_BARE, th->turn);
	e->kind = kind;
	e->chain_len = 0;
	e->flags = 0;
	__builtin_memset(e->pad, 0, sizeof(e->pad));
	e->conn_id = e->ctx = e->child = e->ref = 0;
	return e;
}

/* InternalCallbackScope::InternalCallbackScope(AsyncWrap *, int): HTTP parsers enter this way */
SEC("?uprobe")
int clew_node_parser(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), wrap = PT_REGS_PARM2(ctx), conn, own;
	struct clew_proc *p = node_proc(id);
	struct clew_thread *th;
	struct clew_edge *e;
	struct node_ids ids;

	if (!p || stopped)
		return 0;
	th = thread_of((__u32)id, false);
	if (th && th->node_at && !th->node_read)
		return 0;
	th = node_thread(p, id, wrap, &ids);
	if (!th || !th->node_read)
		return 0;
	conn = th->node_read;
	th->node_read = 0;
	own = user_u64(wrap + p->node_id);
	if (!own || own > ids.last) {
		node_misfit(p);
		return 0;
	}
	e = node_edge(CLEW_EDGE_NODE_PARSER, th);
	if (!e)
		return 0;
	node_who(th, &ids, &e->ctx, &e->ref);
	e->conn_id = conn;
	e->child = own;
	SUBMIT(e);
	return 0;
}

/*
 * The connection behind a HandleWrap, or 0. It keeps a pointer to the libuv handle that is
 * embedded in it, whose first word points back: found by that, not by an offset.
 */
static __always_inline __u64 node_conn_of(const struct clew_proc *p, __u64 wrap)
{
	struct clew_kconn *c;
	struct sock *sk;
	__u64 ino = 0;
	__u32 type;

#pragma clang loop unroll(disable)
	for (int i = 0; i < NODE_HANDLE_SLOTS; i++) {
		__u64 h = user_u64(wrap + p->node_id + NODE_HANDLE_FROM + 8 * i);

		if (h <= wrap || h - wrap > NODE_HANDLE_NEAR || user_u64(h) != wrap)
			continue;
		type = user_u32(h + UV_HANDLE_TYPE);
		if (type != UV_TCP && type != UV_NAMED_PIPE)
			return 0;
		sk = sock_of_file(file_of_fd(user_u32(h + UV_STREAM_FD)), &ino);
		c = sk ? conn_get(sk, ino) : NULL;
		return c ? c->id : 0;
	}
	return 0;
}

/* void AsyncWrap::AsyncReset(Local<Object>, double, bool): this gets the next id */
SEC("?uprobe")
int clew_node_id(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), wrap = PT_REGS_PARM1(ctx), old;
	struct clew_proc *p = node_proc(id);
	struct clew_thread *th;
	struct clew_edge *e;
	struct node_ids ids;
	bool again;

	if (!p || stopped)
		return 0;
	th = node_thread(p, id, wrap, &ids);
	if (!th)
		return 0;
	old = user_u64(wrap + p->node_id);
	again = old && old != NODE_NO_ID;
	if (again && old > ids.last) {
		node_misfit(p);
		return 0;
	}
	if (!again && !ids.exec && !node_runs(th))
		return 0; /* nobody's */
	e = node_edge(CLEW_EDGE_NODE_ID, th);
	if (!e)
		return 0;
	node_who(th, &ids, &e->ctx, &e->ref);
	e->child = ids.last;
	if (again) {
		e->flags = CLEW_EDGE_AGAIN;
		e->conn_id = node_conn_of(p, wrap);
		if (e->conn_id)
			e->child = th->node_drain;
	}
	SUBMIT(e);
	return 0;
}

static __always_inline __u64 *node_find(const struct clew_proc *p, const struct clew_node_key *key)
{
	return p->node_flip ? bpf_map_lookup_elem(&node_odd, key)
			    : bpf_map_lookup_elem(&node_even, key);
}

/* The function that ran has stopped: what ids were given meanwhile? */
static __always_inline void node_stop(struct clew_thread *th)
{
	struct clew_edge *e;
	struct node_ids ids;

	if (node_read_ids(th, &ids) && ids.last > th->node_mark) {
		e = node_edge(CLEW_EDGE_NODE_IDS, th);
		if (e) {
			e->child = th->node_inst;
			e->ctx = th->node_mark;
			e->ref = ids.last;
			SUBMIT(e);
		}
	}
	th->node_inst = 0;
}

/* Another task runs, and the function that ran has not awaited: it is over. */
static __always_inline void node_ended(const struct clew_proc *p, struct clew_thread *th,
				       __u32 tgid)
{
	struct clew_node_key key = {.gen = th->node_gen, .tgid = tgid};

	if (!th->node_inst)
		return;
	node_stop(th);
	if (p->node_flip)
		bpf_map_delete_elem(&node_odd, &key);
	else
		bpf_map_delete_elem(&node_even, &key);
}

/* MicrotaskQueue::RunMicrotasks(Isolate *) */
SEC("?uprobe")
int clew_node_drain(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct clew_thread *th = thread_of((__u32)id, false);
	struct clew_proc *p = node_proc(id);

	if (!th || !p || stopped)
		return 0;
	th->node_drain++;
	th->node_queue = PT_REGS_PARM1(ctx);
	node_ended(p, th, id >> 32);
	return 0;
}

/* Builtins_AsyncFunctionAwait*: the accumulator is the generator */
SEC("?uprobe")
int clew_node_await(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), inst;
	struct clew_node_key key = {.gen = BUILTIN_ACC(ctx), .tgid = id >> 32};
	struct clew_proc *p = node_proc(id);
	struct clew_thread *th = thread_of((__u32)id, false);
	struct clew_edge *e;
	struct node_ids ids;

	if (!p || !th || stopped)
		return 0;
	if (th->node_gen == key.gen && node_runs(th)) {
		node_stop(th);
		return 0;
	}
	/* one that was not seen to go on has not waited before: a new one, whatever was there */
	if (!node_read_ids(th, &ids))
		return 0;
	inst = bpf_ktime_get_ns();
	if (p->node_flip)
		bpf_map_update_elem(&node_odd, &key, &inst, BPF_ANY);
	else
		bpf_map_update_elem(&node_even, &key, &inst, BPF_ANY);
	e = node_edge(CLEW_EDGE_NODE_BORN, th);
	if (!e)
		return 0;
	node_who(th, &ids, &e->ctx, &e->ref);
	e->child = inst;
	SUBMIT(e);
	return 0;
}

/* Builtins_AsyncFunctionAwaitResolveClosure, ...RejectClosure: the context's slot */
SEC("?uprobe")
int clew_node_resume(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), *inst;
	struct clew_node_key key = {.tgid = id >> 32};
	struct clew_proc *p = node_proc(id);
	struct clew_thread *th = thread_of((__u32)id, false);
	struct clew_edge *e;
	struct node_ids ids;

	if (!p || !th || stopped)
		return 0;
	node_ended(p, th, id >> 32);
	if (node_read_ids(th, &ids)) {
		th->node_mark = ids.last;
		th->node_base = ids.exec;
	} else {
		th->node_mark = ~0ULL;
		th->node_base = 0;
	}
	th->node_task = user_u64(th->node_queue + V8_QUEUE_START);
	key.gen = user_u64(BUILTIN_CONTEXT(ctx) + V8_CONTEXT_SLOT);
	inst = node_find(p, &key);
	th->node_gen = key.gen;
	th->node_inst = inst ? *inst : 0;
	e = node_edge(CLEW_EDGE_NODE_RESUME, th);
	if (!e)
		return 0;
	e->child = th->node_inst;
	e->ref = th->node_drain;
	SUBMIT(e);
	return 0;
}

struct bpf_map;

struct node_move {
	__u32 tgid;
	__u32 pad;
	__u64 gen; /* that runs */
};

/* A moved object's first word is its new address, an unmoved one's a tagged pointer to its map. */
static __always_inline bool node_moved(struct clew_node_key *key, struct node_move *m)
{
	__u64 word = 0, old = key->gen;

	if (bpf_probe_read_user(&word, sizeof(word), (void *)(key->gen - V8_TAG)))
		return false;
	if (word && !(word & V8_TAG))
		key->gen = word + V8_TAG;
	if (m->gen == old)
		m->gen = key->gen;
	return true;
}

static long node_to_odd(struct bpf_map *map, struct clew_node_key *key, __u64 *inst,
			struct node_move *m)
{
	struct clew_node_key to = *key;

	if (key->tgid != m->tgid)
		return 0;
	if (node_moved(&to, m))
		bpf_map_update_elem(&node_odd, &to, inst, BPF_ANY);
	bpf_map_delete_elem(map, key);
	return 0;
}

static long node_to_even(struct bpf_map *map, struct clew_node_key *key, __u64 *inst,
			 struct node_move *m)
{
	struct clew_node_key to = *key;

	if (key->tgid != m->tgid)
		return 0;
	if (node_moved(&to, m))
		bpf_map_update_elem(&node_even, &to, inst, BPF_ANY);
	bpf_map_delete_elem(map, key);
	return 0;
}

/* The compiler must not make one call of this one and another. */
#define NO_MERGE __attribute__((nomerge))

/* The collector has moved objects and still knows where from. */
SEC("?uprobe")
int clew_node_moved(struct pt_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct clew_proc *p = node_proc(id);
	struct clew_thread *th = thread_of((__u32)id, false);
	struct node_move m = {.tgid = id >> 32};

	if (!p)
		return 0;
	m.gen = th ? th->node_gen : 0;
	/* Two calls: 6.1 refuses one that gets now this map, now that ("abusing map_ptr"). */
	if (p->node_flip) {
		NO_MERGE bpf_for_each_map_elem(&node_odd, node_to_even, &m, 0);
	} else {
		NO_MERGE bpf_for_each_map_elem(&node_even, node_to_odd, &m, 0);
	}
	p->node_flip = !p->node_flip;
	if (th)
		th->node_gen = m.gen;
	return 0;
}
