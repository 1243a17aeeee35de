/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86.h - enough of x86-64's instructions to follow a compiler's straight code: how long each is,
 * and what it does with the general registers. Intel SDM volume 2, chapter 2 and appendix A.
 */
#ifndef CLEW_PROBE_X86_H
#define CLEW_PROBE_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { X86_AX, X86_CX, X86_DX, X86_BX, X86_SP, X86_BP, X86_SI, X86_DI, X86_REGS = 16 };
#define X86_NONE 0xff /* no register; an address without a base */

#define X86_0F(op) (0x100 | (op)) /* of the two-byte opcodes */

struct x86_insn {
	uint16_t op; /* opcode; X86_0F() */
	uint8_t len;
	bool lock, fs;
	bool wide;	   /* operands of 64 bits */
	bool modrm, mem;   /* it has a register or memory operand; that is in memory */
	uint8_t reg, rm;   /* registers; rm: if !mem; of ah it is ax */
	uint8_t base;	   /* of the address, or X86_NONE */
	bool plain;	   /* the address is base + disp, or disp alone */
	bool rip;	   /* it is disp behind the instruction */
	int32_t disp, imm; /* imm: sign-extended; of jumps, too */
};

/* False: not known, or longer than the n bytes. */
bool x86_decode(const uint8_t *p, size_t n, struct x86_insn *ret);
/* Jumps, calls, returns: what follows may run in another state. */
bool x86_branches(const struct x86_insn *i);
/* The registers that it may change, as a set. */
uint32_t x86_writes(const struct x86_insn *i);

static inline uint32_t x86_bit(uint8_t reg)
{
	return reg < X86_REGS ? 1U << reg : 0;
}

/* mov between registers: what is known of one holds for the other. */
bool x86_copies(const struct x86_insn *i, uint8_t *ret_from, uint8_t *ret_to);
/* The set of registers with one value, behind an instruction. */
uint32_t x86_follow(uint32_t set, const struct x86_insn *i);
/* A jump to an address that is its own. */
bool x86_jumps(const struct x86_insn *i);
bool x86_conditional(const struct x86_insn *i);

#endif
