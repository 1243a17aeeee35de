# SPDX-License-Identifier: Apache-2.0
"""Wrong use and bad surroundings: one clear line, exit code 2 for wrong use, 1 for failure."""
import json
import os
import re
import subprocess
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
from harness import apps, case, clew  # noqa: E402
from harness.proc import SCALE, Env, free_port, wait_for  # noqa: E402


def expect(name, args, code, pattern, env=None, lines=3):
    got, out, err = clew.command(*args, env=env, timeout=20)
    text = err.strip()
    errors = [line for line in text.splitlines() if re.search(pattern, line)]
    ok = got == code and errors and len(text.splitlines()) <= lines
    case.proof(name, f"exit {got}, {text.splitlines()[-1][:120] if text else 'no line'!r}",
               f"exit {code}, a line matching /{pattern}/", ok)


def test_wrong_use():
    """exit code 2"""
    file = ("--export", "file=/dev/null")
    expect("unknown command", ["fly"], 2, "fly", lines=40)
    expect("no command", [], 2, "(?i)usage|command", lines=40)
    expect("unknown flag", ["run", "--fly", "1"], 2, "--fly")
    expect("pid not a number", ["run", "--pid", "one", *file], 2, "one")
    expect("port out of range", ["run", "--port", "70000", *file], 2, "70000")
    expect("unknown exporter", ["run", "--pid", "1", "--export", "pigeon=x"], 2, "pigeon")
    expect("unknown layer", ["run", "--pid", "1", "--capture-layer", "magic"], 2, "magic")
    expect("nothing selected", ["run", *file], 2, "--pid|--port|select")


def test_config():
    """a bad configuration names file, line and what was expected"""
    with Env() as env:
        for name, text, pattern in (
                ("unknown key", "service_name: x\nsample_rat: 1\n", r":2.*sample_rat"),
                ("wrong type", "sample_rate: often\n", r":1.*sample_rate"),
                ("bad range", "enabled: true\n\nsample_rate: 7\n", r":3.*sample_rate"),
                ("not YAML", "a: [1\n", r":\d")):
            path = env.path(f"{name.replace(' ', '-')}.yaml")
            with open(path, "w") as f:
                f.write(text)
            expect(name, ["run", "--pid", "1", "--config", path], 2, re.escape(path) + pattern)
        missing = env.path("none.yaml")
        expect("no such file", ["run", "--pid", "1", "--config", missing], 2, missing)


def test_help_and_version():
    for args in (["--help"], ["run", "--help"], ["version"], ["version", "--help"],
                 ["--version"]):
        got, out, err = clew.command(*args)
        case.proof(" ".join(args), f"exit {got}, {len(out)} bytes", "exit 0, something printed",
                   got == 0 and len(out) > 4)
    got, out, _ = clew.command("version", "--json")
    case.proof("version --json", out.strip(), "one object with the version",
               got == 0 and "version" in json.loads(out))
    expect("version with another word", ["version", "now"], 2, '"now"')


def test_surroundings():
    """exit code 1: what was asked for is not there"""
    case.need_root()
    with Env() as env:
        gone = subprocess.Popen(["true"])
        gone.wait()
        leaf = apps.leaf(env)
        file = ("--export", f"file={env.path('x.jsonl')}")
        expect("vanished pid", ["run", "--pid", gone.pid, *file], 1, f"{gone.pid}")
        expect("unwritable file", ["run", "--pid", leaf.pid, "--export",
                                   f"file={env.path('no/such/dir/x')}"], 1, "no/such/dir")
        expect("unwritable ledger", ["run", "--pid", leaf.pid, *file, "--ledger",
                                     env.path("no/such/ledger")], 1, "no/such/ledger")


def test_nobody_listens():
    """a port nobody listens on: said in one line, and taken up when somebody does"""
    case.need_root()
    with Env() as env:
        port = free_port()
        run = clew.Clew(env, "--port", port)
        wait_for("the line", lambda: re.search(rf"\b{port}\b.*", run.stderr()), 10)
        line = re.search(rf".*\b{port}\b.*", run.stderr()).group(0)
        case.proof("nobody listens", repr(line[:120]), "a line naming the port", True)
        leaf = apps.leaf(env, port=port)
        # The listener is found after some moments: ask until a request is seen
        wait_for("a span of the late listener", lambda: apps.load(
            env, leaf.port, count=5, prefix="/l") and run.spans(), 20)
        spans, _ = run.stop()
        case.proof("spans of the late listener", len(spans), "> 0", len(spans) > 0)


def test_unreachable_receiver():
    """an unreachable receiver harms nothing: named, counted, and the stop is in time"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env)
        port = free_port()
        run = clew.Clew(env, "--pid", leaf.pid, "--export", f"otlp-grpc=http://127.0.0.1:{port}",
                        "--export", f"otlp-http=http://127.0.0.1:{port}")
        load = apps.load(env, leaf.port, count=200, conc=4, prefix="/l")
        run.wait_spans(200)
        spans, ledger = run.stop()
        lost = {k: sum(v.values()) for k, v in ledger["spans"]["dropped"].items()}
        case.proof("file beside it", f"{len(spans)} of {load.summary['done']}", "all",
                   len(spans) == 200)
        case.proof("counted per exporter", lost, "200 each for the two that fail",
                   sorted(lost.values())[-2:] == [200, 200])
        case.proof("named in the log", str(port) in run.stderr(), "True",
                   str(port) in run.stderr())
        limit = 5 * SCALE
        case.proof("stop", f"{run.stop_s:.1f} s", f"<= {limit:.0f}", run.stop_s <= limit)


def test_no_capability():
    """without CAP_BPF: one line that says what to do"""
    case.need_root()
    with Env() as env:
        leaf = apps.leaf(env)
        p = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", clew.CLEW, "run",
                            "--pid", str(leaf.pid), "--export", "file=/dev/null"],
                           capture_output=True, text=True, env=clew.clean_env(),
                           timeout=20 * SCALE)
        line = p.stderr.strip().splitlines()[-1] if p.stderr.strip() else ""
        case.proof("no capability", f"exit {p.returncode}, {line[:140]!r}", "exit 1, what to do",
                   p.returncode == 1 and re.search("(?i)root|CAP_|capab|privileg", p.stderr))


def test_doctor():
    case.need_root()
    code, out, err = clew.command("doctor")
    case.proof("doctor", f"exit {code}, {len(out.splitlines())} lines", "exit 0, > 3 lines",
               code == 0 and len(out.splitlines()) > 3)


case.main(__name__)
