#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The relay under load, over the real protocol and real TLS, on loopback.

    make bench-relay                  ours alone
    make bench-relay PEERS=DIR        beside mosquitto and the floors of that kit, in turn

    W1     100 sender/receiver pairs, 32 messages of 256 bytes under way each: throughput
    W1big  the same while 1,000,000 messages wait in 100,000 other mailboxes; how long a start takes
    W2     50 pairs, 2,000 messages/s on a timetable: latency from the due time
    W3     10,000 messages for a receiver that is away, by one sender and by ten; then it comes.
           With PIN one sender polls, and the floor, SQLite alone, has a CPU beside it that is
           awake as well: SQLite has nobody to wake, and waking a sender that sleeps is a fifth to
           a third of a round here. In the row "asleep" it sleeps, as all other generators do
    W4     5,000 idle connections, signed in: memory
    W5     3,000 sign-ins, 32 at a time, full handshakes
    W6     kill -9 while storing, start again: what was acknowledged and never arrives

A slot of a window is free again when the message has arrived and its sender was told that the relay
has it (W3, W6: when the sender was told). The relay runs on CPU 1 and the generator on CPU 0; each
run has a fresh relay. Server CPU is user + system time of the process: the figure that holds best on
a machine that others use too. cal_ms is the time of a fixed AES job: compare runs in which it is
alike. A run during which others used more than NOISE percent of a core is done again.

The exit code is 1 when ours lost, doubled or mixed up anything.

Environment: RUNS (3, without PEERS 1), KILLS (50, without PEERS 10), WORKS ("W1 W1big W2 W3 W4 W5
W6"), SECS (10), SECS2 (8), WARM (2), IDLE (5000), PIN (1; 0 leaves both CPUs to both), THREADS (of
the relay), NOISE (30), TRIES (2), OUT (a file that gets the raw lines), SOTTOD_ARGS; and the sizes
of the workloads, which nobody but a test changes: PAIRS, RATE, COUNT, LOGINS, SETTLE, BIG_BOXES,
BIG_MESSAGES, KILL_AFTER.
"""
import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = os.environ.get("SOTTO_SOURCE") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("SOTTO_BUILD") or os.path.join(SOURCE, "build")
SOTTOD = os.path.join(BUILD, "sottod")
FILL, LOAD, FLOOR = (os.path.join(BUILD, "bench", n)
                     for n in ("relay_fill", "relay_load", "sqlite_floor"))
PATIENCE = 600
SERVER_CPU, GENERATOR_CPU = 1, 0


def setting(name, default):
    return type(default)(os.environ.get(name) or default)


PEERS = os.environ.get("PEERS")
RUNS, KILLS = setting("RUNS", 3 if PEERS else 1), setting("KILLS", 50 if PEERS else 10)
TRIES = setting("TRIES", 2)
WORKS = setting("WORKS", "W1 W1big W2 W3 W4 W5 W6").split()
SECS, SECS2, WARM, SETTLE = (setting(n, d) for n, d in
                             (("SECS", 10.0), ("SECS2", 8.0), ("WARM", 2.0), ("SETTLE", 12.0)))
PAIRS, RATE, COUNT, LOGINS, IDLE = (setting(n, d) for n, d in (
    ("PAIRS", 100), ("RATE", 2000), ("COUNT", 10000), ("LOGINS", 3000), ("IDLE", 5000)))
BIG_BOXES, BIG_MESSAGES = setting("BIG_BOXES", 100000), setting("BIG_MESSAGES", 1000000)
KILL_AFTER = [int(n) for n in setting("KILL_AFTER", "3000-7000").split("-")]
NOISE, PIN = setting("NOISE", 30.0), setting("PIN", 1) and (os.cpu_count() or 1) > 1
CROWD = 10          # senders of W3's second part
STOCKERS = 200      # senders that fill the waiting mailboxes
ACCOUNTS = max(2 * PAIRS, IDLE, min(LOGINS, 1000), STOCKERS + 1)

BESIDE = {"W1": ["mosquitto", "floorsync", "floorack"], "W2": ["mosquitto", "floorack", "floorsync"],
          "W3": ["mosquitto"], "W4": ["mosquitto", "floor"], "W5": ["mosquitto", "floor"]}


def on_cpu(cpu):
    return (lambda: os.sched_setaffinity(0, {cpu})) if PIN else None


class Failed(Exception):
    pass


def run(words, cpu=None, **options):
    done = subprocess.run(words, stdout=subprocess.PIPE, timeout=PATIENCE, text=True,
                          preexec_fn=on_cpu(cpu) if cpu is not None else None, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}: exit code {done.returncode}")
    return done.stdout


def fields(line):
    """A line of key=value pairs; numbers where they are some."""
    found = {}
    for word in line.split():
        key, equals, value = word.partition("=")
        if equals:
            try:
                found[key] = float(value)
            except ValueError:
                found[key] = value
    return found


class Results:
    """Lines by workload and peer, one for each round."""

    def __init__(self):
        self.lines = {}
        self.wrong = []

    def add(self, work, peer, line, **more):
        line = " ".join([line.strip(), *(f"{k}={v}" for k, v in more.items())])
        print(f"{work} {line}", flush=True)
        if os.environ.get("OUT"):
            with open(os.environ["OUT"], "a", encoding="utf-8") as f:
                print(f"{work} {line}", file=f)
        got = fields(line)
        self.lines.setdefault((work, peer), []).append(got)
        if peer in ("sotto", "asleep"):
            bad = [k for k in ("lost", "lost_acked", "dup", "ooo", "nack", "stale", "requests",
                               "closed") if got.get(k)]
            bad += [k for k in ("ok",) if work == "W4" and not got.get(k)]
            if bad:
                self.wrong.append(f"{work}: " + ", ".join(f"{k}={got[k]:g}" for k in bad))

    def values(self, work, peer, key):
        return [x[key] for x in self.lines.get((work, peer), []) if key in x]

    def median(self, work, peer, key):
        values = self.values(work, peer, key)
        return statistics.median(values) if values else None


# ---- ours ----------------------------------------------------------------------------------


class Relay:
    """A relay of its own on a folder."""

    def __init__(self, folder):
        words = [SOTTOD, "--config", os.path.join(SOURCE, "bench", "relay_bench.conf"),
                 "--data", folder, "--listen", "127.0.0.1:0", *threads(),
                 *os.environ.get("SOTTOD_ARGS", "").split()]
        self.log = open(folder + ".log", "ab")
        began = time.monotonic()
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=self.log,
                                        preexec_fn=on_cpu(SERVER_CPU))
        line = self.process.stdout.readline().split()
        self.start_ms = (time.monotonic() - began) * 1000
        if line[:2] != [b"sottod", b"ready"]:
            self.end()
            with open(folder + ".log", encoding="utf-8") as f:
                raise Failed("the relay does not start: " + f.read()[-500:])
        self.port, self.pin = line[2].rsplit(b":", 1)[1].decode(), line[4].decode()

    def load(self, *words):
        return run([LOAD, "--port", self.port, "--pin", self.pin, "--pid", str(self.process.pid),
                    *map(str, words)], GENERATOR_CPU)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.end() != 0:
            raise Failed(f"the relay ended with code {self.process.returncode}")

    def await_kill(self):
        """Somebody has killed it; that it is dead may take a moment."""
        if self.end() != -signal.SIGKILL:
            raise Failed(f"the relay ended with code {self.process.returncode}, and not by SIGKILL")

    def end(self):
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdout.close()
        self.log.close()
        return self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, failed, *_):
        if failed and self.process.poll() is None:
            self.process.kill()
        if self.process.poll() is None:
            self.stop()
        else:
            self.end()


def threads():
    count = os.environ.get("THREADS") or ("1" if PIN else "")
    help_text = subprocess.run([SOTTOD, "help"], capture_output=True, text=True).stdout
    return ["--threads", count] if count and "--threads" in help_text else []


class Ours:
    def __init__(self, scratch, results):
        self.scratch, self.results = scratch, results
        self.filled = self.big = None

    def fill(self, name, accounts):
        folder = os.path.join(self.scratch, name)
        run([FILL, "--data", folder, "--accounts", str(accounts)])
        return folder

    @contextlib.contextmanager
    def fresh(self):
        """A folder in which no relay ever ran, but with accounts."""
        if self.filled is None:
            self.filled = self.fill("filled", ACCOUNTS)
        folder = os.path.join(self.scratch, "relay")
        shutil.copytree(self.filled, folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def quiet(self, load):
        """Runs it again when others were too busy meanwhile; the last try counts."""
        for left in range(TRIES, 0, -1):
            line = load()
            if left == 1 or fields(line).get("other_cpu_pct", 0) <= NOISE:
                return line
            print(f"noisy {line.strip()}", flush=True)

    def simple(self, work, *words):
        with self.fresh() as folder, Relay(folder) as relay:
            line = self.quiet(lambda: relay.load("--work", work.lower(), *words))
        self.results.add(work, "sotto", line)

    def run(self, work):
        """One that fails does not take the others with it."""
        try:
            getattr(self, work.lower())()
        except (Failed, subprocess.TimeoutExpired) as e:
            print(f"{work}: {e}", flush=True)
            self.results.wrong.append(f"{work}: {e}")

    def w1(self):
        self.simple("W1", "--pairs", PAIRS, "--seconds", SECS, "--warm", WARM)

    def w2(self):
        self.simple("W2", "--pairs", max(1, PAIRS // 2), "--rate", RATE, "--seconds", SECS2,
                    "--warm", WARM)

    def w3(self):
        self.simple("W3", "--count", COUNT, *(["--awake"] if PIN else []))
        rows = [("W3x10", "sotto", "--senders", CROWD)]
        if PIN:
            rows.append(("W3", "asleep"))
        for work, peer, *words in rows:
            with self.fresh() as folder, Relay(folder) as relay:
                line = relay.load("--work", "w3", "--count", COUNT, *words)
            self.results.add(work, peer, line)
        self.floor("W3", 32, *([str(GENERATOR_CPU)] if PIN else []))
        self.floor("W3x10", 32 * CROWD)

    def floor(self, work, batch, *awake):
        path = os.path.join(self.scratch, "floor.db")
        for line in run([FLOOR, path, str(COUNT), str(batch), *awake], SERVER_CPU).splitlines():
            self.results.add(work, fields(line)["peer"], line)

    def w4(self):
        self.simple("W4", "--count", IDLE, "--settle", SETTLE)

    def w5(self):
        self.simple("W5", "--count", LOGINS)

    def w6(self):
        """Each round leaves its mailbox empty, so they all use one folder."""
        acked = os.path.join(self.scratch, "acked")
        with self.fresh() as folder:
            for _ in range(KILLS):
                after = random.randint(*KILL_AFTER)
                with Relay(folder) as relay:
                    relay.load("--work", "w6store", "--kill-after", after, "--file", acked)
                    relay.await_kill()
                with Relay(folder) as relay:
                    line = relay.load("--work", "w6drain", "--file", acked)
                    self.results.add("W6", "sotto", line, start_ms=f"{relay.start_ms:.0f}")

    def w1big(self):
        if self.big is None:
            self.big = self.fill("big", ACCOUNTS + BIG_BOXES)
            with Relay(self.big) as relay:
                line = relay.load("--work", "stock", "--senders", STOCKERS, "--box0", ACCOUNTS,
                                  "--boxes", BIG_BOXES, "--count", BIG_MESSAGES)
                self.results.add("stock", "sotto", line)
        with Relay(self.big) as relay:
            line = self.quiet(lambda: relay.load("--work", "w1", "--pairs", PAIRS, "--seconds", SECS,
                                                 "--warm", WARM))
        self.results.add("W1big", "sotto", line, start_ms=f"{relay.start_ms:.0f}")


# ---- the others ----------------------------------------------------------------------------


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Kit:
    """The kit's own scripts, one run at a time; what is built lies in the scratch folder."""

    def __init__(self, folder, scratch, results):
        self.folder, self.scratch, self.results = os.path.abspath(folder), scratch, results
        self.build = os.path.join(scratch, "kit")
        self.left_out = set()
        path = os.environ.get("PATH", "") + ":/usr/sbin"
        if shutil.which("mosquitto", path=path) is None:
            self.left_out.add("mosquitto")
            print("mosquitto is not installed: its rows are left out. To have them:\n"
                  "    apt-get install mosquitto && systemctl disable --now mosquitto", flush=True)
        run(["make", "-s", "-C", self.folder, f"B={self.build}"])

    def run(self, peer, work):
        if peer in self.left_out:
            return
        out = os.path.join(self.scratch, "kit.out")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(out)
        env = {k: v for k, v in os.environ.items() if k not in ("PEERS", "RUNS", "WORKS", "TAG")}
        env.update(B=self.build, TMPDIR=self.scratch, PORT=str(free_port()), PIN=str(int(PIN)),
                   SECS=f"{SECS:g}", SECS2=f"{SECS2:g}", WARM=f"{WARM:g}", IDLE=str(IDLE),
                   NOISE=f"{NOISE:g}", TRIES=str(TRIES), USERS=str(max(5200, IDLE)),
                   W4ARGS=f"--settle {SETTLE:g}")
        subprocess.run([os.path.join(self.folder, "suite.sh"), out, "1", work, peer], env=env,
                       stdout=subprocess.DEVNULL, timeout=PATIENCE, check=False)
        lines = []
        if os.path.exists(out):
            with open(out, encoding="utf-8") as f:
                lines = [line for line in f if "work=" in line]
        quiet = [line for line in lines if not line.startswith("noisy")]
        if not lines:
            print(f"{work} {peer}: no result", flush=True)
            return
        self.results.add(work, peer, (quiet or lines)[-1].replace("noisy ", ""))


# ---- tables --------------------------------------------------------------------------------

COLUMNS = {
    "W1": ["msgs_per_s", "srv_cpu_s_per_M", "gen_cpu_s_per_M", "p50_ms", "p99_ms", "disk_B_per_msg"],
    "W1big": ["msgs_per_s", "srv_cpu_s_per_M", "p50_ms", "start_ms", "rss_kb"],
    "W2": ["p50_ms", "p99_ms", "p999_ms", "srv_cpu_s_per_M"],
    "W3": ["store_per_s", "drain_per_s", "first_ms", "store_cpu_s", "drain_cpu_s",
           "disk_B_per_msg"],
    "W3x10": ["store_per_s", "drain_per_s", "first_ms", "store_cpu_s", "drain_cpu_s",
              "disk_B_per_msg"],
    "W4": ["kb_per_conn", "slope_kb", "login_cpu_ms", "idle_cpu_pct"],
    "W5": ["conn_per_s", "srv_ms_per_conn", "gen_ms_per_conn"],
    "W6": ["acked", "got", "lost_acked", "dup", "ooo", "start_ms"],
}
# what is asked: workload, figure, beside whom (None: a fixed figure), how, bound
TARGETS = [
    ("W1", "srv_cpu_s_per_M", "floorsync", "ratio", "<=", 1.7),
    ("W1", "srv_cpu_s_per_M", "mosquitto", "ratio", "<=", 1 / 8),
    ("W2", "p50_ms", "mosquitto", "ratio", "<=", 1),
    ("W2", "srv_cpu_s_per_M", "mosquitto", "ratio", "<=", 1),
    ("W3", "store_per_s", "sqlite-rows", "ratio", ">=", 0.8),
    ("W3x10", "store_per_s", None, "value", ">=", 95000),
    ("W3", "drain_per_s", None, "value", ">=", 150000),
    ("W3x10", "drain_per_s", None, "value", ">=", 150000),
    ("W4", "kb_per_conn", "floor", "difference", "<=", 1),
    ("W4", "kb_per_conn", "mosquitto", "ratio", "<=", 1),
    ("W5", "srv_ms_per_conn", "floor", "ratio", "<=", 1.6),
    ("W6", "lost_acked", None, "sum", "<=", 0),
    ("W1big", "srv_cpu_s_per_M", "W1", "ratio", "<=", 1.2),
    ("W1big", "start_ms", None, "value", "<=", 3000),
]


def number(v):
    return f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.3g}"


def spread(values):
    text = number(statistics.median(values))
    low, high = number(min(values)), number(max(values))
    return text if low == high else f"{text} ({low}-{high})"


def show(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip())


def show_figures(results):
    for work, columns in COLUMNS.items():
        peers = [p for w, p in results.lines if w == work]
        if not peers:
            continue
        print(f"\n{work}: medians (least-most)")
        columns = [c for c in columns if any(results.values(work, p, c) for p in peers)]
        rows = [["", "runs", "cal_ms", *columns]]
        for peer in peers:
            values = [results.values(work, peer, c) for c in ("cal_ms", *columns)]
            rows.append([peer, str(len(results.lines[work, peer])),
                         *(spread(v) if v else "" for v in values)])
        show(rows)


def beside(results, work, key, peer):
    """Ours and theirs, round by round."""
    ours = results.values(work, "sotto", key)
    theirs = results.values(peer, "sotto", key) if peer in COLUMNS \
        else results.values(work, peer, key)
    return ours, theirs


def judge(results, work, key, peer, how):
    """Ours, theirs, the figure that is asked about, and the same round by round; or None."""
    ours, theirs = beside(results, work, key, peer)
    if not ours or (peer and not theirs):
        return None
    mine = sum(ours) if how == "sum" else statistics.median(ours)
    if peer is None:
        return mine, None, mine, ours
    compare = (lambda a, b: a / b if b else 0) if how == "ratio" else (lambda a, b: a - b)
    other = statistics.median(theirs)
    return mine, other, compare(mine, other), [compare(a, b) for a, b in zip(ours, theirs)]


def speeds(results, work, peer):
    """How fast the machine was during ours and theirs."""
    ours, theirs = beside(results, work, "cal_ms", peer)
    return " / ".join(number(statistics.median(v)) for v in (ours, theirs) if v)


def show_targets(results):
    rows = [["", "ours", "beside", "", "result", "round by round", "asked", "", "cal_ms"]]
    for work, key, peer, how, sign, bound in TARGETS:
        got = judge(results, work, key, peer, how)
        if got is None:
            continue
        mine, other, result, rounds = got
        met = result <= bound if sign == "<=" else result >= bound
        unit = "x" if how == "ratio" else ""
        rows.append([f"{work} {key}", number(mine), peer or "", number(other) if peer else "",
                     number(result) + unit,
                     spread(rounds) if how != "sum" else f"of {len(rounds)} kills",
                     f"{sign} {number(bound)}{unit}", "met" if met else "not met",
                     speeds(results, work, peer)])
    if len(rows) > 1:
        print("\nWhat is asked")
        show(rows)


def main():
    # As many connections as the system lets a process have.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results = Results()
    with tempfile.TemporaryDirectory(prefix="sotto-bench") as scratch:
        os.chmod(scratch, 0o755)  # a peer may run as somebody else
        ours = Ours(scratch, results)
        kit = Kit(PEERS, scratch, results) if PEERS else None
        for _ in range(RUNS):
            for work in (w for w in WORKS if w != "W6"):
                ours.run(work)
                for peer in BESIDE.get(work, []) if kit else []:
                    kit.run(peer, work)
        if "W6" in WORKS:
            ours.run("W6")
    show_figures(results)
    show_targets(results)
    for line in results.wrong:
        print(f"wrong: {line}")
    return 1 if results.wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, subprocess.TimeoutExpired) as e:
        sys.exit(f"bench_relay: {e}")
