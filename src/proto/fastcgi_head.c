/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fastcgi_head.c - what FastCGI says of a request and of its answer: parameters named as in
 * CGI (RFC 3875 4.1; HTTP_* are the request's header lines, 4.1.18) in the encoding of FastCGI
 * 1.0, 3.4, and the header block that begins the answer (RFC 3875 6.2).
 *
 * Of parameters that come twice the last counts, as it does for PHP: nginx sends the defaults of
 * an included file and what overrides them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fastcgi_int.h"

#define FIRST_SIZE 1024

int fcgi_params__keep(struct fcgi_params **params, const struct clew_proto_sink *sink,
		      const uint8_t *p, size_t n)
{
	struct fcgi_params *buf = *params;
	uint32_t len = buf ? buf->len : 0, old = buf ? buf->size : 0, size = old ? old : FIRST_SIZE;

	if (n > FCGI_PARAMS_MAX - len)
		return -ENOMEM;
	while (size < len + n)
		size *= 2;
	if (size != old) {
		if (sink->keep && !sink->keep(sink->arg, (int64_t)size - old))
			return -ENOMEM;
		buf = realloc(buf, sizeof(*buf) + size);
		if (!buf) {
			if (sink->keep)
				sink->keep(sink->arg, (int64_t)old - size);
			return -ENOMEM;
		}
		buf->sink = sink;
		buf->len = len;
		buf->size = size;
		*params = buf;
	}
	memcpy(buf->data + len, p, n);
	buf->len = len + (uint32_t)n;
	return 0;
}

void fcgi_params__free(struct fcgi_params *params)
{
	if (params && params->sink->keep)
		params->sink->keep(params->sink->arg, -(int64_t)params->size);
	free(params);
}

/* ---- parameters ------------------------------------------------------------------------------ */

enum {
	P_METHOD,
	P_URI,
	P_SCRIPT,
	P_PATH_INFO,
	P_QUERY,
	P_LENGTH,
	P_TYPE,
	P_SCHEME,
	P_HTTPS,
	P_SERVER_NAME,
	P_SERVER_PORT,
	P_REMOTE_ADDR,
	P_HOST,
	P_TRACEPARENT,
	P_TRACESTATE,
	P_USER_AGENT,
	P_FORWARDED,
	P_FORWARDED_FOR,
	P_FORWARDED_PROTO,
	P_MAX,
};

#define NAME(s) {s, sizeof(s) - 1}
static const struct proto_slice names[P_MAX] = {
	[P_METHOD] = NAME("REQUEST_METHOD"),
	[P_URI] = NAME("REQUEST_URI"),
	[P_SCRIPT] = NAME("SCRIPT_NAME"),
	[P_PATH_INFO] = NAME("PATH_INFO"),
	[P_QUERY] = NAME("QUERY_STRING"),
	[P_LENGTH] = NAME("CONTENT_LENGTH"),
	[P_TYPE] = NAME("CONTENT_TYPE"),
	[P_SCHEME] = NAME("REQUEST_SCHEME"),
	[P_HTTPS] = NAME("HTTPS"),
	[P_SERVER_NAME] = NAME("SERVER_NAME"),
	[P_SERVER_PORT] = NAME("SERVER_PORT"),
	[P_REMOTE_ADDR] = NAME("REMOTE_ADDR"),
	[P_HOST] = NAME("HTTP_HOST"),
	[P_TRACEPARENT] = NAME("HTTP_TRACEPARENT"),
	[P_TRACESTATE] = NAME("HTTP_TRACESTATE"),
	[P_USER_AGENT] = NAME("HTTP_USER_AGENT"),
	[P_FORWARDED] = NAME("HTTP_FORWARDED"),
	[P_FORWARDED_FOR] = NAME("HTTP_X_FORWARDED_FOR"),
	[P_FORWARDED_PROTO] = NAME("HTTP_X_FORWARDED_PROTO"),
};

/* A length: one byte, or four with the highest bit set. False: it is not whole. */
static bool get_length(const uint8_t *p, size_t n, size_t *at, uint32_t *ret)
{
	const uint8_t *b = p + *at;

	if (*at >= n)
		return false;
	if (!(b[0] & 0x80)) {
		*ret = b[0];
		*at += 1;
		return true;
	}
	if (n - *at < 4)
		return false;
	*ret = (uint32_t)(b[0] & 0x7f) << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	*at += 4;
	return true;
}

static int find_name(const uint8_t *p, uint32_t n)
{
	for (int i = 0; i < P_MAX; i++)
		if (names[i].n == n && !memcmp(names[i].p, p, n))
			return i;
	return -1;
}

/* Lists the values by enum above; those that are missing have no p. */
static void list(const uint8_t *p, size_t n, struct proto_slice v[P_MAX], struct fcgi_request *ret)
{
	uint32_t name, value;
	size_t at = 0;
	int which;

	while (at < n) {
		if (!get_length(p, n, &at, &name) || !get_length(p, n, &at, &value) ||
		    name > n - at || value > n - at - name) {
			ret->cut = 1;
			return;
		}
		which = find_name(p + at, name);
		if (which >= 0) {
			if (which == P_TRACEPARENT && v[which].p)
				ret->head.duplicate_traceparent = 1;
			v[which] = (struct proto_slice){(const char *)p + at + name, value};
		}
		at += name + value;
	}
}

/* Puts texts one behind the other into `made`, as far as there is room. */
static void append(struct fcgi_request *r, struct proto_slice *to, const char *p, uint32_t n)
{
	uint32_t used = (uint32_t)(to->p - r->made) + to->n;

	if (n > FCGI_MADE - used)
		n = FCGI_MADE - used;
	if (n)
		memcpy(r->made + used, p, n);
	to->n += n;
}

/* The server's own account of the path, where it does not say what was asked for. */
static struct proto_slice make_target(struct fcgi_request *r, const struct proto_slice v[P_MAX])
{
	struct proto_slice to = {r->made, 0};

	append(r, &to, v[P_SCRIPT].p, v[P_SCRIPT].n);
	append(r, &to, v[P_PATH_INFO].p, v[P_PATH_INFO].n);
	if (to.n && v[P_QUERY].n) {
		append(r, &to, "?", 1);
		append(r, &to, v[P_QUERY].p, v[P_QUERY].n);
	}
	return to;
}

/* "host:port": this server's port is not that of the request. */
static struct proto_slice make_host(struct fcgi_request *r, const struct proto_slice v[P_MAX],
				    uint32_t used)
{
	struct proto_slice host = v[P_HOST].n ? v[P_HOST] : v[P_SERVER_NAME];
	struct proto_slice to = {r->made + used, 0};
	const char *end = host.n ? memrchr(host.p, ']', host.n) : NULL;
	const char *from = end ? end : host.p;

	if (!host.n || !v[P_SERVER_PORT].n || memchr(from, ':', host.n - (size_t)(from - host.p)) ||
	    (size_t)host.n + 1 + v[P_SERVER_PORT].n > FCGI_MADE - used)
		return host;
	append(r, &to, host.p, host.n);
	append(r, &to, ":", 1);
	append(r, &to, v[P_SERVER_PORT].p, v[P_SERVER_PORT].n);
	return to;
}

static bool is(const struct proto_slice *s, const char *text)
{
	return s->n == strlen(text) && !strncasecmp(s->p, text, s->n);
}

static uint64_t parse_length(const struct proto_slice *s)
{
	uint64_t v = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9' || v > UINT64_MAX / 20)
			return 0;
		v = v * 10 + (uint64_t)(s->p[i] - '0');
	}
	return v;
}

void fcgi_params__parse(const uint8_t *p, size_t n, struct fcgi_request *ret)
{
	static const struct proto_slice https = NAME("https");
	struct proto_slice v[P_MAX] = {0};
	struct proto_head *h = &ret->head;

	memset(ret, 0, offsetof(struct fcgi_request, made));
	list(p, n, v, ret);
	h->method = v[P_METHOD];
	h->target = v[P_URI];
	/* of parameters that are cut the ones that follow would have said it better */
	if (!h->target.n && !ret->cut)
		h->target = make_target(ret, v);
	h->header[PROTO_HOST] = make_host(ret, v, h->target.p == ret->made ? h->target.n : 0);
	h->header[PROTO_TRACEPARENT] = v[P_TRACEPARENT];
	h->header[PROTO_USER_AGENT] = v[P_USER_AGENT];
	h->header[PROTO_FORWARDED] = v[P_FORWARDED];
	h->header[PROTO_X_FORWARDED_FOR] =
		v[P_FORWARDED_FOR].n ? v[P_FORWARDED_FOR] : v[P_REMOTE_ADDR];
	h->header[PROTO_X_FORWARDED_PROTO] = v[P_FORWARDED_PROTO].n  ? v[P_FORWARDED_PROTO]
					     : is(&v[P_HTTPS], "on") ? https
								     : v[P_SCHEME];
	h->header[PROTO_CONTENT_TYPE] = v[P_TYPE];
	if (v[P_TRACESTATE].n)
		h->tracestate[h->nr_tracestates++] = v[P_TRACESTATE];
	ret->length = parse_length(&v[P_LENGTH]);
}

/* ---- the answer's header block --------------------------------------------------------------- */

static void end_line(struct fcgi_reply *r)
{
	static const char status[] = "Status:", location[] = "Location:";
	uint32_t v = 0, digits = 0, at = sizeof(status) - 1;

	if (r->n >= sizeof(location) - 1 && !strncasecmp(r->line, location, sizeof(location) - 1))
		r->location = 1;
	if (r->n < at || strncasecmp(r->line, status, at))
		return;
	while (at < r->n && (r->line[at] == ' ' || r->line[at] == '\t'))
		at++;
	for (; at < r->n && r->line[at] >= '0' && r->line[at] <= '9' && digits < 4; digits++)
		v = v * 10 + (uint32_t)(r->line[at++] - '0');
	if (digits == 3 && v >= 100)
		r->status = (uint16_t)v;
}

size_t fcgi_reply__feed(struct fcgi_reply *r, const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (at < n && !r->over) {
		const uint8_t *lf = memchr(p + at, '\n', n - at);
		size_t len = lf ? (size_t)(lf - (p + at)) : n - at;
		size_t room = FCGI_LINE - r->n, take = len < room ? len : room;

		memcpy(r->line + r->n, p + at, take);
		r->n = (uint8_t)(r->n + take);
		at += len;
		if (!lf)
			break;
		at++;
		if (!r->n || (r->n == 1 && r->line[0] == '\r'))
			r->over = 1;
		else
			end_line(r);
		r->n = 0;
	}
	return at;
}

uint16_t fcgi_reply__status(const struct fcgi_reply *r)
{
	if (r->status)
		return r->status;
	return r->location ? 302 : 200;
}
