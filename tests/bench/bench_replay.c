/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_replay.c - what one span costs in userspace, stage by stage, from a recording.
 *
 * Makes a recording of requests to a tiny nginx (64 keep-alive connections, in turn) and plays it
 * as `clew replay` does, each time with one stage more: read the file; conn and proto; the whole
 * pipeline; export as OTLP/JSON to nowhere (bench_export compares encodings). Needs no root. The
 * best of several rounds counts, so that a busy machine does not. CPU time is that of all threads.
 *
 * Then the same for correlate alone where it has much to remember: a Go server at LIVE requests at
 * a time, each with a goroutine and a context of its own; every second one makes a call.
 *
 * Usage: bench_replay FILE [SPANS]   FILE is written and left behind, for `clew replay FILE`; the
 * second recording is FILE.live.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <clew/capture.h>
#include <clew/correlate.h>
#include <clew/pipeline.h>

#define CONNS	 64
#define ROUNDS	 7
#define PID	 4711
#define STEP_NS	 8000
#define TICK_NS	 20000000ULL
#define BAR_RATE 500000
#define BAR_US	 3.0

#define LIVE	     10000
#define BAR_PLACED   300000
#define CALLER(c)    (LIVE + (c)) /* the connection over which the request on c makes its call */
#define GOID(c)	     (1 + (uint64_t)(c))
#define CTX(request) (0xc000000000ULL + 64 * (uint64_t)(request))
#define CTX_OF(c)    (0xd000000000ULL + 64 * (uint64_t)(c)) /* the server connection's context */

static const char request_text[] = "GET /tiny?id=%07u HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
				   "User-Agent: wrk/4.2\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\nServer: nginx/1.26.3\r\n"
			       "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
			       "Content-Type: text/plain\r\nContent-Length: 12\r\n"
			       "Connection: keep-alive\r\n\r\nhello world\n";

static struct clew_event head(uint8_t type, size_t size, uint64_t ts)
{
	return (struct clew_event){.version = CLEW_EVENT_VERSION,
				   .type = type,
				   .size = (uint16_t)size,
				   .pid = PID,
				   .tid = PID,
				   .ts = ts};
}

static void put_conn(struct clew_recorder *rec, uint32_t c, uint8_t role, uint64_t ts)
{
	struct clew_conn_open open = {.conn_id = c + 1,
				      .sk = 0x1000 + c,
				      .family = 2,
				      .role = role,
				      .from_start = 1,
				      .local_port = 8080,
				      .remote_port = (uint16_t)(40000 + c),
				      .local_addr = {192, 0, 2, 1},
				      .remote_addr = {192, 0, 2, 2}};

	open.h = head(CLEW_EV_CONN_OPEN, sizeof(open), ts);
	clew_recorder__write(rec, &open.h);
}

static void put_start(struct clew_recorder *rec, uint16_t runtime, uint64_t ts)
{
	static const char text[] = "service.name\0bench\0process.pid\0"
				   "4711";
	struct {
		struct clew_proc_info info;
		char text[sizeof(text)];
	} proc = {.info = {.runtime = runtime, .start_time = 1}};
	struct clew_clock clock = {.realtime = 1700000000000000000ULL};

	clock.h = head(CLEW_EV_CLOCK, sizeof(clock), ts);
	clew_recorder__write(rec, &clock.h);
	memcpy(proc.text, text, sizeof(text));
	proc.info.text_len = sizeof(text);
	proc.info.h = head(CLEW_EV_PROC_INFO, sizeof(proc.info) + sizeof(text), ts);
	clew_recorder__write(rec, &proc.info.h);
}

static void put_segment(struct clew_recorder *rec, uint32_t conn, uint8_t dir, uint32_t *seq,
			uint8_t ctx_kind, uint64_t ctx, const char *text, size_t n, uint64_t ts)
{
	struct {
		struct clew_segment seg;
		char text[512];
	} s = {.seg = {.conn_id = conn + 1, .dir = dir, .ctx_kind = ctx_kind, .ctx = ctx}};

	s.seg.seq = *seq;
	s.seg.len = (uint32_t)n;
	s.seg.cap = (uint16_t)n;
	memcpy(s.text, text, n);
	s.seg.h = head(CLEW_EV_SEGMENT, sizeof(s.seg) + n, ts);
	*seq += (uint32_t)n;
	clew_recorder__write(rec, &s.seg.h);
}

static int make(const char *path, uint32_t spans)
{
	uint32_t seq[CONNS][2] = {{0}};
	uint64_t ts = 1000000000ULL;
	struct clew_recorder *rec;
	char err[256];

	if (clew_recorder__new(path, &rec, err, sizeof(err))) {
		fprintf(stderr, "bench_replay: %s\n", err);
		return -1;
	}
	put_start(rec, CLEW_RT_NGINX, ts);
	for (uint32_t c = 0; c < CONNS; c++)
		put_conn(rec, c, CLEW_ROLE_SERVER, ts);
	for (uint32_t i = 0; i < spans; i++, ts += STEP_NS) {
		uint32_t c = i % CONNS;
		char text[256];
		int n = snprintf(text, sizeof(text), request_text, i % 10000000);

		put_segment(rec, c, CLEW_RECV, &seq[c][CLEW_RECV], CLEW_CTX_NGINX, 0, text,
			    (size_t)n, ts);
		put_segment(rec, c, CLEW_SEND, &seq[c][CLEW_SEND], CLEW_CTX_NGINX, 0, response,
			    sizeof(response) - 1, ts + STEP_NS / 2);
	}
	return clew_recorder__free(rec);
}

/* ---- many at a time ---- */

struct live {
	struct clew_recorder *rec;
	uint32_t seq[2 * LIVE][2];
	uint64_t ts;
};

static void put_go(struct live *l, uint32_t c, uint8_t dir, uint64_t goid, const char *text,
		   size_t n)
{
	put_segment(l->rec, c, dir, &l->seq[c][dir], CLEW_CTX_GO, goid, text, n, l->ts += 500);
}

static void put_edge(struct live *l, uint16_t kind, uint32_t c, uint32_t caller, uint32_t request)
{
	struct clew_edge e = {.kind = kind, .ctx = GOID(c), .chain_len = 2};

	e.conn_id = kind == CLEW_EDGE_GO_ROUNDTRIP ? caller + 1 : 0;
	e.chain[0] = CTX(request);
	e.chain[1] = CTX_OF(c);
	e.h = head(CLEW_EV_EDGE, offsetof(struct clew_edge, chain) + 2 * sizeof(e.chain[0]),
		   l->ts += 500);
	clew_recorder__write(l->rec, &e.h);
}

static void begin(struct live *l, uint32_t request)
{
	uint32_t c = request % LIVE;
	char text[256];
	int n = snprintf(text, sizeof(text), request_text, request % 10000000);

	put_go(l, c, CLEW_RECV, GOID(c), text, (size_t)n);
	put_edge(l, CLEW_EDGE_GO_SERVE, c, 0, request);
	if (c % 2)
		return;
	put_edge(l, CLEW_EDGE_GO_ROUNDTRIP, c, CALLER(c), request);
	put_go(l, CALLER(c), CLEW_SEND, GOID(CALLER(c)), text, (size_t)n);
}

static void answer(struct live *l, uint32_t c)
{
	if (c % 2 == 0)
		put_go(l, CALLER(c), CLEW_RECV, 0, response, sizeof(response) - 1);
	put_go(l, c, CLEW_SEND, 0, response, sizeof(response) - 1);
}

/* Each is answered when the next one on its connection is due. */
static int make_live(const char *path, uint32_t requests)
{
	struct live *l = calloc(1, sizeof(*l));
	char err[256];
	int failed;

	if (!l || clew_recorder__new(path, &l->rec, err, sizeof(err))) {
		free(l);
		return -1;
	}
	l->ts = 1000000000ULL;
	put_start(l->rec, CLEW_RT_GO, l->ts);
	for (uint32_t c = 0; c < LIVE; c++) {
		put_conn(l->rec, c, CLEW_ROLE_SERVER, l->ts);
		if (c % 2 == 0)
			put_conn(l->rec, CALLER(c), CLEW_ROLE_CLIENT, l->ts);
	}
	for (uint32_t i = 0; i < requests + LIVE; i++) {
		if (i >= LIVE)
			answer(l, i % LIVE);
		if (i < requests)
			begin(l, i);
	}
	failed = clew_recorder__free(l->rec);
	free(l);
	return failed;
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void nothing(void *arg, const struct clew_event *ev)
{
	*(uint64_t *)arg += ev->size;
}

static void seen(void *arg, struct clew_exchange *ex)
{
	(void)arg;
	(void)ex;
}

static void done(void *arg, struct clew_exchange *ex)
{
	++*(uint64_t *)arg;
	clew_exchange__free(ex);
}

static void dropped(void *arg, struct clew_exchange *ex, int reason)
{
	(void)arg;
	(void)ex;
	(void)reason;
}

static void feed_conns(void *arg, const struct clew_event *ev)
{
	clew_conns__feed(arg, ev);
}

/* Connections and correlate, without what comes behind. */
struct placing {
	struct clew_conns *conns;
	struct clew_correlate *co;
	uint64_t next_tick;
};

static void on_request(void *arg, struct clew_exchange *ex)
{
	clew_correlate__request(((struct placing *)arg)->co, ex);
}

static void on_response(void *arg, struct clew_exchange *ex)
{
	clew_correlate__response(((struct placing *)arg)->co, ex);
}

static void on_done(void *arg, struct clew_exchange *ex)
{
	clew_correlate__done(((struct placing *)arg)->co, ex);
}

static void on_dropped(void *arg, struct clew_exchange *ex, int reason)
{
	clew_correlate__dropped(((struct placing *)arg)->co, ex, reason);
}

static void released(void *arg, struct clew_exchange *ex, const struct clew_placement *place)
{
	(void)arg;
	(void)place;
	clew_exchange__free(ex);
}

static void feed_placing(void *arg, const struct clew_event *ev)
{
	struct placing *p = arg;

	clew_correlate__event(p->co, ev);
	if (ev->type == CLEW_EV_SEGMENT || ev->type == CLEW_EV_CONN_OPEN)
		clew_conns__feed(p->conns, ev);
	if (ev->ts > p->next_tick) {
		clew_correlate__tick(p->co, ev->ts);
		p->next_tick = ev->ts + TICK_NS;
	}
}

/* Returns the number of exact links. */
static uint64_t place_all(const char *path, const struct clew_config *cfg)
{
	struct clew_ledger ledger = {0};
	struct placing p = {0};
	struct clew_exchange_sink exchanges = {&p,	on_request, on_response,
					       on_done, on_dropped, NULL};
	struct clew_correlate_sink sink = {&p, released, NULL};
	uint64_t exact;
	char err[256];
	int failed;

	p.conns = clew_conns__new(cfg, &ledger, &exchanges);
	p.co = clew_correlate__new(cfg, &sink);
	failed = clew_replay(path, feed_placing, &p, err, sizeof(err));
	clew_correlate__drain(p.co);
	exact = clew_correlate__stats(p.co)->links[CLEW_LINK_EXACT];
	clew_correlate__free(p.co);
	clew_conns__free(p.conns);
	return failed ? 0 : exact;
}

enum stage { READ, PARSE, SPANS, EXPORT, STAGES };

/* One pass; returns the number of spans (or exchanges), 0 when something failed. */
static uint64_t pass(const char *path, enum stage stage, struct clew_config *cfg)
{
	struct clew_ledger ledger;
	struct clew_export *ex = NULL;
	struct clew_pipeline *p;
	uint64_t n = 0;
	char err[256];
	int failed;

	memset(&ledger, 0, sizeof(ledger));
	if (stage == READ)
		return clew_replay(path, nothing, &n, err, sizeof(err)) ? 0 : n;
	if (stage == PARSE) {
		struct clew_exchange_sink sink = {&n, seen, seen, done, dropped, NULL};
		struct clew_conns *conns = clew_conns__new(cfg, &ledger, &sink);

		failed = clew_replay(path, feed_conns, conns, err, sizeof(err));
		clew_conns__free(conns);
		return failed ? 0 : n;
	}
	if (stage == EXPORT && clew_export__new(cfg, &ledger, &ex, err, sizeof(err)))
		return 0;
	p = clew_pipeline__new(cfg, &ledger, ex, NULL, NULL);
	failed = clew_replay(path, clew_pipeline__feed, p, err, sizeof(err));
	clew_pipeline__drain(p);
	if (ex)
		clew_export__free(ex, 30000);
	clew_pipeline__free(p);
	n = ex ? ledger.exporter[0].exported : ledger.spans_built;
	return failed ? 0 : n;
}

/* What correlate costs is what it takes longer than without. True when the bar is met. */
static bool live(const char *path, uint32_t requests, struct clew_config *cfg)
{
	double parse = 1e9, both = 1e9, c;
	uint64_t exchanges = requests + requests / 2, n = 0, exact = 0;

	if (make_live(path, requests))
		return false;
	for (int round = 0; round < ROUNDS; round++) {
		c = seconds(CLOCK_PROCESS_CPUTIME_ID);
		n = pass(path, PARSE, cfg);
		c = seconds(CLOCK_PROCESS_CPUTIME_ID) - c;
		parse = c < parse ? c : parse;
		c = seconds(CLOCK_PROCESS_CPUTIME_ID);
		exact = place_all(path, cfg);
		c = seconds(CLOCK_PROCESS_CPUTIME_ID) - c;
		both = c < both ? c : both;
	}
	printf("replay, %d live contexts: %llu exchanges (= %llu), %llu exact parents (= %u)\n",
	       LIVE, (unsigned long long)n, (unsigned long long)exchanges,
	       (unsigned long long)exact, requests / 2);
	printf("replay, %d live contexts, correlate alone: %.0f exchanges/s (>= %d)\n", LIVE,
	       (double)exchanges / (both - parse), BAR_PLACED);
	return n == exchanges && exact == requests / 2 &&
	       (double)exchanges / (both - parse) >= BAR_PLACED;
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"read the recording", "conn and proto",
					    "correlate and build", "export OTLP/JSON"};
	uint32_t spans = argc > 2 ? (uint32_t)atoi(argv[2]) : 200000;
	double cpu[STAGES], wall[STAGES], before = 0;
	struct clew_config *cfg;
	char err[256], path[4096];
	bool good;
	char *args[] = {"--export", "file=/dev/null", argc > 1 ? argv[1] : "", NULL};

	if (argc < 2 || clew_config__load(3, args, "replay", &cfg, err, sizeof(err)) ||
	    make(argv[1], spans)) {
		fprintf(stderr, "usage: bench_replay FILE [SPANS]\n");
		return 2;
	}
	for (int s = READ; s < STAGES; s++) {
		cpu[s] = wall[s] = 1e9;
		for (int round = 0; round < ROUNDS; round++) {
			double c = seconds(CLOCK_PROCESS_CPUTIME_ID), w = seconds(CLOCK_MONOTONIC);
			uint64_t n = pass(argv[1], s, cfg);

			c = seconds(CLOCK_PROCESS_CPUTIME_ID) - c;
			w = seconds(CLOCK_MONOTONIC) - w;
			if (s == READ ? !n : n != spans) {
				printf("replay: %s gave %llu of %u\n", names[s],
				       (unsigned long long)n, spans);
				return 1;
			}
			cpu[s] = c < cpu[s] ? c : cpu[s];
			wall[s] = w < wall[s] ? w : wall[s];
		}
		printf("replay, %s: %.0f ns of CPU per span\n", names[s],
		       (cpu[s] - before) / spans * 1e9);
		before = cpu[s];
	}
	printf("replay, all of it: %.2f us of CPU per span (<= %.0f)\n", cpu[EXPORT] / spans * 1e6,
	       BAR_US);
	printf("replay: %.0f spans/s (>= %d)\n", spans / wall[EXPORT], BAR_RATE);
	snprintf(path, sizeof(path), "%s.live", argv[1]);
	good = live(path, spans, cfg);
	clew_config__free(cfg);
	return !good || spans / wall[EXPORT] < BAR_RATE || cpu[EXPORT] / spans * 1e6 > BAR_US;
}
