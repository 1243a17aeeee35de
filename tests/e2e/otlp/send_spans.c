/* SPDX-License-Identifier: Apache-2.0 */
/*
 * send_spans - drive the export stage alone: make synthetic spans, hand them to one exporter,
 * and write the ledger. Used by tests/e2e/test_export.py and for measuring.
 *
 * usage: send_spans key=value...
 *   kind=grpc|http|json|file|console  target=URL|PATH  metrics=URL  n=SPANS  resources=N
 *   gzip=1  ca=FILE cert=FILE key=FILE  header=NAME:VALUE...  timeout=MS  delay=MS  batch=N
 *   queue=N  simple=1  retry=MS  retry_max=MS  give_up=MS  stop=MS  ledger=PATH  wait=MS (before
 * the stop) encode=1  only measure the encoder Prints one line: "sent N spans wall_ms=...
 * cpu_ns_per_span=...". Spans are made beforehand.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <clew/export.h>

#include "base/log.h"
#include "export/otlp.h"

#include "../../unit/export/make_span.h"

struct options {
	struct clew_export_config x;
	struct clew_header headers[16];
	uint32_t n, resources, wait_ms, stop_ms;
	int encode, metrics, full;
	const char *ledger;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int parse_kind(const char *v)
{
	static const char *const names[] = {[CLEW_EXPORT_FILE] = "file",
					    [CLEW_EXPORT_OTLP_GRPC] = "grpc",
					    [CLEW_EXPORT_OTLP_HTTP] = "http",
					    [CLEW_EXPORT_OTLP_JSON] = "json",
					    [CLEW_EXPORT_CONSOLE] = "console"};

	for (int i = CLEW_EXPORT_FILE; i <= CLEW_EXPORT_CONSOLE; i++)
		if (!strcmp(v, names[i]))
			return i;
	return 0;
}

static int add_header(struct options *o, char *v)
{
	char *colon = strchr(v, ':');

	if (!colon || o->x.nr_headers == 16)
		return -1;
	*colon = 0;
	o->headers[o->x.nr_headers++] = (struct clew_header){v, colon + 1};
	return 0;
}

static int parse(struct options *o, char *arg)
{
	struct {
		const char *key;
		uint32_t *n;
		char **s;
	} table[] = {
		{"n", &o->n, NULL},
		{"resources", &o->resources, NULL},
		{"wait", &o->wait_ms, NULL},
		{"stop", &o->stop_ms, NULL},
		{"timeout", &o->x.timeout_ms, NULL},
		{"delay", &o->x.schedule_delay_ms, NULL},
		{"batch", &o->x.max_export_batch_size, NULL},
		{"queue", &o->x.max_queue_size, NULL},
		{"retry", &o->x.retry_initial_ms, NULL},
		{"retry_max", &o->x.retry_max_ms, NULL},
		{"give_up", &o->x.retry_give_up_ms, NULL},
		{"target", NULL, &o->x.target},
		{"metrics", NULL, &o->x.metrics_target},
		{"ca", NULL, &o->x.certificate},
		{"cert", NULL, &o->x.client_certificate},
		{"key", NULL, &o->x.client_key},
		{"ledger", NULL, (char **)&o->ledger},
	};
	char *v = strchr(arg, '=');

	if (!v)
		return -1;
	*v++ = 0;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(arg, table[i].key))
			continue;
		if (table[i].n)
			*table[i].n = (uint32_t)strtoul(v, NULL, 10);
		else
			*table[i].s = v;
		return 0;
	}
	if (!strcmp(arg, "kind"))
		return (o->x.kind = (enum clew_export_kind)parse_kind(v)) ? 0 : -1;
	if (!strcmp(arg, "gzip"))
		o->x.compression = atoi(v) ? CLEW_COMPRESS_GZIP : CLEW_COMPRESS_NONE;
	else if (!strcmp(arg, "simple"))
		o->x.processor = atoi(v) ? CLEW_PROCESSOR_SIMPLE : CLEW_PROCESSOR_BATCH;
	else if (!strcmp(arg, "insecure"))
		o->x.insecure = atoi(v);
	else if (!strcmp(arg, "encode"))
		o->encode = atoi(v);
	else if (!strcmp(arg, "full"))
		o->full = atoi(v);
	else if (!strcmp(arg, "header"))
		return add_header(o, v);
	else
		return -1;
	return 0;
}

static void measure_encoder(struct clew_span **spans, uint32_t n)
{
	struct clew_otlp_groups groups = {0};
	struct clew_otlp_buf buf;
	struct clew_json json;
	uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
	size_t bytes = 0;

	clew_otlp_buf__init(&buf, CLEW_OTLP_REQUEST_MAX);
	clew_json__init(&json, CLEW_OTLP_REQUEST_MAX);
	for (int round = 0; round < 9; round++) {
		uint64_t t0 = now_ns(CLOCK_PROCESS_CPUTIME_ID), t1, t2;

		bytes = 0;
		for (uint32_t i = 0; i + 512 <= n; i += 512) {
			clew_otlp__encode(&buf, &groups, spans + i, 512);
			bytes += clew_otlp_buf__len(&buf);
		}
		t1 = now_ns(CLOCK_PROCESS_CPUTIME_ID);
		for (uint32_t i = 0; i + 512 <= n; i += 512) {
			clew_json__reset(&json);
			clew_otlp__json(&json, &groups, spans + i, 512);
		}
		t2 = now_ns(CLOCK_PROCESS_CPUTIME_ID);
		best[0] = t1 - t0 < best[0] ? t1 - t0 : best[0];
		best[1] = t2 - t1 < best[1] ? t2 - t1 : best[1];
	}
	n = n / 512 * 512;
	printf("encoder: protobuf %.0f ns/span, %zu bytes/span; JSON %.0f ns/span\n",
	       (double)best[0] / n, bytes / n, (double)best[1] / n);
	clew_otlp_buf__free(&buf);
	clew_json__free(&json);
	clew_otlp_groups__free(&groups);
}

static int run(struct options *o, struct clew_span **spans)
{
	static const struct clew_metric metric = {.name = "clew.test.spans",
						  .description = "Spans made",
						  .unit = "{span}",
						  .key = {"state"},
						  .value = {"made"},
						  .v = 7};
	struct clew_config cfg = {.exporters = &o->x, .nr_exporters = 1};
	struct clew_ledger ledger = {0};
	struct clew_export *ex;
	uint64_t wall = now_ns(CLOCK_MONOTONIC), cpu;
	char errbuf[256];
	int err = clew_export__new(&cfg, &ledger, &ex, errbuf, sizeof(errbuf));

	if (err) {
		clew_log(CLEW_LOG_ERROR, "%s", errbuf);
		put_spans(spans, o->n);
		return 1;
	}
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	ledger.spans_built = o->n;
	for (uint32_t i = 0; i < o->n; i += 64)
		clew_export__spans(ex, spans + i, o->n - i < 64 ? o->n - i : 64);
	clew_export__metrics(ex, &metric, 1);
	if (o->wait_ms)
		usleep(o->wait_ms * 1000);
	clew_export__free(ex, o->stop_ms);
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	fflush(stdout);
	fprintf(stderr, "sent %u spans wall_ms=%llu cpu_ns_per_span=%.0f\n", o->n,
		(unsigned long long)wall / 1000000, (double)cpu / (o->n ? o->n : 1));
	clew_ledger__print(&ledger, stderr);
	if (o->ledger && clew_ledger__write_json(&ledger, o->ledger))
		return 1;
	return clew_ledger__balanced(&ledger) ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options o = {.n = 100, .resources = 3, .stop_ms = 20000};
	struct clew_resource *res[64];
	struct clew_span **spans;
	int code = 0;

	o.x.headers = o.headers;
	o.x.max_queue_size = 65536;
	o.x.schedule_delay_ms = 100;
	for (int i = 1; i < argc; i++) {
		if (parse(&o, argv[i])) {
			fprintf(stderr, "send_spans: what is %s?\n", argv[i]);
			return 2;
		}
	}
	spans = calloc(o.n + 1, sizeof(*spans));
	if (!spans || !o.resources || o.resources > 64)
		return 2;
	for (uint32_t i = 0; i < o.resources; i++) {
		char name[32];

		snprintf(name, sizeof(name), "service-%u", i);
		res[i] = make_resource(name);
	}
	for (uint32_t i = 0; i < o.n; i++)
		spans[i] =
			o.full && !i ? make_full_span(res[0]) : make_span(res[i % o.resources], i);
	if (o.encode) {
		measure_encoder(spans, o.n);
		put_spans(spans, o.n);
	} else {
		code = run(&o, spans);
	}
	for (uint32_t i = 0; i < o.resources; i++)
		clew_resource__put(res[i]);
	free(spans);
	return code;
}
