/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime.c - which runtime does this process run, and how are its contexts read.
 *
 * Two kinds of evidence: the program's file, and which libraries are mapped. What a file says
 * is kept in a cache by the file's identity; what differs per process (load addresses, the
 * pthread key) is read anew. A runtime that multiplexes requests over threads in a way that is
 * not understood becomes CLEW_RT_OTHER, for which the thread rule is off: a missing parent can
 * be seen, a wrong one cannot. Layouts and addresses: design notes in docs/discovery.md.
 */
#include "probe/runtime.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/look.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool begins(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

static void keep_first(struct clew_map *dst, const struct clew_map *map)
{
	if (!dst->end)
		*dst = *map;
}

static int see_map(void *arg, const struct clew_map *map)
{
	struct clew_mapped *m = arg;
	const char *name = base_name(map->path);
	unsigned int minor;
	char abi[8];

	if (map->ino == m->exe_ino && !strcmp(map->path, m->exe_path))
		keep_first(&m->exe, map);
	if (begins(name, "libpython3.") && !clew_python__parse_name(name, &minor, abi))
		keep_first(&m->python, map);
	else if (begins(name, "_asyncio.") || !strcmp(name, "_asyncio.so"))
		keep_first(&m->asyncio, map);
	else if (begins(name, "_queue.") || !strcmp(name, "_queue.so"))
		keep_first(&m->queue, map);
	else if (begins(name, "loop.") && strstr(map->path, "/uvloop/"))
		keep_first(&m->uvloop, map);
	else if (!strcmp(name, "libc.so.6") || begins(name, "libc-2."))
		keep_first(&m->libc, map);
	else if (begins(name, "libpthread.so.0") || begins(name, "libpthread-2."))
		keep_first(&m->libpthread, map);
	else if (begins(name, "libjvm.so"))
		keep_first(&m->jvm, map);
	else if (begins(name, "libnode.so"))
		keep_first(&m->node, map);
	else if (begins(name, "libruby"))
		keep_first(&m->ruby, map);
	m->musl |= begins(name, "ld-musl-") || begins(name, "libc.musl-");
	m->coreclr |= begins(name, "libcoreclr.so");
	m->php |= begins(name, "libphp");
	m->jli |= !strcmp(name, "libjli.so");
	return 0;
}

void clew_look__why(struct clew_look *l, const char *fmt, ...)
{
	struct clew_runtime *rt = l->rt;
	size_t used = strlen(rt->why);
	va_list ap;

	if (used && used + 3 < sizeof(rt->why)) {
		memcpy(rt->why + used, "; ", 3);
		used += 2;
	}
	va_start(ap, fmt);
	vsnprintf(rt->why + used, sizeof(rt->why) - used, fmt, ap);
	va_end(ap);
}

void clew_look__name(struct clew_look *l, enum clew_runtime_kind kind, const char *name)
{
	l->rt->kind = kind;
	snprintf(l->rt->name, sizeof(l->rt->name), "%s", name);
}

bool clew_look__has(const struct clew_look *l, enum clew_site_kind kind)
{
	for (uint32_t i = 0; i < l->rt->nr_sites; i++)
		if (l->rt->sites[i].kind == kind)
			return true;
	return false;
}

void clew_look__sites(struct clew_look *l, const struct clew_facts *f, const char *path)
{
	struct clew_runtime *rt = l->rt;

	for (uint32_t i = 0; i < f->nr_sites && rt->nr_sites < CLEW_SITES_MAX; i++) {
		struct clew_uprobe_site *s = &rt->sites[rt->nr_sites++];

		s->kind = f->sites[i].kind;
		s->insn = f->sites[i].insn;
		s->off = f->sites[i].off;
		s->dev = f->dev;
		s->ino = f->ino;
		snprintf(s->path, sizeof(s->path), "%s", path);
	}
}

void clew_look__drop_set(struct clew_look *l, enum clew_probe_set set)
{
	struct clew_runtime *rt = l->rt;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < rt->nr_sites; i++)
		if (clew_site__info(rt->sites[i].kind)->set != set)
			rt->sites[kept++] = rt->sites[i];
	rt->nr_sites = kept;
}

/* Open a mapped file, and look its facts up. */
int clew_look__facts(struct clew_look *l, const struct clew_map *map, enum clew_file_role role,
		     struct clew_facts *ret, char path[CLEW_SITE_PATH])
{
	int fd, err;

	if (!map->end)
		return -ENOENT;
	fd = clew_procfs__open_map(l->pid, map, path, CLEW_SITE_PATH);
	if (fd < 0)
		return fd;
	err = clew_facts__get(l->cache, fd, role, base_name(map->path), ret);
	close(fd);
	return err;
}

int clew_look__bias(const struct clew_look *l, const struct clew_map *map, uint64_t *ret)
{
	char path[CLEW_SITE_PATH];
	struct clew_elf *elf;
	int fd, err;

	fd = clew_procfs__open_map(l->pid, map, path, sizeof(path));
	if (fd < 0)
		return fd;
	err = clew_elf__new(fd, &elf);
	if (!err) {
		err = clew_elf__bias(elf, map->start, map->pgoff, ret);
		clew_elf__free(elf);
	}
	close(fd);
	return err;
}

/* The pid is still the process that was looked at. */
static bool same_process(uint32_t pid, uint64_t start_time)
{
	struct clew_proc_stat st;

	return !clew_procfs__stat(pid, &st) && st.start_time == start_time;
}

/* nginx's links need no probe: bpf/lib/nginx.bpf.h reads its objects from the socket hooks. */
bool clew_nginx__look(struct clew_look *l)
{
	if (l->file->kind != CLEW_FACTS_NGINX && strcmp(l->exe, "nginx"))
		return false;
	clew_look__name(l, CLEW_RT_NGINX, "nginx");
	snprintf(l->rt->version, sizeof(l->rt->version), "%s", l->file->version);
	return true;
}

/* A worker serves one request at a time: what it waits for meanwhile need not be watched. */
static bool php_look(struct clew_look *l)
{
	if (l->file->kind != CLEW_FACTS_PHP_FPM)
		return false;
	clew_look__name(l, CLEW_RT_PHP, "php");
	return true;
}

/* Whatever is left: runtimes that are known and not followed, and programs of plain threads. */
static bool other_look(struct clew_look *l)
{
	const struct clew_program *prog = clew_facts__program(l->exe);
	const struct clew_mapped *m = &l->maps;

	if (m->coreclr || m->node.end) {
		clew_look__name(l, CLEW_RT_OTHER, m->node.end ? "node" : "dotnet");
		clew_look__why(l, "contexts of %s are not followed yet", l->rt->name);
	} else if (prog) {
		clew_look__name(l, prog->kind, prog->name);
		if (prog->why[0])
			clew_look__why(l, "%s", prog->why);
	} else if (l->file->kind == CLEW_FACTS_OTHER) {
		clew_look__name(l, CLEW_RT_OTHER, l->file->name);
		clew_look__why(l, "contexts of %s are not followed yet", l->file->name);
	} else {
		clew_look__name(l, CLEW_RT_UNKNOWN,
				m->php			   ? "php"
				: begins(l->exe, "python") ? "python"
							   : "native");
		if (l->file->err)
			clew_look__why(l, "the program's file cannot be read (%s)",
				       strerror(-l->file->err));
	}
	return true;
}

/* Asked in this order; the first that answers has it. */
static bool (*const runtimes[])(struct clew_look *l) = {
	clew_go__look,	 clew_nginx__look, clew_haproxy__look, clew_python__look, clew_java__look,
	clew_node__look, clew_rust__look,  clew_ruby__look,    php_look,	  other_look,
};

static int look_at(struct clew_look *l)
{
	char path[CLEW_SITE_PATH];
	struct clew_facts facts;
	int fd, err;

	err = clew_procfs__exe(l->pid, l->rt->exe, sizeof(l->rt->exe));
	if (err == -ENAMETOOLONG)
		l->rt->exe[0] = 0;
	else if (err)
		return err;
	l->exe = base_name(l->rt->exe);
	fd = clew_procfs__open_exe(l->pid, path, sizeof(path));
	if (fd < 0)
		return fd;
	err = clew_facts__get(l->cache, fd, CLEW_FILE_EXE, l->exe, &facts);
	close(fd);
	if (err)
		return err;
	l->rt->dev = facts.dev;
	l->rt->ino = facts.ino;
	l->path = path;
	l->file = &facts;
	l->maps.exe_path = l->rt->exe;
	l->maps.exe_ino = facts.ino;
	err = clew_procfs__each_map(l->pid, see_map, &l->maps);
	if (err)
		return err;
	if (!facts.x86_64 && !facts.err)
		clew_look__why(l, "not an x86-64 program: only headers and joins");
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++)
		if (runtimes[i](l))
			break;
	l->rt->entry.runtime = l->rt->kind;
	if (l->rt->kind == CLEW_RT_UNKNOWN || l->rt->kind == CLEW_RT_RUBY)
		l->rt->entry.flags |= CLEW_PROC_THREADS;
	return 0;
}

static int look(struct clew_runtime_cache *cache, uint32_t pid, struct clew_runtime *rt)
{
	struct clew_look *l;
	struct clew_proc_stat ps;
	int err;

	err = clew_procfs__stat(pid, &ps);
	if (err)
		return err;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->cache = cache;
	l->pid = pid;
	l->rt = rt;
	rt->start_time = ps.start_time;
	err = look_at(l);
	free(l);
	return !err && !same_process(pid, ps.start_time) ? -ESRCH : err;
}

int clew_runtime__discover(struct clew_runtime_cache *cache, uint32_t pid, struct clew_runtime *ret)
{
	struct clew_runtime *rt = calloc(1, sizeof(*rt));
	int err;

	if (!rt)
		return -ENOMEM;
	err = look(cache, pid, rt);
	if (!err)
		*ret = *rt;
	free(rt);
	return err;
}

int clew_runtime__refresh(struct clew_runtime_cache *cache, uint32_t pid, struct clew_runtime *rt)
{
	struct clew_runtime *now;
	int err, changed = 0;

	if (!rt->pending)
		return same_process(pid, rt->start_time) ? 0 : -ESRCH;
	now = calloc(1, sizeof(*now));
	if (!now)
		return -ENOMEM;
	err = look(cache, pid, now);
	/* after an exec the same process runs another program: that is a new discovery */
	if (!err &&
	    (now->start_time != rt->start_time || now->dev != rt->dev || now->ino != rt->ino))
		err = -ESRCH;
	if (!err && !clew_java__lacks(now, rt)) {
		changed = now->nr_sites != rt->nr_sites ||
			  memcmp(&now->entry, &rt->entry, sizeof(now->entry)) != 0 ||
			  memcmp(&now->java_wait, &rt->java_wait, sizeof(now->java_wait)) != 0;
		*rt = *now;
	}
	free(now);
	return err ? err : changed;
}
