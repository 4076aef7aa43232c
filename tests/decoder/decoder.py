#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A second implementation of the receiving side, written from docs/protocol.md alone.

It knows nothing of the C code. What it opens is what the document describes. Slow and without any
protection against timing: for tests only. Section numbers are those of the document.
"""
import ctypes
import ctypes.util
import base64
import hashlib
import hmac
import re
import struct

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Refused(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Refused(what)


# ---- 1. Notation ------------------------------------------------------------------------------


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, n):
        need(len(self.data) - self.at >= n, "ends early")
        self.at += n
        return self.data[self.at - n:self.at]

    def int(self, n):
        return int.from_bytes(self.bytes(n), "big")

    def field8(self):
        return self.bytes(self.int(1))

    def rest(self):
        return self.bytes(len(self.data) - self.at)

    def done(self):
        need(self.at == len(self.data), "something is left over")


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf_expand(prk, info, n):
    out, t, i = b"", b"", 1
    while len(out) < n:
        t = hmac256(prk, t + info + bytes([i]))
        out, i = out + t, i + 1
    return out[:n]


def hkdf(salt, ikm, info, n):
    return hkdf_expand(hmac256(salt, ikm), info, n)


def raw(public):
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def x25519_public(private):
    return raw(X25519PrivateKey.from_private_bytes(private).public_key())


def dh(private, public):
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused("low order")


LOW_ORDER = [bytes.fromhex(x) for x in (
    "00" * 32, "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ec" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f", "ee" + "ff" * 30 + "7f")]


def check_point(public):
    need(public[:31] + bytes([public[31] & 0x7f]) not in LOW_ORDER, "low order")


def gcm_open(key, nonce, ciphertext, aad):
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, aad)
    except InvalidTag:
        raise Refused("wrong tag")


# ---- ML-KEM-1024, FIPS 203 --------------------------------------------------------------------

Q, K, ETA, DU, DV = 3329, 4, 2, 11, 5


def bit_reverse7(i):
    return int(f"{i:07b}"[::-1], 2)


ZETAS = [pow(17, bit_reverse7(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * bit_reverse7(i) + 1, Q) for i in range(128)]


def ntt(f):  # algorithm 9
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            zeta, i = ZETAS[i], i + 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
        length //= 2
    return f


def ntt_inverse(f):  # algorithm 10
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, 256, 2 * length):
            zeta, i = ZETAS[i], i - 1
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % Q
                f[j + length] = zeta * (f[j + length] - t) % Q
        length *= 2
    return [x * 3303 % Q for x in f]


def ntt_multiply(f, g):  # algorithms 11 and 12
    h = []
    for i in range(128):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        h += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return h


def add(f, g):
    return [(a + b) % Q for a, b in zip(f, g)]


def sub(f, g):
    return [(a - b) % Q for a, b in zip(f, g)]


def dot(row, column):
    total = [0] * 256
    for f, g in zip(row, column):
        total = add(total, ntt_multiply(f, g))
    return total


def encode(f, d):  # algorithm 5
    bits = sum(x << (d * i) for i, x in enumerate(f))
    return bits.to_bytes(32 * d, "little")


def decode(data, d):  # algorithm 6
    bits, modulus = int.from_bytes(data, "little"), Q if d == 12 else 1 << d
    return [(bits >> (d * i) & ((1 << d) - 1)) % modulus for i in range(256)]


def compress(f, d):
    return [((x << d) * 2 + Q) // (2 * Q) % (1 << d) for x in f]


def decompress(f, d):
    return [(2 * Q * x + (1 << d)) >> (d + 1) for x in f]


def sample_ntt(seed):  # algorithm 7
    stream, at, out = hashlib.shake_128(seed).digest(2048), 0, []
    while len(out) < 256:
        b = stream[at:at + 3]
        at += 3
        for x in (b[0] | (b[1] & 15) << 8, b[1] >> 4 | b[2] << 4):
            if x < Q and len(out) < 256:
                out.append(x)
    return out


def sample_cbd(seed, n):  # algorithm 8 over PRF, eta 2
    bits = int.from_bytes(hashlib.shake_256(seed + bytes([n])).digest(64 * ETA), "little")
    out = []
    for i in range(256):
        b = bits >> (4 * i) & 15
        out.append(((b & 1) + (b >> 1 & 1) - (b >> 2 & 1) - (b >> 3 & 1)) % Q)
    return out


def matrix(rho):
    return [[sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def kem_keys(seed):
    """Algorithm 16 with d || z: (public key, s in the NTT domain, z)."""
    d, z = seed[:32], seed[32:]
    g = hashlib.sha3_512(d + bytes([K])).digest()
    rho, sigma = g[:32], g[32:]
    a = matrix(rho)
    s = [ntt(sample_cbd(sigma, i)) for i in range(K)]
    e = [ntt(sample_cbd(sigma, K + i)) for i in range(K)]
    t = [add(dot(a[i], s), e[i]) for i in range(K)]
    return b"".join(encode(x, 12) for x in t) + rho, s, z


def pke_encrypt(public, m, r):  # algorithm 14
    t = [decode(public[384 * i:384 * (i + 1)], 12) for i in range(K)]
    a = matrix(public[384 * K:])
    y = [ntt(sample_cbd(r, i)) for i in range(K)]
    e1 = [sample_cbd(r, K + i) for i in range(K)]
    e2 = sample_cbd(r, 2 * K)
    u = [add(ntt_inverse(dot([a[j][i] for j in range(K)], y)), e1[i]) for i in range(K)]
    mu = decompress(decode(m, 1), 1)
    v = add(add(ntt_inverse(dot(t, y)), e2), mu)
    return b"".join(encode(compress(x, DU), DU) for x in u) + encode(compress(v, DV), DV)


def pke_decrypt(s, ct):  # algorithm 15
    u = [decompress(decode(ct[32 * DU * i:32 * DU * (i + 1)], DU), DU) for i in range(K)]
    v = decompress(decode(ct[32 * DU * K:], DV), DV)
    w = sub(v, ntt_inverse(dot(s, [ntt(x) for x in u])))
    return encode(compress(w, 1), 1)


def kem_decaps(seed, ct):  # algorithms 18 and 21
    public, s, z = kem_keys(seed)
    m = pke_decrypt(s, ct)
    g = hashlib.sha3_512(m + hashlib.sha3_256(public).digest()).digest()
    if pke_encrypt(public, m, g[32:]) == ct:
        return g[:32]
    return hashlib.shake_256(z + ct).digest(32)


def check_modulus(public):
    need(all(encode(decode(public[384 * i:384 * (i + 1)], 12), 12) ==
             public[384 * i:384 * (i + 1)] for i in range(K)), "KEM key is not reduced")


# ---- 2. Signatures ----------------------------------------------------------------------------


def check_signature(key, purpose, data, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(
            signature, b"sotto/1 " + purpose.encode() + b"\0" + data)
    except InvalidSignature:
        raise Refused("wrong signature")


# ---- 3. Accounts, devices, entries ------------------------------------------------------------

NAME = re.compile(rb"[a-z0-9][a-z0-9._-]{0,31}|\+[0-9]{7,15}")


class Account:
    def __init__(self, relay_id, name, key):
        need(NAME.fullmatch(name), "not a name")
        self.relay_id, self.name, self.key = relay_id, name, key

    @classmethod
    def read(cls, r):
        return cls(r.bytes(32), r.field8(), r.bytes(32))

    def layout(self):
        return self.relay_id + bytes([len(self.name)]) + self.name + self.key


def device_id(sign_key):
    return int.from_bytes(sha256(b"sotto/1 device id\0" + sign_key)[:8], "big")


class Device:
    """An opened entry."""

    def __init__(self, entry, account):
        need(len(entry) == 189, "length of an entry")
        r = Reader(entry)
        need(r.int(1) == 1, "version of an entry")
        self.id, self.generation = r.int(8), r.int(4)
        self.sign_key, self.identity_key, self.sealing_key = r.bytes(32), r.bytes(32), r.bytes(32)
        self.sealing_expires, self.capabilities = r.int(8), r.int(4)
        need(r.int(4) == 0, "reserved")
        need(self.id == device_id(self.sign_key), "id is not the key's")
        check_point(self.identity_key)
        check_point(self.sealing_key)
        check_signature(self.sign_key, "device entry", account.layout() + entry[:125], r.bytes(64))
        r.done()


# ---- 4. Device lists --------------------------------------------------------------------------


class List:
    def __init__(self, data):
        r = Reader(data)
        need(r.int(1) == 1, "version of a list")
        self.account = Account.read(r)
        self.version, self.previous, self.time = r.int(4), r.bytes(32), r.int(8)
        need(self.version >= 1, "list version")
        need((self.version == 1) == (self.previous == bytes(32)), "previous hash")
        count = r.int(1)
        need(1 <= count <= 16, "count")
        entries = [r.bytes(189) for _ in range(count)]
        signed = data[:r.at]
        check_signature(self.account.key, "device list", signed, r.bytes(64))
        r.done()
        self.devices = [Device(e, self.account) for e in entries]
        need(len({d.id for d in self.devices}) == count, "a device twice")
        self.hash = sha256(signed)

    def followed_by(self, new):
        if (new.account.relay_id, new.account.name) != (self.account.relay_id, self.account.name):
            return "other account"
        if new.account.key != self.account.key:
            return "new identity"
        if new.version < self.version:
            return "ignored"
        if new.version == self.version:
            return "same" if new.hash == self.hash else "fork"
        if new.version == self.version + 1 and new.previous != self.hash:
            return "fork"
        return "replaces"


# ---- 5. Pre-keys ------------------------------------------------------------------------------


class PreKey:
    def __init__(self, data, device):
        need(len(data) == 1689, "length of a pre-key")
        r = Reader(data)
        self.type, self.id, self.device, self.generation = r.int(1), r.int(4), r.int(8), r.int(4)
        self.expires, self.x25519, self.kem = r.int(8), r.bytes(32), r.bytes(1568)
        need(self.type in (1, 2) and self.id >= 1, "type or id")
        need(self.device == device.id, "of another device")
        need(self.generation >= device.generation, "of an older generation")
        check_point(self.x25519)
        check_signature(device.sign_key, "pre-key", data[:1625], r.bytes(64))
        check_modulus(self.kem)
        self.digest = sha256(data[:1625])


# ---- 8. Messages: layout and padding ----------------------------------------------------------


class Message:
    def __init__(self, data):
        need(len(data) <= 61440, "too large")
        r = Reader(data)
        need((r.int(1), r.int(1)) == (1, 1), "version or suite")
        self.flags = r.int(1)
        need(self.flags in (0, 1, 2), "flags")
        self.session_id = r.bytes(16)
        if self.flags == 1:
            self.generation, self.signed_id, self.one_time_id = r.int(4), r.int(4), r.int(4)
            self.ek, self.ct = r.bytes(32), r.bytes(1568)
        if self.flags != 2:
            self.ratchet_key, self.pn, self.n = r.bytes(32), r.int(4), r.int(4)
            need(self.n < 2 ** 32 - 1, "N")
        self.salt = r.bytes(16)
        self.header = data[:r.at]
        self.ciphertext = r.rest()
        need(len(self.ciphertext) >= 272, "ends early")


def padded_length(n):
    e = n.bit_length() - 1
    unit = max(0, e - e.bit_length()) if e > 0 else 0  # floor(log2 e) + 1 is e.bit_length()
    return max(256, -(-n >> unit) << unit)


def unpad(plaintext):
    content = plaintext.rstrip(b"\0")
    need(content[-1:] == b"\x80", "padding")
    need(len(plaintext) == padded_length(len(content)), "length of the padding")
    return content[:-1]


# ---- 6. Handshake -----------------------------------------------------------------------------


class Party:
    """An account, its opened entry, and for the one who opens messages the private keys."""

    def __init__(self, account, device, identity_private=None):
        self.account, self.device, self.identity_private = account, device, identity_private

    def side(self, generation):
        d = self.device
        return (self.account.layout() + struct.pack(">QI", d.id, generation) + d.sign_key +
                d.identity_key)


class Private:
    """A pre-key with its private parts."""

    def __init__(self, prekey, x25519_private, kem_seed):
        self.prekey, self.x25519, self.kem_seed = prekey, x25519_private, kem_seed


class Secrets:
    """What the responder comes to from the header of a first message."""

    def __init__(self, us, them, m, signed, one_time):
        need(m.flags == 1 and m.signed_id == signed.prekey.id, "not under this pre-key")
        need(m.one_time_id == (one_time.prekey.id if one_time else 0), "not under this pre-key")
        need(signed.prekey.generation >= us.device.generation, "for an older generation")
        ikm = b"\xff" * 32
        ikm += dh(signed.x25519, them.device.identity_key)
        ikm += dh(us.identity_private, m.ek)
        ikm += dh(signed.x25519, m.ek)
        if one_time:
            ikm += dh(one_time.x25519, m.ek)
        ikm += kem_decaps((one_time or signed).kem_seed, m.ct)
        ad = b"\1\1" + them.side(m.generation) + us.side(signed.prekey.generation)
        ad += b"\1" + signed.prekey.digest
        ad += b"\2" + one_time.prekey.digest if one_time else b"\0"
        ad += m.ct + m.ek
        self.ad_hash = sha256(ad)
        self.session_id = sha256(ad + m.ek + m.ct)[:16]
        need(self.session_id == m.session_id, "not meant for these two")
        self.sk = hkdf(bytes(32), ikm, b"sotto/1 PQXDH\0" + self.ad_hash, 32)
        self.root = hkdf_expand(self.sk, b"sotto/1 root\0", 32)
        self.from_initiator = hkdf_expand(self.sk, b"sotto/1 ephemeral\0\1", 32)
        self.from_responder = hkdf_expand(self.sk, b"sotto/1 ephemeral\0\2", 32)


# ---- 7. Ratchet -------------------------------------------------------------------------------


class Session:
    """The responder's end. It opens what the initiator sent, and, given the private keys of its own
    turns, what the responder sent."""

    def __init__(self, secrets, signed):
        self.secrets, self.root = secrets, secrets.root
        self.ours = signed.x25519
        self.theirs = self.receiving = self.sending = None
        self.nr = self.ns = self.pn = 0
        self.skipped = {}  # in the order in which they were passed over
        self.trace = []  # (root key, chain key) of each root step, message key of each message

    def root_step(self, private, public):
        out = hkdf(self.root, dh(private, public), b"sotto/1 root chain\0", 64)
        self.trace.append(("root step", out))
        return out[:32], out[32:]

    @staticmethod
    def chain_step(chain):
        return hmac256(chain, b"\1"), hmac256(chain, b"\2")

    def cipher(self, message_key, m):
        self.trace.append(("message key", message_key))
        out = hkdf(m.salt, message_key, b"sotto/1 message\0", 44)
        return unpad(gcm_open(out[:32], out[32:], m.ciphertext, self.secrets.ad_hash + m.header))

    def open_theirs(self, m):
        """On copies, kept when the message has opened."""
        need(m.session_id == self.secrets.session_id and m.flags != 2, "of another session")
        skipped, root, ours, theirs = dict(self.skipped), self.root, self.ours, self.theirs
        chain, nr, sending = self.receiving, self.nr, self.sending
        if (m.ratchet_key, m.n) in skipped:
            content = self.cipher(skipped.pop((m.ratchet_key, m.n)), m)
            self.skipped = skipped
            return content
        if m.ratchet_key != theirs:
            need(ours is not None, "not their turn")
            need(m.n <= 25000 and m.pn - nr <= 25000, "too far")
            while chain is not None and nr < m.pn:
                skipped[(theirs, nr)], chain = self.chain_step(chain)
                nr += 1
            root, chain = self.root_step(ours, m.ratchet_key)
            theirs, nr, ours, sending = m.ratchet_key, 0, None, None
        need(m.n >= nr, "a duplicate, or too far")
        need(m.n - nr <= 25000, "too far")
        while nr < m.n:
            skipped[(theirs, nr)], chain = self.chain_step(chain)
            nr += 1
        key, chain = self.chain_step(chain)
        content = self.cipher(key, m)
        for old in list(skipped)[:max(0, len(skipped) - 1000)]:
            del skipped[old]
        self.skipped, self.root, self.ours, self.theirs = skipped, root, ours, theirs
        self.receiving, self.nr, self.sending = chain, nr + 1, sending
        return content

    def open_ours(self, m, new_private=None):
        need(m.session_id == self.secrets.session_id and m.flags == 0, "of another session")
        if self.sending is None:
            need(x25519_public(new_private) == m.ratchet_key, "not this ratchet key")
            self.ours = new_private
            self.root, self.sending = self.root_step(self.ours, self.theirs)
            self.pn, self.ns = self.ns, 0
        need((m.pn, m.n) == (self.pn, self.ns), "PN or N")
        key, self.sending = self.chain_step(self.sending)
        self.ns += 1
        return self.cipher(key, m)

    def open_ephemeral(self, m, by_initiator):
        need(m.session_id == self.secrets.session_id and m.flags == 2, "of another session")
        s = self.secrets
        out = hkdf(m.salt, s.from_initiator if by_initiator else s.from_responder,
                   b"sotto/1 ephemeral message\0", 44)
        return unpad(gcm_open(out[:32], out[32:], m.ciphertext, s.ad_hash + m.header))


# ---- 9. Envelope (HPKE, RFC 9180) -------------------------------------------------------------

KEM_SUITE, HPKE_SUITE = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"


def labeled_extract(suite, salt, label, ikm):
    return hmac256(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, n):
    return hkdf_expand(prk, struct.pack(">H", n) + b"HPKE-v1" + suite + label + info, n)


def hpke_open(private, enc, info, aad, ciphertext):
    prk = labeled_extract(KEM_SUITE, b"", b"eae_prk", dh(private, enc))
    shared = labeled_expand(KEM_SUITE, prk, b"shared_secret", enc + x25519_public(private), 32)
    context = (b"\0" + labeled_extract(HPKE_SUITE, b"", b"psk_id_hash", b"") +
               labeled_extract(HPKE_SUITE, b"", b"info_hash", info))
    secret = labeled_extract(HPKE_SUITE, shared, b"secret", b"")
    key = labeled_expand(HPKE_SUITE, secret, b"key", context, 32)
    nonce = labeled_expand(HPKE_SUITE, secret, b"base_nonce", context, 12)
    return gcm_open(key, nonce, ciphertext, aad)


class Envelope:
    def __init__(self, data, us, sealing_private):
        need(len(data) <= 65536, "too large")
        r = Reader(data)
        need((r.int(1), r.int(1)) == (1, 1), "version or suite")
        need(r.bytes(4) == sha256(x25519_public(sealing_private))[:4], "for another sealing key")
        enc, ciphertext = r.bytes(32), r.rest()
        info = b"sotto/1 envelope\0" + us.account.layout() + struct.pack(">Q", us.device.id)
        r = Reader(hpke_open(sealing_private, enc, info, data[:6], ciphertext))
        self.sender = r.field8()
        need(NAME.fullmatch(self.sender), "not a name")
        self.device, self.kind, self.message = r.int(8), r.int(1), r.rest()
        need(self.kind in (1, 2) and self.message, "kind or message")
        self.id = sha256(data)[:16]


# ---- 10, 11. Safety number, link code ---------------------------------------------------------


def safety_number(one, other):
    sides = []
    for a in (one, other):
        h = hashlib.sha512(b"\0\0" + a.key + a.relay_id + a.name + a.key).digest()
        for _ in range(5199):
            h = hashlib.sha512(h + a.key).digest()
        sides.append("".join("%05d" % (int.from_bytes(h[i:i + 5], "big") % 100000)
                             for i in range(0, 30, 5)))
    digits = "".join(sorted(sides))
    return " ".join(digits[i:i + 5] for i in range(0, 60, 5))


def link_code(account, entry):
    """Argon2id is not in Python's libraries; libsodium's is called directly."""
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
    sodium.sodium_init()
    password, out = account.layout() + entry, ctypes.create_string_buffer(16)
    failed = sodium.crypto_pwhash(
        out, ctypes.c_ulonglong(16), password, ctypes.c_ulonglong(len(password)),
        b"sotto/1 linkcode", ctypes.c_ulonglong(3), ctypes.c_size_t(64 << 20), 2)
    need(failed == 0, "out of memory")
    code = base64.b32encode(out.raw[:5]).decode()
    return code[:4] + "-" + code[4:]


def sign_public(seed):
    return raw(Ed25519PrivateKey.from_private_bytes(seed).public_key())
