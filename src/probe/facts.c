/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.c - what one program or library file says about its runtime, and the cache of that.
 *
 * The key is the file's identity and the moment of its last change, so an upgraded binary, and
 * an inode number that was given to another file, are parsed anew. A file that cannot be parsed
 * is remembered as such. Used by one thread.
 */
#include "probe/facts.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CACHE_MAX 1024

struct entry {
	uint64_t size, mtime_ns;
	enum clew_file_role role;
	uint64_t used; /* when it was last asked for */
	struct clew_facts facts;
};

struct clew_runtime_cache {
	struct entry *entries;
	uint32_t n, room;
	uint64_t clock, parsed, hits;
};

struct clew_runtime_cache *clew_runtime_cache__new(void)
{
	return calloc(1, sizeof(struct clew_runtime_cache));
}

void clew_runtime_cache__free(struct clew_runtime_cache *cache)
{
	if (!cache)
		return;
	free(cache->entries);
	free(cache);
}

void clew_runtime_cache__stats(const struct clew_runtime_cache *cache, uint64_t *ret_parsed,
			       uint64_t *ret_hits)
{
	*ret_parsed = cache->parsed;
	*ret_hits = cache->hits;
}

static const struct clew_program programs[] = {
	{"node", false, CLEW_RT_OTHER, "node",
	 "the functions of Node are not found in the program"},
	{"bun", true, CLEW_RT_OTHER, "bun", "contexts of Bun are not followed"},
	{"deno", true, CLEW_RT_OTHER, "deno", "contexts of Deno are not followed"},
	{"dotnet", true, CLEW_RT_OTHER, "dotnet", "contexts of .NET are not followed"},
	{"beam", false, CLEW_RT_OTHER, "beam", "contexts of the BEAM are not followed"},
	{"pypy", false, CLEW_RT_OTHER, "pypy", "contexts of PyPy are not followed"},
	{"haproxy", false, CLEW_RT_OTHER, "haproxy",
	 "its symbols fdtab and haproxy_version are missing"},
	{"envoy", true, CLEW_RT_OTHER, "envoy", "contexts of Envoy are not followed"},
	{"ruby", false, CLEW_RT_UNKNOWN, "ruby", ""},
	{"php", false, CLEW_RT_UNKNOWN, "php", ""},
};

const struct clew_program *clew_facts__program(const char *basename)
{
	size_t i;

	for (i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (programs[i].whole
			    ? !strcmp(basename, programs[i].prefix)
			    : !strncmp(basename, programs[i].prefix, strlen(programs[i].prefix)))
			return &programs[i];
	return NULL;
}

static void add_site(const struct clew_elf *elf, struct clew_facts *f, enum clew_site_kind kind,
		     uint64_t addr)
{
	struct clew_site_fact *s = &f->sites[f->nr_sites];

	if (!addr || f->nr_sites == sizeof(f->sites) / sizeof(f->sites[0]))
		return;
	if (clew_elf__probe_addr(elf, addr, &addr, &s->insn) || s->insn == CLEW_INSN_REFUSED ||
	    clew_elf__offset(elf, addr, &s->off))
		return;
	s->kind = kind;
	f->nr_sites++;
}

static bool in_rodata(const struct clew_elf *elf, const char *text, uint64_t *ret_off)
{
	struct clew_elf_section sec;

	if (clew_elf__section(elf, ".rodata", &sec) || sec.type == SHT_NOBITS)
		return false;
	return !clew_elf__find(elf, sec.off, sec.size, text, strlen(text), ret_off);
}

static void nginx_version(const struct clew_elf *elf, struct clew_facts *f)
{
	static const char *const marks[] = {"nginx/1.", "nginx/0.", "openresty/1."};
	char text[33];
	uint64_t off;
	size_t i, n;

	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (!in_rodata(elf, marks[i], &off) ||
		    clew_elf__read_off(elf, off, text, sizeof(text) - 1))
			continue;
		text[sizeof(text) - 1] = 0;
		n = strcspn(marks[i], "/") + 1;
		snprintf(f->version, sizeof(f->version), "%.*s",
			 (int)strspn(text + n, "0123456789."), text + n);
		return;
	}
}

static bool is_nginx(const struct clew_elf *elf, const struct clew_elf_sym *sym,
		     struct clew_facts *f)
{
	if (!sym->addr)
		return false;
	f->kind = CLEW_FACTS_NGINX;
	nginx_version(elf, f);
	return true;
}

static bool is_haproxy(const struct clew_elf *elf, const struct clew_elf_sym *fdtab,
		       const struct clew_elf_sym *version, struct clew_facts *f)
{
	size_t n = sizeof(f->version) - 1;

	if (!fdtab->addr || !version->addr)
		return false;
	f->kind = CLEW_FACTS_HAPROXY;
	f->fdtab = fdtab->addr;
	if (version->size < n)
		n = version->size;
	if (clew_elf__read(elf, version->addr, f->version, n))
		n = 0;
	f->version[n] = 0;
	f->version[strspn(f->version, "0123456789.")] = 0;
	return true;
}

/* Extensions find sapi_module by its name; what it names itself is a text in the program. */
static bool is_php_fpm(const struct clew_elf *elf, const struct clew_elf_sym *sapi,
		       struct clew_facts *f)
{
	uint64_t off;

	if (!sapi->addr || !in_rodata(elf, "fpm-fcgi", &off))
		return false;
	f->kind = CLEW_FACTS_PHP_FPM;
	return true;
}

/* Runtimes whose programs have any name: what their files cannot hide. */
static bool is_other(const struct clew_elf *elf, struct clew_facts *f)
{
	static const struct {
		const char *section, *name;
	} sections[] = {
		{".svm_heap", "graalvm"},
		{"__managedcode", "dotnet"},
	};
	struct clew_elf_section sec;
	const char *name = NULL;
	size_t i;

	for (i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (!clew_elf__section(elf, sections[i].section, &sec))
			name = sections[i].name;
	if (!name)
		return false;
	f->kind = CLEW_FACTS_OTHER;
	snprintf(f->name, sizeof(f->name), "%s", name);
	return true;
}

static int queue_facts(const struct clew_elf *elf, struct clew_facts *f)
{
	struct clew_python_queue q;
	int err = clew_python__queue(elf, &q);

	if (err)
		return err;
	add_site(elf, f, CLEW_SITE_PY_PUT, q.put);
	add_site(elf, f, CLEW_SITE_PY_GET, q.get);
	add_site(elf, f, CLEW_SITE_PY_GET, q.get_nowait);
	return 0;
}

static void deque_facts(const struct clew_elf *elf, struct clew_facts *f)
{
	struct clew_python_deque d;

	if (clew_python__deque(elf, &d))
		return;
	add_site(elf, f, CLEW_SITE_PY_APPEND, d.append);
	add_site(elf, f, CLEW_SITE_PY_POPLEFT, d.popleft);
	add_site(elf, f, CLEW_SITE_PY_REMOVE, d.remove);
}

static int uvloop_facts(const struct clew_elf *elf, struct clew_facts *f)
{
	struct clew_python_uvloop uv;
	int err = clew_python__uvloop(elf, &uv);

	if (err)
		return err;
	f->uvloop = uv.call;
	add_site(elf, f, CLEW_SITE_PY_WRITE, uv.write);
	add_site(elf, f, CLEW_SITE_PY_WRITE, uv.writelines);
	return 0;
}

static int python_facts(const struct clew_elf *elf, const char *basename, struct clew_facts *f)
{
	unsigned int minor = 0;
	char abi[8] = "";
	uint64_t addr;
	int err;

	if (clew_python__parse_name(basename, &minor, abi))
		minor = 0;
	err = clew_python__inspect(elf, minor, abi, &f->python);
	if (err)
		return err;
	f->kind = CLEW_FACTS_PYTHON;
	add_site(elf, f, CLEW_SITE_PY_COPY, f->python.copy_current);
	/* some builds have _asyncio inside */
	if (!clew_python__task_init(elf, &addr))
		add_site(elf, f, CLEW_SITE_PY_TASK_INIT, addr);
	queue_facts(elf, f);
	deque_facts(elf, f);
	return 0;
}

static int node_facts(const struct clew_elf *elf, struct clew_facts *f)
{
	const struct clew_node_facts *node = &f->node;
	int err = clew_node__inspect(elf, &f->node);

	if (err)
		return err;
	f->kind = CLEW_FACTS_NODE;
	if (!node->has_ids)
		return 0;
	add_site(elf, f, CLEW_SITE_NODE_PARSER, node->parser);
	add_site(elf, f, CLEW_SITE_NODE_ID, node->id);
	if (!node->has_async)
		return 0;
	add_site(elf, f, CLEW_SITE_NODE_DRAIN, node->drain);
	for (int i = 0; i < 3; i++)
		add_site(elf, f, CLEW_SITE_NODE_AWAIT, node->await[i]);
	for (int i = 0; i < 2; i++) {
		add_site(elf, f, CLEW_SITE_NODE_RESUME, node->resume[i]);
		add_site(elf, f, CLEW_SITE_NODE_MOVED, node->moved[i]);
	}
	return 0;
}

static int ruby_facts(const struct clew_elf *elf, struct clew_facts *f)
{
	int err = clew_ruby__inspect(elf, &f->ruby);

	if (err)
		return err;
	f->kind = CLEW_FACTS_RUBY;
	add_site(elf, f, CLEW_SITE_RUBY_SHIFT, f->ruby.shift);
	return 0;
}

static bool is_tokio(const struct clew_elf *elf, struct clew_facts *f)
{
	const struct clew_rust_place *p = f->rust.place;

	if (clew_rust__inspect(elf, &f->rust))
		return false;
	f->kind = CLEW_FACTS_TOKIO;
	for (uint32_t i = 0; i < f->rust.nr; i++)
		add_site(elf, f,
			 p[i].take  ? CLEW_SITE_RUST_TAKE
			 : p[i].pop ? CLEW_SITE_RUST_POP
				    : CLEW_SITE_RUST_PUSH,
			 p[i].addr);
	for (uint32_t i = 0; i < f->rust.nr_spawn; i++)
		add_site(elf, f, CLEW_SITE_RUST_SPAWN, f->rust.spawn[i]);
	for (uint32_t i = 0; i < f->rust.nr_join; i++)
		add_site(elf, f, CLEW_SITE_RUST_JOIN, f->rust.join[i]);
	return true;
}

static int exe_facts(const struct clew_elf *elf, const char *basename, struct clew_facts *f)
{
	static const char *const names[] = {
		"ngx_writev_chain", "_PyRuntime",	   "fdtab",
		"haproxy_version",  "_ZN4node5StartEiPPc", "sapi_module"};
	const struct clew_program *prog = clew_facts__program(basename);
	struct clew_elf_sym sym[6];
	int err = clew_go__inspect(elf, &f->go);

	if (err != -ENOENT) {
		f->kind = CLEW_FACTS_GO;
		add_site(elf, f, CLEW_SITE_GO_SERVE, f->go.func[CLEW_GO_SERVE]);
		add_site(elf, f, CLEW_SITE_GO_ROUNDTRIP, f->go.func[CLEW_GO_ROUNDTRIP]);
		if (!f->go.spawn || !f->go.func[CLEW_GO_ROUNDTRIP])
			return err;
		add_site(elf, f, CLEW_SITE_GO_RESPONSE, f->go.func[CLEW_GO_RESPONSE]);
		add_site(elf, f, CLEW_SITE_GO_SPAWN, f->go.spawn);
		return err;
	}
	if (prog && !strcmp(prog->name, "ruby")) {
		err = ruby_facts(elf, f); /* or it is in a library */
		return err == -ENOENT ? 0 : err;
	}
	if (prog && strcmp(prog->name, "haproxy") && strcmp(prog->name, "node") &&
	    strcmp(prog->name, "php")) /* large, and nothing more to learn */
		return 0;
	err = clew_elf__syms(elf, names, 6, sym);
	if (err < 0)
		return err;
	if (sym[4].addr)
		return node_facts(elf, f);
	if (is_nginx(elf, sym, f) || is_haproxy(elf, &sym[2], &sym[3], f) ||
	    is_php_fpm(elf, &sym[5], f))
		return 0;
	if (sym[1].addr)
		return python_facts(elf, basename, f);
	if (!is_tokio(elf, f))
		is_other(elf, f);
	return 0;
}

static void parse(int fd, enum clew_file_role role, const char *basename, struct clew_facts *f)
{
	struct clew_elf *elf;
	uint64_t addr;

	f->err = clew_elf__new(fd, &elf);
	if (f->err)
		return;
	f->x86_64 = clew_elf__is_x86_64(elf);
	if (f->x86_64) {
		switch (role) {
		case CLEW_FILE_EXE:
			f->err = exe_facts(elf, basename, f);
			break;
		case CLEW_FILE_PYTHON:
			f->err = python_facts(elf, basename, f);
			break;
		case CLEW_FILE_ASYNCIO:
			f->err = clew_python__task_init(elf, &addr);
			if (!f->err)
				add_site(elf, f, CLEW_SITE_PY_TASK_INIT, addr);
			break;
		case CLEW_FILE_QUEUE:
			f->err = queue_facts(elf, f);
			break;
		case CLEW_FILE_UVLOOP:
			f->err = uvloop_facts(elf, f);
			break;
		case CLEW_FILE_NODE:
			f->err = node_facts(elf, f);
			break;
		case CLEW_FILE_RUBY:
			f->err = ruby_facts(elf, f);
			break;
		case CLEW_FILE_LIBC:
			f->err = clew_python__specific(elf, &f->specific_off);
			break;
		case CLEW_FILE_JVM:
			clew_java__inspect(elf, &f->java);
			break;
		}
	}
	clew_elf__free(elf);
}

static struct entry *find(struct clew_runtime_cache *cache, const struct entry *key)
{
	uint32_t i;

	for (i = 0; i < cache->n; i++) {
		struct entry *e = &cache->entries[i];

		if (e->facts.ino == key->facts.ino && e->facts.dev == key->facts.dev &&
		    e->role == key->role && e->mtime_ns == key->mtime_ns && e->size == key->size)
			return e;
	}
	return NULL;
}

/* Room for one more, by growing or in place of the one that was not asked for longest. */
static struct entry *make_room(struct clew_runtime_cache *cache)
{
	struct entry *oldest, *grown;
	uint32_t i, room;

	if (cache->n < cache->room)
		return &cache->entries[cache->n++];
	if (cache->room < CACHE_MAX) {
		room = cache->room ? cache->room * 2 : 16;
		grown = realloc(cache->entries, room * sizeof(*grown));
		if (grown) {
			cache->entries = grown;
			cache->room = room;
			return &cache->entries[cache->n++];
		}
		if (!cache->n)
			return NULL;
	}
	oldest = &cache->entries[0];
	for (i = 1; i < cache->n; i++)
		if (cache->entries[i].used < oldest->used)
			oldest = &cache->entries[i];
	return oldest;
}

int clew_facts__get(struct clew_runtime_cache *cache, int fd, enum clew_file_role role,
		    const char *basename, struct clew_facts *ret)
{
	struct entry key = {.role = role}, *e;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	key.facts.dev = (uint64_t)st.st_dev;
	key.facts.ino = (uint64_t)st.st_ino;
	key.size = (uint64_t)st.st_size;
	key.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000ULL + (uint64_t)st.st_mtim.tv_nsec;
	if (cache) {
		e = find(cache, &key);
		if (e) {
			e->used = ++cache->clock;
			cache->hits++;
			*ret = e->facts;
			return 0;
		}
		cache->parsed++;
		key.used = ++cache->clock;
	}
	parse(fd, role, basename, &key.facts);
	if (cache) {
		e = make_room(cache);
		if (e)
			*e = key;
	}
	*ret = key.facts;
	return 0;
}
