/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "e2ee/point.h"
#include "people.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))
enum { BODY = SOTTO_ENTRY_BYTES - SOTTO_SIGNATURE };

static struct sotto_env_fixed fixed;
static struct person alice, mallory;

static int setup(void **state)
{
    sotto_env_fixed_init(&fixed, (const uint8_t[32]){"identity"}, PEOPLE_NOW_MS);
    person_make(&fixed.env, "alice", &alice);
    person_make(&fixed.env, "mallory", &mallory);
    return 0;
}

static void names(void **state)
{
    static const struct {
        const char *name;
        bool want;
    } t[] = {
        {"a", true},
        {"0", true},
        {"alice", true},
        {"a.b_c-d", true},
        {"9-", true},
        {"abcdefghijklmnopqrstuvwxyz012345", true},
        {"+1234567", true},
        {"+4915112345678", true},
        {"+123456789012345", true},
        {"", false},
        {"abcdefghijklmnopqrstuvwxyz0123456", false},
        {".a", false},
        {"-a", false},
        {"_a", false},
        {"Alice", false},
        {"al ice", false},
        {"alice@relay", false},
        {"alice:1", false},
        {"al/ice", false},
        {"ali\xc3\xa7"
         "e",
         false},
        {"+123456", false},
        {"+1234567890123456", false},
        {"+49151a234567", false},
        {"++1234567", false},
        {"+", false},
        {"1+234567", false},
    };

    for (size_t i = 0; i < LEN(t); i++) {
        if (sotto_name_valid(t[i].name, strlen(t[i].name)) != t[i].want)
            fail_msg("%s", t[i].name);
    }
    assert_false(sotto_name_valid("a\0b", 3));
}

static void device_id_is_a_hash_of_the_key(void **state)
{
    uint8_t in[18 + 32] = "sotto/1 device id", hash[32];

    memset(in + 18, 0x42, 32);
    sotto_sha256(in, sizeof in, hash);
    assert_true(sotto_device_id(in + 18) == sotto_get_u64(hash));
}

static void account_layout(void **state)
{
    uint8_t out[SOTTO_ACCOUNT_MAX];
    struct sotto_account back;
    struct sotto_writer w;
    struct sotto_reader r;

    sotto_writer_init(&w, out, sizeof out);
    sotto_account_write(&w, &alice.account);
    assert_int_equal(w.err, 0);
    assert_int_equal(w.len, 32 + 1 + 5 + 32);
    sotto_reader_init(&r, out, w.len);
    assert_int_equal(sotto_account_read(&r, &back), 0);
    assert_int_equal(sotto_read_done(&r), 0);
    assert_memory_equal(&back, &alice.account, sizeof back);
    for (size_t n = 0; n < w.len; n++) {
        sotto_reader_init(&r, out, n);
        assert_int_equal(sotto_account_read(&r, &back), SOTTO_ERR_TRUNCATED);
        assert_int_equal(sotto_reader_left(&r), n);
    }
    out[33] = 'A';
    sotto_reader_init(&r, out, w.len);
    assert_int_equal(sotto_account_read(&r, &back), SOTTO_ERR_MALFORMED);
}

static void failing_random_gives_no_keys(void **state)
{
    struct sotto_device_keys k, before;

    memset(&k, 0xee, sizeof k);
    before = k;
    fixed.fail_random = 1;
    assert_int_equal(sotto_device_keys_generate(&fixed.env, &k), SOTTO_ERR_RANDOM);
    fixed.fail_random = 0;
    assert_memory_equal(&k, &before, sizeof k);
    assert_int_equal(sotto_device_keys_generate(&fixed.env, &k), 0);
    assert_memory_not_equal(&k.dh, &k.sealing, sizeof k.dh);
    assert_memory_not_equal(&k.sign.seed, &k.dh.priv, 32);
    sotto_device_keys_wipe(&k);
    assert_true(sotto_is_zero(&k, sizeof k));
}

static void entry_round_trip(void **state)
{
    struct sotto_device d = {0};

    alice.device.generation = 0x01020304;
    alice.device.capabilities = 0xa0b0c0d0;
    person_update(&alice);
    assert_int_equal(sotto_entry_open(alice.entry, SOTTO_ENTRY_BYTES, &alice.account, &d), 0);
    assert_true(d.id == alice.device.id && d.generation == 0x01020304 &&
                d.capabilities == 0xa0b0c0d0 &&
                d.sealing_expires_ms == alice.device.sealing_expires_ms);
    assert_memory_equal(d.sign_pub, alice.keys.sign.pub, 32);
    assert_memory_equal(d.dh_pub, alice.keys.dh.pub, 32);
    assert_memory_equal(d.sealing_pub, alice.keys.sealing.pub, 32);
}

static void entry_refuses_every_changed_byte(void **state)
{
    uint8_t bad[SOTTO_ENTRY_BYTES + 1];
    struct sotto_device d, before;

    memset(&d, 0xee, sizeof d);
    before = d;
    for (size_t i = 0; i < SOTTO_ENTRY_BYTES; i++) {
        memcpy(bad, alice.entry, SOTTO_ENTRY_BYTES);
        bad[i] ^= 1 << i % 8;
        assert_int_not_equal(sotto_entry_open(bad, SOTTO_ENTRY_BYTES, &alice.account, &d), 0);
    }
    memcpy(bad, alice.entry, SOTTO_ENTRY_BYTES);
    for (size_t n = 0; n < SOTTO_ENTRY_BYTES; n++)
        assert_int_equal(sotto_entry_open(bad, n, &alice.account, &d), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_entry_open(bad, sizeof bad, &alice.account, &d), SOTTO_ERR_MALFORMED);
    bad[0] = 2;
    assert_int_equal(sotto_entry_open(bad, SOTTO_ENTRY_BYTES, &alice.account, &d),
                     SOTTO_ERR_UNSUPPORTED);
    assert_memory_equal(&d, &before, sizeof d);
}

/* The entry with other bytes, signed by `signer` in the right way. */
static enum sotto_err open_resigned(const struct sotto_sign_pair *signer, size_t at,
                                    const uint8_t *bytes, size_t len)
{
    uint8_t e[SOTTO_ENTRY_BYTES], over[SOTTO_ACCOUNT_MAX + BODY];
    struct sotto_device d;
    struct sotto_writer w;

    memcpy(e, alice.entry, sizeof e);
    memcpy(e + at, bytes, len);
    sotto_writer_init(&w, over, sizeof over);
    sotto_account_write(&w, &alice.account);
    sotto_write_bytes(&w, e, BODY);
    assert_int_equal(sotto_sign(signer, "device entry", over, w.len, e + BODY), 0);
    return sotto_entry_open(e, sizeof e, &alice.account, &d);
}

enum { AT_ID = 1, AT_SIGN = 13, AT_DH = 45, AT_SEALING = 77, AT_RESERVED = 121 };

static void entry_wrong_signatures(void **state)
{
    static const uint8_t reserved[4] = {0, 0, 0, 1}, id[8] = {1};
    const struct sotto_sign_pair *own = &alice.keys.sign;

    assert_int_equal(open_resigned(own, 0, alice.entry, BODY), 0);
    assert_int_equal(open_resigned(&mallory.keys.sign, 0, alice.entry, BODY),
                     SOTTO_ERR_BAD_SIGNATURE);
    assert_int_equal(open_resigned(&alice.account_key, 0, alice.entry, BODY),
                     SOTTO_ERR_BAD_SIGNATURE);
    assert_int_equal(open_resigned(own, AT_RESERVED, reserved, 4), SOTTO_ERR_MALFORMED);
    assert_int_equal(open_resigned(own, AT_ID, id, 8), SOTTO_ERR_BAD_KEY);
    /* a signature of the same bytes for another purpose */
    {
        uint8_t e[SOTTO_ENTRY_BYTES], over[SOTTO_ACCOUNT_MAX + BODY];
        struct sotto_device d;
        struct sotto_writer w;

        memcpy(e, alice.entry, sizeof e);
        sotto_writer_init(&w, over, sizeof over);
        sotto_account_write(&w, &alice.account);
        sotto_write_bytes(&w, e, BODY);
        assert_int_equal(sotto_sign(own, "pre-key", over, w.len, e + BODY), 0);
        assert_int_equal(sotto_entry_open(e, sizeof e, &alice.account, &d),
                         SOTTO_ERR_BAD_SIGNATURE);
    }
}

/* Every encoding of a small-order point (with and without the bit that X25519 ignores) is refused
 * as identity and as sealing key, and is one that an agreement would refuse too. */
static void entry_low_order_points(void **state)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct sotto_secret32 k;

    for (size_t i = 0; i < 2 * LEN(points); i++) {
        uint8_t p[32];
        size_t n;

        assert_int_equal(sotto_hex_decode(points[i / 2], 64, p, 32, &n), 0);
        p[31] |= i % 2 == 1 ? 0x80 : 0;
        assert_int_equal(sotto_dh(&alice.keys.dh, p, &k), SOTTO_ERR_BAD_KEY);
        assert_true(sotto_point_low_order(p));
        assert_int_equal(open_resigned(&alice.keys.sign, AT_DH, p, 32), SOTTO_ERR_BAD_KEY);
        assert_int_equal(open_resigned(&alice.keys.sign, AT_SEALING, p, 32), SOTTO_ERR_BAD_KEY);
    }
    assert_false(sotto_point_low_order(alice.keys.dh.pub));
}

/* Mallory copies Alice's entry into an account of his own, or moves her to another relay or name:
 * her device never signed that. */
static void another_devices_entry_is_refused(void **state)
{
    struct sotto_account other;
    struct sotto_device d;

    assert_int_equal(sotto_entry_open(alice.entry, SOTTO_ENTRY_BYTES, &mallory.account, &d),
                     SOTTO_ERR_BAD_SIGNATURE);
    other = alice.account;
    other.relay_id[31] ^= 1;
    assert_int_equal(sotto_entry_open(alice.entry, SOTTO_ENTRY_BYTES, &other, &d),
                     SOTTO_ERR_BAD_SIGNATURE);
    other = alice.account;
    strcpy(other.name, "alicf");
    assert_int_equal(sotto_entry_open(alice.entry, SOTTO_ENTRY_BYTES, &other, &d),
                     SOTTO_ERR_BAD_SIGNATURE);
    other = alice.account;
    memcpy(other.key, mallory.account.key, 32);
    assert_int_equal(sotto_entry_open(alice.entry, SOTTO_ENTRY_BYTES, &other, &d),
                     SOTTO_ERR_BAD_SIGNATURE);
    /* and with Mallory's own signing key it is another device: the id says so */
    assert_int_equal(open_resigned(&mallory.keys.sign, AT_SIGN, mallory.keys.sign.pub, 32),
                     SOTTO_ERR_BAD_KEY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(names, setup),
        cmocka_unit_test_setup(device_id_is_a_hash_of_the_key, setup),
        cmocka_unit_test_setup(account_layout, setup),
        cmocka_unit_test_setup(failing_random_gives_no_keys, setup),
        cmocka_unit_test_setup(entry_round_trip, setup),
        cmocka_unit_test_setup(entry_refuses_every_changed_byte, setup),
        cmocka_unit_test_setup(entry_wrong_signatures, setup),
        cmocka_unit_test_setup(entry_low_order_points, setup),
        cmocka_unit_test_setup(another_devices_entry_is_refused, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
