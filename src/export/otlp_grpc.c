/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP over gRPC (OTLP specification, "OTLP/gRPC") by gRPC core's C interface, client only: one
 * channel, one completion queue, one unary call at a time on the exporter's thread.
 *
 * - The request is encoded by otlp_encode.c and handed over as raw bytes. With gzip it is
 *   compressed here as well and marked as such: gRPC's own compression costs many times more. The
 *   channel's default algorithm makes gRPC say so in grpc-encoding.
 * - gRPC may hold a request's bytes a little longer than the call lasts, so it gets a copy.
 * - A call fails at once when there is no connection; trying again is the processor's business.
 *   gRPC makes progress on a new connection only while somebody waits on the completion queue,
 *   so after a failure the next try first waits a moment for the connection: without that, a
 *   receiver that has come back would not be noticed for many tries.
 */
#include <ctype.h>
#include <errno.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "export/gzip.h"
#include "export/otlp_net.h"
#include "export/processor.h"

#define TRACES_METHOD  "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define METRICS_METHOD "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
/* What receivers take by default. A larger request that is refused for it is sent in halves. */
#define COMMON_RECEIVE_MAX (4u << 20)
/* gRPC connects again after this; a try after a failure waits a little longer than that. */
#define RECONNECT_MS   1000
#define AWAIT_MS       (RECONNECT_MS + 500)
#define AWAIT_SLICE_MS 50
/* What gRPC puts before the one part of its message that says why. */
#define LAST_ERROR "last error: "

struct grpc_state {
	const struct clew_export_config *cfg;
	char *address;
	bool no_metrics;
	bool was_down; /* the last call found no connection */
	grpc_channel *channel;
	grpc_completion_queue *cq;
	grpc_metadata *headers;
	pthread_mutex_t lock; /* of the next two */
	grpc_call *call;
	bool cancelled;
	struct clew_otlp_buf pb;
	struct clew_otlp_groups groups;
	struct clew_gzip gzip;
};

/* What came back of one call. */
struct grpc_reply {
	grpc_status_code status;
	size_t sent;
	struct clew_otlp_answer answer; /* of an OK */
	struct clew_otlp_answer detail; /* of an error */
	char text[256];
};

/* ---- open and close ----------------------------------------------------------------------- */

static void on_grpc_log(gpr_log_func_args *args)
{
	clew_log(CLEW_LOG_DEBUG, "grpc: %s", args->message);
}

/*
 * URL to the "host:port" of gRPC. http:// is plain text, https:// is TLS; without a scheme
 * `insecure` decides. unix:PATH is plain text.
 */
static int parse_target(const struct clew_export_config *cfg, char **ret, bool *ret_tls,
			char *errbuf, size_t n)
{
	const char *url = cfg->target, *host = url, *end, *port;
	bool tls = !cfg->insecure;

	if (!strncasecmp(url, "http://", 7)) {
		host = url + 7;
		tls = false;
	} else if (!strncasecmp(url, "https://", 8)) {
		host = url + 8;
		tls = true;
	} else if (!strncmp(url, "unix:", 5)) {
		*ret_tls = false;
		*ret = strdup(url);
		return *ret ? 0 : -ENOMEM;
	}
	end = host + strcspn(host, "/?#");
	if (end == host || strstr(host, "://") || memchr(host, '@', (size_t)(end - host))) {
		snprintf(errbuf, n, "%.120s is no endpoint; give http://HOST:PORT or https://...",
			 url);
		return -EINVAL;
	}
	/* the port is what follows the last colon that is not inside [...] */
	port = memrchr(host, ':', (size_t)(end - host));
	if (port && memchr(port, ']', (size_t)(end - port)))
		port = NULL;
	*ret_tls = tls;
	if (asprintf(ret, "%.*s%s", (int)(end - host), host,
		     port  ? ""
		     : tls ? ":443"
			   : ":4317") < 0)
		return -ENOMEM;
	return 0;
}

static int make_credentials(const struct clew_export_config *cfg, bool tls,
			    grpc_channel_credentials **ret, char *errbuf, size_t n)
{
	char *root = NULL, *cert = NULL, *key = NULL;
	grpc_ssl_pem_key_cert_pair pair;
	int err;

	if (!tls) {
		*ret = grpc_insecure_credentials_create();
		return *ret ? 0 : -ENOMEM;
	}
	err = clew_otlp__read_pem(cfg->certificate, &root, errbuf, n);
	if (!err)
		err = clew_otlp__read_pem(cfg->client_certificate, &cert, errbuf, n);
	if (!err)
		err = clew_otlp__read_pem(cfg->client_key, &key, errbuf, n);
	if (!err) {
		pair = (grpc_ssl_pem_key_cert_pair){.private_key = key, .cert_chain = cert};
		*ret = grpc_ssl_credentials_create(root, cert ? &pair : NULL, NULL, NULL);
		if (!*ret) {
			snprintf(errbuf, n, "TLS cannot be set up with the given certificates");
			err = -EINVAL;
		}
	}
	free(root);
	free(cert);
	free(key);
	return err;
}

static int make_headers(struct grpc_state *g, char *errbuf, size_t n)
{
	const struct clew_export_config *cfg = g->cfg;

	g->headers = calloc(cfg->nr_headers + 1, sizeof(*g->headers));
	if (!g->headers)
		return -ENOMEM;
	for (uint32_t i = 0; i < cfg->nr_headers; i++) {
		grpc_slice key = grpc_slice_from_copied_string(cfg->headers[i].name);
		uint8_t *p = GRPC_SLICE_START_PTR(key);

		for (size_t k = 0; k < GRPC_SLICE_LENGTH(key); k++)
			p[k] = (uint8_t)tolower(p[k]);
		g->headers[i].key = key;
		g->headers[i].value = grpc_slice_from_copied_string(cfg->headers[i].value);
		if (!grpc_header_key_is_legal(key)) {
			snprintf(errbuf, n, "header %s: gRPC does not allow this name",
				 cfg->headers[i].name);
			return -EINVAL;
		}
	}
	return 0;
}

static int make_channel(struct grpc_state *g, bool tls, char *errbuf, size_t n)
{
	bool gzip = g->cfg->compression == CLEW_COMPRESS_GZIP;
	grpc_arg args[] = {
		{.type = GRPC_ARG_STRING, .key = (char *)GRPC_ARG_PRIMARY_USER_AGENT_STRING},
		{.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_HTTP_PROXY},
		{.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_ENABLE_RETRIES},
		{.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH},
		{.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_MAX_RECONNECT_BACKOFF_MS},
		{.type = GRPC_ARG_INTEGER, .key = (char *)GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS},
		{.type = GRPC_ARG_INTEGER,
		 .key = (char *)GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM},
	};
	grpc_channel_args all = {sizeof(args) / sizeof(args[0]), args};
	grpc_channel_credentials *creds;
	int err = make_credentials(g->cfg, tls, &creds, errbuf, n);

	if (err)
		return err;
	args[0].value.string = (char *)CLEW_OTLP_USER_AGENT;
	args[1].value.integer = 0; /* spans go where the user said, whatever http_proxy says */
	args[2].value.integer = 0;
	args[3].value.integer = CLEW_OTLP_ANSWER_MAX;
	args[4].value.integer = RECONNECT_MS;
	args[5].value.integer = RECONNECT_MS / 4;
	args[6].value.integer = gzip ? GRPC_COMPRESS_GZIP : GRPC_COMPRESS_NONE;
	g->channel = grpc_channel_create(g->address, creds, &all);
	grpc_channel_credentials_release(creds);
	g->cq = grpc_completion_queue_create_for_pluck(NULL);
	return g->channel && g->cq ? 0 : -ENOMEM;
}

static void otlp_grpc_close(void *state)
{
	struct grpc_state *g = state;

	if (!g)
		return;
	if (g->channel)
		grpc_channel_destroy(g->channel);
	if (g->cq) {
		grpc_completion_queue_shutdown(g->cq);
		grpc_completion_queue_destroy(g->cq);
	}
	for (uint32_t i = 0; g->headers && i < g->cfg->nr_headers; i++) {
		grpc_slice_unref(g->headers[i].key);
		grpc_slice_unref(g->headers[i].value);
	}
	free(g->headers);
	free(g->address);
	clew_otlp_buf__free(&g->pb);
	clew_otlp_groups__free(&g->groups);
	clew_gzip__free(&g->gzip);
	pthread_mutex_destroy(&g->lock);
	free(g);
	grpc_shutdown_blocking();
}

static int otlp_grpc_open(const struct clew_export_config *cfg, void **ret_state, char *errbuf,
			  size_t n)
{
	struct grpc_state *g;
	bool tls;
	int err = clew_otlp__check(cfg, errbuf, n);

	if (err)
		return err;
	g = calloc(1, sizeof(*g));
	if (!g) {
		snprintf(errbuf, n, "out of memory");
		return -ENOMEM;
	}
	gpr_set_log_function(on_grpc_log);
	grpc_init();
	g->cfg = cfg;
	pthread_mutex_init(&g->lock, NULL);
	clew_otlp_buf__init(&g->pb, CLEW_OTLP_REQUEST_MAX);
	errbuf[0] = 0;
	err = parse_target(cfg, &g->address, &tls, errbuf, n);
	if (!err)
		err = make_headers(g, errbuf, n);
	if (!err)
		err = make_channel(g, tls, errbuf, n);
	if (err) {
		if (!errbuf[0])
			snprintf(errbuf, n, "%s", strerror(-err));
		otlp_grpc_close(g);
		return err;
	}
	*ret_state = g;
	return 0;
}

/* ---- one call ----------------------------------------------------------------------------- */

static grpc_byte_buffer *pack(struct grpc_state *g, int *ret_err)
{
	const void *p = g->pb.p;
	size_t n = clew_otlp_buf__len(&g->pb);
	bool gzip = g->cfg->compression == CLEW_COMPRESS_GZIP;
	grpc_byte_buffer *buffer;
	grpc_slice slice;

	if (gzip) {
		*ret_err = clew_gzip__pack(&g->gzip, p, n);
		if (*ret_err)
			return NULL;
		p = g->gzip.p;
		n = g->gzip.len;
	}
	slice = grpc_slice_from_copied_buffer(p, n);
	buffer = gzip ? grpc_raw_compressed_byte_buffer_create(&slice, 1, GRPC_COMPRESS_GZIP)
		      : grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	return buffer;
}

static void read_message(grpc_byte_buffer *message, struct grpc_reply *ret)
{
	grpc_byte_buffer_reader reader;
	grpc_slice all;

	if (!message || !grpc_byte_buffer_reader_init(&reader, message))
		return;
	all = grpc_byte_buffer_reader_readall(&reader);
	clew_otlp__answer_pb(GRPC_SLICE_START_PTR(all), GRPC_SLICE_LENGTH(all), &ret->answer);
	grpc_slice_unref(all);
	grpc_byte_buffer_reader_destroy(&reader);
}

static void read_details(const grpc_metadata_array *trailing, struct grpc_reply *ret)
{
	for (size_t i = 0; i < trailing->count; i++) {
		const grpc_metadata *m = &trailing->metadata[i];

		if (!grpc_slice_str_cmp(m->key, "grpc-status-details-bin"))
			clew_otlp__status_pb(GRPC_SLICE_START_PTR(m->value),
					     GRPC_SLICE_LENGTH(m->value), &ret->detail);
	}
}

/* Make the call known to cancel(); false: cancelled already. */
static bool set_call(struct grpc_state *g, grpc_call *call)
{
	bool go_on;

	pthread_mutex_lock(&g->lock);
	go_on = !g->cancelled;
	g->call = go_on ? call : NULL;
	pthread_mutex_unlock(&g->lock);
	return go_on;
}

static int run_call(struct grpc_state *g, grpc_call *call, grpc_byte_buffer *request,
		    struct grpc_reply *ret)
{
	grpc_metadata_array initial, trailing;
	grpc_slice text = grpc_empty_slice();
	grpc_byte_buffer *response = NULL;
	grpc_op ops[6] = {
		{.op = GRPC_OP_SEND_INITIAL_METADATA},	{.op = GRPC_OP_SEND_MESSAGE},
		{.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
		{.op = GRPC_OP_RECV_MESSAGE},		{.op = GRPC_OP_RECV_STATUS_ON_CLIENT},
	};
	int err = -EIO;

	grpc_metadata_array_init(&initial);
	grpc_metadata_array_init(&trailing);
	ops[0].data.send_initial_metadata.count = g->cfg->nr_headers;
	ops[0].data.send_initial_metadata.metadata = g->headers;
	ops[1].data.send_message.send_message = request;
	ops[3].data.recv_initial_metadata.recv_initial_metadata = &initial;
	ops[4].data.recv_message.recv_message = &response;
	ops[5].data.recv_status_on_client.trailing_metadata = &trailing;
	ops[5].data.recv_status_on_client.status = &ret->status;
	ops[5].data.recv_status_on_client.status_details = &text;
	if (grpc_call_start_batch(call, ops, 6, call, NULL) == GRPC_CALL_OK) {
		/* the call has a deadline, so this returns */
		grpc_completion_queue_pluck(g->cq, call, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		err = 0;
		snprintf(ret->text, sizeof(ret->text), "%.*s", (int)GRPC_SLICE_LENGTH(text),
			 (const char *)GRPC_SLICE_START_PTR(text));
		read_message(response, ret);
		read_details(&trailing, ret);
	}
	if (response)
		grpc_byte_buffer_destroy(response);
	grpc_slice_unref(text);
	grpc_metadata_array_destroy(&initial);
	grpc_metadata_array_destroy(&trailing);
	return err;
}

static bool is_cancelled(struct grpc_state *g)
{
	bool v;

	pthread_mutex_lock(&g->lock);
	v = g->cancelled;
	pthread_mutex_unlock(&g->lock);
	return v;
}

/* After a failure: drive the channel until it is connected, or for a while. */
static void await_connection(struct grpc_state *g)
{
	uint64_t until_ms = clew_export__now_ms() + AWAIT_MS;
	grpc_connectivity_state now;
	gpr_timespec slice;

	while (clew_export__now_ms() < until_ms && !is_cancelled(g)) {
		now = grpc_channel_check_connectivity_state(g->channel, 1);
		if (now == GRPC_CHANNEL_READY || now == GRPC_CHANNEL_SHUTDOWN)
			return;
		slice = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
				     gpr_time_from_millis(AWAIT_SLICE_MS, GPR_TIMESPAN));
		grpc_channel_watch_connectivity_state(g->channel, now, slice, g->cq, g);
		grpc_completion_queue_pluck(g->cq, g, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
	}
}

/* Send what is in g->pb to a method. 0, or -errno when there was no call. */
static int unary(struct grpc_state *g, const char *method, struct grpc_reply *ret)
{
	grpc_byte_buffer *request;
	gpr_timespec deadline;
	grpc_call *call;
	int err = -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	ret->sent = clew_otlp_buf__len(&g->pb);
	request = pack(g, &err);
	if (!request)
		return err;
	if (g->was_down)
		await_connection(g);
	deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
				gpr_time_from_millis(clew_otlp__timeout_ms(g->cfg), GPR_TIMESPAN));
	call = grpc_channel_create_call(g->channel, NULL, GRPC_PROPAGATE_DEFAULTS, g->cq,
					grpc_slice_from_static_string(method), NULL, deadline,
					NULL);
	err = -ECANCELED;
	if (call && set_call(g, call))
		err = run_call(g, call, request, ret);
	if (!set_call(g, NULL) && !err && ret->status != GRPC_STATUS_OK)
		err = -ECANCELED;
	if (call)
		grpc_call_unref(call);
	grpc_byte_buffer_destroy(request);
	g->was_down = err || ret->status == GRPC_STATUS_UNAVAILABLE;
	return err;
}

/* ---- what the answer means ---------------------------------------------------------------- */

static const char *status_name(grpc_status_code code)
{
	static const char *const names[] = {
		"OK",
		"CANCELLED",
		"UNKNOWN",
		"INVALID_ARGUMENT",
		"DEADLINE_EXCEEDED",
		"NOT_FOUND",
		"ALREADY_EXISTS",
		"PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED",
		"FAILED_PRECONDITION",
		"ABORTED",
		"OUT_OF_RANGE",
		"UNIMPLEMENTED",
		"INTERNAL",
		"UNAVAILABLE",
		"DATA_LOSS",
		"UNAUTHENTICATED",
	};

	return (unsigned)code < sizeof(names) / sizeof(names[0]) ? names[code] : "unknown status";
}

static void judge(const struct grpc_state *g, const struct grpc_reply *reply, size_t n,
		  struct clew_send_result *ret)
{
	const char *why;

	if (reply->status == GRPC_STATUS_OK) {
		ret->rejected =
			reply->answer.rejected < n ? (uint32_t)reply->answer.rejected : (uint32_t)n;
		ret->accepted = (uint32_t)n - ret->rejected;
		snprintf(ret->message, sizeof(ret->message), "%s", reply->answer.message);
		return;
	}
	ret->err = reply->status == GRPC_STATUS_DEADLINE_EXCEEDED ? -ETIMEDOUT : -EPROTO;
	why = strstr(reply->text, LAST_ERROR);
	snprintf(ret->message, sizeof(ret->message), "%.50s: %s: %.85s", g->cfg->target,
		 status_name(reply->status), why ? why + strlen(LAST_ERROR) : reply->text);
	switch (reply->status) {
	case GRPC_STATUS_CANCELLED:
	case GRPC_STATUS_DEADLINE_EXCEEDED:
	case GRPC_STATUS_ABORTED:
	case GRPC_STATUS_OUT_OF_RANGE:
	case GRPC_STATUS_UNAVAILABLE:
	case GRPC_STATUS_DATA_LOSS:
		ret->retry = 1;
		ret->retry_after_ms = reply->detail.retry_after_ms;
		return;
	case GRPC_STATUS_RESOURCE_EXHAUSTED:
		if (reply->detail.has_retry_info) {
			ret->retry = 1;
			ret->retry_after_ms = reply->detail.retry_after_ms;
			return;
		}
		if (n > 1 && reply->sent > COMMON_RECEIVE_MAX) {
			ret->err = -EMSGSIZE;
			return;
		}
		break;
	default:
		break;
	}
	ret->rejected = (uint32_t)n;
}

/* ---- the exporter ------------------------------------------------------------------------- */

static void otlp_grpc_send(void *state, struct clew_span *const *spans, size_t n,
			   struct clew_send_result *ret)
{
	struct grpc_state *g = state;
	struct grpc_reply reply;

	ret->err = clew_otlp__encode(&g->pb, &g->groups, spans, n);
	if (!ret->err)
		ret->err = unary(g, TRACES_METHOD, &reply);
	if (ret->err) {
		ret->drop = CLEW_SDROP_ENCODE;
		snprintf(ret->message, sizeof(ret->message), "cannot make a request: %s",
			 strerror(-ret->err));
		return;
	}
	judge(g, &reply, n, ret);
}

static void otlp_grpc_metrics(void *state, const struct clew_metric *m, size_t n,
			      const struct clew_resource *res, uint64_t start_ns, uint64_t now_ns)
{
	struct grpc_state *g = state;
	struct grpc_reply reply;

	if (g->no_metrics || clew_otlp__encode_metrics(&g->pb, m, n, res, start_ns, now_ns) ||
	    unary(g, METRICS_METHOD, &reply))
		return;
	if (reply.status == GRPC_STATUS_UNIMPLEMENTED) {
		g->no_metrics = true;
		clew_log(CLEW_LOG_INFO, "%s: the receiver takes no metrics", g->cfg->target);
	}
}

static void otlp_grpc_cancel(void *state)
{
	struct grpc_state *g = state;

	pthread_mutex_lock(&g->lock);
	g->cancelled = true;
	if (g->call)
		grpc_call_cancel(g->call, NULL);
	pthread_mutex_unlock(&g->lock);
}

const struct clew_exporter_ops clew_exporter_grpc = {
	.name = "otlp-grpc",
	.open = otlp_grpc_open,
	.send = otlp_grpc_send,
	.metrics = otlp_grpc_metrics,
	.cancel = otlp_grpc_cancel,
	.close = otlp_grpc_close,
};
