/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.c - open addressing with linear probing and backward-shift deletion (Knuth 6.4, R).
 *
 * Side tables are filled by what traced programs do, so each is bounded: it grows by doubling up
 * to `max` entries, then the entry that was unused for longest among a sample makes room.
 * Backward shift leaves no tombstones: a table that lives for months stays as fast as a new one.
 * The hash is XXH3 under a constant seed: a recording must replay to the same evictions. So a
 * program that chooses its keys can have them all meet; then they make room for one another, as in
 * a full table. (Half full, one run in 10^21 is as long by chance.) So no entry is further than
 * RUN_MAX from its home, where a search may end, and none moves back with more than REGION_MAX.
 */
#define XXH_INLINE_ALL
#include "correlate/map.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SEED	     0x636c65772d636f72ULL
#define FIRST_SLOTS  256
#define SAMPLE	     16
#define RECENT_CALLS 64
#define RUN_MAX	     256
#define REGION_MAX   1024

struct co_slot {
	uint64_t a, b;
	void *val; /* NULL: empty */
	uint32_t hash, stamp;
};

static uint32_t hash_of(uint64_t a, uint64_t b)
{
	uint64_t key[2] = {a, b};

	return (uint32_t)XXH3_64bits_withSeed(key, sizeof(key), SEED);
}

/* A slot must not lie across two cache lines: a lookup often costs no more than its misses. */
static struct co_slot *new_slots(size_t n)
{
	struct co_slot *slots = aligned_alloc(64, n * sizeof(*slots));

	if (slots)
		memset(slots, 0, n * sizeof(*slots));
	return slots;
}

int co_map__init(struct co_map *map, uint32_t max, void (*drop)(void *, void *), void *arg)
{
	memset(map, 0, sizeof(*map));
	map->slots = new_slots(FIRST_SLOTS);
	if (!map->slots)
		return -ENOMEM;
	map->mask = FIRST_SLOTS - 1;
	map->max = max < 256 ? 256 : max;
	map->drop = drop;
	map->arg = arg;
	return 0;
}

void co_map__free(struct co_map *map)
{
	struct co_slot *slots = map->slots;
	uint32_t i, n = map->mask;

	if (!slots)
		return;
	/* a drop callback must find no map to reach back into */
	map->slots = NULL;
	map->count = 0;
	for (i = 0; i <= n; i++)
		if (slots[i].val && map->drop)
			map->drop(map->arg, slots[i].val);
	free(slots);
}

static struct co_slot *find(struct co_map *map, uint64_t a, uint64_t b, uint32_t hash)
{
	for (uint32_t n = 0; n < RUN_MAX; n++) {
		struct co_slot *slot = &map->slots[(hash + n) & map->mask];

		if (!slot->val)
			break;
		if (slot->hash == hash && slot->a == a && slot->b == b)
			return slot;
	}
	return NULL;
}

void *co_map__get(struct co_map *map, uint64_t a, uint64_t b)
{
	struct co_slot *slot;

	if (!map->slots || !map->count)
		return NULL;
	slot = find(map, a, b, hash_of(a, b));
	if (!slot)
		return NULL;
	slot->stamp = ++map->stamp;
	return slot->val;
}

static void take_out(struct co_map *map, struct co_slot *slot)
{
	uint32_t hole = (uint32_t)(slot - map->slots), i = hole;
	void *val = slot->val;

	for (;;) {
		i = (i + 1) & map->mask;
		if (!map->slots[i].val || ((i - hole) & map->mask) >= RUN_MAX)
			break;
		/* an entry may move back to the hole unless that lies before its home */
		if (((i - map->slots[i].hash) & map->mask) >= ((i - hole) & map->mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole].val = NULL;
	map->count--;
	if (map->drop)
		map->drop(map->arg, val);
}

void co_map__del(struct co_map *map, uint64_t a, uint64_t b)
{
	struct co_slot *slot;

	if (!map->slots)
		return;
	slot = find(map, a, b, hash_of(a, b));
	if (slot)
		take_out(map, slot);
}

bool co_map__del_if(struct co_map *map, uint64_t a, uint64_t b, const void *val)
{
	struct co_slot *slot;

	if (!map->slots)
		return false;
	slot = find(map, a, b, hash_of(a, b));
	if (!slot || slot->val != val)
		return false;
	take_out(map, slot);
	return true;
}

static struct co_slot *place(struct co_map *map, const struct co_slot *src)
{
	uint32_t i = src->hash & map->mask;

	while (map->slots[i].val)
		i = (i + 1) & map->mask;
	map->slots[i] = *src;
	return &map->slots[i];
}

static int grow(struct co_map *map)
{
	struct co_slot *old = map->slots;
	uint32_t i, n = map->mask + 1, first = 0;

	map->slots = new_slots((size_t)n * 2);
	if (!map->slots) {
		map->slots = old;
		return -ENOMEM;
	}
	map->mask = n * 2 - 1;
	/* in the order of their homes, also where they go on at the table's beginning */
	while (old[first].val)
		first++;
	for (i = first + 1; i < first + n; i++)
		if (old[i & (n - 1)].val)
			place(map, &old[i & (n - 1)]);
	free(old);
	return 0;
}

/* Of the entries from there on, `all` or some, the one that was unused for longest, or NULL. */
static struct co_slot *oldest(struct co_map *map, uint32_t hash, uint32_t all)
{
	struct co_slot *best = NULL;
	uint32_t i, age, best_age = 0, seen = 0;

	for (i = hash; (seen < SAMPLE || !best) && i - hash < all; i++) {
		struct co_slot *slot = &map->slots[i & map->mask];

		if (!slot->val)
			continue;
		seen++;
		age = map->stamp - slot->stamp;
		if (age > RECENT_CALLS && age >= best_age) {
			best = slot;
			best_age = age;
		}
	}
	return best;
}

static void evict(struct co_map *map, uint32_t hash)
{
	struct co_slot *best = oldest(map, hash, map->mask + 1);

	if (best) {
		map->evicted++;
		take_out(map, best);
	}
}

/* How many stand where this one would have to, if they are too many, or with those before them. */
static uint32_t crowd(const struct co_map *map, uint32_t hash)
{
	uint32_t n = 0, before = 0;

	while (n < RUN_MAX && map->slots[(hash + n) & map->mask].val)
		n++;
	while (n && n + before < REGION_MAX && map->slots[(hash - before - 1) & map->mask].val)
		before++;
	return n == RUN_MAX || n + before >= REGION_MAX ? n : 0;
}

/* In the place of one of the `n` that stand there: all others stay where they are. */
static struct co_slot *replace(struct co_map *map, const struct co_slot *fresh, uint32_t n)
{
	struct co_slot *slot = oldest(map, fresh->hash, n);
	void *old;

	if (!slot)
		return NULL;
	old = slot->val;
	*slot = *fresh;
	map->evicted++;
	if (map->drop) /* which may reach back into the map */
		map->drop(map->arg, old);
	return find(map, fresh->a, fresh->b, fresh->hash);
}

/* The slot of (a, b), one for `val` if there is none. */
static struct co_slot *find_or_add(struct co_map *map, uint64_t a, uint64_t b, void *val,
				   bool *ret_new)
{
	uint32_t hash = hash_of(a, b), n;
	struct co_slot *slot, fresh;

	*ret_new = false;
	if (!map->slots)
		return NULL;
	slot = find(map, a, b, hash);
	if (slot) {
		slot->stamp = ++map->stamp;
		return slot;
	}
	if (map->count >= map->max)
		evict(map, hash);
	/* half full at most; without memory to grow, usable as long as a slot is free */
	if (map->count >= (map->mask + 1) / 2 && grow(map) && map->count >= map->mask)
		return NULL;
	*ret_new = true;
	fresh = (struct co_slot){.a = a, .b = b, .val = val, .hash = hash, .stamp = ++map->stamp};
	n = crowd(map, hash);
	if (n)
		return replace(map, &fresh, n);
	map->count++;
	return place(map, &fresh);
}

void **co_map__slot(struct co_map *map, uint64_t a, uint64_t b, void *val)
{
	bool is_new;
	struct co_slot *slot = find_or_add(map, a, b, val, &is_new);

	return slot ? &slot->val : NULL;
}

int co_map__put(struct co_map *map, uint64_t a, uint64_t b, void *val)
{
	bool is_new;
	struct co_slot *slot = find_or_add(map, a, b, val, &is_new);
	void *old;

	if (!slot)
		return -ENOMEM;
	if (is_new)
		return 0;
	old = slot->val;
	slot->val = val;
	if (map->drop)
		map->drop(map->arg, old);
	return 0;
}

uint64_t co_map__bytes(const struct co_map *map)
{
	return map->slots ? ((uint64_t)map->mask + 1) * sizeof(struct co_slot) : 0;
}
