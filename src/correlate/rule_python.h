/* SPDX-License-Identifier: Apache-2.0 */
/* rule_python.h - what the files of Python's rule share. */
#ifndef CLEW_CORRELATE_RULE_PYTHON_H
#define CLEW_CORRELATE_RULE_PYTHON_H

#include "correlate/internal.h"

enum py_via { PY_UNBOUND = 0, PY_TASK, PY_COPY, PY_RESPONDER, PY_OWNER };

struct co_py_ctx {
	uint32_t refs;
	uint8_t via; /* enum py_via */
	uint8_t depth;
	uint8_t shared;	  /* answered for two: tells nothing */
	uint8_t ancestry; /* how many ancestors are kept */
	uint32_t calls;	  /* that it made */
	uint64_t addr;
	uint64_t birth;		  /* ns; 0: older than its first appearance */
	uint64_t task;		  /* PY_TASK: the Task */
	uint64_t owner_conn;	  /* PY_OWNER */
	struct co_node *x;	  /* reference; bound to, or NULL */
	struct co_py_ctx *parent; /* reference: whose context made it, or NULL */
	struct co_list held;	  /* client nodes that wait for proof */
	struct co_list awaits;	  /* struct py_await: calls of others that this one waits for */
};

struct co_py_ctx *co_py__get(struct co_py_ctx *py);
struct co_py_ctx *co_py__find(struct clew_correlate *co, uint32_t pid, uint64_t addr);
uint64_t co_py__key(struct clew_correlate *co, uint32_t pid);
void co_py__claim(struct co_claim *ret, struct co_py_ctx *py, struct co_node *x,
		  enum clew_link link, const char *evidence);

/* Is the context that wrote `c` the one that was at this address when it answered `x`? */
bool co_py__same(struct clew_correlate *co, const struct co_node *c, uint64_t task,
		 const struct co_node *x);

/* ---- rule_python_work.c ---- */
/* The answer of a call begins, and its Task, or who waits for that, was seen. */
void co_py_join__edge(struct clew_correlate *co, const struct clew_edge *edge);
/* `py` is proved to be at `x`: the calls that it waits for are, too. */
void co_py_join__proved(struct clew_correlate *co, struct co_py_ctx *py, struct co_node *x,
			const char *evidence);
void co_py_join__died(struct clew_correlate *co, struct co_py_ctx *py);
void co_py_join__forget(struct clew_correlate *co, struct co_py_ctx *py);
/* Work items of thread pools: put, taken; whose job does the thread do? */
void co_py_item__put(struct clew_correlate *co, const struct clew_edge *edge);
void co_py_item__get(struct clew_correlate *co, const struct clew_edge *edge);
void co_py_item__claim(struct clew_correlate *co, struct co_node *c, const struct co_thread *t,
		       struct co_claim *ret);

/* ---- rule_python_queue.c: objects that threads give one another through deques ---- */
void co_py_queue__give(struct clew_correlate *co, const struct clew_edge *edge);
void co_py_queue__take(struct clew_correlate *co, const struct clew_edge *edge);
void co_py_queue__wait(struct clew_correlate *co, const struct clew_edge *edge);
void co_py_queue__wake(struct clew_correlate *co, const struct clew_edge *edge);
/* May the call of this thread be for the request whose item it has taken? Then it is held. */
bool co_py_queue__claim(struct clew_correlate *co, struct co_node *c, struct co_thread *t);
void co_py_queue__hold(struct clew_correlate *co, struct co_node *c);

#endif
