/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live.c - one stream of events from the running system.
 *
 * Two threads. The caller's polls the ring buffer and hands out events; the watcher looks at
 * processes (ELF files, /proc), tells the kernel side what their runtime is, attaches their
 * uprobes, and queues what it found out as PROC_INFO records, which the caller's thread puts
 * into the stream. What the kernel reports about processes (fork, exec, listen, exit) becomes a
 * job for the watcher. A full job queue is counted and said; such a process is traced with what
 * it inherited, without runtime rules.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <clew/probe.h>

#include "base/log.h"
#include "probe/programs.h"
#include "probe/ring.h"
#include "probe/watcher.h"

#define SECOND	     1000000000ULL
#define CLOCK_NS     (SECOND / 20) /* time goes on in the stream though nothing else happens */
#define POLL_BUSY_US 2000	   /* the ring fills fast: look again soon */
#define POLL_GOAL    1024 /* records that are worth a wake-up, in a ring of 4 MiB or more */
#define POLL_MAX     100000
#define POLL_IDLE_US 20000 /* nothing came for a while */
#define BEHIND_PART  8	   /* of the ring: when so much waits, clew is behind */
#define BEHIND_NICE  (-10)

struct clew_live {
	clew_event_fn fn;
	void *arg;
	struct clew_programs *programs;
	struct clew_watcher *watcher;
	struct clew_ring *ring;
	int delivered;	  /* in this poll */
	int goal;	  /* records that are worth a wake-up */
	uint32_t idle_us; /* what is slept before the ring is looked at again */
	size_t behind_at; /* bytes that wait in the ring */
	bool may_hurry, hurries;
	int nice; /* of who does not hurry */
	uint64_t next_second, next_clock;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void deliver(struct clew_live *live, const struct clew_event *ev)
{
	live->fn(live->arg, ev);
	live->delivered++;
}

static void agent_header(struct clew_event *h, uint8_t type, uint16_t size)
{
	memset(h, 0, sizeof(*h));
	h->version = CLEW_EVENT_VERSION;
	h->type = type;
	h->size = size;
	h->ts = now_ns(CLOCK_MONOTONIC);
}

static void deliver_clock(struct clew_live *live)
{
	struct clew_clock c;

	agent_header(&c.h, CLEW_EV_CLOCK, sizeof(c));
	c.realtime = now_ns(CLOCK_REALTIME);
	deliver(live, &c.h);
}

static void deliver_stats(struct clew_live *live)
{
	struct clew_stats s;
	uint64_t count[CLEW_STAT_MAX];

	memset(&s, 0, sizeof(s));
	agent_header(&s.h, CLEW_EV_STATS, sizeof(s));
	clew_programs__stats(live->programs, count);
	memcpy(s.count, count, sizeof(count));
	deliver(live, &s.h);
}

static void on_info(void *arg, const struct clew_event *ev)
{
	deliver(arg, ev);
}

static void on_record(void *arg, const void *data, size_t size)
{
	struct clew_live *live = arg;
	const struct clew_event *ev = data;

	if (size >= sizeof(*ev) && ev->size <= size)
		clew_watcher__event(live->watcher, ev);
	deliver(live, ev);
}

static bool consume(struct clew_live *live, int max)
{
	return clew_ring__consume(live->ring, max, on_record, live) > 0;
}

/* Longer while fewer records than the goal came, shorter when more did. */
static void next_sleep(struct clew_live *live)
{
	if (live->delivered < live->goal / 2)
		live->idle_us += POLL_BUSY_US;
	else if (live->delivered > live->goal)
		live->idle_us /= 2;
	if (live->idle_us > POLL_IDLE_US)
		live->idle_us = POLL_IDLE_US;
	if (live->idle_us < POLL_BUSY_US)
		live->idle_us = POLL_BUSY_US;
}

/*
 * Who is behind asks for more of the processor until little waits: a ring that nobody reads in
 * time loses events, and that is worse than a target that has a smaller share for a moment. With
 * more threads at work than processors this is what keeps up. 0: the calling thread alone.
 */
static void hurry(struct clew_live *live)
{
	size_t waiting = clew_ring__waiting(live->ring);
	bool want = waiting > (live->hurries ? live->behind_at / 4 : live->behind_at);

	if (want == live->hurries || !live->may_hurry)
		return;
	live->may_hurry = !setpriority(PRIO_PROCESS, 0, want ? BEHIND_NICE : live->nice);
	live->hurries = want && live->may_hurry;
	if (!live->may_hurry)
		clew_log(CLEW_LOG_DEBUG, "%zu bytes wait in the ring, and the nice value stays: %s",
			 waiting, strerror(errno));
}

int clew_live__poll(struct clew_live *live, int timeout_ms, int max)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC), until = now + (uint64_t)timeout_ms * 1000000;

	live->delivered = 0;
	if (now >= live->next_clock) {
		live->next_clock = now + CLOCK_NS;
		deliver_clock(live);
	}
	if (now >= live->next_second) {
		live->next_second = now + SECOND;
		deliver_stats(live);
	}
	clew_watcher__take(live->watcher, on_info, live);
	hurry(live);
	while (!consume(live, max)) {
		if (now_ns(CLOCK_MONOTONIC) >= until)
			return live->delivered;
		usleep(live->idle_us);
		next_sleep(live);
	}
	if (live->delivered < max) { /* the ring is empty: let it fill a little */
		next_sleep(live);
		usleep(live->idle_us);
	}
	return live->delivered;
}

void clew_live__stop(struct clew_live *live, int deadline_ms)
{
	uint64_t until = now_ns(CLOCK_MONOTONIC) + (uint64_t)deadline_ms * 1000000;

	clew_programs__silence(live->programs);
	clew_watcher__take(live->watcher, on_info, live);
	while (consume(live, POLL_MAX) && now_ns(CLOCK_MONOTONIC) < until)
		;
	deliver_stats(live);
}

void clew_live__want(struct clew_live *live, uint32_t pid, enum clew_probe_set set)
{
	clew_watcher__want(live->watcher, pid, set);
}

void clew_live__ignore(struct clew_live *live, uint64_t sk, uint64_t conn_id)
{
	clew_programs__ignore(live->programs, sk, conn_id);
}

void clew_live__stats(struct clew_live *live, uint64_t count[CLEW_STAT_MAX])
{
	clew_programs__stats(live->programs, count);
}

const char *clew_live__layer(const struct clew_live *live)
{
	return clew_programs__layer(live->programs);
}

uint32_t clew_live__nr_traced(const struct clew_live *live)
{
	return clew_watcher__nr_traced(live->watcher);
}

int clew_live__new(const struct clew_config *cfg, clew_event_fn fn, void *arg,
		   struct clew_live **ret, char *errbuf, size_t n)
{
	struct clew_live *live = calloc(1, sizeof(*live));
	int err = -ENOMEM;

	if (!live)
		return -ENOMEM;
	live->fn = fn;
	live->arg = arg;
	live->idle_us = POLL_BUSY_US;
	live->goal = (int)(cfg->capture.ring_bytes / 4096);
	if (live->goal > POLL_GOAL)
		live->goal = POLL_GOAL;
	live->behind_at = cfg->capture.ring_bytes / BEHIND_PART;
	live->nice = getpriority(PRIO_PROCESS, 0);
	live->may_hurry = live->nice > BEHIND_NICE;
	err = clew_programs__load(cfg, &live->programs, errbuf, n);
	if (err)
		goto err_out;
	err = clew_ring__new(clew_programs__ring_fd(live->programs), cfg->capture.ring_bytes,
			     &live->ring);
	if (err) {
		snprintf(errbuf, n, "cannot map the ring buffer of %u bytes: %s",
			 cfg->capture.ring_bytes, strerror(-err));
		goto err_out;
	}
	err = clew_watcher__new(cfg, live->programs, &live->watcher, errbuf, n);
	if (err)
		goto err_out;
	*ret = live;
	return 0;

err_out:
	clew_live__free(live);
	return err;
}

void clew_live__free(struct clew_live *live)
{
	if (!live)
		return;
	clew_watcher__free(live->watcher);
	clew_ring__free(live->ring);
	clew_programs__free(live->programs);
	free(live);
}
