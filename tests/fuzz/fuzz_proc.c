/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_proc.c - texts of /proc that other people's processes shape: stat, maps, net/tcp, cgroup,
 * environ, cmdline; and what a service is called by them. The first byte says which. The last kind
 * is a process that tells its own: the texts become this one's arguments, environment, name and the
 * name of a mapped file (with CAP_SYS_RESOURCE; without, what it began with), and a child of it is
 * asked whether it is selected.
 */
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe/procfs.h"
#include "probe/resource.h"
#include "probe/select.h"

#define ROOM 4096 /* for arguments, and as much for the environment */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static int see_line(void *arg, const char *line, size_t n)
{
	struct clew_tcp_line tcp;
	struct clew_map map;

	*(size_t *)arg += n;
	if (!clew_procfs__parse_map(line, n, &map))
		must(map.start < map.end && memchr(map.path, 0, sizeof(map.path)) != NULL);
	clew_procfs__parse_tcp(line, n, &tcp);
	return 0;
}

static void lines(const char *p, size_t n)
{
	int fd = memfd_create("lines", MFD_CLOEXEC);
	size_t seen = 0;

	if (fd < 0 || write(fd, p, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET))
		goto out;
	must(clew_procfs__each_line_of(fd, see_line, &seen) == 0 && seen <= n);
out:
	close(fd);
}

static void commands(const char *p, size_t n)
{
	static const char *const exes[] = {"python3.11", "node", "java", "ruby",  "php-fpm8.2",
					   "uwsgi",	 "bun",	 "app",	 "dotnet"};
	char text[256], args[512], small[8];
	size_t len;

	for (size_t i = 0; i < sizeof(exes) / sizeof(exes[0]); i++)
		if (!clew_resource__script_name(exes[i], p, n, text, sizeof(text)))
			must(text[0] && strlen(text) < sizeof(text));
	len = clew_resource__args(p, n, args, sizeof(args));
	must(len < sizeof(args) && !args[len]);
	must(clew_resource__args(p, n, small, sizeof(small)) < sizeof(small));
}

/* Texts that are read whole end with a NUL. */
static void texts(const char *p)
{
	char text[256], id[CLEW_CONTAINER_ID];
	size_t n = strlen(p);

	if (!clew_procfs__parse_container(p, n, id))
		must(strlen(id) >= 33 && strlen(id) < sizeof(id));
	if (!clew_resource__unit_name(p, text, sizeof(text)))
		must(text[0] && strlen(text) < sizeof(text));
	clew_select__cgroup_matches(p, strchr(p, '\n') ? strchr(p, '\n') + 1 : p);
	clew_select__container_matches(p, p);
	if (!clew_resource__attribute(p, "service.name", text, sizeof(text)))
		must(text[0] && strlen(text) < sizeof(text));
}

/* ---- a process that tells of itself ---------------------------------------------------------- */

static void become(const char *args, size_t nr_args, const char *env, size_t nr_env)
{
	static char *room;

	if (!room) {
		room = mmap((void *)0x200000000000, 2 * ROOM, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		must(room == (void *)0x200000000000);
		prctl(PR_SET_MM, PR_SET_MM_ARG_START, room, 0, 0);
		prctl(PR_SET_MM, PR_SET_MM_ENV_START, room + ROOM, 0, 0);
	}
	nr_args = nr_args < ROOM - 1 ? nr_args : ROOM - 1;
	nr_env = nr_env < ROOM - 1 ? nr_env : ROOM - 1;
	memset(room, 0, 2 * ROOM);
	memcpy(room, args, nr_args);
	memcpy(room + ROOM, env, nr_env);
	prctl(PR_SET_MM, PR_SET_MM_ARG_END, room + nr_args + 1, 0, 0);
	prctl(PR_SET_MM, PR_SET_MM_ENV_END, room + ROOM + nr_env + 1, 0, 0);
	prctl(PR_SET_NAME, args);
}

static int open_it(void *arg, const struct clew_map *map)
{
	char path[64];
	int fd;

	if (!strstr(map->path, "memfd:"))
		return 0;
	fd = clew_procfs__open_map(*(uint32_t *)arg, map, path, sizeof(path));
	if (fd >= 0)
		close(fd);
	return 0;
}

static int see_id(void *arg, uint32_t id)
{
	must(id > 0);
	(*(size_t *)arg)++;
	return 0;
}

static int see_inode(void *arg, uint64_t ino)
{
	(*(size_t *)arg) += ino != 0;
	return 0;
}

static int see_tcp(void *arg, const struct clew_tcp_line *line)
{
	(*(size_t *)arg) += line->local_port;
	return 0;
}

/* Forked once: nobody is asked whether he selects himself. */
static uint32_t child(void)
{
	static pid_t pid;

	if (!pid) {
		pid = fork();
		must(pid >= 0);
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	return (uint32_t)pid;
}

static void say(void *arg, bool fatal, const char *text)
{
	must(text[0] && (fatal || arg));
}

static void selected(char *text)
{
	static uint16_t port = 1;
	uint32_t pids[] = {child(), (uint32_t)getpid(), 0x7ffffffe, 2};
	struct clew_selectors sel = {.all = text[0] & 1};
	struct clew_strv one = {&text, 1};
	enum clew_select_why why;

	if (text[0] & 2)
		sel.exes = one;
	if (text[0] & 4)
		sel.cgroups = one;
	if (text[0] & 8)
		sel.containers = one;
	if (text[0] & 16)
		sel.exclude_exes = one;
	if (text[0] & 32) {
		sel.ports = &port;
		sel.nr_ports = 1;
	}
	if (text[0] & 64) {
		sel.pids = pids;
		sel.nr_pids = 4;
	}
	why = clew_select__why(&sel, child());
	must(clew_select__match_pid(&sel, child()) == (why != CLEW_SELECT_NO));
	must(!clew_select__match_pid(&sel, (uint32_t)getpid()));
	sel.nr_ports = 0;
	must(clew_select__check(&sel, say, text) >= 0);
	clew_select__exe_matches(&one, text);
}

static void myself(const char *p, size_t n)
{
	static const char *const runtimes[] = {"node", "go", "cpython", "nothing"};
	struct clew_config cfg = {.resource_attributes = NULL};
	struct clew_runtime rt = {.kind = CLEW_RT_NODE, .version = "1"};
	struct clew_proc_stat st;
	char buf[8192], small[300], path[64], *text = strdup(p);
	uint32_t pid = (uint32_t)getpid(), number;
	size_t args = n / 2, count = 0;
	int fd = memfd_create(p + args, MFD_CLOEXEC), len;
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t netns;
	void *mem = fd < 0 || ftruncate(fd, 4096) ? MAP_FAILED
						  : mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	become(p, args, p + args, n - args);
	must(!clew_procfs__stat(pid, &st) && !clew_procfs__is_kthread(&st));
	must(!clew_procfs__netns(pid, &netns) && !clew_procfs__uid(pid, &number));
	must(!clew_procfs__nspid(pid, &number) && number);
	must(!clew_procfs__each_thread(pid, see_id, &count) && count);
	clew_procfs__each_map(pid, open_it, &pid);
	clew_procfs__each_socket(pid, see_inode, &count);
	if (n & 1)
		clew_procfs__each_tcp(pid, see_tcp, &count);
	snprintf(rt.name, sizeof(rt.name), "%s", runtimes[n & 3]);
	cfg.resource_attributes = n & 4 ? text : NULL;
	cfg.service_name = n & 8 ? text : NULL;
	len = clew_resource_text__build(pid, n & 16 ? &cfg : NULL, n & 32 ? &rt : NULL, buf,
					sizeof(buf));
	must(len > 0 && (size_t)len <= sizeof(buf) && !buf[len - 1]);
	len = clew_resource_text__build(pid, &cfg, &rt, small, sizeof(small));
	must(len <= (int)sizeof(small));
	must(clew_resource_text__build(0x7ffffffe, &cfg, &rt, small, sizeof(small)) == -ESRCH);
	selected(text);
	len = clew_procfs__open_exe(pid, path, sizeof(path));
	must(len >= 0);
	close(len);
	len = clew_procfs__open_in_root(pid, p);
	if (len >= 0)
		close(len);
	if (mem != MAP_FAILED)
		munmap(mem, 4096);
	free(text);
	close(fd);
	close(sock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clew_proc_stat st;
	const char *value;
	char *copy;

	if (!size)
		return 0;
	copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	copy[size - 1] = 0;
	switch (data[0] % 6) {
	case 0:
		if (!clew_procfs__parse_stat(copy, size - 1, &st))
			must(memchr(st.comm, 0, sizeof(st.comm)) != NULL);
		break;
	case 1:
		lines(copy, size - 1);
		break;
	case 2:
		commands(copy, size - 1);
		break;
	case 3:
		texts(copy);
		break;
	case 5:
		myself(copy, size - 1);
		break;
	default:
		value = clew_procfs__parse_env(copy, size - 1, "OTEL_SERVICE_NAME");
		must(!value || (value > copy && value + strlen(value) < copy + size));
		break;
	}
	free(copy);
	return 0;
}
