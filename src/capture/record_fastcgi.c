/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_fastcgi.c - FastCGI in a recording: records keep their headers, parameters their names
 * and lengths, so that a replay finds the same framing. Of values only those are kept that
 * a span is made of, with the query redacted as in a request line, and the status of an answer.
 * Bodies, error texts and what the sender left in padding and reserved bytes are masked.
 */
#include <string.h>

#include "capture/record_int.h"

#define HEADER_LEN 8

enum { BEGIN = 1, END = 3, PARAMS, STDIN, STDOUT, TYPE_MAX = 11 };
enum state { HEADER = 0, CONTENT, LOST };
enum pair { NAME_LEN = 0, VALUE_LEN, NAME, PAIR_VALUE, PAIR_LOST };
enum keeps { NOTHING = 0, ALL, AS_TARGET, AS_QUERY };

static const struct {
	const char *name;
	uint8_t keeps;
} kept[] = {
	{"REQUEST_METHOD", ALL},
	{"REQUEST_URI", AS_TARGET},
	{"QUERY_STRING", AS_QUERY},
	{"SCRIPT_NAME", ALL},
	{"PATH_INFO", ALL},
	{"CONTENT_LENGTH", ALL},
	{"CONTENT_TYPE", ALL},
	{"REQUEST_SCHEME", ALL},
	{"HTTPS", ALL},
	{"SERVER_NAME", ALL},
	{"SERVER_PORT", ALL},
	{"REMOTE_ADDR", ALL},
	{"HTTP_HOST", ALL},
	{"HTTP_TRACEPARENT", ALL},
	{"HTTP_TRACESTATE", ALL},
	{"HTTP_USER_AGENT", ALL},
	{"HTTP_FORWARDED", ALL},
	{"HTTP_X_FORWARDED_FOR", ALL},
	{"HTTP_X_FORWARDED_PROTO", ALL},
};

static uint8_t keeps_of(const struct flow *f)
{
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (f->name_n == strlen(kept[i].name) && !memcmp(f->name, kept[i].name, f->name_n))
			return kept[i].keeps;
	return NOTHING;
}

static bool is_header(const uint8_t *h)
{
	return h[0] == 1 && h[1] >= BEGIN && h[1] <= TYPE_MAX && !h[7];
}

bool record_fcgi__begins(const uint8_t *p, size_t n)
{
	return n >= HEADER_LEN && is_header(p) && p[1] == BEGIN && !p[4] && p[5] == 8;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static void begin_value(struct flow *f)
{
	struct record_fcgi *fc = &f->fc;

	fc->keeps = keeps_of(f);
	f->part = fc->keeps == AS_QUERY ? KEY : TARGET;
	f->name_n = f->slashes = 0;
	f->secret = f->connect = f->origin = false;
	fc->pair = fc->value ? PAIR_VALUE : NAME_LEN;
}

/* One byte of a length: of one, or of four with the highest bit set. True: it is complete. */
static bool length_byte(struct record_fcgi *fc, uint32_t *to, uint8_t c)
{
	if (!fc->digits && c & 0x80) {
		*to = c & 0x7f;
		fc->digits = 3;
		return false;
	}
	if (!fc->digits) {
		*to = c;
		return true;
	}
	*to = *to << 8 | c;
	return !--fc->digits;
}

static void param_byte(struct flow *f, uint8_t *p, size_t n)
{
	struct record_fcgi *fc = &f->fc;

	switch (fc->pair) {
	case NAME_LEN:
		if (length_byte(fc, &fc->name, *p))
			fc->pair = VALUE_LEN;
		break;
	case VALUE_LEN:
		if (!length_byte(fc, &fc->value, *p))
			break;
		f->name_n = 0;
		fc->pair = NAME;
		if (!fc->name)
			begin_value(f);
		break;
	case NAME:
		record__keep_name(f, *p);
		if (!--fc->name)
			begin_value(f);
		break;
	case PAIR_VALUE:
		/* behind a space nothing is known to be part of a target */
		if (fc->keeps == NOTHING || (fc->keeps != ALL && f->part == VERSION))
			record__mask(p, 1);
		else if (fc->keeps != ALL)
			*p = record__request_byte(f, p, n < fc->value ? n : fc->value);
		if (!--fc->value)
			fc->pair = NAME_LEN;
		break;
	default:
		record__mask(p, 1);
		break;
	}
}

/* ---- answers --------------------------------------------------------------------------------- */

static void block_byte(struct flow *f, uint8_t *p)
{
	uint8_t c = *p;

	if (c == '\n') {
		if (!f->name_n && !f->colon)
			f->fc.block = false;
		f->name_n = 0;
		f->colon = false;
	} else if (f->colon) {
		if (!record__is_name(f, "status"))
			record__mask(p, 1);
	} else if (c == ':') {
		f->colon = true;
	} else if (c != '\r') {
		record__keep_name(f, c);
	}
}

/* ---- records --------------------------------------------------------------------------------- */

static void content(struct flow *f, uint8_t *p, size_t n)
{
	switch (f->fc.raw[1]) {
	case BEGIN:
		break;
	case END: /* a status; the rest is reserved */
		for (size_t i = 0; i < n; i++)
			if (f->fc.content - i <= 3)
				p[i] = 0;
		break;
	case PARAMS:
		for (size_t i = 0; i < n; i++)
			param_byte(f, p + i, n - i);
		break;
	case STDOUT:
		while (n && f->fc.block) {
			block_byte(f, p++);
			n--;
		}
		record__mask(p, n);
		break;
	default:
		record__mask(p, n);
		break;
	}
}

static void record_begins(struct flow *f, struct flow *other)
{
	struct record_fcgi *fc = &f->fc;

	fc->content = (uint16_t)(fc->raw[4] << 8 | fc->raw[5]);
	fc->padding = fc->raw[6];
	fc->have = 0;
	fc->state = fc->content || fc->padding ? CONTENT : HEADER;
	if (fc->raw[1] != BEGIN)
		return;
	fc->pair = NAME_LEN;
	fc->digits = 0;
	other->fc.block = true;
	other->fc.state = HEADER;
	other->fc.have = 0;
	other->name_n = 0;
	other->colon = false;
}

static size_t header_bytes(struct flow *f, struct flow *other, uint8_t *p, size_t n)
{
	struct record_fcgi *fc = &f->fc;
	size_t take = HEADER_LEN - fc->have;

	if (take > n)
		take = n;
	memcpy(fc->raw + fc->have, p, take);
	fc->have = (uint8_t)(fc->have + take);
	if (fc->have < HEADER_LEN)
		return take;
	if (is_header(fc->raw)) {
		record_begins(f, other);
	} else {
		record__mask(p, take);
		record_fcgi__lost(f);
	}
	return take;
}

/* Of n bytes those that belong to the record in progress. */
static size_t advance(struct record_fcgi *fc, size_t n, size_t *ret_content)
{
	size_t c = n < fc->content ? n : fc->content, pad = n - c;

	if (pad > fc->padding)
		pad = fc->padding;
	fc->content = (uint16_t)(fc->content - c);
	fc->padding = (uint8_t)(fc->padding - pad);
	if (!fc->content && !fc->padding)
		fc->state = HEADER;
	*ret_content = c;
	return c + pad;
}

void record_fcgi__follow(struct flow *f, struct flow *other, uint8_t *p, size_t n)
{
	struct record_fcgi *fc = &f->fc;
	size_t at = 0, used, len;

	/* where the parser looks for a record again */
	if (fc->state == LOST && n >= HEADER_LEN && is_header(p)) {
		fc->state = HEADER;
		fc->have = 0;
	}
	while (at < n) {
		if (fc->state == HEADER) {
			at += header_bytes(f, other, p + at, n - at);
		} else if (fc->state == CONTENT) {
			len = n - at < fc->content ? n - at : fc->content;
			content(f, p + at, len);
			used = advance(fc, n - at, &len);
			memset(p + at + len, 0, used - len);
			at += used;
		} else {
			record__mask(p + at, n - at);
			at = n;
		}
	}
}

void record_fcgi__lost(struct flow *f)
{
	f->fc.state = LOST;
	f->fc.have = 0;
	f->fc.pair = PAIR_LOST;
	f->fc.block = false;
}

void record_fcgi__unseen(struct flow *f, uint32_t n, uint8_t *tail, size_t tail_n)
{
	static const uint8_t zero[5];
	struct record_fcgi *fc = &f->fc;
	size_t len, used;

	/* an empty STDIN, or END's content: the parser needs to see these */
	if (tail_n == 8 && !memcmp(tail, zero, sizeof(zero)))
		memset(tail, 0, tail_n);
	else if (tail_n != 8 || !is_header(tail) || tail[1] != STDIN || tail[4] || tail[5] ||
		 tail[6])
		record__mask(tail, tail_n);
	if (fc->state == CONTENT) {
		if (fc->content) {
			fc->pair = PAIR_LOST;
			fc->block = false;
		}
		used = advance(fc, n, &len);
		n -= (uint32_t)used;
	}
	if (n)
		record_fcgi__lost(f);
}
