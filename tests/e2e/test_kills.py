#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everybody is killed with -9 at random moments, again and again, while people write to each other in
both directions: the relay, who reads, and who sends.

SOTTO_ROUNDS=N kills that often; moments come from a seed that is printed, SOTTO_SEED=N chooses it."""
# sanitizers: address, thread
# timeout: 600
import os
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from follower import SEED, Follower, describe, dice  # noqa: E402
from sottolab import until  # noqa: E402

ROUNDS = int(os.environ.get("SOTTO_ROUNDS") or (15 if sottolab.SANITIZER else 60))
ATTACHED = 0.03  # seconds that a send takes while somebody else has the engine
PAUSE = 0.1      # seconds at most between two texts of one device
OF_EACH = 3      # kills at least, in 60 rounds


class Writer:
    """A device on which one `sotto send` follows the other."""

    def __init__(self, person, peer, label, seed):
        self.person, self.peer, self.label, self.moments = person, peer, label, seed
        self.count, self.stored = 0, []
        self.doomed, self.over = threading.Event(), threading.Event()
        self.killed, self.wrong = 0, None
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def one(self):
        text = f"{self.label} {self.count:04}"
        self.count += 1
        doomed = self.doomed.is_set()
        sender = self.person.start("send", self.peer, text)
        if doomed:
            try:
                sender.process.wait(self.moments.uniform(0, 1.5) * ATTACHED)
            except subprocess.TimeoutExpired:
                sender.signal(signal.SIGKILL)
                self.killed += 1
                self.doomed.clear()
        result = sender.wait()
        assert result.code in (0, 3) or (doomed and result.code == -signal.SIGKILL), result
        if result.code == 0:
            assert result.out.split()[1:] == ["stored"], result
            self.stored.append(text)

    def write(self):
        try:
            while not self.over.wait(self.moments.uniform(0, PAUSE)):
                self.one()
        except BaseException as e:
            self.wrong = e

    def last(self):
        """Nothing overtakes, so once this one is stored the relay has had them all."""
        if self.wrong is not None:
            raise self.wrong
        text = f"{self.label} is done"
        self.person.send(self.peer, text)
        self.stored.append(text)
        return text


def kill_them(moments, relay, followers, writers):
    """At random moments, ROUNDS times; returns how often each was hit."""
    hits = {"relay": 0, "reader": 0, "sender": 0}
    pause = threading.Event()
    while hits["relay"] + hits["reader"] + sum(w.killed for w in writers) < ROUNDS:
        pause.wait(moments.uniform(0, 0.5))
        whom = moments.choice(("relay", "reader", "sender"))
        if whom == "relay":
            relay.kill()
            relay.start()
            hits["relay"] += 1
        elif whom == "reader":
            moments.choice(followers).kill().start()
            hits["reader"] += 1
        else:
            moments.choice(writers).doomed.set()
        for writer in writers:
            if writer.wrong is not None:
                raise writer.wrong
    hits["sender"] = sum(w.killed for w in writers)
    return hits


def sent_by(writer):
    """What its device took, in order: ids and texts."""
    return [(m["id"], m["text"]) for m in writer.person.history(writer.peer)
            if m["outgoing"] and m["text"].startswith(writer.label)]


def known_to(person, peer, label):
    return [(m["id"], m["text"]) for m in person.history(peer) if m["text"].startswith(label)]


def judge(writer, readers, other_devices):
    """Everything that was acknowledged is there, once, in order, wherever it belongs; so is what was
    taken and never acknowledged; and there is nothing else."""
    sent = sent_by(writer)
    texts = [t for _, t in sent]
    assert texts == sorted(set(texts)), describe(texts, sorted(set(texts)))
    lost = [t for t in writer.stored if t not in texts]
    assert not lost, f"SOTTO_SEED={SEED}: stored, and not known to its own device: {lost}"
    for reader in readers:
        shown, _ = reader.shown(writer.label)
        assert shown == texts, describe(shown, texts)
        known = known_to(reader.person, writer.person.name, writer.label)
        assert known == sent, describe([t for _, t in known], texts)
    for person in other_devices:
        known = until("what its other device sent",
                      lambda: person.run("receive") and known_to(person, writer.peer, writer.label),
                      lambda known: len(known) >= len(sent))
        assert known == sent, describe([t for _, t in known], texts)
    return len(texts)


def second_device(lab, relay, first):
    second = lab.person(first.name, profile="phone")
    running = second.start("login", relay.address, "--name", first.name, "--pin", relay.pin)
    first.ok("devices", "approve", running.until_out("\n").split()[1])
    assert running.wait().code == 0, running.err
    return second


def check_everybody_killed(lab):
    """kill -9 of relay, readers and senders at random moments, two ways, three devices: what was
    acknowledged is shown once, in order, on each device that it was for"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    phone = second_device(lab, relay, bob)
    moments = dice()
    readers = {p: Follower(p) for p in (alice, bob, phone)}
    writers = [Writer(p, peer, label, dice()) for p, peer, label in
               ((alice, "bob", "alice"), (bob, "alice", "bob"), (phone, "alice", "phone"))]
    try:
        hits = kill_them(moments, relay, list(readers.values()), writers)
    finally:
        for writer in writers:
            writer.over.set()
        for writer in writers:
            writer.thread.join()
    for writer in writers:
        text = writer.last()
        for reader in (readers[bob], readers[phone]) if writer.person is alice else (readers[alice],):
            reader.until(text)
    for reader in readers.values():
        reader.stop()
    count = (judge(writers[0], [readers[bob], readers[phone]], []) +
             judge(writers[1], [readers[alice]], [phone]) +
             judge(writers[2], [readers[alice]], [bob]))
    again = sum(r.shown(w.label)[1] for r in readers.values() for w in writers)
    print(f"# killed: {hits}; {count} messages, {sum(len(w.stored) for w in writers)} acknowledged; "
          f"{again} were printed again, as a killed reader could not note it", flush=True)
    assert all(n >= OF_EACH * ROUNDS // 60 for n in hits.values()), hits
    assert again <= hits["reader"], f"{again} printed again after {hits['reader']} kills"


if __name__ == "__main__":
    print(f"# SOTTO_SEED={SEED} SOTTO_ROUNDS={ROUNDS}", flush=True)
    sottolab.main([check_everybody_killed])
