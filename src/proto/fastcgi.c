/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fastcgi.c - FastCGI 1.0 of one connection, as seen by one process: a web server that passes
 * HTTP requests on as parameters, an application (PHP-FPM) that answers with a CGI header block.
 *
 * Both directions are records: eight bytes of header, content, padding. Each is a small machine:
 *
 *	HEADER <---> CONTENT		in step, every byte is accounted for
 *	  `------------`---> LOST	the next header is somewhere in a hole
 *	LOST ----> HEADER		a piece begins with a record of the open request, or with
 *BEGIN
 *
 * A hole inside a record of known length hides no record, and that is what a hole is nearly
 * always: bytes behind the capture budget, in a body. Programs write and read records' headers at
 * the beginning of a call, so LOST ends soon.
 *
 * A request carries an id, but web servers give the same one to all requests of a connection, one
 * after the other, so the id alone does not pair an answer with its request after a loss:
 *
 * 1. One request is open at a time: from BEGIN to END. A BEGIN with another id before that is
 *    multiplexing, which neither nginx nor PHP-FPM does; it is not followed: INVALID.
 * 2. A BEGIN with the open request's id says that its END was missed. If its answer had begun it
 *    is done, `response_body` unknown; else it is dropped: what passed unseen may be its answer.
 * 3. Events lost in the answers, outside of a record whose end is known, may hide END and another
 *    request's answer: a request whose answer had not begun is dropped.
 * 4. Answers without an open request are passed over.
 */
#include <stdlib.h>
#include <string.h>

#include "fastcgi_int.h"

/* The piece that is being read. */
struct cursor {
	const uint8_t *p;
	size_t n, at;
	bool boundary; /* p[0] is where a program's write or read began */
	const struct clew_feed *feed;
};

static bool is_open(const struct fcgi *f)
{
	return f->phase != FCGI_IDLE;
}

static uint16_t get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* ---- the open request ------------------------------------------------------------------------ */

static void forget(struct fcgi *f)
{
	fcgi_params__free(f->params);
	f->params = NULL;
	f->ex = NULL;
	f->phase = FCGI_IDLE;
}

static void drop(struct fcgi *f, enum clew_exchange_drop why)
{
	struct clew_exchange *ex = f->ex;

	forget(f);
	if (ex)
		f->sink->dropped(f->sink->arg, ex, (int)why);
}

/* The parameters are complete, or as complete as they will be: an exchange, if it has a name. */
static void head_over(struct fcgi *f, const struct clew_feed *feed, uint16_t incomplete)
{
	const size_t from = offsetof(struct clew_exchange, state);
	struct fcgi_request r;
	struct clew_exchange *ex;

	f->phase = FCGI_BODY;
	f->incomplete |= incomplete;
	fcgi_params__parse(f->params ? f->params->data : NULL, f->params ? f->params->len : 0, &r);
	if (r.cut)
		f->incomplete |= CLEW_INC_REQUEST_HEAD;
	f->length = r.length;
	ex = f->sink->alloc(f->sink->arg);
	if (ex) {
		memset((char *)ex + from, 0, offsetof(struct clew_exchange, text) - from);
		ex->state = CLEW_EX_REQUEST;
		ex->protocol = CLEW_FASTCGI;
		ex->is_server = !f->client;
		ex->req = *feed;
		ex->req.ts = f->first.ts;
		ex->req.pos = f->first.pos;
		ex->req_end_ts = feed->ts;
		proto_head__put(&r.head, ex);
	}
	fcgi_params__free(f->params);
	f->params = NULL;
	f->ex = ex;
	f->req_end_ts = feed->ts;
	if (!ex)
		return;
	if (!ex->method.len || !ex->target.len) {
		f->ex = NULL;
		f->sink->dropped(f->sink->arg, ex,
				 f->incomplete & CLEW_INC_REQUEST_HEAD ? CLEW_XDROP_GAP
								       : CLEW_XDROP_INVALID);
		return;
	}
	ex->incomplete |= f->incomplete;
	f->sink->request(f->sink->arg, ex);
}

static void request_over(struct fcgi *f, uint64_t ts)
{
	if (f->phase != FCGI_BODY)
		return;
	f->phase = FCGI_SENT;
	f->req_end_ts = ts;
	/* The end was seen, and CGI says how long the body is (RFC 3875 4.1.2). */
	if (f->incomplete & CLEW_INC_REQUEST_BODY && f->length && f->length <= f->req_wire) {
		f->req_body = f->length;
		f->incomplete &= (uint16_t)~CLEW_INC_REQUEST_BODY;
	}
	if (f->ex)
		f->ex->state = CLEW_EX_REQUESTED;
}

static void answer_begins(struct fcgi *f, const struct clew_feed *feed)
{
	if (f->answering)
		return;
	f->answering = 1;
	f->answer = *feed;
}

/* The header block is complete, or with RESPONSE_HEAD all of it that there will be. */
static void answer(struct fcgi *f, uint16_t incomplete)
{
	struct clew_exchange *ex = f->ex;

	f->answered = 1;
	f->incomplete |= incomplete;
	if (!ex)
		return;
	ex->incomplete |= f->incomplete;
	ex->resp = f->answer;
	ex->resp_end_ts = f->answer.ts;
	/* a Status line may be among what is missing */
	ex->status = incomplete ? f->reply.status : fcgi_reply__status(&f->reply);
	ex->state = CLEW_EX_RESPONSE;
	f->sink->response(f->sink->arg, ex);
}

static void finish(struct fcgi *f, uint64_t ts, uint16_t incomplete)
{
	struct clew_exchange *ex;

	if (f->answering && !f->answered)
		answer(f, CLEW_INC_RESPONSE_HEAD);
	if (!f->answering)
		incomplete |= CLEW_INC_NO_RESPONSE | CLEW_INC_ABORTED;
	if (f->aborted)
		incomplete |= CLEW_INC_ABORTED;
	/* A body that was not read to its end, or not seen; PHP never asks for the end of none. */
	if (f->phase == FCGI_BODY && f->req_body < f->length)
		f->incomplete |= CLEW_INC_REQUEST_BODY;
	ex = f->ex;
	if (ex) {
		ex->incomplete |= f->incomplete | incomplete;
		ex->req_end_ts = f->req_end_ts;
		ex->resp_end_ts = ts;
		ex->req_body = f->req_body;
		ex->resp_body = f->resp_body;
		ex->req_wire = f->req_wire;
		ex->resp_wire = f->resp_wire;
		ex->state = CLEW_EX_DONE;
	}
	forget(f);
	if (ex)
		f->sink->done(f->sink->arg, ex);
}

/* What is known of the parameters is all that there will be. */
static void head_cut(struct fcgi *f)
{
	struct clew_feed first = f->first;

	if (f->phase == FCGI_HEAD)
		head_over(f, &first, CLEW_INC_REQUEST_HEAD);
}

static void end_seen(struct fcgi *f, uint64_t ts, uint16_t incomplete)
{
	head_cut(f); /* refused before it was read, or its end lies in a hole */
	finish(f, ts, incomplete);
}

/* Rules 1 and 2. */
static void begin(struct fcgi *f, const struct fcgi_dir *d, const struct clew_feed *feed)
{
	if (is_open(f)) {
		if (d->id != f->id && !f->missed && f->resp.state != FCGI_LOST) {
			drop(f, CLEW_XDROP_INVALID);
			f->dead = CLEW_PROTO_INVALID;
			return;
		}
		if (f->answering)
			finish(f, f->resp.last_ts, CLEW_INC_RESPONSE_BODY);
		else
			drop(f, CLEW_XDROP_GAP);
	}
	f->id = d->id;
	f->phase = FCGI_HEAD;
	f->incomplete = 0;
	f->answering = f->answered = f->missed = f->aborted = 0;
	f->first = *feed;
	f->first.ts = d->begin_ts;
	f->first.pos = d->begin_pos;
	f->req_end_ts = d->begin_ts;
	f->length = 0;
	f->req_wire = FCGI_HEADER_LEN;
	f->resp_wire = f->req_body = f->resp_body = 0;
	f->junk = 0;
	memset(&f->reply, 0, sizeof(f->reply));
	/* whatever was said before is over */
	f->resp.state = FCGI_HEADER;
	f->resp.have = 0;
}

/* ---- records --------------------------------------------------------------------------------- */

static bool is_request_type(uint8_t type)
{
	return type == FCGI_BEGIN || type == FCGI_ABORT || type == FCGI_PARAMS ||
	       type == FCGI_STDIN || type == FCGI_DATA || type == FCGI_GET_VALUES;
}

static bool is_response_type(uint8_t type)
{
	return type == FCGI_END || type == FCGI_STDOUT || type == FCGI_STDERR ||
	       type == FCGI_GET_VALUES_RESULT || type == FCGI_UNKNOWN_TYPE;
}

/* Is this a header that may stand in the direction? */
static bool is_header(const struct fcgi *f, const struct fcgi_dir *d, const uint8_t *h)
{
	uint16_t content = get_u16(h + 4);

	if (h[0] != FCGI_VERSION)
		return false;
	if (h[1] == FCGI_BEGIN || h[1] == FCGI_END) {
		if (content != 8 || !get_u16(h + 2))
			return false;
	}
	return d == &f->req ? is_request_type(h[1]) : is_response_type(h[1]);
}

/* Content of the open request's record is not seen, `n` bytes of it. */
static void content_hidden(struct fcgi *f, const struct fcgi_dir *d, uint32_t n,
			   const struct clew_feed *feed)
{
	if (!is_open(f) || d->id != f->id || !n)
		return;
	switch (d->type) {
	case FCGI_PARAMS:
		f->incomplete |= CLEW_INC_REQUEST_HEAD;
		break;
	case FCGI_STDIN:
		f->req_body += n;
		break;
	case FCGI_STDOUT:
		head_cut(f);
		answer_begins(f, feed);
		if (!f->answered) /* where the body begins is not known */
			answer(f, CLEW_INC_RESPONSE_HEAD | CLEW_INC_RESPONSE_BODY);
		f->resp_body += n;
		break;
	default:
		break;
	}
}

static void params_content(struct fcgi *f, const uint8_t *p, size_t n)
{
	/* behind a hole nobody knows where a pair begins */
	if (f->phase != FCGI_HEAD || f->incomplete & CLEW_INC_REQUEST_HEAD)
		return;
	if (fcgi_params__keep(&f->params, f->sink, p, n))
		f->incomplete |= CLEW_INC_REQUEST_HEAD;
}

static void stdout_content(struct fcgi *f, const uint8_t *p, size_t n, const struct clew_feed *feed)
{
	size_t used;

	head_cut(f);
	answer_begins(f, feed);
	if (!f->answered) {
		used = fcgi_reply__feed(&f->reply, p, n);
		n -= used;
		if (f->reply.over)
			answer(f, 0);
	}
	f->resp_body += n;
}

static void content(struct fcgi *f, struct fcgi_dir *d, const uint8_t *p, size_t n,
		    const struct clew_feed *feed)
{
	if (d->type == FCGI_BEGIN || d->type == FCGI_END)
		return; /* the role, whether to close, the exit status: not needed */
	if (!is_open(f) || d->id != f->id)
		return;
	if (d->type == FCGI_PARAMS) {
		params_content(f, p, n);
	} else if (d->type == FCGI_STDIN) {
		head_cut(f);
		f->req_body += n;
		f->req_end_ts = feed->ts;
	} else if (d->type == FCGI_STDOUT) {
		stdout_content(f, p, n, feed);
	}
}

/* A record's header is complete. */
static void record_begins(struct fcgi *f, struct fcgi_dir *d, const struct clew_feed *feed)
{
	if (d->type == FCGI_BEGIN) {
		begin(f, d, feed);
		return;
	}
	if (!is_open(f) || d->id != f->id)
		return;
	if (d->type == FCGI_ABORT)
		f->aborted = 1;
	if (d->content)
		return;
	/* the end of a stream */
	if (d->type == FCGI_PARAMS && f->phase == FCGI_HEAD)
		head_over(f, feed, 0);
	else if (d->type == FCGI_STDIN)
		request_over(f, feed->ts);
}

/* All content has passed. */
static void record_over(struct fcgi *f, struct fcgi_dir *d, uint64_t ts)
{
	if (d->type == FCGI_END && is_open(f) && d->id == f->id)
		end_seen(f, ts, 0);
}

static void next_record(struct fcgi_dir *d)
{
	d->state = FCGI_HEADER;
	d->have = 0;
}

/* No record stands where one should. */
static void lose(struct fcgi *f, struct fcgi_dir *d)
{
	d->state = FCGI_LOST;
	if (!is_open(f))
		return;
	if (d == &f->req) {
		head_cut(f);
		if (f->phase == FCGI_BODY)
			f->incomplete |= CLEW_INC_REQUEST_BODY;
	} else if (!f->answering) {
		drop(f, CLEW_XDROP_GAP); /* rule 3 */
	} else {
		if (!f->answered)
			answer(f, CLEW_INC_RESPONSE_HEAD);
		f->incomplete |= CLEW_INC_RESPONSE_BODY;
		if (f->ex)
			f->ex->incomplete |= CLEW_INC_RESPONSE_BODY;
	}
}

/* ---- one step of a direction: it consumes bytes or leaves its state -------------------------- */

static void count_wire(struct fcgi *f, const struct fcgi_dir *d, uint64_t n)
{
	if (!is_open(f))
		return;
	if (d == &f->req)
		f->req_wire += n;
	else
		f->resp_wire += n;
}

static void step_header(struct fcgi *f, struct fcgi_dir *d, struct cursor *c)
{
	size_t n = FCGI_HEADER_LEN - d->have;

	if (n > c->n - c->at)
		n = c->n - c->at;
	if (!d->have) {
		d->begin_ts = c->feed->ts;
		d->begin_pos = c->feed->pos + c->at;
	}
	memcpy(d->raw + d->have, c->p + c->at, n);
	d->have = (uint8_t)(d->have + n);
	c->at += n;
	d->last_ts = c->feed->ts;
	if (d->have < FCGI_HEADER_LEN)
		return;
	if (d->raw[1] != FCGI_BEGIN) /* that is not of what is open now */
		count_wire(f, d, FCGI_HEADER_LEN);
	if (!is_header(f, d, d->raw)) {
		lose(f, d);
		f->junk += FCGI_HEADER_LEN;
		return;
	}
	d->type = d->raw[1];
	d->id = get_u16(d->raw + 2);
	d->content = get_u16(d->raw + 4);
	d->padding = d->raw[6];
	d->state = FCGI_CONTENT;
	record_begins(f, d, c->feed);
	if (!d->content && !d->padding)
		next_record(d);
}

/* `n` bytes of the record have passed, at most all that are left of it. */
static void advance(struct fcgi *f, struct fcgi_dir *d, uint32_t n, uint64_t ts)
{
	bool any = d->content;

	d->last_ts = ts;
	if (n < d->content) {
		d->content = (uint16_t)(d->content - n);
		return;
	}
	n -= d->content;
	d->content = 0;
	d->padding = (uint8_t)(d->padding - n);
	if (any)
		record_over(f, d, ts);
	if (!d->padding)
		next_record(d);
}

static void step_content(struct fcgi *f, struct fcgi_dir *d, struct cursor *c)
{
	uint32_t left = (uint32_t)d->content + d->padding, n = left;

	if (n > c->n - c->at)
		n = (uint32_t)(c->n - c->at);
	count_wire(f, d, n);
	if (d->content)
		content(f, d, c->p + c->at, n < d->content ? n : d->content, c->feed);
	c->at += n;
	advance(f, d, n, c->feed->ts);
}

/* Does a record of the open request begin here, or a request? A body may hold anything. */
static bool resumes(const struct fcgi *f, const struct fcgi_dir *d, const struct cursor *c)
{
	const uint8_t *h = c->p;

	if (c->at || !c->boundary || c->n < FCGI_HEADER_LEN || h[7] || !is_header(f, d, h))
		return false;
	if (h[1] == FCGI_BEGIN)
		return true;
	return is_open(f) && get_u16(h + 2) == f->id && get_u16(h + 2);
}

/* Is the end of the request's body the last that is seen of these bytes? */
static bool ends_request(const struct fcgi *f, const uint8_t *p, size_t n)
{
	if (n < FCGI_HEADER_LEN)
		return false;
	p += n - FCGI_HEADER_LEN;
	return p[0] == FCGI_VERSION && p[1] == FCGI_STDIN && get_u16(p + 2) == f->id && !p[4] &&
	       !p[5] && !p[6] && !p[7];
}

/*
 * Likewise END. Of a call's last eight bytes, where no more are known, what can be told is that
 * they would be its content: exit status and protocol status 0, three bytes whatever they may be.
 */
static bool ends_answer(const struct fcgi *f, const uint8_t *p, size_t n, bool tail)
{
	static const uint8_t zero[5];

	if (tail)
		return n == CLEW_TAIL_MAX && !memcmp(p, zero, sizeof(zero));
	if (n < 2 * FCGI_HEADER_LEN)
		return false;
	p += n - 2 * FCGI_HEADER_LEN;
	return is_header(f, &f->resp, p) && p[1] == FCGI_END && get_u16(p + 2) == f->id && !p[6] &&
	       !p[7];
}

static void step_lost(struct fcgi *f, struct fcgi_dir *d, struct cursor *c)
{
	size_t n = c->n - c->at;

	if (resumes(f, d, c)) {
		next_record(d);
		return;
	}
	d->last_ts = c->feed->ts;
	count_wire(f, d, n);
	if (!is_open(f)) {
		f->junk = n > FCGI_JUNK_MAX ? FCGI_JUNK_MAX + 1 : f->junk + (uint32_t)n;
		if (f->junk > FCGI_JUNK_MAX)
			f->dead = CLEW_PROTO_INVALID;
	} else if (d == &f->req && ends_request(f, c->p + c->at, n)) {
		request_over(f, c->feed->ts);
		next_record(d);
	} else if (d == &f->resp && ends_answer(f, c->p + c->at, n, !c->boundary)) {
		end_seen(f, c->feed->ts, CLEW_INC_RESPONSE_BODY);
		next_record(d);
	}
	c->at = c->n;
}

static enum clew_verdict feed_piece(struct fcgi *f, struct fcgi_dir *d, struct cursor *c)
{
	while (c->at < c->n && !f->dead) {
		switch (d->state) {
		case FCGI_HEADER:
			step_header(f, d, c);
			break;
		case FCGI_CONTENT:
			step_content(f, d, c);
			break;
		default:
			step_lost(f, d, c);
			break;
		}
	}
	return (enum clew_verdict)f->dead;
}

/* ---- holes ----------------------------------------------------------------------------------- */

/* The part of a hole that lies in the record in progress. Returns how much that is. */
static uint64_t hole_in_record(struct fcgi *f, struct fcgi_dir *d, uint64_t n,
			       const struct clew_feed *feed)
{
	uint32_t left = (uint32_t)d->content + d->padding;

	if (d->state != FCGI_CONTENT)
		return 0;
	if (n < left)
		left = (uint32_t)n;
	count_wire(f, d, left);
	content_hidden(f, d, left < d->content ? left : d->content, feed);
	advance(f, d, left, feed->ts);
	return left;
}

/*
 * The whole of a piece behind the record in progress is one record, of which the tail alone was
 * seen: the empty one that ends a stream, or END. (Nothing else of the sixteen bytes is content:
 * a record of at most eight bytes that are all zero would be read as END here.)
 */
static bool hidden_header(struct fcgi *f, struct fcgi_dir *d, uint64_t n, const uint8_t *tail,
			  size_t tail_n, const struct clew_feed *feed)
{
	if (d->state != FCGI_HEADER || d->have || !is_open(f))
		return false;
	if (d == &f->resp && n == 16 && f->answering && ends_answer(f, tail, tail_n, true)) {
		count_wire(f, d, n);
		end_seen(f, feed->ts, 0);
		return true;
	}
	/* nginx: the end of PARAMS and the end of STDIN are the last sixteen bytes it sends */
	if (d == &f->req && n == 16 && f->phase == FCGI_HEAD && ends_request(f, tail, tail_n)) {
		count_wire(f, d, n);
		head_over(f, feed, 0);
		request_over(f, feed->ts);
		return true;
	}
	return false;
}

/* ---- the contract ---------------------------------------------------------------------------- */

static int fastcgi__detect(const uint8_t *p, size_t n)
{
	static const uint8_t first[] = {FCGI_VERSION, FCGI_BEGIN};

	if (n < FCGI_HEADER_LEN)
		return memcmp(p, first, n < 2 ? n : 2) ? 0 : -1;
	if (p[0] != FCGI_VERSION || !get_u16(p + 2) || p[7])
		return 0;
	if (p[1] == FCGI_BEGIN)
		return get_u16(p + 4) == 8;
	if (p[1] == FCGI_STDOUT || p[1] == FCGI_STDERR)
		return 2;
	return p[1] == FCGI_END && get_u16(p + 4) == 8 ? 2 : 0;
}

static struct fcgi_dir *direction(struct fcgi *f, enum clew_dir dir)
{
	return dir == (f->client ? CLEW_SEND : CLEW_RECV) ? &f->req : &f->resp;
}

static void fastcgi__init(void *state, bool client, const struct clew_proto_sink *sink)
{
	struct fcgi *f = state;

	memset(f, 0, sizeof(*f));
	f->client = client;
	f->sink = sink;
}

static enum clew_verdict fastcgi__data(void *state, enum clew_dir dir, const uint8_t *p, size_t n,
				       const struct clew_feed *feed)
{
	struct fcgi *f = state;
	struct fcgi_dir *d = direction(f, dir);
	struct cursor c = {.p = p, .n = n, .boundary = true, .feed = feed};

	/* rule 4 */
	if (d == &f->resp && !is_open(f))
		return (enum clew_verdict)f->dead;
	return feed_piece(f, d, &c);
}

static enum clew_verdict fastcgi__skip(void *state, enum clew_dir dir, uint64_t n,
				       const uint8_t *tail, size_t tail_n, bool lost,
				       const struct clew_feed *feed)
{
	struct fcgi *f = state;
	struct fcgi_dir *d = direction(f, dir);
	struct clew_feed at = *feed;
	struct cursor c = {.p = tail, .feed = &at};
	uint64_t total = n;

	if (f->dead || (d == &f->resp && !is_open(f)))
		return (enum clew_verdict)f->dead;
	if (!tail || tail_n > n)
		tail_n = 0;
	if (lost) {
		f->missed = 1;
		f->incomplete |= CLEW_INC_GAP;
	}
	/* what the record in progress covers, but for bytes that are known */
	n -= hole_in_record(f, d, n - tail_n, feed);
	if (!is_open(f) && d == &f->resp)
		return (enum clew_verdict)f->dead;
	if (n > tail_n) {
		if (!lost && hidden_header(f, d, n, tail, tail_n, feed))
			return (enum clew_verdict)f->dead;
		lose(f, d);
		count_wire(f, d, n - tail_n);
	}
	c.n = tail_n;
	c.boundary = total == tail_n;
	at.pos += total - tail_n;
	return feed_piece(f, d, &c);
}

static void requests_eof(struct fcgi *f)
{
	head_cut(f);
	if (f->phase == FCGI_BODY && f->req_body < f->length)
		f->incomplete |= CLEW_INC_REQUEST_BODY;
}

static void responses_eof(struct fcgi *f, uint64_t ts)
{
	uint16_t incomplete = 0;

	if (!is_open(f))
		return;
	if (f->answering) {
		incomplete = CLEW_INC_RESPONSE_BODY;
		if (f->resp.state != FCGI_LOST)
			incomplete |= CLEW_INC_ABORTED;
		ts = f->resp.last_ts;
	}
	finish(f, ts, incomplete);
}

static void fastcgi__eof(void *state, enum clew_dir dir, uint64_t ts)
{
	struct fcgi *f = state;
	struct fcgi_dir *d = direction(f, dir);

	if (f->dead || d->eof)
		return;
	d->eof = 1;
	if (d == &f->req)
		requests_eof(f);
	else
		responses_eof(f, ts);
}

static void fastcgi__close(void *state, uint64_t ts)
{
	struct fcgi *f = state;

	if (!f->dead && is_open(f)) {
		requests_eof(f);
		responses_eof(f, ts);
	}
	drop(f, CLEW_XDROP_UNANSWERED); /* none is left */
}

const struct clew_proto_ops clew_fastcgi = {
	.name = "fastcgi",
	.size = sizeof(struct fcgi),
	.detect = fastcgi__detect,
	.init = fastcgi__init,
	.data = fastcgi__data,
	.skip = fastcgi__skip,
	.eof = fastcgi__eof,
	.close = fastcgi__close,
};

_Static_assert(sizeof(struct fcgi) <= 512, "an idle connection stays small");
