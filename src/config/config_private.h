/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_private.h - what the parts of the config stage share: the table of keys, the bounded
 * YAML document, and the state of one load. Nothing here is for other stages.
 */
#ifndef CLEW_CONFIG_PRIVATE_H
#define CLEW_CONFIG_PRIVATE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <clew/config.h>
#include <clew/ledger.h>

/* Limits. A configuration is written by a person: anything beyond these is a mistake. */
#define CONFIG_FILE_MAX	    (1u << 20) /* bytes of one YAML file */
#define CONFIG_DEPTH_MAX    64	       /* nested collections */
#define CONFIG_NODES_MAX    8192       /* scalars and collections of one file */
#define CONFIG_TEXT_MAX	    4096       /* bytes of one value */
#define CONFIG_LIST_MAX	    1024       /* members of one list */
#define CONFIG_HEADERS_MAX  64	       /* headers of one exporter */
#define CONFIG_WARNINGS_MAX 64
#define CONFIG_KEYS_MAX	    80 /* rows of the table, checked when it is built */

/* ---- the table: one row is one key in YAML, environment, flags, documentation and show ---- */

enum config_type {
	CONFIG_BOOL,
	CONFIG_U32,
	CONFIG_BYTES, /* uint32_t; KiB, MiB and GiB are understood */
	CONFIG_DOUBLE,
	CONFIG_CHOICE, /* an enum or a bool, by name */
	CONFIG_STRING,
	CONFIG_STRV,
	CONFIG_PIDS,
	CONFIG_PORTS,
	CONFIG_HEADERS,
};

enum config_section {
	CONFIG_TOP,
	CONFIG_SELECT,
	CONFIG_CAPTURE,
	CONFIG_CORRELATE,
	CONFIG_TELEMETRY,
	CONFIG_EXPORTERS, /* offsets are those of struct config_draft */
	CONFIG_SECTIONS,
};

/* Row flags. */
#define CONFIG_SEED	0x01 /* also under `distributed_tracing:` */
#define CONFIG_POW2	0x02
#define CONFIG_OR_NONE	0x40 /* "none" is 0 */
#define CONFIG_SELECTOR 0x04 /* selects processes; see config_flags__apply() */
#define CONFIG_ATTRS	0x08 /* k=v,k2=v2, percent-encoded */
#define CONFIG_PATH	0x10 /* a file name: kept as it is */
#define CONFIG_URL	0x20 /* may hold credentials: masked by show */
/* Which exporter types a key of an exporter belongs to. */
#define CONFIG_FOR_FILE 0x100
#define CONFIG_FOR_OTLP 0x200
#define CONFIG_FOR_ALL	0x400

struct config_choice {
	const char *name;
	int value;
	bool alias; /* understood, but not listed */
};

struct config_key {
	enum config_section section;
	const char *name;
	enum config_type type;
	uint32_t offset; /* in struct clew_config, or in struct config_draft */
	uint32_t size;	 /* of the destination */
	uint32_t count;	 /* CONFIG_PIDS, _PORTS, _HEADERS: offset of the number of members */
	uint64_t min, max;
	const char *unset; /* the default, in the words of a YAML value; NULL: none */
	const struct config_choice *choices;
	const char *flag; /* without the dashes, or NULL */
	const char *unit;
	const char *help;
	uint32_t flags;
};

extern const struct config_key config_keys[];
extern const uint32_t config_nr_keys;
extern const char *const config_section_names[CONFIG_SECTIONS];

/* The row of section.name, name of n bytes; NULL when there is none. */
const struct config_key *config_key__find(enum config_section section, const char *name, size_t n);
/* "capture.ring_bytes"; the top level has no prefix. */
const char *config_key__path(const struct config_key *key, char *buf, size_t n);
/* "CLEW_CAPTURE__RING_BYTES"; "" for keys of exporters, which have none. */
const char *config_key__env(const struct config_key *key, char *buf, size_t n);
/* What the key takes, in words: "a whole number from 1 to 65535". */
const char *config_key__expected(const struct config_key *key, char *buf, size_t n);
/* "a, b, c": the keys of a section, for error messages. */
void config_key__list(enum config_section section, bool seed_only, char *buf, size_t n);

/* ---- the YAML document: a bounded tree, line numbers kept ---- */

enum config_node_kind { CONFIG_SCALAR, CONFIG_MAP, CONFIG_SEQ };

#define CONFIG_NO_NODE UINT32_MAX

struct config_node {
	enum config_node_kind kind;
	uint32_t line;	/* from 1 */
	uint32_t child; /* first member; CONFIG_NO_NODE: none */
	uint32_t last;	/* last member */
	uint32_t next;	/* next sibling */
	bool quoted;
	char *key;  /* owned; name of this member of a map, else NULL */
	char *text; /* owned; a scalar's value */
};

struct config_doc {
	struct config_node *nodes; /* nodes[0] is the root when nr > 0 */
	uint32_t nr, cap;
	const char *file; /* borrowed; for messages */
};

/*
 * Parse `n` bytes. 0, -EINVAL with "file:line: ..." in errbuf, or -ENOMEM. The document is to
 * be freed in every case.
 */
int config_doc__parse(struct config_doc *doc, const char *file, const void *bytes, size_t n,
		      char *errbuf, size_t errlen);
void config_doc__free(struct config_doc *doc);
/* A plain scalar that YAML calls null, or that is empty. */
bool config_node__null(const struct config_node *node);

/* ---- one load ---- */

enum config_origin {
	CONFIG_FROM_DEFAULT,
	CONFIG_FROM_FILE,
	CONFIG_FROM_ENV,
	CONFIG_FROM_OTEL,
	CONFIG_FROM_FLAG,
	CONFIG_ORIGINS,
};

extern const char *const config_origin_names[CONFIG_ORIGINS];

/* An exporter while it is being described: what was said, before it is checked as a whole. */
struct config_draft {
	struct clew_export_config ex; /* owned until config_exporter__add() takes it */
	int type;		      /* enum config_draft_type */
	int protocol;		      /* enum config_protocol */
	char *endpoint, *metrics_endpoint, *path;
	bool endpoint_exact;	      /* used as it is: no /v1/traces is added */
	uint8_t set[CONFIG_KEYS_MAX]; /* by row */
};

enum config_draft_type {
	CONFIG_DRAFT_NONE,
	CONFIG_DRAFT_FILE,
	CONFIG_DRAFT_OTLP,
	CONFIG_DRAFT_OTLP_GRPC,
	CONFIG_DRAFT_OTLP_HTTP,
	CONFIG_DRAFT_OTLP_JSON,
	CONFIG_DRAFT_CONSOLE,
};

enum config_protocol { CONFIG_PROTO_ANY, CONFIG_PROTO_GRPC, CONFIG_PROTO_HTTP, CONFIG_PROTO_JSON };

/* OTEL_BSP_*: figures that hold for every exporter; 0: not given. */
struct config_bsp {
	uint32_t schedule_delay_ms, export_timeout_ms, max_queue_size, max_export_batch_size;
};

/* The state of one load; what must outlive it is in cfg. */
struct config_load {
	struct clew_config *cfg;
	char *const *env;
	const char *file; /* --config, or NULL */
	char *errbuf;
	size_t errlen;
	uint32_t line[CONFIG_KEYS_MAX];	       /* by row: where the file gives it, 0: nowhere */
	const char *variable[CONFIG_KEYS_MAX]; /* by row: the CLEW_* that gives it, or NULL */
	struct config_bsp bsp;
	bool no_console;   /* OTEL_TRACES_EXPORTER=none: no exporter is what was asked for */
	bool has_otlp_env; /* OTEL_* made an OTLP exporter of its own: its settings are its own */
	int otlp_protocol; /* OTEL_EXPORTER_OTLP_[TRACES_]PROTOCOL, enum config_protocol */
};

/* Write one line into errbuf (control characters become '?') and return -EINVAL. */
int config__fail(char *errbuf, size_t n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Keep one line for the caller to log; silently bounded. */
void config__warn(struct clew_config *cfg, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* value.c: text to field. `base` is the struct that the row's offset belongs to. */
int config_value__set(const struct config_key *key, void *base, const char *text, char *errbuf,
		      size_t n);
int config_value__set_list(const struct config_key *key, void *base, const char *text, char *errbuf,
			   size_t n); /* comma separated; replaces */
int config_value__append(const struct config_key *key, void *base, const char *text, char *errbuf,
			 size_t n); /* one member */
void config_value__clear(const struct config_key *key, void *base);
bool config_value__is_list(const struct config_key *key);
/* Every default of one section into `base`. 0 or -ENOMEM. */
int config_value__defaults(enum config_section section, void *base);
int config_strv__add(struct clew_strv *v, const char *text, size_t n);
int config_headers__add(struct clew_export_config *ex, const char *name, const char *value,
			char *errbuf, size_t n);
int config_headers__parse(struct clew_export_config *ex, const char *text, char *errbuf, size_t n);
/* Check k=v,k2=v2 with percent-encoded values; ret_service (may be NULL): owned service.name. */
int config_attrs__check(const char *text, char **ret_service, char *errbuf, size_t n);

/* file.c, env.c, otel.c, flags.c: the sources. */
int config_file__read(struct config_load *ld, const char *path);
int config_file__apply(struct config_load *ld, const struct config_doc *doc);
int config_env__apply(struct config_load *ld);
/* The value of `name` in an environment; NULL when unset or empty. */
const char *config_env__get(char *const *env, const char *name);
int config_otel__apply(struct config_load *ld);
/* What OTEL_EXPORTER_OTLP_[signal_] says beyond endpoint and protocol; signal "TRACES" ... */
int config_otel__settings(struct config_load *ld, struct config_draft *d, const char *signal);

struct config_flag {
	const struct config_key *key; /* NULL: --export */
	const char *arg;	      /* borrowed from argv */
};

struct config_flags {
	struct config_flag *v; /* owned, in the order given */
	uint32_t nr;
	const char *file; /* --config, or the operand of config check|show */
	bool help;
	const char *replay; /* replay FILE */
	char **command;	    /* borrowed; after `--`, or NULL */
	int nr_command;
};

int config_flags__parse(struct config_flags *fl, int argc, char **argv, const char *command,
			char *errbuf, size_t n);
int config_flags__apply(struct config_load *ld, const struct config_flags *fl);
void config_flags__free(struct config_flags *fl);
void config_flags__usage(const char *command, FILE *out);

/* exporter.c */
int config_draft__init(struct config_draft *d); /* defaults; 0 or -ENOMEM */
void config_draft__free(struct config_draft *d);
/* Fill the draft from KIND[=TARGET] of --export. */
int config_draft__from_flag(struct config_draft *d, const char *text, char *errbuf, size_t n);
/* Check the draft as a whole and complete d->ex from it. */
int config_draft__build(struct config_draft *d, char *errbuf, size_t n);
/*
 * Move what was built to cfg->exporters. A second exporter of the same kind and target is
 * dropped quietly: 0 and *ret_added false.
 */
int config_exporter__take(struct clew_config *cfg, struct clew_export_config *ex, bool *ret_added,
			  char *errbuf, size_t n);
/* Both: build, then take. */
int config_exporter__add(struct clew_config *cfg, struct config_draft *d, bool *ret_added,
			 char *errbuf, size_t n);
int config_exporter__shorthand(struct config_load *ld); /* otlp_endpoint */
int config_exporter__finish(struct config_load *ld, bool console);
void config_export__clear(struct clew_export_config *ex); /* what it owns */
/* config_draft_type of an exporter that was built. */
int config_export__type(enum clew_export_kind kind);

/* url.c */
struct config_url {
	bool has_scheme, tls, has_user;
	const char *host; /* host[:port], borrowed from the text; not terminated */
	size_t host_len;
	uint32_t port;	  /* 0: none */
	const char *path; /* path, query and fragment; may be "" */
};

int config_url__parse(struct config_url *url, const char *text, char *errbuf, size_t n);
/* The URL without its path and with `path` instead; owned, NULL: no memory. */
char *config_url__with_path(const char *text, const struct config_url *url, const char *path);
/* user:password becomes *** */
const char *config_url__mask(const char *text, char *buf, size_t n);

/* config.c: the steps of clew_config__load, apart for tests and the fuzzer. */
struct clew_config *config__new(void);
int config__load_env(int argc, char **argv, const char *command, char *const *env,
		     struct clew_config **ret, char *errbuf, size_t n);
uint32_t config_key__index(const struct config_key *key);
void config__mark(struct config_load *ld, const struct config_key *key, enum config_origin from);

#endif
