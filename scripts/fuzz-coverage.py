#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many lines of each parser the corpus of its fuzz target reaches.

    scripts/fuzz-coverage.py [--build build-cov] [--missing] [NAME...]

tests/fuzz/targets.txt names the targets and what each is for: "target source[:function-regex]...".
Every fuzz target has to be in it, and its corpus has to reach 90 % of those lines. --missing shows
the lines that are not reached. Ends in "N passed, N failed, N skipped", a target being one case.
"""
import argparse
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUZZ = os.path.join(ROOT, "tests", "fuzz")
ENOUGH = 90.0
# llvm-cov report -show-functions: name, regions, missed, cover, lines, missed, cover, ...
ROW = re.compile(r"^(\S+)\s+\d+\s+\d+\s+[\d.]+%\s+(\d+)\s+(\d+)\s")


class Wrong(Exception):
    pass


def read_targets():
    targets = {}
    with open(os.path.join(FUZZ, "targets.txt"), encoding="utf-8") as f:
        for line in f:
            words = line.split("#")[0].split()
            if words:
                targets[words[0]] = words[1:]
    return targets


def run(cmd, **kw):
    done = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, **kw)
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise Wrong(f"{os.path.basename(cmd[0])} ended with {done.returncode}:\n{text[-2000:]}")
    return text


def replay(build, name):
    """Runs a target over its corpus; returns the program and the profile that it left."""
    program = os.path.join(build, "tests", "fuzz", "fuzz_" + name)
    raw, profile = (os.path.join(build, f"fuzz-{name}.{x}") for x in ("profraw", "profdata"))
    run([program, os.path.join(FUZZ, "corpus", name)], env=dict(os.environ, LLVM_PROFILE_FILE=raw))
    run(["llvm-profdata", "merge", "-sparse", raw, "-o", profile])
    return program, profile


def count(program, profile, what):
    """(lines, lines not reached) of the functions that match."""
    source, _, functions = what.partition(":")
    path = os.path.join(ROOT, source)
    if not os.path.isfile(path):
        raise Wrong(f"targets.txt: there is no {source}")
    table = run(["llvm-cov", "report", "-show-functions", "-instr-profile=" + profile,
                 program, path])
    lines = missed = 0
    for row in filter(None, map(ROW.match, table.splitlines())):
        name = row[1].rsplit(":", 1)[-1]  # "file.c:name" where it is static
        if row[1] != "TOTAL" and (not functions or re.fullmatch(functions, name)):
            lines += int(row[2])
            missed += int(row[3])
    if lines == 0:
        raise Wrong(f"{what}: nothing of it is in the target")
    return lines, missed


def show_missing(program, profile, parts):
    for what in parts:
        text = run(["llvm-cov", "show", "-instr-profile=" + profile, program,
                    os.path.join(ROOT, what.partition(":")[0])])
        for line in text.splitlines():
            if re.match(r"^\s*\d+\|\s*0\|", line):
                print("    " + line)


def check(args, name, parts):
    program, profile = replay(args.build, name)
    lines = missed = 0
    for what in parts:
        n, m = count(program, profile, what)
        lines, missed = lines + n, missed + m
    percent = 100.0 * (lines - missed) / lines
    good = percent >= ENOUGH
    print(f"{'ok' if good else 'FAILED':6} coverage/{name:20} {percent:5.1f} % of {lines} lines: "
          + " ".join(parts), flush=True)
    if args.missing:
        show_missing(program, profile, parts)
    return good


def main():
    p = argparse.ArgumentParser(description="Line coverage of each parser by its corpus.")
    p.add_argument("--build", default="build-cov")
    p.add_argument("--missing", action="store_true", help="show the lines that are not reached")
    p.add_argument("names", nargs="*")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    targets = read_targets()
    sources = glob.glob(os.path.join(FUZZ, "fuzz_*.c"))
    passed = failed = 0
    for name in sorted({os.path.basename(f)[5:-2] for f in sources} | set(targets)):
        if args.names and name not in args.names:
            continue
        try:
            if not targets.get(name):
                raise Wrong("tests/fuzz/targets.txt does not say what it is for")
            good = check(args, name, targets[name])
        except (Wrong, OSError) as e:
            print(f"FAILED coverage/{name}: {e}")
            good = False
        passed, failed = passed + good, failed + (not good)
    print(f"\n{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
