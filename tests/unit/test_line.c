/* SPDX-License-Identifier: Apache-2.0 */
#include "line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* want: "" for an empty line, "> ..." for a message, else the words of a command joined by |. */
struct line_case {
    const char *line, *want;
};

static const struct line_case outside[] = {
    {"", ""},
    {"   \t", ""},
    {"who", "who"},
    {"  chat   bob ", "chat|bob"},
    {"/chat bob", "chat|bob"},
    {"hello there", "hello|there"},
    {"send bob a  b", "send|bob|a|b"},
    {"/", "help"},
};
static const struct line_case inside[] = {
    {"", ""},
    {"  ", ""},
    {"hello", "> hello"},
    {"who", "who"},
    {"who ", "who"},
    {"who are you", "> who are you"},
    {"whom", "> whom"},
    {"Who", "> Who"},
    {" who", ">  who"},
    {"help", "help"},
    {"help me", "> help me"},
    {"verify", "verify"},
    {"verify bob", "> verify bob"},
    {"quit", "quit"},
    {"quit smoking", "> quit smoking"},
    {"chat", "> chat"},
    {"chat bob", "chat|bob"},
    {"chat bob ", "chat|bob"},
    {"chat with bob", "> chat with bob"},
    {"chat Bob", "> chat Bob"},
    {"chat +4915112345678", "chat|+4915112345678"},
    {"send bob", "> send bob"},
    {"send bob hi", "send|bob|hi"},
    {"send me a card", "send|me|a|card"},
    {"send ME a card", "> send ME a card"},
    {"/quit", "quit"},
    {"/quit now", "quit|now"},
    {"/", "help"},
    {"/ who", "who"},
    {"/history --limit 3", "history|--limit|3"},
    {"//path", "> /path"},
    {"///", "> //"},
    {" /quit", ">  /quit"},
    {"hello ", "> hello "},
    {"\tx", "> \tx"},
};

static void describe(const struct sotto_line *l, char *ret, size_t room)
{
    size_t n = 0;

    ret[0] = 0;
    if (l->kind == SOTTO_LINE_MESSAGE)
        (void)snprintf(ret, room, "> %s", l->message);
    for (size_t i = 0; l->kind == SOTTO_LINE_COMMAND && i < l->count; i++)
        n += (size_t)snprintf(ret + n, room - n, "%s%s", i > 0 ? "|" : "", l->word[i]);
}

static void check(const struct line_case *cases, size_t count, bool in_chat)
{
    for (size_t i = 0; i < count; i++) {
        struct sotto_line l;
        char got[256];

        assert_true(sotto_line_read(cases[i].line, in_chat, &l));
        describe(&l, got, sizeof got);
        assert_string_equal(got, cases[i].want);
        sotto_line_free(&l);
    }
}

static void without_a_chat(void **state)
{
    check(outside, sizeof outside / sizeof outside[0], false);
}

static void in_a_chat(void **state)
{
    check(inside, sizeof inside / sizeof inside[0], true);
}

/* What send sends is not split and joined again. */
static void rest_is_kept(void **state)
{
    static const struct line_case cases[] = {
        {"send bob a  b   c ", "a  b   c "},
        {"  send   bob   two spaces", "  two spaces"},
        {"/send bob x", "x"},
        {"send bob", ""},
        {"send", ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sotto_line l;

        assert_true(sotto_line_read(cases[i].line, false, &l));
        assert_string_equal(l.rest, cases[i].want);
        sotto_line_free(&l);
    }
}

/* More words than there is room for: the last one has the rest. */
static void many_words(void **state)
{
    char line[256] = "";
    struct sotto_line l;

    for (int i = 0; i < SOTTO_LINE_WORDS + 5; i++)
        (void)strcat(line, "w ");
    assert_true(sotto_line_read(line, false, &l));
    assert_int_equal(l.count, SOTTO_LINE_WORDS);
    assert_string_equal(l.word[SOTTO_LINE_WORDS - 2], "w");
    assert_string_equal(l.word[SOTTO_LINE_WORDS - 1], "w w w w w w ");
    sotto_line_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_chat),
        cmocka_unit_test(in_a_chat),
        cmocka_unit_test(rest_is_kept),
        cmocka_unit_test(many_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
