/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - a small streaming JSON writer (RFC 8259) into a growable buffer with a cap.
 *
 * Calls need no checking one by one: after the first failure the writer ignores all others and
 * `err` says why (-ENOMEM, -EMSGSIZE). Commas are set by the writer; that objects and arrays
 * are closed in the right order is the caller's business.
 */
#ifndef CLEW_BASE_JSON_H
#define CLEW_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clew_json {
	char *p; /* owned; not NUL terminated */
	size_t len, cap, max;
	bool comma; /* a value precedes */
	int err;
};

/* Empty, without memory yet; at most `max` bytes. */
void clew_json__init(struct clew_json *j, size_t max);
/* Forget the text, keep the memory (unless it is large). */
void clew_json__reset(struct clew_json *j);
void clew_json__free(struct clew_json *j);

void clew_json__obj(struct clew_json *j);
void clew_json__obj_end(struct clew_json *j);
void clew_json__arr(struct clew_json *j);
void clew_json__arr_end(struct clew_json *j);
/* `key` is plain ASCII without quotes: a name of ours */
void clew_json__key(struct clew_json *j, const char *key);
/* Any bytes: escaped, ill-formed UTF-8 replaced by U+FFFD. */
void clew_json__str(struct clew_json *j, const char *p, size_t n);
void clew_json__cstr(struct clew_json *j, const char *s);
void clew_json__u64(struct clew_json *j, uint64_t v);
/* 64-bit integers as protobuf's JSON mapping has them: in quotes */
void clew_json__u64_str(struct clew_json *j, uint64_t v);
void clew_json__i64_str(struct clew_json *j, int64_t v);
/* NaN and infinities become the strings of protobuf's JSON mapping */
void clew_json__double(struct clew_json *j, double v);
void clew_json__bool(struct clew_json *j, bool v);
void clew_json__hex(struct clew_json *j, const uint8_t *p, size_t n);
/* Raw bytes between values, e.g. a line feed. */
void clew_json__raw(struct clew_json *j, const char *p, size_t n);

/*
 * For texts that are put together without the writer (json_put.h): where at least n bytes may be
 * written, NULL after a failure. What was written counts once `len` says so; commas are the
 * caller's business then.
 */
bool clew_json__grow(struct clew_json *j, size_t n);
/* What clew_json__str() writes between its quotes. */
void clew_json__text(struct clew_json *j, const char *p, size_t n);

static inline char *clew_json__room(struct clew_json *j, size_t n)
{
	if (j->err || (j->cap - j->len < n && !clew_json__grow(j, n)))
		return NULL;
	return j->p + j->len;
}

#endif
