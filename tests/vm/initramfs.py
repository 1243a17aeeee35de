#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Build the first root file system of a test guest: busybox, a handful of modules, guest.sh.

Usage: initramfs.py KERNEL_DIR OUT [--module NAME]...

KERNEL_DIR is what kernels.sh made. Written here rather than with cpio, depmod and modprobe,
because a machine that only builds clew has none of them: a module says itself what it needs (the
`depends=` line of its .modinfo section), and the newc cpio format is a page long
(Documentation/driver-api/early-userspace/buffer-format.rst). Takes about a tenth of a second, so
nothing is cached and nothing is ever stale.
"""
import argparse
import lzma
import os
import shutil
import struct
import subprocess
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
# What the guest needs to see the host's files and to talk to run.py ...
NEEDED = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"]
# ... and what programs under test ask the kernel for; nothing in the guest could load it later.
WANTED = ["tcp_diag", "unix_diag", "tls"]


class Error(Exception):
    pass


def decompress(path):
    """The content of a file, by what its first bytes say that it is."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:6] == b"\xfd7zXZ\x00":
        return lzma.decompress(data)
    if data[:2] == b"\x1f\x8b":
        return zlib.decompress(data, 31)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout
    return data


def elf_section(elf, wanted):
    """The bytes of a section of a little-endian 64-bit ELF image, or None."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise Error("not a 64-bit little-endian ELF file")
    shoff, = struct.unpack_from("<Q", elf, 0x28)
    entsize, count, strndx = struct.unpack_from("<HHH", elf, 0x3a)

    def header(i):  # name, type, flags, addr, offset, size
        return struct.unpack_from("<IIQQQQ", elf, shoff + i * entsize)

    names = header(strndx)[4]
    for i in range(count):
        name, kind, _, _, offset, size = header(i)
        end = elf.index(b"\0", names + name)
        if elf[names + name:end] == wanted.encode() and kind != 8:  # 8: no bits in the file
            return elf[offset:offset + size]
    return None


class Modules:
    """The modules of one kernel, by name with '_' for '-', as the kernel compares them."""

    def __init__(self, folder):
        self.paths = {}
        for top, _, files in os.walk(os.path.join(folder, "kernel")):
            for name in files:
                if ".ko" in name:
                    key = name.split(".ko")[0].replace("-", "_")
                    self.paths[key] = os.path.join(top, name)
        # Newest packages do not list what is built in; then what is no module must be built in,
        # and if it is not, the guest says so by what it cannot mount.
        self.builtin = None
        listing = os.path.join(folder, "modules.builtin")
        if os.path.exists(listing):
            with open(listing, encoding="ascii") as f:
                self.builtin = {os.path.basename(line.strip())[:-3].replace("-", "_") for line in f}

    def is_builtin(self, name):
        return name not in self.paths if self.builtin is None else name in self.builtin

    def closure(self, names):
        """[(name, image)] of the modules and all that they need, in an order to load them."""
        done, order = set(), []
        stack = [(name.replace("-", "_"), False) for name in reversed(names)]
        images = {}
        while stack:
            name, needs_loaded = stack.pop()
            if needs_loaded:
                order.append((name, images[name]))
                continue
            if name in done or self.is_builtin(name):
                continue
            done.add(name)
            if name not in self.paths:
                raise Error(f"the kernel has no module {name}")
            images[name] = decompress(self.paths[name])
            stack.append((name, True))
            stack.extend((need, False) for need in depends(images[name]))
        return order


def depends(image):
    for item in (elf_section(image, ".modinfo") or b"").split(b"\0"):
        key, _, value = item.partition(b"=")
        if key == b"depends":
            return [m.decode().replace("-", "_") for m in value.split(b",") if m]
    return []


class Cpio:
    """A newc archive in memory. The kernel accepts several of them one after the other."""

    def __init__(self):
        self.out = bytearray()
        self.ino = 0

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self.ino += 1
        raw = name.encode() + b"\0"
        fields = (self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(raw), 0)
        self.out += b"070701" + b"".join(b"%08X" % f for f in fields) + raw
        self._pad()
        self.out += data
        self._pad()

    def _pad(self):
        self.out += b"\0" * (-len(self.out) % 4)

    def folder(self, name):
        self._entry(name, 0o040755)

    def file(self, name, data, mode=0o644):
        self._entry(name, 0o100000 | mode, data)

    def link(self, name, target):
        self._entry(name, 0o120777, target.encode())

    def device(self, name, major, minor):
        self._entry(name, 0o020600, rdev=(major, minor))

    def finish(self):
        self._entry("TRAILER!!!", 0)
        return bytes(self.out)


def find_busybox():
    path = shutil.which("busybox")
    if not path:
        raise Error("busybox is missing: install busybox-static")
    with open(path, "rb") as f:
        data = f.read()
    if b"ld-linux" in data[:4096]:
        raise Error(f"{path} needs shared libraries: install busybox-static")
    return data


def build(kernel_dir, extra_modules=(), files=()):
    """The archive. files: (name, content) pairs that are added, for guest.sh to pick up."""
    modules = Modules(os.path.join(kernel_dir, "modules"))
    # A wanted one may be missing from a kernel; a needed one, or one asked for by name, must not.
    wanted = [m for m in WANTED if m in modules.paths]
    order = modules.closure(NEEDED + wanted + list(extra_modules))
    cpio = Cpio()
    for name in ("bin", "dev", "proc", "sys", "low", "up", "new", "modules"):
        cpio.folder(name)
    cpio.device("dev/console", 5, 1)
    cpio.file("bin/busybox", find_busybox(), 0o755)
    for applet in ("sh", "cat", "cp", "insmod", "ln", "mkdir", "mount", "poweroff", "sleep",
                   "switch_root"):
        cpio.link(f"bin/{applet}", "busybox")
    for name, image in order:
        cpio.file(f"modules/{name}.ko", image)
    cpio.file("modules/order", "".join(f"{name}\n" for name, _ in order).encode())
    with open(os.path.join(HERE, "guest.sh"), "rb") as f:
        guest = f.read()
    cpio.file("init", guest, 0o755)
    for name, content in files:
        cpio.file(name, content, 0o755)
    return cpio.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kernel_dir")
    parser.add_argument("out")
    parser.add_argument("--module", action="append", default=[])
    args = parser.parse_args()
    try:
        data = build(args.kernel_dir, args.module)
    except (Error, OSError, subprocess.CalledProcessError) as e:
        print(f"initramfs.py: {e}", file=sys.stderr)
        return 1
    with open(args.out, "wb") as f:
        f.write(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
