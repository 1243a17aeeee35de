/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_test.h - one load with everything given: a file's text, an environment, arguments.
 */
#ifndef CLEW_CONFIG_TEST_H
#define CLEW_CONFIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config_private.h"

/* The file's name in messages is always this: tests compare whole lines. */
#define FILE_NAME "t.yaml"

struct loaded {
	struct clew_config *cfg; /* NULL: refused */
	int err;
	char line[1024];
};

/*
 * Load as `clew command args...` would. `yaml` may be NULL; `env` and `args` are NULL terminated
 * arrays or NULL.
 */
static inline struct loaded load_all(const char *command, const char *yaml, const char *const *env,
				     const char *const *args)
{
	struct loaded l = {0};
	char dir[] = "/tmp/clew-config-XXXXXX", *argv[64];
	int argc = 0;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	if (yaml) {
		FILE *f = fopen(FILE_NAME, "w");

		assert_non_null(f);
		fwrite(yaml, 1, strlen(yaml), f);
		fclose(f);
		argv[argc++] = (char *)"--config";
		argv[argc++] = (char *)FILE_NAME;
	}
	for (; args && *args; args++)
		argv[argc++] = (char *)*args;
	l.err = config__load_env(argc, argv, command, (char *const *)env, &l.cfg, l.line,
				 sizeof(l.line));
	unlink(FILE_NAME);
	assert_int_equal(chdir("/"), 0);
	rmdir(dir);
	if (l.err)
		assert_null(l.cfg);
	return l;
}

#define ENV(...)  ((const char *const[]){__VA_ARGS__, NULL})
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A load that must succeed; `show` needs no selection. */
static inline struct clew_config *load_ok(const char *yaml, const char *const *env,
					  const char *const *args)
{
	struct loaded l = load_all("config show", yaml, env, args);

	if (l.err)
		fail_msg("refused: %s", l.line);
	return l.cfg;
}

/* A load that must be refused with exactly this line. */
static inline void load_bad(const char *yaml, const char *const *env, const char *const *args,
			    const char *line)
{
	struct loaded l = load_all("config show", yaml, env, args);

	if (!l.err)
		fail_msg("accepted, expected: %s", line);
	assert_int_equal(l.err, -EINVAL);
	assert_string_equal(l.line, line);
}

/* The only warning is this line; NULL: there is none. */
static inline void assert_warning(const struct clew_config *cfg, const char *line)
{
	if (!line && cfg->warnings.n)
		fail_msg("warned: %s", cfg->warnings.v[0]);
	if (!line)
		return;
	assert_int_equal(cfg->warnings.n, 1);
	assert_string_equal(cfg->warnings.v[0], line);
}

/* `config show` as text, owned. */
static inline char *show_text(const struct clew_config *cfg, bool json)
{
	char *text = NULL, *copy;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	assert_int_equal(clew_config__show(cfg, json, out), 0);
	fclose(out);
	copy = strdup(text); /* gcc 12 thinks that `text` itself is handed out */
	free(text);
	return copy;
}

#endif
