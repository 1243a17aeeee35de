/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - every key that can be set, once.
 *
 * The YAML reader, the CLEW_SECTION__KEY variables, the flags, the defaults, `config show` and
 * the check of docs/configuration.md all walk this array, so a key cannot exist in one of them
 * and be missing in another. A new key is one row here, one field in <clew/config.h> and one
 * line in docs/configuration.md.
 *
 * The keys at the top level are those of the distributed-tracing guide that clew started from,
 * the batch and retry figures those of the OpenTelemetry specification.
 */
#include <ctype.h>
#include <string.h>

#include "config_private.h"

static const struct config_choice log_levels[] = {
	{"error", CLEW_LOG_ERROR, false}, {"warn", CLEW_LOG_WARN, false},
	{"info", CLEW_LOG_INFO, false},	  {"debug", CLEW_LOG_DEBUG, false},
	{"warning", CLEW_LOG_WARN, true}, {NULL, 0, false},
};

static const struct config_choice layers[] = {
	{"auto", CLEW_LAYER_AUTO, false},
	{"fentry", CLEW_LAYER_FENTRY, false},
	{"kprobe", CLEW_LAYER_KPROBE, false},
	{"rawtp", CLEW_LAYER_RAWTP, false},
	{NULL, 0, false},
};

static const struct config_choice links[] = {
	{"all", false, false},
	{"exact", true, false},
	{NULL, 0, false},
};

static const struct config_choice types[] = {
	{"otlp", CONFIG_DRAFT_OTLP, false},
	{"otlp-grpc", CONFIG_DRAFT_OTLP_GRPC, false},
	{"otlp-http", CONFIG_DRAFT_OTLP_HTTP, false},
	{"otlp-json", CONFIG_DRAFT_OTLP_JSON, false},
	{"file", CONFIG_DRAFT_FILE, false},
	{"console", CONFIG_DRAFT_CONSOLE, false},
	{NULL, 0, false},
};

static const struct config_choice protocols[] = {
	{"grpc", CONFIG_PROTO_GRPC, false},
	{"http/protobuf", CONFIG_PROTO_HTTP, false},
	{"http/json", CONFIG_PROTO_JSON, false},
	{NULL, 0, false},
};

static const struct config_choice compressions[] = {
	{"none", CLEW_COMPRESS_NONE, false},
	{"gzip", CLEW_COMPRESS_GZIP, false},
	{NULL, 0, false},
};

static const struct config_choice processors[] = {
	{"batch", CLEW_PROCESSOR_BATCH, false},
	{"simple", CLEW_PROCESSOR_SIMPLE, false},
	{NULL, 0, false},
};

#define FIELD(base, field) .offset = offsetof(base, field), .size = sizeof(((base *)0)->field)
#define CFG(field)	   FIELD(struct clew_config, field)
#define DRAFT(field)	   FIELD(struct config_draft, field)
#define KIB		   1024u
#define MIB		   (1024u * KIB)
#define GIB		   (1024u * MIB)
#define DAY_MS		   86400000u

/* clang-format off */
const struct config_key config_keys[] = {
	/* The top level; rows with CONFIG_SEED also under `distributed_tracing:`. */
	{CONFIG_TOP, "enabled", CONFIG_BOOL, CFG(enabled), .unset = "true", .flags = CONFIG_SEED,
	 .help = "false: clew starts, says so and traces nothing"},
	{CONFIG_TOP, "service_name", CONFIG_STRING, CFG(service_name), .flags = CONFIG_SEED,
	 .help = "one service.name for every process; unset: found out per process"},
	{CONFIG_TOP, "otlp_endpoint", CONFIG_STRING, CFG(otlp_endpoint),
	 .flags = CONFIG_SEED | CONFIG_URL,
	 .help = "shorthand for one OTLP exporter: gRPC, or HTTP for port 4318 or a URL with a path"},
	{CONFIG_TOP, "sample_rate", CONFIG_DOUBLE, CFG(sample_rate), .min = 0, .max = 1,
	 .unset = "1", .flags = CONFIG_SEED,
	 .help = "share of traces that are kept, decided by the trace id"},
	{CONFIG_TOP, "max_memory_traces", CONFIG_U32, CFG(max_memory_traces), .min = 1,
	 .max = 10000000, .unset = "1000", .unit = "traces", .flags = CONFIG_SEED,
	 .help = "traces that are kept in memory"},
	{CONFIG_TOP, "archive_path", CONFIG_STRING, CFG(archive_path),
	 .flags = CONFIG_SEED | CONFIG_PATH, .help = "folder of the trace archive; unset: none"},
	{CONFIG_TOP, "retention_days", CONFIG_U32, CFG(retention_days), .min = 1, .max = 36500,
	 .unset = "30", .unit = "days", .flags = CONFIG_SEED,
	 .help = "age at which archived traces are deleted"},
	{CONFIG_TOP, "excluded_paths", CONFIG_STRV, CFG(excluded_paths), .flag = "exclude-path",
	 .unit = "globs", .flags = CONFIG_SEED,
	 .help = "request paths (without the query) that make no span"},
	{CONFIG_TOP, "log_level", CONFIG_CHOICE, CFG(log_level), .unset = "info",
	 .choices = log_levels, .flag = "log-level", .flags = CONFIG_SEED,
	 .help = "what clew says about itself on standard error"},
	{CONFIG_TOP, "sample_parent", CONFIG_BOOL, CFG(sample_parent), .unset = "true",
	 .help = "the sampled flag of a traceparent found in a request decides for its trace"},
	{CONFIG_TOP, "resource_attributes", CONFIG_STRING, CFG(resource_attributes),
	 .flags = CONFIG_ATTRS, .help = "k=v,k2=v2, percent-encoded, on every resource"},
	{CONFIG_TOP, "ledger_path", CONFIG_STRING, CFG(ledger_path), .flag = "ledger",
	 .flags = CONFIG_PATH, .help = "file that the ledger is written to as JSON at exit"},
	{CONFIG_TOP, "record_path", CONFIG_STRING, CFG(record_path), .flag = "record",
	 .flags = CONFIG_PATH, .help = "file that the event stream is recorded to"},

	{CONFIG_SELECT, "pids", CONFIG_PIDS, CFG(select.pids), .min = 1, .max = 4194304,
	 .count = offsetof(struct clew_config, select.nr_pids), .flag = "pid",
	 .flags = CONFIG_SELECTOR, .help = "processes by id"},
	{CONFIG_SELECT, "ports", CONFIG_PORTS, CFG(select.ports), .min = 1, .max = 65535,
	 .count = offsetof(struct clew_config, select.nr_ports), .flag = "port",
	 .flags = CONFIG_SELECTOR, .help = "processes that listen on the TCP port"},
	{CONFIG_SELECT, "exes", CONFIG_STRV, CFG(select.exes), .flag = "exe", .unit = "globs",
	 .flags = CONFIG_SELECTOR, .help = "processes by the path of their executable"},
	{CONFIG_SELECT, "cgroups", CONFIG_STRV, CFG(select.cgroups), .flag = "cgroup",
	 .unit = "paths", .flags = CONFIG_SELECTOR, .help = "processes in the control group"},
	{CONFIG_SELECT, "containers", CONFIG_STRV, CFG(select.containers), .flag = "container",
	 .unit = "ids", .flags = CONFIG_SELECTOR, .help = "processes in the container"},
	{CONFIG_SELECT, "all", CONFIG_BOOL, CFG(select.all), .unset = "false", .flag = "all",
	 .flags = CONFIG_SELECTOR, .help = "every process"},
	{CONFIG_SELECT, "exclude_exes", CONFIG_STRV, CFG(select.exclude_exes),
	 .flag = "exclude-exe", .unit = "globs",
	 .help = "never these executables, whatever selects them"},

	{CONFIG_CAPTURE, "layer", CONFIG_CHOICE, CFG(capture.layer), .unset = "auto",
	 .choices = layers, .flag = "capture-layer",
	 .help = "kernel hooks to attach to; auto: the cheapest that this kernel has"},
	{CONFIG_CAPTURE, "ring_bytes", CONFIG_BYTES, CFG(capture.ring_bytes), .min = 64 * KIB,
	 .max = GIB, .unset = "16MiB", .flags = CONFIG_POW2,
	 .help = "size of the ring buffer between kernel and clew"},
	{CONFIG_CAPTURE, "max_connections", CONFIG_U32, CFG(capture.max_connections), .min = 64,
	 .max = 16777216, .unset = "65536", .help = "connections that the kernel side follows"},
	{CONFIG_CAPTURE, "max_processes", CONFIG_U32, CFG(capture.max_processes), .min = 16,
	 .max = 4194304, .unset = "16384", .help = "processes that the kernel side follows"},
	{CONFIG_CAPTURE, "request_bytes", CONFIG_BYTES, CFG(capture.request_bytes), .min = 256,
	 .max = 64 * KIB, .unset = "4KiB", .help = "copied of a request before it is cut"},
	{CONFIG_CAPTURE, "response_bytes", CONFIG_BYTES, CFG(capture.response_bytes), .min = 128,
	 .max = 64 * KIB, .unset = "1KiB", .help = "copied of a response before it is cut"},
	{CONFIG_CAPTURE, "overhead_limit", CONFIG_U32, CFG(capture.overhead_limit), .min = 1,
	 .max = 1000, .unset = "5", .unit = "percent or `none`", .flags = CONFIG_OR_NONE,
	 .help = "of a process's CPU, for the probes inside it; above it the dearest are given up"},

	{CONFIG_CORRELATE, "window_ms", CONFIG_U32, CFG(correlate.window_ms), .min = 1,
	 .max = 600000, .unset = "2000", .unit = "ms",
	 .help = "how long an exchange waits for evidence of its parent"},
	{CONFIG_CORRELATE, "window_bytes", CONFIG_BYTES, CFG(correlate.window_bytes), .min = MIB,
	 .max = 2 * GIB, .unset = "64MiB", .help = "memory of the waiting exchanges"},
	{CONFIG_CORRELATE, "max_open_exchanges", CONFIG_U32, CFG(correlate.max_open_exchanges),
	 .min = 16, .max = 10000000, .unset = "100000", .help = "exchanges without an answer yet"},
	{CONFIG_CORRELATE, "links", CONFIG_CHOICE, CFG(correlate.exact_only), .unset = "all",
	 .choices = links, .help = "exact: leave out parents that are inferred"},

	{CONFIG_TELEMETRY, "url_query", CONFIG_BOOL, CFG(telemetry.url_query), .unset = "true",
	 .help = "url.query on spans; sensitive keys are redacted always"},
	{CONFIG_TELEMETRY, "metrics_interval_ms", CONFIG_U32, CFG(telemetry.metrics_interval_ms),
	 .min = 0, .max = DAY_MS, .unset = "60000", .unit = "ms",
	 .help = "how often clew's own metrics are sent; 0: never"},

	{CONFIG_EXPORTERS, "type", CONFIG_CHOICE, DRAFT(type), .choices = types,
	 .flags = CONFIG_FOR_ALL, .help = "what the exporter is"},
	{CONFIG_EXPORTERS, "endpoint", CONFIG_STRING, DRAFT(endpoint),
	 .flags = CONFIG_FOR_OTLP | CONFIG_URL,
	 .help = "URL of the receiver; HTTP without a path: /v1/traces is added"},
	{CONFIG_EXPORTERS, "metrics_endpoint", CONFIG_STRING, DRAFT(metrics_endpoint),
	 .flags = CONFIG_FOR_OTLP | CONFIG_URL,
	 .help = "HTTP: URL that metrics are sent to, used as it is; unset: follows endpoint"},
	{CONFIG_EXPORTERS, "path", CONFIG_STRING, DRAFT(path),
	 .flags = CONFIG_FOR_FILE | CONFIG_PATH, .help = "file of type file"},
	{CONFIG_EXPORTERS, "protocol", CONFIG_CHOICE, DRAFT(protocol), .choices = protocols,
	 .flags = CONFIG_FOR_OTLP,
	 .help = "of type otlp; unset: grpc, or http/protobuf for port 4318 or a URL with a path"},
	{CONFIG_EXPORTERS, "headers", CONFIG_HEADERS, DRAFT(ex.headers),
	 .count = offsetof(struct config_draft, ex.nr_headers), .flags = CONFIG_FOR_OTLP,
	 .help = "sent with every request; values are shown as ***"},
	{CONFIG_EXPORTERS, "compression", CONFIG_CHOICE, DRAFT(ex.compression), .unset = "none",
	 .choices = compressions, .flags = CONFIG_FOR_OTLP, .help = "of the request body"},
	{CONFIG_EXPORTERS, "timeout", CONFIG_U32, DRAFT(ex.timeout_ms), .min = 1,
	 .max = DAY_MS, .unset = "10000", .unit = "ms", .flags = CONFIG_FOR_OTLP,
	 .help = "of one attempt"},
	{CONFIG_EXPORTERS, "insecure", CONFIG_BOOL, DRAFT(ex.insecure), .unset = "false",
	 .flags = CONFIG_FOR_OTLP, .help = "gRPC without TLS when the endpoint has no scheme"},
	{CONFIG_EXPORTERS, "certificate", CONFIG_STRING, DRAFT(ex.certificate),
	 .flags = CONFIG_FOR_OTLP | CONFIG_PATH,
	 .help = "PEM file of the authorities that are trusted"},
	{CONFIG_EXPORTERS, "client_key", CONFIG_STRING, DRAFT(ex.client_key),
	 .flags = CONFIG_FOR_OTLP | CONFIG_PATH, .help = "PEM file of clew's own key (mTLS)"},
	{CONFIG_EXPORTERS, "client_certificate", CONFIG_STRING, DRAFT(ex.client_certificate),
	 .flags = CONFIG_FOR_OTLP | CONFIG_PATH,
	 .help = "PEM file of clew's own certificate (mTLS)"},
	{CONFIG_EXPORTERS, "processor", CONFIG_CHOICE, DRAFT(ex.processor), .unset = "batch",
	 .choices = processors, .flags = CONFIG_FOR_ALL,
	 .help = "batch, or simple: each span as it ends; console: simple unless set"},
	{CONFIG_EXPORTERS, "max_queue_size", CONFIG_U32, DRAFT(ex.max_queue_size), .min = 1,
	 .max = 16777216, .unset = "65536", .unit = "spans", .flags = CONFIG_FOR_ALL,
	 .help = "spans that wait; beyond it new ones are dropped and counted"},
	{CONFIG_EXPORTERS, "max_export_batch_size", CONFIG_U32, DRAFT(ex.max_export_batch_size),
	 .min = 1, .max = 65536, .unset = "512", .unit = "spans", .flags = CONFIG_FOR_ALL,
	 .help = "spans of one request, not above max_queue_size"},
	{CONFIG_EXPORTERS, "schedule_delay_ms", CONFIG_U32, DRAFT(ex.schedule_delay_ms), .min = 1,
	 .max = DAY_MS, .unset = "5000", .unit = "ms", .flags = CONFIG_FOR_ALL,
	 .help = "a batch that is not full is sent after it"},
	{CONFIG_EXPORTERS, "export_timeout_ms", CONFIG_U32, DRAFT(ex.export_timeout_ms), .min = 1,
	 .max = DAY_MS, .unset = "30000", .unit = "ms", .flags = CONFIG_FOR_ALL,
	 .help = "of one batch"},
	{CONFIG_EXPORTERS, "retry_initial_ms", CONFIG_U32, DRAFT(ex.retry_initial_ms), .min = 1,
	 .max = DAY_MS, .unset = "5000", .unit = "ms", .flags = CONFIG_FOR_OTLP,
	 .help = "first wait after a failure that may pass; grows by 1.5"},
	{CONFIG_EXPORTERS, "retry_max_ms", CONFIG_U32, DRAFT(ex.retry_max_ms), .min = 1,
	 .max = DAY_MS, .unset = "30000", .unit = "ms", .flags = CONFIG_FOR_OTLP,
	 .help = "longest wait, not below retry_initial_ms"},
	{CONFIG_EXPORTERS, "retry_give_up_ms", CONFIG_U32, DRAFT(ex.retry_give_up_ms), .min = 0,
	 .max = DAY_MS, .unset = "300000", .unit = "ms", .flags = CONFIG_FOR_OTLP,
	 .help = "the batch is dropped and counted after it"},
};
/* clang-format on */

_Static_assert(sizeof(config_keys) / sizeof(config_keys[0]) <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX");

const uint32_t config_nr_keys = sizeof(config_keys) / sizeof(config_keys[0]);

const char *const config_section_names[CONFIG_SECTIONS] = {
	[CONFIG_TOP] = "",
	[CONFIG_SELECT] = "select",
	[CONFIG_CAPTURE] = "capture",
	[CONFIG_CORRELATE] = "correlate",
	[CONFIG_TELEMETRY] = "telemetry",
	[CONFIG_EXPORTERS] = "exporters",
};

const char *const config_origin_names[CONFIG_ORIGINS] = {
	[CONFIG_FROM_DEFAULT] = "default", [CONFIG_FROM_FILE] = "file",
	[CONFIG_FROM_ENV] = "CLEW_*",	   [CONFIG_FROM_OTEL] = "OTEL_*",
	[CONFIG_FROM_FLAG] = "flag",
};

uint32_t config_key__index(const struct config_key *key)
{
	return (uint32_t)(key - config_keys);
}

const struct config_key *config_key__find(enum config_section section, const char *name, size_t n)
{
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->section == section && strlen(key->name) == n &&
		    !memcmp(key->name, name, n))
			return key;
	}
	return NULL;
}

const char *config_key__path(const struct config_key *key, char *buf, size_t n)
{
	const char *section = config_section_names[key->section];

	snprintf(buf, n, "%s%s%s", section, *section ? "." : "", key->name);
	return buf;
}

const char *config_key__env(const struct config_key *key, char *buf, size_t n)
{
	const char *section = config_section_names[key->section];

	if (key->section == CONFIG_EXPORTERS)
		snprintf(buf, n, "%s", "");
	else
		snprintf(buf, n, "CLEW_%s%s%s", section, *section ? "__" : "", key->name);
	for (char *p = buf; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	return buf;
}

static const char *config_key__choices(const struct config_key *key, char *buf, size_t n)
{
	size_t used = 0;

	buf[0] = '\0';
	for (const struct config_choice *c = key->choices; c->name && used < n; c++) {
		if (!c->alias)
			used += (size_t)snprintf(buf + used, n - used, "%s%s", used ? ", " : "",
						 c->name);
	}
	return buf;
}

const char *config_key__expected(const struct config_key *key, char *buf, size_t n)
{
	char list[128];
	unsigned long long min = key->min, max = key->max;

	switch (key->type) {
	case CONFIG_BOOL:
		snprintf(buf, n, "true or false");
		break;
	case CONFIG_U32:
		snprintf(buf, n, "a whole number from %llu to %llu%s", min, max,
			 key->flags & CONFIG_OR_NONE ? ", or none" : "");
		break;
	case CONFIG_BYTES:
		snprintf(buf, n, "%s from %llu to %llu, KiB, MiB or GiB allowed",
			 key->flags & CONFIG_POW2 ? "a power of two" : "a number of bytes", min,
			 max);
		break;
	case CONFIG_DOUBLE:
		snprintf(buf, n, "a number from %llu to %llu", min, max);
		break;
	case CONFIG_CHOICE:
		snprintf(buf, n, "one of %s", config_key__choices(key, list, sizeof(list)));
		break;
	case CONFIG_STRING:
		snprintf(buf, n, "text of 1 to %u bytes", CONFIG_TEXT_MAX);
		break;
	case CONFIG_STRV:
		snprintf(buf, n, "a list of at most %u texts", CONFIG_LIST_MAX);
		break;
	case CONFIG_PIDS:
	case CONFIG_PORTS:
		snprintf(buf, n, "a list of at most %u whole numbers from %llu to %llu",
			 CONFIG_LIST_MAX, min, max);
		break;
	case CONFIG_HEADERS:
		snprintf(buf, n, "a map of at most %u header names and values", CONFIG_HEADERS_MAX);
		break;
	}
	return buf;
}

void config_key__list(enum config_section section, bool seed_only, char *buf, size_t n)
{
	size_t used = 0;

	buf[0] = '\0';
	for (uint32_t i = 0; i < config_nr_keys && used < n; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->section != section || (seed_only && !(key->flags & CONFIG_SEED)))
			continue;
		used += (size_t)snprintf(buf + used, n - used, "%s%s", used ? ", " : "", key->name);
	}
}
