/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_put.h - the pieces of JSON text without any check of the room: who uses them has asked
 * clew_json__room() for all of it at once. Each takes where to write and returns where it ended.
 * Inline, because about five of these run per attribute of a span.
 */
#ifndef CLEW_BASE_JSON_PUT_H
#define CLEW_BASE_JSON_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* eight digits are made in a register and stored as they are */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86-64 and arm64 are");

#define JSON_PUT_U64 24 /* the room that clew_json_put__u64() wants; it writes 20 at most */

/* A string literal: one or two moves of a fixed size. */
#define clew_json_put__lit(to, literal)                                                            \
	((char *)memcpy((to), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

/*
 * The high bit of some byte is set when not all eight bytes are plain, that is ASCII from 0x20 to
 * 0x7e without quote and backslash. A difference borrows, and a sum carries, only out of a byte
 * that is not plain itself, so neither makes plain bytes look bad.
 */
static inline uint64_t clew_json_put__special(uint64_t w)
{
	const uint64_t each = 0x0101010101010101ULL;
	uint64_t quote = w ^ each * '"', backslash = w ^ each * '\\';

	return (w | (w + each) | (w - each * 0x20) | (quote - each) | (backslash - each)) &
	       each * 0x80;
}

typedef uint8_t clew_json_put__v16 __attribute__((vector_size(16)));

/* The same for sixteen: a byte is not 0 where it is not plain. */
static inline clew_json_put__v16 clew_json_put__special16(clew_json_put__v16 v)
{
	return (clew_json_put__v16)((v - 0x20 >= 0x7f - 0x20) | (v == '"') | (v == '\\'));
}

/*
 * Copy n bytes; the end is done by overlapping moves of a fixed size. Returns NULL when something
 * in them has to be escaped or looked at; what is written then means nothing.
 */
static inline char *clew_json_put__plain(char *to, const char *p, size_t n)
{
	uint64_t a, bad = 0;
	uint32_t b, c;

	if (n >= 16) {
		clew_json_put__v16 v, all = {0};
		uint64_t half[2];

		for (size_t i = 0; i + 16 < n; i += 16) {
			memcpy(&v, p + i, 16);
			memcpy(to + i, &v, 16);
			all |= clew_json_put__special16(v);
		}
		memcpy(&v, p + n - 16, 16);
		memcpy(to + n - 16, &v, 16);
		all |= clew_json_put__special16(v);
		memcpy(half, &all, 16);
		return half[0] | half[1] ? NULL : to + n;
	}
	if (n >= 8) {
		for (size_t i = 0; i + 8 < n; i += 8) {
			memcpy(&a, p + i, 8);
			memcpy(to + i, &a, 8);
			bad |= clew_json_put__special(a);
		}
		memcpy(&a, p + n - 8, 8);
		memcpy(to + n - 8, &a, 8);
	} else if (n >= 4) {
		memcpy(&b, p, 4);
		memcpy(&c, p + n - 4, 4);
		memcpy(to, &b, 4);
		memcpy(to + n - 4, &c, 4);
		a = b | (uint64_t)c << 32;
	} else if (n) {
		to[0] = p[0];
		to[n / 2] = p[n / 2];
		to[n - 1] = p[n - 1];
		a = (uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << 8 |
		    (uint64_t)(uint8_t)p[n - 1] << 16 | 0x2020202020000000ULL;
	} else {
		return to;
	}
	return bad | clew_json_put__special(a) ? NULL : to + n;
}

/* Decimal, two digits at a time. */
static inline char *clew_json_put__u64(char *to, uint64_t v)
{
	static const char pairs[] = "0001020304050607080910111213141516171819"
				    "2021222324252627282930313233343536373839"
				    "4041424344454647484950515253545556575859"
				    "6061626364656667686970717273747576777879"
				    "8081828384858687888990919293949596979899";
	char buf[JSON_PUT_U64 * 2], *p = buf + JSON_PUT_U64;

	for (; v >= 100; v /= 100)
		memcpy(p -= 2, pairs + v % 100 * 2, 2);
	if (v >= 10)
		memcpy(p -= 2, pairs + v * 2, 2);
	else
		*--p = (char)('0' + v);
	memcpy(to, p, JSON_PUT_U64); /* as much as there may be; buf is longer for that */
	return to + (buf + JSON_PUT_U64 - p);
}

static inline char *clew_json_put__i64(char *to, int64_t v)
{
	*to = '-';
	return clew_json_put__u64(to + (v < 0), v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* Hexadecimal, four bytes at a time: their eight halves, spread over a register. */
static inline char *clew_json_put__hex4(char *to, const uint8_t *p)
{
	uint32_t v;
	uint64_t w;

	memcpy(&v, p, 4);
	w = (v | (uint64_t)v << 16) & 0x0000ffff0000ffffULL;
	w = (w | w << 8) & 0x00ff00ff00ff00ffULL;
	w = (w >> 4 & 0x000f000f000f000fULL) | (w << 8 & 0x0f000f000f000f00ULL);
	/* 10 to 15 reach the bit of 16 by 6 more: these are letters */
	w += 0x3030303030303030ULL +
	     ((w + 0x0606060606060606ULL) >> 4 & 0x0101010101010101ULL) * ('a' - '0' - 10);
	memcpy(to, &w, 8);
	return to + 8;
}

static inline char *clew_json_put__hex(char *to, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	size_t i = 0;

	for (; i + 4 <= n; i += 4)
		to = clew_json_put__hex4(to, p + i);
	for (; i < n; i++) {
		*to++ = digits[p[i] >> 4];
		*to++ = digits[p[i] & 15];
	}
	return to;
}

#endif
