/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"
#include "base/bytes.h"
#include "vectors.h"

static const uint8_t env_seed[32] = "ed25519";

static size_t wycheproof_ed25519(json_t *root)
{
    json_t *group, *t;
    size_t i, j, n = 0;

    json_array_foreach(vec_array(root, "testGroups"), i, group)
    {
        const uint8_t *pub = vec_hex_n(json_object_get(group, "publicKey"), "pk", 32);

        json_array_foreach(vec_array(group, "tests"), j, t)
        {
            struct vec msg = vec_hex(t, "msg"), sig = vec_hex(t, "sig");
            bool valid = strcmp(vec_string(t, "result"), "valid") == 0;
            /* Another length has no place in the interface: refused where bytes are read. */
            bool accepted =
                sig.n == SOTTO_SIGNATURE && sotto_sign_verify_raw(pub, msg.p, msg.n, sig.p) == 0;

            if (accepted != valid)
                vec_fail(t, valid ? "refused" : "accepted");
            n++;
        }
    }
    return n;
}

/* The rule that sign.h states, on every kind of edge case there is. */
static size_t cctv_ed25519(json_t *root)
{
    static const char *const refused[] = {"non_canonical_A", "non_canonical_R", "low_order_A",
                                          "low_order_R", "low_order_residue"};
    json_t *t;
    size_t i, n = 0, accepted = 0;

    json_array_foreach(root, i, t)
    {
        const char *msg = vec_string(t, "msg");
        bool want = true;
        enum sotto_err e;

        for (size_t k = 0; k < sizeof refused / sizeof refused[0]; k++)
            want = want && !vec_flag(t, refused[k]);
        e = sotto_sign_verify_raw(vec_hex_n(t, "key", 32), msg, strlen(msg),
                                  vec_hex_n(t, "sig", 64));
        if (e != (want ? SOTTO_OK : SOTTO_ERR_BAD_SIGNATURE))
            vec_fail(t, want ? "refused" : "accepted");
        accepted += want;
        n++;
    }
    assert_true(accepted > 0);
    return n;
}

static void ed25519_vectors(void **state)
{
    vectors_run("wycheproof/ed25519_test.json", 27, 101, wycheproof_ed25519);
}

static void ed25519_edge_cases_follow_the_rule(void **state)
{
    vectors_run("ed25519-cctv/ed25519vectors.json", 62, 610, cctv_ed25519);
}

static void unhex(const char *hex, uint8_t *ret, size_t len)
{
    size_t n;

    assert_int_equal(sotto_hex_decode(hex, strlen(hex), ret, len, &n), 0);
    assert_int_equal(n, len);
}

/* RFC 8032 section 7.1, tests 1 to 3: key and signature from the seed. */
static void rfc8032_signatures(void **state)
{
    static const struct {
        const char *seed, *pub, *msg, *sig;
    } t[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
         "c"
         "f9b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
         "0"
         "f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
         "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7609"
         "8"
         "4dc6594a7c15e9716ed28dc027beceea1ec40a"},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        struct sotto_sign_pair key;
        struct sotto_secret32 seed;
        uint8_t pub[32], msg[2], want[64], sig[64];
        size_t len = strlen(t[i].msg) / 2;

        unhex(t[i].seed, seed.b, 32);
        unhex(t[i].pub, pub, 32);
        unhex(t[i].msg, msg, len);
        unhex(t[i].sig, want, 64);
        sotto_sign_from_seed(&seed, &key);
        assert_memory_equal(key.pub, pub, 32);
        assert_int_equal(sotto_sign_raw(&key, msg, len, sig), 0);
        assert_memory_equal(sig, want, 64);
    }
}

/* What is signed is "sotto/1 " purpose NUL data, whatever the size. */
static void purpose_is_part_of_what_is_signed(void **state)
{
    static const char framed[] = "sotto/1 device list\0the list";
    static uint8_t big[8 + 1 + 1 + 9000] = "sotto/1 p";
    struct sotto_env_fixed f;
    struct sotto_sign_pair key;
    uint8_t sig[64], raw[64];

    sotto_env_fixed_init(&f, env_seed, 0);
    assert_int_equal(sotto_sign_generate(&f.env, &key), 0);
    assert_int_equal(sotto_sign(&key, "device list", "the list", 8, sig), 0);
    assert_int_equal(sotto_sign_raw(&key, framed, sizeof framed - 1, raw), 0);
    assert_memory_equal(sig, raw, 64);
    assert_int_equal(sotto_sign_verify(key.pub, "device list", "the list", 8, sig), 0);
    assert_int_equal(sotto_sign_verify(key.pub, "device", "the list", 8, sig),
                     SOTTO_ERR_BAD_SIGNATURE);
    assert_int_equal(sotto_sign_verify_raw(key.pub, "the list", 8, sig), SOTTO_ERR_BAD_SIGNATURE);
    for (size_t len = 0; len <= 9000; len += len == 4090  ? 1
                                             : len < 4090 ? 409
                                                          : 9 * (len - 4089)) {
        memset(big + 10, (int)len, len);
        assert_int_equal(sotto_sign(&key, "p", big + 10, len, sig), 0);
        assert_int_equal(sotto_sign_raw(&key, big, 10 + len, raw), 0);
        assert_memory_equal(sig, raw, 64);
        assert_int_equal(sotto_sign_verify(key.pub, "p", big + 10, len, sig), 0);
    }
}

static void wrong_signatures_are_refused(void **state)
{
    static const size_t lens[] = {0, 1, 100, 4096, 4097};
    static uint8_t msg[4097];
    struct sotto_env_fixed f;
    struct sotto_sign_pair key, other;
    uint8_t sig[64];

    sotto_env_fixed_init(&f, env_seed, 0);
    assert_int_equal(sotto_sign_generate(&f.env, &key), 0);
    assert_int_equal(sotto_sign_generate(&f.env, &other), 0);
    for (size_t k = 0; k < sizeof lens / sizeof lens[0]; k++) {
        size_t len = lens[k];

        assert_int_equal(sotto_sign(&key, "test", msg, len, sig), 0);
        for (size_t bit = 0; bit < 512; bit++) {
            sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(sotto_sign_verify(key.pub, "test", msg, len, sig),
                             SOTTO_ERR_BAD_SIGNATURE);
            sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t bit = 0; bit < 256; bit++) {
            key.pub[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(sotto_sign_verify(key.pub, "test", msg, len, sig),
                             SOTTO_ERR_BAD_SIGNATURE);
            key.pub[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t at = 0; at < len; at += len / 5 + 1) {
            msg[at] ^= 1;
            assert_int_equal(sotto_sign_verify(key.pub, "test", msg, len, sig),
                             SOTTO_ERR_BAD_SIGNATURE);
            msg[at] ^= 1;
        }
        assert_int_equal(sotto_sign_verify(other.pub, "test", msg, len, sig),
                         SOTTO_ERR_BAD_SIGNATURE);
        assert_int_equal(sotto_sign_verify(key.pub, "test", msg, len, sig), 0);
    }
}

static void failing_random_generator_stops_generate(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_sign_pair key, before;

    sotto_env_fixed_init(&f, env_seed, 0);
    f.fail_random = 1;
    memset(&key, 0xee, sizeof key);
    before = key;
    assert_int_equal(sotto_sign_generate(&f.env, &key), SOTTO_ERR_RANDOM);
    assert_memory_equal(&key, &before, sizeof key);
}

static void bad_purpose_is_our_bug(void **state)
{
    struct sotto_sign_pair key;
    char longest[66];
    uint8_t sig[64];

    sotto_sign_from_seed(&(struct sotto_secret32){{1}}, &key);
    memset(longest, 'p', 65);
    longest[65] = 0;
    assert_int_equal(sotto_sign(&key, longest, "x", 1, sig), SOTTO_ERR_BUG);
    assert_int_equal(sotto_sign_verify(key.pub, longest, "x", 1, sig), SOTTO_ERR_BUG);
    assert_int_equal(sotto_sign(&key, "", "x", 1, sig), SOTTO_ERR_BUG);
    assert_int_equal(sotto_sign(&key, longest + 1, "x", 1, sig), 0);
    assert_int_equal(sotto_sign_verify(key.pub, longest + 1, "x", 1, sig), 0);
}

static void no_allocation_up_to_4_kib(void **state)
{
    static uint8_t msg[4096];
    struct sotto_sign_pair key;
    uint8_t sig[64];
    size_t before;

    sotto_sign_from_seed(&(struct sotto_secret32){{1}}, &key);
    before = alloc_count();
    assert_int_equal(sotto_sign(&key, "test", msg, sizeof msg, sig), 0);
    assert_int_equal(sotto_sign_verify(key.pub, "test", msg, sizeof msg, sig), 0);
    assert_int_equal(alloc_count(), before);
    sotto_sign_pair_wipe(&key);
    assert_true(sotto_is_zero(&key, sizeof key));
}

static void large_messages_need_memory(void **state)
{
    static uint8_t msg[4097];
    struct sotto_sign_pair key;
    uint8_t sig[64];

    sotto_sign_from_seed(&(struct sotto_secret32){{1}}, &key);
    memset(sig, 0xee, sizeof sig);
    if (!alloc_fail_at(1)) {
        print_message("skip: the sanitizer owns malloc\n");
        skip();
    }
    assert_int_equal(sotto_sign(&key, "test", msg, sizeof msg, sig), SOTTO_ERR_NOMEM);
    assert_int_equal(sig[0], 0xee);
    assert_int_equal(sotto_sign(&key, "test", msg, sizeof msg, sig), 0);
    assert_true(alloc_fail_at(1));
    assert_int_equal(sotto_sign_verify(key.pub, "test", msg, sizeof msg, sig), SOTTO_ERR_NOMEM);
    assert_int_equal(sotto_sign_verify(key.pub, "test", msg, sizeof msg, sig), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ed25519_vectors),
        cmocka_unit_test(ed25519_edge_cases_follow_the_rule),
        cmocka_unit_test(rfc8032_signatures),
        cmocka_unit_test(purpose_is_part_of_what_is_signed),
        cmocka_unit_test(wrong_signatures_are_refused),
        cmocka_unit_test(failing_random_generator_stops_generate),
        cmocka_unit_test(bad_purpose_is_our_bug),
        cmocka_unit_test(no_allocation_up_to_4_kib),
        cmocka_unit_test(large_messages_need_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
