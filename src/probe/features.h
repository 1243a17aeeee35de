/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features.h - what the running kernel, and the rights of this process, let clew do.
 *
 * Every answer is found by doing the thing on a small scale and undoing it, never by a version
 * number. An answer is found once, when it is first asked for.
 */
#ifndef CLEW_PROBE_FEATURES_H
#define CLEW_PROBE_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

#include <clew/config.h>

#define CLEW_FEATURE_TEXT 320

enum clew_feature {
	/* needed */
	CLEW_FEATURE_BTF = 0,
	CLEW_FEATURE_BPF,
	CLEW_FEATURE_RINGBUF,
	CLEW_FEATURE_MEMLOCK,
	CLEW_FEATURE_PIDNS,
	/* one of them is needed; in the order in which they are tried */
	CLEW_FEATURE_LAYER_FENTRY,
	CLEW_FEATURE_LAYER_KPROBE,
	CLEW_FEATURE_LAYER_RAWTP,
	/* what stands behind the above */
	CLEW_FEATURE_CAP_BPF,
	CLEW_FEATURE_CAP_PERFMON,
	CLEW_FEATURE_CAP_SYS_PTRACE,
	CLEW_FEATURE_CAP_DAC_READ_SEARCH,
	CLEW_FEATURE_CAP_SYS_NICE,
	CLEW_FEATURE_USERNS,
	CLEW_FEATURE_LOCKDOWN,
	CLEW_FEATURE_SECCOMP,
	CLEW_FEATURE_UNPRIV_BPF,
	CLEW_FEATURE_FEXIT,
	CLEW_FEATURE_KPROBE,
	CLEW_FEATURE_RAWTP,
	/* what makes more links exact, or attaching cheaper */
	CLEW_FEATURE_UPROBE,
	CLEW_FEATURE_UPROBE_MULTI,
	CLEW_FEATURE_CGROUP2,
	CLEW_FEATURE_TRACEFS,
	CLEW_FEATURE_MAX,
};

enum clew_feature_need {
	CLEW_NEED_MUST = 0, /* without it clew cannot run */
	CLEW_NEED_ONE_OF,   /* one capture layer must work */
	CLEW_NEED_BEHIND,   /* explains the answers above */
	CLEW_NEED_USEFUL,   /* clew runs without it and does less */
	CLEW_NEED_MAX,
};

enum clew_answer { CLEW_ANSWER_UNASKED = 0, CLEW_ANSWER_YES, CLEW_ANSWER_NO, CLEW_ANSWER_UNKNOWN };

struct clew_features;

/* `cfg` is borrowed until the free: its sizes and its forced layer are what is tried. */
struct clew_features *clew_features__new(const struct clew_config *cfg);
void clew_features__free(struct clew_features *f); /* NULL is fine */

/* *ret_text (may be NULL): what it means or what to do; valid until the free. */
enum clew_answer clew_features__ask(struct clew_features *f, enum clew_feature feature,
				    const char **ret_text);

/*
 * clew_features__can_run - is all there that must be, and does a capture layer work that the
 * configuration allows? When not, `why` gets the first reason.
 */
bool clew_features__can_run(struct clew_features *f, char *why, size_t n);
/* The layer that `clew run` would take ("fentry", "kprobe", "rawtp"), or NULL. */
const char *clew_features__layer(struct clew_features *f);

const char *clew_feature__name(enum clew_feature feature);
const char *clew_feature__purpose(enum clew_feature feature);
enum clew_feature_need clew_feature__need(enum clew_feature feature);

/*
 * Pure parts. The mode in brackets of /sys/kernel/security/lockdown, e.g. "none [integrity]
 * confidentiality": 0 none, 1 integrity, 2 confidentiality, -EBADMSG.
 */
int clew_features__parse_lockdown(const char *text);
/* The number behind "NAME:" at the start of a line of /proc/PID/status, or -ENOENT. */
int clew_features__parse_status(const char *text, const char *name);
/* Is /proc/PID/uid_map that of the initial user namespace: everything maps to itself? */
bool clew_features__is_whole_uid_map(const char *text);

#endif
