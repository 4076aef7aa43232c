#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From `sotto send` to the other side's screen, on loopback, both online.

Real relay, real TLS. Alice's engine runs (an open chat), so that a send is handed to it; bob's
`receive --follow` prints. "whole" is from starting the send process to the line on bob's side;
"line" is a line typed into alice's chat, so without starting a process.
"""
import os
import statistics
import subprocess
import sys
import time

SOURCE = os.environ.get("SOTTO_SOURCE") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests", "e2e"))
import sottolab  # noqa: E402

COUNT = 100


def arrival(bob, text):
    while text not in bob.out:
        time.sleep(0.0002)
    return time.monotonic()


def show(name, times):
    ms = sorted(t * 1000 for t in times)
    print(f"{name:28} median {statistics.median(ms):6.1f} ms   best {ms[0]:6.1f}   "
          f"p95 {ms[int(len(ms) * 0.95)]:6.1f}   ({len(ms)} messages)", flush=True)


def main():
    with sottolab.Lab() as lab:
        relay = lab.relay()
        alice, bob = lab.people(relay, "alice", "bob")
        alice.befriend(bob)
        follow = bob.start("receive", "--follow", "--json")
        chat = alice.start("chat", "bob", stdin=subprocess.PIPE)
        alice.send("bob", "warm")
        arrival(follow, '"warm"')
        whole, line = [], []
        for i in range(COUNT):
            began = time.monotonic()
            sender = subprocess.Popen(alice.words("send", "bob", f"whole {i}.", passphrase=False),
                                      stdout=subprocess.DEVNULL)
            whole.append(arrival(follow, f"whole {i}.") - began)
            sender.wait()
        for i in range(COUNT):
            began = time.monotonic()
            chat.write(f"line {i}.\n")
            line.append(arrival(follow, f"line {i}.") - began)
        show("sotto send, whole process", whole)
        show("a line in sotto chat", line)
        print("asked: median below 50 ms")


main()
