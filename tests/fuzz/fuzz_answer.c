/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_answer.c - what an OTLP receiver answers, in protobuf and in JSON: partial success, and
 * the status of a refusal with its RetryInfo. Checked: the message ends, a
 * count is one, and a wait that is asked for is bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "export/otlp.h"

#define DAY_MS (24u * 3600 * 1000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int err, const struct clew_otlp_answer *a)
{
	if (!memchr(a->message, 0, sizeof(a->message)))
		abort();
	if (a->retry_after_ms > DAY_MS + 3000 || a->rejected > INT64_MAX)
		abort();
	if (err && (a->rejected || a->message[0]))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clew_otlp_answer a;
	char *copy = malloc(size ? size : 1); /* of just the size: a read behind it is seen */

	memcpy(copy, data, size);
	check(clew_otlp__answer_pb(copy, size, &a), &a);
	check(clew_otlp__status_pb(copy, size, &a), &a);
	check(clew_otlp__answer_json(copy, size, &a), &a);
	check(clew_otlp__status_json(copy, size, &a), &a);
	free(copy);
	return 0;
}
