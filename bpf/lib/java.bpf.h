/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * java.bpf.h - who runs in a HotSpot JVM: the Java thread, virtual or not, and the job of a pool's
 * thread; and who waits for that. Part of context.bpf.h, which has the types. Offsets:
 * src/probe/java_runtime.c.
 */
#ifndef CLEW_JAVA_BPF_H
#define CLEW_JAVA_BPF_H

#define JAVA_KLASS 8 /* an object's class, behind its mark word */

static __always_inline __u64 java_oop(const struct clew_proc *p, __u32 narrow)
{
	return narrow ? p->java_oops + ((__u64)narrow << (p->java_shift & 31)) : 0;
}

/* A pool's thread: which of its jobs it is at. `obj` is its java.lang.Thread. */
static __always_inline __u64 java_job(const struct clew_proc *p, __u64 obj)
{
	__u64 at = obj, worker;

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
	if (!cur || (user_u32(p->java_heap + p->java_gc_active) & 0xff) ||
	    user_u32(p->java_heap + p->java_gc_count) != gc)
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
 */
enum { JAVA_CHUNK = 8, JAVA_CHUNKS = 16, JAVA_WAITERS = 4, JAVA_DEPS = 12 };
enum { JAVA_OTHER, JAVA_FUTURE, JAVA_ASYNC, JAVA_COMPLETABLE };

/* One name per object, as for rdonly_cast; verified once each, not at every call. */
#define java_what   CAT(java_what_, CLEW_OBJECT)
#define java_task   CAT(java_task_, CLEW_OBJECT)
#define java_waiter CAT(java_waiter_, CLEW_OBJECT)
#define java_wait   CAT(java_wait_, CLEW_OBJECT)

/* What the word `at` of a thread's stack points to; `me` is its java.lang.Thread. */
__noinline int java_what(__u64 at, __u64 me, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u32 klass;

	if (!p || !w)
		return JAVA_OTHER;
	klass = user_u32(at + JAVA_KLASS);
	if (!klass)
		return JAVA_OTHER;
	if (klass == w->future)
		return java_oop(p, user_u32(at + w->runner)) == me ? JAVA_FUTURE : JAVA_OTHER;
	if (klass == w->async[0] || klass == w->async[1])
		return JAVA_ASYNC;
	return klass == w->completable ? JAVA_COMPLETABLE : JAVA_OTHER;
}

/* The object of the job whose frames begin below `base`, or 0. */
__noinline __u64 java_task(__u64 base, __u64 me, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	__u64 oops, size, chunk[JAVA_CHUNK];
	bool async = false;

	if (!p)
		return 0;
	oops = p->java_oops;
	size = 1ULL << (32 + (p->java_shift & 31));
	for (int i = 0; i < JAVA_CHUNKS; i++) {
		base -= sizeof(chunk);
		if (bpf_probe_read_user(chunk, sizeof(chunk), (void *)base))
			return 0;
		for (int k = JAVA_CHUNK - 1; k >= 0; k--) {
			__u64 at = chunk[k];
			int what;

			if (!at || at & 7 || at - oops >= size)
				continue;
			what = java_what(at, me, tgid);
			if (what == JAVA_FUTURE || (what == JAVA_COMPLETABLE && async))
				return at;
			if (what == JAVA_ASYNC)
				async = true;
		}
	}
	return 0;
}

/* The future that a virtual thread was started for (ExecutorService.submit), or 0. */
static __always_inline __u64 java_bound(const struct clew_proc *p, const struct clew_java_wait *w,
					__u64 me)
{
	__u64 at;

	if (!w->bound)
		return 0;
	at = java_oop(p, user_u32(me + w->cont));
	at = at ? java_oop(p, user_u32(at + w->cont_target)) : 0;
	if (!at || user_u32(at + JAVA_KLASS) != w->runnable)
		return 0;
	at = java_oop(p, user_u32(at + w->cont_task));
	return at && user_u32(at + JAVA_KLASS) == w->bound &&
			       java_oop(p, user_u32(at + w->runner)) == me
		       ? at
		       : 0;
}

/* The one thread that waits for a FutureTask, or 0. */
static __always_inline __u64 java_future_waiter(const struct clew_proc *p,
						const struct clew_java_wait *w, __u64 future)
{
	__u64 node = java_oop(p, user_u32(future + w->waiters)), found = 0, thread;

	for (int i = 0; i < JAVA_WAITERS && node; i++) {
		thread = java_oop(p, user_u32(node + w->node_thread));
		if (thread && found)
			return 0;
		if (thread) /* else it has given up */
			found = thread;
		node = java_oop(p, user_u32(node + w->node_next));
	}
	return node ? 0 : found;
}

/*
 * Likewise for a CompletableFuture: who waits for it, else for the one that depends on it
 * (thenApply, allOf), and so on. What has completed wakes nobody any more.
 */
__noinline __u64 java_waiter(__u64 cf, __u32 tgid)
{
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 at, to, found = 0, dep = 0;
	bool several = false;
	__u32 klass;

	if (!p || !w)
		return 0;
	at = user_u32(cf + w->result) ? 0 : java_oop(p, user_u32(cf + w->stack));
	for (int i = 0; i < JAVA_DEPS; i++) {
		if (!at) { /* all that hangs on this one is seen */
			if (found || several || !dep)
				return found;
			at = user_u32(dep + w->result) ? 0 : java_oop(p, user_u32(dep + w->stack));
			dep = 0;
			continue;
		}
		klass = user_u32(at + JAVA_KLASS);
		if (klass == w->signaller) {
			to = java_oop(p, user_u32(at + w->sig_thread));
			if (to && found)
				return 0;
			found = to ? to : found;
		} else {
			to = klass == w->co && w->co ? java_oop(p, user_u32(at + w->base)) : at;
			to = to && w->dep ? java_oop(p, user_u32(to + w->dep)) : 0;
			if (to && user_u32(to + JAVA_KLASS) != w->completable)
				return 0;
			several |= to && dep && dep != to;
			dep = to ? to : dep;
		}
		at = java_oop(p, user_u32(at + w->next));
	}
	return 0;
}

/* The answer of a call comes in: tell who waits for the job that reads it. */
__noinline int java_wait(__u64 conn_id, __u64 ctx, __u64 ref)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, gc;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);
	struct clew_java_wait *w = bpf_map_lookup_elem(&java_waits, &tgid);
	__u64 jt, me, task, who = 0, who_ref = 0;
	struct clew_edge *e;

	if (!p || !w)
		return 0;
	gc = user_u32(p->java_heap + p->java_gc_count);
	jt = user_u64(thread_pointer() + p->java_self);
	if (ref & CLEW_JAVA_VIRTUAL) {
		me = user_u64(user_u64(jt + p->java_vthread));
		task = java_bound(p, w, me);
	} else {
		me = user_u64(user_u64(jt + p->java_obj));
		task = java_task(user_u64(jt + w->stack_base) - 8 * (__u64)w->first, me, tgid);
	}
	if (!task)
		return 0;
	if (user_u32(task + JAVA_KLASS) == w->completable)
		task = java_waiter(task, tgid);
	else
		task = java_future_waiter(p, w, task);
	if (!task || task == me)
		return 0;
	who = user_u64(task + p->java_tid);
	who_ref = user_u32(task + JAVA_KLASS) == w->virtual_thread ? CLEW_JAVA_VIRTUAL
								   : java_job(p, task);
	if (!who || (user_u32(p->java_heap + p->java_gc_active) & 0xff) ||
	    user_u32(p->java_heap + p->java_gc_count) != gc) {
		count(CLEW_STAT_EDGE_UNRESOLVED);
		return 0;
	}
	e = RESERVE(struct clew_edge);
	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	header(&e->h, CLEW_EV_EDGE, sizeof(*e), 0);
	e->kind = CLEW_EDGE_JAVA_WAIT;
	e->conn_id = conn_id;
	e->ctx = ctx;
	e->ref = ref;
	e->child = who;
	e->chain[0] = who_ref;
	e->chain_len = 1;
	SUBMIT(e);
	return 0;
}

/*
 * A message begins. Of a job that calls out it is asked who waits for it, but not while it is at a
 * request that it read itself.
 */
static __always_inline void java_turn(const struct context *who, const struct clew_kconn *c,
				      __u64 id, __u8 dir)
{
	struct clew_thread *th;

	if (!(who->ref & (CLEW_JAVA_VIRTUAL | CLEW_JAVA_JOB)))
		return;
	if (c->role == CLEW_ROLE_CLIENT && dir == CLEW_SEND)
		return;
	th = who->ref & CLEW_JAVA_JOB ? thread_of((__u32)id, c->role == CLEW_ROLE_SERVER) : NULL;
	if (c->role == CLEW_ROLE_SERVER) {
		if (th)
			th->java_serves = dir == CLEW_RECV ? who->ref : 0;
	} else if (!th || th->java_serves != who->ref) {
		java_wait(c->id, who->ctx, who->ref);
	}
}

#endif
