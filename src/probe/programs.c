/* SPDX-License-Identifier: Apache-2.0 */
/*
 * programs.c - loads the BPF programs for one attach layer and attaches them.
 *
 * A layer is a table of program-name prefixes. "auto" tries them from the cheapest on (kprobe
 * before fentry where the kernel preempts, see docs/capture.md) and keeps the first that loads and
 * attaches whole: what a kernel can do is found by doing it, never by
 * its version. Programs whose function the running kernel lacks (inet_sendpage after 6.4) are
 * left out before loading. Pattern: libbpf skeleton, see bpf/ for the programs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <clew/bpf.h>
#include "base/log.h"
#include "clew.skel.h"
#include "probe/features_bpf.h"
#include "probe/programs.h"

#define PROG_NAME   64
#define REFUSED_MAX 8

struct links {
	struct bpf_link **link;
	size_t n;
};

struct clew_programs {
	struct clew_bpf *skel;
	enum clew_capture_layer layer;
	bool uprobe_multi;
	bool waits_failed;  /* said once */
	struct links links; /* hooks of the layer */
	struct links waits; /* hooks on event loops' waits, while they are watched */
	uint32_t watch;	    /* clew_segment.watch, the next time that they are watched */
	int nr_cpus;
	char refused[REFUSED_MAX][PROG_NAME]; /* programs inside processes that do not load here */
	uint32_t nr_refused;
};

/* A program that runs while the switch is thrown is done after that, preempted or not. */
#define SILENCE_US 5000

static const struct layer {
	enum clew_capture_layer layer;
	const char *name, *prefix[2];
	const char *needs; /* what the kernel's BTF must have for this variant, or NULL */
	/* attaches an empty program: the verifier walks the true ones for half a second */
	int (*try)(const char *fn);
} layers[] = {
	/* without its turns an event loop would look like a thread that serves one at a time */
	{CLEW_LAYER_FENTRY, "fentry", {"clew_fx_", NULL}, "do_epoll_wait", features_bpf__fexit},
	{CLEW_LAYER_KPROBE, "kprobe", {"clew_kp_", "clew_kr_"}, NULL, features_bpf__kprobe},
	{CLEW_LAYER_RAWTP, "rawtp", {"clew_rt_", NULL}, "btf_trace_sock_send_length", NULL},
	{CLEW_LAYER_RAWTP, "rawtp", {"clew_sys_exit", NULL}, NULL, NULL},
};

/* The first line of a file; empty when it cannot be read. */
static void first_line(const char *path, char *ret, int n)
{
	FILE *f = fopen(path, "re");

	ret[0] = '\0';
	if (f && !fgets(ret, n, f))
		ret[0] = '\0';
	if (f)
		fclose(f);
}

/* What is in force: the scheduler's own word ("none voluntary (full) lazy"), or how the kernel was
 * started, or how it was built. One that can do all and says nothing is taken not to. */
bool clew_programs__kernel_preempts(void)
{
	char text[4096];
	struct utsname u;

	first_line("/sys/kernel/debug/sched/preempt", text, sizeof(text));
	if (text[0])
		return strstr(text, "(full)") || strstr(text, "(lazy)");
	first_line("/proc/cmdline", text, sizeof(text));
	if (strstr(text, "preempt=full") || strstr(text, "preempt=lazy"))
		return true;
	return !uname(&u) && strstr(u.version, "PREEMPT") && !strstr(u.version, "PREEMPT_DYNAMIC");
}

static const struct layer *layer_of(enum clew_capture_layer layer)
{
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		if (layers[i].layer == layer)
			return &layers[i];
	return NULL;
}

/* The program that the last load failed at. libbpf tells it in its messages alone. */
static _Thread_local char failed_at[PROG_NAME];

/* libbpf speaks only in debug mode; a failed load prints the verifier's last lines. */
static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char text[sizeof("libbpf: prog ''") + PROG_NAME];
	va_list again;

	if (level == LIBBPF_WARN && strstr(fmt, "failed")) {
		va_copy(again, args);
		vsnprintf(text, sizeof(text), fmt, again);
		va_end(again);
		sscanf(text, "libbpf: prog '%63[^']'", failed_at);
	}
	if (clew_log__level() < CLEW_LOG_DEBUG || level == LIBBPF_DEBUG)
		return 0;
	return vfprintf(stderr, fmt, args);
}

/* The function that a program hooks, from its section name: "fexit/inet_sendmsg". */
static const char *hooked(const struct bpf_program *prog)
{
	const char *slash = strchr(bpf_program__section_name(prog), '/');

	return slash ? slash + 1 : "";
}

static bool kernel_has(const struct btf *btf, const char *fn)
{
	return btf__find_by_name_kind(btf, fn, BTF_KIND_FUNC) > 0;
}

static bool of_layer(const struct layer *layer, const char *name)
{
	for (int i = 0; i < 2 && layer->prefix[i]; i++)
		if (!strncmp(name, layer->prefix[i], strlen(layer->prefix[i])))
			return true;
	return false;
}

static bool is_uprobe(const struct bpf_program *prog)
{
	return !strncmp(bpf_program__section_name(prog), "uprobe", 6) ||
	       !strncmp(bpf_program__section_name(prog), "?uprobe", 7);
}

/* Sees waits in event loops, by its name "clew_XX_wait...". Where one program sees all system calls
 * (clew_sys_exit), it sees these too and there is none. */
static bool is_wait(const struct bpf_program *prog)
{
	return strstr(bpf_program__name(prog), "_wait") && bpf_program__autoload(prog);
}

static bool has_waits(const struct clew_programs *pr)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, pr->skel->obj)
	{
		if (is_wait(prog))
			return true;
	}
	return false;
}

static bool is_refused(const struct clew_programs *pr, const char *name)
{
	for (uint32_t i = 0; i < pr->nr_refused; i++)
		if (!strcmp(pr->refused[i], name))
			return true;
	return false;
}

/* Which of the programs are loaded: those of every layer, and this layer's where they fit. */
static void choose(struct clew_programs *pr, const struct btf *btf, const struct layer *layer)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, pr->skel->obj)
	{
		const char *name = bpf_program__name(prog);
		bool on = of_layer(layer, name);

		for (size_t i = 0; !on && i < sizeof(layers) / sizeof(layers[0]); i++)
			if (of_layer(&layers[i], name))
				goto next; /* another layer's */
		if (on && layer->layer != CLEW_LAYER_RAWTP)
			on = kernel_has(btf, hooked(prog));
		else
			on = !is_refused(pr, name);
		bpf_program__set_autoload(prog, on);
		continue;
	next:
		bpf_program__set_autoload(prog, false);
	}
}

static void configure(struct clew_programs *pr, const struct clew_config *cfg,
		      const struct layer *layer)
{
	struct clew_bpf_config *c = (void *)&pr->skel->rodata->config;

	c->request_budget = cfg->capture.request_bytes;
	c->response_budget = cfg->capture.response_bytes;
	c->trace_all = cfg->select.all;
	c->watch_exec = cfg->select.exes.n || cfg->select.cgroups.n || cfg->select.containers.n ||
			cfg->select.all;
	c->watch_listen = cfg->select.nr_ports > 0;
	bpf_map__set_max_entries(pr->skel->maps.events, cfg->capture.ring_bytes);
	bpf_map__set_max_entries(pr->skel->maps.conns, cfg->capture.max_connections);
	bpf_map__set_max_entries(pr->skel->maps.threads, cfg->capture.max_connections);
	bpf_map__set_max_entries(pr->skel->maps.procs, cfg->capture.max_processes);
	bpf_map__set_max_entries(pr->skel->maps.hits, cfg->capture.max_processes);
	bpf_map__set_max_entries(pr->skel->maps.java_waits, cfg->capture.max_processes);
	bpf_map__set_max_entries(pr->skel->maps.calls, cfg->capture.max_connections);
	bpf_map__set_autocreate(pr->skel->maps.calls, layer->layer == CLEW_LAYER_KPROBE);
}

static struct bpf_program *site_program(const struct clew_programs *pr, enum clew_site_kind kind)
{
	const char *name = clew_site__info(kind)->program;

	return name ? bpf_object__find_program_by_name(pr->skel->obj, name) : NULL;
}

static void set_uprobe_type(struct clew_programs *pr)
{
	for (int i = 0; pr->uprobe_multi && i < CLEW_SITE_MAX; i++)
		if (site_program(pr, i))
			bpf_program__set_expected_attach_type(site_program(pr, i),
							      BPF_TRACE_UPROBE_MULTI);
}

/* Go on without the program that failed? The kernel's hooks are needed, a runtime's probe is not.
 */
static bool goes_without(struct clew_programs *pr)
{
	struct bpf_program *prog = bpf_object__find_program_by_name(pr->skel->obj, failed_at);

	if (!prog || !is_uprobe(prog) || pr->nr_refused == REFUSED_MAX)
		return false;
	clew_log(CLEW_LOG_WARN,
		 "the kernel refuses %s: what it would prove will be unknown; run with -v for the "
		 "verifier's words",
		 failed_at);
	memcpy(pr->refused[pr->nr_refused++], failed_at, PROG_NAME);
	return true;
}

/* The programs are in the kernel: their object need not stay in memory. It is read from the file
 * again should anybody want it. */
static void forget_object(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at, end;
	size_t size;

	at = (uintptr_t)clew_bpf__elf_bytes(&size);
	end = (at + size) & ~(page - 1);
	at = (at + page - 1) & ~(page - 1);
	if (end > at)
		madvise((void *)at, end - at, MADV_DONTNEED);
}

static int load_layer(struct clew_programs *pr, const struct clew_config *cfg,
		      const struct btf *btf, const struct layer *layer)
{
	bool again;
	int err;

	do {
		pr->skel = clew_bpf__open();
		if (!pr->skel)
			return -errno;
		choose(pr, btf, layer);
		configure(pr, cfg, layer);
		set_uprobe_type(pr);
		failed_at[0] = '\0';
		err = clew_bpf__load(pr->skel);
		again = err && goes_without(pr);
		if (err) {
			clew_bpf__destroy(pr->skel);
			pr->skel = NULL;
		}
	} while (again);
	pr->layer = layer->layer;
	if (!err)
		forget_object();
	return err;
}

static void detach(struct links *links)
{
	while (links->n)
		bpf_link__destroy(links->link[--links->n]);
	free(links->link);
	links->link = NULL;
}

/* Attach the layer's hooks, those on waits or all others: all or none. */
static int attach(struct clew_programs *pr, bool waits, struct links *ret, char *errbuf, size_t n)
{
	struct bpf_program *prog;
	size_t max = 0;

	bpf_object__for_each_program(prog, pr->skel->obj) max++;
	ret->link = calloc(max, sizeof(*ret->link));
	if (!ret->link) {
		snprintf(errbuf, n, "cannot attach: out of memory");
		return -ENOMEM;
	}
	bpf_object__for_each_program(prog, pr->skel->obj)
	{
		struct bpf_link *link;

		if (!bpf_program__autoload(prog) || is_uprobe(prog) || is_wait(prog) != waits)
			continue;
		link = bpf_program__attach(prog);
		if (!link) {
			int err = -errno;

			snprintf(errbuf, n, "cannot attach %s (%s): %s", bpf_program__name(prog),
				 bpf_program__section_name(prog), strerror(-err));
			detach(ret);
			return err;
		}
		ret->link[ret->n++] = link;
	}
	return 0;
}

static int explain(int err, const struct clew_config *cfg, char *errbuf, size_t n)
{
	bool one = cfg->capture.layer != CLEW_LAYER_AUTO;

	/* a kernel without trampolines says so too, so ask for what every layer needs */
	if (err == -EPERM && features_bpf__load() == -EPERM)
		snprintf(errbuf, n,
			 "not allowed to load BPF programs: run as root, or with CAP_BPF, "
			 "CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH");
	else
		snprintf(errbuf, n,
			 "%s%s on this kernel (%s): see `clew doctor`, or -v for the "
			 "verifier's words",
			 one ? "no capture by layer " : "no capture layer works",
			 one ? layer_of(cfg->capture.layer)->name : "", strerror(-err));
	return err;
}

int clew_programs__load(const struct clew_config *cfg, struct clew_programs **ret, char *errbuf,
			size_t n)
{
	struct clew_programs *pr = calloc(1, sizeof(*pr));
	bool preempts = clew_programs__kernel_preempts();
	struct btf *btf;
	int err = -EOPNOTSUPP;

	if (!pr)
		return -ENOMEM;
	libbpf_set_print(print_libbpf);
	btf = btf__load_vmlinux_btf();
	if (!btf) {
		snprintf(errbuf, n,
			 "the kernel has no BTF (/sys/kernel/btf/vmlinux): it must be "
			 "built with CONFIG_DEBUG_INFO_BTF=y");
		free(pr);
		return -EOPNOTSUPP;
	}
	/* 6.6 brought the link; up to 6.9 its pid filter let only one thread through. 6.10 is told
	 * by another attach type that came with it. */
	pr->uprobe_multi =
		features_bpf__enum_has(btf, "bpf_attach_type", "BPF_TRACE_KPROBE_SESSION");
	pr->nr_cpus = libbpf_num_possible_cpus();
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		const struct layer *layer = &layers[i < 2 && preempts ? 1 - i : i];

		if (cfg->capture.layer != CLEW_LAYER_AUTO && cfg->capture.layer != layer->layer)
			continue;
		if (layer->needs && btf__find_by_name(btf, layer->needs) < 0)
			continue;
		err = layer->try ? layer->try(CLEW_HOOKED) : 0;
		if (!err)
			err = load_layer(pr, cfg, btf, layer);
		if (err) {
			clew_log(CLEW_LOG_DEBUG, "capture layer %s does not load: %s", layer->name,
				 strerror(-err));
			continue;
		}
		if (has_waits(pr))
			pr->skel->bss->watch = CLEW_UNWATCHED;
		err = attach(pr, false, &pr->links, errbuf, n);
		if (!err)
			break;
		clew_log(CLEW_LOG_DEBUG, "capture layer %s: %s", layer->name, errbuf);
		clew_bpf__destroy(pr->skel);
		pr->skel = NULL;
	}
	btf__free(btf);
	if (err) {
		free(pr);
		return explain(err, cfg, errbuf, n);
	}
	*ret = pr;
	return 0;
}

void clew_programs__silence(struct clew_programs *pr)
{
	__atomic_store_n(&pr->skel->bss->stopped, 1, __ATOMIC_SEQ_CST);
	usleep(SILENCE_US);
}

void clew_programs__free(struct clew_programs *pr)
{
	if (!pr)
		return;
	detach(&pr->waits);
	detach(&pr->links);
	clew_bpf__destroy(pr->skel);
	free(pr);
}

const char *clew_programs__layer(const struct clew_programs *pr)
{
	return layer_of(pr->layer)->name;
}

int clew_programs__watch_waits(struct clew_programs *pr, bool on)
{
	struct clew_bpf__bss *bss = pr->skel->bss;
	char why[256];
	int err;

	if (on == !!pr->waits.n || !has_waits(pr))
		return 0;
	if (!on) {
		__atomic_store_n(&bss->watch, CLEW_UNWATCHED, __ATOMIC_SEQ_CST);
		detach(&pr->waits);
		pr->watch = (pr->watch + 1) % CLEW_UNWATCHED;
		return 0;
	}
	err = attach(pr, true, &pr->waits, why, sizeof(why));
	if (!err)
		__atomic_store_n(&bss->watch, pr->watch, __ATOMIC_SEQ_CST);
	else if (!pr->waits_failed)
		clew_log(CLEW_LOG_WARN, "%s: event loops are told by their sockets alone", why);
	pr->waits_failed |= err != 0;
	return err;
}

int clew_programs__ring_fd(const struct clew_programs *pr)
{
	return bpf_map__fd(pr->skel->maps.events);
}

/* As proc_set() and proc_del() in bpf/lib/base.bpf.h. */
static void set_slot(struct clew_programs *pr, uint32_t pid, const struct clew_proc *proc)
{
	uint32_t low = pid % CLEW_PROC_SLOTS;
	struct clew_proc_slot slot;

	if (bpf_map__lookup_elem(pr->skel->maps.proc_cache, &low, sizeof(low), &slot, sizeof(slot),
				 0))
		return;
	if (!proc || (slot.pid && slot.pid != pid))
		slot.pid = CLEW_SLOT_SHARED;
	else
		slot.pid = pid;
	if (proc)
		slot.proc = *proc;
	bpf_map__update_elem(pr->skel->maps.proc_cache, &low, sizeof(low), &slot, sizeof(slot),
			     BPF_ANY);
}

int clew_programs__set_proc(struct clew_programs *pr, uint32_t pid, const struct clew_proc *proc)
{
	int err = bpf_map__update_elem(pr->skel->maps.procs, &pid, sizeof(pid), proc, sizeof(*proc),
				       BPF_ANY);

	if (!err)
		set_slot(pr, pid, proc);
	return err;
}

void clew_programs__set_java_wait(struct clew_programs *pr, uint32_t pid,
				  const struct clew_java_wait *wait)
{
	const struct bpf_map *map = pr->skel->maps.java_waits;

	if (wait && wait->stack_base)
		bpf_map__update_elem(map, &pid, sizeof(pid), wait, sizeof(*wait), BPF_ANY);
	else
		bpf_map__delete_elem(map, &pid, sizeof(pid), 0);
}

bool clew_programs__is_other(const struct clew_programs *pr, uint32_t pid)
{
	uint32_t low = pid % CLEW_PROC_SLOTS;
	struct clew_proc_slot slot;
	struct clew_proc proc;

	if (!bpf_map__lookup_elem(pr->skel->maps.proc_cache, &low, sizeof(low), &slot, sizeof(slot),
				  0) &&
	    slot.pid == pid)
		return slot.proc.flags & CLEW_PROC_OTHER;
	return !bpf_map__lookup_elem(pr->skel->maps.procs, &pid, sizeof(pid), &proc, sizeof(proc),
				     0) &&
	       proc.flags & CLEW_PROC_OTHER;
}

int clew_programs__del_proc(struct clew_programs *pr, uint32_t pid)
{
	set_slot(pr, pid, NULL);
	return bpf_map__delete_elem(pr->skel->maps.procs, &pid, sizeof(pid), 0);
}

int clew_programs__watch_port(struct clew_programs *pr, uint16_t port)
{
	uint32_t key = port, one = 1;

	return bpf_map__update_elem(pr->skel->maps.watch_ports, &key, sizeof(key), &one,
				    sizeof(one), BPF_ANY);
}

/*
 * The write races with the programs; what it can lose is a copy budget or a stream position of
 * a connection that no one reads any more.
 */
void clew_programs__ignore(struct clew_programs *pr, uint64_t sk, uint64_t conn_id)
{
	struct clew_kconn c;

	if (bpf_map__lookup_elem(pr->skel->maps.conns, &sk, sizeof(sk), &c, sizeof(c), 0) ||
	    c.id != conn_id)
		return;
	c.class = CLEW_CLASS_IGNORED;
	bpf_map__update_elem(pr->skel->maps.conns, &sk, sizeof(sk), &c, sizeof(c), BPF_EXIST);
}

/* What the kernel itself did not run; since 5.12, 0 before. */
static uint64_t missed(struct clew_programs *pr)
{
	struct bpf_program *prog;
	uint64_t sum = 0;

	bpf_object__for_each_program(prog, pr->skel->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (bpf_program__fd(prog) >= 0 &&
		    !bpf_prog_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			sum += info.recursion_misses;
	}
	return sum;
}

void clew_programs__stats(struct clew_programs *pr, uint64_t count[CLEW_STAT_MAX])
{
	uint64_t *percpu = calloc(pr->nr_cpus, sizeof(*percpu));

	memset(count, 0, CLEW_STAT_MAX * sizeof(*count));
	for (uint32_t i = 0; percpu && i < CLEW_STAT_MAX; i++) {
		if (bpf_map__lookup_elem(pr->skel->maps.stats, &i, sizeof(i), percpu,
					 pr->nr_cpus * sizeof(*percpu), 0))
			continue;
		for (int cpu = 0; cpu < pr->nr_cpus; cpu++)
			count[i] += percpu[cpu];
	}
	free(percpu);
	count[CLEW_STAT_MISSED] += missed(pr);
}

void clew_programs__count_hits(struct clew_programs *pr, uint32_t pid, bool on)
{
	struct clew_hits *zero = calloc((size_t)pr->nr_cpus, sizeof(*zero));

	if (zero && on)
		bpf_map__update_elem(pr->skel->maps.hits, &pid, sizeof(pid), zero,
				     (size_t)pr->nr_cpus * sizeof(*zero), BPF_ANY);
	else
		bpf_map__delete_elem(pr->skel->maps.hits, &pid, sizeof(pid), 0);
	free(zero);
}

bool clew_programs__hits(struct clew_programs *pr, uint32_t pid, uint32_t ret[CLEW_SET_MAX])
{
	struct clew_hits *percpu = calloc((size_t)pr->nr_cpus, sizeof(*percpu));
	bool ok;

	memset(ret, 0, CLEW_SET_MAX * sizeof(*ret));
	ok = percpu && !bpf_map__lookup_elem(pr->skel->maps.hits, &pid, sizeof(pid), percpu,
					     (size_t)pr->nr_cpus * sizeof(*percpu), 0);
	for (int cpu = 0; ok && cpu < pr->nr_cpus; cpu++)
		for (int set = 0; set < CLEW_SET_MAX; set++)
			ret[set] += percpu[cpu].n[set];
	free(percpu);
	return ok;
}

int clew_programs__uprobe(struct clew_programs *pr, uint32_t pid,
			  const struct clew_uprobe_site *site, struct bpf_link **ret)
{
	struct bpf_program *prog = site_program(pr, site->kind);
	bool at_return;

	if (!prog)
		return -EINVAL;
	if (bpf_program__fd(prog) < 0)
		return -EOPNOTSUPP; /* refused, which was said */
	at_return = clew_site__info(site->kind)->at_return;
	if (pr->uprobe_multi) {
		unsigned long off = site->off;
		LIBBPF_OPTS(bpf_uprobe_multi_opts, o, .offsets = &off, .cnt = 1,
			    .retprobe = at_return);

		*ret = bpf_program__attach_uprobe_multi(prog, pid, site->path, NULL, &o);
	} else {
		*ret = bpf_program__attach_uprobe(prog, at_return, pid, site->path, site->off);
	}
	return *ret ? 0 : -errno;
}
