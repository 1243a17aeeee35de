/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaf.c - an HTTP/1.1 server in C on one epoll loop: the last service of the test chains, and
 * the server that knows every shape of message that HTTP/1.1 has (RFC 9112).
 *
 * Answers come after a random delay of 0 to MAX ms, so that they overtake one another; requests
 * that wait in one connection (pipelining) are answered in their order. The second component of
 * the path picks the answer:
 *   chunked  two chunks and a trailer      close    no length, the close ends it
 *   e404     404                           err      500
 *   empty    204                           big      BIG bytes
 *   upgrade  101, then an echo             hang     never
 *   abort    a reset in place of an answer other    200, "ok PATH\n"
 * A head of any size is read to its end, but only its first bytes are kept.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNS	 20000
#define HEAD_MAX 8192
#define OUT_MAX	 (HEAD_MAX + 1024)
#define BIG	 300000

enum phase { HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, TRAILER, WAIT, WRITE, ECHO };

struct conn {
	int fd;
	enum phase phase;
	uint64_t due, left;
	size_t head_len, in_off, in_len, out_off, out_len, big_left, line_len;
	uint32_t last4;
	bool too_long, close_after, abort, hang;
	char line[32];
	char head[HEAD_MAX + 1];
	char in[16384];
	char out[OUT_MAX];
};

struct server {
	int epfd, listener;
	double max_delay_ms;
	struct conn *conn[CONNS]; /* by descriptor */
	struct conn *heap[CONNS]; /* earliest due first */
	size_t nr_heap;
};

static const char filler[16384] = {[0 ... 16383] = 'b'};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void heap_push(struct server *srv, struct conn *c)
{
	size_t i = srv->nr_heap++;

	while (i && srv->heap[(i - 1) / 2]->due > c->due) {
		srv->heap[i] = srv->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	srv->heap[i] = c;
}

static struct conn *heap_pop(struct server *srv)
{
	struct conn *top = srv->heap[0], *last = srv->heap[--srv->nr_heap];
	size_t i = 0, kid;

	while ((kid = 2 * i + 1) < srv->nr_heap) {
		if (kid + 1 < srv->nr_heap && srv->heap[kid + 1]->due < srv->heap[kid]->due)
			kid++;
		if (srv->heap[kid]->due >= last->due)
			break;
		srv->heap[i] = srv->heap[kid];
		i = kid;
	}
	srv->heap[i] = last;
	return top;
}

static void drop(struct server *srv, struct conn *c)
{
	srv->conn[c->fd] = NULL;
	close(c->fd);
	if (c->phase == WAIT && !c->hang)
		c->fd = -1; /* the heap still points here: freed when it comes up */
	else
		free(c);
}

static const char *field(const char *head, const char *name)
{
	size_t len = strlen(name);
	const char *p = strstr(head, "\r\n");

	for (; p && p[2] && p[2] != '\r'; p = strstr(p + 2, "\r\n"))
		if (!strncasecmp(p + 2, name, len) && p[2 + len] == ':')
			return p + 3 + len + strspn(p + 3 + len, " \t");
	return NULL;
}

/* The whole request is here: build its answer, to be sent when its delay is over. */
static void answer(struct server *srv, struct conn *c)
{
	char method[16] = "", path[4096] = "", shape[64] = "", version[16] = "";
	const char *conn, *status = "200 OK";
	bool keep;
	int n;

	if (c->too_long || sscanf(c->head, "%15s %4095s %15s", method, path, version) != 3 ||
	    strncmp(version, "HTTP/1.", 7)) {
		c->out_len =
			(size_t)sprintf(c->out, "HTTP/1.1 400 Bad Request\r\n"
						"Content-Length: 0\r\nConnection: close\r\n\r\n");
		c->close_after = true;
		goto queue;
	}
	sscanf(path, "/%*[^/]/%63[^/?]", shape);
	conn = field(c->head, "connection");
	keep = version[7] == '1' ? !conn || strncasecmp(conn, "close", 5)
				 : conn && !strncasecmp(conn, "keep-alive", 10);
	c->close_after = !keep;
	if (!strcmp(shape, "e404"))
		status = "404 Not Found";
	else if (!strcmp(shape, "err"))
		status = "500 Internal Server Error";
	c->abort = !strcmp(shape, "abort");
	c->hang = !strcmp(shape, "hang");
	if (!strcmp(shape, "empty")) {
		n = sprintf(c->out, "HTTP/1.1 204 No Content\r\n\r\n");
	} else if (!strcmp(shape, "upgrade")) {
		n = sprintf(c->out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n"
				    "Connection: upgrade\r\n\r\n");
	} else if (!strcmp(shape, "chunked")) {
		n = sprintf(c->out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
				    "Trailer: X-Sum\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n"
				    "0\r\nX-Sum: 1\r\n\r\n");
	} else if (!strcmp(shape, "close")) {
		n = sprintf(c->out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok %s\n", path);
		c->close_after = true;
	} else if (!strcmp(shape, "big")) {
		n = sprintf(c->out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG);
		c->big_left = BIG;
	} else {
		n = sprintf(c->out,
			    "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
			    "%s\r\n",
			    status, strlen(path) + 4,
			    keep ? version[7] == '0' ? "Connection: keep-alive\r\n" : ""
				 : "Connection: close\r\n");
		if (strcmp(method, "HEAD"))
			n += sprintf(c->out + n, "ok %s\n", path);
	}
	if (!strcmp(method, "HEAD"))
		c->big_left = 0;
	c->out_len = (size_t)n;
queue:
	c->out_off = 0;
	c->due = now_ns() + (uint64_t)(drand48() * srv->max_delay_ms * 1e6);
	c->phase = WAIT;
	if (!c->hang)
		heap_push(srv, c);
}

/* The head is complete: how does the body end? (RFC 9112 6.3) */
static void frame(struct server *srv, struct conn *c)
{
	const char *te, *cl, *expect;

	c->head[c->head_len] = 0;
	te = field(c->head, "transfer-encoding");
	cl = field(c->head, "content-length");
	expect = field(c->head, "expect");
	if (expect && !strncasecmp(expect, "100-continue", 12) &&
	    write(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0)
		return; /* the next read tells */
	c->line_len = 0;
	c->left = cl ? strtoull(cl, NULL, 10) : 0;
	if (te && !strncasecmp(te, "chunked", 7))
		c->phase = CHUNK_SIZE;
	else if (c->left)
		c->phase = BODY;
	else
		answer(srv, c);
}

static void take_head(struct server *srv, struct conn *c, char byte)
{
	if (!c->head_len && (byte == '\r' || byte == '\n'))
		return; /* RFC 9112 2.2: empty lines before a request */
	if (c->head_len < HEAD_MAX)
		c->head[c->head_len++] = byte;
	else
		c->too_long = true;
	c->last4 = c->last4 << 8 | (uint8_t)byte;
	if (c->last4 == 0x0d0a0d0a)
		frame(srv, c);
}

static void take_line(struct server *srv, struct conn *c, char byte)
{
	if (byte != '\n') {
		if (byte != '\r' && c->line_len < sizeof(c->line) - 1)
			c->line[c->line_len++] = byte;
		return;
	}
	c->line[c->line_len] = 0;
	if (c->phase == TRAILER) {
		if (!c->line_len)
			answer(srv, c);
	} else if (c->line_len) { /* the line that ends a chunk's data is empty */
		c->left = strtoull(c->line, NULL, 16);
		c->phase = c->left ? CHUNK_DATA : TRAILER;
	}
	c->line_len = 0;
}

/* Consume what was read, up to the end of one request. */
static void consume(struct server *srv, struct conn *c)
{
	while (c->in_off < c->in_len && c->phase < WAIT) {
		size_t n = c->in_len - c->in_off;

		if (c->phase == HEAD) {
			take_head(srv, c, c->in[c->in_off++]);
		} else if (c->phase == BODY || c->phase == CHUNK_DATA) {
			if (n > c->left)
				n = c->left;
			c->in_off += n;
			c->left -= n;
			if (!c->left && c->phase == BODY)
				answer(srv, c);
			else if (!c->left)
				c->phase = CHUNK_SIZE;
		} else {
			take_line(srv, c, c->in[c->in_off++]);
		}
	}
}

static void readable(struct server *srv, struct conn *c)
{
	while (c->phase < WAIT || c->phase == ECHO) {
		ssize_t n;

		if (c->in_off < c->in_len && c->phase != ECHO) {
			consume(srv, c);
			continue;
		}
		n = read(c->fd, c->in, sizeof(c->in));
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			drop(srv, c);
			return;
		}
		if (c->phase == ECHO && write(c->fd, c->in, (size_t)n) < 0) {
			drop(srv, c);
			return;
		}
		c->in_off = 0;
		c->in_len = (size_t)n;
	}
}

static void next_request(struct server *srv, struct conn *c)
{
	if (c->close_after) {
		c->phase = HEAD;
		shutdown(c->fd, SHUT_WR);
		drop(srv, c);
		return;
	}
	c->phase = strncmp(c->out + 9, "101", 3) ? HEAD : ECHO;
	c->head_len = 0;
	c->last4 = 0;
	c->too_long = false;
	readable(srv, c);
}

static void writable(struct server *srv, struct conn *c)
{
	c->phase = WRITE;
	while (c->out_off < c->out_len || c->big_left) {
		bool head = c->out_off < c->out_len;
		size_t want = c->big_left < sizeof(filler) ? c->big_left : sizeof(filler);
		ssize_t n = head ? write(c->fd, c->out + c->out_off, c->out_len - c->out_off)
				 : write(c->fd, filler, want);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			drop(srv, c);
			return;
		}
		if (head)
			c->out_off += (size_t)n;
		else
			c->big_left -= (size_t)n;
	}
	next_request(srv, c);
}

/* SO_LINGER with no time: the close sends a reset. */
static void reset(struct server *srv, struct conn *c)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	c->phase = HEAD;
	drop(srv, c);
}

static void serve_due(struct server *srv)
{
	while (srv->nr_heap && srv->heap[0]->due <= now_ns()) {
		struct conn *c = heap_pop(srv);

		if (c->fd < 0)
			free(c);
		else if (c->abort)
			reset(srv, c);
		else
			writable(srv, c);
	}
}

static void welcome(struct server *srv)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	int fd, one = 1;

	while ((fd = accept4(srv->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = fd < CONNS ? calloc(1, sizeof(*c)) : NULL;

		if (!c) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->fd = fd;
		srv->conn[fd] = c;
		ev.data.fd = fd;
		epoll_ctl(srv->epfd, EPOLL_CTL_ADD, fd, &ev);
	}
}

static int listen_on(const char *addr, int port, const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	int family = path ? AF_UNIX : strchr(addr, ':') ? AF_INET6 : AF_INET, one = 1, fd, err;

	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (path) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
		unlink(path);
		err = bind(fd, (struct sockaddr *)&un, sizeof(un));
	} else if (family == AF_INET6) {
		inet_pton(AF_INET6, addr, &in6.sin6_addr);
		err = bind(fd, (struct sockaddr *)&in6, sizeof(in6));
	} else {
		inet_pton(AF_INET, addr, &in.sin_addr);
		err = bind(fd, (struct sockaddr *)&in, sizeof(in));
	}
	if (err || listen(fd, 4096)) {
		perror("leaf: listen");
		exit(1);
	}
	return fd;
}

static void loop(struct server *srv)
{
	struct epoll_event evs[256], ev = {.events = EPOLLIN, .data.fd = srv->listener};

	epoll_ctl(srv->epfd, EPOLL_CTL_ADD, srv->listener, &ev);
	for (;;) {
		int wait = -1, n;

		if (srv->nr_heap) {
			int64_t ns = (int64_t)(srv->heap[0]->due - now_ns());

			wait = ns <= 0 ? 0 : (int)(ns / 1000000) + 1;
		}
		n = epoll_wait(srv->epfd, evs, 256, wait);
		for (int i = 0; i < n; i++) {
			struct conn *c = srv->conn[evs[i].data.fd];

			if (evs[i].data.fd == srv->listener)
				welcome(srv);
			else if (c && c->phase == WAIT && c->hang && evs[i].events & EPOLLRDHUP)
				drop(srv, c);
			else if (c && c->phase == WRITE)
				writable(srv, c);
			else if (c)
				readable(srv, c);
		}
		serve_due(srv);
	}
}

int main(int argc, char **argv)
{
	static struct server srv;
	const char *addr = "127.0.0.1", *path = NULL;
	int port = 0, ch;

	while ((ch = getopt(argc, argv, "a:p:u:d:")) != -1) {
		switch (ch) {
		case 'a':
			addr = optarg;
			break;
		case 'p':
			port = atoi(optarg);
			break;
		case 'u':
			path = optarg;
			break;
		case 'd':
			srv.max_delay_ms = atof(optarg);
			break;
		default:
			fprintf(stderr,
				"usage: leaf -p PORT | -u PATH [-a ADDR] [-d MAX_DELAY_MS]\n");
			return 2;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	srv.epfd = epoll_create1(EPOLL_CLOEXEC);
	srv.listener = listen_on(addr, port, path);
	loop(&srv);
	return 0;
}
