#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""Accounts, devices and passphrases: from the first start to the end of an account."""
import os
import re
import signal
import stat

import sottolab
from sottolab import SOTTO, until


# ---- signing up ---------------------------------------------------------------------------


def check_register(lab):
    """register makes profile and account; nobody else can read the profile"""
    relay = lab.relay()
    alice = lab.person("alice")
    assert alice.ok("register", relay.invite(), "--name", "alice") == "registered alice\n"
    assert stat.S_IMODE(os.stat(alice.profile).st_mode) == 0o700
    for name in os.listdir(alice.profile):
        mode = os.stat(os.path.join(alice.profile, name)).st_mode
        assert stat.S_IMODE(mode) & 0o077 == 0, name
    status = alice.json("status")[0]
    assert status["name"] == "alice" and status["connection"] == "online", status
    assert status["relay"] == relay.address and status["pin"] == relay.pin, status
    assert status["holds_account_key"] and status["devices"] == 1, status


def check_taken_name(lab):
    """a taken name (exit 1) can be followed by another with the same profile and invite"""
    relay = lab.relay()
    lab.people(relay, "alice")
    bob = lab.person("bob")
    invite = relay.invite()
    said = bob.fails(1, "register", invite, "--name", "alice")
    assert "alice is taken" in said and "invite is still good" in said, said
    assert bob.ok("register", invite, "--name", "bob") == "registered bob\n"
    said = bob.fails(4, "register", relay.invite(), "--name", "bob2")
    assert "holds the account bob already" in said, said
    said = lab.person("carol").fails(1, "register", invite, "--name", "carol")
    assert "invite" in said, said


def check_register_failures_leave_nothing(lab):
    """a refused sign-up leaves no profile; an unreachable relay (exit 3) keeps it for the next try"""
    relay = lab.relay()
    dora = lab.person("dora", passphrase="short")
    said = dora.fails(2, "register", relay.invite(), "--name", "dora")
    assert "at least 8 characters" in said, said
    said = lab.person("eve").fails(2, "register", relay.invite()[:-10], "--name", "eve")
    assert "cut short" in said, said
    for name in ("dora", "eve"):
        assert not os.path.exists(os.path.join(lab.path(name), "vault")), name
    fred = lab.person("fred")
    invite = relay.invite()
    relay.stop()
    said = fred.fails(3, "register", invite, "--name", "fred")
    assert "refused" in said and "goes on from there" in said, said
    relay.start()
    fred.ok("register", invite, "--name", "fred")


def check_first_contact(lab):
    """HOST:PORT without a pin shows the key and stops (exit 7); with --pin it works; a wrong one stops"""
    relay = lab.relay("--registration", "open")
    alice = lab.person("alice")
    said = alice.fails(7, "register", relay.address, "--name", "alice")
    assert relay.pin in said and "--pin " + relay.pin in said, said
    wrong = "sha256:" + "A" * 43
    said = alice.fails(7, "register", relay.address, "--name", "alice", "--pin", wrong)
    assert relay.pin in said, said
    assert not os.path.exists(os.path.join(alice.profile, "vault"))
    alice.ok("register", relay.address, "--name", "alice", "--pin", relay.pin)


def check_first_contact_asks(lab):
    """on a terminal the relay's key is shown, and a person says whether it is right"""
    relay = lab.relay("--registration", "open")
    alice = lab.person("alice")
    terminal = alice.terminal("register", relay.address, "--name", "alice")
    terminal.until("yes/no")
    assert relay.pin in terminal.screen()
    terminal.type("no\n")
    assert terminal.wait() == 7
    terminal = alice.terminal("register", relay.address, "--name", "alice")
    terminal.until("yes/no")
    terminal.type("yes\n")
    assert terminal.wait() == 0
    terminal.until("registered alice")


# ---- passphrases ---------------------------------------------------------------------------


def check_passphrase_needed(lab):
    """no profile, no passphrase, a wrong one, an unreadable file: exit 4 and the way out"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    said = lab.person("nobody").fails(4, "receive")
    assert "no profile" in said and "sotto register" in said, said
    said = alice.fails(4, "status", passphrase=False)
    assert "--passphrase-file" in said and "SOTTO_PASSPHRASE" in said, said
    for wrong in ("wrong-passphrase", ""):
        said = alice.fails(4, "status", passphrase=False, env={"SOTTO_PASSPHRASE": wrong})
        assert "passphrase" in said, said
    said = alice.fails(4, "--passphrase-file", lab.path("missing"), "status", passphrase=False)
    assert "missing" in said, said
    alice.ok("status", passphrase=False, env={"SOTTO_PASSPHRASE": alice.passphrase})


def check_passphrase_file(lab):
    """the first line of the file counts; a file that others can read is warned of"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    with open(alice.passphrase_file, "w") as f:
        f.write(alice.passphrase + "\nanother line\n")
    assert "warning" not in alice.run("status").err
    os.chmod(alice.passphrase_file, 0o644)
    result = alice.run("status")
    assert result.code == 0 and "chmod 600" in result.err, result


def check_passphrase_leaves_environment(lab):
    """SOTTO_PASSPHRASE is gone from the process's environment once it was read"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    running = alice.start("receive", "--follow", passphrase=False,
                          env={"SOTTO_PASSPHRASE": alice.passphrase})

    def environment():
        with open(f"/proc/{running.pid}/environ", "rb") as f:
            return f.read()
    until("it to be wiped", environment, lambda e: alice.passphrase.encode() not in e)
    until("the engine", lambda: alice.json("status")[0]["connection"], "online".__eq__)
    assert alice.passphrase.encode() not in open(f"/proc/{running.pid}/cmdline", "rb").read()
    running.signal(signal.SIGINT)
    assert running.wait().code == 0


def prompt(lab, alice, *words):
    terminal = lab.terminal([SOTTO, "--profile", alice.profile, *words])
    terminal.until("Passphrase:")
    until("the echo to be off", terminal.settings, lambda s: "-echo" in s)
    return terminal


def check_prompt(lab):
    """the passphrase is asked for without echo; a wrong one may be mended; the terminal is as before"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    terminal = prompt(lab, alice, "status")
    terminal.type("wrong-passphrase\n")
    terminal.until("wrong passphrase")
    until("the second question", terminal.screen, lambda s: s.count("Passphrase:") == 2)
    until("the echo to be off", terminal.settings, lambda s: "-echo" in s)
    terminal.type(alice.passphrase + "\n")
    assert terminal.wait() == 0
    assert "account     alice" in terminal.screen()
    assert alice.passphrase not in terminal.screen() and "wrong-pass" not in terminal.screen()
    assert "echo" in terminal.settings()


def check_prompt_three_times(lab):
    """three wrong passphrases end it with exit 4"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    terminal = prompt(lab, alice, "status")
    for i in range(3):
        until("the question", terminal.screen, lambda s: s.count("Passphrase:") == i + 1)
        until("the echo to be off", terminal.settings, lambda s: "-echo" in s)
        terminal.type("wrong-passphrase\n")
    assert terminal.wait() == 4


def check_prompt_signals(lab):
    """Ctrl-C, SIGTERM and Ctrl-Z at the question give the terminal its echo back"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    terminal = prompt(lab, alice, "status")
    terminal.key("C-c")
    assert terminal.wait() == 128 + signal.SIGINT
    assert "echo" in terminal.settings()
    terminal = prompt(lab, alice, "status")
    os.kill(terminal.pid(), signal.SIGTERM)
    assert terminal.wait() == 128 + signal.SIGTERM
    assert "echo" in terminal.settings()
    terminal = prompt(lab, alice, "status")
    pid = terminal.pid()
    terminal.key("C-z")
    with_state = lambda: open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
    until("it to stop", with_state, lambda s: s == "T")
    assert "echo" in terminal.settings()
    os.kill(pid, signal.SIGCONT)
    until("the echo to be off", terminal.settings, lambda s: "-echo" in s)
    terminal.type(alice.passphrase + "\n")
    assert terminal.wait() == 0


def check_new_passphrase(lab):
    """a new profile: asked for twice, or made up and typed once"""
    relay = lab.relay()
    words = ["register", relay.invite(), "--name"]
    terminal = lab.terminal([SOTTO, "--profile", lab.path("p1"), *words, "alice"])
    terminal.until("New passphrase")
    until("the echo to be off", terminal.settings, lambda s: "-echo" in s)
    terminal.type("first-try\n")
    terminal.until("once more:")
    terminal.type("second-try\n")
    terminal.until("The two differ")
    terminal.type("same-again\n")
    until("the second question", terminal.screen, lambda s: s.count("once more:") == 2)
    terminal.type("same-again\n")
    assert terminal.wait() == 0
    assert "-try" not in terminal.screen() and "same-again" not in terminal.screen()
    ok = lab.run([SOTTO, "--profile", lab.path("p1"), "status"], env={"SOTTO_PASSPHRASE": "same-again"})
    assert ok.code == 0, ok
    words[1] = relay.invite()
    terminal = lab.terminal([SOTTO, "--profile", lab.path("p2"), *words, "bob"])
    terminal.until("New passphrase")
    terminal.key("Enter")
    terminal.until("Type it once")
    made = re.search(r"^ +([a-z]{5}(?:-[a-z]{5}){5})$", terminal.screen(), re.MULTILINE)[1]
    until("the echo to be off", terminal.settings, lambda s: "-echo" in s)
    terminal.type(made + "\n")
    assert terminal.wait() == 0
    ok = lab.run([SOTTO, "--profile", lab.path("p2"), "status"], env={"SOTTO_PASSPHRASE": made})
    assert ok.code == 0, ok


def check_passphrase_beside_engine(lab):
    """beside a running engine none is needed, and a wrong one is refused all the same"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    running = alice.start("receive", "--follow")
    until("the engine", lambda: alice.run("status", passphrase=False).code, lambda c: c == 0)
    said = alice.fails(4, "status", passphrase=False, env={"SOTTO_PASSPHRASE": "wrong-passphrase"})
    assert "wrong passphrase" in said, said
    alice.ok("status")
    running.signal(signal.SIGINT)
    assert running.wait().code == 0


# ---- the first start -------------------------------------------------------------------------


def check_guide(lab):
    """sotto alone greets, leads through invite, name and passphrase, and opens a chat; then just that"""
    relay = lab.relay()
    env = {"XDG_DATA_HOME": lab.path("data")}
    terminal = lab.terminal([SOTTO], env=env, rows=50)
    terminal.until("Invite link")
    assert "messages that only the two of you can read" in terminal.screen()
    terminal.type("alice@relay\n")
    terminal.until("neither an invite link")
    terminal.type(relay.invite() + "\n")
    terminal.until("on another device?")
    terminal.type("no\n")
    terminal.until("Name:")
    terminal.type("Alice\n")
    terminal.until("cannot be a name")
    terminal.type("alice\n")
    terminal.until("New passphrase")
    until("the echo to be off", terminal.settings, lambda s: "-echo" in s)
    terminal.type("a-good-passphrase\n")
    terminal.until("once more:")
    terminal.type("a-good-passphrase\n")
    terminal.until("registered alice")
    terminal.until("no chat open, online")
    terminal.type("quit\n")
    assert terminal.wait() == 0
    again = lab.terminal([SOTTO], env={**env, "SOTTO_NO_BANNER": "1",
                                       "SOTTO_PASSPHRASE": "a-good-passphrase"})
    again.until("no chat open, online")
    assert "messages that only" not in again.screen() and "Name" not in again.screen()
    again.key("C-d")
    assert again.wait() == 0


# ---- several devices -------------------------------------------------------------------------


def login(lab, relay, first, profile):
    """A second device of the account of first, approved."""
    second = lab.person(first.name, profile=profile)
    running = second.start("login", relay.address, "--name", first.name, "--pin", relay.pin)
    code = running.until_out("\n").split()[1]
    assert re.fullmatch(r"[A-Z0-9]{4}-[A-Z0-9]{4}", code), code
    pending = [d for d in first.json("devices") if d["state"] == "pending"]
    assert [d["code"] for d in pending] == [code], pending
    said = first.fails(2, "devices", "approve", "AAAA-AAAA")
    assert "no device waits with this code" in said, said
    first.ok("devices", "approve", code)
    result = running.wait()
    assert result.code == 0 and result.out == f"code {code}\nsigned in {first.name}\n", result
    return second


def check_second_device(lab):
    """login and approve: from then on everything reaches both devices; revoke ends that (exit 4)"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    phone = login(lab, relay, alice, "phone")
    states = {d["state"]: d for d in phone.json("devices")}
    assert set(states) == {"this", "listed"} and not states["this"]["holds_account_key"], states
    bob.send("alice", "to both")
    assert alice.receive()[0]["text"] == phone.receive()[0]["text"] == "to both"
    phone.send("bob", "from the phone")
    assert bob.receive()[0]["text"] == "from the phone"
    until("what the phone sent", lambda: alice.run("receive") and alice.history("bob"),
          lambda h: h[-1]["text"] == "from the phone" and h[-1]["outgoing"])
    said = phone.fails(4, "devices", "revoke", states["listed"]["id"])
    assert "only the device that the account was made on" in said, said
    alice.ok("devices", "revoke", states["this"]["id"])
    assert [d["state"] for d in alice.json("devices")] == ["this"]
    for words in (("receive",), ("send", "bob", "again")):
        assert "removed" in phone.fails(4, *words), words
    assert phone.history("bob")[-1]["text"] == "from the phone"  # what it has stays readable
    assert "removed" in phone.json("status")[0]["why"]
    bob.send("alice", "to one")
    assert alice.receive()[0]["text"] == "to one"


def check_login_refused(lab):
    """login with a wrong passphrase or an unknown name: exit 4, no profile left, nothing told apart"""
    relay = lab.relay()
    lab.people(relay, "alice")
    thief = lab.person("thief", passphrase="not-the-passphrase")
    said = [thief.fails(4, "login", relay.address, "--pin", relay.pin, "--name", name)
            for name in ("alice", "nobody")]
    assert said[0].replace("alice", "nobody") == said[1], said
    assert not os.path.exists(os.path.join(thief.profile, "vault"))


def check_login_shown_in_chat(lab):
    """a chat tells of a device that asks to join, with its code and what to type"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    terminal = alice.terminal("chat")
    terminal.until("online")
    second = lab.person("alice", profile="second")
    running = second.start("login", relay.address, "--name", "alice", "--pin", relay.pin)
    code = running.until_out("\n").split()[1]
    terminal.until(f"devices approve {code}", everything=True)
    terminal.type(f"devices approve {code}\n")
    assert running.wait().code == 0
    terminal.until("version 2")
    terminal.key("C-d")
    assert terminal.wait() == 0


# ---- the end ---------------------------------------------------------------------------------


def check_account_delete(lab):
    """account delete wants --yes or the name typed back; then the name is gone for good"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    assert "--yes" in alice.fails(2, "account", "delete")
    terminal = alice.terminal("account", "delete")
    terminal.until("Type the name")
    terminal.type("alicia\n")
    assert terminal.wait() == 1
    terminal.until("nothing was deleted")
    bob.send("alice", "still there")
    terminal = alice.terminal("account", "delete")
    terminal.until("Type the name")
    terminal.type("alice\n")
    assert terminal.wait() == 0
    assert "deleted" in alice.fails(4, "send", "bob", "anybody?")
    assert alice.history("bob")[0]["text"] == "hello"
    assert "deleted" in bob.fails(5, "send", "alice", "anybody?")
    lab.person("mallory").fails(1, "register", relay.invite(), "--name", "alice")


def check_account_delete_for_scripts(lab):
    """account delete --yes asks nothing"""
    relay = lab.relay()
    alice, = lab.people(relay, "alice")
    alice.ok("account", "delete", "--yes")
    assert alice.json("status")[0]["connection"] == "offline"


sottolab.main([
    check_register, check_taken_name, check_register_failures_leave_nothing, check_first_contact,
    check_first_contact_asks, check_passphrase_needed, check_passphrase_file,
    check_passphrase_leaves_environment, check_prompt, check_prompt_three_times,
    check_prompt_signals, check_new_passphrase, check_passphrase_beside_engine, check_guide,
    check_second_device, check_login_refused, check_login_shown_in_chat, check_account_delete,
    check_account_delete_for_scripts,
])
