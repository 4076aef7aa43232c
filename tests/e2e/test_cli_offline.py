#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""Without the relay, with another one in its place, and with several commands at once."""
import contextlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import threading

import sottolab
from sottolab import until


# ---- the relay is away ------------------------------------------------------------------------


def check_outbox(lab):
    """without the relay: send keeps the message (exit 3); the next command that connects sends it"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    relay.stop()
    ids = []
    for text in ("first", "second"):
        result = alice.run("send", "bob", text)
        assert result.code == 3 and re.fullmatch(r"[0-9a-f]{32} queued\n", result.out), result
        assert "kept here" in result.err and "refused" in result.err, result
        ids.append(result.out.split()[0])
    assert [m["state"] for m in alice.history("bob")[-2:]] == ["queued", "queued"]
    relay.start()
    assert alice.run("receive").code == 0
    assert [m["id"] for m in bob.receive(2)] == ids
    assert alice.json("status")[0]["queued"] == 0


def check_what_works_offline(lab):
    """without the relay: receive exits with 3, status with 0, and what is here can be read"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    relay.stop()
    assert "refused" in alice.fails(3, "receive")
    assert "refused" in alice.fails(3, "receive", "--json", "--wait", "0.3")
    status = alice.json("status")[0]
    assert status["connection"] == "offline" and "refused" in status["why"], status
    assert "offline: " in alice.ok("status")
    assert len(alice.history("bob")) == 2 and alice.json("contacts") and alice.json("devices")
    assert re.fullmatch(r"(\d{5} ){11}\d{5}\n", alice.ok("verify", "bob"))
    result = alice.run("block", "bob")
    assert result.code == 0 and "no connection now" in result.err, result
    for words in (("verify", "carol"), ("devices", "approve", "ABCD-EFGH"),
                  ("account", "delete", "--yes")):
        assert "refused" in alice.fails(3, *words), words


def check_receive_prints_what_is_here(lab):
    """receive prints what has arrived before although the relay is away now, and exits with 0"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    bob.send("alice", "arrived")
    alice.ok("status")
    until("the message", lambda: alice.json("contacts"), lambda c: c and c[0]["unread"] == 1)
    relay.stop()
    result = alice.run("receive", "--json")
    assert result.code == 0 and result.json()[0]["text"] == "arrived", result
    assert alice.run("receive").code == 3


def check_causes(lab):
    """the cause is named: refused, no such host, no TLS, no answer"""
    relay = lab.relay("--registration", "open")
    somebody = lab.person("somebody")
    words = ["register", "--name", "somebody", "--pin", relay.pin]
    assert "refused" in somebody.fails(3, *words, f"127.0.0.1:{sottolab.free_port()}")
    said = somebody.fails(3, *words, "no-such-host.invalid:12345")
    assert "no-such-host.invalid" in said, said
    with socket.create_server(("127.0.0.1", 0)) as server:  # speaks no TLS
        def answer():
            peer, _ = server.accept()
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            peer.close()
        thread = threading.Thread(target=answer)
        thread.start()
        said = somebody.fails(3, *words, f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert "TLS" in said, said
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:  # never says anything
        said = somebody.fails(3, *words, f"127.0.0.1:{server.getsockname()[1]}")
    assert "127.0.0.1" in said and said.strip() != "", said


def check_comes_back(lab):
    """receive --follow says that the relay is away, waits, and goes on when it is back"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    follow = bob.start("receive", "--follow", "--json")
    alice.send("bob", "before")
    follow.until_out("before")
    relay.kill()
    follow.until_err("sotto: ")
    relay.start()
    alice.send("bob", "after")
    follow.until_out("after")
    follow.signal(signal.SIGINT)
    assert [m["text"] for m in follow.wait().json()] == ["before", "after"]


# ---- another relay in its place --------------------------------------------------------------


def new_key(relay):
    """The relay gets another certificate and key under the same id, as after a loss of the key."""
    relay.stop()
    for name in ("server_cert.pem", "server_key.pem"):
        os.unlink(os.path.join(relay.data, "cert", name))
    old = relay.pin
    relay.start()
    assert relay.pin != old


def check_other_key(lab):
    """a relay key outside the pins: exit 7 with both keys; trust-relay is the way out"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    old = relay.pin
    new_key(relay)
    for words in (("receive",), ("send", "bob", "hello?")):
        said = alice.fails(7, *words)
        assert old in said and f"sotto trust-relay {relay.pin}" in said, said
    assert relay.pin in alice.json("status")[0]["why"]
    assert alice.history("bob")[-1]["state"] == "queued"
    alice.ok("trust-relay", relay.pin)
    assert alice.run("receive").code == 0
    assert bob.fails(7, "receive")
    bob.ok("trust-relay", relay.invite())
    assert bob.receive()[0]["text"] == "hello?"


def check_another_relay(lab):
    """another relay under the same address: exit 7 even if its key is trusted"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    relay.stop()
    shutil.rmtree(relay.data)
    relay.start()
    alice.fails(7, "receive")
    alice.run("trust-relay", relay.pin)
    said = alice.fails(7, "receive")
    assert "another relay" in said, said
    assert alice.run("trust-relay", relay.invite()).code != 0


def forget(relay, name):
    """The relay loses an account and everything that belongs to it."""
    relay.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(relay.data, "relay.db"))) as db, db:
        account, = db.execute("SELECT id FROM account WHERE name = ?", (name,)).fetchone()
        boxes = [box for box, in db.execute("SELECT box FROM device WHERE account = ?", (account,))]
        for box in boxes:
            for table in ("one_time", "handed"):
                db.execute(f"DELETE FROM {table} WHERE box = ?", (box,))
        for table in ("list", "token", "device", "link"):
            db.execute(f"DELETE FROM {table} WHERE account = ?", (account,))
        db.execute("DELETE FROM account WHERE id = ?", (account,))
    relay.start()


def check_new_identity(lab):
    """a name that is somebody else now: sending stops (exit 7) until verify --accept"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    number = alice.ok("verify", "bob")
    forget(relay, "bob")
    other = lab.person("bob", profile="other-bob").register(relay)
    second = lab.person("bob", profile="second-device")  # another list version than alice knows
    login = second.start("login", relay.address, "--name", "bob", "--pin", relay.pin)
    other.ok("devices", "approve", login.until_out("\n").split()[1])
    assert login.wait().code == 0
    for _ in range(2):
        said = alice.fails(7, "send", "bob", "is that you?")
        assert "bob" in said and "sotto verify bob --accept" in said, said
    assert alice.json("contacts")[0]["new_identity"] is True
    assert "NEW IDENTITY" in alice.ok("contacts")
    assert other.json("receive") == []
    chat = alice.terminal("chat", "bob")
    chat.until("NEW IDENTITY")
    chat.key("C-d")
    assert chat.wait() == 0
    alice.ok("verify", "bob", "--accept")
    assert [m["text"] for m in other.receive(2)] == ["is that you?"] * 2
    assert alice.ok("verify", "bob") == other.ok("verify", "alice") != number
    assert alice.json("contacts")[0]["new_identity"] is False


# ---- several at once --------------------------------------------------------------------------


def check_eight_at_once(lab):
    """eight commands at once beside an open chat: all succeed, nothing is lost or doubled"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    chat = alice.terminal("chat", "bob")
    chat.until("online")
    chat.type("half-typed")
    running = [alice.start("send", "bob", f"message {i}", passphrase=i % 2 == 0) for i in range(5)]
    running += [alice.start("status", "--json", passphrase=False),
                alice.start("history", "bob", "--json"),
                alice.start("verify", "bob")]
    results = [r.wait() for r in running]
    assert all(r.code == 0 and r.out for r in results), [str(r) for r in results]
    ids = {r.out.split()[0] for r in results[:5]}
    assert {m["id"] for m in bob.receive(5)} == ids and len(ids) == 5
    assert bob.json("receive") == []
    assert results[5].json()[0]["connection"] == "online"
    assert "bob> half-typed" in chat.screen()
    chat.key("C-u", "C-d")
    assert chat.wait() == 0


def check_eight_without_chat(lab):
    """eight commands at once without any engine running: one becomes it, all succeed"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    for round_ in range(3):
        running = [alice.start("send", "bob", f"{round_}.{i}") for i in range(8)]
        results = [r.wait() for r in running]
        assert all(r.code == 0 for r in results), [str(r) for r in results]
        texts = [m["text"] for m in bob.receive(8)]
        assert sorted(texts) == [f"{round_}.{i}" for i in range(8)], texts
    assert bob.json("receive") == []


def check_engine_handed_over(lab):
    """when the command that runs the engine ends, even by kill -9, another takes over"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    for number in (signal.SIGINT, signal.SIGKILL):
        engine = alice.start("receive", "--follow")
        until("the engine", lambda: alice.run("status", passphrase=False).code, lambda c: c == 0)
        second = alice.start("receive", "--follow", "--json")
        text = f"after signal {int(number)}"
        until("both to run", lambda: alice.run("status", passphrase=False).code, lambda c: c == 0)
        engine.signal(number)
        engine.wait()
        bob.send("alice", text)
        until(text, lambda: second.out + engine.out, lambda s: text in s)
        second.signal(signal.SIGINT)
        second.wait()
        assert (second.out + engine.out).count(text) == 1, (second.out, engine.out)


def check_message_to_one_receiver(lab):
    """two receivers at once: each message is printed by one of them"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    receivers = [bob.start("receive", "--follow", "--json") for _ in range(2)]
    alice.ok("chat", "bob", stdin="".join(f"message {i}\n" for i in range(20)))
    until("all of them", lambda: sum(r.out.count("\n") for r in receivers), lambda n: n >= 20)
    for r in receivers:
        r.signal(signal.SIGINT)
    texts = [m["text"] for r in receivers for m in r.wait().json()]
    texts += [m["text"] for m in bob.json("receive")]
    assert sorted(texts) == sorted(f"message {i}" for i in range(20)), texts


sottolab.main([
    check_outbox, check_what_works_offline, check_receive_prints_what_is_here, check_causes,
    check_comes_back, check_other_key, check_another_relay, check_new_identity,
    check_eight_at_once,
    check_eight_without_chat, check_engine_handed_over, check_message_to_one_receiver,
])
