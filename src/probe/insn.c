/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insn.c - which instruction a uprobe would sit on, and what that costs.
 *
 * The kernel emulates push, call, jumps and nop; all else is executed out of line with a
 * single-step trap, which costs 10 us a hit where an emulated one costs 0.6. Only the first
 * instruction of a function matters, and compilers begin functions in few ways, so a table of
 * byte patterns does where a disassembler would be needed otherwise. What no pattern knows is
 * left where it is and priced as single-stepped.
 * Source: arch/x86/kernel/uprobes.c (branch_setup_xol_ops, push_setup_xol_ops); Intel SDM
 * volume 2; for Go's stack check, cmd/internal/obj/x86 (stacksplit).
 */
#include "probe/elf.h"

#include <string.h>

static bool is_jcc(const uint8_t *p, size_t n, size_t *ret_len)
{
	if (n >= 2 && p[0] >= 0x70 && p[0] <= 0x7f) {
		*ret_len = 2;
		return true;
	}
	if (n >= 6 && p[0] == 0x0f && p[1] >= 0x80 && p[1] <= 0x8f) {
		*ret_len = 6;
		return true;
	}
	return false;
}

enum clew_insn_class clew_insn__class(const uint8_t *p, size_t n)
{
	size_t len;

	if (!n)
		return CLEW_INSN_UNKNOWN;
	if (p[0] == 0xf0)
		return CLEW_INSN_REFUSED;
	if (p[0] >= 0x50 && p[0] <= 0x57)
		return CLEW_INSN_PUSH;
	if (n >= 2 && (p[0] & 0xf0) == 0x40 && p[1] >= 0x50 && p[1] <= 0x57) /* REX push */
		return CLEW_INSN_PUSH;
	if (p[0] == 0x90)
		return CLEW_INSN_NOP;
	if (p[0] == 0xe8 || p[0] == 0xe9 || p[0] == 0xeb || is_jcc(p, n, &len))
		return CLEW_INSN_JUMP;
	return CLEW_INSN_OTHER;
}

/* Bytes that are fixed, and how many immediate bytes follow them. */
struct pattern {
	uint8_t fixed[8], len, imm;
};

static size_t match(const struct pattern *t, size_t nr, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (n >= (size_t)t[i].len + t[i].imm && !memcmp(p, t[i].fixed, t[i].len))
			return (size_t)t[i].len + t[i].imm;
	return 0;
}

/*
 * Go: [address of the frame's end into R12, which holds no argument], compare with the
 * goroutine's stack limit, jump to the growing code, and then the body. The body's push is
 * reached once per call; the jump a second time when the stack had to grow.
 */
static size_t go_check(const uint8_t *p, size_t n)
{
	static const struct pattern frame[] = {
		{{0x4c, 0x8d, 0x64, 0x24}, 4, 1}, /* lea disp8(%rsp),%r12 */
		{{0x4c, 0x8d, 0xa4, 0x24}, 4, 4}, /* lea disp32(%rsp),%r12 */
	};
	static const struct pattern limit[] = {
		{{0x49, 0x3b, 0x66, 0x10}, 4, 0}, /* cmp 0x10(%r14),%rsp */
		{{0x4d, 0x3b, 0x66, 0x10}, 4, 0}, /* cmp 0x10(%r14),%r12 */
	};
	static const struct pattern huge[] = {
		{{0x49, 0x89, 0xe4, 0x49, 0x81, 0xec}, 6, 4}, /* mov %rsp,%r12; sub imm,%r12 */
	};
	size_t at, len;

	at = match(huge, 1, p, n);
	if (at) {
		if (!is_jcc(p + at, n - at, &len))
			return 0;
		at += len;
	} else {
		at = match(frame, 2, p, n);
	}
	len = match(limit, 2, p + at, n - at);
	if (!len || !is_jcc(p + at + len, n - at - len, &(size_t){0}))
		return 0;
	return at + len;
}

/*
 * V8's builtins without a frame: loads into registers that hold no operand, then a test of an
 * operand's tag and its jump, which every call reaches.
 */
static size_t builtin_check(const uint8_t *p, size_t n)
{
	static const struct pattern loads[] = {
		{{0x4c, 0x8b, 0x46}, 3, 1}, /* mov disp8(%rsi),%r8 */
		{{0x4c, 0x8b, 0x48}, 3, 1}, /* mov disp8(%rax),%r9 */
		{{0x4d, 0x8b, 0x40}, 3, 1}, /* mov disp8(%r8),%r8 */
	};
	static const struct pattern tag[] = {{{0xf6, 0xc3, 0x01}, 3, 0}}; /* test $1,%bl */
	size_t at = 0, len;

	while ((len = match(loads, 3, p + at, n - at)))
		at += len;
	len = at ? match(tag, 1, p + at, n - at) : 0;
	return len && is_jcc(p + at + len, n - at - len, &(size_t){0}) ? at + len : 0;
}

size_t clew_insn__skip(const uint8_t *p, size_t n)
{
	static const struct pattern endbr64[] = {{{0xf3, 0x0f, 0x1e, 0xfa}, 4, 0}};
	size_t at = match(endbr64, 1, p, n), check, len;

	check = go_check(p + at, n - at);
	if (!check)
		return at + builtin_check(p + at, n - at);
	at += check;
	if (is_jcc(p + at, n - at, &len) &&
	    clew_insn__class(p + at + len, n - at - len) == CLEW_INSN_PUSH)
		at += len;
	return at;
}
