/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * socket_fexit.bpf.c - attach layer 1: fexit alone, the cheapest where the kernel has it. Sees
 * every way to the socket, io_uring and in-kernel users included. The agent attaches those of
 * the programs whose function the running kernel has.
 */
#define CLEW_WORK_MAP	fexit_work
#define CLEW_WORK_SLOTS 10
#define CLEW_TYPED	1
#include "lib/msghdr.bpf.h"
#include "lib/syscalls.bpf.h"

#define CLEW_MSG_PEEK 2

/* `slot`: every program has its own. */
static __always_inline int on_exit(__u32 slot, struct socket *so, struct msghdr *msg, __u8 dir,
				   long ret)
{
	struct clew_proc *p;

	if (ret < 0 || (ret == 0 && dir == CLEW_SEND))
		return 0;
	p = traced(bpf_get_current_pid_tgid() >> 32);
	return p ? socket_io(p, slot, so, msg, dir, ret) : 0;
}

#define SEND(fn, slot)                                                                             \
	SEC("?fexit/" #fn)                                                                         \
	int BPF_PROG(clew_fx_##fn, struct socket *so, struct msghdr *msg, size_t len, int ret)     \
	{                                                                                          \
		return on_exit(slot, so, msg, CLEW_SEND, ret);                                     \
	}
#define RECV(fn, slot)                                                                             \
	SEC("?fexit/" #fn)                                                                         \
	int BPF_PROG(clew_fx_##fn, struct socket *so, struct msghdr *msg, size_t len, int flags,   \
		     int ret)                                                                      \
	{                                                                                          \
		if (flags & CLEW_MSG_PEEK || (!ret && !len))                                       \
			return 0;                                                                  \
		return on_exit(slot, so, msg, CLEW_RECV, ret);                                     \
	}

SEND(inet_sendmsg, 0)
SEND(inet6_sendmsg, 1)
SEND(unix_stream_sendmsg, 2)
RECV(inet_recvmsg, 3)
RECV(inet6_recvmsg, 4)
RECV(unix_stream_recvmsg, 5)

/* splice(2) from a socket, and sendfile(2) to one up to 6.4: bytes that are never in user memory */
SEC("?fexit/tcp_splice_read")
int BPF_PROG(clew_fx_tcp_splice_read, struct socket *so, void *pos, void *pipe, size_t len,
	     unsigned int flags, long ret)
{
	return ret ? on_exit(6, so, NULL, CLEW_RECV, ret) : 0;
}

SEC("?fexit/unix_stream_splice_read")
int BPF_PROG(clew_fx_unix_splice_read, struct socket *so, void *pos, void *pipe, size_t len,
	     unsigned int flags, long ret)
{
	return ret ? on_exit(7, so, NULL, CLEW_RECV, ret) : 0;
}

SEC("?fexit/inet_sendpage")
int BPF_PROG(clew_fx_inet_sendpage, struct socket *so, void *page, int off, size_t len, int flags,
	     long ret)
{
	return on_exit(8, so, NULL, CLEW_SEND, ret);
}

SEC("?fexit/unix_stream_sendpage")
int BPF_PROG(clew_fx_unix_sendpage, struct socket *so, void *page, int off, size_t len, int flags,
	     long ret)
{
	return on_exit(9, so, NULL, CLEW_SEND, ret);
}

/* accept(2): the new socket has no file yet, so no inode number: it is learnt at the first call */
static __always_inline int on_accept(struct socket *newso)
{
	struct sock *sk = BPF_CORE_READ(newso, sk);

	if (sk && traced(bpf_get_current_pid_tgid() >> 32))
		conn_accepted(sk, 0);
	return 0;
}

SEC("?fexit/inet_accept")
int BPF_PROG(clew_fx_inet_accept, struct socket *so, struct socket *newso)
{
	return on_accept(newso);
}

SEC("?fexit/unix_accept")
int BPF_PROG(clew_fx_unix_accept, struct socket *so, struct socket *newso)
{
	return on_accept(newso);
}

SEC("?fexit/unix_stream_connect")
int BPF_PROG(clew_fx_unix_connect, struct socket *so, void *addr, int len, int flags, int ret)
{
	if (!ret && traced(bpf_get_current_pid_tgid() >> 32))
		conn_connecting(BPF_CORE_READ(so, sk), BPF_CORE_READ(so, file, f_inode, i_ino));
	return 0;
}

/* "_wait_": attached while a process needs it, see programs.c. The event loop's wait returned:
 * behind epoll_wait and its kin. Its arguments come as they are; 5.10 does not let a program look
 * into the registers that the system calls are given. */
SEC("?fexit/do_epoll_wait")
int BPF_PROG(clew_fx_wait_epoll, int epfd, void *events, int max)
{
	struct clew_proc *p = traced(bpf_get_current_pid_tgid() >> 32);

	if (p && !waits_for_one(p, epfd, max))
		context_loop_turn(p);
	return 0;
}

static __always_inline int on_wait(bool loop)
{
	struct clew_proc *p = loop ? traced(bpf_get_current_pid_tgid() >> 32) : NULL;

	if (p)
		context_loop_turn(p);
	return 0;
}

/* for more than one descriptor */
SEC("?fexit/" SYSCALL_FN "poll")
int BPF_PROG(clew_fx_wait_poll, struct pt_regs *regs)
{
	return on_wait(SYS_ARG2(regs) > 1);
}

SEC("?fexit/" SYSCALL_FN "ppoll")
int BPF_PROG(clew_fx_wait_ppoll, struct pt_regs *regs)
{
	return on_wait(SYS_ARG2(regs) > 1);
}

/* How many these wait for cannot be told afterwards; none: a sleep. */
static __always_inline int on_select(int n, __u64 in, __u64 out)
{
	struct clew_proc *p = n > 0 ? traced(bpf_get_current_pid_tgid() >> 32) : NULL;

	if (p && !waits_for_listeners(p, n, in, out))
		context_loop_turn(p);
	return 0;
}

SEC("?fexit/" SYSCALL_FN "select")
int BPF_PROG(clew_fx_wait_select, struct pt_regs *regs)
{
	return on_select(SYS_ARG1(regs), SYS_ARG2(regs), SYS_ARG3(regs));
}

SEC("?fexit/" SYSCALL_FN "pselect6")
int BPF_PROG(clew_fx_wait_pselect, struct pt_regs *regs)
{
	return on_select(SYS_ARG1(regs), SYS_ARG2(regs), SYS_ARG3(regs));
}
