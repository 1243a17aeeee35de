/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that a test starts, and ends again; cmocka's headers come in here too. */
#ifndef TEST_SPAWN_H
#define TEST_SPAWN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Start argv with its standard output on a pipe. When `ready` is set, wait until it has written
 * something (10 s). The child dies with the test.
 */
static inline pid_t spawn(char *const argv[], int ready)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 1);
		dup2(open("/dev/null", O_WRONLY), 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(fds[1]);
	if (ready) {
		struct pollfd p = {.fd = fds[0], .events = POLLIN};
		char c;

		if (poll(&p, 1, 10000) != 1 || read(fds[0], &c, 1) != 1) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			pid = -1;
		}
	}
	/* the read end stays open: the child must not be killed by its own output */
	return pid;
}

static inline void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Run to its end; 0 when it succeeded. */
static inline int run(char *const argv[])
{
	int st;
	pid_t pid = spawn(argv, 0);

	if (pid < 0 || waitpid(pid, &st, 0) != pid)
		return -1;
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

/* /proc/PID/exe changes only when exec is done: wait for it. */
static inline void wait_exec(pid_t pid, const char *base)
{
	char path[64], exe[512];
	int i;

	for (i = 0; i < 500; i++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
		n = readlink(path, exe, sizeof(exe) - 1);
		exe[n > 0 ? n : 0] = 0;
		if (strstr(exe, base))
			return;
		usleep(10000);
	}
}

#endif
