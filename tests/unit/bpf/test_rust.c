/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rust.c - the probes in tokio's channels as an ordinary program (tests/native): what a
 * request is told to have been taken as, and that no message is taken for one of a channel that
 * was at the same address before.
 */
#pragma GCC diagnostic ignored "-Wunused-function" /* nothing is captured here */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct clew_map_hits hits;
struct clew_map_rust_channels rust_channels;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "rust.bpf.c"
#pragma GCC diagnostic pop

enum { AWAY = 0x120, PUSH_AT = 0x5001, TAKE_AT = 0x6002, POP_AT = 0x7003 };
enum { HANDLER = 7, WRITER = 9, OTHER };

/* Memory of the process: what runs, and a channel as tokio has it. */
static struct {
	__u64 task;
	__u64 tx[2]; /* the last block, messages put in so far */
	char room[AWAY - 16];
	__u64 rx[3]; /* the first block, the first free one, the next index */
} mem;

static int start(void **state)
{
	static const struct clew_proc proc = {
		.runtime = CLEW_RT_TOKIO,
		.flags = CLEW_PROC_THREADS,
		.rust_task = 8, /* behind the thread pointer: zero is no address */
		.rust_index = 16,
		.rust_away = AWAY,
		.rust_places = 3,
		.rust_place = {1 << 4 | 14, 2 << 4 | 3, 3 << 4 | RUST_SI},
	};
	__u32 tgid = NATIVE_TGID, low = tgid % CLEW_PROC_SLOTS;
	struct clew_proc_slot slot = {.pid = tgid, .proc = proc};
	struct clew_hits none = {{0}};

	(void)state;
	native_init(NATIVE_64, 4096, 1024);
	native_map_add(&proc_cache, sizeof(__u32), sizeof(struct clew_proc_slot), 1);
	native_map_add(&hits, sizeof(__u32), sizeof(struct clew_hits), 1);
	native_map_add(&rust_channels, sizeof(struct clew_rust_key),
		       sizeof(struct clew_rust_channel), NATIVE_ENTRIES);
	bpf_map_update_elem(&proc_cache, &low, &slot, BPF_ANY);
	bpf_map_update_elem(&hits, &tgid, &none, BPF_ANY);
	native.proc = proc;
	native.objects = &mem;
	native.objects_size = sizeof(mem);
	native.task.thread.fsbase = (__u64)&mem - 8;
	memset(&mem, 0, sizeof(mem));
	mem.tx[0] = 0x7f0000001000;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	native_fini();
	return 0;
}

/* The task puts the next message in. Returns how it is called, 0: it is not reported. */
static __u64 put_in(__u64 task)
{
	struct pt_regs regs = {.ip = PUSH_AT, .di = (__u64)mem.tx, .r14 = mem.tx[1]++};
	const struct clew_edge *e;
	__u64 message;

	mem.task = task;
	native_drop_events();
	clew_rust_push(&regs);
	if (!native.nr_events)
		return 0;
	e = (const void *)native.event[0];
	assert_int_equal(e->kind, CLEW_EDGE_RUST_SEND);
	assert_int_equal(e->ctx, task);
	message = e->child;
	assert_int_equal(message >> CLEW_RUST_SLOT, (mem.tx[1] - 1) & 0x1ffff);
	return message;
}

static __u64 taker(void)
{
	return ((const struct clew_edge *)native.event[0])->ref;
}

static void take_out(__u64 task)
{
	struct pt_regs regs = {.ip = TAKE_AT, .bx = (__u64)mem.rx};

	mem.task = task;
	mem.rx[2]++;
	clew_rust_take(&regs);
}

/* Where only the attempt is seen. */
static void look_for(__u64 task, bool ready)
{
	struct pt_regs regs = {.ip = POP_AT, .si = (__u64)mem.rx, .dx = (__u64)mem.tx};

	mem.task = task;
	clew_rust_pop(&regs);
	mem.rx[2] += ready;
}

static __u64 written(__u64 task)
{
	return rust_taken(&native.proc, task, bpf_get_current_pid_tgid());
}

static void new_channel(void)
{
	mem.tx[1] = mem.rx[2] = 0;
}

/* Each is taken once, by the task that writes; who takes is known from the first one on. */
static void messages(void **state)
{
	__u64 m[3];

	(void)state;
	m[0] = put_in(HANDLER);
	assert_int_equal(taker(), 0);
	take_out(WRITER);
	assert_int_equal(written(OTHER), 0);
	assert_int_equal(written(WRITER), m[0]);
	assert_int_equal(written(WRITER), 0);
	m[1] = put_in(HANDLER);
	assert_int_equal(taker(), WRITER);
	m[2] = put_in(OTHER);
	take_out(WRITER);
	assert_int_equal(written(WRITER), m[1]);
	take_out(WRITER);
	assert_int_equal(written(WRITER), m[2]);
	assert_int_equal(m[1] - m[0], 1ULL << CLEW_RUST_SLOT);
	assert_int_equal(m[2] - m[1], 1ULL << CLEW_RUST_SLOT);
	assert_int_equal(native_stat(CLEW_STAT_EDGE_UNRESOLVED), 0);
}

/* A task that has taken a message, and then waits, writes for another reason. */
static void waited(void **state)
{
	__u64 m;

	(void)state;
	put_in(HANDLER);
	take_out(WRITER);
	native.task.nvcsw++;
	assert_int_equal(written(WRITER), 0);
	put_in(HANDLER);
	take_out(WRITER);
	context_loop_turn(&native.proc);
	assert_int_equal(written(WRITER), 0);
	m = put_in(HANDLER);
	take_out(WRITER);
	assert_int_equal(written(WRITER), m);
}

static void attempts(void **state)
{
	__u64 m;

	(void)state;
	look_for(WRITER, false);
	assert_int_equal(written(WRITER), 0);
	look_for(WRITER, false);
	m = put_in(HANDLER); /* on another processor, while it looks */
	assert_int_equal(taker(), WRITER);
	mem.rx[2]++;
	assert_int_equal(written(WRITER), m);
	m = put_in(HANDLER);
	look_for(WRITER, true);
	assert_int_equal(written(WRITER), m);
	look_for(0, false); /* outside any task */
	assert_int_equal(written(WRITER), 0);
}

/* The channel is freed, and another one gets its address. */
static void same_address(void **state)
{
	__u64 old[2], m;

	(void)state;
	old[0] = put_in(HANDLER);
	old[1] = put_in(HANDLER);
	new_channel();
	m = put_in(OTHER);
	assert_int_equal(taker(), 0);
	take_out(WRITER);
	assert_int_equal(written(WRITER), m);
	assert_int_not_equal(m, old[0]);
	m = put_in(OTHER);
	take_out(WRITER);
	assert_int_equal(written(WRITER), m);
	assert_int_not_equal(m, old[1]);
}

/* Its first message is put in where nobody watches; another task takes it. */
static void unseen(void **state)
{
	__u64 old[2];

	(void)state;
	old[0] = put_in(HANDLER);
	take_out(WRITER);
	old[1] = put_in(HANDLER);
	new_channel();
	mem.tx[1]++;
	take_out(OTHER);
	assert_int_not_equal(written(OTHER), old[0]);
	mem.tx[1]++;
	take_out(OTHER);
	assert_int_not_equal(written(OTHER), old[1]);
	/* nor where what was left is thrown away outside any task */
	new_channel();
	old[0] = put_in(HANDLER);
	take_out(0);
	new_channel();
	mem.tx[1]++;
	take_out(WRITER);
	assert_int_not_equal(written(WRITER), old[0]);
	/* nor, of tasks that are not reported, where its first message is */
	new_channel();
	old[0] = put_in(HANDLER);
	new_channel();
	assert_int_equal(put_in(0), 0);
	take_out(WRITER);
	assert_int_not_equal(written(WRITER), old[0]);
}

/* Met while it is in use. Where Tx would be at this distance, there is none: nothing is told. */
static void met_late(void **state)
{
	struct clew_proc_slot *slot;
	__u32 low = NATIVE_TGID % CLEW_PROC_SLOTS;
	__u64 m;

	(void)state;
	mem.tx[1] = mem.rx[2] = 70;
	mem.tx[1] = 71;
	take_out(WRITER);
	assert_int_not_equal(written(WRITER), 0);
	m = put_in(HANDLER);
	assert_int_equal(taker(), WRITER);
	take_out(WRITER);
	assert_int_equal(written(WRITER), m);
	assert_int_equal(native_stat(CLEW_STAT_EDGE_UNRESOLVED), 0);

	slot = bpf_map_lookup_elem(&proc_cache, &low);
	slot->proc.rust_away = AWAY - 64;
	put_in(HANDLER);
	take_out(WRITER);
	assert_int_equal(written(WRITER), 0);
	assert_int_equal(native_stat(CLEW_STAT_EDGE_UNRESOLVED), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(messages, start, stop),
		cmocka_unit_test_setup_teardown(attempts, start, stop),
		cmocka_unit_test_setup_teardown(waited, start, stop),
		cmocka_unit_test_setup_teardown(same_address, start, stop),
		cmocka_unit_test_setup_teardown(unseen, start, stop),
		cmocka_unit_test_setup_teardown(met_late, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
