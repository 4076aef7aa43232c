/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/hpke.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"
#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "vectors.h"

static const uint8_t env_seed[32] = "hpke";

/* Hands out the private key of the vector's ephemeral pair. */
static enum sotto_err give(void *ctx, void *ret, size_t len)
{
    assert_int_equal(len, 32);
    memcpy(ret, ctx, 32);
    return SOTTO_OK;
}

/* Both directions of one context: keys, every encryption at its number, every export. */
static size_t check_context(const json_t *v)
{
    struct sotto_env env = {.ctx = (void *)vec_hex_n(v, "skEm", 32), .random = give};
    struct vec info = vec_hex(v, "info");
    struct sotto_hpke s, r;
    struct sotto_secret32 priv;
    struct sotto_dh_pair ours;
    uint8_t enc[32], out[4096];
    size_t n = 0, i;
    json_t *t;

    memcpy(priv.b, vec_hex_n(v, "skRm", 32), 32);
    assert_int_equal(sotto_dh_from_private(&priv, &ours), 0);
    assert_memory_equal(ours.pub, vec_hex_n(v, "pkRm", 32), 32);
    assert_int_equal(sotto_hpke_setup_sender(&env, ours.pub, info.p, info.n, enc, &s), 0);
    assert_memory_equal(enc, vec_hex_n(v, "enc", 32), 32);
    assert_int_equal(sotto_hpke_setup_receiver(&ours, enc, info.p, info.n, &r), 0);
    assert_memory_equal(r.key.b, s.key.b, 32);
    assert_memory_equal(r.base_nonce, s.base_nonce, 12);
    assert_memory_equal(r.exporter.b, s.exporter.b, 32);
    assert_memory_equal(s.key.b, vec_hex_n(v, "key", 32), 32);
    assert_memory_equal(s.base_nonce, vec_hex_n(v, "base_nonce", 12), 12);
    assert_memory_equal(s.exporter.b, vec_hex_n(v, "exporter_secret", 32), 32);
    json_array_foreach(vec_array(v, "encryptions"), i, t)
    {
        struct vec pt = vec_hex(t, "pt"), ct = vec_hex(t, "ct"), ad = vec_hex(t, "aad");
        uint64_t seq = (uint64_t)vec_int(t, "seq");

        /* Where the file left numbers out, messages of our own use them up. */
        while (s.seq < seq) {
            assert_int_equal(sotto_hpke_seal(&s, NULL, 0, "x", 1, out), 0);
            assert_int_equal(sotto_hpke_open(&r, NULL, 0, out, 17, out), 0);
        }
        assert_int_equal(ct.n, pt.n + SOTTO_AEAD_TAG);
        assert_int_equal(sotto_hpke_seal(&s, ad.p, ad.n, pt.p, pt.n, out), 0);
        assert_memory_equal(out, ct.p, ct.n);
        assert_int_equal(sotto_hpke_open(&r, ad.p, ad.n, ct.p, ct.n, out), 0);
        assert_memory_equal(out, pt.p, pt.n);
        n++;
    }
    json_array_foreach(vec_array(v, "exports"), i, t)
    {
        struct vec context = vec_hex(t, "exporter_context"), want = vec_hex(t, "exported_value");

        assert_int_equal(want.n, vec_int(t, "L"));
        sotto_hpke_export(&s, context.p, context.n, out, want.n);
        assert_memory_equal(out, want.p, want.n);
        n++;
    }
    return n;
}

static size_t rfc9180(json_t *root)
{
    size_t i, n = 0;
    json_t *v;

    json_array_foreach(root, i, v)
    {
        if (vec_int(v, "mode") == 0 && vec_int(v, "kem_id") == 0x20 && vec_int(v, "kdf_id") == 1 &&
            vec_int(v, "aead_id") == 2)
            n += check_context(v);
    }
    return n;
}

static void rfc9180_vectors(void **state)
{
    vectors_run("hpke/rfc9180.json", 6 + 3, 257 + 3, rfc9180);
}

static void pair_of(struct sotto_env_fixed *f, struct sotto_dh_pair *ret)
{
    sotto_env_fixed_init(f, env_seed, 0);
    assert_int_equal(sotto_dh_generate(&f->env, ret), 0);
}

static void low_order_points_are_refused(void **state)
{
    static const uint8_t points[][32] = {
        {0},
        {1},
        {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
        {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
         0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
         0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
    };
    struct sotto_env_fixed f;
    struct sotto_dh_pair ours;
    struct sotto_hpke h, before;
    uint8_t enc[32];

    pair_of(&f, &ours);
    memset(&h, 0xee, sizeof h);
    memset(enc, 0xee, sizeof enc);
    memcpy(&before, &h, sizeof h);
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        assert_int_equal(sotto_hpke_setup_sender(&f.env, points[i], "i", 1, enc, &h),
                         SOTTO_ERR_BAD_KEY);
        assert_int_equal(sotto_hpke_setup_receiver(&ours, points[i], "i", 1, &h),
                         SOTTO_ERR_BAD_KEY);
        assert_memory_equal(&h, &before, sizeof h);
        assert_int_equal(enc[0], 0xee);
    }
}

static void failing_random_generator_stops_the_sender(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_dh_pair ours;
    struct sotto_hpke h, before;
    uint8_t enc[32];

    pair_of(&f, &ours);
    f.fail_random = 1;
    memset(&h, 0xee, sizeof h);
    memset(enc, 0xee, sizeof enc);
    memcpy(&before, &h, sizeof h);
    assert_int_equal(sotto_hpke_setup_sender(&f.env, ours.pub, "i", 1, enc, &h), SOTTO_ERR_RANDOM);
    assert_memory_equal(&h, &before, sizeof h);
    for (size_t i = 0; i < sizeof enc; i++)
        assert_int_equal(enc[i], 0xee);
}

/* Other info, another key, another order, a changed bit: nothing opens, and the number is not used
 * up by the attempt. */
static void only_what_was_sealed_opens(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_dh_pair ours, other;
    struct sotto_hpke s, r, wrong;
    uint8_t enc[32], ct[2][21], out[21];

    pair_of(&f, &ours);
    assert_int_equal(sotto_dh_generate(&f.env, &other), 0);
    assert_int_equal(sotto_hpke_setup_sender(&f.env, ours.pub, "info", 4, enc, &s), 0);
    assert_int_equal(sotto_hpke_seal(&s, "ad", 2, "first", 5, ct[0]), 0);
    assert_int_equal(sotto_hpke_seal(&s, "ad", 2, "secnd", 5, ct[1]), 0);
    assert_int_equal(sotto_hpke_setup_receiver(&ours, enc, "inf", 3, &wrong), 0);
    assert_int_equal(sotto_hpke_open(&wrong, "ad", 2, ct[0], 21, out), SOTTO_ERR_BAD_TAG);
    assert_int_equal(sotto_hpke_setup_receiver(&other, enc, "info", 4, &wrong), 0);
    assert_int_equal(sotto_hpke_open(&wrong, "ad", 2, ct[0], 21, out), SOTTO_ERR_BAD_TAG);
    assert_int_equal(sotto_hpke_setup_receiver(&ours, enc, "info", 4, &r), 0);
    assert_int_equal(sotto_hpke_open(&r, "ad", 2, ct[1], 21, out), SOTTO_ERR_BAD_TAG);
    assert_int_equal(sotto_hpke_open(&r, "a", 1, ct[0], 21, out), SOTTO_ERR_BAD_TAG);
    ct[0][7] ^= 1;
    assert_int_equal(sotto_hpke_open(&r, "ad", 2, ct[0], 21, out), SOTTO_ERR_BAD_TAG);
    ct[0][7] ^= 1;
    assert_int_equal(sotto_hpke_open(&r, "ad", 2, ct[0], 15, out), SOTTO_ERR_TRUNCATED);
    assert_int_equal(sotto_hpke_open(&r, "ad", 2, ct[0], 21, out), 0);
    assert_memory_equal(out, "first", 5);
    assert_int_equal(sotto_hpke_open(&r, "ad", 2, ct[1], 21, out), 0);
    assert_memory_equal(out, "secnd", 5);
}

static void numbers_do_not_run_over(void **state)
{
    struct sotto_env_fixed f;
    struct sotto_dh_pair ours;
    struct sotto_hpke s;
    uint8_t enc[32], ct[17];

    pair_of(&f, &ours);
    assert_int_equal(sotto_hpke_setup_sender(&f.env, ours.pub, NULL, 0, enc, &s), 0);
    s.seq = UINT64_MAX - 1;
    assert_int_equal(sotto_hpke_seal(&s, NULL, 0, "x", 1, ct), 0);
    assert_int_equal(sotto_hpke_seal(&s, NULL, 0, "x", 1, ct), SOTTO_ERR_STATE);
    assert_int_equal(sotto_hpke_open(&s, NULL, 0, ct, 17, ct), SOTTO_ERR_STATE);
    sotto_hpke_wipe(&s);
    assert_true(sotto_is_zero(&s, sizeof s));
}

static void no_allocation(void **state)
{
    static uint8_t text[2000], ct[2016];
    struct sotto_env_fixed f;
    struct sotto_dh_pair ours;
    struct sotto_hpke s, r;
    uint8_t enc[32];
    size_t before = 0;

    pair_of(&f, &ours);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(sotto_hpke_setup_sender(&f.env, ours.pub, "info", 4, enc, &s), 0);
        assert_int_equal(sotto_hpke_seal(&s, "ad", 2, text, sizeof text, ct), 0);
        assert_int_equal(sotto_hpke_setup_receiver(&ours, enc, "info", 4, &r), 0);
        assert_int_equal(sotto_hpke_open(&r, "ad", 2, ct, sizeof ct, ct), 0);
        if (i == 0)
            before = alloc_count();
    }
    assert_int_equal(alloc_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc9180_vectors),
        cmocka_unit_test(low_order_points_are_refused),
        cmocka_unit_test(failing_random_generator_stops_the_sender),
        cmocka_unit_test(only_what_was_sealed_opens),
        cmocka_unit_test(numbers_do_not_run_over),
        cmocka_unit_test(no_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
