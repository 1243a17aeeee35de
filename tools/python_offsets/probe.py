# SPDX-License-Identifier: Apache-2.0
"""Run by gen.py inside each interpreter: find what the headers do not say, and check what
they do, in the memory of the running process. Argument: the offset of PyThreadState.context.
Prints the offset of the context in an asyncio.Task made by the C implementation."""
import asyncio
import contextvars
import ctypes
import sys

WORD = ctypes.sizeof(ctypes.c_void_p)


def word(address):
    return ctypes.c_uint64.from_address(address).value


def check_context(offset):
    get = ctypes.pythonapi.PyThreadState_Get
    get.restype = ctypes.c_void_p
    ctx = contextvars.Context()
    if ctx.run(lambda: word(get() + offset)) != id(ctx):
        sys.exit("PyThreadState.context is not at %d" % offset)


async def task_context():
    async def child():
        await asyncio.sleep(0)

    kind = id(contextvars.Context)
    offsets = None
    for _ in range(3):
        task = asyncio.ensure_future(child())
        # the first two words of any object are its reference count and its type
        here = set()
        for off in range(2 * WORD, type(task).__basicsize__, WORD):
            p = word(id(task) + off)
            if p > 4096 and p % 8 == 0 and in_heap(p) and word(p + WORD) == kind:
                here.add(off)
        offsets = here if offsets is None else offsets & here
        await task
    return offsets


def in_heap(p):
    return any(a <= p < b for a, b in MAPS)


def maps():
    for line in open("/proc/self/maps"):
        span, perm = line.split()[:2]
        if perm.startswith("rw"):
            a, b = span.split("-")
            yield int(a, 16), int(b, 16) - 2 * WORD


check_context(int(sys.argv[1]))
MAPS = list(maps())
if asyncio.Task.__module__ != "_asyncio":
    sys.exit("asyncio.Task is not the C implementation")
loop = asyncio.new_event_loop()
found = loop.run_until_complete(task_context())
loop.close()
if len(found) != 1:
    sys.exit("candidates for the task's context: %r" % found)
print(found.pop())
