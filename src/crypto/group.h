/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_GROUP_H
#define SOTTO_CRYPTO_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/err.h"
#include "base/secret.h"

/* ristretto255 (RFC 9496) as RFC 9497 uses it: elements and scalars are 32 bytes. */
#define SOTTO_GROUP_ELEMENT 32

struct sotto_scalar { /* secret */
    uint8_t b[32];
};
void sotto_scalar_wipe(struct sotto_scalar *s);

/* A random non-zero scalar. RANDOM. */
enum sotto_err sotto_scalar_random(const struct sotto_env *env, struct sotto_scalar *ret);
/* RFC 9497 HashToScalar / HashToGroup with expand_message_xmd(SHA-512) and the given DST. */
void sotto_scalar_hash(const void *data, size_t len, const void *dst, size_t dst_len,
                       struct sotto_scalar *ret);
/* BAD_KEY in the (cryptographically impossible) case of the identity. */
enum sotto_err sotto_group_hash(const void *data, size_t len, const void *dst, size_t dst_len,
                                uint8_t ret[SOTTO_GROUP_ELEMENT]);
void sotto_scalar_invert(const struct sotto_scalar *s, struct sotto_scalar *ret);
/* BAD_KEY: not a canonical element, or the identity as input or result. */
enum sotto_err sotto_group_mul(const struct sotto_scalar *s,
                               const uint8_t element[SOTTO_GROUP_ELEMENT],
                               uint8_t ret[SOTTO_GROUP_ELEMENT]);
void sotto_group_mul_base(const struct sotto_scalar *s, uint8_t ret[SOTTO_GROUP_ELEMENT]);

#endif
