/* SPDX-License-Identifier: Apache-2.0 */
/* Written by tools/python_offsets from the headers and checked in live processes. */
/* minor, tstate.context, runtime.autoTSSkey._is_initialized, ._key,
 * runtime.interpreters.head, interpreter's first thread, tstate.thread_id,
 * function.func_closure, enum clew_py_values, tuple.ob_item, Task.task_context */
{7, 256, 1504, 1508, 24, 8, 176, 48, 0, 24, 120},	       /* 3.7.16 */
	{8, 240, 1392, 1396, 32, 8, 176, 48, 0, 24, 128},      /* 3.8.18 */
	{9, 240, 584, 588, 32, 8, 176, 48, 0, 24, 168},	       /* 3.9.18 */
	{10, 240, 584, 588, 32, 8, 176, 72, 0, 24, 176},       /* 3.10.13 */
	{11, 224, 592, 596, 40, 16, 152, 72, 1, 24, 152},      /* 3.11.7 */
	{12, 208, 1544, 1548, 40, 72, 136, 72, 2, 24, 152},    /* 3.12.1 */
	{13, 208, 2160, 2164, 632, 7344, 152, 72, 3, 24, 136}, /* 3.13.0 */
	{14, 208, 2336, 2340, 808, 7344, 152, 72, 3, 32, 144}, /* 3.14.10 */
