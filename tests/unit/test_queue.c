/* SPDX-License-Identifier: Apache-2.0 */
#include "net/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"

static void empty_owns_nothing(void **state)
{
    struct sotto_queue q = {0};

    assert_int_equal(sotto_queue_front(&q).n, 0);
    assert_int_equal(sotto_queue_add(&q, "", 0), 0);
    assert_null(q.head);
    assert_int_equal(sotto_queue_add(&q, "abc", 3), 0);
    assert_int_equal(q.n, 3);
    sotto_queue_consume(&q, 3);
    assert_null(q.head);
    assert_null(q.tail);
    assert_int_equal(q.n, 0);
    sotto_queue_free(&q);
}

/* Random sizes in and out against a plain number sequence. */
static void bytes_stay_in_order(void **state)
{
    uint8_t data[50000];
    struct sotto_queue q = {0};
    uint32_t seed = 99, in = 0, out = 0;

    for (int round = 0; round < 20000; round++) {
        struct sotto_bytes front;
        size_t len;

        seed = seed * 1664525 + 1013904223;
        len = (seed >> 8) % (1u << (seed >> 29) * 2);
        if (len > sizeof data)
            len = sizeof data;
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)((in + i) * 167 >> 3);
        assert_int_equal(sotto_queue_add(&q, data, len), 0);
        in += (uint32_t)len;
        assert_int_equal(q.n, in - out);
        front = sotto_queue_front(&q);
        assert_int_equal(front.n == 0, q.n == 0);
        len = (seed >> 4) % (front.n + 1);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(front.p[i], (uint8_t)((out + i) * 167 >> 3));
        sotto_queue_consume(&q, len);
        out += (uint32_t)len;
    }
    assert_true(out > 100000);
    sotto_queue_free(&q);
    assert_null(q.head);
}

/* TLS repeats a write that was refused with the same bytes, or more. */
static void front_only_grows_at_its_end(void **state)
{
    struct sotto_queue q = {0};
    struct sotto_bytes before, after;
    uint8_t copy[4096];

    assert_int_equal(sotto_queue_add(&q, "first", 5), 0);
    before = sotto_queue_front(&q);
    memcpy(copy, before.p, before.n);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(sotto_queue_add(&q, "more", 4), 0);
        after = sotto_queue_front(&q);
        assert_true(after.n >= before.n);
        assert_memory_equal(after.p, copy, before.n);
    }
    sotto_queue_free(&q);
}

/* Many small frames make few allocations, and share TLS records. */
static void small_additions_share_chunks(void **state)
{
    struct sotto_queue q = {0};
    size_t before = alloc_count(), chunks = 0;
    uint8_t frame[60] = {0};

    for (int i = 0; i < 10000; i++)
        assert_int_equal(sotto_queue_add(&q, frame, sizeof frame), 0);
    assert_true(alloc_count() - before < 60);
    while (q.n > 0) {
        sotto_queue_consume(&q, sotto_queue_front(&q).n);
        chunks++;
    }
    assert_true(chunks < 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_owns_nothing),
        cmocka_unit_test(bytes_stay_in_order),
        cmocka_unit_test(front_only_grows_at_its_end),
        cmocka_unit_test(small_additions_share_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
