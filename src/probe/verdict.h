/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict.h - would this process be traced, how far, and why not. Looks only: nothing is
 * attached.
 */
#ifndef CLEW_PROBE_VERDICT_H
#define CLEW_PROBE_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include <clew/config.h>

#include "probe/procfs.h"
#include "probe/runtime.h"
#include "probe/select.h"

#define CLEW_VERDICT_PORTS 16

struct clew_verdict {
	uint32_t pid;
	bool traced;
	char reason[256]; /* why, or why not */
	char comm[32];
	char service[128]; /* what its spans would be called; empty: not known */
	char container[CLEW_CONTAINER_ID];

	bool examined; /* rt is set */
	struct clew_runtime rt;

	bool sockets_known; /* the counts are set; else `sockets_why` */
	char sockets_why[96];
	uint16_t ports[CLEW_VERDICT_PORTS]; /* it listens on these, each once */
	uint32_t nr_ports;		    /* may be more than are kept */
	uint32_t tcp_open, unix_listen, unix_open;

	bool other_pidns;
	uint32_t nspid; /* what it is called in its own pid namespace; 0: not known */
};

/*
 * clew_verdict__judge - `by` says how the process was named (CLEW_SELECT_PID for --pid). The
 * verdict is always filled; a process that is gone is one too.
 */
void clew_verdict__judge(struct clew_runtime_cache *cache, const struct clew_config *cfg,
			 const struct clew_select_match *by, struct clew_verdict *ret);

/* What a hit of a probe costs. Never NULL. */
const char *clew_verdict__insn_name(enum clew_insn_class insn);
const char *clew_verdict__insn_cost(enum clew_insn_class insn);

/*
 * One line of /proc/net/unix: 0 with the socket's inode number and what it is, -EBADMSG, or
 * -ENOENT for one that carries no byte stream.
 */
int clew_verdict__parse_unix(const char *line, size_t n, uint64_t *ret_inode, bool *ret_listens,
			     bool *ret_open);

#endif
