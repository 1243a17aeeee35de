/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming JSON writer (RFC 8259), see json.h. One flag is state enough: a comma is due
 * before a value or key exactly when another value of the same container was just written.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_put.h"
#include "base/utf8.h"

#define JSON_FIRST 4096
#define JSON_KEEP  (4u << 20)

void clew_json__init(struct clew_json *j, size_t max)
{
	memset(j, 0, sizeof(*j));
	j->max = max;
}

void clew_json__reset(struct clew_json *j)
{
	if (j->cap > JSON_KEEP)
		clew_json__free(j);
	j->len = 0;
	j->comma = false;
	j->err = 0;
}

void clew_json__free(struct clew_json *j)
{
	free(j->p);
	j->p = NULL;
	j->len = j->cap = 0;
}

bool clew_json__grow(struct clew_json *j, size_t n)
{
	size_t cap = j->cap ? j->cap : JSON_FIRST;
	char *p;

	if (j->err)
		return false;
	if (n > j->max || j->len > j->max - n) {
		j->err = -EMSGSIZE;
		return false;
	}
	while (cap - j->len < n)
		cap *= 2;
	if (cap > j->max)
		cap = j->max;
	p = realloc(j->p, cap);
	if (!p) {
		j->err = -ENOMEM;
		return false;
	}
	j->p = p;
	j->cap = cap;
	return true;
}

void clew_json__raw(struct clew_json *j, const char *p, size_t n)
{
	if (!clew_json__room(j, n) || !n)
		return;
	memcpy(j->p + j->len, p, n);
	j->len += n;
}

static void json_value(struct clew_json *j, const char *p, size_t n)
{
	if (!clew_json__room(j, n + 1))
		return;
	if (j->comma)
		j->p[j->len++] = ',';
	memcpy(j->p + j->len, p, n);
	j->len += n;
	j->comma = true;
}

static void json_open(struct clew_json *j, const char *c)
{
	json_value(j, c, 1);
	j->comma = false;
}

static void json_close(struct clew_json *j, const char *c)
{
	clew_json__raw(j, c, 1);
	j->comma = true;
}

void clew_json__obj(struct clew_json *j)
{
	json_open(j, "{");
}

void clew_json__obj_end(struct clew_json *j)
{
	json_close(j, "}");
}

void clew_json__arr(struct clew_json *j)
{
	json_open(j, "[");
}

void clew_json__arr_end(struct clew_json *j)
{
	json_close(j, "]");
}

void clew_json__key(struct clew_json *j, const char *key)
{
	size_t n = strlen(key);

	if (!clew_json__room(j, n + 4))
		return;
	if (j->comma)
		j->p[j->len++] = ',';
	j->p[j->len++] = '"';
	memcpy(j->p + j->len, key, n);
	j->len += n;
	j->p[j->len++] = '"';
	j->p[j->len++] = ':';
	j->comma = false;
}

/* How many bytes from p may be copied as they are. */
static size_t json_plain(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			break;
	}
	return i;
}

static void json_escape(struct clew_json *j, unsigned char c)
{
	static const char names[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
				     ['\r'] = 'r', ['"'] = '"',	 ['\\'] = '\\'};
	char buf[8] = "\\u00";

	if (c < sizeof(names) && names[c]) {
		buf[1] = names[c];
		clew_json__raw(j, buf, 2);
		return;
	}
	clew_json_put__hex(buf + 4, &c, 1);
	clew_json__raw(j, buf, 6);
}

void clew_json__text(struct clew_json *j, const char *p, size_t n)
{
	size_t i = 0, len;
	bool ok;

	while (i < n && !j->err) {
		len = json_plain(p + i, n - i);
		clew_json__raw(j, p + i, len);
		i += len;
		if (i >= n)
			break;
		if ((unsigned char)p[i] <= 0x7f) {
			json_escape(j, (unsigned char)p[i++]);
			continue;
		}
		len = clew_utf8__step((const uint8_t *)p + i, n - i, &ok);
		if (ok)
			clew_json__raw(j, p + i, len);
		else
			clew_json__raw(j, CLEW_UTF8_REPLACEMENT, CLEW_UTF8_REPLACEMENT_LEN);
		i += len;
	}
}

void clew_json__str(struct clew_json *j, const char *p, size_t n)
{
	char *to = clew_json__room(j, n + 3), *end;

	if (!to)
		return;
	if (j->comma)
		*to++ = ',';
	*to++ = '"';
	j->comma = true;
	end = clew_json_put__plain(to, p, n);
	if (end) {
		*end++ = '"';
		j->len = (size_t)(end - j->p);
		return;
	}
	j->len = (size_t)(to - j->p);
	clew_json__text(j, p, n);
	clew_json__raw(j, "\"", 1);
}

void clew_json__cstr(struct clew_json *j, const char *s)
{
	clew_json__str(j, s, strlen(s));
}

static void json_number(struct clew_json *j, uint64_t v, bool minus, bool quotes)
{
	char buf[JSON_PUT_U64 + 4], *p = buf;

	if (quotes)
		*p++ = '"';
	if (minus)
		*p++ = '-';
	p = clew_json_put__u64(p, v);
	if (quotes)
		*p++ = '"';
	json_value(j, buf, (size_t)(p - buf));
}

void clew_json__u64(struct clew_json *j, uint64_t v)
{
	json_number(j, v, false, false);
}

void clew_json__u64_str(struct clew_json *j, uint64_t v)
{
	json_number(j, v, false, true);
}

void clew_json__i64_str(struct clew_json *j, int64_t v)
{
	json_number(j, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, true);
}

void clew_json__double(struct clew_json *j, double v)
{
	char buf[40];
	int n;

	if (isnan(v))
		n = snprintf(buf, sizeof(buf), "\"NaN\"");
	else if (isinf(v))
		n = snprintf(buf, sizeof(buf), v < 0 ? "\"-Infinity\"" : "\"Infinity\"");
	else
		n = snprintf(buf, sizeof(buf), "%.17g", v);
	json_value(j, buf, (size_t)n);
}

void clew_json__bool(struct clew_json *j, bool v)
{
	json_value(j, v ? "true" : "false", v ? 4 : 5);
}

void clew_json__hex(struct clew_json *j, const uint8_t *p, size_t n)
{
	char *to = clew_json__room(j, 2 * n + 3);

	if (!to)
		return;
	if (j->comma)
		*to++ = ',';
	*to++ = '"';
	to = clew_json_put__hex(to, p, n);
	*to++ = '"';
	j->len = (size_t)(to - j->p);
	j->comma = true;
}
