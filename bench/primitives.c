/* SPDX-License-Identifier: Apache-2.0 */
/* The SHA256_* functions are deprecated in OpenSSL 3 but the fastest (see src/crypto/kdf.c). */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "primitives.h"

#include <mlkem/mlkem1024.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <string.h>

#include "bench.h"
#include "crypto/aead.h"
#include "crypto/dh.h"
#include "crypto/kdf.h"
#include "crypto/kem.h"
#include "crypto/sign.h"

int PQCLEAN_MLKEM1024_CLEAN_crypto_kem_keypair_derand(uint8_t *pk, uint8_t *sk, const uint8_t *dz);
int PQCLEAN_MLKEM1024_CLEAN_crypto_kem_enc_derand(uint8_t *ct, uint8_t *ss, const uint8_t *pk,
                                                  const uint8_t *m);

enum { AD = 48, TEXT = 65536 };
static uint8_t text[TEXT], sealed[TEXT + 16], out[TEXT + 16], ad[AD], nonce[12];
static struct sotto_secret32 key;
static size_t len;

/* X25519 */
static struct sotto_dh_pair dh_ours, dh_theirs;
static EVP_PKEY_CTX *evp_derive;

static void x_sodium(void *ctx)
{
    BENCH_CHECK(crypto_scalarmult(out, dh_ours.priv.b, dh_theirs.pub) == 0);
}

static void x_openssl(void *ctx)
{
    size_t n = 32;

    BENCH_CHECK(EVP_PKEY_derive(evp_derive, out, &n) == 1);
}

static void x_ours(void *ctx)
{
    struct sotto_secret32 k;

    BENCH_CHECK(sotto_dh(&dh_ours, dh_theirs.pub, &k) == 0);
}

static void g_table(void *ctx)
{
    BENCH_CHECK(crypto_scalarmult_ed25519_base(out, dh_ours.priv.b) == 0);
}

static void g_ladder(void *ctx)
{
    BENCH_CHECK(crypto_scalarmult_base(out, dh_ours.priv.b) == 0);
}

static void g_ours(void *ctx)
{
    struct sotto_dh_pair p;

    BENCH_CHECK(sotto_dh_generate(sotto_env_system(), &p) == 0);
}

static void prepare_dh(void)
{
    EVP_PKEY *ours, *theirs;

    BENCH_CHECK(sotto_dh_generate(sotto_env_system(), &dh_ours) == 0);
    BENCH_CHECK(sotto_dh_generate(sotto_env_system(), &dh_theirs) == 0);
    ours = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, dh_ours.priv.b, 32);
    theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, dh_theirs.pub, 32);
    evp_derive = EVP_PKEY_CTX_new(ours, NULL);
    BENCH_CHECK(ours != NULL && theirs != NULL && EVP_PKEY_derive_init(evp_derive) == 1 &&
                EVP_PKEY_derive_set_peer(evp_derive, theirs) == 1);
    EVP_PKEY_free(ours);
    EVP_PKEY_free(theirs);
}

/* Ed25519 */
static struct sotto_sign_pair signer;
static uint8_t ed_sk[64], ed_sig[64], our_sig[64];

static void sign_sodium(void *ctx)
{
    crypto_sign_detached(ed_sig, NULL, text, 100, ed_sk);
}

static void sign_ours(void *ctx)
{
    BENCH_CHECK(sotto_sign(&signer, "bench", text, 100, our_sig) == 0);
}

static void verify_sodium(void *ctx)
{
    BENCH_CHECK(crypto_sign_verify_detached(ed_sig, text, 100, signer.pub) == 0);
}

static void verify_ours(void *ctx)
{
    BENCH_CHECK(sotto_sign_verify(signer.pub, "bench", text, 100, our_sig) == 0);
}

static void prepare_sign(void)
{
    BENCH_CHECK(sotto_sign_generate(sotto_env_system(), &signer) == 0);
    memcpy(ed_sk, signer.seed.b, 32);
    memcpy(ed_sk + 32, signer.pub, 32);
}

/* HMAC and HKDF, from nothing but block functions. */
static void hmac_least(uint8_t *ret, const uint8_t *k, const uint8_t *data, size_t n)
{
    uint8_t pad[64];
    SHA256_CTX s;

    memset(pad, 0x36, sizeof pad);
    for (size_t i = 0; i < 32; i++)
        pad[i] ^= k[i];
    SHA256_Init(&s);
    SHA256_Update(&s, pad, 64);
    SHA256_Update(&s, data, n);
    SHA256_Final(ret, &s);
    for (size_t i = 0; i < 64; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&s);
    SHA256_Update(&s, pad, 64);
    SHA256_Update(&s, ret, 32);
    SHA256_Final(ret, &s);
}

static void h_least(void *ctx)
{
    hmac_least(out, key.b, text, 32);
}

static void h_ours(void *ctx)
{
    sotto_hmac_sha256(key.b, 32, text, 32, out);
}

static void k_least(void *ctx)
{
    uint8_t prk[32], block[32 + 10 + 1];

    hmac_least(prk, key.b, text, 32);
    memcpy(block + 32, "bench info", 10);
    for (size_t done = 0, i = 1; done < len; done += 32, i++) {
        block[42] = (uint8_t)i;
        hmac_least(out + done, prk, i == 1 ? block + 32 : block, i == 1 ? 11 : 43);
        memcpy(block, out + done, 32);
    }
}

static void k_ours(void *ctx)
{
    sotto_hkdf_sha256(key.b, 32, text, 32, "bench info", 10, out, len);
}

/* AES-256-GCM, another key each time. */
static EVP_CIPHER_CTX *evp_seal, *evp_open;

static void seal_sodium(void *ctx)
{
    key.b[0]++;
    BENCH_CHECK(crypto_aead_aes256gcm_encrypt(out, NULL, text, len, ad, AD, NULL, nonce, key.b) ==
                0);
}

static void open_sodium(void *ctx)
{
    BENCH_CHECK(crypto_aead_aes256gcm_decrypt(out, NULL, NULL, sealed, len + 16, ad, AD, nonce,
                                              key.b) == 0);
}

static void seal_openssl(void *ctx)
{
    int n;

    key.b[0]++;
    BENCH_CHECK(EVP_EncryptInit_ex2(evp_seal, NULL, key.b, nonce, NULL) == 1 &&
                EVP_EncryptUpdate(evp_seal, NULL, &n, ad, AD) == 1 &&
                EVP_EncryptUpdate(evp_seal, out, &n, text, (int)len) == 1 &&
                EVP_EncryptFinal_ex(evp_seal, out + len, &n) == 1 &&
                EVP_CIPHER_CTX_ctrl(evp_seal, EVP_CTRL_AEAD_GET_TAG, 16, out + len) == 1);
}

static void open_openssl(void *ctx)
{
    int n;

    BENCH_CHECK(EVP_DecryptInit_ex2(evp_open, NULL, key.b, nonce, NULL) == 1 &&
                EVP_DecryptUpdate(evp_open, NULL, &n, ad, AD) == 1 &&
                EVP_DecryptUpdate(evp_open, out, &n, sealed, (int)len) == 1 &&
                EVP_CIPHER_CTX_ctrl(evp_open, EVP_CTRL_AEAD_SET_TAG, 16, sealed + len) == 1 &&
                EVP_DecryptFinal_ex(evp_open, out + len, &n) == 1);
}

static void seal_ours(void *ctx)
{
    key.b[0]++;
    BENCH_CHECK(sotto_aead_seal(&key, nonce, ad, AD, text, len, out) == 0);
}

static void open_ours(void *ctx)
{
    BENCH_CHECK(sotto_aead_open(&key, nonce, ad, AD, sealed, len + 16, out) == 0);
}

static void prepare_gcm(void)
{
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);

    evp_seal = EVP_CIPHER_CTX_new();
    evp_open = EVP_CIPHER_CTX_new();
    BENCH_CHECK(gcm != NULL && evp_seal != NULL && evp_open != NULL &&
                EVP_EncryptInit_ex2(evp_seal, gcm, key.b, nonce, NULL) == 1 &&
                EVP_DecryptInit_ex2(evp_open, gcm, key.b, nonce, NULL) == 1);
    EVP_CIPHER_free(gcm);
}

/* ML-KEM-1024 */
static struct sotto_kem_seed kem_seed;
static struct sotto_kem_private kem_priv;
static uint8_t kem_pub[SOTTO_KEM_PUBLIC], kem_ct[SOTTO_KEM_CIPHERTEXT], kem_scratch[3168];

static void gen_pqclean(void *ctx)
{
    PQCLEAN_MLKEM1024_CLEAN_crypto_kem_keypair_derand(out, kem_scratch, kem_seed.b);
}

static void gen_ours(void *ctx)
{
    struct sotto_kem_seed seed;

    BENCH_CHECK(sotto_kem_generate(sotto_env_system(), &seed, out) == 0);
}

static void encaps_pqclean(void *ctx)
{
    PQCLEAN_MLKEM1024_CLEAN_crypto_kem_enc_derand(out, kem_scratch, kem_pub, key.b);
}

static void encaps_ours(void *ctx)
{
    struct sotto_secret32 k;

    BENCH_CHECK(sotto_kem_encaps(sotto_env_system(), kem_pub, out, &k) == 0);
}

static void decaps_pqclean(void *ctx)
{
    PQCLEAN_MLKEM1024_CLEAN_crypto_kem_dec(kem_scratch, kem_ct, kem_priv.b);
}

static void decaps_ours(void *ctx)
{
    struct sotto_secret32 k;

    sotto_kem_decaps_private(&kem_priv, kem_ct, &k);
}

static void decaps_seed_ours(void *ctx)
{
    struct sotto_secret32 k;

    sotto_kem_decaps(&kem_seed, kem_ct, &k);
}

static void prepare_kem(void)
{
    struct sotto_secret32 k;

    BENCH_CHECK(sotto_kem_generate(sotto_env_system(), &kem_seed, kem_pub) == 0);
    BENCH_CHECK(sotto_kem_encaps(sotto_env_system(), kem_pub, kem_ct, &k) == 0);
    sotto_kem_expand(&kem_seed, &kem_priv);
}

/* Random bytes */
static void random_least(void *ctx)
{
    crypto_stream_chacha20(out, 16, nonce, key.b);
}

static void random_ours(void *ctx)
{
    BENCH_CHECK(sotto_random(sotto_env_system(), out, 16) == 0);
}

/* One line: the fastest of up to two ways of the libraries, and ours. */
static double row(const char *name, void (*a)(void *), void (*b)(void *), void (*ours)(void *))
{
    double least = bench_run(a, NULL).best / 1000, other;
    struct bench_time t;

    if (b != NULL && (other = bench_run(b, NULL).best / 1000) < least)
        least = other;
    t = bench_run(ours, NULL);
    printf("%-38s %9.2f %9.2f %9.2f %6.2f\n", name, least, t.best / 1000, t.median / 1000,
           t.best / 1000 / least);
    return least;
}

static double row_gcm(const char *name, size_t n, bool seal)
{
    bool sodium = crypto_aead_aes256gcm_is_available() == 1;

    len = n;
    if (seal)
        return row(name, seal_openssl, sodium ? seal_sodium : NULL, seal_ours);
    BENCH_CHECK(sotto_aead_seal(&key, nonce, ad, AD, text, len, sealed) == 0);
    return row(name, open_openssl, sodium ? open_sodium : NULL, open_ours);
}

static double row_hkdf(const char *name, size_t n)
{
    len = n;
    return row(name, k_least, NULL, k_ours);
}

void primitives_measure(struct primitives *ret)
{
    BENCH_CHECK(sodium_init() >= 0);
    BENCH_CHECK(sotto_random(sotto_env_system(), text, sizeof text) == 0);
    BENCH_CHECK(sotto_random(sotto_env_system(), key.b, sizeof key.b) == 0);
    prepare_dh();
    prepare_sign();
    prepare_gcm();
    prepare_kem();
    printf("%-38s %9s %9s %9s %6s\n", "primitive (us)", "least", "ours", "median", "ratio");
    ret->x = row("X25519 agreement", x_sodium, x_openssl, x_ours);
    ret->g = row("X25519 key pair", g_table, g_ladder, g_ours);
    ret->sign = row("Ed25519 sign, 100 B", sign_sodium, NULL, sign_ours);
    ret->verify = row("Ed25519 verify, 100 B", verify_sodium, NULL, verify_ours);
    ret->h = row("HMAC-SHA-256, 32 B", h_least, NULL, h_ours);
    ret->k32 = row_hkdf("HKDF-SHA-256, 32 B out", 32);
    ret->k44 = row_hkdf("HKDF-SHA-256, 44 B out", 44);
    ret->k64 = row_hkdf("HKDF-SHA-256, 64 B out", 64);
    ret->k96 = row_hkdf("HKDF-SHA-256, 96 B out", 96);
    ret->seal100 = row_gcm("AES-256-GCM seal, 100 B", 100, true);
    ret->open100 = row_gcm("AES-256-GCM open, 100 B", 100, false);
    ret->seal1k = row_gcm("AES-256-GCM seal, 1 KiB", 1024, true);
    ret->open1k = row_gcm("AES-256-GCM open, 1 KiB", 1024, false);
    ret->seal64k = row_gcm("AES-256-GCM seal, 64 KiB", 65536, true);
    ret->open64k = row_gcm("AES-256-GCM open, 64 KiB", 65536, false);
    ret->kem_gen = row("ML-KEM-1024 key pair", gen_pqclean, NULL, gen_ours);
    ret->kem_encaps = row("ML-KEM-1024 encapsulate", encaps_pqclean, NULL, encaps_ours);
    ret->kem_decaps = row("ML-KEM-1024 decapsulate", decaps_pqclean, NULL, decaps_ours);
    (void)row("ML-KEM-1024 decapsulate from the seed", decaps_pqclean, NULL, decaps_seed_ours);
    ret->random16 = row("16 random bytes", random_least, NULL, random_ours);
    EVP_PKEY_CTX_free(evp_derive);
    EVP_CIPHER_CTX_free(evp_seal);
    EVP_CIPHER_CTX_free(evp_open);
}
