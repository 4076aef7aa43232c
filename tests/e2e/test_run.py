#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make run: a relay, two people and their first conversation, and the same relay again."""
import os
import re
import shutil
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from sottolab import BUILD, SOURCE, Skip, until  # noqa: E402


def tree(lab):
    """A copy of what the script needs, so that its folder is not the one of the source tree."""
    root = lab.path("tree")
    os.makedirs(os.path.join(root, "scripts"))
    shutil.copy(os.path.join(SOURCE, "scripts", "run.sh"), os.path.join(root, "scripts"))
    os.symlink(BUILD, os.path.join(root, "build"))
    return root


def run(lab, root):
    """Without a terminal on stdin; its output."""
    result = lab.run([os.path.join(root, "scripts", "run.sh")])
    assert result.code == 0, result
    return result


def ready(result):
    port, pin = re.search(r"^sottod ready 127\.0\.0\.1:(\d+) pin (sha256:\S+)$", result.out,
                          re.MULTILINE).groups()
    return int(port), pin


def others(root):
    """Processes that still work in this tree."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.path.realpath(f"/proc/{pid}/cwd").startswith(root):
                found.append(pid)
        except OSError:
            continue
    return found


def conversation(result):
    """What has to be in every run."""
    for text in ("Good morning Bob", "On my way, Alice", "You were away"):
        assert re.search(rf"^\S+ \S+ (request from )?(alice|bob): {text}.*$", result.out,
                         re.MULTILINE), (text, str(result))
    sent = re.findall(r"^[0-9a-f]{32} stored$", result.out, re.MULTILINE)
    assert len(sent) == 3, result
    for line in ("$ sotto --profile run/alice send bob 'Good morning",
                 "$ sotto --profile run/bob send alice 'On my way"):
        assert line in result.err, result
    numbers = re.findall(r"^(alice|bob): +((?:\d{5} ){11}\d{5})$", result.out, re.MULTILINE)
    assert [n for n, _ in numbers] == ["alice", "bob"] and numbers[0][1] == numbers[1][1], result
    assert result.out.count("\nnothing\n") == 3, result
    assert re.search(r"^\S*run/relay/marker$", result.out, re.MULTILINE), result


def check_first_and_second_run(lab):
    """relay, invites, a conversation, safety numbers, a search; the second time all that goes on"""
    root = tree(lab)
    first = run(lab, root)
    conversation(first)
    assert first.out.count("sotto://127.0.0.1:") == 2 and "registered alice" in first.out, first
    assert others(root) == [], "something was left running"
    assert os.listdir(root).count("run") == 1 and sorted(os.listdir(root)) == ["build", "run",
                                                                                "scripts"]
    with open(os.path.join(root, "run", "relay", "cert", "server_cert.pem"), "rb") as f:
        certificate = f.read()
    second = run(lab, root)
    conversation(second)
    assert "is signed up already" in second.out and "sotto://" not in second.out, second
    assert ready(second) == ready(first)
    with open(os.path.join(root, "run", "relay", "cert", "server_cert.pem"), "rb") as f:
        assert f.read() == certificate
    assert others(root) == [], "something was left running"


def check_port_taken(lab):
    """a port that is taken: a free one, and it says so; people follow the relay to another one"""
    root = tree(lab)
    port, _ = ready(run(lab, root))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        moved = run(lab, root)
    assert f"Port {port} is not free: taking another one." in moved.out, moved
    assert ready(moved)[0] != port, moved
    conversation(moved)


def check_folder_is_ignored(lab):
    """all that it makes is in one folder that git ignores"""
    if not os.path.isdir(os.path.join(SOURCE, ".git")):
        raise Skip("this is no git tree")
    with open(os.path.join(SOURCE, ".gitignore"), encoding="utf-8") as f:
        assert "/run/" in f.read().splitlines()


def check_terminal(lab):
    """with a terminal a chat opens as alice and bob's is named; leaving it stops everything"""
    root = tree(lab)
    terminal = sottolab.Terminal(lab, [os.path.join(root, "scripts", "run.sh")], cols=150, rows=50)
    terminal.until("bob, not verified, online")
    shown = terminal.everything()
    assert "build/sotto --profile run/bob --passphrase-file run/bob.passphrase chat alice" in shown
    terminal.type("/quit\n")
    assert terminal.wait() == 0
    terminal.end()
    until("everything to end", lambda: others(root), lambda left: left == [])


sottolab.main([check_first_and_second_run, check_port_taken, check_folder_is_ignored,
               check_terminal])
