/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exponential backoff with jitter (OTLP specification, "Retryable Response Codes" and
 * "Throttling"; the figures are the Collector's): 5 s, times 1.5 up to 30 s, each +-50 %, give up
 * when the next try would come later than 5 min after the first one. The jitter keeps many
 * agents that lost one receiver from coming back in step.
 */
#include "export/retry.h"

void clew_retry__start(struct clew_retry *r, const struct clew_export_config *cfg, uint64_t now_ms,
		       uint64_t seed)
{
	r->interval_ms = cfg->retry_initial_ms ? cfg->retry_initial_ms : 5000;
	r->max_ms = cfg->retry_max_ms ? cfg->retry_max_ms : 30000;
	r->give_up_ms = cfg->retry_give_up_ms ? cfg->retry_give_up_ms : 300000;
	if (r->interval_ms > r->max_ms)
		r->interval_ms = r->max_ms;
	r->started_ms = now_ms;
	r->rng = seed | 1;
}

static uint32_t retry_random(struct clew_retry *r)
{
	/* xorshift64*: only to spread, not to hide */
	r->rng ^= r->rng >> 12;
	r->rng ^= r->rng << 25;
	r->rng ^= r->rng >> 27;
	return (uint32_t)(r->rng * 0x2545f4914f6cdd1dULL >> 32);
}

int64_t clew_retry__next(struct clew_retry *r, uint64_t now_ms, uint32_t after_ms)
{
	uint64_t wait = r->interval_ms / 2 + retry_random(r) % ((uint64_t)r->interval_ms + 1);
	uint64_t grown = (uint64_t)r->interval_ms * 3 / 2;

	r->interval_ms = grown > r->max_ms ? r->max_ms : (uint32_t)grown;
	if (wait < after_ms)
		wait = after_ms;
	if (now_ms + wait > r->started_ms + r->give_up_ms)
		return -1;
	return (int64_t)wait;
}
