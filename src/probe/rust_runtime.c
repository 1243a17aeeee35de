/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rust_runtime.c - tokio inside a Rust program.
 *
 * There is no table of versions: rustc orders the fields of every build as it likes, so all
 * numbers are read off the program's own code, and what does not look as expected is not used.
 *   - The functions that set the id of the task that is polled (tokio: runtime/context.rs,
 *     runtime/task/core.rs, TaskIdGuard) store one word of 8 bytes beside the thread pointer.
 *     Ids are given once in a process, whichever thread polls.
 *   - sync/mpsc/list.rs, Tx::push: an atomic addition to the channel's tail gives the message its
 *     slot. Behind it, on the next jump (which the kernel emulates), the slot is in a register
 *     still. With link-time optimisation push is inlined, and find_block(tx, slot) is its own.
 *   - OwnedTasks::bind_inner(list, task) and Spawner::spawn_task(pool, task) start tasks;
 *     can_read_output(task, trailer, waker) is asked by JoinHandles whenever they are polled.
 *   - Rx::pop(rx, tx): the slot that comes next is loaded and masked with the size of a block, 32;
 *     it is stored when a message has been taken (rust_take.c).
 * Functions are found by their names, or without (rust_stripped.c); generic types may be missing,
 * so every channel of the program is followed.
 */
#include "probe/rust_runtime.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "probe/look.h"
#include "probe/x86.h"

#define CODE_BYTES 2048
#define INSNS_MAX  48
#define BLOCK_MASK (-32)
#define TLS_MAX	   65536

/* A word of 8 bytes at base + disp: op 0x8b loads it, 0x89 stores it. */
static bool word_at(const struct x86_insn *i, uint16_t op)
{
	return i->op == op && i->wide && i->mem && i->plain;
}

/* and $-32 */
static bool masks(const struct x86_insn *i, uint32_t set)
{
	return i->op == 0x83 && i->reg % 8 == 4 && i->wide && !i->mem && i->imm == BLOCK_MASK &&
	       set & x86_bit(i->rm);
}

/* ---- the task's id ---- */

void clew_rust__follow(struct clew_rust_walk *w, const struct x86_insn *i)
{
	uint8_t from, to;
	int32_t off;

	w->arg = x86_follow(w->arg, i);
	if (word_at(i, 0x8b) && i->fs && i->base == X86_NONE && !i->disp) {
		off = 0;
		to = i->reg;
	} else if (i->op == 0x8d && i->wide && i->plain && i->base != X86_NONE &&
		   w->known & x86_bit(i->base) && i->disp >= -TLS_MAX && i->disp <= TLS_MAX) {
		off = w->off[i->base] + i->disp;
		to = i->reg;
	} else if (x86_copies(i, &from, &to) && w->known & x86_bit(from)) {
		off = w->off[from];
	} else {
		w->known &= ~x86_writes(i);
		return;
	}
	if (off < -TLS_MAX || off > TLS_MAX) {
		w->known &= ~x86_bit(to);
		return;
	}
	w->off[to] = off;
	w->known |= x86_bit(to);
}

bool clew_rust__beside(const struct clew_rust_walk *w, const struct x86_insn *i, uint16_t op,
		       int32_t *ret_off)
{
	if (!word_at(i, op))
		return false;
	if (i->fs && i->base == X86_NONE) {
		*ret_off = i->disp;
		return true;
	}
	if (i->fs || i->base == X86_NONE || !(w->known & x86_bit(i->base)) || i->disp < -TLS_MAX ||
	    i->disp > TLS_MAX)
		return false;
	*ret_off = w->off[i->base] + i->disp;
	return true;
}

bool clew_rust__task_offset(const uint8_t *code, size_t n, int32_t *ret)
{
	struct clew_rust_walk w = {.known = 0};
	struct x86_insn i;
	int32_t off, found = 0;

	for (size_t at = 0; at < n; at += i.len) {
		if (!x86_decode(code + at, n - at, &i))
			return false;
		if (clew_rust__beside(&w, &i, 0x89, &off)) {
			if (found && found != off)
				return false;
			found = off;
		}
		clew_rust__follow(&w, &i);
	}
	if (found >= 0 || found < -TLS_MAX || found % 8)
		return false;
	*ret = found;
	return true;
}

/* ---- messages ---- */

static uint8_t lowest(uint32_t set)
{
	return (uint8_t)__builtin_ctz(set);
}

/* Does a jump lead between the two, or to the second? As far as the code is known. */
static bool entered(const uint8_t *code, size_t n, size_t from, size_t to)
{
	struct x86_insn i;

	for (size_t at = 0; at < n && x86_decode(code + at, n - at, &i); at += i.len) {
		size_t target = at + i.len + (size_t)(int64_t)i.imm;

		if (x86_branches(&i) && !i.modrm && i.imm && target > from && target <= to)
			return true;
	}
	return false;
}

bool clew_rust__push(const uint8_t *code, size_t n, uint64_t *ret_at, uint8_t *ret_reg)
{
	uint32_t tx = x86_bit(X86_DI), slot = 0;
	uint64_t behind = 0;
	bool masked = false;
	uint8_t first = 0;
	struct x86_insn i;
	size_t at = 0;

	for (int k = 0; k < INSNS_MAX && at < n; k++, at += i.len) {
		if (!x86_decode(code + at, n - at, &i))
			break;
		if (x86_branches(&i)) {
			if (!masked || clew_insn__class(code + at, n - at) != CLEW_INSN_JUMP)
				break;
			/* who comes by another way has other things in its registers */
			if (entered(code, n, behind, at))
				break;
			*ret_at = at;
			*ret_reg = lowest(slot);
			return true;
		}
		masked |= masks(&i, slot);
		if (!behind && i.lock && i.op == X86_0F(0xc1) && i.wide && i.mem && i.plain &&
		    tx & x86_bit(i.base) && (i.disp == 0 || i.disp == 8)) {
			first = i.reg;
			slot = x86_bit(first);
			behind = at + i.len;
			tx &= ~slot;
		} else {
			slot = x86_follow(slot, &i);
			tx = x86_follow(tx, &i);
		}
		if (!(tx & x86_bit(X86_DI)) || (behind && !slot))
			break;
	}
	/* single-stepped, so ten times as dear */
	*ret_at = behind;
	*ret_reg = first;
	return masked && first != X86_DI;
}

bool clew_rust__find_block(const uint8_t *code, size_t n)
{
	uint32_t tx = x86_bit(X86_DI), slot = x86_bit(X86_SI);
	bool masked = false, loaded = false;
	struct x86_insn i;
	size_t at = 0;

	for (int k = 0; k < INSNS_MAX && at < n; k++, at += i.len) {
		if (!x86_decode(code + at, n - at, &i) || x86_branches(&i))
			break;
		masked |= masks(&i, slot);
		loaded |= word_at(&i, 0x8b) && !i.fs && tx & x86_bit(i.base) &&
			  (i.disp == 0 || i.disp == 8);
		slot = x86_follow(slot, &i);
		tx = x86_follow(tx, &i);
	}
	return masked && loaded;
}

bool clew_rust__pop(const uint8_t *code, size_t n, uint8_t *ret_reg, uint16_t *ret_index)
{
	uint32_t rx[2] = {x86_bit(X86_DI),
			  x86_bit(X86_SI)}; /* behind the result's address, if there is one */
	uint32_t loaded[2] = {0};
	int32_t disp[X86_REGS] = {0};
	uint8_t from, to;
	struct x86_insn i;
	size_t at = 0;

	for (int k = 0; k < INSNS_MAX && at < n; k++, at += i.len) {
		if (!x86_decode(code + at, n - at, &i) || x86_branches(&i))
			return false;
		if (x86_copies(&i, &from, &to))
			disp[to] = disp[from];
		for (int a = 0; a < 2; a++) {
			if (masks(&i, loaded[a]) && disp[i.rm] >= 0 && disp[i.rm] <= 64) {
				*ret_reg = a ? X86_SI : X86_DI;
				*ret_index = (uint16_t)disp[i.rm];
				return true;
			}
		}
		for (int a = 0; a < 2; a++) {
			bool load = word_at(&i, 0x8b) && !i.fs && rx[a] & x86_bit(i.base);

			loaded[a] = x86_follow(loaded[a], &i);
			rx[a] = x86_follow(rx[a], &i);
			if (!load)
				continue;
			loaded[a] |= x86_bit(i.reg);
			disp[i.reg] = i.disp;
		}
	}
	return false;
}

/* ---- tasks that are waited for ---- */

/*
 * The task's header is repr(C): state, next, vtable, owner (task/core.rs). What the kernel side
 * relies on is seen here: that, and that the tenth word of the vtable tells where the id is.
 */
enum { HDR_VTABLE = 16, HDR_OWNER = 24, VTABLE_ID = 72 };

bool clew_rust__bind(const uint8_t *code, size_t n)
{
	uint32_t self = x86_bit(X86_DI), task = x86_bit(X86_SI), owner = 0, vtable = 0;
	bool owned = false;
	struct x86_insn i;
	size_t at = 0;

	for (int k = 0; k < INSNS_MAX && at < n; k++, at += i.len) {
		bool load, from_self, from_task;

		if (!x86_decode(code + at, n - at, &i) || x86_branches(&i))
			return false;
		load = word_at(&i, 0x8b) && !i.fs;
		if (load && owned && vtable & x86_bit(i.base) && i.disp == VTABLE_ID)
			return true;
		owned |= word_at(&i, 0x89) && task & x86_bit(i.base) && i.disp == HDR_OWNER &&
			 owner & x86_bit(i.reg);
		from_self = load && self & x86_bit(i.base);
		from_task = load && task & x86_bit(i.base) && i.disp == HDR_VTABLE;
		self = x86_follow(self, &i);
		task = x86_follow(task, &i);
		owner = x86_follow(owner, &i) | (from_self ? x86_bit(i.reg) : 0);
		vtable = x86_follow(vtable, &i) | (from_task ? x86_bit(i.reg) : 0);
	}
	return false;
}

/* test $imm, a register of one byte or more */
static bool tests(const struct x86_insn *i, uint32_t set, int32_t imm)
{
	if (i->imm != imm)
		return false;
	if (i->op == 0xa8 || i->op == 0xa9)
		return set & x86_bit(X86_AX);
	return (i->op == 0xf6 || i->op == 0xf7) && !(i->reg & 6) && !i->mem && set & x86_bit(i->rm);
}

/* Is the task over? Else, is a waker there, to which this one may be equal? */
bool clew_rust__join(const uint8_t *code, size_t n)
{
	enum { COMPLETE = 2, JOIN_WAKER = 16 };
	uint32_t task = x86_bit(X86_DI), waker = x86_bit(X86_DX), state = 0;
	bool complete = false, set = false;
	struct x86_insn i;
	size_t at = 0;

	for (int k = 0; k < INSNS_MAX && at < n; k++, at += i.len) {
		bool load;

		if (!x86_decode(code + at, n - at, &i) || i.op == 0xe8 || i.op == 0xe9 ||
		    i.op == 0xc3)
			return false;
		load = word_at(&i, 0x8b) && !i.fs;
		complete |= tests(&i, state, COMPLETE);
		set |= complete && tests(&i, state, JOIN_WAKER);
		if (set && load && waker & x86_bit(i.base) && (i.disp == 0 || i.disp == 8))
			return true;
		load = load && task & x86_bit(i.base) && !i.disp;
		task = x86_follow(task, &i);
		waker = x86_follow(waker, &i);
		state = x86_follow(state, &i) | (load ? x86_bit(i.reg) : 0);
	}
	return false;
}

/* ---- the file ---- */

static bool has(const char *name, size_t len, const char *part)
{
	return memmem(name, len, part, strlen(part));
}

/* Both manglings write a path's parts with their lengths in front. */
static int which(const char *name, size_t len)
{
	if (len < 8 || (memcmp(name, "_ZN", 3) && memcmp(name, "_R", 2)))
		return CLEW_RUST_NOTHING;
	if (has(name, len, "4mpsc4list")) {
		if (!has(name, len, "5tokio"))
			return CLEW_RUST_NOTHING;
		return has(name, len, "10find_block") ? CLEW_RUST_FIND_BLOCK
		       : has(name, len, "4push")      ? CLEW_RUST_PUSH
		       : has(name, len, "3pop")	      ? CLEW_RUST_POP
						      : CLEW_RUST_NOTHING;
	}
	if (has(name, len, "OwnedTasks") && has(name, len, "10bind_inner"))
		return CLEW_RUST_BIND;
	if (has(name, len, "8blocking4pool7Spawner10spawn_task17h") ||
	    (name[1] == 'R' && memcmp(name, "_RNC", 4) && has(name, len, "7Spawner10spawn_task")))
		return CLEW_RUST_BLOCK;
	if (has(name, len, "7harness15can_read_output"))
		return CLEW_RUST_JOIN;
	if (has(name, len, "7context19set_current_task_id") ||
	    has(name, len, "11TaskIdGuard5enter") ||
	    (has(name, len, "task..core..TaskIdGuard$") && has(name, len, "4drop17h")) ||
	    (name[1] == 'R' && has(name, len, "11TaskIdGuard") &&
	     (has(name, len, "5enter") || has(name, len, "4drop"))))
		return CLEW_RUST_TASK;
	return CLEW_RUST_NOTHING;
}

struct search {
	const struct clew_elf *elf;
	struct clew_rust_facts *f;
	struct clew_rust_pops pops;
	uint64_t block; /* spawn_blocking's; nothing in its code tells that it gets a task */
	bool contradiction;
};

static void add_place(struct search *s, struct clew_rust_place p)
{
	struct clew_rust_facts *f = s->f;
	enum clew_insn_class insn;

	if (clew_elf__probe_addr(s->elf, p.addr, &p.addr, &insn) || insn == CLEW_INSN_REFUSED) {
		f->more = true;
		return;
	}
	for (uint32_t i = 0; i < f->nr; i++) {
		if (f->place[i].addr == p.addr)
			return; /* several types, one code */
		/* the kernel side knows a place by its offset in the page */
		if ((f->place[i].addr ^ p.addr) % 4096 || f->place[i].reg == p.reg)
			continue;
		f->more = true;
		s->contradiction |= p.pop && f->place[i].pop;
		if (!p.pop || f->place[i].pop)
			return;
		/* what is put in unseen is nobody's; what is taken must be seen */
		f->place[i--] = f->place[--f->nr];
	}
	if (f->nr == CLEW_RUST_PLACES) {
		f->more = true;
		return;
	}
	f->place[f->nr++] = p;
}

static void see_task(struct search *s, const uint8_t *code, size_t n)
{
	int32_t off;

	if (!clew_rust__task_offset(code, n, &off))
		return;
	s->contradiction |= s->f->task && s->f->task != off;
	s->f->task = off;
}

static void see_pop(struct search *s, const struct clew_elf_sym *sym, const uint8_t *code, size_t n)
{
	struct clew_rust_pop p = {.addr = sym->addr};

	for (uint32_t i = 0; i < s->pops.nr; i++)
		if (s->pops.pop[i].addr == sym->addr)
			return; /* several types, one code */
	if (!clew_rust__pop(code, n, &p.rx, &p.index) || s->pops.nr == CLEW_RUST_PLACES) {
		s->f->more = true;
		return;
	}
	if (n < sym->size || !clew_rust__take(code, n, p.rx, p.index, &p.take, &p.take_rx))
		p.take = 0;
	s->pops.pop[s->pops.nr++] = p;
}

/* Where a message has been taken, or where that is not clear, wherever one is looked for. */
static void add_pops(struct search *s)
{
	s->f->away = clew_rust__away(s->elf, &s->pops);
	for (uint32_t i = 0; i < s->pops.nr; i++) {
		const struct clew_rust_pop *p = &s->pops.pop[i];
		struct clew_rust_place place = {.addr = p->addr, .pop = true, .reg = p->rx};

		s->contradiction |= i && s->f->index != p->index;
		s->f->index = p->index;
		if (p->take && !p->unclear && p->away && p->away == s->f->away) {
			place.addr += p->take;
			place.take = true;
			place.reg = p->take_rx;
		}
		add_place(s, place);
	}
}

static void add_join(uint64_t *list, uint32_t *nr, uint64_t addr)
{
	for (uint32_t i = 0; i < *nr; i++)
		if (list[i] == addr)
			return;
	if (*nr < CLEW_RUST_JOINS)
		list[(*nr)++] = addr;
}

static void see(void *arg, int what, const struct clew_elf_sym *sym)
{
	struct search *s = arg;
	uint8_t code[CODE_BYTES], reg;
	size_t n = sym->size < sizeof(code) ? sym->size : sizeof(code);
	uint64_t at;

	if (!n || clew_elf__read(s->elf, sym->addr, code, n))
		return;
	switch (what) {
	case CLEW_RUST_TASK:
		see_task(s, code, n);
		break;
	case CLEW_RUST_PUSH:
		if (clew_rust__push(code, n, &at, &reg))
			add_place(s, (struct clew_rust_place){.addr = sym->addr + at, .reg = reg});
		break;
	case CLEW_RUST_BIND:
		if (clew_rust__bind(code, n))
			add_join(s->f->spawn, &s->f->nr_spawn, sym->addr);
		break;
	case CLEW_RUST_BLOCK:
		s->block = sym->addr;
		break;
	case CLEW_RUST_JOIN:
		if (clew_rust__join(code, n))
			add_join(s->f->join, &s->f->nr_join, sym->addr);
		break;
	case CLEW_RUST_FIND_BLOCK:
		if (clew_rust__find_block(code, n))
			add_place(s, (struct clew_rust_place){.addr = sym->addr, .reg = X86_SI});
		break;
	default:
		see_pop(s, sym, code, n);
		break;
	}
}

/* Texts are given in two pieces, or this very program would have them. */
static bool says(const struct clew_elf *elf, const struct clew_elf_section *sec, char first,
		 const char *rest, uint64_t *ret_off)
{
	char c;

	return !clew_elf__find(elf, sec->off, sec->size, rest, strlen(rest), ret_off) &&
	       *ret_off > sec->off && !clew_elf__read_off(elf, *ret_off - 1, &c, 1) && c == first;
}

/* What no build leaves out: its source's path in panics, a message, the name of its threads. */
static bool is_tokio(const struct clew_elf *elf, char version[16])
{
	struct clew_elf_section sec;
	char text[24] = "";
	uint64_t off;

	version[0] = 0;
	if (clew_elf__section(elf, ".rodata", &sec) || sec.type == SHT_NOBITS)
		return false;
	if (says(elf, &sec, '/', "tokio-1.", &off)) {
		clew_elf__read_off(elf, off + 6, text, sizeof(text) - 1);
		snprintf(version, 16, "%.*s", (int)strspn(text, "0123456789."), text);
		return true;
	}
	return says(elf, &sec, 'T', "okio 1.x runtime", &off) ||
	       says(elf, &sec, 't', "okio-runtime-worker", &off) ||
	       says(elf, &sec, 'c', "ontext of Tokio runtime", &off) ||
	       (says(elf, &sec, '/', "rustc/", &off) && clew_elf__sym_contains(elf, "tokio") == 1);
}

int clew_rust__inspect(const struct clew_elf *elf, struct clew_rust_facts *ret)
{
	struct clew_rust_facts f = {.nr = 0};
	struct search s = {.elf = elf, .f = &f};
	bool push = false, pop = false;

	if (!is_tokio(elf, f.version))
		return -ENOENT;
	f.symbols = clew_elf__sym_contains(elf, "tokio") == 1;
	if (f.symbols)
		clew_elf__match(elf, which, see, &s);
	else
		f.task = clew_rust__stripped(elf, see, &s);
	add_pops(&s);
	for (uint32_t i = 0; i < f.nr; i++)
		*(f.place[i].pop ? &pop : &push) = true;
	if (s.contradiction || !f.task)
		f.task = 0;
	if (!f.task || !push || !pop)
		f.nr = 0;
	if (f.nr_spawn && s.block)
		add_join(f.spawn, &f.nr_spawn, s.block);
	if (!f.task || !f.nr_spawn || !f.nr_join)
		f.nr_spawn = f.nr_join = 0;
	*ret = f;
	return 0;
}

bool clew_rust__look(struct clew_look *l)
{
	const struct clew_rust_facts *f = &l->file->rust;
	struct clew_proc *e = &l->rt->entry;

	if (l->file->kind != CLEW_FACTS_TOKIO)
		return false;
	snprintf(l->rt->version, sizeof(l->rt->version), "%s", f->version);
	if (!f->task) {
		clew_look__name(l, CLEW_RT_OTHER, "tokio");
		clew_look__why(l, "where this build keeps the id of its tasks is not clear from "
				  "its code");
		return true;
	}
	clew_look__name(l, CLEW_RT_TOKIO, "tokio");
	e->rust_task = f->task;
	e->rust_index = f->index;
	e->rust_away = f->away;
	clew_look__sites(l, l->file, l->path);
	if (!f->nr_join)
		clew_look__why(l,
			       "who waits for spawned tasks is not clear from this build's code");
	if (!f->nr) {
		clew_look__why(l, "its channels are not found: clients with a task of their own "
				  "(hyper, reqwest) are not followed");
		return true;
	}
	for (uint32_t i = 0; i < f->nr; i++)
		e->rust_place[i] = (uint16_t)(f->place[i].addr % 4096 << 4 | f->place[i].reg);
	e->rust_places = (uint8_t)f->nr;
	if (f->more)
		clew_look__why(l, "some of its channels are not followed");
	return true;
}
