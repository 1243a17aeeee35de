/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resource.h - the OpenTelemetry resource of a process: what it is called and where it runs.
 */
#ifndef CLEW_PROBE_RESOURCE_H
#define CLEW_PROBE_RESOURCE_H

#include <stddef.h>
#include <stdint.h>

#include <clew/config.h>

#include "probe/runtime.h"

/*
 * clew_resource_text__build - "key\0value\0..." as clew_resource__new() and struct
 * clew_proc_info take it. `cfg` and `runtime` may be NULL. Attributes that do not fit are left
 * out whole; service.name comes first. Returns how many bytes, or -ESRCH, or -ENOSPC when not
 * even service.name fits.
 */
int clew_resource_text__build(uint32_t pid, const struct clew_config *cfg,
			      const struct clew_runtime *runtime, char *buf, size_t n);

/*
 * Pure parts. Command lines are NUL-separated, as in /proc/PID/cmdline.
 *
 * clew_resource__script_name - what an interpreter runs: the module, script, jar or WSGI
 * application that its arguments name. -ENOENT: they name none.
 */
int clew_resource__script_name(const char *exe_name, const char *cmdline, size_t len, char *ret,
			       size_t n);
/* The systemd service in the text of /proc/PID/cgroup, without ".service". */
int clew_resource__unit_name(const char *cgroup, char *ret, size_t n);
/* Arguments joined by \x1f, values of secrets replaced by "REDACTED". */
size_t clew_resource__args(const char *cmdline, size_t len, char *ret, size_t n);
/* The percent-decoded value of `key` in "k=v,k2=v2". */
int clew_resource__attribute(const char *list, const char *key, char *ret, size_t n);

#endif
