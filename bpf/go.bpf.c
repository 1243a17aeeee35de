/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * go.bpf.c - Go's net/http, two entry probes (register ABI of Go 1.17 on, amd64: AX BX CX DI SI
 * R8 R9 R10 R11; cmd/compile/abi-internal.md). They run only in processes that call out.
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

/* func (sh serverHandler) ServeHTTP(rw ResponseWriter, req *Request): srv, rw (2 words), req */
SEC("?uprobe")
int clew_go_serve(struct pt_regs *ctx)
{
	struct clew_proc *p;
	struct clew_edge *e = go_edge(&p, CLEW_EDGE_GO_SERVE, CLEW_SET_GO_SERVE);

	if (!e)
		return 0;
	e->chain_len = go_chain(p, GO_ARG4(ctx), e);
	SUBMIT(e);
	return 0;
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
	SUBMIT(e);
	return 0;
}
