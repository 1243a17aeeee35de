/* SPDX-License-Identifier: Apache-2.0 */
/* head.c - the texts of a request's head into its exchange; see head.h. */
#include <string.h>

#include "head.h"

#define TARGET_KEEP	512 /* of a target, when other texts need the room */
#define TRACESTATE_KEEP 512

static struct clew_text put_text(struct clew_exchange *ex, const struct proto_slice *s,
				 uint32_t max)
{
	uint32_t room = CLEW_EXCHANGE_TEXT - ex->text_used;
	struct clew_text t = {0, 0};

	t.len = s->n < max ? s->n : max;
	if (t.len > room)
		t.len = room;
	if (!t.len)
		return (struct clew_text){0, 0};
	t.off = ex->text_used;
	memcpy(ex->text + t.off, s->p, t.len);
	ex->text_used += t.len;
	return t;
}

/* All lines as one list (RFC 9110 5.3). What does not fit is left out by whole members. */
static void put_tracestate(struct clew_exchange *ex, const struct proto_head *head)
{
	uint32_t room = CLEW_EXCHANGE_TEXT - ex->text_used, len = 0;
	char *to = ex->text + ex->text_used;

	if (room > TRACESTATE_KEEP)
		room = TRACESTATE_KEEP;
	for (uint32_t i = 0; i < head->nr_tracestates; i++) {
		const struct proto_slice *s = &head->tracestate[i];
		uint32_t n = s->n, comma = len && n;

		if (comma + n > room - len) {
			for (n = room - len > comma ? room - len - comma : 0; n; n--)
				if (s->p[n] == ',')
					break;
			if (n) {
				if (comma)
					to[len++] = ',';
				memcpy(to + len, s->p, n);
				len += n;
			}
			break;
		}
		if (comma)
			to[len++] = ',';
		memcpy(to + len, s->p, n);
		len += n;
	}
	if (!len)
		return;
	ex->tracestate = (struct clew_text){ex->text_used, len};
	ex->text_used += len;
}

static uint32_t least(uint32_t n, uint32_t max)
{
	return n < max ? n : max;
}

/*
 * Who gets the room when all of it is asked for: method, traceparent, 512 bytes of the target,
 * host (255), tracestate (512, whole members), then the rest in the order of their use. A target
 * may take what the others leave; one that is cut makes the head incomplete.
 */
void proto_head__put(const struct proto_head *head, struct clew_exchange *ex)
{
	const struct proto_slice *hd = head->header;
	uint32_t rest =
		head->method.n + least(hd[PROTO_TRACEPARENT].n, 64) + least(hd[PROTO_HOST].n, 255) +
		least(hd[PROTO_USER_AGENT].n, 192) + least(hd[PROTO_FORWARDED].n, 128) +
		least(hd[PROTO_X_FORWARDED_FOR].n, 128) + least(hd[PROTO_X_FORWARDED_PROTO].n, 16) +
		least(hd[PROTO_CONTENT_TYPE].n, 64);
	uint32_t target;

	for (uint32_t i = 0; i < head->nr_tracestates; i++)
		rest += least(head->tracestate[i].n, TRACESTATE_KEEP) + 1;
	target = rest < CLEW_EXCHANGE_TEXT - TARGET_KEEP ? CLEW_EXCHANGE_TEXT - rest : TARGET_KEEP;
	ex->duplicate_traceparent = head->duplicate_traceparent;
	ex->method = put_text(ex, &head->method, 32);
	ex->traceparent = put_text(ex, &hd[PROTO_TRACEPARENT], 64);
	ex->target = put_text(ex, &head->target, target);
	ex->host = put_text(ex, &hd[PROTO_HOST], 255);
	put_tracestate(ex, head);
	ex->user_agent = put_text(ex, &hd[PROTO_USER_AGENT], 192);
	ex->forwarded = put_text(ex, &hd[PROTO_FORWARDED], 128);
	ex->x_forwarded_for = put_text(ex, &hd[PROTO_X_FORWARDED_FOR], 128);
	ex->x_forwarded_proto = put_text(ex, &hd[PROTO_X_FORWARDED_PROTO], 16);
	ex->content_type = put_text(ex, &hd[PROTO_CONTENT_TYPE], 64);
	if (head->target.n > ex->target.len)
		ex->incomplete |= CLEW_INC_REQUEST_HEAD;
}
