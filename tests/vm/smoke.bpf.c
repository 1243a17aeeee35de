/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * smoke.bpf.c - one small program for each way to attach that clew builds on. Each counts its
 * hits on TCP traffic in its own slot, so that smoke.c can tell a hook that attached from a hook
 * that fires: on some kernels a program attaches and never runs.
 *
 * It stands on its own, without the tree's kernel types, so that it tells a broken guest from a
 * broken clew. Only CO-RE is tried with a type: the socket's family, at whatever offset.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "smoke.h"

struct sock_common {
	unsigned short skc_family;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
} __attribute__((preserve_access_index));

struct socket {
	struct sock *sk;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SMOKE_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} ring SEC(".maps");

const volatile __u32 only_tgid;

static __always_inline int count(__u32 slot)
{
	__u64 *value = bpf_map_lookup_elem(&hits, &slot);

	if (value && bpf_get_current_pid_tgid() >> 32 == only_tgid)
		__sync_fetch_and_add(value, 1);
	return 0;
}

SEC("fexit/inet_sendmsg")
int BPF_PROG(smoke_fexit, struct socket *sock, void *msg, unsigned long size, int ret)
{
	__u32 *record;

	count(SMOKE_FEXIT);
	if (sock->sk->__sk_common.skc_family != SMOKE_AF_INET || ret <= 0)
		return 0;
	count(SMOKE_CORE);
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record)
		return 0;
	*record = ret;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return count(SMOKE_RING);
}

SEC("kprobe/inet_recvmsg")
int BPF_KPROBE(smoke_kprobe)
{
	return count(SMOKE_KPROBE);
}

SEC("kretprobe/inet_recvmsg")
int BPF_KRETPROBE(smoke_kretprobe)
{
	return count(SMOKE_KRETPROBE);
}

SEC("raw_tp/sys_exit")
int smoke_raw_tp(void *ctx)
{
	return count(SMOKE_RAW_TP);
}

SEC("tp_btf/inet_sock_set_state")
int smoke_tp_btf(void *ctx)
{
	return count(SMOKE_TP_BTF);
}

SEC("tracepoint/syscalls/sys_enter_connect")
int smoke_tracepoint(void *ctx)
{
	return count(SMOKE_TRACEPOINT);
}

SEC("uprobe")
int BPF_KPROBE(smoke_uprobe)
{
	return count(SMOKE_UPROBE);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
