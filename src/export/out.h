/* SPDX-License-Identifier: Apache-2.0 */
/* out.h - write to a descriptor that may be a pipe nobody reads, without hanging for good. */
#ifndef CLEW_EXPORT_OUT_H
#define CLEW_EXPORT_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * clew_out__write - all n bytes, or -errno; *ret_done says how many were written in any case.
 * Something that is not a regular file is waited for at most timeout_ms (-ETIMEDOUT); *cancel,
 * set by another thread, ends the wait (-ECANCELED).
 */
int clew_out__write(int fd, const char *p, size_t n, uint32_t timeout_ms, const int *cancel,
		    size_t *ret_done);

#endif
