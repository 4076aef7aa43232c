/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What days and weeks do: everything that is renewed, kept or given up after a time. The numbers
 * are those of the protocol, written out here, so that a constant cannot be changed unseen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig_internal.h"
#include "run/client/pause.h"

#define HOUR (3600ull * 1000)
#define DAY  (24 * HOUR)

static struct world w;
static struct phone *alice, *bob;

/* Two who know each other. */
static int setup(void **state)
{
    world_make(&w);
    alice = phone_join(&w, "alice");
    bob = phone_join(&w, "bob");
    phone_befriend(alice, bob);
    return 0;
}

static int teardown(void **state)
{
    world_free(&w);
    return 0;
}

/* All sleep until this long after the world began, and wake up. */
static void sleep_until(uint64_t ms)
{
    uint64_t now = w.env.now - WORLD_NOW_MS;

    assert_true(ms > now);
    world_jump(&w, ms - now);
    world_settle(&w);
    assert_true(alice->no_network || phone_is_online(alice));
}

static void talk(const char *text)
{
    struct said m = phone_say(alice, "bob", text, SOTTO_WAIT_STORED);

    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, text), 1);
}

/* --- what is counted of the frames of one phone --- */

struct watch {
    struct phone *of;
    unsigned bundles, pages, keys, largest_page, signed_keys, delivered;
    bool tamper; /* the phone has lost its sessions whenever something comes */
    uint8_t envelope[SOTTO_ENVELOPE_ID]; /* that came last */
};

static void watch_request(struct watch *x, const struct sotto_buf *body)
{
    struct sotto_request *r = NULL;

    assert_int_equal(sotto_request_decode(body->p, body->n, &r), SOTTO_OK);
    x->bundles += r->type == SOTTO_REQ_GET_BUNDLE;
    if (r->type == SOTTO_REQ_PUT_PREKEYS) {
        unsigned count = (unsigned)r->u.put_prekeys.count;

        x->pages += count > 0;
        x->keys += count;
        x->largest_page = count > x->largest_page ? count : x->largest_page;
        x->signed_keys += r->u.put_prekeys.signed_prekey.n > 0;
    }
    sotto_request_free(r);
}

static bool watch_frames(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct watch *x = ctx;
    struct sotto_answer *a = NULL;

    if (p != x->of)
        return true;
    if (way == UP) {
        watch_request(x, body);
        return true;
    }
    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    if (a->type == SOTTO_ANS_DELIVER) {
        x->delivered++;
        sotto_envelope_id(a->u.deliver.envelope.p, a->u.deliver.envelope.n, x->envelope);
        if (x->tamper)
            assert_int_equal(sotto_sessions_clear(p->profile, "alice", 0), SOTTO_OK);
    }
    sotto_answer_free(a);
    return true;
}

static void watch(struct watch *x, struct phone *of)
{
    *x = (struct watch){.of = of};
    w.carry = watch_frames;
    w.carry_ctx = x;
}

/* --- keys --- */

static uint32_t signed_id(struct phone *p)
{
    uint8_t bytes[SOTTO_PREKEY_BYTES];
    struct sotto_prekey k;

    assert_int_equal(sotto_setting_read(p->profile, "prekey.signed", bytes, sizeof bytes), 0);
    assert_int_equal(sotto_prekey_parse(bytes, sizeof bytes, &k), 0);
    return k.id;
}

static bool has_private(struct phone *p, uint32_t id)
{
    struct sotto_prekey_private k;
    enum sotto_err err = sotto_prekey_find(p->profile, SOTTO_PREKEY_SIGNED, id, &k);

    sotto_prekey_private_wipe(&k);
    assert_true(err == SOTTO_OK || err == SOTTO_ERR_NOT_FOUND);
    return err == SOTTO_OK;
}

static void signed_prekeys_are_renewed_weekly_and_kept_40_days(void **state)
{
    uint32_t first = signed_id(alice), second;
    struct watch x;

    watch(&x, alice);
    sleep_until(7 * DAY - 2 * HOUR);
    assert_int_equal(x.signed_keys, 0);
    assert_int_equal(signed_id(alice), first);
    sleep_until(7 * DAY + 2 * HOUR);
    assert_int_equal(x.signed_keys, 1); /* and the relay has it */
    second = signed_id(alice);
    assert_int_not_equal(second, first);
    sleep_until(14 * DAY + 4 * HOUR);
    assert_int_equal(x.signed_keys, 2);
    assert_int_not_equal(signed_id(alice), second);
    /* Longer than the longest stored first message under it. */
    sleep_until(40 * DAY - 2 * HOUR);
    assert_true(has_private(alice, first));
    sleep_until(40 * DAY + 2 * HOUR);
    assert_false(has_private(alice, first));
    assert_true(has_private(alice, second));
}

static bool lose_the_first(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    unsigned *left = ctx;

    if (p != alice || way == UP || answer_type(body) != SOTTO_ANS_PREKEYS_KEPT || *left == 0)
        return true;
    --*left;
    return false;
}

/* Else the relay would give out the old one for a week more, or until it has expired. */
static void a_signed_prekey_whose_upload_was_lost_is_sent_again(void **state)
{
    unsigned left = 1;
    struct watch x;
    uint32_t id;

    w.carry = lose_the_first;
    w.carry_ctx = &left;
    sleep_until(8 * DAY);
    assert_int_equal(left, 0);
    id = signed_id(alice);
    watch(&x, alice);
    phone_crash(alice);
    world_settle(&w);
    assert_int_equal(x.signed_keys, 1);
    assert_int_equal(signed_id(alice), id); /* the same one */
    phone_cut(alice);
    world_settle(&w);
    assert_int_equal(x.signed_keys, 1);
}

static void read_sealing(struct phone *p, uint8_t ret[32])
{
    assert_int_equal(sotto_setting_read(p->profile, "device.sealing", ret, 32), SOTTO_OK);
}

static void sealing_keys_are_renewed_monthly_and_the_last_one_still_opens(void **state)
{
    uint8_t first[32], now[32];
    uint32_t version = phone_contact(bob, "alice").list_version;

    read_sealing(alice, first);
    sleep_until(29 * DAY);
    read_sealing(alice, now);
    assert_memory_equal(now, first, 32);
    phone_stop(alice);
    (void)phone_say(bob, "alice", "sealed with the old one", SOTTO_WAIT_STORED);
    world_settle(&w);
    world_jump(&w, 2 * DAY);
    phone_start(alice);
    world_settle(&w);
    world_pass(&w, HOUR);
    read_sealing(alice, now);
    assert_memory_not_equal(now, first, 32);
    assert_int_equal(phone_printed(alice, "sealed with the old one"), 1);
    /* Others take it from the list. */
    (void)phone_say(bob, "alice", "sealed with the new one", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_printed(alice, "sealed with the new one"), 1);
    assert_int_equal(phone_contact(bob, "alice").list_version, version + 1);
    sleep_until(61 * DAY + 4 * HOUR);
    read_sealing(alice, first);
    assert_memory_not_equal(now, first, 32);
}

/* As many askers would. */
static uint32_t take_one_time(const char *name, uint64_t id, unsigned count)
{
    struct sotto_rs_account account;
    struct sotto_rs_device device;
    uint8_t key[SOTTO_PREKEY_BYTES];
    uint32_t left;

    assert_int_equal(sotto_rs_account_find(w.store, name, &account), SOTTO_OK);
    assert_int_equal(sotto_rs_device_find(w.store, account.id, id, &device), SOTTO_OK);
    while (count-- > 0)
        assert_int_equal(sotto_rs_one_time_take(w.store, device.box, w.env.now, key), SOTTO_OK);
    assert_int_equal(sotto_rs_one_time_count(w.store, device.box, &left), SOTTO_OK);
    return left;
}

static void one_time_keys_are_refilled_in_pages(void **state)
{
    struct phone *carol = phone_make(&w, "carol");
    struct watch x;
    uint32_t request;

    watch(&x, carol);
    request = phone_register(carol, NULL, "carol");
    world_settle(&w);
    assert_result(carol, request, SOTTO_RESULT_OK);
    assert_true(x.keys == 64 && x.pages == 2 && x.largest_page == 32);
    assert_int_equal(take_one_time("carol", phone_device(carol), 30), 34);
    phone_cut(carol);
    world_settle(&w);
    assert_int_equal(x.keys, 64); /* enough are left */
    assert_int_equal(take_one_time("carol", phone_device(carol), 10), 24);
    phone_cut(carol);
    world_settle(&w);
    assert_true(x.keys == 64 + 40 && x.pages == 4 && x.largest_page == 32);
    assert_int_equal(take_one_time("carol", phone_device(carol), 0), 64);
}

/* --- sessions --- */

struct sessions {
    size_t count;
    uint8_t id[16][SOTTO_SESSION_ID];
};

static enum sotto_err note_session(void *ctx, const uint8_t id[SOTTO_SESSION_ID],
                                   struct sotto_bytes record, uint64_t used_ms)
{
    struct sessions *s = ctx;

    (void)record;
    (void)used_ms;
    assert_true(s->count < 16);
    memcpy(s->id[s->count++], id, SOTTO_SESSION_ID);
    return SOTTO_OK;
}

static struct sessions sessions_of(struct phone *p, const char *name, uint64_t device)
{
    struct sessions s = {0};

    assert_int_equal(sotto_sessions_each(p->profile, name, device, note_session, &s), SOTTO_OK);
    return s;
}

static bool holds(const struct sessions *s, const uint8_t id[SOTTO_SESSION_ID])
{
    for (size_t i = 0; i < s->count; i++)
        if (memcmp(s->id[i], id, SOTTO_SESSION_ID) == 0)
            return true;
    return false;
}

static void a_session_is_30_days_good_for_sending(void **state)
{
    struct watch x;

    watch(&x, alice);
    sleep_until(30 * DAY - 2 * HOUR);
    talk("on the old session");
    assert_int_equal(x.bundles, 0);
    sleep_until(30 * DAY + 2 * HOUR);
    talk("on a new one");
    assert_int_equal(x.bundles, 1);
    talk("and again");
    assert_int_equal(x.bundles, 1);
}

static void an_old_session_still_receives_for_40_days(void **state)
{
    struct sessions first = sessions_of(alice, "bob", phone_device(bob)), now;

    assert_in_range(first.count, 1, 2);
    sleep_until(31 * DAY);
    talk("a new session");
    now = sessions_of(alice, "bob", phone_device(bob));
    assert_true(now.count > first.count && holds(&now, first.id[0]));
    sleep_until(40 * DAY - 2 * HOUR);
    talk("day 39");
    now = sessions_of(alice, "bob", phone_device(bob));
    assert_true(holds(&now, first.id[0]));
    sleep_until(40 * DAY + 2 * HOUR);
    talk("day 40");
    now = sessions_of(alice, "bob", phone_device(bob));
    for (size_t i = 0; i < first.count; i++)
        assert_false(holds(&now, first.id[i]));
    assert_true(now.count > 0);
}

static void at_most_eight_sessions_are_kept_with_a_device(void **state)
{
    char text[16];

    for (unsigned i = 0; i < 12; i++) {
        struct sessions s;

        assert_int_equal(sotto_sessions_clear(alice->profile, "bob", 0), SOTTO_OK);
        snprintf(text, sizeof text, "first %u", i);
        talk(text);
        s = sessions_of(bob, "alice", phone_device(alice));
        assert_in_range(s.count, 1, 8);
        assert_true(i < 8 || s.count == 8);
    }
}

/* --- messages --- */

static void a_message_is_encrypted_again_three_times_at_most(void **state)
{
    struct watch x;
    struct said m;

    watch(&x, bob);
    x.tamper = true;
    m = phone_say(alice, "bob", "never opens", SOTTO_WAIT_STORED);
    world_pass(&w, 10 * 60 * 1000);
    assert_int_equal(x.delivered, 1 + 3);
    assert_int_equal(phone_printed(bob, "never opens"), 0);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_STORED);
    x.tamper = false;
    talk("but this does");
}

static void what_is_not_delivered_in_30_days_fails_and_can_be_sent_again(void **state)
{
    struct said m;
    struct row row;

    phone_offline(bob);
    m = phone_say(alice, "bob", "are you there?", SOTTO_WAIT_STORED);
    world_settle(&w);
    sleep_until(30 * DAY - 2 * HOUR);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_STORED);
    assert_result(alice, phone_call(alice, SOTTO_OP_RESEND, m.hex, NULL), SOTTO_RESULT_USAGE);
    sleep_until(30 * DAY + 2 * HOUR);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_FAILED);
    assert_true(phone_row(alice, "bob", "are you there?", &row));
    assert_non_null(strstr(row.reason, "expired"));
    assert_true(phone_count(alice, SOTTO_EVENT_STATE, 0) > 0);
    sleep_until(32 * DAY); /* the relay has given it up as well */
    phone_online(bob);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "are you there?"), 0);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_FAILED);
    assert_result(alice, phone_call(alice, SOTTO_OP_RESEND, m.hex, NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "are you there?"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    assert_result(alice, phone_call(alice, SOTTO_OP_RESEND, m.hex, NULL), SOTTO_RESULT_USAGE);
}

/* The longest that a mailbox keeps anything, and some days for wrong clocks. */
static void ids_of_seen_envelopes_are_kept_35_days(void **state)
{
    struct watch x;

    watch(&x, bob);
    talk("once");
    assert_true(x.delivered > 0);
    sleep_until(35 * DAY - 2 * HOUR);
    assert_int_equal(sotto_seen_note(bob->profile, x.envelope, w.env.now), SOTTO_ERR_REPLAY);
    sleep_until(35 * DAY + 2 * HOUR);
    assert_int_equal(sotto_seen_note(bob->profile, x.envelope, w.env.now), SOTTO_OK);
}

/* --- connections --- */

struct day {
    unsigned pings[2]; /* of each phone */
    unsigned others;
};

static bool count_pings(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct day *d = ctx;

    if (way == UP && request_type(body) == SOTTO_REQ_PING)
        d->pings[p == bob]++;
    else if (way == UP || answer_type(body) != SOTTO_ANS_DONE)
        d->others++;
    return true;
}

/* A day of silence: one ping a minute of each and nothing else, no connection is made anew, and the
 * first word afterwards arrives at once. */
static void a_connection_lasts_a_day(void **state)
{
    unsigned made = w.connections;
    struct day d = {.others = 0};

    w.carry = count_pings;
    w.carry_ctx = &d;
    world_pass(&w, 24 * HOUR);
    assert_int_equal(w.connections, made);
    assert_true(phone_is_online(alice) && phone_is_online(bob));
    assert_in_range(d.pings[0], 24 * 60 - 30, 24 * 60 + 30);
    assert_in_range(d.pings[1], 24 * 60 - 30, 24 * 60 + 30);
    assert_int_equal(d.others, 0);
    w.carry = NULL;
    (void)phone_say(alice, "bob", "a day later", SOTTO_WAIT_STORED);
    world_run(&w);
    assert_int_equal(phone_printed(bob, "a day later"), 1);
    assert_int_equal(w.connections, made);
}

/* The same with a word every hour. */
static void a_conversation_lasts_a_day(void **state)
{
    unsigned made = w.connections;
    char text[32];

    for (int hour = 0; hour < 24; hour++) {
        world_pass(&w, HOUR);
        snprintf(text, sizeof text, "hour %d", hour);
        (void)phone_say(hour % 2 ? alice : bob, hour % 2 ? "bob" : "alice", text,
                        SOTTO_WAIT_STORED);
        world_run(&w);
        assert_int_equal(phone_printed(hour % 2 ? bob : alice, text), 1);
    }
    assert_int_equal(w.connections, made);
}

static bool swallow_bobs(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    return p != bob;
}

/* A network that swallows everything without telling either end (another address, a router that
 * forgot): nobody believes for hours in a connection that is dead, and what was sent meanwhile
 * comes, once. */
static void a_dead_connection_is_noticed(void **state)
{
    for (int night = 0; night < 3; night++) {
        unsigned made = w.connections;
        struct said m;
        char text[32];

        w.carry = swallow_bobs;
        snprintf(text, sizeof text, "night %d", night);
        m = phone_say(alice, "bob", text, SOTTO_WAIT_STORED);
        world_settle(&w);
        assert_result(alice, m.request, SOTTO_RESULT_OK); /* stored, though he seemed to be there */
        world_pass(&w, 8 * HOUR);
        assert_int_equal(phone_printed(bob, text), 0);
        assert_false(phone_is_online(bob));
        w.carry = NULL;
        world_pass(&w, 2 * 60 * 1000);
        assert_true(phone_is_online(bob) && w.connections > made);
        assert_int_equal(phone_printed(bob, text), 1);
    }
    talk("morning");
}

/* --- pauses --- */

static void pauses_grow_to_a_minute_and_never_above(void **state)
{
    static const uint32_t longest[] = {500,   1000,  2000,  4000,  8000, 16000,
                                       32000, 60000, 60000, 60000, 60000};
    struct sotto_env_fixed env;
    uint8_t seed[32] = {7};
    uint32_t last = 0, pause, differ = 0, before = 0;

    sotto_env_fixed_init(&env, seed, WORLD_NOW_MS);
    for (size_t i = 0; i < sizeof longest / sizeof longest[0]; i++) {
        pause = sotto_pause_next(&env.env, &last);
        assert_int_equal(last, longest[i]);
        assert_in_range(pause, longest[i] / 2, longest[i]);
    }
    for (unsigned i = 0; i < 1000; i++) {
        pause = sotto_pause_next(&env.env, &last);
        assert_in_range(pause, 30000, 60000);
        differ += pause != before;
        before = pause;
    }
    assert_true(differ > 900);
    env.fail_random = 1;
    assert_int_equal(sotto_pause_next(&env.env, &last), 30000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(signed_prekeys_are_renewed_weekly_and_kept_40_days),
        T(a_signed_prekey_whose_upload_was_lost_is_sent_again),
        T(sealing_keys_are_renewed_monthly_and_the_last_one_still_opens),
        T(one_time_keys_are_refilled_in_pages),
        T(a_session_is_30_days_good_for_sending),
        T(an_old_session_still_receives_for_40_days),
        T(at_most_eight_sessions_are_kept_with_a_device),
        T(a_message_is_encrypted_again_three_times_at_most),
        T(what_is_not_delivered_in_30_days_fails_and_can_be_sent_again),
        T(ids_of_seen_envelopes_are_kept_35_days),
        T(a_connection_lasts_a_day),
        T(a_conversation_lasts_a_day),
        T(a_dead_connection_is_noticed),
        cmocka_unit_test(pauses_grow_to_a_minute_and_never_above),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
