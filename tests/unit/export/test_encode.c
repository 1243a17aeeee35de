/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backward encoder against protobuf-c: the same spans, put into the generated structs by the
 * plainest code possible, must give the same bytes. So must metrics. Then what protobuf-c cannot
 * say: caps, and what becomes of text that is not UTF-8.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "otlp.pb-c.h"

#include "base/utf8.h"
#include "export/otlp.h"
#include "make_span.h"

/* ---- spans into the generated structs; everything hangs on one list of allocations -------- */

static void *pool[1 << 19];
static size_t pool_used;

static void *keep(size_t n)
{
	void *p = calloc(1, n ? n : 1);

	assert_non_null(p);
	assert_true(pool_used < sizeof(pool) / sizeof(pool[0]));
	pool[pool_used++] = p;
	return p;
}

static void drop_pool(void)
{
	while (pool_used)
		free(pool[--pool_used]);
}

static char *text(struct clew_str s)
{
	char *out = keep(3 * (size_t)s.n + 1), *to = out;
	bool ok;

	for (size_t i = 0, len; i < s.n; i += len) {
		len = clew_utf8__step((const uint8_t *)s.p + i, s.n - i, &ok);
		memcpy(to, ok ? s.p + i : CLEW_UTF8_REPLACEMENT, ok ? len : 3);
		to += ok ? len : 3;
	}
	return out;
}

static ProtobufCBinaryData id(const uint8_t *p, size_t n)
{
	return (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)p};
}

static Otlp__AnyValue *any_string(struct clew_str s)
{
	Otlp__AnyValue *v = keep(sizeof(*v));

	otlp__any_value__init(v);
	v->value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
	v->string_value = text(s);
	return v;
}

static Otlp__AnyValue *any(const struct clew_attr *a)
{
	Otlp__AnyValue *v;

	if (a->type == CLEW_ATTR_STR)
		return any_string(a->str);
	v = keep(sizeof(*v));
	otlp__any_value__init(v);
	switch (a->type) {
	case CLEW_ATTR_BOOL:
		v->value_case = OTLP__ANY_VALUE__VALUE_BOOL_VALUE;
		v->bool_value = a->b;
		break;
	case CLEW_ATTR_INT:
		v->value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
		v->int_value = a->i;
		break;
	case CLEW_ATTR_DOUBLE:
		v->value_case = OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE;
		v->double_value = a->d;
		break;
	default:
		v->value_case = OTLP__ANY_VALUE__VALUE_ARRAY_VALUE;
		v->array_value = keep(sizeof(*v->array_value));
		otlp__array_value__init(v->array_value);
		v->array_value->n_values = a->count;
		v->array_value->values = keep(a->count * sizeof(void *));
		for (uint32_t i = 0; i < a->count; i++)
			v->array_value->values[i] = any_string(a->strv[i]);
	}
	return v;
}

static Otlp__KeyValue **attrs(const struct clew_attr *a, uint32_t n)
{
	Otlp__KeyValue **out = keep(n * sizeof(*out));

	for (uint32_t i = 0; i < n; i++) {
		out[i] = keep(sizeof(**out));
		otlp__key_value__init(out[i]);
		out[i]->key = text(clew_str__lit(a[i].key));
		out[i]->value = any(&a[i]);
	}
	return out;
}

static void convert_lists(const struct clew_span *s, Otlp__Span *o)
{
	o->n_events = s->nr_events;
	o->events = keep(s->nr_events * sizeof(void *));
	for (uint32_t i = 0; i < s->nr_events; i++) {
		Otlp__Span__Event *e = o->events[i] = keep(sizeof(*e));

		otlp__span__event__init(e);
		e->time_unix_nano = s->events[i].ts_ns;
		e->name = text(s->events[i].name);
		e->n_attributes = s->events[i].nr_attrs;
		e->attributes = attrs(s->events[i].attrs, s->events[i].nr_attrs);
	}
	o->n_links = s->nr_links;
	o->links = keep(s->nr_links * sizeof(void *));
	for (uint32_t i = 0; i < s->nr_links; i++) {
		Otlp__Span__Link *l = o->links[i] = keep(sizeof(*l));

		otlp__span__link__init(l);
		l->trace_id = id(s->links[i].trace_id, 16);
		l->span_id = id(s->links[i].span_id, 8);
		l->trace_state = text(s->links[i].trace_state);
		l->n_attributes = s->links[i].nr_attrs;
		l->attributes = attrs(s->links[i].attrs, s->links[i].nr_attrs);
		l->flags = s->links[i].flags;
	}
}

static Otlp__Span *convert(const struct clew_span *s)
{
	static const uint8_t none[8];
	Otlp__Span *o = keep(sizeof(*o));

	otlp__span__init(o);
	o->trace_id = id(s->trace_id, 16);
	o->span_id = id(s->span_id, 8);
	o->trace_state = text(s->trace_state);
	if (memcmp(s->parent_span_id, none, 8))
		o->parent_span_id = id(s->parent_span_id, 8);
	o->name = text(s->name);
	o->kind = s->kind;
	o->start_time_unix_nano = s->start_ns;
	o->end_time_unix_nano = s->end_ns;
	o->n_attributes = s->nr_attrs;
	o->attributes = attrs(s->attrs, s->nr_attrs);
	o->dropped_attributes_count = s->dropped_attrs;
	o->dropped_events_count = s->dropped_events;
	o->dropped_links_count = s->dropped_links;
	o->flags = s->flags;
	convert_lists(s, o);
	if (s->status || s->status_message.n) {
		o->status = keep(sizeof(*o->status));
		otlp__span__status__init(o->status);
		o->status->code = s->status;
		o->status->message = text(s->status_message);
	}
	return o;
}

static Otlp__Scope *scope(void)
{
	Otlp__Scope *o = keep(sizeof(*o));

	otlp__scope__init(o);
	o->name = text(clew_str__lit("clew"));
	o->version = text(clew_str__lit(CLEW_VERSION));
	return o;
}

static Otlp__Resource *resource(const struct clew_resource *res)
{
	Otlp__Resource *o = keep(sizeof(*o));

	otlp__resource__init(o);
	if (res) {
		o->n_attributes = res->nr_attrs;
		o->attributes = attrs(res->attrs, res->nr_attrs);
	}
	return o;
}

/* The whole request by protobuf-c: groups in the order in which resources first appear. */
static uint8_t *reference(struct clew_span **spans, size_t n, size_t *ret_n)
{
	Otlp__ExportTraceRequest req = OTLP__EXPORT_TRACE_REQUEST__INIT;
	const struct clew_resource **seen = keep(n * sizeof(*seen));
	uint8_t *out;

	req.resource_spans = keep(n * sizeof(void *));
	for (size_t i = 0; i < n; i++) {
		Otlp__ScopeSpans *ss;
		size_t k = 0;

		while (k < req.n_resource_spans && seen[k] != spans[i]->resource)
			k++;
		if (k == req.n_resource_spans) {
			Otlp__ResourceSpans *rs = keep(sizeof(*rs));

			otlp__resource_spans__init(rs);
			seen[k] = spans[i]->resource;
			rs->resource = resource(seen[k]);
			rs->n_scope_spans = 1;
			rs->scope_spans = keep(sizeof(void *));
			rs->scope_spans[0] = keep(sizeof(*ss));
			otlp__scope_spans__init(rs->scope_spans[0]);
			rs->scope_spans[0]->scope = scope();
			rs->scope_spans[0]->spans = keep(n * sizeof(void *));
			req.resource_spans[req.n_resource_spans++] = rs;
		}
		ss = req.resource_spans[k]->scope_spans[0];
		ss->spans[ss->n_spans++] = convert(spans[i]);
	}
	*ret_n = otlp__export_trace_request__get_packed_size(&req);
	out = keep(*ret_n);
	otlp__export_trace_request__pack(&req, out);
	return out;
}

static void check_same(struct clew_span **spans, size_t n)
{
	struct clew_otlp_groups groups = {0};
	struct clew_otlp_buf buf;
	size_t want_n;
	uint8_t *want = reference(spans, n, &want_n);

	clew_otlp_buf__init(&buf, CLEW_OTLP_REQUEST_MAX);
	assert_int_equal(clew_otlp__encode(&buf, &groups, spans, n), 0);
	assert_int_equal(clew_otlp_buf__len(&buf), want_n);
	assert_memory_equal(buf.p, want, want_n);
	clew_otlp_buf__free(&buf);
	clew_otlp_groups__free(&groups);
	drop_pool();
}

/* ---- tests -------------------------------------------------------------------------------- */

static void test_plain(void **state)
{
	struct clew_resource *res = make_resource("api");
	struct clew_span *spans[700];

	(void)state;
	for (size_t i = 0; i < 700; i++)
		spans[i] = make_span(res, i);
	check_same(spans, 1);
	check_same(spans, 700);
	put_spans(spans, 700);
	clew_resource__put(res);
}

static void test_everything(void **state)
{
	struct clew_resource *res = make_resource("b\xc3\xa9\xff");
	struct clew_span *spans[3] = {make_full_span(res), make_span(res, 0), clew_span__new(0, 0)};

	(void)state;
	check_same(spans, 3); /* the last one: no resource, everything zero */
	put_spans(spans, 3);
	clew_resource__put(res);
}

static void test_many_resources(void **state)
{
	struct clew_resource *res[600];
	struct clew_span *spans[1200];
	char name[16];

	(void)state;
	for (size_t i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "s%zu", i);
		res[i] = make_resource(name);
	}
	for (size_t i = 0; i < 1200; i++)
		spans[i] = make_span(res[i * 7 % 600], i);
	check_same(spans, 600); /* a resource each: as many groups as spans */
	check_same(spans, 1200);
	put_spans(spans, 1200);
	for (size_t i = 0; i < 600; i++)
		clew_resource__put(res[i]);
}

static uint64_t rng = 88172645463325252ULL;

static uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 20) % below;
}

/* Any bytes, but not NUL: protobuf-c's strings end there. */
static struct clew_str rnd_text(struct clew_span *s, uint32_t max)
{
	static const char *const bits[] = {
		"a",	      "\x80",	      "\xc2",	  "\xc3\xa9",
		"\xe0\x80",   "\xed\xa0\x80", "\xf4\x90", "\xf0\x9f\x98\x80",
		"plain text "};
	char buf[256];
	size_t n = 0, want = rnd(max);

	while (n < want) {
		const char *bit = bits[rnd(9)];

		memcpy(buf + n, bit, strlen(bit));
		n += strlen(bit);
	}
	return clew_span__text(s, buf, n);
}

static void test_random(void **state)
{
	struct clew_resource *res[3] = {make_resource("a"), make_resource("b"), NULL};
	struct clew_span *spans[40];

	(void)state;
	for (int round = 0; round < 200; round++) {
		size_t n = 1 + rnd(40);

		for (size_t i = 0; i < n; i++) {
			struct clew_span *s = spans[i] = clew_span__new(128, 8192);

			if (rnd(2))
				fill_id(s->parent_span_id, 8, rnd(UINT32_MAX));
			fill_id(s->trace_id, 16, rnd(UINT32_MAX));
			s->kind = rnd(6);
			s->status = rnd(3);
			s->flags = rnd(2) ? 0 : rnd(0x400);
			s->start_ns = rnd(2) ? rng : 0;
			s->end_ns = rnd(2) ? rng : 0;
			s->dropped_attrs = rnd(3) ? 0 : rnd(UINT32_MAX);
			s->name = rnd_text(s, 100);
			s->status_message = rnd_text(s, 20);
			s->trace_state = rnd_text(s, 20);
			for (uint32_t a = rnd(130); a; a--) {
				if (rnd(2))
					clew_span__int(s, "i", (int64_t)(rng >> rnd(64)));
				else
					clew_span__lit(s, "s", "v");
				if (s->nr_attrs && s->attrs[s->nr_attrs - 1].type == CLEW_ATTR_STR)
					s->attrs[s->nr_attrs - 1].str = rnd_text(s, 60);
			}
			if (res[rnd(2)])
				s->resource = rnd(3) ? clew_resource__get(res[rnd(2)]) : NULL;
		}
		check_same(spans, n);
		put_spans(spans, n);
	}
	clew_resource__put(res[0]);
	clew_resource__put(res[1]);
}

static void test_nul_in_text(void **state)
{
	struct clew_span *s = clew_span__new(1, 64);
	struct clew_otlp_groups groups = {0};
	Otlp__ExportTraceRequest *req;
	struct clew_otlp_buf buf;

	(void)state;
	clew_span__str(s, "k", "a\0b", 3);
	clew_otlp_buf__init(&buf, CLEW_OTLP_REQUEST_MAX);
	assert_int_equal(clew_otlp__encode(&buf, &groups, &s, 1), 0);
	req = otlp__export_trace_request__unpack(NULL, clew_otlp_buf__len(&buf), buf.p);
	assert_non_null(req);
	assert_memory_equal(req->resource_spans[0]
				    ->scope_spans[0]
				    ->spans[0]
				    ->attributes[0]
				    ->value->string_value,
			    "a\0b", 4);
	otlp__export_trace_request__free_unpacked(req, NULL);
	clew_otlp_buf__free(&buf);
	clew_otlp_groups__free(&groups);
	clew_span__put(s);
}

static void test_cap(void **state)
{
	struct clew_resource *res = make_resource("api");
	struct clew_otlp_groups groups = {0};
	struct clew_span *spans[64];
	struct clew_otlp_buf buf;
	size_t full;

	(void)state;
	for (size_t i = 0; i < 64; i++)
		spans[i] = make_span(res, i);
	clew_otlp_buf__init(&buf, CLEW_OTLP_REQUEST_MAX);
	assert_int_equal(clew_otlp__encode(&buf, &groups, spans, 64), 0);
	full = clew_otlp_buf__len(&buf);
	clew_otlp_buf__free(&buf);
	/* every cap below the size fails and leaves nothing, wherever it strikes */
	for (size_t max = 0; max < full; max += 97) {
		clew_otlp_buf__init(&buf, max);
		assert_int_equal(clew_otlp__encode(&buf, &groups, spans, 64), -EMSGSIZE);
		clew_otlp_buf__free(&buf);
	}
	/* and the buffer works again after a failure */
	clew_otlp_buf__init(&buf, full + 64);
	assert_int_equal(clew_otlp__encode(&buf, &groups, spans, 64), 0);
	buf.max = full / 2;
	clew_otlp_buf__free(&buf);
	assert_int_equal(clew_otlp__encode(&buf, &groups, spans, 64), -EMSGSIZE);
	assert_int_equal(clew_otlp__encode(&buf, &groups, spans, 1), 0);
	clew_otlp_buf__free(&buf);
	clew_otlp_groups__free(&groups);
	put_spans(spans, 64);
	clew_resource__put(res);
}

static Otlp__NumberPoint *point(const struct clew_metric *m, uint64_t start, uint64_t now)
{
	Otlp__NumberPoint *p = keep(sizeof(*p));

	otlp__number_point__init(p);
	p->start_time_unix_nano = m->is_gauge ? 0 : start;
	p->time_unix_nano = now;
	p->value_case = OTLP__NUMBER_POINT__VALUE_AS_INT;
	p->as_int = (int64_t)m->v;
	p->attributes = keep(2 * sizeof(void *));
	for (int i = 0; i < 2 && m->key[i]; i++) {
		struct clew_attr a = {.key = m->key[i], .type = CLEW_ATTR_STR};

		a.str = clew_str__lit(m->value[i]);
		p->attributes[p->n_attributes++] = attrs(&a, 1)[0];
	}
	return p;
}

static void test_metrics(void **state)
{
	static const struct clew_metric m[] = {
		{.name = "clew.events",
		 .description = "Events",
		 .unit = "{event}",
		 .key = {"state"},
		 .value = {"seen"},
		 .v = 1},
		{.name = "clew.events",
		 .description = "Events",
		 .unit = "{event}",
		 .key = {"state", "reason"},
		 .value = {"dropped", "ring_full"},
		 .v = 0},
		{.name = "clew.memory", .description = "", .unit = "By", .v = 300, .is_gauge = 1},
	};
	static const size_t first[] = {0, 2, 3};
	Otlp__ExportMetricsRequest req = OTLP__EXPORT_METRICS_REQUEST__INIT;
	Otlp__ResourceMetrics rm = OTLP__RESOURCE_METRICS__INIT, *rms = &rm;
	Otlp__ScopeMetrics sm = OTLP__SCOPE_METRICS__INIT, *sms = &sm;
	struct clew_resource *res = make_resource("clew");
	struct clew_otlp_buf buf;
	uint8_t *want;
	size_t n;

	(void)state;
	req.n_resource_metrics = rm.n_scope_metrics = 1;
	req.resource_metrics = &rms;
	rm.resource = resource(res);
	rm.scope_metrics = &sms;
	sm.scope = scope();
	sm.metrics = keep(2 * sizeof(void *));
	for (sm.n_metrics = 0; sm.n_metrics < 2; sm.n_metrics++) {
		const struct clew_metric *from = &m[first[sm.n_metrics]];
		Otlp__Metric *o = sm.metrics[sm.n_metrics] = keep(sizeof(*o));
		size_t points = first[sm.n_metrics + 1] - first[sm.n_metrics];
		Otlp__NumberPoint **p = keep(points * sizeof(*p));

		otlp__metric__init(o);
		o->name = text(clew_str__lit(from->name));
		o->description = text(clew_str__lit(from->description));
		o->unit = text(clew_str__lit(from->unit));
		for (size_t i = 0; i < points; i++)
			p[i] = point(&from[i], 5, 6);
		if (from->is_gauge) {
			o->data_case = OTLP__METRIC__DATA_GAUGE;
			o->gauge = keep(sizeof(*o->gauge));
			otlp__gauge__init(o->gauge);
			o->gauge->n_data_points = points;
			o->gauge->data_points = p;
		} else {
			o->data_case = OTLP__METRIC__DATA_SUM;
			o->sum = keep(sizeof(*o->sum));
			otlp__sum__init(o->sum);
			o->sum->n_data_points = points;
			o->sum->data_points = p;
			o->sum->aggregation_temporality = 2;
			o->sum->is_monotonic = 1;
		}
	}
	n = otlp__export_metrics_request__get_packed_size(&req);
	want = keep(n);
	otlp__export_metrics_request__pack(&req, want);
	clew_otlp_buf__init(&buf, CLEW_OTLP_REQUEST_MAX);
	assert_int_equal(clew_otlp__encode_metrics(&buf, m, 3, res, 5, 6), 0);
	assert_int_equal(clew_otlp_buf__len(&buf), n);
	assert_memory_equal(buf.p, want, n);
	clew_otlp_buf__free(&buf);
	clew_resource__put(res);
	drop_pool();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),	       cmocka_unit_test(test_everything),
		cmocka_unit_test(test_many_resources), cmocka_unit_test(test_random),
		cmocka_unit_test(test_nul_in_text),    cmocka_unit_test(test_cap),
		cmocka_unit_test(test_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
