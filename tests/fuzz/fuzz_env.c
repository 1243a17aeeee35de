/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_env.c - environment variables and the command line, as one configuration.
 *
 * The input is a list of NUL-terminated words: those with '=' before any '-' are the environment,
 * the rest are arguments. Checked: each refusal is one line with a cause, and what was accepted
 * can be shown both ways.
 */
#include <stdlib.h>
#include <string.h>

#include "config/config_private.h"

#define WORDS_MAX 48

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file is another source, with a target of its own; and none of this machine's are to be read. */
static bool names_file(const char *word)
{
	return !strncmp(word, "--c", 3) || !strncmp(word, "--h", 3) || !strncmp(word, "-h", 2) ||
	       (word[0] == '-' && word[1] != '-' && strchr(word, 'h'));
}

static void check(int argc, char **argv, char **env, const char *command)
{
	struct clew_config *cfg = NULL;
	char errbuf[512] = "", *text = NULL;
	size_t n;
	FILE *out;
	int err = config__load_env(argc, argv, command, env, &cfg, errbuf, sizeof(errbuf));

	if (err == -EINVAL && (!errbuf[0] || strpbrk(errbuf, "\r\n\x1b")))
		abort();
	if (err)
		return;
	for (int json = 0; json < 2; json++) {
		out = open_memstream(&text, &n);
		if (!out || clew_config__show(cfg, json, out))
			abort();
		fclose(out);
		free(text);
	}
	clew_config__free(cfg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const commands[] = {"run", "config show", "replay", "record"};
	char *env[WORDS_MAX + 1], *argv[WORDS_MAX + 1], *copy, *word;
	int nr_env = 0, argc = 0;

	if (size < 2)
		return 0;
	copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	copy[size - 1] = 0;
	for (word = copy; word < copy + size; word += strlen(word) + 1) {
		size_t eq = strcspn(word, "=-");

		if (word[eq] == '=' && nr_env < WORDS_MAX)
			env[nr_env++] = word;
		else if (argc < WORDS_MAX && *word && !names_file(word))
			argv[argc++] = word;
	}
	env[nr_env] = NULL;
	argv[argc] = NULL;
	check(argc, argv, env, commands[data[0] & 3]);
	free(copy);
	return 0;
}
