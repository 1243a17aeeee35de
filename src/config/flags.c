/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flags.c - the command line.
 *
 * Flags that are keys come from the table; the few others are here. They are read before
 * everything else, because one of them names the file, and applied after everything else,
 * because they win. Selectors on the command line (and a command after `--`) replace the
 * selection of the file and the environment as a whole: who asks for one process gets one.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "config_private.h"

enum flag_id {
	FLAG_EXPORT = 256,
	FLAG_CONFIG,
	FLAG_LISTEN,
	FLAG_NO_LISTEN,
	FLAG_KEYS = 1024, /* + row */
};

static const struct option flag_others[] = {
	{"export", required_argument, NULL, FLAG_EXPORT},
	{"config", required_argument, NULL, FLAG_CONFIG},
	{"listen", required_argument, NULL, FLAG_LISTEN},
	{"no-listen", no_argument, NULL, FLAG_NO_LISTEN},
	{"output", required_argument, NULL, 'o'},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
};

#define NR_OTHERS (sizeof(flag_others) / sizeof(flag_others[0]))

static const struct config_key *flag__top(const char *name)
{
	return config_key__find(CONFIG_TOP, name, strlen(name));
}

static void flags__options(struct option *options)
{
	size_t n = NR_OTHERS;

	memcpy(options, flag_others, sizeof(flag_others));
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->flag)
			options[n++] = (struct option){key->flag,
						       key->type == CONFIG_BOOL ? no_argument
										: required_argument,
						       NULL, FLAG_KEYS + (int)i};
	}
	memset(&options[n], 0, sizeof(*options));
}

static int flags__add(struct config_flags *fl, const struct config_key *key, const char *arg)
{
	struct config_flag *grown = realloc(fl->v, (fl->nr + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	fl->v = grown;
	grown[fl->nr++] = (struct config_flag){key, arg};
	return 0;
}

/* A recording has its processes in it already: nothing is captured, nothing is selected. */
static bool flag__fits(const struct config_key *key, const char *command)
{
	return strcmp(command, "replay") ||
	       !((key->flags & CONFIG_SELECTOR) || key->section == CONFIG_SELECT ||
		 key->section == CONFIG_CAPTURE || key == flag__top("record_path"));
}

static int flags__one(struct config_flags *fl, int id, const char *arg, const char *command,
		      char *errbuf, size_t n)
{
	const struct config_key *key;

	switch (id) {
	case 'h':
		fl->help = true;
		return 0;
	case 'v':
		return flags__add(fl, flag__top("log_level"), "debug");
	case 'o':
		if (strcmp(command, "record"))
			return config__fail(
				errbuf, n, "-o: not a flag of %s; expected --record FILE", command);
		return flags__add(fl, flag__top("record_path"), arg);
	case FLAG_EXPORT:
		return flags__add(fl, NULL, arg);
	case FLAG_CONFIG:
		if (fl->file)
			return config__fail(errbuf, n, "--config: given twice; expected one file");
		fl->file = arg;
		return 0;
	case FLAG_LISTEN:
		return config__fail(errbuf, n,
				    "--listen: not supported yet; expected no such flag (this "
				    "version has no API and no page)");
	case FLAG_NO_LISTEN: /* nothing does */
		return 0;
	}
	key = &config_keys[id - FLAG_KEYS];
	if (!flag__fits(key, command))
		return config__fail(errbuf, n, "--%s: not a flag of %s; expected outputs only",
				    key->flag, command);
	return flags__add(fl, key, arg ? arg : "true");
}

/* getopt stopped: what was wrong with the word before optind. */
static int flags__bad(int c, char **words, char *errbuf, size_t n)
{
	const char *word = words[optind - 1];

	if (c == ':')
		return config__fail(errbuf, n, "%.64s: the value is missing; expected one", word);
	if (strncmp(word, "--", 2) && optopt)
		return config__fail(errbuf, n, "-%c: unknown flag; expected one that --help lists",
				    optopt);
	if (optopt)
		return config__fail(errbuf, n, "%.64s: takes no value; expected the flag alone",
				    word);
	return config__fail(errbuf, n, "%.64s: unknown flag; expected one that --help lists", word);
}

static int flags__operands(struct config_flags *fl, char **words, int nr, const char *command,
			   char *errbuf, size_t n)
{
	bool takes_file = !strncmp(command, "config", 6) || !strcmp(command, "replay");
	const char **dest = strcmp(command, "replay") ? &fl->file : &fl->replay;

	if (fl->help)
		return 0;
	for (int i = 0; i < nr; i++) {
		if (!takes_file)
			return config__fail(
				errbuf, n,
				"\"%.64s\": unexpected word; expected flags, or -- before "
				"a command",
				words[i]);
		if (*dest)
			return config__fail(errbuf, n,
					    "\"%.64s\": one word too many; expected one "
					    "file",
					    words[i]);
		*dest = words[i];
	}
	return 0;
}

/* getopt permutes: it works on a copy, with the command in the place of a program's name. */
static int flags__getopt(struct config_flags *fl, char **words, int nr, const char *command,
			 char *errbuf, size_t n)
{
	struct option options[NR_OTHERS + CONFIG_KEYS_MAX + 1];
	int c, err = 0;

	flags__options(options);
	optind = 0; /* start over: glibc */
	opterr = 0;
	while (!err && (c = getopt_long(nr, words, ":hvo:", options, NULL)) != -1)
		err = c == '?' || c == ':' ? flags__bad(c, words, errbuf, n)
					   : flags__one(fl, c, optarg, command, errbuf, n);
	return err ? err : flags__operands(fl, words + optind, nr - optind, command, errbuf, n);
}

int config_flags__parse(struct config_flags *fl, int argc, char **argv, const char *command,
			char *errbuf, size_t n)
{
	int nr = 0, err;
	char **words;

	memset(fl, 0, sizeof(*fl));
	while (nr < argc && strcmp(argv[nr], "--"))
		nr++;
	if (nr < argc) {
		fl->command = argv + nr + 1;
		fl->nr_command = argc - nr - 1;
		if (!fl->nr_command)
			return config__fail(errbuf, n,
					    "--: nothing follows; expected a command to run");
		if (!strcmp(command, "replay"))
			return config__fail(errbuf, n,
					    "--: not a flag of replay; expected no command");
	}
	words = calloc((size_t)nr + 2, sizeof(*words));
	if (!words)
		return -ENOMEM;
	words[0] = (char *)command;
	memcpy(words + 1, argv, (size_t)nr * sizeof(*words));
	err = flags__getopt(fl, words, nr + 1, command, errbuf, n);
	free(words);
	return err;
}

void config_flags__free(struct config_flags *fl)
{
	free(fl->v);
	memset(fl, 0, sizeof(*fl));
}

static int flags__command(struct clew_config *cfg, const struct config_flags *fl)
{
	cfg->command = calloc((size_t)fl->nr_command + 1, sizeof(*cfg->command));
	if (!cfg->command)
		return -ENOMEM;
	for (int i = 0; i < fl->nr_command; i++) {
		cfg->command[i] = strdup(fl->command[i]);
		if (!cfg->command[i])
			return -ENOMEM;
	}
	return 0;
}

static void flags__clear_selection(struct config_load *ld)
{
	for (uint32_t i = 0; i < config_nr_keys; i++) {
		if (!(config_keys[i].flags & CONFIG_SELECTOR))
			continue;
		config_value__clear(&config_keys[i], ld->cfg);
		config__mark(ld, &config_keys[i], CONFIG_FROM_DEFAULT);
	}
}

static int flags__export(struct config_load *ld, const char *arg)
{
	struct config_draft d;
	char text[384];
	bool added;
	int err = config_draft__init(&d);

	if (!err)
		err = config_draft__from_flag(&d, arg, text, sizeof(text));
	if (!err && d.type != CONFIG_DRAFT_FILE && d.type != CONFIG_DRAFT_CONSOLE &&
	    !ld->has_otlp_env)
		err = config_otel__settings(ld, &d, "TRACES");
	if (!err)
		err = config_exporter__add(ld->cfg, &d, &added, text, sizeof(text));
	config_draft__free(&d);
	return err == -EINVAL ? config__fail(ld->errbuf, ld->errlen, "--export: %s", text) : err;
}

static int flags__key(struct config_load *ld, const struct config_flag *f, bool *seen)
{
	const struct config_key *key = f->key;
	uint32_t index = config_key__index(key);
	char text[384];
	int err;

	if (config_value__is_list(key)) {
		if (!seen[index])
			config_value__clear(key, ld->cfg);
		err = config_value__append(key, ld->cfg, f->arg, text, sizeof(text));
	} else {
		err = config_value__set(key, ld->cfg, f->arg, text, sizeof(text));
	}
	seen[index] = true;
	if (err == -EINVAL)
		return config__fail(ld->errbuf, ld->errlen, "--%s: %s", key->flag, text);
	if (!err)
		config__mark(ld, key, CONFIG_FROM_FLAG);
	return err;
}

int config_flags__apply(struct config_load *ld, const struct config_flags *fl)
{
	bool selects = fl->command != NULL, seen[CONFIG_KEYS_MAX] = {false};
	int err = 0;

	for (uint32_t i = 0; i < fl->nr; i++)
		selects |= fl->v[i].key && fl->v[i].key->flags & CONFIG_SELECTOR;
	if (selects)
		flags__clear_selection(ld);
	for (uint32_t i = 0; !err && i < fl->nr; i++)
		err = fl->v[i].key ? flags__key(ld, &fl->v[i], seen)
				   : flags__export(ld, fl->v[i].arg);
	if (!err && fl->command)
		err = flags__command(ld->cfg, fl);
	if (!err && fl->replay) {
		ld->cfg->replay_path = strdup(fl->replay);
		err = ld->cfg->replay_path ? 0 : -ENOMEM;
	}
	return err;
}
