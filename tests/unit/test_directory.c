/* SPDX-License-Identifier: Apache-2.0 */
/* What the relay remembers about accounts is never older than what it has answered. */
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
static struct dev alice, bob;
static struct client a, b;

static int setup(void **state)
{
    faulty_reset();
    rig_make_on(&r, "faulty");
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

static struct sotto_request to_bob(uint8_t token, uint32_t lane)
{
    return with_token(submit_to(&bob, "hello", lane), token);
}

/* Does a submit with this token come as a request? */
static bool is_request(uint8_t token)
{
    struct sotto_request q = to_bob(token, 1);
    struct sotto_answer *push;
    bool request;

    client_send(&a, &q);
    rig_turn(&r);
    push = client_push(&b, SOTTO_ANS_DELIVER);
    assert_non_null(push);
    request = push->u.deliver.request;
    ack(&b, push->u.deliver.seq);
    sotto_answer_free(push);
    sotto_answer_free(client_next(&a));
    return request;
}

static void test_tokens(void **state)
{
    assert_true(is_request(1));
    token_set(&b, 1, true);
    assert_false(is_request(1)); /* that it was unknown is not remembered */
    token_set(&b, 1, false);
    assert_true(is_request(1)); /* nor that it was known */
    /* More tokens than are remembered: each stays what it is. */
    for (uint8_t i = 1; i <= 3 * TOKENS_KNOWN; i++)
        token_set(&b, i, true);
    for (uint8_t i = 1; i <= 3 * TOKENS_KNOWN; i++)
        assert_false(is_request(i));
    for (uint8_t i = 1; i <= 3 * TOKENS_KNOWN; i += 2)
        token_set(&b, i, false);
    for (uint8_t i = 1; i <= 3 * TOKENS_KNOWN; i++)
        assert_int_equal(is_request(i), i % 2 == 1);
}

/* One request that takes back a token and adds more than an account may have. */
static void test_token_removed_with_too_many(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_SET_TOKENS};
    struct sotto_rs_account account;
    uint8_t hash[32] = {0};

    token_set(&b, 1, true);
    assert_false(is_request(1));
    assert_int_equal(sotto_rs_account_find(r.store, "bob", &account), 0);
    assert_int_equal(sotto_rs_begin(r.store), 0);
    for (uint32_t i = 0; i < SOTTO_RS_TOKENS_MAX - 1; i++) {
        sotto_put_u32(hash, i);
        assert_int_equal(sotto_rs_token_add(r.store, account.id, hash), 0);
    }
    assert_int_equal(sotto_rs_commit(r.store), 0);
    q.u.set_tokens.remove_count = 1;
    token_hash(1, q.u.set_tokens.remove[0]);
    q.u.set_tokens.add_count = 2;
    token_hash(2, q.u.set_tokens.add[0]);
    token_hash(3, q.u.set_tokens.add[1]);
    assert_int_equal(client_try(&b, &q), SOTTO_RELAY_TOO_MANY);
    assert_true(is_request(1));
}

static void test_lists(void **state)
{
    struct dev second;
    struct client s;
    struct sotto_request q = to_bob(1, 1);
    uint32_t old = bob.parsed.version;

    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    dev_add(&r, &bob, &b, &second, &s);
    assert_int_equal(bob.parsed.version, old + 1);
    q = to_bob(1, 2);
    q.u.submit.list_version = old;
    assert_int_equal(submit(&a, &q), -SOTTO_RELAY_LIST_CHANGED);
    q = to_bob(1, 3);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    client_free(&s);
}

/* A list that was looked at within the turn that was to store it, and that was undone. */
static void test_undone(void **state)
{
    const struct dev *one[] = {&bob};
    struct sotto_request q, put;

    dev_list(&bob, one, 1, 1);
    put = dev_put_list(&bob);
    client_send(&b, &put);
    q = to_bob(1, 1);
    client_send(&a, &q);
    faulty.left = 0;
    faulty.result = SQLITE_FULL;
    faulty.stays = true;
    rig_turn(&r);
    assert_true(faulty.failures > 0);
    faulty_reset();
    rig_pass(&r, LIVE_MS);
    q = to_bob(1, 2); /* of the version that is not stored */
    assert_int_equal(submit(&a, &q), -SOTTO_RELAY_LIST_CHANGED);
    assert_int_equal(client_try(&b, &put), 0);
    q = to_bob(1, 3);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
}

static void test_unknown_names(void **state)
{
    struct sotto_request q = to_bob(1, 1);
    struct dev carol;
    struct client c;
    size_t before = r.relay->person_count;

    for (unsigned i = 0; i < 100; i++) {
        snprintf(q.u.submit.to, sizeof q.u.submit.to, "carol%u", i);
        assert_int_equal(submit(&a, &q), -SOTTO_RELAY_UNKNOWN_ACCOUNT);
    }
    assert_int_equal(r.relay->person_count, before); /* costs no memory */
    /* A name that was asked for in vain can be had, and is found then. */
    dev_join(&r, &carol, &c, "carol0");
    q = submit_to(&carol, "hello", 2);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    client_free(&c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_tokens),        CASE(test_token_removed_with_too_many),
        CASE(test_lists),         CASE(test_undone),
        CASE(test_unknown_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
