/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf.h - what discovery needs of a 64-bit little-endian ELF file, read with bounded pread(2).
 *
 * Functions return 0 or -errno: -ENOENT not there, -EBADMSG not a file that this reads,
 * -E2BIG beyond a limit.
 */
#ifndef CLEW_PROBE_ELF_H
#define CLEW_PROBE_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CLEW_ELF_SYMS_MAX 16 /* names in one search */

struct clew_elf;

struct clew_elf_section {
	uint64_t addr, off, size;
	uint32_t type, link;
	uint64_t entsize;
};

struct clew_elf_sym {
	uint64_t addr; /* as linked; 0: not found */
	uint64_t size;
	uint64_t off; /* in the file; meaningless for a symbol in .bss */
};

/* How the kernel executes the instruction under a uprobe (kernel: arch/x86 uprobes). */
enum clew_insn_class {
	CLEW_INSN_UNKNOWN = 0,
	CLEW_INSN_PUSH,	   /* emulated, about 0.6 us a hit */
	CLEW_INSN_NOP,	   /* emulated */
	CLEW_INSN_JUMP,	   /* call, jmp, jcc: emulated */
	CLEW_INSN_OTHER,   /* single-stepped, up to 10 us a hit */
	CLEW_INSN_REFUSED, /* LOCK prefix: the kernel refuses the probe */
};

/* The file descriptor stays the caller's and must outlive the object. */
int clew_elf__new(int fd, struct clew_elf **ret);
void clew_elf__free(struct clew_elf *elf); /* NULL is fine */

bool clew_elf__is_x86_64(const struct clew_elf *elf);
bool clew_elf__is_pie(const struct clew_elf *elf); /* ET_DYN: loaded at a bias */

/* Exactly n bytes of the file. */
int clew_elf__read_off(const struct clew_elf *elf, uint64_t off, void *buf, size_t n);
/* Exactly n bytes at an address as linked; what the file does not hold (.bss) reads as zero. */
int clew_elf__read(const struct clew_elf *elf, uint64_t addr, void *buf, size_t n);
int clew_elf__offset(const struct clew_elf *elf, uint64_t addr, uint64_t *ret_off);
/*
 * What to add to an address as linked, when file offset `pgoff` is mapped at `start`.
 */
int clew_elf__bias(const struct clew_elf *elf, uint64_t start, uint64_t pgoff, uint64_t *ret);

int clew_elf__section(const struct clew_elf *elf, const char *name, struct clew_elf_section *ret);
/*
 * clew_elf__syms - find several symbols in one pass over .symtab, or where that is missing
 * .dynsym (names that .symtab does not have are looked for in .dynsym too). Sets ret[i] for
 * names[i]; returns how many were found.
 */
int clew_elf__syms(const struct clew_elf *elf, const char *const *names, size_t n,
		   struct clew_elf_sym *ret);
/* Does any symbol's name contain this text? 1, 0 or -errno. */
int clew_elf__sym_contains(const struct clew_elf *elf, const char *text);

/*
 * clew_elf__match - symbols by parts of their names, where those hold hashes and types: `which`
 * says of a name (`len` bytes) what it is, 0 if nothing; `fn` gets each symbol of .symtab that
 * has such a name and is no thread-local variable. Of the first CLEW_ELF_MATCH_MAX names, and of
 * those the first CLEW_ELF_MATCH_CALLS symbols: one name may be that of many.
 */
#define CLEW_ELF_MATCH_MAX   256
#define CLEW_ELF_MATCH_CALLS 1024
typedef int (*clew_name_fn)(const char *name, size_t len);
typedef void (*clew_match_fn)(void *arg, int what, const struct clew_elf_sym *sym);
int clew_elf__match(const struct clew_elf *elf, clew_name_fn which, clew_match_fn fn, void *arg);

/*
 * clew_elf__find - the file offset of the first `n` bytes equal to `needle` in [off, off+len).
 */
int clew_elf__find(const struct clew_elf *elf, uint64_t off, uint64_t len, const void *needle,
		   size_t n, uint64_t *ret_off);

/*
 * Relative relocations (.rela.dyn and the packed .relr.dyn): the word at `where` will hold
 * `value` plus the bias. The callback ends the walk with anything but 0.
 */
typedef int (*clew_rela_fn)(void *arg, uint64_t where, uint64_t value);
int clew_elf__each_relative(const struct clew_elf *elf, clew_rela_fn fn, void *arg);

/*
 * clew_elf__probe_addr - where to put an entry probe on the function at `addr`: behind
 * endbr64, and behind a Go stack check, while every argument register and the stack pointer
 * are still those of the call. `ret_class` says what the instruction there costs.
 */
int clew_elf__probe_addr(const struct clew_elf *elf, uint64_t addr, uint64_t *ret_addr,
			 enum clew_insn_class *ret_class);
/* The class of the first instruction in these bytes. */
enum clew_insn_class clew_insn__class(const uint8_t *p, size_t n);
/* How many bytes of p to skip for an entry probe; see clew_elf__probe_addr(). */
size_t clew_insn__skip(const uint8_t *p, size_t n);

/*
 * A sliding window over a file: bounded memory for walks over tables of any size.
 * clew_window__at() returns n bytes at `off`, valid until the next call, or NULL.
 */
struct clew_window {
	const struct clew_elf *elf;
	uint64_t off;
	size_t len, cap;
	uint8_t *buf;
};
int clew_window__init(struct clew_window *w, const struct clew_elf *elf, size_t cap);
const uint8_t *clew_window__at(struct clew_window *w, uint64_t off, size_t n);
/* As many bytes as one window holds, at least 1; *ret_n says how many. */
const uint8_t *clew_window__some(struct clew_window *w, uint64_t off, size_t *ret_n);
void clew_window__fini(struct clew_window *w);

#endif
