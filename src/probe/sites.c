/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sites.c - the probes inside processes, as data: which program runs at which place, and which
 * of them are attached, and given up, together. A new probe is a line here.
 */
#include "probe/runtime.h"

static const struct clew_site_info sites[CLEW_SITE_MAX] = {
	[CLEW_SITE_NONE] = {"?", NULL, CLEW_SET_MAX, false},
	[CLEW_SITE_GO_SERVE] = {"http.Handler.ServeHTTP", "clew_go_serve", CLEW_SET_GO_SERVE,
				false},
	[CLEW_SITE_GO_ROUNDTRIP] = {"http.persistConn.roundTrip", "clew_go_roundtrip",
				    CLEW_SET_GO_CALL, false},
	[CLEW_SITE_GO_RESPONSE] = {"http.persistConn.readResponse", "clew_go_response",
				   CLEW_SET_GO_SPAWN, false},
	[CLEW_SITE_GO_SPAWN] = {"go statement", "clew_go_spawn", CLEW_SET_GO_SPAWN, false},
	[CLEW_SITE_PY_TASK_INIT] = {"asyncio.Task.__init__", "clew_py_task", CLEW_SET_PY_TASK,
				    false},
	[CLEW_SITE_PY_WRITE] = {"uvloop.UVStream.write", "clew_py_write", CLEW_SET_PY_TASK, false},
	[CLEW_SITE_CALIBRATE] = {"entry", "clew_calibrate", CLEW_SET_MAX, false},
	[CLEW_SITE_CALIBRATE_RET] = {"return", "clew_calibrate", CLEW_SET_MAX, true},
	[CLEW_SITE_PY_PUT] = {"SimpleQueue.put", "clew_py_put", CLEW_SET_PY_QUEUE, false},
	[CLEW_SITE_PY_GET] = {"SimpleQueue.get", "clew_py_get", CLEW_SET_PY_QUEUE, true},
	[CLEW_SITE_PY_COPY] = {"PyContext_CopyCurrent", "clew_py_copy", CLEW_SET_PY_COPY, true},
	[CLEW_SITE_PY_APPEND] = {"deque.append", "clew_py_append", CLEW_SET_PY_DEQUE, false},
	[CLEW_SITE_PY_POPLEFT] = {"deque.popleft", "clew_py_popleft", CLEW_SET_PY_DEQUE, false},
	[CLEW_SITE_PY_REMOVE] = {"deque.remove", "clew_py_remove", CLEW_SET_PY_DEQUE, false},
	[CLEW_SITE_NODE_PARSER] = {"node::InternalCallbackScope", "clew_node_parser",
				   CLEW_SET_NODE_IDS, false},
	[CLEW_SITE_NODE_ID] = {"node::AsyncWrap::AsyncReset", "clew_node_id", CLEW_SET_NODE_IDS,
			       false},
	[CLEW_SITE_NODE_DRAIN] = {"v8::RunMicrotasks", "clew_node_drain", CLEW_SET_NODE_ASYNC,
				  false},
	[CLEW_SITE_NODE_AWAIT] = {"v8::AsyncFunctionAwait", "clew_node_await", CLEW_SET_NODE_ASYNC,
				  false},
	[CLEW_SITE_NODE_RESUME] = {"v8::AsyncFunctionAwaitResolveClosure", "clew_node_resume",
				   CLEW_SET_NODE_ASYNC, false},
	[CLEW_SITE_NODE_MOVED] = {"v8::UpdatePointersAfterEvacuation", "clew_node_moved",
				  CLEW_SET_NODE_ASYNC, false},
	[CLEW_SITE_RUST_PUSH] = {"tokio::sync::mpsc::list::Tx::push", "clew_rust_push",
				 CLEW_SET_RUST_MESSAGE, false},
	[CLEW_SITE_RUST_POP] = {"tokio::sync::mpsc::list::Rx::pop", "clew_rust_pop",
				CLEW_SET_RUST_MESSAGE, false},
	[CLEW_SITE_RUST_TAKE] = {"tokio::sync::mpsc::list::Rx::pop (taken)", "clew_rust_take",
				 CLEW_SET_RUST_MESSAGE, false},
	[CLEW_SITE_RUST_SPAWN] = {"tokio::task::spawn", "clew_rust_spawn", CLEW_SET_RUST_JOIN,
				  false},
	[CLEW_SITE_RUST_JOIN] = {"tokio::task::JoinHandle::poll", "clew_rust_join",
				 CLEW_SET_RUST_JOIN, false},
	[CLEW_SITE_RUBY_SHIFT] = {"Array#shift", "clew_ruby_shift", CLEW_SET_RUBY_TAKE, false},
};

static const struct clew_set_info sets[CLEW_SET_MAX + 1] = {
	[CLEW_SET_GO_CALL] = {"go-call", CLEW_RT_GO, false, "at once"},
	[CLEW_SET_GO_SERVE] = {"go-serve", CLEW_RT_GO, true, "with its first outgoing request"},
	[CLEW_SET_GO_SPAWN] = {"go-spawn", CLEW_RT_GO, true,
			       "when a goroutine calls out that nobody knows"},
	[CLEW_SET_PY_TASK] = {"python-task", CLEW_RT_PYTHON, false, "at once"},
	[CLEW_SET_PY_QUEUE] = {"python-queue", CLEW_RT_PYTHON, true,
			       "when it has several threads, or one without a request calls out"},
	[CLEW_SET_PY_COPY] = {"python-copy", CLEW_RT_PYTHON, true,
			      "when a thread calls out in a context that is not known"},
	[CLEW_SET_PY_DEQUE] = {"python-deque", CLEW_RT_PYTHON, true,
			       "when a thread calls out, and no event loop serves"},
	[CLEW_SET_NODE_IDS] = {"node-ids", CLEW_RT_NODE, true, "with its first outgoing request"},
	[CLEW_SET_NODE_ASYNC] = {"node-async", CLEW_RT_NODE, true,
				 "with its first outgoing request"},
	[CLEW_SET_RUST_MESSAGE] = {"tokio-message", CLEW_RT_TOKIO, true,
				   "with its first outgoing request"},
	[CLEW_SET_RUST_JOIN] = {"tokio-join", CLEW_RT_TOKIO, true,
				"with its first outgoing request"},
	[CLEW_SET_RUBY_TAKE] = {"ruby-take", CLEW_RT_RUBY, true, "with its first outgoing request"},
	[CLEW_SET_MAX] = {"?", CLEW_RT_UNKNOWN, true, "never"},
};

const struct clew_site_info *clew_site__info(enum clew_site_kind kind)
{
	return &sites[(unsigned int)kind < CLEW_SITE_MAX ? kind : CLEW_SITE_NONE];
}

const struct clew_set_info *clew_set__info(enum clew_probe_set set)
{
	return &sets[(unsigned int)set < CLEW_SET_MAX ? set : CLEW_SET_MAX];
}
