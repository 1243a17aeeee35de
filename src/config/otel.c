/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otel.c - the OTEL_* variables that OpenTelemetry defines for every SDK.
 *
 * OpenTelemetry specification: "Environment Variable Specification", "OTLP Exporter
 * Configuration". Its rules are other than those of CLEW_*: empty is unset, a boolean is true
 * only for "true", and a value that cannot be used is warned about and ignored, because these
 * variables are often set for a whole machine and meant for others too. Variables that clew does
 * not know are left alone for the same reason.
 *
 * OTLP settings of a signal (OTEL_EXPORTER_OTLP_TRACES_HEADERS) beat the general ones
 * (OTEL_EXPORTER_OTLP_HEADERS). Headers may be credentials of one receiver: they are given to
 * the exporter that OTEL_* names; when OTEL_* names none, to those of otlp_endpoint and
 * --export, which name a receiver and nothing else; never to those of the file.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config_private.h"

#define OTLP	  "OTEL_EXPORTER_OTLP_"
#define OTLP_NAME 64
#define GRPC_PORT 4317

/* `text` is the message of value.c, or of our own: "\"x\" is ...; expected ...". */
static void otel__ignored(struct config_load *ld, const char *name, const char *text)
{
	config__warn(ld->cfg, "%s: %s; ignored", name, text);
}

/* ---- variables that are a key of the table under another name ---- */

static const struct {
	const char *name;
	enum config_section section;
	const char *key;
} otel_keys[] = {
	{"OTEL_LOG_LEVEL", CONFIG_TOP, "log_level"},
	{"OTEL_RESOURCE_ATTRIBUTES", CONFIG_TOP, "resource_attributes"},
	{"OTEL_SERVICE_NAME", CONFIG_TOP, "service_name"},
	{"OTEL_METRIC_EXPORT_INTERVAL", CONFIG_TELEMETRY, "metrics_interval_ms"},
};

static int otel__keys(struct config_load *ld)
{
	for (size_t i = 0; i < sizeof(otel_keys) / sizeof(otel_keys[0]); i++) {
		const char *value = config_env__get(ld->env, otel_keys[i].name);
		const char *name = otel_keys[i].key;
		const struct config_key *key =
			config_key__find(otel_keys[i].section, name, strlen(name));
		char text[384];
		int err;

		if (!value)
			continue;
		err = config_value__set(key, ld->cfg, value, text, sizeof(text));
		if (err == -ENOMEM)
			return err;
		if (err)
			otel__ignored(ld, otel_keys[i].name, text);
		else
			config__mark(ld, key, CONFIG_FROM_OTEL);
	}
	return 0;
}

/* service.name of OTEL_RESOURCE_ATTRIBUTES beats what the file says, not OTEL_SERVICE_NAME. */
static int otel__service(struct config_load *ld)
{
	const struct config_key *attrs = config_key__find(CONFIG_TOP, "resource_attributes", 19);
	const struct config_key *name = config_key__find(CONFIG_TOP, "service_name", 12);
	struct clew_config *cfg = ld->cfg;
	char *service = NULL, text[384];
	int err;

	if (cfg->origins[config_key__index(attrs)] != CONFIG_FROM_OTEL ||
	    cfg->origins[config_key__index(name)] == CONFIG_FROM_OTEL)
		return 0;
	err = config_attrs__check(cfg->resource_attributes, &service, text, sizeof(text));
	if (!err && service) {
		err = config_value__set(name, cfg, service, text, sizeof(text));
		if (err == -EINVAL)
			otel__ignored(ld, "OTEL_RESOURCE_ATTRIBUTES", text);
		else if (!err)
			config__mark(ld, name, CONFIG_FROM_OTEL);
	}
	free(service);
	return err == -ENOMEM ? err : 0;
}

/* Anything but "true" is false; what is not "false" either is worth a warning. */
static bool otel__true(struct config_load *ld, const char *name, const char *value)
{
	char text[128];

	if (!strcasecmp(value, "true"))
		return true;
	if (strcasecmp(value, "false")) {
		snprintf(text, sizeof(text), "\"%.64s\" is not a boolean; expected true or false",
			 value);
		otel__ignored(ld, name, text);
	}
	return false;
}

static void otel__disabled(struct config_load *ld)
{
	const char *value = config_env__get(ld->env, "OTEL_SDK_DISABLED");

	if (value && otel__true(ld, "OTEL_SDK_DISABLED", value)) {
		ld->cfg->enabled = false;
		config__mark(ld, config_key__find(CONFIG_TOP, "enabled", 7), CONFIG_FROM_OTEL);
	}
}

/* ---- sampler ---- */

static const struct {
	const char *name;
	double rate; /* < 0: OTEL_TRACES_SAMPLER_ARG */
	bool parent;
} otel_samplers[] = {
	{"always_on", 1, false},
	{"always_off", 0, false},
	{"traceidratio", -1, false},
	{"parentbased_always_on", 1, true},
	{"parentbased_always_off", 0, true},
	{"parentbased_traceidratio", -1, true},
};

static void otel__sampler(struct config_load *ld)
{
	const char *value = config_env__get(ld->env, "OTEL_TRACES_SAMPLER");
	const char *arg = config_env__get(ld->env, "OTEL_TRACES_SAMPLER_ARG");
	const struct config_key *rate = config_key__find(CONFIG_TOP, "sample_rate", 11);
	size_t i = 0, nr = sizeof(otel_samplers) / sizeof(otel_samplers[0]);
	char text[384];

	if (!value)
		return;
	while (i < nr && strcmp(otel_samplers[i].name, value))
		i++;
	if (i == nr) {
		snprintf(text, sizeof(text),
			 "\"%.64s\" is unknown; expected always_on, always_off or traceidratio, "
			 "alone or behind parentbased_",
			 value);
		otel__ignored(ld, "OTEL_TRACES_SAMPLER", text);
		return;
	}
	ld->cfg->sample_rate = otel_samplers[i].rate < 0 ? 1 : otel_samplers[i].rate;
	ld->cfg->sample_parent = otel_samplers[i].parent;
	if (otel_samplers[i].rate < 0 && arg &&
	    config_value__set(rate, ld->cfg, arg, text, sizeof(text)))
		otel__ignored(ld, "OTEL_TRACES_SAMPLER_ARG", text);
	config__mark(ld, rate, CONFIG_FROM_OTEL);
	config__mark(ld, config_key__find(CONFIG_TOP, "sample_parent", 13), CONFIG_FROM_OTEL);
}

/* ---- batch processor ---- */

static void otel__bsp(struct config_load *ld)
{
	const struct {
		const char *name, *key;
		uint32_t *dest;
	} vars[] = {
		{"OTEL_BSP_SCHEDULE_DELAY", "schedule_delay_ms", &ld->bsp.schedule_delay_ms},
		{"OTEL_BSP_EXPORT_TIMEOUT", "export_timeout_ms", &ld->bsp.export_timeout_ms},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "max_queue_size", &ld->bsp.max_queue_size},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "max_export_batch_size",
		 &ld->bsp.max_export_batch_size},
	};

	for (size_t i = 0; i < sizeof(vars) / sizeof(vars[0]); i++) {
		const char *value = config_env__get(ld->env, vars[i].name);
		const struct config_key *row =
			config_key__find(CONFIG_EXPORTERS, vars[i].key, strlen(vars[i].key));
		struct config_key key = *row;
		char text[384];

		key.offset = 0;
		if (value && config_value__set(&key, vars[i].dest, value, text, sizeof(text)))
			otel__ignored(ld, vars[i].name, text);
	}
}

/* ---- OTLP exporter ---- */

/*
 * Set `key` of the draft from OTEL_EXPORTER_OTLP_[signal_]suffix: the signal's own first, the
 * general one when that is unset or cannot be used.
 */
static int otlp__setting(struct config_load *ld, struct config_draft *d, const char *signal,
			 const char *suffix, const char *key_name)
{
	const struct config_key *key =
		config_key__find(CONFIG_EXPORTERS, key_name, strlen(key_name));

	for (int general = 0; general < 2; general++) {
		char name[OTLP_NAME], text[384];
		const char *value;
		int err;

		snprintf(name, sizeof(name), OTLP "%s%s%s", general ? "" : signal,
			 general ? "" : "_", suffix);
		value = config_env__get(ld->env, name);
		if (!value)
			continue;
		if (key->type == CONFIG_BOOL) {
			d->ex.insecure = otel__true(ld, name, value);
			return 0;
		}
		err = config_value__set(key, d, value, text, sizeof(text));
		if (!err || err == -ENOMEM)
			return err;
		otel__ignored(ld, name, text);
		if (config_value__is_list(key))
			config_value__clear(key, d);
	}
	return 0;
}

int config_otel__settings(struct config_load *ld, struct config_draft *d, const char *signal)
{
	static const struct {
		const char *suffix, *key;
	} vars[] = {
		{"HEADERS", "headers"},
		{"COMPRESSION", "compression"},
		{"TIMEOUT", "timeout"},
		{"INSECURE", "insecure"},
		{"CERTIFICATE", "certificate"},
		{"CLIENT_KEY", "client_key"},
		{"CLIENT_CERTIFICATE", "client_certificate"},
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(vars) / sizeof(vars[0]); i++)
		err = otlp__setting(ld, d, signal, vars[i].suffix, vars[i].key);
	if (err || !d->ex.client_key == !d->ex.client_certificate)
		return err;
	config__warn(ld->cfg, OTLP "CLIENT_KEY, " OTLP "CLIENT_CERTIFICATE: one without the other; "
				   "expected both; ignored");
	free(d->ex.client_key);
	free(d->ex.client_certificate);
	d->ex.client_key = d->ex.client_certificate = NULL;
	return 0;
}

/*
 * The endpoint of a signal. The general endpoint is a base: the signal's path is added to it,
 * also behind a path. gRPC takes it as it is.
 */
static int otlp__endpoint(struct config_load *ld, struct config_draft *d, const char *signal,
			  const char *path)
{
	const char *base = config_env__get(ld->env, OTLP "ENDPOINT"), *own;
	char name[OTLP_NAME], text[384];
	struct config_url url;
	size_t len;

	snprintf(name, sizeof(name), OTLP "%s_ENDPOINT", signal);
	own = config_env__get(ld->env, name);
	free(d->endpoint);
	d->endpoint = NULL;
	d->endpoint_exact = true;
	if (own) {
		if (!config_url__parse(&url, own, text, sizeof(text))) {
			d->endpoint = strdup(own);
			return d->endpoint ? 0 : -ENOMEM;
		}
		otel__ignored(ld, name, text);
	}
	if (base && config_url__parse(&url, base, text, sizeof(text))) {
		otel__ignored(ld, OTLP "ENDPOINT", text);
		base = NULL;
	}
	d->endpoint_exact = base != NULL;
	if (!base)
		return 0; /* config_draft__build() knows the defaults */
	len = strcspn(base, "?#");
	while (len && base[len - 1] == '/')
		len--;
	if (asprintf(&d->endpoint, "%.*s%s", (int)len, base,
		     d->protocol == CONFIG_PROTO_GRPC ? "" : path) < 0) {
		d->endpoint = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* Without a PROTOCOL: that of the port everybody knows, else what the specification prefers. */
static void otlp__protocol(struct config_load *ld, struct config_draft *d, const char *signal)
{
	char name[OTLP_NAME], text[384];
	const char *url_text;
	struct config_url url;

	if (d->protocol != CONFIG_PROTO_ANY)
		return;
	snprintf(name, sizeof(name), OTLP "%s_ENDPOINT", signal);
	url_text = config_env__get(ld->env, name);
	if (!url_text)
		url_text = config_env__get(ld->env, OTLP "ENDPOINT");
	d->protocol = url_text && !config_url__parse(&url, url_text, text, sizeof(text)) &&
				      url.port == GRPC_PORT
			      ? CONFIG_PROTO_GRPC
			      : CONFIG_PROTO_HTTP;
}

/* A draft for one signal, built. -EINVAL: text says why not. */
static int otlp__signal(struct config_load *ld, struct config_draft *d, const char *signal,
			const char *path, char *text, size_t n)
{
	int err = config_draft__init(d);

	d->type = CONFIG_DRAFT_OTLP;
	if (!err)
		err = otlp__setting(ld, d, signal, "PROTOCOL", "protocol");
	if (err)
		return err;
	otlp__protocol(ld, d, signal);
	err = config_otel__settings(ld, d, signal);
	if (!err)
		err = otlp__endpoint(ld, d, signal, path);
	return err ? err : config_draft__build(d, text, n);
}

static bool text__same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* True when metrics can go the way of traces, apart from the URL over HTTP. */
static bool otlp__same(const struct clew_export_config *a, const struct clew_export_config *b)
{
	if (a->kind != b->kind || a->compression != b->compression ||
	    a->timeout_ms != b->timeout_ms || a->insecure != b->insecure ||
	    a->nr_headers != b->nr_headers || !text__same(a->certificate, b->certificate) ||
	    !text__same(a->client_key, b->client_key) ||
	    !text__same(a->client_certificate, b->client_certificate))
		return false;
	for (uint32_t i = 0; i < a->nr_headers; i++)
		if (strcmp(a->headers[i].name, b->headers[i].name) ||
		    strcmp(a->headers[i].value, b->headers[i].value))
			return false;
	return a->kind != CLEW_EXPORT_OTLP_GRPC || text__same(a->target, b->target);
}

static bool otel__any_metrics(const struct config_load *ld)
{
	for (char *const *env = ld->env; env && *env; env++)
		if (!strncmp(*env, OTLP "METRICS_", strlen(OTLP "METRICS_")))
			return true;
	return false;
}

/* How metrics go: their own URL, and their own everything where the variables say so. */
static int otlp__metrics(struct config_load *ld, struct clew_export_config *ex)
{
	struct config_draft d;
	char text[384];
	int err;

	/* Only a traces endpoint: a default of the specification is nobody's wish. */
	if (!otel__any_metrics(ld) && !config_env__get(ld->env, OTLP "ENDPOINT"))
		return 0;
	err = otlp__signal(ld, &d, "METRICS", "/v1/metrics", text, sizeof(text));
	if (err == -EINVAL) {
		otel__ignored(ld, OTLP "METRICS_*", text);
		err = 0;
	} else if (!err) {
		free(ex->metrics_target);
		ex->metrics_target = NULL;
		/* The default of a base endpoint is one for traces; say it for metrics. */
		if (!d.endpoint_exact && d.ex.metrics_target) {
			free(d.ex.target);
			d.ex.target = d.ex.metrics_target;
			d.ex.metrics_target = NULL;
		}
		if (otlp__same(ex, &d.ex)) {
			if (ex->kind != CLEW_EXPORT_OTLP_GRPC) {
				ex->metrics_target = d.ex.target;
				d.ex.target = NULL;
			}
		} else {
			ex->metrics = calloc(1, sizeof(*ex->metrics));
			if (ex->metrics) {
				free(d.ex.metrics_target);
				d.ex.metrics_target = NULL;
				*ex->metrics = d.ex;
				memset(&d.ex, 0, sizeof(d.ex));
			}
			err = ex->metrics ? 0 : -ENOMEM;
		}
	}
	config_draft__free(&d);
	return err;
}

static int otel__otlp(struct config_load *ld)
{
	struct config_draft d;
	char text[384];
	bool added = false;
	int err = otlp__signal(ld, &d, "TRACES", "/v1/traces", text, sizeof(text));

	/* Also when it cannot be used: its headers are meant for nobody else. */
	ld->has_otlp_env = true;
	if (!err)
		err = otlp__metrics(ld, &d.ex);
	if (!err)
		err = config_exporter__take(ld->cfg, &d.ex, &added, text, sizeof(text));
	if (err == -EINVAL) {
		otel__ignored(ld, OTLP "*", text);
		err = 0;
	}
	config_draft__free(&d);
	return err;
}

static int otel__console(struct config_load *ld)
{
	struct config_draft d;
	char text[384];
	bool added;
	int err = config_draft__init(&d);

	d.type = CONFIG_DRAFT_CONSOLE;
	if (!err)
		err = config_exporter__add(ld->cfg, &d, &added, text, sizeof(text));
	if (err == -EINVAL) {
		otel__ignored(ld, "OTEL_TRACES_EXPORTER", text);
		err = 0;
	}
	config_draft__free(&d);
	return err;
}

/* OTEL_TRACES_EXPORTER names them; without it an endpoint is as good as "otlp". */
static int otel__exporters(struct config_load *ld)
{
	static const char var[] = "OTEL_TRACES_EXPORTER";
	const char *list = config_env__get(ld->env, var);
	int err = 0;

	if (!list)
		return config_env__get(ld->env, OTLP "ENDPOINT") ||
				       config_env__get(ld->env, OTLP "TRACES_ENDPOINT")
			       ? otel__otlp(ld)
			       : 0;
	while (!err && *list) {
		size_t n = strcspn(list, ","), lead = strspn(list, " \t");
		const char *name = list + lead;
		size_t len = n > lead ? n - lead : 0;
		char text[160];

		while (len && (name[len - 1] == ' ' || name[len - 1] == '\t'))
			len--;
		list += n + (list[n] == ',');
		if (len == 4 && !strncmp(name, "otlp", len)) {
			err = otel__otlp(ld);
		} else if (len == 7 && !strncmp(name, "console", len)) {
			err = otel__console(ld);
		} else if (len == 4 && !strncmp(name, "none", len)) {
			ld->no_console = true;
		} else if (len) {
			snprintf(text, sizeof(text),
				 "\"%.*s\" is unknown; expected otlp, console or none",
				 (int)(len > 64 ? 64 : len), name);
			otel__ignored(ld, var, text);
		}
	}
	return err;
}

static void otel__metrics_exporter(struct config_load *ld)
{
	const char *value = config_env__get(ld->env, "OTEL_METRICS_EXPORTER");

	if (!value || strcmp(value, "none"))
		return;
	ld->cfg->telemetry.metrics_interval_ms = 0;
	config__mark(ld, config_key__find(CONFIG_TELEMETRY, "metrics_interval_ms", 19),
		     CONFIG_FROM_OTEL);
}

int config_otel__apply(struct config_load *ld)
{
	struct config_draft d;
	int err = otel__keys(ld);

	if (!err)
		err = otel__service(ld);
	if (err)
		return err;
	otel__disabled(ld);
	otel__sampler(ld);
	otel__bsp(ld);
	otel__metrics_exporter(ld);
	err = config_draft__init(&d);
	if (!err)
		err = otlp__setting(ld, &d, "TRACES", "PROTOCOL", "protocol");
	ld->otlp_protocol = d.protocol;
	config_draft__free(&d);
	return err ? err : otel__exporters(ld);
}
