/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_body.c - where a body ends: RFC 9112 6 and 7.1 (chunked).
 *
 * Bytes are counted, never kept. Chunk framing is read as strictly as RFC 9112 7.1 writes it
 * (hex digits, optional extension, CR LF): a tracer that accepts more than one of the two
 * programs does would count other bytes than they do. What does not fit is BAD, and the
 * caller then knows that it no longer knows.
 */
#include <string.h>

#include "http1_int.h"

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a chunk-size line or of what follows chunk data. */
static int size_byte(struct http1_dir *d, uint8_t c)
{
	int v;

	switch (d->chunk) {
	case HTTP1_CHUNK_SIZE:
		v = hex(c);
		if (v >= 0) {
			/* 15 digits are more than a stream position can ever count to. */
			if (d->digits == 15)
				return HTTP1_BODY_BAD;
			d->digits++;
			d->remain = d->remain << 4 | (uint64_t)v;
			return HTTP1_BODY_MORE;
		}
		if (!d->digits)
			return HTTP1_BODY_BAD;
		if (c == '\r')
			d->chunk = HTTP1_CHUNK_SIZE_LF;
		else if (c == ';' || c == ' ' || c == '\t')
			d->chunk = HTTP1_CHUNK_EXT;
		else
			return HTTP1_BODY_BAD;
		return HTTP1_BODY_MORE;
	case HTTP1_CHUNK_EXT:
		if (c == '\n' || !c || ++d->framing_bytes > HTTP1_FRAMING_MAX)
			return HTTP1_BODY_BAD;
		if (c == '\r')
			d->chunk = HTTP1_CHUNK_SIZE_LF;
		return HTTP1_BODY_MORE;
	case HTTP1_CHUNK_SIZE_LF:
		d->chunk = d->remain ? HTTP1_CHUNK_DATA : HTTP1_TRAILER;
		return c == '\n' ? HTTP1_BODY_MORE : HTTP1_BODY_BAD;
	case HTTP1_CHUNK_CR:
		d->chunk = HTTP1_CHUNK_LF;
		return c == '\r' ? HTTP1_BODY_MORE : HTTP1_BODY_BAD;
	default: /* HTTP1_CHUNK_LF */
		d->chunk = HTTP1_CHUNK_SIZE;
		d->digits = 0;
		d->remain = 0;
		return c == '\n' ? HTTP1_BODY_MORE : HTTP1_BODY_BAD;
	}
}

/* One byte behind the last chunk. */
static int trailer_byte(struct http1_dir *d, uint8_t c)
{
	if (++d->framing_bytes > HTTP1_FRAMING_MAX)
		return HTTP1_BODY_BAD;
	switch (d->chunk) {
	case HTTP1_TRAILER:
		if (c == '\r')
			d->chunk = HTTP1_TRAILER_LF;
		else if (c == '\n')
			return HTTP1_BODY_BAD;
		else
			d->chunk = HTTP1_TRAILER_LINE;
		return HTTP1_BODY_MORE;
	case HTTP1_TRAILER_LINE:
		if (c == '\n')
			d->chunk = HTTP1_TRAILER;
		return HTTP1_BODY_MORE;
	default: /* HTTP1_TRAILER_LF */
		return c == '\n' ? HTTP1_BODY_END : HTTP1_BODY_BAD;
	}
}

static int feed_chunked(struct http1_dir *d, const uint8_t *p, size_t n, size_t *ret_used,
			uint64_t *ret_body)
{
	int rc = HTTP1_BODY_MORE;
	size_t i = 0;

	while (i < n && rc == HTTP1_BODY_MORE) {
		if (d->chunk == HTTP1_CHUNK_DATA) {
			size_t take = d->remain < n - i ? (size_t)d->remain : n - i;

			i += take;
			*ret_body += take;
			d->remain -= take;
			if (!d->remain)
				d->chunk = HTTP1_CHUNK_CR;
			continue;
		}
		rc = d->chunk >= HTTP1_TRAILER ? trailer_byte(d, p[i]) : size_byte(d, p[i]);
		if (rc != HTTP1_BODY_BAD)
			i++;
	}
	*ret_used = i;
	return rc;
}

int http1_body__feed(struct http1_dir *d, const uint8_t *p, size_t n, size_t *ret_used,
		     uint64_t *ret_body)
{
	size_t take = n;

	*ret_body = 0;
	if (d->framing == HTTP1_CHUNKED)
		return feed_chunked(d, p, n, ret_used, ret_body);
	if (d->framing == HTTP1_LENGTH) {
		if (d->remain < n)
			take = (size_t)d->remain;
		d->remain -= take;
	}
	*ret_used = take;
	*ret_body = take;
	return d->framing == HTTP1_LENGTH && !d->remain ? HTTP1_BODY_END : HTTP1_BODY_MORE;
}

uint64_t http1_body__cover(struct http1_dir *d, uint64_t n)
{
	if (d->framing == HTTP1_CLOSE)
		return n;
	if (d->framing == HTTP1_LOST ||
	    (d->framing == HTTP1_CHUNKED && d->chunk != HTTP1_CHUNK_DATA))
		return 0;
	if (n > d->remain)
		n = d->remain;
	d->remain -= n;
	if (d->framing == HTTP1_CHUNKED && !d->remain)
		d->chunk = HTTP1_CHUNK_CR;
	return n;
}

bool http1_body__tail(struct http1_dir *d, const uint8_t *p, size_t n, bool whole_piece)
{
	static const char end[HTTP1_TAIL + 1] = "\r\n0\r\n\r\n";

	if (whole_piece && n == 5 && !memcmp(p, end + 2, 5))
		return d->chunked;
	if (n >= HTTP1_TAIL) {
		memcpy(d->tail, p + n - HTTP1_TAIL, HTTP1_TAIL);
		d->tail_n = HTTP1_TAIL;
	} else {
		size_t old = d->tail_n + n > HTTP1_TAIL ? HTTP1_TAIL - n : d->tail_n;

		memmove(d->tail, d->tail + d->tail_n - old, old);
		memcpy(d->tail + old, p, n);
		d->tail_n = (uint8_t)(old + n);
	}
	return d->chunked && d->tail_n == HTTP1_TAIL && !memcmp(d->tail, end, HTTP1_TAIL);
}
