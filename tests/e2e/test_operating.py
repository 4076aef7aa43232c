#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/operating.md, typed: every command of it, in its order, on a relay with people. In a mount
namespace, so that the folder is the one that root's relay has; folders for backups and settings are
put elsewhere, and systemctl does what the unit says."""
# timeout: 300
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from sottolab import SOTTOD, until  # noqa: E402

PAGE = os.path.join(sottolab.SOURCE, "docs", "operating.md")
STATE = "/var/lib/sottod"
COMMANDS = ("sottod", "systemctl", "systemd-sysusers", "install", "echo")

# What each command says, by its beginning, as the page says that it does. Nothing: it is silent.
SAYS = (
    ("sottod check", "0 faults, "),
    ("sottod usage", "mail that waits"),
    ("systemd-sysusers", ""), ("install ", ""), ("echo ", ""), ("systemctl ", ""),
    ("sottod invite --uses 5", "sotto://relay.example.org:"),
    ("sottod invites revoke", ""), ("sottod invites", "open        5"),
    ("sottod accounts", "alice  active"),
    ("sottod sessions", "alice "),
    ("sottod kick", "a device comes back by itself"),
    ("sottod disable", "Nothing was deleted, mail for it waits"),
    ("sottod enable", "its devices may sign in"),
    ("sottod delete", "the name is not given out again"),
    ("sottod reset", "sotto://relay.example.org:"),
    ("sottod backup", "and verified"),
    ("sottod restore", "as a new incarnation"),
    ("sottod rotate --yes", "This is the pin from now on"),
    ("sottod rotate", "This is the pin of the next key"),
    ("sottod audit verify", "the chain is whole"),
)


def blocks():
    """[(command or setting, section)] in the order of the page."""
    with open(PAGE) as f:
        section = ""
        for line in f:
            if line.startswith("#"):
                section = line.strip("# \n")
            elif line.startswith("    ") and line.strip():
                yield line.strip(), section


class Machine:
    """With the service, a port that is free, and people."""

    def __init__(self, lab):
        self.lab, self.running, self.invite, self.people = lab, None, None, {}
        self.config = lab.path("etc/sottod/sottod.conf")
        os.makedirs(lab.path("etc/default"))
        os.mkdir(lab.path("bin"))
        os.symlink(SOTTOD, lab.path("bin/sottod"))
        for name in ("systemd-sysusers",):
            os.symlink(shutil.which("true"), lab.path(f"bin/{name}"))
        lab.env["PATH"] = lab.path("bin") + ":" + lab.env["PATH"]
        self.port = sottolab.free_port()

    def settings(self, *lines):
        with open(self.config, "a") as f:
            f.write("".join(line + "\n" for line in lines))

    def systemctl(self, *words):
        """As scripts/sottod.service.in has it."""
        if words[0] in ("stop", "restart", "reload"):
            assert self.running.process.poll() is None, self.running.err
        if words[0] in ("stop", "restart"):
            self.running.signal(signal.SIGTERM)
            assert self.running.wait().code == 0
        if words[0] in ("enable", "start", "restart"):
            with open(self.lab.path("etc/default/sottod")) as f:
                options = re.search('SOTTOD_OPTIONS="(.*)"', f.read())[1]
            self.running = self.lab.start([SOTTOD, "--data", STATE, *options.split()])
            until("the relay to be ready", lambda: self.running.out + self.running.err,
                  lambda s: "ready" in s or self.running.process.poll() is not None)
            assert self.running.process.poll() is None, self.running.err
        if words[0] == "reload":
            count = self.running.err.count("the settings were reloaded")
            self.running.signal(signal.SIGHUP)
            until("the reload", lambda: self.running.err,
                  lambda s: s.count("the settings were reloaded") > count)
            assert "restart only" not in self.running.err, self.running.err
        assert words[0] in ("enable", "start", "stop", "restart", "reload"), words

    def moved(self, line):
        """With the folders of this test."""
        line = line.replace("/usr/local/share/doc/sotto", os.path.join(sottolab.SOURCE, "docs"))
        return line.replace("/etc/", self.lab.path("etc/")).replace("/backups", self.lab.path("backups"))

    def type(self, line):
        """What it says."""
        line = self.moved(line)
        if line.startswith("systemctl "):
            self.systemctl(*line.split()[1:])
            return ""
        result = self.lab.run(["sh", "-c", line])
        assert result.code == 0, f"{line}: {result}"
        return result.out

    def sign_up(self, *names):
        link = self.type(f"sottod invite --uses {len(names)} --public 127.0.0.1:{self.port}").strip()
        for name in names:
            self.people[name] = self.lab.person(name)
            self.people[name].ok("register", link, "--name", name)

    def before(self, line):
        """What has to be so on the page's machine, and how its line is to be typed here."""
        if line == "sottod accounts":
            self.sign_up("alice", "bob", "dora")
            self.people["bob"].send("alice", "hello")
            self.follower = self.people["alice"].start("receive", "--follow")
            self.follower.until_out("hello")
        if line.startswith("sottod invites revoke"):
            number = re.search("^([0-9a-f]{12})  open", self.type("sottod invites"), re.MULTILINE)[1]
            return line.replace("675a502ce9a8", number)
        if line.startswith("sottod disable"):
            self.follower.until_err("it is made again by itself")
            until("her to come again", lambda: self.type("sottod sessions"), lambda s: "alice" in s)
        if line.startswith("sottod enable"):
            result = self.follower.wait()
            assert result.code == 4 and "Nothing of it was deleted" in result.err, result
        if line.startswith("sottod rotate --yes"):
            self.goes_on("everybody has come by")
        return line.replace("delete alice", "delete dora")  # she is needed below

    def goes_on(self, text):
        """People notice nothing of what was done; after a restore they may have to ask each other again."""
        alice, bob = self.people["alice"], self.people["bob"]
        bob.send("alice", text)
        got = until(f"{text!r} to be shown", lambda: [m["text"] for m in alice.json("receive")] or
                    bob.ok("receive"))
        assert got == [text], (got, text)


def check_every_command(lab):
    """Every command of docs/operating.md does what the page says of it, and people go on"""
    if os.geteuid() != 0 or lab.run(["mount", "-t", "tmpfs", "none", "/var/lib"]).code != 0:
        raise sottolab.Skip("no file system can be mounted here")
    os.mkdir(STATE, 0o700)
    machine, typed, lines = Machine(lab), 0, list(blocks())
    service = [line for line, section in lines if section == "As a service"]
    for line in service:
        if line.startswith("systemctl enable"):
            machine.settings(f"listen = 127.0.0.1:{machine.port}", f"public = relay.example.org:{machine.port}")
        machine.type(line)
    for line, section in lines:
        if section == "As a service":
            continue
        if line.split()[0] not in COMMANDS:
            machine.settings(line.replace("9464", str(sottolab.free_port())))
            machine.type("systemctl restart sottod")
            continue
        wanted = next((text for start, text in SAYS if line.startswith(start)), None)
        assert wanted is not None, f"nothing is known of what this says: {line}"
        out = machine.type(machine.before(line))
        assert wanted in out, f"{line} should say {wanted!r}: {out!r}"
        typed += 1
        if line.startswith(("sottod backup", "sottod enable")):
            machine.goes_on(f"after {typed}")
    assert '"event":"reload"' in machine.running.err and "health at /health" in machine.running.err
    machine.goes_on("at the end")
    unused = [start for start, _ in SAYS if not any(line.startswith(start) for line, _ in lines)]
    assert not unused, f"not in the page any more: {unused}"
    machine.type("systemctl stop sottod")
    print(f"# {typed + len(service)} commands", flush=True)


def main():
    inside = "SOTTO_TEST_NAMESPACE"
    words = ["unshare", *(["--map-root-user"] if os.geteuid() != 0 else []), "--mount"]
    if inside not in os.environ and shutil.which("unshare") and \
            subprocess.run([*words, "true"], capture_output=True).returncode == 0:
        os.environ[inside] = "1"
        os.execvp(words[0], [*words, sys.executable, *sys.argv])
    if inside not in os.environ:
        print("1..0 # SKIP a mount namespace cannot be made here")
        return
    sottolab.main([check_every_command])


if __name__ == "__main__":
    main()
