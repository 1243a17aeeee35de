/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto.h - the protocol stage: bytes of one connection in, exchanges out.
 *
 * An exchange is one request and its response, seen from one process. The connection stage
 * feeds each direction in stream order: bytes, and holes whose length is known. A parser keeps
 * all its state in its own struct, so input may split anywhere, and never allocates by a
 * length that came over the wire.
 */
#ifndef CLEW_PROTO_H
#define CLEW_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clew/event.h>
#include <clew/span.h>

struct clew_proto_ops;

/* Who was running when bytes crossed the socket, and which bytes. One per fed piece. */
struct clew_feed {
	uint64_t ts;  /* monotonic, ns */
	uint64_t pos; /* stream position of the first byte of this piece, 64 bits */
	uint32_t pid, tid, turn;
	uint64_t ctx, ref;
	uint8_t ctx_kind;
	uint16_t seg_flags;
	uint8_t watch;
};

enum clew_exchange_state {
	CLEW_EX_REQUEST = 1, /* the request's head is complete */
	CLEW_EX_REQUESTED,   /* the whole request was seen */
	CLEW_EX_RESPONSE,    /* the final response's head is complete */
	CLEW_EX_DONE,
};

/* What is not fully known of an exchange; any bit makes clew.complete = false. */
enum clew_incomplete {
	CLEW_INC_REQUEST_HEAD = 1 << 0, /* headers cut: some may be missing */
	CLEW_INC_REQUEST_BODY = 1 << 1, /* its length is not known */
	CLEW_INC_RESPONSE_HEAD = 1 << 2,
	CLEW_INC_RESPONSE_BODY = 1 << 3, /* end not seen: last byte time and size uncertain */
	CLEW_INC_ABORTED = 1 << 4,	 /* the connection ended before the response did */
	CLEW_INC_NO_RESPONSE = 1 << 5,	 /* no response at all was seen */
	CLEW_INC_GAP = 1 << 6,		 /* events were lost inside it */
};

/* A header value or other text, held in the exchange's own buffer. */
struct clew_text {
	uint32_t off, len; /* into clew_exchange.text; len 0 and off 0: absent */
};

/* What carried the HTTP request. */
enum clew_protocol {
	CLEW_HTTP1 = 0,
	CLEW_FASTCGI, /* as parameters, between a web server and its application */
};

#define CLEW_EXCHANGE_TEXT 1024 /* bytes for method, target and headers of one exchange */

struct clew_exchange {
	/* owned by the connection stage */
	struct clew_conn *conn;
	struct clew_exchange *next; /* in the connection's queue */

	/* filled in by the parser */
	uint8_t state;	    /* enum clew_exchange_state */
	uint8_t is_server;  /* this process received the request */
	uint8_t http_minor; /* HTTP/1.x */
	uint8_t resp_minor;
	uint16_t status;	       /* 0: no response, or it is not known (RESPONSE_HEAD) */
	uint16_t incomplete;	       /* enum clew_incomplete bits */
	uint8_t upgraded;	       /* 101, or 2xx to CONNECT: the connection left HTTP */
	uint8_t duplicate_traceparent; /* more than one traceparent header: not to be used */
	uint8_t protocol;	       /* enum clew_protocol */
	uint8_t pad;
	/*
	 * ts and pos are those of the request's first byte; who ran (pid ... seg_flags) is taken
	 * from the piece that completed the head: a Go server reads the first byte of a
	 * kept-alive connection's next request in another goroutine.
	 */
	struct clew_feed req;
	struct clew_feed resp; /* all of the final response's first piece */
	uint64_t req_end_ts;   /* its last byte */
	uint64_t resp_end_ts;
	uint64_t req_body, resp_body; /* body bytes as framed (after chunk decoding) */
	uint64_t req_wire, resp_wire; /* all bytes, head included */
	struct clew_text method, target, host, user_agent, traceparent, tracestate, forwarded,
		x_forwarded_for, x_forwarded_proto, content_type;
	uint32_t text_used;
	char text[CLEW_EXCHANGE_TEXT];

	/* owned by the correlate stage */
	void *node;
};

/* What a parser reports. `ex` stays valid until done() or dropped() has been called for it. */
struct clew_proto_sink {
	void *arg;
	/* A new exchange; NULL: refused (table full), the parser goes on without it. */
	struct clew_exchange *(*alloc)(void *arg);
	void (*request)(void *arg, struct clew_exchange *ex);  /* its head is complete */
	void (*response)(void *arg, struct clew_exchange *ex); /* final response's first byte */
	void (*done)(void *arg, struct clew_exchange *ex);     /* complete, or as far as known */
	/* not to become a span; reason is enum clew_exchange_drop */
	void (*dropped)(void *arg, struct clew_exchange *ex, int reason);
	/*
	 * May so many bytes more be kept until a message is complete? Negative: they are given
	 * back. NULL: any number.
	 */
	bool (*keep)(void *arg, int64_t bytes);
};

enum clew_verdict {
	CLEW_PROTO_MORE = 0, /* consumed, go on */
	CLEW_PROTO_INVALID,  /* not this protocol (any more): parser wants no more bytes */
	CLEW_PROTO_SWITCH,   /* upgraded: the rest is another protocol */
};

struct clew_proto_ops {
	const char *name;
	size_t size; /* of the parser's state */
	/*
	 * detect - do these first bytes of a direction look like the protocol?
	 * Returns 1 request, 2 response, 0 no, -1 not enough bytes to tell.
	 */
	int (*detect)(const uint8_t *p, size_t n);
	/* `client` 1: this process sends the requests; 0: receives them. `sink` is borrowed. */
	void (*init)(void *state, bool client, const struct clew_proto_sink *sink);
	/* bytes of one direction; `feed->pos` is that of p[0] */
	enum clew_verdict (*data)(void *state, enum clew_dir dir, const uint8_t *p, size_t n,
				  const struct clew_feed *feed);
	/*
	 * n bytes that are known to have crossed but were not captured; tail holds the last
	 * tail_n of them (0: not known). `lost` is true when an event was lost, false when
	 * the capture budget ended.
	 */
	enum clew_verdict (*skip)(void *state, enum clew_dir dir, uint64_t n, const uint8_t *tail,
				  size_t tail_n, bool lost, const struct clew_feed *feed);
	/* no more bytes in this direction (EOF or FIN seen) */
	void (*eof)(void *state, enum clew_dir dir, uint64_t ts);
	/* the connection is gone, or the agent stops: settle every open exchange, free buffers */
	void (*close)(void *state, uint64_t ts);
};

extern const struct clew_proto_ops clew_http1, clew_fastcgi;

/*
 * clew_proto__detect - which protocol do these first bytes of a direction speak? Returns as
 * detect() does; *ret is written in any case, with the protocol to try where none is certain.
 */
int clew_proto__detect(const uint8_t *p, size_t n, const struct clew_proto_ops **ret);

#endif
