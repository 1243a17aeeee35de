/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/* sockfd.bpf.h - from a descriptor of the current process to its socket. */
#ifndef CLEW_SOCKFD_BPF_H
#define CLEW_SOCKFD_BPF_H

#include "base.bpf.h"

#define CLEW_S_IFMT   0170000
#define CLEW_S_IFSOCK 0140000

static __always_inline struct file *file_of_fd(__u32 fd)
{
	void *files = TASK_READ(files);
	void *fdt = KPTR(files_struct, files, fdt);
	struct file **array, *f = NULL;

	if (fd >= KREAD(fdtable, fdt, max_fds))
		return NULL;
	array = KPTR(fdtable, fdt, fd);
	if (bpf_ksym_exists(rdonly_cast))
		return (void *)KWORD(array + fd);
	bpf_probe_read_kernel(&f, sizeof(f), array + fd);
	return f;
}

/* The descriptor that the current system call is about; 0: cannot be told (before 5.15). */
static __always_inline __u32 fd_of_call(void)
{
	return CALL_REGS_TYPED ? (__u32)PT_REGS_PARM1_CORE(CALL_REGS) : 0;
}

/* The sock behind a file, or NULL when it is not a socket; its inode number tells reuse. */
static __always_inline struct sock *sock_of_file(struct file *f, __u64 *ret_ino)
{
	void *inode, *so;

	if (!f)
		return NULL;
	inode = KPTR(file, f, f_inode);
	if ((KREAD(inode, inode, i_mode) & CLEW_S_IFMT) != CLEW_S_IFSOCK)
		return NULL;
	if (ret_ino)
		*ret_ino = KREAD(inode, inode, i_ino);
	so = KPTR(file, f, private_data);
	return so ? KPTR(socket, so, sk) : NULL;
}

/* The file of a sock, or NULL. */
static __always_inline struct file *file_of_sock(struct sock *sk, __u64 *ret_ino)
{
	void *so = KPTR(sock, sk, sk_socket), *inode, *file;

	file = so ? KPTR(socket, so, file) : NULL;
	if (!file)
		return NULL;
	inode = KPTR(file, file, f_inode);
	*ret_ino = KREAD(inode, inode, i_ino);
	return file;
}

/* The connection behind a descriptor of the current process, or 0 when none is known. */
static __always_inline __u64 conn_of_fd(__u32 fd)
{
	__u64 key = (__u64)sock_of_file(file_of_fd(fd), NULL);
	struct clew_kconn *c = key ? bpf_map_lookup_elem(&conns, &key) : NULL;

	return c ? c->id : 0;
}

#endif
