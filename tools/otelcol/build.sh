#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the test Collector described by builder.yaml and prints the path of its binary.
#
# The binary is kept in ${XDG_CACHE_HOME:-~/.cache}/clew-otelcol under a key made of builder.yaml,
# the Go version and the architecture, so a second call only prints. The Go caches (over a
# gigabyte) are thrown away. Two callers at once: the second waits for the first.
# Needs Go >= 1.21 (exit code 3 without it), which fetches the Go that the Collector wants where it
# is older itself, the Go module proxy and flock.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
command -v go >/dev/null || { echo "build.sh: go is not installed" >&2; exit 3; }
minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ "${minor:-0}" -lt 21 ]; then
	echo "build.sh: $(go env GOVERSION) is too old to build the Collector" >&2
	exit 3
fi
release=$(sed -n 's/^  version: *//p' "$here/builder.yaml")
store=${XDG_CACHE_HOME:-$HOME/.cache}/clew-otelcol
key=$({ cat "$here/builder.yaml"; go env GOVERSION GOARCH; } | sha256sum | cut -c1-12)
binary=$store/$key/clew-otelcol

mkdir -p "$store"
exec 9>"$store/lock"
flock 9
if [ ! -x "$binary" ]; then
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT INT TERM
	echo "build.sh: building the test Collector $release, once, about two minutes" >&2
	export GOPATH="$tmp/gopath" GOMODCACHE="$tmp/mod" GOCACHE="$tmp/cache" GOBIN="$tmp/bin" \
		GOFLAGS=-modcacherw CGO_ENABLED=0 GOTOOLCHAIN=auto
	cp "$here/builder.yaml" "$tmp/builder.yaml"
	(
		cd "$tmp"
		go install "go.opentelemetry.io/collector/cmd/builder@v$release"
		bin/builder --config=builder.yaml
	) >&2
	mkdir -p "$store/$key"
	cp "$tmp/out/clew-otelcol" "$binary.part"
	mv "$binary.part" "$binary"
fi
echo "$binary"
