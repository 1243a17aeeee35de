/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor with a scripted exporter behind it: queue overflow, batches, splitting, retries,
 * what the ledger says, and how it stops. Conditions are waited for with a deadline.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "export/processor.h"
#include "make_span.h"

#define DEADLINE_MS 10000

/* A receiver that does as told. */
static struct fake {
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool hold, cancelled; /* hold: a send waits until let go or cancelled */
	uint32_t fail_first;  /* so many sends ask for another try */
	uint32_t fail_always;
	uint32_t retry_after_ms;
	uint32_t reject; /* of each batch */
	uint32_t max;	 /* more spans than this are too large */
	int err;	 /* a lasting failure, dropped as `drop` */
	int drop;
	uint32_t sends, spans, largest, in_send, metric_sends;
	uint64_t at_ms[64];
	uint64_t metric_value;
	const char *metric_name;
	char metric_copy[32];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

static int fake_open(const struct clew_export_config *cfg, void **ret_state, char *errbuf, size_t n)
{
	if (cfg->insecure) { /* "cannot be opened" */
		snprintf(errbuf, n, "told to fail");
		return -EACCES;
	}
	*ret_state = &fake;
	return 0;
}

static void fake_send(void *state, struct clew_span *const *spans, size_t n,
		      struct clew_send_result *ret)
{
	struct fake *f = state;

	pthread_mutex_lock(&f->lock);
	if (f->sends < 64)
		f->at_ms[f->sends] = clew_export__now_ms();
	f->sends++;
	f->in_send = 1;
	pthread_cond_broadcast(&f->change);
	while (f->hold && !f->cancelled)
		pthread_cond_wait(&f->change, &f->lock);
	f->in_send = 0;
	if (n > f->largest)
		f->largest = (uint32_t)n;
	if (f->cancelled) {
		ret->err = -ECANCELED;
	} else if (f->max && n > f->max) {
		ret->err = -EMSGSIZE;
		ret->drop = CLEW_SDROP_ENCODE;
	} else if (f->fail_always || f->sends <= f->fail_first) {
		ret->err = -ECONNREFUSED;
		ret->retry = 1;
		ret->retry_after_ms = f->retry_after_ms;
	} else if (f->err) {
		ret->err = f->err;
		ret->drop = f->drop;
	} else {
		ret->rejected = f->reject < n ? f->reject : (uint32_t)n;
		ret->accepted = (uint32_t)n - ret->rejected;
		for (size_t i = 0; i < n; i++)
			f->spans += spans[i]->refs > 0;
	}
	pthread_cond_broadcast(&f->change);
	pthread_mutex_unlock(&f->lock);
}

static void fake_metrics(void *state, const struct clew_metric *m, size_t n,
			 const struct clew_resource *res, uint64_t start_ns, uint64_t now_ns)
{
	struct fake *f = state;

	assert_true(n == 1 && res && now_ns >= start_ns);
	pthread_mutex_lock(&f->lock);
	f->metric_sends++;
	f->metric_value = m->v;
	snprintf(f->metric_copy, sizeof(f->metric_copy), "%s", m->name);
	pthread_cond_broadcast(&f->change);
	pthread_mutex_unlock(&f->lock);
}

static void fake_cancel(void *state)
{
	struct fake *f = state;

	pthread_mutex_lock(&f->lock);
	f->cancelled = true;
	pthread_cond_broadcast(&f->change);
	pthread_mutex_unlock(&f->lock);
}

static void fake_close(void *state)
{
	(void)state;
}

static const struct clew_exporter_ops fake_ops = {
	.name = "fake",
	.open = fake_open,
	.send = fake_send,
	.metrics = fake_metrics,
	.cancel = fake_cancel,
	.close = fake_close,
};

static struct {
	struct clew_export_config cfg;
	struct clew_ledger ledger;
	struct clew_resource *res;
	struct clew_exporter *x;
} t;

static int setup(void **state)
{
	(void)state;
	clew_log__set_level(CLEW_LOG_ERROR);
	memset(&t, 0, sizeof(t));
	memset((char *)&fake + offsetof(struct fake, hold), 0,
	       sizeof(fake) - offsetof(struct fake, hold));
	t.cfg = (struct clew_export_config){.max_queue_size = 100,
					    .max_export_batch_size = 10,
					    .schedule_delay_ms = 60000,
					    .retry_initial_ms = 20,
					    .retry_max_ms = 40,
					    .retry_give_up_ms = 60000};
	t.res = make_resource("test");
	t.ledger.nr_exporters = 1;
	snprintf(t.ledger.exporter[0].name, sizeof(t.ledger.exporter[0].name), "fake");
	return 0;
}

static void start(void)
{
	char errbuf[128];

	assert_int_equal(clew_exporter__new(&t.cfg, &fake_ops, &t.ledger.exporter[0], t.res, &t.x,
					    errbuf, sizeof(errbuf)),
			 0);
}

static void push(uint32_t n)
{
	struct clew_span *spans[256];

	for (uint32_t i = 0; i < n; i++)
		spans[i] = make_span(t.res, i);
	clew_count(&t.ledger.spans_built, n);
	clew_exporter__spans(t.x, spans, n);
}

/* Stop, then: every span that was pushed is in the account exactly once. */
static uint64_t finish(uint32_t deadline_ms)
{
	uint64_t before = clew_export__now_ms();

	clew_exporter__stop(t.x, before + deadline_ms);
	clew_exporter__free(t.x);
	assert_true(clew_ledger__balanced(&t.ledger));
	assert_int_equal(__atomic_load_n(&t.res->refs, __ATOMIC_ACQUIRE), 1); /* no span left */
	clew_resource__put(t.res);
	return clew_export__now_ms() - before;
}

static void wait_for(const uint32_t *counter, uint32_t at_least)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DEADLINE_MS / 1000;
	pthread_mutex_lock(&fake.lock);
	while (*counter < at_least)
		assert_int_equal(pthread_cond_timedwait(&fake.change, &fake.lock, &until), 0);
	pthread_mutex_unlock(&fake.lock);
}

static void set(bool *flag, bool v)
{
	pthread_mutex_lock(&fake.lock);
	*flag = v;
	pthread_cond_broadcast(&fake.change);
	pthread_mutex_unlock(&fake.lock);
}

static uint64_t dropped(enum clew_span_drop why)
{
	return __atomic_load_n(&t.ledger.exporter[0].dropped[why], __ATOMIC_RELAXED);
}

/* ---- tests -------------------------------------------------------------------------------- */

static void test_full_batch_goes_at_once(void **state)
{
	(void)state;
	start();
	push(25);
	wait_for(&fake.spans, 20); /* two full ones; the delay of the rest is a minute */
	finish(5000);		   /* the end sends the rest */
	assert_int_equal(t.ledger.exporter[0].exported, 25);
	assert_int_equal(fake.largest, 10);
	assert_int_equal(fake.sends, 3);
}

static void test_delay_sends_part(void **state)
{
	(void)state;
	t.cfg.schedule_delay_ms = 30;
	start();
	push(3);
	wait_for(&fake.spans, 3);
	assert_int_equal(fake.sends, 1);
	finish(5000);
}

static void test_simple(void **state)
{
	(void)state;
	t.cfg.processor = CLEW_PROCESSOR_SIMPLE;
	start();
	push(7);
	wait_for(&fake.spans, 7);
	assert_int_equal(fake.sends, 7);
	assert_int_equal(fake.largest, 1);
	finish(5000);
}

static void test_overflow(void **state)
{
	(void)state;
	fake.hold = true;
	start();
	push(10);
	wait_for(&fake.in_send, 1); /* ten are with the exporter, the queue is empty */
	push(100);
	push(25);
	assert_int_equal(dropped(CLEW_SDROP_QUEUE_FULL), 25);
	set(&fake.hold, false);
	finish(5000);
	assert_int_equal(t.ledger.exporter[0].exported, 110);
}

static void test_retry(void **state)
{
	(void)state;
	fake.fail_first = 3;
	start();
	push(10);
	wait_for(&fake.spans, 10);
	assert_int_equal(fake.sends, 4);
	finish(5000);
	assert_int_equal(t.ledger.exporter[0].exported, 10);
}

static void test_retry_after(void **state)
{
	(void)state;
	fake.fail_first = 1;
	fake.retry_after_ms = 300;
	start();
	push(10);
	wait_for(&fake.spans, 10);
	assert_true(fake.at_ms[1] - fake.at_ms[0] >= 299);
	finish(5000);
}

static void test_give_up(void **state)
{
	(void)state;
	fake.fail_always = 1;
	t.cfg.retry_give_up_ms = 100;
	start();
	push(10);
	push(10);
	for (int i = 0; i < DEADLINE_MS && dropped(CLEW_SDROP_UNREACHABLE) < 20; i++)
		usleep(1000);
	finish(5000);
	assert_int_equal(dropped(CLEW_SDROP_UNREACHABLE), 20);
	assert_true(fake.sends >= 4); /* each batch was tried more than once */
}

static void test_rejected(void **state)
{
	(void)state;
	fake.reject = 4;
	start();
	push(10);
	wait_for(&fake.spans, 10);
	finish(5000);
	assert_int_equal(dropped(CLEW_SDROP_REJECTED), 4);
	assert_int_equal(t.ledger.exporter[0].exported, 6);
	assert_int_equal(fake.sends, 1); /* never again */
}

static void test_write_error(void **state)
{
	(void)state;
	fake.err = -ENOSPC;
	fake.drop = CLEW_SDROP_WRITE;
	start();
	push(20);
	finish(5000);
	assert_int_equal(dropped(CLEW_SDROP_WRITE), 20);
	assert_int_equal(fake.sends, 2);
}

static void test_split(void **state)
{
	(void)state;
	fake.max = 3;
	start();
	push(10);
	finish(5000);
	assert_int_equal(t.ledger.exporter[0].exported, 10);
	assert_int_equal(dropped(CLEW_SDROP_ENCODE), 0);
}

static void test_one_is_too_large(void **state)
{
	(void)state;
	fake.err = -EMSGSIZE;
	fake.drop = CLEW_SDROP_ENCODE;
	start();
	push(10);
	finish(5000);
	assert_int_equal(dropped(CLEW_SDROP_ENCODE), 10);
}

/* A receiver that hangs costs the deadline, not its own timeout. */
static void test_stop_while_sending(void **state)
{
	uint64_t took;

	(void)state;
	fake.hold = true;
	start();
	push(50);
	wait_for(&fake.in_send, 1);
	took = finish(200);
	assert_true(took >= 199 && took < 3000);
	assert_int_equal(dropped(CLEW_SDROP_SHUTDOWN), 50);
}

/* A receiver that is down, and a next try after the deadline: stop now, not then. */
static void test_stop_while_waiting(void **state)
{
	uint64_t took;

	(void)state;
	fake.fail_always = 1;
	t.cfg.retry_initial_ms = t.cfg.retry_max_ms = 60000;
	t.cfg.retry_give_up_ms = 600000;
	start();
	push(30);
	wait_for(&fake.sends, 1);
	took = finish(5000);
	assert_true(took < 3000);
	assert_int_equal(dropped(CLEW_SDROP_SHUTDOWN), 30);
	assert_true(fake.sends >= 2); /* one more try each */
}

static void test_metrics(void **state)
{
	char name[] = "clew.events";
	struct clew_metric m = {.name = name, .v = 1, .key = {"k"}, .value = {"v"}};

	(void)state;
	fake.hold = true;
	start();
	push(10);
	wait_for(&fake.in_send, 1);
	for (m.v = 1; m.v <= 3; m.v++)
		clew_exporter__metrics(t.x, clew_metric_set__new(&m, 1, UINT64_MAX));
	memset(name, 'x', sizeof(name) - 1); /* it was copied */
	set(&fake.hold, false);
	wait_for(&fake.metric_sends, 1);
	assert_int_equal(fake.metric_value, 3); /* only the newest waited */
	assert_string_equal(fake.metric_copy, "clew.events");
	finish(5000);
	assert_int_equal(fake.metric_sends, 1);
}

static void test_open_fails(void **state)
{
	char errbuf[128];

	(void)state;
	t.cfg.insecure = true;
	assert_int_equal(clew_exporter__new(&t.cfg, &fake_ops, &t.ledger.exporter[0], t.res, &t.x,
					    errbuf, sizeof(errbuf)),
			 -EACCES);
	assert_string_equal(errbuf, "told to fail");
	clew_resource__put(t.res);
}

/* ---- fan-out ------------------------------------------------------------------------------ */

static void test_fan_out(void **state)
{
	char dir[] = "/tmp/clew-test-XXXXXX", path[2][64], errbuf[256] = "";
	struct clew_export_config x[4] = {
		{.kind = CLEW_EXPORT_FILE},
		{.kind = CLEW_EXPORT_FILE},
		{.kind = CLEW_EXPORT_FILE, .target = (char *)"/dev/full"},
		{.kind = CLEW_EXPORT_OTLP_HTTP, .target = (char *)"http://127.0.0.1:1/v1/traces"}};
	struct clew_config cfg = {.exporters = x, .nr_exporters = 4};
	struct clew_span *spans[100];
	struct clew_export *ex;

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < 2; i++) {
		snprintf(path[i], sizeof(path[i]), "%s/%d", dir, i);
		x[i].target = path[i];
	}
	assert_int_equal(clew_export__new(&cfg, &t.ledger, &ex, errbuf, sizeof(errbuf)), 0);
	assert_string_equal(t.ledger.exporter[0].name, "file");
	assert_string_equal(t.ledger.exporter[1].name, "file#2");
	assert_string_equal(t.ledger.exporter[2].name, "file#3");
	assert_string_equal(t.ledger.exporter[3].name, "otlp-http");
	for (uint32_t i = 0; i < 100; i++)
		spans[i] = make_span(t.res, i);
	t.ledger.spans_built = 107;
	t.ledger.spans_sampled_out = 7;
	clew_export__spans(ex, spans, 100);
	clew_export__free(ex, 5000);
	assert_int_equal(t.ledger.exporter[0].exported, 100);
	assert_int_equal(t.ledger.exporter[1].exported, 100);
	assert_int_equal(t.ledger.exporter[2].dropped[CLEW_SDROP_WRITE], 100);
	assert_int_equal(t.ledger.exporter[3].dropped[CLEW_SDROP_SHUTDOWN], 100);
	assert_true(clew_ledger__balanced(&t.ledger));
	assert_int_equal(t.res->refs, 1);
	clew_resource__put(t.res);
	unlink(path[0]);
	unlink(path[1]);
	rmdir(dir);
}

static void test_fan_out_none(void **state)
{
	struct clew_config cfg = {0};
	struct clew_span *span = make_span(t.res, 1);
	char errbuf[256];
	struct clew_export *ex;

	(void)state;
	assert_int_equal(clew_export__new(&cfg, &t.ledger, &ex, errbuf, sizeof(errbuf)), 0);
	clew_export__spans(ex, &span, 1);
	clew_export__free(ex, 0);
	clew_export__free(NULL, 0);
	assert_int_equal(t.res->refs, 1);
	clew_resource__put(t.res);
}

static void test_fan_out_bad(void **state)
{
	struct clew_export_config x[2] = {
		{.kind = CLEW_EXPORT_CONSOLE},
		{.kind = CLEW_EXPORT_FILE, .target = (char *)"/nowhere/at/all"}};
	struct clew_config cfg = {.exporters = x, .nr_exporters = 2};
	struct clew_export *ex;
	char errbuf[256];

	(void)state;
	assert_int_equal(clew_export__new(&cfg, &t.ledger, &ex, errbuf, sizeof(errbuf)), -ENOENT);
	assert_non_null(strstr(errbuf, "exporter file: cannot open /nowhere/at/all"));
	clew_resource__put(t.res);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_full_batch_goes_at_once),
		TEST(test_delay_sends_part),
		TEST(test_simple),
		TEST(test_overflow),
		TEST(test_retry),
		TEST(test_retry_after),
		TEST(test_give_up),
		TEST(test_rejected),
		TEST(test_write_error),
		TEST(test_split),
		TEST(test_one_is_too_large),
		TEST(test_stop_while_sending),
		TEST(test_stop_while_waiting),
		TEST(test_metrics),
		TEST(test_open_fails),
		TEST(test_fan_out),
		TEST(test_fan_out_none),
		TEST(test_fan_out_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
