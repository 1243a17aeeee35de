/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watcher.c - finds processes, learns what they run, attaches to them.
 *
 * Jobs come from the kernel's process events and from the pipeline's wants. The process table is
 * the watcher's alone; the queues in and out are shared under one mutex, held for moments only.
 * Waits in event loops are watched for as long as a process may need that: one that nothing is
 * known of yet, or one whose requests are read by threads outside any loop.
 * What may be missing at first (a module that Python loads later) is looked for again each
 * second; control groups and containers have no event for "a process was moved in", so they are
 * scanned each second too.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <uthash.h>

#include <clew/bpf.h>
#include "base/log.h"
#include "probe/calibrate.h"
#include "probe/governor.h"
#include "probe/probes.h"
#include "probe/procfs.h"
#include "probe/resource.h"
#include "probe/runtime.h"
#include "probe/select.h"
#include "probe/watcher.h"

#define JOBS_MAX	4096
#define INFO_MAX	4096 /* records waiting to be taken; as many PROBES again find room */
#define INFO_TEXT	4096
#define GENERATIONS_MAX 16
#define LOOK_MAX_S	30
#define TCP_CONNECTED	1 /* states in /proc/net/tcp: include/net/tcp_states.h */
#define TCP_LISTENING	10

enum job_kind { JOB_LOOK, JOB_MATCH, JOB_EXIT, JOB_WANT };

struct job {
	enum job_kind kind;
	uint32_t pid;
	enum clew_probe_set set;
};

enum waits {
	WAITS_OPEN,	/* nothing is known yet: its first request must not find nobody watching */
	WAITS_NEEDED,	/* links in it rest on them */
	WAITS_POINTLESS /* event loops read its requests, or it speaks another protocol */
};

struct proc {
	uint32_t pid;
	enum waits waits; /* of one with CLEW_PROC_THREADS */
	struct clew_runtime rt;
	struct clew_probes probes;
	struct clew_governor governor;
	uint8_t wait_s, waited_s; /* when what is missing is looked for again */
	bool counted;		  /* hits of its probes */
	UT_hash_handle hh;
};

struct info {
	struct info *next;
	union {
		struct clew_event h;
		struct clew_proc_info proc;
		struct clew_probes_event probes;
	};
};

struct clew_watcher {
	const struct clew_config *cfg;
	struct clew_programs *programs;
	struct clew_runtime_cache *cache;
	struct proc *procs;
	uint32_t nr_procs;
	struct clew_hit_cost hit_cost;
	bool calibrated;

	pthread_t thread;
	bool started, stop;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job jobs[JOBS_MAX];
	uint32_t head, nr_jobs;
	uint64_t jobs_lost;
	struct info *first, **last;
	uint32_t nr_info;
	uint64_t infos_lost;
};

/* ---- queues ---------------------------------------------------------------------------- */

static void push(struct clew_watcher *w, struct job job)
{
	pthread_mutex_lock(&w->lock);
	if (w->nr_jobs == JOBS_MAX) {
		if (!w->jobs_lost++)
			clew_log(CLEW_LOG_WARN,
				 "more than %d processes wait to be looked at: some "
				 "are traced without their runtime's rules",
				 JOBS_MAX);
	} else {
		w->jobs[(w->head + w->nr_jobs++) % JOBS_MAX] = job;
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&w->lock);
}

void clew_watcher__event(struct clew_watcher *w, const struct clew_event *ev)
{
	const struct clew_proc_event *e = (const void *)ev;

	if (ev->type < CLEW_EV_FORK || ev->type > CLEW_EV_LISTEN || ev->size < sizeof(*e))
		return;
	if (ev->type == CLEW_EV_FORK)
		push(w, (struct job){JOB_LOOK, e->other, 0});
	else if (ev->type == CLEW_EV_EXEC)
		push(w, (struct job){e->other ? JOB_LOOK : JOB_MATCH, ev->pid, 0});
	else if (ev->type == CLEW_EV_LISTEN)
		push(w, (struct job){JOB_MATCH, ev->pid, 0});
	else if (ev->type == CLEW_EV_EXIT)
		push(w, (struct job){JOB_EXIT, ev->pid, 0});
}

void clew_watcher__want(struct clew_watcher *w, uint32_t pid, enum clew_probe_set set)
{
	push(w, (struct job){JOB_WANT, pid, set});
}

void clew_watcher__take(struct clew_watcher *w, clew_event_fn fn, void *arg)
{
	struct info *list;

	pthread_mutex_lock(&w->lock);
	list = w->first;
	w->first = NULL;
	w->last = &w->first;
	w->nr_info = 0;
	pthread_mutex_unlock(&w->lock);
	while (list) {
		struct info *next = list->next;

		fn(arg, &list->h);
		free(list);
		list = next;
	}
}

/* Takes `info`. What PROBES says keeps links right: the last room is theirs. */
static void publish(struct clew_watcher *w, struct info *info, uint8_t type, size_t size,
		    uint32_t pid)
{
	uint32_t room = type == CLEW_EV_PROBES ? 2 * INFO_MAX : INFO_MAX;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	info->h.version = CLEW_EVENT_VERSION;
	info->h.type = type;
	info->h.size = (uint16_t)size;
	info->h.pid = pid;
	info->h.ts = (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
	pthread_mutex_lock(&w->lock);
	if (w->nr_info < room) {
		*w->last = info;
		w->last = &info->next;
		w->nr_info++;
		info = NULL;
	} else if (!w->infos_lost++) {
		clew_log(CLEW_LOG_WARN,
			 "%u processes wait to be described to the pipeline: pid %u and maybe more "
			 "keep the names that they had",
			 w->nr_info, pid);
	}
	pthread_mutex_unlock(&w->lock);
	free(info);
}

static void publish_proc(struct clew_watcher *w, const struct proc *p)
{
	struct info *info = calloc(1, sizeof(*info) + INFO_TEXT);
	int len;

	if (!info)
		return;
	len = clew_resource_text__build(p->pid, w->cfg, &p->rt, info->proc.text, INFO_TEXT);
	if (len < 0) {
		free(info);
		return;
	}
	info->proc.start_time = p->rt.start_time;
	info->proc.runtime = p->rt.kind;
	info->proc.text_len = (uint16_t)len;
	publish(w, info, CLEW_EV_PROC_INFO, sizeof(info->proc) + (size_t)len, p->pid);
}

/* To be called before probes are detached: nothing may be concluded from what is not heard any
 * more; and after they are attached. */
static void publish_probes(struct clew_watcher *w, const struct proc *p)
{
	struct info *info = calloc(1, sizeof(*info));

	if (!info)
		return;
	info->probes.sets = p->probes.attached;
	info->probes.given_up = p->probes.given_up;
	publish(w, info, CLEW_EV_PROBES, sizeof(info->probes), p->pid);
}

/* ---- processes ------------------------------------------------------------------------- */

static void forget(struct clew_watcher *w, struct proc *p)
{
	clew_probes__detach_all(&p->probes);
	if (p->counted)
		clew_programs__count_hits(w->programs, p->pid, false);
	if (p->rt.kind == CLEW_RT_JAVA)
		clew_programs__set_java_wait(w->programs, p->pid, NULL);
	HASH_DEL(w->procs, p);
	__atomic_store_n(&w->nr_procs, HASH_COUNT(w->procs), __ATOMIC_RELAXED);
	free(p);
}

static struct proc *find(struct clew_watcher *w, uint32_t pid)
{
	struct proc *p;

	HASH_FIND(hh, w->procs, &pid, sizeof(pid), p);
	return p;
}

static bool alive(uint32_t pid, const struct clew_runtime *rt)
{
	struct clew_proc_stat st;

	return !clew_procfs__stat(pid, &st) && st.start_time == rt->start_time && st.state != 'Z' &&
	       st.state != 'X';
}

/* ---- does it call out already? ----------------------------------------------------------- */

#define SOCKETS_MAX 1024

struct sockets {
	uint64_t inode[SOCKETS_MAX];
	uint32_t nr;
	uint16_t listens[64];
	uint32_t nr_listens;
	bool calls_out, second_pass;
};

static int on_socket(void *arg, uint64_t inode)
{
	struct sockets *s = arg;

	if (s->nr < SOCKETS_MAX)
		s->inode[s->nr++] = inode;
	return 0;
}

static bool listens_on(const struct sockets *s, uint16_t port)
{
	for (uint32_t i = 0; i < s->nr_listens; i++)
		if (s->listens[i] == port)
			return true;
	return false;
}

static int on_tcp(void *arg, const struct clew_tcp_line *line)
{
	struct sockets *s = arg;
	bool mine = false;

	for (uint32_t i = 0; !mine && i < s->nr; i++)
		mine = s->inode[i] == line->inode;
	if (!mine)
		return 0;
	if (line->state == TCP_LISTENING && s->nr_listens < 64)
		s->listens[s->nr_listens++] = line->local_port;
	else if (s->second_pass && line->state == TCP_CONNECTED && !listens_on(s, line->local_port))
		s->calls_out = true;
	return s->calls_out;
}

/* An established connection whose local port it does not listen on: a pool from before. */
static bool calls_out(uint32_t pid)
{
	struct sockets *s = calloc(1, sizeof(*s));
	bool out = false;

	if (!s)
		return false;
	clew_procfs__each_socket(pid, on_socket, s);
	clew_procfs__each_tcp(pid, on_tcp, s);
	s->second_pass = true;
	clew_procfs__each_tcp(pid, on_tcp, s);
	out = s->calls_out;
	free(s);
	return out;
}

static void attach(struct clew_watcher *w, struct proc *p)
{
	if (!clew_probes__attach(&p->probes, w->programs, p->pid, &p->rt))
		return;
	publish_probes(w, p);
	if (w->cfg->capture.overhead_limit && !p->counted) {
		clew_programs__count_hits(w->programs, p->pid, true);
		p->counted = true;
	}
}

static int look(struct clew_watcher *w, uint32_t pid)
{
	struct proc *p = find(w, pid);
	struct clew_runtime rt;
	uint64_t wanted = 0;
	int err;

	err = clew_runtime__discover(w->cache, pid, &rt);
	if (p) {
		if (!err && p->rt.start_time == rt.start_time && p->rt.ino == rt.ino &&
		    p->rt.dev == rt.dev)
			wanted = p->probes.wanted;
		forget(w, p); /* another program or another process */
	}
	if (err)
		return err;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	p->rt = rt;
	p->probes.wanted = wanted;
	if (rt.kind == CLEW_RT_GO && calls_out(pid))
		p->probes.wanted |= 1ULL << CLEW_SET_GO_SERVE;
	if (rt.kind == CLEW_RT_NODE && calls_out(pid))
		p->probes.wanted |= 1ULL << CLEW_SET_NODE_IDS | 1ULL << CLEW_SET_NODE_ASYNC;
	if (rt.kind == CLEW_RT_TOKIO && calls_out(pid))
		p->probes.wanted |= 1ULL << CLEW_SET_RUST_MESSAGE | 1ULL << CLEW_SET_RUST_JOIN;
	if (rt.entry.flags & CLEW_PROC_THREADS)
		clew_programs__watch_waits(w->programs, true);
	err = clew_programs__set_proc(w->programs, pid, &rt.entry);
	if (err) {
		clew_log(CLEW_LOG_WARN,
			 "pid %u is not traced: the process table is full "
			 "(capture.max_processes)",
			 pid);
		free(p);
		return err;
	}
	if (!alive(pid, &rt)) { /* it ended while we looked: its exit came first */
		clew_programs__del_proc(w->programs, pid);
		free(p);
		return -ESRCH;
	}
	if (rt.kind == CLEW_RT_JAVA)
		clew_programs__set_java_wait(w->programs, pid, &rt.java_wait);
	HASH_ADD(hh, w->procs, pid, sizeof(p->pid), p);
	__atomic_store_n(&w->nr_procs, HASH_COUNT(w->procs), __ATOMIC_RELAXED);
	publish_proc(w, p);
	attach(w, p);
	clew_log(CLEW_LOG_DEBUG, "pid %u: %s %s%s%s", pid, rt.name, rt.version,
		 rt.why[0] ? ": " : "", rt.why);
	return 0;
}

static int on_match(void *arg, const struct clew_select_match *match)
{
	struct clew_watcher *w = arg;

	if (!find(w, match->pid))
		look(w, match->pid);
	return 0;
}

static int on_relative(void *arg, uint32_t pid)
{
	struct clew_watcher *w = arg;
	struct clew_proc_stat st;
	char exe[CLEW_PROCFS_PATH];

	if (pid == (uint32_t)getpid() || find(w, pid) || clew_procfs__stat(pid, &st) ||
	    !find(w, st.ppid))
		return 0;
	if (!clew_procfs__exe(pid, exe, sizeof(exe)) &&
	    clew_select__exe_matches(&w->cfg->select.exclude_exes, exe))
		return 0;
	look(w, pid);
	return 0;
}

/* The children that selected processes have already; later ones the kernel side adds itself. */
static void select_children(struct clew_watcher *w)
{
	uint32_t before;

	for (int depth = 0; depth < GENERATIONS_MAX; depth++) {
		before = w->nr_procs;
		clew_procfs__each_pid(on_relative, w);
		if (w->nr_procs == before)
			return;
	}
}

/* At once when somebody needs it, and given up by the way, so that it does not flap. */
static void watch_waits(struct clew_watcher *w)
{
	bool on = w->cfg->select.all;
	struct proc *p, *tmp;

	HASH_ITER(hh, w->procs, p, tmp)
	{
		if (!(p->rt.entry.flags & CLEW_PROC_THREADS))
			continue;
		if (p->waits == WAITS_OPEN && clew_programs__is_other(w->programs, p->pid))
			p->waits = WAITS_POINTLESS;
		on |= p->waits != WAITS_POINTLESS;
	}
	clew_programs__watch_waits(w->programs, on);
}

static void want(struct clew_watcher *w, uint32_t pid, enum clew_probe_set set)
{
	struct proc *p = find(w, pid);

	if (p && set == CLEW_WANT_WAITS) {
		p->waits = WAITS_NEEDED;
		clew_programs__watch_waits(w->programs, true);
		return;
	}
	if (p && set == CLEW_WANT_NO_WAITS) {
		if (p->waits == WAITS_OPEN)
			p->waits = WAITS_POINTLESS;
		return;
	}
	if (!p || p->probes.wanted & (1ULL << set))
		return;
	p->probes.wanted |= 1ULL << set;
	attach(w, p);
}

/* A JVM's classes that are never used, a loop that a Python program does not import. */
static bool may_never_come(const struct clew_runtime *rt)
{
	if (rt->kind == CLEW_RT_JAVA)
		return rt->entry.java_eetop || !rt->entry.java_self;
	for (uint32_t i = 0; i < rt->nr_sites; i++)
		if (rt->sites[i].kind == CLEW_SITE_PY_TASK_INIT)
			return true; /* asyncio is there */
	return false;
}

static void refresh_pending(struct clew_watcher *w)
{
	struct proc *p, *tmp;
	uint32_t nr_sites;

	HASH_ITER(hh, w->procs, p, tmp)
	{
		if (!p->rt.pending || ++p->waited_s < p->wait_s)
			continue;
		p->waited_s = 0;
		nr_sites = p->rt.nr_sites;
		if (clew_runtime__refresh(w->cache, p->pid, &p->rt) != 1) {
			if (may_never_come(&p->rt)) /* and to look for it is not cheap */
				p->wait_s =
					p->wait_s < LOOK_MAX_S / 2 ? 2 * p->wait_s + 1 : LOOK_MAX_S;
			continue;
		}
		p->wait_s = 0;
		if (p->rt.nr_sites != nr_sites) { /* a set may have grown: it is attached whole */
			p->probes.attached = 0;
			publish_probes(w, p);
			clew_probes__detach_all(&p->probes);
		}
		if (p->rt.entry.flags & CLEW_PROC_THREADS)
			clew_programs__watch_waits(w->programs, true);
		clew_programs__set_proc(w->programs, p->pid, &p->rt.entry);
		if (p->rt.kind == CLEW_RT_JAVA)
			clew_programs__set_java_wait(w->programs, p->pid, &p->rt.java_wait);
		publish_proc(w, p); /* what it runs may only now be known */
		attach(w, p);
	}
}

/* ---- what the probes cost ---------------------------------------------------------------- */

static void give_up(struct clew_watcher *w, struct proc *p, int set, double share)
{
	clew_log(CLEW_LOG_WARN,
		 "pid %u: its probes cost %.1f %% of its CPU (capture.overhead_limit is %u %%): %s "
		 "is "
		 "given up for %u s; links that only it proves will be unknown",
		 p->pid, share * 100, w->cfg->capture.overhead_limit, clew_set__info(set)->name,
		 p->governor.wait_s[set]);
	p->probes.given_up |= 1ULL << set;
	p->probes.attached &= ~(1ULL << set);
	publish_probes(w, p);
	clew_probes__detach(&p->probes, set);
}

static void govern(struct clew_watcher *w, struct proc *p)
{
	static const uint64_t second = 1000000000ULL;
	struct clew_governor_look look = {.attached = p->probes.attached};
	struct clew_proc_stat st;
	struct timespec ts;
	uint64_t back;
	double share;
	int set;

	if (!clew_programs__hits(w->programs, p->pid, look.hits) || clew_procfs__stat(p->pid, &st))
		return;
	if (!w->calibrated) {
		clew_calibrate(w->programs, &w->hit_cost);
		w->calibrated = true;
	}
	clock_gettime(CLOCK_MONOTONIC, &ts);
	look.now = (uint64_t)ts.tv_sec * second + (uint64_t)ts.tv_nsec;
	look.cpu = st.cpu * (second / (uint64_t)sysconf(_SC_CLK_TCK));
	look.limit = w->cfg->capture.overhead_limit / 100.0;
	for (uint32_t i = 0; i < p->rt.nr_sites; i++) {
		double ns = clew_hit_cost__of(&w->hit_cost, &p->rt.sites[i]);

		set = clew_site__info(p->rt.sites[i].kind)->set;
		if (ns > look.hit_ns[set])
			look.hit_ns[set] = ns;
	}
	back = clew_governor__back(&p->governor, look.now);
	if (back) {
		p->probes.given_up &= ~back;
		attach(w, p);
	}
	set = clew_governor__look(&p->governor, &look, &share);
	if (set >= 0)
		give_up(w, p, set, share);
}

static void govern_all(struct clew_watcher *w)
{
	struct proc *p, *tmp;

	HASH_ITER(hh, w->procs, p, tmp)
	{
		if (p->counted)
			govern(w, p);
	}
}

static void run(struct clew_watcher *w, const struct job *job)
{
	struct proc *p;

	switch (job->kind) {
	case JOB_LOOK:
		look(w, job->pid);
		break;
	case JOB_MATCH:
		if (clew_select__match_pid(&w->cfg->select, job->pid))
			look(w, job->pid);
		break;
	case JOB_EXIT:
		p = find(w, job->pid);
		if (p)
			forget(w, p);
		break;
	case JOB_WANT:
		want(w, job->pid, job->set);
		break;
	}
}

static void every_second(struct clew_watcher *w)
{
	const struct clew_selectors *select = &w->cfg->select;

	refresh_pending(w);
	govern_all(w);
	watch_waits(w);
	if (select->cgroups.n || select->containers.n || select->nr_ports)
		clew_select__scan(select, on_match, w);
}

static bool passed(const struct timespec *when)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > when->tv_sec ||
	       (now.tv_sec == when->tv_sec && now.tv_nsec >= when->tv_nsec);
}

static void *watch(void *arg)
{
	struct clew_watcher *w = arg;
	struct timespec next;

	clock_gettime(CLOCK_MONOTONIC, &next);
	next.tv_sec++;
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct job job;

		if (passed(&next)) { /* however many jobs wait */
			pthread_mutex_unlock(&w->lock);
			every_second(w);
			clock_gettime(CLOCK_MONOTONIC, &next);
			next.tv_sec++;
			pthread_mutex_lock(&w->lock);
		} else if (w->nr_jobs) {
			job = w->jobs[w->head];
			w->head = (w->head + 1) % JOBS_MAX;
			w->nr_jobs--;
			pthread_mutex_unlock(&w->lock);
			run(w, &job);
			pthread_mutex_lock(&w->lock);
		} else {
			pthread_cond_timedwait(&w->wake, &w->lock, &next);
		}
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int exclude_self(struct clew_watcher *w)
{
	struct clew_proc self;

	memset(&self, 0, sizeof(self));
	self.flags = CLEW_PROC_EXCLUDED;
	return clew_programs__set_proc(w->programs, (uint32_t)getpid(), &self);
}

struct complaint {
	char *errbuf;
	size_t n;
};

/* What cannot be fails the start; what may still come is said, and waited for. */
static void say(void *arg, bool fatal, const char *text)
{
	struct complaint *c = arg;

	if (!fatal)
		clew_log(CLEW_LOG_WARN, "%s", text);
	else if (!c->errbuf[0])
		snprintf(c->errbuf, c->n, "%s", text);
}

static int select_now(struct clew_watcher *w, char *errbuf, size_t n)
{
	const struct clew_selectors *s = &w->cfg->select;
	struct complaint c = {errbuf, n};

	errbuf[0] = 0;
	clew_select__check(s, say, &c);
	if (errbuf[0])
		return -ESRCH;
	for (uint32_t i = 0; i < s->nr_ports; i++)
		clew_programs__watch_port(w->programs, s->ports[i]);
	clew_select__scan(s, on_match, w);
	select_children(w);
	return 0;
}

int clew_watcher__new(const struct clew_config *cfg, struct clew_programs *programs,
		      struct clew_watcher **ret, char *errbuf, size_t n)
{
	struct clew_watcher *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;
	sigset_t all, old;
	int err;

	if (!w)
		return -ENOMEM;
	w->cfg = cfg;
	w->programs = programs;
	w->last = &w->first;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	w->cache = clew_runtime_cache__new();
	err = exclude_self(w);
	if (!err && cfg->select.all)
		err = clew_programs__watch_waits(programs, true);
	if (!err)
		err = select_now(w, errbuf, n);
	if (err)
		goto err_out;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals go to the main thread */
	err = -pthread_create(&w->thread, NULL, watch, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		goto err_out;
	w->started = true;
	*ret = w;
	return 0;

err_out:
	clew_watcher__free(w);
	return err;
}

uint32_t clew_watcher__nr_traced(const struct clew_watcher *w)
{
	return __atomic_load_n(&w->nr_procs, __ATOMIC_RELAXED);
}

void clew_watcher__free(struct clew_watcher *w)
{
	struct proc *p, *tmp;

	if (!w)
		return;
	if (w->started) {
		pthread_mutex_lock(&w->lock);
		w->stop = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
	}
	HASH_ITER(hh, w->procs, p, tmp)
	forget(w, p);
	while (w->first) {
		struct info *next = w->first->next;

		free(w->first);
		w->first = next;
	}
	clew_runtime_cache__free(w->cache);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->wake);
	free(w);
}
