/* SPDX-License-Identifier: Apache-2.0 */
/* gzip.h - one buffer into one gzip member (RFC 1952). */
#ifndef CLEW_EXPORT_GZIP_H
#define CLEW_EXPORT_GZIP_H

#include <stddef.h>
#include <stdint.h>

struct clew_gzip {
	uint8_t *p; /* owned: the compressed bytes of the last call */
	size_t len, cap;
	uint8_t *level_buf; /* owned: the compressor's workspace */
};

/* 0, -ENOMEM or -EIO. The result is g->p, valid until the next call. */
int clew_gzip__pack(struct clew_gzip *g, const void *p, size_t n);
void clew_gzip__free(struct clew_gzip *g);

#endif
