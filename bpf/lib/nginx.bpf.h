/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * nginx.bpf.h - which downstream request an upstream write of nginx serves, without a uprobe.
 *
 * nginx registers each connection with epoll under the address of its ngx_connection_t (lowest
 * bit: an instance flag; src/event/modules/ngx_epoll_module.c). The kernel keeps that word in
 * the file's epitem, so the socket hook finds the object of the very connection it writes to.
 * Its `data` is the ngx_http_request_t (signature "HTTP"), whose connection is the downstream
 * one: its descriptor names the socket on which the request came in.
 */
#ifndef CLEW_NGINX_BPF_H
#define CLEW_NGINX_BPF_H

#include "conn.bpf.h"
#include "sockfd.bpf.h"

#define NGX_HTTP_MODULE_SIGNATURE 0x50545448 /* "HTTP" */

static __always_inline __u64 epoll_data(struct file *f)
{
	__u64 data = 0;

	if (bpf_core_field_exists(f->f_ep)) {
		struct hlist_head *head = BPF_CORE_READ(f, f_ep);
		struct hlist_node *n = head ? BPF_CORE_READ(head, first) : NULL;
		struct epitem *epi;

		if (!n)
			return 0;
		epi = (void *)n - bpf_core_field_offset(struct epitem, fllink);
		data = BPF_CORE_READ(epi, event.data);
	} else {
		struct file___510 *old = (void *)f;
		struct list_head *n = BPF_CORE_READ(old, f_ep_links.next);
		struct epitem___510 *epi;

		if (!n ||
		    (void *)n == (void *)old + bpf_core_field_offset(struct file___510, f_ep_links))
			return 0;
		epi = (void *)n - bpf_core_field_offset(struct epitem___510, fllink);
		data = BPF_CORE_READ(epi, event.data);
	}
	return data;
}

/* conn_id of the downstream connection, or 0 when any step does not fit. */
static __always_inline __u64 nginx_downstream(struct file *file)
{
	__u64 c, r, dc;

	if (!file)
		return 0;
	c = epoll_data(file) & ~1ULL;
	r = user_u64(c);
	if (!r || user_u32(r) != NGX_HTTP_MODULE_SIGNATURE)
		return 0;
	dc = user_u64(r + 8);
	if (!dc || dc == c)
		return 0;
	return conn_of_fd(user_u32(dc + 24));
}

#endif
