/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <clew/span.h>

static void assert_str(struct clew_str s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	assert_memory_equal(s.p, want, s.n);
}

static void test_attrs(void **state)
{
	struct clew_span *s = clew_span__new(4, 16);
	char value[] = "value";

	(void)state;
	clew_span__str(s, "a", value, 5);
	clew_span__lit(s, "b", "literal");
	clew_span__int(s, "c", -1);
	clew_span__bool(s, "d", true);
	memset(value, 'x', 5); /* it was copied */
	assert_int_equal(s->nr_attrs, 4);
	assert_int_equal(s->dropped_attrs, 0);
	assert_str(s->attrs[0].str, "value");
	assert_str(s->attrs[1].str, "literal");
	assert_true(s->attrs[2].type == CLEW_ATTR_INT && s->attrs[2].i == -1);
	assert_true(s->attrs[3].type == CLEW_ATTR_BOOL && s->attrs[3].b);
	/* one more than there is room for: counted, and the text stays untouched */
	clew_span__int(s, "e", 1);
	clew_span__str(s, "f", "text", 4);
	assert_int_equal(s->nr_attrs, 4);
	assert_int_equal(s->dropped_attrs, 2);
	assert_int_equal(s->text_used, 5);
	clew_span__put(s);
}

static void test_attrs_max(void **state)
{
	struct clew_span *s = clew_span__new(1000, 0);

	(void)state;
	for (int i = 0; i < 200; i++)
		clew_span__int(s, "k", i);
	assert_int_equal(s->nr_attrs, CLEW_SPAN_ATTRS_MAX);
	assert_int_equal(s->dropped_attrs, 200 - CLEW_SPAN_ATTRS_MAX);
	clew_span__put(s);
}

static void test_text_is_cut(void **state)
{
	struct clew_span *s = clew_span__new(2, 8);

	(void)state;
	assert_str(clew_span__text(s, "12345", 5), "12345");
	assert_str(clew_span__text(s, "67890", 5), "678");
	assert_str(clew_span__text(s, "x", 1), "");
	assert_str(clew_span__text(s, NULL, 0), "");
	clew_span__put(s);
}

static void test_refs(void **state)
{
	static const char text[] = "service.name\0api";
	struct clew_resource *res = clew_resource__new(1, text, sizeof(text));
	struct clew_span *s = clew_span__new(0, 0);

	(void)state;
	s->resource = clew_resource__get(res);
	assert_int_equal(res->refs, 2);
	assert_ptr_equal(clew_span__get(s), s);
	clew_span__put(s);
	assert_int_equal(res->refs, 2);
	clew_span__put(s);
	assert_int_equal(res->refs, 1);
	clew_resource__put(res);
	clew_span__put(NULL);
	clew_resource__put(NULL);
}

static void test_put_all(void **state)
{
	struct clew_resource *res[3] = {clew_resource__new(1, "", 0), clew_resource__new(2, "", 0),
					NULL};
	static const int of[7] = {0, 0, 1, 2, 0, 1, 1};
	struct clew_span *spans[8], *kept;

	(void)state;
	for (int i = 0; i < 7; i++) {
		spans[i] = clew_span__new(1, 8);
		if (res[of[i]])
			spans[i]->resource = clew_resource__get(res[of[i]]);
	}
	spans[7] = NULL;
	kept = clew_span__get(spans[4]);
	clew_span__put_all(spans, 8);
	assert_int_equal(kept->refs, 1); /* it and its resource are still held */
	assert_int_equal(res[0]->refs, 2);
	assert_int_equal(res[1]->refs, 1);
	clew_resource__put(res[0]);
	clew_span__put_all(&kept, 1); /* the last of both */
	clew_resource__put(res[1]);
	clew_span__put_all(spans, 0);
}

static const struct clew_attr *find(const struct clew_resource *res, const char *key)
{
	for (uint32_t i = 0; i < res->nr_attrs; i++)
		if (!strcmp(res->attrs[i].key, key))
			return &res->attrs[i];
	return NULL;
}

static void test_resource(void **state)
{
	static const char text[] = "process.pid\0"
				   "77\0"
				   "service.name\0"
				   "api\0"
				   "process.command_args\0"
				   "/bin/x\x1f-v\x1f\0"
				   "host.name\0"
				   "";
	struct clew_resource *res = clew_resource__new(77, text, sizeof(text));
	const struct clew_attr *a;

	(void)state;
	assert_non_null(res);
	assert_int_equal(res->pid, 77);
	assert_int_equal(res->nr_attrs, 4);
	assert_str(res->service_name, "api");
	a = find(res, "process.pid");
	assert_true(a->type == CLEW_ATTR_INT && a->i == 77);
	a = find(res, "process.command_args");
	assert_true(a->type == CLEW_ATTR_STRV && a->count == 3);
	assert_str(a->strv[0], "/bin/x");
	assert_str(a->strv[1], "-v");
	assert_str(a->strv[2], "");
	assert_str(find(res, "host.name")->str, "");
	clew_resource__put(res);
}

static void test_resource_borders(void **state)
{
	static const char twice[] = "service.name\0\0service.name\0first\0service.name\0second";
	static const char words[] = "process.pid\0seven\0process.command_args\0";
	char many[200 * 8 + 32], *p = many;
	struct clew_resource *res;

	(void)state;
	res = clew_resource__new(1, "", 0); /* nothing at all */
	assert_int_equal(res->nr_attrs, 1);
	assert_str(find(res, "service.name")->str, "unknown_service");
	assert_str(res->service_name, "unknown_service");
	clew_resource__put(res);
	res = clew_resource__new(1, twice, sizeof(twice)); /* empty is unset, then first wins */
	assert_int_equal(res->nr_attrs, 1);
	assert_str(res->service_name, "first");
	clew_resource__put(res);
	res = clew_resource__new(1, words, sizeof(words));
	assert_str(find(res, "process.pid")->str, "seven"); /* no number: stays text */
	assert_int_equal(find(res, "process.command_args")->count, 1);
	clew_resource__put(res);
	/* more than the limit: the name still fits */
	for (int i = 0; i < 200; i++)
		p += snprintf(p, 16, "k%03d%cv", i, 0) + 1;
	p += snprintf(p, 32, "service.name%cn", 0) + 1;
	res = clew_resource__new(1, many, (size_t)(p - many));
	assert_int_equal(res->nr_attrs, 128);
	assert_str(res->service_name, "n");
	clew_resource__put(res);
}

static void test_resource_malformed(void **state)
{
	(void)state;
	assert_null(clew_resource__new(1, "key\0val", 7)); /* the last NUL is missing */
	assert_null(clew_resource__new(1, "key", 4));	   /* a key without a value */
	assert_null(clew_resource__new(1, "a\0b\0c", 6));  /* likewise */
	assert_null(clew_resource__new(1, "\0value", 7));  /* an empty key */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attrs),
		cmocka_unit_test(test_attrs_max),
		cmocka_unit_test(test_text_is_cut),
		cmocka_unit_test(test_refs),
		cmocka_unit_test(test_put_all),
		cmocka_unit_test(test_resource),
		cmocka_unit_test(test_resource_borders),
		cmocka_unit_test(test_resource_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
