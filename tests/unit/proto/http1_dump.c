/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_dump.c - what clew's HTTP/1 parser reads from conversations, in the form in which
 * tools/http1_oracle.js prints what llhttp reads: one JSON line per exchange, an empty line
 * after each file.
 *
 * Usage: http1_dump FILE...   A file is a list of pieces: one byte (0 client, 1 server), the
 * length as 32 bits little endian, the bytes. Length 0: that side closed.
 */
#include "harness.h"

static void put_text(const struct clew_exchange *ex, const char *key, struct clew_text t)
{
	printf("\"%s\":\"", key);
	for (uint32_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)ex->text[t.off + i];

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	printf("\",");
}

static void print_exchange(const struct clew_exchange *ex)
{
	printf("{");
	put_text(ex, "method", ex->method);
	put_text(ex, "target", ex->target);
	printf("\"minor\":%u,\"status\":%u,\"resp_minor\":%u,", ex->http_minor, ex->status,
	       ex->resp_minor);
	printf("\"req_body\":%lu,\"resp_body\":%lu,", (unsigned long)ex->req_body,
	       (unsigned long)ex->resp_body);
	put_text(ex, "host", ex->host);
	put_text(ex, "user-agent", ex->user_agent);
	put_text(ex, "traceparent", ex->traceparent);
	put_text(ex, "forwarded", ex->forwarded);
	put_text(ex, "x-forwarded-for", ex->x_forwarded_for);
	put_text(ex, "x-forwarded-proto", ex->x_forwarded_proto);
	put_text(ex, "content-type", ex->content_type);
	put_text(ex, "tracestate", ex->tracestate);
	printf("\"duplicate_traceparent\":%u,\"incomplete\":%u,\"req_wire\":%lu,\"resp_wire\":%lu}"
	       "\n",
	       ex->duplicate_traceparent, ex->incomplete, (unsigned long)ex->req_wire,
	       (unsigned long)ex->resp_wire);
}

static int dump(const char *path)
{
	FILE *in = fopen(path, "rb");
	struct player pl;
	uint8_t head[5], *buf = NULL;

	if (!in) {
		perror(path);
		return 1;
	}
	player__init(&pl, &clew_http1, 0);
	while (fread(head, 1, 5, in) == 5) {
		uint32_t n = head[1] | head[2] << 8 | head[3] << 16 | (uint32_t)head[4] << 24;

		if (!n) {
			clew_http1.eof(pl.state, player__dir(&pl, head[0]), ++pl.ts);
			continue;
		}
		buf = realloc(buf, n);
		MUST(buf && fread(buf, 1, n, in) == n);
		player__data(&pl, head[0], buf, n);
	}
	fclose(in);
	free(buf);
	player__close(&pl);
	for (size_t i = 0; i < pl.sink.n; i++)
		if (pl.sink.rec[i].end == REC_DONE)
			print_exchange(&pl.sink.rec[i].copy);
	printf("\n");
	player__fini(&pl);
	return 0;
}

int main(int argc, char **argv)
{
	int rc = 0;

	for (int i = 1; i < argc; i++)
		rc |= dump(argv[i]);
	return rc;
}
