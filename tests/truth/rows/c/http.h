/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - what the C applications of the truth rows share: requests as ../../README.md has them,
 * and the texts of calls and answers. No sockets here.
 */
#ifndef ROW_HTTP_H
#define ROW_HTTP_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define BODY_MAX 20001
#define TEXT_MAX (BODY_MAX + 8192)

/* One message being read: a head that ends in an empty line, and Content-Length bytes. */
struct text {
	size_t len, head; /* bytes there; bytes of the head, 0: not complete */
	size_t body;	  /* bytes that the body will have */
	char data[TEXT_MAX];
};

struct request {
	char shape[32], id[24], k[64];
	const char *body; /* in the text it was read from */
	size_t body_len;
};

struct next {
	struct sockaddr_in addr;
	char base[32]; /* "/l" */
};

/* Is the message complete? Call it whenever bytes were added. */
static inline bool text__complete(struct text *t)
{
	const char *end, *p;

	t->data[t->len] = 0;
	if (!t->head) {
		end = strstr(t->data, "\r\n\r\n");
		if (!end)
			return false;
		t->head = (size_t)(end - t->data) + 4;
		p = strcasestr(t->data, "\r\ncontent-length:");
		t->body = p && p < end ? strtoul(p + 17, NULL, 10) : 0;
	}
	return t->len >= t->head + t->body;
}

/* Forget the message; what came behind it stays. */
static inline void text__next(struct text *t)
{
	size_t used = t->head + t->body;

	t->len = t->head && t->len > used ? t->len - used : 0;
	memmove(t->data, t->data + used, t->len);
	t->head = t->body = 0;
}

/* False: none of the test's own paths. */
static inline bool request__parse(struct request *r, const struct text *t)
{
	r->k[0] = 0;
	r->body = t->data + t->head;
	r->body_len = t->body;
	return sscanf(t->data, "%*s /%*[^/]/%31[^/ ]/%23[^/ ]/%63[^/ ]", r->shape, r->id, r->k) >=
	       2;
}

static inline const char *request__asks(const struct request *r)
{
	if (!strcmp(r->shape, "err") || !strcmp(r->shape, "abort") || !strcmp(r->shape, "post"))
		return r->shape;
	return strcmp(r->shape, "timeout") ? "one" : "hang";
}

static inline int request__calls(const struct request *r)
{
	if (!strcmp(r->shape, "none"))
		return 0;
	return !strcmp(r->shape, "seq") ? 3 : !strcmp(r->shape, "fan") ? 4 : 1;
}

/* The head of call `n` that this request causes; returns its length. The body follows it. */
static inline size_t call__head(const struct request *r, const struct next *to, int n, char *out,
				size_t room)
{
	bool post = !strcmp(r->shape, "post");
	char length[48] = "";

	if (post)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n", r->body_len);
	return (size_t)snprintf(out, room, "%s %s/%s/%s/%s%s%d HTTP/1.1\r\nHost: next\r\n%s\r\n",
				post ? "POST" : "GET", to->base, request__asks(r), r->id, r->k,
				r->k[0] ? "-" : "", n, length);
}

static inline size_t answer__text(bool ok, char *out, size_t room)
{
	return (size_t)snprintf(out, room,
				"HTTP/1.1 %s\r\nContent-Type: text/plain\r\n"
				"Content-Length: 3\r\n\r\nok\n",
				ok ? "200 OK" : "500 Internal Server Error");
}

static inline void next__parse(struct next *n)
{
	const char *url = getenv("NEXT");
	char host[64] = "127.0.0.1";
	int port = 0;

	if (url && sscanf(url, "http://%63[^:]:%d%31s", host, &port, n->base) < 2)
		fprintf(stderr, "NEXT: not http://HOST:PORT/BASE: %s\n", url);
	n->addr.sin_family = AF_INET;
	n->addr.sin_port = htons((uint16_t)port);
	inet_pton(AF_INET, host, &n->addr.sin_addr);
}

static inline int listen_here(int flags)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	const char *port = getenv("PORT");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), one = 1;

	in.sin_port = htons((uint16_t)atoi(port ? port : "0"));
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) || listen(fd, 1024)) {
		perror("listen");
		exit(1);
	}
	return fd;
}

static inline long noise_us(void)
{
	const char *ms = getenv("NOISE");

	return ms ? (long)(atof(ms) * 1000) : 0;
}

#endif
