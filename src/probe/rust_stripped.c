/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rust_stripped.c - tokio in a program without symbols: its functions by what they look like.
 *
 * Functions begin where the unwinder's table says so (.eh_frame_hdr; LSB core, "Exception
 * Frames"), which stripping leaves. Where the task's id lies must be beyond doubt, for a wrong word
 * would give wrong parents. With link-time optimisation every task's poll function exchanges it, so
 * it is by far the word beside the thread pointer that is loaded and at once stored most often.
 * Without, poll functions call one that exchanges it for its argument, by far the most often called
 * of this kind.
 * What is taken for a channel's function by mistake can only name messages that nobody takes.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/rust_runtime.h"
#include "probe/x86.h"

#define FUNCS_MAX     (1u << 20)
#define TEXT_MAX      (64u << 20) /* of code: it takes about 50 ms a MB */
#define FUNC_BYTES    65536
#define WORDS_MAX     64
#define LEAST	      16 /* places; others exchange words beside the thread pointer, too */
#define RATIO	      8
#define EXCHANGES_MAX 64
#define POINTERS_MAX  256
#define ENC_UDATA4    0x03
#define ENC_TABLE     0x3b /* from the section's beginning, four bytes with a sign */

/* Words beside the thread pointer, and how often something was seen of each. */
struct words {
	uint32_t n, others; /* others: of which there was no room for any one */
	struct {
		int32_t off;
		uint32_t count;
	} of[WORDS_MAX];
};

/* A function that exchanges such a word for its argument, and the linker's pointers to it. */
struct exchange {
	uint64_t addr;
	int32_t off;
};

struct pointer {
	uint64_t where;
	int32_t off;
};

struct scan {
	const struct clew_elf *elf;
	struct clew_elf_section text, hdr;
	struct clew_window code, table;
	uint32_t nr, nr_exchanges, nr_pointers;
	struct words swaps, calls;
	bool full; /* of exchanges or pointers to them: then calls count for nothing */
	struct exchange exchange[EXCHANGES_MAX];
	struct pointer pointer[POINTERS_MAX];
	clew_match_fn fn;
	void *arg;
};

/* Where the function begins, as linked; behind the last: where the code ends. 0: cannot be read. */
static uint64_t func(struct scan *s, uint32_t i)
{
	const uint8_t *p;
	int32_t rel;

	if (i >= s->nr)
		return s->text.addr + s->text.size;
	p = clew_window__at(&s->table, s->hdr.off + 12 + 8ULL * i, 4);
	if (!p)
		return 0;
	memcpy(&rel, p, 4);
	return s->hdr.addr + (uint64_t)(int64_t)rel;
}

static void count_word(struct words *w, int32_t off)
{
	uint32_t i;

	for (i = 0; i < w->n && w->of[i].off != off; i++)
		;
	if (i == WORDS_MAX) {
		w->others++;
		return;
	}
	if (i == w->n)
		w->of[w->n++].off = off;
	w->of[i].count++;
}

/* The one that it nearly always is: 0 if there is none. */
static int32_t most(const struct words *w)
{
	uint32_t best = 0, second = w->others;
	int32_t off = 0;

	for (uint32_t i = 0; i < w->n; i++) {
		if (w->of[i].count > best) {
			second = best;
			best = w->of[i].count;
			off = w->of[i].off;
		} else if (w->of[i].count > second) {
			second = w->of[i].count;
		}
	}
	return best >= LEAST && best >= second * RATIO && off < 0 && off % 8 == 0 ? off : 0;
}

static void add_exchange(struct scan *s, uint64_t addr, int32_t off)
{
	if (s->nr_exchanges == EXCHANGES_MAX) {
		s->full = true;
		return;
	}
	s->exchange[s->nr_exchanges++] = (struct exchange){.addr = addr, .off = off};
}

/* Loaded, and at once another value stored. */
static void see_swaps(struct scan *s, uint64_t addr, const uint8_t *code, size_t n)
{
	struct clew_rust_walk w = {.arg = 1u << X86_DI};
	bool was_load = false, known = false;
	int32_t off, loaded = 0;
	uint8_t reg = 0;
	struct x86_insn i;

	for (size_t at = 0; at < n; at += i.len) {
		if (!x86_decode(code + at, n - at, &i))
			return;
		if (was_load && clew_rust__beside(&w, &i, 0x89, &off) && off == loaded &&
		    i.reg != reg) {
			count_word(&s->swaps, off);
			if (w.arg >> i.reg & 1 && !known)
				add_exchange(s, addr, off);
			known |= w.arg >> i.reg & 1;
		}
		was_load = clew_rust__beside(&w, &i, 0x8b, &loaded);
		reg = i.reg;
		clew_rust__follow(&w, &i);
	}
}

static int see_pointer(void *arg, uint64_t where, uint64_t value)
{
	struct scan *s = arg;

	for (uint32_t i = 0; i < s->nr_exchanges; i++) {
		if (s->exchange[i].addr != value)
			continue;
		s->full |= s->nr_pointers == POINTERS_MAX;
		if (!s->full)
			s->pointer[s->nr_pointers++] =
				(struct pointer){.where = where, .off = s->exchange[i].off};
	}
	return 0;
}

/* Calls of an exchanging function, straight or by a pointer. */
static void see_calls(void *arg, uint64_t addr, const uint8_t *code, size_t n)
{
	struct scan *s = arg;
	struct x86_insn i;

	for (size_t at = 0; at < n; at += i.len) {
		uint64_t next, to;

		if (!x86_decode(code + at, n - at, &i))
			return;
		next = addr + at + i.len;
		to = next + (uint64_t)(int64_t)(i.op == 0xe8 ? i.imm : i.disp);
		for (uint32_t k = 0; i.op == 0xe8 && k < s->nr_exchanges; k++)
			if (s->exchange[k].addr == to)
				count_word(&s->calls, s->exchange[k].off);
		for (uint32_t k = 0; i.op == 0xff && i.rip && k < s->nr_pointers; k++)
			if (s->pointer[k].where == to)
				count_word(&s->calls, s->pointer[k].off);
	}
}

static int open_scan(struct scan *s)
{
	uint8_t head[12];
	int err = clew_elf__section(s->elf, ".text", &s->text);

	if (!err)
		err = clew_elf__section(s->elf, ".eh_frame_hdr", &s->hdr);
	if (!err)
		err = s->hdr.size < sizeof(head) || s->hdr.type == SHT_NOBITS ||
				      s->text.type == SHT_NOBITS
			      ? -EBADMSG
			      : clew_elf__read_off(s->elf, s->hdr.off, head, sizeof(head));
	if (err)
		return err;
	if (head[0] != 1 || head[2] != ENC_UDATA4 || head[3] != ENC_TABLE)
		return -EBADMSG;
	if (s->text.size > TEXT_MAX)
		return -E2BIG;
	memcpy(&s->nr, head + 8, 4);
	if (s->nr > FUNCS_MAX || s->nr > (s->hdr.size - sizeof(head)) / 8)
		return -EBADMSG;
	err = clew_window__init(&s->code, s->elf, 2 * FUNC_BYTES);
	return err ? err : clew_window__init(&s->table, s->elf, FUNC_BYTES);
}

/* A block's flags: it is released, or the channel is closed. Not many functions look at these. */
static bool tests_block(const uint8_t *code, size_t n)
{
	struct x86_insn i;

	for (size_t at = 0; at < n && x86_decode(code + at, n - at, &i); at += i.len)
		if (i.op == X86_0F(0xba) && i.reg % 8 == 4 && (i.imm == 32 || i.imm == 33))
			return true;
	return false;
}

static void see_func(void *arg, uint64_t addr, const uint8_t *code, size_t n)
{
	struct scan *s = arg;
	struct clew_elf_sym sym = {.addr = addr, .size = n};
	uint16_t index;
	uint64_t at;
	uint8_t reg;

	see_swaps(s, addr, code, n);
	if (clew_rust__push(code, n, &at, &reg))
		s->fn(s->arg, CLEW_RUST_PUSH, &sym);
	else if (clew_rust__find_block(code, n))
		s->fn(s->arg, CLEW_RUST_FIND_BLOCK, &sym);
	else if (clew_rust__pop(code, n, &reg, &index) && tests_block(code, n))
		s->fn(s->arg, CLEW_RUST_POP, &sym);
	else if (clew_rust__bind(code, n))
		s->fn(s->arg, CLEW_RUST_BIND, &sym);
	else if (clew_rust__join(code, n))
		s->fn(s->arg, CLEW_RUST_JOIN, &sym);
}

/* The table is sorted: so no byte is looked at twice, whatever it says. */
static void each_func(struct scan *s, clew_rust_func_fn see, void *arg)
{
	uint64_t last = s->text.addr;

	for (uint32_t i = 0; i < s->nr; i++) {
		uint64_t at = func(s, i), end = func(s, i + 1);
		const uint8_t *code;
		size_t n;

		if (at < last || end <= at || end > s->text.addr + s->text.size)
			continue;
		last = end;
		n = end - at < FUNC_BYTES ? end - at : FUNC_BYTES;
		code = clew_window__at(&s->code, s->text.off + (at - s->text.addr), n);
		if (code)
			see(arg, at, code, n);
	}
}

static void close_scan(struct scan *s)
{
	clew_window__fini(&s->code);
	clew_window__fini(&s->table);
	free(s);
}

int clew_rust__each_func(const struct clew_elf *elf, clew_rust_func_fn fn, void *arg)
{
	struct scan *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->elf = elf;
	err = open_scan(s);
	if (!err)
		each_func(s, fn, arg);
	close_scan(s);
	return err;
}

int32_t clew_rust__stripped(const struct clew_elf *elf, clew_match_fn fn, void *arg)
{
	struct scan *s = calloc(1, sizeof(*s));
	int32_t ret = 0;

	if (!s)
		return 0;
	s->elf = elf;
	s->fn = fn;
	s->arg = arg;
	if (!open_scan(s)) {
		each_func(s, see_func, s);
		ret = most(&s->swaps);
		if (!ret) {
			clew_elf__each_relative(elf, see_pointer, s);
			each_func(s, see_calls, s);
			ret = s->full ? 0 : most(&s->calls);
		}
	}
	close_scan(s);
	return ret;
}
