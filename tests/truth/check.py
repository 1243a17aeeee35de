#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare clew's spans with the truth.

  check.py --spans FILE --records FILE [--pids n=12+13,f=14,...] [--ends l] [--traced nfwgl]
           [--behind a=b,b=l] [--ledger FILE] [--json OUT] [--min-recall 0.99]

spans: OTLP/JSON lines; records: what the load generator saw, one JSON object a line. The truth is
tests/truth/shapes.py: which exchanges each request causes, and who causes whom. Every exchange has
two sides, a client span and a server span, and so two kinds of links: in the process (server ->
client) and across (client -> server). Each is right, none (no parent), wrong, or missing (its span
is not there). Prints a table; exit code 1 when a bar is missed.
"""
import argparse
import json
import os
import sys
from collections import Counter, defaultdict

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import shapes  # noqa: E402
from harness import otlp  # noqa: E402

NAMES = {"n": "nginx", "p": "haproxy", "f": "fastapi", "w": "flask", "g": "go", "l": "leaf",
         **{c: c for c in shapes.ROW_SERVICES}}
ORDER = "np" + shapes.ROW_SERVICES + "fwgl"
ALL = "".join(NAMES)
RESULTS = ("right", "none", "wrong", "missing")
EXAMPLES = 8


class Report:
    def __init__(self):
        self.inproc = defaultdict(Counter)  # by the service that causes
        self.across = defaultdict(Counter)  # by the service that is called
        self.links = defaultdict(Counter)  # right/wrong by where it points and clew.link
        self.evidence = defaultdict(Counter)  # right/wrong by clew.link.evidence
        self.n = Counter()
        self.examples = defaultdict(list)
        self.bars = []  # (name, figure, bar, ok)
        self.off_ms = []

    def bad(self, what, text, n=1):
        self.n[what] += n
        if len(self.examples[what]) < EXAMPLES:
            self.examples[what].append(text)

    def bar(self, name, figure, bar, ok):
        self.bars.append((name, figure, bar, bool(ok)))

    @property
    def ok(self):
        return all(b[3] for b in self.bars)

    def total(self, table):
        return sum(table.values(), Counter())

    def recall(self, counter):
        n = sum(counter.values())
        return counter["right"] / n if n else 1.0

    def judged(self, where, span, verdict):
        """A link that was claimed: exact and inferred ones are counted apart."""
        if verdict in ("right", "wrong"):
            self.links[f"{where} {span.link}"][verdict] += 1
            self.evidence[str(span.attrs.get("clew.link.evidence"))][verdict] += 1

    def to_json(self):
        return {"ok": self.ok, "counts": dict(self.n),
                "in_process": {NAMES[k]: dict(v) for k, v in self.inproc.items()},
                "across": {NAMES[k]: dict(v) for k, v in self.across.items()},
                "links": {k: dict(v) for k, v in self.links.items()},
                "evidence": {k: dict(v) for k, v in self.evidence.items()},
                "examples": dict(self.examples),
                "bars": [{"name": n, "figure": f, "bar": b, "ok": o} for n, f, b, o in self.bars]}

    def table(self, out=sys.stdout):
        print(f"{'link':24} {'right':>7} {'none':>7} {'wrong':>7} {'missing':>7} {'recall':>7}",
              file=out)
        for title, rows in (("in", self.inproc), ("to", self.across)):
            for svc in sorted(rows, key=ORDER.index):
                c = rows[svc]
                print(f"{title + ' ' + NAMES[svc]:24} " +
                      " ".join(f"{c[r]:7}" for r in RESULTS) + f" {self.recall(c):7.4f}", file=out)
        for name, c in sorted({**self.links, **self.evidence}.items()):
            n = c["right"] + c["wrong"]
            print(f"{name:24} {c['right']:7} {'':7} {c['wrong']:7} {'':7} precision "
                  f"{c['right'] / n:.4f}", file=out)
        for name, figure, bar, ok in self.bars:
            print(f"{'ok  ' if ok else 'FAIL'} {name}: {figure} ({bar})", file=out)
            if not ok:
                for text in self.examples.get(name, []):
                    print(f"       {text}", file=out)


def load_records(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def index(report, spans, ignore):
    """Sort spans by (kind, path); count what cannot be: ids twice, paths nobody asked for."""
    by_key, by_id, noise = defaultdict(list), {}, []
    for s in spans:
        if s.path in ignore:
            continue
        report.n["spans"] += 1
        if s.span_id in by_id:
            report.bad("span ids given twice", f"{s.span_id} {s.name} {s.path}")
        by_id[s.span_id] = s
        what = shapes.of_path(s.path)
        if what and what[2] == shapes.NOISE_ID:
            noise.append(s)
        elif what and s.kind in (otlp.SERVER, otlp.CLIENT):
            by_key[s.kind, s.path].append(s)
        else:
            report.bad("foreign spans", f"kind {s.kind} {s.method} {s.path!r}")
    return by_key, by_id, noise


def sides(report, by_key, roots, traced):
    """Find both spans of every exchange that the truth knows."""
    found = {}
    expected = set()
    for root in roots:
        for x in root.walk():
            for kind, owner in ((otlp.SERVER, x.service),
                                (otlp.CLIENT, x.parent.service if x.parent else "")):
                if not owner or owner not in traced:
                    continue
                key = (kind, x.path)
                expected.add(key)
                report.n["expected spans"] += 1
                have = by_key.get(key, [])
                if not have:
                    report.bad("missing spans", f"{'server' if kind == 2 else 'client'} {x.path}")
                    continue
                if len(have) > 1:
                    report.bad("duplicate spans", f"{len(have)} x kind {kind} {x.path}",
                               len(have) - 1)
                found[key] = have[0]
    for key in by_key:
        if key not in expected:
            report.bad("unexpected spans", f"kind {key[0]} {key[1]}", len(by_key[key]))
    return found


def judge(span, parent, by_id):
    """How is this span's parent link, when `parent` is the true one (None: not exported)?"""
    if span is None:
        return "missing"
    if not span.parent:
        return "none"
    if parent is None:
        return "wrong" if span.parent in by_id else "missing"
    right = span.parent == parent.span_id and span.trace_id == parent.trace_id
    return "right" if right else "wrong"


def check_links(report, found, roots, traced, by_id):
    for root in roots:
        whole = True
        for x in root.walk():
            server = found.get((otlp.SERVER, x.path))
            if x.parent is None:
                if server is not None and server.parent:
                    report.bad("roots with a parent", f"{x.path} parent {server.parent}")
                whole &= server is not None
                continue
            client = found.get((otlp.CLIENT, x.path))
            if x.parent.service in traced:
                v = judge(client, found.get((otlp.SERVER, x.parent.path)), by_id)
                report.inproc[x.parent.service][v] += 1
                whole &= v == "right"
                report.judged("in process", client, v)
                if v in ("wrong", "none"):
                    report.bad(f"{v} parents in a process", f"client {x.path} link {client.link}"
                               f" {client.attrs.get('clew.link.evidence', '')}")
                if v == "right" and client.link not in ("exact", "inferred"):
                    report.bad("links without a label", f"client {x.path} {client.link}")
            if x.parent.service in traced and x.service in traced:
                v = judge(server, client, by_id)
                report.across[x.service][v] += 1
                whole &= v == "right"
                report.judged("across", server, v)
                if v in ("wrong", "none"):
                    report.bad(f"{v} parents across", f"server {x.path} link {server.link}")
        report.n["requests"] += 1
        report.n["whole traces"] += whole


def check_traces(report, spans, by_id, noise):
    ids = defaultdict(set)
    for s in spans:
        what = shapes.of_path(s.path)
        if what:
            ids[s.trace_id].add(what[2])
        if s.parent and s.parent not in by_id:
            report.bad("parents that are not there", f"kind {s.kind} {s.path} -> {s.parent}")
    for trace, have in ids.items():
        if len(have) > 1:
            report.bad("mixed traces", f"{trace}: requests {sorted(have)[:6]}")
    for s in noise:
        report.n["background spans"] += 1
        report.n["background roots"] += not s.parent
        parent = by_id.get(s.parent)
        if parent is None:
            continue
        if s.kind == otlp.SERVER:  # joined to the call that it answers, or to nothing
            fits = parent.path == s.path
        else:  # a service may call on for a background call; a `noise` call itself is nobody's
            fits = shapes.of_path(s.path)[1] != "noise" and \
                (shapes.of_path(parent.path) or (0, 0, 1))[2] == shapes.NOISE_ID
        if not fits:
            report.bad("background calls with a parent",
                       f"kind {s.kind} {s.path} -> {s.parent} link {s.link}")


def expected_status(kind, code):
    return otlp.ERROR if not code or code >= 500 or (code >= 400 and kind == otlp.CLIENT) else otlp.UNSET


def check_attrs(report, found, roots, pids, answers):
    for root in roots:
        for x in root.walk():
            pair = {k: found.get((k, x.path)) for k in (otlp.SERVER, otlp.CLIENT)}
            if x.parent is None:
                resp = answers[x.path]["resp_body"]
            else:
                server = pair[otlp.SERVER]
                resp = server.attrs.get("http.response.body.size", 0) if server else None
            for kind, s in pair.items():
                if s is None:
                    continue
                owner = x.service if kind == otlp.SERVER else x.parent.service
                check_one(report, x, kind, s, resp, pids.get(owner))


def check_one(report, x, kind, s, resp, pids):
    where = f"{'server' if kind == otlp.SERVER else 'client'} {x.path}"
    want = {"method": (s.method, x.method), "status": (s.http_status or 0, x.status),
            "request body size": (s.attrs.get("http.request.body.size", 0), x.req_body),
            "span status": (s.status, expected_status(kind, x.status)),
            "error.type": (s.attrs.get("error.type"),
                           str(x.status or "no_response") if expected_status(kind, x.status)
                           else None),
            "name": (s.name.split(" ")[0], x.method)}
    if resp is not None and x.status:
        want["response body size"] = (s.attrs.get("http.response.body.size", 0), resp)
    for what, (got, right) in want.items():
        if got != right:
            report.bad("wrong attributes", f"{where}: {what} {got!r}, not {right!r}")
    if str(x.id) in s.name:
        report.bad("wrong attributes", f"{where}: raw path in the name {s.name!r}")
    if (s.attrs.get("clew.complete") is False) != (x.status == 0):
        report.bad("incomplete spans", where)
    if pids and s.pid not in pids:
        report.bad("wrong attributes", f"{where}: pid {s.pid}, not of {sorted(pids)}")


ROOM_NS = {otlp.CLIENT: 1_000_000, otlp.SERVER: 1_000_000_000}


def check_unanswered(report, found, roots):
    """What is never answered ends with its connection, and so before whom it was called by; for
    the one who was asked when it hears of that, which a busy machine puts off."""
    for x in (x for root in roots for x in root.walk() if x.status == 0):
        over = found.get((otlp.SERVER, x.parent.path))
        for kind in (otlp.SERVER, otlp.CLIENT):
            s = found.get((kind, x.path))
            if s and over and s.end > over.end + ROOM_NS[kind]:
                report.bad("unanswered calls too long", f"kind {kind} {x.path}: {s.ms:.1f} ms, "
                           f"{(s.end - over.end) / 1e6:.1f} ms behind its caller's answer")


def check_durations(report, found, records, slack_ms):
    for r in records:
        s = found.get((otlp.SERVER, r["path"]))
        if s is None:
            continue
        client = (r["end"] - r["start"]) / 1e6
        room = max(slack_ms, client * 0.05)
        report.n["durations"] += 1
        report.off_ms.append(client - s.ms)
        if abs(client - s.ms) > room:
            report.bad("durations off", f"{r['path']}: span {s.ms:.3f} ms, client {client:.3f} ms")


def check(spans, records, pids=None, ends=("l",), traced=ALL, min_recall=0.99,
          min_durations=0.99, ignore=("/ready",), min_inproc=None, behind=None, slack_ms=1):
    """Compare; `records` are the load generator's, slack_ms is what the client itself may take
    beside each request. Returns a Report with its bars filled in."""
    report = Report()
    report.n["failed requests"] = sum("error" in r for r in records)
    good = [r for r in records if "error" not in r]
    answers = {r["path"]: r for r in good}
    roots = []
    for r in good:
        service, shape, i, _ = shapes.of_path(r["path"])
        roots.append(shapes.tree(service, shape, i, ends, behind))
        if roots[-1].status != r["status"]:
            report.bad("unexpected answers", f"{r['path']}: {r['status']}")
    by_key, by_id, noise = index(report, spans, ignore)
    found = sides(report, by_key, roots, traced)
    check_links(report, found, roots, traced, by_id)
    check_traces(report, [s for s in spans if s.path not in ignore], by_id, noise)
    check_attrs(report, found, roots, pids or {}, answers)
    check_unanswered(report, found, roots)
    check_durations(report, found, good, slack_ms)
    set_bars(report, min_recall, min_inproc or {}, min_durations, slack_ms)
    return report


def set_bars(report, min_recall, min_inproc, min_durations, slack_ms):
    report.bar("requests", report.n["requests"], "> 0", report.n["requests"])
    for what in ("failed requests", "unexpected answers", "missing spans", "duplicate spans",
                 "span ids given twice", "unexpected spans", "foreign spans",
                 "wrong parents in a process", "wrong parents across", "roots with a parent",
                 "parents that are not there", "mixed traces", "background calls with a parent",
                 "links without a label", "wrong attributes", "incomplete spans", "unanswered calls too long"):
        report.bar(what, report.n[what], "0", report.n[what] == 0)
    for title, rows in (("recall in", report.inproc), ("recall to", report.across)):
        for svc, c in rows.items():
            bar = min_inproc.get(svc, min_recall) if title == "recall in" else min_recall
            got = report.recall(c)
            report.bar(f"{title} {NAMES[svc]}", f"{got:.4f}", f">= {bar}", got >= bar)
    n = report.n["durations"]
    share = 1 - report.n["durations off"] / n if n else 0.0
    report.bar("durations off", f"{share:.4f} within max({slack_ms:g} ms, 5 %) of the client's",
               f">= {min_durations}", share >= min_durations)


def check_ledger(report, ledger, spans=None):
    """The account of the run: every `seen` is the sum of what follows, and nothing was lost."""
    for name in ("events", "exchanges"):
        part = ledger[name]
        out = sum(part["dropped"].values()) + part.get("used", part.get("spans", 0))
        report.bar(f"ledger {name}", f"{part['seen']} seen, {out} accounted for", "equal",
                   part["seen"] == out)
    built = ledger["spans"]["built"]
    for exporter, n in ledger["spans"]["exported"].items():
        out = n + sum(ledger["spans"]["dropped"].get(exporter, {}).values())
        out += ledger["spans"]["sampled_out"]
        report.bar(f"ledger {exporter}", f"{built} built, {out} accounted for", "equal",
                   built == out)
        if spans is not None and exporter.startswith("file"):
            report.bar("spans in the file", f"{len(spans)}, ledger {n}", "equal", len(spans) == n)
    report.bar("ledger", "balanced" if ledger["balanced"] else "NOT BALANCED", "balanced",
               ledger["balanced"] is True)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--spans", required=True)
    ap.add_argument("--records", required=True, action="append")
    ap.add_argument("--pids", default="")
    ap.add_argument("--ends", default="l")
    ap.add_argument("--behind", default="")
    ap.add_argument("--traced", default=ALL)
    ap.add_argument("--ledger")
    ap.add_argument("--json")
    ap.add_argument("--min-recall", type=float, default=0.99)
    ap.add_argument("--min-durations", type=float, default=0.99)
    a = ap.parse_args()
    pids = {k: {int(p) for p in v.split("+")}
            for k, v in (e.split("=") for e in a.pids.split(",") if e)}
    spans = otlp.read(a.spans)
    records = [r for path in a.records for r in load_records(path)]
    report = check(spans, records, pids, tuple(a.ends), a.traced, a.min_recall, a.min_durations,
                   behind=dict(e.split("=") for e in a.behind.split(",") if e))
    if a.ledger:
        with open(a.ledger) as f:
            check_ledger(report, json.load(f), spans)
    report.table()
    if a.json:
        with open(a.json, "w") as f:
            json.dump(report.to_json(), f, indent=1)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
