#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# lint.sh - what the tree promises about its own text: formatting, who may include whom, sizes,
# licence lines, and that it speaks of the project alone. Last line 'N passed, N failed, N skipped'.
set -uo pipefail
cd "$(dirname "$0")/.."
FORMAT=${CLANG_FORMAT:-clang-format-19}
MAX_FUNCTION=80
MAX_FILE=800
passed=0 failed=0 skipped=0

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	files=$(git ls-files --cached --others --exclude-standard)
else
	files=$(find . -path ./build -prune -o -type f -print | sed 's|^\./||')
fi
pick() { printf '%s\n' "$files" | grep -E "$1" | while read -r f; do [ -f "$f" ] && echo "$f"; done; }
c_files=$(pick '^(src|include|bpf|tests|vmlinux)/.*\.[ch]$')

# check NAME OUTPUT: empty output passes
check() {
	if [ -z "$2" ]; then
		passed=$((passed + 1))
		printf '%s: ok\n' "$1"
	else
		failed=$((failed + 1))
		printf '%s: FAIL\n%s\n' "$1" "$2" | head -n 40
	fi
}

if command -v "$FORMAT" >/dev/null; then
	check "clang-format" "$(pick '^(src|include|bpf|tests)/.*\.[ch]$' | xargs -r "$FORMAT" \
		--dry-run -ferror-limit=1 2>&1 | grep -E 'warning|error' | cut -d: -f1 | sort -u)"
else
	skipped=$((skipped + 1))
	echo "clang-format: skipped: no $FORMAT"
fi

# A stage, src/STAGE/, includes <clew/...>, its own folder and src/base/. src/*.c may see all stages'
# public headers, that is <clew/...> too.
check "include rule" "$(for f in $(pick '^src/[a-z0-9_]+/.*\.[ch]$'); do
	stage=$(echo "$f" | cut -d/ -f2)
	sed -n 's/^#include "\(.*\)".*/\1/p' "$f" | while read -r inc; do
		case "$inc" in
		base/* | "$stage"/* | clew.skel.h | otlp.pb-c.h) continue ;;
		*/*) echo "$f includes \"$inc\"" ;;
		*) [ -f "src/$stage/$inc" ] || [ "$stage" = base ] || echo "$f includes \"$inc\"" ;;
		esac
	done
	grep -nE '^#include .*\.c"' "$f" /dev/null
done)"
check "public headers stand alone" "$(for f in $(pick '^include/clew/.*\.h$'); do
	echo "#include <clew/$(basename "$f")>" |
		gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude -fsyntax-only -x c - 2>&1 | head -n 3
done)"
if command -v "${CLANG:=clang-19}" >/dev/null; then
	check "bpf/ compiles for arm64" "$(for f in $(pick '^bpf/.*\.bpf\.c$'); do
		"$CLANG" -target bpf -D__TARGET_ARCH_arm64 -DCLEW_OBJECT="$(basename "$f" .bpf.c)" -O2 -Wall \
			-Wno-unused-parameter -idirafter "/usr/include/$(gcc -print-multiarch)" -Iinclude -Ibpf \
			-Ivmlinux -fsyntax-only "$f" 2>&1 | grep -E 'error|warning' | head -n 3
	done)"
else
	skipped=$((skipped + 1))
	echo "bpf/ compiles for arm64: skipped: no $CLANG"
fi
check "function length <= $MAX_FUNCTION" "$(for f in $(printf '%s\n' $c_files | grep -v ^vmlinux/); do
	awk -v f="$f" -v max=$MAX_FUNCTION '
		/^[a-zA-Z_].*\)$/ || /^[a-zA-Z_].*,$/ || /^[a-zA-Z_].*\($/ {if (!s) s = NR}
		/^[;}]/ {if (/^}/ && b && NR - b > max) print f ":" (s ? s : b) ": " NR - b " lines"; b = s = 0}
		/^\{/ {b = NR}' "$f"
done)"
check "file length <= $MAX_FILE" "$(pick '^(src|include|bpf|tests|tools|web)/.*\.(c|h|py|sh|js|ts)$' |
	grep -v '^vmlinux/' | xargs -r wc -l | awk -v max=$MAX_FILE '$1 > max && $2 != "total"')"
check "licence line" "$(pick '^(src|include|bpf|tests)/.*\.([ch]|py|go)$' |
	while read -r f; do head -n 3 "$f" | grep -q SPDX-License-Identifier || echo "$f"; done |
	grep -v '/__init__.py$')"
check "a head that says what and why" "$(for f in $(pick '^(src|bpf)/.*\.c$'); do
	sed -n 2p "$f" | grep -q '^/[*]' || echo "$f"
done)"
# Split so that this file does not name what it looks for
check "no path or host of one machine" "$(pick '\.(c|h|py|sh|mk|md|yaml|yml|js|ts|go)$|Makefile$' |
	xargs -r grep -HnE '(^|[^]A-Za-z0-9_}"./*-])/(wor''k|far''m|roo''t|hom''e/[a-z]+)/|https?://[a-z0-9.-]*(mirr''or|registr''y|artifac''t)[a-z0-9.-]*' |
	head -n 10)"
check "no unfinished work" "$(pick '^(src|bpf|include|tools)/.*\.(c|h|sh|py)$' |
	xargs -r grep -HnwE 'TO''DO|FIX''ME|XX''X' | head -n 10)"
check "shell syntax" "$(for f in $(pick '\.sh$|^\.ci/run$'); do bash -n "$f" 2>&1; done)"
check "python syntax" "$(pick '\.py$' | xargs -r python3 -c '
import ast, sys
for f in sys.argv[1:]:
    try:
        ast.parse(open(f).read())
    except SyntaxError as e:
        print(f, e)')"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
