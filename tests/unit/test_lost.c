/* SPDX-License-Identifier: Apache-2.0 */
/* What does not open, or is lost with a relay: it is asked for, or said, again; within bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig.h"

#define MINUTE 60000
#define HOUR   (60 * MINUTE)

static struct world w;
static struct phone *alice, *bob;

static int teardown(void **state)
{
    world_free(&w);
    return 0;
}

/* Two who know each other. */
static int setup(void **state)
{
    world_make(&w);
    alice = phone_join(&w, "alice");
    bob = phone_join(&w, "bob");
    phone_befriend(alice, bob);
    return 0;
}

/* --- counting --- */

struct watch {
    struct phone *sends, *gets;
    unsigned submits; /* of who sends */
    unsigned comes;   /* to who gets */
    bool forgets;     /* who gets has lost its sessions whenever something comes */
    bool rubbish;     /* what comes is altered */
    unsigned count;   /* of what was, and their ids */
    uint8_t ids[256][SOTTO_ENVELOPE_ID];
};

static void alter(struct watch *x, struct sotto_answer *a, struct sotto_buf *body)
{
    uint8_t *bytes = malloc(a->u.deliver.envelope.n);
    size_t n = a->u.deliver.envelope.n;

    assert_non_null(bytes);
    assert_true(x->count < 256);
    memcpy(bytes, a->u.deliver.envelope.p, n);
    bytes[n - 1] ^= 1;
    a->u.deliver.envelope.p = bytes;
    sotto_envelope_id(bytes, n, x->ids[x->count++]);
    put_answer(body, a, NULL);
    free(bytes);
}

static bool watch_frames(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct watch *x = ctx;
    struct sotto_answer *a = NULL;

    if (p == x->sends && way == UP)
        x->submits += request_type(body) == SOTTO_REQ_SUBMIT;
    if (p != x->gets || way == UP || answer_type(body) != SOTTO_ANS_DELIVER)
        return true;
    x->comes++;
    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    if (x->forgets)
        assert_int_equal(sotto_sessions_clear(p->profile, NULL, 0), SOTTO_OK);
    if (x->rubbish)
        alter(x, a, body);
    sotto_answer_free(a);
    return true;
}

static void watch(struct watch *x, struct phone *sends, struct phone *gets)
{
    memset(x, 0, sizeof *x);
    x->sends = sends;
    x->gets = gets;
    w.carry = watch_frames;
    w.carry_ctx = x;
}

static unsigned submits(struct watch *x)
{
    unsigned n = x->submits;

    x->submits = 0;
    return n;
}

/* --- receipts --- */

/* Many to whom nothing may be told any more stand before him in the list. */
static void receipts_that_may_not_go_hold_up_no_others(void **state)
{
    static const uint8_t id[SOTTO_CONTENT_ID] = "some message";
    struct said m;

    for (char name[] = "aaa"; name[2] <= 'z'; name[2]++)
        for (name[1] = 'a'; name[1] <= 'c'; name[1]++)
            assert_int_equal(sotto_due_add(bob->profile, name, id, SOTTO_RECEIPT_READ), SOTTO_OK);
    m = phone_say(alice, "bob", "did you get it?", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
}

/* --- those of a stranger --- */

#define ASKED 8  /* in an hour */
#define LOST  12 /* more than that */

static void say(const char *what, int n)
{
    char text[32];

    snprintf(text, sizeof text, "%s %d", what, n);
    (void)phone_say(alice, "bob", text, SOTTO_WAIT_STORED);
    world_settle(&w);
}

/* Bob has asked a stranger as often as he may, and got what he asked for; what she writes now does
 * not open. */
static int setup_stranger(void **state)
{
    world_make(&w);
    alice = phone_join(&w, "alice");
    bob = phone_join(&w, "bob");
    say("hello", 1);
    phone_offline(bob);
    for (int i = 0; i < ASKED; i++)
        say("early", i);
    assert_int_equal(sotto_sessions_clear(bob->profile, "alice", 0), SOTTO_OK);
    phone_online(bob);
    world_pass(&w, MINUTE);
    assert_int_equal(phone_printed(bob, NULL), 1 + ASKED);
    assert_int_equal(phone_quarantined(bob), ASKED);
    assert_int_equal(sotto_sessions_clear(bob->profile, "alice", 0), SOTTO_OK);
    for (int i = 0; i < LOST; i++)
        say("line", i);
    assert_int_equal(phone_quarantined(bob), ASKED + LOST);
    return 0;
}

/* So many of them have come. */
static void lines_came(size_t count)
{
    char text[32];

    assert_int_equal(phone_printed(bob, NULL), 1 + ASKED + count);
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "line %zu", i);
        assert_string_equal(bob->printed[1 + ASKED + i].text, text);
    }
}

/* Nobody is flooded in our name. But nothing is forgotten. */
static void a_stranger_is_asked_for_the_rest_in_the_next_hours(void **state)
{
    struct watch x;

    watch(&x, bob, NULL);
    lines_came(0);
    world_pass(&w, 50 * MINUTE);
    assert_int_equal(submits(&x), 0);
    world_pass(&w, 15 * MINUTE);
    assert_int_equal(submits(&x), ASKED);
    lines_came(ASKED);
    world_pass(&w, 50 * MINUTE);
    assert_int_equal(submits(&x), 0);
    world_pass(&w, 15 * MINUTE);
    assert_int_equal(submits(&x), LOST - ASKED);
    lines_came(LOST);
    world_pass(&w, 3 * HOUR);
    assert_int_equal(submits(&x), 0);
    w.carry = NULL;
}

static void a_new_process_knows_what_is_still_to_be_asked_for(void **state)
{
    phone_crash(bob);
    world_settle(&w);
    lines_came(ASKED);
    phone_offline(bob);
    world_pass(&w, 2 * HOUR);
    lines_came(ASKED);
    phone_online(bob);
    world_settle(&w);
    lines_came(LOST);
}

static void whoever_is_accepted_is_asked_for_all(void **state)
{
    assert_result(bob, phone_call(bob, SOTTO_OP_ACCEPT, "alice", NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    lines_came(LOST);
}

static enum sotto_err count_name(void *ctx, const char *name)
{
    (void)name;
    (*(unsigned *)ctx)++;
    return SOTTO_OK;
}

static void whoever_is_blocked_is_asked_for_nothing(void **state)
{
    unsigned waiting = 0;
    struct watch x;

    assert_result(bob, phone_call(bob, SOTTO_OP_BLOCK, "alice", NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    watch(&x, bob, NULL);
    world_pass(&w, 4 * HOUR);
    assert_int_equal(submits(&x), 0);
    lines_came(0);
    assert_int_equal(sotto_unasked_senders(bob->profile, count_name, &waiting), SOTTO_OK);
    assert_int_equal(waiting, 0);
    w.carry = NULL;
}

/* --- receipts --- */

/* He has read it, and what says so lies in her mailbox. */
static struct said read_while_she_is_away(void)
{
    struct said m;

    phone_offline(bob);
    m = phone_say(alice, "bob", "have you read this?", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_OK);
    phone_offline(alice);
    phone_online(bob);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "have you read this?"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_STORED);
    return m;
}

static void receipts_are_given_again_after_the_relay_was_restored(void **state)
{
    struct said m;

    relay_save(&w, "old");
    m = read_while_she_is_away();
    relay_restore(&w, "old", true);
    world_settle(&w);
    phone_online(alice);
    world_settle(&w);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    assert_int_equal(phone_printed(bob, "have you read this?"), 1);
}

/* "Delivered" came, "read" was lost: nothing is sent again that could be confirmed again. */
static void read_is_said_again_after_the_relay_was_restored(void **state)
{
    struct said m;

    bob->confirms = false;
    m = phone_say(alice, "bob", "have you read this?", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_DELIVERED);
    relay_save(&w, "old");
    phone_offline(alice);
    (void)phone_call(bob, SOTTO_OP_SHOWN, m.hex, NULL);
    world_settle(&w);
    relay_restore(&w, "old", true);
    world_settle(&w);
    phone_online(alice);
    world_settle(&w);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
}

/* She was put back to a copy in which it was delivered, and all sessions are new. */
static void a_receipt_that_did_not_open_is_given_again(void **state)
{
    struct said m;

    bob->confirms = false;
    m = phone_say(alice, "bob", "have you read this?", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_DELIVERED);
    phone_save(alice, "delivered");
    (void)phone_say(bob, "alice", "what the copy lacks", SOTTO_WAIT_STORED);
    world_settle(&w);
    phone_offline(alice);
    (void)phone_call(bob, SOTTO_OP_SHOWN, m.hex, NULL);
    world_settle(&w);
    phone_restore(alice, "delivered");
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_DELIVERED);
    phone_online(alice);
    world_settle(&w);
    assert_int_equal(phone_notices(alice, "older copy"), 1);
    assert_true(phone_quarantined(alice) > 0);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
}

/* Somebody who asks for what nobody knows gets what one envelope holds, once in a minute. */
static void who_asks_for_receipts_without_end_gets_few(void **state)
{
    struct watch x;

    (void)read_while_she_is_away();
    watch(&x, bob, alice);
    x.forgets = true;
    phone_online(alice);
    world_pass(&w, 30 * MINUTE);
    assert_in_range(x.comes, 25, 35); /* and each was asked for */
    assert_in_range(submits(&x), 25, 35);
    x.forgets = false;
    w.carry = NULL;
}

/* --- rubbish --- */

/* What does not open is noted in quarantine alone, which is bounded. */
static void rubbish_is_not_remembered_for_long(void **state)
{
    enum { COUNT = 40 };
    struct watch x;

    watch(&x, NULL, bob);
    x.rubbish = true;
    for (int i = 0; i < COUNT; i++)
        (void)phone_say(alice, "bob", "altered on its way", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(x.count, COUNT);
    assert_int_equal(phone_quarantined(bob), COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(sotto_seen_known(bob->profile, x.ids[i]), SOTTO_OK);
        assert_int_equal(sotto_seen_note(bob->profile, x.ids[i], w.env.now), SOTTO_OK);
    }
    w.carry = NULL;
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_stranger_is_asked_for_the_rest_in_the_next_hours, setup_stranger),
        T(a_new_process_knows_what_is_still_to_be_asked_for, setup_stranger),
        T(whoever_is_accepted_is_asked_for_all, setup_stranger),
        T(whoever_is_blocked_is_asked_for_nothing, setup_stranger),
        T(receipts_are_given_again_after_the_relay_was_restored, setup),
        T(read_is_said_again_after_the_relay_was_restored, setup),
        T(a_receipt_that_did_not_open_is_given_again, setup),
        T(who_asks_for_receipts_without_end_gets_few, setup),
        T(rubbish_is_not_remembered_for_long, setup),
        T(receipts_that_may_not_go_hold_up_no_others, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
