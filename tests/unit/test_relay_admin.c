/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's side of the relay's store: accounts, invites, copies, what is damaged. */
#include "store/relay_admin.h"

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

static int64_t account(const char *name, uint8_t fill)
{
    static uint8_t opaque[SOTTO_OPAQUE_RECORD], entry[SOTTO_ENTRY_BYTES];
    uint8_t key[32];
    int64_t id = 0;

    memset(key, fill, sizeof key);
    assert_int_equal(sotto_rs_account_add(rig.store, name, key, opaque, &id), 0);
    assert_int_equal(sotto_rs_device_add(rig.store, id, fill, entry, NULL, false, NULL), 0);
    return id;
}

struct seen {
    unsigned count;
    char text[512];
};

static enum sotto_err take_account(void *ctx, const struct sotto_rs_account *a, uint32_t devices)
{
    struct seen *v = ctx;
    size_t n = strlen(v->text);

    v->count++;
    snprintf(v->text + n, sizeof v->text - n, "%s%s%s:%u ", a->name, a->gone ? "-" : "",
             a->disabled ? "!" : "", devices);
    return SOTTO_OK;
}

static void accounts_by_name(void **state)
{
    struct seen seen = {0};
    struct sotto_rs_account a;
    int64_t carol = account("carol", 1), alice = account("alice", 2);

    account("bob", 3);
    assert_int_equal(sotto_rs_account_disable(rig.store, carol, true), 0);
    assert_int_equal(sotto_rs_account_delete(rig.store, alice), 0);
    assert_int_equal(sotto_rs_accounts_each(rig.store, take_account, &seen), 0);
    assert_string_equal(seen.text, "alice-:0 bob:1 carol!:1 ");
    assert_int_equal(sotto_rs_account_find(rig.store, "carol", &a), 0);
    assert_true(a.disabled);
    assert_int_equal(sotto_rs_account_disable(rig.store, carol, false), 0);
    assert_int_equal(sotto_rs_account_find(rig.store, "carol", &a), 0);
    assert_false(a.disabled);
}

static enum sotto_err refuse(void *ctx, const struct sotto_rs_account *a, uint32_t devices)
{
    (*(int *)ctx)++;
    return SOTTO_ERR_STATE;
}

static void a_walk_ends_when_it_is_told_to(void **state)
{
    int calls = 0;

    account("alice", 1);
    account("bob", 2);
    assert_int_equal(sotto_rs_accounts_each(rig.store, refuse, &calls), SOTTO_ERR_STATE);
    assert_int_equal(calls, 1);
}

static void only_the_deleted_are_forgotten(void **state)
{
    struct sotto_rs_account a;
    int64_t id = account("alice", 1), later;

    assert_int_equal(sotto_rs_account_forget(rig.store, id), 0);
    assert_int_equal(sotto_rs_account_find(rig.store, "alice", &a), 0);
    assert_int_equal(sotto_rs_account_delete(rig.store, id), 0);
    assert_int_equal(sotto_rs_account_forget(rig.store, id), 0);
    assert_int_equal(sotto_rs_account_find(rig.store, "alice", &a), SOTTO_ERR_NOT_FOUND);
    later = account("alice", 2);
    assert_true(later >
                id); /* numbers are not used again: what is remembered by them is another's */
}

static enum sotto_err take_invite(void *ctx, const struct sotto_rs_invite *i)
{
    struct seen *v = ctx;
    size_t n = strlen(v->text);

    v->count++;
    snprintf(v->text + n, sizeof v->text - n, "%02x:%u:%s ", i->hash[0], i->uses, i->name);
    return SOTTO_OK;
}

static void invites(void **state)
{
    struct seen seen = {0};
    uint8_t hash[4][32];
    sotto_name name = "unchanged";

    for (uint8_t i = 0; i < 4; i++)
        memset(hash[i], i + 1, 32);
    assert_int_equal(sotto_rs_invite_add(rig.store, hash[0], 5, 300), 0);
    assert_int_equal(sotto_rs_invite_add_for(rig.store, hash[1], "alice", 200), 0);
    assert_int_equal(sotto_rs_invite_add_for(rig.store, hash[2], "bob", 100), 0);
    assert_int_equal(sotto_rs_invite_name(rig.store, hash[0], name), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_invite_name(rig.store, hash[3], name), SOTTO_ERR_NOT_FOUND);
    assert_string_equal(name, "unchanged");
    assert_int_equal(sotto_rs_invite_name(rig.store, hash[1], name), 0);
    assert_string_equal(name, "alice");
    assert_int_equal(sotto_rs_invite_add_for(rig.store, hash[3], "alice", 400),
                     0); /* instead of 2 */
    assert_int_equal(sotto_rs_invites_each(rig.store, take_invite, &seen), 0);
    assert_string_equal(seen.text, "03:1:bob 01:5: 04:1:alice ");
    assert_int_equal(sotto_rs_invite_drop(rig.store, hash[1]), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_rs_invite_drop(rig.store, hash[0]), 0);
    assert_int_equal(sotto_rs_invite_check(rig.store, hash[0], 0), SOTTO_ERR_NOT_FOUND);
}

static void the_end_of_an_account_ends_its_invite(void **state)
{
    uint8_t hash[32] = {1};
    int64_t id = account("alice", 1);

    assert_int_equal(sotto_rs_invite_add_for(rig.store, hash, "alice", 1000), 0);
    assert_int_equal(sotto_rs_account_delete(rig.store, id), 0);
    assert_int_equal(sotto_rs_invite_check(rig.store, hash, 0), SOTTO_ERR_NOT_FOUND);
}

/* --- copies --- */

static void a_copy_is_what_was_committed(void **state)
{
    struct sotto_relay_store *copy = NULL, *writer = NULL;
    struct sotto_rs_identity mine, its;
    struct seen seen = {0};
    char to[192], wal[200];

    snprintf(to, sizeof to, "%s", folder_file(&rig.dir, "copy.db"));
    assert_int_equal(sotto_rs_identity_load(rig.store, &rig.env.env, &mine), 0);
    account("alice", 1);
    /* Another process is in the middle of a transaction. */
    assert_int_equal(sotto_rs_open(rig.path, false, NULL, &writer, why, sizeof why), 0);
    assert_int_equal(sotto_rs_begin(writer), 0);
    assert_int_equal(sotto_rs_invite_add(writer, mine.key.pub, 1, 1), 0);
    assert_int_equal(sotto_rs_copy(rig.store, to, why, sizeof why), 0);
    assert_int_equal(sotto_rs_commit(writer), 0);
    sotto_rs_close(writer);
    assert_int_equal(file_mode(to), 0600);
    snprintf(wal, sizeof wal, "%s-wal", to);
    assert_false(file_exists(wal));

    assert_int_equal(sotto_rs_open(to, false, NULL, &copy, why, sizeof why), 0);
    assert_int_equal(sotto_rs_check(copy, why, sizeof why), 0);
    assert_int_equal(sotto_rs_accounts_each(copy, take_account, &seen), 0);
    assert_string_equal(seen.text, "alice:1 ");
    seen = (struct seen){0};
    assert_int_equal(sotto_rs_invites_each(copy, take_invite, &seen), 0);
    assert_int_equal(seen.count, 0); /* it was not committed */
    assert_int_equal(sotto_rs_identity_load(copy, NULL, &its), 0);
    assert_memory_equal(mine.key.pub, its.key.pub, 32);
    assert_memory_equal(mine.incarnation, its.incarnation, sizeof its.incarnation);
    sotto_rs_close(copy);
}

static void a_copy_overwrites_nothing(void **state)
{
    char to[192];
    size_t len;
    uint8_t *data;

    snprintf(to, sizeof to, "%s", folder_file(&rig.dir, "there"));
    file_write(to, "precious", 8);
    assert_int_equal(sotto_rs_copy(rig.store, to, why, sizeof why), SOTTO_ERR_EXISTS);
    data = file_read(to, &len);
    assert_int_equal(len, 8);
    free(data);
    assert_int_not_equal(sotto_rs_copy(rig.store, "/nonexistent/copy.db", why, sizeof why), 0);
    assert_non_null(strstr(why, "/nonexistent/copy.db"));
}

/* --- check --- */

static void damage_is_found(void **state)
{
    uint8_t entry[SOTTO_ENVELOPE_MAX / 2];
    struct sotto_rs_place place = {.box = 1, .seq = 1, .len = sizeof entry};
    int64_t row;
    size_t len;
    uint8_t *data;

    memset(entry, 7, sizeof entry);
    account("alice", 1);
    for (int i = 0; i < 20; i++)
        assert_int_equal(sotto_rs_mail_add(rig.store, &place, 1,
                                           (struct sotto_bytes){entry, sizeof entry}, &row),
                         0);
    assert_int_equal(sotto_rs_check(rig.store, why, sizeof why), 0);
    sotto_rs_close(rig.store);
    data = file_read(rig.path, &len);
    memset(data + len / 2, 0x55, 16384);
    file_write(rig.path, data, len);
    free(data);
    assert_int_equal(sotto_rs_open(rig.path, false, NULL, &rig.store, why, sizeof why), 0);
    assert_int_equal(sotto_rs_check(rig.store, why, sizeof why), SOTTO_ERR_MALFORMED);
    assert_true(why[0] != '\0');
    assert_null(strchr(why, '\n'));
}

static void mail_that_is_none_is_found(void **state)
{
    struct sotto_rs_place place = {.box = 1, .seq = 1, .len = 1000}; /* more than there is */
    int64_t row;

    assert_int_equal(sotto_rs_mail_add(rig.store, &place, 1,
                                       (struct sotto_bytes){(const uint8_t *)"x", 1}, &row),
                     0);
    assert_int_equal(sotto_rs_check(rig.store, why, sizeof why), SOTTO_ERR_MALFORMED);
}

/* --- usage --- */

static void usage_adds_up(void **state)
{
    struct sotto_rs_usage empty, full;
    uint8_t bytes[5000] = {0};
    struct sotto_rs_place place = {.box = 1, .seq = 1, .len = sizeof bytes};
    uint64_t sum = 0;
    int64_t row;

    assert_int_equal(sotto_rs_usage(rig.store, &empty), 0);
    account("alice", 1);
    assert_int_equal(
        sotto_rs_mail_add(rig.store, &place, 1, (struct sotto_bytes){bytes, sizeof bytes}, &row),
        0);
    assert_int_equal(sotto_rs_usage(rig.store, &full), 0);
    assert_true(full.pages - full.free_pages > empty.pages - empty.free_pages);
    assert_string_equal(full.parts[0].what, "waiting mail");
    assert_int_equal(full.parts[0].rows, 1);
    assert_int_equal(full.parts[0].bytes, 5041);
    for (size_t i = 0; i < full.part_count; i++)
        sum += full.parts[i].bytes;
    assert_true(sum + full.free_pages * full.page_bytes <= full.pages * full.page_bytes);
    assert_int_equal(sotto_rs_mail_drop(rig.store, row), 0);
    assert_int_equal(sotto_rs_usage(rig.store, &full), 0);
    assert_int_equal(full.parts[0].rows, 0);
    assert_true(full.free_pages > 0);
}

static void epoch_is_told(void **state)
{
    uint32_t epoch = 9;

    assert_int_equal(sotto_rs_epoch(rig.store, &epoch), 0);
    assert_int_equal(epoch, 0);
    assert_int_equal(sotto_rs_renew(rig.store, &rig.env.env), 0);
    assert_int_equal(sotto_rs_epoch(rig.store, &epoch), 0);
    assert_int_equal(epoch, SOTTO_RS_EPOCH_LEAP);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(accounts_by_name),
        CASE(a_walk_ends_when_it_is_told_to),
        CASE(only_the_deleted_are_forgotten),
        CASE(invites),
        CASE(the_end_of_an_account_ends_its_invite),
        CASE(a_copy_is_what_was_committed),
        CASE(a_copy_overwrites_nothing),
        CASE(damage_is_found),
        CASE(mail_that_is_none_is_found),
        CASE(usage_adds_up),
        CASE(epoch_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
