/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "people.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct sotto_env_fixed fixed;
static struct person alice, laptop, mallory;

/* laptop: a second device of Alice's account */
static int setup(void **state)
{
    sotto_env_fixed_init(&fixed, (const uint8_t[32]){"list"}, PEOPLE_NOW_MS);
    person_make(&fixed.env, "alice", &alice);
    person_make(&fixed.env, "alice", &laptop);
    person_make(&fixed.env, "mallory", &mallory);
    laptop.account_key = alice.account_key;
    person_update(&laptop);
    return 0;
}

static struct sotto_list draft(const struct person *owner, uint32_t version, const uint8_t prev[32])
{
    struct sotto_list l = {
        .account = owner->account, .version = version, .time_ms = PEOPLE_NOW_MS + version};

    if (prev != NULL)
        memcpy(l.prev_hash, prev, 32);
    return l;
}

static void add(struct sotto_list *l, const struct person *p)
{
    memcpy(l->entries[l->count++], p->entry, SOTTO_ENTRY_BYTES);
}

/* A signed list of one or two devices, opened again. */
static struct sotto_list list_of(const struct person *owner, uint32_t version,
                                 const uint8_t prev[32], const struct person *second)
{
    uint8_t bytes[SOTTO_LIST_MAX];
    struct sotto_list l = draft(owner, version, prev), back;
    size_t len;

    add(&l, owner);
    if (second != NULL)
        add(&l, second);
    assert_int_equal(sotto_list_sign(&owner->account_key, &l, bytes, &len), 0);
    assert_int_equal(sotto_list_open(bytes, len, &back), 0);
    assert_memory_equal(back.hash, l.hash, 32);
    return back;
}

static void list_round_trip(void **state)
{
    uint8_t bytes[SOTTO_LIST_MAX], prev[32], hash[32];
    struct sotto_list l, back;
    size_t len = 0;

    memset(prev, 0x77, sizeof prev);
    l = draft(&alice, 2, prev);
    add(&l, &alice);
    add(&l, &laptop);
    assert_int_equal(sotto_list_sign(&alice.account_key, &l, bytes, &len), 0);
    assert_int_equal(len, 1 + 32 + 1 + 5 + 32 + 4 + 32 + 8 + 1 + 2 * SOTTO_ENTRY_BYTES + 64);
    assert_int_equal(sotto_list_open(bytes, len, &back), 0);
    assert_memory_equal(&back, &l, sizeof l);
    sotto_sha256(bytes, len - 64, hash);
    assert_memory_equal(back.hash, hash, 32);
    assert_ptr_equal(sotto_list_find(&back, laptop.device.id), &back.devices[1]);
    assert_memory_equal(back.devices[1].dh_pub, laptop.keys.dh.pub, 32);
    assert_null(sotto_list_find(&back, mallory.device.id));
}

static void list_refuses_every_changed_byte(void **state)
{
    uint8_t bytes[SOTTO_LIST_MAX], bad[SOTTO_LIST_MAX + 1];
    struct sotto_list l = draft(&alice, 1, NULL), back, before;
    size_t len;

    add(&l, &alice);
    assert_int_equal(sotto_list_sign(&alice.account_key, &l, bytes, &len), 0);
    memset(&back, 0xee, sizeof back);
    before = back;
    for (size_t i = 0; i < len; i++) {
        memcpy(bad, bytes, len);
        bad[i] ^= 1 << i % 8;
        assert_int_not_equal(sotto_list_open(bad, len, &back), 0);
    }
    memcpy(bad, bytes, len);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(sotto_list_open(bad, n, &back), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_list_open(bad, len + 1, &back), SOTTO_ERR_MALFORMED);
    bad[0] = 2;
    assert_int_equal(sotto_list_open(bad, len, &back), SOTTO_ERR_UNSUPPORTED);
    assert_memory_equal(&back, &before, sizeof back);
}

/* What the account key signs is checked all the same: a device's own word is needed for each
 * entry, and the layout has one form. The bytes of version 1 with `at` replaced, signed again. */
static enum sotto_err open_resigned(size_t at, const uint8_t *with, size_t n)
{
    uint8_t bytes[SOTTO_LIST_MAX];
    struct sotto_list l = draft(&alice, 1, NULL), back;
    size_t len;

    add(&l, &alice);
    add(&l, &laptop);
    assert_int_equal(sotto_list_sign(&alice.account_key, &l, bytes, &len), 0);
    memcpy(bytes + at, with, n);
    assert_int_equal(
        sotto_sign(&alice.account_key, "device list", bytes, len - 64, bytes + len - 64), 0);
    return sotto_list_open(bytes, len, &back);
}

static void list_checks_what_the_owner_signed(void **state)
{
    enum { RELAY = 1, NAME = 34, VERSION = 71, PREV = 75, COUNT = 115, ENTRIES = 116 };
    const size_t second = ENTRIES + SOTTO_ENTRY_BYTES;
    static const uint8_t zero[4] = {0}, two[4] = {0, 0, 0, 2}, one[1] = {1};
    static const uint8_t many[1] = {SOTTO_DEVICES_MAX + 1};
    const struct {
        size_t at;
        const uint8_t *with;
        size_t n;
        enum sotto_err want;
    } t[] = {
        {COUNT, (const uint8_t[]){2}, 1, SOTTO_OK},
        {COUNT, zero, 1, SOTTO_ERR_MALFORMED},
        {COUNT, one, 1, SOTTO_ERR_MALFORMED}, /* one entry too many follows */
        {COUNT, (const uint8_t[]){3}, 1, SOTTO_ERR_MALFORMED},
        {COUNT, many, 1, SOTTO_ERR_MALFORMED},
        {VERSION, zero, 4, SOTTO_ERR_MALFORMED},
        {VERSION, two, 4, SOTTO_ERR_MALFORMED}, /* a second list follows another one */
        {PREV, one, 1, SOTTO_ERR_MALFORMED},    /* a first one follows none */
        {NAME, (const uint8_t *)"A", 1, SOTTO_ERR_MALFORMED},
        {NAME, (const uint8_t *)"b", 1, SOTTO_ERR_BAD_SIGNATURE}, /* entries are alice's */
        {RELAY, one, 1, SOTTO_ERR_BAD_SIGNATURE},
        {second, alice.entry, SOTTO_ENTRY_BYTES, SOTTO_ERR_MALFORMED}, /* twice */
        {second, mallory.entry, SOTTO_ENTRY_BYTES, SOTTO_ERR_BAD_SIGNATURE},
        {second, two + 3, 1, SOTTO_ERR_UNSUPPORTED},
    };

    for (size_t i = 0; i < LEN(t); i++) {
        enum sotto_err e = open_resigned(t[i].at, t[i].with, t[i].n);

        if (e != t[i].want)
            fail_msg("case %zu: %s", i, sotto_err_name(e));
    }
}

/* Mallory lists Alice's laptop as a device of his own, to be sent what is meant for her. */
static void another_devices_keys_listed_as_ones_own(void **state)
{
    uint8_t bytes[SOTTO_LIST_MAX];
    struct sotto_list l = draft(&mallory, 1, NULL);
    size_t len = 4711;

    add(&l, &mallory);
    add(&l, &laptop);
    assert_int_equal(sotto_list_sign(&mallory.account_key, &l, bytes, &len),
                     SOTTO_ERR_BAD_SIGNATURE);
    assert_int_equal(len, 4711);
}

/* A relay that answers with another list: whatever it changes in it, it has no signature for, and
 * a whole list of another account is not a successor. */
static void swapped_lists(void **state)
{
    struct sotto_list known = list_of(&alice, 1, NULL, NULL), other;
    struct person p = alice;

    other = list_of(&mallory, 2, known.hash, NULL);
    assert_int_equal(sotto_list_follows(&known, &other), SOTTO_ERR_USAGE);

    p.account.relay_id[0] ^= 1;
    person_update(&p);
    other = list_of(&p, 2, known.hash, NULL);
    assert_int_equal(sotto_list_follows(&known, &other), SOTTO_ERR_USAGE);

    p.account = alice.account;
    strcpy(p.account.name, "alice2");
    person_update(&p);
    other = list_of(&p, 2, known.hash, NULL);
    assert_int_equal(sotto_list_follows(&known, &other), SOTTO_ERR_USAGE);
}

static void list_rules(void **state)
{
    struct sotto_list one = list_of(&alice, 1, NULL, NULL);
    struct sotto_list two = list_of(&alice, 2, one.hash, &laptop);
    struct sotto_list two_other = list_of(&alice, 2, one.hash, NULL);
    struct sotto_list three = list_of(&alice, 3, two.hash, NULL);
    struct sotto_list three_other = list_of(&alice, 3, two_other.hash, NULL);
    struct person stranger = alice;
    struct sotto_list identity;

    assert_int_equal(sotto_sign_generate(&fixed.env, &stranger.account_key), 0);
    person_update(&stranger);
    identity = list_of(&stranger, 9, one.hash, NULL);

    assert_int_equal(sotto_list_follows(&one, &one), 0);
    assert_int_equal(sotto_list_follows(&one, &two), 0);
    assert_int_equal(sotto_list_follows(&one, &three), 0); /* those between were not seen */
    assert_int_equal(sotto_list_follows(&two, &three), 0);
    assert_int_equal(sotto_list_follows(&two, &one), SOTTO_ERR_EXPIRED);
    assert_int_equal(sotto_list_follows(&three, &one), SOTTO_ERR_EXPIRED);
    assert_int_equal(sotto_list_follows(&two, &two_other), SOTTO_ERR_FORK);
    assert_int_equal(sotto_list_follows(&two, &three_other), SOTTO_ERR_FORK);
    assert_int_equal(sotto_list_follows(&two, &identity), SOTTO_ERR_NEW_IDENTITY);
    assert_int_equal(sotto_list_follows(&identity, &two), SOTTO_ERR_NEW_IDENTITY);
}

static void list_sign_refuses(void **state)
{
    uint8_t bytes[SOTTO_LIST_MAX], prev[32] = {1};
    struct sotto_list l, before;
    size_t len = 4711;

#define REFUSED(want)                                                                              \
    do {                                                                                           \
        before = l;                                                                                \
        assert_int_equal(sotto_list_sign(&alice.account_key, &l, bytes, &len), want);              \
        assert_memory_equal(&l, &before, sizeof l);                                                \
    } while (0)

    l = draft(&alice, 1, NULL); /* no device */
    REFUSED(SOTTO_ERR_USAGE);
    add(&l, &alice);
    add(&l, &alice); /* twice */
    REFUSED(SOTTO_ERR_USAGE);
    l.count = SOTTO_DEVICES_MAX + 1;
    REFUSED(SOTTO_ERR_USAGE);
    l = draft(&alice, 0, NULL);
    add(&l, &alice);
    REFUSED(SOTTO_ERR_USAGE);
    l.version = 2; /* without what came before */
    REFUSED(SOTTO_ERR_USAGE);
    l = draft(&alice, 1, prev);
    add(&l, &alice);
    REFUSED(SOTTO_ERR_USAGE);
    l = draft(&alice, 1, NULL);
    add(&l, &alice);
    l.account.name[0] = 'A';
    REFUSED(SOTTO_ERR_USAGE);
    l = draft(&mallory, 1, NULL); /* not the account's key */
    add(&l, &mallory);
    REFUSED(SOTTO_ERR_USAGE);
    assert_int_equal(len, 4711);
}

static void list_of_most_devices(void **state)
{
    uint8_t bytes[SOTTO_LIST_MAX];
    struct sotto_list l = draft(&alice, 1, NULL), back;
    struct person p = alice;
    size_t len;

    for (size_t i = 0; i < SOTTO_DEVICES_MAX; i++) {
        assert_int_equal(sotto_device_keys_generate(&fixed.env, &p.keys), 0);
        person_update(&p);
        add(&l, &p);
    }
    assert_int_equal(sotto_list_sign(&alice.account_key, &l, bytes, &len), 0);
    assert_int_equal(sotto_list_open(bytes, len, &back), 0);
    assert_int_equal(back.count, SOTTO_DEVICES_MAX);
    assert_non_null(sotto_list_find(&back, p.device.id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(list_round_trip, setup),
        cmocka_unit_test_setup(list_refuses_every_changed_byte, setup),
        cmocka_unit_test_setup(list_checks_what_the_owner_signed, setup),
        cmocka_unit_test_setup(another_devices_keys_listed_as_ones_own, setup),
        cmocka_unit_test_setup(swapped_lists, setup),
        cmocka_unit_test_setup(list_rules, setup),
        cmocka_unit_test_setup(list_sign_refuses, setup),
        cmocka_unit_test_setup(list_of_most_devices, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
