#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the tests and counts every single case.

    scripts/test.py [--build DIR] [--vectors DIR] [--only GROUP,...] [--jobs N] [NAME...]

Where tests come from, by group, in this order:

    unit     the programs that tests/unit/meson.build lists (cmocka, made to print TAP)
    sim      tests/sim                        relay and clients under every fault, by seeds
    fuzz     each fuzz target, replaying its corpus (tests/fuzz/replay.c prints TAP)
    lint     tests/lint/test_*.py or .sh      rules about the source and what is built
    decoder  tests/decoder/test_*.py          docs/protocol.md, read by another language
    e2e      tests/e2e/test_*.py or .sh       the real programs
    soak     tests/soak/test_*.py or .sh      only when asked for (make soak)

The convention for a script: executable; prints TAP on stdout, a line per case as it is decided:

    ok 1 - name
    not ok 2 - name
    ok 3 - name # SKIP why

and may print "1..N". A line "# timeout: SECONDS" within its first 20 lines changes the limit (300 s
for scripts; programs have the one that meson knows), a line "# sanitizers: address, thread" lets
these builds run it too (thread: where the programs have some). In cmocka, skip() after printing
"skip: why" on a line of its own. Lines that begin with "vectors: " are shown, so that the number of
cases is seen.

A failure is also: an exit code without a "not ok", a signal, the limit, fewer cases than planned,
no case at all, a sanitizer's report from any process, a file above 1 GiB, or a process left running.

What a test finds in its environment:

    SOTTO_SOURCE   the source tree                SOTTO_BUILD      the build folder
    SOTTO_VECTORS  the large vectors, or unset    SOTTO_SANITIZER  address, thread or empty
    TMPDIR, HOME   one fresh folder, removed afterwards (its path is short enough for a socket)

The last line is "N passed, N failed, N skipped"; the exit code is 1 if anything failed.
"""
import argparse
import concurrent.futures
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GROUPS = ["unit", "sim", "fuzz", "lint", "decoder", "e2e", "soak"]
SCRIPT_TIMEOUT = 300
SANITIZER_SLOWDOWN = 4
LOG_KEPT = 1 << 20  # bytes of the log of a test that was ended because it wrote without end
LARGEST_FILE = 1 << 30  # bytes; a test that runs away fills neither disk nor memory
TAP = re.compile(r"^(not )?ok\b(?:\s+\d+)?\s*(?:-\s+)?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\s*(?:#\s*SKIP\s*(.*))?$", re.IGNORECASE)
SKIP = re.compile(r"^(.*?)\s*#\s*SKIP\b\s*(.*)$", re.IGNORECASE)

running = set()  # process groups of tests under way, each a session of its own
running_lock = threading.Lock()


class Test:
    def __init__(self, group, name, cmd, timeout, cwd=ROOT, env=None):
        self.group, self.name, self.cmd = group, name, cmd
        self.timeout, self.cwd, self.env = timeout, cwd, env or {}
        self.passed, self.failed, self.skipped = 0, [], []
        self.vectors, self.output, self.seconds = [], "", 0.0

    @property
    def label(self):
        return f"{self.group}/{self.name}"


# ---- what there is to run ------------------------------------------------------------------


def introspect(build, what):
    out = subprocess.run(["meson", "introspect", what, build], check=True, capture_output=True)
    return json.loads(out.stdout)


def sanitizer_of(build):
    for option in introspect(build, "--buildoptions"):
        if option["name"] == "b_sanitize":
            return {"none": ""}.get(option["value"], option["value"].split(",")[0])
    return ""


def programs(build):
    for t in introspect(build, "--tests"):
        suite = t["suite"][-1].split(":")[-1] if t["suite"] else "unit"
        name = t["name"][5:] if t["name"].startswith("fuzz ") else t["name"]
        yield Test(suite, name, t["cmd"], t["timeout"], t["workdir"] or build, t["env"])


def head_of(path):
    with open(path, encoding="utf-8") as f:
        return [line.strip() for _, line in zip(range(20), f)]


def wanted_under(sanitizer, head):
    return not sanitizer or any(line.startswith("# sanitizers:") and sanitizer in line
                                for line in head)


def scripts(group, sanitizer):
    folder = os.path.join(ROOT, "tests", group)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        stem, ext = os.path.splitext(name)
        if not stem.startswith("test_") or ext not in (".py", ".sh"):
            continue
        path = os.path.join(folder, name)
        head = head_of(path)
        if not wanted_under(sanitizer, head):
            continue
        limits = [int(line.split(":")[1]) for line in head if line.startswith("# timeout:")]
        yield Test(group, stem[5:], [path], limits[0] if limits else SCRIPT_TIMEOUT)


def collect(args, sanitizer):
    tests = [t for t in programs(args.build) if t.group in args.only]
    for group in args.only:
        tests += scripts(group, sanitizer)
    if args.names:
        tests = [t for t in tests if any(n in t.label for n in args.names)]
    if sanitizer:
        for t in tests:
            t.timeout *= SANITIZER_SLOWDOWN
    return sorted(tests, key=lambda t: (GROUPS.index(t.group) if t.group in GROUPS else 0, t.name))


# ---- running one ---------------------------------------------------------------------------


def environment(args, sanitizer, test, tmp, mark):
    env = dict(os.environ)
    for name in list(env):
        if name.startswith(("XDG_", "SOTTO_", "MAKE")) or name in ("MFLAGS", "PREFIX", "DESTDIR"):
            del env[name]
    reports = os.path.join(tmp, "sanitizer-report")
    suppressions = os.path.join(ROOT, "tests", "tsan.supp")
    env.update(
        # The distribution's Python first: its packages are the ones that were installed.
        PATH="/usr/bin:" + env.get("PATH", ""),
        LC_ALL="C.UTF-8",
        HOME=os.path.join(tmp, "home"),
        TMPDIR=os.path.join(tmp, "tmp"),
        PYTHONDONTWRITEBYTECODE="1",
        CMOCKA_MESSAGE_OUTPUT="TAP",
        SOTTO_SOURCE=ROOT,
        SOTTO_BUILD=args.build,
        SOTTO_SANITIZER=sanitizer,
        SOTTO_TEST_RUN=mark,
        ASAN_OPTIONS=f"log_path={reports}:detect_stack_use_after_return=1:strict_string_checks=1",
        UBSAN_OPTIONS=f"log_path={reports}:print_stacktrace=1",
        TSAN_OPTIONS=f"log_path={reports}:second_deadlock_stack=1:suppressions={suppressions}",
    )
    if args.vectors:
        env["SOTTO_VECTORS"] = args.vectors
    env.update(test.env)
    return env


def processes_of(mark, group):
    """Living processes that a test started: of its process group, or with its mark inherited."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                name, rest = f.read().rsplit(")", 1)
            fields = rest.split()
            if fields[0] in "ZX":
                continue
            mine = int(fields[2]) == group
            if not mine:
                with open(f"/proc/{pid}/environ", "rb") as f:
                    mine = b"SOTTO_TEST_RUN=" + mark.encode() in f.read()
            if mine:
                found.append((int(pid), name.split("(", 1)[1]))
        except OSError:
            continue
    return found


def end_leftovers(mark, group):
    """Names of processes that did not end within two seconds of their test; ends them."""
    give_up = time.monotonic() + 2
    left = processes_of(mark, group)
    while left and time.monotonic() < give_up:
        time.sleep(0.05)
        left = processes_of(mark, group)
    for pid, _ in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return [name for _, name in left]


def run_process(test, env, output):
    """Exit code (negative: signal), or None when the limit passed."""
    process = subprocess.Popen(
        test.cmd, cwd=test.cwd, env=env, stdin=subprocess.DEVNULL, stdout=output,
        stderr=subprocess.STDOUT, start_new_session=True)
    with running_lock:
        running.add(process.pid)
    try:
        return process.pid, process.wait(test.timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return process.pid, None
    finally:
        with running_lock:
            running.discard(process.pid)


def stop_all():
    """Ctrl-C does not reach the tests' own sessions."""
    with running_lock:
        for group in running:
            os.killpg(group, signal.SIGKILL)


def scratch_for(group):
    """Unit tests sync thousands of times and prove nothing about a disk: in memory, if there is
    room. What runs the real programs does it on a real disk."""
    shm = "/dev/shm"
    if group in ("unit", "sim", "fuzz") and os.access(shm, os.W_OK):
        room = os.statvfs(shm)
        if room.f_bavail * room.f_frsize >= 4 * LARGEST_FILE:
            return shm
    return "/tmp"


# A process that is killed while its leaks are looked for says this, and has found nothing.
KILLED_MEANWHILE = re.compile(r"(==\d+==Unable to get registers from thread \d+\.\s*)+")


def reports_in(tmp):
    texts = []
    for name in sorted(os.listdir(tmp)):
        if name.startswith("sanitizer-report"):
            with open(os.path.join(tmp, name), errors="replace") as f:
                texts.append(f.read())
    return [text for text in texts if not KILLED_MEANWHILE.fullmatch(text)]


def run(args, sanitizer, test):
    mark = uuid.uuid4().hex
    tmp = tempfile.mkdtemp(prefix="st-", dir=scratch_for(test.group))
    os.chmod(tmp, 0o711)  # whoever a test of --user becomes has to get through
    for sub in ("home", "tmp"):
        os.mkdir(os.path.join(tmp, sub), 0o711)
    log = os.path.join(args.build, "test-logs", test.label.replace("/", "-") + ".log")
    began = time.monotonic()
    try:
        with open(log, "wb") as output:
            group, code = run_process(test, environment(args, sanitizer, test, tmp, mark), output)
        left = end_leftovers(mark, group)
        reports = reports_in(tmp)
    except OSError as e:
        with open(log, "a") as output:
            output.write(f"cannot run {test.cmd[0]}: {e}\n")
        code, left, reports = 127, [], []
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    if os.path.getsize(log) >= LARGEST_FILE:
        os.truncate(log, LOG_KEPT)
    with open(log, "a") as output:
        output.writelines(reports)
    with open(log, errors="replace") as f:
        test.output = f.read()
    test.seconds = time.monotonic() - began
    judge(test, code, left, reports)
    return test


# ---- counting ------------------------------------------------------------------------------


def read_tap(test):
    """Counts the cases of one output; returns how many were planned (None: not said)."""
    planned, reason = None, ""
    for line in test.output.splitlines():
        if line.startswith("vectors: "):
            test.vectors.append(line)
        elif line.startswith("skip: "):
            reason = line[6:]
        elif plan := PLAN.match(line):
            planned = (planned or 0) + int(plan[1])
            if plan[2]:
                test.skipped.append((test.name, plan[2]))
        elif line.startswith("Bail out!"):
            test.failed.append(line)
        elif case := TAP.match(line):
            read_case(test, case[1] is not None, case[2], reason)
            reason = ""
    return planned


def read_case(test, bad, text, reason):
    skip = SKIP.match(text)
    if skip is None:
        if bad:
            test.failed.append(text)
        else:
            test.passed += 1
    elif skip[1]:
        test.skipped.append((skip[1], skip[2]))
    else:  # cmocka: "not ok 2 # SKIP name"
        test.skipped.append((skip[2], reason))


def judge(test, code, left, reports):
    planned = read_tap(test)
    seen = test.passed + len(test.failed) + len(test.skipped)
    if code is None:
        test.failed.append(f"(did not end within {test.timeout} s)")
    elif code < 0:
        test.failed.append(f"(ended by {signal.Signals(-code).name})")
    elif code != 0 and not test.failed:
        test.failed.append(f"(ended with exit code {code})")
    elif planned is not None and seen < planned:
        test.failed.append(f"({planned} cases planned, {seen} seen)")
    elif seen == 0:
        test.failed.append("(printed no result)")
    if reports:
        test.failed.append(f"(sanitizer: {len(reports)} reports)")
    if left:
        test.failed.append("(left running: " + ", ".join(left) + ")")


def show(test, verbose):
    state = "FAILED" if test.failed else "ok"
    extra = f", {len(test.failed)} failed" if test.failed else ""
    extra += f", {len(test.skipped)} skipped" if test.skipped else ""
    print(f"{state:6} {test.label:32} {test.passed} passed{extra}  ({test.seconds:.1f} s)")
    for line in test.vectors:
        print(f"       {line}")
    if test.failed or verbose:
        lines = test.output.splitlines()
        for line in lines if verbose else lines[-200:]:
            print(f"    | {line}")
    sys.stdout.flush()


def summary(tests):
    print()
    for t in tests:
        for name, why in t.skipped:
            print(f"skipped: {t.label}: {name}" + (f" ({why})" if why else ""))
    for t in tests:
        for name in t.failed:
            print(f"failed: {t.label}: {name}")
    failed = sum(len(t.failed) for t in tests)
    print(f"{sum(t.passed for t in tests)} passed, {failed} failed, "
          f"{sum(len(t.skipped) for t in tests)} skipped")
    return 1 if failed else 0


def arguments():
    p = argparse.ArgumentParser(description="Runs the tests and counts every single case.")
    p.add_argument("--build", default="build", help="the build folder (default: build)")
    p.add_argument("--vectors", help="a folder with the large vector sets")
    p.add_argument("--only", default="unit,sim,fuzz,lint,decoder,e2e", help="groups, comma-separated")
    p.add_argument("--jobs", type=int, default=2, help="tests at a time (default: 2)")
    p.add_argument("--verbose", action="store_true", help="show the output of every test")
    p.add_argument("names", nargs="*", help="only tests whose GROUP/NAME contains one of these")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    args.only = args.only.split(",")
    unknown = set(args.only) - set(GROUPS)
    if unknown:
        p.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if args.vectors:
        args.vectors = os.path.abspath(args.vectors)
        if not os.path.isdir(args.vectors):
            p.error(f"VECTORS: there is no folder {args.vectors}")
    return args


def main():
    args = arguments()
    sanitizer = sanitizer_of(args.build)
    tests = collect(args, sanitizer)
    if not tests:
        sys.exit("test.py: no test of that name")
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    shutil.rmtree(os.path.join(args.build, "test-logs"), ignore_errors=True)
    os.makedirs(os.path.join(args.build, "test-logs"))
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(run, args, sanitizer, t) for t in tests]
        try:
            for done in concurrent.futures.as_completed(futures):
                show(done.result(), args.verbose)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
            sys.exit("test.py: stopped")
    return summary(tests)


if __name__ == "__main__":
    sys.exit(main())
