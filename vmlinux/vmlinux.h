/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * vmlinux.h - the kernel types that clew reads, and of each only the fields that it reads.
 * libbpf relocates every access to the running kernel's layout (CO-RE), so order and size do
 * not matter here; names and types do. tests/vm/btf_check.py compares them with real kernels.
 * A flavour (name___suffix) describes the same kernel type as older or newer kernels have it.
 */
#ifndef CLEW_VMLINUX_H
#define CLEW_VMLINUX_H
#define __VMLINUX_H__ /* bpf_tracing.h: use the kernel's register names */

#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
typedef unsigned long size_t;
enum { false = 0, true = 1 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip,
		cs, flags, sp, ss;
};
struct thread_struct {
	unsigned long fsbase;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	u64 regs[31];
	u64 sp, pc, pstate;
};
struct pt_regs {
	union {
		struct user_pt_regs user_regs;
		struct {
			u64 regs[31];
			u64 sp, pc, pstate;
		};
	};
	u64 orig_x0;
	s32 syscallno;
};
struct thread_struct {
	struct {
		unsigned long tp_value;
	} uw;
};
#endif

struct list_head {
	struct list_head *next, *prev;
};
struct timespec64 {
	s64 tv_sec; /* base.bpf.h: any word that is no pointer to the verifier */
};
struct hlist_node {
	struct hlist_node *next, **pprev;
};
struct hlist_head {
	struct hlist_node *first;
};
struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
};
struct file {
	struct inode *f_inode;
	void *private_data;
	struct hlist_head *f_ep;
};
struct file___510 { /* up to 5.10 */
	struct list_head f_ep_links;
};
struct rb_node {
	struct rb_node *rb_right;
	struct rb_node *rb_left;
};
struct rb_root {
	struct rb_node *rb_node;
};
struct rb_root_cached {
	struct rb_root rb_root;
};
struct eventpoll {
	struct rb_root_cached rbr;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
typedef struct {
	int counter;
} atomic_t;
struct signal_struct {
	atomic_t live;
};
struct io_uring_task;
struct task_struct {
	int pid, tgid;
	unsigned int flags;
	int exit_code;
	struct files_struct *files;
	struct signal_struct *signal;
	struct io_uring_task *io_uring;
	struct task_struct *group_leader;
	u64 start_time, self_exec_id;
	unsigned long nvcsw;
	struct thread_struct thread;
	char comm[16];
};
struct linux_binprm {
	const char *filename;
};

struct ns_common {
	unsigned int inum;
};
struct net {
	struct ns_common ns;
};
typedef struct {
	struct net *net;
} possible_net_t;
struct in6_addr {
	union {
		u8 u6_addr8[16];
	} in6_u;
};
struct sock_common {
	u32 skc_daddr, skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};
enum sock_flags {
	SOCK_DONE = 97, /* read from the kernel */
};
struct socket;
struct sk_buff_head {
	u32 qlen;
};
struct sock {
	struct sock_common __sk_common;
	u16 sk_type, sk_protocol;
	struct socket *sk_socket;
	struct sk_buff_head sk_receive_queue;
	int sk_err;
	u8 sk_shutdown;
};
struct sk_buff {
	struct sock *sk;
};
struct socket {
	struct file *file;
	struct sock *sk;
};
struct tcp_sock {
	u32 copied_seq, rcv_nxt, write_seq;
	u64 bytes_received, bytes_sent;
};
struct unix_sock {
	struct sock *peer;
};

struct iovec {
	void *iov_base;
	unsigned long iov_len;
};
struct iov_iter {
	u8 iter_type;
	unsigned long iov_offset, count;
	const struct iovec *__iov; /* 6.4 on */
	void *ubuf;		   /* 6.0 on */
};
struct iov_iter___62 { /* up to 6.3 */
	const struct iovec *iov;
};
struct iov_iter___510 { /* up to 5.13 */
	unsigned int type;
};
enum iter_type {
	ITER_IOVEC = 98, /* the values are read from the kernel, never from here */
};
enum iter_type___ubuf {
	ITER_UBUF___ubuf = 99,
};
struct msghdr {
	struct iov_iter msg_iter;
};
struct unix_stream_read_state {
	struct socket *socket;
	struct msghdr *msg;
	int flags;
};

struct epoll_event {
	u32 events;
	u64 data;
};
struct epitem {
	struct hlist_node fllink;
	struct epoll_event event;
};
struct epitem___510 { /* up to 5.10 */
	struct list_head fllink;
	struct epoll_event event;
};

#pragma clang attribute pop

#endif
