/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_head.c - the head of an HTTP/1 message, in place: RFC 9112 2-5, RFC 9110 5-6.
 *
 * Parsing is stateless: who has only a part of a head keeps the bytes (http1_head__keep()) and
 * asks again when the end is in sight. One pass: memchr finds each line's end, a switch over the
 * first character turns away most header lines before their colon is looked for, and one vector
 * loop counts control characters at the end, so NUL and a lone CR are noticed without a look at
 * every byte.
 *
 * A tracer sees what two programs said to each other; it does not judge them, but where two
 * readers of RFC 9112 could disagree about the length of a body (6.3: several lengths, a length
 * beside a transfer coding, spaces before a colon, folded or control-laden lines) it does not
 * take a side: `doubt` is set and the caller stops trusting byte counts. A lone LF as line
 * end is taken, as 2.2 allows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http1_int.h"

#define METHOD_MAX 20

typedef uint8_t http1_v16 __attribute__((vector_size(16)));

/* RFC 9110 5.6.2 tchar, one bit per character. */
static const uint64_t tchar[4] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe, 0, 0};

static bool is_tchar(uint8_t c)
{
	return tchar[c >> 6] >> (c & 63) & 1;
}

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

/* Does p, of n bytes, equal the lower-case text? Field names hold letters and '-' only. */
static bool same(const char *p, const char *lower, size_t n)
{
	for (; n >= 8; n -= 8, p += 8, lower += 8) {
		uint64_t a, b;

		memcpy(&a, p, 8);
		memcpy(&b, lower, 8);
		if ((a | 0x2020202020202020) != b)
			return false;
	}
	for (; n; n--, p++, lower++)
		if ((*p | 0x20) != *lower)
			return false;
	return true;
}

bool http1_head__is(const struct proto_slice *s, const char *text)
{
	return s->n == strlen(text) && !memcmp(s->p, text, s->n);
}

/* Control characters other than TAB in p, CR and LF among them. */
static size_t controls(const char *p, size_t n)
{
	size_t sum = 0;

	while (n >= 16) {
		http1_v16 acc = {0}, v;
		size_t i, rounds = n / 16 < 255 ? n / 16 : 255;

		for (i = 0; i < rounds; i++, p += 16) {
			memcpy(&v, p, 16);
			acc -= (http1_v16)((v < 0x20) & (v != 9));
		}
		n -= rounds * 16;
		for (i = 0; i < 16; i++)
			sum += acc[i];
	}
	for (; n; n--, p++)
		sum += (uint8_t)*p < 0x20 && *p != '\t';
	return sum;
}

/* The form of the target fits the method (RFC 9112 3.2)? */
static bool target_starts(const char *p, size_t n, bool connect)
{
	uint8_t c = (uint8_t)*p;

	if (connect)
		return c == '[' || (c != '/' && is_tchar(c));
	if (c == '/' || c == '*')
		return true;
	return same(p, "http", n < 4 ? n : 4);
}

static int parse_request_line(const char *p, const char *end, struct http1_msg *msg)
{
	const char *sp = p, *limit = end - p > METHOD_MAX + 1 ? p + METHOD_MAX + 1 : end;
	const char *version = end - 8;

	while (sp < limit && is_tchar((uint8_t)*sp))
		sp++;
	if (sp == p || sp >= limit || *sp != ' ' || version - sp < 3)
		return HTTP1_HEAD_BAD;
	if (memcmp(version - 1, " HTTP/1.", 8) || (end[-1] != '0' && end[-1] != '1'))
		return HTTP1_HEAD_BAD;
	msg->h.method = (struct proto_slice){p, (uint32_t)(sp - p)};
	msg->h.target = (struct proto_slice){sp + 1, (uint32_t)(version - 1 - (sp + 1))};
	if (!target_starts(sp + 1, msg->h.target.n, http1_head__is(&msg->h.method, "CONNECT")))
		return HTTP1_HEAD_BAD;
	/* No space may stand in a target: whoever accepts it may cut it elsewhere than we do. */
	if (memchr(msg->h.target.p, ' ', msg->h.target.n))
		msg->doubt = msg->cut = 1;
	msg->minor = (uint8_t)(end[-1] - '0');
	return HTTP1_HEAD_OK;
}

static int parse_status_line(const char *p, const char *end, struct http1_msg *msg)
{
	if (end - p < 12 || memcmp(p, "HTTP/1.", 7) || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
		return HTTP1_HEAD_BAD;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return HTTP1_HEAD_BAD;
		msg->status = (uint16_t)(msg->status * 10 + (p[i] - '0'));
	}
	if (msg->status < 100 || (end - p > 12 && p[12] != ' '))
		return HTTP1_HEAD_BAD;
	msg->minor = (uint8_t)(p[7] - '0');
	return HTTP1_HEAD_OK;
}

/* Content-Length = 1*DIGIT; a list of equal ones is one (RFC 9110 8.6). */
static void parse_length(const char *p, size_t n, struct http1_msg *msg)
{
	size_t i = 0;

	while (i <= n) {
		uint64_t v = 0;
		size_t digits = 0;

		for (; i < n && p[i] >= '0' && p[i] <= '9'; i++, digits++) {
			if (v > (INT64_MAX - 9) / 10)
				break;
			v = v * 10 + (uint64_t)(p[i] - '0');
		}
		while (i < n && is_ows(p[i]))
			i++;
		if (!digits || (i < n && p[i] != ',') || (msg->has_length && msg->length != v)) {
			msg->doubt = 1;
			return;
		}
		msg->has_length = 1;
		msg->length = v;
		i++;
		while (i < n && is_ows(p[i]))
			i++;
	}
}

/* Transfer-Encoding: the codings in order, over all its lines (RFC 9112 6.1). */
static void parse_codings(const char *p, size_t n, struct http1_msg *msg)
{
	const char *end = p + n;

	while (p <= end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;
		size_t len;

		while (p < stop && is_ows(*p))
			p++;
		len = (size_t)(stop - p);
		while (len && is_ows(p[len - 1]))
			len--;
		if (len == 7 && same(p, "chunked", 7)) {
			msg->coding = HTTP1_TE_CHUNKED;
			if (msg->nr_chunked++)
				msg->doubt = 1;
		} else if (len || !n) {
			msg->coding = HTTP1_TE_OTHER;
			/* Nothing may follow chunked. */
			if (msg->nr_chunked || !n)
				msg->doubt = 1;
		}
		p = stop + 1;
	}
}

enum { LINE_OTHER = 0, LINE_FRAMING, LINE_KEPT, LINE_FIRST };

static void keep(struct http1_msg *msg, enum proto_header which, const char *p, size_t n)
{
	if (msg->response)
		return;
	msg->last = LINE_KEPT;
	if (!msg->h.header[which].p)
		msg->h.header[which] = (struct proto_slice){p, (uint32_t)n};
	else if (which == PROTO_TRACEPARENT)
		msg->h.duplicate_traceparent = 1;
}

static void keep_tracestate(struct http1_msg *msg, const char *p, size_t n)
{
	if (msg->response)
		return;
	msg->last = LINE_KEPT;
	if (msg->h.nr_tracestates < PROTO_TRACESTATES)
		msg->h.tracestate[msg->h.nr_tracestates++] = (struct proto_slice){p, (uint32_t)n};
	else
		msg->cut = 1;
}

/* A field whose name has the length of one that matters, and its first letter. */
static void parse_field(struct http1_msg *msg, const char *name, size_t n, const char *p,
			size_t len)
{
	switch (n) {
	case 4:
		if (same(name, "host", 4))
			keep(msg, PROTO_HOST, p, len);
		break;
	case 9:
		if (same(name, "forwarded", 9))
			keep(msg, PROTO_FORWARDED, p, len);
		break;
	case 10:
		if (same(name, "user-agent", 10))
			keep(msg, PROTO_USER_AGENT, p, len);
		else if (same(name, "tracestate", 10))
			keep_tracestate(msg, p, len);
		break;
	case 11:
		if (same(name, "traceparent", 11))
			keep(msg, PROTO_TRACEPARENT, p, len);
		break;
	case 12:
		if (same(name, "content-type", 12))
			keep(msg, PROTO_CONTENT_TYPE, p, len);
		break;
	case 14:
		if (same(name, "content-length", 14)) {
			msg->last = LINE_FRAMING;
			parse_length(p, len, msg);
		}
		break;
	case 15:
		if (same(name, "x-forwarded-for", 15))
			keep(msg, PROTO_X_FORWARDED_FOR, p, len);
		break;
	case 17:
		if (same(name, "transfer-encoding", 17)) {
			msg->last = LINE_FRAMING;
			parse_codings(p, len, msg);
		} else if (same(name, "x-forwarded-proto", 17)) {
			keep(msg, PROTO_X_FORWARDED_PROTO, p, len);
		}
		break;
	}
}

/* One header line, without its line end. */
static void parse_line(struct http1_msg *msg, const char *p, const char *end)
{
	const char *colon, *name_end;
	uint8_t last = msg->last;

	switch (*p | 0x20) {
	case 'c':
	case 't':
		break;
	case 'f':
	case 'h':
	case 'u':
	case 'x':
		if (!msg->response)
			break;
		msg->last = LINE_OTHER;
		return;
	case ' ':
	case '\t' | 0x20:
		/*
		 * A folded line (obs-fold) continues the one before; what it says there depends on
		 * who reads it. TAB | 0x20 is ')', which no name begins with either.
		 */
		if (is_ows(*p) && (last == LINE_FRAMING || last == LINE_FIRST))
			msg->doubt = 1;
		if (is_ows(*p) && last == LINE_KEPT)
			msg->cut = 1;
		return;
	default:
		msg->last = LINE_OTHER;
		return;
	}
	msg->last = LINE_OTHER;
	colon = memchr(p, ':', (size_t)(end - p));
	if (!colon)
		return;
	for (name_end = colon; name_end > p && is_ows(name_end[-1]); name_end--)
		;
	for (colon++; colon < end && is_ows(*colon); colon++)
		;
	while (end > colon && is_ows(end[-1]))
		end--;
	parse_field(msg, p, (size_t)(name_end - p), colon, (size_t)(end - colon));
	if (msg->last == LINE_FRAMING && is_ows(*name_end))
		msg->doubt = 1; /* space before the colon: RFC 9112 5.1 */
}

/* What two headers together say about the body (RFC 9112 6.3). */
static void settle(struct http1_msg *msg)
{
	if (msg->coding && (msg->has_length || !msg->minor))
		msg->doubt = 1;
	if (msg->coding == HTTP1_TE_OTHER && !msg->response)
		msg->doubt = 1;
}

int http1_head__parse(const char *p, size_t n, bool response, bool partial, struct http1_msg *msg)
{
	const char *at = p, *end = p + n, *nl, *stop;
	size_t line_ends = 0;
	int rc;

	memset(msg, 0, offsetof(struct http1_msg, h.tracestate));
	msg->response = response;
	msg->last = LINE_FIRST;
	for (;; at = nl + 1) {
		if (at < end && *at == '\n')
			nl = at;
		else if (at + 1 < end && *at == '\r' && at[1] == '\n')
			nl = at + 1;
		else
			nl = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
		if (!nl) {
			if (!partial || at == p)
				return HTTP1_HEAD_PART;
			break;
		}
		stop = nl > at && nl[-1] == '\r' ? nl - 1 : nl;
		line_ends += (size_t)(nl + 1 - stop);
		if (at == p) {
			rc = response ? parse_status_line(at, stop, msg)
				      : parse_request_line(at, stop, msg);
			if (rc != HTTP1_HEAD_OK)
				return rc;
			continue;
		}
		if (stop == at) {
			at = nl + 1;
			break;
		}
		parse_line(msg, at, stop);
	}
	msg->len = (uint32_t)(at - p);
	if (controls(p, msg->len) != line_ends)
		msg->doubt = 1;
	settle(msg);
	return HTTP1_HEAD_OK;
}

size_t http1_head__end(const char *p, size_t n, size_t from)
{
	const char *at = p + from, *end = p + n, *nl;

	while (at < end && (nl = memchr(at, '\n', (size_t)(end - at)))) {
		at = nl + 1;
		if (at < end && *at == '\n')
			return (size_t)(at + 1 - p);
		if (at + 1 < end && *at == '\r' && at[1] == '\n')
			return (size_t)(at + 2 - p);
	}
	return 0;
}

/*
 * Methods that a hunt for a message takes. Not here: LOCK, LINK, BIND, SUBSCRIBE, which are also
 * the ends of longer ones, so that a piece which begins inside UNLOCK is not read as LOCK.
 */
static const char *const methods[] = {
	"GET ",		"POST ",     "PUT ",	"HEAD ",     "DELETE ",	   "PATCH ",  "OPTIONS ",
	"CONNECT ",	"TRACE ",    "QUERY ",	"PROPFIND ", "PROPPATCH ", "MKCOL ",  "COPY ",
	"MOVE ",	"UNLOCK ",   "REPORT ", "SEARCH ",   "PURGE ",	   "BAN ",    "NOTIFY ",
	"UNSUBSCRIBE ", "M-SEARCH ", "ACL ",	"CHECKOUT ", "CHECKIN ",   "UNBIND ", "MKACTIVITY ",
	"MKCALENDAR ",	"MERGE ",    "UNLINK ",
};

/* Is p the beginning of a common method and of a target behind it? */
static bool known_method(const char *p, size_t n)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		size_t len = strlen(methods[i]);

		if (memcmp(p, methods[i], n < len ? n : len))
			continue;
		return n <= len || target_starts(p + len, n - len,
						 methods[i][2] == 'N' && methods[i][0] == 'C');
	}
	return false;
}

/* The line that ends with nl is a request line, whatever its method? */
static bool request_line(const char *p, const char *nl)
{
	struct http1_msg msg;

	memset(&msg, 0, offsetof(struct http1_msg, h.tracestate));
	return parse_request_line(p, nl > p && nl[-1] == '\r' ? nl - 1 : nl, &msg) == HTTP1_HEAD_OK;
}

bool http1_head__starts(const char *p, size_t n, bool response)
{
	const char *nl;

	if (response) {
		static const char form[] = "HTTP/1.d ddd";
		size_t i, len = n < sizeof(form) - 1 ? n : sizeof(form) - 1;

		for (i = 0; i < len; i++) {
			bool digit = p[i] >= '0' && p[i] <= '9';

			if (form[i] == 'd' ? !digit : p[i] != form[i])
				return false;
		}
		return n > 0;
	}
	if (!n || !known_method(p, n))
		return false;
	nl = memchr(p, '\n', n);
	return !nl || request_line(p, nl);
}

bool http1_head__could(const char *p, size_t n, bool response)
{
	const char *nl;
	size_t i = 0;

	if (response)
		return http1_head__starts(p, n, true);
	nl = memchr(p, '\n', n);
	if (nl)
		return request_line(p, nl);
	while (i < n && i <= METHOD_MAX && is_tchar((uint8_t)p[i]))
		i++;
	if (!i || i > METHOD_MAX)
		return false;
	if (i == n || i + 1 == n)
		return i == n || p[i] == ' ';
	return p[i] == ' ' &&
	       target_starts(p + i + 1, n - i - 1, i == 7 && !memcmp(p, "CONNECT", 7));
}

/* A guess must have one of the common methods: it may have begun in the middle of another. */
bool http1_head__plausible(const struct http1_dir *d, const char *p, size_t n, bool response)
{
	return d->guess ? http1_head__starts(p, n, response) : http1_head__could(p, n, response);
}

void http1_head__free(struct http1_head_buf *buf)
{
	if (buf && buf->sink->keep)
		buf->sink->keep(buf->sink->arg, -(int64_t)buf->size);
	free(buf);
}

int http1_head__keep(struct http1_dir *d, const struct clew_proto_sink *sink,
		     const struct clew_feed *feed, const uint8_t *p, size_t n)
{
	struct http1_head_buf *buf = d->head;
	size_t old = buf ? buf->size : 0, need = (buf ? buf->len : 0) + n, size = old ? old : 1024;

	if (!buf || need > size) {
		while (size < need)
			size *= 2;
		if (sink->keep && !sink->keep(sink->arg, (int64_t)(size - old)))
			return -ENOMEM;
		buf = realloc(buf, sizeof(*buf) + size);
		if (!buf) {
			if (sink->keep)
				sink->keep(sink->arg, (int64_t)old - (int64_t)size);
			return -ENOMEM;
		}
		if (!d->head) {
			buf->sink = sink;
			buf->first = *feed;
			buf->len = 0;
			buf->scanned = 0;
		}
		buf->size = (uint32_t)size;
		d->head = buf;
	}
	memcpy(buf->data + buf->len, p, n);
	buf->len += (uint32_t)n;
	return 0;
}

/* How long a first line with an unknown method may be before it is not waited for any more. */
#define DETECT_MAX 1024

int http1_head__detect(const uint8_t *u, size_t n)
{
	const char *p = (const char *)u, *nl;
	size_t i = 0;

	while (n && i < 4 && (*p == '\r' || *p == '\n'))
		p++, n--, i++;
	if (!n)
		return -1;
	if (*p == 'H' && http1_head__starts(p, n, true)) {
		if (n >= 9)
			return 2;
		if (n > 4)
			return -1;
	}
	nl = memchr(p, '\n', n);
	if (nl)
		return request_line(p, nl);
	for (i = 0; i < n && i <= METHOD_MAX && is_tchar((uint8_t)p[i]); i++)
		;
	if (i == n && i <= METHOD_MAX)
		return -1;
	if (!i || i > METHOD_MAX || p[i] != ' ')
		return 0;
	if (n == i + 1)
		return -1;
	if (known_method(p, n))
		return 1;
	/* "PRI * HTTP/2.0" and other protocols' words end up here: the line's end will tell. */
	if (!target_starts(p + i + 1, n - i - 1, false) || n > DETECT_MAX)
		return 0;
	return -1;
}
