# SPDX-License-Identifier: Apache-2.0
"""Runs check_* functions as TAP cases; a check returns what is wrong, one text a finding."""
import os
import re
import subprocess
import sys

ROOT = os.environ.get("SOTTO_SOURCE") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Skip(Exception):
    pass


def main(checks):
    bad = 0
    print(f"1..{len(checks)}")
    for i, check in enumerate(checks, 1):
        title = check.__doc__.strip().rstrip(".")
        try:
            findings = list(check())
        except Skip as why:
            print(f"ok {i} - {title} # SKIP {why}")
            continue
        except Exception as e:
            findings = [f"{type(e).__name__}: {e}"]
        for finding in findings:
            print(f"# {finding}")
        bad += bool(findings)
        print(f"{'not ' if findings else ''}ok {i} - {title}", flush=True)
    sys.exit(1 if bad else 0)


def files(*endings, under=("src", "include", "apps", "examples", "tests", "bench", "scripts")):
    """Tracked and new files of the tree, by ending, relative to its root."""
    if os.path.isdir(os.path.join(ROOT, ".git")):
        out = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", *under],
            cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    else:
        out = [os.path.relpath(os.path.join(d, f), ROOT) for top in under
               for d, _, names in os.walk(os.path.join(ROOT, top)) for f in names]
    return sorted(f for f in set(out) if f.endswith(endings) and os.path.isfile(os.path.join(ROOT, f)))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def read_code(path):
    """A C file without its comments and what its strings say; lines stay where they are."""
    def blank(m):
        return m[0][0] * 2 if m[0][0] in "\"'" else re.sub(r"[^\n]", " ", m[0])
    return re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', blank,
                  read(path), flags=re.DOTALL)
