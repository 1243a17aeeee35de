/* SPDX-License-Identifier: Apache-2.0 */
/* The small parts: retry schedule, a receiver's answers, gzip, and the file exporter. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "otlp.pb-c.h"

#include "export/gzip.h"
#include "export/otlp_net.h"
#include "export/processor.h"
#include "export/retry.h"
#include "make_span.h"

/* ---- retry -------------------------------------------------------------------------------- */

static void test_retry_schedule(void **state)
{
	static const uint32_t want[] = {5000, 7500, 11250, 16875, 25312, 30000, 30000};
	struct clew_export_config cfg = {0}; /* the defaults */
	int64_t low[7], high[7];

	(void)state;
	for (int i = 0; i < 7; i++) {
		low[i] = INT64_MAX;
		high[i] = 0;
	}
	for (uint64_t seed = 0; seed < 2000; seed++) {
		struct clew_retry r;

		clew_retry__start(&r, &cfg, 1000, seed * 0x9e3779b97f4a7c15ULL);
		for (int i = 0; i < 7; i++) {
			int64_t wait = clew_retry__next(&r, 1000, 0);

			low[i] = wait < low[i] ? wait : low[i];
			high[i] = wait > high[i] ? wait : high[i];
		}
	}
	for (int i = 0; i < 7; i++) { /* within +-50 %, and the whole width is used */
		assert_in_range(low[i], want[i] / 2, want[i] * 55 / 100);
		assert_in_range(high[i], want[i] * 145 / 100, want[i] * 3 / 2);
	}
}

static void test_retry_limits(void **state)
{
	struct clew_export_config cfg = {
		.retry_initial_ms = 100, .retry_max_ms = 50, .retry_give_up_ms = 1000};
	struct clew_retry r;

	(void)state;
	clew_retry__start(&r, &cfg, 5000, 1);
	assert_in_range(clew_retry__next(&r, 5000, 0), 25, 75); /* max beats initial */
	assert_int_equal(clew_retry__next(&r, 5000, 900), 900); /* as asked */
	assert_int_equal(clew_retry__next(&r, 5000, 1001), -1); /* comes after the end */
	assert_int_equal(clew_retry__next(&r, 5990, 0), -1);
}

/* ---- answers ------------------------------------------------------------------------------ */

static void test_answer_pb(void **state)
{
	Otlp__ExportResponse msg = OTLP__EXPORT_RESPONSE__INIT;
	Otlp__PartialSuccess part = OTLP__PARTIAL_SUCCESS__INIT;
	struct clew_otlp_answer a;
	uint8_t buf[512];
	char longer[300];
	size_t n;

	(void)state;
	assert_int_equal(clew_otlp__answer_pb("", 0, &a), 0);
	assert_true(a.rejected == 0 && !a.message[0]);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[299] = 0;
	msg.partial_success = &part;
	part.rejected = 5;
	part.error_message = longer;
	n = otlp__export_response__pack(&msg, buf);
	assert_int_equal(clew_otlp__answer_pb(buf, n, &a), 0);
	assert_int_equal(a.rejected, 5);
	assert_int_equal(strlen(a.message), sizeof(a.message) - 1);
	part.rejected = -5; /* nonsense */
	n = otlp__export_response__pack(&msg, buf);
	assert_int_equal(clew_otlp__answer_pb(buf, n, &a), 0);
	assert_int_equal(a.rejected, 0);
	for (size_t cut = 1; cut < n; cut++) /* whatever is cut off: no crash */
		clew_otlp__answer_pb(buf, cut, &a);
	assert_int_equal(clew_otlp__answer_pb("\xff\xff", 2, &a), -EBADMSG);
	assert_int_equal(clew_otlp__answer_pb(buf, CLEW_OTLP_ANSWER_MAX + 1, &a), -EBADMSG);
}

static void test_answer_json(void **state)
{
	static const char *const bad[] = {"", "[]", "nul", "{\"partialSuccess\":", "\xff"};
	static const char str[] = "{\"partialSuccess\":{\"rejectedSpans\":\"7\","
				  "\"errorMessage\":\"why\"}}";
	static const char num[] = "{\"partialSuccess\":{\"rejectedDataPoints\":3}}";
	static const char minus[] = "{\"partialSuccess\":{\"rejectedSpans\":\"-3\"}}";
	static const char odd[] = "{\"partialSuccess\":{\"rejectedSpans\":{},\"errorMessage\":1}}";
	struct clew_otlp_answer a;

	(void)state;
	assert_int_equal(clew_otlp__answer_json(str, strlen(str), &a), 0);
	assert_int_equal(a.rejected, 7);
	assert_string_equal(a.message, "why");
	assert_int_equal(clew_otlp__answer_json(num, strlen(num), &a), 0);
	assert_int_equal(a.rejected, 3);
	assert_int_equal(clew_otlp__answer_json(odd, strlen(odd), &a), 0);
	assert_true(a.rejected == 0 && !a.message[0]);
	/* a count that is none: not 2^64 - 3 */
	assert_int_equal(clew_otlp__answer_json(minus, strlen(minus), &a), 0);
	assert_int_equal(a.rejected, 0);
	assert_int_equal(clew_otlp__answer_json("{}", 2, &a), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(clew_otlp__answer_json(bad[i], strlen(bad[i]), &a), -EBADMSG);
}

static size_t pack_status(uint8_t *buf, const char *type, int64_t s, int32_t ns)
{
	Otlp__RpcStatus msg = OTLP__RPC_STATUS__INIT;
	Otlp__RetryInfo info = OTLP__RETRY_INFO__INIT;
	Otlp__Duration delay = OTLP__DURATION__INIT;
	Otlp__Any any = OTLP__ANY__INIT, *details = &any;
	uint8_t inner[64];

	delay.seconds = s;
	delay.nanos = ns;
	info.retry_delay = &delay;
	any.type_url = (char *)(uintptr_t)type;
	any.value.data = inner;
	any.value.len = otlp__retry_info__pack(&info, inner);
	msg.message = (char *)"busy";
	msg.n_details = 1;
	msg.details = &details;
	return otlp__rpc_status__pack(&msg, buf);
}

static void test_retry_info(void **state)
{
	struct clew_otlp_answer a;
	uint8_t buf[256];
	size_t n = pack_status(buf, "type.googleapis.com/google.rpc.RetryInfo", 2, 500000000);

	(void)state;
	assert_int_equal(clew_otlp__status_pb(buf, n, &a), 0);
	assert_true(a.has_retry_info && a.retry_after_ms == 2500);
	assert_string_equal(a.message, "busy");
	n = pack_status(buf, "type.googleapis.com/google.rpc.RetryInfo", INT64_MAX, 0);
	assert_int_equal(clew_otlp__status_pb(buf, n, &a), 0);
	assert_int_equal(a.retry_after_ms, 24 * 3600 * 1000); /* capped */
	n = pack_status(buf, "type.googleapis.com/google.rpc.RetryInfo", -1, 0);
	assert_int_equal(clew_otlp__status_pb(buf, n, &a), 0);
	assert_int_equal(a.retry_after_ms, 0);
	n = pack_status(buf, "type.googleapis.com/google.rpc.Help", 2, 0);
	assert_int_equal(clew_otlp__status_pb(buf, n, &a), 0);
	assert_false(a.has_retry_info);
}

static void test_loopback(void **state)
{
	(void)state;
	assert_true(clew_otlp__is_loopback("127.0.0.1") && clew_otlp__is_loopback("127.9.8.7"));
	assert_true(clew_otlp__is_loopback("LocalHost") && clew_otlp__is_loopback("[::1]"));
	assert_false(clew_otlp__is_loopback("128.0.0.1"));
	assert_false(clew_otlp__is_loopback("127.0.0.1.example.com"));
	assert_false(clew_otlp__is_loopback("127.0.0"));
}

/* ---- gzip --------------------------------------------------------------------------------- */

static void check_gzip(struct clew_gzip *g, const uint8_t *p, size_t n)
{
	uint8_t *back = malloc(n + 1);
	z_stream z = {0};

	assert_int_equal(clew_gzip__pack(g, p, n), 0);
	assert_int_equal(inflateInit2(&z, 31), Z_OK); /* 31: gzip, nothing else */
	z.next_in = g->p;
	z.avail_in = (unsigned)g->len;
	z.next_out = back;
	z.avail_out = (unsigned)n + 1;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, n);
	if (n)
		assert_memory_equal(back, p, n);
	inflateEnd(&z);
	free(back);
}

static void test_gzip(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 65535, 65536, 1000000, 6000000, 10};
	uint8_t *p = malloc(6000000);
	struct clew_gzip g = {0};

	(void)state;
	srand(2);
	for (size_t i = 0; i < 6000000; i++) /* noise: does not become smaller */
		p[i] = (uint8_t)rand();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_gzip(&g, p, sizes[i]);
	for (size_t i = 0; i < 6000000; i++)
		p[i] = (uint8_t)("spans "[i % 6]);
	check_gzip(&g, p, 6000000);
	assert_true(g.len < 60000);
	clew_gzip__free(&g);
	free(p);
}

/* ---- file --------------------------------------------------------------------------------- */

static size_t count_whole_lines(const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0, lines = 0;
	ssize_t n;

	assert_non_null(f);
	while ((n = getline(&line, &cap, f)) > 0) {
		json_t *j = json_loadb(line, (size_t)n, 0, NULL);

		assert_int_equal(line[n - 1], '\n');
		assert_non_null(j); /* a half line would not parse */
		json_decref(j);
		lines++;
	}
	free(line);
	fclose(f);
	return lines;
}

static void test_file(void **state)
{
	char dir[] = "/tmp/clew-test-XXXXXX", path[64], other[64], errbuf[128];
	struct clew_export_config cfg = {.kind = CLEW_EXPORT_FILE, .target = path};
	struct clew_resource *res = make_resource("api");
	struct clew_send_result r;
	struct clew_span *spans[10];
	struct rlimit limit;
	struct stat st;
	void *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/spans", dir);
	snprintf(other, sizeof(other), "%s/old", dir);
	for (size_t i = 0; i < 10; i++)
		spans[i] = make_span(res, i);
	assert_int_equal(clew_exporter_file.open(&cfg, &file, errbuf, sizeof(errbuf)), 0);
	memset(&r, 0, sizeof(r));
	clew_exporter_file.send(file, spans, 10, &r);
	assert_true(r.err == 0 && r.accepted == 10);

	/* a disk that fills up in the middle of a line: the half line is taken back */
	assert_int_equal(stat(path, &st), 0);
	getrlimit(RLIMIT_FSIZE, &limit);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){(rlim_t)st.st_size + 1000, limit.rlim_max});
	memset(&r, 0, sizeof(r));
	clew_exporter_file.send(file, spans, 10, &r);
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_true(r.err && !r.retry && r.accepted == 0 && r.drop == CLEW_SDROP_WRITE);
	assert_int_equal(count_whole_lines(path), 1);
	memset(&r, 0, sizeof(r));
	clew_exporter_file.send(file, spans, 1, &r); /* and goes on when there is room again */
	assert_int_equal(r.accepted, 1);
	assert_int_equal(count_whole_lines(path), 2);

	/* renamed (logrotate): a new file is made */
	assert_int_equal(rename(path, other), 0);
	memset(&r, 0, sizeof(r));
	clew_exporter_file.send(file, spans, 2, &r);
	assert_int_equal(r.accepted, 2);
	assert_int_equal(count_whole_lines(path), 1);
	assert_int_equal(count_whole_lines(other), 2);

	clew_exporter_file.close(file);
	put_spans(spans, 10);
	clew_resource__put(res);
	unlink(path);
	unlink(other);
	rmdir(dir);
}

/* A pipe whose reader sleeps: the writer gives up after its timeout. */
static void test_file_stalled_pipe(void **state)
{
	char dir[] = "/tmp/clew-test-XXXXXX", path[64], errbuf[128];
	struct clew_export_config cfg = {.target = path, .timeout_ms = 100};
	struct clew_span *spans[500];
	struct clew_resource *res = make_resource("api");
	struct clew_send_result r = {0};
	void *file;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(clew_exporter_file.open(&cfg, &file, errbuf, sizeof(errbuf)), -ENXIO);
	assert_non_null(strstr(errbuf, "nobody reads this pipe"));
	fd = open(path, O_RDONLY | O_NONBLOCK);
	assert_int_equal(clew_exporter_file.open(&cfg, &file, errbuf, sizeof(errbuf)), 0);
	for (size_t i = 0; i < 500; i++)
		spans[i] = make_span(res, i);
	clew_exporter_file.send(file, spans, 500, &r); /* more than a pipe holds */
	assert_true(r.err == -ETIMEDOUT && r.accepted == 0 && r.drop == CLEW_SDROP_WRITE);
	clew_exporter_file.close(file);
	close(fd);
	put_spans(spans, 500);
	clew_resource__put(res);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retry_schedule),
		cmocka_unit_test(test_retry_limits),
		cmocka_unit_test(test_answer_pb),
		cmocka_unit_test(test_answer_json),
		cmocka_unit_test(test_retry_info),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_stalled_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
