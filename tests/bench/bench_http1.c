/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_http1.c - nanoseconds per message of the HTTP/1 parser on one keep-alive connection.
 *
 * Prints the best of several rounds, so that a busy machine does not count. The sink hands out
 * one exchange again and again: what is measured is the parser, with the copying of texts.
 *
 *	gcc -O2 -Iinclude -Isrc tests/bench/bench_http1.c src/proto/http1*.c -o bench_http1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <clew/proto.h>

#define ROUNDS	  30
#define PER_ROUND 100000

struct pair {
	const char *name, *request, *response;
};

static const struct pair pairs[] = {
	{"wrk -> nginx", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nServer: nginx/1.26.3\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n"
	 "Content-Type: text/html\r\nContent-Length: 15\r\n"
	 "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nConnection: keep-alive\r\n"
	 "ETag: \"386d4380-f\"\r\nAccept-Ranges: bytes\r\n\r\n<html></html>\r\n"},
	{"httpx -> uvicorn",
	 "GET /items/7?q=x HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept: */*\r\n"
	 "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
	 "User-Agent: python-httpx/0.28.1\r\n"
	 "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
	 "tracestate: a=1,b=2\r\n\r\n",
	 "HTTP/1.1 200 OK\r\ndate: Sat, 01 Jan 2000 00:00:00 GMT\r\nserver: uvicorn\r\n"
	 "content-length: 17\r\ncontent-type: application/json\r\n\r\n{\"item_id\":\"7\"  }"},
	{"browser -> chunked",
	 "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11; Linux "
	 "x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\nAccept: text/html,application/"
	 "xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
	 "Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://www.example.org/\r\n"
	 "Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef0123456789\r\n"
	 "Upgrade-Insecure-Requests: 1\r\nPriority: u=0, i\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n0\r\n\r\n"},
};

static struct clew_exchange *bench__alloc(void *arg)
{
	return arg;
}

static void bench__seen(void *arg, struct clew_exchange *ex)
{
	(void)arg;
	(void)ex;
}

static unsigned long finished;

static void bench__done(void *arg, struct clew_exchange *ex)
{
	(void)arg;
	finished += !ex->incomplete && ex->status == 200;
}

static void bench__dropped(void *arg, struct clew_exchange *ex, int reason)
{
	(void)arg;
	(void)ex;
	(void)reason;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Best time of one exchange; `part` 0: request and response, 1: request alone. */
static double run(void *state, struct clew_proto_sink *sink, const struct pair *p, int part)
{
	const uint8_t *req = (const uint8_t *)p->request, *resp = (const uint8_t *)p->response;
	size_t req_n = strlen(p->request), resp_n = strlen(p->response);
	struct clew_feed feed = {.pid = 1};
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double start, ns;

		clew_http1.init(state, false, sink);
		start = now();
		for (int i = 0; i < PER_ROUND; i++) {
			feed.ts++;
			clew_http1.data(state, CLEW_RECV, req, req_n, &feed);
			if (part)
				clew_http1.init(state, false, sink);
			else
				clew_http1.data(state, CLEW_SEND, resp, resp_n, &feed);
		}
		ns = (now() - start) / PER_ROUND;
		clew_http1.close(state, feed.ts);
		if (ns < best)
			best = ns;
	}
	return best;
}

int main(void)
{
	struct clew_exchange *ex = calloc(1, sizeof(*ex));
	struct clew_proto_sink sink = {ex,	    bench__alloc,   bench__seen, bench__seen,
				       bench__done, bench__dropped, NULL};
	void *state = malloc(clew_http1.size);
	size_t i;

	if (!ex || !state)
		return 1;
	printf("state: %zu bytes per idle connection\n", clew_http1.size);
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		double both, request;

		finished = 0;
		both = run(state, &sink, &pairs[i], 0);
		if (finished != (unsigned long)ROUNDS * PER_ROUND)
			return 1;
		request = run(state, &sink, &pairs[i], 1);
		printf("%-20s request %4.0f ns, response %4.0f ns, exchange %4.0f ns\n",
		       pairs[i].name, request, both - request, both);
	}
	free(state);
	free(ex);
	return 0;
}
