#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn tests/fixtures into seeds for fuzz_http1.c and fuzz_fastcgi.c.

Usage: corpus_parsers.py [OUTPUT_FOLDER]      (default tests/fuzz/corpus)
"""
import pathlib
import sys


def unescape(text):
    return text.encode().decode("unicode_escape").encode("latin-1")


def pieces(path):
    out = []
    for line in path.read_text().splitlines():
        if line[:2] in ("C:", "S:"):
            out.append([line[0] == "S", unescape(line[3:])])
        elif line[:2] in ("C+", "S+"):
            out[-1][1] += unescape(line[3:])
        elif line[:2] in ("C*", "S*"):
            count, char = line[3:].split()
            out[-1][1] += char.encode() * min(int(count), 600)
        elif line[1:5] == " eof":
            out.append([line[0] == "S", None])
    return out


def main():
    here = pathlib.Path(__file__).resolve().parent
    top = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "corpus"
    for path in sorted((here.parent / "fixtures").glob("*/*.txt")):
        out = top / path.parent.name
        out.mkdir(parents=True, exist_ok=True)
        for client in (0, 1):
            seed = bytes([client])
            for server, data in pieces(path):
                if data is None:
                    seed += bytes([server | 7 << 1, 0])
                    continue
                for at in range(0, len(data), 255):
                    part = data[at:at + 255]
                    seed += bytes([server, len(part)]) + part
            (out / f"{path.stem}-{client}").write_bytes(seed)


if __name__ == "__main__":
    main()
