/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procfs.c - bounded readers for /proc/PID.
 *
 * Every process may vanish between any two calls, may rewrite its own command line and
 * environment, and may live in another mount, network or pid namespace. So nothing here trusts
 * a length, every read has a cap, and a file of the process is opened through /proc, never by
 * the bare path that the process knows it under. Format: proc(5), and for the cgroup shapes
 * the naming habits of the container runtimes.
 */
#include "probe/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
#define LINE_MAX_  8192
#define LINES_MAX  (64u << 20) /* of one file, in bytes: one of a process's own may have no end */
#define FDS_MAX	   (1 << 20)   /* the kernel's own default limit for one process */
#define DELETED	   " (deleted)"

static int gone(int err)
{
	return err == ENOENT || err == ESRCH || err == ENOTDIR ? -ESRCH : -err;
}

static int proc_path(char *buf, size_t n, uint32_t pid, const char *name)
{
	int len = snprintf(buf, n, "/proc/%" PRIu32 "/%s", pid, name);

	return len < 0 || (size_t)len >= n ? -ENAMETOOLONG : 0;
}

static int proc_open(uint32_t pid, const char *name, int flags)
{
	char path[128];
	int fd, err = proc_path(path, sizeof(path), pid, name);

	if (err)
		return err;
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? gone(errno) : fd;
}

ssize_t clew_procfs__read(uint32_t pid, const char *name, char *buf, size_t n)
{
	int fd = proc_open(pid, name, O_RDONLY);
	size_t used = 0;

	if (fd < 0)
		return fd;
	while (used + 1 < n) {
		ssize_t got = read(fd, buf + used, n - 1 - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int err = gone(errno);

			close(fd);
			return err;
		}
		if (!got)
			break;
		used += (size_t)got;
	}
	close(fd);
	buf[used] = 0;
	return (ssize_t)used;
}

int clew_procfs__link(uint32_t pid, const char *name, char *buf, size_t n)
{
	char path[128];
	ssize_t got;
	int err = proc_path(path, sizeof(path), pid, name);

	if (err)
		return err;
	got = readlink(path, buf, n);
	if (got < 0)
		return gone(errno);
	if ((size_t)got >= n)
		return -ENAMETOOLONG;
	buf[got] = 0;
	return 0;
}

/*
 * "pid (comm) state ppid ...": comm may hold spaces and parentheses, so what follows is found
 * from the last one.
 */
int clew_procfs__parse_stat(const char *text, size_t n, struct clew_proc_stat *ret)
{
	struct clew_proc_stat st = {0};
	const char *open = memchr(text, '(', n), *close = memrchr(text, ')', n);
	const char *p, *end = text + n;
	uint64_t field[23] = {0};
	size_t len;
	int i;

	if (!open || !close || close < open || end - close < 4)
		return -EBADMSG;
	len = (size_t)(close - open - 1);
	if (len >= sizeof(st.comm))
		len = sizeof(st.comm) - 1;
	memcpy(st.comm, open + 1, len);
	st.state = close[2];
	p = close + 3;
	for (i = 4; i <= 22; i++) {
		bool any = false;

		while (p < end && (*p == ' ' || *p == '-'))
			p++;
		for (; p < end && isdigit((unsigned char)*p); p++, any = true)
			field[i] = field[i] * 10 + (uint64_t)(*p - '0');
		if (!any || (p < end && *p != ' ' && *p != '\n'))
			return -EBADMSG;
	}
	st.ppid = (uint32_t)field[4];
	st.flags = (uint32_t)field[9];
	st.start_time = field[22];
	st.cpu = field[14] + field[15];
	*ret = st;
	return 0;
}

static bool hex_field(const char **p, const char *end, char stop, uint64_t *ret)
{
	uint64_t v = 0;
	int digits = 0;

	for (; *p < end && isxdigit((unsigned char)**p) && digits < 16; (*p)++, digits++) {
		int c = tolower((unsigned char)**p);

		v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (!digits || *p >= end || **p != stop)
		return false;
	(*p)++;
	*ret = v;
	return true;
}

static bool dec_field(const char **p, const char *end, uint64_t *ret)
{
	uint64_t v = 0;
	int digits = 0;

	while (*p < end && **p == ' ')
		(*p)++;
	for (; *p < end && isdigit((unsigned char)**p) && digits < 19; (*p)++, digits++)
		v = v * 10 + (uint64_t)(**p - '0');
	*ret = v;
	return digits && (*p == end || !isdigit((unsigned char)**p));
}

/* The kernel writes newline as \012 there; other bytes of a path come as they are. */
static size_t copy_path(char *dst, size_t n, const char *p, size_t len)
{
	size_t used = 0, i;

	for (i = 0; i < len && used + 1 < n; i++) {
		if (len - i >= 4 && !memcmp(p + i, "\\012", 4)) {
			dst[used++] = '\n';
			i += 3;
		} else {
			dst[used++] = p[i];
		}
	}
	dst[used] = 0;
	return used;
}

/* "start-end perms offset major:minor inode   path" */
int clew_procfs__parse_map(const char *line, size_t n, struct clew_map *ret)
{
	const char *p = line, *end = line + n;
	uint64_t maj, min;
	size_t len;

	memset(ret, 0, sizeof(*ret));
	if (!hex_field(&p, end, '-', &ret->start) || !hex_field(&p, end, ' ', &ret->end))
		return -EBADMSG;
	if (end - p < 5 || p[4] != ' ' || ret->end <= ret->start)
		return -EBADMSG;
	ret->exec = p[2] == 'x';
	p += 5;
	if (!hex_field(&p, end, ' ', &ret->pgoff) || !hex_field(&p, end, ':', &maj) ||
	    !hex_field(&p, end, ' ', &min) || !dec_field(&p, end, &ret->ino))
		return -EBADMSG;
	ret->dev_major = (uint32_t)maj;
	ret->dev_minor = (uint32_t)min;
	while (p < end && *p == ' ')
		p++;
	len = copy_path(ret->path, sizeof(ret->path), p, (size_t)(end - p));
	if (len >= strlen(DELETED) && !strcmp(ret->path + len - strlen(DELETED), DELETED)) {
		ret->path[len - strlen(DELETED)] = 0;
		ret->deleted = true;
	}
	return 0;
}

/*
 * "  sl: LOCAL:PORT REMOTE:PORT ST tx:rx tr:tm retrnsmt uid timeout inode ..."
 */
int clew_procfs__parse_tcp(const char *line, size_t n, struct clew_tcp_line *ret)
{
	const char *p = memchr(line, ':', n), *end = line + n;
	uint64_t port, state, inode;
	int i;

	if (!p)
		return -EBADMSG;
	p++; /* past "sl:"; then the local address, of 8 or 32 digits */
	p = memchr(p, ':', (size_t)(end - p));
	if (!p)
		return -EBADMSG;
	p++;
	if (!hex_field(&p, end, ' ', &port) || port > UINT16_MAX)
		return -EBADMSG;
	p = memchr(p, ' ', (size_t)(end - p));
	if (!p)
		return -EBADMSG;
	p++;
	if (!hex_field(&p, end, ' ', &state) || state > UINT8_MAX)
		return -EBADMSG;
	for (i = 0; i < 5; i++) { /* tx:rx, tr:tm, retrnsmt, uid, timeout */
		while (p < end && *p == ' ')
			p++;
		while (p < end && *p != ' ')
			p++;
	}
	if (!dec_field(&p, end, &inode))
		return -EBADMSG;
	ret->local_port = (uint16_t)port;
	ret->state = (uint8_t)state;
	ret->inode = inode;
	return 0;
}

static bool starts(const char *p, size_t n, const char *prefix)
{
	return n >= strlen(prefix) && !memcmp(p, prefix, strlen(prefix));
}

static size_t hex_run(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && (isdigit((unsigned char)p[i]) || (p[i] >= 'a' && p[i] <= 'f')))
		i++;
	return i;
}

/* One component of a control group path: "[runtime-]<64 hex>[.scope]" and the ECS form. */
static size_t container_in(const char *p, size_t n, const char **ret)
{
	static const char *const prefixes[] = {"docker-", "cri-containerd-", "crio-",
					       "libpod-", "nerdctl-",	     "containerd-"};
	size_t i, run, digits = 0;

	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (starts(p, n, prefixes[i])) {
			p += strlen(prefixes[i]);
			n -= strlen(prefixes[i]);
			break;
		}
	*ret = p;
	run = hex_run(p, n);
	if (run == 64 && (n == 64 || (n == 70 && !memcmp(p + 64, ".scope", 6))))
		return 64;
	if (run == 32 && n > 33 && p[32] == '-') { /* ECS on Fargate */
		while (33 + digits < n && isdigit((unsigned char)p[33 + digits]))
			digits++;
		if (digits && 33 + digits == n && n < CLEW_CONTAINER_ID)
			return n;
	}
	return 0;
}

int clew_procfs__parse_container(const char *cgroup, size_t n, char ret[CLEW_CONTAINER_ID])
{
	const char *end = cgroup + n, *p = cgroup, *id;
	size_t best = 0;

	/* The last one of a line: with nested containers the innermost is the process's own. */
	while (p < end) {
		const char *q = p;
		size_t len;

		while (q < end && *q != '/' && *q != '\n' && *q != ':')
			q++;
		len = container_in(p, (size_t)(q - p), &id);
		if (len) {
			memcpy(ret, id, len);
			ret[len] = 0;
			best = len;
		}
		if (best && q < end && *q == '\n')
			return 0;
		p = q + 1;
	}
	return best ? 0 : -ENOENT;
}

const char *clew_procfs__parse_env(const char *env, size_t n, const char *name)
{
	size_t len = strlen(name), at = 0;

	while (at < n) {
		const char *p = env + at, *nul = memchr(p, 0, n - at);

		if (!nul)
			return NULL;
		if ((size_t)(nul - p) > len && p[len] == '=' && !memcmp(p, name, len))
			return p + len + 1;
		at = (size_t)(nul - env) + 1;
	}
	return NULL;
}

int clew_procfs__stat(uint32_t pid, struct clew_proc_stat *ret)
{
	char buf[1024];
	ssize_t n = clew_procfs__read(pid, "stat", buf, sizeof(buf));

	return n < 0 ? (int)n : clew_procfs__parse_stat(buf, (size_t)n, ret);
}

bool clew_procfs__is_kthread(const struct clew_proc_stat *st)
{
	return st->flags & PF_KTHREAD;
}

int clew_procfs__exe(uint32_t pid, char *buf, size_t n)
{
	int err = clew_procfs__link(pid, "exe", buf, n);
	size_t len;

	if (err)
		return err;
	len = strlen(buf);
	if (len > strlen(DELETED) && !strcmp(buf + len - strlen(DELETED), DELETED))
		buf[len - strlen(DELETED)] = 0;
	return 0;
}

int clew_procfs__netns(uint32_t pid, uint64_t *ret_ino)
{
	char buf[64];
	int err = clew_procfs__link(pid, "ns/net", buf, sizeof(buf));

	if (err)
		return err;
	return sscanf(buf, "net:[%" SCNu64 "]", ret_ino) == 1 ? 0 : -EBADMSG;
}

/* The numbers behind "Name:" in /proc/PID/status; the first or the last of them. */
static int status_number(uint32_t pid, const char *name, bool last, uint32_t *ret)
{
	char buf[8192], *p, *eol;
	ssize_t n = clew_procfs__read(pid, "status", buf, sizeof(buf));
	bool any = false;

	if (n < 0)
		return (int)n;
	p = strstr(buf, name);
	if (!p)
		return -ENOENT;
	p += strlen(name);
	eol = p + strcspn(p, "\n");
	*eol = 0;
	while (*p && !(any && !last)) {
		char *stop;
		unsigned long v = strtoul(p, &stop, 10);

		if (stop == p)
			break;
		*ret = (uint32_t)v;
		any = true;
		p = stop;
	}
	return any ? 0 : -EBADMSG;
}

int clew_procfs__nspid(uint32_t pid, uint32_t *ret)
{
	return status_number(pid, "\nNSpid:", true, ret);
}

int clew_procfs__uid(uint32_t pid, uint32_t *ret)
{
	return status_number(pid, "\nUid:", false, ret);
}

static int each_number(const char *dir, clew_pid_fn fn, void *arg)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int err = 0;

	if (!d)
		return gone(errno);
	while (!err && (e = readdir(d))) {
		char *stop;
		unsigned long v;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		v = strtoul(e->d_name, &stop, 10);
		if (*stop || !v || v > INT32_MAX)
			continue;
		err = fn(arg, (uint32_t)v);
	}
	closedir(d);
	return err;
}

int clew_procfs__each_pid(clew_pid_fn fn, void *arg)
{
	return each_number("/proc", fn, arg);
}

int clew_procfs__each_thread(uint32_t pid, clew_pid_fn fn, void *arg)
{
	char path[64];
	int err = proc_path(path, sizeof(path), pid, "task");

	return err ? err : each_number(path, fn, arg);
}

int clew_procfs__each_line_of(int fd, clew_line_fn fn, void *arg)
{
	size_t used = 0, sum = 0;
	bool cut = false; /* the rest of a line that was too long is being skipped */
	char *buf = malloc(LINE_MAX_);
	int err = 0;

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t got = read(fd, buf + used, LINE_MAX_ - used);
		char *p = buf, *nl;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			err = gone(errno);
		sum += got > 0 ? (size_t)got : 0;
		if (got <= 0 || sum > LINES_MAX)
			break;
		used += (size_t)got;
		while (!err && (nl = memchr(p, '\n', used - (size_t)(p - buf)))) {
			if (!cut)
				err = fn(arg, p, (size_t)(nl - p));
			cut = false;
			p = nl + 1;
		}
		if (err)
			break;
		used -= (size_t)(p - buf);
		memmove(buf, p, used);
		if (used == LINE_MAX_) {
			if (!cut)
				err = fn(arg, buf, used);
			cut = true;
			used = 0;
		}
	}
	if (!err && used && !cut)
		err = fn(arg, buf, used);
	free(buf);
	return err;
}

int clew_procfs__each_line(uint32_t pid, const char *name, clew_line_fn fn, void *arg)
{
	int fd = proc_open(pid, name, O_RDONLY), err;

	if (fd < 0)
		return fd;
	err = clew_procfs__each_line_of(fd, fn, arg);
	close(fd);
	return err;
}

struct map_walk {
	clew_map_fn fn;
	void *arg;
	struct clew_map map;
};

static int map_line(void *arg, const char *line, size_t n)
{
	struct map_walk *w = arg;

	/* a line that cannot be read names nothing that could be opened: leave it out */
	if (clew_procfs__parse_map(line, n, &w->map) || !w->map.ino || w->map.path[0] != '/')
		return 0;
	return w->fn(w->arg, &w->map);
}

int clew_procfs__each_map(uint32_t pid, clew_map_fn fn, void *arg)
{
	struct map_walk w = {.fn = fn, .arg = arg};

	return clew_procfs__each_line(pid, "maps", map_line, &w);
}

struct tcp_walk {
	clew_tcp_fn fn;
	void *arg;
};

static int tcp_line(void *arg, const char *line, size_t n)
{
	struct tcp_walk *w = arg;
	struct clew_tcp_line t;

	if (clew_procfs__parse_tcp(line, n, &t)) /* the heading */
		return 0;
	return w->fn(w->arg, &t);
}

int clew_procfs__each_tcp(uint32_t pid, clew_tcp_fn fn, void *arg)
{
	struct tcp_walk w = {fn, arg};
	int err = clew_procfs__each_line(pid, "net/tcp", tcp_line, &w), err6;

	if (err && err != -ESRCH)
		return err;
	/* a kernel without IPv6 has no tcp6 */
	err6 = clew_procfs__each_line(pid, "net/tcp6", tcp_line, &w);
	return err6 == -ESRCH ? err : err6;
}

int clew_procfs__each_socket(uint32_t pid, clew_inode_fn fn, void *arg)
{
	char path[64], target[64];
	struct dirent *e;
	int err = proc_path(path, sizeof(path), pid, "fd"), n = 0;
	DIR *d;

	if (err)
		return err;
	d = opendir(path);
	if (!d)
		return gone(errno);
	while (!err && n++ < FDS_MAX && (e = readdir(d))) {
		ssize_t got = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
		uint64_t ino;

		if (got <= 0)
			continue;
		target[got] = 0;
		if (sscanf(target, "socket:[%" SCNu64 "]", &ino) == 1)
			err = fn(arg, ino);
	}
	closedir(d);
	return err;
}

/*
 * map_files names exactly the mapped file, whatever became of its path, but needs
 * CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. The path below the process's root is the way
 * without; then it must still be the file that was mapped. (On overlayfs and btrfs the
 * device of the mapping is not that of stat(2), so only the inode number is compared.)
 */
int clew_procfs__open_map(uint32_t pid, const struct clew_map *map, char *path, size_t n)
{
	struct stat st;
	bool by_path = false;
	int fd, len;

	len = snprintf(path, n, "/proc/%" PRIu32 "/map_files/%" PRIx64 "-%" PRIx64, pid, map->start,
		       map->end);
	if (len < 0 || (size_t)len >= n)
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		if (map->deleted)
			return gone(errno);
		len = snprintf(path, n, "/proc/%" PRIu32 "/root%s", pid, map->path);
		if (len < 0 || (size_t)len >= n)
			return -ENAMETOOLONG;
		fd = clew_procfs__open_in_root(pid, map->path);
		if (fd < 0)
			return fd;
		by_path = true;
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (by_path && st.st_ino != map->ino)) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

/*
 * First as a name only (O_PATH opens nothing), so that no device or pipe is ever opened, with
 * whatever that would set off.
 */
int clew_procfs__open_in_root(uint32_t pid, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int root = proc_open(pid, "root", O_PATH | O_DIRECTORY), fd, named;
	char self[48];
	struct stat st;

	if (root < 0)
		return root;
	named = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	fd = named < 0 ? gone(errno) : 0;
	close(root);
	if (named < 0)
		return fd;
	if (fstat(named, &st) || !S_ISREG(st.st_mode)) {
		close(named);
		return -EBADMSG;
	}
	snprintf(self, sizeof(self), "/proc/self/fd/%d", named);
	fd = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		fd = gone(errno);
	close(named);
	return fd;
}

int clew_procfs__open_exe(uint32_t pid, char *path, size_t n)
{
	int fd, err = proc_path(path, n, pid, "exe");

	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? gone(errno) : fd;
}

int clew_procfs__open_mem(uint32_t pid)
{
	return proc_open(pid, "mem", O_RDONLY);
}
