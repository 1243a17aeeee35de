/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * socket_rawtp.bpf.c - attach layer 3: raw tracepoints with typed arguments, for kernels without
 * kprobes and without fexit. While a call runs and at its exit the saved user registers hold its
 * arguments, so one hook suffices and nothing is kept per call.
 *
 * Two ways to the same capture:
 * - sock_send_length and sock_recv_length (6.3 on), with sys_exit for event loops' turns only
 *   when a traced process needs them. A hook on sys_exit sends every system call of the machine
 *   through the slow path (a tiny nginx answer: 9 % of its CPU); these cost socket calls alone.
 *   io_uring is seen, without its bytes.
 * - sys_exit for everything, where those are missing; io_uring is not seen.
 *
 *   on exit of a call that can move socket bytes, or wait for them:
 *     not ours: leave;  waited in an event loop: note the turn, leave
 *     descriptor -> file -> socket -> sock;  not a socket: leave
 *     find the user buffer;  capture
 */
#define CLEW_SEES_URING 1
#define CLEW_WORK_MAP	rawtp_work
#define CLEW_WORK_SLOTS 3
#include "lib/capture.bpf.h"
#include "lib/syscalls.bpf.h"

enum what {
	W_NONE,
	W_RECV,
	W_SEND,
	W_RECV_IOV,
	W_SEND_IOV,
	W_RECV_MSG,
	W_SEND_MSG,
	W_RECV_BLIND,
	W_SEND_BLIND,
	W_RECV_MMSG,
	W_SEND_MMSG,
	W_LOOP,
	W_POLL,
	W_SELECT,
	W_ACCEPT,
	W_CONNECT,
	W_SPLICE
};

static __always_inline enum what what_of(long nr)
{
	switch (nr) {
	case SYS_READ:
	case SYS_RECVFROM:
		return W_RECV;
	case SYS_WRITE:
	case SYS_SENDTO:
		return W_SEND;
	case SYS_READV:
		return W_RECV_IOV;
	case SYS_WRITEV:
		return W_SEND_IOV;
	case SYS_RECVMSG:
		return W_RECV_MSG;
	case SYS_SENDMSG:
		return W_SEND_MSG;
	case SYS_SENDFILE:
		return W_SEND_BLIND;
	case SYS_SPLICE:
		return W_SPLICE;
	case SYS_RECVMMSG:
		return W_RECV_MMSG;
	case SYS_SENDMMSG:
		return W_SEND_MMSG;
	case SYS_EPOLL_WAIT:
	case SYS_EPOLL_PWAIT:
	case SYS_EPOLL_PWAIT2:
		return W_LOOP;
	case SYS_POLL:
	case SYS_PPOLL:
		return W_POLL;
	case SYS_SELECT:
	case SYS_PSELECT6:
		return W_SELECT;
	case SYS_ACCEPT:
	case SYS_ACCEPT4:
		return W_ACCEPT;
	case SYS_CONNECT:
		return W_CONNECT;
	}
	return W_NONE;
}

/* struct msghdr of user space (64 bit): msg_iov at 16, msg_iovlen at 24. */
#define USER_MSG_IOV	16
#define USER_MSG_IOVLEN 24
/* struct mmsghdr: a msghdr of 56 bytes, msg_len at 56, 64 bytes in all */
#define USER_MMSG_LEN 56

/* The first buffers in one read where they lie together, which they nearly always do. */
static __always_inline void first_buffer(struct work *w, __u64 iov, __u64 nr)
{
	const __u32 one = sizeof(struct iovec);
	struct io *io = &w->io;

	if (nr > 1 && !bpf_probe_read_user(w->all, 3 * one, (void *)iov)) {
		if (nr > 3)
			bpf_probe_read_user(&w->all[3], sizeof(w->all) - 3 * one,
					    (void *)(iov + 3 * one));
		io->nr_iov = nr - 1 < CLEW_IOV_MAX ? nr - 1 : CLEW_IOV_MAX;
	} else if (!nr || bpf_probe_read_user(w->all, one, (void *)iov)) {
		return;
	}
	io->base = (__u64)w->first.iov_base;
	io->len = w->first.iov_len < io->ret ? w->first.iov_len : io->ret;
}

/* Several messages in one call: taken as one; the bytes of a single message are seen. */
static __always_inline void first_of_mmsg(struct work *w, __u64 vec, __u32 nr)
{
	__u32 total = 0;

	for (int i = 0; i < CLEW_IOV_MAX; i++)
		if ((__u32)i < nr)
			total += user_u32(vec + 64 * (__u64)i + USER_MMSG_LEN);
	w->io.ret = total;
	if (nr == 1)
		first_buffer(w, user_u64(vec + USER_MSG_IOV), user_u64(vec + USER_MSG_IOVLEN));
	else
		w->io.flags |= CLEW_SEG_NOBYTES;
}

static __always_inline int on_transfer(struct clew_proc *p, struct pt_regs *regs, enum what what,
				       long ret)
{
	bool send = what == W_SEND || what == W_SEND_IOV || what == W_SEND_MSG ||
		    what == W_SEND_BLIND || what == W_SEND_MMSG;
	struct work *w = work_of(0);
	__u64 a2 = SYS_ARG2(regs);
	struct clew_kconn *c;

	if (!w || ret < 0 || (ret == 0 && send))
		return 0;
	if (ret == 0 && what == W_RECV && !SYS_ARG3(regs))
		return 0;
	w->io.file = file_of_fd(SYS_ARG1(regs));
	w->io.sk = sock_of_file(w->io.file, &w->io.ino);
	if (!w->io.sk) {
		if (what != W_SPLICE || !ret)
			return 0;
		w->io.file = file_of_fd(SYS_ARG3(regs)); /* pipe -> socket */
		w->io.sk = sock_of_file(w->io.file, &w->io.ino);
		send = true;
		if (!w->io.sk)
			return 0;
	}
	w->io.dir = send ? CLEW_SEND : CLEW_RECV;
	w->io.ret = ret > 0x7fffffff ? 0x7fffffff : ret;
	c = capture_conn(p, w);
	if (!c)
		return 0;
	if (ret == 0) {
		w->io.flags = CLEW_SEG_EOF;
	} else if (what == W_RECV || what == W_SEND) {
		w->io.base = a2;
		w->io.len = w->io.ret;
	} else if (what == W_RECV_IOV || what == W_SEND_IOV) {
		first_buffer(w, a2, SYS_ARG3(regs));
	} else if (what == W_RECV_MSG || what == W_SEND_MSG) {
		first_buffer(w, user_u64(a2 + USER_MSG_IOV), user_u64(a2 + USER_MSG_IOVLEN));
	} else if (what == W_RECV_MMSG || what == W_SEND_MMSG) {
		first_of_mmsg(w, a2, ret);
	} else {
		w->io.flags = CLEW_SEG_NOBYTES;
	}
	return capture(p, w, c, w->io.sk);
}

/* MSG_PEEK leaves the bytes where they are: they will be read again. */
#define CLEW_MSG_PEEK 2
#if defined(__TARGET_ARCH_x86)
#define SYS_ARG4(regs) ((regs)->r10)
#else
#define SYS_ARG4(regs) ((regs)->regs[3])
#endif

static __always_inline bool is_peek(struct pt_regs *regs, long nr)
{
	if (nr == SYS_RECVFROM || nr == SYS_RECVMMSG)
		return SYS_ARG4(regs) & CLEW_MSG_PEEK;
	if (nr == SYS_RECVMSG)
		return SYS_ARG3(regs) & CLEW_MSG_PEEK;
	return false;
}

/* The user buffer of the call that is under way, if it is this socket's: io_uring and task work
 * come by here inside other calls. */
static __always_inline void buffer_of_call(struct work *w, bool send)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)bpf_task_pt_regs(t);
	enum what what = what_of(SYS_NR(regs));
	__u64 a2 = SYS_ARG2(regs);

	w->io.flags = CLEW_SEG_NOBYTES;
	if (what == W_NONE || t->flags & CLEW_PF_IO_WORKER)
		return;
	if (!w->io.file || file_of_fd(SYS_ARG1(regs)) != w->io.file)
		return;
	if (what == (send ? W_SEND : W_RECV)) {
		w->io.base = a2;
		w->io.len = w->io.ret;
	} else if (what == (send ? W_SEND_IOV : W_RECV_IOV)) {
		first_buffer(w, a2, SYS_ARG3(regs));
	} else if (what == (send ? W_SEND_MSG : W_RECV_MSG)) {
		first_buffer(w, user_u64(a2 + USER_MSG_IOV), user_u64(a2 + USER_MSG_IOVLEN));
	}
	if (w->io.base)
		w->io.flags = 0;
}

static __always_inline int on_length(__u32 slot, struct sock *sk, int ret, __u8 dir)
{
	struct clew_kconn *c;
	struct clew_proc *p;
	struct work *w;

	if (ret < 0 || (ret == 0 && dir == CLEW_SEND))
		return 0;
	p = traced(bpf_get_current_pid_tgid() >> 32);
	w = p ? work_of(slot) : NULL;
	if (!w)
		return 0;
	w->io.sk = sk;
	w->io.file = file_of_sock(sk, &w->io.ino);
	w->io.dir = dir;
	w->io.ret = ret;
	UNTYPED();
	c = capture_conn(p, w);
	if (!c)
		return 0;
	buffer_of_call(w, dir == CLEW_SEND);
	if (!ret)
		w->io.flags = CLEW_SEG_EOF;
	return capture(p, w, c, w->io.sk);
}

SEC("?tp_btf/sock_send_length")
int BPF_PROG(clew_rt_send, struct sock *sk, int ret, int flags)
{
	return on_length(1, sk, ret, CLEW_SEND);
}

SEC("?tp_btf/sock_recv_length")
int BPF_PROG(clew_rt_recv, struct sock *sk, int ret, int flags)
{
	return flags & CLEW_MSG_PEEK ? 0 : on_length(2, sk, ret, CLEW_RECV);
}

static __always_inline bool is_wait(enum what what)
{
	return what == W_LOOP || what == W_POLL || what == W_SELECT;
}

/* A wait for more than one thing at a time, or for nobody knows how many: select()'s sets tell
 * only what was ready by now. */
static __always_inline bool is_loop_wait(const struct clew_proc *p, struct pt_regs *regs,
					 enum what what)
{
	if (what == W_LOOP)
		return !waits_for_one(p, SYS_ARG1(regs), SYS_ARG3(regs));
	if (what == W_SELECT)
		return (int)SYS_ARG1(regs) > 0 &&
		       !waits_for_listeners(p, SYS_ARG1(regs), SYS_ARG2(regs), SYS_ARG3(regs));
	return SYS_ARG2(regs) > 1;
}

/* Event loops' turns alone. Attached when the first process that needs them is traced. */
SEC("?tp_btf/sys_exit")
int BPF_PROG(clew_rt_wait, struct pt_regs *regs, long ret)
{
	enum what what = what_of(SYS_NR(regs));
	struct clew_proc *p;

	if (!is_wait(what))
		return 0;
	p = traced(bpf_get_current_pid_tgid() >> 32);
	if (p && is_loop_wait(p, regs, what))
		context_loop_turn(p);
	return 0;
}

SEC("?tp_btf/sys_exit")
int BPF_PROG(clew_sys_exit, struct pt_regs *regs, long ret)
{
	struct clew_proc *p;
	long nr = SYS_NR(regs);
	enum what what = what_of(nr);

	if (what == W_NONE)
		return 0;
	p = traced(bpf_get_current_pid_tgid() >> 32);
	if (!p)
		return 0;
	if (is_wait(what)) {
		if (is_loop_wait(p, regs, what))
			context_loop_turn(p);
		return 0;
	}
	if (what == W_ACCEPT || what == W_CONNECT) {
		struct sock *sk;
		__u64 ino = 0;

		if (what == W_ACCEPT && ret < 0)
			return 0;
		sk = sock_of_file(file_of_fd(what == W_ACCEPT ? ret : SYS_ARG1(regs)), &ino);
		if (what == W_ACCEPT)
			conn_accepted(sk, ino);
		else if (!ret && sk && BPF_CORE_READ(sk, __sk_common.skc_family) == CLEW_AF_UNIX)
			conn_connecting(sk, ino); /* TCP: see process.bpf.c */
		return 0;
	}
	if (is_peek(regs, nr))
		return 0;
	return on_transfer(p, regs, what, ret);
}
