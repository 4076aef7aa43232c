/* SPDX-License-Identifier: Apache-2.0 */
#include "e2ee/padding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "e2ee/session.h"
#include "vectors.h"

static size_t padme(json_t *root)
{
    json_t *pair;
    size_t i;

    json_array_foreach(vec_array(root, "cases"), i, pair)
    {
        size_t len = (size_t)json_integer_value(json_array_get(pair, 0));
        size_t want = (size_t)json_integer_value(json_array_get(pair, 1));

        if (sotto_padme(len, 0) != want)
            vec_fail(pair, "wrong length");
    }
    return i;
}

static void padme_vectors(void **state)
{
    vectors_run("padme/padme.json", 20, 20, padme);
}

/* The paper's promises: never shorter, at most 12 % longer, lengths of one bucket look the same. */
static void padme_properties(void **state)
{
    size_t last = 0;

    for (size_t n = 0; n <= 200000; n++) {
        size_t p = sotto_padme(n, SOTTO_PADDED_MIN);

        assert_true(p >= n && p >= SOTTO_PADDED_MIN && p >= last);
        assert_true(n <= SOTTO_PADDED_MIN || p <= n + n * 12 / 100);
        assert_int_equal(sotto_padme(p, 0), p);
        last = p;
    }
    assert_int_equal(sotto_padme(SIZE_MAX, 0), SIZE_MAX);
}

static void pad_and_unpad(void **state)
{
    static uint8_t content[5000], padded[6000];
    size_t n = 4711;

    memset(content, 0x80, sizeof content);
    memset(content + 100, 0, 300); /* contents that look like padding */
    for (size_t len = 0; len < sizeof content; len++) {
        sotto_pad(content, len, padded);
        assert_int_equal(sotto_unpad(padded, sotto_padded(len), &n), 0);
        assert_int_equal(n, len);
        assert_memory_equal(padded, content, len);
    }
}

static void unpad_refuses(void **state)
{
    uint8_t p[1024] = {0};
    size_t n = 4711;

    assert_int_equal(sotto_unpad(p, 0, &n), SOTTO_ERR_MALFORMED);
    assert_int_equal(sotto_unpad(p, 256, &n), SOTTO_ERR_MALFORMED); /* no mark */
    p[10] = 0x81;
    assert_int_equal(sotto_unpad(p, 256, &n), SOTTO_ERR_MALFORMED);
    p[10] = 0x80;
    assert_int_equal(sotto_unpad(p, 255, &n), SOTTO_ERR_MALFORMED); /* too short */
    assert_int_equal(sotto_unpad(p, 512, &n), SOTTO_ERR_MALFORMED); /* longer than needed */
    p[300] = 0x80;
    assert_int_equal(sotto_unpad(p, 303, &n), SOTTO_ERR_MALFORMED); /* not a length of Padme */
    assert_int_equal(n, 4711);
    assert_int_equal(sotto_unpad(p, 304, &n), 0);
    assert_int_equal(n, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padme_vectors),
        cmocka_unit_test(padme_properties),
        cmocka_unit_test(pad_and_unpad),
        cmocka_unit_test(unpad_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
