#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 360000
"""The simulation (tests/sim) with seeds that nobody has seen, for half of SOAK_SECONDS.

A seed that fails is named: make sim SEED=N plays it again."""
import os
import random
import subprocess
import sys
import time

PROGRAM = os.path.join(os.environ["SOTTO_BUILD"], "tests", "sim", "sim")
SECONDS = int(os.environ.get("SOAK_SECONDS") or 600) / 2
SEEDS = 200  # of one round


def main():
    end = time.monotonic() + SECONDS
    number = bad = 0
    while number == 0 or time.monotonic() < end:
        number += 1
        first = random.SystemRandom().randrange(1, 1 << 48)
        done = subprocess.run([PROGRAM, "--seeds", str(SEEDS), "--first", str(first)], text=True,
                              errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            bad += 1
            print("".join(f"# {line}\n" for line in done.stdout.splitlines()[-60:]), end="")
        print(f"{'not ' if done.returncode else ''}ok {number} - {SEEDS} seeds from {first}",
              flush=True)
    print(f"1..{number}")
    sys.exit(1 if bad else 0)


main()
