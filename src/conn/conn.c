/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c - the connection stage: puts each direction into stream order, notices holes and
 * repeats by byte position, picks the protocol, feeds the parser, and keeps the exchanges.
 *
 * Connections are found by the id that the kernel side gave them, in an open-addressing table
 * (the hot path: one lookup a segment). A connection lives until it is closed and no stage holds
 * one of its exchanges; when the table is full the one that was quiet longest makes room.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <clew/conn.h>

#define SECOND		   1000000000ULL
#define DYING_NS	   (2 * SECOND)
#define FREE_EXCHANGES_MAX 4096
#define EXITED_SLOTS	   4096		 /* processes between two ticks; half of them used */
#define KEPT_MAX	   (64ULL << 20) /* bytes that are not parsed yet, all connections */
#define EARLY_MAX	   16		 /* segments of one connection that wait */
#define EARLY_NS	   (SECOND / 10)

/* A segment that waits for another one, which comes from another thread (CLEW_SEG_AHEAD). */
struct clew_early {
	struct clew_early *next;
	struct clew_segment seg; /* and its bytes */
};

enum conn_state { CONN_NEW, CONN_PARSING, CONN_IGNORED };

struct clew_conns {
	const struct clew_config *cfg;
	struct clew_ledger *ledger;
	struct clew_exchange_sink sink;
	struct clew_proto_sink parser_sink; /* borrowed by every parser */
	struct clew_conn **table;	    /* by id, linear probing, power of two */
	uint32_t mask, count, max;
	struct clew_conn lru; /* list head */
	struct clew_exchange *free_exchanges;
	uint32_t nr_free, nr_exchanges;
	struct {
		uint32_t pid; /* 0: empty */
		uint64_t ts;
	} exited[EXITED_SLOTS]; /* since the last tick, by pid, linear probing */
	uint32_t nr_exited;
	struct clew_conn *feeding; /* whose parser runs now */
	uint64_t bytes, kept;
};

/* ---- table ----------------------------------------------------------------------------- */

static uint32_t slot_of(const struct clew_conns *conns, uint64_t id)
{
	return (uint32_t)((id * 0x9e3779b97f4a7c15ULL) >> 32) & conns->mask;
}

static struct clew_conn *find(const struct clew_conns *conns, uint64_t id)
{
	for (uint32_t i = slot_of(conns, id);; i = (i + 1) & conns->mask) {
		struct clew_conn *c = conns->table[i];

		if (!c || c->id == id)
			return c;
	}
}

static void table_remove(struct clew_conns *conns, uint64_t id)
{
	uint32_t i = slot_of(conns, id), j;

	while (conns->table[i] && conns->table[i]->id != id)
		i = (i + 1) & conns->mask;
	if (!conns->table[i])
		return;
	conns->count--;
	/* close the hole: move back what would not be found any more */
	for (j = (i + 1) & conns->mask; conns->table[j]; j = (j + 1) & conns->mask) {
		uint32_t home = slot_of(conns, conns->table[j]->id);

		if (((j - home) & conns->mask) < ((j - i) & conns->mask))
			continue;
		conns->table[i] = conns->table[j];
		i = j;
	}
	conns->table[i] = NULL;
}

static void table_insert(struct clew_conns *conns, struct clew_conn *c)
{
	uint32_t i = slot_of(conns, c->id);

	while (conns->table[i])
		i = (i + 1) & conns->mask;
	conns->table[i] = c;
	conns->count++;
}

static void lru_unlink(struct clew_conn *c)
{
	c->lru_prev->lru_next = c->lru_next;
	c->lru_next->lru_prev = c->lru_prev;
}

static void lru_push(struct clew_conns *conns, struct clew_conn *c)
{
	c->lru_prev = conns->lru.lru_prev;
	c->lru_next = &conns->lru;
	c->lru_prev->lru_next = c;
	conns->lru.lru_prev = c;
}

/* ---- exchanges ------------------------------------------------------------------------- */

static struct clew_exchange *on_alloc(void *arg)
{
	struct clew_conns *conns = arg;
	struct clew_exchange *ex = conns->free_exchanges;

	clew_count(&conns->ledger->exchanges_seen, 1);
	if (conns->nr_exchanges >= conns->cfg->correlate.max_open_exchanges) {
		clew_count(&conns->ledger->exchanges_dropped[CLEW_XDROP_TABLE_FULL], 1);
		return NULL;
	}
	if (ex) {
		conns->free_exchanges = ex->next;
		conns->nr_free--;
	} else {
		ex = malloc(sizeof(*ex));
		if (!ex) {
			clew_count(&conns->ledger->exchanges_dropped[CLEW_XDROP_NO_MEMORY], 1);
			return NULL;
		}
	}
	memset(ex, 0, offsetof(struct clew_exchange, text));
	ex->node = NULL;
	ex->conn = conns->feeding;
	ex->conn->open_exchanges++;
	conns->nr_exchanges++;
	return ex;
}

static void conn_release(struct clew_conn *c)
{
	if (c->closed && !c->open_exchanges && c != c->owner->feeding)
		free(c);
}

void clew_exchange__free(struct clew_exchange *ex)
{
	struct clew_conns *conns = ex->conn->owner;

	ex->conn->open_exchanges--;
	conn_release(ex->conn);
	conns->nr_exchanges--;
	if (conns->nr_free >= FREE_EXCHANGES_MAX) {
		free(ex);
		return;
	}
	ex->next = conns->free_exchanges;
	conns->free_exchanges = ex;
	conns->nr_free++;
}

/* Who sends the beginnings of requests on 100,000 connections takes no more than this. */
static bool on_keep(void *arg, int64_t bytes)
{
	struct clew_conns *conns = arg;

	if (bytes > 0 && conns->kept + (uint64_t)bytes > KEPT_MAX)
		return false;
	conns->kept += (uint64_t)bytes;
	return true;
}

static void on_request(void *arg, struct clew_exchange *ex)
{
	struct clew_conns *conns = arg;

	conns->sink.request(conns->sink.arg, ex);
}

static void on_response(void *arg, struct clew_exchange *ex)
{
	struct clew_conns *conns = arg;

	conns->sink.response(conns->sink.arg, ex);
}

static void on_done(void *arg, struct clew_exchange *ex)
{
	struct clew_conns *conns = arg;

	conns->sink.done(conns->sink.arg, ex);
}

static void on_dropped(void *arg, struct clew_exchange *ex, int reason)
{
	struct clew_conns *conns = arg;

	clew_count(&conns->ledger->exchanges_dropped[reason], 1);
	conns->sink.dropped(conns->sink.arg, ex, reason);
	clew_exchange__free(ex);
}

/* ---- life ------------------------------------------------------------------------------ */

static void parser_free(struct clew_conns *conns, struct clew_conn *c, uint64_t ts)
{
	struct clew_conn *outer = conns->feeding;

	if (!c->parser)
		return;
	conns->feeding = c;
	c->proto->close(c->parser, ts);
	conns->feeding = outer;
	conns->bytes -= c->proto->size;
	free(c->parser);
	c->parser = NULL;
}

static void feed_early(struct clew_conns *conns, struct clew_conn *c);

static void conn_close(struct clew_conns *conns, struct clew_conn *c, uint64_t ts)
{
	feed_early(conns, c);
	/* It may be noticed late that nobody reads a dead socket any more: it ended when it died */
	if (c->dying_ts)
		ts = c->dying_ts > c->last_ts ? c->dying_ts : c->last_ts;
	parser_free(conns, c, ts);
	table_remove(conns, c->id);
	lru_unlink(c);
	conns->bytes -= sizeof(*c);
	c->closed = 1;
	conn_release(c);
}

static int conn_open(struct clew_conns *conns, const struct clew_conn_open *ev)
{
	struct clew_conn *c = find(conns, ev->conn_id);

	if (c)
		return CLEW_EDROP_DUPLICATE;
	if (conns->count >= conns->max)
		conn_close(conns, conns->lru.lru_next, ev->h.ts);
	c = calloc(1, sizeof(*c));
	if (!c)
		return CLEW_EDROP_OUT_OF_MEMORY;
	c->owner = conns;
	c->id = ev->conn_id;
	c->pid = ev->h.pid;
	c->family = ev->family;
	c->role = ev->role;
	c->from_start = ev->from_start;
	c->local_port = ev->local_port;
	c->remote_port = ev->remote_port;
	memcpy(c->local_addr, ev->local_addr, sizeof(c->local_addr));
	memcpy(c->remote_addr, ev->remote_addr, sizeof(c->remote_addr));
	c->netns = ev->netns;
	c->sk = ev->sk;
	c->peer_sk = ev->peer_sk;
	c->opened_ts = ev->opened_ts;
	for (int dir = 0; dir < 2; dir++) {
		c->dir[dir].announced = ev->has_seq;
		c->dir[dir].first = ev->seq[dir];
	}
	c->last_ts = ev->h.ts;
	table_insert(conns, c);
	lru_push(conns, c);
	conns->bytes += sizeof(*c);
	return CLEW_EVENT_USED;
}

static int on_close(struct clew_conns *conns, const struct clew_conn_close *ev)
{
	struct clew_conn *c = find(conns, ev->conn_id);

	if (!c)
		return CLEW_EVENT_USED; /* evicted before */
	if (!c->dying_ts && (ev->reason == CLEW_CLOSE_BOTH || ev->reason == CLEW_CLOSE_HELD))
		c->dying_ts = ev->h.ts;
	if (ev->reason == CLEW_CLOSE_LOCAL || ev->reason == CLEW_CLOSE_BOTH) {
		feed_early(conns, c);
		c->dir[CLEW_SEND].eof = 1;
		conns->feeding = c;
		if (c->parser)
			c->proto->eof(c->parser, CLEW_SEND, ev->h.ts);
		conns->feeding = NULL;
	} else if (ev->reason != CLEW_CLOSE_HELD) {
		conn_close(conns, c, ev->h.ts);
	}
	return CLEW_EVENT_USED;
}

/* ---- segments -------------------------------------------------------------------------- */

static void conn_ignore(struct clew_conns *conns, struct clew_conn *c, uint64_t ts)
{
	parser_free(conns, c, ts);
	c->state = CONN_IGNORED;
	if (conns->sink.ignore)
		conns->sink.ignore(conns->sink.arg, c);
}

/* The first bytes decide. The kernel side has looked already: what is no message start here is
 * the middle of one, and the parser waits for the next. */
static int conn_begin(struct clew_conns *conns, struct clew_conn *c, const struct clew_segment *seg)
{
	const struct clew_proto_ops *proto;
	int is = clew_proto__detect(seg->data, seg->cap, &proto);

	if (is == 0 && c->from_start)
		return -EPROTO;
	if (is == 1)
		c->role = seg->dir == CLEW_RECV ? CLEW_ROLE_SERVER : CLEW_ROLE_CLIENT;
	else if (is == 2)
		c->role = seg->dir == CLEW_RECV ? CLEW_ROLE_CLIENT : CLEW_ROLE_SERVER;
	if (c->role == CLEW_ROLE_UNKNOWN)
		return 0; /* nothing to go by yet */
	c->proto = proto;
	c->parser = calloc(1, c->proto->size);
	if (!c->parser)
		return -ENOMEM;
	conns->bytes += c->proto->size;
	c->proto->init(c->parser, c->role == CLEW_ROLE_CLIENT, &conns->parser_sink);
	c->state = CONN_PARSING;
	return 0;
}

/*
 * Where the segment stands against what is expected. Returns how many of its first bytes were
 * seen already, or -1 when all of them were; *ret_hole is what is missing before it.
 */
static int64_t place(struct clew_conn_dir *d, const struct clew_segment *seg, uint64_t *ret_pos,
		     uint64_t *ret_hole)
{
	int32_t delta;

	*ret_hole = 0;
	if (!d->known) {
		/* What it was announced to begin with, unless this is before it */
		if (!d->announced || (int32_t)(seg->seq - d->first) < 0)
			d->first = seg->seq;
		d->known = 1;
		d->next = (1ULL << 32) + d->first; /* room to look back */
	}
	delta = (int32_t)(seg->seq - (uint32_t)d->next);
	*ret_pos = d->next + (uint64_t)(int64_t)delta;
	if (delta >= 0) {
		*ret_hole = (uint64_t)delta;
		return 0;
	}
	if (-(int64_t)delta >= seg->len)
		return -1;
	return -(int64_t)delta;
}

static enum clew_verdict feed_bytes(struct clew_conn *c, const struct clew_segment *seg,
				    struct clew_feed *f, int64_t seen)
{
	enum clew_verdict v = CLEW_PROTO_MORE;
	uint32_t cap = seg->cap, len = seg->len;
	const uint8_t *p = seg->data;

	if (seen) { /* a repeat: take what is new */
		uint32_t cut = (uint32_t)seen;

		f->pos += cut;
		len -= cut;
		p += cut < cap ? cut : cap;
		cap -= cut < cap ? cut : cap;
	}
	if (cap)
		v = c->proto->data(c->parser, seg->dir, p, cap, f);
	f->pos += cap;
	if (v == CLEW_PROTO_MORE && len > cap) {
		uint32_t tail = seg->tail_len < len - cap ? seg->tail_len : len - cap;

		v = c->proto->skip(c->parser, seg->dir, len - cap, seg->tail + seg->tail_len - tail,
				   tail, false, f);
	}
	return v;
}

static int feed_parser(struct clew_conns *conns, struct clew_conn *c,
		       const struct clew_segment *seg, uint64_t ts)
{
	struct clew_conn_dir *d = &c->dir[seg->dir];
	enum clew_verdict v = CLEW_PROTO_MORE;
	struct clew_feed f = {
		.ts = ts,
		.pid = seg->h.pid,
		.tid = seg->h.tid,
		.turn = seg->h.turn,
		.ctx = seg->ctx,
		.ref = seg->ref,
		.ctx_kind = seg->ctx_kind,
		.seg_flags = seg->flags,
		.watch = seg->watch,
	};
	uint64_t hole;
	int64_t seen = place(d, seg, &f.pos, &hole);

	if (seg->flags & CLEW_SEG_EOF) {
		if (!d->eof)
			c->proto->eof(c->parser, seg->dir, seg->h.ts);
		d->eof = 1;
		return CLEW_EVENT_USED;
	}
	if (seen < 0)
		return CLEW_EDROP_DUPLICATE;
	if (hole) {
		struct clew_feed before = f;

		before.pos = d->next;
		v = c->proto->skip(c->parser, seg->dir, hole, NULL, 0, true, &before);
	}
	d->next = f.pos + seg->len;
	if (v == CLEW_PROTO_MORE)
		v = feed_bytes(c, seg, &f, seen);
	if (v != CLEW_PROTO_MORE)
		conn_ignore(conns, c, seg->h.ts);
	return CLEW_EVENT_USED;
}

/* What waits is fed now, whether what it waited for has come or not. */
static void feed_early(struct clew_conns *conns, struct clew_conn *c)
{
	struct clew_conn *outer = conns->feeding;

	conns->feeding = c;
	while (c->early) {
		struct clew_early *e = c->early;

		c->early = e->next;
		c->nr_early--;
		if (c->state == CONN_PARSING)
			feed_parser(conns, c, &e->seg, e->seg.h.ts);
		on_keep(conns, -(int64_t)e->seg.h.size);
		free(e);
	}
	conns->feeding = outer;
}

/* False: it cannot wait. */
static bool keep_early(struct clew_conns *conns, struct clew_conn *c,
		       const struct clew_segment *seg)
{
	struct clew_early **end = &c->early, *e;

	if (c->nr_early == EARLY_MAX || !on_keep(conns, seg->h.size))
		return false;
	e = malloc(offsetof(struct clew_early, seg) + seg->h.size);
	if (!e) {
		on_keep(conns, -(int64_t)seg->h.size);
		return false;
	}
	e->next = NULL;
	memcpy(&e->seg, seg, seg->h.size);
	while (*end)
		end = &(*end)->next;
	*end = e;
	c->nr_early++;
	return true;
}

/*
 * The directions of a connection against one another. What is read while something that was sent
 * before has not been told of waits for that, which was then sent no later than the read.
 */
static int feed_in_order(struct clew_conns *conns, struct clew_conn *c,
			 const struct clew_segment *seg)
{
	uint64_t ts = seg->h.ts;
	int drop;

	if (c->early && ts > c->early->seg.h.ts + EARLY_NS)
		feed_early(conns, c);
	if (seg->dir == CLEW_RECV && (c->early || seg->flags & CLEW_SEG_AHEAD)) {
		if (keep_early(conns, c, seg))
			return CLEW_EVENT_USED;
		feed_early(conns, c);
	}
	if (c->state != CONN_PARSING)
		return CLEW_EDROP_NOT_HTTP;
	if (c->early && ts > c->early->seg.h.ts)
		ts = c->early->seg.h.ts;
	drop = feed_parser(conns, c, seg, ts);
	feed_early(conns, c);
	return drop;
}

static int on_segment(struct clew_conns *conns, const struct clew_segment *seg)
{
	struct clew_conn *c;
	int drop;

	if (seg->dir > 1 || seg->h.size < sizeof(*seg) + seg->cap || seg->cap > seg->len ||
	    seg->tail_len > CLEW_TAIL_MAX)
		return CLEW_EDROP_MALFORMED;
	c = find(conns, seg->conn_id);
	if (!c)
		return CLEW_EDROP_UNKNOWN_CONN;
	c->last_ts = seg->h.ts;
	if (c->lru_next != &conns->lru) {
		lru_unlink(c);
		lru_push(conns, c);
	}
	if (c->state == CONN_NEW && seg->cap) {
		int err = conn_begin(conns, c, seg);

		if (err == -ENOMEM)
			return CLEW_EDROP_OUT_OF_MEMORY;
		if (err)
			conn_ignore(conns, c, seg->h.ts);
	}
	if (c->state != CONN_PARSING)
		return CLEW_EDROP_NOT_HTTP;
	conns->feeding = c;
	drop = feed_in_order(conns, c, seg);
	conns->feeding = NULL;
	return drop;
}

/* ---- processes that ended ---------------------------------------------------------------- */

/* The slot of the pid, or the empty one where it belongs. */
static uint32_t exited_slot(const struct clew_conns *conns, uint32_t pid)
{
	uint32_t i = pid * 2654435761U >> 20;

	while (conns->exited[i].pid && conns->exited[i].pid != pid)
		i = (i + 1) % EXITED_SLOTS;
	return i;
}

static void note_exit(struct clew_conns *conns, uint32_t pid, uint64_t ts)
{
	uint32_t i = exited_slot(conns, pid);

	if (!pid)
		return;
	conns->nr_exited += !conns->exited[i].pid;
	conns->exited[i].pid = pid;
	conns->exited[i].ts = ts;
}

/* Its process is gone, and nobody who inherited it, or has the pid now, has used it since. */
static bool has_exited(const struct clew_conns *conns, const struct clew_conn *c)
{
	uint32_t i = exited_slot(conns, c->pid);

	return conns->exited[i].pid && c->last_ts <= conns->exited[i].ts;
}

int clew_conns__feed(struct clew_conns *conns, const struct clew_event *ev)
{
	switch (ev->type) {
	case CLEW_EV_SEGMENT:
		return on_segment(conns, (const void *)ev);
	case CLEW_EV_CONN_OPEN:
		return conn_open(conns, (const void *)ev);
	case CLEW_EV_CONN_CLOSE:
		return on_close(conns, (const void *)ev);
	case CLEW_EV_EXIT:
		if (conns->nr_exited == EXITED_SLOTS / 2)
			clew_conns__tick(conns, ev->ts);
		note_exit(conns, ev->pid, ev->ts);
		return CLEW_EVENT_USED;
	default:
		return CLEW_EVENT_USED;
	}
}

/* ---- time ------------------------------------------------------------------------------ */

/* Unix sockets tell nothing when they close, dead TCP sockets may still be read, what a segment
 * waits for may never come: settled here, at most once a second. */
void clew_conns__tick(struct clew_conns *conns, uint64_t now)
{
	struct clew_conn *c, *next;

	for (c = conns->lru.lru_next; c != &conns->lru; c = next) {
		next = c->lru_next;
		if (c->dying_ts && now > c->dying_ts + DYING_NS && now > c->last_ts + DYING_NS)
			conn_close(conns, c, now);
		else if (conns->nr_exited && has_exited(conns, c))
			conn_close(conns, c, now);
		else if (c->early && now > c->early->seg.h.ts + EARLY_NS)
			feed_early(conns, c);
	}
	if (conns->nr_exited)
		memset(conns->exited, 0, sizeof(conns->exited));
	conns->nr_exited = 0;
}

void clew_conns__drain(struct clew_conns *conns, uint64_t now)
{
	while (conns->lru.lru_next != &conns->lru)
		conn_close(conns, conns->lru.lru_next, now);
}

struct clew_conns *clew_conns__new(const struct clew_config *cfg, struct clew_ledger *ledger,
				   const struct clew_exchange_sink *sink)
{
	struct clew_conns *conns = calloc(1, sizeof(*conns));
	uint32_t size = 1024;

	if (!conns)
		return NULL;
	conns->cfg = cfg;
	conns->ledger = ledger;
	conns->sink = *sink;
	conns->parser_sink = (struct clew_proto_sink){conns,   on_alloc,   on_request, on_response,
						      on_done, on_dropped, on_keep};
	conns->max = 2 * cfg->capture.max_connections; /* the kernel's table forgets first */
	while (size < 2 * conns->max)
		size <<= 1;
	conns->mask = size - 1;
	conns->table = calloc(size, sizeof(struct clew_conn *));
	conns->lru.lru_next = conns->lru.lru_prev = &conns->lru;
	if (!conns->table) {
		free(conns);
		return NULL;
	}
	return conns;
}

void clew_conns__free(struct clew_conns *conns)
{
	if (!conns)
		return;
	clew_conns__drain(conns, 0);
	while (conns->free_exchanges) {
		struct clew_exchange *next = conns->free_exchanges->next;

		free(conns->free_exchanges);
		conns->free_exchanges = next;
	}
	free(conns->table);
	free(conns);
}

void clew_conns__usage(const struct clew_conns *conns, uint32_t *ret_conns, uint64_t *ret_bytes)
{
	*ret_conns = conns->count;
	*ret_bytes =
		conns->bytes + conns->kept + conns->nr_exchanges * sizeof(struct clew_exchange);
}
