/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/oprf.h"

#include <string.h>

#include "base/secret.h"
#include "crypto/kdf.h"

/* contextString = "OPRFV1-" || I2OSP(mode, 1) || "-" || identifier */
#define CONTEXT          "OPRFV1-\0-ristretto255-SHA512"
#define HASH_TO_GROUP    "HashToGroup-" CONTEXT
#define DERIVE_KEY_PAIR  "DeriveKeyPair" CONTEXT
#define LITERAL_LEN(lit) (sizeof(lit) - 1)

enum sotto_err sotto_oprf_blind(const struct sotto_env *env, const void *input, size_t len,
                                struct sotto_scalar *ret_blind,
                                uint8_t ret_element[SOTTO_GROUP_ELEMENT])
{
    uint8_t point[SOTTO_GROUP_ELEMENT];
    struct sotto_scalar blind;
    enum sotto_err e;

    if (len > SOTTO_OPRF_INPUT_MAX)
        return SOTTO_ERR_USAGE;
    if ((e = sotto_group_hash(input, len, HASH_TO_GROUP, LITERAL_LEN(HASH_TO_GROUP), point)) != 0)
        return e;
    if ((e = sotto_scalar_random(env, &blind)) == 0 &&
        (e = sotto_group_mul(&blind, point, ret_element)) == 0)
        *ret_blind = blind;
    /* The point is the password's: whoever has it can test guesses. */
    sotto_wipe(point, sizeof point);
    sotto_scalar_wipe(&blind);
    return e;
}

enum sotto_err sotto_oprf_evaluate(const struct sotto_scalar *key,
                                   const uint8_t element[SOTTO_GROUP_ELEMENT],
                                   uint8_t ret[SOTTO_GROUP_ELEMENT])
{
    return sotto_group_mul(key, element, ret);
}

enum sotto_err sotto_oprf_finalize(const void *input, size_t len, const struct sotto_scalar *blind,
                                   const uint8_t evaluated[SOTTO_GROUP_ELEMENT],
                                   uint8_t ret[SOTTO_OPRF_OUTPUT])
{
    uint8_t point[SOTTO_GROUP_ELEMENT], input_len[2], point_len[2];
    struct sotto_scalar inverse;
    enum sotto_err e;

    if (len > SOTTO_OPRF_INPUT_MAX)
        return SOTTO_ERR_USAGE;
    sotto_scalar_invert(blind, &inverse);
    if ((e = sotto_group_mul(&inverse, evaluated, point)) == 0) {
        const struct sotto_bytes parts[] = {
            {input_len, sizeof input_len},
            {input, len},
            {point_len, sizeof point_len},
            {point, sizeof point},
            {(const uint8_t *)"Finalize", LITERAL_LEN("Finalize")},
        };

        sotto_put_u16(input_len, (uint16_t)len);
        sotto_put_u16(point_len, sizeof point);
        sotto_sha512v(parts, sizeof parts / sizeof parts[0], ret);
    }
    sotto_wipe(point, sizeof point);
    sotto_scalar_wipe(&inverse);
    return e;
}

enum sotto_err sotto_oprf_derive_key(const uint8_t seed[SOTTO_OPRF_SEED],
                                     const struct sotto_bytes *info, struct sotto_scalar *ret_key,
                                     uint8_t ret_pub[SOTTO_GROUP_ELEMENT])
{
    uint8_t input[SOTTO_OPRF_SEED + 2 + 255 + 1];
    struct sotto_scalar key = {{0}};
    struct sotto_writer w;
    enum sotto_err e;
    size_t len;

    sotto_writer_init(&w, input, sizeof input - 1);
    sotto_write_bytes(&w, seed, SOTTO_OPRF_SEED);
    sotto_write_field16(&w, info->p, info->n);
    if (sotto_writer_done(&w, &len) != 0)
        return SOTTO_ERR_USAGE;
    for (unsigned int counter = 0; counter <= 255 && sotto_is_zero(key.b, sizeof key.b);
         counter++) {
        input[len] = (uint8_t)counter;
        sotto_scalar_hash(input, len + 1, DERIVE_KEY_PAIR, LITERAL_LEN(DERIVE_KEY_PAIR), &key);
    }
    e = sotto_is_zero(key.b, sizeof key.b) ? SOTTO_ERR_BAD_KEY : SOTTO_OK;
    if (e == 0) {
        *ret_key = key;
        sotto_group_mul_base(&key, ret_pub);
    }
    sotto_wipe(input, sizeof input);
    sotto_scalar_wipe(&key);
    return e;
}
