/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML file: what is read, and the exact line of every refusal. */
#include <time.h>

#include "config_test.h"

static void test_defaults(void **state)
{
	struct clew_config *c = load_ok(NULL, NULL, NULL);

	(void)state;
	assert_true(c->enabled);
	assert_null(c->service_name);
	assert_null(c->otlp_endpoint);
	assert_true(c->sample_rate == 1.0);
	assert_true(c->sample_parent);
	assert_int_equal(c->max_memory_traces, 1000);
	assert_int_equal(c->retention_days, 30);
	assert_int_equal(c->log_level, CLEW_LOG_INFO);
	assert_int_equal(c->capture.layer, CLEW_LAYER_AUTO);
	assert_int_equal(c->capture.ring_bytes, 16 << 20);
	assert_int_equal(c->capture.max_connections, 65536);
	assert_int_equal(c->capture.max_processes, 16384);
	assert_int_equal(c->capture.request_bytes, 4096);
	assert_int_equal(c->capture.response_bytes, 1024);
	assert_int_equal(c->correlate.window_ms, 2000);
	assert_int_equal(c->correlate.window_bytes, 64 << 20);
	assert_int_equal(c->correlate.max_open_exchanges, 100000);
	assert_false(c->correlate.exact_only);
	assert_true(c->telemetry.url_query);
	assert_int_equal(c->telemetry.metrics_interval_ms, 60000);
	assert_int_equal(c->nr_exporters, 1);
	assert_int_equal(c->exporters[0].kind, CLEW_EXPORT_CONSOLE);
	assert_int_equal(c->exporters[0].processor, CLEW_PROCESSOR_SIMPLE);
	assert_int_equal(c->exporters[0].max_queue_size, 65536);
	clew_config__free(c);
	clew_config__free(NULL);
}

static void assert_seed(struct clew_config *c)
{
	assert_false(c->enabled);
	assert_string_equal(c->service_name, "shop");
	assert_string_equal(c->otlp_endpoint, "http://localhost:4317");
	assert_true(c->sample_rate == 0.1);
	assert_int_equal(c->max_memory_traces, 5);
	assert_string_equal(c->archive_path, "data/traces");
	assert_int_equal(c->retention_days, 90);
	assert_int_equal(c->excluded_paths.n, 2);
	assert_string_equal(c->excluded_paths.v[1], "/metrics");
	assert_int_equal(c->log_level, CLEW_LOG_DEBUG);
	assert_int_equal(c->nr_exporters, 1);
	assert_int_equal(c->exporters[0].kind, CLEW_EXPORT_OTLP_GRPC);
	assert_string_equal(c->exporters[0].target, "http://localhost:4317");
	assert_true(c->exporters[0].insecure);
	clew_config__free(c);
}

static void test_seed_keys(void **state)
{
	(void)state;
	assert_seed(load_ok("enabled: false\nservice_name: \"shop\"\n"
			    "otlp_endpoint: \"http://localhost:4317\"\nsample_rate: 0.1 # 10%\n"
			    "max_memory_traces: 5\narchive_path: \"data/traces\"\n"
			    "retention_days: 90\nexcluded_paths: [\"/health\", \"/metrics\"]\n"
			    "log_level: \"DEBUG\"\n",
			    NULL, NULL));
	assert_seed(
		load_ok("distributed_tracing:\n  enabled: false\n\n  service_name: shop\n"
			"  otlp_endpoint: http://localhost:4317\n  sample_rate: 0.1\n"
			"  max_memory_traces: 5\n  archive_path: data/traces\n"
			"  retention_days: 90\n  excluded_paths:\n    - /health\n    - /metrics\n"
			"  log_level: debug\n",
			NULL, NULL));
}

static void test_sections(void **state)
{
	struct clew_config *c =
		load_ok("select:\n  pids: [1, 4194304]\n  ports: [1, 65535]\n  exes: /usr/bin/*\n"
			"  cgroups: [a]\n  containers: [b, c]\n  all: true\n  exclude_exes: [d]\n"
			"capture: {layer: kprobe, ring_bytes: 64 KiB, request_bytes: 65536}\n"
			"correlate:\n  links: exact\n  window_ms: 600000\n"
			"telemetry: {url_query: False, metrics_interval_ms: 0}\n",
			NULL, NULL);

	(void)state;
	assert_int_equal(c->select.nr_pids, 2);
	assert_int_equal(c->select.pids[1], 4194304);
	assert_int_equal(c->select.nr_ports, 2);
	assert_int_equal(c->select.ports[0], 1);
	assert_int_equal(c->select.ports[1], 65535);
	assert_int_equal(c->select.exes.n, 1);
	assert_int_equal(c->select.cgroups.n, 1);
	assert_int_equal(c->select.containers.n, 2);
	assert_true(c->select.all);
	assert_string_equal(c->select.exclude_exes.v[0], "d");
	assert_int_equal(c->capture.layer, CLEW_LAYER_KPROBE);
	assert_int_equal(c->capture.ring_bytes, 65536);
	assert_int_equal(c->capture.request_bytes, 65536);
	assert_true(c->correlate.exact_only);
	assert_false(c->telemetry.url_query);
	assert_int_equal(c->telemetry.metrics_interval_ms, 0);
	clew_config__free(c);
}

/* null, ~ and nothing leave a key, a section or the file unset. */
static void test_null(void **state)
{
	static const char *const files[] = {
		"",
		"# nothing\n",
		"---\n",
		"~",
		"sample_rate:\n",
		"sample_rate: ~\nselect:\n",
		"exporters: null\nservice_name: Null\ncapture: {layer: }\ndistributed_tracing:\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct clew_config *c = load_ok(files[i], NULL, NULL);

		assert_true(c->sample_rate == 1.0);
		assert_null(c->service_name);
		assert_int_equal(c->nr_exporters, 1);
		clew_config__free(c);
	}
	/* In quotes it is a name like any other. */
	struct clew_config *c = load_ok("service_name: \"null\"\n", NULL, NULL);

	assert_string_equal(c->service_name, "null");
	clew_config__free(c);
}

#define TOP_KEYS                                                                                   \
	"enabled, service_name, otlp_endpoint, sample_rate, max_memory_traces, archive_path, "     \
	"retention_days, excluded_paths, log_level"

static const struct {
	const char *yaml, *line;
} refused[] = {
	/* unknown keys */
	{"enabled: true\n\nsample_rat: 1\n",
	 "t.yaml:3: sample_rat: unknown key; expected one of " TOP_KEYS
	 ", sample_parent, resource_attributes, ledger_path, record_path, select, capture, "
	 "correlate, telemetry, exporters"},
	{"distributed_tracing:\n  ledger_path: x\n",
	 "t.yaml:2: distributed_tracing.ledger_path: unknown key; expected one of " TOP_KEYS},
	{"capture:\n  layer: auto\n  ring: 1\n",
	 "t.yaml:3: capture.ring: unknown key; expected one of layer, ring_bytes, "
	 "max_connections, max_processes, request_bytes, response_bytes, overhead_limit"},
	{"<<: {a: b}\n", NULL},
	/* wrong types */
	{"enabled: yes\n", "t.yaml:1: enabled: \"yes\" is not a boolean; expected true or false"},
	{"enabled: 1\n", "t.yaml:1: enabled: \"1\" is not a boolean; expected true or false"},
	{"enabled: \"true\"\n",
	 "t.yaml:1: enabled: \"true\" is quoted text; expected true or false"},
	{"\nsample_rate: lots\n",
	 "t.yaml:2: sample_rate: \"lots\" is not a number; expected a number from 0 to 1"},
	{"sample_rate: nan\n",
	 "t.yaml:1: sample_rate: \"nan\" is not a number; expected a number from 0 to 1"},
	{"sample_rate: 0x1p-1\n",
	 "t.yaml:1: sample_rate: \"0x1p-1\" is not a number; expected a number from 0 to 1"},
	{"sample_rate: '0.5'\n",
	 "t.yaml:1: sample_rate: \"0.5\" is quoted text; expected a number from 0 to 1"},
	{"sample_rate: [1]\n", "t.yaml:1: sample_rate: is a list; expected a number from 0 to 1"},
	{"service_name: {a: b}\n",
	 "t.yaml:1: service_name: is a map; expected text of 1 to 4096 bytes"},
	{"service_name: \"\"\n",
	 "t.yaml:1: service_name: \"\" is empty; expected text of 1 to 4096 bytes"},
	{"service_name: \"a\\nb\"\n", "t.yaml:1: service_name: the text holds a control character; "
				      "expected printable text"},
	{"service_name: \"a\\Lb\"\n", "t.yaml:1: service_name: the text holds a control character; "
				      "expected printable text"},
	{"retention_days: 1.5\n", "t.yaml:1: retention_days: \"1.5\" is not a whole number; "
				  "expected a whole number from 1 to 36500"},
	{"retention_days: -1\n", "t.yaml:1: retention_days: \"-1\" is not a whole number; expected "
				 "a whole number from 1 to 36500"},
	{"log_level: loud\n",
	 "t.yaml:1: log_level: \"loud\" is unknown; expected one of error, warn, info, debug"},
	{"capture: [layer]\n", "t.yaml:1: capture: is a list; expected a map of keys"},
	{"capture: fentry\n", "t.yaml:1: capture: is a value; expected a map of keys"},
	{"select:\n  ports:\n    - 80\n    - http\n",
	 "t.yaml:4: select.ports: \"http\" is not a whole number; expected one from 1 to 65535"},
	{"select:\n  ports: [80, [81]]\n",
	 "t.yaml:2: select.ports: a member is a list; expected a value"},
	{"select:\n  exes: [a, ]\n  pids: [ ~ ]\n",
	 "t.yaml:3: select.pids: a member is empty; expected a value"},
	{"select:\n  pids: ['1']\n",
	 "t.yaml:2: select.pids: \"1\" is quoted text; expected a whole number"},
	{"select:\n  ports: {a: 1}\n", "t.yaml:2: select.ports: is a map; expected a list of at "
				       "most 1024 whole numbers from 1 to 65535"},
	/* bounds, both ends of each */
	{"sample_rate: 1.01\n",
	 "t.yaml:1: sample_rate: \"1.01\" is out of range; expected a number from 0 to 1"},
	{"\nsample_rate:\n\n  2\n", /* the line of the key, wherever its value stands */
	 "t.yaml:2: sample_rate: \"2\" is out of range; expected a number from 0 to 1"},
	{"sample_rate: -0.1\n",
	 "t.yaml:1: sample_rate: \"-0.1\" is out of range; expected a number from 0 to 1"},
	{"retention_days: 0\n", "t.yaml:1: retention_days: \"0\" is out of range; expected a whole "
				"number from 1 to 36500"},
	{"retention_days: 36501\n", "t.yaml:1: retention_days: \"36501\" is out of range; expected "
				    "a whole number from 1 to 36500"},
	{"retention_days: 99999999999999999999\n",
	 "t.yaml:1: retention_days: \"99999999999999999999\" is not a whole number; expected a "
	 "whole number from 1 to 36500"},
	{"select: {ports: [65536]}\n",
	 "t.yaml:1: select.ports: \"65536\" is out of range; expected 1 to 65535"},
	{"select: {ports: 0}\n",
	 "t.yaml:1: select.ports: \"0\" is out of range; expected 1 to 65535"},
	{"select: {pids: [4194305]}\n",
	 "t.yaml:1: select.pids: \"4194305\" is out of range; expected 1 to 4194304"},
	{"capture: {ring_bytes: 100000}\n",
	 "t.yaml:1: capture.ring_bytes: \"100000\" is not a power of two; expected a power of two "
	 "from 65536 to 1073741824, KiB, MiB or GiB allowed"},
	{"capture: {ring_bytes: 32KiB}\n",
	 "t.yaml:1: capture.ring_bytes: \"32KiB\" is out of range; expected a power of two from "
	 "65536 to 1073741824, KiB, MiB or GiB allowed"},
	{"capture: {ring_bytes: 8MB}\n",
	 "t.yaml:1: capture.ring_bytes: \"8MB\" is not a whole number; expected a power of two "
	 "from 65536 to 1073741824, KiB, MiB or GiB allowed"},
	{"capture: {ring_bytes: 99999999999GiB}\n",
	 "t.yaml:1: capture.ring_bytes: \"99999999999GiB\" is out of range; expected a power of "
	 "two from 65536 to 1073741824, KiB, MiB or GiB allowed"},
	{"resource_attributes: novalue\n", "t.yaml:1: resource_attributes: a member has no name; "
					   "expected name=value,name=value"},
	/* duplicates */
	{"enabled: true\nsample_rate: 1\nenabled: true\n",
	 "t.yaml:3: enabled: duplicate key; expected once, first is on line 1"},
	{"sample_rate: 1\ndistributed_tracing:\n  sample_rate: 1\n",
	 "t.yaml:3: distributed_tracing.sample_rate: given twice; expected once, first is on line "
	 "1"},
	/* not the YAML that is read */
	{"- a\n", "t.yaml:1: the file: is a list; expected a map of keys"},
	{"just text\n", "t.yaml:1: the file: is a value; expected a map of keys"},
	{"service_name: &x b\narchive_path: *x\n",
	 "t.yaml:2: aliases are not supported; expected the value itself"},
	{"service_name: !!str a\n", "t.yaml:1: tags are not supported; expected a plain value"},
	{"select: !x {}\n", "t.yaml:1: tags are not supported; expected a plain value"},
	{"? [a]\n: b\n", "t.yaml:1: a key is a list or map; expected a name"},
	{"enabled: true\n---\nenabled: true\n", "t.yaml:2: a second document; expected one"},
	{"service_name: \"a\\0b\"\n", "t.yaml:1: a value holds a NUL character; expected text"},
	{"enabled: true\n\tsample_rate: 1\n", NULL},
	{"a: [1, 2\n", NULL},
	{"a: \"b\n", NULL},
	{"\xff\xfe"
	 "a: b\n",
	 NULL},
	{"a: \x01\n", NULL},
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct loaded l;

		if (refused[i].line) {
			load_bad(refused[i].yaml, NULL, NULL, refused[i].line);
			continue;
		}
		/* libyaml's own words follow: ours are the place and what was expected. */
		l = load_all("config show", refused[i].yaml, NULL, NULL);
		assert_int_equal(l.err, -EINVAL);
		assert_memory_equal(l.line, "t.yaml:", 7);
		assert_non_null(strstr(l.line, "expected"));
		assert_null(strchr(l.line, '\n'));
	}
}

static int parse(const char *bytes, size_t n, char *line, size_t len)
{
	struct config_doc doc;
	int err = config_doc__parse(&doc, "t.yaml", bytes, n, line, len);

	config_doc__free(&doc);
	return err;
}

static void test_depth_bomb(void **state)
{
	static const char *const units[] = {"[", "{a: ", "- ", "? ", "[[{"};
	char line[256];

	(void)state;
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		size_t len = strlen(units[u]), n = 200000;
		char *bytes = malloc(n * len);
		struct timespec a, b;
		double spent;

		assert_non_null(bytes);
		for (size_t i = 0; i < n; i++)
			memcpy(bytes + i * len, units[u], len);
		clock_gettime(CLOCK_MONOTONIC, &a);
		assert_int_equal(parse(bytes, n * len, line, sizeof(line)), -EINVAL);
		clock_gettime(CLOCK_MONOTONIC, &b);
		spent = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
		if (spent >= 1.0)
			fail_msg("%s took %.2f s", units[u], spent);
		free(bytes);
	}
	/* 64 levels are fine, 65 are not. */
	char nest[200];

	memset(nest, '[', 65);
	memset(nest + 65, ']', 65);
	assert_int_equal(parse(nest, 130, line, sizeof(line)), -EINVAL);
	assert_string_equal(line, "t.yaml:1: nested too deeply; expected at most 64 levels");
	memset(nest, '[', 64);
	memset(nest + 64, ']', 64);
	assert_int_equal(parse(nest, 128, line, sizeof(line)), 0);
}

static void test_size_caps(void **state)
{
	size_t n = CONFIG_FILE_MAX;
	char *bytes = malloc(n + 2), line[256];

	(void)state;
	assert_non_null(bytes);
	memset(bytes, '#', n + 2);
	assert_int_equal(parse(bytes, n, line, sizeof(line)), 0);
	assert_int_equal(parse(bytes, n + 1, line, sizeof(line)), -EINVAL);
	assert_string_equal(line, "t.yaml:1: too large; expected at most 1048576 bytes");
	bytes[n + 1] = '\0';
	load_bad(bytes, NULL, NULL, "t.yaml:1: too large; expected at most 1048576 bytes");
	/* many values */
	memset(bytes, '\n', n);
	for (size_t i = 0; i < 9000; i++)
		memcpy(bytes + 4 * i, "- a\n", 4);
	assert_int_equal(parse(bytes, n, line, sizeof(line)), -EINVAL);
	assert_string_equal(line, "t.yaml:8192: too many values; expected at most 8192");
	/* one long value */
	memset(bytes, 'a', 5000);
	assert_int_equal(parse(bytes, 5000, line, sizeof(line)), -EINVAL);
	assert_string_equal(line, "t.yaml:1: a value has 5000 bytes; expected at most 4096");
	/* many keys of one map end in good time: duplicates are looked for */
	size_t used = 0;

	for (size_t i = 0; i < 8000; i++)
		used += (size_t)sprintf(bytes + used, "k%zu: 1\n", i);
	assert_int_equal(parse(bytes, used, line, sizeof(line)), 0);
	free(bytes);
}

static void test_list_cap(void **state)
{
	char *bytes = malloc(16384);
	size_t used = (size_t)sprintf(bytes, "select:\n  pids: [1");

	(void)state;
	for (int i = 1; i < 1024; i++)
		used += (size_t)sprintf(bytes + used, ", 1");
	sprintf(bytes + used, "]\n");
	struct clew_config *c = load_ok(bytes, NULL, NULL);

	assert_int_equal(c->select.nr_pids, 1024);
	clew_config__free(c);
	sprintf(bytes + used, ", 1]\n");
	load_bad(bytes, NULL, NULL,
		 "t.yaml:2: select.pids: too many members; expected at most 1024");
	free(bytes);
}

static void test_unreadable(void **state)
{
	struct loaded l = load_all("run", NULL, NULL, ARGS("--config", "nowhere.yaml", "--all"));

	(void)state;
	assert_int_equal(l.err, -ENOENT);
	assert_string_equal(l.line, "nowhere.yaml: cannot be read: No such file or directory; "
				    "expected a YAML file");
	l = load_all("run", NULL, NULL, ARGS("--config", "/", "--all"));
	assert_int_equal(l.err, -EISDIR);
	l = load_all("run", NULL, NULL, ARGS("--config", "/dev/zero", "--all"));
	assert_int_equal(l.err, -EINVAL);
	assert_string_equal(l.line, "/dev/zero:1: too large; expected at most 1048576 bytes");
}

/* Every number of the table takes both its ends and refuses what is beyond. */
static void test_every_bound(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		const struct config_key *k = &config_keys[i];
		uint64_t good[] = {k->min, k->max}, bad[] = {k->min - 1, k->max + 1};
		char text[64], err[256];
		uint32_t field = 0;
		struct config_key at_zero = *k;

		if (k->type != CONFIG_U32 && k->type != CONFIG_BYTES)
			continue;
		at_zero.offset = 0;
		for (int end = 0; end < 2; end++) {
			snprintf(text, sizeof(text), "%llu", (unsigned long long)good[end]);
			assert_int_equal(
				config_value__set(&at_zero, &field, text, err, sizeof(err)), 0);
			assert_int_equal(field, good[end]);
			snprintf(text, sizeof(text), "%llu", (unsigned long long)bad[end]);
			assert_int_equal(
				config_value__set(&at_zero, &field, text, err, sizeof(err)),
				-EINVAL);
			assert_int_equal(field, good[end]); /* left alone */
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_seed_keys),
		cmocka_unit_test(test_sections),   cmocka_unit_test(test_null),
		cmocka_unit_test(test_refused),	   cmocka_unit_test(test_depth_bomb),
		cmocka_unit_test(test_size_caps),  cmocka_unit_test(test_list_cap),
		cmocka_unit_test(test_unreadable), cmocka_unit_test(test_every_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
