#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
"""sottod check: each fault is found, its mending works when it is done as it says, and nothing is a fault
that is none."""
import contextlib
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
from test_disk import relay_on, small_disk  # noqa: E402


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


def check_folder(lab):
    """A folder that others can list is a note, one that they can change a fault; so is none, or a file"""
    relay = stopped_relay(lab)
    os.chmod(relay.data, 0o755)
    line = next(n for n in lines(sound(lab, relay), "NOTE") if "others may list" in n)
    assert lab.run(["sh", "-c", re.search("chmod 700 [^ ]+", line)[0]]).code == 0
    assert "others may list" not in sound(lab, relay).out
    os.chmod(relay.data, 0o770)
    mend(lab, fault(lab, relay, "folder", "can be changed by others"), "chmod go-w")
    sound(lab, relay)
    whole, relay.data = relay.data, lab.path("nowhere")
    fault(lab, relay, "folder", "No such file", "start the relay once", "--data")
    relay.data = os.path.join(whole, "relay.db")
    fault(lab, relay, "folder", "is not a folder", "--data")


def check_new_folder(lab):
    """A folder in which no relay ran yet is sound: what is missing is made by the first start"""
    relay = stopped_relay(lab)
    relay.data = lab.path("new")
    os.mkdir(relay.data, 0o700)
    out = sound(lab, relay).out
    assert out.count("none yet; the relay makes one when it starts") == 2, out
    assert "0 actions" in out, out


def check_log_of_the_database(lab):
    """The database's log and its index, which are there while the relay runs"""
    relay = lab.relay()
    for name in ("relay.db-wal", "relay.db-shm"):
        os.chmod(os.path.join(relay.data, name), 0o644)
        mend(lab, fault(lab, relay, name, "can be read or changed by others"), "chmod 600")
    sound(lab, relay)


def check_socket(lab):
    """The operator's socket, open to others"""
    relay = lab.relay()
    os.chmod(os.path.join(relay.data, "operator.sock"), 0o666)
    mend(lab, fault(lab, relay, "operator.sock", "can be read or changed by others"), "chmod 600")
    sound(lab, relay)


def check_root(lab):
    """A folder of root's is a note, with its mending; one of a user of its own is not"""
    if os.geteuid() != 0:
        raise sottolab.Skip("only root can give files away")
    relay = stopped_relay(lab)
    assert any("--user NAME" in n for n in lines(sound(lab, relay), "NOTE"))
    os.chmod(lab.dir, 0o755)
    database = os.path.join(relay.data, "relay.db")
    assert lab.run(["chown", "-R", "65534:65534", relay.data]).code == 0
    assert "--user NAME" not in sound(lab, relay).out
    os.chown(database, 0, 0)
    result = check(lab, relay)
    found = lines(result, "FAULT")
    assert result.code == 1 and len(found) == 2 and "Permission denied" in found[1], result
    mend(lab, found[0], "chown")
    sound(lab, relay)


def check_linked_certificate(lab):
    """Certificate and key that another program keeps elsewhere: the link is no fault, its target may be"""
    relay = stopped_relay(lab)
    os.mkdir(lab.path("elsewhere"))
    for name in ("server_cert.pem", "server_key.pem"):
        at, to = os.path.join(relay.data, "cert", name), lab.path(f"elsewhere/{name}")
        os.rename(at, to)
        os.symlink(to, at)
    sound(lab, relay)
    os.chmod(to, 0o644)
    result = check(lab, relay)
    assert result.code == 1, result
    mend(lab, next(line for line in lines(result, "FAULT") if "chmod 600" in line), "chmod 600")
    sound(lab, relay)


def check_next_key(lab):
    """The key that is to come next: readable for others, or not usable, so that it is not announced"""
    relay = stopped_relay(lab)
    assert lab.run([SOTTOD, "rotate", "--data", relay.data]).code == 0
    sound(lab, relay)
    key = os.path.join(relay.data, "cert", "next", "server_key.pem")
    os.chmod(key, 0o644)
    result = check(lab, relay)
    assert result.code == 1, result
    mend(lab, next(line for line in lines(result, "FAULT") if "chmod 600" in line), "chmod 600")
    sound(lab, relay)
    with open(key, "r+b") as f:
        f.truncate(20)
    fault(lab, relay, "certificate", "cert/next", "not announced", "sottod rotate")
    shutil.rmtree(os.path.dirname(key))
    sound(lab, relay)


def check_certificate_unreadable(lab):
    """A certificate that is none"""
    relay = stopped_relay(lab)
    with open(os.path.join(relay.data, "cert", "server_cert.pem"), "wb") as f:
        f.write(b"nothing of the kind\n")
    fault(lab, relay, "certificate", "server_cert.pem")


def check_inodes(lab):
    """A disk with room and without room for files"""
    with small_disk(lab, 400, "-N", "2000") as folder:
        relay = relay_on(lab, folder)
        relay.stop()
        sound(lab, relay)
        os.mkdir(os.path.join(folder, "many"))
        for n in range(os.statvfs(folder).f_favail - 900):
            with open(os.path.join(folder, "many", str(n)), "wb"):
                pass
        fault(lab, relay, "disk", "only 900 more files", "remove some")
        shutil.rmtree(os.path.join(folder, "many"))
        sound(lab, relay)


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *ret)
{
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, ret);
    if (id == CLOCK_REALTIME)
        ret->tv_sec -= atoi(getenv("BEHIND"));
    return result;
}
int adjtimex(struct timex *t)
{
    t->status = atoi(getenv("STATUS"));
    return 0;
}
"""
YEARS = 3 * 365 * 86400 + (int(datetime.datetime.now().timestamp()) - 1767225600)


def check_clock_of_the_machine(lab):
    """A clock from before the program was written; one that nothing keeps right is a note"""
    with open(lab.path("clock.c"), "w") as f:
        f.write(CLOCK)
    if shutil.which("cc") is None or \
            lab.run(["cc", "-shared", "-fPIC", "-o", lab.path("clock.so"), lab.path("clock.c")]).code != 0:
        raise sottolab.Skip("there is no compiler to make another clock with")
    relay = stopped_relay(lab)
    relay.data = lab.path("new")
    os.mkdir(relay.data, 0o700)

    def with_clock(behind, status):
        return lab.run([SOTTOD, "check", "--data", relay.data], env={
            "LD_PRELOAD": lab.path("clock.so"), "BEHIND": str(behind), "STATUS": str(status)})
    result = with_clock(0, 0)
    assert result.code == 0 and "right, as far as this machine knows" in result.out, result
    result = with_clock(0, 0x40)  # STA_UNSYNC
    assert result.code == 0 and "set-ntp true" in "".join(lines(result, "NOTE")), result
    result = with_clock(YEARS, 0)
    found = lines(result, "FAULT")
    assert result.code == 1 and len(found) == 1 and "timedatectl set-ntp true" in found[0], result
    assert "clock" in found[0] and "database" not in found[0], result


def check_store(lab):
    """A database without the relay's identity, one that somebody holds, one that is nearly used up"""
    relay = stopped_relay(lab)
    database = os.path.join(relay.data, "relay.db")
    shutil.copy(database, lab.path("whole"))
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("UPDATE meta SET value = value")
        db.commit()
        fault(lab, relay, "database", "in use by another process", "end that one")
    sound(lab, relay)
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("DELETE FROM meta")
        db.commit()
    fault(lab, relay, "database", "identity", "sottod restore FROM")
    shutil.copy(lab.path("whole"), database)
    sound(lab, relay)
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", ((0x7fffff - 12).to_bytes(4, "big"),))
        db.commit()
    assert any("started 12 times more" in n for n in lines(sound(lab, relay), "NOTE"))


def check_not_files(lab):
    """An audit log, or a lock, that cannot be opened"""
    relay = stopped_relay(lab)
    for name, what in (("audit.log", "audit log"), ("lock", "relay")):
        at = os.path.join(relay.data, name)
        if os.path.exists(at):
            os.rename(at, lab.path(name))
        os.mkdir(at, 0o700)
        fault(lab, relay, what, name, "directory")
        os.rmdir(at)
        if os.path.exists(lab.path(name)):
            os.rename(lab.path(name), at)
        sound(lab, relay)


def check_config_file(lab):
    """A config file that is understood is said to be, and its settings are what is judged"""
    relay = stopped_relay(lab)
    with open(lab.path("conf"), "w") as f:
        f.write(f"data = {relay.data}\nregistration = open\n")
    result = lab.run([SOTTOD, "check", "--config", lab.path("conf")])
    assert result.code == 0 and "conf is understood" in result.out, result
    assert any("registration = invite" in n for n in lines(result, "NOTE")), result
    assert "give the one of your relay with --config" in sound(lab, relay).out


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
