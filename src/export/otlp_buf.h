/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_buf.h - protobuf wire format (https://protobuf.dev/programming-guides/encoding/),
 * written backwards. Every put_ function writes what stands BEFORE all that was written so
 * far: a field's value goes in first, its length next, its tag last. Inline: about ten of these
 * run per attribute.
 */
#ifndef CLEW_EXPORT_OTLP_BUF_H
#define CLEW_EXPORT_OTLP_BUF_H

#include <stdbool.h>
#include <string.h>

#include "export/otlp.h"

enum { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

/* fixed-width fields are little endian and are copied as they are */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86-64 and arm64 are");

#define PB_TAG(field, type) ((uint32_t)(field) << 3 | (type))

bool clew_otlp_buf__grow(struct clew_otlp_buf *b, size_t n);
void clew_otlp_buf__replaced(struct clew_otlp_buf *b, uint32_t tag, const char *p, size_t n);
bool clew_otlp_buf__is_utf8(const char *p, size_t n);

/* True when n more bytes fit. */
static inline bool pb_room(struct clew_otlp_buf *b, size_t n)
{
	if (__builtin_expect((size_t)(b->p - b->base) >= n, 1))
		return true;
	return clew_otlp_buf__grow(b, n);
}

/* The room was asked for: at most 10 bytes. */
static inline void pb_varint_raw(struct clew_otlp_buf *b, uint64_t v)
{
	unsigned len;

	if (v < 0x80) {
		*--b->p = (uint8_t)v;
		return;
	}
	len = (unsigned)(70 - __builtin_clzll(v)) / 7;
	b->p -= len;
	for (unsigned i = 0; i < len - 1; i++, v >>= 7)
		b->p[i] = (uint8_t)(v | 0x80);
	b->p[len - 1] = (uint8_t)v;
}

static inline void pb_varint(struct clew_otlp_buf *b, uint32_t tag, uint64_t v)
{
	if (!pb_room(b, 16))
		return;
	pb_varint_raw(b, v);
	pb_varint_raw(b, tag);
}

static inline void pb_fixed64(struct clew_otlp_buf *b, uint32_t tag, uint64_t v)
{
	if (!pb_room(b, 16))
		return;
	b->p -= 8;
	memcpy(b->p, &v, 8);
	pb_varint_raw(b, tag);
}

static inline void pb_fixed32(struct clew_otlp_buf *b, uint32_t tag, uint32_t v)
{
	if (!pb_room(b, 16))
		return;
	b->p -= 4;
	memcpy(b->p, &v, 4);
	pb_varint_raw(b, tag);
}

/*
 * Copy n bytes; most texts are short, and two overlapping moves of a fixed size beat a call.
 * Returns the OR of all bytes' high bits: zero means ASCII, hence UTF-8.
 */
static inline uint64_t pb_copy(uint8_t *to, const void *from, size_t n)
{
	const uint8_t *p = from;
	uint64_t a, b, high = 0;
	uint32_t c, d;

	if (n >= 8) {
		size_t i = 0;

		for (; i + 8 < n; i += 8) {
			memcpy(&a, p + i, 8);
			memcpy(to + i, &a, 8);
			high |= a;
		}
		memcpy(&b, p + n - 8, 8);
		memcpy(to + n - 8, &b, 8);
		return (high | b) & 0x8080808080808080ULL;
	}
	if (n >= 4) {
		memcpy(&c, p, 4);
		memcpy(&d, p + n - 4, 4);
		memcpy(to, &c, 4);
		memcpy(to + n - 4, &d, 4);
		return (c | d) & 0x80808080U;
	}
	for (size_t i = 0; i < n; i++)
		high |= to[i] = p[i];
	return high & 0x80;
}

static inline void pb_bytes(struct clew_otlp_buf *b, uint32_t tag, const void *p, size_t n)
{
	if (!pb_room(b, n + 16))
		return;
	b->p -= n;
	pb_copy(b->p, p, n);
	pb_varint_raw(b, n);
	pb_varint_raw(b, tag);
}

/* The same for text when the room is there; false, and nothing written: it is not UTF-8. */
static inline bool pb_string_raw(struct clew_otlp_buf *b, uint32_t tag, const char *p, size_t n)
{
	b->p -= n;
	if (__builtin_expect(pb_copy(b->p, p, n) != 0, 0) && !clew_otlp_buf__is_utf8(p, n)) {
		b->p += n;
		return false;
	}
	pb_varint_raw(b, n);
	pb_varint_raw(b, tag);
	return true;
}

/* A protobuf string: what is not UTF-8 is replaced. */
static inline void pb_string(struct clew_otlp_buf *b, uint32_t tag, const char *p, size_t n)
{
	if (pb_room(b, n + 16) && !pb_string_raw(b, tag, p, n))
		clew_otlp_buf__replaced(b, tag, p, n);
}

/* Fields with proto3's implicit presence: the default value is not written. */
static inline void pb_opt_string(struct clew_otlp_buf *b, uint32_t tag, struct clew_str s)
{
	if (s.n)
		pb_string(b, tag, s.p, s.n);
}

static inline void pb_opt_varint(struct clew_otlp_buf *b, uint32_t tag, uint64_t v)
{
	if (v)
		pb_varint(b, tag, v);
}

/* A message field: take the mark, write the fields last to first, then close it. */
static inline size_t pb_mark(const struct clew_otlp_buf *b)
{
	return (size_t)(b->end - b->p);
}

static inline void pb_close(struct clew_otlp_buf *b, uint32_t tag, size_t mark)
{
	if (!pb_room(b, 16))
		return;
	pb_varint_raw(b, pb_mark(b) - mark);
	pb_varint_raw(b, tag);
}

void clew_otlp_buf__attrs(struct clew_otlp_buf *b, uint32_t tag, const struct clew_attr *attrs,
			  uint32_t n);
void clew_otlp_buf__scope(struct clew_otlp_buf *b, uint32_t tag);
void clew_otlp_buf__resource(struct clew_otlp_buf *b, uint32_t tag, const struct clew_resource *r);

#endif
