/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ruby_runtime.c - CRuby: where Array#shift is, by which the threads of Puma's pool take their next
 * connection, and how objects are laid out. Extensions link against the interpreter, so its
 * functions and its version are in .dynsym, also of stripped builds.
 */
#include "probe/ruby_runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "probe/look.h"

/* From 3.2 on objects have slots of their size: more fits into them, and no count is kept. */
#define OLDEST	 207
#define VARIABLE 302
#define NEWEST	 304

static void layouts(struct clew_ruby_facts *f)
{
	unsigned int major, minor, release;

	if (sscanf(f->version, "%u.%u", &major, &minor) != 2 || major > 9 || minor > 99)
		return;
	release = major * 100 + minor;
	if (release < OLDEST || release > NEWEST)
		return;
	f->embedded = release < VARIABLE ? 3 : 127;
	f->ivars = release < VARIABLE ? 24 : 16;
}

int clew_ruby__inspect(const struct clew_elf *elf, struct clew_ruby_facts *ret)
{
	static const char *const names[] = {"rb_ary_shift", "ruby_version"};
	struct clew_elf_sym sym[2];
	int err = clew_elf__syms(elf, names, 2, sym);
	size_t n = sizeof(ret->version) - 1;

	memset(ret, 0, sizeof(*ret));
	if (err < 0)
		return err;
	if (!sym[0].addr || !sym[1].addr)
		return -ENOENT;
	ret->shift = sym[0].addr;
	if (sym[1].size < n)
		n = sym[1].size;
	if (clew_elf__read(elf, sym[1].addr, ret->version, n))
		n = 0;
	ret->version[n] = 0;
	ret->version[strspn(ret->version, "0123456789.")] = 0;
	layouts(ret);
	return 0;
}

bool clew_ruby__look(struct clew_look *l)
{
	struct clew_proc *e = &l->rt->entry;
	struct clew_facts lib;
	const struct clew_facts *f = l->file->kind == CLEW_FACTS_RUBY ? l->file : NULL;
	char path[CLEW_SITE_PATH];

	if (!f && !clew_look__facts(l, &l->maps.ruby, CLEW_FILE_RUBY, &lib, path) &&
	    lib.kind == CLEW_FACTS_RUBY)
		f = &lib;
	if (!f)
		return false;
	clew_look__name(l, CLEW_RT_RUBY, "ruby");
	snprintf(l->rt->version, sizeof(l->rt->version), "%s", f->ruby.version);
	if (!f->ruby.embedded) {
		clew_look__why(l, "the layouts of this version are not known");
		return true;
	}
	e->ruby_embedded = f->ruby.embedded;
	e->ruby_ivars = f->ruby.ivars;
	clew_look__sites(l, f, f == l->file ? l->path : path);
	return true;
}
