/* SPDX-License-Identifier: Apache-2.0 */
/* CLEW_* variables, flags, and which source wins. */
#include "config_test.h"

/* A value that is right for the row and differs from its default. */
static const char *other_value(const struct config_key *k, char *buf, size_t n)
{
	switch (k->type) {
	case CONFIG_BOOL:
		return !strcmp(k->unset, "true") ? "false" : "true";
	case CONFIG_DOUBLE:
		return "0.5";
	case CONFIG_CHOICE:
		return k->choices[1].name;
	case CONFIG_U32:
	case CONFIG_BYTES:
		snprintf(buf, n, "%llu", (unsigned long long)k->max);
		return buf;
	case CONFIG_STRING:
		return k->flags & CONFIG_ATTRS ? "a=b" : k->flags & CONFIG_URL ? "http://h:1" : "x";
	case CONFIG_STRV:
		return "a, b";
	default:
		return "7, 8";
	}
}

/* Every key but those of exporters: by its own name, and by the guide's section where it has it. */
static void test_every_key(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		const struct config_key *k = &config_keys[i];
		char name[128], buf[64], var[256], alias[300], *shown[3];
		struct clew_config *c = load_ok(NULL, NULL, NULL);

		if (k->section == CONFIG_EXPORTERS) {
			assert_string_equal(config_key__env(k, name, sizeof(name)), "");
			clew_config__free(c);
			continue;
		}
		shown[0] = show_text(c, false);
		clew_config__free(c);
		snprintf(var, sizeof(var), "%s=%s", config_key__env(k, name, sizeof(name)),
			 other_value(k, buf, sizeof(buf)));
		c = load_ok(NULL, ENV(var), NULL);
		assert_int_equal(c->origins[i], CONFIG_FROM_ENV);
		shown[1] = show_text(c, false);
		assert_string_not_equal(shown[0], shown[1]);
		clew_config__free(c);
		snprintf(alias, sizeof(alias), "CLEW_DISTRIBUTED_TRACING__%s", var + 5);
		if (k->flags & CONFIG_SEED) {
			c = load_ok(NULL, ENV(alias), NULL);
			shown[2] = show_text(c, false);
			assert_string_equal(shown[1], shown[2]);
			free(shown[2]);
			clew_config__free(c);
		} else {
			assert_int_equal(load_all("config show", NULL, ENV(alias), NULL).err,
					 -EINVAL);
		}
		free(shown[0]);
		free(shown[1]);
	}
}

static void test_names(void **state)
{
	struct clew_config *c =
		load_ok(NULL,
			ENV("CLEW_SELECT__PORTS=80, 443,", "CLEW_CAPTURE__LAYER=rawtp",
			    "CLEW_DISTRIBUTED_TRACING__SAMPLE_RATE=0.1",
			    "CLEW_SERVICE_NAME=", "CLEWX=1", "PATH=/", "BROKEN"),
			NULL);

	(void)state;
	assert_int_equal(c->select.nr_ports, 2);
	assert_int_equal(c->select.ports[1], 443);
	assert_int_equal(c->capture.layer, CLEW_LAYER_RAWTP);
	assert_true(c->sample_rate == 0.1);
	assert_null(c->service_name); /* empty is unset */
	clew_config__free(c);
}

#define UNKNOWN                                                                                    \
	": unknown variable; expected CLEW_KEY or CLEW_SECTION__KEY of a key in "                  \
	"docs/configuration.md"

static void test_refused(void **state)
{
	static const char *const unknown[] = {
		"CLEW_SAMPLE_RATES",  "CLEW_",
		"CLEW_CAPTURE",	      "CLEW_CAPTURE__",
		"CLEW_CAPTURE_LAYER", "CLEW_CAPTURE__LAYER__X",
		"CLEW_sample_rate",   "CLEW___SAMPLE_RATE",
		"CLEW_LISTEN",	      "CLEW_NOSUCH__SAMPLE_RATE",
		"CLEW_SUPPORT",	      "CLEW_PORT_NUMBER",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		char var[128], line[256];

		snprintf(var, sizeof(var), "%s=1", unknown[i]);
		snprintf(line, sizeof(line), "%s" UNKNOWN, unknown[i]);
		load_bad(NULL, ENV(var), NULL, line);
	}
	load_bad(NULL, ENV("CLEW_SAMPLE_RATE=2"), NULL,
		 "CLEW_SAMPLE_RATE: \"2\" is out of range; expected a number from 0 to 1");
	load_bad(NULL, ENV("CLEW_SELECT__PORTS=80,x"), NULL,
		 "CLEW_SELECT__PORTS: \"x\" is not a whole number; expected one from 1 to 65535");
	load_bad(
		NULL, ENV("CLEW_SAMPLE_RATE=1", "CLEW_DISTRIBUTED_TRACING__SAMPLE_RATE=1"), NULL,
		"CLEW_DISTRIBUTED_TRACING__SAMPLE_RATE: the same key as CLEW_SAMPLE_RATE; expected "
		"one of them");
	load_bad(NULL, ENV("CLEW_EXPORTERS__TYPE=x"), NULL,
		 "CLEW_EXPORTERS__TYPE: exporters have no variables; expected CLEW_OTLP_ENDPOINT, "
		 "OTEL_* variables, --export or the file");
}

/* What Kubernetes adds for Services called clew, clew-api ... is no setting. */
static void test_service_links(void **state)
{
	struct clew_config *c = load_ok(
		NULL,
		ENV("CLEW_SERVICE_HOST=10.0.0.1", "CLEW_SERVICE_PORT=4317",
		    "CLEW_SERVICE_PORT_OTLP_GRPC=4317", "CLEW_PORT=tcp://10.0.0.1:4317",
		    "CLEW_PORT_4317_TCP=tcp://10.0.0.1:4317", "CLEW_PORT_4317_TCP_PROTO=tcp",
		    "CLEW_PORT_4317_TCP_PORT=4317", "CLEW_PORT_4317_TCP_ADDR=10.0.0.1",
		    "CLEW_API_SERVICE_HOST=10.0.0.1", "CLEW_API_PORT_53_UDP_ADDR=10.0.0.1"),
		NULL);

	(void)state;
	assert_warning(c, NULL);
	clew_config__free(c);
	load_bad(NULL, ENV("CLEW_PORT=80"), NULL, "CLEW_PORT" UNKNOWN);
}

static void test_precedence(void **state)
{
	static const char yaml[] =
		"log_level: error\nservice_name: file\nsample_rate: 0.1\n"
		"excluded_paths: [/file]\nselect: {pids: [1], exclude_exes: [e]}\n"
		"correlate: {window_ms: 7}\n";
	struct clew_config *c = load_ok(yaml, NULL, NULL);

	(void)state;
	assert_int_equal(c->log_level, CLEW_LOG_ERROR);
	clew_config__free(c);
	c = load_ok(yaml,
		    ENV("CLEW_LOG_LEVEL=warn", "CLEW_SERVICE_NAME=env", "CLEW_SAMPLE_RATE=0.2",
			"CLEW_EXCLUDED_PATHS=/env,/two"),
		    NULL);
	assert_int_equal(c->log_level, CLEW_LOG_WARN);
	assert_string_equal(c->service_name, "env");
	assert_int_equal(c->excluded_paths.n, 2); /* a list is replaced, not added to */
	clew_config__free(c);
	c = load_ok(yaml,
		    ENV("OTEL_LOG_LEVEL=info", "CLEW_LOG_LEVEL=warn", "OTEL_SERVICE_NAME=otel",
			"CLEW_SERVICE_NAME=env", "OTEL_TRACES_SAMPLER=always_off",
			"CLEW_SAMPLE_RATE=0.2"),
		    NULL);
	assert_int_equal(c->log_level, CLEW_LOG_INFO);
	assert_string_equal(c->service_name, "otel");
	assert_true(c->sample_rate == 0);
	clew_config__free(c);
	c = load_ok(yaml, ENV("OTEL_LOG_LEVEL=info", "CLEW_LOG_LEVEL=warn"),
		    ARGS("--log-level", "debug", "--exclude-path", "/a", "--exclude-path=/b,c",
			 "--port", "80", "--exclude-exe", "f"));
	assert_int_equal(c->log_level, CLEW_LOG_DEBUG);
	assert_int_equal(c->excluded_paths.n, 2);
	assert_string_equal(c->excluded_paths.v[1], "/b,c"); /* a flag is one value */
	/* Selectors of the command line replace those of the file ... */
	assert_int_equal(c->select.nr_pids, 0);
	assert_int_equal(c->select.nr_ports, 1);
	assert_string_equal(c->select.exclude_exes.v[0], "f");
	assert_int_equal(c->correlate.window_ms, 7);
	assert_int_equal(
		c->origins[config_key__index(config_key__find(CONFIG_TOP, "sample_rate", 11))],
		CONFIG_FROM_FILE);
	clew_config__free(c);
	/* ... and so does a command; other flags leave them. */
	c = load_ok(yaml, NULL, ARGS("--", "sleep", "--pid"));
	assert_int_equal(c->select.nr_pids, 0);
	assert_string_equal(c->command[0], "sleep");
	assert_string_equal(c->command[1], "--pid");
	assert_null(c->command[2]);
	clew_config__free(c);
	c = load_ok(yaml, NULL, ARGS("-v"));
	assert_int_equal(c->select.nr_pids, 1);
	assert_int_equal(c->log_level, CLEW_LOG_DEBUG);
	clew_config__free(c);
}

static void test_flags(void **state)
{
	struct loaded l =
		load_all("run", NULL, NULL,
			 ARGS("--pid", "1", "--pid=2", "--port", "80", "--exe", "/bin/*",
			      "--cgroup", "/c", "--container", "abc", "--all", "--exclude-exe", "x",
			      "--exclude-path", "/h", "--ledger", "l.json", "--capture-layer",
			      "fentry", "--record", "r.clew", "--export", "console"));
	struct clew_config *c = l.cfg;

	(void)state;
	assert_int_equal(l.err, 0);
	assert_int_equal(c->select.nr_pids, 2);
	assert_int_equal(c->select.pids[1], 2);
	assert_int_equal(c->select.ports[0], 80);
	assert_string_equal(c->select.exes.v[0], "/bin/*");
	assert_string_equal(c->select.cgroups.v[0], "/c");
	assert_string_equal(c->select.containers.v[0], "abc");
	assert_true(c->select.all);
	assert_string_equal(c->select.exclude_exes.v[0], "x");
	assert_string_equal(c->excluded_paths.v[0], "/h");
	assert_string_equal(c->ledger_path, "l.json");
	assert_string_equal(c->record_path, "r.clew");
	assert_int_equal(c->capture.layer, CLEW_LAYER_FENTRY);
	clew_config__free(c);
}

static void flags_bad(const char *command, const char *const *args, const char *line)
{
	struct loaded l = load_all(command, NULL, NULL, args);

	assert_int_equal(l.err, -EINVAL);
	assert_string_equal(l.line, line);
}

#define SELECT                                                                                     \
	": no process is selected; expected at least one of --pid N, --port N, --exe GLOB, "       \
	"--cgroup PATH, --container ID, --all, or -- COMMAND"

static void test_flags_refused(void **state)
{
	(void)state;
	flags_bad("run", NULL, "run" SELECT);
	flags_bad("record", ARGS("-o", "x", "--exclude-exe", "y"), "record" SELECT);
	flags_bad("record", ARGS("--all"), "record: the file is missing; expected -o FILE");
	flags_bad("run", ARGS("--all", "-o", "x"), "-o: not a flag of run; expected --record FILE");
	flags_bad("run", ARGS("--all", "--listen", "127.0.0.1:1"),
		  "--listen: not supported yet; expected no such flag (this version has no API and "
		  "no page)");
	flags_bad("run", ARGS("--bogus"), "--bogus: unknown flag; expected one that --help lists");
	flags_bad("run", ARGS("-x"), "-x: unknown flag; expected one that --help lists");
	flags_bad("run", ARGS("--pid"), "--pid: the value is missing; expected one");
	flags_bad("run", ARGS("--all=yes"), "--all=yes: takes no value; expected the flag alone");
	flags_bad("run", ARGS("--pid", "0"), "--pid: \"0\" is out of range; expected 1 to 4194304");
	flags_bad("run", ARGS("--port", "http"),
		  "--port: \"http\" is not a whole number; expected one from 1 to 65535");
	flags_bad("run", ARGS("--exe", ""),
		  "--exe: \"\" is empty; expected a list of at most 1024 texts");
	flags_bad("run", ARGS("--capture-layer", "magic"),
		  "--capture-layer: \"magic\" is unknown; expected one of auto, fentry, kprobe, "
		  "rawtp");
	flags_bad("run", ARGS("--all", "word"),
		  "\"word\": unexpected word; expected flags, or -- before a command");
	flags_bad("run", ARGS("--"), "--: nothing follows; expected a command to run");
	flags_bad("run", ARGS("--config", "a", "--config", "b"),
		  "--config: given twice; expected one file");
	flags_bad("replay", ARGS("a", "b"), "\"b\": one word too many; expected one file");
	flags_bad("replay", ARGS("a", "--pid", "1"),
		  "--pid: not a flag of replay; expected outputs only");
	flags_bad("replay", ARGS("a", "--", "b"), "--: not a flag of replay; expected no command");
}

static void test_commands(void **state)
{
	struct loaded l = load_all("replay", NULL, NULL, ARGS("a.clew", "--export", "file=x"));

	(void)state;
	assert_int_equal(l.err, 0);
	assert_string_equal(l.cfg->replay_path, "a.clew");
	clew_config__free(l.cfg);
	/* The command may have taken the file already. */
	l = load_all("replay", NULL, NULL, NULL);
	assert_int_equal(l.err, 0);
	assert_null(l.cfg->replay_path);
	clew_config__free(l.cfg);
	l = load_all("record", NULL, NULL, ARGS("--all", "--no-listen", "-o", "b.clew"));
	assert_int_equal(l.err, 0);
	assert_string_equal(l.cfg->record_path, "b.clew");
	assert_int_equal(l.cfg->nr_exporters, 0); /* it records, it makes no spans */
	clew_config__free(l.cfg);
	/* A selection may come from any source. */
	l = load_all("run", NULL, ENV("CLEW_SELECT__ALL=true"), NULL);
	assert_int_equal(l.err, 0);
	clew_config__free(l.cfg);
	l = load_all("run", NULL, NULL, ARGS("--", "true"));
	assert_int_equal(l.err, 0);
	clew_config__free(l.cfg);
}

/* Every flag of the table is in the usage text, and --help wins over what is missing. */
static void test_usage(void **state)
{
	char *text = NULL, flag[64];
	size_t n;
	FILE *out = open_memstream(&text, &n);
	struct loaded l;

	(void)state;
	config_flags__usage("run", out);
	fclose(out);
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		if (!config_keys[i].flag)
			continue;
		snprintf(flag, sizeof(flag), "  --%s ", config_keys[i].flag);
		if (!strstr(text, flag))
			fail_msg("usage does not name %s", flag);
	}
	free(text);
	l = load_all("run", NULL, ENV("CLEW_BOGUS=1"), ARGS("--help"));
	assert_int_equal(l.err, 1);
	assert_string_equal(l.line, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key),     cmocka_unit_test(test_names),
		cmocka_unit_test(test_refused),	      cmocka_unit_test(test_service_links),
		cmocka_unit_test(test_precedence),    cmocka_unit_test(test_flags),
		cmocka_unit_test(test_flags_refused), cmocka_unit_test(test_commands),
		cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
