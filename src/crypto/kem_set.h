/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SOTTO_CRYPTO_KEM_SET_H
#define SOTTO_CRYPTO_KEM_SET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/secret.h"
#include "crypto/kem.h"

/*
 * Below kem.h: one parameter set of FIPS 203 with all random bytes as arguments, for the vectors
 * and for constructions that contain the KEM. The protocol uses kem.h. Lengths in bytes.
 */
struct sotto_kem_set {
    const char *name;
    unsigned k; /* polynomials in a vector */
    size_t public_len, ct_len, private_len;
    /* FIPS 203 sections 6.1 to 6.3, without the checks of section 7. Use the functions below. */
    void (*keygen)(const struct sotto_kem_seed *seed, uint8_t *ret_pub, uint8_t *ret_private);
    void (*encaps)(const uint8_t *pub, const uint8_t m[32], uint8_t *ret_ct, uint8_t ret[32]);
    void (*decaps)(const uint8_t *priv, const uint8_t *ct, uint8_t ret[32]);
};
extern const struct sotto_kem_set sotto_kem_768, sotto_kem_1024;

/* Section 7.2. BAD_KEY: a coefficient of the encapsulation key is not reduced modulo q. */
enum sotto_err sotto_kem_set_check_public(const struct sotto_kem_set *set, const uint8_t *pub);
/* Section 7.3. BAD_KEY: the hash in the private key is not that of the public key in it. */
enum sotto_err sotto_kem_set_check_private(const struct sotto_kem_set *set, const uint8_t *priv);
void sotto_kem_set_keygen(const struct sotto_kem_set *set, const struct sotto_kem_seed *seed,
                          uint8_t *ret_pub, uint8_t *ret_private);
/* With m in place of random bytes. BAD_KEY as above. */
enum sotto_err sotto_kem_set_encaps(const struct sotto_kem_set *set, const uint8_t *pub,
                                    const struct sotto_secret32 *m, uint8_t *ret_ct,
                                    struct sotto_secret32 *ret);
void sotto_kem_set_decaps(const struct sotto_kem_set *set, const uint8_t *priv, const uint8_t *ct,
                          struct sotto_secret32 *ret);

#endif
