/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live path: the answer to a submit comes when the device has acknowledged, or after 50 ms from
 * the disk; whoever goes away meanwhile, whatever the disk does, nothing that was answered is lost
 * and nothing overtakes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sqlcipher/sqlite3.h>

#include "faulty_vfs.h"
#include "relay_rig.h"
#define person person_known /* people.h has one too */
#include "relay/core.h"
#undef person

static struct rig r;
static struct dev alice, bob, carol;
static struct client a, b, c;
/* Answers to alice that nobody has asked about yet; those of one turn come in any order. */
static struct {
    uint32_t id;
    int state; /* of the first device; -code: refused */
} answers[64];
static size_t answer_count;

static int setup(void **state)
{
    faulty_reset();
    answer_count = 0;
    rig_make_on(&r, "faulty");
    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    token_set(&b, 7, true);
    rig_pass(&r, 1); /* the sweep of the start is over */
    return 0;
}

static int teardown(void **state)
{
    client_free(&a);
    client_free(&b);
    rig_free(&r);
    return 0;
}

static struct sotto_request to_bob(const char *text, uint32_t lane)
{
    return with_token(submit_to(&bob, text, lane), 7);
}

/* Handed in; the turn is over. Returns the request's id. */
static uint32_t hand_in(const char *text, uint32_t lane)
{
    struct sotto_request q = to_bob(text, lane);
    uint32_t id = client_send(&a, &q);

    rig_turn(&r);
    return id;
}

static void read_answers(void)
{
    struct sotto_answer *answer;

    while ((answer = client_next(&a)) != NULL) {
        assert_true(answer_count < sizeof answers / sizeof answers[0]);
        answers[answer_count].id = answer->id;
        answers[answer_count++].state = answer->type == SOTTO_ANS_ERROR
                                            ? -(int)answer->u.error.code
                                            : (int)answer->u.submitted.results[0].state;
        sotto_answer_free(answer);
    }
}

static void expect_answer(uint32_t id, int state)
{
    read_answers();
    for (size_t i = 0; i < answer_count; i++) {
        if (answers[i].id != id)
            continue;
        assert_int_equal(answers[i].state, state);
        answers[i] = answers[--answer_count];
        return;
    }
    fail_msg("no answer to request %u", id);
}

static void no_answer(void)
{
    read_answers();
    assert_int_equal(answer_count, 0);
}

static enum sotto_err count_place(void *ctx, int64_t row, const struct sotto_rs_place *p)
{
    ++*(size_t *)ctx;
    return SOTTO_OK;
}

static size_t on_disk(void)
{
    size_t n = 0;

    assert_int_equal(sotto_rs_mail_each(r.store, count_place, &n), 0);
    return n;
}

/* The disk takes nothing from now on. */
static void fill_disk(void)
{
    faulty.left = 0;
    faulty.result = SQLITE_FULL;
    faulty.stays = true;
}

static struct box *bobs_box(void)
{
    struct sotto_rs_account account;
    struct sotto_rs_device device;

    assert_int_equal(sotto_rs_account_find(r.store, "bob", &account), 0);
    assert_int_equal(sotto_rs_device_find(r.store, account.id, bob.p.device.id, &device), 0);
    return sotto_relay_box(r.relay, device.box);
}

/* Counts of a box and of the relay's mail are what they are for n waiting envelopes. */
static void expect_waiting(size_t live, size_t stored)
{
    const struct box *box = bobs_box();
    size_t entries = 0, bytes = 0, in_share = 0;

    for (size_t i = 0; i < box->count; i++) {
        entries += box->entries[box->first + i].live != NULL;
        bytes += box->entries[box->first + i].size;
    }
    for (size_t i = 0; i < box->share_count; i++)
        in_share += box->shares[i].bytes[0] + box->shares[i].bytes[1];
    assert_int_equal(box->count, live + stored);
    assert_int_equal(box->live_count, live);
    assert_int_equal(entries, live);
    assert_int_equal(box->lane_count[0] + box->lane_count[1], live + stored);
    assert_int_equal(box->lane_bytes[0] + box->lane_bytes[1], bytes);
    assert_int_equal(in_share, bytes);
    assert_int_equal(r.relay->mail.waiting, stored);
    assert_int_equal(r.relay->mail.ids.count, stored);
    assert_true((r.relay->live_first == NULL) == (live == 0));
}

/* --- when the answer comes --- */

/* The device acknowledges, and nothing else happens in that turn. */
static void acked_alone(uint64_t seq)
{
    struct sotto_request q = {.type = SOTTO_REQ_ACK};

    q.u.ack.seq = seq;
    client_tell(&b, &q);
    rig_turn_unsynced(&r);
}

/* Handed in, delivered and acknowledged. */
static uint32_t hand_over(const char *text)
{
    uint32_t id = hand_in(text, 1);

    acked_alone(expect_deliver(&b, text));
    return id;
}

static void time_passes(uint64_t ms)
{
    r.env.now += ms;
    r.env.mono += ms;
    if (r.env.mono >= sotto_relay_deadline(r.relay))
        sotto_relay_tick(r.relay);
    rig_turn_unsynced(&r);
}

static void test_answer_lingers_for_a_turn(void **state)
{
    uint32_t first = hand_over("one"), second;

    no_answer();
    r.env.mono += LINGER_MS - 1;
    second = hand_over("two"); /* the first answer leaves with it */
    expect_answer(first, SOTTO_PARCEL_STORED);
    no_answer();
    rig_turn_unsynced(&r);
    expect_answer(second, SOTTO_PARCEL_STORED);
}

/* There is no company: not for longer than that, and for a while nobody waits for it. */
static void test_nobody_lingers_in_vain(void **state)
{
    uint32_t id = hand_over("one");

    assert_int_equal(sotto_relay_deadline(r.relay), r.env.mono + LINGER_MS);
    no_answer();
    time_passes(LINGER_MS);
    expect_answer(id, SOTTO_PARCEL_STORED);
    expect_answer(hand_over("two"), SOTTO_PARCEL_STORED);
    time_passes(PROMPT_MS - 1);
    expect_answer(hand_over("three"), SOTTO_PARCEL_STORED);
    time_passes(1);
    (void)hand_over("four");
    no_answer();
}

/* Answers of one turn leave together, and a refusal at once. */
static void test_refusals_do_not_linger(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_ACK};
    uint32_t first = hand_in("one", 1), second = hand_in("two", 1);

    q.u.ack.seq = expect_deliver(&b, "one");
    client_tell(&b, &q);
    fill_disk();
    time_passes(LIVE_MS);
    faulty_reset();
    expect_answer(first, SOTTO_PARCEL_STORED);
    expect_answer(second, -SOTTO_RELAY_UNAVAILABLE);
}

static void test_stopped_while_lingering(void **state)
{
    uint32_t id = hand_over("one");

    sotto_relay_shutdown(r.relay);
    rig_turn(&r);
    expect_answer(id, SOTTO_PARCEL_STORED);
    rig_restart(&r);
    dev_connect(&r, &alice, &a, 0);
    dev_connect(&r, &bob, &b, 0);
    client_quiet(&b);
}

static void test_sender_goes_while_it_lingers(void **state)
{
    (void)hand_over("one");
    assert_non_null(r.relay->lingering);
    client_free(&a);
    rig_turn_unsynced(&r);
    assert_null(r.relay->lingering);
    dev_connect(&r, &alice, &a, 0);
    client_quiet(&a);
    (void)hand_over("two");
    assert_non_null(r.relay->lingering); /* freed with the relay */
    rig_crash(&r);
    dev_connect(&r, &alice, &a, 0);
    dev_connect(&r, &bob, &b, 0);
    client_quiet(&b);
}

static void test_acknowledged_costs_no_disk(void **state)
{
    long before = faulty.calls;
    uint32_t id;

    for (int i = 0; i < 20; i++) {
        id = hand_in("hello", 1);
        no_answer();
        expect_waiting(1, 0);
        ack(&b, expect_deliver(&b, "hello"));
        expect_answer(id, SOTTO_PARCEL_STORED);
        expect_waiting(0, 0);
    }
    assert_int_equal(faulty.calls, before);
    rig_pass(&r, LIVE_MS);
    no_answer();
    assert_int_equal(on_disk(), 0);
}

static void test_not_acknowledged_goes_to_disk(void **state)
{
    uint32_t id = hand_in("hello", 1);
    uint64_t seq = expect_deliver(&b, "hello");

    rig_pass(&r, LIVE_MS - 1);
    no_answer();
    assert_int_equal(on_disk(), 0);
    rig_pass(&r, 1);
    expect_answer(id, SOTTO_PARCEL_STORED);
    expect_waiting(0, 1);
    rig_crash(&r);
    dev_connect(&r, &bob, &b, 0);
    assert_int_equal(expect_deliver(&b, "hello"), seq);
    dev_connect(&r, &alice, &a, 0);
}

/* After a long sleep the 50 ms are those of now. */
static void test_after_a_sleep(void **state)
{
    struct sotto_request ping = {.type = SOTTO_REQ_PING};

    rig_pass(&r, 4000);
    assert_int_equal(client_try(&a, &ping), 0);
    r.env.now += 900;
    r.env.mono += 900; /* nothing was due */
    hand_in("hello", 1);
    assert_true(sotto_relay_deadline(r.relay) > r.env.mono);
    rig_pass(&r, LIVE_MS - 1);
    no_answer();
    rig_pass(&r, 1);
    expect_answer(a.id, SOTTO_PARCEL_STORED);
}

static void test_answers_come_in_order(void **state)
{
    uint32_t ids[4];
    uint64_t seq[4];
    char text[16];

    for (unsigned i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "text %u", i);
        ids[i] = hand_in(text, 1);
        seq[i] = expect_deliver(&b, text);
        assert_true(i == 0 || seq[i] > seq[i - 1]);
    }
    ack(&b, seq[1]);
    expect_answer(ids[0], SOTTO_PARCEL_STORED);
    expect_answer(ids[1], SOTTO_PARCEL_STORED);
    no_answer();
    expect_waiting(2, 0);
    rig_pass(&r, LIVE_MS);
    expect_answer(ids[2], SOTTO_PARCEL_STORED);
    expect_answer(ids[3], SOTTO_PARCEL_STORED);
    no_answer();
}

static void test_two_devices_both_acknowledge(void **state)
{
    struct sotto_request q;
    struct dev second;
    struct sotto_answer *answer;
    uint32_t id;

    dev_add(&r, &bob, &b, &second, &c);
    while (client_push(&c, SOTTO_ANS_LIST_CHANGED) != NULL)
        continue;
    q = to_bob("hello", 1);
    q.u.submit.parcels[1] = q.u.submit.parcels[0];
    q.u.submit.parcels[1].device = second.p.device.id;
    q.u.submit.count = 2;
    id = client_send(&a, &q);
    rig_turn(&r);
    ack(&b, expect_deliver(&b, "hello"));
    no_answer();
    ack(&c, expect_deliver(&c, "hello"));
    answer = client_next(&a);
    assert_non_null(answer);
    assert_int_equal(answer->id, id);
    assert_int_equal(answer->u.submitted.count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(answer->u.submitted.results[i].device,
                         i == 0 ? bob.p.device.id : second.p.device.id);
        assert_int_equal(answer->u.submitted.results[i].state, SOTTO_PARCEL_STORED);
    }
    sotto_answer_free(answer);
    assert_int_equal(on_disk(), 0);
    client_free(&c);
}

/* --- somebody goes away --- */

static void test_recipient_goes(void **state)
{
    uint32_t id = hand_in("hello", 1);
    uint64_t seq = expect_deliver(&b, "hello");

    client_free(&b);
    rig_turn(&r);
    no_answer();
    rig_pass(&r, LIVE_MS);
    expect_answer(id, SOTTO_PARCEL_STORED);
    dev_connect(&r, &bob, &b, 0);
    assert_int_equal(expect_deliver(&b, "hello"), seq);
    client_quiet(&b);
}

/* Within the 50 ms: the new connection gets the same again, and its word counts. */
static void test_recipient_comes_back(void **state)
{
    uint32_t id = hand_in("hello", 1), second;
    uint64_t seq = expect_deliver(&b, "hello");

    client_free(&b);
    dev_connect(&r, &bob, &b, 0);
    assert_int_equal(expect_deliver(&b, "hello"), seq);
    no_answer();
    ack(&b, seq);
    expect_answer(id, SOTTO_PARCEL_STORED);
    /* It had committed, and says so at Begin. */
    second = hand_in("again", 1);
    seq = expect_deliver(&b, "again");
    client_free(&b);
    dev_connect(&r, &bob, &b, seq);
    expect_answer(second, SOTTO_PARCEL_STORED);
    client_quiet(&b);
    assert_int_equal(on_disk(), 0);
}

/* The device slept or changed its address: the relay still holds its old connection, half open. */
static void test_recipient_is_replaced(void **state)
{
    uint32_t id = hand_in("hello", 1);
    uint64_t seq = expect_deliver(&b, "hello");

    dev_connect(&r, &bob, &c, 0);
    assert_int_equal(expect_deliver(&c, "hello"), seq);
    expect_closing(&b, SOTTO_CLOSING_REPLACED, NULL);
    no_answer();
    ack(&c, seq);
    expect_answer(id, SOTTO_PARCEL_STORED);
    expect_waiting(0, 0);
    client_free(&c);
}

static void test_sender_goes(void **state)
{
    uint64_t seq;

    hand_in("acknowledged", 1);
    hand_in("stored", 1);
    seq = expect_deliver(&b, "acknowledged");
    expect_deliver(&b, "stored");
    client_free(&a);
    rig_turn(&r);
    ack(&b, seq);
    rig_pass(&r, LIVE_MS);
    expect_waiting(0, 1);
    rig_crash(&r);
    dev_connect(&r, &alice, &a, 0);
    dev_connect(&r, &bob, &b, seq);
    expect_deliver(&b, "stored");
    client_quiet(&b);
    expect_waiting(0, 1);
}

static void test_device_is_removed(void **state)
{
    const struct dev *left[] = {&bob};
    struct sotto_request q;
    struct dev second;
    struct sotto_answer *answer;
    uint32_t id;

    dev_add(&r, &bob, &b, &second, &c);
    q = to_bob("hello", 1);
    q.u.submit.parcels[0].device = second.p.device.id;
    id = client_send(&a, &q);
    rig_turn(&r);
    dev_list(&bob, left, 1, 1);
    assert_int_equal(send_list(&b, &bob), 0);
    /* It is nobody's any more, so there is nothing to wait for. */
    answer = client_next(&a);
    assert_non_null(answer);
    assert_int_equal(answer->id, id);
    sotto_answer_free(answer);
    rig_pass(&r, LIVE_MS);
    assert_int_equal(on_disk(), 0);
    assert_null(r.relay->live_first);
    client_free(&c);
}

/* --- the relay goes --- */

static void test_killed_while_live(void **state)
{
    hand_in("hello", 1);
    no_answer(); /* so the sender knows that it has to send again */
    rig_crash(&r);
    dev_connect(&r, &alice, &a, 0);
    dev_connect(&r, &bob, &b, 0);
    client_quiet(&b);
    hand_in("hello", 1);
    ack(&b, expect_deliver(&b, "hello"));
    client_quiet(&b);
    expect_answer(a.id, SOTTO_PARCEL_STORED);
}

static void test_stopped_while_live(void **state)
{
    uint64_t seq;

    hand_in("hello", 1);
    seq = expect_deliver(&b, "hello");
    sotto_relay_shutdown(r.relay);
    rig_turn(&r);
    rig_restart(&r);
    dev_connect(&r, &alice, &a, 0);
    dev_connect(&r, &bob, &b, 0);
    assert_int_equal(expect_deliver(&b, "hello"), seq);
    client_quiet(&b);
}

/* Freed in the middle, as a process is that ends for another reason: nothing is left behind. */
static void test_freed_while_live(void **state)
{
    struct sotto_request q = to_bob("in a turn", 1);

    hand_in("hello", 1);
    client_send(&a, &q);
    rig_restart(&r);
    dev_connect(&r, &alice, &a, 0);
    dev_connect(&r, &bob, &b, 0);
    client_quiet(&b);
}

/* --- order and room --- */

/* What cannot be live goes to the disk behind what is. */
static void test_stored_stays_behind_live(void **state)
{
    struct sotto_request q;
    struct dev second;
    uint32_t first;
    uint64_t seq;

    dev_add(&r, &bob, &b, &second, &c);
    client_free(&c);
    first = hand_in("one", 1);
    assert_int_equal(on_disk(), 0);
    q = to_bob("two", 1);
    q.u.submit.parcels[1] = q.u.submit.parcels[0];
    q.u.submit.parcels[1].device = second.p.device.id;
    q.u.submit.count = 2;
    client_send(&a, &q);
    rig_turn(&r);
    expect_answer(first, SOTTO_PARCEL_STORED);
    expect_answer(a.id, SOTTO_PARCEL_STORED);
    hand_in("three", 1); /* nor does this one go live before them */
    expect_answer(a.id, SOTTO_PARCEL_STORED);
    rig_crash(&r);
    dev_connect(&r, &bob, &b, 0);
    seq = expect_deliver(&b, "one");
    assert_true(expect_deliver(&b, "two") > seq);
    expect_deliver(&b, "three");
    client_quiet(&b);
    dev_connect(&r, &alice, &a, 0);
}

static void test_bytes_of_a_box(void **state)
{
    static char big[60 * 1024];

    memset(big, 'x', sizeof big - 1);
    for (uint32_t i = 0; i < LIVE_BYTES / sizeof big; i++) {
        big[0] = (char)('0' + i);
        hand_in(big, 1);
        no_answer();
    }
    big[0] = 'z';
    hand_in(big, 1); /* one too many: all of them are stored at once */
    for (uint32_t i = 0; i <= LIVE_BYTES / sizeof big; i++)
        expect_answer(a.id - LIVE_BYTES / (uint32_t)sizeof big + i, SOTTO_PARCEL_STORED);
    expect_waiting(0, LIVE_BYTES / sizeof big + 1);
}

static void test_live_ones_count(void **state)
{
    uint32_t ids[2];

    r.config.quota_messages = 16; /* of which one sender has two */
    rig_configure(&r);
    ids[0] = hand_in("one", 1);
    ids[1] = hand_in("two", 1);
    hand_in("three", 1);
    expect_answer(ids[0], SOTTO_PARCEL_STORED);
    expect_answer(ids[1], SOTTO_PARCEL_STORED);
    expect_answer(a.id, SOTTO_PARCEL_QUOTA);
    expect_deliver(&b, "one");
    ack(&b, expect_deliver(&b, "two"));
    hand_in("three", 2);
    no_answer();
    ack(&b, expect_deliver(&b, "three"));
    expect_answer(a.id, SOTTO_PARCEL_STORED);
    expect_waiting(0, 0);
}

static void test_requests_count(void **state)
{
    struct sotto_request q;

    dev_join(&r, &carol, &c, "carol");
    for (unsigned i = 0; i < REQUEST_SENDER_MAX; i++) {
        q = submit_to(&bob, "may I", 1);
        client_send(&c, &q);
        rig_turn(&r);
        client_quiet(&c);
    }
    q = submit_to(&bob, "one too many", 1);
    assert_int_equal(submit(&c, &q), SOTTO_PARCEL_QUOTA);
    client_free(&c);
}

/* --- the disk does not take it --- */

static void test_full_when_due(void **state)
{
    uint32_t one = hand_in("one", 1), two = hand_in("two", 2);

    expect_deliver(&b, "one");
    fill_disk();
    rig_pass(&r, LIVE_MS);
    expect_answer(one, -SOTTO_RELAY_UNAVAILABLE);
    expect_answer(two, -SOTTO_RELAY_UNAVAILABLE);
    expect_waiting(0, 0);
    faulty_reset();
    /* Nothing overtakes what was refused, until the sender begins anew. */
    hand_in("three", 2);
    expect_answer(a.id, SOTTO_PARCEL_LANE_CLOSED);
    expect_deliver(&b, "two"); /* it had left already: that it comes again harms nobody */
    for (uint32_t i = 0; i < 3; i++) {
        static const char *const again[] = {"one", "two", "three"};

        hand_in(again[i], 3);
        expect_deliver(&b, again[i]);
    }
    rig_pass(&r, LIVE_MS);
    for (uint32_t i = 3; i-- > 0;)
        expect_answer(a.id - i, SOTTO_PARCEL_STORED);
    expect_waiting(0, 3);
    rig_crash(&r);
    dev_connect(&r, &bob, &b, 0);
    expect_deliver(&b, "one");
    expect_deliver(&b, "two");
    expect_deliver(&b, "three");
    client_quiet(&b);
    dev_connect(&r, &alice, &a, 0);
}

/* People who are there talk while nothing can be stored. */
static void test_live_on_a_full_disk(void **state)
{
    struct sotto_request prekeys;
    struct prekey_page page;

    fill_disk();
    hand_in("before", 1);
    prekeys = dev_prekeys(&r, &alice, &page, 1);
    assert_int_equal(client_try(&a, &prekeys), SOTTO_RELAY_UNAVAILABLE);
    ack(&b, expect_deliver(&b, "before"));
    expect_answer(a.id - 1, SOTTO_PARCEL_STORED);
    hand_in("after", 1);
    ack(&b, expect_deliver(&b, "after"));
    expect_answer(a.id, SOTTO_PARCEL_STORED);
    faulty_reset();
    expect_waiting(0, 0);
}

/* Handed in, and in the same turn something else that cannot be stored. */
static void test_undone_turn_keeps_live(void **state)
{
    struct sotto_request q = to_bob("hello", 1), prekeys;
    struct prekey_page page;
    uint32_t id = client_send(&a, &q), refused;

    prekeys = dev_prekeys(&r, &bob, &page, 1);
    refused = client_send(&b, &prekeys);
    fill_disk();
    rig_turn(&r);
    faulty_reset();
    {
        struct sotto_answer *answer = client_next(&b);

        assert_non_null(answer);
        assert_int_equal(answer->id, refused);
        assert_int_equal(answer->type, SOTTO_ANS_ERROR);
        sotto_answer_free(answer);
    }
    no_answer();
    ack(&b, expect_deliver(&b, "hello"));
    expect_answer(id, SOTTO_PARCEL_STORED);
    expect_waiting(0, 0);
}

/* Acknowledged in the very turn in which it goes to the disk, and the disk is full. */
static void test_acknowledged_in_the_undone_turn(void **state)
{
    uint32_t id = hand_in("hello", 1);
    struct sotto_request q = {.type = SOTTO_REQ_ACK};

    q.u.ack.seq = expect_deliver(&b, "hello");
    fill_disk();
    r.env.now += LIVE_MS;
    r.env.mono += LIVE_MS;
    sotto_relay_tick(r.relay);
    client_tell(&b, &q);
    rig_turn(&r);
    faulty_reset();
    expect_answer(id, SOTTO_PARCEL_STORED);
    expect_waiting(0, 0);
}

/* A submit that is stored takes the live ones along; the turn is undone. */
static void test_undone_together(void **state)
{
    struct sotto_request q;
    struct dev second;
    uint32_t live;

    dev_add(&r, &bob, &b, &second, &c);
    client_free(&c);
    live = hand_in("one", 1);
    q = to_bob("two", 1);
    q.u.submit.parcels[1] = q.u.submit.parcels[0];
    q.u.submit.parcels[1].device = second.p.device.id;
    q.u.submit.count = 2;
    fill_disk();
    client_send(&a, &q);
    rig_turn(&r);
    faulty_reset();
    expect_answer(a.id, -SOTTO_RELAY_UNAVAILABLE);
    expect_answer(live, -SOTTO_RELAY_UNAVAILABLE);
    expect_waiting(0, 0);
    hand_in("one", 2);
    q.u.submit.parcels[0].lane = q.u.submit.parcels[1].lane = 2;
    client_send(&a, &q);
    rig_turn(&r);
    expect_answer(a.id - 1, SOTTO_PARCEL_STORED);
    expect_answer(a.id, SOTTO_PARCEL_STORED);
    rig_crash(&r);
    dev_connect(&r, &bob, &b, 0);
    expect_deliver(&b, "one");
    expect_deliver(&b, "two");
    client_quiet(&b);
    dev_connect(&r, &alice, &a, 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_acknowledged_costs_no_disk),
        CASE(test_answer_lingers_for_a_turn),
        CASE(test_nobody_lingers_in_vain),
        CASE(test_refusals_do_not_linger),
        CASE(test_stopped_while_lingering),
        CASE(test_sender_goes_while_it_lingers),
        CASE(test_not_acknowledged_goes_to_disk),
        CASE(test_after_a_sleep),
        CASE(test_answers_come_in_order),
        CASE(test_two_devices_both_acknowledge),
        CASE(test_recipient_goes),
        CASE(test_recipient_comes_back),
        CASE(test_recipient_is_replaced),
        CASE(test_sender_goes),
        CASE(test_device_is_removed),
        CASE(test_killed_while_live),
        CASE(test_stopped_while_live),
        CASE(test_freed_while_live),
        CASE(test_stored_stays_behind_live),
        CASE(test_bytes_of_a_box),
        CASE(test_live_ones_count),
        CASE(test_requests_count),
        CASE(test_full_when_due),
        CASE(test_live_on_a_full_disk),
        CASE(test_undone_turn_keeps_live),
        CASE(test_acknowledged_in_the_undone_turn),
        CASE(test_undone_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
