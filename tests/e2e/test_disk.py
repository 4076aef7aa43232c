#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A relay whose disk is full: senders are told, what was stored stays, and it goes on by itself when
there is room again. On a small ext4 of its own on a loop device, as root; without root on a tmpfs in
namespaces of its own, where users may have some."""
# timeout: 600
import contextlib
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from sottolab import until  # noqa: E402

FULL = "nothing can be stored"  # what the relay's log says
ROUNDS = 3


@contextlib.contextmanager
def small_disk(lab, megabytes, *options):
    """A folder on an ext4 of its own, made with these options, or else (without any) a tmpfs."""
    if os.geteuid() != 0:
        raise sottolab.Skip("only root can mount a file system")
    folder, image = lab.path("disk"), lab.path("image")
    os.mkdir(folder)
    with open(image, "wb") as f:
        f.truncate(megabytes << 20)
    ways = (["sh", "-c", f"mkfs.ext4 -q -O ^has_journal -m 0 {' '.join(options)} {image} && "
                         f"mount -o loop {image} {folder}"],
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder])
    if not any(lab.run(way).code == 0 for way in (ways[:1] if options else ways)):
        raise sottolab.Skip("no file system can be mounted here")
    with open("/proc/self/mounts") as f:
        print("# the disk:", *(line.split()[2] for line in f if line.split()[1] == folder), flush=True)
    try:
        yield folder
    finally:
        for running in lab.running:
            running.end()
        subprocess.run(["umount", folder], check=True, timeout=sottolab.PATIENCE)


class Ballast:
    """A file that takes all the room there is."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "ballast")

    def fill(self):
        with open(self.path, "ab", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(1 << 16))
        with open(self.path, "ab", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(512))

    def room(self):
        fs = os.statvfs(os.path.dirname(self.path))
        return fs.f_bavail * fs.f_frsize >> 10

    def leave(self, wanted):
        """Takes all the room but so many blocks of 1 KiB."""
        subprocess.run(["sync", "-f", os.path.dirname(self.path)], check=True)
        with open(self.path, "ab", buffering=0) as f, contextlib.suppress(OSError):
            while (more := self.room() - wanted) > 0:
                os.posix_fallocate(f.fileno(), os.path.getsize(self.path), more << 10)
        while self.room() < wanted:
            os.truncate(self.path, os.path.getsize(self.path) - 1024)

    def free(self):
        os.unlink(self.path)


def relay_on(lab, folder, *options):
    lab.relays += 1
    relay = sottolab.Relay.__new__(sottolab.Relay)
    relay.lab, relay.options, relay.log = lab, ("--quota-messages", "100000", *options), ""
    relay.data = os.path.join(folder, "data")
    relay.port = relay.running = relay.pin = None
    return relay.start()


def try_to_start(lab, relay):
    """None: it is ready. Otherwise it has said in one line that the disk is full; the Result."""
    relay.running = running = lab.start([sottolab.SOTTOD, "--data", relay.data, "--listen",
                                         f"127.0.0.1:{relay.port}", *relay.options])
    until("a start or a reason", lambda: running.out + running.err,
          lambda s: "ready" in s or running.process.poll() is not None)
    if running.process.poll() is None:
        return None
    result = running.wait()
    lines = [line for line in result.err.splitlines() if line.startswith("sottod: ")]
    assert result.code == 1 and len(lines) == 1, result
    assert re.search("full|[Nn]o (room|space) left", result.err), result
    return result


def send_until_refused(alice, texts, big):
    """Texts that were stored; ends with the first one that was not."""
    stored = []
    for n in range(10000):
        text = f"message {len(texts) + n} {big}"
        result = alice.run("send", "bob", text)
        if result.code != 0:
            assert result.code == 3 and result.out.split()[1:] == ["queued"], result
            return stored, text
        stored.append(text)
    raise AssertionError("the disk does not get full")


def difference(got, wanted):
    return {"lost": [t[:20] for t in wanted if t not in got],
            "twice": [t[:20] for t in got if got.count(t) > 1],
            "order": [t[:20] for t in got]}


def check_full(lab):
    """full again and again: senders are told, nothing stored is lost, storing works again by itself"""
    with small_disk(lab, 12) as folder:
        relay, ballast = relay_on(lab, folder), Ballast(folder)
        alice, bob = lab.people(relay, "alice", "bob")
        alice.befriend(bob)
        texts = []
        result = lab.run([sottolab.SOTTOD, "check", "--data", relay.data])
        assert result.code == 1 and "are free under" in result.out and "make room" in result.out, result
        for _ in range(ROUNDS):
            ballast.fill()
            stored, refused = send_until_refused(alice, texts, "x" * 3000)
            relay.running.until_err(FULL)
            assert relay.running.process.poll() is None, relay.running.err
            ballast.free()
            # What was queued goes out with the next call, in order, before what comes then.
            texts += [*stored, refused, f"after {len(texts)}"]
            alice.send("bob", texts[-1])
        got = [m["text"] for m in bob.receive(len(texts))]
        assert got == texts, difference(got, texts)
        assert "storing works again" in relay.running.err, relay.running.err
        result = relay.stop()
        assert result.code == 0, result


def check_full_and_killed(lab):
    """killed on a full disk and started on it: says what is wrong or starts; nothing stored is lost"""
    with small_disk(lab, 12) as folder:
        relay, ballast = relay_on(lab, folder), Ballast(folder)
        alice, bob = lab.people(relay, "alice", "bob")
        alice.befriend(bob)
        ballast.fill()
        stored, refused = send_until_refused(alice, [], "x" * 3000)
        relay.kill()
        try_to_start(lab, relay)
        relay.running.end()
        ballast.free()
        relay.start()
        alice.send("bob", "the last")
        got = [m["text"] for m in bob.receive(len(stored) + 2)]
        assert got == [*stored, refused, "the last"], difference(got, stored)


# Where writing into a hole of the log's index would end a relay, these are several.
FREE_BLOCKS = [*range(0, 160, 4), *range(160, 321, 32)]


def copy(source, target):
    """With the socket that a killed relay leaves."""
    shutil.rmtree(target, ignore_errors=True)
    if source is not None:
        subprocess.run(["cp", "-a", source, target], check=True)


def check_any_room_left(lab):
    """started with any room left on small blocks: is ready or says why not; with room all is there"""
    with small_disk(lab, 12, "-b 1024") as folder:
        relay, ballast = relay_on(lab, folder), Ballast(folder)
        alice, bob = lab.people(relay, "alice", "bob")
        alice.befriend(bob)
        alice.send("bob", "one")
        assert relay.stop().code == 0
        copy(relay.data, stopped := lab.path("stopped"))
        relay.start()
        alice.send("bob", "two")
        relay.kill()
        copy(relay.data, killed := lab.path("killed"))
        copy(relay.data, without := lab.path("without"))
        os.unlink(os.path.join(without, "relay.db-shm"))
        for kind in (None, stopped, without, killed):
            ready = []
            for blocks in FREE_BLOCKS:
                copy(kind, relay.data)
                ballast.leave(blocks)
                refused = try_to_start(lab, relay)
                relay.running.end()
                ballast.free()
                if refused is None:
                    ready.append(blocks)
                    continue
                assert try_to_start(lab, relay) is None, (kind, blocks)
                relay.running.end()
            assert 0 not in ready and FREE_BLOCKS[-1] in ready, (kind, ready)
        relay.start()
        got = [m["text"] for m in bob.receive(2)]
        assert got == ["one", "two"], got


def health(relay):
    """What a monitor is answered."""
    at = re.search(r"metrics at (http://[^/]+)", relay.running.until_err("metrics at "))[1]
    try:
        with urllib.request.urlopen(f"{at}/health", timeout=sottolab.PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as e:
        return e.code


def check_people_who_are_there(lab):
    """on a full disk people who are both there go on talking; who is away gets it afterwards"""
    with small_disk(lab, 12) as folder:
        relay, ballast = relay_on(lab, folder, "--metrics", "127.0.0.1:0"), Ballast(folder)
        assert health(relay) == 200
        alice, bob, carol = lab.people(relay, "alice", "bob", "carol")
        alice.befriend(bob)
        alice.befriend(carol)
        follower = bob.start("receive", "--follow", "--json")
        chat = alice.start("chat", "bob", stdin=subprocess.PIPE)
        chat.write("before\n")
        follower.until_out("before")
        ballast.fill()
        fill, queued = 0, None
        while queued is None and fill < 10000:
            fill += 1
            result = alice.run("send", "carol", f"{fill} " + "x" * 3000)
            queued = None if result.code == 0 else fill
        assert queued is not None, "the disk does not get full"
        relay.running.until_err(FULL)
        for n in range(20):
            chat.write(f"while it is full {n}\n")
            follower.until_out(f"while it is full {n}")
        assert alice.run("send", "carol", "still full").code != 0
        assert health(relay) == 503
        fill += 1
        ballast.free()
        alice.send("bob", "after")
        follower.until_out("after")
        alice.send("carol", "and you")
        got = [m["text"].split()[0] for m in carol.receive(fill + 1)]
        assert got == [*map(str, range(1, fill)), "still", "and"], got
        result = chat.wait()
        assert result.code == 0 and "not sent yet" not in result.err, result
        states = {m["text"]: m["state"] for m in alice.history("bob")}
        assert all(states[f"while it is full {n}"] in ("delivered", "read") for n in range(20)), states
        assert health(relay) == 200


def main():
    namespaces = ["unshare", "--map-root-user", "--mount"]
    if os.geteuid() != 0 and shutil.which("unshare") and \
            subprocess.run([*namespaces, "true"], capture_output=True).returncode == 0:
        os.execvp(namespaces[0], [*namespaces, sys.executable, *sys.argv])
    sottolab.main([check_full, check_full_and_killed, check_any_room_left,
                   check_people_who_are_there])


if __name__ == "__main__":
    main()
