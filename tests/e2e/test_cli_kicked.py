#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""Programs that run while the relay's operator, or another device, acts on their account: what they
say, whether they go on, and their exit code."""
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from sottolab import SOTTOD, until  # noqa: E402

DISABLED = "disabled by the operator of the relay. Nothing of it was deleted; ask the operator"
REMOVED = "this device was removed from the account. Its messages stay readable here"


def friends(lab, *options):
    relay = lab.relay(*options)
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    return relay, alice, bob


def operate(lab, relay, *words):
    result = lab.run([SOTTOD, *words, "--data", relay.data])
    assert result.code == 0, result
    return result.out.strip()


def said(chat):
    """All that stood on its screen, whatever wraps."""
    return " ".join(chat.everything().split())


def until_said(chat, text):
    until(f"{text!r} in the chat", lambda: said(chat), lambda s: text in s)


def leave(chat):
    chat.key("C-u", "C-d")
    assert chat.wait() == 0


def ends(running, *texts):
    """Exit 4, and a line with the reason."""
    result = running.wait()
    assert result.code == 4, result
    assert any(line.startswith("sotto: ") and all(text in line for text in texts)
               for line in result.err.splitlines()), result


def check_chat_kicked(lab):
    """A chat whose connection the operator ends says so, and goes on by itself"""
    relay, alice, bob = friends(lab)
    chat = alice.terminal("chat", "bob")
    chat.until("online")
    for n in range(2):
        operate(lab, relay, "kick", "alice")
        until_said(chat, "ended this connection; it is made again by itself")
        chat.until("online")
        bob.send("alice", f"after kick {n}")
        chat.until(f"bob: after kick {n}")
    leave(chat)


def check_follower_kicked(lab):
    """receive --follow goes on as well, and ends with 0 when it is told to"""
    relay, alice, bob = friends(lab)
    follower = alice.start("receive", "--follow")
    bob.send("alice", "before")
    follower.until_out("before")
    operate(lab, relay, "kick", "alice")
    bob.send("alice", "after")
    follower.until_out("after")
    follower.until_err("ended this connection; it is made again by itself")
    follower.signal(signal.SIGINT)
    assert follower.wait().code == 0


def check_chat_disabled(lab):
    """A chat of a disabled account says whom to ask, keeps what is written, and goes on by itself when
    it is enabled; what ends beside it ends with 4"""
    relay, alice, bob = friends(lab)
    chat = alice.terminal("chat", "bob")
    chat.until("online")
    beside = alice.start("receive", "--follow")
    bob.send("alice", "you are there")
    chat.until("bob: you are there")
    operate(lab, relay, "disable", "alice")
    ends(beside, DISABLED)
    until_said(chat, DISABLED)
    chat.type("kept for later\n")
    until_said(chat, "you to bob: kept for later [queued]")
    assert DISABLED in alice.fails(4, "send", "bob", "and this")
    operate(lab, relay, "enable", "alice")
    chat.until("Connected again")
    assert [m["text"] for m in bob.receive(2)] == ["kept for later", "and this"]
    leave(chat)


def check_piped_chat_disabled(lab):
    """A chat in a pipe ends with 4 when its account is disabled, and what it was told is kept"""
    relay, alice, bob = friends(lab)
    chat = alice.start("chat", "bob", stdin=-1)
    chat.write("one\n")
    assert bob.receive(1)[0]["text"] == "one"
    operate(lab, relay, "disable", "alice")
    chat.until_err(DISABLED)
    chat.write("two\n")
    ends(chat, DISABLED)
    operate(lab, relay, "enable", "alice")
    assert bob.json("receive") == []
    alice.ok("receive")
    assert bob.receive(1)[0]["text"] == "two"


def check_removed(lab):
    """Of an account that is deleted or reset, or of a revoked device: a follower ends with 4, a chat
    stays to be read, and both say why"""
    relay, alice, bob = friends(lab)
    carol, = lab.people(relay, "carol")
    second = lab.person("carol", profile="phone")
    login = second.start("login", relay.address, "--name", "carol", "--pin", relay.pin)
    carol.ok("devices", "approve", login.until_out("\n").split()[1])
    assert login.wait().code == 0
    device = next(d["id"] for d in second.json("devices") if d["state"] == "this")

    def delete():
        operate(lab, relay, "delete", "alice", "--yes")

    def take_over():
        link = operate(lab, relay, "reset", "bob")
        lab.person("bob", profile="fresh").ok("register", link, "--name", "bob")

    def revoke():
        carol.ok("devices", "revoke", device)

    for person, happens in ((alice, delete), (bob, take_over), (second, revoke)):
        chat = person.terminal("chat", "dora")
        chat.until("online")
        follower = person.start("receive", "--follow")
        person.ok("status")  # it is attached by now, or has the engine
        happens()
        until_said(chat, REMOVED)
        ends(follower)
        chat.until("offline")
        leave(chat)
        assert person.run("send", "carol", "still here?").code == 4


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
