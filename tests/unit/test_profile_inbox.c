/* SPDX-License-Identifier: Apache-2.0 */
/* The profile's store: envelopes that came, those that did not open, and receipts that are due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "profile_rig.h"
#include "sotto/sotto.h"

static struct folder dir;
static struct sotto_profile *p;

static int setup(void **state)
{
    profile_rig_make(&dir, &p);
    return 0;
}

static int teardown(void **state)
{
    profile_rig_free(&dir, p);
    return 0;
}

static void reopen(void)
{
    profile_rig_reopen(&dir, &p);
}

static enum sotto_err collect_name(void *ctx, const char *name)
{
    strcat(ctx, name);
    strcat(ctx, " ");
    return SOTTO_OK;
}

/* --- what was processed --- */

static void envelopes_are_noticed_once(void **state)
{
    assert_int_equal(sotto_seen_note(p, id_of(1), 100), 0);
    assert_int_equal(sotto_seen_note(p, id_of(2), 200), 0);
    reopen();
    assert_int_equal(sotto_seen_note(p, id_of(1), 300), SOTTO_ERR_REPLAY);
    assert_int_equal(sotto_seen_sweep(p, 200), 0);
    assert_int_equal(sotto_seen_note(p, id_of(2), 300), SOTTO_ERR_REPLAY);
    assert_int_equal(sotto_seen_note(p, id_of(1), 300), 0);
    assert_int_equal(sotto_seen_sweep(p, (uint64_t)0 - 1000), 0); /* a clock that is far behind */
    assert_int_equal(sotto_seen_note(p, id_of(2), 300), SOTTO_ERR_REPLAY);
}

static void what_lies_in_quarantine_is_known(void **state)
{
    assert_int_equal(sotto_seen_known(p, id_of(1)), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_seen_note(p, id_of(1), 100), 0);
    assert_int_equal(sotto_quarantine_add(p, id_of(2), "small", 5, "no session", 1), 0);
    reopen();
    assert_int_equal(sotto_seen_known(p, id_of(1)), 0);
    assert_int_equal(sotto_seen_known(p, id_of(2)), 0);
    assert_int_equal(sotto_seen_known(p, id_of(3)), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_seen_sweep(p, 200), 0);
    assert_int_equal(sotto_seen_known(p, id_of(1)), SOTTO_ERR_NOT_FOUND);
}

/* Many at one moment, as a relay could make them: the oldest go, whatever the clock says. */
static void envelopes_that_are_remembered_are_bounded(void **state)
{
    enum { BOUND = 128 * 1024, SOME = 1024 };
    unsigned known = 0;

    assert_int_equal(sotto_profile_begin(p), 0);
    assert_int_equal(sotto_seen_note(p, id_of(0), 1), 0);
    for (unsigned i = 1; i < BOUND + 3 * SOME; i++)
        assert_int_equal(sotto_seen_note(p, id_of(i), 100), 0);
    assert_int_equal(sotto_profile_commit(p), 0);
    assert_int_equal(sotto_seen_known(p, id_of(0)), SOTTO_ERR_NOT_FOUND);
    for (unsigned i = 1; i < BOUND + 3 * SOME; i++)
        known += sotto_seen_known(p, id_of(i)) == SOTTO_OK;
    assert_true(known >= BOUND - SOME && known <= BOUND + SOME);
    /* A process that starts anew trims at once. */
    reopen();
    assert_int_equal(sotto_seen_note(p, id_of(0), 200), 0);
    assert_int_equal(sotto_seen_known(p, id_of(0)), 0);
}

/* --- what did not open --- */

static uint32_t quarantined(void)
{
    uint32_t n = 0;

    assert_int_equal(sotto_quarantine_count(p, &n), 0);
    return n;
}

/* The oldest go, some at a time. */
static void quarantine_is_bounded(void **state)
{
    static uint8_t big[SOTTO_ENVELOPE_MAX + 1];

    assert_int_equal(quarantined(), 0);
    assert_int_equal(sotto_quarantine_add(p, id_of(0), big, sizeof big, "x", 1),
                     SOTTO_ERR_TOO_LARGE);
    assert_int_equal(sotto_profile_begin(p), 0);
    for (unsigned i = 0; i < 600; i++) {
        assert_int_equal(sotto_quarantine_add(p, id_of(i), "small", 5, "no session", i), 0);
        assert_in_range(quarantined(), i < 256 ? i + 1 : 224, i < 256 ? i + 1 : 256);
        assert_int_equal(sotto_seen_known(p, id_of(i)), 0);
        assert_int_equal(sotto_seen_known(p, id_of(i > 200 ? i - 200 : 0)), 0);
    }
    assert_int_equal(sotto_seen_known(p, id_of(600 - 257)), SOTTO_ERR_NOT_FOUND);
    /* The same once more takes no second place. */
    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(sotto_quarantine_add(p, id_of(599), "small", 5, "no session", 1), 0);
    assert_int_equal(sotto_seen_known(p, id_of(598)), 0);
    /* Sixty-four of the largest are 4 MiB: for each one more, the small ones have gone. */
    for (unsigned i = 1000; i < 1200; i++) {
        assert_int_equal(sotto_quarantine_add(p, id_of(i), big, SOTTO_ENVELOPE_MAX, "x", i), 0);
        assert_int_equal(sotto_seen_known(p, id_of(i)), 0);
        if (i > 1064)
            assert_in_range(quarantined(), 50, 64);
    }
    assert_int_equal(sotto_quarantine_add(p, id_of(2000), "small", 5, "x", 1), 0);
    assert_int_equal(sotto_seen_known(p, id_of(2000)), 0);
    assert_int_equal(sotto_profile_commit(p), 0);
}

struct lost {
    char text[64];
};

/* "device:envelope ..." of up to so many that are taken. */
static const char *taken(const char *sender, unsigned most)
{
    static struct lost l;
    struct sotto_unasked next;
    size_t at = 0;
    enum sotto_err e = SOTTO_OK;

    l.text[0] = '\0';
    for (unsigned i = 0; i < most && (e = sotto_unasked_take(p, sender, &next)) == SOTTO_OK; i++)
        at += (size_t)snprintf(l.text + at, sizeof l.text - at, "%llu:%u ",
                               (unsigned long long)next.device, sotto_get_u32(next.envelope_id));
    assert_true(e == SOTTO_OK || e == SOTTO_ERR_NOT_FOUND);
    return l.text;
}

static void what_is_to_be_asked_for_waits_in_order(void **state)
{
    char names[64] = "";

    assert_string_equal(taken("bob", 9), "");
    assert_int_equal(sotto_unasked_add(p, "bob", 7, id_of(3), 100), 0);
    assert_int_equal(sotto_unasked_add(p, "bob", UINT64_MAX, id_of(1), 200), 0);
    assert_int_equal(sotto_unasked_add(p, "eve", 9, id_of(2), 300), 0);
    assert_int_equal(sotto_unasked_add(p, "bob", 7, id_of(3), 400), 0); /* once */
    assert_int_equal(sotto_unasked_add(p, "bob", 8, id_of(4), 500), 0);
    reopen();
    assert_int_equal(sotto_unasked_senders(p, collect_name, names), 0);
    assert_string_equal(names, "bob eve ");
    assert_string_equal(taken("bob", 2), "7:3 18446744073709551615:1 ");
    assert_string_equal(taken("bob", 9), "8:4 ");
    assert_string_equal(taken("bob", 9), "");
    assert_int_equal(sotto_unasked_add(p, "bob", 7, id_of(5), 250), 0);
    assert_int_equal(sotto_unasked_sweep(p, 300), 0);
    assert_string_equal(taken("bob", 9), "");
    assert_int_equal(sotto_unasked_drop(p, "eve"), 0);
    assert_string_equal(taken("eve", 9), "");
}

/* Whoever floods pushes out what is his, or whom he claims to be. */
static void what_is_to_be_asked_for_is_bounded(void **state)
{
    unsigned left = 0;
    struct sotto_unasked next;

    assert_int_equal(sotto_profile_begin(p), 0);
    assert_int_equal(sotto_unasked_add(p, "bob", 1, id_of(1), 1), 0);
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(sotto_unasked_add(p, i % 3 == 0 ? "mallory" : "eve", 2, id_of(100 + i), i),
                         0);
    assert_int_equal(sotto_unasked_add(p, "carol", 3, id_of(2), 1), 0);
    assert_int_equal(sotto_profile_commit(p), 0);
    assert_string_equal(taken("bob", 9), "1:1 ");
    assert_string_equal(taken("carol", 9), "3:2 ");
    while (sotto_unasked_take(p, "eve", &next) == SOTTO_OK)
        left++;
    assert_int_equal(sotto_get_u32(next.envelope_id), 100 + 2999); /* its newest are kept */
    while (sotto_unasked_take(p, "mallory", &next) == SOTTO_OK)
        left++;
    assert_int_equal(left, 1024 - 2);
}

/* --- receipts --- */

static void receipts_are_due_once(void **state)
{
    static uint8_t ids[SOTTO_RECEIPT_IDS][SOTTO_CONTENT_ID];
    char names[64] = "";
    size_t n = 9;

    assert_int_equal(sotto_due_take(p, "bob", SOTTO_RECEIPT_READ, ids, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(sotto_profile_begin(p), 0);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(sotto_due_add(p, "bob", id_of(i), SOTTO_RECEIPT_DELIVERED), 0);
    assert_int_equal(sotto_profile_commit(p), 0);
    assert_int_equal(sotto_due_add(p, "bob", id_of(0), SOTTO_RECEIPT_DELIVERED), 0);
    assert_int_equal(sotto_due_add(p, "bob", id_of(5), SOTTO_RECEIPT_READ), 0);
    assert_int_equal(sotto_due_add(p, "bob", id_of(5), SOTTO_RECEIPT_DELIVERED), 0);
    assert_int_equal(sotto_due_add(p, "eve", id_of(5), SOTTO_RECEIPT_DELIVERED), 0);
    reopen();
    assert_int_equal(sotto_due_peers(p, collect_name, names), 0);
    assert_string_equal(names, "bob eve ");
    assert_int_equal(sotto_due_take(p, "bob", SOTTO_RECEIPT_READ, ids, &n), 0);
    assert_int_equal(n, 1);
    assert_memory_equal(ids[0], id_of(5), 16);
    assert_int_equal(sotto_due_take(p, "bob", SOTTO_RECEIPT_DELIVERED, ids, &n), 0);
    assert_int_equal(n, 256);
    for (unsigned i = 0; i < 256; i++) /* in order, without the one that was read */
        assert_memory_equal(ids[i], id_of(i < 5 ? i : i + 1), 16);
    assert_int_equal(sotto_due_take(p, "bob", SOTTO_RECEIPT_DELIVERED, ids, &n), 0);
    assert_int_equal(n, 300 - 257);
    assert_int_equal(sotto_due_take(p, "bob", SOTTO_RECEIPT_DELIVERED, ids, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(sotto_due_take(p, "eve", SOTTO_RECEIPT_DELIVERED, ids, &n), 0);
    assert_int_equal(n, 1);
    names[0] = '\0';
    assert_int_equal(sotto_due_peers(p, collect_name, names), 0);
    assert_string_equal(names, "");
}

static void add_message(unsigned n, const char *peer, bool shown)
{
    struct sotto_message_record m = {
        .kind = SOTTO_CONTENT_TEXT,
        .state = SOTTO_MESSAGE_RECEIVED,
        .shown = shown,
        .counter = n,
        .received_at_ms = 1000 + n,
    };

    memcpy(m.id, id_of(n), sizeof m.id);
    snprintf(m.peer, sizeof m.peer, "%s", peer);
    snprintf(m.from, sizeof m.from, "%s", peer);
    assert_int_equal(sotto_message_add(p, &m), 0);
}

static void add_contact(const char *name, uint32_t state)
{
    struct sotto_contact_record c = {.state = state};

    snprintf(c.name, sizeof c.name, "%s", name);
    assert_int_equal(sotto_contact_put(p, &c), 0);
}

/* The numbers of those that are due, "read/delivered". */
static const char *due(const char *peer)
{
    static char text[128];
    static uint8_t ids[SOTTO_RECEIPT_IDS][SOTTO_CONTENT_ID];
    size_t at = 0, n;

    for (int state = SOTTO_RECEIPT_READ; state >= SOTTO_RECEIPT_DELIVERED; state--) {
        assert_int_equal(sotto_due_take(p, peer, (enum sotto_receipt_state)state, ids, &n), 0);
        for (size_t i = 0; i < n; i++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%u ", sotto_get_u32(ids[i]));
        at +=
            (size_t)snprintf(text + at, sizeof text - at, state == SOTTO_RECEIPT_READ ? "/ " : "");
    }
    return text;
}

static void receipts_that_may_be_lost_are_due_again(void **state)
{
    struct sotto_message_record ours = {.outgoing = true, .shown = true, .peer = "bob"};
    char names[64] = "";

    add_contact("bob", SOTTO_CONTACT_ACCEPTED);
    add_contact("carol", SOTTO_CONTACT_ACCEPTED);
    add_contact("eve", SOTTO_CONTACT_REQUEST);
    add_contact("mallory", SOTTO_CONTACT_BLOCKED);
    for (unsigned i = 1; i <= 4; i++)
        add_message(i, "bob", i != 3);
    add_message(5, "eve", true);
    add_message(6, "mallory", true);
    add_message(7, "carol", false);
    add_message(8, "nobody", true);
    add_message(9, "bob", true);
    assert_int_equal(sotto_message_delete(p, id_of(9)), 0);
    memcpy(ours.id, id_of(10), sizeof ours.id);
    ours.state = SOTTO_MESSAGE_QUEUED;
    ours.received_at_ms = 5000;
    assert_int_equal(sotto_message_add(p, &ours), 0);
    /* Of accepted contacts, since then; what was said is said again, and what is due stays. */
    assert_int_equal(sotto_due_add(p, "carol", id_of(7), SOTTO_RECEIPT_READ), 0);
    assert_int_equal(sotto_due_again(p, NULL, 1002, 100), 0);
    assert_int_equal(sotto_due_again(p, NULL, 1002, 100), 0);
    assert_int_equal(sotto_due_peers(p, collect_name, names), 0);
    assert_string_equal(names, "bob carol ");
    assert_string_equal(due("bob"), "2 4 / 3 ");
    assert_string_equal(due("carol"), "7 / ");
    /* Of one; the newest. */
    assert_int_equal(sotto_due_again(p, "bob", 0, 2), 0);
    assert_int_equal(sotto_due_again(p, "eve", 0, 9), 0);
    names[0] = '\0';
    assert_int_equal(sotto_due_peers(p, collect_name, names), 0);
    assert_string_equal(names, "bob ");
    assert_string_equal(due("bob"), "4 / 3 ");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(envelopes_are_noticed_once),
        CASE(what_lies_in_quarantine_is_known),
        CASE(envelopes_that_are_remembered_are_bounded),
        CASE(quarantine_is_bounded),
        CASE(what_is_to_be_asked_for_waits_in_order),
        CASE(what_is_to_be_asked_for_is_bounded),
        CASE(receipts_are_due_once),
        CASE(receipts_that_may_be_lost_are_due_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
