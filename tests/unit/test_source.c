/* SPDX-License-Identifier: Apache-2.0 */
/* What counts as one address, and how many connections it has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "relay/source.h"

static struct sotto_env_fixed env;
static struct sotto_sources *s;

static int setup(void **state)
{
    static const uint8_t seed[32] = "source";

    sotto_env_fixed_init(&env, seed, 1);
    assert_int_equal(sotto_sources_new(&env.env, &s), 0);
    return 0;
}

static int teardown(void **state)
{
    sotto_sources_free(s);
    return 0;
}

static struct sotto_source of(const char *text)
{
    struct sotto_source from;

    sotto_source_of(text, &from);
    return from;
}

static void test_what_is_one(void **state)
{
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"fe80::1%eth0", "fe80::2", true},
        {"::1", "0.0.0.0", false},
        {"::", "0.0.0.0", false},
        {"", "0.0.0.0", false},
        {"what", "what", true},
        {"what", "else", false},
        {"a very long text that is no address at all, as nobody has one", "::", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sotto_source one = of(cases[i].one), other = of(cases[i].other);

        assert_int_equal(memcmp(&one, &other, sizeof one) == 0, cases[i].same);
    }
}

static void test_at_once(void **state)
{
    const struct sotto_source_limits three = {.connections = 3}, all = {0};
    struct sotto_source a = of("192.0.2.1"), b = of("192.0.2.2");

    for (int i = 0; i < 3; i++)
        assert_int_equal(sotto_sources_enter(s, &a, &three, 0), 0);
    assert_int_equal(sotto_sources_enter(s, &a, &three, 0), SOTTO_ERR_FULL);
    assert_int_equal(sotto_sources_connections(s, &a), 3);
    assert_int_equal(sotto_sources_enter(s, &b, &three, 0), 0);
    sotto_sources_leave(s, &a);
    assert_int_equal(sotto_sources_enter(s, &a, &three, 0), 0);
    assert_int_equal(sotto_sources_enter(s, &a, &all, 0), 0);
    for (int i = 0; i < 4; i++)
        sotto_sources_leave(s, &a);
    assert_int_equal(sotto_sources_connections(s, &a), 0);
    assert_int_equal(sotto_sources_connections(s, &b), 1);
    sotto_sources_leave(s, &a); /* one too many harms nobody */
    assert_int_equal(sotto_sources_connections(s, &a), 0);
}

static void test_in_a_minute(void **state)
{
    const struct sotto_source_limits two = {.handshakes_per_minute = 2};
    struct sotto_source a = of("192.0.2.1");

    for (int i = 0; i < 2; i++) {
        assert_int_equal(sotto_sources_enter(s, &a, &two, 1000), 0);
        sotto_sources_leave(s, &a);
    }
    assert_int_equal(sotto_sources_enter(s, &a, &two, 1000), SOTTO_ERR_AGAIN);
    assert_int_equal(sotto_sources_enter(s, &a, &two, 60999), SOTTO_ERR_AGAIN);
    assert_int_equal(sotto_sources_connections(s, &a), 0); /* what is refused is not there */
    assert_int_equal(sotto_sources_enter(s, &a, &two, 61000), 0);
}

static void test_many(void **state)
{
    const struct sotto_source_limits one = {.connections = 1};
    char text[32];

    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 20000; i++) {
            struct sotto_source from;

            snprintf(text, sizeof text, "10.0.%u.%u", i >> 8, i & 255);
            from = of(text);
            assert_int_equal(sotto_sources_enter(s, &from, &one, 0), 0);
            assert_int_equal(sotto_sources_enter(s, &from, &one, 0), SOTTO_ERR_FULL);
        }
        for (unsigned i = 20000; i-- > 0;) {
            struct sotto_source from;

            snprintf(text, sizeof text, "10.0.%u.%u", i >> 8, i & 255);
            from = of(text);
            sotto_sources_leave(s, &from);
            assert_int_equal(sotto_sources_connections(s, &from), 0);
        }
    }
}

static void test_lines(void **state)
{
    struct sotto_source a = of("192.0.2.1"), b = of("192.0.2.2");

    assert_true(sotto_sources_may_log(s, &a, "reason", 0));
    assert_false(sotto_sources_may_log(s, &a, "reason", 59999));
    assert_true(sotto_sources_may_log(s, &a, "another", 59999));
    assert_true(sotto_sources_may_log(s, &b, "reason", 59999));
    assert_true(sotto_sources_may_log(s, &a, "reason", 60000));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_what_is_one), CASE(test_at_once), CASE(test_in_a_minute),
        CASE(test_many),        CASE(test_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
