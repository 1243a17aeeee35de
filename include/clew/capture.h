/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.h - recordings: the event stream in a file.
 *
 * Format: the line "clew recording 1\n" padded with spaces to 24 bytes, then events as they are
 * (event.h), each padded to 8 bytes. A recording replays to the same spans on any machine of the
 * same byte order, without root.
 */
#ifndef CLEW_CAPTURE_H
#define CLEW_CAPTURE_H

#include <stddef.h>

#include <clew/event.h>

struct clew_recorder;

/* Secrets in heads and the content of bodies are masked before they reach the file. */
int clew_recorder__new(const char *path, struct clew_recorder **ret, char *errbuf, size_t n);
void clew_recorder__write(struct clew_recorder *rec, const struct clew_event *ev);
/* 0, or the -errno of the first write that failed: the recording ends there. */
int clew_recorder__free(struct clew_recorder *rec);

/*
 * Read a recording; `fn` is called for each event, whose size has been checked against the file
 * but not against its type. Returns 0, or -errno with a line in errbuf (place and cause).
 */
int clew_replay(const char *path, void (*fn)(void *arg, const struct clew_event *ev), void *arg,
		char *errbuf, size_t n);

#endif
