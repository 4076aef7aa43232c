/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_DH_H
#define SOTTO_CRYPTO_DH_H

#include <stdint.h>

#include "base/env.h"
#include "base/err.h"
#include "base/secret.h"

/* X25519, RFC 7748. The pair keeps its public part, because recomputing it costs as much as an
 * agreement. */
struct sotto_dh_pair {
    struct sotto_secret32 priv;
    uint8_t pub[32];
};

/* RANDOM: the generator failed, *ret is untouched. BUG. */
enum sotto_err sotto_dh_generate(const struct sotto_env *env, struct sotto_dh_pair *ret);
/* The pair of a given private key (clamped by X25519 itself). BUG. */
enum sotto_err sotto_dh_from_private(const struct sotto_secret32 *priv, struct sotto_dh_pair *ret);
/* BAD_KEY: the result is all zero (low-order point, RFC 7748 section 6.1): drop the message. */
enum sotto_err sotto_dh(const struct sotto_dh_pair *ours, const uint8_t theirs[32],
                        struct sotto_secret32 *ret);
void sotto_dh_pair_wipe(struct sotto_dh_pair *p);

#endif
