/* SPDX-License-Identifier: Apache-2.0 */
/* Spans of exchanges: what a usual one says, and that the room for the fullest is enough. */
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

struct fixture {
	struct clew_config cfg;
	struct clew_conn conn;
	struct clew_exchange ex;
	struct clew_placement place;
	struct clew_resource *res;
};

static struct clew_text put(struct fixture *f, const char *s)
{
	struct clew_text t = {f->ex.text_used, (uint32_t)strlen(s)};

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
	memcpy(f->conn.remote_addr, (uint8_t[]){192, 0, 2, 10}, 4);
	f->conn.remote_port = 54321;
	f->conn.local_port = 8080;
	f->ex.conn = &f->conn;
	f->ex.is_server = f->ex.http_minor = 1;
	f->ex.status = 200;
	f->ex.req.ts = 100;
	f->ex.resp.ts = 130;
	f->ex.resp_end_ts = 150;
	f->place.evidence = "socket-pair";
	f->res = clew_resource__new(0, "", 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clew_resource__put(f->res);
	free(f);
	return 0;
}

static struct clew_span *build(struct fixture *f)
{
	struct clew_wall wall = {.offset = 1000};
	struct clew_span *s = clew_build__http(&f->cfg, &wall, &f->ex, &f->place, f->res);

	assert_non_null(s);
	assert_int_equal(s->dropped_attrs, 0);
	assert_true(s->text_used <= s->text_size);
	return s;
}

/* The attribute as text; NULL: it is not there. */
static const char *get(const struct clew_span *s, const char *key, char buf[2048])
{
	for (uint32_t i = 0; i < s->nr_attrs; i++) {
		const struct clew_attr *a = &s->attrs[i];

		if (strcmp(a->key, key))
			continue;
		if (a->type == CLEW_ATTR_STR)
			snprintf(buf, 2048, "%.*s", (int)a->str.n, a->str.p);
		else
			snprintf(buf, 2048, "%lld",
				 a->type == CLEW_ATTR_INT ? (long long)a->i : a->b);
		return buf;
	}
	return NULL;
}

static void assert_attr(const struct clew_span *s, const char *key, const char *want)
{
	char buf[2048];
	const char *got = get(s, key, buf);

	if (!got)
		fail_msg("%s is missing", key);
	else
		assert_string_equal(got, want);
}

static void test_server(void **state)
{
	struct fixture *f = *state;
	struct clew_span *s;
	char buf[2048];

	f->ex.method = put(f, "GET");
	f->ex.target = put(f, "/a?x=1&sig=s3cret");
	f->ex.host = put(f, "shop.example:81");
	f->ex.user_agent = put(f, "curl/8");
	s = build(f);
	assert_memory_equal(s->name.p, "GET", 3);
	assert_int_equal(s->start_ns, 1100);
	assert_int_equal(s->end_ns, 1150);
	assert_attr(s, "http.request.method", "GET");
	assert_attr(s, "url.path", "/a");
	assert_attr(s, "url.query", "x=1&sig=REDACTED");
	assert_attr(s, "url.scheme", "http");
	assert_attr(s, "server.address", "shop.example");
	assert_attr(s, "server.port", "81");
	assert_attr(s, "network.peer.address", "192.0.2.10");
	assert_attr(s, "network.peer.port", "54321");
	assert_attr(s, "client.address", "192.0.2.10");
	assert_attr(s, "user_agent.original", "curl/8");
	assert_attr(s, "http.response.status_code", "200");
	assert_attr(s, "clew.response.last_byte_ns", "50");
	assert_null(get(s, "error.type", buf));
	assert_int_equal(s->status, CLEW_STATUS_UNSET);
	assert_true(s->text + s->text_size - (char *)s <= 1300);
	clew_span__put(s);
}

static void test_client(void **state)
{
	struct fixture *f = *state;
	struct clew_span *s;

	f->ex.is_server = 0;
	f->ex.status = 404;
	f->ex.method = put(f, "POST");
	f->ex.target = put(f, "/a?token=1&b");
	s = build(f); /* no Host: the peer's address stands in */
	assert_attr(s, "url.full", "http://192.0.2.10/a?token=REDACTED&b");
	assert_attr(s, "server.address", "192.0.2.10");
	assert_attr(s, "server.port", "54321");
	assert_attr(s, "error.type", "404");
	assert_int_equal(s->status, CLEW_STATUS_ERROR);
	clew_span__put(s);
	f->cfg.telemetry.url_query = false;
	f->ex.target = put(f, "https://u:pw@h.example:444/p?q=1");
	s = build(f); /* nothing of the query, nothing of the credentials */
	assert_attr(s, "url.full", "https://h.example:444/p");
	assert_attr(s, "server.port", "444");
	clew_span__put(s);
	f->ex.target = put(f, "/p");
	f->ex.host = put(f, "u:pw@h.example:445"); /* not allowed there, but sent */
	s = build(f);
	assert_attr(s, "url.full", "http://h.example:445/p");
	assert_attr(s, "server.address", "h.example");
	clew_span__put(s);
	f->ex.target = put(f, "*@x"); /* nor that a host */
	s = build(f);
	assert_attr(s, "url.full", "http://h.example:445/*@x");
	clew_span__put(s);
	f->ex.is_server = 1;
	f->ex.target = put(f, "httpx?password=a://b"); /* that is no scheme */
	s = build(f);
	assert_attr(s, "url.scheme", "http");
	clew_span__put(s);
}

static void test_peers(void **state)
{
	static const struct {
		uint16_t family;
		uint8_t addr[16];
		const char *want;
	} cases[] = {
		{AF_INET, {0}, "0.0.0.0"},
		{AF_INET, {255, 99, 100, 9}, "255.99.100.9"},
		{AF_INET6, {[10] = 0xff, 0xff, 10, 0, 0, 1}, "10.0.0.1"},
		{AF_INET6, {[15] = 1}, "::1"},
		{AF_INET6, {0x20, 1, 0x0d, 0xb8, [15] = 0x10}, "2001:db8::10"},
		{AF_UNIX, {0}, NULL},
	};
	struct fixture *f = *state;
	char buf[2048];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clew_span *s;

		f->conn.family = cases[i].family;
		memcpy(f->conn.remote_addr, cases[i].addr, 16);
		s = build(f);
		if (cases[i].want) {
			assert_attr(s, "network.peer.address", cases[i].want);
			assert_attr(s, "client.address", cases[i].want);
		} else {
			assert_attr(s, "network.transport", "unix");
			assert_null(get(s, "client.address", buf));
		}
		clew_span__put(s);
	}
}

/* All that may be there, as long as it may be: nothing is dropped, the last text is whole. */
static void test_fullest(void **state)
{
	struct fixture *f = *state;
	char buf[2048];
	struct clew_exchange *other = calloc(1, sizeof(*other));

	memset(other->text, 't', sizeof(other->text));
	f->place.tracestate_of = other;
	f->place.tracestate.len = sizeof(other->text);
	f->conn.family = AF_INET6;
	memset(f->conn.remote_addr, 0xaa, 16);
	f->ex.incomplete = CLEW_INC_REQUEST_HEAD | CLEW_INC_RESPONSE_HEAD | CLEW_INC_ABORTED |
			   CLEW_INC_NO_RESPONSE | CLEW_INC_GAP;
	f->ex.status = 65535;
	f->ex.method = put(f, "PURGE");
	f->ex.target = put(f, "/?sig=&sig=&sig=&sig=&sig=&sig=&sig=&sig=&sig=&sig=&"
			      "sig=&sig=&sig=&sig=&sig=&sig=&sig=&sig=&sig=&sig=");
	f->ex.forwarded = put(f, "for=\"[2001:db8::1]:1\";proto=https;host=a.example:1");
	f->ex.x_forwarded_for = put(f, "10.0.0.1");
	f->ex.x_forwarded_proto = put(f, "https");
	f->ex.user_agent = put(f, "agent");
	for (int i = 0; i < 4; i++) {
		const char *missing = "request_head,response_head,aborted,no_response,gap";
		struct clew_span *s;

		f->ex.is_server = !(i & 1);
		if (i == 2)
			f->ex.host = put(f, "a.host.with.a.name.example:12345");
		s = build(f);
		assert_int_equal(s->trace_state.n, sizeof(other->text));
		assert_attr(s, "http.request.method_original", "PURGE");
		assert_attr(s, "error.type", "65535");
		assert_attr(s, "clew.missing", missing);
		assert_non_null(get(s, f->ex.is_server ? "url.query" : "url.full", buf));
		assert_string_equal(strrchr(buf, '&'), "&sig=REDACTED");
		assert_int_equal(s->nr_attrs, f->ex.is_server ? 22 : 18);
		clew_span__put(s);
	}
	free(other);
}

/* Next to nothing was captured: what stands in for it has room too. */
static void test_barest(void **state)
{
	struct fixture *f = *state;
	struct clew_span *s;

	f->conn.family = AF_UNIX;
	f->ex.status = 65535;
	s = build(f);
	assert_attr(s, "url.path", "/");
	assert_attr(s, "error.type", "65535");
	clew_span__put(s);
	f->ex.is_server = 0;
	s = build(f);
	assert_attr(s, "url.full", "http:///");
	assert_attr(s, "error.type", "65535");
	clew_span__put(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_server, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fullest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_barest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
