/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * capture.bpf.h - the capture core, the same under all three attach layers.
 *
 * One finished socket call comes in as struct io; it becomes no event (another protocol) or one
 * segment event. In order of cost: process
 * filter (done by the caller), connection, class, and only then a copy of the head's bytes.
 *
 *   if the connection is ignored: leave (capture_conn; the layer then looks for the bytes)
 *   if the direction flipped: look at eight bytes, refill the copy budget
 *   if the class is unknown and no message starts here: leave (for good after a few flips)
 *   announce the connection once; copy what the budget allows; submit
 *
 * A TCP position is the sequence number in tcp_sock after the call, less what the call moved:
 * true on both ends, also for connections older than the agent, and after any loss.
 */
#ifndef CLEW_CAPTURE_BPF_H
#define CLEW_CAPTURE_BPF_H

#include "conn.bpf.h"
#include "context.bpf.h"
#include "haproxy.bpf.h"
#include "python.bpf.h"
#include "node.bpf.h"

#define CLEW_IOV_MAX	8   /* buffers that are walked to find a call's end */
#define CLEW_SMALL	512 /* a call of at most so many bytes is copied whole */
#define CLEW_GATHER_IOV 4   /* buffers behind the first that a head may go on in */

struct io {
	struct sock *sk;
	struct file *file; /* may be NULL */
	__u64 ino;
	__u64 base;   /* first buffer; 0: the bytes cannot be seen */
	__u32 len;    /* bytes in it that this call moved */
	__u32 nr_iov; /* how many of work.iov are filled */
	__u32 ret;    /* bytes that the call moved in all */
	__u16 flags;
	__u8 dir;
};

/* The segment that the call becomes. */
struct cut {
	struct context who;
	__u64 id; /* of the current thread */
	__u64 conn_id;
	__u64 base;
	__u32 len;    /* true bytes of this piece */
	__u32 n;      /* of them to copy, <= len and <= CLEW_CAP_MAX */
	__u32 budget; /* may still be copied in this direction */
	__u64 tail;   /* where its last bytes are, 0: unknown */
	__u32 tail_n;
	__u32 seq;
	__u16 flags;
	__u8 dir;
	__u8 scattered; /* the head goes on behind the first buffer */
};

/*
 * The work of one call lies in a map, per processor and program, not on the stack: the verifier
 * does not follow what is in it, and so does not walk every combination of its values (300,000
 * steps on the stack, 10,000 here). No program is entered twice on one processor: the kernel
 * counts such a call as missed.
 */
struct work {
	struct io io;
	struct cut cut;
	union {
		struct iovec all[1 + CLEW_IOV_MAX];
		struct {
			struct iovec first;
			struct iovec iov[CLEW_IOV_MAX]; /* the buffers after the first */
		};
	};
	/* A segment; twice the room, because the verifier bounds offset and length apart. */
	__u64 gathered[(sizeof(struct clew_segment) + 2 * CLEW_SMALL) / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLEW_WORK_SLOTS);
	__type(key, __u32);
	__type(value, struct work);
} CLEW_WORK_MAP SEC(".maps");

static __always_inline struct work *work_of(__u32 slot)
{
	struct work *w = bpf_map_lookup_elem(&CLEW_WORK_MAP, &slot);

	if (w) {
		w->io.flags = 0;
		w->io.base = 0;
		w->io.len = 0;
		w->io.nr_iov = 0;
		w->io.ino = 0;
	}
	return w;
}

static __always_inline void set_tail(struct cut *cut, __u64 end, __u32 n)
{
	cut->tail_n = n < CLEW_TAIL_MAX ? n : CLEW_TAIL_MAX;
	cut->tail = end - cut->tail_n;
}

/* Where the call's last bytes are: in the only buffer, or in the last one that was moved. */
static __always_inline void find_tail(struct work *w)
{
	struct io *io = &w->io;
	__u32 done = io->len;

	if (!io->base)
		return;
	if (io->len >= io->ret) {
		set_tail(&w->cut, io->base + io->len, io->len);
		return;
	}
#pragma clang loop unroll(disable)
	for (int i = 0; i < CLEW_IOV_MAX; i++) {
		struct iovec *v = &w->iov[i];

		if ((__u32)i >= io->nr_iov)
			return;
		if (done + v->iov_len >= io->ret) {
			set_tail(&w->cut, (__u64)v->iov_base + (io->ret - done), io->ret - done);
			return;
		}
		done += v->iov_len;
	}
}

/*
 * A head that lies in several buffers: copy them one behind the other, as far as the budget
 * goes, so that one event carries the call. Returns how many bytes were copied.
 */
#define GATHER_MAX (CLEW_CAP_MAX / 2)

static __always_inline __u32 gather(struct clew_segment *e, struct work *w, __u32 max)
{
	__u64 base = w->io.base, n = w->io.len, off = 0, at;
	__u32 budget = w->cut.budget;

	if (budget > w->io.ret)
		budget = w->io.ret;
	if (budget > max)
		budget = max;
#pragma clang loop unroll(disable)
	for (int i = 0; i <= CLEW_GATHER_IOV; i++) {
		if (off >= budget)
			break;
		if (n > budget - off)
			n = budget - off;
		at = off;
		asm volatile("" : "+r"(at), "+r"(n)); /* as in SEGMENT_OF */
		if (n > max || at > max)
			break;
		if (n && bpf_probe_read_user(e->data + at, n, (void *)base))
			break;
		off += n;
		if ((__u32)i >= w->io.nr_iov || i >= CLEW_IOV_MAX)
			break;
		base = (__u64)w->iov[i].iov_base;
		n = w->iov[i].iov_len;
	}
	return off;
}

static __always_inline void segment_fill(struct clew_segment *e, const struct cut *cut, __u32 n)
{
	header_of(&e->h, CLEW_EV_SEGMENT, sizeof(*e) + n, cut->who.turn, cut->id);
	e->conn_id = cut->conn_id;
	e->ctx = cut->who.ctx;
	e->ref = cut->who.ref;
	e->seq = cut->seq;
	e->len = cut->len;
	e->cap = n;
	e->flags = cut->flags | cut->who.loop;
	e->dir = cut->dir;
	e->ctx_kind = cut->who.kind;
	e->tail_len = 0;
	e->watch = cut->who.watch;
	*(__u64 *)e->tail = 0;
	if (n < cut->len && cut->tail) {
		__u64 t = cut->tail_n;

		asm volatile("" : "+r"(t));
		if (t <= CLEW_TAIL_MAX && !bpf_probe_read_user(e->tail, t, (void *)cut->tail))
			e->tail_len = t;
	}
}

/* A ring-buffer record has a constant size for the verifier: a few sizes, the smallest fits. */
#define SEGMENT_OF(size_)                                                                          \
	do {                                                                                       \
		__u64 m = n;                                                                       \
		asm volatile("" : "+r"(m)); /* compare and use one register: bounds stay known */  \
		if (m <= (size_)) {                                                                \
			struct clew_segment *e = bpf_ringbuf_reserve(                              \
				&events, sizeof(struct clew_segment) + (size_), 0);                \
			if (!e)                                                                    \
				goto full;                                                         \
			if (m && bpf_probe_read_user(e->data, m, (void *)cut->base)) {             \
				count(CLEW_STAT_COPY_FAILED);                                      \
				cut->flags |= CLEW_SEG_CUT;                                        \
				m = 0;                                                             \
			}                                                                          \
			segment_fill(e, cut, m);                                                   \
			SUBMIT(e);                                                                 \
			return 0;                                                                  \
		}                                                                                  \
	} while (0)

/* How long it is shows when it is whole, so what is small is put together outside the ring. */
static __always_inline int emit_small(struct work *w)
{
	struct clew_segment *e = (void *)w->gathered;
	__u64 n = gather(e, w, CLEW_SMALL);

	w->cut.n = n;
	asm volatile("" : "+r"(n)); /* as in SEGMENT_OF */
	if (n > CLEW_SMALL)
		return 0;
	segment_fill(e, &w->cut, n);
	if (bpf_ringbuf_output(&events, e, sizeof(*e) + n, BPF_RB_NO_WAKEUP))
		return -1;
	count_exact(CLEW_STAT_EMITTED);
	return 0;
}

static __always_inline int emit_large(struct work *w)
{
	struct clew_segment *e = bpf_ringbuf_reserve(&events, sizeof(*e) + 2 * GATHER_MAX, 0);

	if (!e)
		return -1;
	w->cut.n = gather(e, w, GATHER_MAX);
	segment_fill(e, &w->cut, w->cut.n);
	SUBMIT(e);
	return 0;
}

static __always_inline int segment_emit(struct work *w)
{
	struct cut *cut = &w->cut;
	__u32 n = cut->n;

	if (cut->scattered) {
		if (w->io.ret <= CLEW_SMALL ? emit_small(w) : emit_large(w))
			goto full;
		return 0;
	}
	SEGMENT_OF(64);
	SEGMENT_OF(128);
	SEGMENT_OF(192);
	SEGMENT_OF(256);
	SEGMENT_OF(512);
	SEGMENT_OF(1024);
	SEGMENT_OF(2048);
	SEGMENT_OF(CLEW_CAP_MAX);
	return 0;
full:
	count_exact(CLEW_STAT_DROP_RING_FULL);
	count(CLEW_STAT_DROP_SEGMENTS);
	return -1;
}

#if CLEW_TYPED
static __always_inline struct tcp_sock *tcp_of(struct sock *sk)
{
	if (bpf_ksym_exists(rdonly_cast))
		return rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
	return bpf_skc_to_tcp_sock(sk);
}
#else
static __always_inline struct tcp_sock *tcp_of(struct sock *sk)
{
	return (struct tcp_sock *)sk;
}
#endif

/*
 * The position behind the last byte that crossed. A read that went on to the peer's FIN has
 * counted that too (tcp_recvmsg_locked).
 */
static __always_inline __u32 tcp_after(struct sock *sk, __u8 dir)
{
	struct tcp_sock *tp = tcp_of(sk);
	__u32 after;
	__u8 state;

	if (!tp)
		return 0;
	if (dir == CLEW_SEND)
		return FIELD(tcp_sock, tp, write_seq);
	after = FIELD(tcp_sock, tp, copied_seq);
	state = FIELD(sock, sk, __sk_common.skc_state);
	if (state >= CLEW_TCP_TIME_WAIT && state != CLEW_TCP_LISTEN &&
	    after == FIELD(tcp_sock, tp, rcv_nxt))
		after--;
	return after;
}

static __always_inline __u32 stream_pos(struct clew_kconn *c, const struct io *io, struct sock *sk)
{
	if (c->family == CLEW_AF_UNIX) {
		__u32 at = c->upos[io->dir & 1];

		c->upos[io->dir & 1] = at + io->ret;
		return at;
	}
	return tcp_after(sk, io->dir) - io->ret;
}

/*
 * Two threads may use a connection: the one that sends a request may still be in that call, and so
 * tell of it last, when another one has read the answer. (A FIN counts as a byte that was sent.)
 */
static __always_inline void note_order(struct clew_kconn *c, struct io *io, struct sock *sk,
				       __u32 seq)
{
	__u32 told = c->upos[CLEW_SEND], end = seq + io->ret;
	__u8 state;

	if (c->family == CLEW_AF_UNIX)
		return;
	if (io->dir == CLEW_SEND) {
		if (!told || (__s32)(end - told) > 0)
			c->upos[CLEW_SEND] = end;
		return;
	}
	state = FIELD(sock, sk, __sk_common.skc_state);
	if (told && (state == CLEW_TCP_ESTABLISHED || state == CLEW_TCP_CLOSE_WAIT) &&
	    (__s32)(tcp_after(sk, CLEW_SEND) - told) > 0)
		io->flags |= CLEW_SEG_AHEAD;
}

/* TCP counts what came in: is this the first byte, with nothing sent before? */
static __always_inline bool is_first_read(const struct clew_kconn *c, const struct io *io,
					  struct sock *sk, __u32 seq)
{
	__u32 first;

	if (c->family == CLEW_AF_UNIX || io->dir != CLEW_RECV || !io->ret)
		return false;
	first = KREAD(tcp_sock, sk, rcv_nxt) - (__u32)KREAD(tcp_sock, sk, bytes_received);
	return !KREAD(tcp_sock, sk, bytes_sent) && (seq == first || seq + 1 == first);
}

/*
 * The class of a connection by what starts at this flip. Returns false when the call is of no
 * interest. A connection met in its middle may be inside a body: it gets a few flips, as does one
 * whose first bytes could not be `seen` (sendfile, many buffers, a page that is not present).
 */
static __always_inline bool conn_classify(struct clew_kconn *c, enum sign sign, __u8 first,
					  bool flip, bool seen)
{
	if (conn_followed(c))
		return true;
	if (sign != SIGN_NONE) {
		c->class = first == 1 ? CLEW_CLASS_FASTCGI : CLEW_CLASS_HTTP;
		return true;
	}
	if (flip)
		c->flips++;
	if ((seen && c->from_start) || c->flips >= CLEW_FLIPS_MAX) {
		c->class = CLEW_CLASS_IGNORED;
		c->budget = 0;
		count(CLEW_STAT_SKIP_PROTOCOL);
	}
	return false;
}

/* True when the first buffer ends with an empty line: a whole head, what follows is body. */
static __always_inline bool ends_head(const struct io *io)
{
	return io->len >= 4 && user_u32(io->base + io->len - 4) == 0x0a0d0a0d;
}

/* Copy more than the first buffer? A small answer whole, a large one while its head goes on. */
static __always_inline bool is_scattered(const struct clew_kconn *c, const struct io *io)
{
	return io->base && io->len < io->ret && io->nr_iov && c->budget > io->len &&
	       (io->ret <= CLEW_SMALL || !ends_head(io));
}

/* The eight bytes at the start decide what a flip begins; refills the budget. False: leave. */
static __always_inline bool capture_flip(struct clew_kconn *c, const struct io *io, bool flip,
					 enum sign *ret_sign)
{
	enum sign sign = SIGN_NONE;
	bool seen = false;
	__u64 w = 0;

	if (conn_followed(c) && c->role) { /* known: no need to look */
		sign = (io->dir == CLEW_RECV) == (c->role == CLEW_ROLE_SERVER) ? SIGN_REQUEST
									       : SIGN_RESPONSE;
	} else if (io->base && io->len) {
		/* less than eight bytes may be all there is before a page that is not present */
		seen = !bpf_probe_read_user(&w, sizeof(w), (void *)io->base) ||
		       !bpf_probe_read_user(&w, sizeof(__u32), (void *)io->base);
		if (seen)
			sign = classify(w, io->len);
		else
			count(CLEW_STAT_COPY_FAILED);
	}
	if (!io->ret && !conn_followed(c))
		return false;
	c->last_dir = io->dir;
	if (!conn_classify(c, sign, (__u8)w, flip, seen))
		return false;
	c->budget = sign == SIGN_RESPONSE ? config.response_budget : config.request_budget;
	if (!c->role && sign != SIGN_NONE)
		c->role = (sign == SIGN_REQUEST) == (io->dir == CLEW_RECV) ? CLEW_ROLE_SERVER
									   : CLEW_ROLE_CLIENT;
	*ret_sign = sign;
	return true;
}

/* What is copied, and where the rest ends. */
static __always_inline void cut_set(struct work *w, struct clew_kconn *c)
{
	struct cut *cut = &w->cut;
	const struct io *io = &w->io;

	if (c->class == CLEW_CLASS_FASTCGI && c->budget < CLEW_FASTCGI_LEAST)
		c->budget = CLEW_FASTCGI_LEAST;
	cut->conn_id = c->id;
	cut->dir = io->dir;
	cut->flags = io->flags | (c->from_start ? 0 : CLEW_SEG_LATE);
	cut->base = io->base;
	cut->len = io->ret;
	cut->budget = c->budget;
	cut->tail = 0;
	cut->scattered = is_scattered(c, io);
	cut->n = io->base ? io->len : 0;
	if (cut->n > c->budget)
		cut->n = c->budget;
	if (cut->n > CLEW_CAP_MAX)
		cut->n = CLEW_CAP_MAX;
	if (cut->n < cut->len &&
	    !(cut->scattered && io->ret <= CLEW_SMALL && io->nr_iov <= CLEW_GATHER_IOV))
		find_tail(w);
}

/* Told once; nothing but a hint, so the races of a plain store do not matter. */
static __always_inline void note_other(struct clew_proc *p, struct clew_kconn *c)
{
	count(CLEW_STAT_SKIP_IGNORED);
	if (p != &unlisted && p->flags & CLEW_PROC_THREADS && ++c->budget == CLEW_CALLS_OTHER)
		p->flags |= CLEW_PROC_OTHER;
}

/* The connection of work.io, or NULL when the call is of no interest: before its bytes are looked
 * for. */
static __always_inline struct clew_kconn *capture_conn(struct clew_proc *p, struct work *w)
{
	struct clew_kconn *c = conn_get(w->io.sk, w->io.ino);

	if (!c) {
		count_exact(CLEW_STAT_DROP_CONN_FULL);
		return NULL;
	}
	if (c->class != CLEW_CLASS_IGNORED)
		return c;
	if (p->runtime == CLEW_RT_NODE && w->io.dir == CLEW_RECV)
		node_read_other();
	note_other(p, c);
	return NULL;
}

/* What the runtime adds to who runs, and what it keeps of this for later. `begins`: a message does
 * here; `asks`: a request that goes out. */
static __always_inline void capture_runtime(const struct clew_proc *p, struct work *w,
					    struct clew_kconn *c, bool begins, bool asks)
{
	struct context *who = &w->cut.who;
	const struct io *io = &w->io;
	__u64 id = w->cut.id;

	switch (p->runtime) {
	case CLEW_RT_NGINX:
		if (asks)
			who->ref = nginx_downstream(io->file);
		break;
	case CLEW_RT_HAPROXY:
		if (asks && p->ha_fdtab)
			who->ref = haproxy_downstream(p->ha_fdtab, p->ha_h1s, io->file);
		break;
	case CLEW_RT_TOKIO:
		if (asks && who->kind == CLEW_CTX_TOKIO)
			who->ref = rust_taken(p, who->ctx, id);
		break;
	case CLEW_RT_PYTHON:
		if (p->py_uv && io->dir == CLEW_SEND)
			py_written(who, c, id);
		if (begins && c->role == CLEW_ROLE_SERVER)
			py_serves(id, io->dir == CLEW_RECV && io->ret);
		if (begins && c->role == CLEW_ROLE_CLIENT)
			py_call(p, c->id, io->dir, who->ctx, who->ref, who->turn);
		break;
	case CLEW_RT_JAVA:
		if (begins && who->kind == CLEW_CTX_JAVA)
			java_turn(p, who, c, id, io->dir);
		break;
	case CLEW_RT_NODE:
		if (who->kind == CLEW_CTX_NODE)
			node_context(who, c, id, io->dir);
		break;
	}
}

/* `sk` is work.io's, with the type that the verifier may know of it. */
static __always_inline int capture(struct clew_proc *p, struct work *w, struct clew_kconn *c,
				   struct sock *sk)
{
	struct io *io = &w->io;
	struct cut *cut = &w->cut;
	enum sign sign = SIGN_NONE;
	bool flip, calls, answer;

	cut->seq = stream_pos(c, io, sk);
	note_order(c, io, sk, cut->seq);
	if (c->last_dir == 0xff && !c->from_start)
		c->from_start = is_first_read(c, io, io->sk, cut->seq);
	flip = c->last_dir != io->dir;
	if ((flip || c->class == CLEW_CLASS_UNKNOWN) && !capture_flip(c, io, flip, &sign))
		return 0;
	conn_announce(c, io->sk, io->dir, cut->seq);
	cut->id = bpf_get_current_pid_tgid();
	calls = io->dir == CLEW_SEND;
	answer = c->role == (calls ? CLEW_ROLE_SERVER : CLEW_ROLE_CLIENT);
	/* an answer that goes on: who began it has been told */
	context_read(p, &cut->who, cut->id, io->file, calls, answer, !flip && calls && answer);
	capture_runtime(p, w, c, flip, calls && sign == SIGN_REQUEST);
#if CLEW_SEES_URING
	context_uring(&cut->who);
#endif
	cut_set(w, c);
	segment_emit(w);
	c->budget = cut->budget - cut->n; /* two threads may send at once: never below 0 */
	return 0;
}

#endif
