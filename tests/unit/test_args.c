/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct sotto_option options[] = {{"--json", SOTTO_TAKES_NOTHING},
                                              {"--limit", SOTTO_TAKES_VALUE},
                                              {"--wait", SOTTO_TAKES_VALUE_NUMBER},
                                              {NULL, SOTTO_TAKES_NOTHING}};

/* words: up to the first NULL. got: what was understood, or a part of what is said about it. */
static const struct {
    const char *words[8];
    bool ok;
    const char *got;
} lines[] = {
    {{NULL}, true, ""},
    {{"bob"}, true, "bob"},
    {{"--json", "bob"}, true, "--json bob"},
    {{"bob", "--json"}, true, "--json bob"},
    {{"bob", "--limit", "3", "x"}, true, "--limit=3 bob x"},
    {{"--limit=3", "bob"}, true, "--limit=3 bob"},
    {{"--limit=", "bob"}, true, "--limit= bob"},
    {{"--limit", "--json", "bob"}, true, "--limit=--json bob"},
    {{"bob", "--", "--json"}, true, "bob --json"},
    {{"--", "--", "x"}, true, "-- x"},
    {{"bob", "-"}, true, "bob -"},
    {{"bob", ""}, true, "bob "},
    {{"--wait", "delivered", "bob"}, true, "--wait=delivered bob"},
    {{"--wait", "delivered", "3", "bob"}, true, "--wait=delivered/3 bob"},
    {{"--wait=delivered", "0.5", "bob"}, true, "--wait=delivered/0.5 bob"},
    {{"bob", "x", "--wait", "delivered"}, true, "--wait=delivered bob x"},
    {{"--limit"}, false, "--limit needs a value"},
    {{"--json=yes"}, false, "--json takes no value"},
    {{"--json", "--json"}, false, "--json is given twice"},
    {{"--jsno", "bob"}, false, "did you mean '--json'?"},
    {{"--limt=3"}, false, "did you mean '--limit'?"},
    {{"--frobnicate"}, false, "there is no option '--frobnicate' here (text that begins"},
    {{"-j"}, false, "there is no option '-j' here"},
    {{"--"}, true, ""},
};

static void understood(const struct sotto_args *args, char *ret, size_t room)
{
    size_t n = 0;

    ret[0] = 0;
    for (size_t i = 0; options[i].name != NULL; i++) {
        const char *name = options[i].name, *number = sotto_args_number(args, name);

        if (!sotto_args_has(args, name)) {
            assert_null(number);
            continue;
        }
        n += (size_t)snprintf(ret + n, room - n, "%s%s%s%s%s%s", n > 0 ? " " : "", name,
                              options[i].takes == SOTTO_TAKES_NOTHING ? "" : "=",
                              sotto_args_value(args, name), number != NULL ? "/" : "",
                              number != NULL ? number : "");
    }
    for (size_t i = 0; i < args->rest_count; i++)
        n += (size_t)snprintf(ret + n, room - n, "%s%s", n > 0 ? " " : "", args->rest[i]);
}

static void reads_words(void **state)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const char *rest[8];
        char why[256] = "", got[256];
        struct sotto_args args;
        size_t count = 0;
        bool ok;

        while (lines[i].words[count] != NULL)
            count++;
        ok = sotto_args_read(&args, options, lines[i].words, count, rest, why, sizeof why);
        if (ok)
            understood(&args, got, sizeof got);
        if (ok != lines[i].ok || (ok && strcmp(got, lines[i].got) != 0) ||
            (!ok && strstr(why, lines[i].got) == NULL))
            fail_msg("line %zu: %s, wanted %s", i, ok ? got : why, lines[i].got);
    }
}

static void unknown_words_are_no_options(void **state)
{
    const char *words[] = {"--json"}, *rest[1];
    char why[256];
    struct sotto_args args;

    assert_true(sotto_args_read(&args, options, words, 1, rest, why, sizeof why));
    assert_null(sotto_args_value(&args, "--nothing"));
    assert_null(sotto_args_number(&args, "--nothing"));
    assert_false(sotto_args_has(&args, "--js"));
}

static void reads_counts(void **state)
{
    static const struct {
        const char *text;
        uint64_t max, want; /* want UINT64_MAX: refused */
    } cases[] = {
        {"0", 10, 0},
        {"10", 10, 10},
        {"007", 10, 7},
        {"11", 10, UINT64_MAX},
        {"", 10, UINT64_MAX},
        {"-1", 10, UINT64_MAX},
        {"+1", 10, UINT64_MAX},
        {" 1", 10, UINT64_MAX},
        {"1 ", 10, UINT64_MAX},
        {"1x", 10, UINT64_MAX},
        {"4294967295", UINT32_MAX, UINT32_MAX},
        {"4294967296", UINT32_MAX, UINT64_MAX},
        {"5", 3, UINT64_MAX},
        {"18446744073709551614", UINT64_MAX, UINT64_MAX - 1},
        {"18446744073709551616", UINT64_MAX, UINT64_MAX},
        {"99999999999999999999999", UINT64_MAX, UINT64_MAX},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t got = UINT64_MAX;
        bool ok = sotto_args_count(cases[i].text, cases[i].max, &got);

        assert_int_equal(ok, cases[i].want != UINT64_MAX);
        assert_true(got == cases[i].want);
    }
}

static void reads_seconds(void **state)
{
    static const struct {
        const char *text;
        uint64_t want;
    } cases[] = {
        {"0", 0},
        {"1", 1000},
        {"1.5", 1500},
        {"0.05", 50},
        {"0.001", 1},
        {"31622400", 31622400000},
        {"31622401", UINT64_MAX}, /* more than a year */
        {"1.", UINT64_MAX},
        {".5", UINT64_MAX},
        {"1.2345", UINT64_MAX},
        {"1.x", UINT64_MAX},
        {"1,5", UINT64_MAX},
        {"-1", UINT64_MAX},
        {"", UINT64_MAX},
        {"soon", UINT64_MAX},
        {"000000000000000000000000000000001", UINT64_MAX},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t got = UINT64_MAX;
        bool ok = sotto_args_seconds(cases[i].text, &got);

        assert_int_equal(ok, cases[i].want != UINT64_MAX);
        assert_true(got == cases[i].want);
    }
}

static void knows_names(void **state)
{
    static const char *const good[] = {"a",
                                       "0",
                                       "alice",
                                       "a.b_c-d",
                                       "x2345678901234567890123456789012",
                                       "+1234567",
                                       "+123456789012345"};
    static const char *const bad[] = {"",
                                      "Alice",
                                      ".a",
                                      "_a",
                                      "-a",
                                      "a b",
                                      "a/b",
                                      "a@b",
                                      "\xc3\xa4",
                                      "+123456",
                                      "+a2345678",
                                      "+",
                                      "a+1",
                                      "+1234567890123456",
                                      "x23456789012345678901234567890123"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(sotto_args_is_name(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(sotto_args_is_name(bad[i], strlen(bad[i])));
    assert_false(sotto_args_is_name("al\0ice", 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_words),  cmocka_unit_test(unknown_words_are_no_options),
        cmocka_unit_test(reads_counts), cmocka_unit_test(reads_seconds),
        cmocka_unit_test(knows_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
