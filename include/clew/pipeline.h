/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline.h - the way of one request through clew, in one place: see src/pipeline.c.
 */
#ifndef CLEW_PIPELINE_H
#define CLEW_PIPELINE_H

#include <clew/config.h>
#include <clew/conn.h>
#include <clew/correlate.h>
#include <clew/export.h>
#include <clew/ledger.h>
#include <clew/probe.h>

struct clew_pipeline;
struct clew_recorder;

/* What the pipeline asks of a live source; all may be NULL (replay). */
struct clew_pipeline_source {
	void *arg;
	void (*want)(void *arg, uint32_t pid, enum clew_probe_set set);
	void (*ignore)(void *arg, uint64_t sk, uint64_t conn_id);
};

struct clew_pipeline *clew_pipeline__new(const struct clew_config *cfg, struct clew_ledger *ledger,
					 struct clew_export *ex, struct clew_recorder *rec,
					 const struct clew_pipeline_source *source);
/* One event of the stream; a clew_event_fn. */
void clew_pipeline__feed(void *pipeline, const struct clew_event *ev);
/* The stream has ended: settle and hand over everything. */
void clew_pipeline__drain(struct clew_pipeline *p);
/* Bring the ledger's kernel side up to date (after the last STATS event). */
void clew_pipeline__account(struct clew_pipeline *p);
/* Send clew's own metrics to the exporters. */
void clew_pipeline__metrics(struct clew_pipeline *p);
const struct clew_correlate_stats *clew_pipeline__links(const struct clew_pipeline *p);
void clew_pipeline__free(struct clew_pipeline *p); /* NULL is fine */

#endif
