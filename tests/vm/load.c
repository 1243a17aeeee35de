/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - a fixed number of HTTP requests over a fixed number of keep-alive connections.
 *
 *	load PORT REQUESTS [CONNECTIONS [PATH]]
 *
 * For runs whose cost is counted rather than timed: no clock decides anything, every request has
 * the same bytes, each connection carries one request at a time, and all connections are served in
 * turn (write to each, then read from each), so that two runs make the server do the same work in
 * the same order. Every answer must have status 200 and a Content-Length (RFC 9112 section 6.2);
 * anything else ends the run with exit status 1. Prints "N answers, M body bytes".
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1024
#define MAX_REQUESTS	1000000000UL
#define MAX_REQUEST	2048
#define BUFFER_SIZE	65536

struct load {
	int fds[MAX_CONNECTIONS];
	unsigned long connections;
	char request[MAX_REQUEST];
	size_t request_len;
	unsigned long answers;
	unsigned long long body_bytes;
	char buf[BUFFER_SIZE];
};

static int load__connect(struct load *l, unsigned short port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr = {htonl(INADDR_LOOPBACK)},
	};
	int one = 1;

	for (unsigned long i = 0; i < l->connections; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
			return -errno;
		if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
			return -errno;
		l->fds[i] = fd;
	}
	return 0;
}

static int load__send(const struct load *l, int fd)
{
	size_t done = 0;

	while (done < l->request_len) {
		ssize_t n = send(fd, l->request + done, l->request_len - done, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		done += n;
	}
	return 0;
}

/* The length of the body that the head in `buf` announces, or -EPROTO. */
static long long parse_head(const char *head, size_t len)
{
	static const char key[] = "\r\nContent-Length:";
	const char *at;
	char *end;
	long long value;

	if (len < 12 || strncmp(head, "HTTP/1.1 200", 12) != 0)
		return -EPROTO;
	at = strcasestr(head, key);
	if (!at)
		return -EPROTO;
	errno = 0;
	value = strtoll(at + sizeof(key) - 1, &end, 10);
	return errno || *end != '\r' || value < 0 ? -EPROTO : value;
}

/* Reads until the head is complete. ret_extra: how many body bytes came with it. */
static long long load__recv_head(struct load *l, int fd, size_t *ret_extra)
{
	size_t have = 0;

	while (have < sizeof(l->buf) - 1) {
		ssize_t n = recv(fd, l->buf + have, sizeof(l->buf) - 1 - have, 0);
		char *end;

		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		have += n;
		l->buf[have] = '\0';
		end = strstr(l->buf, "\r\n\r\n");
		if (end) {
			end[2] = '\0';
			*ret_extra = have - (end + 4 - l->buf);
			return parse_head(l->buf, end - l->buf);
		}
	}
	return -EMSGSIZE;
}

static int load__recv(struct load *l, int fd)
{
	size_t extra = 0;
	long long body = load__recv_head(l, fd, &extra), left;

	if (body < 0)
		return (int)body;
	for (left = body - (long long)extra; left > 0;) {
		size_t want = left < BUFFER_SIZE ? (size_t)left : BUFFER_SIZE;
		ssize_t n = recv(fd, l->buf, want, 0);

		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		left -= n;
	}
	if (left < 0) /* more than was announced: nothing was asked yet that it could answer */
		return -EPROTO;
	l->answers++;
	l->body_bytes += body;
	return 0;
}

static int load__run(struct load *l, unsigned long requests)
{
	int err = 0;

	while (!err && l->answers < requests) {
		unsigned long round = requests - l->answers;

		if (round > l->connections)
			round = l->connections;
		for (unsigned long i = 0; !err && i < round; i++)
			err = load__send(l, l->fds[i]);
		for (unsigned long i = 0; !err && i < round; i++)
			err = load__recv(l, l->fds[i]);
	}
	return err;
}

static bool parse_count(const char *text, unsigned long max, unsigned long *ret_value)
{
	char *end;

	errno = 0;
	*ret_value = strtoul(text, &end, 10);
	return !errno && end != text && !*end && *ret_value && *ret_value <= max;
}

int main(int argc, char **argv)
{
	struct load *l = calloc(1, sizeof(*l));
	unsigned long port, requests;
	int err, len;

	if (!l)
		return 1;
	l->connections = 1;
	if (argc < 3 || argc > 5 || !parse_count(argv[1], 65535, &port) ||
	    !parse_count(argv[2], MAX_REQUESTS, &requests) ||
	    (argc > 3 && !parse_count(argv[3], MAX_CONNECTIONS, &l->connections))) {
		fprintf(stderr, "usage: load PORT REQUESTS [CONNECTIONS [PATH]]\n");
		free(l);
		return 2;
	}
	len = snprintf(l->request, sizeof(l->request),
		       "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\n\r\n",
		       argc > 4 ? argv[4] : "/");
	l->request_len = len;
	err = len < 0 || (size_t)len >= sizeof(l->request) ? -ENAMETOOLONG : 0;
	if (!err)
		err = load__connect(l, (unsigned short)port);
	if (!err)
		err = load__run(l, requests);
	printf("%lu answers, %llu body bytes\n", l->answers, l->body_bytes);
	if (err)
		fprintf(stderr, "load: after %lu answers: %s\n", l->answers, strerror(-err));
	free(l);
	return err ? 1 : 0;
}
