/* SPDX-License-Identifier: Apache-2.0 */
/*
 * java_runtime.c - where HotSpot keeps the current thread, its java.lang.Thread, and the job that
 * a pool's thread is at.
 *
 * What the JVM says of itself (java_vm.c) is proved by its own threads before it is used.
 *
 * HotSpot stores the JavaThread under a pthread key (threadLocalStorage_posix.cpp). glibc keeps
 * the first keys inside struct pthread, at a constant distance from the thread pointer: that
 * distance is looked for, not known.
 */
#include "probe/java_runtime.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/java_vm.h"
#include "probe/look.h"

#define THREADS_MAX 256
#define TCB_BYTES   1536 /* of struct pthread that are searched, from the thread pointer on */
#define STACK_WORDS 1024 /* of a thread, from the base, that are searched for its Worker */
#define LOOKS	    8	 /* at the objects of all threads */
#define VIRTUAL	    21	 /* virtual threads since */

/* ---- the proof ----------------------------------------------------------------------------- */

/*
 * Where in struct pthread do threads keep their JavaThread? Nearly all, as one that is just being
 * started does not yet. Ends with one offset left.
 */
static int find_self(struct jvm *j, struct clew_java_live *ret)
{
	uint64_t list = jvm__word(j, j->v[V_LIST]), data = jvm__word(j, list + j->v[V_LIST_DATA]);
	uint32_t nr = jvm__half(j, list + j->v[V_LIST_LEN]), seen = 0, left = 0, at = 0;
	uint64_t tcb[TCB_BYTES / 8];
	uint16_t out[TCB_BYTES / 8] = {0};

	for (uint32_t i = 0; i < nr && i < THREADS_MAX; i++) {
		uint64_t jt = jvm__word(j, data + 8ULL * i),
			 os = jvm__word(j, jt + j->v[V_OSTHREAD]);
		uint64_t tp = jvm__word(j, os + j->v[V_PTHREAD]);

		/* pthread_t is the thread pointer, whose first word points to itself (x86-64 ABI)
		 */
		if (!jt || !tp || !jvm__half(j, os + j->v[V_THREAD_ID]) || jvm__word(j, tp) != tp ||
		    !jvm__peek(j, tp, tcb, sizeof(tcb))) {
			j->failed = false; /* it ends */
			continue;
		}
		seen++;
		for (uint32_t k = 0; k < TCB_BYTES / 8; k++)
			out[k] += tcb[k] != jt;
	}
	for (uint32_t k = 0; k < TCB_BYTES / 8; k++) {
		if (out[k] <= seen / 4 && seen - out[k] >= 2) {
			left++;
			at = k * 8;
		}
	}
	if (seen < 2)
		return -EAGAIN;
	if (left != 1) {
		snprintf(ret->why, sizeof(ret->why), "its threads cannot be found from the kernel");
		ret->pending = true; /* they may be starting, or ending, as they are looked at */
		return -EINVAL;
	}
	ret->entry.java_self = (uint16_t)at;
	return 0;
}

/* Threads whose java.lang.Thread points back to them; one that does not must not repeat. */
static int check_objects(struct jvm *j)
{
	uint64_t list = jvm__word(j, j->v[V_LIST]), data = jvm__word(j, list + j->v[V_LIST_DATA]);
	uint32_t nr = jvm__half(j, list + j->v[V_LIST_LEN]), good = 0, bad = 0;

	for (uint32_t i = 0; i < nr && i < THREADS_MAX; i++) {
		uint64_t jt = jvm__word(j, data + 8ULL * i);
		uint64_t obj = jvm__word(j, jvm__word(j, jt + j->v[V_THREAD_OBJ]));

		if (jvm__word(j, obj + j->field[J_EETOP]) == jt &&
		    jvm__word(j, obj + j->field[J_TID]))
			good++;
		else
			bad++;
	}
	j->failed = false;
	return good && bad <= good / 4 ? 0 : -EINVAL;
}

/* A collection moves the objects while they are read: more than one look. */
static bool proved(struct jvm *j)
{
	for (int i = 0; i < LOOKS; i++)
		if (!check_objects(j))
			return true;
	return false;
}

/* It is shown, and exported: a process must not write to somebody's terminal by it. */
static void cut_unprintable(char *p)
{
	while (*p >= ' ' && *p <= '~')
		p++;
	*p = 0;
}

static bool has_all(const struct jvm *j, const uint8_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!jvm__has(j, ids[i]))
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

	if (!has_all(j, needs, sizeof(needs)) ||
	    (!jvm__has(j, V_FIELDS) && !jvm__has(j, V_FIELDINFO)) || !j->pool_size || !j->flag_size)
		return "it does not describe its objects";
	if (!jvm__is_on(j, FLAG_G1) && !jvm__is_on(j, FLAG_PARALLEL) && !jvm__is_on(j, FLAG_SERIAL))
		return "its collector moves objects while threads run";
	if (!jvm__is_on(j, FLAG_OOPS))
		return "its heap has no compressed pointers";
	return NULL;
}

/* Jobs of thread pools: which Worker runs a thread, and how many tasks it has done. */
static void read_jobs(struct jvm *j, struct clew_java_live *ret)
{
	struct clew_proc *e = &ret->entry;
	uint32_t target = j->field[j->field[J_HOLDER] ? J_HOLDER_TASK : J_TARGET];

	if (!jvm__is_on(j, FLAG_CLASSES) || jvm__is_on(j, FLAG_COMPACT) ||
	    !jvm__has(j, V_KLASS_BASE) || !jvm__has(j, V_KLASS_SHIFT)) {
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
	e->java_worker = jvm__narrow(j, j->klass[J_WORKER_DONE]);
	ret->jobs = e->java_worker;
}

static uint64_t oop(const struct clew_proc *e, uint32_t narrow)
{
	return narrow ? e->java_oops + ((uint64_t)narrow << e->java_shift) : 0;
}

/* The Worker that runs this thread, or 0. */
static uint64_t worker_of(struct jvm *j, const struct clew_proc *e, uint64_t thread)
{
	uint64_t at = thread, worker;

	if (e->java_holder)
		at = oop(e, jvm__half(j, thread + e->java_holder));
	worker = at ? oop(e, jvm__half(j, at + e->java_target)) : 0;
	return worker && jvm__half(j, worker + 8) == e->java_worker &&
			       oop(e, jvm__half(j, worker + e->java_w_thread)) == thread
		       ? worker
		       : 0;
}

/*
 * How far from its stack's base a pool's thread has its Worker: behind what the libraries need
 * for a thread, and the frames of its start. The same for all, but for subclasses of Thread.
 */
static uint16_t find_first(struct jvm *j, const struct clew_proc *e)
{
	uint64_t list = jvm__word(j, j->v[V_LIST]), data = jvm__word(j, list + j->v[V_LIST_DATA]);
	uint32_t nr = jvm__half(j, list + j->v[V_LIST_LEN]), first = 0;
	uint64_t stack[STACK_WORDS];

	for (uint32_t i = 0; i < nr && i < THREADS_MAX; i++) {
		uint64_t jt = jvm__word(j, data + 8ULL * i);
		uint64_t obj = jvm__word(j, jvm__word(j, jt + j->v[V_THREAD_OBJ]));
		uint64_t base = jvm__word(j, jt + j->v[V_STACK_BASE]);
		uint64_t worker = obj ? worker_of(j, e, obj) : 0;

		if (!worker || !jvm__peek(j, base - sizeof(stack), stack, sizeof(stack)))
			continue;
		for (uint32_t k = 1; k <= STACK_WORDS && (!first || k < first); k++)
			if (stack[STACK_WORDS - k] == worker)
				first = k;
	}
	j->failed = false;
	return (uint16_t)(first ? first - 1 : 0);
}

/* What a thread that waits has in its hands. */
static void read_hands(struct jvm *j, struct clew_java_wait *w)
{
	static const uint8_t needs[] = {V_ANCHOR, V_ANCHOR_SP, V_TLAB, V_TLAB_START, V_TLAB_TOP};

	if (!has_all(j, needs, sizeof(needs)))
		return;
	w->anchor_sp = (uint16_t)(j->v[V_ANCHOR] + j->v[V_ANCHOR_SP]);
	w->tlab_start = (uint16_t)(j->v[V_TLAB] + j->v[V_TLAB_START]);
	w->tlab_top = (uint16_t)(j->v[V_TLAB] + j->v[V_TLAB_TOP]);
	for (int i = 0; i < 2; i++) {
		if (!j->field[J_LIST + i])
			continue;
		w->list_data[i] = (uint16_t)j->field[J_LIST + i];
		w->list[i] = jvm__narrow(j, j->klass[J_LIST + i]);
	}
}

/* How java.net.http gets from a connection to the future of what is read there. */
static void read_http(struct jvm *j, struct clew_java_live *ret)
{
	static const struct {
		uint8_t from;
		uint16_t to;
	} fields[] = {
		{J_SET_MAP, offsetof(struct clew_java_wait, set_map)},
		{J_MAP_TABLE, offsetof(struct clew_java_wait, map_table)},
		{J_MAP_NEXT, offsetof(struct clew_java_wait, map_next)},
		{J_NODE_HASH, offsetof(struct clew_java_wait, node_hash)},
		{J_NODE_KEY, offsetof(struct clew_java_wait, node_key)},
		{J_NODE_VALUE, offsetof(struct clew_java_wait, node_value)},
		{J_FD_KEYS, offsetof(struct clew_java_wait, fd_keys)},
		{J_ATTACHMENT, offsetof(struct clew_java_wait, attachment)},
		{J_CLIENT, offsetof(struct clew_java_wait, selector)},
		{J_PENDING, offsetof(struct clew_java_wait, pending)},
		{J_EVENT, offsetof(struct clew_java_wait, event_sub)},
		{J_SUB_READS, offsetof(struct clew_java_wait, sub_reads)},
		{J_READS_NOW, offsetof(struct clew_java_wait, reads_now)},
		{J_READING_TO, offsetof(struct clew_java_wait, reading_to)},
		{J_RECEIVER, offsetof(struct clew_java_wait, receiver)},
		{J_READER, offsetof(struct clew_java_wait, reader)},
		{J_HEADERS, offsetof(struct clew_java_wait, headers_cf)},
	};
	struct clew_java_wait *w = &ret->wait;
	const uint32_t *f = j->field;

	if (!jvm__has(j, V_CLD_HEAD) || !jvm__has(j, V_CLD_NEXT) || !w->completable)
		return;
	jvm__http_classes(j);
	for (int i = J_SET_MAP; i <= J_MINIMAL; i++)
		if (!f[i])
			return;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		*(uint16_t *)((char *)w + fields[i].to) = (uint16_t)f[fields[i].from];
	w->event = jvm__narrow(j, j->klass[J_EVENT]);
	w->headers = jvm__narrow(j, j->klass[J_HEADERS]);
	w->minimal = jvm__narrow(j, j->klass[J_MINIMAL]);
	ret->entry.java_client = jvm__narrow(j, j->klass[J_CLIENT]);
}

/* Who waits for a job: a set of fields, or none of them. */
static void read_waits(struct jvm *j, struct clew_java_live *ret)
{
	const uint32_t *f = j->field;
	struct clew_java_wait *w = &ret->wait;

	if (!jvm__has(j, V_STACK_BASE))
		return;
	w->stack_base = (uint16_t)j->v[V_STACK_BASE];
	if (f[J_CARRIER])
		w->virtual_thread = jvm__narrow(j, j->klass[J_CARRIER]);
	if (f[J_FUTURE_RUNNER] && f[J_FUTURE_WAITERS] && f[J_NODE_THREAD] && f[J_NODE_NEXT]) {
		w->runner = (uint16_t)f[J_FUTURE_RUNNER];
		w->waiters = (uint16_t)f[J_FUTURE_WAITERS];
		w->node_thread = (uint16_t)f[J_NODE_THREAD];
		w->node_next = (uint16_t)f[J_NODE_NEXT];
		w->future = jvm__narrow(j, j->klass[J_FUTURE_RUNNER]);
		if (f[J_SCHEDULED])
			w->scheduled = jvm__narrow(j, j->klass[J_SCHEDULED]);
		if (f[J_BOUND_THREAD] && f[J_CONT] && f[J_CONT_TARGET] && f[J_CONT_TASK]) {
			w->cont = (uint16_t)f[J_CONT];
			w->cont_target = (uint16_t)f[J_CONT_TARGET];
			w->cont_task = (uint16_t)f[J_CONT_TASK];
			w->runnable = jvm__narrow(j, j->klass[J_CONT_TASK]);
			w->bound = jvm__narrow(j, j->klass[J_BOUND_THREAD]);
		}
	}
	if (f[J_CF_RESULT] && f[J_CF_STACK] && f[J_NEXT] && f[J_SIGNALLER]) {
		w->result = (uint16_t)f[J_CF_RESULT];
		w->stack = (uint16_t)f[J_CF_STACK];
		w->next = (uint16_t)f[J_NEXT];
		w->sig_thread = (uint16_t)f[J_SIGNALLER];
		w->dep = (uint16_t)f[J_DEP];
		w->base = (uint16_t)f[J_CO_BASE];
		w->completable = jvm__narrow(j, j->klass[J_CF_STACK]);
		w->signaller = jvm__narrow(j, j->klass[J_SIGNALLER]);
		w->co = f[J_CO_BASE] ? jvm__narrow(j, j->klass[J_CO_BASE]) : 0;
		w->async[0] = f[J_SUPPLY] ? jvm__narrow(j, j->klass[J_SUPPLY]) : 0;
		w->async[1] = f[J_RUN] ? jvm__narrow(j, j->klass[J_RUN]) : 0;
	}
	read_hands(j, w);
	if (ret->jobs)
		w->first = find_first(j, &ret->entry);
	/* what is used for the first time later is loaded then */
	ret->pending |= !w->first || !w->future || !w->async[0] || !w->async[1] || !w->dep ||
			!w->co || (f[J_CARRIER] && !w->bound);
}

/* Everything that is read of objects, into the entry: all of it, or nothing. */
static void read_objects(struct jvm *j, struct clew_java_live *ret)
{
	struct clew_proc *e = &ret->entry;
	const char *why;

	if (jvm__has(j, V_FLAGS) && j->flag_size)
		jvm__flags(j);
	why = no_objects(j);
	if (!why) {
		jvm__classes(j);
		if (!j->field[J_EETOP] || !j->field[J_TID] || !proved(j)) {
			why = "its threads' objects do not point back to them";
			ret->pending = true; /* its collector may be moving them all the time */
		} else if (e->java_vthread && !j->field[J_CARRIER])
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
	e->java_heap = jvm__word(j, j->v[V_HEAP]);
	e->java_oops = jvm__word(j, j->v[V_OOP_BASE]);
	e->java_shift = (uint8_t)(jvm__half(j, j->v[V_OOP_SHIFT]) & 31);
	read_jobs(j, ret);
	if (ret->why[0])
		return;
	read_waits(j, ret);
	read_http(j, ret);
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
	err = jvm__tables(j, facts, bias);
	if (!err && !has_all(j, needs, sizeof(needs)))
		err = -EINVAL;
	if (!err) {
		jvm__text(j, jvm__word(j, j->v[V_RELEASE]), ret->version, sizeof(ret->version));
		cut_unprintable(ret->version);
		ret->major = jvm__half(j, j->v[V_MAJOR]);
		err = ret->major < 8 || ret->major > 999 ? -EAGAIN : find_self(j, ret);
	}
	if (!err) {
		j->failed = false;
		ret->entry.java_obj = (uint16_t)j->v[V_THREAD_OBJ];
		ret->entry.java_vthread = jvm__has(j, V_VTHREAD) ? (uint16_t)j->v[V_VTHREAD] : 0;
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

static bool lacks(const void *now, const void *was, size_t n)
{
	const uint16_t *a = now, *b = was;

	for (size_t i = 0; i < n / sizeof(*a); i++)
		if (b[i] && !a[i])
			return true;
	return false;
}

/* What was found once is there: a later look at a process in motion may have missed it. */
bool clew_java__lacks(const struct clew_runtime *now, const struct clew_runtime *was)
{
	return was->kind == CLEW_RT_JAVA &&
	       (now->kind != CLEW_RT_JAVA || lacks(&now->entry, &was->entry, sizeof(now->entry)) ||
		lacks(&now->java_wait, &was->java_wait, sizeof(now->java_wait)));
}

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
	rt->java_wait = live.wait;
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
