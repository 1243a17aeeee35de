/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c - the order of the sources: defaults, file, CLEW_*, OTEL_*, flags.
 *
 * Each source is a function over the same table (table.c) that stops at its first mistake. What
 * can only be judged when all have spoken (is anything selected, which exporters are there) is
 * checked last.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_private.h"

static void line__clean(char *line)
{
	for (; *line; line++)
		if (iscntrl((unsigned char)*line))
			*line = '?';
}

int config__fail(char *errbuf, size_t n, const char *fmt, ...)
{
	va_list ap;

	if (!n)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(errbuf, n, fmt, ap);
	va_end(ap);
	line__clean(errbuf);
	return -EINVAL;
}

void config__warn(struct clew_config *cfg, const char *fmt, ...)
{
	struct clew_strv *w = &cfg->warnings;
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	line__clean(line);
	for (uint32_t i = 0; i < w->n; i++)
		if (!strcmp(w->v[i], line))
			return; /* several exporters read the same variables */
	if (w->n < CONFIG_WARNINGS_MAX)
		(void)config_strv__add(w, line, strlen(line));
}

void config__mark(struct config_load *ld, const struct config_key *key, enum config_origin from)
{
	ld->cfg->origins[config_key__index(key)] = (uint8_t)from;
}

struct clew_config *config__new(void)
{
	struct clew_config *cfg = calloc(1, sizeof(*cfg));
	int err = -ENOMEM;

	if (!cfg)
		return NULL;
	cfg->origins = calloc(CONFIG_KEYS_MAX, 1);
	if (cfg->origins)
		err = 0;
	for (int s = CONFIG_TOP; !err && s < CONFIG_EXPORTERS; s++)
		err = config_value__defaults(s, cfg);
	if (err) {
		clew_config__free(cfg);
		return NULL;
	}
	return cfg;
}

void clew_config__free(struct clew_config *cfg)
{
	if (!cfg)
		return;
	for (uint32_t i = 0; i < config_nr_keys; i++)
		if (config_keys[i].section != CONFIG_EXPORTERS)
			config_value__clear(&config_keys[i], cfg);
	for (uint32_t i = 0; i < cfg->nr_exporters; i++)
		config_export__clear(&cfg->exporters[i]);
	free(cfg->exporters);
	for (char **arg = cfg->command; arg && *arg; arg++)
		free(*arg);
	free(cfg->command);
	for (uint32_t i = 0; i < cfg->warnings.n; i++)
		free(cfg->warnings.v[i]);
	free(cfg->warnings.v);
	free(cfg->replay_path);
	free(cfg->origins);
	free(cfg);
}

static bool config__selects(const struct clew_config *cfg)
{
	const struct clew_selectors *s = &cfg->select;

	return s->all || s->nr_pids || s->nr_ports || s->exes.n || s->cgroups.n ||
	       s->containers.n || cfg->command;
}

static int config__check(const struct config_load *ld, const char *command)
{
	bool runs = !strcmp(command, "run") || !strcmp(command, "record");

	if (runs && !config__selects(ld->cfg))
		return config__fail(
			ld->errbuf, ld->errlen,
			"%s: no process is selected; expected at least one of --pid N, "
			"--port N, --exe GLOB, --cgroup PATH, --container ID, --all, or -- "
			"COMMAND",
			command);
	if (!strcmp(command, "record") && !ld->cfg->record_path)
		return config__fail(ld->errbuf, ld->errlen,
				    "record: the file is missing; expected -o FILE");
	return 0;
}

static int config__sources(struct config_load *ld, const struct config_flags *fl,
			   const char *command)
{
	int err = 0;

	if (fl->file)
		err = config_file__read(ld, fl->file);
	if (!err)
		err = config_env__apply(ld);
	if (!err)
		err = config_otel__apply(ld);
	if (!err)
		err = config_exporter__shorthand(ld);
	if (!err)
		err = config_flags__apply(ld, fl);
	if (!err)
		err = config_exporter__finish(ld, strcmp(command, "record") != 0);
	return err ? err : config__check(ld, command);
}

int config__load_env(int argc, char **argv, const char *command, char *const *env,
		     struct clew_config **ret, char *errbuf, size_t n)
{
	struct config_load ld = {.env = env, .errbuf = errbuf, .errlen = n};
	struct config_flags fl;
	int err;

	if (n)
		errbuf[0] = '\0';
	err = config_flags__parse(&fl, argc, argv, command, errbuf, n);
	if (!err && fl.help) {
		config_flags__usage(command, stdout);
		err = 1;
	}
	if (!err) {
		ld.file = fl.file;
		ld.cfg = config__new();
		err = ld.cfg ? config__sources(&ld, &fl, command) : -ENOMEM;
	}
	config_flags__free(&fl);
	if (err == -ENOMEM)
		snprintf(errbuf, n, "out of memory");
	if (err) {
		clew_config__free(ld.cfg);
		return err;
	}
	*ret = ld.cfg;
	return 0;
}

int clew_config__load(int argc, char **argv, const char *command, struct clew_config **ret,
		      char *errbuf, size_t n)
{
	return config__load_env(argc, argv, command, environ, ret, errbuf, n);
}
