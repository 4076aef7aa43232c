#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A relay that lies, and what people are told about it.

The lying relay is the real one with its database edited while it is stopped: whoever holds the
folder can do that. Whatever was sent is in the end shown once, unaltered and by the right person,
or somebody is told that it is missing."""
# sanitizers: address
# timeout: 600
import contextlib
import os
import re
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mail  # noqa: E402
import sottolab  # noqa: E402
from sottolab import friends, goes_on, until  # noqa: E402


# ---- a relay that lies ---------------------------------------------------------------------


@contextlib.contextmanager
def edited(relay):
    """The relay's database while it is stopped."""
    relay.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(relay.data, "relay.db"))) as db, db:
        mail.load(db)
        yield db
        mail.save(db)
    relay.start()


def account_of(db, name):
    return db.execute("SELECT id FROM account WHERE name = ?", (name,)).fetchone()[0]


def boxes_of(db, name):
    """Of each device, in the order in which they came."""
    return [box for box, in db.execute("SELECT box FROM device WHERE account = ? ORDER BY box",
                                       (account_of(db, name),))]


def list_of(db, name, version):
    return db.execute("SELECT bytes FROM list WHERE account = ? AND version = ?",
                      (account_of(db, name), version)).fetchone()[0]


def put_list(db, name, version, data):
    done = db.execute("UPDATE list SET bytes = ? WHERE account = ? AND version = ?",
                      (data, account_of(db, name), version))
    assert done.rowcount == 1, (name, version)


def other_byte(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def further_device(lab, relay, first, profile):
    """One more device of the account, approved."""
    second = lab.person(first.name, profile=profile)
    login = second.start("login", relay.address, "--name", first.name, "--pin", relay.pin)
    first.ok("devices", "approve", login.until_out("\n").split()[1])
    assert login.wait().code == 0
    return second


def texts(person, peer):
    return [m["text"] for m in person.history(peer) if not m["outgoing"]]


def refused_lists(alice, relay, spoil):
    """alice writes to somebody of whom the relay shows a list that is spoiled."""
    true = {}
    with edited(relay) as db:
        for name in ("bob", "carol"):
            true[name] = list_of(db, name, 1)
        spoil(db, true)
    for words in (("send", "bob", "kept"), ("verify", "bob")):
        said = alice.fails(7, *words)
        assert "device list" in said and "bob" in said and "operator" in said, said
    assert alice.history("bob")[-1]["state"] == "queued"
    with edited(relay) as db:
        for name, data in true.items():
            put_list(db, name, 1, data)


def check_swapped_lists(lab):
    """The relay gives out carol's device list as bob's: exit 7, and nothing reaches carol"""
    relay = lab.relay()
    alice, bob, carol = lab.people(relay, "alice", "bob", "carol")

    def swap(db, true):
        put_list(db, "bob", 1, true["carol"])
        put_list(db, "carol", 1, true["bob"])
    refused_lists(alice, relay, swap)
    assert carol.json("receive") == []
    goes_on(alice, bob, ["kept"])


def check_list_byte(lab):
    """One byte of a device list was altered: exit 7, what was written goes out under the true one"""
    relay = lab.relay()
    alice, bob, _ = lab.people(relay, "alice", "bob", "carol")
    refused_lists(alice, relay, lambda db, true: put_list(
        db, "bob", 1, other_byte(true["bob"], len(true["bob"]) // 2)))
    goes_on(alice, bob, ["kept"])


def check_next_list_byte(lab):
    """The list that follows the known one was altered: exit 7 for the next message, not before"""
    relay, alice, bob = friends(lab)
    second = further_device(lab, relay, bob, "bob2")
    with edited(relay) as db:
        true = list_of(db, "bob", 2)
        put_list(db, "bob", 2, other_byte(true, len(true) - 1))
    said = alice.fails(7, "send", "bob", "kept")
    assert "device list" in said and "bob" in said and "operator" in said, said
    with edited(relay) as db:
        put_list(db, "bob", 2, true)
    goes_on(alice, bob, ["kept"])
    assert [m["text"] for m in second.receive(2)] == ["kept", "and on"]


def check_old_list(lab):
    """An older device list is put back: the newer one that is known stays, nothing is sent to fewer
    devices, and a relay that has no newer one gets it from whoever knows it"""
    relay, alice, bob = friends(lab)
    second = further_device(lab, relay, bob, "bob2")
    alice.send("bob", "to both")
    with edited(relay) as db:  # said to be the newest one
        old = list_of(db, "bob", 1)
        put_list(db, "bob", 2, old)
        db.execute("UPDATE list SET version = 3 WHERE account = ? AND version = 2",
                   (account_of(db, "bob"),))
        db.execute("UPDATE account SET version = 3 WHERE name = 'bob'")
    kept(alice, "first")
    with edited(relay) as db:
        db.execute("DELETE FROM list WHERE account = ? AND version = 3", (account_of(db, "bob"),))
        db.execute("UPDATE account SET version = 1 WHERE name = 'bob'")
    alice.send("bob", "second")
    goes_on(alice, bob, ["to both", "first", "second"])
    assert [m["text"] for m in second.receive(4)] == ["to both", "first", "second", "and on"]


def kept(alice, text):
    """Neither sent under the old list nor lost; she still knows the newer one."""
    result = alice.run("send", "bob", text, "--wait", "delivered", "3")
    assert result.code == 1 and "queued" in result.out, result
    assert alice.json("contacts")[0]["devices"] == 2


def refused_bundles(lab, spoil):
    relay = lab.relay()
    alice, bob, carol = lab.people(relay, "alice", "bob", "carol")
    with edited(relay) as db:
        before = db.execute("SELECT box, signed_prekey FROM device").fetchall()
        keys = db.execute("SELECT box, generation, id, bytes FROM one_time").fetchall()
        boxes = [boxes_of(db, name)[0] for name in ("bob", "carol")]
        assert len({box for box, *_ in keys} & set(boxes)) == 2, "nobody has one-time keys"
        spoil(db, *boxes)
    said = alice.fails(7, "send", "bob", "kept")
    assert "devices of bob are not valid" in said and "operator" in said, said
    with edited(relay) as db:
        db.executemany("UPDATE device SET signed_prekey = ?2 WHERE box = ?1", before)
        db.executemany("UPDATE one_time SET bytes = ?4 WHERE box = ?1 AND generation = ?2 AND id = ?3",
                       keys)
    assert carol.json("receive") == []
    goes_on(alice, bob, ["kept"])


def check_swapped_bundles(lab):
    """The relay gives out carol's pre-keys for bob's device: exit 7, nothing is encrypted for her"""
    def swap(db, bob, carol):
        db.execute("UPDATE device SET signed_prekey ="
                   " (SELECT signed_prekey FROM device WHERE box = ?) WHERE box = ?", (carol, bob))
    refused_bundles(lab, swap)


def check_swapped_one_time_keys(lab):
    """The same with her one-time keys alone"""
    refused_bundles(lab, lambda db, bob, carol: db.execute(
        "UPDATE one_time SET bytes = (SELECT bytes FROM one_time WHERE box = ?) WHERE box = ?",
        (carol, bob)))


def check_bundle_signature(lab):
    """A pre-key whose signature is broken is not used: exit 7"""
    def spoil(db, bob, _):
        data, = db.execute("SELECT signed_prekey FROM device WHERE box = ?", (bob,)).fetchone()
        db.execute("UPDATE device SET signed_prekey = ? WHERE box = ?",
                   (other_byte(data, len(data) - 1), bob))
    refused_bundles(lab, spoil)


# ---- a relay that meddles with a mailbox ---------------------------------------------------


def waiting(lab, count):
    """Two friends, and count messages "m0", "m1"... that wait in bob's mailbox."""
    relay, alice, bob, carol = friends(lab, "alice", "bob", "carol")
    for n in range(count):
        alice.send("bob", f"m{n}")
    return relay, alice, bob, carol


def mailbox(db, box, count):
    """Its envelopes in order: the last count of them are messages."""
    rows = db.execute("SELECT seq, id, day, request, bytes FROM envelope WHERE box = ?"
                      " ORDER BY seq", (box,)).fetchall()
    assert len(rows) >= count, rows
    return rows[len(rows) - count:]


def put(db, box, seq, row):
    _, id_, day, request, data = row
    db.execute("INSERT INTO envelope (box, seq, id, day, request, bytes) VALUES (?, ?, ?, ?, ?, ?)",
               (box, seq, id_, day, request, data))


def shown(person, count):
    """What receive shows: (text, gap), all of it."""
    got = [(m["text"], m["gap"]) for m in person.json("receive")]
    assert len(got) == count, got
    assert person.json("receive") == []
    return got


def check_duplicated_envelopes(lab):
    """Envelopes that come again under new numbers, before and after they were read, are shown once"""
    relay, alice, bob, _ = waiting(lab, 3)
    with edited(relay) as db:
        box, = boxes_of(db, "bob")
        rows = mailbox(db, box, 3)
        for n in range(3):
            for k, (seq, _, *rest) in enumerate(rows):
                put(db, box, seq + 1000 * (n + 1), (seq, os.urandom(16), *rest))
    assert shown(bob, 3) == [("m0", False), ("m1", False), ("m2", False)]
    with edited(relay) as db:
        newest = max(seq for seq, *_ in rows) + 10000
        for k, (seq, _, *rest) in enumerate(rows):
            put(db, box, newest + k, (seq, os.urandom(16), *rest))
    assert bob.json("receive") == []
    goes_on(alice, bob, [])
    assert texts(bob, "alice") == ["hello", "m0", "m1", "m2", "and on"]


def check_reordered_envelopes(lab):
    """Envelopes in the wrong order are all shown, each once"""
    relay, alice, bob, _ = waiting(lab, 5)
    with edited(relay) as db:
        box, = boxes_of(db, "bob")
        rows = mailbox(db, box, 5)
        db.executemany("DELETE FROM envelope WHERE box = ? AND seq = ?",
                       [(box, row[0]) for row in rows])
        for row, seq in zip(rows, reversed([row[0] for row in rows])):
            put(db, box, seq, row)
    got = shown(bob, 5)
    assert sorted(text for text, _ in got) == [f"m{n}" for n in range(5)], got
    assert got[0][1] is True, got  # what came too late was missing at that moment
    goes_on(alice, bob, [])
    assert len(texts(bob, "alice")) == 7


def check_deleted_envelopes(lab):
    """Deleted envelopes leave a gap that is told, and their sender never sees them delivered"""
    relay, alice, bob, _ = waiting(lab, 5)
    with edited(relay) as db:
        box, = boxes_of(db, "bob")
        rows = mailbox(db, box, 5)
        db.executemany("DELETE FROM envelope WHERE box = ? AND seq = ?",
                       [(box, rows[n][0]) for n in (1, 2, 4)])
    assert shown(bob, 2) == [("m0", False), ("m3", True)]
    assert "alice (something before this is missing): m3" in bob.ok("history", "alice")
    alice.send("bob", "after it")
    assert shown(bob, 1) == [("after it", True)]
    alice.ok("receive")
    until_states(alice, {"m0": "read", "m1": "stored", "m2": "stored", "m3": "read", "m4": "stored"})


def until_states(person, wanted):
    def states():
        person.ok("receive")
        return {m["text"]: m["state"] for m in person.history("bob") if m["text"] in wanted}
    until("the receipts", states, wanted.__eq__)


def check_moved_envelopes(lab):
    """Envelopes of one device in the mailbox of another, of the same or another account, open
    nowhere; what stays is shown with its gap"""
    relay, alice, bob, carol = friends(lab, "alice", "bob", "carol")
    second = further_device(lab, relay, bob, "bob2")
    bob.ok("receive")
    for n in range(4):
        alice.send("bob", f"m{n}")
    with edited(relay) as db:
        first_box, second_box = boxes_of(db, "bob")
        carols, = boxes_of(db, "carol")
        rows = mailbox(db, first_box, 4)
        for row, to in ((rows[1], second_box), (rows[2], carols)):
            db.execute("DELETE FROM envelope WHERE box = ? AND seq = ?", (first_box, row[0]))
            put(db, to, row[0] + 1000, row)
    assert shown(bob, 2) == [("m0", False), ("m3", True)]
    assert [t for t, _ in shown(second, 4)] == ["m0", "m1", "m2", "m3"]
    assert carol.json("receive") == [] and carol.json("contacts") == []
    goes_on(alice, bob, [])


def check_altered_envelopes(lab):
    """An envelope with one byte altered anywhere is not shown, and its gap is told"""
    relay, alice, bob, _ = waiting(lab, 7)
    with edited(relay) as db:
        box, = boxes_of(db, "bob")
        rows = mailbox(db, box, 7)
        for row, at in zip(rows[1:6], (0, 5, 40, len(rows[0][4]) // 2, len(rows[0][4]) - 1)):
            db.execute("UPDATE envelope SET bytes = ? WHERE box = ? AND seq = ?",
                       (other_byte(row[4], at), box, row[0]))
    assert shown(bob, 2) == [("m0", False), ("m6", True)]
    until_states(alice, {"m0": "read", **{f"m{n}": "stored" for n in range(1, 6)}, "m6": "read"})
    goes_on(alice, bob, [])


# ---- two lists, another person, safety numbers -----------------------------------------------


def forked(lab):
    """bob's account key has signed two lists of version 2, each with another second device, as an
    old copy of profile and relay makes possible. The relay has the second one. Returned last: how
    to make it show the first one, with the device that is in it, or the second one again."""
    relay, alice, bob = friends(lab)
    relay.stop()
    for folder in (relay.data, bob.profile):
        shutil.copytree(folder, folder + ".old")
    relay.start()
    further_device(lab, relay, bob, "bob-lost")
    relay.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(relay.data, "relay.db"))) as db:
        first = list_of(db, "bob", 2)
        _, *device = db.execute("SELECT * FROM device WHERE box = ?", boxes_of(db, "bob")[1:]).fetchone()
    for folder in (relay.data, bob.profile):
        shutil.rmtree(folder)
        os.rename(folder + ".old", folder)
    relay.start()
    second = further_device(lab, relay, bob, "bob2")
    with edited(relay) as db:
        true = list_of(db, "bob", 2)
    assert true != first

    def show(wrong):
        with edited(relay) as db:
            put_list(db, "bob", 2, first if wrong else true)
            if wrong:
                db.execute(f"INSERT INTO device VALUES (NULL{', ?' * len(device)})", device)
            else:
                db.execute("DELETE FROM device WHERE id = ?", device[1:2])
    return relay, alice, bob, second, show


def stopped_by_fork(person, name, whose=None):
    """Sending stops for good, until somebody has judged."""
    for _ in range(2):
        said = person.fails(7, "send", name, "kept")
        assert f"two different device lists of {whose or name}" in said, said
        assert f"sotto verify {name} --accept" in said and "safety number" in said, said
    contact, = person.json("contacts")
    assert contact["new_identity"] is True, contact
    assert [m["state"] for m in person.history(name)[-2:]] == ["queued"] * 2


def check_forked_list(lab):
    """The relay shows two signed lists of one version to two people: both find out by what they
    write to each other, sending stops (exit 7) until verify --accept; nothing is lost or doubled"""
    relay, alice, bob, second, show = forked(lab)
    show(wrong=True)
    sent = ["sealed when she learns of the wrong list", "sealed under the wrong list"]
    for text in sent:
        alice.send("bob", text)
    show(wrong=False)
    result = bob.run("receive", "--json")
    assert result.code == 0 and [m["text"] for m in result.json()] == sent, result
    assert "alice another device list of your own account" in result.err, result
    assert "verify alice --accept" in result.err and "sotto devices" in result.err, result
    stopped_by_fork(bob, "alice", whose="your own account")
    assert bob.ok("verify", "alice") == alice.ok("verify", "bob")  # the person is the same
    bob.ok("verify", "alice", "--accept")
    result = alice.run("receive", "--json")
    assert [m["text"] for m in result.json()] == ["kept"] * 2, result
    assert "you another device list of bob" in result.err and "verify bob --accept" in result.err, result
    stopped_by_fork(alice, "bob")
    alice.ok("verify", "bob", "--accept")
    goes_on(alice, bob, ["kept"] * 2)
    got = [m["text"] for m in second.json("receive") if not m["outgoing"]]
    assert got[-3:] == ["kept", "kept", "and on"], got
    assert not bob.json("contacts")[0]["new_identity"] and not alice.json("contacts")[0]["new_identity"]


def replaced(lab, relay, person):
    """The account is deleted by its owner, and the relay lets somebody else have the name."""
    person.ok("account", "delete", "--yes")
    with edited(relay) as db:
        assert db.execute("UPDATE account SET name = 'gone' WHERE name = ? AND gone = 1",
                          (person.name,)).rowcount == 1
    return lab.person(person.name, profile=person.name + ".other").register(relay)


def check_identity_after_fork(lab):
    """A fork that was accepted is no way to slip in another identity: exit 7 once more"""
    relay, alice, bob, _, show = forked(lab)
    show(wrong=True)
    alice.send("bob", "under the wrong list")
    show(wrong=False)
    bob.receive()
    bob.ok("verify", "alice", "--accept")
    bob.send("alice", "names the true one")
    alice.receive()
    stopped_by_fork(alice, "bob")
    number = alice.ok("verify", "bob")
    other = replaced(lab, relay, bob)
    relay.stop()
    assert alice.run("verify", "bob", "--accept").code == 0
    relay.start()
    said = alice.fails(7, "send", "bob", "for the old bob")
    assert "bob has a new identity" in said and "sotto verify bob --accept" in said, said
    assert other.json("receive") == []
    assert alice.ok("verify", "bob") == other.ok("verify", "alice") != number


def check_verified_then_replaced(lab):
    """A new identity is not verified, whatever was before: it is neither sent to nor marked until it
    was accepted and its own number confirmed"""
    relay, alice, bob = friends(lab)
    number = alice.ok("verify", "bob")
    assert re.fullmatch(r"(\d{5} ){11}\d{5}\n", number) and bob.ok("verify", "alice") == number
    alice.ok("verify", "bob", "--confirm", number.strip())
    alice.send("bob", "to the true one")
    bob.receive()
    assert alice.json("contacts")[0]["verified"] is True
    other = replaced(lab, relay, bob)
    other.send("alice", "it is me, bob")
    until("alice to hear of it", lambda: (alice.run("receive"), alice.json("contacts"))[1][0],
          lambda c: c["new_identity"])
    said = alice.fails(7, "send", "bob", "is that you?")
    assert "bob has a new identity" in said and "sotto verify bob --accept" in said, said
    contact, = alice.json("contacts")
    assert contact["new_identity"] is True and contact["verified"] is False, contact
    fresh = alice.ok("verify", "bob")
    assert fresh == other.ok("verify", "alice") != number
    assert "differ" in alice.fails(1, "verify", "bob", "--confirm", number.strip())
    assert "--accept" in alice.fails(7, "verify", "bob", "--confirm", fresh.strip())
    assert alice.json("contacts")[0]["verified"] is False
    alice.ok("verify", "bob", "--accept")
    contact, = alice.json("contacts")
    assert contact["new_identity"] is False and contact["verified"] is False, contact
    assert other.receive()[0]["text"] == "is that you?"
    assert "differ" in alice.fails(1, "verify", "bob", "--confirm", number.strip())
    assert alice.json("contacts")[0]["verified"] is False
    alice.ok("verify", "bob", "--confirm", fresh.strip())
    assert alice.json("contacts")[0]["verified"] is True
    alice.ok("verify", "bob", "--accept")  # nothing to accept: nothing happens
    assert alice.json("contacts")[0]["verified"] is True
    alice.send("bob", "and on")
    assert [m["text"] for m in other.receive()] == ["and on"]


def check_confirm_words(lab):
    """verify --confirm with other digits: exit 1 and not verified; with none, too few or too many:
    exit 2; with the right ones however they are written: verified"""
    _, alice, bob = friends(lab)
    number = alice.ok("verify", "bob").strip()
    digits = number.replace(" ", "")
    for wrong in (str(9 - int(digits[0])) + digits[1:], digits[30:] + digits[:30], digits[::-1]):
        if wrong != digits:
            assert "differ" in alice.fails(1, "verify", "bob", "--confirm", wrong), wrong
    for wrong in (digits[:-1], digits + "0", digits[:-1] + "x", "-" * 60, ""):
        alice.fails(2, "verify", "bob", f"--confirm={wrong}")
    assert alice.json("contacts")[0]["verified"] is False
    alice.ok("verify", "bob", "--confirm", digits)
    assert alice.json("contacts")[0]["verified"] is True
    assert bob.json("contacts")[0]["verified"] is False
    bob.ok("verify", "alice", "--confirm", number)
    assert bob.json("contacts")[0]["verified"] is True


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
