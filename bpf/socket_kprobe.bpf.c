/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * socket_kprobe.bpf.c - attach layer 2: kprobes, for kernels that have them but refuse fexit
 * (arm64 up to 6.4, for one).
 *
 * A return probe on a call that blocks is no way to see its end: the kernel has a fixed number of
 * instances of it (twice the processors), a thread that waits holds one, and the calls of all
 * others pass unseen. So the end of a call is seen where it gives back what it holds, and what
 * it moved is told by how far it came:
 *
 * - TCP: release_sock(). Every read and write locks the socket, and gives it back at its end and
 *   before each wait. With the lock still held, its sequence number and the caller's buffer tell
 *   exactly what this call has moved since the last look.
 * - Unix: the functions that move one buffer between queue and user (they do not wait, so a
 *   return probe on them is never short of instances). An end of stream moves nothing: it is seen
 *   by the next read when it begins, or, for a thread that waits in one, by the wake-up.
 *
 * accept() is seen where the new socket gets its owner, connect() of a Unix socket where the
 * kernel asks whether it may, an event loop's turn at the beginning of its wait.
 *
 * Return probes are left on unix_stream_sendpage, up to 6.4 only.
 */
#define CLEW_WORK_MAP	kprobe_work
#define CLEW_WORK_SLOTS 8
#include "lib/msghdr.bpf.h"
#include "lib/syscalls.bpf.h"

#define CLEW_MSG_PEEK 2 /* include/linux/socket.h */

/* What a thread's call needs at its end. It stays when the call is over: see tcp_moved(). */
struct call {
	__u64 sk; /* TCP: of the call; 0: none */
	__u64 so;
	__u64 msg;	/* 0: bytes that are never in user memory */
	__u64 left;	/* bytes that it may still move */
	__u32 seq;	/* position of the direction at the last look */
	__u8 dir;	/* enum clew_dir */
	__u8 want_eof;	/* a read that may return 0 */
	__u8 unix_open; /* a Unix function was entered and has not returned */
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384); /* set at load */
	__type(key, __u64);
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline struct call *call_of(__u64 id, bool make)
{
	struct call *call = bpf_map_lookup_elem(&calls, &id), zero = {};

	if (call || !make)
		return call;
	bpf_map_update_elem(&calls, &id, &zero, BPF_ANY);
	return bpf_map_lookup_elem(&calls, &id);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static __always_inline int tcp_enter(struct socket *so, struct msghdr *msg, __u8 dir, __u64 left,
				     bool want_eof)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct call *call;
	struct sock *sk;

	if (!traced(id >> 32))
		return 0;
	sk = KPTR(socket, so, sk);
	if (!sk || KREAD(sock, sk, sk_protocol) != CLEW_IPPROTO_TCP)
		return 0;
	call = call_of(id, true);
	if (!call) {
		count_exact(CLEW_STAT_MISSED);
		return 0;
	}
	call->sk = (__u64)sk;
	call->so = (__u64)so;
	call->msg = (__u64)msg;
	call->left = msg ? BPF_CORE_READ(msg, msg_iter.count) : left;
	call->seq = tcp_after(sk, dir);
	call->dir = dir;
	call->want_eof = want_eof;
	return 0;
}

/*
 * Bytes that the call moved since the last look: as many as its buffer was used, and not more
 * than the stream went on since then (another thread may have read or written before this one
 * had the lock). The second also guards against a call that is over: close() or setsockopt()
 * give back the socket too, and what then lies where the buffer was described means nothing.
 */
static __always_inline __u32 tcp_moved(struct call *call, struct sock *sk)
{
	__u32 seq = tcp_after(sk, call->dir), moved = seq - call->seq;
	struct msghdr *msg = (void *)call->msg;
	__u64 left, n = moved;
	__u8 state;

	if (!moved)
		return 0;
	if (call->dir == CLEW_SEND) { /* a FIN, too, moves the number on */
		state = KREAD(sock, sk, __sk_common.skc_state);
		if (state != CLEW_TCP_ESTABLISHED && state != CLEW_TCP_CLOSE_WAIT)
			return 0;
	}
	if (msg) {
		left = BPF_CORE_READ(msg, msg_iter.count);
		n = call->left - left;
		if (!n || n > moved)
			return 0;
		call->left = left;
	} else {
		if (n > call->left)
			n = call->left;
		call->left -= n;
	}
	call->seq = seq;
	return n;
}

/* The peer's FIN has come, and was read: a read that moved nothing returns 0. */
static __always_inline bool tcp_ended(const struct call *call, struct sock *sk)
{
	__u64 done = 1ULL << bpf_core_enum_value(enum sock_flags, SOCK_DONE);

	return call->want_eof && KREAD(sock, sk, __sk_common.skc_flags) & done &&
	       KREAD(tcp_sock, sk, copied_seq) == KREAD(tcp_sock, sk, rcv_nxt);
}

SEC("?kprobe/release_sock")
int BPF_KPROBE(clew_kp_release_sock, struct sock *sk)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct clew_proc *p = traced(id >> 32);
	struct call *call = p ? call_of(id, false) : NULL;
	__u32 n;

	if (!call || call->sk != (__u64)sk)
		return 0;
	n = tcp_moved(call, sk);
	if (n) {
		call->want_eof = 0;
	} else if (tcp_ended(call, sk)) {
		call->sk = 0;
	} else {
		return 0;
	}
	return socket_io(p, 0, (void *)call->so, (void *)call->msg, call->dir, n);
}

#define TCP_SEND(fn)                                                                               \
	SEC("?kprobe/" #fn)                                                                        \
	int BPF_KPROBE(clew_kp_##fn, struct socket *so, struct msghdr *msg)                        \
	{                                                                                          \
		return tcp_enter(so, msg, CLEW_SEND, 0, false);                                    \
	}
#define TCP_RECV(fn)                                                                               \
	SEC("?kprobe/" #fn)                                                                        \
	int BPF_KPROBE(clew_kp_##fn, struct socket *so, struct msghdr *msg, size_t len, int flags) \
	{                                                                                          \
		if (flags & CLEW_MSG_PEEK)                                                         \
			return 0;                                                                  \
		return tcp_enter(so, msg, CLEW_RECV, len, len > 0);                                \
	}

TCP_SEND(inet_sendmsg)
TCP_SEND(inet6_sendmsg)
TCP_RECV(inet_recvmsg)
TCP_RECV(inet6_recvmsg)

/* splice(2) from a socket, and sendfile(2) to one up to 6.4 */
SEC("?kprobe/tcp_splice_read")
int BPF_KPROBE(clew_kp_tcp_splice_read, struct socket *so, void *pos, void *pipe, size_t len)
{
	return tcp_enter(so, NULL, CLEW_RECV, len, false);
}

SEC("?kprobe/inet_sendpage")
int BPF_KPROBE(clew_kp_inet_sendpage, struct socket *so, void *page, int off, size_t len)
{
	return tcp_enter(so, NULL, CLEW_SEND, len, false);
}

/* ---- Unix streams ---------------------------------------------------------------------------- */

static __always_inline int unix_enter(struct socket *so, struct msghdr *msg, __u8 dir, __u64 len)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct call *call;

	if (!so || !traced(id >> 32))
		return 0;
	call = call_of(id, true);
	if (!call || call->unix_open) /* the kernel had no instance left for the last one */
		count_exact(CLEW_STAT_MISSED);
	if (!call)
		return 0;
	call->sk = 0;
	call->so = (__u64)so;
	call->msg = (__u64)msg;
	call->left = len;
	call->dir = dir;
	call->unix_open = 1;
	return 0;
}

enum {
	ALL_ON_ZERO = 1, /* returns 0 when all was moved, else how much */
	NO_BYTES = 2
}; /* what moves is never in user memory */

/* `slot`: every program has its own. */
static __always_inline int unix_leave(__u32 slot, long ret, int flags)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct call *call = call_of(id, false);
	struct clew_proc *p;

	if (!call || !call->unix_open)
		return 0;
	call->unix_open = 0;
	p = traced(id >> 32);
	if (flags & ALL_ON_ZERO && !ret)
		ret = call->left;
	if (!p || ret <= 0)
		return 0;
	return socket_io(p, slot, (void *)call->so, flags & NO_BYTES ? NULL : (void *)call->msg,
			 call->dir, ret);
}

/* The stream socket that a buffer is being sent from, or NULL; TCP's have no owner yet. */
static __always_inline struct socket *unix_sender(struct sk_buff *skb)
{
	struct sock *sk = KPTR(sk_buff, skb, sk);

	if (!sk || KREAD(sock, sk, __sk_common.skc_family) != CLEW_AF_UNIX ||
	    KREAD(sock, sk, sk_type) != CLEW_SOCK_STREAM)
		return NULL;
	return KPTR(sock, sk, sk_socket);
}

SEC("?kprobe/skb_copy_datagram_from_iter")
int BPF_KPROBE(clew_kp_unix_copy, struct sk_buff *skb, int off, struct iov_iter *from, int len)
{
	void *msg = (void *)from - bpf_core_field_offset(struct msghdr, msg_iter);

	return unix_enter(unix_sender(skb), msg, CLEW_SEND, len);
}

SEC("?kretprobe/skb_copy_datagram_from_iter")
int BPF_KRETPROBE(clew_kr_unix_copy, int ret)
{
	return unix_leave(1, ret, ALL_ON_ZERO);
}

/* sendfile(2) and splice(2) to a Unix socket: from 6.5, and up to 6.4 */
SEC("?kprobe/skb_splice_from_iter")
int BPF_KPROBE(clew_kp_unix_splice, struct sk_buff *skb)
{
	return unix_enter(unix_sender(skb), NULL, CLEW_SEND, 0);
}

SEC("?kretprobe/skb_splice_from_iter")
int BPF_KRETPROBE(clew_kr_unix_splice, long ret)
{
	return unix_leave(2, ret, NO_BYTES);
}

SEC("?kprobe/unix_stream_sendpage")
int BPF_KPROBE(clew_kp_unix_sendpage, struct socket *so)
{
	return unix_enter(so, NULL, CLEW_SEND, 0);
}

SEC("?kretprobe/unix_stream_sendpage")
int BPF_KRETPROBE(clew_kr_unix_sendpage, long ret)
{
	return unix_leave(3, ret, NO_BYTES);
}

SEC("?kprobe/unix_stream_read_actor")
int BPF_KPROBE(clew_kp_unix_read, void *skb, int skip, int chunk, struct unix_stream_read_state *s)
{
	if (BPF_CORE_READ(s, flags) & CLEW_MSG_PEEK)
		return 0;
	return unix_enter(BPF_CORE_READ(s, socket), BPF_CORE_READ(s, msg), CLEW_RECV, 0);
}

SEC("?kretprobe/unix_stream_read_actor")
int BPF_KRETPROBE(clew_kr_unix_read, int ret)
{
	return unix_leave(4, ret, 0);
}

SEC("?kprobe/unix_stream_splice_actor")
int BPF_KPROBE(clew_kp_unix_splice_read, void *skb, int skip, int chunk,
	       struct unix_stream_read_state *s)
{
	return unix_enter(BPF_CORE_READ(s, socket), NULL, CLEW_RECV, 0);
}

SEC("?kretprobe/unix_stream_splice_actor")
int BPF_KRETPROBE(clew_kr_unix_splice_read, int ret)
{
	return unix_leave(5, ret, NO_BYTES);
}

/* The peer will send no more, and all that it sent was read: a read returns 0 from now on. */
static __always_inline int unix_ended(__u32 slot, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct clew_segment *e;
	struct clew_kconn *c;
	struct work *w;

	if (!(KREAD(sock, sk, sk_shutdown) & CLEW_RCV_SHUTDOWN) || KREAD(sock, sk, sk_err) ||
	    KREAD(sock, sk, sk_receive_queue.qlen))
		return 0;
	c = bpf_map_lookup_elem(&conns, &key);
	if (!c || !c->announced || !conn_followed(c))
		return 0;
	w = work_of(slot);
	if (!w)
		return 0;
	__builtin_memset(&w->cut, 0, sizeof(w->cut));
	w->cut.id = bpf_get_current_pid_tgid();
	w->cut.conn_id = c->id;
	w->cut.seq = c->upos[CLEW_RECV];
	w->cut.flags = CLEW_SEG_EOF;
	w->cut.dir = CLEW_RECV;
	e = RESERVE(struct clew_segment);
	if (!e) {
		count(CLEW_STAT_DROP_SEGMENTS);
		return 0;
	}
	segment_fill(e, &w->cut, 0);
	SUBMIT(e);
	return 0;
}

SEC("?kprobe/unix_stream_recvmsg")
int BPF_KPROBE(clew_kp_unix_recvmsg, struct socket *so, void *msg, size_t len, int flags)
{
	if (!len || flags & CLEW_MSG_PEEK || !traced(bpf_get_current_pid_tgid() >> 32))
		return 0;
	return unix_ended(6, KPTR(socket, so, sk));
}

/* Runs in the process that closed its end: only the connection tells whether it is of interest. */
SEC("?kprobe/sock_def_wakeup")
int BPF_KPROBE(clew_kp_unix_wakeup, struct sock *sk)
{
	if (stopped || KREAD(sock, sk, __sk_common.skc_family) != CLEW_AF_UNIX)
		return 0;
	return unix_ended(7, sk);
}

/* ---- connections and turns ------------------------------------------------------------------- */

/* The new socket has no file yet, so no inode number: it is learnt at the first call. */
SEC("?kprobe/security_sock_graft")
int BPF_KPROBE(clew_kp_accepted, struct sock *sk)
{
	if (traced(bpf_get_current_pid_tgid() >> 32))
		conn_accepted(sk, 0);
	return 0;
}

SEC("?kprobe/security_unix_stream_connect")
int BPF_KPROBE(clew_kp_unix_connect, struct sock *sk)
{
	if (traced(bpf_get_current_pid_tgid() >> 32))
		conn_connecting(sk, BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino));
	return 0;
}

/* "_wait_": attached while a process needs it, see programs.c. */
static __always_inline int on_wait(struct pt_regs *regs, bool epoll)
{
	struct clew_proc *p = traced(bpf_get_current_pid_tgid() >> 32);

	if (p && !(epoll && waits_for_one(p, PT_REGS_PARM1_CORE_SYSCALL(regs),
					  PT_REGS_PARM3_CORE_SYSCALL(regs))))
		context_loop_turn(p);
	return 0;
}

SEC("?kprobe/" SYSCALL_FN "epoll_wait")
int BPF_KPROBE(clew_kp_wait_epoll, struct pt_regs *regs)
{
	return on_wait(regs, true);
}

SEC("?kprobe/" SYSCALL_FN "epoll_pwait")
int BPF_KPROBE(clew_kp_wait_epoll_pwait, struct pt_regs *regs)
{
	return on_wait(regs, true);
}

SEC("?kprobe/" SYSCALL_FN "epoll_pwait2")
int BPF_KPROBE(clew_kp_wait_epoll_pwait2, struct pt_regs *regs)
{
	return on_wait(regs, true);
}

/* poll for more than one descriptor */
SEC("?kprobe/" SYSCALL_FN "poll")
int BPF_KPROBE(clew_kp_wait_poll, struct pt_regs *regs)
{
	return PT_REGS_PARM2_CORE_SYSCALL(regs) > 1 ? on_wait(regs, false) : 0;
}

SEC("?kprobe/" SYSCALL_FN "ppoll")
int BPF_KPROBE(clew_kp_wait_ppoll, struct pt_regs *regs)
{
	return PT_REGS_PARM2_CORE_SYSCALL(regs) > 1 ? on_wait(regs, false) : 0;
}

/* select for any: the other layers, which come afterwards, cannot tell how many either */
static __always_inline int on_select(struct pt_regs *regs)
{
	struct clew_proc *p = traced(bpf_get_current_pid_tgid() >> 32);
	int n = PT_REGS_PARM1_CORE_SYSCALL(regs);

	if (p && n > 0 &&
	    !waits_for_listeners(p, n, PT_REGS_PARM2_CORE_SYSCALL(regs),
				 PT_REGS_PARM3_CORE_SYSCALL(regs)))
		context_loop_turn(p);
	return 0;
}

SEC("?kprobe/" SYSCALL_FN "select")
int BPF_KPROBE(clew_kp_wait_select, struct pt_regs *regs)
{
	return on_select(regs);
}

SEC("?kprobe/" SYSCALL_FN "pselect6")
int BPF_KPROBE(clew_kp_wait_pselect, struct pt_regs *regs)
{
	return on_select(regs);
}
