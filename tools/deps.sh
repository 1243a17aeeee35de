#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# deps.sh - install what is missing on Debian 12 or 13, and nothing else.
#
# Usage: tools/deps.sh [-n] [build] [demo] [test] [truth]     default: all; -n only says what is missing
# truth: runtimes of rows of the truth table that `make test` does not run
#
# When everything is there it asks dpkg once and ends. Debian 12's own libbpf is too old (1.1): the
# suite bookworm-backports is added, from the mirror that this machine already uses for bookworm.
# Installing starts no service: nginx and redis are run by the tests, on their own ports.
set -euo pipefail

LIBBPF_MIN=1.4
BUILD="gcc make pkg-config clang-19 llvm-19 libbpf-dev bpftool libelf-dev zlib1g-dev libprotobuf-c-dev
	protobuf-c-compiler protobuf-compiler libgrpc-dev libcurl4-openssl-dev libyaml-dev
	libjansson-dev libisal-dev libxxhash-dev libdw-dev uthash-dev"
DEMO="nginx-light python3 python3-fastapi python3-uvicorn python3-httpx python3-flask
	python3-requests golang-go"
TEST="libcmocka-dev clang-format-19 clang-tidy-19 libclang-rt-19-dev wrk redis-server redis-tools
	curl openssl nodejs qemu-system-x86 busybox-static zstd cpio procps patch"
TRUTH="ruby puma php-fpm php-curl haproxy"

say() { printf 'deps: %s\n' "$*"; }
die() {
	printf 'deps: %s\n' "$*" >&2
	exit 1
}

only_say=0
groups=""
for arg in "$@"; do
	case "$arg" in
	-n) only_say=1 ;;
	build | demo | test | truth) groups="$groups $arg" ;;
	*) die "$arg: not a group; use build, demo, test or truth" ;;
	esac
done
want=""
for group in ${groups:-build demo test truth}; do
	case "$group" in
	build) want="$want $BUILD" ;;
	demo) want="$want $DEMO" ;;
	test) want="$want $TEST" ;;
	truth) want="$want $TRUTH" ;;
	esac
done

# What another way of installing has already put on PATH is good enough.
there() {
	case "$1" in
	golang-go) go_is_new_enough ;;
	nodejs) command -v node >/dev/null ;;
	nginx-light) command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] ;;
	curl | openssl | wrk | make | gcc) command -v "$1" >/dev/null ;;
	*) return 1 ;;
	esac
}

# clew reads Go programs from 1.20 on.
go_is_new_enough() {
	local v
	command -v go >/dev/null || return 1
	v=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
	[ -n "$v" ] && [ "$v" -ge 20 ]
}

command -v dpkg-query >/dev/null || die "this is not Debian. Install by hand what these Debian 12/13 \
packages hold: $(echo $want)"

installed=$(dpkg-query -W -f '${db:Status-Abbrev}|${Package}|${Version}\n' 2>/dev/null | grep '^ii')
version_of() { printf '%s\n' "$installed" | awk -F'|' -v p="$1" '$2 == p {print $3; exit}'; }

missing=""
for package in $want; do
	have=$(version_of "$package")
	if [ "$package" = libbpf-dev ] && [ -n "$have" ]; then
		dpkg --compare-versions "${have#*:}" ge "$LIBBPF_MIN" && continue
		say "libbpf-dev $have is too old, $LIBBPF_MIN or newer is needed"
	elif [ -n "$have" ] && [ "$package" != golang-go ]; then
		continue
	elif there "$package"; then
		continue
	fi
	missing="$missing $package"
done
[ -n "$missing" ] || exit 0
say "missing:$missing"
[ "$only_say" = 0 ] || exit 1

# shellcheck source=/dev/null
. /etc/os-release
case "${ID:-} ${VERSION_ID:-}" in
"debian 12" | "debian 13") ;;
*) say "${PRETTY_NAME:-this system} is neither Debian 12 nor 13: trying its packages of these names" ;;
esac

root=""
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || die "run as root, or install sudo, to install:$missing"
	root="sudo"
	say "not root: using sudo"
fi
apt_get() {
	$root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=600 \
		-o Dpkg::Use-Pty=0 "$@"
}

# A package that is installed may not start its service; see invoke-rc.d(8).
policy=/usr/sbin/policy-rc.d
made_policy=0
cleanup() { [ "$made_policy" = 0 ] || $root rm -f "$policy"; }
trap cleanup EXIT
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
	$root chmod 755 "$policy"
	made_policy=1
fi

has_suite() { apt-get indextargets --format '$(RELEASE)' 'Created-By: Packages' | grep -qx "$1"; }

# Debian 12: libbpf, bpftool and Go come from backports, from the mirror that serves bookworm here.
add_backports() {
	local suite=bookworm-backports uri key=/usr/share/keyrings/debian-archive-keyring.gpg
	has_suite $suite && return 0
	uri=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk '$1 == "bookworm" && $2 == "main" {print $3; exit}')
	[ -n "$uri" ] || die "no apt source serves bookworm main, so there is no mirror to take \
$suite from; add that suite by hand"
	say "adding the suite $suite from $uri (/etc/apt/sources.list.d/clew-backports.sources)"
	{
		printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" $suite
		[ ! -e $key ] || printf 'Signed-By: %s\n' $key
	} | $root tee /etc/apt/sources.list.d/clew-backports.sources >/dev/null
	apt_get update
	has_suite $suite || die "$uri does not serve $suite"
}

apt_get update || say "apt-get update failed: going on with the package lists that are there"
from_backports=""
if [ "${ID:-} ${VERSION_ID:-}" = "debian 12" ]; then
	rest=""
	for package in $missing; do
		case "$package" in
		libbpf-dev | bpftool | golang-go) from_backports="$from_backports $package" ;;
		*) rest="$rest $package" ;;
		esac
	done
	missing=$rest
	[ -z "$from_backports" ] || add_backports
fi
# shellcheck disable=SC2086
{
	[ -z "$missing" ] || apt_get install --no-install-recommends $missing
	[ -z "$from_backports" ] ||
		apt_get install --no-install-recommends -t bookworm-backports $from_backports
}
if command -v systemctl >/dev/null; then # nor at the next boot
	case " $missing " in *" nginx-light "*) $root systemctl disable nginx >/dev/null 2>&1 || : ;; esac
	case " $missing " in *" redis-server "*) $root systemctl disable redis-server >/dev/null 2>&1 || : ;; esac
fi
say "done"
