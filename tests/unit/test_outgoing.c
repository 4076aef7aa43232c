/* SPDX-License-Identifier: Apache-2.0 */
#include "outgoing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Lines as a chat prints them: on a terminal, whatever is printed first asks for what is held. */
struct chat {
    struct sotto_outgoing o;
    struct sotto_out out;
    uint64_t now;
    char text[4096];
};

static const char *const ids[] = {"00000000000000000000000000000001",
                                  "00000000000000000000000000000002",
                                  "00000000000000000000000000000003"};

static void line(void *ctx, enum sotto_out_kind kind, const char *text, size_t len, size_t lead)
{
    struct chat *c = ctx;
    size_t n;

    (void)lead;
    if (c->o.tty && sotto_outgoing_held(&c->o) != NULL)
        sotto_outgoing_flush(&c->o, c->now, true);
    n = strlen(c->text);
    /* The time of day in front of messages is not what this is about. */
    if (kind == SOTTO_OUT_RESULT && len > 17 && memchr(text, ':', 17) != NULL) {
        const char *from = memmem(text, len, "you to", 6);

        len -= (size_t)(from - text);
        text = from;
    }
    (void)snprintf(c->text + n, sizeof c->text - n, "%s%.*s\n",
                   kind == SOTTO_OUT_ERROR  ? "! "
                   : kind == SOTTO_OUT_NOTE ? "- "
                                            : "",
                   (int)len, text);
}

static void begin(struct chat *c, bool tty)
{
    memset(c, 0, sizeof *c);
    c->now = 1000;
    c->out = (struct sotto_out){.line = line, .ctx = c};
    sotto_outgoing_init(&c->o, &c->out, tty);
}

static void add(struct chat *c, uint32_t request, const char *peer, const char *text)
{
    assert_true(
        sotto_outgoing_add(&c->o, request, peer, text, strlen(text), 1763696700123, c->now));
}

static void done(struct chat *c, uint32_t request, enum sotto_result result, const char *id,
                 const char *text)
{
    struct sotto_done d = {.result = result, .id = id, .text = text};

    assert_true(sotto_outgoing_done(&c->o, request, &d, c->now));
}

static void state_of(struct chat *c, const char *id, const char *peer, const char *text,
                     enum sotto_message_state state)
{
    struct sotto_message m = {.id = id,
                              .peer = peer,
                              .text = text,
                              .text_len = strlen(text),
                              .outgoing = true,
                              .state = state,
                              .reason = state == SOTTO_MESSAGE_FAILED ? "expired" : ""};

    sotto_outgoing_state(&c->o, 0, &m, c->now);
}

static void flush(struct chat *c, bool all)
{
    sotto_outgoing_flush(&c->o, c->now, all);
}

static void expect(struct chat *c, const char *text)
{
    assert_string_equal(c->text, text);
    c->text[0] = 0;
}

/* Held until it is delivered; then one line with its state. */
static void held_until_delivered(void **state)
{
    struct chat c;

    begin(&c, true);
    add(&c, 1, "bob", "hello");
    flush(&c, false);
    expect(&c, "");
    assert_non_null(sotto_outgoing_held(&c.o));
    assert_true(sotto_outgoing_deadline(&c.o) == 2000);
    state_of(&c, ids[0], "bob", "hello", SOTTO_MESSAGE_STORED);
    done(&c, 1, SOTTO_RESULT_OK, ids[0], "stored");
    flush(&c, false);
    expect(&c, "");
    state_of(&c, ids[0], "bob", "hello", SOTTO_MESSAGE_DELIVERED);
    assert_true(sotto_outgoing_deadline(&c.o) <= c.now);
    flush(&c, false);
    expect(&c, "you to bob: hello [delivered]\n");
    assert_null(sotto_outgoing_held(&c.o));
    assert_true(sotto_outgoing_deadline(&c.o) == UINT64_MAX);
    state_of(&c, ids[0], "bob", "hello", SOTTO_MESSAGE_READ);
    assert_true(sotto_outgoing_deadline(&c.o) == 1300);
    flush(&c, false);
    expect(&c, "");
    c.now = 1300;
    flush(&c, false);
    expect(&c, "- [read] to bob: hello\n");
    assert_int_equal(c.o.count, 0);
    sotto_outgoing_free(&c.o);
}

static void a_second_is_enough(void **state)
{
    struct chat c;

    begin(&c, true);
    add(&c, 1, "bob", "hello");
    c.now = 1999;
    flush(&c, false);
    expect(&c, "");
    c.now = 2000;
    flush(&c, false);
    expect(&c, "you to bob: hello [queued]\n");
    assert_int_equal(sotto_outgoing_unsent(&c.o), 1);
    assert_int_equal(sotto_outgoing_unfinished(&c.o), 1);
    sotto_outgoing_free(&c.o);
}

/* Printing one message asks for what is held: the next ones must not get in front of it. */
static void order_of_writing(void **state)
{
    struct chat c;

    begin(&c, true);
    add(&c, 1, "bob", "one");
    add(&c, 2, "carol", "two");
    add(&c, 3, "bob", "three");
    flush(&c, true);
    expect(&c, "you to bob: one [queued]\nyou to carol: two [queued]\n"
               "you to bob: three [queued]\n");
    sotto_outgoing_free(&c.o);

    begin(&c, true); /* something else is printed: what was written before it comes first */
    add(&c, 1, "bob", "one");
    add(&c, 2, "bob", "two");
    sotto_out(&c.out, SOTTO_OUT_NOTE, "something else");
    expect(&c, "you to bob: one [queued]\nyou to bob: two [queued]\n- something else\n");
    sotto_outgoing_free(&c.o);

    begin(&c, true); /* the next message is there: this one is held no longer */
    add(&c, 1, "bob", "one");
    add(&c, 2, "bob", "two");
    flush(&c, false);
    expect(&c, "you to bob: one [queued]\n");
    sotto_outgoing_free(&c.o);
}

/* A message that is dropped while others are printed must not be printed in their place. */
static void rows_do_not_move_while_printing(void **state)
{
    struct chat c;

    begin(&c, true);
    add(&c, 1, "bob", "one");
    flush(&c, true);
    done(&c, 1, SOTTO_RESULT_OK, ids[0], "");
    add(&c, 2, "bob", "two");
    add(&c, 3, "bob", "three");
    state_of(&c, ids[0], "bob", "one", SOTTO_MESSAGE_READ);
    c.text[0] = 0;
    c.now = 5000;
    flush(&c, true);
    expect(&c, "you to bob: two [queued]\nyou to bob: three [queued]\n- [read] to bob: one\n");
    assert_int_equal(c.o.count, 2);
    sotto_outgoing_free(&c.o);
}

static void changes_are_collected(void **state)
{
    struct chat c;

    begin(&c, true);
    for (uint32_t i = 0; i < 3; i++) {
        add(&c, i + 1, i < 2 ? "bob" : "carol", i < 2 ? "to bob" : "to carol");
        done(&c, i + 1, SOTTO_RESULT_OK, ids[i], "");
    }
    flush(&c, true);
    c.text[0] = 0;
    for (uint32_t i = 0; i < 3; i++)
        state_of(&c, ids[i], i < 2 ? "bob" : "carol", "", SOTTO_MESSAGE_DELIVERED);
    c.now += 300;
    flush(&c, false);
    expect(&c, "- [delivered] 2 messages to bob\n- [delivered] to carol: to carol\n");
    assert_true(sotto_outgoing_deadline(&c.o) == UINT64_MAX);
    sotto_outgoing_free(&c.o);
}

/* Events may overtake each other; a message never goes back. */
static void never_goes_back(void **state)
{
    struct chat c;

    begin(&c, true);
    add(&c, 1, "bob", "hello");
    state_of(&c, ids[0], "bob", "hello", SOTTO_MESSAGE_DELIVERED);
    done(&c, 1, SOTTO_RESULT_OK, ids[0], "");
    state_of(&c, ids[0], "bob", "hello", SOTTO_MESSAGE_STORED);
    flush(&c, false);
    expect(&c, "you to bob: hello [delivered]\n");
    sotto_outgoing_free(&c.o);
}

static void two_of_the_same_text(void **state)
{
    struct chat c;

    begin(&c, true);
    add(&c, 1, "bob", "ok");
    add(&c, 2, "bob", "ok");
    state_of(&c, ids[0], "bob", "ok", SOTTO_MESSAGE_STORED);
    state_of(&c, ids[1], "bob", "ok", SOTTO_MESSAGE_QUEUED);
    state_of(&c, ids[0], "bob", "ok", SOTTO_MESSAGE_DELIVERED);
    flush(&c, true);
    expect(&c, "you to bob: ok [delivered]\nyou to bob: ok [queued]\n");
    sotto_outgoing_free(&c.o);
}

static void refused_is_not_kept(void **state)
{
    static const bool tty[] = {true, false};

    for (size_t i = 0; i < 2; i++) {
        struct chat c;

        begin(&c, tty[i]);
        add(&c, 1, "carol", "hello");
        state_of(&c, ids[0], "carol", "hello", SOTTO_MESSAGE_QUEUED);
        done(&c, 1, SOTTO_RESULT_UNKNOWN, "", "there is no carol");
        flush(&c, false);
        expect(&c, tty[i] ? "you to carol: hello [failed: there is no carol]\n"
                          : "! there is no carol\n"
                            "you to carol: hello [failed: there is no carol]\n");
        assert_int_equal(c.o.count, 0);
        assert_int_equal(sotto_outgoing_unsent(&c.o), 0);
        assert_int_equal(sotto_outgoing_result(&c.o), SOTTO_RESULT_UNKNOWN);
        sotto_outgoing_free(&c.o);
    }
}

/* Refused after its line was printed: nothing to send again. Failed later: there is. */
static void failed_after_its_line(void **state)
{
    struct chat c;

    begin(&c, true);
    add(&c, 1, "carol", "hello");
    flush(&c, true);
    done(&c, 1, SOTTO_RESULT_UNKNOWN, "", "there is no carol");
    c.text[0] = 0;
    flush(&c, true);
    expect(&c, "- Not sent to carol: hello (there is no carol)\n");
    assert_int_equal(c.o.count, 0);
    add(&c, 2, "bob", "hello");
    flush(&c, true);
    done(&c, 2, SOTTO_RESULT_OK, ids[0], "");
    state_of(&c, ids[0], "bob", "hello", SOTTO_MESSAGE_FAILED);
    c.text[0] = 0;
    flush(&c, true);
    expect(&c, "- Not sent to bob: hello (expired); again with: resend "
               "00000000000000000000000000000001\n");
    state_of(&c, ids[0], "bob", "hello", SOTTO_MESSAGE_QUEUED); /* that was done */
    state_of(&c, ids[0], "bob", "hello", SOTTO_MESSAGE_STORED);
    flush(&c, true);
    expect(&c, "- [stored] to bob: hello\n");
    sotto_outgoing_free(&c.o);
}

static void one_outage_is_said_once(void **state)
{
    struct chat c;

    begin(&c, false);
    for (uint32_t i = 0; i < 2; i++) {
        add(&c, i + 1, "bob", "hello");
        done(&c, i + 1, SOTTO_RESULT_UNREACHABLE, ids[i], "kept here: refused");
    }
    flush(&c, false);
    expect(&c, "! kept here: refused\nyou to bob: hello [queued]\nyou to bob: hello [queued]\n");
    assert_int_equal(sotto_outgoing_result(&c.o), SOTTO_RESULT_UNREACHABLE);
    assert_int_equal(sotto_outgoing_unsent(&c.o), 2);
    assert_int_equal(sotto_outgoing_unfinished(&c.o), 0);
    sotto_outgoing_free(&c.o);
}

/* What was told to wait and got there before the end did not fail; the first that did is what
 * counts. */
static void waited_and_got_there(void **state)
{
    struct chat c;

    begin(&c, false);
    add(&c, 1, "bob", "one");
    add(&c, 2, "bob", "two");
    done(&c, 1, SOTTO_RESULT_UNREACHABLE, ids[0], "kept here: refused");
    done(&c, 2, SOTTO_RESULT_SECURITY, ids[1], "kept here: somebody else");
    assert_int_equal(sotto_outgoing_result(&c.o), SOTTO_RESULT_UNREACHABLE);
    state_of(&c, ids[0], "bob", "one", SOTTO_MESSAGE_STORED);
    assert_int_equal(sotto_outgoing_result(&c.o), SOTTO_RESULT_SECURITY);
    state_of(&c, ids[1], "bob", "two", SOTTO_MESSAGE_DELIVERED);
    assert_int_equal(sotto_outgoing_result(&c.o), SOTTO_RESULT_OK);
    assert_int_equal(sotto_outgoing_unsent(&c.o), 0);
    sotto_outgoing_free(&c.o);
}

/* Without a terminal a message is printed when its request has ended, in the order of writing. */
static void from_a_pipe(void **state)
{
    struct chat c;

    begin(&c, false);
    add(&c, 1, "bob", "one");
    add(&c, 2, "bob", "two");
    done(&c, 2, SOTTO_RESULT_OK, ids[1], "");
    flush(&c, false);
    expect(&c, "");
    assert_true(sotto_outgoing_deadline(&c.o) == UINT64_MAX);
    done(&c, 1, SOTTO_RESULT_OK, ids[0], "");
    assert_true(sotto_outgoing_deadline(&c.o) <= c.now);
    flush(&c, false);
    expect(&c, "you to bob: one [stored]\nyou to bob: two [stored]\n");
    assert_false(sotto_outgoing_done(
        &c.o, 7, &(struct sotto_done){.result = SOTTO_RESULT_OK, .text = "", .id = ""}, c.now));
    sotto_outgoing_free(&c.o);
}

static void brief_of_a_long_text(void **state)
{
    struct chat c;

    begin(&c, true);
    add(&c, 1, "bob",
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
        "12345678901234567890");
    add(&c, 2, "bob", "first line\nsecond");
    flush(&c, true);
    done(&c, 1, SOTTO_RESULT_OK, ids[0], "");
    done(&c, 2, SOTTO_RESULT_OK, ids[1], "");
    c.text[0] = 0;
    state_of(&c, ids[0], "bob", "", SOTTO_MESSAGE_DELIVERED);
    flush(&c, true);
    expect(&c,
           "- [delivered] to bob: \xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
           "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
           "\xc3\xa4\xc3\xa4"
           "1234567890\xe2\x80\xa6\n- [stored] to bob: first line\xe2\x80\xa6\n");
    sotto_outgoing_free(&c.o);
}

/* An evening of messages that nobody reads costs a bounded amount of memory. */
static void rows_are_bounded(void **state)
{
    struct chat c;

    begin(&c, true);
    for (uint32_t i = 1; i <= 3000; i++) {
        char id[33];

        (void)snprintf(id, sizeof id, "%032x", (unsigned)i);
        add(&c, i, "bob", "hello");
        done(&c, i, SOTTO_RESULT_OK, id, "");
        state_of(&c, id, "bob", "hello", SOTTO_MESSAGE_DELIVERED);
        flush(&c, false);
        c.text[0] = 0;
    }
    assert_true(c.o.count <= 1001);
    sotto_outgoing_free(&c.o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_until_delivered),  cmocka_unit_test(a_second_is_enough),
        cmocka_unit_test(order_of_writing),      cmocka_unit_test(rows_do_not_move_while_printing),
        cmocka_unit_test(changes_are_collected), cmocka_unit_test(never_goes_back),
        cmocka_unit_test(two_of_the_same_text),  cmocka_unit_test(refused_is_not_kept),
        cmocka_unit_test(failed_after_its_line), cmocka_unit_test(one_outage_is_said_once),
        cmocka_unit_test(waited_and_got_there),  cmocka_unit_test(from_a_pipe),
        cmocka_unit_test(brief_of_a_long_text),  cmocka_unit_test(rows_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
