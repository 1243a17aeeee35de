/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rust_take.c - where tokio's mpsc::list::Rx::pop has really taken a message.
 *
 * pop is called six or seven times for each message, for a receiver looks whenever it is polled.
 * Only when it has found one does it store the next index, and go to its end by a jump, which the
 * kernel emulates: the place for a probe. The channel's Tx is in no register there any more. It
 * lies at a distance that is the same in all channels of a program, which is read off pop's
 * callers: they make both addresses from that of the channel.
 */
#include <elf.h>
#include <string.h>

#include "probe/rust_runtime.h"
#include "probe/x86.h"

#define AWAY_MAX 4096

/* Adds one: inc, add $1 */
static bool adds_one(const struct x86_insn *i)
{
	return i->wide && i->modrm && i->reg % 8 == 0 &&
	       (i->op == 0xff || (i->op == 0x83 && i->imm == 1));
}

/* ---- the place ---- */

/* What is known on the way through pop. */
struct taking {
	uint16_t index;	   /* where a receiver keeps that */
	uint32_t rx;	   /* the registers with the receiver's address */
	uint32_t now, one; /* with the index, and the next one */
};

enum step { STEP_NONE, STEP_TAKEN, STEP_UNCLEAR };

/* Is it the store of the next index? */
static enum step step(const struct taking *t, const struct x86_insn *i)
{
	bool at = i->mem && i->plain && !i->fs && t->rx & x86_bit(i->base) && i->disp == t->index;

	if (!at || i->op == 0x8b || (i->op < 0x40 && (i->op & 2 || i->op >= 0x38)))
		return STEP_NONE; /* loads, compares */
	if (i->op == 0x83 && i->reg % 8 == 7)
		return STEP_NONE;
	if (adds_one(i) || (i->op == 0x89 && i->wide && t->one & x86_bit(i->reg)))
		return STEP_TAKEN;
	return STEP_UNCLEAR;
}

static void take_on(struct taking *t, const struct x86_insn *i)
{
	bool load = i->op == 0x8b && i->wide && i->mem && i->plain && !i->fs &&
		    t->rx & x86_bit(i->base) && i->disp == t->index;
	uint32_t one = 0;

	if (adds_one(i) && !i->mem)
		one = t->now & x86_bit(i->rm);
	else if (i->op == 0x8d && i->wide && i->plain && i->disp == 1 && t->now & x86_bit(i->base))
		one = x86_bit(i->reg);
	t->rx = x86_follow(t->rx, i);
	t->now = x86_follow(t->now, i) | (load ? x86_bit(i->reg) : 0);
	t->one = x86_follow(t->one, i) | one;
}

/* The place is reached by what stands before it, and in no other way. */
static bool is_target(const uint8_t *code, size_t n, size_t place)
{
	struct x86_insn i;

	for (size_t at = 0; at < n; at += i.len) {
		if (!x86_decode(code + at, n - at, &i))
			return true;
		if ((x86_jumps(&i) || x86_conditional(&i)) &&
		    (int64_t)(at + i.len) + i.imm == (int64_t)place)
			return true;
	}
	return false;
}

bool clew_rust__take(const uint8_t *code, size_t n, uint8_t rx, uint16_t index, uint64_t *ret_at,
		     uint8_t *ret_reg)
{
	struct taking t = {.index = index, .rx = x86_bit(rx)};
	size_t place = 0, at;
	struct x86_insn i;

	for (at = 0; at < n; at += i.len) {
		enum step s;

		if (!x86_decode(code + at, n - at, &i))
			return false;
		s = step(&t, &i);
		if (s == STEP_UNCLEAR || (s == STEP_TAKEN && place))
			return false;
		if (s == STEP_TAKEN) {
			place = at + i.len;
			*ret_reg = i.base;
			if (place >= n ||
			    clew_insn__class(code + place, n - place) != CLEW_INSN_JUMP ||
			    (code[place] != 0xe9 && code[place] != 0xeb))
				return false;
		}
		take_on(&t, &i);
	}
	*ret_at = place;
	return place && !is_target(code, n, place);
}

/* ---- the distance ---- */

/* Registers with the same origin differ by their offsets. */
struct origins {
	uint32_t last, from[X86_REGS];
	int64_t off[X86_REGS];
};

static void forget(struct origins *o, uint32_t regs)
{
	for (uint8_t r = 0; r < X86_REGS; r++) {
		if (!(regs & x86_bit(r)))
			continue;
		o->from[r] = ++o->last;
		o->off[r] = 0;
	}
}

/* What follows is reached from elsewhere. */
static bool leaves(const struct x86_insn *i)
{
	bool call = i->op == 0xe8 || (i->op == 0xff && i->reg % 8 == 2);

	return x86_branches(i) && !x86_conditional(i) && !call;
}

static void trace(struct origins *o, const struct x86_insn *i)
{
	int64_t off = i->op == 0x8d ? i->disp : 0;
	uint8_t from, to;

	if (i->op == 0x8d && i->wide && i->plain && i->base != X86_NONE) {
		from = i->base;
		to = i->reg;
	} else if (!x86_copies(i, &from, &to)) {
		forget(o, leaves(i) ? 0xffff : x86_writes(i));
		return;
	}
	o->off[to] = o->off[from] + off;
	o->from[to] = o->from[from];
}

static void vote(struct clew_rust_pop *pop, const struct origins *o)
{
	uint8_t rx = pop->rx, tx = rx == X86_DI ? X86_SI : X86_DX;
	int64_t away = o->off[rx] - o->off[tx];

	if (o->from[rx] != o->from[tx])
		return;
	pop->unclear |= !away || away % 8 || away > AWAY_MAX || away < -AWAY_MAX ||
			(pop->away && pop->away != away);
	if (!pop->unclear)
		pop->away = (int16_t)away;
}

static struct clew_rust_pop *called(struct clew_rust_pops *pops, uint64_t addr)
{
	for (uint32_t k = 0; k < pops->nr; k++)
		if (pops->pop[k].addr == addr)
			return &pops->pop[k];
	return NULL;
}

/* Does it call one of them? Nearly no function does, and is not decoded then. */
static bool calls_one(struct clew_rust_pops *pops, uint64_t addr, const uint8_t *code, size_t n)
{
	const uint8_t *p = code, *end = code + n;
	int32_t rel;

	while (end - p >= 5 && (p = memchr(p, 0xe8, (size_t)(end - p) - 4))) {
		memcpy(&rel, ++p, 4);
		if (called(pops, addr + (uint64_t)(p + 4 - code) + (uint64_t)(int64_t)rel))
			return true;
	}
	return false;
}

static void see_caller(void *arg, uint64_t addr, const uint8_t *code, size_t n)
{
	struct clew_rust_pops *pops = arg;
	struct origins o = {.last = 0};
	struct clew_rust_pop *pop;
	struct x86_insn i;

	if (!calls_one(pops, addr, code, n))
		return;
	forget(&o, 0xffff);
	for (size_t at = 0; at < n; at += i.len) {
		if (!x86_decode(code + at, n - at, &i))
			return;
		pop = i.op == 0xe8 ? called(pops, addr + at + i.len + (uint64_t)(int64_t)i.imm)
				   : NULL;
		if (pop)
			vote(pop, &o);
		trace(&o, &i);
	}
}

int16_t clew_rust__away(const struct clew_elf *elf, struct clew_rust_pops *pops)
{
	int16_t away = 0;

	if (!pops->nr || clew_rust__each_func(elf, see_caller, pops))
		return 0;
	for (uint32_t k = 0; k < pops->nr && !away; k++)
		if (pops->pop[k].take && !pops->pop[k].unclear)
			away = pops->pop[k].away;
	return away;
}
