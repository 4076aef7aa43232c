/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that are added by password and approval, and what guessing a password comes to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/opaque.h"
#include "relay_rig.h"

static struct rig r;
static struct dev alice, second, bob;
static struct client a, c;

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

/* --- adding a device --- */

#define PASSWORD "seven herons in the reeds"

struct opaque_names {
    struct sotto_opaque_ids ids;
    uint8_t context[15 + 32];
};

static void opaque_ids(const struct client *conn, const struct dev *d, struct opaque_names *ret)
{
    memcpy(ret->context, "sotto/1 opaque", 15);
    memcpy(ret->context + 15, conn->peer.exporter, 32);
    ret->ids = (struct sotto_opaque_ids){
        .server = {d->p.account.relay_id, 32},
        .client = {(const uint8_t *)d->p.account.name, strlen(d->p.account.name)},
        .context = {ret->context, sizeof ret->context},
    };
}

/* Signed up with a password that works. */
static void join_with_password(struct dev *d, struct client *conn, const char *name)
{
    struct sotto_request q = {.type = SOTTO_REQ_OPAQUE_REGISTER}, reg;
    uint8_t export_key[SOTTO_OPAQUE_KEY];
    struct sotto_opaque_client *o;
    struct opaque_names names;
    struct sotto_answer *answer;
    struct client first;

    dev_make(&r, d, name);
    client_open(&r, &first, NULL);
    opaque_ids(&first, d, &names);
    strcpy(q.u.opaque_register.name, name);
    assert_int_equal(sotto_opaque_register_start(&r.env.env, PASSWORD, strlen(PASSWORD),
                                                 q.u.opaque_register.request, &o),
                     0);
    answer = client_ask(&first, &q);
    assert_int_equal(answer->type, SOTTO_ANS_OPAQUE_REGISTERED);
    reg = dev_register(d, NULL);
    assert_int_equal(sotto_opaque_register_finish(&r.env.env, o, &names.ids,
                                                  answer->u.opaque_registered.response,
                                                  reg.u.register_.opaque_record, export_key),
                     0);
    sotto_answer_free(answer);
    sotto_opaque_client_free(o);
    assert_int_equal(client_try(&first, &reg), 0);
    client_free(&first);
    dev_connect(&r, d, conn, 0);
}

/* 0: logged in; -1: this client found the password wrong (or the relay); else the error. */
static int login(struct client *conn, const struct dev *d, const char *name, const char *password)
{
    struct sotto_request q = {.type = SOTTO_REQ_OPAQUE_LOGIN};
    struct sotto_request finish = {.type = SOTTO_REQ_OPAQUE_FINISH};
    uint8_t session[SOTTO_OPAQUE_KEY], export_key[SOTTO_OPAQUE_KEY];
    struct sotto_opaque_client *o;
    struct opaque_names names;
    struct sotto_answer *answer;
    enum sotto_err e;
    int result;

    opaque_ids(conn, d, &names);
    strcpy(q.u.opaque_login.name, name);
    assert_int_equal(
        sotto_opaque_login_start(&r.env.env, password, strlen(password), q.u.opaque_login.ke1, &o),
        0);
    answer = client_ask(conn, &q);
    if (answer->type != SOTTO_ANS_OPAQUE_CHALLENGE) {
        assert_int_equal(answer->type, SOTTO_ANS_ERROR);
        result = (int)answer->u.error.code;
        if (result == SOTTO_RELAY_TOO_MANY)
            assert_true(answer->u.error.retry_ms > 0);
        sotto_answer_free(answer);
        sotto_opaque_client_free(o);
        return result;
    }
    e = sotto_opaque_login_finish(o, &names.ids, answer->u.opaque_challenge.ke2,
                                  finish.u.opaque_finish.ke3, session, export_key);
    sotto_answer_free(answer);
    sotto_opaque_client_free(o);
    if (e != 0)
        return -1;
    answer = client_ask(conn, &finish);
    result = answer->type == SOTTO_ANS_ERROR ? (int)answer->u.error.code : 0;
    if (result == 0) {
        assert_int_equal(answer->type, SOTTO_ANS_LOGGED_IN);
        assert_int_equal(answer->u.logged_in.count, 1);
        assert_memory_equal(answer->u.logged_in.lists[0].p, d->list, d->list_len);
    }
    sotto_answer_free(answer);
    return result;
}

static void test_add_a_device(void **state)
{
    const struct dev *both[] = {&alice, &second};
    uint8_t certificate[32] = {9};
    struct sotto_request q, links = {.type = SOTTO_REQ_GET_LINKS};
    struct sotto_request bundle = {.type = SOTTO_REQ_GET_BUNDLE};
    struct sotto_answer *answer;

    join_with_password(&alice, &a, "alice");
    dev_second(&r, &second, &alice);
    client_open(&r, &c, certificate);
    q = dev_link(&second);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST); /* not before the password */
    assert_int_equal(login(&c, &alice, "alice", PASSWORD), 0);
    assert_int_equal(client_try(&c, &links), SOTTO_RELAY_NOT_SIGNED_IN);
    q.u.link.has_certificate = true;
    memset(q.u.link.certificate, 8, 32);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_CERTIFICATE);
    memcpy(q.u.link.certificate, certificate, 32);
    assert_int_equal(client_try(&c, &q), 0);
    sotto_answer_free(client_push(&a, SOTTO_ANS_LINK_PENDING));
    assert_int_equal(client_try(&c, &q), 0); /* once more: the same request */
    sotto_answer_free(client_push(&a, SOTTO_ANS_LINK_PENDING));

    answer = client_ask(&a, &links);
    assert_int_equal(answer->type, SOTTO_ANS_LINKS);
    assert_int_equal(answer->u.links.count, 1);
    assert_memory_equal(answer->u.links.pending[0].entry.p, second.p.entry, SOTTO_ENTRY_BYTES);
    assert_int_equal(answer->u.links.pending[0].asked_at_ms, r.env.now);
    sotto_answer_free(answer);

    dev_list(&alice, both, 2, 1);
    assert_int_equal(send_list(&a, &alice), 0);
    expect_list(&c, &alice);
    answer = client_ask(&a, &links);
    assert_int_equal(answer->u.links.count, 0);
    sotto_answer_free(answer);
    /* On the same connection it signs in; its pre-key and certificate are in place. */
    q = dev_sign_in(&second, &c);
    sotto_answer_free(client_ask(&c, &q));
    strcpy(bundle.u.get_bundle.name, "alice");
    bundle.u.get_bundle.device = second.p.device.id;
    answer = client_ask(&a, &bundle);
    assert_int_equal(answer->type, SOTTO_ANS_BUNDLE);
    assert_memory_equal(answer->u.bundle.signed_prekey.p, second.p.signed_prekey.bytes,
                        SOTTO_PREKEY_BYTES);
    sotto_answer_free(answer);
    client_free(&c);
    client_open(&r, &c, alice.list);
    q = dev_sign_in(&second, &c);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_CERTIFICATE);
    /* From now on each learns what the other changes. */
    client_free(&c);
    client_open(&r, &c, certificate);
    q = dev_sign_in(&second, &c);
    sotto_answer_free(client_ask(&c, &q));
    dev_list(&alice, both, 2, 1);
    assert_int_equal(send_list(&a, &alice), 0);
    expect_list(&c, &alice);
    client_quiet(&a);
    client_free(&a);
    client_free(&c);
}

static void test_link_checks(void **state)
{
    struct sotto_request q;
    struct dev evil;
    uint8_t entry[SOTTO_ENTRY_BYTES];

    join_with_password(&alice, &a, "alice");
    dev_make(&r, &bob, "bob");
    dev_second(&r, &second, &alice);
    client_open(&r, &c, NULL);
    assert_int_equal(login(&c, &alice, "alice", PASSWORD), 0);
    q = dev_link(&bob); /* an entry for another account */
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);
    q = dev_link(&second);
    memcpy(entry, second.p.entry, sizeof entry);
    entry[20] ^= 1;
    q.u.link.entry.p = entry;
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);
    q = dev_link(&second);
    q.u.link.signed_prekey.p = alice.p.signed_prekey.bytes;
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);
    q = dev_link(&alice); /* listed already */
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_CONFLICT);
    /* Eight wait at most. */
    for (int i = 0; i < SOTTO_LINKS_MAX; i++) {
        dev_second(&r, &evil, &alice);
        q = dev_link(&evil);
        assert_int_equal(client_try(&c, &q), 0);
    }
    dev_second(&r, &evil, &alice);
    q = dev_link(&evil);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_TOO_MANY);
    client_free(&a);
    client_free(&c);
}

/* alice is there, and a second device of hers has asked to be listed. */
static void second_asks(void)
{
    struct sotto_request q;

    join_with_password(&alice, &a, "alice");
    dev_second(&r, &second, &alice);
    client_open(&r, &c, NULL);
    assert_int_equal(login(&c, &alice, "alice", PASSWORD), 0);
    q = dev_link(&second);
    assert_int_equal(client_try(&c, &q), 0);
}

static void test_link_waits_ten_minutes(void **state)
{
    const struct dev *both[] = {&alice, &second};
    struct sotto_request links = {.type = SOTTO_REQ_GET_LINKS};
    struct sotto_answer *answer;
    struct dev late;

    second_asks();
    for (int i = 0; i < 9; i++) {
        struct sotto_request ping = {.type = SOTTO_REQ_PING};

        rig_pass(&r, 60 * 1000);
        assert_int_equal(client_try(&a, &ping), 0);
    }
    assert_non_null(c.conn); /* it may wait in silence */
    answer = client_ask(&a, &links);
    assert_int_equal(answer->u.links.count, 1);
    sotto_answer_free(answer);
    rig_pass(&r, 60 * 1000);
    answer = client_ask(&a, &links);
    assert_int_equal(answer->u.links.count, 0);
    sotto_answer_free(answer);
    late = alice;
    dev_list(&late, both, 2, 1);
    assert_int_equal(send_list(&a, &late), SOTTO_RELAY_UNKNOWN_DEVICE);
    client_free(&a);
    client_free(&c);
}

static void test_approved_after_the_connection_broke(void **state)
{
    const struct dev *both[] = {&alice, &second};

    second_asks();
    client_free(&c);
    rig_crash(&r);
    dev_connect(&r, &alice, &a, 0);
    dev_list(&alice, both, 2, 1);
    assert_int_equal(send_list(&a, &alice), 0);
    dev_connect(&r, &second, &c, 0);
    client_free(&a);
    client_free(&c);
}

/* --- passwords --- */

static void test_wrong_passwords_end_the_connection(void **state)
{
    struct sotto_request finish = {.type = SOTTO_REQ_OPAQUE_FINISH};
    struct sotto_request start = {.type = SOTTO_REQ_OPAQUE_LOGIN};
    struct sotto_opaque_client *o;
    struct sotto_answer *answer;

    join_with_password(&alice, &a, "alice");
    client_open(&r, &c, NULL);
    strcpy(start.u.opaque_login.name, "alice");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            sotto_opaque_login_start(&r.env.env, "wrong", 5, start.u.opaque_login.ke1, &o), 0);
        sotto_opaque_client_free(o);
        answer = client_ask(&c, &start);
        assert_int_equal(answer->type, SOTTO_ANS_OPAQUE_CHALLENGE);
        sotto_answer_free(answer);
        answer = client_ask(&c, &finish);
        assert_int_equal(answer->u.error.code, SOTTO_RELAY_WRONG_PASSWORD);
        sotto_answer_free(answer);
    }
    expect_closing(&c, SOTTO_CLOSING_PROTOCOL, NULL);
    client_free(&c);
    /* Who is told by KE2 that he guessed wrong, and says nothing, has tried all the same. */
    client_open(&r, &c, NULL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(login(&c, &alice, "alice", "wrong"), -1);
    assert_int_equal(login(&c, &alice, "alice", PASSWORD), SOTTO_RELAY_TOO_MANY);
    assert_non_null(a.conn);
    client_free(&a);
    client_free(&c);
}

/* How long an account, or none, resists. */
static unsigned guesses(const char *name, unsigned seconds)
{
    unsigned given = 0;

    for (unsigned s = 0; s < seconds; s++) {
        struct sotto_request q = {.type = SOTTO_REQ_OPAQUE_LOGIN};
        struct sotto_opaque_client *o;
        struct sotto_answer *answer;

        client_open(&r, &c, NULL);
        snprintf(c.peer.address, sizeof c.peer.address, "x");
        strcpy(q.u.opaque_login.name, name);
        assert_int_equal(sotto_opaque_login_start(&r.env.env, "guess", 5, q.u.opaque_login.ke1, &o),
                         0);
        sotto_opaque_client_free(o);
        answer = client_ask(&c, &q);
        given += answer->type == SOTTO_ANS_OPAQUE_CHALLENGE;
        sotto_answer_free(answer);
        client_free(&c);
        r.env.mono += 1000;
    }
    return given;
}

static void test_guessing_gets_slower(void **state)
{
    unsigned existing, missing;
    struct client other;
    struct sotto_request q;

    join_with_password(&alice, &a, "alice");
    existing = guesses("alice", 300);
    r.env.mono += 3600 * 1000;
    rig_pass(&r, 0);
    missing = guesses("nobody", 300);
    assert_int_equal(existing, missing); /* the same for an account and for none */
    assert_true(existing >= 5 && existing < 16);
    /* A device that is listed never notices. */
    guesses("alice", 20);
    client_open(&r, &other, NULL);
    q = dev_sign_in(&alice, &other);
    sotto_answer_free(client_ask(&other, &q));
    assert_non_null(other.conn);
    client_free(&other);
    client_free(&a);
}

/* The answer to a sign-up evaluates the same function as a login: with a KE2 in hand it would be as
 * good for guessing. */
static void test_sign_up_answers_are_no_way_round(void **state)
{
    unsigned given = 0;

    join_with_password(&alice, &a, "alice");
    for (unsigned s = 0; s < 300; s++) {
        struct sotto_request q = {.type = SOTTO_REQ_OPAQUE_REGISTER};
        struct sotto_opaque_client *o;
        struct sotto_answer *answer;

        client_open(&r, &c, NULL);
        strcpy(q.u.opaque_register.name, "alice");
        assert_int_equal(
            sotto_opaque_register_start(&r.env.env, "guess", 5, q.u.opaque_register.request, &o),
            0);
        sotto_opaque_client_free(o);
        answer = client_ask(&c, &q);
        given += answer->type == SOTTO_ANS_OPAQUE_REGISTERED;
        sotto_answer_free(answer);
        client_free(&c);
        r.env.mono += 1000;
    }
    assert_true(given >= 5 && given < 16);
    client_free(&a);
}

static void test_right_password_is_forgiven(void **state)
{
    join_with_password(&alice, &a, "alice");
    for (int i = 0; i < 4; i++) {
        client_open(&r, &c, NULL);
        assert_int_equal(login(&c, &alice, "alice", "wrong"), -1);
        assert_int_equal(login(&c, &alice, "alice", PASSWORD), 0);
        client_free(&c);
    }
    client_free(&a);
}

static void test_no_account_looks_like_a_wrong_password(void **state)
{
    join_with_password(&alice, &a, "alice");
    client_open(&r, &c, NULL);
    assert_int_equal(login(&c, &alice, "nobody", PASSWORD), -1);
    client_free(&a);
    client_free(&c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_add_a_device),
        CASE(test_link_checks),
        CASE(test_link_waits_ten_minutes),
        CASE(test_approved_after_the_connection_broke),
        CASE(test_wrong_passwords_end_the_connection),
        CASE(test_guessing_gets_slower),
        CASE(test_sign_up_answers_are_no_way_round),
        CASE(test_right_password_is_forgiven),
        CASE(test_no_account_looks_like_a_wrong_password),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
