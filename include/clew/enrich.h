/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich.h - which resource (service, process, host, container) a span belongs to. Learns from
 * PROC_INFO, FORK and EXIT events only, so a replay knows what the live run knew.
 */
#ifndef CLEW_ENRICH_H
#define CLEW_ENRICH_H

#include <clew/config.h>
#include <clew/event.h>
#include <clew/span.h>

struct clew_enrich;

struct clew_enrich *clew_enrich__new(const struct clew_config *cfg);
/* PROC_INFO, FORK, EXIT; others are ignored. */
void clew_enrich__event(struct clew_enrich *en, const struct clew_event *ev);
/* Borrowed until the next event or tick. Never NULL but when out of memory. */
struct clew_resource *clew_enrich__resource(struct clew_enrich *en, uint32_t pid);
/* enum clew_runtime_kind, CLEW_RT_OTHER when the process is not known. */
uint16_t clew_enrich__runtime(const struct clew_enrich *en, uint32_t pid);
/* Set bit `bit` of the process's marks. True when it was not set before. */
bool clew_enrich__mark(struct clew_enrich *en, uint32_t pid, unsigned int bit);
bool clew_enrich__marked(const struct clew_enrich *en, uint32_t pid, unsigned int bit);
/* Forget processes that ended a while ago. */
void clew_enrich__tick(struct clew_enrich *en, uint64_t now);
void clew_enrich__free(struct clew_enrich *en); /* NULL is fine */

#endif
