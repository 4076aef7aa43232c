#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An evil relay and what it can send without end: typing notices again, late and on the wrong way, and
envelopes that nobody sent. Nothing untrue is shown, and nothing grows with the flood."""
# sanitizers: address
# timeout: 900
import contextlib
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import evil  # noqa: E402
import sottolab  # noqa: E402
from evil import case, own_world  # noqa: E402
from sottolab import until  # noqa: E402

LIST_CHANGED, LINK_PENDING, PREKEYS_LOW = 32, 33, 34  # pushes, by docs/protocol.md
TYPING = "alice is typing"
MEMORY = 32 << 20  # bytes that no flood may make a client need beyond what it needs anyway
DISK = 6 << 20  # four megabytes of what did not open are kept, and what is known of the rest


def fired(w, count=1):
    until("the lie to be told", lambda: int(w.relay.command("fired")[1]), lambda n: n >= count)


class Reader:
    """bob, who reads along; what it costs him."""

    def __init__(self, w):
        self.w, self.running = w, w.bob.start("receive", "--follow", "--json")

    def reads(self, sender=None):
        """Something of hers, which comes after all that was sent before."""
        text = self.w.text()
        self.w.alice.send("bob", text)
        until(text, lambda: self.running.out, lambda s: text in s, patience=5 * sottolab.PATIENCE)
        self.w.read.append(text)

    def most_memory(self):
        with open(f"/proc/{self.running.pid}/status") as f:
            line = next(line for line in f if line.startswith("VmHWM:"))
        return int(line.split()[1]) << 10

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.running.signal(signal.SIGINT)  # so that it notes what it printed
        result = self.running.wait()
        assert kind is not None or result.code == 0, result


def cost(w, *lies):
    """(bytes of memory, bytes on disk, what he asked for) while these are told; what is between them
    is read."""
    with contextlib.ExitStack() as stack:
        told = stack.enter_context(w.relay.lies(*lies)) if lies else None
        with Reader(w) as reader:
            reader.reads()
            memory = reader.most_memory()
    assert w.bob.json("receive") == []
    return memory, size_of(w.bob.profile), told


def size_of(folder):
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))


def is_bounded(w, lie, disk):
    """Whether it comes once or again: it costs no more."""
    usual, before, _ = cost(w)
    for _ in range(2):
        memory, size, told = cost(w, lie)
        assert sottolab.SANITIZER or memory - usual < MEMORY, f"{lie}: {(memory - usual) >> 20} MiB"
        assert size - before < disk, f"{lie}: {(size - before) >> 10} KiB on disk"
    return told


# ---- notices -------------------------------------------------------------------------------------


@own_world
def check_notices(w):
    """Typing notices again, late, altered, or as messages: nobody is shown typing who is not"""
    alice, bob = w.alice.terminal("chat", "bob"), w.bob.terminal("chat", "alice")
    for chat in (alice, bob):
        chat.until("online")

    def nobody_types():
        text = w.text()
        w.carl.send("bob", text)  # what came before it was shown before it
        assert TYPING not in bob.until(text), bob.screen()

    with w.relay.lies("notices-after bob"):
        alice.type("I am wri")
        bob.until(TYPING)
        alice.type("ting\n")
        bob.until("alice: I am writing")
        nobody_types()
    with w.relay.lies("notices-old bob"):
        alice.type("again")
        bob.until(TYPING)
        before = int(w.relay.command("fired")[1])
        alice.key("C-u")
        fired(w, before + 1)
        nobody_types()
    for twist in ("notice-altered bob", "notice-delivered bob"):
        with w.relay.lies(twist):
            alice.type("more")
            fired(w)
            nobody_types()
            alice.key("C-u")
            fired(w, 2)
    with w.relay.lies("notice-again bob 1000"):
        alice.type("x")
        bob.until(TYPING)
        alice.key("C-u")
        bob.until_gone(TYPING)
        nobody_types()
    with w.relay.lies("notices-at-begin carl"):  # another's
        assert w.carl.json("receive") == []
    alice.type("the end\n")
    bob.until("alice: the end")
    for chat in (alice, bob):
        chat.key("C-d")
        assert chat.wait() == 0
    assert [m["text"] for m in w.bob.history("alice") if not m["outgoing"]][1:] == [
        "I am writing", "the end"]


@case
def check_messages_as_notices(w):
    """A message that is passed on as if it were a notice is not shown, and not taken for read"""
    text, = w.waiting(1)
    with w.relay.lies("deliver-as-notice bob"):
        assert w.bob.json("receive") == []
    assert w.alice.history("bob")[-1]["state"] == "stored"
    assert [m["text"] for m in w.bob.json("receive")] == [text]
    w.read.append(text)
    w.heals()


@case
def check_flood_of_notices(w):
    """A flood of notices, of rubbish or from somebody, costs neither memory nor disk, and asks for
    nothing"""
    usual = cost(w, "keys-left bob 100")[2].requests
    for lie in ("push-rubbish-notices bob 3000 60000", "push-invented-notices bob 3000 alice",
                "push-invented-notices bob 3000 -"):
        told = is_bounded(w, lie, disk=1 << 18)
        assert told.requests <= usual + 5, (lie, told.requests, usual)
    w.heals()


@case
def check_flood_of_news(w):
    """A flood of news that is none (own list, devices that wait, keys that are short) costs nothing, and is
    asked about a few times only"""
    usual = cost(w, "keys-left bob 100")[2].requests
    for kind in (LIST_CHANGED, LINK_PENDING, PREKEYS_LOW):
        told = is_bounded(w, f"push-news bob 20000 {kind}", disk=1 << 20)
        assert told.requests <= usual + 20, (kind, told.requests, usual)
    w.heals()


# ---- envelopes -----------------------------------------------------------------------------------


@case
def check_flood_of_rubbish(w):
    """A flood of different envelopes that do not open: memory and disk are bounded, and what is
    between is read"""
    few = 10 if sottolab.SANITIZER else 1
    is_bounded(w, f"push-rubbish bob {10000 // few} 300", DISK)
    is_bounded(w, f"push-rubbish bob {3000 // few} 60000", DISK)
    w.heals()


@case
def check_flood_in_somebodys_name(w):
    """A flood of different envelopes in the name of a contact, or of people who are not there: few are
    asked for again, and nobody appears"""
    told = is_bounded(w, "push-invented bob 3000 alice", DISK)
    assert told.parcels <= 300, told.parcels
    told = is_bounded(w, "push-invented bob 200 -", DISK)
    assert told.parcels <= 20, told.parcels
    assert [c["name"] for c in w.bob.json("contacts")] == ["alice"], w.bob.json("contacts")
    w.heals()


if __name__ == "__main__":
    evil.main(globals())
