/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - positions only grow; modulo the size of the buffer they are offsets into its data. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe/ring.h"

#define GIVE_BACK 65536 /* bytes that are read before writers are told */

struct clew_ring {
	size_t bytes, page;
	size_t behind;		 /* mapped once more behind the end, bytes */
	unsigned long *consumer; /* a page of its own: written here, read by writers */
	const unsigned long *producer;
	const uint8_t *data;
};

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

int clew_ring__new(int map_fd, size_t bytes, struct clew_ring **ret)
{
	struct clew_ring *ring = calloc(1, sizeof(*ring));
	int err = -ENOMEM;
	void *at;

	if (!ring)
		return err;
	ring->bytes = bytes;
	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	ring->behind = round_up(CLEW_RING_RECORD_MAX + BPF_RINGBUF_HDR_SZ, ring->page);
	if (ring->behind > bytes)
		ring->behind = bytes;
	at = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (at == MAP_FAILED)
		goto err_out;
	ring->consumer = at;
	at = mmap(NULL, ring->page + bytes + ring->behind, PROT_READ, MAP_SHARED, map_fd,
		  (off_t)ring->page);
	if (at == MAP_FAILED)
		goto err_out;
	ring->producer = at;
	ring->data = (const uint8_t *)at + ring->page;
	*ret = ring;
	return 0;

err_out:
	err = -errno;
	clew_ring__free(ring);
	return err;
}

void clew_ring__free(struct clew_ring *ring)
{
	if (!ring)
		return;
	if (ring->consumer)
		munmap(ring->consumer, ring->page);
	if (ring->producer)
		munmap((void *)ring->producer, ring->page + ring->bytes + ring->behind);
	free(ring);
}

size_t clew_ring__waiting(const struct clew_ring *ring)
{
	return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - *ring->consumer;
}

int clew_ring__consume(struct clew_ring *ring, int max, clew_ring_fn fn, void *arg)
{
	unsigned long given = *ring->consumer, at = given;
	unsigned long end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	int n = 0;

	while (at < end && n < max) {
		const uint32_t *head = (const void *)(ring->data + (at & (ring->bytes - 1)));
		uint32_t len = __atomic_load_n(head, __ATOMIC_ACQUIRE);

		if (len & BPF_RINGBUF_BUSY_BIT)
			break;
		if (!(len & BPF_RINGBUF_DISCARD_BIT)) {
			fn(arg, (const uint8_t *)head + BPF_RINGBUF_HDR_SZ, len);
			n++;
		}
		at += round_up((len & ~BPF_RINGBUF_DISCARD_BIT) + BPF_RINGBUF_HDR_SZ, 8);
		if (at - given >= GIVE_BACK) {
			given = at;
			__atomic_store_n(ring->consumer, given, __ATOMIC_RELEASE);
		}
		if (at == end)
			end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	}
	__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	return n;
}
