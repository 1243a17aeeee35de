/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.c - nodes come from slabs and go back to a free list.
 *
 * Every exchange needs one, so malloc() per node would be felt; what a burst took is kept for the
 * next burst, bounded by the window's own cap.
 */
#include "correlate/internal.h"

#include <stdlib.h>
#include <string.h>

#define SLAB_NODES 128

struct co_slab {
	struct co_slab *next;
	struct co_node nodes[SLAB_NODES];
};

struct co_node *co_node__new(struct clew_correlate *co)
{
	struct co_node *node = co->free_nodes;
	struct co_slab *slab;
	int i;

	if (!node) {
		slab = calloc(1, sizeof(*slab));
		if (!slab)
			return NULL;
		slab->next = co->slabs;
		co->slabs = slab;
		co->slab_bytes += sizeof(*slab);
		for (i = SLAB_NODES - 1; i >= 0; i--) {
			slab->nodes[i].work_next = co->free_nodes;
			co->free_nodes = &slab->nodes[i];
		}
		node = co->free_nodes;
	}
	co->free_nodes = node->work_next;
	memset(node, 0, sizeof(*node));
	node->refs = 1;
	co_list__init(&node->done_link);
	co_list__init(&node->wait_link);
	co_list__init(&node->conn_link);
	co_list__init(&node->kids);
	co_list__init(&node->held);
	co->stats.nodes++;
	return node;
}

/*
 * A chain of parents may end with its last child; that is unwound by a loop. The other
 * references that a node holds have been given up when it was released or dropped.
 */
void co_node__put(struct clew_correlate *co, struct co_node *node)
{
	struct co_node *parent;

	while (node && !--node->refs) {
		parent = node->parent;
		co_state__put(node->state);
		co_conn__put(node->conn);
		node->work_next = co->free_nodes;
		co->free_nodes = node;
		co->stats.nodes--;
		node = parent;
	}
}

void co_node__drop(void *co, void *node)
{
	co_node__put(co, node);
}

/* Reference counts no longer matter: contexts and threads must go, nodes go with their slabs. */
void co_node__strip_all(struct clew_correlate *co)
{
	struct co_slab *slab;
	int i;

	for (slab = co->slabs; slab; slab = slab->next) {
		for (i = 0; i < SLAB_NODES; i++) {
			struct co_node *node = &slab->nodes[i];

			if (!node->refs)
				continue;
			node->refs += 1u << 30; /* nothing below may free it */
			co_list__del(&node->wait_link);
			co_list__del(&node->conn_link);
			co_rule__put(co, node);
			if (node->thread)
				co_thread__put(co, node->thread);
			co_state__put(node->state);
			co_conn__put(node->conn);
			node->conn = NULL;
			node->thread = NULL;
			node->state = NULL;
		}
	}
}

void co_node__free_all(struct clew_correlate *co)
{
	struct co_slab *slab;

	while ((slab = co->slabs)) {
		co->slabs = slab->next;
		free(slab);
	}
	co->free_nodes = NULL;
}
