/* SPDX-License-Identifier: Apache-2.0 */
/*
 * java_vm.h - a running HotSpot JVM's description of itself, read out of its memory. Nothing of
 * it is trusted: every read can fail (jvm.failed), every count is bounded.
 */
#ifndef CLEW_PROBE_JAVA_VM_H
#define CLEW_PROBE_JAVA_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/java_runtime.h"

/* Entries of gHotSpotVMStructs; several lines of one id: names of different versions. */
enum {
	V_THREAD_OBJ,
	V_VTHREAD,
	V_OSTHREAD,
	V_STACK_BASE,
	V_ANCHOR,
	V_ANCHOR_SP,
	V_TLAB,
	V_TLAB_START,
	V_TLAB_TOP,
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
	V_CLD_HEAD,
	V_CLD_NEXT,
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

/* Flags of the command line, as JVMFlag holds them. */
enum { FLAG_G1, FLAG_PARALLEL, FLAG_SERIAL, FLAG_OOPS, FLAG_CLASSES, FLAG_COMPACT, FLAG_MAX };

/* Java fields that are read; what only some versions have may be missing. */
enum {
	J_EETOP,
	J_TID,
	J_HOLDER,
	J_TARGET,
	J_HOLDER_TASK,
	J_CARRIER,
	J_CONT,
	J_CONT_TARGET,
	J_CONT_TASK,
	J_WORKER_THREAD,
	J_WORKER_DONE,
	J_FUTURE_RUNNER,
	J_FUTURE_WAITERS,
	J_NODE_THREAD,
	J_NODE_NEXT,
	J_SCHEDULED,
	J_BOUND_THREAD,
	J_CF_RESULT,
	J_CF_STACK,
	J_NEXT,
	J_DEP,
	J_CO_BASE,
	J_SIGNALLER,
	J_SUPPLY,
	J_RUN,
	J_LIST,
	J_LIST_FIXED,
	/* java.net.http, and what of java.util and java.nio leads there */
	J_SET_MAP,
	J_MAP_TABLE,
	J_MAP_NEXT,
	J_NODE_HASH,
	J_NODE_KEY,
	J_NODE_VALUE,
	J_FD_KEYS,
	J_ATTACHMENT,
	J_CLIENT,
	J_PENDING,
	J_EVENT,
	J_SUB_READS,
	J_READS_NOW,
	J_READING_TO,
	J_RECEIVER,
	J_READER,
	J_HEADERS,
	J_MINIMAL,
	J_MAX,
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

/* Memory; zeroes where it cannot be read. */
bool jvm__peek(struct jvm *j, uint64_t addr, void *buf, size_t n);
uint64_t jvm__word(struct jvm *j, uint64_t addr);
uint32_t jvm__half(struct jvm *j, uint64_t addr);
bool jvm__text(struct jvm *j, uint64_t addr, char *buf, size_t n);

/* Was this entry of its tables found? */
bool jvm__has(const struct jvm *j, int id);
/* 0; -ESRCH: memory cannot be read; -EINVAL: no such tables. */
int jvm__tables(struct jvm *j, const struct clew_java_facts *f, uint64_t bias);
void jvm__flags(struct jvm *j);
bool jvm__is_on(const struct jvm *j, int flag);
/* The fields of those of its classes that are loaded by now. */
void jvm__classes(struct jvm *j);
void jvm__http_classes(struct jvm *j);
/* A class as an object's header names it, or 0. */
uint32_t jvm__narrow(struct jvm *j, uint64_t klass);

#endif
