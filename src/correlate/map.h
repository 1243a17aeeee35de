/* SPDX-License-Identifier: Apache-2.0 */
/* map.h - the bounded hash map behind every side table of the correlate stage. */
#ifndef CLEW_CORRELATE_MAP_H
#define CLEW_CORRELATE_MAP_H

#include <stdbool.h>
#include <stdint.h>

struct co_slot;

struct co_map {
	struct co_slot *slots;
	uint32_t mask, count, max, stamp;
	void (*drop)(void *arg, void *val); /* takes over a value that leaves the map, or NULL */
	void *arg;
	uint64_t evicted;
};

/* At most `max` entries (>= 256); 0 or -ENOMEM. */
int co_map__init(struct co_map *map, uint32_t max, void (*drop)(void *, void *), void *arg);
void co_map__free(struct co_map *map);
void *co_map__get(struct co_map *map, uint64_t a, uint64_t b);
/*
 * Put `val` under (a, b); an older value there, or the least used one of a few when the map is
 * full, is dropped. 0 or -ENOMEM (then `val` is still the caller's). An entry that was used in
 * the last 64 calls is never the one that makes room, so a caller may hold a few at a time.
 */
int co_map__put(struct co_map *map, uint64_t a, uint64_t b, void *val);
/* Where the value of (a, b) is kept, `val` if it is new; until the next call. NULL: no memory. */
void **co_map__slot(struct co_map *map, uint64_t a, uint64_t b, void *val);
void co_map__del(struct co_map *map, uint64_t a, uint64_t b);
/* The same, if `val` is what is there. */
bool co_map__del_if(struct co_map *map, uint64_t a, uint64_t b, const void *val);
uint64_t co_map__bytes(const struct co_map *map);

#endif
