#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh - build the OpenTelemetry Collector that the end-to-end tests send to, once per list of
# components and Go version, and print the path of its binary. Two minutes cold. The Go caches of
# the build are thrown away: only the binary (41 MB) is kept, under the user's cache folder.
# Exit code 3: there is no Go that can build it.
set -euo pipefail

release=v0.161.0
cd "$(dirname "$0")"
command -v go >/dev/null || {
	echo "collector: no go on PATH" >&2
	exit 3
}
minor=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
[ "${minor:-0}" -ge 25 ] || {
	echo "collector: $(go env GOVERSION) is too old to build it" >&2
	exit 3
}
key=$({ cat components.yaml; go env GOVERSION GOARCH; } | sha256sum | cut -c1-12)
home=${CLEW_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/clew-tests}/collector-$key
if [ ! -x "$home/otelcol" ]; then
	tmp=$(mktemp -d)
	trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
	export GOMODCACHE="$tmp/mod" GOCACHE="$tmp/cache" GOBIN="$tmp/bin" CGO_ENABLED=0
	cp components.yaml "$tmp/"
	cd "$tmp"
	go install -trimpath go.opentelemetry.io/collector/cmd/builder@$release >&2
	bin/builder --config components.yaml >&2
	mkdir -p "$home"
	mv out/otelcol "$home/"
fi
echo "$home/otelcol"
