/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * process.bpf.c - life of processes and of TCP connections, from tracepoints that every kernel
 * has. The same under all attach layers.
 */
#include "lib/conn.bpf.h"

static __always_inline void proc_emit(__u8 type, __u32 pid, __u32 other, const char *path)
{
	struct clew_proc_event *e = RESERVE(struct clew_proc_event);

	if (!e)
		return;
	header(&e->h, type, sizeof(*e), 0);
	if (pid)
		e->h.pid = pid;
	e->other = other;
	e->pad = 0;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	__builtin_memset(e->path, 0, sizeof(e->path));
	if (path)
		bpf_probe_read_kernel_str(e->path, sizeof(e->path), path);
	SUBMIT(e);
}

/* A child of a traced process is traced, with what is known of its parent, until it execs. */
SEC("raw_tp/sched_process_fork")
int clew_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (void *)ctx->args[0], *child = (void *)ctx->args[1];
	__u32 ptgid = BPF_CORE_READ(parent, tgid), ctgid = BPF_CORE_READ(child, tgid);
	struct clew_proc *p, copy;

	if (ptgid == ctgid)
		return 0; /* a thread */
	p = bpf_map_lookup_elem(&procs, &ptgid);
	if (!p)
		return 0;
	copy = *p;
	proc_set(ctgid, &copy);
	if (!(copy.flags & CLEW_PROC_EXCLUDED))
		proc_emit(CLEW_EV_FORK, ptgid, ctgid, NULL);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int clew_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct linux_binprm *bprm = (void *)ctx->args[2];
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);

	if (p) {
		if (p->flags & CLEW_PROC_EXCLUDED)
			return 0;
		/* another program: nothing that was known of its runtime holds */
		struct clew_proc fresh;

		__builtin_memset(&fresh, 0, sizeof(fresh));
		fresh.flags = CLEW_PROC_THREADS;
		fresh.runtime = CLEW_RT_OTHER;
		proc_set(tgid, &fresh);
	} else if (!config.watch_exec) {
		return 0;
	}
	proc_emit(CLEW_EV_EXEC, 0, p ? 1 : 0, BPF_CORE_READ(bprm, filename));
	return 0;
}

SEC("raw_tp/sched_process_exit")
int clew_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, tid = (__u32)id;
	struct clew_proc *p = bpf_map_lookup_elem(&procs, &tgid);

	if (!p && !config.trace_all)
		return 0;
	bpf_map_delete_elem(&threads, &tid);
	if (BPF_CORE_READ(t, signal, live.counter) > 0)
		return 0; /* other threads go on */
	if (!p || !(p->flags & CLEW_PROC_EXCLUDED))
		proc_emit(CLEW_EV_EXIT, tgid, BPF_CORE_READ(t, exit_code), NULL);
	proc_del(tgid);
	return 0;
}

static __always_inline void on_listen(struct sock *sk)
{
	__u32 port = BPF_CORE_READ(sk, __sk_common.skc_num);

	if (config.watch_listen && bpf_map_lookup_elem(&watch_ports, &port))
		proc_emit(CLEW_EV_LISTEN, 0, port, NULL);
}

/* sk_shutdown is set before the state: tcp_close, inet_shutdown (net/ipv4). */
static __always_inline __u32 close_reason(struct sock *sk, int state, bool held)
{
	if (state == CLEW_TCP_CLOSE)
		return held ? CLEW_CLOSE_HELD : CLEW_CLOSE_GONE;
	return BPF_CORE_READ(sk, sk_shutdown) & CLEW_RCV_SHUTDOWN ? CLEW_CLOSE_BOTH
								  : CLEW_CLOSE_LOCAL;
}

/*
 * Runs for every TCP socket of the machine, some of it in interrupt context: a closing socket is
 * found by its address alone; only connect() and listen() ask who runs, and they are called by
 * the process itself.
 */
SEC("raw_tp/inet_sock_set_state")
int clew_sock_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (void *)ctx->args[0];
	int state = ctx->args[2];
	__u64 key = (__u64)sk;
	struct clew_kconn *c;
	bool held;

	if (BPF_CORE_READ(sk, sk_protocol) != CLEW_IPPROTO_TCP)
		return 0;
	if (state == CLEW_TCP_LISTEN) {
		on_listen(sk);
		return 0;
	}
	if (state == CLEW_TCP_SYN_SENT) {
		if (traced(bpf_get_current_pid_tgid() >> 32)) {
			bpf_map_delete_elem(&conns, &key);
			conn_connecting(sk, 0);
		}
		return 0;
	}
	if (state != CLEW_TCP_CLOSE && state != CLEW_TCP_FIN_WAIT1 && state != CLEW_TCP_LAST_ACK)
		return 0;
	c = bpf_map_lookup_elem(&conns, &key);
	if (!c)
		return 0;
	if (c->dead) {
		/* Nothing is said when the process lets go of it: the address is another socket's,
		 * maybe of a process that is not traced */
		if (c->announced)
			conn_emit_close(c->id, CLEW_CLOSE_REUSED);
		bpf_map_delete_elem(&conns, &key);
		return 0;
	}
	held = state == CLEW_TCP_CLOSE && BPF_CORE_READ(sk, sk_socket);
	if (c->announced)
		conn_emit_close(c->id, close_reason(sk, state, held));
	if (held)
		c->dead = 1;
	else if (state == CLEW_TCP_CLOSE)
		bpf_map_delete_elem(&conns, &key);
	return 0;
}
