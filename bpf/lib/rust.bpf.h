/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * rust.bpf.h - tokio: which task runs, and which message it has taken. Part of context.bpf.h.
 * Offsets: src/probe/rust_runtime.c.
 */
#ifndef CLEW_RUST_BPF_H
#define CLEW_RUST_BPF_H

/* A thread keeps the id of the task that it polls; 0: none. Ids are not used again. */
static __always_inline __u64 rust_task(const struct clew_proc *p)
{
	return p->rust_task ? user_u64(thread_pointer() + (__s64)p->rust_task) : 0;
}

/* Changes when the thread has waited, for its event loop or in any other way. */
static __always_inline __u64 rust_waits(const struct clew_thread *th)
{
	return TASK_READ(nvcsw) + th->turn;
}

/*
 * The task writes a request: the message that it has taken for it. A client writes it at once: what
 * was taken before the thread waited may be long done with. Where only the attempt was seen, any
 * later one would be known instead, and the receiver tells whether it was a success: it has moved
 * on. It may still be one of an earlier time that this task ran here, which the rule notices: slots
 * follow one another.
 */
static __always_inline __u64 rust_taken(const struct clew_proc *p, __u64 task, __u64 id)
{
	struct clew_thread *th = p->rust_places ? thread_of((__u32)id, false) : NULL;
	__u64 message;
	bool stands;

	if (!th || th->rust_task != task)
		return 0;
	message = th->rust_message;
	th->rust_message = 0;
	if (!message)
		return 0;
	stands = th->rust_rx ? user_u64(th->rust_rx + p->rust_index) == th->rust_slot + 1
			     : rust_waits(th) == th->rust_waits;
	return stands ? message : 0;
}

#endif
