/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output and the disk: nothing that tells of a transaction leaves before the disk has it, what does
 * not tell of one goes on meanwhile, and each connection's answers keep their order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sqlcipher/sqlite3.h>

#include "faulty_vfs.h"
#include "relay_rig.h"

static struct rig r;
static struct dev alice, bob, carol, dave;
static struct client a, b, c;

/* dave is away: what is for him has to be stored. */
static int setup(void **state)
{
    struct client d;

    faulty_reset();
    rig_make_on(&r, "faulty");
    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    dev_join(&r, &carol, &c, "carol");
    dev_join(&r, &dave, &d, "dave");
    token_set(&b, 7, true);
    token_set(&d, 8, true);
    client_free(&d);
    rig_pass(&r, 1);
    return 0;
}

static int teardown(void **state)
{
    client_free(&a);
    client_free(&b);
    client_free(&c);
    faulty_reset();
    rig_free(&r);
    return 0;
}

static uint32_t store(struct client *from, const char *text, uint32_t lane)
{
    struct sotto_request q = with_token(submit_to(&dave, text, lane), 8);

    return client_send(from, &q);
}

static void sync_begins(void)
{
    assert_true(sotto_relay_sync_due(r.relay));
    sotto_relay_sync_begun(r.relay);
    assert_false(sotto_relay_sync_due(r.relay));
}

static void sync_ends(void)
{
    assert_int_equal(sotto_rs_sync(r.store), 0);
    sotto_relay_synced(r.relay);
    rig_turn_unsynced(&r);
}

static void expect_stored(struct client *from, uint32_t id)
{
    struct sotto_answer *answer = client_next(from);

    assert_non_null(answer);
    assert_int_equal(answer->id, id);
    assert_int_equal(answer->type, SOTTO_ANS_SUBMITTED);
    assert_int_equal(answer->u.submitted.results[0].state, SOTTO_PARCEL_STORED);
    sotto_answer_free(answer);
}

static void test_answer_waits_for_the_sync(void **state)
{
    uint32_t id = store(&a, "one", 1);

    rig_turn_unsynced(&r);
    client_quiet(&a);
    sync_begins();
    rig_turn_unsynced(&r);
    client_quiet(&a);
    sync_ends();
    expect_stored(&a, id);
    client_quiet(&a);
    assert_false(sotto_relay_sync_due(r.relay));
}

/* Committed while a sync was under way: it may not have been there when that began. */
static void test_the_next_sync_is_needed(void **state)
{
    uint32_t first = store(&a, "one", 1), second, third;

    rig_turn_unsynced(&r);
    sync_begins();
    second = store(&a, "two", 2);
    third = store(&b, "three", 1);
    rig_turn_unsynced(&r);
    sync_ends();
    expect_stored(&a, first);
    client_quiet(&a);
    client_quiet(&b);
    sync_begins();
    client_quiet(&a);
    sync_ends();
    expect_stored(&a, second);
    expect_stored(&b, third);
    client_quiet(&a);
}

static uint32_t say_live(struct client *from, const char *text, uint32_t lane)
{
    struct sotto_request q = with_token(submit_to(&bob, text, lane), 7);
    uint32_t id = client_send(from, &q);

    rig_turn_unsynced(&r);
    return id;
}

/* Two who are there do not wait for the disk of others. */
static void test_live_goes_on(void **state)
{
    uint32_t stored = store(&c, "one", 1), live;

    rig_turn_unsynced(&r);
    sync_begins();
    live = say_live(&a, "live", 1);
    ack(&b, expect_deliver(&b, "live"));
    expect_stored(&a, live);
    client_quiet(&c);
    sync_ends();
    expect_stored(&c, stored);
}

/* An answer that would not have to wait does not overtake one that does. */
static void test_order_of_one_connection(void **state)
{
    uint32_t stored = store(&a, "one", 1), live, next;

    rig_turn_unsynced(&r);
    sync_begins();
    live = say_live(&a, "live", 2);
    ack(&b, expect_deliver(&b, "live"));
    next = store(&a, "two", 3);
    rig_turn_unsynced(&r);
    client_quiet(&a);
    sync_ends();
    expect_stored(&a, stored);
    expect_stored(&a, live);
    client_quiet(&a);
    sync_begins();
    sync_ends();
    expect_stored(&a, next);
}

/* What was live and had to go to the disk: its answer tells of the disk. */
static void test_spilled_waits(void **state)
{
    uint32_t live = say_live(&a, "live", 1);

    (void)expect_deliver(&b, "live");
    r.env.now += RIG_LIVE_MS;
    r.env.mono += RIG_LIVE_MS;
    sotto_relay_tick(r.relay);
    rig_turn_unsynced(&r);
    client_quiet(&a);
    sync_begins();
    sync_ends();
    expect_stored(&a, live);
}

/* What others are told of it waits too: a list that a crash takes back would look like a relay that
 * lies. */
static void test_pushes_wait(void **state)
{
    const struct dev *all[] = {&alice};
    struct sotto_request q;
    struct dev phone;
    struct client p;

    dev_second(&r, &phone, &alice);
    dev_add(&r, &alice, &a, &phone, &p);
    dev_list(&alice, all, 1, 1);
    q = dev_put_list(&alice);
    (void)client_send(&a, &q);
    rig_turn_unsynced(&r);
    client_quiet(&a);
    client_quiet(&p);
    assert_non_null(p.conn); /* it is to end, and is to hear why before */
    sync_begins();
    sync_ends();
    expect_closing(&p, SOTTO_CLOSING_REVOKED, NULL);
    client_free(&p);
}

/* A turn that was undone leaves nothing behind that would leave too early or never. */
static void test_undone_turn(void **state)
{
    uint32_t first = store(&a, "one", 1), second;
    struct sotto_answer *answer;

    rig_turn_unsynced(&r);
    sync_begins();
    second = store(&a, "two", 2);
    faulty.left = 0;
    faulty.result = SQLITE_FULL;
    faulty.stays = true;
    rig_turn_unsynced(&r);
    faulty_reset();
    client_quiet(&a);
    sync_ends();
    expect_stored(&a, first);
    answer = client_next(&a);
    assert_non_null(answer);
    assert_int_equal(answer->id, second);
    assert_int_equal(answer->u.error.code, SOTTO_RELAY_UNAVAILABLE);
    sotto_answer_free(answer);
    assert_false(sotto_relay_sync_due(r.relay));
}

static void test_closed_while_it_waits(void **state)
{
    struct client d;

    (void)store(&a, "one", 1);
    rig_turn_unsynced(&r);
    client_drop(&a);
    sync_begins();
    (void)store(&c, "two", 1);
    rig_turn_unsynced(&r);
    client_drop(&c);
    sync_ends();
    sync_begins();
    sync_ends();
    dev_connect(&r, &dave, &d, 0);
    (void)expect_deliver(&d, "one");
    (void)expect_deliver(&d, "two");
    client_free(&d);
}

/* The disk fails: nobody is told anything. */
static void test_failed_sync(void **state)
{
    (void)store(&a, "one", 1);
    rig_turn_unsynced(&r);
    sync_begins();
    faulty.left = 0;
    faulty.result = SQLITE_IOERR_FSYNC;
    faulty.only_sync = true;
    assert_int_equal(sotto_rs_sync(r.store), SOTTO_ERR_IO);
    client_quiet(&a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_answer_waits_for_the_sync),
        TEST(test_the_next_sync_is_needed),
        TEST(test_live_goes_on),
        TEST(test_order_of_one_connection),
        TEST(test_spilled_waits),
        TEST(test_pushes_wait),
        TEST(test_undone_turn),
        TEST(test_closed_while_it_waits),
        TEST(test_failed_sync),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
