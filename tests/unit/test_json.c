/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "safe.h"

static void one_object(void **state)
{
    struct sotto_json j = {0};
    const char *text;
    size_t len;

    sotto_json_begin(&j);
    sotto_json_string(&j, "id", "5f");
    sotto_json_number(&j, "count", -7);
    sotto_json_number(&j, "most", INT64_MAX);
    sotto_json_bool(&j, "yes", true);
    sotto_json_bool(&j, "no", false);
    sotto_json_time(&j, "at", 1763696700123);
    sotto_json_time(&j, "never", 0);
    assert_int_equal(sotto_json_end(&j, &text, &len), SOTTO_OK);
    assert_int_equal(len, strlen("{\"id\":\"5f\",\"count\":-7,\"most\":9223372036854775807,"
                                 "\"yes\":true,\"no\":false,\"at\":\"2025-11-21T03:45:00.123Z\","
                                 "\"never\":null}"));
    assert_memory_equal(text,
                        "{\"id\":\"5f\",\"count\":-7,\"most\":9223372036854775807,"
                        "\"yes\":true,\"no\":false,\"at\":\"2025-11-21T03:45:00.123Z\","
                        "\"never\":null}",
                        len);
    /* The next one begins anew. */
    sotto_json_begin(&j);
    assert_int_equal(sotto_json_end(&j, &text, &len), SOTTO_OK);
    assert_memory_equal(text, "{}", len);
    sotto_json_free(&j);
}

/* What another implementation reads out of it, and how it looks. */
static void check(const char *text, size_t len, const char *want, size_t want_len)
{
    struct sotto_json j = {0};
    json_error_t error;
    json_t *root, *value;
    const char *out;
    size_t n;

    sotto_json_begin(&j);
    sotto_json_text(&j, "text", text, len);
    assert_int_equal(sotto_json_end(&j, &out, &n), SOTTO_OK);
    for (size_t i = 0; i < n;) { /* one line, and nothing that acts on a terminal */
        uint32_t c = 0;

        i += sotto_safe_next(out + i, n - i, &c);
        assert_false(sotto_safe_is_control(c));
    }
    root = json_loadb(out, n, JSON_ALLOW_NUL, &error);
    if (root == NULL)
        fail_msg("not JSON: %s: %.*s", error.text, (int)n, out);
    value = json_object_get(root, "text");
    assert_int_equal(json_string_length(value), want_len);
    assert_memory_equal(json_string_value(value), want, want_len);
    json_decref(root);
    sotto_json_free(&j);
}

static void every_character_survives(void **state)
{
    char text[64 * 4];
    size_t n = 0, count = 0;

    check("", 0, "", 0);
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        /* All of the first planes' corners, then every 17th. */
        if ((c >= 0xd800 && c <= 0xdfff) || (c > 0x3000 && c % 17 != 0 && (c & 0xff) < 0xf0))
            continue;
        n += sotto_safe_encode(c, text + n);
        if (++count == 64) {
            check(text, n, text, n);
            n = count = 0;
        }
    }
    check(text, n, text, n);
}

static void broken_bytes_are_replaced(void **state)
{
    check("a\xff"
          "b",
          3,
          "a\xef\xbf\xbd"
          "b",
          5);
    check("\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9);
    check("\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd", 6);
}

/* The longest message of the most costly characters fits. */
static void longest_text(void **state)
{
    size_t len = 32 * 1024;
    char *text = malloc(len);

    assert_non_null(text);
    memset(text, 1, len);
    check(text, len, text, len);
    free(text);
}

static void too_much_is_an_error(void **state)
{
    struct sotto_json j = {0};
    size_t len = 512 * 1024;
    char *text = malloc(len);
    const char *out = NULL;
    size_t n = 0;

    assert_non_null(text);
    memset(text, 1, len);
    sotto_json_begin(&j);
    sotto_json_text(&j, "text", text, len);
    sotto_json_bool(&j, "after", true);
    assert_int_not_equal(sotto_json_end(&j, &out, &n), SOTTO_OK);
    assert_null(out);
    sotto_json_free(&j);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_object),
        cmocka_unit_test(every_character_survives),
        cmocka_unit_test(broken_bytes_are_replaced),
        cmocka_unit_test(longest_text),
        cmocka_unit_test(too_much_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
