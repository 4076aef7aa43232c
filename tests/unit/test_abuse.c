/* SPDX-License-Identifier: Apache-2.0 */
/* What one account, device or address may do, how long it has to wait, and what the log says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/opaque.h"
#include "base/log.h"
#include "relay_rig.h"

#define MINUTE_MS (60 * 1000ull)
#define HOUR_MS   (60 * MINUTE_MS)

static struct rig r;
static struct dev alice, bob;
static struct client a, b;
static unsigned lines; /* about peers */
static char last_line[256];

static void count_lines(void *ctx, enum sotto_log_level level, const char *line)
{
    if (level == SOTTO_LOG_BUG)
        fail_msg("%s", line);
    lines += level == SOTTO_LOG_PEER;
    if (level == SOTTO_LOG_PEER)
        snprintf(last_line, sizeof last_line, "%s", line);
}

static int setup(void **state)
{
    rig_make(&r);
    sotto_log_set(count_lines, NULL, SOTTO_LOG_DEBUG);
    dev_join(&r, &alice, &a, "alice");
    dev_join(&r, &bob, &b, "bob");
    lines = 0;
    return 0;
}

static int teardown(void **state)
{
    client_free(&a);
    client_free(&b);
    rig_free(&r);
    return 0;
}

/* Refused as too many; how long to wait. 0: it was not. */
static uint32_t wait_of(struct client *c, struct sotto_request *q)
{
    struct sotto_answer *answer = client_ask(c, q);
    uint32_t wait = 0;

    if (answer->type == SOTTO_ANS_ERROR) {
        assert_int_equal(answer->u.error.code, SOTTO_RELAY_TOO_MANY);
        wait = answer->u.error.retry_ms;
        assert_true(wait > 0);
    }
    sotto_answer_free(answer);
    return wait;
}

static void test_sign_ins(void **state)
{
    struct client c;
    struct sotto_request q;

    r.config.sign_ins_per_minute = 5;
    rig_configure(&r);
    for (int i = 0; i < 5; i++) {
        dev_connect(&r, &alice, &c, 0);
        client_free(&c);
    }
    client_open(&r, &c, NULL);
    q = dev_sign_in(&alice, &c);
    assert_in_range(wait_of(&c, &q), 1, MINUTE_MS);
    client_free(&c);
    dev_connect(&r, &bob, &c, 0); /* others notice nothing */
    client_free(&c);
    rig_pass(&r, MINUTE_MS);
    dev_connect(&r, &alice, &c, 0);
    client_free(&c);
}

static void test_sign_ups(void **state)
{
    struct dev people[4];
    struct client c;
    char name[8];
    struct sotto_request q;

    r.config.sign_ups_per_hour = 3;
    rig_configure(&r);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "p%d", i);
        dev_make(&r, &people[i], name);
        client_open(&r, &c, NULL);
        q = dev_register(&people[i], NULL);
        if (i < 3)
            assert_int_equal(client_try(&c, &q), 0);
        else
            assert_in_range(wait_of(&c, &q), 1, HOUR_MS);
        client_free(&c);
    }
    /* One whose answer was lost asks again, and is told that all is well. */
    client_open(&r, &c, NULL);
    q = dev_register(&people[0], NULL);
    assert_int_equal(client_try(&c, &q), 0);
    client_free(&c);
    rig_pass(&r, HOUR_MS);
    client_open(&r, &c, NULL);
    q = dev_register(&people[3], NULL);
    assert_int_equal(client_try(&c, &q), 0);
    client_free(&c);
}

static void test_bundles(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_GET_BUNDLE};

    r.config.bundles_per_hour = 10;
    rig_configure(&r);
    strcpy(q.u.get_bundle.name, "bob");
    q.u.get_bundle.device = bob.p.device.id;
    for (int i = 0; i < 10; i++)
        assert_int_equal(wait_of(&a, &q), 0);
    assert_in_range(wait_of(&a, &q), 1, HOUR_MS);
    assert_int_equal(wait_of(&b, &q), 0);
}

/* Bytes are not refused but read more slowly, and only from whom they come. */
static void test_bytes(void **state)
{
    static char big[60000];
    struct client c;

    memset(big, 'x', sizeof big - 1);
    r.config.bytes_per_second = 100000;
    rig_configure(&r);
    dev_connect(&r, &alice, &c, 0);
    for (unsigned sent = 0; sent <= 250000; sent += sizeof big) {
        struct sotto_request q = submit_to(&bob, big, 1);

        assert_true(sotto_relay_wants_input(c.conn));
        q.u.submit.ephemeral = true;
        client_send(&c, &q);
        rig_turn(&r);
    }
    assert_false(sotto_relay_wants_input(c.conn));
    assert_true(sotto_relay_wants_input(b.conn));
    rig_pass(&r, 2000);
    assert_true(sotto_relay_wants_input(c.conn));
    client_free(&c);
}

/* --- other limits, while people are connected --- */

static void flood(struct client *c, unsigned pings);

/* Whoever waits for a debt to be paid is read as soon as the rate that there is now has paid it. */
static void test_other_rates(void **state)
{
    struct client fresh;

    rig_pass(&r, 10000);
    r.config.requests_per_second = 1;
    rig_configure(&r);
    flood(&a, 100); /* two and a half may come at once */
    rig_turn(&r);
    assert_false(sotto_relay_wants_input(a.conn));
    rig_pass(&r, 60000);
    assert_false(sotto_relay_wants_input(a.conn));
    r.config.requests_per_second = 100;
    rig_configure(&r);
    assert_true(sotto_relay_deadline(r.relay) <= sotto_mono_ms(&r.env.env));
    rig_pass(&r, 400);
    assert_true(sotto_relay_wants_input(a.conn));
    /* One who has not said who he is, too; and bytes. */
    client_open(&r, &fresh, NULL);
    r.config.requests_per_second = 1;
    r.config.bytes_per_second = 10;
    rig_configure(&r);
    flood(&fresh, 10);
    rig_turn(&r);
    assert_false(sotto_relay_wants_input(fresh.conn));
    r.config.requests_per_second = SOTTO_RELAY_REQUESTS_PER_SECOND;
    rig_configure(&r);
    rig_pass(&r, 100); /* pays for the requests, not for the bytes */
    assert_false(sotto_relay_wants_input(fresh.conn));
    r.config.bytes_per_second = 0;
    rig_configure(&r);
    assert_true(sotto_relay_wants_input(fresh.conn));
    client_free(&fresh);
}

/* --- an account with many connections --- */

static void flood(struct client *c, unsigned pings)
{
    struct sotto_request q = {.type = SOTTO_REQ_PING};

    while (pings-- > 0)
        client_send(c, &q);
}

static bool named(struct client *c)
{
    struct sotto_relay_conn *conn;
    bool found = false;

    assert_int_equal(sotto_relay_turn(r.relay), 0);
    while ((conn = sotto_relay_next(r.relay)) != NULL)
        found |= conn == c->conn;
    return found;
}

/* Its devices share one rate; the one that asked for nothing waits with the other, and is read
 * again when the debt is paid, though nothing happened on it. */
static void test_devices_share(void **state)
{
    struct dev phone;
    struct client p;

    dev_second(&r, &phone, &alice);
    dev_add(&r, &alice, &a, &phone, &p);
    rig_pass(&r, 10000);
    flood(&a, 4 * SOTTO_RELAY_REQUESTS_PER_SECOND);
    rig_turn(&r);
    assert_false(sotto_relay_wants_input(a.conn));
    sotto_relay_sent(p.conn, 0);
    rig_turn(&r);
    assert_false(sotto_relay_wants_input(p.conn));
    assert_true(sotto_relay_wants_input(b.conn));
    r.env.mono += 2000;
    sotto_relay_tick(r.relay);
    assert_true(named(&p));
    assert_true(sotto_relay_wants_input(p.conn));
    assert_true(sotto_relay_wants_input(a.conn));
    client_free(&p);
}

/* So are the keys of others that its devices may ask for, and its messages to strangers. */
static void test_devices_share_counts(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_GET_BUNDLE}, s = submit_to(&bob, "hello", 1);
    struct dev phone;
    struct client p;

    dev_second(&r, &phone, &alice);
    dev_add(&r, &alice, &a, &phone, &p);
    r.config.bundles_per_hour = r.config.strangers_per_hour = 6;
    rig_configure(&r);
    strcpy(q.u.get_bundle.name, "bob");
    q.u.get_bundle.device = bob.p.device.id;
    for (int i = 0; i < 6; i++) {
        s.u.submit.parcels[0].lane = (uint32_t)i + 1;
        assert_int_equal(wait_of(i % 2 ? &a : &p, &q), 0);
        assert_int_equal(wait_of(i % 2 ? &a : &p, &s), 0);
    }
    assert_in_range(wait_of(&a, &q), 1, HOUR_MS);
    assert_in_range(wait_of(&p, &q), 1, HOUR_MS);
    assert_in_range(wait_of(&a, &s), 1, HOUR_MS);
    assert_in_range(wait_of(&p, &s), 1, HOUR_MS);
    client_free(&p);
}

/* Signing in anew gives nothing anew, and what was asked for in the turn of the sign-in counts. */
static void test_coming_again(void **state)
{
    struct sotto_request q;
    struct client c;

    rig_pass(&r, 10000);
    client_open(&r, &c, NULL);
    q = dev_sign_in(&alice, &c);
    client_send(&c, &q);
    flood(&c, 4 * SOTTO_RELAY_REQUESTS_PER_SECOND);
    rig_turn(&r);
    assert_false(sotto_relay_wants_input(c.conn));
    client_free(&c);
    for (int i = 0; i < 3; i++) {
        dev_connect(&r, &alice, &c, 0);
        assert_false(sotto_relay_wants_input(c.conn));
        client_free(&c);
    }
    rig_pass(&r, 10000);
    dev_connect(&r, &alice, &c, 0);
    assert_true(sotto_relay_wants_input(c.conn));
    client_free(&c);
}

/* --- passphrases --- */

static struct sotto_answer *try_passphrase(struct client *c, const char *name)
{
    struct sotto_request q = {.type = SOTTO_REQ_OPAQUE_LOGIN};
    struct sotto_opaque_client *client;

    snprintf(q.u.opaque_login.name, sizeof q.u.opaque_login.name, "%s", name);
    assert_int_equal(
        sotto_opaque_login_start(&r.env.env, "wrong", 5, q.u.opaque_login.ke1, &client), 0);
    sotto_opaque_client_free(client);
    return client_ask(c, &q);
}

/* The pauses before each of so many attempts, each made as soon as it may be. */
static void pauses_of(const char *name, uint32_t *ret, unsigned count)
{
    struct client c;

    for (unsigned i = 0; i < count; i++) {
        struct sotto_answer *answer;

        ret[i] = 0;
        client_open(&r, &c, NULL);
        answer = try_passphrase(&c, name);
        if (answer->type == SOTTO_ANS_ERROR) {
            assert_int_equal(answer->u.error.code, SOTTO_RELAY_TOO_MANY);
            ret[i] = answer->u.error.retry_ms;
            client_free(&c);
            rig_pass(&r, ret[i]);
            client_open(&r, &c, NULL);
            sotto_answer_free(answer);
            answer = try_passphrase(&c, name);
        }
        assert_int_equal(answer->type, SOTTO_ANS_OPAQUE_CHALLENGE);
        sotto_answer_free(answer);
        client_free(&c);
    }
}

#define TRIES 25

/* With a record that a client could have made: its key is a point (RFC 9496, the generator). */
static void join_with_record(struct dev *d, const char *name)
{
    static const uint8_t point[32] = {
        0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9,
        0x61, 0xc5, 0x00, 0x51, 0x5f, 0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82,
        0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76,
    };
    struct client c;
    struct sotto_request q;

    dev_make(&r, d, name);
    client_open(&r, &c, NULL);
    q = dev_register(d, NULL);
    memcpy(q.u.register_.opaque_record, point, sizeof point);
    assert_int_equal(client_try(&c, &q), 0);
    client_free(&c);
}

static void test_slower_then_locked(void **state)
{
    uint32_t there[TRIES], not_there[TRIES];
    struct dev carol;
    struct client c;

    r.config.lock_minutes = 15;
    rig_configure(&r);
    join_with_record(&carol, "carol");
    pauses_of("carol", there, TRIES);
    pauses_of("nobody", not_there, TRIES);
    /* A name without an account is the same in every answer. */
    assert_memory_equal(there, not_there, sizeof there);
    assert_int_equal(there[0], 0);
    for (unsigned i = 1; i < TRIES; i++)
        assert_true(there[i] >= there[i - 1]);
    assert_int_equal(there[TRIES - 1], 15 * MINUTE_MS);
    /* Who has a device is not locked out. */
    dev_connect(&r, &carol, &c, 0);
    client_free(&c);
}

/* --- the log --- */

static void test_a_line_a_minute(void **state)
{
    struct sotto_request q = {.type = SOTTO_REQ_GET_BUNDLE}; /* not before sign-in */
    struct client c;

    strcpy(q.u.get_bundle.name, "bob");
    client_open(&r, &c, NULL);
    for (int i = 0; i < 50; i++)
        assert_int_equal(client_try(&c, &q), SOTTO_RELAY_NOT_SIGNED_IN);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(last_line, "192.0.2.1"));
    assert_non_null(strstr(last_line, "sign in first"));
    client_free(&c);
    for (int i = 0; i < 20; i++) {
        client_open(&r, &c, NULL);
        client_raw(&c, "\xff\xff\xff", 3);
        rig_turn(&r);
        assert_null(c.conn);
        client_free(&c);
    }
    assert_int_equal(lines, 2);
    rig_pass(&r, MINUTE_MS);
    client_open(&r, &c, NULL);
    assert_int_equal(client_try(&c, &q), SOTTO_RELAY_NOT_SIGNED_IN);
    assert_int_equal(lines, 3);
    client_free(&c);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_sign_ins),      CASE(test_sign_ups),           CASE(test_bundles),
        CASE(test_bytes),         CASE(test_slower_then_locked), CASE(test_a_line_a_minute),
        CASE(test_devices_share), CASE(test_coming_again),       CASE(test_devices_share_counts),
        CASE(test_other_rates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
