/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_process.c - discovery of a process that was built to harm its tracer. The process is this
 * one: the files of the input are mapped under names that discovery looks for, so they are both
 * the libraries that it opens and the memory that it reads through /proc/PID/mem.
 *
 * The input: what the first file is as a program (0: no program), then per file a name of the
 * list, its size in two bytes, and the file. File i lies at BASE + i * STEP, where the seeds'
 * pointers expect it. Needs the right to open /proc/PID/map_files; without it little is reached.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/look.h"

#define BASE	  0x200000000000ULL
#define STEP	  0x1000000ULL
#define FILES_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A slash, so that all before it is a folder. */
static const char *const names[] = {
	"x/libjvm.so",
	"x/libpython3.11.so.1.0",
	"x/_asyncio.cpython-311.so",
	"x/_queue.cpython-311.so",
	"x/libc.so.6",
	"x/libnode.so.108",
	"x/libpthread.so.0",
	"/uvloop/loop.so",
	"x/ld-musl-x86_64.so.1",
	"x/libcoreclr.so",
	"x/libruby.so",
	"x/libphp.so",
	"x/libjli.so",
	"x/libpython3.8.so",
	"x/libpython3.13t.so",
	"x/libpython3.12.so.1.0\nx",
	"x/libpython3.13.so",
};

static const char *const programs[] = {"",     "app",  "python3.11", "nginx", "haproxy",
				       "node", "java", "php-fpm",    "python"};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct file {
	int fd;
	size_t size;
	const char *name;
	struct clew_map map; /* end == 0: not mapped */
};

struct input {
	struct file file[FILES_MAX];
	size_t n;
};

static void must(int holds)
{
	if (!holds)
		abort();
}

static void add_file(struct input *in, const char *name, const uint8_t *p, size_t n)
{
	struct file *f = &in->file[in->n];
	uint64_t start = BASE + in->n * STEP;
	struct stat st;

	f->fd = memfd_create(name, MFD_CLOEXEC);
	must(f->fd >= 0 && write(f->fd, p, n) == (ssize_t)n && !fstat(f->fd, &st));
	if (!n || mmap((void *)start, n, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, f->fd, 0) !=
			  (void *)start) {
		close(f->fd);
		return;
	}
	f->size = n;
	f->name = name;
	f->map.start = start;
	f->map.end = start + ((n + 4095) & ~4095ULL);
	f->map.ino = st.st_ino;
	f->map.deleted = true;
	in->n++;
}

static void read_input(struct input *in, const uint8_t *p, size_t n)
{
	while (n >= 3 && in->n < FILES_MAX) {
		const char *name = names[p[0] % COUNT(names)];
		size_t size = (size_t)p[1] << 8 | p[2];

		p += 3, n -= 3;
		if (size > n)
			size = n;
		add_file(in, name, p, size);
		p += size, n -= size;
	}
}

static void drop_input(struct input *in)
{
	for (size_t i = 0; i < in->n; i++) {
		munmap((void *)in->file[i].map.start, in->file[i].size);
		close(in->file[i].fd);
	}
}

static void check(const struct clew_runtime *rt)
{
	must(memchr(rt->name, 0, sizeof(rt->name)) && memchr(rt->why, 0, sizeof(rt->why)));
	must(memchr(rt->version, 0, sizeof(rt->version)) != NULL);
	for (const char *p = rt->version; *p; p++) /* it is printed, and exported as text */
		must(*p >= ' ' && *p <= '~');
	must(rt->nr_sites <= CLEW_SITES_MAX);
	for (uint32_t i = 0; i < rt->nr_sites; i++) {
		must(rt->sites[i].insn != CLEW_INSN_REFUSED);
		must(clew_site__info(rt->sites[i].kind)->set <= CLEW_SET_MAX);
	}
	/* what was not proved to the end is not read */
	must(!rt->entry.py_specific || rt->kind != CLEW_RT_PYTHON || rt->entry.py_specific < 16384);
}

/* The first file as the program itself, which a process cannot change for itself. */
static void as_program(struct clew_runtime_cache *cache, struct input *in, const char *exe)
{
	static bool (*const looks[])(struct clew_look *) = {
		clew_go__look,	 clew_nginx__look, clew_haproxy__look, clew_python__look,
		clew_java__look, clew_node__look,  clew_rust__look,    clew_ruby__look,
	};
	struct clew_runtime rt;
	struct clew_facts facts;
	struct clew_look l = {.cache = cache,
			      .pid = (uint32_t)getpid(),
			      .exe = exe,
			      .path = "/nowhere",
			      .file = &facts,
			      .rt = &rt};

	memset(&rt, 0, sizeof(rt));
	if (clew_facts__get(cache, in->file[0].fd, CLEW_FILE_EXE, exe, &facts))
		return;
	l.maps.exe = in->file[0].map;
	for (size_t i = 1; i < in->n; i++) {
		const struct file *f = &in->file[i];

		if (strstr(f->name, "libc.so"))
			l.maps.libc = f->map;
		else if (strstr(f->name, "_asyncio"))
			l.maps.asyncio = f->map;
		else if (strstr(f->name, "_queue"))
			l.maps.queue = f->map;
	}
	for (size_t i = 0; i < COUNT(looks) && !looks[i](&l); i++)
		;
	check(&rt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct clew_runtime_cache *cache; /* this program's own file is large */
	struct clew_runtime rt;
	struct input in = {.n = 0};
	uint64_t parsed, hits;
	const char *exe;

	if (size < 4)
		return 0;
	if (!cache)
		cache = clew_runtime_cache__new();
	exe = programs[data[0] % COUNT(programs)];
	read_input(&in, data + 1, size - 1);
	if (exe[0] && in.n) {
		as_program(cache, &in, exe);
	} else if (!clew_runtime__discover(cache, (uint32_t)getpid(), &rt)) {
		check(&rt);
		must(clew_runtime__refresh(cache, (uint32_t)getpid(), &rt) >= 0);
		check(&rt);
	}
	clew_runtime_cache__stats(cache, &parsed, &hits);
	drop_input(&in);
	return 0;
}
