# SPDX-License-Identifier: Apache-2.0
"""A client that keeps to no rule: TLS by the system's library, requests put together by hand from
docs/protocol.md, keys of its own. It shares no code with the relay."""
import ctypes
import hashlib
import os
import socket
import struct

import sottolab

crypto, ssl = (ctypes.CDLL(name) for name in ("libcrypto.so.3", "libssl.so.3"))
for library, names in ((crypto, ("EVP_PKEY_new_raw_private_key", "EVP_MD_CTX_new")),
                       (ssl, ("SSL_CTX_new", "SSL_get1_session", "SSL_new",
                             "TLS_client_method"))):
    for name in names:
        getattr(library, name).restype = ctypes.c_void_p
ED25519, VERIFY_NONE, UPDATE_REQUESTED = 1087, 0, 1
POINT = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")

BAD_REQUEST, NOT_SIGNED_IN, UNKNOWN_DEVICE, BAD_PROOF, TOO_MANY, TOO_LARGE = 1, 2, 13, 15, 20, 22
ERROR, HELLO, DONE, SIGNED_IN, CHALLENGE, SUBMITTED, DELIVER, CLOSING = 9, 10, 11, 12, 14, 20, 30, 35


# ---- protobuf ------------------------------------------------------------------------------


def varint(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def fixed(field, n):
    return varint(field << 3 | 1) + struct.pack("<Q", n)


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def fields(body):
    """[(field, value)]: numbers as int, the rest as bytes."""
    at, found = 0, []

    def take():
        nonlocal at
        n = shift = 0
        while True:
            byte = body[at]
            at += 1
            n |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return n
    while at < len(body):
        key = take()
        if key & 7 == 0:
            found.append((key >> 3, take()))
        elif key & 7 == 1:
            found.append((key >> 3, struct.unpack_from("<Q", body, at)[0]))
            at += 8
        else:
            n = take()
            found.append((key >> 3, body[at:at + n]))
            at += n
    return found


def first(body, field, default=b""):
    return next((v for f, v in fields(body) if f == field), default)


# ---- keys ----------------------------------------------------------------------------------


class Key:
    def __init__(self):
        self.key = ctypes.c_void_p(crypto.EVP_PKEY_new_raw_private_key(
            ED25519, None, os.urandom(32), ctypes.c_size_t(32)))
        self.public = ctypes.create_string_buffer(32)
        crypto.EVP_PKEY_get_raw_public_key(self.key, self.public, ctypes.byref(ctypes.c_size_t(32)))
        self.public = self.public.raw

    def sign(self, purpose, text):
        text = b"sotto/1 " + purpose.encode() + b"\0" + text
        context = ctypes.c_void_p(crypto.EVP_MD_CTX_new())
        out, room = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
        assert crypto.EVP_DigestSignInit(context, None, None, None, self.key) == 1
        assert crypto.EVP_DigestSign(context, out, ctypes.byref(room), text,
                                     ctypes.c_size_t(len(text))) == 1
        crypto.EVP_MD_CTX_free(context)
        return out.raw


# ---- requests ------------------------------------------------------------------------------


def request(id_, field, body=b""):
    return (number(1, id_) if id_ else b"") + data(field, body)


def ping(id_):
    return request(id_, 26)


def ack(seq):
    return request(0, 23, number(1, seq))


def parcel(device, envelope, lane=1):
    return data(4, fixed(1, device) + data(2, envelope) + number(3, lane))


def submit(id_, to, parcels, more=False, version=1, token=b""):
    body = data(1, to) + number(2, version) + (data(3, token) if token else b"") + b"".join(parcels)
    return request(id_, 22, body + (number(5, 1) if more else b""))


def let_in(id_, token):
    """Who submits with it is no stranger."""
    return request(id_, 24, data(1, hashlib.sha256(token).digest()))


def states(body):
    """Of the parcels that an answer is about."""
    return [first(result, 2) for field, result in fields(body) if field == 1]


def opaque_login(id_, name):
    return request(id_, 14, data(1, name) + data(2, POINT + bytes(32) + POINT))


def get_bundle(id_, name, device):
    return request(id_, 20, data(1, name) + fixed(2, device))


# ---- connections ---------------------------------------------------------------------------


class Connection:
    """TLS is up, and the hello was read."""
    context = None

    def __init__(self, relay, receive_room=None, segment=None):
        """segment: bytes of a packet, as if a network were in between (on loopback they are so large
        that the relay's kernel takes a megabyte that nobody reads)."""
        self.socket = socket.socket()
        if segment:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        if receive_room:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_room)
        self.socket.settimeout(sottolab.PATIENCE)
        self.socket.connect(("127.0.0.1", relay.port))
        self.socket.setblocking(True)
        self.patience(sottolab.PATIENCE)
        if Connection.context is None:
            Connection.context = ctypes.c_void_p(ssl.SSL_CTX_new(
                ctypes.c_void_p(ssl.TLS_client_method())))
            ssl.SSL_CTX_set_verify(Connection.context, VERIFY_NONE, None)
            ssl.SSL_CTX_set_alpn_protos(Connection.context, b"\x07sotto/1", 8)
        self.tls = ctypes.c_void_p(ssl.SSL_new(Connection.context))
        ssl.SSL_set_fd(self.tls, self.socket.fileno())
        if ssl.SSL_connect(self.tls) != 1:
            raise ConnectionError("the handshake failed")
        hello = self.frame()
        if hello is None:
            raise ConnectionError("no hello")
        self.relay_id = first(first(hello, HELLO), 1)[1:33]

    def patience(self, seconds):
        interval = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, option, interval)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.tls is not None:
            ssl.SSL_free(self.tls)
            self.socket.close()
            self.tls = None

    def exporter(self):
        label, out = b"EXPORTER-Channel-Binding", ctypes.create_string_buffer(32)
        assert ssl.SSL_export_keying_material(self.tls, out, ctypes.c_size_t(32), label,
                                              ctypes.c_size_t(len(label)), b"",
                                              ctypes.c_size_t(0), 1) == 1
        return out.raw

    def resumable(self):
        """Has the relay given out a ticket, or offered early data?"""
        session = ctypes.c_void_p(ssl.SSL_get1_session(self.tls))
        given = ssl.SSL_SESSION_has_ticket(session) or ssl.SSL_SESSION_get_max_early_data(session)
        ssl.SSL_SESSION_free(session)
        return bool(given)

    def renegotiate(self):
        """True: it began."""
        return ssl.SSL_renegotiate(self.tls) == 1

    def update_keys(self):
        """True: the update went out."""
        return ssl.SSL_key_update(self.tls, UPDATE_REQUESTED) == 1 and \
            ssl.SSL_do_handshake(self.tls) == 1

    def write(self, raw):
        """False: the relay takes no more, or has hung up."""
        return ssl.SSL_write(self.tls, raw, len(raw)) == len(raw)

    def send(self, *bodies):
        return self.write(b"".join(struct.pack(">I", len(b)) + b for b in bodies))

    def exactly(self, n):
        out, room = b"", ctypes.create_string_buffer(max(n, 1))
        while len(out) < n:
            got = ssl.SSL_read(self.tls, room, n - len(out))
            if got <= 0:
                return None
            out += room.raw[:got]
        return out

    def frame(self):
        """The body of the next one; None: the connection has ended, or nothing came in time."""
        header = self.exactly(4)
        return None if header is None else self.exactly(struct.unpack(">I", header)[0])

    def answer(self, id_=0):
        """(field, body) of the first frame with this id; None: there is none any more."""
        while (body := self.frame()) is not None:
            if first(body, 1, 0) == id_:
                return next((f, v) for f, v in fields(body) if f != 1)
        return None

    def ask(self, body):
        self.send(body)
        return self.answer(first(body, 1, 0))

    def error(self, body):
        """(code, milliseconds to wait) of the refusal."""
        got = self.ask(body)
        assert got is not None and got[0] == ERROR, got
        return first(got[1], 1, 0), first(got[1], 4, 0)

    def until_closed(self):
        """The reason that it says (0: none), once it has ended."""
        reason = 0
        while (body := self.frame()) is not None:
            if any(f == CLOSING for f, _ in fields(body)):
                reason = first(first(body, CLOSING), 1, 0)
        return reason


class Account:
    """Signed up on an open relay, with one device."""

    def __init__(self, relay, name):
        self.relay, self.name = relay, name
        self.key, self.device_key = Key(), Key()
        self.device = struct.unpack(">Q", hashlib.sha256(
            b"sotto/1 device id\0" + self.device_key.public).digest()[:8])[0]
        with Connection(relay) as c:
            self.relay_id = c.relay_id
            got = c.ask(self.register(1))
            assert got is not None and got[0] == DONE, got

    def register(self, id_):
        who = self.relay_id + bytes([len(self.name)]) + self.name.encode() + self.key.public
        body = struct.pack(">BQI", 1, self.device, 1) + self.device_key.public + \
            os.urandom(32) + os.urandom(32) + struct.pack(">QII", 1 << 42, 0, 0)
        entry = body + self.device_key.sign("device entry", who + body)
        listed = b"\x01" + who + struct.pack(">I", 1) + bytes(32) + struct.pack(">QB", 1, 1) + entry
        listed += self.key.sign("device list", listed)
        prekey = struct.pack(">BIQIQ", 1, 1, self.device, 1, 1 << 42) + os.urandom(32) + bytes(1568)
        prekey += self.device_key.sign("pre-key", prekey)
        return request(id_, 13, data(1, self.name) + data(3, listed) + data(4, POINT + bytes(160)) +
                       data(5, prekey))

    def sign_in(self, connection, id_=1, exporter=None, name=None, device=None):
        """The request; with a lie or two, if they are given."""
        name, device = name or self.name, device or self.device
        lease = os.urandom(16)
        text = (exporter or connection.exporter()) + self.relay_id + bytes([len(name)]) + \
            name.encode() + struct.pack(">Q", device) + lease
        return request(id_, 10, data(1, name) + fixed(2, device) + data(3, lease) +
                       data(4, self.device_key.sign("device proof", text)))

    def connect(self, begin=True, **options):
        c = Connection(self.relay, **options)
        got = c.ask(self.sign_in(c))
        assert got is not None and got[0] == SIGNED_IN, got
        if begin:
            got = c.ask(request(2, 11))
            assert got is not None and got[0] == DONE, got
        return c
