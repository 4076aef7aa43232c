/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/dh.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"
#include "base/bytes.h"
#include "crypto/dh_adx.h"
#include "vectors.h"

static const uint8_t base_point[32] = {9};
static const uint8_t seed[32] = "x25519";

/* sotto_dh() chooses by the processor; here each of its ways has to say the same. */
static void check_both_ways(const json_t *t, const struct sotto_dh_pair *ours,
                            const uint8_t *theirs, const uint8_t *want)
{
    uint8_t got[32];

    if ((crypto_scalarmult(got, ours->priv.b, theirs) == 0) != (want != NULL) ||
        (want != NULL && memcmp(got, want, 32) != 0))
        vec_fail(t, "libsodium says something else");
    if (sotto_dh_adx(ours, theirs, got) && (want == NULL || memcmp(got, want, 32) != 0))
        vec_fail(t, "OpenSSL says something else");
    assert_int_equal(ERR_peek_error(), 0); /* TLS code asks this queue why something failed */
}

static size_t wycheproof_x25519(json_t *root)
{
    json_t *group, *t;
    size_t i, j, n = 0;

    json_array_foreach(vec_array(root, "testGroups"), i, group)
    {
        json_array_foreach(vec_array(group, "tests"), j, t)
        {
            const uint8_t *theirs = vec_hex_n(t, "public", 32), *want = vec_hex_n(t, "shared", 32);
            struct sotto_dh_pair ours = {0};
            struct sotto_secret32 got;
            enum sotto_err e;

            memset(&got, 0xee, sizeof got);
            memcpy(ours.priv.b, vec_hex_n(t, "private", 32), 32);
            e = sotto_dh(&ours, theirs, &got);
            /* Points of low order are refused although the file lets implementations choose. */
            if (e != (vec_flag(t, "ZeroSharedSecret") ? SOTTO_ERR_BAD_KEY : SOTTO_OK))
                vec_fail(t, sotto_err_name(e));
            if (e == 0 && memcmp(got.b, want, 32) != 0)
                vec_fail(t, "wrong secret");
            if (e != 0 && got.b[0] != 0xee)
                vec_fail(t, "written although refused");
            check_both_ways(t, &ours, theirs, e == 0 ? want : NULL);
            n++;
        }
    }
    return n;
}

static void x25519_vectors(void **state)
{
    vectors_run("wycheproof/x25519_test.json", 37, 346, wycheproof_x25519);
}

static void unhex(const char *hex, uint8_t ret[32])
{
    size_t n;

    assert_int_equal(sotto_hex_decode(hex, strlen(hex), ret, 32, &n), 0);
    assert_int_equal(n, 32);
}

/* RFC 7748 section 6.1. */
static void rfc7748_key_pairs(void **state)
{
    static const char *const t[2][2] = {
        {"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
         "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"},
        {"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
         "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"},
    };
    struct sotto_dh_pair pair[2];
    struct sotto_secret32 priv, shared[2];
    uint8_t want[32];

    for (int i = 0; i < 2; i++) {
        unhex(t[i][0], priv.b);
        unhex(t[i][1], want);
        assert_int_equal(sotto_dh_from_private(&priv, &pair[i]), 0);
        assert_memory_equal(pair[i].pub, want, 32);
    }
    unhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", want);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sotto_dh(&pair[i], pair[1 - i].pub, &shared[i]), 0);
        assert_memory_equal(shared[i].b, want, 32);
    }
}

/* RFC 7748 section 5.2: k, u = X25519(k, u), k, a thousand times. */
static void rfc7748_iterated(void **state)
{
    struct sotto_dh_pair k = {.priv = {{9}}};
    struct sotto_secret32 out;
    uint8_t u[32] = {9}, want[32];

    for (int i = 1; i <= 1000; i++) {
        assert_int_equal(sotto_dh(&k, u, &out), 0);
        memcpy(u, k.priv.b, 32);
        k.priv = out;
        if (i == 1)
            unhex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079", want);
        if (i == 1000)
            unhex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51", want);
        if (i == 1 || i == 1000)
            assert_memory_equal(k.priv.b, want, 32);
    }
}

/*
 * The public key by the Edwards table, by libsodium's ladder, by OpenSSL, and by our own agreement
 * with the base point: the same for random keys and for those with extreme bits.
 */
static void check_public(const uint8_t priv_bytes[32], bool openssl)
{
    struct sotto_secret32 priv, by_dh;
    struct sotto_dh_pair pair;
    uint8_t want[32];

    memcpy(priv.b, priv_bytes, 32);
    assert_int_equal(sotto_dh_from_private(&priv, &pair), 0);
    assert_memory_equal(pair.priv.b, priv_bytes, 32);
    assert_int_equal(crypto_scalarmult_base(want, priv_bytes), 0);
    assert_memory_equal(pair.pub, want, 32);
    assert_int_equal(sotto_dh(&pair, base_point, &by_dh), 0);
    assert_memory_equal(pair.pub, by_dh.b, 32);
    if (openssl) {
        size_t len = 32;
        EVP_PKEY *k = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv_bytes, 32);

        assert_non_null(k);
        assert_int_equal(EVP_PKEY_get_raw_public_key(k, want, &len), 1);
        EVP_PKEY_free(k);
        assert_memory_equal(pair.pub, want, 32);
    }
}

static void public_keys_by_every_way(void **state)
{
    struct sotto_env_fixed f;
    uint8_t priv[32];

    sotto_env_fixed_init(&f, seed, 0);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(sotto_random(&f.env, priv, 32), 0);
        check_public(priv, i < 300);
    }
    for (int bit = 0; bit < 256; bit++) {
        memset(priv, 0, 32);
        priv[bit / 8] = (uint8_t)(1 << bit % 8);
        check_public(priv, true);
        for (int i = 0; i < 32; i++)
            priv[i] = (uint8_t)~priv[i];
        check_public(priv, true);
    }
    memset(priv, 0, 32);
    check_public(priv, true);
    memset(priv, 0xff, 32);
    check_public(priv, true);
}

static void both_sides_agree(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_dh_pair a, b;
    struct sotto_secret32 x, y;

    sotto_env_fixed_init(&f, seed, 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(sotto_dh_generate(&f.env, &a), 0);
        assert_int_equal(sotto_dh_generate(&f.env, &b), 0);
        assert_int_equal(sotto_dh(&a, b.pub, &x), 0);
        assert_int_equal(sotto_dh(&b, a.pub, &y), 0);
        assert_memory_equal(x.b, y.b, 32);
    }
}

static void *agree_in_thread(void *arg)
{
    struct sotto_dh_pair a, b;
    struct sotto_secret32 x, y;

    for (int i = 0; i < 50; i++) {
        if (sotto_dh_generate(sotto_env_system(), &a) != 0 ||
            sotto_dh_generate(sotto_env_system(), &b) != 0 || sotto_dh(&a, b.pub, &x) != 0 ||
            sotto_dh(&b, a.pub, &y) != 0 || memcmp(x.b, y.b, 32) != 0)
            return arg;
    }
    return NULL;
}

static void threads_do_not_share(void **state)
{
    pthread_t t[8];
    void *failed;

    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&t[i], NULL, agree_in_thread, t), 0);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(t[i], &failed), 0);
        assert_null(failed);
    }
}

/* All encodings of the points of order 1, 2, 4 and 8 on the curve and its twist, also those not
 * reduced modulo p and with the top bit set: the secret would not depend on our key. */
static void low_order_points_are_refused(void **state)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    };
    struct sotto_env_fixed f;
    struct sotto_dh_pair ours;
    struct sotto_secret32 got;
    uint8_t p[32];

    sotto_env_fixed_init(&f, seed, 0);
    for (size_t i = 0; i < 2 * sizeof points / sizeof points[0]; i++) {
        unhex(points[i / 2], p);
        p[31] |= i % 2 ? 0x80 : 0;
        assert_int_equal(sotto_dh_generate(&f.env, &ours), 0);
        memset(&got, 0xee, sizeof got);
        assert_int_equal(sotto_dh(&ours, p, &got), SOTTO_ERR_BAD_KEY);
        assert_int_equal(got.b[0], 0xee);
    }
}

static void failing_random_generator_stops_generate(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_dh_pair pair, before;

    sotto_env_fixed_init(&f, seed, 0);
    f.fail_random = 1;
    memset(&pair, 0xee, sizeof pair);
    before = pair;
    assert_int_equal(sotto_dh_generate(&f.env, &pair), SOTTO_ERR_RANDOM);
    assert_memory_equal(&pair, &before, sizeof pair);
}

static void wipe_clears_the_private_part(void **state)
{
    struct sotto_dh_pair pair;

    memset(&pair, 0xee, sizeof pair);
    sotto_dh_pair_wipe(&pair);
    assert_true(sotto_is_zero(&pair, sizeof pair));
}

/* Each allocation in turn fails, in a thread that has nothing yet: the agreement does not need it.
 */
static void *agree_without_memory(void *arg)
{
    struct sotto_dh_pair pair = {.priv = {{9}}};
    struct sotto_secret32 k;
    uint8_t want[32];
    enum sotto_err e;

    (void)alloc_fail_at(*(size_t *)arg);
    e = sotto_dh(&pair, base_point, &k);
    (void)alloc_fail_at(0);
    if (e != 0 || ERR_peek_error() != 0 || crypto_scalarmult(want, pair.priv.b, base_point) != 0 ||
        memcmp(k.b, want, 32) != 0)
        return arg;
    return NULL;
}

static void agreement_works_without_memory(void **state)
{
    pthread_t t;
    void *failed;

    if (!alloc_fail_at(0)) {
        print_message("skip: the sanitizer owns malloc\n");
        skip();
    }
    for (size_t n = 1; n < 16; n++) {
        assert_int_equal(pthread_create(&t, NULL, agree_without_memory, &n), 0);
        assert_int_equal(pthread_join(t, &failed), 0);
        assert_null(failed);
    }
}

static void no_allocation(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_dh_pair a, b;
    struct sotto_secret32 k;
    size_t before;

    sotto_env_fixed_init(&f, seed, 0);
    assert_int_equal(sotto_dh_generate(&f.env, &b), 0);
    assert_int_equal(sotto_dh(&b, base_point, &k), 0); /* what the thread keeps is there now */
    before = alloc_count();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(sotto_dh_generate(&f.env, &a), 0);
        assert_int_equal(sotto_dh(&a, b.pub, &k), 0);
    }
    assert_int_equal(alloc_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x25519_vectors),
        cmocka_unit_test(rfc7748_key_pairs),
        cmocka_unit_test(rfc7748_iterated),
        cmocka_unit_test(public_keys_by_every_way),
        cmocka_unit_test(both_sides_agree),
        cmocka_unit_test(threads_do_not_share),
        cmocka_unit_test(low_order_points_are_refused),
        cmocka_unit_test(failing_random_generator_stops_generate),
        cmocka_unit_test(wipe_clears_the_private_part),
        cmocka_unit_test(agreement_works_without_memory),
        cmocka_unit_test(no_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
