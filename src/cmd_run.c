/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_run.c - `clew run` and `clew record`: live source -> pipeline -> exporters.
 *
 * SIGINT and SIGTERM stop and drain within five seconds; a second one stops at once. With
 * `-- command` the command is started stopped, attached to, and let go, so that it is traced
 * from its first byte; when it ends, so does clew.
 */
#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <clew/capture.h>
#include <clew/pipeline.h>

#include "base/log.h"
#include "base/privileges.h"
#include "commands.h"

#define DRAIN_MS    5000
#define MARGIN_MS   1000 /* of those: to break off what hangs, for the ledger, on a busy machine */
#define POLL_MS	    50
#define POLL_EVENTS 20000

static volatile sig_atomic_t stop_signals;

static void on_signal(int sig)
{
	(void)sig;
	if (++stop_signals > 1)
		_exit(1);
}

struct run {
	struct clew_config *cfg;
	struct clew_ledger ledger;
	struct clew_export *export;
	struct clew_recorder *recorder;
	struct clew_pipeline *pipeline;
	struct clew_live *live;
	pid_t child;
	int child_gate; /* write end: closed to let the command go */
	int child_status;
	bool child_ended;
};

static uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* systemd's readiness protocol (sd_notify(3)): one datagram to the socket it names. */
static void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (!n || n >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&sa,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		clew_log(CLEW_LOG_WARN, "cannot tell the supervisor that clew is ready: %s",
			 strerror(errno));
	close(fd);
}

/*
 * A batch thread that wakes up never takes the processor from the one that runs there: what is
 * traced is not interrupted for what can wait. Its share of the time stays what it was. Threads
 * made later inherit it.
 */
static void be_patient(int policy)
{
	struct sched_param none = {0};

	if (sched_setscheduler(0, policy, &none))
		clew_log(CLEW_LOG_DEBUG, "cannot set the scheduling policy: %s", strerror(errno));
}

/* Start the command, held before its exec until the gate closes. */
static int hold_command(struct run *run)
{
	int gate[2];
	char byte;

	if (pipe(gate))
		return -errno;
	run->child = fork();
	if (run->child < 0) {
		close(gate[0]);
		close(gate[1]);
		return -errno;
	}
	if (!run->child) {
		close(gate[1]);
		if (read(gate[0], &byte, 1) < 0)
			_exit(127);
		close(gate[0]);
		be_patient(SCHED_OTHER);
		execvp(run->cfg->command[0], run->cfg->command);
		fprintf(stderr, "clew: cannot run %s: %s\n", run->cfg->command[0], strerror(errno));
		_exit(127);
	}
	close(gate[0]);
	run->child_gate = gate[1];
	return 0;
}

static int select_command(struct run *run)
{
	struct clew_selectors *s = &run->cfg->select;
	uint32_t *pids = realloc(s->pids, (s->nr_pids + 1) * sizeof(*pids));

	if (!pids)
		return -ENOMEM;
	s->pids = pids;
	s->pids[s->nr_pids++] = (uint32_t)run->child;
	return 0;
}

static void reap(struct run *run)
{
	if (run->child > 0 && !run->child_ended &&
	    waitpid(run->child, &run->child_status, WNOHANG) == run->child)
		run->child_ended = true;
}

static void print_second(struct run *run, uint64_t last[3])
{
	const struct clew_ledger *l = &run->ledger;
	uint64_t dropped = 0;
	char reasons[200] = "";
	size_t at = 0;

	clew_pipeline__account(run->pipeline);
	for (int i = 0; i < CLEW_EDROP_MAX; i++) {
		dropped += l->events_dropped[i];
		if (l->events_dropped[i] && at < sizeof(reasons))
			at += (size_t)snprintf(reasons + at, sizeof(reasons) - at, " %s=%llu",
					       clew_event_drop_names[i],
					       (unsigned long long)l->events_dropped[i]);
	}
	fprintf(stderr, "clew: %llu requests/s, %llu spans/s, %llu events/s dropped%s%s%s\n",
		(unsigned long long)(l->exchanges_seen - last[0]),
		(unsigned long long)(l->spans_built - last[1]),
		(unsigned long long)(dropped - last[2]), reasons[0] ? " (so far:" : "", reasons,
		reasons[0] ? ")" : "");
	last[0] = l->exchanges_seen;
	last[1] = l->spans_built;
	last[2] = dropped;
}

static void loop(struct run *run)
{
	uint64_t last[3] = {0}, next_line = mono_ns() + 1000000000ULL, next_metrics;
	uint64_t every = (uint64_t)run->cfg->telemetry.metrics_interval_ms * 1000000;
	bool terminal = isatty(STDERR_FILENO);

	next_metrics = mono_ns() + every;
	while (!stop_signals && !run->child_ended) {
		uint64_t now;

		clew_live__poll(run->live, POLL_MS, POLL_EVENTS);
		now = mono_ns();
		reap(run);
		if (terminal && now > next_line) {
			next_line = now + 1000000000ULL;
			print_second(run, last);
		}
		if (every && now > next_metrics) {
			next_metrics = now + every;
			clew_pipeline__metrics(run->pipeline);
		}
	}
}

static int finish(struct run *run)
{
	uint64_t until = mono_ns() + (uint64_t)DRAIN_MS * 1000000;
	uint64_t now;
	int err;

	if (run->child > 0 && !run->child_ended)
		kill(run->child, SIGTERM); /* clew started it, so clew's end is its end */
	clew_live__stop(run->live, DRAIN_MS / 2);
	clew_pipeline__drain(run->pipeline);
	clew_pipeline__account(run->pipeline);
	if (run->cfg->telemetry.metrics_interval_ms)
		clew_pipeline__metrics(run->pipeline);
	now = mono_ns();
	until -= (uint64_t)MARGIN_MS * 1000000;
	clew_export__free(run->export, now < until ? (uint32_t)((until - now) / 1000000) : 0);
	run->export = NULL;
	err = clew_recorder__free(run->recorder);
	run->recorder = NULL;
	if (err)
		clew_log(CLEW_LOG_ERROR, "the recording %s is incomplete: %s",
			 run->cfg->record_path, strerror(-err));
	clew_ledger__print(&run->ledger, stderr);
	if (run->cfg->ledger_path &&
	    clew_ledger__write_json(&run->ledger, run->cfg->ledger_path) < 0) {
		clew_log(CLEW_LOG_ERROR, "cannot write the ledger to %s", run->cfg->ledger_path);
		return -EIO;
	}
	return err;
}

static void want(void *arg, uint32_t pid, enum clew_probe_set set)
{
	clew_live__want(((struct run *)arg)->live, pid, set);
}

static void ignore(void *arg, uint64_t sk, uint64_t conn_id)
{
	clew_live__ignore(((struct run *)arg)->live, sk, conn_id);
}

static int check_ledger_path(const struct clew_config *cfg, char *errbuf, size_t n)
{
	FILE *f;
	int err;

	if (!cfg->ledger_path)
		return 0;
	f = fopen(cfg->ledger_path, "ae");
	if (!f) {
		err = -errno;
		snprintf(errbuf, n, "cannot write the ledger to %s: %s", cfg->ledger_path,
			 strerror(-err));
		return err;
	}
	fclose(f);
	return 0;
}

static int start(struct run *run, char *errbuf, size_t n)
{
	struct clew_pipeline_source source = {run, want, ignore};
	int err = check_ledger_path(run->cfg, errbuf, n);

	if (!err && run->cfg->command)
		err = hold_command(run);
	if (!err && run->cfg->command)
		err = select_command(run);
	if (!err)
		err = clew_export__new(run->cfg, &run->ledger, &run->export, errbuf, n);
	if (!err && run->cfg->record_path)
		err = clew_recorder__new(run->cfg->record_path, &run->recorder, errbuf, n);
	if (err)
		return err;
	run->pipeline =
		clew_pipeline__new(run->cfg, &run->ledger, run->export, run->recorder, &source);
	if (!run->pipeline)
		return -ENOMEM;
	return clew_live__new(run->cfg, clew_pipeline__feed, run->pipeline, &run->live, errbuf, n);
}

static void cleanup(struct run *run)
{
	if (run->child_gate > 0)
		close(run->child_gate);
	clew_live__free(run->live);
	clew_pipeline__free(run->pipeline);
	if (run->export)
		clew_export__free(run->export, 0);
	clew_recorder__free(run->recorder);
	clew_config__free(run->cfg);
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int cmd_run(int argc, char **argv)
{
	char errbuf[512] = "";
	struct run run;
	int err;

	memset(&run, 0, sizeof(run));
	err = clew_config__load(argc - 1, argv + 1, argv[0], &run.cfg, errbuf, sizeof(errbuf));
	if (err == 1)
		return 0;
	if (err) {
		fprintf(stderr, "clew: %s\n", errbuf);
		return clew_config__exit_code(err);
	}
	clew_log__set_level(run.cfg->log_level);
	for (uint32_t i = 0; i < run.cfg->warnings.n; i++)
		clew_log(CLEW_LOG_WARN, "%s", run.cfg->warnings.v[i]);
	if (!run.cfg->enabled) {
		clew_log(CLEW_LOG_INFO, "switched off by the configuration (enabled: false)");
		clew_config__free(run.cfg);
		return 0;
	}
	catch_signals();
	be_patient(SCHED_BATCH);
	err = start(&run, errbuf, sizeof(errbuf));
	if (err) {
		fprintf(stderr, "clew: %s\n", errbuf[0] ? errbuf : strerror(-err));
		cleanup(&run);
		return 1;
	}
	if (clew_privileges__drop(errbuf, sizeof(errbuf)))
		clew_log(CLEW_LOG_WARN, "%s", errbuf);
	fprintf(stderr, "clew: ready, capture layer %s, %u processes\n", clew_live__layer(run.live),
		clew_live__nr_traced(run.live));
	notify_ready();
	malloc_trim(0); /* loading needed the kernel's types: a few MiB that are not needed again */
	if (run.child_gate > 0)
		close(run.child_gate);
	run.child_gate = 0;
	loop(&run);
	err = finish(&run);
	if (!err && run.child_ended)
		err = WIFEXITED(run.child_status) ? WEXITSTATUS(run.child_status) : 1;
	cleanup(&run);
	return err ? 1 : 0;
}
