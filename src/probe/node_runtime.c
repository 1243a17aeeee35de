/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_runtime.c - where Node keeps its async ids, and where async functions wait and go on.
 *
 * No table of versions: the program's own code says both.
 *   - AsyncWrap::AsyncReset() gives an object its next id (node: src/async_wrap.cc). Compiled, it
 *     is a chain of loads, this -> realm -> Environment -> the array of ids, an addition to the
 *     third of these, and a store into the object's own id. The offsets are read off that.
 *   - V8's builtins pass their operands in registers (src/builtins/builtins-async-function-gen.cc).
 *     Each is used only if its first instructions use the registers as expected: the generator,
 *     by its promise at 0x4f, from the accumulator; the context's slot from rsi.
 * What is read with these is checked against itself in the kernel (ids are whole numbers below
 * the last one given), and a program that fails that gets no rule.
 *
 * C++ functions are exported (.dynsym), builtins are in .symtab only: a stripped program has its
 * ids, but not its async functions.
 */
#include "probe/look.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CODE_BYTES    256
#define CHAIN_BYTES   48 /* from one load to the next */
#define ID_BYTES      64 /* the object's own id is loaded early */
#define OPERAND_BYTES 64
#define PUSH_RBP      0x55
#define LAST_ID	      0x10 /* AsyncHooks::kAsyncIdCounter, the third double */

/* mov disp8(%base),%dst and mov disp32(%base),%dst: REX.W 8b /r (Intel SDM volume 2). */
static bool load8(const uint8_t *p, int base, int *ret_dst, uint16_t *ret_disp)
{
	if (p[0] != 0x48 || p[1] != 0x8b || p[2] >> 6 != 1 || (p[2] & 7) == 4 ||
	    (base >= 0 && (p[2] & 7) != base) || p[3] > 0x7f)
		return false;
	*ret_dst = p[2] >> 3 & 7;
	*ret_disp = p[3];
	return true;
}

static bool load32(const uint8_t *p, int base, int *ret_dst, uint16_t *ret_disp)
{
	if (p[0] != 0x48 || p[1] != 0x8b || p[2] >> 6 != 2 || (p[2] & 7) == 4 ||
	    (p[2] & 7) != base || p[5] || p[6] || p[4] > 0x7f)
		return false;
	*ret_dst = p[2] >> 3 & 7;
	*ret_disp = (uint16_t)(p[3] | p[4] << 8);
	return true;
}

/* addsd 0x10(%base),%xmm */
static bool adds_to_last(const uint8_t *p, int base)
{
	return p[0] == 0xf2 && p[1] == 0x0f && p[2] == 0x58 && p[3] >> 6 == 1 &&
	       (p[3] & 7) == base && p[4] == LAST_ID;
}

/* movsd disp8(%rdi),%xmm or ucomisd disp8(%rdi),%xmm: is there an id already? */
static bool asks_own_id(const uint8_t *p)
{
	return ((p[0] == 0xf2 && p[2] == 0x10) || (p[0] == 0x66 && p[2] == 0x2e)) && p[1] == 0x0f &&
	       (p[3] & 0xc7) == 0x47 && p[4] <= 0x7f;
}

static bool follow_ids(const uint8_t *code, size_t n, size_t from, int env,
		       struct clew_node_layout *ret)
{
	int ids;

	for (size_t i = from; i < from + CHAIN_BYTES && i + 8 <= n; i++) {
		if (!load32(code + i, env, &ids, &ret->ids))
			continue;
		for (size_t k = i + 7; k < i + 7 + CHAIN_BYTES && k + 5 <= n; k++)
			if (adds_to_last(code + k, ids))
				return true;
	}
	return false;
}

static bool follow_env(const uint8_t *code, size_t n, size_t from, int realm,
		       struct clew_node_layout *ret)
{
	int env;

	for (size_t i = from; i < from + CHAIN_BYTES && i + 8 <= n; i++)
		if (load32(code + i, realm, &env, &ret->env) &&
		    follow_ids(code, n, i + 7, env, ret))
			return true;
	return false;
}

int clew_node__layout(const uint8_t *code, size_t n, struct clew_node_layout *ret)
{
	struct clew_node_layout l = {0};
	int realm;

	for (size_t i = 0; !l.id && i < ID_BYTES && i + 5 <= n; i++)
		if (asks_own_id(code + i))
			l.id = code[i + 4];
	for (size_t i = 0; l.id && i + 4 <= n; i++) {
		if (!load8(code + i, -1, &realm, &l.realm) ||
		    !follow_env(code, n, i + 4, realm, &l))
			continue;
		*ret = l;
		return 0;
	}
	return -ENOENT;
}

/* mov %r8..%r15,0x18(%rax): the microtask queue's start is moved on before a task runs */
static bool moves_start(const struct clew_elf *elf, uint64_t addr)
{
	uint8_t code[CODE_BYTES];

	if (clew_elf__read(elf, addr, code, sizeof(code)))
		return false;
	for (size_t i = 0; i + 4 <= sizeof(code); i++)
		if (code[i] == 0x4c && code[i + 1] == 0x89 && (code[i + 2] & 0xc7) == 0x40 &&
		    code[i + 3] == 0x18)
			return true;
	return false;
}

/* The first instructions contain this one. */
static bool has_code(const struct clew_elf *elf, uint64_t addr, const char insn[4])
{
	uint8_t code[OPERAND_BYTES];

	return !clew_elf__read(elf, addr, code, sizeof(code)) &&
	       memmem(code, sizeof(code), insn, 4);
}

enum {
	AWAIT,
	AWAIT_CAUGHT,
	AWAIT_UNCAUGHT,
	RESUME,
	RESUME_REJECT,
	DRAIN,
	MOVED,
	MOVED_FULL,
	RUN,
	NAMES
};

static const char *const names[NAMES] = {
	[AWAIT] = "Builtins_AsyncFunctionAwait",
	[AWAIT_CAUGHT] = "Builtins_AsyncFunctionAwaitCaught",
	[AWAIT_UNCAUGHT] = "Builtins_AsyncFunctionAwaitUncaught",
	[RESUME] = "Builtins_AsyncFunctionAwaitResolveClosure",
	[RESUME_REJECT] = "Builtins_AsyncFunctionAwaitRejectClosure",
	[DRAIN] = "_ZN2v88internal14MicrotaskQueue13RunMicrotasksEPNS0_7IsolateE",
	[MOVED] = "_ZN2v88internal18ScavengerCollector30HandleSurvivingNewLargeObjectsEv",
	[MOVED_FULL] = "_ZN2v88internal20MarkCompactCollector29UpdatePointersAfterEvacuationEv",
	[RUN] = "Builtins_RunMicrotasks",
};

static bool async_functions(const struct clew_elf *elf, struct clew_node_facts *ret)
{
	static const char gen_promise[] = "\x4c\x8b\x48\x4f"; /* mov 0x4f(%rax),%r9 */
	static const char slot[] = "\x48\x8b\x56\x1f";	      /* mov 0x1f(%rsi),%rdx */
	struct clew_elf_sym sym[NAMES];
	uint8_t first;
	int i;

	if (clew_elf__syms(elf, names, NAMES, sym) <= 0)
		return false;
	if (!sym[AWAIT].addr && (!sym[AWAIT_CAUGHT].addr || !sym[AWAIT_UNCAUGHT].addr))
		return false;
	for (i = AWAIT; i <= AWAIT_UNCAUGHT; i++) {
		ret->await[i] = sym[i].addr;
		if (sym[i].addr && !has_code(elf, sym[i].addr, gen_promise))
			return false;
	}
	for (i = RESUME; i < NAMES; i++)
		if (!sym[i].addr)
			return false;
	/*
	 * Split by the compiler (Node 18), its callers look themselves whether there is a task, and
	 * runs without one are not seen: then runs cannot be told apart by counting them.
	 */
	if (clew_elf__read(elf, sym[DRAIN].addr, &first, 1) || first != PUSH_RBP)
		return false;
	if (!has_code(elf, sym[RESUME].addr, slot) ||
	    !has_code(elf, sym[RESUME_REJECT].addr, slot) || !moves_start(elf, sym[RUN].addr))
		return false;
	ret->resume[0] = sym[RESUME].addr;
	ret->resume[1] = sym[RESUME_REJECT].addr;
	ret->drain = sym[DRAIN].addr;
	ret->moved[0] = sym[MOVED].addr;
	ret->moved[1] = sym[MOVED_FULL].addr;
	return true;
}

/* The address from which its headers can be fetched stands in every release. */
static void find_version(const struct clew_elf *elf, char ret[32])
{
	static const char mark[] = "/download/release/v";
	struct clew_elf_section ro;
	char text[64] = "";
	uint64_t off;
	size_t n = sizeof(mark) - 1;

	if (clew_elf__section(elf, ".rodata", &ro) || ro.type == SHT_NOBITS)
		return;
	if (clew_elf__find(elf, ro.off, ro.size, mark, n, &off) ||
	    clew_elf__read_off(elf, off, text, sizeof(text) - 1))
		return;
	snprintf(ret, 32, "%.*s", (int)strspn(text + n, "0123456789."), text + n);
}

int clew_node__inspect(const struct clew_elf *elf, struct clew_node_facts *ret)
{
	static const char *const exported[] = {
		"_ZN4node5StartEiPPc",
		"_ZN4node21InternalCallbackScopeC1EPNS_9AsyncWrapEi",
		"_ZN4node9AsyncWrap10AsyncResetEN2v85LocalINS1_6ObjectEEEd",
		"_ZN4node9AsyncWrap10AsyncResetEN2v85LocalINS1_6ObjectEEEdb",
	};
	uint8_t code[CODE_BYTES];
	struct clew_elf_sym sym[4];
	int err;

	memset(ret, 0, sizeof(*ret));
	err = clew_elf__syms(elf, exported, 4, sym);
	if (err < 0)
		return err;
	if (!sym[0].addr)
		return -ENOENT;
	ret->is_node = true;
	find_version(elf, ret->version);
	ret->parser = sym[1].addr;
	ret->id = sym[2].addr ? sym[2].addr : sym[3].addr;
	if (!ret->parser || !ret->id || clew_elf__read(elf, ret->id, code, sizeof(code)) ||
	    clew_node__layout(code, sizeof(code), &ret->layout))
		return 0;
	ret->has_ids = true;
	ret->has_async = async_functions(elf, ret);
	return 0;
}

static void look_node(struct clew_look *l, const struct clew_facts *f, const char *path)
{
	const struct clew_node_facts *node = &f->node;
	struct clew_runtime *rt = l->rt;

	clew_look__name(l, CLEW_RT_NODE, "node");
	snprintf(rt->version, sizeof(rt->version), "%s", node->version);
	rt->entry.flags |= CLEW_PROC_THREADS;
	if (!node->has_ids) {
		clew_look__why(l, "where this build keeps its async ids is not known");
		return;
	}
	rt->entry.node_realm = node->layout.realm;
	rt->entry.node_env = node->layout.env;
	rt->entry.node_ids = node->layout.ids;
	rt->entry.node_id = node->layout.id;
	clew_look__sites(l, f, path);
	if (!node->has_async)
		clew_look__why(l, "V8's functions for await are not found, or not as expected: "
				  "what follows an await is not known");
}

bool clew_node__look(struct clew_look *l)
{
	char path[CLEW_SITE_PATH];
	struct clew_facts lib;

	if (l->file->kind == CLEW_FACTS_NODE)
		look_node(l, l->file, l->path);
	else if (!clew_look__facts(l, &l->maps.node, CLEW_FILE_NODE, &lib, path) &&
		 lib.kind == CLEW_FACTS_NODE)
		look_node(l, &lib, path);
	else
		return false;
	return true;
}
