/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * haproxy.bpf.h - which downstream request an upstream write of HAProxy serves, without a uprobe.
 *
 * HAProxy registers each connection with epoll under its descriptor (src/ev_epoll.c), so the
 * socket hook finds the descriptor by the file that it writes to, and from there the objects:
 *
 *   fdtab[fd].owner -> connection.ctx -> h1c.h1s -> h1s.sess -> session.origin -> connection
 *
 * The last one is where the session began: the client's (or an applet, a health check: none).
 * Each step is checked by a pointer that leads back, so a build with other offsets gives none.
 * Offsets: include/haproxy/{fd,connection,session}-t.h and src/mux_h1.c, alike from 2.4 to 3.3 but
 * for h1c.h1s, which discovery tells.
 */
#ifndef CLEW_HAPROXY_BPF_H
#define CLEW_HAPROXY_BPF_H

#include "nginx.bpf.h"

#define HA_FDTAB_SIZE  64
#define HA_FDTAB_OWNER 40
#define HA_CONN_CTX    40
#define HA_CONN_FD     104
#define HA_H1S_SESS    32
#define HA_SESS_ORIGIN 16

/* The connection that owns a descriptor, if it says so too. */
static __always_inline __u64 ha_conn(__u64 tab, __u32 fd)
{
	__u64 c = user_u64(tab + (__u64)fd * HA_FDTAB_SIZE + HA_FDTAB_OWNER);

	return c && user_u32(c + HA_CONN_FD) == fd ? c : 0;
}

/*
 * The descriptor of a file that is written to. A connection that another thread takes over is in no
 * epoll set until that one's next turn; then it is the call's own, if that is of this file.
 */
static __always_inline __u32 ha_fd(struct file *file)
{
	__u64 data = epoll_data(file);
	__u32 fd;

	if (data)
		return (__u32)data;
	fd = fd_of_call();
	return file_of_fd(fd) == file ? fd : 0;
}

/* conn_id of the downstream connection, or 0 when any step does not fit. */
static __noinline __u64 haproxy_downstream(__u64 fdtab, __u32 h1s_off, struct file *file)
{
	__u64 tab = user_u64(fdtab), c, h1c, h1s, front;
	__u32 fd;

	if (!file || !tab)
		return 0;
	c = ha_conn(tab, ha_fd(file));
	if (!c)
		return 0;
	h1c = user_u64(c + HA_CONN_CTX);
	if (!h1c || user_u64(h1c) != c)
		return 0;
	h1s = user_u64(h1c + h1s_off);
	if (!h1s || user_u64(h1s) != h1c)
		return 0;
	front = user_u64(user_u64(h1s + HA_H1S_SESS) + HA_SESS_ORIGIN);
	if (!front || front == c || (user_u32(front) & 0xff) != (user_u32(c) & 0xff)) /* obj_type */
		return 0;
	fd = user_u32(front + HA_CONN_FD);
	return ha_conn(tab, fd) == front ? conn_of_fd(fd) : 0;
}

#endif
