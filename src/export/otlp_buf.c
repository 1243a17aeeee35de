/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The growable, capped buffer of the backward encoder, and the messages that traces and metrics
 * share (opentelemetry-proto common.proto, resource.proto). Growing moves what is written to the
 * end of a larger block; nobody keeps pointers into it, marks are distances from the end.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "export/otlp_buf.h"

#define BUF_FIRST (64u << 10)
#define BUF_KEEP  (4u << 20)

void clew_otlp_buf__init(struct clew_otlp_buf *b, size_t max)
{
	memset(b, 0, sizeof(*b));
	b->max = max;
}

void clew_otlp_buf__reset(struct clew_otlp_buf *b)
{
	if ((size_t)(b->end - b->base) > BUF_KEEP)
		clew_otlp_buf__free(b);
	b->p = b->end;
	b->err = 0;
}

void clew_otlp_buf__free(struct clew_otlp_buf *b)
{
	free(b->base);
	b->base = b->p = b->end = NULL;
}

bool clew_otlp_buf__grow(struct clew_otlp_buf *b, size_t n)
{
	size_t used = clew_otlp_buf__len(b), cap = (size_t)(b->end - b->base);
	uint8_t *base;

	if (b->err)
		return false;
	if (n > b->max || used > b->max - n) {
		b->err = -EMSGSIZE;
	} else {
		cap = cap ? cap : BUF_FIRST;
		while (cap - used < n)
			cap *= 2;
		if (cap > b->max)
			cap = b->max;
		base = malloc(cap);
		if (base) {
			if (used)
				memcpy(base + cap - used, b->p, used);
			free(b->base);
			b->base = base;
			b->end = base + cap;
			b->p = b->end - used;
			return true;
		}
		b->err = -ENOMEM;
	}
	/* no room from now on, whatever is asked for: pb_room() must keep failing */
	clew_otlp_buf__free(b);
	return false;
}

bool clew_otlp_buf__is_utf8(const char *p, size_t n)
{
	return clew_utf8__valid(p, n);
}

void clew_otlp_buf__replaced(struct clew_otlp_buf *b, uint32_t tag, const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t out = 0, i, len;
	uint8_t *to;
	bool ok;

	for (i = 0; i < n; i += len) {
		len = clew_utf8__step(p + i, n - i, &ok);
		out += ok ? len : CLEW_UTF8_REPLACEMENT_LEN;
	}
	if (!pb_room(b, out + 16))
		return;
	b->p -= out;
	to = b->p;
	for (i = 0; i < n; i += len) {
		len = clew_utf8__step(p + i, n - i, &ok);
		memcpy(to, ok ? (const void *)(p + i) : CLEW_UTF8_REPLACEMENT,
		       ok ? len : CLEW_UTF8_REPLACEMENT_LEN);
		to += ok ? len : CLEW_UTF8_REPLACEMENT_LEN;
	}
	pb_varint_raw(b, out);
	pb_varint_raw(b, tag);
}

/* ArrayValue of strings */
static void put_strings(struct clew_otlp_buf *b, const struct clew_str *v, uint32_t n)
{
	size_t array = pb_mark(b);

	while (n--) {
		size_t value = pb_mark(b);

		pb_string(b, PB_TAG(1, PB_BYTES), v[n].p, v[n].n);
		pb_close(b, PB_TAG(1, PB_BYTES), value);
	}
	pb_close(b, PB_TAG(5, PB_BYTES), array);
}

/* AnyValue is a oneof: the default value is written too */
static inline void put_value(struct clew_otlp_buf *b, const struct clew_attr *a)
{
	uint64_t bits;

	switch (a->type) {
	case CLEW_ATTR_STR:
		pb_string(b, PB_TAG(1, PB_BYTES), a->str.p, a->str.n);
		break;
	case CLEW_ATTR_BOOL:
		pb_varint(b, PB_TAG(2, PB_VARINT), a->b);
		break;
	case CLEW_ATTR_INT:
		pb_varint(b, PB_TAG(3, PB_VARINT), (uint64_t)a->i);
		break;
	case CLEW_ATTR_DOUBLE:
		memcpy(&bits, &a->d, 8);
		pb_fixed64(b, PB_TAG(4, PB_FIXED64), bits);
		break;
	case CLEW_ATTR_STRV:
		put_strings(b, a->strv, a->count);
		break;
	}
}

/*
 * The two kinds that nearly all attributes are, with one look at the room for all of it. False:
 * it is another kind or not UTF-8, and nothing was written.
 */
static inline bool put_common(struct clew_otlp_buf *b, uint32_t tag, const struct clew_attr *a)
{
	bool is_str = a->type == CLEW_ATTR_STR;
	size_t key = strlen(a->key), mark = pb_mark(b);
	uint8_t *value;

	if ((!is_str && a->type != CLEW_ATTR_INT) || !key)
		return false;
	if (!pb_room(b, key + (is_str ? a->str.n : 0) + 64))
		return false;
	value = b->p;
	if (!is_str) {
		pb_varint_raw(b, (uint64_t)a->i);
		pb_varint_raw(b, PB_TAG(3, PB_VARINT));
	} else if (!pb_string_raw(b, PB_TAG(1, PB_BYTES), a->str.p, a->str.n)) {
		return false;
	}
	pb_varint_raw(b, (size_t)(value - b->p));
	pb_varint_raw(b, PB_TAG(2, PB_BYTES));
	if (!pb_string_raw(b, PB_TAG(1, PB_BYTES), a->key, key)) {
		b->p = b->end - mark;
		return false;
	}
	pb_varint_raw(b, pb_mark(b) - mark);
	pb_varint_raw(b, tag);
	return true;
}

void clew_otlp_buf__attrs(struct clew_otlp_buf *b, uint32_t tag, const struct clew_attr *attrs,
			  uint32_t n)
{
	while (n--) {
		size_t mark = pb_mark(b);

		if (put_common(b, tag, &attrs[n]))
			continue;
		put_value(b, &attrs[n]);
		pb_close(b, PB_TAG(2, PB_BYTES), mark);
		pb_opt_string(b, PB_TAG(1, PB_BYTES), clew_str__lit(attrs[n].key));
		pb_close(b, tag, mark);
	}
}

void clew_otlp_buf__scope(struct clew_otlp_buf *b, uint32_t tag)
{
	size_t mark = pb_mark(b);

	pb_opt_string(b, PB_TAG(2, PB_BYTES), clew_str__lit(CLEW_VERSION));
	pb_opt_string(b, PB_TAG(1, PB_BYTES), clew_str__lit("clew"));
	pb_close(b, tag, mark);
}

void clew_otlp_buf__resource(struct clew_otlp_buf *b, uint32_t tag, const struct clew_resource *r)
{
	size_t mark = pb_mark(b);

	if (r)
		clew_otlp_buf__attrs(b, PB_TAG(1, PB_BYTES), r->attrs, r->nr_attrs);
	pb_close(b, tag, mark);
}
