/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of one account: added, approved, revoked, and the account's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/engine.h"
#include "engine_rig_internal.h"

#define DAY_MS (24ull * 3600 * 1000)

static struct world w;
static struct phone *alice, *bob, *tablet;

/* Two who know each other. */
static int setup(void **state)
{
    world_make(&w);
    alice = phone_join(&w, "alice");
    bob = phone_join(&w, "bob");
    phone_befriend(alice, bob);
    return 0;
}

static int setup_tablet(void **state)
{
    setup(state);
    tablet = phone_link(alice, "tablet");
    return 0;
}

static int teardown(void **state)
{
    world_free(&w);
    return 0;
}

static const char *link_code(const struct phone *p, uint32_t login)
{
    const struct sotto_event *e = phone_event(p, SOTTO_EVENT_LINK, login);

    assert_non_null(e);
    assert_true(sotto_event_link(e)->ours);
    return sotto_event_link(e)->code;
}

static void hex_of(struct phone *p, char ret[17])
{
    snprintf(ret, 17, "%016llx", (unsigned long long)phone_device(p));
}

/* How many rows of the answer are in this state. */
static size_t device_rows(struct phone *p, const char *state)
{
    uint32_t request = phone_call(p, SOTTO_OP_DEVICES, NULL, NULL);
    size_t n = 0;

    world_run(&w);
    assert_result(p, request, SOTTO_RESULT_OK);
    for (size_t i = 0; i < p->told_count; i++) {
        const struct sotto_device_row *row = sotto_event_device(p->told[i].event);

        n += row != NULL && sotto_event_request(p->told[i].event) == request &&
             strcmp(row->state, state) == 0;
    }
    return n;
}

/* It knows what the first device knows of bob. */
static void knows_bob(struct phone *p)
{
    struct sotto_contact_record ours = phone_contact(alice, "bob"), c = phone_contact(p, "bob");

    assert_int_equal(c.state, SOTTO_CONTACT_ACCEPTED);
    assert_true(c.has_our_token && c.has_their_token);
    assert_memory_equal(c.our_token, ours.our_token, SOTTO_TOKEN);
    assert_memory_equal(c.their_token, ours.their_token, SOTTO_TOKEN);
}

/* --- adding --- */

static void a_linked_device_takes_part(void **state)
{
    struct said m;

    knows_bob(tablet);
    assert_int_equal(device_rows(alice, "listed"), 1);
    assert_int_equal(device_rows(tablet, "this"), 1);
    m = phone_say(bob, "alice", "to both", SOTTO_WAIT_DELIVERED);
    world_settle(&w);
    assert_result(bob, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(alice, "to both"), 1);
    assert_int_equal(phone_printed(tablet, "to both"), 1);
    m = phone_say(tablet, "bob", "from the tablet", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(tablet, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, "from the tablet"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ); /* a copy of what was sent */
    assert_int_equal(phone_state(tablet, &m), SOTTO_MESSAGE_READ);
    assert_int_equal(phone_printed(alice, "from the tablet"), 0);
}

static void only_the_right_code_approves(void **state)
{
    struct phone *p = phone_make(&w, "tablet");
    uint32_t wrong = phone_login(p, "alice", "another six words altogether"), login, request;
    char code[SOTTO_LINK_CODE + 1];

    world_run(&w);
    assert_result(p, wrong, SOTTO_RESULT_PROFILE);
    assert_null(phone_event(p, SOTTO_EVENT_LINK, wrong));
    login = phone_login(p, "alice", PASSPHRASE);
    world_run(&w);
    snprintf(code, sizeof code, "%s", link_code(p, login));
    assert_int_equal(device_rows(alice, "pending"), 1);
    code[0] = code[0] == 'A' ? 'B' : 'A';
    request = phone_call(alice, SOTTO_OP_APPROVE, code, NULL);
    world_run(&w);
    assert_result(alice, request, SOTTO_RESULT_USAGE);
    request = phone_call(bob, SOTTO_OP_APPROVE, link_code(p, login), NULL);
    world_run(&w);
    assert_result(bob, request, SOTTO_RESULT_USAGE);
    assert_false(sotto_engine_has_account(p->engine));
    world_pass(&w, 10 * 60 * 1000 + 1000);
    assert_result(p, login, SOTTO_RESULT_FAILED);
    assert_non_null(strstr(phone_done(p, login)->text, "ten minutes"));
}

/* The person tries again: logs in where the login ended, approves where the device still waits. */
static void try_again(struct phone *p, uint32_t login)
{
    uint32_t again = phone_login(p, "alice", PASSPHRASE), request;

    world_settle(&w);
    if (sotto_engine_has_account(p->engine))
        return;
    request = phone_call(alice, SOTTO_OP_APPROVE,
                         link_code(p, phone_result(p, again) < 0 ? again : login), NULL);
    world_settle(&w);
    assert_result(alice, request, SOTTO_RESULT_OK);
}

static void approval_survives(enum fault_kind kind, bool early)
{
    unsigned long at = 0;
    bool fired;

    do {
        char name[24], id[17];
        struct phone *p;
        uint32_t login, request;

        snprintf(name, sizeof name, "tablet-%u-%lu", (unsigned)kind * 2 + early, ++at);
        p = phone_make(&w, name);
        login = phone_login(p, "alice", PASSPHRASE);
        world_run(&w);
        fault_arm(&w, kind, at, early);
        (void)phone_call(alice, SOTTO_OP_APPROVE, link_code(p, login), NULL);
        world_settle(&w);
        fired = w.fault.fired;
        fault_arm(&w, FAULT_NONE, 0, false);
        if (!sotto_engine_has_account(p->engine))
            try_again(p, login);
        world_settle(&w);
        assert_true(phone_is_online(p));
        knows_bob(p);
        hex_of(p, id);
        request = phone_call(alice, SOTTO_OP_REVOKE, id, NULL);
        world_settle(&w);
        assert_result(alice, request, SOTTO_RESULT_OK);
        phone_drop(p);
    } while (fired);
    assert_true(at > 10);
}

static void an_approval_that_is_cut_anywhere_can_be_finished(void **state)
{
    for (int early = 0; early < 2; early++)
        approval_survives(FAULT_CUT, early);
}

static void an_approval_survives_kills(void **state)
{
    for (int early = 0; early < 2; early++) {
        approval_survives(FAULT_KILL_PHONE, early);
        approval_survives(FAULT_KILL_RELAY, early);
    }
}

/* --- taking away --- */

static void a_revoked_device_is_out(void **state)
{
    char id[17];
    struct said m;
    uint32_t request;

    hex_of(tablet, id);
    assert_result(tablet, phone_call(tablet, SOTTO_OP_REVOKE, id, NULL), SOTTO_RESULT_PROFILE);
    request = phone_call(alice, SOTTO_OP_REVOKE, "0000", NULL);
    assert_result(alice, request, SOTTO_RESULT_USAGE);
    request = phone_call(alice, SOTTO_OP_REVOKE, id, NULL);
    world_settle(&w);
    assert_result(alice, request, SOTTO_RESULT_OK);
    assert_false(phone_is_online(tablet));
    m = phone_say(bob, "alice", "not for the tablet", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(bob, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(alice, "not for the tablet"), 1);
    assert_int_equal(phone_printed(tablet, "not for the tablet"), 0);
    assert_result(tablet, phone_say(tablet, "bob", "let me", SOTTO_WAIT_STORED).request,
                  SOTTO_RESULT_PROFILE);
    phone_crash(tablet);
    world_settle(&w);
    assert_false(tablet->linked); /* it does not even try */
    assert_int_equal(device_rows(alice, "listed"), 0);
}

static void a_deleted_account_is_called_deleted_everywhere(void **state)
{
    uint32_t request;
    const struct sotto_status_row *row;

    phone_offline(tablet);
    request = phone_call(tablet, SOTTO_OP_ACCOUNT_DELETE, NULL, NULL);
    assert_result(tablet, request, SOTTO_RESULT_PROFILE);
    request = phone_call(alice, SOTTO_OP_ACCOUNT_DELETE, NULL, NULL);
    world_settle(&w);
    assert_result(alice, request, SOTTO_RESULT_OK);
    phone_online(tablet);
    world_settle(&w);
    phone_crash(tablet);
    world_settle(&w);
    request = phone_call(tablet, SOTTO_OP_STATUS, NULL, NULL);
    row = sotto_event_status(phone_event(tablet, SOTTO_EVENT_STATUS, request));
    assert_non_null(strstr(row->why, "account was deleted"));
}

/* --- a relay that lies --- */

/* Says that the account has a list of a number near the last one, and does not show it. */
static bool far_ahead(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct sotto_answer *a = NULL;

    if (way == UP || p != alice)
        return true;
    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    if (a->type == SOTTO_ANS_SIGNED_IN) {
        a->u.signed_in.list_version = UINT32_MAX - 1;
        put_answer(body, a, NULL);
    } else if (a->type == SOTTO_ANS_LISTS) {
        memset(&a->u, 0, sizeof a->u);
        a->type = SOTTO_ANS_ERROR;
        a->u.error.code = SOTTO_RELAY_UNAVAILABLE;
        put_answer(body, a, NULL);
    }
    sotto_answer_free(a);
    return true;
}

static bool no_far_list(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct sotto_request *r = NULL;
    struct sotto_list *list = malloc(sizeof *list);

    if (way == DOWN) {
        free(list);
        return far_ahead(ctx, p, way, body);
    }
    assert_non_null(list);
    assert_int_equal(sotto_request_decode(body->p, body->n, &r), SOTTO_OK);
    if (r->type == SOTTO_REQ_PUT_LIST) {
        assert_int_equal(sotto_list_open(r->u.put_list.list.p, r->u.put_list.list.n, list),
                         SOTTO_OK);
        assert_true(list->version < 10);
    }
    sotto_request_free(r);
    free(list);
    return true;
}

/* After the last number there is no other: a device could never be revoked again. */
static void a_relay_cannot_use_up_the_numbers_of_lists(void **state)
{
    char id[17];
    uint32_t request;

    hex_of(tablet, id);
    w.carry = no_far_list;
    phone_cut(alice);
    world_settle(&w);
    request = phone_call(alice, SOTTO_OP_REVOKE, id, NULL);
    world_settle(&w);
    assert_result(alice, request, SOTTO_RESULT_FAILED);
    w.carry = NULL;
    phone_cut(alice);
    world_settle(&w);
    request = phone_call(alice, SOTTO_OP_REVOKE, id, NULL);
    world_settle(&w);
    assert_result(alice, request, SOTTO_RESULT_OK);
}

static bool no_links(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    unsigned *asked = ctx;

    if (way == UP && p == alice && request_type(body) == SOTTO_REQ_GET_LINKS) {
        ++*asked;
        return false;
    }
    return true;
}

/* What is asked on a relay's word is asked once at a time, or its words fill the memory. */
static void a_relay_that_never_stops_calling_gets_one_question(void **state)
{
    struct sotto_answer push = {.type = SOTTO_ANS_LINK_PENDING};
    SOTTO_AUTO_BUF body = SOTTO_BUF(1024);
    unsigned asked = 0;

    put_answer(&body, &push, NULL);
    w.carry = no_links;
    w.carry_ctx = &asked;
    for (unsigned i = 0; i < 1000; i++) {
        sotto_engine_frame(alice->engine, body.p, body.n);
        rig_phone_after(alice);
        world_run(&w);
    }
    assert_int_equal(asked, 1);
}

/* --- one profile, one sign-up --- */

static void a_second_sign_up_waits_for_nobody(void **state)
{
    struct phone *p = phone_make(&w, "new");
    uint32_t one = phone_register(p, NULL, "carol"), two = phone_register(p, NULL, "dave");

    world_settle(&w);
    assert_result(p, one, SOTTO_RESULT_OK);
    assert_result(p, two, SOTTO_RESULT_FAILED);
    assert_true(phone_is_online(p));
    phone_crash(p);
    world_settle(&w);
    assert_true(phone_is_online(p));
}

/* A connection to one relay is no connection to another. */
static void the_next_invite_goes_to_its_own_relay(void **state)
{
    static const uint8_t other_key[32] = "the key of quite another relay";
    struct phone *p = phone_make(&w, "new");
    char pin[SOTTO_PIN_TEXT];
    struct sotto_call call = {.op = SOTTO_OP_REGISTER, .ref.request = 1000};
    uint32_t first = phone_register(p, NULL, "alice");

    world_run(&w);
    assert_result(p, first, SOTTO_RESULT_FAILED); /* taken */
    sotto_pin_print(other_key, pin);
    call.s[0] = (struct sotto_bytes){(const uint8_t *)"other.test:12345", 16};
    call.s[1] = (struct sotto_bytes){(const uint8_t *)pin, strlen(pin)};
    call.s[2] = (struct sotto_bytes){(const uint8_t *)"carol", 5};
    call.s[3] = (struct sotto_bytes){(const uint8_t *)PASSPHRASE, strlen(PASSPHRASE)};
    phone_calls(p, &call);
    world_settle(&w);
    assert_result(p, 1000, SOTTO_RESULT_SECURITY); /* the rig's relay does not have that key */
    assert_false(sotto_engine_has_account(p->engine));
}

/* --- a device that cannot be reached holds up nobody --- */

struct keyless {
    uint64_t device;
    enum sotto_relay_error says;
    uint32_t asked; /* the request for its keys */
    unsigned times;
};

/* The relay has no keys of one device. */
static bool without_keys(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct keyless *k = ctx;
    struct sotto_request *r = NULL;
    struct sotto_answer *a = NULL;

    if (p != bob)
        return true;
    if (way == UP && request_type(body) == SOTTO_REQ_GET_BUNDLE) {
        assert_int_equal(sotto_request_decode(body->p, body->n, &r), SOTTO_OK);
        if (r->u.get_bundle.device == k->device) {
            k->asked = r->id;
            k->times++;
        }
        sotto_request_free(r);
    } else if (way == DOWN && answer_type(body) == SOTTO_ANS_BUNDLE) {
        assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
        if (a->id == k->asked) {
            struct sotto_answer no = {.id = a->id, .type = SOTTO_ANS_ERROR};

            no.u.error.code = k->says;
            snprintf(no.u.error.text, sizeof no.u.error.text, "no keys");
            put_answer(body, &no, NULL);
        }
        sotto_answer_free(a);
    }
    return true;
}

static enum sotto_err count_item(void *ctx, const struct sotto_item *item)
{
    (void)item;
    ++*(unsigned *)ctx;
    return SOTTO_OK;
}

static unsigned items_of(struct phone *p, const struct said *m)
{
    unsigned n = 0;

    assert_int_equal(sotto_item_of_content(p->profile, m->id, count_item, &n), SOTTO_OK);
    return n;
}

/* Bob has heard of the tablet, and has no session with it. */
static struct keyless keys_are_gone(enum sotto_relay_error says)
{
    struct keyless k = {.device = phone_device(tablet), .says = says};

    (void)phone_say(tablet, "bob", "my new tablet", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(sotto_sessions_clear(bob->profile, "alice", k.device), SOTTO_OK);
    assert_int_equal(sotto_sessions_clear(tablet->profile, "bob", 0), SOTTO_OK);
    return k;
}

static void one_without_keys_gets_it_later(enum sotto_relay_error says)
{
    struct keyless k = keys_are_gone(says);
    size_t before = phone_printed(tablet, NULL);
    struct said first, second;

    w.carry = without_keys;
    w.carry_ctx = &k;
    first = phone_say(bob, "alice", "first", SOTTO_WAIT_STORED);
    second = phone_say(bob, "alice", "second", SOTTO_WAIT_DELIVERED);
    world_run(&w); /* without any clock */
    assert_result(bob, first.request, SOTTO_RESULT_OK);
    assert_result(bob, second.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(alice, "first") + phone_printed(alice, "second"), 2);
    assert_int_equal(phone_printed(tablet, NULL), before);
    assert_int_equal(phone_state(bob, &second), SOTTO_MESSAGE_DELIVERED);
    assert_in_range(k.times, 1, 2);
    world_pass(&w, 3600 * 1000);
    assert_in_range(k.times, 5, 20); /* it is tried again, at growing pauses */
    assert_int_equal(phone_printed(tablet, NULL), before);
    assert_int_equal(phone_state(bob, &second), SOTTO_MESSAGE_READ);
    w.carry = NULL;
    world_pass(&w, 700 * 1000);
    assert_int_equal(phone_printed(tablet, NULL), before + 2);
    assert_string_equal(tablet->printed[before].text, "first");
    assert_string_equal(tablet->printed[before + 1].text, "second");
    assert_int_equal(phone_printed(alice, "first"), 1);
    assert_int_equal(items_of(bob, &first) + items_of(bob, &second), 0);
}

static void a_device_that_never_uploaded_keys_holds_up_nobody(void **state)
{
    one_without_keys_gets_it_later(SOTTO_RELAY_UNAVAILABLE);
}

static void a_device_that_the_relay_does_not_know_holds_up_nobody(void **state)
{
    one_without_keys_gets_it_later(SOTTO_RELAY_UNKNOWN_DEVICE);
}

/* What it writes opens a session with it: nobody waits for the next try. */
static void a_device_without_keys_that_writes_is_reached(void **state)
{
    struct keyless k = keys_are_gone(SOTTO_RELAY_UNAVAILABLE);

    w.carry = without_keys;
    w.carry_ctx = &k;
    (void)phone_say(bob, "alice", "are you there?", SOTTO_WAIT_STORED);
    world_pass(&w, 3600 * 1000);
    assert_int_equal(phone_printed(tablet, "are you there?"), 0);
    (void)phone_say(tablet, "bob", "I am", SOTTO_WAIT_STORED);
    world_run(&w);
    assert_int_equal(phone_printed(tablet, "are you there?"), 1);
}

static void a_dormant_device_without_keys_is_waited_for_by_nobody(void **state)
{
    struct keyless k = keys_are_gone(SOTTO_RELAY_UNAVAILABLE);
    struct said m;

    w.carry = without_keys;
    w.carry_ctx = &k;
    phone_offline(tablet);
    world_jump(&w, 29 * DAY_MS);
    m = phone_say(bob, "alice", "day 29", SOTTO_WAIT_DELIVERED);
    world_settle(&w);
    assert_result(bob, m.request, SOTTO_RESULT_OK);
    assert_int_equal(items_of(bob, &m), 1); /* for the tablet */
    world_jump(&w, 2 * DAY_MS);
    assert_int_equal(items_of(bob, &m), 0);
    m = phone_say(bob, "alice", "day 31", SOTTO_WAIT_DELIVERED);
    world_settle(&w);
    assert_result(bob, m.request, SOTTO_RESULT_OK);
    assert_int_equal(items_of(bob, &m), 0);
    /* It comes back: it is no different from others. */
    w.carry = NULL;
    phone_online(tablet);
    world_pass(&w, 700 * 1000);
    (void)phone_say(bob, "alice", "welcome", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_printed(tablet, "welcome"), 1);
}

/* Its box is full; what others get, and what is said of it, does not depend on that. */
static void a_dormant_device_with_a_full_mailbox_is_waited_for_by_nobody(void **state)
{
    struct said m = {.request = 0}, first = {.request = 0};
    char text[16];

    w.config.quota_messages = 64; /* eight of one sender */
    world_configure(&w);
    phone_offline(tablet);
    world_jump(&w, 20 * DAY_MS);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "message %u", i);
        m = phone_say(bob, "alice", text, SOTTO_WAIT_DELIVERED);
        world_run(&w);
        assert_result(bob, m.request, SOTTO_RESULT_OK);
    }
    first = m;
    world_jump(&w, 11 * DAY_MS);
    m = phone_say(bob, "alice", "day 31", SOTTO_WAIT_DELIVERED);
    world_run(&w);
    assert_result(bob, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(alice, "day 31"), 1);
    assert_int_equal(items_of(bob, &first), 1);
    world_jump(&w, 20 * DAY_MS); /* day 51: nothing is kept for it without end */
    assert_int_equal(items_of(bob, &first), 0);
    assert_int_equal(phone_state(bob, &first), SOTTO_MESSAGE_READ);
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_linked_device_takes_part, setup_tablet),
        T(only_the_right_code_approves, setup),
        T(an_approval_that_is_cut_anywhere_can_be_finished, setup),
        T(an_approval_survives_kills, setup),
        T(a_revoked_device_is_out, setup_tablet),
        T(a_deleted_account_is_called_deleted_everywhere, setup_tablet),
        T(a_relay_cannot_use_up_the_numbers_of_lists, setup_tablet),
        T(a_relay_that_never_stops_calling_gets_one_question, setup),
        T(a_second_sign_up_waits_for_nobody, setup),
        T(the_next_invite_goes_to_its_own_relay, setup),
        T(a_device_that_never_uploaded_keys_holds_up_nobody, setup_tablet),
        T(a_device_that_the_relay_does_not_know_holds_up_nobody, setup_tablet),
        T(a_device_without_keys_that_writes_is_reached, setup_tablet),
        T(a_dormant_device_without_keys_is_waited_for_by_nobody, setup_tablet),
        T(a_dormant_device_with_a_full_mailbox_is_waited_for_by_nobody, setup_tablet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
