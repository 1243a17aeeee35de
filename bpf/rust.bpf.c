/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * rust.bpf.c - messages of tokio's channels (tokio::sync::mpsc): a client such as hyper's has a
 * task per connection, to which the caller's task sends the request through one. Who put a message
 * in is reported; who took it out is told with the request that is written then.
 */
#include "lib/conn.bpf.h"
#include "lib/context.bpf.h"

/* General registers as instructions number them, in struct pt_regs. */
#if defined(__TARGET_ARCH_x86)
#define REG(name) __builtin_offsetof(struct pt_regs, name)
static const __u8 rust_regs[16] = {
	REG(ax), REG(cx), REG(dx),  REG(bx),  REG(sp),	REG(bp),  REG(si),  REG(di),
	REG(r8), REG(r9), REG(r10), REG(r11), REG(r12), REG(r13), REG(r14), REG(r15),
};
#else
static const __u8 rust_regs[16];
#endif

static __always_inline __u64 rust_reg(struct pt_regs *ctx, __u8 nr)
{
	__u64 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), (void *)ctx + rust_regs[nr & 15]);
	return v;
}

#define RUST_UNPLACED 0xff
enum { RUST_DX = 2, RUST_SI = 6, RUST_DI = 7 };

/* The probe that was hit, by its place in the page: which register counts there. */
static __always_inline __u8 rust_register(const struct clew_proc *p, const struct pt_regs *ctx)
{
	__u16 at = PT_REGS_IP(ctx) & 0xfff;

#pragma clang loop unroll(disable)
	for (int i = 0; i < CLEW_RUST_PLACES; i++)
		if (i < p->rust_places && p->rust_place[i] >> 4 == at)
			return p->rust_place[i] & 15;
	return RUST_UNPLACED;
}

/* NULL: outside any task. */
static __always_inline struct clew_proc *rust_inside(enum clew_probe_set set, __u64 *ret_task)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);

	count_hit(tgid, set);
	if (stopped || !p || p->runtime != CLEW_RT_TOKIO)
		return NULL;
	*ret_task = rust_task(p);
	return *ret_task ? p : NULL;
}

static __always_inline struct clew_proc *rust_proc(const struct pt_regs *ctx, __u8 *ret_reg,
						   __u64 *ret_task)
{
	struct clew_proc *p = rust_inside(CLEW_SET_RUST_MESSAGE, ret_task);

	if (!p)
		return NULL;
	*ret_reg = rust_register(p, ctx);
	if (*ret_reg == RUST_UNPLACED)
		count(CLEW_STAT_EDGE_UNRESOLVED);
	return *ret_reg == RUST_UNPLACED ? NULL : p;
}

static __always_inline struct clew_rust_channel rust_channel(__u64 tx)
{
	return (struct clew_rust_channel){.tx = tx, .pid = bpf_get_current_pid_tgid() >> 32};
}

static __always_inline void rust_edge(__u16 kind, __u64 task, __u64 child, __u64 ref)
{
	struct clew_edge_short *e = RESERVE(struct clew_edge_short);

	if (!e)
		return;
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), 0);
	e->conn_id = 0;
	e->ctx = task;
	e->child = child;
	e->ref = ref;
	e->kind = kind;
	e->chain_len = 0;
	e->flags = 0;
	e->pad[0] = e->pad[1] = e->pad[2] = 0;
	SUBMIT(e);
}

/* Behind the atomic addition of list::Tx::push, or list::Tx::find_block(tx, slot). */
SEC("?uprobe")
int clew_rust_push(struct pt_regs *ctx)
{
	struct clew_rust_channel key;
	__u64 task, slot, *taker;
	__u8 reg;

	if (!rust_proc(ctx, &reg, &task))
		return 0;
	slot = rust_reg(ctx, reg);
	key = rust_channel(PT_REGS_PARM1(ctx));
	taker = bpf_map_lookup_elem(&rust_takers, &key);
	rust_edge(CLEW_EDGE_RUST_SEND, task, CLEW_RUST_MESSAGE(key.tx, slot), taker ? *taker : 0);
	return 0;
}

/* list::Rx::pop(rx, tx), behind the address of the result where that is not in registers. */
SEC("?uprobe")
int clew_rust_pop(struct pt_regs *ctx)
{
	struct clew_rust_channel key;
	struct clew_thread *th;
	struct clew_proc *p;
	__u64 task, *taker;
	__u8 reg;

	p = rust_proc(ctx, &reg, &task);
	th = p ? thread_of((__u32)bpf_get_current_pid_tgid(), true) : NULL;
	if (!th)
		return 0;
	th->rust_task = task;
	th->rust_rx = rust_reg(ctx, reg);
	th->rust_tx = rust_reg(ctx, reg == RUST_DI ? RUST_SI : RUST_DX); /* the next argument */
	th->rust_slot = user_u64(th->rust_rx + p->rust_index);
	key = rust_channel(th->rust_tx);
	taker = bpf_map_lookup_elem(&rust_takers, &key);
	if (!taker)
		bpf_map_update_elem(&rust_takers, &key, &task, BPF_ANY);
	else if (*taker != task)
		*taker = task;
	return 0;
}

/* struct Header and Vtable of task/core.rs and raw.rs; what is checked: src/probe/rust_runtime.c */
enum { RUST_VTABLE = 16, RUST_VTABLE_ID = 72, RUST_HDR = 32, RUST_ID_MAX = 512, RUST_COMPLETE = 2 };

/* The id of the task whose header that is, which `parent` has started; 0: it is no such thing. */
static __always_inline __u64 rust_child(__u64 hdr, __u64 parent)
{
	__u64 off = user_u64(user_u64(hdr + RUST_VTABLE) + RUST_VTABLE_ID), id;

	if (off < RUST_HDR || off > RUST_ID_MAX || off & 7)
		return 0;
	id = user_u64(hdr + off);
	return id > parent ? id : 0; /* ids are given in order */
}

/* OwnedTasks::bind_inner(list, task, ..), blocking::Spawner::spawn_task(pool, task, ..). */
SEC("?uprobe")
int clew_rust_spawn(struct pt_regs *ctx)
{
	__u64 task, child;

	if (!rust_inside(CLEW_SET_RUST_JOIN, &task))
		return 0;
	child = rust_child(PT_REGS_PARM2(ctx), task);
	if (child)
		rust_edge(CLEW_EDGE_RUST_SPAWN, task, child, 0);
	else
		count(CLEW_STAT_EDGE_UNRESOLVED);
	return 0;
}

/*
 * can_read_output(task, trailer, waker): who has its handle asks what it gave. Only what is over
 * is reported: its last call has its answer by then, and it makes no other.
 */
SEC("?uprobe")
int clew_rust_join(struct pt_regs *ctx)
{
	__u64 task, child;

	if (!rust_inside(CLEW_SET_RUST_JOIN, &task) ||
	    !(user_u64(PT_REGS_PARM1(ctx)) & RUST_COMPLETE))
		return 0;
	child = rust_child(PT_REGS_PARM1(ctx), task);
	if (child)
		rust_edge(CLEW_EDGE_RUST_JOIN, task, child, 0);
	return 0;
}
