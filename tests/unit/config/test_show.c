/* SPDX-License-Identifier: Apache-2.0 */
/* `config show`: secrets, sources, reading back; and docs/configuration.md against the table. */
#include "config_test.h"

static const char yaml[] =
	"service_name: \"a \\\"b\\\" \\\\ \\u00e9\"\notlp_endpoint: http://user:hunter2@c:4318\n"
	"sample_rate: 0.1\nexcluded_paths: [/h, \"x, y\"]\nselect: {ports: [80]}\n"
	"exporters:\n  - type: otlp\n    endpoint: https://u:hunter3@d/x\n"
	"    headers: {authorization: Bearer hunter4, x-k: hunter5}\n";

static void assert_no_secret(const char *text)
{
	if (strstr(text, "hunter") || strstr(text, "Bearer"))
		fail_msg("a secret is shown: %s", text);
	assert_non_null(strstr(text, "\"authorization\": \"***\""));
	assert_non_null(strstr(text, "\"x-k\": \"***\""));
	assert_non_null(strstr(text, "\"http://***@c:4318\""));
	assert_non_null(strstr(text, "\"https://***@d/x\""));
}

static void test_secrets(void **state)
{
	struct clew_config *c =
		load_ok(yaml,
			ENV("OTEL_EXPORTER_OTLP_ENDPOINT=http://u:hunter6@e",
			    "OTEL_EXPORTER_OTLP_HEADERS=k=hunter7",
			    "OTEL_EXPORTER_OTLP_METRICS_HEADERS=k=hunter8",
			    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://u:hunter9@f"),
			NULL);
	char *text = show_text(c, false), *json = show_text(c, true);

	(void)state;
	assert_string_equal(c->exporters[0].headers[0].value, "Bearer hunter4");
	assert_no_secret(text);
	assert_no_secret(json);
	assert_non_null(strstr(json, "\"metrics\": {\"type\": \"otlp-http\", \"endpoint\": "
				     "\"http://***@f\""));
	assert_non_null(strstr(text, "metrics go to \"http://***@f\""));
	free(text);
	free(json);
	clew_config__free(c);
}

/* Secrets do not leak through messages either. */
static void test_secrets_in_errors(void **state)
{
	static const char *const rows[][2] = {
		{"exporters: [{type: otlp, headers: \"a=hunter%zz\"}]\n", NULL},
		{"exporters: [{type: otlp, headers: {a: \"hunter\\nx\"}}]\n", NULL},
		{"otlp_endpoint: http://u:hunter@h:x\n", NULL},
		{"exporters: [{type: otlp-http, endpoint: \"u:hunter@h:1\"}]\n", NULL},
		{NULL, "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://u:hunter@h"},
		{NULL, "OTEL_EXPORTER_OTLP_HEADERS=hunter"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct loaded l = load_all("config show", rows[i][0], ENV(rows[i][1]),
					   ARGS("--export", "otlp-http=http://h"));

		assert_null(strstr(l.line, "hunter"));
		if (rows[i][0])
			assert_int_equal(l.err, -EINVAL);
		else
			assert_int_equal(l.cfg->warnings.n, 1);
		if (l.cfg)
			assert_null(strstr(l.cfg->warnings.v[0], "hunter"));
		clew_config__free(l.cfg);
	}
}

static void test_sources(void **state)
{
	struct clew_config *c = load_ok("service_name: a\ncapture: {layer: rawtp}\n",
					ENV("CLEW_RETENTION_DAYS=3", "OTEL_LOG_LEVEL=warn"),
					ARGS("--port", "80", "--", "a b", "c"));
	char *text = show_text(c, false), *json = show_text(c, true);

	(void)state;
	assert_non_null(strstr(text, "\nservice_name: \"a\" # file\n"));
	assert_non_null(strstr(text, "\n  layer: \"rawtp\" # file\n"));
	assert_non_null(strstr(text, "\nretention_days: 3 # CLEW_*\n"));
	assert_non_null(strstr(text, "\nlog_level: \"warn\" # OTEL_*\n"));
	assert_non_null(strstr(text, "\n  ports: [80] # flag\n"));
	assert_non_null(strstr(text, "\nsample_rate: 1 # default\n"));
	assert_non_null(strstr(text, "\n# command: [\"a b\", \"c\"]\n"));
	assert_non_null(strstr(json, "\"capture.layer\": \"file\""));
	assert_non_null(strstr(json, "\"command\": [\"a b\", \"c\"]"));
	free(text);
	free(json);
	clew_config__free(c);
}

/* What is shown as YAML reads back as the same configuration. */
static void test_reads_back(void **state)
{
	struct clew_config *c = load_ok("service_name: \"a \\\"b\\\" \\\\ \\u00e9: # x\"\n"
					"sample_rate: 0.3333333333333333\nselect: {pids: [1, 2]}\n"
					"capture: {ring_bytes: 1MiB}\ncorrelate: {links: exact}\n"
					"exporters:\n  - {type: otlp, endpoint: 'http://c:4318'}\n"
					"  - {type: otlp, endpoint: 'c:1', insecure: true}\n"
					"  - {type: file, path: 'a b'}\n  - {type: console}\n",
					NULL, NULL);
	char *first = show_text(c, false), *json = show_text(c, true), *json2;
	struct clew_config *again = load_ok(first, NULL, NULL);

	(void)state;
	json2 = show_text(again, true);
	assert_string_equal(again->service_name, "a \"b\" \\ \xc3\xa9: # x");
	assert_true(again->sample_rate == 0.3333333333333333);
	*strstr(json, "\"origins\"") = '\0';
	*strstr(json2, "\"origins\"") = '\0';
	assert_string_equal(json, json2);
	free(first);
	free(json);
	free(json2);
	clew_config__free(c);
	clew_config__free(again);
}

/* Not every file name is UTF-8; what is printed always is. */
static void test_not_utf8(void **state)
{
	struct clew_config *c = load_ok(NULL, NULL, ARGS("--ledger", "/a\xff", "--", "\x01\"\xc3"));
	char *json = show_text(c, true);

	(void)state;
	assert_string_equal(c->ledger_path, "/a\xff");
	assert_non_null(strstr(json, "\"ledger_path\": \"/a\xef\xbf\xbd\""));
	assert_non_null(strstr(json, "\"command\": [\"\\u0001\\\"\xef\xbf\xbd\"]"));
	free(json);
	clew_config__free(c);
}

/* ---- the document ---- */

static char *read_docs(void)
{
	char path[512], *text = calloc(1, 1 << 17);
	FILE *f;

	/* Beside this file, wherever the tests were started: __FILE__ is as the compiler got it. */
	snprintf(path, sizeof(path), "%.*s../../../docs/configuration.md",
		 (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__);
	f = fopen(path, "r");
	if (!f || !text)
		fail_msg("%s cannot be read", path);
	assert_true(fread(text, 1, (1 << 17) - 1, f) > 0);
	fclose(f);
	return text;
}

static void doc_range(const struct config_key *k, char *buf, size_t n)
{
	size_t used = 0;

	buf[0] = '\0';
	if (k->type == CONFIG_CHOICE) {
		for (const struct config_choice *c = k->choices; c->name; c++)
			if (!c->alias)
				used += (size_t)snprintf(buf + used, n - used, "%s`%s`",
							 used ? ", " : "", c->name);
	} else if (k->max) {
		used = (size_t)snprintf(buf, n, "%llu .. %llu%s", (unsigned long long)k->min,
					(unsigned long long)k->max,
					k->flags & CONFIG_POW2 ? ", a power of two" : "");
	}
	if (k->unit)
		snprintf(buf + used, n - used, "%s%s", used ? " " : "", k->unit);
}

/* The line that documents a key, as the table has it. */
static void doc_line(const struct config_key *k, char *buf, size_t n)
{
	static const char *const types[] = {
		[CONFIG_BOOL] = "boolean",
		[CONFIG_U32] = "whole number",
		[CONFIG_BYTES] = "bytes",
		[CONFIG_DOUBLE] = "number",
		[CONFIG_CHOICE] = "word",
		[CONFIG_STRING] = "text",
		[CONFIG_STRV] = "list of texts",
		[CONFIG_PIDS] = "list of whole numbers",
		[CONFIG_PORTS] = "list of whole numbers",
		[CONFIG_HEADERS] = "map",
	};
	char range[192], var[96], unset[64] = "unset", where[192] = "";

	doc_range(k, range, sizeof(range));
	if (k->unset)
		snprintf(unset, sizeof(unset), "`%s`", k->unset);
	if (k->section != CONFIG_EXPORTERS)
		snprintf(where, sizeof(where), " `%s` | %s%s%s |",
			 config_key__env(k, var, sizeof(var)), k->flag ? "`--" : "",
			 k->flag ? k->flag : "", k->flag ? "`" : "");
	snprintf(buf, n, "\n| `%s` | %s | %s | %s |%s %s |\n", k->name, types[k->type], range,
		 unset, where, k->help);
}

static void test_docs_name_every_key(void **state)
{
	char *docs = read_docs(), line[1024], heading[64];

	(void)state;
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		const struct config_key *k = &config_keys[i];
		const char *section, *end, *row;

		snprintf(heading, sizeof(heading), "\n## %s\n",
			 k->section == CONFIG_TOP ? "Top level" : config_section_names[k->section]);
		section = strstr(docs, heading);
		if (!section)
			fail_msg("docs have no heading %s", heading);
		end = strstr(section + 1, "\n## ");
		doc_line(k, line, sizeof(line));
		row = strstr(section, line);
		if (!row || (end && row > end))
			fail_msg("docs/configuration.md lacks, below %s:%s", heading, line);
	}
	free(docs);
}

static void test_docs_name_the_rest(void **state)
{
	static const char *const names[] = {
		"`--config FILE`",
		"`--export KIND[=TARGET]`",
		"`--verbose`",
		"`-- COMMAND ARGS...`",
		"`file=PATH`",
		"`otlp-grpc=URL`",
		"`otlp-http=URL`",
		"`otlp-json=URL`",
		"`OTEL_SDK_DISABLED`",
		"`OTEL_SERVICE_NAME`",
		"`OTEL_RESOURCE_ATTRIBUTES`",
		"`OTEL_LOG_LEVEL`",
		"`OTEL_TRACES_SAMPLER`",
		"`OTEL_TRACES_SAMPLER_ARG`",
		"`OTEL_TRACES_EXPORTER`",
		"`OTEL_METRICS_EXPORTER`",
		"`OTEL_METRIC_EXPORT_INTERVAL`",
		"`OTEL_BSP_SCHEDULE_DELAY`",
		"`OTEL_BSP_EXPORT_TIMEOUT`",
		"`OTEL_BSP_MAX_QUEUE_SIZE`",
		"`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`",
		"`OTEL_EXPORTER_OTLP_ENDPOINT`",
		"`OTEL_EXPORTER_OTLP_PROTOCOL`",
		"`OTEL_EXPORTER_OTLP_HEADERS`",
		"`OTEL_EXPORTER_OTLP_COMPRESSION`",
		"`OTEL_EXPORTER_OTLP_TIMEOUT`",
		"`OTEL_EXPORTER_OTLP_INSECURE`",
		"`OTEL_EXPORTER_OTLP_CERTIFICATE`",
		"`OTEL_EXPORTER_OTLP_CLIENT_KEY`",
		"`OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`",
	};
	char *docs = read_docs();

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strstr(docs, names[i]))
			fail_msg("docs/configuration.md lacks %s", names[i]);
	free(docs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* first: the loads leave the working directory */
		cmocka_unit_test(test_docs_name_every_key),
		cmocka_unit_test(test_docs_name_the_rest),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_secrets_in_errors),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_reads_back),
		cmocka_unit_test(test_not_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
