/* SPDX-License-Identifier: Apache-2.0 */
#include "store/relay_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "people.h"
#include "store_rig.h"

static struct store_rig rig;
static char why[512];

static int setup(void **state)
{
    store_rig_make(&rig);
    return 0;
}

static int teardown(void **state)
{
    store_rig_free(&rig);
    return 0;
}

/* The files as a kill -9 leaves them, opened beside. */
static struct sotto_relay_store *after_kill(struct folder *other)
{
    struct sotto_relay_store *k;
    char wal[256];

    folder_make(other);
    file_copy(rig.path, folder_file(other, "relay.db"));
    snprintf(wal, sizeof wal, "%s-wal", rig.path);
    if (file_exists(wal))
        file_copy(wal, folder_file(other, "relay.db-wal"));
    assert_int_equal(
        sotto_rs_open(folder_file(other, "relay.db"), false, NULL, &k, why, sizeof why), 0);
    return k;
}

static struct sotto_bytes bytes(const char *text)
{
    return (struct sotto_bytes){(const uint8_t *)text, strlen(text)};
}

static int64_t account(const char *name, uint8_t key)
{
    uint8_t k[32], record[SOTTO_OPAQUE_RECORD];
    int64_t id = 0;

    memset(k, key, sizeof k);
    memset(record, key, sizeof record);
    assert_int_equal(sotto_rs_account_add(rig.store, name, k, record, &id), 0);
    return id;
}

static int64_t device(int64_t of, uint64_t id)
{
    uint8_t entry[SOTTO_ENTRY_BYTES] = {1};
    struct sotto_rs_device d;

    assert_int_equal(sotto_rs_device_add(rig.store, of, id, entry, NULL, false, NULL), 0);
    assert_int_equal(sotto_rs_device_find(rig.store, of, id, &d), 0);
    return d.box;
}

/* --- the relay itself --- */

static void test_identity_stays(void **state)
{
    struct sotto_rs_identity a, b;

    assert_int_equal(sotto_rs_identity_load(rig.store, &rig.env.env, &a), 0);
    store_rig_reopen(&rig);
    assert_int_equal(sotto_rs_identity_load(rig.store, &rig.env.env, &b), 0);
    assert_memory_equal(&a, &b, sizeof a);
    assert_false(sotto_is_zero(a.incarnation, sizeof a.incarnation));
    assert_false(sotto_is_zero(&a.opaque, sizeof a.opaque));
}

static void test_identity_needs_random(void **state)
{
    struct sotto_rs_identity a;

    rig.env.fail_random = 1;
    assert_int_equal(sotto_rs_identity_load(rig.store, &rig.env.env, &a), SOTTO_ERR_RANDOM);
    rig.env.fail_random = 0;
    assert_int_equal(sotto_rs_identity_load(rig.store, &rig.env.env, &a), 0);
    assert_false(sotto_is_zero(&a.opaque, sizeof a.opaque));
}

/* Those who have accounts know the relay by its identity: a lost one is not replaced. */
static void test_identity_lost(void **state)
{
    struct sotto_rs_identity a;

    assert_int_equal(sotto_rs_identity_load(rig.store, NULL, &a), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_rs_identity_load(rig.store, NULL, &a), SOTTO_ERR_MALFORMED);
    (void)account("alice", 1);
    assert_int_equal(sotto_rs_identity_load(rig.store, &rig.env.env, &a), SOTTO_ERR_MALFORMED);
}

static void test_epoch_grows(void **state)
{
    struct folder other;
    struct sotto_relay_store *k;
    uint32_t first = 0, second = 0, third = 0;

    assert_int_equal(sotto_rs_boot(rig.store, &first), 0);
    assert_int_equal(first, 1);
    k = after_kill(&other); /* durable before it is used */
    assert_int_equal(sotto_rs_boot(k, &second), 0);
    assert_int_equal(second, 2);
    sotto_rs_close(k);
    folder_remove(&other);
    store_rig_reopen(&rig);
    assert_int_equal(sotto_rs_boot(rig.store, &third), 0);
    assert_int_equal(third, 2);
}

static void test_renew(void **state)
{
    struct sotto_rs_identity a, b;
    uint32_t epoch = 0;

    assert_int_equal(sotto_rs_identity_load(rig.store, &rig.env.env, &a), 0);
    assert_int_equal(sotto_rs_boot(rig.store, &epoch), 0);
    rig.env.fail_random = 1;
    assert_int_equal(sotto_rs_renew(rig.store, &rig.env.env), SOTTO_ERR_RANDOM);
    rig.env.fail_random = 0;
    assert_int_equal(sotto_rs_renew(rig.store, &rig.env.env), 0);
    assert_int_equal(sotto_rs_identity_load(rig.store, &rig.env.env, &b), 0);
    assert_memory_not_equal(a.incarnation, b.incarnation, sizeof a.incarnation);
    assert_memory_equal(a.key.pub, b.key.pub, 32);
    assert_memory_equal(&a.opaque, &b.opaque, sizeof a.opaque);
    assert_int_equal(sotto_rs_boot(rig.store, &epoch), 0);
    assert_int_equal(epoch, 2 + SOTTO_RS_EPOCH_LEAP);
}

static void test_epochs_end(void **state)
{
    uint32_t epoch = 0;
    enum sotto_err e = SOTTO_OK;

    for (int i = 0; i < SOTTO_RS_EPOCH_MAX / SOTTO_RS_EPOCH_LEAP; i++)
        assert_int_equal(sotto_rs_renew(rig.store, &rig.env.env), 0);
    assert_int_equal(sotto_rs_renew(rig.store, &rig.env.env), SOTTO_ERR_TOO_FAR);
    for (int i = 0; e == 0 && i <= SOTTO_RS_EPOCH_LEAP; i++)
        e = sotto_rs_boot(rig.store, &epoch);
    assert_int_equal(e, SOTTO_ERR_TOO_FAR);
    assert_int_equal(epoch, SOTTO_RS_EPOCH_MAX);
}

static void test_address(void **state)
{
    char text[SOTTO_RS_ADDRESS];

    assert_int_equal(sotto_rs_address_get(rig.store, text), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_address_put(rig.store, "[::1]:1"), 0);
    assert_int_equal(sotto_rs_address_put(rig.store, "example.org:12345"), 0);
    store_rig_reopen(&rig);
    assert_int_equal(sotto_rs_address_get(rig.store, text), 0);
    assert_string_equal(text, "example.org:12345");
}

static void test_two_processes(void **state)
{
    struct sotto_relay_store *other;
    uint8_t hash[32] = {7};

    assert_int_equal(sotto_rs_open(rig.path, false, NULL, &other, why, sizeof why), 0);
    assert_int_equal(sotto_rs_invite_add(other, hash, 1, 1000), 0);
    assert_int_equal(sotto_rs_invite_check(rig.store, hash, 1), 0);
    sotto_rs_close(other);
}

static void test_no_database(void **state)
{
    struct sotto_relay_store *other = NULL;

    assert_int_equal(
        sotto_rs_open(folder_file(&rig.dir, "none.db"), false, NULL, &other, why, sizeof why),
        SOTTO_ERR_NOT_FOUND);
    assert_null(other);
    file_write(folder_file(&rig.dir, "text.db"),
               "this is not a database, it is a text of some length", 51);
    assert_int_not_equal(
        sotto_rs_open(folder_file(&rig.dir, "text.db"), true, NULL, &other, why, sizeof why), 0);
    assert_null(other);
    assert_non_null(strstr(why, "text.db"));
}

/* --- invites --- */

static void test_invites(void **state)
{
    uint8_t hash[32] = {1}, unknown[32] = {2};

    assert_int_equal(sotto_rs_invite_add(rig.store, hash, 2, 1000), 0);
    assert_int_equal(sotto_rs_invite_check(rig.store, unknown, 10), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_invite_check(rig.store, hash, 999), 0);
    assert_int_equal(sotto_rs_invite_check(rig.store, hash, 1000), SOTTO_ERR_EXPIRED);
    assert_int_equal(sotto_rs_begin(rig.store), 0);
    assert_int_equal(sotto_rs_invite_use(rig.store, hash), 0);
    assert_int_equal(sotto_rs_invite_use(rig.store, hash), 0);
    assert_int_equal(sotto_rs_invite_check(rig.store, hash, 999), SOTTO_ERR_GONE);
    sotto_rs_rollback(rig.store);
    assert_int_equal(sotto_rs_invite_check(rig.store, hash, 999), 0);
    assert_int_equal(sotto_rs_invites_expire(rig.store, 1000), 0);
    assert_int_equal(sotto_rs_invite_check(rig.store, hash, 1000), SOTTO_ERR_EXPIRED);
    assert_int_equal(sotto_rs_invites_expire(rig.store, 1001), 0);
    assert_int_equal(sotto_rs_invite_check(rig.store, hash, 1000), SOTTO_ERR_NOT_FOUND);
}

/* --- accounts and lists --- */

static void test_accounts(void **state)
{
    int64_t id = account("alice", 1), other;
    struct sotto_rs_account a;
    uint8_t key[32], record[SOTTO_OPAQUE_RECORD], got[SOTTO_OPAQUE_RECORD];

    memset(key, 1, sizeof key);
    memset(record, 1, sizeof record);
    assert_int_equal(sotto_rs_account_find(rig.store, "bob", &a), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_account_find(rig.store, "alice", &a), 0);
    assert_int_equal(a.id, id);
    assert_false(a.gone);
    assert_memory_equal(a.key, key, 32);
    assert_int_equal(sotto_rs_account_by_key(rig.store, key, &a), 0);
    assert_string_equal(a.name, "alice");
    assert_int_equal(sotto_rs_opaque_record(rig.store, id, got), 0);
    assert_memory_equal(got, record, sizeof got);
    assert_int_equal(sotto_rs_account_add(rig.store, "alicia", key, record, &other),
                     SOTTO_ERR_EXISTS);
    key[0] = 9;
    assert_int_equal(sotto_rs_account_add(rig.store, "alice", key, record, &other),
                     SOTTO_ERR_EXISTS);
}

static void test_account_delete_leaves_the_name(void **state)
{
    int64_t id = account("alice", 1), box = device(id, 5);
    uint8_t key[32], hash[32] = {3}, record[SOTTO_OPAQUE_RECORD];
    struct sotto_rs_account a;
    struct sotto_rs_device d;
    uint64_t floor;

    memset(key, 1, sizeof key);
    assert_int_equal(sotto_rs_list_add(rig.store, id, 1, bytes("a list")), 0);
    assert_int_equal(sotto_rs_token_add(rig.store, id, hash), 0);
    assert_int_equal(sotto_rs_floor(rig.store, box, &floor), 0);
    assert_int_equal(sotto_rs_account_delete(rig.store, id), 0);
    assert_int_equal(sotto_rs_account_find(rig.store, "alice", &a), 0);
    assert_true(a.gone);
    assert_int_equal(a.version, 0);
    assert_int_equal(sotto_rs_account_by_key(rig.store, key, &a), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_opaque_record(rig.store, id, record), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_device_find(rig.store, id, 5, &d), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_token_check(rig.store, id, hash), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_floor(rig.store, box, &floor), SOTTO_ERR_NOT_FOUND);
    sotto_rs_close(rig.store);
    rig.store = NULL;
    assert_int_equal(folder_search(&rig.dir, "a list", 6), 0);
    assert_int_not_equal(folder_search(&rig.dir, "alice", 5), 0);
}

static void test_lists_since(void **state)
{
    int64_t id = account("alice", 1);
    struct sotto_rs_lists l;
    struct sotto_rs_account a;
    SOTTO_AUTO_BUF mem = SOTTO_BUF(100000);
    char text[8];

    for (uint32_t v = 1; v <= 40; v++) {
        snprintf(text, sizeof text, "list%02u", (unsigned)v);
        assert_int_equal(sotto_rs_list_add(rig.store, id, v, bytes(text)), 0);
    }
    assert_int_equal(sotto_rs_account_find(rig.store, "alice", &a), 0);
    assert_int_equal(a.version, 40);
    assert_int_equal(sotto_rs_lists_since(rig.store, id, 38, 1000, &mem, &l), 0);
    assert_int_equal(l.count, 2);
    assert_memory_equal(mem.p + l.lists[0].at, "list39", 6);
    assert_memory_equal(mem.p + l.lists[1].at, "list40", 6);
    assert_int_equal(sotto_rs_lists_since(rig.store, id, 0, 1000, &mem, &l), 0);
    assert_int_equal(l.count, SOTTO_LISTS_IN_FRAME);
    assert_memory_equal(mem.p + l.lists[0].at, "list17", 6);
    /* However little room: the newest one. */
    assert_int_equal(sotto_rs_lists_since(rig.store, id, 0, 1, &mem, &l), 0);
    assert_int_equal(l.count, 1);
    assert_memory_equal(mem.p + l.lists[0].at, "list40", 6);
    assert_int_equal(sotto_rs_lists_since(rig.store, id, 0, 12, &mem, &l), 0);
    assert_int_equal(l.count, 2);
    assert_int_equal(sotto_rs_lists_since(rig.store, id, 40, 1000, &mem, &l), 0);
    assert_int_equal(l.count, 0);
}

static void test_tokens(void **state)
{
    int64_t a = account("alice", 1), b = account("bob", 2);
    uint8_t hash[32] = {1};

    assert_int_equal(sotto_rs_token_add(rig.store, a, hash), 0);
    assert_int_equal(sotto_rs_token_add(rig.store, a, hash), 0);
    assert_int_equal(sotto_rs_token_check(rig.store, a, hash), 0);
    assert_int_equal(sotto_rs_token_check(rig.store, b, hash), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_token_remove(rig.store, b, hash), 0);
    assert_int_equal(sotto_rs_token_check(rig.store, a, hash), 0);
    assert_int_equal(sotto_rs_token_remove(rig.store, a, hash), 0);
    assert_int_equal(sotto_rs_token_check(rig.store, a, hash), SOTTO_ERR_NOT_FOUND);
}

static void test_tokens_are_bounded(void **state)
{
    int64_t a = account("alice", 1);
    uint8_t hash[32] = {0};

    assert_int_equal(sotto_rs_begin(rig.store), 0);
    for (uint32_t i = 0; i < SOTTO_RS_TOKENS_MAX; i++) {
        sotto_put_u32(hash, i);
        assert_int_equal(sotto_rs_token_add(rig.store, a, hash), 0);
    }
    assert_int_equal(sotto_rs_token_add(rig.store, a, hash), 0); /* is there */
    sotto_put_u32(hash, SOTTO_RS_TOKENS_MAX);
    assert_int_equal(sotto_rs_token_add(rig.store, a, hash), SOTTO_ERR_TOO_LARGE);
    assert_int_equal(sotto_rs_commit(rig.store), 0);
}

/* --- devices --- */

static void test_device_comes_and_goes(void **state)
{
    int64_t id = account("alice", 1);
    uint8_t entry[SOTTO_ENTRY_BYTES] = {1}, second[SOTTO_ENTRY_BYTES] = {2};
    uint8_t cert[32] = {3}, prekey[SOTTO_PREKEY_BYTES] = {4}, got[SOTTO_PREKEY_BYTES];
    uint8_t lease[SOTTO_LEASE] = {5};
    uint64_t floor;
    const uint64_t dev = 0xfedcba9876543210u; /* above INT64_MAX */
    struct sotto_rs_box boxes[SOTTO_DEVICES_MAX];
    struct sotto_rs_device d;
    size_t count = 0;

    assert_int_equal(sotto_rs_device_find(rig.store, id, dev, &d), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_device_add(rig.store, id, dev, entry, cert, false, prekey), 0);
    assert_int_equal(sotto_rs_device_find(rig.store, id, dev, &d), 0);
    assert_true(d.listed && d.has_certificate && !d.has_lease && !d.begun && !d.adopt);
    assert_memory_equal(d.certificate, cert, 32);
    assert_int_equal(sotto_rs_devices(rig.store, id, boxes, &count), 0);
    assert_int_equal(count, 1);
    assert_true(boxes[0].device == dev && boxes[0].box == d.box);
    assert_int_equal(sotto_rs_device_entry(rig.store, d.box, second), 0);
    assert_int_equal(sotto_rs_lease_try(rig.store, d.box, lease), 0);
    assert_int_equal(sotto_rs_lease_begun(rig.store, d.box, 7), 0);
    assert_int_equal(sotto_rs_floor(rig.store, d.box, &floor), 0);
    assert_int_equal(floor, 7);
    assert_int_equal(sotto_rs_device_find(rig.store, id, dev, &d), 0);
    assert_true(d.has_lease && d.begun);
    assert_memory_equal(d.entry, second, sizeof second);

    assert_int_equal(sotto_rs_device_drop(rig.store, d.box), 0);
    assert_int_equal(sotto_rs_device_find(rig.store, id, dev, &d), 0);
    assert_true(!d.listed && !d.has_certificate && !d.has_lease && !d.begun);
    assert_int_equal(sotto_rs_signed_get(rig.store, d.box, got), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_floor(rig.store, d.box, &floor), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_devices(rig.store, id, boxes, &count), 0);
    assert_int_equal(count, 0);

    assert_int_equal(sotto_rs_device_add(rig.store, id, dev, entry, NULL, true, NULL), 0);
    assert_int_equal(sotto_rs_device_find(rig.store, id, dev, &d), 0);
    assert_true(d.listed && d.adopt && !d.has_certificate);
    assert_int_equal(sotto_rs_certificate_adopt(rig.store, d.box, cert), 0);
    assert_int_equal(sotto_rs_device_find(rig.store, id, dev, &d), 0);
    assert_true(!d.adopt && d.has_certificate);
}

static void test_links(void **state)
{
    int64_t id = account("alice", 1);
    struct sotto_rs_link link = {.device = 1, .asked_at_ms = 100}, got[SOTTO_LINKS_MAX];
    size_t count = 0;

    link.entry[0] = 1;
    link.has_certificate = true;
    link.certificate[0] = 9;
    assert_int_equal(sotto_rs_link_put(rig.store, id, &link), 0);
    link.device = 2;
    link.asked_at_ms = 50;
    link.has_certificate = false;
    assert_int_equal(sotto_rs_link_put(rig.store, id, &link), 0);
    assert_int_equal(sotto_rs_links(rig.store, id, 0, got, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(got[0].device, 2);
    assert_false(got[0].has_certificate);
    assert_int_equal(got[1].device, 1);
    assert_true(got[1].has_certificate && got[1].certificate[0] == 9);
    link.asked_at_ms = 200; /* asked again */
    assert_int_equal(sotto_rs_link_put(rig.store, id, &link), 0);
    assert_int_equal(sotto_rs_links(rig.store, id, 100, got, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(got[0].device, 2);
    assert_int_equal(sotto_rs_links_expire(rig.store, 150), 0);
    assert_int_equal(sotto_rs_links(rig.store, id, 0, got, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(sotto_rs_link_drop(rig.store, id, 2), 0);
    assert_int_equal(sotto_rs_links(rig.store, id, 0, got, &count), 0);
    assert_int_equal(count, 0);
}

/* --- pre-keys --- */

static struct sotto_prekey prekey(uint32_t generation, uint32_t id, uint64_t expires_ms)
{
    struct sotto_prekey k = {.type = SOTTO_PREKEY_ONE_TIME,
                             .id = id,
                             .generation = generation,
                             .expires_ms = expires_ms};

    sotto_put_u32(k.bytes, id);
    sotto_put_u32(k.bytes + 4, generation);
    return k;
}

static uint32_t add_key(int64_t box, uint32_t generation, uint32_t id)
{
    struct sotto_prekey k = prekey(generation, id, 1000);
    uint32_t count = 0;

    assert_int_equal(sotto_rs_one_time_add(rig.store, box, &k), 0);
    assert_int_equal(sotto_rs_one_time_count(rig.store, box, &count), 0);
    return count;
}

static uint32_t take_key(int64_t box, uint64_t now)
{
    uint8_t got[SOTTO_PREKEY_BYTES];
    enum sotto_err e = sotto_rs_one_time_take(rig.store, box, now, got);

    if (e == SOTTO_ERR_NOT_FOUND)
        return 0;
    assert_int_equal(e, 0);
    return sotto_get_u32(got);
}

static void test_one_time_keys_go_once(void **state)
{
    int64_t box = device(account("alice", 1), 5);

    assert_int_equal(add_key(box, 1, 10), 1);
    assert_int_equal(add_key(box, 1, 11), 2);
    assert_int_equal(take_key(box, 1), 10);
    assert_int_equal(add_key(box, 1, 10), 1); /* a page sent again after a lost answer */
    assert_int_equal(add_key(box, 1, 11), 1);
    assert_int_equal(add_key(box, 1, 12), 2);
    assert_int_equal(take_key(box, 1), 11);
    assert_int_equal(take_key(box, 1), 12);
    assert_int_equal(take_key(box, 1), 0);
    assert_int_equal(add_key(box, 1, 12), 0); /* used: not even when the box is empty */
    /* A new generation counts from the start; the old one is past. */
    assert_int_equal(add_key(box, 2, 1), 1);
    assert_int_equal(add_key(box, 1, 99), 1);
    assert_int_equal(sotto_rs_one_time_clear(rig.store, box), 0);
    assert_int_equal(add_key(box, 2, 1), 0);
    assert_int_equal(add_key(box, 2, 2), 1);
}

static void test_one_time_keys_expire(void **state)
{
    int64_t box = device(account("alice", 1), 5);

    add_key(box, 1, 10);
    assert_int_equal(take_key(box, 1000), 0);
    assert_int_equal(take_key(box, 1), 0);
}

static void test_one_time_keys_are_bounded(void **state)
{
    int64_t box = device(account("alice", 1), 5);

    assert_int_equal(sotto_rs_begin(rig.store), 0);
    for (uint32_t i = 1; i <= SOTTO_RS_ONE_TIME_MAX; i++)
        assert_int_equal(add_key(box, 1, i), i);
    assert_int_equal(add_key(box, 1, SOTTO_RS_ONE_TIME_MAX + 1), SOTTO_RS_ONE_TIME_MAX);
    assert_int_equal(sotto_rs_commit(rig.store), 0);
    /* The one that found no room was not taken for kept. */
    assert_int_equal(take_key(box, 1), 1);
    assert_int_equal(add_key(box, 1, SOTTO_RS_ONE_TIME_MAX + 1), SOTTO_RS_ONE_TIME_MAX);
}

static void test_handed_out(void **state)
{
    int64_t box = device(account("alice", 1), 5);
    uint8_t tag[32] = {1}, other[32] = {2}, key[SOTTO_PREKEY_BYTES] = {7};
    uint8_t got[SOTTO_PREKEY_BYTES];

    assert_int_equal(sotto_rs_handed_put(rig.store, tag, box, key, 1000), 0);
    assert_int_equal(sotto_rs_handed_get(rig.store, other, 1, got), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_handed_get(rig.store, tag, 999, got), 0);
    assert_memory_equal(got, key, sizeof got);
    assert_int_equal(sotto_rs_handed_get(rig.store, tag, 1000, got), SOTTO_ERR_NOT_FOUND);
    key[0] = 8;
    assert_int_equal(sotto_rs_handed_put(rig.store, tag, box, key, 2000), 0);
    assert_int_equal(sotto_rs_handed_get(rig.store, tag, 1500, got), 0);
    assert_int_equal(got[0], 8);
    assert_int_equal(sotto_rs_handed_expire(rig.store, UINT64_MAX), 0);
    assert_int_equal(sotto_rs_handed_get(rig.store, tag, 1, got), SOTTO_ERR_NOT_FOUND);
}

/* --- mail --- */

struct seen {
    size_t count;
    int64_t rows[8];
    struct sotto_rs_place places[8];
};

static enum sotto_err see(void *ctx, int64_t row, const struct sotto_rs_place *p)
{
    struct seen *v = ctx;

    v->rows[v->count] = row;
    v->places[v->count++] = *p;
    return v->count == 3 ? SOTTO_ERR_AGAIN : SOTTO_OK;
}

static void assert_place(const struct sotto_rs_place *a, const struct sotto_rs_place *b)
{
    assert_true(a->box == b->box && a->seq == b->seq && a->at == b->at && a->len == b->len);
    assert_true(a->day == b->day && a->request == b->request);
    assert_memory_equal(a->id, b->id, sizeof a->id);
}

static struct sotto_rs_place place(int64_t box, uint64_t seq, uint32_t at, uint32_t len)
{
    return (struct sotto_rs_place){
        .box = box, .seq = seq, .id = {(uint8_t)seq}, .at = at, .len = len, .day = 20000};
}

static void test_mail(void **state)
{
    const uint64_t high = (uint64_t)SOTTO_RS_EPOCH_MAX << 40 | 1;
    struct sotto_rs_place two[2] = {place(1, high, 0, 3), place(2, 5, 3, 4)};
    struct sotto_rs_place one = place(1, 6, 0, 2);
    struct seen v = {0};
    int64_t first, second;
    uint8_t got[8];

    two[1].request = true;
    assert_int_equal(sotto_rs_mail_add(rig.store, two, 2, bytes("abcdefg"), &first), 0);
    assert_int_equal(sotto_rs_mail_add(rig.store, &one, 1, bytes("hi"), &second), 0);
    assert_int_equal(sotto_rs_mail_each(rig.store, see, &v), SOTTO_ERR_AGAIN);
    assert_int_equal(v.count, 3);
    assert_true(v.rows[0] == first && v.rows[1] == first && v.rows[2] == second);
    assert_place(&v.places[0], &two[0]);
    assert_place(&v.places[1], &two[1]);
    v.count = 0;
    assert_int_equal(sotto_rs_mail_places(rig.store, second, see, &v), 0);
    assert_true(v.count == 1 && v.places[0].seq == 6);

    assert_int_equal(sotto_rs_mail_read(rig.store, first, 3, 4, got), 0);
    assert_memory_equal(got, "defg", 4);
    assert_int_equal(sotto_rs_mail_read(rig.store, second, 0, 2, got), 0);
    assert_memory_equal(got, "hi", 2);
    assert_int_equal(sotto_rs_mail_read(rig.store, second, 1, 2, got), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_rs_mail_read(rig.store, second + 1, 0, 1, got), SOTTO_ERR_NOT_FOUND);
    sotto_rs_mail_read_done(rig.store);

    assert_int_equal(sotto_rs_mail_drop(rig.store, first), 0);
    assert_int_equal(sotto_rs_mail_read(rig.store, first, 0, 1, got), SOTTO_ERR_NOT_FOUND);
    sotto_rs_close(rig.store);
    rig.store = NULL;
    assert_int_equal(folder_search(&rig.dir, "abcdefg", 7), 0); /* it is overwritten */
}

/* A row whose lengths do not fit its bytes is not walked over its end. */
static void test_mail_that_does_not_fit(void **state)
{
    struct sotto_rs_place p = place(1, 1, 0, 9);
    struct seen v = {0};
    int64_t row;

    assert_int_equal(sotto_rs_mail_add(rig.store, &p, 1, bytes("short"), &row), 0);
    assert_int_equal(sotto_rs_mail_each(rig.store, see, &v), SOTTO_ERR_MALFORMED);
    assert_int_equal(v.count, 0);
}

static void test_floor_only_rises(void **state)
{
    int64_t box = device(account("alice", 1), 5);
    uint64_t floor;

    assert_int_equal(sotto_rs_floor(rig.store, box, &floor), 0);
    assert_int_equal(floor, 0);
    assert_int_equal(sotto_rs_floor_raise(rig.store, box, 9), 0);
    assert_int_equal(sotto_rs_floor_raise(rig.store, box, 4), 0);
    assert_int_equal(sotto_rs_floor(rig.store, box, &floor), 0);
    assert_int_equal(floor, 9);
    assert_int_equal(sotto_rs_floor(rig.store, box + 1, &floor), SOTTO_ERR_NOT_FOUND);
}

static void test_committed_survives_a_kill(void **state)
{
    struct sotto_rs_place p = place(1, 1, 0, 1);
    struct sotto_relay_store *k;
    struct folder other;
    int64_t row, lost;
    uint8_t got;

    assert_int_equal(sotto_rs_begin(rig.store), 0);
    assert_int_equal(sotto_rs_mail_add(rig.store, &p, 1, bytes("x"), &row), 0);
    assert_int_equal(sotto_rs_commit(rig.store), 0);
    assert_int_equal(sotto_rs_begin(rig.store), 0);
    assert_int_equal(sotto_rs_mail_add(rig.store, &p, 1, bytes("y"), &lost), 0);
    k = after_kill(&other);
    assert_int_equal(sotto_rs_mail_read(k, row, 0, 1, &got), 0);
    assert_int_equal(got, 'x');
    assert_int_equal(sotto_rs_mail_read(k, lost, 0, 1, &got), SOTTO_ERR_NOT_FOUND);
    sotto_rs_close(k);
    folder_remove(&other);
    sotto_rs_rollback(rig.store);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_identity_stays),
        CASE(test_identity_needs_random),
        CASE(test_identity_lost),
        CASE(test_epoch_grows),
        CASE(test_renew),
        CASE(test_epochs_end),
        CASE(test_address),
        CASE(test_two_processes),
        CASE(test_no_database),
        CASE(test_invites),
        CASE(test_accounts),
        CASE(test_account_delete_leaves_the_name),
        CASE(test_lists_since),
        CASE(test_tokens),
        CASE(test_tokens_are_bounded),
        CASE(test_device_comes_and_goes),
        CASE(test_links),
        CASE(test_one_time_keys_go_once),
        CASE(test_one_time_keys_expire),
        CASE(test_one_time_keys_are_bounded),
        CASE(test_handed_out),
        CASE(test_mail),
        CASE(test_mail_that_does_not_fit),
        CASE(test_floor_only_rises),
        CASE(test_committed_survives_a_kill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
