/* SPDX-License-Identifier: Apache-2.0 */
/*
 * python_runtime.c - where CPython keeps the current context, and where a Task is born.
 *
 * A thread's PyThreadState hangs on a pthread key, whether or not the thread holds the GIL, so
 * the kernel side can find it from the FS base alone: FS + specific -> block[key / 32] +
 * (key % 32) * 16 + 8. The key is read once from the process; the offset of `specific` is what
 * glibc publishes for debuggers (_thread_db_pthread_specific: size, count, offset); offsets
 * inside CPython come from a table per minor version. All of them are then proved together in
 * the running process, so that a vendor's patched interpreter is found out, not believed.
 *
 * _asyncio_Task___init__ is a local symbol and often stripped. The type object leads to it: a
 * relocation gives the address of the name "_asyncio.Task", and beside it stands tp_init (a
 * static PyTypeObject, up to 3.11) or the PyType_Spec's slot Py_tp_init (3.12 and later).
 * Sources: CPython's Include/cpython/object.h, Include/typeslots.h, Python/thread_pthread.h;
 * glibc's nptl_db/structs.def.
 */
#include "probe/look.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PTHREAD_KEYS	 1024
#define TP_NAME_OFF	 24
#define TP_INIT_OFF	 296
#define SPEC_SLOTS_OFF	 24 /* PyType_Spec: name, two ints, flags, slots */
#define SLOT_TP_INIT	 60
#define SLOTS_MAX	 80
#define METHOD_FN_OFF	 8 /* PyMethodDef: name, function, flags, documentation */
#define METHOD_FLAGS_OFF 16
#define METHOD_DOC_OFF	 24
#define METHODS_SPAN	 1024 /* bytes: between entries of one type */
#define METH_O		 0x8
#define METH_FASTCALL	 0x80
#define NAME_CANDIDATES	 16
#define NAME_STRINGS	 4
#define THREADS_CHECKED	 64
#define VERSION_FINAL	 0xf
#define TASK_NAME	 "_asyncio.Task"

static const struct clew_python_layout layouts[] = {
#include "probe/python_offsets.h"
};

const struct clew_python_layout *clew_python__layout(unsigned int minor)
{
	size_t i;

	for (i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++)
		if (layouts[i].minor == minor)
			return &layouts[i];
	return NULL;
}

int clew_python__parse_name(const char *basename, unsigned int *ret_minor, char abi[8])
{
	const char *p = basename;
	size_t len;
	char *end;

	if (!strncmp(p, "lib", 3))
		p += 3;
	if (strncmp(p, "python3.", 8) || p[8] < '0' || p[8] > '9')
		return -ENOENT;
	*ret_minor = (unsigned int)strtoul(p + 8, &end, 10);
	len = strspn(end, "abcdefghijklmnopqrstuvwxyz");
	if (len > 7 || (end[len] && end[len] != '.' && end[len] != '-'))
		return -ENOENT;
	memcpy(abi, end, len);
	abi[len] = 0;
	return *ret_minor < 100 ? 0 : -ENOENT;
}

int clew_python__inspect(const struct clew_elf *elf, unsigned int minor, const char *abi,
			 struct clew_python_facts *ret)
{
	static const char *const names[] = {"_PyRuntime", "PyContext_Type", "PyContext_CopyCurrent",
					    "Py_Version"};
	struct clew_elf_sym sym[4];
	uint32_t hex = 0;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = clew_elf__syms(elf, names, 4, sym);
	if (err < 0)
		return err;
	if (!sym[0].addr)
		return -ENOENT;
	ret->runtime = sym[0].addr;
	ret->context_type = sym[1].addr;
	ret->copy_current = sym[2].addr;
	/* Py_Version exists from 3.11 on; it beats what the file is called */
	if (sym[3].addr && !clew_elf__read(elf, sym[3].addr, &hex, 4) && hex >> 24 == 3) {
		minor = hex >> 16 & 0xff;
		snprintf(ret->version, sizeof(ret->version), "3.%u.%u", minor, hex >> 8 & 0xff);
	} else if (minor) {
		snprintf(ret->version, sizeof(ret->version), "3.%u", minor);
	}
	ret->layout = clew_python__layout(minor);
	if (strchr(abi, 't'))
		ret->why_not = "free-threaded build: its layouts are not known";
	else if (strchr(abi, 'd'))
		ret->why_not = "debug build: its layouts are not known";
	else if (hex && (hex >> 4 & 0xf) != VERSION_FINAL)
		ret->why_not = "pre-release: its layouts are not known";
	else if (!ret->layout)
		ret->why_not = "the layouts of this version are not known";
	if (ret->why_not)
		ret->layout = NULL;
	return 0;
}

struct names {
	uint32_t nr_strings, n;
	uint64_t string[NAME_STRINGS]; /* addresses of "_asyncio.Task" */
	uint64_t at[NAME_CANDIDATES];  /* words that point to one of them */
	uint64_t init[NAME_CANDIDATES], slots[NAME_CANDIDATES];
	uint64_t slot_init, slot_value; /* the word whose value is wanted, and that */
};

/* Where the name stands. Most files do not hold it at all, which is found out here, cheaply. */
static void find_strings_in(const struct clew_elf *elf, struct names *s, const char *section,
			    const char *text, size_t len)
{
	struct clew_elf_section sec;
	uint64_t from, at;

	if (clew_elf__section(elf, section, &sec) || sec.type == SHT_NOBITS)
		return;
	for (from = sec.off; s->nr_strings < NAME_STRINGS; from = at + 1) {
		if (clew_elf__find(elf, from, sec.off + sec.size - from, text, len, &at))
			return;
		s->string[s->nr_strings++] = sec.addr + (at - sec.off);
	}
}

static void find_strings(const struct clew_elf *elf, struct names *s, const char *text, size_t len)
{
	find_strings_in(elf, s, ".rodata", text, len);
}

/* First pass: which words point to the name. */
static int name_word(void *arg, uint64_t where, uint64_t value)
{
	struct names *s = arg;
	uint32_t i;

	for (i = 0; i < s->nr_strings; i++)
		if (value == s->string[i] && s->n < NAME_CANDIDATES)
			s->at[s->n++] = where;
	return 0;
}

/* Second pass: what stands where tp_init, or a spec's slots, would be. */
static int neighbours(void *arg, uint64_t where, uint64_t value)
{
	struct names *s = arg;
	uint32_t i;

	for (i = 0; i < s->n; i++) {
		if (where == s->at[i] - TP_NAME_OFF + TP_INIT_OFF)
			s->init[i] = value;
		if (where == s->at[i] + SPEC_SLOTS_OFF)
			s->slots[i] = value;
	}
	return 0;
}

static int slot_word(void *arg, uint64_t where, uint64_t value)
{
	struct names *s = arg;

	if (where != s->slot_init)
		return 0;
	s->slot_value = value;
	return 1;
}

/* The address of the Py_tp_init entry's pointer in a slot table, or 0. */
static uint64_t find_slot(const struct clew_elf *elf, uint64_t slots)
{
	uint64_t i;

	for (i = 0; i < SLOTS_MAX; i++) {
		int32_t id;

		if (clew_elf__read(elf, slots + i * 16, &id, sizeof(id)) || id <= 0)
			return 0;
		if (id == SLOT_TP_INIT)
			return slots + i * 16 + 8;
	}
	return 0;
}

static bool is_code(const struct clew_elf *elf, uint64_t addr)
{
	struct clew_elf_section text;

	return !clew_elf__section(elf, ".text", &text) && addr >= text.addr &&
	       addr - text.addr < text.size;
}

/* Each word that is an address. A program linked at a fixed one has them in the file. */
static int each_word(const struct clew_elf *elf, clew_rela_fn fn, void *arg)
{
	struct clew_elf_section data;
	uint64_t words[256], at, n, i;
	int err;

	if (clew_elf__is_pie(elf))
		return clew_elf__each_relative(elf, fn, arg);
	if (clew_elf__section(elf, ".data", &data) || data.type == SHT_NOBITS)
		return -ENOENT;
	for (at = 0; at + 8 <= data.size; at += 8 * n) {
		n = (data.size - at) / 8;
		if (n > sizeof(words) / sizeof(words[0]))
			n = sizeof(words) / sizeof(words[0]);
		err = clew_elf__read_off(elf, data.off + at, words, 8 * n);
		for (i = 0; !err && i < n; i++)
			err = words[i] ? fn(arg, data.addr + at + 8 * i, words[i]) : 0;
		if (err)
			return err;
	}
	return 0;
}

int clew_python__task_init(const struct clew_elf *elf, uint64_t *ret_addr)
{
	static const char *const symbol[] = {"_asyncio_Task___init__"};
	struct names s = {0};
	struct clew_elf_sym sym;
	uint32_t i;
	int err;

	if (clew_elf__syms(elf, symbol, 1, &sym) == 1) {
		*ret_addr = sym.addr;
		return 0;
	}
	find_strings(elf, &s, TASK_NAME, sizeof(TASK_NAME));
	if (!s.nr_strings)
		return -ENOENT;
	err = each_word(elf, name_word, &s);
	if (!err && s.n)
		err = each_word(elf, neighbours, &s);
	if (err < 0)
		return err;
	for (i = 0; i < s.n; i++) {
		if (s.init[i] && is_code(elf, s.init[i])) {
			*ret_addr = s.init[i];
			return 0;
		}
		s.slot_init = s.slots[i] ? find_slot(elf, s.slots[i]) : 0;
		if (s.slot_init && each_word(elf, slot_word, &s) == 1 &&
		    is_code(elf, s.slot_value)) {
			*ret_addr = s.slot_value;
			return 0;
		}
	}
	return -ENOENT;
}

/* A method table's entry: name, function, flags, and the documentation, by which it is known. */
static int method_word(void *arg, uint64_t where, uint64_t value)
{
	struct names *s = arg;
	uint32_t i;

	for (i = 0; i < s->n; i++)
		if (where == s->at[i] - METHOD_DOC_OFF + METHOD_FN_OFF)
			s->init[i] = value;
	return 0;
}

/* `near`: the entry of another method of the same type, or 0; set to this one's. */
static uint64_t find_method(const struct clew_elf *elf, const char *doc, int32_t *ret_flags,
			    uint64_t *near)
{
	struct names s = {0};
	uint32_t i;

	find_strings(elf, &s, doc, strlen(doc));
	if (!s.nr_strings) /* Cython before 3 makes them variables */
		find_strings_in(elf, &s, ".data", doc, strlen(doc));
	if (!s.nr_strings || each_word(elf, name_word, &s) || !s.n ||
	    each_word(elf, method_word, &s))
		return 0;
	for (i = 0; i < s.n; i++) {
		if (!s.init[i] || !is_code(elf, s.init[i]))
			continue;
		if (near && *near && s.at[i] - *near + METHODS_SPAN > 2 * METHODS_SPAN)
			continue; /* list.remove is documented like deque.remove */
		if (ret_flags && clew_elf__read(elf, s.at[i] - METHOD_DOC_OFF + METHOD_FLAGS_OFF,
						ret_flags, sizeof(*ret_flags)))
			continue;
		if (near)
			*near = s.at[i];
		return s.init[i];
	}
	return 0;
}

int clew_python__queue(const struct clew_elf *elf, struct clew_python_queue *ret)
{
	ret->put =
		find_method(elf, "put($self, /, item, block=True, timeout=None)\n--\n", NULL, NULL);
	if (!ret->put) /* most files: that was all */
		return -ENOENT;
	ret->get = find_method(elf, "get($self, /, block=True, timeout=None)\n--\n", NULL, NULL);
	ret->get_nowait = find_method(elf, "get_nowait($self, /)\n--\n", NULL, NULL);
	return ret->get && ret->get_nowait ? 0 : -ENOENT;
}

/* From 3.13 on the documentation begins with the signature. */
static uint64_t find_deque(const struct clew_elf *elf, const char *before, const char *now,
			   uint64_t *near)
{
	uint64_t at = find_method(elf, now, NULL, near);

	return at ? at : find_method(elf, before, NULL, near);
}

int clew_python__deque(const struct clew_elf *elf, struct clew_python_deque *ret)
{
	uint64_t near = 0;

	ret->append = find_deque(elf, "Add an element to the right side of the deque.",
				 "append($self, item, /)\n--\n\n"
				 "Add an element to the right side of the deque.",
				 &near);
	ret->popleft = find_deque(elf, "Remove and return the leftmost element.",
				  "popleft($self, /)\n--\n\n"
				  "Remove and return the leftmost element.",
				  &near);
	ret->remove = find_deque(elf, "D.remove(value) -- remove first occurrence of value.",
				 "remove($self, value, /)\n--\n\n"
				 "Remove first occurrence of value.",
				 &near);
	return ret->append && ret->popleft && ret->remove ? 0 : -ENOENT;
}

int clew_python__uvloop(const struct clew_elf *elf, struct clew_python_uvloop *ret)
{
	int32_t flags = 0;

	ret->write = find_method(elf, "UVStream.write(self, buf)", &flags, NULL);
	if (!ret->write)
		return -ENOENT;
	ret->writelines = find_method(elf, "UVStream.writelines(self, bufs)", NULL, NULL);
	ret->call = flags & METH_FASTCALL ? CLEW_PY_UV_ARRAY : CLEW_PY_UV_ONE;
	return ret->writelines && flags & (METH_FASTCALL | METH_O) ? 0 : -ENOENT;
}

int clew_python__specific(const struct clew_elf *elf, uint32_t *ret_off)
{
	static const char *const symbol[] = {"_thread_db_pthread_specific"};
	struct clew_elf_sym sym;
	uint32_t desc[3]; /* size in bits, count, offset */
	int err = clew_elf__syms(elf, symbol, 1, &sym);

	if (err < 0)
		return err;
	if (!err)
		return -ENOENT;
	err = clew_elf__read(elf, sym.addr, desc, sizeof(desc));
	if (err)
		return err;
	/* an array of 32 pointers, somewhere in a struct of a few kilobytes */
	if ((uint64_t)desc[0] * desc[1] != PTHREAD_KEYS / 32 * 64 || desc[2] < 64 ||
	    desc[2] > 8192 || desc[2] % 8)
		return -EBADMSG;
	*ret_off = desc[2];
	return 0;
}

static bool peek(int mem, uint64_t addr, void *buf, size_t n)
{
	return pread(mem, buf, n, (off_t)addr) == (ssize_t)n;
}

static uint64_t word(int mem, uint64_t addr)
{
	uint64_t v;

	return peek(mem, addr, &v, sizeof(v)) ? v : 0;
}

/* 1: all offsets fit for this thread; 0: they do not; -1: it cannot be told by this one. */
static int check_thread(int mem, const struct clew_python_facts *f, uint64_t bias,
			uint32_t specific_off, int32_t key, uint64_t ts)
{
	uint64_t fs = word(mem, ts + f->layout->thread_id), block, ctx;

	/* the thread control block begins with a pointer to itself (System V TLS ABI) */
	if (!fs || word(mem, fs) != fs)
		return -1;
	block = word(mem, fs + specific_off + (uint32_t)key / 32 * 8);
	if (!block || word(mem, block + (uint32_t)key % 32 * 16 + 8) != ts)
		return 0;
	ctx = word(mem, ts + f->layout->ctx);
	if (!ctx)
		return 1; /* no context was needed yet */
	return !f->context_type || word(mem, ctx + 8) == bias + f->context_type;
}

int clew_python__live(int mem, const struct clew_python_facts *f, uint64_t bias,
		      uint32_t specific_off, int32_t *ret_key, uint32_t *ret_threads)
{
	uint64_t rt = bias + f->runtime, ts;
	int32_t init = 0, key = -1, seen = 0;
	bool fits = false;
	uint32_t i;

	if (!f->layout)
		return -EINVAL;
	if (!peek(mem, rt + f->layout->key_init, &init, sizeof(init)) ||
	    !peek(mem, rt + f->layout->key, &key, sizeof(key)))
		return -ESRCH;
	if (!init)
		return -EAGAIN;
	if (init != 1 || key < 0 || key >= PTHREAD_KEYS)
		return -EINVAL;
	ts = word(mem, rt + f->layout->interpreters);
	ts = ts ? word(mem, ts + f->layout->threads) : 0;
	/*
	 * The list is newest first, linked by `next`, the second word (3.7: also). Threads come
	 * and go while it is read, so one that fits is enough, and a misfit must repeat.
	 */
	for (i = 0; ts && i < THREADS_CHECKED; i++, ts = word(mem, ts + 8)) {
		int ok = fits ? -1 : check_thread(mem, f, bias, specific_off, key, ts);

		fits |= ok > 0;
		seen += !ok;
	}
	if (!fits)
		return seen ? -EINVAL : -ENODATA;
	*ret_key = key;
	*ret_threads = i;
	return 0;
}

static void find_specific(struct clew_look *l)
{
	const struct clew_map *const libs[] = {&l->maps.libc, &l->maps.libpthread};
	char path[CLEW_SITE_PATH];
	struct clew_facts f;

	for (size_t i = 0; i < 2 && !l->rt->entry.py_specific; i++)
		if (!clew_look__facts(l, libs[i], CLEW_FILE_LIBC, &f, path))
			l->rt->entry.py_specific = f.specific_off;
	if (l->rt->entry.py_specific)
		return;
	if (l->maps.musl)
		clew_look__why(l, "musl libc: thread-specific data cannot be found");
	else if (!l->maps.libc.end)
		clew_look__why(l, "static C library: thread-specific data cannot be found");
	else
		clew_look__why(l, "the C library does not say where thread-specific data is");
}

/* Read the pthread key and prove every offset in the live process; only then are they used. */
static bool read_key(struct clew_look *l, const struct clew_map *map, const struct clew_facts *f,
		     uint32_t *ret_threads)
{
	uint64_t bias;
	int32_t key;
	int mem, err = clew_look__bias(l, map, &bias);

	if (err) {
		clew_look__why(l, "load address of the interpreter not found (%s)", strerror(-err));
		return false;
	}
	mem = clew_procfs__open_mem(l->pid);
	err = mem < 0 ? mem
		      : clew_python__live(mem, &f->python, bias, l->rt->entry.py_specific, &key,
					  ret_threads);
	if (mem >= 0)
		close(mem);
	if (!err) {
		l->rt->entry.py_key = (uint16_t)key;
		return true;
	}
	if (err == -EAGAIN || err == -ENODATA) {
		l->rt->pending = true;
		clew_look__why(l, "the interpreter is not initialised yet");
	} else if (err == -EINVAL) {
		clew_look__why(l, "the layouts of CPython %s do not fit this process",
			       l->rt->version);
	} else {
		clew_look__why(l, "memory of the process cannot be read (%s)", strerror(-err));
	}
	return false;
}

/* Without the probe of its writes, they would be those of one context that is nobody's. */
static void look_uvloop(struct clew_look *l)
{
	struct clew_runtime *rt = l->rt;
	char path[CLEW_SITE_PATH];
	struct clew_facts f;

	if (!clew_look__facts(l, &l->maps.uvloop, CLEW_FILE_UVLOOP, &f, path) && !f.err &&
	    f.uvloop) {
		clew_look__sites(l, &f, path);
		rt->entry.py_uv = f.uvloop;
	}
	if (clew_look__has(l, CLEW_SITE_PY_WRITE))
		return;
	rt->entry.py_task_ctx = 0;
	clew_look__drop_set(l, CLEW_SET_PY_TASK);
	clew_look__why(l, "the writes of uvloop's streams cannot be found");
}

static void look_python(struct clew_look *l, const struct clew_map *lib, const struct clew_facts *f,
			const char *path)
{
	const struct clew_python_layout *layout = f->python.layout;
	struct clew_runtime *rt = l->rt;
	char apath[CLEW_SITE_PATH];
	struct clew_facts af;
	uint32_t threads = 0;

	clew_look__name(l, CLEW_RT_PYTHON, "cpython");
	snprintf(rt->version, sizeof(rt->version), "%s", f->python.version);
	rt->entry.flags |= CLEW_PROC_THREADS;
	if (!layout) {
		clew_look__why(l, "CPython %s: %s", f->python.version, f->python.why_not);
		return;
	}
	find_specific(l);
	if (!rt->entry.py_specific || !read_key(l, lib, f, &threads))
		return;
	rt->entry.py_closure = (uint8_t)layout->closure;
	rt->entry.py_values = (uint8_t)layout->values;
	rt->entry.py_tuple = (uint8_t)layout->tuple;
	rt->entry.py_ctx = (uint16_t)layout->ctx;
	rt->entry.py_thread = (uint16_t)layout->thread_id;
	rt->entry.py_task_ctx = (uint16_t)layout->task_ctx;
	clew_look__sites(l, f, path);
	if (l->maps.asyncio.end && !clew_look__has(l, CLEW_SITE_PY_TASK_INIT) &&
	    !clew_look__facts(l, &l->maps.asyncio, CLEW_FILE_ASYNCIO, &af, apath)) {
		clew_look__sites(l, &af, apath);
		if (!clew_look__has(l, CLEW_SITE_PY_TASK_INIT))
			clew_look__why(l, "_asyncio_Task___init__ not found in _asyncio");
	} else if (!clew_look__has(l, CLEW_SITE_PY_TASK_INIT)) {
		rt->pending = true; /* asyncio may still be imported */
		clew_look__why(l, "asyncio is not loaded yet");
	}
	if (!clew_look__has(l, CLEW_SITE_PY_PUT) &&
	    !clew_look__facts(l, &l->maps.queue, CLEW_FILE_QUEUE, &af, apath))
		clew_look__sites(l, &af, apath);
	/* threads beside a loop: contexts are copied to them from the first request on */
	if (threads > 1 && clew_look__has(l, CLEW_SITE_PY_TASK_INIT))
		rt->wanted |= 1ULL << CLEW_SET_PY_COPY;
	if (threads > 1)
		rt->wanted |= 1ULL << CLEW_SET_PY_QUEUE;
	if (l->maps.uvloop.end)
		look_uvloop(l);
	else
		rt->pending = true; /* uvloop may still be imported: it writes in its own way */
}

bool clew_python__look(struct clew_look *l)
{
	char path[CLEW_SITE_PATH];
	struct clew_facts lib;

	if (l->file->kind == CLEW_FACTS_PYTHON)
		look_python(l, &l->maps.exe, l->file, l->path);
	else if (!clew_look__facts(l, &l->maps.python, CLEW_FILE_PYTHON, &lib, path) &&
		 lib.kind == CLEW_FACTS_PYTHON)
		look_python(l, &l->maps.python, &lib, path);
	else
		return false;
	return true;
}
