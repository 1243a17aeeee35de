# SPDX-License-Identifier: Apache-2.0
"""Hand-made exports for the checker's own tests: spans as a perfect tracer would write them."""
import json

import shapes
from harness import otlp

PIDS = {"n": {100, 101}, "f": {200}, "w": {300}, "g": {400}, "l": {500}, "a": {600}, "b": {700}}
CHAIN = {"a": "b", "b": "l"}


def records(service, what, first=1, behind=None):
    """One record per entry of `what` (shape names), with ids from `first` on."""
    out = []
    for n, shape in enumerate(what):
        i = first + n
        x = shapes.tree(service, shape, i, behind=behind)
        start = 1_000_000_000 * i
        out.append({"id": i, "method": x.method, "path": x.path, "status": x.status,
                    "req_body": x.req_body, "resp_body": 40, "start": start,
                    "end": start + 10_000_000, "conn": 0})
    return out


class Export:
    """Dictionaries in OTLP JSON's own shape, so that tests can break them in any way."""

    def __init__(self, recs, ends=("l",), behind=None):
        self.spans = []  # (resource pid, span)
        self.next = 1
        for r in recs:
            service, shape, i, _ = shapes.of_path(r["path"])
            root = shapes.tree(service, shape, i, ends, behind)
            trace = f"{i:032x}"
            ids = {}
            for x in root.walk():
                if x.parent:
                    ids[otlp.CLIENT, x.path] = self.add(trace, ids[otlp.SERVER, x.parent.path],
                                                        otlp.CLIENT, x, x.parent.service, r)
                ids[otlp.SERVER, x.path] = self.add(trace, ids.get((otlp.CLIENT, x.path), ""),
                                                    otlp.SERVER, x, x.service, r)

    def add(self, trace, parent, kind, x, owner, r):
        span_id = f"{self.next:016x}"
        self.next += 1
        code = x.status
        bad = not code or code >= 500 or (code >= 400 and kind == otlp.CLIENT)
        attrs = {"http.request.method": x.method, "http.response.status_code": code,
                 "http.request.body.size": x.req_body, "http.response.body.size": r["resp_body"],
                 "clew.link": "exact" if parent else "none"}
        if kind == otlp.SERVER:
            attrs["url.path"] = x.path
        else:
            attrs["url.full"] = "http://127.0.0.1:1" + x.path
        if bad:
            attrs["error.type"] = str(code or "no_response")
        if not code:
            del attrs["http.response.status_code"], attrs["http.response.body.size"]
            attrs["clew.complete"] = False
        span = {"traceId": trace, "spanId": span_id, "kind": kind, "name": x.method,
                "startTimeUnixNano": str(r["start"] + 100_000),
                "endTimeUnixNano": str(r["end"] - 100_000), "flags": 1, "attributes": attrs,
                "status": {"code": 2} if bad else {}}
        if parent:
            span["parentSpanId"] = parent
        self.spans.append((min(PIDS[owner]), span))
        return span_id

    def find(self, kind, path):
        return next(s for _, s in self.spans if s["kind"] == kind and
                    (s["attributes"].get("url.path") == path or
                     s["attributes"].get("url.full", "").endswith("1" + path)))

    def drop(self, span):
        self.spans = [e for e in self.spans if e[1] is not span]

    def lines(self):
        for pid, span in self.spans:
            doc = dict(span, attributes=[{"key": k, "value": any_value(v)}
                                         for k, v in span["attributes"].items()])
            res = [{"key": "service.name", "value": {"stringValue": "s"}},
                   {"key": "process.pid", "value": {"intValue": str(pid)}}]
            yield json.dumps({"resourceSpans": [{"resource": {"attributes": res}, "scopeSpans":
                                                 [{"scope": {}, "spans": [doc]}]}]})

    def parsed(self):
        return [s for line in self.lines() for s in otlp.parse_line(line)]


def any_value(v):
    if isinstance(v, bool):
        return {"boolValue": v}
    if isinstance(v, int):
        return {"intValue": str(v)}
    return {"stringValue": v}


def ledger(n):
    return {"events": {"seen": 5 * n, "used": 5 * n, "dropped": {"ring_full": 0}},
            "exchanges": {"seen": n, "spans": n, "dropped": {"gap": 0}},
            "spans": {"built": n, "sampled_out": 0, "exported": {"file": n},
                      "dropped": {"file": {"write": 0}}}, "balanced": True}
