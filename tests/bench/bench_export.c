/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_export.c - nanoseconds per span from an exchange to the bytes of an export request:
 * building the span, protobuf, JSON; and the bytes that one span takes while it waits.
 *
 * "near" encodes one batch again and again, "far" goes round as many spans as do not fit into
 * the caches, as an exporter's thread finds them that another thread has made. Best of several
 * rounds, so that a busy machine does not count.
 *
 *	make && gcc -O2 -Iinclude -Isrc tests/bench/bench_export.c build/libclew.a
 *		$(pkg-config --libs libprotobuf-c) -lm -o bench_export
 */
#include <arpa/inet.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <clew/build.h>

#include "export/otlp.h"

#define ROUNDS 40
#define BATCH  512
#define FAR    (32 * BATCH)

struct shape {
	const char *name;
	int is_server;
	const char *target, *host, *user_agent;
};

static const struct shape shapes[] = {
	{"nginx GET", 1, "/index.html", "127.0.0.1:8080", "wrk/4.2.0"},
	{"browser GET", 1, "/orders/17/items?page=2&token=abcdef", "shop.example.org",
	 "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	{"client GET", 0, "/items/7?q=x", "127.0.0.1:8000", "python-httpx/0.28.1"},
};

static struct clew_text bench__text(struct clew_exchange *ex, const char *s)
{
	struct clew_text t = {ex->text_used, (uint32_t)strlen(s)};

	memcpy(ex->text + t.off, s, t.len);
	ex->text_used += t.len;
	return t;
}

static void bench__exchange(struct clew_exchange *ex, struct clew_conn *conn, const struct shape *s)
{
	memset(ex, 0, sizeof(*ex));
	memset(conn, 0, sizeof(*conn));
	conn->family = AF_INET;
	memcpy(conn->remote_addr, (uint8_t[]){127, 0, 0, 1}, 4);
	conn->remote_port = 54321;
	conn->local_port = 8080;
	ex->conn = conn;
	ex->is_server = (uint8_t)s->is_server;
	ex->http_minor = ex->resp_minor = 1;
	ex->status = 200;
	ex->req.ts = 5000000000000;
	ex->resp.ts = ex->req.ts + 81234;
	ex->req_end_ts = ex->req.ts;
	ex->resp_end_ts = ex->resp.ts + 5678;
	ex->resp_body = 612;
	ex->method = bench__text(ex, "GET");
	ex->target = bench__text(ex, s->target);
	ex->host = bench__text(ex, s->host);
	ex->user_agent = bench__text(ex, s->user_agent);
}

static struct clew_resource *bench__resource(void)
{
	static const char text[] = "service.name\0nginx\0process.pid\0"
				   "4242\0process.executable.name\0nginx\0"
				   "process.command_args\0nginx\x1f-g\x1f"
				   "daemon off;\0host.name\0node-1";

	return clew_resource__new(4242, text, sizeof(text));
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

struct bench {
	struct clew_config cfg;
	struct clew_exchange ex;
	struct clew_conn conn;
	struct clew_placement place;
	struct clew_resource *res;
	struct clew_span *spans[FAR];
	struct clew_otlp_groups groups;
	struct clew_otlp_buf pb;
	struct clew_json json;
};

static int bench__build(struct bench *b, int i)
{
	struct clew_wall wall = {.offset = 1700000000000000000};

	memcpy(b->place.span_id, &i, sizeof(i));
	b->spans[i] = clew_build__http(&b->cfg, &wall, &b->ex, &b->place, b->res);
	return b->spans[i] != NULL;
}

static int bench__pb(struct bench *b, int i)
{
	return !clew_otlp__encode(&b->pb, &b->groups, b->spans + i, BATCH);
}

static int bench__json(struct bench *b, int i)
{
	clew_json__reset(&b->json);
	return !clew_otlp__json(&b->json, &b->groups, b->spans + i, BATCH);
}

/* Best time per span of work on spans [0, n), `step` at a time; 0: it failed. */
static double run(struct bench *b, int (*work)(struct bench *, int), int n, int step, int again)
{
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double start, ns;

		for (int i = 0; step == 1 && i < n; i++)
			clew_span__put(b->spans[i]);
		start = now();
		for (int k = 0; k < again; k++)
			for (int i = 0; i < n; i += step)
				if (!work(b, i))
					return 0;
		ns = (now() - start) / n / again;
		if (ns < best)
			best = ns;
	}
	return best;
}

static double bench__put(struct bench *b)
{
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double start, ns;

		for (int i = 0; i < BATCH; i++)
			if (!bench__build(b, i))
				return 0;
		start = now();
		for (int i = 0; i < BATCH; i++)
			clew_span__put(b->spans[i]);
		ns = (now() - start) / BATCH;
		if (ns < best)
			best = ns;
	}
	memset(b->spans, 0, sizeof(b->spans));
	return best;
}

static void bench__shape(struct bench *b, const struct shape *s)
{
	double put, build, far;

	bench__exchange(&b->ex, &b->conn, s);
	put = bench__put(b);
	build = run(b, bench__build, BATCH, 1, 1);
	far = run(b, bench__build, FAR, 1, 1);
	printf("%-12s %zu attributes, %zu bytes in memory", s->name, (size_t)b->spans[0]->nr_attrs,
	       malloc_usable_size(b->spans[0]));
	bench__pb(b, 0);
	bench__json(b, 0);
	printf(", %zu protobuf, %zu JSON\n", clew_otlp_buf__len(&b->pb) / BATCH,
	       b->json.len / BATCH);
	printf("  build    %5.0f ns near %5.0f ns far\n", build, far);
	printf("  free     %5.0f ns\n", put);
	printf("  protobuf %5.0f ns near %5.0f ns far\n", run(b, bench__pb, BATCH, BATCH, 16),
	       run(b, bench__pb, FAR, BATCH, 1));
	printf("  JSON     %5.0f ns near %5.0f ns far\n", run(b, bench__json, BATCH, BATCH, 16),
	       run(b, bench__json, FAR, BATCH, 1));
	for (int i = 0; i < FAR; i++)
		clew_span__put(b->spans[i]);
	memset(b->spans, 0, sizeof(b->spans));
}

int main(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	if (!b)
		return 1;
	mallopt(M_TRIM_THRESHOLD, 256 << 20); /* fresh pages from the kernel are not measured */
	mallopt(M_MMAP_THRESHOLD, 256 << 20);
	b->cfg.telemetry.url_query = true;
	b->res = bench__resource();
	memset(b->place.trace_id, 0xab, sizeof(b->place.trace_id));
	b->place.has_parent = 1;
	memset(b->place.parent_span_id, 0x5c, sizeof(b->place.parent_span_id));
	b->place.sampled = 1;
	b->place.link = CLEW_LINK_EXACT;
	b->place.evidence = "socket-pair";
	clew_otlp_buf__init(&b->pb, CLEW_OTLP_REQUEST_MAX);
	clew_json__init(&b->json, CLEW_OTLP_REQUEST_MAX);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		bench__shape(b, &shapes[i]);
	clew_otlp_buf__free(&b->pb);
	clew_json__free(&b->json);
	clew_otlp_groups__free(&b->groups);
	clew_resource__put(b->res);
	free(b);
	return 0;
}
