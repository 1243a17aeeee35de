/* SPDX-License-Identifier: Apache-2.0 */
/*
 * java_runtime.c - where HotSpot keeps the current thread, its java.lang.Thread, and the job that
 * a pool's thread is at.
 *
 * libjvm.so exports tables that describe its own structures (gHotSpotVMStructs, for the
 * serviceability agent); offsets of Java fields come from the classes' own metadata. So there is
 * no table of versions here: a JVM says what it is, whether or not it has symbols. What it says is
 * proved by its own threads before it is used. Sources: vmStructs.cpp, instanceKlass.hpp,
 * fieldInfo.hpp and unsigned5.hpp of JDK 17, 21 and 25.
 *
 * HotSpot stores the JavaThread under a pthread key (threadLocalStorage_posix.cpp). glibc keeps
 * the first keys inside struct pthread, at a constant distance from the thread pointer: that
 * distance is looked for, not known.
 */
#include "probe/java_runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/look.h"

#define ENTRIES_MAX 4096
#define STRIDE_MAX  128
#define NAME_MAX_   96
#define THREADS_MAX 256
#define READS_MAX   (1 << 19) /* in one look: every class of a large program, thrice */
#define FIELDS_MAX  512
#define SUPERS_MAX  32
#define FLAGS_MAX   4096
#define TCB_BYTES   1536 /* of struct pthread that are searched, from the thread pointer on */
#define VIRTUAL	    21	 /* virtual threads since */

/* Entries of gHotSpotVMStructs; several lines of one id: names of different versions. */
enum {
	V_THREAD_OBJ,
	V_VTHREAD,
	V_OSTHREAD,
	V_THREAD_ID,
	V_PTHREAD,
	V_LIST,
	V_LIST_LEN,
	V_LIST_DATA,
	V_HEAP,
	V_GC_COUNT,
	V_GC_ACTIVE,
	V_NAME,
	V_NEXT,
	V_CLD,
	V_CLD_KLASSES,
	V_FIELDS,
	V_FIELDS_COUNT,
	V_FIELDINFO,
	V_POOL,
	V_SYM_LEN,
	V_SYM_BODY,
	V_OOP_BASE,
	V_OOP_SHIFT,
	V_KLASS_BASE,
	V_KLASS_SHIFT,
	V_FLAGS,
	V_FLAGS_NR,
	V_FLAG_NAME,
	V_FLAG_ADDR,
	V_RELEASE,
	V_MAJOR,
	V_THREAD_CLASS,
	V_MAX,
};

static const struct want {
	uint8_t id;
	const char *type, *field;
} wants[] = {
	{V_THREAD_OBJ, "JavaThread", "_threadObj"},
	{V_VTHREAD, "JavaThread", "_vthread"},
	{V_OSTHREAD, "JavaThread", "_osthread"},
	{V_OSTHREAD, "Thread", "_osthread"},
	{V_THREAD_ID, "OSThread", "_thread_id"},
	{V_PTHREAD, "OSThread", "_pthread_id"},
	{V_LIST, "ThreadsSMRSupport", "_java_thread_list"},
	{V_LIST_LEN, "ThreadsList", "_length"},
	{V_LIST_DATA, "ThreadsList", "_threads"},
	{V_HEAP, "Universe", "_collectedHeap"},
	{V_GC_COUNT, "CollectedHeap", "_total_collections"},
	{V_GC_ACTIVE, "CollectedHeap", "_is_gc_active"},
	{V_GC_ACTIVE, "CollectedHeap", "_is_stw_gc_active"},
	{V_NAME, "Klass", "_name"},
	{V_NEXT, "Klass", "_next_link"},
	{V_CLD, "Klass", "_class_loader_data"},
	{V_CLD_KLASSES, "ClassLoaderData", "_klasses"},
	{V_FIELDS, "InstanceKlass", "_fields"},
	{V_FIELDS_COUNT, "InstanceKlass", "_java_fields_count"},
	{V_FIELDINFO, "InstanceKlass", "_fieldinfo_stream"},
	{V_POOL, "InstanceKlass", "_constants"},
	{V_SYM_LEN, "Symbol", "_length"},
	{V_SYM_BODY, "Symbol", "_body"},
	{V_OOP_BASE, "CompressedOops", "_narrow_oop._base"},
	{V_OOP_BASE, "CompressedOops", "_base"},
	{V_OOP_SHIFT, "CompressedOops", "_narrow_oop._shift"},
	{V_OOP_SHIFT, "CompressedOops", "_shift"},
	{V_KLASS_BASE, "CompressedKlassPointers", "_narrow_klass._base"},
	{V_KLASS_BASE, "CompressedKlassPointers", "_base"},
	{V_KLASS_SHIFT, "CompressedKlassPointers", "_narrow_klass._shift"},
	{V_KLASS_SHIFT, "CompressedKlassPointers", "_shift"},
	{V_FLAGS, "JVMFlag", "flags"},
	{V_FLAGS_NR, "JVMFlag", "numFlags"},
	{V_FLAG_NAME, "JVMFlag", "_name"},
	{V_FLAG_ADDR, "JVMFlag", "_addr"},
	{V_RELEASE, "Abstract_VM_Version", "_s_vm_release"},
	{V_MAJOR, "Abstract_VM_Version", "_vm_major_version"},
	{V_THREAD_CLASS, "vmClasses", "_klasses[static_cast<int>(vmClassID::Thread_klass_knum)]"},
};

/* Flags of the command line, as JVMFlag holds them. */
enum { FLAG_G1, FLAG_PARALLEL, FLAG_SERIAL, FLAG_OOPS, FLAG_CLASSES, FLAG_COMPACT, FLAG_MAX };

static const char *const flag_names[FLAG_MAX] = {
	[FLAG_G1] = "UseG1GC",
	[FLAG_PARALLEL] = "UseParallelGC",
	[FLAG_SERIAL] = "UseSerialGC",
	[FLAG_OOPS] = "UseCompressedOops",
	[FLAG_CLASSES] = "UseCompressedClassPointers",
	[FLAG_COMPACT] = "UseCompactObjectHeaders",
};

/* Java fields that are read; what only some versions have may be missing. */
enum {
	J_EETOP,
	J_TID,
	J_HOLDER,
	J_TARGET,
	J_HOLDER_TASK,
	J_CARRIER,
	J_WORKER_THREAD,
	J_WORKER_DONE,
	J_FUTURE_RUNNER,
	J_FUTURE_WAITERS,
	J_NODE_THREAD,
	J_MAX,
};

static const struct {
	const char *klass, *field;
} java_fields[J_MAX] = {
	[J_EETOP] = {"java/lang/Thread", "eetop"},
	[J_TID] = {"java/lang/Thread", "tid"},
	[J_HOLDER] = {"java/lang/Thread", "holder"},
	[J_TARGET] = {"java/lang/Thread", "target"},
	[J_HOLDER_TASK] = {"java/lang/Thread$FieldHolder", "task"},
	[J_CARRIER] = {"java/lang/VirtualThread", "carrierThread"},
	[J_WORKER_THREAD] = {"java/util/concurrent/ThreadPoolExecutor$Worker", "thread"},
	[J_WORKER_DONE] = {"java/util/concurrent/ThreadPoolExecutor$Worker", "completedTasks"},
	[J_FUTURE_RUNNER] = {"java/util/concurrent/FutureTask", "runner"},
	[J_FUTURE_WAITERS] = {"java/util/concurrent/FutureTask", "waiters"},
	[J_NODE_THREAD] = {"java/util/concurrent/FutureTask$WaitNode", "thread"},
};

struct jvm {
	int mem;
	bool failed;	   /* a read did */
	uint32_t reads;	   /* lists may be endless, and what they lead to be long */
	uint32_t known[2]; /* bit set of V_* */
	uint64_t v[V_MAX]; /* offset, or address of a static */
	uint64_t pool_size, flag_size;
	uint32_t flags;	       /* bit set of FLAG_* */
	uint32_t field[J_MAX]; /* offset; 0: not found */
	uint64_t klass[J_MAX]; /* the class that declares it */
};

/* ---- memory ------------------------------------------------------------------------------ */

static bool may_read(struct jvm *j, uint64_t addr)
{
	return addr && addr < 1ULL << 47 && j->reads++ < READS_MAX;
}

static bool peek(struct jvm *j, uint64_t addr, void *buf, size_t n)
{
	if (may_read(j, addr) && pread(j->mem, buf, n, (off_t)addr) == (ssize_t)n)
		return true;
	memset(buf, 0, n);
	j->failed = true;
	return false;
}

static uint64_t word(struct jvm *j, uint64_t addr)
{
	uint64_t v;

	peek(j, addr, &v, sizeof(v));
	return v;
}

static uint32_t half(struct jvm *j, uint64_t addr)
{
	uint32_t v;

	peek(j, addr, &v, sizeof(v));
	return v;
}

static uint8_t byte(struct jvm *j, uint64_t addr)
{
	uint8_t v;

	peek(j, addr, &v, sizeof(v));
	return v;
}

/* A C string; what lies at the end of a mapping is read in two halves. */
static bool text(struct jvm *j, uint64_t addr, char *buf, size_t n)
{
	size_t got = 0;

	memset(buf, 0, n);
	while (got < n - 1 && may_read(j, addr)) {
		ssize_t r = pread(j->mem, buf + got, n - 1 - got, (off_t)(addr + got));

		if (r <= 0 || memchr(buf + got, 0, (size_t)r))
			break;
		got += (size_t)r;
	}
	return buf[0];
}

/* It is shown, and exported: a process must not write to somebody's terminal by it. */
static void cut_unprintable(char *p)
{
	while (*p >= ' ' && *p <= '~')
		p++;
	*p = 0;
}

static bool has(const struct jvm *j, int id)
{
	return j->known[id / 32] >> (id % 32) & 1;
}

/* ---- the tables that describe the JVM -------------------------------------------------------- */

static void learn(struct jvm *j, const uint8_t *entry, const uint64_t at[CLEW_JAVA_SYMS])
{
	char type[32], field[NAME_MAX_];
	uint64_t t, f, v;
	uint32_t is_static;

	memcpy(&t, entry + at[CLEW_JAVA_STRUCT_TYPE], 8);
	memcpy(&f, entry + at[CLEW_JAVA_STRUCT_FIELD], 8);
	memcpy(&is_static, entry + at[CLEW_JAVA_STRUCT_STATIC], 4);
	memcpy(&v, entry + at[is_static ? CLEW_JAVA_STRUCT_ADDRESS : CLEW_JAVA_STRUCT_OFFSET], 8);
	if (!text(j, t, type, sizeof(type)))
		return;
	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		if (strcmp(type, wants[i].type))
			continue;
		if (!text(j, f, field, sizeof(field)))
			return;
		break;
	}
	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		if (strcmp(type, wants[i].type) || strcmp(field, wants[i].field))
			continue;
		j->v[wants[i].id] = v;
		j->known[wants[i].id / 32] |= 1U << (wants[i].id % 32);
	}
}

/* Every symbol is a word: a pointer to an array, an offset in its entries, or their size. */
static int read_tables(struct jvm *j, const struct clew_java_facts *f, uint64_t bias)
{
	uint64_t at[CLEW_JAVA_SYMS], p, name;
	uint8_t entry[STRIDE_MAX];
	char type[32];
	int i;

	for (i = 0; i < CLEW_JAVA_SYMS; i++)
		at[i] = word(j, f->sym[i] + bias);
	if (j->failed)
		return -ESRCH;
	for (i = CLEW_JAVA_STRUCT_TYPE; i <= CLEW_JAVA_STRUCT_ADDRESS; i++)
		if (at[i] > STRIDE_MAX - 8)
			return -EINVAL;
	if (at[CLEW_JAVA_STRUCT_STRIDE] > STRIDE_MAX || at[CLEW_JAVA_TYPE_STRIDE] > STRIDE_MAX ||
	    at[CLEW_JAVA_TYPE_NAME] > STRIDE_MAX - 8 || at[CLEW_JAVA_TYPE_SIZE] > STRIDE_MAX - 8)
		return -EINVAL;
	p = at[CLEW_JAVA_STRUCTS];
	for (i = 0; i < ENTRIES_MAX; i++, p += at[CLEW_JAVA_STRUCT_STRIDE]) {
		memset(entry, 0, sizeof(entry));
		if (!peek(j, p, entry, at[CLEW_JAVA_STRUCT_STRIDE]))
			return -EINVAL;
		memcpy(&name, entry + at[CLEW_JAVA_STRUCT_TYPE], 8);
		if (!name)
			break;
		learn(j, entry, at);
	}
	p = at[CLEW_JAVA_TYPES];
	for (i = 0; i < ENTRIES_MAX; i++, p += at[CLEW_JAVA_TYPE_STRIDE]) {
		name = word(j, p + at[CLEW_JAVA_TYPE_NAME]);
		if (!name)
			break;
		if (!text(j, name, type, sizeof(type)))
			continue;
		if (!strcmp(type, "ConstantPool"))
			j->pool_size = word(j, p + at[CLEW_JAVA_TYPE_SIZE]);
		else if (!strcmp(type, "JVMFlag"))
			j->flag_size = word(j, p + at[CLEW_JAVA_TYPE_SIZE]);
	}
	return 0;
}

static void read_flags(struct jvm *j)
{
	uint64_t flags = word(j, j->v[V_FLAGS]), nr = word(j, j->v[V_FLAGS_NR]), p;
	char buf[40];

	for (uint64_t i = 0; i < nr && i < FLAGS_MAX; i++) {
		p = flags + i * j->flag_size;
		if (!text(j, word(j, p + j->v[V_FLAG_NAME]), buf, sizeof(buf)))
			continue;
		for (int k = 0; k < FLAG_MAX; k++)
			if (!strcmp(buf, flag_names[k]) && byte(j, word(j, p + j->v[V_FLAG_ADDR])))
				j->flags |= 1U << k;
	}
}

static bool is_on(const struct jvm *j, int f)
{
	return j->flags >> f & 1;
}

/* ---- classes and their fields ------------------------------------------------------------------
 */

static bool symbol(struct jvm *j, uint64_t sym, char *buf, size_t n)
{
	uint32_t len = sym ? half(j, sym + j->v[V_SYM_LEN]) & 0xffff : 0;

	memset(buf, 0, n);
	return len && len < n && peek(j, sym + j->v[V_SYM_BODY], buf, len);
}

/* A field's name: an index into the constant pool, whose entries are words behind its header. */
static bool field_is(struct jvm *j, uint64_t pool, uint32_t index, const char *name)
{
	char buf[NAME_MAX_];

	return index && index < 65536 &&
	       symbol(j, word(j, pool + j->pool_size + 8ULL * index), buf, sizeof(buf)) &&
	       !strcmp(buf, name);
}

/* Up to 20: Array<u2> of six words a field: flags, name, signature, value, offset << 2 | tag. */
static uint32_t field_in_array(struct jvm *j, uint64_t klass, uint64_t pool, const char *name)
{
	uint64_t array = word(j, klass + j->v[V_FIELDS]);
	uint32_t len = half(j, array), nr = half(j, klass + j->v[V_FIELDS_COUNT]) & 0xffff;
	uint16_t w[6];

	for (uint32_t i = 0; i < nr && i < FIELDS_MAX && i * 6 + 6 <= len; i++) {
		if (!peek(j, array + 4 + i * sizeof(w), w, sizeof(w)))
			return 0;
		if (field_is(j, pool, w[1], name))
			return ((uint32_t)w[5] << 16 | w[4]) >> 2;
	}
	return 0;
}

/* UNSIGNED5: bytes from 1 on, base 64 with 191 codes that end a number. */
static uint32_t unsigned5(const uint8_t *p, uint32_t len, uint32_t *at)
{
	uint32_t sum = 0, i;

	for (i = 0; i < 5 && *at < len; i++) {
		uint32_t b = p[(*at)++] - 1U;

		sum += b << (6 * i);
		if (b < 191)
			break;
	}
	return sum;
}

/* Since 21: a stream: counts of fields and of injected ones; name, signature, offset, flags ... */
static uint32_t field_in_stream(struct jvm *j, uint64_t klass, uint64_t pool, const char *name)
{
	uint64_t array = word(j, klass + j->v[V_FIELDINFO]);
	uint32_t len = half(j, array), at = 0, nr, index, off, flags, i;
	uint8_t buf[8192];

	if (len > sizeof(buf) || !peek(j, array + 4, buf, len))
		return 0;
	nr = unsigned5(buf, len, &at);
	unsigned5(buf, len, &at);
	for (i = 0; i < nr && i < FIELDS_MAX && at < len; i++) {
		index = unsigned5(buf, len, &at);
		unsigned5(buf, len, &at);
		off = unsigned5(buf, len, &at);
		unsigned5(buf, len, &at);
		flags = unsigned5(buf, len, &at);
		if (flags & 1) /* initial value */
			unsigned5(buf, len, &at);
		if (flags & 4) /* generic signature */
			unsigned5(buf, len, &at);
		if (flags & 16) /* contended group */
			unsigned5(buf, len, &at);
		if (field_is(j, pool, index, name))
			return off;
	}
	return 0;
}

static uint32_t field_of(struct jvm *j, uint64_t klass, const char *name)
{
	uint64_t pool = word(j, klass + j->v[V_POOL]);
	uint32_t off = has(j, V_FIELDINFO) ? field_in_stream(j, klass, pool, name)
					   : field_in_array(j, klass, pool, name);

	return off < 4096 ? off : 0;
}

static void fields_of(struct jvm *j, uint64_t klass, const char *name)
{
	for (int i = 0; i < J_MAX; i++) {
		if (j->field[i] || strcmp(name, java_fields[i].klass))
			continue;
		j->field[i] = field_of(j, klass, java_fields[i].field);
		j->klass[i] = klass;
	}
}

/* The classes of the boot loader, which is java.lang.Thread's, newest first. */
static void read_classes(struct jvm *j)
{
	uint64_t thread = word(j, j->v[V_THREAD_CLASS]), k;
	char name[NAME_MAX_];

	k = word(j, word(j, thread + j->v[V_CLD]) + j->v[V_CLD_KLASSES]);
	for (; k && !j->failed; k = word(j, k + j->v[V_NEXT]))
		if (symbol(j, word(j, k + j->v[V_NAME]), name, sizeof(name)) &&
		    !strncmp(name, "java/", 5))
			fields_of(j, k, name);
	j->failed = false;
}

/* A class as an object's header names it, or 0. */
static uint32_t narrow_klass(struct jvm *j, uint64_t klass)
{
	uint64_t base = word(j, j->v[V_KLASS_BASE]), shift = half(j, j->v[V_KLASS_SHIFT]);
	uint64_t n = klass < base || shift > 31 ? 0 : (klass - base) >> shift;

	return n >> 32 ? 0 : (uint32_t)n;
}

/* ---- the proof ----------------------------------------------------------------------------- */

/* Where in struct pthread do all threads keep their JavaThread? Ends with one offset left. */
static int find_self(struct jvm *j, struct clew_java_live *ret)
{
	uint64_t list = word(j, j->v[V_LIST]), data = word(j, list + j->v[V_LIST_DATA]);
	uint32_t nr = half(j, list + j->v[V_LIST_LEN]), seen = 0, left = 0, at = 0;
	uint64_t tcb[TCB_BYTES / 8];
	uint8_t out[TCB_BYTES / 8] = {0};

	for (uint32_t i = 0; i < nr && i < THREADS_MAX; i++) {
		uint64_t jt = word(j, data + 8ULL * i), os = word(j, jt + j->v[V_OSTHREAD]);
		uint64_t tp = word(j, os + j->v[V_PTHREAD]);

		/* pthread_t is the thread pointer, whose first word points to itself (x86-64 ABI)
		 */
		if (!jt || !tp || !half(j, os + j->v[V_THREAD_ID]) || word(j, tp) != tp ||
		    !peek(j, tp, tcb, sizeof(tcb))) {
			j->failed = false; /* it ends */
			continue;
		}
		seen++;
		for (uint32_t k = 0; k < TCB_BYTES / 8; k++)
			out[k] |= tcb[k] != jt;
	}
	for (uint32_t k = 0; k < TCB_BYTES / 8; k++) {
		if (!out[k]) {
			left++;
			at = k * 8;
		}
	}
	if (seen < 2)
		return -EAGAIN;
	if (left != 1) {
		snprintf(ret->why, sizeof(ret->why), "its threads cannot be found from the kernel");
		return -EINVAL;
	}
	ret->entry.java_self = (uint16_t)at;
	return 0;
}

/* Threads whose java.lang.Thread points back to them; one that does not must not repeat. */
static int check_objects(struct jvm *j)
{
	uint64_t list = word(j, j->v[V_LIST]), data = word(j, list + j->v[V_LIST_DATA]);
	uint32_t nr = half(j, list + j->v[V_LIST_LEN]), good = 0, bad = 0;

	for (uint32_t i = 0; i < nr && i < THREADS_MAX; i++) {
		uint64_t jt = word(j, data + 8ULL * i);
		uint64_t obj = word(j, word(j, jt + j->v[V_THREAD_OBJ]));

		if (word(j, obj + j->field[J_EETOP]) == jt && word(j, obj + j->field[J_TID]))
			good++;
		else
			bad++;
	}
	j->failed = false;
	return good && bad <= good / 4 ? 0 : -EINVAL;
}

static bool has_all(const struct jvm *j, const uint8_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!has(j, ids[i]))
			return false;
	return true;
}

static const char *no_objects(const struct jvm *j)
{
	static const uint8_t needs[] = {
		V_THREAD_OBJ, V_HEAP,	     V_GC_COUNT, V_GC_ACTIVE, V_NAME,	   V_NEXT,
		V_CLD,	      V_CLD_KLASSES, V_POOL,	 V_SYM_LEN,   V_SYM_BODY,  V_OOP_BASE,
		V_OOP_SHIFT,  V_FLAGS,	     V_FLAGS_NR, V_FLAG_NAME, V_FLAG_ADDR, V_THREAD_CLASS,
	};

	if (!has_all(j, needs, sizeof(needs)) || (!has(j, V_FIELDS) && !has(j, V_FIELDINFO)) ||
	    !j->pool_size || !j->flag_size)
		return "it does not describe its objects";
	if (!is_on(j, FLAG_G1) && !is_on(j, FLAG_PARALLEL) && !is_on(j, FLAG_SERIAL))
		return "its collector moves objects while threads run";
	if (!is_on(j, FLAG_OOPS))
		return "its heap has no compressed pointers";
	return NULL;
}

/* Jobs of thread pools: which Worker runs a thread, and how many tasks it has done. */
static void read_jobs(struct jvm *j, struct clew_java_live *ret)
{
	struct clew_proc *e = &ret->entry;
	uint32_t target = j->field[j->field[J_HOLDER] ? J_HOLDER_TASK : J_TARGET];

	if (!is_on(j, FLAG_CLASSES) || is_on(j, FLAG_COMPACT) || !has(j, V_KLASS_BASE) ||
	    !has(j, V_KLASS_SHIFT)) {
		snprintf(ret->why, sizeof(ret->why), "pool jobs: object headers of another layout");
		return;
	}
	if (!j->field[J_WORKER_THREAD] || !j->field[J_WORKER_DONE]) {
		ret->pending = true; /* no pool was made yet */
		return;
	}
	if (!target)
		return;
	e->java_holder = (uint16_t)j->field[J_HOLDER];
	e->java_target = (uint16_t)target;
	e->java_w_thread = (uint16_t)j->field[J_WORKER_THREAD];
	e->java_w_done = (uint16_t)j->field[J_WORKER_DONE];
	e->java_worker = narrow_klass(j, j->klass[J_WORKER_DONE]);
	ret->jobs = e->java_worker;
}

/* Everything that is read of objects, into the entry: all of it, or nothing. */
static void read_objects(struct jvm *j, struct clew_java_live *ret)
{
	struct clew_proc *e = &ret->entry;
	const char *why;

	if (has(j, V_FLAGS) && j->flag_size)
		read_flags(j);
	why = no_objects(j);
	if (!why) {
		read_classes(j);
		if (!j->field[J_EETOP] || !j->field[J_TID] || check_objects(j))
			why = "its threads' objects do not point back to them";
		else if (e->java_vthread && !j->field[J_CARRIER])
			why = "it does not say who carries a virtual thread";
	}
	if (why) {
		snprintf(ret->why, sizeof(ret->why), "%s", why);
		return;
	}
	ret->objects = true;
	e->java_eetop = (uint16_t)j->field[J_EETOP];
	e->java_tid = (uint16_t)j->field[J_TID];
	e->java_carrier = (uint16_t)j->field[J_CARRIER];
	e->java_gc_count = (uint16_t)j->v[V_GC_COUNT];
	e->java_gc_active = (uint16_t)j->v[V_GC_ACTIVE];
	e->java_heap = word(j, j->v[V_HEAP]);
	e->java_oops = word(j, j->v[V_OOP_BASE]);
	e->java_shift = (uint8_t)(half(j, j->v[V_OOP_SHIFT]) & 31);
	read_jobs(j, ret);
}

int clew_java__live(int mem, const struct clew_java_facts *facts, uint64_t bias,
		    struct clew_java_live *ret)
{
	static const uint8_t needs[] = {V_OSTHREAD, V_THREAD_ID, V_PTHREAD, V_LIST,
					V_LIST_LEN, V_LIST_DATA, V_RELEASE, V_MAJOR};
	struct jvm *j = calloc(1, sizeof(*j));
	int err;

	memset(ret, 0, sizeof(*ret));
	if (!j)
		return -ENOMEM;
	j->mem = mem;
	err = read_tables(j, facts, bias);
	if (!err && !has_all(j, needs, sizeof(needs)))
		err = -EINVAL;
	if (!err) {
		text(j, word(j, j->v[V_RELEASE]), ret->version, sizeof(ret->version));
		cut_unprintable(ret->version);
		ret->major = half(j, j->v[V_MAJOR]);
		err = ret->major < 8 || ret->major > 999 ? -EAGAIN : find_self(j, ret);
	}
	if (!err) {
		j->failed = false;
		ret->entry.java_obj = (uint16_t)j->v[V_THREAD_OBJ];
		ret->entry.java_vthread = has(j, V_VTHREAD) ? (uint16_t)j->v[V_VTHREAD] : 0;
		if (ret->major >= VIRTUAL && !ret->entry.java_vthread) {
			snprintf(ret->why, sizeof(ret->why),
				 "it does not say where its virtual threads are");
			err = -EINVAL;
		}
	}
	if (!err)
		read_objects(j, ret);
	free(j);
	return err;
}

void clew_java__inspect(const struct clew_elf *elf, struct clew_java_facts *ret)
{
	static const char *const names[CLEW_JAVA_SYMS] = {
		[CLEW_JAVA_STRUCTS] = "gHotSpotVMStructs",
		[CLEW_JAVA_STRUCT_TYPE] = "gHotSpotVMStructEntryTypeNameOffset",
		[CLEW_JAVA_STRUCT_FIELD] = "gHotSpotVMStructEntryFieldNameOffset",
		[CLEW_JAVA_STRUCT_STATIC] = "gHotSpotVMStructEntryIsStaticOffset",
		[CLEW_JAVA_STRUCT_OFFSET] = "gHotSpotVMStructEntryOffsetOffset",
		[CLEW_JAVA_STRUCT_ADDRESS] = "gHotSpotVMStructEntryAddressOffset",
		[CLEW_JAVA_STRUCT_STRIDE] = "gHotSpotVMStructEntryArrayStride",
		[CLEW_JAVA_TYPES] = "gHotSpotVMTypes",
		[CLEW_JAVA_TYPE_NAME] = "gHotSpotVMTypeEntryTypeNameOffset",
		[CLEW_JAVA_TYPE_SIZE] = "gHotSpotVMTypeEntrySizeOffset",
		[CLEW_JAVA_TYPE_STRIDE] = "gHotSpotVMTypeEntryArrayStride",
	};
	struct clew_elf_sym sym[CLEW_JAVA_SYMS];

	ret->found = clew_elf__syms(elf, names, CLEW_JAVA_SYMS, sym) == CLEW_JAVA_SYMS;
	for (int i = 0; i < CLEW_JAVA_SYMS; i++)
		ret->sym[i] = sym[i].addr;
}

/* ---- the look ---------------------------------------------------------------------------------
 */

static void look_jvm(struct clew_look *l)
{
	struct clew_runtime *rt = l->rt;
	struct clew_java_live live;
	struct clew_facts f;
	char path[CLEW_SITE_PATH];
	uint64_t bias;
	int mem, err;

	/* until the version is known, its threads may carry virtual ones */
	clew_look__name(l, CLEW_RT_OTHER, "java");
	err = clew_look__facts(l, &l->maps.jvm, CLEW_FILE_JVM, &f, path);
	if (!err)
		err = clew_look__bias(l, &l->maps.jvm, &bias);
	if (err) {
		clew_look__why(l, "libjvm.so cannot be read (%s)", strerror(-err));
		return;
	}
	if (!f.java.found) {
		clew_look__why(l, "no HotSpot: its libjvm.so does not describe itself");
		return;
	}
	mem = clew_procfs__open_mem(l->pid);
	err = mem < 0 ? mem : clew_java__live(mem, &f.java, bias, &live);
	if (mem >= 0)
		close(mem);
	if (err == -EAGAIN || err == -ESRCH) {
		rt->pending = err == -EAGAIN;
		clew_look__why(l, rt->pending ? "the JVM is not initialised yet"
					      : "memory of the process cannot be read");
		return;
	}
	snprintf(rt->version, sizeof(rt->version), "%s", live.version);
	if (err && (live.major < 8 || live.major >= VIRTUAL)) {
		clew_look__why(l, "this JVM cannot be read: %s",
			       live.why[0] ? live.why : strerror(-err));
		return;
	}
	/* a JVM without virtual threads: its threads are threads, whatever else is known */
	clew_look__name(l, CLEW_RT_JAVA, "java");
	rt->entry = live.entry;
	rt->entry.flags |= CLEW_PROC_THREADS;
	if (live.why[0])
		clew_look__why(l, "%s%s",
			       live.objects ? "" : "only plain threads are followed: ", live.why);
	rt->pending = live.pending;
}

bool clew_java__look(struct clew_look *l)
{
	bool launcher = !strcmp(l->exe, "java") || l->maps.jli;

	if (l->maps.jvm.end) {
		look_jvm(l);
	} else if (launcher) {
		clew_look__name(l, CLEW_RT_OTHER, "java");
		clew_look__why(l, "the JVM is not loaded yet");
		l->rt->pending = true;
	} else {
		return false;
	}
	return true;
}
