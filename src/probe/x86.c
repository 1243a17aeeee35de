/* SPDX-License-Identifier: Apache-2.0 */
/* x86.c - see x86.h. What a table entry does not know ends the walk: nothing is guessed. */
#include "probe/x86.h"

#include <string.h>

#define MAX_LEN 15
#define CALLED	0x0fc7 /* ax cx dx si di r8..r11: a callee may change them (System V ABI) */

/* Operands by opcode: M modrm, 1 a byte, 4 four bytes (2 with prefix 0x66), 0 none, . unknown. */
enum { NO = 0, M = 1, I1 = 2, I4 = 4, IQ = 8, BAD = 16 };

static const uint8_t one[256] = {
/* the eight arithmetic groups: rm,r  r,rm  al,imm8  ax,imm32 */
#define ARITH M, M, M, M, I1, I4, BAD, BAD
	ARITH, ARITH, ARITH, ARITH, ARITH, ARITH, ARITH, ARITH,
#undef ARITH
	/* 40: prefixes of 64-bit mode, taken before */
	BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
	/* 50: push, pop */
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	/* 60 */
	BAD, BAD, BAD, M, BAD, BAD, BAD, BAD, I4, M | I4, I1, M | I1, BAD, BAD, BAD, BAD,
	/* 70: jcc */
	I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1,
	/* 80 */
	M | I1, M | I4, BAD, M | I1, M, M, M, M, M, M, M, M, BAD, M, BAD, M,
	/* 90 */
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, BAD, BAD, BAD, BAD, BAD, BAD,
	/* a0 */
	BAD, BAD, BAD, BAD, NO, NO, NO, NO, I1, I4, NO, NO, NO, NO, NO, NO,
	/* b0: mov to a register */
	I1, I1, I1, I1, I1, I1, I1, I1, IQ, IQ, IQ, IQ, IQ, IQ, IQ, IQ,
	/* c0 */
	M | I1, M | I1, BAD, NO, BAD, BAD, M | I1, M | I4, BAD, NO, BAD, BAD, NO, BAD, BAD, BAD,
	/* d0 */
	M, M, M, M, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
	/* e0 */
	BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, I4, I4, BAD, I1, BAD, BAD, BAD, BAD,
	/* f0 */
	BAD, BAD, BAD, BAD, NO, BAD, M, M, BAD, BAD, BAD, BAD, BAD, BAD, M, M};

/* Of the two-byte opcodes those that integer code and its moves of 16 bytes are made of. */
static uint8_t two(uint8_t op)
{
	if (op >= 0x80 && op <= 0x8f)
		return I4; /* jcc */
	if (op == 0x05 || op == 0x0b || op == 0x77 || op == 0xa2 || op == 0x31 ||
	    (op >= 0xc8 && op <= 0xcf))
		return NO;
	if ((op >= 0x70 && op <= 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 ||
	    (op >= 0xc4 && op <= 0xc6))
		return M | I1;
	if ((op >= 0x10 && op <= 0x1f) || (op >= 0x28 && op <= 0x2f) ||
	    (op >= 0x40 && op <= 0x6f) || (op >= 0x74 && op <= 0x7f) ||
	    (op >= 0x90 && op <= 0x9f) || op == 0xa3 || op == 0xa5 || (op >= 0xab && op <= 0xc7) ||
	    op >= 0xd0)
		return M;
	return BAD;
}

static int32_t signed_at(const uint8_t *p, size_t n)
{
	int32_t v = 0;

	if (n == 1)
		return (int8_t)p[0];
	if (n == 2)
		return (int16_t)(p[0] | p[1] << 8);
	memcpy(&v, p, 4);
	return v;
}

/* The byte behind the opcode, and what belongs to it. Returns its bytes, 0: too few. */
static size_t operand(const uint8_t *p, size_t n, uint8_t rex, struct x86_insn *ret)
{
	uint8_t mod, rm, disp = 0;
	size_t at = 1;

	if (!n)
		return 0;
	mod = p[0] >> 6;
	rm = p[0] & 7;
	ret->modrm = true;
	ret->reg = (uint8_t)((p[0] >> 3 & 7) | (rex & 4) << 1);
	if (mod == 3) {
		ret->rm = (uint8_t)(rm | (rex & 1) << 3);
		return at;
	}
	ret->mem = ret->plain = true;
	ret->base = (uint8_t)(rm | (rex & 1) << 3);
	disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	if (rm == 4) { /* an index byte follows */
		if (n < 2)
			return 0;
		ret->base = (uint8_t)((p[1] & 7) | (rex & 1) << 3);
		ret->plain = (p[1] >> 3 & 7) == 4 && !(rex & 2);
		if ((p[1] & 7) == 5 && !mod) {
			ret->base = X86_NONE;
			disp = 4;
		}
		at = 2;
	} else if (rm == 5 && !mod) { /* from the next instruction */
		ret->base = X86_NONE;
		ret->plain = false;
		ret->rip = true;
		disp = 4;
	}
	if (n < at + disp)
		return 0;
	ret->disp = disp ? signed_at(p + at, disp) : 0;
	return at + disp;
}

static size_t prefixes(const uint8_t *p, size_t n, bool *ret_short, struct x86_insn *ret)
{
	size_t at;

	for (at = 0; at < n && at < MAX_LEN; at++) {
		switch (p[at]) {
		case 0x66:
			*ret_short = true;
			break;
		case 0xf0:
			ret->lock = true;
			break;
		case 0x64:
			ret->fs = true;
			break;
		case 0x2e:
		case 0x3e:
		case 0xf2:
		case 0xf3:
			break;
		default:
			return at;
		}
	}
	return n; /* nothing else */
}

/* Bytes of the immediate that belongs to the opcode. */
static size_t immediate(uint8_t kind, uint8_t rex, bool short_op, const struct x86_insn *i)
{
	bool test = (i->op == 0xf6 || i->op == 0xf7) && !(i->reg & 6); /* the group's test */

	if (kind & I1 || (test && i->op == 0xf6))
		return 1;
	if (kind & IQ && rex & 8)
		return 8;
	if (kind & (I4 | IQ) || test)
		return short_op && i->op != 0xe8 && i->op != 0xe9 && i->op < 0x100 ? 2 : 4;
	return 0;
}

/*
 * Numbers 4 to 7 of byte registers are ah, ch, dh and bh where no REX prefix says otherwise: here,
 * the registers that these are part of.
 */
static void byte_registers(struct x86_insn *i)
{
	bool exchange = i->op == X86_0F(0xb0) || i->op == X86_0F(0xc0);
	bool bytes = i->op >= 0x100 ? exchange || (i->op & 0x1f0) == X86_0F(0x90)
				    : (i->modrm && !(i->op & 1)) || (i->op & 0xf8) == 0xb0;

	if (!bytes)
		return;
	if (i->rm != X86_NONE)
		i->rm &= 3;
	if (exchange || i->op < 0x40 || (i->op >= 0x84 && i->op <= 0x8a))
		i->reg &= 3;
}

bool x86_decode(const uint8_t *p, size_t n, struct x86_insn *ret)
{
	struct x86_insn i = {.base = X86_NONE, .rm = X86_NONE, .reg = X86_NONE};
	bool short_op = false;
	size_t at, len;
	uint8_t rex = 0, kind;

	at = prefixes(p, n, &short_op, &i);
	if (at < n && (p[at] & 0xf0) == 0x40)
		rex = p[at++];
	if (at >= n)
		return false;
	i.op = p[at++];
	kind = one[i.op];
	if (i.op == 0x0f) {
		if (at >= n)
			return false;
		i.op = X86_0F(p[at]);
		kind = two(p[at++]);
	}
	if (kind & BAD)
		return false;
	i.wide = rex & 8;
	if (kind & M) {
		len = operand(p + at, n - at, rex, &i);
		if (!len)
			return false;
		at += len;
	} else if (i.op < 0x100) {
		i.rm = (uint8_t)((i.op & 7) | (rex & 1) << 3); /* where the opcode names one */
	}
	if (!rex)
		byte_registers(&i);
	len = immediate(kind, rex, short_op && !i.wide, &i);
	if (n < at + len || at + len > MAX_LEN)
		return false;
	if (len && len < 8)
		i.imm = signed_at(p + at, len);
	i.len = (uint8_t)(at + len);
	*ret = i;
	return true;
}

bool x86_branches(const struct x86_insn *i)
{
	return (i->op >= 0x70 && i->op <= 0x7f) ||
	       (i->op >= X86_0F(0x80) && i->op <= X86_0F(0x8f)) || i->op == 0xe8 || i->op == 0xe9 ||
	       i->op == 0xeb || i->op == 0xc3 || i->op == 0xcc || i->op == X86_0F(0x0b) ||
	       (i->op == 0xff && i->modrm && i->reg % 8 >= 2 && i->reg % 8 < 6);
}

/* Of the one-byte opcodes with a modrm byte: which operand is written. */
static uint32_t writes_modrm(const struct x86_insn *i)
{
	uint32_t rm = i->mem ? 0 : x86_bit(i->rm), reg = x86_bit(i->reg);

	if (i->op < 0x40) {
		if (i->op >= 0x38)
			return 0; /* cmp */
		return i->op & 2 ? reg : rm;
	}
	switch (i->op) {
	case 0x84: /* test */
	case 0x85:
		return 0;
	case 0x88: /* mov rm,r; with immediates */
	case 0x89:
	case 0xc6:
	case 0xc7:
	case 0x8f:
		return rm;
	case 0x63:
	case 0x69:
	case 0x6b:
	case 0x8a:
	case 0x8b:
	case 0x8d:
		return reg;
	case 0x80:
	case 0x81:
	case 0x83:
		return i->reg % 8 == 7 ? 0 : rm; /* cmp */
	case 0xc0:				 /* shifts */
	case 0xc1:
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
	case 0xfe:
		return rm;
	case 0xf6:
	case 0xf7:
		return i->reg & 6 ? rm | x86_bit(X86_AX) | x86_bit(X86_DX) : 0; /* test */
	case 0xff: /* call, push, else jmp, inc, dec */
		return i->reg % 8 == 2 ? CALLED : i->reg % 8 == 6 ? x86_bit(X86_SP) : rm;
	default: /* xchg */
		return rm | reg;
	}
}

/* Moves of 16 bytes, xorps: no general register, whatever prefix they have. */
static bool vectors(const struct x86_insn *i)
{
	return (i->op | 1) == X86_0F(0x11) || (i->op | 1) == X86_0F(0x29) ||
	       i->op == X86_0F(0x57) || (i->op | 0x10) == X86_0F(0x7f);
}

/* Other registers of 16 bytes have the same numbers: then it says too much. */
static uint32_t writes_two(const struct x86_insn *i)
{
	if ((i->op >= X86_0F(0x80) && i->op <= X86_0F(0x8f)) || i->op == X86_0F(0x1f) ||
	    i->op == X86_0F(0xa3) || vectors(i))
		return 0; /* jcc, nop, bt */
	if (!i->modrm)
		return 0xffff;
	return x86_bit(i->reg) | (i->mem ? 0 : x86_bit(i->rm)) |
	       (i->op == X86_0F(0xb0) || i->op == X86_0F(0xb1) || i->op == X86_0F(0xc7)
			? x86_bit(X86_AX) | x86_bit(X86_DX)
			: 0);
}

uint32_t x86_writes(const struct x86_insn *i)
{
	if (i->op >= 0x100)
		return writes_two(i);
	if (i->modrm)
		return writes_modrm(i);
	if ((i->op >= 0x50 && i->op <= 0x57) || i->op == 0x68 || i->op == 0x6a)
		return x86_bit(X86_SP);
	if (i->op >= 0x58 && i->op <= 0x5f)
		return x86_bit(i->rm) | x86_bit(X86_SP);
	if (i->op >= 0xb0 && i->op <= 0xbf)
		return x86_bit(i->rm);
	if (i->op == 0xe8)
		return CALLED;
	if (i->op < 0x40)
		return (i->op & 0x38) == 0x38 ? 0 : x86_bit(X86_AX);
	if ((i->op == 0x90 && !i->rm) || x86_branches(i) || i->op == 0xa8 || i->op == 0xa9)
		return 0;
	return 0xffff;
}

bool x86_copies(const struct x86_insn *i, uint8_t *ret_from, uint8_t *ret_to)
{
	if (!i->wide || i->mem || (i->op != 0x89 && i->op != 0x8b))
		return false;
	*ret_from = i->op == 0x89 ? i->reg : i->rm;
	*ret_to = i->op == 0x89 ? i->rm : i->reg;
	return true;
}

uint32_t x86_follow(uint32_t set, const struct x86_insn *i)
{
	uint8_t from, to;

	if (x86_copies(i, &from, &to))
		return set & x86_bit(from) ? set | x86_bit(to) : set & ~x86_bit(to);
	return set & ~x86_writes(i);
}

bool x86_jumps(const struct x86_insn *i)
{
	return i->op == 0xe9 || i->op == 0xeb;
}

bool x86_conditional(const struct x86_insn *i)
{
	return (i->op & 0x1f0) == 0x70 || (i->op & 0x1f0) == X86_0F(0x80);
}
