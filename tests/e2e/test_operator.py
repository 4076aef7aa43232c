#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The operator's commands, on relays that run and on relays that do not; backup and restore."""
# sanitizers: address, thread
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from sottolab import SOTTOD, until  # noqa: E402


class Operator:
    """sottod's commands on the folder of a relay."""

    def __init__(self, lab, data):
        self.lab, self.data = lab, data

    def run(self, *words):
        return self.lab.run([SOTTOD, *words, "--data", self.data])

    def ok(self, *words):
        result = self.run(*words)
        assert result.code == 0, f"should have succeeded: {result}"
        return result.out

    def fails(self, *words, code=1):
        """Its one line."""
        result = self.run(*words)
        assert result.code == code, f"should have ended with {code}: {result}"
        lines = result.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("sottod: "), result
        return lines[0]

    def json(self, *words):
        return [json.loads(line) for line in self.ok(*words, "--json").splitlines()]

    def account(self, name):
        return next(a for a in self.json("accounts") if a["name"] == name)

    def audit(self):
        with open(os.path.join(self.data, "audit.log")) as f:
            return [json.loads(line) for line in f]


def operator(relay):
    return Operator(relay.lab, relay.data)


def listening(person):
    """A client that stays connected."""
    return person.start("receive", "--follow", "--json")


# ---- accounts, sessions ------------------------------------------------------------------------


def check_accounts(lab):
    """accounts shows who has one and what waits for whom, also when no relay runs"""
    relay = lab.relay()
    op = operator(relay)
    assert "no accounts yet" in op.ok("accounts")
    alice, bob = lab.people(relay, "alice", "bob")
    alice.send("bob", "one")
    alice.send("bob", "two")
    running = {a["name"]: a for a in op.json("accounts")}
    assert running["alice"]["waiting"] == 0 and running["alice"]["devices"] == 1, running
    assert running["bob"]["waiting"] == 2 and running["bob"]["waiting_bytes"] > 500, running
    assert running["bob"]["state"] == "active", running
    relay.stop()
    assert {a["name"]: a for a in op.json("accounts")} == running
    text = op.ok("accounts").splitlines()
    assert text[0].split() == ["NAME", "STATE", "DEVICES", "WAITING", "SIZE"], text
    assert [line.split()[0] for line in text[1:]] == ["alice", "bob"], text
    relay.start()
    assert len(bob.receive(2)) == 2
    until("nothing to wait any more", lambda: op.account("bob"), lambda a: a["waiting"] == 0)


def check_sessions_and_kick(lab):
    """sessions shows who is connected; who is kicked comes again by itself"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    assert "nobody is connected" in op.ok("sessions")
    line = listening(bob)
    found = until("bob's session", lambda: op.json("sessions"))
    assert len(found) == 1 and found[0]["name"] == "bob", found
    device = bob.json("devices")[0]["id"]
    assert found[0]["device"] == device and found[0]["address"] == "127.0.0.1", found
    assert abs(time.mktime(time.strptime(found[0]["since"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
               - time.time()) < 3600 * 15, found
    assert "no device" in op.fails("kick", "alice")
    assert "no account carol" in op.fails("kick", "carol")
    assert "is no device" in op.fails("kick", "bob", "zz")
    assert "no device" in op.fails("kick", "bob", "00000000000000ff")
    assert "1 connection of bob" in op.ok("kick", "bob", device)
    until("bob to come again", lambda: op.json("sessions"))
    alice.send("bob", "after the kick")
    line.until_out("after the kick")
    assert "ended this connection; it is made again by itself" in line.err, line.err
    assert "1 connection of bob" in op.ok("kick", "bob")
    relay.stop()
    assert "no relay runs" in op.fails("kick", "bob")
    assert "no relay runs" in op.fails("sessions")


# ---- disable, delete, reset --------------------------------------------------------------------


def disabled_is_refused(bob, op):
    said = bob.run("send", "alice", "may I?")
    assert said.code == 4 and "disabled by the operator" in said.err, said
    assert "Nothing of it was deleted; ask the operator" in said.err, said
    assert op.account("bob")["state"] == "disabled"


def check_disable_while_running(lab):
    """A disabled account's connections end, it is told why, and loses nothing"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    line = listening(bob)
    until("bob's session", lambda: op.json("sessions"))
    assert "bob is disabled" in op.ok("disable", "bob")
    assert op.json("sessions") == []
    said = line.wait()
    assert said.code == 4 and "disabled by the operator" in said.err, said
    assert "Nothing of it was deleted; ask the operator" in said.err, said
    said = lab.person("bob", profile="phone").fails(
        4, "login", relay.address, "--name", "bob", "--pin", relay.pin)
    assert "Nothing of it was deleted; ask the operator" in said, said
    disabled_is_refused(bob, op)
    alice.send("bob", "waits for the way back")
    assert op.account("bob")["waiting"] >= 1
    assert "bob is enabled" in op.ok("enable", "bob")
    assert [m["text"] for m in bob.receive(1)] == ["waits for the way back"]
    # What bob wrote meanwhile was kept by his client.
    assert [m["text"] for m in alice.receive(1)] == ["may I?"]
    assert "no account carol" in op.fails("disable", "carol")
    assert "no account name" in op.fails("disable", "Not/A/Name")


def check_disable_while_stopped(lab):
    """The same on a relay that does not run: it knows when it starts"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    relay.stop()
    assert "bob is disabled" in op.ok("disable", "bob")
    relay.start()
    disabled_is_refused(bob, op)
    relay.stop()
    op.ok("enable", "bob")
    relay.start()
    bob.ok("send", "alice", "back")
    assert [m["text"] for m in alice.receive(2)] == ["may I?", "back"]


def check_delete(lab):
    """delete asks for --yes; then the name is gone for good, for devices, senders and newcomers"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob, carol = lab.people(relay, "alice", "bob", "carol")
    alice.befriend(bob)
    assert "--yes" in op.fails("delete", "bob")
    assert op.account("bob")["state"] == "active"
    op.ok("delete", "bob", "--yes")
    assert "was deleted" in op.fails("delete", "bob", "--yes")
    assert "was deleted" in op.fails("disable", "bob")
    assert "was deleted" in op.fails("reset", "bob")
    assert "deleted" in alice.run("send", "bob", "there?").err
    assert "deleted" in bob.run("send", "alice", "here?").err
    again = lab.person("bob", profile="again")
    assert "names are not given out again" in again.fails(1, "register", relay.invite(), "--name",
                                                          "bob")
    relay.stop()
    op.ok("delete", "carol", "--yes")
    relay.start()
    assert "deleted" in carol.run("send", "alice", "here?").err


def check_reset(lab):
    """A lost passphrase: a new profile takes the name over, contacts have to accept it"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    relay.stop()
    relay.options = ("--registration", "closed")
    relay.start()
    assert "no account carol" in op.fails("reset", "carol")
    result = op.run("reset", "bob", "--expires", "1d")
    assert result.code == 0 and result.out.startswith("sotto://"), result
    assert "new identity" in result.err, result
    link = result.out.strip()
    open_ones = [i for i in op.json("invites") if i["state"] == "open"]
    assert [i["name"] for i in open_ones] == ["bob"], open_ones
    # The link alone changes nothing.
    alice.send("bob", "before")
    assert [m["text"] for m in bob.receive(1)] == ["before"]
    thief = lab.person("mallory")
    assert "another name" in thief.fails(1, "register", link, "--name", "mallory")
    fresh = lab.person("bob", profile="fresh", passphrase="a-new-one-that-is-known")
    fresh.ok("register", link, "--name", "bob")
    late = lab.person("bob", profile="late")
    late.fails(1, "register", link, "--name", "bob")
    # The old devices are out; a contact is told, and goes on only after accepting.
    assert bob.run("send", "alice", "from the old one").code != 0
    said = alice.run("send", "bob", "who are you?")
    assert said.code == 7 and "new identity" in said.err, said
    alice.ok("verify", "bob", "--accept")
    until("what was written to arrive", lambda: [m["text"] for m in fresh.json(
        "receive", "--count", "1", "--wait", "2")], lambda got: "who are you?" in got)
    assert [a["action"] for a in op.audit()].count("reset") == 1


# ---- invites -----------------------------------------------------------------------------------


def check_invites(lab):
    """invites lists them without what they open; a revoked one is worth nothing"""
    relay = lab.relay()
    op = operator(relay)
    assert "no invites" in op.ok("invites")
    link, other = relay.invite("--uses", "3"), relay.invite()
    found = op.json("invites")
    assert sorted(i["uses"] for i in found) == [1, 3], found
    assert all(i["state"] == "open" and i["name"] == "" for i in found), found
    for secret in (link, other):
        assert secret.rsplit("/", 1)[1][-20:] not in op.ok("invites") + str(op.audit())
    gone = next(i["id"] for i in found if i["uses"] == 3)
    assert "lists them" in op.fails("invites", "revoke", "0000000000ab")
    assert "lists them" in op.fails("invites", "revoke", "")
    assert "which one" in op.fails("invites", "revoke")
    assert "neither" in op.fails("invites", "remove", gone)
    op.ok("invites", "revoke", gone)
    assert "lists them" in op.fails("invites", "revoke", gone)
    alice = lab.person("alice")
    assert "does not know the invite" in alice.fails(1, "register", link, "--name", "alice")
    alice.ok("register", other, "--name", "alice")
    assert [i["state"] for i in op.json("invites")] == ["used up"]


# ---- usage, check ------------------------------------------------------------------------------


def check_usage(lab):
    """usage accounts for every byte in the folder"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    for i in range(5):
        alice.send("bob", f"{i} " + "x" * 3000)
    (usage,) = op.json("usage")
    parts = ("database", "wal", "shm", "certificate", "audit_log", "lock", "other")
    assert sum(usage[p] for p in parts) == usage["total"], usage
    assert usage["other"] == 0 and "other files" not in op.ok("usage"), usage
    assert usage["waiting"] == 5 and usage["waiting_bytes"] > 15000, usage
    relay.stop()
    (usage,) = op.json("usage")
    on_disk = sum(os.path.getsize(os.path.join(where, name))
                  for where, _, names in os.walk(relay.data) for name in names)
    # A command's own log and index of the log are there while it looks.
    assert on_disk <= usage["total"] <= on_disk + usage["shm"] + usage["wal"], (usage, on_disk)
    text = op.ok("usage")
    for word in ("relay.db", "waiting mail", "free pages", "audit.log", "mail that waits", "  bob"):
        assert word in text, text


def fault(op, *words):
    """What check says is wrong; it has to say so by its exit code."""
    result = op.run("check", *words)
    faults = [line for line in result.out.splitlines() if line.startswith("FAULT")]
    assert result.code == 1 and len(faults) >= 1, result
    return "\n".join(faults)


def check_check(lab):
    """check finds nothing wrong with a sound relay, and each fault with its mending"""
    relay = lab.relay()
    op = operator(relay)
    lab.people(relay, "alice")
    result = op.ok("check")
    assert "FAULT" not in result and "runs, and answers" in result, result
    relay.stop()
    result = op.ok("check")
    assert "FAULT" not in result and "none runs" in result, result

    key = os.path.join(relay.data, "cert", "server_key.pem")
    os.chmod(key, 0o644)
    assert "chmod 600" in fault(op)
    os.chmod(key, 0o600)
    os.rename(key, key + ".away")
    assert "server_key.pem is missing" in fault(op)
    os.rename(key + ".away", key)
    database = os.path.join(relay.data, "relay.db")
    os.chmod(database, 0o640)
    assert "chmod 600" in fault(op)
    os.chmod(database, 0o600)
    os.utime(database, (time.time() + 7200,) * 2)
    assert "clock" in fault(op) and "timedatectl" in fault(op)
    os.utime(database)
    config = lab.path("conf")
    with open(config, "w") as f:
        f.write("registration = code\n")
    assert "registration" in fault(op, "--config", config)
    with open(config, "w") as f:
        f.write("registration = maybe\n")
    assert "conf:1" in op.fails("check", "--config", config)
    assert "no such file" in fault(Operator(lab, lab.path("nowhere"))).lower()

    with open(database, "r+b") as f:  # a page of a table, overwritten
        f.seek(4096 * 3)
        f.write(b"\x55" * 4096 * 8)
    wrong = fault(op)
    assert "damaged" in wrong and "restore" in wrong, wrong


# ---- the audit log -----------------------------------------------------------------------------


def check_audit_log(lab):
    """Each action stands in the log; a line changed, left out or cut off is found"""
    relay = lab.relay()
    op = operator(relay)
    lab.people(relay, "alice", "bob")
    op.ok("disable", "alice")
    op.ok("enable", "alice")
    op.run("kick", "bob")
    op.ok("delete", "bob", "--yes")
    op.ok("invites", "revoke", op.json("invites")[0]["id"])
    op.ok("backup", lab.path("copy"))
    relay.stop()
    op.ok("disable", "alice")
    log = op.audit()
    assert [line["action"] for line in log] == [
        "invite", "invite", "disable", "enable", "kick", "delete", "revoke", "backup",
        "disable"], log
    assert {line["uid"] for line in log} == {os.getuid()}, log
    assert log[2]["subject"] == "alice" and log[5]["subject"] == "bob", log
    path = os.path.join(relay.data, "audit.log")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    said = op.ok("audit", "verify")
    assert said.startswith("9 actions, the chain is whole"), said
    head = said.split()[-1]
    op.ok("audit", "verify", head)
    with open(path, "rb") as f:
        whole = f.read()
    lines = whole.splitlines(keepends=True)

    def broken(data, *words):
        with open(path, "wb") as f:
            f.write(data)
        return op.fails("audit", "verify", *words)

    assert "line 4 " in broken(whole.replace(b'"subject":"alice"', b'"subject":"carol"', 1))
    assert "line 4 " in broken(b"".join(lines[:3] + lines[4:]))
    assert "line 3 " in broken(b"".join(lines[:2] + lines[3:4] + lines[2:3] + lines[4:]))
    assert "line 1 " in broken(b"".join(lines[1:]))
    assert "line 9 " in broken(whole[:-10])
    assert "cut off" in broken(b"".join(lines[:-1]), head)
    assert "line 2 " in broken(whole.replace(b'"uid":', b'"uid":1', 1))
    assert "audit log" in fault(op)
    # Half a line is what a power cut leaves: the next action cuts it off, and the chain goes on.
    with open(path, "wb") as f:
        f.write(whole[:-10])
    op.ok("enable", "alice")
    assert op.ok("audit", "verify").startswith("9 actions")
    assert "64 digits" in op.fails("audit", "verify", "abc")


# ---- the socket --------------------------------------------------------------------------------


def ask(relay, data, shut=True):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(sottolab.PATIENCE)
    s.connect(os.path.join(relay.data, "operator.sock"))
    try:
        s.sendall(data)
        if shut:
            s.shutdown(socket.SHUT_WR)
        got = b""
        while chunk := s.recv(65536):
            got += chunk
    except (BrokenPipeError, ConnectionResetError):
        got = b""
    s.close()
    return got


def check_hostile_callers(lab):
    """Nonsense on the operator's socket changes nothing and holds up nobody"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    path = os.path.join(relay.data, "operator.sock")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    for data in (b"", b"\n", b"x" * 100000, b"\x00" * 300 + b"\n", b"disable\n", b"disable a b c\n",
                 b"disable alice extra\n", b"delete ../../etc\n", b"kick alice zz\n",
                 b"sessions now\n", b"disable \xff\xfe\n", b"disable alice"):
        got = ask(relay, data)
        assert got == b"" or got.startswith(b"no -"), (data[:40], got)
    # Eight that say nothing take all places; they are let go after a while, the relay goes on.
    idle = []
    for _ in range(12):
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        idle.append(s)
    assert "busy with other commands" in op.fails("disable", "alice")
    alice.send("bob", "goes on")
    assert [m["text"] for m in bob.receive(1)] == ["goes on"]
    for s in idle:
        s.close()
    until("the places to be free", lambda: op.run("sessions").code, lambda c: c == 0)
    assert {a["state"] for a in op.json("accounts")} == {"active"}


def check_socket_left_behind(lab):
    """After a kill the socket is there and nobody listens: commands work on the store"""
    relay = lab.relay()
    op = operator(relay)
    lab.people(relay, "alice")
    relay.kill()
    assert os.path.exists(os.path.join(relay.data, "operator.sock"))
    op.ok("disable", "alice")
    assert op.account("alice")["state"] == "disabled"
    relay.start()
    op.ok("enable", "alice")
    assert op.json("sessions") == []
    relay.stop()
    assert not os.path.exists(os.path.join(relay.data, "operator.sock"))


# ---- backup, restore ---------------------------------------------------------------------------


def modes(folder):
    for where, _, names in os.walk(folder):
        assert stat.S_IMODE(os.stat(where).st_mode) == 0o700, where
        for name in names:
            path = os.path.join(where, name)
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, path


def check_backup_and_restore(lab):
    """A backup made while messages flow; after its restore clients heal and nothing is lost"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    before = [f"before {i}" for i in range(5)]
    for text in before:
        alice.send("bob", text)
    copy, sent, enough = lab.path("copy"), [], threading.Event()

    def keep_sending():
        while not enough.is_set():
            text = f"meanwhile {len(sent)}"
            alice.send("bob", text)
            sent.append(text)
    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        until("messages to flow", lambda: sent)
        said = op.ok("backup", copy)
        count = len(sent)
        until("more of them", lambda: sent, lambda s: len(s) > count + 1)
    finally:
        enough.set()
        sender.join()
    assert "verified" in said, said
    modes(copy)
    (carol,) = lab.people(relay, "carol")
    relay.stop()
    result = op.ok("restore", copy)
    assert "Accounts made since, to sign up again: carol" in result, result
    assert op.ok("audit", "verify"), "the log went on"
    relay.start()
    # The relay lost what came after; alice has it until bob's device has confirmed it.
    alice.run("status")
    texts = [m["text"] for m in bob.receive(len(before) + len(sent))]
    assert texts == before + sent, texts
    bob.send("alice", "all there")
    assert [m["text"] for m in alice.receive(1)] == ["all there"]
    assert bob.run("receive", "--wait", "1").out.count("meanwhile") == 0, "shown twice"
    assert carol.run("send", "alice", "and me?").code != 0
    log = [line["action"] for line in op.audit()]
    assert log[-1] == "restore" and "backup" in log, log


def check_restore_elsewhere(lab):
    """Into an empty folder it is the same relay: same identity, same pin, other incarnation"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    copy = lab.path("copy")
    op.ok("backup", copy)
    pin, port = relay.pin, relay.port
    relay.kill()
    shutil.rmtree(relay.data)
    said = op.ok("restore", copy)
    assert "put aside" not in said and "is kept in" not in said, said
    relay.start()
    assert (relay.pin, relay.port) == (pin, port)
    bob.send("alice", "still you")
    assert [m["text"] for m in alice.receive(1)] == ["still you"]


def check_backup_mistakes(lab):
    """What is there is not overwritten; what is half done is no backup"""
    relay = lab.relay()
    op = operator(relay)
    lab.people(relay, "alice")
    copy = lab.path("copy")
    os.mkdir(copy)
    op.ok("backup", copy + "/")  # an empty folder is fine
    assert "not empty" in op.fails("backup", copy)
    os.mkdir(lab.path("other.unfinished"))
    assert "rm -r" in op.fails("backup", lab.path("other"))
    assert "no backup was made" in op.fails("backup", lab.path("no/such/place"))
    assert not os.path.exists(lab.path("no"))
    assert "no relay has run there" in Operator(lab, lab.path("nowhere")).fails("backup", "x")
    assert "runs on" in op.fails("restore", copy)
    relay.stop()
    op.ok("backup", lab.path("stopped"))
    assert "is no backup" in op.fails("restore", relay.data)
    assert "is no backup" in op.fails("restore", lab.path("nowhere"))

    for name in ("relay.db", "cert/server_key.pem", "sottod-backup"):
        bad = lab.path("bad")
        shutil.copytree(copy, bad)
        with open(os.path.join(bad, name), "r+b") as f:
            f.seek(-30, os.SEEK_END)
            byte = f.read(1)
            f.seek(-30, os.SEEK_END)
            f.write(bytes([byte[0] ^ 1]))
        before = snapshot(relay.data)
        assert "nothing was restored" in op.fails("restore", bad)
        assert snapshot(relay.data) == before, f"{name}: something was changed"
        shutil.rmtree(bad)
    relay.start()


def snapshot(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if name not in ("lock", "audit.log", "relay.db-shm", "relay.db-wal"):
                with open(os.path.join(where, name), "rb") as f:
                    found[os.path.join(where, name)] = f.read()
    return found


def check_restore_says_what_is_lost(lab):
    """Accounts made, deleted, disabled since are named; what was there is kept"""
    relay = lab.relay()
    op = operator(relay)
    lab.people(relay, "alice", "bob", "carol")
    op.ok("disable", "carol")
    copy = lab.path("copy")
    op.ok("backup", copy)
    lab.people(relay, "dave")
    op.ok("delete", "bob", "--yes")
    op.ok("disable", "alice")
    op.ok("enable", "carol")
    relay.stop()
    said = op.ok("restore", copy)
    for line in ("sign up again: dave", "(sottod delete NAME --yes): bob",
                 "(sottod disable NAME): alice", "(sottod enable NAME): carol"):
        assert line in said, said
    aside = [n for n in os.listdir(relay.data) if n.startswith("replaced-")]
    assert len(aside) == 1 and aside[0] in said, (aside, said)
    assert os.path.exists(os.path.join(relay.data, aside[0], "relay.db"))
    states = {a["name"]: a["state"] for a in op.json("accounts")}
    assert states == {"alice": "active", "bob": "active", "carol": "disabled"}, states
    assert "FAULT" not in op.ok("check")
    # A database that cannot be read any more is put aside as well.
    with open(os.path.join(relay.data, "relay.db"), "r+b") as f:
        f.write(b"\x00" * 4096)
    said = op.ok("restore", copy)
    assert "cannot be read" in said, said
    relay.start()


def check_restore_killed(lab):
    """A restore killed at any moment leaves the relay that was there or the restored one"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    alice.send("bob", "in both")
    copy = lab.path("copy")
    op.ok("backup", copy)
    relay.stop()
    for step in range(20):
        running = lab.start([SOTTOD, "restore", copy, "--data", relay.data])
        time.sleep(step * 0.004)  # any moment will do
        running.signal(signal.SIGKILL)
        running.wait()
        assert {a["name"] for a in op.json("accounts")} == {"alice", "bob"}, f"step {step}"
        assert "FAULT" not in op.ok("check"), f"step {step}"
    op.ok("restore", copy)
    assert not os.path.exists(os.path.join(relay.data, "restore.unfinished"))
    relay.start()
    assert [m["text"] for m in bob.receive(1)] == ["in both"]


def check_backup_of_a_killed_relay(lab):
    """What was committed and lies in the log only is part of a backup"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob = lab.people(relay, "alice", "bob")
    alice.send("bob", "committed")
    relay.kill()
    op.ok("backup", lab.path("copy"))
    shutil.rmtree(relay.data)
    op.ok("restore", lab.path("copy"))
    relay.start()
    assert [m["text"] for m in bob.receive(1)] == ["committed"]


def check_as_another_user(lab):
    """Root at the relay of another user: the log names root, the files stay the user's"""
    if os.geteuid() != 0:
        raise sottolab.Skip("only root can be somebody else")
    if sottolab.SANITIZER:
        raise sottolab.Skip("the leak checker cannot look into a process that changed its user")
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise sottolab.Skip("there is no user nobody") from None
    os.chmod(lab.dir, 0o755)
    relay = lab.relay("--user", "nobody")
    op = operator(relay)
    lab.people(relay, "alice")
    op.ok("disable", "alice")  # over the socket
    relay.stop()
    op.ok("enable", "alice")
    assert {line["uid"] for line in op.audit()} == {0}, op.audit()
    os.mkdir(lab.path("roots"), 0o700)
    copy = os.path.join(lab.path("roots"), "copy")
    op.ok("backup", copy)
    assert os.stat(os.path.join(copy, "relay.db")).st_uid == 0
    said = lab.run([SOTTOD, "restore", copy, "--data", relay.data])
    assert said.code == 0, said
    for where, folders, names in os.walk(relay.data):
        for name in folders + names:
            assert os.stat(os.path.join(where, name)).st_uid == nobody.pw_uid, (where, name)
    relay.start()
    assert op.account("alice")["state"] == "active"
    as_nobody = lab.run([SOTTOD, "sessions", "--data", relay.data])
    assert as_nobody.code == 0, as_nobody


# ---- another key -------------------------------------------------------------------------------


def check_rotate(lab):
    """Another TLS key: who came by meanwhile notices nothing, who did not is asked"""
    relay = lab.relay()
    op = operator(relay)
    alice, bob, carol = lab.people(relay, "alice", "bob", "carol")
    assert "begin with" in op.fails("rotate", "--yes")
    old = relay.pin
    new = op.ok("rotate").split()[0]
    assert new.startswith("sha256:") and new != old, new
    assert op.ok("rotate").split()[0] == new, "made once"
    relay.running.signal(signal.SIGHUP)
    relay.running.until_err("pin " + old)
    alice.befriend(bob)  # both are told the next pin
    late = lab.person("dave")
    link = relay.invite()
    assert op.ok("rotate", "--yes").split()[0] == new
    assert "begin with" in op.fails("rotate", "--yes")
    assert not os.path.exists(os.path.join(relay.data, "cert", "next"))
    relay.running.signal(signal.SIGHUP)
    relay.running.until_err("pin " + new)
    alice.send("bob", "under another key")
    assert [m["text"] for m in bob.receive(1)] == ["under another key"]
    late.ok("register", link, "--name", "dave")  # an invite made meanwhile knows it too
    said = carol.run("send", "alice", "I was away")
    assert said.code == 6 or "trust-relay" in said.err, said
    carol.ok("trust-relay", new)
    carol.send("alice", "back again")
    assert [line["subject"] for line in op.audit() if line["action"] == "rotate"] == [
        "next", "now"]
    assert "FAULT" not in op.ok("check")
    relay.stop()
    relay.start()
    assert relay.pin == new


# ---- mistakes ----------------------------------------------------------------------------------


def check_mistakes(lab):
    """Wrong commands, words and options are named, and nothing happens"""
    relay = lab.relay()
    op = operator(relay)
    lab.people(relay, "alice")
    assert "there is no command" in op.fails("disabel", "alice", code=2)
    for words in (("disable",), ("disable", "alice", "bob"), ("backup",), ("accounts", "alice"),
                  ("kick", "alice", "1", "2"), ("audit",)):
        assert f"usage: sottod {words[0]}" in op.fails(*words, code=2)
    for words in (("disable", "alice", "--json"), ("accounts", "--yes"), ("check", "--uses", "3"),
                  ("backup", "x", "--expires", "1d")):
        result = op.run(*words)
        assert result.code == 2 and "sottod: " in result.err, result
    nowhere = Operator(lab, lab.path("nowhere"))
    for words in (("accounts",), ("sessions",), ("usage",), ("disable", "a"), ("kick", "a"),
                  ("invites",), ("backup", "x"), ("reset", "a")):
        assert "no relay has run there" in nowhere.fails(*words), words
    assert not os.path.exists(lab.path("nowhere"))
    assert {a["state"] for a in op.json("accounts")} == {"active"}


def check_nothing_without_its_line(lab):
    """What cannot be written into the audit log is not done, with a relay or without"""
    relay = lab.relay()
    op = operator(relay)
    lab.people(relay, "alice")
    audit = os.path.join(relay.data, "audit.log")
    os.remove(audit)
    os.mkdir(audit)  # the log cannot be written: nothing is done
    assert "audit.log" in op.fails("disable", "alice")
    assert op.account("alice")["state"] == "active"
    relay.stop()
    assert "audit.log" in op.fails("disable", "alice")
    assert op.account("alice")["state"] == "active"
    os.rmdir(audit)
    op.ok("disable", "alice")


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
