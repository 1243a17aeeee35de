/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - finds the sub-command. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

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
};

static int usage(FILE *out, int code)
{
	fprintf(out, "usage: clew COMMAND [options]\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "  %-8s %s\n\n`clew COMMAND --help` tells more.\n", "version",
		"print the version");
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
	if (!strcmp(argv[1], "version") || !strcmp(argv[1], "--version")) {
		printf("clew %s\n", CLEW_VERSION);
		return 0;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].fn(argc - 1, argv + 1);
	fprintf(stderr, "clew: no command '%s'\n", argv[1]);
	return usage(stderr, 2);
}
