/* SPDX-License-Identifier: Apache-2.0 */
/*
 * python_runtime.h - what CPython's files and memory say about where its contexts are.
 */
#ifndef CLEW_PROBE_PYTHON_RUNTIME_H
#define CLEW_PROBE_PYTHON_RUNTIME_H

#include "probe/elf.h"

/* Layout of one minor version; columns as tools/python_offsets writes them. */
struct clew_python_layout {
	uint32_t minor;
	uint32_t ctx;	       /* PyThreadState.context */
	uint32_t key_init;     /* _PyRuntime -> autoTSSkey._is_initialized */
	uint32_t key;	       /* _PyRuntime -> autoTSSkey._key */
	uint32_t interpreters; /* _PyRuntime -> interpreters.head */
	uint32_t threads;      /* PyInterpreterState -> its first thread */
	uint32_t thread_id;    /* PyThreadState.thread_id, the pthread_t */
	uint32_t closure;      /* PyFunctionObject.func_closure */
	uint32_t values;       /* enum clew_py_values */
	uint32_t tuple;	       /* PyTupleObject.ob_item */
	uint32_t task_ctx;     /* _asyncio.Task -> its context */
};

/* Of the file that holds the interpreter: libpython3.N.so or the program itself. */
struct clew_python_facts {
	char version[32]; /* "3.11.2", or "3.9" where the file does not say more */
	const struct clew_python_layout *layout; /* static; NULL: not to be used */
	const char *why_not;			 /* static; when layout is NULL */
	uint64_t runtime;			 /* address of _PyRuntime, as linked */
	uint64_t context_type;			 /* PyContext_Type */
	uint64_t copy_current;			 /* PyContext_CopyCurrent */
};

const struct clew_python_layout *clew_python__layout(unsigned int minor);
/*
 * clew_python__inspect - `minor` and `abi` (what follows the version in the file's name: "",
 * "d", "t", "m") come from the name. -ENOENT: no interpreter in this file.
 */
int clew_python__inspect(const struct clew_elf *elf, unsigned int minor, const char *abi,
			 struct clew_python_facts *ret);
/* "libpython3.11.so.1.0", "python3.11": the minor version and the ABI letters. */
int clew_python__parse_name(const char *basename, unsigned int *ret_minor, char abi[8]);

/* _asyncio_Task___init__ in _asyncio.*.so, or in a program that has it built in. */
int clew_python__task_init(const struct clew_elf *elf, uint64_t *ret_addr);

/* queue.SimpleQueue's methods in _queue.*.so, or in a program that has it built in. */
struct clew_python_queue {
	uint64_t put, get, get_nowait; /* addresses of the C functions */
};
int clew_python__queue(const struct clew_elf *elf, struct clew_python_queue *ret);

/* collections.deque's methods, which the interpreter has built in. */
struct clew_python_deque {
	uint64_t append, popleft, remove; /* addresses of the C functions: (self, object) */
};
int clew_python__deque(const struct clew_elf *elf, struct clew_python_deque *ret);

/* The methods by which streams of uvloop are written to, in uvloop/loop.*.so. */
struct clew_python_uvloop {
	uint64_t write, writelines; /* addresses of the C functions: (self, what, ...) */
	uint8_t call;		    /* enum clew_py_uv */
};
int clew_python__uvloop(const struct clew_elf *elf, struct clew_python_uvloop *ret);

/* Offset of the thread-specific data in glibc's struct pthread. -ENOENT: not in this file. */
int clew_python__specific(const struct clew_elf *elf, uint32_t *ret_off);

/*
 * clew_python__live - read the pthread key out of the running process, and check every offset
 * there: the state that the interpreter lists for a thread must be the one that the thread's
 * own pthread key leads to, and its context a PyContext. `mem` is /proc/PID/mem, `bias` of the
 * interpreter's file. -EAGAIN: not initialised yet; -ENODATA: nothing to check by (no thread
 * has been found); -EINVAL: the offsets do not fit. *ret_threads: how many threads run Python.
 */
int clew_python__live(int mem, const struct clew_python_facts *facts, uint64_t bias,
		      uint32_t specific_off, int32_t *ret_key, uint32_t *ret_threads);

#endif
