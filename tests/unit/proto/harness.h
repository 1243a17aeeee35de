/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness.h - what the parsers' tests share: a sink that checks the contract of
 * struct clew_proto_sink and remembers every exchange, and conversations as lists of pieces.
 */
#ifndef CLEW_TESTS_PROTO_HARNESS_H
#define CLEW_TESTS_PROTO_HARNESS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clew/ledger.h>
#include <clew/proto.h>

enum { REC_OPEN = 0, REC_DONE, REC_DROPPED };

struct rec {
	struct clew_exchange *live; /* NULL once it is over: a later use is a use after free */
	int end, reason;
	int requested, responded;
	struct clew_exchange copy; /* as it was at its end */
};

struct sink {
	struct clew_proto_sink ops;
	struct rec *rec;
	size_t n, size, refuse_at; /* alloc() number refuse_at and later fail; 0: never */
	int64_t kept, keep_max;	   /* bytes of heads; 0: any number */
};

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline struct rec *sink__rec(struct sink *s, const struct clew_exchange *ex)
{
	struct rec *r = &s->rec[(size_t)(uintptr_t)ex->node];

	MUST((size_t)(uintptr_t)ex->node < s->n && r->live == ex && r->end == REC_OPEN);
	return r;
}

static inline struct clew_exchange *sink__alloc(void *arg)
{
	struct sink *s = arg;
	struct clew_exchange *ex;

	if (s->refuse_at && s->n + 1 >= s->refuse_at)
		return NULL;
	if (s->n == s->size) {
		s->size = s->size ? s->size * 2 : 16;
		s->rec = realloc(s->rec, s->size * sizeof(*s->rec));
		MUST(s->rec);
	}
	ex = malloc(sizeof(*ex));
	MUST(ex);
	memset(ex, 0xa5, sizeof(*ex)); /* the parser must not rely on zeroes */
	ex->node = (void *)(uintptr_t)s->n;
	memset(&s->rec[s->n], 0, sizeof(*s->rec));
	s->rec[s->n++].live = ex;
	return ex;
}

static inline void sink__request(void *arg, struct clew_exchange *ex)
{
	struct rec *r = sink__rec(arg, ex);

	MUST(!r->requested && !r->responded && ex->state == CLEW_EX_REQUEST && ex->method.len);
	r->requested = 1;
}

static inline void sink__response(void *arg, struct clew_exchange *ex)
{
	struct rec *r = sink__rec(arg, ex);

	MUST(r->requested && !r->responded && ex->state == CLEW_EX_RESPONSE);
	MUST(ex->status >= 100 || ex->incomplete & CLEW_INC_RESPONSE_HEAD);
	r->responded = 1;
}

static inline void sink__end(struct sink *s, struct clew_exchange *ex, int end, int reason)
{
	struct rec *r = sink__rec(s, ex);

	MUST(ex->text_used <= CLEW_EXCHANGE_TEXT);
	MUST(ex->req_wire >= ex->req_body && ex->resp_wire >= ex->resp_body);
	r->end = end;
	r->reason = reason;
	r->copy = *ex;
	r->live = NULL;
	free(ex);
}

static inline void sink__done(void *arg, struct clew_exchange *ex)
{
	struct rec *r = sink__rec(arg, ex);

	MUST(r->requested && ex->state == CLEW_EX_DONE);
	MUST(r->responded == !(ex->incomplete & CLEW_INC_NO_RESPONSE));
	MUST(ex->req.ts <= ex->req_end_ts);
	MUST(!r->responded || ex->resp.ts <= ex->resp_end_ts);
	sink__end(arg, ex, REC_DONE, 0);
}

static inline void sink__dropped(void *arg, struct clew_exchange *ex, int reason)
{
	MUST(reason >= 0 && reason < CLEW_XDROP_MAX);
	sink__end(arg, ex, REC_DROPPED, reason);
}

static inline bool sink__keep(void *arg, int64_t bytes)
{
	struct sink *s = arg;

	if (bytes > 0 && s->keep_max && s->kept + bytes > s->keep_max)
		return false;
	s->kept += bytes;
	MUST(s->kept >= 0);
	return true;
}

static inline void sink__init(struct sink *s)
{
	memset(s, 0, sizeof(*s));
	s->ops = (struct clew_proto_sink){s,	      sink__alloc,   sink__request, sink__response,
					  sink__done, sink__dropped, sink__keep};
}

/* Every exchange must be over. */
static inline void sink__fini(struct sink *s)
{
	for (size_t i = 0; i < s->n; i++)
		MUST(s->rec[i].end != REC_OPEN);
	MUST(!s->kept);
	free(s->rec);
	memset(s, 0, sizeof(*s));
}

static inline size_t sink__count(const struct sink *s, int end)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->rec[i].end == end;
	return n;
}

/* ---- conversations --------------------------------------------------------------------------- */

enum { EV_DATA = 0, EV_EOF };

struct event {
	int server; /* 0: the client's bytes, 1: the server's */
	int kind;
	uint8_t *p;
	size_t n;
	int lost;    /* the event never arrives */
	size_t seen; /* of n, the captured bytes; the rest is behind the budget */
};

struct talk {
	struct event *ev;
	size_t n;
};

static inline struct event *talk__add(struct talk *t, int server, int kind, const void *p, size_t n)
{
	struct event *ev;

	t->ev = realloc(t->ev, (t->n + 1) * sizeof(*t->ev));
	MUST(t->ev);
	ev = &t->ev[t->n++];
	memset(ev, 0, sizeof(*ev));
	ev->server = server;
	ev->kind = kind;
	ev->p = malloc(n + 1);
	MUST(ev->p);
	if (n)
		memcpy(ev->p, p, n);
	ev->p[n] = 0;
	ev->n = n;
	ev->seen = n;
	return ev;
}

static inline void talk__append(struct event *ev, const void *p, size_t n)
{
	ev->p = realloc(ev->p, ev->n + n + 1);
	MUST(ev->p);
	memcpy(ev->p + ev->n, p, n);
	ev->n += n;
	ev->seen = ev->n;
}

static inline void talk__free(struct talk *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->ev[i].p);
	free(t->ev);
	memset(t, 0, sizeof(*t));
}

struct player {
	const struct clew_proto_ops *ops;
	struct sink sink;
	void *state;
	int client;
	enum clew_verdict verdict;
	uint64_t ts, pos[2];
	uint64_t hole[2]; /* lost and not told yet */
	uint16_t flags;	  /* of the next pieces */
};

static inline void player__init(struct player *pl, const struct clew_proto_ops *ops, int client)
{
	memset(pl, 0, sizeof(*pl));
	pl->ops = ops;
	sink__init(&pl->sink);
	pl->client = client;
	pl->state = malloc(pl->ops->size);
	MUST(pl->state);
	pl->ops->init(pl->state, client, &pl->sink.ops);
}

static inline enum clew_dir player__dir(const struct player *pl, int server)
{
	return server == pl->client ? CLEW_RECV : CLEW_SEND;
}

static inline struct clew_feed player__feed(struct player *pl, int server)
{
	struct clew_feed f = {.ts = ++pl->ts, .pos = pl->pos[server], .pid = 7, .tid = 8};

	f.turn = (uint32_t)pl->ts;
	f.ctx = 1000 + pl->ts;
	f.seg_flags = pl->flags;
	return f;
}

/* Lost bytes become known when the next ones of the direction arrive. */
static inline void player__lose(struct player *pl, int server, size_t n)
{
	pl->hole[server] += n;
}

static inline void player__flush(struct player *pl, int server)
{
	struct clew_feed f;

	if (!pl->hole[server] || pl->verdict)
		return;
	f = player__feed(pl, server);
	pl->verdict = (pl->ops->skip)(pl->state, player__dir(pl, server), pl->hole[server], NULL, 0,
				      true, &f);
	pl->pos[server] += pl->hole[server];
	pl->hole[server] = 0;
}

static inline void player__data(struct player *pl, int server, const uint8_t *p, size_t n)
{
	struct clew_feed f;
	uint8_t *exact;

	player__flush(pl, server);
	if (!n || pl->verdict)
		return;
	/* A copy of exactly this size: reading past it is an error that ASan sees. */
	exact = malloc(n);
	MUST(exact);
	memcpy(exact, p, n);
	f = player__feed(pl, server);
	pl->verdict = pl->ops->data(pl->state, player__dir(pl, server), exact, n, &f);
	pl->pos[server] += n;
	free(exact);
}

/* `n` bytes behind the capture budget; the last ones, up to `tail`, are known. */
static inline void player__skip(struct player *pl, int server, const uint8_t *p, size_t n,
				size_t tail)
{
	struct clew_feed f;

	player__flush(pl, server);
	if (!n || pl->verdict)
		return;
	if (tail > n)
		tail = n;
	f = player__feed(pl, server);
	pl->verdict = (pl->ops->skip)(pl->state, player__dir(pl, server), n, p + n - tail, tail,
				      false, &f);
	pl->pos[server] += n;
}

static inline void player__event(struct player *pl, const struct event *ev)
{
	if (ev->lost) {
		player__lose(pl, ev->server, ev->n);
		return;
	}
	if (ev->kind == EV_EOF) {
		player__flush(pl, ev->server);
		pl->ops->eof(pl->state, player__dir(pl, ev->server), ++pl->ts);
		return;
	}
	player__data(pl, ev->server, ev->p, ev->seen);
	player__skip(pl, ev->server, ev->p + ev->seen, ev->n - ev->seen, CLEW_TAIL_MAX);
}

static inline void player__close(struct player *pl)
{
	pl->ops->close(pl->state, ++pl->ts);
	free(pl->state);
	pl->state = NULL;
}

static inline void player__fini(struct player *pl)
{
	if (pl->state)
		player__close(pl);
	sink__fini(&pl->sink);
}

static inline bool text_is(const struct clew_exchange *ex, struct clew_text t, const char *s)
{
	return t.len == strlen(s) && !memcmp(ex->text + t.off, s, t.len);
}

#endif
