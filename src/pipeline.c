/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline.c - the life of one request, in the order in which it happens:
 *
 *   event     the kernel (or a recording) says that bytes crossed a socket   clew_pipeline__feed
 *   correlate learns who ran, and every edge between execution contexts      clew_correlate__event
 *   conn      puts the bytes into stream order and feeds the parser          clew_conns__feed
 *   proto     finds requests and responses: an exchange                      (src/proto/registry.c)
 *   correlate holds the exchange until its parent is final                   clew_correlate__*
 *   span      builds the OpenTelemetry span                                  clew_build__http
 *   enrich    knows whose it is: service, process, host, container           clew_enrich__*
 *   sample    keeps it or not                                                clew_sampler__keep
 *   export    hands it to every exporter's queue                             clew_export__spans
 *
 * All of it runs on one thread, so that it is a function of the event stream; exporters encode
 * and send on threads of their own.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <clew/build.h>
#include <clew/capture.h>
#include <clew/enrich.h>
#include <clew/pipeline.h>
#include <clew/sample.h>

#include "base/glob.h"
#include "base/log.h"

#define MS	     1000000ULL
#define BATCH	     256
#define TICK_NS	     (20 * MS)
#define SLOW_TICK_NS (1000 * MS)
#define TELL_NS	     (10000 * MS)

struct clew_pipeline {
	const struct clew_config *cfg;
	struct clew_ledger *ledger;
	struct clew_export *export;
	struct clew_recorder *recorder;
	struct clew_pipeline_source source;
	struct clew_conns *conns;
	struct clew_correlate *correlate;
	struct clew_enrich *enrich;
	struct clew_sampler sampler;
	struct clew_wall wall;
	uint64_t kernel[CLEW_STAT_MAX]; /* the last STATS event */
	bool have_stats;
	uint64_t told[CLEW_STAT_MAX], next_tell; /* losses that the log knows of */
	uint64_t read;				 /* kernel events fed */
	uint64_t now, next_tick, next_slow_tick;
	struct clew_span *batch[BATCH];
	size_t nr_batch;
};

static void flush(struct clew_pipeline *p)
{
	if (!p->nr_batch)
		return;
	if (p->export)
		clew_export__spans(p->export, p->batch, p->nr_batch);
	else
		for (size_t i = 0; i < p->nr_batch; i++)
			clew_span__put(p->batch[i]);
	p->nr_batch = 0;
}

static void keep_or_drop(struct clew_pipeline *p, struct clew_span *span,
			 const struct clew_placement *place)
{
	clew_count(&p->ledger->spans_built, 1);
	if (!clew_sampler__keep(&p->sampler, place)) {
		clew_count(&p->ledger->spans_sampled_out, 1);
		clew_span__put(span);
		return;
	}
	span->flags |= CLEW_SPAN_FLAG_SAMPLED;
	if (!place->adopted && p->sampler.tracestate[0])
		span->trace_state = clew_str__lit(p->sampler.tracestate);
	p->batch[p->nr_batch++] = span;
	if (p->nr_batch == BATCH)
		flush(p);
}

static void on_release(void *arg, struct clew_exchange *ex, const struct clew_placement *place)
{
	struct clew_pipeline *p = arg;
	struct clew_span *span;

	if (p->cfg->excluded_paths.n && ex->target.len &&
	    clew_excluded_path(&p->cfg->excluded_paths, ex->text + ex->target.off,
			       ex->target.len)) {
		clew_count(&p->ledger->exchanges_dropped[CLEW_XDROP_EXCLUDED_PATH], 1);
		clew_exchange__free(ex);
		return;
	}
	span = clew_build__http(p->cfg, &p->wall, ex, place,
				clew_enrich__resource(p->enrich, ex->req.pid));
	if (span) {
		clew_count(&p->ledger->exchanges_spans, 1);
		keep_or_drop(p, span, place);
	} else {
		clew_count(&p->ledger->exchanges_dropped[CLEW_XDROP_NO_MEMORY], 1);
	}
	clew_exchange__free(ex);
}

/* Ask for a set of probes in a process, once. */
static void want(struct clew_pipeline *p, uint32_t pid, enum clew_probe_set set)
{
	if (p->source.want && clew_enrich__mark(p->enrich, pid, set))
		p->source.want(p->source.arg, pid, set);
}

static void on_want(void *arg, uint32_t pid, enum clew_probe_set set)
{
	want(arg, pid, set);
}

/*
 * Probes that cost something wait until they are needed: in a Go process that calls out, and in
 * a Python process whose event loop reads requests and whose other threads call out (endpoints
 * that run in worker threads: the context is copied to them, a dozen copies a request).
 */
static void consider_probes(struct clew_pipeline *p, const struct clew_exchange *ex)
{
	uint16_t runtime = clew_enrich__runtime(p->enrich, ex->req.pid);
	bool loop = ex->req.seg_flags & CLEW_SEG_LOOP;

	if (runtime == CLEW_RT_GO && !ex->is_server)
		want(p, ex->req.pid, CLEW_SET_GO_SERVE);
	if (runtime == CLEW_RT_NODE && !ex->is_server) {
		want(p, ex->req.pid, CLEW_SET_NODE_IDS);
		want(p, ex->req.pid, CLEW_SET_NODE_ASYNC);
	}
	if (runtime == CLEW_RT_TOKIO && !ex->is_server) {
		want(p, ex->req.pid, CLEW_SET_RUST_MESSAGE);
		want(p, ex->req.pid, CLEW_SET_RUST_JOIN);
	}
	if (runtime == CLEW_RT_RUBY && !ex->is_server)
		want(p, ex->req.pid, CLEW_SET_RUBY_TAKE);
	if (runtime != CLEW_RT_RUBY && runtime != CLEW_RT_PYTHON && runtime != CLEW_RT_UNKNOWN &&
	    runtime != CLEW_RT_JAVA)
		return;
	if (ex->req.ctx_kind == CLEW_CTX_JAVA && ex->req.ref & CLEW_JAVA_VIRTUAL)
		return; /* known by itself, whatever its carrier waits for */
	/* a loop's requests are known otherwise, but for Java's: they are known by its turns */
	if (ex->is_server)
		want(p, ex->req.pid,
		     loop && runtime != CLEW_RT_JAVA ? CLEW_WANT_NO_WAITS : CLEW_WANT_WAITS);
	if (runtime != CLEW_RT_PYTHON || ex->is_server || loop)
		return;
	want(p, ex->req.pid, CLEW_WANT_WAITS);
	want(p, ex->req.pid, CLEW_SET_PY_QUEUE);
	if (clew_enrich__marked(p->enrich, ex->req.pid, CLEW_WANT_NO_WAITS))
		want(p, ex->req.pid, CLEW_SET_PY_COPY);
	else
		want(p, ex->req.pid, CLEW_SET_PY_DEQUE);
}

static void on_request(void *arg, struct clew_exchange *ex)
{
	struct clew_pipeline *p = arg;

	if (p->source.want)
		consider_probes(p, ex);
	clew_correlate__request(p->correlate, ex);
}

static void on_response(void *arg, struct clew_exchange *ex)
{
	clew_correlate__response(((struct clew_pipeline *)arg)->correlate, ex);
}

static void on_done(void *arg, struct clew_exchange *ex)
{
	clew_correlate__done(((struct clew_pipeline *)arg)->correlate, ex);
}

static void on_dropped(void *arg, struct clew_exchange *ex, int reason)
{
	clew_correlate__dropped(((struct clew_pipeline *)arg)->correlate, ex, reason);
}

static void on_ignore(void *arg, const struct clew_conn *conn)
{
	struct clew_pipeline *p = arg;

	if (p->source.ignore)
		p->source.ignore(p->source.arg, conn->sk, conn->id);
}

/* The smallest record of each type; 0: no such type. */
static size_t min_size(uint8_t type)
{
	switch (type) {
	case CLEW_EV_SEGMENT:
		return sizeof(struct clew_segment);
	case CLEW_EV_CONN_OPEN:
		return sizeof(struct clew_conn_open);
	case CLEW_EV_CONN_CLOSE:
		return sizeof(struct clew_conn_close);
	case CLEW_EV_FORK:
	case CLEW_EV_EXEC:
	case CLEW_EV_EXIT:
	case CLEW_EV_LISTEN:
		return sizeof(struct clew_proc_event);
	case CLEW_EV_EDGE:
		return offsetof(struct clew_edge, chain);
	case CLEW_EV_CLOCK:
		return sizeof(struct clew_clock);
	case CLEW_EV_PROC_INFO:
		return sizeof(struct clew_proc_info);
	case CLEW_EV_STATS:
		return sizeof(struct clew_stats);
	case CLEW_EV_PROBES:
		return sizeof(struct clew_probes_event);
	default:
		return 0;
	}
}

/* Room for what it says that it has. */
static bool is_whole(const struct clew_event *ev)
{
	const struct clew_edge *edge = (const void *)ev;
	size_t min = min_size(ev->type);

	if (ev->version != CLEW_EVENT_VERSION || !min || ev->size < min)
		return false;
	return ev->type != CLEW_EV_EDGE ||
	       (edge->chain_len <= CLEW_CHAIN_MAX &&
		ev->size >= min + edge->chain_len * sizeof(edge->chain[0]));
}

/* Losses are counted in the ledger; who looks at the log alone must know as well, but not more
 * often than every ten seconds. */
static void tell_losses(struct clew_pipeline *p, uint64_t now)
{
	static const enum clew_stat which[] = {CLEW_STAT_DROP_RING_FULL, CLEW_STAT_DROP_CONN_FULL,
					       CLEW_STAT_MISSED};
	uint64_t more[3], sum = 0;

	for (int i = 0; i < 3; i++)
		sum += more[i] = p->kernel[which[i]] - p->told[which[i]];
	if (!sum || now < p->next_tell)
		return;
	clew_log(CLEW_LOG_WARN,
		 "%" PRIu64 " events were lost: ring buffer full %" PRIu64
		 " (capture.ring_bytes is %u), connection table full %" PRIu64
		 " (capture.max_connections is %u), probe busy %" PRIu64
		 "; spans are missing, links that rest on them are none",
		 sum, more[0], p->cfg->capture.ring_bytes, more[1], p->cfg->capture.max_connections,
		 more[2]);
	memcpy(p->told, p->kernel, sizeof(p->told));
	p->next_tell = now + TELL_NS;
}

static void on_agent_event(struct clew_pipeline *p, const struct clew_event *ev)
{
	if (ev->type == CLEW_EV_CLOCK)
		p->wall.offset = (int64_t)(((const struct clew_clock *)ev)->realtime - ev->ts);
	if (ev->type == CLEW_EV_STATS) {
		memcpy(p->kernel, ((const struct clew_stats *)ev)->count, sizeof(p->kernel));
		p->have_stats = true;
		tell_losses(p, ev->ts);
	}
}

/* Time is that of the stream: the same in a replay as it was live. */
static void tick(struct clew_pipeline *p, uint64_t now)
{
	p->now = now;
	p->next_tick = now + TICK_NS;
	clew_correlate__tick(p->correlate, now);
	if (now > p->next_slow_tick) {
		p->next_slow_tick = now + SLOW_TICK_NS;
		clew_conns__tick(p->conns, now);
		clew_enrich__tick(p->enrich, now);
	}
	flush(p);
}

void clew_pipeline__feed(void *pipeline, const struct clew_event *ev)
{
	struct clew_pipeline *p = pipeline;
	bool from_kernel = ev->type < CLEW_EV_CLOCK;
	int drop;

	if (from_kernel)
		p->read++;
	if (!is_whole(ev)) {
		clew_count(&p->ledger->events_dropped[CLEW_EDROP_MALFORMED], from_kernel);
		return;
	}
	if (p->recorder)
		clew_recorder__write(p->recorder, ev);
	on_agent_event(p, ev);
	clew_enrich__event(p->enrich, ev);
	clew_correlate__event(p->correlate, ev);
	if (from_kernel) {
		drop = clew_conns__feed(p->conns, ev);
		if (drop == CLEW_EVENT_USED)
			clew_count(&p->ledger->events_used, 1);
		else
			clew_count(&p->ledger->events_dropped[drop], 1);
	}
	if (ev->ts > p->next_tick)
		tick(p, ev->ts);
}

void clew_pipeline__drain(struct clew_pipeline *p)
{
	tell_losses(p, UINT64_MAX);
	clew_conns__drain(p->conns, p->now);
	clew_correlate__drain(p->correlate);
	flush(p);
}

/*
 * The kernel side counted what it emitted and what it could not; the agent counted what it read.
 * The two must meet: a record that was lost in between would show as NOT BALANCED.
 */
void clew_pipeline__account(struct clew_pipeline *p)
{
	struct clew_ledger *l = p->ledger;

	l->events_dropped[CLEW_EDROP_RING_FULL] = p->kernel[CLEW_STAT_DROP_RING_FULL];
	l->events_dropped[CLEW_EDROP_CONN_TABLE_FULL] = p->kernel[CLEW_STAT_DROP_CONN_FULL];
	l->events_dropped[CLEW_EDROP_PROBE_MISSED] = p->kernel[CLEW_STAT_MISSED];
	l->events_seen = (p->have_stats ? p->kernel[CLEW_STAT_EMITTED] : p->read) +
			 p->kernel[CLEW_STAT_DROP_RING_FULL] + p->kernel[CLEW_STAT_DROP_CONN_FULL] +
			 p->kernel[CLEW_STAT_MISSED];
}

static size_t add_metric(struct clew_metric *m, size_t n, const char *name, const char *unit,
			 const char *what, const char *reason, uint64_t v)
{
	m[n] = (struct clew_metric){
		.name = name,
		.description = what,
		.unit = unit,
		.key = {reason ? "clew.reason" : NULL, NULL},
		.value = {reason, NULL},
		.v = v,
	};
	return n + 1;
}

void clew_pipeline__metrics(struct clew_pipeline *p)
{
	struct clew_metric m[64];
	const struct clew_ledger *l = p->ledger;
	uint32_t conns;
	uint64_t bytes;
	size_t n = 0;

	if (!p->export)
		return;
	clew_pipeline__account(p);
	n = add_metric(m, n, "clew.events", "{event}", "Events the kernel side saw", NULL,
		       l->events_seen);
	for (int i = 0; i < CLEW_EDROP_MAX; i++)
		n = add_metric(m, n, "clew.events.dropped", "{event}", "Events that were not used",
			       clew_event_drop_names[i], l->events_dropped[i]);
	n = add_metric(m, n, "clew.exchanges", "{exchange}", "Requests with their responses", NULL,
		       l->exchanges_seen);
	for (int i = 0; i < CLEW_XDROP_MAX; i++)
		n = add_metric(m, n, "clew.exchanges.dropped", "{exchange}",
			       "Exchanges that gave no span", clew_exchange_drop_names[i],
			       l->exchanges_dropped[i]);
	n = add_metric(m, n, "clew.spans", "{span}", "Spans built", NULL, l->spans_built);
	n = add_metric(m, n, "clew.spans.sampled_out", "{span}", "Spans not kept by the sampler",
		       NULL, l->spans_sampled_out);
	for (uint32_t e = 0; e < l->nr_exporters && n < 48; e++) {
		uint64_t dropped = 0;

		for (int i = 0; i < CLEW_SDROP_MAX; i++)
			dropped += l->exporter[e].dropped[i];
		n = add_metric(m, n, "clew.exporter.spans", "{span}", "Spans delivered", NULL,
			       l->exporter[e].exported);
		m[n - 1].key[0] = "clew.exporter";
		m[n - 1].value[0] = l->exporter[e].name;
		n = add_metric(m, n, "clew.exporter.spans.dropped", "{span}", "Spans not delivered",
			       NULL, dropped);
		m[n - 1].key[0] = "clew.exporter";
		m[n - 1].value[0] = l->exporter[e].name;
	}
	clew_conns__usage(p->conns, &conns, &bytes);
	n = add_metric(m, n, "clew.connections", "{connection}", "Connections known", NULL, conns);
	m[n - 1].is_gauge = 1;
	n = add_metric(m, n, "clew.links.conflicts", "{link}",
		       "Links withheld because evidence disagreed", NULL,
		       clew_correlate__stats(p->correlate)->conflicts);
	n = add_metric(m, n, "clew.probes.given_up", "{set}",
		       "Sets of probes detached because they cost a process too much", NULL,
		       clew_correlate__stats(p->correlate)->given_up);
	clew_export__metrics(p->export, m, n);
}

const struct clew_correlate_stats *clew_pipeline__links(const struct clew_pipeline *p)
{
	return clew_correlate__stats(p->correlate);
}

struct clew_pipeline *clew_pipeline__new(const struct clew_config *cfg, struct clew_ledger *ledger,
					 struct clew_export *ex, struct clew_recorder *rec,
					 const struct clew_pipeline_source *source)
{
	struct clew_pipeline *p = calloc(1, sizeof(*p));
	struct clew_correlate_sink placed = {p, on_release, on_want};
	struct clew_exchange_sink exchanges = {p,	on_request, on_response,
					       on_done, on_dropped, on_ignore};

	if (!p)
		return NULL;
	p->cfg = cfg;
	p->ledger = ledger;
	p->export = ex;
	p->recorder = rec;
	if (source)
		p->source = *source;
	clew_sampler__init(&p->sampler, cfg->sample_rate, cfg->sample_parent);
	p->enrich = clew_enrich__new(cfg);
	p->correlate = clew_correlate__new(cfg, &placed);
	p->conns = clew_conns__new(cfg, ledger, &exchanges);
	if (!p->enrich || !p->correlate || !p->conns) {
		clew_pipeline__free(p);
		return NULL;
	}
	return p;
}

void clew_pipeline__free(struct clew_pipeline *p)
{
	if (!p)
		return;
	if (p->conns && p->correlate)
		clew_pipeline__drain(p);
	clew_correlate__free(p->correlate);
	clew_conns__free(p->conns);
	clew_enrich__free(p->enrich);
	free(p);
}
