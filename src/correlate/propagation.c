/* SPDX-License-Identifier: Apache-2.0 */
/*
 * propagation.c - traceparent and tracestate as found in a captured request.
 *
 * W3C Trace Context, https://www.w3.org/TR/trace-context-2/ 3.2 and 3.3. A bad traceparent drops
 * the tracestate with it; a bad tracestate never harms the traceparent. Only what keeps to the
 * grammar to the letter is adopted: a wrong trace is worse than a new one.
 */
#include "correlate/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS_MAX    32
#define KEY_MAX	       256
#define VALUE_MAX      256
#define KEEP_MAX       512 /* characters that a vendor should at least propagate */
#define LONG_MEMBER    128 /* members beyond this go first when the list is too long */
#define TRACEPARENT_00 55

/* How often one process adopts one parent, and for how long. */
#define WORN_TIMES 1000
#define WORN_MS	   (3600ULL * 1000)

static bool is_ows(char c)
{
	return c == ' ' || c == '\t';
}

static int unhex(const char *p, uint8_t *out, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes * 2; i++) {
		int v;

		if (p[i] >= '0' && p[i] <= '9')
			v = p[i] - '0';
		else if (p[i] >= 'a' && p[i] <= 'f')
			v = p[i] - 'a' + 10;
		else
			return -EINVAL;
		out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
	}
	return 0;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

int co_traceparent__parse(const char *p, size_t n, struct co_header *ret)
{
	struct co_header h = {.valid = 1};
	uint8_t version;

	while (n && is_ows(p[0])) {
		p++;
		n--;
	}
	while (n && is_ows(p[n - 1]))
		n--;
	if (n < TRACEPARENT_00 || p[2] != '-' || p[35] != '-' || p[52] != '-')
		return -EINVAL;
	if (unhex(p, &version, 1) || unhex(p + 3, h.trace_id, 16) || unhex(p + 36, h.span_id, 8) ||
	    unhex(p + 53, &h.flags, 1))
		return -EINVAL;
	if (version == 0xff || (version == 0 && n != TRACEPARENT_00))
		return -EINVAL;
	/* of a version to come only the first four fields are known, and that a dash follows */
	if (n > TRACEPARENT_00 && p[TRACEPARENT_00] != '-')
		return -EINVAL;
	if (is_zero(h.trace_id, 16) || is_zero(h.span_id, 8))
		return -EINVAL;
	*ret = h;
	return 0;
}

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
	       c == '*' || c == '/';
}

/* simple-key, or tenant-id "@" system-id */
static bool is_key(const char *p, size_t n)
{
	const char *at = memchr(p, '@', n);
	size_t i;

	if (!n || n > KEY_MAX)
		return false;
	if (at) {
		size_t tenant = (size_t)(at - p), system = n - tenant - 1;

		if (!tenant || tenant > 241 || !system || system > 14)
			return false;
		if (at[1] < 'a' || at[1] > 'z')
			return false;
	}
	if (!(p[0] >= 'a' && p[0] <= 'z') && !(at && p[0] >= '0' && p[0] <= '9'))
		return false;
	for (i = 0; i < n; i++)
		if (!is_key_char(p[i]) && p + i != at)
			return false;
	return true;
}

static bool is_value(const char *p, size_t n)
{
	size_t i;

	if (!n || n > VALUE_MAX || p[n - 1] == ' ')
		return false;
	for (i = 0; i < n; i++)
		if (p[i] < 0x20 || p[i] > 0x7e || p[i] == ',' || p[i] == '=')
			return false;
	return true;
}

struct member {
	const char *p;
	uint32_t n, key;
	bool drop;
};

/* How many members, or -EINVAL. */
static int split(const char *p, size_t n, struct member m[MEMBERS_MAX])
{
	const char *end = p + n, *comma, *q, *eq;
	int nr = 0, i;

	while (p <= end) {
		comma = p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;
		q = comma ? comma : end;
		while (p < q && is_ows(p[0]))
			p++;
		while (q > p && is_ows(q[-1]))
			q--;
		if (q > p) { /* empty members are allowed */
			eq = memchr(p, '=', (size_t)(q - p));
			if (nr == MEMBERS_MAX || !eq || !is_key(p, (size_t)(eq - p)) ||
			    !is_value(eq + 1, (size_t)(q - eq - 1)))
				return -EINVAL;
			m[nr] = (struct member){
				.p = p, .n = (uint32_t)(q - p), .key = (uint32_t)(eq - p)};
			for (i = 0; i < nr; i++)
				if (m[i].key == m[nr].key && !memcmp(m[i].p, p, m[nr].key))
					return -EINVAL;
			nr++;
		}
		if (!comma)
			break;
		p = comma + 1;
	}
	return nr;
}

size_t co_tracestate__parse(const char *p, size_t n, char *out, size_t out_size)
{
	struct member m[MEMBERS_MAX];
	size_t total = 0, max = out_size < KEEP_MAX ? out_size : KEEP_MAX, at = 0;
	int nr = split(p, n, m), i;

	if (nr <= 0)
		return 0;
	for (i = 0; i < nr; i++)
		total += m[i].n + 1u;
	total--;
	for (i = nr - 1; i >= 0 && total > max; i--) {
		if (m[i].n > LONG_MEMBER) {
			m[i].drop = true;
			total -= m[i].n + 1u;
		}
	}
	for (i = nr - 1; i >= 0 && total != (size_t)-1 && total > max; i--) {
		if (!m[i].drop) {
			m[i].drop = true;
			total -= m[i].n + 1u;
		}
	}
	for (i = 0; i < nr; i++) {
		if (m[i].drop)
			continue;
		if (at)
			out[at++] = ',';
		memcpy(out + at, m[i].p, m[i].n);
		at += m[i].n;
	}
	return at;
}

struct co_state *co_state__get(struct co_state *state)
{
	if (state)
		state->refs++;
	return state;
}

void co_state__put(struct co_state *state)
{
	if (state && !--state->refs)
		free(state);
}

/*
 * What is known of a header in a process is one word, kept in place of a pointer: was it
 * received, how often was it adopted, and when first (ms). SEEN: an empty word is none.
 */
_Static_assert(sizeof(void *) == 8, "a header's word");
#define SEEN	   1ULL
#define RECEIVED   2ULL
#define TIMES_BIT  2
#define TIMES_MASK 0xffffULL
#define FIRST_BIT  18

static void **header_word(struct clew_correlate *co, const struct co_node *node)
{
	uint64_t key[2];

	co_ids__hash128(node->header.trace_id, 24, key);
	return co_map__slot(&co->headers, key[0] ^ node->pid, key[1], (void *)SEEN);
}

bool co_header__received(struct clew_correlate *co, const struct co_node *node)
{
	void **word = header_word(co, node);

	return word && ((uintptr_t)*word & RECEIVED);
}

bool co_header__worn(struct clew_correlate *co, struct co_node *node)
{
	void **word = header_word(co, node);
	uint64_t now = co->now / CO_NSEC_PER_MSEC, v, times;

	if (!word)
		return false;
	v = (uintptr_t)*word;
	times = v >> TIMES_BIT & TIMES_MASK;
	if (!times)
		v = (v & (SEEN | RECEIVED)) | now << FIRST_BIT;
	if (times < WORN_TIMES && (v >> FIRST_BIT) + WORN_MS >= now) {
		v += 1ULL << TIMES_BIT;
		*word = (void *)(uintptr_t)v;
		return false;
	}
	co->stats.worn++;
	node->header.valid = 0;
	co_state__put(node->state);
	node->state = NULL;
	return true;
}

/* The members that are kept, in one allocation of just the size. */
static struct co_state *make_state(const char *p, size_t n)
{
	char text[KEEP_MAX];
	struct co_state *state;

	n = co_tracestate__parse(p, n, text, sizeof(text));
	if (!n)
		return NULL;
	state = malloc(offsetof(struct co_state, text.text) + n);
	if (!state)
		return NULL; /* the trace is adopted without its state */
	memset(state, 0, offsetof(struct co_state, text.text));
	state->refs = 1;
	state->text.text_used = (uint32_t)n;
	state->text.tracestate.len = (uint32_t)n;
	memcpy((char *)state + offsetof(struct co_state, text.text), text, n);
	return state;
}

void co_header__read(struct clew_correlate *co, struct co_node *node)
{
	const struct clew_exchange *ex = node->ex;
	void **word;

	if (!ex->traceparent.len || ex->duplicate_traceparent)
		return;
	if (co_traceparent__parse(ex->text + ex->traceparent.off, ex->traceparent.len,
				  &node->header))
		return;
	if (node->is_server) {
		word = header_word(co, node);
		if (word)
			*word = (void *)((uintptr_t)*word | RECEIVED);
	}
	if (ex->tracestate.len)
		node->state = make_state(ex->text + ex->tracestate.off, ex->tracestate.len);
}
