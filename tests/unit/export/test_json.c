/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/JSON: one golden text, and jansson as a second opinion on whatever bytes come. */
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "export/otlp.h"
#include "make_span.h"

static const char golden[] =
	"{\"resourceSpans\":[{\"resource\":{\"attributes\":["
	"{\"key\":\"service.name\",\"value\":{\"stringValue\":\"api\"}},"
	"{\"key\":\"process.pid\",\"value\":{\"intValue\":\"4242\"}},"
	"{\"key\":\"process.command_args\",\"value\":{\"arrayValue\":{\"values\":["
	"{\"stringValue\":\"api\"},{\"stringValue\":\"-x\"},{\"stringValue\":\"\"}]}}}]},"
	"\"scopeSpans\":[{\"scope\":{\"name\":\"clew\",\"version\":\"" CLEW_VERSION "\"},"
	"\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\","
	"\"spanId\":\"0000000000000007\",\"traceState\":\"k=v\","
	"\"parentSpanId\":\"ff00000000000000\",\"flags\":257,\"name\":\"GET\",\"kind\":2,"
	"\"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":\"1700000000001234567\","
	"\"attributes\":[{\"key\":\"b\",\"value\":{\"boolValue\":true}},"
	"{\"key\":\"i\",\"value\":{\"intValue\":\"-9223372036854775808\"}},"
	"{\"key\":\"s\",\"value\":{\"stringValue\":\"\\\"\\\\\\n\\u0000\\u001b\\u007f\xc3\xa9"
	"\xef\xbf\xbd\"}}],\"droppedAttributesCount\":1,"
	"\"events\":[{\"timeUnixNano\":\"5\",\"name\":\"e\"}],\"droppedEventsCount\":2,"
	"\"links\":[{\"traceId\":\"01000000000000000000000000000000\","
	"\"spanId\":\"0200000000000000\",\"flags\":1}],\"droppedLinksCount\":3,"
	"\"status\":{\"message\":\"m\",\"code\":2}}]}]}]}";

static void test_golden(void **state)
{
	struct clew_span_event event = {.ts_ns = 5, .name = {"e", 1}};
	struct clew_span_link link = {.trace_id = {1}, .span_id = {2}, .flags = 1};
	struct clew_resource *res = make_resource("api");
	struct clew_span *s = clew_span__new(3, 64);
	struct clew_otlp_groups groups = {0};
	struct clew_json j;

	(void)state;
	s->resource = clew_resource__get(res);
	for (int i = 0; i < 16; i++)
		s->trace_id[i] = (uint8_t)(i + 1);
	s->span_id[7] = 7;
	s->parent_span_id[0] = 0xff;
	s->trace_state = clew_str__lit("k=v");
	s->flags = 0x101;
	s->name = clew_str__lit("GET");
	s->kind = CLEW_SPAN_SERVER;
	s->start_ns = 1700000000000000000ULL;
	s->end_ns = 1700000000001234567ULL;
	clew_span__bool(s, "b", true);
	clew_span__int(s, "i", INT64_MIN);
	clew_span__str(s, "s", "\"\\\n\0\x1b\x7f\xc3\xa9\xff", 9);
	clew_span__int(s, "too many", 1);
	s->events = &event;
	s->nr_events = 1;
	s->dropped_events = 2;
	s->links = &link;
	s->nr_links = 1;
	s->dropped_links = 3;
	s->status = CLEW_STATUS_ERROR;
	s->status_message = clew_str__lit("m");
	clew_json__init(&j, CLEW_OTLP_REQUEST_MAX);
	assert_int_equal(clew_otlp__json(&j, &groups, &s, 1), 0);
	clew_json__raw(&j, "", 1);
	assert_string_equal(j.p, golden);
	clew_json__free(&j);
	clew_otlp_groups__free(&groups);
	clew_span__put(s);
	clew_resource__put(res);
}

static void test_any_bytes(void **state)
{
	struct clew_otlp_groups groups = {0};
	struct clew_json j;

	(void)state;
	clew_json__init(&j, CLEW_OTLP_REQUEST_MAX);
	srand(1);
	for (int round = 0; round < 500; round++) {
		struct clew_span *s = clew_span__new(1, 300);
		char text[256];
		json_t *root;

		for (int i = 0; i < 256; i++)
			text[i] = (char)(rand() % 3 ? rand() : 'a' + rand() % 26);
		clew_span__str(s, "k", text, (size_t)(rand() % 256));
		clew_json__reset(&j);
		assert_int_equal(clew_otlp__json(&j, &groups, &s, 1), 0);
		root = json_loadb(j.p, j.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		assert_non_null(root);
		json_decref(root);
		clew_span__put(s);
	}
	clew_json__free(&j);
	clew_otlp_groups__free(&groups);
}

static void test_groups(void **state)
{
	struct clew_resource *res[3] = {make_resource("a"), make_resource("b"), NULL};
	struct clew_otlp_groups groups = {0};
	struct clew_span *spans[9];
	struct clew_json j;
	json_t *root, *all;

	(void)state;
	for (size_t i = 0; i < 9; i++) {
		spans[i] = make_span(res[0], i);
		clew_resource__put(spans[i]->resource);
		spans[i]->resource = res[i % 3] ? clew_resource__get(res[i % 3]) : NULL;
	}
	clew_json__init(&j, CLEW_OTLP_REQUEST_MAX);
	assert_int_equal(clew_otlp__json(&j, &groups, spans, 9), 0);
	root = json_loadb(j.p, j.len, 0, NULL);
	all = json_object_get(root, "resourceSpans");
	assert_int_equal(json_array_size(all), 3);
	for (size_t k = 0; k < 3; k++) {
		json_t *ss =
			json_array_get(json_object_get(json_array_get(all, k), "scopeSpans"), 0);

		assert_int_equal(json_array_size(json_object_get(ss, "spans")), 3);
	}
	json_decref(root);
	clew_json__free(&j);
	clew_json__init(&j, 2000); /* a cap */
	assert_int_equal(clew_otlp__json(&j, &groups, spans, 9), -EMSGSIZE);
	assert_true(j.len <= 2000);
	clew_json__free(&j);
	clew_otlp_groups__free(&groups);
	put_spans(spans, 9);
	clew_resource__put(res[0]);
	clew_resource__put(res[1]);
}

static void test_doubles(void **state)
{
	struct clew_json j;

	(void)state;
	clew_json__init(&j, 1000);
	clew_json__arr(&j);
	clew_json__double(&j, 0.5);
	clew_json__double(&j, __builtin_nan(""));
	clew_json__double(&j, -__builtin_inf());
	clew_json__arr_end(&j);
	clew_json__raw(&j, "", 1);
	assert_string_equal(j.p, "[0.5,\"NaN\",\"-Infinity\"]");
	clew_json__free(&j);
}

static void test_metrics(void **state)
{
	static const struct clew_metric m[] = {
		{.name = "a", .unit = "{x}", .key = {"k"}, .value = {"1"}, .v = 5},
		{.name = "a", .unit = "{x}", .key = {"k"}, .value = {"2"}, .v = UINT32_MAX},
		{.name = "b", .description = "d", .v = 1, .is_gauge = 1},
	};
	static const char want[] =
		"{\"resourceMetrics\":[{\"resource\":{},\"scopeMetrics\":[{\"scope\":{\"name\":"
		"\"clew\",\"version\":\"" CLEW_VERSION "\"},\"metrics\":["
		"{\"name\":\"a\",\"unit\":\"{x}\",\"sum\":{\"dataPoints\":["
		"{\"attributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"1\"}}],"
		"\"startTimeUnixNano\":\"2\",\"timeUnixNano\":\"3\",\"asInt\":\"5\"},"
		"{\"attributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"2\"}}],"
		"\"startTimeUnixNano\":\"2\",\"timeUnixNano\":\"3\",\"asInt\":\"4294967295\"}],"
		"\"aggregationTemporality\":2,\"isMonotonic\":true}},"
		"{\"name\":\"b\",\"description\":\"d\",\"gauge\":{\"dataPoints\":["
		"{\"timeUnixNano\":\"3\",\"asInt\":\"1\"}]}}]}]}]}";
	struct clew_json j;

	(void)state;
	clew_json__init(&j, 10000);
	assert_int_equal(clew_otlp__json_metrics(&j, m, 3, NULL, 2, 3), 0);
	clew_json__raw(&j, "", 1);
	assert_string_equal(j.p, want);
	clew_json__free(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),	cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_groups),	cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
