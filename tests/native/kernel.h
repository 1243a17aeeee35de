/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.h - a kernel in small, around the capture core of bpf/lib compiled as a program: maps,
 * the ring buffer, memory of the process, one connection whose calls are played. Included once,
 * by the unit tests and the fuzz target of the BPF code.
 *
 * A ring-buffer record is an allocation of just its size, filled with garbage: what a program
 * writes behind it, or leaves unwritten, is seen.
 */
#ifndef CLEW_NATIVE_KERNEL_H
#define CLEW_NATIVE_KERNEL_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wattributes"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wunknown-attributes"
#pragma GCC diagnostic ignored "-Wignored-attributes"
#endif
#define CLEW_OBJECT	native
#define CLEW_WORK_MAP	native_work
#define CLEW_WORK_SLOTS 1
#ifndef __TARGET_ARCH_x86
#define __TARGET_ARCH_x86
#endif
#include "lib/msghdr.bpf.h"
#pragma GCC diagnostic pop

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #x);      \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define NATIVE_IOV     16
#define NATIVE_ENTRIES 64
#define NATIVE_EVENTS  64
#define NATIVE_TGID    4242
#define NATIVE_TID     4243

__extension__ typedef unsigned __int128 native_key_t; /* at most sixteen bytes */

struct native_map {
	void *map;
	__u32 key_size, value_size, nr, max;
	struct {
		native_key_t key;
		void *value;
	} entry[NATIVE_ENTRIES];
};

/* What the running kernel has. */
enum native_release { NATIVE_510, NATIVE_515, NATIVE_62, NATIVE_64, NATIVE_RELEASES };

static struct {
	struct native_map maps[12];
	__u32 nr_maps;
	struct {
		const void *p;
		size_t n;
	} user[NATIVE_IOV]; /* memory of the process that is present */
	__u32 nr_user;
	const void *objects; /* and what its runtime keeps there */
	size_t objects_size;
	void (*on_read)(__u64 at); /* the process runs on meanwhile */
	struct clew_proc proc;
	struct clew_event *event[NATIVE_EVENTS];
	size_t size[NATIVE_EVENTS];
	__u32 nr_events;
	bool ring_full;
	enum native_release release;
	__u64 now;
	struct task_struct task;
	__u64 work_key;
} native;

struct clew_map_events events;
struct clew_map_procs procs;
struct clew_map_proc_cache proc_cache;
struct clew_map_conns conns;
struct clew_map_threads threads;
struct clew_map_py_tasks py_tasks;
struct clew_map_py_calls py_calls;
struct clew_map_java_waits java_waits;
struct clew_map_watch_ports watch_ports;
struct clew_map_stats stats;
volatile __u32 stopped, watch;
struct clew_proc unlisted;
struct clew_bpf_config native_config;
extern const volatile struct clew_bpf_config config __attribute__((alias("native_config")));

bool native_exists(const char *what)
{
	enum native_release r = native.release;

	if (!strcmp(what, "old->type") || !strcmp(what, "f->f_ep_links"))
		return r == NATIVE_510;
	if (!strcmp(what, "BPF_FUNC_get_current_task_btf"))
		return r != NATIVE_510;
	if (!strcmp(what, "BPF_FUNC_task_pt_regs___regs"))
		return r != NATIVE_510;
	if (!strcmp(what, "it->__iov"))
		return r >= NATIVE_64;
	if (!strcmp(what, "it->ubuf") || !strcmp(what, "ITER_UBUF___ubuf"))
		return r >= NATIVE_62;
	return true;
}

static struct native_map *native_map(void *map)
{
	for (__u32 i = 0; i < native.nr_maps; i++)
		if (native.maps[i].map == map)
			return &native.maps[i];
	MUST(!"a map that the test does not know");
	return NULL;
}

static void native_map_add(void *map, __u32 key_size, __u32 value_size, __u32 max)
{
	native.maps[native.nr_maps++] = (struct native_map){map, key_size, value_size, 0, max, {}};
}

static native_key_t native_key(const struct native_map *m, const void *key)
{
	native_key_t k = 0;

	memcpy(&k, key, m->key_size);
	return k;
}

void *bpf_map_lookup_elem(void *map, const void *key)
{
	struct native_map *m = native_map(map);
	native_key_t k = native_key(m, key);

	for (__u32 i = 0; i < m->nr; i++)
		if (m->entry[i].key == k)
			return m->entry[i].value;
	return NULL;
}

long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
{
	struct native_map *m = native_map(map);
	void *v = bpf_map_lookup_elem(map, key);

	if (v && flags == BPF_NOEXIST)
		return -17;
	if (!v) {
		if (m->nr == m->max)
			return -7;
		v = malloc(m->value_size);
		m->entry[m->nr].key = native_key(m, key);
		m->entry[m->nr++].value = v;
	}
	memcpy(v, value, m->value_size);
	return 0;
}

long bpf_map_delete_elem(void *map, const void *key)
{
	struct native_map *m = native_map(map);
	native_key_t k = native_key(m, key);

	for (__u32 i = 0; i < m->nr; i++) {
		if (m->entry[i].key != k)
			continue;
		free(m->entry[i].value);
		m->entry[i] = m->entry[--m->nr];
		return 0;
	}
	return -2;
}

long bpf_probe_read_user(void *to, __u32 n, const void *from)
{
	__u64 at = (__u64)from;

	if (native.on_read)
		native.on_read(at);
	for (__u32 i = 0; i <= native.nr_user; i++) {
		bool last = i == native.nr_user;
		__u64 base = (__u64)(last ? native.objects : native.user[i].p);
		__u64 size = last ? native.objects_size : native.user[i].n;

		if (at < base || at - base > size || n > size - (at - base))
			continue;
		memcpy(to, from, n);
		return 0;
	}
	memset(to, 0, n);
	return -14;
}

long bpf_probe_read_kernel(void *to, __u32 n, const void *from)
{
	if ((__u64)from < 4096) {
		memset(to, 0, n);
		return -14;
	}
	memcpy(to, from, n);
	return 0;
}

void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags)
{
	void *record;

	(void)ring;
	(void)flags;
	if (native.ring_full)
		return NULL;
	MUST(native.nr_events < NATIVE_EVENTS);
	record = malloc(size);
	memset(record, 0xa5, size);
	native.event[native.nr_events] = record;
	native.size[native.nr_events] = size;
	return record;
}

void bpf_ringbuf_submit(void *record, __u64 flags)
{
	(void)flags;
	MUST(native.event[native.nr_events] == record);
	MUST(native.event[native.nr_events]->size <= native.size[native.nr_events]);
	native.nr_events++;
}

long bpf_ringbuf_output(void *ring, void *data, __u64 size, __u64 flags)
{
	void *record = bpf_ringbuf_reserve(ring, size, flags);

	if (!record)
		return -11;
	memcpy(record, data, size);
	bpf_ringbuf_submit(record, flags);
	return 0;
}

__u64 bpf_get_current_task(void)
{
	return (__u64)&native.task;
}

struct task_struct *bpf_get_current_task_btf(void)
{
	MUST(native.release != NATIVE_510);
	return &native.task;
}

/* The current system call is about descriptor 1. */
long bpf_task_pt_regs(struct task_struct *task)
{
	static const unsigned long regs = 1;

	(void)task;
	return (long)&regs;
}

__u64 bpf_get_current_pid_tgid(void)
{
	return (__u64)NATIVE_TGID << 32 | NATIVE_TID;
}

__u64 bpf_ktime_get_ns(void)
{
	return native.now += 1000;
}

static void native_drop_events(void)
{
	while (native.nr_events)
		free(native.event[--native.nr_events]);
}

static __attribute__((unused)) __u64 native_stat(enum clew_stat which)
{
	__u32 key = which;
	__u64 *v = bpf_map_lookup_elem(&stats, &key);

	return *v;
}

static void native_init(enum native_release release, __u32 request_budget, __u32 response_budget)
{
	struct work work;
	__u64 zero = 0;

	memset(&native, 0, sizeof(native));
	memset(&work, 0x5a, sizeof(work)); /* what the last call left there */
	native.release = release;
	native.now = 1000000;
	native.proc.flags = CLEW_PROC_THREADS;
	native_config.request_budget = request_budget;
	native_config.response_budget = response_budget;
	stopped = watch = 0;
	native_map_add(&conns, sizeof(__u64), sizeof(struct clew_kconn), NATIVE_ENTRIES);
	native_map_add(&threads, sizeof(__u32), sizeof(struct clew_thread), NATIVE_ENTRIES);
	native_map_add(&py_tasks, sizeof(__u32), sizeof(struct clew_py_task), NATIVE_ENTRIES);
	native_map_add(&py_calls, sizeof(__u64), sizeof(struct clew_py_call), NATIVE_ENTRIES);
	native_map_add(&procs, sizeof(__u32), sizeof(struct clew_proc), NATIVE_ENTRIES);
	native_map_add(&java_waits, sizeof(__u32), sizeof(struct clew_java_wait), NATIVE_ENTRIES);
	native_map_add(&stats, sizeof(__u32), sizeof(__u64), NATIVE_ENTRIES);
	native_map_add(&native_work, sizeof(__u32), sizeof(struct work), 1);
	for (__u32 i = 0; i < CLEW_STAT_MAX; i++)
		bpf_map_update_elem(&stats, &i, &zero, BPF_ANY);
	for (__u32 i = 0; i < CLEW_WORK_SLOTS; i++)
		bpf_map_update_elem(&native_work, &i, &work, BPF_ANY);
}

static void native_fini(void)
{
	native_drop_events();
	for (__u32 i = 0; i < native.nr_maps; i++)
		while (native.maps[i].nr)
			free(native.maps[i].entry[--native.maps[i].nr].value);
}

/* ---- one connection of the process, and its calls ------------------------------------------ */

struct native_sock {
	union {
		struct sock sk;
		char room[NATIVE_UNIX_AT + sizeof(struct unix_sock)];
	} u;
	struct socket socket;
	struct file file;
	struct inode inode;
	struct net net;
};

static struct tcp_sock *native_tcp(struct native_sock *s)
{
	return (void *)(s->u.room + NATIVE_TCP_AT);
}

static void native_sock_init(struct native_sock *s, __u16 family, __u32 send_seq, __u32 recv_seq)
{
	struct tcp_sock *tcp = native_tcp(s);

	memset(s, 0, sizeof(*s));
	s->u.sk.__sk_common.skc_family = family;
	s->u.sk.__sk_common.skc_state = 1; /* ESTABLISHED */
	s->u.sk.__sk_common.skc_net.net = &s->net;
	s->u.sk.sk_protocol = family == CLEW_AF_UNIX ? 0 : CLEW_IPPROTO_TCP;
	s->u.sk.sk_type = CLEW_SOCK_STREAM;
	s->net.ns.inum = 1;
	s->inode.i_ino = 77;
	s->file.f_inode = &s->inode;
	s->socket.sk = &s->u.sk;
	s->socket.file = &s->file;
	tcp->write_seq = send_seq;
	tcp->copied_seq = tcp->rcv_nxt = recv_seq;
}

/* One sendmsg or recvmsg, after it moved all of `len` bytes. */
struct native_call {
	enum clew_dir dir;
	const void *buf[NATIVE_IOV]; /* the caller's buffers, one behind the other */
	__u32 size[NATIVE_IOV];	     /* their sizes; only the last one may not be used up */
	__u32 nr;
	__u32 len;     /* bytes moved: 0 is the end of the stream */
	bool ubuf;     /* nr == 1: as ITER_UBUF, on kernels that have it */
	bool absent;   /* the memory of the caller is not present */
	bool no_bytes; /* sendfile, splice */
};

/* The iterator as the kernel leaves it: `len` bytes further than it began. */
static void native_iter(char *msg, const struct native_call *call, struct iovec *iov)
{
	struct iov_iter *it = &((struct msghdr *)msg)->msg_iter;
	__u32 left = call->len, at = 0;

	while (at + 1 < call->nr && left >= call->size[at])
		left -= call->size[at++];
	it->iov_offset = left;
	if (call->ubuf && native.release >= NATIVE_62) {
		it->iter_type = ITER_UBUF___ubuf;
		it->ubuf = (void *)call->buf[0];
		return;
	}
	if (native.release == NATIVE_510)
		*(unsigned int *)((char *)it + NATIVE_ITER510_AT) = ITER_IOVEC | 1;
	else
		it->iter_type = ITER_IOVEC;
	if (native.release >= NATIVE_64)
		it->__iov = iov + at;
	else
		*(struct iovec **)((char *)it + NATIVE_ITER62_AT) = iov + at;
}

/* Play the call, then the hook on its way out. */
static void native_play(struct native_sock *s, const struct native_call *call)
{
	struct iovec iov[CLEW_IOV_MAX + NATIVE_IOV + CLEW_IOV_MAX + 1]; /* garbage around them */
	struct tcp_sock *tcp = native_tcp(s);
	char msg[NATIVE_ITER510_AT + sizeof(struct msghdr)] = {0};

	native_drop_events();
	memset(iov, 0xee, sizeof(iov));
	native.nr_user = 0;
	for (__u32 i = 0; i < call->nr; i++) {
		iov[CLEW_IOV_MAX + i] = (struct iovec){(void *)call->buf[i], call->size[i]};
		native.user[i].p = call->buf[i];
		native.user[i].n = call->size[i];
		native.nr_user += !call->absent;
	}
	native_iter(msg, call, iov + CLEW_IOV_MAX);
	if (call->dir == CLEW_SEND) {
		tcp->write_seq += call->len;
		tcp->bytes_sent += call->len;
	} else {
		tcp->copied_seq += call->len;
		tcp->rcv_nxt += call->len;
		tcp->bytes_received += call->len;
	}
	socket_io(&native.proc, 0, &s->socket, call->no_bytes ? NULL : (void *)msg, (__u8)call->dir,
		  (long)call->len);
	native.nr_user = 0;
}

/* The segment that the last call became, or NULL. There is never more than one. */
static const struct clew_segment *native_segment(void)
{
	const struct clew_segment *seg = NULL;

	for (__u32 i = 0; i < native.nr_events; i++) {
		if (native.event[i]->type != CLEW_EV_SEGMENT)
			continue;
		MUST(!seg);
		seg = (const void *)native.event[i];
	}
	return seg;
}

static const struct clew_kconn *native_conn(const struct native_sock *s)
{
	__u64 key = (__u64)&s->u.sk;

	return bpf_map_lookup_elem(&conns, &key);
}

#endif
