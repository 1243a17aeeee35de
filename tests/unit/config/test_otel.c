/* SPDX-License-Identifier: Apache-2.0 */
/* Every OTEL_* variable that clew reads: its effect, its bad values, empty as unset. */
#include "config_test.h"

#define E "OTEL_EXPORTER_OTLP_"

static struct clew_config *otel(const char *const *env)
{
	return load_ok(NULL, env, NULL);
}

static void test_endpoint(void **state)
{
	static const struct {
		const char *a, *b;
		enum clew_export_kind kind;
		const char *target, *metrics;
	} rows[] = {
		{E "ENDPOINT=http://c:4318", NULL, CLEW_EXPORT_OTLP_HTTP, "http://c:4318/v1/traces",
		 "http://c:4318/v1/metrics"},
		{E "ENDPOINT=http://c:4318/", NULL, CLEW_EXPORT_OTLP_HTTP,
		 "http://c:4318/v1/traces", "http://c:4318/v1/metrics"},
		/* a base endpoint gets the path also behind one of its own */
		{E "ENDPOINT=https://c/otlp/", NULL, CLEW_EXPORT_OTLP_HTTP,
		 "https://c/otlp/v1/traces", "https://c/otlp/v1/metrics"},
		{E "ENDPOINT=http://c:4317", NULL, CLEW_EXPORT_OTLP_GRPC, "http://c:4317", NULL},
		{E "ENDPOINT=http://c:9", E "PROTOCOL=grpc", CLEW_EXPORT_OTLP_GRPC, "http://c:9",
		 NULL},
		{E "ENDPOINT=http://c:9", E "TRACES_PROTOCOL=http/json", CLEW_EXPORT_OTLP_JSON,
		 "http://c:9/v1/traces", NULL},
		{E "ENDPOINT=http://c:9", E "PROTOCOL=http/json", CLEW_EXPORT_OTLP_JSON,
		 "http://c:9/v1/traces", "http://c:9/v1/metrics"},
		/* a signal's endpoint is used as it is */
		{E "TRACES_ENDPOINT=http://t:1/x", NULL, CLEW_EXPORT_OTLP_HTTP, "http://t:1/x",
		 NULL},
		{E "TRACES_ENDPOINT=http://t:1", NULL, CLEW_EXPORT_OTLP_HTTP, "http://t:1", NULL},
		{E "TRACES_ENDPOINT=http://t:1/v1/traces", NULL, CLEW_EXPORT_OTLP_HTTP,
		 "http://t:1/v1/traces", "http://t:1/v1/metrics"},
		{E "TRACES_ENDPOINT=http://t/x", E "ENDPOINT=http://c", CLEW_EXPORT_OTLP_HTTP,
		 "http://t/x", "http://c/v1/metrics"},
		{E "METRICS_ENDPOINT=http://m/x", E "ENDPOINT=http://c", CLEW_EXPORT_OTLP_HTTP,
		 "http://c/v1/traces", "http://m/x"},
		{"OTEL_TRACES_EXPORTER=otlp", NULL, CLEW_EXPORT_OTLP_HTTP,
		 "http://localhost:4318/v1/traces", "http://localhost:4318/v1/metrics"},
		{"OTEL_TRACES_EXPORTER=otlp", E "PROTOCOL=grpc", CLEW_EXPORT_OTLP_GRPC,
		 "http://localhost:4317", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct clew_config *c = otel((const char *const[]){rows[i].a, rows[i].b, NULL});
		const struct clew_export_config *ex = c->exporters;

		assert_warning(c, NULL);
		assert_int_equal(c->nr_exporters, 1);
		assert_int_equal(ex->kind, rows[i].kind);
		assert_string_equal(ex->target, rows[i].target);
		if (ex->metrics) /* TRACES_PROTOCOL alone: metrics keep the general protocol */
			assert_int_equal(i, 5);
		else if (rows[i].metrics)
			assert_string_equal(ex->metrics_target, rows[i].metrics);
		else
			assert_null(ex->metrics_target);
		clew_config__free(c);
	}
}

static void test_settings(void **state)
{
	struct clew_config *c =
		otel(ENV(E "ENDPOINT=https://c:4317", E "HEADERS=api-key=k%3D1, x=y",
			 E "COMPRESSION=gzip", E "TIMEOUT=1234", E "INSECURE=TRUE",
			 E "CERTIFICATE=/ca", E "CLIENT_KEY=/k", E "CLIENT_CERTIFICATE=/c"));
	const struct clew_export_config *ex = c->exporters;

	(void)state;
	assert_warning(c, NULL);
	assert_int_equal(ex->nr_headers, 2);
	assert_string_equal(ex->headers[0].name, "api-key");
	assert_string_equal(ex->headers[0].value, "k=1");
	assert_int_equal(ex->compression, CLEW_COMPRESS_GZIP);
	assert_int_equal(ex->timeout_ms, 1234);
	assert_false(ex->insecure); /* the scheme decides where there is one */
	assert_string_equal(ex->certificate, "/ca");
	assert_string_equal(ex->client_key, "/k");
	assert_string_equal(ex->client_certificate, "/c");
	assert_null(ex->metrics); /* the same way for both signals */
	clew_config__free(c);
	c = otel(ENV(E "ENDPOINT=c:4317", E "INSECURE=true"));
	assert_true(c->exporters[0].insecure);
	clew_config__free(c);
	c = otel(ENV(E "ENDPOINT=c:4317", E "INSECURE=1"));
	assert_false(c->exporters[0].insecure);
	assert_warning(c, E "INSECURE: \"1\" is not a boolean; expected true or false; ignored");
	clew_config__free(c);
}

/* The signal's own variable beats the general one, for traces and for metrics. */
static void test_signals(void **state)
{
	static const struct {
		const char *general, *traces, *metrics;
	} rows[] = {
		{E "HEADERS=a=1", E "TRACES_HEADERS=a=2", E "METRICS_HEADERS=a=3"},
		{E "COMPRESSION=none", E "TRACES_COMPRESSION=gzip", E "METRICS_COMPRESSION=none"},
		{E "TIMEOUT=1", E "TRACES_TIMEOUT=2", E "METRICS_TIMEOUT=3"},
		{E "INSECURE=false", E "TRACES_INSECURE=true", E "METRICS_INSECURE=false"},
		{E "CERTIFICATE=1", E "TRACES_CERTIFICATE=2", E "METRICS_CERTIFICATE=3"},
		{E "PROTOCOL=grpc", E "TRACES_PROTOCOL=grpc", E "METRICS_PROTOCOL=http/json"},
	};
	const char *endpoint = E "ENDPOINT=http://c:4317";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *ep = i == 3 ? E "ENDPOINT=c:4317" : endpoint;
		struct clew_config *c =
			otel(ENV(ep, rows[i].general, rows[i].traces, rows[i].metrics));
		const struct clew_export_config *t = c->exporters, *m = t->metrics;

		assert_warning(c, NULL);
		assert_int_equal(c->nr_exporters, 1);
		assert_non_null(m);
		assert_null(m->metrics);
		assert_null(t->metrics_target);
		switch (i) {
		case 0:
			assert_string_equal(t->headers[0].value, "2");
			assert_string_equal(m->headers[0].value, "3");
			break;
		case 1:
			assert_int_equal(t->compression, CLEW_COMPRESS_GZIP);
			assert_int_equal(m->compression, CLEW_COMPRESS_NONE);
			break;
		case 2:
			assert_int_equal(t->timeout_ms, 2);
			assert_int_equal(m->timeout_ms, 3);
			break;
		case 3:
			assert_true(t->insecure);
			assert_false(m->insecure);
			break;
		case 4:
			assert_string_equal(t->certificate, "2");
			assert_string_equal(m->certificate, "3");
			break;
		default:
			assert_int_equal(m->kind, CLEW_EXPORT_OTLP_JSON);
			assert_string_equal(m->target, "http://c:4317/v1/metrics");
		}
		clew_config__free(c);
	}
	struct clew_config *c =
		otel(ENV(endpoint, E "TRACES_CLIENT_KEY=k", E "TRACES_CLIENT_CERTIFICATE=c",
			 E "METRICS_CLIENT_KEY=k2", E "METRICS_CLIENT_CERTIFICATE=c2",
			 E "METRICS_ENDPOINT=http://m:4317"));

	assert_string_equal(c->exporters[0].client_key, "k");
	assert_string_equal(c->exporters[0].metrics->client_key, "k2");
	assert_string_equal(c->exporters[0].metrics->client_certificate, "c2");
	assert_string_equal(c->exporters[0].metrics->target, "http://m:4317");
	clew_config__free(c);
}

/* Headers may be credentials: of the receiver that OTEL_* names, or of the one there is. */
static void test_whose_headers(void **state)
{
	struct clew_config *c =
		load_ok("exporters: [{type: otlp-http, endpoint: 'http://f'}]\n",
			ENV(E "HEADERS=k=v"), ARGS("--export", "otlp-http=http://x"));

	(void)state;
	assert_int_equal(c->exporters[0].nr_headers, 0);
	assert_int_equal(c->exporters[1].nr_headers, 1);
	clew_config__free(c);
	c = load_ok(NULL,
		    ENV(E "HEADERS=k=v", E "ENDPOINT=http://o", "CLEW_OTLP_ENDPOINT=http://s"),
		    ARGS("--export", "otlp-http=http://x"));
	assert_int_equal(c->nr_exporters, 3);
	assert_int_equal(c->exporters[0].nr_headers, 1);
	assert_int_equal(c->exporters[1].nr_headers, 0);
	assert_int_equal(c->exporters[2].nr_headers, 0);
	clew_config__free(c);
	/* not even when that receiver cannot be used */
	c = load_ok(NULL, ENV(E "HEADERS=k=v", E "ENDPOINT=o:4318"),
		    ARGS("--export", "otlp-http=http://x"));
	assert_int_equal(c->nr_exporters, 1);
	assert_int_equal(c->exporters[0].nr_headers, 0);
	clew_config__free(c);
	c = otel(ENV(E "HEADERS=k=v", E "PROTOCOL=http/json", "CLEW_OTLP_ENDPOINT=http://s"));
	assert_int_equal(c->exporters[0].kind, CLEW_EXPORT_OTLP_JSON);
	assert_int_equal(c->exporters[0].nr_headers, 1);
	clew_config__free(c);
}

static void test_traces_exporter(void **state)
{
	struct clew_config *c = otel(ENV("OTEL_TRACES_EXPORTER= console , otlp,console"));

	(void)state;
	assert_int_equal(c->nr_exporters, 2);
	assert_int_equal(c->exporters[0].kind, CLEW_EXPORT_CONSOLE);
	assert_int_equal(c->exporters[1].kind, CLEW_EXPORT_OTLP_HTTP);
	clew_config__free(c);
	c = otel(ENV("OTEL_TRACES_EXPORTER=none", E "ENDPOINT=http://c"));
	assert_int_equal(c->nr_exporters, 0);
	clew_config__free(c);
	c = otel(ENV("OTEL_TRACES_EXPORTER=zipkin"));
	assert_int_equal(c->exporters[0].kind, CLEW_EXPORT_CONSOLE);
	assert_warning(c, "OTEL_TRACES_EXPORTER: \"zipkin\" is unknown; expected otlp, console or "
			  "none; ignored");
	clew_config__free(c);
}

static void test_resource(void **state)
{
	struct clew_config *c =
		load_ok("service_name: file\n",
			ENV("OTEL_RESOURCE_ATTRIBUTES=team=a%20b,service.name=att%72"), NULL);

	(void)state;
	assert_string_equal(c->resource_attributes, "team=a%20b,service.name=att%72");
	assert_string_equal(c->service_name, "attr");
	clew_config__free(c);
	c = otel(ENV("OTEL_RESOURCE_ATTRIBUTES=service.name=attr", "OTEL_SERVICE_NAME=name"));
	assert_string_equal(c->service_name, "name");
	clew_config__free(c);
	c = otel(ENV("OTEL_RESOURCE_ATTRIBUTES=novalue"));
	assert_null(c->resource_attributes);
	assert_warning(c, "OTEL_RESOURCE_ATTRIBUTES: a member has no name; expected "
			  "name=value,name=value; ignored");
	clew_config__free(c);
}

static void test_sampler(void **state)
{
	static const struct {
		const char *sampler, *arg;
		double rate;
		bool parent;
	} rows[] = {
		{"always_on", NULL, 1, false},
		{"always_off", "0.5", 0, false},
		{"traceidratio", "0.25", 0.25, false},
		{"traceidratio", NULL, 1, false},
		{"parentbased_always_on", NULL, 1, true},
		{"parentbased_always_off", NULL, 0, true},
		{"parentbased_traceidratio", "0.75", 0.75, true},
	};
	struct clew_config *c;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char a[64], b[64];

		snprintf(a, sizeof(a), "OTEL_TRACES_SAMPLER=%s", rows[i].sampler);
		snprintf(b, sizeof(b), "OTEL_TRACES_SAMPLER_ARG=%s",
			 rows[i].arg ? rows[i].arg : "");
		c = load_ok("sample_rate: 0.125\n", ENV(a, b), NULL);
		assert_true(c->sample_rate == rows[i].rate);
		assert_int_equal(c->sample_parent, rows[i].parent);
		assert_warning(c, NULL);
		clew_config__free(c);
	}
	c = load_ok("sample_rate: 0.125\n", ENV("OTEL_TRACES_SAMPLER_ARG=0.5"), NULL);
	assert_true(c->sample_rate == 0.125);
	clew_config__free(c);
	c = load_ok("sample_rate: 0.125\n", ENV("OTEL_TRACES_SAMPLER=xray"), NULL);
	assert_true(c->sample_rate == 0.125);
	assert_warning(c,
		       "OTEL_TRACES_SAMPLER: \"xray\" is unknown; expected always_on, always_off "
		       "or traceidratio, alone or behind parentbased_; ignored");
	clew_config__free(c);
	c = otel(ENV("OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=7"));
	assert_true(c->sample_rate == 1);
	assert_warning(c,
		       "OTEL_TRACES_SAMPLER_ARG: \"7\" is out of range; expected a number from 0 "
		       "to 1; ignored");
	clew_config__free(c);
}

/* They hold for every exporter, those of the file as well. */
static void test_bsp(void **state)
{
	static const char yaml[] = "exporters:\n  - {type: file, path: x, schedule_delay_ms: 77}\n"
				   "  - {type: otlp, max_queue_size: 600}\n";
	struct clew_config *c =
		load_ok(yaml,
			ENV("OTEL_BSP_SCHEDULE_DELAY=11", "OTEL_BSP_EXPORT_TIMEOUT=12",
			    "OTEL_BSP_MAX_QUEUE_SIZE=13", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=10"),
			NULL);

	(void)state;
	assert_warning(c, NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(c->exporters[i].schedule_delay_ms, 11);
		assert_int_equal(c->exporters[i].export_timeout_ms, 12);
		assert_int_equal(c->exporters[i].max_queue_size, 13);
		assert_int_equal(c->exporters[i].max_export_batch_size, 10);
	}
	clew_config__free(c);
	c = load_ok(yaml, ENV("OTEL_BSP_SCHEDULE_DELAY=", "OTEL_BSP_MAX_QUEUE_SIZE=0"), NULL);
	assert_int_equal(c->exporters[0].schedule_delay_ms, 77);
	assert_int_equal(c->exporters[1].max_queue_size, 600);
	assert_warning(c, "OTEL_BSP_MAX_QUEUE_SIZE: \"0\" is out of range; expected a whole number "
			  "from 1 to 16777216; ignored");
	clew_config__free(c);
	c = load_ok(yaml, ENV("OTEL_BSP_MAX_EXPORT_BATCH_SIZE=5000"), NULL);
	assert_int_equal(c->exporters[0].max_export_batch_size, 5000);
	assert_int_equal(c->exporters[1].max_export_batch_size, 600);
	assert_warning(c, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: batches of 5000 do not fit the queue; "
			  "600 is used");
	clew_config__free(c);
}

static void test_switches(void **state)
{
	struct clew_config *c = otel(ENV("OTEL_SDK_DISABLED=True"));

	(void)state;
	assert_false(c->enabled);
	clew_config__free(c);
	c = otel(ENV("OTEL_SDK_DISABLED=1"));
	assert_true(c->enabled);
	assert_warning(c, "OTEL_SDK_DISABLED: \"1\" is not a boolean; expected true or false; "
			  "ignored");
	clew_config__free(c);
	c = otel(ENV("OTEL_SDK_DISABLED=false", "OTEL_LOG_LEVEL=Debug",
		     "OTEL_METRIC_EXPORT_INTERVAL=500"));
	assert_true(c->enabled);
	assert_int_equal(c->log_level, CLEW_LOG_DEBUG);
	assert_int_equal(c->telemetry.metrics_interval_ms, 500);
	clew_config__free(c);
	c = otel(ENV("OTEL_METRICS_EXPORTER=none", "OTEL_METRIC_EXPORT_INTERVAL=500"));
	assert_int_equal(c->telemetry.metrics_interval_ms, 0);
	clew_config__free(c);
	c = otel(ENV("OTEL_LOG_LEVEL=loud"));
	assert_int_equal(c->log_level, CLEW_LOG_INFO);
	assert_warning(c, "OTEL_LOG_LEVEL: \"loud\" is unknown; expected one of error, warn, info, "
			  "debug; ignored");
	clew_config__free(c);
}

/* What cannot be used is said and ignored; the general value stands in for the signal's. */
static void test_bad_values(void **state)
{
	static const struct {
		const char *var, *warning;
	} rows[] = {
		{E "PROTOCOL=carrier-pigeon",
		 E "PROTOCOL: \"carrier-pigeon\" is unknown; expected one of grpc, http/protobuf, "
		   "http/json; ignored"},
		{E "COMPRESSION=zstd",
		 E "COMPRESSION: \"zstd\" is unknown; expected one of none, gzip; ignored"},
		{E "TIMEOUT=soon",
		 E "TIMEOUT: \"soon\" is not a whole number; expected a whole number from 1 to "
		   "86400000; ignored"},
		{E "HEADERS=a=secret,nonsense",
		 E "HEADERS: a member has no name; expected name=value,name=value; ignored"},
		{E "HEADERS=a=%0d%0ab",
		 E "HEADERS: the value of header a holds a control character; expected printable "
		   "text; ignored"},
		{E "CLIENT_KEY=/k",
		 E "CLIENT_KEY, " E
		   "CLIENT_CERTIFICATE: one without the other; expected both; ignored"},
		{E "TRACES_ENDPOINT=gopher://h",
		 E "TRACES_ENDPOINT: \"gopher://h\" has an unknown scheme; expected "
		   "http://HOST:PORT or https://HOST:PORT; ignored"},
		{E "METRICS_ENDPOINT=gopher://h",
		 E "METRICS_ENDPOINT: \"gopher://h\" has an unknown scheme; expected "
		   "http://HOST:PORT or https://HOST:PORT; ignored"},
	};
	struct clew_config *c;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		c = otel(ENV(rows[i].var, E "ENDPOINT=http://c:4318"));
		assert_warning(c, rows[i].warning);
		assert_int_equal(c->nr_exporters, 1);
		assert_string_equal(c->exporters[0].target, "http://c:4318/v1/traces");
		assert_int_equal(c->exporters[0].nr_headers, 0);
		assert_int_equal(c->exporters[0].timeout_ms, 10000);
		assert_null(c->exporters[0].client_key);
		clew_config__free(c);
	}
	c = otel(ENV(E "ENDPOINT=http://c", E "TIMEOUT=5", E "TRACES_TIMEOUT=never"));
	assert_int_equal(c->exporters[0].timeout_ms, 5);
	clew_config__free(c);
	c = otel(ENV(E "ENDPOINT=h:99999"));
	assert_int_equal(c->nr_exporters, 1);
	assert_int_equal(c->exporters[0].kind, CLEW_EXPORT_OTLP_HTTP); /* the default endpoint */
	assert_string_equal(c->exporters[0].target, "http://localhost:4318/v1/traces");
	clew_config__free(c);
	c = otel(ENV(E "ENDPOINT=c:4318"));
	assert_int_equal(c->exporters[0].kind, CLEW_EXPORT_CONSOLE);
	assert_int_equal(c->warnings.n, 1);
	clew_config__free(c);
}

static void test_empty_and_unknown(void **state)
{
	struct clew_config *c =
		load_ok("service_name: file\n",
			ENV("OTEL_SERVICE_NAME=", E "ENDPOINT=", E "HEADERS=",
			    "OTEL_TRACES_EXPORTER=", "OTEL_TRACES_SAMPLER=", "OTEL_SDK_DISABLED=",
			    "OTEL_LOG_LEVEL=", "OTEL_RESOURCE_ATTRIBUTES=", "OTEL_PROPAGATORS=b3",
			    "OTEL_LOGS_EXPORTER=otlp", "OTEL_SPAN_EVENT_COUNT_LIMIT=x"),
			NULL);

	(void)state;
	assert_warning(c, NULL);
	assert_string_equal(c->service_name, "file");
	assert_true(c->enabled);
	assert_int_equal(c->nr_exporters, 1);
	assert_int_equal(c->exporters[0].kind, CLEW_EXPORT_CONSOLE);
	clew_config__free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoint),	  cmocka_unit_test(test_settings),
		cmocka_unit_test(test_signals),		  cmocka_unit_test(test_whose_headers),
		cmocka_unit_test(test_traces_exporter),	  cmocka_unit_test(test_resource),
		cmocka_unit_test(test_sampler),		  cmocka_unit_test(test_bsp),
		cmocka_unit_test(test_switches),	  cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_empty_and_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
