#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each limit and the protocol forbid, tried by a client that keeps to nothing. After each
attempt two people still write to each other over the same relay, and its memory is bounded."""
# sanitizers: address, thread
# timeout: 900
import contextlib
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rogue  # noqa: E402
import sottolab  # noqa: E402
from rogue import Account, Connection  # noqa: E402
from sottolab import until  # noqa: E402

MEMORY = 48 << 20  # bytes that no attempt may make the relay need beyond what it had
ROGUES = 50
ENVELOPE = 60000
TOO_MANY_UPDATES = 1000000
TOO_MANY_FLOODS = 3000  # of 2000 pings: far more than the system's buffers hold


def resident(relay):
    with open(f"/proc/{relay.running.pid}/status") as f:
        line = next(line for line in f if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


class World:
    """A relay, and two people who have to be served whatever happens."""

    def __init__(self, lab, *options):
        self.relay = lab.relay("--registration", "open", *options)
        self.alice, self.bob = lab.people(self.relay, "alice", "bob")
        self.alice.befriend(self.bob)
        self.before, self.count = resident(self.relay), 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.serves()

    def serves(self):
        """And what the rogues left behind is bounded."""
        self.count += 1
        self.alice.send("bob", f"still here {self.count}")
        assert self.bob.receive()[0]["text"] == f"still here {self.count}"
        assert self.relay.running.process.poll() is None, self.relay.running.err
        self.bounded()

    def bounded(self):
        more = resident(self.relay) - self.before
        if not sottolab.SANITIZER:
            assert more < MEMORY, f"{more >> 20} MiB more than before"

    def lines(self, text):
        return [line for line in self.relay.running.err.splitlines() if text in line]


# ---- what the protocol forbids -------------------------------------------------------------


def check_before_sign_in(lab):
    """every request before sign-in is refused, and the sign-in after it works"""
    with World(lab) as w:
        mallory = Account(w.relay, "mallory")
        with Connection(w.relay) as c:
            for field in (17, 18, 19, 20, 21, 22, 23, 24, 25, 11):
                body = {18: rogue.data(1, b"x"), 19: rogue.data(1, rogue.data(1, "bob")),
                        20: rogue.data(1, "bob") + rogue.fixed(2, 1),
                        22: rogue.data(1, "bob") + rogue.number(2, 1) + rogue.parcel(1, b"x"),
                        24: rogue.data(1, bytes(32)), 25: rogue.data(1, bytes(64))}.get(field, b"")
                code, _ = c.error(rogue.request(100 + field, field, body))
                assert code in (rogue.NOT_SIGNED_IN, rogue.BAD_REQUEST), (field, code)
            assert c.ask(mallory.sign_in(c))[0] == rogue.SIGNED_IN


def check_another_account(lab):
    """nobody signs in as another, with a proof of another connection, or twice"""
    with World(lab) as w:
        mallory, other = Account(w.relay, "mallory"), Account(w.relay, "other")
        with Connection(w.relay) as c, Connection(w.relay) as second:
            for lie in (dict(name="other", device=other.device), dict(exporter=second.exporter()),
                        dict(exporter=bytes(32))):
                assert c.error(mallory.sign_in(c, **lie))[0] == rogue.BAD_PROOF, lie
            for lie in (dict(name="bob"), dict(device=1), dict(name="nobody")):
                assert c.error(mallory.sign_in(c, **lie))[0] == rogue.UNKNOWN_DEVICE, lie
            assert c.ask(mallory.sign_in(c))[0] == rogue.SIGNED_IN
            assert c.error(mallory.sign_in(c, 5))[0] == rogue.BAD_REQUEST


def check_frames(lab):
    """frames too long, empty, senseless or cut end their own connection"""
    with World(lab) as w:
        mallory = Account(w.relay, "mallory")
        for raw in (struct.pack(">I", 128 * 1024 + 1), struct.pack(">I", 0xffffffff), bytes(4),
                    struct.pack(">I", 5) + b"\xff" * 5,
                    struct.pack(">I", 3) + rogue.data(26, b"x")):
            with mallory.connect() as c:
                c.write(raw)
                c.until_closed()
        for body in (rogue.submit(9, "bob", [rogue.parcel(n, b"x") for n in range(1000)]),
                     rogue.submit(9, "bob", [rogue.parcel(1, b"x"), rogue.parcel(1, b"y")]),
                     rogue.submit(9, "bob", [rogue.parcel(1, bytes(65537))]),
                     rogue.submit(9, "x" * 1000, [rogue.parcel(1, b"x")])):
            with mallory.connect() as c:
                c.send(body)
                c.until_closed()


def check_ids_reused(lab):
    """ids reused, acknowledgements of what was never sent: answered, and nothing else happens"""
    with World(lab) as w:
        with Account(w.relay, "mallory").connect() as c:
            assert c.send(*[rogue.ping(7)] * 50)
            for _ in range(50):
                assert c.answer(7)[0] == rogue.DONE
            for seq in (0, 1, 1 << 40, (1 << 64) - 1, 1 << 63):
                assert c.send(rogue.ack(seq))
            assert c.ask(rogue.ping(8))[0] == rogue.DONE


def check_no_end(lab):
    """submits that never end cost little, and the end of one is a refusal"""
    with World(lab) as w:
        with contextlib.ExitStack() as stack:
            for n in range(10):
                c = stack.enter_context(Account(w.relay, f"m{n}").connect())
                for device in range(40):
                    assert c.send(rogue.submit(9, "bob", [rogue.parcel(device, bytes(ENVELOPE))],
                                               more=True))
                code, _ = c.error(rogue.submit(9, "bob", [rogue.parcel(99, b"x")]))
                assert code in (rogue.TOO_LARGE, rogue.BAD_REQUEST), code
            w.bounded()


def check_slow_bytes(lab):
    """one byte at a time is served; who never gets through the handshake is dropped"""
    with World(lab) as w:
        silent = [socket.create_connection(("127.0.0.1", w.relay.port)) for _ in range(ROGUES)]
        for s in silent:
            s.sendall(b"\x16\x03\x01")
        with Account(w.relay, "mallory").connect() as c:
            body = struct.pack(">I", len(rogue.ping(7))) + rogue.ping(7)
            for byte in body:
                assert c.write(bytes([byte]))
            assert c.answer(7)[0] == rogue.DONE
        w.serves()
        for s in silent:  # ten seconds after it came
            s.settimeout(sottolab.PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                while s.recv(100):
                    pass
            s.close()


def check_key_updates(lab):
    """thousands of TLS key updates: the connection goes on, at no cost for others; who sends nothing
    else is ended"""
    with World(lab) as w:
        with Account(w.relay, "mallory").connect() as c:
            for n in range(2000):
                assert c.update_keys(), n
                if n % 20 == 0:
                    assert c.ask(rogue.ping(7))[0] == rogue.DONE
            assert c.ask(rogue.ping(8))[0] == rogue.DONE
        with Account(w.relay, "flood").connect() as c:
            sent = 0
            while c.update_keys() and sent < TOO_MANY_UPDATES:
                sent += 1
            assert sent < TOO_MANY_UPDATES, "it takes as many as come"


def check_no_early_data(lab):
    """no session ticket is given out, no early data taken, and nothing is negotiated twice"""
    with World(lab) as w:
        with Account(w.relay, "mallory").connect() as c:
            assert c.ask(rogue.ping(7))[0] == rogue.DONE
            assert not c.resumable()
            assert not c.renegotiate()
            assert c.ask(rogue.ping(8))[0] == rogue.DONE


def check_replaced(lab):
    """a device that comes from elsewhere replaces its old connection, however silent that one is"""
    with World(lab) as w:
        mallory = Account(w.relay, "mallory")
        old = mallory.connect()
        for _ in range(5):
            fresh = mallory.connect()
            assert old.until_closed() != 0
            old.close()
            old = fresh
        assert old.ask(rogue.ping(7))[0] == rogue.DONE
        old.close()


# ---- what limits forbid --------------------------------------------------------------------


def check_reads_nothing(lab):
    """fifty that are sent much and read nothing cost a bounded amount of memory"""
    with World(lab, "--requests-per-second", "100000", "--bytes-per-second", "0",
               "--quota-bytes", "268435456") as w:
        with contextlib.ExitStack() as stack:
            for n in range(ROGUES):
                mallory = Account(w.relay, f"m{n}")
                c = stack.enter_context(mallory.connect(receive_room=4096))
                envelopes = [bytes([i]) * ENVELOPE for i in range(60)]
                for i, envelope in enumerate(envelopes):
                    assert c.send(rogue.submit(10 + i, mallory.name,
                                               [rogue.parcel(mallory.device, envelope)]))
            w.bounded()
            w.serves()


def check_pings(lab):
    """a flood of pings by somebody who reads no answer is held up, not stored"""
    with World(lab, "--requests-per-second", "1000000", "--bytes-per-second", "0") as w:
        with contextlib.ExitStack() as stack:
            for n in range(5):
                c = stack.enter_context(Account(w.relay, f"m{n}").connect(receive_room=4096))
                c.patience(0.5)
                flood, sent = [rogue.ping(7)] * 2000, 0
                while c.send(*flood) and sent < TOO_MANY_FLOODS:
                    sent += 1
                assert sent < TOO_MANY_FLOODS, "it takes as many as come"
            w.bounded()
            w.serves()


def check_too_fast(lab):
    """who asks for more than is allowed is read more slowly, and answered all the same"""
    with World(lab, "--requests-per-second", "100") as w:
        with Account(w.relay, "mallory").connect() as c:
            begin = time.monotonic()
            assert c.send(*[rogue.ping(7)] * 600)
            for _ in range(600):
                assert c.answer(7)[0] == rogue.DONE
            # What had been read at once was answered at once; it is made up for before the next.
            assert c.send(rogue.ping(7))
            assert c.answer(7)[0] == rogue.DONE
            assert time.monotonic() - begin > 2, "that was no limit"
            w.serves()


def check_comes_again(lab):
    """who hangs up and signs in again is not allowed more: requests and bytes count for the account"""
    with World(lab, "--requests-per-second", "200", "--bytes-per-second", "100000") as w:
        mallory = Account(w.relay, "mallory")
        for bodies, units in (([rogue.ping(7)] * 400, 400 / 200),
                              ([rogue.request(7, 26, rogue.data(9, bytes(60000)))] * 4, 240 / 100)):
            begin = time.monotonic()
            for _ in range(4):
                with mallory.connect() as c:
                    assert c.send(*bodies)
                    for _ in bodies:
                        assert c.answer(7)[0] == rogue.DONE
            # The first is free, what the last one owes nobody waits for.
            assert time.monotonic() - begin > 4 * units - units - 2.5 - 0.2, "that was no limit"
        w.serves()


def check_sign_ins(lab):
    """a device that signs in too often is told how long to wait; the log says so once"""
    with World(lab, "--sign-ins-per-minute", "40") as w:
        mallory, refused = Account(w.relay, "mallory"), 0
        for _ in range(60):
            with Connection(w.relay) as c:
                field, body = c.ask(mallory.sign_in(c))
                if field == rogue.ERROR:
                    assert rogue.first(body, 1) == rogue.TOO_MANY
                    assert 0 < rogue.first(body, 4) <= 60000
                    refused += 1
        assert refused == 20, refused
        assert len(w.lines("signs in too often")) == 1, w.relay.running.err


def check_passphrases(lab):
    """guesses get slower in the same way for names with and without an account"""
    with World(lab) as w:
        waits = {}
        for name in ("alice", "nobody"):
            for _ in range(8):
                with Connection(w.relay) as c:
                    field, body = c.ask(rogue.opaque_login(7, name))
                    waits.setdefault(name, []).append(
                        (field, rogue.first(body, 1) if field == rogue.ERROR else 0,
                         field == rogue.ERROR and 0 < rogue.first(body, 4) <= 2000))
        assert waits["alice"] == waits["nobody"], waits
        assert [field for field, *_ in waits["alice"]].count(rogue.ERROR) >= 2, waits
        assert all(ok for field, _, ok in waits["alice"] if field == rogue.ERROR), waits


def check_bundles(lab):
    """an account that asks for everybody's keys is told to wait"""
    with World(lab, "--bundles-per-hour", "20") as w:
        other = Account(w.relay, "other")
        with Account(w.relay, "mallory").connect() as c:
            for n in range(20):
                assert c.ask(rogue.get_bundle(10 + n, "other", other.device))[0] != rogue.ERROR
            code, wait = c.error(rogue.get_bundle(50, "other", other.device))
            assert code == rogue.TOO_MANY and 0 < wait <= 3600 * 1000, (code, wait)


def check_strangers(lab):
    """messages to people who have not accepted the sender are few"""
    with World(lab, "--strangers-per-hour", "10") as w:
        other = Account(w.relay, "other")
        with Account(w.relay, "mallory").connect() as c:
            got = [c.ask(rogue.submit(10 + n, "other", [rogue.parcel(other.device, b"%d" % n, n + 1)]))
                   for n in range(12)]
            codes = [rogue.first(body, 1, 0) for field, body in got if field == rogue.ERROR]
            assert codes == [rogue.TOO_MANY] * 2, got


def check_sign_ups(lab):
    """one address has only so many sign-ups in an hour"""
    with World(lab, "--sign-ups-per-hour", "10") as w:
        made = 0
        try:
            for n in range(10):
                Account(w.relay, f"m{n}")
                made += 1
        except AssertionError as e:
            assert "too many sign-ups" in str(e), e
        assert made == 8, made  # alice and bob are two


def check_connections(lab):
    """one address has only so many connections; who is there stays; the log says so once"""
    with World(lab, "--connections-per-address", "10") as w:
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(Connection(w.relay)) for _ in range(8)]
            turned = 0
            for _ in range(10):
                try:
                    stack.enter_context(Connection(w.relay))
                except ConnectionError:
                    turned += 1
            assert turned == 8, turned
            for c in held:
                assert c.ask(rogue.ping(7))[0] == rogue.DONE
            assert len(w.lines("connections_per_address")) == 1, w.relay.running.err

        def again():
            try:
                return Connection(w.relay)
            except ConnectionError:
                return None
        until("room for another connection", again).close()


def check_handshakes(lab):
    """one address has only so many handshakes in a minute; who is there goes on; logged once"""
    relay = lab.relay("--registration", "open", "--handshakes-per-minute", "40")
    mallory, other = Account(relay, "mallory"), Account(relay, "other")
    with mallory.connect() as m, other.connect() as o:
        turned = 0
        for _ in range(60):
            try:
                Connection(relay).close()
            except ConnectionError:
                turned += 1
        assert turned >= 20, turned
        talk(mallory, m, other, o)
    assert relay.running.err.count("(handshakes_per_minute)") == 1, relay.running.err


def talk(one, c, other, o):
    """What one sends the other has at once."""
    for n in range(20):
        text = b"still here %d" % n
        assert c.send(rogue.submit(10 + n, other.name, [rogue.parcel(other.device, text, n + 1)]))
        field, body = o.answer()
        assert field == rogue.DELIVER and text in body, (field, body)
        assert o.send(rogue.ack(rogue.first(body, 1)))
        assert c.answer(10 + n)[0] == rogue.SUBMITTED


def check_no_descriptors(lab):
    """without file descriptors those who are there go on; others wait; the log says why"""
    files = 72
    relay = sottolab.Relay.__new__(sottolab.Relay)
    relay.lab, relay.log, relay.options = lab, "", ()
    relay.data, relay.port = lab.path("relay"), sottolab.free_port()
    relay.running = lab.start(["sh", "-c", f"ulimit -n {files} && exec \"$@\"", "sh", sottolab.SOTTOD,
                               "--data", relay.data, "--listen", f"127.0.0.1:{relay.port}",
                               "--registration", "open"])
    relay.running.until_out("sottod ready")
    mallory, other = Account(relay, "mallory"), Account(relay, "other")
    with mallory.connect() as m, other.connect() as o:
        waiting = [socket.create_connection(("127.0.0.1", relay.port)) for _ in range(files)]
        relay.running.until_err("new connections have to wait")
        talk(mallory, m, other, o)
        lines = relay.running.err.count("new connections have to wait")
        assert lines <= 8, relay.running.err  # one of each thread
        for s in waiting:
            s.close()
    Account(relay, "later")  # there is room again


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
