/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_proc.c - texts of /proc that other people's processes shape: stat, maps, net/tcp, cgroup,
 * environ, cmdline; and what a service is called by them. The first byte says which.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "probe/procfs.h"
#include "probe/resource.h"

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
	if (!clew_resource__attribute(p, "service.name", text, sizeof(text)))
		must(text[0] && strlen(text) < sizeof(text));
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
	switch (data[0] % 5) {
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
	default:
		value = clew_procfs__parse_env(copy, size - 1, "OTEL_SERVICE_NAME");
		must(!value || (value > copy && value + strlen(value) < copy + size));
		break;
	}
	free(copy);
	return 0;
}
