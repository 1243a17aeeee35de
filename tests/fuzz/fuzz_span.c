/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_span.c - what came over the wire into a span: traceparent, tracestate, and the texts of a
 * request (target, host, forwarding headers) that become attributes, without their secrets.
 *
 * The input is split at newlines: the fields of one exchange, then header lines. Checked: an
 * adopted header is one that it would write itself, a tracestate that was kept is kept again, no
 * credentials are in any URL, what was redacted is redacted, and the room that was computed
 * for a span is enough.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clew/build.h>

#include "correlate/internal.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #x);      \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of the input up to the next newline, as a copy of just its size. */
static char *line(const uint8_t **p, size_t *n, size_t *ret_len)
{
	const uint8_t *nl = memchr(*p, '\n', *n);
	size_t len = nl ? (size_t)(nl - *p) : *n;
	char *copy = malloc(len ? len : 1);

	memcpy(copy, *p, len);
	*p += len + (nl ? 1 : 0);
	*n -= len + (nl ? 1 : 0);
	*ret_len = len;
	return copy;
}

static void check_traceparent(const char *p, size_t n)
{
	struct co_header h, again;
	char text[64];
	int at;

	if (co_traceparent__parse(p, n, &h))
		return;
	at = sprintf(text, "00-");
	for (int i = 0; i < 16; i++)
		at += sprintf(text + at, "%02x", h.trace_id[i]);
	at += sprintf(text + at, "-");
	for (int i = 0; i < 8; i++)
		at += sprintf(text + at, "%02x", h.span_id[i]);
	at += sprintf(text + at, "-%02x", h.flags);
	MUST(memmem(p, n, text + 2, 53)); /* all but the version is in the input as it is */
	MUST(!co_traceparent__parse(text, (size_t)at, &again));
	MUST(!memcmp(&h, &again, sizeof(h)));
}

static void check_tracestate(const char *p, size_t n)
{
	char out[512], again[512];
	size_t len = co_tracestate__parse(p, n, out, sizeof(out)), small;

	MUST(len <= sizeof(out));
	MUST(co_tracestate__parse(out, len, again, sizeof(again)) == len);
	MUST(!memcmp(out, again, len));
	small = co_tracestate__parse(p, n, again, 40);
	MUST(small <= 40);
}

static void check_redacted(const char *p, size_t n)
{
	size_t room = n * 9 + 16, len;
	char *out = malloc(room), *again = malloc(room), *small = malloc(n / 2 + 1);

	len = clew_redact__query(p, n, out, room);
	MUST(len <= room);
	MUST(clew_redact__query(out, len, again, room) == len && !memcmp(out, again, len));
	MUST(clew_redact__query(p, n, small, n / 2) <= n / 2);
	free(out);
	free(again);
	free(small);
}

static struct clew_text put(struct clew_exchange *ex, const char *p, size_t n)
{
	struct clew_text t = {ex->text_used, (uint32_t)n};

	if (t.len > sizeof(ex->text) - t.off)
		t.len = (uint32_t)(sizeof(ex->text) - t.off);
	memcpy(ex->text + t.off, p, t.len);
	ex->text_used += t.len;
	return t.len ? t : (struct clew_text){0, 0};
}

/* No user and password before the host; an '@' may stand in a path. */
static void check_url(struct clew_str url)
{
	const char *p = memmem(url.p, url.n, "://", 3);
	size_t n;

	MUST(p);
	p += 3;
	for (n = 0; p + n < url.p + url.n && !strchr("/?#", p[n]); n++)
		MUST(p[n] != '@');
}

static void build(const uint8_t *p, size_t n, uint8_t flags)
{
	struct clew_config cfg = {.telemetry.url_query = !(flags & 1)};
	struct clew_conn conn = {.remote_port = 80, .local_port = 8080};
	struct clew_placement place = {.link = flags % 3, .evidence = flags & 8 ? "thread" : NULL};
	struct clew_exchange *ex = calloc(1, sizeof(*ex));
	struct clew_resource *res = clew_resource__new(0, "", 0);
	struct clew_wall wall = {0};
	struct clew_text *fields[] = {&ex->method,
				      &ex->target,
				      &ex->host,
				      &ex->user_agent,
				      &ex->forwarded,
				      &ex->x_forwarded_for,
				      &ex->x_forwarded_proto,
				      &ex->tracestate,
				      &ex->content_type};
	struct clew_span *s;
	size_t len;

	conn.family = flags & 16 ? 2 : flags & 32 ? 10 : 1;
	memset(conn.remote_addr, flags, sizeof(conn.remote_addr));
	ex->conn = &conn;
	ex->is_server = flags & 2;
	ex->status = (uint16_t)(flags * 7);
	ex->incomplete = flags & 4 ? 0xffff : 0;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		char *text = line(&p, &n, &len);

		*fields[i] = put(ex, text, len);
		free(text);
	}
	place.tracestate_of = flags & 64 ? ex : NULL;
	place.tracestate = ex->tracestate;
	s = clew_build__http(&cfg, &wall, ex, &place, res);
	MUST(s && !s->dropped_attrs && s->text_used <= s->text_size);
	for (uint32_t i = 0; i < s->nr_attrs; i++) {
		const struct clew_attr *a = &s->attrs[i];

		if (!strcmp(a->key, "url.full"))
			check_url(a->str);
		if (a->type == CLEW_ATTR_STR && !strcmp(a->key, "url.scheme") && a->str.n)
			MUST(!memchr(a->str.p, '?', a->str.n));
	}
	clew_span__put(s);
	clew_resource__put(res);
	free(ex);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *p = data;
	size_t n = size, len;

	if (!n)
		return 0;
	build(data + 1, size - 1, data[0]);
	while (n) {
		char *text = line(&p, &n, &len);

		check_traceparent(text, len);
		check_tracestate(text, len);
		check_redacted(text, len);
		free(text);
	}
	return 0;
}
