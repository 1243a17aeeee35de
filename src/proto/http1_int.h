/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_int.h - shared by the files of the HTTP/1 parser, and by its tests.
 *
 * http1.c       the two directions of a connection, the contract's entry points
 * http1_head.c  a message's head: first line and the few headers that matter
 * http1_body.c  where a body ends
 * http1_pair.c  which response answers which request, and when that is no longer certain
 */
#ifndef CLEW_PROTO_HTTP1_INT_H
#define CLEW_PROTO_HTTP1_INT_H

#include <clew/ledger.h>
#include <clew/proto.h>

#include "head.h"

#define HTTP1_HEAD_MAX	   65536 /* a head that is split over pieces is kept up to this size */
#define HTTP1_PIPELINE_MAX 256
#define HTTP1_JUNK_MAX	   65536 /* bytes that are no message, after which the parser gives up */
#define HTTP1_FRAMING_MAX  65536 /* bytes of chunk extensions, or of trailers, per message */
#define HTTP1_FEW	   4	 /* outstanding requests that need no allocation */
#define HTTP1_TAIL	   7	 /* "\r\n0\r\n\r\n", the end of a chunked body without trailers */

/* ---- http1_head.c ---------------------------------------------------------------------------- */

enum http1_coding { HTTP1_TE_NONE = 0, HTTP1_TE_CHUNKED, HTTP1_TE_OTHER };

struct http1_msg {
	uint32_t len;	 /* of the head, blank line included */
	uint64_t length; /* Content-Length, when has_length */
	uint16_t status;
	uint8_t minor;
	uint8_t response;
	uint8_t has_length;
	uint8_t coding; /* enum http1_coding: the last transfer coding */
	uint8_t nr_chunked;
	uint8_t doubt; /* where the body ends cannot be relied on */
	uint8_t cut;   /* a header that matters was folded or did not fit */
	uint8_t last;  /* what the previous header line was, for folded lines */
	struct proto_head h;
};

enum http1_head_result { HTTP1_HEAD_BAD = -1, HTTP1_HEAD_PART = 0, HTTP1_HEAD_OK = 1 };

/*
 * http1_head__parse - parse the head at p. PART: it does not end within n bytes, but its first
 * line, if complete, is fine. BAD: the first line is no request or status line. Slices of `msg`
 * point into p. With `partial` the lines that are complete are all there will ever be: OK means
 * that the first line is among them.
 */
int http1_head__parse(const char *p, size_t n, bool response, bool partial, struct http1_msg *msg);
/* May p be the beginning of a message, with one of the common methods? */
bool http1_head__starts(const char *p, size_t n, bool response);
/* As above, with any method. */
bool http1_head__could(const char *p, size_t n, bool response);
int http1_head__detect(const uint8_t *p, size_t n);
bool http1_head__is(const struct proto_slice *s, const char *text);
/* Offset behind the blank line in p, searching line ends from `from` on; 0: not there. */
size_t http1_head__end(const char *p, size_t n, size_t from);

/* ---- http1_body.c ---------------------------------------------------------------------------- */

enum http1_state {
	HTTP1_START = 0, /* the next byte begins a message */
	HTTP1_HEAD,	 /* a part of a head is kept */
	HTTP1_BODY,
	HTTP1_HUNT,   /* in step with nothing: a message may begin with the next piece */
	HTTP1_TUNNEL, /* behind a CONNECT that is not answered yet */
};

enum http1_framing {
	HTTP1_LENGTH = 1, /* `remain` bytes to go */
	HTTP1_CHUNKED,
	HTTP1_CLOSE, /* ends with the connection */
	HTTP1_LOST,  /* nobody knows */
};

enum http1_chunk {
	HTTP1_CHUNK_SIZE = 0, /* hex digits */
	HTTP1_CHUNK_EXT,      /* up to CR */
	HTTP1_CHUNK_SIZE_LF,
	HTTP1_CHUNK_DATA,
	HTTP1_CHUNK_CR,
	HTTP1_CHUNK_LF,
	HTTP1_TRAILER,	    /* first byte of a trailer line, or of the blank one */
	HTTP1_TRAILER_LINE, /* up to LF */
	HTTP1_TRAILER_LF,   /* LF of the blank line */
};

struct http1_head_buf {
	const struct clew_proto_sink *sink; /* borrowed: its keep() has given the room */
	struct clew_feed first; /* the piece with the head's first byte; pos is that byte's */
	uint32_t len, size, scanned;
	char data[];
};

struct http1_dir {
	uint8_t state;	 /* enum http1_state */
	uint8_t framing; /* enum http1_framing, in HTTP1_BODY */
	uint8_t chunk;	 /* enum http1_chunk */
	uint8_t digits;	 /* of the chunk size so far */
	uint8_t chunked; /* framing was HTTP1_CHUNKED before it was LOST */
	uint8_t lost;	 /* framing was lost because events were */
	uint8_t guess;	 /* this head was found by hunting */
	uint8_t unasked; /* when this response began, no request waited for one */
	uint8_t eof;
	uint8_t tail_n;
	uint8_t tail[HTTP1_TAIL]; /* last bytes seen, in HTTP1_LOST */
	uint32_t framing_bytes;	  /* chunk extensions and trailers; bytes in HTTP1_TUNNEL */
	uint64_t remain;
	uint64_t last_ts;
	struct http1_head_buf *head; /* owned; NULL unless HTTP1_HEAD */
};

/* A guess must have one of the common methods: it may have begun in the middle of another. */
bool http1_head__plausible(const struct http1_dir *d, const char *p, size_t n, bool response);
/*
 * Add n bytes to the head that is kept, or begin to keep one with `feed` as its first piece (not
 * used otherwise). The caller watches HTTP1_HEAD_MAX. 0 or -ENOMEM, with nothing changed: no
 * memory, or the sink allows no more of it.
 */
int http1_head__keep(struct http1_dir *d, const struct clew_proto_sink *sink,
		     const struct clew_feed *feed, const uint8_t *p, size_t n);
void http1_head__free(struct http1_head_buf *buf); /* NULL is fine */

enum http1_body_result { HTTP1_BODY_BAD = -1, HTTP1_BODY_MORE = 0, HTTP1_BODY_END = 1 };

/*
 * http1_body__feed - consume body bytes (LENGTH, CHUNKED, CLOSE). ret_used: bytes consumed;
 * ret_body: of these, body after chunk decoding.
 */
int http1_body__feed(struct http1_dir *d, const uint8_t *p, size_t n, size_t *ret_used,
		     uint64_t *ret_body);
/* How many of n unseen bytes are certainly inside this body (and are now counted as such). */
uint64_t http1_body__cover(struct http1_dir *d, uint64_t n);
/* The LOST framing: remember the last bytes; true when they are a chunked body's end. */
bool http1_body__tail(struct http1_dir *d, const uint8_t *p, size_t n, bool whole_piece);

/* ---- http1_pair.c ---------------------------------------------------------------------------- */

enum http1_slot_flags {
	HTTP1_IS_HEAD = 1 << 0,
	HTTP1_IS_CONNECT = 1 << 1,
	HTTP1_REQ_DONE = 1 << 2,
	HTTP1_RESP = 1 << 3, /* the final response's head is complete */
	HTTP1_RESP_DONE = 1 << 4,
};

struct http1_slot {
	struct clew_exchange *ex; /* NULL: refused by the sink; keeps its place in the queue */
	uint32_t flags;
};

struct http1 {
	const struct clew_proto_sink *sink; /* borrowed */
	struct http1_dir req, resp;
	struct http1_slot *ring; /* owned; NULL: `few` is used */
	struct http1_slot few[HTTP1_FEW];
	uint16_t first, count, size;
	uint8_t client;
	uint8_t dead; /* enum clew_verdict: final */
	uint8_t seen; /* any message at all */
	/* See http1_pair.c. */
	uint8_t doubt; /* 1 + enum clew_exchange_drop; 0: in step */
	uint8_t soft;
	uint8_t suspect;
	uint8_t crossed; /* unassigned response bytes passed while a request's head was cut */
	uint8_t orphan;	 /* the response in progress answers no known request */
	uint8_t pipelined;
	uint8_t alternated;
	uint8_t probe, probe_answers, probe_flags, probe_bad;
	uint32_t junk;
	uint64_t orphan_ts;
};

/* A request's first byte, perhaps in a part of its head (rules 5 and 6). */
void http1_pair__request_begins(struct http1 *h);
/*
 * A request's head: makes the exchange and queues it, or drops it when its answer could not be
 * told. `first` is the piece with its first byte (pos: that byte's), `feed` the piece that
 * completed the head.
 */
void http1_pair__request(struct http1 *h, const struct http1_msg *msg,
			 const struct clew_feed *first, const struct clew_feed *feed,
			 uint16_t incomplete);
void http1_pair__request_end(struct http1 *h, uint64_t ts, uint16_t incomplete);
/* A final response's head: attaches it to the request it answers. Returns the slot's flags. */
uint32_t http1_pair__response(struct http1 *h, const struct http1_msg *msg,
			      const struct clew_feed *first, uint16_t incomplete);
void http1_pair__response_end(struct http1 *h, uint64_t ts, uint16_t incomplete);
/* A response that answers no known request was here (rule 6). */
void http1_pair__unasked(struct http1 *h, uint64_t ts);
/* Later requests can no longer be paired; those that are queued can. */
void http1_pair__doubt(struct http1 *h, enum clew_exchange_drop why);
/* Of the queued requests only one whose response has begun is still certain. */
void http1_pair__drop_unanswered(struct http1 *h, enum clew_exchange_drop why);
/* No response will come any more. */
void http1_pair__finish_unanswered(struct http1 *h, uint64_t ts);
void http1_pair__drop_all(struct http1 *h, enum clew_exchange_drop why);
void http1_pair__upgraded(struct http1 *h, uint64_t ts);
void http1_pair__free(struct http1 *h);
/* The exchange whose request, or response, is in progress; NULL: none. */
struct clew_exchange *http1_pair__sending(struct http1 *h);
struct clew_exchange *http1_pair__answering(struct http1 *h);
/* Is there a request whose final response has not begun? */
bool http1_pair__waiting(const struct http1 *h);

#endif
