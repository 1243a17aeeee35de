/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* conn.bpf.h - connections: meet, classify once, announce, leave the uninteresting alone. */
#ifndef CLEW_CONN_BPF_H
#define CLEW_CONN_BPF_H

#include "base.bpf.h"

#define CLEW_AF_UNIX	  1
#define CLEW_AF_INET	  2
#define CLEW_AF_INET6	  10
#define CLEW_SOCK_STREAM  1
#define CLEW_IPPROTO_TCP  6
#define CLEW_RCV_SHUTDOWN 1 /* include/net/sock.h */

enum { /* include/net/tcp_states.h; from TIME_WAIT on the peer's FIN may have come */
       CLEW_TCP_ESTABLISHED = 1,
       CLEW_TCP_SYN_SENT = 2,
       CLEW_TCP_FIN_WAIT1 = 4,
       CLEW_TCP_TIME_WAIT = 6,
       CLEW_TCP_CLOSE = 7,
       CLEW_TCP_CLOSE_WAIT = 8,
       CLEW_TCP_LAST_ACK = 9,
       CLEW_TCP_LISTEN = 10,
       CLEW_TCP_CLOSING = 11,
};

/* Unique for the life of the agent: the socket's address and the moment it was met, mixed. */
static __always_inline __u64 conn_make_id(__u64 sk)
{
	__u64 x = bpf_ktime_get_ns() + sk * 0x9e3779b97f4a7c15ULL;

	x ^= x >> 31;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 29;
	return x ? x : 1;
}

static __always_inline void conn_emit_close(__u64 id, __u32 reason)
{
	struct clew_conn_close *e = RESERVE(struct clew_conn_close);

	if (!e)
		return;
	header(&e->h, CLEW_EV_CONN_CLOSE, sizeof(*e), 0);
	e->conn_id = id;
	e->reason = reason;
	e->pad = 0;
	SUBMIT(e);
}

static __always_inline void conn_fill_addr(struct clew_conn_open *e, struct sock *sk)
{
	e->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	e->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (e->family == CLEW_AF_INET) {
		__u32 a = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		__u32 b = BPF_CORE_READ(sk, __sk_common.skc_daddr);

		__builtin_memcpy(e->local_addr, &a, sizeof(a));
		__builtin_memcpy(e->remote_addr, &b, sizeof(b));
	} else if (bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		BPF_CORE_READ_INTO(&e->local_addr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&e->remote_addr, sk, __sk_common.skc_v6_daddr);
	}
}

/* Where the stream stands in both directions before the call that moves `dir`, from `seq` on. */
static __always_inline void conn_fill_seq(struct clew_conn_open *e, const struct clew_kconn *c,
					  struct sock *sk, __u8 dir, __u32 seq)
{
	__u32 other;

	if (c->family == CLEW_AF_UNIX)
		other = c->upos[!dir];
	else if (dir == CLEW_SEND)
		other = KREAD(tcp_sock, sk, copied_seq);
	else
		other = KREAD(tcp_sock, sk, write_seq);
	e->seq[CLEW_SEND] = dir == CLEW_SEND ? seq : other;
	e->seq[CLEW_RECV] = dir == CLEW_SEND ? other : seq;
	e->has_seq = 1;
}

/* Tell the agent about the connection, before the segment in `dir` at `seq`; tried again at the
 * next segment when the ring is full. */
static __always_inline bool conn_announce(struct clew_kconn *c, struct sock *sk, __u8 dir,
					  __u32 seq)
{
	struct clew_conn_open *e;

	if (c->announced)
		return true;
	e = RESERVE(struct clew_conn_open);
	if (!e)
		return false;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_CONN_OPEN, sizeof(*e), 0);
	e->conn_id = c->id;
	e->sk = (__u64)sk;
	e->opened_ts = c->opened_ts;
	e->family = c->family;
	e->role = c->role;
	e->from_start = c->from_start;
	e->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (c->family == CLEW_AF_UNIX)
		e->peer_sk = (__u64)BPF_CORE_READ((struct unix_sock *)sk, peer);
	else
		conn_fill_addr(e, sk);
	conn_fill_seq(e, c, sk, dir, seq);
	SUBMIT(e);
	c->announced = 1;
	return true;
}

/* A socket met for the first time. Anything but a TCP or Unix stream is ignored from then on. */
static __noinline struct clew_kconn *conn_new(__u64 key, __u64 ino)
{
	struct sock *sk = (void *)key;
	struct clew_kconn c = {};

	c.id = conn_make_id(key);
	c.ino = ino;
	c.last_dir = 0xff;
	c.family = KREAD(sock, sk, __sk_common.skc_family);
	if (c.family == CLEW_AF_INET || c.family == CLEW_AF_INET6) {
		if (BPF_CORE_READ(sk, sk_protocol) != CLEW_IPPROTO_TCP)
			c.class = CLEW_CLASS_IGNORED;
	} else if (c.family != CLEW_AF_UNIX || BPF_CORE_READ(sk, sk_type) != CLEW_SOCK_STREAM) {
		c.class = CLEW_CLASS_IGNORED;
	}
	bpf_map_update_elem(&conns, &key, &c, BPF_ANY);
	return bpf_map_lookup_elem(&conns, &key);
}

/* The entry of a socket; a reused address or a forgotten socket begins a new one. */
static __always_inline struct clew_kconn *conn_get(struct sock *sk, __u64 ino)
{
	__u64 key = (__u64)sk;
	struct clew_kconn *c = bpf_map_lookup_elem(&conns, &key);

	if (c && !c->ino)
		c->ino = ino; /* met at connect(), before its file was known */
	if (c && c->ino == ino)
		return c;
	if (c && c->announced)
		conn_emit_close(c->id, CLEW_CLOSE_REUSED);
	return conn_new(key, ino);
}

/* accept() returned a connection: every byte of it will be seen. */
static __always_inline void conn_accepted(struct sock *sk, __u64 ino)
{
	struct clew_kconn *c = sk ? conn_get(sk, ino) : NULL;

	if (c && c->last_dir == 0xff) {
		c->from_start = 1;
		c->role = CLEW_ROLE_SERVER;
	}
}

static __always_inline void conn_connecting(struct sock *sk, __u64 ino)
{
	struct clew_kconn *c = sk ? conn_get(sk, ino) : NULL;

	if (c && c->last_dir == 0xff) {
		c->from_start = 1;
		c->role = CLEW_ROLE_CLIENT;
		c->opened_ts = bpf_ktime_get_ns();
	}
}

static __always_inline bool conn_followed(const struct clew_kconn *c)
{
	return c->class >= CLEW_CLASS_HTTP;
}

enum sign { SIGN_NONE, SIGN_REQUEST, SIGN_RESPONSE };

/*
 * Do these first (up to eight) bytes look like the start of a message that is followed? HTTP/1: a
 * method is an uppercase token (RFC 9110 9.1 registers no other); "PRI * HTTP/2.0" is HTTP/2's
 * preface. Generous here, exact in the parser: it tells the kernel to leave what it refuses.
 */
static __always_inline enum sign classify(__u64 w, __u32 n)
{
	/* FastCGI: the header of BEGIN_REQUEST (1.0, 8), whatever its id and padding */
	if (n >= 8 && (w & 0xff00ffff0000ffffULL) == 0x0000080000000101ULL)
		return SIGN_REQUEST;
#pragma unroll
	for (int i = 0; i < 2; i++) { /* an empty line may stand before it (RFC 9112 2.2) */
		__u8 ch = (__u8)w;

		if (n && (ch == '\r' || ch == '\n')) {
			w >>= 8;
			n--;
		}
	}
	if (n >= 5 && (w & 0xffffffffffULL) == 0x2f50545448ULL) /* "HTTP/" */
		return SIGN_RESPONSE;
	if (n >= 4 && (w & 0xffffffffULL) == 0x20495250ULL) /* "PRI " */
		return SIGN_NONE;
	if (n > 4)
		n = 4;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u8 ch = (__u8)(w >> (8 * i));

		if ((__u32)i >= n)
			break;
		if (i >= 3 && ch == ' ')
			return SIGN_REQUEST;
		if (!((ch >= 'A' && ch <= 'Z') || (i > 0 && ch == '-')))
			return SIGN_NONE;
	}
	return n ? SIGN_REQUEST : SIGN_NONE;
}

#endif
