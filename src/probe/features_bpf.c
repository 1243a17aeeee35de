/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features_bpf.c - tries one kernel facility at a time with the smallest program there is.
 *
 * "return 1" is loaded, attached, and let go at once: an empty program on a hook changes
 * nothing for whoever passes it. Uprobes are tried on this very process, on a function that
 * nothing else calls, and proven by the hit and not by the attach: there are kernels on which an
 * attach succeeds and nothing ever fires. References: bpf(2), perf_event_open(2),
 * Documentation/trace/kprobetrace.rst, Documentation/bpf/ringbuf.rst.
 */
#include "probe/features_bpf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>

#include "probe/procfs.h"

#define KERNEL_ENOTSUPP 524 /* not in any errno.h */
#define SELF_EXE	"/proc/self/exe"

const char *features_bpf__strerror(int err)
{
	err = err < 0 ? -err : err;
	return err == KERNEL_ENOTSUPP ? "not supported by this kernel" : strerror(err);
}

bool features_bpf__enum_has(const struct btf *btf, const char *type, const char *name)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, id) : NULL;
	const struct btf_enum *e = t ? btf_enum(t) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, e[i].name_off), name))
			return true;
	return false;
}

/*
 * The whole program: return 1, as zero would make perf drop the hit uncounted; a tracing program
 * may return zero only.
 */
static int load_tiny(enum bpf_prog_type type, enum bpf_attach_type attach, int btf_id)
{
	const struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K,
		 .dst_reg = BPF_REG_0,
		 .imm = type != BPF_PROG_TYPE_TRACING},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = attach);
	int fd;

	o.attach_btf_id = (uint32_t)btf_id;
	fd = bpf_prog_load(type, "clew_probe", "GPL", insns, 2, &o);
	return fd < 0 ? -errno : fd;
}

int features_bpf__load(void)
{
	int fd = load_tiny(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int features_bpf__ringbuf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "clew_probe", 0, 0,
				(uint32_t)sysconf(_SC_PAGESIZE), NULL);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* raw_tracepoint_open(2) is also how fexit programs attach; then without a name. */
static int open_and_close(const char *name, int prog)
{
	int link = bpf_raw_tracepoint_open(name, prog);
	int err = link < 0 ? -errno : 0;

	if (link >= 0)
		close(link);
	close(prog);
	return err;
}

int features_bpf__raw_tracepoint(void)
{
	int prog = load_tiny(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);

	return prog < 0 ? prog : open_and_close("sys_exit", prog);
}

int features_bpf__fexit(const char *fn)
{
	int id = libbpf_find_vmlinux_btf_id(fn, BPF_TRACE_FEXIT), prog;

	if (id <= 0)
		return id < 0 ? id : -ENOENT;
	prog = load_tiny(BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, id);
	return prog < 0 ? prog : open_and_close(NULL, prog);
}

/* The number under which perf_event_open(2) knows "kprobe" or "uprobe" on this kernel. */
static int perf_type(const char *name)
{
	char path[96];
	int type, n;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s/type", name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fscanf(f, "%d", &type);
	fclose(f);
	return n == 1 && type >= 0 ? type : -EBADMSG;
}

/* `what` is a function or a path, as the kind of event has it. Returns the event's fd. */
static int open_probe(const char *kind, const char *what, uint64_t off, pid_t pid, int cpu,
		      int prog)
{
	struct perf_event_attr attr;
	int type = perf_type(kind), fd, err;

	if (type < 0)
		return type;
	memset(&attr, 0, sizeof(attr));
	attr.size = sizeof(attr);
	attr.type = (uint32_t)type;
	attr.config1 = (uint64_t)(uintptr_t)what;
	attr.config2 = off;
	fd = (int)syscall(SYS_perf_event_open, &attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int features_bpf__kprobe(const char *fn)
{
	int prog = load_tiny(BPF_PROG_TYPE_KPROBE, 0, 0), fd;

	if (prog < 0)
		return prog;
	fd = open_probe("kprobe", fn, 0, -1, 0, prog);
	close(prog);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* ---- uprobes, on ourselves --------------------------------------------------------------- */

/* What the probe sits on: never inlined, never left out. */
static __attribute__((noinline)) int probed(int v)
{
	__asm__ volatile("" : "+r"(v));
	return v;
}

struct here {
	uint64_t addr, off;
	bool found;
};

static int see_map(void *arg, const struct clew_map *map)
{
	struct here *h = arg;

	if (h->addr < map->start || h->addr >= map->end)
		return 0;
	h->off = h->addr - map->start + map->pgoff;
	h->found = true;
	return 1;
}

static int locate(struct here *h)
{
	memset(h, 0, sizeof(*h));
	h->addr = (uint64_t)(uintptr_t)probed;
	clew_procfs__each_map((uint32_t)getpid(), see_map, h);
	return h->found ? 0 : -ENOENT;
}

int features_bpf__uprobe(void)
{
	uint64_t hits = 0;
	struct here h;
	int prog, fd, err = locate(&h);

	if (err)
		return err;
	prog = load_tiny(BPF_PROG_TYPE_KPROBE, 0, 0);
	if (prog < 0)
		return prog;
	fd = open_probe("uprobe", SELF_EXE, h.off, 0, -1, prog);
	close(prog);
	if (fd < 0)
		return fd;
	probed(1);
	if (read(fd, &hits, sizeof(hits)) != sizeof(hits) || !hits)
		err = -EIO;
	close(fd);
	return err;
}

int features_bpf__uprobe_multi(void)
{
	LIBBPF_OPTS(bpf_link_create_opts, o);
	unsigned long off;
	struct here h;
	int prog, fd, err = locate(&h);

	if (err)
		return err;
	prog = load_tiny(BPF_PROG_TYPE_KPROBE, BPF_TRACE_UPROBE_MULTI, 0);
	if (prog < 0)
		return prog;
	off = h.off;
	o.uprobe_multi.path = SELF_EXE;
	o.uprobe_multi.offsets = &off;
	o.uprobe_multi.cnt = 1;
	o.uprobe_multi.pid = (uint32_t)getpid();
	fd = bpf_link_create(prog, 0, BPF_TRACE_UPROBE_MULTI, &o);
	err = fd < 0 ? -errno : 0;
	close(prog);
	if (fd >= 0)
		close(fd);
	return err;
}
