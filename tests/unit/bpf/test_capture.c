/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_capture.c - the capture core of bpf/lib as an ordinary program (tests/native): where the
 * bytes of a call are, what is copied of them, which connections are left alone.
 */
#include "kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define GET	 "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK	 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void start(struct native_sock *s, enum native_release release, bool accepted)
{
	native_init(release, 4096, 1024);
	native_sock_init(s, CLEW_AF_INET, 1000, 2000);
	if (accepted)
		conn_accepted(&s->u.sk, s->inode.i_ino);
}

static const struct clew_segment *play(struct native_sock *s, enum clew_dir dir, const char *a,
				       const char *b)
{
	struct native_call call = {.dir = dir, .nr = b ? 2 : 1};

	call.buf[0] = a;
	call.size[0] = (__u32)strlen(a);
	call.buf[1] = b;
	call.size[1] = b ? (__u32)strlen(b) : 0;
	call.len = call.size[0] + call.size[1];
	native_play(s, &call);
	return native_segment();
}

static void test_classify(void **state)
{
	static const struct {
		const char *text;
		enum sign is;
	} cases[] = {
		{"GET / HT", SIGN_REQUEST},   {"POST /x ", SIGN_REQUEST},
		{"OPTIONS ", SIGN_REQUEST},   {"M-SEARCH", SIGN_REQUEST},
		{"G", SIGN_REQUEST},	      {"GE", SIGN_REQUEST},
		{"ACL / HT", SIGN_REQUEST},   {"HTTP/1.1", SIGN_RESPONSE},
		{"HTTP/", SIGN_RESPONSE},     {"PRI * HT", SIGN_NONE},
		{"\x16\x03\x01", SIGN_NONE},  {"get / ht", SIGN_NONE},
		{"GE T / H", SIGN_NONE},      {"-ET / HT", SIGN_NONE},
		{"{\"a\":1}", SIGN_NONE},     {"\r\nGET / ", SIGN_REQUEST},
		{"\nHTTP/1.", SIGN_RESPONSE}, {"", SIGN_NONE},
	};
	/* FastCGI's BEGIN_REQUEST, with any id and padding, and what is not */
	static const struct {
		__u8 h[8];
		enum sign is;
	} records[] = {
		{{1, 1, 0, 1, 0, 8, 0, 0}, SIGN_REQUEST}, {{1, 1, 9, 9, 0, 8, 7, 0}, SIGN_REQUEST},
		{{1, 1, 0, 1, 0, 9, 0, 0}, SIGN_NONE},	  {{1, 1, 0, 1, 1, 8, 0, 0}, SIGN_NONE},
		{{1, 1, 0, 1, 0, 8, 0, 1}, SIGN_NONE},	  {{1, 4, 0, 1, 0, 8, 0, 0}, SIGN_NONE},
		{{2, 1, 0, 1, 0, 8, 0, 0}, SIGN_NONE},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		__u64 w = 0;

		memcpy(&w, cases[i].text, strlen(cases[i].text));
		if (classify(w, (__u32)strlen(cases[i].text)) != cases[i].is)
			fail_msg("classify(\"%s\")", cases[i].text);
	}
	for (size_t i = 0; i < COUNT(records); i++) {
		__u64 w;

		memcpy(&w, records[i].h, sizeof(w));
		assert_int_equal(classify(w, 8), records[i].is);
		assert_int_equal(classify(w, 7), SIGN_NONE);
	}
}

/* Every shape of the iterator, every number of buffers that is walked, a last one not used up. */
static void test_walk_back(void **state)
{
	char all[64 * NATIVE_IOV];

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)('a' + i % 23);
	memcpy(all, "GET /", 5);
	for (int release = 0; release < NATIVE_RELEASES; release++) {
		for (__u32 nr = 1; nr <= NATIVE_IOV - 1; nr++) {
			struct native_call call = {.dir = CLEW_RECV, .nr = nr, .ubuf = nr == 1};
			const struct clew_segment *seg;
			struct native_sock s;

			for (__u32 i = 0; i < nr; i++) {
				call.buf[i] = all + 64 * i;
				call.size[i] = 64;
			}
			call.len = 64 * nr - 10;
			start(&s, (enum native_release)release, true);
			native_play(&s, &call);
			seg = native_segment();
			/* more buffers than are walked: the bytes cannot be seen, no message begins
			 */
			if (nr > CLEW_IOV_MAX + 1) {
				assert_null(seg);
				assert_int_equal(native_conn(&s)->class, CLEW_CLASS_UNKNOWN);
				assert_non_null(play(&s, CLEW_SEND, OK, NULL));
				native_fini();
				continue;
			}
			assert_non_null(seg);
			assert_int_equal(seg->len, call.len);
			assert_int_equal(seg->seq, 2000);
			assert_memory_equal(seg->data, all, seg->cap);
			if (seg->cap < seg->len && seg->tail_len)
				assert_memory_equal(seg->tail, all + call.len - 8, 8);
			native_fini();
		}
	}
}

static void test_head_in_two_buffers(void **state)
{
	const struct clew_segment *seg;
	struct native_sock s;
	char body[2001];
	__u32 n;

	(void)state;
	start(&s, NATIVE_64, true);
	assert_non_null(play(&s, CLEW_RECV, GET, NULL));
	seg = play(&s, CLEW_SEND, "HTTP/1.1 200 OK\r\n", "Content-Length: 2\r\n\r\nok");
	n = seg->cap;
	assert_int_equal(n, seg->len);
	assert_memory_equal(seg->data, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", n);
	assert_int_equal(seg->h.size, sizeof(*seg) + n);
	assert_int_equal(native_stat(CLEW_STAT_EMITTED), 3); /* with the connection */
	/* it is paid from the budget, and counted where the ring has no room */
	memset(body, 'b', 2000);
	body[2000] = 0;
	assert_int_equal(play(&s, CLEW_SEND, body, NULL)->cap, 1024 - n);
	assert_non_null(play(&s, CLEW_RECV, GET, NULL));
	native.ring_full = true;
	assert_null(play(&s, CLEW_SEND, "HTTP/1.1 200 OK\r\n", "Content-Length: 2\r\n\r\nok"));
	assert_int_equal(native_stat(CLEW_STAT_DROP_RING_FULL), 1);
	assert_int_equal(native_stat(CLEW_STAT_DROP_SEGMENTS), 1);
	native_fini();
}

/* A small answer in more buffers than are copied (nginx writes chunks so): its end is seen. */
static void test_many_small_buffers(void **state)
{
	static const char *const part[] = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
					   "3\r\n",
					   "abc",
					   "\r\n",
					   "2\r\n",
					   "de",
					   "\r\n0\r\n\r\n"};
	struct native_call call = {.dir = CLEW_SEND, .nr = COUNT(part)};
	const struct clew_segment *seg;
	struct native_sock s;

	(void)state;
	start(&s, NATIVE_64, true);
	assert_non_null(play(&s, CLEW_RECV, GET, NULL));
	for (__u32 i = 0; i < COUNT(part); i++) {
		call.buf[i] = part[i];
		call.size[i] = (__u32)strlen(part[i]);
		call.len += call.size[i];
	}
	native_play(&s, &call);
	seg = native_segment();
	assert_true(seg->cap < seg->len);
	assert_int_equal(seg->tail_len, 7);
	assert_memory_equal(seg->tail, "\r\n0\r\n\r\n", 7);
	native_fini();
}

/* A change of direction refills the budget; what goes beyond it is counted, with its tail. */
static void test_budget(void **state)
{
	char body[3001];
	const struct clew_segment *seg;
	struct native_sock s;

	(void)state;
	memset(body, 'b', 3000);
	memcpy(body + 2992, "12345678", 9);
	start(&s, NATIVE_64, true);
	play(&s, CLEW_RECV, GET, NULL);
	seg = play(&s, CLEW_SEND, OK, NULL);
	assert_int_equal(seg->cap, strlen(OK));
	seg = play(&s, CLEW_SEND, body, NULL);
	assert_int_equal(seg->cap, 1024 - strlen(OK));
	assert_int_equal(seg->len, 3000);
	assert_int_equal(seg->tail_len, 8);
	assert_memory_equal(seg->tail, "12345678", 8);
	seg = play(&s, CLEW_SEND, body, NULL);
	assert_int_equal(seg->cap, 0);
	assert_int_equal(seg->seq, 1000 + strlen(OK) + 3000);
	play(&s, CLEW_RECV, GET, NULL);
	seg = play(&s, CLEW_SEND, OK, NULL);
	assert_int_equal(seg->cap, strlen(OK));
	native_fini();
}

/* A read that went on to the peer's FIN has counted it as well. */
static void test_fin(void **state)
{
	const struct clew_segment *seg;
	struct native_sock s;

	(void)state;
	start(&s, NATIVE_64, true);
	play(&s, CLEW_RECV, GET, NULL);
	native_tcp(&s)->copied_seq++;
	native_tcp(&s)->rcv_nxt++;
	s.u.sk.__sk_common.skc_state = CLEW_TCP_CLOSE_WAIT;
	seg = play(&s, CLEW_RECV, GET, NULL);
	assert_int_equal(seg->seq, 2000 + strlen(GET));
	native_fini();
}

/* Another thread has sent, and is still in that call: what is read meanwhile says so. */
static void test_ahead(void **state)
{
	const struct clew_segment *seg;
	struct native_sock s;

	(void)state;
	start(&s, NATIVE_64, false);
	seg = play(&s, CLEW_SEND, GET, NULL);
	assert_int_equal(seg->flags & CLEW_SEG_AHEAD, 0);
	seg = play(&s, CLEW_RECV, OK, NULL);
	assert_int_equal(seg->flags & CLEW_SEG_AHEAD, 0);
	native_tcp(&s)->write_seq += 30; /* behind tcp_sendmsg, before the hook */
	seg = play(&s, CLEW_RECV, OK, NULL);
	assert_int_equal(seg->flags & CLEW_SEG_AHEAD, CLEW_SEG_AHEAD);
	native_tcp(&s)->write_seq -= strlen(GET);
	seg = play(&s, CLEW_SEND, GET, NULL); /* the next one, so all is told */
	seg = play(&s, CLEW_RECV, OK, NULL);
	assert_int_equal(seg->flags & CLEW_SEG_AHEAD, 0);
	native_tcp(&s)->write_seq++; /* its own FIN */
	s.u.sk.__sk_common.skc_state = CLEW_TCP_FIN_WAIT1;
	seg = play(&s, CLEW_RECV, OK, NULL);
	assert_int_equal(seg->flags & CLEW_SEG_AHEAD, 0);
	native_fini();
}

/* One of another protocol is left alone: at once when it was seen from its start, else later. */
static void test_other_protocol(void **state)
{
	struct native_sock s;

	(void)state;
	start(&s, NATIVE_64, true);
	assert_null(play(&s, CLEW_RECV, "\x16\x03\x01\x02", NULL));
	assert_int_equal(native_conn(&s)->class, CLEW_CLASS_IGNORED);
	assert_null(play(&s, CLEW_SEND, OK, NULL));
	assert_int_equal(native_stat(CLEW_STAT_SKIP_PROTOCOL), 1);
	assert_int_equal(native_stat(CLEW_STAT_SKIP_IGNORED), 1);
	native_fini();

	start(&s, NATIVE_64, false);
	native_tcp(&s)->bytes_sent = 1; /* older than the agent */
	for (int i = 0; i < CLEW_FLIPS_MAX - 1; i++)
		assert_null(play(&s, i & 1 ? CLEW_SEND : CLEW_RECV, "middle of a body", NULL));
	assert_int_equal(native_conn(&s)->class, CLEW_CLASS_UNKNOWN);
	assert_non_null(play(&s, CLEW_SEND, OK, NULL));
	native_fini();
}

/* A FastCGI connection shows the beginning of each call, also behind the budget. */
static void test_fastcgi(void **state)
{
	static const __u8 begin[8] = {1, 1, 0, 1, 0, 8, 0, 0};
	struct native_call call = {.dir = CLEW_RECV, .nr = 1, .len = 8};
	static char large[8192];
	struct native_sock s;

	(void)state;
	memset(large, 'x', sizeof(large));
	start(&s, NATIVE_64, true);
	call.buf[0] = begin;
	call.size[0] = sizeof(begin);
	native_play(&s, &call);
	assert_int_equal(native_segment()->cap, 8);
	assert_int_equal(native_conn(&s)->class, CLEW_CLASS_FASTCGI);
	assert_int_equal(native_conn(&s)->role, CLEW_ROLE_SERVER);
	call.dir = CLEW_SEND;
	call.buf[0] = large;
	call.len = call.size[0] = sizeof(large);
	native_play(&s, &call);
	assert_int_equal(native_segment()->cap, 1024);
	for (int i = 0; i < 3; i++) {
		native_play(&s, &call);
		assert_int_equal(native_segment()->cap, CLEW_FASTCGI_LEAST);
		assert_int_equal(native_segment()->len, sizeof(large));
	}
	native_fini();
}

/* Seven bytes, and the page behind them is not there: still the start of a message. */
static void test_end_of_a_page(void **state)
{
	struct native_call call = {.dir = CLEW_RECV, .nr = 1, .len = 7};
	struct native_sock s;
	char *page = malloc(7);

	(void)state;
	memcpy(page, "GET /ab", 7);
	call.buf[0] = page;
	call.size[0] = 7;
	start(&s, NATIVE_64, true);
	native_play(&s, &call);
	assert_non_null(native_segment());
	assert_int_equal(native_segment()->cap, 7);
	assert_int_equal(native_conn(&s)->role, CLEW_ROLE_SERVER);
	native_fini();
	/* What cannot be read at all says nothing about the protocol. */
	start(&s, NATIVE_64, true);
	call.absent = true;
	native_play(&s, &call);
	assert_int_equal(native_conn(&s)->class, CLEW_CLASS_UNKNOWN);
	assert_int_equal(native_stat(CLEW_STAT_COPY_FAILED), 1);
	call.absent = false;
	native_play(&s, &call);
	assert_non_null(native_segment());
	native_fini();
	free(page);
}

static void test_full(void **state)
{
	struct native_sock s;

	(void)state;
	start(&s, NATIVE_64, true);
	native.ring_full = true;
	assert_null(play(&s, CLEW_RECV, GET, NULL));
	/* the connection and its segment */
	assert_int_equal(native_stat(CLEW_STAT_DROP_RING_FULL), 2);
	assert_int_equal(native_stat(CLEW_STAT_DROP_SEGMENTS), 1);
	assert_int_equal(native_stat(CLEW_STAT_EMITTED), 0);
	native.ring_full = false;
	assert_non_null(play(&s, CLEW_SEND, OK, NULL));
	assert_int_equal(native_stat(CLEW_STAT_EMITTED), 2); /* announced late */
	native_fini();

	native_init(NATIVE_64, 4096, 1024);
	native_sock_init(&s, CLEW_AF_INET, 1, 1);
	native_map(&conns)->max = 0;
	assert_null(play(&s, CLEW_RECV, GET, NULL));
	assert_int_equal(native_stat(CLEW_STAT_DROP_CONN_FULL), 1);
	native_fini();
}

/* The address of a socket that is gone belongs to another one: told by its inode number. */
static void test_reused_address(void **state)
{
	struct native_sock s;
	__u64 id;

	(void)state;
	start(&s, NATIVE_64, true);
	play(&s, CLEW_RECV, GET, NULL);
	id = native_conn(&s)->id;
	s.inode.i_ino++;
	play(&s, CLEW_RECV, GET, NULL);
	assert_int_not_equal(native_conn(&s)->id, id);
	assert_int_equal(native.event[0]->type, CLEW_EV_CONN_CLOSE);
	assert_int_equal(((struct clew_conn_close *)native.event[0])->reason, CLEW_CLOSE_REUSED);
	native_fini();
}

/* ---- a JVM whose collector runs while its objects are read ---------------------------------- */

enum { OTHER = 90, WORKER, FUTURE }; /* classes */
enum {				     /* words of eight bytes, where each object begins */
       JT = 1,			     /* JavaThread: 16 the handle, 24 base of its stack */
       ME = 10,			     /* java.lang.Thread: 16 JavaThread, 24 id, 32 Worker */
       JOB = 20,		     /* Worker: 16 its thread, 24 jobs done */
       HEAP = 30,		     /* 0 collections, 8 is one at work */
       TASK = 40,		     /* FutureTask: 16 runner, 24 waiters */
       NODE = 50,		     /* WaitNode: 16 thread, 24 next */
       JT2 = 60,		     /* the waiter's: 32 top of its frames, 40 and 48 its room */
       WAITER = 70,
       TASK2 = 80, /* what it will wait for next */
       FRAMES = 90,
       STACK = 110,
       HANDLE = 120,
       WORDS = 128
};
static __u64 java_heap[WORDS];
static __u32 java_reads; /* of what java_moves() waits for */

static __u64 addr(int word)
{
	return (__u64)&java_heap[word];
}

static void jvm(struct native_sock *s)
{
	__u64 h[WORDS] = {
		[JT + 2] = addr(HANDLE),  [JT + 3] = addr(STACK),
		[HANDLE] = addr(ME),	  [ME + 1] = OTHER,
		[ME + 2] = addr(JT),	  [ME + 3] = 7,
		[ME + 4] = JOB,		  [JOB + 1] = WORKER,
		[JOB + 2] = ME,		  [JOB + 3] = 5,
		[TASK + 1] = FUTURE,	  [TASK + 2] = ME,
		[TASK + 3] = NODE,	  [NODE + 1] = OTHER,
		[NODE + 2] = WAITER,	  [WAITER + 1] = OTHER,
		[WAITER + 2] = addr(JT2), [WAITER + 3] = 9,
		[JT2 + 4] = addr(FRAMES), [JT2 + 5] = addr(TASK2),
		[JT2 + 6] = addr(FRAMES), [TASK2 + 1] = FUTURE,
		[FRAMES] = addr(TASK2),	  [STACK - 1] = addr(TASK),
	};
	struct clew_java_wait w = {.stack_base = 24,
				   .runner = 16,
				   .waiters = 24,
				   .node_thread = 16,
				   .node_next = 24,
				   .anchor_sp = 32,
				   .tlab_start = 40,
				   .tlab_top = 48,
				   .loose = 9,
				   .future = FUTURE,
				   .map_table = 16,
				   .map_next = 16,
				   .node_hash = 24,
				   .node_value = 32};
	__u32 tgid = NATIVE_TGID;

	native_init(NATIVE_64, 4096, 1024);
	native_sock_init(s, CLEW_AF_INET, 1000, 2000);
	conn_connecting(&s->u.sk, s->inode.i_ino);
	memcpy(java_heap, h, sizeof(h));
	java_reads = 0;
	native.objects = java_heap;
	native.objects_size = sizeof(java_heap);
	native.task.thread.fsbase = addr(0);
	native.proc = (struct clew_proc){.runtime = CLEW_RT_JAVA,
					 .flags = CLEW_PROC_THREADS,
					 .java_obj = 16,
					 .java_eetop = 16,
					 .java_tid = 24,
					 .java_target = 32,
					 .java_w_thread = 16,
					 .java_w_done = 24,
					 .java_gc_active = 8,
					 .java_worker = WORKER,
					 .java_heap = addr(HEAP),
					 .java_oops = addr(0),
					 .java_shift = 3};
	native.proc.java_self = (__u16)(sizeof(__u64) * (WORDS - 1));
	java_heap[WORDS - 1] = addr(JT);
	bpf_map_update_elem(&procs, &tgid, &native.proc, BPF_ANY);
	bpf_map_update_elem(&java_waits, &tgid, &w, BPF_ANY);
}

/* A collection that was at work when the call began ends while its objects are read. */
static void java_ends(__u64 at)
{
	if (at == addr(ME + 3))
		java_heap[HEAP + 1] = 0;
}

/* One comes and goes before the waiter is read for the second time. */
static void java_moves(__u64 at)
{
	if (at == addr(WAITER + 3) && java_reads++ == 1)
		java_heap[HEAP]++;
}

static __u32 edges(__u16 kind)
{
	__u32 n = 0;

	for (__u32 i = 0; i < native.nr_events; i++)
		n += native.event[i]->type == CLEW_EV_EDGE &&
		     ((const struct clew_edge_short *)native.event[i])->kind == kind;
	return n;
}

static void test_java_collection(void **state)
{
	const struct clew_segment *seg;
	struct native_sock s;

	(void)state;
	jvm(&s);
	seg = play(&s, CLEW_SEND, GET, NULL);
	assert_int_equal(seg->ctx_kind, CLEW_CTX_JAVA);
	assert_int_equal(seg->ctx, 7);
	assert_true(seg->ref == (CLEW_JAVA_JOB | 5));
	assert_non_null(play(&s, CLEW_RECV, OK, NULL));
	assert_int_equal(edges(CLEW_EDGE_JAVA_WAIT), 1);
	assert_int_equal(edges(CLEW_EDGE_JAVA_HELD), 1);
	native_fini();

	jvm(&s);
	java_heap[HEAP + 1] = 1;
	native.on_read = java_ends;
	seg = play(&s, CLEW_SEND, GET, NULL);
	assert_int_equal(seg->ctx_kind, CLEW_CTX_NONE);
	assert_int_equal(native_stat(CLEW_STAT_EDGE_UNRESOLVED), 1);
	native_fini();

	jvm(&s);
	assert_non_null(play(&s, CLEW_SEND, GET, NULL));
	native.on_read = java_moves;
	assert_non_null(play(&s, CLEW_RECV, OK, NULL));
	assert_int_equal(java_reads, 2);
	assert_int_equal(edges(CLEW_EDGE_JAVA_WAIT), 1);
	assert_int_equal(edges(CLEW_EDGE_JAVA_HELD), 0);
	native_fini();
}

/* The PyThreadState that a thread had is another thread's by now: C code gives them back. */
static void test_python_thread(void **state)
{
	enum { BLOCK = 10, A = 20, B = 30 }; /* 8 the thread, 16 its context */
	const struct clew_segment *seg;
	struct native_sock s;

	(void)state;
	start(&s, NATIVE_64, true);
	memset(java_heap, 0, sizeof(java_heap));
	native.objects = java_heap;
	native.objects_size = sizeof(java_heap);
	native.task.thread.fsbase = addr(1);
	native.proc.runtime = CLEW_RT_PYTHON;
	native.proc.py_ctx = 16;
	native.proc.py_thread = 8;
	native.proc.py_specific = 8;
	java_heap[2] = addr(BLOCK);
	java_heap[BLOCK + 1] = addr(A);
	java_heap[A + 1] = addr(1);
	java_heap[A + 2] = 111;
	seg = play(&s, CLEW_RECV, GET, NULL);
	assert_int_equal(seg->ctx_kind, CLEW_CTX_PYTHON);
	assert_int_equal(seg->ctx, 111);
	assert_non_null(play(&s, CLEW_SEND, OK, NULL));
	java_heap[A + 1] = 4711;
	java_heap[BLOCK + 1] = addr(B);
	java_heap[B + 1] = addr(1);
	java_heap[B + 2] = 222;
	assert_int_equal(play(&s, CLEW_RECV, GET, NULL)->ctx, 222);
	native_fini();
}

/* A process may have more descriptors than 65,536: HashMap folds the hash of their numbers. */
static void test_java_map(void **state)
{
	struct native_sock s;

	(void)state;
	jvm(&s);
	java_heap[TASK + 2] = TASK2;		  /* map: its table */
	java_heap[TASK2 + 1] = 2ULL << 32;	  /* of two */
	java_heap[TASK2 + 2] = (__u64)NODE << 32; /* at 1 */
	java_heap[NODE + 2] = 0;		  /* next */
	java_heap[NODE + 3] = 65536 ^ 1;	  /* hash of 65536 */
	java_heap[NODE + 4] = ME;
	assert_true(java_lookup(addr(TASK), 65536, NATIVE_TGID) == addr(ME));
	assert_int_equal(java_lookup(addr(TASK), 65537, NATIVE_TGID), 0);
	native_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classify),
		cmocka_unit_test(test_walk_back),
		cmocka_unit_test(test_head_in_two_buffers),
		cmocka_unit_test(test_many_small_buffers),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_fin),
		cmocka_unit_test(test_ahead),
		cmocka_unit_test(test_other_protocol),
		cmocka_unit_test(test_fastcgi),
		cmocka_unit_test(test_end_of_a_page),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_reused_address),
		cmocka_unit_test(test_java_collection),
		cmocka_unit_test(test_java_map),
		cmocka_unit_test(test_python_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
