/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole way, from events to a line in a file: what an operator would see of a request, and
 * that the account balances whatever happens to it on its way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include <clew/capture.h>
#include <clew/pipeline.h>

#include "events.h"

#define FRONT 100 /* processes */
#define BACK  200
#define SEC   1000000000ULL
#define WALL  1700000000000000000ULL
#define GET   "GET /a?x=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n"
#define OK    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define TRACE "0af7651916cd43dd8448eb211c80319c"

struct fixture {
	struct clew_config cfg;
	struct clew_export_config file;
	struct clew_ledger ledger;
	struct clew_export *export;
	struct clew_pipeline *pipeline;
	struct clew_recorder *rec;
	char path[64];
	uint64_t ts;
	uint32_t seq[8][2];
	uint8_t seg_flags; /* of what is said next */
	json_t *spans[16]; /* borrowed from `lines` */
	json_t *resources[16];
	size_t nr_spans, nr_lines;
	json_t *lines[16];
	struct {
		unsigned int wants, ignores;
		enum clew_probe_set set;
		uint32_t pid;
		uint64_t sk, conn_id;
	} asked;
};

static void on_want(void *arg, uint32_t pid, enum clew_probe_set set)
{
	struct fixture *f = arg;

	f->asked.set = set;
	f->asked.wants++;
	f->asked.pid = pid;
}

static void on_ignore(void *arg, uint64_t sk, uint64_t conn_id)
{
	struct fixture *f = arg;

	f->asked.ignores++;
	f->asked.sk = sk;
	f->asked.conn_id = conn_id;
}

static void start(struct fixture *f)
{
	struct clew_pipeline_source source = {f, on_want, on_ignore};
	char errbuf[256] = "";

	f->file.kind = CLEW_EXPORT_FILE;
	f->file.target = f->path;
	f->file.timeout_ms = 5000;
	f->file.max_queue_size = 1024;
	f->file.max_export_batch_size = 512;
	f->file.schedule_delay_ms = 100;
	f->file.export_timeout_ms = 5000;
	f->cfg.exporters = &f->file;
	f->cfg.nr_exporters = 1;
	if (clew_export__new(&f->cfg, &f->ledger, &f->export, errbuf, sizeof(errbuf)))
		fail_msg("%s", errbuf);
	f->pipeline = clew_pipeline__new(&f->cfg, &f->ledger, f->export, f->rec, &source);
	assert_non_null(f->pipeline);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->path, "/tmp/clew-pipeline-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0);
	close(fd);
	f->cfg.sample_rate = 1;
	f->cfg.sample_parent = true;
	f->cfg.correlate.window_ms = 2000;
	f->cfg.correlate.window_bytes = 16 << 20;
	f->cfg.correlate.max_open_exchanges = 1000;
	f->cfg.capture.max_connections = 100;
	f->cfg.capture.max_processes = 100;
	f->cfg.telemetry.url_query = true;
	f->ts = EVENTS_TS;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < f->nr_lines; i++)
		json_decref(f->lines[i]);
	if (f->pipeline)
		clew_pipeline__drain(f->pipeline);
	if (f->export)
		clew_export__free(f->export, 1000);
	clew_pipeline__free(f->pipeline);
	unlink(f->path);
	free(f);
	return 0;
}

static void feed(struct fixture *f, const struct clew_event *ev)
{
	clew_pipeline__feed(f->pipeline, ev);
}

static void open_conn(struct fixture *f, uint64_t id, uint32_t pid, uint8_t role)
{
	struct clew_conn_open ev = event__open(id, pid, role, f->ts += 1000);

	ev.local_port = role == CLEW_ROLE_SERVER ? 8080 : (uint16_t)(40000 + id / 2);
	ev.remote_port = role == CLEW_ROLE_SERVER ? (uint16_t)(40000 + id / 2) : 8080;
	feed(f, &ev.h);
}

static void say(struct fixture *f, uint64_t id, uint32_t pid, uint8_t dir, const char *text)
{
	size_t n = strlen(text);
	struct clew_segment *seg =
		event__segment(id, pid, dir, f->seq[id][dir], text, n, n, f->ts += 1000);

	seg->flags = f->seg_flags;
	f->seq[id][dir] += (uint32_t)n;
	feed(f, &seg->h);
	free(seg);
}

static void info(struct fixture *f, uint32_t pid, uint16_t runtime, const char *name)
{
	char text[64] = "service.name";
	size_t n = sizeof("service.name");
	struct clew_proc_info *ev;

	strcpy(text + n, name);
	ev = event__info(pid, runtime, text, n + strlen(name) + 1, f->ts += 1000);
	feed(f, &ev->h);
	free(ev);
}

static void clock_event(struct fixture *f)
{
	struct clew_clock ev;

	memset(&ev, 0, sizeof(ev));
	ev.h = event__head(CLEW_EV_CLOCK, sizeof(ev), 0, f->ts);
	ev.realtime = WALL + f->ts;
	feed(f, &ev.h);
}

static void read_spans(struct fixture *f)
{
	FILE *file = fopen(f->path, "r");
	char *line = NULL;
	size_t cap = 0, i, k, m;
	json_t *rs, *ss, *span;

	assert_non_null(file);
	while (getline(&line, &cap, file) > 0) {
		json_t *root = json_loads(line, 0, NULL);

		assert_non_null(root);
		assert_true(f->nr_lines < 16);
		f->lines[f->nr_lines++] = root;
		json_array_foreach(json_object_get(root, "resourceSpans"), i, rs)
			json_array_foreach(json_object_get(rs, "scopeSpans"), k, ss)
				json_array_foreach(json_object_get(ss, "spans"), m, span)
		{
			assert_true(f->nr_spans < 16);
			f->resources[f->nr_spans] = json_object_get(rs, "resource");
			f->spans[f->nr_spans++] = span;
		}
	}
	free(line);
	fclose(file);
}

/* The stream ends as a run does: settle, account, deliver; the ledger must balance. */
static void finish(struct fixture *f)
{
	clew_pipeline__drain(f->pipeline);
	clew_pipeline__account(f->pipeline);
	clew_export__free(f->export, 10000);
	f->export = NULL;
	clew_pipeline__free(f->pipeline);
	f->pipeline = NULL;
	if (!clew_ledger__balanced(&f->ledger))
		clew_ledger__print(&f->ledger, stderr);
	assert_true(clew_ledger__balanced(&f->ledger));
	read_spans(f);
	assert_int_equal(f->nr_spans, f->ledger.exporter[0].exported);
}

static const char *text_of(const json_t *object, const char *key)
{
	const json_t *attr, *value;
	size_t i;

	json_array_foreach(json_object_get(object, "attributes"), i, attr)
	{
		if (strcmp(json_string_value(json_object_get(attr, "key")), key))
			continue;
		value = json_object_get(json_object_get(attr, "value"), "stringValue");
		if (!value)
			value = json_object_get(json_object_get(attr, "value"), "intValue");
		return json_string_value(value);
	}
	return "(absent)";
}

static const char *field(const json_t *span, const char *key)
{
	const char *s = json_string_value(json_object_get(span, key));

	return s ? s : "";
}

static json_t *span_of(struct fixture *f, const char *service, int kind)
{
	for (size_t i = 0; i < f->nr_spans; i++)
		if (json_integer_value(json_object_get(f->spans[i], "kind")) == kind &&
		    !strcmp(text_of(f->resources[i], "service.name"), service))
			return f->spans[i];
	fail_msg("no span of %s with kind %d", service, kind);
	return NULL;
}

static void test_one_request(void **state)
{
	struct fixture *f = *state;
	json_t *span;
	char want[32];

	start(f);
	clock_event(f);
	info(f, FRONT, CLEW_RT_UNKNOWN, "front");
	open_conn(f, 1, FRONT, CLEW_ROLE_SERVER);
	say(f, 1, FRONT, CLEW_RECV, GET);
	snprintf(want, sizeof(want), "%llu", (unsigned long long)(WALL + f->ts));
	say(f, 1, FRONT, CLEW_SEND, OK);
	finish(f);
	assert_int_equal(f->nr_spans, 1);
	span = span_of(f, "front", CLEW_SPAN_SERVER);
	assert_string_equal(field(span, "name"), "GET");
	assert_string_equal(field(span, "startTimeUnixNano"), want);
	assert_string_equal(text_of(span, "url.path"), "/a");
	assert_string_equal(text_of(span, "url.query"), "x=1");
	assert_string_equal(text_of(span, "server.address"), "shop.example");
	assert_string_equal(text_of(span, "http.response.status_code"), "200");
	assert_int_equal(strlen(field(span, "traceId")), 32);
	assert_int_equal(strlen(field(span, "spanId")), 16);
	assert_string_equal(field(span, "parentSpanId"), "");
	assert_int_equal(f->ledger.events_seen, 3);
	assert_int_equal(f->ledger.events_used, 3);
	assert_int_equal(f->ledger.exchanges_spans, 1);
}

/* front is called, calls back on the same thread: three spans, one trace, the right parents. */
static void two_services(struct fixture *f)
{
	clock_event(f);
	info(f, FRONT, CLEW_RT_UNKNOWN, "front");
	info(f, BACK, CLEW_RT_UNKNOWN, "back");
	open_conn(f, 1, FRONT, CLEW_ROLE_SERVER);
	say(f, 1, FRONT, CLEW_RECV, GET);
	open_conn(f, 4, FRONT, CLEW_ROLE_CLIENT);
	open_conn(f, 5, BACK, CLEW_ROLE_SERVER);
	say(f, 4, FRONT, CLEW_SEND, "POST /b HTTP/1.1\r\nHost: back\r\n\r\n");
	say(f, 5, BACK, CLEW_RECV, "POST /b HTTP/1.1\r\nHost: back\r\n\r\n");
	say(f, 5, BACK, CLEW_SEND, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
	say(f, 4, FRONT, CLEW_RECV, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
	say(f, 1, FRONT, CLEW_SEND, OK);
}

static void test_a_tree(void **state)
{
	struct fixture *f = *state;
	json_t *root, *call, *leaf;

	start(f);
	two_services(f);
	finish(f);
	assert_int_equal(f->nr_spans, 3);
	root = span_of(f, "front", CLEW_SPAN_SERVER);
	call = span_of(f, "front", CLEW_SPAN_CLIENT);
	leaf = span_of(f, "back", CLEW_SPAN_SERVER);
	assert_string_equal(field(call, "traceId"), field(root, "traceId"));
	assert_string_equal(field(leaf, "traceId"), field(root, "traceId"));
	assert_string_equal(field(call, "parentSpanId"), field(root, "spanId"));
	assert_string_equal(field(leaf, "parentSpanId"), field(call, "spanId"));
	assert_string_equal(field(root, "parentSpanId"), "");
	assert_string_equal(text_of(call, "error.type"), "503");
	assert_string_equal(text_of(root, "error.type"), "(absent)");
}

/* A recording of the same gives the same lines, ids included. */
static void test_replay(void **state)
{
	struct fixture *f = *state;
	char ids[3][64], rec[] = "/tmp/clew-pipeline-rec-XXXXXX", errbuf[256];
	struct clew_ledger before;
	int fd = mkstemp(rec);

	close(fd);
	assert_int_equal(clew_recorder__new(rec, &f->rec, errbuf, sizeof(errbuf)), 0);
	start(f);
	two_services(f);
	finish(f);
	assert_int_equal(clew_recorder__free(f->rec), 0);
	f->rec = NULL;
	assert_int_equal(f->nr_spans, 3);
	for (int i = 0; i < 3; i++)
		snprintf(ids[i], sizeof(ids[i]), "%s %s", field(f->spans[i], "traceId"),
			 field(f->spans[i], "spanId"));
	before = f->ledger;
	memset(&f->ledger, 0, sizeof(f->ledger));
	assert_int_equal(truncate(f->path, 0), 0);
	f->nr_spans = 0;
	start(f);
	assert_int_equal(clew_replay(rec, clew_pipeline__feed, f->pipeline, errbuf, sizeof(errbuf)),
			 0);
	unlink(rec);
	finish(f);
	assert_int_equal(f->nr_spans, 3);
	for (int i = 0; i < 3; i++) {
		char got[64];

		snprintf(got, sizeof(got), "%s %s", field(f->spans[i], "traceId"),
			 field(f->spans[i], "spanId"));
		assert_string_equal(got, ids[i]);
	}
	assert_memory_equal(&before, &f->ledger, offsetof(struct clew_ledger, nr_exporters));
}

/* What goes wrong with an event, one reason after the other: each is counted by its name. */
static void test_event_drops(void **state)
{
	struct clew_event bad = event__head(0, sizeof(bad), 1, 1);
	struct fixture *f = *state;
	uint64_t *dropped = f->ledger.events_dropped;
	struct clew_conn_open cut = event__open(3, FRONT, CLEW_ROLE_SERVER, 1);

	start(f);
	feed(f, &bad); /* no such type */
	bad.type = 200;
	feed(f, &bad); /* nor this, and not the kernel's: not counted */
	cut.h.size--;
	feed(f, &cut.h);
	cut.h.size++;
	cut.h.version++;
	feed(f, &cut.h);
	assert_int_equal(dropped[CLEW_EDROP_MALFORMED], 3);
	say(f, 3, FRONT, CLEW_RECV, GET);
	assert_int_equal(dropped[CLEW_EDROP_UNKNOWN_CONN], 1);
	open_conn(f, 1, FRONT, CLEW_ROLE_SERVER);
	open_conn(f, 1, FRONT, CLEW_ROLE_SERVER);
	assert_int_equal(dropped[CLEW_EDROP_DUPLICATE], 1);
	say(f, 1, FRONT, CLEW_RECV, "\x16\x03\x01\x02\x01");
	assert_int_equal(dropped[CLEW_EDROP_NOT_HTTP], 1);
	assert_int_equal(f->asked.ignores, 1);
	assert_int_equal(f->asked.conn_id, 1);
	assert_int_equal(f->asked.sk, 0x1001);
	finish(f);
	assert_int_equal(f->ledger.events_seen, 7);
	assert_int_equal(f->ledger.events_used, 1);
}

/* What the kernel side counted is part of the account; what got lost in between is seen. */
static void test_kernel_counts(void **state)
{
	struct fixture *f = *state;
	struct clew_stats ev;

	start(f);
	open_conn(f, 1, FRONT, CLEW_ROLE_SERVER);
	say(f, 1, FRONT, CLEW_RECV, GET);
	memset(&ev, 0, sizeof(ev));
	ev.h = event__head(CLEW_EV_STATS, sizeof(ev), 0, f->ts);
	ev.count[CLEW_STAT_EMITTED] = 3; /* one more than was read */
	ev.count[CLEW_STAT_DROP_RING_FULL] = 10;
	ev.count[CLEW_STAT_DROP_CONN_FULL] = 20;
	ev.count[CLEW_STAT_MISSED] = 5;
	feed(f, &ev.h);
	clew_pipeline__drain(f->pipeline);
	clew_pipeline__account(f->pipeline);
	assert_int_equal(f->ledger.events_seen, 38);
	assert_int_equal(f->ledger.events_dropped[CLEW_EDROP_RING_FULL], 10);
	assert_int_equal(f->ledger.events_dropped[CLEW_EDROP_CONN_TABLE_FULL], 20);
	assert_int_equal(f->ledger.events_dropped[CLEW_EDROP_PROBE_MISSED], 5);
	assert_false(clew_ledger__balanced(&f->ledger));
	ev.count[CLEW_STAT_EMITTED] = 2;
	feed(f, &ev.h);
	finish(f);
	assert_int_equal(f->ledger.events_seen, 37);
}

static void test_excluded(void **state)
{
	static char health[] = "/health*";
	char *patterns[] = {health};
	struct fixture *f = *state;

	f->cfg.excluded_paths = (struct clew_strv){patterns, 1};
	start(f);
	open_conn(f, 1, FRONT, CLEW_ROLE_SERVER);
	say(f, 1, FRONT, CLEW_RECV, "GET /health/live?x HTTP/1.1\r\nHost: h\r\n\r\n");
	say(f, 1, FRONT, CLEW_SEND, OK);
	say(f, 1, FRONT, CLEW_RECV, GET);
	say(f, 1, FRONT, CLEW_SEND, OK);
	finish(f);
	assert_int_equal(f->nr_spans, 1);
	assert_int_equal(f->ledger.exchanges_seen, 2);
	assert_int_equal(f->ledger.exchanges_dropped[CLEW_XDROP_EXCLUDED_PATH], 1);
}

static void traced(struct fixture *f, uint64_t id, const char *flags)
{
	char request[256];

	snprintf(request, sizeof(request),
		 "GET /t HTTP/1.1\r\ntraceparent: 00-" TRACE "-b7ad6b716920333%d-%s\r\n\r\n",
		 (int)id, flags);
	open_conn(f, id, FRONT, CLEW_ROLE_SERVER);
	say(f, id, FRONT, CLEW_RECV, request);
	say(f, id, FRONT, CLEW_SEND, OK);
}

static void test_adopted(void **state)
{
	struct fixture *f = *state;

	start(f);
	traced(f, 1, "01");
	traced(f, 2, "00"); /* its sender does not sample: neither does clew */
	finish(f);
	assert_int_equal(f->nr_spans, 1);
	assert_string_equal(field(f->spans[0], "traceId"), TRACE);
	assert_string_equal(field(f->spans[0], "parentSpanId"), "b7ad6b7169203331");
	assert_int_equal(f->ledger.spans_built, 2);
	assert_int_equal(f->ledger.spans_sampled_out, 1);
}

static void test_sampling(void **state)
{
	struct fixture *f = *state;

	f->cfg.sample_rate = 0;
	start(f);
	two_services(f);
	traced(f, 2, "01");
	finish(f);
	assert_int_equal(f->nr_spans, 1); /* the parent's decision stands */
	assert_int_equal(f->ledger.spans_sampled_out, 3);
}

/* A root says by which threshold it was kept. */
static void test_threshold(void **state)
{
	struct fixture *f = *state;

	f->cfg.sample_rate = 1 - 0x1p-20; /* practically all */
	start(f);
	two_services(f);
	finish(f);
	assert_int_equal(f->nr_spans, 3);
	for (int i = 0; i < 3; i++)
		assert_string_equal(field(f->spans[i], "traceState"), "ot=th:00001");
}

/* Without an exporter, and ended in the middle of everything. */
static void test_no_exporter(void **state)
{
	struct fixture *f = *state;

	f->pipeline = clew_pipeline__new(&f->cfg, &f->ledger, NULL, NULL, NULL);
	two_services(f);
	say(f, 1, FRONT, CLEW_RECV, GET);
	open_conn(f, 2, BACK, CLEW_ROLE_CLIENT);
	say(f, 2, BACK, CLEW_SEND, GET);
	say(f, 2, BACK, CLEW_RECV, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok");
	clew_pipeline__drain(f->pipeline);
	clew_pipeline__account(f->pipeline);
	assert_true(clew_ledger__balanced(&f->ledger));
	assert_int_equal(f->ledger.exchanges_seen, 5);
	assert_true(f->ledger.exchanges_spans >= 4);
	clew_pipeline__metrics(f->pipeline); /* nobody takes them: no harm */
}

/* Spans do not wait for the end: the stream's own time releases them. */
static void test_released_by_time(void **state)
{
	struct fixture *f = *state;

	start(f);
	two_services(f);
	f->ts += 10 * SEC;
	clock_event(f);
	assert_int_equal(f->ledger.exchanges_spans, 3);
	finish(f);
}

static void test_wants(void **state)
{
	struct fixture *f = *state;

	start(f);
	info(f, FRONT, CLEW_RT_GO, "front");
	open_conn(f, 1, FRONT, CLEW_ROLE_SERVER);
	say(f, 1, FRONT, CLEW_RECV, GET);
	assert_int_equal(f->asked.wants, 0); /* a server that calls nobody needs no probe */
	open_conn(f, 2, FRONT, CLEW_ROLE_CLIENT);
	say(f, 2, FRONT, CLEW_SEND, GET);
	assert_int_equal(f->asked.wants, 1);
	assert_int_equal(f->asked.pid, FRONT);
	say(f, 2, FRONT, CLEW_RECV, OK);
	say(f, 2, FRONT, CLEW_SEND, GET);
	assert_int_equal(f->asked.wants, 1); /* once */
	finish(f);
}

/* Waits of event loops are seen for nothing, but in Java: their turns tell whose call it is. */
static void test_wants_waits(void **state)
{
	struct fixture *f = *state;

	start(f);
	info(f, FRONT, CLEW_RT_JAVA, "front");
	info(f, BACK, CLEW_RT_UNKNOWN, "back");
	f->seg_flags = CLEW_SEG_LOOP;
	open_conn(f, 1, FRONT, CLEW_ROLE_SERVER);
	say(f, 1, FRONT, CLEW_RECV, GET);
	assert_int_equal(f->asked.set, CLEW_WANT_WAITS);
	open_conn(f, 2, BACK, CLEW_ROLE_SERVER);
	say(f, 2, BACK, CLEW_RECV, GET);
	assert_int_equal(f->asked.set, CLEW_WANT_NO_WAITS);
	f->seg_flags = 0;
	open_conn(f, 3, BACK, CLEW_ROLE_SERVER);
	say(f, 3, BACK, CLEW_RECV, GET);
	assert_int_equal(f->asked.set, CLEW_WANT_WAITS);
	assert_int_equal(f->asked.wants, 3);
	finish(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_request), TEST(test_a_tree),	     TEST(test_replay),
		TEST(test_event_drops), TEST(test_kernel_counts),    TEST(test_excluded),
		TEST(test_adopted),	TEST(test_sampling),	     TEST(test_threshold),
		TEST(test_no_exporter), TEST(test_released_by_time), TEST(test_wants),
		TEST(test_wants_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
