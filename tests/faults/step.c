/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.c - a wall clock that jumps, for one process: preloaded (ld.so(8), LD_PRELOAD), it adds to
 * CLOCK_REALTIME the seconds that stand in the file STEP_FILE now. A time namespace does not shift
 * that clock (time_namespaces(7)), and setting the machine's would harm others.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long step(void)
{
	const char *path = getenv("STEP_FILE");
	char text[32] = "";
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return atol(text);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int err = real(id, ts);

	if (!err && id == CLOCK_REALTIME)
		ts->tv_sec += step();
	return err;
}
