#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The relay as a service: sandbox, service manager, reload, metrics, log lines."""
# sanitizers: address, thread
import contextlib
import errno
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import puppet  # noqa: E402
import rogue  # noqa: E402
import sottolab  # noqa: E402
from rogue import Account  # noqa: E402
from sottolab import BUILD, SANITIZER, SOTTOD, SOURCE, until  # noqa: E402


CLOSED = "this relay takes no new accounts"


def status(pid):
    """{thread: {field: words}} of /proc/PID/task/*/status."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            found[task] = {line.split(":")[0]: line.split()[1:] for line in f}
    return found


def kernel_has_seccomp():
    with open("/proc/self/status") as f:
        return "Seccomp:" in f.read()


def need_sandbox():
    if SANITIZER:
        raise sottolab.Skip("sanitizers need what the sandbox forbids; their build has none")
    if not kernel_has_seccomp():
        raise sottolab.Skip("this kernel has no seccomp")


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def hup(relay, text):
    """Reloads and waits for that in the log."""
    relay.running.signal(signal.SIGHUP)
    relay.running.until_err(text)


# ---- sandbox -------------------------------------------------------------------------------


def check_sandbox(lab):
    """Every thread of a relay has its system calls filtered, and no way to new rights"""
    need_sandbox()
    relay = lab.relay("--threads", "3")
    threads = status(relay.running.pid)
    assert len(threads) >= 3, threads
    for thread, fields in threads.items():
        assert fields["Seccomp"] == ["2"], (thread, fields["Seccomp"])
        assert fields["NoNewPrivs"] == ["1"], (thread, fields["NoNewPrivs"])
    relay.running.until_err("sandbox: seccomp, ")


def kernel_has_landlock(relay):
    return "Landlock" in relay.running.until_err("sandbox: ").split("sandbox: ", 1)[1].split("\n")[0]


def tries(relay, secret):
    """What a relay gets that was taken over: a file outside its folder that its user may read, one of
    its own, a socket, a process."""
    with puppet.Puppet(relay.running.pid) as p:
        assert p.call("getpid") == relay.running.pid
        found = {"outside": p.call("openat", -100, p.text(secret), os.O_RDONLY),
                 "own": p.call("openat", -100, p.text(os.path.join(relay.data, "relay.db")),
                               os.O_RDONLY),
                 "socket": p.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)}
        for fd in found.values():
            if fd >= 0:
                p.call("close", fd)
    return found


def check_sandbox_tried(lab):
    """A relay of root's with --user that is taken over: no file outside, no call, no program, no way back
    to root, though its user might; without the sandbox it can"""
    need_sandbox()
    if not puppet.possible():
        raise sottolab.Skip("takes root and x86-64")
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise sottolab.Skip("there is no user nobody") from None
    os.chmod(lab.dir, 0o755)
    secret = lab.path("secret")
    write(secret, "that everybody may read")
    open_relay = lab.relay("--user", "nobody", "--no-sandbox")
    try:
        assert all(fd >= 0 for fd in tries(open_relay, secret).values())
    except PermissionError:
        raise sottolab.Skip("nobody may look into another process here") from None
    relay = lab.relay("--user", "nobody")
    for fields in status(relay.running.pid).values():
        assert set(fields["Uid"]) == {str(nobody.pw_uid)} and int(fields["CapEff"][0], 16) == 0
        assert fields["Seccomp"] == ["2"] and fields["NoNewPrivs"] == ["1"], fields
    found = tries(relay, secret)
    assert found["own"] >= 0 and found["socket"] == -errno.EPERM, found
    if kernel_has_landlock(relay):
        assert found["outside"] == -errno.EACCES, found
    alice, bob = lab.people(relay, "alice", "bob")  # it goes on
    alice.befriend(bob)
    for call in (("setuid", 0), ("execve", "/bin/true", 0, 0)):
        try:
            with puppet.Puppet(relay.running.pid) as p:
                got = p.call(call[0], *(p.text(a) if isinstance(a, str) else a for a in call[1:]))
            raise AssertionError(f"{call} was answered {got}")
        except puppet.Ended as e:
            assert e.args[0] == signal.SIGSYS, (call, e.args)
        relay.running.end()
        relay.start()
    bob.send("alice", "nothing is lost")
    assert alice.receive()[0]["text"] == "nothing is lost"


def check_sandbox_keeps_out(lab):
    """A certificate that is linked to somewhere else after the start is not read; after a restart it
    is"""
    need_sandbox()
    relay, other = lab.relay(), lab.relay()
    if not kernel_has_landlock(relay):
        raise sottolab.Skip("this kernel has no Landlock")
    os.mkdir(lab.path("elsewhere"))
    for name in ("server_cert.pem", "server_key.pem"):
        own = os.path.join(relay.data, "cert", name)
        shutil.copy(os.path.join(other.data, "cert", name), lab.path("elsewhere"))
        os.symlink(lab.path(f"elsewhere/{name}"), own + ".new")
        os.rename(own + ".new", own)
    hup(relay, "the certificate was not reloaded")
    assert relay.pin in relay.running.until_err("new connections get").split("new connections get")[1]
    relay.stop()
    relay.start()
    assert relay.pin == other.pin


def check_sandbox_off(lab):
    """--no-sandbox, or sandbox = off: there is none, and the log says what is lost"""
    write(lab.path("conf"), "sandbox = off\n")
    for options in (["--no-sandbox"], ["--sandbox", "off"], ["--config", lab.path("conf")]):
        relay = lab.relay(*options)
        assert {f["Seccomp"][0] for f in status(relay.running.pid).values()} == {"0"}
        relay.running.until_err("sandbox: off")
        assert "can start programs" in relay.running.err, relay.running.err
        relay.stop()


def check_sanitizer_build(lab):
    """A build with sanitizers has no sandbox, and says so"""
    if not SANITIZER:
        raise sottolab.Skip("this is no build with sanitizers")
    lab.relay().running.until_err("sandbox: none in this build")


def check_everything_works_inside(lab):
    """People, mail, invites, a new certificate and a restart, all in the sandbox"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    alice.send("bob", "stored")
    relay.stop()
    relay.start()
    assert bob.receive()[0]["text"] == "stored"
    # The relay makes a pair anew, with temporary files and renaming.
    for name in ("server_cert.pem", "server_key.pem"):
        os.remove(os.path.join(relay.data, "cert", name))
    relay.running.signal(signal.SIGHUP)
    until("a new certificate",
          lambda: os.path.exists(os.path.join(relay.data, "cert", "server_cert.pem")))
    assert relay.invite().startswith("sotto:"), relay.invite()
    assert relay.running.process.poll() is None, relay.running.err
    assert relay.stop().code == 0


def check_linked_certificate(lab):
    """A certificate that another program keeps elsewhere and renews is read again in the sandbox"""
    relay, other = lab.relay(), lab.relay()
    relay.stop()
    os.makedirs(lab.path("acme/archive"))
    for name in ("server_cert.pem", "server_key.pem"):
        own = os.path.join(relay.data, "cert", name)
        os.rename(own, lab.path(f"acme/archive/1-{name}"))
        os.symlink(lab.path(f"acme/archive/1-{name}"), own)
    relay.start()
    for name in ("server_cert.pem", "server_key.pem"):
        own, fresh = os.path.join(relay.data, "cert", name), lab.path(f"acme/archive/2-{name}")
        shutil.copy(os.path.join(other.data, "cert", name), fresh)
        os.symlink(fresh, own + ".new")
        os.rename(own + ".new", own)
    hup(relay, other.pin)


def check_root_warns(lab):
    """A relay that runs as root says what that means"""
    if os.geteuid() != 0:
        raise sottolab.Skip("only root can run a relay as root")
    lab.relay().running.until_err("runs as root")


def check_database_of_others(lab):
    """A database that others can read is refused with its mending: it holds the relay's identity"""
    relay = lab.relay()
    relay.stop()
    database = os.path.join(relay.data, "relay.db")
    assert os.stat(database).st_mode & 0o077 == 0
    os.chmod(database, 0o644)
    result = lab.run([SOTTOD, "--data", relay.data, "--listen", "127.0.0.1:0"])
    assert result.code == 1 and f"chmod 600 {database}" in result.err, result
    os.chmod(database, 0o600)
    relay.start()


# ---- the service manager -------------------------------------------------------------------


class Manager:
    """Holds the socket that a service manager would; collects what it is told."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(sottolab.PATIENCE)
        self.env = {"NOTIFY_SOCKET": address}

    def told(self):
        """The next message as a dict."""
        lines = self.socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def until(self, key):
        """The next one that has it; others are left out."""
        while key not in (message := self.told()):
            assert "STOPPING" not in message, message
        return message


def watched(lab, address, **env):
    manager = Manager(address)
    running = lab.start([SOTTOD, "--data", lab.path("d" + str(len(lab.running))), "--listen",
                         "127.0.0.1:0"], env={**manager.env, **env})
    return manager, running


def check_notify(lab):
    """The service manager hears of readiness, reload with its time, and the stop"""
    for address in (lab.path("notify"), f"@sotto-test-{os.getpid()}"):
        manager, running = watched(lab, address)
        message = manager.told()
        assert message["READY"] == "1" and "127.0.0.1:" in message["STATUS"], message
        running.until_out("sottod ready")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        running.signal(signal.SIGHUP)
        message = manager.told()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert message["RELOADING"] == "1", message
        assert before <= int(message["MONOTONIC_USEC"]) <= after, (before, message, after)
        assert manager.told()["READY"] == "1"
        running.signal(signal.SIGTERM)
        assert manager.told()["STOPPING"] == "1"
        assert running.wait().code == 0


def check_watchdog(lab):
    """The service manager hears more often than it asks that the relay is alive"""
    manager, running = watched(lab, lab.path("notify"), WATCHDOG_USEC="200000")
    for _ in range(5):
        assert manager.until("WATCHDOG") == {"WATCHDOG": "1"}
    running.signal(signal.SIGTERM)
    manager.until("STOPPING")
    other, running = watched(lab, lab.path("other"), WATCHDOG_USEC="200000", WATCHDOG_PID="1")
    other.until("READY")
    running.signal(signal.SIGTERM)
    assert "STOPPING" in other.told()  # nothing in between: that watchdog is another's


def check_notify_nobody(lab):
    """A manager that is not there keeps no relay from running"""
    running = lab.start([SOTTOD, "--data", lab.path("d"), "--listen", "127.0.0.1:0"],
                        env={"NOTIFY_SOCKET": lab.path("nobody")})
    running.until_out("sottod ready")
    running.until_err("NOTIFY_SOCKET")


def check_unit(lab):
    """The systemd unit is well formed and leaves the relay little"""
    if shutil.which("systemd-analyze") is None:
        raise sottolab.Skip("systemd-analyze is not installed")
    with open(os.path.join(SOURCE, "scripts/sottod.service.in")) as f:
        text = f.read().replace("@bindir@", BUILD).replace("@docdir@", "/usr/share/doc/sotto")
    assert "@" not in re.sub(r"@[a-z-]+( |$)", "", text, flags=re.MULTILINE), text
    unit = lab.path("sottod.service")
    write(unit, text)
    done = lab.run(["systemd-analyze", "verify", "--man=no", unit])
    assert done.code == 0 and unit not in done.err, done
    done = lab.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager",
                    unit])
    if "nrecognized option" in done.err:
        raise sottolab.Skip("this systemd-analyze cannot look at files")
    assert done.code == 0, done


# ---- reload --------------------------------------------------------------------------------


def check_reload(lab):
    """SIGHUP takes what can change while the relay runs, names what cannot; flags stay above the file"""
    os.mkdir(lab.path("etc"))
    conf = lab.path("etc/sottod.conf")
    write(conf, "registration = closed\nquota_messages = 5\n")
    relay = lab.relay("--config", conf, "--lifetime-days", "3")
    carol = lab.person("carol")
    assert CLOSED in carol.run("register", relay.invite(), "--name", "carol").err
    # Another file under the same name, as editors write them.
    write(conf + "~", "registration = open\nquota_messages = 6\nlifetime_days = 9\n"
                      "listen = 127.0.0.1:1\nuser = nobody\nmetrics = 127.0.0.1:1\n")
    os.rename(conf + "~", conf)
    hup(relay, "the settings were reloaded")
    # listen and lifetime_days stand on the command line.
    relay.running.until_err("change with a restart only: user, metrics\n")
    carol.register(relay)


def check_reload_rates(lab):
    """Other rates are at once those of people who stay connected: lower ones, and higher ones for whoever
    had to wait"""
    os.mkdir(lab.path("etc"))
    conf = lab.path("etc/sottod.conf")

    def reload(rate):
        write(conf, f"registration = open\nbytes_per_second = {rate}\n")
        before = relay.running.err.count("the settings were reloaded")
        relay.running.signal(signal.SIGHUP)
        until("the reload", lambda: relay.running.err.count("the settings were reloaded"),
              lambda n: n > before)
    write(conf, "registration = open\n")
    relay = lab.relay("--config", conf)
    with Account(relay, "mallory").connect() as c:
        reload(1000)
        big = rogue.request(7, 26, rogue.data(9, bytes(120000)))  # two minutes' worth
        assert c.ask(big)[0] == rogue.DONE and c.send(rogue.ping(8))
        c.patience(2)
        assert c.answer(8) is None, "that was no limit"
        reload(0)
        c.patience(sottolab.PATIENCE)
        assert c.answer(8)[0] == rogue.DONE


def check_reload_refused(lab):
    """A config file with a mistake is refused as a whole, with file and line; the one before stays"""
    os.mkdir(lab.path("etc"))
    conf = lab.path("etc/sottod.conf")
    write(conf, "registration = open\n")
    relay = lab.relay("--config", conf)
    write(conf, "registration = closed\nquota_messages = 5\nquota_bytes = lots\n")
    hup(relay, "those before stay")
    assert f"{conf}:3:" in relay.running.err and "quota_bytes" in relay.running.err
    lab.person("alice").register(relay)  # open still, though line 1 says closed
    os.remove(conf)
    relay.running.signal(signal.SIGHUP)
    until("a line about the missing file", lambda: relay.running.err.count("those before stay"),
          lambda n: n == 2)
    lab.person("bob").register(relay)
    write(conf, "registration = closed\n")
    hup(relay, "the settings were reloaded")
    carol = lab.person("carol")
    assert CLOSED in carol.run("register", relay.invite(), "--name", "carol").err


def check_reload_max_connections(lab):
    """max_connections can be lowered and raised while people are there"""
    os.mkdir(lab.path("etc"))
    conf = lab.path("etc/sottod.conf")
    write(conf, "max_connections = 1\n")
    relay = lab.relay("--config", conf)
    with socket.create_connection(("127.0.0.1", relay.port)) as first:
        first.settimeout(sottolab.PATIENCE)
        with socket.create_connection(("127.0.0.1", relay.port)) as second:
            second.settimeout(sottolab.PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                assert second.recv(1) == b""
        relay.running.until_err("max_connections")
        write(conf, "max_connections = 10\n")
        hup(relay, "the settings were reloaded")
        lab.person("alice").register(relay)


def check_example(lab):
    """Every line of the example of a config file is understood"""
    with open(os.path.join(SOURCE, "docs/sottod.conf.example")) as f:
        lines = [re.sub(r"^#(\w+ = )", r"\1", line) for line in f]
    assert sum(not line.startswith(("#", "\n")) for line in lines) > 15, lines
    write(lab.path("conf"), "".join(lines) + "the_last_line = 1\n")
    result = lab.run([SOTTOD, "--config", lab.path("conf")])
    assert result.code == 1, result
    assert f"{lab.path('conf')}:{len(lines) + 1}: there is no setting" in result.err, result


# ---- metrics -------------------------------------------------------------------------------


def metrics_port(relay):
    line = relay.running.until_err("metrics at http://")
    return int(re.search(r"metrics at http://127\.0\.0\.1:(\d+)/metrics", line)[1])


def ask(port, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=sottolab.PATIENCE)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def values(port):
    code, text = ask(port, "/metrics")
    assert code == 200, text
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines() if not line.startswith("#")}


def check_metrics(lab):
    """What Prometheus reads follows what people do, and names none of them"""
    relay = lab.relay("--metrics", "127.0.0.1:0")
    port = metrics_port(relay)
    start = values(port)
    assert start["sottod_connections"] == start["sottod_sign_ups_total"] == 0
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    alice.send("bob", "one")
    now = values(port)
    assert now["sottod_sign_ups_total"] == 2
    assert now["sottod_sign_ins_total"] >= 4
    assert now["sottod_messages_waiting"] >= 1
    assert now['sottod_messages_total{way="stored"}'] >= 3
    assert now["sottod_messages_waiting_bytes"] >= 256
    assert now["sottod_commit_seconds_count"] > 0
    assert now["sottod_turn_seconds_count"] >= now["sottod_commit_seconds_count"]
    assert now["sottod_open_files"] > 5
    assert now["sottod_database_bytes"] + now["sottod_database_log_bytes"] > 16384
    assert 700 * 86400 < now["sottod_certificate_seconds"] < 740 * 86400
    bob.receive()
    until("the mailbox to be empty", lambda: values(port), lambda v: v["sottod_messages_waiting"] == 0
          or v["sottod_messages_delivered_total"] > now["sottod_messages_delivered_total"])
    until("nobody to be there", lambda: values(port)["sottod_connections"], lambda n: n == 0)
    before = now['sottod_turned_away_total{reason="handshake"}']
    with socket.create_connection(("127.0.0.1", relay.port)) as s:
        s.sendall(b"no TLS at all\r\n\r\n")
    until("a handshake that failed", lambda: values(port),
          lambda v: v['sottod_turned_away_total{reason="handshake"}'] == before + 1)
    refused = 'sottod_refusals_total{reason="name taken"}'
    assert values(port)[refused] == 0
    lab.person("other").run("register", relay.invite(), "--name", "bob")
    assert values(port)[refused] == 1
    text = ask(port, "/metrics")[1]
    assert "alice" not in text and "bob" not in text and "127.0.0.1" not in text


def check_metrics_in_the_manual(lab):
    """The metrics that are printed are those that docs/operating.md names"""
    text = ask(metrics_port(lab.relay("--metrics", "127.0.0.1:0")), "/metrics")[1]
    labels = {name: "" for name in re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)}
    labels.update((name, label) for name, label in re.findall(r"^(\w+)\{(\w+)=", text, re.MULTILINE)
                  if label != "le")
    with open(os.path.join(sottolab.SOURCE, "docs", "operating.md")) as f:
        page = f.read()
    table = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `sottod_"))
    named = dict(re.findall(r"`(\w+)(?:\{(\w+)\})?`", table))
    assert named == labels, {n: (named.get(n), labels.get(n)) for n in {*named, *labels}
                             if named.get(n) != labels.get(n)}
    assert {*re.findall(r"`(sottod_\w+)", page)} == {*labels}


def check_health(lab):
    """The health answer says ok; other paths and methods are refused"""
    port = metrics_port(lab.relay("--metrics", "127.0.0.1:0"))
    assert ask(port, "/health") == (200, "ok\n")
    assert ask(port, "/")[0] == 404
    assert ask(port, "/metrics", "POST")[0] == 405


def check_metrics_on_loopback_only(lab):
    """Metrics are off by default and refuse any address that others can reach"""
    relay = lab.relay()
    assert "metrics" not in relay.running.err
    inodes = set()
    for fd in os.listdir(f"/proc/{relay.running.pid}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{relay.running.pid}/fd/{fd}"))
    with open("/proc/net/tcp") as f:
        listening = [line.split() for line in f if line.split()[3] == "0A"]
    own = [words[1] for words in listening if f"socket:[{words[9]}]" in inodes]
    assert len(own) == 1 and int(own[0].split(":")[1], 16) == relay.port, own
    for address in ("0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464", "localhost:9464", "127.0.0.1",
                    "128.0.0.1:1", "x"):
        result = lab.run([SOTTOD, "--data", lab.path("d"), "--metrics", address])
        assert result.code == 2 and "metrics has to be" in result.err, (address, result)


def check_slow_reader(lab):
    """Who asks for metrics and says no more is hung up on; others are served meanwhile"""
    port = metrics_port(lab.relay("--metrics", "127.0.0.1:0"))
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for s in silent:
        s.sendall(b"GET /metr")
    assert ask(port, "/health")[0] == 200
    for s in silent:
        s.settimeout(sottolab.PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(100) == b""
        s.close()


# ---- log lines -----------------------------------------------------------------------------


def check_json_lines(lab):
    """--log json: each line on stderr is one object with time, level, event and text"""
    relay = lab.relay("--log", "json", "--metrics", "127.0.0.1:0")
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    lab.person("other").run("register", relay.invite(), "--name", "bob")
    with socket.create_connection(("127.0.0.1", relay.port)) as s:
        s.sendall(b"\"\\ GET / HTTP/1.1\r\n\r\n")
        s.settimeout(sottolab.PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            while s.recv(100):
                pass
    relay.running.until_err('"event":"handshake"')
    relay.stop()
    events = set()
    for line in relay.log.splitlines():
        entry = json.loads(line)
        assert set(entry) == {"time", "level", "event", "text"}, line
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["time"]), line
        assert entry["level"] in ("bug", "local", "peer", "info", "debug"), line
        assert entry["level"] != "bug", line
        events.add(entry["event"])
    assert {"sandbox", "metrics", "sign-up", "refused", "handshake", "stop"} <= events, events


def check_json_errors(lab):
    """With --log json a start that fails says so in JSON too"""
    result = lab.run([SOTTOD, "--log", "json", "--data", "/dev/null/x", "--listen", "127.0.0.1:0"])
    assert result.code == 1, result
    assert [json.loads(line)["event"] for line in result.err.splitlines()][-1] == "start", result


def check_log_format_reloads(lab):
    """The form of the lines can change while the relay runs"""
    os.mkdir(lab.path("etc"))
    conf = lab.path("etc/sottod.conf")
    write(conf, "log = text\n")
    relay = lab.relay("--config", conf)
    write(conf, "log = json\n")
    hup(relay, '"text":"the settings were reloaded"')


def check_refusals_are_logged(lab):
    """A refusal is logged with its reason; no line names both ends of a conversation"""
    relay = lab.relay()
    alice, bob = lab.people(relay, "alice", "bob")
    alice.befriend(bob)
    lab.person("other").run("register", relay.invite(), "--name", "bob")
    relay.running.until_err("was refused: this name is taken")
    invite = relay.invite()
    lab.person("carol").ok("register", invite, "--name", "carol")
    lab.person("dave").run("register", invite, "--name", "dave")
    relay.running.until_err("was refused: the invite was used up")
    relay.stop()
    for line in relay.log.splitlines():
        assert not ("alice" in line and "bob" in line), line
        assert "lilac" not in line and "hello" not in line, line


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
