/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.c - which of the running processes are to be traced.
 *
 * Ports are the dear part: a listening socket is known by network namespace and inode number,
 * and who holds it only by looking through the open files of the namespace's processes. So the
 * socket tables are read once per network namespace, and open files only where a namespace has
 * a wanted listener at all. A socket that was passed into another namespace's process is found
 * when that process is asked by clew_select__match_pid().
 * Formats: proc(5), cgroups(7). A selector's path may be written as in /proc/PID/cgroup or as
 * the directory under /sys/fs/cgroup, of version 2 or of any version 1 hierarchy.
 */
#include "probe/select.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/procfs.h"

#define TCP_LISTEN	 10
#define CGROUP_ROOT	 "/sys/fs/cgroup"
#define CGROUP_TEXT	 16384
#define CONTAINER_PREFIX 12
#define LISTENERS_MAX	 65536
#define NETNS_MAX	 16384

struct listener {
	uint64_t netns, inode;
	uint16_t port;
};

/* What was learned of the listening sockets: sorted by nothing, few. */
struct listeners {
	const struct clew_selectors *sel;
	struct listener *v;
	uint32_t n, room;
	uint64_t *netns; /* tables that were read */
	uint32_t nr_netns, netns_room;
	uint64_t current;
};

static void *grow(void *p, uint32_t *room, size_t size, uint32_t max)
{
	uint32_t want = *room ? *room * 2 : 16;
	void *q;

	if (*room >= max)
		return NULL;
	q = realloc(p, want * size);
	if (q)
		*room = want;
	return q;
}

static bool wanted_port(const struct clew_selectors *sel, uint16_t port)
{
	uint32_t i;

	for (i = 0; i < sel->nr_ports; i++)
		if (sel->ports[i] == port)
			return true;
	return false;
}

static int see_tcp(void *arg, const struct clew_tcp_line *line)
{
	struct listeners *l = arg;

	if (line->state != TCP_LISTEN || !line->inode || !wanted_port(l->sel, line->local_port))
		return 0;
	if (l->n == l->room) {
		struct listener *v = grow(l->v, &l->room, sizeof(*v), LISTENERS_MAX);

		if (!v)
			return -ENOMEM;
		l->v = v;
	}
	l->v[l->n++] = (struct listener){l->current, line->inode, line->local_port};
	return 0;
}

/* Read the socket table of the process's network namespace, if that was not done yet. */
static int read_netns(struct listeners *l, uint32_t pid, uint64_t *ret_netns)
{
	uint32_t i;
	int err = clew_procfs__netns(pid, ret_netns);

	if (err)
		return err;
	for (i = 0; i < l->nr_netns; i++)
		if (l->netns[i] == *ret_netns)
			return 0;
	if (l->nr_netns == l->netns_room) {
		uint64_t *v = grow(l->netns, &l->netns_room, sizeof(*v), NETNS_MAX);

		if (!v)
			return -ENOMEM;
		l->netns = v;
	}
	l->current = *ret_netns;
	err = clew_procfs__each_tcp(pid, see_tcp, l);
	if (err) /* the process went away: another one of the namespace will do */
		return err;
	l->netns[l->nr_netns++] = *ret_netns;
	return 0;
}

static void listeners_free(struct listeners *l)
{
	free(l->v);
	free(l->netns);
}

struct holds {
	const struct listeners *l;
	uint64_t netns;
	uint16_t port;
};

static int see_socket(void *arg, uint64_t inode)
{
	struct holds *h = arg;
	uint32_t i;

	for (i = 0; i < h->l->n; i++)
		if (h->l->v[i].inode == inode && h->l->v[i].netns == h->netns) {
			h->port = h->l->v[i].port;
			return 1;
		}
	return 0;
}

static bool holds_port(struct listeners *l, uint32_t pid, uint16_t *ret_port)
{
	struct holds h = {.l = l};
	uint32_t i;
	bool any = false;

	if (read_netns(l, pid, &h.netns))
		return false;
	for (i = 0; i < l->n && !any; i++)
		any = l->v[i].netns == h.netns;
	if (!any || clew_procfs__each_socket(pid, see_socket, &h) != 1)
		return false;
	*ret_port = h.port;
	return true;
}

bool clew_select__exe_matches(const struct clew_strv *globs, const char *exe)
{
	const char *slash = strrchr(exe, '/');
	uint32_t i;

	for (i = 0; i < globs->n; i++)
		if (!fnmatch(globs->v[i], exe, 0) || (slash && !fnmatch(globs->v[i], slash + 1, 0)))
			return true;
	return false;
}

/* Is `path` the group `prefix`, or below it? Trailing slashes of the prefix do not count. */
static bool below(const char *prefix, size_t len, const char *path, size_t path_len)
{
	while (len && prefix[len - 1] == '/')
		len--;
	return path_len >= len && !memcmp(prefix, path, len) &&
	       (path_len == len || path[len] == '/');
}

static bool same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && !memcmp(a, b, a_len);
}

/* Is a hierarchy with these controllers mounted under this name? "name=systemd": "systemd". */
static bool mounted_as(const char *ctrl, size_t ctrl_len, const char *name, size_t len)
{
	static const char named[] = "name=";

	if (!ctrl_len)
		return same("unified", strlen("unified"), name, len);
	if (same(ctrl, ctrl_len, name, len))
		return true;
	if (ctrl_len > strlen(named) && !memcmp(ctrl, named, strlen(named)))
		return same(ctrl + strlen(named), ctrl_len - strlen(named), name, len);
	while (ctrl_len) {
		const char *comma = memchr(ctrl, ',', ctrl_len);
		size_t n = comma ? (size_t)(comma - ctrl) : ctrl_len;

		if (same(ctrl, n, name, len))
			return true;
		n += comma != NULL;
		ctrl += n;
		ctrl_len -= n;
	}
	return false;
}

/*
 * One line "hierarchy:controllers:path" against `dir`, a directory below /sys/fs/cgroup: the
 * path itself (version 2 mounted at the top), or the hierarchy's own directory and the path.
 */
static bool dir_matches(const char *dir, const char *ctrl, size_t ctrl_len, const char *path,
			size_t path_len)
{
	const char *name = dir + strspn(dir, "/"), *rest = name + strcspn(name, "/");

	if (!ctrl_len && below(dir, strlen(dir), path, path_len))
		return true;
	return mounted_as(ctrl, ctrl_len, name, (size_t)(rest - name)) &&
	       below(rest, strlen(rest), path, path_len);
}

bool clew_select__cgroup_matches(const char *selector, const char *cgroup)
{
	const char *dir = NULL, *p = cgroup;
	size_t root = strlen(CGROUP_ROOT);

	if (selector[0] != '/')
		return false;
	if (!strncmp(selector, CGROUP_ROOT, root) && (!selector[root] || selector[root] == '/'))
		dir = selector + root;
	while (*p) {
		const char *eol = p + strcspn(p, "\n");
		const char *ctrl = memchr(p, ':', (size_t)(eol - p)), *path;

		path = ctrl ? memchr(ctrl + 1, ':', (size_t)(eol - ctrl - 1)) : NULL;
		if (path) {
			size_t len = (size_t)(eol - path - 1);

			if (dir ? dir_matches(dir, ctrl + 1, (size_t)(path - ctrl - 1), path + 1,
					      len)
				: below(selector, strlen(selector), path + 1, len))
				return true;
		}
		p = *eol ? eol + 1 : eol;
	}
	return false;
}

bool clew_select__container_matches(const char *selector, const char *cgroup)
{
	char id[CLEW_CONTAINER_ID];
	size_t len = strlen(selector);

	return len >= CONTAINER_PREFIX &&
	       !clew_procfs__parse_container(cgroup, strlen(cgroup), id) &&
	       !strncmp(id, selector, len);
}

static enum clew_select_why by_group(const struct clew_selectors *sel, uint32_t pid)
{
	char text[CGROUP_TEXT];
	uint32_t i;

	if (!sel->cgroups.n && !sel->containers.n)
		return CLEW_SELECT_NO;
	if (clew_procfs__read(pid, "cgroup", text, sizeof(text)) < 0)
		return CLEW_SELECT_NO;
	for (i = 0; i < sel->cgroups.n; i++)
		if (clew_select__cgroup_matches(sel->cgroups.v[i], text))
			return CLEW_SELECT_CGROUP;
	for (i = 0; i < sel->containers.n; i++)
		if (clew_select__container_matches(sel->containers.v[i], text))
			return CLEW_SELECT_CONTAINER;
	return CLEW_SELECT_NO;
}

static void match(const struct clew_selectors *sel, struct listeners *l,
		  struct clew_select_match *m)
{
	struct clew_proc_stat st;
	char exe[CLEW_PROCFS_PATH] = "";
	uint32_t i;

	m->why = CLEW_SELECT_NO;
	if (m->pid == (uint32_t)getpid() || clew_procfs__stat(m->pid, &st) ||
	    clew_procfs__is_kthread(&st) || st.state == 'Z' || st.state == 'X')
		return;
	if ((sel->exes.n || sel->exclude_exes.n) && clew_procfs__exe(m->pid, exe, sizeof(exe)))
		exe[0] = 0; /* its name cannot be read: no glob matches it */
	if (exe[0] && clew_select__exe_matches(&sel->exclude_exes, exe))
		return;
	for (i = 0; i < sel->nr_pids; i++)
		if (sel->pids[i] == m->pid) {
			m->why = CLEW_SELECT_PID;
			return;
		}
	if (sel->nr_ports && holds_port(l, m->pid, &m->port))
		m->why = CLEW_SELECT_PORT;
	else if (exe[0] && clew_select__exe_matches(&sel->exes, exe))
		m->why = CLEW_SELECT_EXE;
	else
		m->why = by_group(sel, m->pid);
	if (m->why == CLEW_SELECT_NO && sel->all)
		m->why = CLEW_SELECT_ALL;
}

struct scan {
	const struct clew_selectors *sel;
	struct listeners l;
	clew_select_fn fn;
	void *arg;
};

static int see_pid(void *arg, uint32_t pid)
{
	struct scan *s = arg;
	struct clew_select_match m = {.pid = pid};

	match(s->sel, &s->l, &m);
	return m.why == CLEW_SELECT_NO ? 0 : s->fn(s->arg, &m);
}

int clew_select__scan(const struct clew_selectors *sel, clew_select_fn fn, void *arg)
{
	struct scan s = {.sel = sel, .l = {.sel = sel}, .fn = fn, .arg = arg};
	int err = clew_procfs__each_pid(see_pid, &s);

	listeners_free(&s.l);
	return err;
}

enum clew_select_why clew_select__why(const struct clew_selectors *sel, uint32_t pid)
{
	struct clew_select_match m = {.pid = pid};
	struct listeners l = {.sel = sel};

	match(sel, &l, &m);
	listeners_free(&l);
	return m.why;
}

bool clew_select__match_pid(const struct clew_selectors *sel, uint32_t pid)
{
	return clew_select__why(sel, pid) != CLEW_SELECT_NO;
}

static int every_netns(void *arg, uint32_t pid)
{
	uint64_t netns;
	int err = read_netns(arg, pid, &netns);

	return err == -ENOMEM ? err : 0;
}

static void check_ports(const struct clew_selectors *sel, clew_select_say say, void *arg)
{
	struct listeners l = {.sel = sel};
	char text[96];
	uint32_t i, k;

	if (!sel->nr_ports)
		return;
	clew_procfs__each_pid(every_netns, &l);
	for (i = 0; i < sel->nr_ports; i++) {
		for (k = 0; k < l.n && l.v[k].port != sel->ports[i]; k++)
			;
		if (k < l.n)
			continue;
		snprintf(text, sizeof(text), "nobody listens on port %u yet: waiting for it",
			 sel->ports[i]);
		say(arg, false, text);
	}
	listeners_free(&l);
}

int clew_select__check(const struct clew_selectors *sel, clew_select_say say, void *arg)
{
	struct clew_proc_stat st;
	char text[96];
	uint32_t i;
	int err, fatal = 0;

	for (i = 0; i < sel->nr_pids; i++) {
		memset(&st, 0, sizeof(st));
		err = clew_procfs__stat(sel->pids[i], &st);
		if (err == -ESRCH || st.state == 'Z')
			snprintf(text, sizeof(text), "pid %u does not exist", sel->pids[i]);
		else if (err)
			snprintf(text, sizeof(text), "pid %u cannot be read (%s)", sel->pids[i],
				 strerror(-err));
		else if (clew_procfs__is_kthread(&st))
			snprintf(text, sizeof(text), "pid %u is a kernel thread", sel->pids[i]);
		else if (sel->pids[i] == (uint32_t)getpid())
			snprintf(text, sizeof(text), "pid %u is clew itself", sel->pids[i]);
		else
			continue;
		fatal++;
		say(arg, true, text);
	}
	for (i = 0; i < sel->containers.n; i++) {
		if (strlen(sel->containers.v[i]) >= CONTAINER_PREFIX)
			continue;
		snprintf(text, sizeof(text), "container id %.32s: at least %d digits are needed",
			 sel->containers.v[i], CONTAINER_PREFIX);
		fatal++;
		say(arg, true, text);
	}
	check_ports(sel, say, arg);
	return fatal;
}
