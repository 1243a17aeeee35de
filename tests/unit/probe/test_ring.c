/* SPDX-License-Identifier: Apache-2.0 */
/* The ring buffer's reader, on a file with the layout of kernel/bpf/ringbuf.c; the test writes as
 * the kernel does. */
#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "probe/ring.h"

#define BYTES (256 << 10)

static struct {
	int fd;
	size_t page, behind;
	unsigned long *consumer, *producer;
	uint8_t *data;
	struct clew_ring *ring;
	/* what came */
	uint32_t next;
	unsigned long
		at[2]; /* the consumer's position as a writer sees it: least and most behind */
} t;

static int setup(void **state)
{
	uint8_t *at;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.page = (size_t)sysconf(_SC_PAGESIZE);
	t.behind = 2 * 65536;
	t.fd = memfd_create("ring", MFD_CLOEXEC);
	assert_true(t.fd >= 0);
	assert_int_equal(ftruncate(t.fd, (off_t)(2 * t.page + BYTES + t.behind)), 0);
	at = mmap(NULL, 2 * t.page + BYTES + t.behind, PROT_READ | PROT_WRITE, MAP_SHARED, t.fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	t.consumer = (void *)at;
	t.producer = (void *)(at + t.page);
	t.data = at + 2 * t.page;
	return clew_ring__new(t.fd, BYTES, &t.ring);
}

static int teardown(void **state)
{
	(void)state;
	clew_ring__free(t.ring);
	munmap(t.consumer, 2 * t.page + BYTES + t.behind);
	close(t.fd);
	return 0;
}

/* A record of `len` bytes, its number in the first four and its length in the last. What goes on
 * behind the end lies at the start for the kernel, which maps the pages twice. */
static uint32_t *put(uint32_t len, uint32_t number, uint32_t bits)
{
	size_t at = *t.producer % BYTES;
	uint8_t *p = t.data + at;

	assert_true(*t.producer - *t.consumer + len + BPF_RINGBUF_HDR_SZ + 8 <= BYTES);
	memset(p, 0, BPF_RINGBUF_HDR_SZ);
	*(uint32_t *)p = len | bits;
	memcpy(p + BPF_RINGBUF_HDR_SZ, &number, 4);
	memcpy(p + BPF_RINGBUF_HDR_SZ + len - 4, &len, 4);
	*t.producer += (len + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
	return (uint32_t *)p;
}

static void on_record(void *arg, const void *data, size_t size)
{
	uint32_t number, len;
	unsigned long behind = *t.producer - *t.consumer;

	assert_ptr_equal(arg, &t);
	memcpy(&number, data, 4);
	memcpy(&len, (const uint8_t *)data + size - 4, 4);
	assert_int_equal(number, t.next);
	assert_int_equal(len, size);
	t.next++;
	t.at[0] = behind;
	if (behind > t.at[1])
		t.at[1] = behind;
}

static int consume(int max)
{
	return clew_ring__consume(t.ring, max, on_record, &t);
}

static void test_order(void **state)
{
	(void)state;
	assert_int_equal(consume(10), 0);
	for (uint32_t i = 0; i < 5; i++)
		put(8 + i, i, 0);
	assert_int_equal(clew_ring__waiting(t.ring), *t.producer);
	assert_int_equal(consume(3), 3);
	assert_int_equal(t.next, 3);
	assert_int_equal(consume(10), 2);
	assert_int_equal(clew_ring__waiting(t.ring), 0);
	assert_int_equal(*t.consumer, *t.producer);
	assert_int_equal(consume(10), 0);
}

/* What is thrown away is no record; one that is being written holds back those behind it. */
static void test_discarded_and_busy(void **state)
{
	uint32_t *busy;

	(void)state;
	put(8, 0, 0);
	put(100, 77, BPF_RINGBUF_DISCARD_BIT);
	busy = put(8, 1, BPF_RINGBUF_BUSY_BIT);
	put(8, 2, 0);
	assert_int_equal(consume(10), 1);
	assert_int_equal(consume(10), 0);
	*busy &= ~BPF_RINGBUF_BUSY_BIT;
	assert_int_equal(consume(10), 2);
	put(8, 77, BPF_RINGBUF_DISCARD_BIT);
	assert_int_equal(consume(10), 0);
	assert_int_equal(clew_ring__waiting(t.ring), 0);
}

/* Round and round, with records of every length: each is whole, also at the end of the buffer. */
static void test_rounds(void **state)
{
	uint32_t n = 0;

	(void)state;
	while (*t.producer < 20UL * BYTES) {
		put(8 + n * 37 % 5000, n, 0);
		n++;
		if (n % 7 == 0)
			assert_int_equal(consume(100), 7);
	}
	put(CLEW_RING_RECORD_MAX, n, 0);
	assert_int_equal(consume(100), n % 7 + 1);
	assert_int_equal(t.next, n + 1);
}

/* Room is given back while the reader is at work, not only when it is through. */
static void test_gives_back(void **state)
{
	uint32_t n = 0;

	(void)state;
	while (*t.producer + 2048 < BYTES)
		put(1000, n++, 0);
	assert_int_equal(consume((int)n), n);
	assert_int_equal(t.at[1], *t.producer);
	assert_in_range(t.at[0], 1000, 65536 + 1008);
}

static void test_no_ring(void **state)
{
	struct clew_ring *ring = NULL;

	(void)state;
	assert_int_equal(clew_ring__new(-1, BYTES, &ring), -EBADF);
	assert_null(ring);
	clew_ring__free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_discarded_and_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gives_back, setup, teardown),
		cmocka_unit_test(test_no_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
