/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fastcgi_int.h - shared by the files of the FastCGI parser, and by its tests.
 *
 * fastcgi.c	    records of a connection's two directions, the contract's entry points
 * fastcgi_head.c   a request's parameters, and the CGI header block of its answer
 */
#ifndef CLEW_PROTO_FASTCGI_INT_H
#define CLEW_PROTO_FASTCGI_INT_H

#include <clew/ledger.h>
#include <clew/proto.h>

#include "head.h"

#define FCGI_VERSION	1
#define FCGI_HEADER_LEN 8
#define FCGI_PARAMS_MAX 65536 /* parameters of one request, kept until they are complete */
#define FCGI_JUNK_MAX	65536 /* bytes that are no record, after which the parser gives up */
#define FCGI_LINE	24    /* of each line of the answer's header block: what is looked at */

/* FastCGI 1.0, 8: record types. */
enum fcgi_type {
	FCGI_BEGIN = 1,
	FCGI_ABORT,
	FCGI_END,
	FCGI_PARAMS,
	FCGI_STDIN,
	FCGI_STDOUT,
	FCGI_STDERR,
	FCGI_DATA,
	FCGI_GET_VALUES,
	FCGI_GET_VALUES_RESULT,
	FCGI_UNKNOWN_TYPE,
};

/* ---- fastcgi_head.c -------------------------------------------------------------------------- */

/* The bytes of a request's PARAMS stream. */
struct fcgi_params {
	const struct clew_proto_sink *sink; /* borrowed: its keep() has given the room */
	uint32_t len, size;
	uint8_t data[];
};

/*
 * fcgi_params__keep - add n bytes; *params may be NULL at first. 0, or -ENOMEM with nothing
 * changed: no memory, more than FCGI_PARAMS_MAX, or the sink allows no more.
 */
int fcgi_params__keep(struct fcgi_params **params, const struct clew_proto_sink *sink,
		      const uint8_t *p, size_t n);
void fcgi_params__free(struct fcgi_params *params); /* NULL is fine */

#define FCGI_MADE 1024 /* texts that are put together from several parameters */

struct fcgi_request {
	struct proto_head head; /* points into the parameters, and into `made` */
	uint64_t length;	/* CONTENT_LENGTH; 0 if there is none */
	uint8_t cut;		/* the last pair is not whole */
	char made[FCGI_MADE];
};

/* What the n bytes of name-value pairs (FastCGI 1.0, 3.4) say of the request. */
void fcgi_params__parse(const uint8_t *p, size_t n, struct fcgi_request *ret);

/* The CGI header block of an answer (RFC 3875 6.2), byte by byte. */
struct fcgi_reply {
	uint16_t status; /* 0: no Status line so far */
	uint8_t location;
	uint8_t n;    /* bytes in `line` */
	uint8_t over; /* the block is complete */
	char line[FCGI_LINE];
};

/* Consumes up to the end of the block. Returns how many bytes that were. */
size_t fcgi_reply__feed(struct fcgi_reply *r, const uint8_t *p, size_t n);
/* The answer's status, the block being complete: RFC 3875 6.3.3, 6.2.3. */
uint16_t fcgi_reply__status(const struct fcgi_reply *r);

/* ---- fastcgi.c ------------------------------------------------------------------------------- */

enum fcgi_state {
	FCGI_HEADER = 0, /* `have` bytes of a record's header are in `raw` */
	FCGI_CONTENT,	 /* `content` bytes to go, then `padding` */
	FCGI_LOST,	 /* in step with nothing: a record may begin with the next piece */
};

struct fcgi_dir {
	uint8_t state; /* enum fcgi_state */
	uint8_t type;  /* enum fcgi_type, of the record */
	uint16_t id;
	uint16_t content;
	uint8_t padding;
	uint8_t have;
	uint8_t raw[FCGI_HEADER_LEN]; /* the header; then the content of BEGIN and END */
	uint8_t eof;
	uint64_t begin_ts, begin_pos; /* of the record's first byte */
	uint64_t last_ts;
};

/* How far the request is. Nothing is open before BEGIN and behind END. */
enum fcgi_phase { FCGI_IDLE = 0, FCGI_HEAD, FCGI_BODY, FCGI_SENT };

struct fcgi {
	const struct clew_proto_sink *sink; /* borrowed */
	struct fcgi_dir req, resp;
	struct fcgi_params *params; /* owned; NULL unless FCGI_HEAD */
	struct clew_exchange *ex;   /* NULL: refused by the sink, dropped, or no head yet */
	struct fcgi_reply reply;
	struct clew_feed first;	 /* the piece with the request's first byte; pos is that byte's */
	struct clew_feed answer; /* the piece with the answer's first byte */
	uint64_t length;	 /* CONTENT_LENGTH, or 0 */
	uint64_t req_wire, resp_wire, req_body, resp_body;
	uint64_t req_end_ts;
	uint32_t junk;
	uint16_t id;
	uint16_t incomplete; /* enum clew_incomplete, of the open request */
	uint8_t phase;	     /* enum fcgi_phase */
	uint8_t answering;   /* its first byte was seen */
	uint8_t answered;    /* its header block is complete, or will never be */
	uint8_t missed;	     /* events were lost since the request began */
	uint8_t aborted;     /* ABORT_REQUEST was seen */
	uint8_t client;
	uint8_t dead; /* enum clew_verdict: final */
};

#endif
