#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the seeds for fuzz_elf.c: small programs that hold what discovery looks for.

Usage: corpus_elf.py [OUTPUT_FOLDER]      (default tests/fuzz/corpus/elf)
Format: System V ABI, chapters 4 and 5; .gopclntab and .go.buildinfo as src/probe/go_runtime.c reads them.
"""
import pathlib
import struct
import sys

BASE = 0x400000
NOTE, PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, DYNSYM, RELR = 7, 1, 2, 3, 4, 8, 11, 19
CODE = bytes.fromhex("f30f1efa55") + b"\x90" * 11 + bytes.fromhex("493b66107640554889e5") + b"\xc3" * 6


class Elf:
    """Sections one behind the other; one PT_LOAD over all, so address = base + offset."""

    def __init__(self, pie=False, machine=62):
        self.base, self.pie, self.machine = 0 if pie else BASE, pie, machine
        self.body, self.sections, self.names = bytearray(64 + 56), [], bytearray(b"\0")

    def add(self, name, data, kind=PROGBITS, link=0, entsize=0):
        self.body += b"\0" * (-len(self.body) % 8)
        off = len(self.body)
        self.body += data
        self.sections.append((len(self.names), kind, 2, self.base + off, off, len(data), link, 0, 8, entsize))
        self.names += name.encode() + b"\0"
        return self.base + off

    def here(self):
        return self.base + len(self.body) + (-len(self.body) % 8)

    def symbols(self, table, strings, kind, syms):
        text, tab = bytearray(b"\0"), bytearray(24)
        for name, addr, *size in syms:
            tab += struct.pack("<IBBHQQ", len(text), 0x12, 0, 1, addr, *(size or [16]))
            text += name.encode() + b"\0"
        self.add(strings, bytes(text), STRTAB)
        self.add(table, bytes(tab), kind, len(self.sections), 24)

    def bytes(self):
        self.add(".shstrtab", b"", STRTAB)
        at = list(self.sections[-1])
        at[5] = len(self.names)
        self.sections[-1] = tuple(at)
        self.body += self.names
        self.body += b"\0" * (-len(self.body) % 8)
        shoff = len(self.body)
        for s in [(0,) * 10] + self.sections:
            self.body += struct.pack("<IIQQQQIIQQ", *s)
        head = b"\x7fELF\2\1\1" + b"\0" * 9 + struct.pack(
            "<HHIQQQIHHHHHH", 3 if self.pie else 2, self.machine, 1, 0, 64, shoff, 0, 64, 56, 1, 64,
            len(self.sections) + 1, len(self.sections))
        load = struct.pack("<IIQQQQQQ", 1, 5, 0, self.base, self.base, shoff, shoff + 4096, 4096)
        self.body[:120] = head + load
        return bytes(self.body)


def native():
    e = Elf()
    text = e.add(".text", CODE)
    e.add(".note.gnu.build-id", struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(range(20)), NOTE)
    e.add(".bss", b"", NOBITS)
    e.symbols(".symtab", ".strtab", SYMTAB, [("main", text), ("a", text + 16)])
    return e.bytes()


def nginx(version):
    e = Elf(pie=True)
    text = e.add(".text", CODE)
    e.add(".rodata", b"Server: nginx/1." + version + b"\0" + b"x" * 20)
    names = ("ngx_linux_sendfile_chain", "ngx_writev_chain", "ngx_unix_send")
    e.symbols(".dynsym", ".dynstr", DYNSYM, [(n, text + 16 * (i & 1)) for i, n in enumerate(names)])
    return e.bytes()


def haproxy(version):
    e = Elf(pie=True)
    e.add(".text", CODE)
    text = e.add(".rodata", version)
    tab = e.add(".data", b"\0" * 8)
    e.symbols(".dynsym", ".dynstr", DYNSYM, [("fdtab", tab), ("haproxy_version", text)])
    return e.bytes()


def tokio():
    e = Elf()
    e.add(".text", CODE)
    e.add(".rodata", b"/rustc/1.80\0")
    e.symbols(".symtab", ".strtab", SYMTAB, [("_ZN5tokio7runtime", BASE + 64)])
    return e.bytes()


def buildinfo(version):
    return b"\xff Go buildinf:\x08\x02" + b"\0" * 16 + bytes([len(version)]) + version + b"\0" * 16


def pclntab(text, funcs, magic=0xfffffff1):
    """The header, the names, the table of (entry, offset of its record), the records."""
    names = bytearray(b"\0")
    offs = []
    for f in funcs:
        offs.append(len(names))
        names += f + b"\0"
    head = 72
    cu = head + len(names)
    table = cu + (-cu % 8)
    first = 8 * len(funcs) + 4
    recs, tab = bytearray(), bytearray()
    for i, off in enumerate(offs):
        tab += struct.pack("<II", i * 16, first + len(recs))
        recs += struct.pack("<II", i * 16, off) + b"\0" * 8
    tab += struct.pack("<I", 64)
    out = struct.pack("<IHBBQQQQQQQQ", magic, 0, 1, 8, len(funcs), 0, text, head, cu, cu, cu, table)
    out += names + b"\0" * (table - cu) + tab + recs
    return out


GO = (b"runtime.main", b"net/http.serverHandler.ServeHTTP", b"net/http.(*persistConn).roundTrip")
SPAWN = (b"runtime.newproc.func1", b"runtime.newproc1", b"runtime.runqput", b"net/http.(*persistConn).readResponse")


def calls(at, *to):
    """push, then a call of each; nops up to what is read of a function."""
    code = bytearray(b"\x55")
    for addr in to:
        code += b"\xe8" + struct.pack("<i", addr - (at + len(code) + 5))
    return bytes(code) + b"\x90" * (192 - len(code))


def go(version, pie=False, stripped=True, magic=0xfffffff1, spawn=False, funcs=GO):
    e = Elf(pie)
    funcs = funcs + (SPAWN if spawn else ())
    at = e.here()
    code = CODE + b"\x55" * (16 * len(funcs))
    if spawn:  # newproc.func1 is the fourth
        code = code[:48] + calls(at + 48, at + 64, at + 80)
    text = e.add(".text", code)
    e.add(".go.buildinfo", buildinfo(version))
    tab = e.add(".data.rel.ro.gopclntab" if pie else ".gopclntab", pclntab(text, funcs, magic))
    module = struct.pack("<Q", tab) + b"\0" * 168 + struct.pack("<Q", text)
    at = e.add(".noptrdata", b"\0" * 8 + module) + 8
    if pie:
        e.add(".rela.dyn", struct.pack("<QQq", at, 8, tab) + struct.pack("<QQq", at + 176, 8, text), RELA, 0, 24)
    if not stripped:
        syms = [(n.decode(), text + 16 * i) for i, n in enumerate(funcs)]
        e.symbols(".symtab", ".strtab", SYMTAB, syms + [("go:itab.*crypto/tls.Conn,net.Conn", at)])
    return e.bytes()


def old_go():
    e = Elf()
    e.add(".text", CODE)
    word = e.add(".rodata", b"go1.17.5\0\0\0\0\0\0\0\0")
    head = e.add(".data", struct.pack("<QQ", word, 8))
    e.add(".go.buildinfo", b"\xff Go buildinf:\x08\x00" + struct.pack("<QQ", head, head))
    return e.bytes()


def python(version=0x030b02f0, syms=True):
    e = Elf()
    text = e.add(".text", CODE)
    hexa = e.add(".rodata", struct.pack("<I", version) + b"....tokio-runtime")
    run = e.add(".data", b"\0" * 64)
    names = [("_PyRuntime", run), ("PyContext_Type", run + 8), ("PyContext_CopyCurrent", text), ("Py_Version", hexa)]
    if syms:
        names.append(("_asyncio_Task___init__", text + 16))
    e.symbols(".dynsym", ".dynstr", DYNSYM, names)
    return e.bytes()


def asyncio(pie, spec, packed=False):
    """No symbol of the constructor: the type object, or the spec and its slots, lead to it."""
    e = Elf(pie)
    text = e.add(".text", CODE)
    name = e.add(".rodata", b"....abc\0_asyncio.Task\0") + 8
    at = e.here() + 24
    if spec:
        slots = at + 32
        words = {at: name, at + 24: slots, slots + 8: text, slots + 24: text + 16}
    else:
        words = {at: name, at - 24 + 296: text + 16}
    data = bytearray(400)
    for where, value in words.items():
        struct.pack_into("<Q", data, where - at + 24, value)
    if spec:
        struct.pack_into("<i", data, slots - at + 24, 52)
        struct.pack_into("<i", data, slots - at + 40, 60)
    start = e.add(".data", bytes(data))
    if pie and packed:
        bits = sum(1 << (1 + (w - start) // 8 - 1) for w in words) | 1
        e.add(".relr.dyn", struct.pack("<QQ", start - 8 + 8, bits << 0 | 1), RELR, 0, 8)
    elif pie:
        e.add(".rela.dyn", b"".join(struct.pack("<QQQ", w, 8, v) for w, v in words.items()), RELA, 0, 24)
    return e.bytes()


DOCS = ("put($self, /, item, block=True, timeout=None)\n--\n", "get($self, /, block=True, timeout=None)\n--\n",
        "get_nowait($self, /)\n--\n")


def queue():
    """Three methods: name, function, flags, documentation."""
    e = Elf(pie=True)
    text = e.add(".text", CODE)
    docs = [d.encode() + b"\0" for d in DOCS]
    first = e.add(".rodata", b"".join(docs))
    table = e.add(".data", b"\0" * 32 * len(docs))
    words = {}
    for i in range(len(docs)):
        words[table + 32 * i + 8] = text + 16
        words[table + 32 * i + 24] = first + sum(map(len, docs[:i]))
    e.add(".rela.dyn", b"".join(struct.pack("<QQQ", w, 8, v) for w, v in words.items()), RELA, 0, 24)
    return e.bytes()


RESET = bytes.fromhex("55f20f104738488b47104889c0488b80100100004889c0488b90800500004889d2f20f584210c3")
BUILTINS = {
    "AsyncFunctionAwait": "4c8b484f", "AsyncFunctionAwaitCaught": "4c8b484f", "AsyncFunctionAwaitUncaught": "4c8b484f",
    "AsyncFunctionAwaitResolveClosure": "488b561f", "AsyncFunctionAwaitRejectClosure": "488b561f",
    "RunMicrotasks": "4c896018",
}
V8 = ("14MicrotaskQueue13RunMicrotasksEPNS0_7IsolateE", "18ScavengerCollector30HandleSurvivingNewLargeObjectsEv",
      "20MarkCompactCollector29UpdatePointersAfterEvacuationEv")


def node(stripped=False, drop="", reset=RESET):
    e = Elf(pie=True)
    funcs = {"_ZN4node5StartEiPPc": b"", "_ZN4node21InternalCallbackScopeC1EPNS_9AsyncWrapEi": b"",
             "_ZN4node9AsyncWrap10AsyncResetEN2v85LocalINS1_6ObjectEEEdb": reset}
    inner = {"Builtins_" + n: bytes.fromhex("55" + code) for n, code in BUILTINS.items() if n != drop}
    inner.update(("_ZN2v88internal" + n, b"") for n in V8)
    at, code = {}, b""
    for name, body in {**funcs, **inner}.items():
        at[name] = len(code)
        code += (body or b"\x55") + b"\x90" * (256 - len(body or b"x"))
    text = e.add(".text", code)
    e.add(".rodata", b"https://nodejs.org/download/release/v22.1.0/node-v22.1.0-headers.tar.gz\0" + b"x" * 64)
    e.symbols(".dynsym", ".dynstr", DYNSYM, [(n, text + at[n]) for n in funcs])
    if not stripped:
        e.symbols(".symtab", ".strtab", SYMTAB, [(n, text + at[n]) for n in inner])
    return e.bytes()


def libc():
    e = Elf(pie=True)
    e.add(".text", CODE)
    desc = e.add(".rodata", struct.pack("<III", 64 * 8, 4, 1296) + b"\0" * 8)
    e.symbols(".symtab", ".strtab", SYMTAB, [("_thread_db_pthread_specific", desc)])
    return e.bytes()


def section(name):
    e = Elf()
    e.add(".text", CODE)
    e.add(name, b"\0" * 16)
    e.add(".rodata", b"tokio-runtime-worker\0" if name == ".x" else b"none")
    return e.bytes()


# As rustc compiles them: tests/unit/probe/test_rust.c has their text.
RUST = {
    "_ZN5tokio7runtime4task4core11TaskIdGuard5enter17h0123456789abcdefE":
        "4156534889fb64488b042500000000488d80b0feffff0fb6484883f901740d4989c6ffd14c89f041c6464801488b4830488958304889c85b415ec3",
    "_ZN5tokio7runtime7context19set_current_task_id17h0123456789abcdefE": "64488b0425e0feffff6448893c25e0feffffc3",
    "_ZN5tokio4sync4mpsc4list11Tx$LT$T$GT$4push17h0123456789abcdefE":
        "55415641be01000000f04c0fc177084d89f54983e5e0488b174c89e8482b820004000075044183e61f415e5dc3",
    "_RNvMs_NtNtNtCs1_5tokio4sync4mpsc4listINtB4_2TxNtC_3app3JobE10find_blockC_3app":
        "5541574989f74983e7e0488b0f4c89f8482b810023000075e7415f5dc3",
    "_ZN5tokio4sync4mpsc4list11Rx$LT$T$GT$3pop17h0123456789abcdefE":
        "41574156534989f64889fb488b36498b46104883e0e04839860023000074e1480fbae021c3",
}
# push whose slot is gone before the first jump; pops with an index that is not the first's, that are not understood
PUSH_USED, POP_SMALL, POP_OTHER = ("b801000000f0480fc1074883e0e048c1e80575ecc3",
                                   "534889fb488b0f488b43084883e0e075efc3", "53488b024883e0e075f6c3")
ENTER, SET, PUSH, FIND, POP = RUST


def rust(how="symbols", calls=20, more=(), drop=(), text=b"x/tokio-1.54.1/src\0"):
    """Its functions, and 20 that are polled: `symbols`, or stripped and `straight` or `pointer` calls, or `inlined`."""
    e = Elf(pie=how == "pointer")
    e.add(".rodata", text + b"\0" * 32)
    funcs = [(n, bytes.fromhex(c)) for n, c in [*RUST.items(), *more] if n not in drop]
    start, starts, code = e.here(), [], b""
    slot = start + 4096
    for name, body in funcs + [("poll", None)] * (1 if how != "inlined" else calls):
        code += b"\x90" * (-len(code) % 16)
        starts.append((name, len(code)))
        if body is None and how == "inlined":
            body = bytes.fromhex(RUST[SET])
        elif body is None:
            body = b""
            for _ in range(calls):
                at = start + len(code) + len(body)
                body += b"\xff\x15" + struct.pack("<i", slot - at - 6) if how == "pointer" else \
                    b"\xe8" + struct.pack("<i", start - at - 5)
            body += b"\xc3"
        code += body
    e.add(".text", code + b"\xcc" * (4096 - len(code)))
    e.add(".data", b"\0" * 16)
    if how == "pointer":
        e.add(".rela.dyn", struct.pack("<QQq", slot, 8, start), RELA, 0, 24)
    if how == "symbols":
        ends = [at for _, at in starts[1:]] + [len(code)]
        e.symbols(".symtab", ".strtab", SYMTAB, [(n, start + at, end - at) for (n, at), end in zip(starts, ends)])
        return e.bytes()
    here = e.here()
    table = b"".join(struct.pack("<ii", start + at - here, 0) for _, at in starts)
    e.add(".eh_frame_hdr", struct.pack("<4BiI", 1, 0x1b, 3, 0x3b, 0, len(starts)) + table)
    return e.bytes()


# One of every kind that x86.c knows; the second line: with prefixes, addresses of all shapes.
X86 = bytes.fromhex(
    "01c8" "03c8" "0401" "0501020304" "3c01" "39c8" "50" "415f" "58" "4863c8" "6801020304" "69c801020304" "6a01" "6bc801"
    "8003c0" "81c101020304" "83f901" "84c0" "87c8" "88c8" "8ac8" "8d4801" "8f00" "90" "4990" "91" "99" "a4" "a801" "a901020304"
    "b001" "b801020304" "48b80102030405060708" "c0e001" "c1e001" "c60001" "c70001020304" "c9" "d1e0" "d3e0" "f6c101"
    "f7c101020304" "f7d9" "f6d9" "fec0" "ffc0" "ff30" "0f05" "0fa2" "0f1f00" "0f44c8" "0fc8" "0fafc8" "0fb6c8" "0fb1c8" "0fc7c8"
    "0f70c001" "0fbae001" "0fa4c801" "0f11c0" "0f28c8" "0f94c0"
    "66b80102" "66486b c001" "6681c10102" "f390" "2e90" "3e90" "f290" "64488b0425e8ffffff" "488b8401e8000000" "488b442408"
    "488b042500000000" "488b0500000000" "4a8b44a008" "7502" "0f8500000000" "e800000000" "ffd0" "c3".replace(" ", ""))


SEEDS = {
    "rust": rust(), "rust-task-alone": rust(drop=(PUSH, FIND)), "rust-no-task": rust(drop=(ENTER, SET)),
    "rust-places": rust(more=[(PUSH + str(i), RUST[PUSH]) for i in range(80)] + [(PUSH, PUSH_USED)]),
    "rust-pops": rust(more=[(POP, POP_SMALL)]), "rust-pop-other": rust(more=[(POP, POP_OTHER)]),
    "rust-same-place": rust(more=[("pad", "90" * 4048), (POP, RUST[POP].replace("4889fb488b36498b46104883e0e0", "498b46104883e0e0488b4710" "4883e0e0"))]),
    "rust-same-push": rust(more=[("pad", "90" * 4096), (PUSH, RUST[PUSH].replace("41be", "41bf"))]),
    "rust-two-words": rust(more=[(SET, RUST[SET].replace("e0fe", "d8fe"))]),
    "rust-names": rust(more=[(n, RUST[SET]) for n in (
        "_RNv5tokio11TaskIdGuard5enter", "_RNv11TaskIdGuard4drop", "_ZN_task..core..TaskIdGuard$4drop17h", "_ZN4mpsc4list5push",
        "_ZN5tokio4mpsc4list5close", "_ZNx", "_ZN9something")]),
    "rust-stripped": rust("straight"), "rust-stripped-pointer": rust("pointer"), "rust-stripped-inlined": rust("inlined", drop=(ENTER,)),
    "rust-stripped-few": rust("straight", 3), "rust-stripped-used": rust("straight", more=[("used", PUSH_USED)]),
    "rust-stripped-name": rust("straight", text=b"tokio-runtime-worker\0"),
    "rust-stripped-words": rust("inlined", more=[
        ("w", "64488b0425%02x%02xffff" % (8 * (i % 32), 0xf0 + i // 32) + "6448893c25%02x%02xffff" % (8 * (i % 32), 0xf0 + i // 32))
        for i in range(70)]),
    "x86": X86, **{"x86-%d" % i: X86[i:] for i in (3, 9)},
    "native": native(), "nginx": nginx(b"22.1"), "nginx-digits": nginx(b"1" * 60), "haproxy": haproxy(b"2.6.12-1+deb12u4\0"),
    "haproxy-digits": haproxy(b"9" * 60), "tokio": tokio(), "go-stripped": go(b"go1.22.3"),
    "go-pie": go(b"go1.21.0", pie=True), "go-symbols": go(b"go1.20", stripped=False), "go-118": go(b"go1.18rc1", magic=0xfffffff0),
    "go-old": old_go(), "python": python(), "python-alpha": python(0x030c00a1, False),
    "asyncio-fixed": asyncio(False, False), "asyncio-spec-fixed": asyncio(False, True), "asyncio-pie": asyncio(True, False),
    "asyncio-spec-pie": asyncio(True, True), "asyncio-relr": asyncio(True, False, True), "libc": libc(),
    "dotnet": section("__managedcode"), "tokio-name": section(".x"), "graalvm": section(".svm_heap"),
    "node": node(), "node-stripped": node(True), "node-ids": node(reset=b"\xc3"), "node-old": node(drop="AsyncFunctionAwait"),
    "node-none": node(drop="RunMicrotasks"), "queue": queue(), "go-spawn": go(b"go1.22.3", spawn=True),
    "go-spawn-symbols": go(b"go1.24.1", stripped=False, spawn=True), "arm64": Elf(machine=183).bytes(), "nothing": b"\x7fELF\2\1\1" + b"\0" * 57,
}


def layout(minor):
    """A row of src/probe/python_offsets.h."""
    text = (pathlib.Path(__file__).resolve().parents[2] / "src/probe/python_offsets.h").read_text()
    rows = [[int(w) for w in line[line.index("{") + 1:line.index("}")].split(",")]
            for line in text.splitlines() if line.strip().startswith("{")]
    return next(r for r in rows if r[0] == minor)


def memory(minor, run=64, key=3):
    """What clew_python__live() looks at."""
    _, ctx, key_init, key_off, interps, threads, tid = layout(minor)[:7]
    mem = bytearray(0x900)

    def word(at, v):
        struct.pack_into("<Q", mem, at, v)
    interp, ts, fs, block, context = 0x340, 0x400, 0x600, 0x780, 0x880
    struct.pack_into("<i", mem, run + key_init, 1)
    struct.pack_into("<i", mem, run + key_off, key)
    word(run + interps, interp)
    word(interp + threads, ts)
    word(ts + tid, fs)
    word(fs, fs)
    word(fs + 0x100, block)
    word(block + key * 16 + 8, ts)
    word(ts + ctx, context)
    word(context + 8, 128)
    return bytes(mem)


def main():
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "corpus" / "elf"
    out.mkdir(parents=True, exist_ok=True)
    for name, data in SEEDS.items():
        (out / name).write_bytes(data)
    (out / "memory-311").write_bytes(memory(11))


if __name__ == "__main__":
    main()
