/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans and resources in memory. A span is one allocation: the struct, room for its
 * attributes, its text. That makes one malloc and one free per span, and lets several
 * exporter threads share it by a reference count. The attribute room is what lies between
 * `attrs` and `text`, so it needs no field of its own.
 */
#include <stdlib.h>
#include <string.h>

#include <clew/span.h>

#define RESOURCE_ATTRS_MAX 128
#define ARGS_SEPARATOR	   '\x1f'

struct clew_span *clew_span__new(uint32_t attrs, size_t text)
{
	struct clew_span *span;

	if (attrs > CLEW_SPAN_ATTRS_MAX)
		attrs = CLEW_SPAN_ATTRS_MAX;
	span = malloc(sizeof(*span) + attrs * sizeof(struct clew_attr) + text);
	if (!span)
		return NULL;
	memset(span, 0, sizeof(*span));
	span->refs = 1;
	span->attrs = (struct clew_attr *)(span + 1);
	span->text = (char *)(span->attrs + attrs);
	span->text_size = text;
	return span;
}

struct clew_span *clew_span__get(struct clew_span *span)
{
	__atomic_fetch_add(&span->refs, 1, __ATOMIC_RELAXED);
	return span;
}

static void resource_put(struct clew_resource *res, int n)
{
	if (res && !__atomic_sub_fetch(&res->refs, n, __ATOMIC_ACQ_REL))
		free(res);
}

/* Give one reference back; true: it was the last. Who holds the only one needs no locked write. */
static bool span_unref(struct clew_span *span)
{
	return span && (__atomic_load_n(&span->refs, __ATOMIC_ACQUIRE) == 1 ||
			!__atomic_sub_fetch(&span->refs, 1, __ATOMIC_ACQ_REL));
}

void clew_span__put(struct clew_span *span)
{
	if (!span_unref(span))
		return;
	clew_resource__put(span->resource);
	free(span);
}

void clew_span__put_all(struct clew_span **spans, size_t n)
{
	struct clew_resource *res = NULL;
	int held = 0;

	for (size_t i = 0; i < n; i++) {
		if (!span_unref(spans[i]))
			continue;
		if (spans[i]->resource != res) {
			resource_put(res, held);
			res = spans[i]->resource;
			held = 0;
		}
		held++;
		free(spans[i]);
	}
	resource_put(res, held);
}

struct clew_str clew_span__text(struct clew_span *span, const char *p, size_t n)
{
	size_t left = span->text_size - span->text_used;
	char *to = span->text + span->text_used;

	if (n > left)
		n = left;
	if (n > UINT32_MAX)
		n = UINT32_MAX;
	if (n)
		memcpy(to, p, n);
	span->text_used += n;
	return (struct clew_str){to, (uint32_t)n};
}

static inline struct clew_attr *span_attr(struct clew_span *span, const char *key,
					  enum clew_attr_type type)
{
	size_t room = (size_t)((struct clew_attr *)span->text - span->attrs);
	struct clew_attr *a;

	if (span->nr_attrs >= room) {
		span->dropped_attrs++;
		return NULL;
	}
	a = &span->attrs[span->nr_attrs++];
	a->key = key;
	a->type = type;
	a->count = 0;
	return a;
}

void clew_span__str(struct clew_span *span, const char *key, const char *p, size_t n)
{
	struct clew_attr *a = span_attr(span, key, CLEW_ATTR_STR);

	if (a)
		a->str = clew_span__text(span, p, n);
}

void clew_span__ref(struct clew_span *span, const char *key, struct clew_str value)
{
	struct clew_attr *a = span_attr(span, key, CLEW_ATTR_STR);

	if (a)
		a->str = value;
}

void clew_span__lit(struct clew_span *span, const char *key, const char *literal)
{
	clew_span__ref(span, key, clew_str__lit(literal));
}

void clew_span__int(struct clew_span *span, const char *key, int64_t v)
{
	struct clew_attr *a = span_attr(span, key, CLEW_ATTR_INT);

	if (a)
		a->i = v;
}

void clew_span__bool(struct clew_span *span, const char *key, bool v)
{
	struct clew_attr *a = span_attr(span, key, CLEW_ATTR_BOOL);

	if (a)
		a->b = v;
}

/* ---- resources ---------------------------------------------------------------------------- */

/* Pairs and separators in the text: the upper limits of what the arrays must hold. */
static int resource_measure(const char *text, size_t len, size_t *ret_pairs, size_t *ret_args)
{
	size_t nuls = 0, args = 0;

	for (size_t i = 0; i < len; i++) {
		nuls += text[i] == 0;
		args += text[i] == ARGS_SEPARATOR;
	}
	if ((len && text[len - 1]) || nuls % 2)
		return -1;
	*ret_pairs = nuls / 2;
	/* every pair may turn out to be a list of its separators + 1 parts */
	*ret_args = args + nuls / 2;
	return 0;
}

static bool parse_pid(const char *s, int64_t *ret)
{
	int64_t v = 0;

	if (!*s || strlen(s) > 10)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (*s - '0');
	}
	*ret = v;
	return true;
}

static uint32_t split_args(const char *s, struct clew_str *out)
{
	uint32_t n = 0;

	for (;;) {
		const char *end = strchrnul(s, ARGS_SEPARATOR);

		out[n++] = (struct clew_str){s, (uint32_t)(end - s)};
		if (!*end)
			return n;
		s = end + 1;
	}
}

static bool resource_has(const struct clew_resource *res, const char *key)
{
	for (uint32_t i = 0; i < res->nr_attrs; i++)
		if (!strcmp(res->attrs[i].key, key))
			return true;
	return false;
}

/* Add one pair; returns how many of `args` it took. */
static uint32_t resource_add(struct clew_resource *res, const char *key, const char *value,
			     struct clew_str *args)
{
	bool is_name = !strcmp(key, "service.name");
	struct clew_attr *a = &res->attrs[res->nr_attrs];

	/* one place is kept for service.name; the first of two values holds */
	if ((is_name && !*value) || resource_has(res, key))
		return 0;
	if (res->nr_attrs >= RESOURCE_ATTRS_MAX - 1 && !is_name)
		return 0;
	res->nr_attrs++;
	a->key = key;
	if (!strcmp(key, "process.pid") && parse_pid(value, &a->i)) {
		a->type = CLEW_ATTR_INT;
	} else if (!strcmp(key, "process.command_args")) {
		a->type = CLEW_ATTR_STRV;
		a->count = split_args(value, args);
		a->strv = args;
		return a->count;
	} else {
		a->type = CLEW_ATTR_STR;
		a->str = clew_str__lit(value);
	}
	if (is_name)
		res->service_name = a->str;
	return 0;
}

struct clew_resource *clew_resource__new(uint32_t pid, const char *text, size_t len)
{
	size_t pairs, nr_args, size;
	struct clew_resource *res;
	struct clew_str *args;
	const char *p, *end;

	if (resource_measure(text, len, &pairs, &nr_args))
		return NULL;
	if (pairs + 1 > RESOURCE_ATTRS_MAX)
		pairs = RESOURCE_ATTRS_MAX - 1;
	size = sizeof(*res) + (pairs + 1) * sizeof(struct clew_attr) +
	       nr_args * sizeof(struct clew_str) + len;
	res = malloc(size);
	if (!res)
		return NULL;
	memset(res, 0, size - len);
	res->refs = 1;
	res->pid = pid;
	res->attrs = (struct clew_attr *)(res + 1);
	args = (struct clew_str *)(res->attrs + pairs + 1);
	res->text = (char *)(args + nr_args);
	res->text_len = len;
	if (len)
		memcpy(res->text, text, len);
	for (p = res->text, end = p + len; p < end;) {
		const char *key = p, *value = p + strlen(p) + 1;

		p = value + strlen(value) + 1;
		if (!*key) {
			free(res);
			return NULL;
		}
		args += resource_add(res, key, value, args);
	}
	if (!res->service_name.p)
		resource_add(res, "service.name", "unknown_service", args);
	return res;
}

struct clew_resource *clew_resource__child(const struct clew_resource *res, uint32_t pid)
{
	struct clew_resource *child = clew_resource__new(pid, res->text, res->text_len);

	for (uint32_t i = 0; child && i < child->nr_attrs; i++)
		if (child->attrs[i].type == CLEW_ATTR_INT)
			child->attrs[i].i = pid; /* process.pid, the only number */
	return child;
}

struct clew_resource *clew_resource__get(struct clew_resource *res)
{
	__atomic_fetch_add(&res->refs, 1, __ATOMIC_RELAXED);
	return res;
}

void clew_resource__put(struct clew_resource *res)
{
	resource_put(res, 1);
}
