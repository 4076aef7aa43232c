/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/err.h"

static struct {
    int count;
    enum sotto_log_level level;
    char line[2048];
} got;

static void keep(void *ctx, enum sotto_log_level level, const char *line)
{
    assert_ptr_equal(ctx, &got);
    got.count++;
    got.level = level;
    snprintf(got.line, sizeof got.line, "%s", line);
}

static int reset(void **state)
{
    memset(&got, 0, sizeof got);
    sotto_log_set(keep, &got, SOTTO_LOG_INFO);
    return 0;
}

static void levels_are_filtered(void **state)
{
    sotto_log_debug("no %d", 1);
    assert_int_equal(got.count, 0);
    sotto_log_info("box %s has %d", "b", 7);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.level, SOTTO_LOG_INFO);
    assert_string_equal(got.line, "box b has 7");
    sotto_log_bug("b");
    assert_int_equal(got.level, SOTTO_LOG_BUG);
    sotto_log_set(NULL, NULL, SOTTO_LOG_DEBUG);
    sotto_log_bug("nobody listens");
    assert_int_equal(got.count, 2);
}

static void lines_cannot_be_forged(void **state)
{
    static const char *const t[][2] = {
        {"a\nbug b", "a?bug b"},
        {"a\r\tb", "a??b"},
        {"\x1b[2Jx\x7f", "?[2Jx?"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xc2\x9b"
         "31m",
         "??31m"},
        {"\xc2\xa0", "\xc2\xa0"},
        {"bad \xff\xc3\xbc", "bad ???"},
        {"\xc2", "?"},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
        sotto_log_info("%s", t[i][0]);
        assert_string_equal(got.line, t[i][1]);
    }
}

static void long_lines_are_cut_at_a_character(void **state)
{
    char text[4000];

    for (size_t shift = 0; shift < 4; shift++) {
        size_t n = shift;

        memset(text, 'x', shift);
        while (n < sizeof text - 4) {
            memcpy(text + n, "\xf0\x9f\x98\x80", 4);
            n += 4;
        }
        text[n] = 0;
        sotto_log_info("%s", text);
        assert_in_range(strlen(got.line), 1020 - 4, 1023);
        assert_true(sotto_utf8_valid(got.line, strlen(got.line)));
        assert_null(strchr(got.line, '?'));
    }
}

/* A stranger's flood: a few lines a second, then how many were left out; others are not hit. */
static void peer_lines_are_limited(void **state)
{
    for (int i = 0; i < 1000; i++)
        sotto_log_peer("bad frame %d", i);
    assert_in_range(got.count, 20, 200);
    got.count = 0;
    for (int i = 0; i < 100; i++)
        sotto_log_local("disk");
    assert_int_equal(got.count, 100);
}

static void stderr_handler_writes_one_line(void **state)
{
    int fd[2], saved = dup(STDERR_FILENO);
    int y, mo, d, h, mi, s, used = 0;
    char out[256];
    ssize_t n;

    assert_int_equal(pipe(fd), 0);
    assert_true(dup2(fd[1], STDERR_FILENO) >= 0);
    sotto_log_set(sotto_log_stderr, NULL, SOTTO_LOG_INFO);
    sotto_log_local("port %d is taken", 12345);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(fd[1]);
    n = read(fd[0], out, sizeof out - 1);
    close(fd[0]);
    assert_true(n > 0);
    out[n] = 0;
    assert_int_equal(sscanf(out, "%4d-%2d-%2dT%2d:%2d:%2dZ %n", &y, &mo, &d, &h, &mi, &s, &used),
                     6);
    assert_string_equal(out + used, "local port 12345 is taken\n");
}

/* What a line in JSON looks like; time left out. */
static const char *in_json(enum sotto_log_level level, const char *event, const char *text)
{
    static char out[4096];
    int fd[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(fd), 0);
    assert_true(dup2(fd[1], STDERR_FILENO) >= 0);
    sotto_log_set(sotto_log_stderr, NULL, SOTTO_LOG_DEBUG);
    sotto_log_json(true);
    if (event != NULL)
        sotto_log_event(level, event, "%s", text);
    else
        sotto_log(level, "%s", text);
    sotto_log_json(false);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    close(fd[1]);
    n = read(fd[0], out, sizeof out - 1);
    close(fd[0]);
    assert_true(n > 40);
    out[n] = 0;
    assert_int_equal(strncmp(out, "{\"time\":\"20", 11), 0);
    assert_int_equal(strncmp(out + 28, "Z\",", 3), 0);
    return out + 31;
}

static void lines_in_json(void **state)
{
    static const struct {
        enum sotto_log_level level;
        const char *event, *text, *line;
    } t[] = {
        {SOTTO_LOG_INFO, "stop", "bye",
         "\"level\":\"info\",\"event\":\"stop\",\"text\":\"bye\"}\n"},
        {SOTTO_LOG_PEER, NULL, "x", "\"level\":\"peer\",\"event\":\"note\",\"text\":\"x\"}\n"},
        {SOTTO_LOG_LOCAL, "disk", "a \"b\" \\c\n",
         "\"level\":\"local\",\"event\":\"disk\",\"text\":\"a \\\"b\\\" \\\\c?\"}\n"},
        {SOTTO_LOG_DEBUG, "x", "gr\xc3\xbc\xc3\x9f \xff",
         "\"level\":\"debug\",\"event\":\"x\",\"text\":\"gr???? ?\"}\n"},
        {SOTTO_LOG_DEBUG, "x", "gr\xc3\xbc\xc3\x9f",
         "\"level\":\"debug\",\"event\":\"x\",\"text\":\"gr\xc3\xbc\xc3\x9f\"}\n"},
    };

    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        assert_string_equal(in_json(t[i].level, t[i].event, t[i].text), t[i].line);
}

/* However long, it is one whole object. */
static void long_lines_in_json(void **state)
{
    char text[3000];
    const char *line;

    memset(text, '"', sizeof text - 1);
    text[sizeof text - 1] = 0;
    line = in_json(SOTTO_LOG_INFO, "long", text);
    assert_in_range(strlen(line), 2000, 2200);
    assert_string_equal(line + strlen(line) - 5, "\\\"\"}\n");
}

static void every_error_has_words(void **state)
{
    static const enum sotto_err all[] = {
#define X(name, value, text) SOTTO_ERR_##name,
        SOTTO_ERR_LIST(X)
#undef X
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_true(all[i] < 0);
        assert_true(strlen(sotto_err_text(all[i])) > 3);
        assert_string_not_equal(sotto_err_text(all[i]), "unknown error");
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(all[i], all[j]);
            assert_string_not_equal(sotto_err_text(all[i]), sotto_err_text(all[j]));
            assert_string_not_equal(sotto_err_name(all[i]), sotto_err_name(all[j]));
        }
    }
    assert_string_equal(sotto_err_name(SOTTO_ERR_BAD_TAG), "BAD_TAG");
    assert_string_equal(sotto_err_text(SOTTO_OK), "ok");
    assert_string_equal(sotto_err_text((enum sotto_err)12345), "unknown error");
    assert_string_equal(sotto_err_name((enum sotto_err)12345), "UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(levels_are_filtered, reset),
        cmocka_unit_test_setup(lines_cannot_be_forged, reset),
        cmocka_unit_test_setup(long_lines_are_cut_at_a_character, reset),
        cmocka_unit_test_setup(peer_lines_are_limited, reset),
        cmocka_unit_test_setup(stderr_handler_writes_one_line, reset),
        cmocka_unit_test_setup(lines_in_json, reset),
        cmocka_unit_test_setup(long_lines_in_json, reset),
        cmocka_unit_test(every_error_has_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
