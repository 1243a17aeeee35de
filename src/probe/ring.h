/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h - the reader of the kernel's ring buffer (BPF_MAP_TYPE_RINGBUF; kernel/bpf/ringbuf.c).
 *
 * Instead of libbpf's ring_buffer__new(), which maps the buffer twice in full, so that a record
 * at its end can be read on, and counts it twice in the agent's resident memory: here as much as
 * the longest record may need is mapped behind the end. And what was read is given back many
 * records at a time: every writer looks at that position, on whatever processor it runs.
 */
#ifndef CLEW_PROBE_RING_H
#define CLEW_PROBE_RING_H

#include <stddef.h>
#include <stdint.h>

#define CLEW_RING_RECORD_MAX 65535 /* bytes: clew_event.size has 16 bits */

struct clew_ring;

/* One record, valid until the function returns. */
typedef void (*clew_ring_fn)(void *arg, const void *data, size_t size);

/* Map the ring buffer `map_fd` of `bytes`, a power of two >= 64 KiB. 0, -ENOMEM, or mmap's -errno.
 */
int clew_ring__new(int map_fd, size_t bytes, struct clew_ring **ret);

/* NULL is fine. */
void clew_ring__free(struct clew_ring *ring);

/* Hand out up to `max` records in their order; how many there were. A record that is still being
 * written ends the turn. */
int clew_ring__consume(struct clew_ring *ring, int max, clew_ring_fn fn, void *arg);

/* Bytes that wait to be read, or are being written. */
size_t clew_ring__waiting(const struct clew_ring *ring);

#endif
