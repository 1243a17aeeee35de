/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints where the fields that clew reads lie in one CPython: compile with its headers.
 * Output: "minor context key_initialized key interpreters threads thread_id closure
 * values tuple_items", see gen.py.
 */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <stdio.h>
#if PY_VERSION_HEX >= 0x03080000
#include "internal/pycore_pystate.h"
#else
#include "internal/pystate.h"
#endif
#if PY_VERSION_HEX >= 0x03090000
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#endif

#if PY_VERSION_HEX >= 0x030c0000
#define KEY offsetof(_PyRuntimeState, autoTSSkey)
#else
#define KEY offsetof(_PyRuntimeState, gilstate.autoTSSkey)
#endif

#if PY_VERSION_HEX >= 0x030b0000
#define THREADS offsetof(PyInterpreterState, threads.head)
#elif PY_VERSION_HEX >= 0x03080000
#define THREADS offsetof(struct _is, tstate_head)
#else
#define THREADS offsetof(PyInterpreterState, tstate_head)
#endif

/* enum clew_py_values: where instances of Python classes keep their attributes */
#if PY_VERSION_HEX >= 0x030d0000
#define VALUES 3 /* Include/internal/pycore_object.h, _PyObject_InlineValues() */
#elif PY_VERSION_HEX >= 0x030c0000
#define VALUES 2 /* _PyObject_DictOrValuesPointer() */
#elif PY_VERSION_HEX >= 0x030b0000
#define VALUES 1 /* _PyObject_ValuesPointer() */
#else
#define VALUES 0
#endif

int main(void)
{
	printf("%d %zu %zu %zu %zu %zu %zu %zu %d %zu\n", PY_MINOR_VERSION,
	       offsetof(PyThreadState, context), KEY + offsetof(Py_tss_t, _is_initialized),
	       KEY + offsetof(Py_tss_t, _key), offsetof(_PyRuntimeState, interpreters.head),
	       THREADS, offsetof(PyThreadState, thread_id), offsetof(PyFunctionObject, func_closure),
	       VALUES, offsetof(PyTupleObject, ob_item));
	return 0;
}
