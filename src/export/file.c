/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP JSON lines (OpenTelemetry protocol file exporter specification): each line is one
 * ExportTraceServiceRequest, appended by one write. A reader must never meet half a line, so what
 * a full disk let through is cut off again. The file is looked up before each batch: when it was
 * renamed or deleted (logrotate), a new one is made.
 *
 * The path "-" is standard output. Pipes and terminals cannot be cut: after a half line the next
 * batch begins with a line feed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/otlp.h"
#include "export/out.h"
#include "export/processor.h"

struct file_state {
	const char *path;
	int fd;
	int cancel; /* atomic */
	uint32_t timeout_ms;
	bool torn; /* the last line of a pipe lacks its end */
	struct clew_json json;
	struct clew_otlp_groups groups;
};

static int file_fd(const char *path)
{
	int fd;

	if (!strcmp(path, "-"))
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else /* without O_NONBLOCK a FIFO that nobody reads would hold us here */
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
			  0644);
	return fd < 0 ? -errno : fd;
}

static void file_close(void *state)
{
	struct file_state *f = state;

	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	clew_json__free(&f->json);
	clew_otlp_groups__free(&f->groups);
	free(f);
}

static int file_open(const struct clew_export_config *cfg, void **ret_state, char *errbuf, size_t n)
{
	struct file_state *f;
	int err;

	if (!cfg->target || !*cfg->target) {
		snprintf(errbuf, n, "no path; use --export file=PATH");
		return -EINVAL;
	}
	f = calloc(1, sizeof(*f));
	if (!f) {
		snprintf(errbuf, n, "out of memory");
		return -ENOMEM;
	}
	f->path = cfg->target;
	f->timeout_ms = cfg->timeout_ms ? cfg->timeout_ms : 10000;
	clew_json__init(&f->json, CLEW_OTLP_REQUEST_MAX);
	f->fd = file_fd(f->path);
	if (f->fd < 0) {
		err = f->fd;
		snprintf(errbuf, n, "cannot open %s: %s; give a path that can be written", f->path,
			 err == -ENXIO ? "nobody reads this pipe" : strerror(-err));
		file_close(f);
		return err;
	}
	*ret_state = f;
	return 0;
}

/* The path may name another file now, or none. */
static int file_lookup(struct file_state *f, struct stat *ret)
{
	struct stat at;
	int fd;

	if (f->fd >= 0) {
		if (fstat(f->fd, ret))
			return -errno;
		if (!S_ISREG(ret->st_mode) || !strcmp(f->path, "-"))
			return 0;
		if (!stat(f->path, &at) && at.st_dev == ret->st_dev && at.st_ino == ret->st_ino)
			return 0;
	}
	fd = file_fd(f->path);
	if (fd < 0)
		return fd;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = fd;
	return fstat(fd, ret) ? -errno : 0;
}

/* One line, whole or not at all. */
static int file_append(struct file_state *f)
{
	const char *what = f->json.p;
	size_t len = f->json.len, done;
	struct stat st;
	int err = file_lookup(f, &st);

	if (err)
		return err;
	if (f->torn) {
		err = clew_out__write(f->fd, "\n", 1, f->timeout_ms, &f->cancel, &done);
		if (err)
			return err;
		f->torn = false;
	}
	err = clew_out__write(f->fd, what, len, f->timeout_ms, &f->cancel, &done);
	if (!err || !done)
		return err;
	if (!S_ISREG(st.st_mode) || fstat(f->fd, &st) || ftruncate(f->fd, st.st_size - (off_t)done))
		f->torn = true;
	return err;
}

static void file_send(void *state, struct clew_span *const *spans, size_t n,
		      struct clew_send_result *ret)
{
	struct file_state *f = state;

	clew_json__reset(&f->json);
	ret->err = clew_otlp__json(&f->json, &f->groups, spans, n);
	clew_json__raw(&f->json, "\n", 1);
	if (!ret->err)
		ret->err = f->json.err;
	if (ret->err) {
		ret->drop = CLEW_SDROP_ENCODE;
		snprintf(ret->message, sizeof(ret->message), "cannot encode: %s",
			 strerror(-ret->err));
		return;
	}
	ret->err = file_append(f);
	if (!ret->err) {
		ret->accepted = (uint32_t)n;
		return;
	}
	ret->drop = CLEW_SDROP_WRITE;
	snprintf(ret->message, sizeof(ret->message), "cannot write to %.100s: %s", f->path,
		 strerror(-ret->err));
	if (ret->err == -EMSGSIZE)
		ret->err = -EIO; /* that number means: too large to encode */
}

static void file_cancel(void *state)
{
	struct file_state *f = state;

	__atomic_store_n(&f->cancel, 1, __ATOMIC_RELAXED);
}

const struct clew_exporter_ops clew_exporter_file = {
	.name = "file",
	.open = file_open,
	.send = file_send,
	.cancel = file_cancel,
	.close = file_close,
};
