/* SPDX-License-Identifier: Apache-2.0 */
#include "view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct sink {
    char text[2048];
    enum sotto_out_kind kind;
};

static void line(void *ctx, enum sotto_out_kind kind, const char *text, size_t len, size_t lead)
{
    struct sink *s = ctx;
    size_t n = strlen(s->text);

    assert_true(lead <= len);
    s->kind = kind;
    (void)snprintf(s->text + n, sizeof s->text - n, "%.*s\n", (int)len, text);
}

static const char *shown(const struct sotto_message *m, bool json, bool ids, struct sink *s)
{
    struct sotto_out out = {.line = line, .ctx = s};
    struct sotto_view v = {.out = &out, .json = json, .ids = ids};

    *s = (struct sink){0};
    sotto_view_message(&v, m);
    return s->text;
}

static const struct sotto_message incoming = {.id = "5f0c2d1a9b8e4f7700112233445566aa",
                                              .peer = "bob",
                                              .from = "bob",
                                              .device = "0123456789abcdef",
                                              .kind = "text",
                                              .text = "hello",
                                              .text_len = 5,
                                              .sent_at_ms = 1732190400123,
                                              .received_at_ms = 1732190460456,
                                              .state = SOTTO_MESSAGE_RECEIVED};

static void for_people(void **state)
{
    struct sotto_message m = incoming;
    struct sink s;

    assert_string_equal(shown(&m, false, false, &s), "2024-11-21 12:01 bob: hello\n");
    assert_int_equal(s.kind, SOTTO_OUT_RESULT);
    assert_string_equal(shown(&m, false, true, &s),
                        "5f0c2d1a9b8e4f7700112233445566aa 2024-11-21 12:01 bob: hello\n");
    m.is_request = true;
    m.gap = true;
    assert_string_equal(shown(&m, false, false, &s),
                        "2024-11-21 12:01 request from bob (something before this is missing): "
                        "hello\n");
    m = incoming;
    m.kind = "unknown";
    m.text = "";
    m.text_len = 0;
    assert_string_equal(shown(&m, false, false, &s),
                        "2024-11-21 12:01 bob: (needs a newer Sotto to be shown)\n");
    m = incoming;
    m.outgoing = true;
    m.from = "alice";
    m.received_at_ms = 0;
    m.state = SOTTO_MESSAGE_STORED;
    assert_string_equal(shown(&m, false, false, &s), "2024-11-21 12:00 you: hello [stored]\n");
    m.state = SOTTO_MESSAGE_FAILED;
    m.reason = "expired";
    assert_string_equal(shown(&m, false, false, &s),
                        "2024-11-21 12:00 you: hello [failed: expired]\n");
}

/* The fields, their order and their values: they never change. */
static void for_programs(void **state)
{
    struct sotto_message m = incoming;
    struct sink s;

    assert_string_equal(
        shown(&m, true, false, &s),
        "{\"id\":\"5f0c2d1a9b8e4f7700112233445566aa\",\"peer\":\"bob\",\"from\":\"bob\","
        "\"device\":\"0123456789abcdef\",\"kind\":\"text\",\"text\":\"hello\","
        "\"sent_at\":\"2024-11-21T12:00:00.123Z\",\"received_at\":\"2024-11-21T12:01:00.456Z\","
        "\"outgoing\":false,\"state\":\"received\",\"reason\":\"\",\"request\":false,"
        "\"gap\":false}\n");
    assert_int_equal(s.kind, SOTTO_OUT_RAW);
    m.outgoing = true;
    m.received_at_ms = 0;
    m.state = SOTTO_MESSAGE_FAILED;
    m.reason = "expired";
    m.text = "a\n\033\"";
    m.text_len = 4;
    m.gap = m.is_request = true;
    assert_string_equal(
        shown(&m, true, false, &s),
        "{\"id\":\"5f0c2d1a9b8e4f7700112233445566aa\",\"peer\":\"bob\",\"from\":\"bob\","
        "\"device\":\"0123456789abcdef\",\"kind\":\"text\",\"text\":\"a\\n\\u001b\\\"\","
        "\"sent_at\":\"2024-11-21T12:00:00.123Z\",\"received_at\":null,"
        "\"outgoing\":true,\"state\":\"failed\",\"reason\":\"expired\",\"request\":true,"
        "\"gap\":true}\n");
}

static void names_of_states(void **state)
{
    static const char *const names[] = {
        [SOTTO_MESSAGE_RECEIVED] = "received", [SOTTO_MESSAGE_QUEUED] = "queued",
        [SOTTO_MESSAGE_STORED] = "stored",     [SOTTO_MESSAGE_DELIVERED] = "delivered",
        [SOTTO_MESSAGE_READ] = "read",         [SOTTO_MESSAGE_FAILED] = "failed"};

    for (int i = SOTTO_MESSAGE_RECEIVED; i <= SOTTO_MESSAGE_FAILED; i++)
        assert_string_equal(sotto_view_state((enum sotto_message_state)i), names[i]);
    assert_string_equal(sotto_view_contact_is(SOTTO_IS_CONTACT), "contact");
    assert_string_equal(sotto_view_contact_is(SOTTO_IS_REQUEST), "request");
    assert_string_equal(sotto_view_contact_is(SOTTO_IS_BLOCKED), "blocked");
}

static int set_up(void **state)
{
    if (setenv("TZ", "UTC", 1) != 0)
        return -1;
    tzset();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(for_people),
        cmocka_unit_test(for_programs),
        cmocka_unit_test(names_of_states),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
