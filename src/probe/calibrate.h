/* SPDX-License-Identifier: Apache-2.0 */
/* calibrate.h - what a hit of a uprobe costs on this machine. */
#ifndef CLEW_PROBE_CALIBRATE_H
#define CLEW_PROBE_CALIBRATE_H

#include "probe/programs.h"

struct clew_hit_cost {
	double emulated;  /* ns; the kernel emulates the instruction: push, nop, call, jump */
	double stepped;	  /* ns; it is executed by a single step */
	double at_return; /* ns; added by a probe at a function's return */
};

/*
 * clew_calibrate - hit probes in functions of our own, the best of a few short runs. Takes some
 * ms, and detaching as long as the kernel likes. What cannot be measured keeps a figure that is
 * high for most machines.
 */
void clew_calibrate(struct clew_programs *programs, struct clew_hit_cost *ret);

/* What one hit at this site costs, ns. */
double clew_hit_cost__of(const struct clew_hit_cost *cost, const struct clew_uprobe_site *site);

#endif
