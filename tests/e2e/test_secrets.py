#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What must be nowhere to be found: texts, passphrases, codes, names, in memory, files and logs.

Each search is proved first on something that has to be found, in the same place.
"""
# timeout: 600
import base64
import contextlib
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mail  # noqa: E402
import sottolab  # noqa: E402
from sottolab import SOTTO, SOTTOD, until  # noqa: E402

ANNA, PAUL = "anna-of-the-lighthouse", "paul-of-the-windmill"  # nothing that occurs by chance
PASSPHRASES = {ANNA: "marmot-kettle-seven", PAUL: "walnut-ferry-eleven"}
NOON = "The kettle sings at noon"
NIGHT = "Nachts liegt der Schlüssel links unter der Bank"
LETTER = "The harbour master writes at length. "
TEXTS = {"a text": NOON, "a text with umlauts": NIGHT, "a long text": LETTER}
SECRETS = {**TEXTS, **{"a passphrase": p for p in PASSPHRASES.values()},
           **{f"the passphrase of {n}": p for n, p in PASSPHRASES.items()}}


# ---- searching -----------------------------------------------------------------------------


def forms(secret):
    """The bytes themselves, and what an encoding on the way would make of them."""
    data = secret.encode() if isinstance(secret, str) else secret
    found = {"plain": data, "hex": data.hex().encode(), "HEX": data.hex().upper().encode()}
    if isinstance(secret, str):
        found["UTF-16"] = secret.encode("utf-16-le")
    for shift, begin in enumerate((0, 2, 3)):  # a character that also depends on others is left out
        text = base64.b64encode(bytes(shift) + data)[begin:-4]
        found[f"base64+{shift}"] = text
        found[f"base64url+{shift}"] = text.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def found(secrets, places):
    """Which of the secrets (by name) are in which of the places (name, bytes), and how."""
    wanted = [(f"{name} ({form})", data) for name, secret in secrets.items()
              for form, data in forms(secret).items()]
    return [f"{what} in {where}" for where, data in places for what, needle in wanted
            if needle in data]


def only_root():
    if os.geteuid() != 0:
        raise sottolab.Skip("only root may look into these programs")


def state_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def memory(pid):
    """All that a process has in its memory, also what it may not read itself; stopped meanwhile."""
    only_root()
    os.kill(pid, signal.SIGSTOP)
    try:
        until("the process to stand still", lambda: state_of(pid), "T".__eq__)
        places = []
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
            for line in maps:
                low, high = (int(n, 16) for n in line.split()[0].split("-"))
                if line.rstrip().endswith(("[vvar]", "[vvar_vclock]", "[vsyscall]")):
                    continue  # the kernel's
                mem.seek(low)
                data = b""
                while len(data) < high - low and (part := mem.read(high - low - len(data))):
                    data += part
                places.append((f"the memory of {pid}: {line.strip()}", data))
    finally:
        os.kill(pid, signal.SIGCONT)
    return places


def files(*folders):
    """Names and contents of all files there at this moment."""
    places = []
    for folder in folders:
        for where, folder_names, names in os.walk(folder):
            places += [("a name", n.encode()) for n in folder_names + names]
            for name in names:
                path = os.path.join(where, name)
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISREG(os.lstat(path).st_mode):
                        with open(path, "rb") as f:
                            places.append((path, f.read()))
    return places


def search_files(secrets, *folders):
    """Fails when a secret is in a file, or when it would not have been found there."""
    was = found(secrets, files(*folders))
    assert not was, was
    for folder in folders:
        planted = os.path.join(folder, "planted")
        for secret in secrets.values():
            with open(planted, "wb") as f:
                f.write(os.urandom(5000) + secret.encode() + os.urandom(5000))
            assert found({"it": secret}, files(folder)) == [f"it (plain) in {planted}"]
        os.unlink(planted)


# ---- people who talk -----------------------------------------------------------------------


def two(lab):
    """Their profiles' paths name nobody."""
    relay = lab.relay()
    anna, paul = (sottolab.Person(lab, name, f"p{i}", PASSPHRASES[name]).register(relay)
                  for i, name in enumerate((ANNA, PAUL)))
    anna.befriend(paul)
    return relay, anna, paul


def online(person):
    until("a connection", lambda: person.json("status")[0]["connection"], "online".__eq__)


def ready(relay):
    relay.until_out("sottod ready")
    return relay


def in_use(person, running):
    """Running, once it has opened the profile: others beside it need no passphrase."""
    until("the profile to be open", lambda: person.run("contacts", passphrase=False).code,
          lambda code: code == 0)
    return running


def chats(anna, paul, **options):
    a, p = (x.start("chat", y.name, stdin=subprocess.PIPE, **options)
            for x, y in ((anna, paul), (paul, anna)))
    online(anna)
    online(paul)
    return a, p


def talk(a, p):
    """All texts, to and fro; comes back after each."""
    for text in (NOON, NIGHT, LETTER * 400):
        for sender, reader in ((a, p), (p, a)):
            count = reader.out.count(text)
            sender.write(text + "\n")
            reader.until_out(text, count + 1)
            yield text


def waiting(relay):
    with sqlite3.connect(f"file:{relay.data}/relay.db?mode=ro", uri=True) as db:
        mail.load(db)
        return [row[0] for row in db.execute("SELECT bytes FROM envelope ORDER BY box, seq")]


# ---- the relay -----------------------------------------------------------------------------


def check_relay_memory(lab):
    """The relay's memory never holds a text or a passphrase, while people talk and afterwards"""
    relay, anna, paul = two(lab)
    pid, wrong = relay.running.pid, "tulip-anchor-ninety"

    def search():
        places = memory(pid)
        assert found({"a name": ANNA}, places) and found({"a name": PAUL}, places)
        was = found({**SECRETS, "a wrong passphrase": wrong}, places)
        assert not was, was
    search()
    a, p = chats(anna, paul)
    for text in talk(a, p):
        search()
    for chat in (a, p):
        assert found({"it": NOON}, memory(chat.pid)), "the search does not find what is there"
        chat.write("quit\n")
        assert chat.wait().code == 0
    for text in TEXTS.values():
        anna.send(PAUL, text)
    assert len(waiting(relay)) >= 3
    search()
    sottolab.Person(lab, ANNA, "wrong", wrong).fails(
        4, "login", relay.address, "--name", ANNA, "--pin", relay.pin)
    search()
    paul.receive(3)
    search()


def check_relay_folder(lab):
    """The relay's folder and log hold no text and no passphrase: running, killed, and stopped"""
    relay, anna, paul = two(lab)
    a, p = chats(anna, paul)
    wal = os.path.join(relay.data, "relay.db-wal")

    def search():
        search_files(SECRETS, relay.data)
        log = [("the log", (relay.log + relay.running.err).encode())]
        assert found({"a name": ANNA}, log) and not found(SECRETS, log), log
        assert found({"a name": ANNA}, files(relay.data))
    for text in talk(a, p):
        assert os.path.getsize(wal) > 0
        search()
    p.write("quit\n")
    assert p.wait().code == 0
    a.write(NOON + "\n")
    until("an envelope", lambda: waiting(relay))
    search()
    relay.kill()
    assert os.path.getsize(wal) > 0
    search()
    relay.start()
    paul.receive()
    relay.stop()
    assert not os.path.exists(wal)
    search()


def check_envelopes(lab):
    """What waits on the relay does not name its sender, neither the account nor the device"""
    relay, anna, paul = two(lab)
    ids = {name: person.json("status")[0]["device"] for name, person in ((ANNA, anna), (PAUL, paul))}
    stranger = lab.person("stranger-at-the-gate").register(relay)
    stranger.send(PAUL, NOON)  # begins a session
    anna.send(PAUL, NOON)
    anna.send(PAUL, NIGHT)
    places = [("an envelope", e) for e in waiting(relay)]
    assert len(places) >= 3
    senders = {"the account": ANNA, "the stranger": stranger.name, "a text": NOON}
    for name, device in (("the device", ids[ANNA]),
                         ("its device", stranger.json("status")[0]["device"])):
        senders[name] = bytes.fromhex(device)
        senders[name + " reversed"] = bytes.fromhex(device)[::-1]
    was = found(senders, places)
    assert not was, was
    # The same search where a device has to be found: in its entry, signed, in its account's list.
    with sqlite3.connect(f"file:{relay.data}/relay.db?mode=ro", uri=True) as db:
        entries = [("an entry", row[0]) for row in db.execute("SELECT entry FROM device")]
    assert found({"the device": bytes.fromhex(ids[ANNA])}, entries), (ids, entries)


def chunks(blob):
    """Pieces by which it is known: a database keeps a long one in several places."""
    return {f"bytes {at}": blob[at:at + 48] for at in range(0, len(blob) - 48, 64)}


def check_delivered_is_gone(lab):
    """An envelope that was delivered is in no file of the relay any longer once it has stopped"""
    relay, anna, paul = two(lab)
    for text in (NOON, LETTER * 400):
        anna.send(PAUL, text)
    envelopes = waiting(relay)
    assert envelopes

    def left():
        places = files(relay.data)
        return [sum(1 for c in chunks(e).values() if any(c in data for _, data in places))
                for e in envelopes]
    assert all(left())
    paul.receive(2)
    until("an empty mailbox", lambda: waiting(relay), lambda w: not set(w) & set(envelopes))
    relay.stop()
    assert not any(left()), left()


def check_deleted_account(lab):
    """After account delete and a stop the relay has nothing of it but the name"""
    relay, anna, paul = two(lab)
    paul.send(ANNA, NOON)

    def rows():
        with sqlite3.connect(f"file:{relay.data}/relay.db?mode=ro", uri=True) as db:
            mail.load(db)
            account, key, opaque = db.execute(
                "SELECT id, key, opaque FROM account WHERE name = ?", (ANNA,)).fetchone()
            yield from (b for b in (key, opaque) if b)
            for words in ("bytes FROM list WHERE account = ?", "hash FROM token WHERE account = ?",
                          "entry FROM device WHERE account = ?",
                          "signed_prekey FROM device WHERE account = ?",
                          "bytes FROM one_time WHERE box IN (SELECT box FROM device "
                          "WHERE account = ?)",
                          "bytes FROM envelope WHERE box IN (SELECT box FROM device "
                          "WHERE account = ?)"):
                yield from (row[0] for row in db.execute("SELECT " + words, (account,)))
    before = list(rows())
    assert len(before) > 10, before

    def left():
        places = files(relay.data)
        return [b for b in before if any(b[:40] in data for _, data in places)]
    assert len(left()) == len(before)
    anna.ok("account", "delete", "--yes")
    assert list(rows()) == []
    relay.stop()
    assert not left(), f"{len(left())} of {len(before)}: {left()[0].hex()}"
    assert found({"the name": ANNA}, files(relay.data))


# ---- the profile ---------------------------------------------------------------------------


def check_profile_files(lab):
    """No file of a profile, of TMPDIR or of XDG's folders holds a text, a name or a passphrase"""
    relay, anna, paul = two(lab)
    away = [lab.path(n) for n in ("tmp", "runtime", "home", "data", "cache", "here")]
    for folder in away:
        os.mkdir(folder, 0o700)
    env = dict(zip(("TMPDIR", "XDG_RUNTIME_DIR", "HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"), away))
    secrets = {**SECRETS, "the own name": ANNA, "the contact's name": PAUL,
               "the relay's address": relay.address}

    def search():
        search_files(secrets, anna.profile, *away)
        assert not files(*away), files(*away)
    search()
    a, p = chats(anna, paul, env=env, cwd=away[-1])
    for text in talk(a, p):
        assert os.path.getsize(os.path.join(anna.profile, "profile.db-wal")) > 0
        search()
    a.signal(signal.SIGKILL)
    a.wait()
    assert os.path.getsize(os.path.join(anna.profile, "profile.db-wal")) > 0
    search()
    assert len(anna.history(PAUL)) == 8
    relay.stop()
    assert anna.run("send", PAUL, NOON, env=env).code == 3  # kept in the outbox
    search()


def check_profile_descriptors(lab):
    """A chat has no file open outside of its profile, and none that was unlinked but is on the disk"""
    only_root()
    _, anna, paul = two(lab)
    a, p = chats(anna, paul)
    for text in talk(a, p):
        opened = [os.readlink(f"/proc/{a.pid}/fd/{n}") for n in os.listdir(f"/proc/{a.pid}/fd")]
        assert os.path.join(anna.profile, "profile.db") in opened, opened
        strange = [path for path in opened if "(deleted)" in path or path.startswith("/")
                   and not path.startswith((anna.profile + "/", "/dev/"))]
        assert not strange, strange


def check_deleted_message(lab):
    """A deleted message is not shown any longer, is in clear in no file, and the other side has it"""
    _, anna, paul = two(lab)
    sent, kept = anna.send(PAUL, NOON), anna.send(PAUL, NIGHT)
    got, _ = paul.receive(2)
    assert (got["id"], got["text"]) == (sent, NOON)
    paul.ok("delete", sent)
    assert [m["text"] for m in paul.history(ANNA)] == ["hello", "hello too", NIGHT]
    assert NOON not in paul.ok("history", ANNA) and NIGHT in paul.ok("history", ANNA)
    assert paul.json("receive") == []
    assert sent not in {m["id"] for m in paul.history(ANNA)}
    assert [m["id"] for m in anna.history(PAUL) if m["outgoing"]][1:] == [sent, kept]
    search_files(SECRETS, paul.profile, anna.profile)
    anna.ok("delete", sent, kept)
    assert [m["text"] for m in anna.history(PAUL)] == ["hello", "hello too"]
    search_files(SECRETS, paul.profile, anna.profile)


# ---- the passphrase ------------------------------------------------------------------------


def passphrase_in(pid, passphrase):
    """Where a process shows or holds it."""
    places = memory(pid)
    for name in ("environ", "cmdline"):
        with open(f"/proc/{pid}/{name}", "rb") as f:
            places.append((name, f.read()))
    return found({"the passphrase": passphrase}, places)


def check_passphrase_from_file(lab):
    """Once a profile is open, its process has forgotten the passphrase that came from a file"""
    only_root()
    _, anna, _ = two(lab)
    chat = in_use(anna, anna.start("chat", PAUL, stdin=subprocess.PIPE))
    assert not (was := passphrase_in(chat.pid, anna.passphrase)), was
    # One beside it keeps it, as it may have to open the profile itself; so the search can find.
    follower = anna.start("receive", "--follow")
    until("the other process to have it", lambda: passphrase_in(follower.pid, anna.passphrase))
    until("it to be attached", lambda: len(os.listdir(f"/proc/{follower.pid}/fd")), lambda n: n > 4)
    assert not (was := passphrase_in(chat.pid, anna.passphrase)), was
    chat.write("quit\n")
    assert chat.wait().code == 0
    until("the other process to forget it", lambda: passphrase_in(follower.pid, anna.passphrase),
          lambda was: not was)
    assert anna.ok("status")


def check_passphrase_from_environment(lab):
    """SOTTO_PASSPHRASE is wiped from the environment, also where --passphrase-file goes first"""
    only_root()
    _, anna, _ = two(lab)
    for with_file in (False, True):
        env = {"SOTTO_PASSPHRASE": anna.passphrase, "SOTTO_MARKER": "can be found"}
        chat = in_use(anna, anna.start("chat", PAUL, stdin=subprocess.PIPE, passphrase=with_file,
                                       env=env))
        with open(f"/proc/{chat.pid}/environ", "rb") as f:
            environ = f.read()
        assert b"SOTTO_MARKER=can be found\0" in environ and b"SOTTO_PASSPHRASE" in environ
        assert not (was := passphrase_in(chat.pid, anna.passphrase)), was
        chat.write("quit\n")
        assert chat.wait().code == 0
    for option in ("--passphrase", "--passphrase="):
        said = lab.run([SOTTO, "--profile", anna.profile, option, anna.passphrase, "status"])
        assert said.code == 2, said  # no option takes it, so no list of processes shows it


def check_passphrase_typed(lab):
    """A passphrase that was typed, and one that was mistyped, are forgotten once it is open"""
    only_root()
    _, anna, _ = two(lab)
    chat = lab.terminal(anna.words("chat", PAUL, passphrase=False))
    chat.until("Passphrase:")
    chat.type("tulip-anchor-ninety\n")
    chat.until("wrong passphrase")
    assert found({"it": "wrong passphrase"}, memory(chat.pid()))
    chat.type(anna.passphrase + "\n")
    chat.until(f"{PAUL}, not verified, online")
    for passphrase in (anna.passphrase, "tulip-anchor-ninety"):
        assert not (was := passphrase_in(chat.pid(), passphrase)), was
        assert passphrase not in chat.everything()
    chat.key("C-d")
    assert chat.wait() == 0


def check_passphrase_of_first_start(lab):
    """A first start that signs up and then stays open has forgotten the passphrase"""
    only_root()
    relay = lab.relay()
    chat = lab.terminal([SOTTO], env={"XDG_DATA_HOME": lab.path("data"), "SOTTO_NO_BANNER": "1"},
                        rows=50)
    for question, answer in (("Invite link", relay.invite()), ("on another device?", "no"),
                             ("Name:", ANNA), ("New passphrase", PASSPHRASES[ANNA]),
                             ("once more:", PASSPHRASES[ANNA])):
        chat.until(question)
        if question == "New passphrase":
            until("the echo to be off", chat.settings, lambda s: "-echo" in s)
        chat.type(answer + "\n")
    chat.until("no chat open, online")
    assert found({"a name": ANNA}, memory(chat.pid()))
    assert not (was := passphrase_in(chat.pid(), PASSPHRASES[ANNA])), was
    chat.key("C-d")
    assert chat.wait() == 0


# ---- core dumps ----------------------------------------------------------------------------


def unlimited():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def crash(start, number, folder):
    """What it leaves there."""
    os.mkdir(folder)
    running = start(cwd=folder, preexec_fn=unlimited)
    running.signal(number)
    assert running.wait().code == -number
    return os.listdir(folder)


def cores_possible(lab):
    """Skips unless a process that does nothing about it leaves a core file in its folder."""
    try:
        left = crash(lambda **o: lab.start(["sleep", "1000"], **o), signal.SIGSEGV,
                     lab.path("control"))
    except (ValueError, subprocess.SubprocessError):
        raise sottolab.Skip("core files are limited here and the limit cannot be raised") from None
    if not left:
        raise sottolab.Skip("no program leaves core files in its folder here (core_pattern)")


def check_no_core(lab):
    """A crash of either program leaves no core file, though the limit allows one"""
    cores_possible(lab)
    relay, anna, paul = two(lab)
    relay.stop()
    programs = {
        "sottod": lambda **o: ready(lab.start(
            [SOTTOD, "--data", relay.data, "--listen", f"127.0.0.1:{relay.port}"], **o)),
        "sotto": lambda **o: in_use(anna, anna.start("chat", PAUL, stdin=subprocess.PIPE, **o)),
    }
    for name, start in programs.items():
        for number in (signal.SIGSEGV, signal.SIGABRT):
            left = crash(start, number, lab.path(f"{name}-{number}"))
            assert left == [], (name, number, left)
    search_files(SECRETS, relay.data, anna.profile)


def check_core_limit(lab):
    """Both programs run with a limit of 0 for core files, hard and soft"""
    relay, anna, _ = two(lab)
    chat = in_use(anna, anna.start("chat", PAUL, stdin=subprocess.PIPE))
    for pid in (relay.running.pid, chat.pid):
        with open(f"/proc/{pid}/limits") as f:
            limits = f.read()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE), limits


# ---- other users of the machine ------------------------------------------------------------


def nobody(lab):
    """Options that start a program as somebody else, who has a folder of his own to work in."""
    if os.geteuid() != 0:
        raise sottolab.Skip("only root can become another user")
    try:
        user = pwd.getpwnam("nobody")
    except KeyError:
        raise sottolab.Skip("there is no user nobody") from None
    home = lab.path("nobody")
    os.mkdir(home, 0o700)
    os.chown(home, user.pw_uid, user.pw_gid)
    options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": home}
    for program in (SOTTO, SOTTOD, sys.executable):
        try:
            assert lab.start([program, "--version"], **options).wait().code == 0
        except PermissionError:
            raise sottolab.Skip(f"another user cannot reach {program}") from None
    return options


def check_not_dumpable(lab):
    """Not even the same user can look into either of the programs, be it with a debugger"""
    bare = []
    if os.geteuid() == 0:  # without what makes root more than a user
        bare = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"]
        if shutil.which("setpriv") is None or lab.run([*bare, "true"]).code != 0:
            raise sottolab.Skip("root's privileges cannot be dropped here (setpriv)")
    relay, anna, _ = two(lab)
    relay.stop()
    sottod = ready(lab.start([*bare, SOTTOD, "--data", relay.data, "--listen", "127.0.0.1:0"]))
    follower = in_use(anna, lab.start([*bare, *anna.words("receive", "--follow")]))
    control = lab.start([*bare, "sleep", "1000"])
    for pid, closed in ((control.pid, False), (sottod.pid, True), (follower.pid, True)):
        for name in ("environ", "mem", "maps", "fd/0"):
            opened = lab.run([*bare, sys.executable, "-c",
                              "import sys; open(sys.argv[1], 'rb')", f"/proc/{pid}/{name}"])
            assert (opened.code != 0) == closed, (name, opened)
            assert not closed or "PermissionError" in opened.err, (name, opened)


def others_can_see(folder, but=()):
    return [(os.path.join(where, n), oct(mode)) for where, folders, names in os.walk(folder)
            for n in (*folders, *names, ".") if n not in but
            for mode in [stat.S_IMODE(os.lstat(os.path.join(where, n)).st_mode)]
            if mode != (0o700 if os.path.isdir(os.path.join(where, n)) else 0o600)]


def check_modes(lab):
    """All that the programs make is for its owner alone, also with a umask of 0"""
    public = ("server_cert.pem",)  # what it says every client is told anyway
    old = os.umask(0)
    try:
        with open(lab.path("open"), "w"):
            pass
        relay, anna, paul = two(lab)
        a, p = chats(anna, paul)
        for text in talk(a, p):
            pass
        seen = set()
        for folder, names in ((relay.data, ("relay.db", "relay.db-wal", "relay.db-shm", "lock",
                                            "cert")),
                              (anna.profile, ("vault", "vault.bak", "profile.db", "lock",
                                              "profile.db-wal", "engine.sock"))):
            assert set(names) <= set(os.listdir(folder)), os.listdir(folder)
            seen.update(others_can_see(folder, public))
        a.signal(signal.SIGKILL)
        relay.kill()
        a.wait()
        relay.start()
        anna.ok("status")
        for folder in (relay.data, anna.profile):
            seen.update(others_can_see(folder, public))
    finally:
        os.umask(old)
    assert not seen, seen
    assert others_can_see(lab.dir) != []  # the one that this test made


def check_open_files_are_refused(lab):
    """Vault, database or relay key that others can read are refused, with the way out, unchanged"""
    relay, anna, _ = two(lab)
    for name in ("vault", "vault.bak", "profile.db"):
        path = os.path.join(anna.profile, name)
        os.chmod(path, 0o640)
        said = anna.fails(4, "status")
        assert "chmod" in said and "read by others" in said, said
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
        os.chmod(path, 0o600)
    assert anna.json("status")[0]["name"] == ANNA
    os.chmod(anna.passphrase_file, 0o644)
    said = anna.run("status")
    assert said.code == 0 and "chmod 600" in said.err and anna.passphrase_file in said.err, said
    relay.stop()
    for name in ("relay.db", "cert/server_key.pem"):
        path = os.path.join(relay.data, name)
        os.chmod(path, 0o604)
        said = lab.run([SOTTOD, "--data", relay.data, "--listen", "127.0.0.1:0"])
        assert said.code == 1 and "chmod 600" in said.err and path in said.err, said
        os.chmod(path, 0o600)
    relay.start()


def check_open_profile_folder(lab):
    """A profile's folder that others can write to is refused before the passphrase is told anybody"""
    _, anna, _ = two(lab)
    with socket.socket(socket.AF_UNIX) as trap:  # what such a stranger would put there
        trap.bind(os.path.join(anna.profile, "engine.sock"))
        trap.listen()
        trap.settimeout(0)
        for mode in (0o777, 0o770, 0o1777):
            os.chmod(anna.profile, mode)
            for words in (("status",), ("chat", PAUL), ("send", PAUL, NOON),
                          ("register", "127.0.0.1:1", "--name", ANNA)):
                said = anna.fails(4, *words)
                assert "chmod go-w" in said, said
        try:
            peer, _ = trap.accept()
            raise AssertionError(f"was told {peer.recv(1000)!r}")
        except BlockingIOError:
            pass
    os.unlink(os.path.join(anna.profile, "engine.sock"))
    os.chmod(anna.profile, 0o700)
    assert anna.json("status")[0]["name"] == ANNA


KNOCK = """
import contextlib, socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(20)
    try:
        s.connect("profile/engine.sock")
    except PermissionError:
        sys.exit(print("no way in"))
    got = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        s.sendall(b"\\0\\0\\0\\4\\1\\0\\0\\0")
        got = s.recv(100)
    print("told", got.hex())
"""


def check_control_socket(lab):
    """The socket of a running engine is closed to other users, even where its modes are opened"""
    options = nobody(lab)
    relay = lab.relay()
    anna = sottolab.Person(lab, ANNA, "nobody/profile", PASSPHRASES[ANNA]).register(relay)
    chat = in_use(anna, anna.start("receive", "--follow"))
    path = os.path.join(anna.profile, "engine.sock")

    def knock(**who):
        done = lab.start([sys.executable, "-c", KNOCK], **{**options, **who}).wait()
        assert done.code == 0, done
        return done.out.strip()
    assert knock(user=0, group=0) == "told 000000020100"  # so the knocking is right
    assert knock() == "no way in"
    os.chmod(anna.profile, 0o711)
    assert knock() == "no way in"
    os.chmod(path, 0o666)
    assert knock() == "told"
    assert chat.process.poll() is None


# ---- logs ----------------------------------------------------------------------------------


def check_logs(lab):
    """Neither program's stderr holds a text, a passphrase, a code, a key or both ends of a message"""
    results, run = [], lab.run

    def recorded(*words, **options):
        results.append(run(*words, **options))
        return results[-1]
    lab.run = recorded
    relay, anna, paul = two(lab)
    a, p = chats(anna, paul)
    for text in talk(a, p):
        pass
    for chat in (a, p):
        chat.write("quit\n")
        results.append(chat.wait())
    used = relay.invite()
    lab.person("stranger-at-the-gate").ok("register", used, "--name", "stranger-at-the-gate")
    lab.person("somebody-late").fails(1, "register", used, "--name", "somebody-late")
    wrong = sottolab.Person(lab, ANNA, "wrong", "tulip-anchor-ninety")
    wrong.fails(4, "login", relay.address, "--name", ANNA, "--pin", relay.pin)
    wrong.passphrase_file = anna.passphrase_file
    anna.fails(5, "send", "nobody-of-this-name", NOON)
    anna.run("status", passphrase=False, env={"SOTTO_PASSPHRASE": "tulip-anchor-ninety"})
    with socket.create_connection(("127.0.0.1", relay.port)) as plain:
        plain.sendall(NIGHT.encode())
    relay.running.until_err("peer ")
    unused = relay.invite()
    waits = anna.send(PAUL, NOON)
    relay.kill()
    anna.fails(3, "send", PAUL, NIGHT)
    relay.start()
    anna.ok("receive")
    paul.receive(2)
    anna.ok("delete", waits)
    anna.ok("account", "delete", "--yes")
    relay.stop()

    secrets = {**SECRETS, "a wrong passphrase": "tulip-anchor-ninety"}
    for name, link in (("a used code", used), ("an unused code", unused)):
        data = link.rsplit("/", 1)[1]
        raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
        at = 34 + 32 * raw[33]
        secrets[name], secrets[name + "'s link"] = raw[at + 1:at + 17], data
    with sqlite3.connect(f"file:{relay.data}/relay.db?mode=ro", uri=True) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            for row in db.execute(f"SELECT * FROM {table}"):
                secrets.update({f"{table} {v[:8].hex()}": v[:64] for v in row
                                if isinstance(v, bytes) and len(v) >= 16})
    assert len(secrets) > 20
    log = relay.log
    assert found({"it": ANNA}, [("log", log.encode())]), log
    was = found(secrets, [("the log", log.encode())])
    was += found(secrets, [("stderr of " + r.words[-1], r.err.encode()) for r in results])
    assert not was, was
    assert found({"it": NOON}, [("stdout", r.raw) for r in results])
    for line in log.splitlines():
        assert sum(name in line for name in (ANNA, PAUL, "stranger-at-the-gate")) <= 1, line
        assert not re.search(r"[0-9a-fA-F]{16}|(?<!sha256:)\b[A-Za-z0-9_-]{40}", line), line


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
