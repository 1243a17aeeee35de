/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h - is it UTF-8, and if not, how long is the bad part. Captured text is arbitrary bytes;
 * protobuf strings and JSON have to be UTF-8 (RFC 3629).
 */
#ifndef CLEW_BASE_UTF8_H
#define CLEW_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CLEW_UTF8_REPLACEMENT	  "\xef\xbf\xbd" /* U+FFFD */
#define CLEW_UTF8_REPLACEMENT_LEN 3

/*
 * clew_utf8__step - the length of the character at p[0], n >= 1. When the bytes are ill-formed,
 * *ret_ok is false and the length is that of the maximal subpart (Unicode 15, 3.9, U+FFFD
 * substitution), at least 1: replace it by one U+FFFD.
 */
size_t clew_utf8__step(const uint8_t *p, size_t n, bool *ret_ok);

/* The whole text is well-formed. */
bool clew_utf8__valid_slow(const uint8_t *p, size_t n);

/* The same, quick for ASCII. */
static inline bool clew_utf8__valid(const char *p, size_t n)
{
	uint64_t acc = 0, w;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		memcpy(&w, p + i, 8);
		acc |= w;
	}
	for (; i < n; i++)
		acc |= (uint8_t)p[i];
	if (!(acc & 0x8080808080808080ULL))
		return true;
	return clew_utf8__valid_slow((const uint8_t *)p, n);
}

#endif
