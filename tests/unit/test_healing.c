/* SPDX-License-Identifier: Apache-2.0 */
/* Put back to an older copy, one by one: a phone, the relay, both; and two copies at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig_internal.h"

static struct world w;
static struct phone *alice, *bob;

/* Two who know each other, and a copy of everything. */
static int setup(void **state)
{
    world_make(&w);
    alice = phone_join(&w, "alice");
    bob = phone_join(&w, "bob");
    phone_befriend(alice, bob);
    phone_save(alice, "old");
    phone_save(bob, "old");
    relay_save(&w, "old");
    return 0;
}

static int teardown(void **state)
{
    world_free(&w);
    return 0;
}

static uint64_t generation(struct phone *p)
{
    uint64_t n = 0;

    assert_int_equal(sotto_setting_get_u64(p->profile, "device.generation", &n), SOTTO_OK);
    return n;
}

/* A line each way arrives, once. */
static void they_can_talk(const char *a, const char *b)
{
    struct said m = phone_say(alice, "bob", a, SOTTO_WAIT_STORED), n;

    world_settle(&w);
    n = phone_say(bob, "alice", b, SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_OK);
    assert_result(bob, n.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, a), 1);
    assert_int_equal(phone_printed(alice, b), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    assert_int_equal(phone_state(bob, &n), SOTTO_MESSAGE_READ);
}

static void an_old_copy_of_a_sender_heals(void **state)
{
    uint64_t healed;

    they_can_talk("one", "two");
    phone_restore(alice, "old");
    world_settle(&w);
    assert_int_equal(phone_notices(alice, "older copy"), 1);
    assert_true((healed = generation(alice)) > 1);
    they_can_talk("three", "four");
    /* Once; a process that starts anew has nothing to heal. */
    phone_crash(alice);
    world_settle(&w);
    assert_int_equal(phone_notices(alice, "older copy"), 1);
    assert_int_equal(generation(alice), healed);
}

static void an_old_copy_of_a_recipient_heals(void **state)
{
    struct said m;

    they_can_talk("one", "two");
    phone_offline(bob);
    m = phone_say(alice, "bob", "on its way", SOTTO_WAIT_STORED);
    world_settle(&w);
    phone_restore(bob, "old");
    phone_online(bob);
    world_settle(&w);
    world_settle(&w);
    assert_int_equal(phone_notices(bob, "older copy"), 1);
    assert_int_equal(phone_printed(bob, "on its way"), 1); /* asked for again */
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    they_can_talk("three", "four");
}

/* What the copy still had to send goes out, under new keys, and counts once. */
static void what_an_old_copy_had_not_sent_is_sent(void **state)
{
    struct said m;

    phone_offline(alice);
    m = phone_say(alice, "bob", "written offline", SOTTO_WAIT_QUEUED);
    phone_save(alice, "unsent");
    phone_online(alice);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "written offline"), 1);
    phone_restore(alice, "unsent");
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "written offline"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ); /* said on the lost line, too */
    they_can_talk("three", "four");
}

static void both_ends_are_old_copies(void **state)
{
    they_can_talk("one", "two");
    phone_kill(alice);
    phone_restore(bob, "old");
    phone_start(alice);
    phone_restore(alice, "old");
    world_settle(&w);
    world_settle(&w);
    they_can_talk("three", "four");
}

static void a_restored_relay_is_told_and_loses_nothing(void **state)
{
    struct said m;

    they_can_talk("one", "two");
    phone_offline(bob);
    m = phone_say(alice, "bob", "stored there only", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_STORED);
    relay_restore(&w, "old", true);
    phone_online(bob);
    world_settle(&w);
    assert_int_equal(phone_notices(alice, "restored from a backup"), 1);
    assert_int_equal(phone_printed(bob, "stored there only"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    they_can_talk("three", "four");
    phone_cut(alice);
    world_settle(&w);
    assert_int_equal(phone_notices(alice, "restored from a backup"), 1);
}

/* Copied back by hand, so that it does not know: whoever signed in since finds it out. */
static void a_relay_put_back_by_hand_loses_nothing(void **state)
{
    struct said m;

    phone_cut(alice);
    phone_cut(bob);
    world_settle(&w);
    they_can_talk("one", "two");
    phone_offline(bob);
    m = phone_say(alice, "bob", "stored there only", SOTTO_WAIT_STORED);
    world_settle(&w);
    relay_restore(&w, "old", false);
    phone_online(bob);
    world_settle(&w);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "stored there only"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    they_can_talk("three", "four");
}

/* The device list is newer than what the copy knows: it takes it up, and can go on from it. */
static void an_old_copy_takes_up_the_newer_list(void **state)
{
    struct phone *tablet = phone_link(alice, "tablet");
    char id[17];
    uint32_t request;

    phone_restore(alice, "old");
    world_settle(&w);
    snprintf(id, sizeof id, "%016llx", (unsigned long long)phone_device(tablet));
    they_can_talk("three", "four");
    assert_int_equal(phone_printed(tablet, "four"), 1);
    request = phone_call(alice, SOTTO_OP_REVOKE, id, NULL);
    world_settle(&w);
    assert_result(alice, request, SOTTO_RESULT_OK);
    assert_false(phone_is_online(tablet));
    they_can_talk("five", "six");
    assert_int_equal(phone_printed(tablet, "six"), 0);
}

/* The linked device heals too, though it cannot sign the list: the one that can does it. */
static void an_old_copy_of_a_linked_device_is_entered_anew(void **state)
{
    struct phone *tablet = phone_link(alice, "tablet");
    struct said m;

    world_settle(&w);
    phone_save(tablet, "old");
    they_can_talk("one", "two");
    assert_int_equal(phone_printed(tablet, "two"), 1);
    phone_restore(tablet, "old");
    world_settle(&w);
    assert_true(generation(tablet) > 1);
    m = phone_say(tablet, "bob", "from the healed one", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(tablet, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, "from the healed one"), 1);
    they_can_talk("three", "four");
    assert_int_equal(phone_printed(tablet, "four"), 1);
}

/* The next frame of this kind to or from alice is lost with her connection; the relay forgets in
 * that moment how far she was. */
static struct {
    enum way way;
    int type;
    bool done;
} loss;

static bool lose(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    if (loss.done || p != alice || way != loss.way ||
        (int)(way == UP ? (int)request_type(body) : (int)answer_type(body)) != loss.type)
        return true;
    loss.done = true;
    phone_cut(alice);
    return false;
}

static void lose_next(enum way way, int type)
{
    loss.way = way;
    loss.type = type;
    loss.done = false;
    w.carry = lose;
    while (!loss.done)
        if (!world_step(&w))
            world_stall(&w, 100);
    w.carry = NULL;
    relay_kill(&w);
}

/* The first answer that names a strange lease is lost: it is named again. */
static void an_old_copy_is_noticed_though_an_answer_is_lost(void **state)
{
    phone_cut(alice);
    world_settle(&w);
    they_can_talk("one", "two");
    phone_restore(alice, "old");
    lose_next(DOWN, SOTTO_ANS_SIGNED_IN);
    assert_int_equal(phone_notices(alice, "older copy"), 0);
    world_settle(&w);
    assert_int_equal(phone_notices(alice, "older copy"), 1);
    assert_true(generation(alice) > 1);
    they_can_talk("three", "four");
}

/* Begin does not arrive, or its answer: no copy is older for that. */
static void a_begin_that_is_lost_is_no_old_copy(void **state)
{
    phone_cut(alice);
    lose_next(UP, SOTTO_REQ_BEGIN);
    world_settle(&w);
    phone_cut(alice);
    lose_next(DOWN, SOTTO_ANS_DONE);
    world_settle(&w);
    assert_int_equal(phone_notices(alice, "older copy"), 0);
    assert_int_equal(generation(alice), 1);
    they_can_talk("one", "two");
}

/* A lease that the relay names and nobody wrote: it can make a client heal, not more than that. */
static bool strange_lease(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct sotto_answer *a = NULL;

    if (way == UP || p != alice || answer_type(body) != SOTTO_ANS_SIGNED_IN)
        return true;
    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    a->u.signed_in.has_previous = true;
    memset(a->u.signed_in.previous_lease, 0x66, SOTTO_LEASE);
    a->u.signed_in.acked = UINT64_MAX;
    put_answer(body, a, NULL);
    sotto_answer_free(a);
    return true;
}

static void a_relay_that_lies_about_leases_breaks_nothing(void **state)
{
    w.carry = strange_lease;
    for (unsigned i = 0; i < 3; i++) {
        phone_cut(alice);
        world_settle(&w);
    }
    w.carry = NULL;
    they_can_talk("three", "four");
    phone_cut(alice);
    world_settle(&w);
    they_can_talk("five", "six");
}

/* The holder of the account key and the relay are put back to before a list that others were given,
 * and neither finds it out from the other. */
static void put_back_before_a_revocation(bool noticed)
{
    struct phone *tablet = phone_link(alice, "tablet");
    char id[17];
    uint32_t request;

    world_settle(&w);
    they_can_talk("one", "two");
    phone_save(alice, "both");
    if (noticed)
        phone_cut(alice); /* the relay's copy names a lease that hers does not */
    world_settle(&w);
    relay_save(&w, "both");
    snprintf(id, sizeof id, "%016llx", (unsigned long long)phone_device(tablet));
    request = phone_call(alice, SOTTO_OP_REVOKE, id, NULL);
    world_settle(&w);
    assert_result(alice, request, SOTTO_RESULT_OK);
    they_can_talk("three", "four");
    assert_int_equal(phone_contact(bob, "alice").list_version, 3);
    phone_offline(bob);
    phone_kill(alice);
    relay_restore(&w, "both", true);
    phone_start(alice);
    phone_restore(alice, "both");
    world_settle(&w);
}

/* Who was given it shows it to the relay, and so to its owner: what he removed stays removed. */
static void a_list_that_only_others_know_is_shown_to_its_owner(void **state)
{
    put_back_before_a_revocation(false);
    assert_int_equal(phone_notices(alice, "older copy"), 0);
    (void)phone_say(alice, "bob", "written before she knows", SOTTO_WAIT_STORED);
    world_settle(&w);
    phone_online(bob);
    world_pass(&w, 120000);
    assert_int_equal(phone_notices(alice, "older copy"), 1);
    assert_true(generation(alice) > 1);
    assert_int_equal(phone_printed(bob, "written before she knows"), 1);
    they_can_talk("five", "six");
    assert_false(phone_is_online(w.phones[2]));
    assert_int_equal(phone_printed(w.phones[2], "six"), 0);
    assert_int_equal(phone_contact(bob, "alice").forked, SOTTO_FORK_NONE);
    phone_crash(alice); /* there is nothing left to heal */
    world_settle(&w);
    assert_int_equal(phone_notices(alice, "older copy"), 1);
}

/* She heals, and signs another list at once: it may not have the number of the lost one. */
static void no_list_has_the_number_of_a_lost_one(void **state)
{
    put_back_before_a_revocation(true);
    assert_int_equal(phone_notices(alice, "older copy"), 1);
    phone_online(bob);
    world_pass(&w, 120000);
    assert_int_equal(phone_contact(bob, "alice").forked, SOTTO_FORK_NONE);
    they_can_talk("five", "six");
}

/* Pre-keys of a generation before the listed one would be taken by nobody. */
static void an_old_copy_learns_its_generation_from_the_list(void **state)
{
    struct phone *tablet = phone_link(alice, "tablet");
    uint64_t first;

    world_settle(&w);
    phone_save(tablet, "first");
    relay_save(&w, "first");
    they_can_talk("one", "two");
    phone_restore(tablet, "first");
    world_settle(&w);
    assert_true((first = generation(tablet)) > 1);
    they_can_talk("three", "four"); /* bob knows it, and alice has signed it */
    phone_kill(tablet);
    relay_restore(&w, "first", true);
    phone_start(tablet);
    phone_restore(tablet, "first");
    world_pass(&w, 120000);
    assert_true(generation(tablet) > first);
    they_can_talk("five", "six");
    assert_int_equal(phone_printed(tablet, "six"), 1);
}

/* A copy that was taken while connected, and a relay that was started anew since: nobody notices
 * that it is old. What the two then write to each other opens at neither end, and each asks the
 * other for it at the same time: nobody may throw away what the other answers on. */
static void two_that_ask_each_other_at_once_are_heard(void **state)
{
    struct said to_bob, to_alice;

    they_can_talk("one", "two");
    phone_offline(bob);
    relay_kill(&w);
    phone_restore(alice, "old");
    phone_offline(alice);
    to_bob = phone_say(alice, "bob", "from an old copy", SOTTO_WAIT_QUEUED);
    to_alice = phone_say(bob, "alice", "to an old copy", SOTTO_WAIT_QUEUED);
    phone_online(alice);
    phone_online(bob);
    world_settle(&w);
    assert_int_equal(phone_notices(alice, "older copy"), 0);
    assert_int_equal(phone_quarantined(alice), 1);
    assert_int_equal(phone_quarantined(bob), 1);
    assert_int_equal(phone_printed(bob, "from an old copy"), 1);
    assert_int_equal(phone_printed(alice, "to an old copy"), 1);
    assert_int_equal(phone_state(alice, &to_bob), SOTTO_MESSAGE_READ);
    assert_int_equal(phone_state(bob, &to_alice), SOTTO_MESSAGE_READ);
    they_can_talk("three", "four");
}

/* And they go on with what works: no line after that has to be asked for, whatever the sessions are
 * called that came apart. */
static void sessions_that_came_apart_are_left_alone(void **state)
{
    for (unsigned i = 0; i < 6; i++) {
        char label[8], text[4][16];
        uint32_t before;

        for (unsigned k = 0; k < 4; k++)
            snprintf(text[k], sizeof text[k], "line %u.%u", i, k);
        world_pass(&w, 120000);
        snprintf(label, sizeof label, "copy%u", i);
        phone_save(alice, label);
        they_can_talk(text[0], text[1]);
        relay_kill(&w);
        phone_restore(alice, label);
        world_settle(&w);
        assert_int_equal(phone_notices(alice, "older copy"), 0);
        (void)phone_say(alice, "bob", text[2], SOTTO_WAIT_STORED);
        world_settle(&w);
        world_pass(&w, 120000); /* lost receipts take a while */
        before = phone_quarantined(alice) + phone_quarantined(bob);
        assert_true(before > i);
        snprintf(text[0], sizeof text[0], "line %u.4", i);
        they_can_talk(text[0], text[3]);
        assert_int_equal(phone_quarantined(alice) + phone_quarantined(bob), before);
    }
}

static bool no_bundles(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    return p != bob || way != UP || request_type(body) != SOTTO_REQ_GET_BUNDLE;
}

/* What alice writes after she was put back comes and does not open; before bob can ask for it he is
 * put back too, and has been so often then. */
static void not_opened_and_put_back(const char *hers, unsigned times)
{
    struct said m;

    relay_kill(&w);
    phone_restore(alice, hers);
    world_settle(&w);
    w.carry = no_bundles;
    m = phone_say(alice, "bob", "twice lost", SOTTO_WAIT_STORED);
    world_run(&w);
    assert_int_equal(phone_quarantined(bob), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_STORED);
    phone_restore(bob, "old");
    w.carry = NULL;
    world_settle(&w);
    assert_int_equal(phone_notices(bob, "older copy"), times);
    world_pass(&w, 120000);
    assert_int_equal(phone_printed(bob, "twice lost"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
}

static void what_had_not_opened_comes_again(void **state)
{
    they_can_talk("one", "two");
    not_opened_and_put_back("old", 1);
    they_can_talk("three", "four");
}

/* What bob has of a return is not taken for what the next one to the same copy has: no line has to
 * be asked for. */
static void an_old_copy_comes_back_again(void **state)
{
    uint64_t last = generation(alice);

    they_can_talk("one", "two");
    for (unsigned i = 0; i < 6; i++) {
        char text[2][16];

        for (unsigned k = 0; k < 2; k++)
            snprintf(text[k], sizeof text[k], "line %u.%u", i, k);
        phone_restore(alice, "old");
        world_settle(&w);
        assert_int_equal(phone_notices(alice, "older copy"), i + 1);
        assert_true(generation(alice) > last);
        last = generation(alice);
        they_can_talk(text[0], text[1]);
        assert_int_equal(phone_quarantined(alice) + phone_quarantined(bob), 0);
    }
}

/* As before, but he had been put back to that copy once already. */
static void what_had_not_opened_comes_again_to_who_comes_back_again(void **state)
{
    they_can_talk("one", "two");
    phone_restore(bob, "old");
    world_settle(&w);
    they_can_talk("three", "four");
    phone_save(alice, "later");
    they_can_talk("five", "six");
    not_opened_and_put_back("later", 2);
    they_can_talk("seven", "eight");
}

/* The generation is the time, but grows whatever the clock says, and not without end. */
static void a_wrong_clock_does_not_stop_generations(void **state)
{
    const struct {
        uint64_t seconds;
        uint32_t want;
    } cases[] = {
        {0, 2},
        {1577836800 - 1, 3},
        {1577836800 + 1, 4},
        {1577836800 + 1000, 1000},
        {1577836800 + 1000, 1001},
        {1577836800ull + UINT32_MAX / 2 + 1000, 1002},
        {UINT64_MAX / 1000 - 1000, 1003},
        {WORLD_NOW_MS / 1000, 0},
    };

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        phone_cut(alice);
        alice->env.now = cases[i].seconds * 1000;
        w.carry = strange_lease;
        world_run(&w);
        world_stall(&w, PHONE_PAUSE_MS);
        world_run(&w);
        w.carry = NULL;
        assert_int_equal(phone_notices(alice, "older copy"), i + 1);
        if (cases[i].want != 0)
            assert_int_equal(generation(alice), cases[i].want);
        else
            assert_in_range(generation(alice), WORLD_NOW_MS / 1000 - 1577836800,
                            WORLD_NOW_MS / 1000 - 1577836800 + 60);
    }
    they_can_talk("three", "four");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_old_copy_of_a_sender_heals),
        T(an_old_copy_of_a_recipient_heals),
        T(what_an_old_copy_had_not_sent_is_sent),
        T(both_ends_are_old_copies),
        T(a_restored_relay_is_told_and_loses_nothing),
        T(a_relay_put_back_by_hand_loses_nothing),
        T(an_old_copy_takes_up_the_newer_list),
        T(an_old_copy_of_a_linked_device_is_entered_anew),
        T(an_old_copy_is_noticed_though_an_answer_is_lost),
        T(a_begin_that_is_lost_is_no_old_copy),
        T(a_relay_that_lies_about_leases_breaks_nothing),
        T(a_list_that_only_others_know_is_shown_to_its_owner),
        T(no_list_has_the_number_of_a_lost_one),
        T(an_old_copy_learns_its_generation_from_the_list),
        T(what_had_not_opened_comes_again),
        T(an_old_copy_comes_back_again),
        T(what_had_not_opened_comes_again_to_who_comes_back_again),
        T(a_wrong_clock_does_not_stop_generations),
        T(two_that_ask_each_other_at_once_are_heard),
        T(sessions_that_came_apart_are_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
