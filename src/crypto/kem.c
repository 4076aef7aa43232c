/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ML-KEM by PQClean's portable C, both parameter sets through one table, so that an implementation
 * of the system's (OpenSSL has one from 3.5 on) can take its place. What PQClean leaves to its
 * caller is done here: the random bytes, the checks of FIPS 203 section 7, and wiping.
 */
#include "crypto/kem.h"

#include <mlkem/mlkem1024.h>
#include <mlkem/mlkem768.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "crypto/kem_set.h"

/* In PQClean, but not in its public headers: the deterministic steps, and its SHA-3. */
int PQCLEAN_MLKEM768_CLEAN_crypto_kem_keypair_derand(uint8_t *pk, uint8_t *sk, const uint8_t *dz);
int PQCLEAN_MLKEM768_CLEAN_crypto_kem_enc_derand(uint8_t *ct, uint8_t *ss, const uint8_t *pk,
                                                 const uint8_t *m);
int PQCLEAN_MLKEM1024_CLEAN_crypto_kem_keypair_derand(uint8_t *pk, uint8_t *sk, const uint8_t *dz);
int PQCLEAN_MLKEM1024_CLEAN_crypto_kem_enc_derand(uint8_t *ct, uint8_t *ss, const uint8_t *pk,
                                                  const uint8_t *m);
void sha3_256(uint8_t *out, const uint8_t *in, size_t len);

/* PQClean's randomised functions want this; we never call them, because every random byte comes
 * from struct sotto_env. */
int PQCLEAN_randombytes(uint8_t *out, size_t len);
int PQCLEAN_randombytes(uint8_t *out, size_t len)
{
    sotto_log_bug("ML-KEM asked for random bytes by itself");
    abort();
}

/*
 * The states of PQClean's SHA-3 (scripts/deps.sh renames its malloc() and free()). From the heap
 * they would be given back unwiped, and without memory it ends the process. One step holds a state
 * or two at a time.
 */
enum { STATES = 4, STATE_BYTES = 26 * 8 };
struct keccak_state {
    _Alignas(16) uint8_t bytes[STATE_BYTES];
    bool taken;
};
static _Thread_local struct keccak_state keccak_states[STATES];

void *sotto_keccak_take(size_t len);
void *sotto_keccak_take(size_t len)
{
    for (size_t i = 0; len <= STATE_BYTES && i < STATES; i++)
        if (!keccak_states[i].taken) {
            keccak_states[i].taken = true;
            return keccak_states[i].bytes;
        }
    sotto_log_bug("SHA-3 asked for a state of %zu bytes", len);
    return NULL;
}

void sotto_keccak_give(void *p);
void sotto_keccak_give(void *p)
{
    struct keccak_state *s = p;

    if (s != NULL)
        sotto_wipe(s, sizeof *s);
}

_Static_assert(SOTTO_KEM_PUBLIC == PQCLEAN_MLKEM1024_CLEAN_CRYPTO_PUBLICKEYBYTES, "public key");
_Static_assert(SOTTO_KEM_CIPHERTEXT == PQCLEAN_MLKEM1024_CLEAN_CRYPTO_CIPHERTEXTBYTES, "ct");
_Static_assert(SOTTO_KEM_PRIVATE == PQCLEAN_MLKEM1024_CLEAN_CRYPTO_SECRETKEYBYTES, "private key");

enum { Q = 3329, POLY_BYTES = 384, STACK_USED = 32768 };

/* PQClean leaves private polynomials and the shared secret on the stack: below our frame, where
 * this frame comes to lie. */
static __attribute__((noinline)) void burn_stack(void)
{
    uint8_t used[STACK_USED];

    sotto_wipe(used, sizeof used);
}

static void keygen_768(const struct sotto_kem_seed *seed, uint8_t *ret_pub, uint8_t *ret_private)
{
    (void)PQCLEAN_MLKEM768_CLEAN_crypto_kem_keypair_derand(ret_pub, ret_private, seed->b);
}

static void encaps_768(const uint8_t *pub, const uint8_t m[32], uint8_t *ret_ct, uint8_t ret[32])
{
    (void)PQCLEAN_MLKEM768_CLEAN_crypto_kem_enc_derand(ret_ct, ret, pub, m);
}

static void decaps_768(const uint8_t *priv, const uint8_t *ct, uint8_t ret[32])
{
    (void)PQCLEAN_MLKEM768_CLEAN_crypto_kem_dec(ret, ct, priv);
}

static void keygen_1024(const struct sotto_kem_seed *seed, uint8_t *ret_pub, uint8_t *ret_private)
{
    (void)PQCLEAN_MLKEM1024_CLEAN_crypto_kem_keypair_derand(ret_pub, ret_private, seed->b);
}

static void encaps_1024(const uint8_t *pub, const uint8_t m[32], uint8_t *ret_ct, uint8_t ret[32])
{
    (void)PQCLEAN_MLKEM1024_CLEAN_crypto_kem_enc_derand(ret_ct, ret, pub, m);
}

static void decaps_1024(const uint8_t *priv, const uint8_t *ct, uint8_t ret[32])
{
    (void)PQCLEAN_MLKEM1024_CLEAN_crypto_kem_dec(ret, ct, priv);
}

const struct sotto_kem_set sotto_kem_768 = {
    .name = "ML-KEM-768",
    .k = 3,
    .public_len = PQCLEAN_MLKEM768_CLEAN_CRYPTO_PUBLICKEYBYTES,
    .ct_len = PQCLEAN_MLKEM768_CLEAN_CRYPTO_CIPHERTEXTBYTES,
    .private_len = PQCLEAN_MLKEM768_CLEAN_CRYPTO_SECRETKEYBYTES,
    .keygen = keygen_768,
    .encaps = encaps_768,
    .decaps = decaps_768,
};

const struct sotto_kem_set sotto_kem_1024 = {
    .name = "ML-KEM-1024",
    .k = 4,
    .public_len = SOTTO_KEM_PUBLIC,
    .ct_len = SOTTO_KEM_CIPHERTEXT,
    .private_len = SOTTO_KEM_PRIVATE,
    .keygen = keygen_1024,
    .encaps = encaps_1024,
    .decaps = decaps_1024,
};

enum sotto_err sotto_kem_set_check_public(const struct sotto_kem_set *set, const uint8_t *pub)
{
    for (size_t i = 0; i < set->k * POLY_BYTES; i += 3) {
        unsigned a = pub[i] | (pub[i + 1] & 15u) << 8, b = pub[i + 1] >> 4 | pub[i + 2] << 4;

        if (a >= Q || b >= Q)
            return SOTTO_ERR_BAD_KEY;
    }
    return SOTTO_OK;
}

enum sotto_err sotto_kem_set_check_private(const struct sotto_kem_set *set, const uint8_t *priv)
{
    const uint8_t *pub = priv + set->k * POLY_BYTES, *hash = pub + set->public_len;
    uint8_t want[32];

    sha3_256(want, pub, set->public_len);
    return sotto_equal(want, hash, sizeof want) ? SOTTO_OK : SOTTO_ERR_BAD_KEY;
}

void sotto_kem_set_keygen(const struct sotto_kem_set *set, const struct sotto_kem_seed *seed,
                          uint8_t *ret_pub, uint8_t *ret_private)
{
    set->keygen(seed, ret_pub, ret_private);
    burn_stack();
}

enum sotto_err sotto_kem_set_encaps(const struct sotto_kem_set *set, const uint8_t *pub,
                                    const struct sotto_secret32 *m, uint8_t *ret_ct,
                                    struct sotto_secret32 *ret)
{
    enum sotto_err e = sotto_kem_set_check_public(set, pub);

    if (e != 0)
        return e;
    set->encaps(pub, m->b, ret_ct, ret->b);
    burn_stack();
    return SOTTO_OK;
}

void sotto_kem_set_decaps(const struct sotto_kem_set *set, const uint8_t *priv, const uint8_t *ct,
                          struct sotto_secret32 *ret)
{
    set->decaps(priv, ct, ret->b);
    burn_stack();
}

/* ML-KEM-1024, the set of the protocol */

void sotto_kem_seed_wipe(struct sotto_kem_seed *s)
{
    sotto_wipe(s, sizeof *s);
}

void sotto_kem_private_wipe(struct sotto_kem_private *p)
{
    sotto_wipe(p, sizeof *p);
}

enum sotto_err sotto_kem_generate(const struct sotto_env *env, struct sotto_kem_seed *ret_seed,
                                  uint8_t ret_pub[SOTTO_KEM_PUBLIC])
{
    struct sotto_kem_seed seed;
    enum sotto_err e = sotto_random(env, seed.b, sizeof seed.b);

    if (e == 0) {
        sotto_kem_public(&seed, ret_pub);
        *ret_seed = seed;
    }
    sotto_kem_seed_wipe(&seed);
    return e;
}

void sotto_kem_public(const struct sotto_kem_seed *seed, uint8_t ret_pub[SOTTO_KEM_PUBLIC])
{
    struct sotto_kem_private priv;

    sotto_kem_set_keygen(&sotto_kem_1024, seed, ret_pub, priv.b);
    sotto_kem_private_wipe(&priv);
}

enum sotto_err sotto_kem_check_public(const uint8_t pub[SOTTO_KEM_PUBLIC])
{
    return sotto_kem_set_check_public(&sotto_kem_1024, pub);
}

enum sotto_err sotto_kem_encaps(const struct sotto_env *env, const uint8_t pub[SOTTO_KEM_PUBLIC],
                                uint8_t ret_ct[SOTTO_KEM_CIPHERTEXT], struct sotto_secret32 *ret)
{
    struct sotto_secret32 m SOTTO_WIPED = {0};
    enum sotto_err e = sotto_random(env, m.b, sizeof m.b);

    return e != 0 ? e : sotto_kem_set_encaps(&sotto_kem_1024, pub, &m, ret_ct, ret);
}

void sotto_kem_expand(const struct sotto_kem_seed *seed, struct sotto_kem_private *ret)
{
    uint8_t pub[SOTTO_KEM_PUBLIC];

    sotto_kem_set_keygen(&sotto_kem_1024, seed, pub, ret->b);
}

void sotto_kem_decaps_private(const struct sotto_kem_private *priv,
                              const uint8_t ct[SOTTO_KEM_CIPHERTEXT], struct sotto_secret32 *ret)
{
    sotto_kem_set_decaps(&sotto_kem_1024, priv->b, ct, ret);
}

void sotto_kem_decaps(const struct sotto_kem_seed *seed, const uint8_t ct[SOTTO_KEM_CIPHERTEXT],
                      struct sotto_secret32 *ret)
{
    struct sotto_kem_private priv;

    sotto_kem_expand(seed, &priv);
    sotto_kem_decaps_private(&priv, ct, ret);
    sotto_kem_private_wipe(&priv);
}
