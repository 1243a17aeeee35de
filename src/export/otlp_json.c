/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/JSON (opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding"): protobuf's
 * JSON mapping with the two differences of OTLP: ids are hexadecimal, enums are integers. Keys
 * are lowerCamelCase, 64-bit integers are strings.
 *
 * Heads and attributes of spans are nearly all of the text and are put together from constant
 * pieces, with one look at the room for each of them; the rest is left to the JSON writer. What
 * stands before the value of an attribute is the same for all spans: it is kept ready by the
 * address of its key, which is a constant of the program (span.h).
 */
#include <string.h>

#include "base/json_put.h"
#include "export/otlp.h"

/* The room for all constant pieces and numbers of an attribute, and of a span's head. */
#define ATTR_ROOM 96
#define HEAD_ROOM 448

#define PIECES	   128 /* places for what stands before a value; a power of two */
#define PIECE_SIZE 96

static const uint8_t no_id[8];

struct piece {
	const char *key;
	uint8_t type; /* enum clew_attr_type */
	uint8_t n;
	char text[PIECE_SIZE];
};

static void key_str(struct clew_json *j, const char *key, struct clew_str s)
{
	clew_json__key(j, key);
	clew_json__str(j, s.p, s.n);
}

static void key_opt_str(struct clew_json *j, const char *key, struct clew_str s)
{
	if (s.n)
		key_str(j, key, s);
}

static void key_u64(struct clew_json *j, const char *key, uint64_t v)
{
	clew_json__key(j, key);
	clew_json__u64_str(j, v);
}

static void key_opt_u32(struct clew_json *j, const char *key, uint32_t v)
{
	if (!v)
		return;
	clew_json__key(j, key);
	clew_json__u64(j, v);
}

static void key_id(struct clew_json *j, const char *key, const uint8_t *p, size_t n)
{
	clew_json__key(j, key);
	clew_json__hex(j, p, n);
}

static void json_strings(struct clew_json *j, const struct clew_attr *a)
{
	clew_json__key(j, "arrayValue");
	clew_json__obj(j);
	clew_json__key(j, "values");
	clew_json__arr(j);
	for (uint32_t i = 0; i < a->count; i++) {
		clew_json__obj(j);
		key_str(j, "stringValue", a->strv[i]);
		clew_json__obj_end(j);
	}
	clew_json__arr_end(j);
	clew_json__obj_end(j);
}

/* The kinds that are rare. */
static void json_value(struct clew_json *j, const struct clew_attr *a)
{
	j->comma = false;
	if (a->type == CLEW_ATTR_DOUBLE) {
		clew_json__key(j, "doubleValue");
		clew_json__double(j, a->d);
	} else if (a->type == CLEW_ATTR_STRV) {
		json_strings(j, a);
	}
}

/*
 * A string between its quotes, at `to`, where there is room for it and `after` more bytes; where
 * it ended, with room for `after` bytes. NULL: j->err says why.
 */
static inline char *put_str(struct clew_json *j, char *to, struct clew_str s, size_t after)
{
	char *end = clew_json_put__plain(to, s.p, s.n);

	if (__builtin_expect(end != NULL, 1))
		return end;
	j->len = (size_t)(to - j->p);
	clew_json__text(j, s.p, s.n);
	return clew_json__room(j, after);
}

/* Up to the value, with the quote that begins it. NULL: cannot be kept ready. */
static const struct piece *piece_make(struct piece *piece, const struct clew_attr *a)
{
	static const char *const before[] = {
		[CLEW_ATTR_STR] = "\",\"value\":{\"stringValue\":\"",
		[CLEW_ATTR_INT] = "\",\"value\":{\"intValue\":\"",
		[CLEW_ATTR_BOOL] = "\",\"value\":{\"boolValue\":",
	};
	struct clew_str key = clew_str__lit(a->key);
	char *to = piece->text;

	piece->key = NULL;
	if (key.n > PIECE_SIZE - 56)
		return NULL;
	to = clew_json_put__lit(to, "{\"key\":\"");
	to = clew_json_put__plain(to, key.p, key.n);
	if (!to)
		return NULL;
	to = stpcpy(to, before[a->type]);
	piece->n = (uint8_t)(to - piece->text);
	piece->type = (uint8_t)a->type;
	piece->key = a->key;
	return piece;
}

/* An attribute of a span; false: its kind or its key is rare. */
static bool json_attr_fast(struct clew_json *j, const struct clew_attr *a, struct piece *pieces)
{
	size_t at = ((uintptr_t)a->key * 0x9e3779b97f4a7c15ULL >> 40) % PIECES;
	const struct piece *piece = &pieces[at];
	char *to;

	if (a->type < CLEW_ATTR_STR || a->type > CLEW_ATTR_BOOL)
		return false;
	if (piece->key != a->key || piece->type != a->type)
		piece = piece_make(&pieces[at], a);
	if (!piece)
		return false;
	to = clew_json__room(j, PIECE_SIZE + ATTR_ROOM + (a->type == CLEW_ATTR_STR ? a->str.n : 0));
	if (!to)
		return true;
	*to = ',';
	to += j->comma;
	memcpy(to, piece->text, 64);
	if (piece->n > 64)
		memcpy(to + 64, piece->text + 64, PIECE_SIZE - 64);
	to += piece->n;
	if (a->type == CLEW_ATTR_STR) {
		to = put_str(j, to, a->str, ATTR_ROOM);
		if (!to)
			return true;
		to = clew_json_put__lit(to, "\"}}");
	} else if (a->type == CLEW_ATTR_INT) {
		to = clew_json_put__i64(to, a->i);
		to = clew_json_put__lit(to, "\"}}");
	} else {
		to = a->b ? clew_json_put__lit(to, "true}}") : clew_json_put__lit(to, "false}}");
	}
	j->len = (size_t)(to - j->p);
	j->comma = true;
	return true;
}

static void json_attr(struct clew_json *j, const struct clew_attr *a)
{
	struct clew_str key = clew_str__lit(a->key);
	size_t n = ATTR_ROOM + (a->type == CLEW_ATTR_STR ? a->str.n : 0);
	char *to = clew_json__room(j, key.n + n);

	if (!to)
		return;
	if (j->comma)
		*to++ = ',';
	to = clew_json_put__lit(to, "{\"key\":\"");
	to = put_str(j, to, key, n);
	if (!to)
		return;
	switch (a->type) {
	case CLEW_ATTR_STR:
		to = clew_json_put__lit(to, "\",\"value\":{\"stringValue\":\"");
		to = put_str(j, to, a->str, ATTR_ROOM);
		if (!to)
			return;
		to = clew_json_put__lit(to, "\"}}");
		break;
	case CLEW_ATTR_INT:
		to = clew_json_put__lit(to, "\",\"value\":{\"intValue\":\"");
		to = clew_json_put__i64(to, a->i);
		to = clew_json_put__lit(to, "\"}}");
		break;
	case CLEW_ATTR_BOOL:
		to = clew_json_put__lit(to, "\",\"value\":{\"boolValue\":");
		if (a->b)
			to = clew_json_put__lit(to, "true}}");
		else
			to = clew_json_put__lit(to, "false}}");
		break;
	default:
		to = clew_json_put__lit(to, "\",\"value\":{");
		j->len = (size_t)(to - j->p);
		json_value(j, a);
		clew_json__raw(j, "}}", 2);
		j->comma = true;
		return;
	}
	j->len = (size_t)(to - j->p);
	j->comma = true;
}

static void json_attrs(struct clew_json *j, const struct clew_attr *attrs, uint32_t n)
{
	if (!n)
		return;
	clew_json__key(j, "attributes");
	clew_json__arr(j);
	for (uint32_t i = 0; i < n; i++)
		json_attr(j, &attrs[i]);
	clew_json__arr_end(j);
}

static void json_events(struct clew_json *j, const struct clew_span *s)
{
	if (!s->nr_events)
		return;
	clew_json__key(j, "events");
	clew_json__arr(j);
	for (uint32_t i = 0; i < s->nr_events; i++) {
		clew_json__obj(j);
		key_u64(j, "timeUnixNano", s->events[i].ts_ns);
		key_opt_str(j, "name", s->events[i].name);
		json_attrs(j, s->events[i].attrs, s->events[i].nr_attrs);
		clew_json__obj_end(j);
	}
	clew_json__arr_end(j);
}

static void json_links(struct clew_json *j, const struct clew_span *s)
{
	if (!s->nr_links)
		return;
	clew_json__key(j, "links");
	clew_json__arr(j);
	for (uint32_t i = 0; i < s->nr_links; i++) {
		const struct clew_span_link *l = &s->links[i];

		clew_json__obj(j);
		key_id(j, "traceId", l->trace_id, sizeof(l->trace_id));
		key_id(j, "spanId", l->span_id, sizeof(l->span_id));
		key_opt_str(j, "traceState", l->trace_state);
		json_attrs(j, l->attrs, l->nr_attrs);
		key_opt_u32(j, "flags", l->flags);
		clew_json__obj_end(j);
	}
	clew_json__arr_end(j);
}

/* From the opening brace to the end time. */
static void json_head(struct clew_json *j, const struct clew_span *s)
{
	size_t n = s->name.n + HEAD_ROOM;
	char *to = clew_json__room(j, s->trace_state.n + n);

	if (!to)
		return;
	if (j->comma)
		*to++ = ',';
	to = clew_json_put__lit(to, "{\"traceId\":\"");
	to = clew_json_put__hex(to, s->trace_id, sizeof(s->trace_id));
	to = clew_json_put__lit(to, "\",\"spanId\":\"");
	to = clew_json_put__hex(to, s->span_id, sizeof(s->span_id));
	if (s->trace_state.n) {
		to = clew_json_put__lit(to, "\",\"traceState\":\"");
		to = put_str(j, to, s->trace_state, n);
		if (!to)
			return;
	}
	if (memcmp(s->parent_span_id, no_id, sizeof(no_id))) {
		to = clew_json_put__lit(to, "\",\"parentSpanId\":\"");
		to = clew_json_put__hex(to, s->parent_span_id, sizeof(s->parent_span_id));
	}
	*to++ = '"';
	if (s->flags) {
		to = clew_json_put__lit(to, ",\"flags\":");
		to = clew_json_put__u64(to, s->flags);
	}
	to = clew_json_put__lit(to, ",\"name\":\"");
	to = put_str(j, to, s->name, HEAD_ROOM);
	if (!to)
		return;
	to = clew_json_put__lit(to, "\",\"kind\":");
	to = clew_json_put__u64(to, s->kind);
	to = clew_json_put__lit(to, ",\"startTimeUnixNano\":\"");
	to = clew_json_put__u64(to, s->start_ns);
	to = clew_json_put__lit(to, "\",\"endTimeUnixNano\":\"");
	to = clew_json_put__u64(to, s->end_ns);
	*to++ = '"';
	j->len = (size_t)(to - j->p);
	j->comma = true;
}

static void json_span(struct clew_json *j, const struct clew_span *s, struct piece *pieces)
{
	json_head(j, s);
	if (s->nr_attrs) {
		clew_json__key(j, "attributes");
		clew_json__arr(j);
		for (uint32_t i = 0; i < s->nr_attrs; i++)
			if (!json_attr_fast(j, &s->attrs[i], pieces))
				json_attr(j, &s->attrs[i]);
		clew_json__arr_end(j);
	}
	key_opt_u32(j, "droppedAttributesCount", s->dropped_attrs);
	json_events(j, s);
	key_opt_u32(j, "droppedEventsCount", s->dropped_events);
	json_links(j, s);
	key_opt_u32(j, "droppedLinksCount", s->dropped_links);
	clew_json__key(j, "status");
	clew_json__obj(j);
	key_opt_str(j, "message", s->status_message);
	key_opt_u32(j, "code", s->status);
	clew_json__obj_end(j);
	clew_json__obj_end(j);
}

static void json_resource(struct clew_json *j, const struct clew_resource *r)
{
	clew_json__key(j, "resource");
	clew_json__obj(j);
	if (r)
		json_attrs(j, r->attrs, r->nr_attrs);
	clew_json__obj_end(j);
}

static void json_scope(struct clew_json *j)
{
	clew_json__key(j, "scope");
	clew_json__obj(j);
	key_str(j, "name", clew_str__lit("clew"));
	key_str(j, "version", clew_str__lit(CLEW_VERSION));
	clew_json__obj_end(j);
}

/* {"<outer>": [ ... and its counterpart */
static void json_open(struct clew_json *j, const char *outer)
{
	clew_json__obj(j);
	clew_json__key(j, outer);
	clew_json__arr(j);
}

static void json_shut(struct clew_json *j)
{
	clew_json__arr_end(j);
	clew_json__obj_end(j);
}

int clew_otlp__json(struct clew_json *j, struct clew_otlp_groups *g, struct clew_span *const *spans,
		    size_t n)
{
	struct piece pieces[PIECES];
	int err = clew_otlp_groups__make(g, spans, n);

	if (err)
		return err;
	for (size_t i = 0; i < PIECES; i++)
		pieces[i].key = NULL;
	json_open(j, "resourceSpans");
	for (uint32_t k = 0; k < g->nr && !j->err; k++) {
		clew_json__obj(j);
		json_resource(j, spans[g->order[g->first[k]]]->resource);
		clew_json__key(j, "scopeSpans");
		clew_json__arr(j);
		clew_json__obj(j);
		json_scope(j);
		clew_json__key(j, "spans");
		clew_json__arr(j);
		for (uint32_t i = g->first[k]; i < g->first[k + 1] && !j->err; i++) {
			if (i + 1 < g->first[k + 1])
				clew_otlp__fetch(spans[g->order[i + 1]]);
			json_span(j, spans[g->order[i]], pieces);
		}
		json_shut(j);
		json_shut(j);
	}
	json_shut(j);
	return j->err;
}

/* ---- metrics ------------------------------------------------------------------------------ */

static void json_point(struct clew_json *j, const struct clew_metric *m, uint64_t start_ns,
		       uint64_t now_ns)
{
	struct clew_attr a[2];
	uint32_t n = 0;

	while (n < 2 && m->key[n]) {
		a[n] = (struct clew_attr){.key = m->key[n], .type = CLEW_ATTR_STR};
		a[n].str = clew_str__lit(m->value[n] ? m->value[n] : "");
		n++;
	}
	clew_json__obj(j);
	json_attrs(j, a, n);
	if (!m->is_gauge)
		key_u64(j, "startTimeUnixNano", start_ns);
	key_u64(j, "timeUnixNano", now_ns);
	key_u64(j, "asInt", m->v);
	clew_json__obj_end(j);
}

static void json_metric(struct clew_json *j, const struct clew_metric *m, size_t n,
			uint64_t start_ns, uint64_t now_ns)
{
	clew_json__obj(j);
	key_str(j, "name", clew_str__lit(m->name));
	if (m->description)
		key_str(j, "description", clew_str__lit(m->description));
	if (m->unit)
		key_str(j, "unit", clew_str__lit(m->unit));
	clew_json__key(j, m->is_gauge ? "gauge" : "sum");
	clew_json__obj(j);
	clew_json__key(j, "dataPoints");
	clew_json__arr(j);
	for (size_t i = 0; i < n; i++)
		json_point(j, &m[i], start_ns, now_ns);
	clew_json__arr_end(j);
	if (!m->is_gauge) {
		clew_json__key(j, "aggregationTemporality");
		clew_json__u64(j, 2); /* cumulative */
		clew_json__key(j, "isMonotonic");
		clew_json__bool(j, true);
	}
	clew_json__obj_end(j);
	clew_json__obj_end(j);
}

int clew_otlp__json_metrics(struct clew_json *j, const struct clew_metric *m, size_t n,
			    const struct clew_resource *res, uint64_t start_ns, uint64_t now_ns)
{
	json_open(j, "resourceMetrics");
	clew_json__obj(j);
	json_resource(j, res);
	clew_json__key(j, "scopeMetrics");
	clew_json__arr(j);
	clew_json__obj(j);
	json_scope(j);
	clew_json__key(j, "metrics");
	clew_json__arr(j);
	while (n) {
		size_t same = clew_otlp__same_metric(m, n);

		json_metric(j, m, same, start_ns, now_ns);
		m += same;
		n -= same;
	}
	json_shut(j);
	json_shut(j);
	json_shut(j);
	return j->err;
}
