/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1.c - HTTP/1.0 and 1.1 of one connection, as seen by one process (RFC 9112, RFC 9110).
 *
 * A passive reader: it cannot ask again, reject or wait, and bytes may be missing. Each
 * direction is a small machine:
 *
 *	           a whole head in one piece, parsed where it lies
 *	START ---------------------------------------------------------> BODY (or START: no body)
 *	  | `--> HEAD: the head's bytes are kept until its end is seen -----^  |
 *	  |                                                                    | end of the body
 *	  `--- no message: HUNT <----- a hole, broken framing ----- BODY(LOST) +--> START
 *	                    `--> START when a piece begins like a message
 *
 * HUNT and LOST look for a message only where a piece begins, since programs write messages,
 * and a body may hold anything elsewhere. LOST knows that a body is in progress but not how
 * long it is: a chunked one is recognised by its last bytes, any other ends when the directions
 * flip, i.e. the next request of the connection begins. Such exchanges say so in `incomplete`.
 *
 * Which response belongs to which request, above all after a hole, is decided in http1_pair.c;
 * its opening comment holds the reasoning.
 */
#include <stdlib.h>
#include <string.h>

#include "http1_int.h"

/* The piece that is being read. */
struct cursor {
	const uint8_t *p;
	size_t n, at;
	bool boundary; /* p[0] is where a program's write or read began */
	const struct clew_feed *feed;
};

static enum clew_dir request_dir(const struct http1 *h)
{
	return h->client ? CLEW_SEND : CLEW_RECV;
}

static void drop_head(struct http1_dir *d)
{
	http1_head__free(d->head);
	d->head = NULL;
}

/* The only place that changes a direction's state. */
static void enter(struct http1_dir *d, enum http1_state state)
{
	if (state != HTTP1_HEAD)
		drop_head(d);
	d->state = (uint8_t)state;
	d->framing_bytes = 0;
}

static void enter_body(struct http1_dir *d, enum http1_framing framing, uint64_t length)
{
	enter(d, HTTP1_BODY);
	d->chunked = framing == HTTP1_CHUNKED;
	d->framing = (uint8_t)framing;
	d->chunk = HTTP1_CHUNK_SIZE;
	d->digits = 0;
	d->remain = length;
	d->lost = 0;
	d->tail_n = 0;
}

/* The body goes on, its length is not known any more. */
static void lose_framing(struct http1_dir *d, bool lost)
{
	d->framing = HTTP1_LOST;
	d->lost |= lost;
	d->tail_n = 0;
}

static void count_bytes(struct http1 *h, const struct http1_dir *d, uint64_t wire, uint64_t body)
{
	struct clew_exchange *ex = d == &h->req ? http1_pair__sending(h) : http1_pair__answering(h);

	if (!ex)
		return;
	if (d == &h->req) {
		ex->req_wire += wire;
		ex->req_body += body;
	} else {
		ex->resp_wire += wire;
		ex->resp_body += body;
	}
}

static void mark(struct http1 *h, const struct http1_dir *d, uint16_t incomplete)
{
	struct clew_exchange *ex = d == &h->req ? http1_pair__sending(h) : http1_pair__answering(h);

	if (ex)
		ex->incomplete |= incomplete;
}

/* ---- the end of a message -------------------------------------------------------------------- */

static void end_request(struct http1 *h, uint16_t incomplete, enum http1_state next)
{
	enter(&h->req, next);
	http1_pair__request_end(h, h->req.last_ts, incomplete);
}

static void end_response(struct http1 *h, uint16_t incomplete, enum http1_state next)
{
	bool orphan = h->orphan;

	enter(&h->resp, next);
	/* The server has said all it has to say: a request body that nobody can follow is over. */
	if (!orphan && !http1_pair__waiting(h) && h->req.state == HTTP1_BODY &&
	    h->req.framing == HTTP1_LOST)
		end_request(h, CLEW_INC_REQUEST_BODY, HTTP1_HUNT);
	if (h->req.state == HTTP1_TUNNEL && !http1_pair__waiting(h)) {
		/* A CONNECT that was refused: requests may follow. */
		if (h->req.framing_bytes)
			http1_pair__doubt(h, CLEW_XDROP_INVALID);
		enter(&h->req, h->req.framing_bytes ? HTTP1_HUNT : HTTP1_START);
	}
	http1_pair__response_end(h, h->resp.last_ts, incomplete);
}

/* The connection now speaks another protocol. */
static void upgrade(struct http1 *h)
{
	enter(&h->req, HTTP1_HUNT);
	enter(&h->resp, HTTP1_HUNT);
	http1_pair__upgraded(h, h->resp.last_ts);
	h->dead = CLEW_PROTO_SWITCH;
}

/* ---- heads ----------------------------------------------------------------------------------- */

/*
 * The next request ends a response whose end could not be seen, and one that answers no known
 * request: it may be the answer to HEAD, and what it announces as a body never come.
 */
static void flip(struct http1 *h)
{
	if (h->resp.state == HTTP1_HEAD && h->resp.unasked) {
		enter(&h->resp, HTTP1_HUNT);
		http1_pair__unasked(h, h->resp.last_ts);
		return;
	}
	if (h->resp.state != HTTP1_BODY || (h->resp.framing != HTTP1_LOST && !h->orphan))
		return;
	end_response(h, CLEW_INC_RESPONSE_BODY, HTTP1_HUNT);
	/* Neither end was seen: between them another request may have passed. */
	if (h->soft)
		http1_pair__doubt(h, CLEW_XDROP_GAP);
}

static void request_head(struct http1 *h, const struct http1_msg *msg,
			 const struct clew_feed *first, const struct clew_feed *feed,
			 uint16_t incomplete)
{
	struct http1_dir *d = &h->req;

	d->guess = 0;
	if (d->state != HTTP1_HEAD)
		h->crossed = 0;
	flip(h);
	http1_pair__request(h, msg, first, feed, incomplete);
	if (incomplete & CLEW_INC_REQUEST_HEAD) {
		enter_body(d, HTTP1_LOST, 0);
	} else if (msg->doubt) {
		enter_body(d, HTTP1_LOST, 0);
		d->chunked = msg->coding == HTTP1_TE_CHUNKED;
		mark(h, d, CLEW_INC_REQUEST_BODY);
		http1_pair__doubt(h, CLEW_XDROP_INVALID);
	} else if (msg->coding == HTTP1_TE_CHUNKED) {
		enter_body(d, HTTP1_CHUNKED, 0);
	} else if (msg->length) {
		enter_body(d, HTTP1_LENGTH, msg->length);
	} else {
		end_request(h, 0, HTTP1_START);
		if (http1_head__is(&msg->h.method, "CONNECT"))
			enter(d, HTTP1_TUNNEL);
	}
}

static void response_head(struct http1 *h, const struct http1_msg *msg,
			  const struct clew_feed *first, uint16_t incomplete)
{
	struct http1_dir *d = &h->resp;
	uint32_t flags;

	d->guess = 0;
	if (msg->status < 200 && msg->status != 101) {
		enter(d, HTTP1_START);
		return;
	}
	if (msg->cut)
		incomplete |= CLEW_INC_RESPONSE_HEAD;
	flags = http1_pair__response(h, msg, first, incomplete);
	if (msg->status == 101 || (flags & HTTP1_IS_CONNECT && msg->status / 100 == 2)) {
		upgrade(h);
	} else if (incomplete & CLEW_INC_RESPONSE_HEAD) {
		enter_body(d, HTTP1_LOST, 0);
	} else if (flags & HTTP1_IS_HEAD || msg->status == 204 || msg->status == 304) {
		end_response(h, 0, HTTP1_START);
	} else if (msg->doubt) {
		enter_body(d, HTTP1_LOST, 0);
		d->chunked = msg->coding == HTTP1_TE_CHUNKED;
		mark(h, d, CLEW_INC_RESPONSE_BODY);
		if (http1_pair__waiting(h))
			http1_pair__drop_unanswered(h, CLEW_XDROP_INVALID);
	} else if (msg->coding == HTTP1_TE_CHUNKED) {
		enter_body(d, HTTP1_CHUNKED, 0);
	} else if (msg->coding == HTTP1_TE_OTHER || !msg->has_length) {
		enter_body(d, HTTP1_CLOSE, 0);
	} else if (msg->length) {
		enter_body(d, HTTP1_LENGTH, msg->length);
	} else {
		end_response(h, 0, HTTP1_START);
	}
}

/*
 * A response begins while a request's head is not complete: the server answered early, or the
 * rest of the head lies in a hole not told yet. Either way this is the request it answers.
 */
static void request_cut_short(struct http1 *h)
{
	struct http1_dir *d = &h->req;
	struct http1_head_buf *buf = d->head;
	struct http1_msg msg;

	if (d->state != HTTP1_HEAD)
		return;
	if (http1_head__parse(buf->data, buf->len, false, true, &msg) != HTTP1_HEAD_OK ||
	    !http1_head__plausible(d, buf->data, buf->len, false))
		return;
	d->head = NULL; /* msg borrows from it */
	request_head(h, &msg, &buf->first, &buf->first, CLEW_INC_REQUEST_HEAD);
	http1_head__free(buf);
	if (!h->doubt)
		h->soft = 1;
}

static void complete_head(struct http1 *h, struct http1_dir *d, const struct http1_msg *msg,
			  const struct clew_feed *first, const struct clew_feed *feed,
			  uint16_t incomplete)
{
	d->last_ts = feed->ts;
	if (d == &h->req)
		request_head(h, msg, first, feed, incomplete);
	else
		response_head(h, msg, first, incomplete);
}

/* These bytes should begin a message and do not. */
static void not_a_message(struct http1 *h, struct http1_dir *d)
{
	bool guess = d->guess;

	enter(d, HTTP1_HUNT);
	d->guess = 0;
	if (guess || !h->seen)
		return;
	if (d == &h->req)
		http1_pair__doubt(h, CLEW_XDROP_INVALID);
	else if (http1_pair__waiting(h))
		http1_pair__drop_unanswered(h, CLEW_XDROP_INVALID);
	else if (!h->doubt) {
		h->suspect = 1;
		h->orphan_ts = d->last_ts;
	}
	if (!h->junk)
		h->junk = 1; /* from here on, bytes that are no message are counted */
}

/* More than HTTP1_HEAD_MAX, or no memory: take what is known, the rest is not waited for. */
static void head_too_long(struct http1 *h, struct http1_dir *d, const struct clew_feed *feed)
{
	struct http1_head_buf *buf = d->head;
	bool response = d == &h->resp;
	struct http1_msg msg;

	if (!buf || http1_head__parse(buf->data, buf->len, response, true, &msg) != HTTP1_HEAD_OK) {
		not_a_message(h, d);
		return;
	}
	d->head = NULL;
	if (response && msg.status < 200) {
		not_a_message(h, d);
	} else {
		complete_head(h, d, &msg, &buf->first, feed,
			      response ? CLEW_INC_RESPONSE_HEAD : CLEW_INC_REQUEST_HEAD);
		if (!response)
			http1_pair__doubt(h, CLEW_XDROP_INVALID);
		else if (http1_pair__waiting(h))
			http1_pair__drop_unanswered(h, CLEW_XDROP_INVALID);
	}
	http1_head__free(buf);
}

static struct clew_feed feed_at(const struct cursor *c)
{
	struct clew_feed f = *c->feed;

	f.pos += c->at;
	return f;
}

/* ---- one step of a direction: it consumes bytes or leaves its state -------------------------- */

static void step_start(struct http1 *h, struct http1_dir *d, struct cursor *c)
{
	struct http1_msg msg;
	struct clew_feed first;
	const char *p;
	size_t n;
	int rc;

	/* RFC 9112 2.2: empty lines before a message are passed over. */
	while (c->at < c->n && (c->p[c->at] == '\r' || c->p[c->at] == '\n'))
		c->at++;
	if (c->at == c->n)
		return;
	p = (const char *)c->p + c->at;
	n = c->n - c->at;
	if (d == &h->req) {
		if (!d->guess)
			flip(h);
		http1_pair__request_begins(h);
	} else {
		if (!http1_pair__waiting(h))
			request_cut_short(h);
		d->unasked = !http1_pair__waiting(h);
		if (d->unasked && h->soft)
			http1_pair__doubt(h, CLEW_XDROP_GAP);
	}
	rc = http1_head__parse(p, n, d == &h->resp, false, &msg);
	first = feed_at(c);
	if (rc == HTTP1_HEAD_OK) {
		c->at += msg.len;
		complete_head(h, d, &msg, &first, c->feed, 0);
		return;
	}
	if (rc == HTTP1_HEAD_BAD || !http1_head__could(p, n, d == &h->resp)) {
		/* A guess that was wrong is not made again. */
		if (d->guess)
			c->at = c->n;
		not_a_message(h, d);
		return;
	}
	enter(d, HTTP1_HEAD);
	if (d == &h->req)
		h->crossed = 0;
	if (n > HTTP1_HEAD_MAX)
		n = HTTP1_HEAD_MAX;
	if (http1_head__keep(d, h->sink, &first, (const uint8_t *)p, n))
		not_a_message(h, d);
	else
		d->head->scanned = (uint32_t)n;
	d->last_ts = c->feed->ts;
	c->at += n;
}

static void step_head(struct http1 *h, struct http1_dir *d, struct cursor *c)
{
	size_t room = HTTP1_HEAD_MAX - d->head->len, old = d->head->len, n = c->n - c->at, end;
	struct http1_head_buf *buf;
	struct http1_msg msg;
	int rc;

	if (n > room)
		n = room;
	if (!n || http1_head__keep(d, h->sink, NULL, c->p + c->at, n)) {
		head_too_long(h, d, c->feed);
		return;
	}
	buf = d->head;
	end = http1_head__end(buf->data, buf->len, buf->scanned > 2 ? buf->scanned - 2 : 0);
	buf->scanned = buf->len;
	if (!end) {
		/* Cheap while the first line is short; a long one has passed this already. */
		if (old < 64 && !http1_head__plausible(d, buf->data, buf->len, d == &h->resp)) {
			/* This piece may be the message that the kept bytes were not. */
			not_a_message(h, d);
			return;
		}
		d->last_ts = c->feed->ts;
		c->at += n;
		return;
	}
	rc = http1_head__parse(buf->data, end, d == &h->resp, false, &msg);
	if (rc != HTTP1_HEAD_OK || !http1_head__plausible(d, buf->data, end, d == &h->resp)) {
		not_a_message(h, d);
		return;
	}
	c->at += end - old;
	d->head = NULL; /* msg borrows from it */
	complete_head(h, d, &msg, &buf->first, c->feed, 0);
	http1_head__free(buf);
}

/* Framing that is not what RFC 9112 says: what follows may be read differently by others. */
static void broken_framing(struct http1 *h, struct http1_dir *d)
{
	lose_framing(d, false);
	if (d == &h->req) {
		mark(h, d, CLEW_INC_REQUEST_BODY);
		http1_pair__doubt(h, CLEW_XDROP_INVALID);
	} else {
		mark(h, d, CLEW_INC_RESPONSE_BODY);
		if (http1_pair__waiting(h))
			http1_pair__drop_unanswered(h, CLEW_XDROP_INVALID);
	}
}

/* Does this piece begin with a whole first line, i.e. surely with a message? */
static bool message_begins(const struct cursor *c, bool response)
{
	const char *p = (const char *)c->p;

	if (c->at || !c->boundary || (response ? c->n < 12 : !memchr(p, '\n', c->n)))
		return false;
	return http1_head__starts(p, c->n, response);
}

/* A body of unknown length: does a message begin with this piece, so that it must be over? */
static bool lost_body_over(struct http1 *h, struct http1_dir *d, const struct cursor *c)
{
	if (!message_begins(c, d == &h->resp))
		return false;
	if (d == &h->req) {
		end_request(h, CLEW_INC_REQUEST_BODY, HTTP1_START);
	} else if (h->orphan) {
		end_response(h, CLEW_INC_RESPONSE_BODY, HTTP1_START);
	} else if (d->lost) {
		/* The answer to a request that is lost too. */
		end_response(h, CLEW_INC_RESPONSE_BODY, HTTP1_START);
		http1_pair__doubt(h, CLEW_XDROP_GAP);
	} else if (h->req.state == HTTP1_HEAD) {
		/* A next request has begun, and this is its answer: see request_cut_short(). */
		end_response(h, CLEW_INC_RESPONSE_BODY, HTTP1_START);
	} else {
		return false;
	}
	d->guess = 1;
	return true;
}

static void step_lost(struct http1 *h, struct http1_dir *d, struct cursor *c)
{
	const uint8_t *p = c->p + c->at;
	size_t n = c->n - c->at;
	bool over;

	if (lost_body_over(h, d, c))
		return;
	if (d == &h->resp && h->req.state == HTTP1_HEAD)
		h->crossed = 1;
	over = http1_body__tail(d, p, n, !c->at && c->boundary);
	d->last_ts = c->feed->ts;
	c->at = c->n;
	count_bytes(h, d, n, n);
	if (!over)
		return;
	if (d == &h->req)
		end_request(h, 0, HTTP1_START);
	else
		end_response(h, 0, HTTP1_START);
}

static void step_body(struct http1 *h, struct http1_dir *d, struct cursor *c)
{
	uint64_t body;
	size_t used;
	int rc;

	if (d->framing == HTTP1_LOST) {
		step_lost(h, d, c);
		return;
	}
	/* Nobody knows which method this answers: a body that HEAD announced does not come. */
	if (d == &h->resp && h->orphan && message_begins(c, true)) {
		end_response(h, CLEW_INC_RESPONSE_BODY, HTTP1_START);
		d->guess = 1;
		return;
	}
	if (d == &h->resp && h->orphan && h->req.state == HTTP1_HEAD)
		h->crossed = 1;
	rc = http1_body__feed(d, c->p + c->at, c->n - c->at, &used, &body);
	d->last_ts = c->feed->ts;
	c->at += used;
	count_bytes(h, d, used, body);
	if (rc == HTTP1_BODY_BAD)
		broken_framing(h, d);
	else if (rc == HTTP1_BODY_END && d == &h->req)
		end_request(h, 0, HTTP1_START);
	else if (rc == HTTP1_BODY_END)
		end_response(h, 0, HTTP1_START);
}

static void step_hunt(struct http1 *h, struct http1_dir *d, struct cursor *c)
{
	if (!c->at && c->boundary && http1_head__starts((const char *)c->p, c->n, d == &h->resp)) {
		enter(d, HTTP1_START);
		d->guess = 1;
		return;
	}
	if (d == &h->resp && h->req.state == HTTP1_HEAD)
		h->crossed = 1;
	/* The rest of a body, or a request that cannot be recognised. */
	if (d == &h->req && h->seen && !h->doubt)
		http1_pair__doubt(h, CLEW_XDROP_GAP);
	if (h->junk) {
		size_t n = c->n - c->at;

		h->junk = n > HTTP1_JUNK_MAX ? HTTP1_JUNK_MAX + 1 : h->junk + (uint32_t)n;
		if (h->junk > HTTP1_JUNK_MAX) {
			http1_pair__drop_all(h, CLEW_XDROP_INVALID);
			h->dead = CLEW_PROTO_INVALID;
		}
	}
	c->at = c->n;
}

static enum clew_verdict feed_piece(struct http1 *h, struct http1_dir *d, struct cursor *c)
{
	while (c->at < c->n && !h->dead) {
		switch (d->state) {
		case HTTP1_START:
			step_start(h, d, c);
			break;
		case HTTP1_HEAD:
			step_head(h, d, c);
			break;
		case HTTP1_BODY:
			step_body(h, d, c);
			break;
		case HTTP1_HUNT:
			step_hunt(h, d, c);
			break;
		default: /* HTTP1_TUNNEL */
			d->framing_bytes = 1;
			c->at = c->n;
			break;
		}
	}
	return (enum clew_verdict)h->dead;
}

/* ---- holes ----------------------------------------------------------------------------------- */

/* What is kept of a head is all that there will be of it. True: its first line was there. */
static bool head_in_hole(struct http1 *h, struct http1_dir *d, uint16_t gap,
			 const struct clew_feed *feed)
{
	struct http1_head_buf *buf = d->head;
	bool response = d == &h->resp, ok;
	struct http1_msg msg;

	d->head = NULL;
	ok = http1_head__parse(buf->data, buf->len, response, true, &msg) == HTTP1_HEAD_OK &&
	     http1_head__plausible(d, buf->data, buf->len, response);
	/* An interim response tells nothing about the final one. */
	if (ok && response && msg.status < 200)
		ok = false;
	if (ok)
		complete_head(h, d, &msg, &buf->first, feed,
			      (uint16_t)(gap | (response ? CLEW_INC_RESPONSE_HEAD
							 : CLEW_INC_REQUEST_HEAD)));
	else
		enter(d, HTTP1_HUNT);
	http1_head__free(buf);
	return ok;
}

/* Rule 2 of http1_pair.c: requests may be hidden, behind those that are known. */
static void hole_in_requests(struct http1 *h, bool lost, const struct clew_feed *feed)
{
	struct http1_dir *d = &h->req;
	uint16_t gap = lost ? CLEW_INC_GAP : 0;
	/* Met in the middle of a large body: no request begins in what is not captured. */
	bool joining = d->state == HTTP1_HUNT && !h->seen && !lost;

	if (d->state == HTTP1_TUNNEL) {
		d->framing_bytes = 1;
		return;
	}
	if (d->state == HTTP1_HEAD && head_in_hole(h, d, gap, feed)) {
		d->lost |= lost;
	} else if (d->state == HTTP1_BODY) {
		mark(h, d, gap);
		lose_framing(d, lost);
	} else {
		enter(d, HTTP1_HUNT);
		if (!joining)
			http1_pair__doubt(h, CLEW_XDROP_GAP);
		return;
	}
	if (lost || h->count != 1)
		http1_pair__doubt(h, CLEW_XDROP_GAP);
	else if (!h->doubt)
		h->soft = 1;
}

/* Rule 3: responses may be hidden, one for each known request that waits. */
static void hole_in_responses(struct http1 *h, bool lost, const struct clew_feed *feed)
{
	struct http1_dir *d = &h->resp;
	uint16_t gap = lost ? CLEW_INC_GAP : 0;

	if (d->state == HTTP1_HEAD && head_in_hole(h, d, gap, feed)) {
		d->lost |= lost;
	} else if (d->state == HTTP1_BODY) {
		mark(h, d, gap);
		lose_framing(d, lost);
	} else {
		enter(d, HTTP1_HUNT);
		if (!h->seen && !lost)
			return;
		if (lost && !http1_pair__waiting(h))
			http1_pair__doubt(h, CLEW_XDROP_GAP);
	}
	if (http1_pair__waiting(h))
		http1_pair__drop_unanswered(h, CLEW_XDROP_GAP);
	else if (h->doubt)
		http1_pair__doubt(h, CLEW_XDROP_GAP); /* the proof begins anew */
}

static void hole(struct http1 *h, struct http1_dir *d, uint64_t n, bool lost,
		 const struct clew_feed *feed)
{
	uint64_t in_body = d->state == HTTP1_BODY ? http1_body__cover(d, n) : 0;
	uint16_t gap = lost ? CLEW_INC_GAP : 0;

	if (in_body) {
		bool response = d == &h->resp;

		d->last_ts = feed->ts;
		mark(h, d, gap);
		count_bytes(h, d, in_body, in_body);
		if (d->framing == HTTP1_LENGTH && !d->remain) {
			/* When its last byte crossed is not known if the event is lost. */
			if (response)
				end_response(h, lost ? CLEW_INC_RESPONSE_BODY : 0, HTTP1_START);
			else
				end_request(h, lost ? CLEW_INC_REQUEST_BODY : 0, HTTP1_START);
		}
		n -= in_body;
		if (!n)
			return;
	}
	d->last_ts = feed->ts;
	if (d == &h->resp && h->req.state == HTTP1_HEAD)
		h->crossed = 1;
	if (d->state == HTTP1_BODY)
		count_bytes(h, d, n, n);
	if (d == &h->req)
		hole_in_requests(h, lost, feed);
	else
		hole_in_responses(h, lost, feed);
}

/* ---- the contract ---------------------------------------------------------------------------- */

static struct http1_dir *direction(struct http1 *h, enum clew_dir dir)
{
	return dir == request_dir(h) ? &h->req : &h->resp;
}

static void http1__init(void *state, bool client, const struct clew_proto_sink *sink)
{
	struct http1 *h = state;

	memset(h, 0, sizeof(*h));
	h->client = client;
	h->sink = sink;
}

static enum clew_verdict http1__data(void *state, enum clew_dir dir, const uint8_t *p, size_t n,
				     const struct clew_feed *feed)
{
	struct http1 *h = state;
	struct http1_dir *d = direction(h, dir);
	struct cursor c = {.p = p, .n = n, .boundary = true, .feed = feed};

	/* Met after it was opened: the first piece may begin anywhere in a message. */
	if (feed->seg_flags & CLEW_SEG_LATE && !h->seen && d->state == HTTP1_START)
		enter(d, HTTP1_HUNT);
	return feed_piece(h, d, &c);
}

static enum clew_verdict http1__skip(void *state, enum clew_dir dir, uint64_t n,
				     const uint8_t *tail, size_t tail_n, bool lost,
				     const struct clew_feed *feed)
{
	struct http1 *h = state;
	struct http1_dir *d = direction(h, dir);
	struct clew_feed at = *feed;
	struct cursor c = {.p = tail, .n = tail_n, .feed = &at};

	if (!tail || tail_n > n)
		c.n = 0;
	/* The last bytes are known: a smaller hole, and a piece that begins nowhere special. */
	if (n > c.n && !h->dead)
		hole(h, d, n - c.n, lost, feed);
	c.boundary = n == c.n;
	at.pos += n - c.n;
	return feed_piece(h, d, &c);
}

static void requests_eof(struct http1 *h)
{
	struct http1_dir *d = &h->req;

	request_cut_short(h);
	if (d->state == HTTP1_BODY)
		end_request(h, CLEW_INC_REQUEST_BODY, HTTP1_HUNT);
	else if (d->state != HTTP1_TUNNEL)
		enter(d, HTTP1_HUNT);
}

static void responses_eof(struct http1 *h, uint64_t ts)
{
	struct http1_dir *d = &h->resp;
	struct clew_feed feed = {0};

	feed.ts = d->last_ts;
	if (d->state == HTTP1_HEAD) {
		feed.ts = d->head->first.ts;
		head_in_hole(h, d, CLEW_INC_ABORTED, &feed);
	}
	if (h->dead)
		return;
	if (d->state == HTTP1_BODY) {
		uint16_t incomplete = CLEW_INC_RESPONSE_BODY;

		if (d->framing == HTTP1_CLOSE)
			incomplete = 0;
		else if (d->framing != HTTP1_LOST)
			incomplete |= CLEW_INC_ABORTED;
		end_response(h, incomplete, HTTP1_HUNT);
	} else {
		enter(d, HTTP1_HUNT);
	}
	http1_pair__finish_unanswered(h, ts);
}

static void http1__eof(void *state, enum clew_dir dir, uint64_t ts)
{
	struct http1 *h = state;
	struct http1_dir *d = direction(h, dir);

	if (h->dead || d->eof)
		return;
	d->eof = 1;
	if (d == &h->req)
		requests_eof(h);
	else
		responses_eof(h, ts);
}

static void http1__close(void *state, uint64_t ts)
{
	struct http1 *h = state;

	if (!h->dead) {
		requests_eof(h);
		responses_eof(h, ts);
	}
	http1_pair__drop_all(h, CLEW_XDROP_UNANSWERED); /* none is left */
	drop_head(&h->req);
	drop_head(&h->resp);
	http1_pair__free(h);
}

const struct clew_proto_ops clew_http1 = {
	.name = "http1",
	.size = sizeof(struct http1),
	.detect = http1_head__detect,
	.init = http1__init,
	.data = http1__data,
	.skip = http1__skip,
	.eof = http1__eof,
	.close = http1__close,
};

_Static_assert(sizeof(struct http1) <= 512, "an idle connection stays small");
