/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf_helpers.h - stands in for libbpf's header of that name, so that bpf/lib compiles as an
 * ordinary program: helpers are functions of tests/native/kernel.h, maps are objects whose
 * address is their name. Nothing of CO-RE is left: a kernel type is as vmlinux.h has it.
 */
#ifndef CLEW_NATIVE_BPF_HELPERS_H
#define CLEW_NATIVE_BPF_HELPERS_H

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) __typeof__(value) *name
#undef __always_inline
#undef __noinline
#undef __weak
#define __always_inline inline __attribute__((always_inline))
#define __noinline	__attribute__((noinline))
#define __weak		__attribute__((weak))
#define __ksym

/* The helper call, which any kernel has, never the cast of 6.2 on. */
#define bpf_ksym_exists(symbol) 0

void *bpf_map_lookup_elem(void *map, const void *key);
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
long bpf_map_delete_elem(void *map, const void *key);
long bpf_probe_read_user(void *to, __u32 n, const void *from);
long bpf_probe_read_kernel(void *to, __u32 n, const void *from);
void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags);
void bpf_ringbuf_submit(void *record, __u64 flags);
long bpf_ringbuf_output(void *ring, void *data, __u64 size, __u64 flags);
__u64 bpf_get_current_task(void);
struct task_struct *bpf_get_current_task_btf(void);
long bpf_task_pt_regs(struct task_struct *task);
__u64 bpf_get_current_pid_tgid(void);
__u64 bpf_ktime_get_ns(void);

#endif
