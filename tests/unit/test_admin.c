/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator does to a relay that runs: accounts disabled, deleted, replaced, connections. */
#include "relay/admin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlcipher/sqlite3.h>

#include "crypto/kdf.h"
#include "faulty_vfs.h"
#include "relay_rig.h"
#include "store/relay_admin.h"

static struct rig r;
static struct dev alice, bob;
static struct client a, b;

static int setup(void **state)
{
    rig_make(&r);
    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    return 0;
}

static int teardown(void **state)
{
    rig_free(&r);
    return 0;
}

static int sign_in_again(struct dev *d, struct client *c)
{
    struct sotto_request q;

    client_free(c);
    client_open(&r, c, NULL);
    q = dev_sign_in(d, c);
    return client_try(c, &q);
}

static unsigned sessions;
static char session_name[64];
static uint64_t session_device;

static void take_session(void *ctx, const struct sotto_relay_session *s)
{
    sessions++;
    snprintf(session_name, sizeof session_name, "%s", s->name);
    session_device = s->device;
    assert_true(s->since_ms <= r.env.now);
}

static unsigned count_sessions(void)
{
    sessions = 0;
    sotto_relay_admin_sessions(r.relay, take_session, NULL);
    return sessions;
}

/* --- disable --- */

static void disabled_ends_and_refuses(void **state)
{
    struct sotto_request q;

    assert_int_equal(sotto_relay_admin_disable(r.relay, "bob", true), 0);
    assert_non_null(b.conn); /* nothing leaves before the commit */
    rig_turn(&r);
    expect_closing(&b, SOTTO_CLOSING_SHUTDOWN, "disabled");
    assert_int_equal(sign_in_again(&bob, &b), SOTTO_RELAY_DENIED);
    /* The other account notices nothing; its mail waits. */
    q = submit_to(&bob, "for later", 1);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);

    assert_int_equal(sotto_relay_admin_disable(r.relay, "bob", false), 0);
    rig_turn(&r);
    client_free(&b);
    dev_connect(&r, &bob, &b, 0);
    expect_deliver(&b, "for later");
}

static void a_wrong_proof_does_not_learn_of_it(void **state)
{
    struct sotto_request q;

    assert_int_equal(sotto_relay_admin_disable(r.relay, "bob", true), 0);
    rig_turn(&r);
    client_free(&b);
    client_open(&r, &b, NULL);
    q = dev_sign_in(&bob, &b);
    q.u.sign_in.proof[0] ^= 1;
    assert_int_equal(client_try(&b, &q), SOTTO_RELAY_BAD_PROOF);
}

static void disabled_survives_a_restart(void **state)
{
    assert_int_equal(sotto_relay_admin_disable(r.relay, "bob", true), 0);
    rig_turn(&r);
    rig_crash(&r);
    assert_int_equal(sign_in_again(&bob, &b), SOTTO_RELAY_DENIED);
}

static void unknown_and_deleted_are_told_apart(void **state)
{
    size_t count = 7;

    assert_int_equal(sotto_relay_admin_disable(r.relay, "carol", true), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_relay_admin_delete(r.relay, "carol"), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_relay_admin_kick(r.relay, "carol", 0, &count), SOTTO_ERR_NOT_FOUND);
    assert_int_equal(sotto_relay_admin_delete(r.relay, "bob"), 0);
    rig_turn(&r);
    assert_int_equal(sotto_relay_admin_disable(r.relay, "bob", true), SOTTO_ERR_GONE);
    assert_int_equal(sotto_relay_admin_delete(r.relay, "bob"), SOTTO_ERR_GONE);
    assert_int_equal(sotto_relay_admin_kick(r.relay, "bob", 0, &count), SOTTO_ERR_GONE);
    assert_int_equal(count, 7);
    rig_turn(&r);
}

/* --- delete --- */

static void deleted_is_gone_for_everybody(void **state)
{
    struct sotto_request q = submit_to(&bob, "hello", 1);
    struct dev other;
    struct client c = {0};

    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED); /* the relay remembers bob now */
    assert_int_equal(sotto_relay_admin_delete(r.relay, "bob"), 0);
    rig_turn(&r);
    assert_null(b.conn);
    q = submit_to(&bob, "hello again", 2);
    assert_int_equal(submit(&a, &q), -SOTTO_RELAY_NAME_GONE);
    assert_int_equal(sign_in_again(&bob, &b), SOTTO_RELAY_NAME_GONE);
    dev_make(&r, &other, "bob");
    client_open(&r, &c, NULL);
    q = dev_register(&other, NULL);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_NAME_GONE);
    client_free(&c);
}

static unsigned boxes;

static void take_box(void *ctx, int64_t box, uint64_t count, uint64_t bytes)
{
    boxes++;
    assert_int_equal(count, 1);
    assert_int_equal(bytes, strlen("waits"));
}

static void mail_of_the_deleted_is_dropped(void **state)
{
    struct sotto_request q = submit_to(&bob, "waits", 1);

    client_drop(&b);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);
    boxes = 0;
    sotto_relay_admin_boxes(r.relay, take_box, NULL);
    assert_int_equal(boxes, 1);
    assert_int_equal(sotto_relay_admin_delete(r.relay, "bob"), 0);
    rig_turn(&r);
    boxes = 0;
    sotto_relay_admin_boxes(r.relay, take_box, NULL);
    assert_int_equal(boxes, 0);
}

/* --- connections --- */

static void sessions_are_those_signed_in(void **state)
{
    struct client stranger = {0};

    client_open(&r, &stranger, NULL);
    assert_int_equal(count_sessions(), 2);
    client_drop(&b);
    assert_int_equal(count_sessions(), 1);
    assert_string_equal(session_name, "alice");
    assert_true(session_device == alice.p.device.id);
    client_free(&stranger);
}

static void kicked_may_come_again(void **state)
{
    size_t count = 0;

    assert_int_equal(sotto_relay_admin_kick(r.relay, "bob", bob.p.device.id + 1, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(sotto_relay_admin_kick(r.relay, "bob", bob.p.device.id, &count), 0);
    assert_int_equal(count, 1);
    rig_turn(&r);
    expect_closing(&b, SOTTO_CLOSING_SHUTDOWN, "operator");
    client_free(&b);
    dev_connect(&r, &bob, &b, 0);
    assert_int_equal(count_sessions(), 2);
}

/* --- an invite for one name --- */

static void invite_for(const char *name, uint8_t fill, uint8_t ret_code[SOTTO_INVITE_CODE])
{
    uint8_t hash[32];

    memset(ret_code, fill, SOTTO_INVITE_CODE);
    sotto_sha256(ret_code, SOTTO_INVITE_CODE, hash);
    assert_int_equal(sotto_rs_invite_add_for(r.store, hash, name, r.env.now + 3600000), 0);
}

static int register_as(struct dev *d, struct client *c, const uint8_t *code)
{
    struct sotto_request q;

    client_open(&r, c, NULL);
    q = dev_register(d, code);
    return client_try(c, &q);
}

static void reset_replaces_the_account(void **state)
{
    uint8_t code[SOTTO_INVITE_CODE];
    struct sotto_request q = submit_to(&bob, "to the old one", 1);
    struct client c = {0}, late = {0};
    struct dev fresh, thief;

    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED); /* remembered */
    invite_for("bob", 1, code);
    r.config.registration = SOTTO_REGISTRATION_CLOSED;
    rig_configure(&r);
    assert_non_null(b.conn); /* the link alone changes nothing */
    dev_make(&r, &fresh, "bob");
    assert_int_equal(register_as(&fresh, &c, code), 0);
    assert_null(b.conn);
    assert_int_equal(sign_in_again(&bob, &b), SOTTO_RELAY_UNKNOWN_DEVICE);
    client_free(&c);
    dev_connect(&r, &fresh, &c, 0);
    client_quiet(&c); /* nothing of the old one */
    /* Both lists have number 1: what is for the old device reaches nobody. */
    q = submit_to(&bob, "to the old one", 2);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_GONE);
    q = submit_to(&fresh, "to the new one", 3);
    assert_int_equal(submit(&a, &q), SOTTO_PARCEL_STORED);

    /* Once: nobody else comes in by it. */
    dev_make(&r, &thief, "bob");
    assert_int_not_equal(register_as(&thief, &late, code), 0);
    client_free(&late);
    /* An answer that was lost is asked for again. */
    assert_int_equal(register_as(&fresh, &late, code), 0);
    client_free(&late);
    client_free(&c);
}

static void reset_is_for_one_name_only(void **state)
{
    uint8_t code[SOTTO_INVITE_CODE], second[SOTTO_INVITE_CODE];
    struct client c = {0};
    struct dev carol, fresh;

    invite_for("bob", 1, code);
    dev_make(&r, &carol, "carol");
    assert_int_equal(register_as(&carol, &c, code), SOTTO_RELAY_NAME_INVALID);
    client_free(&c);
    dev_make(&r, &fresh, "alice");
    assert_int_equal(register_as(&fresh, &c, code), SOTTO_RELAY_NAME_INVALID);
    client_free(&c);
    /* A later one ends an earlier one. */
    invite_for("bob", 2, second);
    dev_make(&r, &fresh, "bob");
    assert_int_equal(register_as(&fresh, &c, code), SOTTO_RELAY_NAME_TAKEN);
    client_free(&c);
    assert_non_null(b.conn);
}

static void reset_does_not_bring_back_the_deleted(void **state)
{
    uint8_t code[SOTTO_INVITE_CODE];
    struct client c = {0};
    struct dev fresh;

    invite_for("bob", 1, code);
    assert_int_equal(sotto_relay_admin_delete(r.relay, "bob"), 0);
    rig_turn(&r);
    dev_make(&r, &fresh, "bob");
    assert_int_equal(register_as(&fresh, &c, code), SOTTO_RELAY_NAME_GONE);
    client_free(&c);
}

static void reset_expires(void **state)
{
    uint8_t code[SOTTO_INVITE_CODE];
    struct client c = {0};
    struct dev fresh;

    invite_for("bob", 1, code);
    r.env.now += 3600001;
    dev_make(&r, &fresh, "bob");
    assert_int_equal(register_as(&fresh, &c, code), SOTTO_RELAY_INVITE_EXPIRED);
    client_free(&c);
}

static void reset_lets_in_again_who_was_disabled(void **state)
{
    uint8_t code[SOTTO_INVITE_CODE];
    struct client c = {0};
    struct dev fresh;

    assert_int_equal(sotto_relay_admin_disable(r.relay, "bob", true), 0);
    rig_turn(&r);
    invite_for("bob", 1, code);
    dev_make(&r, &fresh, "bob");
    assert_int_equal(register_as(&fresh, &c, code), 0);
    client_free(&c);
    dev_connect(&r, &fresh, &c, 0);
    client_free(&c);
}

/* --- a turn that fails --- */

static void a_full_disk_changes_nothing(void **state)
{
    uint64_t undone;

    rig_free(&r);
    faulty_reset();
    rig_make_on(&r, "faulty");
    dev_join(&r, &bob, &b, "bob");
    undone = sotto_relay_undone(r.relay);
    faulty.left = 0;
    faulty.stays = true;
    faulty.result = SQLITE_FULL;
    (void)sotto_relay_admin_disable(r.relay, "bob", true);
    rig_turn(&r);
    assert_true(sotto_relay_undone(r.relay) > undone);
    assert_non_null(b.conn);
    faulty_reset();
    client_drop(&b);
    assert_int_equal(sign_in_again(&bob, &b), -1); /* signed in, which is more than done */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(disabled_ends_and_refuses),
        CASE(a_wrong_proof_does_not_learn_of_it),
        CASE(disabled_survives_a_restart),
        CASE(unknown_and_deleted_are_told_apart),
        CASE(deleted_is_gone_for_everybody),
        CASE(mail_of_the_deleted_is_dropped),
        CASE(sessions_are_those_signed_in),
        CASE(kicked_may_come_again),
        CASE(reset_replaces_the_account),
        CASE(reset_is_for_one_name_only),
        CASE(reset_does_not_bring_back_the_deleted),
        CASE(reset_expires),
        CASE(reset_lets_in_again_who_was_disabled),
        CASE(a_full_disk_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
