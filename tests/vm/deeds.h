/* SPDX-License-Identifier: Apache-2.0 */
/* deeds.h - the ways to move bytes through a stream socket that deeds.c tries one by one. */
#ifndef CLEW_TESTS_VM_DEEDS_H
#define CLEW_TESTS_VM_DEEDS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Move up to `n` bytes of `buf`. Returns how many were moved, 0 at the end of the stream, or -1
 * with errno. The `body` ways move the bytes between socket and pipe or file; what is in `buf` is
 * sent all the same, or arrives there.
 */
typedef ssize_t deeds_move(int fd, void *buf, size_t n);

deeds_move send_write, send_send, send_writev, send_msg, send_mmsg, send_uring, send_uring_async;
deeds_move recv_read, recv_recv, recv_readv, recv_msg, recv_mmsg, recv_peek, recv_all, recv_poll;
deeds_move recv_uring, recv_uring_async;
deeds_move body_sendfile, body_splice_out, body_splice_in;

/* 0, or -1 with errno when the kernel has no io_uring (or not for these calls). */
int uring_works(void);

/* One call of every wait of an event loop, none of which blocks. */
void wait_every_way(void);

#endif
