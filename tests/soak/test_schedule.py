#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 360000
"""Random schedules of cuts, kills and old copies, a new seed each time, for half of SOAK_SECONDS.

A seed that fails is named: SOTTO_SEED=N build/tests/unit/test_schedule plays it again."""
import os
import random
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.join(os.environ["SOTTO_BUILD"], "tests", "unit", "test_schedule")
SECONDS = int(os.environ.get("SOAK_SECONDS") or 600) / 2
LONGEST = 300  # seconds for one seed
# It syncs thousands of times and proves nothing about a disk.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def main():
    end = time.monotonic() + SECONDS
    number = bad = 0
    while number == 0 or time.monotonic() < end:
        number += 1
        seed = random.SystemRandom().randrange(1, 1 << 48)
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            env = {**os.environ, "SOTTO_SEED": str(seed), "TMPDIR": folder}
            done = subprocess.run([PROGRAM], env=env, text=True, errors="replace", timeout=LONGEST,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            bad += 1
            print("".join(f"# {line}\n" for line in done.stdout.splitlines()[-40:]), end="")
        print(f"{'not ' if done.returncode else ''}ok {number} - seed {seed}", flush=True)
    print(f"1..{number}")
    sys.exit(1 if bad else 0)


main()
