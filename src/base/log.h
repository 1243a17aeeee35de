/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - the agent's own messages, one line each on standard error:
 * "clew: <level>: message". A failure is logged once, by the caller that knows why.
 */
#ifndef CLEW_BASE_LOG_H
#define CLEW_BASE_LOG_H

#include <clew/config.h>

/* Messages less urgent than `level` are not printed. Default: info. */
void clew_log__set_level(enum clew_log_level level);
enum clew_log_level clew_log__level(void);

void clew_log__print(enum clew_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define clew_log(level, ...)                                                                       \
	do {                                                                                       \
		if ((level) <= clew_log__level())                                                  \
			clew_log__print((level), __VA_ARGS__);                                     \
	} while (0)

#endif
