/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two implementations of one cipher, the same bytes. libsodium's needs the processor's AES and
 * nothing else: no object, no set-up, so it takes half the time for a text message. OpenSSL's
 * interleaves AES and GHASH over more blocks: above a kilobyte it is ahead, at 64 KiB three
 * times as fast. It also works without AES instructions. Its cipher is fetched once, and each
 * thread keeps one context, because fetching and allocating cost more than a short message.
 */
#include "crypto/aead.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "crypto/init.h"

/* Bytes of text and associated data up to which libsodium is faster (bench/primitives). */
enum { SHORT_MESSAGE = 1280 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
    bool sodium; /* the processor can do what libsodium needs */
    EVP_CIPHER *gcm;
    bool key_ok;
    pthread_key_t key; /* frees the context of a thread that ends */
} shared;
static _Thread_local EVP_CIPHER_CTX *thread_ctx;

static void free_ctx(void *ctx)
{
    EVP_CIPHER_CTX_free(ctx);
    thread_ctx = NULL;
}

static void init_once(void)
{
    sotto_crypto_init();
    shared.sodium = crypto_aead_aes256gcm_is_available() == 1;
    shared.gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    shared.key_ok = pthread_key_create(&shared.key, free_ctx) == 0;
}

static enum sotto_err get_ctx(EVP_CIPHER_CTX **ret)
{
    EVP_CIPHER_CTX *ctx = thread_ctx;

    if (ctx == NULL) {
        if (shared.gcm == NULL || !shared.key_ok) {
            sotto_log_bug("OpenSSL offers no AES-256-GCM");
            return SOTTO_ERR_BUG;
        }
        ctx = EVP_CIPHER_CTX_new();
        if (ctx == NULL || EVP_CipherInit_ex2(ctx, shared.gcm, NULL, NULL, 1, NULL) != 1 ||
            pthread_setspecific(shared.key, ctx) != 0) {
            EVP_CIPHER_CTX_free(ctx);
            ERR_clear_error();
            return SOTTO_ERR_NOMEM;
        }
        thread_ctx = ctx;
    }
    *ret = ctx;
    return SOTTO_OK;
}

/* The context stays; the key schedule in it must not. Nothing of ours may stay in the thread's
 * error queue either, where TLS code would take it for its own. */
static void leave_ctx(EVP_CIPHER_CTX *ctx, bool failed)
{
    static const uint8_t zero[32];

    (void)EVP_CipherInit_ex2(ctx, NULL, zero, zero, 1, NULL);
    if (failed)
        ERR_clear_error();
}

static bool feed(EVP_CIPHER_CTX *ctx, uint8_t *out, const uint8_t *in, size_t len)
{
    int n;

    return len == 0 || (EVP_CipherUpdate(ctx, out, &n, in, (int)len) == 1 && (size_t)n == len);
}

static enum sotto_err openssl_seal(const struct sotto_secret32 *key, const uint8_t *nonce,
                                   const uint8_t *ad, size_t ad_len, const uint8_t *text,
                                   size_t len, uint8_t *ret)
{
    EVP_CIPHER_CTX *ctx;
    enum sotto_err e;
    int n;
    bool ok;

    if (ad_len > INT_MAX || len > INT_MAX - SOTTO_AEAD_TAG)
        return SOTTO_ERR_BUG;
    if ((e = get_ctx(&ctx)) != 0)
        return e;
    ok = EVP_CipherInit_ex2(ctx, NULL, key->b, nonce, 1, NULL) == 1 &&
         feed(ctx, NULL, ad, ad_len) && feed(ctx, ret, text, len) &&
         EVP_CipherFinal_ex(ctx, ret + len, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SOTTO_AEAD_TAG, ret + len) == 1;
    leave_ctx(ctx, !ok);
    if (!ok) {
        sotto_log_bug("AES-256-GCM failed to seal");
        return SOTTO_ERR_BUG;
    }
    return SOTTO_OK;
}

static enum sotto_err openssl_open(const struct sotto_secret32 *key, const uint8_t *nonce,
                                   const uint8_t *ad, size_t ad_len, const uint8_t *ct, size_t len,
                                   const uint8_t *tag, uint8_t *ret)
{
    uint8_t tag_copy[SOTTO_AEAD_TAG], none[SOTTO_AEAD_TAG];
    EVP_CIPHER_CTX *ctx;
    enum sotto_err e;
    int n;
    bool ok;

    if (ad_len > INT_MAX || len > INT_MAX)
        return SOTTO_ERR_BUG;
    if ((e = get_ctx(&ctx)) != 0)
        return e;
    memcpy(tag_copy, tag, sizeof tag_copy); /* OpenSSL takes it as not const */
    ok = EVP_CipherInit_ex2(ctx, NULL, key->b, nonce, 0, NULL) == 1 &&
         feed(ctx, NULL, ad, ad_len) && feed(ctx, ret, ct, len) &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SOTTO_AEAD_TAG, tag_copy) == 1 &&
         EVP_CipherFinal_ex(ctx, none, &n) == 1;
    leave_ctx(ctx, !ok);
    return ok ? SOTTO_OK : SOTTO_ERR_BAD_TAG;
}

static bool is_short(size_t ad_len, size_t len)
{
    (void)pthread_once(&once, init_once);
    return shared.sodium && ad_len <= SHORT_MESSAGE && len <= SHORT_MESSAGE - ad_len;
}

/* The two steps apart, because the one-call forms of libsodium 1.0.18 leave the expanded key on the
 * stack. */
static bool sodium_seal(const struct sotto_secret32 *key, const uint8_t *nonce, const void *ad,
                        size_t ad_len, const void *text, size_t len, uint8_t *ret)
{
    crypto_aead_aes256gcm_state st;
    int r;

    crypto_aead_aes256gcm_beforenm(&st, key->b);
    r = crypto_aead_aes256gcm_encrypt_afternm(ret, NULL, text, len, ad, ad_len, NULL, nonce, &st);
    sotto_wipe(&st, sizeof st);
    return r == 0;
}

static bool sodium_open(const struct sotto_secret32 *key, const uint8_t *nonce, const void *ad,
                        size_t ad_len, const uint8_t *ct, size_t len, const uint8_t *tag,
                        uint8_t *ret)
{
    crypto_aead_aes256gcm_state st;
    int r;

    crypto_aead_aes256gcm_beforenm(&st, key->b);
    r = crypto_aead_aes256gcm_decrypt_detached_afternm(ret, NULL, ct, len, tag, ad, ad_len, nonce,
                                                       &st);
    sotto_wipe(&st, sizeof st);
    return r == 0;
}

enum sotto_err sotto_aead_seal(const struct sotto_secret32 *key,
                               const uint8_t nonce[SOTTO_AEAD_NONCE], const void *ad, size_t ad_len,
                               const void *text, size_t len, uint8_t *ret)
{
    if (!is_short(ad_len, len))
        return openssl_seal(key, nonce, ad, ad_len, text, len, ret);
    if (!sodium_seal(key, nonce, ad, ad_len, text, len, ret)) {
        sotto_log_bug("AES-256-GCM failed to seal");
        return SOTTO_ERR_BUG;
    }
    return SOTTO_OK;
}

enum sotto_err sotto_aead_open(const struct sotto_secret32 *key,
                               const uint8_t nonce[SOTTO_AEAD_NONCE], const void *ad, size_t ad_len,
                               const void *ct, size_t len, uint8_t *ret)
{
    const uint8_t *tag;
    enum sotto_err e;

    if (len < SOTTO_AEAD_TAG)
        return SOTTO_ERR_TRUNCATED;
    len -= SOTTO_AEAD_TAG;
    tag = (const uint8_t *)ct + len;
    if (is_short(ad_len, len))
        e = sodium_open(key, nonce, ad, ad_len, ct, len, tag, ret) ? SOTTO_OK : SOTTO_ERR_BAD_TAG;
    else
        e = openssl_open(key, nonce, ad, ad_len, ct, len, tag, ret);
    if (e != 0)
        sotto_wipe(ret, len); /* text that did not verify is nobody's to read */
    return e;
}
