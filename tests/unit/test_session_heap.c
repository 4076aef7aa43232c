/* SPDX-License-Identifier: Apache-2.0 */
/* The end-to-end encryption on a heap that fails and that is looked at when it is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heap_hook.h"
#include "people.h"

static struct pair p;
static uint8_t msg[SOTTO_MESSAGE_MAX], text[SOTTO_MESSAGE_MAX];
static size_t len;

static int setup(void **state)
{
    memset(&heap_hook, 0, sizeof heap_hook);
    pair_start(&p, "heap", true);
    return 0;
}

static int teardown(void **state)
{
    pair_end(&p);
    return 0;
}

/* The next request for memory fails. */
static void fail_next(void)
{
    heap_hook.fail_at = heap_hook.calls + 1;
}

/* Alice says `count` things that are lost, and one that arrives. */
static void after_a_gap(int count)
{
    for (int i = 0; i < count; i++)
        (void)people_say(p.env, p.a, "lost", msg);
    len = people_say(p.env, p.a, "arrives", msg);
}

static void no_memory_for_a_session(void **state)
{
    SOTTO_AUTO_BUF record = SOTTO_BUF(SOTTO_SESSION_RECORD_MAX);
    struct sotto_session *s = NULL;

    fail_next();
    assert_int_equal(people_initiate(p.env, &p.alice, &p.bob, true, &s), SOTTO_ERR_NOMEM);
    fail_next();
    assert_int_equal(people_respond(p.env, &p.bob, &p.alice, p.first, p.first_len, &s),
                     SOTTO_ERR_NOMEM);
    pair_talk(&p);
    after_a_gap(3);
    assert_int_equal(people_hear(p.b, msg, len, "arrives"), 0);
    assert_int_equal(sotto_session_write(p.b, &record), 0);
    for (size_t n = 1; n <= 2; n++) { /* the session, its kept keys */
        heap_hook.fail_at = heap_hook.calls + n;
        assert_int_equal(sotto_session_read(record.p, record.n, &s), SOTTO_ERR_NOMEM);
    }
    assert_null(s);
    assert_int_equal(sotto_session_read(record.p, record.n, &s), 0);
    sotto_session_free(s);
}

/* The kept keys need room: without it the message does not open, and does later. */
static void no_memory_for_kept_keys(void **state)
{
    static const int gaps[] = {1, 40, 300};
    struct sotto_session *before;
    size_t n = 4711;

    pair_talk(&p);
    for (size_t i = 0; i < sizeof gaps / sizeof gaps[0]; i++) {
        after_a_gap(gaps[i]);
        before = people_copy(p.b);
        fail_next();
        assert_int_equal(sotto_session_decrypt(p.env, p.b, msg, len, text, &n), SOTTO_ERR_NOMEM);
        assert_int_equal(n, 4711);
        assert_true(people_same(before, p.b));
        sotto_session_free(before);
        assert_int_equal(people_hear(p.b, msg, len, "arrives"), 0);
    }
    assert_true(heap_hook.peak < 3 * SOTTO_SESSION_RECORD_MAX);
}

static void what_is_given_back_is_wiped(void **state)
{
    pair_talk(&p);
    for (int i = 0; i < 6; i++) {
        after_a_gap(200);
        assert_int_equal(people_hear(p.b, msg, len, "arrives"), 0);
        sotto_session_free(people_copy(p.b));
    }
    pair_end(&p);
    assert_int_equal(heap_hook.blocks, 0);
    assert_int_equal(heap_hook.unwiped, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(no_memory_for_a_session),
        TEST(no_memory_for_kept_keys),
        TEST(what_is_given_back_is_wiped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
