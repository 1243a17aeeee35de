/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample.h - head sampling by consistent probability (OpenTelemetry specification, "TraceState
 * probability sampling"): R = low 56 bits of the trace id, T = (1 - p) * 2^56, kept if R >= T.
 * Every part of a trace decides alike, on every host. Parent based: an adopted decision stands.
 */
#ifndef CLEW_SAMPLE_H
#define CLEW_SAMPLE_H

#include <stdbool.h>

#include <clew/config.h>
#include <clew/correlate.h>

struct clew_sampler {
	uint64_t threshold;  /* T; 1 << 56: nothing is kept */
	char tracestate[24]; /* "ot=th:<hex, no trailing zeros>"; empty when all are kept */
	bool parent_based;
};

void clew_sampler__init(struct clew_sampler *s, double rate, bool parent_based);
bool clew_sampler__keep(const struct clew_sampler *s, const struct clew_placement *place);

#endif
