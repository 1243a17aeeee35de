/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parser.h - a protocol's parser on both directions of one connection.
 *
 * The input is a list of steps: one byte says what happens (low bits: whose bytes, then data,
 * a hole or an end), one or two bytes how long, then the bytes themselves. Checked, beside what
 * the sanitizers see: each exchange ends exactly once and is not touched afterwards, callbacks
 * come in their order, no size is larger than what was fed, no text leaves its buffer, an idle
 * parser keeps no memory that close() would not free.
 */
#ifndef CLEW_TESTS_FUZZ_PARSER_H
#define CLEW_TESTS_FUZZ_PARSER_H

#include "../unit/proto/harness.h"

static void check_texts(const struct clew_exchange *ex)
{
	const struct clew_text *t[] = {
		&ex->method,	  &ex->target,		&ex->host,
		&ex->user_agent,  &ex->traceparent,	&ex->tracestate,
		&ex->forwarded,	  &ex->x_forwarded_for, &ex->x_forwarded_proto,
		&ex->content_type};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		MUST(t[i]->off <= ex->text_used && t[i]->len <= ex->text_used - t[i]->off);
		MUST(t[i]->len || !t[i]->off);
	}
}

static void check_sizes(const struct player *pl, const uint64_t fed[2])
{
	uint64_t req = 0, resp = 0;

	for (size_t i = 0; i < pl->sink.n; i++) {
		const struct clew_exchange *ex = &pl->sink.rec[i].copy;

		check_texts(ex);
		req += ex->req_wire;
		resp += ex->resp_wire;
	}
	MUST(req <= fed[0] && resp <= fed[1]);
}

static void fuzz_parser(const struct clew_proto_ops *ops, const uint8_t *p, size_t n)
{
	uint64_t fed[2] = {0, 0};
	struct player pl;

	if (!n)
		return;
	ops->detect(p, n);
	player__init(&pl, ops, *p & 1);
	pl.sink.refuse_at = *p & 2 ? 1 + (*p >> 2) : 0;
	pl.sink.keep_max = *p & 4 ? 1024 : 0;
	p++, n--;
	while (n >= 2 && !pl.verdict) {
		int server = *p & 1, what = *p >> 1 & 7;
		size_t len = p[1];

		pl.flags = *p & 0x80 ? CLEW_SEG_LATE : 0;
		if (*p & 0x40)
			len *= 16;
		p += 2, n -= 2;
		if (what == 7) {
			ops->eof(pl.state, player__dir(&pl, server), ++pl.ts);
			continue;
		}
		if (what == 6) {
			player__lose(&pl, server, len);
			fed[server] += len;
			continue;
		}
		if (len > n)
			len = n;
		if (what == 5)
			player__skip(&pl, server, p, len, CLEW_TAIL_MAX);
		else
			player__data(&pl, server, p, len);
		fed[server] += len;
		p += len, n -= len;
	}
	player__close(&pl);
	check_sizes(&pl, fed);
	player__fini(&pl);
}

#endif
