#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""sottod check: each fault is found, its mending works when it is done as it says, and nothing is a fault
that is none."""
import datetime
import os
import re
import shutil
import signal
import sqlite3
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from sottolab import SOTTOD  # noqa: E402


def check(lab, relay, *options):
    return lab.run([SOTTOD, "check", "--data", relay.data, *options])


def lines(result, how):
    return [line for line in result.out.splitlines() if line.startswith(how)]


def sound(lab, relay, *options):
    result = check(lab, relay, *options)
    assert result.code == 0 and not lines(result, "FAULT"), result
    return result


def fault(lab, relay, *texts):
    """The one fault, which says all of that."""
    result = check(lab, relay)
    found = lines(result, "FAULT")
    assert result.code == 1 and len(found) == 1, result
    assert all(text in found[0] for text in texts), (texts, found)
    assert result.out.splitlines()[-1].startswith("1 fault,"), result
    return found[0]


def mend(lab, line, command):
    """Does what the line says: the command that it ends with."""
    done = lab.run(["sh", "-c", line[line.index(command):]])
    assert done.code == 0, done


def stopped_relay(lab):
    relay = lab.relay()
    relay.stop()
    return relay


def check_permissions(lab):
    """Files that others can read or change: the command that it names mends it"""
    relay = stopped_relay(lab)
    sound(lab, relay)
    for name, mode, command in (("relay.db", 0o640, "chmod 600"), ("audit.log", 0o604, "chmod 600"),
                                ("lock", 0o620, "chmod 600"), ("cert", 0o777, "chmod go-w"),
                                ("cert/server_key.pem", 0o644, "chmod 600")):
        path = os.path.join(relay.data, name)
        if name == "audit.log":
            relay.invite()
        os.chmod(path, mode)
        result = check(lab, relay)
        assert result.code == 1, result
        mend(lab, next(line for line in lines(result, "FAULT") if command in line), command)
        sound(lab, relay)


def check_owners(lab):
    """A file of somebody else's: so does that"""
    if os.geteuid() != 0:
        raise sottolab.Skip("only root can give files away")
    relay = stopped_relay(lab)
    os.chown(os.path.join(relay.data, "relay.db"), 65534, 65534)
    mend(lab, fault(lab, relay, "belongs to user 65534"), "chown")
    sound(lab, relay)


def foreign_certificate(relay, days):
    """As if by another authority, for the key that there is."""
    folder = os.path.join(relay.data, "cert")
    with open(os.path.join(folder, "server_key.pem"), "rb") as f:
        key = load_pem_private_key(f.read(), None)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.example.org")])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Some Authority")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(
        issuer, name, key.public_key(), x509.random_serial_number(),
        now - datetime.timedelta(days=90), now + datetime.timedelta(days=days)).sign(
            key, hashes.SHA256())
    with open(os.path.join(folder, "server_cert.pem"), "wb") as f:
        f.write(made.public_bytes(serialization.Encoding.PEM))


def check_certificate(lab):
    """A foreign certificate that ends soon is a note, then a fault; a pair that is none is one"""
    relay = stopped_relay(lab)
    foreign_certificate(relay, 60)
    assert "foreign, until" in sound(lab, relay).out
    foreign_certificate(relay, 20)
    assert any("time for a new one" in line for line in lines(sound(lab, relay), "NOTE"))
    foreign_certificate(relay, 3)
    fault(lab, relay, "certificate", "for the same key", "SIGHUP")
    foreign_certificate(relay, -3)
    fault(lab, relay, "certificate", "expired on", "for the same key")
    foreign_certificate(relay, 60)
    sound(lab, relay)
    other = stopped_relay(lab)
    shutil.copy(os.path.join(other.data, "cert", "server_cert.pem"), os.path.join(relay.data, "cert"))
    fault(lab, relay, "certificate", "do not belong together")


def check_clock(lab):
    """A clock that is behind what was written"""
    relay = stopped_relay(lab)
    database = os.path.join(relay.data, "relay.db")
    later = datetime.datetime.now().timestamp() + 86400
    os.utime(database, (later, later))
    fault(lab, relay, "clock", "timedatectl set-ntp true")
    os.utime(database)
    sound(lab, relay)


def check_database(lab):
    """A database of a newer version, a damaged one, one without the relay in it"""
    relay = stopped_relay(lab)
    database = os.path.join(relay.data, "relay.db")
    shutil.copy(database, lab.path("whole"))

    def change(sql):
        with sqlite3.connect(database) as db:
            db.execute(sql)
        db.close()

    change("PRAGMA user_version = 1000")
    fault(lab, relay, "database", "newer")
    shutil.copy(lab.path("whole"), database)
    sound(lab, relay)
    with open(database, "r+b") as f:
        f.seek(4096 * 3)
        f.write(os.urandom(4096 * 4))
    fault(lab, relay, "database", "damaged", "sottod restore FROM")
    shutil.copy(lab.path("whole"), database)
    sound(lab, relay)


def check_audit_log(lab):
    """A log of actions that was changed"""
    relay = lab.relay()
    for _ in range(3):
        relay.invite()
    path = os.path.join(relay.data, "audit.log")
    with open(path, "rb") as f:
        whole = f.read()
    with open(path, "wb") as f:
        f.write(b"".join(whole.splitlines(keepends=True)[1:]))
    fault(lab, relay, "audit log", "line 1 ", "ask who had access")
    with open(path, "wb") as f:
        f.write(whole)
    sound(lab, relay)


def check_config(lab):
    """A mode of registration that lets nobody in is a fault, one that lets everybody in a note"""
    relay = stopped_relay(lab)
    result = check(lab, relay, "--registration", "code")
    assert result.code == 1 and "use invite, open or closed" in lines(result, "FAULT")[0], result
    assert any("registration = invite" in line
               for line in lines(sound(lab, relay, "--registration", "open"), "NOTE"))
    assert any("ulimit -n" in line
               for line in lines(sound(lab, relay, "--max-connections", "1000000"), "NOTE"))


def check_relay(lab):
    """A relay that runs and does not answer is a fault, none that runs is a note"""
    relay = lab.relay()
    assert any("runs, and answers" in line for line in lines(sound(lab, relay), "ok"))
    relay.running.signal(signal.SIGSTOP)
    try:
        fault(lab, relay, "relay", "does not answer to commands", "start it again")
    finally:
        relay.running.signal(signal.SIGCONT)
    sound(lab, relay)
    relay.stop()
    assert any("none runs" in line for line in lines(sound(lab, relay), "NOTE"))


def check_nothing_changes(lab):
    """It changes nothing, whatever it finds"""
    relay = stopped_relay(lab)
    os.chmod(os.path.join(relay.data, "relay.db"), 0o640)

    def all_of_it():
        return {(where, name): (os.stat(os.path.join(where, name)).st_mode,
                                open(os.path.join(where, name), "rb").read())
                for where, _, names in os.walk(relay.data) for name in names
                if not re.search(r"^lock$|-(wal|shm)$", name)}  # who has it, and what SQLite needs
    before = all_of_it()
    assert check(lab, relay).code == 1
    after = all_of_it()
    assert after == before, [name for name in {*before, *after} if before.get(name) != after.get(name)]


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items())
                   if name.startswith("check_")])
