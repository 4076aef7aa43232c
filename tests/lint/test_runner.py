#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The runner counts what it is told, and takes every way of ending badly for a failure."""
import argparse
import importlib.util
import io
import os
import contextlib
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap  # noqa: E402

spec = importlib.util.spec_from_file_location("runner", os.path.join(tap.ROOT, "scripts/test.py"))
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)

# name, what a test does, its limit, (passed, failed, skipped)
CASES = [
    ("all good", "echo 1..2; echo ok 1 - a; echo 'ok 2 b'", 9, (2, 0, 0)),
    ("one bad", "echo ok 1 - a; echo not ok 2 - b; exit 1", 9, (1, 1, 0)),
    ("bad but exit code 0", "echo not ok 1 - a", 9, (0, 1, 0)),
    ("skipped", "echo 'ok 1 - a # SKIP no tmux'", 9, (0, 0, 1)),
    ("skipped by cmocka", "echo 1..2; echo 'not ok 1 # SKIP a'; echo ok 2 - b", 9, (1, 0, 1)),
    ("skipped as a whole", "echo '1..0 # SKIP nothing here'", 9, (0, 0, 1)),
    ("exit code alone", "echo ok 1 - a; exit 3", 9, (1, 1, 0)),
    ("signal", "echo ok 1 - a; kill -SEGV $$", 9, (1, 1, 0)),
    ("too few", "echo 1..3; echo ok 1 - a", 9, (1, 1, 0)),
    ("two plans", "echo 1..1; echo ok 1 - a; echo 1..1; echo ok 1 - b", 9, (2, 0, 0)),
    ("silent", "true", 9, (0, 1, 0)),
    ("gives up", "echo ok 1 - a; echo 'Bail out! no disk'", 9, (1, 1, 0)),
    ("hangs", "echo ok 1 - a; exec tail -f /dev/null", 1, (1, 1, 0)),
    ("leaves a process", "tail -f /dev/null & echo ok 1 - a", 9, (1, 1, 0)),
    # It has left the test's process group before the test ends, or it would go with that.
    ("leaves a daemon", "setsid sh -c 'echo >$TMPDIR/d; exec tail -f /dev/null' & "
     "until [ -e $TMPDIR/d ]; do :; done; echo ok 1 - a", 9, (1, 1, 0)),
    ("sanitizer", 'echo x >"${ASAN_OPTIONS%%:*}.1" 2>/dev/null; '
     'echo race >"$(dirname "$HOME")/sanitizer-report.7"; echo ok 1 - a', 9, (1, 1, 0)),
    ("killed during the leak check", 'echo "==7==Unable to get registers from thread 9." '
     '>"$(dirname "$HOME")/sanitizer-report.7"; echo ok 1 - a', 9, (1, 0, 0)),
    ("a leak and that", 'printf "==7==Unable to get registers from thread 9.\nleak\n" '
     '>"$(dirname "$HOME")/sanitizer-report.7"; echo ok 1 - a', 9, (1, 1, 0)),
    ("own folder", 'test -d "$TMPDIR" && test -d "$HOME" && echo ok 1 - a', 9, (1, 0, 0)),
    ("no such program", None, 9, (0, 1, 0)),
]


def run(build, what, limit):
    cmd = ["sh", "-c", what] if what is not None else ["./there-is-no-such-program"]
    args = argparse.Namespace(build=build, vectors=None)
    return runner.run(args, "", runner.Test("unit", "case", cmd, limit, cwd=build))


def check_counts():
    """Every way of ending is counted"""
    with tempfile.TemporaryDirectory() as build:
        os.mkdir(os.path.join(build, "test-logs"))
        for name, what, limit, want in CASES:
            t = run(build, what, limit)
            got = (t.passed, len(t.failed), len(t.skipped))
            if got != want:
                yield f"{name}: {got} instead of {want}: {t.failed} {t.skipped}"


def check_summary():
    """Skips and failures are named, and the last line is the sum"""
    with tempfile.TemporaryDirectory() as build, contextlib.redirect_stdout(io.StringIO()) as out:
        os.mkdir(os.path.join(build, "test-logs"))
        what = "echo ok 1 - a; echo 'ok 2 - b # SKIP why'; echo not ok 3 - c"
        code = runner.summary([run(build, what, 9), run(build, "echo ok 1 - d", 9)])
    want = ["skipped: unit/case: b (why)", "failed: unit/case: c",
            "2 passed, 1 failed, 1 skipped"]
    lines = [line for line in out.getvalue().splitlines() if line]
    if lines != want or code != 1:
        yield f"exit code {code}, {lines}"


def check_total():
    """A run that ends without a result, or claims success and fails, is a failure"""
    for text, code, want in [
        ("9 passed, 0 failed, 1 skipped", 0, "9 passed, 0 failed, 1 skipped"),
        ("1 passed, 0 failed, 0 skipped\n2 passed, 3 failed, 0 skipped", 1,
         "2 passed, 3 failed, 0 skipped"),
        ("9 passed, 0 failed, 1 skipped", 2, "0 passed, 1 failed, 0 skipped"),
        ("ninja: error", 1, "0 passed, 1 failed, 0 skipped"),
        ("", 0, "0 passed, 1 failed, 0 skipped"),
    ]:
        done = subprocess.run([os.path.join(tap.ROOT, "scripts/total.sh"), "x", str(code)],
                              input=text + "\n", capture_output=True, text=True)
        if done.stdout.strip() != want:
            yield f"{text!r} with code {code}: {done.stdout!r}"


if __name__ == "__main__":
    tap.main([check_counts, check_summary, check_total])
