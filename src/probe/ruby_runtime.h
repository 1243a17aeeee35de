/* SPDX-License-Identifier: Apache-2.0 */
/* ruby_runtime.h - what a file says that holds CRuby's interpreter. */
#ifndef CLEW_PROBE_RUBY_RUNTIME_H
#define CLEW_PROBE_RUBY_RUNTIME_H

#include <stdint.h>

#include "probe/elf.h"

struct clew_ruby_facts {
	uint64_t shift;	  /* rb_ary_shift, as linked */
	char version[16]; /* ruby_version */
	uint8_t embedded; /* mask of an embedded array's length; 0: layouts are not known */
	uint8_t ivars;	  /* struct RObject: where the pointer to its variables is */
};

/* 0; -ENOENT: there is no interpreter in this file; or another -errno of reading it. */
int clew_ruby__inspect(const struct clew_elf *elf, struct clew_ruby_facts *ret);

#endif
