/* SPDX-License-Identifier: Apache-2.0 */
/* The quick pieces of the JSON writer against printf() and a byte by byte reading. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/json_put.h"

static void assert_number(uint64_t v)
{
	char got[64], want[64];

	memset(got, 'x', sizeof(got));
	*clew_json_put__u64(got, v) = 0;
	snprintf(want, sizeof(want), "%" PRIu64, v);
	assert_string_equal(got, want);
	*clew_json_put__i64(got, (int64_t)v) = 0;
	snprintf(want, sizeof(want), "%" PRId64, (int64_t)v);
	assert_string_equal(got, want);
}

static void test_numbers(void **state)
{
	uint64_t ten = 1;

	(void)state;
	for (uint64_t v = 0; v < 1100; v++)
		assert_number(v);
	for (int i = 0; i < 20; i++, ten *= 10) {
		assert_number(ten - 1);
		assert_number(ten);
		assert_number(0 - ten);
	}
	assert_number(INT64_MAX);
	assert_number((uint64_t)INT64_MAX + 1);
}

static void test_hex(void **state)
{
	char got[16], want[16];

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		uint8_t p[5] = {(uint8_t)i, (uint8_t)(i * 7), 0xff, 0x9a, (uint8_t)~i};

		*clew_json_put__hex(got, p, 5) = 0;
		snprintf(want, sizeof(want), "%02x%02x%02x%02x%02x", p[0], p[1], p[2], p[3], p[4]);
		assert_string_equal(got, want);
	}
}

/* Every byte at every place of texts of every small length, in blocks of just that size. */
static void test_plain(void **state)
{
	(void)state;
	for (size_t n = 0; n < 20; n++) {
		char *p = malloc(n + 1), *to = malloc(n + 1);

		for (size_t at = 0; at < (n ? n : 1); at++) {
			for (int c = 0; c < 256; c++) {
				bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
				char *text = p + 1, *end;

				memset(text, c & 1 ? '!' : '~', n);
				if (n)
					text[at] = (char)c;
				end = clew_json_put__plain(to, text, n);
				if (n && !plain) {
					assert_null(end);
					continue;
				}
				assert_ptr_equal(end, to + n);
				assert_memory_equal(to, text, n);
			}
		}
		free(p);
		free(to);
	}
}

static void test_escapes(void **state)
{
	static const char raw[] = "a\"b\\\b\f\n\r\t\x01\x1f\x7f\xc3\xa9\xff z";
	static const char want[] = "[\"a\\\"b\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\xc3\xa9"
				   "\xef\xbf\xbd z\",\"plain text\",\"\",-0]";
	struct clew_json j;

	(void)state;
	clew_json__init(&j, 1000);
	clew_json__arr(&j);
	clew_json__str(&j, raw, sizeof(raw) - 1);
	clew_json__cstr(&j, "plain text");
	clew_json__str(&j, NULL, 0);
	clew_json__raw(&j, ",-0", 3);
	clew_json__arr_end(&j);
	clew_json__raw(&j, "", 1);
	assert_string_equal(j.p, want);
	clew_json__free(&j);
}

static void test_cap(void **state)
{
	struct clew_json j;

	(void)state;
	clew_json__init(&j, 64);
	assert_non_null(clew_json__room(&j, 64));
	assert_null(clew_json__room(&j, 65));
	assert_int_equal(j.err, -EMSGSIZE);
	assert_null(clew_json__room(&j, 1)); /* and nothing after that */
	clew_json__str(&j, "x", 1);
	assert_int_equal(j.len, 0);
	clew_json__free(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_hex),
		cmocka_unit_test(test_plain),	cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
