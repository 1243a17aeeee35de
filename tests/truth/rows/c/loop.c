/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - one thread, one loop on epoll or (argument "select") select, that serves and calls out:
 * what a thread does says nothing about whose request it does it for. Sleeps are timers. Shapes as
 * in ../../README.md: none, one, seq, fan, post, after, err, timeout, abort; `flush`: a list that
 * is served one by one.
 *
 * Descriptors block, but are read only when the loop says so; what is sent fits a socket buffer.
 */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "http.h"

#define TIMEOUT_NS 100000000ull
#define TIMERS	   4096
#define IDLE_MAX   1024

struct conn {
	int fd;
	bool upstream;
	struct job *job; /* that it works for */
	struct text text;
};

/* One request that is being served. */
struct job {
	struct conn *conn;
	struct request req;
	int calls, begun, open; /* to be made, made, not answered */
	bool ok, answered, timer;
};

typedef void (*timer_fn)(void *arg);

struct timer {
	uint64_t due;
	timer_fn fn;
	void *arg;
};

static struct next next;
static int epfd = -1, listener;
static struct conn *watched[FD_SETSIZE]; /* where there is no epoll */
static struct timer timers[TIMERS];
static size_t nr_timers;
static struct conn *idle[IDLE_MAX];
static size_t nr_idle;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void after(uint64_t ns, timer_fn fn, void *arg)
{
	if (nr_timers == TIMERS)
		abort();
	timers[nr_timers++] = (struct timer){now_ns() + ns, fn, arg};
}

static void cancel(timer_fn fn, const void *arg)
{
	for (size_t i = 0; i < nr_timers; i++)
		if (timers[i].fn == fn && timers[i].arg == arg)
			timers[i--] = timers[--nr_timers];
}

static uint64_t nap_ns(void)
{
	return (uint64_t)(random() % 5000) * 1000;
}

static void watch(struct conn *c)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if (epfd >= 0)
		epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev);
	else if (c->fd < FD_SETSIZE)
		watched[c->fd] = c;
	else
		abort();
}

static void drop(struct conn *c)
{
	if (epfd < 0)
		watched[c->fd] = NULL;
	close(c->fd);
	free(c);
}

/* ---- calls -------------------------------------------------------------------------------- */

static void begin_call(void *arg);

static void reply(void *arg)
{
	struct job *j = arg;
	char out[256];
	size_t n = answer__text(j->ok, out, sizeof(out));

	if (send(j->conn->fd, out, n, MSG_NOSIGNAL) < 0)
		j->ok = false; /* the next read of the connection tells */
	j->answered = true;
	j->conn->job = NULL;
	text__next(&j->conn->text);
	if (!strcmp(j->req.shape, "after") && !j->begun)
		after(nap_ns(), begin_call, j);
	else
		free(j);
}

static void call_done(struct job *j, bool ok)
{
	j->open--;
	j->ok &= ok;
	if (j->begun < j->calls && strcmp(j->req.shape, "fan"))
		after(nap_ns(), begin_call, j);
	else if (!j->open && j->begun == j->calls && !j->answered)
		after(nap_ns(), reply, j);
	else if (j->answered)
		free(j);
}

static void give_up(void *arg)
{
	struct conn *up = arg;
	struct job *j = up->job;

	drop(up);
	call_done(j, false);
}

static struct conn *borrow(void)
{
	struct conn *up;

	if (nr_idle)
		return idle[--nr_idle];
	up = calloc(1, sizeof(*up));
	up->upstream = true;
	up->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(up->fd, (struct sockaddr *)&next.addr, sizeof(next.addr))) {
		perror("connect");
		exit(1);
	}
	watch(up);
	return up;
}

static void begin_call(void *arg)
{
	struct job *j = arg;
	struct conn *up = borrow();
	static char out[512 + BODY_MAX];
	size_t n = call__head(&j->req, &next, j->begun++, out, 512);

	if (!strcmp(j->req.shape, "post")) {
		memcpy(out + n, j->req.body, j->req.body_len);
		n += j->req.body_len;
	}
	j->open++;
	up->job = j;
	if (send(up->fd, out, n, MSG_NOSIGNAL) < 0)
		give_up(up);
	else if (!strcmp(j->req.shape, "timeout"))
		after(TIMEOUT_NS, give_up, up);
}

static void answered(struct conn *up)
{
	bool ok = !strncmp(up->text.data, "HTTP/1.1 200", 12);
	struct job *j = up->job;

	cancel(give_up, up);
	text__next(&up->text);
	up->job = NULL;
	if (nr_idle < IDLE_MAX)
		idle[nr_idle++] = up;
	else
		drop(up);
	if (j)
		call_done(j, ok);
}

static void noise(void *arg)
{
	struct conn *up = borrow();
	char out[256];

	(void)arg;
	snprintf(out, sizeof(out), "GET %s/noise/0/0 HTTP/1.1\r\nHost: next\r\n\r\n", next.base);
	if (send(up->fd, out, strlen(out), MSG_NOSIGNAL) < 0)
		drop(up);
	after((uint64_t)noise_us() * 1000, noise, NULL);
}

/* ---- requests ----------------------------------------------------------------------------- */

static void serve(struct conn *c)
{
	struct job *j = calloc(1, sizeof(*j));

	j->conn = c;
	j->ok = true;
	c->job = j;
	if (request__parse(&j->req, &c->text))
		j->calls = request__calls(&j->req);
	if (!j->calls || !strcmp(j->req.shape, "after"))
		after(nap_ns(), reply, j);
	else
		for (int i = 0; i < (strcmp(j->req.shape, "fan") ? 1 : j->calls); i++)
			after(nap_ns(), begin_call, j);
}

static void readable(struct conn *c)
{
	struct text *t = &c->text;
	ssize_t n = recv(c->fd, t->data + t->len, TEXT_MAX - 1 - t->len, MSG_DONTWAIT);

	if (n <= 0) {
		if (c->upstream && c->job) {
			give_up(c);
			return;
		}
		for (size_t i = 0; i < nr_idle; i++)
			if (idle[i] == c)
				idle[i--] = idle[--nr_idle];
		drop(c);
		return;
	}
	t->len += (size_t)n;
	if (!text__complete(t))
		return;
	if (c->upstream)
		answered(c);
	else if (!c->job)
		serve(c);
}

static void run_timers(void)
{
	uint64_t now = now_ns();

	for (size_t i = 0; i < nr_timers; i++) {
		struct timer t = timers[i];

		if (t.due > now)
			continue;
		timers[i] = timers[--nr_timers];
		t.fn(t.arg);
		i = (size_t)-1; /* fn may have changed the table */
	}
}

static int until_timer(void)
{
	uint64_t first = UINT64_MAX, now = now_ns();

	for (size_t i = 0; i < nr_timers; i++)
		if (timers[i].due < first)
			first = timers[i].due;
	if (first == UINT64_MAX)
		return -1;
	return first <= now ? 0 : (int)((first - now) / 1000000) + 1;
}

static void accept_all(void)
{
	struct conn *c;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		c = calloc(1, sizeof(*c));
		c->fd = fd;
		watch(c);
	}
}

static void turn_epoll(int wait_ms)
{
	struct epoll_event evs[64];
	int n = epoll_wait(epfd, evs, 64, wait_ms);

	for (int i = 0; i < n; i++) {
		if (evs[i].data.ptr)
			readable(evs[i].data.ptr);
		else
			accept_all();
	}
}

static void turn_select(int wait_ms)
{
	struct timeval tv = {wait_ms / 1000, wait_ms % 1000 * 1000};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(listener, &set);
	for (int fd = 0; fd < FD_SETSIZE; fd++)
		if (watched[fd])
			FD_SET(fd, &set);
	if (select(FD_SETSIZE, &set, NULL, NULL, wait_ms < 0 ? NULL : &tv) <= 0)
		return;
	for (int fd = 0; fd < FD_SETSIZE; fd++)
		if (watched[fd] && FD_ISSET(fd, &set))
			readable(watched[fd]);
	if (FD_ISSET(listener, &set))
		accept_all();
}

int main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN};
	bool epoll = argc < 2 || strcmp(argv[1], "select");

	signal(SIGPIPE, SIG_IGN);
	next__parse(&next);
	listener = listen_here(SOCK_NONBLOCK);
	if (epoll) {
		epfd = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev);
	}
	if (noise_us())
		noise(NULL);
	for (;;) {
		if (epoll)
			turn_epoll(until_timer());
		else
			turn_select(until_timer());
		run_timers();
	}
}
