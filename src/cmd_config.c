/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_config.c - `clew config check` and `clew config show`.
 *
 * Both load the configuration exactly as `clew run` would with the same flags, so what they say
 * holds for it. Only the selection may be missing: a file alone can be checked.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clew/config.h>

#include "base/json.h"
#include "commands.h"

#define JSON_MAX (1u << 20)

static const char usage[] =
	"Usage: clew config check|show [--json] [FILE] [any flag of clew run]\n"
	"  check   check the file, the variables and the flags; print what is wrong\n"
	"  show    print the effective configuration and where each value comes from\n"
	"`clew config check --help` lists the flags. Exit codes: 0 valid, 1 failed, 2 invalid.\n";

/* What `config check --json` prints; cfg is NULL when `error` says why. */
static int cmd_config__json(const struct clew_config *cfg, const char *error)
{
	struct clew_json j;
	bool ok;

	clew_json__init(&j, JSON_MAX);
	clew_json__obj(&j);
	clew_json__key(&j, "valid");
	clew_json__bool(&j, cfg != NULL);
	if (!cfg) {
		clew_json__key(&j, "error");
		clew_json__cstr(&j, error);
	} else {
		clew_json__key(&j, "warnings");
		clew_json__arr(&j);
		for (uint32_t i = 0; i < cfg->warnings.n; i++)
			clew_json__cstr(&j, cfg->warnings.v[i]);
		clew_json__arr_end(&j);
	}
	clew_json__obj_end(&j);
	ok = !j.err && fwrite(j.p, 1, j.len, stdout) == j.len && putchar('\n') != EOF &&
	     !fflush(stdout);
	clew_json__free(&j);
	return ok ? 0 : -EIO;
}

static int cmd_config__check(const struct clew_config *cfg, bool json)
{
	if (json)
		return cmd_config__json(cfg, NULL);
	return puts("configuration is valid") == EOF || fflush(stdout) ? -EIO : 0;
}

/* Take --json out of what is left to the loader; what follows `--` is not ours. */
static bool cmd_config__take_json(int *argc, char **argv)
{
	bool json = false, ours = true;
	int n = 0;

	for (int i = 0; i < *argc; i++) {
		ours = ours && strcmp(argv[i], "--") != 0;
		if (ours && !strcmp(argv[i], "--json"))
			json = true;
		else
			argv[n++] = argv[i];
	}
	*argc = n;
	return json;
}

static int cmd_config__run(int argc, char **argv, bool show, bool json)
{
	struct clew_config *cfg = NULL;
	char errbuf[1024];
	int err = clew_config__load(argc, argv, show ? "config show" : "config check", &cfg, errbuf,
				    sizeof(errbuf));

	if (err == 1)
		return 0; /* --help */
	if (err) {
		fprintf(stderr, "clew: %s\n", errbuf);
		if (json && !show)
			(void)cmd_config__json(NULL, errbuf);
		return clew_config__exit_code(err);
	}
	for (uint32_t i = 0; i < cfg->warnings.n; i++)
		fprintf(stderr, "clew: warn: %s\n", cfg->warnings.v[i]);
	err = show ? clew_config__show(cfg, json, stdout) : cmd_config__check(cfg, json);
	if (err)
		fprintf(stderr, "clew: standard output: %s\n", strerror(-err));
	clew_config__free(cfg);
	return err ? 1 : 0;
}

int cmd_config(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : NULL;
	bool show = verb && !strcmp(verb, "show"), json;
	char **words;
	int ret;

	if (verb && (!strcmp(verb, "--help") || !strcmp(verb, "-h"))) {
		fputs(usage, stdout);
		return 0;
	}
	if (!show && (!verb || strcmp(verb, "check"))) {
		fprintf(stderr, "clew: config: %s%s%s; expected check or show\n", verb ? "\"" : "",
			verb ? verb : "a word is missing", verb ? "\" is unknown" : "");
		return 2;
	}
	words = calloc((size_t)argc, sizeof(*words));
	if (!words)
		return 1;
	argc -= 2;
	memcpy(words, argv + 2, (size_t)argc * sizeof(*words));
	json = cmd_config__take_json(&argc, words);
	ret = cmd_config__run(argc, words, show, json);
	free(words);
	return ret;
}
