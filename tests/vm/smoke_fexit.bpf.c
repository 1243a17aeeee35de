/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* smoke_fexit.bpf.c - one fexit program and nothing else, for `bpftool prog loadall autoattach`. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("fexit/inet_sendmsg")
int smoke_fexit(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
