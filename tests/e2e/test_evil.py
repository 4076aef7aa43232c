#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An evil relay: tests/evil, a program of its own on the wire format, which is an honest relay but for
what it is told to lie about, while people go on with the client as it is. Each case: what they are
told meanwhile, that no text goes to a key of the relay's making, that nobody reads a wrong text, one
from a wrong sender, or one twice, and that all goes on once the lies are over."""
# sanitizers: address
# timeout: 900
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import evil  # noqa: E402
from evil import (  # noqa: E402
    BEGIN, DENIED, FULL, GET_BUNDLE, GET_LINKS, GET_LISTS, GONE, LANE_CLOSED, LIST_CHANGED, NAME_GONE,
    PING, PUT_PREKEYS, QUOTA, REVOKED, SIGN_IN, SUBMIT, UNAVAILABLE, UNKNOWN_ACCOUNT, case, own_world)
from sottolab import until  # noqa: E402


def kept(person, to, text):
    """It is neither sent nor lost."""
    result = person.run("send", to, text, "--wait", "delivered", "1")
    assert result.code == 1 and "queued" in result.out, result


# ---- keys and lists ------------------------------------------------------------------------------


@case
def check_false_keys(w):
    """False pre-keys (another account's, altered, or forged): exit 7, nothing is encrypted
    under them, and what was written goes out later"""
    dora = w.stranger()
    twists = ("bundle-of * bob carl", "one-time-of * bob carl", "bundle-signature * bob",
              "bundle-forged * bob")
    for twist in twists:
        with w.relay.lies(twist) as lie:
            said = dora.fails(7, "send", "bob", twist)
            assert "keys" in said and "devices of bob are not valid" in said, said
            assert "operator" in said, said
        assert lie.parcels == 0, "something was encrypted with these keys"
    w.arrives(dora, *twists)


@case
def check_one_time_again(w):
    """One one-time key for two people: what does not open is asked for again, and each is shown
    once"""
    first, second = w.stranger(), w.stranger()
    with w.relay.lies("one-time-again * bob"):
        first.send("bob", "the first")
        second.send("bob", "the second")
    assert [m["text"] for m in w.bob.receive()] == ["the first"]
    got = until("what was asked for again",
                lambda: (second.json("receive"), w.bob.json("receive"))[1])
    assert [(m["from"], m["text"]) for m in got] == [(second.name, "the second")], got
    w.arrives(second)


@case
def check_keys_never(w):
    """No pre-keys to be had: exit 1, the message is kept, and goes out when there are some"""
    dora = w.stranger()
    with w.relay.lies(f"error * {GET_BUNDLE} {UNAVAILABLE}", to=dora) as lie:
        kept(dora, "bob", "later")
    assert lie.parcels == 0
    w.arrives(dora, "later")


@case
def check_false_lists(w):
    """The device list of another account, or an altered one: exit 7, nothing is encrypted for
    it, and what was written goes out later"""
    dora = w.stranger()
    twists = ("list-of * bob carl", "list-altered * bob")
    for twist in twists:
        with w.relay.lies(twist) as lie:
            for words in (("send", "bob", twist), ("verify", "bob")):
                said = dora.fails(7, *words)
                assert "device list" in said and "bob" in said and "operator" in said, said
        assert lie.parcels == 0
    w.arrives(dora, *twists)


@case
def check_newer_list_of_another(w):
    """The list of another account as the newer one of a contact: exit 7, and the message is
    kept"""
    text = w.text()
    with w.relay.lies("submit-list-of alice carl"):
        said = w.alice.fails(7, "send", "bob", text)
        assert "device list" in said and "operator" in said, said
    w.heals(text)


@case
def check_another_person(w):
    """Another person under a contact's name: exit 7, nothing is encrypted for him, and he is
    forgotten once the relay shows the true one again"""
    texts = [w.text(), w.text()]
    number = w.alice.ok("verify", "bob")
    with w.relay.lies("submit-list-forged alice bob", "list-forged alice bob"):
        for text in texts:
            said = w.alice.fails(7, "send", "bob", text)
            assert "bob has a new identity" in said and "sotto verify bob --accept" in said, said
        contact, = w.alice.json("contacts")
        assert contact["new_identity"] is True, contact
        assert w.alice.ok("verify", "bob") != number, "that is not the one to be judged"
    w.heals(*texts)
    contact, = w.alice.json("contacts")
    assert contact["new_identity"] is False, contact
    assert w.alice.ok("verify", "bob") == number


@case
def check_nobody_there(w):
    """The relay denies that an account is there: exit 5, and it is believed no longer than it
    says so"""
    dora, text = w.stranger(), w.text()
    for twist in ("list-unknown * bob", "list-gone * bob"):
        with w.relay.lies(twist):
            dora.fails(5, "send", "bob", "to nobody")
    w.arrives(dora)
    with w.relay.lies(f"error alice {SUBMIT} {UNKNOWN_ACCOUNT}"):
        said = w.alice.fails(5, "send", "bob", text)
        assert "kept" in said, said
    w.heals(text)
    with w.relay.lies(f"error alice {SUBMIT} {NAME_GONE}"):
        text = w.text()
        said = w.alice.fails(5, "send", "bob", text)
        assert "deleted" in said, said
    assert w.alice.history("bob")[-1]["state"] == "failed"
    w.heals(text)  # it has it, and does not know why it said so


def newest_list(relay, name):
    with contextlib.closing(sqlite3.connect(os.path.join(relay.data, "relay.db"))) as db:
        return db.execute("SELECT bytes FROM list JOIN account ON account.id = account"
                          " WHERE name = ? ORDER BY list.version DESC", (name,)).fetchone()[0].hex()


def further_device(w, profile):
    """One more device of bob's, approved."""
    second = w.lab.person("bob", profile=profile)
    login = second.start("login", w.relay.address, "--name", "bob", "--pin", w.relay.pin)
    w.bob.ok("devices", "approve", login.until_out("\n").split()[1])
    assert login.wait().code == 0
    return second


def forked(w):
    """bob's account key has signed two lists of one number, each with another second device, as old
    copies of profile and relay make possible. The relay works with the second one. Returns the first
    one and the second device."""
    w.relay.stop()
    for folder in (w.relay.data, w.bob.profile):
        shutil.copytree(folder, folder + ".old")
    w.relay.start()
    further_device(w, "bob.lost")
    first = newest_list(w.relay, "bob")
    w.relay.stop()
    for folder in (w.relay.data, w.bob.profile):
        shutil.rmtree(folder)
        os.rename(folder + ".old", folder)
    w.relay.start()
    second = further_device(w, "bob2")
    assert first != newest_list(w.relay, "bob")
    return first, second


@own_world
def check_forks(w):
    """Two lists of one number, to one person or to two: exit 7 until the safety number was
    compared; nothing is lost or doubled"""
    first, second = forked(w)
    texts = [w.text() for _ in range(3)]
    w.alice.send("bob", texts[0])
    with w.relay.lies(f"submit-list-this alice {first}"):
        said = w.alice.fails(7, "send", "bob", texts[1])
        assert "two different device lists of bob" in said, said
        assert "safety number" in said and "sotto verify bob --accept" in said, said
    w.alice.fails(7, "send", "bob", texts[2])
    assert w.alice.ok("verify", "bob") == w.bob.ok("verify", "alice")
    w.alice.ok("verify", "bob", "--accept")
    w.heals(*texts)
    assert [m["text"] for m in second.json("receive") if not m["outgoing"]][:3] == texts
    # Somebody who is shown the other one from the beginning.
    with w.relay.lies(f"list-this carl bob {first}"):
        w.carl.send("bob", "under the wrong list")
    result = w.bob.run("receive", "--json")
    assert [m["text"] for m in result.json()] == ["under the wrong list"], result
    assert "carl another device list of your own account" in result.err, result
    said = w.bob.fails(7, "send", "carl", "an answer")
    assert "sotto verify carl --accept" in said, said
    w.bob.ok("verify", "carl", "--accept")
    result = until("the answer", lambda: (w.bob.run("receive"), w.carl.run("receive", "--json"))[1],
                   lambda r: r.json())
    assert [m["text"] for m in result.json()] == ["an answer"], result
    assert "verify bob --accept" in result.err, result
    assert "two different device lists of bob" in w.carl.fails(7, "send", "bob", "kept")
    w.carl.ok("verify", "bob", "--accept")
    w.carl.send("bob", "and on")
    assert [m["text"] for m in w.bob.receive(2)] == ["kept", "and on"]


@own_world
def check_older_list(w):
    """An older list: nobody writes to fewer devices than he knows of, and what waits goes out
    later"""
    dora, second = w.stranger(), further_device(w, "bob2")
    texts = [w.text() for _ in range(2)]
    with w.relay.lies(f"list-older {dora.name} bob"):
        dora.send("bob", "to both")
    w.alice.send("bob", texts[0])
    with w.relay.lies("list-older alice bob", f"error alice {SUBMIT} {LIST_CHANGED}"):
        sending = w.alice.start("send", "bob", texts[1], "--wait", "delivered", "300")
        until("her to ask for the list", lambda: int(w.relay.command("fired")[1]), lambda n: n >= 2)
        sending.end()
        assert w.alice.json("contacts")[0]["devices"] == 2
        assert w.alice.history("bob")[-1]["state"] == "queued"
    assert [m["text"] for m in w.bob.receive()] == ["to both"]
    w.heals(*texts)
    got = [m["text"] for m in second.json("receive") if not m["outgoing"]]
    assert got[:3] == ["to both", *texts], got


@case
def check_adding_a_device(w):
    """While a device is added: a list of another account is not taken (exit 7), and a device that the
    relay slips in has another code than the screen shows (exit 2)"""
    second = w.lab.person("bob", profile=f"bob.{w.number}")
    words = ("login", w.relay.address, "--name", "bob", "--pin", w.relay.pin)
    with w.relay.lies("logged-in-of * carl"):
        assert "not this account's" in second.fails(7, *words)
    login = second.start(*words)
    code = login.until_out("\n").split()[1]
    with w.relay.lies("links-forged bob bob"):
        assert "no device waits with this code" in w.bob.fails(2, "devices", "approve", code)
        pending = [d for d in w.bob.json("devices") if d["state"] == "pending"]
        assert pending and code not in [d["code"] for d in pending], pending
    login.end()
    assert [d["state"] for d in w.bob.json("devices") if d["state"] != "pending"] == ["this"]
    w.heals()


# ---- what is delivered ---------------------------------------------------------------------------


def read(person, texts):
    """What there is to receive is that."""
    got = [(m["from"], m["text"]) for m in person.json("receive")]
    assert got == [("alice", text) for text in texts], got


@case
def check_replays(w):
    """Envelopes again and again, now and later, under their numbers and others: each is shown
    once"""
    texts = w.waiting(3)
    with w.relay.lies("deliver-again bob 5"):
        read(w.bob, texts)
    w.read += texts
    with w.relay.lies("push-envelopes bob"):
        for _ in range(2):
            assert w.bob.json("receive") == []
    w.heals()


@case
def check_envelopes_of_others(w):
    """Envelopes that are for somebody else open for nobody"""
    with w.relay.lies("push-envelopes carl"):
        assert w.carl.json("receive") == [] and w.carl.json("contacts") == []
    w.heals()


@case
def check_reversed(w):
    """Envelopes in the wrong order: all are shown, each once, and what was missing is told"""
    texts = w.waiting(3, long=True)
    with w.relay.lies("deliver-reversed bob 3"):
        got = w.bob.json("receive")
    assert got[0]["gap"] is True, got
    w.late(got, texts)
    w.heals()


@case
def check_dropped(w):
    """A dropped envelope is told as a gap, and its sender never sees it delivered"""
    texts = w.waiting(1) + w.waiting(1, long=True) + w.waiting(1)
    with w.relay.lies("deliver-not bob"):
        got = w.bob.json("receive")
    assert [(m["text"], m["gap"]) for m in got] == [(texts[0], False), (texts[2], True)], got
    w.read += [texts[0], texts[2]]
    w.heals()
    states = {m["text"]: m["state"] for m in w.alice.history("bob")}
    assert [states[text] for text in texts] == ["read", "stored", "read"], states
    w.taken_back(texts[1])
    w.quiet()


@case
def check_altered(w):
    """Altered envelopes are not shown, and their gap is told"""
    lost = w.waiting(2)
    with w.relay.lies("deliver-altered bob"):
        assert w.bob.json("receive") == []
    text, = w.waiting(1)
    got = w.bob.json("receive")
    assert [(m["text"], m["gap"]) for m in got] == [(text, True)], got
    w.read.append(text)
    w.taken_back(*lost)
    w.heals()


@case
def check_numbers(w):
    """Deliveries under numbers far ahead, all the same, or lower than before: shown once and in
    order, and nothing is lost later"""
    for seq in ("+1000000", "1", str(2 ** 64 - 1)):
        texts = w.waiting(2)
        with w.relay.lies(f"deliver-as bob {seq}"):
            read(w.bob, texts)
        w.read += texts
        texts = w.waiting(2)  # he is not there when they come, and then says what he had
        read(w.bob, texts)
        w.read += texts
    texts = w.waiting(1)
    with w.relay.lies("deliver-as bob 0"):
        assert "without a number" in w.bob.fails(3, "receive")
    w.heals(*texts)


@case
def check_garbage(w):
    """A flood of envelopes of random bytes: nothing of it is shown, and what is between is"""
    texts = w.waiting(2)
    with w.relay.lies("push-garbage bob 300"):
        read(w.bob, texts)
        assert w.bob.json("receive") == []
    w.read += texts
    w.heals()


@case
def check_endless(w):
    """A mailbox that never gets empty, of nothing but rubbish: receive ends, and has what is
    between"""
    texts = w.waiting(2)
    with w.relay.lies("push-for-ever bob"):
        read(w.bob, texts)
    w.read += texts
    w.heals()


# ---- what is handed in ---------------------------------------------------------------------------


@case
def check_stored_without_storing(w):
    """Said to be stored, and kept by nobody: never shown as delivered, and the gap is told"""
    lost = w.text()
    with w.relay.lies("submit-lost alice"):
        w.alice.send("bob", lost)
    text, = w.waiting(1)
    got = w.bob.json("receive")
    assert [(m["text"], m["gap"]) for m in got] == [(text, True)], got
    w.read.append(text)
    assert {m["text"]: m["state"] for m in w.alice.history("bob")}[lost] == "stored"
    w.taken_back(lost)
    w.heals()


@case
def check_answers_to_submits(w):
    """What was stored is said not to be: it is sent again, and shown once"""
    kept_ones = []
    for twist in (f"submit-state alice {FULL}", f"submit-state alice {QUOTA}",
                  f"submit-state alice {LANE_CLOSED}", "submit-devices alice", "submit-nothing alice",
                  f"error alice {SUBMIT} {DENIED}", f"error alice {SUBMIT} {UNAVAILABLE}",
                  f"error alice {SUBMIT} {LIST_CHANGED}", f"another-kind alice {SUBMIT}"):
        kept_ones.append(w.text())
        with w.relay.lies(twist, to=w.alice):
            result = w.alice.run("send", "bob", kept_ones[-1], "--wait", "delivered", "1")
            assert result.code in (1, 3, 6), (twist, result)
            assert "Traceback" not in result.err and "sotto: " in result.err, (twist, result)
    w.heals(*kept_ones)


@case
def check_storing_fails(w):
    """The relay cannot store: of once nobody hears; of longer it is said, and a chat from a pipe ends with 0
    if it got there before the end, with 3 if not"""
    texts = [w.text() for _ in range(5)]
    with w.relay.lies(f"error-once alice {SUBMIT} {UNAVAILABLE}"):
        w.alice.send("bob", texts[0])
    with w.relay.lies(f"error-once alice {SUBMIT} {UNAVAILABLE}"):
        result = w.alice.run("chat", "bob", stdin=texts[1])
        assert result.code == 0 and "[stored]" in result.out and result.err == "", result
    chat = w.alice.start("chat", "bob", stdin=subprocess.PIPE)
    with w.relay.lies(f"error alice {SUBMIT} {UNAVAILABLE}"):
        chat.write(texts[2] + "\n")
        chat.until_out(f"{texts[2]} [queued]")
        assert "kept and tried again" in chat.until_err("cannot store"), chat.err
    chat.until_err(f"to bob: {texts[2]}")
    chat.write(texts[3] + "\n")
    chat.until_out(f"{texts[3]} [stored]")
    result = chat.wait()
    assert result.code == 0 and "not sent yet" not in result.err, result
    with w.relay.lies(f"error alice {SUBMIT} {UNAVAILABLE}"):
        result = w.alice.run("chat", "bob", stdin=texts[4])
        assert result.code == 3 and "1 message is not sent yet" in result.err, result
    w.heals(*texts)


@case
def check_device_said_to_be_gone(w):
    """A device is said to be gone: the message is told as failed"""
    text = w.text()
    with w.relay.lies(f"submit-state alice {GONE}"):
        said = w.alice.fails(1, "send", "bob", text)
        assert "no device" in said, said
    read(w.bob, [text])
    w.read.append(text)
    w.heals()


@case
def check_twice_and_unasked(w):
    """Answers twice, of every kind, and to what nobody asked: nothing comes of them"""
    texts = [w.text() for _ in range(4)]
    with w.relay.lies(f"twice alice {SUBMIT}"):
        w.alice.send("bob", texts[0])
    with w.relay.lies(f"unasked alice {SUBMIT}"):
        w.alice.send("bob", texts[1])
    with w.relay.lies(*(f"twice * {t}" for t in (SIGN_IN, BEGIN, PING, GET_LINKS))):
        w.alice.send("bob", texts[2])
    with w.relay.lies(*(f"unasked * {t}" for t in (SIGN_IN, BEGIN, PING))):
        w.alice.send("bob", texts[3])
    w.heals(*texts)


@case
def check_exchanged(w):
    """Two requests get each other's answer: nothing wrong comes of it"""
    text = w.text()
    with w.relay.lies("exchanged alice", to=w.alice):
        result = w.alice.run("send", "bob", text, "--wait", "delivered", "1")
        assert result.code in (1, 3, 7), result
    w.heals(text)


# ---- signing in ----------------------------------------------------------------------------------


@case
def check_another_relay(w):
    """A hello of another relay, for another TLS key, or wrongly signed: exit 7 or 3, and not a
    word is said to it"""
    texts = []
    for twist, code, words in (
            ("hello-id *", 7, "another relay answers under this address"),
            ("hello-pin *", 7, "does not vouch for the TLS key"),
            ("hello-signature *", 3, "not the protocol")):
        texts.append(w.text())
        with w.relay.lies(twist) as lie:
            said = w.alice.fails(code, "send", "bob", texts[-1])
            assert words in said, said
        assert lie.requests == 0, "something was said to it"
    w.heals(*texts)


@case
def check_incarnations(w):
    """Another incarnation at each hello, older ones too: each message is shown once"""
    texts = []
    for byte in (1, 2, 1):
        with w.relay.lies(f"hello-incarnation * {byte}"):
            texts.append(w.text())
            w.alice.send("bob", texts[-1])
            read(w.bob, texts[-1:])
    w.read += texts
    w.heals()


@case
def check_clocks(w):
    """A relay whose clock is years off: it is told, and everything works"""
    texts = []
    for clock in (1, 4102444800000, 2 ** 64 - 1):
        texts.append(w.text())
        with w.relay.lies(f"hello-clock * {clock}"):
            result = w.alice.run("send", "bob", texts[-1])
            assert result.code == 0, result
            assert ("clock" in result.err) == (clock < 2 ** 62), result
    w.heals(*texts)


@case
def check_leases(w):
    """The relay says that the profile is an older copy: new keys each time, and each message is
    shown once"""
    for twists in (("signed-in-lease bob",), ("signed-in-acked bob 1099511627780",),
                   ("signed-in-lease bob", f"signed-in-acked bob {2 ** 64 - 1}")):
        texts = w.waiting(1)
        with w.relay.lies(*twists):
            first = w.bob.json("receive")
        got = first or until("what is made anew for the new keys",
                             lambda: (w.alice.json("receive"), w.bob.json("receive"))[1])
        assert [m["text"] for m in got] == texts, (twists, got)
        w.read += texts
        w.heals()


@case
def check_list_versions(w):
    """Sign-ins that name other versions of one's own list: nothing comes of it"""
    texts = []
    for version in (0, 2, 2 ** 32 - 1):
        texts.append(w.text())
        with w.relay.lies(f"signed-in-version alice {version}"):
            w.alice.send("bob", texts[-1])
    w.heals(*texts)


@case
def check_own_list_of_another(w):
    """The list of another account as one's own: exit 7, and it is not taken"""
    text = w.text()
    with w.relay.lies("push-list-of alice carl"):
        said = w.alice.fails(7, "send", "bob", text)
        assert "device list of this account" in said and "operator" in said, said
    w.heals(text)


@case
def check_removed(w):
    """The relay says that the device, or the account, is no more: exit 4, and it is believed no
    longer than it says so"""
    text = w.text()
    for twist, words in ((f"error alice {SIGN_IN} {REVOKED}", "removed"),
                         (f"error alice {SIGN_IN} {NAME_GONE}", "deleted"),
                         ("push-closing alice 2", "removed")):
        with w.relay.lies(twist):
            said = w.alice.fails(4, "receive")
            assert words in said, said
        w.alice.ok("receive")
    with w.relay.lies("greet-closing * 2"):
        w.alice.fails(3, "receive")
    w.heals()


@case
def check_prekey_counts(w):
    """The relay always has too few pre-keys: it does not get new ones without end"""
    def size():
        return sum(os.path.getsize(os.path.join(w.carl.profile, f))
                   for f in os.listdir(w.carl.profile) if f.startswith("profile.db"))
    with w.relay.lies("keys-left * 0"):
        w.carl.ok("receive")
        before = size()
        for _ in range(3):
            w.carl.ok("receive")
        assert size() - before < 512 * 1024, (before, size())
    with w.relay.lies(f"keys-left * {2 ** 32 - 1}"):
        w.carl.ok("receive")
    w.heals()


# ---- no protocol at all --------------------------------------------------------------------------


def frame(body):
    return (len(body).to_bytes(4, "big") + body).hex()


@case
def check_no_protocol(w):
    """Frames that are huge, empty, cut short, or garbage: exit 3, and what was written is
    kept"""
    texts = []
    for raw in ("ffffffff", "00000000", frame(b"\xff" * 100), frame(os.urandom(1000)), "00100000"):
        for asked in (SIGN_IN, SUBMIT):
            texts.append(w.text())
            with w.relay.lies(f"bytes alice {asked} {raw}"):
                said = w.alice.fails(3, "send", "bob", texts[-1])
                assert "relay" in said, said
    with w.relay.lies("greet-envelope *"):
        said = w.alice.fails(3, "receive")
        assert "before it was asked to" in said, said
    w.heals(*texts)


@case
def check_other_answers(w):
    """Answers of another kind than was asked for: nothing is lost"""
    texts = []
    for asked in (SIGN_IN, BEGIN, PING, GET_LINKS, PUT_PREKEYS, GET_LISTS):
        texts.append(w.text())
        with w.relay.lies(f"another-kind alice {asked}", "keys-left alice 0", to=w.alice):
            result = w.alice.run("send", "bob", texts[-1], "--wait", "delivered", "1")
            assert result.code in (1, 3), (asked, result)
    w.heals(*texts)


if __name__ == "__main__":
    evil.main(globals())
