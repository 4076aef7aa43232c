/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: a one-time key is handed to one asker, durably removed before it leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "relay_rig.h"

#define HOUR_MS (3600 * 1000ull)

static struct rig r;
static struct dev alice, bob, carol;
static struct client a, b, c;
static struct prekey_page page;

static int setup(void **state)
{
    rig_make(&r);
    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    dev_join(&r, &carol, &c, "carol");
    return 0;
}

static int teardown(void **state)
{
    client_free(&a);
    client_free(&b);
    client_free(&c);
    rig_free(&r);
    return 0;
}

/* Bob's keys; returns how many the relay has. */
static uint32_t upload(struct sotto_request *q)
{
    struct sotto_answer *answer = client_ask(&b, q);
    uint32_t left;

    assert_int_equal(answer->type, SOTTO_ANS_PREKEYS_KEPT);
    left = answer->u.prekeys_kept.one_time_left;
    sotto_answer_free(answer);
    return left;
}

static uint32_t upload_new(size_t count)
{
    struct sotto_request q = dev_prekeys(&r, &bob, &page, count);

    return upload(&q);
}

/* Id of the one-time key that comes with bob's bundle, 0: none. */
static uint32_t bundle(struct client *asker)
{
    struct sotto_request q = {.type = SOTTO_REQ_GET_BUNDLE};
    struct sotto_answer *answer;
    struct sotto_prekey key = {.id = 0};

    strcpy(q.u.get_bundle.name, "bob");
    q.u.get_bundle.device = bob.p.device.id;
    answer = client_ask(asker, &q);
    assert_int_equal(answer->type, SOTTO_ANS_BUNDLE);
    assert_memory_equal(answer->u.bundle.signed_prekey.p, bob.p.signed_prekey.bytes,
                        SOTTO_PREKEY_BYTES);
    if (answer->u.bundle.one_time.n > 0) {
        assert_int_equal(
            sotto_prekey_parse(answer->u.bundle.one_time.p, answer->u.bundle.one_time.n, &key), 0);
        assert_int_equal(sotto_prekey_verify(&key, &bob.p.device), 0);
    }
    sotto_answer_free(answer);
    return key.id;
}

static void test_one_asker_one_key(void **state)
{
    uint32_t first, second;

    assert_int_equal(bundle(&a), 0); /* the signed key alone is enough to begin */
    assert_int_equal(upload_new(2), 2);
    first = bundle(&a);
    assert_int_equal(first, 100);
    assert_int_equal(bundle(&a), first); /* its answer was lost */
    second = bundle(&c);
    assert_int_equal(second, 101);
    assert_int_equal(bundle(&a), first);
    client_free(&a); /* the same account on another connection */
    dev_connect(&r, &alice, &a, 0);
    assert_int_equal(bundle(&a), first);
    /* A day later it is another one; here none is left. */
    r.env.now += 24 * HOUR_MS;
    assert_int_equal(bundle(&a), 0);
    assert_int_equal(upload_new(1), 1);
    assert_int_equal(bundle(&a), 102);
}

static void test_removal_is_durable_before_it_leaves(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_GET_BUNDLE};

    assert_int_equal(upload_new(2), 2);
    strcpy(q.u.get_bundle.name, "bob");
    q.u.get_bundle.device = bob.p.device.id;
    while (client_push(&b, 0) != NULL) /* low on keys */
        continue;
    client_send(&a, &q);
    client_quiet(&a); /* not before the commit */
    rig_turn(&r);
    rig_crash(&r); /* killed between commit and answer: the key is gone, never given twice */
    dev_connect(&r, &carol, &c, 0);
    dev_connect(&r, &alice, &a, 0);
    dev_connect(&r, &bob, &b, 0);
    assert_int_equal(bundle(&c), 101);
}

static void test_a_page_sent_again(void **state)
{
    struct sotto_request q = dev_prekeys(&r, &bob, &page, 3);

    assert_int_equal(upload(&q), 3);
    assert_int_equal(bundle(&a), 100);
    assert_int_equal(upload(&q), 2); /* the one that is out does not come back */
    assert_int_equal(bundle(&c), 101);
    q.u.put_prekeys.replace = true;
    assert_int_equal(upload(&q), 0);
    assert_int_equal(bundle(&a), 0); /* and what was handed out before is forgotten */
}

static void test_replace(void **state)
{
    struct sotto_request q;

    assert_int_equal(upload_new(5), 5);
    assert_int_equal(bundle(&a), 100);
    bob.p.party.generation = 2;
    person_prekeys(&r.env.env, &bob.p);
    bob.next_key = 1;
    q = dev_prekeys(&r, &bob, &page, 3);
    q.u.put_prekeys.replace = true;
    q.u.put_prekeys.signed_prekey =
        (struct sotto_bytes){bob.p.signed_prekey.bytes, SOTTO_PREKEY_BYTES};
    assert_int_equal(upload(&q), 3);
    assert_int_equal(bundle(&a), 1);
    assert_int_equal(bundle(&c), 2);
}

static void test_wrong_keys_are_refused_whole(void **state)
{
    struct sotto_request q = dev_prekeys(&r, &bob, &page, 3);
    uint8_t altered[SOTTO_PREKEY_BYTES];

    memcpy(altered, page.keys[2].bytes, sizeof altered);
    altered[40] ^= 1;
    q.u.put_prekeys.one_time[2].p = altered;
    assert_int_equal(client_try(&b, &q), SOTTO_RELAY_BAD_REQUEST);
    assert_int_equal(bundle(&a), 0);
    q.u.put_prekeys.one_time[2].p = alice.p.one_time.bytes; /* another device's */
    assert_int_equal(client_try(&b, &q), SOTTO_RELAY_BAD_REQUEST);
    q.u.put_prekeys.one_time[2].p = bob.p.signed_prekey.bytes; /* the wrong kind */
    assert_int_equal(client_try(&b, &q), SOTTO_RELAY_BAD_REQUEST);
    q.u.put_prekeys.one_time[2].p = page.keys[2].bytes;
    q.u.put_prekeys.signed_prekey = (struct sotto_bytes){page.keys[0].bytes, SOTTO_PREKEY_BYTES};
    assert_int_equal(client_try(&b, &q), SOTTO_RELAY_BAD_REQUEST);
    q.u.put_prekeys.signed_prekey.n = 0;
    assert_int_equal(upload(&q), 3);
}

static void test_at_most_two_hundred(void **state)
{
    for (uint32_t i = 1; i <= 6; i++) {
        assert_int_equal(upload_new(32), 32 * i);
        rig_pass(&r, 1000);
    }
    assert_int_equal(upload_new(32), 200);
}

static void test_low(void **state)
{
    struct sotto_answer *answer;
    uint32_t left = 21;

    assert_int_equal(upload_new(21), 21);
    /* Each asker takes one. */
    for (int i = 0; i < 3; i++, left--) {
        struct client conn;
        struct dev d;
        char name[16];

        snprintf(name, sizeof name, "asker%d", i);
        dev_join(&r, &d, &conn, name);
        assert_int_equal(bundle(&conn), 100 + i);
        client_free(&conn);
        if (left - 1 != 19)
            client_quiet(&b);
        else {
            answer = client_push(&b, SOTTO_ANS_PREKEYS_LOW);
            assert_int_equal(answer->u.prekeys_kept.one_time_left, 19);
            sotto_answer_free(answer);
        }
    }
    /* Filled up and low again: it is told again. */
    assert_int_equal(upload_new(2), 20);
    assert_int_equal(bundle(&a), 103);
    sotto_answer_free(client_push(&b, SOTTO_ANS_PREKEYS_LOW));
}

static void test_no_bundle(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_GET_BUNDLE};

    strcpy(q.u.get_bundle.name, "nobody");
    assert_int_equal(client_try(&a, &q), SOTTO_RELAY_UNKNOWN_ACCOUNT);
    strcpy(q.u.get_bundle.name, "bob");
    q.u.get_bundle.device = bob.p.device.id ^ 1;
    assert_int_equal(client_try(&a, &q), SOTTO_RELAY_UNKNOWN_DEVICE);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_one_asker_one_key),
        CASE(test_removal_is_durable_before_it_leaves),
        CASE(test_a_page_sent_again),
        CASE(test_replace),
        CASE(test_wrong_keys_are_refused_whole),
        CASE(test_at_most_two_hundred),
        CASE(test_low),
        CASE(test_no_bundle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
