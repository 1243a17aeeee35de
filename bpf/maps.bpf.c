/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* maps.bpf.c - defines, once, what maps.h declares. */
#include "maps.h"

struct clew_map_events events SEC(".maps");
struct clew_map_procs procs SEC(".maps");
struct clew_map_proc_cache proc_cache SEC(".maps");
struct clew_map_conns conns SEC(".maps");
struct clew_map_threads threads SEC(".maps");
struct clew_map_py_tasks py_tasks SEC(".maps");
struct clew_map_hits hits SEC(".maps");
struct clew_map_py_calls py_calls SEC(".maps");
struct clew_map_go_born go_born SEC(".maps");
struct clew_map_go_calls go_calls SEC(".maps");
struct clew_map_node_insts node_even SEC(".maps");
struct clew_map_node_insts node_odd SEC(".maps");
struct clew_map_java_waits java_waits SEC(".maps");
struct clew_map_rust_channels rust_channels SEC(".maps");
struct clew_map_watch_ports watch_ports SEC(".maps");
struct clew_map_stats stats SEC(".maps");

const volatile struct clew_bpf_config config = {};
volatile __u32 stopped = 0;
volatile __u32 watch = 0;
struct clew_proc unlisted = {.flags = CLEW_PROC_THREADS};

char LICENSE[] SEC("license") = "Dual MIT/GPL";
