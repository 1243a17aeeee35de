/* SPDX-License-Identifier: Apache-2.0 */
/*
 * governor.h - the probes inside a process may cost it so much and no more.
 *
 * A pure function of what it is told: how often each set was hit, what a hit costs, and how much
 * CPU the process used. docs/capture.md has the reasons.
 */
#ifndef CLEW_PROBE_GOVERNOR_H
#define CLEW_PROBE_GOVERNOR_H

#include <stdint.h>

#include <clew/event.h>

/* Of one process. Zeroed: nothing was looked at yet. */
struct clew_governor {
	uint64_t since; /* ns; the window began; 0: not yet */
	uint64_t cpu;	/* ns that the process had run by then */
	uint32_t hits[CLEW_SET_MAX];
	uint32_t over;			   /* windows above the limit in a row */
	uint32_t wait_s[CLEW_SET_MAX];	   /* the last time that a set was away */
	uint64_t back_at[CLEW_SET_MAX];	   /* ns; 0: it is not away */
	uint64_t settled_at[CLEW_SET_MAX]; /* ns; still there by then, its `wait_s` is forgotten */
};

struct clew_governor_look {
	uint64_t now;		     /* ns, monotonic */
	uint64_t cpu;		     /* ns that the process has run in all */
	uint64_t attached;	     /* 1 << enum clew_probe_set */
	uint32_t hits[CLEW_SET_MAX]; /* in all; wraps */
	double hit_ns[CLEW_SET_MAX]; /* what one hit of a set costs the process */
	double limit;		     /* share of the CPU that the process uses by itself */
};

/*
 * The set that has to go now, or -1. *ret_share is what the probes cost in the window that was
 * just closed, as a share; negative when none was closed. The set is away until it comes back.
 */
int clew_governor__look(struct clew_governor *g, const struct clew_governor_look *look,
			double *ret_share);
/* The sets whose time away is over; they may be attached again. */
uint64_t clew_governor__back(struct clew_governor *g, uint64_t now);

#endif
