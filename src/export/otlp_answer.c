/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an OTLP receiver answers: Export*ServiceResponse with its partial success, and
 * google.rpc.Status of an error with its RetryInfo (OTLP specification, "OTLP/gRPC Response",
 * "OTLP/HTTP Response"). These bytes come from outside: the callers cap them at
 * CLEW_OTLP_ANSWER_MAX, the messages nest two levels deep and unknown fields are not descended
 * into, so protobuf-c's missing depth limit cannot be reached; jansson has its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp.pb-c.h"

#include "export/otlp.h"

#define RETRY_MAX_S (24 * 3600)

static void set_message(struct clew_otlp_answer *ret, const char *s)
{
	snprintf(ret->message, sizeof(ret->message), "%s", s ? s : "");
}

int clew_otlp__answer_pb(const void *p, size_t n, struct clew_otlp_answer *ret)
{
	Otlp__ExportResponse *msg;

	memset(ret, 0, sizeof(*ret));
	if (n > CLEW_OTLP_ANSWER_MAX)
		return -EBADMSG;
	msg = otlp__export_response__unpack(NULL, n, p);
	if (!msg)
		return -EBADMSG;
	if (msg->partial_success) {
		if (msg->partial_success->rejected > 0)
			ret->rejected = (uint64_t)msg->partial_success->rejected;
		set_message(ret, msg->partial_success->error_message);
	}
	otlp__export_response__free_unpacked(msg, NULL);
	return 0;
}

int clew_otlp__answer_json(const char *p, size_t n, struct clew_otlp_answer *ret)
{
	static const char *const counts[] = {"rejectedSpans", "rejectedDataPoints"};
	json_t *msg, *part, *v;
	long long n_rejected;

	memset(ret, 0, sizeof(*ret));
	if (n > CLEW_OTLP_ANSWER_MAX)
		return -EBADMSG;
	msg = json_loadb(p, n, 0, NULL);
	if (!json_is_object(msg)) {
		json_decref(msg);
		return -EBADMSG;
	}
	part = json_object_get(msg, "partialSuccess");
	for (int i = 0; i < 2; i++) {
		/* an int64: a string by the mapping, a number is accepted as well */
		v = json_object_get(part, counts[i]);
		n_rejected = json_is_string(v) ? strtoll(json_string_value(v), NULL, 10)
					       : json_integer_value(v);
		if (n_rejected > 0 && !ret->rejected) /* one answer counts one kind of thing */
			ret->rejected = (uint64_t)n_rejected;
	}
	set_message(ret, json_string_value(json_object_get(part, "errorMessage")));
	json_decref(msg);
	return 0;
}

static void read_retry_info(const Otlp__Any *any, struct clew_otlp_answer *ret)
{
	static const char name[] = "/google.rpc.RetryInfo";
	size_t len = strlen(any->type_url);
	Otlp__RetryInfo *info;

	if (len < sizeof(name) - 1 || strcmp(any->type_url + len - (sizeof(name) - 1), name))
		return;
	info = otlp__retry_info__unpack(NULL, any->value.len, any->value.data);
	if (!info)
		return;
	ret->has_retry_info = 1;
	if (info->retry_delay && info->retry_delay->seconds >= 0 && info->retry_delay->nanos >= 0) {
		int64_t s = info->retry_delay->seconds;
		int64_t ns = info->retry_delay->nanos;

		if (s > RETRY_MAX_S)
			s = RETRY_MAX_S;
		ret->retry_after_ms = (uint32_t)(s * 1000 + ns / 1000000);
	}
	otlp__retry_info__free_unpacked(info, NULL);
}

int clew_otlp__status_pb(const void *p, size_t n, struct clew_otlp_answer *ret)
{
	Otlp__RpcStatus *msg;

	memset(ret, 0, sizeof(*ret));
	if (n > CLEW_OTLP_ANSWER_MAX)
		return -EBADMSG;
	msg = otlp__rpc_status__unpack(NULL, n, p);
	if (!msg)
		return -EBADMSG;
	set_message(ret, msg->message);
	for (size_t i = 0; i < msg->n_details; i++)
		read_retry_info(msg->details[i], ret);
	otlp__rpc_status__free_unpacked(msg, NULL);
	return 0;
}

int clew_otlp__status_json(const char *p, size_t n, struct clew_otlp_answer *ret)
{
	json_t *msg;

	memset(ret, 0, sizeof(*ret));
	if (n > CLEW_OTLP_ANSWER_MAX)
		return -EBADMSG;
	msg = json_loadb(p, n, 0, NULL);
	if (!json_is_object(msg)) {
		json_decref(msg);
		return -EBADMSG;
	}
	set_message(ret, json_string_value(json_object_get(msg, "message")));
	json_decref(msg);
	return 0;
}
