#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Frames, sign-in, invites and contents, read as docs/protocol.md sections 13 to 19 say, and OPAQUE as
its client. Knows that document and the RFCs it names, and nothing of the C code. For tests only.
"""
import base64
import ctypes
import ctypes.util
import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from decoder import NAME, Reader, need, sha256

# ---- 2. Signatures ----------------------------------------------------------------------------


def check_signature(key, purpose, data, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(
            signature, b"sotto/1 " + purpose + b"\0" + data)
    except InvalidSignature:
        need(False, "signature of " + purpose.decode())


def field8(data):
    return bytes([len(data)]) + data


# ---- 13. Frames and protobuf ------------------------------------------------------------------


def frames(stream):
    r = Reader(stream)
    while r.at < len(stream):
        length = r.int(4)
        need(length <= 131072, "frame too long")
        yield r.bytes(length)


def varint(r):
    value = shift = 0
    while True:
        need(shift < 64, "varint too long")
        b = r.int(1)
        value |= (b & 127) << shift
        shift += 7
        if b < 128:
            return value & (1 << 64) - 1


def fields(data):
    """(number, type, value) of each field."""
    r = Reader(data)
    while r.at < len(data):
        tag = varint(r)
        number, kind = tag >> 3, tag & 7
        need(number > 0 and kind in (0, 1, 2, 5), "type of a field")
        if kind == 0:
            value = varint(r)
        elif kind == 1:
            value = int.from_bytes(r.bytes(8), "little")
        elif kind == 2:
            value = r.bytes(varint(r))
        else:
            value = r.bytes(4)
        yield number, kind, value


class Field:
    """What a field may hold. A reader returns the value or refuses it."""

    def __init__(self, name, kind, check, many=None, default=b""):
        self.name, self.kind, self.check, self.many, self.default = name, kind, check, many, default


def size(name, *allowed, many=None):
    """bytes of one of the sizes; a pair means from ... to."""
    def check(v):
        need(any(len(v) == a if isinstance(a, int) else a[0] <= len(v) <= a[1] for a in allowed),
             f"size of {name}: {len(v)}")
        return v
    return Field(name, 2, check, many)


def number(name, low=0, high=(1 << 64) - 1):
    def check(v):
        need(low <= v <= high, f"{name}: {v}")
        return v
    return Field(name, 0, check, default=0)


def flag(name):
    return Field(name, 0, bool, default=0)


def fixed64(name):
    return Field(name, 1, lambda v: v, default=0)


def account(name, many=None):
    def check(v):
        need(NAME.fullmatch(v), f"{name}: not a name")
        return v
    return Field(name, 2, check, many)


def line(name, longest):
    def check(v):
        need(len(v) <= longest, f"{name}: too long")
        text = v.decode()
        need(not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text), f"{name}: control character")
        return text
    return Field(name, 2, check)


def inside(name, schema, many=None):
    return Field(name, 2, lambda v: message(v, schema), many)


def message(data, schema):
    """{name: value} by {number: Field}. Unknown fields are skipped."""
    found = {n: [] for n in schema}
    for n, kind, value in fields(data):
        if n in schema:
            need(kind == schema[n].kind, f"type of {schema[n].name}")
            found[n].append(value)
    out = {}
    for n, f in schema.items():
        if f.many:
            need(f.many[0] <= len(found[n]) <= f.many[1], f"count of {f.name}")
            out[f.name] = [f.check(v) for v in found[n]]
        else:
            out[f.name] = f.check(found[n][-1] if found[n] else f.default)
    return out


# ---- 14. Requests and answers -----------------------------------------------------------------

LIST, PREKEY, ENTRY, ENVELOPE = (1, 4096), 1689, 189, (1, 65536)

REQUESTS = {
    10: ("SignIn", {1: account("name"), 2: fixed64("device"), 3: size("lease", 16),
                    4: size("proof", 64)}),
    11: ("Begin", {1: number("committed")}),
    12: ("OpaqueRegister", {1: account("name"), 2: size("request", 32)}),
    13: ("Register", {1: account("name"), 2: size("code", 0, 16), 3: size("list", LIST),
                      4: size("opaque_record", 192), 5: size("signed_prekey", PREKEY),
                      6: size("certificate", 0, 32)}),
    14: ("OpaqueLogin", {1: account("name"), 2: size("ke1", 96)}),
    15: ("OpaqueFinish", {1: size("ke3", 64)}),
    16: ("Link", {1: size("entry", ENTRY), 2: size("signed_prekey", PREKEY),
                  3: size("certificate", 0, 32)}),
    17: ("GetLinks", {}),
    18: ("PutList", {1: size("list", LIST)}),
    19: ("GetLists", {1: inside("known", {1: account("name"), 2: number("version")}, (0, 16))}),
    20: ("GetBundle", {1: account("name"), 2: fixed64("device")}),
    21: ("PutPrekeys", {1: size("signed_prekey", 0, PREKEY),
                        2: size("one_time", PREKEY, many=(0, 32)), 3: flag("replace")}),
    22: ("Submit", {1: account("to"), 2: number("list_version"), 3: size("token", 0, 16),
                    4: inside("parcels", {1: fixed64("device"), 2: size("envelope", ENVELOPE),
                                          3: number("lane")}, (1, 16)),
                    5: flag("more"), 6: flag("ephemeral")}),
    23: ("Ack", {1: number("seq")}),
    24: ("SetTokens", {1: size("add", 32, many=(0, 64)), 2: size("remove", 32, many=(0, 64))}),
    25: ("DeleteAccount", {1: size("proof", 64)}),
    26: ("Ping", {}),
    27: ("Goodbye", {}),
}

ANSWERS = {
    9: ("Error", {1: number("code", 1), 2: line("text", 255), 3: size("lists", LIST, many=(0, 24)),
                  4: number("retry_ms")}),
    10: ("Hello", {1: size("relay", (1, 256)), 2: size("signature", 64), 3: line("version", 63),
                   4: number("registration"), 5: number("time")}),
    11: ("Done", {}),
    12: ("SignedIn", {1: size("previous_lease", 0, 16), 2: flag("previous_begun"),
                      3: number("list_version"), 4: number("one_time_left"), 5: number("acked")}),
    13: ("OpaqueRegistered", {1: size("response", 64)}),
    14: ("OpaqueChallenge", {1: size("ke2", 320)}),
    15: ("LoggedIn", {1: size("lists", LIST, many=(0, 24))}),
    16: ("Links", {1: inside("pending", {1: size("entry", ENTRY), 2: number("asked_at")}, (0, 8))}),
    17: ("Lists", {1: inside("since", {1: account("name"), 2: flag("unknown"), 3: flag("gone"),
                                       4: size("lists", LIST, many=(0, 24))}, (0, 16))}),
    18: ("Bundle", {1: size("signed_prekey", PREKEY), 2: size("one_time", 0, PREKEY)}),
    19: ("PrekeysKept", {1: number("one_time_left")}),
    20: ("Submitted", {1: inside("results", {1: fixed64("device"), 2: number("state", 1, 5)},
                                 (0, 16))}),
    30: ("Deliver", {1: number("seq"), 2: size("envelope", ENVELOPE), 3: flag("request")}),
    31: ("Ephemeral", {1: size("envelope", ENVELOPE)}),
    32: ("ListChanged", {1: size("list", LIST)}),
    33: ("LinkPending", {}),
    34: ("PrekeysLow", {1: number("one_time_left")}),
    35: ("Closing", {1: number("reason", 1, 5), 2: line("text", 255)}),
}


class Frame:
    """id, name of the body, and its fields by name."""

    def __init__(self, stream, bodies):
        (data,) = frames(stream)
        self.id, body = 0, None
        for n, kind, value in fields(data):
            if n == 1:
                need(kind == 0 and value < 1 << 32, "id")
                self.id = value
            elif n in bodies:
                need(kind == 2 and body is None, "one body")
                body = n, value
        need(body is not None, "no body that is known")
        self.number, (self.name, schema) = body[0], bodies[body[0]]
        self.body = message(body[1], schema)

    def __getitem__(self, name):
        return self.body[name]


class Request(Frame):
    def __init__(self, stream):
        super().__init__(stream, REQUESTS)
        need(self.id != 0 or self.name in ("Ack", "Goodbye"), "no id")
        if self.name == "Submit":
            devices = [p["device"] for p in self["parcels"]]
            need(len(set(devices)) == len(devices), "a device twice")


class Answer(Frame):
    def __init__(self, stream):
        super().__init__(stream, ANSWERS)
        need(self.name == "Error" or (self.id == 0) == (self.number == 10 or self.number >= 30),
             "pushed, or not")


# ---- 15. Hello --------------------------------------------------------------------------------


class Hello:
    def __init__(self, answer):
        r = Reader(answer["relay"])
        need(r.int(1) == 1, "version of a hello")
        self.relay_id, self.incarnation = r.bytes(32), r.bytes(16)
        count = r.int(1)
        need(1 <= count <= 4, "pins")
        self.pins = [r.bytes(32) for _ in range(count)]
        r.done()
        check_signature(self.relay_id, b"relay hello", answer["relay"], answer["signature"])


# ---- 16. Sign-in of a device ------------------------------------------------------------------


def check_device_proof(request, device_key, exporter, relay_id):
    check_signature(device_key, b"device proof",
                    exporter + relay_id + field8(request["name"]) +
                    request["device"].to_bytes(8, "big") + request["lease"], request["proof"])


def check_delete_proof(request, account_key, exporter, relay_id, name):
    check_signature(account_key, b"delete account", exporter + relay_id + field8(name),
                    request["proof"])


# ---- 17. Password: the client of RFC 9807, with RFC 9497 and RFC 9496 by libsodium --------------

sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
sodium.sodium_init()


def call(name, out, *args):
    buffer = ctypes.create_string_buffer(out)
    need(getattr(sodium, name)(buffer, *args) in (0, None) or "reduce" in name, name)
    return buffer.raw


def reduce(wide):
    return call("crypto_core_ristretto255_scalar_reduce", 32, wide)


def multiply(scalar, element):
    return call("crypto_scalarmult_ristretto255", 32, scalar, element)


def expand_message(data, dst, n=64):
    dst += bytes([len(dst)])
    b0 = hashlib.sha512(bytes(128) + data + n.to_bytes(2, "big") + b"\0" + dst).digest()
    return hashlib.sha512(b0 + b"\1" + dst).digest()


OPRF = b"OPRFV1-\0-ristretto255-SHA512"


def blind(password, scalar):
    point = call("crypto_core_ristretto255_from_hash", 32,
                 expand_message(password, b"HashToGroup-" + OPRF))
    return multiply(scalar, point)


def finalize(password, scalar, evaluated):
    n = multiply(call("crypto_core_ristretto255_scalar_invert", 32, scalar), evaluated)
    return hashlib.sha512(len(password).to_bytes(2, "big") + password + b"\0\x20" + n +
                          b"Finalize").digest()


def derive_key_pair(seed):
    info = b"OPAQUE-DeriveDiffieHellmanKeyPair"
    data = seed + len(info).to_bytes(2, "big") + info + b"\0"  # the counter is never needed
    private = reduce(expand_message(data, b"DeriveKeyPair" + OPRF))
    return private, call("crypto_scalarmult_ristretto255_base", 32, private)


def mac(key, data):
    return hmac.new(key, data, hashlib.sha512).digest()


def expand(prk, info, n):
    out, t, i = b"", b"", 1
    while len(out) < n:
        t = mac(prk, t + info + bytes([i]))
        out, i = out + t, i + 1
    return out[:n]


def derive_secret(secret, label, transcript):
    label = b"OPAQUE-" + label
    return expand(secret, b"\0\x40" + field8(label) + field8(transcript), 64)


def argon2id(data):
    out = ctypes.create_string_buffer(64)
    failed = sodium.crypto_pwhash(out, ctypes.c_ulonglong(64), data, ctypes.c_ulonglong(len(data)),
                                  bytes(16), ctypes.c_ulonglong(3), ctypes.c_size_t(64 << 20), 2)
    need(failed == 0, "out of memory")
    return out.raw


def field16(data):
    return len(data).to_bytes(2, "big") + data


class Opaque:
    """A client with its password; blind and seeds are given."""

    def __init__(self, password, relay_id, name, exporter):
        self.password, self.relay_id, self.name = password, relay_id, name
        self.context = b"sotto/1 opaque\0" + exporter

    def randomize(self, scalar, evaluated):
        output = finalize(self.password, scalar, evaluated)
        return mac(b"", output + argon2id(output))  # Extract with an empty salt

    def credentials(self, randomized, nonce, server_public):
        """client private and public key, tag of the envelope, export key"""
        private, public = derive_key_pair(expand(randomized, nonce + b"PrivateKey", 32))
        clear = server_public + field16(self.relay_id) + field16(self.name)
        tag = mac(expand(randomized, nonce + b"AuthKey", 64), nonce + clear)
        return private, public, tag, expand(randomized, nonce + b"ExportKey", 64)

    def register(self, scalar, nonce, response):
        """record, export key"""
        randomized = self.randomize(scalar, response[:32])
        _, public, tag, export = self.credentials(randomized, nonce, response[32:])
        return public + expand(randomized, b"MaskingKey", 64) + nonce + tag, export

    def ke1(self, scalar, nonce, seed):
        return blind(self.password, scalar) + nonce + derive_key_pair(seed)[1]

    def finish(self, scalar, seed, ke1, ke2):
        """KE3, session key, export key"""
        evaluated, masking_nonce, masked = ke2[:32], ke2[32:64], ke2[64:192]
        keyshare, server_mac = ke2[224:256], ke2[256:]
        randomized = self.randomize(scalar, evaluated)
        pad = expand(expand(randomized, b"MaskingKey", 64),
                     masking_nonce + b"CredentialResponsePad", 128)
        opened = bytes(a ^ b for a, b in zip(masked, pad))
        server_public, nonce, tag = opened[:32], opened[32:64], opened[64:]
        private, _, expected, export = self.credentials(randomized, nonce, server_public)
        need(hmac.compare_digest(tag, expected), "wrong password")
        own = derive_key_pair(seed)[0]
        secret = multiply(own, keyshare) + multiply(own, server_public) + multiply(private, keyshare)
        preamble = (b"OPAQUEv1-" + field16(self.context) + field16(self.name) + ke1 +
                    field16(self.relay_id) + ke2[:256])
        transcript = hashlib.sha512(preamble).digest()
        prk = mac(b"", secret)
        handshake = derive_secret(prk, b"HandshakeSecret", transcript)
        need(server_mac == mac(derive_secret(handshake, b"ServerMAC", b""), transcript),
             "not the relay")
        ke3 = mac(derive_secret(handshake, b"ClientMAC", b""),
                  hashlib.sha512(preamble + server_mac).digest())
        return ke3, derive_secret(prk, b"SessionKey", transcript), export


# ---- 18. Invites and pins ---------------------------------------------------------------------


def unbase64(text):
    need(not set(text) & set("+/=\n "), "not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(base64.urlsafe_b64encode(data).decode().rstrip("=") == text, "not canonical")
    return data


def pin(text):
    need(text.startswith("sha256:"), "not a pin")
    data = unbase64(text[7:])
    need(len(data) == 32, "not a pin")
    return data


class Invite:
    def __init__(self, text):
        text = text.strip()
        need(text.startswith("sotto://") and text.count("/") == 3, "not an invite")
        address, payload = text[8:].split("/")
        self.host, port = address.rsplit(":", 1)
        self.port, data = int(port), unbase64(payload)
        need(sha256(address.lower().encode() + b"/" + data[:-4])[:4] == data[-4:], "cut, mistyped")
        r = Reader(data[:-4])
        need(r.int(1) == 1, "version of an invite")
        self.relay_id, count = r.bytes(32), r.int(1)
        need(1 <= count <= 4, "pins")
        self.pins, self.code = [r.bytes(32) for _ in range(count)], r.field8()
        need(len(self.code) in (0, 16), "code")
        r.done()


# ---- 19. Content ------------------------------------------------------------------------------

LIST_NAME = {1: number("version", 1), 2: size("hash", 32)}


def utf8(name, longest):
    def check(v):
        need(len(v) <= longest, f"{name}: too long")
        try:
            v.decode()
        except UnicodeDecodeError:
            need(False, f"{name}: not UTF-8")
        return v
    return Field(name, 2, check)


EVERY_KIND = {1: size("id", 16), 2: size("conversation", 16), 3: account("members", (0, 2)),
              4: number("counter"), 5: inside("sender_list", LIST_NAME),
              6: inside("recipient_list", LIST_NAME), 7: number("sent_at"), 8: size("token", 0, 16)}
KINDS = {
    20: ("text", {1: utf8("text", 32768)}),
    21: ("receipt", {1: number("state", 1, 2), 2: size("ids", 16, many=(1, 256))}),
    22: ("typing", {1: flag("active")}),
    23: ("retry", {1: size("envelope_id", 16)}),
    24: ("contact", {1: account("name"), 2: number("state", 0, 3), 3: size("their_token", 0, 16),
                     4: size("our_token", 0, 16), 5: size("verified_key", 0, 32)}),
    25: ("entry", {1: size("entry", ENTRY)}),
    26: ("grant", {}),
}


class Content:
    def __init__(self, data):
        self.all, self.kind, self.body, newer = message(data, EVERY_KIND), None, None, False
        for n, kind, value in fields(data):
            if n in KINDS:
                need(kind == 2, "type of a kind")
                self.kind, schema = KINDS[n]
                self.body = message(value, schema)
            newer = newer or n >= 20
        need(newer, "no kind")
        members = self.all["members"]
        need(members == sorted(set(members)), "members")

    def is_direct(self, relay_id):
        one, two = (self.all["members"] * 2)[:2]
        return self.all["conversation"] == sha256(
            b"sotto/1 conversation\0" + relay_id + field8(one) + field8(two))[:16]
