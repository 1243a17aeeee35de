/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - load every BPF program of clew whose hook the running kernel has, and say what the
 * verifier needed for each: one line of JSON {"program", "hook", "insns", "stack"}, or {"program",
 * "failed"} and the verifier's last lines on stderr. Exit 1 when one did not load.
 *
 *	verify
 *
 * The programs of all layers at once, unlike the agent, which loads those of one; with every
 * switch of the configuration on, so that no branch is left out. Nothing is attached.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <clew/bpf.h>
#include "clew.skel.h"

#define LOG_STEPS  1 /* BPF_LOG_LEVEL1, BPF_LOG_STATS: include/linux/bpf_verifier.h */
#define LOG_STATS  4
#define LOG_SIZE   (16 << 20)
#define LAST_LINES 25
#define MAX_FAILED 64
#define NAME_MAX   128

/* Programs that did not load; the last one is being asked for its reasons. */
static char failed[MAX_FAILED][NAME_MAX];
static int nr_failed;
static bool explaining;

/* Index in `failed`, or -1. */
static int find_failed(const char *name)
{
	for (int i = 0; i < nr_failed; i++)
		if (!strcmp(failed[i], name))
			return i;
	return -1;
}

static const char *hook_of(const struct bpf_program *prog)
{
	const char *name = bpf_program__section_name(prog);

	return name[0] == '?' ? name + 1 : name;
}

/* Whether the kernel has what a program is to be attached to. */
static bool kernel_has(const struct btf *btf, const struct bpf_program *prog)
{
	const char *hook = hook_of(prog), *slash = strchr(hook, '/');
	char name[128];

	if (!slash)
		return true;
	if (!strncmp(hook, "tp_btf/", 7)) {
		snprintf(name, sizeof(name), "btf_trace_%s", slash + 1);
		return btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF) > 0;
	}
	if (!strncmp(hook, "fexit/", 6) || !strncmp(hook, "kprobe/", 7) ||
	    !strncmp(hook, "kretprobe/", 10))
		return btf__find_by_name_kind(btf, slash + 1, BTF_KIND_FUNC) > 0;
	return true;
}

/* What it calls: the agent leaves it out as well where that is missing (src/probe/programs.c). */
static bool kernel_helps(const struct btf *btf, const struct bpf_program *prog)
{
	int id = btf__find_by_name_kind(btf, "bpf_func_id", BTF_KIND_ENUM);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (__u32)id) : NULL;

	if (strcmp(bpf_program__name(prog), "clew_node_moved"))
		return true;
	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off),
			    "BPF_FUNC_for_each_map_elem"))
			return true;
	return false;
}

static void print_last_lines(const char *log)
{
	const char *p = log + strlen(log);
	int lines = 0;

	while (p > log && lines <= LAST_LINES)
		if (*--p == '\n')
			lines++;
	fprintf(stderr, "%s\n", p);
}

/* The figures of one program, from the statistics at the end of its log. */
static void report(const struct bpf_program *prog, const char *log)
{
	const char *done = strstr(log, "processed "), *depth = strstr(log, "stack depth ");
	unsigned long insns = done ? strtoul(done + strlen("processed "), NULL, 10) : 0;
	char *end = depth ? (char *)depth + strlen("stack depth ") : NULL;
	unsigned long stack = 0;

	while (end) { /* one figure for each function: 96+32 */
		stack += strtoul(end, &end, 10);
		end = *end == '+' ? end + 1 : NULL;
	}
	printf("{\"program\": \"%s\", \"hook\": \"%s\", \"insns\": %lu, \"stack\": %lu}\n",
	       bpf_program__name(prog), hook_of(prog), insns, stack);
}

static void choose(struct bpf_program *prog, const struct btf *btf, char *log)
{
	int at = find_failed(bpf_program__name(prog));
	bool explained = explaining && at == nr_failed - 1;

	if (explaining)
		bpf_program__set_autoload(prog, explained);
	else
		bpf_program__set_autoload(prog, at < 0 && kernel_has(btf, prog) &&
							kernel_helps(btf, prog));
	bpf_program__set_log_buf(prog, log, explained ? LOG_SIZE : LOG_SIZE / MAX_FAILED);
	bpf_program__set_log_level(prog, explained ? LOG_STEPS | LOG_STATS : LOG_STATS);
}

/* Load all that has not failed before; or, explaining, the one that failed last. 0 or -errno. */
static int load(const struct btf *btf)
{
	struct clew_bpf *skel = clew_bpf__open();
	struct clew_bpf_config *c;
	struct bpf_program *prog;
	size_t size;
	int err;

	if (!skel)
		return -errno;
	c = (void *)&skel->rodata->config;
	c->trace_all = c->watch_exec = c->watch_listen = 1;
	c->request_budget = c->response_budget = 2048;
	bpf_object__for_each_program(prog, skel->obj)
		choose(prog, btf, calloc(1, explaining ? LOG_SIZE : LOG_SIZE / MAX_FAILED));
	err = clew_bpf__load(skel);
	bpf_object__for_each_program(prog, skel->obj)
	{
		char *log = (char *)bpf_program__log_buf(prog, &size);

		if (bpf_program__autoload(prog) && explaining)
			print_last_lines(log);
		else if (bpf_program__autoload(prog) && !err)
			report(prog, log);
		free(log);
	}
	clew_bpf__destroy(skel);
	return err;
}

/* libbpf names the program in its message alone. */
static int listen(enum libbpf_print_level level, const char *fmt, va_list args)
{
	static const char sign[] = "': failed to load";
	char text[512], *name, *end;

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(text, sizeof(text), fmt, args);
	name = strstr(text, "prog '");
	end = strstr(text, sign);
	if (name && end && !explaining && nr_failed < MAX_FAILED) {
		*end = '\0';
		snprintf(failed[nr_failed++], NAME_MAX, "%s", name + strlen("prog '"));
		fprintf(stderr, "verify: %s does not load%s", failed[nr_failed - 1],
			end + sizeof(sign) - 1);
		printf("{\"program\": \"%s\", \"failed\": true}\n", failed[nr_failed - 1]);
	}
	return 0;
}

int main(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int before, err;

	if (!btf) {
		fprintf(stderr, "verify: the kernel has no BTF\n");
		return 1;
	}
	libbpf_set_print(listen);
	do {
		before = nr_failed;
		err = load(btf);
		if (nr_failed > before) {
			explaining = true;
			load(btf);
			explaining = false;
		}
	} while (err && nr_failed > before); /* the others are to be seen, too */
	if (err)
		fprintf(stderr, "verify: cannot load: %s\n", strerror(-err));
	return err || nr_failed;
}
