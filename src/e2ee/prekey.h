/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_E2EE_PREKEY_H
#define SOTTO_E2EE_PREKEY_H

#include "base/bytes.h"
#include "crypto/kem.h"
#include "e2ee/identity.h"

/*
 * A pre-key is a pair of an X25519 and an ML-KEM-1024 key under one signature of its device
 * (purpose "pre-key", over type, key id, device, generation, expiry and both keys).
 * SIGNED: rotated weekly, its KEM part is the last-resort key. ONE_TIME: handed out once.
 */
enum sotto_prekey_type {
    SOTTO_PREKEY_SIGNED = 1,
    SOTTO_PREKEY_ONE_TIME = 2,
};
#define SOTTO_PREKEY_LIFETIME_MS (40ull * 24 * 3600 * 1000)
#define SOTTO_PREKEY_BYTES       (1 + 4 + 8 + 4 + 8 + 32 + SOTTO_KEM_PUBLIC + SOTTO_SIGNATURE)

struct sotto_prekey {
    enum sotto_prekey_type type;
    uint32_t id; /* from 1 */
    uint64_t device;
    uint32_t generation;
    uint64_t expires_ms;
    uint8_t dh_pub[32];
    uint8_t kem_pub[SOTTO_KEM_PUBLIC];
    uint8_t bytes[SOTTO_PREKEY_BYTES]; /* the exact signed layout, signature last */
};
/*
 * The ML-KEM key is kept expanded, because a responder would spend as long again on expanding its
 * seed as on the decapsulation. `digest` is SHA-256 of the signed layout without the signature: it
 * stands for the pre-key in the handshake's associated data.
 */
struct sotto_prekey_private {
    enum sotto_prekey_type type;
    uint32_t id;
    uint32_t generation;
    uint64_t expires_ms;
    uint8_t digest[32];
    struct sotto_dh_pair dh;
    struct sotto_kem_private kem;
};
#define SOTTO_PREKEY_PRIVATE_BYTES (1 + 4 + 4 + 8 + 32 + 32 + 32 + SOTTO_KEM_PRIVATE)

/* RANDOM. Wipe *ret_private with sotto_prekey_private_wipe(). */
enum sotto_err sotto_prekey_generate(const struct sotto_env *env,
                                     const struct sotto_sign_pair *device_key, uint32_t generation,
                                     enum sotto_prekey_type type, uint32_t id, uint64_t expires_ms,
                                     struct sotto_prekey_private *ret_private,
                                     struct sotto_prekey *ret);
void sotto_prekey_private_wipe(struct sotto_prekey_private *p);
/* Layout only; the signature is checked by sotto_prekey_verify(). MALFORMED. */
enum sotto_err sotto_prekey_parse(const uint8_t *data, size_t len, struct sotto_prekey *ret);
/* BAD_SIGNATURE; BAD_KEY (KEM modulus, low order); USAGE: of another device; EXPIRED: generation
 * below the listed one. Time is not looked at. */
enum sotto_err sotto_prekey_verify(const struct sotto_prekey *p, const struct sotto_device *device);
/* SHA-256 of the layout without the signature. */
void sotto_prekey_digest(const struct sotto_prekey *p, uint8_t ret[32]);
/* For the profile's database. Read: MALFORMED. */
void sotto_prekey_private_write(const struct sotto_prekey_private *p,
                                uint8_t ret[SOTTO_PREKEY_PRIVATE_BYTES]);
enum sotto_err sotto_prekey_private_read(const uint8_t *data, size_t len,
                                         struct sotto_prekey_private *ret);

#endif
