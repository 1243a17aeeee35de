/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * socket_kprobe.bpf.c - attach layer 2: kprobe and kretprobe on the same functions as layer 1,
 * for kernels that have kprobes but refuse fexit. The entry keeps what the return needs.
 */
#define CLEW_WORK_MAP	kprobe_work
#define CLEW_WORK_SLOTS 10
#include "lib/msghdr.bpf.h"
#include "lib/syscalls.bpf.h"

#define CLEW_MSG_PEEK 2

struct call {
	__u64 so, msg;
	__u8 dir, want_eof;
	__u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline int enter(struct socket *so, struct msghdr *msg, __u8 dir, bool want_eof)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct clew_proc spare;
	struct call call = {.so = (__u64)so, .msg = (__u64)msg, .dir = dir, .want_eof = want_eof};

	if (traced(id >> 32, &spare))
		bpf_map_update_elem(&calls, &id, &call, BPF_ANY);
	return 0;
}

/* `slot`: every program has its own. */
static __always_inline int leave(__u32 slot, long ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&calls, &id), call;
	struct clew_proc spare, *p;

	if (!found)
		return 0;
	call = *found;
	bpf_map_delete_elem(&calls, &id);
	p = traced(id >> 32, &spare);
	if (!p || ret < 0 || (ret == 0 && !call.want_eof))
		return 0;
	return socket_io(p, slot, (void *)call.so, (void *)call.msg, call.dir, ret);
}

#define LEAVE(fn, slot)                                                                            \
	SEC("?kretprobe/" #fn)                                                                     \
	int BPF_KRETPROBE(clew_kr_##fn, int ret)                                                   \
	{                                                                                          \
		return leave(slot, ret);                                                           \
	}
#define SEND(fn, slot)                                                                             \
	SEC("?kprobe/" #fn)                                                                        \
	int BPF_KPROBE(clew_kp_##fn, struct socket *so, struct msghdr *msg)                        \
	{                                                                                          \
		return enter(so, msg, CLEW_SEND, false);                                           \
	}                                                                                          \
	LEAVE(fn, slot)
#define RECV(fn, slot)                                                                             \
	SEC("?kprobe/" #fn)                                                                        \
	int BPF_KPROBE(clew_kp_##fn, struct socket *so, struct msghdr *msg, size_t len, int flags) \
	{                                                                                          \
		if (flags & CLEW_MSG_PEEK)                                                         \
			return 0;                                                                  \
		return enter(so, msg, CLEW_RECV, len > 0);                                         \
	}                                                                                          \
	LEAVE(fn, slot)
#define BLIND(fn, dir, slot)                                                                       \
	SEC("?kprobe/" #fn)                                                                        \
	int BPF_KPROBE(clew_kp_##fn, struct socket *so)                                            \
	{                                                                                          \
		return enter(so, NULL, dir, false);                                                \
	}                                                                                          \
	LEAVE(fn, slot)

SEND(inet_sendmsg, 0)
SEND(inet6_sendmsg, 1)
SEND(unix_stream_sendmsg, 2)
RECV(inet_recvmsg, 3)
RECV(inet6_recvmsg, 4)
RECV(unix_stream_recvmsg, 5)
BLIND(tcp_splice_read, CLEW_RECV, 6)
BLIND(unix_stream_splice_read, CLEW_RECV, 7)
BLIND(inet_sendpage, CLEW_SEND, 8)
BLIND(unix_stream_sendpage, CLEW_SEND, 9)

#define KEEP(fn, arg)                                                                              \
	SEC("?kprobe/" #fn)                                                                        \
	int BPF_KPROBE(clew_kp_##fn, struct socket *so, struct socket *other)                      \
	{                                                                                          \
		return enter(arg, NULL, 0, false);                                                 \
	}
#define DONE(fn, body)                                                                             \
	SEC("?kretprobe/" #fn)                                                                     \
	int BPF_KRETPROBE(clew_kr_##fn, int ret)                                                   \
	{                                                                                          \
		__u64 id = bpf_get_current_pid_tgid();                                             \
		struct call *c = bpf_map_lookup_elem(&calls, &id);                                 \
		struct socket *so = c ? (void *)c->so : NULL;                                      \
		if (!c)                                                                            \
			return 0;                                                                  \
		bpf_map_delete_elem(&calls, &id);                                                  \
		if (!ret)                                                                          \
			body;                                                                      \
		return 0;                                                                          \
	}

KEEP(inet_accept, other)
DONE(inet_accept, conn_accepted(BPF_CORE_READ(so, sk), 0))
KEEP(unix_accept, other)
DONE(unix_accept, conn_accepted(BPF_CORE_READ(so, sk), 0))
KEEP(unix_stream_connect, so)
DONE(unix_stream_connect,
     conn_connecting(BPF_CORE_READ(so, sk), BPF_CORE_READ(so, file, f_inode, i_ino)))

static __always_inline int on_wait(void)
{
	struct clew_proc spare, *p = traced(bpf_get_current_pid_tgid() >> 32, &spare);

	if (p)
		context_loop_turn(p);
	return 0;
}

SEC("?kretprobe/__x64_sys_epoll_wait")
int BPF_KRETPROBE(clew_kr_epoll_wait)
{
	return on_wait();
}

SEC("?kretprobe/__x64_sys_epoll_pwait")
int BPF_KRETPROBE(clew_kr_epoll_pwait)
{
	return on_wait();
}

SEC("?kretprobe/__x64_sys_epoll_pwait2")
int BPF_KRETPROBE(clew_kr_epoll_pwait2)
{
	return on_wait();
}

/* poll: the wait for more than one descriptor marks a loop already when it begins */
SEC("?kprobe/__x64_sys_poll")
int BPF_KPROBE(clew_kp_poll, struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, si) > 1 ? on_wait() : 0;
}

SEC("?kprobe/__x64_sys_ppoll")
int BPF_KPROBE(clew_kp_ppoll, struct pt_regs *regs)
{
	return BPF_CORE_READ(regs, si) > 1 ? on_wait() : 0;
}
