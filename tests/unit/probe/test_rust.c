/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokio in a program: what is read off its code. The functions below are written as rustc compiles
 * them, under the names that it gives them, so that this very program looks like one.
 */
#include "spawn.h"

#include <elf.h>
#include <fcntl.h>

#include "probe/facts.h"
#include "probe/rust_runtime.h"
#include "probe/x86.h"

/* Panics name the file: rustc puts the paths there. */
__attribute__((used)) static const char path[] = "/somewhere/tokio-1.54.1/src/runtime/mod.rs";

#define PUSH  "_ZN5tokio4sync4mpsc4list11Tx$LT$T$GT$4push17h0123456789abcdefE"
#define FIND  "_RNvMs_NtNtNtCs1_5tokio4sync4mpsc4listINtB4_2TxNtC_3app3JobE10find_blockC_3app"
#define POP   "_ZN5tokio4sync4mpsc4list11Rx$LT$T$GT$3pop17h0123456789abcdefE"
#define ENTER "_ZN5tokio7runtime4task4core11TaskIdGuard5enter17h0123456789abcdefE"
#define SET   "_ZN5tokio7runtime7context19set_current_task_id17h0123456789abcdefE"

#define BIND  "_ZN5tokio7runtime4task4list19OwnedTasks$LT$S$GT$10bind_inner17h0123456789abcdefE"
#define BLOCK "_ZN5tokio7runtime8blocking4pool7Spawner10spawn_task17h0123456789abcdefE"
#define JOIN  "_ZN5tokio7runtime4task7harness15can_read_output17h0123456789abcdefE"

/* `name` for the linker, `label` for C; the end for both. */
#define FUNC(name, label, code)                                                                    \
	__asm__(".text\n.balign 16\n.type \"" name "\", @function\n\"" name "\":\n" #label ":\n"   \
		".cfi_startproc\n" code "\n.cfi_endproc\n" #label "_end:\n.size \"" name           \
		"\", .-\"" name "\"\n");                                                           \
	extern const uint8_t label[], label##_end[];

/* A base in a register, through a call that keeps it; beside it a byte of state. */
FUNC(ENTER, t_enter,
     "push %r14; push %rbx; mov %rdi,%rbx; mov %fs:0,%rax; lea -0x150(%rax),%rax\n"
     "movzbl 0x48(%rax),%ecx; cmp $1,%ecx; je 1f; mov %rax,%r14; call *%rcx; mov %r14,%rax\n"
     "movb $1,0x48(%r14); 1: mov 0x30(%rax),%rcx; mov %rbx,0x30(%rax); mov %rcx,%rax\n"
     "pop %rbx; pop %r14; ret")
FUNC(SET, t_set, "mov %fs:-0x120,%rax; mov %rdi,%fs:-0x120; ret")
FUNC("t_two_words", t_two, "mov %rdi,%fs:-0x120; mov %rdi,%fs:-0x128; ret")
FUNC("t_other_sign", t_above, "mov %rdi,%fs:0x28; ret")
FUNC("t_no_word", t_byte, "mov %fs:0,%rax; movb $1,-0x20(%rax); mov %rdi,(%rsi); ret")
FUNC("t_lost_base", t_lost, "mov %fs:0,%rax; call *%rcx; mov %rdi,-0x120(%rax); ret")

FUNC(PUSH, t_push,
     "push %rbp; push %r14; mov $1,%r14d; lock xadd %r14,8(%rdi); mov %r14,%r13\n"
     "and $-32,%r13; mov (%rdi),%rdx; mov %r13,%rax; sub 0x400(%rdx),%rax; jne 1f\n"
     "and $31,%r14d; 1: pop %r14; pop %rbp; ret")
/* the receiver is moved first; the slot's register is used up before the first jump */
FUNC("t_push_used", t_used,
     "mov $1,%eax; lock xadd %rax,(%rdi); and $-32,%rax; shr $5,%rax; jne t_used; ret")
/* the first jump is a loop's, where the slot's register is another's by then */
FUNC("t_push_loop", t_loop,
     "mov $1,%eax; lock xadd %rax,8(%rdi); mov %rax,%rcx; and $-32,%rcx; mov (%rdi),%rdx\n"
     "2: cmp %rcx,0x400(%rdx); je 1f; mov 0x408(%rdx),%rax; mov %rax,%rdx; jmp 2b; 1: ret")
FUNC("t_push_no_block", t_counter,
     "mov $1,%eax; lock xadd %rax,8(%rdi); test %rax,%rax; jne t_counter")
FUNC("t_push_moved", t_moved, "mov %rdi,%rbx; mov %rsi,%rdi; lock xadd %rax,8(%rbx); jne t_moved")
FUNC("t_push_plain", t_plain, "mov 8(%rdi),%rax; inc %rax; jne t_plain; ret")

FUNC(FIND, t_find,
     "push %rbp; push %r15; mov %rsi,%r15; and $-32,%r15; mov (%rdi),%rcx; mov %r15,%rax\n"
     "sub 0x2300(%rcx),%rax; jne t_find; pop %r15; pop %rbp; ret")
FUNC("t_find_other", t_other, "push %rbp; mov %rdx,%rax; and $-32,%rax; mov (%rdi),%rcx; ret")

FUNC(POP, t_pop,
     "push %r15; push %r14; push %rbx; mov %rsi,%r14; mov %rdi,%rbx; mov (%rsi),%rsi\n"
     "mov 0x10(%r14),%rax; and $-32,%rax; cmp %rax,0x2300(%rsi); je t_pop; bt $0x21,%rax; ret")
/* a result in registers: the receiver comes first */
FUNC("t_pop_small", t_small,
     "push %rbx; mov %rdi,%rbx; mov (%rdi),%rcx; mov 8(%rbx),%rax; and $-32,%rax; jne t_small; ret")
/* the index is masked in another register than it was loaded into */
FUNC("t_pop_copied", t_copied,
     "push %rbx; mov %rdi,%rbx; mov 0x18(%rbx),%rax; mov (%rbx),%rdx; mov %rax,%rcx\n"
     "and $-32,%rcx; jne t_copied; ret")
FUNC("t_pop_other", t_none, "push %rbx; mov (%rdx),%rax; and $-32,%rax; jne t_none; ret")

/* The owner is put into the task's header, then its id is looked up by the vtable. */
FUNC(BIND, t_bind,
     "push %rbp; push %r12; mov %rsi,%rbx; mov %rdi,%r12; mov 0x28(%rdi),%rax\n"
     "mov %rax,0x18(%rsi); mov 0x10(%rsi),%rax; mov 0x48(%rax),%rax; mov (%rsi,%rax,1),%r13\n"
     "pop %r12; pop %rbp; ret")
FUNC("t_bind_unowned", t_unowned,
     "mov 0x28(%rdi),%rax; mov 0x10(%rsi),%rax; mov 0x48(%rax),%rax; ret")
FUNC("t_bind_other_word", t_word,
     "mov 0x28(%rdi),%rax; mov %rax,0x18(%rsi); mov 0x10(%rsi),%rax; mov 0x50(%rax),%rax; ret")
FUNC("t_bind_moved", t_gone,
     "mov 0x28(%rdi),%rax; mov %rax,0x18(%rsi); mov 0x10(%rsi),%rax; xor %eax,%eax\n"
     "mov 0x48(%rax),%rax; ret")
FUNC(BLOCK, t_block, "push %rbx; mov %rsi,%rbx; pop %rbx; ret")
FUNC(JOIN, t_join,
     "push %rbp; push %r12; mov (%rdi),%r13; mov $1,%cl; test $2,%r13b; jne 1f; mov %rsi,%rbx\n"
     "test $0x10,%r13b; jne 1f; mov %rdi,%r12; mov (%rdx),%rax; mov 8(%rdx),%rdi; call *(%rax)\n"
     "1: pop %r12; pop %rbp; ret")
/* the low byte of AX has a shorter form */
FUNC("t_join_al", t_join_al,
     "mov (%rdi),%rax; test $2,%al; jne 1f; test $16,%al; jne 1f; mov 8(%rdx),%rcx; 1: ret")
FUNC("t_join_no_waker", t_unasked,
     "mov (%rdi),%rax; test $2,%al; jne 1f; test $16,%al; jne 1f; mov 8(%rsi),%rcx; 1: ret")
FUNC("t_join_other_bit", t_bits,
     "mov (%rdi),%rax; test $4,%al; jne 1f; test $16,%al; jne 1f; mov 8(%rdx),%rcx; 1: ret")
FUNC("t_join_called", t_called,
     "mov (%rdi),%rax; test $2,%al; jne 1f; call t_block; test $16,%al; mov 8(%rdx),%rcx; 1: ret")

/* As the poll functions of many tasks do. */
FUNC("t_polls", t_polls, ".rept 20; call t_enter; .endr; ret")

#define LEN(label) ((size_t)(label##_end - (label)))

static void task_id(void **state)
{
	int32_t off = 0;

	(void)state;
	assert_true(clew_rust__task_offset(t_enter, LEN(t_enter), &off));
	assert_int_equal(off, -0x120);
	assert_true(clew_rust__task_offset(t_set, LEN(t_set), &off));
	assert_int_equal(off, -0x120);
	assert_false(clew_rust__task_offset(t_two, LEN(t_two), &off));
	assert_false(clew_rust__task_offset(t_above, LEN(t_above), &off));
	assert_false(clew_rust__task_offset(t_byte, LEN(t_byte), &off));
	assert_false(clew_rust__task_offset(t_lost, LEN(t_lost), &off));
	assert_false(clew_rust__task_offset(t_enter, LEN(t_enter) - 20, &off));
	assert_false(clew_rust__task_offset(t_set, 0, &off));
}

static void push(void **state)
{
	uint64_t at = 0;
	uint8_t reg = 0;

	(void)state;
	assert_true(clew_rust__push(t_push, LEN(t_push), &at, &reg));
	assert_int_equal(reg, 14);
	assert_int_equal(clew_insn__class(t_push + at, 8), CLEW_INSN_JUMP);
	assert_true(clew_rust__push(t_used, LEN(t_used), &at, &reg));
	assert_int_equal(reg, X86_AX);
	assert_int_equal(clew_insn__class(t_used + at, 8), CLEW_INSN_OTHER); /* behind the xadd */
	assert_int_equal(at, 10);
	assert_true(clew_rust__push(t_loop, LEN(t_loop), &at, &reg));
	assert_int_equal(reg, X86_AX);
	assert_int_equal(at, 11); /* behind the xadd */
	assert_false(clew_rust__push(t_counter, LEN(t_counter), &at, &reg));
	assert_false(clew_rust__push(t_moved, LEN(t_moved), &at, &reg));
	assert_false(clew_rust__push(t_plain, LEN(t_plain), &at, &reg));
	assert_false(clew_rust__push(t_push, 8, &at, &reg));
}

static void find_block(void **state)
{
	(void)state;
	assert_true(clew_rust__find_block(t_find, LEN(t_find)));
	assert_false(clew_rust__find_block(t_other, LEN(t_other)));
	assert_false(clew_rust__find_block(t_plain, LEN(t_plain)));
}

static void pop(void **state)
{
	uint16_t index = 0;
	uint8_t reg = 0;

	(void)state;
	assert_true(clew_rust__pop(t_pop, LEN(t_pop), &reg, &index));
	assert_int_equal(reg, X86_SI);
	assert_int_equal(index, 0x10);
	assert_true(clew_rust__pop(t_small, LEN(t_small), &reg, &index));
	assert_int_equal(reg, X86_DI);
	assert_int_equal(index, 8);
	assert_true(clew_rust__pop(t_copied, LEN(t_copied), &reg, &index));
	assert_int_equal(reg, X86_DI);
	assert_int_equal(index, 0x18);
	assert_false(clew_rust__pop(t_none, LEN(t_none), &reg, &index));
}

static void join(void **state)
{
	(void)state;
	assert_true(clew_rust__bind(t_bind, LEN(t_bind)));
	assert_false(clew_rust__bind(t_bind, 20));
	assert_false(clew_rust__bind(t_unowned, LEN(t_unowned)));
	assert_false(clew_rust__bind(t_word, LEN(t_word)));
	assert_false(clew_rust__bind(t_gone, LEN(t_gone)));
	assert_true(clew_rust__join(t_join, LEN(t_join)));
	assert_true(clew_rust__join(t_join_al, LEN(t_join_al)));
	assert_false(clew_rust__join(t_join_al, 8));
	assert_false(clew_rust__join(t_unasked, LEN(t_unasked)));
	assert_false(clew_rust__join(t_bits, LEN(t_bits)));
	assert_false(clew_rust__join(t_called, LEN(t_called)));
}

/* Lengths, as the assembler has them; whatever the bytes are, it stays within them. */
static void lengths(void **state)
{
	static const struct {
		uint8_t len, code[12];
	} is[] = {
		{1, {0x55}},
		{2, {0x41, 0x57}},
		{6, {0xf0, 0x4c, 0x0f, 0xc1, 0x77, 0x08}},
		{9, {0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0}},
		{7, {0x48, 0x81, 0xec, 0x48, 0x03, 0, 0}},
		{5, {0x66, 0x81, 0xc1, 0x34, 0x12}},
		{10, {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}},
		{6, {0x0f, 0x84, 1, 2, 3, 4}},
		{7, {0x0f, 0x11, 0x80, 0, 4, 0, 0}},
		{9, {0x43, 0xc7, 0x44, 0x3d, 0x10, 1, 2, 3, 4}},
		{7, {0x48, 0x8d, 0x3d, 1, 2, 3, 4}},
		{3, {0xf6, 0xc1, 0x01}},
		{6, {0xf7, 0xc1, 1, 2, 3, 4}},
		{2, {0xf7, 0xd9}},
		{8, {0x66, 0x48, 0x81, 0xc1, 0x34, 0x12, 0, 0}}, /* REX.W wins */
		{2, {0x0f, 0x77}},				 /* emms */
	};
	struct x86_insn i;
	uint8_t junk[16];

	(void)state;
	for (size_t k = 0; k < sizeof(is) / sizeof(is[0]); k++) {
		assert_true(x86_decode(is[k].code, is[k].len, &i));
		assert_int_equal(i.len, is[k].len);
		assert_false(x86_decode(is[k].code, is[k].len - 1u, &i));
	}
	srand(7);
	for (int k = 0; k < 200000; k++) {
		size_t n = (size_t)rand() % (sizeof(junk) + 1);
		uint8_t *exact = malloc(n + !n); /* the sanitizer sees a byte too far */

		for (size_t b = 0; b < n; b++)
			exact[b] = (uint8_t)rand();
		if (x86_decode(exact, n, &i)) {
			assert_true(i.len && i.len <= n && i.len <= 15);
			x86_writes(&i);
		}
		free(exact);
	}
}

/* What an instruction changes: never less than that. */
static void writes(void **state)
{
	static const struct {
		uint8_t len, code[4], reg;
	} is[] = {
		{2, {0x88, 0xc4}, X86_AX},	 /* mov %al,%ah */
		{2, {0x8a, 0x3b}, X86_BX},	 /* mov (%rbx),%bh */
		{2, {0xb5, 0x01}, X86_CX},	 /* mov $1,%ch */
		{3, {0x80, 0xc6, 0x01}, X86_DX}, /* add $1,%dh */
		{3, {0x0f, 0x94, 0xc4}, X86_AX}, /* sete %ah */
		{3, {0x40, 0x88, 0xc7}, X86_DI}, /* mov %al,%dil */
		{2, {0x49, 0x90}, 8},		 /* xchg %r8,%rax */
		{2, {0x86, 0xe1}, X86_AX},	 /* xchg %ah,%cl */
		{2, {0xff, 0x30}, X86_SP},	 /* push (%rax) */
		{2, {0x6a, 0x01}, X86_SP},
		{3, {0x0f, 0xab, 0xca}, X86_DX},       /* bts %ecx,%edx */
		{4, {0x66, 0x0f, 0x7e, 0xc2}, X86_DX}, /* movd %xmm0,%edx */
		{3, {0x0f, 0x50, 0xc8}, X86_CX},       /* movmskps %xmm0,%ecx */
	};
	static const struct {
		uint8_t len, code[5];
	} none[] = {
		{1, {0x90}},
		{3, {0x0f, 0xa3, 0xca}},	     /* bt %ecx,%edx */
		{5, {0x0f, 0x10, 0x4c, 0x10, 0x10}}, /* movups 16(%rax,%rdx),%xmm1 */
		{3, {0x0f, 0x29, 0xca}},	     /* movaps %xmm1,%xmm2 */
		{3, {0x0f, 0x57, 0xc0}},	     /* xorps %xmm0,%xmm0 */
		{4, {0xf3, 0x0f, 0x6f, 0x08}},	     /* movdqu (%rax),%xmm1 */
	};
	struct x86_insn i;

	(void)state;
	for (size_t k = 0; k < sizeof(is) / sizeof(is[0]); k++) {
		assert_true(x86_decode(is[k].code, is[k].len, &i));
		assert_int_equal(i.len, is[k].len);
		if (!(x86_writes(&i) >> is[k].reg & 1))
			fail_msg("instruction %zu changes register %u", k, is[k].reg);
	}
	for (size_t k = 0; k < sizeof(none) / sizeof(none[0]); k++) {
		assert_true(x86_decode(none[k].code, none[k].len, &i));
		assert_int_equal(i.len, none[k].len);
		if (x86_writes(&i))
			fail_msg("instruction %zu changes none", k);
	}
	assert_true(x86_decode((const uint8_t[]){0x88, 0xc4}, 2, &i)); /* %ah is no %spl */
	assert_int_equal(x86_writes(&i), 1u << X86_AX);
}

/* Discovery finds all of it by name in a running program: this one. */
static void program(void **state)
{
	static struct clew_runtime rt;
	const uint16_t push_at = (uint16_t)((uintptr_t)t_push % 4096);
	uint32_t kinds[CLEW_SITE_MAX] = {0};
	bool seen = false;

	(void)state;
	assert_int_equal(clew_runtime__discover(NULL, (uint32_t)getpid(), &rt), 0);
	assert_int_equal(rt.kind, CLEW_RT_TOKIO);
	assert_string_equal(rt.name, "tokio");
	assert_string_equal(rt.version, "1.54.1");
	assert_string_equal(rt.why, "");
	assert_int_equal(rt.entry.rust_task, -0x120);
	assert_int_equal(rt.entry.rust_index, 0x10);
	assert_int_equal(rt.entry.rust_places, 3);
	for (uint32_t i = 0; i < rt.nr_sites; i++)
		kinds[rt.sites[i].kind]++;
	assert_int_equal(rt.nr_sites, 6);
	assert_int_equal(kinds[CLEW_SITE_RUST_SPAWN], 2); /* bind_inner, spawn_task */
	assert_int_equal(kinds[CLEW_SITE_RUST_JOIN], 1);
	for (int i = 0; i < 3; i++) {
		uint16_t place = rt.entry.rust_place[i];

		assert_int_equal(rt.sites[i].off % 4096, place >> 4);
		if (rt.sites[i].kind == CLEW_SITE_RUST_POP)
			assert_int_equal(place & 15, X86_SI);
		else if ((place & 15) == 14)
			seen = place >> 4 > push_at % 4096 || push_at > 4000;
		assert_int_not_equal(rt.sites[i].insn, CLEW_INSN_OTHER);
	}
	assert_true(seen);
}

/* A stripped copy of this program. */
static int strip(struct clew_elf **ret)
{
	char file[64], command[128];
	int fd;

	snprintf(file, sizeof(file), "/tmp/clew-test-rust-%d", getpid());
	snprintf(command, sizeof(command), "strip -o %s /proc/%d/exe", file, getpid());
	assert_int_equal(system(command), 0);
	fd = open(file, O_RDWR);
	unlink(file);
	assert_true(fd >= 0);
	assert_int_equal(clew_elf__new(fd, ret), 0);
	return fd;
}

/* The same without names: by who calls whom, and what the functions look like. */
static void stripped(void **state)
{
	static struct clew_rust_facts f;
	struct clew_elf *elf;
	bool push = false, pop = false;
	int fd = strip(&elf);

	(void)state;
	assert_int_equal(clew_rust__inspect(elf, &f), 0);
	assert_false(f.symbols);
	assert_int_equal(f.task, -0x120);
	assert_int_equal(f.index, 0x10);
	for (uint32_t i = 0; i < f.nr; i++)
		*(f.place[i].pop ? &pop : &push) = true;
	assert_true(push && pop);
	assert_int_equal(f.nr_spawn, 1); /* nothing tells what spawn_blocking is */
	assert_int_equal(f.nr_join, 2);	 /* both look like it */
	clew_elf__free(elf);
	close(fd);
}

struct seen {
	uint32_t pushes;
	struct clew_elf_sym sym;
};

static void see_push(void *arg, int what, const struct clew_elf_sym *sym)
{
	struct seen *s = arg;

	if (what != CLEW_RUST_PUSH)
		return;
	s->pushes++;
	s->sym = *sym;
}

/* A table that goes to and fro would have the same code looked at half a million times. */
static void unsorted(void **state)
{
	struct clew_elf_section hdr;
	struct clew_elf *elf;
	struct seen s = {0};
	uint32_t nr;
	int fd = strip(&elf);

	(void)state;
	clew_rust__stripped(elf, see_push, &s);
	assert_int_equal(s.pushes, 3);
	assert_int_equal(clew_elf__section(elf, ".eh_frame_hdr", &hdr), 0);
	assert_int_equal(clew_elf__read_off(elf, hdr.off + 8, &nr, 4), 0);
	for (uint32_t i = 0; i < nr; i++) {
		int32_t rel = (int32_t)(s.sym.addr + (i & 1 ? s.sym.size : 0) - hdr.addr);

		assert_int_equal(pwrite(fd, &rel, 4, (off_t)(hdr.off + 12 + 8 * i)), 4);
	}
	s.pushes = 0;
	clew_rust__stripped(elf, see_push, &s);
	assert_int_equal(s.pushes, 1);
	clew_elf__free(elf);
	close(fd);
}

static int is_push(const char *name, size_t len)
{
	return len == strlen(PUSH) && !memcmp(name, PUSH, len);
}

struct named {
	uint32_t n;
	uint64_t addr;
};

static void count(void *arg, int what, const struct clew_elf_sym *sym)
{
	struct named *m = arg;

	(void)what;
	m->n++;
	m->addr = sym->addr;
}

/* The table of symbols that lies at `off` becomes another: `n` times the same. */
static void give_symbols(int fd, uint64_t off, const Elf64_Sym *sym, uint64_t n)
{
	off_t end = lseek(fd, 0, SEEK_END);
	Elf64_Ehdr eh;
	Elf64_Shdr sh;

	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(write(fd, sym, sizeof(*sym)), sizeof(*sym));
	assert_int_equal(pread(fd, &eh, sizeof(eh), 0), sizeof(eh));
	for (int i = 0; i < eh.e_shnum; i++) {
		off_t at = (off_t)(eh.e_shoff + (uint64_t)i * sizeof(sh));

		assert_int_equal(pread(fd, &sh, sizeof(sh), at), sizeof(sh));
		if (sh.sh_type != SHT_SYMTAB || sh.sh_offset != off)
			continue;
		sh.sh_offset = (uint64_t)end;
		sh.sh_size = n * sizeof(*sym);
		assert_int_equal(pwrite(fd, &sh, sizeof(sh), at), sizeof(sh));
	}
}

/* All symbols of a program have the name that is looked for: each would be read and followed. */
static void one_name(void **state)
{
	char file[64], command[128];
	struct clew_elf_section tab;
	struct clew_elf *elf;
	Elf64_Sym sym, found = {0};
	struct named m = {0};
	int fd;

	(void)state;
	snprintf(file, sizeof(file), "/tmp/clew-test-names-%d", getpid());
	snprintf(command, sizeof(command), "cp /proc/%d/exe %s", getpid(), file);
	assert_int_equal(system(command), 0);
	fd = open(file, O_RDWR);
	unlink(file);
	assert_true(fd >= 0);
	assert_int_equal(clew_elf__new(fd, &elf), 0);
	assert_int_equal(clew_elf__match(elf, is_push, count, &m), 0);
	assert_int_equal(m.n, 1);
	assert_int_equal(clew_elf__section(elf, ".symtab", &tab), 0);
	for (uint64_t at = tab.off; at < tab.off + tab.size; at += sizeof(sym)) {
		assert_int_equal(pread(fd, &sym, sizeof(sym), (off_t)at), sizeof(sym));
		if (sym.st_value == m.addr && sym.st_size) /* its other name has none */
			found = sym;
	}
	assert_true(found.st_name);
	clew_elf__free(elf);
	give_symbols(fd, tab.off, &found, 2 * CLEW_ELF_MATCH_CALLS);
	assert_int_equal(clew_elf__new(fd, &elf), 0);
	m.n = 0;
	assert_int_equal(clew_elf__match(elf, is_push, count, &m), 0);
	assert_int_equal(m.n, CLEW_ELF_MATCH_CALLS);
	clew_elf__free(elf);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(task_id),  cmocka_unit_test(push),    cmocka_unit_test(find_block),
		cmocka_unit_test(pop),	    cmocka_unit_test(lengths), cmocka_unit_test(program),
		cmocka_unit_test(stripped), cmocka_unit_test(writes),  cmocka_unit_test(unsorted),
		cmocka_unit_test(one_name), cmocka_unit_test(join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
