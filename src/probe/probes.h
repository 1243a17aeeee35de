/* SPDX-License-Identifier: Apache-2.0 */
/* probes.h - the uprobes inside one process, by set. Used by the watcher's thread. */
#ifndef CLEW_PROBE_PROBES_H
#define CLEW_PROBE_PROBES_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/programs.h"
#include "probe/runtime.h"

/* Bit sets of enum clew_probe_set. */
struct clew_probes {
	uint64_t wanted;   /* asked for, of those that wait for that */
	uint64_t attached; /* whole: every site of the set */
	uint64_t refused;  /* could not be attached, said once */
	uint64_t given_up; /* for their cost */
	struct bpf_link *links[CLEW_SITES_MAX];
	enum clew_probe_set set_of[CLEW_SITES_MAX]; /* of each link */
	uint32_t nr_links;
};

/* Attach what is to be attached by now. True when `attached` changed. */
bool clew_probes__attach(struct clew_probes *p, struct clew_programs *programs, uint32_t pid,
			 const struct clew_runtime *rt);
/* `set` is not in `attached` any more. */
void clew_probes__detach(struct clew_probes *p, enum clew_probe_set set);
void clew_probes__detach_all(struct clew_probes *p);

#endif
