/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * ruby.bpf.c - which connection a thread of Puma's pool begins to work for. The pool is an Array of
 * clients, which the thread that reads requests fills, and from which the others take the first
 * (puma/thread_pool.rb); a client keeps its socket in one of its first instance variables.
 *
 * Layouts: include/ruby/internal/core/{rarray,robject,rfile}.h, include/ruby/io.h.
 */
#include "lib/conn.bpf.h"
#include "lib/context.bpf.h"

enum { RUBY_OBJECT = 1, RUBY_ARRAY = 7, RUBY_FILE = 11, RUBY_TYPE = 0x1f };
#define RUBY_EMBED	 (1 << 13) /* FL_USER1: what it holds is in the object itself */
#define RUBY_VALUES	 16	   /* behind struct RBasic */
#define RUBY_ARRAY_SHIFT 15	   /* an embedded array's length, in its flags */
#define RUBY_ARRAY_LEN	 16
#define RUBY_ARRAY_PTR	 32
#define RUBY_IO_FD	 16
#define RUBY_LOOKED	 4 /* instance variables */

/* The flags of the object that `value` names; 0: a number, symbol, nil, ... */
static __always_inline __u64 ruby_flags(__u64 value)
{
	return value & 7 || value < 4096 ? 0 : user_u64(value);
}

static __always_inline bool ruby_is(__u64 value, __u64 type)
{
	return (ruby_flags(value) & RUBY_TYPE) == type;
}

/* Its first element, or 0. */
static __always_inline __u64 ruby_first(const struct clew_proc *p, __u64 array)
{
	__u64 flags = ruby_flags(array);

	if ((flags & RUBY_TYPE) != RUBY_ARRAY)
		return 0;
	if (flags & RUBY_EMBED)
		return flags >> RUBY_ARRAY_SHIFT & p->ruby_embedded ? user_u64(array + RUBY_VALUES)
								    : 0;
	return user_u64(array + RUBY_ARRAY_LEN) ? user_u64(user_u64(array + RUBY_ARRAY_PTR)) : 0;
}

/* The descriptor of an IO that the object holds, or -1. */
static __always_inline int ruby_fd(const struct clew_proc *p, __u64 obj)
{
	__u64 flags = ruby_flags(obj), at = obj + RUBY_VALUES;

	if ((flags & RUBY_TYPE) != RUBY_OBJECT)
		return -1;
	if (!(flags & RUBY_EMBED))
		at = user_u64(obj + p->ruby_ivars);
	for (int i = 0; i < RUBY_LOOKED; i++) {
		__u64 file = user_u64(at + 8 * i), io;

		if (!ruby_is(file, RUBY_FILE))
			continue;
		io = user_u64(file + RUBY_VALUES);
		return io && user_u64(io) == file ? (int)user_u32(io + RUBY_IO_FD) : -1;
	}
	return -1;
}

/* rb_ary_shift(array): Array#shift without an argument. */
SEC("?uprobe")
int clew_ruby_shift(struct pt_regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_edge_short *e;
	struct clew_kconn *c;
	struct sock *sk;
	__u64 ino = 0;
	int fd;

	count_hit(tgid, CLEW_SET_RUBY_TAKE);
	if (stopped || !p || p->runtime != CLEW_RT_RUBY)
		return 0;
	fd = ruby_fd(p, ruby_first(p, PT_REGS_PARM1(ctx)));
	sk = fd < 0 ? NULL : sock_of_file(file_of_fd(fd), &ino);
	c = sk ? conn_get(sk, ino) : NULL; /* maybe nothing was read there so far */
	if (!c)
		return 0;
	e = RESERVE(struct clew_edge_short);
	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), 0);
	e->kind = CLEW_EDGE_RUBY_TAKE;
	e->conn_id = c->id;
	SUBMIT(e);
	return 0;
}
