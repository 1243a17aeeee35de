/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.c - the text of a value into its field, by the type that the table gives.
 *
 * Every source (YAML scalar, variable, flag) hands over text, so that "0x10" or "1e3" or "yes"
 * mean the same everywhere: numbers are decimal, a boolean is true or false. A field changes
 * only when the text is right. Messages say what is wrong and what was expected; where it stood
 * is added by the source.
 *
 * Headers and attributes follow the OpenTelemetry environment variables: k=v,k2=v2 with
 * percent-encoded values (a subset of W3C baggage). Header names and values are checked against
 * RFC 9110 5.5 and 5.6.2: a line break in one would let it write further headers.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config_private.h"

#define SHOWN 64 /* bytes of a wrong value that a message repeats */

static void *value__field(const struct config_key *key, void *base)
{
	return (char *)base + key->offset;
}

static int value__wrong(const struct config_key *key, const char *text, const char *what,
			char *errbuf, size_t n)
{
	char expected[192];

	return config__fail(errbuf, n, "\"%.*s\" is %s; expected %s", SHOWN, text, what,
			    config_key__expected(key, expected, sizeof(expected)));
}

/* Decimal digits only. Returns what follows them, NULL when there are none or too many. */
static const char *value__digits(const char *text, uint64_t *ret)
{
	uint64_t v = 0;
	const char *p = text;

	for (; isdigit((unsigned char)*p); p++) {
		if (p - text == 18)
			return NULL;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*ret = v;
	return p == text ? NULL : p;
}

static int value__u32(const struct config_key *key, const char *text, uint32_t *ret, char *errbuf,
		      size_t n)
{
	static const struct {
		const char *name;
		unsigned int shift;
	} units[] = {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
	uint64_t v;
	const char *rest = value__digits(text, &v);

	if (key->flags & CONFIG_OR_NONE && !strcasecmp(text, "none")) {
		*ret = 0;
		return 0;
	}
	for (size_t i = 0; rest && *rest && key->type == CONFIG_BYTES && i < 3; i++) {
		if (!strcasecmp(rest + strspn(rest, " "), units[i].name)) {
			v = v > UINT32_MAX ? v : v << units[i].shift;
			rest = "";
		}
	}
	if (!rest || *rest)
		return value__wrong(key, text, "not a whole number", errbuf, n);
	if (v < key->min || v > key->max)
		return value__wrong(key, text, "out of range", errbuf, n);
	if ((key->flags & CONFIG_POW2) && (v & (v - 1)))
		return value__wrong(key, text, "not a power of two", errbuf, n);
	*ret = (uint32_t)v;
	return 0;
}

static int value__bool(const struct config_key *key, const char *text, bool *ret, char *errbuf,
		       size_t n)
{
	if (!strcasecmp(text, "true"))
		*ret = true;
	else if (!strcasecmp(text, "false"))
		*ret = false;
	else
		return value__wrong(key, text, "not a boolean", errbuf, n);
	return 0;
}

/* strtod() alone would take "inf", "nan" and hexadecimal. */
static int value__double(const struct config_key *key, const char *text, double *ret, char *errbuf,
			 size_t n)
{
	char *end = NULL;
	double v = 0;

	if (*text && strspn(text, "0123456789.eE+-") == strlen(text))
		v = strtod(text, &end);
	if (!end || end == text || *end)
		return value__wrong(key, text, "not a number", errbuf, n);
	if (!(v >= (double)key->min && v <= (double)key->max))
		return value__wrong(key, text, "out of range", errbuf, n);
	*ret = v;
	return 0;
}

static int value__choice(const struct config_key *key, void *field, const char *text, char *errbuf,
			 size_t n)
{
	for (const struct config_choice *c = key->choices; c->name; c++) {
		if (strcasecmp(c->name, text))
			continue;
		if (key->size == sizeof(bool))
			*(bool *)field = c->value;
		else
			memcpy(field, &c->value, sizeof(c->value));
		return 0;
	}
	return value__wrong(key, text, "unknown", errbuf, n);
}

/*
 * The character at p breaks lines or is none: C0 and C1 controls, U+2028, U+2029, U+FEFF,
 * U+FFFE, U+FFFF. Other bytes pass, also those that are no UTF-8: a file name may have them.
 */
static bool value__unprintable(const char *p)
{
	static const char *const bad[] = {"\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf",
					  "\xef\xbf\xbe", "\xef\xbf\xbf"};

	if (iscntrl((unsigned char)*p))
		return true;
	if (*p == '\xc2' && (unsigned char)p[1] >= 0x80 && (unsigned char)p[1] <= 0x9f)
		return true;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!strncmp(p, bad[i], 3))
			return true;
	return false;
}

/* Control characters have no place in a name, path or URL, and would break lines of output. */
static int value__check_text(const struct config_key *key, const char *text, char *errbuf, size_t n)
{
	if (!*text)
		return value__wrong(key, text, "empty", errbuf, n);
	if (strlen(text) > CONFIG_TEXT_MAX)
		return value__wrong(key, text, "too long", errbuf, n);
	for (const char *p = text; *p; p++)
		if (value__unprintable(p))
			return config__fail(errbuf, n,
					    "the text holds a control character; expected "
					    "printable text");
	return 0;
}

static int value__string(const struct config_key *key, char **field, const char *text, char *errbuf,
			 size_t n)
{
	int err = value__check_text(key, text, errbuf, n);
	char *copy;

	if (!err && (key->flags & CONFIG_ATTRS))
		err = config_attrs__check(text, NULL, errbuf, n);
	if (err)
		return err;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

bool config_value__is_list(const struct config_key *key)
{
	return key->type == CONFIG_STRV || key->type == CONFIG_PIDS || key->type == CONFIG_PORTS ||
	       key->type == CONFIG_HEADERS;
}

int config_value__set(const struct config_key *key, void *base, const char *text, char *errbuf,
		      size_t n)
{
	void *field = value__field(key, base);

	switch (key->type) {
	case CONFIG_BOOL:
		return value__bool(key, text, field, errbuf, n);
	case CONFIG_U32:
	case CONFIG_BYTES:
		return value__u32(key, text, field, errbuf, n);
	case CONFIG_DOUBLE:
		return value__double(key, text, field, errbuf, n);
	case CONFIG_CHOICE:
		return value__choice(key, field, text, errbuf, n);
	case CONFIG_STRING:
		return value__string(key, field, text, errbuf, n);
	default:
		return config_value__set_list(key, base, text, errbuf, n);
	}
}

int config_strv__add(struct clew_strv *v, const char *text, size_t n)
{
	char **grown = realloc(v->v, (v->n + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	v->v = grown;
	grown[v->n] = strndup(text, n);
	if (!grown[v->n])
		return -ENOMEM;
	v->n++;
	return 0;
}

/* Both lists of numbers: `count` members of `width` bytes behind the pointer. */
static int value__append_number(const struct config_key *key, void *base, const char *text,
				char *errbuf, size_t n)
{
	uint32_t *count = (uint32_t *)((char *)base + key->count);
	size_t width = key->type == CONFIG_PORTS ? sizeof(uint16_t) : sizeof(uint32_t);
	uint32_t v = 0;
	uint16_t v16;
	void **field = value__field(key, base);
	void *grown;
	char what[64];

	if (!value__digits(text, &(uint64_t){0}) || strspn(text, "0123456789") != strlen(text)) {
		snprintf(what, sizeof(what), "not a whole number");
		return config__fail(errbuf, n, "\"%.*s\" is %s; expected one from %llu to %llu",
				    SHOWN, text, what, (unsigned long long)key->min,
				    (unsigned long long)key->max);
	}
	if (value__u32(key, text, &v, errbuf, n))
		return config__fail(errbuf, n, "\"%.*s\" is out of range; expected %llu to %llu",
				    SHOWN, text, (unsigned long long)key->min,
				    (unsigned long long)key->max);
	grown = realloc(*field, (*count + 1) * width);
	if (!grown)
		return -ENOMEM;
	*field = grown;
	v16 = (uint16_t)v;
	memcpy((char *)grown + *count * width, width == sizeof(v16) ? (void *)&v16 : (void *)&v,
	       width);
	(*count)++;
	return 0;
}

int config_value__append(const struct config_key *key, void *base, const char *text, char *errbuf,
			 size_t n)
{
	struct clew_strv *strv = value__field(key, base);
	uint32_t have;
	int err;

	have = key->type == CONFIG_STRV ? strv->n : *(uint32_t *)((char *)base + key->count);
	if (have == CONFIG_LIST_MAX)
		return config__fail(errbuf, n, "too many members; expected at most %u",
				    CONFIG_LIST_MAX);
	if (key->type != CONFIG_STRV)
		return value__append_number(key, base, text, errbuf, n);
	err = value__check_text(key, text, errbuf, n);
	return err ? err : config_strv__add(strv, text, strlen(text));
}

/* Trim blanks at both ends of [*start, *end). */
static void value__trim(const char **start, const char **end)
{
	while (*start < *end && (**start == ' ' || **start == '\t'))
		(*start)++;
	while (*start < *end && ((*end)[-1] == ' ' || (*end)[-1] == '\t'))
		(*end)--;
}

int config_value__set_list(const struct config_key *key, void *base, const char *text, char *errbuf,
			   size_t n)
{
	char member[CONFIG_TEXT_MAX + 1];
	int err = 0;

	config_value__clear(key, base);
	if (key->type == CONFIG_HEADERS)
		return config_headers__parse(
			(struct clew_export_config *)&((struct config_draft *)base)->ex, text,
			errbuf, n);
	for (const char *p = text; !err && *p;) {
		const char *start = p, *end = strchrnul(p, ',');

		p = *end ? end + 1 : end;
		value__trim(&start, &end);
		if (start == end)
			continue;
		if ((size_t)(end - start) > CONFIG_TEXT_MAX)
			return value__wrong(key, start, "too long", errbuf, n);
		memcpy(member, start, (size_t)(end - start));
		member[end - start] = '\0';
		err = config_value__append(key, base, member, errbuf, n);
	}
	return err;
}

void config_value__clear(const struct config_key *key, void *base)
{
	void *field = value__field(key, base);

	switch (key->type) {
	case CONFIG_STRING:
		free(*(char **)field);
		*(char **)field = NULL;
		break;
	case CONFIG_STRV: {
		struct clew_strv *strv = field;

		for (uint32_t i = 0; i < strv->n; i++)
			free(strv->v[i]);
		free(strv->v);
		memset(strv, 0, sizeof(*strv));
		break;
	}
	case CONFIG_HEADERS: {
		struct clew_header **headers = field;
		uint32_t *count = (uint32_t *)((char *)base + key->count);

		for (uint32_t i = 0; i < *count; i++) {
			free((*headers)[i].name);
			free((*headers)[i].value);
		}
		free(*headers);
		*headers = NULL;
		*count = 0;
		break;
	}
	case CONFIG_PIDS:
	case CONFIG_PORTS:
		free(*(void **)field);
		*(void **)field = NULL;
		*(uint32_t *)((char *)base + key->count) = 0;
		break;
	case CONFIG_BOOL:
		*(bool *)field = false;
		break;
	default:
		break;
	}
}

int config_value__defaults(enum config_section section, void *base)
{
	char errbuf[256];
	int err = 0;

	for (uint32_t i = 0; !err && i < config_nr_keys; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->section == section && key->unset)
			err = config_value__set(key, base, key->unset, errbuf, sizeof(errbuf));
	}
	return err;
}

/* RFC 9110 5.6.2: token. */
static bool header__name_ok(const char *name)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(others, *p))
			return false;
	return *name != '\0';
}

static bool header__value_ok(const char *value)
{
	for (const char *p = value; *p; p++)
		if (iscntrl((unsigned char)*p) && *p != '\t')
			return false;
	return true;
}

int config_headers__add(struct clew_export_config *ex, const char *name, const char *value,
			char *errbuf, size_t n)
{
	struct clew_header *grown;

	if (!header__name_ok(name))
		return config__fail(errbuf, n,
				    "\"%.*s\" is not a header name; expected letters, digits "
				    "and - _ .",
				    SHOWN, name);
	/* The value is not repeated: it may be a secret. */
	if (!header__value_ok(value))
		return config__fail(errbuf, n,
				    "the value of header %s holds a control character; expected "
				    "printable text",
				    name);
	for (uint32_t i = 0; i < ex->nr_headers; i++)
		if (!strcasecmp(ex->headers[i].name, name))
			return config__fail(errbuf, n, "header %s is given twice; expected once",
					    name);
	if (ex->nr_headers == CONFIG_HEADERS_MAX)
		return config__fail(errbuf, n, "too many headers; expected at most %u",
				    CONFIG_HEADERS_MAX);
	grown = realloc(ex->headers, (ex->nr_headers + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	ex->headers = grown;
	grown += ex->nr_headers;
	grown->name = strdup(name);
	grown->value = strdup(value);
	if (!grown->name || !grown->value) {
		free(grown->name);
		free(grown->value);
		return -ENOMEM;
	}
	ex->nr_headers++;
	return 0;
}

static int hex__digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decode [start, end) into buf of CONFIG_TEXT_MAX + 1 bytes. False: wrong or NUL. */
static bool pair__decode(const char *start, const char *end, char *buf)
{
	size_t n = 0;

	value__trim(&start, &end);
	for (const char *p = start; p < end; p++) {
		char c = *p;

		if (n == CONFIG_TEXT_MAX)
			return false;
		if (c == '%') {
			int hi = end - p > 2 ? hex__digit(p[1]) : -1;
			int lo = end - p > 2 ? hex__digit(p[2]) : -1;

			if (hi < 0 || lo < 0)
				return false;
			c = (char)(hi << 4 | lo);
			p += 2;
		}
		if (!c)
			return false;
		buf[n++] = c;
	}
	buf[n] = '\0';
	return true;
}

/*
 * The next k=v of *text, percent-decoded into two buffers of CONFIG_TEXT_MAX + 1 bytes.
 * 1: there is one, 0: the end, -EINVAL. Empty members are skipped. Values are not repeated in
 * messages: they may be secrets.
 */
static int pair__next(const char **text, char *name, char *value, char *errbuf, size_t n)
{
	while (**text) {
		const char *start = *text, *end = strchrnul(start, ',');
		const char *eq = memchr(start, '=', (size_t)(end - start));

		*text = *end ? end + 1 : end;
		value__trim(&start, &end);
		if (start == end)
			continue;
		if (!eq || !pair__decode(start, eq, name) || !*name)
			return config__fail(errbuf, n,
					    "a member has no name; expected name=value,name=value");
		if (!pair__decode(eq + 1, end, value))
			return config__fail(
				errbuf, n,
				"the value of %.*s is not percent-encoded text; expected "
				"name=value,name=value",
				SHOWN, name);
		return 1;
	}
	return 0;
}

int config_headers__parse(struct clew_export_config *ex, const char *text, char *errbuf, size_t n)
{
	char name[CONFIG_TEXT_MAX + 1], value[CONFIG_TEXT_MAX + 1];
	int err;

	while ((err = pair__next(&text, name, value, errbuf, n)) > 0) {
		err = config_headers__add(ex, name, value, errbuf, n);
		if (err)
			return err;
	}
	return err;
}

int config_attrs__check(const char *text, char **ret_service, char *errbuf, size_t n)
{
	char name[CONFIG_TEXT_MAX + 1], value[CONFIG_TEXT_MAX + 1];
	char *service = NULL;
	int err;

	while ((err = pair__next(&text, name, value, errbuf, n)) > 0) {
		if (!ret_service || strcmp(name, "service.name") || !*value)
			continue;
		free(service);
		service = strdup(value);
		if (!service)
			return -ENOMEM;
	}
	if (err)
		free(service);
	else if (ret_service)
		*ret_service = service;
	return err;
}
