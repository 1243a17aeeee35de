/* SPDX-License-Identifier: Apache-2.0 */
/* watcher.h - the thread that finds processes, learns what they run, and attaches to them. */
#ifndef CLEW_PROBE_WATCHER_H
#define CLEW_PROBE_WATCHER_H

#include <clew/probe.h>

#include "probe/programs.h"

struct clew_watcher;

/* Selects and attaches to what runs now, on the calling thread; then starts the watcher. */
int clew_watcher__new(const struct clew_config *cfg, struct clew_programs *programs,
		      struct clew_watcher **ret, char *errbuf, size_t n);
/* An event from the kernel: a reason to look at a process? Never blocks on the look itself. */
void clew_watcher__event(struct clew_watcher *w, const struct clew_event *ev);
void clew_watcher__want(struct clew_watcher *w, uint32_t pid, enum clew_probe_set set);
/* Hand out the PROC_INFO records that were queued since the last call. */
void clew_watcher__take(struct clew_watcher *w, clew_event_fn fn, void *arg);
uint32_t clew_watcher__nr_traced(const struct clew_watcher *w);
void clew_watcher__free(struct clew_watcher *w); /* NULL is fine */

#endif
