/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head.h - what a span needs of a request's head, whichever protocol carried it: HTTP/1 in header
 * lines, FastCGI in parameters. The parsers fill struct proto_head with what lies in their bytes,
 * one function copies it into the exchange.
 */
#ifndef CLEW_PROTO_HEAD_H
#define CLEW_PROTO_HEAD_H

#include <clew/proto.h>

struct proto_slice {
	const char *p; /* borrowed from the head's bytes */
	uint32_t n;
};

enum proto_header {
	PROTO_HOST,
	PROTO_TRACEPARENT,
	PROTO_USER_AGENT,
	PROTO_FORWARDED,
	PROTO_X_FORWARDED_FOR,
	PROTO_X_FORWARDED_PROTO,
	PROTO_CONTENT_TYPE,
	PROTO_HEADERS,
};

#define PROTO_TRACESTATES 8

struct proto_head {
	struct proto_slice method, target;
	struct proto_slice header[PROTO_HEADERS];
	uint32_t nr_tracestates;
	uint8_t duplicate_traceparent;
	struct proto_slice tracestate[PROTO_TRACESTATES]; /* set up to nr_tracestates */
};

/*
 * Copy the texts, as far as there is room; a target that is cut makes the exchange's request head
 * incomplete.
 */
void proto_head__put(const struct proto_head *head, struct clew_exchange *ex);

#endif
