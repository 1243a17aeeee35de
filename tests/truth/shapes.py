# SPDX-License-Identifier: Apache-2.0
"""What the test applications do: the truth that clew's spans are compared with.

Every request carries its id in its path, and so does every call that it causes:
/SERVICE/SHAPE/ID[/K]. A path belongs to exactly one exchange, so it names both of its sides: the
client span in the caller's process and the server span in the service's.

Services: n nginx, p HAProxy, f FastAPI, w Flask (WSGI), g Go, l leaf (C), of tests/apps/: CALLS is their
table. The application of a row (README.md) is a; where it stands more than once in a chain, a, b,
c ...: they all do what ROW_CALLS says.
"""
from dataclasses import dataclass, field

NOISE_ID = 0  # calls that no request causes

# (service, shape) -> calls (service, shape, k); a k of "-0" is appended to the caller's own.
CALLS = {
    ("n", "auth"): [("f", "one", "0"), ("f", "one", "1")],
    ("n", "mirror"): [("f", "one", "0"), ("f", "one", "1")],
    ("f", "one"): [("g", "one", "0")],
    ("f", "seq"): [("w", "one", "0"), ("g", "one", "1"), ("w", "one", "2")],
    ("f", "gather"): [("w", "one", "0"), ("g", "one", "1"), ("g", "one", "2")],
    ("f", "post"): [("w", "post", "0")],
    ("f", "err"): [("g", "e404", "0")],
    ("f", "slow"): [("g", "slow", "0")],
    ("f", "bg"): [("g", "one", "0")],
    ("f", "def"): [("g", "one", "0"), ("g", "one", "1")],
    ("f", "call"): [("g", "none", "0")],
    ("w", "one"): [("g", "one", "-0")],
    ("w", "seq"): [("g", "one", "0"), ("g", "one", "1"), ("g", "one", "2")],
    ("w", "post"): [("g", "post", "-0")],
    ("g", "one"): [("l", "one", "-0")],
    ("g", "post"): [("l", "post", "-0")],
    ("g", "slow"): [("l", "slow", "-0")],
    ("g", "seq"): [("l", "seq", "-0"), ("l", "seq", "-1"), ("l", "seq", "-2")],
    ("g", "fan"): [("l", "fan", "-0"), ("l", "fan", "-1"), ("l", "fan", "-2")],
}
PROXIES = {"n": "f", "p": "l"}  # what they pass on keeps its path but for the service
ROW_SERVICES = "abcde"
# shape -> how many calls (1 where it is not named), and shape -> what the service behind is asked
ROW_CALLS = {"none": 0, "seq": 3, "fan": 4, "nest": 4, "wait": 3, "group": 3, "def": 2,
             "errgroup": 4, "errgroupctx": 4, "conc": 4, "concpool": 4,
             "replyseq": 3, "invokeall": 4, "allof": 4, "fanvars": 4, "fanjoin": 4, "fanasync": 4,
             "fanset": 4, "fanstream": 4, "fanselect": 4, "fanblockset": 4, "fanmany": 4,
             "asyncpl": 4, "eachseries": 3, "plimit": 4, "pmap": 4, "rxjs": 4, "rxconcat": 3,
             "loaderown": 3, "co": 3, "promisify": 3, "ticks": 3, "asynciter": 3, "settled": 4, "timedqueue": 3,
             "bluemap": 4, "blueco": 3,
             "mw": 3, "retry": 3, "retryable": 3, "iter": 3, "pull": 3, "pipeline": 3, "cgo": 3,
             "gather": 4, "wggo": 4, "semin": 4, "lomap": 4,
             "fanblock": 4, "seqjoin": 3, "completion": 3, "combine": 2, "later2": 2, "parallel": 3}
ROW_ASKS = {"err": "err", "timeout": "hang", "abort": "abort", "post": "post",
            "retry": "err", "retryable": "err", "giveup": "hang"}
# a call behind fails, so the answer is a 500
FAILING = ("err", "timeout", "abort", "retry", "retryable", "giveup")
LATE = ("bg", "after", "mirror")  # calls go on behind the answer
STATUS = {"err": {"n": 500, "f": 500}, "e404": {"g": 404}}


def post_size(i):
    """Body bytes of a POST; tests/apps/load.c knows the same formula."""
    return i * 7919 % 20000 + 1


@dataclass
class Exchange:
    id: int
    service: str
    shape: str
    k: str
    parent: "Exchange" = None
    children: list = field(default_factory=list)

    @property
    def path(self):
        return f"/{self.service}/{self.shape}/{self.id}" + (f"/{self.k}" if self.k else "")

    @property
    def method(self):
        return {"post": "POST", "head": "HEAD"}.get(self.shape, "GET")

    @property
    def status(self):
        """0: no answer."""
        if self.service in PROXIES and self.children[:1] and self.children[0].service in ROW_SERVICES:
            return self.children[0].status
        if self.shape in ("hang", "abort") and self.service not in ROW_SERVICES:
            return 0
        if self.shape in FAILING and self.service in ROW_SERVICES + "l":
            return 500
        return STATUS.get(self.shape, {}).get(self.service, 200)

    @property
    def req_body(self):
        return post_size(self.id) if self.shape == "post" else 0

    def walk(self):
        todo = [self]
        while todo:
            x = todo.pop()
            yield x
            todo += x.children


def calls(service, shape, behind):
    if service in PROXIES and (service, shape) not in CALLS:
        return [(behind.get(service, PROXIES[service]), shape, "")]
    if service in ROW_SERVICES:
        return [(behind.get(service, "l"), ROW_ASKS.get(shape, "one"), f"-{k}")
                for k in range(ROW_CALLS.get(shape, 1))]
    return CALLS.get((service, shape), [])


def tree(service, shape, i, ends=(), behind=None):
    """The exchanges that one request causes. Services in `ends` call nothing in this set-up;
    `behind`: whom a row's service, or a proxy, calls, if not l or as in PROXIES."""
    root = Exchange(i, service, shape, "")
    todo = [root]
    while todo:
        x = todo.pop()
        if x.service in ends:
            continue
        for callee, what, k in calls(x.service, x.shape, behind or {}):
            k = (x.k + k).lstrip("-") if k.startswith("-") else k
            kid = Exchange(i, callee, what, k, x)
            x.children.append(kid)
            todo.append(kid)
    return root


def of_path(path):
    """(service, shape, id, k) of a path of the test applications, or None."""
    part = path.split("?")[0].strip("/").split("/")
    if len(part) < 3 or len(part[0]) != 1 or not part[2].isdigit():
        return None
    return part[0], part[1], int(part[2]), part[3] if len(part) > 3 else ""
