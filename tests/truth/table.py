#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The published table of parents.

Usage: table.py CELLS.json...

CELLS.json is what run.py --json wrote; of a cell that is in several the last one counts. Writes
the whole table into docs/truth.md and its summary into README.md, each between the lines
`<!-- truth: ... -->` and `<!-- truth end -->`. A cell of no present row is an error: it is of an
older tree.
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path[:0] = [p for p in (HERE, os.path.join(HERE, "..", "e2e")) if p not in sys.path]
import kit  # noqa: E402

KNOWABLE = 0.5  # a case with at least this bar of recall is one whose parents can be known
PARTS = ("missing_spans", "duplicate_spans", "mixed_traces")
MARKS = re.compile(r"(<!-- truth: [^\n]*-->\n).*?(<!-- truth end -->)", re.S)


def by(cells, key):
    """{key(cell): its cells}, in their order."""
    got = {}
    for c in cells:
        got.setdefault(key(c), []).append(c)
    return got


def calls(cells):
    """[right, none, wrong] of all."""
    return [sum(c[k] for c in cells) for k in ("right", "none", "wrong")]


def links(cells, label):
    """right/wrong of all links with this label, in the process and across."""
    n = {v: sum(x.get(v, 0) for c in cells for name, x in c["links"].items()
                if name.endswith(" " + label)) for v in ("right", "wrong")}
    return f"{n['right']}/{n['wrong']}" if n["right"] + n["wrong"] else "-"


def text_of(cells):
    """One field: right/none/wrong, bold where a bar was missed."""
    if not cells:
        return "-"
    bold = "" if all(c["ok"] for c in cells) else "**"
    return bold + "/".join(map(str, calls(cells))) + bold


def line(*fields):
    return "| " + " | ".join(fields) + " |"


def head(*fields):
    return [line(*fields), "|---" * len(fields) + "|"]


def sums(cells):
    """Precision and what went with it, of all cells."""
    of = {label: [int(x) for x in links(cells, label).replace("-", "0/0").split("/")]
          for label in ("exact", "inferred")}
    parts = {k: sum(c.get(k, 0) for c in cells) for k in PARTS}
    said = [f"{n:,} {label} links, {wrong} wrong" for label, (n, wrong) in of.items()]
    total = sum(of["inferred"])
    if total:
        said[-1] += f" (precision {of['inferred'][0] / total:.5f})"
    failed = sum(not c["ok"] for c in cells)
    return (f"{len(cells):,} cells, {failed} of them missed a bar; " + "; ".join(said) +
            "; spans missing {}, twice {}, traces mixed {}.".format(*parts.values()))


def markdown(cells):
    """The whole table: a line for each case."""
    concs = sorted({c["conc"] for c in cells})
    out = [sums(cells), "", *head("Application", *(f"c={c}" for c in concs), "exact", "inferred")]
    for title, some in by(cells, lambda c: c["row"]).items():
        at = by(some, lambda c: c["conc"])
        out.append(line(title, *(text_of(at.get(c)) for c in concs), links(some, "exact"),
                        links(some, "inferred")))
    lost = [c for c in cells if any(c.get(k) for k in PARTS)]
    if lost:
        out += ["", "Cells with spans missing, twice, or of mixed traces:", ""]
        out += [f"- {c['row']}, c={c['conc']}: " + "/".join(str(c.get(k, 0)) for k in PARTS)
                for c in lost]
    return "\n".join(out) + "\n"


def summary(cells, rows):
    """A line for each application, the cases whose parents can be known apart from the others."""
    concs = sorted({c["conc"] for c in cells})
    out = head("Application", *(f"c={c}" for c in concs), "nothing leads to the request")
    for title, some in by(cells, lambda c: rows[c["row"]][0]).items():
        can = [c for c in some if rows[c["row"]][1] >= KNOWABLE]
        at = by(can, lambda c: c["conc"])
        rest = [c for c in some if c not in can]
        out.append(line(title, *(text_of(at.get(c)) for c in concs), text_of(rest)))
    return "\n".join(out) + "\n"


def put(path, text):
    """Replace what stands between the marks of a file."""
    with open(path, encoding="utf-8") as f:
        old = f.read()
    new, n = MARKS.subn(lambda m: m.group(1) + text + m.group(2), old)
    if n != 1:
        raise SystemExit(f"{path}: {n} places between '<!-- truth: ... -->' and "
                         "'<!-- truth end -->', expected one")
    with open(path, "w", encoding="utf-8") as f:
        f.write(new)


def main(paths):
    rows = {row.line(one): (row.title, one.recall) for row in kit.find() for one in row.cases}
    cells = {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            cells.update(((c["row"], c["conc"]), c) for c in json.load(f))
    old = sorted({row for row, _ in cells if row not in rows})
    if old or not cells:
        raise SystemExit(f"of no present row: {', '.join(old)}" if old else "no cell")
    order = list(rows)
    cells = sorted(cells.values(), key=lambda c: (order.index(c["row"]), c["conc"]))
    put(os.path.join(ROOT, "docs", "truth.md"), markdown(cells))
    put(os.path.join(ROOT, "README.md"), summary(cells, rows))
    print(sums(cells))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(sys.argv[1:])
