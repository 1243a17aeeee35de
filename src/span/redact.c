/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact.c - what must not leave the process in a URL: the values of the query keys that the
 * semantic conventions list (attribute url.query), under any case, and of a few more that are
 * known to carry credentials.
 */
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include <clew/build.h>

#define KEY(s)	{s, sizeof(s) - 1}
#define KEY_MAX 32 /* longer than any of them */

static const struct {
	const char *name;
	size_t len;
} secret_keys[] = {
	KEY("AWSAccessKeyId"),
	KEY("Signature"),
	KEY("sig"),
	KEY("X-Goog-Signature"),
	KEY("X-Amz-Signature"),
	KEY("X-Amz-Credential"),
	KEY("X-Amz-Security-Token"),
	KEY("access_token"),
	KEY("refresh_token"),
	KEY("id_token"),
	KEY("token"),
	KEY("api_key"),
	KEY("apikey"),
	KEY("password"),
	KEY("passwd"),
	KEY("secret"),
	KEY("client_secret"),
	KEY("code"),
	KEY("session"),
	KEY("jwt"),
};

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A key as its reader will see it: "%74oken" is "token". Returns its length, 0: too long for one.
 */
static size_t decode(const char *key, size_t n, char *to)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		if (used == KEY_MAX)
			return 0;
		if (key[i] == '%' && n - i > 2 && hex(key[i + 1]) >= 0 && hex(key[i + 2]) >= 0) {
			to[used++] = (char)(hex(key[i + 1]) << 4 | hex(key[i + 2]));
			i += 2;
		} else {
			to[used++] = key[i];
		}
	}
	return used;
}

bool clew_redact__is_secret(const char *key, size_t n)
{
	char plain[KEY_MAX];

	if (memchr(key, '%', n)) {
		n = decode(key, n, plain);
		key = plain;
	}
	for (size_t i = 0; i < sizeof(secret_keys) / sizeof(secret_keys[0]); i++)
		if (secret_keys[i].len == n && !strncasecmp(secret_keys[i].name, key, n))
			return true;
	return false;
}

static size_t append(char *out, size_t used, size_t cap, const char *p, size_t n)
{
	if (n > cap - used)
		n = cap - used;
	memcpy(out + used, p, n);
	return used + n;
}

size_t clew_redact__query(const char *q, size_t n, char *out, size_t cap)
{
	size_t used = 0;

	while (n) {
		const char *amp = memchr(q, '&', n);
		size_t part = amp ? (size_t)(amp - q) : n;
		const char *eq = memchr(q, '=', part);

		if (eq && clew_redact__is_secret(q, (size_t)(eq - q))) {
			used = append(out, used, cap, q, (size_t)(eq - q) + 1);
			used = append(out, used, cap, "REDACTED", 8);
		} else {
			used = append(out, used, cap, q, part);
		}
		if (amp)
			used = append(out, used, cap, "&", 1);
		q += part + (amp ? 1 : 0);
		n -= part + (amp ? 1 : 0);
	}
	return used;
}
