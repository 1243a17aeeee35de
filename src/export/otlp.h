/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp.h - the OTLP shapes inside the export stage: spans and metrics into protobuf or JSON
 * bytes, and a receiver's answer back. Nothing here touches the network.
 */
#ifndef CLEW_EXPORT_OTLP_H
#define CLEW_EXPORT_OTLP_H

#include <stddef.h>
#include <stdint.h>

#include <clew/export.h>
#include <clew/span.h>

#include "base/json.h"

#define CLEW_OTLP_REQUEST_MAX (64u << 20)
#define CLEW_OTLP_USER_AGENT  "clew-otlp-exporter/" CLEW_VERSION

/*
 * Protobuf is written from the end to the front: a length is known when it is due, so every
 * byte is written once and nothing is measured before. The message is [p, end).
 */
struct clew_otlp_buf {
	uint8_t *base, *p, *end; /* base is owned */
	size_t max;
	int err; /* -ENOMEM, -EMSGSIZE: all later writes are ignored */
};

void clew_otlp_buf__init(struct clew_otlp_buf *b, size_t max);
void clew_otlp_buf__reset(struct clew_otlp_buf *b);
void clew_otlp_buf__free(struct clew_otlp_buf *b);

static inline size_t clew_otlp_buf__len(const struct clew_otlp_buf *b)
{
	return (size_t)(b->end - b->p);
}

/* The spans of one batch by resource: those of group g are order[first[g] .. first[g + 1]). */
struct clew_otlp_groups {
	uint32_t nr;
	uint32_t *order, *first; /* owned */
	uint32_t *gid, *slots;	 /* scratch, owned */
	size_t cap, nr_slots;
};

/* Returns 0 or -ENOMEM. Groups and the spans in each keep the order of the batch. */
int clew_otlp_groups__make(struct clew_otlp_groups *g, struct clew_span *const *spans, size_t n);
void clew_otlp_groups__free(struct clew_otlp_groups *g);

/*
 * Spans were written by another thread: ask for the next one while this one is encoded. Half the
 * time goes into these misses otherwise. 1 KB is a usual span with its attributes and text.
 */
static inline void clew_otlp__fetch(const struct clew_span *s)
{
	for (size_t off = 0; off < 1024; off += 64)
		__builtin_prefetch((const char *)s + off);
}

/*
 * ExportTraceServiceRequest of the batch into `b` (reset first). 0, -ENOMEM, or -EMSGSIZE when
 * it would be larger than b->max.
 */
int clew_otlp__encode(struct clew_otlp_buf *b, struct clew_otlp_groups *g,
		      struct clew_span *const *spans, size_t n);
/* ExportMetricsServiceRequest; metrics of one name have to stand together. */
int clew_otlp__encode_metrics(struct clew_otlp_buf *b, const struct clew_metric *m, size_t n,
			      const struct clew_resource *res, uint64_t start_ns, uint64_t now_ns);

/* The same in OTLP/JSON, appended to `j`; the result is j->err. */
int clew_otlp__json(struct clew_json *j, struct clew_otlp_groups *g, struct clew_span *const *spans,
		    size_t n);
int clew_otlp__json_metrics(struct clew_json *j, const struct clew_metric *m, size_t n,
			    const struct clew_resource *res, uint64_t start_ns, uint64_t now_ns);

/* Metrics m[0 .. return value) have one name. */
size_t clew_otlp__same_metric(const struct clew_metric *m, size_t n);

/* ---- answers: bytes from outside, at most CLEW_OTLP_ANSWER_MAX of them ---------------------- */
#define CLEW_OTLP_ANSWER_MAX (64u << 10)

struct clew_otlp_answer {
	uint64_t rejected; /* spans or data points */
	uint32_t retry_after_ms;
	uint8_t has_retry_info;
	char message[120]; /* NUL terminated, empty: none */
};

/* An Export*ServiceResponse. 0 or -EBADMSG; *ret is zeroed in any case. */
int clew_otlp__answer_pb(const void *p, size_t n, struct clew_otlp_answer *ret);
int clew_otlp__answer_json(const char *p, size_t n, struct clew_otlp_answer *ret);
/* A google.rpc.Status: its message and RetryInfo. */
int clew_otlp__status_pb(const void *p, size_t n, struct clew_otlp_answer *ret);
int clew_otlp__status_json(const char *p, size_t n, struct clew_otlp_answer *ret);

#endif
