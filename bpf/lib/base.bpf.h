/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* base.bpf.h - counters, safe reads, event headers, and the process filter. */
#ifndef CLEW_BASE_BPF_H
#define CLEW_BASE_BPF_H

#include "../maps.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

/*
 * KREAD - one field of a kernel object at an address that the verifier knows nothing about. From
 * 6.2 on a plain load (bpf_rdonly_cast is no call; a bad address reads as 0), before that a
 * helper call, which costs ten times as much.
 */
#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
/* One name per object (libbpf drops what is behind "___"): the linker cannot merge such externs. */
#define rdonly_cast CAT(bpf_rdonly_cast___, CLEW_OBJECT)
extern void *rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

#define KREAD(type, addr, field)                                                                   \
	(bpf_ksym_exists(rdonly_cast)                                                              \
		 ? ((struct type *)rdonly_cast((const void *)(addr),                               \
					       bpf_core_type_id_kernel(struct type)))              \
			   ->field                                                                 \
		 : BPF_CORE_READ((struct type *)(addr), field))

/*
 * KPTR - likewise a field that is a pointer, as a number: the verifier would give it its type and
 * forbid to compute with it. So the word is read as if it were the first of a timespec64.
 */
#define KWORD(addr)                                                                                \
	((__u64)((struct timespec64 *)rdonly_cast((const void *)(addr),                            \
						  bpf_core_type_id_kernel(struct timespec64)))     \
		 ->tv_sec)
#define KPTR(type, addr, field)                                                                    \
	(bpf_ksym_exists(rdonly_cast)                                                              \
		 ? (void *)KWORD((__u64)(addr) + bpf_core_field_offset(struct type, field))        \
		 : (void *)BPF_CORE_READ((struct type *)(addr), field))

/*
 * FIELD - one field of a kernel object whose type the verifier does know: fexit hands out its
 * arguments typed, and what is reached from them is typed too. A plain load on every kernel, where
 * KREAD needs helper calls up to 6.1. Attach layers without types read as KREAD does.
 */
#if CLEW_TYPED
#define FIELD(type, ptr, field)	    ((ptr)->field)
#define FIELD_PTR(type, ptr, field) ((ptr)->field)
#else
#define FIELD(type, ptr, field)	    KREAD(type, ptr, field)
#define FIELD_PTR(type, ptr, field) KPTR(type, ptr, field)
#endif

/* What was put into a map before comes out of it as a number, which may be computed with. */
#define UNTYPED() asm volatile("" ::: "memory")

/* The current task as a typed object (5.11 on), read without a helper call for each field. */
#define TASK_TYPED bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf)
#define TASK_READ(field)                                                                           \
	(TASK_TYPED ? bpf_get_current_task_btf()->field                                            \
		    : BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), field))

/* The registers with which the current system call was entered, typed too (5.15 on). */
enum bpf_func_id___regs { BPF_FUNC_task_pt_regs___regs = 175 };
#define CALL_REGS_TYPED                                                                            \
	bpf_core_enum_value_exists(enum bpf_func_id___regs, BPF_FUNC_task_pt_regs___regs)
#define CALL_REGS ((struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf()))

static __always_inline void count(__u32 stat)
{
	__u64 *v = bpf_map_lookup_elem(&stats, &stat);

	if (v)
		(*v)++; /* per CPU; a lost update under preemption is possible and harmless */
}

/* The same where the ledger depends on it: programs may be preempted. */
static __always_inline void count_exact(__u32 stat)
{
	__u64 *v = bpf_map_lookup_elem(&stats, &stat);

	if (v)
		__sync_fetch_and_add(v, 1);
}

/* Every probe inside a process says first that it was hit: the cost governor counts on it. */
static __always_inline void count_hit(__u32 tgid, enum clew_probe_set set)
{
	struct clew_hits *h = bpf_map_lookup_elem(&hits, &tgid);

	if (h)
		h->n[set]++;
}

/*
 * A word of the traced process; 0 when it cannot be read. Functions, one name per object as for
 * rdonly_cast: what the verifier has proved once, it does not follow at each of the many calls.
 */
#define user_u64 CAT(user_u64_, CLEW_OBJECT)
#define user_u32 CAT(user_u32_, CLEW_OBJECT)

__noinline __u64 user_u64(__u64 addr)
{
	__u64 v = 0;

	if (addr)
		bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

__noinline __u32 user_u32(__u64 addr)
{
	__u32 v = 0;

	if (addr)
		bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

/* The slot is the process's while it is alone there. */
static __always_inline void proc_set(__u32 tgid, const struct clew_proc *proc)
{
	__u32 low = tgid % CLEW_PROC_SLOTS;
	struct clew_proc_slot *slot = bpf_map_lookup_elem(&proc_cache, &low);

	bpf_map_update_elem(&procs, &tgid, proc, BPF_ANY);
	if (!slot)
		return;
	if (slot->pid && slot->pid != tgid) {
		slot->pid = CLEW_SLOT_SHARED;
		return;
	}
	slot->proc = *proc;
	slot->pid = tgid;
}

static __always_inline void proc_del(__u32 tgid)
{
	__u32 low = tgid % CLEW_PROC_SLOTS;
	struct clew_proc_slot *slot = bpf_map_lookup_elem(&proc_cache, &low);

	if (slot && slot->pid == tgid)
		slot->pid = CLEW_SLOT_SHARED;
	bpf_map_delete_elem(&procs, &tgid);
}

/*
 * The filter that comes before anything else: the entry of the current process, or NULL when it
 * is not traced.
 */
static __always_inline struct clew_proc *traced(__u32 tgid)
{
	__u32 low = tgid % CLEW_PROC_SLOTS;
	struct clew_proc_slot *slot = bpf_map_lookup_elem(&proc_cache, &low);
	struct clew_proc *p;

	if (stopped)
		return NULL;
	if (slot && slot->pid == tgid)
		return slot->proc.flags & CLEW_PROC_EXCLUDED ? NULL : &slot->proc;
	if (!config.trace_all && (!slot || !slot->pid))
		return NULL;
	p = bpf_map_lookup_elem(&procs, &tgid);
	if (p)
		return p->flags & CLEW_PROC_EXCLUDED ? NULL : p;
	return config.trace_all ? &unlisted : NULL;
}

static __always_inline void header_of(struct clew_event *h, __u8 type, __u16 size, __u32 turn,
				      __u64 id)
{
	h->version = CLEW_EVENT_VERSION;
	h->type = type;
	h->size = size;
	h->pid = id >> 32;
	h->tid = (__u32)id;
	h->turn = turn;
	h->ts = bpf_ktime_get_ns();
}

static __always_inline void header(struct clew_event *h, __u8 type, __u16 size, __u32 turn)
{
	header_of(h, type, size, turn, bpf_get_current_pid_tgid());
}

/*
 * Room for a fixed-size record, or NULL (counted). Every caller submits what it got. The pointer
 * is tested in one place only: older verifiers do not know a reserved record as non-NULL.
 */
#define RESERVE(type_)                                                                             \
	({                                                                                         \
		type_ *r_ = NULL;                                                                  \
		if (!stopped) {                                                                    \
			r_ = bpf_ringbuf_reserve(&events, sizeof(type_), 0);                       \
			if (!r_)                                                                   \
				count_exact(CLEW_STAT_DROP_RING_FULL);                             \
		}                                                                                  \
		r_;                                                                                \
	})

/* The agent polls by a timer: a wake-up costs more than the event. */
#define SUBMIT(rec)                                                                                \
	do {                                                                                       \
		bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP);                                         \
		count_exact(CLEW_STAT_EMITTED);                                                    \
	} while (0)

#endif
