#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds for fuzz_process.c: programs and libraries whose memory is as the runtime would have it.

Usage: corpus_process.py [OUTPUT_FOLDER]      (default tests/fuzz/corpus/process)
What a JVM says of itself: src/probe/java_runtime.c; CPython: src/probe/python_runtime.c and python_offsets.h.
"""
import pathlib
import struct
import sys

import corpus_elf as ce

MAPPED = 0x200000000000  # where fuzz_process.c maps the first file
JVM, PY311, ASYNCIO, QUEUE, LIBC, NODE, PTHREAD, UVLOOP, MUSL, CORECLR, RUBY, PHP, JLI, PY38, PY_T = range(15)
NONE, APP, PYTHON_EXE, NGINX, HAPROXY, NODE_EXE, JAVA, PHP_FPM, PYTHON = range(9)


def seed(program, *files):
    return bytes([program]) + b"".join(bytes([name]) + struct.pack(">H", len(data)) + data for name, data in files)


class Memory:
    """One .data section that grows; pointers are what they are where the file is mapped."""

    def __init__(self, elf):
        self.elf, self.base, self.data = elf, elf.here(), bytearray()

    def put(self, data):
        self.data += b"\0" * (-len(self.data) % 8)
        at = len(self.data)
        self.data += data
        return MAPPED + self.base + at

    def word(self, *values):
        return self.put(struct.pack("<%dQ" % len(values), *values))

    def set(self, at, value, form="<Q"):
        struct.pack_into(form, self.data, at - MAPPED - self.base, value)

    def text(self, text):
        return self.put(text.encode() + b"\0")


FLAGS = ("UseG1GC", "UseCompressedOops", "UseCompressedClassPointers")
CLASSES = {
    "java/lang/Thread": ("eetop", "tid", "holder"), "java/lang/Thread$FieldHolder": ("task",),
    "java/lang/VirtualThread": ("carrierThread",),
    "java/util/concurrent/ThreadPoolExecutor$Worker": ("thread", "completedTasks"),
    "java/util/concurrent/FutureTask": ("runner", "waiters"), "java/lang/String": (), "sun/A": (),
}
# Whose fields lie behind their class, as in a heap: all that is followed from one object to another.
JUC, NET = "java/util/concurrent/", "jdk/internal/net/http/"
CF, TUBE = JUC + "CompletableFuture", NET + "SocketTube$InternalReadPublisher"
WAITS = {
    **CLASSES, "java/lang/VirtualThread": ("", "carrierThread", "cont"), "jdk/internal/vm/Continuation": ("", "target"),
    "java/lang/VirtualThread$VThreadContinuation$1": ("", "val$task"),
    JUC + "ThreadPoolExecutor$Worker": ("", "thread", "completedTasks"), JUC + "FutureTask$WaitNode": ("thread", "next"),
    JUC + "ScheduledThreadPoolExecutor$ScheduledFutureTask": ("period",), JUC + "ThreadPerTaskExecutor$ThreadBoundFuture": ("thread",),
    CF: ("result", "stack"), CF + "$Completion": ("next",), CF + "$UniCompletion": ("dep",), CF + "$CoCompletion": ("base",),
    CF + "$Signaller": ("thread",), CF + "$AsyncSupply": ("dep",), CF + "$AsyncRun": ("dep",), "java/util/ArrayList": ("elementData",),
    "java/util/ImmutableCollections$ListN": ("elements",), "java/util/HashSet": ("map",), "java/util/HashMap": ("table",),
    "java/util/HashMap$Node": ("next", "hash", "key", "value"), "sun/nio/ch/EPollSelectorImpl": ("fdToKey",),
    "java/nio/channels/SelectionKey": ("attachment",),
}
HTTP = {
    NET + "HttpClientImpl$SelectorManager": ("selector",), NET + "HttpClientImpl$SelectorAttachment": ("pending",),
    TUBE + "$ReadEvent": ("sub",), TUBE + "$InternalReadSubscription": ("this$1",), TUBE: ("subscription",),
    TUBE + "$ReadSubscription": ("subscriber",), NET + "Http1AsyncReceiver$Http1TubeSubscriber": ("this$0",),
    NET + "Http1AsyncReceiver": ("delegate",), NET + "Http1Response$HeadersReader": ("cf",), NET + "common/MinimalFuture": ("id",),
}
STACK = 8192  # of a thread that is read


class Jvm:
    def __init__(self, major, flags=FLAGS, classes=CLASSES, threads=3, version=None, drop=(), endless=False, http=None):
        self.elf = ce.Elf(pie=True)
        self.elf.add(".text", ce.CODE)
        self.m = Memory(self.elf)
        self.major, self.drop, self.rows = major, drop, []
        self.new = major >= 21
        self.http, self.pool = http, http is not None
        self.live(threads, classes)
        if endless:
            self.m.set(self.thread_class + 16, self.thread_class)
        self.header(flags, version or "%d.0.1+9" % major)
        syms = self.tables()
        self.elf.add(".data", bytes(self.m.data))
        self.elf.symbols(".dynsym", ".dynstr", ce.DYNSYM, [(n, a - MAPPED) for n, a in syms])

    def offset(self, type_, field, off):
        self.rows.append((type_, field, 0, off))

    def static(self, type_, field, addr):
        self.rows.append((type_, field, 1, addr))

    def symbol(self, text):
        return self.m.put(struct.pack("<H", len(text)) + text.encode())

    def klass(self, name, fields, nxt, cld):
        m = self.m
        pool = m.word(*[0] * 2, 0, *[self.symbol(f) for f in fields])
        if self.new:
            stream = bytes([len(fields) + 1, 1]) + b"".join(
                bytes([i + 2, 1, 8 * (i % 8 + 1) + 1, 1, 1 + (0x15 if i else 0)] + [1] * (3 if i else 0))
                for i in range(len(fields)))
        else:
            stream = b"".join(struct.pack("<6H", 0, i + 1, 0, 0, 8 * (i + 1) << 2 | 1, 0) for i in range(len(fields)))
        count = len(stream) if self.new else len(stream) // 2
        array = m.put(struct.pack("<I", count) + stream + b"\0" * 8)
        return m.word(0, self.symbol(name), nxt, cld, array, len(fields), pool)

    def live(self, threads, classes):
        m, jts, made = self.m, [], {}
        boot, others = m.word(0, 0), m.word(0, 0)
        for cld, those in ((boot, classes), (others, self.http or {})):
            last = 0
            for name, fields in those.items():
                last = made[name] = self.klass(name, fields, last, cld)
            m.set(cld, last)
        m.set(boot + 8, others)
        self.loaders = boot
        self.thread_class = made["java/lang/Thread"]
        for i in range(threads):
            tcb = m.put(b"\0" * 1536)
            obj = m.word(0, 0, i + 1, 0, 0)
            jt = m.word(0, m.word(obj), m.word(0), m.word(0, i + 100, tcb), 0)
            if self.pool and not i:
                self.pool_thread(jt, obj, made[JUC + "ThreadPoolExecutor$Worker"])
            m.set(obj + 8, jt)
            m.set(tcb, tcb)
            m.set(tcb + 0x310, jt)
            m.set(tcb + 0x10, 7 * i)
            jts.append(jt)
        self.list = m.word(len(jts), m.word(*jts))

    def narrow(self, addr):
        return (addr - MAPPED) >> 3

    def pool_thread(self, jt, obj, klass):
        m = self.m
        worker = m.word(0, self.narrow(klass), self.narrow(obj), 5)
        m.set(obj + 24, self.narrow(m.word(0, self.narrow(worker)) if self.new else worker))
        m.set(jt + 32, m.put(b"\0" * (STACK - 24)) + STACK)
        m.word(worker, 0, 0)

    def header(self, flags, version):
        m, new = self.m, self.new
        self.offset("JavaThread", "_threadObj", 8)
        if new:
            self.offset("JavaThread", "_vthread", 16)
        self.offset("JavaThread" if new else "Thread", "_osthread", 24)
        self.offset("OSThread", "_thread_id", 8)
        self.offset("OSThread", "_pthread_id", 16)
        self.static("ThreadsSMRSupport", "_java_thread_list", m.word(self.list))
        self.offset("ThreadsList", "_length", 0)
        self.offset("ThreadsList", "_threads", 8)
        self.static("Universe", "_collectedHeap", m.word(MAPPED))
        self.offset("CollectedHeap", "_total_collections", 16)
        self.offset("CollectedHeap", "_is_stw_gc_active" if new else "_is_gc_active", 24)
        for i, field in enumerate(("_name", "_next_link", "_class_loader_data")):
            self.offset("Klass", field, 8 + 8 * i)
        self.offset("ClassLoaderData", "_klasses", 0)
        if self.pool:
            self.offset("ClassLoaderData", "_next", 8)
            self.static("ClassLoaderDataGraph", "_head", m.word(self.loaders))
            for type_, field, at in (
                    ("JavaThread" if new else "Thread", "_stack_base", 32), ("JavaThread", "_anchor", 40),
                    ("JavaFrameAnchor", "_last_Java_sp", 8), ("Thread", "_tlab", 64), ("ThreadLocalAllocBuffer", "_start", 0),
                    ("ThreadLocalAllocBuffer", "_top", 8)):
                self.offset(type_, field, at)
        if new:
            self.offset("InstanceKlass", "_fieldinfo_stream", 32)
        else:
            self.offset("InstanceKlass", "_fields", 32)
            self.offset("InstanceKlass", "_java_fields_count", 40)
        self.offset("InstanceKlass", "_constants", 48)
        self.offset("Symbol", "_length", 0)
        self.offset("Symbol", "_body", 2)
        for type_, base in (("CompressedOops", MAPPED), ("CompressedKlassPointers", MAPPED)):
            inner = "" if new else "_narrow_oop." if "Oops" in type_ else "_narrow_klass."
            self.static(type_, inner + "_base", m.word(base))
            self.static(type_, inner + "_shift", m.word(3))
        table = m.word(*[w for f in flags for w in (m.text(f), m.word(1))])
        self.static("JVMFlag", "flags", m.word(table))
        self.static("JVMFlag", "numFlags", m.word(len(flags)))
        self.offset("JVMFlag", "_name", 0)
        self.offset("JVMFlag", "_addr", 8)
        self.static("Abstract_VM_Version", "_s_vm_release", m.word(m.text(version)))
        self.static("Abstract_VM_Version", "_vm_major_version", m.word(self.major))
        self.static("vmClasses", "_klasses[static_cast<int>(vmClassID::Thread_klass_knum)]", m.word(self.thread_class))

    def tables(self):
        m, entries = self.m, []
        for type_, field, is_static, v in self.rows:
            if (type_, field) in self.drop:
                continue
            entries += [m.text(type_), m.text(field), 0, is_static, 0 if is_static else v, v if is_static else 0]
        structs = m.word(*entries, *[0] * 6)
        types = m.word(*[w for name, size in (("A", 1), ("ConstantPool", 16), ("JVMFlag", 16))
                         for w in (m.text(name), size)], 0, 0)
        pre = "gHotSpotVMStruct"
        values = [(pre + "s", structs)] + [(pre + "Entry" + n, v) for n, v in (
            ("TypeNameOffset", 0), ("FieldNameOffset", 8), ("IsStaticOffset", 24), ("OffsetOffset", 32),
            ("AddressOffset", 40), ("ArrayStride", 48))]
        values += [("gHotSpotVMTypes", types)] + [("gHotSpotVMTypeEntry" + n, v) for n, v in (
            ("TypeNameOffset", 0), ("SizeOffset", 8), ("ArrayStride", 16))]
        return [(name, m.word(v)) for name, v in values]

    def bytes(self):
        return self.elf.bytes()


SPECIFIC = 1296


def cpython(minor, key=3, init=1, threads=2, asyncio=False, hexa=None, fits=True):
    """An interpreter with threads, each of which has a context."""
    _, ctx, key_init, key_off, interps, first, tid = ce.layout(minor)[:7]
    e = ce.Elf(pie=True)
    text = e.add(".text", ce.CODE)
    version = e.add(".rodata", struct.pack("<I", hexa or 0x030000f0 | minor << 16 | 2 << 8))
    m = Memory(e)
    type_ = m.word(0)
    run = m.put(b"\0" * (max(key_off, interps) + 8))
    interp = m.put(b"\0" * (first + 8))
    prev = 0
    for _ in range(threads):
        block = m.word(*[0] * 64)
        fs = m.put(b"\0" * (SPECIFIC + 64))
        ts = m.put(b"\0" * (max(ctx, tid) + 8))
        m.set(fs, fs)
        m.set(fs + SPECIFIC, block)
        m.set(block + key * 16 + 8, ts if fits else 1)
        m.set(ts + 8, prev)
        m.set(ts + tid, fs)
        m.set(ts + ctx, m.word(1, type_) if prev else 0)
        prev = ts
    m.set(interp + first, prev)
    m.set(run + interps, interp)
    m.set(run + key_init, init, "<i")
    m.set(run + key_off, key, "<i")
    e.add(".data", bytes(m.data))
    names = [("_PyRuntime", run - MAPPED), ("PyContext_Type", type_ - MAPPED), ("PyContext_CopyCurrent", text)]
    names += [("Py_Version", version)] if minor > 10 or hexa else []
    names += [("_asyncio_Task___init__", text + 16)] if asyncio else []
    e.symbols(".dynsym", ".dynstr", ce.DYNSYM, names)
    return e.bytes()


def stripped_libc():
    e = ce.Elf(pie=True)
    e.add(".text", ce.CODE)
    return e.bytes()


def seeds():
    libc, task = (LIBC, ce.libc()), (ASYNCIO, ce.asyncio(True, False))
    py = cpython(11)
    small = {"java/lang/Thread": ("eetop", "tid", "target"), "java/util/concurrent/ThreadPoolExecutor$Worker": ("thread", "completedTasks")}
    old = ("InstanceKlass", "_fields")
    yield "java-21", seed(0, (JVM, Jvm(21).bytes()))
    yield "java-17", seed(0, (JVM, Jvm(17, ("UseSerialGC",) + FLAGS[1:], small).bytes()))
    yield "java-zgc", seed(0, (JVM, Jvm(17, ("UseZGC",)).bytes()))
    yield "java-wide", seed(0, (JVM, Jvm(21, ("UseParallelGC",)).bytes()))
    yield "java-compact", seed(0, (JVM, Jvm(25, FLAGS + ("UseCompactObjectHeaders",)).bytes()))
    yield "java-no-pool", seed(0, (JVM, Jvm(21, classes={k: v for k, v in CLASSES.items() if "Worker" not in k}).bytes()))
    yield "java-no-carrier", seed(0, (JVM, Jvm(21, classes={k: v for k, v in CLASSES.items() if "Virtual" not in k}).bytes()))
    yield "java-no-fields", seed(0, (JVM, Jvm(17, drop=(old,)).bytes()))
    yield "java-no-vthread", seed(0, (JVM, Jvm(21, drop=(("JavaThread", "_vthread"),)).bytes()))
    yield "java-early", seed(0, (JVM, Jvm(21, threads=1).bytes()))
    yield "java-alone", seed(0, (JVM, Jvm(21, drop=(("OSThread", "_pthread_id"),)).bytes()))
    yield "java-none", seed(0, (JVM, ce.native()), (JLI, b"x"))
    yield "java-waits", seed(0, (JVM, Jvm(21, classes=WAITS, http=HTTP).bytes()))
    yield "java-waits-17", seed(0, (JVM, Jvm(17, classes={**WAITS, "java/lang/Thread": ("eetop", "tid", "target")}, http=HTTP).bytes()))
    yield "java-waits-alone", seed(0, (JVM, Jvm(21, classes=WAITS, http={}, drop=(("Thread", "_tlab"),)).bytes()))
    yield "java-text", seed(0, (JVM, Jvm(21, version="21\x1b[1m").bytes()))
    yield "java-endless", seed(0, (JVM, Jvm(21, classes={"java/lang/Thread": ("a",) * 180}, endless=True).bytes()))
    yield "java-launcher", seed(0, (JLI, b"x"))
    yield "java-exe", seed(JAVA, (JLI, ce.native()))
    yield "java-cut", seed(0, (JVM, Jvm(21).bytes()[:-700]))
    for minor, name in ((8, PY38), (11, PY311), (12, PY311)):
        yield "python-3%d" % minor, seed(0, (name, cpython(minor)), libc, task, (QUEUE, ce.queue()))
    yield "python-loop", seed(0, (PY311, py), libc, task, (UVLOOP, b"x"))
    yield "python-inside", seed(0, (PY311, cpython(11, asyncio=True)), libc)
    yield "python-alone", seed(0, (PY311, py), libc)
    yield "python-early", seed(0, (PY311, cpython(11, init=0)), libc)
    yield "python-no-threads", seed(0, (PY311, cpython(11, threads=0)), libc)
    yield "python-key", seed(0, (PY311, cpython(11, init=7)), libc)
    yield "python-misfit", seed(0, (PY311, cpython(11, fits=False)), libc)
    yield "python-musl", seed(0, (PY311, py), (MUSL, b"x"), (LIBC, stripped_libc()))
    yield "python-libc", seed(0, (PY311, py), (LIBC, stripped_libc()), (PTHREAD, ce.libc()))
    yield "python-alpha", seed(0, (PY311, cpython(11, hexa=0x030b02a1)), libc)
    yield "python-free", seed(0, (PY_T, cpython(12)), libc)
    yield "python-no-asyncio", seed(0, (PY311, py), libc, (ASYNCIO, ce.native()))
    yield "python-exe", seed(PYTHON_EXE, (PY311, py), libc, task)
    yield "python-static", seed(PYTHON_EXE, (PY311, py))
    yield "node", seed(NODE_EXE, (NODE, ce.node()))
    yield "node-library", seed(0, (NODE, ce.node(stripped=True)))
    yield "node-other", seed(0, (NODE, ce.native()))
    yield "go", seed(APP, (JVM, ce.go(b"go1.22.3", spawn=True)))
    yield "go-pie", seed(APP, (JVM, ce.go(b"go1.22.3", pie=True, stripped=False, spawn=True)))
    yield "go-other", seed(APP, (JVM, ce.go(b"go1.99", stripped=False)))
    yield "go-cut", seed(APP, (JVM, ce.go(b"go1.22.3")[:-40]))
    yield "go-no-http", seed(APP, (JVM, ce.go(b"go1.22.3", funcs=ce.GO[:1])))
    yield "go-none", seed(APP, (JVM, ce.go(b"\x7f")))
    for name in ("rust", "rust-task-alone", "rust-no-task", "rust-places", "rust-stripped"):
        yield name, seed(APP, (JVM, ce.SEEDS[name]))
    yield "nginx", seed(NGINX, (JVM, ce.nginx(b"22.1")))
    yield "haproxy", seed(HAPROXY, (JVM, ce.haproxy(b"2.6.12\0")))
    yield "haproxy-new", seed(HAPROXY, (JVM, ce.haproxy(b"9.1\0")))
    for name in (CORECLR, RUBY, PHP):
        yield "other-%d" % name, seed(0, (name, b"x"))


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "corpus" / "process"
    out.mkdir(parents=True, exist_ok=True)
    for name, data in seeds():
        (out / name).write_bytes(data)


if __name__ == "__main__":
    main()
