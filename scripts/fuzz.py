#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every libFuzzer target for a while, from its seeds (tests/fuzz/corpus/NAME).

    scripts/fuzz.py [--build build-fuzz] [--seconds 10] [--jobs 2] [NAME...]

What libFuzzer finds on the way is kept in BUILD/corpus/NAME and is where the next run starts. An
input that breaks something lies in BUILD/findings; once mended, it belongs into the seeds.
Ends in "N passed, N failed, N skipped", a target being one case.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STATS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)


def command(args, name):
    corpus = os.path.join(args.build, "corpus", name)
    os.makedirs(corpus, exist_ok=True)
    findings = os.path.join(args.build, "findings", name)
    cmd = [
        os.path.join(args.build, "tests", "fuzz", "fuzz_" + name),
        f"-max_total_time={args.seconds}", "-timeout=10", "-rss_limit_mb=2048",
        "-print_final_stats=1", f"-artifact_prefix={findings}-", corpus,
    ]
    seeds = os.path.join(ROOT, "tests", "fuzz", "corpus", name)
    if os.path.isdir(seeds):
        cmd.append(seeds)
    words = os.path.join(ROOT, "tests", "fuzz", name + ".dict")
    if os.path.isfile(words):
        cmd.append("-dict=" + words)
    return cmd


def fuzz(args, name):
    env = dict(os.environ, UBSAN_OPTIONS="print_stacktrace=1",
               ASAN_OPTIONS="detect_stack_use_after_return=1")
    done = subprocess.run(command(args, name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, env=env, cwd=args.build)
    return name, done.returncode, done.stdout.decode(errors="replace")


def main():
    p = argparse.ArgumentParser(description="Runs every libFuzzer target for a while.")
    p.add_argument("--build", default="build-fuzz")
    p.add_argument("--seconds", type=int, default=10)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("names", nargs="*")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    found = sorted(os.path.basename(f)[5:] for f in
                   glob.glob(os.path.join(args.build, "tests", "fuzz", "fuzz_*"))
                   if os.path.isfile(f) and os.access(f, os.X_OK))
    names = [n for n in found if not args.names or n in args.names]
    if not names:
        sys.exit(f"fuzz.py: no such fuzz target in {args.build}; there are: {' '.join(found)}")
    os.makedirs(os.path.join(args.build, "findings"), exist_ok=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, code, text in pool.map(lambda n: fuzz(args, n), names):
            runs = STATS.search(text)
            print(f"{'ok' if code == 0 else 'FAILED':6} fuzz/{name:24} "
                  f"{runs[1] if runs else '?'} inputs in {args.seconds} s", flush=True)
            if code != 0:
                failed += 1
                print("    | " + "\n    | ".join(text.splitlines()[-60:]))
    print(f"\n{len(names) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
