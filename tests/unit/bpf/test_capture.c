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

	(void)state;
	start(&s, NATIVE_64, true);
	assert_non_null(play(&s, CLEW_RECV, GET, NULL));
	seg = play(&s, CLEW_SEND, "HTTP/1.1 200 OK\r\n", "Content-Length: 2\r\n\r\nok");
	assert_int_equal(seg->cap, seg->len);
	assert_memory_equal(seg->data, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", seg->cap);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classify),
		cmocka_unit_test(test_walk_back),
		cmocka_unit_test(test_head_in_two_buffers),
		cmocka_unit_test(test_many_small_buffers),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_fin),
		cmocka_unit_test(test_other_protocol),
		cmocka_unit_test(test_fastcgi),
		cmocka_unit_test(test_end_of_a_page),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_reused_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
