/* SPDX-License-Identifier: Apache-2.0 */
/* The engine itself: signing up, trusting a relay, its callers, and what fails around it. */
#include "client/engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlcipher/sqlite3.h>

#include "engine_rig.h"
#include "faulty_vfs.h"

static struct world w;
static struct phone *alice, *bob;

static int setup_empty(void **state)
{
    faulty_reset();
    world_make(&w);
    return 0;
}

static int setup(void **state)
{
    setup_empty(state);
    alice = phone_join(&w, "alice");
    bob = phone_join(&w, "bob");
    return 0;
}

/* Two who know each other. */
static int setup_friends(void **state)
{
    setup(state);
    phone_befriend(alice, bob);
    return 0;
}

static int teardown(void **state)
{
    world_free(&w);
    return 0;
}

/* --- signing up --- */

static void sign_up_survives(enum fault_kind kind, bool early)
{
    unsigned long at = 0;

    do {
        struct phone *p;
        uint32_t request;
        char name[16];

        snprintf(name, sizeof name, "new-%u-%lu", (unsigned)kind * 2 + early, ++at);
        p = phone_make(&w, name);
        fault_arm(&w, kind, at, early);
        request = phone_register(p, NULL, name);
        world_run(&w);
        if (w.fault.fired && !sotto_engine_has_account(p->engine)) {
            if (kind != FAULT_KILL_PHONE)
                assert_result(p, request, SOTTO_RESULT_UNREACHABLE);
            request = phone_register(p, NULL, name); /* the same again */
        }
        world_settle(&w);
        /* Done, or the account was there already and the connection alone was missing. */
        if (phone_result(p, request) != SOTTO_RESULT_OK)
            assert_true(sotto_engine_has_account(p->engine) && w.fault.fired);
        assert_true(phone_is_online(p));
        phone_drop(p);
    } while (w.fault.fired);
    assert_true(at > 8);
}

static void a_lost_answer_to_sign_up_is_not_a_taken_name(void **state)
{
    for (int early = 0; early < 2; early++) {
        sign_up_survives(FAULT_CUT, early);
        sign_up_survives(FAULT_KILL_PHONE, early);
        sign_up_survives(FAULT_KILL_RELAY, early);
    }
}

static void a_taken_name_leaves_the_invite_good_for_another(void **state)
{
    char link[SOTTO_INVITE_LINK_MAX];
    struct phone *p;
    uint32_t request;

    w.config.registration = SOTTO_REGISTRATION_INVITE;
    world_configure(&w);
    relay_invite(&w, 0x11, 1, link);
    p = phone_make(&w, "third");
    request = phone_register(p, link, "alice");
    world_settle(&w);
    assert_result(p, request, SOTTO_RESULT_FAILED);
    assert_non_null(strstr(phone_done(p, request)->text, "taken"));
    request = phone_register(p, link, "carol");
    world_settle(&w);
    assert_result(p, request, SOTTO_RESULT_OK);
    assert_true(phone_is_online(p));
    /* Used up now. */
    p = phone_make(&w, "fourth");
    request = phone_register(p, link, "dave");
    world_settle(&w);
    assert_result(p, request, SOTTO_RESULT_FAILED);
    assert_non_null(strstr(phone_done(p, request)->text, "new invite"));
    assert_false(sotto_engine_has_account(p->engine));
}

static void nothing_but_signing_up_works_without_an_account(void **state)
{
    struct phone *p = phone_make(&w, "nobody");
    struct said m = phone_say(p, "alice", "hello", SOTTO_WAIT_STORED);

    assert_result(p, m.request, SOTTO_RESULT_PROFILE);
    assert_result(p, phone_call(p, SOTTO_OP_HISTORY, "alice", NULL), SOTTO_RESULT_PROFILE);
    assert_result(p, phone_call(p, SOTTO_OP_STATUS, NULL, NULL), SOTTO_RESULT_OK);
    assert_result(p, phone_register(p, "sotto://cut-short", "carol"), SOTTO_RESULT_USAGE);
    assert_result(p, phone_register(p, NULL, "Not A Name"), SOTTO_RESULT_USAGE);
    assert_result(alice, phone_register(alice, NULL, "carol"), SOTTO_RESULT_PROFILE);
    assert_false(p->linked);
}

/* --- who the relay is --- */

struct other_relay {
    struct sotto_sign_pair key;
    bool forge;
};

static bool forge_hello(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct other_relay *o = ctx;
    struct sotto_answer *a = NULL;

    if (way == UP) /* whoever is not the relay may hear nothing */
        assert_false(o->forge);
    if (way == UP || !o->forge || answer_type(body) != SOTTO_ANS_HELLO)
        return true;
    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    memcpy(a->u.hello.relay.id, o->key.pub, 32);
    put_answer(body, a, &o->key);
    sotto_answer_free(a);
    return true;
}

static const struct sotto_connection *connection(const struct phone *p)
{
    const struct sotto_event *e = phone_event(p, SOTTO_EVENT_CONNECTION, 0);

    assert_non_null(e);
    return sotto_event_connection(e);
}

static void another_relay_id_is_a_hard_stop(void **state)
{
    struct other_relay other = {.forge = true};
    struct said m;

    assert_int_equal(sotto_sign_generate(&w.env.env, &other.key), SOTTO_OK);
    w.carry = forge_hello;
    w.carry_ctx = &other;
    phone_offline(bob);
    phone_cut(alice);
    world_settle(&w);
    assert_int_equal(connection(alice)->result, SOTTO_RESULT_SECURITY);
    assert_false(alice->linked);
    /* It stays so, and every call says why. */
    other.forge = false;
    world_pass(&w, 600000);
    assert_false(alice->linked);
    m = phone_say(alice, "bob", "hello", SOTTO_WAIT_STORED);
    world_run(&w);
    assert_result(alice, m.request, SOTTO_RESULT_SECURITY);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_QUEUED);
}

static void an_invite_of_another_relay_is_refused(void **state)
{
    struct other_relay other = {.forge = true};
    char link[SOTTO_INVITE_LINK_MAX];
    struct phone *p = phone_make(&w, "third");
    uint32_t request;

    assert_int_equal(sotto_sign_generate(&w.env.env, &other.key), SOTTO_OK);
    relay_invite(&w, 0x22, 1, link);
    phone_offline(alice);
    phone_offline(bob);
    w.carry = forge_hello;
    w.carry_ctx = &other;
    request = phone_register(p, link, "carol");
    world_settle(&w);
    assert_result(p, request, SOTTO_RESULT_SECURITY);
    assert_false(sotto_engine_has_account(p->engine));
}

static void a_tls_key_that_the_hello_does_not_name_is_a_hard_stop(void **state)
{
    static const uint8_t old_key[32] = "the key that was pinned so far";
    char pin[SOTTO_PIN_TEXT];
    uint32_t request;

    /* The one in between has a key that is pinned, and passes on the relay's true hello. */
    memcpy(w.config.pins[0], old_key, 32);
    w.config.pin_count = 2;
    memset(w.config.pins[1], 0x71, 32);
    world_configure(&w);
    phone_cut(alice);
    world_settle(&w);
    assert_int_equal(connection(alice)->result, SOTTO_RESULT_SECURITY); /* never heard of it */
    sotto_pin_print(old_key, pin);
    request = phone_call(alice, SOTTO_OP_TRUST, pin, NULL);
    assert_result(alice, request, SOTTO_RESULT_OK);
    world_settle(&w);
    assert_true(phone_is_online(alice));
    w.config.pin_count = 1;
    memset(w.config.pins[0], 0x72, 32);
    world_configure(&w);
    alice->relay_pin = old_key;
    phone_cut(alice);
    world_settle(&w);
    assert_false(phone_is_online(alice));
    assert_int_equal(connection(alice)->result, SOTTO_RESULT_SECURITY);
    assert_non_null(strstr(connection(alice)->text, "vouch"));
}

static void a_relay_key_is_changed_without_anybody_noticing(void **state)
{
    w.config.pin_count = 2;
    memset(w.config.pins[1], 0x71, 32); /* the next one is announced */
    world_configure(&w);
    phone_cut(alice);
    world_settle(&w);
    assert_true(phone_is_online(alice));
    w.config.pin_count = 1;
    memset(w.config.pins[0], 0x71, 32); /* and comes */
    world_configure(&w);
    phone_cut(alice);
    world_settle(&w);
    assert_true(phone_is_online(alice));
    phone_crash(alice);
    world_settle(&w);
    assert_true(phone_is_online(alice));
    phone_cut(bob); /* who was not told */
    world_settle(&w);
    assert_false(phone_is_online(bob));
    assert_int_equal(connection(bob)->result, SOTTO_RESULT_SECURITY);
}

/* --- a relay that misbehaves --- */

static bool swallow(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    return way == UP || p != *(struct phone **)ctx;
}

static void a_silent_relay_is_left(void **state)
{
    w.carry = swallow;
    w.carry_ctx = &alice;
    phone_cut(alice);
    world_pass(&w, 15000);
    assert_true(alice->linked);
    world_pass(&w, 10000);
    assert_int_equal(phone_event(alice, SOTTO_EVENT_CONNECTION, 0) != NULL, 1);
    assert_false(phone_is_online(alice));
    w.carry = NULL;
    world_pass(&w, 25000);
    assert_true(phone_is_online(alice));
    /* And in the middle of it. */
    w.carry = swallow;
    phone_forget(alice);
    world_pass(&w, 90000);
    assert_true(phone_count(alice, SOTTO_EVENT_CONNECTION, 0) > 0);
    assert_false(phone_is_online(alice));
}

static bool garbage(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    if (way == DOWN && p == alice && *(unsigned *)ctx > 0 && (*(unsigned *)ctx)-- > 0) {
        body->n = 0;
        assert_int_equal(sotto_buf_add(body, "\xff\xff\xff\xff nonsense", 13), SOTTO_OK);
    }
    return true;
}

static void garbage_ends_the_connection_and_nothing_else(void **state)
{
    unsigned left = 3;
    struct said m;

    w.carry = garbage;
    w.carry_ctx = &left;
    m = phone_say(alice, "bob", "through all of this", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(left, 0);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    assert_int_equal(phone_printed(bob, "through all of this"), 1);
}

static bool never_enough(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct sotto_answer *a = NULL;
    unsigned *pages = ctx;

    if (way == UP || answer_type(body) != SOTTO_ANS_PREKEYS_KEPT)
        return true;
    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    a->u.prekeys_kept.one_time_left = 0;
    put_answer(body, a, NULL);
    sotto_answer_free(a);
    ++*pages;
    return true;
}

/* Each page lies in the profile for a year: a relay could fill the disk with them. */
static void a_relay_that_wants_ever_more_keys_gets_a_few_in_an_hour(void **state)
{
    struct phone *p = phone_make(&w, "carol");
    unsigned pages = 0;
    uint32_t request;

    w.carry = never_enough;
    w.carry_ctx = &pages;
    request = phone_register(p, NULL, "carol");
    world_settle(&w);
    assert_result(p, request, SOTTO_RESULT_OK);
    assert_in_range(pages, 2, 10);
    phone_cut(p);
    world_settle(&w);
    assert_true(phone_is_online(p));
    assert_in_range(pages, 2, 10);
    /* When it is honest again, the keys come. */
    w.carry = NULL;
    world_pass(&w, 2 * 3600 * 1000);
    request = phone_call(p, SOTTO_OP_STATUS, NULL, NULL);
    assert_in_range(sotto_event_status(phone_event(p, SOTTO_EVENT_STATUS, request))->one_time_keys,
                    64, 1000);
}

/* --- callers --- */

static uint32_t call_as(struct phone *p, uint32_t origin, enum sotto_op op, const char *a,
                        const char *b, const uint8_t *id)
{
    struct sotto_call call = {.op = op, .ref = {origin, ++p->requests}};

    call.s[0] = (struct sotto_bytes){(const uint8_t *)a, strlen(a)};
    call.s[1] = (struct sotto_bytes){(const uint8_t *)b, strlen(b)};
    call.s[2] = (struct sotto_bytes){id, id != NULL ? SOTTO_CONTENT_ID : 0};
    call.n[0] = SOTTO_WAIT_STORED;
    phone_calls(p, &call);
    return call.ref.request;
}

static void eight_callers_at_once(void **state)
{
    uint32_t requests[8];
    uint8_t ids[8][SOTTO_CONTENT_ID];
    char text[16], hex[33];

    for (uint32_t i = 0; i < 8; i++) {
        memset(ids[i], (int)i + 1, sizeof ids[i]);
        snprintf(text, sizeof text, "from caller %u", i);
        requests[i] = call_as(alice, i + 1, SOTTO_OP_SEND, "bob", text, ids[i]);
    }
    world_settle(&w);
    for (uint32_t i = 0; i < 8; i++) {
        assert_result(alice, requests[i], SOTTO_RESULT_OK);
        sotto_hex_encode(ids[i], sizeof ids[i], hex);
        assert_string_equal(phone_done(alice, requests[i])->id, hex);
        snprintf(text, sizeof text, "from caller %u", i);
        assert_int_equal(phone_printed(bob, text), 1);
    }
    for (size_t i = 0; i < alice->told_count; i++) {
        uint32_t request = sotto_event_request(alice->told[i].event);

        for (uint32_t k = 0; k < 8; k++)
            if (request == requests[k])
                assert_int_equal(alice->told[i].origin, k + 1);
    }
}

static size_t got(const struct phone *p, uint32_t origin, const char *text)
{
    size_t n = 0;

    for (size_t i = 0; i < p->told_count; i++) {
        const struct sotto_message *m = sotto_event_message(p->told[i].event);

        n += sotto_event_type(p->told[i].event) == SOTTO_EVENT_MESSAGE && m != NULL &&
             p->told[i].origin == origin && strcmp(m->text, text) == 0;
    }
    return n;
}

static void no_two_receivers_get_the_same_message(void **state)
{
    size_t total;

    bob->reads = bob->confirms = false;
    phone_crash(bob);
    world_settle(&w);
    for (uint32_t origin = 1; origin <= 3; origin++)
        (void)call_as(bob, origin, SOTTO_OP_RECEIVE, "", "", NULL);
    world_settle(&w);
    for (unsigned i = 0; i < 6; i++) {
        char text[16];

        snprintf(text, sizeof text, "number %u", i);
        (void)phone_say(alice, "bob", text, SOTTO_WAIT_STORED);
        world_run(&w);
        total = got(bob, 1, text) + got(bob, 2, text) + got(bob, 3, text);
        assert_int_equal(total, 1);
    }
    /* The one who has them goes without having confirmed any: they are for the others. */
    total = got(bob, 1, "number 0") > 0 ? 1 : got(bob, 2, "number 0") > 0 ? 2 : 3;
    phone_forget(bob);
    sotto_engine_origin_gone(bob->engine, (uint32_t)total);
    world_run(&w);
    assert_int_equal(got(bob, (uint32_t)total, "number 0"), 0);
    assert_int_equal(got(bob, 1, "number 0") + got(bob, 2, "number 0") + got(bob, 3, "number 0"),
                     1);
}

static void the_receiver_of_a_conversation_comes_first(void **state)
{
    bob->reads = bob->confirms = false;
    phone_crash(bob);
    (void)call_as(bob, 1, SOTTO_OP_RECEIVE, "", "", NULL);
    (void)call_as(bob, 2, SOTTO_OP_RECEIVE, "alice", "", NULL);
    world_settle(&w);
    (void)phone_say(alice, "bob", "for the open window", SOTTO_WAIT_STORED);
    world_run(&w);
    assert_int_equal(got(bob, 1, "for the open window"), 0);
    assert_int_equal(got(bob, 2, "for the open window"), 1);
}

static void what_was_not_confirmed_comes_again(void **state)
{
    bob->confirms = false;
    (void)phone_say(alice, "bob", "unconfirmed", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "unconfirmed"), 1);
    bob->confirms = true;
    phone_crash(bob);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "unconfirmed"), 2);
    phone_crash(bob);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "unconfirmed"), 2);
}

/* A process whose engine ended makes its call again at the next one. */
static void a_call_made_again_does_not_send_twice(void **state)
{
    struct said m = phone_say(alice, "bob", "once", SOTTO_WAIT_STORED);
    uint32_t again;

    phone_crash(alice);
    again = phone_say_again(alice, &m, "bob", "once", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(alice, again, SOTTO_RESULT_OK);
    again = phone_say_again(alice, &m, "bob", "once", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(alice, again, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, NULL), 1);
}

static void text_that_is_not_sent(void **state)
{
    static char large[32 * 1024 + 2];
    struct said m;

    memset(large, 'x', sizeof large - 1);
    assert_result(alice, phone_say(alice, "bob", "", SOTTO_WAIT_STORED).request,
                  SOTTO_RESULT_USAGE);
    assert_result(alice, phone_say(alice, "bob", "\xc3\x28", SOTTO_WAIT_STORED).request,
                  SOTTO_RESULT_USAGE);
    assert_result(alice, phone_say(alice, "bob", large, SOTTO_WAIT_STORED).request,
                  SOTTO_RESULT_USAGE);
    assert_result(alice, phone_say(alice, "alice", "me", SOTTO_WAIT_STORED).request,
                  SOTTO_RESULT_USAGE);
    assert_result(alice, phone_say(alice, "B b", "you", SOTTO_WAIT_STORED).request,
                  SOTTO_RESULT_USAGE);
    large[32 * 1024] = '\0';
    m = phone_say(alice, "bob", large, SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, large), 1);
    assert_int_equal(phone_printed(bob, NULL), 1);
}

/* --- what fails --- */

static bool no_submit(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    if (way == UP && p->env.fail_random)
        assert_int_not_equal(request_type(body), SOTTO_REQ_SUBMIT);
    return true;
}

static void a_failing_random_generator_sends_nothing_and_breaks_nothing(void **state)
{
    struct said m, n;

    alice->env.fail_random = 1;
    w.carry = no_submit;
    m = phone_say(alice, "bob", "chance", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_not_equal(phone_result(alice, m.request), SOTTO_RESULT_OK);
    n = phone_say(bob, "alice", "are you well?", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(bob, n.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, "chance"), 0);
    alice->env.fail_random = 0;
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "chance"), 1);
    assert_int_equal(phone_printed(alice, "are you well?"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    assert_int_equal(phone_state(bob, &n), SOTTO_MESSAGE_READ);
}

static bool fail_at_frame(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    unsigned long *left = ctx;

    if (*left > 0 && --*left == 0)
        alice->env.fail_random = bob->env.fail_random = 1;
    return true;
}

static void a_generator_that_fails_at_any_moment_loses_nothing(void **state)
{
    unsigned long at, left;

    world_save(&w, "base");
    for (at = 1;; at++) {
        struct said a, b;

        world_restore(&w, "base");
        world_settle(&w);
        left = at;
        w.carry = fail_at_frame;
        w.carry_ctx = &left;
        a = phone_say(alice, "bob", "one", SOTTO_WAIT_STORED);
        world_run(&w);
        b = phone_say(bob, "alice", "two", SOTTO_WAIT_STORED);
        world_settle(&w);
        w.carry = NULL;
        alice->env.fail_random = bob->env.fail_random = 0;
        world_settle(&w);
        /* A call that failed kept nothing; one that did not has sent it. */
        assert_int_equal(phone_printed(bob, "one"), phone_state(alice, &a) != 0);
        assert_int_equal(phone_printed(alice, "two"), phone_state(bob, &b) != 0);
        if (phone_state(alice, &a) != 0)
            assert_int_equal(phone_state(alice, &a), SOTTO_MESSAGE_READ);
        if (phone_state(bob, &b) != 0)
            assert_int_equal(phone_state(bob, &b), SOTTO_MESSAGE_READ);
        if (left > 0)
            break;
    }
    assert_true(at > 15);
}

/* Bob's disk fails from some write on, and works again later. */
static void disk_fails_at_any_write(int result, bool stays)
{
    long at;

    w.vfs = "faulty";
    phone_crash(bob);
    w.vfs = NULL;
    world_settle(&w);
    for (at = 0;; at++) {
        struct said m;
        char text[48];
        bool failed;

        snprintf(text, sizeof text, "%d at write %ld", result, at);
        faulty.result = result;
        faulty.stays = stays;
        faulty.failures = 0;
        faulty.left = at;
        m = phone_say(alice, "bob", text, SOTTO_WAIT_STORED);
        world_settle(&w);
        failed = faulty.failures > 0;
        faulty.left = -1;
        world_settle(&w);
        world_settle(&w);
        assert_int_equal(phone_printed(bob, text), 1);
        /* A failing write may also have been the note that it was read. */
        assert_true(phone_state(alice, &m) >= SOTTO_MESSAGE_DELIVERED);
        if (!failed)
            break;
    }
    assert_true(at > 10);
}

static void a_full_disk_acknowledges_nothing_and_loses_nothing(void **state)
{
    disk_fails_at_any_write(SQLITE_FULL, true);
}

static void a_failing_disk_acknowledges_nothing_and_loses_nothing(void **state)
{
    disk_fails_at_any_write(SQLITE_IOERR_WRITE, true);
}

static void a_disk_that_fails_once_loses_nothing(void **state)
{
    disk_fails_at_any_write(SQLITE_IOERR_FSYNC, false);
}

/* --- what is said about the connection --- */

static void status_says_why(void **state)
{
    uint32_t request;
    const struct sotto_status_row *row;

    request = phone_call(alice, SOTTO_OP_STATUS, NULL, NULL);
    row = sotto_event_status(phone_event(alice, SOTTO_EVENT_STATUS, request));
    assert_int_equal(row->connection, SOTTO_ONLINE);
    assert_string_equal(row->name, "alice");
    assert_string_equal(row->relay, WORLD_HOST ":12345");
    assert_string_equal(row->group, "X25519MLKEM768");
    assert_int_equal(row->one_time_keys, 64);
    assert_true(row->holds_account_key);
    relay_stop(&w);
    world_pass(&w, 1000);
    (void)phone_say(alice, "bob", "later", SOTTO_WAIT_QUEUED);
    request = phone_call(alice, SOTTO_OP_STATUS, NULL, NULL);
    world_settle(&w);
    assert_result(alice, request, SOTTO_RESULT_OK);
    row = sotto_event_status(phone_event(alice, SOTTO_EVENT_STATUS, request));
    assert_int_equal(row->connection, SOTTO_OFFLINE);
    assert_string_equal(row->why, "connection refused");
    assert_int_equal(row->queued, 1);
    relay_start(&w);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "later"), 1);
}

/* --- clocks --- */

static int64_t clock_off(struct phone *p)
{
    uint32_t request = phone_call(p, SOTTO_OP_STATUS, NULL, NULL);
    const struct sotto_status_row *row =
        sotto_event_status(phone_event(p, SOTTO_EVENT_STATUS, request));

    assert_true(row->clock_known);
    return row->clock_off_ms;
}

static void a_clock_that_is_off_is_said_once_per_connection(void **state)
{
    static const struct {
        int64_t off_ms;
        const char *words; /* NULL: nothing is said */
    } cases[] = {
        {0, NULL},
        {4 * 60 * 1000, NULL},
        {-4 * 60 * 1000, NULL},
        {6 * 60 * 1000, "6 minutes ahead of"},
        {-7 * 60 * 1000, "7 minutes behind"},
        {-30ll * 3600 * 1000, "30 hours behind"},
        {400ll * 24 * 3600 * 1000, "400 days ahead of"},
    };
    uint64_t right;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        phone_cut(alice);
        right = alice->env.now;
        alice->env.now += (uint64_t)cases[i].off_ms;
        phone_forget(alice);
        world_settle(&w);
        assert_true(phone_is_online(alice));
        assert_int_equal(phone_notices(alice, "The clock of this device"), cases[i].words != NULL);
        if (cases[i].words != NULL)
            assert_int_equal(phone_notices(alice, cases[i].words), 1);
        assert_true(clock_off(alice) == cases[i].off_ms);
        alice->env.now -= (uint64_t)cases[i].off_ms;
        assert_true(alice->env.now >= right);
    }
}

/* An older relay, and one that says nonsense. */
static bool other_hello(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct sotto_answer *a = NULL;
    struct sotto_rs_identity identity;

    if (way == UP || answer_type(body) != SOTTO_ANS_HELLO)
        return true;
    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    a->u.hello.time_ms = *(const uint64_t *)ctx;
    assert_int_equal(sotto_rs_identity_load(w.store, &w.env.env, &identity), SOTTO_OK);
    put_answer(body, a, &identity.key);
    sotto_answer_free(a);
    return true;
}

static void a_relay_that_tells_no_time_is_fine(void **state)
{
    static const uint64_t times[] = {0, UINT64_MAX, INT64_MAX};
    uint32_t request;

    for (size_t i = 0; i < 3; i++) {
        w.carry = other_hello;
        w.carry_ctx = (void *)&times[i];
        phone_cut(alice);
        phone_forget(alice);
        world_settle(&w);
        assert_true(phone_is_online(alice));
        assert_int_equal(phone_notices(alice, "clock"), 0);
        request = phone_call(alice, SOTTO_OP_STATUS, NULL, NULL);
        assert_false(
            sotto_event_status(phone_event(alice, SOTTO_EVENT_STATUS, request))->clock_known);
    }
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_lost_answer_to_sign_up_is_not_a_taken_name, setup_empty),
        T(a_taken_name_leaves_the_invite_good_for_another, setup),
        T(nothing_but_signing_up_works_without_an_account, setup),
        T(another_relay_id_is_a_hard_stop, setup),
        T(an_invite_of_another_relay_is_refused, setup),
        T(a_tls_key_that_the_hello_does_not_name_is_a_hard_stop, setup),
        T(a_relay_key_is_changed_without_anybody_noticing, setup),
        T(a_silent_relay_is_left, setup),
        T(a_clock_that_is_off_is_said_once_per_connection, setup),
        T(a_relay_that_tells_no_time_is_fine, setup),
        T(a_relay_that_wants_ever_more_keys_gets_a_few_in_an_hour, setup_empty),
        T(garbage_ends_the_connection_and_nothing_else, setup_friends),
        T(eight_callers_at_once, setup),
        T(no_two_receivers_get_the_same_message, setup),
        T(the_receiver_of_a_conversation_comes_first, setup),
        T(what_was_not_confirmed_comes_again, setup),
        T(a_call_made_again_does_not_send_twice, setup),
        T(text_that_is_not_sent, setup),
        T(a_failing_random_generator_sends_nothing_and_breaks_nothing, setup_friends),
        T(a_generator_that_fails_at_any_moment_loses_nothing, setup_friends),
        T(a_full_disk_acknowledges_nothing_and_loses_nothing, setup_friends),
        T(a_failing_disk_acknowledges_nothing_and_loses_nothing, setup_friends),
        T(a_disk_that_fails_once_loses_nothing, setup_friends),
        T(status_says_why, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
