#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Opens the known answers (kat.json) with the second decoder, which is written from docs/protocol.md
alone, and holds the values in that document against what came up on the way.

    test_decoder.py             prints TAP
    test_decoder.py --values    prints the known answers for section 12 of the document
"""
import sys

from decoder import (Account, Device, Envelope, List, Message, Party, PreKey, Private,
                     Secrets, Session, kem_keys, link_code, safety_number,
                     sign_public, x25519_public)
from known_answers import documented, flip, generated, load, main, refuses

BEGIN, END = "<!-- known answers: begin -->", "<!-- known answers: end -->"


class World:
    """Everything of kat.json, opened."""

    def __init__(self, kat):
        self.kat, self.values = kat, {}
        for who in ("alice", "bob"):
            d = kat[who]
            account = Account(d["relay_id"], d["name"].encode(), d["account_key"])
            device = Device(d["entry"], account)
            setattr(self, who, Party(account, device, d["device_dh_private"]))
        self.signed, self.one_time = (self.private(x) for x in ("signed", "one_time"))

    def private(self, name):
        d = self.kat["prekeys"][name]
        return Private(PreKey(d["bytes"], self.bob.device), d["dh_private"], d["kem_seed"])

    def session(self, message, one_time):
        secrets = Secrets(self.bob, self.alice, message, self.signed,
                          self.one_time if one_time else None)
        return Session(secrets, self.signed)


def entries(w):
    for who in ("alice", "bob"):
        d, party = w.kat[who], getattr(w, who)
        assert sign_public(d["account_seed"]) == d["account_key"]
        assert sign_public(d["device_sign_seed"]) == party.device.sign_key
        assert x25519_public(d["device_dh_private"]) == party.device.identity_key
        assert x25519_public(d["device_sealing_private"]) == party.device.sealing_key
        assert party.device.id.to_bytes(8, "big") == d["device_id"]
        for at in (0, 1, 13, 45, 77, 120, 124, 188):
            assert refuses(Device, flip(d["entry"], at), party.account)
    assert refuses(Device, w.kat["alice"]["entry"], w.bob.account)
    w.values["alice's device id"] = w.kat["alice"]["device_id"]


def lists(w):
    one, two = (List(d["bytes"]) for d in w.kat["lists"])
    assert [one.hash, two.hash] == [d["hash"] for d in w.kat["lists"]]
    assert (one.version, two.version, len(one.devices), len(two.devices)) == (1, 2, 1, 2)
    assert one.account.layout() == two.account.layout() == w.alice.account.layout()
    assert two.previous == one.hash
    assert (one.followed_by(two), two.followed_by(one)) == ("replaces", "ignored")
    assert one.devices[0].id == two.devices[0].id == w.alice.device.id
    assert two.devices[1].capabilities == 5
    data = w.kat["lists"][0]["bytes"]
    for at in range(0, len(data), 11):
        assert refuses(List, flip(data, at))
    assert refuses(List, data + b"\0") and refuses(List, data[:-1])
    w.values["hash of alice's first list"] = one.hash
    w.values["hash of alice's second list"] = two.hash


def prekeys(w):
    for name, kind in (("signed", 1), ("one_time", 2)):
        d, k = w.kat["prekeys"][name], getattr(w, name)
        assert k.prekey.type == kind
        assert x25519_public(k.x25519) == k.prekey.x25519
        assert kem_keys(k.kem_seed)[0] == k.prekey.kem
        for at in (0, 4, 12, 16, 24, 25, 57, 1624, 1688):
            assert refuses(PreKey, flip(d["bytes"], at), w.bob.device)
        assert refuses(PreKey, d["bytes"], w.alice.device)
        w.values[f"digest of the {name.replace('_', '-')} pre-key"] = k.prekey.digest


def conversation(w):
    steps = w.kat["conversation"]["steps"]
    session = w.session(Message(steps[0]["message"]), True)
    s = session.secrets
    w.values.update({"SHA-256(AD)": s.ad_hash, "session id": s.session_id, "SK": s.sk,
                     "root key": s.root, "ephemeral key, initiator": s.from_initiator,
                     "ephemeral key, responder": s.from_responder})
    turns = 0
    for step in steps:
        m = Message(step["message"])
        if step["by"] == "alice":
            assert refuses(session.open_theirs, Message(flip(step["message"], -1)))
            content = session.open_theirs(m)
            assert refuses(session.open_theirs, m)  # once
        else:
            content = session.open_ours(m, step.get("ratchet_private"))
            turns += "ratchet_private" in step
        assert content == step["content"], content
    assert turns == 3 and not session.skipped
    root_steps = [v for k, v in session.trace if k == "root step"]
    w.values["first root step (root key, chain key)"] = root_steps[0]
    w.values["last root step"] = root_steps[-1]
    w.values["message key of the first message opened"] = next(
        v for k, v in session.trace if k == "message key")
    for step in w.kat["conversation"]["ephemeral"]:
        m = Message(step["message"])
        assert session.open_ephemeral(m, step["by"] == "alice") == step["content"]
        assert refuses(session.open_ephemeral, m, step["by"] != "alice")


def handshake_is_bound(w):
    m = Message(w.kat["conversation"]["steps"][0]["message"])
    assert refuses(Secrets, w.bob, w.alice, m, w.signed, None)
    assert refuses(Secrets, w.alice, w.bob, m, w.signed, w.one_time)
    other = Account(bytes(32), w.bob.account.name, w.bob.account.key)
    assert refuses(Secrets, Party(other, w.bob.device, w.bob.identity_private), w.alice, m,
                   w.signed, w.one_time)


def envelope(w):
    data, private = w.kat["sealed"]["envelope"], w.kat["bob"]["device_sealing_private"]
    e = Envelope(data, w.bob, private)
    assert e.sender == b"alice" and e.device == w.alice.device.id and e.kind == 1
    m = Message(e.message)
    session = w.session(m, False)
    assert session.open_theirs(m) == w.kat["sealed"]["content"]
    for at in (0, 1, 2, 5, 6, 38, len(data) - 1):
        assert refuses(Envelope, flip(data, at), w.bob, private)
    assert refuses(Envelope, data, Party(w.bob.account, w.alice.device), private)
    w.values["envelope id"] = e.id
    w.values["session id without one-time pre-key"] = session.secrets.session_id


def number_and_code(w):
    assert safety_number(w.alice.account, w.bob.account) == w.kat["safety_number"]
    assert safety_number(w.bob.account, w.alice.account) == w.kat["safety_number"]
    assert link_code(w.alice.account, w.kat["alice"]["entry"]) == w.kat["link_code"]
    w.values["safety number"] = w.kat["safety_number"]
    w.values["link code of alice's entry"] = w.kat["link_code"]


def document(w):
    """Section 12 has exactly these values."""
    documented(w.values, BEGIN, END)


def generator(_):
    """The C program still makes this file, byte for byte."""
    generated("make_kat", "kat.json")


CASES = [("entries open, changed ones do not", entries),
         ("lists open and follow each other", lists),
         ("pre-keys open, and their seeds give their keys", prekeys),
         ("a conversation opens, in both directions and out of order", conversation),
         ("the handshake holds for these two and these keys only", handshake_is_bound),
         ("an envelope opens, and the message in it", envelope),
         ("safety number and link code", number_and_code),
         ("docs/protocol.md shows these values", document),
         ("make_kat makes kat.json", generator)]


if __name__ == "__main__":
    sys.exit(main(World(load("kat.json", ("name", "by", "safety_number", "link_code"))), CASES, 7))
