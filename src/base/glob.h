/* SPDX-License-Identifier: Apache-2.0 */
/* glob.h - is this request excluded by `excluded_paths`? */
#ifndef CLEW_BASE_GLOB_H
#define CLEW_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include <clew/config.h>

/*
 * clew_excluded_path - does the path of this request target match one of `globs`? The target is
 * borrowed, not NUL terminated, in any form that RFC 9112 3.2 allows; query and fragment are
 * not looked at. A target whose path is longer than 1 KiB matches nothing.
 */
bool clew_excluded_path(const struct clew_strv *globs, const char *target, size_t n);

#endif
