/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich.c - processes and their resources.
 *
 * A child has its parent's resource, but for the pid, until its own is known; a process that
 * became another program has none until then. A process that ended is kept for a
 * while, because its last spans may still be in the correlate window. Bounded by
 * capture.max_processes: beyond it, spans get the resource "unknown_service".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include <clew/enrich.h>

#define SECOND	1000000000ULL
#define KEEP_NS (10 * SECOND)

struct proc {
	uint32_t pid;
	uint16_t runtime;
	uint64_t marks;
	uint64_t ended; /* 0: it runs */
	struct clew_resource *res;
	UT_hash_handle hh;
};

struct clew_enrich {
	const struct clew_config *cfg;
	struct proc *procs;
	struct clew_resource *unknown;
};

static struct proc *find(const struct clew_enrich *en, uint32_t pid)
{
	struct proc *p;

	HASH_FIND(hh, en->procs, &pid, sizeof(pid), p);
	return p;
}

static void set(struct clew_enrich *en, uint32_t pid, uint16_t runtime, struct clew_resource *res)
{
	struct proc *p = find(en, pid);

	if (!res)
		return;
	if (!p && HASH_COUNT(en->procs) < en->cfg->capture.max_processes) {
		p = calloc(1, sizeof(*p));
		if (p) {
			p->pid = pid;
			HASH_ADD(hh, en->procs, pid, sizeof(p->pid), p);
		}
	}
	if (!p) {
		clew_resource__put(res);
		return;
	}
	clew_resource__put(p->res);
	p->res = res;
	p->runtime = runtime;
	p->marks = 0;
	p->ended = 0;
}

static void on_info(struct clew_enrich *en, const struct clew_proc_info *info)
{
	if (info->h.size < sizeof(*info) + info->text_len)
		return;
	set(en, info->h.pid, info->runtime,
	    clew_resource__new(info->h.pid, info->text, info->text_len));
}

static void on_exec(struct clew_enrich *en, uint32_t pid)
{
	char text[32] = "process.pid";
	size_t n = sizeof("process.pid");

	n += (size_t)snprintf(text + n, sizeof(text) - n, "%" PRIu32, pid) + 1;
	set(en, pid, CLEW_RT_OTHER, clew_resource__new(pid, text, n));
}

void clew_enrich__event(struct clew_enrich *en, const struct clew_event *ev)
{
	const struct clew_proc_event *e = (const void *)ev;
	struct proc *p;

	if (ev->type == CLEW_EV_PROC_INFO) {
		on_info(en, (const void *)ev);
	} else if (ev->type == CLEW_EV_FORK) {
		p = find(en, ev->pid);
		if (p)
			set(en, e->other, p->runtime, clew_resource__child(p->res, e->other));
	} else if (ev->type == CLEW_EV_EXEC && e->other) {
		on_exec(en, ev->pid);
	} else if (ev->type == CLEW_EV_EXIT) {
		p = find(en, ev->pid);
		if (p)
			p->ended = ev->ts;
	}
}

struct clew_resource *clew_enrich__resource(struct clew_enrich *en, uint32_t pid)
{
	struct proc *p = find(en, pid);

	return p ? p->res : en->unknown;
}

uint16_t clew_enrich__runtime(const struct clew_enrich *en, uint32_t pid)
{
	struct proc *p = find(en, pid);

	return p ? p->runtime : CLEW_RT_OTHER;
}

bool clew_enrich__mark(struct clew_enrich *en, uint32_t pid, unsigned int bit)
{
	struct proc *p = find(en, pid);

	if (!p || p->marks & (1ULL << bit))
		return false;
	p->marks |= 1ULL << bit;
	return true;
}

bool clew_enrich__marked(const struct clew_enrich *en, uint32_t pid, unsigned int bit)
{
	struct proc *p = find(en, pid);

	return p && p->marks & (1ULL << bit);
}

static void forget(struct clew_enrich *en, struct proc *p)
{
	HASH_DEL(en->procs, p);
	clew_resource__put(p->res);
	free(p);
}

void clew_enrich__tick(struct clew_enrich *en, uint64_t now)
{
	struct proc *p, *tmp;

	HASH_ITER(hh, en->procs, p, tmp)
	if (p->ended && now > p->ended + KEEP_NS)
		forget(en, p);
}

struct clew_enrich *clew_enrich__new(const struct clew_config *cfg)
{
	struct clew_enrich *en = calloc(1, sizeof(*en));

	if (!en)
		return NULL;
	en->cfg = cfg;
	en->unknown = clew_resource__new(0, "", 0);
	if (!en->unknown) {
		free(en);
		return NULL;
	}
	return en;
}

void clew_enrich__free(struct clew_enrich *en)
{
	struct proc *p, *tmp;

	if (!en)
		return;
	HASH_ITER(hh, en->procs, p, tmp)
	forget(en, p);
	clew_resource__put(en->unknown);
	free(en);
}
