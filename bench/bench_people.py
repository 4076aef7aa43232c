#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a relay needs for so many people: memory, CPU in the busiest hour, disk.

    make bench-people

A relay with its default settings, in a folder of its own. Each person has one device with 64
one-time keys on the relay. A third of them are there and say that they still are every minute; for
each of the others 20 messages wait. Everybody writes 50 texts a day, each of which is answered by a
receipt, so 100 messages; and comes 8 times a day. An eighth of that happens in the busiest hour. Half
of what is written goes to people who are away. A message is 256 bytes here.

Played is a minute of the busiest hour (SECONDS). CPU is user + system time of the relay, as a share
of one core; memory is what is resident after that; disk is the folder then.

Environment: PEOPLE ("100 1000 10000"), SECONDS (60), OUT (a file that gets the raw lines).
"""
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = os.environ.get("SOTTO_SOURCE") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("SOTTO_BUILD") or os.path.join(SOURCE, "build")
SOTTOD = os.path.join(BUILD, "sottod")
FILL, LOAD = (os.path.join(BUILD, "bench", n) for n in ("relay_fill", "relay_load"))
PEOPLE = [int(n) for n in (os.environ.get("PEOPLE") or "100 1000 10000").split()]
SECONDS = float(os.environ.get("SECONDS") or 60)
PATIENCE = 1800

ONE_TIME_KEYS = 64
THERE = 1 / 3
WAITING = 20    # messages for each of the others
MESSAGES = 100  # of one person in a day
SIGN_INS = 8
BUSIEST = 1 / 8  # of the day's, in an hour


def run(words):
    done = subprocess.run(words, stdout=subprocess.PIPE, timeout=PATIENCE, text=True)
    if done.returncode != 0:
        sys.exit(f"bench_people: {' '.join(words)}: exit code {done.returncode}")
    return done.stdout


def fields(line):
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


class Relay:
    def __init__(self, folder):
        began = time.monotonic()
        self.process = subprocess.Popen(
            [SOTTOD, "--data", folder, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline().split()
        self.start_ms = (time.monotonic() - began) * 1000
        if line[:2] != [b"sottod", b"ready"]:
            sys.exit("bench_people: the relay does not start")
        self.port, self.pin = line[2].rsplit(b":", 1)[1].decode(), line[4].decode()

    def load(self, *words):
        line = run([LOAD, "--port", self.port, "--pin", self.pin, "--pid", str(self.process.pid),
                    *map(str, words)])
        print(line.strip(), flush=True)
        if os.environ.get("OUT"):
            with open(os.environ["OUT"], "a", encoding="utf-8") as f:
                f.write(line)
        return fields(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.process.stdout.close()


def on_disk(folder):
    """Bytes that the folder takes."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
    return total


def measure(people, folder):
    there = max(2, int(people * THERE))
    away = people - there
    run([FILL, "--data", folder, "--accounts", str(people), "--keys", str(ONE_TIME_KEYS)])
    accounts = on_disk(folder)
    with Relay(folder) as relay:
        stock = relay.load("--work", "stock", "--senders", min(there - 1, 200), "--box0", there,
                           "--boxes", away, "--count", away * WAITING)
    with Relay(folder) as relay:  # as it is after a start: nothing of the filling is left
        day = relay.load("--work", "day", "--count", there, "--box0", there, "--boxes", away,
                         "--rate", max(1, int(people * MESSAGES * BUSIEST)),
                         "--sign-ins", max(1, int(people * SIGN_INS * BUSIEST)),
                         "--seconds", SECONDS, "--settle", min(12, SECONDS))
        disk = on_disk(folder)
        start_ms = relay.start_ms
    wrong = [f"{k}={d[k]}" for d, k in ((stock, "nack"), (day, "nack"), (day, "requests"))
             if d[k] != "0"]
    return [f"{people:,}", f"{there:,}", f"{int(stock['acked']):,}",
            f"{int(day['rss_kb']) / 1024:.0f} MiB", f"{float(day['srv_cpu_pct']):.2f} %",
            f"{disk / 2**20:,.0f} MiB", f"{accounts / 2**20:,.0f} MiB", f"{start_ms:.0f} ms"], wrong


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows = [["people", "there", "waiting", "memory", "CPU", "disk", "of it accounts", "start"]]
    wrong = []
    for people in PEOPLE:
        folder = tempfile.mkdtemp(prefix="sotto-people")
        try:
            row, what = measure(people, os.path.join(folder, "relay"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        rows.append(row)
        wrong += [f"{people} people: {w}" for w in what]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.rjust(w) for cell, w in zip(row, widths)))
    for line in wrong:
        print(f"wrong: {line}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
