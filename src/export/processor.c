/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One exporter: a bounded queue of span references, and a thread that takes batches from it and
 * sends them (OpenTelemetry trace SDK, "Batching processor" and "Simple processor"; OTLP
 * specification for what is retried).
 *
 * A full queue drops the new span, as OpenTelemetry's batch processor does, and counts it: the
 * producer never waits. The queue keeps filling while a failed batch is tried again. Whatever
 * happens to a span that came in is counted exactly once in the exporter's account: exported, or
 * dropped with a reason. A failure is logged when it begins and when it ends, not per batch.
 *
 *            spans()                 take()              deliver()
 *   producer ------> ring (mutex) ----------> thread ---------------> ops->send()
 *                      | full: QUEUE_FULL        | split when too large, retry, account
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "export/processor.h"
#include "export/retry.h"

#define DEFAULT_QUEUE	 2048
#define DEFAULT_BATCH	 512
#define DEFAULT_DELAY_MS 5000

enum health { HEALTHY, FAILING, REJECTING };

struct clew_exporter {
	const struct clew_export_config *cfg;
	const struct clew_exporter_ops *ops;
	void *state;
	struct clew_ledger_exporter *account;
	const struct clew_resource *self;
	uint64_t start_ns; /* wall clock: since when the metrics count */
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t wake;  /* for the thread: spans, metrics, stop */
	pthread_cond_t ended; /* for free(): done is set */
	/* under the lock */
	struct clew_span **ring;
	uint32_t cap, head, count;
	uint32_t batch_size, delay_ms;
	struct clew_metric_set *metrics;
	uint64_t overflowed; /* spans dropped because of a full queue */
	uint64_t stop_ms;    /* when stopping: until when */
	bool stop, cancelled, done;

	/* the thread's own */
	struct clew_span **batch;
	uint32_t flush_left; /* the delay is over: so many are due, full batch or not */
	uint64_t flush_ms;   /* when the delay is over */
	uint64_t overflow_seen;
	bool overflowing;
	enum health health;
};

uint64_t clew_export__now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Wait on a condition until a monotonic time; true: the time is over. */
static bool wait_until(struct clew_exporter *x, pthread_cond_t *cond, uint64_t ms)
{
	struct timespec ts = {.tv_sec = (time_t)(ms / 1000),
			      .tv_nsec = (long)(ms % 1000) * 1000000};

	return pthread_cond_timedwait(cond, &x->lock, &ts) == ETIMEDOUT;
}

/* ---- the queue ---------------------------------------------------------------------------- */

void clew_exporter__spans(struct clew_exporter *x, struct clew_span **spans, size_t n)
{
	size_t taken, to_end;
	bool stopped;

	pthread_mutex_lock(&x->lock);
	stopped = x->stop;
	taken = stopped ? 0 : x->cap - x->count;
	if (taken > n)
		taken = n;
	if (taken) {
		uint32_t tail = (x->head + x->count) % x->cap;

		to_end = x->cap - tail;
		if (to_end > taken)
			to_end = taken;
		memcpy(&x->ring[tail], spans, to_end * sizeof(*spans));
		memcpy(x->ring, spans + to_end, (taken - to_end) * sizeof(*spans));
		x->count += (uint32_t)taken;
		if (x->count >= x->batch_size)
			pthread_cond_signal(&x->wake);
	}
	if (!stopped)
		x->overflowed += n - taken;
	pthread_mutex_unlock(&x->lock);
	if (taken == n)
		return;
	clew_count(&x->account->dropped[stopped ? CLEW_SDROP_SHUTDOWN : CLEW_SDROP_QUEUE_FULL],
		   n - taken);
	clew_span__put_all(spans + taken, n - taken);
}

void clew_exporter__metrics(struct clew_exporter *x, struct clew_metric_set *set)
{
	struct clew_metric_set *old = set;

	pthread_mutex_lock(&x->lock);
	if (x->ops->metrics && !x->stop) {
		old = x->metrics;
		x->metrics = set;
		pthread_cond_signal(&x->wake);
	}
	pthread_mutex_unlock(&x->lock);
	clew_metric_set__put(old);
}

/* Under the lock: move what is due into the batch. */
static uint32_t pop(struct clew_exporter *x)
{
	uint32_t n = x->count;

	if (n > x->batch_size)
		n = x->batch_size;
	if (n < x->batch_size && !x->stop) {
		if (!x->flush_left)
			return 0;
		if (n > x->flush_left)
			n = x->flush_left;
	}
	for (uint32_t i = 0; i < n; i++) {
		x->batch[i] = x->ring[x->head];
		x->head = x->head + 1 == x->cap ? 0 : x->head + 1;
	}
	x->count -= n;
	x->flush_left -= n < x->flush_left ? n : x->flush_left;
	return n;
}

/*
 * Wait until there is something to do: a batch, metrics, or the end (returns false). A batch is
 * due when it is full, when the delay is over, or at the end.
 */
static bool take(struct clew_exporter *x, uint32_t *ret_n, struct clew_metric_set **ret_metrics)
{
	uint64_t overflowed;
	bool go_on;

	pthread_mutex_lock(&x->lock);
	for (;;) {
		*ret_n = pop(x);
		*ret_metrics = x->metrics;
		x->metrics = NULL;
		go_on = *ret_n || *ret_metrics;
		if (go_on || x->stop)
			break;
		if (wait_until(x, &x->wake, x->flush_ms)) {
			x->flush_left = x->count;
			x->flush_ms = clew_export__now_ms() + x->delay_ms;
		}
	}
	overflowed = x->overflowed - x->overflow_seen;
	x->overflow_seen = x->overflowed;
	if (overflowed && !x->overflowing)
		x->overflowing = true;
	else if (!overflowed && x->overflowing && x->count <= x->cap / 2)
		x->overflowing = false;
	else
		overflowed = 0; /* said already */
	pthread_mutex_unlock(&x->lock);
	if (overflowed)
		clew_log(CLEW_LOG_WARN,
			 "exporter %s: queue of %u is full, new spans are dropped (%" PRIu64
			 " so far)",
			 x->account->name, x->cap, x->overflow_seen);
	return go_on;
}

/* ---- sending ------------------------------------------------------------------------------ */

static void set_health(struct clew_exporter *x, enum health health,
		       const struct clew_send_result *res)
{
	const char *why = res->message[0] ? res->message : strerror(-res->err);

	if (x->health == health)
		return;
	if (health == REJECTING)
		clew_log(CLEW_LOG_WARN, "exporter %s: receiver rejects spans: %s", x->account->name,
			 why);
	else if (health == FAILING)
		clew_log(CLEW_LOG_WARN, "exporter %s: %s%s", x->account->name, why,
			 res->retry ? "; trying again" : "");
	else
		clew_log(CLEW_LOG_INFO, "exporter %s: delivering again", x->account->name);
	x->health = health;
}

static void account(struct clew_exporter *x, const struct clew_send_result *res, size_t n,
		    bool cancelled)
{
	size_t accepted = res->accepted < n ? res->accepted : n;
	size_t rejected = res->rejected < n - accepted ? res->rejected : n - accepted;
	unsigned drop = cancelled ? CLEW_SDROP_SHUTDOWN : (unsigned)res->drop;

	if (drop >= CLEW_SDROP_MAX)
		drop = CLEW_SDROP_UNREACHABLE;
	clew_count(&x->account->exported, accepted);
	clew_count(&x->account->dropped[CLEW_SDROP_REJECTED], rejected);
	clew_count(&x->account->dropped[drop], n - accepted - rejected);
}

/*
 * Wait before the next try. False: there is none, because the agent stops; its deadline comes
 * first or has come. A stop that begins during the wait ends the wait: one more try.
 */
static bool wait_retry(struct clew_exporter *x, uint64_t until_ms)
{
	bool was_stopping, ok;

	pthread_mutex_lock(&x->lock);
	was_stopping = x->stop;
	while (!x->cancelled && x->stop == was_stopping) {
		if (x->stop && until_ms > x->stop_ms)
			break;
		if (wait_until(x, &x->wake, until_ms) || clew_export__now_ms() >= until_ms)
			break;
	}
	ok = !x->cancelled && !(was_stopping && until_ms > x->stop_ms);
	pthread_mutex_unlock(&x->lock);
	return ok;
}

static bool is_cancelled(struct clew_exporter *x)
{
	bool v;

	pthread_mutex_lock(&x->lock);
	v = x->cancelled;
	pthread_mutex_unlock(&x->lock);
	return v;
}

/*
 * Send n spans until they are delivered, refused or given up, and account for them. Returns
 * -EMSGSIZE, without accounting, when they are too large together.
 */
static int send_all(struct clew_exporter *x, struct clew_span **spans, size_t n)
{
	struct clew_send_result res = {0};
	struct clew_retry retry;
	bool retrying = false, shutdown;
	int64_t wait;

	for (;;) {
		shutdown = is_cancelled(x);
		if (shutdown)
			break;
		memset(&res, 0, sizeof(res));
		res.drop = CLEW_SDROP_UNREACHABLE;
		x->ops->send(x->state, spans, n, &res);
		if (res.err == -EMSGSIZE && n > 1)
			return -EMSGSIZE;
		if (res.err == -ECANCELED) {
			shutdown = true;
			break;
		}
		if (!res.retry) {
			set_health(x, res.rejected ? REJECTING : res.err ? FAILING : HEALTHY, &res);
			break;
		}
		res.accepted = res.rejected = 0;
		set_health(x, FAILING, &res);
		if (!retrying)
			clew_retry__start(&retry, x->cfg, clew_export__now_ms(),
					  wall_ns() ^ (uintptr_t)x);
		retrying = true;
		wait = clew_retry__next(&retry, clew_export__now_ms(), res.retry_after_ms);
		if (wait < 0)
			break;
		if (!wait_retry(x, clew_export__now_ms() + (uint64_t)wait)) {
			shutdown = true;
			break;
		}
	}
	account(x, &res, n, shutdown);
	return 0;
}

static void deliver(struct clew_exporter *x, uint32_t n)
{
	uint32_t part = n, done = 0;

	while (done < n) {
		if (part > n - done)
			part = n - done;
		if (send_all(x, x->batch + done, part) == -EMSGSIZE) {
			part /= 2;
			continue;
		}
		done += part;
	}
	clew_span__put_all(x->batch, n);
}

static void *exporter_thread(void *arg)
{
	struct clew_exporter *x = arg;
	struct clew_metric_set *metrics;
	uint32_t n;

	x->flush_ms = clew_export__now_ms() + x->delay_ms;
	while (take(x, &n, &metrics)) {
		if (n)
			deliver(x, n);
		if (metrics && !is_cancelled(x))
			x->ops->metrics(x->state, metrics->m, metrics->n, x->self, x->start_ns,
					metrics->now_ns);
		clew_metric_set__put(metrics);
	}
	pthread_mutex_lock(&x->lock);
	x->done = true;
	pthread_cond_broadcast(&x->ended);
	pthread_mutex_unlock(&x->lock);
	return NULL;
}

/* ---- life --------------------------------------------------------------------------------- */

static int exporter_alloc(struct clew_exporter *x, const struct clew_export_config *cfg)
{
	pthread_condattr_t attr;

	x->cap = cfg->max_queue_size ? cfg->max_queue_size : DEFAULT_QUEUE;
	x->batch_size = cfg->max_export_batch_size ? cfg->max_export_batch_size : DEFAULT_BATCH;
	x->delay_ms = cfg->schedule_delay_ms ? cfg->schedule_delay_ms : DEFAULT_DELAY_MS;
	if (cfg->processor == CLEW_PROCESSOR_SIMPLE)
		x->batch_size = 1;
	if (x->batch_size > x->cap)
		x->batch_size = x->cap;
	pthread_mutex_init(&x->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&x->wake, &attr);
	pthread_cond_init(&x->ended, &attr);
	pthread_condattr_destroy(&attr);
	x->ring = calloc(x->cap, sizeof(*x->ring));
	x->batch = calloc(x->batch_size, sizeof(*x->batch));
	return x->ring && x->batch ? 0 : -ENOMEM;
}

/* The exporter's threads take no signals: those are the main thread's. */
static int exporter_start(struct clew_exporter *x, char *errbuf, size_t n)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = x->ops->open(x->cfg, &x->state, errbuf, n);
	if (!err) {
		err = -pthread_create(&x->thread, NULL, exporter_thread, x);
		x->started = !err;
		if (err)
			snprintf(errbuf, n, "cannot start a thread: %s", strerror(-err));
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

int clew_exporter__new(const struct clew_export_config *cfg, const struct clew_exporter_ops *ops,
		       struct clew_ledger_exporter *acct, const struct clew_resource *self,
		       struct clew_exporter **ret, char *errbuf, size_t n)
{
	struct clew_exporter *x = calloc(1, sizeof(*x));
	int err;

	if (!x) {
		snprintf(errbuf, n, "out of memory");
		return -ENOMEM;
	}
	x->cfg = cfg;
	x->ops = ops;
	x->account = acct;
	x->self = self;
	x->start_ns = wall_ns();
	err = exporter_alloc(x, cfg);
	if (err)
		snprintf(errbuf, n, "no memory for a queue of %u spans", x->cap);
	else
		err = exporter_start(x, errbuf, n);
	if (err) {
		clew_exporter__free(x);
		return err;
	}
	*ret = x;
	return 0;
}

void clew_exporter__stop(struct clew_exporter *x, uint64_t deadline_ms)
{
	pthread_mutex_lock(&x->lock);
	x->stop = true;
	x->stop_ms = deadline_ms;
	pthread_cond_broadcast(&x->wake);
	pthread_mutex_unlock(&x->lock);
}

void clew_exporter__free(struct clew_exporter *x)
{
	bool late;

	if (!x)
		return;
	if (x->started) {
		pthread_mutex_lock(&x->lock);
		x->stop = true;
		while (!x->done && !wait_until(x, &x->ended, x->stop_ms))
			;
		late = !x->done;
		x->cancelled = true;
		pthread_cond_broadcast(&x->wake);
		pthread_mutex_unlock(&x->lock);
		if (late && x->ops->cancel)
			x->ops->cancel(x->state);
		pthread_join(x->thread, NULL);
	}
	x->ops->close(x->state);
	clew_metric_set__put(x->metrics);
	free(x->ring);
	free(x->batch);
	pthread_cond_destroy(&x->wake);
	pthread_cond_destroy(&x->ended);
	pthread_mutex_destroy(&x->lock);
	free(x);
}
