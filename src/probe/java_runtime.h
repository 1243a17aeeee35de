/* SPDX-License-Identifier: Apache-2.0 */
/*
 * java_runtime.h - what a running HotSpot JVM says about its own threads and objects.
 */
#ifndef CLEW_PROBE_JAVA_RUNTIME_H
#define CLEW_PROBE_JAVA_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include <clew/bpf.h>

#include "probe/elf.h"

/* The tables that libjvm.so exports for debuggers (src/hotspot/share/runtime/vmStructs.cpp). */
enum clew_java_sym {
	CLEW_JAVA_STRUCTS,
	CLEW_JAVA_STRUCT_TYPE,
	CLEW_JAVA_STRUCT_FIELD,
	CLEW_JAVA_STRUCT_STATIC,
	CLEW_JAVA_STRUCT_OFFSET,
	CLEW_JAVA_STRUCT_ADDRESS,
	CLEW_JAVA_STRUCT_STRIDE,
	CLEW_JAVA_TYPES,
	CLEW_JAVA_TYPE_NAME,
	CLEW_JAVA_TYPE_SIZE,
	CLEW_JAVA_TYPE_STRIDE,
	CLEW_JAVA_SYMS,
};

struct clew_java_facts {
	bool found; /* all of them */
	uint64_t sym[CLEW_JAVA_SYMS];
};

struct clew_java_live {
	char version[32];
	uint32_t major;
	bool pending;		/* a class that may still be loaded is missing */
	char why[96];		/* what is not known; empty: nothing */
	bool objects;		/* objects can be read: virtual threads and jobs are told apart */
	bool jobs;		/* and those of thread pools */
	struct clew_proc entry; /* the Java part */
	struct clew_java_wait wait;
};

void clew_java__inspect(const struct clew_elf *elf, struct clew_java_facts *ret);
/*
 * clew_java__live - read the layout out of the running process and prove it there: the word
 * below a thread's own pointer must be the JavaThread that carries its OS thread id, and its
 * java.lang.Thread must point back. `mem` is /proc/PID/mem, `bias` of libjvm.so. -EAGAIN: not
 * initialised yet; -EINVAL: nothing that fits (ret->why); -ESRCH: memory cannot be read.
 */
int clew_java__live(int mem, const struct clew_java_facts *facts, uint64_t bias,
		    struct clew_java_live *ret);

#endif
