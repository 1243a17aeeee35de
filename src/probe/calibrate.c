/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calibrate.c - what a hit of a uprobe costs on this machine.
 *
 * The price of a hit is the trap, and then how the kernel executes the instruction that the probe
 * replaced: emulated, or single-stepped, which costs ten times as much on many machines. Both are
 * measured on functions of our own, with a program that does what our probes typically do. The
 * best of a few runs counts: interruptions only make a run longer.
 */
#include "probe/calibrate.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/log.h"
#include "probe/procfs.h"

#define RUNS 5
#define HITS 64

/* High for most machines: where nothing is measured, rather too few probes than too many. */
static const struct clew_hit_cost assumed = {.emulated = 2000, .stepped = 12000, .at_return = 2000};

#if defined(__x86_64__)
void clew_calibrate_push(void);
void clew_calibrate_step(void);

__asm__(".text\n"
	".globl clew_calibrate_push\n"
	".type clew_calibrate_push, @function\n"
	"clew_calibrate_push:\n"
	"	push %rbp\n"
	"	pop %rbp\n"
	"	ret\n"
	".size clew_calibrate_push, .-clew_calibrate_push\n"
	".globl clew_calibrate_step\n"
	".type clew_calibrate_step, @function\n"
	"clew_calibrate_step:\n"
	"	sub $8, %rsp\n"
	"	add $8, %rsp\n"
	"	ret\n"
	".size clew_calibrate_step, .-clew_calibrate_step\n");

static double run(void (*fn)(void))
{
	struct timespec a, b;
	double best = 0, ns;

	for (int i = 0; i < RUNS; i++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		for (int k = 0; k < HITS; k++)
			fn();
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / HITS;
		if (!i || ns < best)
			best = ns;
	}
	return best;
}

struct where {
	uint64_t addr, off;
};

static int find_map(void *arg, const struct clew_map *map)
{
	struct where *w = arg;

	if (w->addr < map->start || w->addr >= map->end)
		return 0;
	w->off = w->addr - map->start + map->pgoff;
	return 1;
}

static bool measure(struct clew_programs *programs, void (*fn)(void), bool at_return, double *ret)
{
	struct where w = {.addr = (uint64_t)fn};
	struct clew_uprobe_site site = {.kind = at_return ? CLEW_SITE_CALIBRATE_RET
							  : CLEW_SITE_CALIBRATE};
	struct bpf_link *link;

	if (clew_procfs__each_map((uint32_t)getpid(), find_map, &w) != 1)
		return false;
	site.off = w.off;
	snprintf(site.path, sizeof(site.path), "/proc/self/exe");
	if (clew_programs__uprobe(programs, (uint32_t)getpid(), &site, &link))
		return false;
	*ret = run(fn);
	bpf_link__destroy(link);
	return true;
}

void clew_calibrate(struct clew_programs *programs, struct clew_hit_cost *ret)
{
	double entry, back;

	*ret = assumed;
	if (measure(programs, clew_calibrate_push, false, &entry)) {
		ret->emulated = entry;
		if (measure(programs, clew_calibrate_push, true, &back))
			ret->at_return = back > entry ? back - entry : 0;
	}
	measure(programs, clew_calibrate_step, false, &ret->stepped);
	clew_log(CLEW_LOG_DEBUG,
		 "a probe's hit costs %.0f ns, single-stepped %.0f ns, %.0f ns more at a return",
		 ret->emulated, ret->stepped, ret->at_return);
}
#else
void clew_calibrate(struct clew_programs *programs, struct clew_hit_cost *ret)
{
	(void)programs;
	*ret = assumed;
}
#endif

double clew_hit_cost__of(const struct clew_hit_cost *cost, const struct clew_uprobe_site *site)
{
	bool emulated = site->insn == CLEW_INSN_PUSH || site->insn == CLEW_INSN_NOP ||
			site->insn == CLEW_INSN_JUMP;

	return (emulated ? cost->emulated : cost->stepped) +
	       (clew_site__info(site->kind)->at_return ? cost->at_return : 0);
}
