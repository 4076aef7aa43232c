/* SPDX-License-Identifier: Apache-2.0 */
/* Submits: whom they reach, what allows them, in how many frames they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "relay_rig.h"

static struct rig r;
static struct dev alice, bob;
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

/* --- lists --- */

static void test_list_version(void **state)
{
    struct sotto_request q;
    struct sotto_answer *answer;

    dev_list(&bob, (const struct dev *const[]){&bob}, 1, 1);
    assert_int_equal(send_list(&b, &bob), 0);
    q = submit_to(&bob, "hello", 1);
    q.u.submit.list_version = 1;
    answer = client_ask(&a, &q);
    assert_int_equal(answer->type, SOTTO_ANS_ERROR);
    assert_int_equal(answer->u.error.code, SOTTO_RELAY_LIST_CHANGED);
    assert_int_equal(answer->u.error.list_count, 1);
    assert_int_equal(answer->u.error.lists[0].n, bob.list_len);
    assert_memory_equal(answer->u.error.lists[0].p, bob.list, bob.list_len);
    sotto_answer_free(answer);
    client_quiet(&b);
    /* Newer than the relay's: it was restored from a backup. Nothing that it could give. */
    q.u.submit.list_version = 9;
    answer = client_ask(&a, &q);
    assert_int_equal(answer->u.error.code, SOTTO_RELAY_LIST_CHANGED);
    assert_int_equal(answer->u.error.list_count, 0);
    sotto_answer_free(answer);
    client_quiet(&b);
}

static void test_no_such_recipient(void **state)
{
    struct sotto_request q = submit_to(&bob, "hello", 1);

    strcpy(q.u.submit.to, "nobody");
    assert_int_equal(submit(&a, &q), -SOTTO_RELAY_UNKNOWN_ACCOUNT);
    q = submit_to(&bob, "hello", 1);
    q.u.submit.parcels[0].device ^= 1;
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_GONE);
}

/* --- several devices, several frames --- */

static void test_submit_in_frames(void **state)
{
    static char one[65536], two[65536];
    struct sotto_request q;
    struct sotto_answer *answer;
    struct dev second;

    memset(one, '1', sizeof one - 1);
    memset(two, '2', sizeof two - 1);
    dev_add(&r, &bob, &b, &second, &c);
    token_set(&b, 7, true);
    q = with_token(submit_to(&bob, one, 1), 7);
    q.u.submit.more = true;
    client_send(&a, &q);
    rig_turn(&r);
    client_quiet(&a); /* no answer, and nothing was applied */
    client_quiet(&b);
    {
        struct sotto_request ping = {.type = SOTTO_REQ_PING}; /* in between is fine */

        assert_int_equal(client_try(&a, &ping), 0);
    }
    q = with_token(submit_to(&second, two, 1), 7);
    q.u.submit.list_version = bob.parsed.version;
    answer = client_ask(&a, &q);
    assert_int_equal(answer->type, SOTTO_ANS_SUBMITTED);
    assert_int_equal(answer->u.submitted.count, 2);
    assert_int_equal(answer->u.submitted.results[0].device, bob.p.device.id);
    assert_int_equal(answer->u.submitted.results[0].state, SOTTO_PARCEL_STORED);
    assert_int_equal(answer->u.submitted.results[1].state, SOTTO_PARCEL_STORED);
    sotto_answer_free(answer);
    expect_deliver(&b, one);
    expect_deliver(&c, two);
    client_free(&c);
}

static void test_frames_that_do_not_fit(void **state)
{
    struct sotto_request q;

    token_set(&b, 7, true);
    /* Another recipient in the second frame: nothing of it is applied, answered at the end. */
    q = with_token(submit_to(&bob, "first part", 1), 7);
    q.u.submit.more = true;
    client_send(&a, &q);
    q = with_token(submit_to(&alice, "second part", 1), 7);
    q.u.submit.more = true;
    client_send(&a, &q);
    rig_turn(&r);
    client_quiet(&a);
    q = with_token(submit_to(&bob, "third part", 1), 7);
    assert_int_equal(submit(&a, &q), -SOTTO_RELAY_BAD_REQUEST);
    client_quiet(&b);
    /* One device twice. */
    q = with_token(submit_to(&bob, "first part", 2), 7);
    q.u.submit.more = true;
    client_send(&a, &q);
    q = with_token(submit_to(&bob, "second part", 2), 7);
    assert_int_equal(submit(&a, &q), -SOTTO_RELAY_BAD_REQUEST);
    client_quiet(&b);
    /* More devices than there can be. */
    for (uint64_t i = 0; i <= SOTTO_DEVICES_MAX; i++) {
        q = with_token(submit_to(&bob, "part", 3), 7);
        q.u.submit.parcels[0].device = i;
        q.u.submit.more = i < SOTTO_DEVICES_MAX;
        if (q.u.submit.more)
            client_send(&a, &q);
    }
    assert_int_equal(submit(&a, &q), -SOTTO_RELAY_TOO_LARGE);
    assert_int_equal(say("fine", 4), SOTTO_PARCEL_STORED);
    expect_deliver(&b, "fine");
}

/* --- consent --- */

static void test_token_or_request(void **state)
{
    struct sotto_request q = submit_to(&bob, "a request", 1);
    struct sotto_answer *answer;

    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    answer = client_push(&b, SOTTO_ANS_DELIVER);
    assert_true(answer->u.deliver.request);
    sotto_answer_free(answer);
    /* A token that bob does not know is none. */
    assert_int_equal(say("still a request", 1), SOTTO_PARCEL_STORED);
    answer = client_push(&b, SOTTO_ANS_DELIVER);
    assert_true(answer->u.deliver.request);
    sotto_answer_free(answer);
    token_set(&b, 7, true);
    assert_int_equal(say("accepted", 1), SOTTO_PARCEL_STORED);
    answer = client_push(&b, SOTTO_ANS_DELIVER);
    assert_false(answer->u.deliver.request);
    sotto_answer_free(answer);
    /* Blocked: she is not told, and it is a request again. */
    token_set(&b, 7, false);
    assert_int_equal(say("blocked", 1), SOTTO_PARCEL_STORED);
    answer = client_push(&b, SOTTO_ANS_DELIVER);
    assert_true(answer->u.deliver.request);
    sotto_answer_free(answer);
    /* The lane stays with the envelope. */
    rig_crash(&r);
    dev_connect(&r, &bob, &b, 0);
    for (int i = 0; i < 4; i++) {
        answer = client_push(&b, SOTTO_ANS_DELIVER);
        assert_int_equal(answer->u.deliver.request, i != 2);
        sotto_answer_free(answer);
    }
    dev_connect(&r, &alice, &a, 0);
}

static int request(struct client *from, unsigned i, uint32_t lane)
{
    struct sotto_request q;
    char text[32];

    snprintf(text, sizeof text, "request %u", i);
    q = submit_to(&bob, text, lane);
    return submit(from, &q);
}

static void test_request_lane_is_small(void **state)
{
    struct client conn;
    struct dev d;
    char name[16];

    client_free(&b);
    token_set(&a, 1, true);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(request(&a, i, 1), SOTTO_PARCEL_STORED);
    assert_int_equal(request(&a, 8, 1), SOTTO_PARCEL_QUOTA);
    for (unsigned k = 0; k < 3; k++) {
        snprintf(name, sizeof name, "stranger%u", k);
        dev_join(&r, &d, &conn, name);
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(request(&conn, 100 + k * 8 + i, 1), SOTTO_PARCEL_STORED);
        client_free(&conn);
    }
    dev_join(&r, &d, &conn, "late");
    assert_int_equal(request(&conn, 500, 1), SOTTO_PARCEL_FULL);
    client_free(&conn);
    /* Those whom bob accepted have their own room. */
    dev_connect(&r, &bob, &b, 0);
    token_set(&b, 7, true);
    assert_int_equal(say("from a contact", 2), SOTTO_PARCEL_STORED);
    ack(&b, expect_deliver(&b, "request 0"));
    assert_int_equal(request(&a, 9, 2), SOTTO_PARCEL_STORED);
}

static void test_requests_per_hour(void **state)
{
    struct sotto_answer *answer;
    struct sotto_request q;
    unsigned stored = 0;
    uint64_t seq = 0;

    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(request(&a, i, 1), SOTTO_PARCEL_STORED);
        answer = client_push(&b, SOTTO_ANS_DELIVER);
        seq = answer->u.deliver.seq;
        sotto_answer_free(answer);
        ack(&b, seq);
        stored++;
    }
    assert_int_equal(stored, 60);
    q = submit_to(&bob, "too many", 1);
    answer = client_ask(&a, &q);
    assert_int_equal(answer->type, SOTTO_ANS_ERROR);
    assert_int_equal(answer->u.error.code, SOTTO_RELAY_TOO_MANY);
    assert_true(answer->u.error.retry_ms > 0 && answer->u.error.retry_ms <= 3600 * 1000);
    sotto_answer_free(answer);
    /* Contacts are not strangers. */
    token_set(&b, 7, true);
    assert_int_equal(say("contact", 2), SOTTO_PARCEL_STORED);
    r.env.mono += 3600 * 1000;
    assert_int_equal(request(&a, 100, 2), SOTTO_PARCEL_STORED);
}

/* --- ephemeral --- */

static void test_ephemeral(void **state)
{
    struct sotto_request q = with_token(submit_to(&bob, "typing", 0), 7);
    struct sotto_answer *answer;

    q.u.submit.ephemeral = true;
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_GONE); /* not accepted: not even told whether */
    client_quiet(&b);
    token_set(&b, 7, true);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    answer = client_push(&b, SOTTO_ANS_EPHEMERAL);
    assert_memory_equal(answer->u.ephemeral.envelope.p, "typing", 6);
    sotto_answer_free(answer);
    q.u.submit.has_token = false;
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_GONE);
    q = with_token(q, 7);
    client_free(&b);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_GONE);
    dev_connect(&r, &bob, &b, 0);
    client_quiet(&b); /* never stored */
    b.deaf = true;
    b.pending = 1024 * 1024;
    sotto_relay_sent(b.conn, b.pending);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_GONE); /* does not take it: dropped */
}

static void test_ephemeral_to_own_devices(void **state)
{
    struct sotto_request q;
    struct dev second;

    dev_add(&r, &alice, &a, &second, &c);
    q = submit_to(&second, "read up to here", 0);
    q.u.submit.list_version = alice.parsed.version;
    q.u.submit.ephemeral = true;
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    sotto_answer_free(client_push(&c, SOTTO_ANS_EPHEMERAL));
    client_free(&c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_list_version),
        CASE(test_no_such_recipient),
        CASE(test_submit_in_frames),
        CASE(test_frames_that_do_not_fit),
        CASE(test_token_or_request),
        CASE(test_request_lane_is_small),
        CASE(test_requests_per_hour),
        CASE(test_ephemeral),
        CASE(test_ephemeral_to_own_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
