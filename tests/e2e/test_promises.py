#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was accepted is not lost, not shown twice, and shown in order: whoever is killed, whatever is
put back from an older copy, and however bad the network is.

Random moments come from a seed that is printed; SOTTO_SEED=N chooses it."""
# sanitizers: address
# timeout: 600
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mail  # noqa: E402
import sottolab  # noqa: E402
from follower import SEED, Follower, compare, dice, texts_of  # noqa: E402
from proxy import DOWN, UP, Proxy  # noqa: E402
from sottolab import until  # noqa: E402

MESSAGES, KILLS = 60, 20


def friends(lab, *relay_options):
    relay = lab.relay(*relay_options)
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    return relay, alice, bob


def mailboxes(relay):
    """The envelopes that the relay has stored and not thrown away."""
    with sqlite3.connect(f"file:{relay.data}/relay.db?mode=ro", uri=True) as db:
        mail.load(db)
        return set(db.execute("SELECT box, seq FROM envelope"))


# ---- kill -9 -------------------------------------------------------------------------------


def check_kills(lab):
    """kill -9 of relay and recipient at random moments: what was sent arrives once, in order"""
    relay, alice, bob = friends(lab)
    moments, follower, wrong = dice(), Follower(bob), []

    def kill():
        try:
            for _ in range(KILLS):
                time.sleep(moments.uniform(0, 0.4))
                if moments.random() < 0.5:
                    relay.kill()
                    relay.start()
                else:
                    follower.kill()
                    follower.start()
        except BaseException as e:
            wrong.append(e)

    killer = threading.Thread(target=kill)
    killer.start()
    sent, stored = [], []
    while len(sent) < MESSAGES or (killer.is_alive() and len(sent) < 10 * MESSAGES):
        sent.append(f"message {len(sent):03}")
        result = alice.run("send", "bob", sent[-1])
        assert result.code in (0, 3), result
        assert result.out.split()[1:] == ["queued" if result.code else "stored"], result
        stored += [] if result.code else [sent[-1]]
    killer.join()
    assert not wrong, wrong
    sent.append("the last one")
    alice.send("bob", sent[-1])  # nothing overtakes, so now the relay has had them all
    follower.until(sent[-1])
    follower.stop()
    follower.check(sent)
    assert stored, "not a single message was stored"
    compare(alice, bob, ["hello", *sent])


def check_sender_killed(lab):
    """kill -9 of the sender at random moments: what it had taken is sent by the next command, once"""
    _, alice, bob = friends(lab)
    moments = dice()
    begin = time.monotonic()
    alice.send("bob", "so long it takes")
    usual = time.monotonic() - begin
    for n in range(25):
        sender = alice.start("send", "bob", f"message {n:03}")
        time.sleep(moments.uniform(0.2, 1.2) * usual)
        sender.signal(signal.SIGKILL)
        result = sender.wait()
        assert result.code in (0, -signal.SIGKILL), result
    alice.send("bob", "the last one")
    until("the last one", lambda: bob.json("receive", "--wait", "1"),
          lambda got: any(m["text"] == "the last one" for m in got))
    compare(alice, bob)


def check_sender_killed_waiting(lab):
    """kill -9 of a sender that waits for a relay that does not answer: sent by the next command"""
    relay, alice, bob = friends(lab)
    relay.running.signal(signal.SIGSTOP)
    sender = alice.start("send", "bob", "kept")
    until("the message to be kept", lambda: alice.run("history", "bob").out, lambda s: "kept" in s)
    sender.signal(signal.SIGKILL)
    assert sender.wait().out == ""
    relay.running.signal(signal.SIGCONT)
    alice.send("bob", "after it")
    assert [m["text"] for m in bob.receive(2)] == ["kept", "after it"]
    assert bob.json("receive") == []
    compare(alice, bob, ["hello", "kept", "after it"])


def check_answer_lost(lab):
    """The relay stored a message, its answer never came, the sender was killed: arrives once"""
    relay = lab.relay()
    with Proxy(lambda: relay.port) as network:
        alice = lab.person("alice")
        alice.ok("register", relay.invite("--public", network.address), "--name", "alice")
        bob, = lab.people(relay, "bob")
        alice.befriend(bob)
        chat = alice.start("chat", "bob", stdin=subprocess.PIPE)
        chat.write("before it\n")  # one request at a time is under way: nothing waits before ours
        until("the message before it to be stored", lambda: alice.history("bob")[-1],
              lambda m: (m["text"], m["state"]) == ("before it", "stored"))
        before = mailboxes(relay)
        network.hold(DOWN)
        chat.write("stored without an answer\n")
        until("the relay to have it", lambda: mailboxes(relay), lambda now: now - before)
        chat.signal(signal.SIGKILL)
        chat.wait()
        assert alice.lab.run(alice.words("history", "bob", "--json")).json()[-1]["state"] == "queued"
        network.let_go()
        alice.send("bob", "the next one")
        texts = ["before it", "stored without an answer", "the next one"]
        assert [m["text"] for m in bob.receive(3)] == texts
        assert bob.json("receive") == []
        compare(alice, bob, ["hello"] + texts)


def attached(relay, engine, follower):
    """Waits until the follower is attached to the engine: it can only know from it that the relay
    is away."""
    relay.stop()
    until("the other process to be attached", lambda: follower.err)
    relay.start()
    assert engine.process.poll() is None


def check_takeover(lab):
    """The process that runs the engine is killed -9: one that was attached to it goes on"""
    relay, alice, bob = friends(lab)
    chat = bob.start("chat", "alice", stdin=subprocess.PIPE)
    until("the chat to run the engine",
          lambda: os.path.exists(os.path.join(bob.profile, "engine.sock")))
    follower = Follower(bob)
    attached(relay, chat, follower.runs[0])
    alice.send("bob", "to the chat")
    chat.until_out("to the chat")
    # That it was printed has been noted, or it may come again: read receipts come after that.
    until("the message to be read", lambda: alice.run("receive") and alice.history("bob")[-1],
          lambda m: m["state"] == "read")
    chat.signal(signal.SIGKILL)
    chat.wait()
    alice.send("bob", "to the other one")
    follower.until("to the other one")
    follower.stop()
    follower.check(["to the other one"])
    compare(alice, bob, ["hello", "to the chat", "to the other one"])


def check_takeover_send(lab):
    """A message that an attached process was sending when the engine was killed -9 is sent, once"""
    relay, alice, bob = friends(lab)
    chat = alice.start("chat", "bob", stdin=subprocess.PIPE)
    until("the chat to be online", lambda: alice.json("status")[0]["connection"], "online".__eq__)
    relay.running.signal(signal.SIGSTOP)
    sender = alice.start("send", "bob", "from the attached one")
    until("the message to be kept", lambda: alice.ok("history", "bob"),
          lambda s: "from the attached one" in s)
    chat.signal(signal.SIGKILL)
    chat.wait()
    relay.running.signal(signal.SIGCONT)
    result = sender.wait()
    assert result.code == 0 and result.out.split()[1:] == ["stored"], result
    assert [m["text"] for m in bob.receive()] == ["from the attached one"]
    assert bob.json("receive") == []
    compare(alice, bob, ["hello", "from the attached one"])


def check_takeover_without_passphrase(lab):
    """An attached process that was given no passphrase cannot go on: it ends with 4 and says why"""
    relay, _, bob = friends(lab)
    chat = bob.start("chat", "alice", stdin=subprocess.PIPE)
    until("the chat to run the engine",
          lambda: os.path.exists(os.path.join(bob.profile, "engine.sock")))
    follower = bob.start("receive", "--follow", passphrase=False)
    attached(relay, chat, follower)
    chat.signal(signal.SIGKILL)
    chat.wait()
    result = follower.wait()
    assert result.code == 4 and "passphrase" in result.err, result


# ---- old copies ----------------------------------------------------------------------------


def copy(folder, to):
    shutil.copytree(folder, to, ignore=lambda where, names: [n for n in names if n == "engine.sock"])


def put_back(folder, copy_of_it):
    shutil.rmtree(folder)
    shutil.move(copy_of_it, folder)


def talk_until(alice, bob, text):
    """Both are online until bob has it, as what does not open is asked for again."""
    a, b = Follower(alice), Follower(bob)
    b.until(text)
    a.stop()
    b.stop()
    return [t for run in b.printed() for t in run]


def all_read(alice, bob):
    """Receipts heal as well: at the end alice knows that bob has everything."""
    def states():
        for person in (alice, bob):
            person.ok("receive")
        return {m["text"]: m["state"] for m in alice.history("bob") if m["outgoing"]}
    until("everything to be read", states, lambda s: set(s.values()) <= {"delivered", "read"})


def restored(lab, live, sender):
    """Runs the story of a profile that is put back; returns what its first command then says."""
    _, alice, bob = friends(lab)
    alice.send("bob", "before the copy")
    bob.receive()
    person, old = alice if sender else bob, lab.path("old")
    if live:  # copied while in use
        chat = person.start("chat", stdin=subprocess.PIPE)
        until("it to be online", lambda: person.json("status")[0]["connection"], "online".__eq__)
        copy(person.profile, old)
        chat.write("quit\n")
        assert chat.wait().code == 0
    else:
        copy(person.profile, old)
    for n in range(3):
        alice.send("bob", f"after the copy {n}")
        bob.send("alice", f"answer {n}")
    bob.receive(3)
    alice.receive(3)
    put_back(person.profile, old)
    first = person.run("send", "bob", "from the old copy") if sender else bob.run("receive")
    assert first.code == 0, first
    assert "restored from an older copy" in first.err, first
    return alice, bob, first


def sender_restored(lab, live):
    alice, bob, first = restored(lab, live, sender=True)
    assert first.out.split()[1:] == ["stored"], first
    assert talk_until(alice, bob, "from the old copy") == ["from the old copy"]
    alice.send("bob", "and on")
    assert [m["text"] for m in bob.receive()] == ["and on"]
    bob.send("alice", "still there?")
    assert alice.receive()[-1]["text"] == "still there?"
    all_read(alice, bob)
    wanted = ["hello", "before the copy", *(f"after the copy {n}" for n in range(3)),
              "from the old copy", "and on"]
    assert texts_of(bob, "alice") == wanted, texts_of(bob, "alice")
    again = alice.run("send", "bob", "healed")  # told once
    assert again.code == 0 and "restored" not in again.err, again


def check_sender_restored(lab):
    """A sender whose profile was put back from a copy goes on with exit 0; nothing twice"""
    sender_restored(lab, live=False)


def check_sender_restored_live(lab):
    """The same with a copy that was made while the profile was in use"""
    sender_restored(lab, live=True)


def recipient_restored(lab, live):
    alice, bob, first = restored(lab, live, sender=False)
    assert first.out == "", first  # what the copy lacks was acknowledged: it may be missing here
    alice.send("bob", "to the old copy")
    assert talk_until(alice, bob, "to the old copy") == ["to the old copy"]
    alice.send("bob", "and on")
    assert [m["text"] for m in bob.receive()] == ["and on"]
    bob.send("alice", "here again")
    assert alice.receive()[-1]["text"] == "here again"
    all_read(alice, bob)
    assert texts_of(bob, "alice") == ["hello", "before the copy", "to the old copy", "and on"]
    again = bob.run("receive")
    assert again.code == 0 and "restored" not in again.err, again


def check_recipient_restored(lab):
    """A recipient whose profile was put back from a copy goes on with exit 0; nothing twice"""
    recipient_restored(lab, live=False)


def check_recipient_restored_live(lab):
    """The same with a copy that was made while the profile was in use"""
    recipient_restored(lab, live=True)


def check_relay_restored(lab):
    """The relay's folder was put back from a copy: what it had stored and not delivered arrives"""
    relay, alice, bob = friends(lab)
    alice.send("bob", "in the copy, delivered later")
    relay.stop()
    copy(relay.data, lab.path("old"))
    relay.start()
    bob.receive()
    sent = [f"not in the copy {n}" for n in range(3)]
    for text in sent:
        alice.send("bob", text)
    relay.stop()
    put_back(relay.data, lab.path("old"))
    relay.start()
    sent.append("to the old relay")
    alice.send("bob", sent[-1])
    assert talk_until(alice, bob, sent[-1]) == sent
    bob.send("alice", "an answer")
    assert talk_until(bob, alice, "an answer") == ["an answer"]
    all_read(alice, bob)
    compare(alice, bob, ["hello", "in the copy, delivered later", *sent])


# ---- both at once --------------------------------------------------------------------------


def check_both_first(lab):
    """Two people write to each other for the first time at the same moment, and go on talking"""
    relay = lab.relay()
    for n in range(3):
        one, two = lab.people(relay, f"one{n}", f"two{n}")
        both = [(one, two), (two, one)]
        senders = [a.start("send", b.name, "first") for a, b in both]
        for sender in senders:
            result = sender.wait()
            assert result.code == 0 and result.out.split()[1:] == ["stored"], result
        for text in ("second", "third"):
            for a, b in both:
                a.send(b.name, text)
        for a, b in both:
            until("all of them", lambda: (b.ok("receive", "--wait", "1"), texts_of(b, a.name))[1],
                  lambda got: len(got) >= 3)
            compare(a, b, ["first", "second", "third"])


# ---- the network ---------------------------------------------------------------------------


def through(lab, relay, network, name):
    person = lab.person(name)
    person.ok("register", relay.invite("--public", network.address), "--name", name)
    return person


def random_cuts(moments, count):
    """One in three while the connection is still being made: more would be a test of the pauses."""
    return [(moments.choice((UP, DOWN)),
             moments.randrange(1, 3000) if n % 3 == 0 else moments.randrange(3000, 40000),
             moments.random() < 0.5) for n in range(count)]


def converse(alice, bob, going):
    """Both write at once, from chats that live on, while going(round); returns how many lines each
    has written, all of which were shown once."""
    chats = {p.name: p.start("chat", q.name, stdin=subprocess.PIPE)
             for p, q in ((alice, bob), (bob, alice))}
    pairs, lines = [("alice", "bob"), ("bob", "alice")], 0
    while going(lines // 5):
        lines += 5
        for name, chat in chats.items():
            chat.write("".join(f"{name} says {n:03}\n" for n in range(lines - 5, lines)))
        for name, other in pairs:
            chats[name].until_out(f"{other} says {lines - 1:03}")
    for name, other in pairs:
        for n in range(lines):
            assert chats[name].out.count(f"{other}: {other} says {n:03}") == 1, (n, chats[name].out)
        chats[name].write("quit\n")
    for chat in chats.values():
        assert chat.wait().code in (0, 3), chat.err  # 3: an outage was on the way
    for a, b in ((alice, bob), (bob, alice)):
        first = texts_of(a, b.name, outgoing=True)[0]
        compare(a, b, [first, *(f"{a.name} says {n:03}" for n in range(lines))])


def check_cuts(lab):
    """The network is cut at random bytes in either direction: libsotto comes back by itself, and
    everything arrives once and in order"""
    moments, relay = dice(), lab.relay()
    with Proxy(lambda: relay.port) as near, Proxy(lambda: relay.port) as far:
        alice, bob = through(lab, relay, near, "alice"), through(lab, relay, far, "bob")
        alice.befriend(bob)
        near.cuts, far.cuts = (random_cuts(moments, 15) for _ in range(2))
        converse(alice, bob, lambda n: n < 6 or near.cuts or far.cuts)
        assert near.cuts_done + far.cuts_done >= 28, (near.cuts_done, far.cuts_done)


def sign_up_through_cuts(lab, relay, network, name, way, further):
    """Each try gets some bytes further before it is cut."""
    person, link = lab.person(name), relay.invite("--public", network.address)
    after, tries = 200, 0
    while True:
        network.cuts = [(way, after, tries % 2 == 0)] * 8
        result = person.run("register", link, "--name", name)
        if result.code == 0 or "holds the account" in result.err:
            break  # in the second case the cut came after the answer
        assert result.code == 3, result
        after, tries = further(after), tries + 1
    network.cuts = []
    assert 5 < tries < 50, tries
    assert "used" in lab.person("mallory").fails(1, "register", link, "--name", "mallory")
    return person


def check_cut_sign_up(lab):
    """A sign-up that is cut anywhere is made again with the same invite and name, and counts once"""
    relay = lab.relay()
    with Proxy(lambda: relay.port) as network:
        alice = sign_up_through_cuts(lab, relay, network, "alice", DOWN, lambda n: n + 150)
        bob = sign_up_through_cuts(lab, relay, network, "bob", UP, lambda n: int(n * 1.5))
        alice.befriend(bob)


def check_pieces(lab):
    """The network hands on the stream in pieces of any size, down to single bytes"""
    moments, relay = dice(), lab.relay()
    sizes = {"single bytes": lambda: 1, "random pieces": lambda: moments.randrange(1, 40)}
    with Proxy(lambda: relay.port) as near, Proxy(lambda: relay.port) as far:
        near.piece, far.piece = sizes.values()
        alice, bob = through(lab, relay, near, "alice"), through(lab, relay, far, "bob")
        alice.befriend(bob)
        converse(alice, bob, lambda n: n < 2)
        alice.send("bob", "x" * 32768)
        assert bob.receive()[0]["text"] == "x" * 32768


if __name__ == "__main__":
    print(f"# SOTTO_SEED={SEED}", flush=True)
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
