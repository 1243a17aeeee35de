/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rust_runtime.h - what a program tells of the tokio runtime inside it: where a thread keeps the id
 * of the task that it polls, and where messages enter and leave the channels of tokio::sync::mpsc.
 */
#ifndef CLEW_PROBE_RUST_RUNTIME_H
#define CLEW_PROBE_RUST_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <clew/bpf.h>

#include "probe/elf.h"
#include "probe/x86.h"

#define CLEW_RUST_JOINS 4 /* functions that start tasks, or ask for what they give */

struct clew_rust_place {
	uint64_t addr;	/* as linked */
	bool pop, take; /* take: in pop, where a message has been taken */
	uint8_t reg;	/* push: which register holds the slot; pop: the receiver */
};

struct clew_rust_facts {
	char version[16]; /* of tokio; empty: not known */
	bool symbols;	  /* some of tokio's functions have names */
	int32_t task;	  /* from the thread pointer to the task's id; 0: not found */
	uint16_t index;	  /* of the next message in a receiver */
	int16_t away;	  /* from a channel's Tx to its Rx, where there is a take */
	bool more;	  /* places that there was no room for, or that are not understood */
	uint32_t nr;
	struct clew_rust_place place[CLEW_RUST_PLACES];
	/* where tasks are started, and their results asked for; both, or none */
	uint32_t nr_spawn, nr_join;
	uint64_t spawn[CLEW_RUST_JOINS], join[CLEW_RUST_JOINS];
};

/* Is tokio in this file? 0 and *ret, or -ENOENT. */
int clew_rust__inspect(const struct clew_elf *elf, struct clew_rust_facts *ret);

/* What a function is. */
enum clew_rust_what {
	CLEW_RUST_NOTHING = 0,
	CLEW_RUST_TASK,
	CLEW_RUST_PUSH,
	CLEW_RUST_FIND_BLOCK,
	CLEW_RUST_POP,
	CLEW_RUST_BIND,	 /* OwnedTasks::bind_inner(self, task) */
	CLEW_RUST_BLOCK, /* blocking::Spawner::spawn_task(self, task) */
	CLEW_RUST_JOIN,	 /* harness::can_read_output(task, trailer, waker) */
};

/* The functions list::Rx::pop of a program, one for each type. */
struct clew_rust_pop {
	uint64_t addr, take; /* take: where a message has been taken; 0: not clear */
	uint8_t rx, take_rx; /* which register holds the receiver, at its entry and there */
	uint16_t index;
	int16_t away; /* from Tx to Rx, as its callers have it; 0: not seen */
	bool unclear; /* they do not agree */
};

struct clew_rust_pops {
	uint32_t nr;
	struct clew_rust_pop pop[CLEW_RUST_PLACES];
};

/*
 * clew_rust__take - the place in pop, from its beginning, that is passed only when a message has
 * been taken, and the register that holds the receiver there. `rx`: the one at its entry.
 */
bool clew_rust__take(const uint8_t *code, size_t n, uint8_t rx, uint16_t index, uint64_t *ret_at,
		     uint8_t *ret_reg);
/* Looks at who calls them: sets `away` of each. Returns the one of those with a take, or 0. */
int16_t clew_rust__away(const struct clew_elf *elf, struct clew_rust_pops *pops);

/* The functions that the unwinder's table knows, in order; of long ones the beginning. */
typedef void (*clew_rust_func_fn)(void *arg, uint64_t addr, const uint8_t *code, size_t n);
int clew_rust__each_func(const struct clew_elf *elf, clew_rust_func_fn fn, void *arg);

/*
 * clew_rust__stripped - likewise without symbols: `fn` gets the functions that look like
 * find_block and pop. Returns where the task's id is, 0: not found.
 */
int32_t clew_rust__stripped(const struct clew_elf *elf, clew_match_fn fn, void *arg);

/* What is known of the registers along a piece of code: which point beside the thread pointer. */
struct clew_rust_walk {
	uint32_t known;
	int32_t off[16];
	uint32_t arg; /* those that still hold the function's argument */
};
void clew_rust__follow(struct clew_rust_walk *w, const struct x86_insn *i);
/* A word of 8 bytes beside the thread pointer is loaded (op 0x8b) or stored (0x89). */
bool clew_rust__beside(const struct clew_rust_walk *w, const struct x86_insn *i, uint16_t op,
		       int32_t *ret_off);

/* Parts of that, on the code of one function. */
bool clew_rust__task_offset(const uint8_t *code, size_t n, int32_t *ret);
/* `ret_at`: from the function's beginning. */
bool clew_rust__push(const uint8_t *code, size_t n, uint64_t *ret_at, uint8_t *ret_reg);
bool clew_rust__find_block(const uint8_t *code, size_t n);
bool clew_rust__pop(const uint8_t *code, size_t n, uint8_t *ret_reg, uint16_t *ret_index);
bool clew_rust__bind(const uint8_t *code, size_t n);
bool clew_rust__join(const uint8_t *code, size_t n);

#endif
