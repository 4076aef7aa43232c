# SPDX-License-Identifier: Apache-2.0
"""Relays, people and terminals for tests of the real programs.

    import sottolab
    def check_hello(lab):
        '''bob reads what alice wrote'''
        relay = lab.relay()
        alice, bob = lab.people(relay, "alice", "bob")
        alice.ok("send", "bob", "hello")
        assert "hello" in bob.ok("receive")
    sottolab.main([check_hello])

main() runs the checks as TAP cases, each in a lab of its own that ends whatever it started; a
check raises AssertionError, or sottolab.Skip. SOTTO_BUILD names the build folder, TMPDIR where
everything is kept. Nothing here sleeps and hopes: until() waits for what a test is about, and
says what was there instead when it does not come.
"""
import contextlib
import inspect
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

SOURCE = os.environ.get("SOTTO_SOURCE") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SOTTO_BUILD") or os.path.join(SOURCE, "build")
SANITIZER = os.environ.get("SOTTO_SANITIZER", "")
SOTTO, SOTTOD = os.path.join(BUILD, "sotto"), os.path.join(BUILD, "sottod")
PASSPHRASE = "lilac-otter-comet"
PATIENCE = 120.0 if SANITIZER else 30.0  # seconds until a wait has failed; nothing is timed
# What a shell starts in the background ignores SIGINT, and so would the programs started here, as
# long as they have not got to their own signals.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Skip(Exception):
    """What the check needs is not on this machine."""


def until(what, get, wanted=bool, patience=PATIENCE):
    """Waits until wanted(get()); returns what get() gave. what: for the message of the failure."""
    end = time.monotonic() + patience
    while True:
        got = get()
        if wanted(got):
            return got
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}; there was: {got!r}")
        time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Result:
    """What a command came to."""

    def __init__(self, words, code, out, err):
        self.words, self.code, self.raw = words, code, out
        self.out, self.err = (b.decode("utf-8", "replace") for b in (out, err))

    def __str__(self):
        return f"{' '.join(self.words)}\n  exit {self.code}\n  out {self.out!r}\n  err {self.err!r}"

    def json(self):
        return [json.loads(line) for line in self.out.splitlines()]


class Running:
    """A program that goes on; its output is collected meanwhile."""

    def __init__(self, words, **options):
        self.words = words
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, **options}
        self.process = subprocess.Popen(words, **options)
        self.pid = self.process.pid
        self.chunks = {"out": [], "err": []}
        self.threads = []
        for name, stream in (("out", self.process.stdout), ("err", self.process.stderr)):
            if stream is not None:
                thread = threading.Thread(target=self.collect, args=(name, stream), daemon=True)
                thread.start()
                self.threads.append(thread)

    def collect(self, name, stream):
        while chunk := os.read(stream.fileno(), 65536):
            self.chunks[name].append(chunk)
        stream.close()

    @property
    def out(self):
        return b"".join(self.chunks["out"]).decode("utf-8", "replace")

    @property
    def err(self):
        return b"".join(self.chunks["err"]).decode("utf-8", "replace")

    def until_out(self, text, count=1):
        return until(f"{text!r} on stdout", lambda: self.out, lambda s: s.count(text) >= count)

    def until_err(self, text):
        return until(f"{text!r} on stderr", lambda: self.err, lambda s: text in s)

    def write(self, text):
        data = text.encode() if isinstance(text, str) else text
        os.write(self.process.stdin.fileno(), data)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, patience=PATIENCE):
        """The Result, once it has ended by itself."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{' '.join(self.words)} does not end; stdout {self.out!r}, "
                                 f"stderr {self.err!r}") from None
        for thread in self.threads:
            thread.join(patience)
        return Result(self.words, code, *(b"".join(self.chunks[n]) for n in ("out", "err")))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


class Relay:
    """A relay on 127.0.0.1; it keeps port and data when it is stopped and started again."""

    def __init__(self, lab, name, *options):
        self.lab, self.options = lab, options
        self.data = os.path.join(lab.dir, name)
        self.log = ""
        self.port = self.running = self.pin = None
        self.start()

    def start(self):
        self.running = self.lab.start(
            [SOTTOD, "--data", self.data, "--listen", f"127.0.0.1:{self.port or 0}", *self.options])
        try:
            line = until("the relay to be ready", lambda: self.running.out,
                         lambda s: "\n" in s or self.running.process.poll() is not None)
            words = line.split()
            assert words[:2] == ["sottod", "ready"], self.running.err
        except AssertionError as e:
            raise AssertionError(f"the relay does not start: {e}\n{self.running.err}") from None
        self.address, self.pin = words[2], words[4]
        self.port = int(self.address.rsplit(":", 1)[1])
        return self

    def stop(self, number=signal.SIGTERM):
        self.running.signal(number)
        result = self.running.wait()
        self.log += result.err
        return result

    def kill(self):
        return self.stop(signal.SIGKILL)

    def invite(self, *options):
        return self.lab.run([SOTTOD, "invite", "--data", self.data, *options]).out.strip()


class Person:
    """A profile and how its sotto is called."""

    def __init__(self, lab, name, profile=None, passphrase=PASSPHRASE):
        self.lab, self.name, self.passphrase = lab, name, passphrase
        self.profile = os.path.join(lab.dir, profile or name)
        self.passphrase_file = self.profile + ".passphrase"
        with open(self.passphrase_file, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(passphrase + "\n")

    def words(self, *words, passphrase=True):
        return [SOTTO, "--profile", self.profile,
                *(["--passphrase-file", self.passphrase_file] if passphrase else []), *words]

    def run(self, *words, stdin=b"", env=None, passphrase=True):
        return self.lab.run(self.words(*words, passphrase=passphrase), stdin, env)

    def ok(self, *words, **options):
        """Its stdout; any other exit code than 0 fails the check."""
        result = self.run(*words, **options)
        assert result.code == 0, f"should have succeeded: {result}"
        return result.out

    def json(self, *words, **options):
        return [json.loads(line) for line in self.ok(*words, "--json", **options).splitlines()]

    def fails(self, code, *words, **options):
        """Its stderr; the check fails unless it ends with that code and says why."""
        result = self.run(*words, **options)
        assert result.code == code, f"should have ended with {code}: {result}"
        assert "sotto: " in result.err, f"does not say why: {result}"
        return result.err

    def start(self, *words, passphrase=True, **options):
        return self.lab.start(self.words(*words, passphrase=passphrase), **options)

    def terminal(self, *words, **options):
        return Terminal(self.lab, self.words(*words), **options)

    def register(self, relay):
        self.ok("register", relay.invite(), "--name", self.name)
        return self

    def send(self, name, text, *options):
        """The id of the message, which the relay has now."""
        words = self.ok("send", *options, "--", name, text).split()
        assert words[1:] == ["stored"] and len(words[0]) == 32, words
        return words[0]

    def receive(self, count=1):
        """The next messages as dicts; fails when they do not come."""
        got = self.json("receive", "--count", str(count), "--wait", str(int(PATIENCE)))
        assert len(got) == count, f"wanted {count} messages, got {got}"
        return got

    def history(self, name, *options):
        return self.json("history", name, *options)

    def befriend(self, other):
        """Both have written to each other, so both are accepted contacts with sessions."""
        self.send(other.name, "hello")
        other.receive()
        other.send(self.name, "hello too")
        self.receive()


class Terminal:
    """A program on a terminal that tmux plays, with a server of its own."""

    CONFIG = "set -g remain-on-exit on\nset -g remain-on-exit-format ''\nset -g status off\n"
    # tmux itself now and then forgets how a program ended. The shell must outlive a Ctrl-C, and
    # somebody has to stay so that the terminal's modes can be looked at afterwards.
    SCRIPT = 'trap : INT QUIT; "$@"; echo $? >"$CODE_FILE"; exec sleep 1000'

    def __init__(self, lab, words, cols=100, rows=30, env=None):
        if shutil.which("tmux") is None:
            raise Skip("tmux is not installed")
        self.lab = lab
        folder = tempfile.mkdtemp(prefix="tm", dir=lab.dir)
        self.socket, self.config, self.code_file = (
            os.path.join(folder, n) for n in ("s", "conf", "code"))
        with open(self.config, "w") as f:
            f.write(self.CONFIG)
        lab.terminals.append(self)
        self.tmux("new-session", "-d", "-x", str(cols), "-y", str(rows), "--",
                  "sh", "-c", self.SCRIPT, "sh", *words,
                  env={**lab.env, "CODE_FILE": self.code_file, **(env or {})})

    def tmux(self, *words, env=None):
        done = subprocess.run(["tmux", "-S", self.socket, "-f", self.config, *words],
                              capture_output=True, env=env or self.lab.env, timeout=PATIENCE)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.decode()

    def type(self, text):
        """Types it; "\\n" is Enter."""
        for i, line in enumerate(text.split("\n")):
            if i > 0:
                self.key("Enter")
            if line:
                self.tmux("send-keys", "-l", "--", line)

    def key(self, *names):
        """tmux's names: Enter, C-c, C-d, Left, BSpace..."""
        self.tmux("send-keys", *names)

    def paste(self, text):
        self.tmux("set-buffer", "--", text)
        self.tmux("paste-buffer", "-r")

    def resize(self, cols, rows):
        self.tmux("resize-window", "-x", str(cols), "-y", str(rows))

    def screen(self):
        """What is to be seen, without spaces at the ends of lines."""
        return self.tmux("capture-pane", "-p").rstrip("\n")

    def everything(self):
        """The same with what has scrolled away; lines that wrapped are joined."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-").rstrip("\n")

    def lines(self):
        return [line.rstrip() for line in self.screen().splitlines()]

    def last_line(self):
        lines = self.lines()
        return lines[-1] if lines else ""

    def until(self, text, everything=False):
        return until(f"{text!r} on the screen",
                     self.everything if everything else self.screen, lambda s: text in s)

    def until_gone(self, text):
        return until(f"{text!r} to leave the screen", self.screen, lambda s: text not in s)

    def ask(self, what):
        """A variable of the pane, as tmux(1) names them."""
        return self.tmux("display-message", "-p", "#{%s}" % what).strip()

    def pid(self):
        """Of the program."""
        shell = self.ask("pane_pid")

        def child():
            with open(f"/proc/{shell}/task/{shell}/children") as f:
                return f.read().split()
        pid = int(until("the program to start", child)[0])
        until("the program to start", lambda: os.readlink(f"/proc/{pid}/exe"),
              lambda exe: os.path.basename(exe) not in ("dash", "bash", "sh"))
        return pid

    def settings(self):
        """The terminal's modes, as stty says them (echo, icanon...)."""
        done = subprocess.run(["stty", "-a", "-F", self.ask("pane_tty")], capture_output=True, check=True)
        return done.stdout.decode().replace(";", " ").split()

    def wait(self):
        """The exit code, once the program has ended by itself (128 + N: by signal N)."""
        def code():
            with contextlib.suppress(FileNotFoundError), open(self.code_file) as f:
                return f.read().strip()
            return ""
        try:
            return int(until("the program to end", code))
        except AssertionError as e:
            raise AssertionError(f"{e}; on its screen:\n{self.screen()}") from None

    def end(self):
        with contextlib.suppress(AssertionError):
            self.tmux("kill-server")


class Lab:
    def __init__(self):
        # Short: the path of a profile's socket has to fit 108 bytes.
        self.dir = tempfile.mkdtemp(prefix="lab", dir=os.environ.get("TMPDIR"))
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ("SOTTO_PASSPHRASE", "XDG_DATA_HOME", "TMUX", "TMUX_PANE",
                                 "NO_COLOR")}
        self.env.update(LC_ALL="C.UTF-8", TZ="UTC")
        self.running, self.terminals, self.relays = [], [], 0

    def run(self, words, stdin=b"", env=None):
        data = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            done = subprocess.run(words, input=data, capture_output=True, timeout=PATIENCE * 3,
                                  env={**self.env, **(env or {})}, start_new_session=True)
        except subprocess.TimeoutExpired as e:
            raise AssertionError(f"does not end: {' '.join(words)}; stdout {e.stdout!r}, "
                                 f"stderr {e.stderr!r}") from None
        return Result(words, done.returncode, done.stdout, done.stderr)

    def start(self, words, env=None, **options):
        """Without a controlling terminal, so that nothing can ask anybody."""
        running = Running(words, env={**self.env, **(env or {})}, start_new_session=True, **options)
        self.running.append(running)
        return running

    def relay(self, *options):
        self.relays += 1
        return Relay(self, f"relay{self.relays}", *options)

    def person(self, name, **options):
        return Person(self, name, **options)

    def people(self, relay, *names):
        return [Person(self, name).register(relay) for name in names]

    def terminal(self, words, **options):
        return Terminal(self, words, **options)

    def path(self, name):
        return os.path.join(self.dir, name)

    def close(self):
        for terminal in self.terminals:
            terminal.end()
        for running in reversed(self.running):
            running.end()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def friends(lab, *names):
    """A relay, and people of whom the first two are friends."""
    relay = lab.relay()
    people = lab.people(relay, *(names or ("alice", "bob")))
    people[0].befriend(people[1])
    return relay, *people


def goes_on(alice, bob, texts):
    """What was kept arrives once and in order, and so does what is written now."""
    alice.send("bob", "and on")
    assert [m["text"] for m in bob.receive(len(texts) + 1)] == [*texts, "and on"]
    assert bob.json("receive") == []
    assert alice.json("status")[0]["queued"] == 0
    bob.send("alice", "an answer")
    assert [m["text"] for m in alice.receive()] == ["an answer"]


def run_check(check):
    """None: good; else what is wrong."""
    try:
        if inspect.signature(check).parameters:
            with Lab() as lab:
                check(lab)
        else:
            check()
    except Skip:
        raise
    except AssertionError as e:
        at = traceback.extract_tb(e.__traceback__)
        own = [f for f in at if f.filename != __file__][-1:]
        return f"line {own[0].lineno if own else '?'}: {own[0].line if own else ''}\n{e}"
    except Exception:
        return traceback.format_exc()
    return None


def main(checks):
    """Runs all, or those whose name contains a word of the command line."""
    wanted = [c for c in checks if not sys.argv[1:] or any(w in c.__name__ for w in sys.argv[1:])]
    bad = 0
    print(f"1..{len(wanted)}", flush=True)
    for i, check in enumerate(wanted, 1):
        title = " ".join(check.__doc__.split()).rstrip(".")
        try:
            wrong = run_check(check)
        except Skip as why:
            print(f"ok {i} - {title} # SKIP {why}", flush=True)
            continue
        if wrong is not None:
            print("\n".join("# " + line for line in wrong.splitlines()))
        bad += wrong is not None
        print(f"{'not ' if wrong else ''}ok {i} - {title}", flush=True)
    sys.exit(1 if bad else 0)
