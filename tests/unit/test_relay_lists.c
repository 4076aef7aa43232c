/* SPDX-License-Identifier: Apache-2.0 */
/* Device lists, removed devices, the end of an account, restores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/proof.h"
#include "relay_rig.h"

static struct rig r;
static struct dev alice, second, bob;
static struct client a, b, c;

static int setup(void **state)
{
    rig_make(&r);
    return 0;
}

static int teardown(void **state)
{
    rig_free(&r);
    return 0;
}

/* --- PutList --- */

static void test_next_list(void **state)
{
    const struct dev *one[] = {&alice};
    struct dev fork;

    dev_join(&r, &alice, &a, "alice");
    fork = alice;
    dev_list(&alice, one, 1, 1);
    assert_int_equal(send_list(&a, &alice), 0);
    assert_int_equal(send_list(&a, &alice), 0); /* its answer was lost */
    client_quiet(&a);
    fork.parsed.time_ms += 99;
    dev_list(&fork, one, 1, 1);
    {
        struct sotto_request q = dev_put_list(&fork);
        struct sotto_answer *answer = client_ask(&a, &q);

        assert_int_equal(answer->u.error.code, SOTTO_RELAY_CONFLICT);
        assert_int_equal(answer->u.error.list_count, 1);
        assert_memory_equal(answer->u.error.lists[0].p, alice.list, alice.list_len);
        sotto_answer_free(answer);
    }
    /* The next number on a history that is not this one. */
    dev_list(&fork, one, 1, 1);
    {
        struct sotto_request q = dev_put_list(&fork);
        struct sotto_answer *answer = client_ask(&a, &q);

        assert_int_equal(answer->u.error.code, SOTTO_RELAY_CONFLICT);
        assert_int_equal(answer->u.error.list_count, 1);
        assert_memory_equal(answer->u.error.lists[0].p, alice.list, alice.list_len);
        sotto_answer_free(answer);
    }
    rig_crash(&r);
    dev_connect(&r, &alice, &a, 0);
    dev_list(&alice, one, 1, 1);
    assert_int_equal(send_list(&a, &alice), 0);
    client_free(&a);
}

static void test_lists_of_others(void **state)
{
    const struct dev *one[] = {&alice};
    struct dev evil;
    size_t at;

    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    dev_list(&alice, one, 1, 1);
    evil = alice; /* another account key than the account's, all of it rightly signed */
    assert_int_equal(sotto_sign_generate(&r.env.env, &evil.p.account_key), 0);
    person_update(&evil.p);
    evil.parsed.account = evil.p.account;
    memcpy(evil.parsed.entries[0], evil.p.entry, SOTTO_ENTRY_BYTES);
    assert_int_equal(sotto_list_sign(&evil.p.account_key, &evil.parsed, evil.list, &evil.list_len),
                     0);
    assert_int_equal(send_list(&a, &evil), SOTTO_RELAY_BAD_REQUEST);
    assert_int_equal(send_list(&b, &evil), SOTTO_RELAY_BAD_REQUEST);
    evil = alice;
    evil.list[10] ^= 1;
    assert_int_equal(send_list(&a, &evil), SOTTO_RELAY_BAD_REQUEST);
    assert_int_equal(send_list(&b, &evil), SOTTO_RELAY_BAD_REQUEST);
    /* Bob's device as one's own: the account signs the list, but the entry names his account. */
    evil = alice;
    at = evil.list_len - SOTTO_SIGNATURE - SOTTO_ENTRY_BYTES;
    assert_memory_equal(evil.list + at, alice.p.entry, SOTTO_ENTRY_BYTES);
    memcpy(evil.list + at, bob.p.entry, SOTTO_ENTRY_BYTES);
    assert_int_equal(sotto_sign(&alice.p.account_key, "device list", evil.list,
                                evil.list_len - SOTTO_SIGNATURE,
                                evil.list + evil.list_len - SOTTO_SIGNATURE),
                     0);
    assert_int_equal(send_list(&a, &evil), SOTTO_RELAY_BAD_REQUEST);
    memcpy(evil.list + at, alice.p.entry, SOTTO_ENTRY_BYTES); /* the same steps make a good one */
    assert_int_equal(sotto_sign(&alice.p.account_key, "device list", evil.list,
                                evil.list_len - SOTTO_SIGNATURE,
                                evil.list + evil.list_len - SOTTO_SIGNATURE),
                     0);
    assert_int_equal(send_list(&a, &evil), 0);
    assert_int_equal(send_list(&a, &alice), 0);
    client_free(&a);
    client_free(&b);
}

static void test_only_devices_that_asked(void **state)
{
    const struct dev *both[] = {&alice, &second};
    struct dev altered;

    dev_join(&r, &alice, &a, "alice");
    dev_second(&r, &second, &alice);
    altered = alice;
    dev_list(&altered, both, 2, 1);
    assert_int_equal(send_list(&a, &altered), SOTTO_RELAY_UNKNOWN_DEVICE);
    dev_connect(&r, &alice, &b, 0);
    client_free(&a);
    /* Asked, but with another entry than the one that is listed now. */
    {
        struct sotto_rs_account account;
        struct sotto_rs_link link = {.asked_at_ms = r.env.now};

        assert_int_equal(sotto_rs_account_find(r.store, "alice", &account), 0);
        link.device = second.p.device.id;
        memcpy(link.entry, second.p.entry, sizeof link.entry);
        assert_int_equal(sotto_rs_link_put(r.store, account.id, &link), 0);
        second.p.device.sealing_expires_ms++;
        person_update(&second.p);
        altered = alice;
        dev_list(&altered, both, 2, 1);
        assert_int_equal(send_list(&b, &altered), SOTTO_RELAY_UNKNOWN_DEVICE);
    }
    client_free(&b);
}

static void test_entry_changes(void **state)
{
    const struct dev *one[] = {&alice};
    struct sotto_rs_account account;
    struct sotto_rs_device d;

    dev_join(&r, &alice, &a, "alice");
    alice.p.device.generation = 2;
    person_update(&alice.p);
    dev_list(&alice, one, 1, 1);
    assert_int_equal(send_list(&a, &alice), 0);
    assert_int_equal(sotto_rs_account_find(r.store, "alice", &account), 0);
    assert_int_equal(sotto_rs_device_find(r.store, account.id, alice.p.device.id, &d), 0);
    assert_memory_equal(d.entry, alice.p.entry, SOTTO_ENTRY_BYTES);
    client_free(&a);
}

static void test_removed_device(void **state)
{
    const struct dev *one[] = {&alice};
    struct sotto_request q;
    struct client again;

    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    dev_add(&r, &alice, &a, &second, &c);
    q = submit_to(&second, "not for a removed device", 1);
    q.u.submit.list_version = alice.parsed.version;
    assert_int_equal(submit(&b, &q), SOTTO_PARCEL_STORED);
    expect_deliver(&c, "not for a removed device");
    dev_list(&alice, one, 1, 1);
    assert_int_equal(send_list(&a, &alice), 0);
    client_quiet(&a);
    expect_closing(&c, SOTTO_CLOSING_REVOKED, NULL);
    client_open(&r, &again, NULL);
    q = dev_sign_in(&second, &again);
    assert_int_equal(client_try(&again, &q), SOTTO_RELAY_REVOKED);
    q.u.sign_in.lease[0] ^= 1; /* told to that device only */
    assert_int_equal(client_try(&again, &q), SOTTO_RELAY_BAD_PROOF);
    q = submit_to(&second, "later", 2);
    q.u.submit.list_version = alice.parsed.version;
    assert_int_equal(submit(&b, &q), SOTTO_PARCEL_GONE);
    {
        struct sotto_request bundle = {.type = SOTTO_REQ_GET_BUNDLE};

        strcpy(bundle.u.get_bundle.name, "alice");
        bundle.u.get_bundle.device = second.p.device.id;
        assert_int_equal(client_try(&b, &bundle), SOTTO_RELAY_UNKNOWN_DEVICE);
    }
    /* The device that stays goes on, also after a crash. */
    rig_crash(&r);
    dev_connect(&r, &alice, &a, 0);
    client_open(&r, &again, NULL);
    q = dev_sign_in(&second, &again);
    assert_int_equal(client_try(&again, &q), SOTTO_RELAY_REVOKED);
    client_free(&again);
    client_free(&a);
}

static void test_removed_in_the_turn_of_its_sign_in(void **state)
{
    const struct dev *one[] = {&alice};
    struct sotto_request q, list;

    dev_join(&r, &alice, &a, "alice");
    dev_add(&r, &alice, &a, &second, &c);
    client_free(&c);
    client_open(&r, &c, NULL);
    dev_list(&alice, one, 1, 1);
    q = dev_sign_in(&second, &c);
    client_send(&c, &q);
    list = dev_put_list(&alice);
    client_send(&a, &list);
    rig_turn(&r);
    assert_null(c.conn);
    client_free(&c);
    client_open(&r, &c, NULL);
    q = dev_sign_in(&second, &c);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_REVOKED);
    client_free(&c);
    client_free(&a);
}

/* --- GetLists --- */

static void test_get_lists(void **state)
{
    const struct dev *one[] = {&alice};
    struct sotto_request q = {.type = SOTTO_REQ_GET_LISTS};
    struct sotto_answer *answer;
    struct sotto_list list;

    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    for (int i = 0; i < 30; i++) {
        dev_list(&alice, one, 1, 1);
        assert_int_equal(send_list(&a, &alice), 0);
        rig_pass(&r, 200);
    }
    q.u.get_lists.count = 3;
    strcpy(q.u.get_lists.known[0].name, "alice");
    q.u.get_lists.known[0].version = 29;
    strcpy(q.u.get_lists.known[1].name, "nobody");
    strcpy(q.u.get_lists.known[2].name, "bob");
    q.u.get_lists.known[2].version = 1;
    answer = client_ask(&b, &q);
    assert_int_equal(answer->type, SOTTO_ANS_LISTS);
    assert_int_equal(answer->u.lists.count, 3);
    assert_int_equal(answer->u.lists.since[0].count, 2);
    assert_int_equal(sotto_list_open(answer->u.lists.since[0].lists[0].p,
                                     answer->u.lists.since[0].lists[0].n, &list),
                     0);
    assert_int_equal(list.version, 30); /* oldest first */
    assert_memory_equal(answer->u.lists.since[0].lists[1].p, alice.list, alice.list_len);
    assert_true(answer->u.lists.since[1].unknown && !answer->u.lists.since[1].gone);
    assert_true(!answer->u.lists.since[2].unknown && answer->u.lists.since[2].count == 0);
    sotto_answer_free(answer);
    /* Sixteen times a long history: each gets its newest, and the frame holds. */
    q.u.get_lists.count = SOTTO_GET_LISTS_MAX;
    for (size_t i = 0; i < SOTTO_GET_LISTS_MAX; i++) {
        strcpy(q.u.get_lists.known[i].name, "alice");
        q.u.get_lists.known[i].version = 0;
    }
    answer = client_ask(&b, &q);
    assert_int_equal(answer->u.lists.count, SOTTO_GET_LISTS_MAX);
    for (size_t i = 0; i < SOTTO_GET_LISTS_MAX; i++) {
        const struct sotto_lists_since *s = &answer->u.lists.since[i];

        assert_true(s->count > 0);
        assert_memory_equal(s->lists[s->count - 1].p, alice.list, alice.list_len);
    }
    sotto_answer_free(answer);
    client_free(&a);
    client_free(&b);
}

/* --- the end of an account --- */

static void test_delete_account(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_DELETE_ACCOUNT}, lists, wrong, s;
    struct sotto_answer *answer;
    struct dev other;

    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    dev_add(&r, &alice, &a, &second, &c);
    wrong = q;
    assert_int_equal(sotto_delete_proof_sign(&bob.p.account_key, a.peer.exporter,
                                             alice.p.account.relay_id, "alice",
                                             wrong.u.delete_account.proof),
                     0);
    assert_int_equal(client_try(&a, &wrong), SOTTO_RELAY_BAD_PROOF);
    assert_int_equal(sotto_delete_proof_sign(&alice.p.account_key, b.peer.exporter,
                                             alice.p.account.relay_id, "alice",
                                             wrong.u.delete_account.proof),
                     0);
    assert_int_equal(client_try(&a, &wrong), SOTTO_RELAY_BAD_PROOF); /* of another connection */
    assert_int_equal(sotto_delete_proof_sign(&alice.p.account_key, a.peer.exporter,
                                             alice.p.account.relay_id, "alice",
                                             q.u.delete_account.proof),
                     0);
    assert_int_equal(client_try(&a, &q), 0);
    expect_closing(&a, SOTTO_CLOSING_REVOKED, NULL);
    expect_closing(&c, SOTTO_CLOSING_REVOKED, NULL);
    client_free(&a);
    client_free(&c);

    lists = (struct sotto_request){.type = SOTTO_REQ_GET_LISTS};
    lists.u.get_lists.count = 1;
    strcpy(lists.u.get_lists.known[0].name, "alice");
    answer = client_ask(&b, &lists);
    assert_true(answer->u.lists.since[0].gone && answer->u.lists.since[0].count == 0);
    sotto_answer_free(answer);
    s = submit_to(&alice, "hello", 1);
    assert_int_equal(submit(&b, &s), -SOTTO_RELAY_NAME_GONE);
    client_open(&r, &a, NULL);
    s = dev_sign_in(&alice, &a);
    assert_int_equal(client_try(&a, &s), SOTTO_RELAY_NAME_GONE);
    dev_make(&r, &other, "alice");
    s = dev_register(&other, NULL);
    assert_int_equal(client_try(&a, &s), SOTTO_RELAY_NAME_GONE);
    client_free(&a);
    client_free(&b);
}

/* --- a relay out of a backup --- */

static void test_restored_relay_takes_newer_lists(void **state)
{
    const struct dev *all[] = {&alice, &second};
    uint8_t certificate[32] = {4};
    struct sotto_request bundle = {.type = SOTTO_REQ_GET_BUNDLE}, q;
    struct prekey_page page;
    struct sotto_answer *answer;

    /* What the relay has is version 1. Since then alice added a device and changed her list. */
    dev_join(&r, &alice, &a, "alice");
    client_free(&a);
    assert_int_equal(sotto_rs_renew(r.store, &r.env.env), 0);
    rig_restart(&r);
    dev_second(&r, &second, &alice);
    dev_list(&alice, all, 2, 1);
    dev_list(&alice, all, 2, 1);
    dev_list(&alice, all, 2, 1);
    assert_int_equal(alice.parsed.version, 4);

    client_open(&r, &c, certificate);
    q = dev_sign_in(&second, &c);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_UNKNOWN_DEVICE);
    dev_connect(&r, &alice, &a, 0);
    assert_int_equal(send_list(&a, &alice), 0);
    assert_int_equal(send_list(&a, &alice), 0);
    q = dev_sign_in(&second, &c);
    sotto_answer_free(client_ask(&c, &q));
    /* Its first certificate is the enrolled one from now on. */
    {
        struct client other;

        client_open(&r, &other, alice.list);
        q = dev_sign_in(&second, &other);
        assert_int_equal(client_try(&other, &q), SOTTO_RELAY_CERTIFICATE);
        client_free(&other);
    }
    /* No bundle until it uploads one. */
    strcpy(bundle.u.get_bundle.name, "alice");
    bundle.u.get_bundle.device = second.p.device.id;
    assert_int_equal(client_try(&a, &bundle), SOTTO_RELAY_UNAVAILABLE);
    q = dev_prekeys(&r, &second, &page, 2);
    q.u.put_prekeys.replace = true;
    q.u.put_prekeys.signed_prekey =
        (struct sotto_bytes){second.p.signed_prekey.bytes, SOTTO_PREKEY_BYTES};
    answer = client_ask(&c, &q);
    assert_int_equal(answer->type, SOTTO_ANS_PREKEYS_KEPT);
    assert_int_equal(answer->u.prekeys_kept.one_time_left, 2);
    sotto_answer_free(answer);
    answer = client_ask(&a, &bundle);
    assert_int_equal(answer->type, SOTTO_ANS_BUNDLE);
    sotto_answer_free(answer);
    client_free(&a);
    client_free(&c);
}

/* Its owner was put back as well and does not know it; who was given it before shows it. */
static void test_restored_relay_takes_lists_from_others(void **state)
{
    const struct dev *both[] = {&alice, &second}, *one[] = {&alice};
    struct dev older;

    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    dev_add(&r, &alice, &a, &second, &c);
    older = alice;
    dev_list(&alice, one, 1, 1); /* without the second one */
    assert_int_equal(send_list(&b, &alice), 0);
    expect_closing(&c, SOTTO_CLOSING_REVOKED, NULL);
    client_free(&c);
    expect_list(&a, &alice);
    client_quiet(&b);
    assert_int_equal(send_list(&b, &alice), 0); /* somebody else was faster */
    client_quiet(&a);
    assert_int_equal(send_list(&b, &older), SOTTO_RELAY_CONFLICT);
    assert_int_equal(send_list(&a, &alice), 0);
    /* A device of which this relay knows nothing. */
    dev_second(&r, &second, &alice);
    dev_list(&alice, both, 2, 1);
    assert_int_equal(send_list(&a, &alice), SOTTO_RELAY_UNKNOWN_DEVICE);
    assert_int_equal(send_list(&b, &alice), 0);
    expect_list(&a, &alice);
    dev_connect(&r, &second, &c, 0);
    client_free(&a);
    client_free(&b);
    client_free(&c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_next_list),
        CASE(test_lists_of_others),
        CASE(test_only_devices_that_asked),
        CASE(test_entry_changes),
        CASE(test_removed_device),
        CASE(test_removed_in_the_turn_of_its_sign_in),
        CASE(test_get_lists),
        CASE(test_delete_account),
        CASE(test_restored_relay_takes_newer_lists),
        CASE(test_restored_relay_takes_lists_from_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
