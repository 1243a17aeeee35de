/* SPDX-License-Identifier: Apache-2.0 */
/* make_span.h - spans for the export tests: a plain one, and one with everything in it. */
#ifndef TEST_MAKE_SPAN_H
#define TEST_MAKE_SPAN_H

#include <stdio.h>
#include <string.h>

#include <clew/span.h>

static inline struct clew_resource *make_resource(const char *service)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "service.name%c%s%cprocess.pid%c%d%cprocess.command_args%c%s\x1f-x\x1f%c",
			 0, service, 0, 0, 4242, 0, 0, service, 0);

	return clew_resource__new(4242, text, (size_t)n);
}

static inline void fill_id(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((seed >> (8 * (i % 8))) + i + 1);
}

/* As a server of HTTP requests makes it: about what the hot path sees. */
static inline struct clew_span *make_span(struct clew_resource *res, uint64_t i)
{
	struct clew_span *s = clew_span__new(20, 512);
	char path[64];
	int n = snprintf(path, sizeof(path), "/orders/%llu/items", (unsigned long long)i);

	fill_id(s->trace_id, 16, i / 4);
	fill_id(s->span_id, 8, i * 77 + 5);
	if (i % 4)
		fill_id(s->parent_span_id, 8, i * 77 - 72);
	s->flags = CLEW_SPAN_FLAG_SAMPLED | CLEW_SPAN_FLAG_HAS_IS_REMOTE;
	s->kind = i % 2 ? CLEW_SPAN_CLIENT : CLEW_SPAN_SERVER;
	s->link = CLEW_LINK_EXACT;
	s->start_ns = 1700000000000000000ULL + i * 1000;
	s->end_ns = s->start_ns + 1234567;
	s->name = clew_str__lit("GET");
	clew_span__lit(s, "http.request.method", "GET");
	clew_span__str(s, "url.path", path, (size_t)n);
	clew_span__lit(s, "url.scheme", "http");
	clew_span__str(s, "server.address", "orders.example", 14);
	clew_span__int(s, "server.port", 8080);
	clew_span__str(s, "network.peer.address", "127.0.0.1", 9);
	clew_span__int(s, "network.peer.port", 54321);
	clew_span__lit(s, "network.protocol.version", "1.1");
	clew_span__str(s, "user_agent.original", "python-httpx/0.23.3", 19);
	clew_span__int(s, "http.response.status_code", 200);
	clew_span__int(s, "http.request.body.size", 0);
	clew_span__int(s, "http.response.body.size", 1534);
	clew_span__int(s, "clew.time_to_first_byte", 1200345);
	clew_span__lit(s, "clew.link", "exact");
	clew_span__lit(s, "clew.link.evidence", "socket-pair");
	s->resource = clew_resource__get(res);
	return s;
}

/* Every field that OTLP has, borders included; borrows nothing that goes away. */
static inline struct clew_span *make_full_span(struct clew_resource *res)
{
	static const struct clew_str words[] = {{"one", 3}, {"", 0}, {"t\xffwo", 4}};
	static const struct clew_attr attrs[] = {
		{.key = "list", .type = CLEW_ATTR_STRV, .count = 3, .strv = words},
		{.key = "empty.list", .type = CLEW_ATTR_STRV, .count = 0, .strv = words},
		{.key = "half", .type = CLEW_ATTR_DOUBLE, .d = 0.5},
	};
	static struct clew_span_event events[] = {
		{.ts_ns = 1700000000000000001ULL, .name = {"first byte", 10}},
		{.ts_ns = 0, .name = {"", 0}, .attrs = attrs, .nr_attrs = 3},
	};
	static struct clew_span_link links[] = {
		{.trace_id = {1, 2, 3},
		 .span_id = {9},
		 .trace_state = {"k=v", 3},
		 .attrs = attrs,
		 .nr_attrs = 3,
		 .flags = 0x301},
		{.trace_id = {0xff}, .span_id = {0xff}},
	};
	struct clew_span *s = make_span(res, 1);

	s->name = (struct clew_str){"G\xc3\xa9T \xe2\x82\xac \xf0\x9f\x98\x80 \xc3(", 16};
	s->trace_state = clew_str__lit("ot=th:8");
	s->status = CLEW_STATUS_ERROR;
	s->status_message = clew_str__lit("line\nfeed \"quoted\" \\ \x01");
	s->kind = CLEW_SPAN_CONSUMER;
	s->flags |= CLEW_SPAN_FLAG_IS_REMOTE;
	s->dropped_attrs = 3;
	s->dropped_events = 200;
	s->dropped_links = 70000;
	s->events = events;
	s->nr_events = 2;
	s->links = links;
	s->nr_links = 2;
	clew_span__bool(s, "yes", true);
	clew_span__bool(s, "no", false);
	clew_span__int(s, "minus", INT64_MIN);
	clew_span__str(s, "", "no key", 6);
	clew_span__str(s, "empty", "", 0);
	return s;
}

static inline void put_spans(struct clew_span **spans, size_t n)
{
	for (size_t i = 0; i < n; i++)
		clew_span__put(spans[i]);
}

#endif
