/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probes.c - the uprobes inside one process.
 *
 * A set is attached whole or not at all: half of it would report half of the edges, and rules
 * conclude from what they do not hear, too. Sets without sites in this program do not exist for it.
 */
#include "probe/probes.h"

#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "base/log.h"

static uint64_t bit(enum clew_probe_set set)
{
	return 1ULL << set;
}

void clew_probes__detach(struct clew_probes *p, enum clew_probe_set set)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < p->nr_links; i++) {
		if (p->set_of[i] == set) {
			bpf_link__destroy(p->links[i]);
			continue;
		}
		p->links[kept] = p->links[i];
		p->set_of[kept++] = p->set_of[i];
	}
	p->nr_links = kept;
	p->attached &= ~bit(set);
}

void clew_probes__detach_all(struct clew_probes *p)
{
	for (uint32_t i = 0; i < p->nr_links; i++)
		bpf_link__destroy(p->links[i]);
	p->nr_links = 0;
	p->attached = 0;
}

static bool attach_set(struct clew_probes *p, struct clew_programs *programs, uint32_t pid,
		       const struct clew_runtime *rt, enum clew_probe_set set)
{
	uint32_t sites = 0;

	for (uint32_t i = 0; i < rt->nr_sites; i++) {
		const struct clew_uprobe_site *site = &rt->sites[i];
		int err;

		if (clew_site__info(site->kind)->set != set)
			continue;
		sites++;
		err = p->nr_links == CLEW_SITES_MAX
			      ? -ENOSPC
			      : clew_programs__uprobe(programs, pid, site, &p->links[p->nr_links]);
		if (err) {
			clew_log(CLEW_LOG_WARN,
				 "cannot attach to pid %u, %s at %s+%#llx: %s: links that %s "
				 "proves will be unknown",
				 pid, clew_site__info(site->kind)->name, site->path,
				 (unsigned long long)site->off, strerror(-err),
				 clew_set__info(set)->name);
			clew_probes__detach(p, set);
			p->refused |= bit(set);
			return false;
		}
		p->set_of[p->nr_links++] = set;
	}
	if (sites)
		p->attached |= bit(set);
	return sites;
}

bool clew_probes__attach(struct clew_probes *p, struct clew_programs *programs, uint32_t pid,
			 const struct clew_runtime *rt)
{
	uint64_t done = p->attached | p->refused | p->given_up;
	bool changed = false;

	for (int set = 0; set < CLEW_SET_MAX; set++) {
		const struct clew_set_info *info = clew_set__info(set);

		if (info->runtime != rt->kind || done & bit(set) ||
		    (info->on_demand && !((p->wanted | rt->wanted) & bit(set))))
			continue;
		changed |= attach_set(p, programs, pid, rt, set);
	}
	return changed;
}
