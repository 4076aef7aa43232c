/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"
#include "crypto/hpke.h"
#include "crypto/kdf.h"
#include "people.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct sotto_env_fixed fixed;
static struct person alice, bob;
static const uint8_t msg[] = "a session message";
static uint8_t sealed[SOTTO_ENVELOPE_MAX + 1], opened[SOTTO_ENVELOPE_MAX];
static size_t sealed_len;

static enum sotto_err seal(const struct person *to, size_t len, size_t room)
{
    static uint8_t big[SOTTO_ENVELOPE_MAX];

    memcpy(big, msg, sizeof msg);
    return sotto_envelope_seal(&fixed.env, &to->account, &to->device, "alice", alice.device.id,
                               SOTTO_ENVELOPE_MESSAGE, big, len, sealed, room, &sealed_len);
}

static enum sotto_err open_as(const struct person *us, struct sotto_opened *ret)
{
    return sotto_envelope_open(&us->keys.sealing, &us->account, us->device.id, sealed, sealed_len,
                               opened, ret);
}

static int setup(void **state)
{
    sotto_env_fixed_init(&fixed, (const uint8_t[32]){"envelope"}, PEOPLE_NOW_MS);
    person_make(&fixed.env, "alice", &alice);
    person_make(&fixed.env, "bob", &bob);
    return seal(&bob, sizeof msg, sizeof sealed);
}

static void envelope_round_trip(void **state)
{
    struct sotto_opened o;
    uint8_t hash[32], id[SOTTO_ENVELOPE_ID];
    uint32_t key_id = 0;

    assert_int_equal(sealed_len, 38 + 1 + 5 + 8 + 1 + sizeof msg + 16);
    assert_true(sealed_len <= sizeof msg + SOTTO_ENVELOPE_OVERHEAD);
    assert_int_equal(sotto_envelope_peek(sealed, sealed_len, &key_id), 0);
    sotto_sha256(bob.keys.sealing.pub, 32, hash);
    assert_int_equal(key_id, sotto_get_u32(hash));
    assert_int_equal(key_id, sotto_sealing_key_id(bob.keys.sealing.pub));
    assert_int_equal(open_as(&bob, &o), 0);
    assert_string_equal(o.sender, "alice");
    assert_true(o.sender_device == alice.device.id);
    assert_int_equal(o.kind, SOTTO_ENVELOPE_MESSAGE);
    assert_int_equal(o.msg_len, sizeof msg);
    assert_memory_equal(o.msg, msg, sizeof msg);
    sotto_envelope_id(sealed, sealed_len, id);
    sotto_sha256(sealed, sealed_len, hash);
    assert_memory_equal(id, hash, SOTTO_ENVELOPE_ID);
}

/* The relay puts it into another box, or the box of the same name on another relay. */
static void envelope_is_for_one_device(void **state)
{
    struct sotto_opened o;
    struct person p;

    p = bob;
    p.account.relay_id[0] ^= 1;
    assert_int_equal(open_as(&p, &o), SOTTO_ERR_BAD_TAG);
    p = bob;
    p.account.name[0] = 'c';
    assert_int_equal(open_as(&p, &o), SOTTO_ERR_BAD_TAG);
    p = bob;
    p.account.key[0] ^= 1;
    assert_int_equal(open_as(&p, &o), SOTTO_ERR_BAD_TAG);
    p = bob;
    p.device.id++;
    assert_int_equal(open_as(&p, &o), SOTTO_ERR_BAD_TAG);
    p = bob;
    p.keys.sealing = alice.keys.sealing;
    assert_int_equal(open_as(&p, &o), SOTTO_ERR_BAD_TAG);
}

static void envelope_refuses_every_changed_byte(void **state)
{
    struct sotto_opened o, before;
    size_t len = sealed_len;

    memset(&o, 0xee, sizeof o);
    before = o;
    for (size_t i = 0; i < len; i++) {
        sealed[i] ^= 1 << i % 8;
        assert_int_not_equal(open_as(&bob, &o), 0);
        sealed[i] ^= 1 << i % 8;
    }
    for (sealed_len = 0; sealed_len < len; sealed_len++)
        assert_int_not_equal(open_as(&bob, &o), 0);
    sealed_len = len + 1;
    assert_int_equal(open_as(&bob, &o), SOTTO_ERR_BAD_TAG);
    assert_memory_equal(&o, &before, sizeof o);
}

static void envelope_peek_refuses(void **state)
{
    uint32_t key_id = 4711;

    sealed[1] = 2; /* X-Wing, one day */
    assert_int_equal(sotto_envelope_peek(sealed, sealed_len, &key_id), SOTTO_ERR_UNSUPPORTED);
    assert_int_equal(sotto_envelope_peek(sealed, 2, &key_id), SOTTO_ERR_UNSUPPORTED);
    sealed[1] = 1;
    sealed[0] = 2;
    assert_int_equal(sotto_envelope_peek(sealed, sealed_len, &key_id), SOTTO_ERR_UNSUPPORTED);
    sealed[0] = 1;
    for (size_t n = 0; n <= 38 + 16; n++)
        assert_int_equal(sotto_envelope_peek(sealed, n, &key_id), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_envelope_peek(sealed, SOTTO_ENVELOPE_MAX + 1, &key_id),
                     SOTTO_ERR_MALFORMED);
    assert_int_equal(key_id, 4711);
}

static void envelope_seal_refuses(void **state)
{
    static const uint8_t point[32] = {0};
    struct sotto_device low = bob.device;
    struct sotto_opened o;
    size_t len = 4711;

    memcpy(low.sealing_pub, point, 32);
    assert_int_equal(sotto_envelope_seal(&fixed.env, &bob.account, &low, "alice", 1,
                                         SOTTO_ENVELOPE_MESSAGE, msg, sizeof msg, sealed,
                                         sizeof sealed, &len),
                     SOTTO_ERR_BAD_KEY);
    assert_int_equal(sotto_envelope_seal(&fixed.env, &bob.account, &bob.device, "Alice", 1,
                                         SOTTO_ENVELOPE_MESSAGE, msg, sizeof msg, sealed,
                                         sizeof sealed, &len),
                     SOTTO_ERR_USAGE);
    assert_int_equal(sotto_envelope_seal(&fixed.env, &bob.account, &bob.device, "alice", 1,
                                         SOTTO_ENVELOPE_MESSAGE, msg, 0, sealed, sizeof sealed,
                                         &len),
                     SOTTO_ERR_USAGE);
    fixed.fail_random = 1;
    assert_int_equal(sotto_envelope_seal(&fixed.env, &bob.account, &bob.device, "alice", 1,
                                         SOTTO_ENVELOPE_MESSAGE, msg, sizeof msg, sealed,
                                         sizeof sealed, &len),
                     SOTTO_ERR_RANDOM);
    fixed.fail_random = 0;
    assert_int_equal(len, 4711);
    assert_int_equal(seal(&bob, sizeof msg, sizeof msg + SOTTO_ENVELOPE_OVERHEAD - 1),
                     SOTTO_ERR_TOO_LARGE);
    assert_int_equal(seal(&bob, SOTTO_ENVELOPE_MAX - SOTTO_ENVELOPE_OVERHEAD + 1, sizeof sealed),
                     SOTTO_ERR_TOO_LARGE);
    assert_int_equal(seal(&bob, SOTTO_ENVELOPE_MAX - SOTTO_ENVELOPE_OVERHEAD, sizeof sealed), 0);
    assert_int_equal(open_as(&bob, &o), 0);
    assert_int_equal(o.msg_len, SOTTO_ENVELOPE_MAX - SOTTO_ENVELOPE_OVERHEAD);
}

/* An envelope with any inner bytes, as an evil sender could make it. */
static enum sotto_err open_inner(const void *inner, size_t len, struct sotto_opened *ret)
{
    uint8_t info[256];
    struct sotto_hpke h;
    struct sotto_writer w;

    sotto_writer_init(&w, info, sizeof info);
    sotto_write_bytes(&w, "sotto/1 envelope", 17);
    sotto_account_write(&w, &bob.account);
    sotto_write_u64(&w, bob.device.id);
    sealed[0] = sealed[1] = 1;
    sotto_put_u32(sealed + 2, sotto_sealing_key_id(bob.keys.sealing.pub));
    assert_int_equal(
        sotto_hpke_setup_sender(&fixed.env, bob.keys.sealing.pub, info, w.len, sealed + 6, &h), 0);
    assert_int_equal(sotto_hpke_seal(&h, sealed, 6, inner, len, sealed + 38), 0);
    sotto_hpke_wipe(&h);
    sealed_len = 38 + len + 16;
    return open_as(&bob, ret);
}

static void envelope_inner_limits(void **state)
{
    static const struct {
        const char *inner;
        size_t len;
        enum sotto_err want;
    } t[] = {
        {"\x05"
         "alice12345678\x01m",
         16, SOTTO_OK},
        {"\x05"
         "alice12345678\x02m",
         16, SOTTO_OK},
        {"\x05"
         "alice12345678\x03m",
         16, SOTTO_ERR_UNSUPPORTED},
        {"\x05"
         "alice12345678\x01",
         15, SOTTO_ERR_MALFORMED}, /* no message */
        {"\x05"
         "alice12345678",
         14, SOTTO_ERR_MALFORMED},
        {"\x05"
         "alice1234567",
         13, SOTTO_ERR_MALFORMED},
        {"\x05"
         "alic",
         5, SOTTO_ERR_MALFORMED},
        {"\x05"
         "Alice12345678\x01m",
         16, SOTTO_ERR_MALFORMED},
        {"\x00"
         "12345678\x01m",
         11, SOTTO_ERR_MALFORMED},
        {"\x21"
         "abcdefghijklmnopqrstuvwxyz012345612345678\x01m",
         44, SOTTO_ERR_MALFORMED},
    };
    struct sotto_opened o;

    for (size_t i = 0; i < LEN(t); i++) {
        enum sotto_err e = open_inner(t[i].inner, t[i].len, &o);

        if (e != t[i].want)
            fail_msg("case %zu: %s", i, sotto_err_name(e));
    }
}

static void envelope_low_order_enc(void **state)
{
    struct sotto_opened o;

    memset(sealed + 6, 0, 32);
    assert_int_equal(open_as(&bob, &o), SOTTO_ERR_BAD_KEY);
}

static void envelope_needs_no_heap(void **state)
{
    struct sotto_opened o;
    size_t before;

    assert_int_equal(open_as(&bob, &o), 0); /* contexts of the thread are made once */
    before = alloc_count();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(seal(&bob, sizeof msg, sizeof sealed), 0);
        assert_int_equal(open_as(&bob, &o), 0);
    }
    assert_int_equal(alloc_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(envelope_round_trip, setup),
        cmocka_unit_test_setup(envelope_is_for_one_device, setup),
        cmocka_unit_test_setup(envelope_refuses_every_changed_byte, setup),
        cmocka_unit_test_setup(envelope_peek_refuses, setup),
        cmocka_unit_test_setup(envelope_seal_refuses, setup),
        cmocka_unit_test_setup(envelope_inner_limits, setup),
        cmocka_unit_test_setup(envelope_low_order_enc, setup),
        cmocka_unit_test_setup(envelope_needs_no_heap, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
