/* SPDX-License-Identifier: Apache-2.0 */
#include "suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void counts_slips(void **state)
{
    static const struct {
        const char *a, *b;
        size_t want;
    } cases[] = {
        {"", "", 0},          {"send", "send", 0},       {"snd", "send", 1},
        {"sennd", "send", 1}, {"sebd", "send", 1},       {"sned", "send", 1},
        {"", "send", 4},      {"send", "", 4},           {"kitten", "sitting", 3},
        {"ca", "abc", 3},     {"hsitory", "history", 1},
    };
    char x[65], y[65];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(sotto_suggest_distance(cases[i].a, cases[i].b), cases[i].want);
        assert_int_equal(sotto_suggest_distance(cases[i].b, cases[i].a), cases[i].want);
    }
    /* Words as long as the table, and longer. */
    memset(x, 'x', sizeof x);
    memset(y, 'y', sizeof y);
    x[63] = y[63] = 0;
    assert_int_equal(sotto_suggest_distance(x, y), 63);
    x[63] = 'x';
    x[64] = 0;
    assert_int_equal(sotto_suggest_distance(x, y), 64);
}

static void names_the_nearest(void **state)
{
    static const char *const words[] = {"send", "receive", "history", "verify", "help", NULL};
    static const struct {
        const char *typed, *want;
    } cases[] = {
        {"snd", "send"},
        {"SEND", NULL},
        {"recieve", "receive"},
        {"hitsory", "history"},
        {"verfiy", "verify"},
        {"hlep", "help"},
        {"x", NULL},
        {"", NULL},
        {"banana", NULL},
        {"histroy", "history"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = sotto_suggest(cases[i].typed, words);

        if (cases[i].want == NULL)
            assert_null(got);
        else
            assert_string_equal(got, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_slips),
        cmocka_unit_test(names_the_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
