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

#define CO_NSEC_PER_MSEC 1000000ULL
#define CO_GRACE_MS	 250 /* a joining client request may come this much later */

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

/* An adopted tracestate, in the shape in which a placement refers to it; `text` is cut short. */
struct co_state {
	uint32_t refs;
	struct clew_exchange text;
};

/* What a node that is not released yet waits for, and so which list its `wait` is in. */
enum co_wait {
	CO_WAIT_NONE = 0,
	CO_WAIT_JOIN,	 /* server: its client request may come; in co->grace[] */
	CO_WAIT_CONTEXT, /* client: its context must prove itself; in a list of its rule */
	CO_WAIT_ANSWER,	 /* client: the candidate must be answered as expected; in cand.held */
	CO_WAIT_WINDOW,	 /* client: nothing may contradict until the window ends; no list */
	CO_WAIT_PARENT,	 /* decided; in parent.kids until it is released */
};

struct co_rule;
struct co_go_call;
struct co_py_ctx;
struct co_thread;
struct co_conn;
struct co_js_fn;
struct co_js_root;
struct co_js_spans;
struct co_py_work;

/* Node: in whose name something runs, as far as is known. */
struct co_js_who {
	struct co_node *x;   /* the request, or NULL */
	struct co_js_fn *fn; /* the async function that runs, or NULL */
	bool made;	     /* a callback runs that somebody made who was at x */
	struct co_node *via; /* the client exchange whose completion led here, or NULL */
	bool own;	     /* x was read, and nothing since, in this very turn */
};

struct co_node {
	struct clew_exchange *ex; /* borrowed; NULL once released or dropped */
	struct co_conn *conn;	  /* reference, never NULL; may be gone from its table */
	uint32_t refs;
	uint32_t pid, tid;
	uint32_t pos;		 /* joins: stream position as the client's end counts */
	uint32_t loss;		 /* co->loss at its request */
	struct co_header header; /* its own */

	uint8_t wait;	   /* enum co_wait */
	uint8_t link;	   /* enum clew_link */
	uint8_t cand_link; /* enum clew_link of the claim */
	bool is_server : 1, excluded : 1;
	bool answered : 1; /* the response has begun */
	bool done : 1, dropped : 1, released : 1;
	bool decided : 1;  /* parent and link are final */
	bool resolved : 1; /* and so are those of all ancestors: trace_id is valid */
	bool adopted : 1;  /* the header is the parent */
	bool tree_adopted : 1, tree_sampled : 1; /* valid when resolved */
	bool has_parent : 1, parent_remote : 1;	 /* the same, as is parent_id */
	bool joined : 1;			 /* client: its server end was found */
	bool joinable : 1;			 /* it is in a join table */
	bool served : 1;			 /* Go: ServeHTTP was entered for it */
	bool gap : 1;	   /* events were lost inside it: what hangs on it is not sure */
	bool js_mixed : 1; /* Node: its async functions run together with another request's */
	uint8_t js_given;  /* Node: requests of it that http was given and did not write yet */
	uint8_t py_acts;   /* Python: its thread gave away an object, or began to wait: so often */

	uint64_t req_ts;
	uint64_t started; /* co->now at its request */
	uint64_t settled; /* co->now when it was done */
	uint64_t what;	  /* joins: hash of method and target */
	uint8_t span_id[8];
	uint8_t trace_id[16]; /* when resolved */
	uint8_t parent_id[8];
	const char *evidence;

	struct co_node *parent; /* reference */
	struct co_node *cand;	/* reference: what the link will be if nothing speaks up */
	const char *cand_evidence;
	const struct co_rule *rule; /* client: whose claim it is, with `by` */
	void *by;		    /* reference: what the rule's claim rests on, or NULL */
	struct co_thread *thread;   /* reference: server, the thread that counts it as open */
	struct co_state *state;	    /* reference: tracestate, adopted here or inherited */
	struct co_node *work_next;  /* scratch list of co_link__settle() */

	struct co_list done_link; /* co->done; after the release, co->retired */
	struct co_list wait_link;
	struct co_list conn_link; /* co_conn.open */
	struct co_list kids;	  /* decided, not released nodes whose parent this is */
	struct co_list held;	  /* undecided nodes whose candidate this is */
};

/* Who may be at the other end of a connection, as far as was seen until co_conn.checked. */
enum co_other {
	CO_OTHER_UNKNOWN = 0,
	CO_OTHER_FAR,	/* the address is none of this host's */
	CO_OTHER_ALONE, /* no traced process has it: a server exchange waited in vain */
};

enum co_shift {
	CO_SHIFT_UNKNOWN = 0,
	CO_SHIFT_LEARNED, /* by one pair */
	CO_SHIFT_PROVED,  /* by a second one that agreed */
	CO_SHIFT_NEVER,	  /* pairs contradicted each other twice */
};

/* One end of a Unix stream socket; see join_unix.c. */
struct co_unix {
	uint64_t sk, peer_sk;
	uint8_t from_start;
	/* of a client's end */
	uint8_t pipelines;     /* it did not wait for an answer before its next request */
	uint64_t heard_ts;     /* bytes came in; kept while a server's end waits */
	struct co_node *asked; /* reference: the newest request */
	/* of a server's end */
	uint8_t state; /* enum co_shift */
	uint8_t contradictions;
	uint32_t shift;	      /* its position of a byte, less the client's */
	uint64_t peer_id;     /* the connection as the client sees it, that this is about */
	struct co_node *late; /* reference: the newest request that waits for its client's */
};

/* One socket of a traced process, as far as rules need it. */
struct co_conn {
	uint64_t id;
	uint32_t refs;
	uint32_t pid;
	uint8_t gone;	/* not in its table any more */
	uint8_t serves; /* this process answers here */
	uint8_t other;	/* enum co_other */
	uint8_t has_tuple;
	uint32_t checked;     /* co->met when `other` was found out */
	uint64_t end;	      /* hash of the client's end; 0: not computed yet */
	uint64_t peer;	      /* hash of the two ends as the other end has them */
	struct co_list open;  /* server exchanges that are not answered, oldest first; borrowed */
	struct co_node *last; /* reference: nginx, the newest server exchange */
	struct co_unix *un;   /* owned; NULL: TCP */
	uint64_t tuple;	      /* TCP client: hash of its two ends */
	uint32_t netns;	      /* loopback addresses: whose; else 0 */
	struct co_py_ctx *owner; /* reference: Python, the context that answers here */
	struct co_node *py_call; /* reference: Python, the call here that waits for a witness */
	uint32_t py_freed_tid, py_freed_turn; /* a read completed the latest exchange here */
	struct co_node *job_call;	      /* reference: Java, likewise a job's */
	/* Go: whose request the next bytes are */
	struct co_node *pend; /* reference, or NULL: nobody's */
	const char *pend_evidence;
	uint64_t pend_ts;
	uint32_t pend_pos, sent_to;
	uint8_t has_pend, pend_link, pend_conflict, pend_known, has_pend_pos, has_sent;
	struct co_go_call *call; /* reference: of a goroutine that a request started, or NULL */
	/* Node. Serves: the async id of its HTTP parser, and the last id before its newest read */
	uint64_t js_parser, js_counter;
	struct co_js_who js_pend; /* references: whose the next request is */
	struct co_node *js_call;  /* reference: the newest client exchange */
	uint8_t js_fresh, js_has_pend, js_used;
	/* tokio, a client's end: its latest request, who wrote it, the message that it was; of
	 * which program; a message was out of turn */
	uint64_t rust_ts, rust_task, rust_message, rust_key;
	uint8_t rust_off, rust_queued; /* requests come as messages here */
} __attribute__((aligned(64)));

/* One thread. `multi`: it holds several requests at once, or leaves answering to others. */
struct co_thread {
	uint32_t refs;
	uint32_t tid, pid; /* Java's are found by their own id: tid is 0 */
	uint8_t loop, multi;
	uint32_t nr_open;
	struct co_node *open; /* reference: the first of nr_open */
	struct co_node *last; /* PHP: reference: the one whose answer began last */
	/* Python: the request that was read last, as long as the thread is still at it */
	struct co_node *window; /* reference, or NULL: closed or unclear */
	uint8_t window_set, freed_set;
	uint32_t window_turn, freed_turn;
	uint64_t window_ctx, window_child; /* who read; the first that was made then */
	/* a client exchange was completed by its latest read: where, and who read */
	uint64_t freed_conn, freed_ctx;
	/* Python: the work item that it runs; references: whose that is, both NULL: nobody's */
	uint8_t job_set, job_answered;
	/* Java: the request that the job was tied to, and maybe answered; tokio: at which the task
	 * was started; references */
	struct co_node *job_x;
	struct co_py_ctx *job_by;
	/* Java: which job of a pool's thread, as in a segment; first seen; who waits for it;
	 * tokio: the task that has started it */
	uint64_t ref, since, waits_ctx, waits_ref;
	uint8_t keep;		    /* its calls may find their request when it is over */
	uint64_t serves;	    /* tokio: the connection whose requests the task reads */
	struct co_list held;	    /* its calls that wait to be tied to a request */
	uint64_t took, took_ts;	    /* Ruby: the connection that it took out of an Array last */
	struct co_py_work *py_work; /* Python: owned, or NULL: items of deques that it took */
	/* Node: the latest read, the run of microtasks that followed, and whose functions ran then
	 */
	uint64_t js_read, js_drain, js_now;
	uint64_t js_id, js_exec; /* the newest id of an answer's parser, and what ran then */
	uint32_t js_turn, js_serial;
	uint64_t js_root_exec;		/* the callback in whose name the newest root was born */
	struct co_js_root *js_root;	/* reference, or NULL */
	struct co_js_spans *js_spans;	/* owned, or NULL: ids given while functions ran */
	struct co_node *js_x, *js_call; /* references; the exchange whose answer was read */
};

struct co_proc {
	uint32_t pid;
	uint32_t gen; /* tells two programs under one pid apart in every table */
	uint64_t start_time;
	uint64_t watched_ts; /* its calls are seen at the latest since then; 0: unknown */
	uint64_t given_up;   /* likewise: away for their cost */
	uint64_t probes;     /* 1 << enum clew_probe_set: attached now */
	uint64_t probes_ts[CLEW_SET_MAX]; /* of those: since when, ns */
	uint64_t copy_first, copy_last; /* Python: copies of contexts were reported, ns; 0: never */
	uint8_t runtime;		/* enum clew_runtime_kind */
	uint8_t java_client;		/* has java.net.http, whose thread reads */
	uint8_t owner_off; /* Python: handlers work on after their answer; owners prove nothing */
	uint32_t py_gaps;  /* Python: something was taken out of a deque, unseen */
	uint16_t unasked;  /* requests that came in since it made one of others */
	uint64_t js_mixed_ts; /* Node: functions of two requests ran together, ns */
};

enum co_claim_kind {
	CO_CLAIM_NONE = 0, /* the rule says: nobody, or does not speak */
	CO_CLAIM_NODE,	   /* x it is */
	CO_CLAIM_HOLD,	   /* the rule may tell later: its hold() takes over */
};

/* What a rule says about a client exchange. */
struct co_claim {
	enum co_claim_kind kind;
	struct co_node *x; /* borrowed */
	void *by;	   /* borrowed: what it rests on, or NULL */
	const char *evidence;
	enum clew_link link;
	bool conflict; /* the rule's own sources disagree */
};

enum { CO_GRACE_FIRST, CO_GRACE_WINDOW, CO_GRACES };

struct clew_correlate {
	const struct clew_config *cfg;
	struct clew_correlate_sink sink;
	struct clew_correlate_stats stats;
	uint64_t now, next_sweep, window;
	uint64_t seen_loss; /* the kernel side's own count of lost records */
	uint32_t loss;	    /* how often it reported more */
	uint32_t next_gen;
	uint32_t met;	  /* counts ends of connections that may turn out to be a peer's */
	uint32_t nr_late; /* Unix server ends whose newest request waits for its client's */
	uint64_t max_nodes;
	uint64_t held; /* nodes with an exchange */
	struct co_list done, retired, grace[CO_GRACES];
	struct co_proc *last_proc; /* looked up last, or NULL; both in their tables */
	struct co_thread *last_thread;
	struct co_conn *last_conn;
	struct co_node *free_nodes; /* by work_next */
	struct co_slab *slabs;
	uint64_t slab_bytes;

	/* the read that is being worked on: what it completes was completed by this thread */
	struct {
		uint64_t ts, conn_id, ctx;
		uint32_t tid, pid, turn;
		bool set;
	} reading;

	struct co_map procs, threads, conns, tuples, unix_ends, locals, clients, servers, headers;
	struct co_map go_cur, go_ctx, py_ctx, py_items, py_hands, java_tasks, js_ids, js_fns,
		rust_messages;
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
void co_link__server(struct clew_correlate *co, struct co_node *node, struct co_node *client,
		     enum clew_link link, const char *evidence);
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
/* A claim of `node` on `x` that came late: final when `x` is answered as expected. */
void co_link__until_answered(struct clew_correlate *co, struct co_node *node, struct co_node *x,
			     enum clew_link link, const char *evidence);
/* Claims of `node` on `x` that must outlive the window uncontradicted. */
void co_link__late(struct clew_correlate *co, struct co_node *node, struct co_node *x,
		   enum clew_link link, const char *evidence);
void co_link__unwait(struct clew_correlate *co, struct co_node *node);

/* ---- correlate.c ---- */
struct co_proc *co_proc(struct clew_correlate *co, uint32_t pid);
struct co_proc *co_proc__find(struct clew_correlate *co, uint32_t pid); /* or NULL */
struct co_thread *co_thread(struct clew_correlate *co, uint32_t tid, uint32_t pid);
struct co_thread *co_thread__find(struct clew_correlate *co, uint32_t tid, uint32_t pid);
void co_thread__put(struct clew_correlate *co, struct co_thread *thread);
/* A reference, for rules whose claims are made by a thread (co_rule.get, co_rule.put). */
void *co_thread__get_by(void *thread);
void co_thread__put_by(struct clew_correlate *co, void *thread);
void co_thread__job_over(struct clew_correlate *co, struct co_thread *thread);
struct co_conn *co_conn(struct clew_correlate *co, uint64_t id, uint32_t pid);
struct co_conn *co_conn__find(struct clew_correlate *co, uint64_t id);
struct co_node *co_conn__oldest(const struct co_conn *conn); /* unanswered; borrowed, or NULL */
bool co_conn__several(const struct co_conn *conn);	     /* two or more are unanswered */
/* Proxies: the connection of its process that this client request names by `ref`, or NULL. */
struct co_conn *co_conn__downstream(struct clew_correlate *co, const struct co_node *c);
/* Its connection, or NULL once that is closed. */
static inline struct co_conn *co_conn__of(const struct co_node *node)
{
	return node->conn->gone ? NULL : node->conn;
}
void co_conn__put(struct co_conn *conn);
void co_release(struct clew_correlate *co, struct co_node *node);

/* ---- join.c ---- */
void co_join__opened(struct clew_correlate *co, const struct clew_conn_open *ev);
void co_join__closed(struct clew_correlate *co, struct co_conn *conn);
void co_join__client(struct clew_correlate *co, struct co_node *node);
void co_join__server(struct clew_correlate *co, struct co_node *node);
void co_join__forget(struct clew_correlate *co, struct co_node *node);
/* `c` is the client's end of `s`, which is decided; `c` is not looked for any more. */
void co_join__pair(struct clew_correlate *co, struct co_node *c, struct co_node *s,
		   enum clew_link link, const char *evidence);
/* A server exchange waited in vain: without a client request. */
void co_join__vain(struct clew_correlate *co, struct co_node *node);
/* A server exchange's wait in `queue` is over: it is queued for longer, or decided. */
void co_join__expired(struct clew_correlate *co, struct co_node *node, int queue);

/* ---- join_unix.c: positions of Unix sockets ---- */
/* NULL or an end without a name: nothing is to be joined there. */
struct co_unix *co_unix__new(const struct clew_conn_open *ev);
void co_unix__free(struct co_unix *un);
void co_unix__closed(struct clew_correlate *co, struct co_conn *conn);
/* Is the other end's connection known? */
bool co_unix__peer_is_traced(struct clew_correlate *co, const struct co_conn *conn);
/* Bytes came in on a connection. */
void co_unix__heard(struct clew_correlate *co, const struct clew_segment *seg);
/*
 * A server request was read. 1: it is joined, or will never be; 0: node->pos is what its client
 * counted; -EAGAIN: not known yet.
 */
int co_unix__server(struct clew_correlate *co, struct co_node *s);
void co_unix__waits(struct clew_correlate *co, struct co_node *s);
void co_unix__settled(struct clew_correlate *co, const struct co_node *s);
/* A client request was written. 1: it was joined. */
int co_unix__client(struct clew_correlate *co, struct co_node *c);
/* May these two, which have one key, be joined, and how sure is that? */
bool co_unix__agree(struct clew_correlate *co, const struct co_node *c, const struct co_node *s,
		    enum clew_link *ret_link);
/* Two that have one key are not the same. */
void co_unix__contradicted(struct clew_correlate *co, struct co_conn *server);

/* ---- ids.c ---- */
void co_ids__span(const struct clew_exchange *ex, uint8_t id[8]);
void co_ids__trace(const uint8_t span_id[8], uint64_t ts, uint64_t conn_id, uint32_t pid,
		   uint8_t id[16]);
uint64_t co_ids__what(const struct clew_exchange *ex);
void co_ids__addr(uint16_t family, const uint8_t addr[16], uint8_t ret[16]);
uint64_t co_ids__hash(const void *p, size_t n); /* never 0 */
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
/*
 * Its header is about to be adopted: true, and counted, if this process has done so too often or
 * for too long. Then it is not to be: the node has no header any more.
 */
bool co_header__worn(struct clew_correlate *co, struct co_node *node);
/* Has this process received the header? */
bool co_header__received(struct clew_correlate *co, const struct co_node *node);
struct co_state *co_state__get(struct co_state *state);
void co_state__put(struct co_state *state);

/*
 * ---- rules: one file per kind of context, one line of rules[] in rule.c ----
 *
 * Any hook may be NULL. `by` is an object of the rule on which a claim rests; it is kept with
 * the client exchange until that is decided.
 */
struct co_rule {
	uint32_t runtimes; /* set of 1 << enum clew_runtime_kind in which it is believed */
	void (*segment)(struct clew_correlate *co, const struct clew_segment *seg);
	void (*edge)(struct clew_correlate *co, const struct clew_edge *edge);
	void (*closed)(struct clew_correlate *co, struct co_conn *conn);
	/* a server request was read; its answer begins */
	void (*request)(struct clew_correlate *co, struct co_node *x);
	void (*response)(struct clew_correlate *co, struct co_node *x);
	/* a client request was written; its exchange is over */
	void (*claim)(struct clew_correlate *co, struct co_node *c, struct co_claim *ret);
	void (*completed)(struct clew_correlate *co, struct co_node *c);
	/* CO_CLAIM_HOLD: sets node->wait and keeps it in a list of the rule's own */
	void (*hold)(struct clew_correlate *co, struct co_node *c, void *by);
	/* `x`, which `c` claims, was answered: does the claim stand? Has that confirmed it? */
	bool (*stands)(struct clew_correlate *co, const struct co_node *c, const struct co_node *x);
	bool (*unsure)(const struct co_node *c, const struct co_node *x);
	void *(*get)(void *by);
	void (*put)(struct clew_correlate *co, void *by);
};

/* Ruby's part of the rule of threads. */
void co_ruby_rule__edge(struct clew_correlate *co, const struct clew_edge *edge);
bool co_ruby_rule__claim(struct clew_correlate *co, const struct co_thread *t,
			 const struct co_node *c, struct co_claim *ret);
bool co_ruby_rule__stands(struct clew_correlate *co, const struct co_node *c,
			  const struct co_node *x);

extern const struct co_rule co_rule_thread, co_rule_go, co_rule_python, co_rule_nginx, co_rule_java,
	co_rule_haproxy, co_rule_node, co_rule_rust;

/* By enum clew_ctx_kind; never NULL. */
const struct co_rule *co_rule(uint8_t ctx_kind);
/* The same, if that kind of context is to be believed in the process of this node. */
const struct co_rule *co_rule__of(struct clew_correlate *co, const struct co_node *node,
				  const struct clew_feed *feed);
void co_rule__closed(struct clew_correlate *co, struct co_conn *conn);
/* The node's claim is not needed any more. */
void co_rule__put(struct clew_correlate *co, struct co_node *node);

/* `t` has read `x`; `watched`: that it is in no event loop is known. */
void co_thread__serves(struct clew_correlate *co, struct co_thread *t, struct co_node *x,
		       bool watched);
/* It does not serve one request at a time: it tells nothing from now on. */
void co_thread__multi(struct clew_correlate *co, struct co_thread *t);
/* Is it the thread that read the request who answers? */
enum co_who { CO_WHO_SAME, CO_WHO_OTHER, CO_WHO_UNKNOWN };
enum co_who co_thread__answers(const struct co_node *x);
void co_thread_rule__request(struct clew_correlate *co, struct co_node *x);
void co_thread_rule__answered(struct clew_correlate *co, struct co_node *x);
void co_thread_rule__claim(struct clew_correlate *co, struct co_node *c, struct co_claim *ret);
bool co_thread_rule__stands(struct clew_correlate *co, const struct co_node *x);

/* It leaves its table: the job is over, or nobody remembers it. */
void co_java__dropped(struct clew_correlate *co, struct co_thread *t);

void co_go_rule__free(void *co, void *val);
void co_go_rule__free_ctx(void *co, void *val);

/* Any read ends what a thread of Python was at: also one whose context is not known. */
void co_py_rule__segment(struct clew_correlate *co, const struct clew_segment *seg);
void co_py_ctx__drop(void *co, void *val);
void co_rust_message__drop(void *co, void *val);
void co_js_id__drop(void *co, void *val);
void co_js_fn__drop(void *co, void *val);
void co_js_spans__free(struct clew_correlate *co, struct co_js_spans *spans); /* NULL is fine */
void co_js_root__put(struct co_js_root *root);				      /* likewise */
void co_py__put(struct clew_correlate *co, struct co_py_ctx *py);	      /* NULL is fine */
void co_py_item__drop(void *co, void *val);
void co_py_hand__drop(void *co, void *val);
void co_py_work__free(struct clew_correlate *co, struct co_py_work *work); /* NULL is fine */
void co_java_task__drop(void *co, void *val);

/* Evidence, as it is exported in `clew.evidence` and compared by address. */
/* What a value of these tables takes. */
extern const size_t co_go_cur_bytes, co_go_ctx_bytes, co_py_ctx_bytes, co_py_item_bytes,
	co_py_hand_bytes, co_java_task_bytes, co_js_id_bytes, co_js_fn_bytes, co_rust_message_bytes;

extern const char co_ev_traceparent[], co_ev_forwarded[], co_ev_worn[], co_ev_socket_pair[],
	co_ev_pair_order[], co_ev_thread[], co_ev_context[], co_ev_goroutine[], co_ev_task[],
	co_ev_copy[], co_ev_owner[], co_ev_responder[], co_ev_join[], co_ev_item[], co_ev_nginx[],
	co_ev_java[], co_ev_turn[], co_ev_future[], co_ev_virtual[], co_ev_haproxy[], co_ev_scope[],
	co_ev_function[], co_ev_resumed[], co_ev_callback[], co_ev_tokio[], co_ev_message[],
	co_ev_queue[];

#endif
