#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A device that is there and does not read any more, while much is sent to it. It takes a minute, as the
relay waits that long; the relays are tried at the same time: one with many threads, one with one."""
# sanitizers: address, thread
# timeout: 300
import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rogue  # noqa: E402
import sottolab  # noqa: E402
from rogue import Account  # noqa: E402
from sottolab import until  # noqa: E402
from test_rogue import resident  # noqa: E402

STALL_SECONDS, STORED = 60, 1
COUNT, SIZE = 800, 60000
MEMORY = 24 << 20  # bytes: the 16 MiB that the store may keep of its pages, and half of that
ETHERNET = 1448
TOKEN = bytes(range(16))


def envelope(n):
    return f"{n:06} ".encode() + bytes([n % 251]) * SIZE


def send(connection, to, n):
    """It is stored."""
    field, body = connection.ask(rogue.submit(
        10 + n, to.name, [rogue.parcel(to.device, envelope(n), n + 1)], token=TOKEN))
    assert field == rogue.SUBMITTED and rogue.states(body) == [STORED], (n, field, body)


def numbers(connection, count):
    """Of the next envelopes, in order; each is acknowledged."""
    found = []
    while len(found) < count:
        body = connection.frame()
        assert body is not None, f"the connection ended after {found}"
        got = rogue.first(body, rogue.DELIVER)
        if got:
            n = int(rogue.first(got, 2)[:6])
            assert rogue.first(got, 2) == envelope(n), n
            found.append(n)
            assert connection.send(rogue.ack(rogue.first(got, 1)))
    return found


def check_stall(lab):
    """who reads nothing any more is sent no more than fits the window, costs the relay no memory, and is
    ended after a minute, which the log says; those who write to him notice nothing; he gets all"""
    worlds = []
    with contextlib.ExitStack() as stack:
        for threads in ("8", "1"):
            relay = lab.relay("--registration", "open", "--threads", threads, "--bytes-per-second", "0",
                              "--quota-bytes", str(COUNT * SIZE * 16), "--quota-messages", str(COUNT * 16))
            deaf, other = Account(relay, "deaf"), Account(relay, "other")
            held = stack.enter_context(deaf.connect(receive_room=4096, segment=ETHERNET))
            assert held.ask(rogue.let_in(3, TOKEN))[0] == rogue.DONE
            worlds.append((relay, deaf, other, held, resident(relay)))
        for relay, deaf, other, held, before in worlds:
            with other.connect() as c:
                for n in range(COUNT):
                    send(c, deaf, n)
            more = resident(relay) - before
            print(f"# {more >> 10} KiB more memory after {COUNT * SIZE >> 10} KiB", flush=True)
            assert sottolab.SANITIZER or more < MEMORY, f"{more >> 10} KiB more than before"
        for relay, deaf, other, held, before in worlds:
            line = until("the relay to give up on it", lambda: [
                s for s in relay.running.err.splitlines() if "took no data" in s],
                patience=STALL_SECONDS + sottolab.PATIENCE)
            assert len(line) == 1 and f"took no data for {STALL_SECONDS} s" in line[0], line
            with deaf.connect() as c:
                assert numbers(c, COUNT) == list(range(COUNT))
                assert c.ask(rogue.ping(7))[0] == rogue.DONE
            with deaf.connect() as c, other.connect() as o:
                send(o, deaf, COUNT)
                assert numbers(c, 1) == [COUNT], "something came twice"
            assert relay.stop().code == 0


if __name__ == "__main__":
    sottolab.main([check_stall])
