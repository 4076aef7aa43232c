#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# sanitizers: address
"""What sotto says about itself: help, mistakes in the words, the manual page, completion."""
import os
import re
import subprocess

import sottolab
from sottolab import SOTTO, SOURCE

COMMANDS = ["register", "login", "devices", "send", "receive", "history", "contacts", "accept",
            "block", "unblock", "verify", "trust-relay", "delete", "resend", "status", "account",
            "chat", "help", "completion"]


def check_version(lab):
    """--version prints name and version, anywhere in the line"""
    first = lab.run([SOTTO, "--version"])
    assert re.fullmatch(r"sotto \d+\.\d+\.\d+\n", first.out) and first.code == 0, first
    assert lab.run([SOTTO, "send", "--version"]).out == first.out


def check_help(lab):
    """help lists every command; help COMMAND and COMMAND --help show usage and an example"""
    everything = lab.run([SOTTO, "help"])
    assert everything.code == 0 and everything.err == "", everything
    listed = re.findall(r"^  ([a-z-]+) +\S", everything.out, re.MULTILINE)
    assert listed == COMMANDS, listed
    assert lab.run([SOTTO, "--help"]).out == everything.out
    for command in COMMANDS:
        one = lab.run([SOTTO, "help", command])
        assert one.code == 0 and one.out.startswith(f"usage: sotto {command}"), one
        assert re.search(r"^example: .*sotto " + command, one.out, re.MULTILINE), one
        assert lab.run([SOTTO, command, "--help"]).out == one.out
        assert lab.run([SOTTO, command, "-h"]).out == one.out


def check_no_command(lab):
    """without a command and without a terminal: usage on stderr, exit 2"""
    result = lab.run([SOTTO])
    assert result.code == 2 and result.out == "", result
    assert result.err.startswith("usage: sotto "), result
    assert all(f"  {c} " in result.err for c in COMMANDS), result


def check_nearest(lab):
    """a mistyped command or option: the nearest one, the right usage, exit 2"""
    cases = [
        (["snd", "bob", "hi"], "did you mean 'send'?", "usage: sotto send"),
        (["recieve"], "did you mean 'receive'?", "usage: sotto receive"),
        (["stauts"], "did you mean 'status'?", "usage: sotto status"),
        (["trustrelay"], "did you mean 'trust-relay'?", "usage: sotto trust-relay"),
        (["help", "hsitory"], "did you mean 'history'?", "usage: sotto history"),
        (["receive", "--jsn"], "did you mean '--json'?", "usage: sotto receive"),
        (["send", "bob", "hi", "--wiat", "delivered"], "did you mean '--wait'?", "usage: sotto send"),
        (["history", "bob", "--limt=3"], "did you mean '--limit'?", "usage: sotto history"),
        (["frobnicate"], "there is no command 'frobnicate'", "sotto help"),
        (["__complet"], "there is no command", "sotto help"),
        (["--frobnicate"], "there is no option '--frobnicate'", "usage: sotto"),
    ]
    for words, *parts in cases:
        result = lab.run([SOTTO, *words])
        assert result.code == 2 and result.out == "", result
        for part in parts:
            assert part in result.err, (part, str(result))


def check_words(lab):
    """too few, too many or impossible words: what is wrong, the usage, exit 2, no profile made"""
    cases = [
        ["send", "bob"], ["send"], ["send", "bob", "two", "words"], ["send", "Bob", "hi"],
        ["send", "bob", "hi", "--wait", "stored"], ["send", "bob", "hi", "--wait", "delivered", "0"],
        ["send", "bob", "hi", "--wait"], ["send", "bob", ""], ["send", "bob", "hi", "--json"],
        ["receive", "bob"], ["receive", "--wait", "soon"], ["receive", "--wait", "-1"],
        ["receive", "--count", "0"], ["receive", "--count", "x"], ["receive", "--follow", "--wait", "1"],
        ["receive", "--json", "--json"], ["history"], ["history", "a", "b"],
        ["history", "bob", "--limit", "0"], ["history", "bob", "--limit", "many"],
        ["history", "b/b"], ["contacts", "bob"], ["accept"], ["accept", "@"], ["block"], ["unblock"],
        ["verify"], ["verify", "bob", "12345"], ["verify", "bob", "--confirm", "12345"],
        ["verify", "bob", "--accept", "--confirm", "1"], ["trust-relay"], ["trust-relay", "abc"],
        ["delete"], ["delete", "123"], ["resend", "Z" * 32], ["status", "now"], ["account"],
        ["account", "remove"], ["chat", "a", "b"], ["chat", "A"], ["devices", "approve"],
        ["devices", "revoke", "12"], ["devices", "list"], ["register"],
        ["register", "sotto://x", "--name"], ["register", "a b", "--name", "alice"],
        ["register", "relay:1", "--name", "Alice"], ["register", "relay:1"], ["login", "relay:1"],
        ["register", "relay:1", "--name", "alice", "--pin", "sha256:short"],
        ["register", "sotto://x", "--name", "alice", "--pin", "sha256:" + "a" * 43],
        ["completion", "zsh"], ["help", "a", "b"],
        ["--profile"], ["status", "--profile"],
    ]
    somebody = lab.person("somebody")
    for words in cases:
        result = somebody.run(*words)
        # What only the profile could tell does not come before there is one.
        missing = result.code == 4 and "there is no profile" in result.err
        wanted = words[0] in ("accept", "block", "unblock", "verify", "history", "devices", "delete",
                              "resend", "trust-relay")
        assert result.code == 2 or (missing and wanted), result
        assert "sotto: " in result.err and result.out == "", result
        if result.code == 2 and not words[0].startswith("--"):
            assert f"usage: sotto {words[0]}" in result.err, result
    assert not os.path.exists(os.path.join(somebody.profile, "vault"))


def check_where_options_stand(lab):
    """options may stand before or after, with = or as the next word; -- ends them"""
    nobody = lab.path("nobody")
    for words in (["--profile", nobody, "status"], ["status", "--profile", nobody],
                  [f"--profile={nobody}", "status"], ["status", f"--profile={nobody}", "--json"],
                  ["--json", "--profile", nobody, "status"],
                  ["--profile", nobody, "send", "--", "bob", "--wait"]):
        result = lab.run([SOTTO, *words], env={"SOTTO_PASSPHRASE": "does not matter"})
        assert result.code == 4 and f"there is no profile in {nobody}" in result.err, result


def check_default_profile(lab):
    """the profile is in XDG_DATA_HOME, else in the home folder; without either it says so"""
    home, data = lab.path("home"), lab.path("data")
    for env, where in (({"HOME": home, "XDG_DATA_HOME": data}, f"{data}/sotto"),
                       ({"HOME": home, "XDG_DATA_HOME": ""}, f"{home}/.local/share/sotto"),
                       ({"HOME": home, "XDG_DATA_HOME": "relative"}, f"{home}/.local/share/sotto")):
        result = lab.run([SOTTO, "status"], env=env)
        assert result.code == 4 and f"no profile in {where} yet" in result.err, result
    result = lab.run([SOTTO, "status"], env={"HOME": "", "XDG_DATA_HOME": ""})
    assert result.code == 4 and "--profile" in result.err, result


def man_page():
    with open(os.path.join(SOURCE, "docs", "man", "sotto.1"), encoding="utf-8") as f:
        return f.read()


def check_man_page(lab):
    """sotto(1) has every command, option, exit code and variable"""
    page = man_page()
    for command in COMMANDS:
        assert re.search(r"^\.It Cm " + re.escape(command) + r"\b", page, re.MULTILINE), command
        usage = lab.run([SOTTO, "help", command]).out.splitlines()[0]
        for option in set(re.findall(r"--([a-z-]+)", usage)):
            assert f"Fl -{option}" in page, (command, option)
    for option in ("profile", "passphrase-file", "help", "version"):
        assert re.search(rf"^\.It Fl -{option}\b", page, re.MULTILINE), option
    exits = page[page.index(".Sh EXIT STATUS"):]
    assert re.findall(r"^\.It (\d)$", exits, re.MULTILINE) == list("01234567")
    for name in ("SOTTO_PASSPHRASE", "XDG_DATA_HOME", "NO_COLOR", "SOTTO_NO_BANNER"):
        assert f".It Ev {name}" in page, name
    read = set()  # what the program really asks for
    for folder, _, names in os.walk(os.path.join(SOURCE, "apps", "sotto")):
        for name in names:
            if name.endswith(".c"):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    read |= set(re.findall(r'getenv\("([A-Z_]+)"\)', f.read()))
    assert all(name in page for name in read), read


def check_man_page_prints(lab):
    """sotto(1) is understood by man without a warning"""
    if subprocess.run(["which", "groff"], capture_output=True).returncode != 0:
        raise sottolab.Skip("groff is not installed")
    result = lab.run(["groff", "-mandoc", "-ww", "-Tutf8",
                      os.path.join(SOURCE, "docs", "man", "sotto.1")])
    assert result.code == 0 and result.err == "", result
    assert "EXIT STATUS" in re.sub("\x1b\\[[0-9;]*m|.\b", "", result.out)


def complete(lab, *words, env=None):
    """What the program offers for the last word."""
    result = lab.run([SOTTO, "__complete", "--", str(len(words) - 1), *words], env=env)
    assert result.code == 0 and result.err == "", result
    return result.out.split()


def check_completion_words(lab):
    """completion knows commands, options and what they take"""
    assert complete(lab, "sotto", "") == COMMANDS
    assert complete(lab, "sotto", "re") == ["register", "receive", "resend"]
    assert complete(lab, "sotto", "help", "sta") == ["status"]
    assert complete(lab, "sotto", "devices", "") == ["approve", "revoke"]
    assert complete(lab, "sotto", "account", "d") == ["delete"]
    assert "--follow" in complete(lab, "sotto", "receive", "-")
    assert complete(lab, "sotto", "receive", "--f") == ["--follow"]
    assert complete(lab, "sotto", "send", "bob", "hi", "--wait", "") == ["delivered"]
    assert complete(lab, "sotto", "--profile", "") == ["//files"]
    assert complete(lab, "sotto", "--profile", "x", "stat") == ["status"]
    assert complete(lab, "sotto", "send", "") == []  # no engine runs: nothing, and no question


def check_completion_in_bash(lab):
    """the script that completion prints works in bash"""
    script = f"""
        source <({SOTTO} completion) || exit 1
        sotto() {{ {SOTTO} "$@"; }}
        COMP_WORDS=({SOTTO} rec) COMP_CWORD=1
        _sotto
        echo "${{COMPREPLY[*]}}"
        COMP_WORDS=({SOTTO} receive --fo) COMP_CWORD=2
        _sotto
        echo "${{COMPREPLY[*]}}"
        complete -p sotto
    """
    result = lab.run(["bash", "--norc", "-c", script])
    assert result.out.splitlines()[:2] == ["receive", "--follow"], result
    assert "_sotto sotto" in result.out, result
    with open(os.path.join(SOURCE, "apps", "sotto", "completion.bash"), encoding="utf-8") as f:
        assert lab.run([SOTTO, "completion"]).out == f.read()


def check_stdout_full(lab):
    """an answer that cannot be written is an error, not a success"""
    if not os.path.exists("/dev/full"):
        raise sottolab.Skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        running = lab.start([SOTTO, "help"], stdout=full)
        result = running.wait()
    assert result.code == 1 and "could not be written" in result.err, result


sottolab.main([
    check_version, check_help, check_no_command, check_nearest, check_words,
    check_where_options_stand, check_default_profile, check_man_page, check_man_page_prints,
    check_completion_words, check_completion_in_bash, check_stdout_full,
])
