/* SPDX-License-Identifier: Apache-2.0 */
/* Who may write to whom, what a stranger gets, and when sending stops because of an identity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine_rig.h"

static struct world w;
static struct phone *alice, *bob;

static int setup(void **state)
{
    world_make(&w);
    alice = phone_join(&w, "alice");
    bob = phone_join(&w, "bob");
    return 0;
}

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

static const struct sotto_contact *contact_row(struct phone *p, const char *name)
{
    uint32_t request = phone_call(p, SOTTO_OP_CONTACTS, NULL, NULL);

    assert_result(p, request, SOTTO_RESULT_OK);
    for (size_t i = 0; i < p->told_count; i++) {
        const struct sotto_contact *c = sotto_event_contact(p->told[i].event);

        if (c != NULL && sotto_event_request(p->told[i].event) == request &&
            strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

/* --- requests --- */

static void a_stranger_is_a_request_and_gets_no_receipts(void **state)
{
    struct said m = phone_say(alice, "bob", "may I?", SOTTO_WAIT_STORED);
    struct row row;

    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, "may I?"), 1);
    assert_true(bob->printed[0].is_request);
    assert_int_equal(phone_notices(bob, "Request from alice"), 1);
    assert_int_equal(contact_row(bob, "alice")->state, SOTTO_IS_REQUEST);
    /* It was delivered and shown, and alice does not learn that. */
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_STORED);
    assert_false(contact_row(alice, "bob")->accepted_us);
    assert_result(bob, phone_call(bob, SOTTO_OP_ACCEPT, "alice", NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    assert_true(contact_row(alice, "bob")->accepted_us);
    assert_int_equal(contact_row(bob, "alice")->state, SOTTO_IS_CONTACT);
    assert_true(phone_row(bob, "alice", "may I?", &row));
    assert_false(row.request);
}

static void writing_to_somebody_accepts_him(void **state)
{
    struct said m = phone_say(alice, "bob", "may I?", SOTTO_WAIT_STORED), n;

    world_settle(&w);
    n = phone_say(bob, "alice", "please do", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    assert_int_equal(phone_state(bob, &n), SOTTO_MESSAGE_READ);
    assert_false(alice->printed[0].is_request);
}

struct seen_submits {
    unsigned with_token, without;
};

static bool count_submits(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct seen_submits *seen = ctx;
    struct sotto_request *r = NULL;

    if (way == DOWN || p != alice)
        return true;
    assert_int_equal(sotto_request_decode(body->p, body->n, &r), SOTTO_OK);
    if (r->type == SOTTO_REQ_SUBMIT && r->u.submit.has_token)
        seen->with_token++;
    else if (r->type == SOTTO_REQ_SUBMIT)
        seen->without++;
    sotto_request_free(r);
    return true;
}

static void the_token_opens_the_lane_of_friends(void **state)
{
    struct seen_submits seen = {0, 0};
    char text[32];

    w.carry = count_submits;
    w.carry_ctx = &seen;
    /* Eight are all that one stranger may leave in a box; bob is away. */
    phone_offline(bob);
    for (unsigned i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "request %u", i);
        (void)phone_say(alice, "bob", text, SOTTO_WAIT_QUEUED);
        world_run(&w);
    }
    assert_true(seen.without >= 8);
    assert_int_equal(seen.with_token, 0);
    phone_online(bob);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, NULL), 8);
    assert_result(bob, phone_call(bob, SOTTO_OP_ACCEPT, "alice", NULL), SOTTO_RESULT_OK);
    world_pass(&w, 60000);
    /* What waited went on the lane of friends, in order. */
    assert_true(seen.with_token >= 2);
    assert_int_equal(phone_printed(bob, NULL), 10);
    assert_string_equal(bob->printed[8].text, "request 8");
    assert_string_equal(bob->printed[9].text, "request 9");
}

/* --- blocking --- */

static void a_blocked_one_is_not_shown_and_not_told(void **state)
{
    struct said m;
    struct sotto_contact_record before = phone_contact(bob, "alice"), after;
    char text[32];

    assert_result(bob, phone_call(bob, SOTTO_OP_BLOCK, "alice", NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    m = phone_say(alice, "bob", "hello?", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_OK); /* as if nothing was different */
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_STORED);
    assert_int_equal(phone_printed(bob, "hello?"), 0);
    assert_int_equal(contact_row(bob, "alice")->state, SOTTO_IS_BLOCKED);
    assert_result(bob, phone_say(bob, "alice", "no", SOTTO_WAIT_STORED).request,
                  SOTTO_RESULT_USAGE);
    /* The token is void: away from bob's eyes it is the lane of strangers now. */
    phone_offline(bob);
    for (unsigned i = 0; i < 9; i++) {
        snprintf(text, sizeof text, "again %u", i);
        m = phone_say(alice, "bob", text, SOTTO_WAIT_QUEUED);
        world_run(&w);
    }
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_QUEUED);
    phone_online(bob);
    world_settle(&w);
    /* Back, with a token that is another one. */
    assert_result(bob, phone_call(bob, SOTTO_OP_UNBLOCK, "alice", NULL), SOTTO_RESULT_OK);
    world_pass(&w, 60000);
    after = phone_contact(bob, "alice");
    assert_true(after.has_our_token);
    assert_memory_not_equal(after.our_token, before.our_token, SOTTO_TOKEN);
    assert_memory_equal(phone_contact(alice, "bob").their_token, after.our_token, SOTTO_TOKEN);
    m = phone_say(alice, "bob", "thank you", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "thank you"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
    assert_result(bob, phone_call(bob, SOTTO_OP_UNBLOCK, "alice", NULL), SOTTO_RESULT_USAGE);
}

/* What the relay forgot is told to it again; what it was to forget is not forgotten. */
/* A request stays one: whoever was never accepted learns nothing, and may not write as a friend. */
static void unblocking_a_request_does_not_accept_it(void **state)
{
    struct said m = phone_say(alice, "bob", "may I?", SOTTO_WAIT_STORED);

    world_settle(&w);
    for (int i = 0; i < 2; i++) /* a second block changes nothing of it */
        assert_result(bob, phone_call(bob, SOTTO_OP_BLOCK, "alice", NULL), SOTTO_RESULT_OK);
    assert_int_equal(contact_row(bob, "alice")->state, SOTTO_IS_BLOCKED);
    assert_result(bob, phone_call(bob, SOTTO_OP_UNBLOCK, "alice", NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    assert_int_equal(contact_row(bob, "alice")->state, SOTTO_IS_REQUEST);
    assert_false(phone_contact(bob, "alice").has_our_token);
    assert_false(contact_row(alice, "bob")->accepted_us);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_STORED);
    (void)phone_say(alice, "bob", "still?", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "still?"), 1);
    assert_true(bob->printed[bob->printed_count - 1].is_request);
    assert_result(bob, phone_call(bob, SOTTO_OP_UNBLOCK, "alice", NULL), SOTTO_RESULT_USAGE);
}

/* Nobody heard of becomes nobody again, on all devices; his first message is a request. */
static void unblocking_a_stranger_makes_no_contact_of_him(void **state)
{
    struct phone *second = phone_link(bob, "bob-2");

    assert_result(bob, phone_call(bob, SOTTO_OP_UNBLOCK, "alice", NULL), SOTTO_RESULT_USAGE);
    (void)phone_call(bob, SOTTO_OP_BLOCK, "alice", NULL);
    world_settle(&w);
    assert_int_equal(contact_row(bob, "alice")->state, SOTTO_IS_BLOCKED);
    assert_int_equal(contact_row(second, "alice")->state, SOTTO_IS_BLOCKED);
    (void)phone_say(alice, "bob", "before", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, NULL) + phone_printed(second, NULL), 0);
    assert_result(second, phone_call(second, SOTTO_OP_UNBLOCK, "alice", NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    assert_null(contact_row(bob, "alice"));
    assert_null(contact_row(second, "alice"));
    (void)phone_say(alice, "bob", "after", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "after"), 1);
    assert_int_equal(phone_printed(bob, NULL), 1);
    assert_int_equal(contact_row(bob, "alice")->state, SOTTO_IS_REQUEST);
}

static void a_name_that_is_not_there_is_not_blocked(void **state)
{
    uint32_t request = phone_call(bob, SOTTO_OP_BLOCK, "malory", NULL);

    world_settle(&w);
    assert_result(bob, request, SOTTO_RESULT_UNKNOWN);
    assert_null(contact_row(bob, "malory"));
    /* Offline nobody can tell; who was heard of is blocked all the same. */
    (void)phone_say(alice, "bob", "may I?", SOTTO_WAIT_STORED);
    world_settle(&w);
    relay_stop(&w);
    phone_cut(bob);
    request = phone_call(bob, SOTTO_OP_BLOCK, "mallory", NULL);
    world_settle(&w);
    assert_result(bob, request, SOTTO_RESULT_UNREACHABLE);
    assert_result(bob, phone_call(bob, SOTTO_OP_BLOCK, "alice", NULL), SOTTO_RESULT_OK);
}

static void a_block_outlives_the_relays_restore(void **state)
{
    struct said m;
    char text[32];

    relay_save(&w, "friends");
    phone_offline(bob);
    assert_result(bob, phone_call(bob, SOTTO_OP_BLOCK, "alice", NULL), SOTTO_RESULT_OK);
    relay_restore(&w, "friends", true);
    phone_online(bob);
    world_settle(&w);
    phone_offline(bob);
    for (unsigned i = 0; i < 9; i++) {
        snprintf(text, sizeof text, "again %u", i);
        m = phone_say(alice, "bob", text, SOTTO_WAIT_QUEUED);
        world_run(&w);
    }
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_QUEUED); /* the lane of strangers */
}

static void said_to_be_gone(void)
{
    struct sotto_contact_record c = phone_contact(alice, "bob");

    assert_false(c.gone);
    c.gone = true;
    assert_int_equal(sotto_contact_put(alice->profile, &c), SOTTO_OK);
}

/* A relay's word that somebody was deleted outlives neither what he says himself nor what the relay
 * says when it is asked again. */
static void somebody_who_writes_was_not_deleted(void **state)
{
    struct said m;
    uint32_t request;

    said_to_be_gone();
    (void)phone_say(bob, "alice", "I am here", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_false(phone_contact(alice, "bob").gone);
    said_to_be_gone();
    m = phone_say(alice, "bob", "are you?", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, "are you?"), 1);
    said_to_be_gone();
    request = phone_call(alice, SOTTO_OP_ACCEPT, "bob", NULL);
    world_settle(&w);
    assert_result(alice, request, SOTTO_RESULT_OK);
    assert_false(phone_contact(alice, "bob").gone);
}

static void an_unknown_account_is_said_and_nothing_is_kept(void **state)
{
    struct said m = phone_say(alice, "nobody", "hello", SOTTO_WAIT_STORED);
    struct row row;

    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_UNKNOWN);
    assert_int_equal(phone_state(alice, &m), 0);
    assert_false(phone_row(alice, "nobody", NULL, &row));
    assert_null(contact_row(alice, "nobody"));
    assert_result(alice, phone_call(alice, SOTTO_OP_HISTORY, "nobody", NULL), SOTTO_RESULT_UNKNOWN);
    m.request = phone_call(alice, SOTTO_OP_ACCEPT, "nobody", NULL);
    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_UNKNOWN);
}

/* --- receipts and typing --- */

static void delivered_and_read_are_told_apart(void **state)
{
    struct said m;

    bob->confirms = false;
    m = phone_say(alice, "bob", "look", SOTTO_WAIT_DELIVERED);
    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_DELIVERED);
    (void)phone_call(bob, SOTTO_OP_SHOWN, m.hex, NULL);
    world_settle(&w);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
}

static const struct sotto_typing_row *typing(const struct phone *p)
{
    const struct sotto_event *e = phone_event(p, SOTTO_EVENT_TYPING, 0);

    return e != NULL ? sotto_event_typing(e) : NULL;
}

static void type(struct phone *p, const char *to, bool active)
{
    struct sotto_call call = {.op = SOTTO_OP_TYPING};

    call.s[0] = (struct sotto_bytes){(const uint8_t *)to, strlen(to)};
    call.n[0] = active;
    phone_calls(p, &call);
    world_run(&w);
}

static void typing_reaches_friends_who_are_there(void **state)
{
    world_pass(&w, 3000);
    type(alice, "bob", true);
    assert_non_null(typing(bob));
    assert_true(typing(bob)->active);
    assert_string_equal(typing(bob)->from, "alice");
    type(alice, "bob", false);
    assert_false(typing(bob)->active);
    phone_forget(bob);
    /* Never kept for later. */
    phone_offline(bob);
    world_pass(&w, 5000);
    type(alice, "bob", true);
    phone_online(bob);
    world_settle(&w);
    assert_null(typing(bob));
    assert_int_equal(phone_printed(bob, NULL), 1);
}

/* Keeps the notices that are under way, for somebody who carries them otherwise. */
struct held_notices {
    size_t count;
    struct sotto_buf body[4];
};

static bool hold_notices(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct held_notices *h = ctx;
    struct sotto_buf *kept = &h->body[h->count];

    if (way == UP || answer_type(body) != SOTTO_ANS_EPHEMERAL)
        return true;
    assert_true(h->count++ < 4);
    *kept = SOTTO_BUF(SOTTO_FRAME_MAX);
    assert_int_equal(sotto_buf_add(kept, body->p, body->n), 0);
    return false;
}

static const struct sotto_typing_row *hears(const struct sotto_buf *notice)
{
    phone_forget(bob);
    sotto_engine_frame(bob->engine, notice->p, notice->n);
    return typing(bob);
}

/* However the relay carries notices: an old one is not shown as what happens now. */
static void notices_again_and_in_another_order(void **state)
{
    struct held_notices h = {0};

    world_pass(&w, 3000);
    w.carry = hold_notices;
    w.carry_ctx = &h;
    for (int i = 0; i < 4; i++) { /* she begins, stops, begins, stops */
        world_pass(&w, 3000);
        type(alice, "bob", i % 2 == 0);
    }
    assert_int_equal(h.count, 4);
    assert_true(hears(&h.body[0])->active);
    assert_null(hears(&h.body[0])); /* again */
    assert_false(hears(&h.body[3])->active);
    for (int i = 0; i < 3; i++)
        assert_null(hears(&h.body[i])); /* late */
    while (h.count > 0)
        sotto_buf_free(&h.body[--h.count]);
    /* One from before a message, after it. */
    world_pass(&w, 3000);
    type(alice, "bob", true);
    assert_int_equal(h.count, 1);
    world_pass(&w, 1000);
    (void)phone_say(alice, "bob", "what she was writing", SOTTO_WAIT_STORED);
    world_run(&w);
    assert_null(hears(&h.body[0]));
    sotto_buf_free(&h.body[--h.count]);
    w.carry = NULL;
    world_pass(&w, 3000);
    phone_forget(bob);
    type(alice, "bob", true);
    assert_true(typing(bob)->active);
}

struct ephemeral_count {
    unsigned up, down;
};

static bool count_ephemeral(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct ephemeral_count *n = ctx;
    struct sotto_request *r = NULL;

    if (way == DOWN) {
        n->down += answer_type(body) == SOTTO_ANS_EPHEMERAL;
        return true;
    }
    assert_int_equal(sotto_request_decode(body->p, body->n, &r), SOTTO_OK);
    n->up += r->type == SOTTO_REQ_SUBMIT && r->u.submit.ephemeral;
    sotto_request_free(r);
    return true;
}

static void strangers_and_the_blocked_do_not_see_typing(void **state)
{
    struct ephemeral_count n = {0, 0};

    w.carry = count_ephemeral;
    w.carry_ctx = &n;
    (void)phone_say(alice, "bob", "may I?", SOTTO_WAIT_STORED);
    world_settle(&w);
    type(bob, "alice", true); /* bob has not accepted her */
    assert_null(typing(alice));
    world_pass(&w, 5000);
    type(alice, "bob", true); /* and she has no token of his */
    assert_null(typing(bob));
    assert_int_equal(n.up, 0);
    (void)phone_say(bob, "alice", "yes", SOTTO_WAIT_STORED);
    world_settle(&w);
    (void)phone_say(alice, "bob", "ah", SOTTO_WAIT_STORED);
    world_settle(&w);
    type(alice, "bob", true);
    assert_int_equal(n.up, 1);
    assert_int_equal(n.down, 1);
    phone_forget(bob);
    assert_result(bob, phone_call(bob, SOTTO_OP_BLOCK, "alice", NULL), SOTTO_RESULT_OK);
    world_pass(&w, 5000);
    type(alice, "bob", true);
    assert_null(typing(bob));
}

/* The store is the same to the last byte: typing takes no ratchet step and leaves no row. */
static void typing_writes_nothing(void **state)
{
    struct phone *phones[] = {alice, bob};
    uint8_t *before[4], *after;
    size_t len[4], n = 0, after_len;
    char path[256];

    world_pass(&w, 3000);
    for (int round = 0; round < 2; round++) {
        n = 0;
        for (size_t i = 0; i < 2; i++)
            for (size_t k = 0; k < 2; k++, n++) {
                snprintf(path, sizeof path, "%s/profile.db%s", phones[i]->path,
                         k == 0 ? "" : "-wal");
                if (round == 0) {
                    before[n] = file_read(path, &len[n]);
                    continue;
                }
                after = file_read(path, &after_len);
                assert_int_equal(after_len, len[n]);
                assert_memory_equal(after, before[n], len[n]);
                free(after);
                free(before[n]);
            }
        if (round > 0)
            break;
        for (unsigned i = 0; i < 5; i++) {
            world_pass(&w, 10);
            type(alice, "bob", i % 2 == 0);
        }
        assert_int_equal(phone_count(bob, SOTTO_EVENT_TYPING, 0), 5);
    }
}

/* --- identities --- */

static void both_see_the_same_safety_number(void **state)
{
    uint32_t a = phone_call(alice, SOTTO_OP_SAFETY, "bob", NULL);
    uint32_t b = phone_call(bob, SOTTO_OP_SAFETY, "alice", NULL);
    const struct sotto_safety *one, *other;
    char digits[80];

    world_run(&w);
    assert_result(alice, phone_call(alice, SOTTO_OP_ACCEPT, "bob", NULL), SOTTO_RESULT_OK);

    world_run(&w);
    assert_result(alice, a, SOTTO_RESULT_OK);
    one = sotto_event_safety(phone_event(alice, SOTTO_EVENT_SAFETY, a));
    other = sotto_event_safety(phone_event(bob, SOTTO_EVENT_SAFETY, b));
    assert_string_equal(one->number, other->number);
    assert_int_equal(strlen(one->number), 71);
    assert_false(one->verified);
    snprintf(digits, sizeof digits, "%s", one->number);
    assert_result(alice, phone_call(alice, SOTTO_OP_CONFIRM, "bob", digits), SOTTO_RESULT_OK);
    assert_true(contact_row(alice, "bob")->verified);
    digits[0] = digits[0] == '1' ? '2' : '1';
    assert_result(alice, phone_call(alice, SOTTO_OP_CONFIRM, "bob", digits), SOTTO_RESULT_FAILED);
    assert_result(alice, phone_call(alice, SOTTO_OP_CONFIRM, "bob", "12345"), SOTTO_RESULT_USAGE);
}

/* The relay forgets bob, and lets another one take the name. */
static struct phone *bob_is_replaced(void)
{
    struct phone *other;

    phone_kill(bob);
    relay_restore(&w, "before-bob", true);
    world_settle(&w);
    other = phone_make(&w, "bob-other");
    (void)phone_register(other, NULL, "bob");
    world_settle(&w);
    assert_true(phone_is_online(other));
    return other;
}

static int setup_replaced(void **state)
{
    world_make(&w);
    alice = phone_join(&w, "alice");
    relay_save(&w, "before-bob");
    bob = phone_join(&w, "bob");
    phone_befriend(alice, bob);
    return 0;
}

static void a_new_account_key_stops_sending_until_it_is_accepted(void **state)
{
    struct phone *other = bob_is_replaced();
    struct said m = phone_say(alice, "bob", "for the true bob", SOTTO_WAIT_STORED), n;
    const struct sotto_safety *row;
    char digits[80];
    uint32_t request;

    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_SECURITY);
    assert_non_null(strstr(phone_done(alice, m.request)->text, "sotto verify bob --accept"));
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_QUEUED);
    assert_int_equal(phone_notices(alice, "new identity"), 1);
    assert_true(contact_row(alice, "bob")->new_identity);
    assert_int_equal(phone_printed(other, NULL), 0);
    /* Nothing goes by itself, whatever time passes. */
    world_pass(&w, 600000);
    phone_crash(alice);
    world_settle(&w);
    assert_int_equal(phone_printed(other, NULL), 0);
    /* The number to compare is that of the new one; confirming it is not accepting it. */
    request = phone_call(alice, SOTTO_OP_SAFETY, "bob", NULL);
    row = sotto_event_safety(phone_event(alice, SOTTO_EVENT_SAFETY, request));
    assert_true(row->new_identity);
    snprintf(digits, sizeof digits, "%s", row->number);
    assert_result(alice, phone_call(alice, SOTTO_OP_CONFIRM, "bob", digits), SOTTO_RESULT_SECURITY);
    assert_result(alice, phone_call(alice, SOTTO_OP_ACCEPT_IDENTITY, "bob", NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    assert_int_equal(phone_printed(other, "for the true bob"), 1);
    assert_false(contact_row(alice, "bob")->new_identity);
    assert_false(contact_row(alice, "bob")->verified);
    n = phone_say(other, "alice", "it is me", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(other, n.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(alice, "it is me"), 1);
    assert_int_equal(phone_state(alice, &m), SOTTO_MESSAGE_READ);
}

/* Whoever accepts after a fork has judged two lists of one account key, no other key. */
static void after_a_fork_another_account_key_is_still_a_stop(void **state)
{
    struct phone *other = bob_is_replaced();
    struct sotto_contact_record c = phone_contact(alice, "bob");
    struct said m;

    c.forked = SOTTO_FORK_THEIRS;
    assert_int_equal(sotto_contact_put(alice->profile, &c), SOTTO_OK);
    assert_result(alice, phone_call(alice, SOTTO_OP_ACCEPT_IDENTITY, "bob", NULL), SOTTO_RESULT_OK);
    m = phone_say(alice, "bob", "for the true bob", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_SECURITY);
    assert_int_equal(phone_printed(other, NULL), 0);
    assert_int_equal(phone_notices(alice, "new identity"), 1);
    assert_result(alice, phone_call(alice, SOTTO_OP_ACCEPT_IDENTITY, "bob", NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    assert_int_equal(phone_printed(other, "for the true bob"), 1);
}

/* And where it is the same account, it goes on. */
static void after_a_fork_the_same_account_goes_on(void **state)
{
    struct sotto_contact_record c = phone_contact(alice, "bob");
    struct said m;

    c.forked = SOTTO_FORK_THEIRS;
    assert_int_equal(sotto_contact_put(alice->profile, &c), SOTTO_OK);
    m = phone_say(alice, "bob", "which of you?", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_result(alice, m.request, SOTTO_RESULT_SECURITY);
    assert_int_equal(phone_printed(bob, "which of you?"), 0);
    assert_result(alice, phone_call(alice, SOTTO_OP_ACCEPT_IDENTITY, "bob", NULL), SOTTO_RESULT_OK);
    world_settle(&w);
    assert_int_equal(phone_printed(bob, "which of you?"), 1);
    assert_false(contact_row(alice, "bob")->new_identity);
}

static void what_a_new_identity_writes_can_be_read(void **state)
{
    struct phone *other = bob_is_replaced();

    (void)phone_say(other, "alice", "I lost my phone", SOTTO_WAIT_STORED);
    world_settle(&w);
    assert_int_equal(phone_printed(alice, "I lost my phone"), 1);
    assert_int_equal(phone_notices(alice, "new identity"), 1);
    assert_result(alice, phone_say(alice, "bob", "who are you?", SOTTO_WAIT_STORED).request,
                  SOTTO_RESULT_SECURITY);
    world_settle(&w);
    assert_int_equal(phone_printed(other, NULL), 0);
}

#define T(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_stranger_is_a_request_and_gets_no_receipts, setup),
        T(writing_to_somebody_accepts_him, setup),
        T(the_token_opens_the_lane_of_friends, setup),
        T(a_blocked_one_is_not_shown_and_not_told, setup_friends),
        T(unblocking_a_request_does_not_accept_it, setup),
        T(unblocking_a_stranger_makes_no_contact_of_him, setup),
        T(a_name_that_is_not_there_is_not_blocked, setup),
        T(a_block_outlives_the_relays_restore, setup_friends),
        T(somebody_who_writes_was_not_deleted, setup_friends),
        T(an_unknown_account_is_said_and_nothing_is_kept, setup),
        T(delivered_and_read_are_told_apart, setup_friends),
        T(typing_reaches_friends_who_are_there, setup_friends),
        T(strangers_and_the_blocked_do_not_see_typing, setup),
        T(notices_again_and_in_another_order, setup_friends),
        T(typing_writes_nothing, setup_friends),
        T(both_see_the_same_safety_number, setup),
        T(a_new_account_key_stops_sending_until_it_is_accepted, setup_replaced),
        T(after_a_fork_another_account_key_is_still_a_stop, setup_replaced),
        T(after_a_fork_the_same_account_goes_on, setup_friends),
        T(what_a_new_identity_writes_can_be_read, setup_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
