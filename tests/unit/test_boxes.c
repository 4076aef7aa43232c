/* SPDX-License-Identifier: Apache-2.0 */
/* Submits, boxes, deliveries: lanes, quotas, tokens, the request lane, what a kill leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/kdf.h"
#include "relay_rig.h"

#define DAY_MS (24ull * 3600 * 1000)

static struct rig r;
static struct dev alice, bob, carol;
static struct client a, b, c;

static int setup(void **state)
{
    rig_make(&r);
    rig_names_nobody();
    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    return 0;
}

static int teardown(void **state)
{
    client_free(&a);
    client_free(&b);
    rig_free(&r);
    return 0;
}

/* alice to bob, whose token she has */
static int say(const char *text, uint32_t lane)
{
    struct sotto_request q = with_token(submit_to(&bob, text, lane), 7);

    return submit(&a, &q);
}

static int say_number(unsigned i)
{
    char text[32];

    snprintf(text, sizeof text, "message %u", i);
    return say(text, 1);
}

static void reconnect(struct dev *d, struct client *conn, uint64_t committed)
{
    client_free(conn);
    dev_connect(&r, d, conn, committed);
}

/* --- numbers and acknowledgements --- */

static void test_delivery(void **state)
{
    uint64_t first, second;

    token_set(&b, 7, true);
    assert_int_equal(say("hello", 1), SOTTO_PARCEL_STORED);
    first = expect_deliver(&b, "hello");
    assert_int_equal(first >> 40, 1);
    assert_int_equal(say("again", 1), SOTTO_PARCEL_STORED);
    second = expect_deliver(&b, "again");
    assert_true(second > first);
    /* Not acknowledged: it comes again. */
    reconnect(&bob, &b, 0);
    assert_int_equal(expect_deliver(&b, "hello"), first);
    assert_int_equal(expect_deliver(&b, "again"), second);
    ack(&b, first);
    reconnect(&bob, &b, 0);
    assert_int_equal(expect_deliver(&b, "again"), second);
    client_quiet(&b);
    /* What was committed is said at Begin, when the acknowledgement was lost. */
    reconnect(&bob, &b, second);
    client_quiet(&b);
    reconnect(&bob, &b, 0);
    client_quiet(&b);
}

static void test_nothing_before_begin(void **state)
{
    struct sotto_request q, begin = {.type = SOTTO_REQ_BEGIN}, early = {.type = SOTTO_REQ_ACK};

    token_set(&b, 7, true);
    client_free(&b);
    assert_int_equal(say("hello", 1), SOTTO_PARCEL_STORED);
    client_open(&r, &b, NULL);
    q = dev_sign_in(&bob, &b);
    sotto_answer_free(client_ask(&b, &q));
    early.u.ack.seq = UINT64_MAX;
    assert_int_equal(client_try(&b, &early), SOTTO_RELAY_BAD_REQUEST);
    assert_int_equal(say("more", 1), SOTTO_PARCEL_STORED);
    client_quiet(&b);
    assert_int_equal(client_try(&b, &begin), 0);
    expect_deliver(&b, "hello");
    expect_deliver(&b, "more");
}

static void test_numbers_are_never_given_twice(void **state)
{
    uint64_t last, seq;

    token_set(&b, 7, true);
    assert_int_equal(say("one", 1), SOTTO_PARCEL_STORED);
    last = expect_deliver(&b, "one");
    ack(&b, last); /* the box is empty, its counter goes on */
    assert_int_equal(say("two", 1), SOTTO_PARCEL_STORED);
    seq = expect_deliver(&b, "two");
    assert_true(seq > last);
    ack(&b, last = seq);
    for (int i = 0; i < 3; i++) {
        if (i == 0)
            rig_crash(&r);
        else
            rig_restart(&r);
        dev_connect(&r, &alice, &a, 0);
        dev_connect(&r, &bob, &b, last);
        assert_int_equal(say("next", 1), SOTTO_PARCEL_STORED);
        seq = expect_deliver(&b, "next");
        assert_true(seq > last);
        ack(&b, last = seq);
    }
    /* Nor after a restore, whose counter of boots is an older one. */
    assert_int_equal(sotto_rs_renew(r.store, &r.env.env), 0);
    rig_restart(&r);
    dev_connect(&r, &alice, &a, 0);
    dev_connect(&r, &bob, &b, last);
    assert_int_equal(say("restored", 1), SOTTO_PARCEL_STORED);
    assert_true(expect_deliver(&b, "restored") > last);
}

static void test_wrong_acknowledgements_drop_nothing(void **state)
{
    uint64_t seq;

    token_set(&b, 7, true);
    client_free(&b);
    assert_int_equal(say("hello", 1), SOTTO_PARCEL_STORED);
    /* A number of a boot that never was: a relay restored by copying files. */
    dev_connect(&r, &bob, &b, UINT64_MAX);
    expect_deliver(&b, "hello");
    reconnect(&bob, &b, (uint64_t)2 << 40);
    seq = expect_deliver(&b, "hello");
    /* Of this boot, but not given out yet: what is to come would have been dropped by it. */
    reconnect(&bob, &b, seq + 1);
    assert_int_equal(expect_deliver(&b, "hello"), seq);
    /* Acknowledged beyond what was sent. */
    ack(&b, UINT64_MAX);
    assert_int_equal(say("after", 1), SOTTO_PARCEL_STORED);
    assert_true(expect_deliver(&b, "after") > seq);
    reconnect(&bob, &b, 0);
    expect_deliver(&b, "after");
    client_quiet(&b);
}

/* What the relay says at sign-in about what was acknowledged. */
static uint64_t acked_at_sign_in(void)
{
    struct sotto_request q;
    struct sotto_answer *answer;
    struct client conn;
    uint64_t acked;

    client_open(&r, &conn, NULL);
    q = dev_sign_in(&bob, &conn);
    answer = client_ask(&conn, &q);
    acked = answer->u.signed_in.acked;
    sotto_answer_free(answer);
    client_free(&conn);
    return acked;
}

static void test_tells_what_was_acknowledged(void **state)
{
    uint64_t first, second;

    token_set(&b, 7, true);
    assert_int_equal(acked_at_sign_in(), 0);
    reconnect(&bob, &b, 0);
    assert_int_equal(say("one", 1), SOTTO_PARCEL_STORED);
    assert_int_equal(say("two", 1), SOTTO_PARCEL_STORED);
    first = expect_deliver(&b, "one");
    second = expect_deliver(&b, "two");
    assert_int_equal(acked_at_sign_in(), 0); /* sent, not acknowledged */
    reconnect(&bob, &b, 0);
    ack(&b, first);
    assert_int_equal(acked_at_sign_in(), first);
    reconnect(&bob, &b, second); /* committed, its acknowledgement was lost */
    assert_int_equal(acked_at_sign_in(), second);
    rig_restart(&r);
    assert_int_equal(acked_at_sign_in(), 0); /* not known any more, which accuses nobody */
    dev_connect(&r, &alice, &a, 0);
    dev_connect(&r, &bob, &b, second);
}

static void test_stored_survives_a_kill(void **state)
{
    token_set(&b, 7, true);
    client_free(&b);
    assert_int_equal(say("kept", 1), SOTTO_PARCEL_STORED);
    rig_crash(&r);
    dev_connect(&r, &bob, &b, 0);
    expect_deliver(&b, "kept");
    /* Killed between the acknowledgement and anything else: it comes again, nothing is lost. */
    rig_crash(&r);
    dev_connect(&r, &bob, &b, 0);
    expect_deliver(&b, "kept");
    dev_connect(&r, &alice, &a, 0);
}

static void test_a_repeat_is_stored_once(void **state)
{
    uint64_t seq;

    token_set(&b, 7, true);
    assert_int_equal(say("hello", 1), SOTTO_PARCEL_STORED);
    seq = expect_deliver(&b, "hello");
    assert_int_equal(say("hello", 1), SOTTO_PARCEL_STORED); /* the answer was lost */
    client_quiet(&b);
    rig_crash(&r);
    dev_connect(&r, &alice, &a, 0);
    assert_int_equal(say("hello", 1), SOTTO_PARCEL_STORED);
    dev_connect(&r, &bob, &b, 0);
    assert_int_equal(expect_deliver(&b, "hello"), seq);
    client_quiet(&b);
}

/* --- the window --- */

static void number(char *text, unsigned i)
{
    char digits[8];

    snprintf(digits, sizeof digits, "%07u", i % 10000000);
    memcpy(text, digits, 7);
}

/* What number() wrote: the rest is no digit, and no NUL. */
static unsigned number_of(const struct sotto_bytes *envelope)
{
    char digits[8] = "";

    memcpy(digits, envelope->p, 7);
    return (unsigned)strtoul(digits, NULL, 10);
}

static void test_window(void **state)
{
    const unsigned total = 600;
    uint64_t seq = 0;
    char text[32];

    r.config.quota_messages = 10000;
    rig_configure(&r);
    token_set(&b, 7, true);
    for (unsigned i = 0; i < total; i++)
        assert_int_equal(say_number(i), SOTTO_PARCEL_STORED);
    for (unsigned i = 0; i < total; i++) {
        snprintf(text, sizeof text, "message %u", i);
        if (i % 256 == 0 && i > 0) {
            client_quiet(&b); /* 256 are on their way, no more */
            ack(&b, seq);
        }
        seq = expect_deliver(&b, text);
    }
    client_quiet(&b);
    ack(&b, seq);
    reconnect(&bob, &b, 0);
    client_quiet(&b);
}

static void test_slow_reader_costs_no_memory(void **state)
{
    static char big[60000];
    unsigned got = 0;
    struct sotto_answer *answer;

    memset(big, 'x', sizeof big - 1);
    token_set(&b, 7, true);
    b.deaf = true;
    for (unsigned i = 0; i < 32; i++) {
        number(big, i);
        assert_int_equal(say(big, 1), SOTTO_PARCEL_STORED);
    }
    assert_true(b.in.n < 400 * 1024);
    while (b.in.n > 0 || got < 32) {
        while ((answer = client_push(&b, SOTTO_ANS_DELIVER)) != NULL) {
            assert_int_equal(number_of(&answer->u.deliver.envelope), got);
            got++;
            ack(&b, answer->u.deliver.seq);
            sotto_answer_free(answer);
        }
        b.pending = 0; /* it took what there was */
        sotto_relay_sent(b.conn, 0);
        rig_turn(&r);
    }
    assert_int_equal(got, 32);
}

static void test_window_in_bytes(void **state)
{
    static char big[60000];
    unsigned got = 0;
    struct sotto_answer *answer;
    uint64_t seq = 0;

    memset(big, 'x', sizeof big - 1);
    token_set(&b, 7, true);
    for (unsigned i = 0; i < 30; i++) {
        number(big, i);
        assert_int_equal(say(big, 1), SOTTO_PARCEL_STORED);
    }
    while ((answer = client_push(&b, SOTTO_ANS_DELIVER)) != NULL) {
        seq = answer->u.deliver.seq;
        got++;
        sotto_answer_free(answer);
    }
    assert_int_equal(got, 1024 * 1024 / 59999 + 1);
    ack(&b, seq);
    while ((answer = client_push(&b, SOTTO_ANS_DELIVER)) != NULL) {
        got++;
        sotto_answer_free(answer);
    }
    assert_int_equal(got, 30);
}

/* --- quotas --- */

static void test_full_box(void **state)
{
    struct sotto_request q;
    struct client conn;

    r.config.quota_messages = 16; /* two for each sender */
    rig_configure(&r);
    token_set(&b, 7, true);
    client_free(&b);
    assert_int_equal(say("1", 1), SOTTO_PARCEL_STORED);
    assert_int_equal(say("2", 1), SOTTO_PARCEL_STORED);
    assert_int_equal(say("3", 1), SOTTO_PARCEL_QUOTA);  /* one sender, an eighth */
    assert_int_equal(say("2", 2), SOTTO_PARCEL_STORED); /* a repeat, and it is there */
    for (unsigned i = 0; i < 7; i++) {
        char name[16], text[16];
        struct dev d;

        snprintf(name, sizeof name, "friend%u", i);
        dev_join(&r, &d, &conn, name);
        for (unsigned k = 0; k < 2; k++) {
            snprintf(text, sizeof text, "%u of %u", k, i);
            q = with_token(submit_to(&bob, text, 1), 7);
            assert_int_equal(submit(&conn, &q), SOTTO_PARCEL_STORED);
        }
        client_free(&conn);
    }
    dev_join(&r, &carol, &c, "carol");
    q = with_token(submit_to(&bob, "no room", 1), 7);
    assert_int_equal(submit(&c, &q), SOTTO_PARCEL_FULL);
    q = with_token(submit_to(&bob, "no room", 2), 7);
    assert_int_equal(submit(&c, &q), SOTTO_PARCEL_FULL);
    /* Room again. */
    dev_connect(&r, &bob, &b, 0);
    ack(&b, expect_deliver(&b, "1"));
    q = with_token(submit_to(&bob, "no room", 3), 7);
    assert_int_equal(submit(&c, &q), SOTTO_PARCEL_STORED);
    client_free(&c);
}

static void test_quota_in_bytes(void **state)
{
    static char big[40000];

    r.config.quota_bytes = 400000; /* 50,000 for each sender */
    rig_configure(&r);
    token_set(&b, 7, true);
    client_free(&b);
    memset(big, 'x', sizeof big - 1);
    assert_int_equal(say(big, 1), SOTTO_PARCEL_STORED);
    assert_int_equal(say("small", 1), SOTTO_PARCEL_STORED);
    big[0] = 'y';
    assert_int_equal(say(big, 1), SOTTO_PARCEL_QUOTA);
    dev_connect(&r, &bob, &b, 0);
}

static void test_one_message_always_has_room(void **state)
{
    static char big[60000];

    r.config.quota_bytes = 65536;
    r.config.quota_messages = 1;
    rig_configure(&r);
    token_set(&b, 7, true);
    memset(big, 'x', sizeof big - 1);
    assert_int_equal(say(big, 1), SOTTO_PARCEL_STORED);
    assert_int_equal(say("2", 1), SOTTO_PARCEL_FULL);
}

static void test_own_devices_are_exempt(void **state)
{
    struct sotto_request q;
    struct dev second;
    char text[16];

    r.config.quota_messages = 16;
    rig_configure(&r);
    dev_add(&r, &alice, &a, &second, &c);
    client_free(&c);
    for (unsigned i = 0; i < 16; i++) {
        snprintf(text, sizeof text, "sync %u", i);
        q = submit_to(&second, text, 1);
        q.u.submit.list_version = alice.parsed.version;
        assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    }
    q = submit_to(&second, "one more", 1);
    q.u.submit.list_version = alice.parsed.version;
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_FULL);
    dev_connect(&r, &second, &c, 0);
    expect_deliver(&c, "sync 0");
    client_free(&c);
}

/* --- lanes --- */

static void test_nothing_overtakes_a_refusal(void **state)
{
    struct sotto_request q;

    r.config.quota_messages = 8;
    rig_configure(&r);
    token_set(&b, 7, true);
    assert_int_equal(say("first", 3), SOTTO_PARCEL_STORED);
    assert_int_equal(say("second", 3), SOTTO_PARCEL_QUOTA);
    /* Room appears, but what was sent behind it must not come before it. */
    ack(&b, expect_deliver(&b, "first"));
    assert_int_equal(say("third", 3), SOTTO_PARCEL_LANE_CLOSED);
    assert_int_equal(say("old", 2), SOTTO_PARCEL_LANE_CLOSED);
    assert_int_equal(say("second", 4), SOTTO_PARCEL_STORED);
    ack(&b, expect_deliver(&b, "second"));
    assert_int_equal(say("third", 3), SOTTO_PARCEL_LANE_CLOSED);
    assert_int_equal(say("third", 4), SOTTO_PARCEL_STORED);
    expect_deliver(&b, "third");
    /* Other devices have lanes of their own; a new connection begins anew. */
    dev_join(&r, &carol, &c, "carol");
    q = submit_to(&carol, "to carol", 1);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    client_free(&c);
    reconnect(&alice, &a, 0);
    reconnect(&bob, &b, 0);
    ack(&b, expect_deliver(&b, "third"));
    assert_int_equal(say("fourth", 1), SOTTO_PARCEL_STORED);
}

static void test_a_refused_list_closes_the_lane(void **state)
{
    struct sotto_request q;

    token_set(&b, 7, true);
    dev_list(&bob, (const struct dev *const[]){&bob}, 1, 1);
    assert_int_equal(send_list(&b, &bob), 0);
    q = with_token(submit_to(&bob, "first", 1), 7);
    q.u.submit.list_version = 1;
    assert_int_equal(submit(&a, &q), -SOTTO_RELAY_LIST_CHANGED);
    /* This one knew the new list; it was written after the first. */
    assert_int_equal(say("second", 1), SOTTO_PARCEL_LANE_CLOSED);
    assert_int_equal(say("first", 2), SOTTO_PARCEL_STORED);
    assert_int_equal(say("second", 2), SOTTO_PARCEL_STORED);
    expect_deliver(&b, "first");
    expect_deliver(&b, "second");
}

/* --- time --- */

/* Days and a bit, evenly, with somebody looking now and then. */
static void pass_days(unsigned days)
{
    for (unsigned i = 0; i < days * 24; i++)
        rig_pass(&r, 3600 * 1000);
}

static void test_lifetime(void **state)
{
    r.config.lifetime_days = 30;
    rig_configure(&r);
    token_set(&b, 7, true);
    client_free(&b);
    assert_int_equal(say("old", 1), SOTTO_PARCEL_STORED);
    pass_days(15);
    client_free(&a); /* ended long ago: it was silent */
    dev_connect(&r, &alice, &a, 0);
    assert_int_equal(say("young", 1), SOTTO_PARCEL_STORED);
    pass_days(15);
    dev_connect(&r, &bob, &b, 0);
    expect_deliver(&b, "old"); /* thirty days, and not a day less */
    expect_deliver(&b, "young");
    client_free(&b);
    pass_days(1);
    dev_connect(&r, &bob, &b, 0);
    expect_deliver(&b, "young");
    client_quiet(&b);
    /* And the room counts as room again. */
    r.config.quota_messages = 16;
    rig_configure(&r);
    client_free(&a);
    dev_connect(&r, &alice, &a, 0);
    assert_int_equal(say("new", 1), SOTTO_PARCEL_STORED);
    assert_int_equal(say("newer", 1), SOTTO_PARCEL_QUOTA);
}

static void test_a_wrong_clock_throws_nothing_away(void **state)
{
    token_set(&b, 7, true);
    client_free(&b);
    assert_int_equal(say("kept", 1), SOTTO_PARCEL_STORED);
    r.env.now += 3650 * DAY_MS; /* somebody set the clock, for half an hour */
    for (int i = 0; i < 30; i++)
        rig_pass(&r, 60 * 1000);
    r.env.now -= 3650 * DAY_MS;
    pass_days(2);
    r.env.now += 3650 * DAY_MS; /* and the relay was started under a wrong clock */
    rig_restart(&r);
    for (int i = 0; i < 30; i++)
        rig_pass(&r, 60 * 1000);
    r.env.now -= 3650 * DAY_MS;
    pass_days(1);
    dev_connect(&r, &bob, &b, 0);
    expect_deliver(&b, "kept");
    dev_connect(&r, &alice, &a, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_delivery),
        CASE(test_nothing_before_begin),
        CASE(test_numbers_are_never_given_twice),
        CASE(test_wrong_acknowledgements_drop_nothing),
        CASE(test_tells_what_was_acknowledged),
        CASE(test_stored_survives_a_kill),
        CASE(test_a_repeat_is_stored_once),
        CASE(test_window),
        CASE(test_slow_reader_costs_no_memory),
        CASE(test_window_in_bytes),
        CASE(test_full_box),
        CASE(test_quota_in_bytes),
        CASE(test_one_message_always_has_room),
        CASE(test_own_devices_are_exempt),
        CASE(test_nothing_overtakes_a_refusal),
        CASE(test_a_refused_list_closes_the_lane),
        CASE(test_lifetime),
        CASE(test_a_wrong_clock_throws_nothing_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
