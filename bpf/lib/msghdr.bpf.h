/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * msghdr.bpf.h - where the bytes of a finished sendmsg or recvmsg are.
 *
 * When the call returns, its iterator stands `ret` bytes further than it began: walk back. No
 * entry program and no per-call state are needed. iov_iter as kernels have it: type bits up to
 * 5.13, iter_type from then, ITER_UBUF from 6.0, __iov instead of iov from 6.4.
 */
#ifndef CLEW_MSGHDR_BPF_H
#define CLEW_MSGHDR_BPF_H

#define CLEW_SEES_URING 1
#include "capture.bpf.h"

enum iter_kind { ITER_KIND_OTHER, ITER_KIND_UBUF, ITER_KIND_IOVEC };

static __always_inline enum iter_kind iter_kind(struct iov_iter *it)
{
	struct iov_iter___510 *old = (void *)it;
	unsigned int t;

	if (bpf_core_field_exists(old->type)) {
		/* 5.10: ITER_IOVEC is 4, the lowest bit is the direction */
		t = FIELD(iov_iter___510, old, type) & ~1U;
		return t == (unsigned int)bpf_core_enum_value(enum iter_type, ITER_IOVEC)
			       ? ITER_KIND_IOVEC
			       : ITER_KIND_OTHER;
	}
	t = FIELD(iov_iter, it, iter_type);
	if (bpf_core_enum_value_exists(enum iter_type___ubuf, ITER_UBUF___ubuf) &&
	    t == (unsigned int)bpf_core_enum_value(enum iter_type___ubuf, ITER_UBUF___ubuf))
		return ITER_KIND_UBUF;
	return t == (unsigned int)bpf_core_enum_value(enum iter_type, ITER_IOVEC) ? ITER_KIND_IOVEC
										  : ITER_KIND_OTHER;
}

static __always_inline const struct iovec *iter_iov(struct iov_iter *it)
{
	struct iov_iter___62 *old = (void *)it;

	if (bpf_core_field_exists(it->__iov))
		return KPTR(iov_iter, it, __iov);
	return KPTR(iov_iter___62, old, iov);
}

static __always_inline void iovec_read(struct iovec *to, const struct iovec *at)
{
	if (bpf_ksym_exists(rdonly_cast)) {
		to->iov_base = (void *)KWORD(&at->iov_base);
		to->iov_len = KWORD(&at->iov_len);
	} else {
		bpf_probe_read_kernel(to, sizeof(*to), at);
	}
}

/* Fill base, len and the rest of the buffers from an iterator that stands behind ret bytes. */
static __always_inline void iter_walk_back(struct work *w, struct msghdr *msg)
{
	struct iov_iter *it = &msg->msg_iter;
	enum iter_kind kind = iter_kind(it);
	__u64 off = FIELD(iov_iter, it, iov_offset);
	struct io *io = &w->io;
	const struct iovec *at;
	struct iovec v = {};
	__s64 left;

	if (kind == ITER_KIND_UBUF) {
		if (bpf_core_field_exists(it->ubuf)) {
			io->base = (__u64)FIELD_PTR(iov_iter, it, ubuf);
			UNTYPED(); /* one of a union: to the verifier it is another */
			io->base += off - io->ret;
		}
		io->len = io->ret;
		return;
	}
	if (kind != ITER_KIND_IOVEC) {
		io->flags |= CLEW_SEG_NOBYTES;
		return;
	}
	at = iter_iov(it);
	left = (__s64)io->ret - (__s64)off;
	if (left <= 0) {
		iovec_read(&v, at);
		io->base = (__u64)v.iov_base + off - io->ret;
		io->len = io->ret;
		return;
	}
#pragma clang loop unroll(disable)
	for (int i = 1; i <= CLEW_IOV_MAX; i++) {
		iovec_read(&v, at - i);
		left -= (__s64)v.iov_len;
		if (left > 0)
			continue;
		io->base = (__u64)v.iov_base - left;
		io->len = v.iov_len + left;
		if (io->len > io->ret)
			io->len = io->ret;
		io->nr_iov = i; /* the last of them is the one the iterator stands in */
		break;
	}
	if (!io->nr_iov) {
		io->flags |= CLEW_SEG_NOBYTES; /* more buffers than are walked */
		return;
	}
	at -= io->nr_iov;
#pragma clang loop unroll(disable)
	for (int i = 0; i < CLEW_IOV_MAX && (__u32)i < io->nr_iov; i++)
		iovec_read(&w->iov[i], at + 1 + i);
}

static __always_inline int socket_io(struct clew_proc *p, __u32 slot, struct socket *so,
				     struct msghdr *msg, __u8 dir, long ret)
{
	struct sock *sk = FIELD_PTR(socket, so, sk);
	struct work *w = work_of(slot);
	struct clew_kconn *c;
	struct inode *inode;
	struct file *file;

	if (!w || !sk)
		return 0;
	file = FIELD_PTR(socket, so, file);
	w->io.sk = sk;
	w->io.file = file;
	if (file) {
		inode = FIELD_PTR(file, file, f_inode);
		w->io.ino = FIELD(inode, inode, i_ino);
	}
	w->io.dir = dir;
	w->io.ret = ret > 0x7fffffff ? 0x7fffffff : ret;
	UNTYPED();
	c = capture_conn(p, w);
	if (!c)
		return 0;
	if (ret == 0)
		w->io.flags = CLEW_SEG_EOF;
	else if (msg)
		iter_walk_back(w, msg);
	else
		w->io.flags = CLEW_SEG_NOBYTES;
	return capture(p, w, c, sk);
}

#endif
