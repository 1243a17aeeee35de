/* SPDX-License-Identifier: Apache-2.0 */
/*
 * look.h - one look at one process, as the runtimes share it. Private to discovery: runtime.c
 * holds the table of runtimes, each of which fills struct clew_runtime from what is here.
 */
#ifndef CLEW_PROBE_LOOK_H
#define CLEW_PROBE_LOOK_H

#include "probe/facts.h"
#include "probe/procfs.h"
#include "probe/runtime.h"

/* Files that tell something, met while walking the process's maps; end == 0: not mapped. */
struct clew_mapped {
	const char *exe_path;
	uint64_t exe_ino;
	struct clew_map exe, python, asyncio, queue, uvloop, libc, libpthread, jvm, node, ruby;
	bool musl, coreclr, php, jli;
};

struct clew_look {
	struct clew_runtime_cache *cache;
	uint32_t pid;
	const char *exe;	       /* base name of the program */
	const char *path;	       /* opens the program's file from here */
	const struct clew_facts *file; /* what it says */
	struct clew_mapped maps;
	struct clew_runtime *rt; /* to be filled */
};

void clew_look__name(struct clew_look *l, enum clew_runtime_kind kind, const char *name);
void clew_look__why(struct clew_look *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The sites that a file holds; several of one kind are all of them probed. */
void clew_look__sites(struct clew_look *l, const struct clew_facts *f, const char *path);
bool clew_look__has(const struct clew_look *l, enum clew_site_kind kind);
/* A set that would prove nothing, or something wrong: its sites are taken out. */
void clew_look__drop_set(struct clew_look *l, enum clew_probe_set set);
/* Facts of a mapped file; `path` opens it. -ENOENT: not mapped. */
int clew_look__facts(struct clew_look *l, const struct clew_map *map, enum clew_file_role role,
		     struct clew_facts *ret, char path[CLEW_SITE_PATH]);
/* What to add to the file's addresses. */
int clew_look__bias(const struct clew_look *l, const struct clew_map *map, uint64_t *ret);

/* One per runtime: false when the process does not run it; else *l->rt is filled. */
bool clew_go__look(struct clew_look *l);
bool clew_nginx__look(struct clew_look *l);
bool clew_haproxy__look(struct clew_look *l);
bool clew_python__look(struct clew_look *l);
bool clew_java__look(struct clew_look *l);
/* Has it found less than the look before? Then that one stands. */
bool clew_java__lacks(const struct clew_runtime *now, const struct clew_runtime *was);
bool clew_node__look(struct clew_look *l);
bool clew_rust__look(struct clew_look *l);
bool clew_ruby__look(struct clew_look *l);

#endif
