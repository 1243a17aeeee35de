/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glob.c - `excluded_paths`, tested the same way by every stage that has to know.
 *
 * The test is fnmatch(3) without FNM_PATHNAME: a star also crosses slashes, so "/health*" covers
 * "/health/live", which is what people write. An absolute-form target (RFC 9112 3.2.2) is
 * reduced to its path first.
 */
#include "base/glob.h"

#include <fnmatch.h>
#include <string.h>

#define PATH_MAX_TESTED 1024

bool clew_excluded_path(const struct clew_strv *globs, const char *target, size_t n)
{
	char path[PATH_MAX_TESTED];
	const char *scheme, *slash;
	size_t len = 0;
	uint32_t i;

	if (!globs->n || !n)
		return false;
	if (target[0] != '/') {
		scheme = memmem(target, n, "://", 3);
		if (scheme) {
			n -= (size_t)(scheme + 3 - target);
			target = scheme + 3;
			slash = memchr(target, '/', n);
			if (!slash)
				return false;
			n -= (size_t)(slash - target);
			target = slash;
		}
	}
	while (len < n && target[len] != '?' && target[len] != '#')
		len++;
	if (!len || len >= sizeof(path) || memchr(target, 0, len))
		return false;
	memcpy(path, target, len);
	path[len] = 0;
	for (i = 0; i < globs->n; i++)
		if (fnmatch(globs->v[i], path, 0) == 0)
			return true;
	return false;
}
