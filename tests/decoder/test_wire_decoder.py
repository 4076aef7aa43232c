#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
"""Reads the known answers (wire_kat.json) with the decoder that is written from docs/protocol.md,
sections 13 to 19, alone, and holds the values in that document against what came up on the way.

    test_wire_decoder.py             prints TAP
    test_wire_decoder.py --values    prints the known answers for section 20 of the document
"""
import sys

from decoder import List, sha256
from wire_decoder import (Answer, Content, Hello, Invite, Opaque, Request,
                          blind, check_delete_proof, check_device_proof, frames, pin, reduce)
from known_answers import documented, flip, generated, load, main, refuses

BEGIN, END = "<!-- wire known answers: begin -->", "<!-- wire known answers: end -->"
BOB = b"+4915112345678"
EPOCH = 5 << 40


class World:
    def __init__(self, kat):
        self.kat, self.values = kat, {}
        self.relay_id = kat["hello"]["relay_id"]
        self.exporter = kat["sign_up"]["exporter"]
        self.opaque = Opaque(kat["sign_up"]["password"], self.relay_id, b"alice", self.exporter)


def every_frame(w):
    """All of them, in one stream."""
    requests = [("sign_up", "opaque_register"), ("sign_up", "register"), ("login", "opaque_login"),
                ("login", "opaque_finish"), ("sign_in", "frame"), ("sign_in", "begin"),
                ("sign_in", "delete_account"), ("delivery", "submit_1"), ("delivery", "submit_2"),
                ("delivery", "ack")]
    stream = b"".join(w.kat[a][b] for a, b in requests)
    assert len(list(frames(stream))) == len(requests)
    names = [Request(w.kat[a][b]).name for a, b in requests]
    assert names == ["OpaqueRegister", "Register", "OpaqueLogin", "OpaqueFinish", "SignIn", "Begin",
                     "DeleteAccount", "Submit", "Submit", "Ack"]
    assert refuses(lambda: list(frames(stream[:-1])))
    w.values["SHA-256 of the frames of all requests"] = sha256(stream)


def hello(w):
    d = w.kat["hello"]
    a = Answer(d["frame"])
    h = Hello(a)
    assert (a.id, a.name, a["version"], a["registration"]) == (0, "Hello", "sottod 0.1.0", 1)
    assert a["time"] == 1790000000000
    assert (h.relay_id, h.incarnation, b"".join(h.pins)) == (w.relay_id, d["incarnation"], d["pins"])
    for at in range(1, len(a["relay"])):
        a.body["relay"] = flip(a["relay"], at)
        assert refuses(Hello, a)
        a.body["relay"] = flip(a["relay"], at)
    w.values["relay id"] = w.relay_id


def sign_up(w):
    d = w.kat["sign_up"]
    wide, nonce = d["draws"]
    scalar = reduce(wide)
    q, a = Request(d["opaque_register"]), Answer(d["opaque_registered"])
    assert q["name"] == b"alice" and q.id == a.id == 1
    assert q["request"] == blind(d["password"], scalar)
    record, export = w.opaque.register(scalar, nonce, a["response"])
    r = Request(d["register"])
    assert r["opaque_record"] == record and export == d["export_key"]
    assert r["code"] == b"\xc0" * 16 and r["certificate"] == b"\xce" * 32
    assert List(r["list"]).account.relay_id == w.relay_id
    w.values["record of OPAQUE"] = record


def login(w):
    d = w.kat["login"]
    wide, nonce, seed = d["draws"]
    scalar = reduce(wide)
    ke1, ke2 = Request(d["opaque_login"])["ke1"], Answer(d["opaque_challenge"])["ke2"]
    assert ke1 == w.opaque.ke1(scalar, nonce, seed)
    ke3, session, export = w.opaque.finish(scalar, seed, ke1, ke2)
    assert Request(d["opaque_finish"])["ke3"] == ke3
    assert (session, export) == (d["session_key"], w.kat["sign_up"]["export_key"])
    other = Opaque(w.opaque.password, w.relay_id, b"alice", flip(w.exporter, 0))
    assert refuses(other.finish, scalar, seed, ke1, ke2)
    wrong = Opaque(b"wrong", w.relay_id, b"alice", w.exporter)
    assert refuses(wrong.finish, scalar, seed, ke1, ke2)
    assert refuses(w.opaque.finish, scalar, seed, ke1, flip(ke2, 256))
    w.values["session key of OPAQUE"] = session


def sign_in(w):
    d = w.kat["sign_in"]
    q, a = Request(d["frame"]), Answer(d["signed_in"])
    assert (q["name"], q["device"], q["lease"]) == (b"alice", int.from_bytes(d["device"], "big"),
                                                    d["lease"])
    check_device_proof(q, d["device_key"], w.exporter, w.relay_id)
    assert refuses(check_device_proof, q, d["device_key"], flip(w.exporter, 31), w.relay_id)
    assert refuses(check_device_proof, q, d["account_key"], w.exporter, w.relay_id)
    assert a.body == {"previous_lease": d["previous_lease"], "previous_begun": True,
                      "list_version": 1, "one_time_left": 96, "acked": EPOCH | 76}
    assert Request(d["begin"])["committed"] == EPOCH | 77
    gone = Request(d["delete_account"])
    check_delete_proof(gone, d["account_key"], w.exporter, w.relay_id, b"alice")
    assert refuses(check_delete_proof, gone, d["account_key"], w.exporter, w.relay_id, b"bob")
    w.values["device proof"] = q["proof"]


def delivery(w):
    d = w.kat["delivery"]
    device = int.from_bytes(d["device"], "big")
    one, two = Request(d["submit_1"]), Request(d["submit_2"])
    for s in (one, two):
        assert (s.id, s["to"], s["list_version"], s["token"]) == (8, BOB, 300, d["token"])
    assert (one["more"], two["more"], one["ephemeral"]) == (True, False, False)
    assert one["parcels"] == [{"device": device, "envelope": b"an envelope", "lane": 0}]
    assert two["parcels"] == [{"device": 1, "envelope": b"another envelope", "lane": 4000000000}]
    assert Answer(d["submitted"])["results"] == [{"device": device, "state": 1},
                                                 {"device": 1, "state": 3}]
    got = Answer(d["deliver"])
    assert (got.id, got["seq"], got["envelope"], got["request"]) == (0, EPOCH | 78, b"an envelope",
                                                                     True)
    assert (Request(d["ack"]).id, Request(d["ack"])["seq"]) == (0, EPOCH | 78)
    e = Answer(d["error"])
    assert e.body == {"code": 18, "text": "the device list is another one", "lists": [d["list"]],
                      "retry_ms": 1500}
    assert List(e["lists"][0]).version == 1


def invite(w):
    d = w.kat["invite"]
    i = Invite(d["link"])
    assert (i.host, i.port, i.relay_id, i.pins, i.code) == ("relay.example.org", 12345, w.relay_id,
                                                            [d["pin"]], d["code"])
    assert pin(d["pin_text"]) == d["pin"]
    assert refuses(Invite, d["link"].replace("example", "exempla"))
    w.values["invite"] = d["link"]
    w.values["its pin"] = d["pin_text"]


def contents(w):
    d = w.kat["contents"]
    for name in ("text", "receipt", "contact", "entry"):
        c = Content(d[name])
        assert c.kind == name and c.is_direct(w.relay_id) and not c.is_direct(bytes(32))
        assert c.all == {
            "id": d["id"], "conversation": d["conversation"], "members": [BOB, b"alice"],
            "counter": 1, "sender_list": {"version": 1, "hash": d["list_hash"]},
            "recipient_list": {"version": 200, "hash": b"\xbb" * 32}, "sent_at": 1790000000000,
            "token": b"\x70" * 16}
    assert Content(d["text"]).body == {"text": d["text_bytes"]}
    assert Content(d["receipt"]).body == {"state": 2, "ids": [b"\x1d" * 16, b"\x2d" * 16]}
    assert Content(d["contact"]).body == {"name": b"carol", "state": 2, "their_token": b"",
                                          "our_token": b"\x0c" * 16, "verified_key": b""}
    assert len(Content(d["entry"]).body["entry"]) == 189
    w.values["conversation of alice and +4915112345678"] = d["conversation"]
    w.values["content with a text"] = d["text"]


def document(w):
    """Section 20 has exactly these values."""
    documented(w.values, BEGIN, END)


def generator(_):
    """The C program still makes this file, byte for byte."""
    generated("make_wire_kat", "wire_kat.json")


CASES = [("every request is read, one after the other", every_frame),
         ("the relay's hello is signed", hello),
         ("sign-up: OPAQUE registration, list and pre-key", sign_up),
         ("sign-in with the password: OPAQUE to its end", login),
         ("sign-in of a device, and the end of an account", sign_in),
         ("a submit in two frames, and what comes of it", delivery),
         ("an invite and a pin", invite),
         ("contents and their conversation", contents),
         ("docs/protocol.md shows these values", document),
         ("make_wire_kat makes wire_kat.json", generator)]


if __name__ == "__main__":
    sys.exit(main(World(load("wire_kat.json", ("link", "pin_text"))), CASES, 8))
