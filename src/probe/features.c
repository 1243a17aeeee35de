/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features.c - the table of what can be there or not, with one function each that finds out.
 *
 * A function answers yes or no and always says what the answer means, or what to do about it; it
 * may ask for other answers, which are kept. The table is in an order in which nothing asks for
 * itself. Whether a capture layer works is found with the real programs and the real sizes; the
 * small attempts behind it say which part the kernel refuses.
 */
#include "probe/features.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <linux/magic.h>

#include "probe/features_bpf.h"
#include "probe/procfs.h"
#include "probe/programs.h"

#define BTF_FILE    "/sys/kernel/btf/vmlinux"
#define INIT_PIDNS  "pid:[4026531836]" /* PROC_PID_INIT_INO: the same on every kernel */
#define STATUS_TEXT 8192

struct answer {
	enum clew_answer is;
	char text[CLEW_FEATURE_TEXT];
};

struct clew_features {
	const struct clew_config *cfg;
	struct btf *btf; /* of the kernel, or NULL */
	struct answer answers[CLEW_FEATURE_MAX];
};

typedef enum clew_answer (*feature_fn)(struct clew_features *f, enum clew_feature self, char *text);

/* Returns its first argument, so that an answer is one statement. */
static __attribute__((format(printf, 3, 4))) enum clew_answer say(enum clew_answer is, char *text,
								  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, CLEW_FEATURE_TEXT, fmt, ap);
	va_end(ap);
	return is;
}

#define YES(...)     say(CLEW_ANSWER_YES, text, __VA_ARGS__)
#define NO(...)	     say(CLEW_ANSWER_NO, text, __VA_ARGS__)
#define UNKNOWN(...) say(CLEW_ANSWER_UNKNOWN, text, __VA_ARGS__)

static bool has(struct clew_features *f, enum clew_feature feature)
{
	return clew_features__ask(f, feature, NULL) == CLEW_ANSWER_YES;
}

/* At most n - 1 bytes of a small file, with a NUL. 0 or -errno. */
static int read_text(const char *path, char *buf, size_t n)
{
	FILE *file = fopen(path, "re");
	size_t got;
	int err;

	if (!file)
		return -errno;
	got = fread(buf, 1, n - 1, file);
	err = ferror(file) ? -EIO : 0;
	buf[got] = 0;
	fclose(file);
	return err;
}

/* ---- pure parts ---------------------------------------------------------------------------- */

int clew_features__parse_lockdown(const char *text)
{
	static const char *const modes[] = {"[none]", "[integrity]", "[confidentiality]"};

	for (int i = 0; i < 3; i++)
		if (strstr(text, modes[i]))
			return i;
	return -EBADMSG;
}

int clew_features__parse_status(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = text; *line;) {
		const char *eol = line + strcspn(line, "\n");

		if (!strncmp(line, name, len) && line[len] == ':') {
			char *end;
			long v = strtol(line + len + 1, &end, 10);

			return end > line + len + 1 && end <= eol && v >= 0 && v <= 1000000
				       ? (int)v
				       : -ENOENT;
		}
		line = *eol ? eol + 1 : eol;
	}
	return -ENOENT;
}

bool clew_features__is_whole_uid_map(const char *text)
{
	unsigned long in, out, count;

	return sscanf(text, "%lu %lu %lu", &in, &out, &count) == 3 && !in && !out &&
	       count == UINT32_MAX;
}

/* ---- rights -------------------------------------------------------------------------------- */

static bool has_cap(int cap)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2];

	memset(d, 0, sizeof(d));
	return !syscall(SYS_capget, &h, d) && d[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

static const struct cap {
	enum clew_feature feature;
	int cap;
	const char *name, *without;
	bool by_admin; /* CAP_SYS_ADMIN includes it */
} caps[] = {
	{CLEW_FEATURE_CAP_BPF, CAP_BPF, "CAP_BPF", "no BPF program can be loaded", true},
	{CLEW_FEATURE_CAP_PERFMON, CAP_PERFMON, "CAP_PERFMON",
	 "BPF programs may not read kernel memory, and none can be attached", true},
	{CLEW_FEATURE_CAP_SYS_PTRACE, CAP_SYS_PTRACE, "CAP_SYS_PTRACE",
	 "only processes of the same user can be looked at", false},
	{CLEW_FEATURE_CAP_DAC_READ_SEARCH, CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH",
	 "program files that the user may not read stay unknown", false},
	{CLEW_FEATURE_CAP_SYS_NICE, CAP_SYS_NICE, "CAP_SYS_NICE",
	 "clew cannot ask for more of the processor when events wait: under full load more are "
	 "lost",
	 false},
};

static enum clew_answer ask_cap(struct clew_features *f, enum clew_feature self, char *text)
{
	const struct cap *c = caps;

	(void)f;
	while (c->feature != self)
		c++;
	if (has_cap(c->cap))
		return YES("held");
	if (c->by_admin && has_cap(CAP_SYS_ADMIN))
		return YES("held through CAP_SYS_ADMIN");
	if (self == CLEW_FEATURE_CAP_DAC_READ_SEARCH && has_cap(CAP_DAC_OVERRIDE))
		return YES("held through CAP_DAC_OVERRIDE");
	return NO("%s: run as root, or give it: setcap "
		  "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,cap_sys_nice+ep CLEW%s",
		  c->without,
		  geteuid() ? "" : " (root without it: a container needs --cap-add or privileged)");
}

static enum clew_answer ask_userns(struct clew_features *f, enum clew_feature self, char *text)
{
	char map[256];
	int err = read_text("/proc/self/uid_map", map, sizeof(map));

	(void)f;
	(void)self;
	if (err)
		return UNKNOWN("/proc/self/uid_map: %s", strerror(-err));
	if (clew_features__is_whole_uid_map(map))
		return YES("capabilities held here count for the kernel");
	return NO("capabilities held in a user namespace do not count for BPF: run clew outside of "
		  "it (rootful container, no --userns)");
}

static enum clew_answer ask_lockdown(struct clew_features *f, enum clew_feature self, char *text)
{
	char mode[128];
	int err = read_text("/sys/kernel/security/lockdown", mode, sizeof(mode));

	(void)f;
	(void)self;
	if (err == -ENOENT)
		return YES("the kernel has no lockdown, or securityfs is not mounted");
	if (err)
		return UNKNOWN("/sys/kernel/security/lockdown: %s", strerror(-err));
	switch (clew_features__parse_lockdown(mode)) {
	case 0:
		return YES("off");
	case 1:
		return YES("integrity: reading by BPF is still allowed");
	case 2:
		return NO("confidentiality: BPF may not read kernel memory. Boot with "
			  "lockdown=integrity, or without it");
	}
	return UNKNOWN("/sys/kernel/security/lockdown: not understood");
}

static enum clew_answer ask_seccomp(struct clew_features *f, enum clew_feature self, char *text)
{
	char status[STATUS_TEXT];
	int mode = read_text("/proc/self/status", status, sizeof(status));

	(void)f;
	(void)self;
	if (!mode)
		mode = clew_features__parse_status(status, "Seccomp");
	if (mode == -ENOENT)
		return YES("the kernel has no seccomp");
	if (mode < 0)
		return UNKNOWN("/proc/self/status: %s", strerror(-mode));
	if (!mode)
		return YES("no filter");
	return NO(
		"a filter is in force and may refuse bpf(2) and perf_event_open(2): in a container "
		"allow both in its seccomp profile, or run it privileged");
}

static enum clew_answer ask_unpriv(struct clew_features *f, enum clew_feature self, char *text)
{
	char value[16];
	int err = read_text("/proc/sys/kernel/unprivileged_bpf_disabled", value, sizeof(value));

	(void)f;
	(void)self;
	if (err)
		return UNKNOWN("kernel.unprivileged_bpf_disabled: %s", strerror(-err));
	if (value[0] == '0')
		return YES("allowed by kernel.unprivileged_bpf_disabled=0; clew has no use for it");
	return NO(
		"kernel.unprivileged_bpf_disabled=%c, as is usual: it asks for capabilities, which "
		"clew needs anyway",
		isdigit((unsigned char)value[0]) ? value[0] : '?');
}

/* ---- BPF ----------------------------------------------------------------------------------- */

static enum clew_answer ask_btf(struct clew_features *f, enum clew_feature self, char *text)
{
	(void)self;
	if (f->btf)
		return YES(BTF_FILE ", %u types", btf__type_cnt(f->btf));
	if (access(BTF_FILE, F_OK))
		return NO("no " BTF_FILE
			  ": the kernel must be built with CONFIG_DEBUG_INFO_BTF=y (and "
			  "/sys must be mounted)");
	return NO(BTF_FILE " cannot be read: run as root");
}

/* Why bpf(2) said no. */
static void blame(struct clew_features *f, int err, char *text)
{
	char missing[64] = "";

	if (err == -ENOSYS) {
		(void)NO("the kernel has no bpf(2): it must be built with CONFIG_BPF_SYSCALL=y");
		return;
	}
	if (err != -EPERM && err != -EACCES) {
		(void)NO("bpf(2) fails: %s", features_bpf__strerror(err));
		return;
	}
	if (!has(f, CLEW_FEATURE_CAP_BPF))
		strcat(missing, " CAP_BPF");
	if (!has(f, CLEW_FEATURE_CAP_PERFMON))
		strcat(missing, " CAP_PERFMON");
	if (missing[0])
		(void)NO("not allowed, missing:%s. Run as root, or with CAP_BPF, CAP_PERFMON, "
			 "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
			 missing);
	else if (clew_features__ask(f, CLEW_FEATURE_USERNS, NULL) == CLEW_ANSWER_NO)
		(void)NO("not allowed from within a user namespace, whatever capabilities it has");
	else if (clew_features__ask(f, CLEW_FEATURE_SECCOMP, NULL) == CLEW_ANSWER_NO)
		(void)NO("not allowed although the capabilities are held: the seccomp filter "
			 "refuses "
			 "it");
	else if (clew_features__ask(f, CLEW_FEATURE_LOCKDOWN, NULL) == CLEW_ANSWER_NO)
		(void)NO("not allowed although the capabilities are held: the kernel is locked "
			 "down");
	else
		(void)NO("not allowed although the capabilities are held: a security module "
			 "(SELinux, "
			 "AppArmor) may refuse it, see the kernel's log");
}

static enum clew_answer ask_bpf(struct clew_features *f, enum clew_feature self, char *text)
{
	int err = features_bpf__load();

	(void)self;
	if (!err)
		return YES("programs that read kernel memory can be loaded");
	blame(f, err, text);
	return CLEW_ANSWER_NO;
}

/* The answer to an attempt; `no` says what a refusal means. */
static enum clew_answer tried(struct clew_features *f, int err, char *text, const char *yes,
			      const char *no)
{
	if (!err)
		return YES("%s", yes);
	if ((err == -EPERM || err == -EACCES) && !has(f, CLEW_FEATURE_BPF))
		return UNKNOWN("cannot be tried: BPF is not allowed");
	return NO("%s (%s)", no, features_bpf__strerror(err));
}

static enum clew_answer ask_ringbuf(struct clew_features *f, enum clew_feature self, char *text)
{
	(void)self;
	return tried(f, features_bpf__ringbuf(), text, "events reach clew through one",
		     "the kernel has no BPF ring buffer: 5.8 or later is needed");
}

static enum clew_answer ask_fexit(struct clew_features *f, enum clew_feature self, char *text)
{
	(void)self;
	return tried(f, features_bpf__fexit(CLEW_HOOKED), text,
		     "an empty program attaches to " CLEW_HOOKED,
		     "the kernel refuses even an empty program: built without BPF trampolines "
		     "(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS), or for another machine type");
}

static enum clew_answer ask_kprobe(struct clew_features *f, enum clew_feature self, char *text)
{
	int err = features_bpf__kprobe(CLEW_HOOKED);

	(void)self;
	if (err == -ENOENT && access("/sys/bus/event_source/devices/kprobe", F_OK))
		return NO("the kernel is built without kprobes (CONFIG_KPROBES, "
			  "CONFIG_KPROBE_EVENTS)");
	return tried(f, err, text, "an empty program attaches to " CLEW_HOOKED,
		     "the kernel refuses even an empty program");
}

static enum clew_answer ask_rawtp(struct clew_features *f, enum clew_feature self, char *text)
{
	(void)self;
	return tried(
		f, features_bpf__raw_tracepoint(), text, "an empty program attaches to sys_exit",
		"the kernel refuses even an empty program: built without tracepoints of system "
		"calls (CONFIG_FTRACE_SYSCALLS)");
}

/* ---- capture layers ------------------------------------------------------------------------ */

static const struct layer {
	enum clew_feature feature, behind;
	enum clew_capture_layer layer;
	const char *name, *cost;
} layers[] = {
	{CLEW_FEATURE_LAYER_FENTRY, CLEW_FEATURE_FEXIT, CLEW_LAYER_FENTRY, "fentry",
	 "the cheapest; sees io_uring"},
	{CLEW_FEATURE_LAYER_KPROBE, CLEW_FEATURE_KPROBE, CLEW_LAYER_KPROBE, "kprobe",
	 "dearer than fentry; sees io_uring"},
	{CLEW_FEATURE_LAYER_RAWTP, CLEW_FEATURE_RAWTP, CLEW_LAYER_RAWTP, "rawtp",
	 "one hook behind every system call of the machine; does not see io_uring"},
};

#define NR_LAYERS (sizeof(layers) / sizeof(layers[0]))

static enum clew_answer ask_layer(struct clew_features *f, enum clew_feature self, char *text)
{
	const struct layer *l = &layers[self - CLEW_FEATURE_LAYER_FENTRY];
	struct clew_config cfg = *f->cfg; /* shallow: read only, and not freed */
	struct clew_programs *programs = NULL;
	char errbuf[256] = "";
	const char *behind;
	int err;

	if (!has(f, CLEW_FEATURE_BTF))
		return NO("needs the kernel's BTF");
	if (!has(f, CLEW_FEATURE_BPF))
		return UNKNOWN("cannot be tried: BPF is not allowed");
	/* What refuses an empty program refuses ours too: spare the verifier some seconds. */
	if (clew_features__ask(f, l->behind, &behind) == CLEW_ANSWER_NO)
		return NO("%s", behind);
	cfg.capture.layer = l->layer;
	err = clew_programs__load(&cfg, &programs, errbuf, sizeof(errbuf));
	clew_programs__free(programs);
	if (!err)
		return YES("works whole: %s", l->cost);
	if (err == -ENOMEM)
		return NO("not enough memory for its maps: lower capture.ring_bytes and "
			  "capture.max_connections, or raise the limit of the control group");
	return NO("the kernel takes an empty program but not clew's (%s): `clew run -v "
		  "--capture-layer %s` prints the verifier's words",
		  features_bpf__strerror(err), l->name);
}

const char *clew_features__layer(struct clew_features *f)
{
	bool preempts = clew_programs__kernel_preempts();

	for (size_t i = 0; i < NR_LAYERS; i++) { /* as clew_programs__load() */
		const struct layer *l = &layers[i < 2 && preempts ? 1 - i : i];

		if (f->cfg->capture.layer != CLEW_LAYER_AUTO && f->cfg->capture.layer != l->layer)
			continue;
		if (has(f, l->feature))
			return l->name;
	}
	return NULL;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static enum clew_answer ask_memlock(struct clew_features *f, enum clew_feature self, char *text)
{
	struct rlimit lim;

	(void)self;
	/* The helper came with the kernel (5.11) that counts BPF memory in control groups. */
	if (f->btf && features_bpf__enum_has(f->btf, "bpf_func_id", "BPF_FUNC_ktime_get_coarse_ns"))
		return YES("BPF memory is counted in the control group: RLIMIT_MEMLOCK does not "
			   "matter");
	if (getrlimit(RLIMIT_MEMLOCK, &lim))
		return UNKNOWN("RLIMIT_MEMLOCK: %s", strerror(errno));
	if (lim.rlim_cur == RLIM_INFINITY)
		return YES("RLIMIT_MEMLOCK is unlimited");
	if (has_cap(CAP_SYS_RESOURCE) || lim.rlim_max == RLIM_INFINITY)
		return YES("RLIMIT_MEMLOCK is %llu KiB, which clew can raise for itself",
			   (unsigned long long)lim.rlim_cur / 1024);
	if (!f->btf)
		return UNKNOWN("RLIMIT_MEMLOCK is %llu KiB; it matters before Linux 5.11 only",
			       (unsigned long long)lim.rlim_cur / 1024);
	return NO("this kernel counts BPF memory in RLIMIT_MEMLOCK, which is %llu KiB: run with "
		  "`ulimit -l unlimited` or LimitMEMLOCK=infinity",
		  (unsigned long long)lim.rlim_cur / 1024);
}

static enum clew_answer ask_pidns(struct clew_features *f, enum clew_feature self, char *text)
{
	char ns[64];
	ssize_t n = readlink("/proc/self/ns/pid", ns, sizeof(ns) - 1);

	(void)f;
	(void)self;
	if (n < 0)
		return NO("/proc/self/ns/pid: %s: /proc must be mounted", strerror(errno));
	ns[n] = 0;
	if (!strcmp(ns, INIT_PIDNS))
		return YES("pids here are those that the kernel reports");
	return NO(
		"the kernel reports pids of the initial namespace, which are others than here: run "
		"clew on the host, or its container with --pid=host (hostPID: true)");
}

static enum clew_answer ask_uprobe(struct clew_features *f, enum clew_feature self, char *text)
{
	int err = features_bpf__uprobe();

	(void)self;
	if (err == -EIO)
		return NO(
			"attached to clew itself, and never hit: links that need one stay unknown");
	if (err == -ENOENT && access("/sys/bus/event_source/devices/uprobe", F_OK))
		return NO("the kernel is built without uprobes (CONFIG_UPROBE_EVENTS): links "
			  "inside of "
			  "Go and asyncio stay unknown");
	return tried(f, err, text, "tried on clew itself, and hit",
		     "links inside of Go and asyncio stay unknown");
}

static enum clew_answer ask_uprobe_multi(struct clew_features *f, enum clew_feature self,
					 char *text)
{
	int err = features_bpf__uprobe_multi();

	(void)self;
	/* Up to 6.9 its pid filter let one thread through; a type that came with 6.10 tells. */
	if (!err && !(f->btf && features_bpf__enum_has(f->btf, "bpf_attach_type",
						       "BPF_TRACE_KPROBE_SESSION")))
		return YES("there, but sees one thread of a process only (before 6.10): clew uses "
			   "single uprobes");
	return tried(f, err, text, "used: detaching is fast",
		     "single uprobes are used; from 6.1 on each takes 0.1 s to detach");
}

static enum clew_answer ask_cgroup2(struct clew_features *f, enum clew_feature self, char *text)
{
	static const char *const where[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	struct statfs fs;

	(void)f;
	(void)self;
	for (size_t i = 0; i < 2; i++)
		if (!statfs(where[i], &fs) && (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC)
			return YES("mounted at %s", where[i]);
	return NO("not mounted; --cgroup and --container go by /proc/PID/cgroup, of version 1 too");
}

static enum clew_answer ask_tracefs(struct clew_features *f, enum clew_feature self, char *text)
{
	static const char *const where[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	struct statfs fs;

	(void)f;
	(void)self;
	for (size_t i = 0; i < 2; i++)
		if (!statfs(where[i], &fs) && (unsigned long)fs.f_type == TRACEFS_MAGIC)
			return YES("mounted at %s; not needed", where[i]);
	return NO("not mounted (or not visible to this user); not needed");
}

/* ---- the table ----------------------------------------------------------------------------- */

static const struct feature {
	const char *name, *purpose;
	enum clew_feature_need need;
	feature_fn ask;
} features[CLEW_FEATURE_MAX] = {
	[CLEW_FEATURE_BTF] = {"kernel BTF", "fits the programs to this kernel's structures",
			      CLEW_NEED_MUST, ask_btf},
	[CLEW_FEATURE_BPF] = {"BPF allowed", "everything is seen by BPF programs", CLEW_NEED_MUST,
			      ask_bpf},
	[CLEW_FEATURE_RINGBUF] = {"ring buffer", "carries events from the kernel", CLEW_NEED_MUST,
				  ask_ringbuf},
	[CLEW_FEATURE_MEMLOCK] = {"memory limit", "maps of some MB are locked in memory",
				  CLEW_NEED_MUST, ask_memlock},
	[CLEW_FEATURE_PIDNS] = {"initial pid namespace", "a pid names the same process everywhere",
				CLEW_NEED_MUST, ask_pidns},
	[CLEW_FEATURE_LAYER_FENTRY] = {"layer fentry", "fexit programs on socket functions",
				       CLEW_NEED_ONE_OF, ask_layer},
	[CLEW_FEATURE_LAYER_KPROBE] = {"layer kprobe", "kprobes on socket functions",
				       CLEW_NEED_ONE_OF, ask_layer},
	[CLEW_FEATURE_LAYER_RAWTP] = {"layer rawtp", "a raw tracepoint behind system calls",
				      CLEW_NEED_ONE_OF, ask_layer},
	[CLEW_FEATURE_CAP_BPF] = {"CAP_BPF", "to load programs", CLEW_NEED_BEHIND, ask_cap},
	[CLEW_FEATURE_CAP_PERFMON] = {"CAP_PERFMON", "to attach programs", CLEW_NEED_BEHIND,
				      ask_cap},
	[CLEW_FEATURE_CAP_SYS_PTRACE] = {"CAP_SYS_PTRACE", "to look at other users' processes",
					 CLEW_NEED_USEFUL, ask_cap},
	[CLEW_FEATURE_CAP_DAC_READ_SEARCH] = {"CAP_DAC_READ_SEARCH",
					      "to read other users' program files",
					      CLEW_NEED_USEFUL, ask_cap},
	[CLEW_FEATURE_CAP_SYS_NICE] = {"CAP_SYS_NICE", "to catch up when the ring buffer fills",
				       CLEW_NEED_USEFUL, ask_cap},
	[CLEW_FEATURE_USERNS] = {"initial user namespace", "capabilities count there only",
				 CLEW_NEED_BEHIND, ask_userns},
	[CLEW_FEATURE_LOCKDOWN] = {"no lockdown", "a locked kernel hides its memory from BPF",
				   CLEW_NEED_BEHIND, ask_lockdown},
	[CLEW_FEATURE_SECCOMP] = {"no seccomp filter", "a filter can refuse bpf(2)",
				  CLEW_NEED_BEHIND, ask_seccomp},
	[CLEW_FEATURE_UNPRIV_BPF] = {"unprivileged BPF", "said for completeness", CLEW_NEED_BEHIND,
				     ask_unpriv},
	[CLEW_FEATURE_FEXIT] = {"fexit programs", "the layer fentry is made of them",
				CLEW_NEED_BEHIND, ask_fexit},
	[CLEW_FEATURE_KPROBE] = {"kprobes", "the layer kprobe is made of them", CLEW_NEED_BEHIND,
				 ask_kprobe},
	[CLEW_FEATURE_RAWTP] = {"raw tracepoints", "processes and the layer rawtp need them",
				CLEW_NEED_BEHIND, ask_rawtp},
	[CLEW_FEATURE_UPROBE] = {"uprobes", "exact links inside of Go and asyncio",
				 CLEW_NEED_USEFUL, ask_uprobe},
	[CLEW_FEATURE_UPROBE_MULTI] = {"uprobe_multi", "attaches and detaches many at once",
				       CLEW_NEED_USEFUL, ask_uprobe_multi},
	[CLEW_FEATURE_CGROUP2] = {"cgroup v2", "names containers and services", CLEW_NEED_USEFUL,
				  ask_cgroup2},
	[CLEW_FEATURE_TRACEFS] = {"tracefs", "not needed: probes go through perf_event_open(2)",
				  CLEW_NEED_USEFUL, ask_tracefs},
};

const char *clew_feature__name(enum clew_feature feature)
{
	return features[feature].name;
}

const char *clew_feature__purpose(enum clew_feature feature)
{
	return features[feature].purpose;
}

enum clew_feature_need clew_feature__need(enum clew_feature feature)
{
	return features[feature].need;
}

struct clew_features *clew_features__new(const struct clew_config *cfg)
{
	struct clew_features *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->cfg = cfg;
	libbpf_set_print(NULL); /* what fails is an answer here, no error */
	f->btf = btf__load_vmlinux_btf();
	return f;
}

void clew_features__free(struct clew_features *f)
{
	if (!f)
		return;
	btf__free(f->btf);
	free(f);
}

enum clew_answer clew_features__ask(struct clew_features *f, enum clew_feature feature,
				    const char **ret_text)
{
	struct answer *a = &f->answers[feature];

	if (a->is == CLEW_ANSWER_UNASKED)
		a->is = features[feature].ask(f, feature, a->text);
	if (ret_text)
		*ret_text = a->text;
	return a->is;
}

bool clew_features__can_run(struct clew_features *f, char *why, size_t n)
{
	const char *text;

	for (int i = 0; i < CLEW_FEATURE_MAX; i++)
		if (features[i].need == CLEW_NEED_MUST &&
		    clew_features__ask(f, i, &text) == CLEW_ANSWER_NO) {
			snprintf(why, n, "%s: %s", features[i].name, text);
			return false;
		}
	if (clew_features__layer(f))
		return true;
	for (size_t i = 0; i < NR_LAYERS; i++)
		if (f->cfg->capture.layer == layers[i].layer) {
			clew_features__ask(f, layers[i].feature, &text);
			snprintf(why, n, "the capture layer %s is asked for: %s", layers[i].name,
				 text);
			return false;
		}
	snprintf(why, n, "no capture layer works: see each one's reason");
	return false;
}
