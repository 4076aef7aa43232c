/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_AUTH_OPRF_H
#define SOTTO_AUTH_OPRF_H

#include "base/bytes.h"
#include "base/env.h"
#include "crypto/group.h"

/*
 * OPRF of RFC 9497, mode OPRF (0x00), suite ristretto255-SHA512: the client learns F(key, input),
 * the server learns nothing of the input and the client nothing of the key.
 */
#define SOTTO_OPRF_OUTPUT    64
#define SOTTO_OPRF_SEED      32
#define SOTTO_OPRF_INPUT_MAX 65535

/* Client, section 3.3.1 Blind: ret_element goes to the server, ret_blind is secret and kept.
 * RANDOM; USAGE: input longer than SOTTO_OPRF_INPUT_MAX; BAD_KEY: it hashes to the identity (never
 * seen). */
enum sotto_err sotto_oprf_blind(const struct sotto_env *env, const void *input, size_t len,
                                struct sotto_scalar *ret_blind,
                                uint8_t ret_element[SOTTO_GROUP_ELEMENT]);
/* Server, BlindEvaluate. BAD_KEY: not an element, or the identity. */
enum sotto_err sotto_oprf_evaluate(const struct sotto_scalar *key,
                                   const uint8_t element[SOTTO_GROUP_ELEMENT],
                                   uint8_t ret[SOTTO_GROUP_ELEMENT]);
/* Client, Finalize. BAD_KEY as above. */
enum sotto_err sotto_oprf_finalize(const void *input, size_t len, const struct sotto_scalar *blind,
                                   const uint8_t evaluated[SOTTO_GROUP_ELEMENT],
                                   uint8_t ret[SOTTO_OPRF_OUTPUT]);
/* Section 3.2.1 DeriveKeyPair; the public key is ret_pub. USAGE: info longer than 255 bytes.
 * BAD_KEY: all 256 tries gave zero (never seen). */
enum sotto_err sotto_oprf_derive_key(const uint8_t seed[SOTTO_OPRF_SEED],
                                     const struct sotto_bytes *info, struct sotto_scalar *ret_key,
                                     uint8_t ret_pub[SOTTO_GROUP_ELEMENT]);

#endif
