/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's log. A message is formatted whole and written by one write(), so that lines of
 * several threads do not mix. Control bytes are masked: parts of a message may come from a
 * remote receiver and must not steer the user's terminal.
 */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

static int log_level = CLEW_LOG_INFO; /* atomic */

void clew_log__set_level(enum clew_log_level level)
{
	__atomic_store_n(&log_level, (int)level, __ATOMIC_RELAXED);
}

enum clew_log_level clew_log__level(void)
{
	return (enum clew_log_level)__atomic_load_n(&log_level, __ATOMIC_RELAXED);
}

void clew_log__print(enum clew_log_level level, const char *fmt, ...)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	char line[1024];
	va_list ap;
	int n, more;

	if ((unsigned)level >= sizeof(names) / sizeof(names[0]))
		level = CLEW_LOG_DEBUG;
	n = snprintf(line, sizeof(line), "clew: %s: ", names[level]);
	va_start(ap, fmt);
	more = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (more < 0)
		return;
	n += more;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nowhere left to say so */
}
