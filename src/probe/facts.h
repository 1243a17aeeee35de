/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.h - what one program or library file says, kept by the file's identity. Private to
 * runtime.c.
 */
#ifndef CLEW_PROBE_FACTS_H
#define CLEW_PROBE_FACTS_H

#include "probe/go_runtime.h"
#include "probe/java_runtime.h"
#include "probe/node_runtime.h"
#include "probe/python_runtime.h"
#include "probe/ruby_runtime.h"
#include "probe/runtime.h"
#include "probe/rust_runtime.h"

enum clew_file_role {
	CLEW_FILE_EXE = 1,
	CLEW_FILE_PYTHON,
	CLEW_FILE_ASYNCIO,
	CLEW_FILE_QUEUE,
	CLEW_FILE_UVLOOP,
	CLEW_FILE_LIBC,
	CLEW_FILE_JVM,
	CLEW_FILE_NODE,
	CLEW_FILE_RUBY,
};

enum clew_facts_kind {
	CLEW_FACTS_NATIVE = 0,
	CLEW_FACTS_GO,
	CLEW_FACTS_PYTHON, /* the interpreter is in this file */
	CLEW_FACTS_NGINX,
	CLEW_FACTS_HAPROXY,
	CLEW_FACTS_NODE,  /* the runtime is in this file */
	CLEW_FACTS_TOKIO, /* likewise */
	CLEW_FACTS_PHP_FPM,
	CLEW_FACTS_RUBY,  /* likewise */
	CLEW_FACTS_OTHER, /* by `name` */
};

struct clew_site_fact {
	enum clew_site_kind kind;
	enum clew_insn_class insn;
	uint64_t off;
};

struct clew_facts {
	uint64_t dev, ino;
	int err; /* why the file could not be read, or 0 */
	enum clew_facts_kind kind;
	bool x86_64;
	char name[24];
	char version[32];
	uint32_t nr_sites;
	struct clew_site_fact sites[CLEW_SITES_MAX];
	struct clew_go_facts go;
	struct clew_python_facts python;
	struct clew_java_facts java;
	struct clew_node_facts node;
	struct clew_rust_facts rust;
	struct clew_ruby_facts ruby;
	uint32_t specific_off;
	uint8_t uvloop; /* enum clew_py_uv */
	uint64_t fdtab; /* HAProxy: address of the variable, as linked */
};

/* Programs that are known by their name. */
struct clew_program {
	const char *prefix; /* of the program's base name */
	bool whole;	    /* it is the whole name */
	enum clew_runtime_kind kind;
	const char *name, *why;
};
const struct clew_program *clew_facts__program(const char *basename); /* NULL: none */

/*
 * clew_facts__get - from the cache (may be NULL), else by parsing the open file. `basename` is
 * what the process calls it. 0, or -errno when the file cannot even be looked at.
 */
int clew_facts__get(struct clew_runtime_cache *cache, int fd, enum clew_file_role role,
		    const char *basename, struct clew_facts *ret);

#endif
