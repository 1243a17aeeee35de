/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per span on standard output, to look at:
 *
 *   12:00:00.123456Z api SERVER GET /users/{id} unset 1.234ms trace=... span=... parent=...
 * link=exact
 *
 * Names come from captured traffic: control characters are masked, so that nobody who sends a
 * request can steer the terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/utf8.h"
#include "export/otlp.h"
#include "export/out.h"
#include "export/processor.h"

struct console_state {
	int fd;
	int cancel; /* atomic */
	uint32_t timeout_ms;
	struct clew_json text; /* used as a growable buffer */
};

static int console_open(const struct clew_export_config *cfg, void **ret_state, char *errbuf,
			size_t n)
{
	struct console_state *c = calloc(1, sizeof(*c));

	if (!c) {
		snprintf(errbuf, n, "out of memory");
		return -ENOMEM;
	}
	c->timeout_ms = cfg->timeout_ms ? cfg->timeout_ms : 10000;
	clew_json__init(&c->text, CLEW_OTLP_REQUEST_MAX);
	c->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (c->fd < 0) {
		int err = -errno;

		snprintf(errbuf, n, "standard output is closed; use --export file=PATH");
		free(c);
		return err;
	}
	*ret_state = c;
	return 0;
}

static void put(struct console_state *c, const char *s)
{
	clew_json__raw(&c->text, s, strlen(s));
}

static void put_text(struct console_state *c, struct clew_str s)
{
	const uint8_t *p = (const uint8_t *)s.p;
	size_t len;
	bool ok;

	for (uint32_t i = 0; i < s.n; i += (uint32_t)len) {
		len = clew_utf8__step(p + i, s.n - i, &ok);
		/* C0, DEL, and C1 (U+0080..9F, encoded c2 80..9f) */
		if (!ok || p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && p[i + 1] < 0xa0))
			put(c, "?");
		else
			clew_json__raw(&c->text, s.p + i, len);
	}
}

static void put_id(struct console_state *c, const char *label, const uint8_t *p, size_t n)
{
	char hex[33];

	for (size_t i = 0; i < n && i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", p[i]);
	put(c, label);
	put(c, hex);
}

static void put_time(struct console_state *c, uint64_t ns)
{
	time_t s = (time_t)(ns / 1000000000);
	struct tm tm;
	char buf[48];

	gmtime_r(&s, &tm);
	snprintf(buf, sizeof(buf), "%02d:%02d:%02d.%06uZ ", tm.tm_hour, tm.tm_min, tm.tm_sec,
		 (unsigned)(ns / 1000 % 1000000));
	put(c, buf);
}

static void put_span(struct console_state *c, const struct clew_span *s)
{
	static const char *const kinds[] = {"-",      "INTERNAL", "SERVER",
					    "CLIENT", "PRODUCER", "CONSUMER"};
	static const char *const statuses[] = {"unset", "ok", "error"};
	static const char *const links[] = {"none", "inferred", "exact"};
	static const uint8_t none[8];
	uint64_t ns = s->end_ns > s->start_ns ? s->end_ns - s->start_ns : 0;
	char buf[64];

	put_time(c, s->start_ns);
	if (s->resource && s->resource->service_name.n)
		put_text(c, s->resource->service_name);
	else
		put(c, "-");
	snprintf(buf, sizeof(buf), " %s ", (unsigned)s->kind < 6 ? kinds[s->kind] : "-");
	put(c, buf);
	put_text(c, s->name);
	snprintf(buf, sizeof(buf), " %s %.3fms",
		 (unsigned)s->status < 3 ? statuses[s->status] : "-", (double)ns / 1e6);
	put(c, buf);
	put_id(c, " trace=", s->trace_id, sizeof(s->trace_id));
	put_id(c, " span=", s->span_id, sizeof(s->span_id));
	if (memcmp(s->parent_span_id, none, sizeof(none)))
		put_id(c, " parent=", s->parent_span_id, sizeof(s->parent_span_id));
	snprintf(buf, sizeof(buf), " link=%s\n", (unsigned)s->link < 3 ? links[s->link] : "-");
	put(c, buf);
}

/* How many of the spans have their whole line in the first `len` bytes. */
static uint32_t count_lines(const char *p, size_t len)
{
	uint32_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] == '\n';
	return n;
}

static void console_send(void *state, struct clew_span *const *spans, size_t n,
			 struct clew_send_result *ret)
{
	struct console_state *c = state;
	size_t done;

	clew_json__reset(&c->text);
	for (size_t i = 0; i < n; i++)
		put_span(c, spans[i]);
	if (c->text.err) {
		ret->err = c->text.err;
		ret->drop = CLEW_SDROP_ENCODE;
		return;
	}
	ret->err = clew_out__write(c->fd, c->text.p, c->text.len, c->timeout_ms, &c->cancel, &done);
	ret->accepted = count_lines(c->text.p, done);
	if (!ret->err)
		return;
	ret->drop = CLEW_SDROP_WRITE;
	snprintf(ret->message, sizeof(ret->message), "cannot write to standard output: %s",
		 strerror(-ret->err));
	if (ret->err == -EMSGSIZE)
		ret->err = -EIO;
}

static void console_cancel(void *state)
{
	struct console_state *c = state;

	__atomic_store_n(&c->cancel, 1, __ATOMIC_RELAXED);
}

static void console_close(void *state)
{
	struct console_state *c = state;

	if (!c)
		return;
	close(c->fd);
	clew_json__free(&c->text);
	free(c);
}

const struct clew_exporter_ops clew_exporter_console = {
	.name = "console",
	.open = console_open,
	.send = console_send,
	.cancel = console_cancel,
	.close = console_close,
};
