#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the installed library shows to the world is its header, no more and no less."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap  # noqa: E402

BUILD = os.environ.get("SOTTO_BUILD", os.path.join(tap.ROOT, "build"))


def declared():
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", tap.read("include/sotto/sotto.h"), flags=re.DOTALL)
    text = re.sub(r"^\s*#.*(\\\n.*)*", "", text, flags=re.MULTILINE)
    text = re.sub(r"\btypedef\b[^;{]*;", "", text)
    return set(re.findall(r"\b(sotto_\w+)\s*\(", text))


def library():
    targets = json.loads(subprocess.run(["meson", "introspect", "--targets", BUILD], check=True,
                                        capture_output=True).stdout)
    found = [t["filename"][0] for t in targets if t["type"] == "shared library"]
    if len(found) != 1:
        raise LookupError(f"expected one shared library in {BUILD}, there is {found or 'none'}")
    return found[0]


def exported():
    out = subprocess.run(["nm", "-D", "--defined-only", library()], check=True,
                         capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


def in_archive():
    path = os.path.join(os.path.dirname(library()), "libsotto.a")
    out = subprocess.run(["nm", "-g", "--defined-only", path], check=True, capture_output=True,
                         text=True).stdout
    return {line.split()[-1] for line in out.splitlines() if len(line.split()) == 3}


def check_archive():
    """libsotto.a shows the functions of sotto/sotto.h and nothing else"""
    return sorted(in_archive() ^ declared())


def check_nothing_else():
    """libsotto exports nothing that is not in sotto/sotto.h"""
    return sorted(exported() - declared())


def check_all_there():
    """libsotto exports every function of sotto/sotto.h"""
    return sorted(declared() - exported())


def check_prefix():
    """Every name that the public header declares begins with sotto or SOTTO"""
    text = re.sub(r"/\*.*?\*/", "", tap.read("include/sotto/sotto.h"), flags=re.DOTALL)
    names = re.findall(r"#define\s+(\w+)|\b(?:struct|enum|union)\s+(\w+)|\b(\w+)\s*\(", text)
    known = {"__attribute__", "visibility", "void", "defined", "sizeof", "format", "deprecated"}
    return sorted({n for group in names for n in group if n and n not in known
                   and not n.lower().startswith("sotto") and n not in ("timespec", "pollfd")})


if __name__ == "__main__":
    tap.main([check_nothing_else, check_all_there, check_archive, check_prefix])
