#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many lines of each parser the corpus of its fuzz target reaches.

    scripts/fuzz-coverage.py [--build build-cov] [--missing] [NAME...]

tests/fuzz/targets.txt names the targets and what each is for: "target source[:function-regex]...",
a source being a file, or a folder with a "/" at its end.
Every fuzz target has to be in it, and its corpus has to reach 90 % of those lines. --missing shows
the lines that are not reached. Ends in "N passed, N failed, N skipped", a target being one case.
"""
import argparse
import glob
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FUZZ = os.path.join(ROOT, "tests", "fuzz")
ENOUGH = 90.0


class Wrong(Exception):
    pass


def expand(word):
    """A folder is all of its files."""
    if not word.endswith("/"):
        return [word]
    return sorted(os.path.relpath(f, ROOT) for f in glob.glob(os.path.join(ROOT, word, "*.c")))


def read_targets():
    targets = {}
    with open(os.path.join(FUZZ, "targets.txt"), encoding="utf-8") as f:
        for line in f:
            words = line.split("#")[0].split()
            if words:
                targets[words[0]] = [part for word in words[1:] for part in expand(word)]
    return targets


def run(cmd, **kw):
    done = subprocess.run(cmd, capture_output=True, stdin=subprocess.DEVNULL, text=True,
                          errors="replace", **kw)
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-2000:]
        raise Wrong(f"{os.path.basename(cmd[0])} ended with {done.returncode}:\n{said}")
    return done.stdout


def replay(build, name):
    """Runs a target over its corpus; returns the program and the profile that it left."""
    program = os.path.join(build, "tests", "fuzz", "fuzz_" + name)
    raw, profile = (os.path.join(build, f"fuzz-{name}.{x}") for x in ("profraw", "profdata"))
    run([program, os.path.join(FUZZ, "corpus", name)], env=dict(os.environ, LLVM_PROFILE_FILE=raw))
    run(["llvm-profdata", "merge", "-sparse", raw, "-o", profile])
    return program, profile


class Coverage:
    """What one target's corpus reached: per source file, how often each line ran."""

    def __init__(self, program, profile):
        export = ["llvm-cov", "export", "-instr-profile=" + profile, program]
        self.lines, lines = {}, {}
        for row in run(export + ["-format=lcov"]).splitlines():
            if row.startswith("SF:"):
                lines = self.lines.setdefault(os.path.normpath(row[3:]), {})
            elif row.startswith("DA:"):
                number, count = row[3:].split(",")[:2]
                lines[int(number)] = int(count)
        self.functions = [  # name ("file.c:name" where static), file, first line, last line
            (f["name"].rsplit(":", 1)[-1], os.path.normpath(f["filenames"][0]),
             f["regions"][0][0], f["regions"][0][2])
            for f in json.loads(run(export))["data"][0]["functions"] if f["filenames"]]

    def of(self, what):
        """{line: count} of a "source[:function-regex]"."""
        source, _, pattern = what.partition(":")
        path = os.path.join(ROOT, source)
        if not os.path.isfile(path):
            raise Wrong(f"targets.txt: there is no {source}")
        lines = self.lines.get(path, {})
        if pattern:
            spans = [(first, last) for name, file, first, last in self.functions
                     if file == path and re.fullmatch(pattern, name)]
            lines = {n: c for n, c in lines.items() if any(a <= n <= b for a, b in spans)}
        if not lines:
            raise Wrong(f"{what}: nothing of it is in the target")
        return lines


def show_missing(what, lines):
    source = what.partition(":")[0]
    with open(os.path.join(ROOT, source), encoding="utf-8") as f:
        for number, text in enumerate(f, 1):
            if lines.get(number) == 0:
                print(f"    {source}:{number}: {text.rstrip()}")


def check(args, name, parts):
    coverage = Coverage(*replay(args.build, name))
    reached = total = 0
    for what in parts:
        lines = coverage.of(what)
        total += len(lines)
        reached += sum(count > 0 for count in lines.values())
        if args.files:
            print(f"    {100.0 * sum(count > 0 for count in lines.values()) / len(lines):5.1f} % "
                  f"of {len(lines)} lines: {what}")
        if args.missing:
            show_missing(what, lines)
    percent = 100.0 * reached / total
    good = percent >= ENOUGH
    print(f"{'ok' if good else 'FAILED':6} coverage/{name:20} {percent:5.1f} % of {total} lines: "
          + " ".join(parts), flush=True)
    return good


def main():
    p = argparse.ArgumentParser(description="Line coverage of each parser by its corpus.")
    p.add_argument("--build", default="build-cov")
    p.add_argument("--missing", action="store_true", help="show the lines that are not reached")
    p.add_argument("--files", action="store_true", help="and how much of each file is")
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
