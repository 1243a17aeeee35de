/* SPDX-License-Identifier: Apache-2.0 */
/* Values of keys that carry credentials never leave in a query; everything else stays as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <clew/build.h>

/* The input lies in memory of its own, so that a byte read behind it is seen. */
static void assert_redacted(const char *in, const char *want)
{
	size_t n = strlen(in), len;
	char *copy = malloc(n ? n : 1), out[512];

	memcpy(copy, in, n);
	len = clew_redact__query(copy, n, out, sizeof(out));
	assert_int_equal(len, strlen(want));
	assert_memory_equal(out, want, len);
	free(copy);
}

static void test_keys(void **state)
{
	/* semantic-conventions, url.query: the four that must be; then those clew adds */
	static const char *const keys[] = {"AWSAccessKeyId",
					   "Signature",
					   "sig",
					   "X-Goog-Signature",
					   "X-Amz-Signature",
					   "X-Amz-Credential",
					   "X-Amz-Security-Token",
					   "access_token",
					   "refresh_token",
					   "id_token",
					   "token",
					   "api_key",
					   "apikey",
					   "password",
					   "passwd",
					   "secret",
					   "client_secret",
					   "code",
					   "session",
					   "jwt"};
	char in[128], want[128];

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(in, sizeof(in), "a=1&%s=s3cret/+%%20==&b=2", keys[i]);
		snprintf(want, sizeof(want), "a=1&%s=REDACTED&b=2", keys[i]);
		assert_redacted(in, want);
		for (char *c = in + 4; *c != '='; c++)
			*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
		for (char *c = want + 4; *c != '='; c++)
			*c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
		assert_redacted(in, want);
	}
}

static void test_shapes(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{"", ""},
		{"&", "&"},
		{"&&=", "&&="},
		{"a", "a"},
		{"a=1&b=2", "a=1&b=2"},
		{"sig", "sig"},		  /* a key alone has no value to hide */
		{"sig=", "sig=REDACTED"}, /* an empty one is not told from others */
		{"sig=a&sig=b", "sig=REDACTED&sig=REDACTED"},
		{"sig=a&", "sig=REDACTED&"},
		{"&sig=a", "&sig=REDACTED"},
		{"sigx=a&xsig=b", "sigx=a&xsig=b"},
		{"a=sig=b", "a=sig=b"}, /* the key is `a` */
		{"q=token", "q=token"},
		{"=token", "=token"},
		{"token=a=b=c&x", "token=REDACTED&x"},
		{"%74oken=a&s%69%67=b", "%74oken=REDACTED&s%69%67=REDACTED"}, /* as it is read */
		{"%74oke=a&%zzsig=b&sig%=c&sig%0=d", "%74oke=a&%zzsig=b&sig%=c&sig%0=d"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_redacted(cases[i].in, cases[i].want);
}

/* With too little room the text is cut, at any place, and nothing is written behind the end. */
static void test_room(void **state)
{
	static const char in[] = "a=1&sig=x&bb=22&token=yyyyyyyyyyyyyyyyyyy&c";
	static const char whole[] = "a=1&sig=REDACTED&bb=22&token=REDACTED&c";

	(void)state;
	for (size_t cap = 0; cap <= sizeof(whole); cap++) {
		char *out = malloc(cap ? cap : 1);
		size_t n = clew_redact__query(in, sizeof(in) - 1, out, cap);

		assert_int_equal(n, cap < sizeof(whole) - 1 ? cap : sizeof(whole) - 1);
		assert_memory_equal(out, whole, n);
		free(out);
	}
}

static void test_any_bytes(void **state)
{
	char in[257], out[512], secret[] = "sig=\0\xff\r\n&\0=\0";
	size_t n;

	(void)state;
	for (int i = 0; i < 256; i++)
		in[i] = (char)i;
	n = clew_redact__query(in, 256, out, sizeof(out));
	assert_int_equal(n, 256);
	assert_memory_equal(out, in, 256);
	n = clew_redact__query(secret, sizeof(secret) - 1, out, sizeof(out));
	assert_int_equal(n, 16);
	assert_memory_equal(out, "sig=REDACTED&\0=\0", 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
