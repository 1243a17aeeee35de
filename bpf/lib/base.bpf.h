/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* base.bpf.h - counters, safe reads, event headers, and the process filter. */
#ifndef CLEW_BASE_BPF_H
#define CLEW_BASE_BPF_H

#include "../maps.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>

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

/* A word of the traced process; 0 when it cannot be read. */
static __always_inline __u64 user_u64(__u64 addr)
{
	__u64 v = 0;

	if (addr)
		bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

static __always_inline __u32 user_u32(__u64 addr)
{
	__u32 v = 0;

	if (addr)
		bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

/*
 * The filter that comes before anything else: the entry of the current process, or NULL when it
 * is not traced. `spare` is the entry that stands for processes nobody listed (trace_all).
 */
static __always_inline struct clew_proc *traced(__u32 tgid, struct clew_proc *spare)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);

	if (p)
		return p->flags & CLEW_PROC_EXCLUDED ? NULL : p;
	if (!config.trace_all)
		return NULL;
	__builtin_memset(spare, 0, sizeof(*spare));
	spare->flags = CLEW_PROC_THREADS;
	return spare;
}

static __always_inline void header(struct clew_event *h, __u8 type, __u16 size, __u32 turn)
{
	__u64 id = bpf_get_current_pid_tgid();

	h->version = CLEW_EVENT_VERSION;
	h->type = type;
	h->size = size;
	h->pid = id >> 32;
	h->tid = (__u32)id;
	h->turn = turn;
	h->ts = bpf_ktime_get_ns();
}

/*
 * Room for a fixed-size record, or NULL (counted). Every caller submits what it got. The pointer
 * is tested in one place only: older verifiers do not know a reserved record as non-NULL.
 */
#define RESERVE(type_) \
	({ \
		type_ *r_ = bpf_ringbuf_reserve(&events, sizeof(type_), 0); \
		if (!r_) \
			count_exact(CLEW_STAT_DROP_RING_FULL); \
		r_; \
	})

/* The agent polls by a timer: a wake-up costs more than the event. */
#define SUBMIT(rec) \
	do { \
		bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP); \
		count_exact(CLEW_STAT_EMITTED); \
	} while (0)

#endif
