/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each attribute of HTTP spans by the semantic conventions (http-spans.md): a table of requests
 * and what their spans must say, or must not. See also test_build.c, which is about room.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <clew/build.h>

#define ABSENT ((const char *)-1) /* as a wanted value */
#define WANTED 8

struct fixture {
	struct clew_config cfg;
	struct clew_conn conn;
	struct clew_exchange ex;
	struct clew_placement place;
	struct clew_resource *res;
	struct clew_wall wall;
	struct clew_span *span;
};

/* What a request says; NULL: the header is not there. */
struct said {
	const char *method, *target, *host, *user_agent, *forwarded, *xff, *xfp;
};

struct wanted {
	const char *key, *value;
};

static struct clew_text put(struct fixture *f, const char *s)
{
	struct clew_text t = {0, 0};

	if (!s)
		return t;
	t.off = f->ex.text_used;
	t.len = (uint32_t)strlen(s);
	assert_true(t.off + t.len <= sizeof(f->ex.text));
	memcpy(f->ex.text + t.off, s, t.len);
	f->ex.text_used += t.len;
	return t;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->cfg.telemetry.url_query = true;
	f->conn.family = AF_INET;
	f->conn.local_port = 8080;
	f->conn.remote_port = 54321;
	inet_pton(AF_INET, "192.0.2.7", f->conn.remote_addr);
	f->res = clew_resource__new(1, "", 0);
	f->ex.conn = &f->conn;
	f->ex.is_server = f->ex.http_minor = 1;
	f->ex.status = 200;
	f->ex.req.ts = 1000;
	f->ex.req_end_ts = 1100;
	f->ex.resp.ts = 2000;
	f->ex.resp_end_ts = 3000;
	f->wall.offset = 1000000;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clew_span__put(f->span);
	clew_resource__put(f->res);
	free(f);
	return 0;
}

static void build(struct fixture *f)
{
	clew_span__put(f->span);
	f->span = clew_build__http(&f->cfg, &f->wall, &f->ex, &f->place, f->res);
	assert_non_null(f->span);
	assert_int_equal(f->span->dropped_attrs, 0);
	for (uint32_t i = 0; i < f->span->nr_attrs; i++) /* a key is said once */
		for (uint32_t k = 0; k < i; k++)
			assert_string_not_equal(f->span->attrs[i].key, f->span->attrs[k].key);
}

static void build_said(struct fixture *f, const struct said *r)
{
	f->ex.text_used = 0;
	f->ex.method = put(f, r->method ? r->method : "GET");
	f->ex.target = put(f, r->target ? r->target : "/");
	f->ex.host = put(f, r->host);
	f->ex.user_agent = put(f, r->user_agent);
	f->ex.forwarded = put(f, r->forwarded);
	f->ex.x_forwarded_for = put(f, r->xff);
	f->ex.x_forwarded_proto = put(f, r->xfp);
	build(f);
}

static void assert_attr(struct fixture *f, const char *key, const char *want)
{
	const struct clew_attr *a = NULL;
	char got[2048];

	for (uint32_t i = 0; i < f->span->nr_attrs; i++)
		if (!strcmp(f->span->attrs[i].key, key))
			a = &f->span->attrs[i];
	if (want == ABSENT) {
		if (a)
			fail_msg("%s is there", key);
		return;
	}
	if (!a)
		fail_msg("%s is missing, wanted %s", key, want);
	else if (a->type == CLEW_ATTR_STR)
		snprintf(got, sizeof(got), "%.*s", (int)a->str.n, a->str.p);
	else if (a->type == CLEW_ATTR_INT)
		snprintf(got, sizeof(got), "%lld", (long long)a->i);
	else
		snprintf(got, sizeof(got), "%s", a->b ? "true" : "false");
	if (a && strcmp(got, want))
		fail_msg("%s is %s, wanted %s", key, got, want);
}

struct row {
	struct said said;
	struct wanted wanted[WANTED];
};

static void assert_rows(struct fixture *f, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		build_said(f, &rows[i].said);
		for (int k = 0; k < WANTED && rows[i].wanted[k].key; k++)
			assert_attr(f, rows[i].wanted[k].key, rows[i].wanted[k].value);
	}
}

#define ROWS(f, rows) assert_rows(f, rows, sizeof(rows) / sizeof((rows)[0]))

static void test_methods(void **state)
{
	static const char *const known[] = {"GET",     "HEAD",	  "POST",  "PUT",   "DELETE",
					    "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"};
	static const char *const unknown[] = {"get", "PROPFIND", "GETX", "GE", "M-SEARCH"};
	struct fixture *f = *state;

	for (int side = 0; side < 2; side++) {
		f->ex.is_server = (uint8_t)side;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			build_said(f, &(struct said){.method = known[i]});
			assert_attr(f, "http.request.method", known[i]);
			assert_attr(f, "http.request.method_original", ABSENT);
			assert_int_equal(f->span->name.n, strlen(known[i]));
			assert_memory_equal(f->span->name.p, known[i], strlen(known[i]));
		}
		for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
			build_said(f, &(struct said){.method = unknown[i]});
			assert_attr(f, "http.request.method", "_OTHER");
			assert_attr(f, "http.request.method_original", unknown[i]);
			assert_int_equal(f->span->name.n, 4);
			assert_memory_equal(f->span->name.p, "HTTP", 4);
		}
	}
}

static void test_server_urls(void **state)
{
	static const struct row rows[] = {
		{{.target = "/a/b", .host = "shop.example"},
		 {{"url.path", "/a/b"},
		  {"url.query", ABSENT},
		  {"url.scheme", "http"},
		  {"server.address", "shop.example"},
		  {"server.port", "8080"},
		  {"url.full", ABSENT}}},
		{{.target = "/a?x=1&sig=2&y", .host = "h:81"},
		 {{"url.path", "/a"},
		  {"url.query", "x=1&sig=REDACTED&y"},
		  {"server.address", "h"},
		  {"server.port", "81"}}},
		{{.target = "/a?", .host = "[2001:db8::1]:82"},
		 {{"url.path", "/a"},
		  {"url.query", ABSENT},
		  {"server.address", "2001:db8::1"},
		  {"server.port", "82"}}},
		{{.host = "[::1]"}, {{"server.address", "::1"}, {"server.port", "8080"}}},
		{{.host = "[::1"}, {{"server.address", ABSENT}, {"server.port", ABSENT}}},
		{{.host = "h:65535"}, {{"server.port", "65535"}}},
		{{.host = "h:65536"}, {{"server.address", "h"}, {"server.port", "8080"}}},
		{{.host = "h:99999999999999999999"}, {{"server.port", "8080"}}},
		{{.host = "h:8x"}, {{"server.address", "h"}, {"server.port", "8080"}}},
		{{.host = "h:"}, {{"server.address", "h"}, {"server.port", "8080"}}},
		{{.target = "/"}, {{"server.address", ABSENT}, {"server.port", ABSENT}}},
		{{.target = "*", .method = "OPTIONS", .host = "h"}, {{"url.path", "*"}}},
		/* absolute-form: its authority outdoes Host (RFC 9112 3.2.2) */
		{{.target = "https://a.example:444/p?q", .host = "b"},
		 {{"url.scheme", "https"},
		  {"url.path", "/p"},
		  {"url.query", "q"},
		  {"server.address", "a.example"},
		  {"server.port", "444"}}},
		{{.target = "http://user:secret@a.example/p"},
		 {{"server.address", "a.example"}, {"url.path", "/p"}}},
		{{.method = "CONNECT", .target = "a.example:443", .host = "b"},
		 {{"server.address", "a.example"}, {"server.port", "443"}, {"url.path", ABSENT}}},
		{{.target = "/a#frag"}, {{"url.path", "/a"}}},
	};
	struct fixture *f = *state;

	ROWS(f, rows);
	f->cfg.telemetry.url_query = false;
	build_said(f, &(struct said){.target = "/a?x=1"});
	assert_attr(f, "url.query", ABSENT);
	assert_attr(f, "url.path", "/a");
}

static void test_forwarded(void **state)
{
	static const struct row rows[] = {
		{{.host = "h"}, {{"client.address", "192.0.2.7"}, {"url.scheme", "http"}}},
		{{.host = "h", .xff = "203.0.113.5, 10.0.0.1", .xfp = "https"},
		 {{"client.address", "203.0.113.5"},
		  {"url.scheme", "https"},
		  {"network.peer.address", "192.0.2.7"},
		  {"network.peer.port", "54321"}}},
		{{.host = "h",
		  .xff = "10.9.9.9",
		  .xfp = "http",
		  .forwarded =
			  "for=198.51.100.1;proto=https;host=front.example:9443, for=10.0.0.2"},
		 {{"client.address", "198.51.100.1"},
		  {"url.scheme", "https"},
		  {"server.address", "front.example"},
		  {"server.port", "9443"}}},
		{{.host = "h", .forwarded = "For=\"[2001:db8::17]:4711\""},
		 {{"client.address", "2001:db8::17"}, {"server.address", "h"}}},
		{{.host = "h", .forwarded = "by=x; HOST=front"}, {{"server.address", "front"}}},
		/* the second element is another hop's: not for us */
		{{.host = "h", .forwarded = "by=x, proto=https;host=other"},
		 {{"url.scheme", "http"}, {"server.address", "h"}}},
		{{.host = "h", .forwarded = "for"}, {{"client.address", "192.0.2.7"}}},
		{{.host = "h", .forwarded = ";;=;,"}, {{"client.address", "192.0.2.7"}}},
		{{.host = "h", .forwarded = "for=\""}, {{"url.scheme", "http"}}},
	};

	ROWS((struct fixture *)*state, rows);
}

static void test_client_urls(void **state)
{
	static const struct row rows[] = {
		{{.target = "/a?b=1", .host = "api.example"},
		 {{"url.full", "http://api.example/a?b=1"},
		  {"server.address", "api.example"},
		  {"server.port", "54321"},
		  {"url.path", ABSENT},
		  {"client.address", ABSENT},
		  {"user_agent.original", ABSENT}}},
		{{.target = "/a", .host = "api.example:8443"},
		 {{"url.full", "http://api.example:8443/a"},
		  {"server.address", "api.example"},
		  {"server.port", "8443"}}},
		{{.target = "/", .host = "[::1]:9"},
		 {{"url.full", "http://[::1]:9/"},
		  {"server.address", "::1"},
		  {"server.port", "9"}}},
		{{.target = "http://u:pw@a.example:90/p?token=1&c=2", .host = "proxy"},
		 {{"url.full", "http://a.example:90/p?token=REDACTED&c=2"},
		  {"server.address", "a.example"},
		  {"server.port", "90"}}},
		{{.target = "/a"},
		 {{"url.full", "http://192.0.2.7/a"},
		  {"server.address", "192.0.2.7"},
		  {"network.peer.address", "192.0.2.7"},
		  {"network.peer.port", "54321"}}},
		{{.target = "/a", .host = "h", .user_agent = "curl", .xff = "1.2.3.4"},
		 {{"user_agent.original", ABSENT}, {"client.address", ABSENT}}},
	};
	struct fixture *f = *state;

	f->ex.is_server = 0;
	ROWS(f, rows);
	assert_int_equal(f->span->kind, CLEW_SPAN_CLIENT);
	f->cfg.telemetry.url_query = false;
	build_said(f, &(struct said){.target = "/a?x=1", .host = "h"});
	assert_attr(f, "url.full", "http://h/a");
}

static void test_peers(void **state)
{
	struct fixture *f = *state;

	f->conn.family = AF_INET6;
	inet_pton(AF_INET6, "::ffff:10.1.2.3", f->conn.remote_addr);
	build_said(f, &(struct said){.host = "h"});
	assert_attr(f, "network.peer.address", "10.1.2.3");
	assert_attr(f, "client.address", "10.1.2.3");
	inet_pton(AF_INET6, "2001:db8::5", f->conn.remote_addr);
	build_said(f, &(struct said){.host = "h"});
	assert_attr(f, "network.peer.address", "2001:db8::5");
	assert_attr(f, "network.transport", ABSENT);
	f->conn.family = AF_UNIX;
	f->conn.remote_port = 0;
	build_said(f, &(struct said){.host = "h"});
	assert_attr(f, "network.peer.address", ABSENT);
	assert_attr(f, "network.peer.port", ABSENT);
	assert_attr(f, "client.address", ABSENT);
	assert_attr(f, "network.transport", "unix");
	f->ex.is_server = 0;
	build_said(f, &(struct said){.host = "h"});
	assert_attr(f, "server.address", "h");
	assert_attr(f, "server.port", ABSENT);
}

static void test_outcomes(void **state)
{
	static const struct {
		uint16_t code;
		const char *text, *server, *client; /* error.type */
	} cases[] = {
		{200, "200", ABSENT, ABSENT}, {101, "101", ABSENT, ABSENT},
		{302, "302", ABSENT, ABSENT}, {399, "399", ABSENT, ABSENT},
		{400, "400", ABSENT, "400"},  {404, "404", ABSENT, "404"},
		{499, "499", ABSENT, "499"},  {500, "500", "500", "500"},
		{503, "503", "503", "503"},   {0, ABSENT, "no_response", "no_response"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int server = 0; server < 2; server++) {
			const char *want = server ? cases[i].server : cases[i].client;

			f->ex.is_server = (uint8_t)server;
			f->ex.status = cases[i].code;
			build_said(f, &(struct said){.host = "h"});
			assert_attr(f, "http.response.status_code", cases[i].text);
			assert_attr(f, "error.type", want);
			assert_int_equal(f->span->status,
					 want == ABSENT ? CLEW_STATUS_UNSET : CLEW_STATUS_ERROR);
			assert_int_equal(f->span->status_message.n, 0);
			assert_int_equal(f->span->kind,
					 server ? CLEW_SPAN_SERVER : CLEW_SPAN_CLIENT);
		}
}

/* An HTTP request that came as FastCGI parameters: network.md says what the transport speaks. */
static void test_fastcgi(void **state)
{
	struct fixture *f = *state;

	f->ex.protocol = CLEW_FASTCGI;
	f->conn.family = AF_UNIX;
	f->conn.local_port = f->conn.remote_port = 0;
	build_said(f, &(struct said){.target = "/a?b=c",
				     .host = "h:8443",
				     .xff = "192.0.2.1",
				     .xfp = "https"});
	assert_attr(f, "network.protocol.name", "fastcgi");
	assert_attr(f, "network.protocol.version", "1.0");
	assert_attr(f, "network.transport", "unix");
	assert_attr(f, "client.address", "192.0.2.1");
	assert_attr(f, "server.address", "h");
	assert_attr(f, "server.port", "8443");
	assert_attr(f, "url.scheme", "https");
	assert_attr(f, "url.path", "/a");
	assert_attr(f, "url.query", "b=c");
	f->ex.is_server = 0;
	build_said(f, &(struct said){.target = "/a", .host = "h:8443", .xfp = "https"});
	assert_attr(f, "network.protocol.name", "fastcgi");
	assert_attr(f, "url.full", "https://h:8443/a");
	/* answered, and the status is in what was not seen */
	f->ex.status = 0;
	f->ex.incomplete = CLEW_INC_RESPONSE_HEAD;
	build(f);
	assert_attr(f, "http.response.status_code", ABSENT);
	assert_attr(f, "error.type", ABSENT);
	assert_int_equal(f->span->status, CLEW_STATUS_UNSET);
	f->ex.protocol = CLEW_HTTP1;
	build(f);
	assert_attr(f, "network.protocol.name", ABSENT);
}

static void test_facts(void **state)
{
	struct fixture *f = *state;

	f->ex.req_body = 12;
	f->ex.resp_body = 34;
	f->place.link = CLEW_LINK_EXACT;
	f->place.evidence = "thread";
	build_said(f, &(struct said){.user_agent = "curl/8"});
	assert_attr(f, "user_agent.original", "curl/8");
	assert_attr(f, "network.protocol.version", "1.1");
	assert_attr(f, "http.request.body.size", "12");
	assert_attr(f, "http.response.body.size", "34");
	assert_attr(f, "clew.response.first_byte_ns", "1000");
	assert_attr(f, "clew.response.last_byte_ns", "2000");
	assert_attr(f, "clew.complete", "true");
	assert_attr(f, "clew.missing", ABSENT);
	assert_attr(f, "clew.link", "exact");
	assert_attr(f, "clew.link.evidence", "thread");
	f->place.link = CLEW_LINK_NONE;
	f->place.evidence = NULL;
	f->ex.http_minor = 0;
	f->ex.incomplete = CLEW_INC_REQUEST_BODY | CLEW_INC_RESPONSE_BODY | CLEW_INC_GAP;
	build(f);
	assert_attr(f, "network.protocol.version", "1.0");
	assert_attr(f, "http.request.body.size", ABSENT);
	assert_attr(f, "http.response.body.size", ABSENT);
	assert_attr(f, "clew.complete", "false");
	assert_attr(f, "clew.missing", "request_body,response_body,gap");
	assert_attr(f, "clew.link", "none");
	assert_attr(f, "clew.link.evidence", ABSENT);
	f->ex.status = 0;
	f->ex.incomplete = CLEW_INC_NO_RESPONSE;
	build(f);
	assert_attr(f, "http.response.body.size", ABSENT);
	assert_attr(f, "clew.response.first_byte_ns", ABSENT);
	assert_attr(f, "clew.response.last_byte_ns", ABSENT);
}

static void test_identity(void **state)
{
	static const uint8_t zero[8] = {0};
	struct fixture *f = *state;

	memset(f->place.trace_id, 0xaa, 16);
	memset(f->place.span_id, 0xbb, 8);
	memset(f->place.parent_span_id, 0xcc, 8);
	build_said(f, &(struct said){.host = "h"});
	assert_memory_equal(f->span->trace_id, f->place.trace_id, 16);
	assert_memory_equal(f->span->span_id, f->place.span_id, 8);
	assert_memory_equal(f->span->parent_span_id, zero, 8); /* has_parent was not said */
	assert_int_equal(f->span->flags, CLEW_SPAN_FLAG_HAS_IS_REMOTE);
	assert_ptr_equal(f->span->resource, f->res);
	f->place.has_parent = f->place.sampled = 1;
	build(f);
	assert_memory_equal(f->span->parent_span_id, f->place.parent_span_id, 8);
	assert_int_equal(f->span->flags, 0x301); /* a server's parent is elsewhere */
	f->ex.is_server = 0;
	build(f);
	assert_int_equal(f->span->flags, 0x101); /* a client's is in its own process */
	f->place.parent_remote = 1;
	build(f);
	assert_int_equal(f->span->flags, 0x301);
	f->place.tracestate = put(f, "a=1,b=2");
	f->place.tracestate_of = &f->ex;
	build(f);
	assert_int_equal(f->span->trace_state.n, 7);
	assert_memory_equal(f->span->trace_state.p, "a=1,b=2", 7);
}

static void test_times(void **state)
{
	struct fixture *f = *state;

	build_said(f, &(struct said){.host = "h"});
	assert_int_equal(f->span->start_ns, 1001000);
	assert_int_equal(f->span->end_ns, 1003000);
	f->ex.req_end_ts = 5000; /* answered before all of it was sent */
	build(f);
	assert_int_equal(f->span->end_ns, 1005000);
	f->ex.req_end_ts = f->ex.resp.ts = f->ex.resp_end_ts = 0; /* no end is known */
	build(f);
	assert_int_equal(f->span->end_ns, f->span->start_ns);
	f->wall.offset = -500; /* a clock that was set back */
	build(f);
	assert_int_equal(f->span->start_ns, 500);
}

/* Bytes of any kind, lengths that point anywhere: all stays in its buffer. */
static void test_hostile(void **state)
{
	struct fixture *f = *state;
	struct clew_text *texts[] = {
		&f->ex.method,		 &f->ex.target,	   &f->ex.host,
		&f->ex.user_agent,	 &f->ex.forwarded, &f->ex.x_forwarded_for,
		&f->ex.x_forwarded_proto};
	static const char bytes[] = "[]:;,=\"/?#@&*\0\xff\r\n forhstp1";
	uint32_t seed = 1;

	for (int round = 0; round < 20000; round++) {
		for (int i = 0; i < 64; i++) {
			seed = seed * 1664525 + 1013904223;
			f->ex.text[i] = bytes[(seed >> 16) % (sizeof(bytes) - 1)];
		}
		for (int i = 0; i < 7; i++) {
			seed = seed * 1664525 + 1013904223;
			texts[i]->off = seed >> 26;
			texts[i]->len = (seed >> 16) % (64 - texts[i]->off + 1);
		}
		f->ex.is_server = round & 1;
		build(f);
		assert_true(f->span->text_used <= f->span->text_size);
	}
	for (int i = 0; i < 7; i++) /* outside of the text: as if it was not there */
		*texts[i] = (struct clew_text){CLEW_EXCHANGE_TEXT - 4, 5 + (uint32_t)i};
	f->ex.is_server = 1;
	build(f);
	assert_attr(f, "http.request.method", "_OTHER");
	assert_attr(f, "server.address", ABSENT);
	for (int i = 0; i < 7; i++)
		*texts[i] = (struct clew_text){UINT32_MAX, UINT32_MAX};
	build(f);
	assert_attr(f, "user_agent.original", ABSENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_methods),	TEST(test_server_urls), TEST(test_forwarded),
		TEST(test_client_urls), TEST(test_peers),	TEST(test_outcomes),
		TEST(test_facts),	TEST(test_fastcgi),	TEST(test_identity),
		TEST(test_times),	TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
