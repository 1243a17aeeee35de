#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test.sh - run the suites that fit CI one after the other, all of them even when one fails, and end
# with the line 'N passed, N failed, N skipped' over all. `make test` calls it.
set -uo pipefail
cd "$(dirname "$0")/.."
export B=${B:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 skipped=0

# suite NAME COMMAND...: its count is the sum of its 'N passed, N failed, N skipped' summaries.
suite() {
	local name=$1 code start=$SECONDS
	shift
	printf '== %s\n' "$name"
	"$@" 2>&1 | tee "$tmp/out"
	code=${PIPESTATUS[0]}
	# A runner repeats the counts of its files before its own: the last line is the suite's
	read -r p f s < <(awk -v sum="${SUM:-0}" '
		match($0, /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped/) {
			split($0, w, /[^0-9]+/)
			if (sum) { p += w[1]; f += w[2]; s += w[3] } else { p = w[1]; f = w[2]; s = w[3] }
		}
		END { print p + 0, f + 0, s + 0 }' "$tmp/out")
	if [ "$code" != 0 ] && [ "$f" = 0 ]; then
		f=1 # it broke before it could count
	fi
	printf '== %s: %s passed, %s failed, %s skipped (%s s)\n\n' "$name" "$p" "$f" "$s" \
		$((SECONDS - start))
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	if [ "$f" != 0 ]; then
		{ printf '\n== %s failed; its last lines:\n' "$name" && tail -n 80 "$tmp/out"; } >>"$tmp/bad"
	fi
}

j="-j$(nproc)"
suite build make --no-print-directory "$j" all apps
suite lint make --no-print-directory lint
suite unit make --no-print-directory "$j" check-unit
SUM=1 suite harness make --no-print-directory check-harness
suite fuzz make --no-print-directory "$j" fuzz-short
suite e2e make --no-print-directory check-e2e
suite faults make --no-print-directory check-faults FAULTS=short
SUM=1 suite truth make --no-print-directory check-truth-ci
SUM=1 suite vm make --no-print-directory check-vm-short
suite counted make --no-print-directory bench-counted-short
if [ -e "$tmp/bad" ]; then
	cat "$tmp/bad"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
