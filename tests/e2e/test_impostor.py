#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Somebody in the relay's place, in a client's place, or in the way of an invite: what people are told
about it, and that it goes on as before with the true one."""
# sanitizers: address
# timeout: 600
import base64
import contextlib
import hashlib
import os
import select
import shutil
import socket
import sqlite3
import ssl
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from sottolab import friends, goes_on, until  # noqa: E402
from test_sottod import Wire  # noqa: E402
from test_trust import boxes_of, edited, other_byte  # noqa: E402


# ---- somebody in the relay's place ---------------------------------------------------------


class Impostor:
    """A TLS server on the relay's port; keeps in `heard` what anybody says to it once the handshake
    is done. cert: the folder with its certificate and key. hello: a frame to greet with. upstream:
    the port of the true relay, which it then stands in between of."""

    def __init__(self, port, cert, hello=b"", upstream=None, alpn="sotto/1",
                 version=ssl.TLSVersion.TLSv1_3):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = self.context.maximum_version = version
        self.context.load_cert_chain(*(os.path.join(cert, f"server_{n}.pem") for n in ("cert", "key")))
        if alpn:
            self.context.set_alpn_protocols([alpn])
        self.hello, self.upstream = hello, upstream
        self.heard, self.calls, self.threads = b"", 0, []
        self.server = socket.create_server(("127.0.0.1", port))
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            self.calls += 1
            thread = threading.Thread(target=self.serve, args=(peer,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def serve(self, peer):
        peer.settimeout(sottolab.PATIENCE)
        with peer, contextlib.suppress(OSError):  # of which SSLError is one
            with self.context.wrap_socket(peer, server_side=True) as tls:
                if self.upstream:
                    self.stand_between(tls)
                    return
                tls.sendall(self.hello)
                while data := tls.recv(65536):
                    self.heard += data

    def stand_between(self, tls):
        """In one thread: a TLS object of OpenSSL's is not to be read and written at the same time."""
        with Wire(self.upstream) as true:
            ends = {tls: true.tls, true.tls: tls}
            for end in ends:
                end.settimeout(sottolab.PATIENCE)
            while True:
                ready = [end for end in ends if end.pending()]
                for end in ready or select.select(list(ends), [], [], sottolab.PATIENCE)[0]:
                    data = end.recv(65536)
                    if end is tls:
                        self.heard += data
                    if not data:
                        ends[end].shutdown(socket.SHUT_RDWR)
                        return
                    ends[end].sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for thread in (self.thread, *self.threads):
            thread.join(sottolab.PATIENCE)


def hello_of(relay):
    """The frame that it greets everybody with."""
    with Wire(relay.port) as wire:
        body = wire.frame()
    return len(body).to_bytes(4, "big") + body


def certificate(relay):
    return os.path.join(relay.data, "cert")


def stopped_impostor(lab):
    """Another relay's folder: its certificate is what an impostor has, its pin what he shows."""
    other = lab.relay()
    other.stop()
    return other


def check_impostor(lab):
    """Another key in the relay's place gets no byte: exit 7 with both keys and the way out, what was
    written is kept, and goes out once the true relay is back"""
    relay, alice, bob = friends(lab)
    thief, hello = stopped_impostor(lab), hello_of(relay)
    relay.stop()
    with Impostor(relay.port, certificate(thief), hello) as impostor:
        for words in (("send", "bob", "kept"), ("receive",), ("receive", "--json", "--wait", "1")):
            said = alice.fails(7, *words)
            assert f"pinned {relay.pin}, shown {thief.pin}" in said, said
            assert f"sotto trust-relay {thief.pin}" in said, said
        status, = alice.json("status")
        assert status["connection"] == "offline" and thief.pin in status["why"], status
        assert status["pin"] == relay.pin and status["queued"] == 1, status
        chat = alice.terminal("chat", "bob")
        chat.until("another key")
        chat.key("C-d")
        assert chat.wait() == 0
    assert impostor.calls >= 4 and impostor.heard == b"", impostor.heard
    assert [m["text"] for m in alice.history("bob")] == ["hello", "hello too", "kept"]
    relay.start()
    goes_on(alice, bob, ["kept"])


def check_another_sottod(lab):
    """The same with another sottod there: it hears of no account"""
    relay, alice, bob = friends(lab)
    other = stopped_impostor(lab)
    relay.stop()
    port, other.port = other.port, relay.port
    other.start()
    said = alice.fails(7, "send", "bob", "kept")
    assert relay.pin in said and f"sotto trust-relay {other.pin}" in said, said
    alice.ok("trust-relay", other.pin)  # she was talked into it
    for _ in range(2):
        said = alice.fails(7, "receive")
        assert "another relay" in said and "relay id" in said, said
    other.stop()
    assert "alice" not in other.log, other.log
    with contextlib.closing(sqlite3.connect(os.path.join(other.data, "relay.db"))) as db:
        assert db.execute("SELECT count(*) FROM account").fetchone() == (0,)
    other.port = port
    relay.start()
    said = alice.fails(7, "receive")
    assert f"pinned {other.pin}, shown {relay.pin}" in said, said
    alice.ok("trust-relay", relay.invite())
    goes_on(alice, bob, ["kept"])


def check_fooled(lab):
    """Somebody was talked into trusting a wrong key: its owner cannot show the true relay's hello,
    and hears nothing either"""
    relay, alice, bob = friends(lab)
    thief, hello = stopped_impostor(lab), hello_of(relay)
    relay.stop()
    with Impostor(relay.port, certificate(thief), hello) as impostor:
        alice.ok("trust-relay", thief.pin)
        for words in (("send", "bob", "kept"), ("receive",)):
            said = alice.fails(7, *words)
            assert "does not vouch for the TLS key" in said, said
    assert impostor.calls >= 2 and impostor.heard == b"", impostor.heard
    relay.start()
    alice.fails(7, "receive")
    alice.ok("trust-relay", relay.pin)
    goes_on(alice, bob, ["kept"])


def check_stolen_key(lab):
    """Whoever has the relay's TLS key and stands in between cannot sign in with what he hears"""
    relay, alice, bob = friends(lab)
    bob.send("alice", "for alice alone")
    hidden = lab.path("stolen")
    shutil.copytree(certificate(relay), hidden)
    relay.stop()
    port, relay.port = relay.port, None
    relay.start()
    with Impostor(port, hidden, upstream=relay.port) as impostor:
        for words in (("receive",), ("send", "bob", "kept")):
            said = alice.fails(4, *words)
            assert "refused to sign this device in" in said and "proof" in said, said
            assert "in between" in said and "sotto trust-relay sha256:" in said, said
    assert b"alice" in impostor.heard, "the trap does not work"
    relay.stop()
    assert "could not prove" in relay.log, relay.log
    relay.port = port
    relay.start()
    assert [m["text"] for m in alice.receive()] == ["for alice alone"]
    goes_on(alice, bob, ["kept"])


def check_wrong_protocol(lab):
    """The right key with an older TLS, another protocol or none named: nothing is said to it"""
    relay, alice, bob = friends(lab)
    hello = hello_of(relay)
    relay.stop()
    for options in (dict(version=ssl.TLSVersion.TLSv1_2), dict(alpn="http/1.1"), dict(alpn=None)):
        with Impostor(relay.port, certificate(relay), hello, **options) as impostor:
            said = alice.fails(3, "receive")
            assert "does not know TLS 1.3" in said or "does not speak sotto/1" in said, said
        assert impostor.calls >= 1 and impostor.heard == b"", (options, impostor.heard)
    with Impostor(relay.port, certificate(relay), hello) as impostor:
        running = alice.start("receive")
        until("the sign-in, which shows that the trap works", lambda: impostor.heard)
        running.end()
    relay.start()
    goes_on(alice, bob, [])


def check_trust_relay_words(lab):
    """trust-relay takes no half a pin (exit 2) and no invite of another relay (exit 7)"""
    relay, alice, bob = friends(lab)
    other = lab.relay()
    for word in (relay.pin[:-1], relay.pin + "A", relay.pin.replace("sha256", "sha1"),
                 relay.pin.removeprefix("sha256:"), "sha256:" + "!" * 43, "", relay.invite()[:-3]):
        said = alice.fails(2, "trust-relay", word)
        assert "sha256:..." in said, (word, said)
    assert "another relay" in alice.fails(7, "trust-relay", other.invite())
    status, = alice.json("status")
    assert status["pin"] == relay.pin and status["connection"] == "online", status
    goes_on(alice, bob, [])


# ---- client certificates ---------------------------------------------------------------------


def says(relay, cert=None):
    """What the relay says to somebody with that certificate, or with none; None: not a word."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["sotto/1"])
    if cert:
        context.load_cert_chain(*(os.path.join(cert, f"server_{n}.pem") for n in ("cert", "key")))
    plain = socket.create_connection(("127.0.0.1", relay.port), sottolab.PATIENCE)
    with plain, contextlib.suppress(ssl.SSLError, ConnectionResetError):
        with context.wrap_socket(plain) as tls:
            return tls.recv(4) or None
    return None


def check_required_certificate(lab):
    """Where client certificates are required nobody without one gets past TLS; ours do, from the
    first sign-up on"""
    thief = stopped_impostor(lab)
    relay = lab.relay("--client-certificates", "require")
    assert says(relay) is None
    assert says(relay, certificate(thief)) is not None, "the refusal was for something else"
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    goes_on(alice, bob, [])
    relay.stop()
    relay.options = ()
    relay.start()
    assert says(relay) is not None
    goes_on(alice, bob, [])


def check_foreign_certificate(lab):
    """A device with another certificate than the one it signed up with is not let in (exit 4), whether
    they are required or not; with `off` nobody asks"""
    relay, alice, bob = friends(lab)
    with edited(relay) as db:
        pins = dict(db.execute("SELECT box, certificate FROM device"))
        assert None not in pins.values() and len(set(pins.values())) == 2, pins
        box, = boxes_of(db, "alice")
        db.execute("UPDATE device SET certificate = ? WHERE box = ?",
                   (pins[boxes_of(db, "bob")[0]], box))
    for mode in ("request", "require"):
        relay.stop()
        relay.options = ("--client-certificates", mode)
        relay.start()
        said = alice.fails(4, "send", "bob", "kept")
        assert "certificate is not the enrolled one" in said, said
    bob.ok("receive")
    relay.options = ("--client-certificates", "off")
    with edited(relay) as db:
        db.execute("UPDATE device SET certificate = ? WHERE box = ?", (pins[box], box))
    goes_on(alice, bob, ["kept"] * 2)


# ---- invites ---------------------------------------------------------------------------------


def parts_of(link):
    """HOST:PORT, relay id, pins, code; docs/protocol.md has the layout."""
    address, text = link.removeprefix("sotto://").split("/")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert data[0] == 1 and data[-4:] == digest_of(address, data[:-4]), link
    pins = [data[34 + 32 * n:66 + 32 * n] for n in range(data[33])]
    return address, data[1:33], pins, data[35 + 32 * len(pins):-4]


def digest_of(address, data):
    return hashlib.sha256(f"{address}/".encode() + data).digest()[:4]


def link_of(address, relay_id, pins, code):
    data = bytes([1]) + relay_id + bytes([len(pins)]) + b"".join(pins) + bytes([len(code)]) + code
    data += digest_of(address, data)
    return f"sotto://{address}/" + base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def check_altered_invites(lab):
    """A link with another pin, relay id or code, or a slip of the hand: what is wrong is said, and
    the same profile signs up with the right link afterwards"""
    relay = lab.relay()
    link = relay.invite()
    address, relay_id, pins, code = parts_of(link)
    assert link_of(address, relay_id, pins, code) == link
    at = len(link) - 30
    cases = [
        ("slip", 2, "mistyped", link[:at] + ("A" if link[at] != "A" else "B") + link[at + 1:]),
        ("pin", 7, f"shown {relay.pin}. Somebody may be in between",
         link_of(address, relay_id, [other_byte(pins[0], 3)], code)),
        ("id", 7, "another relay answers than the one that the invite names",
         link_of(address, other_byte(relay_id, 3), pins, code)),
        ("code", 1, "does not know the invite", link_of(address, relay_id, pins, other_byte(code, 3))),
        ("no code", 1, "asks for an invite", link_of(address, relay_id, pins, b"")),
    ]
    for name, exit_code, wanted, wrong in cases:
        person = lab.person(name.replace(" ", ""))
        for _ in range(2):
            said = person.fails(exit_code, "register", wrong, "--name", person.name)
            assert wanted in said, (name, said)
        person.fails(4, "send", "somebody", "hello")
        assert person.ok("register", relay.invite(), "--name", person.name), name
        assert person.json("status")[0]["pin"] == relay.pin
    lab.people(relay, "alice")
    assert lab.person("last").ok("register", link, "--name", "last"), "the code was used up"


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
