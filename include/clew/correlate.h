/* SPDX-License-Identifier: Apache-2.0 */
/*
 * correlate.h - the heart: exchanges and edges in, exchanges with their parents out.
 *
 * A pure function of the event stream: no clock, no /proc, no randomness. Holds each exchange
 * in a bounded window until its link is final, then releases it exactly once.
 */
#ifndef CLEW_CORRELATE_H
#define CLEW_CORRELATE_H

#include <clew/config.h>
#include <clew/conn.h>
#include <clew/event.h>
#include <clew/ledger.h>
#include <clew/span.h>

/* What is known about where an exchange belongs. */
struct clew_placement {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t parent_span_id[8]; /* zero: root */
	uint8_t has_parent;
	uint8_t parent_remote; /* the parent was adopted from a header */
	uint8_t sampled;       /* the adopted W3C sampled flag; 1 when none was adopted */
	uint8_t adopted;       /* trace id comes from a header, here or at an ancestor */
	enum clew_link link;
	const char *evidence; /* static, e.g. "socket-pair"; a root: "traceparent-worn" or NULL */
	struct clew_text tracestate; /* in the text of `tracestate_of` */
	const struct clew_exchange *tracestate_of;
};

struct clew_correlate_sink {
	void *arg;
	/* The exchange leaves the window; the callee calls clew_exchange__free(). */
	void (*release)(void *arg, struct clew_exchange *ex, const struct clew_placement *place);
	/* A rule could say more with these probes in that process; said often. NULL is fine. */
	void (*want)(void *arg, uint32_t pid, enum clew_probe_set set);
};

struct clew_correlate_stats {
	uint64_t links[3];  /* by enum clew_link, of released exchanges */
	uint64_t conflicts; /* two pieces of evidence named different exchanges */
	uint64_t given_up;  /* sets of probes that cost a process too much, each time */
	uint64_t expired;   /* released undecided: the window ended */
	uint64_t evicted;   /* released early: the window's byte cap */
	uint64_t withdrawn; /* claims taken back */
	uint64_t py_deep;   /* Python: claims not made for want of a second witness */
	uint64_t forwarded; /* client requests whose header their process had received itself */
	uint64_t worn;	    /* headers not adopted: too often, or for too long, in one process */
	uint64_t bytes;	    /* held now: nodes, their exchanges, side tables */
	uint64_t nodes;	    /* held now */
};

struct clew_correlate;

struct clew_correlate *clew_correlate__new(const struct clew_config *cfg,
					   const struct clew_correlate_sink *sink);
/* Every event, before the connection stage sees it (edges, processes, reads of a thread). */
void clew_correlate__event(struct clew_correlate *co, const struct clew_event *ev);
/* From the connection stage, as in struct clew_exchange_sink. */
void clew_correlate__request(struct clew_correlate *co, struct clew_exchange *ex);
void clew_correlate__response(struct clew_correlate *co, struct clew_exchange *ex);
void clew_correlate__done(struct clew_correlate *co, struct clew_exchange *ex);
void clew_correlate__dropped(struct clew_correlate *co, struct clew_exchange *ex, int reason);
/* Release what is final or has waited long enough; `now` is monotonic ns. */
void clew_correlate__tick(struct clew_correlate *co, uint64_t now);
/* Release everything that is done, decided or not (the agent stops). */
void clew_correlate__drain(struct clew_correlate *co);
void clew_correlate__free(struct clew_correlate *co);
const struct clew_correlate_stats *clew_correlate__stats(const struct clew_correlate *co);

#endif
