#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""sotto chat on a terminal, played by tmux."""
import os
import re
import signal

import sottolab
from sottolab import until


def two(lab, **options):
    """alice and bob, who know each other, and alice's chat with bob."""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    chat = alice.terminal("chat", "bob", **options)
    chat.until("bob, not verified, online")
    return relay, alice, bob, chat


def leave(chat):
    chat.key("C-u", "C-d")
    assert chat.wait() == 0
    assert "echo" in chat.settings() and "icanon" in chat.settings()


# ---- what is shown -----------------------------------------------------------------------------


def check_conversation(lab):
    """a chat shows what was said, what comes, and what becomes of one's own messages"""
    relay, alice, bob, chat = two(lab)
    lines = chat.lines()
    assert re.fullmatch(r"\d\d:\d\d you: hello \[(stored|delivered|read)\]", lines[1]), lines
    assert re.fullmatch(r"\d\d:\d\d bob: hello too", lines[2]), lines
    chat.type("how are you?\n")
    shown = r"^\d\d:\d\d you to bob: how are you\? \[(stored|delivered)\]$"
    until("the line with its state", chat.screen, lambda s: re.search(shown, s, re.MULTILINE))
    bob.receive(1)
    chat.until("[read] to bob: how are you?")
    bob.send("alice", "fine")
    chat.until("bob: fine")
    assert re.search(r"^\d\d:\d\d bob: fine$", chat.screen(), re.MULTILINE), chat.screen()
    leave(chat)
    assert alice.json("receive") == []  # it was seen in the chat
    assert bob.json("receive") == []


def check_unread_when_opened(lab):
    """what was not seen yet stands there when the chat opens, once"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    for i in range(30):
        bob.ok("send", "alice", f"while away {i}")
    chat = alice.terminal("chat", "bob", rows=60)
    chat.until("while away 29")
    seen = re.findall(r"while away (\d+)", chat.everything())
    assert seen == [str(i) for i in range(30)], seen
    leave(chat)
    assert alice.json("receive") == []


def check_half_typed_line(lab):
    """the half-typed line survives what comes in, and so does the place of the cursor"""
    relay, alice, bob, chat = two(lab)
    chat.type("half typed, the cursor inside")
    chat.key("C-Left", "C-Left", "Left", "C-Right", "M-b")
    until("the cursor before 'cursor'", lambda: chat.ask("cursor_x"), lambda x: x == str(5 + 16))
    for i in range(3):
        bob.send("alice", f"interrupting {i}")
        chat.until(f"bob: interrupting {i}")
    until("the line below", chat.last_line, lambda s: s == "bob> half typed, the cursor inside")
    assert chat.ask("cursor_x") == str(5 + 16)
    assert chat.screen().count("half typed") == 1
    chat.key("C-a")
    chat.type("not ")
    chat.until("bob> not half typed, the cursor inside")
    chat.key("Enter")
    assert bob.receive(1)[0]["text"] == "not half typed, the cursor inside"
    leave(chat)


def check_typing(lab):
    """who is typing is shown on both sides, and ends with the message or without one"""
    relay, alice, bob, chat = two(lab)
    other = bob.terminal("chat", "alice")
    other.until("online")
    chat.type("I am wri")
    other.until("alice is typing")
    other.type("me too")
    chat.until("bob is typing")
    chat.type("ting\n")
    other.until("alice: I am writing")
    other.until_gone("alice is typing")
    other.key("C-u")
    chat.until_gone("bob is typing")
    chat.type("/help me")  # a command is nobody's business
    chat.until("bob> /help me")
    chat.key("C-u")
    chat.type("x")
    other.until("alice is typing")
    leave(chat)
    leave(other)


def check_others(lab):
    """messages of others appear with their name; a stranger's say how to accept or block"""
    relay, alice, bob, chat = two(lab)
    carol, = lab.people(relay, "carol")
    carol.send("alice", "hello stranger")
    chat.until("request from carol: hello stranger")
    chat.until("/accept carol, or /block carol")
    chat.type("/accept carol\n")
    chat.until("carol is a contact")
    chat.type("send carol welcome\n")
    assert carol.receive(1)[0]["text"] == "welcome"
    carol.send("alice", "thank you")
    chat.until("carol: thank you")
    chat.type("chat carol\n")
    chat.until("Chat with carol")
    chat.until("carol, not verified, online")
    chat.type("now to you\n")
    assert carol.receive(1)[0]["text"] == "now to you"
    chat.type("/chat\n")
    chat.until("no chat open, online")
    chat.type("who\n")
    chat.until("bob ")
    leave(chat)


def check_hostile_text(lab):
    """what others write cannot order the terminal about or forge a line"""
    relay, alice, bob, chat = two(lab)
    bob.run("send", "alice", "-", stdin="\x1b[2J\x1b]0;owned\x07a\rb\nbob> forged\n\u202ereversed")
    chat.until("reversed")
    screen = chat.screen()
    assert "hello too" in screen and "    bob> forged" in screen, screen
    assert "owned" not in chat.ask("pane_title")
    leave(chat)


# ---- lines --------------------------------------------------------------------------------------


def check_what_a_line_is(lab):
    """messages, commands, // and a space at the beginning"""
    relay, alice, bob, chat = two(lab)
    lines = {"plain words": "plain words", "//slash": "/slash", " who": " who",
             "who knows": "who knows", "chat with you": "chat with you", "quit it": "quit it",
             "send it": "send it"}
    for typed, want in lines.items():
        chat.type(typed + "\n")
    got = [m["text"] for m in bob.receive(len(lines))]
    assert got == list(lines.values()), got
    for typed, part in (("who", "bob "), ("/who", "bob "), ("/status", "account     alice"),
                        ("/history --limit 1", "you: send it"), ("/contacts", "bob ")):
        chat.key("C-l")
        chat.until_gone(part)
        chat.type(typed + "\n")
        chat.until(part)
    number = alice.ok("verify", "bob", passphrase=False).strip()
    chat.type("verify\n")
    chat.until(number)
    chat.type("help\n")
    chat.until("Everything else is a message to bob")
    leave(chat)
    assert bob.json("receive") == []


def check_mistakes(lab):
    """wrong input: the right usage and the nearest command, and the chat goes on"""
    relay, alice, bob, chat = two(lab)
    cases = [("/stauts", "did you mean '/status'?", "usage: /status"),
             ("/hsitory", "did you mean '/history'?", "usage: /history [NAME]"),
             ("/verify --confirm 123", "twelve groups", "usage: /verify"),
             ("/delete xyz", "not a message id", "usage: /delete ID..."),
             ("/send bob", "needs a name and a message", "usage: /send NAME MESSAGE"),
             ("/chat Bob", "cannot be a name", "usage: /chat"),
             ("/history --limti 3", "did you mean '--limit'?", "usage: /history"),
             ("/register x", "works outside of a chat", "sotto register"),
             ("/frobnicate", "there is no command 'frobnicate'", "/help lists all")]
    for typed, *parts in cases:
        chat.key("C-l")
        chat.type(typed + "\n")
        for part in parts:
            if "usage: /history [NAME]" == part:
                part = "usage: /history"
            chat.until(part)
    chat.type("/send nobody hello\n")
    chat.until("no account nobody", everything=True)
    chat.type("still here\n")
    assert bob.receive(1)[0]["text"] == "still here"
    leave(chat)


def check_editing(lab):
    """wide characters, editing in the middle, earlier lines, Tab"""
    relay, alice, bob, chat = two(lab)
    chat.type("日本x語 äöü 😀 e\u0301")
    chat.key("C-a", "Right", "Right", "Right", "BSpace")
    chat.until("bob> 日本語 äöü 😀")
    chat.key("Enter")
    assert bob.receive(1)[0]["text"] == "日本語 äöü 😀 e\u0301"
    chat.key("Up")
    chat.until("bob> 日本語 äöü 😀")
    chat.key("C-u")
    chat.type("/hist")
    chat.key("Tab")
    chat.until("bob> /history")
    chat.type("b")
    chat.key("Tab")
    chat.until("bob> /history bob")
    chat.key("C-u")
    chat.type("/re")
    chat.key("Tab")
    chat.until("bob> /resend")
    chat.key("C-u")
    chat.type("a")
    chat.key("Tab")
    chat.type("b\n")
    assert bob.receive(1)[0]["text"] == "a\tb"
    leave(chat)


def check_pastes(lab):
    """a paste of many lines is as many messages, in order; 32 KiB fit into one line, not more"""
    relay, alice, bob, chat = two(lab)
    chat.paste("".join(f"pasted {i}\n" for i in range(50)))
    assert [m["text"] for m in bob.receive(50)] == [f"pasted {i}" for i in range(50)]
    long_text = "0123456789abcdef" * 2048
    for start in range(0, len(long_text), 4096):
        chat.paste(long_text[start:start + 4096])
    chat.key("Enter")
    assert bob.receive(1)[0]["text"] == long_text
    for start in range(0, len(long_text), 4096):
        chat.paste(long_text[start:start + 4096])
    chat.type("!\n")
    chat.until("longer than 32 KiB")
    chat.type("still alive\n")
    assert bob.receive(1)[0]["text"] == "still alive"
    leave(chat)


# ---- the terminal ---------------------------------------------------------------------------------


def check_interrupt(lab):
    """Ctrl-C throws the line away, twice on an empty one leaves"""
    relay, alice, bob, chat = two(lab)
    chat.type("not meant to be sent")
    chat.until("bob> not meant")
    chat.key("C-c")
    until("an empty line", chat.last_line, lambda s: s == "bob>")
    chat.key("C-c")
    chat.until("Ctrl-C once more leaves")
    bob.send("alice", "wait")  # the chat is not blocked meanwhile
    chat.until("bob: wait")
    chat.type("no")
    chat.until("bob> no")
    chat.key("C-u")
    until("an empty line", chat.last_line, lambda s: s == "bob>")
    chat.key("C-c")
    until("the hint again", chat.screen, lambda s: s.count("once more leaves") == 2)
    chat.key("C-c")
    assert chat.wait() == 0
    assert bob.json("receive") == []
    assert "echo" in chat.settings()


def check_signals(lab):
    """SIGTERM and SIGHUP leave cleanly, with the terminal as it was"""
    relay, alice, bob, chat = two(lab)
    leave(chat)
    for number in (signal.SIGTERM, signal.SIGHUP):
        chat = alice.terminal("chat", "bob")
        chat.until("online")
        until("raw mode", chat.settings, lambda s: "-icanon" in s)
        chat.type("half")
        chat.until("bob> half")
        os.kill(chat.pid(), number)
        assert chat.wait() == 0, number
        assert "echo" in chat.settings() and "icanon" in chat.settings()
        assert chat.last_line() != "bob> half", chat.screen()


def check_stop_and_resume(lab):
    """Ctrl-Z stops it with the terminal as it was; afterwards it goes on, line included"""
    relay, alice, bob, chat = two(lab)
    pid = chat.pid()
    chat.type("half")
    chat.until("bob> half")
    for name in ("C-z", None):
        if name:
            chat.key(name)
        else:
            os.kill(pid, signal.SIGSTOP)
        until("it to stop", lambda: open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0],
              lambda s: s == "T")
        if name:
            assert "icanon" in chat.settings() and "echo" in chat.settings()
        bob.send("alice", f"while stopped by {name}")
        os.kill(pid, signal.SIGCONT)
        chat.until(f"while stopped by {name}")
        until("the line", chat.last_line, lambda s: s == "bob> half")
        until("raw mode", chat.settings, lambda s: "-icanon" in s)
    chat.type(" and whole\n")
    assert bob.receive(1)[0]["text"] == "half and whole"
    leave(chat)


def check_resize(lab):
    """a terminal that becomes narrow and wide again keeps line and conversation"""
    relay, alice, bob, chat = two(lab, cols=80, rows=24)
    text = "a line that is longer than forty cells, so that it has to be wrapped there"
    chat.type(text)
    chat.until("bob> " + text[:60])
    chat.resize(40, 24)
    until("wrapped", lambda: "".join(chat.lines()), lambda s: "bob> " + text.replace(" ", "") in
          s.replace(" ", "").replace("bob>", "bob> "))
    bob.send("alice", "in between")
    chat.until("bob: in between")
    chat.resize(100, 30)
    until("in one row", chat.last_line, lambda s: s == "bob> " + text)
    chat.key("Enter")
    assert bob.receive(1)[0]["text"] == text
    leave(chat)


def check_colours(lab):
    """NO_COLOR is obeyed; TERM=dumb gets plain lines"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    for value, styled in (("", True), ("1", False)):
        chat = alice.terminal("chat", "bob", env={"NO_COLOR": value})
        chat.until("bob: hello too")
        raw = chat.tmux("capture-pane", "-p", "-e")
        assert ("\x1b[1m" in raw) == styled, (value, raw)
        leave(chat)
    chat = lab.terminal(["env", "TERM=dumb", *alice.words("chat", "bob")])
    chat.type("plain\n")
    assert bob.receive(1)[0]["text"] == "plain"
    chat.key("C-d")
    assert chat.wait() == 0


# ---- the relay -------------------------------------------------------------------------------------


def check_outage(lab):
    """the relay goes away: said once, with the cause; what is written waits, and goes out later"""
    relay, alice, bob, chat = two(lab)
    relay.stop()
    chat.until("offline: ")
    chat.type("written offline\n")
    chat.until("you to bob: written offline [queued]")
    chat.until("kept here", everything=True)
    relay.start()
    chat.until("Connected again.")
    chat.until("[stored] to bob: written offline")
    assert bob.receive(1)[0]["text"] == "written offline"
    chat.until("online")
    leave(chat)


def check_quit_warns(lab):
    """quit warns of what was not sent; the next command sends it"""
    relay, alice, bob, chat = two(lab)
    relay.stop()
    chat.until("offline: ")
    chat.type("one\ntwo\n")
    chat.until("two [queued]")
    chat.type("quit\n")
    assert chat.wait() == 0
    chat.until("2 messages are not sent yet")
    relay.start()
    alice.ok("receive")
    assert [m["text"] for m in bob.receive(2)] == ["one", "two"]


def check_goodbye(lab):
    """quit says goodbye: the relay sees it go at once"""
    relay, alice, bob, chat = two(lab)
    chat.type("on my way out\n")
    chat.type("quit\n")
    assert chat.wait() == 0
    assert bob.receive(1)[0]["text"] == "on my way out"
    assert "not sent" not in chat.screen()


sottolab.main([
    check_conversation, check_unread_when_opened, check_half_typed_line, check_typing, check_others,
    check_hostile_text, check_what_a_line_is, check_mistakes, check_editing, check_pastes,
    check_interrupt, check_signals, check_stop_and_resume, check_resize, check_colours, check_outage,
    check_quit_warns, check_goodbye,
])
