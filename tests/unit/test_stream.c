/* SPDX-License-Identifier: Apache-2.0 */
#include "net/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_count.h"
#include "wire/request.h"

_Static_assert(SOTTO_STREAM_MAX == SOTTO_FRAME_MAX, "what wire writes, net takes");
_Static_assert(SOTTO_STREAM_HEADER == SOTTO_FRAME_HEADER, "what wire writes, net takes");

static const size_t sizes[] = {
    0, 1, 2, 3, 4, 5, 0, 0, 255, 256, 1000, 4096, 16384, 65536, SOTTO_STREAM_MAX, 7};
enum { COUNT = sizeof sizes / sizeof sizes[0] };

static struct {
    uint8_t *p;
    size_t n;
} all;

static uint8_t byte_of(size_t frame, size_t i)
{
    return (uint8_t)(frame * 31 + i * 7 + (i >> 8));
}

static int make_all(void **state)
{
    size_t n = 0;

    for (size_t f = 0; f < COUNT; f++)
        n += SOTTO_STREAM_HEADER + sizes[f];
    all.p = malloc(n);
    all.n = 0;
    assert_non_null(all.p);
    for (size_t f = 0; f < COUNT; f++) {
        sotto_put_u32(all.p + all.n, (uint32_t)sizes[f]);
        all.n += SOTTO_STREAM_HEADER;
        for (size_t i = 0; i < sizes[f]; i++)
            all.p[all.n++] = byte_of(f, i);
    }
    return 0;
}

static int free_all(void **state)
{
    free(all.p);
    return 0;
}

static void check_frame(size_t f, const struct sotto_bytes *frame)
{
    assert_true(f < COUNT);
    assert_int_equal(frame->n, sizes[f]);
    for (size_t i = 0; i < frame->n; i++) {
        if (frame->p[i] != byte_of(f, i))
            fail_msg("frame %zu differs at %zu", f, i);
    }
}

/* Hands in `len` bytes in memory of exactly that size, which is gone when the frames are looked at
 * no more. */
static void feed(struct sotto_stream *s, const uint8_t *p, size_t len, size_t *frames)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    struct sotto_bytes frame;
    struct sotto_reader in;
    enum sotto_err e;

    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, p, len);
    sotto_reader_init(&in, copy, len);
    while ((e = sotto_stream_next(s, &in, &frame)) == 0)
        check_frame((*frames)++, &frame);
    assert_int_equal(e, SOTTO_ERR_AGAIN);
    assert_int_equal(sotto_reader_left(&in), 0);
    free(copy);
}

static void all_at_once(void **state)
{
    struct sotto_stream s = {0};
    size_t frames = 0;

    feed(&s, all.p, all.n, &frames);
    assert_int_equal(frames, COUNT);
    assert_false(sotto_stream_partial(&s));
    assert_null(s.body.p);
}

static void equal_pieces_of_any_size(void **state)
{
    static const size_t pieces[] = {1, 2, 3, 4, 5, 7, 64, 100, 1000, 16384, 65536, 131072, 131076};

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct sotto_stream s = {0};
        size_t frames = 0;

        for (size_t at = 0; at < all.n; at += pieces[i])
            feed(&s, all.p + at, all.n - at < pieces[i] ? all.n - at : pieces[i], &frames);
        assert_int_equal(frames, COUNT);
        assert_false(sotto_stream_partial(&s));
        sotto_stream_free(&s);
    }
}

/* Each place where the stream of small frames can be cut in two, and each pair of places. */
static void any_two_cuts(void **state)
{
    size_t small = 0;

    for (size_t f = 0; f < 8; f++)
        small += SOTTO_STREAM_HEADER + sizes[f];
    for (size_t a = 0; a <= small; a++) {
        for (size_t b = a; b <= small; b++) {
            struct sotto_stream s = {0};
            size_t frames = 0;

            feed(&s, all.p, a, &frames);
            feed(&s, all.p + a, b - a, &frames);
            feed(&s, all.p + b, small - b, &frames);
            assert_int_equal(frames, 8);
            sotto_stream_free(&s);
        }
    }
}

static void random_pieces(void **state)
{
    uint32_t seed = 12345;

    for (int round = 0; round < 100; round++) {
        struct sotto_stream s = {0};
        size_t frames = 0, at = 0, len;

        while (at < all.n) {
            seed = seed * 1664525 + 1013904223;
            len = (seed >> 8) % (1u << (seed >> 28));
            len = len > all.n - at ? all.n - at : len;
            feed(&s, all.p + at, len, &frames);
            at += len;
        }
        assert_int_equal(frames, COUNT);
        sotto_stream_free(&s);
    }
}

/* Said by four bytes, refused by four bytes, whatever comes behind; nothing is allocated. */
static void too_large_is_refused_at_once(void **state)
{
    static const uint32_t lengths[] = {SOTTO_STREAM_MAX + 1, 0x01000000, 0x7fffffff, 0x80000000,
                                       0xffffffff};

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint8_t wire[9] = {0, 0, 0, 1, 'x'};
        struct sotto_stream s = {0};
        struct sotto_bytes frame;
        struct sotto_reader in;
        size_t before;

        sotto_put_u32(wire + 5, lengths[i]);
        sotto_reader_init(&in, wire, sizeof wire);
        before = alloc_count();
        assert_int_equal(sotto_stream_next(&s, &in, &frame), 0);
        assert_int_equal(frame.n, 1);
        assert_int_equal(sotto_stream_next(&s, &in, &frame), SOTTO_ERR_TOO_LARGE);
        assert_int_equal(sotto_stream_next(&s, &in, &frame), SOTTO_ERR_TOO_LARGE);
        sotto_reader_init(&in, wire, 5);
        assert_int_equal(sotto_stream_next(&s, &in, &frame), SOTTO_ERR_TOO_LARGE);
        assert_int_equal(alloc_count(), before);
        assert_null(s.body.p);
    }
}

/* Who announces much and sends little costs little. */
static void memory_follows_what_arrived(void **state)
{
    uint8_t wire[SOTTO_STREAM_HEADER + 1] = {0, 2, 0, 0, 'x'};
    struct sotto_stream s = {0};
    struct sotto_bytes frame;
    struct sotto_reader in;

    sotto_reader_init(&in, wire, sizeof wire);
    assert_int_equal(sotto_stream_next(&s, &in, &frame), SOTTO_ERR_AGAIN);
    assert_true(sotto_stream_partial(&s));
    assert_true(s.body.room <= 64);
    for (size_t i = 1; i < SOTTO_STREAM_MAX; i++) {
        sotto_reader_init(&in, "y", 1);
        assert_int_equal(sotto_stream_next(&s, &in, &frame),
                         i + 1 < SOTTO_STREAM_MAX ? SOTTO_ERR_AGAIN : SOTTO_OK);
        assert_true(s.body.room <= 64 || s.body.room < 2 * s.body.n);
    }
    assert_int_equal(frame.n, SOTTO_STREAM_MAX);
    assert_false(sotto_stream_partial(&s));
    sotto_reader_init(&in, "", 0);
    assert_int_equal(sotto_stream_next(&s, &in, &frame), SOTTO_ERR_AGAIN);
    assert_null(s.body.p); /* given back with the frame */
}

static void whole_frames_are_not_copied(void **state)
{
    static const uint8_t wire[] = {0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0};
    struct sotto_stream s = {0};
    struct sotto_bytes frame;
    struct sotto_reader in;
    size_t before = alloc_count();

    sotto_reader_init(&in, wire, sizeof wire);
    assert_int_equal(sotto_stream_next(&s, &in, &frame), 0);
    assert_ptr_equal(frame.p, wire + 4);
    assert_int_equal(sotto_stream_next(&s, &in, &frame), 0);
    assert_int_equal(frame.n, 0);
    assert_int_equal(sotto_stream_next(&s, &in, &frame), SOTTO_ERR_AGAIN);
    assert_int_equal(alloc_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(equal_pieces_of_any_size),
        cmocka_unit_test(any_two_cuts),
        cmocka_unit_test(random_pieces),
        cmocka_unit_test(too_large_is_refused_at_once),
        cmocka_unit_test(memory_follows_what_arrived),
        cmocka_unit_test(whole_frames_are_not_copied),
    };

    return cmocka_run_group_tests(tests, make_all, free_all);
}
