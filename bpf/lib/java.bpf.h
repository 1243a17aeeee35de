/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * java.bpf.h - who runs in a HotSpot JVM: the Java thread, virtual or not, and the job of a pool's
 * thread. Part of context.bpf.h, which has the types. Offsets: src/probe/java_runtime.c.
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
	struct task_struct *t = (void *)bpf_get_current_task();
	__u64 jt, h, obj, cur, v = 0, ref;
	__u32 gc;

	if (!p->java_self)
		return; /* an old JVM of unknown layout: threads are threads */
	jt = user_u64(thread_pointer(t) + p->java_self);
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

#endif
