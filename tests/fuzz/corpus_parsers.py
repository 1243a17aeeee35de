#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn tests/fixtures into seeds for fuzz_http1.c, fuzz_fastcgi.c and, FastCGI, fuzz_record.c.

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


def segments(path, seen):
    """As fuzz_record.c reads them: direction and how many bytes are left out, how many follow, these."""
    out = b""
    for server, data in pieces(path):
        for at in range(0, len(data or b""), 60):
            part = data[at:at + 60]
            left_out = max(0, len(part) - seen)
            out += bytes([server | left_out << 1, len(part) - left_out]) + part[:seen]
    return out


def main():
    here = pathlib.Path(__file__).resolve().parent
    top = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "corpus"
    for path in sorted((here.parent / "fixtures").glob("*/*.txt")):
        out = top / path.parent.name
        out.mkdir(parents=True, exist_ok=True)
        if path.stem == "big":
            continue
        if path.parent.name == "fastcgi":
            for name, seen in (("", 60), ("-cut", 40)):
                (top / "record").mkdir(parents=True, exist_ok=True)
                (top / "record" / f"fastcgi-{path.stem}{name}").write_bytes(segments(path, seen))
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
