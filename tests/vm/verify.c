/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - load every BPF program of clew whose hook the running kernel has, and say what the
 * verifier needed for each: one line of JSON {"program", "hook", "insns", "stack"}, or {"program",
 * "failed"} and the verifier's last lines on stderr. Exit 1 when one did not load. "stack" is that
 * of the deepest chain of calls, of which the kernel allows 512 bytes.
 *
 *	verify [OBJECT]		OBJECT: the programs of that file, not clew's
 *
 * The programs of all layers at once, unlike the agent, which loads those of one; with every
 * switch of the configuration on, so that no branch is left out. Nothing is attached.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <clew/bpf.h>
#include "clew.skel.h"
#include "probe/features_bpf.h"

#define LOG_STEPS  1 /* BPF_LOG_LEVEL1, BPF_LOG_STATS: include/linux/bpf_verifier.h */
#define LOG_STATS  4
#define LOG_SIZE   (16 << 20)
#define LAST_LINES 25
#define MAX_FAILED 64
#define NAME_MAX   128
#define MAX_FUNCS  64

/* Programs that did not load; the last one is being asked for its reasons. */
static char failed[MAX_FAILED][NAME_MAX];
static int nr_failed;
static bool explaining;
static int fexit_refused; /* -errno of a kernel without trampolines, as a fexit program needs */

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
	if (!strncmp(hook, "fexit/", 6) && fexit_refused)
		return false;
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

/* What the kernel keeps of a loaded program, in its order of functions. */
struct loaded {
	struct bpf_insn *insns;
	struct bpf_func_info *funcs; /* [0] is the program itself */
	unsigned int nr_insns, nr_funcs;
	unsigned int frame[MAX_FUNCS]; /* bytes of stack, as the verifier says */
};

/* The function that instruction `i` calls, or hands on as a callback; -1 when it does neither. */
static int callee(const struct loaded *p, unsigned int i)
{
	const struct bpf_insn *in = &p->insns[i];

	if (in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_CALL)
		return in->imm;
	if (in->code == (BPF_LD | BPF_IMM | BPF_DW) && in->src_reg == BPF_PSEUDO_FUNC)
		return in[1].imm;
	return -1;
}

/*
 * Stack of the deepest chain of calls that begins at function `f`, counted as kernels up to 6.12 do
 * (check_max_stack_depth, kernel/bpf/verifier.c): each frame takes whole units of 32 bytes. Newer
 * ones ask for less. The verifier has proved that no chain comes back to itself. -1: a call that
 * leads nowhere, so this file does not understand the kernel.
 */
static int deepest(const struct loaded *p, unsigned int f)
{
	unsigned int end = f + 1 < p->nr_funcs ? p->funcs[f + 1].insn_off : p->nr_insns;
	int below = 0;

	for (unsigned int i = p->funcs[f].insn_off; i < end; i++) {
		int to = callee(p, i), depth;

		if (to < 0)
			continue;
		depth = to && (unsigned int)to < p->nr_funcs ? deepest(p, (unsigned int)to) : -1;
		if (depth < 0)
			return -1;
		below = depth > below ? depth : below;
	}
	return below + (int)((p->frame[f] ? p->frame[f] : 1) + 31) / 32 * 32;
}

/* The frames are at the end of the log, one for each function: 96+32. */
static int read_frames(struct loaded *p, const char *log)
{
	const char *depth = strstr(log, "stack depth ");
	char *end = depth ? (char *)depth + strlen("stack depth ") : NULL;
	unsigned int nr = 0;

	while (end && nr < MAX_FUNCS) {
		p->frame[nr++] = (unsigned int)strtoul(end, &end, 10);
		end = *end == '+' ? end + 1 : NULL;
	}
	return nr == p->nr_funcs ? 0 : -EINVAL;
}

/* 0 or -errno; what it allocates is in `p` in both cases. */
static int read_back(struct loaded *p, int fd)
{
	struct bpf_prog_info info = {0};
	__u32 size = sizeof(info);

	if (bpf_prog_get_info_by_fd(fd, &info, &size))
		return -errno;
	p->nr_insns = info.xlated_prog_len / sizeof(*p->insns);
	p->nr_funcs = info.nr_func_info;
	if (!p->nr_insns || !p->nr_funcs || info.func_info_rec_size != sizeof(*p->funcs))
		return -EINVAL;
	p->insns = calloc(p->nr_insns + 1, sizeof(*p->insns));
	p->funcs = calloc(p->nr_funcs, sizeof(*p->funcs));
	if (!p->insns || !p->funcs)
		return -ENOMEM;
	info = (struct bpf_prog_info){
		.xlated_prog_len = p->nr_insns * sizeof(*p->insns),
		.xlated_prog_insns = (__u64)(uintptr_t)p->insns,
		.nr_func_info = p->nr_funcs,
		.func_info_rec_size = sizeof(*p->funcs),
		.func_info = (__u64)(uintptr_t)p->funcs,
	};
	return bpf_prog_get_info_by_fd(fd, &info, &size) ? -errno : 0;
}

/* The figures of one program: 0, or -errno when they cannot be had. */
static int report(const struct bpf_program *prog, const char *log)
{
	const char *done = strstr(log, "processed ");
	unsigned long insns = done ? strtoul(done + strlen("processed "), NULL, 10) : 0;
	struct loaded p = {0};
	int err = read_back(&p, bpf_program__fd(prog)), stack = -1;

	if (!err)
		err = read_frames(&p, log);
	if (!err)
		stack = deepest(&p, 0);
	free(p.insns);
	free(p.funcs);
	if (err || stack < 0 || !insns) {
		fprintf(stderr, "verify: %s is loaded, but not what it needed can be read: %s\n",
			bpf_program__name(prog), strerror(err ? -err : EINVAL));
		return err ? err : -EINVAL;
	}
	printf("{\"program\": \"%s\", \"hook\": \"%s\", \"insns\": %lu, \"stack\": %d}\n",
	       bpf_program__name(prog), hook_of(prog), insns, stack);
	return 0;
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

/* With all switches on; NULL with errno. */
static struct clew_bpf *open_clew(void)
{
	struct clew_bpf *skel = clew_bpf__open();
	struct clew_bpf_config *c;

	if (!skel)
		return NULL;
	c = (void *)&skel->rodata->config;
	c->trace_all = c->watch_exec = c->watch_listen = 1;
	c->request_budget = c->response_budget = 2048;
	return skel;
}

/* Load all that has not failed before; or, explaining, the one that failed last. 0 or -errno. */
static int load_object(struct bpf_object *obj, const struct btf *btf)
{
	size_t log_size = explaining ? LOG_SIZE : LOG_SIZE / MAX_FAILED, size;
	struct bpf_program *prog;
	int err, unread = 0;

	bpf_object__for_each_program(prog, obj) choose(prog, btf, calloc(1, log_size));
	err = bpf_object__load(obj);
	bpf_object__for_each_program(prog, obj)
	{
		char *log = (char *)bpf_program__log_buf(prog, &size);

		if (bpf_program__autoload(prog) && explaining)
			print_last_lines(log);
		else if (bpf_program__autoload(prog) && !err)
			unread = report(prog, log) ? -EINVAL : unread;
		free(log);
	}
	return err ? err : unread;
}

static int load(const struct btf *btf, const char *path)
{
	struct clew_bpf *skel = path ? NULL : open_clew();
	struct bpf_object *obj = path ? bpf_object__open_file(path, NULL) : NULL;
	int err = -errno;

	if (skel || obj)
		err = load_object(skel ? skel->obj : obj, btf);
	bpf_object__close(obj);
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

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : NULL;
	struct btf *btf = btf__load_vmlinux_btf();
	int before, err;

	if (!btf) {
		fprintf(stderr, "verify: the kernel has no BTF\n");
		return 1;
	}
	libbpf_set_print(listen);
	fexit_refused = features_bpf__fexit("do_epoll_wait");
	if (fexit_refused)
		fprintf(stderr, "verify: left out: fexit programs: %s\n",
			features_bpf__strerror(fexit_refused));
	do {
		before = nr_failed;
		err = load(btf, path);
		if (nr_failed > before) {
			explaining = true;
			load(btf, path);
			explaining = false;
		}
	} while (err && nr_failed > before); /* the others are to be seen, too */
	if (err)
		fprintf(stderr, "verify: cannot load: %s\n", strerror(-err));
	return err || nr_failed;
}
