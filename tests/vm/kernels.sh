#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fetch distribution kernels for the virtual machines of `make check-vm`.
#
#   kernels.sh [--refresh] [--list] NAME...      NAME: 5.10, 6.1, 6.12, sid, all
#
# For each name the newest generic linux-image-*-amd64 of a Debian suite is downloaded and
# unpacked (not installed) into ${XDG_CACHE_HOME:-~/.cache}/clew-kernels/NAME:
#
#   vmlinuz    the kernel image           modules    the folder with its modules
#   release    what `uname -r` will say   .complete  package and version; written last
#
# A line "NAME PACKAGE VERSION FOLDER" is printed for each. A kernel that is there already costs
# nothing and needs no network; --refresh looks for a newer one.
#
# The archive's address is taken from this machine's own apt sources (CLEW_DEBIAN_MIRROR and
# CLEW_DEBIAN_SECURITY_MIRROR override it). apt runs with sources, lists and cache of its own, so
# the state of the machine's package manager is neither read nor changed, no lock is shared with
# it, and no root is needed. Signatures are verified.
#
# The -cloud- flavour is of no use here: it has no 9p.
set -euo pipefail

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/clew-kernels
ALL="5.10 6.1 6.12 sid"

die() { echo "kernels.sh: $*" >&2; exit 1; }
usage() { sed -n '5,6s/^# *//p' "$0" >&2; exit 2; }

# NAME -> the suites to look in; the newest kernel among them wins.
suites() {
	case $1 in
	5.10) echo "bullseye bullseye-security" ;;
	6.1) echo "bookworm bookworm-security" ;;
	6.12) echo "bookworm-backports" ;;
	sid) echo "sid" ;;
	*) die "unknown kernel '$1' (known: $ALL)" ;;
	esac
}

# The addresses in the apt sources, as apt itself understands them: "URI SUITE" lines.
host_sources() {
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sort -u
}

# $1: main | security -> URI
mirror() {
	local uri
	if [ "$1" = security ]; then
		uri=${CLEW_DEBIAN_SECURITY_MIRROR:-$(host_sources |
			awk '$2 ~ /-security$/ {print $1; exit}')}
	else
		uri=${CLEW_DEBIAN_MIRROR:-$(host_sources | awk '
			$2 ~ /^(bullseye|bookworm|trixie|forky|sid|(old)*stable|testing|unstable)(-updates|-backports)?$/ \
			{print $1; exit}')}
	fi
	[ -n "$uri" ] || die "no Debian $1 archive among the apt sources;" \
		"set CLEW_DEBIAN_MIRROR and CLEW_DEBIAN_SECURITY_MIRROR"
	echo "$uri"
}

# An apt of our own in $W. Host names are left out of what it prints.
write_apt_config() {
	local opt="arch=amd64 check-valid-until=no" ring=/usr/share/keyrings/debian-archive-keyring.gpg
	local s uri
	[ ! -r $ring ] || opt="$opt signed-by=$ring"
	mkdir -p "$W"/{lists/partial,cache/archives/partial,debs}
	: > "$W/status"
	for s in $(suites "$1"); do
		case $s in
		*-security) uri=$(mirror security) ;;
		*) uri=$(mirror main) ;;
		esac
		echo "deb [$opt] $uri $s main"
	done > "$W/sources.list"
	cat > "$W/apt.conf" <<-EOF
	Dir::Etc::sourcelist "$W/sources.list";
	Dir::Etc::sourceparts "/dev/null";
	Dir::Etc::preferences "/dev/null";
	Dir::Etc::preferencesparts "/dev/null";
	Dir::State "$W";
	Dir::State::lists "$W/lists";
	Dir::State::status "$W/status";
	Dir::Cache "$W/cache";
	APT::Architecture "amd64";
	APT::Sandbox::User "";
	Acquire::Languages "none";
	Acquire::Retries "3";
	APT::Update::Error-Mode "any";
	EOF
}

quiet_apt() {
	if ! APT_CONFIG=$W/apt.conf apt-get -qq "$@" > "$W/log" 2>&1; then
		sed 's#[a-z+]*://[^ /]*#(mirror)#g' "$W/log" | tail -5 >&2
		return 1
	fi
}

field() {
	APT_CONFIG=$W/apt.conf apt-cache show --no-all-versions "$1" | sed -n "s/^$2: //p" | head -1
}
depends() {
	field "$1" Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/ //g' | grep . || true
}

unpack() { # packages in $W/debs -> $W/root, in the layout promised above
	local deb moddir image
	mkdir "$W/root"
	for deb in "$W"/debs/*.deb; do
		dpkg -x "$deb" "$W/root"
	done
	moddir=$(ls -d "$W"/root/lib/modules/* "$W"/root/usr/lib/modules/* 2>/dev/null | head -1) || true
	[ -n "$moddir" ] || die "no modules in the packages of $1"
	image=$(ls "$W"/root/boot/vmlinuz-* "$moddir"/vmlinuz 2>/dev/null | head -1) || true
	[ -n "$image" ] || die "no kernel image in the packages of $1"
	ln -s "${image#"$W"/root/}" "$W/root/vmlinuz"
	ln -s "${moddir#"$W"/root/}" "$W/root/modules"
	basename "$moddir" > "$W/root/release"
}

fetch() {
	local name=$1 dir=$CACHE/$1 image version dep
	W=$(mktemp -d "$CACHE/.new-$name-XXXXXX")
	trap 'rm -rf "$W"' EXIT
	write_apt_config "$name"
	quiet_apt update || die "cannot read the package lists for $name"
	image=$(depends linux-image-amd64 | grep -E '^linux-image-[0-9].*-amd64$' | head -1) || true
	[ -n "$image" ] || die "no kernel in the suites for $name"
	case $image in
	linux-image-"$name".*-amd64 | linux-image-"$name"-*-amd64) ;;
	*) [ "$name" = sid ] || die "the suites for $name now carry $image" ;;
	esac
	version=$(field "$image" Version)
	if [ "$(cat "$dir/.complete" 2>/dev/null)" != "$image $version" ]; then
		# Newer kernels are split in packages: the image in one, the modules in another.
		for dep in "$image" $(depends "$image" | grep -E '^linux-(binary|modules|image)-' || true); do
			(cd "$W/debs" && quiet_apt download "$dep") || die "cannot download $dep"
		done
		unpack "$name"
		echo "$image $version" > "$W/root/.complete"
		rm -rf "$dir"
		mv "$W/root" "$dir"
	fi
	rm -rf "$W"
	trap - EXIT
}

main() {
	local refresh= names= name
	for name; do
		case $name in
		--refresh) refresh=1 ;;
		--list) echo "$ALL"; return ;;
		-*) usage ;;
		all) names="$names $ALL" ;;
		*) suites "$name" > /dev/null; names="$names $name" ;;
		esac
	done
	[ -n "$names" ] || usage
	mkdir -p "$CACHE"
	for name in $names; do
		(
			flock 9 # two runs at once: the second finds the work done
			if [ -n "$refresh" ] || [ ! -e "$CACHE/$name/.complete" ]; then
				fetch "$name"
			fi
			echo "$name $(cat "$CACHE/$name/.complete") $CACHE/$name"
		) 9> "$CACHE/.lock-$name"
	done
}

main "$@"
