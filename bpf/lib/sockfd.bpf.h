/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* sockfd.bpf.h - from a descriptor of the current process to its socket. */
#ifndef CLEW_SOCKFD_BPF_H
#define CLEW_SOCKFD_BPF_H

#include "base.bpf.h"

#define CLEW_S_IFMT 0170000
#define CLEW_S_IFSOCK 0140000

static __always_inline struct file *file_of_fd(__u32 fd)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	struct fdtable *fdt = BPF_CORE_READ(t, files, fdt);
	struct file **array, *f = NULL;

	if (fd >= BPF_CORE_READ(fdt, max_fds))
		return NULL;
	array = BPF_CORE_READ(fdt, fd);
	bpf_probe_read_kernel(&f, sizeof(f), array + fd);
	return f;
}

/* The sock behind a file, or NULL when it is not a socket; its inode number tells reuse. */
static __always_inline struct sock *sock_of_file(struct file *f, __u64 *ret_ino)
{
	struct inode *inode;
	struct socket *so;

	if (!f)
		return NULL;
	inode = BPF_CORE_READ(f, f_inode);
	if ((BPF_CORE_READ(inode, i_mode) & CLEW_S_IFMT) != CLEW_S_IFSOCK)
		return NULL;
	if (ret_ino)
		*ret_ino = BPF_CORE_READ(inode, i_ino);
	so = BPF_CORE_READ(f, private_data);
	return so ? BPF_CORE_READ(so, sk) : NULL;
}

#endif
