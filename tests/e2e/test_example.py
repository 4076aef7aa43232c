#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# sanitizers: address, thread
"""The example program: libsotto's one descriptor in poll(), through outages of the relay."""
import os
import re
import signal

import sottolab
from sottolab import BUILD, SOURCE, until

FOLLOW = os.path.join(BUILD, "examples", "follow")


def follow(lab, person, passphrase=True):
    env = {"SOTTO_PASSPHRASE": person.passphrase} if passphrase else {}
    return lab.start([FOLLOW, person.profile], env=env)


def check_short_and_alone(lab):
    """it has about 60 lines and uses sotto.h and the C library only"""
    with open(os.path.join(SOURCE, "examples", "follow.c"), encoding="utf-8") as f:
        source = f.read()
    code = [line for line in source.splitlines() if line.strip()]
    assert len(code) <= 65, len(code)
    includes = re.findall(r"#include (\S+)", source)
    assert set(includes) == {"<poll.h>", "<sotto/sotto.h>", "<stdio.h>", "<stdlib.h>"}, includes


def check_reconnects(lab):
    """the relay is cut under it, twice and by kill -9: it comes back and goes on"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    running = follow(lab, alice)
    running.until_out("- online")
    for i, number in enumerate((signal.SIGTERM, signal.SIGKILL)):
        bob.send("alice", f"before {i}")
        running.until_out(f"bob: before {i}\n")
        relay.stop(number)
        until("the outage", lambda: running.out, lambda s: "- offline: " in s.split("before")[-1])
        relay.start()
        running.until_out("- online", count=i + 2)
        bob.send("alice", f"after {i}")
        running.until_out(f"bob: after {i}\n")
    running.signal(signal.SIGTERM)
    running.wait()
    assert re.findall(r"bob: (.*)", running.out) == ["before 0", "after 0", "before 1", "after 1"]
    assert alice.json("receive") == []  # it has said that they were shown


def check_shares(lab):
    """beside a running sotto it shares the connection and needs no passphrase"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    engine = alice.terminal("chat")
    engine.until("online")
    running = follow(lab, alice, passphrase=False)
    bob.send("alice", "to one of them")
    until("the message", lambda: running.out + engine.screen(), lambda s: "to one of them" in s)
    engine.key("C-d")
    assert engine.wait() == 0
    result = running.wait()  # it cannot take over without a passphrase
    assert result.code == 4 and "passphrase" in result.out, result


def check_mistakes(lab):
    """without a profile or a passphrase it says so and ends with 4, without words with 2"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    result = lab.run([FOLLOW])
    assert result.code == 2 and "usage" in result.err, result
    result = lab.run([FOLLOW, lab.path("nothing")])
    assert result.code == 4 and "no profile" in result.err, result
    result = lab.run([FOLLOW, alice.profile], env={"SOTTO_PASSPHRASE": "wrong-passphrase"})
    assert result.code == 4 and "wrong passphrase" in result.err, result


sottolab.main([check_short_and_alone, check_reconnects, check_shares, check_mistakes])
