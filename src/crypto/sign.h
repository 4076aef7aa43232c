/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_SIGN_H
#define SOTTO_CRYPTO_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/err.h"
#include "base/secret.h"

/*
 * Ed25519, RFC 8032. The verifier's rule is libsodium's strict one: S, A and R that are not
 * canonical and A and R of low order are refused, and the equation is checked without the
 * cofactor (so a low-order part that does not cancel is refused too).
 * A signature of the protocol covers "sotto/1 " purpose NUL and the exact bytes, so one made for
 * one purpose can never be taken for another.
 */
struct sotto_sign_pair {
    struct sotto_secret32 seed;
    uint8_t pub[32];
};
#define SOTTO_SIGNATURE 64

/* RANDOM: *ret is untouched. */
enum sotto_err sotto_sign_generate(const struct sotto_env *env, struct sotto_sign_pair *ret);
void sotto_sign_from_seed(const struct sotto_secret32 *seed, struct sotto_sign_pair *ret);
void sotto_sign_pair_wipe(struct sotto_sign_pair *p);

/* purpose: a string literal like "device list", 1 to 64 bytes (else BUG). NOMEM for messages above
 * 4 KiB only; below nothing is allocated. */
enum sotto_err sotto_sign(const struct sotto_sign_pair *key, const char *purpose, const void *data,
                          size_t len, uint8_t ret_sig[SOTTO_SIGNATURE]);
/* BAD_SIGNATURE: do not act on the message. NOMEM, BUG as above. */
enum sotto_err sotto_sign_verify(const uint8_t pub[32], const char *purpose, const void *data,
                                 size_t len, const uint8_t sig[SOTTO_SIGNATURE]);
/* The same without a prefix: standard vectors and nothing else. */
enum sotto_err sotto_sign_raw(const struct sotto_sign_pair *key, const void *data, size_t len,
                              uint8_t ret_sig[SOTTO_SIGNATURE]);
enum sotto_err sotto_sign_verify_raw(const uint8_t pub[32], const void *data, size_t len,
                                     const uint8_t sig[SOTTO_SIGNATURE]);

#endif
