/* SPDX-License-Identifier: Apache-2.0 */
/*
 * haproxy.c - where HAProxy's objects begin, and the one offset that is not the same in every
 * release. The rest is in bpf/lib/haproxy.bpf.h, which checks each step in the objects themselves.
 *
 * Distributions strip the program, but link it so that libraries and Lua see its symbols
 * (-rdynamic): the table of descriptors and the version are in .dynsym.
 */
#include <stdio.h>
#include <stdlib.h>

#include "probe/look.h"

#define NEWEST 303 /* 3.3 */

/* struct h1c.h1s in src/mux_h1.c. 0: a release that nobody has looked at. */
static uint16_t h1s_offset(const char *version)
{
	unsigned int major, minor, release;

	if (sscanf(version, "%u.%u", &major, &minor) != 2 || major > 9 || minor > 99)
		return 0;
	release = major * 100 + minor;
	if (release < 204 || release > NEWEST)
		return 0;
	return release < 207 ? 136 : 8;
}

bool clew_haproxy__look(struct clew_look *l)
{
	struct clew_proc *e = &l->rt->entry;
	uint64_t bias;

	if (l->file->kind != CLEW_FACTS_HAPROXY)
		return false;
	clew_look__name(l, CLEW_RT_HAPROXY, "haproxy");
	snprintf(l->rt->version, sizeof(l->rt->version), "%s", l->file->version);
	e->ha_h1s = h1s_offset(l->file->version);
	if (!e->ha_h1s)
		clew_look__why(l, "the layouts of this version are not known");
	else if (clew_look__bias(l, &l->maps.exe, &bias))
		clew_look__why(l, "its program's file cannot be read");
	else
		e->ha_fdtab = bias + l->file->fdtab;
	return true;
}
