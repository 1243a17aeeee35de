// SPDX-License-Identifier: Apache-2.0
/*
 * stack.bpf.c - a program near the end of the stack, by which the measure of verify.c is measured:
 * frames of 200, 24, 232 and 40 bytes, rounded to 224, 32, 256 and 64. The deepest chain is the
 * program itself and the two of `deep`: 224 + 32 + 256 = 512, all that the kernel allows; `other`
 * is called after them and adds nothing.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* As many bytes of stack as the name says, and none optimised away. */
#define FRAME(words)                                                                               \
	volatile __u64 frame[words];                                                               \
	for (int i = 0; i < (words); i++)                                                          \
	frame[i] = i

static __noinline __u64 deeper(void)
{
	FRAME(29);
	return frame[7];
}

static __noinline __u64 deep(void)
{
	FRAME(3);
	return frame[1] + deeper();
}

static __noinline __u64 other(void)
{
	FRAME(5);
	return frame[3];
}

SEC("raw_tracepoint/sys_exit")
int stack_deep(void *ctx)
{
	FRAME(25);
	return (int)(frame[5] + deep() + other());
}

char _license[] SEC("license") = "GPL";
