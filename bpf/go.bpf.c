/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * go.bpf.c - Go's net/http and the go statement (register ABI of Go 1.17 on, amd64: AX BX CX DI
 * SI R8 R9 R10 R11; cmd/compile/abi-internal.md). They run only in processes that call out.
 */
#include "lib/conn.bpf.h"
#include "lib/context.bpf.h"
#include "lib/sockfd.bpf.h"

/* net/http.Request: context at go_req_ctx is an interface, its data word at +8. Every standard
 * context type embeds or begins with its parent, an interface at offset 0: data word at +8. */
static __always_inline __u16 go_chain(const struct clew_proc *p, __u64 req, struct clew_edge *e)
{
	__u64 c = user_u64(req + p->go_req_ctx + 8);
	__u16 n = 0;

#pragma unroll
	for (int i = 0; i < CLEW_CHAIN_MAX; i++) {
		e->chain[i] = c;
		if (c) {
			n = i + 1;
			c = user_u64(c + 8);
		}
	}
	return n;
}

static __always_inline struct clew_edge *go_edge(struct clew_proc **ret_proc, __u16 kind,
						 enum clew_probe_set set)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_edge *e;

	count_hit(tgid, set);
	if (!p || p->runtime != CLEW_RT_GO || !p->go_goid)
		return NULL;
	e = RESERVE(struct clew_edge);
	if (!e)
		return NULL;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), 0);
	e->kind = kind;
	e->ctx = go_goid(p);
	*ret_proc = p;
	return e;
}

#if defined(__TARGET_ARCH_x86)
#define GO_ARG1(regs) ((regs)->ax)
#define GO_ARG2(regs) ((regs)->bx)
#define GO_ARG4(regs) ((regs)->di)
#else
#define GO_ARG1(regs) PT_REGS_PARM1(regs)
#define GO_ARG2(regs) PT_REGS_PARM2(regs)
#define GO_ARG4(regs) PT_REGS_PARM4(regs)
#endif

/* One program, of those that run one after the other under one pid. */
static __always_inline __u64 image_of(void)
{
	struct task_struct *t = (void *)bpf_get_current_task();

	return BPF_CORE_READ(t, group_leader, start_time) + BPF_CORE_READ(t, self_exec_id);
}

static __always_inline struct clew_go_key go_key(__u64 goid)
{
	return (struct clew_go_key){.goid = goid, .pid = bpf_get_current_pid_tgid() >> 32};
}

static __always_inline struct clew_go_born *go_born_of(__u64 goid)
{
	struct clew_go_key key = go_key(goid);

	return bpf_map_lookup_elem(&go_born, &key);
}

/* func (sh serverHandler) ServeHTTP(rw ResponseWriter, req *Request): srv, rw (2 words), req */
SEC("?uprobe")
int clew_go_serve(struct pt_regs *ctx)
{
	struct clew_proc *p;
	struct clew_edge *e = go_edge(&p, CLEW_EDGE_GO_SERVE, CLEW_SET_GO_SERVE);
	struct clew_go_born *b;

	if (!e)
		return 0;
	b = p->go_wait.g_m ? go_born_of(e->ctx) : NULL;
	if (b)
		b->serves = 1;
	e->chain_len = go_chain(p, GO_ARG4(ctx), e);
	SUBMIT(e);
	return 0;
}

/*
 * ---- who started whom, and who waits for whom ----
 *
 * That a request started a goroutine proves nothing by itself: a worker that the first request
 * starts serves all. But if the request's goroutine waits, at the very moment of a call, for a
 * channel or a WaitGroup that was given to the goroutine that calls, it waits for this call.
 */

#define GO_CLASS_MIN 2 /* size classes of closures and small structs: 16, 24, 32, 48 ... bytes */
#define GO_CLASS_MAX 8
#define GO_PAGE	     8192
#define GO_SMALL     0x10000 /* no address; the heap may begin anywhere (random since 1.26) */
#define GO_WAITING   4	     /* runtime._Gwaiting */
#define GO_SCAN	     0x1000  /* runtime._Gscan: the collector looks at it, too */
#define GO_STACK     24	     /* words of a stack in which WaitGroup.Wait's address lies; 3 * 8 */
#define GO_SUDOGS    4	     /* cases of a select that are looked at */

/*
 * How many bytes from `at` on belong to the same object: objects of one size lie side by side,
 * and the neighbour's words are nothing to this one. What was just allocated lies in one of the
 * spans that this processor allocates from. 0: not found there. (Not static: verified once.)
 */
__noinline __u64 go_room(__u64 mcache, __u64 at)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);

	if (!p)
		return 0;
#pragma clang loop unroll(disable)
	for (__u32 class = GO_CLASS_MIN; class <= GO_CLASS_MAX; class ++) {
		/* mcache.alloc[] by spanClass: twice the size class, odd without pointers */
		__u64 span = user_u64(mcache + p->go_wait.mc_alloc + class * 16), start, size;

		start = user_u64(span + p->go_wait.span_start);
		if (!start || at < start ||
		    at - start >= user_u64(span + p->go_wait.span_pages) * GO_PAGE)
			continue;
		size = user_u64(span + p->go_wait.span_size);
		if (!size || size > 512)
			return 0;
		return size - (at - start) % size;
	}
	return 0;
}

/*
 * The object behind a captured word, if that is a pointer to a small one that is new, or to one
 * that the starter gave before: who waited for a place goes on wherever one is free, and that
 * processor allocates from other spans. How much of it was read.
 */
static __always_inline __u64 go_deep(__u64 mcache, __u64 at, const struct clew_go_born *starter,
				     __u64 *deep)
{
	__u64 n = go_room(mcache, at);

	if (!n && starter && starter->gave[0] == at)
		n = starter->room[0];
	if (!n && starter && starter->gave[1] == at)
		n = starter->room[1];
	if (n > sizeof(__u64) * CLEW_GO_DEEP)
		n = sizeof(__u64) * CLEW_GO_DEEP;
	asm volatile("" : "+r"(n));
	if (n && n <= sizeof(__u64) * CLEW_GO_DEEP)
		bpf_probe_read_user(deep, n, (void *)at);
	return n;
}

/*
 * newproc's call of runqput(pp, newg, next), on the system stack: the goroutine is made, and its
 * closure {code, captured words ...} is what it will start with.
 */
SEC("?uprobe")
int clew_go_spawn(struct pt_regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	__u64 m, mcache, fn, n, newg = GO_ARG2(ctx);
	struct clew_go_born b = {}, *starter = NULL;
	__u64 room[2] = {};
	struct clew_go_key key;

	count_hit(tgid, CLEW_SET_GO_SPAWN);
	if (stopped || !p || p->runtime != CLEW_RT_GO || !p->go_goid || !p->go_wait.g_m)
		return 0;
	key = go_key(user_u64(newg + p->go_goid));
	m = user_u64(user_u64(thread_pointer() - 8) + p->go_wait.g_m);
	b.parent_g = user_u64(m + p->go_wait.m_curg);
	b.parent = b.parent_g ? user_u64(b.parent_g + p->go_goid) : 0;
	if (!key.goid || !b.parent) {
		count(CLEW_STAT_EDGE_UNRESOLVED);
		return 0;
	}
	b.image = image_of();
	fn = user_u64(newg + p->go_wait.g_ctxt);
	mcache = user_u64(user_u64(m + p->go_wait.m_p) + p->go_wait.p_mcache);
	n = go_room(mcache, fn); /* a function that captures nothing lies in the program */
	n = n > sizeof(__u64) ? n - sizeof(__u64) : 0;
	if (n > sizeof(b.word))
		n = sizeof(b.word);
	asm volatile("" : "+r"(n));
	if (n && n <= sizeof(b.word) &&
	    !bpf_probe_read_user(b.word, n, (void *)(fn + sizeof(__u64)))) {
		/* behind a type's address stands an interface's value: a context would have its
		 * own channel, for which many wait */
		starter = go_born_of(b.parent);
		if (starter && starter->image != b.image)
			starter = NULL;
		room[0] = go_deep(mcache, b.word[0], starter, b.deep[0]);
		if (room[0])
			room[1] = go_deep(mcache, b.word[1], starter, b.deep[1]);
	}
	bpf_map_update_elem(&go_born, &key, &b, BPF_ANY);
	if (!room[0])
		return 0;
	if (!starter) {
		struct clew_go_key by = go_key(b.parent);

		b.parent = 0;
		bpf_map_update_elem(&go_born, &by, &b, BPF_ANY);
		starter = bpf_map_lookup_elem(&go_born, &by);
	}
	if (starter) {
		starter->gave[0] = b.word[0];
		starter->gave[1] = b.word[1];
		starter->room[0] = room[0];
		starter->room[1] = room[1];
	}
	return 0;
}

/* The top bit is set if a == b: comparing by jumps, the verifier would walk every outcome. */
static __always_inline __u64 same(__u64 a, __u64 b)
{
	__u64 d = a ^ b;

	return (d - 1) & ~d;
}

/* Was this very channel given to the goroutine? In the top bit. */
static __always_inline __u64 go_holds(const struct clew_go_born *b, __u64 chan)
{
	__u64 hit = 0;

#pragma unroll
	for (int i = 0; i < CLEW_GO_WORDS; i++)
		hit |= same(b->word[i], chan);
#pragma unroll
	for (int i = 0; i < CLEW_GO_DEEP; i++)
		hit |= same(b->deep[0][i], chan) | same(b->deep[1][i], chan);
	return hit;
}

/* Or a struct that has a WaitGroup first or second, whose semaphore's address this is? `first`,
 * `second`: is it the first or second word that was captured? */
static __always_inline __u64 go_holds_sema(const struct clew_go_born *b, __u64 sema, __u64 *first,
					   __u64 *second)
{
	__u64 hit = 0;

	*first |= same(b->word[0], sema - 8) | same(b->word[0], sema - 16);
	*second |= same(b->word[1], sema - 8) | same(b->word[1], sema - 16);
#pragma unroll
	for (int i = 2; i < CLEW_GO_WORDS; i++)
		hit |= same(b->word[i], sema - 8) | same(b->word[i], sema - 16);
#pragma unroll
	for (int i = 0; i < CLEW_GO_DEEP; i++)
		hit |= same(b->deep[0][i], sema - 8) | same(b->deep[1][i], sema - 8);
	return hit | *first | *second;
}

/* Is this channel in the first or second object that the goroutine was given? */
static __always_inline void go_deep_holds(const struct clew_go_born *b, __u64 chan, __u64 *first,
					  __u64 *second)
{
#pragma unroll
	for (int i = 0; i < CLEW_GO_DEEP; i++) {
		*first |= same(b->deep[0][i], chan);
		*second |= same(b->deep[1][i], chan);
	}
}

static __always_inline bool go_parked(const struct clew_proc *p, __u64 g, __u64 goid)
{
	return g && user_u64(g + p->go_goid) == goid &&
	       (user_u32(g + p->go_wait.g_status) & ~GO_SCAN) == GO_WAITING;
}

/* Receives of a select, or the one of a receive. A send waits in the channel's other queue: said
 * by `first` and `second`, of the object in which the channel stands. */
static __always_inline __u64 go_receives(const struct clew_proc *p, __u64 sudog,
					 const struct clew_go_born *b, __u64 *first, __u64 *second)
{
	__u64 hit = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < GO_SUDOGS && sudog; i++) {
		__u64 chan = user_u64(sudog + p->go_wait.sudog_c);

		if (chan >= GO_SMALL && user_u64(chan + p->go_wait.hchan_recvq))
			hit |= go_holds(b, chan);
		else if (chan >= GO_SMALL)
			go_deep_holds(b, chan, first, second);
		sudog = user_u64(sudog + p->go_wait.sudog_link);
	}
	return hit;
}

/*
 * Does goroutine `goid` at `g` wait for something that `holder` was given when it was born?
 * GO_WAITS: it does. GO_SENDS: it waits until it can put something into a channel in an object
 * that `holder` was given. With them the object's address, where the WaitGroup begins it or the
 * channel stands in it: objects are aligned to 8 bytes.
 */
#define GO_WAITS 1
#define GO_SENDS 2
__noinline __u64 go_waits_for(__u64 g, __u64 goid, __u64 holder)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_go_born *b = go_born_of(holder);
	__u64 sudog, sp, hit = 0, first = 0, second = 0, object, part[GO_STACK / 3];
	__u8 reason = 0;

	if (!p || !b || !go_parked(p, g, goid))
		return 0;
	bpf_probe_read_user(&reason, 1, (void *)(g + p->go_wait.g_reason));
	sudog = user_u64(g + p->go_wait.g_waiting);
	if (p->go_wait.wg_reason && reason == p->go_wait.wg_reason) {
		sp = user_u64(g + p->go_wait.g_sp);
#pragma clang loop unroll(disable)
		for (int i = 0; i < GO_STACK; i++) {
			int at = i % (GO_STACK / 3);

			/* in parts: older kernels allow 512 bytes of stack to all calls together */
			if (!at && bpf_probe_read_user(part, sizeof(part), (void *)(sp + i * 8ULL)))
				return 0;
			if (part[at & 7] >= GO_SMALL) /* an empty word would match a small number */
				hit |= go_holds_sema(b, part[at & 7], &first, &second);
		}
	} else {
		hit = go_receives(p, sudog, b, &first, &second);
		if (hit >> 63) /* cases of one select: what it receives speaks, from no object */
			first = second = 0;
	}
	/* it may have gone on meanwhile, and wait for something else */
	if (!((hit | first | second) >> 63) || !go_parked(p, g, goid) ||
	    user_u64(g + p->go_wait.g_waiting) != sudog)
		return 0;
	object = first >> 63 ? b->word[0] : second >> 63 ? b->word[1] : 0;
	return (object & ~7ULL) | (hit >> 63 ? GO_WAITS : GO_SENDS);
}

/* Report the ancestors of `goid`, and which of them wait. Returns whether any does. */
__noinline int go_ancestors(__u64 goid, __u64 image, __u64 conn_id, int answer)
{
	struct clew_go_born *b = go_born_of(goid);
	__u64 chain[2 * CLEW_GO_LEVELS] = {}, mask = 0, holder = goid, waits;
	struct clew_edge *e;
	int n = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < CLEW_GO_LEVELS; i++) {
		if (!b || b->image != image || b->serves || !b->parent)
			break;
		chain[i & (CLEW_GO_LEVELS - 1)] = b->parent;
		n++;
		waits = go_waits_for(b->parent_g, b->parent, goid);
		if (!waits && holder != goid)
			waits = go_waits_for(b->parent_g, b->parent, holder);
		chain[CLEW_GO_LEVELS + (i & (CLEW_GO_LEVELS - 1))] = waits & ~7ULL;
		if (waits & GO_WAITS) {
			mask |= 1ULL << i;
			holder = b->parent;
		} else if (waits) {
			mask |= CLEW_GO_SENDS << i;
		}
		b = go_born_of(b->parent);
	}
	if (!n || (answer && !mask))
		return 0;
	e = RESERVE(struct clew_edge);
	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), 0);
	e->kind = CLEW_EDGE_GO_BORN;
	e->ctx = goid;
	e->conn_id = conn_id;
	e->ref = mask;
	e->child = answer;
	e->chain_len = CLEW_GO_LEVELS + n;
	__builtin_memcpy(e->chain, chain, sizeof(chain));
	SUBMIT(e);
	return mask & (CLEW_GO_SENDS - 1);
}

/*
 * func (pc *persistConn) roundTrip(req *transportRequest): pc.conn is a net.Conn: *net.TCPConn
 * -> *netFD, or *tls.Conn -> net.Conn; netFD begins with poll.FD, whose Sysfd is at 16.
 * transportRequest begins with its *Request.
 */
SEC("?uprobe")
int clew_go_roundtrip(struct pt_regs *ctx)
{
	struct clew_proc *p;
	struct clew_edge *e = go_edge(&p, CLEW_EDGE_GO_ROUNDTRIP, CLEW_SET_GO_CALL);
	struct clew_go_call call = {};
	struct clew_go_key key;
	struct clew_kconn *c;
	__u64 pc, itab, obj, ino = 0;
	struct sock *sk;

	if (!e)
		return 0;
	e->chain_len = go_chain(p, user_u64(GO_ARG2(ctx)), e);
	pc = GO_ARG1(ctx);
	itab = user_u64(pc + p->go_pc_conn);
	obj = user_u64(pc + p->go_pc_conn + 8);
	if (p->go_itab_tls && itab == p->go_itab_tls)
		obj = user_u64(obj + 8);
	sk = sock_of_file(file_of_fd(user_u32(user_u64(obj) + 16)), &ino);
	c = sk ? conn_get(sk, ino) : NULL;
	e->conn_id = c ? c->id : 0;
	if (!c)
		count(CLEW_STAT_EDGE_UNRESOLVED);
	call.goid = e->ctx;
	call.conn_id = e->conn_id;
	SUBMIT(e);
	if (!c || !p->go_wait.g_m || !go_born_of(call.goid))
		return 0;
	call.image = image_of();
	key = go_key(pc);
	if (!go_ancestors(call.goid, call.image, call.conn_id, 0))
		bpf_map_update_elem(&go_calls, &key, &call, BPF_ANY);
	return 0;
}

/*
 * func (pc *persistConn) readResponse(...): the first byte of an answer has come, and whoever
 * called does not know it yet: a handler that starts several goroutines before it waits for them
 * waits by now.
 */
SEC("?uprobe")
int clew_go_response(struct pt_regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_go_key key = go_key(GO_ARG1(ctx));
	struct clew_go_call *found, call;

	count_hit(tgid, CLEW_SET_GO_SPAWN);
	if (stopped || !p || p->runtime != CLEW_RT_GO || !p->go_goid || !p->go_wait.g_m)
		return 0;
	found = bpf_map_lookup_elem(&go_calls, &key);
	if (!found)
		return 0;
	call = *found;
	bpf_map_delete_elem(&go_calls, &key);
	if (call.image == image_of())
		go_ancestors(call.goid, call.image, call.conn_id, 1);
	return 0;
}
