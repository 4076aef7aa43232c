#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How libsotto comes back by itself, as its events tell it: called from Python, as any host may. And
what becomes of clients that sleep, or go elsewhere, at both ends."""
import ctypes
import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from follower import Follower, compare  # noqa: E402
from proxy import Proxy  # noqa: E402
from sottolab import BUILD, PATIENCE, until  # noqa: E402

CONNECTION = 2  # enum sotto_event_type
OFFLINE, CONNECTING, ONLINE = range(3)
UNREACHABLE = 3
TRIES = 4
FIRST_MS = 500
IDLE_SECONDS = 5


class Options(ctypes.Structure):
    _fields_ = [("profile", ctypes.c_char_p), ("passphrase", ctypes.c_char_p),
                ("create", ctypes.c_bool)]


class Connection(ctypes.Structure):
    _fields_ = [("state", ctypes.c_int), ("result", ctypes.c_int), ("text", ctypes.c_char_p),
                ("pin", ctypes.c_char_p), ("retry_ms", ctypes.c_uint32)]


def library():
    lib = ctypes.CDLL(os.path.join(BUILD, "src", "run", "libsotto.so"))
    lib.sotto_client_next_event.restype = ctypes.c_void_p
    lib.sotto_event_connection.restype = ctypes.POINTER(Connection)
    for name in ("sotto_event_type", "sotto_event_connection", "sotto_event_free",
                 "sotto_client_next_event", "sotto_client_dispatch", "sotto_client_fd",
                 "sotto_client_close"):
        getattr(lib, name).argtypes = [ctypes.c_void_p]
    return lib


class Client:
    """A profile that is open; nothing but its one descriptor is waited for."""

    def __init__(self, person):
        self.lib, self.handle, why = library(), ctypes.c_void_p(), ctypes.create_string_buffer(512)
        options = Options(person.profile.encode(), person.passphrase.encode(), False)
        result = self.lib.sotto_client_open(ctypes.byref(options), ctypes.byref(self.handle), why,
                                            ctypes.c_size_t(len(why)))
        assert result == 0, why.value

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lib.sotto_client_close(self.handle)

    def changes(self):
        """(state, result, text, retry_ms) of the connection, as they come."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.lib.sotto_client_dispatch(self.handle)
            while event := self.lib.sotto_client_next_event(self.handle):
                if self.lib.sotto_event_type(event) == CONNECTION:
                    c = self.lib.sotto_event_connection(event).contents
                    yield c.state, c.result, c.text.decode(), c.retry_ms
                self.lib.sotto_event_free(event)
            select.select([self.lib.sotto_client_fd(self.handle)], [], [], 1)
        raise AssertionError("the connection does not change any more")


def pauses(changes, count):
    """Of so many tries in vain."""
    found = []
    for state, result, text, retry_ms in changes:
        if state == OFFLINE:
            assert result == UNREACHABLE and text, (result, text)
            found.append(retry_ms)
            if len(found) == count:
                return found
    return found


def check_pauses(lab):
    """without the relay the pauses double, a random part of up to a half off; then it comes back"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    relay.stop()
    with Client(alice) as a:
        changes = a.changes()
        first = pauses(changes, TRIES)
        for n, ms in enumerate(first):
            assert FIRST_MS << n >= ms >= (FIRST_MS << n) // 2, first
        with Client(bob) as b:
            second = pauses(b.changes(), 2)
        assert first[:2] != second, f"everybody would come back at once: {first}, {second}"
        relay.start()
        state = next(c[0] for c in changes if c[0] in (ONLINE, OFFLINE))
        assert state == ONLINE, state
        relay.stop()
        again = pauses(changes, 1)
        assert again[0] <= FIRST_MS, f"a connection that held begins anew: {again}"


def connections(relay):
    """The connections that the relay has open, by their other ends."""
    with open(f"/proc/{relay.running.pid}/net/tcp") as f:
        rows = [line.split() for line in f][1:]
    own = {os.readlink(f"/proc/{relay.running.pid}/fd/{n}")
           for n in os.listdir(f"/proc/{relay.running.pid}/fd")}
    return {row[2] for row in rows
            if f"socket:[{row[9]}]" in own and int(row[1].split(":")[1], 16) == relay.port
            and not row[2].endswith(":0000")}


def check_sleeps(lab):
    """a client that is stopped for longer than the relay waits: its connection is freed, it comes back by
    itself, and nothing is lost or shown twice"""
    relay = lab.relay("--idle-seconds", str(IDLE_SECONDS))
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    follower, sent = Follower(bob), []
    for n in range(2):
        sent.append(f"awake {n}")
        alice.send("bob", sent[-1])
        follower.until(sent[-1])
        until("the sender to be gone", lambda: connections(relay), lambda c: len(c) == 1)
        follower.runs[-1].signal(signal.SIGSTOP)
        sent.append(f"asleep {n}")
        alice.send("bob", sent[-1])
        until("the relay to give up on it", lambda: connections(relay), lambda c: not c)
        sent.append(f"still asleep {n}")
        alice.send("bob", sent[-1])
        follower.runs[-1].signal(signal.SIGCONT)
        follower.until(sent[-1])
    follower.stop()
    follower.check(sent)
    compare(alice, bob, ["hello", *sent])


def check_moves(lab):
    """a client whose network swallows everything, as after a change of address: it comes back by itself,
    what it was just sending arrives once, and the relay frees its dead connection"""
    relay = lab.relay()
    with Proxy(lambda: relay.port) as network:
        alice, = lab.people(relay, "alice")
        bob = lab.person("bob")
        bob.ok("register", relay.invite("--public", network.address), "--name", "bob")
        alice.befriend(bob)
        follower = Follower(bob)
        alice.send("bob", "here")
        follower.until("here")
        until("the sender to be gone", lambda: connections(relay), lambda c: len(c) == 1)
        dead = connections(relay)
        network.strand()
        alice.send("bob", "into the void")
        result = bob.run("send", "alice", "from elsewhere")
        assert result.code == 3 and "kept here and sent as soon as" in result.err, result
        follower.until("into the void")
        until("the dead connection to be freed", lambda: connections(relay),
              lambda c: len(c) == 1 and not c & dead)
        follower.stop()
        follower.check(["here", "into the void"])
        assert [m["text"] for m in alice.receive()] == ["from elsewhere"]
        compare(alice, bob, ["hello", "here", "into the void"])
        compare(bob, alice, ["hello too", "from elsewhere"])


sottolab.main([check_pauses, check_sleeps, check_moves])
