/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - from an exchange and its place in the tree to an OpenTelemetry span.
 */
#ifndef CLEW_BUILD_H
#define CLEW_BUILD_H

#include <clew/config.h>
#include <clew/correlate.h>
#include <clew/span.h>

/* Monotonic to wall clock; follows the CLOCK events of the stream. */
struct clew_wall {
	int64_t offset; /* CLOCK_REALTIME - CLOCK_MONOTONIC, ns */
};

/*
 * clew_build__http - the span of an HTTP exchange, by the stable HTTP semantic conventions
 * (opentelemetry semantic-conventions, http-spans.md). Takes a reference of `res`. Returns NULL
 * when out of memory.
 */
struct clew_span *clew_build__http(const struct clew_config *cfg, const struct clew_wall *wall,
				   const struct clew_exchange *ex,
				   const struct clew_placement *place, struct clew_resource *res);

/*
 * clew_redact__query - copy a query string, values of signature keys replaced by "REDACTED"
 * (semantic-conventions, url.query). Returns the length written, at most `cap`.
 */
size_t clew_redact__query(const char *q, size_t n, char *out, size_t cap);
/* Is the value of this query key to be masked? */
bool clew_redact__is_secret(const char *key, size_t n);

#endif
