# SPDX-License-Identifier: Apache-2.0
"""What a row is made of: `row.py` in a folder of rows/ says what to start and which shapes to ask
of it; the helpers here build it, start it and what stands behind it. See README.md."""
import contextlib
import glob
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [p for p in (HERE, os.path.join(HERE, "..", "e2e")) if p not in sys.path]
from harness import apps, case, proc  # noqa: E402

ROWS = os.path.join(HERE, "rows")
NOISE_MS = 10


class Case:
    """One line of the table: shapes that one run mixes, and its bars. What else is given, the
    row's start() finds in `options`."""

    def __init__(self, shapes, name="", recall=0.99, tags=(), conc=None, **options):
        self.shapes, self.name, self.recall, self.tags = list(shapes), name, recall, set(tags)
        self.conc, self.options = conc, options


class Row:
    """title: first column of the table; start(env, case) -> Started; tags: runtime names and `ci`;
    needs: programs without which the row is skipped; service: first letter of its paths."""

    def __init__(self, title, start, cases, tags=(), needs=(), service="a"):
        self.title, self.start, self.cases = title, start, cases
        self.tags, self.needs, self.service = set(tags), needs, service
        self.name = self.folder = None  # set by find()

    def line(self, one):
        return self.title + (", " + one.name if one.name else "")


@dataclass
class Started:
    """front: the process that is asked (.port); pids: {service letter: pids to trace, their
    descendants are found after the warm-up}; ends:
    letters that call nothing; behind: {letter: the letter that it calls}."""
    front: proc.Proc
    pids: dict
    ends: tuple = ("l",)
    behind: dict = field(default_factory=dict)


def find():
    """All rows, by folder name."""
    rows = []
    for name in sorted(os.listdir(ROWS)):
        path = os.path.join(ROWS, name, "row.py")
        if not os.path.exists(path):
            continue
        spec = importlib.util.spec_from_file_location("row_" + name.replace("-", "_"), path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.ROW.name, module.ROW.folder = name, os.path.dirname(path)
        rows.append(module.ROW)
    return rows


# ---- starting ------------------------------------------------------------------------------------

def family(*roots):
    """Processes (Proc or pid) and all their descendants."""
    todo, pids = [getattr(p, "pid", p) for p in roots], set()
    while todo:
        pid = todo.pop()
        pids.add(pid)
        for path in glob.glob(f"/proc/{pid}/task/*/children"):
            with contextlib.suppress(OSError):  # a thread that has ended
                with open(path) as f:
                    todo += [int(c) for c in f.read().split()]
    return pids


def service(env, name, argv, next_url="", port=None, noise_ms=NOISE_MS, ready=None, more_env=None,
            cwd=None):
    """Start an application that obeys README.md: LISTEN, NEXT and NOISE in its environment."""
    port = port or proc.free_port()
    p = env.start(name, argv, cwd=cwd, env={
        "LISTEN": f"127.0.0.1:{port}", "PORT": str(port), "NEXT": next_url, "NOISE": str(noise_ms),
        **(more_env or {})})
    p.host, p.port, p.url = "127.0.0.1", port, f"http://127.0.0.1:{port}"
    return env.started(p, ready or (lambda: proc.accepts("127.0.0.1", port)), 60)


def chain(env, start_one, letters="a"):
    """One instance per letter, the last calls the leaf. start_one(next_url) -> Proc with .port."""
    behind, pids = {}, {}
    p, url, last = apps.leaf(env), None, "l"
    pids["l"], url = {p.pid}, p.url + "/l"
    for letter in reversed(letters):
        p = start_one(url)
        pids[letter], behind[letter] = {p.pid}, last
        last, url = letter, f"http://127.0.0.1:{p.port}/{letter}"
    return Started(p, pids, ("l",), behind)


# ---- building, cached in $B/truth/NAME ------------------------------------------------------------

def need(*programs):
    for p in programs:
        if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise case.Skip(f"{p} is not installed")


def built(name, sources, *commands, fetch=False, env=None):
    """Run `commands` (argv lists) in $B/truth/NAME with copies of `sources` (files or folders)
    there, unless the same was done before; returns the folder. A command that fails is an error,
    with `fetch` (it brings packages from elsewhere) a skip."""
    folder = os.path.join(proc.BUILD, "truth", name)
    sign = hashlib.sha256(repr(commands).encode())
    for path in files_of(sources):
        with open(path, "rb") as f:
            sign.update(path.encode() + f.read())
    stamp = os.path.join(folder, ".built")
    if os.path.exists(stamp):
        with open(stamp) as f:
            if f.read() == sign.hexdigest():
                return folder
        os.unlink(stamp)
    os.makedirs(folder, exist_ok=True)
    for path in sources:
        to = os.path.join(folder, os.path.basename(path))
        if os.path.isdir(path):
            shutil.copytree(path, to, dirs_exist_ok=True)
        else:
            shutil.copy(path, to)
    for argv in commands:
        p = subprocess.run([str(a) for a in argv], cwd=folder, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, env=dict(os.environ, **(env or {})))
        if p.returncode:
            text = f"{name}: {' '.join(map(str, argv[:3]))} failed: {p.stdout[-400:]}"
            raise case.Skip(text) if fetch else RuntimeError(text)
    with open(stamp, "w") as f:
        f.write(sign.hexdigest())
    return folder


def files_of(sources):
    for path in sources:
        if not os.path.isdir(path):
            yield path
        else:
            for top, dirs, names in os.walk(path):
                dirs.sort()
                yield from (os.path.join(top, n) for n in sorted(names))


def beside(row_file, name):
    """The path of a file in the row's folder: beside(__file__, "app.c")."""
    return os.path.join(os.path.dirname(os.path.abspath(row_file)), name)


def cc(name, source, *headers, flags=()):
    """A C program of one file and headers beside it."""
    need("gcc")
    here, file = os.path.split(source)
    return os.path.join(built(name, [source, *(os.path.join(here, h) for h in headers)], [
        "gcc", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread", "-o", name,
        file, *flags]), name)


def go(name, source, env=None):
    """A Go program of one file, standard library only."""
    need("go")
    return os.path.join(built(name, [source], ["go", "build", "-o", name, os.path.basename(source)],
                        env={"GO111MODULE": "off", **(env or {})}), name)


def go_module(name, folder):
    """A Go module: app.go with its go.mod and go.sum, in the row's folder."""
    need("go")
    files = [os.path.join(folder, n) for n in ("app.go", "go.mod", "go.sum")]
    return os.path.join(built(name, files, ["go", "build", "-o", name, "."], fetch=True), name)


def cargo(name, row_file, profile="release"):
    """The program "app" of Cargo.toml, Cargo.lock and src beside the row."""
    need("cargo")
    here = [beside(row_file, f) for f in ("Cargo.toml", "Cargo.lock", "src")]
    folder = built(f"{name}-{profile}", here, ["cargo", "build", "--quiet", "--locked",
                                               "--profile", profile], fetch=True)
    return os.path.join(folder, "target", profile, "app")


def venv(name, packages, python=proc.PYTHON):
    """A virtual environment with packages from PyPI; returns its python."""
    install = [["venv/bin/pip", "-q", "install", *packages]] if packages else []
    folder = built(name, [], [python, "-m", "venv", "venv"], *install, fetch=True)
    return os.path.join(folder, "venv", "bin", "python")


def python(name, packages, which="system"):
    """The python of a virtual environment. "system": the one of the end-to-end tests; "other":
    another version, from TRUTH_PYTHON or the newest python3.N on PATH."""
    if which == "system":
        return venv(name, packages)
    own = version_of(proc.PYTHON)
    for exe in [os.environ.get("TRUTH_PYTHON")] + [f"python3.{n}" for n in range(13, 7, -1)]:
        version = exe and version_of(exe)
        if version and version != own:
            return venv(f"{name}-{version}", packages, exe)
    raise case.Skip("no second Python: put one on PATH, or name it in TRUTH_PYTHON")


def version_of(exe):
    try:
        p = subprocess.run([exe, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                           capture_output=True, text=True)
    except OSError:
        return None
    return p.stdout.strip() if p.returncode == 0 else None


def npm(name, sources):
    """Sources with their package.json, `npm install`ed; returns the folder."""
    need("node", "npm")
    return built(name, sources, ["npm", "install", "--no-audit", "--no-fund"], fetch=True)
