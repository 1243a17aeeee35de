/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing for the file and console exporters. A pipe or terminal whose reader has stopped would
 * hold the thread in write() for ever, and O_NONBLOCK on a shared descriptor would change it for
 * everybody who has it. So: poll() first, and write at most PIPE_BUF bytes when it says there is
 * room; POSIX promises that such a write to a pipe does not wait (pipe(7)).
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/out.h"
#include "export/processor.h"

#define SLICE_MS 100

static int wait_room(int fd, uint64_t until_ms, const int *cancel)
{
	struct pollfd pfd = {.fd = fd, .events = POLLOUT};

	for (;;) {
		int n = poll(&pfd, 1, SLICE_MS);

		if (n > 0)
			return 0; /* an error condition is write()'s to report */
		if (n < 0 && errno != EINTR)
			return -errno;
		if (__atomic_load_n(cancel, __ATOMIC_RELAXED))
			return -ECANCELED;
		if (clew_export__now_ms() >= until_ms)
			return -ETIMEDOUT;
	}
}

int clew_out__write(int fd, const char *p, size_t n, uint32_t timeout_ms, const int *cancel,
		    size_t *ret_done)
{
	uint64_t until_ms = clew_export__now_ms() + timeout_ms;
	struct stat st;
	bool regular;

	*ret_done = 0;
	if (fstat(fd, &st))
		return -errno;
	regular = S_ISREG(st.st_mode);
	while (*ret_done < n) {
		size_t part = n - *ret_done;
		ssize_t done;

		if (!regular) {
			int err = wait_room(fd, until_ms, cancel);

			if (err)
				return err;
			if (part > PIPE_BUF)
				part = PIPE_BUF;
		}
		done = write(fd, p + *ret_done, part);
		if (done > 0)
			*ret_done += (size_t)done;
		else if (done == 0)
			return -ENOSPC;
		else if (errno != EINTR && errno != EAGAIN)
			return -errno;
	}
	return 0;
}
