/* SPDX-License-Identifier: Apache-2.0 */
/*
 * programs.h - the BPF side as the agent holds it: which programs are loaded for which attach
 * layer, the maps that steer them, and uprobes per process.
 */
#ifndef CLEW_PROBE_PROGRAMS_H
#define CLEW_PROBE_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clew/config.h>
#include <clew/event.h>

#include "probe/runtime.h"

struct clew_programs;
struct clew_proc;
struct bpf_link;

/* Try the wanted layer, or all of them from the cheapest on. The socket hooks are attached on
 * return: no process is traced yet. */
int clew_programs__load(const struct clew_config *cfg, struct clew_programs **ret, char *errbuf,
			size_t n);
int clew_programs__watch_port(struct clew_programs *pr, uint16_t port);
/* Nothing new is reported from now on. Detaching is slow on many kernels, and comes later. */
void clew_programs__silence(struct clew_programs *pr);
void clew_programs__free(struct clew_programs *pr); /* NULL is fine */

/*
 * Does the kernel take the processor from a task that runs inside it? Then fexit programs and raw
 * tracepoints are interrupted too, and the next task there finds them busy: its run is skipped
 * (prog->active, __bpf_prog_enter_recur in kernel/bpf/trampoline.c). Kprobes are not interrupted.
 */
bool clew_programs__kernel_preempts(void);

const char *clew_programs__layer(const struct clew_programs *pr);
/*
 * Whether threads are watched for waits in event loops: by a hook on every wait of the machine, or,
 * in one capture layer, on every system call.
 */
int clew_programs__watch_waits(struct clew_programs *pr, bool on);
/* The process is busy with a protocol that the kernel side leaves alone. */
bool clew_programs__is_other(const struct clew_programs *pr, uint32_t pid);
int clew_programs__ring_fd(const struct clew_programs *pr);
int clew_programs__set_proc(struct clew_programs *pr, uint32_t pid, const struct clew_proc *proc);
/* Where its futures keep who waits for them; all 0, or NULL: not known. */
void clew_programs__set_java_wait(struct clew_programs *pr, uint32_t pid,
				  const struct clew_java_wait *wait);
int clew_programs__del_proc(struct clew_programs *pr, uint32_t pid);
void clew_programs__ignore(struct clew_programs *pr, uint64_t sk, uint64_t conn_id);
void clew_programs__stats(struct clew_programs *pr, uint64_t count[CLEW_STAT_MAX]);

/* Count hits of probes in this process from now on, or not any more. */
void clew_programs__count_hits(struct clew_programs *pr, uint32_t pid, bool on);
/* So far, by enum clew_probe_set; wraps. False: not counted. */
bool clew_programs__hits(struct clew_programs *pr, uint32_t pid, uint32_t ret[CLEW_SET_MAX]);

/* A uprobe in one process only; a process that is not traced never meets it. 0 or -errno. */
int clew_programs__uprobe(struct clew_programs *pr, uint32_t pid,
			  const struct clew_uprobe_site *site, struct bpf_link **ret);

#endif
