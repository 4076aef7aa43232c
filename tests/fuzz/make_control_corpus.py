#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz target control: tests/fuzz/make_control_corpus.py FOLDER

Each kind of call and event by the layouts in src/run/client/control.h and src/run/client/event.h, whole
conversations, and what the readers have to refuse. The same files in every run.
"""
import os
import struct
import sys

# The members of each event's row: t text, b bytes, 4 u32, 8 u64, f flag.
EVENTS = {1: "4tt", 2: "44tt4", 3: "tttttb88fff4t", 4: "tttttb88fff4t", 5: "tf", 6: "t4fff448",
          7: "tttf48", 8: "ttttt4ttttt" + "4" * 6 + "f", 9: "tff", 10: "t", 11: "ttf"}
CALLS = range(1, 24)


def field(data):
    return struct.pack(">I", len(data)) + data


def event(kind, request=7, text=b"bob"):
    row = {"t": field(text), "b": field(b"hi\0there"), "4": struct.pack(">I", 2),
           "8": struct.pack(">Q", 1790000000000), "f": b"\1"}
    return struct.pack(">IB", request, kind) + b"".join(row[m] for m in EVENTS[kind])


def call(op, request=7, numbers=(1, 2), strings=(b"bob", b"hello", b"i" * 16, b"")):
    return struct.pack(">BIII", op, request, *numbers) + b"".join(map(field, strings))


def frame(data):
    return field(data)


def greeting(passphrase=None, version=1):
    given = passphrase or b""
    return frame(struct.pack(">BBH", version, passphrase is not None, len(given)) + given)


def seeds():
    for op in CALLS:
        yield f"call-{op:02}", b"c" + call(op)
    whole = call(7)
    yield "call-none", b"c" + call(0)
    yield "call-unknown", b"c" + call(200)
    yield "call-empty", b"c"
    yield "call-longer", b"c" + whole + b"x"
    for cut in (1, 5, 9, 13, 15, 17, 20, len(whole) - 1):
        yield f"call-cut-{cut:02}", b"c" + whole[:cut]
    yield "call-length", b"c" + whole[:13] + b"\xff\xff\xff\xff" + whole[17:]
    for kind in EVENTS:
        yield f"event-{kind:02}", b"e" + event(kind)
        yield f"event-{kind:02}-cut", b"e" + event(kind)[:-1]
    yield "event-nul", b"e" + event(10, text=b"a\0b")
    yield "event-empty", b"e" + event(3, text=b"")
    yield "event-longer", b"e" + event(10) + b"x"
    yield "event-none", b"e" + struct.pack(">IB", 0, 0)
    yield "event-unknown", b"e" + struct.pack(">IB", 0, 12)
    yield "event-length", b"e" + struct.pack(">IBI", 0, 10, 0xffffffff)
    yield "event-short", b"e\0\0"
    for kind in (3, 8):
        for cut in (6, 9, 40, 70):
            yield f"event-{kind:02}-cut-{cut:02}", b"e" + event(kind)[:cut]
    talk = greeting() + b"".join(frame(call(op)) for op in CALLS)
    streams = {
        "whole": b"\0" + talk, "bytes": b"\1" + talk, "sevens": b"\7" + talk,
        "passphrase": b"\0" + greeting(b"right") + frame(call(3)),
        "request-0": b"\0" + greeting() + frame(call(3, request=0)) + frame(call(3)),
        "no-greeting": b"\0" + frame(call(3)),
        "greeted-twice": b"\0" + greeting() + greeting(),
        "greeting-short": b"\0" + frame(b"\1"), "greeting-none": b"\0" + frame(b""),
        "greeting-longer": b"\0" + frame(b"\1\0\0\0x"),
        "greeting-length": b"\0" + frame(b"\1\1\xff\xff"),
        "too-large": b"\0" + greeting() + b"\0\x10\0\1", "huge": b"\0\xff\xff\xff\xff",
        "half": b"\0" + greeting() + frame(call(7))[:-3], "nothing": b"\0",
        "bad-call": b"\0" + greeting() + frame(call(3)) + frame(b"junk") + frame(call(3)),
        "text": b"\0GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    }
    for name, data in streams.items():
        yield f"stream-{name}", b"s" + data


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, data in seeds():
        with open(os.path.join(sys.argv[1], name), "wb") as f:
            f.write(data)


main()
