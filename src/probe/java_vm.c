/* SPDX-License-Identifier: Apache-2.0 */
/*
 * java_vm.c - how HotSpot describes itself, and what its classes say about their fields.
 *
 * libjvm.so exports tables that describe its own structures (gHotSpotVMStructs, for the
 * serviceability agent); offsets of Java fields come from the classes' own metadata. So there is
 * no table of versions here: a JVM says what it is, whether or not it has symbols. Sources:
 * vmStructs.cpp, instanceKlass.hpp, fieldInfo.hpp and unsigned5.hpp of JDK 17, 21 and 25.
 */
#include "probe/java_vm.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_MAX 4096
#define STRIDE_MAX  128
#define NAME_MAX_   96
#define READS_MAX   (1 << 19) /* in one look: every class of a large program, thrice */
#define FIELDS_MAX  512
#define FLAGS_MAX   4096
#define LOADERS_MAX 4096

static const struct want {
	uint8_t id;
	const char *type, *field;
} wants[] = {
	{V_THREAD_OBJ, "JavaThread", "_threadObj"},
	{V_VTHREAD, "JavaThread", "_vthread"},
	{V_OSTHREAD, "JavaThread", "_osthread"},
	{V_OSTHREAD, "Thread", "_osthread"},
	{V_STACK_BASE, "JavaThread", "_stack_base"},
	{V_STACK_BASE, "Thread", "_stack_base"},
	{V_ANCHOR, "JavaThread", "_anchor"},
	{V_ANCHOR_SP, "JavaFrameAnchor", "_last_Java_sp"},
	{V_TLAB, "Thread", "_tlab"},
	{V_TLAB_START, "ThreadLocalAllocBuffer", "_start"},
	{V_TLAB_TOP, "ThreadLocalAllocBuffer", "_top"},
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
	{V_CLD_HEAD, "ClassLoaderDataGraph", "_head"},
	{V_CLD_NEXT, "ClassLoaderData", "_next"},
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

static const char *const flag_names[FLAG_MAX] = {
	[FLAG_G1] = "UseG1GC",
	[FLAG_PARALLEL] = "UseParallelGC",
	[FLAG_SERIAL] = "UseSerialGC",
	[FLAG_OOPS] = "UseCompressedOops",
	[FLAG_CLASSES] = "UseCompressedClassPointers",
	[FLAG_COMPACT] = "UseCompactObjectHeaders",
};

#define HTTP "jdk/internal/net/http/"

static const struct {
	const char *klass, *field;
} java_fields[J_MAX] = {
	[J_EETOP] = {"java/lang/Thread", "eetop"},
	[J_TID] = {"java/lang/Thread", "tid"},
	[J_HOLDER] = {"java/lang/Thread", "holder"},
	[J_TARGET] = {"java/lang/Thread", "target"},
	[J_HOLDER_TASK] = {"java/lang/Thread$FieldHolder", "task"},
	[J_CARRIER] = {"java/lang/VirtualThread", "carrierThread"},
	[J_CONT] = {"java/lang/VirtualThread", "cont"},
	[J_CONT_TARGET] = {"jdk/internal/vm/Continuation", "target"},
	[J_CONT_TASK] = {"java/lang/VirtualThread$VThreadContinuation$1", "val$task"},
	[J_WORKER_THREAD] = {"java/util/concurrent/ThreadPoolExecutor$Worker", "thread"},
	[J_WORKER_DONE] = {"java/util/concurrent/ThreadPoolExecutor$Worker", "completedTasks"},
	[J_FUTURE_RUNNER] = {"java/util/concurrent/FutureTask", "runner"},
	[J_FUTURE_WAITERS] = {"java/util/concurrent/FutureTask", "waiters"},
	[J_NODE_THREAD] = {"java/util/concurrent/FutureTask$WaitNode", "thread"},
	[J_NODE_NEXT] = {"java/util/concurrent/FutureTask$WaitNode", "next"},
	[J_SCHEDULED] = {"java/util/concurrent/ScheduledThreadPoolExecutor$ScheduledFutureTask",
			 "period"},
	[J_BOUND_THREAD] = {"java/util/concurrent/ThreadPerTaskExecutor$ThreadBoundFuture",
			    "thread"},
	[J_CF_RESULT] = {"java/util/concurrent/CompletableFuture", "result"},
	[J_CF_STACK] = {"java/util/concurrent/CompletableFuture", "stack"},
	[J_NEXT] = {"java/util/concurrent/CompletableFuture$Completion", "next"},
	[J_DEP] = {"java/util/concurrent/CompletableFuture$UniCompletion", "dep"},
	[J_CO_BASE] = {"java/util/concurrent/CompletableFuture$CoCompletion", "base"},
	[J_SIGNALLER] = {"java/util/concurrent/CompletableFuture$Signaller", "thread"},
	[J_SUPPLY] = {"java/util/concurrent/CompletableFuture$AsyncSupply", "dep"},
	[J_RUN] = {"java/util/concurrent/CompletableFuture$AsyncRun", "dep"},
	[J_LIST] = {"java/util/ArrayList", "elementData"},
	[J_LIST_FIXED] = {"java/util/ImmutableCollections$ListN", "elements"},
	[J_SET_MAP] = {"java/util/HashSet", "map"},
	[J_MAP_TABLE] = {"java/util/HashMap", "table"},
	[J_MAP_NEXT] = {"java/util/HashMap$Node", "next"},
	[J_NODE_HASH] = {"java/util/HashMap$Node", "hash"},
	[J_NODE_KEY] = {"java/util/HashMap$Node", "key"},
	[J_NODE_VALUE] = {"java/util/HashMap$Node", "value"},
	[J_FD_KEYS] = {"sun/nio/ch/EPollSelectorImpl", "fdToKey"},
	[J_ATTACHMENT] = {"java/nio/channels/SelectionKey", "attachment"},
	[J_CLIENT] = {HTTP "HttpClientImpl$SelectorManager", "selector"},
	[J_PENDING] = {HTTP "HttpClientImpl$SelectorAttachment", "pending"},
	[J_EVENT] = {HTTP "SocketTube$InternalReadPublisher$ReadEvent", "sub"},
	[J_SUB_READS] = {HTTP "SocketTube$InternalReadPublisher$InternalReadSubscription",
			 "this$1"},
	[J_READS_NOW] = {HTTP "SocketTube$InternalReadPublisher", "subscription"},
	[J_READING_TO] = {HTTP "SocketTube$InternalReadPublisher$ReadSubscription", "subscriber"},
	[J_RECEIVER] = {HTTP "Http1AsyncReceiver$Http1TubeSubscriber", "this$0"},
	[J_READER] = {HTTP "Http1AsyncReceiver", "delegate"},
	[J_HEADERS] = {HTTP "Http1Response$HeadersReader", "cf"},
	[J_MINIMAL] = {HTTP "common/MinimalFuture", "id"},
};

/* ---- memory ------------------------------------------------------------------------------ */

static bool may_read(struct jvm *j, uint64_t addr)
{
	return addr && addr < 1ULL << 47 && j->reads++ < READS_MAX;
}

bool jvm__peek(struct jvm *j, uint64_t addr, void *buf, size_t n)
{
	if (may_read(j, addr) && pread(j->mem, buf, n, (off_t)addr) == (ssize_t)n)
		return true;
	memset(buf, 0, n);
	j->failed = true;
	return false;
}

uint64_t jvm__word(struct jvm *j, uint64_t addr)
{
	uint64_t v;

	jvm__peek(j, addr, &v, sizeof(v));
	return v;
}

uint32_t jvm__half(struct jvm *j, uint64_t addr)
{
	uint32_t v;

	jvm__peek(j, addr, &v, sizeof(v));
	return v;
}

static uint8_t byte(struct jvm *j, uint64_t addr)
{
	uint8_t v;

	jvm__peek(j, addr, &v, sizeof(v));
	return v;
}

/* A C string; what lies at the end of a mapping is read in two halves. */
bool jvm__text(struct jvm *j, uint64_t addr, char *buf, size_t n)
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

bool jvm__has(const struct jvm *j, int id)
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
	if (!jvm__text(j, t, type, sizeof(type)))
		return;
	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		if (strcmp(type, wants[i].type))
			continue;
		if (!jvm__text(j, f, field, sizeof(field)))
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
int jvm__tables(struct jvm *j, const struct clew_java_facts *f, uint64_t bias)
{
	uint64_t at[CLEW_JAVA_SYMS], p, name;
	uint8_t entry[STRIDE_MAX];
	char type[32];
	int i;

	for (i = 0; i < CLEW_JAVA_SYMS; i++)
		at[i] = jvm__word(j, f->sym[i] + bias);
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
		if (!jvm__peek(j, p, entry, at[CLEW_JAVA_STRUCT_STRIDE]))
			return -EINVAL;
		memcpy(&name, entry + at[CLEW_JAVA_STRUCT_TYPE], 8);
		if (!name)
			break;
		learn(j, entry, at);
	}
	p = at[CLEW_JAVA_TYPES];
	for (i = 0; i < ENTRIES_MAX; i++, p += at[CLEW_JAVA_TYPE_STRIDE]) {
		name = jvm__word(j, p + at[CLEW_JAVA_TYPE_NAME]);
		if (!name)
			break;
		if (!jvm__text(j, name, type, sizeof(type)))
			continue;
		if (!strcmp(type, "ConstantPool"))
			j->pool_size = jvm__word(j, p + at[CLEW_JAVA_TYPE_SIZE]);
		else if (!strcmp(type, "JVMFlag"))
			j->flag_size = jvm__word(j, p + at[CLEW_JAVA_TYPE_SIZE]);
	}
	return 0;
}

void jvm__flags(struct jvm *j)
{
	uint64_t flags = jvm__word(j, j->v[V_FLAGS]), nr = jvm__word(j, j->v[V_FLAGS_NR]), p;
	char buf[40];

	for (uint64_t i = 0; i < nr && i < FLAGS_MAX; i++) {
		p = flags + i * j->flag_size;
		if (!jvm__text(j, jvm__word(j, p + j->v[V_FLAG_NAME]), buf, sizeof(buf)))
			continue;
		for (int k = 0; k < FLAG_MAX; k++)
			if (!strcmp(buf, flag_names[k]) &&
			    byte(j, jvm__word(j, p + j->v[V_FLAG_ADDR])))
				j->flags |= 1U << k;
	}
}

bool jvm__is_on(const struct jvm *j, int f)
{
	return j->flags >> f & 1;
}

/* ---- classes and their fields ------------------------------------------------------------------
 */

static bool symbol(struct jvm *j, uint64_t sym, char *buf, size_t n)
{
	uint32_t len = sym ? jvm__half(j, sym + j->v[V_SYM_LEN]) & 0xffff : 0;

	memset(buf, 0, n);
	return len && len < n && jvm__peek(j, sym + j->v[V_SYM_BODY], buf, len);
}

/* A field's name: an index into the constant pool, whose entries are words behind its header. */
static bool field_is(struct jvm *j, uint64_t pool, uint32_t index, const char *name)
{
	char buf[NAME_MAX_];

	return index && index < 65536 &&
	       symbol(j, jvm__word(j, pool + j->pool_size + 8ULL * index), buf, sizeof(buf)) &&
	       !strcmp(buf, name);
}

/* Up to 20: Array<u2> of six words a field: flags, name, signature, value, offset << 2 | tag. */
static uint32_t field_in_array(struct jvm *j, uint64_t klass, uint64_t pool, const char *name)
{
	uint64_t array = jvm__word(j, klass + j->v[V_FIELDS]);
	uint32_t len = jvm__half(j, array),
		 nr = jvm__half(j, klass + j->v[V_FIELDS_COUNT]) & 0xffff;
	uint16_t w[6];

	for (uint32_t i = 0; i < nr && i < FIELDS_MAX && i * 6 + 6 <= len; i++) {
		if (!jvm__peek(j, array + 4 + i * sizeof(w), w, sizeof(w)))
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
	uint64_t array = jvm__word(j, klass + j->v[V_FIELDINFO]);
	uint32_t len = jvm__half(j, array), at = 0, nr, index, off, flags, i;
	uint8_t buf[8192];

	if (len > sizeof(buf) || !jvm__peek(j, array + 4, buf, len))
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
	uint64_t pool = jvm__word(j, klass + j->v[V_POOL]);
	uint32_t off = jvm__has(j, V_FIELDINFO) ? field_in_stream(j, klass, pool, name)
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

/* The classes of one loader, newest first. */
static void classes_of(struct jvm *j, uint64_t loader, const char *const *packages)
{
	uint64_t k = jvm__word(j, loader + j->v[V_CLD_KLASSES]);
	char name[NAME_MAX_];

	for (; k && !j->failed; k = jvm__word(j, k + j->v[V_NEXT])) {
		if (!symbol(j, jvm__word(j, k + j->v[V_NAME]), name, sizeof(name)))
			continue;
		for (int i = 0; packages[i]; i++)
			if (!strncmp(name, packages[i], strlen(packages[i])))
				fields_of(j, k, name);
	}
}

/* Those of the boot loader, which is java.lang.Thread's. */
void jvm__classes(struct jvm *j)
{
	static const char *const packages[] = {"java/", "jdk/internal/vm/", "sun/nio/ch/", NULL};
	uint64_t thread = jvm__word(j, j->v[V_THREAD_CLASS]);

	classes_of(j, jvm__word(j, thread + j->v[V_CLD]), packages);
	j->failed = false;
}

/* java.net.http's, which are another loader's: all are searched, and each is met but once. */
void jvm__http_classes(struct jvm *j)
{
	static const char *const packages[] = {HTTP, NULL};
	uint64_t loader = jvm__word(j, j->v[V_CLD_HEAD]);

	for (int i = 0; i < LOADERS_MAX && loader && !j->failed; i++) {
		if (j->field[J_CLIENT] && j->field[J_HEADERS])
			break;
		classes_of(j, loader, packages);
		loader = jvm__word(j, loader + j->v[V_CLD_NEXT]);
	}
	j->failed = false;
}

/* A class as an object's header names it, or 0. */
uint32_t jvm__narrow(struct jvm *j, uint64_t klass)
{
	uint64_t base = jvm__word(j, j->v[V_KLASS_BASE]), shift = jvm__half(j, j->v[V_KLASS_SHIFT]);
	uint64_t n = klass < base || shift > 31 ? 0 : (klass - base) >> shift;

	return n >> 32 ? 0 : (uint32_t)n;
}
