/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deeds.c - HTTP exchanges with itself over every kind of stream socket, moved in every way that
 * Linux knows, so that each hook of clew meets each of them at least once, and so that what clew
 * says can be compared with what was done.
 *
 *	deeds [--skip WORD]...		WORD: part of a case's name
 *
 * A server and a client process. For each exchange one line of JSON says what clew must report:
 * path, sizes, and who did it; a case that this kernel cannot do is a line with "skipped". Cases
 * `crowd-*` hold many threads in reads at a time. Exit 1 when an exchange went wrong by itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deeds.h"

#define ROUNDS	 3
#define CROWD	 64 /* more than a kernel has instances of a return probe */
#define REQUEST	 100
#define RESPONSE 3000
#define HEAD_MAX 256
#define PAUSE_MS 20 /* for the other side to be in its wait */

enum family { TCP4, TCP6, UNIX, FAMILIES };
static const char *const family_name[] = {"tcp4", "tcp6", "unix"};

enum flags { CLOSE = 1, WITH_URING = 2, MANY = 4 };

/* `*_body` is another way for the body, or NULL. */
static const struct kind {
	const char *name;
	deeds_move *req_send, *req_recv, *resp_send, *resp_recv, *body_send, *body_recv;
	int flags;
} kinds[] = {
	{"rw", send_write, recv_read, send_write, recv_read, NULL, NULL, 0},
	{"sendrecv", send_send, recv_recv, send_send, recv_recv, NULL, NULL, 0},
	{"vector", send_writev, recv_readv, send_writev, recv_readv, NULL, NULL, 0},
	{"msg", send_msg, recv_msg, send_msg, recv_msg, NULL, NULL, 0},
	{"mmsg", send_mmsg, recv_mmsg, send_mmsg, recv_mmsg, NULL, NULL, 0},
	{"peek", send_write, recv_peek, send_write, recv_peek, NULL, NULL, 0},
	{"poll", send_write, recv_poll, send_write, recv_poll, NULL, NULL, 0},
	{"waitall", send_write, recv_all, send_write, recv_all, NULL, NULL, 0},
	{"sendfile", send_write, recv_read, send_write, recv_read, body_sendfile, NULL, 0},
	{"splice-out", send_write, recv_read, send_write, recv_read, body_splice_out, NULL, 0},
	{"splice-in", send_write, recv_read, send_write, recv_read, NULL, body_splice_in, 0},
	{"uring", send_uring, recv_uring, send_uring, recv_uring, NULL, NULL, WITH_URING},
	{"uring-async", send_uring_async, recv_uring_async, send_uring_async, recv_uring_async,
	 NULL, NULL, WITH_URING},
	{"close", send_write, recv_read, send_write, recv_read, NULL, NULL, CLOSE},
	{"close-poll", send_write, recv_read, send_write, recv_poll, NULL, NULL, CLOSE},
	{"crowd", send_write, recv_read, send_write, recv_read, NULL, NULL, MANY},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* What the client tells the server before it connects. */
struct order {
	int kind, family;
};

struct side {
	struct order order;
	const struct kind *k;
	int fd, member; /* of a crowd */
	pthread_barrier_t *barrier;
	bool failed;
};

static struct sockaddr_storage addrs[FAMILIES];
static socklen_t addr_len[FAMILIES];
static int listeners[FAMILIES];
static pid_t server_pid;
static int taken[2]; /* pipe: the server says that it has accepted one */

static void pause_ms(long ms)
{
	struct timespec t = {0, ms * 1000000};

	nanosleep(&t, NULL);
}

/* Of a crowd the others would wait for ever. */
static bool complain(const struct side *s, const char *what)
{
	fprintf(stderr, "deeds: %s-%s: %s: %s\n", s->k->name, family_name[s->order.family], what,
		strerror(errno));
	if (s->barrier)
		exit(1);
	return false;
}

/* ---- messages: both sides know every byte of them ------------------------------------------ */

static size_t request(const struct side *s, int round, char *buf)
{
	int n = snprintf(buf, HEAD_MAX,
			 "POST /%s-%s/%d/%d HTTP/1.1\r\nHost: deeds\r\nContent-Length: %d\r\n\r\n",
			 s->k->name, family_name[s->order.family], s->member, round, REQUEST);

	memset(buf + n, 'q', REQUEST);
	return (size_t)n + REQUEST;
}

static size_t response_head(const struct side *s, char *buf)
{
	if (s->k->flags & CLOSE)
		return (size_t)snprintf(buf, HEAD_MAX,
					"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	return (size_t)snprintf(buf, HEAD_MAX, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
				RESPONSE);
}

static bool move_all(deeds_move *move, int fd, char *buf, size_t n)
{
	while (n) {
		ssize_t done = move(fd, buf, n);

		if (done < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (done <= 0)
			return false;
		buf += done;
		n -= (size_t)done;
	}
	return true;
}

static bool send_response(const struct side *s)
{
	char buf[HEAD_MAX + RESPONSE];
	size_t head = response_head(s, buf);

	memset(buf + head, 'r', RESPONSE);
	if (s->k->flags & CLOSE) { /* in two parts, the reader waits before each and for the end */
		if (!move_all(s->k->resp_send, s->fd, buf, head + RESPONSE / 2))
			return false;
		pause_ms(PAUSE_MS);
		if (!move_all(s->k->resp_send, s->fd, buf + head + RESPONSE / 2, RESPONSE / 2))
			return false;
		pause_ms(PAUSE_MS);
		return true;
	}
	if (!s->k->body_send)
		return move_all(s->k->resp_send, s->fd, buf, head + RESPONSE);
	return move_all(s->k->resp_send, s->fd, buf, head) &&
	       move_all(s->k->body_send, s->fd, buf + head, RESPONSE);
}

static bool recv_response(const struct side *s)
{
	char want[HEAD_MAX + RESPONSE], buf[HEAD_MAX + RESPONSE + 1];
	size_t head = response_head(s, want), all = head + RESPONSE;
	bool ok;

	memset(want + head, 'r', RESPONSE);
	if (s->k->body_recv)
		ok = move_all(s->k->resp_recv, s->fd, buf, head) &&
		     move_all(s->k->body_recv, s->fd, buf + head, RESPONSE);
	else
		ok = move_all(s->k->resp_recv, s->fd, buf, all);
	if (ok && s->k->flags & CLOSE)
		ok = s->k->resp_recv(s->fd, buf + all, 1) == 0;
	return ok && !memcmp(buf, want, all);
}

/* ---- server ---------------------------------------------------------------------------------- */

static void *serve(void *arg)
{
	struct side *s = arg;
	char want[HEAD_MAX + REQUEST], buf[HEAD_MAX + REQUEST];
	int rounds = s->k->flags & CLOSE ? 1 : ROUNDS;

	for (int i = 0; i < rounds && !s->failed; i++) {
		size_t n = request(s, i, want);

		if (!move_all(s->k->req_recv, s->fd, buf, n) || memcmp(buf, want, n)) {
			s->failed = !complain(s, "request");
			break;
		}
		if (s->barrier) { /* all clients wait for their answers by then */
			pthread_barrier_wait(s->barrier);
			pause_ms(PAUSE_MS);
		}
		if (!send_response(s))
			s->failed = !complain(s, "response");
	}
	if (rounds > 1 && !s->failed && s->k->resp_recv(s->fd, buf, 1) != 0)
		s->failed = !complain(s, "end of the connection");
	close(s->fd);
	return NULL;
}

static bool run_many(struct side *sides, int n, void *(*fn)(void *))
{
	pthread_barrier_t barrier;
	pthread_t threads[CROWD];
	bool failed = false;

	pthread_barrier_init(&barrier, NULL, n);
	for (int i = 0; i < n; i++) {
		sides[i].barrier = &barrier;
		if (pthread_create(&threads[i], NULL, fn, &sides[i]))
			exit(1); /* the others wait for it */
	}
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i], NULL);
		failed |= sides[i].failed;
	}
	pthread_barrier_destroy(&barrier);
	return !failed;
}

static bool obey(const struct order *o)
{
	const struct kind *k = &kinds[o->kind];
	int n = k->flags & MANY ? CROWD : 1;
	struct side sides[CROWD];

	for (int i = 0; i < n; i++) {
		sides[i] = (struct side){.order = *o, .k = k, .member = i};
		sides[i].fd = accept(listeners[o->family], NULL, NULL);
		if (sides[i].fd < 0)
			return complain(&sides[i], "accept");
		if (write(taken[1], "", 1) != 1)
			return complain(&sides[i], "to say that it is accepted");
	}
	if (n > 1)
		return run_many(sides, n, serve);
	serve(&sides[0]);
	return !sides[0].failed;
}

static int server(int orders)
{
	struct order o;
	bool ok = true;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(orders, &o, sizeof(o)) == sizeof(o))
		ok &= obey(&o);
	return !ok;
}

/* ---- client ---------------------------------------------------------------------------------- */

static void *call(void *arg)
{
	struct side *s = arg;
	char buf[HEAD_MAX + REQUEST];
	int rounds = s->k->flags & CLOSE ? 1 : ROUNDS;

	for (int i = 0; i < rounds && !s->failed; i++) {
		size_t n = request(s, i, buf);

		if (s->barrier) { /* the server's threads wait for requests by then */
			pthread_barrier_wait(s->barrier);
			pause_ms(PAUSE_MS);
		}
		if (!move_all(s->k->req_send, s->fd, buf, n))
			s->failed = !complain(s, "request");
		else if (!recv_response(s))
			s->failed = !complain(s, "response");
	}
	close(s->fd);
	return NULL;
}

static void tell(const struct side *s)
{
	int rounds = s->k->flags & CLOSE ? 1 : ROUNDS;

	for (int i = 0; i < rounds; i++)
		printf("{\"case\": \"%s-%s\", \"path\": \"/%s-%s/%d/%d\", \"request\": %d, "
		       "\"response\": %d, \"client\": %d, \"server\": %d}\n",
		       s->k->name, family_name[s->order.family], s->k->name,
		       family_name[s->order.family], s->member, i, REQUEST, RESPONSE, getpid(),
		       server_pid);
	fflush(stdout);
}

static bool try(const struct order *o, int orders)
{
	const struct kind *k = &kinds[o->kind];
	int n = k->flags & MANY ? CROWD : 1;
	struct side sides[CROWD];
	char byte;
	bool ok;

	if (write(orders, o, sizeof(*o)) != sizeof(*o))
		return false;
	for (int i = 0; i < n; i++) {
		sides[i] = (struct side){.order = *o, .k = k, .member = i};
		sides[i].fd = socket(addrs[o->family].ss_family, SOCK_STREAM, 0);
		if (connect(sides[i].fd, (void *)&addrs[o->family], addr_len[o->family]))
			return complain(&sides[i], "connect");
		/* connections need not arrive in the order in which they are made */
		if (read(taken[0], &byte, 1) != 1)
			return complain(&sides[i], "to be accepted");
	}
	if (n > 1) {
		ok = run_many(sides, n, call);
	} else {
		call(&sides[0]);
		ok = !sides[0].failed;
	}
	for (int i = 0; i < n; i++)
		tell(&sides[i]);
	return ok;
}

static bool listen_all(const char *folder)
{
	struct sockaddr_in *v4 = (void *)&addrs[TCP4];
	struct sockaddr_in6 *v6 = (void *)&addrs[TCP6];
	struct sockaddr_un *un = (void *)&addrs[UNIX];

	*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	un->sun_family = AF_UNIX;
	snprintf(un->sun_path, sizeof(un->sun_path), "%s/deeds.sock", folder);
	addr_len[TCP4] = sizeof(*v4);
	addr_len[TCP6] = sizeof(*v6);
	addr_len[UNIX] = sizeof(*un);
	for (int f = 0; f < FAMILIES; f++) {
		listeners[f] = socket(addrs[f].ss_family, SOCK_STREAM, 0);
		if (listeners[f] < 0 || bind(listeners[f], (void *)&addrs[f], addr_len[f]) ||
		    listen(listeners[f], CROWD)) {
			fprintf(stderr, "deeds: cannot listen on %s: %s\n", family_name[f],
				strerror(errno));
			return false;
		}
		if (f != UNIX)
			getsockname(listeners[f], (void *)&addrs[f], &addr_len[f]);
	}
	return true;
}

/* A child that becomes another program, and ends. */
static bool live_and_die(void)
{
	pid_t pid = fork();
	int status = 1;

	if (!pid) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

static bool unwanted(const char *name, char **skip)
{
	for (; *skip; skip++)
		if (strcmp(*skip, "--skip") && strstr(name, *skip))
			return true;
	return false;
}

static bool try_all(char **skip, int orders)
{
	char name[64];
	bool ok = true;

	for (size_t k = 0; k < KINDS; k++)
		for (int f = 0; f < FAMILIES; f++) {
			struct order o = {.kind = (int)k, .family = f};
			const char *why = NULL;

			snprintf(name, sizeof(name), "%s-%s", kinds[k].name, family_name[f]);
			if (unwanted(name, skip))
				why = "not asked for";
			else if (kinds[k].flags & WITH_URING && uring_works())
				why = "no io_uring here";
			if (why)
				printf("{\"case\": \"%s\", \"skipped\": \"%s\"}\n", name, why);
			else
				ok &= try(&o, orders);
		}
	return ok;
}

int main(int argc, char **argv)
{
	char folder[] = "/tmp/deeds-XXXXXX";
	int orders[2], status = 1;
	bool ok;

	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(folder) || !listen_all(folder) || pipe(orders) || pipe(taken))
		return 1;
	server_pid = fork();
	if (!server_pid) {
		close(orders[1]);
		close(taken[0]);
		exit(server(orders[0]));
	}
	close(orders[0]);
	close(taken[1]);
	for (int f = 0; f < FAMILIES; f++)
		close(listeners[f]);
	wait_every_way();
	ok = live_and_die() && try_all(argv + 1, orders[1]);
	close(orders[1]);
	if (waitpid(server_pid, &status, 0) != server_pid || status)
		ok = false;
	unlink(((struct sockaddr_un *)&addrs[UNIX])->sun_path);
	rmdir(folder);
	return !ok;
}
