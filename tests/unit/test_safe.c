/* SPDX-License-Identifier: Apache-2.0 */
#include "safe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"

struct sink {
    char text[512];
    size_t n;
};

static void emit(void *ctx, const char *p, size_t n)
{
    struct sink *s = ctx;

    assert_true(s->n + n < sizeof s->text);
    memcpy(s->text + s->n, p, n);
    s->n += n;
    s->text[s->n] = 0;
}

#define PICTURE(x) "\xe2\x90" x /* U+2400 + x - 0x80 */
#define BROKEN     "\xef\xbf\xbd"

static void neutralises(void **state)
{
    static const struct {
        const char *text, *indent, *want;
    } cases[] = {
        {"", "", ""},
        {"plain", "", "plain"},
        {"umlaut \xc3\xa4 \xe6\x97\xa5 \xf0\x9f\x98\x80", "",
         "umlaut \xc3\xa4 \xe6\x97\xa5 \xf0\x9f\x98\x80"},
        {"a\tb", "", "a\tb"},
        {"a\nb", "    ", "a\n    b"},
        {"a\nb\n", "> ", "a\n> b\n> "},
        {"a\nb", NULL, "a" PICTURE("\x8a") "b"},
        {"a\rb", "", "a" PICTURE("\x8d") "b"},
        {"\033[2J", "", PICTURE("\x9b") "[2J"},
        {"\033]0;title\007", "", PICTURE("\x9b") "]0;title" PICTURE("\x87")},
        {"\x7f", "", PICTURE("\xa1")},
        {"\xc2\x9b"
         "31m",
         "", BROKEN "31m"}, /* C1: CSI in one character */
        {"\xe2\x80\xae"
         "evil",
         "", BROKEN "evil"},                                  /* right-to-left override */
        {"\xe2\x81\xa6x\xe2\x81\xa9", "", BROKEN "x" BROKEN}, /* isolates */
        {"a\xe2\x80\xa8"
         "b",
         "", "a" BROKEN "b"}, /* line separator */
        {"\xef\xbb\xbf"
         "bom",
         "", BROKEN "bom"},
        {"\xff\xfe", "", BROKEN BROKEN},
        {"\xc3", "", BROKEN}, /* cut off */
        {"\xe2\x82", "", BROKEN BROKEN},
        {"\xc0\xaf", "", BROKEN BROKEN},            /* overlong slash */
        {"\xed\xa0\x80", "", BROKEN BROKEN BROKEN}, /* surrogate */
        {"\xf5\x80\x80\x80", "", BROKEN BROKEN BROKEN BROKEN},
        {BROKEN, "", BROKEN}, /* said by the sender: as it is */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sink s = {0};

        sotto_safe_text(cases[i].text, strlen(cases[i].text), cases[i].indent, emit, &s);
        assert_string_equal(s.text, cases[i].want);
    }
}

/* A NUL is one control character more, wherever it stands. */
static void shows_nul(void **state)
{
    struct sink s = {0};

    sotto_safe_text("a\0b", 3, "", emit, &s);
    assert_string_equal(s.text, "a" PICTURE("\x80") "b");
}

static void every_character_there_and_back(void **state)
{
    for (uint32_t c = 0; c <= 0x110000; c++) {
        bool scalar = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        char out[4];
        uint32_t back = 0;
        size_t n = sotto_safe_encode(c, out);

        assert_true(sotto_utf8_valid(out, n));
        assert_int_equal(sotto_safe_next(out, n, &back), n);
        assert_int_equal(back, scalar ? c : 0xfffd);
        /* Cut short it is no character, and costs one byte. */
        for (size_t cut = 1; cut < n; cut++) {
            assert_int_equal(sotto_safe_next(out, cut, &back), 1);
            assert_int_equal(back, 0xfffd);
        }
    }
    assert_int_equal(sotto_safe_next("x", 0, &(uint32_t){0}), 0);
}

/* Whatever bytes come in, what goes out is UTF-8 and holds nothing that acts on a terminal. */
static void no_bytes_get_through(void **state)
{
    uint32_t seed = 12345;

    for (int round = 0; round < 20000; round++) {
        char text[24];
        size_t len = 0, at = 0;
        struct sink s = {0};

        while (len < sizeof text) {
            static const char often[] = {'\033', '\n', (char)0xe2, (char)0x80, (char)0xae, '['};

            seed = seed * 1664525 + 1013904223;
            text[len++] = seed >> 31 ? often[(seed >> 8) % sizeof often] : (char)(seed >> 16);
        }
        sotto_safe_text(text, len, "    ", emit, &s);
        assert_true(sotto_utf8_valid(s.text, s.n));
        while (at < s.n) {
            uint32_t c = 0;

            at += sotto_safe_next(s.text + at, s.n - at, &c);
            assert_true(c == '\t' || c == '\n' || !sotto_safe_is_control(c));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neutralises),
        cmocka_unit_test(shows_nul),
        cmocka_unit_test(every_character_there_and_back),
        cmocka_unit_test(no_bytes_get_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
