/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_pair.c - which response answers which request.
 *
 * HTTP/1 has no message numbers: the n-th final response answers the n-th request (RFC 9112
 * 9.3.2). A queue of the requests whose exchange is not over is all that is needed, as long as
 * every message is seen. When bytes are missing, a wrong pairing would give one request's path
 * the other one's status, and every exchange behind it too, so each rule below must be safe when
 * its premise is the least that is known. The directions are in order each; a hole is told to
 * the parser when the next bytes behind it arrive, not when it happened.
 *
 * 1. A hole inside a body of known length hides no message. Only then is nothing in doubt.
 * 2. A hole in the REQUEST direction anywhere else may hide requests, but behind those that are
 *    queued. The queue stays certain; what comes behind it is not: `doubt`.
 * 3. A hole in the RESPONSE direction may hide one response per queued request. A response whose
 *    head was seen keeps its request; the others are dropped, since the next response may answer
 *    any of them, or a request that lies in a hole not told yet: `doubt`. With no request behind
 *    the response in progress there is nothing that a budget's end (no event lost) could hide.
 * 4. In `doubt` each new request is dropped on arrival. To leave it, one request must be seen
 *    to be answered by exactly one whole response, both without a hole, before the next request
 *    arrives; that next one is accepted. A client that does not pipeline sends a request only
 *    when all before it are answered, so then nothing hidden can be outstanding. A client that
 *    was seen to pipeline among its last 16 exchanges offers no such proof: its connection stays
 *    in doubt for good, and every request on it is counted as dropped.
 * 5. `soft`: a request's end was hidden by a budget's end (its body, or a large head). The next
 *    request is accepted if the queue is empty when it arrives, i.e. the hidden end belonged to
 *    a request whose answer was seen to its end; otherwise `doubt`.
 * 6. A response without a request is passed over. It may answer a request from before the
 *    connection was met; or one whose event is still on its way (two threads of a process, which
 *    the connection stage could not put in order). `suspect` remembers it: a request
 *    that is not younger than that response was answered by it, and is dropped; if a second
 *    request arrives before the first has an answer, the first was answered by that response
 *    too, or the client pipelines: both are dropped, `doubt`.
 * 7. `crossed`: response bytes that belong to no known request passed while a request's head was
 *    only there in part. They may be that request's answer, which is then dropped: `doubt`.
 *
 * Assumed and not proved: a client that kept several requests outstanding at the very moment
 * when the connection was met, or at a hole, and never again shows two of them at once, looks
 * like one that does not pipeline.
 */
#include <stdlib.h>
#include <string.h>

#include "http1_int.h"

#define ALTERNATED_ENOUGH 16

static struct http1_slot *slots(struct http1 *h)
{
	return h->ring ? h->ring : h->few;
}

static uint32_t ring_size(const struct http1 *h)
{
	return h->ring ? h->size : HTTP1_FEW;
}

static struct http1_slot *slot(struct http1 *h, uint32_t i)
{
	return &slots(h)[(h->first + i) & (ring_size(h) - 1)];
}

/* Room for one more; false: the cap is reached, or memory is short. */
static bool grow(struct http1 *h)
{
	uint32_t old = ring_size(h);
	struct http1_slot *ring;

	if (h->count < old)
		return true;
	if (old >= HTTP1_PIPELINE_MAX)
		return false;
	ring = malloc(sizeof(*ring) * old * 2);
	if (!ring)
		return false;
	for (uint32_t i = 0; i < h->count; i++)
		ring[i] = *slot(h, i);
	free(h->ring);
	h->ring = ring;
	h->size = (uint16_t)(old * 2);
	h->first = 0;
	return true;
}

static void pop(struct http1 *h)
{
	h->first = (uint16_t)((h->first + 1u) & (ring_size(h) - 1));
	if (--h->count)
		return;
	h->first = 0;
	free(h->ring);
	h->ring = NULL;
	h->size = 0;
}

struct clew_exchange *http1_pair__sending(struct http1 *h)
{
	struct http1_slot *last = h->count ? slot(h, h->count - 1u) : NULL;

	return last && !(last->flags & HTTP1_REQ_DONE) ? last->ex : NULL;
}

struct clew_exchange *http1_pair__answering(struct http1 *h)
{
	struct http1_slot *front = h->count && !h->orphan ? slot(h, 0) : NULL;

	if (!front || (front->flags & (HTTP1_RESP | HTTP1_RESP_DONE)) != HTTP1_RESP)
		return NULL;
	return front->ex;
}

bool http1_pair__waiting(const struct http1 *h)
{
	const struct http1_slot *s = h->ring ? h->ring : h->few;

	return h->count > 1 || (h->count && !(s[h->first].flags & HTTP1_RESP));
}

/* ---- one exchange ---------------------------------------------------------------------------- */

static struct clew_exchange *new_exchange(struct http1 *h, const struct http1_msg *msg,
					  const struct clew_feed *first,
					  const struct clew_feed *feed, uint16_t incomplete)
{
	struct clew_exchange *ex = h->sink->alloc(h->sink->arg);
	const size_t from = offsetof(struct clew_exchange, state);

	if (!ex)
		return NULL;
	memset((char *)ex + from, 0, offsetof(struct clew_exchange, text) - from);
	ex->state = CLEW_EX_REQUEST;
	ex->is_server = !h->client;
	ex->http_minor = msg->minor;
	ex->incomplete = incomplete;
	if (msg->cut)
		ex->incomplete |= CLEW_INC_REQUEST_HEAD;
	ex->req = *feed;
	ex->req.ts = first->ts;
	ex->req.pos = first->pos;
	ex->req_end_ts = feed->ts;
	ex->req_wire = msg->len;
	proto_head__put(&msg->h, ex);
	return ex;
}

static void finish(struct http1 *h, struct clew_exchange *ex)
{
	if (!ex)
		return;
	ex->state = CLEW_EX_DONE;
	h->sink->done(h->sink->arg, ex);
}

static void drop(struct http1 *h, struct clew_exchange *ex, enum clew_exchange_drop why)
{
	if (ex)
		h->sink->dropped(h->sink->arg, ex, (int)why);
}

/* ---- doubt ----------------------------------------------------------------------------------- */

static bool response_idle(const struct http1 *h)
{
	return !h->orphan && h->resp.state != HTTP1_HEAD && h->resp.state != HTTP1_BODY;
}

void http1_pair__doubt(struct http1 *h, enum clew_exchange_drop why)
{
	if (!h->doubt)
		h->doubt = (uint8_t)(1 + why);
	h->probe = 0;
	h->probe_answers = 0;
	h->probe_bad = 0;
	h->soft = 0;
	h->suspect = 0;
}

/* A request in doubt: may the queue begin anew with it (rule 4)? */
static bool leave_doubt(struct http1 *h, uint32_t flags)
{
	bool quiet = !h->count && response_idle(h);

	if (quiet && h->probe == 1 && h->probe_answers == 1 && !h->probe_bad && !h->pipelined) {
		h->doubt = 0;
		return true;
	}
	if (quiet && h->probe_answers >= h->probe) {
		h->probe = 1;
		h->probe_answers = 0;
		h->probe_flags = (uint8_t)flags;
		h->probe_bad = 0;
		return false;
	}
	h->probe_bad = 1;
	if (h->probe < UINT8_MAX)
		h->probe++;
	return false;
}

void http1_pair__drop_unanswered(struct http1 *h, enum clew_exchange_drop why)
{
	uint32_t keep = h->count && (slot(h, 0)->flags & HTTP1_RESP) ? 1 : 0;
	bool any = h->count > keep;

	while (h->count > keep) {
		drop(h, slot(h, h->count - 1u)->ex, why);
		if (h->count == 1)
			pop(h);
		else
			h->count--;
	}
	if (any)
		http1_pair__doubt(h, why);
}

void http1_pair__drop_all(struct http1 *h, enum clew_exchange_drop why)
{
	while (h->count) {
		drop(h, slot(h, 0)->ex, why);
		pop(h);
	}
}

void http1_pair__request_begins(struct http1 *h)
{
	if (!h->count || (!h->suspect && !h->soft))
		return;
	if (h->suspect)
		http1_pair__drop_unanswered(h, CLEW_XDROP_GAP);
	http1_pair__doubt(h, CLEW_XDROP_GAP);
}

/* Rules 4 to 7, and the cap. Returns -1 to accept, or why the request is dropped. */
static int refuse(struct http1 *h, uint32_t flags, uint64_t ts)
{
	if (h->crossed) {
		http1_pair__doubt(h, CLEW_XDROP_GAP);
		h->probe_bad = 1;
		h->crossed = 0;
		return CLEW_XDROP_GAP;
	}
	if (h->doubt) {
		int why = h->doubt - 1;

		return leave_doubt(h, flags) ? -1 : why;
	}
	if (h->suspect && ts <= h->orphan_ts) {
		h->suspect = 0;
		return CLEW_XDROP_GAP;
	}
	h->soft = 0;
	if (!grow(h)) {
		http1_pair__doubt(h, CLEW_XDROP_TABLE_FULL);
		leave_doubt(h, flags);
		return CLEW_XDROP_TABLE_FULL;
	}
	return -1;
}

/* ---- requests -------------------------------------------------------------------------------- */

void http1_pair__request(struct http1 *h, const struct http1_msg *msg,
			 const struct clew_feed *first, const struct clew_feed *feed,
			 uint16_t incomplete)
{
	struct clew_exchange *ex;
	uint32_t flags = 0;
	int why;

	if (http1_head__is(&msg->h.method, "HEAD"))
		flags = HTTP1_IS_HEAD;
	else if (http1_head__is(&msg->h.method, "CONNECT"))
		flags = HTTP1_IS_CONNECT;
	h->seen = 1;
	h->junk = 0;
	why = refuse(h, flags, feed->ts);
	ex = new_exchange(h, msg, first, feed, incomplete);
	if (why >= 0) {
		drop(h, ex, (enum clew_exchange_drop)why);
		return;
	}
	/* leave_doubt() and grow() both leave room. */
	*slot(h, h->count) = (struct http1_slot){ex, flags};
	h->count++;
	if (ex)
		h->sink->request(h->sink->arg, ex);
}

/* The front is answered and was sent: it leaves the queue. */
static void settle_front(struct http1 *h)
{
	struct http1_slot front = *slot(h, 0);

	if ((front.flags & (HTTP1_RESP_DONE | HTTP1_REQ_DONE)) !=
	    (HTTP1_RESP_DONE | HTTP1_REQ_DONE))
		return;
	pop(h);
	finish(h, front.ex);
}

void http1_pair__request_end(struct http1 *h, uint64_t ts, uint16_t incomplete)
{
	struct http1_slot *last = h->count ? slot(h, h->count - 1u) : NULL;

	if (!last || last->flags & HTTP1_REQ_DONE)
		return;
	last->flags |= HTTP1_REQ_DONE;
	if (last->ex) {
		last->ex->req_end_ts = ts;
		last->ex->incomplete |= incomplete;
		if (last->ex->state < CLEW_EX_REQUESTED)
			last->ex->state = CLEW_EX_REQUESTED;
	}
	settle_front(h);
}

/* ---- responses ------------------------------------------------------------------------------- */

uint32_t http1_pair__response(struct http1 *h, const struct http1_msg *msg,
			      const struct clew_feed *first, uint16_t incomplete)
{
	struct http1_slot *front = h->count ? slot(h, 0) : NULL;
	struct clew_exchange *ex;

	h->seen = 1;
	h->junk = 0;
	if (!front || front->flags & HTTP1_RESP || h->resp.unasked) {
		h->orphan = 1;
		h->crossed = h->req.state == HTTP1_HEAD;
		return h->doubt && h->probe == 1 && !h->probe_answers ? h->probe_flags : 0;
	}
	front->flags |= HTTP1_RESP;
	ex = front->ex;
	if (ex) {
		ex->resp = *first;
		ex->resp_end_ts = first->ts;
		ex->status = msg->status;
		ex->resp_minor = msg->minor;
		ex->resp_wire = msg->len;
		ex->incomplete |= incomplete;
		ex->state = CLEW_EX_RESPONSE;
		h->sink->response(h->sink->arg, ex);
	}
	return front->flags;
}

/* Did the exchange that now ends overlap with the next one (rule 4)? */
static void note_overlap(struct http1 *h, uint16_t incomplete)
{
	if (h->count > 1 && !incomplete) {
		h->pipelined = 1;
		h->alternated = 0;
	} else if (h->count == 1 && !incomplete) {
		h->suspect = 0;
		if (h->alternated < ALTERNATED_ENOUGH)
			h->alternated++;
		else
			h->pipelined = 0;
	}
}

void http1_pair__unasked(struct http1 *h, uint64_t ts)
{
	if (h->doubt) {
		h->probe_bad = 1;
		return;
	}
	h->suspect = 1;
	h->orphan_ts = ts;
	if (h->soft)
		http1_pair__doubt(h, CLEW_XDROP_GAP);
}

void http1_pair__response_end(struct http1 *h, uint64_t ts, uint16_t incomplete)
{
	struct http1_slot *front;

	if (h->orphan) {
		h->orphan = 0;
		if (h->doubt) {
			/* An end that was only guessed proves nothing. */
			if (h->probe_answers < UINT8_MAX)
				h->probe_answers++;
			if (incomplete)
				h->probe_bad = 1;
			return;
		}
		http1_pair__unasked(h, ts);
		return;
	}
	front = h->count ? slot(h, 0) : NULL;
	if (!front || (front->flags & (HTTP1_RESP | HTTP1_RESP_DONE)) != HTTP1_RESP)
		return;
	note_overlap(h, incomplete);
	front->flags |= HTTP1_RESP_DONE;
	if (front->ex) {
		front->ex->resp_end_ts = ts;
		front->ex->incomplete |= incomplete;
	}
	settle_front(h);
}

void http1_pair__finish_unanswered(struct http1 *h, uint64_t ts)
{
	while (h->count) {
		struct http1_slot front = *slot(h, 0);

		/* Answered, and the request still on its way: not over yet. */
		if (front.flags & HTTP1_RESP_DONE)
			return;
		pop(h);
		if (!front.ex)
			continue;
		front.ex->incomplete |= CLEW_INC_NO_RESPONSE | CLEW_INC_ABORTED;
		if (!(front.flags & HTTP1_REQ_DONE))
			front.ex->incomplete |= CLEW_INC_REQUEST_BODY;
		front.ex->resp_end_ts = ts;
		finish(h, front.ex);
	}
}

void http1_pair__upgraded(struct http1 *h, uint64_t ts)
{
	struct http1_slot front;

	h->orphan = 0;
	if (h->count && (slot(h, 0)->flags & HTTP1_RESP)) {
		front = *slot(h, 0);
		pop(h);
		if (front.ex) {
			front.ex->upgraded = 1;
			front.ex->resp_end_ts = ts;
			if (!(front.flags & HTTP1_REQ_DONE))
				front.ex->incomplete |= CLEW_INC_REQUEST_BODY;
			finish(h, front.ex);
		}
	}
	/* What looked like requests behind it was the other protocol. */
	http1_pair__drop_all(h, CLEW_XDROP_INVALID);
}

void http1_pair__free(struct http1 *h)
{
	free(h->ring);
	h->ring = NULL;
	h->size = 0;
	h->count = 0;
	h->first = 0;
}
