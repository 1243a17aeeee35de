/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - finds the sub-command. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

static int cmd_version(int argc, char **argv)
{
	const char *flag = argc > 1 ? argv[1] : "";

	if (argc > 2 || (argc > 1 && strcmp(flag, "--json") && strcmp(flag, "--help"))) {
		fprintf(stderr, "clew: version: \"%.64s\" is unknown; expected --json or nothing\n",
			argv[argc - 1]);
		return 2;
	}
	if (!strcmp(flag, "--help"))
		puts("Usage: clew version [--json]");
	else
		printf(*flag ? "{\"version\":\"%s\"}\n" : "clew %s\n", CLEW_VERSION);
	return 0;
}

static const struct command {
	const char *name;
	int (*fn)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", cmd_run, "trace running processes and export their spans"},
	{"record", cmd_run, "write the event stream to a file (-o FILE)"},
	{"replay", cmd_replay, "turn a recorded event stream into spans"},
	{"doctor", cmd_doctor, "what this kernel can do, and why a process is not traced"},
	{"config", cmd_config, "check or show the configuration"},
	{"version", cmd_version, "print the version"},
};

static int usage(FILE *out, int code)
{
	fprintf(out, "usage: clew COMMAND [options]\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\n`clew COMMAND --help` tells more.\n");
	return code;
}

int main(int argc, char **argv)
{
	/* Spans come and go by the hundred: pages given back at once would be taken again at once.
	 */
	mallopt(M_TRIM_THRESHOLD, 8 << 20);
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	if (argc < 2)
		return usage(stderr, 2);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return usage(stdout, 0);
	if (!strcmp(argv[1], "--version"))
		return cmd_version(argc - 1, argv + 1);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].fn(argc - 1, argv + 1);
	fprintf(stderr, "clew: no command '%s'\n", argv[1]);
	return usage(stderr, 2);
}
