# SPDX-License-Identifier: Apache-2.0
"""Delivery to the real Collector: what it decoded is what clew wrote to its own file."""
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "truth")]
import check  # noqa: E402
from harness import apps, case  # noqa: E402
from harness.clew import Clew  # noqa: E402
from harness.collector import Collector  # noqa: E402
from harness.proc import Env, wait_for  # noqa: E402

COUNT = 120


def facts(spans):
    return sorted((s.trace_id, s.span_id, s.parent, s.kind, s.name, s.start, s.end, s.status,
                   str(sorted(s.attrs.items())), str(sorted(s.resource.items()))) for s in spans)


def deliver(args, more_env=None, metrics=True):
    case.need_root()
    with Env() as env:
        col = Collector(env)
        chain = apps.Chain(env)
        apps.load(env, chain.front.port, conc=8, count=32, shapes=chain.SHAPES)
        env_for = {k: v.format(c=col) for k, v in (more_env or {}).items()}
        run = Clew(env, *chain.selectors(), *(a.format(c=col) for a in args), more_env=env_for)
        load = apps.load(env, chain.front.port, conc=8, count=COUNT, shapes=chain.SHAPES)
        spans, ledger = run.stop()
        got = col.wait_spans(len(spans))
        report = check.check(got, load.records(), chain.pids(), min_recall=0.9, min_durations=0.0)
        rows = [("spans in the file and at the Collector", f"{len(spans)}, {len(got)}", "equal, > 500",
                 len(spans) == len(got) > 500),
                ("the same in every field", facts(spans) == facts(got), "True",
                 facts(spans) == facts(got)),
                ("true at the Collector", report.ok, "True", report.ok),
                ("ledger per exporter", ledger["spans"]["exported"], f"{len(spans)} each",
                 set(ledger["spans"]["exported"].values()) == {len(spans)} and
                 len(ledger["spans"]["exported"]) == 2)]
        if not report.ok:
            report.table()
        if metrics:
            wait_for("metrics at the Collector", lambda: any(
                n.startswith("clew.") for n, _ in col.metrics()), 10)
            names = sorted({n for n, _ in col.metrics()})
            rows.append(("metrics at the Collector", names, "clew.*", bool(names)))
        case.proofs(rows)


def test_grpc():
    deliver(["--export", "otlp-grpc=http://127.0.0.1:{c.grpc}"])


def test_http_protobuf():
    deliver(["--export", "otlp-http=http://127.0.0.1:{c.http}"])


def test_http_json():
    deliver(["--export", "otlp-json=http://127.0.0.1:{c.http}"], metrics=False)


def test_environment():
    """OTEL_* variables alone, with gzip"""
    deliver([], {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:{c.http}",
                 "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                 "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, metrics=False)


def test_restart():
    """a receiver that starts late gets what was sent before it was there"""
    case.need_root()
    with Env() as env:
        first = Collector(env)
        leaf = apps.leaf(env)
        run = Clew(env, "--pid", leaf.pid, "--export", f"otlp-http=http://127.0.0.1:{first.http}")
        apps.load(env, leaf.port, conc=4, count=100, prefix="/l")
        first.wait_spans(100)
        first.proc.stop()
        apps.load(env, leaf.port, conc=4, count=100, prefix="/l")
        run.wait_spans(200)
        first.start()
        wait_for("the rest arrives", lambda: len(first.spans()) >= 200, 30)
        spans, ledger = run.stop()
        got = {s.span_id for s in first.spans()}
        case.proof("spans through a restart", len(got), "200", len(got) == 200)


case.main(__name__)
