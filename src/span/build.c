/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.c - builds the span of an HTTP exchange by the stable semantic conventions: http-spans.md
 * (names, attributes, status), url.md (redaction), network.md. What clew adds is under `clew.`:
 * link and its evidence, completeness, time to the first and to the last byte of the response.
 *
 * Everything is read from the exchange's own text, which came over the wire: every length is
 * checked, nothing is interpreted beyond what is said here.
 *
 * This runs once per request, and spans wait in queues: the room is what this span can use at
 * most, and texts are put together in the span itself.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include <clew/build.h>

/* All that are added below; test_build.c holds that none is dropped. */
#define SERVER_ATTRS 23
#define CLIENT_ATTRS 19
#define MISSING_MAX  96 /* clew.missing */
#define CODE_MAX     5	/* error.type */
#define URL_MAX	     1024

struct view {
	const char *p;
	size_t n;
};

#define VIEW(literal) ((struct view){literal, sizeof(literal) - 1})

/* A target split by RFC 9112 3.2: origin-form, absolute-form, authority-form or "*". */
struct target {
	struct view scheme, authority, path, query;
};

static struct view text(const struct clew_exchange *ex, struct clew_text t)
{
	if (!t.len || t.off > sizeof(ex->text) || t.len > sizeof(ex->text) - t.off)
		return (struct view){"", 0};
	return (struct view){ex->text + t.off, t.len};
}

static struct view sub(struct view v, size_t from)
{
	return (struct view){v.p + from, v.n - from};
}

/* "user:password@host": credentials never leave. */
static struct view without_user(struct view authority)
{
	const char *at = memrchr(authority.p, '@', authority.n);

	return at ? sub(authority, (size_t)(at - authority.p) + 1) : authority;
}

/* RFC 3986 3.1: a "://" further on is somebody's query. */
static size_t scheme_length(struct view t)
{
	size_t n = 0;

	while (n < t.n && (isalnum((unsigned char)t.p[n]) || (t.p[n] && strchr("+-.", t.p[n]))))
		n++;
	return n;
}

/* What a header calls a scheme, if it is one. */
static struct view scheme_of(struct view v)
{
	return scheme_length(v) == v.n ? v : (struct view){"", 0};
}

static void split_target(struct view t, struct target *ret)
{
	const char *sep;
	size_t n;

	memset(ret, 0, sizeof(*ret));
	if (t.n && t.p[0] != '/' && t.p[0] != '*') {
		n = scheme_length(t);
		if (n + 3 <= t.n && !memcmp(t.p + n, "://", 3)) {
			ret->scheme = (struct view){t.p, n};
			t = sub(t, n + 3);
		}
		ret->authority = (struct view){t.p, 0};
		while (ret->authority.n < t.n && !strchr("/?#", t.p[ret->authority.n]))
			ret->authority.n++; /* RFC 3986 3.2; a NUL ends it too */
		t = sub(t, ret->authority.n);
		ret->authority = without_user(ret->authority);
	}
	sep = memchr(t.p, '?', t.n);
	ret->path = (struct view){t.p, sep ? (size_t)(sep - t.p) : t.n};
	if (sep)
		ret->query = sub(t, ret->path.n + 1);
	sep = memchr(ret->path.p, '#', ret->path.n);
	if (sep)
		ret->path.n = (size_t)(sep - ret->path.p);
	if (!ret->path.n && !ret->authority.n)
		ret->path = (struct view){"/", 1};
}

/* "host:port", "[v6]:port" or "host". Returns the port, or 0. */
static int split_host(struct view v, struct view *ret_host)
{
	size_t colon = v.n;
	int port = 0;

	if (v.n && v.p[0] == '[') {
		const char *end = memchr(v.p, ']', v.n);

		if (!end) {
			*ret_host = (struct view){"", 0};
			return 0;
		}
		*ret_host = (struct view){v.p + 1, (size_t)(end - v.p) - 1};
		colon = (size_t)(end - v.p) + 1;
	} else {
		const char *c = memchr(v.p, ':', v.n);

		if (c)
			colon = (size_t)(c - v.p);
		*ret_host = (struct view){v.p, colon};
	}
	for (size_t i = colon + 1; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9' || port > 6553)
			return 0;
		port = port * 10 + (v.p[i] - '0');
	}
	return port > 65535 ? 0 : port;
}

/* The value of `name` in the first element of a Forwarded header (RFC 7239), unquoted. */
static struct view forwarded(struct view v, const char *name)
{
	size_t n = strlen(name), i = 0;

	while (i < v.n && v.p[i] != ',') {
		size_t end = i;

		while (end < v.n && v.p[end] != ';' && v.p[end] != ',')
			end++;
		while (i < end && v.p[i] == ' ')
			i++;
		if (end - i > n && v.p[i + n] == '=' && !strncasecmp(v.p + i, name, n)) {
			struct view r = {v.p + i + n + 1, end - i - n - 1};

			if (r.n >= 2 && r.p[0] == '"' && r.p[r.n - 1] == '"')
				r = (struct view){r.p + 1, r.n - 2};
			return r;
		}
		i = end < v.n && v.p[end] == ';' ? end + 1 : end;
	}
	return (struct view){"", 0};
}

/* Decimal; v has at most five digits. */
static size_t put_decimal(char *to, unsigned int v)
{
	size_t n = v < 10 ? 1 : v < 100 ? 2 : v < 1000 ? 3 : v < 10000 ? 4 : 5;

	for (size_t i = n; i--; v /= 10)
		to[i] = (char)('0' + v % 10);
	return n;
}

/* inet_ntop() prints an IPv4 address by a format; nearly all addresses are these. */
static size_t put_ipv4(char *to, const uint8_t *addr)
{
	size_t n = 0;

	for (int i = 0; i < 4; i++) {
		n += put_decimal(to + n, addr[i]);
		to[n++] = '.';
	}
	return n - 1;
}

/* The peer's address as text; empty when it has none. */
static struct view peer_text(const struct clew_conn *c, char buf[INET6_ADDRSTRLEN])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (c->family == AF_INET)
		return (struct view){buf, put_ipv4(buf, c->remote_addr)};
	if (c->family != AF_INET6)
		return VIEW("");
	if (!memcmp(c->remote_addr, mapped, sizeof(mapped)))
		return (struct view){buf, put_ipv4(buf, c->remote_addr + sizeof(mapped))};
	if (!inet_ntop(AF_INET6, c->remote_addr, buf, INET6_ADDRSTRLEN))
		return VIEW("");
	return (struct view){buf, strlen(buf)};
}

static void add(struct clew_span *s, const char *key, struct view v)
{
	if (v.n)
		clew_span__str(s, key, v.p, v.n);
}

#define METHOD(m) {m, sizeof(m) - 1}
static const struct clew_str methods[] = {
	METHOD("GET"),	   METHOD("POST"),    METHOD("PUT"),   METHOD("DELETE"), METHOD("HEAD"),
	METHOD("OPTIONS"), METHOD("CONNECT"), METHOD("TRACE"), METHOD("PATCH"),	 METHOD("QUERY")};

/* A known method as it is; any other is "_OTHER", and the span is named HTTP. */
static void add_method(struct clew_span *s, struct view method)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (methods[i].n != method.n || memcmp(methods[i].p, method.p, method.n))
			continue;
		s->name = methods[i];
		clew_span__ref(s, "http.request.method", methods[i]);
		return;
	}
	s->name = clew_str__lit("HTTP");
	clew_span__lit(s, "http.request.method", "_OTHER");
	add(s, "http.request.method_original", method);
}

/* A query into the span's text, at most `cap` bytes. */
static struct clew_str put_query(struct clew_span *s, struct view query, size_t cap)
{
	char *to = s->text + s->text_used;
	size_t left = s->text_size - s->text_used, n;

	n = clew_redact__query(query.p, query.n, to, cap < left ? cap : left);
	s->text_used += n;
	return (struct clew_str){to, (uint32_t)n};
}

/* Returns the address in the span's own text. */
static struct clew_str add_peer(struct clew_span *s, const struct clew_conn *c, struct view peer)
{
	struct clew_str own = clew_span__text(s, peer.p, peer.n);

	if (own.n) {
		clew_span__ref(s, "network.peer.address", own);
		clew_span__int(s, "network.peer.port", c->remote_port);
	} else if (c->family == AF_UNIX) {
		clew_span__lit(s, "network.transport", "unix");
	}
	return own;
}

static void add_client_address(struct clew_span *s, const struct clew_exchange *ex, struct view fwd,
			       struct clew_str peer)
{
	struct view client = forwarded(fwd, "for");

	if (client.n) {
		split_host(client, &client);
	} else {
		const char *comma;

		client = text(ex, ex->x_forwarded_for);
		comma = memchr(client.p, ',', client.n);
		if (comma)
			client.n = (size_t)(comma - client.p);
	}
	if (client.n)
		add(s, "client.address", client);
	else if (peer.n)
		clew_span__ref(s, "client.address", peer);
}

static void add_server_side(const struct clew_config *cfg, struct clew_span *s,
			    const struct clew_exchange *ex, const struct target *t,
			    struct view peer)
{
	struct view fwd = text(ex, ex->forwarded), scheme, host;
	int port;

	add(s, "url.path", t->path);
	if (t->query.n && cfg->telemetry.url_query)
		clew_span__ref(s, "url.query", put_query(s, t->query, URL_MAX));
	scheme = scheme_of(forwarded(fwd, "proto"));
	if (!scheme.n)
		scheme = scheme_of(text(ex, ex->x_forwarded_proto));
	if (!scheme.n)
		scheme = t->scheme;
	if (scheme.n)
		add(s, "url.scheme", scheme);
	else
		clew_span__lit(s, "url.scheme", "http");
	host = forwarded(fwd, "host");
	if (!host.n)
		host = t->authority.n ? t->authority : text(ex, ex->host);
	host = without_user(host);
	port = split_host(host, &host);
	add(s, "server.address", host);
	if (host.n)
		clew_span__int(s, "server.port", port ? port : ex->conn->local_port);
	add_client_address(s, ex, fwd, add_peer(s, ex->conn, peer));
	add(s, "user_agent.original", text(ex, ex->user_agent));
}

static void append(struct clew_span *s, struct clew_str *url, struct view v)
{
	url->n += clew_span__text(s, v.p, v.n).n;
}

static void add_client_side(const struct clew_config *cfg, struct clew_span *s,
			    const struct clew_exchange *ex, const struct target *t,
			    struct view peer)
{
	struct view host = without_user(t->authority.n ? t->authority : text(ex, ex->host)), name;
	struct view scheme = t->scheme;
	int port = split_host(host, &name);
	struct clew_str url;

	if (!name.n)
		name = peer;
	add(s, "server.address", name);
	if (port || ex->conn->remote_port)
		clew_span__int(s, "server.port", port ? port : ex->conn->remote_port);
	add_peer(s, ex->conn, peer);
	/* a web server tells its application how it was asked itself */
	if (!scheme.n && ex->protocol == CLEW_FASTCGI)
		scheme = scheme_of(text(ex, ex->x_forwarded_proto));
	url = clew_span__text(s, "", 0);
	append(s, &url, scheme.n ? scheme : VIEW("http"));
	append(s, &url, VIEW("://"));
	append(s, &url, host.n ? host : name);
	if (t->path.n && t->path.p[0] != '/') /* "*": not a part of the host */
		append(s, &url, VIEW("/"));
	append(s, &url, t->path);
	if (t->query.n && cfg->telemetry.url_query) {
		append(s, &url, VIEW("?"));
		url.n += put_query(s, t->query, URL_MAX).n;
	}
	clew_span__ref(s, "url.full", url);
}

/* Server: 4xx is the client's business; client: 4xx and 5xx are errors. No answer is one too. */
static void add_outcome(struct clew_span *s, const struct clew_exchange *ex)
{
	char code[CODE_MAX];

	if (ex->status) {
		clew_span__int(s, "http.response.status_code", ex->status);
		if (ex->status < (ex->is_server ? 500 : 400))
			return;
		clew_span__str(s, "error.type", code, put_decimal(code, ex->status));
	} else if (ex->incomplete & CLEW_INC_RESPONSE_HEAD) {
		return; /* answered, and the status is in the part that is missing */
	} else {
		clew_span__lit(s, "error.type", "no_response");
	}
	s->status = CLEW_STATUS_ERROR;
}

/* Which parts were not seen: a comma-separated list. */
static void add_incomplete(struct clew_span *s, unsigned int bits)
{
	static const char *const names[] = {
		"request_head", "request_body", "response_head", "response_body", "aborted",
		"no_response",	"gap"};
	char list[MISSING_MAX];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);

		if (!(bits & (1U << i)) || n + len + 1 > sizeof(list))
			continue;
		if (n)
			list[n++] = ',';
		memcpy(list + n, names[i], len);
		n += len;
	}
	clew_span__str(s, "clew.missing", list, n);
}

static void add_facts(struct clew_span *s, const struct clew_exchange *ex,
		      const struct clew_placement *place)
{
	static const char *const links[] = {"none", "inferred", "exact"};

	if (!(ex->incomplete & CLEW_INC_REQUEST_BODY))
		clew_span__int(s, "http.request.body.size", (int64_t)ex->req_body);
	if (ex->status && !(ex->incomplete & CLEW_INC_RESPONSE_BODY))
		clew_span__int(s, "http.response.body.size", (int64_t)ex->resp_body);
	if (ex->status) {
		clew_span__int(s, "clew.response.first_byte_ns",
			       (int64_t)(ex->resp.ts - ex->req.ts));
		clew_span__int(s, "clew.response.last_byte_ns",
			       (int64_t)(ex->resp_end_ts - ex->req.ts));
	}
	clew_span__lit(s, "clew.link", links[place->link]);
	if (place->evidence)
		clew_span__lit(s, "clew.link.evidence", place->evidence);
	clew_span__bool(s, "clew.complete", !ex->incomplete);
	if (ex->incomplete)
		add_incomplete(s, ex->incomplete);
}

static void set_identity(struct clew_span *s, const struct clew_wall *wall,
			 const struct clew_exchange *ex, const struct clew_placement *place)
{
	uint64_t end = ex->resp_end_ts;

	memcpy(s->trace_id, place->trace_id, sizeof(s->trace_id));
	memcpy(s->span_id, place->span_id, sizeof(s->span_id));
	if (place->has_parent)
		memcpy(s->parent_span_id, place->parent_span_id, sizeof(s->parent_span_id));
	s->flags = place->sampled ? CLEW_SPAN_FLAG_SAMPLED : 0;
	s->flags |= CLEW_SPAN_FLAG_HAS_IS_REMOTE;
	/* a server's parent lives in another process, whether a header named it or the join */
	if (place->has_parent && (place->parent_remote || ex->is_server))
		s->flags |= CLEW_SPAN_FLAG_IS_REMOTE;
	s->kind = ex->is_server ? CLEW_SPAN_SERVER : CLEW_SPAN_CLIENT;
	s->link = place->link;
	if (end < ex->resp.ts)
		end = ex->resp.ts;
	if (end < ex->req_end_ts)
		end = ex->req_end_ts;
	if (end < ex->req.ts)
		end = ex->req.ts;
	s->start_ns = ex->req.ts + (uint64_t)wall->offset;
	s->end_ns = end + (uint64_t)wall->offset;
	if (place->tracestate_of) {
		struct view ts = text(place->tracestate_of, place->tracestate);

		s->trace_state = clew_span__text(s, ts.p, ts.n);
	}
}

/*
 * How much text the span can have at most. What a header or a part of the target says goes into
 * one attribute, but for the host of a request that is sent: that is in url.full as well.
 */
static size_t text_room(const struct clew_exchange *ex, const struct clew_placement *place,
			const struct target *t, struct view peer)
{
	/* "/" stands for a path that is missing */
	size_t n = text(ex, ex->target).n + strlen("/") + text(ex, ex->host).n + peer.n + CODE_MAX;

	if (ex->is_server)
		n += text(ex, ex->user_agent).n + text(ex, ex->forwarded).n +
		     text(ex, ex->x_forwarded_for).n + text(ex, ex->x_forwarded_proto).n;
	else
		n += strlen("http:///?") + text(ex, ex->host).n + t->authority.n + 2 * peer.n +
		     text(ex, ex->x_forwarded_proto).n;
	n += text(ex, ex->method).n; /* one that is not known */
	if (place->tracestate_of)
		n += text(place->tracestate_of, place->tracestate).n;
	if (ex->incomplete)
		n += MISSING_MAX;
	/* a value that is redacted may have been empty */
	for (size_t i = 0; i < t->query.n; i++)
		n += t->query.p[i] == '=' ? strlen("REDACTED") : 0;
	return n;
}

struct clew_span *clew_build__http(const struct clew_config *cfg, const struct clew_wall *wall,
				   const struct clew_exchange *ex,
				   const struct clew_placement *place, struct clew_resource *res)
{
	char buf[INET6_ADDRSTRLEN];
	struct view peer = peer_text(ex->conn, buf);
	struct clew_span *s;
	struct target t;

	split_target(text(ex, ex->target), &t);
	s = clew_span__new(ex->is_server ? SERVER_ATTRS : CLIENT_ATTRS,
			   text_room(ex, place, &t, peer));
	if (!s)
		return NULL;
	s->resource = clew_resource__get(res);
	set_identity(s, wall, ex, place);
	add_method(s, text(ex, ex->method));
	if (ex->is_server)
		add_server_side(cfg, s, ex, &t, peer);
	else
		add_client_side(cfg, s, ex, &t, peer);
	if (ex->protocol == CLEW_FASTCGI)
		clew_span__lit(s, "network.protocol.name", "fastcgi");
	clew_span__lit(s, "network.protocol.version",
		       ex->protocol == CLEW_HTTP1 && ex->http_minor ? "1.1" : "1.0");
	add_outcome(s, ex);
	add_facts(s, ex, place);
	return s;
}
