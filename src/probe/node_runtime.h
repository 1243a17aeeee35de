/* SPDX-License-Identifier: Apache-2.0 */
/* node_runtime.h - what the file of a Node program says about it. See node_runtime.c. */
#ifndef CLEW_PROBE_NODE_RUNTIME_H
#define CLEW_PROBE_NODE_RUNTIME_H

#include "probe/elf.h"

/* Offsets as in struct clew_proc. */
struct clew_node_layout {
	uint16_t realm, env, ids, id;
};

struct clew_node_facts {
	bool is_node;
	bool has_ids;	/* `layout` and the two functions below are known */
	bool has_async; /* and so are all of the rest */
	char version[32];
	struct clew_node_layout layout;
	uint64_t parser, id; /* addresses as linked, 0: not found */
	uint64_t drain, await[3], resume[2], moved[2];
};

/* 0; -ENOENT: not Node. */
int clew_node__inspect(const struct clew_elf *elf, struct clew_node_facts *ret);
/* Decode the machine code of AsyncWrap::AsyncReset: 0, or -ENOENT when it is not as expected. */
int clew_node__layout(const uint8_t *code, size_t n, struct clew_node_layout *ret);

#endif
