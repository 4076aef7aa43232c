/* SPDX-License-Identifier: Apache-2.0 */
#include "when.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static void utc(void **state)
{
    static const struct {
        uint64_t ms;
        const char *want;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {999, "1970-01-01T00:00:00.999Z"},
        {1709164799007, "2024-02-28T23:59:59.007Z"},
        {1709164800000, "2024-02-29T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {UINT64_MAX, "9999-12-31T23:59:59.999Z"}, /* a sender may claim anything */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char got[SOTTO_WHEN_ROOM];

        sotto_when_utc(cases[i].ms, got);
        assert_string_equal(got, cases[i].want);
    }
}

static void local(void **state)
{
    const uint64_t noon = 1732190400000; /* 2024-11-21 12:00 UTC */
    char got[SOTTO_WHEN_ROOM];

    (void)setenv("TZ", "CET-1", 1);
    tzset();
    sotto_when_local(noon, got);
    assert_string_equal(got, "2024-11-21 13:00");
    sotto_when_short(noon, noon + 11 * 3600 * 1000 - 1, got); /* 23:59:59.999 of the same day */
    assert_string_equal(got, "13:00");
    sotto_when_short(noon, noon + 11 * 3600 * 1000, got);
    assert_string_equal(got, "2024-11-21 13:00");
    sotto_when_short(noon, noon + (uint64_t)366 * 24 * 3600 * 1000, got); /* same day of the year */
    assert_string_equal(got, "2024-11-21 13:00");
    sotto_when_local(UINT64_MAX, got);
    assert_string_equal(got, "10000-01-01 00:59");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utc),
        cmocka_unit_test(local),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
