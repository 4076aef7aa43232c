# SPDX-License-Identifier: Apache-2.0
"""An evil relay (tests/evil) and three people on it, for test_evil*.py: each case tells lies, looks at
what comes of them, and ends with everybody writing to each other as before.

    @case
    def check_something(w):
        with w.relay.lies("list-altered * bob"):
            ...
        w.heals()
    ...
    evil.main(globals())
"""
import contextlib
import os
import subprocess

import sottolab
from sottolab import until

# Types and codes of docs/protocol.md, section 14.
SIGN_IN, BEGIN, GET_LINKS, GET_LISTS, GET_BUNDLE = 10, 11, 17, 19, 20
PUT_PREKEYS, SUBMIT, PING = 21, 22, 26
FULL, GONE, LANE_CLOSED, QUOTA = 2, 3, 4, 5
DENIED, NAME_GONE, UNKNOWN_ACCOUNT, REVOKED, LIST_CHANGED, UNAVAILABLE = 3, 6, 12, 14, 18, 21


class Evil(sottolab.Relay):
    """The evil relay; people sign up with it as with any other."""
    PROGRAM = os.path.join(sottolab.BUILD, "tests", "evil", "evil")

    def start(self):
        self.running = self.lab.start([self.PROGRAM, self.data, str(self.port or 0)],
                                      stdin=subprocess.PIPE)
        words = until("the evil relay to be ready", lambda: self.running.out,
                      lambda s: "\n" in s or self.running.process.poll() is not None).split()
        assert words[:2] == ["evil", "ready"], self.running.err
        self.address, self.pin = words[2], words[4]
        self.port = int(self.address.rsplit(":", 1)[1])
        self.answers = 0
        return self

    def command(self, line):
        self.running.write(line + "\n")
        self.answers += 1
        said = until(f"an answer to {line}", self.answered,
                     lambda a: len(a) >= self.answers or self.running.process.poll() is not None)
        assert len(said) >= self.answers, self.running.err
        return said[-1].split()

    def answered(self):
        lines = self.running.out.split("\n")[:-1]
        assert "leak" not in lines, "somebody encrypted a text for the evil relay"
        return [line for line in lines if line.startswith("ok")]

    @contextlib.contextmanager
    def lies(self, *twists, to=None):
        """Tells lies meanwhile. They have to be told: one that nobody hears shows nothing. What is
        given is filled in at the end: what those who were lied to asked for, and submitted, meanwhile."""
        told = Lie()
        for twist in twists:
            self.command(f"arm {twist}")
        yield told
        if to:  # who may have given up before he heard them
            until("the lie to be heard", lambda: int(self.command("fired")[1]) > 0,
                  lambda fired: fired or to.run("receive") is None)
        told.fired, told.requests, told.parcels = map(int, self.command("disarm")[1:])
        assert told.fired > 0, f"{twists} did nothing"


class Lie:
    fired = requests = parcels = None


class World:
    """alice and bob, who are friends, and carl, whom nobody knows, on one evil relay."""

    def __init__(self):
        self.lab = sottolab.Lab()
        self.relay = Evil(self.lab, "evil")
        self.alice, self.bob, self.carl = self.lab.people(self.relay, "alice", "bob", "carl")
        self.number = 0
        self.read = [self.text()]  # by bob, from alice
        self.alice.send("bob", self.read[0])
        self.bob.receive()
        self.bob.send("alice", "welcome")
        self.alice.receive()
        self.bob.ok("receive")

    def text(self):
        self.number += 1
        return f"text {self.number}"

    def stranger(self):
        self.number += 1
        return sottolab.Person(self.lab, f"new{self.number}").register(self.relay)

    def waiting(self, count, long=False):
        """So many texts of alice's, which wait for bob. long: longer than anything else."""
        texts = [self.text() + long * ", and so on" * 700 for _ in range(count)]
        for text in texts:
            self.alice.send("bob", text)
        return texts

    def arrives(self, sender, *kept):
        """What was kept of somebody else's arrives at bob's, once and in order, as what comes now."""
        sender.send("bob", "and on")
        got = self.bob.receive(len(kept) + 1)
        assert [(m["from"], m["text"]) for m in got] == [
            (sender.name, text) for text in (*kept, "and on")], got
        self.quiet()

    def heals(self, *kept):
        """What was kept arrives, once and in order, and so does what is written now, both ways."""
        texts = [*kept, self.text()]
        self.alice.send("bob", texts[-1])
        got = self.bob.receive(len(texts))
        assert [(m["from"], m["text"]) for m in got] == [("alice", t) for t in texts], got
        self.read += texts
        back = self.text()
        self.bob.send("alice", back)
        got = self.alice.receive()
        assert [(m["from"], m["text"]) for m in got] == [("bob", back)], got
        self.quiet()

    def quiet(self):
        """Nothing is left over; bob's history is what he has read."""
        assert self.bob.json("receive") == []
        assert self.history() == self.read, (self.history(), self.read)
        self.relay.answered()

    def history(self):
        return [m["text"] for m in self.bob.history("alice") if not m["outgoing"]]

    def late(self, got, texts):
        """What came in another order than it was written in stands where bob's history has it."""
        assert sorted(m["text"] for m in got) == sorted(texts), (got, texts)
        last = self.history()[-len(texts):]
        assert sorted(last) == sorted(texts), (last, texts)
        self.read += last

    def taken_back(self, *lost):
        """The relay says that it is one that was restored: what it took of alice's and never delivered
        comes after all."""
        self.number += 1
        with self.relay.lies(f"hello-incarnation * {self.number % 256}"):
            self.alice.ok("receive")
        got = []
        until("what was lost", lambda: got.extend(self.bob.json("receive")) or got,
              lambda _: len(got) >= len(lost) or self.alice.ok("receive") is None)
        self.late(got, lost)

    def close(self):
        self.lab.close()


class Worlds:
    """One for all cases, as each ends as it began; another one after a case that failed."""
    now = None

    @classmethod
    def case(cls, check):
        def run():
            if cls.now is None:
                cls.now = World()
            try:
                check(cls.now)
            except BaseException:
                cls.end()
                raise
        run.__doc__, run.__name__ = check.__doc__, check.__name__
        return run

    @classmethod
    def end(cls):
        if cls.now is not None:
            cls.now.close()
        cls.now = None


case = Worlds.case


def own_world(check):
    """For what does not end as it began."""
    def run():
        w = World()
        with contextlib.closing(w):
            check(w)
    run.__doc__, run.__name__ = check.__doc__, check.__name__
    return run


def main(names):
    try:
        sottolab.main([f for name, f in list(names.items()) if name.startswith("check_")])
    finally:
        Worlds.end()
