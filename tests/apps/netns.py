# SPDX-License-Identifier: Apache-2.0
"""Bring the loopback interface of this network namespace up, then become the given command.

For tests in namespaces of their own: unshare --net ... python3 netns.py COMMAND ARGS...
"""
import fcntl
import os
import socket
import struct
import sys

SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 1, 0x40

with socket.socket() as s:
    fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))
os.execvp(sys.argv[1], sys.argv[1:])
