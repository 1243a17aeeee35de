/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_int.h - shared by the files that mask what a recording must not hold.
 *
 * record.c	      HTTP/1, the file
 * record_fastcgi.c   FastCGI
 */
#ifndef CLEW_CAPTURE_RECORD_INT_H
#define CLEW_CAPTURE_RECORD_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_KEPT 60 /* a query key that matters, each byte of it percent-encoded */

/* Where in a request line. */
enum part { METHOD = 0, TARGET, KEY, VALUE, VERSION };

/* FastCGI: where in a direction. */
struct record_fcgi {
	uint8_t state;	/* record_fastcgi.c */
	uint8_t have;	/* bytes of the header */
	uint8_t raw[8]; /* the header */
	uint8_t pair;	/* where in a name-value pair */
	uint8_t keeps;	/* what is to be done with its value */
	uint8_t digits; /* bytes of a length that follow */
	uint32_t name, value;
	uint16_t content;
	uint8_t padding;
	bool block; /* in an answer's header block */
};

/* One direction of a connection. */
struct flow {
	uint64_t remain; /* of the body, or of a chunk and the line end behind it */
	uint32_t next;	 /* stream position */
	uint8_t where;
	bool known; /* `next` is */
	bool response, bodiless, upgraded, first_line, trailer, chunked, has_length;
	bool colon, secret;   /* in a head: behind the name; the value is to be masked */
	bool origin, connect; /* request line: the target begins with '/'; the method */
	uint8_t part, slashes;
	uint8_t name_n, value_n;
	char name[NAME_KEPT]; /* of the header or parameter; of the query key */
	char value[7];	      /* the last characters, for "chunked" */
	struct record_fcgi fc;
};

void record__mask(uint8_t *p, size_t n);
bool record__is_name(const struct flow *f, const char *name);
void record__keep_name(struct flow *f, uint8_t c);
/* A byte of a request line, with what follows it. Returns what to record in its place. */
uint8_t record__request_byte(struct flow *f, const uint8_t *p, size_t n);

/* Do these bytes begin a FastCGI request? */
bool record_fcgi__begins(const uint8_t *p, size_t n);
/* Mask n captured bytes of a direction, `other` being the opposite one. */
void record_fcgi__follow(struct flow *f, struct flow *other, uint8_t *p, size_t n);
/* n bytes were not captured, the tail holds the last ones: mask it. */
void record_fcgi__unseen(struct flow *f, uint32_t n, uint8_t *tail, size_t tail_n);
/* Bytes were lost. */
void record_fcgi__lost(struct flow *f);

#endif
