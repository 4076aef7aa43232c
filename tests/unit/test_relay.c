/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, sign-up, sign-in, and turns that cannot be committed. */
#include "relay/relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sqlcipher/sqlite3.h>

#include "base/log.h"
#include "crypto/kdf.h"
#include "faulty_vfs.h"
#include "relay_rig.h"

static struct rig r;
static int complaints;

static void listen_log(void *ctx, enum sotto_log_level level, const char *line)
{
    if (level == SOTTO_LOG_BUG)
        fail_msg("%s", line);
    complaints += level == SOTTO_LOG_LOCAL;
}

static int setup(void **state)
{
    complaints = 0;
    rig_make(&r);
    sotto_log_set(listen_log, NULL, SOTTO_LOG_DEBUG);
    return 0;
}

static int setup_faulty(void **state)
{
    complaints = 0;
    faulty_reset();
    rig_make_on(&r, "faulty");
    sotto_log_set(listen_log, NULL, SOTTO_LOG_DEBUG);
    return 0;
}

static int teardown(void **state)
{
    faulty_reset();
    rig_free(&r);
    return 0;
}

static int try_register(struct dev *d, const uint8_t *code)
{
    struct sotto_request q = dev_register(d, code);
    struct client c;
    int result;

    client_open(&r, &c, NULL);
    result = client_try(&c, &q);
    client_free(&c);
    return result;
}

/* --- before sign-in --- */

static void test_strangers_may_do_little(void **state)
{
    static const enum sotto_request_type refused[] = {
        SOTTO_REQ_BEGIN,      SOTTO_REQ_GET_LINKS,  SOTTO_REQ_GET_LISTS,
        SOTTO_REQ_GET_BUNDLE, SOTTO_REQ_SET_TOKENS, SOTTO_REQ_PUT_PREKEYS,
    };
    struct client c;

    client_open(&r, &c, NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct sotto_request q = {.type = refused[i]};

        if (q.type == SOTTO_REQ_GET_BUNDLE)
            strcpy(q.u.get_bundle.name, "alice");
        assert_int_equal(client_try(&c, &q), SOTTO_RELAY_NOT_SIGNED_IN);
    }
    {
        struct sotto_request q = {.type = SOTTO_REQ_OPAQUE_FINISH}, p = {.type = SOTTO_REQ_PING};

        assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);
        assert_int_equal(client_try(&c, &p), 0);
    }
    client_free(&c);
}

static void test_malformed_ends_the_connection(void **state)
{
    struct client c;

    client_open(&r, &c, NULL);
    client_raw(&c, "\xff\xff\xff", 3);
    rig_turn(&r);
    expect_closing(&c, SOTTO_CLOSING_PROTOCOL, NULL);
    client_free(&c);
}

static void test_idle_strangers_are_ended(void **state)
{
    struct client c, signed_in;
    struct dev alice;

    dev_join(&r, &alice, &signed_in, "alice");
    client_open(&r, &c, NULL);
    for (int i = 0; i < 13 && c.conn != NULL; i++) {
        struct sotto_request ping = {.type = SOTTO_REQ_PING};

        rig_pass(&r, 5000);
        if (c.conn != NULL)
            assert_int_equal(client_try(&c, &ping), 0); /* talking does not help */
    }
    expect_closing(&c, SOTTO_CLOSING_IDLE, NULL);
    assert_non_null(signed_in.conn);
    rig_pass(&r, 10 * 60 * 1000);
    assert_null(signed_in.conn);
    client_free(&c);
    client_free(&signed_in);
}

static void test_goodbye(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_GOODBYE};
    struct client c;
    struct dev alice;

    dev_join(&r, &alice, &c, "alice");
    client_tell(&c, &q);
    rig_turn(&r);
    assert_null(c.conn);
    client_quiet(&c);
    client_free(&c);
}

/* --- sign-up --- */

static void test_register_is_idempotent(void **state)
{
    struct dev alice, other;

    dev_make(&r, &alice, "alice");
    assert_int_equal(try_register(&alice, NULL), 0);
    assert_int_equal(try_register(&alice, NULL), 0); /* the first answer was lost */
    rig_crash(&r);
    assert_int_equal(try_register(&alice, NULL), 0);
    dev_make(&r, &other, "alice");
    assert_int_equal(try_register(&other, NULL), SOTTO_RELAY_NAME_TAKEN);
    /* Lost answer or not, one key has one name. */
    strcpy(alice.p.account.name, "alicia");
    person_update(&alice.p);
    alice.parsed.account = alice.p.account;
    memset(alice.parsed.prev_hash, 0, 32);
    memcpy(alice.parsed.entries[0], alice.p.entry, SOTTO_ENTRY_BYTES);
    assert_int_equal(
        sotto_list_sign(&alice.p.account_key, &alice.parsed, alice.list, &alice.list_len), 0);
    assert_int_equal(try_register(&alice, NULL), SOTTO_RELAY_CONFLICT);
}

static void test_register_keeps_the_first(void **state)
{
    struct dev alice, thief;
    struct sotto_request q;
    uint8_t record[SOTTO_OPAQUE_RECORD];
    struct sotto_rs_account a;
    struct client c;

    /* The list is public: sent again by somebody else with another password, it changes nothing. */
    dev_make(&r, &alice, "alice");
    assert_int_equal(try_register(&alice, NULL), 0);
    thief = alice;
    q = dev_register(&thief, NULL);
    memset(q.u.register_.opaque_record, 0xee, SOTTO_OPAQUE_RECORD);
    client_open(&r, &c, NULL);
    assert_int_equal(client_try(&c, &q), 0);
    client_free(&c);
    assert_int_equal(sotto_rs_account_find(r.store, "alice", &a), 0);
    assert_int_equal(sotto_rs_opaque_record(r.store, a.id, record), 0);
    assert_int_equal(record[0], 0x55);
}

static void test_register_looks_at_everything(void **state)
{
    struct dev alice, other;
    struct sotto_request q;
    struct client c;
    uint8_t list[SOTTO_LIST_MAX], prekey[SOTTO_PREKEY_BYTES];

    dev_make(&r, &alice, "alice");
    dev_make(&r, &other, "bob");
    client_open(&r, &c, NULL);

    q = dev_register(&alice, NULL); /* another name than in the list */
    strcpy(q.u.register_.name, "alicia");
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);

    q = dev_register(&alice, NULL); /* an altered list */
    memcpy(list, alice.list, alice.list_len);
    list[alice.list_len - 1] ^= 1;
    q.u.register_.list.p = list;
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);

    q = dev_register(&alice, NULL); /* another device's pre-key */
    q.u.register_.signed_prekey.p = other.p.signed_prekey.bytes;
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);

    q = dev_register(&alice, NULL); /* a one-time key in the place of the signed one */
    q.u.register_.signed_prekey.p = alice.p.one_time.bytes;
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);

    q = dev_register(&alice, NULL); /* an altered pre-key */
    memcpy(prekey, alice.p.signed_prekey.bytes, sizeof prekey);
    prekey[60] ^= 1;
    q.u.register_.signed_prekey.p = prekey;
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);

    memset(other.p.account.relay_id, 3, 32); /* made for another relay */
    person_update(&other.p);
    other.parsed.account = other.p.account;
    memcpy(other.parsed.entries[0], other.p.entry, SOTTO_ENTRY_BYTES);
    assert_int_equal(
        sotto_list_sign(&other.p.account_key, &other.parsed, other.list, &other.list_len), 0);
    q = dev_register(&other, NULL);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);

    dev_list(&alice, (const struct dev *const[]){&alice}, 1, 1); /* version 2 */
    q = dev_register(&alice, NULL);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_BAD_REQUEST);

    client_free(&c);
}

static void test_invites_are_used_by_accounts_only(void **state)
{
    struct dev alice, bob, carol, again;
    uint8_t code[SOTTO_INVITE_CODE], wrong[SOTTO_INVITE_CODE] = {0}, old[SOTTO_INVITE_CODE];

    r.config.registration = SOTTO_REGISTRATION_INVITE;
    rig_configure(&r);
    rig_invite(&r, 1, 2, 60000, code);
    rig_invite(&r, 2, 1, 1000, old);
    dev_make(&r, &alice, "alice");
    dev_make(&r, &again, "alice");
    dev_make(&r, &bob, "bob");
    dev_make(&r, &carol, "carol");
    assert_int_equal(try_register(&alice, NULL), SOTTO_RELAY_INVITE_UNKNOWN);
    assert_int_equal(try_register(&alice, wrong), SOTTO_RELAY_INVITE_UNKNOWN);
    assert_int_equal(try_register(&alice, code), 0);
    /* Without a code nobody learns which names are taken. */
    assert_int_equal(try_register(&again, wrong), SOTTO_RELAY_INVITE_UNKNOWN);
    /* A sign-up that fails does not use it up, one that was answered once more neither. */
    assert_int_equal(try_register(&again, code), SOTTO_RELAY_NAME_TAKEN);
    assert_int_equal(try_register(&alice, code), 0);
    assert_int_equal(try_register(&bob, code), 0);
    assert_int_equal(try_register(&carol, code), SOTTO_RELAY_INVITE_USED);
    assert_int_equal(try_register(&bob, code), 0);
    rig_pass(&r, 1000);
    assert_int_equal(try_register(&carol, old), SOTTO_RELAY_INVITE_EXPIRED);
}

static void test_registration_modes(void **state)
{
    struct dev alice;

    dev_make(&r, &alice, "alice");
    r.config.registration = SOTTO_REGISTRATION_CODE;
    rig_configure(&r);
    assert_int_equal(try_register(&alice, NULL), SOTTO_RELAY_NOT_CONFIGURED);
    r.config.registration = SOTTO_REGISTRATION_CLOSED;
    rig_configure(&r);
    assert_int_equal(try_register(&alice, NULL), SOTTO_RELAY_REGISTRATION_CLOSED);
    r.config.registration = SOTTO_REGISTRATION_OPEN;
    rig_configure(&r);
    assert_int_equal(try_register(&alice, NULL), 0);
    r.config.registration = SOTTO_REGISTRATION_CLOSED;
    rig_configure(&r);
    assert_int_equal(try_register(&alice, NULL), 0); /* it is there */
}

/* --- sign-in --- */

static void test_sign_in_needs_the_device_key(void **state)
{
    struct dev alice, stranger, second;
    struct client c, other;
    struct sotto_request q;

    dev_join(&r, &alice, &c, "alice");
    dev_make(&r, &stranger, "nobody");
    dev_second(&r, &second, &alice);
    client_open(&r, &other, NULL);
    q = dev_sign_in(&stranger, &other);
    /* The same as for an account that is there: nobody learns names here. */
    assert_int_equal(client_try(&other, &q), SOTTO_RELAY_UNKNOWN_DEVICE);
    q = dev_sign_in(&second, &other);
    assert_int_equal(client_try(&other, &q), SOTTO_RELAY_UNKNOWN_DEVICE);
    q = dev_sign_in(&second, &other); /* another device's signature */
    q.u.sign_in.device = alice.p.device.id;
    assert_int_equal(client_try(&other, &q), SOTTO_RELAY_BAD_PROOF);
    q = dev_sign_in(&alice, &c); /* made for another connection */
    assert_int_equal(client_try(&other, &q), SOTTO_RELAY_BAD_PROOF);
    q = dev_sign_in(&alice, &other); /* another lease than the signed one */
    q.u.sign_in.lease[0] ^= 1;
    assert_int_equal(client_try(&other, &q), SOTTO_RELAY_BAD_PROOF);
    assert_non_null(c.conn); /* nothing of that touched the device that is signed in */
    client_free(&c);
    client_free(&other);
}

struct signed_in {
    bool has_previous, begun;
    uint8_t previous[SOTTO_LEASE];
    uint32_t version, left;
};

static struct signed_in sign_in(struct dev *d, struct client *c)
{
    struct sotto_request q;
    struct sotto_answer *a;
    struct signed_in s;

    client_open(&r, c, NULL);
    q = dev_sign_in(d, c);
    a = client_ask(c, &q);
    assert_int_equal(a->type, SOTTO_ANS_SIGNED_IN);
    s = (struct signed_in){a->u.signed_in.has_previous,
                           a->u.signed_in.previous_begun,
                           {0},
                           a->u.signed_in.list_version,
                           a->u.signed_in.one_time_left};
    memcpy(s.previous, a->u.signed_in.previous_lease, SOTTO_LEASE);
    sotto_answer_free(a);
    return s;
}

static void test_leases(void **state)
{
    struct sotto_request begin = {.type = SOTTO_REQ_BEGIN};
    uint8_t first[SOTTO_LEASE], second[SOTTO_LEASE];
    struct signed_in s;
    struct client c;
    struct dev alice;

    dev_make(&r, &alice, "alice");
    assert_int_equal(try_register(&alice, NULL), 0);
    s = sign_in(&alice, &c);
    assert_false(s.has_previous);
    assert_int_equal(s.version, 1);
    assert_int_equal(s.left, 0);
    client_free(&c);
    rig_crash(&r); /* Begin did not come */
    s = sign_in(&alice, &c);
    assert_false(s.has_previous);
    assert_int_equal(client_try(&c, &begin), 0);
    assert_int_equal(client_try(&c, &begin), SOTTO_RELAY_BAD_REQUEST);
    memcpy(first, alice.lease, sizeof first);
    client_free(&c);
    /* However often an answer that names it is lost, it is named until another one has begun. */
    for (int i = 0; i < 2; i++) {
        rig_crash(&r);
        s = sign_in(&alice, &c);
        assert_true(s.has_previous && s.begun);
        assert_memory_equal(s.previous, first, sizeof first);
        client_free(&c);
    }
    s = sign_in(&alice, &c);
    assert_int_equal(client_try(&c, &begin), 0);
    memcpy(second, alice.lease, sizeof second);
    client_free(&c);
    rig_crash(&r);
    s = sign_in(&alice, &c);
    assert_true(s.has_previous && s.begun);
    assert_memory_equal(s.previous, second, sizeof second);
    client_free(&c);
}

static void test_second_connection_replaces(void **state)
{
    struct client first, second;
    struct dev alice;

    dev_join(&r, &alice, &first, "alice");
    dev_connect(&r, &alice, &second, 0);
    expect_closing(&first, SOTTO_CLOSING_REPLACED, NULL);
    assert_non_null(second.conn);
    client_free(&first);
    client_free(&second);
}

static int sign_in_with(struct dev *d, const uint8_t *pin)
{
    struct sotto_request q;
    struct sotto_answer *a;
    struct client c;
    int result = 0;

    client_open(&r, &c, pin);
    q = dev_sign_in(d, &c);
    a = client_ask(&c, &q);
    if (a->type == SOTTO_ANS_ERROR)
        result = (int)a->u.error.code;
    else
        assert_int_equal(a->type, SOTTO_ANS_SIGNED_IN);
    sotto_answer_free(a);
    client_free(&c);
    return result;
}

static int register_with(struct dev *d, const uint8_t *enrol, const uint8_t *pin)
{
    struct sotto_request q = dev_register(d, NULL);
    struct client c;
    int result;

    if (enrol != NULL) {
        q.u.register_.has_certificate = true;
        memcpy(q.u.register_.certificate, enrol, 32);
    }
    client_open(&r, &c, pin);
    result = client_try(&c, &q);
    client_free(&c);
    return result;
}

static void test_client_certificates(void **state)
{
    uint8_t mine[32] = {1}, other[32] = {2};
    struct dev alice, bob, carol;

    dev_make(&r, &alice, "alice");
    dev_make(&r, &bob, "bob");
    dev_make(&r, &carol, "carol");
    assert_int_equal(register_with(&alice, mine, other), SOTTO_RELAY_CERTIFICATE);
    assert_int_equal(register_with(&alice, mine, mine), 0);
    assert_int_equal(register_with(&bob, NULL, NULL), 0);

    static const struct {
        enum sotto_client_certs mode;
        int alice_none, alice_mine, alice_other, bob_none, bob_some;
    } table[] = {
        {SOTTO_CLIENT_CERTS_REQUEST, 0, 0, SOTTO_RELAY_CERTIFICATE, 0, SOTTO_RELAY_CERTIFICATE},
        {SOTTO_CLIENT_CERTS_REQUIRE, SOTTO_RELAY_CERTIFICATE, 0, SOTTO_RELAY_CERTIFICATE,
         SOTTO_RELAY_CERTIFICATE, SOTTO_RELAY_CERTIFICATE},
        {SOTTO_CLIENT_CERTS_OFF, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        r.config.client_certificates = table[i].mode;
        rig_configure(&r);
        assert_int_equal(sign_in_with(&alice, NULL), table[i].alice_none);
        assert_int_equal(sign_in_with(&alice, mine), table[i].alice_mine);
        assert_int_equal(sign_in_with(&alice, other), table[i].alice_other);
        assert_int_equal(sign_in_with(&bob, NULL), table[i].bob_none);
        assert_int_equal(sign_in_with(&bob, mine), table[i].bob_some);
    }
    r.config.client_certificates = SOTTO_CLIENT_CERTS_REQUIRE;
    rig_configure(&r);
    assert_int_equal(register_with(&carol, NULL, NULL), SOTTO_RELAY_CERTIFICATE);
    assert_int_equal(register_with(&carol, NULL, mine), SOTTO_RELAY_CERTIFICATE);
    assert_int_equal(register_with(&carol, mine, NULL), SOTTO_RELAY_CERTIFICATE);
    assert_int_equal(register_with(&carol, other, other), 0);
}

/* --- the relay comes and goes --- */

static void test_hello_says_who(void **state)
{
    uint8_t id[32], incarnation[SOTTO_INCARNATION];
    struct sotto_answer *a;
    struct client c;

    memcpy(id, sotto_relay_id(r.relay), 32);
    r.config.pin_count = 2;
    memset(r.config.pins[1], 0x71, 32);
    rig_configure(&r);
    for (int i = 0; i < 2; i++) {
        memset(&c, 0, sizeof c);
        c.r = &r;
        c.in = SOTTO_BUF(65536);
        assert_int_equal(sotto_relay_open(r.relay, &c.peer, &c, &c.conn), 0);
        rig_turn(&r);
        a = client_next(&c); /* decoding verifies the signature */
        assert_int_equal(a->type, SOTTO_ANS_HELLO);
        assert_memory_equal(a->u.hello.relay.id, id, 32);
        if (i == 0)
            memcpy(incarnation, a->u.hello.relay.incarnation, sizeof incarnation);
        else
            assert_memory_not_equal(a->u.hello.relay.incarnation, incarnation, sizeof incarnation);
        assert_int_equal(a->u.hello.relay.pin_count, 2);
        assert_int_equal(a->u.hello.relay.pins[1][0], 0x71);
        assert_int_equal(a->u.hello.registration, SOTTO_REGISTRATION_OPEN);
        sotto_answer_free(a);
        client_drop(&c);
        sotto_buf_free(&c.in);
        assert_int_equal(sotto_rs_renew(r.store, &r.env.env), 0);
        rig_restart(&r);
    }
}

static void test_shutdown_tells_everybody(void **state)
{
    struct client c, stranger;
    struct dev alice;

    dev_join(&r, &alice, &c, "alice");
    client_open(&r, &stranger, NULL);
    sotto_relay_shutdown(r.relay);
    rig_turn(&r);
    expect_closing(&c, SOTTO_CLOSING_SHUTDOWN, NULL);
    assert_null(stranger.conn);
    client_free(&c);
    client_free(&stranger);
}

static void test_random_failure_stops_the_start(void **state)
{
    struct sotto_relay *other = NULL;

    r.env.fail_random = 1;
    assert_int_equal(sotto_relay_new(&r.env.env, r.store, &r.config, &other), SOTTO_ERR_RANDOM);
    assert_null(other);
    r.env.fail_random = 0;
}

/* --- turns --- */

static void test_answers_wait_for_the_commit(void **state)
{
    struct sotto_request q;
    struct dev alice;
    struct client c;

    dev_make(&r, &alice, "alice");
    client_open(&r, &c, NULL);
    q = dev_register(&alice, NULL);
    client_send(&c, &q);
    client_quiet(&c);
    rig_crash(&r); /* nothing was promised, and nothing is there */
    c.r = &r;
    {
        struct sotto_rs_account a;

        assert_int_equal(sotto_rs_account_find(r.store, "alice", &a), SOTTO_ERR_NOT_FOUND);
    }
    client_free(&c);
}

static void test_closed_within_the_turn(void **state)
{
    struct sotto_rs_account a;
    struct sotto_request q;
    struct dev alice;
    struct client c;

    /* What it asked for in this turn is done all the same, and nobody looks at it afterwards. */
    dev_make(&r, &alice, "alice");
    client_open(&r, &c, NULL);
    q = dev_register(&alice, NULL);
    client_send(&c, &q);
    q = dev_sign_in(&alice, &c);
    client_send(&c, &q);
    client_drop(&c);
    rig_turn(&r);
    assert_int_equal(sotto_rs_account_find(r.store, "alice", &a), 0);
    client_free(&c);
    dev_connect(&r, &alice, &c, 0);
    client_free(&c);
}

static void fail_disk(int result)
{
    faulty.left = 0;
    faulty.stays = true;
    faulty.result = result;
}

static void test_full_disk_refuses_and_recovers(void **state)
{
    struct dev alice, bob, carol, dave;
    struct client a, b, c, d, *all[] = {&a, &b, &c};
    struct sotto_request q, ping = {.type = SOTTO_REQ_PING};
    struct sotto_answer *answer;

    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    dev_join(&r, &dave, &d, "dave");
    client_free(&d); /* what is for him has to be stored */
    dev_make(&r, &carol, "carol");
    client_open(&r, &c, NULL);

    fail_disk(SQLITE_FULL);
    q = dev_register(&carol, NULL);
    client_send(&c, &q);
    q = submit_to(&dave, "in the same turn", 1);
    client_send(&a, &q);
    client_send(&b, &ping);
    rig_turn(&r);
    for (int i = 0; i < 3; i++) {
        answer = client_next(all[i]);
        assert_non_null(answer);
        assert_int_equal(answer->type, SOTTO_ANS_ERROR);
        assert_int_equal(answer->u.error.code, SOTTO_RELAY_UNAVAILABLE);
        assert_int_equal(answer->id, all[i]->id);
        sotto_answer_free(answer);
    }
    client_quiet(&b);
    assert_int_equal(client_try(&b, &ping), 0); /* who wants nothing stored goes on */

    faulty_reset();
    q = dev_register(&carol, NULL);
    assert_int_equal(client_try(&c, &q), 0);
    /* Nothing overtakes what was refused: the lane is closed until the client begins another. */
    q = submit_to(&dave, "later", 1);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_LANE_CLOSED);
    q = submit_to(&dave, "later", 2);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    dev_connect(&r, &dave, &d, 0);
    expect_deliver(&d, "later");
    client_quiet(&d);
    client_free(&d);
    client_free(&a);
    client_free(&b);
    client_free(&c);
}

static void test_sign_in_is_undone_with_its_turn(void **state)
{
    struct dev alice;
    struct client c, other;
    struct sotto_request q, links = {.type = SOTTO_REQ_GET_LINKS};

    dev_join(&r, &alice, &c, "alice");
    client_open(&r, &other, NULL);
    fail_disk(SQLITE_FULL);
    q = dev_sign_in(&alice, &other);
    assert_int_equal(client_try(&other, &q), SOTTO_RELAY_UNAVAILABLE);
    faulty_reset();
    assert_int_equal(client_try(&other, &links), SOTTO_RELAY_NOT_SIGNED_IN);
    assert_non_null(c.conn); /* and the first connection was not replaced */
    q = dev_sign_in(&alice, &other);
    sotto_answer_free(client_ask(&other, &q));
    assert_null(c.conn);
    client_free(&c);
    client_free(&other);
}

static void test_failed_sync_is_fatal(void **state)
{
    struct dev alice;
    struct client c;
    struct sotto_request q;

    dev_make(&r, &alice, "alice");
    client_open(&r, &c, NULL);
    faulty.left = 0;
    faulty.result = SQLITE_IOERR_FSYNC;
    faulty.only_sync = true;
    q = dev_register(&alice, NULL);
    client_send(&c, &q);
    assert_int_equal(sotto_relay_turn(r.relay), 0);
    sotto_relay_sync_begun(r.relay);
    assert_int_equal(sotto_rs_sync(r.store), SOTTO_ERR_IO);
    client_quiet(&c);
    client_drop(&c);
    client_free(&c);
}

static void test_work_is_bounded(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_GET_LISTS}, ping = {.type = SOTTO_REQ_PING};
    struct client c;
    struct dev alice;
    unsigned asked = 0;

    dev_join(&r, &alice, &c, "alice");
    rig_pass(&r, 0); /* the first sweep */
    for (size_t i = 0; i < SOTTO_GET_LISTS_MAX; i++)
        strcpy(q.u.get_lists.known[i].name, "alice");
    q.u.get_lists.count = SOTTO_GET_LISTS_MAX;
    /* Without waiting for answers: after a while no more is read, and time makes it good. */
    while (sotto_relay_wants_input(c.conn) && asked < 100000) {
        client_send(&c, &q);
        asked++;
    }
    assert_true(asked > 10 && asked < 1000);
    rig_turn(&r);
    for (unsigned i = 0; i < asked; i++)
        sotto_answer_free(client_next(&c));
    while (sotto_relay_wants_input(c.conn))
        client_send(&c, &ping);
    rig_turn(&r);
    assert_true(sotto_relay_deadline(r.relay) > r.env.mono);
    assert_true(sotto_relay_deadline(r.relay) < r.env.mono + 1000);
    rig_pass(&r, 1000);
    assert_true(sotto_relay_wants_input(c.conn));
    client_free(&c);
}

#define CASE(f)   cmocka_unit_test_setup_teardown(f, setup, teardown)
#define FAULTY(f) cmocka_unit_test_setup_teardown(f, setup_faulty, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_strangers_may_do_little),
        CASE(test_malformed_ends_the_connection),
        CASE(test_idle_strangers_are_ended),
        CASE(test_goodbye),
        CASE(test_register_is_idempotent),
        CASE(test_register_keeps_the_first),
        CASE(test_register_looks_at_everything),
        CASE(test_invites_are_used_by_accounts_only),
        CASE(test_registration_modes),
        CASE(test_sign_in_needs_the_device_key),
        CASE(test_leases),
        CASE(test_second_connection_replaces),
        CASE(test_client_certificates),
        CASE(test_hello_says_who),
        CASE(test_shutdown_tells_everybody),
        CASE(test_random_failure_stops_the_start),
        CASE(test_answers_wait_for_the_commit),
        CASE(test_closed_within_the_turn),
        FAULTY(test_full_disk_refuses_and_recovers),
        FAULTY(test_sign_in_is_undone_with_its_turn),
        FAULTY(test_failed_sync_is_fatal),
        CASE(test_work_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
