/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime.h - which language runtime a process runs, and the numbers with which the kernel side
 * reads its execution contexts. A number that is not known is zero, the rule that would need it
 * is off, and `why` says so in words.
 */
#ifndef CLEW_PROBE_RUNTIME_H
#define CLEW_PROBE_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <clew/bpf.h>

#include "probe/elf.h"

#define CLEW_SITES_MAX 48
#define CLEW_SITE_PATH 256

/* Where a uprobe goes, and what its program does there. */
enum clew_site_kind {
	CLEW_SITE_NONE = 0,
	CLEW_SITE_GO_SERVE,	/* net/http.serverHandler.ServeHTTP: DI = *Request */
	CLEW_SITE_GO_ROUNDTRIP, /* net/http.(*persistConn).roundTrip: AX = pc, BX =
				 *transportRequest */
	CLEW_SITE_GO_RESPONSE,	/* net/http.(*persistConn).readResponse: AX = pc */
	CLEW_SITE_GO_SPAWN,	/* the go statement's call of runtime.runqput: BX = newg */
	CLEW_SITE_PY_TASK_INIT, /* _asyncio_Task___init__: DI = the Task; entry */
	CLEW_SITE_PY_WRITE,   /* uvloop's UVStream.write, .writelines: DI = the stream, SI = what */
	CLEW_SITE_PY_PUT,     /* queue.SimpleQueue.put: SI = the arguments */
	CLEW_SITE_PY_GET,     /* .get, .get_nowait: return value is the item */
	CLEW_SITE_PY_COPY,    /* PyContext_CopyCurrent: return value is the copy */
	CLEW_SITE_PY_APPEND,  /* collections.deque.append: SI = the object */
	CLEW_SITE_PY_POPLEFT, /* .popleft: DI = the deque */
	CLEW_SITE_PY_REMOVE,  /* .remove: SI = the object */
	CLEW_SITE_NODE_PARSER, /* InternalCallbackScope(AsyncWrap *, int): SI = the AsyncWrap */
	CLEW_SITE_NODE_ID,     /* AsyncWrap::AsyncReset: DI = the AsyncWrap */
	CLEW_SITE_NODE_DRAIN,  /* V8's RunMicrotasks: DI = the queue */
	CLEW_SITE_NODE_AWAIT,  /* V8's AsyncFunctionAwait: AX = the generator */
	CLEW_SITE_NODE_RESUME, /* AsyncFunctionAwaitResolveClosure: SI = its context */
	CLEW_SITE_NODE_MOVED,  /* V8's collector has moved objects */
	CLEW_SITE_RUST_PUSH,   /* tokio: mpsc::list::Tx, the slot is known: DI = the Tx */
	CLEW_SITE_RUST_POP,    /* mpsc::list::Rx::pop, entry */
	CLEW_SITE_RUST_TAKE,   /* in it, behind the store of the next slot */
	CLEW_SITE_RUST_SPAWN,  /* OwnedTasks::bind_inner, Spawner::spawn_task: SI = the task */
	CLEW_SITE_RUST_JOIN,   /* harness::can_read_output: DI = the task */
	CLEW_SITE_RUBY_SHIFT,  /* rb_ary_shift: DI = the Array */
	CLEW_SITE_CALIBRATE,   /* functions of our own */
	CLEW_SITE_CALIBRATE_RET,
	CLEW_SITE_MAX,
};

/* What stands at such a place. Never NULL. */
struct clew_site_info {
	const char *name;
	const char *program; /* in bpf/ */
	enum clew_probe_set set;
	bool at_return;
};
const struct clew_site_info *clew_site__info(enum clew_site_kind kind);

struct clew_set_info {
	const char *name;
	enum clew_runtime_kind runtime;
	bool on_demand;	  /* waits for clew_live__want() */
	const char *when; /* it is attached, in words */
};
const struct clew_set_info *clew_set__info(enum clew_probe_set set);

struct clew_uprobe_site {
	enum clew_site_kind kind;
	enum clew_insn_class insn; /* of the instruction at `off` */
	uint64_t off;		   /* in the file; where the probe goes */
	uint64_t dev, ino;	   /* of the file: attach once per pair and offset */
	char path[CLEW_SITE_PATH]; /* opens the file from here, while this process lives */
};

struct clew_runtime {
	enum clew_runtime_kind kind;
	char name[24];		  /* "go", "cpython", "nginx", "node", "java", "native", ... */
	char version[32];	  /* of the runtime; empty: not known */
	char why[160];		  /* what is not known, and why; empty: nothing is missing */
	char exe[CLEW_SITE_PATH]; /* path of the program as the process sees it */
	uint64_t start_time;	  /* of the process, as in /proc/PID/stat */
	uint64_t dev, ino;	  /* of the program's file */

	struct clew_proc entry;		 /* what the kernel side is told */
	struct clew_java_wait java_wait; /* likewise; all 0: nothing */
	uint64_t wanted; /* 1 << enum clew_probe_set: on demand, and asked for from the start */
	bool pending;	 /* something that may still be loaded is missing: refresh later */

	uint32_t nr_sites;
	struct clew_uprobe_site sites[CLEW_SITES_MAX];
};

/*
 * Facts about program files, by (device, inode, modification time, size): a thousand processes
 * of one binary cost one parse. Bounded; the oldest fact makes room.
 */
struct clew_runtime_cache;

struct clew_runtime_cache *clew_runtime_cache__new(void);
void clew_runtime_cache__free(struct clew_runtime_cache *cache); /* NULL is fine */
/* How many files were parsed, and how often that was spared. */
void clew_runtime_cache__stats(const struct clew_runtime_cache *cache, uint64_t *ret_parsed,
			       uint64_t *ret_hits);

/*
 * clew_runtime__discover - look at a process. `cache` may be NULL. Returns 0 also when little
 * is known (see `why`); -ESRCH when the process is gone; -EACCES or -EPERM when it may not be
 * looked at. *ret is written on success only.
 */
int clew_runtime__discover(struct clew_runtime_cache *cache, uint32_t pid,
			   struct clew_runtime *ret);

/*
 * clew_runtime__refresh - look again for what was not loaded yet (`pending`). Returns 1 when
 * something was added to *rt, 0 when not, -ESRCH when the process is gone or another now.
 */
int clew_runtime__refresh(struct clew_runtime_cache *cache, uint32_t pid, struct clew_runtime *rt);

#endif
