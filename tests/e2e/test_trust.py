#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Somebody in the relay's place, a relay that lies, and what people are told about it.

The lying relay is the real one with its database edited while it is stopped: whoever holds the
folder can do that. Whatever was sent is in the end shown once, unaltered and by the right person,
or somebody is told that it is missing."""
# sanitizers: yes
# timeout: 600
import base64
import contextlib
import hashlib
import os
import re
import shutil
import socket
import sqlite3
import ssl
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from sottolab import until  # noqa: E402
from test_sottod import Wire  # noqa: E402


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
        with Wire(self.upstream) as true:
            def down():
                with contextlib.suppress(OSError):
                    while data := true.tls.recv(65536):
                        tls.sendall(data)
                with contextlib.suppress(OSError):
                    tls.shutdown(socket.SHUT_RDWR)
            thread = threading.Thread(target=down, daemon=True)
            thread.start()
            while data := tls.recv(65536):
                self.heard += data
                true.tls.sendall(data)
            true.tls.shutdown(socket.SHUT_RDWR)
            thread.join(sottolab.PATIENCE)

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


def friends(lab, *names):
    relay = lab.relay()
    people = lab.people(relay, *(names or ("alice", "bob")))
    people[0].befriend(people[1])
    return relay, *people


def goes_on(alice, bob, texts):
    """What was kept arrives once and in order, and so does what is written now."""
    alice.send("bob", "and on")
    assert [m["text"] for m in bob.receive(len(texts) + 1)] == [*texts, "and on"]
    assert bob.json("receive") == []
    assert alice.json("status")[0]["queued"] == 0
    bob.send("alice", "an answer")
    assert [m["text"] for m in alice.receive()] == ["an answer"]


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


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
