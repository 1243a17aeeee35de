/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * bpf.h - what the agent tells the BPF programs: constants fixed at load (struct
 * clew_bpf_config, read-only data, so that the verifier drops what is off) and one entry per
 * traced process. Shared with src/probe/.
 */
#ifndef CLEW_BPF_H
#define CLEW_BPF_H

#include <clew/event.h>

struct clew_bpf_config {
	__u32 request_budget;  /* bytes copied of a request, per direction flip */
	__u32 response_budget; /* likewise of a response */
	__u8 trace_all;	       /* every process but the agent and those excluded */
	__u8 watch_exec;       /* report every exec: the agent looks for processes to select */
	__u8 watch_listen;     /* report listen() on ports in `watch_ports` */
	__u8 pad[5];
};

enum clew_proc_flags {
	CLEW_PROC_EXCLUDED = 1 << 0, /* never traced */
	CLEW_PROC_THREADS = 1 << 1,  /* keep loop state per thread */
	CLEW_PROC_OTHER = 1 << 2,    /* set by the kernel side: busy with a protocol that is left */
};

/* Where CPython keeps the attributes of an instance, by version. */
enum clew_py_values {
	CLEW_PY_VALUES_NONE = 0, /* in a dictionary: not followed */
	CLEW_PY_VALUES_BEFORE,
	CLEW_PY_VALUES_TAGGED,
	CLEW_PY_VALUES_INLINE,
};

/* How the methods of uvloop's streams take their argument; 0: there is no uvloop. */
enum clew_py_uv {
	CLEW_PY_UV_ONE = 1, /* METH_O: the object */
	CLEW_PY_UV_ARRAY,   /* METH_FASTCALL: an array of objects */
};

/*
 * Go: where the runtime keeps what a goroutine holds and waits for (byte offsets by type of
 * src/runtime: g, m, p, mcache, mspan, sudog, hchan). All 0: unknown, ancestry is not reported.
 */
struct clew_go_wait {
	__u16 g_m, m_curg;
	__u16 g_sp, g_ctxt; /* g.sched.sp, .ctxt: stack pointer, and closure to start with */
	__u16 g_status, g_reason, g_waiting;
	__u16 sudog_c, sudog_link, hchan_recvq;
	__u16 m_p, p_mcache, mc_alloc;
	__u16 span_start, span_pages, span_size;
	__u16 wg_reason; /* g.waitreason in sync.WaitGroup.Wait; 0: shared with other waits */
};

#define CLEW_RUST_PLACES 24 /* probes in the channels of one program */

/* Value of map `procs`, key: thread group id. Offsets are those of the process's runtime. */
struct clew_proc {
	__u16 flags;   /* enum clew_proc_flags */
	__u16 runtime; /* enum clew_runtime_kind */
	union {	       /* by runtime */
		struct {
			__u16 go_goid;	  /* runtime.g.goid; 0: unknown, no goroutine is reported */
			__u16 go_req_ctx; /* net/http.Request.ctx */
			__u16 go_pc_conn; /* net/http.persistConn.conn */
			__u16 go_pad;
			__u64 go_itab_tls; /* itab of *crypto/tls.Conn as net.Conn, 0: none */
			__u64 go_entered; /* behind the instruction that Go's own system calls enter
					     the kernel by, 0: unknown */
			struct clew_go_wait go_wait;
		};
		struct {
			__u16 py_ctx;	   /* PyThreadState.context; 0: unknown */
			__u16 py_task_ctx; /* _asyncio Task.task_context; 0: unknown */
			__u32 py_specific; /* struct pthread.specific, from the thread pointer */
			__u16 py_key;	   /* the pthread key that holds the PyThreadState */
			__u8 py_closure;   /* PyFunctionObject.func_closure */
			__u8 py_values;	   /* enum clew_py_values */
			__u8 py_uv;	   /* enum clew_py_uv: uvloop is loaded */
			__u8 py_tuple;	   /* PyTupleObject.ob_item */
			__u16 py_thread;   /* PyThreadState.thread_id */
		};
		struct {
			__u16 java_self;     /* thread pointer -> JavaThread *; 0: not known */
			__u16 java_obj;	     /* JavaThread._threadObj */
			__u16 java_vthread;  /* JavaThread._vthread; 0: no virtual threads */
			__u16 java_eetop;    /* Thread.eetop; 0: no object may be read */
			__u16 java_tid;	     /* Thread.tid */
			__u16 java_carrier;  /* VirtualThread.carrierThread */
			__u16 java_holder;   /* Thread.holder; 0: target is in Thread itself */
			__u16 java_target;   /* a thread's Runnable */
			__u16 java_w_thread; /* ThreadPoolExecutor.Worker.thread; 0: none yet */
			__u16 java_w_done;   /* Worker.completedTasks */
			__u16 java_gc_count, java_gc_active; /* in CollectedHeap */
			__u32 java_worker;		     /* Worker as objects name it */
			__u64 java_heap;		     /* the CollectedHeap */
			__u64 java_oops;		     /* base of compressed pointers */
			__u8 java_shift;		     /* their shift */
			__u8 java_pad[3];
			__u32 java_client; /* java.net.http's own thread, as objects name it */
		};
		struct {
			__u16 ha_h1s; /* struct h1c.h1s */
			__u16 ha_pad[3];
			__u64 ha_fdtab; /* where the pointer `fdtab` is; 0: unknown */
		};
		struct {
			__u16 node_realm;  /* AsyncWrap -> its realm; 0: ids are not known */
			__u16 node_env;	   /* realm -> Environment */
			__u16 node_ids;	   /* Environment -> {executing, trigger, last id} */
			__u16 node_id;	   /* AsyncWrap's own id */
			__u8 node_flip;	   /* which map holds the process's async functions */
			__u8 node_misfits; /* reads that made no sense */
		};
		struct {
			__s32 rust_task;  /* thread pointer -> id of the task; 0: unknown */
			__u16 rust_index; /* mpsc Rx -> the slot that is taken next */
			__s16 rust_away;  /* from a channel's mpsc Tx to its Rx; 0: not known */
			/* by place in its page (bits 4 to 15), the register with the slot of a
			 * push, or the receiver of a pop (bits 0 to 3, as instructions number them)
			 */
			__u16 rust_place[CLEW_RUST_PLACES];
			__u8 rust_places; /* of rust_place; 0: messages are not followed */
			__u8 rust_pad;
		};
		struct {
			__u8 ruby_embedded; /* mask of an embedded Array's length */
			__u8 ruby_ivars;    /* RObject -> pointer to its instance variables */
		};
	};
};

/*
 * Value of map `java_waits`, key: thread group id. Where java.util.concurrent keeps who waits for
 * what (byte offsets), and its classes as objects name them. 0: not loaded, or not known.
 */
struct clew_java_wait {
	__u16 stack_base;	      /* JavaThread._stack_base */
	__u16 first;		      /* from its stack's base to a pool thread's Worker, words */
	__u16 runner, waiters;	      /* FutureTask */
	__u16 node_thread, node_next; /* FutureTask.WaitNode */
	__u16 result, stack;	      /* CompletableFuture */
	__u16 next;		      /* CompletableFuture.Completion */
	__u16 dep;		      /* .UniCompletion */
	__u16 base;		      /* .CoCompletion */
	__u16 sig_thread;	      /* .Signaller */
	__u16 cont, cont_target, cont_task; /* VirtualThread -> Continuation -> Runnable -> task */
	__u16 anchor_sp;		    /* JavaThread: top of its Java frames while it waits */
	__u16 tlab_start, tlab_top;	    /* JavaThread: its room for new objects; 0: not known */
	__u16 list_data[2]; /* ArrayList, ImmutableCollections.ListN: the elements */
	__u16 loose;	    /* kept by the kernel side: look what waiters hold */
	/* java.net.http: its thread's selector, the attachment of a descriptor's key there, what
	 * that waits for; and from such an event to a CompletableFuture (src/probe/java_vm.c) */
	__u16 selector, fd_keys, attachment, pending;
	__u16 set_map, map_table, map_next, node_hash, node_key, node_value; /* java.util */
	__u16 event_sub, sub_reads, reads_now, reading_to, receiver, reader, headers_cf;
	__u32 future, bound; /* FutureTask, ThreadPerTaskExecutor.ThreadBoundFuture */
	__u32 scheduled;     /* ScheduledThreadPoolExecutor.ScheduledFutureTask */
	__u32 async[2];	     /* CompletableFuture.AsyncSupply, .AsyncRun */
	__u32 completable, signaller, co;
	__u32 virtual_thread, runnable; /* its own, around its task */
	__u32 list[2];
	__u32 event, headers, minimal; /* ReadEvent, HeadersReader, MinimalFuture */
};

/* Key and value of map `rust_channels`: a channel, by the address of its sending half. */
struct clew_rust_key {
	__u64 tx;
	__u32 pid;
	__u32 pad;
};

struct clew_rust_channel {
	__u64 id;   /* 47 bits, which no other channel's messages had that was at this address */
	__u64 task; /* that takes the messages; 0: nobody yet */
	__u64 used; /* a message was reported by that id */
};

#define CLEW_GO_WORDS 7 /* words of a closure that are kept */
#define CLEW_GO_DEEP  8 /* of each of its first two objects */

/* Key and value of map `go_born`: who started a goroutine, and what it was given. */
struct clew_go_key {
	__u64 goid;
	__u32 pid;
	__u32 pad;
};

struct clew_go_born {
	__u64 image;		   /* which program, of all that ran under the pid */
	__u64 parent_g;		   /* address: whose goroutine that is now must be asked anew */
	__u64 parent;		   /* goroutine id; 0: it is here for what it gave */
	__u64 serves;		   /* a ServeHTTP ran on it: nothing above it matters */
	__u64 word[CLEW_GO_WORDS]; /* captured by its closure */
	__u64 deep[2][CLEW_GO_DEEP];
	/* what it gave the goroutine that it started last: the first two objects, and how many
	 * bytes from there on are theirs, 0: not known */
	__u64 gave[2], room[2];
};

/* Value of map `go_calls`, key: pid and address of a persistConn, as in struct clew_go_key. */
struct clew_go_call {
	__u64 image, goid, conn_id;
};

/* Value of map `hits`, per processor, key: thread group id. */
struct clew_hits {
	__u32 n[CLEW_SET_ROOM]; /* by enum clew_probe_set; wraps */
};

#define CLEW_PROC_SLOTS	 65536
#define CLEW_SLOT_SHARED 0xffffffff /* several pids, or one that ended: ask `procs` */

/* Value of map `proc_cache`, key: low bits of the thread group id. */
struct clew_proc_slot {
	__u32 pid; /* 0: nobody; CLEW_SLOT_SHARED */
	__u32 pad;
	struct clew_proc proc;
};

/* Value of map `threads`, key: thread id. */
struct clew_thread {
	__u32 turn; /* returns from the event loop's wait */
	__u32 loop; /* CLEW_SEG_LOOP: was seen waiting in an event loop; else 0 */
	union {	    /* by runtime */
		struct {
			/* a Task whose constructor is running; its context is read at the next hook
			 */
			__u64 task, task_parent, task_type;
			__u64 task_maker; /* the Task of task_parent */
			__u32 task_turn;
			__u16 uv;      /* uvloop runs here */
			__u16 serving; /* it read a request that it has not answered */
			__u64 tstate;  /* the PyThreadState that the thread had last */
		};
		struct {
			__u64 node_at;	  /* address of the thread's current ids */
			__u64 node_read;  /* id of the server connection that was read last, or 0 */
			__u64 node_drain; /* runs of the microtask queue */
			/* the async function that runs: address of its generator, its number */
			__u64 node_gen, node_inst;
			__u64 node_mark;  /* the last id given when it went on */
			__u64 node_base;  /* the executing id when it went on: its promise's where
					     those have ids */
			__u64 node_queue; /* V8's microtask queue */
			__u64 node_task;  /* how far that was when it went on */
		};
		struct {
			/* the latest message here, 0: none, and which task took it; or would, if
			 * its slot was ready: then this receiver has moved on */
			__u64 rust_task, rust_message, rust_rx, rust_slot;
			__u64 rust_waits; /* how often the thread had waited by then */
		};
		__u64 java_serves; /* the job in which it read a request that it has not answered */
	};
};

/* Value of map `py_calls`, key: connection id. */
struct clew_py_call {
	__u64 ctx, task; /* who made the call that is not answered; task 0: nobody to ask for */
	__u64 ends;	 /* it is seen when that Task has ended */
};

#define CLEW_PY_JOINS 4 /* Tasks that wait for one another which are followed */

enum clew_conn_class {
	CLEW_CLASS_UNKNOWN = 0,
	CLEW_CLASS_IGNORED,
	CLEW_CLASS_HTTP, /* this and what follows are captured */
	CLEW_CLASS_FASTCGI,
};

/*
 * FastCGI: so many bytes of each call are copied, whatever was copied before. A program writes and
 * reads the headers of records at the beginning of a call: an answer's end is seen.
 */
#define CLEW_FASTCGI_LEAST 32

/* Value of map `conns`, key: address of struct sock. */
struct clew_kconn {
	__u64 id;
	__u64 ino;	 /* the socket's inode number: tells a reused address */
	__u64 opened_ts; /* connect() */
	__u32 budget; /* payload bytes that may still be copied in this direction; ignored: calls */
	__u32 upos[2]; /* Unix: stream position by direction; TCP: what was told to be sent, 0:
			  nothing */
	__u16 family;
	__u8 class; /* enum clew_conn_class */
	__u8 role;
	__u8 last_dir;	/* 0xff: no byte yet */
	__u8 announced; /* CONN_OPEN was emitted */
	__u8 flips;	/* direction flips while the class is unknown */
	__u8 from_start;
	__u8 dead; /* closed, still open in its process: the next change of state is another's */
	/* uvloop: who wrote what is not sent yet */
	__u8 py_note; /* enum clew_py_note */
	__u32 py_turn;
	__u64 py_ctx, py_task;
};

enum clew_py_note {
	CLEW_PY_NOTE_NONE = 0,
	CLEW_PY_NOTE_SURE,    /* it begins with this one's bytes */
	CLEW_PY_NOTE_UNSURE,  /* or this one wrote nothing */
	CLEW_PY_NOTE_SEVERAL, /* it cannot be told whose the first byte is */
};

/* Direction flips without a sign of a known protocol after which a connection is left alone. */
#define CLEW_FLIPS_MAX 8

/* After so many calls on one such connection, the process is known to be busy with them. */
#define CLEW_CALLS_OTHER 1024

/* Value of map `py_tasks`, key: hash of a PyContext's address and its process. */
struct clew_py_task {
	__u64 key; /* of the last that came here; it is checked against the Task itself */
	__u64 task;
};
#define CLEW_PY_TASKS 65536

#endif
