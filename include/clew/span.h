/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span.h - the OpenTelemetry span data model (opentelemetry-specification, trace/api.md and
 * opentelemetry-proto trace.proto), as clew hands it from stage to stage.
 *
 * A span is immutable once clew_span__seal() has run, and reference counted: each exporter
 * holds its own reference and encodes on its own thread. A span, its attributes and all its
 * strings are one allocation.
 */
#ifndef CLEW_SPAN_H
#define CLEW_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLEW_SPAN_ATTRS_MAX 128 /* OTel default AttributeCountLimit */

enum clew_attr_type {
	CLEW_ATTR_STR = 1,
	CLEW_ATTR_INT,
	CLEW_ATTR_BOOL,
	CLEW_ATTR_DOUBLE,
	CLEW_ATTR_STRV, /* string array */
};

struct clew_str {
	const char *p; /* not NUL terminated, may hold any byte; exporters make it valid UTF-8 */
	uint32_t n;
};

struct clew_attr {
	const char *key; /* NUL terminated, static or owned by the same span or resource */
	enum clew_attr_type type;
	uint32_t count; /* STRV: how many */
	union {
		struct clew_str str;
		int64_t i;
		bool b;
		double d;
		const struct clew_str *strv;
	};
};

/* What produced the spans: one per process. Immutable, reference counted, shared. */
struct clew_resource {
	int refs; /* atomic */
	uint32_t pid;
	uint32_t nr_attrs;
	struct clew_attr *attrs; /* service.name is always there */
	struct clew_str service_name;
	char *text; /* owns the strings */
	size_t text_len;
};

enum clew_span_kind {
	CLEW_SPAN_INTERNAL = 1, /* the numbers are opentelemetry-proto's Span.SpanKind */
	CLEW_SPAN_SERVER = 2,
	CLEW_SPAN_CLIENT = 3,
	CLEW_SPAN_PRODUCER = 4,
	CLEW_SPAN_CONSUMER = 5,
};

enum clew_status { CLEW_STATUS_UNSET = 0, CLEW_STATUS_OK = 1, CLEW_STATUS_ERROR = 2 };

/* How a span's parent is known; exported as the attribute `clew.link`. */
enum clew_link {
	CLEW_LINK_NONE = 0,	/* not known: the span is a root here */
	CLEW_LINK_INFERRED = 1, /* a strong rule with a known counter-example */
	CLEW_LINK_EXACT = 2,	/* proved by identity */
};

#define CLEW_SPAN_FLAG_SAMPLED	     0x01
#define CLEW_SPAN_FLAG_HAS_IS_REMOTE 0x100
#define CLEW_SPAN_FLAG_IS_REMOTE     0x200

struct clew_span_event {
	uint64_t ts_ns; /* unix */
	struct clew_str name;
	const struct clew_attr *attrs;
	uint32_t nr_attrs;
};

struct clew_span_link {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	struct clew_str trace_state;
	const struct clew_attr *attrs;
	uint32_t nr_attrs;
	uint32_t flags;
};

struct clew_span {
	int refs; /* atomic */
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t parent_span_id[8]; /* zero: a root */
	uint32_t flags;		   /* CLEW_SPAN_FLAG_* */
	enum clew_span_kind kind;
	enum clew_status status;
	enum clew_link link;
	uint64_t start_ns; /* unix */
	uint64_t end_ns;
	struct clew_str name;
	struct clew_str trace_state;
	struct clew_str status_message;
	uint32_t nr_attrs, dropped_attrs;
	uint32_t nr_events, dropped_events;
	uint32_t nr_links, dropped_links;
	struct clew_attr *attrs;
	struct clew_span_event *events;
	struct clew_span_link *links;
	struct clew_resource *resource; /* holds a reference */
	size_t text_used, text_size;
	char *text; /* strings live here, behind the arrays, in the same allocation */
};

static inline struct clew_str clew_str__lit(const char *s)
{
	return (struct clew_str){s, (uint32_t)__builtin_strlen(s)};
}

/*
 * clew_span__new - a zeroed span with room for `attrs` attributes and `text` bytes of strings.
 * Returns NULL when out of memory. refs is 1.
 */
struct clew_span *clew_span__new(uint32_t attrs, size_t text);
struct clew_span *clew_span__get(struct clew_span *span);
void clew_span__put(struct clew_span *span); /* NULL is fine */
/* The same for a batch; touches the count of a resource once per run of spans that share it. */
void clew_span__put_all(struct clew_span **spans, size_t n);

/*
 * Copy `n` bytes into the span's text; strings that do not fit are cut at what is left.
 */
struct clew_str clew_span__text(struct clew_span *span, const char *p, size_t n);

/*
 * Add an attribute; `key` must be static, the string is copied. Beyond the room that
 * clew_span__new() was asked for, the attribute is counted in dropped_attrs.
 */
void clew_span__str(struct clew_span *span, const char *key, const char *p, size_t n);
void clew_span__lit(struct clew_span *span, const char *key, const char *literal); /* not copied */
/* likewise not copied: static, or in the text of this span */
void clew_span__ref(struct clew_span *span, const char *key, struct clew_str value);
void clew_span__int(struct clew_span *span, const char *key, int64_t v);
void clew_span__bool(struct clew_span *span, const char *key, bool v);

/*
 * clew_resource__new - from `len` bytes of "key\0value\0" pairs (copied). `process.pid` becomes
 * an integer; `process.command_args` is split at \x1f into a string array. A missing
 * service.name becomes "unknown_service". Returns NULL when out of memory or malformed.
 */
struct clew_resource *clew_resource__new(uint32_t pid, const char *text, size_t len);
/* The same of another process: a child that runs its parent's program. NULL: out of memory. */
struct clew_resource *clew_resource__child(const struct clew_resource *res, uint32_t pid);
struct clew_resource *clew_resource__get(struct clew_resource *res);
void clew_resource__put(struct clew_resource *res);

#endif
