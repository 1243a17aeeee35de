/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8: every code point there is, and the Unicode standard's examples of what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/utf8.h"

static size_t put(uint32_t c, uint8_t *p)
{
	if (c < 0x80) {
		p[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		p[0] = (uint8_t)(0xc0 | c >> 6);
		p[1] = (uint8_t)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		p[0] = (uint8_t)(0xe0 | c >> 12);
		p[1] = (uint8_t)(0x80 | (c >> 6 & 63));
		p[2] = (uint8_t)(0x80 | (c & 63));
		return 3;
	}
	p[0] = (uint8_t)(0xf0 | c >> 18);
	p[1] = (uint8_t)(0x80 | (c >> 12 & 63));
	p[2] = (uint8_t)(0x80 | (c >> 6 & 63));
	p[3] = (uint8_t)(0x80 | (c & 63));
	return 4;
}

static void test_all_code_points(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x1fffff; c++) {
		bool want = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff), ok;
		uint8_t p[4];
		size_t n = put(c, p);

		assert_int_equal(clew_utf8__valid((char *)p, n), want);
		if (want)
			assert_int_equal(clew_utf8__step(p, n, &ok), n);
		for (size_t cut = 1; cut < n && want; cut++)
			assert_false(clew_utf8__valid((char *)p, cut));
	}
}

/* Lengths of the parts; a capital letter stands for one that is replaced. */
static void check_parts(const char *bytes, size_t n, const char *want)
{
	const uint8_t *p = (const uint8_t *)bytes;
	char got[32];
	size_t used = 0, len;
	bool ok;

	for (size_t i = 0; i < n; i += len) {
		len = clew_utf8__step(p + i, n - i, &ok);
		got[used++] = (char)((ok ? 'a' : 'A') + len - 1);
	}
	got[used] = 0;
	assert_string_equal(got, want);
}

static void test_maximal_subparts(void **state)
{
	(void)state;
	/* Unicode 15, tables 3-8 to 3-11 */
	check_parts("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", 9, "AAAAAAAAa");
	check_parts("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", 9, "AAAAAAAAa");
	check_parts("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", 9, "AAAAAaAAa");
	check_parts("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", 9, "BACBa");
}

static void test_long_text(void **state)
{
	char text[64];

	(void)state;
	for (size_t n = 1; n < sizeof(text); n++) { /* one bad byte, wherever it stands */
		memset(text, 'x', sizeof(text));
		assert_true(clew_utf8__valid(text, n));
		for (size_t i = 0; i < n; i++) {
			text[i] = '\x80';
			assert_false(clew_utf8__valid(text, n));
			text[i] = 'x';
		}
	}
	assert_true(clew_utf8__valid("", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_code_points),
		cmocka_unit_test(test_maximal_subparts),
		cmocka_unit_test(test_long_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
