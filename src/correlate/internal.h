/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h - what the files of the correlate stage share. docs/correlate.md has the model.
 *
 * A node stands for one exchange and outlives it: contexts, connections and children refer to
 * the node after the exchange has been handed on. Nodes are reference counted; who keeps a
 * pointer across calls holds a reference, unless the comment says "borrowed".
 */
#ifndef CLEW_CORRELATE_INTERNAL_H
#define CLEW_CORRELATE_INTERNAL_H

#include <clew/correlate.h>

#include "correlate/map.h"

#define CO_NSEC_PER_MSEC  1000000ULL
#define CO_GRACE_MS	  250 /* a joining client request may come this much later */
#define CO_GRACE_KNOWN_MS 20  /* the same, where no peer was found on this connection before */

struct co_list {
	struct co_list *prev, *next;
};

/* A valid traceparent header. */
struct co_header {
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t flags;
	uint8_t valid;
};

/* An adopted tracestate; kept in the shape in which a placement refers to it. */
struct co_state {
	uint32_t refs;
	struct clew_exchange text;
};

/* What a node that is not released yet waits for, and so which list its `wait` is in. */
enum co_wait {
	CO_WAIT_NONE = 0,
	CO_WAIT_JOIN,	 /* server: its client request may come; in co->grace[] */
	CO_WAIT_CONTEXT, /* client: its Python context must prove itself; in py_ctx.held */
	CO_WAIT_ANSWER,	 /* client: the candidate must be answered as expected; in cand.held */
	CO_WAIT_WINDOW,	 /* client: nothing may contradict until the window ends; no list */
	CO_WAIT_PARENT,	 /* decided; in parent.kids until it is released */
};

struct co_py_ctx;
struct co_thread;
struct co_conn;

struct co_node {
	struct clew_exchange *ex; /* borrowed; NULL once released or dropped */
	uint32_t refs;
	uint32_t pid, tid;
	uint64_t conn_id;
	uint64_t req_ts;
	uint64_t started; /* co->now at its request */
	uint64_t settled; /* co->now when it was done */
	uint64_t loss;	  /* co->loss at its request */
	uint64_t what;	  /* hash of method and target */
	uint8_t span_id[8];
	uint8_t trace_id[16];	 /* when resolved */
	struct co_header header; /* its own */

	uint8_t is_server, excluded;
	uint8_t answered; /* the response has begun */
	uint8_t done, dropped, released;
	uint8_t decided;  /* parent and link are final */
	uint8_t resolved; /* and so are those of all ancestors: trace_id is valid */
	uint8_t wait;	  /* enum co_wait */
	uint8_t link;	  /* enum clew_link */
	uint8_t adopted;  /* the header is the parent */
	uint8_t tree_adopted, tree_sampled; /* valid when resolved */
	uint8_t joined;			    /* client: its server end was found */
	uint8_t joinable;		    /* it is in a join table */
	uint8_t served;			    /* Go: ServeHTTP was entered for it */
	uint8_t cand_link;		    /* enum clew_link of the claim */
	uint8_t gap; /* events were lost inside it: what hangs on it is not sure */
	uint8_t has_parent, parent_remote; /* valid when resolved, as is parent_id */
	uint8_t parent_id[8];
	uint32_t netns;
	uint64_t sk, peer_sk; /* Unix sockets */
	const char *evidence;
	uint64_t join_key[2];

	struct co_node *parent; /* reference */
	struct co_node *cand;	/* reference: what the link will be if nothing speaks up */
	const char *cand_evidence;
	struct co_py_ctx *py;	   /* reference: client, the context it was written in */
	struct co_thread *thread;  /* reference: server, the thread that counts it as open */
	struct co_state *state;	   /* reference: tracestate, adopted here or inherited */
	struct co_node *work_next; /* scratch list of co_link__settle() */

	struct co_list done_link; /* co->done; after the release, co->retired */
	struct co_list wait_link;
	struct co_list conn_link; /* co_conn.open */
	struct co_list kids;	  /* decided, not released nodes whose parent this is */
	struct co_list held;	  /* undecided nodes whose candidate this is */
};

/* One socket of a traced process, as far as rules need it. */
struct co_conn {
	uint64_t id, sk;
	uint32_t pid;
	uint8_t lonely; /* a server exchange here waited for a client request in vain */
	uint8_t has_tuple;
	uint8_t serves; /* this process answers here */
	uint64_t tuple[2];
	struct co_list open;  /* server exchanges that are not answered, oldest first; borrowed */
	struct co_node *last; /* reference: server, the newest */
	struct co_py_ctx *owner; /* reference: Python, the context that answers here */
	/* Go: whose request the next bytes are */
	struct co_node *pend; /* reference, or NULL: nobody's */
	const char *pend_evidence;
	uint64_t pend_ts;
	uint32_t pend_pos, sent_to;
	uint8_t has_pend, pend_link, pend_conflict, has_pend_pos, has_sent;
};

/* One thread. `multi`: it holds several requests at once, or leaves answering to others. */
struct co_thread {
	uint32_t refs;
	uint32_t tid, pid;
	uint8_t loop, multi;
	uint32_t nr_open;
	struct co_node *open; /* reference: the first of nr_open */
	/* Python: the request that was read last, as long as the thread is still at it */
	struct co_node *window; /* reference, or NULL: closed or unclear */
	uint8_t window_set, freed_set;
	uint32_t window_turn, freed_turn;
	uint64_t window_ctx, window_child; /* who read; the first that was made then */
	uint64_t freed_conn; /* a client exchange was completed by its latest read, there */
};

struct co_proc {
	uint32_t pid;
	uint32_t gen; /* tells two programs under one pid apart in every table */
	uint64_t start_time;
	uint8_t runtime;		/* enum clew_runtime_kind */
	uint64_t copy_first, copy_last; /* Python: copies of contexts were reported, ns; 0: never */
	uint8_t owner_off; /* Python: handlers work on after their answer; owners prove nothing */
};

enum co_claim_kind {
	CO_CLAIM_NONE = 0, /* the rule says: nobody, or does not speak */
	CO_CLAIM_NODE,	   /* x it is */
	CO_CLAIM_HOLD,	   /* `py` may tell later */
};

/* What a rule says about a client exchange. */
struct co_claim {
	enum co_claim_kind kind;
	struct co_node *x;    /* borrowed */
	struct co_py_ctx *py; /* borrowed */
	const char *evidence;
	enum clew_link link;
	bool conflict; /* the rule's own sources disagree */
};

enum { CO_GRACE_SHORT, CO_GRACE_LONG, CO_GRACE_WINDOW, CO_GRACES };

struct clew_correlate {
	const struct clew_config *cfg;
	struct clew_correlate_sink sink;
	struct clew_correlate_stats stats;
	uint64_t now, next_sweep, window;
	uint64_t loss;	    /* how often the kernel side reported lost records */
	uint64_t seen_loss; /* its own count, then */
	uint32_t next_gen;
	uint64_t py_deep;   /* Python client exchanges refused for want of a second witness */
	uint64_t forwarded; /* client requests whose header this process had received itself */
	uint64_t max_nodes;
	uint64_t held; /* nodes with an exchange */
	struct co_list done, retired, grace[CO_GRACES];
	struct co_proc *last_proc; /* looked up last, or NULL; both in their tables */
	struct co_thread *last_thread;
	struct co_node *free_nodes; /* by work_next */
	struct co_slab *slabs;

	/* the read that is being worked on: what it completes was completed by this thread */
	struct {
		uint64_t conn_id;
		uint32_t tid, pid, turn;
		bool set;
	} reading;

	struct co_map procs, threads, conns, tuples, unix_ends, locals, clients, servers, headers;
	struct co_map go_cur, go_ctx, py_ctx;
};

/* ---- lists ---- */
static inline void co_list__init(struct co_list *l)
{
	l->prev = l->next = l;
}

static inline bool co_list__empty(const struct co_list *l)
{
	return l->next == l;
}

static inline void co_list__del(struct co_list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	co_list__init(l);
}

static inline void co_list__add_tail(struct co_list *head, struct co_list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

#define co_entry(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* ---- node.c ---- */
struct co_node *co_node__new(struct clew_correlate *co);
static inline struct co_node *co_node__get(struct co_node *node)
{
	if (node)
		node->refs++;
	return node;
}
void co_node__put(struct clew_correlate *co, struct co_node *node);
void co_node__drop(void *co, void *node); /* the same, for a map */
/* The end: open nodes give up what they refer to; then the memory of all goes. */
void co_node__strip_all(struct clew_correlate *co);
void co_node__free_all(struct clew_correlate *co);

/* ---- link.c: from claims to final links ---- */
/* A client exchange's claim; the node is held as long as the claim's kind demands. */
void co_link__claim(struct clew_correlate *co, struct co_node *node, const struct co_claim *claim);
/* Nothing more is to be waited for: client, with `x` (or NULL); server, with its client or NULL */
void co_link__client(struct clew_correlate *co, struct co_node *node, struct co_node *x,
		     enum clew_link link, const char *evidence);
void co_link__server(struct clew_correlate *co, struct co_node *node, struct co_node *client);
/* A held claim: final now, if it still stands. `timeout`: because the window has ended. */
void co_link__finish(struct clew_correlate *co, struct co_node *node, bool timeout);
/* `x` was answered, or its exchange is over: those held for that are decided. */
void co_link__answered(struct clew_correlate *co, struct co_node *x);
/* `x` will never be a span: nobody hangs under it. */
void co_link__orphan(struct clew_correlate *co, struct co_node *x);
/*
 * Decide and resolve whatever stands between this done node and its release, and release it.
 * `timeout`: a claim that nothing contradicted in all that time holds; else it does not.
 */
void co_link__force(struct clew_correlate *co, struct co_node *node, bool timeout);
/* Claims of `node` on `x` that must outlive the window uncontradicted. */
void co_link__late(struct clew_correlate *co, struct co_node *node, struct co_node *x,
		   enum clew_link link, const char *evidence);
void co_link__unwait(struct clew_correlate *co, struct co_node *node);

/* ---- correlate.c ---- */
struct co_proc *co_proc(struct clew_correlate *co, uint32_t pid);
struct co_thread *co_thread(struct clew_correlate *co, uint32_t tid, uint32_t pid);
struct co_thread *co_thread__find(struct clew_correlate *co, uint32_t tid, uint32_t pid);
void co_thread__put(struct clew_correlate *co, struct co_thread *thread);
struct co_conn *co_conn(struct clew_correlate *co, uint64_t id, uint32_t pid);
struct co_conn *co_conn__find(struct clew_correlate *co, uint64_t id);
struct co_node *co_conn__oldest(const struct co_conn *conn); /* unanswered; borrowed, or NULL */
bool co_conn__several(const struct co_conn *conn);	     /* two or more are unanswered */
void co_release(struct clew_correlate *co, struct co_node *node);

/* ---- join.c ---- */
void co_join__opened(struct clew_correlate *co, const struct clew_conn_open *ev);
void co_join__closed(struct clew_correlate *co, struct co_conn *conn);
void co_join__client(struct clew_correlate *co, struct co_node *node);
void co_join__server(struct clew_correlate *co, struct co_node *node);
void co_join__forget(struct clew_correlate *co, struct co_node *node);
/* A server exchange waited in vain: without a client request. */
void co_join__vain(struct clew_correlate *co, struct co_node *node);
/* A server exchange's wait in `queue` is over: it is queued for longer, or decided. */
void co_join__expired(struct clew_correlate *co, struct co_node *node, int queue);

/* ---- ids.c ---- */
void co_ids__span(const struct clew_exchange *ex, uint8_t id[8]);
void co_ids__trace(const struct co_node *node, uint8_t id[16]);
uint64_t co_ids__what(const struct clew_exchange *ex);
void co_ids__addr(uint16_t family, const uint8_t addr[16], uint8_t ret[16]);
void co_ids__hash128(const void *p, size_t n, uint64_t ret[2]);

/* ---- propagation.c ---- */
/* 0, or -EINVAL: the header is to be ignored */
int co_traceparent__parse(const char *p, size_t n, struct co_header *ret);
/*
 * The list-members of a tracestate that are to be kept, joined by commas, into out[out_size].
 * Returns their length, 0 when the header is malformed or empty.
 */
size_t co_tracestate__parse(const char *p, size_t n, char *out, size_t out_size);
void co_header__read(struct clew_correlate *co, struct co_node *node);
struct co_state *co_state__get(struct co_state *state);
void co_state__put(struct co_state *state);

/* ---- rules: one file per runtime ---- */
void co_thread_rule__request(struct clew_correlate *co, struct co_node *x);
void co_thread_rule__answered(struct clew_correlate *co, struct co_node *x);
void co_thread_rule__claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret);
bool co_thread_rule__stands(struct clew_correlate *co, const struct co_node *x);

void co_go_rule__segment(struct clew_correlate *co, const struct clew_segment *seg);
void co_go_rule__edge(struct clew_correlate *co, const struct clew_edge *edge);
void co_go_rule__request(struct clew_correlate *co, struct co_node *x);
void co_go_rule__claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret);
void co_go_rule__free(void *co, void *val);
void co_go_rule__free_ctx(void *co, void *val);

void co_py_rule__segment(struct clew_correlate *co, const struct clew_segment *seg);
void co_py_rule__edge(struct clew_correlate *co, const struct clew_edge *edge);
void co_py_rule__request(struct clew_correlate *co, struct co_node *x);
void co_py_rule__response(struct clew_correlate *co, struct co_node *x);
void co_py_rule__completed(struct clew_correlate *co, struct co_node *c);
void co_py_rule__claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret);
bool co_py_rule__stands(const struct co_node *c, const struct co_node *x);
/* Nothing speaks against the claim, but the answer did not confirm it either. */
bool co_py_rule__unsure(const struct co_node *c, const struct co_node *x);
void co_py_rule__closed(struct clew_correlate *co, struct co_conn *conn);
void co_py_rule__hold(struct clew_correlate *co, struct co_node *c, struct co_py_ctx *py);
struct co_py_ctx *co_py_ctx__get(struct co_py_ctx *py);
void co_py_ctx__put(struct clew_correlate *co, struct co_py_ctx *py);
void co_py_ctx__drop(void *co, void *val);

void co_nginx_rule__claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret);

/* Evidence, as it is exported in `clew.evidence` and compared by address. */
extern const char co_ev_traceparent[], co_ev_forwarded[], co_ev_socket_pair[], co_ev_thread[],
	co_ev_context[], co_ev_goroutine[], co_ev_task[], co_ev_copy[], co_ev_owner[],
	co_ev_responder[], co_ev_nginx[];

#endif
