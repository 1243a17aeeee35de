/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_env.c - environment variables and the command line, as one configuration.
 *
 * The input is a list of NUL-terminated words: those with '=' before any '-' are the environment,
 * the rest are arguments; behind "--config=" stands the file itself. Checked: each refusal is one
 * line with a cause, and what was accepted can be shown both ways.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config_private.h"

#define WORDS_MAX 48
#define CONFIG	  "--config="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* None of this machine's files are to be read, and no help to be printed. */
static bool names_file(const char *word)
{
	return !strncmp(word, "--conf", 6) || !strncmp(word, "--h", 3) ||
	       (word[0] == '-' && word[1] != '-' && strchr(word, 'h'));
}

/* "--config=" and the file itself: handed over as a descriptor. */
static char *as_file(const char *word, char *buf, size_t n, int *fd)
{
	const char *bytes = word + strlen(CONFIG);

	*fd = memfd_create("config", MFD_CLOEXEC);
	if (*fd < 0 || write(*fd, bytes, strlen(bytes)) != (ssize_t)strlen(bytes))
		abort();
	snprintf(buf, n, CONFIG "/proc/self/fd/%d", *fd);
	return buf;
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
	char path[64];
	int nr_env = 0, argc = 0, fd = -1;

	if (size < 2)
		return 0;
	copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	copy[size - 1] = 0;
	for (word = copy; word < copy + size; word += strlen(word) + 1) {
		size_t eq = strcspn(word, "=-");

		if (word[eq] == '=' && nr_env < WORDS_MAX)
			env[nr_env++] = word;
		else if (argc < WORDS_MAX && fd < 0 && !strncmp(word, CONFIG, strlen(CONFIG)))
			argv[argc++] = as_file(word, path, sizeof(path), &fd);
		else if (argc < WORDS_MAX && *word && !names_file(word))
			argv[argc++] = word;
	}
	env[nr_env] = NULL;
	argv[argc] = NULL;
	check(argc, argv, env, commands[data[0] & 3]);
	if (fd >= 0)
		close(fd);
	free(copy);
	return 0;
}
