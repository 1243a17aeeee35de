#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the tools in this folder that need no virtual machine, no root and no network."""
import argparse
import json
import lzma
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

import btf_check
import initramfs
import matrix
import run


def piped(command, data):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


class InFolder(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="clew-test-vm-")
        self.addCleanup(shutil.rmtree, self.dir)

    def path(self, name):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        return self.path(name)

    def compile(self, name, source, *flags):
        out = self.path(name)
        subprocess.run([btf_check.CLANG, *flags, "-c", self.write(name + ".c", source), "-o", out],
                       check=True)
        with open(out, "rb") as f:
            return f.read()

    def module(self, depends):
        text = f"license=GPL\\0depends={depends}\\0name=x"
        return self.compile("m.o", f'__attribute__((section(".modinfo"))) char i[] = "{text}";')


class Initramfs(InFolder):
    def kernel(self, listing):
        """a needs b-c and d, b-c needs d, e is built in; packed in three ways."""
        self.write("modules/kernel/x/a.ko", self.module("b-c,d"))
        self.write("modules/kernel/x/b-c.ko.xz", lzma.compress(self.module("d"), lzma.FORMAT_XZ))
        self.write("modules/kernel/y/d.ko.zst", piped(["zstd", "-c"], self.module("")))
        if listing:
            self.write("modules/modules.builtin", "kernel/z/e-f.ko\n")
        return initramfs.Modules(self.path("modules"))

    def test_order(self):
        order = [name for name, _ in self.kernel(True).closure(["e_f", "a", "d"])]
        self.assertEqual(order, ["d", "b_c", "a"])

    def test_unpacked(self):
        for name, image in self.kernel(True).closure(["a"]):
            self.assertEqual(image[:4], b"\x7fELF", name)

    def test_missing(self):
        with self.assertRaisesRegex(initramfs.Error, "no module nothing"):
            self.kernel(True).closure(["nothing"])

    def test_no_listing_of_builtin(self):
        self.assertEqual([n for n, _ in self.kernel(False).closure(["e_f", "d"])], ["d"])

    def test_cycle_ends(self):
        self.write("modules/kernel/p.ko", self.module("q"))
        self.write("modules/kernel/q.ko", self.module("p"))
        order = [n for n, _ in initramfs.Modules(self.path("modules")).closure(["p"])]
        self.assertEqual(sorted(order), ["p", "q"])

    def test_archive_is_read_by_another_program(self):
        cpio = initramfs.Cpio()
        cpio.folder("sub")
        cpio.file("sub/odd", b"12345", 0o755)
        cpio.link("link", "sub/odd")
        archive = cpio.finish()
        subprocess.run(["busybox", "cpio", "-i"], input=archive, cwd=self.dir, check=True,
                       stderr=subprocess.DEVNULL)
        with open(self.path("link"), "rb") as f:
            self.assertEqual(f.read(), b"12345")
        self.assertEqual(os.stat(self.path("sub/odd")).st_mode & 0o777, 0o755)

    def test_section_of_garbage(self):
        with self.assertRaises(initramfs.Error):
            initramfs.elf_section(b"no ELF file", ".BTF")


class Image(InFolder):
    def image(self, payload):
        """A bzImage with that payload: 2 setup sectors, boot protocol header."""
        head = bytearray(3 * 512 + 100)
        head[0x1f1] = 2
        head[0x202:0x206] = b"HdrS"
        struct.pack_into("<II", head, 0x248, 100, len(payload))
        return bytes(head) + payload + b"what follows"

    def test_every_compression(self):
        elf = self.compile("k.o", "struct s { int a; } v;", "-target", "bpf", "-g")
        size = struct.pack("<I", len(elf))
        gz = zlib.compressobj(9, zlib.DEFLATED, 31)
        packed = {
            "gzip": gz.compress(elf) + gz.flush(),
            "xz": lzma.compress(elf, lzma.FORMAT_XZ) + size,
            "lzma": lzma.compress(elf, lzma.FORMAT_ALONE) + size,
            "zstd": piped(["zstd", "-c"], elf) + size,
        }
        if shutil.which("lz4"):
            packed["lz4"] = piped(["lz4", "-l", "-c"], elf) + size
        for name, payload in packed.items():
            with self.subTest(name):
                path = self.write("vmlinuz", self.image(payload))
                btf = btf_check.kernel_btf(path)
                self.assertEqual(btf, initramfs.elf_section(elf, ".BTF"))
                self.assertEqual(btf[:2], b"\x9f\xeb")

    def test_unknown(self):
        for data in (b"", b"HdrS" * 200, self.image(b"unknown...")):
            with self.assertRaises(initramfs.Error):
                btf_check.unpack_image(data)


KERNEL_TYPES = """
struct hidden { int in_hidden; };
struct plain {
	char first;
	union { long second; struct { unsigned short third; } ; };
	struct hidden held;
	struct { int inner; } named;
	int *pointer;
	int list[4];
	const volatile long qualified;
};
struct newer { int now; };
enum numbers { ONE = 1, THREE = 3 };
typedef struct { int counter; } atomic_t;
struct plain v1; struct newer v2; enum numbers v3; atomic_t v4;
"""


class Btf(InFolder):
    def verdict(self, header, complete=False, allow=()):
        """(exit is good, printed text) of a header against KERNEL_TYPES."""
        image = self.path("vmlinux")
        self.compile("vmlinux", KERNEL_TYPES, "-target", "bpf", "-g")
        command = [sys.executable, btf_check.__file__, image, "--header",
                   self.write("h.h", header)]
        command += ["--complete"] if complete else []
        for field in allow:
            command += ["--allow", field]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        self.assertIn(done.returncode, (0, 1), done.stdout)
        return done.returncode == 0, done.stdout

    def good(self, header, **options):
        fine, text = self.verdict(header, **options)
        self.assertTrue(fine, text)
        return text

    def bad(self, header, message, **options):
        fine, text = self.verdict(header, **options)
        self.assertFalse(fine, text)
        self.assertIn(message, text)

    def test_fields(self):
        self.good("struct plain { int third; long first; unsigned int second; };")
        self.good("struct plain { void *pointer; char list[1]; int qualified; };")
        self.bad("struct plain { int first; int absent; };", "plain.absent: no such field")

    def test_anonymous_on_our_side_only(self):
        self.good("struct plain { union { int first; struct { int third; }; }; };")

    def test_kinds(self):
        self.bad("struct plain { int pointer; };", "plain.pointer: declared as INT, is PTR")
        self.bad("struct plain { int held; };", "plain.held")
        self.bad("struct plain { void *list[2]; };", "plain.list[]")

    def test_held_by_value(self):
        self.good("struct plain { struct { int inner; } named; };")
        self.bad("struct plain { struct { int other; } named; };", "plain.named.other")
        self.bad("struct other_name { int x; }; struct plain { struct other_name held; };",
                 "plain.held.x")

    def test_types(self):
        self.bad("struct unknown { int x; };", "unknown: no such type")
        self.bad("union plain { int first; };", "plain: no such type")
        self.good("typedef struct { int counter; } atomic_t;")
        self.bad("typedef struct { int count; } atomic_t;", "atomic_t.count")

    def test_enums(self):
        self.good("enum numbers { THREE };")
        self.good("enum numbers___x { THREE___x };", complete=True)
        self.bad("enum numbers { TWO };", "numbers.TWO: no such enumerator")

    def test_flavours(self):
        old = "struct newer___old { int before; };"
        fits = "struct newer___new { int now; };"
        self.assertIn("no newer___old", self.good(old))
        self.bad(old, "newer___old fits none", complete=True)
        self.good(fits, complete=True)
        self.assertIn("newer without later", self.good("struct newer { int later; };" + fits))
        self.bad("struct newer { int later; };" + old, "newer.later: no such field")
        self.bad("struct newer { int later; };" + fits, "newer fits none", complete=True)

    def test_allowed(self):
        self.good("struct newer { int later; };", allow=["newer.later"])

    def test_only_its_own_types(self):
        self.good("#include <linux/types.h>\n#pragma clang attribute push(__attribute__(("
                  "preserve_access_index)), apply_to = record)\nstruct __attribute__((packed)) "
                  "plain { int first; } __attribute__((unused));\n#pragma clang attribute pop\n"
                  "static inline int f(int x) { return x; }\nstruct newer { int now; };")


class Runner(InFolder):
    def test_split(self):
        self.assertEqual(run.split(["a", "--", "b", "--", "c"]), (["a"], ["--"], ["b", "--", "c"]))
        self.assertEqual(run.split(["a"]), (["a"], [], []))

    def shell(self, command, env=()):
        script = self.write("s.sh", run.guest_script(command, "x", env))
        return subprocess.run(["busybox", "sh", script], stdout=subprocess.PIPE, check=False,
                              text=True)

    def test_command(self):
        odd = "a b'c\"$d\n*"
        self.assertEqual(self.shell(["printf", "%s", odd]).stdout, odd)
        self.assertEqual(self.shell(["echo $GUEST_KERNEL; exit 9"]).stdout, "x\n")
        self.assertEqual(self.shell(["echo $GUEST_KERNEL; exit 9"]).returncode, 9)
        self.assertEqual(self.shell(["pwd"]).stdout.strip(), os.getcwd())
        self.assertEqual(self.shell(["echo $Q"], ["Q=1 2"]).stdout, "1 2\n")


class Figures(InFolder):
    OLD = {"a": {"6.1": [10000, 100], "sid": [1, 1]}, "b": {"6.1": [10, 0]}}

    def compare(self, **loaded):
        return matrix.compare(self.OLD, "6.1", {name: {"insns": insns, "stack": stack}
                                                for name, (insns, stack) in loaded.items()})

    def test_growth(self):
        self.assertEqual(self.compare(a=(10000, 100), b=(10, 0)), ([], [], []))
        self.assertEqual(self.compare(a=(17000, 100), b=(2000, 0)), ([], [], []))  # half, and slack
        self.assertEqual(self.compare(a=(17001, 100))[0], ["a: 10000 -> 17001 instructions"])

    def test_stack(self):
        self.assertEqual(self.compare(b=(10, matrix.STACK_NEAR))[1], [])
        self.assertEqual(self.compare(b=(10, 512))[1], ["b: 512 of 512 bytes of stack"])

    def test_new(self):
        self.assertEqual(self.compare(c=(90000, 0)), ([], [], ["c"]))

    def verdict(self, update, **loaded):
        """(passed, failed, text) of the verifier's rows."""
        row = matrix.Row(argparse.Namespace(update=update), self.OLD, "6.1")
        self.write("verifier.json", json.dumps({name: {"insns": insns, "stack": stack}
                                                for name, (insns, stack) in loaded.items()}))
        row.verifier(self.dir)
        return row.counts[0], row.counts[1], "\n".join(row.lines)

    def test_update_accepts_growth_alone(self):
        self.assertEqual(self.verdict(False, a=(17001, 100))[:2], (1, 1))
        passed, failed, text = self.verdict(True, a=(17001, 100))
        self.assertEqual((passed, failed), (2, 0))
        self.assertNotIn("FAIL", text)
        self.assertEqual(self.verdict(True, a=(17001, 512))[:2], (1, 1))

    def test_saved(self):
        path = self.path("figures.json")
        self.assertEqual(matrix.load(path), {})
        matrix.save(path, self.OLD)
        self.assertEqual(matrix.load(path), self.OLD)


def main():
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=0).run(
        unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]))
    failed, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    print(f"{result.testsRun - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
