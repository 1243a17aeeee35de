/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip (RFC 1952) by ISA-L at level 1: spans are text that repeats itself, and ISA-L takes less
 * than a tenth of zlib's time over them for about the same size.
 */
#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>

#include "export/gzip.h"

#define KEEP (4u << 20)

static int gzip_room(struct clew_gzip *g, size_t n)
{
	/* stored blocks are the worst case: 5 bytes per 64 KiB, and the member's frame */
	size_t need = n + n / 1024 + 1024;

	if (!g->level_buf) {
		g->level_buf = malloc(ISAL_DEF_LVL1_DEFAULT);
		if (!g->level_buf)
			return -ENOMEM;
	}
	if (g->cap >= need && (g->cap <= KEEP || need > KEEP))
		return 0;
	free(g->p);
	g->cap = 0;
	g->p = malloc(need);
	if (!g->p)
		return -ENOMEM;
	g->cap = need;
	return 0;
}

int clew_gzip__pack(struct clew_gzip *g, const void *p, size_t n)
{
	struct isal_zstream z;
	int err;

	if (n > UINT32_MAX / 2)
		return -ENOMEM;
	err = gzip_room(g, n);
	if (err)
		return err;
	isal_deflate_init(&z);
	z.level = 1;
	z.level_buf = g->level_buf;
	z.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
	z.gzip_flag = IGZIP_GZIP;
	z.end_of_stream = 1;
	z.flush = NO_FLUSH;
	z.next_in = (uint8_t *)(uintptr_t)p;
	z.avail_in = (uint32_t)n;
	z.next_out = g->p;
	z.avail_out = (uint32_t)g->cap;
	if (isal_deflate(&z) != COMP_OK || z.internal_state.state != ZSTATE_END)
		return -EIO;
	g->len = z.total_out;
	return 0;
}

void clew_gzip__free(struct clew_gzip *g)
{
	free(g->p);
	free(g->level_buf);
	memset(g, 0, sizeof(*g));
}
