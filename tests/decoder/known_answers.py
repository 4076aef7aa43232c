# SPDX-License-Identifier: Apache-2.0
"""What both scripts of known answers share: the file that a C program makes, the document that shows
its values, and how cases run."""
import json
import os
import subprocess
import sys

from decoder import Refused

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def unhex(value, texts):
    """Every text that is the hex of bytes, as bytes; the fields named by texts are none."""
    if isinstance(value, dict):
        return {k: v if k in texts else unhex(v, texts) for k, v in value.items()}
    if isinstance(value, list):
        return [unhex(x, texts) for x in value]
    return bytes.fromhex(value) if isinstance(value, str) else value


def load(name, texts):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return unhex(json.load(f), texts)


def refuses(fn, *args):
    try:
        fn(*args)
    except Refused:
        return True
    return False


def flip(data, at):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def table(values):
    rows = ["| what | value |", "| --- | --- |"]
    for name, value in values.items():
        rows.append(f"| {name} | `{value.hex() if isinstance(value, bytes) else value}` |")
    return "\n".join(rows)


def documented(values, begin, end):
    """docs/protocol.md has exactly these values between the two marks."""
    with open(os.path.join(ROOT, "docs", "protocol.md"), encoding="utf-8") as f:
        text = f.read()
    assert text.split(begin)[1].split(end)[0].strip() == table(values)


def generated(program, name):
    """The C program still makes this file, byte for byte."""
    build = os.environ.get("SOTTO_BUILD", os.path.join(ROOT, "build"))
    with open(os.path.join(HERE, name), "rb") as f:
        assert subprocess.run([os.path.join(build, "tests", "decoder", program)],
                              stdout=subprocess.PIPE, check=True).stdout == f.read()


def main(world, cases, shown):
    """--values prints what the first so many cases find out, else all of them run. Returns the exit
    code."""
    if sys.argv[1:] == ["--values"]:
        for _, case in cases[:shown]:
            case(world)
        print(table(world.values))
        return 0
    failed = 0
    print(f"1..{len(cases)}")
    for i, (name, case) in enumerate(cases, 1):
        try:
            case(world)
            print(f"ok {i} - {name}")
        except Exception as e:  # whatever it is, the case has failed, and the others still run
            failed += 1
            print(f"not ok {i} - {name}\n# {type(e).__name__}: {e}")
        sys.stdout.flush()
    return 1 if failed else 0
