/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exporter.c - from what was said about an exporter to what is done.
 *
 * A draft collects keys from a YAML map, from OTEL_* or from --export; only a whole draft can be
 * checked: which keys fit its type, which protocol the endpoint means, where metrics go. The
 * exporters of all sources add up. OTLP endpoints follow the OpenTelemetry protocol exporter
 * specification: /v1/traces and /v1/metrics are added to a base endpoint, and http:// or
 * https:// decides about TLS for gRPC as well.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config_private.h"

#define TRACES_PATH  "/v1/traces"
#define METRICS_PATH "/v1/metrics"
#define GRPC_DEFAULT "http://localhost:4317"
#define HTTP_DEFAULT "http://localhost:4318"
#define HTTP_PORT    4318

static const struct config_key *exporter__key(const char *name)
{
	return config_key__find(CONFIG_EXPORTERS, name, strlen(name));
}

void config_export__clear(struct clew_export_config *ex)
{
	for (uint32_t i = 0; i < ex->nr_headers; i++) {
		free(ex->headers[i].name);
		free(ex->headers[i].value);
	}
	free(ex->headers);
	free(ex->target);
	free(ex->metrics_target);
	free(ex->certificate);
	free(ex->client_key);
	free(ex->client_certificate);
	if (ex->metrics) {
		struct clew_export_config *metrics = ex->metrics;

		metrics->metrics = NULL; /* one level, by construction */
		config_export__clear(metrics);
		free(metrics);
	}
	memset(ex, 0, sizeof(*ex));
}

int config_draft__init(struct config_draft *d)
{
	memset(d, 0, sizeof(*d));
	return config_value__defaults(CONFIG_EXPORTERS, d);
}

void config_draft__free(struct config_draft *d)
{
	config_export__clear(&d->ex);
	free(d->endpoint);
	free(d->metrics_endpoint);
	free(d->path);
	memset(d, 0, sizeof(*d));
}

int config_export__type(enum clew_export_kind kind)
{
	switch (kind) {
	case CLEW_EXPORT_FILE:
		return CONFIG_DRAFT_FILE;
	case CLEW_EXPORT_OTLP_GRPC:
		return CONFIG_DRAFT_OTLP_GRPC;
	case CLEW_EXPORT_OTLP_HTTP:
		return CONFIG_DRAFT_OTLP_HTTP;
	case CLEW_EXPORT_OTLP_JSON:
		return CONFIG_DRAFT_OTLP_JSON;
	case CLEW_EXPORT_CONSOLE:
		return CONFIG_DRAFT_CONSOLE;
	}
	return CONFIG_DRAFT_NONE;
}

/* Keys that say nothing for this type are mistakes, not decoration. */
static int draft__check_keys(const struct config_draft *d, char *errbuf, size_t n)
{
	uint32_t want = d->type == CONFIG_DRAFT_FILE	  ? CONFIG_FOR_FILE
			: d->type == CONFIG_DRAFT_CONSOLE ? 0
							  : CONFIG_FOR_OTLP;

	if (d->type == CONFIG_DRAFT_NONE) {
		char expected[192];

		config_key__expected(exporter__key("type"), expected, sizeof(expected));
		return config__fail(errbuf, n, "type is missing; expected %s", expected);
	}
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		if (d->set[i] && !(config_keys[i].flags & (CONFIG_FOR_ALL | want)))
			return config__fail(errbuf, n,
					    "%s does not belong to this type; expected it with %s",
					    config_keys[i].name,
					    config_keys[i].flags & CONFIG_FOR_FILE ? "type file"
										   : "OTLP types");
	}
	if (d->ex.max_export_batch_size > d->ex.max_queue_size)
		return config__fail(errbuf, n,
				    "max_export_batch_size %u is above max_queue_size; expected at "
				    "most %u",
				    d->ex.max_export_batch_size, d->ex.max_queue_size);
	if (d->ex.retry_initial_ms > d->ex.retry_max_ms)
		return config__fail(
			errbuf, n, "retry_initial_ms %u is above retry_max_ms; expected at most %u",
			d->ex.retry_initial_ms, d->ex.retry_max_ms);
	if (!d->ex.client_key != !d->ex.client_certificate)
		return config__fail(errbuf, n,
				    "%s is missing; expected client_key and client_certificate "
				    "together",
				    d->ex.client_key ? "client_certificate" : "client_key");
	return 0;
}

static bool path__is_base(const char *path)
{
	return !*path || !strcmp(path, "/");
}

static int draft__kind(const struct config_draft *d, const struct config_url *url,
		       enum clew_export_kind *ret, char *errbuf, size_t n)
{
	static const enum clew_export_kind by_protocol[] = {
		[CONFIG_PROTO_GRPC] = CLEW_EXPORT_OTLP_GRPC,
		[CONFIG_PROTO_HTTP] = CLEW_EXPORT_OTLP_HTTP,
		[CONFIG_PROTO_JSON] = CLEW_EXPORT_OTLP_JSON,
	};
	static const int by_type[] = {
		[CONFIG_DRAFT_OTLP_GRPC] = CONFIG_PROTO_GRPC,
		[CONFIG_DRAFT_OTLP_HTTP] = CONFIG_PROTO_HTTP,
		[CONFIG_DRAFT_OTLP_JSON] = CONFIG_PROTO_JSON,
	};
	int protocol = d->protocol;

	if (d->type != CONFIG_DRAFT_OTLP) {
		if (protocol != CONFIG_PROTO_ANY && protocol != by_type[d->type])
			return config__fail(errbuf, n,
					    "protocol contradicts the type; expected type otlp");
		protocol = by_type[d->type];
	} else if (protocol == CONFIG_PROTO_ANY) {
		protocol = url->port == HTTP_PORT || !path__is_base(url->path) ? CONFIG_PROTO_HTTP
									       : CONFIG_PROTO_GRPC;
	}
	*ret = by_protocol[protocol];
	return 0;
}

static int draft__grpc(struct config_draft *d, const struct config_url *url, char *errbuf, size_t n)
{
	if (!path__is_base(url->path) || url->has_user)
		return config__fail(errbuf, n,
				    "a gRPC endpoint has %s; expected http://HOST:PORT or "
				    "https://HOST:PORT",
				    url->has_user ? "a user" : "a path");
	if (d->metrics_endpoint)
		return config__fail(errbuf, n,
				    "metrics_endpoint does not belong to gRPC; expected it with "
				    "OTLP over HTTP");
	if (url->has_scheme)
		d->ex.insecure = !url->tls;
	/* gRPC demands lower-case metadata keys, and HTTP does not care (RFC 9113, 8.2). */
	for (uint32_t i = 0; i < d->ex.nr_headers; i++)
		for (char *p = d->ex.headers[i].name; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p | 0x20);
	d->ex.target = config_url__with_path(d->endpoint, url, "");
	return d->ex.target ? 0 : -ENOMEM;
}

static int draft__metrics_url(struct config_draft *d, const struct config_url *url)
{
	size_t len = strlen(url->path), tail = strlen(TRACES_PATH);
	char *path;

	if (d->metrics_endpoint) {
		d->ex.metrics_target = strdup(d->metrics_endpoint);
		return d->ex.metrics_target ? 0 : -ENOMEM;
	}
	/* A path of the user's own says nothing about where metrics would go: none are sent. */
	if (len < tail || strcmp(url->path + len - tail, TRACES_PATH))
		return 0;
	if (asprintf(&path, "%.*s%s", (int)(len - tail), url->path, METRICS_PATH) < 0)
		return -ENOMEM;
	d->ex.metrics_target = config_url__with_path(d->endpoint, url, path);
	free(path);
	return d->ex.metrics_target ? 0 : -ENOMEM;
}

static int draft__http(struct config_draft *d, struct config_url *url, char *errbuf, size_t n)
{
	struct config_url metrics;
	char *full, shown[128];
	int err;

	if (!url->has_scheme)
		return config__fail(errbuf, n,
				    "\"%.96s\" has no scheme; expected http://HOST:PORT or "
				    "https://HOST:PORT",
				    config_url__mask(d->endpoint, shown, sizeof(shown)));
	if (d->metrics_endpoint) {
		err = config_url__parse(&metrics, d->metrics_endpoint, errbuf, n);
		if (err)
			return err;
		if (!metrics.has_scheme)
			return config__fail(errbuf, n,
					    "metrics_endpoint has no scheme; expected http:// or "
					    "https://");
	}
	if (!d->endpoint_exact && path__is_base(url->path)) {
		full = config_url__with_path(d->endpoint, url, TRACES_PATH);
		if (!full)
			return -ENOMEM;
		free(d->endpoint);
		d->endpoint = full;
		err = config_url__parse(url, full, errbuf, n);
		if (err)
			return err;
	}
	d->ex.target = strdup(d->endpoint);
	return d->ex.target ? draft__metrics_url(d, url) : -ENOMEM;
}

static int draft__otlp(struct config_draft *d, char *errbuf, size_t n)
{
	bool http = d->type == CONFIG_DRAFT_OTLP_HTTP || d->type == CONFIG_DRAFT_OTLP_JSON ||
		    d->protocol == CONFIG_PROTO_HTTP || d->protocol == CONFIG_PROTO_JSON;
	struct config_url url;
	int err;

	if (!d->endpoint)
		d->endpoint = strdup(http ? HTTP_DEFAULT : GRPC_DEFAULT);
	if (!d->endpoint)
		return -ENOMEM;
	err = config_url__parse(&url, d->endpoint, errbuf, n);
	if (!err)
		err = draft__kind(d, &url, &d->ex.kind, errbuf, n);
	if (err)
		return err;
	return d->ex.kind == CLEW_EXPORT_OTLP_GRPC ? draft__grpc(d, &url, errbuf, n)
						   : draft__http(d, &url, errbuf, n);
}

int config_draft__build(struct config_draft *d, char *errbuf, size_t n)
{
	int err = draft__check_keys(d, errbuf, n);

	if (err)
		return err;
	switch (d->type) {
	case CONFIG_DRAFT_FILE:
		if (!d->path)
			return config__fail(errbuf, n, "path is missing; expected a file name");
		d->ex.kind = CLEW_EXPORT_FILE;
		d->ex.target = strdup(d->path);
		return d->ex.target ? 0 : -ENOMEM;
	case CONFIG_DRAFT_CONSOLE:
		d->ex.kind = CLEW_EXPORT_CONSOLE;
		/* Someone watches: a span is worth more now than in a batch. */
		if (!d->set[config_key__index(exporter__key("processor"))])
			d->ex.processor = CLEW_PROCESSOR_SIMPLE;
		return 0;
	default:
		return draft__otlp(d, errbuf, n);
	}
}

static bool exporter__same(const struct clew_export_config *a, const struct clew_export_config *b)
{
	return a->kind == b->kind &&
	       (a->target && b->target ? !strcmp(a->target, b->target) : a->target == b->target);
}

int config_exporter__take(struct clew_config *cfg, struct clew_export_config *ex, bool *ret_added,
			  char *errbuf, size_t n)
{
	struct clew_export_config *grown;

	*ret_added = false;
	for (uint32_t i = 0; i < cfg->nr_exporters; i++)
		if (exporter__same(&cfg->exporters[i], ex))
			return 0;
	if (cfg->nr_exporters == CLEW_EXPORTERS_MAX)
		return config__fail(errbuf, n, "too many exporters; expected at most %u",
				    CLEW_EXPORTERS_MAX);
	grown = realloc(cfg->exporters, (cfg->nr_exporters + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	cfg->exporters = grown;
	grown[cfg->nr_exporters++] = *ex;
	memset(ex, 0, sizeof(*ex));
	*ret_added = true;
	return 0;
}

int config_exporter__add(struct clew_config *cfg, struct config_draft *d, bool *ret_added,
			 char *errbuf, size_t n)
{
	int err = config_draft__build(d, errbuf, n);

	*ret_added = false;
	return err ? err : config_exporter__take(cfg, &d->ex, ret_added, errbuf, n);
}

int config_draft__from_flag(struct config_draft *d, const char *text, char *errbuf, size_t n)
{
	static const char good[] =
		"file=PATH, otlp-grpc=URL, otlp-http=URL, otlp-json=URL or console";
	const char *eq = strchrnul(text, '=');
	const char *target = *eq ? eq + 1 : NULL;
	const struct config_choice *c = exporter__key("type")->choices;
	size_t len = (size_t)(eq - text);
	const struct config_key *key;

	if (len == strlen("jaeger-udp") && !strncmp(text, "jaeger-udp", len))
		return config__fail(errbuf, n, "jaeger-udp is not supported yet; expected %s",
				    good);
	while (c->name && (strlen(c->name) != len || strncmp(c->name, text, len)))
		c++;
	if (!c->name || c->value == CONFIG_DRAFT_OTLP)
		return config__fail(errbuf, n, "\"%.*s\" is unknown; expected %s",
				    (int)(len > 64 ? 64 : len), text, good);
	d->type = c->value;
	if (d->type == CONFIG_DRAFT_CONSOLE)
		return target ? config__fail(errbuf, n, "console takes no target; expected console")
			      : 0;
	if (!target || !*target)
		return config__fail(errbuf, n, "%s has no target; expected %s=%s", c->name, c->name,
				    d->type == CONFIG_DRAFT_FILE ? "PATH" : "URL");
	key = exporter__key(d->type == CONFIG_DRAFT_FILE ? "path" : "endpoint");
	return config_value__set(key, d, target, errbuf, n);
}

/* Where otlp_endpoint was given, for the message. */
static const char *shorthand__where(const struct config_load *ld, uint32_t index, char *buf,
				    size_t n)
{
	if (ld->cfg->origins[index] == CONFIG_FROM_FILE)
		snprintf(buf, n, "%s:%u: otlp_endpoint", ld->file, ld->line[index]);
	else
		snprintf(buf, n, "%.*s", (int)strcspn(ld->variable[index], "="),
			 ld->variable[index]);
	return buf;
}

int config_exporter__shorthand(struct config_load *ld)
{
	const struct config_key *key = config_key__find(CONFIG_TOP, "otlp_endpoint", 13);
	struct config_draft d;
	char text[384], where[512];
	bool added;
	int err;

	if (!ld->cfg->otlp_endpoint)
		return 0;
	err = config_draft__init(&d);
	if (!err) {
		d.type = CONFIG_DRAFT_OTLP;
		/* OTEL_EXPORTER_OTLP_* describes one receiver: the one that OTEL_* names, if any.
		 */
		d.protocol = ld->has_otlp_env ? CONFIG_PROTO_ANY : ld->otlp_protocol;
		err = ld->has_otlp_env ? 0 : config_otel__settings(ld, &d, "TRACES");
	}
	if (!err)
		err = config_value__set(exporter__key("endpoint"), &d, ld->cfg->otlp_endpoint, text,
					sizeof(text));
	if (!err)
		err = config_exporter__add(ld->cfg, &d, &added, text, sizeof(text));
	if (err == -EINVAL)
		err = config__fail(
			ld->errbuf, ld->errlen, "%s: %s",
			shorthand__where(ld, config_key__index(key), where, sizeof(where)), text);
	config_draft__free(&d);
	return err;
}

/* The batch figures of OTEL_BSP_* hold for every exporter. */
static void exporter__bsp(struct config_load *ld, struct clew_export_config *ex)
{
	const struct config_bsp *bsp = &ld->bsp;

	if (bsp->schedule_delay_ms)
		ex->schedule_delay_ms = bsp->schedule_delay_ms;
	if (bsp->export_timeout_ms)
		ex->export_timeout_ms = bsp->export_timeout_ms;
	if (bsp->max_queue_size)
		ex->max_queue_size = bsp->max_queue_size;
	if (bsp->max_export_batch_size)
		ex->max_export_batch_size = bsp->max_export_batch_size;
	if (ex->max_export_batch_size > ex->max_queue_size) {
		config__warn(ld->cfg,
			     "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: batches of %u do not fit the queue; "
			     "%u is used",
			     ex->max_export_batch_size, ex->max_queue_size);
		ex->max_export_batch_size = ex->max_queue_size;
	}
}

int config_exporter__finish(struct config_load *ld, bool console)
{
	struct clew_config *cfg = ld->cfg;
	struct config_draft d;
	bool added;
	int err;

	if (console && !cfg->nr_exporters && !ld->no_console) {
		err = config_draft__init(&d);
		d.type = CONFIG_DRAFT_CONSOLE;
		if (!err)
			err = config_exporter__add(cfg, &d, &added, ld->errbuf, ld->errlen);
		config_draft__free(&d);
		if (err)
			return err;
	}
	for (uint32_t i = 0; i < cfg->nr_exporters; i++)
		exporter__bsp(ld, &cfg->exporters[i]);
	return 0;
}
