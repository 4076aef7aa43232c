#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 360000
"""tests/e2e/test_promises.py and test_kills.py (real programs killed, cut and put back) in turn, again
and again, a new seed each time, for half of SOAK_SECONDS.

A seed that fails is named: SOTTO_SEED=N tests/e2e/test_promises.py plays it again; so does
SOTTO_ROUNDS=N SOTTO_SEED=N tests/e2e/test_kills.py."""
import os
import random
import subprocess
import sys
import time

SCRIPTS = ["test_kills.py", "test_promises.py"]
ROUNDS = 300  # of kills, in one run
SECONDS = int(os.environ.get("SOAK_SECONDS") or 600) / 2
LONGEST = 1800  # seconds for one seed


def main():
    end = time.monotonic() + SECONDS
    number = bad = 0
    while number < len(SCRIPTS) or time.monotonic() < end:
        name = SCRIPTS[number % len(SCRIPTS)]
        number += 1
        seed = random.SystemRandom().randrange(1 << 32)
        env = {**os.environ, "SOTTO_SEED": str(seed), "SOTTO_ROUNDS": str(ROUNDS)}
        done = subprocess.run([os.path.join(os.environ["SOTTO_SOURCE"], "tests", "e2e", name)],
                              env=env, text=True, errors="replace", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LONGEST)
        if done.returncode != 0:
            bad += 1
            print("".join(f"# {line}\n" for line in done.stdout.splitlines()
                          if not line.startswith("ok ")), end="")
        print(f"{'not ' if done.returncode else ''}ok {number} - {name} seed {seed}", flush=True)
    print(f"1..{number}")
    sys.exit(1 if bad else 0)


main()
