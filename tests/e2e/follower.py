# SPDX-License-Identifier: Apache-2.0
"""Somebody who reads all the time and is killed at random, and what was shown to him.

Random moments come from a seed that is printed; SOTTO_SEED=N chooses it."""
import json
import os
import random
import signal

from sottolab import until

SEED = int(os.environ.get("SOTTO_SEED") or random.SystemRandom().randrange(1 << 32))


def dice():
    return random.Random(SEED)


class Follower:
    """A person who reads all the time, killed and started again as often as one likes."""

    def __init__(self, person):
        self.person, self.runs, self.killed = person, [], set()
        self.start()

    def start(self):
        self.runs.append(self.person.start("receive", "--follow", "--json"))
        return self

    def kill(self):
        run = self.runs[-1]
        run.signal(signal.SIGKILL)
        run.wait()
        self.killed.add(len(self.runs) - 1)
        return self

    def printed(self):
        """Of each run: the texts that it printed."""
        return [[json.loads(line)["text"] for line in run.out.split("\n")[:-1]] for run in self.runs]

    def until(self, text):
        until(f"{text!r} to be shown", self.printed, lambda p: any(text in run for run in p))

    def stop(self):
        run = self.runs[-1]
        run.signal(signal.SIGINT)
        result = run.wait()
        assert result.code in (0, -signal.SIGINT), result  # it may not have got far yet

    def shown(self, label=""):
        """All texts that begin like this, and how many of them came twice. What a killed process
        printed last it may not have been able to note as printed: that may come again, first thing
        and in the same order, in the next run; it counts once."""
        shown, again = [], 0
        for i, run in enumerate(self.printed()):
            run = [t for t in run if t.startswith(label)]
            if i - 1 in self.killed and run and run[0] in shown:
                tail = shown[shown.index(run[0]):]
                if run[:len(tail)] == tail:
                    run = run[len(tail):]
                    again += len(tail)
            shown += run
        return shown, again

    def check(self, texts):
        """Each once and in order; slowly enough that only one cannot be noted at a time."""
        shown, again = self.shown()
        assert shown == texts, describe(shown, texts)
        assert again <= len(self.killed), f"SOTTO_SEED={SEED}: {again} after {len(self.killed)} kills"


def describe(got, wanted):
    lost = [t for t in wanted if t not in got]
    twice = sorted({t for t in got if got.count(t) > 1})
    strange = [t for t in got if t not in wanted]
    return f"SOTTO_SEED={SEED}: lost {lost}, twice {twice}, strange {strange}; in this order: {got}"


def texts_of(person, peer, outgoing=False):
    return [m["text"] for m in person.history(peer) if m["outgoing"] == outgoing]


def compare(sender, recipient, texts=None):
    """What one sent is what the other has: the same ids in the same order, none twice."""
    sent = [(m["id"], m["text"]) for m in sender.history(recipient.name) if m["outgoing"]]
    got = [(m["id"], m["text"]) for m in recipient.history(sender.name) if not m["outgoing"]]
    assert got == sent, describe([t for _, t in got], [t for _, t in sent])
    assert len(set(got)) == len(got)
    if texts is not None:
        assert [t for _, t in got] == texts, describe([t for _, t in got], texts)
