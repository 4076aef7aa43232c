#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A relay with more threads than the machine has cores, and with one: the connections of people who
write to each other lie in different threads, and neither of them in the one that keeps the mailboxes."""
# sanitizers: address, thread
# timeout: 600
import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rogue  # noqa: E402
import sottolab  # noqa: E402
from follower import SEED, Follower, describe, dice  # noqa: E402
from sottolab import SOTTOD, until  # noqa: E402
from test_kills import Writer, judge, second_device  # noqa: E402

THREADS = 8
STEP = 4 if sottolab.SANITIZER else 8  # messages of each writer between two events
PEOPLE, FIRST_ID = 24, 100
SPREAD = 2  # threads at least that must have had connections
NANOSECONDS = 2000000  # that a thread needs for some handshakes, and not for being there


class World:
    """alice, bob and carol write to each other in a ring and read all the time; bob has a phone that
    reads too; all write to dave, who is away."""

    def __init__(self, lab, threads):
        self.lab = lab
        self.relay = lab.relay("--threads", str(threads))
        self.alice, self.bob, self.carol, self.dave = lab.people(
            self.relay, "alice", "bob", "carol", "dave")
        ring = (self.alice, self.bob, self.carol)
        self.peer = {p: ring[(i + 1) % 3] for i, p in enumerate(ring)}
        for one, other in self.peer.items():
            one.befriend(other)
            one.befriend(self.dave)
        self.phone = second_device(lab, self.relay, self.bob)
        self.readers = {p: Follower(p) for p in (*ring, self.phone)}
        self.writers = [Writer(p, self.peer[p].name, f"{p.name} to {self.peer[p].name}", dice())
                        for p in ring]
        self.writers += [Writer(p, "dave", f"{p.name} to dave", dice()) for p in ring]

    def go_on(self):
        """Until everybody has handed in some more."""
        wanted = [len(w.stored) + STEP for w in self.writers]

        def there():
            for w in self.writers:
                if w.wrong is not None:
                    raise w.wrong
            return [len(w.stored) for w in self.writers]
        until("all to be answered", there, lambda n: all(a >= b for a, b in zip(n, wanted)))

    def kick_everybody(self):
        for person in self.peer:
            said = until(f"{person.name} to be there", lambda: self.lab.run(
                [SOTTOD, "kick", "--data", self.relay.data, person.name]), lambda r: r.code == 0).out
            assert f"of {person.name} ended" in said, said

    def revoke_phone(self):
        reader = self.readers.pop(self.phone)
        device = next(d["id"] for d in self.phone.json("devices") if d["state"] == "this")
        self.bob.ok("devices", "revoke", device)
        result = reader.runs[-1].wait()
        assert result.code == 4 and "removed" in result.err, result
        self.phone.fails(4, "receive")
        return reader

    def over(self):
        for writer in self.writers:
            writer.over.set()
        for writer in self.writers:
            writer.thread.join()

    def finish(self, phone):
        """What everybody sent has reached everybody it was for, once and in order."""
        self.over()
        last = {w: w.last() for w in self.writers}
        for w in self.writers[:3]:
            self.readers[self.peer[w.person]].until(last[w])
        for reader in self.readers.values():
            reader.stop()
        count = sum(judge(w, [self.readers[self.peer[w.person]]], []) for w in self.writers[:3])
        to_bob = [w for w in self.writers if w.peer == "bob"][0]
        shown, again = phone.shown(to_bob.label)
        texts = [m["text"] for m in to_bob.person.history("bob")
                 if m["outgoing"] and m["text"].startswith(to_bob.label)]
        assert shown == texts[:len(shown)] and len(shown) >= STEP, describe(shown, texts)
        assert again == 0 and not any(r.shown()[1] for r in self.readers.values())
        return count + self.drain()

    def drain(self):
        """Who was away has it all, once and in each sender's order."""
        sent = {w: [m["text"] for m in w.person.history("dave")
                    if m["outgoing"] and m["text"].startswith(w.label)] for w in self.writers[3:]}
        count = sum(map(len, sent.values()))
        got = [m["text"] for m in self.dave.receive(count)]
        assert self.dave.json("receive") == []
        for w, texts in sent.items():
            assert not [t for t in w.stored if t not in texts], "stored, and not known where it was"
            assert [t for t in got if t.startswith(w.label)] == texts, describe(got, texts)
        return count


def play(lab, threads):
    w = World(lab, threads)
    try:
        w.go_on()
        w.kick_everybody()
        w.go_on()
        w.relay.kill()
        w.relay.start()
        w.go_on()
        phone = w.revoke_phone()
        w.go_on()
        w.relay.stop()
        w.relay.start()
        w.kick_everybody()
        w.go_on()
    finally:
        w.over()
    count = w.finish(phone)
    print(f"# {count} messages over a relay with --threads {threads}", flush=True)
    result = w.relay.stop()
    assert result.code == 0 and " bug " not in w.relay.log, w.relay.log


def check_eight(lab):
    """eight threads on fewer cores: people talk, store, drain, are kicked, revoke a device, while the
    relay is killed with -9 and stopped: nothing is lost, nothing comes twice"""
    play(lab, THREADS)


def check_one(lab):
    """one thread that does it all: the same"""
    play(lab, 1)


def had_work(relay):
    """How many threads have done more than to be there, beside the core and the one that syncs."""
    count, folder = 0, f"/proc/{relay.running.pid}/task"
    for thread in os.listdir(folder):
        with open(os.path.join(folder, thread, "schedstat")) as f:
            count += int(f.read().split()[0]) > NANOSECONDS
    return count - 2


def connect(accounts):
    """All of them, at once: signed in, and no mail asked for yet."""
    with concurrent.futures.ThreadPoolExecutor(len(accounts)) as pool:
        made = pool.map(lambda a: a.connect(begin=False), accounts.values())
        return dict(zip(accounts, made))


def begin(connection, committed=0):
    """Asks for all mail after that number."""
    assert connection.send(rogue.request(2, 11, rogue.number(1, committed)))
    assert connection.answer(2)[0] == rogue.DONE


def take(connection, answers, envelopes):
    """So many of each: the ids that were answered, and [(number, envelope)]."""
    answered, delivered = [], []
    while len(answered) < answers or len(delivered) < envelopes:
        body = connection.frame()
        assert body is not None, f"the connection ended after {answered} and {delivered}"
        for field, value in rogue.fields(body):
            if field == rogue.SUBMITTED:
                answered.append(rogue.first(body, 1))
            elif field == rogue.DELIVER:
                delivered.append((rogue.first(value, 1), rogue.first(value, 2)))
            assert field not in (rogue.ERROR, rogue.CLOSING), body
    assert len(answered) == answers and len(delivered) == envelopes, (answered, delivered)
    return answered, delivered


def check_every_pair(lab):
    """twenty-four connections over eight threads, each writes to each: all is answered, all arrives;
    after kill -9 what was not acknowledged comes again, in order, and nothing else does"""
    relay = lab.relay("--registration", "open", "--threads", str(THREADS), "--strangers-per-hour", "0",
                      "--sign-ups-per-hour", "0")
    names = [f"m{n:02}" for n in range(PEOPLE)]
    accounts = {n: rogue.Account(relay, n) for n in names}
    there = connect(accounts)
    for c in there.values():
        begin(c)
    for sender, c in there.items():
        for n, name in enumerate(names):
            text = f"{sender} to {name}".encode()
            assert c.send(rogue.submit(FIRST_ID + n, name, [
                rogue.parcel(accounts[name].device, text, n + 1)]))
    acked, owed = {}, {}
    for name, c in there.items():
        answered, delivered = take(c, PEOPLE, PEOPLE)
        assert sorted(answered) == [FIRST_ID + n for n in range(PEOPLE)], answered
        assert sorted(t for _, t in delivered) == [f"{n} to {name}".encode() for n in names], delivered
        assert [seq for seq, _ in delivered] == sorted({seq for seq, _ in delivered}), delivered
        assert c.send(*[rogue.ack(seq) for seq, _ in delivered[:PEOPLE // 2]], rogue.ping(7))
        assert c.answer(7)[0] == rogue.DONE
        acked[name], owed[name] = delivered[PEOPLE // 2 - 1][0], delivered[PEOPLE // 2:]
    spread = had_work(relay)
    print(f"# the connections lay in {spread} threads", flush=True)
    assert spread >= SPREAD, "all connections were in one thread"
    relay.kill()
    for c in there.values():
        c.close()
    relay.start()
    for name, c in connect(accounts).items():
        begin(c, acked[name])
        _, delivered = take(c, 0, len(owed[name]))
        assert delivered == owed[name], (delivered, owed[name])
        assert c.send(*[rogue.ack(seq) for seq, _ in delivered])
        assert c.send(rogue.ping(8))
        assert rogue.first(c.frame(), 1) == 8, "something came that was acknowledged"
        c.close()


if __name__ == "__main__":
    print(f"# SOTTO_SEED={SEED}", flush=True)
    sottolab.main([check_eight, check_one, check_every_pair])
