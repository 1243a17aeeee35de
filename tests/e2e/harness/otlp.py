# SPDX-License-Identifier: Apache-2.0
"""Read OTLP/JSON lines (one ExportTraceServiceRequest a line) into spans, strictly.

Written from opentelemetry-proto's trace.proto and the OTLP specification's JSON rules, and
shares nothing with clew: ids are lowercase hex, enums are integers, 64-bit integers are strings.
A line that breaks a rule raises Malformed.
"""
import json
import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

SERVER, CLIENT = 2, 3
UNSET, OK, ERROR = 0, 1, 2


class Malformed(Exception):
    pass


@dataclass
class Span:
    trace_id: str
    span_id: str
    parent: str
    kind: int
    name: str
    start: int
    end: int
    status: int
    flags: int
    attrs: dict
    resource: dict
    trace_state: str = ""
    links: list = field(default_factory=list)

    @property
    def pid(self):
        return self.resource.get("process.pid")

    @property
    def service(self):
        return self.resource.get("service.name")

    @property
    def path(self):
        if self.kind == CLIENT:
            return urlsplit(self.attrs.get("url.full", "")).path
        return self.attrs.get("url.path", "")

    @property
    def method(self):
        return self.attrs.get("http.request.method")

    @property
    def http_status(self):
        return self.attrs.get("http.response.status_code")

    @property
    def link(self):
        return self.attrs.get("clew.link")

    @property
    def ms(self):
        return (self.end - self.start) / 1e6


def _need(ok, what, got):
    if not ok:
        raise Malformed(f"{what}: {got!r}")


def _u64(v, what):
    _need(isinstance(v, str) and v.isdigit() and int(v) < 1 << 64, what, v)
    return int(v)


def _hex(v, n, what, empty=False):
    if empty and v in ("", None):
        return ""
    _need(isinstance(v, str) and re.fullmatch(f"[0-9a-f]{{{n}}}", v), what, v)
    _need(set(v) != {"0"}, what + " is all zero", v)
    return v


def value(v):
    _need(isinstance(v, dict) and len(v) == 1, "AnyValue", v)
    key, x = next(iter(v.items()))
    if key == "stringValue":
        _need(isinstance(x, str), key, x)
        return x
    if key == "intValue":
        _need(isinstance(x, str) and re.fullmatch(r"-?\d+", x), key, x)
        return int(x)
    if key == "boolValue":
        _need(isinstance(x, bool), key, x)
        return x
    if key == "doubleValue":
        _need(isinstance(x, (int, float)), key, x)
        return float(x)
    if key == "arrayValue":
        return [value(e) for e in x.get("values", [])]
    raise Malformed(f"AnyValue of kind {key}")


def attributes(kvs):
    out = {}
    for kv in kvs or []:
        _need(kv["key"] not in out, "attribute given twice", kv["key"])
        out[kv["key"]] = value(kv["value"])
    return out


def _span(s, resource):
    kind = s.get("kind", 0)
    _need(isinstance(kind, int) and 1 <= kind <= 5, "kind", kind)
    status = (s.get("status") or {}).get("code", 0)
    _need(isinstance(status, int) and 0 <= status <= 2, "status.code", status)
    start = _u64(s["startTimeUnixNano"], "startTimeUnixNano")
    end = _u64(s["endTimeUnixNano"], "endTimeUnixNano")
    _need(end >= start, "a span that ends before it starts", (start, end))
    _need(isinstance(s["name"], str) and s["name"], "name", s["name"])
    return Span(_hex(s["traceId"], 32, "traceId"), _hex(s["spanId"], 16, "spanId"),
                _hex(s.get("parentSpanId"), 16, "parentSpanId", empty=True), kind, s["name"],
                start, end, status, s.get("flags", 0), attributes(s.get("attributes")), resource,
                s.get("traceState", ""), s.get("links", []))


def parse_line(line):
    doc = json.loads(line)
    for rs in doc.get("resourceSpans", []):
        resource = attributes((rs.get("resource") or {}).get("attributes"))
        _need("service.name" in resource, "resource without service.name", resource)
        for ss in rs.get("scopeSpans", []):
            for s in ss.get("spans", []):
                yield _span(s, resource)


def read(path):
    """All spans of a file. A last line without its newline is one still being written."""
    spans = []
    with open(path, "rb") as f:
        for line in f:
            if line.endswith(b"\n") and line.strip():
                spans += parse_line(line)
    return spans


class Tail:
    """A file of OTLP/JSON lines that grows: each look reads only what is new."""

    def __init__(self, path):
        self.path, self.at, self.seen = path, 0, []

    def spans(self):
        if not os.path.exists(self.path):
            return self.seen
        with open(self.path, "rb") as f:
            f.seek(self.at)
            for line in f:
                if not line.endswith(b"\n"):
                    break  # still being written
                self.at += len(line)
                if line.strip():
                    self.seen += parse_line(line)
        return self.seen


def metrics(path):
    """{(name, frozenset(attributes)): last value} of a file of OTLP/JSON metric lines."""
    out = {}
    with open(path, "rb") as f:
        for line in f:
            for rm in json.loads(line).get("resourceMetrics", []):
                for sm in rm.get("scopeMetrics", []):
                    for m in sm.get("metrics", []):
                        for p in (m.get("sum") or m.get("gauge") or {}).get("dataPoints", []):
                            key = (m["name"], frozenset(attributes(p.get("attributes")).items()))
                            out[key] = int(p["asInt"]) if "asInt" in p else p.get("asDouble")
    return out
