/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - the load generator of the truth tests: every request carries an id of its own in its
 * path, and every request leaves a record of what the client itself saw.
 *
 * One thread, one epoll set, one outstanding request per connection: the clock is read right
 * before the write and right after the read that completed the answer, with nothing in between
 * that could wait. Answers are framed by RFC 9112 6.3 (content-length, chunked, until close).
 *
 * Paths are PREFIX/SHAPE/ID; the shapes given are taken in turn. Shape `post` sends a body of
 * post_size(id) bytes; tests/truth/shapes.py knows the same formula.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
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

#define HEAD_MAX   16384
#define BODY_MAX   20001
#define SHAPES_MAX 16
#define CONNS_MAX  1024

enum phase { IDLE, SENDING, HEAD, BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, UNTIL_CLOSE };

struct options {
	const char *addr, *unix_path, *prefix, *header, *records;
	const char *shape[SHAPES_MAX];
	int nr_shapes, port, conns, per_conn;
	uint64_t count, first_id;
	double rate, seconds, timeout;
};

struct conn {
	int fd;
	enum phase phase;
	int served; /* answers on this connection */
	uint64_t id, start, resp_body, left;
	size_t req_len, req_sent, req_body, head_len;
	int status;
	bool close_after, is_head;
	char path[256];
	char line[32]; /* chunk-size line */
	size_t line_len;
	char head[HEAD_MAX + 1];
	char req[HEAD_MAX + BODY_MAX];
};

struct run {
	struct options opt;
	struct conn *conns;
	int epfd;
	FILE *out;
	uint64_t issued, done, errors, begin, stop_at, first_end;
	double *lat;
	size_t nr_lat, room_lat;
};

static volatile sig_atomic_t stopping;

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "load: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(2);
}

static size_t post_size(uint64_t id)
{
	return (size_t)(id * 7919 % 20000) + 1;
}

static void record(struct run *run, struct conn *c, const char *error)
{
	uint64_t end = now_ns();

	if (error) {
		run->errors++;
	} else {
		run->done++;
		if (run->nr_lat < run->room_lat)
			run->lat[run->nr_lat++] = (double)(end - c->start) / 1e6;
	}
	if (!run->out)
		return;
	fprintf(run->out,
		"{\"id\":%llu,\"method\":\"%s\",\"path\":\"%s\",\"status\":%d,\"req_body\":%zu,"
		"\"resp_body\":%llu,\"start\":%llu,\"end\":%llu,\"conn\":%d%s%s%s}\n",
		(unsigned long long)c->id,
		c->req_body  ? "POST"
		: c->is_head ? "HEAD"
			     : "GET",
		c->path, c->status, c->req_body, (unsigned long long)c->resp_body,
		(unsigned long long)c->start, (unsigned long long)end, (int)(c - run->conns),
		error ? ",\"error\":\"" : "", error ? error : "", error ? "\"" : "");
}

static int dial(const struct options *opt)
{
	int one = 1, fd, err;

	if (opt->unix_path) {
		struct sockaddr_un un = {.sun_family = AF_UNIX};

		snprintf(un.sun_path, sizeof(un.sun_path), "%s", opt->unix_path);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		err = connect(fd, (struct sockaddr *)&un, sizeof(un));
	} else if (strchr(opt->addr, ':')) {
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
					   .sin6_port = htons((uint16_t)opt->port)};

		inet_pton(AF_INET6, opt->addr, &in6.sin6_addr);
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		err = connect(fd, (struct sockaddr *)&in6, sizeof(in6));
	} else {
		struct sockaddr_in in = {.sin_family = AF_INET,
					 .sin_port = htons((uint16_t)opt->port)};

		inet_pton(AF_INET, opt->addr, &in.sin_addr);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		err = connect(fd, (struct sockaddr *)&in, sizeof(in));
	}
	if (err) {
		close(fd);
		return -1;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void hang_up(struct run *run, struct conn *c)
{
	(void)run;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->served = 0;
	c->phase = IDLE;
}

static void push(struct run *run, struct conn *c)
{
	while (c->req_sent < c->req_len) {
		ssize_t n = write(c->fd, c->req + c->req_sent, c->req_len - c->req_sent);

		if (n < 0 && errno == EAGAIN)
			return; /* EPOLLOUT brings us back */
		if (n < 0) {
			record(run, c, "write");
			hang_up(run, c);
			return;
		}
		c->req_sent += (size_t)n;
	}
	c->phase = HEAD;
}

static void build(struct run *run, struct conn *c)
{
	const struct options *opt = &run->opt;
	const char *shape = opt->shape[c->id % (uint64_t)opt->nr_shapes];
	int n;

	snprintf(c->path, sizeof(c->path), "%s/%s/%llu", opt->prefix, shape,
		 (unsigned long long)c->id);
	c->req_body = strcmp(shape, "post") ? 0 : post_size(c->id);
	c->is_head = !strcmp(shape, "head");
	n = snprintf(c->req, HEAD_MAX, "%s %s HTTP/1.1\r\nHost: truth.test\r\nUser-Agent: load\r\n",
		     c->req_body  ? "POST"
		     : c->is_head ? "HEAD"
				  : "GET",
		     c->path);
	if (opt->header)
		n += snprintf(c->req + n, HEAD_MAX - (size_t)n, "%s\r\n", opt->header);
	if (c->req_body)
		n += snprintf(c->req + n, HEAD_MAX - (size_t)n, "Content-Length: %zu\r\n",
			      c->req_body);
	n += snprintf(c->req + n, HEAD_MAX - (size_t)n, "\r\n");
	memset(c->req + n, 'x', c->req_body);
	c->req_len = (size_t)n + c->req_body;
	c->req_sent = c->head_len = 0;
	c->resp_body = 0;
	c->status = 0;
	c->close_after = false;
}

/* True when a request was sent, or failed to be. */
static bool issue(struct run *run, struct conn *c)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
	uint64_t now = now_ns();

	if (stopping || run->issued >= run->opt.count || now >= run->stop_at)
		return false;
	if (run->opt.rate > 0 &&
	    (double)run->issued > (double)(now - run->begin) / 1e9 * run->opt.rate)
		return false;
	c->id = run->opt.first_id + run->issued++;
	build(run, c);
	if (c->fd < 0) {
		c->fd = dial(&run->opt);
		if (c->fd < 0) {
			c->start = now_ns();
			record(run, c, "connect");
			return true;
		}
		epoll_ctl(run->epfd, EPOLL_CTL_ADD, c->fd, &ev);
	}
	c->phase = SENDING;
	c->start = now_ns();
	push(run, c);
	return true;
}

static void finish(struct run *run, struct conn *c)
{
	record(run, c, NULL);
	c->phase = IDLE;
	c->served++;
	if (c->close_after || (run->opt.per_conn && c->served >= run->opt.per_conn))
		hang_up(run, c);
}

static const char *field(const char *head, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = strstr(head, "\r\n"); p && p[2] != '\r'; p = strstr(p + 2, "\r\n")) {
		if (!strncasecmp(p + 2, name, len) && p[2 + len] == ':')
			return p + 3 + len + strspn(p + 3 + len, " \t");
		if (!p[2])
			break;
	}
	return NULL;
}

/* The head is complete: how does the body end? */
static void frame(struct run *run, struct conn *c)
{
	const char *te, *cl, *conn;

	c->status = atoi(c->head + 9);
	if (c->status < 200) { /* interim: the final answer follows */
		c->head_len = 0;
		return;
	}
	te = field(c->head, "transfer-encoding");
	cl = field(c->head, "content-length");
	conn = field(c->head, "connection");
	c->close_after = (conn && !strncasecmp(conn, "close", 5)) || c->head[7] == '0';
	if (c->is_head || c->status == 204 || c->status == 304) {
		finish(run, c);
	} else if (te && !strncasecmp(te, "chunked", 7)) {
		c->phase = CHUNK_SIZE;
		c->line_len = 0;
	} else if (cl) {
		c->left = strtoull(cl, NULL, 10);
		c->phase = BODY;
		if (!c->left)
			finish(run, c);
	} else {
		c->phase = UNTIL_CLOSE;
		c->close_after = true;
	}
}

static size_t take_head(struct run *run, struct conn *c, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (c->head_len >= HEAD_MAX) {
			record(run, c, "head too long");
			hang_up(run, c);
			return n;
		}
		c->head[c->head_len++] = p[i];
		if (c->head_len >= 4 && !memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4)) {
			c->head[c->head_len] = 0;
			frame(run, c);
			return i + 1;
		}
	}
	return n;
}

static size_t take_line(struct conn *c, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n') {
			c->line[c->line_len] = 0;
			c->line_len = 0;
			return i + 1;
		}
		if (c->line_len < sizeof(c->line) - 1)
			c->line[c->line_len++] = p[i];
	}
	return 0; /* not complete */
}

static size_t take_chunk(struct run *run, struct conn *c, const char *p, size_t n)
{
	size_t used = take_line(c, p, n);

	if (!used)
		return n;
	if (c->phase == CHUNK_SIZE) {
		c->left = strtoull(c->line, NULL, 16);
		c->phase = c->left ? CHUNK_DATA : CHUNK_END;
	} else if (c->line[0] == '\r' || !c->line[0]) { /* the end of the trailers */
		finish(run, c);
	}
	return used;
}

static size_t take_data(struct run *run, struct conn *c, size_t n)
{
	if (c->phase == UNTIL_CLOSE) {
		c->resp_body += n;
		return n;
	}
	if (n > c->left)
		n = c->left;
	c->left -= n;
	if (c->phase == CHUNK_DATA) {
		/* the CR LF behind the data is read as data too, and not counted */
		c->resp_body += n;
		if (!c->left)
			c->phase = CHUNK_SIZE;
		return n;
	}
	c->resp_body += n;
	if (!c->left)
		finish(run, c);
	return n;
}

static void eat(struct run *run, struct conn *c, const char *p, size_t n)
{
	while (n && c->fd >= 0) {
		size_t used = n;

		switch (c->phase) {
		case IDLE:
		case SENDING:
			hang_up(run, c); /* bytes that nobody asked for */
			run->errors++;
			return;
		case HEAD:
			used = take_head(run, c, p, n);
			break;
		case CHUNK_SIZE:
			if (!c->line_len && (*p == '\r' || *p == '\n'))
				used = 1; /* the end of the chunk before */
			else
				used = take_chunk(run, c, p, n);
			break;
		case CHUNK_END:
			used = take_chunk(run, c, p, n);
			break;
		case BODY:
		case CHUNK_DATA:
		case UNTIL_CLOSE:
			used = take_data(run, c, n);
			break;
		}
		p += used;
		n -= used;
	}
}

static void readable(struct run *run, struct conn *c)
{
	static char buf[1 << 18];

	while (c->fd >= 0 && c->phase != IDLE) {
		ssize_t n = read(c->fd, buf, sizeof(buf));

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			if (c->phase == UNTIL_CLOSE)
				finish(run, c);
			else
				record(run, c, n ? "read" : "eof");
			hang_up(run, c);
			return;
		}
		if (c->phase == SENDING)
			c->phase = HEAD; /* an early answer */
		eat(run, c, buf, (size_t)n);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void summary(struct run *run)
{
	double s = (double)(now_ns() - run->begin) / 1e9, p50 = 0, p99 = 0;

	if (run->nr_lat) {
		qsort(run->lat, run->nr_lat, sizeof(double), by_value);
		p50 = run->lat[run->nr_lat / 2];
		p99 = run->lat[run->nr_lat * 99 / 100];
	}
	printf("{\"done\":%llu,\"errors\":%llu,\"seconds\":%.3f,\"rps\":%.1f,\"p50_ms\":%.3f,"
	       "\"p99_ms\":%.3f}\n",
	       (unsigned long long)run->done, (unsigned long long)run->errors, s,
	       (double)run->done / s, p50, p99);
}

static void expire(struct run *run, uint64_t now)
{
	for (int i = 0; i < run->opt.conns; i++) {
		struct conn *c = &run->conns[i];

		if (c->phase != IDLE && (double)(now - c->start) > run->opt.timeout * 1e9) {
			record(run, c, "timeout");
			hang_up(run, c);
		}
	}
}

static bool work(struct run *run)
{
	bool busy = false;
	bool over = stopping || run->issued >= run->opt.count || now_ns() >= run->stop_at;

	for (int i = 0; i < run->opt.conns; i++) {
		struct conn *c = &run->conns[i];

		if (c->phase == IDLE && !over)
			issue(run, c);
		busy |= c->phase != IDLE;
	}
	return busy || !over;
}

static void loop(struct run *run)
{
	struct epoll_event evs[256];
	uint64_t checked = 0;

	while (work(run)) {
		int n = epoll_wait(run->epfd, evs, 256, run->opt.rate > 0 ? 1 : 100);

		for (int i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;

			if (c->fd < 0)
				continue;
			if (c->phase == IDLE && evs[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLIN)) {
				char b;

				if (recv(c->fd, &b, 1, MSG_PEEK) == 0)
					hang_up(run, c); /* closed while idle: not an error */
				continue;
			}
			if (c->phase == SENDING && evs[i].events & EPOLLOUT)
				push(run, c);
			if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				readable(run, c);
		}
		if (now_ns() - checked > 200000000ull) {
			checked = now_ns();
			expire(run, checked);
		}
	}
}

static void parse(struct options *opt, int argc, char **argv)
{
	int ch;

	*opt = (struct options){.addr = "127.0.0.1",
				.prefix = "/n",
				.conns = 1,
				.first_id = 1,
				.count = UINT64_MAX,
				.seconds = 1e6,
				.timeout = 30};
	while ((ch = getopt(argc, argv, "a:u:p:c:n:i:o:t:s:r:d:k:H:w:")) != -1) {
		switch (ch) {
		case 'a':
			opt->addr = optarg;
			break;
		case 'u':
			opt->unix_path = optarg;
			break;
		case 'p':
			opt->port = atoi(optarg);
			break;
		case 'c':
			opt->conns = atoi(optarg);
			break;
		case 'n':
			opt->count = strtoull(optarg, NULL, 10);
			break;
		case 'i':
			opt->first_id = strtoull(optarg, NULL, 10);
			break;
		case 'o':
			opt->records = optarg;
			break;
		case 't':
			opt->prefix = optarg;
			break;
		case 'r':
			opt->rate = atof(optarg);
			break;
		case 'd':
			opt->seconds = atof(optarg);
			break;
		case 'k':
			opt->per_conn = atoi(optarg);
			break;
		case 'H':
			opt->header = optarg;
			break;
		case 'w':
			opt->timeout = atof(optarg);
			break;
		case 's':
			if (opt->nr_shapes == SHAPES_MAX)
				die("more than %d shapes", SHAPES_MAX);
			opt->shape[opt->nr_shapes++] = optarg;
			break;
		default:
			die("usage: load -p PORT | -u PATH [-a ADDR] [-c CONNS] [-n COUNT] [-i "
			    "FIRST_ID] "
			    "[-o RECORDS] [-t PREFIX] [-s SHAPE]... [-r RATE] [-d SECONDS] "
			    "[-k PER_CONN] [-H 'Name: value'] [-w TIMEOUT]");
		}
	}
	if (!opt->nr_shapes)
		opt->shape[opt->nr_shapes++] = "one";
	if (opt->conns < 1 || opt->conns > CONNS_MAX)
		die("-c: 1 to %d", CONNS_MAX);
}

int main(int argc, char **argv)
{
	struct run run = {0};

	parse(&run.opt, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	run.conns = calloc((size_t)run.opt.conns, sizeof(*run.conns));
	run.room_lat = 1 << 21;
	run.lat = calloc(run.room_lat, sizeof(double));
	run.epfd = epoll_create1(EPOLL_CLOEXEC);
	if (!run.conns || !run.lat || run.epfd < 0)
		die("out of memory");
	for (int i = 0; i < run.opt.conns; i++)
		run.conns[i].fd = -1;
	if (run.opt.records && !(run.out = fopen(run.opt.records, "w")))
		die("%s: %s", run.opt.records, strerror(errno));
	run.begin = now_ns();
	run.stop_at = run.begin + (uint64_t)(run.opt.seconds * 1e9);
	loop(&run);
	if (run.out)
		fclose(run.out);
	summary(&run);
	return 0;
}
