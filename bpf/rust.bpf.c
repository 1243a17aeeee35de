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

static __always_inline struct clew_proc *rust_proc(enum clew_probe_set set)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p;

	count_hit(tgid, set);
	p = traced(tgid);
	return p && p->runtime == CLEW_RT_TOKIO ? p : NULL;
}

static __always_inline struct clew_proc *rust_place(const struct pt_regs *ctx, __u8 *ret_reg)
{
	struct clew_proc *p = rust_proc(CLEW_SET_RUST_MESSAGE);

	if (!p)
		return NULL;
	*ret_reg = rust_register(p, ctx);
	if (*ret_reg == RUST_UNPLACED)
		count(CLEW_STAT_EDGE_UNRESOLVED);
	return *ret_reg == RUST_UNPLACED ? NULL : p;
}

/* As good as unique: of one address it is, until the clock has counted 2^47 ns. */
static __always_inline __u64 rust_new_id(__u64 tx)
{
	__u64 id = tx ^ bpf_ktime_get_ns() * 0x9e3779b97f4a7c15ULL;

	return id & ((1ULL << CLEW_RUST_SLOT) - 1) ?: 1;
}

/* NULL: not met yet. */
static __always_inline struct clew_rust_channel *rust_known(__u64 tx)
{
	struct clew_rust_key key = {.tx = tx, .pid = bpf_get_current_pid_tgid() >> 32};

	return bpf_map_lookup_elem(&rust_channels, &key);
}

static __always_inline struct clew_rust_channel *rust_meet(__u64 tx)
{
	struct clew_rust_key key = {.tx = tx, .pid = bpf_get_current_pid_tgid() >> 32};
	struct clew_rust_channel new = {.id = rust_new_id(tx)};

	bpf_map_update_elem(&rust_channels, &key, &new, BPF_NOEXIST);
	return bpf_map_lookup_elem(&rust_channels, &key);
}

static __always_inline void rust_another(struct clew_rust_channel *c, __u64 tx)
{
	c->id = rust_new_id(tx);
	c->task = c->used = 0;
}

/*
 * Who takes it. A channel has one receiver, in one task; where another one takes, it is not sure
 * that this is still the channel of the messages before.
 */
static __always_inline void rust_taker(struct clew_rust_channel *c, __u64 tx, __u64 task)
{
	if (c->task == task && task)
		return;
	if (c->task || !task)
		rust_another(c, tx);
	c->task = task;
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
	struct clew_rust_channel *c;
	struct clew_proc *p;
	__u64 task, slot, tx = PT_REGS_PARM1(ctx);
	__u8 reg;

	p = rust_place(ctx, &reg);
	if (!p)
		return 0;
	slot = rust_reg(ctx, reg);
	c = rust_known(tx);
	if (!c)
		c = rust_meet(tx);
	else if (!slot && c->used) /* its first message: another channel was here before */
		rust_another(c, tx);
	task = rust_task(p);
	if (!c || !task)
		return 0;
	c->used = 1;
	rust_edge(CLEW_EDGE_RUST_SEND, task, CLEW_RUST_MESSAGE(c->id, slot), c->task);
	return 0;
}

/* What is taken, if `rx`: if that moves on. */
static __always_inline void rust_note(struct clew_rust_channel *c, __u64 tx, __u64 slot, __u64 rx,
				      __u64 task)
{
	struct clew_thread *th;

	rust_taker(c, tx, task);
	th = task ? thread_of((__u32)bpf_get_current_pid_tgid(), true) : NULL;
	if (!th)
		return;
	th->rust_task = task;
	th->rust_message = CLEW_RUST_MESSAGE(c->id, slot);
	th->rust_rx = rx;
	th->rust_slot = slot;
	th->rust_waits = rust_waits(th);
}

/* A word of list::Tx counts the messages that were put in: more than were taken, not by much. */
static __always_inline bool rust_is_tx(__u64 tx, __u64 slot)
{
	return user_u64(tx) - slot - 1 < 1 << 24 || user_u64(tx + 8) - slot - 1 < 1 << 24;
}

/* list::Rx::pop, behind the store of the next index: a message has been taken. */
SEC("?uprobe")
int clew_rust_take(struct pt_regs *ctx)
{
	struct clew_rust_channel *c;
	struct clew_proc *p;
	__u64 rx, tx, slot;
	__u8 reg;

	p = rust_place(ctx, &reg);
	if (!p)
		return 0;
	rx = rust_reg(ctx, reg);
	tx = rx - (__s64)p->rust_away;
	slot = user_u64(rx + p->rust_index) - 1;
	c = rust_known(tx);
	if (!c && rust_is_tx(tx, slot))
		c = rust_meet(tx);
	if (c)
		rust_note(c, tx, slot, 0, rust_task(p));
	else
		count(CLEW_STAT_EDGE_UNRESOLVED);
	return 0;
}

/* list::Rx::pop(rx, tx), behind the address of the result where that is not in registers. */
SEC("?uprobe")
int clew_rust_pop(struct pt_regs *ctx)
{
	struct clew_rust_channel *c;
	struct clew_proc *p;
	__u64 rx, tx, task;
	__u8 reg;

	p = rust_place(ctx, &reg);
	task = p ? rust_task(p) : 0;
	if (!task)
		return 0;
	rx = rust_reg(ctx, reg);
	tx = rust_reg(ctx, reg == RUST_DI ? RUST_SI : RUST_DX); /* the next argument */
	c = rust_known(tx);
	if (!c)
		c = rust_meet(tx);
	if (c)
		rust_note(c, tx, user_u64(rx + p->rust_index), rx, task);
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
	struct clew_proc *p = rust_proc(CLEW_SET_RUST_JOIN);
	__u64 task = p ? rust_task(p) : 0, child;

	if (!task)
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
	struct clew_proc *p = rust_proc(CLEW_SET_RUST_JOIN);
	__u64 task, child;

	if (!p || !(user_u64(PT_REGS_PARM1(ctx)) & RUST_COMPLETE))
		return 0;
	task = rust_task(p);
	child = task ? rust_child(PT_REGS_PARM1(ctx), task) : 0;
	if (child)
		rust_edge(CLEW_EDGE_RUST_JOIN, task, child, 0);
	return 0;
}
