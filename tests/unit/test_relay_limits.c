/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct sotto_env_fixed env;
static struct guard g;

static int setup(void **state)
{
    static const uint8_t seed[32] = "limits";

    sotto_env_fixed_init(&env, seed, 0);
    return sotto_guard_init(&g, &env.env) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    sotto_guard_free(&g);
    return 0;
}

static void test_bucket(void **state)
{
    struct bucket b;

    sotto_bucket_init(&b, 400, 5000);
    sotto_bucket_take(&b, 1000, 5000);
    assert_int_equal(sotto_bucket_debt_ms(&b, 5000), 0);
    sotto_bucket_take(&b, 400, 5000);
    assert_int_equal(sotto_bucket_debt_ms(&b, 5000), 1000);
    assert_int_equal(sotto_bucket_debt_ms(&b, 5400), 600);
    assert_int_equal(sotto_bucket_debt_ms(&b, 6000), 0);
    /* It holds no more than its room, however long nothing was asked, and a clock that stands or
     * goes back gives nothing. */
    assert_int_equal(sotto_bucket_debt_ms(&b, UINT64_MAX / 2), 0);
    sotto_bucket_take(&b, 1001, UINT64_MAX / 2);
    assert_true(sotto_bucket_debt_ms(&b, UINT64_MAX / 2) > 0);
    assert_true(sotto_bucket_debt_ms(&b, 0) > 0);
}

static void test_pause_doubles(void **state)
{
    uint64_t mono = 1000, before = 0;

    for (int i = 0; i < 20; i++) {
        uint64_t pause = sotto_guard_pause(&g, "alice", 5, 3, mono);

        if (i < 3)
            assert_int_equal(pause, 0);
        else if (before > 0)
            assert_int_equal(pause, before * 2 < GUARD_PAUSE_MAX ? before * 2 : GUARD_PAUSE_MAX);
        before = pause;
        mono += pause;
        assert_int_equal(sotto_guard_pause(&g, "alice", 5, 3, mono), 0); /* waited long enough */
        sotto_guard_failed(&g, "alice", 5, mono);
    }
    assert_int_equal(sotto_guard_pause(&g, "bob", 3, 3, mono), 0);
    sotto_guard_take_back(&g, "alice", 5);
    assert_int_not_equal(sotto_guard_pause(&g, "alice", 5, 3, mono), 0);
    assert_int_equal(sotto_guard_pause(&g, "alice", 5, 3, mono + GUARD_FORGET), 0);
    sotto_guard_forgive(&g, "alice", 5);
    assert_int_equal(sotto_guard_pause(&g, "alice", 5, 3, mono), 0);
}

static void test_locked(void **state)
{
    const uint64_t lock = 20 * 60 * 1000, at = 1000;

    g.lock_ms = lock;
    for (uint32_t i = 0; i < 5 + GUARD_LOCK_AFTER; i++) {
        assert_true(sotto_guard_pause(&g, "alice", 5, 5, at) <= GUARD_PAUSE_MAX);
        sotto_guard_failed(&g, "alice", 5, at);
    }
    assert_int_equal(sotto_guard_pause(&g, "alice", 5, 5, at), lock);
    assert_int_equal(sotto_guard_pause(&g, "alice", 5, 5, at + lock - 1), 1);
    assert_int_equal(sotto_guard_pause(&g, "bob", 3, 5, at), 0);
    /* The next wrong one locks it again, as long as it is not forgotten. */
    sotto_guard_failed(&g, "alice", 5, at + lock);
    assert_int_equal(sotto_guard_pause(&g, "alice", 5, 5, at + lock), lock);
    assert_int_equal(sotto_guard_pause(&g, "alice", 5, 5, at + 3 * lock), 0);
    sotto_guard_failed(&g, "alice", 5, at + 3 * lock);
    assert_int_equal(sotto_guard_pause(&g, "alice", 5, 5, at + 3 * lock), 0);
    /* A lock that is changed to none is none for those who are locked. */
    for (uint32_t i = 0; i < 5 + GUARD_LOCK_AFTER; i++)
        sotto_guard_failed(&g, "bob", 3, at);
    g.lock_ms = 0;
    assert_int_equal(sotto_guard_pause(&g, "bob", 3, 5, at), GUARD_PAUSE_MAX);
}

static void test_old_failures_are_forgotten(void **state)
{
    for (int i = 0; i < 10; i++)
        sotto_guard_failed(&g, "x", 1, 0);
    sotto_guard_failed(&g, "x", 1, GUARD_FORGET);
    assert_int_equal(sotto_guard_pause(&g, "x", 1, 2, GUARD_FORGET), 0);
}

static void test_count_in_a_window(void **state)
{
    for (int i = 0; i < 5; i++)
        assert_int_equal(sotto_guard_count(&g, "x", 1, 5, 1000, 100), 0);
    assert_int_equal(sotto_guard_count(&g, "x", 1, 5, 1000, 100), 1000);
    assert_int_equal(sotto_guard_count(&g, "x", 1, 5, 1000, 600), 500);
    assert_int_equal(sotto_guard_count(&g, "y", 1, 5, 1000, 600), 0);
    assert_int_equal(sotto_guard_count(&g, "x", 1, 5, 1000, 1100), 0);
}

static void test_memory_is_fixed(void **state)
{
    char name[16];
    unsigned slowed = 0;

    /* Far more names than there are places: the newest are known, nothing grows. */
    for (unsigned i = 0; i < 50 * GUARD_PLACES; i++) {
        int n = snprintf(name, sizeof name, "n%u", i);

        sotto_guard_failed(&g, name, (size_t)n, i);
        sotto_guard_failed(&g, name, (size_t)n, i);
        assert_int_not_equal(sotto_guard_pause(&g, name, (size_t)n, 1, i), 0);
    }
    for (unsigned i = 50 * GUARD_PLACES - 200; i < 50 * GUARD_PLACES; i++) {
        int n = snprintf(name, sizeof name, "n%u", i);

        slowed += sotto_guard_pause(&g, name, (size_t)n, 1, i) != 0;
    }
    assert_int_equal(slowed, 200);
}

static void test_needs_random(void **state)
{
    struct guard other;

    env.fail_random = 1;
    assert_int_equal(sotto_guard_init(&other, &env.env), SOTTO_ERR_RANDOM);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_bucket),
        CASE(test_pause_doubles),
        CASE(test_locked),
        CASE(test_old_failures_are_forgotten),
        CASE(test_count_in_a_window),
        CASE(test_memory_is_fixed),
        CASE(test_needs_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
