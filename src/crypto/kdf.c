/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL 3 calls the SHA256_* and SHA512_* functions deprecated, but they are the only way to its
 * block functions (SHA-NI and the like) without a heap object and a provider call around each
 * hash: HMAC() takes five times as long, EVP_KDF four times, and both allocate.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/kdf.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum { BLOCK256 = 64, OUT256 = 32, BLOCK512 = 128, OUT512 = 64, MAX_OUTPUTS = 255 };

/* RFC 2104 with the key already absorbed; one key may serve many messages. */
struct hmac256 {
    SHA256_CTX inner, outer;
};

struct hmac512 {
    SHA512_CTX inner, outer;
};

static void update256v(SHA256_CTX *h, const struct sotto_bytes *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        SHA256_Update(h, parts[i].p, parts[i].n);
}

static void update512v(SHA512_CTX *h, const struct sotto_bytes *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        SHA512_Update(h, parts[i].p, parts[i].n);
}

void sotto_sha256v(const struct sotto_bytes *parts, size_t count, uint8_t ret[32])
{
    SHA256_CTX h;

    SHA256_Init(&h);
    update256v(&h, parts, count);
    SHA256_Final(ret, &h);
    sotto_wipe(&h, sizeof h);
}

void sotto_sha512v(const struct sotto_bytes *parts, size_t count, uint8_t ret[64])
{
    SHA512_CTX h;

    SHA512_Init(&h);
    update512v(&h, parts, count);
    SHA512_Final(ret, &h);
    sotto_wipe(&h, sizeof h);
}

void sotto_sha256(const void *data, size_t len, uint8_t ret[32])
{
    sotto_sha256v(&(struct sotto_bytes){data, len}, 1, ret);
}

void sotto_sha512(const void *data, size_t len, uint8_t ret[64])
{
    sotto_sha512v(&(struct sotto_bytes){data, len}, 1, ret);
}

static void hmac256_init(struct hmac256 *m, const void *key, size_t key_len)
{
    uint8_t pad[BLOCK256] = {0};

    if (key_len > sizeof pad)
        sotto_sha256(key, key_len, pad);
    else if (key_len > 0)
        memcpy(pad, key, key_len);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36;
    SHA256_Init(&m->inner);
    SHA256_Update(&m->inner, pad, sizeof pad);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&m->outer);
    SHA256_Update(&m->outer, pad, sizeof pad);
    sotto_wipe(pad, sizeof pad);
}

/* What m->inner absorbed becomes the tag. Uses m up. */
static void hmac256_final(struct hmac256 *m, uint8_t ret[OUT256])
{
    SHA256_Final(ret, &m->inner);
    SHA256_Update(&m->outer, ret, OUT256);
    SHA256_Final(ret, &m->outer);
}

static void hmac512_init(struct hmac512 *m, const void *key, size_t key_len)
{
    uint8_t pad[BLOCK512] = {0};

    if (key_len > sizeof pad)
        sotto_sha512(key, key_len, pad);
    else if (key_len > 0)
        memcpy(pad, key, key_len);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36;
    SHA512_Init(&m->inner);
    SHA512_Update(&m->inner, pad, sizeof pad);
    for (size_t i = 0; i < sizeof pad; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    SHA512_Init(&m->outer);
    SHA512_Update(&m->outer, pad, sizeof pad);
    sotto_wipe(pad, sizeof pad);
}

static void hmac512_final(struct hmac512 *m, uint8_t ret[OUT512])
{
    SHA512_Final(ret, &m->inner);
    SHA512_Update(&m->outer, ret, OUT512);
    SHA512_Final(ret, &m->outer);
}

void sotto_hmac_sha256v(const void *key, size_t key_len, const struct sotto_bytes *parts,
                        size_t count, uint8_t ret[32])
{
    struct hmac256 m;

    hmac256_init(&m, key, key_len);
    update256v(&m.inner, parts, count);
    hmac256_final(&m, ret);
    sotto_wipe(&m, sizeof m);
}

void sotto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                       uint8_t ret[32])
{
    sotto_hmac_sha256v(key, key_len, &(struct sotto_bytes){data, len}, 1, ret);
}

void sotto_hmac_sha512v(const void *key, size_t key_len, const struct sotto_bytes *parts,
                        size_t count, uint8_t ret[64])
{
    struct hmac512 m;

    hmac512_init(&m, key, key_len);
    update512v(&m.inner, parts, count);
    hmac512_final(&m, ret);
    sotto_wipe(&m, sizeof m);
}

void sotto_hkdf_sha256_extract(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len,
                               struct sotto_secret32 *ret_prk)
{
    sotto_hmac_sha256(salt, salt_len, ikm, ikm_len, ret_prk->b);
}

void sotto_hkdf_sha512_extract(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len,
                               uint8_t ret_prk[64])
{
    sotto_hmac_sha512v(salt, salt_len, &(struct sotto_bytes){ikm, ikm_len}, 1, ret_prk);
}

static size_t outputs(size_t ret_len, size_t each)
{
    size_t n = (ret_len + each - 1) / each;

    if (ret_len > MAX_OUTPUTS * each) {
        sotto_log_bug("HKDF asked for %zu bytes", ret_len);
        abort();
    }
    return n;
}

/* The output is collected apart from ret, which may overlap the info that each round reads. */
void sotto_hkdf_sha256_expandv(const struct sotto_secret32 *prk, const struct sotto_bytes *info,
                               size_t count, void *ret, size_t ret_len)
{
    uint8_t t[MAX_OUTPUTS * OUT256];
    size_t n = outputs(ret_len, OUT256);
    struct hmac256 keyed, m;

    hmac256_init(&keyed, prk->b, sizeof prk->b);
    for (size_t i = 0; i < n; i++) {
        uint8_t number = (uint8_t)(i + 1);

        m = keyed;
        if (i > 0)
            SHA256_Update(&m.inner, t + (i - 1) * OUT256, OUT256);
        update256v(&m.inner, info, count);
        SHA256_Update(&m.inner, &number, 1);
        hmac256_final(&m, t + i * OUT256);
    }
    if (ret_len > 0)
        memcpy(ret, t, ret_len);
    sotto_wipe(t, n * OUT256);
    sotto_wipe(&keyed, sizeof keyed);
    sotto_wipe(&m, sizeof m);
}

void sotto_hkdf_sha256_expand(const struct sotto_secret32 *prk, const void *info, size_t info_len,
                              void *ret, size_t ret_len)
{
    sotto_hkdf_sha256_expandv(prk, &(struct sotto_bytes){info, info_len}, 1, ret, ret_len);
}

void sotto_hkdf_sha512_expand(const uint8_t prk[64], const void *info, size_t info_len, void *ret,
                              size_t ret_len)
{
    uint8_t t[MAX_OUTPUTS * OUT512];
    size_t n = outputs(ret_len, OUT512);
    struct hmac512 keyed, m;

    hmac512_init(&keyed, prk, OUT512);
    for (size_t i = 0; i < n; i++) {
        uint8_t number = (uint8_t)(i + 1);

        m = keyed;
        if (i > 0)
            SHA512_Update(&m.inner, t + (i - 1) * OUT512, OUT512);
        SHA512_Update(&m.inner, info, info_len);
        SHA512_Update(&m.inner, &number, 1);
        hmac512_final(&m, t + i * OUT512);
    }
    if (ret_len > 0)
        memcpy(ret, t, ret_len);
    sotto_wipe(t, n * OUT512);
    sotto_wipe(&keyed, sizeof keyed);
    sotto_wipe(&m, sizeof m);
}

void sotto_hkdf_sha256(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len,
                       const void *info, size_t info_len, void *ret, size_t ret_len)
{
    struct sotto_secret32 prk SOTTO_WIPED;

    sotto_hkdf_sha256_extract(salt, salt_len, ikm, ikm_len, &prk);
    sotto_hkdf_sha256_expand(&prk, info, info_len, ret, ret_len);
}
