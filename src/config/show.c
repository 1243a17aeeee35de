/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show.c - the effective configuration in print.
 *
 * As YAML it is a file that clew reads again, with the source of each value as a comment; as
 * JSON the same keys with their sources apart. Texts are written as JSON strings, which YAML
 * reads as well. Header values and credentials in URLs are *** in both: what is printed ends up
 * in tickets.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "config_private.h"

#define SECRET	  "***"
#define SHOWN_MAX (256u << 10) /* bytes of one text, escaped; an argument may be long */

static void show__text(FILE *out, const char *text)
{
	struct clew_json j;

	clew_json__init(&j, SHOWN_MAX);
	clew_json__cstr(&j, text);
	if (j.err)
		fputs("\"...\"", out);
	else
		fwrite(j.p, 1, j.len, out);
	clew_json__free(&j);
}

/* The shortest of a few forms that reads back as the same number. */
static void show__double(FILE *out, double v)
{
	char text[40];

	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	fputs(text, out);
}

static void show__choice(FILE *out, const struct config_key *key, const void *field)
{
	int value = 0;

	if (key->size == sizeof(bool))
		value = *(const bool *)field;
	else
		memcpy(&value, field, sizeof(value));
	for (const struct config_choice *c = key->choices; c->name; c++) {
		if (c->value == value) {
			show__text(out, c->name);
			return;
		}
	}
	fputs("null", out);
}

static void show__string(FILE *out, const struct config_key *key, const char *text)
{
	char masked[CONFIG_TEXT_MAX + 8];

	if (!text)
		fputs("null", out);
	else if (key->flags & CONFIG_URL)
		show__text(out, config_url__mask(text, masked, sizeof(masked)));
	else
		show__text(out, text);
}

static void show__numbers(FILE *out, const struct config_key *key, const void *base)
{
	const void *field = (const char *)base + key->offset;
	uint32_t n = *(const uint32_t *)((const char *)base + key->count);

	fputc('[', out);
	for (uint32_t i = 0; i < n; i++)
		fprintf(out, "%s%u", i ? ", " : "",
			key->type == CONFIG_PORTS ? (*(uint16_t *const *)field)[i]
						  : (*(uint32_t *const *)field)[i]);
	fputc(']', out);
}

static void show__strv(FILE *out, const struct clew_strv *strv)
{
	fputc('[', out);
	for (uint32_t i = 0; i < strv->n; i++) {
		fputs(i ? ", " : "", out);
		show__text(out, strv->v[i]);
	}
	fputc(']', out);
}

static void show__headers(FILE *out, const struct clew_export_config *ex)
{
	fputc('{', out);
	for (uint32_t i = 0; i < ex->nr_headers; i++) {
		fputs(i ? ", " : "", out);
		show__text(out, ex->headers[i].name);
		fputs(": \"" SECRET "\"", out);
	}
	fputc('}', out);
}

static void show__value(FILE *out, const struct config_key *key, const void *base)
{
	const void *field = (const char *)base + key->offset;

	switch (key->type) {
	case CONFIG_BOOL:
		fputs(*(const bool *)field ? "true" : "false", out);
		break;
	case CONFIG_U32:
	case CONFIG_BYTES:
		if (key->flags & CONFIG_OR_NONE && !*(const uint32_t *)field)
			fputs("\"none\"", out);
		else
			fprintf(out, "%u", *(const uint32_t *)field);
		break;
	case CONFIG_DOUBLE:
		show__double(out, *(const double *)field);
		break;
	case CONFIG_CHOICE:
		show__choice(out, key, field);
		break;
	case CONFIG_STRING:
		show__string(out, key, *(char *const *)field);
		break;
	case CONFIG_STRV:
		show__strv(out, field);
		break;
	case CONFIG_PIDS:
	case CONFIG_PORTS:
		show__numbers(out, key, base);
		break;
	case CONFIG_HEADERS:
		show__headers(out, &((const struct config_draft *)base)->ex);
		break;
	}
}

/* A draft that borrows everything from an exporter, so that the table can be walked. */
static struct config_draft show__draft(const struct clew_export_config *ex)
{
	struct config_draft d = {.ex = *ex, .type = config_export__type(ex->kind)};

	if (d.type == CONFIG_DRAFT_FILE) {
		d.path = ex->target;
	} else if (d.type != CONFIG_DRAFT_CONSOLE) {
		d.endpoint = ex->target;
		d.metrics_endpoint = ex->metrics_target;
	}
	return d;
}

static bool show__applies(const struct config_key *key, const struct config_draft *d)
{
	uint32_t want = d->type == CONFIG_DRAFT_FILE	  ? CONFIG_FOR_FILE
			: d->type == CONFIG_DRAFT_CONSOLE ? 0
							  : CONFIG_FOR_OTLP;
	const void *field = (const char *)d + key->offset;

	if (key->section != CONFIG_EXPORTERS || !(key->flags & (CONFIG_FOR_ALL | want)))
		return false;
	if (!strcmp(key->name, "protocol"))
		return false; /* the type says it */
	return key->type != CONFIG_STRING || *(char *const *)field;
}

/* JSON: the closing brace is left to the caller, who may add a member. */
static void show__exporter(FILE *out, const struct clew_export_config *ex, bool json)
{
	struct config_draft d = show__draft(ex);
	bool first = true;

	fputs(json ? "{" : "", out);
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		const struct config_key *key = &config_keys[i];

		if (!show__applies(key, &d))
			continue;
		if (json)
			fprintf(out, "%s\"%s\": ", first ? "" : ", ", key->name);
		else
			fprintf(out, "%s%s: ", first ? "  - " : "    ", key->name);
		show__value(out, key, &d);
		fputs(json ? "" : "\n", out);
		first = false;
	}
}

/* What OTEL_EXPORTER_OTLP_METRICS_* asked for has no key: a comment in YAML. */
static void show__metrics(FILE *out, const struct clew_export_config *ex, bool json)
{
	char masked[CONFIG_TEXT_MAX + 8];

	if (!ex->metrics)
		return;
	if (json) {
		fputs(", \"metrics\": ", out);
		show__exporter(out, ex->metrics, true);
		fputc('}', out);
		return;
	}
	fputs("    # OTEL_EXPORTER_OTLP_METRICS_*: metrics go to ", out);
	show__text(out, config_url__mask(ex->metrics->target, masked, sizeof(masked)));
	fputs(" with settings of their own\n", out);
}

static void show__args(FILE *out, char *const *args)
{
	fputc('[', out);
	for (uint32_t i = 0; args && args[i]; i++) {
		fputs(i ? ", " : "", out);
		show__text(out, args[i]);
	}
	fputc(']', out);
}

static void show__yaml_section(const struct clew_config *cfg, int section, FILE *out)
{
	const char *name = config_section_names[section];

	if (*name)
		fprintf(out, "%s:\n", name);
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		const struct config_key *key = &config_keys[i];

		if ((int)key->section != section)
			continue;
		fprintf(out, "%s%s: ", *name ? "  " : "", key->name);
		show__value(out, key, cfg);
		fprintf(out, " # %s\n", config_origin_names[cfg->origins[i]]);
	}
}

static void show__yaml(const struct clew_config *cfg, FILE *out)
{
	for (int s = CONFIG_TOP; s < CONFIG_EXPORTERS; s++)
		show__yaml_section(cfg, s, out);
	fputs(cfg->nr_exporters ? "exporters:\n" : "exporters: []\n", out);
	for (uint32_t i = 0; i < cfg->nr_exporters; i++) {
		show__exporter(out, &cfg->exporters[i], false);
		show__metrics(out, &cfg->exporters[i], false);
	}
	if (cfg->command) {
		fputs("# command: ", out);
		show__args(out, cfg->command);
		fputc('\n', out);
	}
}

static void show__json_section(const struct clew_config *cfg, int section, FILE *out)
{
	bool first = true;

	for (uint32_t i = 0; i < config_nr_keys; i++) {
		const struct config_key *key = &config_keys[i];

		if ((int)key->section != section)
			continue;
		fprintf(out, "%s\"%s\": ", first ? "" : ", ", key->name);
		show__value(out, key, cfg);
		first = false;
	}
}

static void show__json_origins(const struct clew_config *cfg, FILE *out)
{
	bool first = true;
	char path[128];

	fputc('{', out);
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		if (config_keys[i].section == CONFIG_EXPORTERS)
			continue;
		fprintf(out, "%s\"%s\": \"%s\"", first ? "" : ", ",
			config_key__path(&config_keys[i], path, sizeof(path)),
			config_origin_names[cfg->origins[i]]);
		first = false;
	}
	fputc('}', out);
}

static void show__json(const struct clew_config *cfg, FILE *out)
{
	fputc('{', out);
	show__json_section(cfg, CONFIG_TOP, out);
	for (int s = CONFIG_TOP + 1; s < CONFIG_EXPORTERS; s++) {
		fprintf(out, ",\n \"%s\": {", config_section_names[s]);
		show__json_section(cfg, s, out);
		fputc('}', out);
	}
	fputs(",\n \"exporters\": [", out);
	for (uint32_t i = 0; i < cfg->nr_exporters; i++) {
		fputs(i ? ",\n  " : "", out);
		show__exporter(out, &cfg->exporters[i], true);
		show__metrics(out, &cfg->exporters[i], true);
		fputc('}', out);
	}
	fputs("],\n \"command\": ", out);
	if (cfg->command)
		show__args(out, cfg->command);
	else
		fputs("null", out);
	fputs(",\n \"warnings\": ", out);
	show__strv(out, &cfg->warnings);
	fputs(",\n \"origins\": ", out);
	show__json_origins(cfg, out);
	fputs("}\n", out);
}

int clew_config__show(const struct clew_config *cfg, bool json, FILE *out)
{
	if (json)
		show__json(cfg, out);
	else
		show__yaml(cfg, out);
	return fflush(out) || ferror(out) ? -EIO : 0;
}
