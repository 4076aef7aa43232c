/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/aead.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"
#include "vectors.h"

static size_t wycheproof_gcm(json_t *root)
{
    json_t *group, *t;
    size_t i, j, n = 0;

    json_array_foreach(vec_array(root, "testGroups"), i, group)
    {
        if (vec_int(group, "keySize") != 256 || vec_int(group, "ivSize") != 96 ||
            vec_int(group, "tagSize") != 128)
            continue; /* other parameters than ours */
        json_array_foreach(vec_array(group, "tests"), j, t)
        {
            const struct sotto_secret32 *key = (const void *)vec_hex_n(t, "key", 32);
            const uint8_t *nonce = vec_hex_n(t, "iv", 12), *tag = vec_hex_n(t, "tag", 16);
            struct vec ad = vec_hex(t, "aad"), msg = vec_hex(t, "msg"), ct = vec_hex(t, "ct");
            bool valid = strcmp(vec_string(t, "result"), "valid") == 0;
            uint8_t out[2048], in[2048];

            assert_true(msg.n + 16 <= sizeof out && ct.n == msg.n);
            memcpy(in, ct.p, ct.n);
            memcpy(in + ct.n, tag, 16);
            if (sotto_aead_open(key, nonce, ad.p, ad.n, in, ct.n + 16, out) !=
                (valid ? SOTTO_OK : SOTTO_ERR_BAD_TAG))
                vec_fail(t, valid ? "refused" : "accepted");
            if (valid && memcmp(out, msg.p, msg.n) != 0)
                vec_fail(t, "opened to another text");
            if (!valid && !sotto_is_zero(out, msg.n))
                vec_fail(t, "text of a forgery");
            assert_int_equal(sotto_aead_seal(key, nonce, ad.p, ad.n, msg.p, msg.n, out), 0);
            if (valid != (memcmp(out, in, msg.n + 16) == 0))
                vec_fail(t, "sealed to other bytes");
            n++;
        }
    }
    return n;
}

static void gcm_vectors(void **state)
{
    vectors_run("wycheproof/aes_gcm_test.json", 19, 44, wycheproof_gcm);
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 7);
}

/* The reference: OpenSSL's plain one-object interface. */
static void reference_seal(const uint8_t *key, const uint8_t *nonce, const uint8_t *ad,
                           size_t ad_len, const uint8_t *text, size_t len, uint8_t *out)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n;

    assert_non_null(c);
    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce), 1);
    if (ad_len > 0)
        assert_int_equal(EVP_EncryptUpdate(c, NULL, &n, ad, (int)ad_len), 1);
    if (len > 0)
        assert_int_equal(EVP_EncryptUpdate(c, out, &n, text, (int)len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, out + len, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + len), 1);
    EVP_CIPHER_CTX_free(c);
}

/* Both implementations give the same bytes on both sides of the border between them, in place too.
 */
static void every_length(void **state)
{
    static uint8_t text[70000], want[70016], got[70016], ad[1500];
    struct sotto_secret32 key;
    uint8_t nonce[12];

    fill(key.b, 32, 1);
    fill(nonce, 12, 2);
    fill(text, sizeof text, 3);
    fill(ad, sizeof ad, 4);
    for (size_t len = 0; len <= 70000; len += len < 1400 ? 1 : 6911) {
        size_t ad_len = len * 7 % sizeof ad;

        reference_seal(key.b, nonce, ad, ad_len, text, len, want);
        assert_int_equal(sotto_aead_seal(&key, nonce, ad, ad_len, text, len, got), 0);
        assert_memory_equal(got, want, len + 16);
        memcpy(got, text, len);
        assert_int_equal(sotto_aead_seal(&key, nonce, ad, ad_len, got, len, got), 0);
        assert_memory_equal(got, want, len + 16);
        assert_int_equal(sotto_aead_open(&key, nonce, ad, ad_len, want, len + 16, got), 0);
        assert_memory_equal(got, text, len);
        memcpy(got, want, len + 16);
        assert_int_equal(sotto_aead_open(&key, nonce, ad, ad_len, got, len + 16, got), 0);
        assert_memory_equal(got, text, len);
    }
}

/* Any changed bit anywhere: refused, and nothing of the text is left to read. */
static void forgeries_are_refused(void **state)
{
    static const size_t lens[] = {0, 1, 100, 1264, 1265, 2000};
    struct sotto_secret32 key = {{1}}, other = {{2}};
    uint8_t nonce[12] = {3}, text[2000], ct[2016], out[2016], ad[16] = {4};

    fill(text, sizeof text, 5);
    for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++) {
        size_t len = lens[k];

        assert_int_equal(sotto_aead_seal(&key, nonce, ad, 16, text, len, ct), 0);
        for (size_t bit = 0; bit < (len + 16) * 8; bit += bit < 256 || bit > len * 8 ? 1 : 37) {
            ct[bit / 8] ^= (uint8_t)(1 << bit % 8);
            memset(out, 0xee, sizeof out);
            assert_int_equal(sotto_aead_open(&key, nonce, ad, 16, ct, len + 16, out),
                             SOTTO_ERR_BAD_TAG);
            assert_true(sotto_is_zero(out, len));
            assert_int_equal(out[len], 0xee);
            ct[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        assert_int_equal(sotto_aead_open(&other, nonce, ad, 16, ct, len + 16, out),
                         SOTTO_ERR_BAD_TAG);
        assert_int_equal(sotto_aead_open(&key, ad, ad, 16, ct, len + 16, out), SOTTO_ERR_BAD_TAG);
        assert_int_equal(sotto_aead_open(&key, nonce, ad, 15, ct, len + 16, out),
                         SOTTO_ERR_BAD_TAG);
        if (len > 0)
            assert_int_equal(sotto_aead_open(&key, nonce, ad, 16, ct, len + 15, out),
                             SOTTO_ERR_BAD_TAG);
        assert_int_equal(sotto_aead_open(&key, nonce, ad, 16, ct, len + 16, out), 0);
        assert_memory_equal(out, text, len);
        /* TLS code asks this queue why something failed. */
        assert_int_equal(ERR_peek_error(), 0);
    }
    for (size_t len = 0; len < 16; len++)
        assert_int_equal(sotto_aead_open(&key, nonce, ad, 16, ct, len, out), SOTTO_ERR_TRUNCATED);
}

static void *seal_in_thread(void *arg)
{
    struct sotto_secret32 key = {{1}};
    uint8_t nonce[12] = {0}, text[1000] = {0}, ct[1016];

    for (int i = 0; i < 200; i++) {
        size_t len = (size_t)i * 5;

        nonce[0] = (uint8_t)i;
        if (sotto_aead_seal(&key, nonce, "ad", 2, text, len, ct) != 0 ||
            sotto_aead_open(&key, nonce, "ad", 2, ct, len + 16, ct) != 0 || !sotto_is_zero(ct, len))
            return arg;
    }
    return NULL;
}

static void threads_do_not_share(void **state)
{
    pthread_t t[8];
    void *failed;

    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&t[i], NULL, seal_in_thread, t), 0);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(t[i], &failed), 0);
        assert_null(failed);
    }
}

/* The first long message of a thread is the only one that needs memory. */
static void *seal_without_memory(void *arg)
{
    struct sotto_secret32 key = {{1}};
    static uint8_t text[2000], ct[2016];
    uint8_t nonce[12] = {0};
    enum sotto_err e;

    for (size_t n = 1; n < 20; n++) {
        memset(ct, 0xee, sizeof ct);
        (void)alloc_fail_at(n);
        e = sotto_aead_seal(&key, nonce, NULL, 0, text, sizeof text, ct);
        (void)alloc_fail_at(0);
        if (e == 0)
            return n > 1 ? NULL : arg;
        if (e != SOTTO_ERR_NOMEM || ct[0] != 0xee || ERR_peek_error() != 0)
            return arg;
    }
    return arg;
}

static void without_memory_nothing_is_sealed(void **state)
{
    pthread_t t;
    void *failed;

    if (!alloc_fail_at(0)) {
        print_message("skip: the sanitizer owns malloc\n");
        skip();
    }
    assert_int_equal(pthread_create(&t, NULL, seal_without_memory, &failed), 0);
    assert_int_equal(pthread_join(t, &failed), 0);
    assert_null(failed);
}

static void no_allocation(void **state)
{
    struct sotto_secret32 key = {{1}};
    uint8_t nonce[12] = {0}, text[2000] = {0}, ct[2016];
    size_t before = 0;

    for (int i = 0; i < 1001; i++) {
        size_t len = i % 2 == 0 ? 100 : 2000;

        key.b[0] = (uint8_t)i;
        assert_int_equal(sotto_aead_seal(&key, nonce, "ad", 2, text, len, ct), 0);
        assert_int_equal(sotto_aead_open(&key, nonce, "ad", 2, ct, len + 16, ct), 0);
        if (i == 1)
            before = alloc_count(); /* the thread's context is there now */
    }
    assert_int_equal(alloc_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gcm_vectors),
        cmocka_unit_test(every_length),
        cmocka_unit_test(forgeries_are_refused),
        cmocka_unit_test(threads_do_not_share),
        cmocka_unit_test(without_memory_nothing_is_sealed),
        cmocka_unit_test(no_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
