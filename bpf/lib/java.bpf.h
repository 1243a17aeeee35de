/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * java.bpf.h - who runs in a HotSpot JVM: the Java thread, virtual or not, and the job of a pool's
 * thread; and who waits for that. Part of context.bpf.h, which has the types. Offsets:
 * src/probe/java_runtime.c.
 */
#ifndef CLEW_JAVA_BPF_H
#define CLEW_JAVA_BPF_H

#include "sockfd.bpf.h"

#define JAVA_KLASS 8 /* an object's class, behind its mark word */

static __always_inline __u64 java_oop(const struct clew_proc *p, __u32 narrow)
{
	return narrow ? p->java_oops + ((__u64)narrow << (p->java_shift & 31)) : 0;
}

/* A pool's thread: which of its jobs it is at. `obj` is its java.lang.Thread. */
static __always_inline __u64 java_job(const struct clew_proc *p, __u64 obj)
{
	__u64 at = obj, worker;

	if (p->java_client && user_u32(obj + JAVA_KLASS) == p->java_client)
		return CLEW_JAVA_CLIENT;
	if (!p->java_worker)
		return 0;
	if (p->java_holder)
		at = java_oop(p, user_u32(obj + p->java_holder));
	worker = at ? java_oop(p, user_u32(at + p->java_target)) : 0;
	if (!worker || user_u32(worker + JAVA_KLASS) != p->java_worker ||
	    java_oop(p, user_u32(worker + p->java_w_thread)) != obj)
		return 0;
	return CLEW_JAVA_JOB | (__u32)user_u64(worker + p->java_w_done);
}

/* Is a collection at work? One may be already when its number is read. */
static __always_inline bool java_at_work(const struct clew_proc *p)
{
	return user_u32(p->java_heap + p->java_gc_active) & 0xff;
}

/* Has one begun since its number was `gc`, and none was at work? */
static __always_inline bool java_collects(const struct clew_proc *p, __u32 gc)
{
	return java_at_work(p) || user_u32(p->java_heap + p->java_gc_count) != gc;
}

/*
 * HotSpot: thread pointer -> JavaThread -> its java.lang.Thread, and the virtual thread that it
 * carries. A thread in a system call does not stop the collector, which may be moving the very
 * objects: what was read while one was at work, or before one that is over, is not believed. Each
 * step is proved by a pointer back.
 */
static __always_inline void context_java(const struct clew_proc *p, struct context *c)
{
	__u64 jt, h, obj, cur, v = 0, ref;
	__u32 gc;

	if (!p->java_self)
		return; /* an old JVM of unknown layout: threads are threads */
	jt = user_u64(thread_pointer() + p->java_self);
	if (!jt)
		return; /* no Java thread */
	c->kind = CLEW_CTX_NONE;
	h = user_u64(jt + p->java_obj);
	if (p->java_vthread)
		v = user_u64(jt + p->java_vthread);
	if (!p->java_eetop) {
		if (!p->java_vthread || (user_u64(h) && user_u64(h) == user_u64(v)))
			c->kind = CLEW_CTX_THREAD;
		return;
	}
	gc = user_u32(p->java_heap + p->java_gc_count);
	if (java_at_work(p))
		goto unresolved;
	cur = obj = user_u64(h);
	if (!obj || user_u64(obj + p->java_eetop) != jt)
		goto unresolved;
	v = user_u64(v);
	if (v && v != obj) {
		if (java_oop(p, user_u32(v + p->java_carrier)) != obj)
			goto unresolved;
		cur = v;
		ref = CLEW_JAVA_VIRTUAL;
	} else {
		ref = java_job(p, obj);
	}
	cur = user_u64(cur + p->java_tid);
	if (!cur || java_collects(p, gc))
		goto unresolved;
	c->ctx = cur;
	c->ref = ref;
	c->kind = CLEW_CTX_JAVA;
	return;
unresolved:
	count(CLEW_STAT_EDGE_UNRESOLVED);
}

/*
 * Who waits for a job. The job of a pool's thread is an object that lies near the beginning of its
 * stack: a FutureTask, whose `runner` is this very thread, or behind an AsyncSupply or AsyncRun the
 * CompletableFuture that it will complete. A virtual thread knows its task. Who waits for that has
 * left an entry in the object.
 *
 * Everything is a function of numbers, one name per object as for user_u64, and what goes round in
 * a loop comes from such a function: the verifier follows no values through the walks.
 */
enum {
	JAVA_CHUNK = 8,
	JAVA_CHUNKS = 16,   /* of a job's stack that are searched */
	JAVA_ENTRIES = 8,   /* in a future's list that are seen */
	JAVA_LEVELS = 24,   /* futures that depend on one another which are followed */
	JAVA_FRAMES = 160,  /* words of a waiter's stack that are searched */
	JAVA_ELEMENTS = 16, /* of a list on it */
	JAVA_LOOSE = 64	    /* so many waiters are looked at when a job had none */
};
#define JAVA_ARRAY_LENGTH 12 /* with compressed classes */
#define JAVA_ARRAY_DATA	  16

#define java_is_object CAT(java_is_object_, CLEW_OBJECT)
#define java_what      CAT(java_what_, CLEW_OBJECT)
#define java_task      CAT(java_task_, CLEW_OBJECT)
#define java_bound     CAT(java_bound_, CLEW_OBJECT)
#define java_waiter    CAT(java_waiter_, CLEW_OBJECT)
#define java_next      CAT(java_next_, CLEW_OBJECT)
#define java_element   CAT(java_element_, CLEW_OBJECT)
#define java_lookup    CAT(java_lookup_, CLEW_OBJECT)
#define java_exchange  CAT(java_exchange_, CLEW_OBJECT)
#define java_call      CAT(java_call_, CLEW_OBJECT)
#define java_last      CAT(java_last_, CLEW_OBJECT)
#define java_wait      CAT(java_wait_, CLEW_OBJECT)
#define java_list      CAT(java_list_, CLEW_OBJECT)
#define java_holds     CAT(java_holds_, CLEW_OBJECT)
#define java_held      CAT(java_held_, CLEW_OBJECT)

static __always_inline bool java_completable(const struct clew_java_wait *w, __u64 at)
{
	__u32 klass = user_u32(at + JAVA_KLASS);

	return klass && (klass == w->completable || klass == w->minimal);
}

/* May this word of a stack be an object's address? Those begin at `oops`. */
__noinline int java_is_object(__u64 at, __u64 oops, __u32 shift)
{
	return at && !(at & 7) && at - oops < 1ULL << (32 + (shift & 31));
}

/* An element of an array of objects; 0 beyond its end. */
__noinline __u32 java_element(__u64 array, __u32 i)
{
	if (!array || i >= user_u32(array + JAVA_ARRAY_LENGTH))
		return 0;
	return user_u32(array + JAVA_ARRAY_DATA + 4 * (__u64)i);
}

enum { JAVA_ASYNC = 1, JAVA_FOUND };

/* What the word `at` of a thread's stack points to, and what was `seen` before it; `me`: its
 * java.lang.Thread. */
__noinline int java_what(__u64 at, __u64 me, __u32 tgid, int seen)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u32 klass;

	if (!p || !w)
		return seen;
	klass = user_u32(at + JAVA_KLASS);
	if (!klass)
		return seen;
	if ((klass == w->future || klass == w->scheduled) &&
	    java_oop(p, user_u32(at + w->runner)) == me)
		return JAVA_FOUND;
	if (klass == w->async[0] || klass == w->async[1])
		return JAVA_ASYNC;
	return klass == w->completable && seen ? JAVA_FOUND : seen;
}

/* The object of the job that this thread is at, or 0; `me` is its java.lang.Thread. */
__noinline __u64 java_task(__u64 jt, __u64 me, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 base, chunk[JAVA_CHUNK];
	int seen = 0;

	if (!p || !w)
		return 0;
	base = user_u64(jt + w->stack_base) - 8 * (__u64)w->first;
#pragma clang loop unroll(disable)
	for (int i = 0; i < JAVA_CHUNKS; i++) {
		base -= sizeof(chunk);
		if (bpf_probe_read_user(chunk, sizeof(chunk), (void *)base))
			return 0;
		for (int k = JAVA_CHUNK - 1; k >= 0; k--) {
			__u64 at = chunk[k];

			if (!java_is_object(at, p->java_oops, p->java_shift))
				continue;
			seen = java_what(at, me, tgid, seen);
			if (seen == JAVA_FOUND)
				return at;
		}
	}
	return 0;
}

/* The future that a virtual thread was started for (ExecutorService.submit), or 0. */
__noinline __u64 java_bound(__u64 me, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 at;

	if (!p || !w || !w->bound)
		return 0;
	at = java_oop(p, user_u32(me + w->cont));
	at = at ? java_oop(p, user_u32(at + w->cont_target)) : 0;
	if (!at || user_u32(at + JAVA_KLASS) != w->runnable)
		return 0;
	at = java_oop(p, user_u32(at + w->cont_task));
	if (!at || user_u32(at + JAVA_KLASS) != w->bound ||
	    java_oop(p, user_u32(at + w->runner)) != me)
		return 0;
	return at;
}

/* The one thread that waits for a FutureTask, or 0. */
__noinline __u64 java_waiter(__u64 future, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 node, found = 0, thread;

	if (!p || !w)
		return 0;
	node = java_oop(p, user_u32(future + w->waiters));
#pragma clang loop unroll(disable)
	for (int i = 0; i < JAVA_ENTRIES; i++) {
		if (!node)
			return found;
		thread = java_oop(p, user_u32(node + w->node_thread));
		if (thread && found)
			return 0;
		found |= thread; /* 0: it has given up */
		node = java_oop(p, user_u32(node + w->node_next));
	}
	return 0;
}

/*
 * What hangs on a CompletableFuture: the one thread that waits for it, with JAVA_THREAD set; else
 * the one future that depends on it (thenApply, allOf); 0: nothing; 1: it is not clear.
 */
#define JAVA_THREAD 2

__noinline __u64 java_next(__u64 cf, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 at, to, thread = 0, dep = 0;
	__u32 klass;

	if (!p || !w || user_u32(cf + w->result))
		return 0; /* what has completed wakes nobody any more */
	at = java_oop(p, user_u32(cf + w->stack));
#pragma clang loop unroll(disable)
	for (int i = 0; i < JAVA_ENTRIES; i++) {
		if (!at)
			return thread ? thread | JAVA_THREAD : dep;
		klass = user_u32(at + JAVA_KLASS);
		if (klass == w->signaller) {
			to = java_oop(p, user_u32(at + w->sig_thread));
			if (to && thread)
				return 1;
			thread |= to;
		} else if (w->dep) {
			to = klass == w->co && klass ? java_oop(p, user_u32(at + w->base)) : at;
			to = java_oop(p, user_u32(to + w->dep));
			if (to && (!java_completable(w, to) || (dep && dep != to)))
				return 1;
			dep |= to;
		}
		at = java_oop(p, user_u32(at + w->next));
	}
	return 1;
}

/*
 * What is to be waited for to learn what becomes of a job: its task, or of CompletableFutures the
 * first that somebody waits for, or on which none depends. 0: it is not clear.
 */
__noinline __u64 java_last(__u64 task, __u32 tgid)
{
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);

	if (!w || !task || !java_completable(w, task))
		return task;
#pragma clang loop unroll(disable)
	for (int i = 0; i < JAVA_LEVELS; i++) {
		__u64 next = java_next(task, tgid);

		if (!next || next & JAVA_THREAD)
			return task;
		if (next == 1)
			return 0;
		task = next;
	}
	return 0;
}

/* What a HashMap has for a number; the hashes of no two are the same (HashMap.hash()). */
__noinline __u64 java_lookup(__u64 map, __u32 key, __u32 tgid)
{
	__u32 hash = key ^ key >> 16;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 node;

	if (!p || !w)
		return 0;
	node = java_oop(p, user_u32(map + w->map_table));
	node = java_oop(p, java_element(node, hash & (user_u32(node + JAVA_ARRAY_LENGTH) - 1)));
#pragma clang loop unroll(disable)
	for (int i = 0; i < JAVA_ENTRIES; i++) {
		if (!node)
			return 0;
		if (user_u32(node + w->node_hash) == hash)
			return java_oop(p, user_u32(node + w->node_value));
		node = java_oop(p, user_u32(node + w->map_next));
	}
	return 0;
}

/* From what a connection waits for to the future that the head of its answer will complete. */
__noinline __u64 java_exchange(__u64 event, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 at;

	if (!p || !w || !w->event || user_u32(event + JAVA_KLASS) != w->event)
		return 0;
	at = java_oop(p, user_u32(event + w->event_sub));
	at = java_oop(p, user_u32(at + w->sub_reads));
	at = java_oop(p, user_u32(at + w->reads_now));
	at = java_oop(p, user_u32(at + w->reading_to));
	at = java_oop(p, user_u32(at + w->receiver));
	at = java_oop(p, user_u32(at + w->reader));
	if (!at || user_u32(at + JAVA_KLASS) != w->headers)
		return 0;
	return java_oop(p, user_u32(at + w->headers_cf));
}

/*
 * java.net.http: its own thread, `me`, reads the answers of all calls. Its selector knows what
 * waits for the connection that it reads just now. Returns the future of that answer's head.
 */
__noinline __u64 java_call(__u64 me, __u64 conn_id, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u32 fd = fd_of_call();
	__u64 at, node, cf;

	if (!p || !w || !w->headers_cf || conn_of_fd(fd) != conn_id)
		return 0;
	at = java_oop(p, user_u32(me + w->selector));
	at = java_lookup(java_oop(p, user_u32(at + w->fd_keys)), fd, tgid);
	at = java_oop(p, user_u32(at + w->attachment));
	at = java_oop(p, user_u32(at + w->pending));
	at = java_oop(p, user_u32(at + w->set_map));
	at = java_oop(p, user_u32(at + w->map_table));
#pragma clang loop unroll(disable)
	for (int i = 0; i < JAVA_ELEMENTS; i++) {
		node = java_oop(p, java_element(at, i));
		cf = node ? java_exchange(java_oop(p, user_u32(node + w->node_key)), tgid) : 0;
		node = node ? java_oop(p, user_u32(node + w->map_next)) : 0;
		if (node && !cf)
			cf = java_exchange(java_oop(p, user_u32(node + w->node_key)), tgid);
		if (cf)
			return cf;
	}
	return 0;
}

/* An object's name until the next collection. */
static __always_inline __u64 java_name(__u64 obj, __u32 gc)
{
	return obj ^ (__u64)gc << 47;
}

/*
 * The answer of a call comes in to a job: tell who waits for `task`, which the job will give, or
 * that nobody does yet. Returns that thread, if what it holds is worth a look.
 */
__noinline __u64 java_wait(__u64 conn_id, __u64 ctx, __u64 ref, __u64 task, __u32 gc)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 who, child = 0, child_ref = 0;
	struct clew_edge *e;

	if (!p || !w)
		return 0;
	if (java_completable(w, task)) {
		who = java_next(task, tgid);
		if (who == 1)
			return 0;
		who = who & JAVA_THREAD ? who & ~(__u64)JAVA_THREAD : 0;
	} else {
		who = java_waiter(task, tgid);
	}
	if (who) {
		child = user_u64(who + p->java_tid);
		child_ref = user_u32(who + JAVA_KLASS) == w->virtual_thread ? CLEW_JAVA_VIRTUAL
									    : java_job(p, who);
	}
	if ((who && !child) || java_collects(p, gc)) {
		count(CLEW_STAT_EDGE_UNRESOLVED);
		return 0;
	}
	if (child == ctx && child)
		return 0;
	e = RESERVE(struct clew_edge);
	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), 0);
	e->kind = ref == CLEW_JAVA_CLIENT ? CLEW_EDGE_JAVA_CALL : CLEW_EDGE_JAVA_WAIT;
	e->conn_id = conn_id;
	e->ctx = ctx;
	e->ref = ref;
	e->child = child;
	e->chain[0] = child_ref;
	e->chain[1] = java_name(task, gc);
	e->chain_len = 2;
	SUBMIT(e);
	if (!who)
		w->loose = JAVA_LOOSE;
	if (!who || !w->loose || child_ref & CLEW_JAVA_VIRTUAL)
		return 0;
	w->loose--;
	return who;
}

/* The elements of a list, or 0. */
__noinline __u64 java_list(__u64 at, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u32 klass;

	if (!p || !w)
		return 0;
	klass = user_u32(at + JAVA_KLASS);
	if (!klass || (klass != w->list[0] && klass != w->list[1]))
		return 0;
	return java_oop(p,
			user_u32(at + (klass == w->list[0] ? w->list_data[0] : w->list_data[1])));
}

/*
 * Is this another future that the thread `who` made lately? Its own room for new objects is where
 * it lies then.
 */
__noinline int java_holds(__u64 at, __u64 task, __u64 jt, __u64 who, __u32 gc)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, klass;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	struct clew_edge_short *e;
	__u64 ctx, ref;

	if (!p || !w || at == task || at < user_u64(jt + w->tlab_start) ||
	    at >= user_u64(jt + w->tlab_top))
		return 0;
	klass = user_u32(at + JAVA_KLASS);
	if (!klass || (klass != w->future && klass != w->scheduled && klass != w->bound &&
		       klass != w->completable && klass != w->minimal))
		return 0;
	ctx = user_u64(who + p->java_tid);
	ref = java_job(p, who);
	if (java_collects(p, gc))
		return 0;
	e = RESERVE(struct clew_edge_short);
	if (!e)
		return 0;
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), 0);
	e->kind = CLEW_EDGE_JAVA_HELD;
	e->conn_id = 0;
	e->ctx = ctx;
	e->ref = ref;
	e->child = java_name(at, gc);
	e->chain_len = 0;
	e->flags = 0;
	e->pad[0] = e->pad[1] = e->pad[2] = 0;
	SUBMIT(e);
	return 0;
}

/*
 * A thread waits for one of several jobs that it started (submit, then get each). The others are
 * in its hands, as variables of its frames or in a list there.
 */
__noinline int java_held(__u64 who, __u64 task, __u32 gc)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 jt, sp, at, array = 0;

	if (!p || !w || !w->tlab_top)
		return 0;
	jt = user_u64(who + p->java_eetop);
	sp = jt ? user_u64(jt + w->anchor_sp) : 0;
	if (!sp)
		return 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < JAVA_FRAMES; i++) {
		at = user_u64(sp + 8 * (__u64)i);
		if (!java_is_object(at, p->java_oops, p->java_shift))
			continue;
		java_holds(at, task, jt, who, gc);
		array = java_list(at, tgid);
		if (array)
			break;
	}
#pragma clang loop unroll(disable)
	for (int k = 0; k < JAVA_ELEMENTS; k++) {
		at = java_oop(p, java_element(array, k));
		if (at)
			java_holds(at, task, jt, who, gc);
	}
	return 0;
}

/* The answer of a call begins, which a job or virtual thread made. */
static __always_inline void java_answer(const struct clew_proc *p, const struct context *who,
					__u64 conn_id, __u32 tgid)
{
	__u32 gc = user_u32(p->java_heap + p->java_gc_count);
	__u64 jt = user_u64(thread_pointer() + p->java_self), task;

	if (java_at_work(p)) {
		count(CLEW_STAT_EDGE_UNRESOLVED);
		return;
	}
	if (who->ref == CLEW_JAVA_CLIENT)
		task = java_call(user_u64(user_u64(jt + p->java_obj)), conn_id, tgid);
	else if (who->ref & CLEW_JAVA_VIRTUAL)
		task = java_bound(user_u64(user_u64(jt + p->java_vthread)), tgid);
	else
		task = java_task(jt, user_u64(user_u64(jt + p->java_obj)), tgid);
	task = java_last(task, tgid);
	if (!task)
		return;
	jt = java_wait(conn_id, who->ctx, who->ref, task, gc);
	if (jt)
		java_held(jt, task, gc);
}

/*
 * A message begins. Of a job that calls out it is asked who waits for it, but not while it is at a
 * request that it read itself.
 */
static __always_inline void java_turn(const struct clew_proc *p, const struct context *who,
				      const struct clew_kconn *c, __u64 id, __u8 dir)
{
	struct clew_thread *th;

	if (!(who->ref & (CLEW_JAVA_VIRTUAL | CLEW_JAVA_JOB | CLEW_JAVA_CLIENT)))
		return;
	if (c->role == CLEW_ROLE_CLIENT && dir == CLEW_SEND)
		return;
	th = who->ref & CLEW_JAVA_JOB ? thread_of((__u32)id, c->role == CLEW_ROLE_SERVER) : NULL;
	if (c->role == CLEW_ROLE_SERVER) {
		if (th)
			th->java_serves = dir == CLEW_RECV ? who->ref : 0;
	} else if (!th || th->java_serves != who->ref) {
		java_answer(p, who, c->id, id >> 32);
	}
}

#endif
