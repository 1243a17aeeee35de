/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - everything that can be set. Sources, later wins: built-in defaults, YAML file,
 * CLEW_SECTION__KEY, OTEL_* variables, command-line flags. Read once, then passed as const.
 */
#ifndef CLEW_CONFIG_H
#define CLEW_CONFIG_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum clew_export_kind {
	CLEW_EXPORT_FILE = 1,  /* OTLP JSON lines */
	CLEW_EXPORT_OTLP_GRPC, /* OTLP/gRPC */
	CLEW_EXPORT_OTLP_HTTP, /* OTLP/HTTP protobuf */
	CLEW_EXPORT_OTLP_JSON, /* OTLP/HTTP JSON */
	CLEW_EXPORT_CONSOLE,
};

enum clew_compression { CLEW_COMPRESS_NONE, CLEW_COMPRESS_GZIP };
enum clew_processor { CLEW_PROCESSOR_BATCH, CLEW_PROCESSOR_SIMPLE };
enum clew_capture_layer { CLEW_LAYER_AUTO, CLEW_LAYER_FENTRY, CLEW_LAYER_KPROBE, CLEW_LAYER_RAWTP };
enum clew_log_level { CLEW_LOG_ERROR, CLEW_LOG_WARN, CLEW_LOG_INFO, CLEW_LOG_DEBUG };

struct clew_header {
	char *name, *value;
};

struct clew_export_config {
	enum clew_export_kind kind;
	char *target;	      /* file: path; OTLP: the URL that traces are sent to; console: NULL */
	char *metrics_target; /* OTLP/HTTP: the URL that metrics are sent to */
	enum clew_processor processor;
	enum clew_compression compression;
	uint32_t timeout_ms; /* of one attempt, 10000 */
	bool insecure;	     /* gRPC without TLS when the URL has no scheme */
	char *certificate, *client_key, *client_certificate; /* PEM files or NULL */
	struct clew_header *headers;
	uint32_t nr_headers;
	/* batch processor; OTel defaults */
	uint32_t max_queue_size;	/* 2048; clew's own default: 65536 */
	uint32_t max_export_batch_size; /* 512 */
	uint32_t schedule_delay_ms;	/* 5000 */
	uint32_t export_timeout_ms;	/* 30000 */
	/* retry */
	uint32_t retry_initial_ms, retry_max_ms, retry_give_up_ms; /* 5000, 30000, 300000 */
	/* How metrics are sent when OTEL_EXPORTER_OTLP_METRICS_* say otherwise than for traces (its
	 * target is where metrics go); NULL: the same way. Owned. */
	struct clew_export_config *metrics;
};

struct clew_strv {
	char **v;
	uint32_t n;
};

struct clew_selectors {
	uint32_t *pids;
	uint32_t nr_pids;
	uint16_t *ports;
	uint32_t nr_ports;
	struct clew_strv exes, cgroups, containers, exclude_exes;
	bool all;
};

struct clew_config {
	bool enabled;		    /* true */
	char *service_name;	    /* NULL: by the rules, per process */
	char *resource_attributes;  /* "k=v,k2=v2" of OTEL_RESOURCE_ATTRIBUTES, or NULL */
	char *otlp_endpoint;	    /* NULL; shorthand for one OTLP exporter */
	double sample_rate;	    /* 1.0 */
	bool sample_parent;	    /* true: the sampled flag of an adopted traceparent decides */
	uint32_t max_memory_traces; /* 1000 */
	char *archive_path;	    /* NULL */
	uint32_t retention_days;    /* 30 */
	struct clew_strv excluded_paths; /* globs on the request path, query excluded */
	enum clew_log_level log_level;	 /* info */

	struct clew_selectors select;
	char **command; /* after `--`; NULL terminated, or NULL */
	struct clew_export_config *exporters;
	uint32_t nr_exporters;
	char *ledger_path;	   /* --ledger */
	char *record_path;	   /* clew record -o / clew run --record */
	char *replay_path;	   /* clew replay FILE; NULL: not given */
	struct clew_strv warnings; /* one line each, for the caller to log: OTEL_* ignored ... */
	uint8_t *origins;	   /* by key, where it was set; for clew_config__show() */

	struct {
		enum clew_capture_layer layer; /* auto */
		uint32_t ring_bytes;	       /* 16 MiB, power of two, 64 KiB .. 1 GiB */
		uint32_t max_connections;      /* 65536, kernel connection table */
		uint32_t max_processes;	       /* 16384 */
		uint32_t request_bytes;	       /* 4096, copied of a request before it is cut */
		uint32_t response_bytes;       /* 1024 */
		uint32_t overhead_limit;       /* 5 % of a process's CPU; 0: none */
	} capture;
	struct {
		uint32_t window_ms;	     /* 2000 */
		uint32_t window_bytes;	     /* 64 MiB */
		uint32_t max_open_exchanges; /* 100000 */
		bool exact_only;	     /* links: exact */
	} correlate;
	struct {
		bool url_query;		      /* true; sensitive keys are redacted always */
		uint32_t metrics_interval_ms; /* 60000, 0: none */
	} telemetry;
};

/*
 * clew_config__load - read all sources. argv is what follows the sub-command. On bad input
 * returns -EINVAL and writes one line into errbuf: file:line (or flag, or variable), what is
 * wrong, what was expected; another -errno is a failure (file not readable, no memory), in
 * errbuf as well. `--help` prints and returns 1. `command` is "run", "record", "replay",
 * "config check" or "config show"; run and record need at least one selector or a command.
 */
int clew_config__load(int argc, char **argv, const char *command, struct clew_config **ret,
		      char *errbuf, size_t n);
/* 2 where what the user wrote is wrong, a file that is not there included; else 1. */
static inline int clew_config__exit_code(int err)
{
	return err == -EINVAL || err == -ENOENT ? 2 : 1;
}
void clew_config__free(struct clew_config *cfg); /* NULL is fine */

/*
 * clew_config__show - print the effective configuration, as YAML with the source of each value,
 * or as JSON. Header values and credentials in URLs are shown as ***. 0 or -errno.
 */
int clew_config__show(const struct clew_config *cfg, bool json, FILE *out);

#endif
