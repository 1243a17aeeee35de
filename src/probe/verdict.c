/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict.c - asks of one process what the watcher would ask, in the same order, and keeps the
 * reasons.
 *
 * The selection, the discovery and the limits are the very functions that tracing uses; what is
 * added here is words, and counts of the sockets that the process has open now (a service
 * without any has nothing to trace yet). Formats: proc(5); /proc/net/unix is described there
 * under "net/unix".
 */
#include "probe/verdict.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/resource.h"

#define TCP_ESTABLISHED 1
#define TCP_CLOSE_WAIT	8
#define TCP_LISTEN	10
#define UNIX_STREAM	1
#define UNIX_ACCEPTCON	0x10000u
#define UNIX_CONNECTED	3
#define SOCKETS_MAX	65536
#define RESOURCE_TEXT	4096
#define CGROUP_TEXT	16384

/* ---- sockets ------------------------------------------------------------------------------- */

struct sockets {
	uint64_t *v; /* inode numbers; sorted once all are known */
	uint32_t n, room;
	struct clew_verdict *verdict;
};

static int see_socket(void *arg, uint64_t inode)
{
	struct sockets *s = arg;

	if (s->n == SOCKETS_MAX)
		return 1;
	if (s->n == s->room) {
		uint32_t room = s->room ? s->room * 2 : 64;
		uint64_t *v = realloc(s->v, room * sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->room = room;
	}
	s->v[s->n++] = inode;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool holds(const struct sockets *s, uint64_t inode)
{
	return s->n && bsearch(&inode, s->v, s->n, sizeof(*s->v), compare);
}

static void add_port(struct clew_verdict *v, uint16_t port)
{
	uint32_t kept = v->nr_ports < CLEW_VERDICT_PORTS ? v->nr_ports : CLEW_VERDICT_PORTS;

	for (uint32_t i = 0; i < kept; i++)
		if (v->ports[i] == port)
			return; /* IPv4 and IPv6, or one per worker */
	if (kept < CLEW_VERDICT_PORTS)
		v->ports[kept] = port;
	v->nr_ports++;
}

static int see_tcp(void *arg, const struct clew_tcp_line *line)
{
	struct sockets *s = arg;

	if (!line->inode || !holds(s, line->inode))
		return 0;
	if (line->state == TCP_LISTEN)
		add_port(s->verdict, line->local_port);
	else if (line->state == TCP_ESTABLISHED || line->state == TCP_CLOSE_WAIT)
		s->verdict->tcp_open++;
	return 0;
}

int clew_verdict__parse_unix(const char *line, size_t n, uint64_t *ret_inode, bool *ret_listens,
			     bool *ret_open)
{
	unsigned int flags, type, state;
	uint64_t inode;
	char text[128];

	n = n < sizeof(text) - 1 ? n : sizeof(text) - 1;
	memcpy(text, line, n);
	text[n] = 0;
	/* Num RefCount Protocol Flags Type St Inode Path */
	if (sscanf(text, "%*[0-9a-fA-F]: %*x %*x %x %x %x %" SCNu64, &flags, &type, &state,
		   &inode) != 4)
		return -EBADMSG;
	if (type != UNIX_STREAM)
		return -ENOENT;
	*ret_inode = inode;
	*ret_listens = flags & UNIX_ACCEPTCON;
	*ret_open = !*ret_listens && state == UNIX_CONNECTED;
	return 0;
}

static int see_unix(void *arg, const char *line, size_t n)
{
	struct sockets *s = arg;
	bool listens, open;
	uint64_t inode;

	if (clew_verdict__parse_unix(line, n, &inode, &listens, &open) || !holds(s, inode))
		return 0;
	s->verdict->unix_listen += listens;
	s->verdict->unix_open += open;
	return 0;
}

static void count_sockets(struct clew_verdict *v)
{
	struct sockets s = {.verdict = v};
	int err = clew_procfs__each_socket(v->pid, see_socket, &s);

	if (err >= 0) {
		if (s.n)
			qsort(s.v, s.n, sizeof(*s.v), compare);
		err = clew_procfs__each_tcp(v->pid, see_tcp, &s);
	}
	if (err >= 0)
		err = clew_procfs__each_line(v->pid, "net/unix", see_unix, &s);
	free(s.v);
	v->sockets_known = err >= 0;
	if (err < 0)
		snprintf(v->sockets_why, sizeof(v->sockets_why), "its open files: %s",
			 strerror(-err));
}

/* ---- who it is ----------------------------------------------------------------------------- */

static void name_service(const struct clew_config *cfg, struct clew_verdict *v)
{
	static const char key[] = "service.name";
	char text[RESOURCE_TEXT];
	int n = clew_resource_text__build(v->pid, cfg, v->examined ? &v->rt : NULL, text,
					  sizeof(text));

	/* It comes first: "service.name\0value\0" */
	if (n > (int)sizeof(key) && !memcmp(text, key, sizeof(key)))
		snprintf(v->service, sizeof(v->service), "%.*s", n - (int)sizeof(key),
			 text + sizeof(key));
}

static void find_place(struct clew_verdict *v)
{
	char cgroup[CGROUP_TEXT], ours[64], theirs[64];
	ssize_t n = clew_procfs__read(v->pid, "cgroup", cgroup, sizeof(cgroup));

	if (n < 0 || clew_procfs__parse_container(cgroup, (size_t)n, v->container))
		v->container[0] = 0;
	if (!clew_procfs__link((uint32_t)getpid(), "ns/pid", ours, sizeof(ours)) &&
	    !clew_procfs__link(v->pid, "ns/pid", theirs, sizeof(theirs)))
		v->other_pidns = strcmp(ours, theirs) != 0;
	if (clew_procfs__nspid(v->pid, &v->nspid))
		v->nspid = 0;
}

/* ---- the verdict --------------------------------------------------------------------------- */

static __attribute__((format(printf, 3, 4))) bool verdict(struct clew_verdict *v, bool traced,
							  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->reason, sizeof(v->reason), fmt, ap);
	va_end(ap);
	v->traced = traced;
	return traced;
}

/* Whether the selection takes it, as select.c sees it; false with the reason. */
static bool selected(const struct clew_config *cfg, const struct clew_select_match *by,
		     const struct clew_proc_stat *st, struct clew_verdict *v)
{
	static const char *const how[] = {
		[CLEW_SELECT_PID] = "named by --pid",
		[CLEW_SELECT_EXE] = "its program matches --exe",
		[CLEW_SELECT_CGROUP] = "it is in the control group of --cgroup",
		[CLEW_SELECT_CONTAINER] = "it is in the container of --container",
		[CLEW_SELECT_ALL] = "--all takes every process",
	};
	char exe[CLEW_PROCFS_PATH];

	if (clew_procfs__is_kthread(st))
		return verdict(v, false, "it is a kernel thread, which runs no program");
	if (st->state == 'Z' || st->state == 'X')
		return verdict(v, false, "it has ended; its parent has not fetched its status yet");
	if (v->pid == (uint32_t)getpid())
		return verdict(v, false, "it is clew itself");
	if (!clew_procfs__exe(v->pid, exe, sizeof(exe)) &&
	    clew_select__exe_matches(&cfg->select.exclude_exes, exe))
		return verdict(v, false, "--exclude-exe excludes its program %.160s", exe);
	if (by->why == CLEW_SELECT_PORT)
		return verdict(v, true, "it listens on port %u", by->port);
	if (by->why == CLEW_SELECT_NO)
		return verdict(v, false, "no selector matches it");
	return verdict(v, true, "%s", how[by->why]);
}

void clew_verdict__judge(struct clew_runtime_cache *cache, const struct clew_config *cfg,
			 const struct clew_select_match *by, struct clew_verdict *ret)
{
	struct clew_proc_stat st;
	int err;

	memset(ret, 0, sizeof(*ret));
	ret->pid = by->pid;
	err = clew_procfs__stat(by->pid, &st);
	if (err) {
		if (err == -ESRCH)
			verdict(ret, false, "pid %u does not exist (or /proc hides it: hidepid)",
				by->pid);
		else
			verdict(ret, false, "/proc/%u cannot be read: %s", by->pid, strerror(-err));
		return;
	}
	snprintf(ret->comm, sizeof(ret->comm), "%s", st.comm);
	if (!selected(cfg, by, &st, ret))
		return;
	err = clew_runtime__discover(cache, by->pid, &ret->rt);
	if (err == -EACCES || err == -EPERM)
		verdict(ret, false,
			"it belongs to another user and may not be looked at: run as root, or with "
			"CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH");
	else if (err)
		verdict(ret, false, "it cannot be looked at: %s",
			err == -ESRCH ? "it has just ended" : strerror(-err));
	ret->examined = !err;
	name_service(cfg, ret);
	find_place(ret);
	count_sockets(ret);
}

/* ---- words --------------------------------------------------------------------------------- */

static const struct {
	const char *name, *cost;
} insns[] = {
	[CLEW_INSN_UNKNOWN] = {"unknown", "cost not known"},
	[CLEW_INSN_PUSH] = {"push", "emulated, about 0.6 us a hit"},
	[CLEW_INSN_NOP] = {"nop", "emulated, about 0.6 us a hit"},
	[CLEW_INSN_JUMP] = {"jump", "emulated, about 0.6 us a hit"},
	[CLEW_INSN_OTHER] = {"other", "single-stepped, up to 10 us a hit"},
	[CLEW_INSN_REFUSED] = {"refused", "the kernel refuses a probe here"},
};

const char *clew_verdict__insn_name(enum clew_insn_class insn)
{
	return (size_t)insn < sizeof(insns) / sizeof(insns[0]) ? insns[insn].name : "unknown";
}

const char *clew_verdict__insn_cost(enum clew_insn_class insn)
{
	return (size_t)insn < sizeof(insns) / sizeof(insns[0]) ? insns[insn].cost : "";
}
