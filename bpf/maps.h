/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* maps.h - the maps that all BPF programs share; maps.bpf.c defines them. */
#ifndef CLEW_MAPS_H
#define CLEW_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <clew/bpf.h>

/* Events to the agent. The size is set at load. */
struct clew_map_events {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
};

/* Traced (or excluded) processes: the first thing that every program asks. */
struct clew_map_procs {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct clew_proc);
};

/*
 * The same by the low bits of the pid: one load tells the rest of the machine that it is not
 * traced (slot empty) and most of the traced their entry (slot theirs); else `procs` is asked.
 */
struct clew_map_proc_cache {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLEW_PROC_SLOTS);
	__type(key, __u32);
	__type(value, struct clew_proc_slot);
};

/* Connections by socket. LRU: an entry that is evicted is met anew, never wrong. */
struct clew_map_conns {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct clew_kconn);
};

struct clew_map_threads {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct clew_thread);
};

/*
 * Python: PyContext -> the Task that it was made for. One place per hash: the later takes it, and
 * the reader checks what it finds, so neither a clash nor a race can do more than forget a Task.
 */
struct clew_map_py_tasks {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLEW_PY_TASKS);
	__type(key, __u32);
	__type(value, struct clew_py_task);
};

/* Hits of the probes inside a process; the agent makes the entry when it attaches them. */
struct clew_map_hits {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct clew_hits);
};

/* Python: the Task of the call that is under way on a connection. */
struct clew_map_py_calls {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct clew_py_call);
};

/* Go: goroutines that were started while somebody watched. LRU: what is evicted is not known. */
struct clew_map_go_born {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct clew_go_key);
	__type(value, struct clew_go_born);
};

/* Go: calls out that wait for their answer, of goroutines in go_born. */
struct clew_map_go_calls {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct clew_go_key);
	__type(value, struct clew_go_call);
};

/*
 * Node: the async functions that wait, by the address of their generator, and their numbers. The
 * collector moves generators: then a process's entries go from one map to the other.
 */
struct clew_node_key {
	__u64 gen;
	__u32 tgid;
	__u32 pad;
};

struct clew_map_node_insts {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct clew_node_key);
	__type(value, __u64);
};

/* Java: how to find who waits for a job; the agent makes the entry when it knows. */
struct clew_map_java_waits {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct clew_java_wait);
};

/* tokio: who takes a channel's messages. LRU: what is evicted is another channel from then on. */
struct clew_map_rust_channels {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct clew_rust_key);
	__type(value, struct clew_rust_channel);
};

struct clew_map_watch_ports {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u32);
};

struct clew_map_stats {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLEW_STAT_MAX);
	__type(key, __u32);
	__type(value, __u64);
};

extern struct clew_map_events events SEC(".maps");
extern struct clew_map_procs procs SEC(".maps");
extern struct clew_map_proc_cache proc_cache SEC(".maps");
extern struct clew_map_conns conns SEC(".maps");
extern struct clew_map_threads threads SEC(".maps");
extern struct clew_map_py_tasks py_tasks SEC(".maps");
extern struct clew_map_hits hits SEC(".maps");
extern struct clew_map_py_calls py_calls SEC(".maps");
extern struct clew_map_go_born go_born SEC(".maps");
extern struct clew_map_go_calls go_calls SEC(".maps");
extern struct clew_map_node_insts node_even SEC(".maps");
extern struct clew_map_node_insts node_odd SEC(".maps");
extern struct clew_map_java_waits java_waits SEC(".maps");
extern struct clew_map_rust_channels rust_channels SEC(".maps");
extern struct clew_map_watch_ports watch_ports SEC(".maps");
extern struct clew_map_stats stats SEC(".maps");

extern const volatile struct clew_bpf_config config;
extern volatile __u32 stopped;	  /* the agent drains: nothing new is reported */
extern struct clew_proc unlisted; /* of every process that nobody listed (trace_all) */
extern volatile __u32 watch;	  /* of event loops' waits, as clew_segment.watch */

#endif
