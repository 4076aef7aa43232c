/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_KEM_H
#define SOTTO_CRYPTO_KEM_H

#include <stdint.h>

#include "base/env.h"
#include "base/err.h"
#include "base/secret.h"

/*
 * ML-KEM-1024, FIPS 203. A private key is kept as its 64-byte seed d || z and expanded when used
 * (cheaper to store and to wipe than 3,168 bytes). Encapsulation checks the modulus of the key
 * (FIPS 203 section 7.2); decapsulation is implicitly rejecting and cannot fail.
 */
#define SOTTO_KEM_PUBLIC     1568
#define SOTTO_KEM_CIPHERTEXT 1568
#define SOTTO_KEM_SEED       64
#define SOTTO_KEM_PRIVATE    3168

struct sotto_kem_seed {
    uint8_t b[SOTTO_KEM_SEED];
};
void sotto_kem_seed_wipe(struct sotto_kem_seed *s);

/* RANDOM. */
enum sotto_err sotto_kem_generate(const struct sotto_env *env, struct sotto_kem_seed *ret_seed,
                                  uint8_t ret_pub[SOTTO_KEM_PUBLIC]);
void sotto_kem_public(const struct sotto_kem_seed *seed, uint8_t ret_pub[SOTTO_KEM_PUBLIC]);
/* BAD_KEY: a coefficient is not reduced; RANDOM. */
enum sotto_err sotto_kem_encaps(const struct sotto_env *env, const uint8_t pub[SOTTO_KEM_PUBLIC],
                                uint8_t ret_ct[SOTTO_KEM_CIPHERTEXT], struct sotto_secret32 *ret);
void sotto_kem_decaps(const struct sotto_kem_seed *seed, const uint8_t ct[SOTTO_KEM_CIPHERTEXT],
                      struct sotto_secret32 *ret);

/* The expanded private key, for where decapsulation must be quick: expanding a seed takes almost
 * as long as the decapsulation after it. */
struct sotto_kem_private {
    uint8_t b[SOTTO_KEM_PRIVATE];
};
void sotto_kem_private_wipe(struct sotto_kem_private *p);
void sotto_kem_expand(const struct sotto_kem_seed *seed, struct sotto_kem_private *ret);
void sotto_kem_decaps_private(const struct sotto_kem_private *priv,
                              const uint8_t ct[SOTTO_KEM_CIPHERTEXT], struct sotto_secret32 *ret);

/* BAD_KEY when the encapsulation key fails the modulus check. */
enum sotto_err sotto_kem_check_public(const uint8_t pub[SOTTO_KEM_PUBLIC]);

#endif
