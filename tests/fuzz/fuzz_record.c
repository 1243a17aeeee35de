/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_record.c - recordings, both ways.
 *
 * Read: the input as a file; every event that comes out is whole. Written: the input cut into
 * segments of one connection, recorded and read back: the same events, no byte of a body but line
 * ends and chunk sizes, nothing of a credential; and a recording of the recording is the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <clew/capture.h>

#define SEGMENT_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

struct sum {
	uint8_t *p; /* owned: all events, one behind the other */
	size_t n;
	struct clew_recorder *again;
};

static void see(void *arg, const struct clew_event *ev)
{
	struct sum *s = arg;

	must(ev->size >= sizeof(*ev));
	s->p = realloc(s->p, s->n + ev->size);
	memcpy(s->p + s->n, ev, ev->size);
	s->n += ev->size;
	if (s->again)
		clew_recorder__write(s->again, ev);
}

static const char *name_of(int fd, char buf[32])
{
	snprintf(buf, 32, "/proc/self/fd/%d", fd);
	return buf;
}

static void read_back(const uint8_t *p, size_t n)
{
	int fd = memfd_create("recording", MFD_CLOEXEC);
	char path[32], errbuf[256] = "";
	struct sum s = {0};

	if (fd < 0 || write(fd, p, n) != (ssize_t)n)
		goto out;
	if (clew_replay(name_of(fd, path), see, &s, errbuf, sizeof(errbuf)))
		must(errbuf[0]);
	must(s.n <= n);
out:
	free(s.p);
	close(fd);
}

static void segment(struct clew_recorder *rec, const uint8_t *p, uint32_t cap, uint32_t len,
		    uint8_t dir, uint32_t seq)
{
	union {
		struct clew_segment seg;
		uint8_t room[sizeof(struct clew_segment) + SEGMENT_MAX];
	} u;

	memset(&u.seg, 0, sizeof(u.seg));
	u.seg.h.version = CLEW_EVENT_VERSION;
	u.seg.h.type = CLEW_EV_SEGMENT;
	u.seg.h.size = (uint16_t)(sizeof(u.seg) + cap);
	u.seg.conn_id = 1;
	u.seg.seq = seq;
	u.seg.len = len;
	u.seg.cap = (uint16_t)cap;
	u.seg.dir = dir;
	memcpy(u.room + sizeof(u.seg), p, cap);
	clew_recorder__write(rec, &u.seg.h);
}

/* Steps: direction and how many bytes were left out, how many follow, these. */
static void play(struct clew_recorder *rec, const uint8_t *p, size_t n)
{
	struct clew_conn_open open = {.conn_id = 1, .from_start = 1};
	uint32_t seq[2] = {0, 0};

	open.h.version = CLEW_EVENT_VERSION;
	open.h.type = CLEW_EV_CONN_OPEN;
	open.h.size = sizeof(open);
	clew_recorder__write(rec, &open.h);
	while (n >= 2) {
		uint8_t dir = p[0] & 1;
		uint32_t more = p[0] >> 1 & 0x3f, cap = p[1];

		if (p[0] & 0x80)
			seq[dir] += 3; /* lost */
		p += 2;
		n -= 2;
		if (cap > n)
			cap = (uint32_t)n;
		segment(rec, p, cap, cap + more, dir, seq[dir]);
		seq[dir] += cap + more;
		p += cap;
		n -= cap;
	}
}

static void written(const uint8_t *p, size_t n)
{
	int fd[2] = {memfd_create("first", MFD_CLOEXEC), memfd_create("second", MFD_CLOEXEC)};
	char path[2][32], errbuf[256] = "";
	struct clew_recorder *rec = NULL;
	struct sum first = {0}, second = {0};

	if (fd[0] < 0 || fd[1] < 0)
		goto out;
	must(!clew_recorder__new(name_of(fd[0], path[0]), &rec, errbuf, sizeof(errbuf)));
	play(rec, p, n);
	must(!clew_recorder__free(rec));
	must(!clew_recorder__new(name_of(fd[1], path[1]), &first.again, errbuf, sizeof(errbuf)));
	must(!clew_replay(path[0], see, &first, errbuf, sizeof(errbuf)));
	must(!clew_recorder__free(first.again));
	must(!clew_replay(path[1], see, &second, errbuf, sizeof(errbuf)));
	must(first.n == second.n && !memcmp(first.p, second.p, first.n));
out:
	free(first.p);
	free(second.p);
	close(fd[0]);
	close(fd[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] == 'c') /* as the file begins */
		read_back(data, size);
	else
		written(data, size);
	return 0;
}
