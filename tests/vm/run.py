#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run a command in a virtual machine with another kernel, on this machine's own files.

Usage: run.py KERNEL [options] -- COMMAND...

KERNEL is a name known to kernels.sh (5.10, 6.1, 6.12, sid), which fetches it if need be.

The guest sees this machine's root read-only under a layer in memory: the checkout is found at the
same path, the command runs in the same working directory, what it writes is gone afterwards
except under /out, which is the folder given by --out. Its output arrives on stdout and stderr as
it is written; its exit status is the exit status of run.py, except 124 for a guest that was
stopped by the deadline and 125 for one that could not be started or died.

The machine is emulated (TCG), which works everywhere, inside other virtual machines too, and
takes about ten seconds to boot. Its processors take turns on one thread of this machine: with one
thread for each, QEMU 7.2 runs code while another processor changes it, and a guest that attaches
kprobes under load panics (a jump to address 0; tracefs alone does it after some twenty turns of
on and off). It has no network but its own loopback. With --icount it has one
processor whose clock is the count of executed instructions (one per nanosecond), so that times
measured inside do not depend on the machine outside; they also know nothing of caches and of the
cost of traps.

Everything lives as long as run.py does: the emulator dies with it, whatever ends it.
"""
import argparse
import ctypes
import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import initramfs

HERE = os.path.dirname(os.path.abspath(__file__))
EXIT_DEADLINE = 124
EXIT_BROKEN = 125
POWEROFF_S = 30
PORTS = ("out", "err", "ctl")
KEPT_ENV = ("PATH", "HOME", "LANG", "LC_ALL", "USER", "V", "B")


class Guest:
    """What one run left behind. seconds_* are the host's, uptime the guest's own."""

    def __init__(self):
        self.status = None
        self.uptime = None
        self.seconds_to_ready = None
        self.seconds = 0.0
        self.timed_out = False


def missing(name):
    """Why there can be no guest with this kernel, or "". Fetches the kernel if need be."""
    if not shutil.which("qemu-system-x86_64"):
        return "no qemu-system-x86_64: make deps installs it"
    done = subprocess.run([os.path.join(HERE, "kernels.sh"), name], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""


def kernel_dir(name):
    run = subprocess.run([os.path.join(HERE, "kernels.sh"), name], stdout=subprocess.PIPE,
                         check=False, text=True)
    if run.returncode or not run.stdout.strip():
        raise initramfs.Error(f"no kernel {name}")
    return run.stdout.split(maxsplit=3)[3].strip()


def guest_script(command, kernel, extra_env):
    env = {k: os.environ[k] for k in KEPT_ENV if k in os.environ}
    env["GUEST_KERNEL"] = kernel
    for item in extra_env:
        key, eq, value = item.partition("=")
        env[key] = value if eq else os.environ.get(key, "")
    lines = [f"cd {shlex.quote(os.getcwd())} || exit 126"]
    lines += [f"export {k}={shlex.quote(v)}" for k, v in env.items()]
    # A single word with spaces is a line for the shell, several words are a command.
    lines.append(command[0] if len(command) == 1 else "exec " + shlex.join(command))
    return ("\n".join(lines) + "\n").encode()


def qemu_command(args, kernel, ramdisk, out_dir, fds):
    append = "console=ttyS0 quiet panic=-1 oops=panic mitigations=off random.trust_cpu=on"
    cmd = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
           "-accel", "tcg,thread=single", "-cpu", "max", "-smp", str(args.smp), "-m", str(args.mem)]
    if args.icount:
        cmd += ["-icount", "shift=0,sleep=off"]
        append += " nokaslr norandmaps"  # the same code at the same place in every run
    cmd += ["-kernel", os.path.join(kernel, "vmlinuz"), "-initrd", ramdisk,
            "-append", f"{append} {args.append}".strip(),
            "-serial", "file:" + comma(os.path.join(out_dir, "console.log")),
            "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,"
            "multidevs=remap",
            "-virtfs", f"local,path={comma(out_dir)},mount_tag=out,security_model=none,"
            "multidevs=remap",
            "-device", "virtio-serial-pci"]
    for port, fd in zip(PORTS, fds):
        cmd += ["-chardev", f"socket,id={port},fd={fd}",
                "-device", f"virtserialport,chardev={port},name=clew.{port}"]
    return cmd + args.qemu


def comma(path):
    return path.replace(",", ",,")  # QEMU's own escape


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # run.py decides, after it has shown the output


class Session:
    """Feeds the guest's ports to where they belong, until it is off or the deadline is over."""

    def __init__(self, qemu, ends, timeout, guest):
        self.qemu, self.guest = qemu, guest
        self.start = time.monotonic()
        self.deadline = self.start + timeout
        self.control = b""
        self.open = selectors.DefaultSelector()
        for port, end in zip(PORTS, ends):
            self.open.register(end, selectors.EVENT_READ, port)

    def pump(self):
        while self.open.get_map():
            left = self.deadline - time.monotonic()
            if left <= 0:
                self.guest.timed_out = self.guest.status is None
                self.qemu.kill()
                left = 5  # what is still in the sockets
                self.deadline += 3600
            for key, _ in self.open.select(left):
                data = key.fileobj.recv(65536)
                if not data:
                    self.open.unregister(key.fileobj)
                else:
                    self.deliver(key.data, data)
        self.qemu.wait()
        self.guest.seconds = time.monotonic() - self.start

    def deliver(self, port, data):
        if port != "ctl":
            stream = sys.stdout if port == "out" else sys.stderr
            stream.buffer.write(data)
            stream.buffer.flush()
            return
        self.control += data
        *lines, self.control = self.control.split(b"\n")
        for line in lines:
            word, _, value = line.decode(errors="replace").partition(" ")
            if word == "ready":
                self.guest.uptime = float(value)
                self.guest.seconds_to_ready = time.monotonic() - self.start
            elif word == "exit":
                self.guest.status = int(value)
                self.deadline = min(self.deadline, time.monotonic() + POWEROFF_S)


def run_guest(args, out_dir, work):
    kernel = kernel_dir(args.kernel)
    ramdisk = os.path.join(work, "initramfs")
    script = guest_script(args.command, args.kernel, args.env)
    with open(ramdisk, "wb") as f:
        f.write(initramfs.build(kernel, args.module, [("run.sh", script)]))
    pairs = [socket.socketpair() for _ in PORTS]
    theirs = [b.fileno() for _, b in pairs]
    guest = Guest()
    with open(os.path.join(out_dir, "qemu.log"), "wb") as log, subprocess.Popen(
            qemu_command(args, kernel, ramdisk, out_dir, theirs), stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, pass_fds=theirs, preexec_fn=die_with_parent) as qemu:
        try:
            for _, b in pairs:
                b.close()
            Session(qemu, [a for a, _ in pairs], args.timeout, guest).pump()
        finally:
            if qemu.poll() is None:
                qemu.kill()
    return guest


def explain(guest, out_dir):
    """Why there is no exit status, for someone who has nothing but this output."""
    print("run.py: the guest " + ("ran into the deadline" if guest.timed_out else
                                  "ended without an exit status") + "; last lines of its console:",
          file=sys.stderr)
    for name in ("qemu.log", "console.log"):
        path = os.path.join(out_dir, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as f:
                for line in f.readlines()[-50:]:
                    print("  | " + line.rstrip(), file=sys.stderr)


def split(words):
    """The words before and after the first `--`; argparse cannot leave the latter alone."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at:at + 1], words[at + 1:]


def parse_args():
    parser = argparse.ArgumentParser(usage="run.py KERNEL [options] -- COMMAND...",
                                     description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kernel", help="5.10, 6.1, 6.12 or sid")
    parser.add_argument("--append", default="", metavar="ARGS", help="kernel arguments to add")
    parser.add_argument("--smp", type=int, default=2, metavar="N", help="processors (2)")
    parser.add_argument("--mem", type=int, default=2048, metavar="MB", help="memory (2048)")
    parser.add_argument("--icount", action="store_true", help="clock by instructions; --smp 1")
    parser.add_argument("--timeout", type=float, default=300, metavar="S", help="deadline (300)")
    parser.add_argument("--out", metavar="DIR", help="/out in the guest; console.log is put there")
    parser.add_argument("--env", action="append", default=[], metavar="NAME[=VALUE]")
    parser.add_argument("--module", action="append", default=[], metavar="NAME",
                        help="load this kernel module too")
    parser.add_argument("--qemu", action="append", default=[], metavar="ARG",
                        help="one more word for the emulator's command line")
    parser.add_argument("--quiet", action="store_true", help="no closing line with the times")
    mine, dashes, command = split(sys.argv[1:])
    args = parser.parse_args(mine)
    if not dashes or not command:
        parser.error("no command after --")
    args.command = command
    if args.icount:
        args.smp = 1
    return args


def main():
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if not shutil.which("qemu-system-x86_64"):
        print("run.py: qemu-system-x86_64 is missing: install qemu-system-x86", file=sys.stderr)
        return EXIT_BROKEN
    with tempfile.TemporaryDirectory(prefix="clew-vm-") as work:
        out_dir = os.path.abspath(args.out or os.path.join(work, "out"))
        os.makedirs(out_dir, exist_ok=True)
        try:
            guest = run_guest(args, out_dir, work)
        except (initramfs.Error, OSError, subprocess.CalledProcessError) as e:
            print(f"run.py: {e}", file=sys.stderr)
            return EXIT_BROKEN
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        if guest.status is None:
            explain(guest, out_dir)
            return EXIT_DEADLINE if guest.timed_out else EXIT_BROKEN
        if not args.quiet:
            print(f"vm {args.kernel}: ready after {guest.seconds_to_ready:.1f} s (guest uptime "
                  f"{guest.uptime:.1f} s), {guest.seconds:.1f} s in all, exit {guest.status}",
                  file=sys.stderr)
        return guest.status


if __name__ == "__main__":
    sys.exit(main())
