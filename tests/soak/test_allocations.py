#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 360000
"""Every allocation of a conversation fails once (tests/sim/alloc.c), in parts that nobody has chosen,
for a quarter of SOAK_SECONDS; the whole conversation is played to its end each time.

A failure is named with the call that led to it, and its number: alloc --at NUMBER plays it."""
import os
import random
import subprocess
import sys
import time

PROGRAM = os.path.join(os.environ["SOTTO_BUILD"], "tests", "sim", "alloc")
SECONDS = int(os.environ.get("SOAK_SECONDS") or 600) / 4
PARTS = 2000


def main():
    end = time.monotonic() + SECONDS
    left = random.SystemRandom().sample(range(PARTS), PARTS)
    number = bad = 0
    while left and (number == 0 or time.monotonic() < end):
        number += 1
        part = f"{left.pop()}/{PARTS}"
        done = subprocess.run([PROGRAM, "--all", "--long", "--part", part], text=True,
                              errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = done.stdout.splitlines()
        if done.returncode != 0:
            bad += 1
            print("".join(f"# {line}\n" for line in lines[-60:]), end="")
        said = next((line for line in lines if " allocations failed, " in line), "")
        print(f"{'not ' if done.returncode else ''}ok {number} - part {part}: {said.lstrip('# ')}",
              flush=True)
    print(f"1..{number}")
    sys.exit(1 if bad else 0)


main()
