#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs inside a guest: is this a machine on which clew can be tested? One line per fact, "ok" or
# "FAIL" first; exit 1 if one failed.
#
#   smoke.sh FOLDER [KIND...]    FOLDER holds smoke and smoke.bpf.o; KINDs of hook that may fail
set -uo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin # a python3 behind a wrapper script takes seconds here
here=$1
shift
failed=0

check() { # description, command...
	local what=$1 log
	shift
	if log=$("$@" 2>&1); then
		echo "ok     $what"
	else
		echo "FAIL   $what"
		sed 's/^/       | /' <<< "$log" | tail -5
		failed=1
	fi
}

wait_for() { # deadline in seconds, command...: until it succeeds
	local end=$((SECONDS + $1))
	shift
	until "$@" > /dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

http_over_loopback() {
	local dir port server rc
	dir=$(mktemp -d) && echo "hello from $(uname -r)" > "$dir/hello"
	# The server picks a free port and says which.
	python3 -u -m http.server --bind 127.0.0.1 --directory "$dir" 0 > "$dir/log" 2>&1 &
	server=$!
	wait_for 60 grep -q 'port [0-9]' "$dir/log"
	port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$dir/log" | head -1)
	curl -sS --max-time 20 --noproxy '*' "http://127.0.0.1:$port/hello" | cmp - "$dir/hello"
	rc=$?
	kill $server
	wait $server 2> /dev/null
	return $rc
}

bpftool_fexit() {
	bpftool prog loadall "$here/smoke_fexit.bpf.o" /sys/fs/bpf/smoke autoattach &&
		bpftool prog show | grep 'name smoke_fexit' && bpftool link show | grep tracing
	local rc=$?
	rm -rf /sys/fs/bpf/smoke
	return $rc
}

writable_layer() {
	local probe=$PWD/vm-smoke.$$
	echo x > "$probe" && rm "$probe" && echo x > /tmp/vm-smoke.$$ && rm /tmp/vm-smoke.$$
}

echo "       kernel $(uname -r), $(nproc) processors, up $(cut -d' ' -f1 /proc/uptime) s"
check "kernel type information" test -s /sys/kernel/btf/vmlinux
check "bpf, tracefs and cgroup2 are mounted" bash -c '
	test -d /sys/fs/bpf && test -e /sys/kernel/tracing/available_events &&
	test -e /sys/fs/cgroup/cgroup.procs && grep -q " /sys/fs/bpf bpf " /proc/mounts'
check "the checkout is here, and a layer to write on" writable_layer
check "/out is the host's" bash -c 'echo "$(uname -r)" > /out/release'
check "bpftool prog show" bpftool prog show
check "fexit program attached by bpftool" bpftool_fexit
check "HTTP over loopback TCP" http_over_loopback
"$here/smoke" "$here/smoke.bpf.o" "$@" || failed=1
exit $failed
