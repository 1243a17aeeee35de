/* SPDX-License-Identifier: Apache-2.0 */
/* Exporters: from the file and from --export; endpoints, defaults, what does not fit. */
#include "config_test.h"

static void test_export_flags(void **state)
{
	static const struct {
		const char *arg;
		enum clew_export_kind kind;
		const char *target, *metrics;
		bool insecure;
	} rows[] = {
		{"file=/tmp/a=b.jsonl", CLEW_EXPORT_FILE, "/tmp/a=b.jsonl", NULL, false},
		{"console", CLEW_EXPORT_CONSOLE, NULL, NULL, false},
		{"otlp-grpc=http://h:4317", CLEW_EXPORT_OTLP_GRPC, "http://h:4317", NULL, true},
		{"otlp-grpc=http://h:4317/", CLEW_EXPORT_OTLP_GRPC, "http://h:4317", NULL, true},
		{"otlp-grpc=https://h:4317", CLEW_EXPORT_OTLP_GRPC, "https://h:4317", NULL, false},
		{"otlp-grpc=h:4317", CLEW_EXPORT_OTLP_GRPC, "h:4317", NULL, false},
		{"otlp-http=http://h:4318", CLEW_EXPORT_OTLP_HTTP, "http://h:4318/v1/traces",
		 "http://h:4318/v1/metrics", false},
		{"otlp-http=http://h:4318/", CLEW_EXPORT_OTLP_HTTP, "http://h:4318/v1/traces",
		 "http://h:4318/v1/metrics", false},
		{"otlp-http=https://[::1]:4318/p/v1/traces", CLEW_EXPORT_OTLP_HTTP,
		 "https://[::1]:4318/p/v1/traces", "https://[::1]:4318/p/v1/metrics", false},
		{"otlp-http=http://h/custom", CLEW_EXPORT_OTLP_HTTP, "http://h/custom", NULL,
		 false},
		{"otlp-json=HTTP://u:p@h:1", CLEW_EXPORT_OTLP_JSON, "HTTP://u:p@h:1/v1/traces",
		 "HTTP://u:p@h:1/v1/metrics", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct clew_config *c = load_ok(NULL, NULL, ARGS("--export", rows[i].arg));
		const struct clew_export_config *ex = &c->exporters[0];

		assert_int_equal(c->nr_exporters, 1);
		assert_int_equal(ex->kind, rows[i].kind);
		if (rows[i].target)
			assert_string_equal(ex->target, rows[i].target);
		else
			assert_null(ex->target);
		if (rows[i].metrics)
			assert_string_equal(ex->metrics_target, rows[i].metrics);
		else
			assert_null(ex->metrics_target);
		assert_int_equal(ex->insecure, rows[i].insecure);
		assert_null(ex->metrics);
		assert_int_equal(ex->timeout_ms, 10000);
		assert_int_equal(ex->max_export_batch_size, 512);
		assert_int_equal(ex->schedule_delay_ms, 5000);
		assert_int_equal(ex->export_timeout_ms, 30000);
		assert_int_equal(ex->retry_initial_ms, 5000);
		assert_int_equal(ex->retry_max_ms, 30000);
		assert_int_equal(ex->retry_give_up_ms, 300000);
		clew_config__free(c);
	}
}

#define KINDS "file=PATH, otlp-grpc=URL, otlp-http=URL, otlp-json=URL or console"
#define GOOD  "http://HOST:PORT or https://HOST:PORT"

static void test_export_refused(void **state)
{
	static const char *const rows[][2] = {
		{"jaeger-udp=h:6831", "jaeger-udp is not supported yet; expected " KINDS},
		{"jaeger-udp", "jaeger-udp is not supported yet; expected " KINDS},
		{"zipkin=http://h", "\"zipkin\" is unknown; expected " KINDS},
		{"otlp=http://h", "\"otlp\" is unknown; expected " KINDS},
		{"", "\"\" is unknown; expected " KINDS},
		{"file", "file has no target; expected file=PATH"},
		{"file=", "file has no target; expected file=PATH"},
		{"otlp-grpc", "otlp-grpc has no target; expected otlp-grpc=URL"},
		{"console=x", "console takes no target; expected console"},
		{"otlp-http=h:4318", "\"h:4318\" has no scheme; expected " GOOD},
		{"otlp-http=ftp://h", "\"ftp://h\" has an unknown scheme; expected " GOOD},
		{"otlp-http=http://", "\"http://\" has no valid host or port; expected " GOOD},
		{"otlp-http=http://:1", "\"http://:1\" has no valid host or port; expected " GOOD},
		{"otlp-http=http://h:0",
		 "\"http://h:0\" has no valid host or port; expected " GOOD},
		{"otlp-http=http://h:65536",
		 "\"http://h:65536\" has no valid host or port; expected " GOOD},
		{"otlp-http=http://h:x",
		 "\"http://h:x\" has no valid host or port; expected " GOOD},
		{"otlp-http=http://[::1",
		 "\"http://[::1\" has no valid host or port; expected " GOOD},
		{"otlp-http=http://h h", "\"http://h h\" holds a blank; expected " GOOD},
		{"otlp-http=http://u:secret@h:x",
		 "\"http://***@h:x\" has no valid host or port; expected " GOOD},
		{"otlp-grpc=http://h:4317/v1/traces", "a gRPC endpoint has a path; expected " GOOD},
		{"otlp-grpc=http://u@h:4317", "a gRPC endpoint has a user; expected " GOOD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[256];

		snprintf(line, sizeof(line), "--export: %s", rows[i][1]);
		load_bad(NULL, NULL, ARGS("--export", rows[i][0]), line);
	}
}

static void test_file_exporters(void **state)
{
	struct clew_config *c = load_ok(
		"exporters:\n"
		"  - type: otlp\n    endpoint: https://c:4318\n"
		"    headers: {Authorization: Bearer x, empty: }\n    compression: gzip\n"
		"    timeout: 3000\n    certificate: /ca\n    client_key: /k\n"
		"    client_certificate: /c\n    processor: simple\n    max_queue_size: 9\n"
		"    max_export_batch_size: 9\n    schedule_delay_ms: 1\n    export_timeout_ms: 2\n"
		"    retry_initial_ms: 3\n    retry_max_ms: 3\n    retry_give_up_ms: 0\n"
		"  - {type: otlp, endpoint: 'h:1', insecure: true, headers: 'X-Y=a%20b, c = d'}\n"
		"  - {type: otlp, protocol: http/json}\n"
		"  - {type: otlp, protocol: grpc}\n"
		"  - {type: otlp-http, endpoint: 'http://h/x', metrics_endpoint: 'http://m/y'}\n"
		"  - {type: file, path: a.jsonl}\n"
		"  - {type: console, processor: batch}\n",
		NULL, NULL);
	const struct clew_export_config *ex = c->exporters;

	(void)state;
	assert_int_equal(c->nr_exporters, 7);
	assert_int_equal(ex[0].kind, CLEW_EXPORT_OTLP_HTTP); /* by its port */
	assert_string_equal(ex[0].target, "https://c:4318/v1/traces");
	assert_int_equal(ex[0].nr_headers, 2);
	assert_string_equal(ex[0].headers[0].name, "Authorization");
	assert_string_equal(ex[0].headers[0].value, "Bearer x");
	assert_string_equal(ex[0].headers[1].value, "");
	assert_int_equal(ex[0].compression, CLEW_COMPRESS_GZIP);
	assert_int_equal(ex[0].timeout_ms, 3000);
	assert_string_equal(ex[0].certificate, "/ca");
	assert_string_equal(ex[0].client_key, "/k");
	assert_string_equal(ex[0].client_certificate, "/c");
	assert_int_equal(ex[0].processor, CLEW_PROCESSOR_SIMPLE);
	assert_int_equal(ex[0].max_queue_size, 9);
	assert_int_equal(ex[0].schedule_delay_ms, 1);
	assert_int_equal(ex[0].export_timeout_ms, 2);
	assert_int_equal(ex[0].retry_max_ms, 3);
	assert_int_equal(ex[0].retry_give_up_ms, 0);
	assert_int_equal(ex[1].kind, CLEW_EXPORT_OTLP_GRPC);
	assert_true(ex[1].insecure);
	assert_string_equal(ex[1].headers[0].name, "x-y"); /* gRPC metadata is lower case */
	assert_string_equal(ex[1].headers[0].value, "a b");
	assert_string_equal(ex[1].headers[1].name, "c");
	assert_string_equal(ex[1].headers[1].value, "d");
	assert_int_equal(ex[2].kind, CLEW_EXPORT_OTLP_JSON);
	assert_string_equal(ex[2].target, "http://localhost:4318/v1/traces");
	assert_string_equal(ex[3].target, "http://localhost:4317");
	assert_string_equal(ex[4].metrics_target, "http://m/y");
	assert_int_equal(ex[5].kind, CLEW_EXPORT_FILE);
	assert_int_equal(ex[6].processor, CLEW_PROCESSOR_BATCH);
	clew_config__free(c);
}

static void test_file_refused(void **state)
{
	static const char *const rows[][2] = {
		{"exporters: console\n",
		 "t.yaml:1: exporters: is a value; expected a list of maps, each with a type"},
		{"exporters: [console]\n",
		 "t.yaml:1: exporters[0]: is a value; expected a map with a type"},
		{"exporters:\n  - path: x\n",
		 "t.yaml:2: exporters[0]: type is missing; expected one of otlp, otlp-grpc, "
		 "otlp-http, otlp-json, file, console"},
		{"exporters:\n  - type: kafka\n",
		 "t.yaml:2: exporters[0].type: \"kafka\" is unknown; expected one of otlp, "
		 "otlp-grpc, otlp-http, otlp-json, file, console"},
		{"exporters:\n  - type: file\n",
		 "t.yaml:2: exporters[0]: path is missing; expected a file name"},
		{"exporters:\n  - type: console\n  - type: file\n    path: a\n    endpoint: h:1\n",
		 "t.yaml:3: exporters[1]: endpoint does not belong to this type; expected it with "
		 "OTLP types"},
		{"exporters:\n  - type: otlp\n    path: a\n",
		 "t.yaml:2: exporters[0]: path does not belong to this type; expected it with type "
		 "file"},
		{"exporters:\n  - type: otlp-grpc\n    protocol: http/json\n",
		 "t.yaml:2: exporters[0]: protocol contradicts the type; expected type otlp"},
		{"exporters:\n  - type: otlp-grpc\n    metrics_endpoint: http://h:1\n",
		 "t.yaml:2: exporters[0]: metrics_endpoint does not belong to gRPC; expected it "
		 "with OTLP over HTTP"},
		{"exporters:\n  - type: otlp\n    max_queue_size: 5\n",
		 "t.yaml:2: exporters[0]: max_export_batch_size 512 is above max_queue_size; "
		 "expected at most 5"},
		{"exporters:\n  - type: otlp\n    retry_initial_ms: 60000\n",
		 "t.yaml:2: exporters[0]: retry_initial_ms 60000 is above retry_max_ms; expected "
		 "at "
		 "most 30000"},
		{"exporters:\n  - type: otlp\n    client_key: k\n",
		 "t.yaml:2: exporters[0]: client_certificate is missing; expected client_key and "
		 "client_certificate together"},
		{"exporters:\n  - type: otlp\n    headers:\n      a: b\n      \"c d\": e\n",
		 "t.yaml:5: exporters[0].headers: \"c d\" is not a header name; expected letters, "
		 "digits and - _ ."},
		{"exporters:\n  - type: otlp\n    headers: {a: \"b\\r\\nc: secret\"}\n",
		 "t.yaml:3: exporters[0].headers: the value of header a holds a control character; "
		 "expected printable text"},
		{"exporters:\n  - type: otlp\n    headers: {a: 1, A: 2}\n",
		 "t.yaml:3: exporters[0].headers: header A is given twice; expected once"},
		{"exporters:\n  - type: otlp\n    headers: {a: [1]}\n",
		 "t.yaml:3: exporters[0].headers: is a list; expected the header's value"},
		{"exporters:\n  - type: otlp\n    headers: a=%zz\n",
		 "t.yaml:3: exporters[0].headers: the value of a is not percent-encoded text; "
		 "expected name=value,name=value"},
		{"exporters:\n  - type: console\n  - type: console\n",
		 "t.yaml:3: exporters[1]: given twice; expected each type and target once"},
		{"otlp_endpoint: \"nowhere at all\"\n",
		 "t.yaml:1: otlp_endpoint: \"nowhere at all\" holds a blank; expected " GOOD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		load_bad(rows[i][0], NULL, NULL, rows[i][1]);
}

static void test_too_many(void **state)
{
	char yaml[1024] = "exporters:\n";

	(void)state;
	for (int i = 0; i < CLEW_EXPORTERS_MAX; i++)
		sprintf(yaml + strlen(yaml), "  - {type: file, path: p%d}\n", i);
	struct clew_config *c = load_ok(yaml, NULL, NULL);

	assert_int_equal(c->nr_exporters, CLEW_EXPORTERS_MAX);
	clew_config__free(c);
	strcat(yaml, "  - type: console\n");
	load_bad(yaml, NULL, NULL,
		 "t.yaml:10: exporters[8]: too many exporters; expected at most 8");
}

static void test_shorthand(void **state)
{
	static const struct {
		const char *endpoint;
		enum clew_export_kind kind;
		const char *target;
	} rows[] = {
		{"http://c:4317", CLEW_EXPORT_OTLP_GRPC, "http://c:4317"},
		{"c:4317", CLEW_EXPORT_OTLP_GRPC, "c:4317"},
		{"https://c", CLEW_EXPORT_OTLP_GRPC, "https://c"},
		{"http://c:4318", CLEW_EXPORT_OTLP_HTTP, "http://c:4318/v1/traces"},
		{"http://c:1/otlp", CLEW_EXPORT_OTLP_HTTP, "http://c:1/otlp"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char var[128];

		snprintf(var, sizeof(var), "CLEW_OTLP_ENDPOINT=%s", rows[i].endpoint);
		struct clew_config *c = load_ok(NULL, ENV(var), NULL);

		assert_int_equal(c->nr_exporters, 1);
		assert_int_equal(c->exporters[0].kind, rows[i].kind);
		assert_string_equal(c->exporters[0].target, rows[i].target);
		clew_config__free(c);
	}
	load_bad(NULL, ENV("CLEW_DISTRIBUTED_TRACING__OTLP_ENDPOINT=h:0"), NULL,
		 "CLEW_DISTRIBUTED_TRACING__OTLP_ENDPOINT: \"h:0\" has no valid host or port; "
		 "expected " GOOD);
}

/* Exporters of all sources add up, and the same one twice is one. */
static void test_add_up(void **state)
{
	struct clew_config *c =
		load_ok("exporters:\n  - {type: otlp, endpoint: 'http://a:1', headers: {k: v}}\n"
			"otlp_endpoint: http://b:2\n",
			ENV("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317"),
			ARGS("--export", "file=x", "--export", "file=x", "--export",
			     "otlp-grpc=http://a:1", "--export=console"));

	(void)state;
	assert_int_equal(c->nr_exporters, 5);
	assert_string_equal(c->exporters[0].target, "http://a:1");
	assert_int_equal(c->exporters[0].nr_headers, 1); /* the richer one stays */
	assert_string_equal(c->exporters[1].target, "http://c:4317");
	assert_string_equal(c->exporters[2].target, "http://b:2");
	assert_string_equal(c->exporters[3].target, "x");
	assert_int_equal(c->exporters[4].kind, CLEW_EXPORT_CONSOLE);
	clew_config__free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_export_flags),   cmocka_unit_test(test_export_refused),
		cmocka_unit_test(test_file_exporters), cmocka_unit_test(test_file_refused),
		cmocka_unit_test(test_too_many),       cmocka_unit_test(test_shorthand),
		cmocka_unit_test(test_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
