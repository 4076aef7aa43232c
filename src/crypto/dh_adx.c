/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way through EVP_PKEY makes and frees seven objects for each agreement with a raw key and
 * loses all that the faster code gains. So the provider's own functions are called, as EVP calls
 * them (provider-keymgmt(7), provider-keyexch(7)), on objects that each thread keeps: import the
 * private key over the one before, set the peer's public key, derive, import zeroes.
 *
 * That a key may be imported over an older one is so in the sources of OpenSSL 3, but no document
 * promises it. Therefore a thread's objects must give two known answers, one after the other,
 * before they are used; otherwise libsodium does the work.
 */
#include "crypto/dh_adx.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

/* What OpenSSL's default provider does for X25519; the same for all threads. */
static struct {
    EVP_KEYEXCH *fetched; /* for good, so that the provider stays */
    void *provider;
    OSSL_FUNC_keymgmt_new_fn *key_new;
    OSSL_FUNC_keymgmt_free_fn *key_free;
    OSSL_FUNC_keymgmt_import_fn *key_import;
    OSSL_FUNC_keymgmt_set_params_fn *key_set;
    OSSL_FUNC_keyexch_newctx_fn *exchange_new;
    OSSL_FUNC_keyexch_freectx_fn *exchange_free;
    OSSL_FUNC_keyexch_init_fn *exchange_init;
    OSSL_FUNC_keyexch_set_peer_fn *exchange_peer;
    OSSL_FUNC_keyexch_derive_fn *exchange_derive;
    pthread_key_t at_exit; /* frees what a thread had */
    bool usable;
} x25519;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* What a thread keeps. The exchange refers to both keys for good. */
struct kept {
    void *ours, *theirs, *exchange;
};
static _Thread_local struct kept *kept;
static _Thread_local bool refused; /* this thread failed the known answers */

static bool has_adx_and_bmi2(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) == 1 && (b & bit_ADX) != 0 &&
           (b & bit_BMI2) != 0;
}

/* The functions of one operation for X25519, or NULL. */
static const OSSL_DISPATCH *functions(const OSSL_PROVIDER *p, int operation)
{
    static const char name[] = "X25519";
    int no_cache;
    const OSSL_ALGORITHM *a = OSSL_PROVIDER_query_operation(p, operation, &no_cache);

    for (; a != NULL && a->algorithm_names != NULL; a++) {
        char end = a->algorithm_names[strcspn(a->algorithm_names, ":")];

        if (strncmp(a->algorithm_names, name, sizeof name - 1) == 0 &&
            strcspn(a->algorithm_names, ":") == sizeof name - 1 && (end == ':' || end == 0))
            return a->implementation;
    }
    return NULL;
}

static void find_key_functions(const OSSL_DISPATCH *f)
{
    for (; f != NULL && f->function_id != 0; f++) {
        switch (f->function_id) {
        case OSSL_FUNC_KEYMGMT_NEW:
            x25519.key_new = OSSL_FUNC_keymgmt_new(f);
            break;
        case OSSL_FUNC_KEYMGMT_FREE:
            x25519.key_free = OSSL_FUNC_keymgmt_free(f);
            break;
        case OSSL_FUNC_KEYMGMT_IMPORT:
            x25519.key_import = OSSL_FUNC_keymgmt_import(f);
            break;
        case OSSL_FUNC_KEYMGMT_SET_PARAMS:
            x25519.key_set = OSSL_FUNC_keymgmt_set_params(f);
            break;
        }
    }
}

static void find_exchange_functions(const OSSL_DISPATCH *f)
{
    for (; f != NULL && f->function_id != 0; f++) {
        switch (f->function_id) {
        case OSSL_FUNC_KEYEXCH_NEWCTX:
            x25519.exchange_new = OSSL_FUNC_keyexch_newctx(f);
            break;
        case OSSL_FUNC_KEYEXCH_FREECTX:
            x25519.exchange_free = OSSL_FUNC_keyexch_freectx(f);
            break;
        case OSSL_FUNC_KEYEXCH_INIT:
            x25519.exchange_init = OSSL_FUNC_keyexch_init(f);
            break;
        case OSSL_FUNC_KEYEXCH_SET_PEER:
            x25519.exchange_peer = OSSL_FUNC_keyexch_set_peer(f);
            break;
        case OSSL_FUNC_KEYEXCH_DERIVE:
            x25519.exchange_derive = OSSL_FUNC_keyexch_derive(f);
            break;
        }
    }
}

static void free_kept(void *p)
{
    struct kept *k = p;

    if (k->exchange != NULL)
        x25519.exchange_free(k->exchange);
    if (k->theirs != NULL)
        x25519.key_free(k->theirs);
    if (k->ours != NULL)
        x25519.key_free(k->ours);
    free(k);
    kept = NULL;
}

static void init_once(void)
{
    const OSSL_PROVIDER *p;

    if (!has_adx_and_bmi2())
        return;
    if ((x25519.fetched = EVP_KEYEXCH_fetch(NULL, "X25519", NULL)) == NULL) {
        ERR_clear_error();
        return;
    }
    p = EVP_KEYEXCH_get0_provider(x25519.fetched);
    /* Another provider would have other objects behind these functions. */
    if (strcmp(OSSL_PROVIDER_get0_name(p), "default") != 0)
        return;
    x25519.provider = OSSL_PROVIDER_get0_provider_ctx(p);
    find_key_functions(functions(p, OSSL_OP_KEYMGMT));
    find_exchange_functions(functions(p, OSSL_OP_KEYEXCH));
    x25519.usable =
        x25519.key_new != NULL && x25519.key_free != NULL && x25519.key_import != NULL &&
        x25519.key_set != NULL && x25519.exchange_new != NULL && x25519.exchange_free != NULL &&
        x25519.exchange_init != NULL && x25519.exchange_peer != NULL &&
        x25519.exchange_derive != NULL && pthread_key_create(&x25519.at_exit, free_kept) == 0;
}

/* Both parts at once: a private key alone would have its public key computed. */
static bool import_pair(void *key, const uint8_t *priv, const uint8_t *pub)
{
    const OSSL_PARAM pair[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)pub, 32),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)priv, 32),
        OSSL_PARAM_construct_end(),
    };

    return x25519.key_import(key, OSSL_KEYMGMT_SELECT_KEYPAIR, pair) == 1;
}

static bool derive(struct kept *k, const uint8_t *priv, const uint8_t *pub, const uint8_t *theirs,
                   uint8_t ret[32])
{
    static const uint8_t zero[32];
    const OSSL_PARAM peer[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, (void *)theirs, 32),
        OSSL_PARAM_construct_end(),
    };
    size_t len = 32;
    bool ok = import_pair(k->ours, priv, pub) && x25519.key_set(k->theirs, peer) == 1 &&
              x25519.exchange_derive(k->exchange, ret, &len, len) == 1 && len == 32;

    (void)import_pair(k->ours, zero, zero);
    if (!ok)
        ERR_clear_error(); /* TLS code on this thread would take it for its own */
    return ok;
}

/* RFC 7748 section 6.1, from both sides. */
static bool gives_known_answers(struct kept *k)
{
    static const uint8_t priv[2][32] = {
        {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1,
         0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0,
         0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a},
        {0x5d, 0xab, 0x08, 0x7e, 0x62, 0x4a, 0x8a, 0x4b, 0x79, 0xe1, 0x7f,
         0x8b, 0x83, 0x80, 0x0e, 0xe6, 0x6f, 0x3b, 0xb1, 0x29, 0x26, 0x18,
         0xb6, 0xfd, 0x1c, 0x2f, 0x8b, 0x27, 0xff, 0x88, 0xe0, 0xeb},
    };
    static const uint8_t pub[2][32] = {
        {0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d,
         0xdc, 0xb4, 0x3e, 0xf7, 0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38,
         0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a},
        {0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61,
         0xc2, 0xec, 0xe4, 0x35, 0x37, 0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78,
         0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f},
    };
    static const uint8_t low_order[32] = {1};
    static const uint8_t want[32] = {0x4a, 0x5d, 0x9d, 0x5b, 0xa4, 0xce, 0x2d, 0xe1,
                                     0x72, 0x8e, 0x3b, 0xf4, 0x80, 0x35, 0x0f, 0x25,
                                     0xe0, 0x7e, 0x21, 0xc9, 0x47, 0xd1, 0x9e, 0x33,
                                     0x76, 0xf0, 0x9b, 0x3c, 0x1e, 0x16, 0x17, 0x42};
    uint8_t got[32];

    for (int i = 0; i < 2; i++) {
        if (!derive(k, priv[i], pub[i], pub[1 - i], got) || memcmp(got, want, 32) != 0)
            return false;
    }
    return !derive(k, priv[0], pub[0], low_order, got);
}

static struct kept *kept_new(void)
{
    static const uint8_t pub[32] = {9};
    struct kept *k = calloc(1, sizeof *k);

    if (k == NULL)
        return NULL;
    k->ours = x25519.key_new(x25519.provider);
    k->theirs = x25519.key_new(x25519.provider);
    k->exchange = x25519.exchange_new(x25519.provider);
    if (k->ours != NULL && k->theirs != NULL && k->exchange != NULL &&
        import_pair(k->ours, pub, pub) && import_pair(k->theirs, pub, pub) &&
        x25519.exchange_init(k->exchange, k->ours, NULL) == 1 &&
        x25519.exchange_peer(k->exchange, k->theirs) == 1 && gives_known_answers(k) &&
        pthread_setspecific(x25519.at_exit, k) == 0)
        return k;
    ERR_clear_error();
    free_kept(k);
    return NULL;
}

bool sotto_dh_adx(const struct sotto_dh_pair *ours, const uint8_t theirs[32], uint8_t ret[32])
{
    (void)pthread_once(&once, init_once);
    if (!x25519.usable || refused)
        return false;
    if (kept == NULL && (kept = kept_new()) == NULL) {
        refused = true;
        return false;
    }
    return derive(kept, ours->priv.b, ours->pub, theirs, ret);
}
#else
bool sotto_dh_adx(const struct sotto_dh_pair *ours, const uint8_t theirs[32], uint8_t ret[32])
{
    return false;
}
#endif
