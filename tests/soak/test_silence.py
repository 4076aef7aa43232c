#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What takes a minute: who says nothing, and who takes nothing, is ended; nothing of his mail is lost."""
# timeout: 600
import contextlib
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "e2e"))
import rogue  # noqa: E402
import sottolab  # noqa: E402
from rogue import Account, Connection  # noqa: E402

STRANGER_SECONDS, STALL_SECONDS = 60, 60
IDLE = 5  # Closing: nothing was heard for too long


def check_silence(lab):
    """a stranger who says nothing is told and ended after a minute; a device that is signed in stays"""
    relay = lab.relay("--registration", "open")
    mallory = Account(relay, "mallory")
    with Connection(relay) as stranger, mallory.connect() as device:
        begin = time.monotonic()
        stranger.patience(2 * STRANGER_SECONDS)
        assert stranger.until_closed() == IDLE
        assert time.monotonic() - begin >= STRANGER_SECONDS - 1
        assert device.ask(rogue.ping(7))[0] == rogue.DONE


def connections(relay):
    """How many sockets the relay has open."""
    found, folder = 0, f"/proc/{relay.running.pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(os.path.join(folder, name)).startswith("socket:")
    return found


def check_takes_nothing(lab):
    """a device that takes no output is ended after a minute; its next connection gets everything"""
    relay = lab.relay("--registration", "open", "--requests-per-second", "1000000",
                      "--bytes-per-second", "0")
    before = connections(relay)
    mallory, other = Account(relay, "mallory"), Account(relay, "other")
    with mallory.connect(receive_room=4096) as deaf:
        deaf.patience(0.5)
        while deaf.send(*[rogue.ping(7)] * 2000):
            pass
        with other.connect() as c:
            for n in range(5):
                text = b"message %d" % n
                got = c.ask(rogue.submit(10 + n, "mallory", [rogue.parcel(mallory.device, text)]))
                assert got[0] == rogue.SUBMITTED, got
        begin = time.monotonic()
        sottolab.until("the relay to give up on it", lambda: connections(relay),
                       lambda n: n <= before, patience=3 * STALL_SECONDS)
        assert time.monotonic() - begin > STALL_SECONDS / 2
    with mallory.connect() as c:
        for n in range(5):
            field, body = c.answer()
            assert field == rogue.DELIVER and rogue.first(body, 2) == b"message %d" % n, (n, body)
            assert c.send(rogue.ack(rogue.first(body, 1)))


sottolab.main([check_silence, check_takes_nothing])
