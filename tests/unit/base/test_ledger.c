/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <clew/ledger.h>

static struct clew_ledger whole(void)
{
	struct clew_ledger l = {
		.events_seen = 120,
		.events_used = 100,
		.events_dropped = {[CLEW_EDROP_RING_FULL] = 15, [CLEW_EDROP_DUPLICATE] = 5},
		.exchanges_seen = 50,
		.exchanges_spans = 48,
		.exchanges_dropped = {[CLEW_XDROP_GAP] = 2},
		.spans_built = 48,
		.spans_sampled_out = 8,
		.nr_exporters = 2,
		.exporter = {{.name = "file", .exported = 40},
			     {.name = "otlp-grpc",
			      .exported = 30,
			      .dropped = {[CLEW_SDROP_QUEUE_FULL] = 4, [CLEW_SDROP_WRITE] = 6}}},
	};

	return l;
}

/* Every number counts: any one of them off by one is seen. */
static void test_balanced(void **state)
{
	struct clew_ledger l = whole();
	uint64_t *all[] = {&l.events_seen,
			   &l.events_used,
			   &l.events_dropped[CLEW_EDROP_MALFORMED],
			   &l.exchanges_seen,
			   &l.exchanges_spans,
			   &l.exchanges_dropped[CLEW_XDROP_NO_MEMORY],
			   &l.spans_built,
			   &l.spans_sampled_out,
			   &l.exporter[0].exported,
			   &l.exporter[1].exported,
			   &l.exporter[1].dropped[CLEW_SDROP_WRITE]};
	struct clew_ledger none = {0};

	(void)state;
	assert_true(clew_ledger__balanced(&none));
	assert_true(clew_ledger__balanced(&l));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		++*all[i];
		assert_false(clew_ledger__balanced(&l));
		--*all[i];
	}
	assert_true(clew_ledger__balanced(&l));
	l.exporter[2].exported = 99; /* not in use */
	assert_true(clew_ledger__balanced(&l));
}

static char *print(const struct clew_ledger *l)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	clew_ledger__print(l, f);
	fclose(f);
	return text;
}

static void test_print(void **state)
{
	struct clew_ledger l = whole();
	char *text = print(&l);

	(void)state;
	assert_non_null(strstr(text, "ring_full 15, duplicate 5"));
	assert_non_null(strstr(text, "queue_full 4, write 6"));
	assert_string_equal(text + strlen(text) - strlen(" balanced\n"), " balanced\n");
	assert_null(strstr(text, "NOT"));
	free(text);
	l.exchanges_seen += 3;
	text = print(&l);
	assert_non_null(strstr(text, "off by 3\n"));
	assert_string_equal(text + strlen(text) - strlen(" NOT BALANCED\n"), " NOT BALANCED\n");
	free(text);
}

static json_int_t number(json_t *j, const char *a, const char *b, const char *c, const char *d)
{
	j = json_object_get(j, a);
	j = json_object_get(j, b);
	j = c ? json_object_get(j, c) : j;
	j = d ? json_object_get(j, d) : j;
	assert_true(json_is_integer(j));
	return json_integer_value(j);
}

static void test_json(void **state)
{
	char path[] = "/tmp/clew-ledger-XXXXXX";
	struct clew_ledger l = whole();
	json_t *j;

	(void)state;
	close(mkstemp(path));
	assert_int_equal(clew_ledger__write_json(&l, path), 0);
	j = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	assert_int_equal(json_object_size(j), 4);
	assert_int_equal(number(j, "events", "seen", NULL, NULL), 120);
	assert_int_equal(number(j, "events", "used", NULL, NULL), 100);
	assert_int_equal(number(j, "events", "dropped", "ring_full", NULL), 15);
	assert_int_equal(number(j, "exchanges", "seen", NULL, NULL), 50);
	assert_int_equal(number(j, "exchanges", "spans", NULL, NULL), 48);
	assert_int_equal(number(j, "exchanges", "dropped", "gap", NULL), 2);
	assert_int_equal(number(j, "spans", "built", NULL, NULL), 48);
	assert_int_equal(number(j, "spans", "sampled_out", NULL, NULL), 8);
	assert_int_equal(number(j, "spans", "exported", "otlp-grpc", NULL), 30);
	assert_int_equal(number(j, "spans", "dropped", "otlp-grpc", "queue_full"), 4);
	assert_int_equal(number(j, "spans", "dropped", "file", "write"), 0);
	assert_true(json_is_true(json_object_get(j, "balanced")));
	json_decref(j);

	l.spans_built++;
	assert_int_equal(clew_ledger__write_json(&l, path), 0);
	j = json_load_file(path, 0, NULL);
	assert_true(json_is_false(json_object_get(j, "balanced")));
	json_decref(j);
	unlink(path);
	assert_int_equal(clew_ledger__write_json(&l, "/nonexistent/x"), -ENOENT);
	assert_int_equal(clew_ledger__write_json(&l, "/dev/full"), -ENOSPC);
}

static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < CLEW_EDROP_MAX; i++)
		assert_non_null(clew_event_drop_names[i]);
	for (int i = 0; i < CLEW_XDROP_MAX; i++)
		assert_non_null(clew_exchange_drop_names[i]);
	for (int i = 0; i < CLEW_SDROP_MAX; i++)
		assert_non_null(clew_span_drop_names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_balanced),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
