#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The relay as its operator meets it: start, stop, kill, what is wrong with a folder, invites."""
# sanitizers: address, thread
import base64
import hashlib
import os
import pwd
import signal
import socket
import ssl
import stat
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sottolab  # noqa: E402
from sottolab import SOTTOD, until  # noqa: E402

STOP_SECONDS = 5 if not sottolab.SANITIZER else 30


# ---- a connection without any of our code --------------------------------------------------


def context(low=ssl.TLSVersion.TLSv1_3, high=ssl.TLSVersion.TLSv1_3, alpn="sotto/1"):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    c.minimum_version, c.maximum_version = low, high
    if alpn:
        c.set_alpn_protocols([alpn])
    return c


class Wire:
    def __init__(self, port, host="127.0.0.1", **options):
        plain = socket.create_connection((host, port), sottolab.PATIENCE)
        self.tls = context(**options).wrap_socket(plain)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tls.close()

    def exactly(self, n):
        data = b""
        while len(data) < n:
            part = self.tls.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def frame(self):
        """The body of the next one; None when the relay has ended the connection."""
        try:
            n = struct.unpack(">I", self.exactly(4))[0]
            assert 0 < n <= 128 * 1024, n
            return self.exactly(n)
        except (EOFError, ConnectionResetError):
            return None

    def send(self, body):
        self.tls.sendall(struct.pack(">I", len(body)) + body)

    def spki_pin(self):
        return pin_of(self.tls.getpeercert(binary_form=True))


def der(data, at=0):
    """Tag, start of the value, end."""
    n, value = data[at + 1], at + 2
    if n & 0x80:
        value += n & 0x7f
        n = int.from_bytes(data[at + 2:value], "big")
    return data[at], value, value + n


def pin_of(certificate):
    _, inside, _ = der(certificate)
    _, at, _ = der(certificate, inside)
    fields = 6 if certificate[at] == 0xa0 else 5  # version, serial, ..., subject
    for _ in range(fields):
        _, _, at = der(certificate, at)
    _, _, end = der(certificate, at)
    digest = hashlib.sha256(certificate[at:end]).digest()
    return "sha256:" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


PING = bytes([0x08, 0x07, 0xd2, 0x01, 0x00])  # Request{id: 7, ping: {}}
PONG = bytes([0x08, 0x07, 0x5a, 0x00])        # Answer{id: 7, done: {}}
CLOSING_SHUTDOWN = bytes([0x9a, 0x02])        # Answer{closing: ...}, followed by {reason: 1, ...}


def connected(relay, **options):
    wire = Wire(relay.port, **options)
    assert wire.frame() is not None, "no hello"
    return wire


def refused(lab, *options, code=1):
    """A start that must fail: its one line."""
    result = lab.run([SOTTOD, *options])
    assert result.code == code, result
    assert result.out == "", result
    lines = [line for line in result.err.splitlines() if line.startswith("sottod: ")]
    assert len(lines) == 1, result
    return lines[0]


def snapshot(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if name == "lock":
                continue
            with open(os.path.join(where, name), "rb") as f:
                found[os.path.join(where, name)] = f.read()
    return found


# ---- start ---------------------------------------------------------------------------------


def check_ready(lab):
    """The ready lines come first, one for each address, with the pin of the certificate that is used"""
    running = lab.start([SOTTOD, "--data", lab.path("d"), "--listen", "127.0.0.1:0",
                         "--listen", "[::1]:0"])
    running.until_out("\n", 2)
    lines = [line.split() for line in running.out.splitlines()]
    assert len(lines) == 2 and all(w[:2] == ["sottod", "ready"] and w[3] == "pin" for w in lines), lines
    assert lines[0][2].startswith("127.0.0.1:") and lines[1][2].startswith("[::1]:"), lines
    assert lines[0][4] == lines[1][4]
    for words, host in zip(lines, ("127.0.0.1", "::1")):
        with Wire(int(words[2].rsplit(":", 1)[1]), host) as wire:
            assert wire.tls.version() == "TLSv1.3"
            assert wire.tls.selected_alpn_protocol() == "sotto/1"
            assert wire.spki_pin() == words[4], (wire.spki_pin(), words)
            assert wire.frame() is not None
    running.signal(signal.SIGTERM)
    result = running.wait()
    assert result.code == 0 and result.out.count("\n") == 2, result


def check_private(lab):
    """What lies in the folder is for its owner alone"""
    relay = lab.relay()
    for where, folders, names in os.walk(relay.data):
        for name in folders + names + ["."]:
            mode = os.stat(os.path.join(where, name)).st_mode
            if name == "server_cert.pem":
                continue
            assert stat.S_IMODE(mode) & 0o077 == 0, (where, name, oct(mode))


def check_old_tls(lab):
    """TLS 1.2, another protocol, or none at all is refused; the relay goes on"""
    relay = lab.relay()
    for options in (dict(low=ssl.TLSVersion.TLSv1_2, high=ssl.TLSVersion.TLSv1_2),
                    dict(alpn="http/1.1"), dict(alpn=None)):
        try:
            with Wire(relay.port, **options) as wire:
                assert wire.frame() is None, options
        except (ssl.SSLError, ConnectionResetError):
            pass
    with socket.create_connection(("127.0.0.1", relay.port)) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        plain.settimeout(sottolab.PATIENCE)
        try:
            while plain.recv(4096):
                pass
        except ConnectionResetError:
            pass
    with connected(relay) as wire:
        wire.send(PING)
        assert wire.frame() == PONG


def check_bad_frames(lab):
    """A frame that is too long or senseless ends its connection and no other"""
    relay = lab.relay()
    with connected(relay) as good:
        for bad in (struct.pack(">I", 128 * 1024 + 1), struct.pack(">I", 0xffffffff),
                    struct.pack(">I", 3) + b"\xff\xff\xff", struct.pack(">I", 0)):
            with connected(relay) as wire:
                wire.tls.sendall(bad)
                while wire.frame() is not None:
                    pass
        # One byte at a time is no offence.
        for byte in struct.pack(">I", len(PING)) + PING:
            good.tls.sendall(bytes([byte]))
        assert good.frame() == PONG


# ---- what keeps it from starting -----------------------------------------------------------


def check_second_relay(lab):
    """A second relay on the folder says so and changes nothing; the first one goes on"""
    relay = lab.relay()
    before = snapshot(os.path.join(relay.data, "cert"))
    line = refused(lab, "--data", relay.data, "--listen", "127.0.0.1:0")
    assert "another relay" in line and str(relay.running.pid) in line and relay.data in line, line
    assert snapshot(os.path.join(relay.data, "cert")) == before
    with connected(relay) as wire:
        wire.send(PING)
        assert wire.frame() == PONG


def check_port_in_use(lab):
    """A port in use is named, with what to do"""
    relay = lab.relay()
    line = refused(lab, "--data", lab.path("other"), "--listen", f"127.0.0.1:{relay.port}")
    assert f"127.0.0.1:{relay.port}" in line and "in use" in line and "another port" in line, line
    # The folder it made is good for a start on another port.
    second = lab.start([SOTTOD, "--data", lab.path("other"), "--listen", "127.0.0.1:0"])
    second.until_out("sottod ready")


def check_config(lab):
    """The config file holds the same settings; flags win; a bad line is named by file and number"""
    path = lab.path("sottod.conf")
    with open(path, "w") as f:
        f.write(f"# test\ndata = {lab.path('elsewhere')}\nlisten = 127.0.0.1:1\nregistration = open\n")
    running = lab.start([SOTTOD, "--config", path, "--data", lab.path("d"), "--listen",
                         "127.0.0.1:0"])
    running.until_out("sottod ready 127.0.0.1:")
    assert not os.path.exists(lab.path("elsewhere"))
    with open(path, "a") as f:
        f.write("quota_messages = lots\n")
    line = refused(lab, "--config", path)
    assert f"{path}:5:" in line and "quota_messages" in line and "lots" in line, line
    assert "/nonexistent" in refused(lab, "--config", "/nonexistent/x.conf")
    assert "--listen" in refused(lab, "--listen", code=2)
    assert "listen" in refused(lab, "--listen", "127.0.0.1:99999", code=2)
    assert "banana" in refused(lab, "--banana", "1", code=2)
    assert "commands" in refused(lab, "banana", code=2)


def check_broken_certificate(lab):
    """A broken pair is refused with its mending, stays as it is, and the mended folder starts"""
    relay = lab.relay()
    relay.stop()
    key, cert = (os.path.join(relay.data, "cert", n) for n in ("server_key.pem", "server_cert.pem"))
    other = lab.relay()
    other.stop()
    good = snapshot(os.path.join(relay.data, "cert"))

    def write(path, data):
        with open(path, "wb") as f:
            f.write(data)

    def attempt(*words):
        before = snapshot(os.path.join(relay.data, "cert"))
        line = refused(lab, "--data", relay.data, "--listen", "127.0.0.1:0")
        assert all(w in line for w in words), line
        assert snapshot(os.path.join(relay.data, "cert")) == before
        for path, data in good.items():
            write(path, data)

    write(cert, b"not a certificate\n")
    attempt("server_cert.pem")
    write(key, good[key][:100])
    attempt("server_key.pem")
    with open(os.path.join(other.data, "cert", "server_key.pem"), "rb") as f:
        write(key, f.read())
    attempt("do not belong together", "server_key.pem")
    os.chmod(key, 0o644)
    attempt("chmod")
    os.chmod(key, 0o600)
    os.unlink(cert)
    attempt("server_cert.pem")
    pin = relay.pin
    relay.start()
    assert relay.pin == pin


def check_broken_store(lab):
    """A store that is none, or readable by others, is refused and stays as it is"""
    os.mkdir(lab.path("d"), 0o700)
    path = os.path.join(lab.path("d"), "relay.db")
    with open(path, "wb", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(b"this was never a database " * 100)
    before = snapshot(lab.path("d"))
    assert "relay.db" in refused(lab, "--data", lab.path("d"), "--listen", "127.0.0.1:0")
    after = {p: b for p, b in snapshot(lab.path("d")).items() if p in before}
    assert after == before
    os.unlink(path)
    os.chmod(lab.path("d"), 0o777)
    assert "chmod" in refused(lab, "--data", lab.path("d"), "--listen", "127.0.0.1:0")


# ---- stop ----------------------------------------------------------------------------------


def stops(lab, number):
    relay = lab.relay()
    with connected(relay) as wire, connected(relay) as silent:
        begin = time.monotonic()
        relay.running.signal(number)
        frame = wire.frame()
        assert frame is not None and frame.startswith(CLOSING_SHUTDOWN), frame
        assert wire.frame() is None  # an orderly end: not a reset
        result = relay.running.wait(STOP_SECONDS)
        assert result.code == 0, result
        assert time.monotonic() - begin < STOP_SECONDS
        assert silent.frame().startswith(CLOSING_SHUTDOWN)
    assert "stopped" in result.err, result.err


def check_sigterm(lab):
    """SIGTERM: clients are told, exit 0 within five seconds, also when one of them never hangs up"""
    stops(lab, signal.SIGTERM)


def check_sigint(lab):
    """SIGINT is the same"""
    stops(lab, signal.SIGINT)


def check_kill(lab):
    """kill -9 never blocks the next start; who the relay is stays"""
    relay = lab.relay()
    with connected(relay) as wire:
        pin, port = relay.pin, relay.port
        assert relay.kill().code == -signal.SIGKILL
        assert wire.frame() is None
    for _ in range(3):
        relay.start()
        assert (relay.pin, relay.port) == (pin, port)
        relay.kill()


def check_sighup(lab):
    """SIGHUP takes a new certificate for new connections; old ones go on; a broken one is not taken"""
    relay, other = lab.relay(), lab.relay()
    with connected(relay) as old:
        for name in ("server_cert.pem", "server_key.pem"):
            with open(os.path.join(other.data, "cert", name), "rb") as f:
                data = f.read()
            with open(os.path.join(relay.data, "cert", name), "wb") as f:
                f.write(data)
        relay.running.signal(signal.SIGHUP)
        relay.running.until_err(other.pin)
        with connected(relay) as fresh:
            assert fresh.spki_pin() == other.pin
        old.send(PING)
        assert old.frame() == PONG
        with open(os.path.join(relay.data, "cert", "server_key.pem"), "wb") as f:
            f.write(b"broken")
        relay.running.signal(signal.SIGHUP)
        relay.running.until_err("not reloaded")
        with connected(relay) as fresh:
            assert fresh.spki_pin() == other.pin


def check_max_connections(lab):
    """More connections than allowed are turned away; those that are there go on"""
    relay = lab.relay("--max-connections", "3")
    wires = [connected(relay) for _ in range(3)]
    try:
        Wire(relay.port).tls.close()
        raise AssertionError("the fourth one was taken")
    except (ssl.SSLError, ConnectionResetError, OSError):
        pass
    relay.running.until_err("turned away")
    wires.pop().tls.close()
    for wire in wires:
        wire.send(PING)
        assert wire.frame() == PONG

    def again():
        try:
            return connected(relay)
        except (ssl.SSLError, OSError, AssertionError):
            return None
    until("room for another one", again).tls.close()


# ---- invites -------------------------------------------------------------------------------


def parse(link):
    """Host, port, relay id, pins, code, by the layout in docs/protocol.md."""
    assert link.startswith("sotto://"), link
    address, text = link[len("sotto://"):].split("/")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    version, relay, pins = data[0], data[1:33], data[33]
    at = 34 + 32 * pins
    assert version == 1 and data[at] == 16
    code = data[at + 1:at + 17]
    assert len(data) == at + 17 + 4
    host, port = address.rsplit(":", 1)
    return host, int(port), relay, [data[34 + 32 * i:66 + 32 * i] for i in range(pins)], code


def check_invite(lab):
    """sottod invite prints a link and nothing else, while the relay runs and while it does not"""
    relay = lab.relay()
    links = [lab.run([SOTTOD, "invite", "--data", relay.data])]
    links.append(lab.run([SOTTOD, "invite", "--data", relay.data, "--uses", "3", "--expires", "2h"]))
    relay.stop()
    links.append(lab.run([SOTTOD, "invite", "--data", relay.data]))
    seen = set()
    for result in links:
        assert result.code == 0 and result.err == "" and result.out.count("\n") == 1, result
        host, port, _, pins, code = parse(result.out.strip())
        assert (host, port) == ("127.0.0.1", relay.port)
        pin = "sha256:" + base64.urlsafe_b64encode(pins[0]).rstrip(b"=").decode()
        assert pin == relay.pin and len(pins) == 1
        seen.add(code)
        for path, data in snapshot(relay.data).items():
            assert code not in data, f"a code in clear in {path}"
            if path.endswith("relay.db"):
                database = data
        assert hashlib.sha256(code).digest() in database  # so the search can find
    assert len(seen) == 3


def check_invite_public(lab):
    """The link names --public, of the relay or of the command"""
    relay = lab.relay("--public", "relay.example.org")
    host, port, *_ = parse(relay.invite())
    assert (host, port) == ("relay.example.org", relay.port)
    host, port, *_ = parse(relay.invite("--public", "[2001:db8::1]:443"))
    assert (host, port) == ("[2001:db8::1]", 443)


def check_invite_without_relay(lab):
    """Where no relay ever ran the command says so and makes nothing"""
    for words in ((), ("--uses", "2")):
        result = lab.run([SOTTOD, "invite", "--data", lab.path("none"), *words])
        assert result.code == 1 and result.out == "" and lab.path("none") in result.err, result
        assert not os.path.exists(lab.path("none"))
    assert "--uses" in refused(lab, "invite", "--uses", "0", code=2)
    assert "--expires" in refused(lab, "invite", "--expires", "soon", code=2)
    # With an address it may come before the relay's first start, and stays true.
    result = lab.run([SOTTOD, "invite", "--data", lab.path("d"), "--public", "127.0.0.1:4444"])
    host, port, identity, pins, _ = parse(result.out.strip())
    assert (host, port) == ("127.0.0.1", 4444), result
    running = lab.start([SOTTOD, "--data", lab.path("d"), "--listen", "127.0.0.1:0"])
    running.until_out("\n")
    assert base64.urlsafe_b64encode(pins[0]).rstrip(b"=").decode() in running.out
    again = parse(lab.run([SOTTOD, "invite", "--data", lab.path("d")]).out.strip())
    assert again[2] == identity


def check_everywhere(lab):
    """Without --listen it is all addresses, and invites name one that others can reach"""
    in_a_net_of_its_own = ["unshare", "-n" if os.geteuid() == 0 else "-rn", "sh", "-c"]
    set_up = "ip link set lo up && ip address add 10.9.8.7/24 dev lo"
    if lab.run([*in_a_net_of_its_own, set_up]).code != 0:
        raise sottolab.Skip("no network namespaces here (unshare, ip)")
    running = lab.start([*in_a_net_of_its_own, f"{set_up} && exec {SOTTOD} --data {lab.path('d')}"])
    running.until_out("sottod ready 0.0.0.0:12345 pin ")
    running.until_err("invites name 10.9.8.7:12345")
    host, port, *_ = parse(lab.run([SOTTOD, "invite", "--data", lab.path("d")]).out.strip())
    assert (host, port) == ("10.9.8.7", 12345)
    running.signal(signal.SIGTERM)
    assert running.wait().code == 0


# ---- users ---------------------------------------------------------------------------------


def check_user(lab):
    """--user: a relay of root becomes that user, for good, and so does all that it makes"""
    if os.geteuid() != 0:
        raise sottolab.Skip("only root can become another user")
    if sottolab.SANITIZER:
        raise sottolab.Skip("the leak check cannot look at a process that changed its user")
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise sottolab.Skip("there is no user nobody") from None
    os.chmod(lab.dir, 0o755)
    outer = os.path.dirname(lab.dir)
    reachable = True
    while outer != "/" and reachable:
        reachable = bool(os.stat(outer).st_mode & 0o001)
        outer = os.path.dirname(outer)
    if not reachable:
        raise sottolab.Skip("the test's folder cannot be reached by another user")
    port = next((p for p in range(1023, 600, -1) if bindable(p)), None)
    running = lab.start([SOTTOD, "--data", lab.path("d"), "--user", "nobody",
                         "--listen", f"127.0.0.1:{port}"], preexec_fn=lambda: os.setgroups([0, 54321]))
    running.until_out("sottod ready")
    with open(f"/proc/{running.pid}/status") as f:
        status = {line.split(":")[0]: line.split()[1:] for line in f}
    assert set(status["Uid"]) == {str(nobody.pw_uid)}, status["Uid"]
    assert set(status["Gid"]) == {str(nobody.pw_gid)}, status["Gid"]
    assert set(status["Groups"]) <= set(map(str, os.getgrouplist("nobody", nobody.pw_gid))), status
    assert int(status["CapEff"][0], 16) == int(status["CapPrm"][0], 16) == 0
    for where, folders, names in os.walk(lab.path("d")):
        for name in folders + names + ["."]:
            assert os.stat(os.path.join(where, name)).st_uid == nobody.pw_uid, (where, name)
    # The operator's command, by root, leaves nothing of root there.
    assert lab.run([SOTTOD, "invite", "--data", lab.path("d")]).code == 0
    for where, _, names in os.walk(lab.path("d")):
        for name in names:
            assert os.stat(os.path.join(where, name)).st_uid == nobody.pw_uid, (where, name)
    os.mkdir(lab.path("roots"), 0o700)
    line = refused(lab, "--data", lab.path("roots"), "--user", "nobody", "--listen", "127.0.0.1:0")
    assert "chown" in line and os.stat(lab.path("roots")).st_uid == 0, line
    assert "no-such-user" in refused(lab, "--data", lab.path("x"), "--user", "no-such-user",
                                     "--listen", "127.0.0.1:0")


def bindable(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def check_words(lab):
    """--version and help say what they are asked for"""
    version = lab.run([SOTTOD, "--version"])
    assert version.code == 0 and version.out.startswith("sottod ") and version.out.count("\n") == 1
    for words in (["help"], ["--help"], ["-h"]):
        result = lab.run([SOTTOD, *words])
        assert result.code == 0 and "usage: sottod" in result.out and result.err == "", result


def check_mistakes(lab):
    """What is not understood says what would be: a command after its options, a word that is none"""
    for words, said in ((["--data", lab.path("x"), "check"], "the command comes first: sottod check"),
                        (["--data", lab.path("x"), "chekc"], "\"chekc\" is not understood"),
                        (["chekc"], "there is no command \"chekc\""),
                        (["--data"], "--data needs a value")):
        result = lab.run([SOTTOD, *words])
        assert result.code == 2 and said in result.err and result.out == "", result
    assert not os.path.exists(lab.path("x"))


if __name__ == "__main__":
    sottolab.main([f for name, f in list(globals().items()) if name.startswith("check_")])
