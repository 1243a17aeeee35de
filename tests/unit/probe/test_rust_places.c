/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokio's channels where two functions begin at the same place of their pages, which is all that
 * the kernel side knows a probe by. This very program has them; see test_rust.c.
 */
#include "spawn.h"

#include <fcntl.h>

#include "probe/rust_runtime.h"

__attribute__((used)) static const char path[] = "/somewhere/tokio-1.54.1/src/runtime/mod.rs";

#define FUNC(name, align, code)                                                                    \
	__asm__(".text\n.balign " align "\n.type \"" name "\", @function\n\"" name "\":\n"         \
		".cfi_startproc\n" code "\n.cfi_endproc\n.size \"" name "\", .-\"" name "\"\n")

FUNC("_ZN5tokio7runtime7context19set_current_task_id17h0123456789abcdefE", "16",
     "mov %fs:-0x120,%rax; mov %rdi,%fs:-0x120; ret");
FUNC("_ZN5tokio4sync4mpsc4list11Tx$LT$T$GT$4push17h0123456789abcdefE", "16",
     "mov $1,%r14d; lock xadd %r14,8(%rdi); mov %r14,%r13; and $-32,%r13; jne 1f; 1: ret");
FUNC("_ZN5tokio4sync4mpsc4list11Tx$LT$T$GT$10find_block17h0123456789abcdefE", "4096",
     "push %rbp; mov %rsi,%r15; and $-32,%r15; mov (%rdi),%rcx; jne 1f; 1: ret");
FUNC("_ZN5tokio4sync4mpsc4list11Rx$LT$T$GT$3pop17h0123456789abcdefE", "4096",
     "push %rbp; mov (%rdi),%rcx; mov 0x10(%rdi),%rax; and $-32,%rax; jne 1f; 1: ret");

static void same_place(void **state)
{
	static struct clew_rust_facts f;
	struct clew_elf *elf;
	int fd = open("/proc/self/exe", O_RDONLY);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(clew_elf__new(fd, &elf), 0);
	assert_int_equal(clew_rust__inspect(elf, &f), 0);
	assert_int_equal(f.task, -0x120);
	assert_true(f.more);
	assert_int_equal(f.nr, 2); /* what is put in by find_block is nobody's */
	for (uint32_t i = 0; i < f.nr; i++)
		assert_int_equal(f.place[i].reg, f.place[i].pop ? X86_DI : 14);
	clew_elf__free(elf);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(same_place)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
