#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""send, receive, history, contacts and verify, as people and scripts use them."""
import json
import os
import re
import signal
import subprocess

import sottolab
from sottolab import until

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
MESSAGE = ["id", "peer", "from", "device", "kind", "text", "sent_at", "received_at", "outgoing",
           "state", "reason", "request", "gap"]
CONTACT = ["name", "state", "verified", "new_identity", "accepted_us", "unread", "devices",
           "last_at"]
DEVICE = ["id", "state", "code", "holds_account_key", "generation", "since"]
STATUS = ["name", "device", "relay", "relay_id", "pin", "connection", "why", "tls_version",
          "cipher", "group", "relay_version", "queued", "undelivered", "one_time_keys",
          "list_version", "devices", "contacts", "holds_account_key", "clock_off",
          "version"]


# ---- send ----------------------------------------------------------------------------------


def check_send(lab):
    """send prints id and state on stdout, nothing else, and exits with 0 once it is stored"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    result = alice.run("send", "bob", "hello")
    assert result.code == 0 and re.fullmatch(r"[0-9a-f]{32} stored\n", result.out), result
    assert result.err == "", result
    assert bob.receive()[0]["id"] == result.out.split()[0]


def check_send_stdin(lab):
    """send - keeps what stdin says byte for byte, newlines included, up to 32 KiB"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    texts = ["one line", "ends with a newline\n", "\n\nbetween\r\n\ttabs \x1b[31m\u0007\n",
             "äöü 日本語 😀 e\u0301 \u202e \ufeff\u0000".replace("\u0000", ""), " spaces around  ",
             "x" * 32768, "ä" * 16384, "-"]
    for text in texts:
        result = alice.run("send", "bob", "-", stdin=text)
        assert result.code == 0, result
    got = [m["text"] for m in bob.receive(len(texts))]
    assert got == texts
    assert [m["text"] for m in alice.history("bob")] == texts


def check_send_refused(lab):
    """more than 32 KiB, no UTF-8, a NUL or nothing: exit 2 before anything is queued"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    cases = [(b"x" * 32769, "32 KiB"), (b"x" * 5_000_000, "32 KiB"), ("ä" * 16384 + "x", "32 KiB"),
             (b"caf\xe9", "UTF-8"), (b"\xed\xa0\x80", "UTF-8"), (b"cut \xe2\x82", "UTF-8"),
             (b"nul \0", "NUL"), (b"", "empty")]
    for text, part in cases:
        result = alice.run("send", "bob", "-", stdin=text)
        assert result.code == 2 and result.out == "" and part in result.err, result.err
    assert "nothing" in alice.fails(2, "send", "bob", "")
    assert "UTF-8" in alice.fails(2, "send", "bob", b"\xff".decode("utf-8", "surrogateescape"))
    assert alice.run("history", "bob").code == 5
    assert alice.json("status")[0]["queued"] == 0
    assert bob.json("receive") == []


def check_send_unknown(lab):
    """an unknown account: exit 5, nothing is kept; oneself: exit 2"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    result = alice.run("send", "nobody", "hello")
    assert result.code == 5 and result.out == "" and "no account nobody" in result.err, result
    assert "no conversation" in alice.fails(5, "history", "nobody")
    assert alice.json("contacts") == [] and alice.json("status")[0]["queued"] == 0
    assert "own name" in alice.fails(2, "send", "alice", "hello")
    assert "no account nobody" in alice.fails(5, "verify", "nobody")
    assert "no account nobody" in alice.fails(5, "accept", "nobody")


def check_wait_delivered(lab):
    """--wait delivered: exit 0 once the recipient has it, else exit 1 and the state"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    result = alice.run("send", "bob", "are you there?", "--wait", "delivered", "0.5")
    assert result.code == 1 and result.out.endswith(" stored\n"), result
    assert "stored, not delivered yet" in result.err, result
    waiting = alice.start("send", "bob", "and now?", "--wait", "delivered")
    bob.receive(2)
    result = waiting.wait()
    assert result.code == 0 and result.out.endswith(" delivered\n"), result
    follow = bob.start("receive", "--follow")
    result = alice.run("send", "--wait=delivered", "bob", "online")
    assert result.code == 0 and result.out.endswith(" delivered\n"), result
    follow.until_out("online")


def check_mailbox_full(lab):
    """a full mailbox: exit 6, the message is kept and goes out when there is room"""
    relay = lab.relay("--quota-messages", "24")
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    sent = []
    for i in range(100):
        result = alice.run("send", "bob", f"message {i}")
        sent.append(f"message {i}")
        if result.code != 0:
            break
    assert result.code == 6 and result.out.endswith(" queued\n"), result
    assert "mailbox of bob is full" in result.err, result
    assert alice.json("status")[0]["queued"] == 1
    got = bob.receive(len(sent) - 1)
    until("the one that was kept", lambda: alice.run("receive") and alice.history("bob")[-1]["state"],
          lambda s: s != "queued")
    got += bob.receive(1)
    assert [m["text"] for m in got] == sent


# ---- receive ---------------------------------------------------------------------------------


def check_receive(lab):
    """receive prints each message once, in each sender's order; nothing new is a success"""
    relay = lab.relay()
    alice, bob, carol = lab.people(relay, "alice", "bob", "carol")
    assert bob.run("receive").code == 0
    for i in range(5):
        alice.send("bob", f"alice {i}")
        carol.send("bob", f"carol {i}")
    result = bob.run("receive")
    assert result.code == 0, result
    for name in ("alice", "carol"):
        lines = re.findall(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d request from {name}: {name} (\d)$",
                           result.out, re.MULTILINE)
        assert lines == list("01234"), result
    again = bob.run("receive")
    assert again.code == 0 and again.out == "" and again.err == "", again


def check_receive_json(lab):
    """receive --json: one object a line with the documented fields"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    device = alice.json("devices")[0]["id"]
    sent = alice.send("bob", 'quote " and\nbreak')
    m, = bob.json("receive")
    assert list(m) == MESSAGE, m
    assert m["id"] == sent and m["from"] == m["peer"] == "alice" and m["device"] == device, m
    assert m["kind"] == "text" and m["text"] == 'quote " and\nbreak', m
    assert re.fullmatch(TIME, m["sent_at"]) and re.fullmatch(TIME, m["received_at"]), m
    assert m["request"] is True and m["gap"] is False and m["outgoing"] is False, m
    assert m["state"] == "received" and m["reason"] == "", m


def check_receive_follow(lab):
    """--follow goes on, each line at once; SIGINT ends it with 0, SIGTERM as SIGTERM"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    follow = bob.start("receive", "--follow", "--json")
    for i in range(3):
        alice.send("bob", f"message {i}")
        follow.until_out(f"message {i}")
    follow.signal(signal.SIGINT)
    result = follow.wait()
    assert result.code == 0 and len(result.json()) == 3, result
    follow = bob.start("receive", "--follow")
    alice.send("bob", "one more")
    follow.until_out("one more")
    follow.signal(signal.SIGTERM)
    assert follow.wait().code == -signal.SIGTERM
    assert bob.json("receive") == []


def check_receive_count_and_wait(lab):
    """--count N stops after N and keeps the rest; --wait keeps receiving for so long"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    for i in range(5):
        alice.send("bob", f"message {i}")
    assert [m["text"] for m in bob.json("receive", "--count", "2")] == ["message 0", "message 1"]
    assert [m["text"] for m in bob.json("receive", "--count=1")] == ["message 2"]
    assert len(bob.json("receive")) == 2
    waiting = bob.start("receive", "--wait", "60", "--count", "1")
    alice.send("bob", "late")
    assert "late" in waiting.wait().out
    assert bob.run("receive", "--wait", "0.2").out == ""
    assert bob.run("receive", "--wait", "0").code == 0


def check_messages_only(lab):
    """receive shows neither receipts nor typing, and history keeps no trace of them"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    terminal = bob.terminal("chat", "alice")
    terminal.until("online")
    follow = alice.start("receive", "--follow", "--json")
    terminal.type("typing...")
    terminal.key("C-u")
    terminal.type("sent\n")
    follow.until_out("\n")
    alice.send("bob", "answer")
    terminal.until("answer")
    until("the receipt", lambda: alice.history("bob")[-1]["state"], lambda s: s == "read")
    follow.signal(signal.SIGINT)
    assert [m["text"] for m in follow.wait().json()] == ["sent"]
    assert [m["text"] for m in alice.history("bob")] == ["hello", "hello too", "sent", "answer"]


def check_broken_pipe(lab):
    """what could not be printed (EPIPE, full disk, no stdout) is not marked and comes again"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.send("bob", "important")
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = bob.start("receive", stdout=write_end).wait()
    os.close(write_end)
    assert result.code == 1 and "could not be written" in result.err, result
    with open("/dev/full", "w") as full:
        result = bob.start("receive", "--json", stdout=full).wait()
    assert result.code == 1 and "could not be written" in result.err, result
    result = lab.run(["sh", "-c", '"$@" >&-', "sh", *bob.words("receive")])
    assert result.code == 1 and result.err.count("could not be written") == 1, result
    assert lab.run(["sh", "-c", '"$@" <&- 2>&-', "sh", *bob.words("status")]).code == 0
    assert bob.receive()[0]["text"] == "important"


def check_safe_output(lab):
    """what others wrote can give no orders to a terminal; --json loses nothing"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    evil = "\x1b]0;title\x07\x1b[2J\r\x9b31m\u202eevil\nbob: forged\u2028x"
    alice.run("send", "bob", "-", stdin=evil)
    with open(lab.path("out"), "wb") as f:
        bob.start("receive", "--count", "1", "--wait", "30", stdout=f).wait()
    with open(lab.path("out"), encoding="utf-8", newline="") as f:
        text = f.read()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028]", text), ascii(text)
    assert "\n    bob: forged" in text, ascii(text)
    assert bob.history("alice")[0]["text"] == evil
    raw = bob.run("history", "alice", "--json").raw
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xe2\x80\xae|\xe2\x80\xa8", raw), raw


# ---- history, delete ---------------------------------------------------------------------------


def check_history(lab):
    """history: everything, oldest first, with state; --limit the last N; --ids for people"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    third = alice.send("bob", "third")
    history = alice.history("bob")
    assert [m["text"] for m in history] == ["hello", "hello too", "third"], history
    assert all(list(m) == MESSAGE for m in history)
    assert [m["outgoing"] for m in history] == [True, False, True]
    assert history[2]["received_at"] is None and history[2]["state"] == "stored"
    assert [m["text"] for m in alice.history("bob", "--limit", "2")] == ["hello too", "third"]
    text = alice.ok("history", "bob", "--ids")
    assert f"{third} " in text and text.endswith("you: third [stored]\n"), text
    relay.stop()
    alice.fails(3, "send", "bob", "fourth")
    assert alice.history("bob")[-1]["state"] == "queued"
    assert len(bob.history("alice")) == 2  # also without a relay


def check_delete(lab):
    """delete removes messages here only"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    ids = [alice.send("bob", f"message {i}") for i in range(3)]
    bob.receive(3)
    bob.ok("delete", ids[0], ids[2])
    assert [m["id"] for m in bob.history("alice")] == [ids[1]]
    assert [m["id"] for m in alice.history("bob")] == ids
    assert "no message" in bob.fails(2, "delete", ids[0])
    assert bob.fails(2, "delete", "0" * 32, ids[1])
    assert bob.history("alice") == []
    assert "no failed message" in alice.fails(2, "resend", ids[0])


# ---- people ------------------------------------------------------------------------------------


def check_requests(lab):
    """a stranger's message is a request: no receipts until accepted; block and unblock"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.send("bob", "let me in")
    result = bob.run("receive")
    assert "request from alice: let me in" in result.out, result
    contact, = bob.json("contacts")
    assert list(contact) == CONTACT and contact["state"] == "request", contact
    assert "alice" in bob.ok("contacts") and "request" in bob.ok("contacts")
    assert alice.run("receive").out == ""
    assert alice.history("bob")[0]["state"] == "stored"
    bob.ok("accept", "alice")
    until("the receipt", lambda: alice.run("receive") and alice.history("bob")[0]["state"],
          lambda s: s in ("delivered", "read"))
    contact, = bob.json("contacts")
    assert contact["state"] == "contact" and contact["devices"] == 1, contact
    assert re.fullmatch(TIME, contact["last_at"]), contact
    bob.ok("block", "alice")
    assert bob.json("contacts")[0]["state"] == "blocked"
    assert "unblock" in bob.fails(2, "send", "alice", "no")
    alice.run("send", "bob", "hello?")
    assert bob.json("receive") == []
    bob.ok("unblock", "alice")
    bob.send("alice", "well then")
    assert alice.receive()[0]["text"] == "well then"


def check_unblock_restores(lab):
    """unblock: a request is a request again; a name without account is not blocked (5)"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    assert "no account" in bob.fails(5, "block", "malory")
    assert "not blocked" in bob.fails(2, "unblock", "malory")
    alice.send("bob", "let me in")
    bob.run("receive")
    bob.ok("block", "alice")
    bob.ok("unblock", "alice")
    assert bob.json("contacts")[0]["state"] == "request"
    assert alice.run("receive").out == "" and alice.history("bob")[0]["state"] == "stored"
    assert "your own" in bob.fails(2, "block", "bob")


def check_what_is_not_there(lab):
    """an id, a code or a device that is not there: 2, and nothing was done"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    for words in (("delete", "0" * 32), ("resend", "0" * 32), ("devices", "revoke", "0" * 16),
                  ("devices", "approve", "AAAA-AAAA"), ("unblock", "nobody")):
        assert alice.fails(2, *words), words


def check_verify(lab):
    """verify prints exactly twelve groups of five digits, the same on both sides; --confirm"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    number = alice.ok("verify", "bob")
    assert re.fullmatch(r"(\d{5} ){11}\d{5}\n", number), number
    assert bob.ok("verify", "alice") == number
    digits = number.split()
    wrong = digits[:-1] + [f"{(int(digits[-1]) + 1) % 100000:05}"]
    assert "differ" in alice.fails(1, "verify", "bob", "--confirm", " ".join(wrong))
    assert alice.run("contacts", "--json").json()[:1] == [] or not alice.json("contacts")[0]["verified"]
    alice.ok("verify", "bob", "--confirm", " ".join(digits))
    bob.ok("verify", "alice", "--confirm", *digits)  # unquoted
    assert alice.ok("verify", "bob") == number
    alice.befriend(bob)
    assert alice.json("contacts")[0]["verified"] and bob.json("contacts")[0]["verified"]


def check_json_shapes(lab):
    """devices, contacts and status --json have the documented fields and types"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    device, = alice.json("devices")
    assert list(device) == DEVICE and re.fullmatch("[0-9a-f]{16}", device["id"]), device
    assert device["state"] == "this" and device["holds_account_key"] is True, device
    assert device["generation"] == 1 and device["code"] == "", device
    status, = alice.json("status")
    assert list(status) == STATUS, status
    assert status["tls_version"] == "TLSv1.3" and status["cipher"] and status["group"], status
    assert re.fullmatch("[0-9a-f]{64}", status["relay_id"]), status
    assert status["one_time_keys"] > 0 and status["contacts"] == 1, status
    assert abs(status["clock_off"]) < 60 and "clock" not in alice.ok("status"), status
    contact, = alice.json("contacts")
    assert list(contact) == CONTACT and contact["accepted_us"] is True, contact
    bob.send("alice", "unread")
    waiting = alice.start("status", "--json")
    waiting.wait()
    until("the message", lambda: alice.json("contacts")[0]["unread"], lambda n: n == 1)
    for command in (["status"], ["devices"], ["contacts"]):
        assert alice.ok(*command).strip(), command


def check_many_in_order(lab):
    """a few hundred messages arrive once each and in order"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    follow = bob.start("receive", "--follow", "--json")
    lines = "".join(f"message {i}\n" for i in range(300))
    result = alice.run("chat", "bob", stdin=lines)
    assert result.code == 0, result
    until("all of them", lambda: follow.out.count("\n"), lambda n: n >= 300)
    follow.signal(signal.SIGINT)
    assert [m["text"] for m in follow.wait().json()] == [f"message {i}" for i in range(300)]
    assert bob.json("receive") == []


def check_interrupted(lab):
    """Ctrl-C ends receive --follow in the middle of a backlog; the rest comes next time"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    texts = [f"{i:03} " + 2000 * "x" for i in range(200)]
    result = alice.run("chat", "bob", stdin="".join(text + "\n" for text in texts))
    assert result.code == 0, result
    read, write = os.pipe()  # which nobody empties: the command stands still when it is full
    follow = bob.start("receive", "--follow", "--json", stdout=write)
    os.close(write)
    with open(read, encoding="utf-8") as lines:
        first = json.loads(lines.readline())["text"]
        follow.signal(signal.SIGINT)
        printed = [first] + [json.loads(line)["text"] for line in lines]
    assert follow.wait().code == 0
    assert len(printed) < 100, len(printed)
    assert printed + [m["text"] for m in bob.receive(200 - len(printed))] == texts
    assert bob.json("receive") == []


def check_text_is_not_in_clear(lab):
    """what was written stands in clear neither in a profile nor on the relay"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.send("bob", "a-secret-to-be-searched-for")
    bob.receive()
    found = subprocess.run(["grep", "-rlaF", "a-secret-to-be-searched-for", lab.dir],
                           capture_output=True, text=True).stdout.split()
    assert found == [], found
    with open(lab.path("planted"), "w") as f:
        f.write("a-secret-to-be-searched-for")
    found = subprocess.run(["grep", "-rlaF", "a-secret-to-be-searched-for", lab.dir],
                           capture_output=True, text=True).stdout.split()
    assert found == [lab.path("planted")], found


sottolab.main([
    check_send, check_send_stdin, check_send_refused, check_send_unknown, check_wait_delivered,
    check_mailbox_full, check_receive, check_receive_json, check_receive_follow,
    check_receive_count_and_wait, check_messages_only, check_broken_pipe, check_safe_output,
    check_history, check_delete, check_requests, check_unblock_restores, check_what_is_not_there,
    check_verify, check_json_shapes,
    check_many_in_order, check_interrupted, check_text_is_not_in_clear,
])
