#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The planted bugs of base/mutant.h are in a test program and nowhere else."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap  # noqa: E402

BUILD = os.environ.get("SOTTO_BUILD", os.path.join(tap.ROOT, "build"))
HEADER = "src/base/mutant.h"


def names():
    return set(re.findall(r"^\s+(MUTANT_\w+),", tap.read_code(HEADER), re.M)) - {
        "MUTANT_NONE", "MUTANT_COUNT"}


def planted():
    return [name for path in tap.files(".c", under=("src", "apps"))
            for name in re.findall(r"SOTTO_PLANTED\((\w+)\)", tap.read_code(path))]


def products():
    targets = json.loads(subprocess.run(["meson", "introspect", "--targets", BUILD], check=True,
                                        capture_output=True).stdout)
    return [f for t in targets if t["installed"] for f in t["filename"] if os.path.isfile(f)]


def check_each_once():
    """Every bug that is named is planted once, and at least ten are"""
    used = planted()
    yield from (f"{n} is planted {used.count(n)} times" for n in sorted(names() | set(used))
                if used.count(n) != 1)
    if len(used) < 10:
        yield f"there are only {len(used)}"


def check_switch():
    """The switch is looked at through SOTTO_PLANTED() only"""
    for path in tap.files(".c", ".h", under=("src", "apps", "include", "examples")):
        if path != HEADER and re.search(r"\bsotto_mutant\b|\bSOTTO_MUTANT\b", tap.read_code(path)):
            yield path


def check_products():
    """Nothing that is installed has the switch"""
    found = products()
    if len(found) < 3:
        yield f"only {found} are built in {BUILD}"
    for path in found:
        out = subprocess.run(["nm", "-a", path], capture_output=True, text=True)
        if out.returncode == 0 and "sotto_mutant" in out.stdout:
            yield path


if __name__ == "__main__":
    tap.main([check_each_once, check_switch, check_products])
