/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.c - builds the span of an HTTP exchange by the stable semantic conventions: http-spans.md
 * (names, attributes, status), url.md (redaction), network.md. What clew adds is under `clew.`:
 * link and its evidence, completeness, time to the first and to the last byte of the response.
 *
 * Everything is read from the exchange's own text, which came over the wire: every length is
 * checked, nothing is interpreted beyond what is said here.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <clew/build.h>

#define ATTRS_MAX 32
#define TEXT_EXTRA 512 /* peer addresses, codes, the scheme */
#define URL_MAX 1024

struct view {
	const char *p;
	size_t n;
};

/* A target split by RFC 9112 3.2: origin-form, absolute-form, authority-form or "*". */
struct target {
	struct view scheme, authority, path, query;
};

static struct view text(const struct clew_exchange *ex, struct clew_text t)
{
	if (!t.len || t.off + t.len > sizeof(ex->text))
		return (struct view){"", 0};
	return (struct view){ex->text + t.off, t.len};
}

static struct view sub(struct view v, size_t from)
{
	return (struct view){v.p + from, v.n - from};
}

static void split_target(struct view t, struct target *ret)
{
	const char *sep;

	memset(ret, 0, sizeof(*ret));
	if (t.n && t.p[0] != '/' && t.p[0] != '*') {
		sep = memmem(t.p, t.n, "://", 3);
		if (sep) {
			ret->scheme = (struct view){t.p, (size_t)(sep - t.p)};
			t = sub(t, ret->scheme.n + 3);
		}
		sep = memchr(t.p, '/', t.n);
		ret->authority = (struct view){t.p, sep ? (size_t)(sep - t.p) : t.n};
		t = sub(t, ret->authority.n);
		sep = memchr(ret->authority.p, '@', ret->authority.n);
		if (sep) /* credentials never leave */
			ret->authority = sub(ret->authority, (size_t)(sep - ret->authority.p) + 1);
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

static size_t peer_text(uint16_t family, const uint8_t *addr, char *buf, size_t n)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (family == AF_INET6 && !memcmp(addr, mapped, sizeof(mapped))) {
		family = AF_INET;
		addr += sizeof(mapped);
	}
	if ((family != AF_INET && family != AF_INET6) || !inet_ntop(family, addr, buf, (socklen_t)n))
		return 0;
	return strlen(buf);
}

static void add(struct clew_span *s, const char *key, struct view v)
{
	if (v.n)
		clew_span__str(s, key, v.p, v.n);
}

static const char *const methods[] = {"GET",	 "POST",    "PUT",   "DELETE", "HEAD",
				      "OPTIONS", "CONNECT", "TRACE", "PATCH",  "QUERY"};

/* A known method as it is; any other is "_OTHER", and the span is named HTTP. */
static void add_method(struct clew_span *s, struct view method)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strlen(methods[i]) != method.n || memcmp(methods[i], method.p, method.n))
			continue;
		s->name = clew_str__lit(methods[i]);
		clew_span__lit(s, "http.request.method", methods[i]);
		return;
	}
	s->name = clew_str__lit("HTTP");
	clew_span__lit(s, "http.request.method", "_OTHER");
	add(s, "http.request.method_original", method);
}

static void add_query(const struct clew_config *cfg, struct clew_span *s, struct view query)
{
	char buf[URL_MAX];

	if (query.n && cfg->telemetry.url_query)
		clew_span__str(s, "url.query", buf,
			       clew_redact__query(query.p, query.n, buf, sizeof(buf)));
}

static void add_peer(struct clew_span *s, const struct clew_conn *c, char *buf, size_t n)
{
	size_t len = peer_text(c->family, c->remote_addr, buf, n);

	if (!len) {
		if (c->family == AF_UNIX)
			clew_span__lit(s, "network.transport", "unix");
		return;
	}
	clew_span__str(s, "network.peer.address", buf, len);
	clew_span__int(s, "network.peer.port", c->remote_port);
}

static void add_server_side(const struct clew_config *cfg, struct clew_span *s,
			    const struct clew_exchange *ex, const struct target *t)
{
	struct view fwd = text(ex, ex->forwarded), scheme, host, client;
	char peer[INET6_ADDRSTRLEN];
	int port;

	add(s, "url.path", t->path);
	add_query(cfg, s, t->query);
	scheme = forwarded(fwd, "proto");
	if (!scheme.n)
		scheme = text(ex, ex->x_forwarded_proto);
	if (!scheme.n)
		scheme = t->scheme.n ? t->scheme : (struct view){"http", 4};
	add(s, "url.scheme", scheme);
	host = forwarded(fwd, "host");
	if (!host.n)
		host = t->authority.n ? t->authority : text(ex, ex->host);
	port = split_host(host, &host);
	add(s, "server.address", host);
	if (host.n)
		clew_span__int(s, "server.port", port ? port : ex->conn->local_port);
	add_peer(s, ex->conn, peer, sizeof(peer));
	client = forwarded(fwd, "for");
	if (!client.n) {
		const char *comma;

		client = text(ex, ex->x_forwarded_for);
		comma = memchr(client.p, ',', client.n);
		if (comma)
			client.n = (size_t)(comma - client.p);
	} else {
		split_host(client, &client);
	}
	if (client.n)
		add(s, "client.address", client);
	else if (peer_text(ex->conn->family, ex->conn->remote_addr, peer, sizeof(peer)))
		clew_span__str(s, "client.address", peer, strlen(peer));
	add(s, "user_agent.original", text(ex, ex->user_agent));
}

static void add_client_side(const struct clew_config *cfg, struct clew_span *s,
			    const struct clew_exchange *ex, const struct target *t)
{
	struct view host = t->authority.n ? t->authority : text(ex, ex->host), name;
	char peer[INET6_ADDRSTRLEN], url[2 * URL_MAX];
	size_t n, peer_n = peer_text(ex->conn->family, ex->conn->remote_addr, peer, sizeof(peer));
	int port = split_host(host, &name), len;

	if (!name.n)
		name = (struct view){peer, peer_n};
	add(s, "server.address", name);
	if (port || ex->conn->remote_port)
		clew_span__int(s, "server.port", port ? port : ex->conn->remote_port);
	add_peer(s, ex->conn, peer, sizeof(peer));
	if (!host.n)
		host = name;
	len = snprintf(url, sizeof(url), "%.*s://%.*s%.*s", t->scheme.n ? (int)t->scheme.n : 4,
		       t->scheme.n ? t->scheme.p : "http", (int)host.n, host.p, (int)t->path.n,
		       t->path.p);
	if (len < 0 || (size_t)len >= sizeof(url))
		return;
	n = (size_t)len;
	if (t->query.n && cfg->telemetry.url_query && n + 1 < sizeof(url)) {
		url[n++] = '?';
		n += clew_redact__query(t->query.p, t->query.n, url + n, sizeof(url) - n);
	}
	clew_span__str(s, "url.full", url, n);
}

/* Server: 4xx is the client's business; client: 4xx and 5xx are errors. No answer is one too. */
static void add_outcome(struct clew_span *s, const struct clew_exchange *ex)
{
	char code[8];

	if (ex->status) {
		clew_span__int(s, "http.response.status_code", ex->status);
		if (ex->status < (ex->is_server ? 500 : 400))
			return;
		snprintf(code, sizeof(code), "%u", ex->status);
		clew_span__str(s, "error.type", code, strlen(code));
	} else {
		clew_span__lit(s, "error.type", "no_response");
	}
	s->status = CLEW_STATUS_ERROR;
}

/* Which parts were not seen: a comma-separated list. */
static void add_incomplete(struct clew_span *s, unsigned int bits)
{
	static const char *const names[] = {"request_head",  "request_body", "response_head",
					    "response_body", "aborted",	     "no_response",
					    "gap"};
	char list[96];
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

struct clew_span *clew_build__http(const struct clew_config *cfg, const struct clew_wall *wall,
				   const struct clew_exchange *ex,
				   const struct clew_placement *place, struct clew_resource *res)
{
	struct clew_span *s = clew_span__new(ATTRS_MAX, 2 * (size_t)ex->text_used + TEXT_EXTRA);
	struct target t;

	if (!s)
		return NULL;
	s->resource = clew_resource__get(res);
	set_identity(s, wall, ex, place);
	split_target(text(ex, ex->target), &t);
	add_method(s, text(ex, ex->method));
	if (ex->is_server)
		add_server_side(cfg, s, ex, &t);
	else
		add_client_side(cfg, s, ex, &t);
	clew_span__lit(s, "network.protocol.version", ex->http_minor ? "1.1" : "1.0");
	add_outcome(s, ex);
	add_facts(s, ex, place);
	return s;
}
