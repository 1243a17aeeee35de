/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's names, its sums, its table and its JSON (docs/ledger.md). Every number is read
 * once into a copy first, so that the verdict and the printed figures agree even when a stage
 * still counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <clew/ledger.h>

#include "base/json.h"

const char *const clew_event_drop_names[CLEW_EDROP_MAX] = {
	[CLEW_EDROP_RING_FULL] = "ring_full",
	[CLEW_EDROP_CONN_TABLE_FULL] = "conn_table_full",
	[CLEW_EDROP_PROBE_MISSED] = "probe_missed",
	[CLEW_EDROP_MALFORMED] = "malformed",
	[CLEW_EDROP_UNKNOWN_CONN] = "unknown_conn",
	[CLEW_EDROP_NOT_HTTP] = "not_http",
	[CLEW_EDROP_OUT_OF_MEMORY] = "out_of_memory",
	[CLEW_EDROP_DUPLICATE] = "duplicate",
};

const char *const clew_exchange_drop_names[CLEW_XDROP_MAX] = {
	[CLEW_XDROP_EXCLUDED_PATH] = "excluded_path",
	[CLEW_XDROP_GAP] = "gap",
	[CLEW_XDROP_INVALID] = "invalid",
	[CLEW_XDROP_TABLE_FULL] = "table_full",
	[CLEW_XDROP_UNANSWERED] = "unanswered",
	[CLEW_XDROP_NO_MEMORY] = "no_memory",
};

const char *const clew_span_drop_names[CLEW_SDROP_MAX] = {
	[CLEW_SDROP_QUEUE_FULL] = "queue_full",	  [CLEW_SDROP_REJECTED] = "rejected",
	[CLEW_SDROP_UNREACHABLE] = "unreachable", [CLEW_SDROP_SHUTDOWN] = "shutdown",
	[CLEW_SDROP_ENCODE] = "encode",		  [CLEW_SDROP_WRITE] = "write",
};

/* One equation: seen = out + the dropped ones; `off` is how far it is from holding. */
struct line {
	const char *what, *seen_name, *out_name;
	uint64_t seen, out;
	const uint64_t *dropped;
	const char *const *names;
	unsigned nr;
};

static uint64_t load(const uint64_t *v)
{
	return __atomic_load_n(v, __ATOMIC_RELAXED);
}

static void load_all(uint64_t *dst, const uint64_t *src, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		dst[i] = load(&src[i]);
}

static void ledger_read(const struct clew_ledger *from, struct clew_ledger *to)
{
	memset(to, 0, sizeof(*to));
	to->events_seen = load(&from->events_seen);
	to->events_used = load(&from->events_used);
	load_all(to->events_dropped, from->events_dropped, CLEW_EDROP_MAX);
	to->exchanges_seen = load(&from->exchanges_seen);
	to->exchanges_spans = load(&from->exchanges_spans);
	load_all(to->exchanges_dropped, from->exchanges_dropped, CLEW_XDROP_MAX);
	to->spans_built = load(&from->spans_built);
	to->spans_sampled_out = load(&from->spans_sampled_out);
	to->nr_exporters = from->nr_exporters;
	if (to->nr_exporters > CLEW_EXPORTERS_MAX)
		to->nr_exporters = CLEW_EXPORTERS_MAX;
	for (unsigned e = 0; e < to->nr_exporters; e++) {
		memcpy(to->exporter[e].name, from->exporter[e].name, sizeof(to->exporter[e].name));
		to->exporter[e].name[sizeof(to->exporter[e].name) - 1] = 0;
		to->exporter[e].exported = load(&from->exporter[e].exported);
		load_all(to->exporter[e].dropped, from->exporter[e].dropped, CLEW_SDROP_MAX);
	}
}

/* The equations of a ledger, in the order of the pipeline; returns how many. */
static unsigned ledger_lines(const struct clew_ledger *l, struct line *lines)
{
	unsigned n = 0;

	lines[n++] = (struct line){"events",
				   "seen",
				   "used",
				   l->events_seen,
				   l->events_used,
				   l->events_dropped,
				   clew_event_drop_names,
				   CLEW_EDROP_MAX};
	lines[n++] = (struct line){"exchanges",
				   "seen",
				   "spans",
				   l->exchanges_seen,
				   l->exchanges_spans,
				   l->exchanges_dropped,
				   clew_exchange_drop_names,
				   CLEW_XDROP_MAX};
	for (unsigned e = 0; e < l->nr_exporters; e++)
		lines[n++] = (struct line){l->exporter[e].name,
					   "built",
					   "exported",
					   l->spans_built - l->spans_sampled_out,
					   l->exporter[e].exported,
					   l->exporter[e].dropped,
					   clew_span_drop_names,
					   CLEW_SDROP_MAX};
	return n;
}

static uint64_t line_dropped(const struct line *line)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < line->nr; i++)
		sum += line->dropped[i];
	return sum;
}

static bool line_holds(const struct line *line)
{
	return line->seen == line->out + line_dropped(line);
}

static bool ledger_holds(const struct clew_ledger *copy)
{
	struct line lines[CLEW_EXPORTERS_MAX + 2];
	unsigned n = ledger_lines(copy, lines);

	if (copy->spans_sampled_out > copy->spans_built)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (!line_holds(&lines[i]))
			return false;
	return true;
}

bool clew_ledger__balanced(const struct clew_ledger *ledger)
{
	struct clew_ledger copy;

	ledger_read(ledger, &copy);
	return ledger_holds(&copy);
}

static void print_line(const struct line *line, FILE *out)
{
	const char *sep = "  (";

	fprintf(out, "  %-16s %-5s %12" PRIu64 "  %-8s %12" PRIu64 "  dropped %" PRIu64, line->what,
		line->seen_name, line->seen, line->out_name, line->out, line_dropped(line));
	for (unsigned i = 0; i < line->nr; i++) {
		if (!line->dropped[i])
			continue;
		fprintf(out, "%s%s %" PRIu64, sep, line->names[i], line->dropped[i]);
		sep = ", ";
	}
	if (sep[0] == ',')
		fputc(')', out);
	if (!line_holds(line))
		fprintf(out, "  off by %" PRId64,
			(int64_t)(line->seen - line->out - line_dropped(line)));
	fputc('\n', out);
}

void clew_ledger__print(const struct clew_ledger *ledger, FILE *out)
{
	struct line lines[CLEW_EXPORTERS_MAX + 2];
	struct clew_ledger copy;
	unsigned n;

	ledger_read(ledger, &copy);
	n = ledger_lines(&copy, lines);
	fprintf(out, "clew: ledger\n");
	for (unsigned i = 0; i < n; i++) {
		if (i == 2)
			fprintf(out,
				"  %-16s built %12" PRIu64 "  sampled out %" PRIu64
				"; for each exporter:\n",
				"spans", copy.spans_built, copy.spans_sampled_out);
		print_line(&lines[i], out);
	}
	if (n == 2)
		fprintf(out, "  %-16s built %12" PRIu64 "  sampled out %" PRIu64 "; no exporter\n",
			"spans", copy.spans_built, copy.spans_sampled_out);
	fprintf(out, "clew: ledger %s\n", ledger_holds(&copy) ? "balanced" : "NOT BALANCED");
	fflush(out);
}

static void json_dropped(struct clew_json *j, const uint64_t *v, const char *const *names,
			 unsigned n)
{
	clew_json__obj(j);
	for (unsigned i = 0; i < n; i++) {
		clew_json__key(j, names[i]);
		clew_json__u64(j, v[i]);
	}
	clew_json__obj_end(j);
}

static void json_number(struct clew_json *j, const char *key, uint64_t v)
{
	clew_json__key(j, key);
	clew_json__u64(j, v);
}

static void json_ledger(struct clew_json *j, const struct clew_ledger *l)
{
	clew_json__obj(j);
	clew_json__key(j, "events");
	clew_json__obj(j);
	json_number(j, "seen", l->events_seen);
	json_number(j, "used", l->events_used);
	clew_json__key(j, "dropped");
	json_dropped(j, l->events_dropped, clew_event_drop_names, CLEW_EDROP_MAX);
	clew_json__obj_end(j);

	clew_json__key(j, "exchanges");
	clew_json__obj(j);
	json_number(j, "seen", l->exchanges_seen);
	json_number(j, "spans", l->exchanges_spans);
	clew_json__key(j, "dropped");
	json_dropped(j, l->exchanges_dropped, clew_exchange_drop_names, CLEW_XDROP_MAX);
	clew_json__obj_end(j);

	clew_json__key(j, "spans");
	clew_json__obj(j);
	json_number(j, "built", l->spans_built);
	json_number(j, "sampled_out", l->spans_sampled_out);
	clew_json__key(j, "exported");
	clew_json__obj(j);
	for (unsigned e = 0; e < l->nr_exporters; e++)
		json_number(j, l->exporter[e].name, l->exporter[e].exported);
	clew_json__obj_end(j);
	clew_json__key(j, "dropped");
	clew_json__obj(j);
	for (unsigned e = 0; e < l->nr_exporters; e++) {
		clew_json__key(j, l->exporter[e].name);
		json_dropped(j, l->exporter[e].dropped, clew_span_drop_names, CLEW_SDROP_MAX);
	}
	clew_json__obj_end(j);
	clew_json__obj_end(j);

	clew_json__key(j, "balanced");
	clew_json__bool(j, ledger_holds(l));
	clew_json__obj_end(j);
	clew_json__raw(j, "\n", 1);
}

int clew_ledger__write_json(const struct clew_ledger *ledger, const char *path)
{
	struct clew_ledger copy;
	struct clew_json j;
	size_t off = 0;
	int fd, err = 0;

	ledger_read(ledger, &copy);
	clew_json__init(&j, 1u << 20);
	json_ledger(&j, &copy);
	if (j.err) {
		err = j.err;
		goto out;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	while (off < j.len && !err) {
		ssize_t n = write(fd, j.p + off, j.len - off);

		if (n > 0)
			off += (size_t)n;
		else if (n < 0 && errno != EINTR)
			err = -errno;
	}
	if (close(fd) && !err)
		err = -errno;
out:
	clew_json__free(&j);
	return err;
}
