/* SPDX-License-Identifier: Apache-2.0 */
/* A pre-key, as it came and as if Bob's device had signed those bytes; and the record of a private
 * one. What verifies can be used, and what is read is written back the same. */
#include "e2ee_fuzz.h"

enum { BODY = SOTTO_PREKEY_BYTES - SOTTO_SIGNATURE };

static void verify(const uint8_t *data, size_t size)
{
    struct sotto_prekey k;
    struct sotto_secret32 shared;
    uint8_t ct[SOTTO_KEM_CIPHERTEXT];

    if (sotto_prekey_parse(data, size, &k) != 0)
        return;
    CHECK(size == SOTTO_PREKEY_BYTES && memcmp(k.bytes, data, size) == 0 && k.id != 0);
    if (sotto_prekey_verify(&k, &p.bob.device) != 0)
        return;
    CHECK(k.device == p.bob.device.id && k.generation >= p.bob.device.generation);
    CHECK(sotto_dh(&p.alice.keys.dh, k.dh_pub, &shared) == 0);
    CHECK(sotto_kem_encaps(p.env, k.kem_pub, ct, &shared) == 0);
}

static void read_private(const uint8_t *data, size_t size)
{
    uint8_t again[SOTTO_PREKEY_PRIVATE_BYTES];
    struct sotto_prekey_private k;

    if (sotto_prekey_private_read(data, size, &k) != 0)
        return;
    sotto_prekey_private_write(&k, again);
    CHECK(size == sizeof again && memcmp(data, again, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[SOTTO_PREKEY_BYTES];

    meet();
    verify(data, size);
    read_private(data, size);
    if (size != sizeof bytes)
        return 0;
    memcpy(bytes, data, size);
    CHECK(sotto_sign(&p.bob.keys.sign, "pre-key", bytes, BODY, bytes + BODY) == 0);
    verify(bytes, size);
    return 0;
}
