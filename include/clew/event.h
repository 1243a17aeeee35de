/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * event.h - the only interface between the BPF programs and the agent, and the format of a
 * recording. Events state facts (who, when, which connection and byte position, which bytes,
 * which execution context); every decision is made in userspace. Fixed width, host byte order,
 * explicit padding; sizes and offsets are asserted below, on both sides of the interface.
 *
 * Every record starts with struct clew_event. A reader checks `size` before it looks past the
 * header and every inner length before it follows it.
 */
#ifndef CLEW_EVENT_H
#define CLEW_EVENT_H

#ifndef __bpf__
#include <linux/types.h>
#include <stddef.h>
#endif

#define CLEW_EVENT_VERSION 1

/* Payload limits. A segment event carries at most CLEW_CAP_MAX bytes of one call. */
#define CLEW_CAP_MAX   4096
#define CLEW_TAIL_MAX  8
#define CLEW_CHAIN_MAX 10
#define CLEW_GO_LEVELS 4	/* ancestors of a goroutine that CLEW_EDGE_GO_BORN names */
#define CLEW_GO_SENDS  0x100ULL /* in its ref */
#define CLEW_PATH_MAX  128

enum clew_event_type {
	CLEW_EV_SEGMENT = 1, /* bytes crossed a socket: struct clew_segment */
	CLEW_EV_CONN_OPEN,   /* a connection was met: struct clew_conn_open */
	CLEW_EV_CONN_CLOSE,  /* it ended: struct clew_conn_close */
	CLEW_EV_FORK,	     /* a traced process made a child process: struct clew_proc_event */
	CLEW_EV_EXEC,	     /* a process replaced its program: struct clew_proc_event */
	CLEW_EV_EXIT,	     /* the last thread of a process ended: struct clew_proc_event */
	CLEW_EV_LISTEN,	     /* a process listens on a watched port: struct clew_proc_event */
	CLEW_EV_EDGE,	     /* a runtime's causal fact: struct clew_edge */
	/* The agent adds these to the stream, so that a recording is complete in itself. */
	CLEW_EV_CLOCK = 32, /* monotonic and wall clock read together: struct clew_clock */
	CLEW_EV_PROC_INFO,  /* what is known about a process: struct clew_proc_info */
	CLEW_EV_STATS,	    /* the kernel side's counters: struct clew_stats */
	CLEW_EV_PROBES,	    /* the probes inside a process: struct clew_probes_event */
};

struct clew_event {
	__u8 version; /* CLEW_EVENT_VERSION */
	__u8 type;    /* enum clew_event_type */
	__u16 size;   /* of the whole record, bytes, this header included */
	__u32 pid;    /* thread group id in the initial pid namespace */
	__u32 tid;    /* thread id in the initial pid namespace */
	/* tells one run of this thread's event loop from the next: returns from its wait; Python:
	 * entries into and exits from contexts (PyThreadState.context_ver), 0: not known */
	__u32 turn;
	__u64 ts; /* CLOCK_MONOTONIC, ns */
};

enum clew_dir { CLEW_RECV = 0, CLEW_SEND = 1 };

enum clew_ctx_kind {
	CLEW_CTX_NONE = 0,   /* unknown: nothing may be concluded from who ran */
	CLEW_CTX_THREAD = 1, /* the thread is the context; `ctx` is 0 */
	CLEW_CTX_GO = 2,     /* ctx = goroutine id, 0 where an answer is written or read */
	CLEW_CTX_PYTHON = 3, /* ctx = PyContext, 0: none yet; ref = its live Task or 0 */
	CLEW_CTX_NGINX = 4,  /* ref = conn_id of the downstream connection, or 0 */
	CLEW_CTX_NODE = 5,   /* sent: ctx, ref as in a Node edge; received: ctx = runs of the
			      * microtask queue so far, ref = the last id given */
	CLEW_CTX_JAVA =
		6, /* ctx = Thread.getId(); ref = CLEW_JAVA_VIRTUAL, or a pool's job, or 0 */
	CLEW_CTX_TOKIO = 7, /* ctx = task id; ref = the message that it took for this
			     * request */
	CLEW_CTX_HAPROXY = 8,
	CLEW_CTX_KINDS,
};

/*
 * A message of a tokio channel: its slot, counted since the channel was made, in the bits above a
 * number that no other channel has, also none that was at the same address before; 0: none.
 */
#define CLEW_RUST_MESSAGE(id, slot) ((__u64)(id) ^ (__u64)(slot) << CLEW_RUST_SLOT)
#define CLEW_RUST_SLOT		    47

/* clew_segment.ref of CLEW_CTX_JAVA; the low 32 bits count the jobs of this pool thread. */
#define CLEW_JAVA_VIRTUAL (1ULL << 63)
#define CLEW_JAVA_JOB	  (1ULL << 62)
#define CLEW_JAVA_CLIENT  (1ULL << 61) /* java.net.http's own thread, which reads for all */

enum clew_segment_flags {
	CLEW_SEG_EOF = 1 << 0, /* a read returned 0: the peer closed its direction */
	/* this thread was seen waiting in an event loop; while nobody watches for that: the socket
	 * is registered with one */
	CLEW_SEG_LOOP = 1 << 1,
	CLEW_SEG_NOBYTES = 1 << 2, /* sendfile, splice, page contents: bytes cannot be seen */
	CLEW_SEG_LATE = 1 << 3,	   /* first segment of a connection met after it was opened */
	CLEW_SEG_CUT = 1 << 4,	   /* the copy of the bytes failed (page not present): cap is 0 */
	/* a read, and more bytes were sent before it than have been told of: another thread is
	 * still in the call that sent them, and its segment follows */
	CLEW_SEG_AHEAD = 1 << 5,
};

/* Who waits in event loops is not watched: that CLEW_SEG_LOOP is missing proves nothing. */
#define CLEW_UNWATCHED 255

/*
 * `len` bytes crossed the socket, the first one at stream position `seq`; the first `cap` of
 * them follow. For TCP `seq` is the TCP sequence number of the first byte, so both ends of a
 * connection name a byte alike (RFC 9293 3.4); for Unix sockets it counts from the moment the
 * connection was met. When cap < len, `tail` holds the last `tail_len` of the `len` bytes.
 */
struct clew_segment {
	struct clew_event h;
	__u64 conn_id;
	__u64 ctx; /* by ctx_kind */
	__u64 ref; /* by ctx_kind */
	__u32 seq;
	__u32 len;
	__u16 cap;
	__u16 flags; /* enum clew_segment_flags */
	__u8 dir;    /* enum clew_dir */
	__u8 ctx_kind;
	__u8 tail_len;
	__u8 watch; /* CLEW_UNWATCHED, or a number that changes where watching had a gap */
	__u8 tail[CLEW_TAIL_MAX];
	__u8 data[];
};

enum clew_role { CLEW_ROLE_UNKNOWN = 0, CLEW_ROLE_CLIENT = 1, CLEW_ROLE_SERVER = 2 };

/*
 * Addresses are in network order, IPv4 in the first four bytes; ports in host order. A Unix
 * socket has family AF_UNIX (1), no addresses, and names its two ends by `sk` and `peer_sk`.
 */
struct clew_conn_open {
	struct clew_event h;
	__u64 conn_id;	 /* unique for the life of the agent */
	__u64 sk;	 /* kernel address of the socket: identity only */
	__u64 peer_sk;	 /* Unix: the other end */
	__u64 opened_ts; /* ns; connect() was called then, or 0 if not seen */
	__u32 netns;	 /* inode number of the network namespace */
	__u16 family;	 /* AF_INET 2, AF_INET6 10, AF_UNIX 1 */
	__u8 role;	 /* enum clew_role */
	__u8 from_start; /* 1: no byte crossed before this event */
	__u16 local_port;
	__u16 remote_port;
	__u8 has_seq; /* 1: `seq` is known */
	__u8 pad[3];
	__u8 local_addr[16];
	__u8 remote_addr[16];
	/* By enum clew_dir: the position of the first byte that will be reported. Where two threads
	 * use the connection at this moment it may be some bytes later than that. */
	__u32 seq[2];
};

enum clew_close_reason {
	CLEW_CLOSE_LOCAL = 1,  /* this side sent FIN */
	CLEW_CLOSE_GONE = 2,   /* the socket is closed for good */
	CLEW_CLOSE_REUSED = 3, /* its kernel address now belongs to another socket */
	CLEW_CLOSE_HELD = 4,   /* dead for TCP, but its process has it open: may read what came */
	CLEW_CLOSE_BOTH = 5, /* this side sent FIN, and will read nothing that comes from now on */
};

struct clew_conn_close {
	struct clew_event h;
	__u64 conn_id;
	__u32 reason; /* enum clew_close_reason */
	__u32 pad;
};

struct clew_proc_event {
	struct clew_event h;
	__u32 other; /* FORK: the child's pid. EXIT: exit code. LISTEN: the port */
	__u32 pad;
	char comm[16];
	char path[CLEW_PATH_MAX]; /* EXEC: the file name as given to execve, NUL terminated */
};

/* An edge belongs to the rule of one kind of context. */
#define CLEW_EDGE_OF(ctx_kind, n) ((ctx_kind) << 8 | (n))

enum clew_edge_kind {
	/* Go: serverHandler.ServeHTTP entered; ctx = goid, chain[0] = the request's context */
	CLEW_EDGE_GO_SERVE = CLEW_EDGE_OF(CLEW_CTX_GO, 1),
	/* Go: (*persistConn).roundTrip entered; ctx = goid, conn_id = the connection whose next
	 * request this call will write, chain = the request's context and its ancestors */
	CLEW_EDGE_GO_ROUNDTRIP = CLEW_EDGE_OF(CLEW_CTX_GO, 2),
	/* Go: a goroutine that was started by another calls out (child = 0, behind its ROUNDTRIP)
	 * or is about to get the answer (child = 1); ctx = goid, conn_id = where, chain = the ids
	 * of its parent, grandparent ...; bit i of ref: chain[i] waits for something that ctx was
	 * given, or that such a one was; bit i of ref / CLEW_GO_SENDS: it waits until it can put
	 * something into a channel that stands in an object that ctx was given. Either object's
	 * address, or 0, is chain[CLEW_GO_LEVELS + i] */
	CLEW_EDGE_GO_BORN = CLEW_EDGE_OF(CLEW_CTX_GO, 3),
	/* Python: a Task was made; ctx = parent's PyContext, child = the Task's own, ref = Task;
	 * conn_id = the live Task that ctx was made for, or 0 */
	CLEW_EDGE_PY_TASK = CLEW_EDGE_OF(CLEW_CTX_PYTHON, 1),
	/* Python: PyContext_CopyCurrent returned; ctx = current PyContext, child = the copy */
	CLEW_EDGE_PY_COPY = CLEW_EDGE_OF(CLEW_CTX_PYTHON, 2),
	/* Python: the answer of a call on conn_id begins; ctx = PyContext that made the call, ref =
	 * its Task, 0: ended by now; chain = the contexts of the Tasks that wait for it, and so on
	 */
	CLEW_EDGE_PY_JOIN = CLEW_EDGE_OF(CLEW_CTX_PYTHON, 3),
	/* Python: a work item of a thread pool is put into its queue; ctx = PyContext,
	 * child = its live Task or 0, ref = the item */
	CLEW_EDGE_PY_PUT = CLEW_EDGE_OF(CLEW_CTX_PYTHON, 4),
	/* Python: this thread took ref out of a queue */
	CLEW_EDGE_PY_GET = CLEW_EDGE_OF(CLEW_CTX_PYTHON, 5),
	/* Python: this thread, which is in no event loop, puts the object ref into the deque
	 * child; takes it out; will wait for the lock ref; wakes the thread that does */
	CLEW_EDGE_PY_GIVE = CLEW_EDGE_OF(CLEW_CTX_PYTHON, 6),
	CLEW_EDGE_PY_TAKE = CLEW_EDGE_OF(CLEW_CTX_PYTHON, 7),
	CLEW_EDGE_PY_WAIT = CLEW_EDGE_OF(CLEW_CTX_PYTHON, 8),
	CLEW_EDGE_PY_WAKE = CLEW_EDGE_OF(CLEW_CTX_PYTHON, 9),
	/*
	 * Node: async ids are the bits of a double (as the runtime keeps them; positive ones order
	 * like integers). ctx = the executing id; ref = its trigger's, or where ctx is 0 the async
	 * function instance that runs, or 0. Instances are numbered by the time of their birth.
	 */
	/* the HTTP parser child was entered for conn_id, on which the thread has just read */
	CLEW_EDGE_NODE_PARSER = CLEW_EDGE_OF(CLEW_CTX_NODE, 1),
	/* a native resource gets the id behind child; or a connection, conn_id, gets a new one,
	 * because it is given to its next user, after child runs of the microtask queue; flags */
	CLEW_EDGE_NODE_ID = CLEW_EDGE_OF(CLEW_CTX_NODE, 2),
	/* an async function, child, awaits for the first time */
	CLEW_EDGE_NODE_BORN = CLEW_EDGE_OF(CLEW_CTX_NODE, 3),
	/* child (0: an unknown one) goes on, in the thread's ref-th run of the microtask queue */
	CLEW_EDGE_NODE_RESUME = CLEW_EDGE_OF(CLEW_CTX_NODE, 4),
	/* child awaits again, or is over; ids behind ctx, up to ref, were given meanwhile */
	CLEW_EDGE_NODE_IDS = CLEW_EDGE_OF(CLEW_CTX_NODE, 5),
	/* Java: the answer of a call on conn_id begins; ctx, ref = who reads it, as in a segment:
	 * a pool's job or a virtual thread; child, chain[0] = likewise the one thread that waits
	 * for what this job or thread will give, child 0: nobody does yet; chain[1] = name of that,
	 * an address and the number of the collection */
	CLEW_EDGE_JAVA_WAIT = CLEW_EDGE_OF(CLEW_CTX_JAVA, 1),
	/* ctx, ref waits for a job, and has in its hands what another one will give, child, as in
	 * chain[1] above, which it made itself */
	CLEW_EDGE_JAVA_HELD = CLEW_EDGE_OF(CLEW_CTX_JAVA, 2),
	/* as JAVA_WAIT, but ctx, ref is java.net.http's own thread, and what is waited for is the
	 * answer on conn_id itself */
	CLEW_EDGE_JAVA_CALL = CLEW_EDGE_OF(CLEW_CTX_JAVA, 3),
	/* tokio: task ctx has put the message child into a channel, whose messages task ref takes,
	 * 0: nobody seen so far */
	CLEW_EDGE_RUST_SEND = CLEW_EDGE_OF(CLEW_CTX_TOKIO, 1),
	/* task ctx has started the task child (a future, or a closure of spawn_blocking) */
	CLEW_EDGE_RUST_SPAWN = CLEW_EDGE_OF(CLEW_CTX_TOKIO, 2),
	/* task ctx takes, by its JoinHandle, what the task child, which is over, has given */
	CLEW_EDGE_RUST_JOIN = CLEW_EDGE_OF(CLEW_CTX_TOKIO, 3),
	/* Ruby: this thread takes the first object of an Array, which holds the socket of conn_id
	 */
	CLEW_EDGE_RUBY_TAKE = CLEW_EDGE_OF(CLEW_CTX_THREAD, 1),
};

enum clew_edge_flags {
	CLEW_EDGE_AGAIN = 1 << 0, /* Node: the resource had an id before */
	CLEW_EDGE_UVLOOP =
		1 << 1, /* Python: the thread reads outside contexts, and enters one then */
};

struct clew_edge {
	struct clew_event h;
	__u64 conn_id;
	__u64 ctx;
	__u64 child;
	__u64 ref;
	__u16 kind; /* enum clew_edge_kind */
	__u16 chain_len;
	__u8 flags; /* enum clew_edge_flags */
	__u8 pad[3];
	__u64 chain[CLEW_CHAIN_MAX]; /* the record may end behind the chain_len that are used */
};

#define CLEW_EDGE_BARE 64

struct clew_clock {
	struct clew_event h; /* h.ts = CLOCK_MONOTONIC */
	__u64 realtime;	     /* CLOCK_REALTIME at the same moment, ns since 1970 */
};

enum clew_runtime_kind {
	CLEW_RT_UNKNOWN = 0, /* native threads: the thread rule applies */
	CLEW_RT_GO = 1,
	CLEW_RT_PYTHON = 2,
	CLEW_RT_NGINX = 3,
	CLEW_RT_OTHER = 4, /* a runtime whose contexts are not understood: only headers and joins */
	CLEW_RT_NODE = 5,
	CLEW_RT_JAVA = 6,
	CLEW_RT_TOKIO = 7,
	CLEW_RT_HAPROXY = 8,
	CLEW_RT_PHP =
		9, /* PHP-FPM: a process serves one request at a time, whatever it waits for */
	CLEW_RT_RUBY = 10, /* threads */
	CLEW_RT_KINDS,
};

/*
 * Sets of probes inside processes: attached together, given up together. Those of one runtime
 * stand from cheap to dear. Bit numbers of clew_probes_event.sets.
 */
enum clew_probe_set {
	CLEW_SET_GO_CALL,  /* roundTrip: which request's context a call out carries */
	CLEW_SET_GO_SERVE, /* ServeHTTP: the context that a request was given */
	CLEW_SET_GO_SPAWN, /* go statements, readResponse: who waits for the goroutine that calls */
	CLEW_SET_PY_TASK,  /* Task.__init__ */
	CLEW_SET_PY_QUEUE, /* SimpleQueue: the work items of thread pools */
	CLEW_SET_PY_COPY,  /* PyContext_CopyCurrent */
	CLEW_SET_PY_DEQUE, /* collections.deque: queues and waits of threads */
	CLEW_SET_NODE_IDS, /* async ids: callback scopes of HTTP parsers, ids of native resources */
	CLEW_SET_NODE_ASYNC,   /* async functions, the microtask queue, the garbage collector */
	CLEW_SET_RUST_MESSAGE, /* tokio channels: who put the message in, who took it out */
	CLEW_SET_RUST_JOIN,    /* tokio: who starts tasks, and who waits for them */
	CLEW_SET_RUBY_TAKE,    /* Array#shift: Puma's pool takes the next connection */
	CLEW_SET_MAX,
};
#define CLEW_SET_ROOM 32 /* no more than these */

/*
 * What discovery found out about h.pid: `text_len` bytes of "key\0value\0" pairs follow, keys
 * are OpenTelemetry resource attribute names.
 */
struct clew_proc_info {
	struct clew_event h;
	__u64 start_time; /* /proc/PID/stat field 22, clock ticks since boot */
	__u16 runtime;	  /* enum clew_runtime_kind */
	__u16 text_len;
	__u8 pad[4];
	char text[];
};

/* Which sets of probes h.pid has: said after a set was attached, before one is detached. */
struct clew_probes_event {
	struct clew_event h;
	__u64 sets;	/* 1 << enum clew_probe_set */
	__u64 given_up; /* likewise: cost more than capture.overhead_limit, away for a while */
};

/* Why the kernel side could not tell something. Index of the `stats` per-CPU array. */
enum clew_stat {
	CLEW_STAT_EMITTED = 0,	   /* records put into the ring buffer */
	CLEW_STAT_DROP_RING_FULL,  /* records that found the ring buffer full */
	CLEW_STAT_DROP_CONN_FULL,  /* segments whose connection found no room in the map */
	CLEW_STAT_DROP_NO_SOCKET,  /* calls whose socket could not be read */
	CLEW_STAT_SKIP_IGNORED,	   /* calls on connections classified as uninteresting */
	CLEW_STAT_SKIP_PROTOCOL,   /* connections classified as uninteresting */
	CLEW_STAT_COPY_FAILED,	   /* payload copies that failed (segment still emitted) */
	CLEW_STAT_EDGE_UNRESOLVED, /* runtime probes that read nothing usable */
	CLEW_STAT_THREADS_FULL,	   /* threads that found no room in the thread map */
	CLEW_STAT_DROP_SEGMENTS,   /* of DROP_RING_FULL: segment records */
	CLEW_STAT_MISSED, /* runs that the kernel skipped: a program was busy on that processor */
	CLEW_STAT_MAX,
};

struct clew_stats {
	struct clew_event h;
	__u64 count[16]; /* by enum clew_stat */
};

_Static_assert(sizeof(struct clew_event) == 24, "ABI");
_Static_assert(sizeof(struct clew_segment) == 72, "ABI");
_Static_assert(sizeof(struct clew_conn_open) == 112, "ABI");
_Static_assert(sizeof(struct clew_conn_close) == 40, "ABI");
_Static_assert(sizeof(struct clew_proc_event) == 176, "ABI");
_Static_assert(sizeof(struct clew_edge) == 144, "ABI");
_Static_assert(sizeof(struct clew_clock) == 32, "ABI");
_Static_assert(sizeof(struct clew_proc_info) == 40, "ABI");
_Static_assert(sizeof(struct clew_stats) == 152, "ABI");
_Static_assert(sizeof(struct clew_probes_event) == 40, "ABI");
_Static_assert(CLEW_STAT_MAX <= 16, "ABI");
_Static_assert(CLEW_SET_MAX <= CLEW_SET_ROOM, "ABI");
_Static_assert(__builtin_offsetof(struct clew_segment, data) == 72, "ABI");
_Static_assert(__builtin_offsetof(struct clew_segment, tail) == 64, "ABI");
_Static_assert(__builtin_offsetof(struct clew_edge, chain) == CLEW_EDGE_BARE, "ABI");

#endif
