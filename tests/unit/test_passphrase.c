/* SPDX-License-Identifier: Apache-2.0 */
#include "passphrase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "folder.h"

extern char **environ;

/* ---- made up ---------------------------------------------------------------------------- */

static enum sotto_err pattern(void *ctx, void *ret, size_t n)
{
    memset(ret, *(unsigned char *)ctx, n);
    return SOTTO_OK;
}

static enum sotto_err no_random(void *ctx, void *ret, size_t n)
{
    (void)ctx;
    (void)ret;
    (void)n;
    return SOTTO_ERR_RANDOM;
}

static void made_up_words(void **state)
{
    static const struct {
        unsigned char byte;
        const char *want;
    } cases[] = {{0x00, "babab-babab-babab-babab-babab-babab"},
                 {0xff, "zuzuz-zuzuz-zuzuz-zuzuz-zuzuz-zuzuz"},
                 {0x1b, "dosir-dosir-dosir-dosir-dosir-dosir"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char byte = cases[i].byte;
        struct sotto_env env = {.ctx = &byte, .random = pattern};
        char got[SOTTO_PASSPHRASE_MADE_UP];

        assert_true(sotto_passphrase_make_up(&env, got));
        assert_string_equal(got, cases[i].want);
    }
}

/* One bit of all. */
static enum sotto_err one_bit(void *ctx, void *ret, size_t n)
{
    unsigned bit = *(unsigned *)ctx;

    memset(ret, 0, n);
    ((unsigned char *)ret)[bit / 8] = (unsigned char)(1U << bit % 8);
    return SOTTO_OK;
}

/* Each of the 96 bits matters, or it would be easier to guess than we say. */
static void made_up_from_all_bits(void **state)
{
    char words[96][SOTTO_PASSPHRASE_MADE_UP];

    for (unsigned bit = 0; bit < 96; bit++) {
        struct sotto_env env = {.ctx = &bit, .random = one_bit};

        assert_true(sotto_passphrase_make_up(&env, words[bit]));
        for (unsigned other = 0; other < bit; other++)
            assert_string_not_equal(words[bit], words[other]);
        assert_string_not_equal(words[bit], "babab-babab-babab-babab-babab-babab");
    }
}

static void without_random_none(void **state)
{
    struct sotto_env env = {.random = no_random};
    char got[SOTTO_PASSPHRASE_MADE_UP] = "unchanged";

    assert_false(sotto_passphrase_make_up(&env, got));
    assert_string_equal(got, "unchanged");
}

/* ---- given ------------------------------------------------------------------------------- */

static void first_line_of_a_file(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *want; /* NULL: refused */
    } cases[] = {
        {"secret\n", 7, "secret"},
        {"secret", 6, "secret"},
        {"secret\nnot this\n", 16, "secret"},
        {" with spaces \n", 14, " with spaces "},
        {"umlaut \xc3\xa4\n", 10, "umlaut \xc3\xa4"},
        {"", 0, NULL},
        {"\n", 1, NULL},
        {"sec\0ret\n", 8, NULL},
    };
    struct folder f;

    folder_make(&f);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = folder_file(&f, "passphrase");
        struct sotto_cli cli = {.passphrase_file = path, .signals = -1};

        file_write(path, cases[i].text, cases[i].len);
        assert_int_equal(sotto_passphrase_given(&cli),
                         cases[i].want != NULL ? SOTTO_RESULT_OK : SOTTO_RESULT_PROFILE);
        if (cases[i].want != NULL)
            assert_string_equal(cli.passphrase, cases[i].want);
        else
            assert_null(cli.passphrase);
        sotto_passphrase_forget(&cli);
        assert_null(cli.passphrase);
    }
    folder_remove(&f);
}

static void longest_passphrase(void **state)
{
    char text[SOTTO_PASSPHRASE_MAX + 2];
    struct folder f;

    folder_make(&f);
    memset(text, 'x', sizeof text);
    for (size_t len = SOTTO_PASSPHRASE_MAX; len <= SOTTO_PASSPHRASE_MAX + 2; len++) {
        const char *path = folder_file(&f, "passphrase");
        struct sotto_cli cli = {.passphrase_file = path, .signals = -1};

        file_write(path, text, len);
        assert_int_equal(sotto_passphrase_given(&cli),
                         len == SOTTO_PASSPHRASE_MAX ? SOTTO_RESULT_OK : SOTTO_RESULT_PROFILE);
        sotto_passphrase_forget(&cli);
    }
    folder_remove(&f);
}

static void file_that_cannot_be_read(void **state)
{
    struct sotto_cli cli = {.passphrase_file = "/nowhere/passphrase", .signals = -1};

    assert_int_equal(sotto_passphrase_given(&cli), SOTTO_RESULT_PROFILE);
    assert_null(cli.passphrase);
    cli.passphrase_file = "/"; /* a folder */
    assert_int_equal(sotto_passphrase_given(&cli), SOTTO_RESULT_PROFILE);
    assert_null(cli.passphrase);
}

/* Where the value of SOTTO_PASSPHRASE lies in our memory: what /proc/PID/environ shows. */
static void wiped_from_the_environment(void **state)
{
    struct sotto_cli cli = {.signals = -1};
    char *value;

    assert_int_equal(setenv("SOTTO_PASSPHRASE", "from the environment", 1), 0);
    value = getenv("SOTTO_PASSPHRASE");
    assert_int_equal(sotto_passphrase_given(&cli), SOTTO_RESULT_OK);
    assert_string_equal(cli.passphrase, "from the environment");
    assert_null(getenv("SOTTO_PASSPHRASE"));
    for (size_t i = 0; i < strlen("from the environment"); i++)
        assert_int_equal(value[i], 0);
    sotto_passphrase_forget(&cli);
}

static void file_goes_first_and_both_are_wiped(void **state)
{
    struct sotto_cli cli = {.signals = -1};
    struct folder f;

    folder_make(&f);
    cli.passphrase_file = folder_file(&f, "passphrase");
    file_write(cli.passphrase_file, "from the file\n", 14);
    assert_int_equal(setenv("SOTTO_PASSPHRASE", "from the environment", 1), 0);
    assert_int_equal(sotto_passphrase_given(&cli), SOTTO_RESULT_OK);
    assert_string_equal(cli.passphrase, "from the file");
    assert_null(getenv("SOTTO_PASSPHRASE"));
    sotto_passphrase_forget(&cli);
    folder_remove(&f);
}

static void neither_is_no_error(void **state)
{
    struct sotto_cli cli = {.signals = -1};

    assert_int_equal(unsetenv("SOTTO_PASSPHRASE"), 0);
    assert_int_equal(sotto_passphrase_given(&cli), SOTTO_RESULT_OK);
    assert_null(cli.passphrase);
    assert_int_equal(setenv("SOTTO_PASSPHRASE", "", 1), 0); /* set, and empty: a mistake */
    assert_int_equal(sotto_passphrase_given(&cli), SOTTO_RESULT_PROFILE);
    assert_null(cli.passphrase);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_up_words),
        cmocka_unit_test(made_up_from_all_bits),
        cmocka_unit_test(without_random_none),
        cmocka_unit_test(first_line_of_a_file),
        cmocka_unit_test(longest_passphrase),
        cmocka_unit_test(file_that_cannot_be_read),
        cmocka_unit_test(wiped_from_the_environment),
        cmocka_unit_test(file_goes_first_and_both_are_wiped),
        cmocka_unit_test(neither_is_no_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
