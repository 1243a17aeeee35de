#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checker must pass a perfect export and fail every kind of broken one, by the right name.

Run: python3 tests/truth/test_check.py    Last line 'N passed, N failed, N skipped'.
"""
import copy
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import check  # noqa: E402
import synth  # noqa: E402
import table  # noqa: E402
from harness import otlp  # noqa: E402

SHAPES = ["one", "seq", "gather", "post", "err", "slow"]
C, S = otlp.CLIENT, otlp.SERVER


def verdict(change, recs=None, **kw):
    recs = recs or synth.records("n", SHAPES)
    export = synth.Export(recs)
    if change:
        change(export)
    return check.check(export.parsed(), recs, synth.PIDS, **kw)


def fails(change, *bars):
    report = verdict(change)
    missed = {b[0] for b in report.bars if not b[3]}
    assert set(bars) <= missed, f"missed bars {missed}, wanted {bars}"
    assert not report.ok


def test_perfect():
    report = verdict(None)
    assert report.ok, [b for b in report.bars if not b[3]]
    assert report.n["whole traces"] == len(SHAPES)
    assert report.total(report.inproc)["right"] == report.total(report.across)["right"] == 29


def test_orphaned():
    def change(e):
        for _, s in e.spans:
            if s["kind"] == C:
                s.pop("parentSpanId", None)
    fails(change, "recall in nginx", "recall in fastapi", "recall in flask", "recall in go")


def test_one_orphan_in_many_is_within_the_bar():
    recs = synth.records("n", ["one"] * 200)
    report = verdict(lambda e: e.find(C, "/g/one/7/0").pop("parentSpanId"), recs)
    assert report.ok and report.inproc["f"]["none"] == 1


def test_wrong_parent():
    def change(e):
        a, b = e.find(C, "/g/one/1/0"), e.find(S, "/f/seq/2")
        a["parentSpanId"] = b["spanId"]
    fails(change, "wrong parents in a process")


def test_wrong_parent_other_call_of_the_same_request():
    def change(e):
        a, b = e.find(C, "/l/one/2/0-0-0"), e.find(S, "/g/one/2/1")
        a["parentSpanId"] = b["spanId"]
        a["traceId"] = b["traceId"]
    fails(change, "wrong parents in a process")


def test_wrong_across():
    def change(e):
        e.find(S, "/g/one/2/1")["parentSpanId"] = e.find(C, "/g/one/1/0")["spanId"]
    fails(change, "wrong parents across")


def test_right_parent_in_a_foreign_trace():
    def change(e):
        e.find(S, "/g/one/2/1")["traceId"] = "f" * 32
    fails(change, "wrong parents across")


def test_missing():
    fails(lambda e: e.drop(e.find(S, "/w/one/2/0")), "missing spans", "parents that are not there")


def test_missing_first():
    fails(lambda e: e.drop(e.find(S, "/n/one/1")), "missing spans")


def test_same_span_twice():
    fails(lambda e: e.spans.append(e.spans[5]), "span ids given twice", "duplicate spans")


def test_two_spans_for_one_exchange():
    def change(e):
        pid, span = e.spans[5]
        e.spans.append((pid, dict(copy.deepcopy(span), spanId="abcdef0123456789")))
    fails(change, "duplicate spans")


def test_mixed():
    def change(e):
        for _, s in e.spans:
            if s["traceId"] == f"{2:032x}":
                s["traceId"] = f"{1:032x}"
    fails(change, "mixed traces")


def test_root_with_a_parent():
    def change(e):
        e.find(S, "/n/one/1")["parentSpanId"] = e.find(C, "/f/seq/2")["spanId"]
    fails(change, "roots with a parent")


def test_background_adopted():
    def change(e):
        span = copy.deepcopy(e.find(C, "/g/one/1/0"))
        span["attributes"]["url.full"] = "http://127.0.0.1:1/g/noise/0/0"
        span["spanId"] = "abcdef0123456789"
        e.spans.append((200, span))
    fails(change, "background calls with a parent", "mixed traces")


def test_background_roots_are_fine():
    def change(e):
        client, server = (copy.deepcopy(e.find(k, "/g/one/1/0")) for k in (C, S))
        client["attributes"]["url.full"] = "http://127.0.0.1:1/g/noise/0/0"
        server["attributes"]["url.path"] = "/g/noise/0/0"
        client["traceId"] = server["traceId"] = "e" * 32
        client["spanId"], server["spanId"] = "abcdef0123456789", "abcdef0123456780"
        client.pop("parentSpanId")
        server["parentSpanId"] = client["spanId"]
        e.spans += [(200, client), (400, server)]
    assert verdict(change).ok


def noise_below(kind, parent_path, shape="noise"):
    """A background call whose parent is the span of `parent_path`."""
    def change(e):
        span, above = copy.deepcopy(e.find(C, "/g/one/1/0")), e.find(S, parent_path)
        span["attributes"]["url.full"] = f"http://127.0.0.1:1/g/{shape}/0/7"
        span.update(spanId="abcdef0123456789", parentSpanId=above["spanId"],
                    traceId=above["traceId"], kind=kind)
        e.spans.append((200, span))
    return change


def test_background_call_of_a_service_below():
    fails(noise_below(C, "/f/one/1", "one"), "background calls with a parent")


def row(shape_names, change=None, behind=synth.CHAIN):
    recs = synth.records("a", shape_names, behind=behind)
    export = synth.Export(recs, behind=behind)
    if change:
        change(export)
    return check.check(export.parsed(), recs, synth.PIDS, behind=behind)


def test_rows():
    """the shapes of rows: chains, fan-out, failures"""
    report = row(["one", "seq", "fan", "post", "none", "after", "err"])
    assert report.ok, [b for b in report.bars if not b[3]]
    assert report.inproc["a"]["right"] == 1 + 3 + 4 + 1 + 0 + 1 + 1
    assert report.links["in process exact"]["right"] == 2 * report.inproc["a"]["right"]
    report = row(["timeout", "abort", "one"], behind={"a": "l"})
    assert report.ok, [b for b in report.bars if not b[3]]


def missed(report):
    return {b[0] for b in report.bars if not b[3]}


def test_rows_broken():
    def cross(e):
        a, b = e.find(C, "/b/one/1/0"), e.find(C, "/b/one/2/0")
        a["parentSpanId"], b["parentSpanId"] = b["parentSpanId"], a["parentSpanId"]
    assert "wrong parents in a process" in missed(row(["flush", "flush"], cross))

    def answered(e):
        e.find(C, "/l/hang/1/0")["attributes"]["http.response.status_code"] = 200
    assert "wrong attributes" in missed(row(["timeout"], answered, {"a": "l"}))

    def complete(e):
        e.find(C, "/l/hang/1/0")["attributes"]["clew.complete"] = True
    assert "incomplete spans" in missed(row(["timeout"], complete, {"a": "l"}))

    def too_long(e):
        s = e.find(C, "/l/abort/1/0")
        s["endTimeUnixNano"] = str(int(s["endTimeUnixNano"]) + 50_000_000)
    assert "unanswered calls too long" in missed(row(["abort"], too_long, {"a": "l"}))


def test_inferred_links_are_counted_apart():
    def change(e):
        e.find(C, "/b/one/1/0")["attributes"]["clew.link"] = "inferred"
        e.find(C, "/b/one/2/0").update(parentSpanId=e.find(S, "/a/one/1")["spanId"],
                                       traceId=e.find(S, "/a/one/1")["traceId"])
    report = row(["one", "one", "one"], change)
    assert report.links["in process inferred"] == {"right": 1}
    assert report.links["in process exact"]["wrong"] == 1


def set_attr(key, v, kind=S, path="/g/one/2/1"):
    def change(e):
        e.find(kind, path)["attributes"][key] = v
    return change


def test_attributes():
    for key, v in (("http.request.method", "POST"), ("http.response.status_code", 201),
                   ("http.request.body.size", 1), ("http.response.body.size", 41),
                   ("error.type", "500")):
        fails(set_attr(key, v), "wrong attributes")
    fails(set_attr("http.request.body.size", 5, S, "/n/post/4"), "wrong attributes")
    fails(set_attr("url.path", "/g/one/2/9"), "missing spans", "unexpected spans")
    fails(set_attr("url.path", "/strange"), "missing spans", "foreign spans")


def test_status_of_errors():
    fails(lambda e: e.find(C, "/g/e404/5/0").update(status={}), "wrong attributes")
    fails(lambda e: e.find(S, "/g/e404/5/0").update(status={"code": 2}), "wrong attributes")


def test_raw_path_in_the_name():
    fails(lambda e: e.find(S, "/n/one/1").update(name="GET /n/one/1"), "wrong attributes")


def test_pid_of_another_service():
    def change(e):
        e.spans = [(200 if s["attributes"].get("url.path") == "/g/one/2/1" else p, s)
                   for p, s in e.spans]
    fails(change, "wrong attributes")


def test_incomplete():
    fails(set_attr("clew.complete", False), "incomplete spans")


def test_unlabelled_link():
    fails(set_attr("clew.link", "none", C), "links without a label")


def test_durations():
    def longer(ns):
        def change(e):
            for i, shape in enumerate(SHAPES):
                s = e.find(S, f"/n/{shape}/{i + 1}")
                s["endTimeUnixNano"] = str(int(s["endTimeUnixNano"]) + ns)
        return change
    fails(longer(3_000_000), "durations off")
    fails(longer(-3_000_000), "durations off")
    assert verdict(longer(-500_000)).ok


def test_failed_and_no_requests():
    recs = synth.records("n", SHAPES)
    bad = verdict(None, recs + [dict(recs[0], id=99, path="/n/one/99", error="eof")])
    assert not bad.ok
    assert not check.check([], []).ok


def test_malformed_otlp():
    line = next(synth.Export(synth.records("n", ["one"])).lines())
    for a, b in (('"kind": 2', '"kind": "SERVER"'), (f"{1:016x}", "0" * 16),
                 ('"intValue": "', '"intValue": "x'), ('"startTimeUnixNano": "1', '"x": "1')):
        try:
            assert a in line
            list(otlp.parse_line(line.replace(a, b)))
        except (otlp.Malformed, KeyError):
            continue
        raise AssertionError(f"accepted {b}")


def ledger_bars(change):
    recs = synth.records("n", ["one"])
    spans = synth.Export(recs).parsed()
    ledger = synth.ledger(len(spans))
    change(ledger)
    report = check.check(spans, recs, synth.PIDS)
    assert report.ok
    check.check_ledger(report, ledger, spans)
    return report.ok


def test_ledger():
    assert ledger_bars(lambda led: None)
    assert not ledger_bars(lambda led: led["events"].update(seen=1))
    assert not ledger_bars(lambda led: led["exchanges"]["dropped"].update(gap=1))
    assert not ledger_bars(lambda led: led["spans"].update(built=1))
    assert not ledger_bars(lambda led: led["spans"]["exported"].update(file=1))
    assert not ledger_bars(lambda led: led.update(balanced=False))


def test_command_line():
    with tempfile.TemporaryDirectory() as d:
        recs = synth.records("n", SHAPES)
        export = synth.Export(recs)
        files = {k: os.path.join(d, k) for k in ("spans", "records", "ledger", "json")}
        with open(files["records"], "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in recs)
        with open(files["ledger"], "w") as f:
            json.dump(synth.ledger(len(export.spans)), f)

        def run():
            with open(files["spans"], "w") as f:
                f.writelines(line + "\n" for line in export.lines())
            argv = [sys.executable, os.path.join(HERE, "check.py"), "--pids", "f=200,n=100+101"]
            for k, v in files.items():
                argv += ["--" + k, v]
            p = subprocess.run(argv, capture_output=True, text=True)
            return p.returncode, p.stdout

        code, out = run()
        assert code == 0 and "recall" in out, out
        with open(files["json"]) as f:
            assert json.load(f)["ok"] is True
        export.spans.pop()
        code, out = run()
        assert code == 1 and "FAIL missing spans" in out, out


def test_table():
    """The published table: what missed a bar is bold, and the sums are of all cells."""
    def cell(conc, ok, right, wrong):
        return {"row": "R", "conc": conc, "ok": ok, "right": right, "none": 1, "wrong": wrong,
                "links": {"in exact": {"right": right}, "to inferred": {"wrong": wrong}},
                "missing_spans": wrong}

    cells = [cell(1, True, 5, 0), cell(8, False, 7, 2)]
    text = table.markdown(cells)
    assert "| R | 5/1/0 | **7/1/2** | 12/0 | 0/2 |" in text, text
    assert "2 cells, 1 of them missed a bar; 12 exact links, 0 wrong; 0 inferred links, 2 wrong" \
        in text, text
    assert "- R, c=8: 2/0/0" in text and "c=1:" not in text, text
    short = table.summary(cells, {"R": ("Row", 0.0)})
    assert short.endswith("| Row | - | - | **12/2/2** |\n"), short


def main():
    passed = failed = 0
    for name, fn in list(globals().items()):
        if not name.startswith("test_"):
            continue
        try:
            fn()
            passed += 1
        except Exception as e:  # a checker that raises is as bad as one that lets pass
            failed += 1
            print(f"FAIL {name}: {type(e).__name__} {e}")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
