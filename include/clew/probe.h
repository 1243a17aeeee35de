/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - the live source of events: BPF programs, processes, probes on demand.
 *
 * clew_live delivers one stream: what the ring buffer holds, and what the agent adds to it
 * (clock, process information), all on the thread that calls clew_live__poll(). A thread of its
 * own looks at processes and attaches to them, so that a large binary does not hold up capture.
 */
#ifndef CLEW_PROBE_H
#define CLEW_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include <clew/config.h>
#include <clew/event.h>

struct clew_live;

typedef void (*clew_event_fn)(void *arg, const struct clew_event *ev);

/*
 * What a process shows of itself, told by clew_live__want() beside the sets: that links in it rest
 * on its threads' waits being watched, or that its requests are read by event loops anyway.
 */
#define CLEW_WANT_WAITS	   ((enum clew_probe_set)CLEW_SET_MAX)
#define CLEW_WANT_NO_WAITS ((enum clew_probe_set)(CLEW_SET_MAX + 1))

/*
 * clew_live__new - load the programs, find the selected processes, attach. Events are buffered
 * in the kernel until the first poll. On failure returns -errno and writes into errbuf what
 * failed, why, and what to do.
 */
int clew_live__new(const struct clew_config *cfg, clew_event_fn fn, void *arg,
		   struct clew_live **ret, char *errbuf, size_t n);
/* Deliver what is there, at most `max` events, waiting up to timeout_ms for the first. */
int clew_live__poll(struct clew_live *live, int timeout_ms, int max);
/* A process shows that it needs a set that is attached on demand. */
void clew_live__want(struct clew_live *live, uint32_t pid, enum clew_probe_set set);
/* The connection of socket `sk` is of no interest: the kernel side leaves it early from now. */
void clew_live__ignore(struct clew_live *live, uint64_t sk, uint64_t conn_id);
/* Sums over processors, by enum clew_stat. */
void clew_live__stats(struct clew_live *live, uint64_t count[CLEW_STAT_MAX]);
const char *clew_live__layer(const struct clew_live *live);
uint32_t clew_live__nr_traced(const struct clew_live *live);
/* No more events from now on; delivers what the ring buffer holds, within deadline_ms. */
void clew_live__stop(struct clew_live *live, int deadline_ms);
void clew_live__free(struct clew_live *live); /* NULL is fine */

#endif
