/* SPDX-License-Identifier: Apache-2.0 */
/* deeds_move.c - see deeds.h. Vectors are cut in odd places, so that heads lie across buffers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "deeds.h"

#define PARTS 3
#define FIRST 7 /* bytes in the first buffer */

static int cut(struct iovec v[PARTS], void *buf, size_t n)
{
	size_t a = n > FIRST ? FIRST : n, b = (n - a) / 2;

	v[0] = (struct iovec){buf, a};
	v[1] = (struct iovec){(char *)buf + a, b};
	v[2] = (struct iovec){(char *)buf + a + b, n - a - b};
	return PARTS;
}

ssize_t send_write(int fd, void *buf, size_t n)
{
	return write(fd, buf, n);
}

ssize_t recv_read(int fd, void *buf, size_t n)
{
	return read(fd, buf, n);
}

ssize_t send_send(int fd, void *buf, size_t n)
{
	return send(fd, buf, n, MSG_NOSIGNAL);
}

ssize_t recv_recv(int fd, void *buf, size_t n)
{
	return recv(fd, buf, n, 0);
}

ssize_t send_writev(int fd, void *buf, size_t n)
{
	struct iovec v[PARTS];

	return writev(fd, v, cut(v, buf, n));
}

ssize_t recv_readv(int fd, void *buf, size_t n)
{
	struct iovec v[PARTS];

	return readv(fd, v, cut(v, buf, n));
}

ssize_t send_msg(int fd, void *buf, size_t n)
{
	struct iovec v[PARTS];
	struct msghdr m = {.msg_iov = v, .msg_iovlen = cut(v, buf, n)};

	return sendmsg(fd, &m, MSG_NOSIGNAL);
}

ssize_t recv_msg(int fd, void *buf, size_t n)
{
	struct iovec v[PARTS];
	struct msghdr m = {.msg_iov = v, .msg_iovlen = cut(v, buf, n)};

	return recvmsg(fd, &m, 0);
}

/* Two messages in one call: the second begins in the middle of the head. */
static int cut_mmsg(struct mmsghdr m[2], struct iovec v[2], void *buf, size_t n)
{
	size_t a = n > 20 ? 20 : n;

	memset(m, 0, 2 * sizeof(*m));
	v[0] = (struct iovec){buf, a};
	v[1] = (struct iovec){(char *)buf + a, n - a};
	for (int i = 0; i < 2; i++) {
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	return n > a ? 2 : 1;
}

static ssize_t sum_mmsg(const struct mmsghdr *m, int done)
{
	ssize_t sum = 0;

	if (done < 0)
		return -1;
	for (int i = 0; i < done; i++)
		sum += m[i].msg_len;
	return sum;
}

ssize_t send_mmsg(int fd, void *buf, size_t n)
{
	struct mmsghdr m[2];
	struct iovec v[2];
	int nr = cut_mmsg(m, v, buf, n);

	return sum_mmsg(m, sendmmsg(fd, m, nr, MSG_NOSIGNAL));
}

ssize_t recv_mmsg(int fd, void *buf, size_t n)
{
	struct mmsghdr m[2];
	struct iovec v[2];
	int nr = cut_mmsg(m, v, buf, n);

	return sum_mmsg(m, recvmmsg(fd, m, nr, MSG_WAITFORONE, NULL));
}

ssize_t recv_peek(int fd, void *buf, size_t n)
{
	ssize_t got = recv(fd, buf, n, MSG_PEEK);

	return got <= 0 ? got : recv(fd, buf, (size_t)got, 0);
}

ssize_t recv_all(int fd, void *buf, size_t n)
{
	return recv(fd, buf, n, MSG_WAITALL);
}

/* As an event loop does: never waits in the read. */
ssize_t recv_poll(int fd, void *buf, size_t n)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (poll(&p, 1, -1) < 0)
		return -1;
	return recv(fd, buf, n, MSG_DONTWAIT);
}

/* ---- between socket and file or pipe ----------------------------------------------------- */

ssize_t body_sendfile(int fd, void *buf, size_t n)
{
	int file = memfd_create("deeds", MFD_CLOEXEC);
	ssize_t done = -1;

	if (file >= 0 && write(file, buf, n) == (ssize_t)n && !lseek(file, 0, SEEK_SET))
		done = sendfile(fd, file, NULL, n);
	close(file);
	return done;
}

ssize_t body_splice_out(int fd, void *buf, size_t n)
{
	ssize_t done = -1;
	int p[2];

	if (pipe2(p, O_CLOEXEC))
		return -1;
	if (write(p[1], buf, n) == (ssize_t)n)
		done = splice(p[0], NULL, fd, NULL, n, 0);
	close(p[0]);
	close(p[1]);
	return done;
}

ssize_t body_splice_in(int fd, void *buf, size_t n)
{
	ssize_t done, got = 0;
	int p[2];

	if (pipe2(p, O_CLOEXEC))
		return -1;
	done = splice(fd, NULL, p[1], NULL, n, 0);
	if (done > 0)
		got = read(p[0], buf, (size_t)done);
	close(p[0]);
	close(p[1]);
	return got == done || done <= 0 ? done : -1;
}

/* ---- io_uring: one call at a time, with the system calls alone ---------------------------- */

static struct {
	int fd, state; /* 0: not tried, 1: works, -1: does not */
	_Atomic uint32_t *sq_tail, *cq_head, *cq_tail;
	uint32_t sq_mask, cq_mask, *sq_array;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring = {.fd = -1};

static int ring_open(void)
{
	struct io_uring_params p = {0};
	size_t sq, cq;
	char *s, *c;

	ring.fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (ring.fd < 0)
		return -1;
	sq = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
	cq = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	s = mmap(NULL, sq, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
	c = mmap(NULL, cq, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_CQ_RING);
	ring.sqes = mmap(NULL, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
			 MAP_SHARED, ring.fd, IORING_OFF_SQES);
	if (s == MAP_FAILED || c == MAP_FAILED || ring.sqes == MAP_FAILED)
		return -1;
	ring.sq_tail = (void *)(s + p.sq_off.tail);
	ring.sq_mask = *(uint32_t *)(s + p.sq_off.ring_mask);
	ring.sq_array = (void *)(s + p.sq_off.array);
	ring.cq_head = (void *)(c + p.cq_off.head);
	ring.cq_tail = (void *)(c + p.cq_off.tail);
	ring.cq_mask = *(uint32_t *)(c + p.cq_off.ring_mask);
	ring.cqes = (void *)(c + p.cq_off.cqes);
	return 0;
}

int uring_works(void)
{
	if (!ring.state)
		ring.state = ring_open() ? -1 : 1;
	return ring.state == 1 ? 0 : -1;
}

static ssize_t uring(uint8_t op, uint8_t flags, int fd, void *buf, size_t n)
{
	uint32_t tail, slot, head;
	int32_t res;

	if (uring_works())
		return -1;
	tail = atomic_load(ring.sq_tail);
	slot = tail & ring.sq_mask;
	ring.sqes[slot] = (struct io_uring_sqe){.opcode = op,
						.flags = flags,
						.fd = fd,
						.addr = (uint64_t)(uintptr_t)buf,
						.len = (uint32_t)n};
	ring.sq_array[slot] = slot;
	atomic_store(ring.sq_tail, tail + 1);
	head = atomic_load(ring.cq_head);
	while (syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0 ||
	       atomic_load(ring.cq_tail) == head)
		if (errno != EINTR)
			return -1;
	res = ring.cqes[head & ring.cq_mask].res;
	atomic_store(ring.cq_head, head + 1);
	if (res < 0) {
		errno = -res;
		return -1;
	}
	return res;
}

ssize_t send_uring(int fd, void *buf, size_t n)
{
	return uring(IORING_OP_SEND, 0, fd, buf, n);
}

ssize_t recv_uring(int fd, void *buf, size_t n)
{
	return uring(IORING_OP_RECV, 0, fd, buf, n);
}

/* On a thread that the kernel makes for it. */
ssize_t send_uring_async(int fd, void *buf, size_t n)
{
	return uring(IORING_OP_SEND, IOSQE_ASYNC, fd, buf, n);
}

ssize_t recv_uring_async(int fd, void *buf, size_t n)
{
	return uring(IORING_OP_RECV, IOSQE_ASYNC, fd, buf, n);
}

/* ---- waits of event loops ------------------------------------------------------------------ */

void wait_every_way(void)
{
	struct epoll_event ev;
	struct pollfd two[2] = {{.fd = -1}, {.fd = -1}};
	struct timeval soon = {0};
	fd_set none;
	struct timespec now = {0};
	int ep = epoll_create1(EPOLL_CLOEXEC);

	epoll_wait(ep, &ev, 1, 0);
	epoll_pwait(ep, &ev, 1, 0, NULL);
#ifdef SYS_epoll_wait
	syscall(SYS_epoll_wait, ep, &ev, 1, 0); /* the C library may use the other for both */
#endif
#ifdef SYS_epoll_pwait2
	syscall(SYS_epoll_pwait2, ep, &ev, 1, &now, NULL, 0);
#endif
#ifdef SYS_poll
	syscall(SYS_poll, two, 2, 0);
#endif
	ppoll(two, 2, &now, NULL);
	FD_ZERO(&none);
#ifdef SYS_select
	syscall(SYS_select, 1, &none, NULL, NULL, &soon); /* as with epoll_wait */
#endif
	pselect(1, &none, NULL, NULL, &now, NULL);
	close(ep);
}
