#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""sotto chat with lines from a pipe, as scripts use it."""
import re
import signal
import subprocess

import sottolab
from sottolab import until


def two(lab):
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    return relay, alice, bob


def check_all_lines(lab):
    """every line is sent, in order; it ends once all is stored, without escapes"""
    relay, alice, bob = two(lab)
    lines = ["hello", "//slash", " who", "", "umlaut ä 日本語 😀", "tab\there", "last, without a break"]
    result = alice.run("chat", "bob", stdin="\n".join(lines))
    assert result.code == 0 and result.err == "", result
    assert b"\x1b" not in result.raw, result
    want = ["hello", "/slash", " who", "umlaut ä 日本語 😀", "tab\there", "last, without a break"]
    assert [m["text"] for m in bob.receive(len(want))] == want
    shown = re.findall(r"^\d{4}-\d\d-\d\d \d\d:\d\d you to bob: (.*) \[stored\]$", result.out,
                       re.MULTILINE)
    assert shown == want, result


def check_carriage_returns(lab):
    """lines that end in CR LF are sent as they are typed there, without the CR"""
    relay, alice, bob = two(lab)
    assert alice.run("chat", "bob", stdin="one\r\ntwo\r\n").code == 0
    assert [m["text"] for m in bob.receive(2)] == ["one", "two"]


def check_commands(lab):
    """commands answer on stdout, after what was written before them; hints go to stderr"""
    relay, alice, bob = two(lab)
    lines = "first\n/history --limit 1\nwho\nverify\nchat carol\nchat bob\nsend bob a  b\n/status\n"
    result = alice.run("chat", "bob", stdin=lines)
    assert result.code == 0, result
    number = alice.ok("verify", "bob").strip()
    out = result.out.splitlines()
    assert out[0].endswith("you to bob: first [stored]"), out
    assert out[1].endswith("you: first [stored]"), out
    assert out[2].startswith("bob ") and "contact" in out[2], out
    assert out[3] == number, out
    assert out[4].endswith("you to bob: a  b [stored]"), out
    assert out[5].startswith("account     alice"), out
    assert "Not verified yet" in result.err and "Not verified" not in result.out, result
    assert [m["text"] for m in bob.receive(2)] == ["first", "a  b"]


def check_no_chat_open(lab):
    """without an open chat every line is a command"""
    relay, alice, bob = two(lab)
    result = alice.run("chat", stdin="who\n/who\nhello bob\nsend bob hi\nchat bob\nhello bob\n")
    assert result.code == 2 and "there is no command 'hello'" in result.err, result
    assert result.out.count("bob                  contact") == 2, result
    assert [m["text"] for m in bob.receive(2)] == ["hi", "hello bob"]


def check_incoming(lab):
    """what comes in meanwhile is printed, once, and counts as printed"""
    relay, alice, bob = two(lab)
    bob.send("alice", "before")
    chat = alice.start("chat", "bob", stdin=subprocess.PIPE)
    chat.until_out("bob: before")
    bob.send("alice", "meanwhile")
    chat.until_out("bob: meanwhile")
    chat.write("answer\n")
    chat.until_out("you to bob: answer [stored]")
    result = chat.wait()
    assert result.code == 0 and result.out.count("before") == result.out.count("meanwhile") == 1, result
    assert alice.json("receive") == []


def check_line_by_line(lab):
    """a line is sent when it is written, not at the end"""
    relay, alice, bob = two(lab)
    chat = alice.start("chat", "bob", stdin=subprocess.PIPE)
    for i in range(3):
        chat.write(f"line {i}")
        chat.write("\n")
        assert bob.receive(1)[0]["text"] == f"line {i}"
    assert chat.wait().code == 0


def check_quit(lab):
    """quit ends it; what comes after is not looked at"""
    relay, alice, bob = two(lab)
    result = alice.run("chat", "bob", stdin="sent\nquit\nnot sent\n")
    assert result.code == 0, result
    assert [m["text"] for m in bob.json("receive", "--wait", "1")] == ["sent"]


def check_lines_left_out(lab):
    """lines that are too long, no UTF-8 or hold a NUL are left out (exit 2), the others sent"""
    relay, alice, bob = two(lab)
    longest = "x" * 32768
    data = b"\n".join([b"good", b"bad \xff", b"nul \0 nul", b"y" * 32769, b"z" * 500000,
                       longest.encode(), b"end"]) + b"\n"
    result = alice.run("chat", "bob", stdin=data)
    assert result.code == 2, result.err
    for part in ("not valid UTF-8", "NUL", "longer than 32 KiB"):
        assert part in result.err, result.err
    assert result.err.count("longer than 32 KiB") == 2, result.err
    assert [m["text"] for m in bob.receive(3)] == ["good", longest, "end"]


def check_mistakes(lab):
    """a mistake makes the exit code, and the rest is done all the same"""
    relay, alice, bob = two(lab)
    result = alice.run("chat", "bob", stdin="/hsitory\n/delete x\nsend nobody hi\nstill sent\n")
    assert result.code == 2 and "did you mean '/history'?" in result.err, result
    assert "no account nobody" in result.err, result
    assert bob.receive(1)[0]["text"] == "still sent"
    result = alice.run("chat", "nobody", stdin="hello\n")
    assert result.code == 5 and "sotto: there is no account nobody" in result.err, result
    assert alice.fails(2, "chat", "Bob")


def check_offline(lab):
    """without the relay: the messages are kept, said so, exit 3; later they go out in order"""
    relay, alice, bob = two(lab)
    relay.stop()
    lines = [f"offline {i}" for i in range(5)]
    result = alice.run("chat", "bob", stdin="\n".join(lines) + "\nquit\n")
    assert result.code == 3 and result.out.count("[queued]") == 5, result
    assert "5 messages are not sent yet" in result.err and "refused" in result.err, result
    relay.start()
    alice.ok("receive")
    assert [m["text"] for m in bob.receive(5)] == lines


def check_signals(lab):
    """SIGTERM and SIGHUP leave cleanly with 0, SIGINT as SIGINT"""
    relay, alice, bob = two(lab)
    for number, code in ((signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, -signal.SIGINT)):
        chat = alice.start("chat", "bob", stdin=subprocess.PIPE)
        chat.write(f"before {int(number)}\n")
        chat.until_out(f"before {int(number)}")
        chat.signal(number)
        until("it to end", chat.process.poll, lambda c: c is not None)
        assert chat.wait().code == code, number
    assert len(bob.receive(3)) == 3


def check_reader_goes_away(lab):
    """nobody reads what it prints: it ends with 1, and what was not printed comes again"""
    relay, alice, bob = two(lab)
    with open("/dev/full", "w") as full:
        chat = alice.start("chat", "bob", stdin=subprocess.PIPE, stdout=full)
        bob.send("alice", "important")
        until("it to end", chat.process.poll, lambda c: c is not None)
        assert chat.wait().code == 1
    assert alice.receive(1)[0]["text"] == "important"


def check_beside_engine(lab):
    """beside a running engine it works the same, and the engine stays"""
    relay, alice, bob = two(lab)
    engine = alice.start("receive", "--follow")
    until("the engine", lambda: alice.run("status", passphrase=False).code, lambda c: c == 0)
    result = alice.run("chat", "bob", stdin="handed over\nwho\n", passphrase=False)
    assert result.code == 0 and "handed over [stored]" in result.out, result
    assert bob.receive(1)[0]["text"] == "handed over"
    engine.signal(signal.SIGINT)
    assert engine.wait().code == 0


sottolab.main([
    check_all_lines, check_carriage_returns, check_commands, check_no_chat_open, check_incoming,
    check_line_by_line, check_quit, check_lines_left_out, check_mistakes, check_offline,
    check_signals, check_reader_goes_away, check_beside_engine,
])
