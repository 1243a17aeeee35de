#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The first process of a test guest, run by busybox twice: as /init it finds the host's files and
# makes them the root; there, called with "main", it completes the machine, runs the command that
# run.py left in run.sh, reports its exit status and switches the machine off.
#
# The root is the host's, read-only, under a layer in memory: programs, libraries and the checkout
# are found where they are on the host, and whatever the command writes is gone with the guest.
# Only /out is the host's own folder. Output goes through virtio ports, not the serial line: that
# one is slow and belongs to the kernel's messages.

say() { echo "guest: $*" > /dev/console; }
fail() { say "$*"; poweroff -f; }

# Files of the guest itself: a root-only place of a fresh /run.
HOME_DIR=/run/clew-vm

init() {
	export PATH=/bin
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs devtmpfs /dev
	for m in $(cat /modules/order); do
		insmod "/modules/$m.ko" || say "cannot load module $m"
	done
	mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /low ||
		fail "cannot mount the host's root"
	mount -t tmpfs -o size=75% tmpfs /up
	mkdir /up/data /up/work
	mount -t overlay -o lowerdir=/low,upperdir=/up/data,workdir=/up/work overlay /new ||
		fail "cannot mount the overlay"
	mkdir -p /new/proc /new/sys /new/dev /new/run /new/out
	mount -t tmpfs -o mode=755 tmpfs /new/run
	mkdir "/new$HOME_DIR"
	cp /bin/busybox /init /run.sh "/new$HOME_DIR/"
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out /new/out ||
		fail "cannot mount the output folder"
	mount --move /proc /new/proc
	mount --move /sys /new/sys
	mount --move /dev /new/dev
	exec switch_root /new "$HOME_DIR/busybox" sh "$HOME_DIR/init" main
}

# Optional pieces: a kernel may lack one, and the test that needs it will say so.
try_mount() { # type target [options]
	$bb mkdir -p "$2" 2> /dev/null
	$bb mount -t "$1" -o "${3:-rw}" "$1" "$2" || say "no $1"
}

# The device of a virtio port, which appears a moment after its driver.
port() {
	tries=200
	while [ $tries -gt 0 ]; do
		for p in /sys/class/virtio-ports/*; do
			if [ "$($bb cat "$p/name" 2> /dev/null)" = "$1" ] && [ -e "/dev/${p##*/}" ]; then
				echo "/dev/${p##*/}"
				return
			fi
		done
		$bb sleep 0.05
		tries=$((tries - 1))
	done
	say "no port $1"
}

main() {
	bb=$HOME_DIR/busybox
	try_mount devpts /dev/pts gid=5,mode=620,ptmxmode=666
	try_mount tmpfs /dev/shm mode=1777
	for link in fd: stdin:/0 stdout:/1 stderr:/2; do
		$bb ln -sf "/proc/self/fd${link#*:}" "/dev/${link%%:*}"
	done
	try_mount cgroup2 /sys/fs/cgroup
	try_mount bpf /sys/fs/bpf
	try_mount tracefs /sys/kernel/tracing
	try_mount debugfs /sys/kernel/debug
	$bb hostname clew-vm
	$bb ifconfig lo 127.0.0.1 netmask 255.0.0.0 up || say "no loopback interface"
	$bb mkdir -p /run/lock /run/user
	ulimit -n 65536

	out=$(port clew.out)
	err=$(port clew.err)
	exec 3> "$(port clew.ctl)"
	echo "ready $($bb cut -d' ' -f1 /proc/uptime)" >&3
	# A session of its own; fd 3 stays ours, so that a left-over process cannot hold it.
	$bb setsid $bb sh "$HOME_DIR/run.sh" < /dev/null > "$out" 2> "$err" 3>&-
	echo "exit $?" >&3
	$bb poweroff -f
}

if [ "$1" = main ]; then
	main
else
	init
fi
