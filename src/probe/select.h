/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.h - which of the running processes are to be traced.
 */
#ifndef CLEW_PROBE_SELECT_H
#define CLEW_PROBE_SELECT_H

#include <stdbool.h>
#include <stdint.h>

#include <clew/config.h>

enum clew_select_why {
	CLEW_SELECT_NO = 0,
	CLEW_SELECT_PID,
	CLEW_SELECT_PORT,
	CLEW_SELECT_EXE,
	CLEW_SELECT_CGROUP,
	CLEW_SELECT_CONTAINER,
	CLEW_SELECT_ALL,
};

struct clew_select_match {
	uint32_t pid;
	enum clew_select_why why; /* the first selector that matched, in the order above */
	uint16_t port;		  /* with CLEW_SELECT_PORT */
};

/* Returns 0 to go on; anything else ends the walk and is returned. */
typedef int (*clew_select_fn)(void *arg, const struct clew_select_match *match);

/*
 * clew_select__scan - call back every process that any selector matches, once each. Never the
 * caller's own process, never a kernel thread, never one that exclude_exes names. Returns 0,
 * what the callback returned, or -errno when /proc cannot be read.
 */
int clew_select__scan(const struct clew_selectors *sel, clew_select_fn fn, void *arg);

/*
 * The same question for one process that was met later (it began to run a program, or to
 * listen). The port selectors look at that process's own sockets only.
 */
bool clew_select__match_pid(const struct clew_selectors *sel, uint32_t pid);
enum clew_select_why clew_select__why(const struct clew_selectors *sel, uint32_t pid);

/*
 * clew_select__check - say what is odd about the selectors as things are now. `fatal`: it can
 * never come true (a pid that does not exist); otherwise clew keeps waiting for it (a port on
 * which nobody listens). Returns how many are fatal.
 */
typedef void (*clew_select_say)(void *arg, bool fatal, const char *text);
int clew_select__check(const struct clew_selectors *sel, clew_select_say say, void *arg);

/* Pure parts. `cgroup` is the text of /proc/PID/cgroup. */
bool clew_select__exe_matches(const struct clew_strv *globs, const char *exe);
bool clew_select__cgroup_matches(const char *selector, const char *cgroup);
bool clew_select__container_matches(const char *selector, const char *cgroup);

#endif
