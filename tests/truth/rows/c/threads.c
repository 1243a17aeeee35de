/* SPDX-License-Identifier: Apache-2.0 */
/*
 * threads.c - the ways in which C servers give requests to threads. The argument says which:
 *   connection  a thread per connection: reads, calls, answers
 *   request     one thread waits for all connections and starts a thread for each request, which
 *               reads, calls, answers
 *   pool        the same, but connections with a request go through a queue to 16 threads
 *   staged      one thread reads requests, 16 call, one answers: no thread sees both ends
 * Shapes as in ../../README.md. `pool`: 4 callers of their own; `flush`: a flusher on demand.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <unistd.h>

#include "http.h"

#define WORKERS	   16
#define CALLERS	   4
#define IDLE_MAX   1024
#define TIMEOUT_MS 100

enum mode { CONNECTION, REQUEST, POOL, STAGED };

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct item *first, **last;
};

/* A call that another thread makes for a request; its owner waits. */
struct call {
	const struct request *req;
	int n;
	bool ok, done;
};

struct conn {
	int fd;
	bool ok;
	struct request req;
	struct text in;
};

struct item {
	struct item *next;
	struct conn *conn;
	struct call *call;
};

static struct next next;
static enum mode mode;
static int epfd;
static struct queue ready, answers, calls, flushes;
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER, done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_cond = PTHREAD_COND_INITIALIZER;
static int idle[IDLE_MAX], nr_idle;
static bool flushing;

static void nap(void)
{
	usleep((useconds_t)(random() % 5000));
}

static void start(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, fn, arg)) {
		perror("pthread_create");
		exit(1);
	}
	pthread_detach(t);
}

/* ---- queues ------------------------------------------------------------------------------- */

static void queue__init(struct queue *q)
{
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->filled, NULL);
	q->last = &q->first;
}

static void queue__put(struct queue *q, struct conn *conn, struct call *call)
{
	struct item *it = calloc(1, sizeof(*it));

	it->conn = conn;
	it->call = call;
	pthread_mutex_lock(&q->lock);
	*q->last = it;
	q->last = &it->next;
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

static struct item queue__get(struct queue *q)
{
	struct item *it, copy;

	pthread_mutex_lock(&q->lock);
	while (!q->first)
		pthread_cond_wait(&q->filled, &q->lock);
	it = q->first;
	q->first = it->next;
	if (!q->first)
		q->last = &q->first;
	pthread_mutex_unlock(&q->lock);
	copy = *it;
	free(it);
	return copy;
}

/* ---- calls -------------------------------------------------------------------------------- */

static int borrow(void)
{
	int fd = -1;

	pthread_mutex_lock(&pool_lock);
	if (nr_idle)
		fd = idle[--nr_idle];
	pthread_mutex_unlock(&pool_lock);
	if (fd >= 0)
		return fd;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&next.addr, sizeof(next.addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void give_back(int fd)
{
	pthread_mutex_lock(&pool_lock);
	if (nr_idle < IDLE_MAX) {
		idle[nr_idle++] = fd;
		fd = -1;
	}
	pthread_mutex_unlock(&pool_lock);
	if (fd >= 0)
		close(fd);
}

static bool send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static bool read_message(int fd, struct text *t)
{
	while (!text__complete(t)) {
		ssize_t n = recv(fd, t->data + t->len, TEXT_MAX - 1 - t->len, 0);

		if (n <= 0)
			return false;
		t->len += (size_t)n;
	}
	return true;
}

static bool call_next(const struct request *r, int n)
{
	struct timeval limit = {.tv_usec = TIMEOUT_MS * 1000};
	static __thread struct text answer;
	char out[512 + BODY_MAX];
	size_t len = call__head(r, &next, n, out, 512);
	bool ok;
	int fd;

	nap();
	fd = borrow();
	if (fd < 0)
		return false;
	if (!strcmp(r->shape, "post")) {
		memcpy(out + len, r->body, r->body_len);
		len += r->body_len;
	}
	if (!strcmp(r->shape, "timeout"))
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	answer.len = answer.head = 0;
	ok = send_all(fd, out, len) && read_message(fd, &answer);
	if (!ok) {
		close(fd);
		return false;
	}
	give_back(fd);
	return !strncmp(answer.data, "HTTP/1.1 200", 12);
}

static void call__finish(struct call *c, bool ok)
{
	pthread_mutex_lock(&done_lock);
	c->ok = ok;
	c->done = true;
	pthread_cond_broadcast(&done_cond);
	pthread_mutex_unlock(&done_lock);
}

static bool call__wait(struct call *c)
{
	pthread_mutex_lock(&done_lock);
	while (!c->done)
		pthread_cond_wait(&done_cond, &done_lock);
	pthread_mutex_unlock(&done_lock);
	return c->ok;
}

static void *one_call(void *arg)
{
	struct call *c = arg;

	call__finish(c, call_next(c->req, c->n));
	return NULL;
}

static void *caller(void *arg)
{
	(void)arg;
	for (;;)
		one_call(queue__get(&calls).call);
	return NULL;
}

/* Started by a request that found none running; serves all that wait, then ends. */
static void *flusher(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_mutex_lock(&flushes.lock);
		if (!flushes.first) {
			flushing = false;
			pthread_mutex_unlock(&flushes.lock);
			return NULL;
		}
		pthread_mutex_unlock(&flushes.lock);
		one_call(queue__get(&flushes).call);
	}
}

static void flush(struct call *c)
{
	bool mine;

	queue__put(&flushes, NULL, c);
	pthread_mutex_lock(&flushes.lock);
	mine = !flushing;
	flushing = true;
	pthread_mutex_unlock(&flushes.lock);
	if (mine)
		start(flusher, NULL);
}

/* ---- requests ----------------------------------------------------------------------------- */

static bool act(const struct request *r)
{
	int n = request__calls(r);
	struct call call[4];
	bool ok = true;

	for (int i = 0; i < n; i++) {
		call[i] = (struct call){.req = r, .n = i};
		if (!strcmp(r->shape, "fan"))
			start(one_call, &call[i]);
		else if (!strcmp(r->shape, "pool"))
			queue__put(&calls, NULL, &call[i]);
		else if (!strcmp(r->shape, "flush"))
			flush(&call[i]);
		else
			one_call(&call[i]);
	}
	for (int i = 0; i < n; i++)
		ok &= call__wait(&call[i]);
	return ok;
}

static bool answer(struct conn *c)
{
	char out[256];

	return send_all(c->fd, out, answer__text(c->ok, out, sizeof(out)));
}

static void drop(struct conn *c)
{
	close(c->fd);
	free(c);
}

static void work(struct conn *c, bool known)
{
	c->ok = !known || act(&c->req);
	nap();
}

/* Read one request, serve it, answer it, all in this thread. */
static bool serve(struct conn *c)
{
	bool known, late;

	if (!read_message(c->fd, &c->in))
		return false;
	known = request__parse(&c->req, &c->in);
	late = known && !strcmp(c->req.shape, "after");
	if (late)
		c->ok = true;
	else
		work(c, known);
	if (!answer(c))
		return false;
	if (late)
		work(c, known);
	text__next(&c->in);
	return true;
}

static void wait_for(struct conn *c, int op)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = c};

	epoll_ctl(epfd, op, c->fd, &ev);
}

static void *connection(void *arg)
{
	struct conn *c = arg;

	while (serve(c))
		;
	drop(c);
	return NULL;
}

static void *request(void *arg)
{
	struct conn *c = arg;

	if (serve(c))
		wait_for(c, EPOLL_CTL_MOD);
	else
		drop(c);
	return NULL;
}

static void *worker(void *arg)
{
	struct conn *c;

	(void)arg;
	for (;;) {
		c = queue__get(&ready).conn;
		if (mode == POOL) {
			request(c);
			continue;
		}
		work(c, request__parse(&c->req, &c->in));
		queue__put(&answers, c, NULL);
	}
	return NULL;
}

static void *replier(void *arg)
{
	struct conn *c;

	(void)arg;
	for (;;) {
		c = queue__get(&answers).conn;
		if (!answer(c)) {
			drop(c);
			continue;
		}
		text__next(&c->in);
		wait_for(c, EPOLL_CTL_MOD);
	}
	return NULL;
}

static void *dispatcher(void *arg)
{
	struct epoll_event evs[64];

	(void)arg;
	for (;;) {
		int n = epoll_wait(epfd, evs, 64, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = evs[i].data.ptr;

			if (mode == REQUEST)
				start(request, c);
			else if (mode == POOL)
				queue__put(&ready, c, NULL);
			else if (read_message(c->fd, &c->in))
				queue__put(&ready, c, NULL);
			else
				drop(c);
		}
	}
	return NULL;
}

static void *noise(void *arg)
{
	struct request r = {.shape = "noise", .id = "0"};
	struct text answer;
	char out[256];

	(void)arg;
	for (;;) {
		int fd;

		usleep((useconds_t)noise_us());
		fd = borrow();
		if (fd < 0)
			continue;
		answer.len = answer.head = 0;
		snprintf(out, sizeof(out), "GET %s/%s/%s/0 HTTP/1.1\r\nHost: next\r\n\r\n",
			 next.base, r.shape, r.id);
		if (send_all(fd, out, strlen(out)) && read_message(fd, &answer))
			give_back(fd);
		else
			close(fd);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *const names[] = {"connection", "request", "pool", "staged"};
	int listener;

	while (argc < 2 || strcmp(argv[1], names[mode])) {
		if (mode++ == STAGED) {
			fprintf(stderr, "usage: threads connection|request|pool|staged\n");
			return 2;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	next__parse(&next);
	queue__init(&ready);
	queue__init(&answers);
	queue__init(&calls);
	queue__init(&flushes);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < CALLERS; i++)
		start(caller, NULL);
	for (int i = 0; mode >= POOL && i < WORKERS; i++)
		start(worker, NULL);
	if (mode == STAGED)
		start(replier, NULL);
	if (mode != CONNECTION)
		start(dispatcher, NULL);
	if (noise_us())
		start(noise, NULL);
	listener = listen_here(0);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		struct conn *c = fd >= 0 ? calloc(1, sizeof(*c)) : NULL;

		if (!c)
			continue;
		c->fd = fd;
		if (mode == CONNECTION)
			start(connection, c);
		else
			wait_for(c, EPOLL_CTL_ADD);
	}
}
