#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare the kernel types that a header declares with those that kernels have.

Usage: btf_check.py KERNEL... --header FILE [--complete] [--arch x86|arm64] [--allow TYPE.FIELD]...
       btf_check.py KERNEL --dump FILE

KERNEL: a name known to kernels.sh, a kernel image (vmlinuz, vmlinux), or `host`.

BPF programs read kernel structures at offsets that libbpf looks up at load time, by name (CO-RE).
So a header may declare a few fields in any order, but each must exist in the kernel, or the
program that reads it does not load. For each type of the header:

 - a struct or union must exist and must have each field, also where the kernel has it inside an
   anonymous struct or union, and of a kind that libbpf accepts for it (a pointer for a pointer, an
   integer of any size for an integer, ...; the rule of bpf_core_fields_are_compat);
 - what a field holds by value is compared the same way, since accesses go on through it;
 - an enum must have each enumerator;
 - a flavour (name___suffix) stands for how some kernels have the type. It may differ from this
   kernel's, which is reported and no error; where it is the plain type that differs, one of its
   flavours must fit. --allow makes an exception for one field.

--complete says that the kernels given are all that are supported: each plain type and each flavour
must then fit at least one of them, for otherwise it is misspelt or of no use.

The header's side is compiled to BTF by the same compiler as the programs, so no C is parsed here
except to find the names at the top level.
"""
import argparse
import json
import lzma
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib

import initramfs

CLANG = os.environ.get("CLANG", "clang-19")
BPFTOOL = os.environ.get("BPFTOOL", "bpftool")
MAX_DEPTH = 16  # of structs inside structs
MODIFIERS = ("TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG")
COMPOSITE = ("STRUCT", "UNION")
ENUMS = ("ENUM", "ENUM64")
UNPACKERS = (  # first bytes of a packed kernel, how to unpack it
    (b"\x1f\x8b", lambda d: zlib.decompressobj(31).decompress(d)),
    (b"\xfd7zXZ\x00", lambda d: lzma.LZMADecompressor().decompress(d)),
    (b"\x5d\x00\x00", lambda d: lzma.LZMADecompressor().decompress(d)),
    (b"\x28\xb5\x2f\xfd", lambda d: by_program(["zstd", "-dcq"], d)),
    (b"\x02\x21\x4c\x18", lambda d: by_program(["lz4", "-dcq"], d)),
)


def by_program(command, data):
    """Output of a program that may complain about what follows the packed data."""
    out = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         check=False)
    if not out.stdout:
        raise initramfs.Error(f"{command[0]}: {out.stderr.decode(errors='replace').strip()}")
    return out.stdout


def unpack_image(image):
    """The ELF file inside a bzImage, found as the boot protocol says (x86/boot.rst)."""
    if image[:4] == b"\x7fELF":
        return image
    if len(image) < 0x250 or image[0x202:0x206] != b"HdrS":
        raise initramfs.Error("neither an ELF file nor an x86 kernel image")
    setup_sects = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sects + 1) * 512 + offset
    payload = image[start:start + length]  # in most formats the unpacked size follows the stream
    for magic, unpack in UNPACKERS:
        if payload.startswith(magic):
            elf = unpack(payload)
            if elf[:4] != b"\x7fELF":
                raise initramfs.Error("the kernel's payload is no ELF file")
            return elf
    raise initramfs.Error(f"unknown compression of the kernel: {payload[:6].hex()}")


def kernel_btf(kernel):
    """The raw type information of KERNEL."""
    if kernel == "host":
        with open("/sys/kernel/btf/vmlinux", "rb") as f:
            return f.read()
    image = kernel
    if not os.path.exists(kernel):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernels.sh")
        run = subprocess.run([script, kernel], stdout=subprocess.PIPE, text=True, check=False)
        if run.returncode:
            raise initramfs.Error(f"no kernel {kernel}")
        image = os.path.join(run.stdout.split(maxsplit=3)[3].strip(), "vmlinuz")
    with open(image, "rb") as f:
        btf = initramfs.elf_section(unpack_image(f.read()), ".BTF")
    if not btf:
        raise initramfs.Error(f"{kernel} has no type information (.BTF)")
    return btf


class Types:
    """The types of one BTF blob, by id and by (kind class, name)."""

    def __init__(self, path):
        out = subprocess.run([BPFTOOL, "-j", "btf", "dump", "file", path], stdout=subprocess.PIPE,
                             check=True).stdout
        self.by_id = {t["id"]: t for t in json.loads(out)["types"]}
        self.names = {}
        for t in self.by_id.values():
            kind = "ENUM" if t["kind"] in ENUMS else t["kind"]
            self.names.setdefault((kind, t.get("name")), []).append(t)

    def resolve(self, type_id):
        """The type behind typedefs and qualifiers; None is void."""
        for _ in range(64):
            t = self.by_id.get(type_id)
            if t is None or t["kind"] not in MODIFIERS:
                return t
            type_id = t["type_id"]
        return None

    def find(self, kind, name):
        found = self.names.get((kind, name), [])
        if kind == "TYPEDEF":
            found = [self.resolve(t["id"]) for t in found]
        return [t for t in found if t]

    def fields(self, composite, depth=0):
        """{name: type id}, with those of anonymous members as the members' own."""
        out = {}
        for member in composite["members"]:
            if not anonymous(member):
                out.setdefault(member["name"], member["type_id"])
                continue
            inner = self.resolve(member["type_id"])
            if inner and inner["kind"] in COMPOSITE and depth < MAX_DEPTH:
                for name, type_id in self.fields(inner, depth + 1).items():
                    out.setdefault(name, type_id)
        return out


def anonymous(t):
    return t.get("name") in (None, "", "(anon)")


def base_name(name):
    return name.split("___")[0]


class Comparison:
    """The header's types against one kernel's. problems: (path, what is wrong)."""

    def __init__(self, ours, kernel):
        self.ours, self.kernel = ours, kernel
        self.fields_checked = 0

    def composite(self, ours, kernels, path, depth=0):
        problems = []
        have = self.kernel.fields(kernels)
        for name, type_id in self.ours.fields(ours).items():
            self.fields_checked += 1
            where = f"{path}.{name}"
            if name not in have:
                problems.append((where, "no such field"))
            else:
                problems += self.member(type_id, have[name], where, depth)
        return problems

    def member(self, our_id, kernel_id, where, depth):
        mine, theirs = self.ours.resolve(our_id), self.kernel.resolve(kernel_id)
        kinds = [t["kind"] if t else "VOID" for t in (mine, theirs)]
        if all(k in COMPOSITE for k in kinds):
            if depth >= MAX_DEPTH:
                return [(where, "nested too deeply")]
            if not anonymous(mine) and base_name(mine["name"]) == theirs.get("name"):
                return []  # compared on its own
            return self.composite(mine, theirs, where, depth + 1)
        if all(k in ENUMS for k in kinds):
            names = [base_name(t.get("name") or "") for t in (mine, theirs)]
            bad = names[0] != names[1] and "(anon)" not in names
            return [(where, f"enum {names[0]} is enum {names[1]}")] if bad else []
        if kinds[0] != kinds[1]:
            return [(where, f"declared as {kinds[0]}, is {kinds[1]}")]
        if kinds[0] == "ARRAY" and depth < MAX_DEPTH:
            return self.member(mine["type_id"], theirs["type_id"], where + "[]", depth + 1)
        return []

    def enum(self, ours, kernels, path):
        have = {v["name"] for v in kernels["values"]}
        self.fields_checked += len(ours["values"])
        return [(f"{path}.{v['name']}", "no such enumerator") for v in ours["values"]
                if base_name(v["name"]) not in have]

    def declaration(self, kind, name):
        """Problems of one declared type; the best of the kernel's types of that name counts."""
        ours = self.ours.find(kind, name)
        if not ours:
            return [(name, "not found in the compiled header")]
        candidates = self.kernel.find(kind, base_name(name))
        if not candidates:
            return [(name, "no such type")]
        if ours[0]["kind"] in ENUMS:
            results = [self.enum(ours[0], c, name) for c in candidates]
        elif ours[0]["kind"] in COMPOSITE:
            results = [self.composite(ours[0], c, name) for c in candidates
                       if c["kind"] in COMPOSITE]
        else:
            return []
        return min(results, key=len) if results else [(name, "is of another kind")]


def own_text(header, flags):
    """The header after the preprocessor, without what it includes from elsewhere."""
    out = subprocess.run([CLANG, *flags, "-E", header], stdout=subprocess.PIPE, check=True,
                         text=True).stdout
    folder, keep, lines = os.path.dirname(os.path.abspath(header)), True, []
    for line in out.split("\n"):
        marker = re.match(r'# \d+ "([^"]*)"', line)
        if marker:
            keep = os.path.dirname(os.path.abspath(marker.group(1))) == folder
        elif keep and not line.startswith("#"):
            lines.append(line)
    return re.sub(r'"(\\.|[^"\\])*"', '""', "\n".join(lines))


def declarations(text):
    """[(kind, name)] of the types defined at the top level of preprocessed C."""
    found, depth, start, opened = [], 0, 0, -1
    for i, c in enumerate(text):
        if c == "{":
            opened = i if depth == 0 and opened < 0 else opened
            depth += 1
        elif c == "}":
            depth -= 1
        elif c == ";" and depth == 0:
            found += named(text[start:opened], text[start:i]) if opened >= 0 else []
            start, opened = i + 1, -1
    return found


def named(head, whole):
    """The type that one declaration with a body defines. head: what precedes the body."""
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", head, flags=re.S)
    words = re.findall(r"\w+", head)
    tail = re.search(r"}\s*(?:__attribute__\s*\(\(.*?\)\)\s*)*(\w+)\s*$", whole, re.S)
    if len(words) >= 2 and words[-2] in ("struct", "union", "enum"):
        return [(words[-2].upper(), words[-1])]
    if words[:1] == ["typedef"] and tail:
        return [("TYPEDEF", tail.group(1))]
    return []


def compile_header(header, arch, work):
    """(declarations, Types) of the header."""
    multiarch = subprocess.run(["gcc", "-print-multiarch"], stdout=subprocess.PIPE, text=True,
                               check=False).stdout.strip()
    flags = ["-target", "bpf", f"-D__TARGET_ARCH_{arch}", "-I",
             os.path.dirname(os.path.abspath(header)), "-idirafter", f"/usr/include/{multiarch}"]
    found = declarations(own_text(header, flags))
    source, obj = os.path.join(work, "types.c"), os.path.join(work, "types.o")
    with open(source, "w", encoding="utf-8") as f:
        f.write(f'#include "{os.path.abspath(header)}"\n')
        for i, (kind, name) in enumerate(found):
            word = "" if kind == "TYPEDEF" else kind.lower() + " "
            f.write(f"{word}{name} variable_{i};\n")
    subprocess.run([CLANG, *flags, "-g", "-O1", "-Wno-visibility", "-c", source, "-o", obj],
                   check=True)
    return found, Types(obj)


def check(kernel, header, allowed, work):
    """Print the verdict on one kernel. The set of names that fit it, and whether all is well."""
    found, ours = header
    path = os.path.join(work, "kernel.btf")
    with open(path, "wb") as f:
        f.write(kernel_btf(kernel))
    comparison = Comparison(ours, Types(path))
    results = {name: [p for p in comparison.declaration(kind, name) if p[0] not in allowed]
               for kind, name in found}
    fits = {name for name, problems in results.items() if not problems}
    errors, notes = 0, []
    for name, problems in results.items():
        covered = [f for f in sorted(fits) if f != name and base_name(f) == name]
        if not problems:
            continue
        if "___" in name:
            notes.append(f"no {name}")
        elif covered:
            missing = ", ".join(where[len(name) + 1:] for where, _ in problems)
            notes.append(f"{name} without {missing} ({', '.join(covered)})")
        else:
            errors += len(problems)
            for where, what in problems:
                print(f"{kernel}: {where}: {what}")
    print(f"{'FAIL' if errors else 'ok':6} types {kernel}: {len(found)} types, "
          f"{comparison.fields_checked} fields, {errors} missing or different" +
          "".join(f"\n         {note}" for note in notes))
    return fits, not errors


def check_all(args, header, work):
    good, fits = True, set()
    for kernel in args.kernel:
        fit_here, fine = check(kernel, header, set(args.allow), work)
        fits |= fit_here
        good &= fine
    for _, name in header[0]:
        if args.complete and name not in fits:
            print(f"FAIL   types: {name} fits none of these kernels")
            good = False
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kernel", nargs="+")
    parser.add_argument("--header")
    parser.add_argument("--complete", action="store_true",
                        help="each type must fit one of these kernels")
    parser.add_argument("--arch", default="x86")
    parser.add_argument("--allow", action="append", default=[], metavar="TYPE.FIELD")
    parser.add_argument("--dump", metavar="FILE", help="write the kernel's BTF to FILE")
    args = parser.parse_args()
    if not args.header and not args.dump:
        parser.error("--header or --dump is needed")
    try:
        if args.dump:
            with open(args.dump, "wb") as f:
                f.write(kernel_btf(args.kernel[0]))
            return 0
        with tempfile.TemporaryDirectory(prefix="clew-btf-") as work:
            header = compile_header(args.header, args.arch, work)
            if not header[0]:
                raise initramfs.Error(f"{args.header} declares no types")
            return 0 if check_all(args, header, work) else 1
    except (initramfs.Error, OSError, subprocess.CalledProcessError, zlib.error,
            lzma.LZMAError) as e:
        print(f"btf_check.py: {e}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
