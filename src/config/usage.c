/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage.c - what `--help` prints for the commands that take the configuration.
 *
 * Written by hand, grouped as a user thinks of it; a unit test checks that every flag of the
 * table is named.
 */
#include <string.h>

#include "config_private.h"

static const char selectors[] =
	"Selectors (repeatable; a process that matches any of them is traced, with its children):\n"
	"  --pid N               this process\n"
	"  --port N              processes that listen on the TCP port\n"
	"  --exe GLOB            processes by the path of their executable\n"
	"  --cgroup PATH         processes in the control group\n"
	"  --container ID        processes in the container\n"
	"  --all                 every process\n"
	"  --exclude-exe GLOB    never these executables\n"
	"  --exclude-path GLOB   no spans for these request paths\n"
	"  -- COMMAND ARGS...    run the command and trace it from its first byte\n"
	"\n";

static const char outputs[] =
	"Outputs (repeatable; all of them get every span; without any: console):\n"
	"  --export file=PATH        OTLP JSON, one request a line\n"
	"  --export otlp-grpc=URL    OTLP over gRPC; http:// is without TLS, https:// with\n"
	"  --export otlp-http=URL    OTLP over HTTP, protobuf; /v1/traces is added to a bare URL\n"
	"  --export otlp-json=URL    OTLP over HTTP, JSON\n"
	"  --export console          standard output\n"
	"  --ledger PATH             the ledger as JSON at exit\n"
	"  --record FILE             record the event stream as well\n"
	"\n";

static const char capture[] =
	"Capture:\n"
	"  --capture-layer LAYER     fentry, kprobe or rawtp; unset: the cheapest that works\n"
	"\n";

static const char general[] =
	"General:\n"
	"  --config FILE         YAML file, see docs/configuration.md\n"
	"  --log-level LEVEL     error, warn, info or debug\n"
	"  -v, --verbose         same as --log-level debug\n"
	"  -h, --help            this text\n"
	"\n"
	"Values come from, later wins: defaults, the file, CLEW_SECTION__KEY variables, OTEL_*\n"
	"variables, flags. Exporters of all of them add up.\n"
	"Exit codes: 0 done, 1 failed, 2 wrong use.\n";

static const struct {
	const char *command, *line, *what;
	bool selects;
} commands[] = {
	{"run", "clew run [selectors] [outputs] [-- COMMAND ARGS...]",
	 "Trace the HTTP requests of running processes and export spans.", true},
	{"record", "clew record -o FILE [selectors] [-- COMMAND ARGS...]",
	 "Record what the kernel says about the selected processes, for clew replay.", true},
	{"replay", "clew replay FILE [outputs]",
	 "Make the spans of a recording; needs no privileges.", false},
	{"config check", "clew config check [--json] [FILE] [any flag of clew run]",
	 "Check the file, the variables and the flags.", true},
	{"config show", "clew config show [--json] [FILE] [any flag of clew run]",
	 "Print the effective configuration and where each value comes from.", true},
};

void config_flags__usage(const char *command, FILE *out)
{
	size_t i = 0, nr = sizeof(commands) / sizeof(commands[0]);

	while (i < nr && strcmp(commands[i].command, command))
		i++;
	if (i == nr) {
		fprintf(out, "Usage: clew %s [flags]\n\n", command);
		i = 0;
	} else {
		fprintf(out, "Usage: %s\n%s\n\n", commands[i].line, commands[i].what);
	}
	if (commands[i].selects)
		fputs(selectors, out);
	fputs(outputs, out);
	if (commands[i].selects)
		fputs(capture, out);
	fputs(general, out);
}
