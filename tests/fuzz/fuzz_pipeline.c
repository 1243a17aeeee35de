/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_pipeline.c - a stream of events through the whole pipeline, without exporters.
 *
 * The input is a list of steps for a small world: four connections that are seen from both of
 * their ends, each by a process of its own. A step is one byte that says what happens, one that
 * says to whom, one argument, and for some the bytes that follow. The world keeps the stream
 * positions, so most streams are as a kernel reports them: what is wrong with one (a hole, a
 * repeat, a size that does not fit, an event that nobody announced) was a step of its own.
 *
 * Checked, beside what the sanitizers see: when the stream has ended every event and every
 * exchange that was counted has come out or was dropped for a reason (docs/ledger.md), and all
 * spans were either built for an exchange or not at all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clew/capture.h>
#include <clew/pipeline.h>

#define PAIRS	4
#define MS	1000000ULL
#define RAW_MAX 512

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #x);      \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum step {
	STEP_OPEN,
	STEP_TEXT,  /* a message of the list below, sent by one end */
	STEP_BOTH,  /* the same, and read by the other end */
	STEP_BYTES, /* bytes of the input */
	STEP_CUT,   /* bytes that were not all captured */
	STEP_HOLE,
	STEP_BACK,
	STEP_EOF,
	STEP_CLOSE,
	STEP_PROC,
	STEP_EDGE,
	STEP_INFO,
	STEP_CLOCK,
	STEP_STATS,
	STEP_TIME,
	STEP_RAW,
	STEPS,
};

#define TRACEPARENT "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"

static const char *const texts[] = {
	"GET /a?x=1 HTTP/1.1\r\nHost: shop.example\r\n\r\n",
	"POST /orders HTTP/1.1\r\nHost: h:81\r\nContent-Length: 4\r\n\r\nbody",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET /two HTTP/1.1\r\n\r\n",
	"GET /t HTTP/1.1\r\nForwarded: for=\"[::1]:2\";proto=https\r\ntracestate: "
	"a=1,ot=th:8\r\n" TRACEPARENT "\r\n",
	"CONNECT h:443 HTTP/1.1\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
	"HTTP/1.0 200 OK\r\n\r\nuntil the end",
	"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	"0\r\n\r\n",
	"GET http://u:p@a.example/p?sig=1&=&token HTTP/1.1\r\nHost: b\r\n\r\n",
	"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n",
	"\x16\x03\x01\x02\x00\x01",
};

struct end {
	uint32_t seq[2];
};

struct world {
	struct clew_config cfg;
	struct clew_ledger ledger;
	struct clew_pipeline *pipeline;
	struct clew_recorder *recorder; /* reads the bytes as well */
	uint64_t ts, fed, wanted;
	uint32_t turn;
	struct end ends[2 * PAIRS];
	const uint8_t *p; /* what is left of the input */
	size_t n;
};

static uint8_t next(struct world *w)
{
	if (!w->n)
		return 0;
	w->n--;
	return *w->p++;
}

static void fill(struct world *w, void *to, size_t n)
{
	if (n > w->n)
		n = w->n;
	memcpy(to, w->p, n);
	w->p += n;
	w->n -= n;
}

/* A copy of exactly the size that is claimed, so that a look behind its end is seen. */
static void feed(struct world *w, struct clew_event *ev, uint8_t type, size_t size, uint32_t pid)
{
	void *copy = malloc(size);

	ev->version = CLEW_EVENT_VERSION;
	ev->type = type;
	ev->size = (uint16_t)size;
	ev->pid = pid;
	ev->tid = pid + (w->turn & 1);
	ev->turn = w->turn;
	ev->ts = w->ts += 1000;
	memcpy(copy, ev, size);
	if (type < CLEW_EV_CLOCK)
		w->fed++;
	clew_pipeline__feed(w->pipeline, copy);
	free(copy);
}

/* Ends 2k and 2k + 1 are the two ends of a connection: the first one connected. */
static uint32_t pid_of(unsigned int end)
{
	return 100 + (end + 1) / 2 % PAIRS;
}

static void step_open(struct world *w, unsigned int end, uint8_t arg)
{
	struct clew_conn_open ev;
	unsigned int port[2] = {40000 + end / 2, 8080}, server = end & 1;

	memset(&ev, 0, sizeof(ev));
	ev.conn_id = end + 1;
	ev.sk = 0x1000 + end;
	ev.peer_sk = 0x1000 + (end ^ 1);
	ev.netns = 1;
	ev.family = arg & 4 ? 1 : arg & 8 ? 10 : 2;
	ev.role = arg & 1 ? CLEW_ROLE_UNKNOWN : server ? CLEW_ROLE_SERVER : CLEW_ROLE_CLIENT;
	ev.from_start = !(arg & 2);
	ev.opened_ts = server ? 0 : w->ts;
	ev.local_port = (uint16_t)port[server];
	ev.remote_port = (uint16_t)port[!server];
	ev.local_addr[0] = ev.remote_addr[0] = 127;
	ev.local_addr[3] = ev.remote_addr[3] = 1;
	feed(w, &ev.h, CLEW_EV_CONN_OPEN, sizeof(ev), pid_of(end));
}

/* Node's ids are doubles, handed on as bits. */
static uint64_t async_id(uint64_t n)
{
	double d = (double)n;
	uint64_t bits;

	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

/* Its async functions have numbers that grow with time: these are later than any set of probes. */
static uint64_t function_no(uint64_t n)
{
	return n ? 1ULL << 60 | n : 0;
}

/* In a channel of tokio's: they all have the same one. */
static uint64_t message(uint64_t slot)
{
	return CLEW_RUST_MESSAGE(0x40, slot);
}

static void segment(struct world *w, unsigned int end, int dir, const void *p, uint32_t cap,
		    uint32_t len, uint8_t arg, uint16_t flags)
{
	union {
		struct clew_segment seg;
		uint8_t room[sizeof(struct clew_segment) + RAW_MAX];
	} u;
	struct clew_segment *seg = &u.seg;
	uint32_t *seq = &w->ends[end].seq[dir];

	memset(seg, 0, sizeof(*seg));
	seg->conn_id = end + 1;
	seg->ctx_kind = arg & 15;
	seg->ctx = arg >> 5;
	seg->ref = seg->ctx_kind == CLEW_CTX_NGINX ? 1U + (arg >> 5) : arg >> 6;
	seg->watch = arg & 0x20 ? CLEW_UNWATCHED : (uint8_t)(arg >> 7);
	if (seg->ctx_kind == CLEW_CTX_HAPROXY)
		seg->ref = 1U + (arg >> 5);
	if (seg->ctx_kind == CLEW_CTX_JAVA)
		seg->ref = arg & 0x40	 ? w->turn & 8 ? CLEW_JAVA_CLIENT : CLEW_JAVA_VIRTUAL
			   : w->turn & 4 ? CLEW_JAVA_JOB | (w->turn & 3)
					 : 0;
	if (seg->ctx_kind == CLEW_CTX_TOKIO)
		seg->ref = w->turn ? message(w->turn - 1) : 0;
	if (seg->ctx_kind == CLEW_CTX_NODE) {
		seg->ref = dir == CLEW_RECV ? async_id(7)
			   : seg->ctx	    ? async_id(seg->ref)
					    : function_no(arg >> 4 & 3);
		seg->ctx = dir == CLEW_SEND ? async_id(seg->ctx) : seg->ctx;
	}
	seg->seq = *seq;
	seg->len = len;
	seg->cap = (uint16_t)cap;
	if (arg & 0x10)
		flags |= seg->ctx_kind == CLEW_CTX_TOKIO ? CLEW_SEG_LATE : CLEW_SEG_LOOP;
	seg->flags = flags;
	seg->dir = (uint8_t)dir;
	if (cap)
		memcpy(u.room + sizeof(*seg), p, cap);
	if (cap < len) {
		seg->tail_len = arg & 8 ? CLEW_TAIL_MAX : 0;
		memcpy(seg->tail, "x\r\n0\r\n\r\n", CLEW_TAIL_MAX);
	}
	*seq += len;
	feed(w, &seg->h, CLEW_EV_SEGMENT, sizeof(*seg) + cap, pid_of(end));
}

static void step_text(struct world *w, unsigned int end, uint8_t arg, bool both)
{
	const char *text = texts[arg % (sizeof(texts) / sizeof(texts[0]))];
	uint32_t n = (uint32_t)strlen(text);
	uint8_t ctx = next(w);

	segment(w, end, CLEW_SEND, text, n, n, ctx, 0);
	if (both)
		segment(w, end ^ 1, CLEW_RECV, text, n, n, ctx, 0);
}

static void step_bytes(struct world *w, unsigned int end, uint8_t arg, bool cut)
{
	uint8_t buf[256] = {0};
	uint32_t len = arg, more = cut ? 1U + next(w) * 17U : 0;
	int dir = next(w) & 1;

	fill(w, buf, len);
	segment(w, end, dir, buf, len, len + more, next(w), cut && !len ? CLEW_SEG_NOBYTES : 0);
}

static void step_close(struct world *w, unsigned int end, uint8_t arg)
{
	struct clew_conn_close ev;

	memset(&ev, 0, sizeof(ev));
	ev.conn_id = end + 1;
	ev.reason = 1 + arg % 4;
	feed(w, &ev.h, CLEW_EV_CONN_CLOSE, sizeof(ev), pid_of(end));
}

static void step_proc(struct world *w, unsigned int end, uint8_t arg)
{
	struct clew_proc_event ev;
	struct clew_probes_event probes;

	if ((arg & 0xf8) == 0x78) {
		memset(&probes, 0, sizeof(probes));
		probes.sets = next(w) | (uint64_t)next(w) << 8;
		probes.given_up = arg & 4 ? probes.sets >> 4 : 0;
		feed(w, &probes.h, CLEW_EV_PROBES, sizeof(probes), pid_of(end));
		return;
	}
	memset(&ev, 0, sizeof(ev));
	ev.other = arg & 0x80 ? arg : 100U + arg % 8;
	memcpy(ev.path, "/bin/app", 9);
	feed(w, &ev.h, (uint8_t)(CLEW_EV_FORK + arg % 4), sizeof(ev), pid_of(end));
}

/* A job, of which this thread has done one before, or what else may run in a JVM. */
static uint64_t java_ref(uint8_t arg)
{
	static const uint64_t refs[] = {0, CLEW_JAVA_JOB | 1, CLEW_JAVA_VIRTUAL, CLEW_JAVA_CLIENT};

	return refs[arg & 3];
}

static void step_edge(struct world *w, unsigned int end, uint8_t arg)
{
	struct clew_edge ev;
	uint8_t kind = next(w);

	memset(&ev, 0, sizeof(ev));
	ev.kind = (uint16_t)CLEW_EDGE_OF(kind & 15, kind >> 4 & 7);
	ev.flags = kind >> 7 ? CLEW_EDGE_AGAIN : 0;
	ev.conn_id = arg & 0x10 && (kind & 15) == CLEW_CTX_NODE ? 0 : end + 1;
	ev.ctx = next(w) & 7;
	ev.child = next(w) & 7;
	ev.ref = arg >> 6;
	ev.chain_len = arg & 0x20 ? next(w) : next(w) % (CLEW_CHAIN_MAX + 1);
	if ((kind & 15) == CLEW_CTX_NODE) {
		ev.chain_len = 0;
		if (ev.kind != CLEW_EDGE_NODE_RESUME)
			ev.ref = ev.ctx ? async_id(ev.ref) : function_no(ev.ref);
		ev.ctx = async_id(ev.ctx);
		if (ev.kind != CLEW_EDGE_NODE_ID)
			ev.child = function_no(ev.child);
		if (ev.kind == CLEW_EDGE_NODE_PARSER ||
		    (ev.kind == CLEW_EDGE_NODE_ID && !ev.conn_id))
			ev.child = async_id(ev.child & 7);
	}
	for (int i = 0; i < CLEW_CHAIN_MAX; i++)
		ev.chain[i] = (uint64_t)((arg >> 4) + i) & 15;
	if ((kind & 15) == CLEW_CTX_JAVA) {
		arg = next(w);
		ev.ref = java_ref((uint8_t)ev.ref);
		ev.chain[0] = java_ref(arg);
		ev.chain[1] = arg >> 2 & 7;
	}
	if ((kind & 15) == CLEW_CTX_TOKIO)
		ev.child = message(ev.child);
	feed(w, &ev.h, CLEW_EV_EDGE, sizeof(ev), pid_of(end));
}

static void step_info(struct world *w, unsigned int end, uint8_t arg)
{
	static const char usual[] = "service.name\0api\0process.pid\0"
				    "12\0a\0b";
	union {
		struct clew_proc_info info;
		char room[sizeof(struct clew_proc_info) + 256];
	} u;
	char *text = u.room + sizeof(u.info);
	size_t n = sizeof(usual);

	memset(&u, 0, sizeof(u));
	memcpy(text, usual, n);
	if (arg & 0x80) {
		n = next(w);
		fill(w, text, n);
	}
	u.info.start_time = arg >> 3 & 3;
	u.info.runtime = arg & 7 ? arg & 7 : arg >> 3;
	u.info.text_len = (uint16_t)(n + (arg & 0x40 ? 1 : 0)); /* one more than there is */
	n += sizeof(u.info);
	feed(w, &u.info.h, CLEW_EV_PROC_INFO, n, pid_of(end));
}

static void step_stats(struct world *w, uint64_t emitted, uint8_t arg)
{
	struct clew_stats ev;

	memset(&ev, 0, sizeof(ev));
	ev.count[CLEW_STAT_EMITTED] = emitted;
	ev.count[CLEW_STAT_DROP_RING_FULL] = arg & 3;
	ev.count[CLEW_STAT_DROP_CONN_FULL] = arg >> 2 & 3;
	ev.count[CLEW_STAT_MISSED] = arg >> 4 & 3;
	feed(w, &ev.h, CLEW_EV_STATS, sizeof(ev), 0);
}

/* Any type with any content; what is claimed is there, but perhaps too little for the type. */
static void step_raw(struct world *w, uint8_t type, uint8_t arg)
{
	struct {
		struct clew_event h;
		uint8_t rest[RAW_MAX];
	} ev;
	size_t size = sizeof(ev.h) + arg * 2U;

	memset(&ev, 0, sizeof(ev));
	fill(w, ev.rest, arg * 2U);
	type &= 63;
	if (type == CLEW_EV_STATS) /* its figures are believed: see step_stats() */
		type = 63;
	feed(w, &ev.h, type, size, 100);
}

static void step(struct world *w)
{
	uint8_t what = next(w), arg;
	unsigned int end = next(w) % (2 * PAIRS);
	struct clew_clock clock;

	arg = next(w);
	w->turn = what >> 4;
	switch (what % STEPS) {
	case STEP_OPEN:
		step_open(w, end, arg);
		break;
	case STEP_TEXT:
	case STEP_BOTH:
		step_text(w, end, arg, what % STEPS == STEP_BOTH);
		break;
	case STEP_BYTES:
	case STEP_CUT:
		step_bytes(w, end, arg, what % STEPS == STEP_CUT);
		break;
	case STEP_HOLE:
		w->ends[end].seq[arg & 1] += arg & 2 ? arg << 20 : arg;
		break;
	case STEP_BACK:
		w->ends[end].seq[arg & 1] -= arg >> 1;
		break;
	case STEP_EOF:
		segment(w, end, arg & 1, NULL, 0, 0, arg, arg & 2 ? 0 : CLEW_SEG_EOF);
		break;
	case STEP_CLOSE:
		step_close(w, end, arg);
		break;
	case STEP_PROC:
		step_proc(w, end, arg);
		break;
	case STEP_EDGE:
		step_edge(w, end, arg);
		break;
	case STEP_INFO:
		step_info(w, end, arg);
		break;
	case STEP_CLOCK:
		memset(&clock, 0, sizeof(clock));
		clock.realtime = 1700000000000000000ULL + arg * MS;
		feed(w, &clock.h, CLEW_EV_CLOCK, sizeof(clock), 0);
		break;
	case STEP_STATS:
		step_stats(w, w->fed, arg);
		break;
	case STEP_TIME:
		if (arg & 0x80 && w->ts > 5 * MS)
			w->ts -= 5 * MS; /* events of two processors may change places */
		else
			w->ts += arg * (arg & 1 ? 100 : 1) * MS;
		break;
	default:
		step_raw(w, (uint8_t)end | (next(w) << 3), arg);
		break;
	}
}

static void configure(struct clew_config *cfg, struct clew_strv *excluded, uint8_t arg)
{
	memset(cfg, 0, sizeof(*cfg));
	cfg->sample_rate = arg & 1 ? 0.5 : 1;
	cfg->sample_parent = arg & 2;
	cfg->correlate.window_ms = arg & 4 ? 20 : 2000;
	cfg->correlate.window_bytes = arg & 8 ? 4096 : 1 << 20;
	cfg->correlate.max_open_exchanges = arg & 16 ? 3 : 1000;
	cfg->correlate.exact_only = arg & 32;
	cfg->capture.max_connections = arg & 64 ? 2 : 100;
	cfg->capture.max_processes = arg & 128 ? 1 : 100;
	cfg->telemetry.url_query = true;
	cfg->excluded_paths = *excluded;
}

static void on_want(void *arg, uint32_t pid, enum clew_probe_set set)
{
	((struct world *)arg)->wanted++;
	MUST(pid && set <= CLEW_WANT_NO_WAITS);
}

static void on_ignore(void *arg, uint64_t sk, uint64_t conn_id)
{
	((struct world *)arg)->wanted++;
	MUST(sk && conn_id);
}

static void check(const struct clew_ledger *l)
{
	uint64_t events = l->events_used, exchanges = l->exchanges_spans;

	for (int i = 0; i < CLEW_EDROP_MAX; i++)
		events += l->events_dropped[i];
	for (int i = 0; i < CLEW_XDROP_MAX; i++)
		exchanges += l->exchanges_dropped[i];
	MUST(l->events_seen == events);
	MUST(l->exchanges_seen == exchanges);
	MUST(l->spans_built == l->exchanges_spans);
	MUST(l->spans_sampled_out <= l->spans_built);
	MUST(clew_ledger__balanced(l));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static char pattern[] = "/health*";
	char *patterns[] = {pattern};
	struct clew_strv excluded = {patterns, 1};
	struct world *w = calloc(1, sizeof(*w));
	struct clew_pipeline_source source = {w, on_want, on_ignore};
	char errbuf[64];

	w->p = p;
	w->n = n;
	w->ts = 1000 * MS;
	for (unsigned int i = 0; i < PAIRS; i++) { /* one of them wraps around */
		w->ends[2 * i].seq[1] = w->ends[2 * i + 1].seq[0] = i ? i * 1000 : UINT32_MAX - 90;
		w->ends[2 * i].seq[0] = w->ends[2 * i + 1].seq[1] = i * 7777;
	}
	configure(&w->cfg, &excluded, next(w));
	MUST(!clew_recorder__new("/dev/null", &w->recorder, errbuf, sizeof(errbuf)));
	w->pipeline = clew_pipeline__new(&w->cfg, &w->ledger, NULL, w->recorder, &source);
	MUST(w->pipeline);
	for (int i = 0; i < 4096 && w->n; i++)
		step(w);
	clew_pipeline__drain(w->pipeline);
	step_stats(w, w->fed, (uint8_t)w->turn); /* the kernel's own account comes last */
	clew_pipeline__account(w->pipeline);
	check(&w->ledger);
	clew_pipeline__free(w->pipeline);
	MUST(!clew_recorder__free(w->recorder));
	free(w);
	return 0;
}
