/* SPDX-License-Identifier: Apache-2.0 */
/* The chain of what operators did. */
#include "run/relay/audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#include "folder.h"

#define NOW 1795000000000u

static struct folder dir;
static char why[512];

static int setup(void **state)
{
    folder_make(&dir);
    return 0;
}

static int teardown(void **state)
{
    folder_remove(&dir);
    return 0;
}

static void add(const char *action, const char *subject, const char *detail)
{
    assert_int_equal(sotto_audit_add(dir.path, NOW, 1000, action, subject, detail, why, sizeof why),
                     0);
}

static struct sotto_audit_found verify(const char *wanted)
{
    struct sotto_audit_found f;

    assert_int_equal(sotto_audit_verify(dir.path, wanted, &f, why, sizeof why), 0);
    return f;
}

static char *text_of(size_t *ret_len)
{
    size_t len;
    char *raw = (char *)file_read(folder_file(&dir, "audit.log"), &len), *text = malloc(len + 1);

    assert_non_null(text);
    memcpy(text, raw, len);
    text[len] = '\0';
    free(raw);
    *ret_len = len;
    return text;
}

static void an_empty_log_is_whole(void **state)
{
    struct sotto_audit_found f = verify(NULL);

    assert_int_equal(f.lines, 0);
    assert_int_equal(f.broken_line, 0);
    assert_int_equal(strlen(f.head), 64);
    assert_int_equal(strspn(f.head, "0"), 64);
}

/* The layout is what others read and what old logs have. */
static void lines_are_as_documented(void **state)
{
    size_t len;
    char *text;

    add("disable", "alice", NULL);
    text = text_of(&len);
    assert_string_equal(text,
                        "{\"time\":\"2026-11-18T11:06:40Z\",\"uid\":1000,\"action\":\"disable\","
                        "\"subject\":\"alice\",\"detail\":\"\",\"previous\":"
                        "\"0000000000000000000000000000000000000000000000000000000000000000\"}\n");
    free(text);
    assert_int_equal(file_mode(folder_file(&dir, "audit.log")), 0600);
}

static void every_flipped_bit_is_found(void **state)
{
    size_t len;
    char *text;

    for (int i = 0; i < 4; i++)
        add("enable", "bob", "again");
    assert_int_equal(verify(NULL).lines, 4);
    assert_int_equal(verify(NULL).broken_line, 0);
    text = text_of(&len);
    free(text);
    /* Nothing follows the last line, so its own text is held by its hash alone. */
    for (size_t at = 0; at < len * 3 / 4; at++) {
        file_flip(folder_file(&dir, "audit.log"), at, 1);
        assert_int_not_equal(verify(NULL).broken_line, 0);
        file_flip(folder_file(&dir, "audit.log"), at, 1);
    }
    assert_int_equal(verify(NULL).broken_line, 0);
}

static void the_last_hash_holds_the_end(void **state)
{
    struct sotto_audit_found one, two, f;
    size_t len;
    char *text;

    add("backup", NULL, "/a");
    one = verify(NULL);
    text = text_of(&len);
    add("backup", NULL, "/b");
    two = verify(NULL);
    assert_string_not_equal(one.head, two.head);
    assert_true(verify(one.head).wanted_seen);
    assert_true(verify(two.head).wanted_seen);
    file_write(folder_file(&dir, "audit.log"), text, len); /* the second one is cut off */
    f = verify(two.head);
    assert_int_equal(f.broken_line, 0);
    assert_false(f.wanted_seen);
    free(text);
}

/* At every byte: what a power cut leaves is found, and the next action goes on behind what is
 * whole. */
static void half_a_line_is_cut_off(void **state)
{
    size_t whole, len;
    char *text;

    add("reset", "carol", "invite 1");
    text = text_of(&whole);
    free(text);
    add("reset", "carol", "invite 2");
    text = text_of(&len);
    for (size_t cut = whole + 1; cut < len; cut++) {
        file_write(folder_file(&dir, "audit.log"), text, cut);
        assert_int_equal(verify(NULL).broken_line, 2);
        add("enable", "carol", NULL);
        assert_int_equal(verify(NULL).broken_line, 0);
        assert_int_equal(verify(NULL).lines, 2);
    }
    for (size_t cut = 0; cut < whole; cut++) {
        file_write(folder_file(&dir, "audit.log"), text, cut);
        add("enable", "carol", NULL);
        assert_int_equal(verify(NULL).lines, 1);
        assert_int_equal(verify(NULL).broken_line, 0);
    }
    free(text);
}

static void text_cannot_break_out(void **state)
{
    char longest[2000];
    size_t len;
    char *text;

    memset(longest, '"', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    add("backup", "a\"b\\c\nd", "x\",\"previous\":\"1\"}\n{");
    add("backup", longest, longest);
    add("backup", NULL, NULL);
    assert_int_equal(verify(NULL).lines, 3);
    assert_int_equal(verify(NULL).broken_line, 0);
    text = text_of(&len);
    assert_non_null(strstr(text, "a\\\"b\\\\c?d"));
    assert_true(len < 3 * SOTTO_AUDIT_LINE);
    free(text);
}

static void foreign_files_are_not_taken_for_a_log(void **state)
{
    static const char *const files[] = {
        "\n", "{}\n", "hello\n", "{\"previous\":\"\"}\n", "\"}\n",
    };
    char line[3000];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        file_write(folder_file(&dir, "audit.log"), files[i], strlen(files[i]));
        assert_int_equal(verify(NULL).broken_line, 1);
    }
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    file_write(folder_file(&dir, "audit.log"), line, sizeof line);
    assert_int_equal(verify(NULL).broken_line, 1);
    /* A line longer than any of ours, without an end, is not cut off as half of one. */
    line[sizeof line - 1] = 'x';
    file_write(folder_file(&dir, "audit.log"), line, sizeof line);
    assert_int_not_equal(sotto_audit_add(dir.path, NOW, 0, "kick", "a", "", why, sizeof why), 0);
    assert_int_equal(verify(NULL).broken_line, 1);
}

static void somebody_elses_lock_is_waited_for_a_while(void **state)
{
    FILE *f;

    add("kick", "alice", NULL);
    f = fopen(folder_file(&dir, "audit.log"), "re");
    assert_non_null(f);
    assert_int_equal(flock(fileno(f), LOCK_EX), 0);
    assert_int_equal(sotto_audit_add(dir.path, NOW, 0, "kick", "bob", "", why, sizeof why),
                     SOTTO_ERR_LOCKED);
    assert_non_null(strstr(why, "audit.log"));
    fclose(f);
    add("kick", "bob", NULL);
    assert_int_equal(verify(NULL).lines, 2);
}

static void links_are_not_followed(void **state)
{
    char target[256];

    snprintf(target, sizeof target, "%s", folder_file(&dir, "other"));
    file_write(target, "", 0);
    assert_int_equal(symlink(target, folder_file(&dir, "audit.log")), 0);
    assert_int_not_equal(sotto_audit_add(dir.path, NOW, 0, "kick", "a", "", why, sizeof why), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_empty_log_is_whole),
        CASE(lines_are_as_documented),
        CASE(every_flipped_bit_is_found),
        CASE(the_last_hash_holds_the_end),
        CASE(half_a_line_is_cut_off),
        CASE(text_cannot_break_out),
        CASE(foreign_files_are_not_taken_for_a_log),
        CASE(somebody_elses_lock_is_waited_for_a_while),
        CASE(links_are_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
