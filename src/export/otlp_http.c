/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP over HTTP (OTLP specification, "OTLP/HTTP"), protobuf and JSON, by libcurl. One easy
 * handle and one connection per exporter, kept alive between batches. The transfer is driven
 * through the multi interface because that one can be woken from another thread: an agent that
 * stops need not wait for a slow receiver.
 *
 * A response with a 2xx status counts as delivered even when its body is cut off: the receiver
 * has taken the spans, sending them again would double them. No answer at all is tried again.
 *
 * A proxy from the environment is libcurl's to find, except for this machine itself: spans for a
 * local Collector must not leave the host because somebody set http_proxy.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "export/gzip.h"
#include "export/otlp_net.h"
#include "export/processor.h"

#define RETRY_AFTER_MAX_S (24 * 3600)

struct http_state {
	const struct clew_export_config *cfg;
	bool json, no_metrics;
	int cancel; /* atomic */
	CURLM *multi;
	CURL *easy;
	struct curl_slist *headers;
	struct clew_otlp_buf pb;
	struct clew_json text;
	struct clew_otlp_groups groups;
	struct clew_gzip gzip;
	size_t answer_len;
	char answer[CLEW_OTLP_ANSWER_MAX + 1]; /* NUL terminated */
	char curl_error[CURL_ERROR_SIZE];
};

/* What came back of one request. */
struct http_reply {
	CURLcode code;
	long status; /* 0: none */
	curl_off_t retry_after_s;
	bool is_json, is_protobuf;
};

/* What does not fit is read and forgotten: no receiver has that much to say. */
static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_state *h = arg;
	size_t room = CLEW_OTLP_ANSWER_MAX - h->answer_len, take = size * n;

	if (take > room)
		take = room;
	memcpy(h->answer + h->answer_len, p, take);
	h->answer_len += take;
	h->answer[h->answer_len] = 0;
	return size * n;
}

/* ---- open and close ----------------------------------------------------------------------- */

static void http_close(void *state)
{
	struct http_state *h = state;

	if (!h)
		return;
	if (h->easy)
		curl_easy_cleanup(h->easy);
	if (h->multi)
		curl_multi_cleanup(h->multi);
	curl_slist_free_all(h->headers);
	clew_otlp_buf__free(&h->pb);
	clew_json__free(&h->text);
	clew_otlp_groups__free(&h->groups);
	clew_gzip__free(&h->gzip);
	free(h);
	curl_global_cleanup();
}

static int check_url(const char *url, bool *ret_loopback, char *errbuf, size_t n)
{
	char *scheme = NULL, *host = NULL;
	CURLU *u = curl_url();
	int err = 0;

	if (!u || curl_url_set(u, CURLUPART_URL, url, 0) ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) ||
	    (strcmp(scheme, "http") && strcmp(scheme, "https"))) {
		snprintf(errbuf, n, "%.120s is no http:// or https:// URL", url);
		err = -EINVAL;
	} else {
		*ret_loopback = clew_otlp__is_loopback(host);
	}
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(u);
	return err;
}

static int add_header(struct http_state *h, const char *name, const char *value)
{
	struct curl_slist *more;
	char *line;

	/* libcurl's notation: "name;" is a header without a value */
	if (asprintf(&line, *value ? "%s: %s" : "%s;", name, value) < 0)
		return -ENOMEM;
	more = curl_slist_append(h->headers, line);
	free(line);
	if (!more)
		return -ENOMEM;
	h->headers = more;
	return 0;
}

static int make_headers(struct http_state *h)
{
	const struct clew_export_config *cfg = h->cfg;
	int err = add_header(h, "Content-Type",
			     h->json ? "application/json" : "application/x-protobuf");

	if (!err && cfg->compression == CLEW_COMPRESS_GZIP)
		err = add_header(h, "Content-Encoding", "gzip");
	if (!err) {
		/* no "Expect: 100-continue": it costs a round trip, or a second */
		struct curl_slist *more = curl_slist_append(h->headers, "Expect:");

		err = more ? 0 : -ENOMEM;
		h->headers = more ? more : h->headers;
	}
	for (uint32_t i = 0; i < cfg->nr_headers && !err; i++)
		err = add_header(h, cfg->headers[i].name, cfg->headers[i].value);
	return err;
}

static void set_options(struct http_state *h, bool loopback)
{
	const struct clew_export_config *cfg = h->cfg;
	CURL *e = h->easy;

	curl_easy_setopt(e, CURLOPT_HTTPHEADER, h->headers);
	curl_easy_setopt(e, CURLOPT_USERAGENT, CLEW_OTLP_USER_AGENT);
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->curl_error);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)clew_otlp__timeout_ms(cfg));
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	/* HTTP/2 only where TLS negotiates it */
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	if (loopback)
		curl_easy_setopt(e, CURLOPT_PROXY, "");
	if (cfg->certificate)
		curl_easy_setopt(e, CURLOPT_CAINFO, cfg->certificate);
	if (cfg->client_certificate) {
		curl_easy_setopt(e, CURLOPT_SSLCERT, cfg->client_certificate);
		curl_easy_setopt(e, CURLOPT_SSLKEY, cfg->client_key);
	}
}

static int http_open_as(const struct clew_export_config *cfg, bool json, void **ret_state,
			char *errbuf, size_t n)
{
	struct http_state *h;
	bool loopback;
	int err = clew_otlp__check(cfg, errbuf, n);

	if (!err)
		err = check_url(cfg->target, &loopback, errbuf, n);
	if (err)
		return err;
	h = calloc(1, sizeof(*h));
	if (!h || curl_global_init(CURL_GLOBAL_DEFAULT)) {
		free(h);
		snprintf(errbuf, n, "out of memory");
		return -ENOMEM;
	}
	h->cfg = cfg;
	h->json = json;
	clew_otlp_buf__init(&h->pb, CLEW_OTLP_REQUEST_MAX);
	clew_json__init(&h->text, CLEW_OTLP_REQUEST_MAX);
	h->multi = curl_multi_init();
	h->easy = curl_easy_init();
	if (!h->multi || !h->easy || make_headers(h)) {
		snprintf(errbuf, n, "out of memory");
		http_close(h);
		return -ENOMEM;
	}
	set_options(h, loopback);
	*ret_state = h;
	return 0;
}

static int http_open(const struct clew_export_config *cfg, void **ret_state, char *errbuf, size_t n)
{
	return http_open_as(cfg, false, ret_state, errbuf, n);
}

static int json_open(const struct clew_export_config *cfg, void **ret_state, char *errbuf, size_t n)
{
	return http_open_as(cfg, true, ret_state, errbuf, n);
}

/* ---- one request -------------------------------------------------------------------------- */

static CURLcode transfer(struct http_state *h)
{
	CURLcode code = CURLE_ABORTED_BY_CALLBACK;
	int running = 1, left;
	CURLMsg *msg;

	if (curl_multi_add_handle(h->multi, h->easy))
		return CURLE_OUT_OF_MEMORY;
	while (running && !__atomic_load_n(&h->cancel, __ATOMIC_RELAXED)) {
		if (curl_multi_perform(h->multi, &running))
			break;
		if (running)
			curl_multi_poll(h->multi, NULL, 0, 1000, NULL);
	}
	while ((msg = curl_multi_info_read(h->multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			code = msg->data.result;
	curl_multi_remove_handle(h->multi, h->easy);
	return code;
}

static void post(struct http_state *h, const char *url, const void *body, size_t n,
		 struct http_reply *ret)
{
	char *type = NULL;

	memset(ret, 0, sizeof(*ret));
	h->answer_len = 0;
	h->answer[0] = 0;
	h->curl_error[0] = 0;
	curl_easy_setopt(h->easy, CURLOPT_URL, url);
	curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
	ret->code = transfer(h);
	curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &ret->status);
	curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &ret->retry_after_s);
	curl_easy_getinfo(h->easy, CURLINFO_CONTENT_TYPE, &type);
	ret->is_json = type && !strncasecmp(type, "application/json", 16);
	ret->is_protobuf = type && !strncasecmp(type, "application/x-protobuf", 22);
}

/* The body to send, compressed if so configured. 0 or -errno. */
static int pack(struct http_state *h, int err, const void **ret, size_t *ret_n)
{
	if (err)
		return err;
	*ret = h->json ? (const void *)h->text.p : h->pb.p;
	*ret_n = h->json ? h->text.len : clew_otlp_buf__len(&h->pb);
	if (h->cfg->compression != CLEW_COMPRESS_GZIP)
		return 0;
	err = clew_gzip__pack(&h->gzip, *ret, *ret_n);
	*ret = h->gzip.p;
	*ret_n = h->gzip.len;
	return err;
}

/* ---- what the answer means ---------------------------------------------------------------- */

static void read_answer(struct http_state *h, const struct http_reply *reply, bool ok,
			struct clew_otlp_answer *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (reply->code)
		return;
	if (reply->is_json)
		ok ? clew_otlp__answer_json(h->answer, h->answer_len, ret)
		   : clew_otlp__status_json(h->answer, h->answer_len, ret);
	else if (reply->is_protobuf)
		ok ? clew_otlp__answer_pb(h->answer, h->answer_len, ret)
		   : clew_otlp__status_pb(h->answer, h->answer_len, ret);
	else if (!ok) /* a proxy's or framework's own words: the first line */
		snprintf(ret->message, sizeof(ret->message), "%.*s",
			 (int)strcspn(h->answer, "\r\n"), h->answer);
}

/* Nothing came back: what is wrong with our own files or URL does not heal by trying again. */
static bool is_lasting(CURLcode code)
{
	switch (code) {
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_OUT_OF_MEMORY:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return true;
	default:
		return false;
	}
}

/* A URL for messages: what stands before an '@' are credentials. */
static const char *shown(const char *url)
{
	const char *host = strstr(url, "://"), *at;

	host = host ? host + 3 : url;
	at = memrchr(host, '@', strcspn(host, "/?#"));
	return at ? at + 1 : url;
}

static void judge_failure(struct http_state *h, const struct http_reply *reply,
			  struct clew_send_result *ret)
{
	if (__atomic_load_n(&h->cancel, __ATOMIC_RELAXED)) {
		ret->err = -ECANCELED;
		return;
	}
	ret->err = reply->code == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -ECONNREFUSED;
	ret->retry = !is_lasting(reply->code);
	snprintf(ret->message, sizeof(ret->message), "%.70s: %.80s", shown(h->cfg->target),
		 h->curl_error[0] ? h->curl_error : curl_easy_strerror(reply->code));
}

static void judge(struct http_state *h, const struct http_reply *reply, size_t n,
		  struct clew_send_result *ret)
{
	bool ok = reply->status >= 200 && reply->status < 300;
	struct clew_otlp_answer answer;

	if (!reply->status || (reply->code && !ok)) {
		judge_failure(h, reply, ret);
		return;
	}
	read_answer(h, reply, ok, &answer);
	if (ok) {
		ret->rejected = answer.rejected < n ? (uint32_t)answer.rejected : (uint32_t)n;
		ret->accepted = (uint32_t)n - ret->rejected;
		snprintf(ret->message, sizeof(ret->message), "%s", answer.message);
		return;
	}
	snprintf(ret->message, sizeof(ret->message), "%.60s: HTTP %ld %.80s", shown(h->cfg->target),
		 reply->status, answer.message);
	ret->err = -EPROTO;
	switch (reply->status) {
	case 429:
	case 502:
	case 503:
	case 504:
		ret->retry = 1;
		if (reply->retry_after_s > 0)
			ret->retry_after_ms = reply->retry_after_s > RETRY_AFTER_MAX_S
						      ? RETRY_AFTER_MAX_S * 1000u
						      : (uint32_t)reply->retry_after_s * 1000;
		return;
	case 413: /* half of it may pass */
		if (n > 1) {
			ret->err = -EMSGSIZE;
			return;
		}
		/* fallthrough */
	default:
		ret->rejected = (uint32_t)n;
	}
}

/* ---- the exporter ------------------------------------------------------------------------- */

static int encode(struct http_state *h, struct clew_span *const *spans, size_t n)
{
	if (!h->json)
		return clew_otlp__encode(&h->pb, &h->groups, spans, n);
	clew_json__reset(&h->text);
	return clew_otlp__json(&h->text, &h->groups, spans, n);
}

static void http_send(void *state, struct clew_span *const *spans, size_t n,
		      struct clew_send_result *ret)
{
	struct http_state *h = state;
	struct http_reply reply;
	const void *body;
	size_t len;

	ret->err = pack(h, encode(h, spans, n), &body, &len);
	if (ret->err) {
		ret->drop = CLEW_SDROP_ENCODE;
		snprintf(ret->message, sizeof(ret->message), "cannot encode: %s",
			 strerror(-ret->err));
		return;
	}
	post(h, h->cfg->target, body, len, &reply);
	judge(h, &reply, n, ret);
}

static void http_metrics(void *state, const struct clew_metric *m, size_t n,
			 const struct clew_resource *res, uint64_t start_ns, uint64_t now_ns)
{
	struct http_state *h = state;
	struct http_reply reply;
	const void *body;
	size_t len;
	int err;

	if (!h->cfg->metrics_target || !*h->cfg->metrics_target || h->no_metrics)
		return;
	if (h->json) {
		clew_json__reset(&h->text);
		err = clew_otlp__json_metrics(&h->text, m, n, res, start_ns, now_ns);
	} else {
		err = clew_otlp__encode_metrics(&h->pb, m, n, res, start_ns, now_ns);
	}
	if (pack(h, err, &body, &len))
		return;
	post(h, h->cfg->metrics_target, body, len, &reply);
	if (reply.status == 404 || reply.status == 405 || reply.status == 501) {
		h->no_metrics = true;
		clew_log(CLEW_LOG_INFO, "%s: HTTP %ld: the receiver takes no metrics",
			 shown(h->cfg->metrics_target), reply.status);
	}
}

static void http_cancel(void *state)
{
	struct http_state *h = state;

	__atomic_store_n(&h->cancel, 1, __ATOMIC_RELAXED);
	curl_multi_wakeup(h->multi);
}

const struct clew_exporter_ops clew_exporter_http = {
	.name = "otlp-http",
	.open = http_open,
	.send = http_send,
	.metrics = http_metrics,
	.cancel = http_cancel,
	.close = http_close,
};

const struct clew_exporter_ops clew_exporter_http_json = {
	.name = "otlp-json",
	.open = json_open,
	.send = http_send,
	.metrics = http_metrics,
	.cancel = http_cancel,
	.close = http_close,
};
