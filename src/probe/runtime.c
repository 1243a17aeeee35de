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

#include "probe/facts.h"
#include "probe/go_runtime.h"
#include "probe/procfs.h"
#include "probe/python_runtime.h"

/* Libraries that tell something, met while walking the maps. */
struct mapped {
	const char *exe_path;
	uint64_t exe_ino;
	struct clew_map exe, python, asyncio, libc, libpthread;
	bool musl, uvloop, jvm, node, coreclr, ruby, php;
};

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
	struct mapped *m = arg;
	const char *name = base_name(map->path);
	unsigned int minor;
	char abi[8];

	if (map->ino == m->exe_ino && !strcmp(map->path, m->exe_path))
		keep_first(&m->exe, map);
	if (begins(name, "libpython3.") && !clew_python__parse_name(name, &minor, abi))
		keep_first(&m->python, map);
	else if (begins(name, "_asyncio.") || !strcmp(name, "_asyncio.so"))
		keep_first(&m->asyncio, map);
	else if (!strcmp(name, "libc.so.6") || begins(name, "libc-2."))
		keep_first(&m->libc, map);
	else if (begins(name, "libpthread.so.0") || begins(name, "libpthread-2."))
		keep_first(&m->libpthread, map);
	m->musl |= begins(name, "ld-musl-") || begins(name, "libc.musl-");
	m->uvloop |= begins(name, "loop.") && strstr(map->path, "/uvloop/");
	m->jvm |= begins(name, "libjvm.so");
	m->node |= begins(name, "libnode.so");
	m->coreclr |= begins(name, "libcoreclr.so");
	m->ruby |= begins(name, "libruby");
	m->php |= begins(name, "libphp");
	return 0;
}

static void __attribute__((format(printf, 2, 3))) add_why(struct clew_runtime *rt, const char *fmt,
							  ...)
{
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

static void set_name(struct clew_runtime *rt, enum clew_runtime_kind kind, const char *name)
{
	rt->kind = kind;
	snprintf(rt->name, sizeof(rt->name), "%s", name);
}

static bool has_site(const struct clew_runtime *rt, enum clew_site_kind kind)
{
	uint32_t i;

	for (i = 0; i < rt->nr_sites; i++)
		if (rt->sites[i].kind == kind)
			return true;
	return false;
}

static void add_sites(struct clew_runtime *rt, const struct clew_facts *f, const char *path)
{
	uint32_t i;

	for (i = 0; i < f->nr_sites && rt->nr_sites < CLEW_SITES_MAX; i++) {
		struct clew_uprobe_site *s = &rt->sites[rt->nr_sites];

		if (has_site(rt, f->sites[i].kind))
			continue;
		s->kind = f->sites[i].kind;
		s->insn = f->sites[i].insn;
		s->off = f->sites[i].off;
		s->dev = f->dev;
		s->ino = f->ino;
		snprintf(s->path, sizeof(s->path), "%s", path);
		rt->nr_sites++;
	}
}

/* Open a mapped file, look its facts up, and add the probe sites that it holds. */
static int facts_of_map(struct clew_runtime_cache *cache, uint32_t pid, const struct clew_map *map,
			enum clew_file_role role, struct clew_facts *ret, char *path, size_t n)
{
	int fd, err;

	if (!map->end)
		return -ENOENT;
	fd = clew_procfs__open_map(pid, map, path, n);
	if (fd < 0)
		return fd;
	err = clew_facts__get(cache, fd, role, base_name(map->path), ret);
	close(fd);
	return err;
}

/* The pid is still the process that was looked at. */
static bool same_process(uint32_t pid, uint64_t start_time)
{
	struct clew_proc_stat st;

	return !clew_procfs__stat(pid, &st) && st.start_time == start_time;
}

/* ---- Go ---- */

static int bias_of(uint32_t pid, const struct clew_map *map, uint64_t *ret)
{
	char path[CLEW_SITE_PATH];
	struct clew_elf *elf;
	int fd, err;

	fd = clew_procfs__open_map(pid, map, path, sizeof(path));
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

static void fill_go(uint32_t pid, const struct mapped *m, const struct clew_facts *f,
		    const char *path, struct clew_runtime *rt)
{
	const struct clew_go_layout *l = f->go.layout;
	uint64_t bias;

	set_name(rt, CLEW_RT_GO, "go");
	snprintf(rt->version, sizeof(rt->version), "%s", f->go.version);
	if (!l && rt->version[0])
		add_why(rt, "Go release %s was never measured: no Go rule", rt->version);
	else if (!l)
		add_why(rt, "no Go version in the file: no Go rule");
	if (!l)
		return;
	rt->go_regabi = true; /* amd64 since 1.17 */
	rt->go_goid_off = l->goid;
	rt->go_req_ctx_off = l->req_ctx;
	rt->go_pc_conn_off = l->pc_conn;
	rt->go_pc_tls_off = l->pc_tls;
	rt->go_sysfd_off = l->sysfd;
	add_sites(rt, f, path);
	if (f->err)
		add_why(rt, "the function table cannot be read (%s)", strerror(-f->err));
	else if (!has_site(rt, CLEW_SITE_GO_SERVE) && !has_site(rt, CLEW_SITE_GO_ROUNDTRIP))
		add_why(rt, "net/http is not in the program: goroutine rule only");
	if (f->go.tls_itab && m->exe.end && !bias_of(pid, &m->exe, &bias))
		rt->go_tls_itab = bias + f->go.tls_itab;
}

/* ---- Python ---- */

static void find_specific(struct clew_runtime_cache *cache, uint32_t pid, const struct mapped *m,
			  struct clew_runtime *rt)
{
	const struct clew_map *const libs[] = {&m->libc, &m->libpthread};
	char path[CLEW_SITE_PATH];
	struct clew_facts f;
	size_t i;

	for (i = 0; i < 2 && !rt->py_specific_off; i++)
		if (!facts_of_map(cache, pid, libs[i], CLEW_FILE_LIBC, &f, path, sizeof(path)))
			rt->py_specific_off = f.specific_off;
	if (rt->py_specific_off)
		return;
	if (m->musl)
		add_why(rt, "musl libc: thread-specific data cannot be found");
	else if (!m->libc.end)
		add_why(rt, "static C library: thread-specific data cannot be found");
	else
		add_why(rt, "the C library does not say where thread-specific data is");
}

static void read_key(uint32_t pid, const struct clew_map *map, const struct clew_facts *f,
		     struct clew_runtime *rt)
{
	uint64_t bias;
	int mem, err = bias_of(pid, map, &bias);

	if (err) {
		add_why(rt, "load address of the interpreter not found (%s)", strerror(-err));
		return;
	}
	mem = clew_procfs__open_mem(pid);
	err = mem < 0 ? mem
		      : clew_python__live(mem, &f->python, bias, rt->py_specific_off, &rt->py_key);
	if (mem >= 0)
		close(mem);
	if (!err)
		return;
	rt->py_key = -1;
	if (err == -EAGAIN || err == -ENODATA) {
		rt->pending = true;
		add_why(rt, "the interpreter is not initialised yet");
	} else if (err == -EINVAL) {
		add_why(rt, "the layouts of CPython %s do not fit this process", rt->version);
	} else {
		add_why(rt, "memory of the process cannot be read (%s)", strerror(-err));
	}
}

static void fill_python(struct clew_runtime_cache *cache, uint32_t pid, const struct mapped *m,
			const struct clew_map *lib, const struct clew_facts *f, const char *path,
			struct clew_runtime *rt)
{
	char apath[CLEW_SITE_PATH];
	struct clew_facts af;

	set_name(rt, CLEW_RT_PYTHON, "cpython");
	snprintf(rt->version, sizeof(rt->version), "%s", f->python.version);
	rt->uses_uvloop = m->uvloop;
	if (!f->python.layout) {
		add_why(rt, "CPython %s: %s", f->python.version, f->python.why_not);
		return;
	}
	rt->py_minor = (uint8_t)f->python.layout->minor;
	rt->py_ctx_off = f->python.layout->ctx;
	rt->py_task_ctx_off = f->python.layout->task_ctx;
	find_specific(cache, pid, m, rt);
	if (!rt->py_specific_off)
		return;
	read_key(pid, lib, f, rt);
	if (rt->py_key < 0)
		return;
	add_sites(rt, f, path);
	if (m->asyncio.end &&
	    !facts_of_map(cache, pid, &m->asyncio, CLEW_FILE_ASYNCIO, &af, apath, sizeof(apath))) {
		add_sites(rt, &af, apath);
		if (!has_site(rt, CLEW_SITE_PY_TASK_INIT))
			add_why(rt, "_asyncio_Task___init__ not found in _asyncio");
	} else if (!has_site(rt, CLEW_SITE_PY_TASK_INIT)) {
		rt->pending = true; /* asyncio may still be imported */
	}
}

/* ---- all others ---- */

static void fill_other(const struct mapped *m, const struct clew_facts *f, const char *exe,
		       struct clew_runtime *rt)
{
	const struct clew_program *prog = clew_facts__program(exe);

	if (m->jvm) {
		set_name(rt, CLEW_RT_OTHER, "java");
		add_why(rt, "contexts of Java are not followed yet");
		return;
	}
	if (m->coreclr || m->node) {
		set_name(rt, CLEW_RT_OTHER, m->node ? "node" : "dotnet");
		add_why(rt, "contexts of %s are not followed yet", rt->name);
		return;
	}
	if (prog) {
		set_name(rt, prog->kind, prog->name);
		if (prog->why[0])
			add_why(rt, "%s", prog->why);
		return;
	}
	if (f->kind == CLEW_FACTS_OTHER) {
		set_name(rt, CLEW_RT_OTHER, f->name);
		add_why(rt, "contexts of %s are not followed yet", f->name);
		return;
	}
	set_name(rt, CLEW_RT_UNKNOWN,
		 m->ruby		 ? "ruby"
		 : m->php		 ? "php"
		 : begins(exe, "python") ? "python"
					 : "native");
	if (f->err)
		add_why(rt, "the program's file cannot be read (%s)", strerror(-f->err));
}

static void fill_nginx(const struct clew_facts *f, const char *path, struct clew_runtime *rt)
{
	set_name(rt, CLEW_RT_NGINX, "nginx");
	snprintf(rt->version, sizeof(rt->version), "%s", f->version);
	add_sites(rt, f, path);
	if (!rt->nr_sites)
		add_why(rt, "nginx was stripped of its symbols: no nginx rule");
}

static void classify(struct clew_runtime_cache *cache, uint32_t pid, const struct mapped *m,
		     const struct clew_facts *f, const char *path, struct clew_runtime *rt)
{
	const char *exe = base_name(rt->exe);
	char lib_path[CLEW_SITE_PATH];
	struct clew_facts lib;

	if (f->kind == CLEW_FACTS_GO)
		fill_go(pid, m, f, path, rt);
	else if (f->kind == CLEW_FACTS_NGINX || !strcmp(exe, "nginx"))
		fill_nginx(f, path, rt);
	else if (f->kind == CLEW_FACTS_PYTHON)
		fill_python(cache, pid, m, &m->exe, f, path, rt);
	else if (!facts_of_map(cache, pid, &m->python, CLEW_FILE_PYTHON, &lib, lib_path,
			       sizeof(lib_path)) &&
		 lib.kind == CLEW_FACTS_PYTHON)
		fill_python(cache, pid, m, &m->python, &lib, lib_path, rt);
	else
		fill_other(m, f, exe, rt);
	if (!rt->pending || rt->kind != CLEW_RT_PYTHON)
		return;
	if (rt->py_key >= 0 && !rt->why[0])
		add_why(rt, "asyncio is not loaded yet");
}

static int look(struct clew_runtime_cache *cache, uint32_t pid, struct clew_runtime *rt)
{
	char path[CLEW_SITE_PATH];
	struct clew_proc_stat ps;
	struct clew_facts facts;
	struct mapped *m;
	int fd, err;

	err = clew_procfs__stat(pid, &ps);
	if (err)
		return err;
	rt->start_time = ps.start_time;
	rt->py_key = -1;
	err = clew_procfs__exe(pid, rt->exe, sizeof(rt->exe));
	if (err == -ENAMETOOLONG)
		rt->exe[0] = 0;
	else if (err)
		return err;
	fd = clew_procfs__open_exe(pid, path, sizeof(path));
	if (fd < 0)
		return fd;
	err = clew_facts__get(cache, fd, CLEW_FILE_EXE, base_name(rt->exe), &facts);
	close(fd);
	if (err)
		return err;
	rt->dev = facts.dev;
	rt->ino = facts.ino;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->exe_path = rt->exe;
	m->exe_ino = facts.ino;
	err = clew_procfs__each_map(pid, see_map, m);
	if (!err) {
		if (!facts.x86_64 && !facts.err)
			add_why(rt, "not an x86-64 program: only headers and joins");
		classify(cache, pid, m, &facts, path, rt);
	}
	free(m);
	if (!err && !same_process(pid, ps.start_time))
		err = -ESRCH;
	return err;
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
	if (!err) {
		changed = now->nr_sites != rt->nr_sites || now->py_key != rt->py_key ||
			  now->uses_uvloop != rt->uses_uvloop;
		*rt = *now;
	}
	free(now);
	return err ? err : changed;
}
