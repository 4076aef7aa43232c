/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/prekey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "people.h"

enum { BODY = SOTTO_PREKEY_BYTES - SOTTO_SIGNATURE, AT_DH = 25, AT_KEM = 57 };

static struct sotto_env_fixed fixed;
static struct person alice, bob;

static int setup(void **state)
{
    sotto_env_fixed_init(&fixed, (const uint8_t[32]){"prekey"}, PEOPLE_NOW_MS);
    person_make(&fixed.env, "alice", &alice);
    person_make(&fixed.env, "bob", &bob);
    return 0;
}

static void prekey_round_trip(void **state)
{
    struct sotto_prekey p;
    uint8_t digest[32], ct[SOTTO_KEM_CIPHERTEXT];
    struct sotto_secret32 theirs, ours;

    assert_int_equal(sotto_prekey_parse(bob.one_time.bytes, SOTTO_PREKEY_BYTES, &p), 0);
    assert_memory_equal(&p, &bob.one_time, sizeof p);
    assert_int_equal(p.type, SOTTO_PREKEY_ONE_TIME);
    assert_int_equal(p.id, 21);
    assert_int_equal(p.generation, 1);
    assert_true(p.device == bob.device.id);
    assert_true(p.expires_ms == PEOPLE_NOW_MS + SOTTO_PREKEY_LIFETIME_MS);
    assert_memory_equal(p.dh_pub, bob.one_time_private.dh.pub, 32);
    assert_int_equal(sotto_kem_encaps(&fixed.env, p.kem_pub, ct, &theirs), 0);
    sotto_kem_decaps_private(&bob.one_time_private.kem, ct, &ours);
    assert_memory_equal(&theirs, &ours, sizeof ours);
    assert_int_equal(sotto_prekey_verify(&p, &bob.device), 0);
    sotto_sha256(p.bytes, BODY, digest);
    assert_memory_equal(bob.one_time_private.digest, digest, 32);
    assert_int_equal(sotto_prekey_verify(&bob.signed_prekey, &bob.device), 0);
}

static void prekey_wrong_signature(void **state)
{
    uint8_t bad[SOTTO_PREKEY_BYTES + 1];
    struct sotto_prekey p;

    for (size_t i = 0; i < SOTTO_PREKEY_BYTES; i += i < AT_KEM || i >= BODY - 8 ? 1 : 61) {
        enum sotto_err e;

        memcpy(bad, bob.one_time.bytes, SOTTO_PREKEY_BYTES);
        bad[i] ^= 1 << i % 8;
        if ((e = sotto_prekey_parse(bad, SOTTO_PREKEY_BYTES, &p)) == 0)
            e = sotto_prekey_verify(&p, &bob.device);
        assert_int_not_equal(e, 0);
    }
    for (size_t n = 0; n <= sizeof bad; n += n < BODY ? 37 : 1) {
        if (n != SOTTO_PREKEY_BYTES)
            assert_int_equal(sotto_prekey_parse(bad, n, &p), SOTTO_ERR_MALFORMED);
    }
    p = bob.one_time;
    p.device = alice.device.id; /* as Alice's it has the wrong key */
    assert_int_equal(sotto_prekey_verify(&p, &alice.device), SOTTO_ERR_BAD_SIGNATURE);
    assert_int_equal(sotto_prekey_verify(&bob.one_time, &alice.device), SOTTO_ERR_USAGE);
}

/* The bytes of bob's one-time pre-key with some replaced, signed again by his device. */
static enum sotto_err verify_resigned(size_t at, const void *with, size_t n)
{
    uint8_t bytes[SOTTO_PREKEY_BYTES];
    struct sotto_prekey p;
    enum sotto_err e;

    memcpy(bytes, bob.one_time.bytes, sizeof bytes);
    memcpy(bytes + at, with, n);
    assert_int_equal(sotto_sign(&bob.keys.sign, "pre-key", bytes, BODY, bytes + BODY), 0);
    e = sotto_prekey_parse(bytes, sizeof bytes, &p);
    return e != 0 ? e : sotto_prekey_verify(&p, &bob.device);
}

static void prekey_invalid_kem_keys(void **state)
{
    /* Two 12-bit coefficients in three bytes: (3328, 3328) are the largest that are reduced,
     * 3329 is not, neither as the first nor as the second. */
    static const uint8_t largest[3] = {0x00, 0x0d, 0xd0}, first[3] = {0x01, 0x0d, 0xd0},
                         second[3] = {0x00, 0x1d, 0xd0}, all[3] = {0xff, 0xff, 0xff};

    assert_int_equal(verify_resigned(AT_KEM, largest, 3), 0);
    assert_int_equal(verify_resigned(AT_KEM, first, 3), SOTTO_ERR_BAD_KEY);
    assert_int_equal(verify_resigned(AT_KEM, second, 3), SOTTO_ERR_BAD_KEY);
    assert_int_equal(verify_resigned(AT_KEM + 1533, all, 3), SOTTO_ERR_BAD_KEY);
    assert_int_equal(verify_resigned(AT_KEM + 1536, all, 3), 0); /* the seed may be anything */
}

static void prekey_low_order_points(void **state)
{
    uint8_t point[32] = {0};

    for (int i = 0; i < 2; i++) {
        point[0] = (uint8_t)i;
        assert_int_equal(verify_resigned(AT_DH, point, 32), SOTTO_ERR_BAD_KEY);
    }
}

static void prekey_layout_limits(void **state)
{
    static const uint8_t zero[4] = {0};

    assert_int_equal(verify_resigned(0, "\x01", 1), 0);
    assert_int_equal(verify_resigned(0, "\x03", 1), SOTTO_ERR_MALFORMED);
    assert_int_equal(verify_resigned(0, zero, 1), SOTTO_ERR_MALFORMED);
    assert_int_equal(verify_resigned(1, zero, 4), SOTTO_ERR_MALFORMED);
}

static void prekey_of_an_older_generation(void **state)
{
    bob.device.generation = 2;
    assert_int_equal(sotto_prekey_verify(&bob.one_time, &bob.device), SOTTO_ERR_EXPIRED);
    bob.party.generation = 5; /* the list's is the least that is valid */
    person_prekeys(&fixed.env, &bob);
    assert_int_equal(bob.one_time.generation, 5);
    assert_int_equal(sotto_prekey_verify(&bob.one_time, &bob.device), 0);
}

static void prekey_generate_refuses(void **state)
{
    struct sotto_prekey_private s, s_before;
    struct sotto_prekey p, p_before;

    memset(&s, 0xee, sizeof s);
    memset(&p, 0xee, sizeof p);
    s_before = s;
    p_before = p;
    assert_int_equal(
        sotto_prekey_generate(&fixed.env, &bob.keys.sign, 1, SOTTO_PREKEY_ONE_TIME, 0, 1, &s, &p),
        SOTTO_ERR_USAGE);
    assert_int_equal(sotto_prekey_generate(&fixed.env, &bob.keys.sign, 1, (enum sotto_prekey_type)3,
                                           1, 1, &s, &p),
                     SOTTO_ERR_USAGE);
    fixed.fail_random = 1;
    assert_int_equal(
        sotto_prekey_generate(&fixed.env, &bob.keys.sign, 1, SOTTO_PREKEY_ONE_TIME, 1, 1, &s, &p),
        SOTTO_ERR_RANDOM);
    fixed.fail_random = 0;
    assert_memory_equal(&s, &s_before, sizeof s);
    assert_memory_equal(&p, &p_before, sizeof p);
}

static void private_round_trip(void **state)
{
    uint8_t bytes[SOTTO_PREKEY_PRIVATE_BYTES + 1], again[SOTTO_PREKEY_PRIVATE_BYTES];
    struct sotto_prekey_private p;

    sotto_prekey_private_write(&bob.one_time_private, bytes);
    assert_int_equal(sotto_prekey_private_read(bytes, sizeof again, &p), 0);
    sotto_prekey_private_write(&p, again);
    assert_memory_equal(bytes, again, sizeof again);
    assert_memory_equal(&p.kem, &bob.one_time_private.kem, sizeof p.kem);
    assert_memory_equal(&p.dh, &bob.one_time_private.dh, sizeof p.dh);
    for (size_t n = 0; n < sizeof again; n += 7)
        assert_int_equal(sotto_prekey_private_read(bytes, n, &p), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_prekey_private_read(bytes, sizeof bytes, &p), SOTTO_ERR_MALFORMED);
    bytes[0] = 9;
    assert_int_equal(sotto_prekey_private_read(bytes, sizeof again, &p), SOTTO_ERR_MALFORMED);
    bytes[0] = 1;
    memset(bytes + 1, 0, 4);
    assert_int_equal(sotto_prekey_private_read(bytes, sizeof again, &p), SOTTO_ERR_MALFORMED);
    sotto_prekey_private_wipe(&p);
    assert_true(sotto_is_zero(&p.dh, sizeof p.dh) && sotto_is_zero(&p.kem, sizeof p.kem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(prekey_round_trip, setup),
        cmocka_unit_test_setup(prekey_wrong_signature, setup),
        cmocka_unit_test_setup(prekey_invalid_kem_keys, setup),
        cmocka_unit_test_setup(prekey_low_order_points, setup),
        cmocka_unit_test_setup(prekey_layout_limits, setup),
        cmocka_unit_test_setup(prekey_of_an_older_generation, setup),
        cmocka_unit_test_setup(prekey_generate_refuses, setup),
        cmocka_unit_test_setup(private_round_trip, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
