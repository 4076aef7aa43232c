/* SPDX-License-Identifier: Apache-2.0 */
/* The promise of delivery: nothing lost, nothing twice, in order, and states that are true. */
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

static int teardown(void **state)
{
    world_free(&w);
    return 0;
}

static void messages_go_both_ways(void **state)
{
    struct said a = phone_say(alice, "bob", "are you there?", SOTTO_WAIT_STORED), b;

    world_run(&w);
    assert_result(alice, a.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(bob, "are you there?"), 1);
    b = phone_say(bob, "alice", "I am", SOTTO_WAIT_DELIVERED);
    world_run(&w);
    assert_result(bob, b.request, SOTTO_RESULT_OK);
    assert_int_equal(phone_printed(alice, "I am"), 1);
    assert_int_equal(phone_printed(alice, NULL), 1);
    assert_int_equal(phone_printed(bob, NULL), 1);
    assert_int_equal(phone_state(alice, &a), SOTTO_MESSAGE_READ);
    assert_int_equal(phone_state(bob, &b), SOTTO_MESSAGE_READ);
}

/* --- a relay that brings things out of order --- */

struct late {
    bool releases;
    size_t count;
    struct sotto_buf answers; /* frames */
};

static bool submitted_is_late(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct late *l = ctx;
    uint8_t header[SOTTO_FRAME_HEADER];

    if (p != alice || way == UP || answer_type(body) != SOTTO_ANS_SUBMITTED || l->releases)
        return true;
    sotto_put_u32(header, (uint32_t)body->n);
    assert_int_equal(sotto_buf_add(&l->answers, header, sizeof header), SOTTO_OK);
    assert_int_equal(sotto_buf_add(&l->answers, body->p, body->n), SOTTO_OK);
    l->count++;
    return false;
}

/* The recipient's receipts are quicker than the relay's answer, which then changes nothing. */
static void receipts_before_the_answer(void **state)
{
    struct late late = {.answers = SOTTO_BUF(SOTTO_FRAME_MAX)};
    struct said m[6];
    char text[16];

    phone_befriend(alice, bob);
    w.carry = submitted_is_late;
    w.carry_ctx = &late;
    for (size_t i = 0; i < 6; i++) {
        snprintf(text, sizeof text, "text %zu", i);
        m[i] = phone_say(alice, "bob", text, SOTTO_WAIT_STORED);
    }
    for (size_t i = 0; i < 6; i++) {
        late.releases = false;
        world_run(&w);
        assert_int_equal(late.count, i + 1);
        assert_in_range(phone_state(alice, &m[i]), SOTTO_MESSAGE_DELIVERED, SOTTO_MESSAGE_READ);
        late.releases = true;
        assert_int_equal(sotto_buf_add(&alice->down, late.answers.p, late.answers.n), SOTTO_OK);
        late.answers.n = 0;
        assert_true(world_step(&w));
    }
    w.carry = NULL;
    sotto_buf_free(&late.answers);
    for (size_t i = 0; i < 6; i++)
        assert_result(alice, m[i].request, SOTTO_RESULT_OK);
}

struct shuffle {
    size_t noted, given;
    const size_t *order; /* NULL: note them, and lose them */
    size_t len[8];
    uint8_t envelope[8][4096];
};

static bool shuffled(void *ctx, struct phone *p, enum way way, struct sotto_buf *body)
{
    struct shuffle *s = ctx;
    struct sotto_answer *a = NULL;
    bool carry = true;

    if (p != bob || way == UP || answer_type(body) != SOTTO_ANS_DELIVER)
        return true;
    assert_int_equal(sotto_answer_decode(body->p, body->n, &a), SOTTO_OK);
    if (s->order == NULL) {
        struct sotto_bytes e = a->u.deliver.envelope;

        assert_true(s->noted < 8 && e.n <= sizeof s->envelope[0]);
        s->len[s->noted] = e.n;
        memcpy(s->envelope[s->noted++], e.p, e.n);
        carry = false;
    } else if (s->given < s->noted) {
        size_t at = s->order[s->given++];

        a->u.deliver.envelope = (struct sotto_bytes){s->envelope[at], s->len[at]};
        put_answer(body, a, NULL);
    }
    sotto_answer_free(a);
    return carry;
}

static void the_screen_has_the_order_of_writing(void **state)
{
    static const char *const texts[] = {"one", "two", "three", "four"};
    static const size_t order[] = {0, 2, 3, 1};
    struct shuffle *s = calloc(1, sizeof *s);
    uint32_t request;
    size_t seen = 0;

    assert_non_null(s);
    phone_stop(bob);
    bob->reads = false;
    for (size_t i = 0; i < 4; i++) {
        (void)phone_say(alice, "bob", texts[i], SOTTO_WAIT_STORED);
        world_run(&w);
    }
    w.carry = shuffled;
    w.carry_ctx = s;
    phone_start(bob);
    world_run(&w);
    assert_int_equal(s->noted, 4);
    s->order = order;
    phone_cut(bob);
    world_settle(&w);
    assert_int_equal(s->given, 4);
    assert_int_equal(bob->printed_count, 0);
    phone_forget(bob);
    request = phone_call(bob, SOTTO_OP_HISTORY, "alice", NULL);
    assert_result(bob, request, SOTTO_RESULT_OK);
    bob->reads = true;
    (void)phone_call(bob, SOTTO_OP_CONTACTS, NULL, NULL); /* starts to read */
    assert_int_equal(bob->printed_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(bob->printed[i].text, texts[i]);
        assert_false(bob->printed[i].gap);
    }
    for (size_t i = 0; i < bob->told_count; i++) {
        const struct sotto_message *m = sotto_event_message(bob->told[i].event);

        if (m != NULL && sotto_event_request(bob->told[i].event) == request)
            assert_string_equal(m->text, texts[seen++]);
    }
    assert_int_equal(seen, 4);
    /* What comes late after the others were printed comes last, and once. */
    world_settle(&w);
    assert_int_equal(bob->printed_count, 4);
    free(s);
}

/* --- one fault at every single frame --- */

struct line {
    struct phone **from;
    const char *to, *text;
};

/* A first contact, an answer, and one more; each with time to arrive. */
static const struct line conversation[] = {
    {&alice, "bob", "one"},   {&alice, "bob", "two"}, {NULL, NULL, NULL},
    {&bob, "alice", "three"}, {NULL, NULL, NULL},     {&alice, "bob", "four"},
    {&bob, "alice", "five"},  {NULL, NULL, NULL},
};
#define LINES (sizeof conversation / sizeof conversation[0])

static void talk(struct said ret[LINES])
{
    for (size_t i = 0; i < LINES; i++) {
        if (conversation[i].from != NULL)
            ret[i] = phone_say(*conversation[i].from, conversation[i].to, conversation[i].text,
                               SOTTO_WAIT_STORED);
        else
            world_run(&w);
    }
    world_settle(&w);
}

static void printed_are(const struct phone *p, const char *a, const char *b, const char *c)
{
    const char *want[] = {a, b, c};
    size_t n = 0;

    for (size_t i = 0; i < 3 && want[i] != NULL; i++, n++) {
        assert_true(i < p->printed_count);
        assert_string_equal(p->printed[i].text, want[i]);
        assert_false(p->printed[i].gap);
    }
    assert_int_equal(p->printed_count, n);
}

static void all_is_well(const struct said *said)
{
    uint32_t queued, open;

    printed_are(bob, "one", "two", "four");
    printed_are(alice, "three", "five", NULL);
    for (size_t i = 0; i < LINES; i++)
        if (conversation[i].from != NULL)
            assert_int_equal(phone_state(*conversation[i].from, &said[i]), SOTTO_MESSAGE_READ);
    for (size_t i = 0; i < w.phone_count; i++) {
        assert_int_equal(sotto_message_counts(w.phones[i]->profile, &queued, &open), SOTTO_OK);
        assert_int_equal(queued, 0);
        assert_int_equal(open, 0);
        assert_int_equal(phone_quarantined(w.phones[i]), 0);
        assert_int_equal(phone_notices(w.phones[i], "older copy"), 0);
    }
}

static void fault_at_every_frame(enum fault_kind kind, bool early)
{
    struct said said[LINES];
    unsigned long at = 0;

    world_save(&w, "base");
    do {
        world_restore(&w, "base");
        world_settle(&w);
        fault_arm(&w, kind, ++at, early);
        talk(said);
        if (getenv("ENGINE_RIG_LOG") != NULL)
            printf("# frame %lu\n", at);
        all_is_well(said);
    } while (w.fault.fired);
    printf("# %lu frames\n", at - 1);
    assert_true(at > 40); /* there was something to cut */
}

static void exactly_once_when_cut_before_any_frame(void **state)
{
    fault_at_every_frame(FAULT_CUT, true);
}

static void exactly_once_when_cut_after_any_frame(void **state)
{
    fault_at_every_frame(FAULT_CUT, false);
}

static void exactly_once_when_a_client_is_killed_before_any_frame(void **state)
{
    fault_at_every_frame(FAULT_KILL_PHONE, true);
}

/* Among them: the recipient between commit and acknowledgement. */
static void exactly_once_when_a_client_is_killed_after_any_frame(void **state)
{
    fault_at_every_frame(FAULT_KILL_PHONE, false);
}

static void exactly_once_when_the_relay_is_killed_before_any_frame(void **state)
{
    fault_at_every_frame(FAULT_KILL_RELAY, true);
}

/* Among them: between storing and answering. */
static void exactly_once_when_the_relay_is_killed_after_any_frame(void **state)
{
    fault_at_every_frame(FAULT_KILL_RELAY, false);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(exactly_once_when_cut_before_any_frame),
        T(exactly_once_when_cut_after_any_frame),
        T(exactly_once_when_a_client_is_killed_before_any_frame),
        T(exactly_once_when_a_client_is_killed_after_any_frame),
        T(exactly_once_when_the_relay_is_killed_before_any_frame),
        T(exactly_once_when_the_relay_is_killed_after_any_frame),
        T(messages_go_both_ways),
        T(receipts_before_the_answer),
        T(the_screen_has_the_order_of_writing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
