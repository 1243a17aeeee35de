/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokio's Rx::pop, where it has taken a message, and how far a channel's Tx is from its Rx: written
 * as rustc compiles them, under the names that it gives them; see test_rust.c.
 */
#include "spawn.h"

#include <fcntl.h>

#include "probe/rust_runtime.h"

__attribute__((used)) static const char path[] = "/somewhere/tokio-1.54.1/src/runtime/mod.rs";

#define FUNC(name, label, code)                                                                    \
	__asm__(".text\n.balign 16\n.type \"" name "\", @function\n\"" name "\":\n" #label ":\n"   \
		".cfi_startproc\n" code "\n.cfi_endproc\n" #label "_end:\n.size \"" name           \
		"\", .-\"" name "\"\n");                                                           \
	extern const uint8_t label[], label##_end[];
#define LEN(label) ((size_t)(label##_end - (label)))
#define POP(n)	   "_ZN5tokio4sync4mpsc4list11Rx$LT$T$GT$3pop17h0123456789abcde" #n "E"

FUNC("_ZN5tokio7runtime7context19set_current_task_id17h0123456789abcdefE", t_set,
     "mov %fs:-0x120,%rax; mov %rdi,%fs:-0x120; ret")
FUNC("_ZN5tokio4sync4mpsc4list11Tx$LT$T$GT$4push17h0123456789abcdefE", t_push,
     "mov $1,%r14d; lock xadd %r14,8(%rdi); mov %r14,%r13; and $-32,%r13; jne 1f; 1: ret")

#define HEAD                                                                                       \
	"push %r15; push %r14; push %rbx; mov %rsi,%r14; mov %rdi,%rbx; mov (%rsi),%rsi\n"         \
	"mov 0x10(%r14),%rax; and $-32,%rax; cmp %rax,0x2300(%rsi); je 4f\n"                       \
	"mov 0x2318(%rsi),%rax; sub 0x10(%r14),%rax; test %rax,%rax; jle 4f\n"
/* The index is in a register over a call that copies the message. */
#define READY                                                                                      \
	"mov 0x10(%r14),%r15; mov 0x2310(%rsi),%rax; bt %r15d,%eax; jae 2f\n"                      \
	"mov %r15d,%eax; and $31,%eax; call *%rcx; cmpl $3,0x100(%rbx); jae 4f\n"
#define TAIL                                                                                       \
	"2: bt $0x21,%rax; jb 3f; movq $4,0x100(%rbx); jmp 4f; 3: movq $3,0x100(%rbx)\n"           \
	"4: mov %rbx,%rax; pop %rbx; pop %r14; pop %r15; ret"

FUNC(POP(1), t_stores, HEAD READY "inc %r15; mov %r15,0x10(%r14); jmp 4f\n" TAIL)
FUNC(POP(2), t_adds, HEAD READY "incq 0x10(%r14); jmp 4f\n" TAIL) /* with LTO */
FUNC(POP(3), t_early, HEAD READY "incq 0x10(%r14); mov %rbx,%rax; jmp 4f\n" TAIL)
/* The receiver's address stays in the argument's register. */
FUNC("t_leaf", t_leaf,
     "mov (%rsi),%rax; mov 0x10(%rsi),%rcx; and $-32,%rcx; jne 1f; mov 0x10(%rsi),%rdx\n"
     "lea 1(%rdx),%rdx; mov %rdx,0x10(%rsi); jmp 2f; 1: bt $0x21,%r8; jb 2f; dec %rcx; 2: ret")
FUNC("t_add", t_add, HEAD READY "addq $1,0x10(%r14); .byte 0xe9,0,0,0,0\n" TAIL)

/* None of these: the probe would be passed without a message, or its register be another one. */
FUNC("t_target", t_target, HEAD READY "jb 1f; inc %r15; mov %r15,0x10(%r14); 1: jmp 4f\n" TAIL)
FUNC("t_target_far", t_far,
     HEAD READY "inc %r15; mov %r15,0x10(%r14); 1: jmp 4f; .byte 0x0f,0x82; .long 1b-.-4\n" TAIL)
FUNC("t_target_jmp", t_back, HEAD READY "incq 0x10(%r14); 1: jmp 4f; jmp 1b\n" TAIL)
FUNC("t_twice", t_twice, HEAD "incq 0x10(%r14); jmp 4f\n" READY "incq 0x10(%r14); jmp 4f\n" TAIL)
FUNC("t_resets", t_resets, HEAD READY "incq 0x10(%r14); jmp 4f; movq $0,0x10(%r14)\n" TAIL)
FUNC("t_two_more", t_two, HEAD READY "add $2,%r15; mov %r15,0x10(%r14); jmp 4f\n" TAIL)
FUNC("t_same", t_same, HEAD READY "mov %r15,0x10(%r14); jmp 4f\n" TAIL)
FUNC("t_downwards", t_down, HEAD READY "decq 0x10(%r14); jmp 4f\n" TAIL)
FUNC("t_half", t_half, HEAD READY "incl 0x10(%r14); jmp 4f\n" TAIL)
FUNC("t_conditional", t_jcc, HEAD READY "incq 0x10(%r14); jne 4f\n" TAIL)
FUNC("t_called", t_call, HEAD READY "incq 0x10(%r14); call t_set; jmp 4f\n" TAIL)
FUNC("t_lost", t_lost, HEAD "call *%rcx; mov %rbx,%r14; incq 0x10(%r14); jmp 4f\n" TAIL)
FUNC("t_unknown", t_unknown, HEAD READY "incq 0x10(%r14); jmp 4f; .byte 0x06\n" TAIL)
FUNC("t_word", t_word, HEAD READY "incq 0x18(%r14); jmp 4f\n" TAIL)
FUNC("t_cut", t_cut, HEAD READY "incq 0x10(%r14); 2: 4:")

/* Who calls pop: both addresses come from the channel's, in one piece of code. */
FUNC("t_recv", t_recv,
     "push %r12; push %r13; mov (%r15),%r15; lea 0x1a0(%r15),%r12; lea 0x80(%r15),%r13\n"
     "lea 0x38(%rsp),%rdi; mov %r12,%rsi; mov %r13,%rdx; call t_stores; je 1f; call *0x10(%rax)\n"
     "mov %rsp,%rdi; mov %r12,%rsi; mov %r13,%rdx; call t_stores\n"
     "mov (%rbx),%rsi; mov 8(%rbx),%rdx; call t_stores\n" /* a guard: of these nothing is known */
     "1: pop %r13; pop %r12; ret")
FUNC("t_drop", t_drop,
     "lea 0x80(%rdi),%rdx; lea 0x1a0(%rdi),%rsi; mov %rsp,%rdi; call t_adds; ret\n"
     "lea 0x80(%rax),%rdx; jmp t_recv; lea 0x188(%rax),%rsi; call t_adds; ret")

static void take(void **state)
{
	static const struct {
		const uint8_t *code, *end;
		uint8_t reg;
	} is[] = {{t_stores, t_stores_end, 14},
		  {t_adds, t_adds_end, 14},
		  {t_leaf, t_leaf_end, X86_SI},
		  {t_add, t_add_end, 14}};
	uint64_t at = 0;
	uint8_t reg = 0;

	(void)state;
	for (size_t k = 0; k < sizeof(is) / sizeof(is[0]); k++) {
		size_t n = (size_t)(is[k].end - is[k].code);

		if (!clew_rust__take(is[k].code, n, X86_SI, 0x10, &at, &reg))
			fail_msg("form %zu", k);
		assert_int_equal(reg, is[k].reg);
		assert_in_range(is[k].code[at], 0xe9, 0xeb);
		assert_int_equal(is[k].code[at - 1], k == 3 ? 1 : 0x10);
		assert_false(clew_rust__take(is[k].code, n, X86_DI, 0x10, &at, &reg));
		assert_false(clew_rust__take(is[k].code, n, X86_SI, 0x18, &at, &reg));
		for (size_t less = 0; less <= at; less++)
			assert_false(clew_rust__take(is[k].code, less, X86_SI, 0x10, &(uint64_t){0},
						     &reg));
	}
}

static void elsewhere(void **state)
{
	static const struct {
		const char *what;
		const uint8_t *code, *end;
	} not[] = {
#define NOT(label) {#label, label, label##_end}
		NOT(t_early), NOT(t_target), NOT(t_far), NOT(t_back),
		NOT(t_twice), NOT(t_resets), NOT(t_two), NOT(t_same),
		NOT(t_down),  NOT(t_half),   NOT(t_jcc), NOT(t_call),
		NOT(t_lost),  NOT(t_word),   NOT(t_cut), NOT(t_unknown),
#undef NOT
	};
	uint64_t at;
	uint8_t reg;

	(void)state;
	for (size_t k = 0; k < sizeof(not) / sizeof(not[0]); k++)
		if (clew_rust__take(not[k].code, (size_t)(not[k].end - not[k].code), X86_SI, 0x10,
				    &at, &reg))
			fail_msg("%s", not[k].what);
}

static struct clew_elf *self(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	struct clew_elf *elf;

	assert_true(fd >= 0);
	assert_int_equal(clew_elf__new(fd, &elf), 0);
	return elf;
}

/* The two that have one are probed there, the third where it begins. */
static void places(void **state)
{
	static struct clew_rust_facts f;
	struct clew_elf *elf = self();
	uint32_t takes = 0, pops = 0;

	(void)state;
	assert_int_equal(clew_rust__inspect(elf, &f), 0);
	assert_int_equal(f.index, 0x10);
	assert_int_equal(f.away, 0x120);
	assert_int_equal(f.nr, 4);
	for (uint32_t i = 0; i < f.nr; i++) {
		if (!f.place[i].pop)
			continue;
		*(f.place[i].take ? &takes : &pops) += 1;
		assert_int_equal(f.place[i].reg, f.place[i].take ? 14 : X86_SI);
	}
	assert_int_equal(takes, 2);
	assert_int_equal(pops, 1);
	clew_elf__free(elf);
}

static uint64_t address(const char *name)
{
	struct clew_elf *elf = self();
	struct clew_elf_sym sym;

	assert_int_equal(clew_elf__syms(elf, &name, 1, &sym), 1);
	clew_elf__free(elf);
	return sym.addr;
}

FUNC("t_other_channel", t_unlike, "lea 0x80(%rdi),%rdx; lea 0x200(%rdi),%rsi; call t_leaf; ret")
FUNC("t_channel", t_alike, "lea 0x80(%rdi),%rdx; lea 0x1a0(%rdi),%rsi; call t_leaf; ret")
FUNC("t_odd", t_odd, "lea 0x80(%rdi),%rdx; lea 0x184(%rdi),%rsi; call t_add; ret")
FUNC("t_jumps", t_jumps,
     "lea 0x80(%rdi),%rdx; lea 0x1a0(%rdi),%rsi; jmp 1f; call t_target; ret; int3; call t_target\n"
     "1: xor %eax,%eax; lea 0x1a0(%rdi),%rsi; mov (%rdx),%rdx; call t_target; ret")

/* Callers that disagree, or give a distance that is none, or come from elsewhere. */
static void disagree(void **state)
{
	static const struct {
		const char *name;
		bool unclear;
	} is[] = {{"t_leaf", true}, {"t_add", true}, {"t_target", false}, {"t_far", false}};
	struct clew_rust_pops pops = {.nr = 4};
	struct clew_elf *elf = self();

	(void)state;
	for (uint32_t k = 0; k < pops.nr; k++)
		pops.pop[k] = (struct clew_rust_pop){
			.addr = address(is[k].name), .take = 8, .rx = X86_SI, .index = 0x10};
	assert_int_equal(clew_rust__away(elf, &pops), 0);
	for (uint32_t k = 0; k < pops.nr; k++)
		assert_int_equal(pops.pop[k].unclear, is[k].unclear);
	assert_int_equal(pops.pop[2].away, 0);
	assert_int_equal(pops.pop[3].away, 0);
	clew_elf__free(elf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(take),
		cmocka_unit_test(elsewhere),
		cmocka_unit_test(places),
		cmocka_unit_test(disagree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
