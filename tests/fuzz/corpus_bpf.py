#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write seeds for fuzz_bpf.c: the objects of a JVM in which a job is waited for, and a tokio task.

Usage: corpus_bpf.py [OUTPUT_FOLDER]      (default tests/fuzz/corpus/bpf)
The objects are words of eight bytes. A compressed pointer is the number of the word where its object begins,
a pointer of 64 bits that with its highest bit set; what leads where: bpf/lib/java.bpf.h.
"""
import pathlib
import sys

SERVER, CLIENT = 0xab, 0xb3  # the connection was accepted, or is being made; a newer kernel
OLD_CLIENT = 0xb0            # Linux 5.10
JAVA, TOKIO = 6, 7
SEND = bytes([1, 0, 0x18, 27])  # a whole request, a whole answer, as one call each
ANSWER = bytes([0, 0, 0x19, 43])
RECV, REPLY = bytes([0, 0, 0x18, 27]), bytes([1, 0, 0x19, 43])
HALVES = 0x7e

# Classes: an object's second word.
(WORKER, NET, FUTURE, BOUND, SCHEDULED, SUPPLY, RUN, COMPLETABLE, SIGNALLER, CO, VIRTUAL, RUNNABLE, LIST, FIXED, EVENT,
 HEADERS, MINIMAL, OTHER) = range(1, 19)
# Fields, by their distance: what no object has beside one another may share it.
F1, F2, F3, F4, F5, F6 = range(16, 64, 8)
OFFSETS = dict(
    stack_base=F2, first=0, runner=F1, waiters=F2, node_thread=F1, node_next=F2, result=F1, stack=F2, next=F2, dep=F1,
    base=F3, sig_thread=F1, cont=F4, cont_target=F1, cont_task=F1, anchor_sp=F3, tlab_start=F4, tlab_top=F5, list_data0=F1,
    list_data1=F2, loose=9, selector=F4, fd_keys=F1, attachment=F1, pending=F1, set_map=F1, map_table=F1, map_next=F1,
    node_hash=F2, node_key=F3, node_value=F4, event_sub=F1, sub_reads=F1, reads_now=F1, reading_to=F1, receiver=F1, reader=F1,
    headers_cf=F1)
CLASSES = (FUTURE, BOUND, SCHEDULED, SUPPLY, RUN, COMPLETABLE, SIGNALLER, CO, VIRTUAL, RUNNABLE, LIST, FIXED, EVENT, HEADERS,
           MINIMAL)
WORDS = 126


class Heap:
    def __init__(self):
        self.w = [0] * 4  # no object at 0

    def put(self, *words):
        at = len(self.w)
        self.w += words
        return at

    def obj(self, klass, *fields):
        return self.put(0, klass, *fields)

    def array(self, *elements):
        e = list(elements) + [0] * (len(elements) % 2)
        return self.put(0, (0, len(elements)), *zip(e[::2], e[1::2]))

    def bytes(self):
        out = b"".join(bytes([HALVES, *v] if isinstance(v, tuple) else [v]) for v in self.w)
        assert len(self.w) <= WORDS, len(self.w)
        return bytes([len(self.w)]) + out


def ptr(at):
    return 0x80 | at


class Jvm(Heap):
    def __init__(self, me=WORKER, carries=0):
        super().__init__()
        self.heap = self.put(3, 0)  # collections so far, and none at work
        self.jt, self.me = self.thread(7, me)
        self.tp = self.put(0, ptr(self.jt))
        self.waits_jt, self.waiter = self.thread(9, 0)
        if carries:
            self.w[self.jt + 1] = self.put(ptr(carries)) | 0x80

    def thread(self, tid, job):
        """JavaThread: 8 the virtual thread, then java.lang.Thread, base of its stack, top of its frames, room from, to."""
        handle = self.put(0)
        jt = self.put(0, 0, ptr(handle), 0, 0, 0, 0)
        me = self.obj(NET if job == NET else OTHER, ptr(jt), tid, 0, 0)
        self.w[handle] = ptr(me)
        if job == WORKER:
            self.w[me + 4] = self.obj(WORKER, me, 5)
        return jt, me

    def stack(self, *words):
        """What lies on the job's stack, from its base on; at least a chunk of it can be read."""
        at = self.put(*[0] * (8 - len(words)), *map(ptr, reversed(words)))
        self.w[self.jt + 3] = ptr(at + 8)

    def frames(self, room, *words):
        """What the waiting thread has on its stack; it made the objects behind `room`."""
        at = self.put(*map(ptr, words))
        self.w[self.waits_jt + 4:self.waits_jt + 7] = [ptr(at), ptr(room), 0xff]

    def waited(self, klass=FUTURE, runner=None):
        """A FutureTask which the other thread waits for."""
        node = self.obj(OTHER, self.waiter, self.obj(OTHER, 0, 0))
        return self.obj(klass, self.me if runner is None else runner, node)

    def held(self):
        room = len(self.w)
        more = [self.obj(FUTURE, 0, 0) for _ in range(3)]
        return room, more

    def signalled(self):
        """A CompletableFuture in whose stack the waiting thread is."""
        return self.obj(COMPLETABLE, 0, self.obj(SIGNALLER, self.waiter, 0))

    def depends(self, on, co=False):
        uni = self.obj(OTHER, on, 0)
        return self.obj(COMPLETABLE, 0, self.obj(CO, 0, 0, uni) if co else uni)

    def seed(self, steps=SEND + ANSWER, kind=CLIENT, drop=(), **more):
        off = {**OFFSETS, **{k: 0 for k in drop}, **more}
        future = off.pop("future", FUTURE)
        flags = 1 | 4 | 8
        b = [ptr(self.tp), 0, flags, 8, F1, 8, F1, F2, F1, 0, F3, F1, F2, 0, 8, WORKER, ptr(self.heap), 0, 0, 0]
        return bytes([kind, JAVA, *b]) + self.bytes() + bytes([NET, *off.values(), future, *CLASSES[1:]]) + steps


def job(waits=True, frames=None, **more):
    j = Jvm()
    task = j.waited() if waits else j.obj(FUTURE, j.me, 0)
    room, others = j.held()
    if frames:
        j.frames(room, *frames(j, task, others))
    j.stack(j.me, task)
    return j.seed(**more)


def nameless():
    j = Jvm()
    j.w[j.waiter + 3] = 0
    j.stack(j.waited())
    return j.seed()


def far():
    """Its stack is long, and the job is not there."""
    j = Jvm()
    j.stack(j.me)
    j.w += [0] * (WORDS - len(j.w))
    j.w[j.jt + 3] = ptr(WORDS)
    return j.seed()


def several():
    j = Jvm()
    node = j.obj(OTHER, j.waiter, j.obj(OTHER, j.me, 0))
    j.stack(j.obj(FUTURE, j.me, node))
    return j.seed()


def supply(*levels, klass=SUPPLY, waits=True, completed=0):
    j = Jvm()
    cf = j.signalled() if waits else j.obj(COMPLETABLE, completed, 0)
    for co in levels:
        cf = j.depends(cf, co)
    j.stack(j.obj(klass, 0), cf)
    return j.seed()


def unclear(kind):
    j = Jvm()
    a, b = j.signalled(), j.signalled()
    if kind == "two-deps":
        cf = j.obj(COMPLETABLE, 0, j.obj(OTHER, a, j.obj(OTHER, b, 0)))
    elif kind == "two-threads":
        cf = j.obj(COMPLETABLE, 0, j.obj(SIGNALLER, j.waiter, j.obj(SIGNALLER, j.me, 0)))
    elif kind == "no-future":
        cf = j.obj(COMPLETABLE, 0, j.obj(OTHER, j.me, 0))
    elif kind == "endless":
        cf = j.obj(COMPLETABLE, 0, 0)
        j.w[cf + 3] = j.obj(OTHER, 0, 0)
        j.w[j.w[cf + 3] + 3] = j.w[cf + 3]
    else:  # a future that depends on itself
        cf = j.obj(COMPLETABLE, 0, 0)
        j.w[cf + 3] = j.obj(OTHER, cf, 0)
    j.stack(j.obj(SUPPLY, 0), cf)
    return j.seed()


def virtual(task=BOUND):
    j = Jvm()
    v = j.obj(VIRTUAL, j.me, 11, 0, 0)
    future = j.waited(task, v)
    j.w[v + 5] = 0
    j.w.append(0)
    runnable = j.obj(RUNNABLE, future)
    v2 = j.obj(VIRTUAL, j.me, 11, 0, j.obj(OTHER, runnable))
    j.w[future + 2] = v2
    j.w[j.jt + 1] = ptr(j.put(ptr(v2)))
    return j.seed(runner=F1)


def client(bucket=1, headers=HEADERS, first=True, waits=True, kind=CLIENT):
    j = Jvm(NET)
    cf = j.signalled() if waits else j.obj(MINIMAL, 0, 0)
    at = j.obj(headers, cf)
    for _ in range(5):
        at = j.obj(OTHER, at)
    event = j.obj(EVENT, at)
    node = j.obj(OTHER, 0, 0, event) if first else j.obj(OTHER, j.obj(OTHER, 0, 0, event), 0, 0)
    pending = j.obj(OTHER, j.obj(OTHER, j.array(*[0] * bucket, node)))
    key = j.obj(OTHER, j.obj(OTHER, pending))
    other = j.obj(OTHER, 0, 1, 0, key)
    keys = j.obj(OTHER, j.array(0, other if first else j.obj(OTHER, other, 5, 0, 0)))
    j.w[j.me + 5] = j.obj(OTHER, keys)
    return j.seed(SEND + ANSWER, kind)


def wide(seed):
    return seed + SEND + ANSWER


def tokio(task=5, slot=7, index=9, places=1, steps=SEND + ANSWER):
    h = Heap()
    rx = h.put(0, slot + 1)
    tp = h.put(0, task)
    b = [ptr(tp), 0, 1, 8, 8, places, 5, ptr(rx), 0x84, index, *[0] * 10]
    return bytes([CLIENT, TOKIO, *b]) + h.bytes() + steps


def between(runtime, *steps, at=0):
    """What happens between the calls of a process with a runtime: two bytes each."""
    b = [ptr(at), 0, 1, *[0] * 17]
    return bytes([CLIENT, runtime, *b, 2, 0, 0]) + b"".join(bytes([0xe0 | what, arg, 0]) + SEND + ANSWER for what, arg in steps)


def seeds():
    for runtime, name in ((0, "none"), (2, "python"), (JAVA, "java")):
        yield "between-" + name, between(runtime, (0, 0), (0, 5), (1, 2), (1, 1), (1, 0), (2, 1), (2, 2), (2, 4), (3, 0))
    yield "java-job", job()
    yield "java-job-nobody", job(waits=False)
    yield "java-job-held", wide(job(frames=lambda j, task, more: [task, *more]))
    yield "java-job-list", job(frames=lambda j, task, more: [task, j.obj(LIST, j.array(*more, task))])
    yield "java-job-fixed", job(frames=lambda j, task, more: [j.obj(FIXED, 0, j.array(*more))])
    yield "java-job-no-room", job(frames=lambda j, task, more: [task, *more], drop=("tlab_top",))
    yield "java-job-server", job(steps=RECV + REPLY + RECV + REPLY, kind=SERVER)
    yield "java-job-several", several()
    yield "java-job-nameless", nameless()
    yield "java-job-far", far()
    yield "java-job-classless", job(future=0)
    yield "java-job-last-look", wide(job(frames=lambda j, task, more: [task, *more], loose=1))
    for name, levels in (("", ()), ("-then", (False,)), ("-all", (True, False, True))):
        yield "java-supply" + name, supply(*levels)
    yield "java-run", supply(klass=RUN)
    yield "java-supply-nobody", supply(waits=False)
    yield "java-supply-done", supply(waits=False, completed=1)
    for name in ("two-deps", "two-threads", "no-future", "endless", "circle"):
        yield "java-unclear-" + name, unclear(name)
    yield "java-virtual-bound", virtual()
    yield "java-virtual-other", virtual(OTHER)
    yield "java-net", client()
    yield "java-net-chained", client(first=False)
    yield "java-net-body", client(headers=OTHER)
    yield "java-net-nobody", client(waits=False)
    yield "java-net-old", client(kind=OLD_CLIENT)
    yield "tokio", tokio(index=7)
    yield "tokio-earlier", tokio()
    yield "tokio-task", tokio(task=6)
    yield "tokio-none", tokio(places=0)


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "corpus" / "bpf"
    out.mkdir(parents=True, exist_ok=True)
    for name, data in seeds():
        (out / name).write_bytes(data)


if __name__ == "__main__":
    main()
