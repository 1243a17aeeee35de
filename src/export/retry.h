/* SPDX-License-Identifier: Apache-2.0 */
/* retry.h - when to try a failed delivery again. Pure: the caller has the clock. */
#ifndef CLEW_EXPORT_RETRY_H
#define CLEW_EXPORT_RETRY_H

#include <stdint.h>

#include <clew/config.h>

struct clew_retry {
	uint32_t interval_ms, max_ms, give_up_ms;
	uint64_t started_ms;
	uint64_t rng;
};

/* At the first failure. Zero settings mean the defaults (5 s, 30 s, 5 min). */
void clew_retry__start(struct clew_retry *r, const struct clew_export_config *cfg, uint64_t now_ms,
		       uint64_t seed);
/*
 * How long to wait before the next try, or -1: give up. `after_ms` is what the receiver asked
 * for (0: nothing); it is never undercut.
 */
int64_t clew_retry__next(struct clew_retry *r, uint64_t now_ms, uint32_t after_ms);

#endif
